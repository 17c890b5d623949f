"""Parse a status line and its fields."""

from __future__ import annotations

import re

from restkit.errors import BadStatusLine
from restkit.http1.fields import (
    FIELD_LINES,
    MAX_HEAD,
    Head,
    check_count,
    check_fields,
    check_size,
    quote_line,
)

_RESPONSE = re.compile(
    rb"HTTP/1\.([01]) ([1-9][0-9][0-9])(?: ([^\r\n\0]*))?(\r\n" + FIELD_LINES + rb")\r\n"
)
_STATUS_LINE = re.compile(rb"HTTP/1\.[01] [1-9][0-9][0-9](?: [^\r\n\0]*)?")
_EXAMPLE = b"HTTP/1.1 200"
SHORTEST_LINE = len(_EXAMPLE)


class ResponseHead(Head):
    """The head of a response: status, reason, version, and fields that are parsed when read."""

    __slots__ = ("_reason", "status")

    def __init__(self, minor: int, status: int, reason: bytes, fields: bytes) -> None:
        self.minor = minor
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
    # The expression takes memory for each line, so it only runs if the end of the head is there.
    is_complete = data.find(b"\r\n\r\n", 0, MAX_HEAD) >= 0
    match = _RESPONSE.match(data, 0, MAX_HEAD) if is_complete else None
    if match is None:
        _check_beginning(data[: MAX_HEAD + 1])
        return None
    minor, status, reason, fields = match.groups(b"")
    check_count(fields.count(b"\n") - 1)
    return ResponseHead(int(minor), int(status), reason, fields), match.end()


def _check_beginning(data: bytes) -> None:
    """Raise for the first fault in ``data``, unless it can be the beginning of a head."""
    line, ending, fields = data.partition(b"\r\n")
    if not (_STATUS_LINE.fullmatch(line) if ending else _can_become_status_line(line)):
        raise BadStatusLine(
            f"the response begins with {quote_line(line)}, not with HTTP/1.1 and a status"
        )
    check_count(check_fields(fields, first_line=2, where="the head"))
    check_size(data)


def _can_become_status_line(line: bytes) -> bool:
    if len(line) > len(_EXAMPLE):
        return _STATUS_LINE.fullmatch(line.removesuffix(b"\r")) is not None
    return _STATUS_LINE.fullmatch(line + _EXAMPLE[len(line) :]) is not None
