"""Answers as tests of bodies want them: in every framing, in pieces, broken off, and read."""

from __future__ import annotations

import gzip
import resource
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ssl import SSLContext
from typing import TYPE_CHECKING, Any

from .messages import chunked_response, chunks, response
from .peer import Peer
from .scripted import Script, ScriptedServer

if TYPE_CHECKING:
    from restkit import HttpResponse

_CHUNK = 9973  # a prime: blocks of powers of two never begin where a chunk does


def _in_chunks(body: bytes, *fields: str) -> bytes:
    pieces = [body[at : at + _CHUNK] for at in range(0, len(body), _CHUNK)]
    return chunked_response(*pieces, fields=fields)


def _to_the_end(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\n\r\n" + body


def _gzipped(body: bytes) -> bytes:
    return gzip.compress(body, 1)


FRAMINGS: dict[str, Callable[[bytes], bytes]] = {
    "length": response,
    "chunks": _in_chunks,
    "to the end": _to_the_end,
    "gzip": lambda body: response(_gzipped(body), "Content-Encoding: gzip"),
    "gzip in chunks": lambda body: _in_chunks(_gzipped(body), "Content-Encoding: gzip"),
}
"""Every way a body of any bytes can come, as a whole answer; a client reads the same from each."""

# Of a body that announces 100 bytes, or more chunks, what has come when it breaks off.
CAME = b"line one\n" * 6 + b"no end"

BROKEN = {
    "length": b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n" + CAME,
    "chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks(CAME),
    "a chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n64\r\n" + CAME,
    "gzip": b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\nContent-Encoding: gzip\r\n\r\n"
    + gzip.compress(CAME),
}
"""Answers that break off inside their body, each after the 60 bytes of CAME."""


def giving(
    *pieces: bytes,
    go: threading.Event | None = None,
    then: Callable[[Peer], object] = Peer.close,
) -> Script:
    """A script: one request read, the pieces sent one by one, and then the end.

    With ``go``, the last piece waits for that event.
    """

    def script(peer: Peer) -> None:
        peer.read_request()
        peer.without_delay()
        for number, piece in enumerate(pieces, 1):
            if go is not None and number == len(pieces):
                peer.wait(go)
            peer.send(piece)
        then(peer)

    return script


@contextmanager
def answered(
    answer: bytes | Script,
    method: str = "GET",
    path: str = "/",
    *,
    ssl_context: SSLContext | None = None,
    **options: Any,
) -> Iterator[HttpResponse]:
    """The response to one request: from a server that serves these bytes, or does this."""
    from restkit import Client

    server = (
        ScriptedServer.serving(answer, ssl_context=ssl_context)
        if isinstance(answer, bytes)
        else ScriptedServer(answer, ssl_context=ssl_context)
    )
    with server, Client(**{"timeout": 10, **options}) as client:
        with client.request(server.url(path), method) as got:
            yield got


@contextmanager
def no_file_over(size: int) -> Iterator[None]:
    """No file of this process may grow past ``size`` bytes: to a writer, much like a full disk.

    It is given an OSError (EFBIG), since CPython ignores SIGXFSZ.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
