"""What an exception, or what a handler has returned, is as an answer."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import TYPE_CHECKING

from restkit.errors import BodyTooLarge, DecodingError, Error, ParserError
from restkit.masking import masked
from restkit.server.exceptions import HTTPError, InvalidUsage, PayloadTooLarge
from restkit.server.handlers import name_of
from restkit.server.reply import Response
from restkit.server.streamed import TEXT

if TYPE_CHECKING:
    from restkit.server.request import Request


def checked_answer(answer: object, handler: object) -> Response:
    """What a handler returned; TypeError, which is a 500, for what is no answer."""
    if isinstance(answer, Response):
        return answer
    if isinstance(answer, Coroutine):
        answer.close()  # nobody will await it, and Python would say that
    raise TypeError(
        f"the handler {name_of(handler)} returned {type(answer).__name__}, and an answer is "
        "wanted: text(...), json(...), stream(...) and others of restkit.server.response"
    )


def default_answer(request: Request, exc: Exception) -> Response:
    """The answer to an exception that nobody else answers.

    What is not the client's fault, and no HTTPError, is logged with its traceback, and the client
    learns nothing of it.
    """
    error = exc if isinstance(exc, HTTPError) else _of_the_client(exc)
    if error is not None:
        return Response(f"Error: {error.message}".encode(), error.status, error.headers, TEXT)
    _log(request, exc)
    return Response(b"Error: Internal Server Error", 500, None, TEXT)


def _of_the_client(exc: Exception) -> HTTPError | None:
    """The error of a body that broke its rules; one that has a request is about another peer's."""
    if not isinstance(exc, Error) or exc.request is not None:
        return None
    if isinstance(exc, BodyTooLarge):
        return PayloadTooLarge(f"Payload Too Large: {exc.message}")
    if isinstance(exc, ParserError | DecodingError):
        return InvalidUsage(exc.message)
    return None


def _log(request: Request, exc: Exception) -> None:
    import logging

    logging.getLogger("restkit.server").error(
        "%s %s: %s", request.method, masked(request.encoded_path), type(exc).__name__, exc_info=exc
    )
