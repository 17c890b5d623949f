"""Routes, path patterns and handlers.

The table of routes: which handler answers a method on a path.

From a route's text, such as ``/p/<id:int>``, to what it matches and which arguments it gives.

A path is matched after its segments were decoded. A ``/`` that was sent as ``%2F`` is inside a
segment and divides nothing: until the arguments are there a lone surrogate, which no UTF-8 decodes
to, stands for it.

What a handler has to be, judged when it is registered and not when it is first called.
"""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias
from urllib.parse import unquote

from restkit.server.exceptions import InvalidUsage, MethodNotAllowed, NotFound

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from restkit.server.responses import Response

    Cast = Callable[[str], Any]


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


class _RouteEntry(NamedTuple):
    pattern: Pattern
    endpoints: dict[str, Endpoint]


class Table:
    """Routes, asked in this order: exact paths, patterns as they were added, those of whole paths.

    Routes may be added while requests are answered.
    """

    def __init__(self) -> None:
        self._places: dict[str, _RouteEntry] = {}
        self._strict: dict[str, _RouteEntry] = {}
        self._loose: dict[str, _RouteEntry] = {}
        self._patterns: list[_RouteEntry] = []
        self._last: list[_RouteEntry] = []

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

    def _new_place(self, pattern: Pattern) -> _RouteEntry:
        place = self._places[pattern.shape] = _RouteEntry(pattern, {})
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

    def _found(self, path: str) -> Iterator[tuple[_RouteEntry, dict[str, Any]]]:
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


SLASH_INSIDE = "\ud800"

_PARAMETER = re.compile(r"<([^<>:]*)(?::((?:[^<>]|\(\?(?:P<\w+>|<[=!]))*))?>")
_REPEATED = re.compile(f"({_PARAMETER.pattern})|/{{2,}}")


class _Kind(NamedTuple):
    regex: str
    cast: Cast


def _uuid(text: str) -> Any:
    from uuid import UUID

    return UUID(text)


def _finite(text: str) -> float:
    number = float(text)
    if number in (math.inf, -math.inf):
        raise ValueError("too large for a float")
    return number


_KINDS = {
    "string": _Kind("[^/]+", str),
    "int": _Kind("-?[0-9]+", int),
    "number": _Kind(r"-?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)", _finite),
    "alpha": _Kind("[A-Za-z]+", str),
    # No slash at its beginning, sent as such or as %2F: joined to a folder it would leave that.
    "path": _Kind(f"[^/{SLASH_INSIDE}].*", str),
    "uuid": _Kind("[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}", _uuid),
}


class Pattern(NamedTuple):
    """What a route's text means: ``literal`` is its path where it has no parameters.

    ``shape`` is the same for patterns of the same paths; ``reaches`` says whether a parameter
    takes whole paths, so that more special patterns are to be asked first. Without ``strict``
    the slash at a path's end is left out of ``literal``.
    """

    shape: str
    literal: str | None
    regex: re.Pattern[str]
    casts: dict[str, Cast]
    reaches: bool
    strict: bool

    def arguments(self, path: str) -> dict[str, Any] | None:
        """What the parameters stand for in a decoded path; None where it does not match."""
        match = self.regex.fullmatch(path)
        if match is None:
            return None
        try:
            return {
                name: cast(match[name].replace(SLASH_INSIDE, "/"))
                for name, cast in self.casts.items()
            }
        except ValueError:  # more digits than an int is read from, or than a float has room for
            return None


