"""The application of every engine: plain WSGI, with a path for each behavior.

The outcome of reading a body is stored under the query of the request, and returned by
``/outcome``. ``/restkit`` is an ``App``, which runs on the same engine.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from restkit.server import App
from restkit.server.response import text

CHUNK = 64 * 1024

_outcomes: dict[str, str] = {}
_on_restkit = App("engines", max_body=None)


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    path = environ["PATH_INFO"]
    if path.startswith("/restkit/"):
        return _on_restkit(environ, start_response)
    return _PAGES[path](environ, start_response)


def respond(start_response: Callable[..., Any], body: str, status: str = "200 OK") -> list[bytes]:
    start_response(status, [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body.encode()]


# Pages that read


def read_all(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Read the whole body by ``read(64 KiB)``, as most frameworks do."""
    return respond(start_response, f"{_count(environ, environ['wsgi.input'].read)} bytes")


def read_later(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    time.sleep(0.5)
    return read_all(environ, start_response)


def read_some(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    return respond(start_response, str(len(environ["wsgi.input"].read(1024))))


def read_1(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    if not hasattr(environ["wsgi.input"], "read1"):
        return respond(start_response, "no read1")
    return respond(start_response, str(len(environ["wsgi.input"].read1(CHUNK))))


def echo(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Send the body back while it arrives, with its length."""
    length = environ.get("CONTENT_LENGTH")
    start_response("200 OK", [("Content-Length", length)] if length else [])
    return iter(lambda: environ["wsgi.input"].read(CHUNK), b"")


def echo_small(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    start_response("200 OK", [])
    source = environ["wsgi.input"]
    if hasattr(source, "read1"):
        return iter(lambda: source.read1(CHUNK), b"")
    return iter(lambda: source.read(10), b"")


@_on_restkit.post("/restkit/read", stream=True)
def app_read(request: Any) -> Any:
    return text(f"{_count(request.environ, request.stream.read)} bytes")


def _count(environ: dict[str, Any], read: Callable[[int], bytes]) -> int:
    size = 0
    try:
        while data := read(CHUNK):
            size += len(data)
    except Exception as exc:
        _outcomes[environ["QUERY_STRING"]] = type(exc).__name__
        raise
    _outcomes[environ["QUERY_STRING"]] = f"{size} bytes, no error"
    return size


def outcome(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    return respond(start_response, _outcomes.get(environ["QUERY_STRING"], ""))


# Pages that do not read


def hello(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    return respond(start_response, "hello")


def refuse(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    return respond(start_response, "too much", "413 Content Too Large")


def two_chunks(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterator[bytes]:
    start_response("200 OK", [])
    yield b"a"
    yield b"b"


def fails_early(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterator[bytes]:
    raise RuntimeError("before start_response")
    yield b""


def fails_at_first(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterator[bytes]:
    start_response("200 OK", [])
    raise RuntimeError("before the first chunk")
    yield b""


def fails_later(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterator[bytes]:
    start_response("200 OK", [])
    yield b"a"
    raise RuntimeError("after the first chunk")


def too_short(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Length", "5")])
    return [b"abc"]


def too_long(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Length", "5")])
    return [b"abcdefg"]


def endless(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterator[bytes]:
    start_response("200 OK", [])
    try:
        while True:
            yield bytes(CHUNK)
    finally:
        _outcomes[environ["QUERY_STRING"]] = "closed"


def send_mib(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterator[bytes]:
    """Send a number of MiB, which the query sets."""
    start_response("200 OK", [])
    chunk = bytes(CHUNK)
    for _ in range(int(environ["QUERY_STRING"]) * 16):
        yield chunk


_PAGES: dict[str, Callable[..., Iterable[bytes]]] = {
    "/": hello,
    "/read": read_all,
    "/later": read_later,
    "/some": read_some,
    "/read1": read_1,
    "/echo": echo,
    "/echo_small": echo_small,
    "/outcome": outcome,
    "/refuse": refuse,
    "/chunks": two_chunks,
    "/fails/early": fails_early,
    "/fails/first": fails_at_first,
    "/fails/later": fails_later,
    "/short": too_short,
    "/long": too_long,
    "/endless": endless,
    "/give": send_mib,
}
