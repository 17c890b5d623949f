"""Ranges of bytes: parse Content-Range, and decide how a download continues (RFC 9110 13.1.5, 14).

Nothing here reads or writes. A ``Version`` says which representation the bytes on disk belong to;
``decide`` compares a response with it.
"""

from __future__ import annotations

import re
from calendar import timegm
from email.utils import parsedate_to_datetime
from enum import Enum
from typing import NamedTuple

from restkit.errors import ParserError
from restkit.headers import Headers
from restkit.http1.fields import parse_length

_CONTENT_RANGE = re.compile(
    r"bytes[ \t]+(?:(?P<first>[0-9]{1,19})-(?P<last>[0-9]{1,19})/(?P<total>[0-9]{1,19}|\*)"
    r"|\*/(?P<size>[0-9]{1,19}))",
    re.IGNORECASE,
)
_STRONG_TAG = re.compile(r'"[\x21\x23-\x7e\x80-\xff]*"')
# Seconds. RFC 9110 8.8.2.2 asks for one second if both dates are from the same clock. Servers
# behind one name may have different clocks, so this is the value of RFC 7232.
_MIN_AGE = 60


class ByteRange(NamedTuple):
    """The bytes from ``start`` up to and without ``end``."""

    start: int
    end: int


class ContentRange(NamedTuple):
    """The range of a body, None in a 416, and the size of the whole file, None if unknown."""

    part: ByteRange | None
    total: int | None


def parse_content_range(value: str) -> ContentRange:
    """Return the parsed Content-Range; raise ParserError unless it is valid, and of bytes.

    >>> parse_content_range('bytes 5-9/20')
    ContentRange(part=ByteRange(start=5, end=10), total=20)
    >>> parse_content_range('bytes */20')
    ContentRange(part=None, total=20)
    """
    match = _CONTENT_RANGE.fullmatch(value)
    if match is None:
        raise ParserError(f"Content-Range must be a range of bytes; got {value!r:.60}")
    if match["size"]:
        return ContentRange(None, int(match["size"]))
    part = ByteRange(int(match["first"]), int(match["last"]) + 1)
    total = None if match["total"] == "*" else int(match["total"])
    if part.end <= part.start or (total is not None and total < part.end):
        raise ParserError(f"Content-Range must end after its start, within its size; got {value!r}")
    return ContentRange(part, total)


def format_content_range(part: ByteRange | None, total: int) -> str:
    """Return the value of a Content-Range; without a part, for a 416.

    >>> format_content_range(ByteRange(5, 10), 20), format_content_range(None, 20)
    ('bytes 5-9/20', 'bytes */20')
    """
    return f"bytes {'*' if part is None else f'{part.start}-{part.end - 1}'}/{total}"


def format_range(start: int, end: int | None = None) -> str:
    """Return the value of a Range from ``start`` up to and without ``end``, or to the end.

    >>> format_range(5), format_range(5, 10)
    ('bytes=5-', 'bytes=5-9')
    """
    return f"bytes={start}-{'' if end is None else end - 1}"


class Version(NamedTuple):
    """A version of a resource: its validators, and its size if that is known.

    ``condition`` is the value for If-Range; None if no validator is strong.
    """

    etag: str | None = None
    last_modified: str | None = None
    condition: str | None = None
    total: int | None = None


def read_version(headers: Headers, total: int | None) -> Version:
    """Return the version that the header of a response describes.

    >>> read_version(Headers({'ETag': '"a"'}), 5)
    Version(etag='"a"', last_modified=None, condition='"a"', total=5)
    """
    etag, modified = headers.get("etag"), headers.get("last-modified")
    condition = None
    if etag is not None and _STRONG_TAG.fullmatch(etag):
        condition = etag
    elif etag is None and modified is not None and _is_strong(modified, headers.get("date")):
        # A weak entity tag says that versions may differ within this date.
        condition = modified
    return Version(etag, modified, condition, total)


def _is_strong(modified: str, date: str | None) -> bool:
    """Return whether a Last-Modified names one version only (RFC 9110 8.8.2.2)."""
    changed, sent = _parse_date(modified), _parse_date(date)
    return changed is not None and sent is not None and sent - changed >= _MIN_AGE


