"""Find where a body ends, and decide whether the connection stays open.

Where a body begins and ends (RFC 9112 6 and 7): pure state machines on bytes.

A response head chooses one of three readers, each fed with what the socket gave; a request head
chooses between two of them, in ``request_head``, by rules that are stricter.

Leniencies, each with its reason: chunk extensions are passed over (7.1.1 asks for it), white
space behind a chunk's size is taken (old servers pad sizes with it), and the same
Content-Length given twice is one (6.3). Whatever else is not in the grammar is an error that
names it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Protocol

from restkit.errors import ParserError, UnexpectedEOF
from restkit.http1.fields import TOKEN_CHAR, Pairs, take_trailers
from restkit.http1.request_head import MalformedRequest
from restkit.http1.response_head import ResponseHead, is_inside_a_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from restkit.http1.fields import Head
    from restkit.http1.request_head import RequestHead
    from restkit.io.buffers import Buffer


MAX_CHUNK_LINE = 4096


LENGTH_FIELD = b"\r\ncontent-length:"
CODING_FIELD = b"\r\ntransfer-encoding:"
_CONNECTION_FIELD = b"\r\nconnection:"
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]{1,19})[ \t]*\r\n(?![ \t])")
_CONNECTION = re.compile(rb"\r\nconnection:([^\r\n]*(?:\r\n[ \t][^\r\n]*)*)")
_KEEP_ALIVE = re.compile(rb"\r\nconnection: keep-alive\r\n(?![ \t])")
_DIGITS = re.compile(r"[0-9]{1,19}")
_CHUNK = rb"([0-9A-Fa-f]{1,16})[ \t]*(?:;[^\r\n\0]*)?\r\n"
_FIRST_CHUNK = re.compile(_CHUNK)
_NEXT_CHUNK = re.compile(rb"\r\n" + _CHUNK)
_CHUNK_LINE_BEGINS = re.compile(rb"(?:[0-9A-Fa-f]{1,16}[ \t]*(?:;[^\r\n\0]*)?\r?)?")


class BodyReader(Protocol):
    """Takes what comes off the socket and gives what of it is body."""

    @property
    def done(self) -> bool:
        """Whether the body has ended."""

    @property
    def left(self) -> int | None:
        """How many bytes may be received without looking at them; None is any number."""

    @property
    def rest(self) -> bytes:
        """What came behind the end of the body, and belongs to nobody."""

    @property
    def length(self) -> int | None:
        """The length of the whole body, where the head told it."""

    @property
    def trailers(self) -> Pairs:
        """The fields behind the body, once it has ended."""

    @property
    def progress(self) -> str:
        """How far it has come, for messages: 'after 60 of 100 bytes'."""

    @property
    def fault(self) -> ParserError | None:
        """What is wrong with what came behind the pieces that were given; nothing more follows."""

    def feed(self, data: bytes) -> Sequence[Buffer]:
        """The pieces of the body that are in ``data``; raises the ``fault`` of an earlier one."""

    def received(self, count: int) -> None:
        """Take note of bytes of the body that went past this object, at most ``left``."""

    def end(self) -> None:
        """The connection has ended: raises UnexpectedEOF unless the body may end so."""


class SizedBody:
    """A body of as many bytes as its Content-Length says, or of none."""

    __slots__ = ("done", "left", "length", "rest", "trailers")

    fault = None

    def __init__(self, length: int) -> None:
        self.length = length
        self.left = length
        self.done = not length
        self.rest = b""
        self.trailers: Pairs = []

    def feed(self, data: bytes) -> Sequence[Buffer]:
        if len(data) > self.left:
            self.rest += data[self.left :]
            data = data[: self.left]
        self.received(len(data))
        return (data,) if data else ()

    def received(self, count: int) -> None:
        self.left -= count
        if not self.left:
            self.done = True

    @property
    def progress(self) -> str:
        return f"after {self.length - self.left} of {self.length} bytes"

    def end(self) -> None:
        if self.left:
            raise UnexpectedEOF(f"the body ended {self.progress}")


class BodyToEnd:
    """A body that ends with the connection, the only mark of its end."""

    __slots__ = ("_came", "done", "left", "length", "rest", "trailers")

    fault = None

    def __init__(self) -> None:
        self._came = 0
        self.done = False
        self.left = None
        self.length = None
        self.rest = b""
        self.trailers: Pairs = []

    def feed(self, data: bytes) -> Sequence[Buffer]:
        self.received(len(data))
        return (data,) if data else ()

    def received(self, count: int) -> None:
        self._came += count

    @property
    def progress(self) -> str:
        return f"after {self._came} bytes"

    def end(self) -> None:
        self.done = True


class ChunkedBody:
    """A body in chunks, with trailers behind the last."""

    __slots__ = (
        "_came",
        "_chunk",
        "_held",
        "_next",
        "done",
        "fault",
        "left",
        "length",
        "rest",
        "trailers",
    )

    def __init__(self) -> None:
        self.done = False
        self.fault: ParserError | None = None
        self.left = 0
        self.length = None
        self.rest = b""
        self.trailers: Pairs = []
        self._held = b""
        self._chunk = 0
        self._came = 0
        self._next: re.Pattern[bytes] | None = _FIRST_CHUNK

    def feed(self, data: bytes) -> Sequence[Buffer]:
        if self.fault is not None:
            raise self.fault
        if self._held:
            if self._next is None and is_inside_a_line(self._held, data):  # of the trailers
                self._held += data
                return ()
            data = self._held + data
            self._held = b""
        pieces: list[Buffer] = []
        try:
            self._take(data, pieces)
        except ParserError as exc:
            # The pieces before it are good, and given, wherever the bytes were cut on their way.
            # Without the frames it came through, which hold what was fed.
            self.fault = exc.with_traceback(None)
        return pieces

    def _take(self, data: bytes, pieces: list[Buffer]) -> None:
        view = memoryview(data)
        at = 0
        while not self.done:
            if self._chunk:
                piece = view[at : at + self._chunk]
                if not piece:
                    break
                pieces.append(piece)
                at += len(piece)
                self._chunk -= len(piece)
                self._came += len(piece)
                continue
            after = self._line(data, at) if self._next else self._trailers(data, at)
            if after is None:
                self._held = data[at:]
                break
            at = after
        if self.done:
            self.rest += data[at:]

    def _line(self, data: bytes, at: int) -> int | None:
        """Read the line before a chunk; where the chunk begins, or None for more."""
        limit = at + MAX_CHUNK_LINE
        match = self._next and self._next.match(data, at, limit)
        if not match:
            self._judge(data[at:limit], too_long=len(data) > limit)
            return None
        self._chunk = int(match[1], 16)
        self._next = _NEXT_CHUNK if self._chunk else None
        return match.end()

    def _trailers(self, data: bytes, at: int) -> int | None:
        taken = take_trailers(data[at:])
        if taken is None:
            return None
        self.trailers, end = taken
        self.done = True
        return at + end

    def _judge(self, line: bytes, *, too_long: bool) -> None:
        where = f"after {self._came} bytes of a chunked body"
        if self._next is _NEXT_CHUNK:
            if not line.startswith(b"\r\n"[: len(line)]):
                raise ParserError(f"{where} a chunk goes on past its size: {line[:40]!r}")
            line = line[2:]
        if not _CHUNK_LINE_BEGINS.fullmatch(line):
            raise ParserError(f"{where} no chunk size, but {line[:40]!r}")
        if too_long:
            raise ParserError(f"{where} a chunk size line of more than {MAX_CHUNK_LINE} bytes")

    def received(self, count: int) -> None:
        """Never called: ``left`` is 0, since every byte must be looked at."""

    @property
    def progress(self) -> str:
        return f"after {self._came} bytes, before its last chunk"

    def end(self) -> None:
        if self.fault is not None:
            raise self.fault
        if not self.done:
            raise UnexpectedEOF(f"the body ended {self.progress}")


def response_body_reader(head: ResponseHead, method: str) -> BodyReader:
    """How the body behind this head is framed; RFC 9112 6.3, in its order."""
    status = head.status
    if method == "HEAD" or status < 200 or status in (204, 304):
        return SizedBody(0)
    if method == "CONNECT" and status < 300:
        return SizedBody(0)
    if head.has(CODING_FIELD):
        _check_codings(head)
        return ChunkedBody()
    if head.has(LENGTH_FIELD):
        return SizedBody(declared_length(head, of="the answer"))
    return BodyToEnd()


def _check_codings(head: ResponseHead) -> None:
    if head.has(LENGTH_FIELD):
        raise ParserError("the answer has both Transfer-Encoding and Content-Length")
    coding = head.headers["transfer-encoding"]
    if coding.lower() != "chunked":
        raise ParserError(f"Transfer-Encoding {coding[:60]!r}: chunked, and alone, can be read")


def declared_length(head: Head, of: str) -> int:
    """The one length that the Content-Length of a head says; ``of`` whom, for the errors."""
    plain = _LENGTH.search(head.lowered)
    if plain and head.lowered.count(LENGTH_FIELD) == 1:
        return int(plain[1])
    value = head.headers["content-length"]
    each = {length.strip(" \t") for length in value.split(",")}
    if len(each) > 1:
        raise ParserError(f"{of} has several Content-Lengths that differ: {value[:60]}")
    only = each.pop()
    if not _DIGITS.fullmatch(only):
        raise ParserError(f"Content-Length {only[:60]!r}: a number in digits is wanted")
    return int(only)


def keeps_alive(head: Head) -> bool:
    """Whether the peer means to keep the connection (RFC 9112 9.3)."""
    if head.minor == 0 and head.has(CODING_FIELD):
        return False  # 6.1: the framing is faulty, if only for whoever stands between
    fields = head.lowered.count(_CONNECTION_FIELD)
    if not fields:
        return head.minor == 1
    if fields == 1 and _KEEP_ALIVE.search(head.lowered):
        return True
    values = b",".join(_CONNECTION.findall(head.lowered))
    options = {option.strip() for option in values.split(b",")}
    if b"close" in options:
        return False
    return head.minor == 1 or b"keep-alive" in options


_CODING = TOKEN_CHAR.decode() + r"+[ \t]*(?:;[^,]*)?"
_CODINGS = re.compile(rf"(?:(?!chunked\b){_CODING},[ \t]*)+chunked", re.IGNORECASE)


def request_body_reader(head: RequestHead) -> BodyReader:
    """How the body behind this head is framed; RFC 9112 6.3, in its order."""
    if head.has(CODING_FIELD):
        _check_request_codings(head)
        return ChunkedBody()
    if not head.has(LENGTH_FIELD):
        return SizedBody(0)
    try:
        return SizedBody(declared_length(head, of="the request"))
    except ParserError as exc:
        raise MalformedRequest(exc.message) from exc


def _check_request_codings(head: RequestHead) -> None:
    if head.has(LENGTH_FIELD):
        raise MalformedRequest("the request has both Transfer-Encoding and Content-Length")
    coding = head.headers["transfer-encoding"]
    if not head.minor:
        raise MalformedRequest("Transfer-Encoding in a request of HTTP/1.0, which knows none")
    if coding.lower() != "chunked":
        # 6.1 and 6.3: where the chunks can be read and only what is in them cannot, it is a 501.
        answer = 501 if _CODINGS.fullmatch(coding) else 400
        raise MalformedRequest(
            f"Transfer-Encoding {coding[:60]!r}: chunked, and alone, can be read", answer
        )
