"""A request as filters and callers see it, and the one rule of how its payload is framed."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

from restkit.door import as_payload
from restkit.errors import PayloadLengthError, RequestError
from restkit.files import RegularPayload
from restkit.headers import SECRET, Headers
from restkit.payload import DeclaredLength, Payload, refuse_if_spent
from restkit.settings import Settings
from restkit.wire.framing import ChunkedOut, FileOut, Outgoing, SizedOut

if TYPE_CHECKING:
    from restkit.url import URL

_METHOD = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_DIGITS = re.compile(r"[0-9]{1,19}")
_WITH_BODY = frozenset(("POST", "PUT", "PATCH"))
_WITHOUT_BODY = frozenset(("TRACE", "CONNECT"))
_KNOWN = frozenset(("GET", "POST", "PUT", "HEAD", "DELETE", "PATCH", "OPTIONS"))
_IDEMPOTENT = frozenset(("GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"))
_FRAMING = frozenset(("content-length", "transfer-encoding"))


class Request:
    """What is asked for: method, URL, headers and payload, all free to change until it is sent.

    It pickles without its secrets: user info, credentials and cookies stay behind, and of the
    payload only its ``repr`` goes along.
    """

    __slots__ = ("headers", "method", "payload", "settings", "url")

    def __init__(
        self,
        method: str,
        url: URL,
        headers: Headers,
        payload: Payload | None,
        settings: Settings,
    ) -> None:
        self.method = _checked_method(method)
        self.url = url
        self.headers = headers
        self.payload = payload
        self.settings = settings

    @property
    def idempotent(self) -> bool:
        """Whether doing it twice does no more than doing it once (RFC 9110 9.2.2)."""
        return self.method in _IDEMPOTENT

    @property
    def target(self) -> str:
        """What stands on the request line; for CONNECT the URL's path names host and port."""
        return self.url.target.lstrip("/") if self.method == "CONNECT" else self.url.target

    @property
    def authority(self) -> str:
        """What the Host header says."""
        return self.target if self.method == "CONNECT" else self.url.authority

    def __repr__(self) -> str:
        return f"<Request {self.method} {self.url}>"

    def __reduce__(self) -> tuple[Any, ...]:
        pairs = [(n, v) for n, v in self.headers.pairs() if n.lower() not in SECRET]
        payload = None if self.payload is None else repr(self.payload)
        decompress = self.settings.decompress  # by which its response is read
        return _revive, (self.method, str(self.url), pairs, payload, decompress)


def _checked_method(method: object) -> str:
    if method in _KNOWN and isinstance(method, str):
        return method
    if not isinstance(method, str) or not _METHOD.fullmatch(method):
        raise RequestError(f"{method!r} is no method: a word such as GET or POST is one")
    return method


def _revive(
    method: str, url: str, pairs: list[tuple[str, str]], payload: Any, decompress: bool
) -> Request:
    from restkit.url import parse_url

    settings = Settings(decompress=decompress)
    return Request(method, parse_url(url), Headers(pairs), payload, settings)


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
    headers, payload = request.headers, request.payload
    declared = headers.names() & _FRAMING
    if request.method in _WITHOUT_BODY and (payload is not None or declared):
        raise RequestError(f"a {request.method} request has no payload (RFC 9110 9.3)")
    if payload is not None:
        refuse_if_spent(payload)
    if not declared:
        return _framed_by_payload(request.method, headers, payload)
    if len(declared) > 1:
        raise RequestError("both Content-Length and Transfer-Encoding are given: one must go")
    if "content-length" in declared:
        return _framed_by_declaration(headers["content-length"], headers, payload)
    return _framed_in_chunks(headers["transfer-encoding"], headers, payload)


def _framed_by_payload(method: str, headers: Headers, payload: Payload | None) -> Framed:
    if payload is None:
        return Framed(None, [("Content-Length", "0")] if method in _WITH_BODY else [])
    fields = _announced(headers, payload)
    if payload.length is None:
        return Framed(ChunkedOut(payload), [*fields, ("Transfer-Encoding", "chunked")])
    body = FileOut(payload) if isinstance(payload, RegularPayload) else SizedOut(payload)
    return Framed(body, [*fields, ("Content-Length", str(payload.length))])


def _framed_in_chunks(coding: str, headers: Headers, payload: Payload | None) -> Framed:
    if coding.lower() != "chunked":
        raise RequestError(f"Transfer-Encoding {coding!r}: chunked is the one that can be sent")
    body = payload if payload is not None else as_payload(b"")
    assert body is not None
    return Framed(ChunkedOut(body), _announced(headers, payload))


def _framed_by_declaration(length: str, headers: Headers, payload: Payload | None) -> Framed:
    if not _DIGITS.fullmatch(length):
        raise RequestError(f"Content-Length {length!r}: a number of bytes in digits is wanted")
    if payload is None:
        if int(length):
            raise PayloadLengthError(f"Content-Length says {length}, and there is no payload")
        return Framed(None, [])
    held = DeclaredLength(payload, int(length))
    return Framed(SizedOut(held), _announced(headers, payload))


def _announced(headers: Headers, payload: Payload | None) -> list[tuple[str, str]]:
    """The payload's own header fields, but for those that the caller has given."""
    if payload is None:
        return []
    return [(name, value) for name, value in payload.headers if name not in headers]
