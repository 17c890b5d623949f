"""Turn the arguments of a call into a Request."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from restkit.errors import InvalidHeader, RequestError
from restkit.forms.form_data import as_declared, as_form
from restkit.forms.multipart import with_boundary
from restkit.headers import Headers, HeaderValue, check_name
from restkit.payload.convert import as_payload
from restkit.payload.spooled import SpooledPayload, SpoolMode, spool_payload
from restkit.payload.values import json_payload

if TYPE_CHECKING:
    from restkit.payload.base import Payload
    from restkit.settings import Settings

    GivenHeaders = Mapping[str, HeaderValue | None] | Iterable[tuple[str, HeaderValue | None]]


NONE_WITHHELD: frozenset[str] = frozenset()


def with_defaults(defaults: Headers, given: GivenHeaders) -> tuple[Headers, frozenset[str]]:
    """The defaults, and over them what a call gives; and the names it gives as None.

    Those it wants not to be sent at all, whether they come from the defaults or the payload.
    """
    pairs = pairs_of(given)
    names = {check_name(name).lower() for name, _ in pairs}
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


def apply_payload_options(
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
        from restkit.content_digest.payloads import digested

        # Before it is kept: what is spooled for its length has its digest known by that.
        payload = digested(payload)
    return payload if settings.keeping is SpoolMode.NOTHING else _kept(payload, settings)


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
    from restkit.content_encoding.payloads import compressed

    return compressed(payload, coding)


def _kept(payload: Payload, settings: Settings) -> Payload:
    if settings.keeping is SpoolMode.BEFORE:
        sendable = payload.replayable and payload.length is not None
        return payload if sendable else spool_payload(payload, settings.new_spool)
    return payload if payload.replayable else SpooledPayload(payload, settings.new_spool)
