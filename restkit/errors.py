"""Every exception of restkit, and who caused it.

::

    Error
    ├ RequestError          your call: nothing was sent
    │ ├ InvalidUrl
    │ └ InvalidHeader
    ├ PayloadError          your payload
    │ ├ PayloadLengthError      it has more or fewer bytes than declared
    │ └ PayloadNotReplayable    it can be sent once, and was started
    ├ TransportError        the network
    │ ├ ConnectError
    │ ├ TLSError
    │ ├ ProxyError
    │ └ RequestTimeout
    │   ├ ConnectTimeout
    │   ├ IdleTimeout
    │   └ TotalTimeout
    ├ ResponseError         the server's bytes
    │ ├ BadStatusLine
    │ ├ ParserError
    │ ├ UnexpectedEOF
    │ ├ DecodingError
    │ ├ BodyTooLarge
    │ └ IntegrityError
    ├ RedirectLimit         a redirect loop
    ├ AlreadyRead           a second use of a single-pass stream
    ├ ClientDisconnected    at the server: the client disconnected
    └ ResourceError         an HTTP status, raised at your request
      ├ ResourceNotFound
      ├ Unauthorized
      ├ ResourceGone
      └ RequestFailed

An exception from the caller's own source (an ``OSError`` of a file, a ``KeyError`` of a
generator) is none of these: it passes through restkit unchanged.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from typing import Any, Literal, Protocol, TypeVar

from restkit.redaction import redact_url

Sent = Literal["nothing", "part", "all"]

_MAX_TEXT = 200  # characters of a body that str() of a ResourceError shows
_E = TypeVar("_E", bound=BaseException)


class SentRequest(Protocol):
    """The request of an error: a ``restkit.Request``."""

    @property
    def method(self) -> str: ...
    @property
    def url(self) -> object: ...
    @property
    def headers(self) -> Mapping[str, str]: ...


class ReceivedResponse(Protocol):
    """The response of an error: a ``restkit.HttpResponse``."""

    @property
    def request(self) -> SentRequest: ...
    @property
    def status(self) -> int: ...
    @property
    def status_line(self) -> str: ...
    @property
    def sent(self) -> Sent: ...
    @property
    def history(self) -> tuple[ReceivedResponse | Error, ...]: ...
    @property
    def tries(self) -> int: ...
    @property
    def headers(self) -> Mapping[str, str]: ...
    @property
    def body(self) -> bytes: ...
    @property
    def text(self) -> str: ...
    def json(self) -> Any: ...
    def without_unread_body(self) -> ReceivedResponse: ...


class Error(Exception):
    """The base class: ``except restkit.Error`` catches every error of restkit.

    ``sent`` is the part of the request that was sent (``'nothing'``, ``'part'``, ``'all'``; None
    without a request), so that a caller can decide on another attempt. ``request`` and
    ``response`` are set when they are known. ``history`` lists the earlier attempts of the call
    in order: responses (redirects, challenges, retried statuses) and errors. ``tries`` is the
    number of attempts: 1, and 1 for each retry. ``str()`` shows it if it is more than 1.
    ``out_of_payload`` is true for an error that the payload's own source raised, such as a
    response that failed while it was sent on: then ``request`` may be that response's request,
    and ``sent`` is about the request that was being sent. Every error pickles: its request
    without secrets and with the ``repr`` of its payload.

    >>> try:
    ...     raise Error("it failed", sent="nothing")
    ... except Error as error:
    ...     print(error, error.sent, error.status)
    it failed nothing None
    """

    sent: Sent | None = None
    history: tuple[ReceivedResponse | Error, ...] = ()
    tries: int = 1
    out_of_payload: bool = False

    def __init__(
        self,
        message: str,
        *,
        sent: Sent | None = None,
        request: SentRequest | None = None,
        response: ReceivedResponse | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        if sent is not None:
            self.sent = sent
        self.request = request
        self.response = response

    @property
    def status(self) -> int | None:
        """The status of the response; None without a response."""
        return None if self.response is None else self.response.status

    def __str__(self) -> str:
        text = f"{self.message} ({self.tries} tries)" if self.tries > 1 else self.message
        if self.request is None:
            return text
        return f"{self.request.method} {redact_url(str(self.request.url))}: {text}"

    def __reduce__(self) -> tuple[Any, ...]:
        state = self.__dict__.copy()
        if self.response is not None:
            state["response"] = self.response.without_unread_body()
        return _unpickle, (type(self), self.message, state)


def _unpickle(kind: type[Error], message: str, state: dict[str, Any]) -> Error:
    error = kind.__new__(kind, message)
    error.__dict__.update(state)
    return error


def copy_without_traceback(exc: _E) -> _E:
    """Copy an exception and its causes without their tracebacks, to keep or raise it again.

    A traceback keeps the frames of every caller alive, and their variables with them.
    """
    copied = copy(exc)
    cause = exc.__cause__
    copied.__cause__ = None if cause is None else copy_without_traceback(cause)
    return copied


def drop_tracebacks(exc: BaseException) -> None:
    """Remove the tracebacks of an exception and its causes, before it is kept in a history."""
    current: BaseException | None = exc
    while current is not None:
        current.__traceback__ = None
        current = current.__cause__ or current.__context__


class RequestError(Error):
    """The call is wrong; nothing was sent."""

    sent: Sent | None = "nothing"


class InvalidUrl(RequestError):
    """The URL is malformed, or not one of http or https."""


class InvalidHeader(RequestError):
    """A header name or value cannot be sent."""


class PayloadError(Error):
    """The payload cannot be sent."""

    sent: Sent | None = "nothing"  # the exchange sets it once bytes were sent


class PayloadLengthError(PayloadError):
    """The payload has more or fewer bytes than declared; the connection was closed."""


class PayloadNotReplayable(PayloadError):
    """The payload can be sent once, and a pass over it has already begun."""


class TransportError(Error):
    """The network failed, or the server closed the connection.

    ``response_started``: part of a response had been received. ``on_reused_connection``: the
    connection had been idle, and the server may have closed it meanwhile.
    """

    response_started: bool = False
    on_reused_connection: bool = False


class ConnectError(TransportError):
    """No connection could be opened."""


class TLSError(TransportError):
    """The TLS handshake failed; the message names the check that the certificate failed."""


class ProxyError(TransportError):
    """A proxy refused the request or failed."""


class RequestTimeout(TransportError):
    """One of the three timeouts expired."""


class ConnectTimeout(RequestTimeout):
    """The connection, TLS included, was not open within ``Timeout.connect``."""


class IdleTimeout(RequestTimeout):
    """No byte was sent or received for ``Timeout.idle`` seconds."""


class TotalTimeout(RequestTimeout):
    """The call, body included, took longer than ``Timeout.total``."""


class ResponseError(Error):
    """The received bytes break HTTP: a response, or a request at the server."""


class BadStatusLine(ResponseError):
    """The response does not begin with an HTTP/1 status line."""


class ParserError(ResponseError):
    """A head or the framing of a body breaks the rules of RFC 9112."""


class UnexpectedEOF(ResponseError):
    """The connection ended before the response did."""


class DecodingError(ResponseError, ValueError):
    """The body does not match its Content-Encoding or charset, or is not JSON."""


class BodyTooLarge(ResponseError):
    """The body, decoded, is larger than ``max_body``."""


class IntegrityError(ResponseError):
    """The body does not match its digest."""


class RedirectLimit(Error):
    """A redirect that the options forbid: too many redirects, or from https to http."""


class AlreadyRead(Error):
    """The body was read as a single-pass stream, or closed before it was received."""


class ClientDisconnected(Error):
    """At the server: the client disconnected before its request was complete."""


class ResourceError(Error):
    """A status of 400 or more, if the caller wants an error for it.

    ``message`` is the text of the body (at most 64 KiB) if a ``Resource`` raised it. It is the
    status line if ``raise_for_status()`` raised it, which does not read the body. ``str()`` returns
    method, URL, status line and the first 200 characters of the body.
    """

    def __str__(self) -> str:
        response = self.response
        if response is None:
            return super().__str__()
        request = self.request or response.request
        status = f"{request.method} {redact_url(str(request.url))}: {response.status_line}"
        if self.tries > 1:
            status += f" ({self.tries} tries)"
        text = (
            "" if self.message == response.status_line else _to_one_line(self.message[:_MAX_TEXT])
        )
        return f"{status}: {text}" if text else status

    @property
    def msg(self) -> str:
        """``message``, under its name in restkit 1 to 4."""
        return self.message

    @property
    def status_int(self) -> int:
        """The status; 0 without a response."""
        return 0 if self.response is None else self.response.status


def _to_one_line(text: str) -> str:
    """Return a server's text without line breaks and control characters, for a log or terminal."""
    words = " ".join(text.split())
    return "".join(c if c.isprintable() else "\ufffd" for c in words)


class ResourceNotFound(ResourceError):
    """Status 404."""


class Unauthorized(ResourceError):
    """Status 401 or 403."""


class ResourceGone(ResourceError):
    """Status 410."""


class RequestFailed(ResourceError):
    """Any other status of 400 or more."""


StatusError = ResourceError
"""An alias of ``ResourceError``."""
InvalidURL = InvalidUrl

_ERROR_BY_STATUS: dict[int, type[ResourceError]] = {
    401: Unauthorized,
    403: Unauthorized,
    404: ResourceNotFound,
    410: ResourceGone,
}


def error_for(status: int) -> type[ResourceError]:
    """Return the error class for a status of 400 or more.

    >>> error_for(404)
    <class 'restkit.errors.ResourceNotFound'>
    """
    return _ERROR_BY_STATUS.get(status, RequestFailed)


def make_status_error(response: ReceivedResponse, message: str) -> ResourceError:
    """Return the error of a response of 400 or more, with its attempts."""
    kind = error_for(response.status)
    error = kind(message, sent=response.sent, request=response.request, response=response)
    error.history, error.tries = response.history, response.tries
    return error