def _parse_date(value: str | None) -> int | None:
    try:
        return None if value is None else timegm(parsedate_to_datetime(value).utctimetuple())
    except (ValueError, OverflowError):
        return None


def is_other_version(headers: Headers, version: Version) -> bool:
    """Return whether a validator of a response differs from that of a version.

    A validator that one of both lacks is not compared.
    """
    pairs = (
        (headers.get("etag"), version.etag),
        (headers.get("last-modified"), version.last_modified),
    )
    return any(new is not None and old is not None and new != old for new, old in pairs)


class Action(Enum):
    """The use of a response for the bytes that are on disk already."""

    CONTINUE = "continue"
    """Append its body, without the first ``skip`` bytes."""
    REPLACE = "replace"
    """Its body is the whole file: write it from the start."""
    START_OVER = "start over"
    """Discard its body and the bytes on disk, and request the whole file."""
    DONE = "done"
    """Everything is on disk."""
    REJECT = "reject"
    """Its status does not fit a request for the whole file."""
    OTHER = "other"
    """Its status says nothing about ranges."""


class Decision(NamedTuple):
    """The use of a response: an action and its reason.

    For CONTINUE: the bytes to skip, the position at which the body ends, and the size of the file.
    """

    action: Action
    reason: str = ""
    skip: int = 0
    end: int | None = None
    total: int | None = None


def decide(status: int, headers: Headers, version: Version, held: int) -> Decision:
    """Decide how a response continues a download of which ``held`` bytes are on disk.

    If ``held`` is 0, the whole file was requested; otherwise the bytes from ``held`` on.

    >>> headers = Headers({'Content-Range': 'bytes 4-9/10'})
    >>> decide(206, headers, Version(total=10), 5)
    Decision(action=<Action.CONTINUE: 'continue'>, reason='', skip=1, end=10, total=10)
    """
    if status == 200:
        return Decision(Action.REPLACE, "the server sent the whole file" if held else "")
    if status == 206:
        if not held:
            return Decision(Action.REJECT, "206 without a Range in the request")
        return _check_partial(headers, version, held)
    if status == 416:
        return _check_unsatisfiable(headers, version, held)
    return Decision(Action.OTHER)


def _check_partial(headers: Headers, version: Version, held: int) -> Decision:
    values = headers.get_all("content-range")
    if len(values) != 1:
        return _start_over(f"206 with {len(values)} Content-Range fields")
    try:
        part, total = parse_content_range(values[0])
    except ParserError as exc:
        return _start_over(exc.message)
    if part is None:
        return _start_over(f"206 without a range: {values[0]!r:.60}")
    if headers.get("content-encoding", "identity").strip().lower() != "identity":
        return _start_over(f"a range with Content-Encoding {headers['content-encoding']!r:.40}")
    if is_other_version(headers, version):
        return _start_over("the validator has changed")
    if version.total is not None and total is not None and total != version.total:
        return _start_over(f"the size was {version.total} bytes and is {total}")
    if not part.start <= held < part.end:
        return _start_over(f"the range is {values[0]!r}, which does not contain byte {held}")
    if version.total is not None and part.end > version.total:
        return _start_over(f"the range {values[0]!r} ends after {version.total} bytes")
    length = headers.get("content-length")
    if (
        length is not None
        and "transfer-encoding" not in headers
        and parse_length(length) != part.end - part.start
    ):
        return _start_over(f"the range is {values[0]!r}, and Content-Length {length!r:.40}")
    return Decision(Action.CONTINUE, skip=held - part.start, end=part.end, total=total)


def _check_unsatisfiable(headers: Headers, version: Version, held: int) -> Decision:
    if not held:
        return Decision(Action.OTHER)
    try:
        part, total = parse_content_range(headers.get("content-range", ""))
    except ParserError:
        return _start_over("416 without a size")
    if part is not None or total != held:
        return _start_over(f"416 for a size of {total} bytes, but {held} are on disk")
    if version.total not in (None, held):
        return _start_over(f"416, but {held} of {version.total} bytes are on disk")
    if is_other_version(headers, version):
        return _start_over("416 with another validator")
    return Decision(Action.DONE)


def _start_over(reason: str) -> Decision:
    return Decision(Action.START_OVER, reason)
