"""Responses: status, headers and body, each a WSGI application.

PEP 3333 requires a reason with every status and no hop-by-hop headers (RFC 9110 7.6.1), which
belong to the engine. With 204 and 304 there is no body, no Content-Type and no Content-Length.

A streamed response passes its head to the engine with the first bytes that are not empty, or at
the end. A failure before that can still become an error response. A later failure closes the
connection, so that no client mistakes a part of the body for the whole body.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from copy import copy
from datetime import datetime
from itertools import chain
from numbers import Number
from typing import Any, TypeAlias

from restkit.annotations import StartResponse, WSGIEnvironment
from restkit.headers import HOP_BY_HOP_HEADERS, Headers
from restkit.io.buffers import close_if_possible, flat_view
from restkit.payload.base import Payload
from restkit.server.exceptions import HeaderFields, check_status, format_status
from restkit.server.set_cookie import EXPIRED, format_set_cookie

PLAIN_TEXT = "text/plain; charset=utf-8"

_BODILESS = (204, 304)


class Response:
    """A response with a body of bytes, for a handler to return.

    ``status``, ``headers`` (``restkit.Headers``) and ``body`` may be changed until then.
    ``content_type`` is used if the headers have none. ``Content-Length`` is computed; a given one
    is only sent in response to HEAD, and only if the body is empty. Raises InvalidHeader for an
    invalid header, ValueError for a status below 200, TypeError for a body that is not bytes.

    >>> response = Response(b'{}', 201, content_type='application/json')
    >>> response.headers['X-Count'] = 0
    >>> response
    <Response 201 Created>
    """

    def __init__(
        self,
        body: bytes = b"",
        status: int = 200,
        headers: HeaderFields | None = None,
        content_type: str | None = None,
    ) -> None:
        if not isinstance(body, bytes):
            raise TypeError(f"the body of a Response must be bytes; got {type(body).__name__}")
        self.status = check_status(status)
        self.headers = Headers(headers)
        self.body = body
        if content_type is not None and "content-type" not in self.headers:
            self.headers["Content-Type"] = content_type

    def set_cookie(
        self,
        name: str,
        value: str,
        *,
        max_age: int | None = None,
        expires: datetime | None = None,
        path: str | None = "/",
        domain: str | None = None,
        secure: bool = True,
        httponly: bool = True,
        samesite: str | None = "Lax",
    ) -> None:
        """Add a ``Set-Cookie`` field.

        Without ``max_age`` (seconds) and ``expires`` (a datetime with a time zone), the cookie
        lasts as long as the session of the browser. By default the cookie is sent only over https,
        is hidden from scripts, and is not sent with requests of other sites, except when the user
        follows a link. ``secure=False`` is for plain http. Raises ValueError or TypeError for a
        cookie that a browser would drop or read differently.

        >>> response = Response()
        >>> response.set_cookie('id', 'a3f', max_age=3600)
        >>> response.headers['Set-Cookie']
        'id=a3f; Max-Age=3600; Path=/; Secure; HttpOnly; SameSite=Lax'
        """
        field = format_set_cookie(
            name,
            value,
            max_age=max_age,
            expires=expires,
            path=path,
            domain=domain,
            secure=secure,
            httponly=httponly,
            samesite=samesite,
        )
        self.headers.add("Set-Cookie", field)

    def delete_cookie(
        self,
        name: str,
        *,
        path: str | None = "/",
        domain: str | None = None,
        secure: bool = True,
        httponly: bool = True,
        samesite: str | None = "Lax",
    ) -> None:
        """Let the client delete a cookie; ``path`` and ``domain`` must be those it was set with."""
        self.set_cookie(
            name,
            "",
            max_age=0,
            expires=EXPIRED,
            path=path,
            domain=domain,
            secure=secure,
            httponly=httponly,
            samesite=samesite,
        )

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Respond to a request, as a WSGI application."""
        headers, is_head = self.headers.copy(), environ["REQUEST_METHOD"] == "HEAD"
        if self.body or not is_head or "content-length" not in headers:
            headers["Content-Length"] = len(self.body)
        start_response(format_status(self.status), to_wsgi_headers(headers, self.status))
        return () if is_head or not self.body or self.status in _BODILESS else (self.body,)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {format_status(self.status)}>"


def to_wsgi_headers(headers: Headers, status: int) -> list[tuple[str, str]]:
    """Return the fields for the engine, without those that it must not get."""
    excluded = HOP_BY_HOP_HEADERS
    if status in _BODILESS:
        excluded |= {"content-length", "content-type"}
    return [pair for pair in headers.pairs() if pair[0].lower() not in excluded]


def as_bytes(value: object) -> bytes:
    r"""Return a value as sent: bytes-like values unchanged, str as UTF-8, ``str()`` of others.

    Raises TypeError for None, which is rarely meant as the text 'None'.

    >>> as_bytes('é'), as_bytes(12)
    (b'\xc3\xa9', b'12')
    """
    if type(value) is bytes:  # not a subclass: servers require exactly bytes
        return value
    if isinstance(value, str):
        return value.encode()
    if value is None:
        raise TypeError("None cannot be sent; for an empty text use ''")
    if not isinstance(value, Number):  # a number of numpy has a buffer too
        try:
            with flat_view(value) as view:
                return bytes(view)
        except TypeError:
            pass
    return str(value).encode()


