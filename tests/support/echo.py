"""Applications that note what they read, and what is to become of any bytes that are sent to one.

``expected`` only asks ``restkit.http1`` about them, request by request; so a server that does as it
says judges no head and no body in a way of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import unquote

from restkit.http1.framing import keeps_alive, request_body_reader
from restkit.http1.request_head import MalformedRequest, parse_request_head
from restkit.server.serving import Server, serve

from .peer import HANG_BOUND
from .raw_client import heard

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment


class Seen(NamedTuple):
    """A request that an application has read to its end."""

    method: str
    target: str
    body: bytes


class Echo:
    """An application that notes each request, and answers with its body."""

    def __init__(self) -> None:
        self.seen: list[Seen] = []

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
        body = environ["wsgi.input"].read()
        path = environ["PATH_INFO"]
        query = environ["QUERY_STRING"]
        target = f"{path}?{query}" if query else path
        self.seen.append(Seen(environ["REQUEST_METHOD"], target, body))
        start_response("200 OK", [("Content-Type", "application/octet-stream")])
        return [body]


class Careless(Echo):
    """Answers at once, having read as many bytes of the body as the path says, or none."""

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
        count = environ["PATH_INFO"].strip("/")
        read = environ["wsgi.input"].read(int(count)) if count.isdigit() else b""
        self.seen.append(Seen(environ["REQUEST_METHOD"], environ["PATH_INFO"], read))
        start_response("200 OK", [])
        return [read]


class Expected(NamedTuple):
    """``methods`` is whom the answers are for, as far as heads could be read."""

    seen: list[Seen]
    methods: list[str]
    refusal: int | None = None

    @property
    def statuses(self) -> list[int]:
        return [200] * len(self.seen) + ([self.refusal] if self.refusal else [])


def expected(data: bytes) -> Expected:
    """What is to become of these bytes on one connection, that ends behind them."""
    seen: list[Seen] = []
    methods: list[str] = []
    while True:
        try:
            taken = parse_request_head(data)
            if taken is None:
                return Expected(seen, methods)
            head, end = taken
            deframer = request_body_reader(head)
        except MalformedRequest as exc:
            return Expected(seen, methods, exc.response_status)
        if head.method == "CONNECT":
            return Expected(seen, methods, 501)
        methods.append(head.method)
        body = b"".join(bytes(piece) for piece in deframer.feed(data[end:]))
        if deframer.fault is not None:
            return Expected(seen, methods, 400)
        if not deframer.done:
            return Expected(seen, methods)
        seen.append(Seen(head.method, path_of(head.local_target), body))
        if not keeps_alive(head):
            return Expected(seen, methods)
        data = bytes(deframer.leftover)


def path_of(target: str) -> str:
    """A target as PATH_INFO and QUERY_STRING tell it again: decoded; there is none in OPTIONS *."""
    path, mark, query = target.partition("?")
    return "" if target == "*" else unquote(path, "latin-1") + mark * bool(query) + query


class Served:
    """An application, and the server that it runs on."""

    def __init__(self, app: Echo, server: Server) -> None:
        self.app = app
        self.server = server
        self.address = (server.host, server.port)

    def heard(self, parts: Iterable[bytes], *, ends: bool = True) -> bytes:
        """What comes back on a new connection, up to its end; nothing was seen before it."""
        self.app.seen.clear()
        return heard(self.address, parts, ends=ends)


@contextmanager
def served(app: Echo, *, threads: int = 64, timeout: float = HANG_BOUND) -> Iterator[Served]:
    """A server on the embedded engine."""
    with serve(app, threads=threads, timeout=timeout) as server:
        yield Served(app, server)
