"""Declare routes, and group them in blueprints."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple, TypeAlias, TypeVar

from restkit.server.hooks import Hooks
from restkit.server.responses import AfterHook, BeforeHook, Response
from restkit.server.routing import Handler, check_handler, check_method, handler_name, join_paths
from restkit.server.views import as_method_list, is_stream_handler, view_methods

_H = TypeVar("_H", bound="Callable[..., Response]")
_B = TypeVar("_B", bound=BeforeHook)
_A = TypeVar("_A", bound=AfterHook)


class Route(NamedTuple):
    """A declared route; ``streams`` maps its methods to whether they read a stream.

    ``before`` and ``after`` are the hooks of its blueprint, in the order in which they are called.
    """

    uri: str
    handler: Handler
    streams: dict[str, bool]
    max_body: int | None
    strict_slashes: bool | None
    before: tuple[BeforeHook, ...] = ()
    after: tuple[AfterHook, ...] = ()


class Routing(ABC):
    """Decorators that declare routes; a subclass registers them.

    A uri begins with ``/``, which is added if missing. It may have parameters, ``<x>`` or
    ``<x:type>``; the handler gets their values as keyword arguments. ``max_body`` limits the body
    of a request to this route, instead of the limit of the application; without it, a handler
    that reads its body as a stream has no limit. With ``strict_slashes`` a path with a slash at
    its end is another path.
    """

    _hooks: Hooks

    @abstractmethod
    def register_route(self, route: Route) -> None:
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
        """Register a handler, or a view, for a uri.

        A function handles ``methods``, by default GET; a view defines its methods itself. Raises
        ValueError for a handler that takes no request, for methods or ``stream`` with a view,
        and for a route that already exists; TypeError for an ``async`` handler; InvalidUsage
        for an invalid method.
        """
        streams = view_methods(handler)
        if streams is None:
            method_list = ["GET"] if methods is None else as_method_list(methods)
            if not method_list:
                raise ValueError(f"{uri}: methods must name at least one method; got none")
            streams = dict.fromkeys(
                map(check_method, method_list), stream or is_stream_handler(handler)
            )
        elif methods is not None or stream:
            raise ValueError(
                f"{handler_name(handler)} is a view, which defines its own methods and streams: "
                "remove methods= and stream="
            )
        check_handler(handler)
        self.register_route(Route(uri, handler, streams, max_body, strict_slashes))

    def route(
        self,
        uri: str,
        methods: Iterable[str] | None = None,
        stream: bool = False,
        *,
        max_body: int | None = None,
        strict_slashes: bool | None = None,
    ) -> Callable[[_H], _H]:
        """Register the decorated function for a uri, for GET or the given methods."""
        if not isinstance(uri, str):
            raise TypeError(f"a route must be a path, as in @app.get('/path'); got {uri!r}")

        def register(handler: _H) -> _H:
            self.add_route(
                handler, uri, methods, stream, max_body=max_body, strict_slashes=strict_slashes
            )
            return handler

        return register

    def get(self, uri: str, *, strict_slashes: bool | None = None) -> Callable[[_H], _H]:
        """Register the decorated function for GET, and for HEAD unless there is another one."""
        return self.route(uri, ["GET"], strict_slashes=strict_slashes)

    def head(self, uri: str, *, strict_slashes: bool | None = None) -> Callable[[_H], _H]:
        """Register the decorated function for HEAD."""
        return self.route(uri, ["HEAD"], strict_slashes=strict_slashes)

    def options(self, uri: str, *, strict_slashes: bool | None = None) -> Callable[[_H], _H]:
        """Register the decorated function for OPTIONS."""
        return self.route(uri, ["OPTIONS"], strict_slashes=strict_slashes)

    def delete(self, uri: str, *, strict_slashes: bool | None = None) -> Callable[[_H], _H]:
        """Register the decorated function for DELETE."""
        return self.route(uri, ["DELETE"], strict_slashes=strict_slashes)

    def post(
        self,
        uri: str,
        stream: bool = False,
        *,
        max_body: int | None = None,
        strict_slashes: bool | None = None,
    ) -> Callable[[_H], _H]:
        """Register the decorated function for POST; with ``stream`` it reads a stream."""
        return self.route(uri, ["POST"], stream, max_body=max_body, strict_slashes=strict_slashes)

    def put(
        self,
        uri: str,
        stream: bool = False,
        *,
        max_body: int | None = None,
        strict_slashes: bool | None = None,
    ) -> Callable[[_H], _H]:
        """Register the decorated function for PUT; with ``stream`` it reads a stream."""
        return self.route(uri, ["PUT"], stream, max_body=max_body, strict_slashes=strict_slashes)

    def patch(
        self,
        uri: str,
        stream: bool = False,
        *,
        max_body: int | None = None,
        strict_slashes: bool | None = None,
    ) -> Callable[[_H], _H]:
        """Register the decorated function for PATCH; with ``stream`` it reads a stream."""
        return self.route(uri, ["PATCH"], stream, max_body=max_body, strict_slashes=strict_slashes)

    def before_request(self, hook: _B) -> _B:
        """Call the decorated function with each request, before its body is received.

        It returns None, or a response, which is sent in place of that of the handler.
        """
        self._hooks.add_before(hook)
        return hook

    def after_request(self, hook: _A) -> _A:
        """Call the decorated function with each request and its response, errors included.

        It may change the response, and returns None, or another response.
        """
        self._hooks.add_after(hook)
        return hook


class Blueprint(Routing):
    """Routes under a name, to be registered with ``app.blueprint(...)``.

    Its hooks (``before_request``, ``after_request``) are for its own routes. All routes and hooks
    must be added before it is registered: a later one raises RuntimeError.

    >>> from restkit.server import App
    >>> from restkit.server.response import text
    >>> bp = Blueprint('documents', url_prefix='/v1')
    >>> @bp.put('/documents/<name>', stream=True)
    ... def put(request, name):
    ...     return text(len(request.stream.read()), 201)
    >>> app = App()
    >>> app.blueprint(bp)
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
        self._hooks = Hooks()
        self._registered = False

    def register_route(self, route: Route) -> None:
        self._check_not_registered(route.uri)
        if route.strict_slashes is None:
            route = route._replace(strict_slashes=self._strict_slashes)
        self._routes.append(route)

    def before_request(self, hook: _B) -> _B:
        self._check_not_registered(handler_name(hook))
        return super().before_request(hook)

    def after_request(self, hook: _A) -> _A:
        self._check_not_registered(handler_name(hook))
        return super().after_request(hook)

    def _check_not_registered(self, addition: str) -> None:
        if self._registered:
            raise RuntimeError(
                f"{self!r} is already registered with an app: add {addition} before "
                "app.blueprint(...)"
            )

    def close_routes(self, prefix: str) -> list[Route]:
        """Return the routes below a prefix, for an application, and accept no more routes."""
        self._registered = True
        before, after = self._hooks.before, self._hooks.after
        return [
            route._replace(uri=join_paths(prefix, route.uri), before=before, after=after)
            for route in self._routes
        ]

    @staticmethod
    def group(*members: Blueprints, url_prefix: str = "") -> BlueprintGroup:
        """Group blueprints, or groups, under one prefix that precedes their prefixes.

        A group is registered as a whole, and may be in other groups. The blueprints do not change.
        """
        return BlueprintGroup(members, url_prefix)

    def __repr__(self) -> str:
        return f"<Blueprint {self.name!r}, {len(self._routes)} routes>"


class BlueprintGroup(NamedTuple):
    """Blueprints and groups, and the prefix that precedes theirs."""

    members: tuple[Blueprints, ...]
    url_prefix: str


Blueprints: TypeAlias = Blueprint | BlueprintGroup | list["Blueprints"] | tuple["Blueprints", ...]


def iter_blueprints(
    blueprints: Blueprints, url_prefix: str | None = None, parent: str = ""
) -> Iterator[tuple[Blueprint, str]]:
    """Yield each blueprint with its whole prefix; ``url_prefix`` replaces its own.

    For a group, ``url_prefix`` replaces the prefix of the group; in a list, that of each member.
    """
    if isinstance(blueprints, Blueprint | BlueprintGroup):
        own = blueprints.url_prefix if url_prefix is None else url_prefix
        prefix = join_paths(parent, own or "")
        if isinstance(blueprints, Blueprint):
            yield blueprints, prefix
        else:
            for member in blueprints.members:
                yield from iter_blueprints(member, None, prefix)
    elif isinstance(blueprints, list | tuple):
        for member in blueprints:
            yield from iter_blueprints(member, url_prefix, parent)
    else:
        raise TypeError(f"expected a Blueprint, a group, or a list of them; got {blueprints!r}")
