"""Parse a status line and its fields."""

from __future__ import annotations

import re

from restkit.errors import BadStatusLine
from restkit.headers import Headers
from restkit.http1.fields import (
    FIELD_LINES,
    MAX_HEAD,
    check_count,
    check_fields,
    check_size,
    pairs_of,
    quote_line,
)

_RESPONSE = re.compile(
    rb"HTTP/1\.([01]) ([1-9][0-9][0-9])(?: ([^\r\n\0]*))?(\r\n" + FIELD_LINES + rb")\r\n"
)
_STATUS_LINE = re.compile(rb"HTTP/1\.[01] [1-9][0-9][0-9](?: [^\r\n\0]*)?")
_EXAMPLE = b"HTTP/1.1 200"
SHORTEST = len(_EXAMPLE)
_TELLING = re.compile(rb"[\r\n\0]")


class ResponseHead:
    r"""The head of a response: status, reason, version, and fields that are parsed when read.

    ``lowered`` is the block of fields in lower case, from the CRLF of the status line on.
    """

    __slots__ = ("_fields", "_headers", "_reason", "lowered", "minor", "status")

    def __init__(self, minor: int, status: int, reason: bytes, fields: bytes) -> None:
        self.minor = minor
        self.status = status
        self.lowered = fields.lower()
        self._reason = reason
        self._fields = fields
        self._headers: Headers | None = None

    def has(self, field: bytes) -> bool:
        r"""Whether a field is there, asked for as ``b"\r\nname:"``, at next to no cost."""
        # ``in`` would try these bytes as a number first, and have an exception to throw away.
        return self.lowered.find(field) >= 0

    @property
    def reason(self) -> str:
        return self._reason.decode("latin-1").strip(" \t")

    @property
    def headers(self) -> Headers:
        """The fields; one object, made at the first look."""
        if self._headers is None:
            self._headers = Headers.of_trusted(pairs_of(self._fields))
        return self._headers

    def __repr__(self) -> str:
        return f"<ResponseHead {self.status} {self.reason}>"


def take_response_head(data: bytes) -> tuple[ResponseHead, int] | None:
    """The head that ``data`` begins with and where it ends, or None when more is needed.

    Raises BadStatusLine or ParserError as soon as no continuation can make it right, at
    whatever points the bytes were cut on their way.
    """
    # The expression takes memory for each line: it is not asked where the end is not there yet.
    whole = data.find(b"\r\n\r\n", 0, MAX_HEAD) >= 0
    match = _RESPONSE.match(data, 0, MAX_HEAD) if whole else None
    if match is None:
        _check_response(data[: MAX_HEAD + 1])
        return None
    minor, status, reason, fields = match.groups(b"")
    check_count(fields.count(b"\n") - 1)
    return ResponseHead(int(minor), int(status), reason, fields), match.end()


def is_inside_a_line(held: bytes, data: bytes) -> bool:
    """Whether nothing can be said of ``data`` before more comes, so that drops cost little.

    ``held`` has been found to be the beginning of something; a status line has its status.
    """
    if held.endswith(b"\r"):  # what follows a CR decides about it
        return False
    return len(held) + len(data) < MAX_HEAD and not _TELLING.search(data)


def _check_response(data: bytes) -> None:
    """Raise for what makes ``data`` no beginning of a head; come back if it may become one."""
    line, ending, fields = data.partition(b"\r\n")
    if not (_STATUS_LINE.fullmatch(line) if ending else _may_become_status_line(line)):
        raise BadStatusLine(
            f"the answer begins with {quote_line(line)}, and not with HTTP/1.1 and a status"
        )
    check_count(check_fields(fields, first_line=2, where="the head"))
    check_size(data)


def _may_become_status_line(line: bytes) -> bool:
    if len(line) > len(_EXAMPLE):
        return _STATUS_LINE.fullmatch(line.removesuffix(b"\r")) is not None
    return _STATUS_LINE.fullmatch(line + _EXAMPLE[len(line) :]) is not None
