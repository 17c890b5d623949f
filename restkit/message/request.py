"""A request as filters and callers see it, and the one rule of how its payload is framed."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

from restkit.around import DeclaredLength
from restkit.errors import PayloadError, PayloadLengthError, RequestError
from restkit.files import RegularPayload
from restkit.headers import Headers
from restkit.masking import is_secret, masked
from restkit.payload import Payload, refuse_if_spent
from restkit.settings import Settings
from restkit.sources import BytesPayload
from restkit.wire.outgoing import ChunkedOut, FileOut, Outgoing, SizedOut, refuse_of_a_payload

if TYPE_CHECKING:
    from collections.abc import Iterator

    from restkit.payload import Buffer
    from restkit.url import URL

_METHOD = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_HOST_AND_PORT = re.compile(r"(?:[A-Za-z0-9._~-]+|\[[0-9A-Fa-f:.]+\]):[0-9]{1,5}")
_DIGITS = re.compile(r"[0-9]{1,19}")
_WITH_BODY = frozenset(("POST", "PUT", "PATCH"))
_WITHOUT_BODY = frozenset(("TRACE", "CONNECT"))
_KNOWN = frozenset(("GET", "POST", "PUT", "HEAD", "DELETE", "PATCH", "OPTIONS"))
_IDEMPOTENT = frozenset(("GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"))
_FRAMING = frozenset(("content-length", "transfer-encoding"))


class Request:
    """What is asked for: method, URL, headers and payload, all free to change until it is sent.

    It pickles without its secrets: user info, cookies and headers that look secret by their name
    stay behind, and of the payload only its ``repr`` goes along.
    """

    __slots__ = ("_method", "headers", "payload", "settings", "url", "withheld")

    def __init__(
        self,
        method: str,
        url: URL,
        headers: Headers,
        withheld: frozenset[str],
        payload: Payload | None,
        settings: Settings,
    ) -> None:
        self.method = method
        self.url = url
        self.headers = headers
        self.withheld = withheld
        self.payload = payload
        self.settings = settings

    @property
    def method(self) -> str:
        """A word such as GET; those that are known are in capitals, however they were given."""
        return self._method

    @method.setter
    def method(self, method: str) -> None:
        self._method = _checked_method(method)

    @property
    def idempotent(self) -> bool:
        """Whether doing it twice does no more than doing it once (RFC 9110 9.2.2)."""
        return self.method in _IDEMPOTENT

    @property
    def target(self) -> str:
        """What stands on the request line; for CONNECT the URL's path names host and port."""
        if self.method != "CONNECT":
            return self.url.target
        target = self.url.target.lstrip("/")
        if not _HOST_AND_PORT.fullmatch(target):
            raise RequestError(
                f"CONNECT {target!r}: the path of the URL is to name host and port, as in "
                "http://proxy:3128/host:443"
            )
        return target

    @property
    def authority(self) -> str:
        """What the Host header says."""
        return self.target if self.method == "CONNECT" else self.url.authority

    def __copy__(self) -> Request:
        """The same request, with headers of its own, to be changed and sent beside this one."""
        headers = self.headers.copy()
        return Request(self.method, self.url, headers, self.withheld, self.payload, self.settings)

    def __repr__(self) -> str:
        return f"<Request {self.method} {masked(str(self.url))}>"

    def __reduce__(self) -> tuple[Any, ...]:
        pairs = [(n, v) for n, v in self.headers.pairs() if not is_secret(n)]
        payload = None if self.payload is None else repr(self.payload)
        decompress = self.settings.decompress  # by which its response is read
        return _revive, (self.method, str(self.url), pairs, payload, decompress)


def _checked_method(method: object) -> str:
    if isinstance(method, str):
        method = str.__str__(method)  # a member of an enum would write itself in its own way
        if method in _KNOWN:
            return method
        if _METHOD.fullmatch(method):
            return method.upper() if method.upper() in _KNOWN else method
    raise RequestError(f"{method!r} is no method: a word such as GET or POST is one")


def _revive(
    method: str, url: str, pairs: list[tuple[str, str]], payload: str | None, decompress: bool
) -> Request:
    from restkit.url import parse_url

    body = None if payload is None else _LeftBehind(payload)
    settings = Settings(decompress=decompress)
    return Request(method, parse_url(url), Headers(pairs), frozenset(), body, settings)


class _LeftBehind(Payload):
    """What a pickle has of a payload: how it looked. It cannot be sent."""

    started = True

    def __init__(self, shown: str) -> None:
        self._shown = shown

    def chunks(self) -> Iterator[Buffer]:
        refuse_if_spent(self)
        return iter(())

    def __repr__(self) -> str:
        return self._shown


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
        refuse_if_spent(payload)
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
