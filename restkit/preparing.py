"""What a caller gives made into a request, and a request into what the wire takes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from restkit.door import as_payload
from restkit.errors import Error, InvalidHeader
from restkit.headers import Headers, HeaderValue
from restkit.message.json_body import json_payload
from restkit.message.request import framed
from restkit.spool import Spool
from restkit.wire.head import request_head
from restkit.wire.sending import Sending

if TYPE_CHECKING:
    from restkit.message.request import Request
    from restkit.payload import Payload
    from restkit.timeouts import Clock
    from restkit.wire.outgoing import Outgoing

    GivenHeaders = Mapping[str, HeaderValue | None] | Iterable[tuple[str, HeaderValue | None]]

NONE_WITHHELD: frozenset[str] = frozenset()


def with_defaults(defaults: Headers, given: GivenHeaders) -> tuple[Headers, frozenset[str]]:
    """The defaults, and over them what a call gives; and the names it gives as None.

    Those it wants not to be sent at all, whether they come from the defaults or the payload.
    """
    pairs = _pairs_of(given)
    names = {str(name).lower() for name, _ in pairs}
    headers = defaults.copy()
    for name in names:
        headers.pop(name, None)
    for name, value in pairs:
        if value is not None:
            headers.add(name, value)
    if len(headers.get_all("host")) > 1:
        raise InvalidHeader("Host is given twice; a request has one (RFC 9112 3.2)")
    if "range" in headers and "accept-encoding" not in names:
        # A range is of the bytes as they are coded: parts of two codings do not join.
        headers["Accept-Encoding"] = "identity"
    return headers, frozenset(names - headers.names())


def _pairs_of(given: GivenHeaders) -> list[tuple[str, HeaderValue | None]]:
    if isinstance(given, Headers):
        return list(given.pairs())  # its items() are joined by name
    try:
        fields = given.items() if isinstance(given, Mapping) else given
        return [(name, value) for name, value in fields]
    except (TypeError, ValueError) as exc:
        raise InvalidHeader("headers= is a mapping, or pairs of (name, value)") from exc


def one_payload(payload: object, given: dict[str, Any]) -> Payload | None:
    """The one payload among the names it may be given by; raises TypeError for two."""
    found = {"payload": payload} if payload is not None else {}
    for name in ("body", "data", "json"):
        if name in given:
            value = given.pop(name)
            if name == "json" or value is not None:
                found[name] = value
    if len(found) > 1:
        raise TypeError(f"{' and '.join(found)} are given, and there is one payload")
    if "json" in found:
        return json_payload(found["json"])
    return as_payload(next(iter(found.values()), None))


def sending_of(request: Request, clock: Clock, *, asking: bool = True) -> Sending:
    """The request as bytes and framed payload, ready for any connection to its route."""
    try:
        body, fields = framed(request)
    except Error as error:
        error.request, error.sent = request, "nothing"
        raise
    headers, settings = request.headers, request.settings
    asked = "expect" in headers.names() and headers["expect"].lower() == "100-continue"
    expects = asking and _may_ask(body) and (settings.expect_continue or asked)
    if asked and not expects:
        headers = headers.copy()
        del headers["expect"]
    elif expects and not asked:
        fields.append(("Expect", "100-continue"))
    lines = headers.lines()
    if "host" not in headers.names():
        lines = f"Host: {request.authority}\r\n{lines}"
    if fields:
        lines += Headers.of_trusted(fields).lines()
    return Sending(
        request.method,
        request_head(request.method, request.target, lines),
        body,
        clock,
        partial(Spool, settings.spool_size, settings.spool_dir),
        expects,
        "connection" in headers.names() and _closes(headers),
    )


def _may_ask(body: Outgoing | None) -> bool:
    """Whether there is something to ask for before it is sent (RFC 9110 10.1.1)."""
    return body is not None and body.payload.length != 0


def _closes(headers: Headers) -> bool:
    """Whether the request says that it is the last one of its connection."""
    return "close" in [option.strip() for option in headers["connection"].lower().split(",")]
