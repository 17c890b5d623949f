"""What a request's conditions and its Range make of a file: pure decisions (RFC 9110 13 and 14).

Leniencies that the RFC asks for: a date that cannot be read, a range of another unit or one that is
malformed are as if they were not there (13.1.3, 14.2). Of several ranges at once the whole is given
(14.2 leaves that to the server): nobody has to take multipart/byteranges apart, or can ask for
thousands of overlapping ones.
"""

from __future__ import annotations

import re
from calendar import timegm
from email.utils import parsedate_to_datetime
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from restkit.headers import Headers

_ENTITY_TAG = re.compile(r'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"')
_BYTES = re.compile(
    r"bytes[ \t]*=[ \t]*(?:([0-9]{1,19})[ \t]*-[ \t]*([0-9]{1,19})?|-([0-9]{1,19}))", re.IGNORECASE
)


class Validators(NamedTuple):
    """What tells one state of a resource from another: its entity tag, and the second it is of."""

    etag: str
    modified: int


class Part(NamedTuple):
    """From one byte up to and without another."""

    start: int
    end: int


class Outcome(Enum):
    """What is given where it is no part."""

    WHOLE = 200
    NOT_MODIFIED = 304
    FAILED = 412
    """A condition does not hold, and nothing is to be done."""
    UNSATISFIABLE = 416


Decision: TypeAlias = "Part | Outcome"


def decided(method: str, headers: Headers, now: Validators, size: int) -> Decision:
    """What to answer with, of a resource of ``size`` bytes, in the order of RFC 9110 13.2.2."""
    reads = method in ("GET", "HEAD")
    if not _may_go_on(headers, now):
        return Outcome.FAILED
    if _has_it_already(headers, now, reads=reads):
        return Outcome.NOT_MODIFIED if reads else Outcome.FAILED
    if method == "GET" and "range" in headers and _is_still(headers.get("if-range"), now):
        return _part(headers["range"], size)
    return Outcome.WHOLE


def _may_go_on(headers: Headers, now: Validators) -> bool:
    if "if-match" in headers:
        # Strong comparison (8.8.3.2): a weak tag matches nothing.
        return _names(headers["if-match"], now.etag, weakly=False)
    since = _seconds(headers.get("if-unmodified-since"))
    return since is None or now.modified <= since


def _has_it_already(headers: Headers, now: Validators, *, reads: bool) -> bool:
    if "if-none-match" in headers:
        # Weak comparison (8.8.3.2): what is behind the W/ counts.
        return _names(headers["if-none-match"], now.etag, weakly=True)
    since = _seconds(headers.get("if-modified-since")) if reads else None
    return since is not None and now.modified <= since


def _names(value: str, etag: str, *, weakly: bool) -> bool:
    if value == "*":
        return True
    tags = _ENTITY_TAG.findall(value)
    if weakly:
        return etag.removeprefix("W/") in [tag.removeprefix("W/") for tag in tags]
    return etag in tags and not etag.startswith("W/")


def _is_still(value: str | None, now: Validators) -> bool:
    """Whether the part that is asked for is one of what the client has (13.1.5)."""
    if value is None:
        return True
    if _ENTITY_TAG.fullmatch(value):
        return value == now.etag and not value.startswith("W/")
    return _seconds(value) == now.modified


def _seconds(value: str | None) -> int | None:
    if value is None:
        return None
    try:
        return timegm(parsedate_to_datetime(value).utctimetuple())
    except (ValueError, OverflowError):
        return None


def _part(value: str, size: int) -> Decision:
    match = _BYTES.fullmatch(value)
    if match is None:
        return Outcome.WHOLE
    first, last, suffix = match.groups()
    if suffix is not None:
        start, end = max(0, size - int(suffix)), size
    else:
        start, end = int(first), size
        if last is not None:
            if int(last) < start:
                return Outcome.WHOLE  # 14.1.1: invalid, and so not there
            end = min(int(last) + 1, size)
    return Part(start, end) if start < end else Outcome.UNSATISFIABLE
