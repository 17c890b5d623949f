"""The results of restkit, h11 and llhttp for the bytes of one connection, in the same form.

Names are in lower case, and values have no blanks around them. A parser is not blamed for what it
cannot know: llhttp knows neither the method nor the end of the connection. So it does not get
responses to HEAD, and a body that only the end of the connection can end counts as complete.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import h11
import httptools

from support.wire_strategies import parse

Pairs = tuple[tuple[str, str], ...]


class Outcome(NamedTuple):
    """The result of one parser for one connection: a response, or an error in its own words."""

    fault: str = ""
    status: int = 0
    headers: Pairs = ()
    body: bytes = b""
    trailers: Pairs = ()
    leftover: bool = False

    def agrees_with(self, other: Outcome) -> bool:
        return bool(self.fault and other.fault) or self == other


def normalize(pairs: Iterable[tuple[bytes, bytes]]) -> Pairs:
    return tuple(
        (name.decode("latin-1").lower(), value.decode("latin-1").strip(" \t"))
        for name, value in pairs
    )


# restkit


def parse_by_restkit(data: bytes, method: str) -> Outcome:
    result = parse([data], method)
    if result.error:
        return Outcome(result.message)
    headers = tuple((name.lower(), value) for name, value in result.headers)
    trailers = tuple((name.lower(), value) for name, value in result.trailers)
    return Outcome("", result.status, headers, result.body, trailers, bool(result.leftover))


# h11


def parse_by_h11(data: bytes, method: str) -> Outcome:
    connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=64 * 1024)
    # It accepts a 101 only if an upgrade was offered.
    fields = [("Host", "x"), ("Connection", "upgrade"), ("Upgrade", "x")]
    connection.send(h11.Request(method=method, target="/", headers=fields))
    connection.send(h11.EndOfMessage())
    connection.receive_data(data)
    try:
        return _collect_from_h11(connection)
    except h11.RemoteProtocolError as error:
        return Outcome(str(error))


def _collect_from_h11(connection: h11.Connection) -> Outcome:
    status, body = 0, b""
    headers: Pairs = ()
    trailers: Pairs = ()
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(b"")
        elif isinstance(event, (h11.InformationalResponse, h11.Response)):
            status, headers = event.status_code, normalize(event.headers)
        elif isinstance(event, h11.Data):
            body += event.data
        elif isinstance(event, h11.EndOfMessage):
            trailers = normalize(event.headers)
            break
        elif event is h11.PAUSED:
            break
        else:
            return Outcome("the connection was closed")
    return Outcome("", status, headers, body, trailers, bool(connection.trailing_data[0]))


# llhttp


class Listener:
    """The callbacks of llhttp, which does not tell interim responses from others."""

    def __init__(self) -> None:
        self.parser = httptools.HttpResponseParser(self)
        self.done = False
        self._begin()

    def _begin(self) -> None:
        self.behind_head = False
        self.headers: list[tuple[bytes, bytes]] = []
        self.trailers: list[tuple[bytes, bytes]] = []
        self.body = b""

    def on_header(self, name: bytes, value: bytes) -> None:
        (self.trailers if self.behind_head else self.headers).append((name, value))

    def on_headers_complete(self) -> None:
        self.behind_head = True

    def on_body(self, data: bytes) -> None:
        self.body += data

    def on_message_complete(self) -> None:
        if 100 <= self.status < 200 and self.status != 101:
            self._begin()
        else:
            self.done = True

    @property
    def status(self) -> int:
        return self.parser.get_status_code()

    @property
    def ends_with_the_connection(self) -> bool:
        fields = {name.lower(): value.lower().rstrip(b" ") for name, value in self.headers}
        chunked = fields.get(b"transfer-encoding", b"").endswith(b"chunked")
        return self.behind_head and not chunked and b"content-length" not in fields


def parse_by_llhttp(data: bytes) -> Outcome:
    listener, count = Listener(), 0
    try:
        # Byte by byte, so that it stops after the response.
        while count < len(data) and not listener.done:
            count += 1
            listener.parser.feed_data(data[count - 1 : count])
    except httptools.HttpParserUpgrade:
        pass
    except httptools.HttpParserError as error:
        if "Pause on CONNECT/Upgrade" not in str(error):
            return Outcome(str(error))
    if not listener.done and not listener.ends_with_the_connection:
        return Outcome("the connection was closed")
    headers, trailers = normalize(listener.headers), normalize(listener.trailers)
    return Outcome("", listener.status, headers, listener.body, trailers, count < len(data))
