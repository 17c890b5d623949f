"""The application: routes, handlers, and error responses, as one WSGI callable."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import TypeAlias, TypeVar

from restkit.annotations import (
    OptExcInfo,
    StartResponse,
    Unpack,
    WSGIApplication,
    WSGIEnvironment,
)
from restkit.errors import BodyTooLarge, ClientDisconnected, DecodingError, Error, ParserError
from restkit.io.buffers import close_if_possible
from restkit.redaction import redact_url
from restkit.server.blueprints import Blueprint, Blueprints, Route, Routing, iter_blueprints
from restkit.server.exceptions import HTTPError, InvalidUsage, NotFound, PayloadTooLarge
from restkit.server.hooks import Hooks, check_response, run_after, run_before
from restkit.server.mounts import MountedResponse, Mounts
from restkit.server.request import Request
from restkit.server.responses import PLAIN_TEXT, Response
from restkit.server.routing import (
    Endpoint,
    RouteTable,
    check_arguments,
    check_handler,
    parse_pattern,
)
from restkit.server.serve_options import ServeOptions
from restkit.server.serving import run

ExceptionHandler: TypeAlias = Callable[..., Response]
_H = TypeVar("_H", bound=ExceptionHandler)

MAX_BODY = 100 * 1024 * 1024

_logger = logging.getLogger("restkit.server")


class App(Routing):
    """A small web application whose handlers can stream both ways; it is a WSGI application.

    ``max_body`` limits the body of a request to an ordinary handler, which is called when the
    whole body has arrived. Handlers run in the threads of the server, several at a time.

    >>> from restkit.server.response import stream
    >>> app = App('echo')
    >>> @app.post('/echo', stream=True)
    ... def echo(request):
    ...     return stream(request.stream)
    >>> app.run(port=8000)                             # doctest: +SKIP

    For tests, ``restkit.testing.AppClient`` calls it without a server:

    >>> from restkit.testing import AppClient
    >>> with AppClient(app) as client:
    ...     client.post('/echo', 'some text').text
    'some text'
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
        self._table = RouteTable()
        self._mounts = Mounts()
        self._exception_handlers: dict[type[Exception], ExceptionHandler] = {}
        self._hooks = Hooks()

    # Routes

    def register_route(self, route: Route) -> None:
        strict = self.strict_slashes if route.strict_slashes is None else route.strict_slashes
        check_arguments(route.handler, parse_pattern(route.uri, strict=strict).casts)
        endpoints = {
            method: Endpoint(
                route.handler, route.uri, stream, route.max_body, route.before, route.after
            )
            for method, stream in route.streams.items()
        }
        self._table.add(route.uri, endpoints, strict=strict)

    def blueprint(self, blueprint: Blueprints, *, url_prefix: str | None = None) -> None:
        """Register the routes of a blueprint, a group, or a list of them.

        ``url_prefix`` replaces the prefix of the blueprint or group. Raises ValueError if another
        blueprint has the same name, and the errors of ``add_route``.
        """
        for each, prefix in iter_blueprints(blueprint, url_prefix):
            if self.blueprints.setdefault(each.name, each) is not each:
                raise ValueError(
                    f"another blueprint is already registered as {each.name!r}: use unique names"
                )
            for route in each.close_routes(prefix):
                self.register_route(route)

    def mount(self, prefix: str, app: WSGIApplication) -> None:
        """Let another WSGI application handle the paths at and below ``prefix``.

        Routes of this App come first, then the longest prefix. The application gets every method,
        the prefix as a part of ``SCRIPT_NAME``, and a body that was not read. Raises ValueError if
        the prefix is malformed, or mounted already.

        >>> from restkit.server import files
        >>> app = App('site')
        >>> app.mount('/static', files('docs'))               # doctest: +SKIP
        """
        self._mounts.add(prefix, app)

    def exception(self, *types: type[Exception]) -> Callable[[_H], _H]:
        """Register the decorated function to handle exceptions of these types.

        It is called with (request, exception) and returns a response. The handler of the nearest
        class is called. ``ClientDisconnected`` gets no response, and never reaches a handler.
        """
        for each in types:
            _check_exception_type(each)

        def register(handler: _H) -> _H:
            check_handler(handler, "request", "exception")
            for each in types:
                self._exception_handlers[each] = handler
            return handler

        return register

    # Requests

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Handle one request, by PEP 3333. Thread-safe.

        An exception after the head was sent is raised to the server, which must close the
        connection. ClientDisconnected is always raised to the server.
        """
        request = Request(environ, self)
        try:
            chunks = self._respond(request, start_response)
        except BaseException:
            request.close()
            raise
        return _ClosingIterable(chunks, request) if request.must_close else chunks

    def _respond(self, request: Request, start_response: StartResponse) -> Iterable[bytes]:
        start = _StartResponse(start_response)
        hooks = self._hooks
        try:
            response = run_before(hooks.before, request) if hooks.before else None
            if response is None:
                response = self.dispatch(request)
            if hooks.after or request.after_hooks:
                response = self._run_after(request, response)
            return response(request.environ, start)
        except ClientDisconnected:
            raise
        except Exception as exc:
            if start.called:
                # PEP 3333 asks for another start_response call with exc_info, which raises after
                # the head was sent. gunicorn 27 instead keeps the first headers as well.
                raise
            response = self._run_after(request, self.handle_exception(request, exc))
            return response(request.environ, start)

    def _run_after(self, request: Request, response: Response) -> Response:
        """Call the hooks after a response: those of the blueprint, then those of the application.

        They are called again for an error response that replaces one that could not be sent.
        """
        hooks = (*request.after_hooks, *self._hooks.after)
        return run_after(hooks, request, response, self.handle_exception)

    def max_collected(self, environ: WSGIEnvironment) -> int:
        """Return how many bytes of a body, at most, are collected before the handler is called.

        The engine calls this, so that a body that arrives slowly holds no thread. It is 0 if the
        handler streams, or an error response needs no body.
        """
        request = Request(environ, self)
        try:
            target = request.target
            endpoint, _ = self._table.match(request.method, target.match_path, target.encoded)
            if endpoint.stream:
                return 0
            limit = self._max_body(endpoint)
            request.check_length(limit)
        except NotFound:
            mount = self._mounts.find(request.target.match_path)
            return 0 if mount is None else mount.max_collected(environ)
        except HTTPError:
            return 0
        return sys.maxsize if limit is None else limit

    def _max_body(self, endpoint: Endpoint) -> int | None:
        return self.max_body if endpoint.max_body is None else endpoint.max_body

    def dispatch(self, request: Request) -> Response:
        """Call the handler of a request and return its response; its exceptions pass through.

        Override it to do something before or after every handler.
        """
        target = request.target
        try:
            endpoint, request.arguments = self._table.match(
                request.method, target.match_path, target.encoded
            )
        except NotFound:
            if mount := self._mounts.find(target.match_path):
                return MountedResponse(mount)
            raise
        request.after_hooks = endpoint.after
        if endpoint.before:
            response = run_before(endpoint.before, request)
            if response is not None:
                return response
        if endpoint.stream:
            request.open_stream(endpoint.max_body)
        else:
            request.read_body(self._max_body(endpoint))
        return check_response(endpoint.handler(request, **request.arguments), endpoint.handler)

    def handle_exception(self, request: Request, exc: Exception) -> Response:
        """Return the response for an exception, from a registered handler or the default one."""
        handler = self._find_exception_handler(type(exc))
        if handler is not None:
            try:
                return check_response(handler(request, exc), handler)
            except ClientDisconnected:
                raise
            except Exception as failure:  # noqa: BLE001  # as in _respond
                exc = failure
        return default_response(request, exc)

    def _find_exception_handler(self, kind: type[BaseException]) -> ExceptionHandler | None:
        for each in kind.__mro__:
            if handler := self._exception_handlers.get(each):
                return handler
        return None

    def run(
        self, host: str = "127.0.0.1", port: int = 8000, **options: Unpack[ServeOptions]
    ) -> None:
        """Serve until SIGINT or SIGTERM, on the embedded engine; see ``restkit.server.serve``.

        Then requests in progress have ``grace=30`` seconds; a second signal ends the process at
        once. If a handler hangs, this takes five seconds more. Raises OSError if it cannot
        listen.
        """
        run(self, host, port, **options)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r}>" if self.name else f"<{type(self).__name__}>"


def _check_exception_type(kind: object) -> None:
    if not (isinstance(kind, type) and issubclass(kind, Exception)):
        raise TypeError(
            f"@app.exception takes exception classes, as in @app.exception(ValueError); "
            f"got {kind!r}"
        )


class _ClosingIterable:
    """The chunks of a response; ``close()`` closes the request too."""

    def __init__(self, chunks: Iterable[bytes], request: Request) -> None:
        self._chunks = chunks
        self._request = request

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._chunks)

    def close(self) -> None:
        try:
            close_if_possible(self._chunks)
        finally:
            self._request.close()


class _StartResponse:
    """The ``start_response`` of a server; records whether a response has called it."""

    def __init__(self, start_response: StartResponse) -> None:
        self._start_response = start_response
        self.called = False

    def __call__(
        self, status: str, headers: list[tuple[str, str]], exc_info: OptExcInfo | None = None, /
    ) -> Callable[[bytes], object]:
        self.called = True
        return self._start_response(status, headers, exc_info)


def default_response(request: Request, exc: Exception) -> Response:
    """Return the response for an exception without a registered handler.

    An exception that is neither an HTTPError nor an error of the client is logged with its
    traceback; the client gets no details.
    """
    error = exc if isinstance(exc, HTTPError) else _as_client_error(exc)
    if error is not None:
        return Response(f"Error: {error.message}".encode(), error.status, error.headers, PLAIN_TEXT)
    path = redact_url(request.encoded_path)
    _logger.error("%s %s: %s", request.method, path, type(exc).__name__, exc_info=exc)
    return Response(b"Error: Internal Server Error", 500, None, PLAIN_TEXT)


def _as_client_error(exc: Exception) -> HTTPError | None:
    """Return the HTTPError for a malformed request body; None for other exceptions.

    An error with a request is about a response that this application received from a server.
    """
    if not isinstance(exc, Error) or exc.request is not None:
        return None
    if isinstance(exc, BodyTooLarge):
        return PayloadTooLarge(f"Payload Too Large: {exc.message}")
    if isinstance(exc, ParserError | DecodingError):
        return InvalidUsage(exc.message)
    return None
