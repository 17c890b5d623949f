"""Every exception of restkit, and who caused it.

Every exception that restkit raises, and whose fault each one is.

::

    Error
    ├ RequestError          yours: nothing was sent
    │ ├ InvalidUrl
    │ └ InvalidHeader
    ├ PayloadError          your body
    │ ├ PayloadLengthError      it gave more or less than was announced
    │ └ PayloadNotReplayable    it can be sent once, and that once is over
    ├ TransportError        the network
    │ ├ ConnectError
    │ ├ TLSError
    │ ├ ProxyError
    │ └ RequestTimeout
    │   ├ ConnectTimeout
    │   ├ IdleTimeout
    │   └ TotalTimeout
    ├ ResponseError         the peer's bytes
    │ ├ BadStatusLine
    │ ├ ParserError
    │ ├ UnexpectedEOF
    │ ├ DecodingError
    │ ├ BodyTooLarge
    │ └ IntegrityError
    ├ RedirectLimit         the peer's loop
    ├ AlreadyRead           your second claim on one pass
    ├ ClientDisconnected    at the server: the client went away
    └ ResourceError         an HTTP status, raised where you asked for it
      ├ ResourceNotFound
      ├ Unauthorized
      ├ ResourceGone
      └ RequestFailed

An exception out of the caller's own source (an ``OSError`` of a file, a ``KeyError`` of a
generator) is none of these: it passes through restkit as it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeVar

from restkit.redaction import redact_url

if TYPE_CHECKING:
    from restkit.message.request import Request
    from restkit.message.response import HttpResponse

    Sent = Literal["nothing", "part", "all"]


_SHOWN = 200
_E = TypeVar("_E", bound=BaseException)


class Error(Exception):
    """The root: ``except restkit.Error`` catches whatever restkit has to say.

    ``sent`` tells how much of the request had left (``'nothing'``, ``'part'``, ``'all'``; None
    where no request was asked for), so that a caller can decide on another try. ``request`` and
    ``response`` are there when they are known; ``history`` is what came before on the way of the
    call, in order: answers that led on (redirects, challenges, statuses tried again), and errors
    that were tried past. ``out_of_payload`` is true of one that the payload's own source raised,
    such as a response that broke while it was sent on: its ``request`` may be that response's, its
    ``sent`` is about the request that was being sent. Every error pickles: a request goes along
    without its secrets and with the ``repr`` of its payload.
    """

    sent: Sent | None = None
    history: tuple[HttpResponse | Error, ...] = ()
    out_of_payload: bool = False

    def __init__(
        self,
        message: str,
        *,
        sent: Sent | None = None,
        request: Request | None = None,
        response: HttpResponse | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        if sent is not None:
            self.sent = sent
        self.request = request
        self.response = response

    @property
    def status(self) -> int | None:
        """The status of the response, None where there is none."""
        return None if self.response is None else self.response.status

    def __str__(self) -> str:
        if self.request is None:
            return self.message
        return f"{self.request.method} {redact_url(str(self.request.url))}: {self.message}"

    def __reduce__(self) -> tuple[Any, ...]:
        state = self.__dict__.copy()
        if self.response is not None:
            state["response"] = self.response.as_far_as_read()
        return _revive, (type(self), self.message, state)


def _on_one_line(text: str) -> str:
    """What a server has said, so that it is no more than text in a log and on a terminal."""
    words = " ".join(text.split())
    return "".join(c if c.isprintable() else "\ufffd" for c in words)


def copy_without_traceback(exc: _E) -> _E:
    """The same exception, to be kept or raised once more: like its causes a copy, without frames.

    One that is kept where it came from would otherwise keep, by its traceback, whoever called.
    """
    from copy import copy

    one = copy(exc)
    cause = exc.__cause__
    one.__cause__ = None if cause is None else copy_without_traceback(cause)
    return one


def _revive(kind: type[Error], message: str, state: dict[str, Any]) -> Error:
    error = kind.__new__(kind, message)
    error.__dict__.update(state)
    return error


class RequestError(Error):
    """The request cannot be made as it was asked for; nothing was sent."""

    sent: Sent | None = "nothing"


class InvalidUrl(RequestError):
    """The URL is not one that restkit can ask for."""


class InvalidHeader(RequestError):
    """A header's name or value cannot go on the wire."""


