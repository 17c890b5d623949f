"""Responses, whole and streamed.

An answer: status, headers and a body, itself a WSGI application.

What WSGI asks of it (PEP 3333): a reason with every status, no header of the connection itself
(RFC 9110 7.6.1; those belong to the engine), and, with 204 and 304, neither body nor
Content-Type nor Content-Length.

Answers that are made while they are sent: by a function that writes, or piece by piece.

The head is given to the engine with the first bytes that are not empty, or at the end. What fails
before that can still be answered with an error; what fails later breaks the connection, so that no
client takes the part for the whole.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from copy import copy
from itertools import chain
from numbers import Number
from typing import TYPE_CHECKING, TypeAlias

from restkit.headers import HOP_BY_HOP_HEADERS, Headers
from restkit.io.buffers import close_if_possible, flat_view
from restkit.server.exceptions import checked_status, status_text

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

    from restkit.payload.base import Payload
    from restkit.server.exceptions import HeaderFields


BODILESS = (204, 304)


class Response:
    """An answer whose body is at hand, as bytes; a handler returns it.

    ``status``, ``headers`` (``restkit.Headers``) and ``body`` may be changed until it is
    returned. ``content_type`` is for where the headers have none. ``Content-Length`` is counted;
    one that is given stands only in the answer to a HEAD, and only where the body is empty.
    Raises InvalidHeader for what can be no header, ValueError for a status below 200, TypeError
    for a body that is not of bytes.
    """

    def __init__(
        self,
        body: bytes = b"",
        status: int = 200,
        headers: HeaderFields | None = None,
        content_type: str | None = None,
    ) -> None:
        if not isinstance(body, bytes):
            raise TypeError(f"the body is of type {type(body).__name__}; Response wants bytes")
        self.status = checked_status(status)
        self.headers = Headers(headers)
        self.body = body
        if content_type is not None and "content-type" not in self.headers:
            self.headers["Content-Type"] = content_type

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a request, as a WSGI application does."""
        headers, is_head = self.headers.copy(), environ["REQUEST_METHOD"] == "HEAD"
        if self.body or not is_head or "content-length" not in headers:
            headers["Content-Length"] = len(self.body)
        start_response(status_text(self.status), sendable(headers, self.status))
        return () if is_head or not self.body or self.status in BODILESS else (self.body,)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {status_text(self.status)}>"


def sendable(headers: Headers, status: int) -> list[tuple[str, str]]:
    """The fields that go to the engine."""
    left_out = HOP_BY_HOP_HEADERS
    if status in BODILESS:
        left_out |= {"content-length", "content-type"}
    return [pair for pair in headers.pairs() if pair[0].lower() not in left_out]


def as_bytes(value: object) -> bytes:
    """What a value is on the wire: bytes and the like as they are, str as UTF-8, else ``str()``.

    Raises TypeError for None, which is rarely meant to be the text 'None'.
    """
    if type(value) is bytes:  # and not a subclass: servers ask for just that
        return value
    if isinstance(value, str):
        return value.encode()
    if value is None:
        raise TypeError("None has no bytes to send; '' is the empty text")
    if not isinstance(value, Number):  # a number of numpy's has a buffer, too
        try:
            with flat_view(value) as view:
                return bytes(view)
        except TypeError:
            pass
    return str(value).encode()


StreamingFunction: TypeAlias = "Callable[[StreamingHTTPResponse], object]"

TEXT = "text/plain; charset=utf-8"


