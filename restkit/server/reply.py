"""An answer: status, headers and a body, itself a WSGI application.

What WSGI asks of it (PEP 3333): a reason with every status, no header of the connection itself
(RFC 9110 7.6.1; those belong to the engine), and, with 204 and 304, neither body nor
Content-Type nor Content-Length.
"""

from __future__ import annotations

from numbers import Number
from typing import TYPE_CHECKING

from restkit.headers import OF_THE_CONNECTION, Headers
from restkit.payload import exported
from restkit.server.statuses import checked_status, status_text

if TYPE_CHECKING:
    from collections.abc import Iterable

    from _typeshed.wsgi import StartResponse, WSGIEnvironment

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
    left_out = OF_THE_CONNECTION
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
            with exported(value) as view:
                return bytes(view)
        except TypeError:
            pass
    return str(value).encode()
