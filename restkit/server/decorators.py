"""The ways to say a route, which applications and blueprints share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from restkit.server.handlers import check_handler, name_of
from restkit.server.routes import Handler, checked_method
from restkit.server.views import is_marked, methods_as_given, methods_of

if TYPE_CHECKING:
    from restkit.server.reply import Response

_H = TypeVar("_H", bound="Callable[..., Response]")


class Route(NamedTuple):
    """A route as it was said: ``streams`` has its methods, and which take the body live."""

    uri: str
    handler: Handler
    streams: dict[str, bool]
    max_body: int | None
    strict_slashes: bool | None


class Routing(ABC):
    """Decorators that add routes; a subclass says what becomes of one.

    A uri begins with ``/`` (one without is given it) and may have parameters, ``<x>`` or
    ``<x:kind>``; what they stand for goes to the handler as keyword arguments. ``max_body``
    bounds the body of a request to this route, in place of the application's; a handler that
    takes its body live has no other bound. With ``strict_slashes`` a slash at the end of the
    path makes another path of it.
    """

    @abstractmethod
    def take_route(self, route: Route) -> None:
        """Register one route."""

    def add_route(
        self,
        handler: Handler,
        uri: str,
        methods: Iterable[str] | None = None,
        stream: bool = False,
        *,
        max_body: int | None = None,
        strict_slashes: bool | None = None,
    ) -> None:
        """Let a handler, or a view, answer a uri.

        A function answers ``methods``, by default GET; a view says its methods itself. Raises
        ValueError for a handler that takes no request, for methods or ``stream`` beside a view,
        and for a route that is there already; TypeError for an ``async`` handler; InvalidUsage
        for a method that is none.
        """
        streams = methods_of(handler)
        if streams is None:
            wanted = ["GET"] if methods is None else methods_as_given(methods)
            if not wanted:
                raise ValueError(f"{uri}: a route without methods answers nothing")
            streams = dict.fromkeys(map(checked_method, wanted), stream or is_marked(handler))
        elif methods is not None or stream:
            raise ValueError(f"{name_of(handler)} is a view, which says its methods and streams")
        check_handler(handler)
        self.take_route(Route(uri, handler, streams, max_body, strict_slashes))

    def route(
        self,
        uri: str,
        methods: Iterable[str] | None = None,
        stream: bool = False,
        *,
        max_body: int | None = None,
        strict_slashes: bool | None = None,
    ) -> Callable[[_H], _H]:
        """Let the function below answer a uri, for GET or these methods."""
        if not isinstance(uri, str):
            raise TypeError(f"a route is a path, and {uri!r} is none: @app.get('/path')")

        def registered(handler: _H) -> _H:
            self.add_route(
                handler, uri, methods, stream, max_body=max_body, strict_slashes=strict_slashes
            )
            return handler

        return registered

    def get(self, uri: str, *, strict_slashes: bool | None = None) -> Callable[[_H], _H]:
        """Let the function below answer GET, and HEAD where nothing else does."""
        return self.route(uri, ["GET"], strict_slashes=strict_slashes)

    def head(self, uri: str, *, strict_slashes: bool | None = None) -> Callable[[_H], _H]:
        """Let the function below answer HEAD."""
        return self.route(uri, ["HEAD"], strict_slashes=strict_slashes)

    def options(self, uri: str, *, strict_slashes: bool | None = None) -> Callable[[_H], _H]:
        """Let the function below answer OPTIONS."""
        return self.route(uri, ["OPTIONS"], strict_slashes=strict_slashes)

    def delete(self, uri: str, *, strict_slashes: bool | None = None) -> Callable[[_H], _H]:
        """Let the function below answer DELETE."""
        return self.route(uri, ["DELETE"], strict_slashes=strict_slashes)

    def post(
        self,
        uri: str,
        stream: bool = False,
        *,
        max_body: int | None = None,
        strict_slashes: bool | None = None,
    ) -> Callable[[_H], _H]:
        """Let the function below answer POST; with ``stream`` it takes the body live."""
        return self.route(uri, ["POST"], stream, max_body=max_body, strict_slashes=strict_slashes)

    def put(
        self,
        uri: str,
        stream: bool = False,
        *,
        max_body: int | None = None,
        strict_slashes: bool | None = None,
    ) -> Callable[[_H], _H]:
        """Let the function below answer PUT; with ``stream`` it takes the body live."""
        return self.route(uri, ["PUT"], stream, max_body=max_body, strict_slashes=strict_slashes)

    def patch(
        self,
        uri: str,
        stream: bool = False,
        *,
        max_body: int | None = None,
        strict_slashes: bool | None = None,
    ) -> Callable[[_H], _H]:
        """Let the function below answer PATCH; with ``stream`` it takes the body live."""
        return self.route(uri, ["PATCH"], stream, max_body=max_body, strict_slashes=strict_slashes)
