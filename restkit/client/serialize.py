"""Turn a Request into bytes and a framed payload."""

from __future__ import annotations

from restkit.client.options import Settings
from restkit.connections.outgoing import (
    ChunkedFraming,
    FileFraming,
    FramedPayload,
    OutgoingRequest,
    SizedFraming,
    check_payload_fields,
)
from restkit.errors import Error, PayloadError, PayloadLengthError, RequestError
from restkit.headers import Headers
from restkit.http1.fields import parse_length
from restkit.http1.writing import encode_request_head
from restkit.message.request import KNOWN_METHODS, Request, check_method
from restkit.network.proxy import Proxy
from restkit.payload.base import DeclaredLength, Payload, check_sendable
from restkit.payload.files import RegularPayload
from restkit.payload.values import BytesPayload
from restkit.progress import ProgressCallback, ProgressPayload

_METHODS_WITH_PAYLOAD = frozenset(("POST", "PUT", "PATCH"))
_METHODS_WITHOUT_PAYLOAD = frozenset(("TRACE", "CONNECT"))
_FRAMING_FIELDS = frozenset(("content-length", "transfer-encoding"))

Fields = list[tuple[str, str]]


def serialize_request(
    request: Request, settings: Settings, proxy: Proxy | None, *, allow_expect: bool = True
) -> OutgoingRequest:
    """Return the request as bytes and framed payload, ready for any connection of its route.

    ``allow_expect`` allows ``Expect: 100-continue``. Raises RequestError or PayloadError, with the
    request, if it cannot be sent.
    """
    if type(request.method) is not str or request.method not in KNOWN_METHODS:
        # It may have been set after the request was checked; an enum member equals its value.
        request.method = check_method(request.method)
    try:
        on_sent = None if settings.progress is None else settings.progress.sent
        body, fields = frame_payload(request, on_sent)
    except Error as error:
        error.request, error.sent = request, "nothing"
        raise
    headers = request.headers
    names = headers.names()
    expects = False
    if body is not None or "expect" in names:
        caller_expects = "expect" in names and headers["expect"].lower() == "100-continue"
        expects = (
            allow_expect
            and body is not None
            and _needs_continue(body.payload, settings, caller_expects=caller_expects)
        )
        if caller_expects and not expects:
            headers = headers.copy()
            del headers["expect"]
        elif expects and not caller_expects:
            fields.append(("Expect", "100-continue"))
    lines = headers.lines()
    if "host" not in names:
        lines = f"Host: {request.authority}\r\n{lines}"
    target = request.target
    if proxy is not None and proxy.forwards(request.url.scheme):
        # OPTIONS * is for the origin: in absolute form it has no path (RFC 9112 3.2.4).
        path = "" if target == "*" else target
        target = f"{request.url.scheme}://{request.url.authority}{path}"
        fields += proxy.fields
    if fields:
        lines += Headers.from_trusted(fields).lines()
    return OutgoingRequest(
        request.method,
        encode_request_head(request.method, target, lines),
        body,
        request.read_options.new_spool,
        expects,
        "connection" in names and _has_close(headers),
        request.read_options.early_limit,
    )


def _needs_continue(payload: Payload, settings: Settings, *, caller_expects: bool) -> bool:
    """Whether to wait for 100 Continue before the payload is sent (RFC 9110 10.1.1).

    By default only if the server may send a challenge and the payload can be sent only once.
    """
    if payload.length == 0:
        return False
    if settings.expect_continue is not None or caller_expects:
        return caller_expects or bool(settings.expect_continue)
    auth = settings.auth
    return auth is not None and auth.answers_challenges and not payload.replayable


def _has_close(headers: Headers) -> bool:
    return "close" in [option.strip() for option in headers["connection"].lower().split(",")]


