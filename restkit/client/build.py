"""Turn the arguments of a call into the parts of a Request."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from restkit.client.options import GivenHeaders, Settings
from restkit.errors import InvalidHeader, RequestError, TotalTimeout
from restkit.forms.form_data import apply_content_type, as_form
from restkit.forms.multipart import add_boundary
from restkit.headers import Headers, HeaderValue, check_name, name_as_str, read_pairs
from restkit.message.request import KNOWN_METHODS, Request
from restkit.payload.base import CheckTime, Payload
from restkit.payload.convert import as_payload
from restkit.payload.spooled import SpooledPayload, SpoolMode, spool_payload
from restkit.payload.values import json_payload
from restkit.timeouts import Deadline

# For messages only: any other word is sent too. The IANA registry has some that look like paths.
_OTHER_METHODS = frozenset(
    "CONNECT COPY LOCK MKCOL MOVE PROPFIND PROPPATCH PURGE QUERY REPORT SEARCH TRACE UNLOCK".split()
)
READING_PAYLOAD = "reading the payload before it is sent"
_CAPITALS = re.compile("[A-Z][A-Z-]*")


def merge_headers(defaults: Headers, given: GivenHeaders) -> tuple[Headers, frozenset[str]]:
    """Merge the headers of a call into the defaults; return them and the names given as None.

    A field with one of these names is not sent, even if a default or the payload sets it.
    """
    pairs = header_pairs(given)
    names = {check_name(name).lower() for name, _ in pairs}
    headers = defaults.copy()
    for name in names:
        headers.pop(name, None)
    for name, value in pairs:
        if value is not None:
            headers.add(name, value)
    if len(headers.get_all("host")) > 1:
        raise InvalidHeader("Host is given twice; a request must have one (RFC 9112 3.2)")
    if "range" in headers and "accept-encoding" not in names:
        # A range counts encoded bytes, and ranges of two encodings cannot be joined.
        headers["Accept-Encoding"] = "identity"
    return headers, frozenset(names - headers.names())


def header_pairs(given: GivenHeaders) -> list[tuple[str, HeaderValue | None]]:
    """Return given headers as pairs, names as str; raise InvalidHeader for other types."""
    return [(name_as_str(name), value) for name, value in read_pairs(given)]


def pop_payload(payload: object, given: dict[str, Any]) -> Payload | None:
    """Remove the payload option from ``given``; return the payload, or raise TypeError for two.

    ``body``, ``data`` and ``json`` are aliases of ``payload``.
    """
    found = {"payload": payload} if payload is not None else {}
    for name in ("body", "data", "json"):
        if name in given:
            value = given.pop(name)
            if name == "json" or value is not None:
                found[name] = value
    if len(found) > 1:
        raise TypeError(f"{' and '.join(found)} are both given; a request has one payload")
    if "json" in found:
        return json_payload(found["json"])
    return to_payload(next(iter(found.values()), None))


def to_payload(value: object) -> Payload | None:
    """Convert a value to a payload; a mapping or a list of pairs becomes a form."""
    if value is None:
        return None
    try:
        form = as_form(value)
        return as_payload(value if form is None else form)
    except TypeError as exc:
        if isinstance(value, Mapping | list | tuple | int | float):
            raise TypeError(f"{exc}; to send JSON, use json=") from exc
        raise


def misplaced_error(function: str, values: Sequence[object]) -> TypeError:
    """Return the error for arguments after the URL of get, head, delete or options."""
    first = values[0]
    pairs = isinstance(first, list | tuple) and bool(first) and isinstance(first[0], list | tuple)
    if pairs or isinstance(first, Mapping):
        hint = "write params= for a query, or payload= to send a form"
    elif first is None:
        hint = "write headers= for headers, or payload= to send a body"
    else:
        hint = "write payload= to send a body, or params= for a query"
    return TypeError(f"{function}() takes only the URL by position: {hint}")


def check_not_swapped(url: object, method: object) -> None:
    """Raise TypeError if the method is in the place of the URL, as in ``request("GET", url)``.

    A relative URL may have the name of a method, if the method is one too: ``("get", "PURGE")``.
    ``("GET", "post")`` is swapped: a standard method in capitals, and a path in small letters.
    """
    if not isinstance(url, str):
        return
    hint = ""
    if not isinstance(method, str) or "/" in method:
        is_swapped = url.upper() in KNOWN_METHODS or _CAPITALS.fullmatch(url) is not None
    else:
        given = method if url in KNOWN_METHODS else method.upper()
        is_swapped = (url.upper() in KNOWN_METHODS or url in _OTHER_METHODS) and not (
            given in KNOWN_METHODS or method in _OTHER_METHODS
        )
        hint = f"; for a path of this name, write '/{url}'"
    if is_swapped:
        raise TypeError(
            f"the URL and the method are swapped: request() takes the URL first; got {url!r} as "
            f"the URL. Write request(url, {url!r}), or a function such as get(url){hint}"
        )


def apply_payload_options(
    request: Request, settings: Settings, deadline: Deadline | None = None
) -> Deadline | None:
    """Wrap the payload of a request as its headers and options require.

    A Content-Type header gets the boundary of a multipart form. Returns the deadline of the call,
    which starts here if the payload may be read before it is sent. Raises TotalTimeout if that
    takes too long.
    """
    payload = request.payload
    if payload is None:
        return deadline
    reads_now = settings.content_digest or settings.spool_mode is SpoolMode.BEFORE_SENDING
    if deadline is None and reads_now:
        deadline = Deadline(settings.timeout, request.url.authority)
    try:
        request.payload = _apply_options(request, payload, settings, deadline)
    except TotalTimeout as error:
        error.request = error.request or request
        raise
    return deadline


def _apply_options(
    request: Request, payload: Payload, settings: Settings, deadline: Deadline | None
) -> Payload:
    check_time = None if deadline is None else partial(deadline.remaining, READING_PAYLOAD)
    if "content-type" in request.headers.names():
        payload = _declare_content_type(request.headers, payload)
    if settings.compress is not None:
        from restkit.content_encoding.payloads import compress_payload  # slow to import

        _check_compressible(request, settings.compress)
        payload = compress_payload(payload, settings.compress)
    if settings.content_digest and "content-digest" not in request.given_names:
        from restkit.content_digest.payloads import add_content_digest  # slow to import

        # Before spooling, so that the digest is known together with the length.
        payload = add_content_digest(payload, check_time)
    return _spool(payload, settings, check_time)


def _declare_content_type(headers: Headers, payload: Payload) -> Payload:
    content_type = headers["content-type"]
    payload = apply_content_type(payload, content_type)
    declared = add_boundary(content_type, payload)
    if declared != content_type:
        headers["Content-Type"] = declared
    return payload


def _check_compressible(request: Request, coding: str) -> None:
    if "content-encoding" in request.suppressed_headers:
        raise RequestError(
            f"compress={coding!r} needs the header Content-Encoding, which is given as None"
        )
    for name in ("content-encoding", "content-length"):
        if name in request.headers.names():
            raise RequestError(
                f"compress={coding!r} and a {name.title()} header are both given; compress= sets "
                "that header"
            )


def _spool(payload: Payload, settings: Settings, check_time: CheckTime | None) -> Payload:
    if settings.spool_mode is SpoolMode.OFF:
        return payload
    new_spool = settings.read_options.new_spool
    if settings.spool_mode is SpoolMode.BEFORE_SENDING:
        sendable = payload.replayable and payload.length is not None
        return payload if sendable else spool_payload(payload, new_spool, check_time)
    return payload if payload.replayable else SpooledPayload(payload, new_spool)
