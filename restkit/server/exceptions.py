"""HTTP errors and statuses.

Exceptions that become answers: what a handler raises to answer with an error status.

The status line's text, as a WSGI server wants it: number and reason.

The reasons are those of RFC 9110 15 on every interpreter; ``http.HTTPStatus`` had older ones for
some before Python 3.13.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, ClassVar

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


_REASONS = {each.value: each.phrase for each in HTTPStatus} | {
    413: "Content Too Large",
    414: "URI Too Long",
    416: "Range Not Satisfiable",
    422: "Unprocessable Content",
}
_CLASSES = {2: "Success", 3: "Redirection", 4: "Client Error", 5: "Server Error"}


def reason_of(status: int) -> str:
    """The reason of a status; of one that is not registered, what its first digit says."""
    return _REASONS.get(status) or _CLASSES.get(status // 100, "Unknown")


def status_text(status: int) -> str:
    """'404 Not Found'."""
    return f"{status} {reason_of(status)}"


def checked_status(status: object) -> int:
    """The status as a plain int; raises ValueError for one that no final answer can have."""
    if not isinstance(status, int) or not 200 <= status <= 599:
        raise ValueError(f"status={status!r}: the status of an answer is from 200 to 599")
    return int(status)  # a member of HTTPStatus would write its name