def frame_payload(
    request: Request, on_sent: ProgressCallback | None = None
) -> tuple[FramedPayload | None, Fields]:
    """Decide the framing of the payload; return it with the header fields that announce it.

    A Content-Length or ``Transfer-Encoding: chunked`` of the caller decides. Raises RequestError
    for both together, and for a payload of TRACE or CONNECT; PayloadNotReplayable for a payload
    that was sent and cannot be sent again. ``on_sent`` is called with the bytes sent.
    """
    payload = request.payload
    declared = request.headers.names() & _FRAMING_FIELDS
    if payload is None and not declared:
        return None, [("Content-Length", "0")] if request.method in _METHODS_WITH_PAYLOAD else []
    if request.method in _METHODS_WITHOUT_PAYLOAD:
        raise RequestError(f"a {request.method} request cannot have a payload (RFC 9110 9.3)")
    if payload is not None:
        check_sendable(payload)
        _check_length(payload)
    if len(declared) > 1:
        raise RequestError("Content-Length and Transfer-Encoding are both given; leave one out")
    if "content-length" in declared:
        return _frame_by_declared_length(request, payload, on_sent)
    if declared:
        coding = request.headers["transfer-encoding"]
        if coding.lower() != "chunked":
            raise RequestError(f"Transfer-Encoding must be chunked; got {coding!r}")
        if payload is None:
            return ChunkedFraming(_with_progress(BytesPayload(b""), on_sent)), []
        fields = _payload_fields(request, payload) + _trailer_field(request, payload)
        return ChunkedFraming(_with_progress(payload, on_sent)), fields
    assert payload is not None
    fields = _payload_fields(request, payload)
    if payload.length is None:
        fields += [*_trailer_field(request, payload), ("Transfer-Encoding", "chunked")]
        return ChunkedFraming(_with_progress(payload, on_sent)), fields
    fields.append(("Content-Length", str(payload.length)))
    return _frame_by_length(_with_progress(payload, on_sent)), fields


def _check_length(payload: Payload) -> None:
    length: object = payload.length
    if length is not None and (type(length) is not int or length < 0):
        raise PayloadError(
            f"the length of a {type(payload).__name__} must be an int of 0 or more, or None; "
            f"got {length!r}"
        )


def _frame_by_declared_length(
    request: Request, payload: Payload | None, on_sent: ProgressCallback | None
) -> tuple[FramedPayload | None, Fields]:
    declared = request.headers["content-length"]
    length = parse_length(declared)
    if length is None:
        raise RequestError(f"Content-Length must be a number of bytes in digits; got {declared!r}")
    if payload is None:
        if length:
            raise PayloadLengthError(f"Content-Length is {length}, and there is no payload")
        return None, []
    if payload.trailer_names:
        raise RequestError(
            f"Content-Length is given, but the trailers {', '.join(payload.trailer_names)} of the "
            "payload can only be sent after chunks; leave Content-Length out, or use spool=True, "
            "which finds both before the head is sent"
        )
    checked = DeclaredLength(payload, length)
    framed = checked if payload.length is None else payload
    fields = _payload_fields(request, payload)
    return _frame_by_length(_with_progress(framed, on_sent)), fields


def _with_progress(payload: Payload, on_sent: ProgressCallback | None) -> Payload:
    return payload if on_sent is None else ProgressPayload(payload, on_sent)


def _frame_by_length(payload: Payload) -> FramedPayload:
    return FileFraming(payload) if isinstance(payload, RegularPayload) else SizedFraming(payload)


def _trailer_field(request: Request, payload: Payload) -> Fields:
    """Return the field that announces the payload's trailers (RFC 9110 6.6.2)."""
    if not payload.trailer_names or "trailer" in request.given_names:
        return []
    return [("Trailer", ", ".join(payload.trailer_names))]


def _payload_fields(request: Request, payload: Payload) -> Fields:
    """Return the payload's own header fields that the caller neither gave nor suppressed."""
    headers = Headers(payload.headers)
    check_payload_fields(payload, headers)
    excluded = request.given_names
    return [(name, value) for name, value in headers.pairs() if name.lower() not in excluded]
