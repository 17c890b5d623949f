"""The same answers through restkit, h11 and llhttp: every difference in outcome has its reason.

Compared are h11 0.16.0, as a client that has sent its request, and httptools 0.9.0, which is
llhttp 9 with none of its leniencies. What is a matter of form is brought into one: names in lower
case, no blanks around values. What a peer has no word for is not held against it: llhttp knows
neither the method nor the end of the connection, so that answers to HEAD are compared with h11
alone, and a body is whole for llhttp when only the end of the connection could end it.

``DIFFERENCES`` is the one table. A difference that is not in it fails, and so does a row that no
message of the corpus needs any more.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

import h11
import httptools
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.wire_strategies import METHODS, answers, examples, near_answers, told

Pairs = tuple[tuple[str, str], ...]


class Outcome(NamedTuple):
    """What one parser makes of the bytes of one connection: an answer, or a fault in its words."""

    fault: str = ""
    status: int = 0
    headers: Pairs = ()
    body: bytes = b""
    trailers: Pairs = ()
    leftover: bool = False

    def agrees_with(self, other: Outcome) -> bool:
        return bool(self.fault and other.fault) or self == other


def in_form(pairs: Iterable[tuple[bytes, bytes]]) -> Pairs:
    return tuple(
        (name.decode("latin-1").lower(), value.decode("latin-1").strip(" \t"))
        for name, value in pairs
    )


# restkit


def by_restkit(data: bytes, method: str) -> Outcome:
    was = told([data], method)
    if was.error:
        return Outcome(was.message)
    headers = tuple((name.lower(), value) for name, value in was.headers)
    trailers = tuple((name.lower(), value) for name, value in was.trailers)
    return Outcome("", was.status, headers, was.body, trailers, bool(was.rest))


# h11


def by_h11(data: bytes, method: str) -> Outcome:
    connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=64 * 1024)
    # It takes a 101 only where an upgrade was offered.
    fields = [("Host", "x"), ("Connection", "upgrade"), ("Upgrade", "x")]
    connection.send(h11.Request(method=method, target="/", headers=fields))
    connection.send(h11.EndOfMessage())
    connection.receive_data(data)
    try:
        return _of_h11(connection)
    except h11.RemoteProtocolError as error:
        return Outcome(str(error))


def _of_h11(connection: h11.Connection) -> Outcome:
    status, headers, trailers, body = 0, (), (), b""
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(b"")
        elif isinstance(event, (h11.InformationalResponse, h11.Response)):
            status, headers = event.status_code, in_form(event.headers)
        elif isinstance(event, h11.Data):
            body += event.data
        elif isinstance(event, h11.EndOfMessage):
            trailers = in_form(event.headers)
            break
        elif event is h11.PAUSED:
            break
        else:
            return Outcome("the connection was closed")
    return Outcome("", status, headers, body, trailers, bool(connection.trailing_data[0]))


# llhttp


class Listener:
    """What llhttp calls; it tells of interim answers as of others."""

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
        framing = {b"content-length", b"transfer-encoding"}
        return self.behind_head and framing.isdisjoint(name.lower() for name, _ in self.headers)


def by_llhttp(data: bytes) -> Outcome:
    listener, count = Listener(), 0
    try:
        # Byte by byte, so that it stops behind the answer: the next one is not asked for.
        while count < len(data) and not listener.done:
            count += 1
            listener.parser.feed_data(data[count - 1 : count])
    except httptools.HttpParserUpgrade:
        pass
    except httptools.HttpParserError as error:
        return Outcome(str(error))
    if not listener.done and not listener.ends_with_the_connection:
        return Outcome("the connection was closed")
    headers, trailers = in_form(listener.headers), in_form(listener.trailers)
    return Outcome("", listener.status, headers, listener.body, trailers, count < len(data))


# The table


class Difference(NamedTuple):
    """Where ``peer`` comes to another outcome than restkit, and why restkit's is the right one.

    ``ours`` and ``theirs`` are found in what each has to say of the message, TAKEN for one that
    takes it; ``data`` is found in the message.
    """

    peer: str
    ours: str
    theirs: str
    reason: str
    data: bytes = b""


TAKEN = "^$"
DIFFERENCES: list[Difference] = [
]


def differences(data: bytes, method: str) -> list[tuple[str, Outcome, Outcome]]:
    """(peer, restkit's outcome, the peer's), for each peer that differs."""
    ours = by_restkit(data, method)
    theirs = {"h11": by_h11(data, method)}
    if method != "HEAD":
        theirs["llhttp"] = by_llhttp(data)
    return [(peer, ours, its) for peer, its in theirs.items() if not ours.agrees_with(its)]


def reasons(data: bytes, peer: str, ours: Outcome, theirs: Outcome) -> list[Difference]:
    return [
        row
        for row in DIFFERENCES
        if row.peer == peer
        and re.search(row.ours, ours.fault)
        and re.search(row.theirs, theirs.fault)
        and re.search(row.data, data, re.DOTALL | re.IGNORECASE)
    ]
