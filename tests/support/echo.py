"""Applications that record what they read, and a prediction of that for any bytes.

``predict`` uses only the parsers of ``restkit.http1``, request by request. A server that agrees
with it has no rules of its own about heads and bodies.
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
from .raw_client import send_and_read

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment


class Seen(NamedTuple):
    """A request that an application has read to its end."""

    method: str
    target: str
    body: bytes


class Echo:
    """An application that records each request, and responds with its body."""

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


class EarlyResponder(Echo):
    """Respond after reading as many bytes of the body as the path says, or none."""

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
        count = environ["PATH_INFO"].strip("/")
        read = environ["wsgi.input"].read(int(count)) if count.isdigit() else b""
        self.seen.append(Seen(environ["REQUEST_METHOD"], environ["PATH_INFO"], read))
        start_response("200 OK", [])
        return [read]


class Prediction(NamedTuple):
    """The requests that are handled; ``methods`` are those of all valid heads."""

    seen: list[Seen]
    methods: list[str]
    error_status: int | None = None

    @property
    def statuses(self) -> list[int]:
        return [200] * len(self.seen) + ([self.error_status] if self.error_status else [])


def predict(data: bytes) -> Prediction:
    """Predict the effect of these bytes on one connection, which ends after them."""
    seen: list[Seen] = []
    methods: list[str] = []
    while True:
        try:
            parsed = parse_request_head(data)
            if parsed is None:
                return Prediction(seen, methods)
            head, end = parsed
            reader = request_body_reader(head)
        except MalformedRequest as exc:
            return Prediction(seen, methods, exc.response_status)
        if head.method == "CONNECT":
            return Prediction(seen, methods, 501)
        methods.append(head.method)
        body = b"".join(bytes(chunk) for chunk in reader.feed(data[end:]))
        if reader.fault is not None:
            return Prediction(seen, methods, 400)
        if not reader.done:
            return Prediction(seen, methods)
        seen.append(Seen(head.method, decode_target(head.local_target), body))
        if not keeps_alive(head):
            return Prediction(seen, methods)
        data = bytes(reader.leftover)


def decode_target(target: str) -> str:
    """Decode a target as PATH_INFO and QUERY_STRING are; it is empty for OPTIONS *."""
    path, mark, query = target.partition("?")
    return "" if target == "*" else unquote(path, "latin-1") + mark * bool(query) + query


class EchoServer:
    """An application and its server."""

    def __init__(self, app: Echo, server: Server) -> None:
        self.app = app
        self.server = server
        self.address = (server.host, server.port)

    def exchange(self, parts: Iterable[bytes], *, ends: bool = True) -> bytes:
        """Forget earlier requests, send parts on a new connection, and read to its end."""
        self.app.seen.clear()
        return send_and_read(self.address, parts, ends=ends)


@contextmanager
def serve_echo(
    app: Echo, *, threads: int = 64, timeout: float = HANG_BOUND
) -> Iterator[EchoServer]:
    """Serve an application on the embedded engine."""
    with serve(app, threads=threads, timeout=timeout) as server:
        yield EchoServer(app, server)
