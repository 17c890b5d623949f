r"""Parse a status line and its fields.

Most heads match one regular expression for the grammar of RFC 9112. Only a head that does not match
is tried with a second one, which also accepts what servers are known to send:

- A bare LF ends a line as CRLF does (2.2), in all lines or in single ones. A bare CR is an error:
  some programs read it as the end of a line, and others as part of a value.
- A version HTTP/1.2 to 1.9, HTTP/2 or HTTP/3, with or without a second digit, is read as HTTP/1.1:
  a client should accept a higher minor version (RFC 9110 2.5), and programs that convert responses
  of HTTP/2 to text write such lines. ``must_close`` is then True.

Requests are parsed by stricter rules, in ``request_head.py``.
"""

from __future__ import annotations

import re

from restkit.errors import BadStatusLine, ParserError
from restkit.http1.fields import Head, check_fields, field_lines, quote_line

MAX_HEAD = 256 * 1024
MAX_FIELDS = 1000

_STATUS = rb" ([1-9][0-9][0-9])(?: ([^\r\n\0]*))?"
_RESPONSE = re.compile(rb"HTTP/1\.([01])%b(\r\n%b)\r\n" % (_STATUS, field_lines(rb"\r\n")))
_STATUS_LINE = re.compile(rb"HTTP/(1\.[0-9]|[23](?:\.[0-9])?)" + _STATUS)
_LENIENT_RESPONSE = re.compile(
    rb"%b(\r?\n%b)\r?\n" % (_STATUS_LINE.pattern, field_lines(rb"\r?\n"))
)
HEAD_END = re.compile(rb"\n\r?\n")
"""The empty line after a head, with the end of the line before it."""
_EXAMPLES = (b"HTTP/1.1 200", b"HTTP/2 200")
STATUS_END = len(_EXAMPLES[0])
"""A longer beginning of a head has its version and its status."""


class ResponseHead(Head):
    """The head of a response: status, reason, version, and fields that are parsed when read."""

    __slots__ = ("_reason", "status")

    def __init__(self, minor: int, status: int, reason: bytes, fields: bytes) -> None:
        self.minor = minor
        self.must_close = False
        self.status = status
        self.lowered = fields.lower()
        self._reason = reason
        self._fields = fields
        self._headers = None

    @property
    def reason(self) -> str:
        """The reason phrase."""
        return self._reason.decode("latin-1").strip(" \t")

    def __repr__(self) -> str:
        return f"<ResponseHead {self.status} {self.reason}>"


def parse_response_head(data: bytes) -> tuple[ResponseHead, int] | None:
    r"""Return the head that ``data`` begins with and where it ends, or None for more data.

    Raises BadStatusLine or ParserError as soon as no continuation can make the head valid. The
    result does not depend on how the bytes were split in transit.

    >>> head, end = parse_response_head(b'HTTP/1.1 200 OK\r\nETag: "1"\r\n\r\nbody')
    >>> head.status, head.headers['etag'], end
    (200, '"1"', 30)
    """
    # The expressions take memory for each line: they only run on a complete head with few lines.
    end = data.find(b"\r\n\r\n", 0, MAX_HEAD)
    if end >= 0 and data.count(b"\n", 0, end) <= MAX_FIELDS:
        match = _RESPONSE.fullmatch(data, 0, end + 4)
        if match is not None:
            digit, status, reason, fields = match.groups(b"")
            minor = 0 if digit == b"0" else 1
            return ResponseHead(minor, int(status), reason, fields), end + 4
    return _parse_leniently(data)


def _parse_leniently(data: bytes) -> tuple[ResponseHead, int] | None:
    end = HEAD_END.search(data, 0, MAX_HEAD)
    if end is not None and data.count(b"\n", 0, end.start()) <= MAX_FIELDS:
        match = _LENIENT_RESPONSE.fullmatch(data, 0, end.end())
        if match is not None:
            version, status, reason, fields = match.groups(b"")
            minor = 0 if version == b"1.0" else 1
            head = ResponseHead(minor, int(status), reason, _with_crlf(fields))
            head.must_close = version not in (b"1.0", b"1.1")
            return head, end.end()
    _check_beginning(data[: MAX_HEAD + 1])
    return None


def _with_crlf(data: bytes) -> bytes:
    return data.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


def _check_beginning(data: bytes) -> None:
    """Raise for the first fault in ``data``, unless it can be the beginning of a head."""
    line, ending, fields = data.partition(b"\n")
    line = line.removesuffix(b"\r") if ending else line
    if not (_STATUS_LINE.fullmatch(line) if ending else _can_become_status_line(line)):
        raise BadStatusLine(
            f"the response begins with {quote_line(line)}, not with HTTP/1.1 and a status"
        )
    lines = check_fields(_with_crlf(fields), first_line=2, where="the head", max_lines=MAX_FIELDS)
    # Folded lines count too: parsing a head of only folded lines would cost too much.
    if lines > MAX_FIELDS:
        raise ParserError(f"the head of the response has more than {MAX_FIELDS} field lines")
    if len(data) > MAX_HEAD:
        raise ParserError(f"the head of the response is longer than {MAX_HEAD} bytes")


def _can_become_status_line(line: bytes) -> bool:
    if _STATUS_LINE.fullmatch(line.removesuffix(b"\r")):
        return True
    return any(_STATUS_LINE.fullmatch(line + example[len(line) :]) for example in _EXAMPLES)