class StreamingHTTPResponse(Response):
    """A response written by a function, which is called with it once for each request.

    It has the methods of a writable file that ``csv.writer``, ``zipfile`` and
    ``shutil.copyfileobj`` call. ``status`` and ``headers`` may be changed before the first write. A
    given ``Content-Length`` is dropped, because the length is not known.
    """

    def __init__(
        self,
        streaming_fn: StreamingFunction,
        status: int = 200,
        headers: HeaderFields | None = None,
        content_type: str = PLAIN_TEXT,
    ) -> None:
        super().__init__(b"", status, headers, content_type)
        self.streaming_fn = streaming_fn
        self._start_response: StartResponse | None = None
        self._send: Callable[[bytes], object] | None = None

    def write(self, data: object) -> int:
        """Send bytes, a str as UTF-8, or ``str()`` of another value; return the number of bytes.

        An empty chunk sends nothing. Blocks while the client does not read, and raises the error
        of the engine after the client has disconnected. Raises TypeError for None, before
        anything is sent.
        """
        chunk = as_bytes(data)
        if self._start_response is None:
            raise ValueError(f"{self!r} can only be written to while its function runs")
        if chunk:
            if self._send is None:
                self._send = _send_head(self, self._start_response)
            self._send(chunk)
        return len(chunk)

    def flush(self) -> None:
        """Do nothing: every write is sent at once."""

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if _has_no_body(self, environ):
            _send_head(self, start_response)
        else:
            # A copy, because several requests may get the same response at the same time.
            copied = copy(self)
            copied.headers = self.headers.copy()
            copied._run(start_response)
        return ()

    def _run(self, start_response: StartResponse) -> None:
        self._start_response = start_response
        try:
            self.streaming_fn(self)
            if self._send is None:
                _send_head(self, start_response)
        finally:
            self._start_response = None


class IteratedResponse(Response):
    """A response of the items of an iterable, each sent as by ``write()``.

    The head is sent with the first item that is not empty. The iterable is closed at the end, if
    it can be, whether it was exhausted or not. An iterator can be sent only once: raises
    RuntimeError the second time.
    """

    def __init__(
        self,
        items: Iterable[object],
        status: int = 200,
        headers: HeaderFields | None = None,
        content_type: str = PLAIN_TEXT,
    ) -> None:
        super().__init__(b"", status, headers, content_type)
        self.items = items
        self._started = False

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if _has_no_body(self, environ):
            close_if_possible(self.items)
            _send_head(self, start_response)
            return ()
        return _start_chunks(self, self._encode_items(), start_response)

    def _encode_items(self) -> Generator[bytes, None, None]:
        if self._started and isinstance(self.items, Iterator):
            raise RuntimeError(f"{self.items!r} was already sent: an iterator can be sent once")
        self._started = True
        try:
            for item in self.items:
                yield as_bytes(item)
        finally:
            close_if_possible(self.items)


class PayloadResponse(Response):
    """A response of a payload, as a client would send it: with its length if it has one.

    The Content-Type and Content-Encoding of the payload are used if neither the headers nor
    ``content_type`` define them. ``source`` is closed at the end, if it can be.
    """

    def __init__(
        self,
        payload: Payload,
        source: object = None,
        status: int = 200,
        headers: HeaderFields | None = None,
        content_type: str | None = None,
    ) -> None:
        super().__init__(b"", status, headers, content_type)
        self.payload = payload
        self.source = source
        for name, value in payload.headers:
            self.headers.setdefault(name, value)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        length = self.payload.length
        if _has_no_body(self, environ):
            close_if_possible(self.source)
            _send_head(self, start_response, length)
            return ()
        return _start_chunks(self, self._chunks(), start_response, length)

    def _chunks(self) -> Generator[bytes, None, None]:
        try:
            for chunk in self.payload:
                yield bytes(chunk)
        finally:
            close_if_possible(self.source)


class _Chunks:
    """Chunks for the engine; creating it waits for the first one that is not empty."""

    def __init__(self, chunks: Generator[bytes, None, None]) -> None:
        self._chunks = chunks
        self._first = next(filter(None, chunks), b"")

    def __iter__(self) -> Iterator[bytes]:
        return filter(None, chain((self._first,), self._chunks))

    def close(self) -> None:
        self._chunks.close()


def _has_no_body(response: Response, environ: WSGIEnvironment) -> bool:
    return environ["REQUEST_METHOD"] == "HEAD" or response.status in _BODILESS


def _send_head(
    response: Response, start_response: StartResponse, length: int | None = None
) -> Callable[[bytes], object]:
    headers = response.headers.copy()
    headers.pop("Content-Length", None)
    if length is not None:
        headers["Content-Length"] = length
    return start_response(format_status(response.status), to_wsgi_headers(headers, response.status))


def _start_chunks(
    response: Response,
    chunks: Generator[bytes, None, None],
    start_response: StartResponse,
    length: int | None = None,
) -> Iterable[bytes]:
    body = _Chunks(chunks)
    _send_head(response, start_response, length)
    return body


StreamingFunction: TypeAlias = Callable[[StreamingHTTPResponse], object]
BeforeHook: TypeAlias = Callable[[Any], Response | None]  # called with the request
AfterHook: TypeAlias = Callable[[Any, Response], Response | None]
