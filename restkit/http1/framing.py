r"""Find where a body ends, and decide whether the connection stays open (RFC 9112 6, 7 and 9).

A head chooses one of three readers, which are state machines without I/O. Requests are framed by
stricter rules than responses.

The leniencies and their reasons: chunk extensions are ignored (7.1.1 asks for it); white space
after a chunk size is accepted (old servers pad sizes with it); a Content-Length that is repeated
with the same value counts once (6.3). Anything else outside the grammar is an error that names it.
In chunk lines and trailers a bare LF is an error, because programs differ on where such a body
ends.

Three leniencies are for responses only. In a repeated Content-Length, leading zeros do not matter.
``chunked`` may be named twice, because the chunks end at the same byte. Transfer-Encoding overrides
Content-Length, but the connection then closes (6.3).

>>> reader = ChunkedBody()
>>> [bytes(chunk) for chunk in reader.feed(b'5\r\nhello\r\n0\r\n\r\nnext')]
[b'hello']
>>> reader.done, reader.leftover
(True, b'next')
"""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Sequence
from typing import Protocol

from restkit.errors import ParserError, UnexpectedEOF
from restkit.http1.fields import (
    TOKEN_CHAR,
    Head,
    Pairs,
    is_inside_line,
    parse_length,
    parse_trailers,
)
from restkit.http1.request_head import MalformedRequest, RequestHead
from restkit.http1.response_head import ResponseHead
from restkit.io.buffers import Buffer

MAX_CHUNK_LINE = 4096

_LENGTH_FIELD = b"\r\ncontent-length:"
_ENCODING_FIELD = b"\r\ntransfer-encoding:"
_CONNECTION_FIELD = b"\r\nconnection:"
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]{1,19})[ \t]*\r\n(?![ \t])")
_CONNECTION = re.compile(rb"\r\nconnection:([^\r\n]*(?:\r\n[ \t][^\r\n]*)*)")
_KEEP_ALIVE = re.compile(rb"\r\nconnection: keep-alive\r\n(?![ \t])")
_ENCODING = TOKEN_CHAR.decode() + r"+[ \t]*(?:;[^,]*)?"
_ENDS_CHUNKED = re.compile(rf"(?:(?!chunked\b){_ENCODING},[ \t]*)+chunked", re.IGNORECASE)
_CHUNKED_AGAIN = re.compile(r"chunked(?:[ \t]*,[ \t]*chunked)+", re.IGNORECASE)
_CHUNK = rb"([0-9A-Fa-f]{1,16})[ \t]*(?:;[^\r\n\0]*)?\r\n"
_FIRST_CHUNK = re.compile(_CHUNK)
_NEXT_CHUNK = re.compile(rb"\r\n" + _CHUNK)
_CHUNK_LINE_BEGINNING = re.compile(rb"(?:[0-9A-Fa-f]{1,16}[ \t]*(?:;[^\r\n\0]*)?\r?)?")


class BodyReader(Protocol):
    """Parses received bytes, and returns those that belong to the body."""

    @property
    @abstractmethod
    def done(self) -> bool:
        """Whether the body has ended."""

    @property
    def bytes_expected(self) -> int | None:
        """The number of bytes that can be received without parsing; None for no limit."""

    @property
    @abstractmethod
    def leftover(self) -> bytes:
        """The bytes after the end of the body."""

    @property
    def length(self) -> int | None:
        """The length of the whole body, or None if the head did not declare it."""

    @property
    @abstractmethod
    def trailers(self) -> Pairs:
        """The fields after the body, once it has ended."""

    @property
    @abstractmethod
    def received(self) -> int:
        """The number of bytes of the body so far, without its framing."""

    @property
    @abstractmethod
    def progress(self) -> str:
        """The position in the body, for messages: 'after 60 of 100 bytes'."""

    @property
    def fault(self) -> ParserError | None:
        """The error in the bytes after the returned chunks. The body cannot be read further."""

    @abstractmethod
    def feed(self, data: bytes) -> Sequence[Buffer]:
        """Return the chunks of the body in ``data``; raise the ``fault`` of an earlier call."""

    def skip(self, count: int) -> None:
        """Count bytes of the body that ``feed`` did not get; at most ``bytes_expected``."""

    def end(self) -> None:
        """Handle the end of the connection; raise UnexpectedEOF unless the body may end there."""


