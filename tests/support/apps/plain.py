"""A plain WSGI application that tests an engine, with the faults that applications have."""

from __future__ import annotations

import io
import json
import os
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

TEXT = ("Content-Type", "text/plain")
PIECE = b"0123456789abcdef" * 4096

_closed = {"count": 0}


class Closing:
    """Chunks; counts in ``_closed`` that they were closed."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = chunks

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._chunks)

    def close(self) -> None:
        _closed["count"] += 1


def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    name, _, rest = environ["PATH_INFO"].strip("/").partition("/")
    handler: Callable[..., Iterable[bytes]] = globals().get(f"_{name}", _hello)
    return handler(environ, start_response, rest)


def _hello(environ: Any, start: Any, rest: str) -> Iterable[bytes]:
    start("200 OK", [TEXT, ("Content-Length", "5")])
    return [b"hello"]


def _state(environ: Any, start: Any, rest: str) -> Iterable[bytes]:
    """Respond with the resources of this process and the number of closed iterables."""
    numbers = len(os.listdir("/proc/self/fd"))
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    found = {
        "descriptors": numbers,
        "memory": pages * os.sysconf("SC_PAGE_SIZE"),
        "closed": _closed["count"],
        "threads": threading.active_count(),
    }
    start("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(found).encode()]


def _read(environ: Any, start: Any, rest: str) -> Iterable[bytes]:
    data = environ["wsgi.input"].read()
    start("200 OK", [TEXT])
    return [b"%d bytes" % len(data)]


def _some(environ: Any, start: Any, rest: str) -> Iterable[bytes]:
    """Read three bytes of the body and respond with many."""
    environ["wsgi.input"].read(3)
    start("200 OK", [TEXT])
    return [PIECE] * int(rest or 1)


def _big(environ: Any, start: Any, rest: str) -> Iterable[bytes]:
    """Respond with ``rest`` MiB in one chunk, with their length."""
    data = bytes(int(rest) << 20)
    start("200 OK", [TEXT, ("Content-Length", str(len(data)))])
    return Closing([data])


def _echo(environ: Any, start: Any, rest: str) -> Iterable[bytes]:
    source = environ["wsgi.input"]
    start("200 OK", [TEXT])
    return Closing(iter(lambda: source.read1(65536), b""))


def _declares(environ: Any, start: Any, rest: str) -> Iterable[bytes]:
    """Declare the Content-Length in the path and send ten bytes."""
    start("200 OK", [TEXT, ("Content-Length", rest)])
    return Closing([b"01234", b"56789"])


def _bodiless(environ: Any, start: Any, rest: str) -> Iterable[bytes]:
    start(f"{rest} Status", [TEXT])
    return [b"a body that nobody may see"]


def _both(environ: Any, start: Any, rest: str) -> Iterable[Any]:
    """Call write(), then return an iterable."""
    write = start("200 OK", [TEXT])
    write(b"one,")
    return iter([b"", b"two,", bytearray(b"three,"), memoryview(b"four")])


def _late(environ: Any, start: Any, rest: str) -> Iterable[bytes]:
    """Yield a chunk; start_response is called only at the first one."""
    start("200 OK", [TEXT])
    yield b"late"


def _twice(environ: Any, start: Any, rest: str) -> Iterable[bytes]:
    start("200 OK", [TEXT, ("X-First", "1"), ("Content-Length", "3")])
    if rest == "plainly":
        start("201 Created", [TEXT])
    try:
        raise RuntimeError("in between")
    except RuntimeError:
        start("503 Service Unavailable", [TEXT, ("X-Second", "1")], sys.exc_info())
    return [b"second"]


def _wrong(environ: Any, start: Any, rest: str) -> Iterable[Any]:
    """Send what is invalid: a header with a line break, a chunk of text, no response."""
    if rest == "header":
        start("200 OK", [("X-A", "a\r\nSet-Cookie: b=c")])
    elif rest == "status":
        start("200 OK\r\nX-A: a", [TEXT])
    elif rest == "caught":
        try:
            start("200 OK", [("X-Good", "1"), ("X-A", "a\r\nb")])
        except ValueError:
            start("409 Conflict", [TEXT, ("Content-Length", "0")], sys.exc_info())
        return []
    elif rest == "text":
        start("200 OK", [TEXT])
        return ["text"]
    elif rest == "file":
        body: Iterable[bytes] = environ["wsgi.file_wrapper"](io.BytesIO(b"abc"))
        return body
    return [b"body"]


def _raises(environ: Any, start: Any, rest: str) -> Iterable[bytes]:
    """Raise before start_response, after it, in iteration, after a chunk, or in close()."""
    if rest == "before":
        raise RuntimeError(rest)
    start("200 OK", [TEXT])
    if rest == "behind":
        raise RuntimeError(rest)
    if rest == "exit":
        raise SystemExit(rest)
    return Raising(rest)


class Raising:
    def __init__(self, when: str) -> None:
        self._when = when

    def __iter__(self) -> Iterator[bytes]:
        if self._when == "first":
            raise RuntimeError(self._when)
        yield b"piece"
        if self._when == "second":
            raise RuntimeError(self._when)

    def close(self) -> None:
        _closed["count"] += 1
        if self._when == "close":
            raise RuntimeError(self._when)


def _file(environ: Any, start: Any, rest: str) -> Iterable[bytes]:
    """Send a file: whole, from its middle, without a length, or truncated after the head."""
    file = tempfile.TemporaryFile()  # noqa: SIM115  # the engine closes it
    file.write(PIECE * 64)
    size = file.seek(0, os.SEEK_END)
    start_at = size // 2 if rest == "middle" else 0
    file.seek(start_at)
    length = [] if rest == "unsized" else [("Content-Length", str(size - start_at))]
    if rest == "part":
        length = [("Content-Length", "10")]
    start("200 OK", [TEXT, *length])
    if rest == "cut":
        file.truncate(size - 1000)
    body: Iterable[bytes] = environ["wsgi.file_wrapper"](file)
    return body


def _socket(environ: Any, start: Any, rest: str) -> Iterable[bytes]:
    """Use the socket of gunicorn directly, as a websocket does on gthread."""
    with environ["gunicorn.socket"].dup() as sock:
        sock.sendall(b"HTTP/1.1 101 Switching Protocols\r\n\r\n")
        while data := sock.recv(100):
            sock.sendall(data.upper())
    raise StopIteration


def _count(environ: Any, start: Any, rest: str) -> Iterable[bytes]:
    """Respond with the size of the body, without keeping it."""
    size = sum(map(len, iter(lambda: environ["wsgi.input"].read(65536), b"")))
    start("200 OK", [TEXT])
    return [b"%d bytes" % size]


def _pieces(environ: Any, start: Any, rest: str) -> Iterable[bytes]:
    """Respond with ``rest`` MiB in chunks."""
    start("200 OK", [TEXT])
    return (PIECE for _ in range(int(rest) * 16))
