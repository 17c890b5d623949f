"""The results of restkit, h11 and llhttp for a request, in the form of ``response_parsers``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import h11
import httptools

import restkit
from restkit.errors import UnexpectedEOF
from restkit.http1.framing import BodyReader, keeps_alive, request_body_reader
from restkit.http1.request_head import MalformedRequest, RequestHead, parse_request_head
from support.response_parsers import Pairs, normalize

ENDED_EARLY = "the connection was closed"


class Outcome(NamedTuple):
    """The result of one parser for one connection: a request, or an error in its own words."""

    fault: str = ""
    status: int = 0
    method: str = ""
    target: str = ""
    minor: int = 0
    headers: Pairs = ()
    body: bytes = b""
    trailers: Pairs = ()
    leftover: bool = False

    def agrees_with(self, other: Outcome) -> bool:
        return bool(self.fault and other.fault) or self == other


# restkit


def parse_by_restkit(parts: Iterable[bytes]) -> Outcome:
    """Feed each part, then the end of the connection."""
    return _parse_one(parts)[0]


def parse_all_by_restkit(data: bytes) -> list[Outcome]:
    """Return each request of a connection, up to the first fault."""
    found = []
    while data not in (b"", b"\r\n"):  # RFC 9112 2.2: an empty line may follow a body
        outcome, data = _parse_one([data])
        found.append(outcome)
    return found


def _parse_one(parts: Iterable[bytes]) -> tuple[Outcome, bytes]:
    """Return the first request, and the bytes after it."""
    held, body = b"", bytearray()
    head: RequestHead | None = None
    body_reader: BodyReader | None = None
    try:
        for part in parts:
            held = held + part if body_reader is None else part
            if body_reader is None:
                parsed = parse_request_head(held)
                if parsed is None:
                    continue
                head, held = parsed[0], held[parsed[1] :]
                body_reader = request_body_reader(head)
                assert isinstance(keeps_alive(head), bool)
            body += b"".join(bytes(chunk) for chunk in body_reader.feed(held))
        if body_reader is None or head is None:
            return Outcome(ENDED_EARLY), b""
        body_reader.end()
    except UnexpectedEOF:
        return Outcome(ENDED_EARLY), b""
    except MalformedRequest as error:
        return Outcome(str(error), error.response_status), b""
    except restkit.errors.ParserError as error:
        return Outcome(str(error)), b""
    headers = tuple((name.lower(), value) for name, value in head.headers.pairs())
    trailers = tuple((name.lower(), value) for name, value in body_reader.trailers)
    found = (head.method, head.target, head.minor, headers, bytes(body), trailers)
    return Outcome("", 0, *found, bool(body_reader.leftover)), body_reader.leftover


# h11


def parse_by_h11(data: bytes) -> Outcome:
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=64 * 1024)
    connection.receive_data(data)
    try:
        return _collect_from_h11(connection)
    except h11.RemoteProtocolError as error:
        return Outcome(str(error), error.error_status_hint)


def _collect_from_h11(connection: h11.Connection) -> Outcome:
    body = b""
    request: h11.Request | None = None
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(b"")
        elif isinstance(event, h11.Request):
            request = event
        elif isinstance(event, h11.Data):
            body += event.data
        elif isinstance(event, h11.EndOfMessage) and request is not None:
            return Outcome(
                method=request.method.decode("latin-1"),
                target=request.target.decode("latin-1"),
                minor=int(request.http_version[2:]),
                headers=normalize(request.headers),
                body=body,
                trailers=normalize(event.headers),
                leftover=bool(connection.trailing_data[0]),
            )
        else:
            return Outcome(ENDED_EARLY)


# llhttp


class Listener:
    """The callbacks of llhttp."""

    def __init__(self) -> None:
        self.parser = httptools.HttpRequestParser(self)
        self.done = self.behind_head = False
        self.target = self.body = b""
        self.headers: list[tuple[bytes, bytes]] = []
        self.trailers: list[tuple[bytes, bytes]] = []

    def on_url(self, url: bytes) -> None:
        self.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        (self.trailers if self.behind_head else self.headers).append((name, value))

    def on_headers_complete(self) -> None:
        self.behind_head = True

    def on_body(self, data: bytes) -> None:
        self.body += data

    def on_message_complete(self) -> None:
        self.done = True


def parse_by_llhttp(data: bytes) -> Outcome:
    listener, count = Listener(), 0
    try:
        # Byte by byte, so that it stops after the request.
        while count < len(data) and not listener.done:
            count += 1
            listener.parser.feed_data(data[count - 1 : count])
    except httptools.HttpParserUpgrade:
        pass
    except httptools.HttpParserError as error:
        if "Pause on CONNECT/Upgrade" not in str(error):
            return Outcome(str(error))
    if not listener.done:
        return Outcome(ENDED_EARLY)
    return Outcome(
        method=listener.parser.get_method().decode("latin-1"),
        target=listener.target.decode("latin-1"),
        minor=int(listener.parser.get_http_version()[2:]),
        headers=normalize(listener.headers),
        body=listener.body,
        trailers=normalize(listener.trailers),
        leftover=count < len(data),
    )
