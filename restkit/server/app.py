"""The application.

The application: routes, handlers, and what becomes of an exception, as one WSGI callable.

What an exception, or what a handler has returned, is as an answer.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable, Iterator
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from restkit.errors import BodyTooLarge, ClientDisconnected, DecodingError, Error, ParserError
from restkit.io.buffers import close_if_possible
from restkit.redaction import redact_url
from restkit.server.blueprints import Blueprint, Blueprints, Route, Routing, with_prefixes
from restkit.server.exceptions import HTTPError, InvalidUsage, PayloadTooLarge
from restkit.server.request import Request
from restkit.server.responses import TEXT, Response
from restkit.server.routing import (
    Endpoint,
    Table,
    check_arguments,
    check_handler,
    name_of,
    parse_pattern,
)
from restkit.server.serving import THREADS, TIMEOUT, run

if TYPE_CHECKING:
    from _typeshed import OptExcInfo
    from _typeshed.wsgi import StartResponse, WSGIEnvironment


ExceptionHandler: TypeAlias = "Callable[..., Response]"
_H = TypeVar("_H", bound=ExceptionHandler)

MAX_BODY = 100 * 1024 * 1024


class App(Routing):
    """A small web application whose handlers take and give streams; it is a WSGI application::

        app = App('echo')

        @app.post('/echo', stream=True)
        def echo(request):
            return stream(request.stream)

        app.run(port=8000)

    ``max_body`` bounds the body of a request to an ordinary handler, which is called when the
    body has come whole. Handlers run in the server's threads, several at a time.
    """

    def __init__(
        self,
        name: str | None = None,
        *,
        max_body: int | None = MAX_BODY,
        strict_slashes: bool = False,
    ) -> None:
        self.name = name
        self.max_body = max_body
        self.strict_slashes = strict_slashes
        self.blueprints: dict[str, Blueprint] = {}
        self._table = Table()
        self._exception_handlers: dict[type[Exception], ExceptionHandler] = {}

    # Routes

    def take_route(self, route: Route) -> None:
        strict = self.strict_slashes if route.strict_slashes is None else route.strict_slashes
        check_arguments(route.handler, parse_pattern(route.uri, strict=strict).casts)
        endpoints = {
            method: Endpoint(route.handler, route.uri, stream, route.max_body)
            for method, stream in route.streams.items()
        }
        self._table.add(route.uri, endpoints, strict=strict)

    def blueprint(self, blueprint: Blueprints, *, url_prefix: str | None = None) -> None:
        """Take the routes of a blueprint, a group, or a list of them.

        ``url_prefix`` takes the place of the blueprint's, or group's, own. Raises ValueError for
        another blueprint of a name that is there already, and as ``add_route`` does.
        """
        for each, prefix in with_prefixes(blueprint, url_prefix):
            if self.blueprints.setdefault(each.name, each) is not each:
                raise ValueError(
                    f"another blueprint is registered as {each.name!r}: names are unique"
                )
            for route in each.routes_under(prefix):
                self.take_route(route)

    def exception(self, *types: type[Exception]) -> Callable[[_H], _H]:
        """Let the function below, called with (request, exception), answer exceptions of a type.

        Of several that fit the one of the nearest class is called. ``ClientDisconnected`` has no
        answer, and comes to none.
        """
        for each in types:
            _check_kind(each)

        def registered(handler: _H) -> _H:
            check_handler(handler, "request", "exception")
            for each in types:
                self._exception_handlers[each] = handler
            return handler

        return registered

    # Answers

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request, as PEP 3333 has it; safe for threads.

        An exception that cannot be answered any more, because the head has left, passes through
        to the server, which breaks the connection; so does ClientDisconnected, always.
        """
        request = Request(environ, self)
        try:
            pieces = self._answered(request, start_response)
        except BaseException:
            request.close()
            raise
        return _Closing(pieces, request) if request.holds_something else pieces

    def _answered(self, request: Request, start_response: StartResponse) -> Iterable[bytes]:
        start = _Start(start_response)
        try:
            return self.dispatch(request)(request.environ, start)
        except ClientDisconnected:
            raise
        except Exception as exc:
            if start.called:
                # PEP 3333 would have it called again with exc_info, and raise if the head has
                # left, as it has. gunicorn 27 keeps the first headers beside the second.
                raise
            return self.answer_to(request, exc)(request.environ, start)

    def dispatch(self, request: Request) -> Response:
        """The handler's answer to a request, or the exception that it raises.

        To be overridden where something is to happen before or after every handler.
        """
        target = request.target
        endpoint, request.arguments = self._table.match(
            request.method, target.matched, target.encoded
        )
        if endpoint.stream:
            request.open_stream(endpoint.max_body)
        else:
            limit = self.max_body if endpoint.max_body is None else endpoint.max_body
            request.take_body(limit)
        return checked_answer(endpoint.handler(request, **request.arguments), endpoint.handler)

    def answer_to(self, request: Request, exc: Exception) -> Response:
        """The answer that an exception becomes, be it by a handler of its class."""
        handler = self._exception_handler(type(exc))
        if handler is not None:
            try:
                return checked_answer(handler(request, exc), handler)
            except ClientDisconnected:
                raise
            except Exception as failure:  # noqa: BLE001  # as in _answered
                exc = failure
        return default_answer(request, exc)

    def _exception_handler(self, kind: type[BaseException]) -> ExceptionHandler | None:
        for each in kind.__mro__:
            if handler := self._exception_handlers.get(each):
                return handler
        return None

    def run(
        self,
        host: str = "127.0.0.1",
        port: int = 8000,
        *,
        threads: int = THREADS,
        timeout: float = TIMEOUT,
    ) -> None:
        """Serve until SIGINT or SIGTERM, on the embedded engine of ``restkit[server]``.

        ``threads`` is how many requests are answered at once; a client that keeps still for
        ``timeout`` seconds is dropped. Raises OSError where it cannot listen.
        """
        run(self, host, port, threads=threads, timeout=timeout)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r}>" if self.name else f"<{type(self).__name__}>"


def _check_kind(kind: object) -> None:
    if not (isinstance(kind, type) and issubclass(kind, Exception)):
        raise TypeError(f"{kind!r} is no class of exceptions: @app.exception(ValueError)")


class _Closing:
    """What goes to the server, and the request that is let go when that is out."""

    def __init__(self, pieces: Iterable[bytes], request: Request) -> None:
        self._pieces = pieces
        self._request = request

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._pieces)

    def close(self) -> None:
        try:
            close_if_possible(self._pieces)
        finally:
            self._request.close()


class _Start:
    """A server's ``start_response``, and whether it was called: answers do that as they leave."""

    def __init__(self, start_response: StartResponse) -> None:
        self._start_response = start_response
        self.called = False

    def __call__(
        self, status: str, headers: list[tuple[str, str]], exc_info: OptExcInfo | None = None, /
    ) -> Callable[[bytes], object]:
        self.called = True
        return self._start_response(status, headers, exc_info)


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
        "%s %s: %s",
        request.method,
        redact_url(request.encoded_path),
        type(exc).__name__,
        exc_info=exc,
    )
