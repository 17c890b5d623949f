"""Views: classes with a method for each HTTP method.

Handlers for several methods of one route: a class with a method for each, or a composition.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from restkit.server.exceptions import InvalidUsage, MethodNotAllowed
from restkit.server.responses import Response
from restkit.server.routing import METHODS, Handler, check_handler, checked_method, name_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from restkit.server.request import Request


_H = TypeVar("_H", bound="Callable[..., Response]")


def stream(handler: _H) -> _H:
    """Mark a method of an ``HTTPMethodView``, or a handler, as one that takes its body live."""
    handler.is_stream = True  # type: ignore[attr-defined]  # a function takes any attribute
    return handler


class HTTPMethodView:
    """A handler as a class: ``get``, ``post`` and so on answer the methods of their names::

        class Documents(HTTPMethodView):
            def get(self, request, name): ...

            @stream
            def put(self, request, name): ...

        app.add_route(Documents.as_view(), '/documents/<name>')

    Each request has an instance of its own. ``decorators`` are put around the whole, the last
    one outermost. A HEAD is answered by ``get`` where there is no ``head``.
    """

    decorators: ClassVar[list[Callable[[Handler], Handler]]] = []

    @classmethod
    def as_view(cls, *args: Any, **kwargs: Any) -> Handler:
        """A handler for ``add_route``; the arguments are those of the class."""

        def view(request: Request, *view_args: Any, **view_kwargs: Any) -> Response:
            return cls(*args, **kwargs).dispatch_request(request, *view_args, **view_kwargs)

        view.__qualname__ = view.__name__ = cls.__name__
        view.__doc__, view.__module__ = cls.__doc__, cls.__module__
        handler: Handler = view
        for decorator in cls.decorators:
            handler = decorator(handler)
        handler.view_class = cls  # type: ignore[attr-defined]  # methods_of() asks for it
        return handler

    def dispatch_request(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Answer one request: the method of its name does."""
        handler = _implementing(self, request.method)
        if handler is None and request.method == "HEAD":
            handler = _implementing(self, "GET")
        if handler is None:
            raise MethodNotAllowed(f"Method {request.method} not allowed")
        return handler(request, *args, **kwargs)


class CompositionView:
    """A handler made of others, each for some methods::

        view = CompositionView()
        view.add(['GET'], show)
        view.add(['POST', 'PUT'], store, stream=True)
        app.add_route(view, '/documents')

    A method that none was added for is answered with 405.
    """

    def __init__(self) -> None:
        self.handlers: dict[str, Handler] = {}
        self._streams: dict[str, bool] = {}

    def add(self, methods: Iterable[str], handler: Handler, stream: bool = False) -> None:
        """Let the handler answer the methods; with ``stream`` it takes the body live.

        Raises InvalidUsage for a method that is none, or that has a handler.
        """
        wanted = methods_as_given(methods)
        for method in wanted:
            if checked_method(method) in self.handlers:
                raise InvalidUsage(f"Method {method} is already registered.")
        check_handler(handler)
        streams = stream or is_marked(handler)
        for method in wanted:
            self.handlers[method], self._streams[method] = handler, streams

    def methods(self) -> dict[str, bool]:
        """Each method that has a handler, and whether that takes the body live."""
        return dict(self._streams)

    def __call__(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        handler = self.handlers.get(request.method)
        if handler is None and request.method == "HEAD":
            handler = self.handlers.get("GET")
        if handler is None:
            raise MethodNotAllowed(f"Method {request.method} not allowed")
        return handler(request, *args, **kwargs)

    def __repr__(self) -> str:
        return f"<CompositionView of {', '.join(self.handlers) or 'no method'}>"


def is_marked(handler: object) -> bool:
    """Whether ``stream`` has marked it."""
    return bool(getattr(handler, "is_stream", False))


def methods_as_given(methods: Iterable[str]) -> list[str]:
    """The methods as a list; TypeError for one string, whose letters are no methods."""
    if isinstance(methods, str):
        raise TypeError(f"methods={methods!r}: a list is wanted, [{methods!r}]")
    return list(methods)


def methods_of(view: Handler) -> dict[str, bool] | None:
    """The methods that a view answers, and which take the body live; None of a plain function."""
    if isinstance(view, CompositionView):
        methods = view.methods()
    else:
        cls = getattr(view, "view_class", None)
        if cls is None:
            return None
        methods = {}
        for method in METHODS:
            if (handler := _implementing(cls, method)) is not None:
                _refuse_answer(cls, method, handler)
                static = inspect.getattr_static(cls, method.lower())
                called_with = ("self", "request") if inspect.isfunction(static) else ("request",)
                check_handler(handler, *called_with)
                methods[method] = is_marked(handler)
    if not methods:
        raise ValueError(f"{name_of(view)} answers no method")
    return methods


def _refuse_answer(cls: type, method: str, handler: object) -> None:
    """An answer can be called, too, as a WSGI application: what marks a method was mistaken."""
    if isinstance(handler, Response):
        raise TypeError(
            f"{cls.__qualname__}.{method.lower()} is an answer, and no method: the stream of "
            "restkit.server.views marks one, that of restkit.server.response makes an answer"
        )


def _implementing(view: object, method: str) -> Handler | None:
    handler: Handler | None = getattr(view, method.lower(), None)
    return handler
