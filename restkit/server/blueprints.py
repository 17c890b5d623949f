"""Blueprints: groups of routes.

The ways to say a route, which applications and blueprints share.

Routes that are said in one place and put into an application, or several, in another.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple, TypeAlias, TypeVar

from restkit.server.routing import Handler, check_handler, checked_method, joined, name_of
from restkit.server.views import is_marked, methods_as_given, methods_of

if TYPE_CHECKING:
    from restkit.server.responses import Response


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


class Blueprint(Routing):
    """Routes under a name, to be registered with ``app.blueprint(...)``::

        bp = Blueprint('documents', url_prefix='/v1')

        @bp.put('/documents/<name>', stream=True)
        def put(request, name): ...

        app.blueprint(bp)

    All its routes are said before it is registered: a later one raises RuntimeError.
    """

    def __init__(
        self,
        name: str,
        url_prefix: str | None = None,
        *,
        strict_slashes: bool | None = None,
    ) -> None:
        self.name = name
        self.url_prefix = url_prefix
        self._strict_slashes = strict_slashes
        self._routes: list[Route] = []
        self._registered = False

    def take_route(self, route: Route) -> None:
        if self._registered:
            raise RuntimeError(
                f"{self!r} is registered with an app: say {route.uri} before app.blueprint(...)"
            )
        if route.strict_slashes is None:
            route = route._replace(strict_slashes=self._strict_slashes)
        self._routes.append(route)

    def routes_under(self, prefix: str) -> list[Route]:
        """Its routes as an application has them; from now on there are no others."""
        self._registered = True
        return [route._replace(uri=joined(prefix, route.uri)) for route in self._routes]

    @staticmethod
    def group(*members: Blueprints, url_prefix: str = "") -> BlueprintGroup:
        """Several blueprints, or groups, under one prefix, which goes before their own.

        To be registered as one, and to be put into other groups. The blueprints stay as they are.
        """
        return BlueprintGroup(members, url_prefix)

    def __repr__(self) -> str:
        return f"<Blueprint {self.name!r}, {len(self._routes)} routes>"


class BlueprintGroup(NamedTuple):
    """Blueprints and groups, and the prefix that goes before theirs."""

    members: tuple[Blueprints, ...]
    url_prefix: str


Blueprints: TypeAlias = "Blueprint | BlueprintGroup | list[Blueprints] | tuple[Blueprints, ...]"


def with_prefixes(
    which: Blueprints, prefix: str | None = None, before: str = ""
) -> Iterator[Placed]:
    """Each blueprint with its whole prefix; ``prefix`` takes the place of its own.

    For a group it takes the place of the group's; in a plain list, of each member's.
    """
    if isinstance(which, Blueprint):
        yield Placed(which, _behind(before, which.url_prefix if prefix is None else prefix))
    elif isinstance(which, BlueprintGroup):
        before = _behind(before, which.url_prefix if prefix is None else prefix)
        for member in which.members:
            yield from with_prefixes(member, None, before)
    elif isinstance(which, list | tuple):
        for member in which:
            yield from with_prefixes(member, prefix, before)
    else:
        raise TypeError(f"{which!r} is no blueprint, nor a group or a list of them")


def _behind(before: str, prefix: str | None) -> str:
    return joined(before, prefix or "")


class Placed(NamedTuple):
    """A blueprint, and what goes before its routes."""

    blueprint: Blueprint
    prefix: str