def parse_pattern(uri: str, *, strict: bool = False) -> Pattern:
    """The pattern of a route; without ``strict`` a path is the same with a slash at its end.

    Raises ValueError for a text that is none.
    """
    uri = uri if uri.startswith("/") else "/" + uri
    casts: dict[str, Cast] = {}
    regex, shape, reaches, end = "", "", False, 0
    for found in _PARAMETER.finditer(uri):
        literal = re.escape(_literal(uri, end, found.start()))
        name, kind = found[1], _kind_of(uri, found[2] or "string")
        if not name.isidentifier() or name in casts:
            raise ValueError(f"{uri}: {name!r} is no name, or no new one, for a parameter")
        casts[name] = kind.cast
        reaches = reaches or kind is _KINDS["path"]
        regex += f"{literal}(?P<{name}>{kind.regex})"
        shape += f"{literal}({kind.regex})"
        end = found.end()
    rest = _literal(uri, end, len(uri))
    if not strict:
        rest = rest.removesuffix("/")
    tail = re.escape(rest) + ("" if strict else "/?")
    compiled = _compiled(uri, regex + tail)
    return Pattern(shape + tail, None if casts else rest, compiled, casts, reaches, strict)


def joined(prefix: str, uri: str) -> str:
    """A route's text behind a prefix; slashes that meet become one."""
    text = "/" + prefix + "/" + uri if uri else "/" + prefix
    return _REPEATED.sub(lambda found: found[1] or "/", text)


def _kind_of(uri: str, said: str) -> _Kind:
    if said in _KINDS:
        return _KINDS[said]
    if said.isalpha():  # as a regular expression it would match no more than itself
        known = ", ".join(_KINDS)
        raise ValueError(f"{uri}: {said} is no kind of parameter; {known} are, or a regex")
    return _Kind(said, str)


def _literal(uri: str, start: int, end: int) -> str:
    text = uri[start:end]
    if "<" in text or ">" in text:
        raise ValueError(f"{uri}: a parameter is written <name> or <name:kind>")
    return unquote(text.replace("%2F", SLASH_INSIDE).replace("%2f", SLASH_INSIDE))


def _compiled(uri: str, regex: str) -> re.Pattern[str]:
    try:
        return re.compile(regex, re.DOTALL)
    except re.error as exc:
        raise ValueError(f"{uri}: a parameter's regular expression is wrong: {exc}") from exc


def name_of(function: object) -> str:
    """How a message calls a handler."""
    name: str = getattr(function, "__qualname__", None) or repr(function)
    return name


def check_not_async(function: Callable[..., Any], what: str) -> None:
    """Raise TypeError for a function whose result would have to be awaited."""
    called = inspect.unwrap(function)
    if not (inspect.isroutine(called) or isinstance(called, partial | type)):
        called = type(called).__call__
    if inspect.iscoroutinefunction(called) or inspect.isasyncgenfunction(called):
        raise TypeError(
            f"{what} {name_of(function)} is asynchronous, and restkit.server is blocking: "
            "take its async and await out"
        )


def check_handler(handler: Callable[..., Any], *called_with: str) -> None:
    """Raise TypeError for what cannot be a handler, ValueError for one that takes no request.

    ``called_with`` names what it is called with by position, where that is more.
    """
    if not callable(handler):
        raise TypeError(f"a handler is a function, and {handler!r} is none")
    check_not_async(handler, "the handler")
    positional = called_with or ("request",)
    _check(handler, positional, lambda signature: signature.bind_partial(*positional))


def check_arguments(handler: Callable[..., Any], names: Iterable[str]) -> None:
    """Raise ValueError unless the handler takes the request, and arguments of these names.

    What a decorator takes counts, and not what the function behind it does.
    """
    arguments = dict.fromkeys(names)
    _check(handler, ["request", *arguments], lambda signature: signature.bind(None, **arguments))


def _check(
    handler: Callable[..., Any],
    called_with: Iterable[str],
    bind: Callable[[inspect.Signature], object],
) -> None:
    try:
        signature = inspect.signature(handler, follow_wrapped=False)
    except ValueError:  # some of what is written in C tells none; the call itself will show
        return
    try:
        bind(signature)
    except TypeError as exc:
        raise ValueError(
            f"the handler {name_of(handler)} is called with ({', '.join(called_with)}): {exc}"
        ) from exc
