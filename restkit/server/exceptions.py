"""Exceptions that become error responses, and the text of a status line.

The reason phrases are those of RFC 9110 15 on every interpreter; ``http.HTTPStatus`` has older
ones for some statuses before Python 3.13.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TypeAlias

from restkit.headers import GivenFields

__all__ = [
    "Forbidden",
    "HTTPError",
    "InsufficientStorage",
    "InvalidUsage",
    "LengthRequired",
    "MethodNotAllowed",
    "NotFound",
    "PayloadTooLarge",
    "ServerError",
    "ServiceUnavailable",
    "Unauthorized",
    "UnsupportedMediaType",
]

HeaderFields: TypeAlias = GivenFields


class HTTPError(Exception):
    """An error response: ``status``, ``headers``, and the text ``Error: {message}``.

    Raise it in a handler. The message is the reason phrase of the status by default.
    ``@app.exception(HTTPError)`` registers a handler that makes another response.

    >>> error = HTTPError(404)
    >>> error.status, error.message
    (404, 'Not Found')
    """

    status: int

    def __init__(
        self, status: int, message: str | None = None, headers: HeaderFields | None = None
    ) -> None:
        super().__init__(status, message, headers)
        self.status = check_status(status)
        self.message = reason_phrase(self.status) if message is None else message
        self.headers = headers

    def __str__(self) -> str:
        return f"{self.status}: {self.message}"


class _StatusError(HTTPError):
    """The base class of errors with a fixed status."""

    def __init__(self, message: str | None = None, headers: HeaderFields | None = None) -> None:
        super().__init__(self.status, message, headers)
        self.args = (message, headers)  # a copy, or a pickle, calls the class with these


class InvalidUsage(_StatusError):
    """400: the request is malformed, or cannot be handled as sent."""

    status = 400


class Unauthorized(_StatusError):
    """401: the request needs credentials; ``headers`` should have a ``WWW-Authenticate``."""

    status = 401


class Forbidden(_StatusError):
    """403: the request is not allowed."""

    status = 403


class NotFound(_StatusError):
    """404: there is nothing at this URL."""

    status = 404


class MethodNotAllowed(_StatusError):
    """405: the URL does not support the method; ``headers`` should have an ``Allow``."""

    status = 405


class LengthRequired(_StatusError):
    """411: the length of the body is needed, and the request does not declare it."""

    status = 411


class PayloadTooLarge(_StatusError):
    """413: the body is larger than the limit."""

    status = 413

    def __init__(
        self, message: str | None = "Payload Too Large", headers: HeaderFields | None = None
    ) -> None:
        super().__init__(message, headers)


class UnsupportedMediaType(_StatusError):
    """415: the content type or the content coding of the body is not supported."""

    status = 415


class ServerError(_StatusError):
    """500: an error of the server, with a message that the client may read."""

    status = 500


class ServiceUnavailable(_StatusError):
    """503: the service is overloaded or down for maintenance."""

    status = 503


class InsufficientStorage(_StatusError):
    """507: the server has no space to store the body."""

    status = 507


_REASONS = {each.value: each.phrase for each in HTTPStatus} | {
    413: "Content Too Large",
    414: "URI Too Long",
    416: "Range Not Satisfiable",
    422: "Unprocessable Content",
}
_CLASSES = {2: "Success", 3: "Redirection", 4: "Client Error", 5: "Server Error"}


def reason_phrase(status: int) -> str:
    """Return the reason phrase of a status; an unregistered one has that of its class."""
    return _REASONS.get(status) or _CLASSES.get(status // 100, "Unknown")


def format_status(status: int) -> str:
    """Return a status as WSGI needs it.

    >>> format_status(404)
    '404 Not Found'
    """
    return f"{status} {reason_phrase(status)}"


def check_status(status: object) -> int:
    """Return the status of a response as a plain int; raise ValueError unless it is a final one."""
    if not isinstance(status, int) or not 200 <= status <= 599:
        raise ValueError(f"status must be an int from 200 to 599; got {status!r}")
    return int(status)  # a member of HTTPStatus would be formatted by its name
