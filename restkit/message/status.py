"""Which error a status is, where the caller asked for it to be one, and what it says."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

from restkit.coding import parse_codings
from restkit.errors import (
    DecodingError,
    Error,
    RequestFailed,
    ResourceError,
    ResourceGone,
    ResourceNotFound,
    Unauthorized,
)
from restkit.message.header_text import is_charset

if TYPE_CHECKING:
    from restkit.message.response import HttpResponse

_ERRORS: dict[int, type[ResourceError]] = {
    401: Unauthorized,
    403: Unauthorized,
    404: ResourceNotFound,
    410: ResourceGone,
}
_MOST_SAID = 64 * 1024
_LONGEST_SAID = 1.0


def error_for(status: int) -> type[ResourceError]:
    """The class for a status of 400 or more."""
    return _ERRORS.get(status, RequestFailed)


def error_of(response: HttpResponse) -> ResourceError:
    """The error that an answer of 400 or more is; its message is the body's text.

    Reads at most 64 KiB of the body, or what comes of it within a second, and that through the
    spool: all of it can still be read from the response. A body that is silent is waited for as
    the timeouts say. Of one that breaks off the message is what came, and the break is the error's
    cause.
    """
    said, fault = _first_of(response)
    make = error_for(response.status)
    message, sent = _as_text(said, response), response.sent
    error = make(message, sent=sent, request=response.request, response=response)
    error.history = response.history
    error.__cause__ = fault
    return error


def _first_of(response: HttpResponse) -> tuple[bytes, Error | None]:
    said, end = bytearray(), monotonic() + _LONGEST_SAID
    try:
        body = response.tee()
        while piece := body.read1(_MOST_SAID - len(said)):
            said += piece
            if monotonic() >= end:
                break
    except Error as exc:
        return bytes(said), exc
    return bytes(said), None


def _as_text(said: bytes, response: HttpResponse) -> str:
    if _still_coded(response):
        return ""
    charset = response.charset
    try:
        return said.decode(charset if is_charset(charset) else "utf-8", "replace")
    except (LookupError, ValueError):
        return said.decode("utf-8", "replace")


def _still_coded(response: HttpResponse) -> bool:
    """Whether a content coding is left on the body, so that it is no text."""
    codings = response.headers.get_all("content-encoding")
    if not codings:
        return False
    try:
        return parse_codings(codings) is None or not response.request.settings.decompress
    except DecodingError:
        return True