def response_body_reader(head: ResponseHead, method: str) -> BodyReader:
    """Return the reader for the body after this head, by the rules of RFC 9112 6.3 in order."""
    status = head.status
    if method == "HEAD" or status < 200 or status in (204, 304):
        return SizedBody(0)
    if method == "CONNECT" and status < 300:
        return SizedBody(0)
    if head.has(_ENCODING_FIELD):
        encoding = head.headers["transfer-encoding"]
        if encoding.lower() != "chunked" and not _CHUNKED_AGAIN.fullmatch(encoding):
            raise ParserError(_unsupported_encoding(encoding))
        if head.has(_LENGTH_FIELD):
            # It is not used, but an invalid one shows that the head cannot be trusted.
            _declared_length(head, "the response", ignore_zeros=True)
            head.must_close = True
        return ChunkedBody()
    if head.has(_LENGTH_FIELD):
        return SizedBody(_declared_length(head, "the response", ignore_zeros=True))
    return BodyToEnd()


def request_body_reader(head: RequestHead) -> BodyReader:
    """Return the reader for the body after this head, by the rules of RFC 9112 6.3 in order."""
    if head.has(_ENCODING_FIELD):
        _check_request_encoding(head)
        return ChunkedBody()
    if not head.has(_LENGTH_FIELD):
        return SizedBody(0)
    try:
        return SizedBody(_declared_length(head, "the request"))
    except ParserError as exc:
        raise MalformedRequest(exc.message) from exc


def _check_request_encoding(head: RequestHead) -> None:
    if head.has(_LENGTH_FIELD):
        raise MalformedRequest("the request has both Transfer-Encoding and Content-Length")
    encoding = head.headers["transfer-encoding"]
    if not head.minor:
        raise MalformedRequest("Transfer-Encoding in a request of HTTP/1.0, which has none")
    if encoding.lower() != "chunked":
        # 6.1 and 6.3: 501 if the chunks could be read, but not the encoding inside them.
        status = 501 if _ENDS_CHUNKED.fullmatch(encoding) else 400
        raise MalformedRequest(_unsupported_encoding(encoding), status)


def _unsupported_encoding(encoding: str) -> str:
    return f"Transfer-Encoding must be chunked and nothing else; got {encoding[:60]!r}"


def _declared_length(head: Head, where: str, *, ignore_zeros: bool = False) -> int:
    match = _LENGTH.search(head.lowered)
    if match and head.lowered.count(_LENGTH_FIELD) == 1:
        return int(match[1])
    value = head.headers["content-length"]
    values = {each.strip(" \t") for each in value.split(",")}
    if ignore_zeros:
        values = {
            each if (length := parse_length(each)) is None else str(length) for each in values
        }
    if len(values) > 1:
        raise ParserError(f"{where} has several Content-Lengths that differ: {value[:60]}")
    only = values.pop()
    length = parse_length(only)
    if length is None:
        raise ParserError(f"Content-Length must be a number in digits; got {only[:60]!r}")
    return length


def keeps_alive(head: Head) -> bool:
    """Return whether the sender of this head keeps the connection open (RFC 9112 9.3)."""
    if head.must_close:
        return False
    if head.minor == 0 and head.has(_ENCODING_FIELD):
        return False  # 6.1: the framing is faulty; an intermediary may not know Transfer-Encoding
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


class SizedBody:
    """A body with a Content-Length, or none, which is one of length 0."""

    __slots__ = ("bytes_expected", "done", "leftover", "length", "trailers")

    fault = None

    def __init__(self, length: int) -> None:
        self.length = length
        self.bytes_expected = length
        self.done = not length
        self.leftover = b""
        self.trailers: Pairs = []

    def feed(self, data: bytes) -> Sequence[Buffer]:
        if len(data) > self.bytes_expected:
            self.leftover += data[self.bytes_expected :]
            data = data[: self.bytes_expected]
        self.skip(len(data))
        return (data,) if data else ()

    def skip(self, count: int) -> None:
        self.bytes_expected -= count
        if not self.bytes_expected:
            self.done = True

    @property
    def received(self) -> int:
        return self.length - self.bytes_expected

    @property
    def progress(self) -> str:
        return f"after {self.received} of {self.length} bytes"

    def end(self) -> None:
        if self.bytes_expected:
            raise UnexpectedEOF(f"the body ended {self.progress}")


