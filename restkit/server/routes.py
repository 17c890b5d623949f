"""The table of routes: which handler answers a method on a path."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from restkit.server.exceptions import InvalidUsage, MethodNotAllowed, NotFound
from restkit.server.handlers import name_of
from restkit.server.patterns import Pattern, parse_pattern

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from restkit.server.reply import Response

Handler: TypeAlias = "Callable[..., Response]"

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


def checked_method(method: str) -> str:
    """The method; InvalidUsage for one that no route can have."""
    if method not in METHODS:
        raise InvalidUsage(f"{method} is not a valid HTTP method.")
    return method


class Endpoint(NamedTuple):
    """What answers one method of one route: ``stream`` says how the handler takes the body."""

    handler: Handler
    uri: str
    stream: bool = False
    max_body: int | None = None


class Match(NamedTuple):
    """What was found for a request: the endpoint, and the arguments that the path has."""

    endpoint: Endpoint
    arguments: dict[str, Any]


class _Place(NamedTuple):
    pattern: Pattern
    endpoints: dict[str, Endpoint]


class Table:
    """Routes, asked in this order: exact paths, patterns as they were added, those of whole paths.

    Routes may be added while requests are answered.
    """

    def __init__(self) -> None:
        self._places: dict[str, _Place] = {}
        self._strict: dict[str, _Place] = {}
        self._loose: dict[str, _Place] = {}
        self._patterns: list[_Place] = []
        self._last: list[_Place] = []

    def add(self, uri: str, endpoints: Mapping[str, Endpoint], *, strict: bool = False) -> None:
        """Let these endpoints, by method, answer the route.

        Raises ValueError where the route is wrong, or one of the same paths has the method.
        """
        pattern = parse_pattern(uri, strict=strict)
        place = self._places.get(pattern.shape) or self._new_place(pattern)
        for method in endpoints:
            if taken := place.endpoints.get(method):
                raise ValueError(
                    f"{method} {uri} is registered already: {name_of(taken.handler)} has it"
                )
        place.endpoints.update(endpoints)

    def _new_place(self, pattern: Pattern) -> _Place:
        place = self._places[pattern.shape] = _Place(pattern, {})
        if pattern.literal is not None:
            (self._strict if pattern.strict else self._loose)[pattern.literal] = place
        else:
            (self._last if pattern.reaches else self._patterns).append(place)
        return place

    def match(self, method: str, path: str, shown: str) -> Match:
        """What answers the method on a decoded path; ``shown`` is how an error writes that.

        A route of GET answers HEAD, unless there is one of its own. Raises NotFound, or
        MethodNotAllowed with ``Allow``.
        """
        wanted = (method, "GET") if method == "HEAD" else (method,)
        allowed: set[str] = set()
        for place, arguments in self._found(path):
            for each in wanted:
                if endpoint := place.endpoints.get(each):
                    return Match(endpoint, arguments)
            allowed.update(place.endpoints)
        if not allowed:
            raise NotFound(f"Requested URL {shown} not found")
        raise MethodNotAllowed(
            f"Method {method} not allowed for URL {shown}", {"Allow": _allow(allowed)}
        )

    def _found(self, path: str) -> Iterator[tuple[_Place, dict[str, Any]]]:
        if place := self._strict.get(path):
            yield place, {}
        if place := self._loose.get(path.removesuffix("/")):
            yield place, {}
        for place in (*self._patterns, *self._last):
            arguments = place.pattern.arguments(path)
            if arguments is not None:
                yield place, arguments


def _allow(methods: set[str]) -> str:
    if "GET" in methods:
        methods.add("HEAD")
    return ", ".join(sorted(methods))
