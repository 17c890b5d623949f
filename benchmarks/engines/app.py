"""The application that every engine serves: plain WSGI, a path for each behaviour.

What its readers meet is kept by the query of the request, to be asked for at ``/met``. Below
``/restkit`` there is an ``App``, to see what that makes of the same engine.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from restkit.server import App
from restkit.server.response import text

BLOCK = 64 * 1024

_met: dict[str, str] = {}
_on_restkit = App("engines", max_body=None)


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    path = environ["PATH_INFO"]
    if path.startswith("/restkit/"):
        return _on_restkit(environ, start_response)
    return _PAGES[path](environ, start_response)


def answer(start_response: Callable[..., Any], body: str, status: str = "200 OK") -> list[bytes]:
    start_response(status, [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body.encode()]


# Pages that read


def read_all(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """The whole body by read(64 KiB), as most frameworks take it."""
    return answer(start_response, f"{_count(environ, environ['wsgi.input'].read)} bytes")


def read_later(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    time.sleep(0.5)
    return read_all(environ, start_response)


def read_some(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    return answer(start_response, str(len(environ["wsgi.input"].read(1024))))


def read_1(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    if not hasattr(environ["wsgi.input"], "read1"):
        return answer(start_response, "no read1")
    return answer(start_response, str(len(environ["wsgi.input"].read1(BLOCK))))


def echo(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """What comes, as it comes, with the length it was announced with."""
    length = environ.get("CONTENT_LENGTH")
    start_response("200 OK", [("Content-Length", length)] if length else [])
    return iter(lambda: environ["wsgi.input"].read(BLOCK), b"")


def echo_small(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    start_response("200 OK", [])
    source = environ["wsgi.input"]
    if hasattr(source, "read1"):
        return iter(lambda: source.read1(BLOCK), b"")
    return iter(lambda: source.read(10), b"")


@_on_restkit.post("/restkit/read", stream=True)
def app_read(request: Any) -> Any:
    return text(f"{_count(request.environ, request.stream.read)} bytes")


def _count(environ: dict[str, Any], read: Callable[[int], bytes]) -> int:
    size = 0
    try:
        while piece := read(BLOCK):
            size += len(piece)
    except Exception as exc:
        _met[environ["QUERY_STRING"]] = type(exc).__name__
        raise
    _met[environ["QUERY_STRING"]] = f"{size} bytes, no error"
    return size


def met(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    return answer(start_response, _met.get(environ["QUERY_STRING"], ""))


# Pages that do not


def hello(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    return answer(start_response, "hello")


def refuse(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    return answer(start_response, "too much", "413 Content Too Large")


def pieces(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterator[bytes]:
    start_response("200 OK", [])
    yield b"a"
    yield b"b"


def fails_early(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterator[bytes]:
    raise RuntimeError("before start_response")
    yield b""


def fails_at_first(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterator[bytes]:
    start_response("200 OK", [])
    raise RuntimeError("before the first piece")
    yield b""


def fails_later(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterator[bytes]:
    start_response("200 OK", [])
    yield b"a"
    raise RuntimeError("behind the first piece")


def too_short(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Length", "5")])
    return [b"abc"]


def too_long(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Length", "5")])
    return [b"abcdefg"]


def without_end(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterator[bytes]:
    start_response("200 OK", [])
    try:
        while True:
            yield bytes(BLOCK)
    finally:
        _met[environ["QUERY_STRING"]] = "closed"


def give(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterator[bytes]:
    """As many MiB as the query says."""
    start_response("200 OK", [])
    block = bytes(BLOCK)
    for _ in range(int(environ["QUERY_STRING"]) * 16):
        yield block


_PAGES: dict[str, Callable[..., Iterable[bytes]]] = {
    "/": hello,
    "/read": read_all,
    "/later": read_later,
    "/some": read_some,
    "/read1": read_1,
    "/echo": echo,
    "/echo_small": echo_small,
    "/met": met,
    "/refuse": refuse,
    "/pieces": pieces,
    "/fails/early": fails_early,
    "/fails/first": fails_at_first,
    "/fails/later": fails_later,
    "/short": too_short,
    "/long": too_long,
    "/endless": without_end,
    "/give": give,
}
