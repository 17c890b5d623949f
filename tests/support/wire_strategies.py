"""Strategies for the bytes of responses: valid, split at any point, nearly valid; and the parser.

Only this file of the support uses what it helps to test: ``parse`` feeds a ``ResponseReader`` and
returns what it found.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from hypothesis import strategies as st

import restkit
from restkit.http1.response_reader import ResponseReader

METHODS = ("GET", "HEAD", "POST")


def examples(usual: int) -> int:
    """Return the number of examples: a third of ``usual``, or RESTKIT_FUZZ times ``usual``."""
    return max(1, round(usual * float(os.environ.get("RESTKIT_FUZZ", "0.33"))))


# The result of the parser


class Parsed(NamedTuple):
    """The result of the parser for the bytes of one connection, up to its end."""

    error: type[restkit.Error] | None = None
    message: str = ""
    status: int = 0
    reason: str = ""
    version: int = 1
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    trailers: tuple[tuple[str, str], ...] = ()
    leftover: bytes = b""

    @property
    def outcome(self) -> Parsed:
        """The part that must be the same at every split: of an error, only its class."""
        return Parsed(error=self.error) if self.error else self


def parse(parts: Iterable[bytes], method: str = "GET") -> Parsed:
    """Feed each part, then the end of the connection."""
    reader, body = ResponseReader(method), bytearray()
    try:
        for part in parts:
            for chunk in reader.feed(part):
                body += chunk
        if not reader.done:
            reader.end()
    except restkit.Error as error:
        return Parsed(error=type(error), message=str(error))
    head, body_reader = reader.head, reader.body_reader
    assert head is not None
    assert body_reader is not None
    return Parsed(
        status=head.status,
        reason=head.reason,
        version=head.minor,
        headers=tuple(head.headers.pairs()),
        body=bytes(body),
        trailers=tuple(body_reader.trailers),
        leftover=bytes(body_reader.leftover),
    )


# Splits


def single_bytes(data: bytes) -> list[bytes]:
    """Return each byte as a part."""
    return [data[at : at + 1] for at in range(len(data))]


def in_parts(data: bytes, size: int) -> Iterator[bytes]:
    """Return the data in parts of this size, as a socket returns it."""
    return (data[at : at + size] for at in range(0, len(data), size))


def every_split(data: bytes) -> Iterator[list[bytes]]:
    """Return the data as a whole, byte by byte, and in two parts at each place."""
    yield [data]
    yield single_bytes(data)
    for at in range(1, len(data)):
        yield [data[:at], data[at:]]


@st.composite
def cut(draw: st.DrawFn, data: bytes) -> list[bytes]:
    """Split the data into parts, some of them empty."""
    if draw(st.booleans()):
        return single_bytes(data)
    places = sorted(draw(st.lists(st.integers(0, len(data)), max_size=8)))
    return [data[a:b] for a, b in zip([0, *places], [*places, len(data)], strict=True)]


# Responses

NAMES = st.sampled_from([b"X", b"Set-Cookie", b"Server", b"x-~!#$%&'*+-.^_`|", b"Content-Type"])
VALUES = st.sampled_from([b"", b"a", b" b ", b"\tc\t", b"d, e", b'"f:g"', b"caf\xe9", b"h\r\n i"])
REASONS = st.sampled_from([b" OK", b" ", b"", b" Not  Found", b" d\xe9j\xe0 vu"])
STATUSES = st.sampled_from([200, 200, 200, 201, 204, 206, 304, 404, 500, 999])
INTERIM = st.sampled_from([100, 102, 103, 199])
TRAILERS = st.lists(st.tuples(NAMES, VALUES), max_size=2)
EXTENSIONS = st.sampled_from([b"", b"", b";x", b";x=1", b';x="a;b"', b" ;y = z"])
BODIES = st.binary(max_size=40) | st.sampled_from(
    [b"\r\n", b"0\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n"]
)


def head(status: int, reason: bytes, fields: Sequence[tuple[bytes, bytes]]) -> bytes:
    """Return a head with these fields, values unchanged."""
    lines = b"".join(b"%b:%b\r\n" % field for field in fields)
    return b"HTTP/1.1 %d%b\r\n%b\r\n" % (status, reason, lines)


@st.composite
def responses(draw: st.DrawFn) -> bytes:
    """A valid response of any framing, after interim ones, sometimes with bytes after it."""
    interim = draw(st.lists(INTERIM, max_size=3))
    message = b"".join(head(status, b" Wait", draw(TRAILERS)) for status in interim)
    fields = draw(st.lists(st.tuples(NAMES, VALUES), max_size=4))
    body, framing = draw(st.one_of(sized(), chunked(), _to_end()))
    if framing:
        fields.insert(draw(st.integers(0, len(fields))), framing)
    final = head(draw(STATUSES), draw(REASONS), fields)
    message += draw(st.sampled_from([final, final, final.replace(b"\r\n", b"\n")])) + body
    return message + draw(st.sampled_from([b"", b"", b"", b"garbage", b"\r\n", message]))


@st.composite
def sized(draw: st.DrawFn) -> tuple[bytes, tuple[bytes, bytes]]:
    """A body, and its Content-Length."""
    body = draw(BODIES)
    value = draw(st.sampled_from([b" %d", b"%d", b"\t%d ", b" %d, %d", b" 0%d"]))
    return body, (b"Content-Length", value.replace(b"%d", b"%d" % len(body)))


@st.composite
def chunked(
    draw: st.DrawFn, values: st.SearchStrategy[bytes] = VALUES
) -> tuple[bytes, tuple[bytes, bytes]]:
    """A body in chunks with trailers of these values, and its Transfer-Encoding."""
    body = b""
    for data in draw(st.lists(BODIES.filter(len), max_size=3)):
        size = draw(st.sampled_from([b"%x", b"%X", b"00%x", b"%x "])) % len(data)
        body += size + draw(EXTENSIONS) + b"\r\n" + data + b"\r\n"
    fields = draw(st.lists(st.tuples(NAMES, values), max_size=2))
    trailers = b"".join(b"%b:%b\r\n" % field for field in fields)
    body += b"0" + draw(EXTENSIONS) + b"\r\n" + trailers + b"\r\n"
    return body, (b"Transfer-Encoding", draw(st.sampled_from([b" chunked", b"Chunked "])))


@st.composite
def _to_end(draw: st.DrawFn) -> tuple[bytes, None]:
    return draw(BODIES), None


# Bytes that make a response invalid, or only seem to
SPLINTER_BYTES = [
    *(bytes([code]) for code in b"\r\n\0\t :;,+-x0159af\x7f\x0b\x85\xff"),
    b"\r\n",
    b"\r\n\r\n",
    b"\r\n ",
    b"\n\n",
    b"HTTP/1.0",
    b"HTTP/2",
    b"Content-Length: 5\r\n",
    b"content-length:\r\n 5\r\n",
    b"Content-Length: 5, 5\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: gzip, chunked\r\n",
    b"Connection: close\r\n",
    b"0\r\n",
    b"0x",
]
SPLINTERS = st.sampled_from(SPLINTER_BYTES)


@st.composite
def damaged(draw: st.DrawFn, messages: st.SearchStrategy[bytes]) -> bytes:
    """A valid message with a few bytes lost, changed, doubled or inserted."""
    data = draw(messages)
    for _ in range(draw(st.integers(0, 3))):
        start = draw(st.integers(0, len(data)))
        end = min(len(data), start + draw(st.sampled_from([0, 0, 0, 1, 1, 2, 9])))
        new = draw(SPLINTERS | st.sampled_from([b"", data[start:end] * 2]))
        data = data[:start] + new + data[end:]
    return data[: draw(st.integers(0, len(data)))] if draw(st.integers(0, 9)) == 0 else data


def near_responses() -> st.SearchStrategy[bytes]:
    return damaged(responses())


ANY_BYTES = st.one_of(near_responses(), near_responses(), near_responses(), st.binary(max_size=200))
