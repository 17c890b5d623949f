"""Requests of HTTP/1.1 to the embedded engine: one table of messages, responses and RFC sections.

After each message comes a request for ``/last``. It must get a response after a valid message, and
none after a message whose end is not certain.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import pytest

from support.echo import Echo, EchoServer, serve_echo
from support.raw_client import parse_responses
from support.wire_strategies import single_bytes

HOST = b"Host: example.com\r\n"
GET = b"GET / HTTP/1.1\r\n" + HOST
POST = b"POST / HTTP/1.1\r\n" + HOST
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
LAST = b"GET /last HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n"


class Case(NamedTuple):
    """A message, sent in these parts, and the statuses of the responses before that of /last.

    ``body`` is the body that the application gets for the first request.
    """

    section: str
    parts: list[bytes]
    statuses: list[int]
    goes_on: bool = True
    body: bytes = b""


def valid(section: str, *parts: bytes, body: bytes = b"") -> Case:
    return Case(section, [*parts], [200], body=body)


def refused(section: str, status: int, *parts: bytes) -> Case:
    return Case(section, [*parts], [status], goes_on=False)


CASES = {
    # Request line
    "a GET with a path": valid("9112 3", GET + b"\r\n"),
    "a method that nobody knows": valid("9110 9.1", b"BREW / HTTP/1.1\r\n" + HOST + b"\r\n"),
    "a method in small letters is another method": valid(
        "9110 9.1", b"get / HTTP/1.1\r\n" + HOST + b"\r\n"
    ),
    "a method with a separator": refused(
        "9110 5.6.2", 400, b"GE(T / HTTP/1.1\r\n" + HOST + b"\r\n"
    ),
    "an absolute target": valid(
        "9112 3.2.2", b"GET http://example.com/a?b HTTP/1.1\r\n" + HOST + b"\r\n"
    ),
    "an asterisk with OPTIONS": valid("9112 3.2.4", b"OPTIONS * HTTP/1.1\r\n" + HOST + b"\r\n"),
    "an asterisk with GET": refused("9112 3.2.4", 400, b"GET * HTTP/1.1\r\n" + HOST + b"\r\n"),
    "a target without a slash": refused("9112 3.2", 400, b"GET a HTTP/1.1\r\n" + HOST + b"\r\n"),
    "a space in the target": refused("9112 3.2", 400, b"GET /a b HTTP/1.1\r\n" + HOST + b"\r\n"),
    "no version": refused("9112 2.3", 400, b"GET /\r\n" + HOST + b"\r\n"),
    "a version in small letters": refused("9112 2.3", 400, b"GET / http/1.1\r\n" + HOST + b"\r\n"),
    "a higher major version": refused("9110 15.6.6", 505, b"GET / HTTP/3.0\r\n" + HOST + b"\r\n"),
    "a request of HTTP/1.0 closes": Case("9112 9.3", [b"GET / HTTP/1.0\r\n\r\n"], [200], False),
    "an empty line before the request": valid("9112 2.2", b"\r\n" + GET + b"\r\n"),
    # Fields
    "no Host": refused("9112 3.2", 400, b"GET / HTTP/1.1\r\n\r\n"),
    "two Hosts": refused("9112 3.2", 400, GET + HOST + b"\r\n"),
    "a Host with a path": refused("9112 3.2", 400, b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"),
    "an empty value, and blanks around one": valid("9112 5.1", GET + b"A:\r\nB: \t b \t \r\n\r\n"),
    "a space before the colon": refused("9112 5.1", 400, GET + b"A : b\r\n\r\n"),
    "a folded field": refused("9112 5.2", 400, GET + b"A: b\r\n c\r\n\r\n"),
    "a control character in a value": refused("9110 5.5", 400, GET + b"A: \x01\r\n\r\n"),
    "line ends without CR": refused("9112 2.2", 400, (GET + b"\r\n").replace(b"\r\n", b"\n")),
    # Bodies
    "a body with a length": valid(
        "9112 6.3", POST + b"Content-Length: 5\r\n\r\nhello", body=b"hello"
    ),
    "a negative length": refused("9110 8.6", 400, POST + b"Content-Length: -5\r\n\r\nhello"),
    "a length beyond 64 bits": refused(
        "9110 8.6", 400, POST + b"Content-Length: 18446744073709551621\r\n\r\nhello"
    ),
    "two lengths that differ": refused(
        "9112 6.3", 400, POST + b"Content-Length: 5\r\nContent-Length: 4\r\n\r\nhello"
    ),
    "a length beside chunks": refused(
        "9112 6.1", 400, POST + b"Content-Length: 5\r\n" + CHUNKED[len(POST) :] + b"0\r\n\r\n"
    ),
    "a coding that is not known": refused(
        "9112 6.1", 501, POST + b"Transfer-Encoding: x, chunked\r\n\r\n0\r\n\r\n"
    ),
    "chunks with extensions and trailers": valid(
        "9112 7.1", CHUNKED + b'A;a="b;c"\r\n0123456789\r\n0;d\r\nE: f\r\n\r\n', body=b"0123456789"
    ),
    "a chunk size with a sign": refused("9112 7.1", 400, CHUNKED + b"+5\r\nhello\r\n0\r\n\r\n"),
    "100 (Continue) before the body": Case(
        "9110 10.1.1",
        [POST + b"Content-Length: 5\r\nExpect: 100-continue\r\n\r\n", b"hello"],
        [200],
        body=b"hello",
    ),
    # Connections
    "three requests in one segment": Case("9112 9.3.2", [(GET + b"\r\n") * 3], [200, 200, 200]),
    "a request in single bytes": valid(
        "9112 2.2", *single_bytes(POST + b"Content-Length: 5\r\n\r\nhello"), body=b"hello"
    ),
}


@pytest.fixture(scope="module")
def echo() -> Iterator[EchoServer]:
    with serve_echo(Echo()) as echo:
        yield echo


@pytest.mark.parametrize("name", CASES)
def test_message_gets_the_responses_that_the_RFC_asks_for(echo: EchoServer, name: str) -> None:
    case = CASES[name]
    received = echo.exchange([*case.parts, LAST], ends=False)
    responses = parse_responses(received, [])
    found = [response.status for response in responses]
    assert found == [*case.statuses, *([200] if case.goes_on else [])]
    assert responses[-1].headers["connection"] == "close"
    seen = [(request.target, request.body) for request in echo.app.seen]
    if case.statuses[0] != 200:
        assert seen == []
    else:
        assert seen[0][1] == case.body
        assert (seen[-1][0] == "/last") == case.goes_on
