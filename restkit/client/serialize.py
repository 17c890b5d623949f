"""Turn a Request into bytes and a framed payload."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from restkit.connections.outgoing import (
    ChunkedOut,
    FileOut,
    Outgoing,
    Sending,
    SizedOut,
    refuse_of_a_payload,
)
from restkit.errors import Error, PayloadError, PayloadLengthError, RequestError
from restkit.headers import Headers
from restkit.http1.writing import request_head
from restkit.payload.base import DeclaredLength, Payload, check_sendable
from restkit.payload.files import RegularPayload
from restkit.payload.values import BytesPayload
from restkit.progress import told_of

if TYPE_CHECKING:
    from restkit.message.request import Request
    from restkit.network.proxy import Proxy
    from restkit.settings import Settings
    from restkit.timeouts import Deadline


def serialize_request(
    request: Request, proxy: Proxy | None, clock: Deadline, *, asking: bool = True
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
        lines += Headers.from_trusted(fields).lines()
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


_DIGITS = re.compile(r"[0-9]{1,19}")
_WITH_BODY = frozenset(("POST", "PUT", "PATCH"))
_WITHOUT_BODY = frozenset(("TRACE", "CONNECT"))
_FRAMING = frozenset(("content-length", "transfer-encoding"))


class Framed(NamedTuple):
    """A payload with its framing, and the header fields that announce both."""

    body: Outgoing | None
    fields: list[tuple[str, str]]


def framed(request: Request) -> Framed:
    """How the payload of this request goes out; asked once, at the door of the wire.

    The caller's own Content-Length or ``Transfer-Encoding: chunked`` is held to; both together
    are a RequestError, and so is a payload, or its announcement, where none can be. One that has
    been sent and cannot be again is PayloadNotReplayable.
    """
    payload = request.payload
    declared = request.headers.names() & _FRAMING
    if request.method in _WITHOUT_BODY and (payload is not None or declared):
        raise RequestError(f"a {request.method} request has no payload (RFC 9110 9.3)")
    if payload is not None:
        check_sendable(payload)
        _refuse_odd_length(payload)
    if not declared:
        return _framed_by_payload(request, payload)
    if len(declared) > 1:
        raise RequestError("both Content-Length and Transfer-Encoding are given: one must go")
    if "content-length" in declared:
        return _framed_by_declaration(request, payload)
    return _framed_in_chunks(request, payload)


def _refuse_odd_length(payload: Payload) -> None:
    length: object = payload.length
    if length is not None and (type(length) is not int or length < 0):
        raise PayloadError(
            f"the length of a {type(payload).__name__} is {length!r}: a number of bytes, as an "
            "int, or None is wanted"
        )


def _framed_by_payload(request: Request, payload: Payload | None) -> Framed:
    if payload is None:
        return Framed(None, [("Content-Length", "0")] if request.method in _WITH_BODY else [])
    fields = _announced(request, payload)
    if payload.length is None:
        fields += [*_trailer_field(request, payload), ("Transfer-Encoding", "chunked")]
        return Framed(ChunkedOut(payload), fields)
    return Framed(_sized(payload), [*fields, ("Content-Length", str(payload.length))])


def _framed_in_chunks(request: Request, payload: Payload | None) -> Framed:
    coding = request.headers["transfer-encoding"]
    if coding.lower() != "chunked":
        raise RequestError(f"Transfer-Encoding {coding!r}: chunked is the one that can be sent")
    if payload is None:
        return Framed(ChunkedOut(BytesPayload(b"")), [])
    fields = _announced(request, payload) + _trailer_field(request, payload)
    return Framed(ChunkedOut(payload), fields)


def _framed_by_declaration(request: Request, payload: Payload | None) -> Framed:
    length = request.headers["content-length"]
    if not _DIGITS.fullmatch(length):
        raise RequestError(f"Content-Length {length!r}: a number of bytes in digits is wanted")
    if payload is None:
        if int(length):
            raise PayloadLengthError(f"Content-Length says {length}, and there is no payload")
        return Framed(None, [])
    if payload.trailer_names:
        raise RequestError(
            f"Content-Length is given, and {', '.join(payload.trailer_names)} of the payload can "
            "only be sent behind chunks: one must go; spool=True finds both out beforehand"
        )
    held = DeclaredLength(payload, int(length))
    return Framed(_sized(held if payload.length is None else payload), _announced(request, payload))


def _trailer_field(request: Request, payload: Payload) -> list[tuple[str, str]]:
    """What announces the trailers of a payload in chunks (RFC 9110 6.6.2)."""
    if not payload.trailer_names or "trailer" in request.headers.names() | request.withheld:
        return []
    return [("Trailer", ", ".join(payload.trailer_names))]


def _sized(payload: Payload) -> Outgoing:
    return FileOut(payload) if isinstance(payload, RegularPayload) else SizedOut(payload)


def _announced(request: Request, payload: Payload) -> list[tuple[str, str]]:
    """The payload's own header fields, but for those that the caller has given or withheld."""
    own = Headers(payload.headers)
    refuse_of_a_payload(payload, own)
    said = request.headers.names() | request.withheld
    return [(name, value) for name, value in own.pairs() if name.lower() not in said]
