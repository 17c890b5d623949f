"""What a caller gives made into a request, and a request into what the wire takes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from restkit.door import as_payload
from restkit.errors import Error, InvalidHeader, RequestError
from restkit.forms import as_declared, as_form
from restkit.headers import Headers, HeaderValue, checked_name
from restkit.json_body import json_payload
from restkit.message.request import framed
from restkit.multipart import with_boundary
from restkit.progress import told_of
from restkit.replaying import Keeping, KeptPayload, spooled
from restkit.wire.head import request_head
from restkit.wire.sending import Sending

if TYPE_CHECKING:
    from restkit.message.request import Request
    from restkit.payload import Payload
    from restkit.settings import Settings
    from restkit.timeouts import Clock
    from restkit.wire.proxy import Proxy

    GivenHeaders = Mapping[str, HeaderValue | None] | Iterable[tuple[str, HeaderValue | None]]

NONE_WITHHELD: frozenset[str] = frozenset()


def with_defaults(defaults: Headers, given: GivenHeaders) -> tuple[Headers, frozenset[str]]:
    """The defaults, and over them what a call gives; and the names it gives as None.

    Those it wants not to be sent at all, whether they come from the defaults or the payload.
    """
    pairs = pairs_of(given)
    names = {checked_name(name).lower() for name, _ in pairs}
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


def pairs_of(given: GivenHeaders) -> list[tuple[str, HeaderValue | None]]:
    """Headers as callers give them, as pairs; raises InvalidHeader for what is neither."""
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
    return payload_of(next(iter(found.values()), None))


def payload_of(value: object) -> Payload | None:
    """The payload that a value stands for; a mapping or a list of pairs is a form."""
    form = as_form(value)
    return as_payload(value if form is None else form)


def as_wanted(
    payload: Payload, headers: Headers, withheld: frozenset[str], settings: Settings
) -> Payload:
    """The payload as the headers and the options want it: coded, summed up, kept to go again.

    A Content-Type among the headers gets the boundary of a form. What is ``withheld`` is not
    among them, and must not be sent by anybody.
    """
    if "content-type" in headers.names():
        payload = _as_declared_in(headers, payload)
    if settings.compress is not None:
        payload = _compressed(payload, headers, withheld, settings.compress)
    if settings.content_digest and "content-digest" not in headers.names() | withheld:
        from restkit.streaming.digest import digested

        # Before it is kept: what is spooled for its length has its digest known by that.
        payload = digested(payload)
    return payload if settings.keeping is Keeping.NOTHING else _kept(payload, settings)


def _as_declared_in(headers: Headers, payload: Payload) -> Payload:
    given = headers["content-type"]
    payload = as_declared(payload, given)
    said = with_boundary(given, payload)
    if said != given:
        headers["Content-Type"] = said
    return payload


def _compressed(
    payload: Payload, headers: Headers, withheld: frozenset[str], coding: str
) -> Payload:
    if "content-encoding" in withheld:
        raise RequestError(
            f"compress={coding!r} and Content-Encoding=None are given: without that header nobody "
            "could tell what the bytes are"
        )
    for name in ("content-encoding", "content-length"):
        if name in headers.names():
            raise RequestError(
                f"compress={coding!r} and a {name.title()} header are given: the header would be "
                "of something else"
            )
    from restkit.streaming.gzip import compressed

    return compressed(payload, coding)


def _kept(payload: Payload, settings: Settings) -> Payload:
    if settings.keeping is Keeping.BEFORE:
        sendable = payload.replayable and payload.length is not None
        return payload if sendable else spooled(payload, settings.new_spool)
    return payload if payload.replayable else KeptPayload(payload, settings.new_spool)


def sending_of(
    request: Request, proxy: Proxy | None, clock: Clock, *, asking: bool = True
) -> Sending:
    """The request as bytes and framed payload, ready for any connection to its route."""
    try:
        body, fields = framed(request)
    except Error as error:
        error.request, error.sent = request, "nothing"
        raise
    headers, settings = request.headers, request.settings
    if body is not None and settings.progress is not None and settings.progress.sent is not None:
        body = told_of(body, settings.progress.sent)
    asked = "expect" in headers.names() and headers["expect"].lower() == "100-continue"
    expects = asking and body is not None and _expects(body.payload, settings, asked=asked)
    if asked and not expects:
        headers = headers.copy()
        del headers["expect"]
    elif expects and not asked:
        fields.append(("Expect", "100-continue"))
    lines = headers.lines()
    if "host" not in headers.names():
        lines = f"Host: {request.authority}\r\n{lines}"
    target = request.target
    if proxy is not None and proxy.forwards(request.url.scheme):
        # OPTIONS * asks the origin itself: in absolute form it has no path (RFC 9112 3.2.4).
        path = "" if target == "*" else target
        target = f"{request.url.scheme}://{request.url.authority}{path}"
        fields += proxy.fields
    if fields:
        lines += Headers.of_trusted(fields).lines()
    return Sending(
        request.method,
        request_head(request.method, target, lines),
        body,
        clock,
        settings.new_spool,
        expects,
        "connection" in headers.names() and _closes(headers),
    )


def _expects(payload: Payload, settings: Settings, *, asked: bool) -> bool:
    """Whether to ask before the payload goes (RFC 9110 10.1.1).

    Left to itself, only where the answer may be a challenge, and what is sent once is lost by it.
    """
    if payload.length == 0:
        return False
    if settings.expect_continue is not None or asked:
        return asked or bool(settings.expect_continue)
    auth = settings.auth
    return auth is not None and auth.answers_challenges and not payload.replayable


def _closes(headers: Headers) -> bool:
    """Whether the request says that it is the last one of its connection."""
    return "close" in [option.strip() for option in headers["connection"].lower().split(",")]