class BodyToEnd:
    """A body that ends with the connection."""

    __slots__ = ("bytes_expected", "done", "leftover", "length", "received", "trailers")

    fault = None

    def __init__(self) -> None:
        self.received = 0
        self.done = False
        self.bytes_expected = None
        self.length = None
        self.leftover = b""
        self.trailers: Pairs = []

    def feed(self, data: bytes) -> Sequence[Buffer]:
        self.skip(len(data))
        return (data,) if data else ()

    def skip(self, count: int) -> None:
        self.received += count

    @property
    def progress(self) -> str:
        return f"after {self.received} bytes"

    def end(self) -> None:
        self.done = True


class ChunkedBody:
    """A body in HTTP chunks, with trailers after the last one."""

    __slots__ = (
        "_chunk_remaining",
        "_held",
        "_next_line",
        "bytes_expected",
        "done",
        "fault",
        "leftover",
        "length",
        "received",
        "trailers",
    )

    def __init__(self) -> None:
        self.done = False
        self.fault: ParserError | None = None
        self.bytes_expected = 0
        self.length = None
        self.leftover = b""
        self.trailers: Pairs = []
        self._held = b""
        self._chunk_remaining = 0
        self.received = 0
        self._next_line: re.Pattern[bytes] | None = _FIRST_CHUNK  # None in the trailers

    def feed(self, data: bytes) -> Sequence[Buffer]:
        if self.fault is not None:
            raise self.fault
        if self._held:
            if self._next_line is None and is_inside_line(self._held, data):
                self._held += data
                return ()
            data = self._held + data
            self._held = b""
        chunks: list[Buffer] = []
        try:
            self._parse(data, chunks)
        except ParserError as exc:
            # Return the chunks before the fault: the split of the bytes in transit must not matter.
            # The error is kept without its traceback, whose frames hold the data.
            self.fault = exc.with_traceback(None)
        return chunks

    def _parse(self, data: bytes, chunks: list[Buffer]) -> None:
        view = memoryview(data)
        at = 0
        while not self.done:
            if self._chunk_remaining:
                chunk = view[at : at + self._chunk_remaining]
                if not chunk:
                    break
                chunks.append(chunk)
                at += len(chunk)
                self._chunk_remaining -= len(chunk)
                self.received += len(chunk)
                continue
            end = self._parse_line(data, at) if self._next_line else self._parse_trailers(data, at)
            if end is None:
                self._held = data[at:]
                break
            at = end
        if self.done:
            self.leftover += data[at:]

    def _parse_line(self, data: bytes, at: int) -> int | None:
        """Parse the line before a chunk; return where the chunk begins, or None for more data."""
        limit = at + MAX_CHUNK_LINE
        match = self._next_line and self._next_line.match(data, at, limit)
        if not match:
            self._check_line(data[at:limit], too_long=len(data) > limit)
            return None
        self._chunk_remaining = int(match[1], 16)
        self._next_line = _NEXT_CHUNK if self._chunk_remaining else None
        return match.end()

    def _parse_trailers(self, data: bytes, at: int) -> int | None:
        parsed = parse_trailers(data[at:])
        if parsed is None:
            return None
        self.trailers, end = parsed
        self.done = True
        return at + end

    def _check_line(self, line: bytes, *, too_long: bool) -> None:
        where = f"after {self.received} bytes of a chunked body"
        if self._next_line is _NEXT_CHUNK:
            if not line.startswith(b"\r\n"[: len(line)]):
                raise ParserError(f"{where} a chunk is longer than its size: {line[:40]!r}")
            line = line[2:]
        if not _CHUNK_LINE_BEGINNING.fullmatch(line):
            raise ParserError(f"{where} there is no chunk size, but {line[:40]!r}")
        if too_long:
            raise ParserError(f"{where} a chunk size line has more than {MAX_CHUNK_LINE} bytes")

    def skip(self, count: int) -> None:
        """Never called: ``bytes_expected`` is 0, since every byte must be parsed."""

    @property
    def progress(self) -> str:
        return f"after {self.received} bytes, before its last chunk"

    def end(self) -> None:
        if self.fault is not None:
            raise self.fault
        if not self.done:
            raise UnexpectedEOF(f"the body ended {self.progress}")
