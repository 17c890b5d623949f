"""Views: handlers for several methods of one route, as a class or as a composition."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, ClassVar, TypeVar

from restkit.server.exceptions import InvalidUsage, MethodNotAllowed
from restkit.server.request import Request
from restkit.server.responses import Response
from restkit.server.routing import METHODS, Handler, check_handler, check_method, handler_name

_H = TypeVar("_H", bound="Callable[..., Response]")


def stream(handler: _H) -> _H:
    """Mark a method of an ``HTTPMethodView``, or a handler, to read its body as a stream.

    >>> class Uploads(HTTPMethodView):
    ...     @stream
    ...     def put(self, request):
    ...         return Response(request.stream.read())
    """
    handler.is_stream = True  # type: ignore[attr-defined]  # a function takes any attribute
    return handler


stream_body = stream
"""The same as ``stream``, under a name that does not look like a response."""


class HTTPMethodView:
    """A handler as a class: its methods ``get``, ``post`` and so on handle those of HTTP.

    Each request gets an instance of its own. ``decorators`` are applied to the whole view, the
    last one outermost. ``get`` also handles HEAD if there is no ``head``.

    >>> from restkit.server import App
    >>> from restkit.server.response import text
    >>> class Documents(HTTPMethodView):
    ...     def get(self, request, name):
    ...         return text(name)
    ...
    ...     @stream
    ...     def put(self, request, name):
    ...         return text(''.join(request.stream.iter_text()), 201)
    >>> app = App()
    >>> app.add_route(Documents.as_view(), '/documents/<name>')
    """

    decorators: ClassVar[list[Callable[[Handler], Handler]]] = []

    @classmethod
    def as_view(cls, *args: Any, **kwargs: Any) -> Handler:
        """Return a handler for ``add_route``; the arguments go to the class."""

        def view(request: Request, *view_args: Any, **view_kwargs: Any) -> Response:
            return cls(*args, **kwargs).dispatch_request(request, *view_args, **view_kwargs)

        view.__qualname__ = view.__name__ = cls.__name__
        view.__doc__, view.__module__ = cls.__doc__, cls.__module__
        handler: Handler = view
        for decorator in cls.decorators:
            handler = decorator(handler)
        handler.view_class = cls  # type: ignore[attr-defined]  # view_methods() reads it
        return handler

    def dispatch_request(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Call the method for a request; raise MethodNotAllowed if there is none."""
        handler = _find_handler(partial(_get_method, self), request.method)
        return handler(request, *args, **kwargs)


class CompositionView:
    """A handler composed of others, each for some methods.

    It responds with 405 to a method without a handler.

    >>> from restkit.server import App
    >>> from restkit.server.response import text
    >>> view = CompositionView()
    >>> view.add(['GET'], lambda request: text('a document'))
    >>> view.add(['POST', 'PUT'], lambda request: text(request.stream.read()), stream=True)
    >>> app = App()
    >>> app.add_route(view, '/documents')
    """

    def __init__(self) -> None:
        self.handlers: dict[str, Handler] = {}
        self._streams: dict[str, bool] = {}

    def add(self, methods: Iterable[str], handler: Handler, stream: bool = False) -> None:
        """Add a handler for some methods; with ``stream`` it reads the body as a stream.

        Raises InvalidUsage for an invalid method, or one that already has a handler.
        """
        methods = as_method_list(methods)
        for method in methods:
            if check_method(method) in self.handlers:
                raise InvalidUsage(f"Method {method} is already registered.")
        check_handler(handler)
        streams = stream or is_stream_handler(handler)
        for method in methods:
            self.handlers[method], self._streams[method] = handler, streams

    def methods(self) -> dict[str, bool]:
        """Return the methods that have a handler, and whether it reads the body as a stream."""
        return dict(self._streams)

    def __call__(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return _find_handler(self.handlers.get, request.method)(request, *args, **kwargs)

    def __repr__(self) -> str:
        return f"<CompositionView of {', '.join(self.handlers) or 'no method'}>"


def is_stream_handler(handler: object) -> bool:
    """Return whether ``stream`` has marked the handler."""
    return bool(getattr(handler, "is_stream", False))


def as_method_list(methods: Iterable[str]) -> list[str]:
    """Return the methods as a list; raise TypeError for a single string."""
    if isinstance(methods, str):
        raise TypeError(f"methods must be a list, such as [{methods!r}]; got {methods!r}")
    return list(methods)


def view_methods(view: Handler) -> dict[str, bool] | None:
    """Return the methods of a view and whether each reads a stream; None for a function."""
    if isinstance(view, CompositionView):
        methods = view.methods()
    else:
        cls = getattr(view, "view_class", None)
        if cls is None:
            return None
        methods = {}
        for method in METHODS:
            if (handler := _get_method(cls, method)) is not None:
                _check_not_response(cls, method, handler)
                static = inspect.getattr_static(cls, method.lower())
                called_with = ("self", "request") if inspect.isfunction(static) else ("request",)
                check_handler(handler, *called_with)
                methods[method] = is_stream_handler(handler)
    if not methods:
        raise ValueError(f"the view {handler_name(view)} handles no method")
    return methods


def _check_not_response(cls: type, method: str, handler: object) -> None:
    """Raise TypeError for a method decorated with the wrong ``stream``.

    A response can be called too, as a WSGI application.
    """
    if isinstance(handler, Response):
        raise TypeError(
            f"{cls.__qualname__}.{method.lower()} is a response, not a method: decorate it with "
            "restkit.server.views.stream, not with restkit.server.response.stream"
        )


def _find_handler(get: Callable[[str], Handler | None], method: str) -> Handler:
    handler = get(method)
    if handler is None and method == "HEAD":
        handler = get("GET")
    if handler is None:
        raise MethodNotAllowed(f"Method {method} not allowed")
    return handler


def _get_method(view: object, method: str) -> Handler | None:
    handler: Handler | None = getattr(view, method.lower(), None)
    return handler
