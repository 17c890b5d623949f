"""Exceptions that become answers: what a handler raises to answer with an error status."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from restkit.server.statuses import checked_status, reason_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from restkit.headers import HeaderValue

    HeaderFields = Mapping[str, HeaderValue] | Iterable[tuple[str, HeaderValue]]


class HTTPError(Exception):
    """Raised by a handler, it is the answer: ``status``, ``headers``, and ``Error: {message}``.

    Without a message the status says its reason. ``@app.exception(HTTPError)`` makes another
    answer of it.
    """

    def __init__(
        self, status: int, message: str | None = None, headers: HeaderFields | None = None
    ) -> None:
        super().__init__(status, message, headers)
        self.status = checked_status(status)
        self.message = reason_of(self.status) if message is None else message
        self.headers = headers

    def __str__(self) -> str:
        return f"{self.status}: {self.message}"


class _OneStatus(HTTPError):
    """An error whose class says the status."""

    answers: ClassVar[int]

    def __init__(self, message: str | None = None, headers: HeaderFields | None = None) -> None:
        super().__init__(self.answers, message, headers)
        self.args = (message, headers)  # what a copy, or a pickle, calls the class with


class InvalidUsage(_OneStatus):
    """400: the request is not one that can be answered as it was meant."""

    answers = 400


class Unauthorized(_OneStatus):
    """401: it wants credentials; ``headers`` should have a ``WWW-Authenticate``."""

    answers = 401


class Forbidden(_OneStatus):
    """403."""

    answers = 403


class NotFound(_OneStatus):
    """404."""

    answers = 404


class MethodNotAllowed(_OneStatus):
    """405: the URL is there, and the method is not; the headers have ``Allow``."""

    answers = 405


class LengthRequired(_OneStatus):
    """411: the body came in a way that says no length, and a length is needed."""

    answers = 411


class PayloadTooLarge(_OneStatus):
    """413: the body is larger than is taken."""

    answers = 413

    def __init__(
        self, message: str | None = "Payload Too Large", headers: HeaderFields | None = None
    ) -> None:
        super().__init__(message, headers)


class UnsupportedMediaType(_OneStatus):
    """415: the body's type, or its coding, is not one that is understood."""

    answers = 415


class ServerError(_OneStatus):
    """500, on purpose and with a message that the client may read."""

    answers = 500


class ServiceUnavailable(_OneStatus):
    """503."""

    answers = 503
