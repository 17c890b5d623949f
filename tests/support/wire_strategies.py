"""Answers as bytes: whole, cut at any point, and nearly right; and what the parser makes of them.

The one file of the support that calls what it helps to test: ``told`` only feeds an ``Answer``
and notes what it says.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from hypothesis import strategies as st

import restkit
from restkit.wire.answer import Answer

METHODS = ("GET", "HEAD", "POST")


def examples(usual: int) -> int:
    """How many examples to try: a third of `usual`, or RESTKIT_FUZZ times that many."""
    return max(1, round(usual * float(os.environ.get("RESTKIT_FUZZ", "0.33"))))


# What is told of an answer


class Told(NamedTuple):
    """What the parser said of the bytes of one connection, up to its end."""

    error: type[restkit.Error] | None = None
    message: str = ""
    status: int = 0
    reason: str = ""
    version: int = 1
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    trailers: tuple[tuple[str, str], ...] = ()
    rest: bytes = b""

    @property
    def outcome(self) -> Told:
        """What must be the same however the bytes came: of an error, its class."""
        return Told(error=self.error) if self.error else self


def told(parts: Iterable[bytes], method: str = "GET") -> Told:
    """Feed each part, then the end of the connection."""
    answer, body = Answer(method), bytearray()
    try:
        for part in parts:
            for piece in answer.feed(part):
                body += piece
        if not answer.done:
            answer.end()
    except restkit.Error as error:
        return Told(error=type(error), message=str(error))
    head, deframer = answer.head, answer.deframer
    assert head is not None
    assert deframer is not None
    return Told(
        status=head.status,
        reason=head.reason,
        version=head.minor,
        headers=tuple(head.headers.pairs()),
        body=bytes(body),
        trailers=tuple(deframer.trailers),
        rest=bytes(deframer.rest),
    )


# Cuts


def one_by_one(data: bytes) -> list[bytes]:
    """Each byte for itself."""
    return [data[at : at + 1] for at in range(len(data))]


def in_pieces(data: bytes, size: int) -> Iterator[bytes]:
    """As a socket gives it that is read in blocks of this size."""
    return (data[at : at + size] for at in range(0, len(data), size))


def every_split(data: bytes) -> Iterator[list[bytes]]:
    """All in one, byte by byte, and in two parts at each place."""
    yield [data]
    yield one_by_one(data)
    for at in range(1, len(data)):
        yield [data[:at], data[at:]]


@st.composite
def cut(draw: st.DrawFn, data: bytes) -> list[bytes]:
    """The same bytes in parts, empty ones among them."""
    if draw(st.booleans()):
        return one_by_one(data)
    places = sorted(draw(st.lists(st.integers(0, len(data)), max_size=8)))
    return [data[a:b] for a, b in zip([0, *places], [*places, len(data)], strict=True)]


# Answers

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
    """A head, each field with the value as it is given."""
    lines = b"".join(b"%b:%b\r\n" % field for field in fields)
    return b"HTTP/1.1 %d%b\r\n%b\r\n" % (status, reason, lines)


@st.composite
def answers(draw: st.DrawFn) -> bytes:
    """A right answer of any framing, behind interim ones, and something behind it at times."""
    interim = draw(st.lists(INTERIM, max_size=3))
    message = b"".join(head(status, b" Wait", draw(TRAILERS)) for status in interim)
    fields = draw(st.lists(st.tuples(NAMES, VALUES), max_size=4))
    body, framing = draw(st.one_of(sized(), chunked(), _to_end()))
    if framing:
        fields.insert(draw(st.integers(0, len(fields))), framing)
    message += head(draw(STATUSES), draw(REASONS), fields) + body
    return message + draw(st.sampled_from([b"", b"", b"", b"garbage", b"\r\n", message]))


@st.composite
def sized(draw: st.DrawFn) -> tuple[bytes, tuple[bytes, bytes]]:
    """A body, and the field that tells its length."""
    body = draw(BODIES)
    value = draw(st.sampled_from([b" %d", b"%d", b"\t%d ", b" %d, %d", b" 0%d"]))
    return body, (b"Content-Length", value.replace(b"%d", b"%d" % len(body)))


@st.composite
def chunked(draw: st.DrawFn) -> tuple[bytes, tuple[bytes, bytes]]:
    """A body in chunks, and the field that says so."""
    body = b""
    for piece in draw(st.lists(BODIES.filter(len), max_size=3)):
        size = draw(st.sampled_from([b"%x", b"%X", b"00%x", b"%x "])) % len(piece)
        body += size + draw(EXTENSIONS) + b"\r\n" + piece + b"\r\n"
    trailers = b"".join(b"%b:%b\r\n" % field for field in draw(TRAILERS))
    body += b"0" + draw(EXTENSIONS) + b"\r\n" + trailers + b"\r\n"
    return body, (b"Transfer-Encoding", draw(st.sampled_from([b" chunked", b"Chunked "])))


@st.composite
def _to_end(draw: st.DrawFn) -> tuple[bytes, None]:
    return draw(BODIES), None


# What makes an answer wrong, or only seems to
SPLINTERS = st.sampled_from(
    [
        *(bytes([code]) for code in b"\r\n\0\t :;,+-x0159af\x7f\x0b\x85\xff"),
        b"\r\n",
        b"\r\n\r\n",
        b"\r\n ",
        b"HTTP/1.0",
        b"Content-Length: 5\r\n",
        b"content-length:\r\n 5\r\n",
        b"Content-Length: 5, 5\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: gzip, chunked\r\n",
        b"Connection: close\r\n",
        b"0\r\n",
        b"0x",
    ]
)


@st.composite
def damaged(draw: st.DrawFn, messages: st.SearchStrategy[bytes]) -> bytes:
    """A right message in which a few bytes were lost, changed, doubled or put in."""
    data = draw(messages)
    for _ in range(draw(st.integers(0, 3))):
        start = draw(st.integers(0, len(data)))
        end = min(len(data), start + draw(st.sampled_from([0, 0, 0, 1, 1, 2, 9])))
        new = draw(SPLINTERS | st.sampled_from([b"", data[start:end] * 2]))
        data = data[:start] + new + data[end:]
    return data[: draw(st.integers(0, len(data)))] if draw(st.integers(0, 9)) == 0 else data


def near_answers() -> st.SearchStrategy[bytes]:
    return damaged(answers())


ANY_BYTES = st.one_of(near_answers(), near_answers(), near_answers(), st.binary(max_size=200))