class PayloadError(Error):
    """The payload cannot be sent as it is."""

    sent: Sent | None = "nothing"  # where it is not seen before, the exchange says how far it came


class PayloadLengthError(PayloadError):
    """The payload gave more or fewer bytes than were announced; the connection was closed."""


class PayloadNotReplayable(PayloadError):
    """The payload can be sent once, and a pass over it has already begun."""


class TransportError(Error):
    """The network, or the peer at its other end, failed.

    ``answered``: after part of an answer. ``rested``: on a connection that had been used before,
    and may have been given up by the peer since.
    """

    answered: bool = False
    rested: bool = False


class ConnectError(TransportError):
    """No connection could be opened."""


class TLSError(TransportError):
    """TLS could not be agreed on, or the peer's certificate failed a check that is named."""


class ProxyError(TransportError):
    """A proxy on the way refused or failed."""


class RequestTimeout(TransportError):
    """One of the three clocks ran out."""


class ConnectTimeout(RequestTimeout):
    """The connection, TLS included, was not up in time."""


class IdleTimeout(RequestTimeout):
    """For too long not a byte could be sent or was received."""


class TotalTimeout(RequestTimeout):
    """The whole, body included, took longer than ``Timeout.total``."""


class ResponseError(Error):
    """What the peer sent cannot be trusted: a response, and at the server a request."""


class BadStatusLine(ResponseError):
    """The answer does not begin as an HTTP/1 response does."""


class ParserError(ResponseError):
    """A head or the framing of a body breaks the rules of RFC 9112."""


class UnexpectedEOF(ResponseError):
    """The connection ended before the answer did."""


class DecodingError(ResponseError, ValueError):
    """The body is not what its Content-Encoding, its charset or ``json()`` takes it for."""


class BodyTooLarge(ResponseError):
    """The body, decoded, is larger than ``max_body``."""


class IntegrityError(ResponseError):
    """The body does not match its digest."""


class RedirectLimit(Error):
    """A redirect that the request does not allow: one too many, or from https to http."""


class AlreadyRead(Error):
    """The body was taken as one pass, and that pass has gone by."""


class ClientDisconnected(Error):
    """At the server: the client went away before its request was whole."""


class ResourceError(Error):
    """A status of 400 or more, where the caller asked for it to be an error.

    ``message`` is what the body said where a ``Resource`` raised it (at most 64 KiB of it, as
    text), and the status line where ``raise_for_status()`` did, which reads no body. ``str()`` is
    method, URL and status line, and the first 200 characters of what the body said.
    """

    def __str__(self) -> str:
        response, said = self.response, self.message
        if response is None:
            return super().__str__()
        request = self.request or response.request
        status = f"{request.method} {redact_url(str(request.url))}: {response.status_line}"
        shown = "" if said == response.status_line else _on_one_line(said[:_SHOWN])
        return f"{status}: {shown}" if shown else status

    @property
    def msg(self) -> str:
        """The original's name of ``message``."""
        return self.message

    @property
    def status_int(self) -> int:
        """The status, 0 where no response is known."""
        return 0 if self.response is None else self.response.status


class ResourceNotFound(ResourceError):
    """404."""


class Unauthorized(ResourceError):
    """401 or 403."""


class ResourceGone(ResourceError):
    """410."""


class RequestFailed(ResourceError):
    """Any other status of 400 or more."""


_ERRORS: dict[int, type[ResourceError]] = {
    401: Unauthorized,
    403: Unauthorized,
    404: ResourceNotFound,
    410: ResourceGone,
}


def error_for(status: int) -> type[ResourceError]:
    """The class for a status of 400 or more."""
    return _ERRORS.get(status, RequestFailed)