class StreamingHTTPResponse(Response):
    """An answer that a function writes: it is called with the answer, anew for each request.

    A writable file as far as ``csv.writer``, ``zipfile`` and ``shutil.copyfileobj`` want one.
    ``status`` and ``headers`` may still be changed before the first write. A ``Content-Length``
    that is given is left out: nobody can know it.
    """

    def __init__(
        self,
        streaming_fn: StreamingFunction,
        status: int = 200,
        headers: HeaderFields | None = None,
        content_type: str = TEXT,
    ) -> None:
        super().__init__(b"", status, headers, content_type)
        self.streaming_fn = streaming_fn
        self._start_response: StartResponse | None = None
        self._deliver: Callable[[bytes], object] | None = None

    def write(self, data: object) -> int:
        """Send bytes, a str as UTF-8, or the ``str()`` of something else, now; how many bytes.

        What is empty sends nothing. Blocks while the client does not read, and raises what the
        engine raises when it has gone away; TypeError for None, before anything is sent.
        """
        piece = as_bytes(data)
        if self._start_response is None:
            raise ValueError(f"{self!r} can be written to while its function runs, and no longer")
        if piece:
            if self._deliver is None:
                self._deliver = _start(self, self._start_response)
            self._deliver(piece)
        return len(piece)

    def flush(self) -> None:
        """Nothing: every write has been sent."""

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if _is_bodiless(self, environ):
            _start(self, start_response)
        else:
            # A copy: another request may be given the same answer at the same time.
            running = copy(self)
            running.headers = self.headers.copy()
            running._run(start_response)
        return ()

    def _run(self, start_response: StartResponse) -> None:
        self._start_response = start_response
        try:
            self.streaming_fn(self)
            if self._deliver is None:
                _start(self, start_response)
        finally:
            self._start_response = None


class IteratedResponse(Response):
    """An answer that is the items of an iterable, each sent as ``write()`` would send it.

    The first item that is not empty is asked for before the head leaves. What can be closed is
    closed at the end, however that comes. An iterator can be the answer once; raises
    RuntimeError the second time.
    """

    def __init__(
        self,
        items: Iterable[object],
        status: int = 200,
        headers: HeaderFields | None = None,
        content_type: str = TEXT,
    ) -> None:
        super().__init__(b"", status, headers, content_type)
        self.items = items
        self._begun = False

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if _is_bodiless(self, environ):
            close_if_possible(self.items)
            _start(self, start_response)
            return ()
        pieces = _Pieces(self._fresh())
        _start(self, start_response)
        return pieces

    def _fresh(self) -> Generator[bytes, None, None]:
        if self._begun and isinstance(self.items, Iterator):
            raise RuntimeError(f"{self.items!r} was an answer before, and has nothing more to give")
        self._begun = True
        try:
            for item in self.items:
                yield as_bytes(item)
        finally:
            close_if_possible(self.items)


class PayloadResponse(Response):
    """An answer that is a payload, as a client would send it: with its length where it has one.

    Its Content-Type and Content-Encoding are said where the headers do not say them;
    ``content_type`` is said before its own. ``source`` is closed at the end, if it can be.
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
        if _is_bodiless(self, environ):
            close_if_possible(self.source)
            _start(self, start_response, length)
            return ()
        pieces = _Pieces(self._all())
        _start(self, start_response, length)
        return pieces

    def _all(self) -> Generator[bytes, None, None]:
        try:
            for piece in self.payload:
                yield bytes(piece)
        finally:
            close_if_possible(self.source)


class _Pieces:
    """The pieces for the engine: the first that is not empty has come when this is made."""

    def __init__(self, pieces: Generator[bytes, None, None]) -> None:
        self._pieces = pieces
        self._first = next(filter(None, pieces), b"")

    def __iter__(self) -> Iterator[bytes]:
        return filter(None, chain((self._first,), self._pieces))

    def close(self) -> None:
        self._pieces.close()


def _is_bodiless(response: Response, environ: WSGIEnvironment) -> bool:
    return environ["REQUEST_METHOD"] == "HEAD" or response.status in BODILESS


def _start(
    response: Response, start_response: StartResponse, length: int | None = None
) -> Callable[[bytes], object]:
    headers = response.headers.copy()
    headers.pop("Content-Length", None)
    if length is not None:
        headers["Content-Length"] = length
    return start_response(status_text(response.status), sendable(headers, response.status))
