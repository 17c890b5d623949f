"""Routes that are said in one place and put into an application, or several, in another."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, TypeAlias

from restkit.server.decorators import Route, Routing
from restkit.server.patterns import joined


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


def placed(which: Blueprints, prefix: str | None = None, before: str = "") -> Iterator[Placed]:
    """Each blueprint with its whole prefix; ``prefix`` takes the place of its own.

    For a group it takes the place of the group's; in a plain list, of each member's.
    """
    if isinstance(which, Blueprint):
        yield Placed(which, _behind(before, which.url_prefix if prefix is None else prefix))
    elif isinstance(which, BlueprintGroup):
        before = _behind(before, which.url_prefix if prefix is None else prefix)
        for member in which.members:
            yield from placed(member, None, before)
    elif isinstance(which, list | tuple):
        for member in which:
            yield from placed(member, prefix, before)
    else:
        raise TypeError(f"{which!r} is no blueprint, nor a group or a list of them")


def _behind(before: str, prefix: str | None) -> str:
    return joined(before, prefix or "")


class Placed(NamedTuple):
    """A blueprint, and what goes before its routes."""

    blueprint: Blueprint
    prefix: str
