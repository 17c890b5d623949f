"""Match a request to a handler: the table of routes, path patterns, and checks of handlers.

A path is matched after its segments are decoded. A ``/`` that was sent as ``%2F`` is part of a
segment: it is replaced by ENCODED_SLASH until the arguments are made.
"""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any, NamedTuple, TypeAlias
from urllib.parse import unquote
from uuid import UUID

from restkit.server.environ import ENCODED_SLASH, has_dot_segment
from restkit.server.exceptions import InvalidUsage, MethodNotAllowed, NotFound
from restkit.server.responses import AfterHook, BeforeHook, Response

Handler: TypeAlias = Callable[..., Response]
Cast: TypeAlias = Callable[[str], Any]

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


def check_method(method: str) -> str:
    """Return the method; raise InvalidUsage unless a route can have it."""
    if method not in METHODS:
        raise InvalidUsage(f"{method} is not a valid HTTP method.")
    return method


# The table of routes


class Endpoint(NamedTuple):
    """The handler of one method of a route; with ``stream`` it reads the body as a stream.

    ``before`` and ``after`` are the hooks of its blueprint, in the order in which they are called.
    """

    handler: Handler
    uri: str
    stream: bool = False
    max_body: int | None = None
    before: tuple[BeforeHook, ...] = ()
    after: tuple[AfterHook, ...] = ()


class Match(NamedTuple):
    """The endpoint for a request, and the arguments in its path."""

    endpoint: Endpoint
    arguments: dict[str, Any]


class _Route(NamedTuple):
    pattern: PathPattern
    endpoints: dict[str, Endpoint]


class RouteTable:
    """Routes, matched in this order: exact paths, patterns in order, patterns of whole paths.

    Routes may be added while requests are handled.
    """

    def __init__(self) -> None:
        self._routes: dict[str, _Route] = {}
        self._strict: dict[str, _Route] = {}
        self._loose: dict[str, _Route] = {}
        self._patterns: list[_Route] = []
        self._path_patterns: list[_Route] = []

    def add(self, uri: str, endpoints: Mapping[str, Endpoint], *, strict: bool = False) -> None:
        """Add endpoints, by method, to a route.

        Raises ValueError if the route is malformed, or if a route of the same paths already has
        one of the methods.
        """
        pattern = parse_pattern(uri, strict=strict)
        route = self._routes.get(pattern.shape) or self._add_route(pattern)
        for method in endpoints:
            if existing := route.endpoints.get(method):
                owner = handler_name(existing.handler)
                raise ValueError(f"{method} {uri} is already registered, with the handler {owner}")
        route.endpoints.update(endpoints)

    def _add_route(self, pattern: PathPattern) -> _Route:
        route = self._routes[pattern.shape] = _Route(pattern, {})
        if pattern.literal is not None:
            (self._strict if pattern.strict else self._loose)[pattern.literal] = route
        else:
            (self._path_patterns if pattern.spans_slashes else self._patterns).append(route)
        return route

    def match(self, method: str, path: str, encoded: str) -> Match:
        """Find the endpoint for a method and a decoded path; errors show the ``encoded`` path.

        A GET endpoint also handles HEAD, unless there is one for HEAD. OPTIONS without an endpoint
        gets a 204 with ``Allow``. Raises NotFound, or MethodNotAllowed with ``Allow``.
        """
        methods = (method, "GET") if method == "HEAD" else (method,)
        allowed: set[str] = set()
        for route, arguments in self._find_routes(path):
            for each in methods:
                if endpoint := route.endpoints.get(each):
                    return Match(endpoint, arguments)
            allowed.update(route.endpoints)
        if not allowed:
            raise NotFound(f"Requested URL {encoded} not found")
        headers = {"Allow": _format_allow(allowed)}
        if method == "OPTIONS":
            return Match(Endpoint(lambda _request: Response(b"", 204, headers), ""), {})
        raise MethodNotAllowed(f"Method {method} not allowed for URL {encoded}", headers)

    def _find_routes(self, path: str) -> Iterator[tuple[_Route, dict[str, Any]]]:
        if route := self._strict.get(path):
            yield route, {}
        if route := self._loose.get(path.removesuffix("/")):
            yield route, {}
        for route in (*self._patterns, *self._path_patterns):
            arguments = route.pattern.match(path)
            if arguments is not None:
                yield route, arguments


def _format_allow(methods: set[str]) -> str:
    if "GET" in methods:
        methods.add("HEAD")
    return ", ".join(sorted(methods | {"OPTIONS"}))


# Path patterns


class _Parameter(NamedTuple):
    regex: str
    cast: Cast


def _to_finite_float(text: str) -> float:
    number = float(text)
    if number in (math.inf, -math.inf):
        raise ValueError("too large for a float")
    return number


def _check_path(text: str) -> str:
    """Refuse a path that leads out of a folder when it is joined to it, on any system.

    On Windows, a backslash at the beginning leads to the root or to another host, and a colon as
    the second character to another drive.
    """
    is_absolute = text[0] == "\\" or text[1:2] == ":"
    if is_absolute or has_dot_segment(text.replace(ENCODED_SLASH, "/")) or "\0" in text:
        raise ValueError("not a path inside a folder")
    return text


_TYPES = {
    "string": _Parameter("[^/]+", str),
    "int": _Parameter("-?[0-9]+", int),
    "number": _Parameter(r"-?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)", _to_finite_float),
    "alpha": _Parameter("[A-Za-z]+", str),
    # No slash at the beginning, sent as / or %2F: os.path.join() would leave the folder.
    "path": _Parameter(f"[^/{ENCODED_SLASH}].*", _check_path),
    "uuid": _Parameter("[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}", UUID),
}
_PARAMETER = re.compile(r"<([^<>:]*)(?::((?:[^<>]|\(\?(?:P<\w+>|<[=!]))*))?>")
_PARAMETER_OR_SLASHES = re.compile(f"({_PARAMETER.pattern})|/{{2,}}")


class PathPattern(NamedTuple):
    """The parsed path of a route; ``literal`` is the path if it has no parameters.

    ``shape`` is equal for patterns of the same paths. ``spans_slashes``: a parameter takes whole
    paths, so that more specific patterns must be tried first. Without ``strict``, ``literal``
    has no slash at its end.
    """

    shape: str
    literal: str | None
    regex: re.Pattern[str]
    casts: dict[str, Cast]
    spans_slashes: bool
    strict: bool

    def match(self, path: str) -> dict[str, Any] | None:
        """Return the arguments in a decoded path; None if it does not match."""
        match = self.regex.fullmatch(path)
        if match is None:
            return None
        try:
            return {
                name: cast(match[name].replace(ENCODED_SLASH, "/"))
                for name, cast in self.casts.items()
            }
        except ValueError:  # too many digits for int(), a number too large for a float, or a/../b
            return None


def parse_pattern(uri: str, *, strict: bool = False) -> PathPattern:
    """Parse the path of a route; without ``strict`` a slash at its end makes no difference.

    Raises ValueError if it is malformed.

    >>> parse_pattern('/p/<id:int>').match('/p/7')
    {'id': 7}
    """
    uri = uri if uri.startswith("/") else "/" + uri
    casts: dict[str, Cast] = {}
    regex, shape, spans_slashes, end = "", "", False, 0
    for found in _PARAMETER.finditer(uri):
        literal = re.escape(_decode_literal(uri, end, found.start()))
        name, parameter = found[1], _find_parameter(uri, found[2] or "string")
        if not name.isidentifier() or name in casts:
            raise ValueError(
                f"{uri}: a parameter name must be an identifier and be used once; got {name!r}"
            )
        casts[name] = parameter.cast
        spans_slashes = spans_slashes or parameter is _TYPES["path"]
        regex += f"{literal}(?P<{name}>{parameter.regex})"
        shape += f"{literal}({parameter.regex})"
        end = found.end()
    rest = _decode_literal(uri, end, len(uri))
    if not strict:
        rest = rest.removesuffix("/")
    tail = re.escape(rest) + ("" if strict else "/?")
    return PathPattern(
        shape=shape + tail,
        literal=None if casts else rest,
        regex=_compile(uri, regex + tail),
        casts=casts,
        spans_slashes=spans_slashes,
        strict=strict,
    )


def join_paths(prefix: str, uri: str) -> str:
    """Join a prefix and the path of a route; merge slashes outside of parameters.

    >>> join_paths('/v1/', '/p/<id:int>')
    '/v1/p/<id:int>'
    """
    text = "/" + prefix + "/" + uri if uri else "/" + prefix
    return _PARAMETER_OR_SLASHES.sub(lambda found: found[1] or "/", text)


def _find_parameter(uri: str, name: str) -> _Parameter:
    if name in _TYPES:
        return _TYPES[name]
    if name.isalpha():  # as a regular expression it would match only itself
        known = ", ".join(_TYPES)
        raise ValueError(
            f"{uri}: {name} is not a parameter type; use {known}, or a regular expression"
        )
    return _Parameter(name, str)


def _decode_literal(uri: str, start: int, end: int) -> str:
    text = uri[start:end]
    if "<" in text or ">" in text:
        raise ValueError(f"{uri}: a parameter must be written <name> or <name:type>")
    return unquote(text.replace("%2F", ENCODED_SLASH).replace("%2f", ENCODED_SLASH))


def _compile(uri: str, regex: str) -> re.Pattern[str]:
    try:
        return re.compile(regex, re.DOTALL)
    except re.error as exc:
        raise ValueError(f"{uri}: a parameter has an invalid regular expression: {exc}") from exc


# Checks of handlers, made when they are registered and not at the first call


def handler_name(function: object) -> str:
    """Return the name of a handler for messages."""
    name: str = getattr(function, "__qualname__", None) or repr(function)
    return name


def check_not_async(function: Callable[..., Any], label: str) -> None:
    """Raise TypeError for a function whose result would have to be awaited."""
    called = inspect.unwrap(function)
    if not (inspect.isroutine(called) or isinstance(called, partial | type)):
        called = type(called).__call__
    if inspect.iscoroutinefunction(called) or inspect.isasyncgenfunction(called):
        raise TypeError(
            f"{label} {handler_name(function)} is asynchronous, but restkit.server is blocking: "
            "remove async and await"
        )


def check_handler(handler: Callable[..., Any], *called_with: str) -> None:
    """Raise TypeError for an invalid handler, ValueError for one that takes no request.

    ``called_with`` names the positional arguments of the call, by default ``request`` alone.
    """
    if not callable(handler):
        raise TypeError(f"a handler must be callable; got {handler!r}")
    check_not_async(handler, "the handler")
    positional = called_with or ("request",)
    _check_call(handler, positional, lambda signature: signature.bind_partial(*positional))


def check_arguments(handler: Callable[..., Any], names: Iterable[str]) -> None:
    """Raise ValueError unless the handler takes a request and arguments of these names.

    For a decorated function, the signature of the decorator is checked.
    """
    arguments = dict.fromkeys(names)
    _check_call(
        handler, ["request", *arguments], lambda signature: signature.bind(None, **arguments)
    )


def _check_call(
    handler: Callable[..., Any],
    called_with: Iterable[str],
    bind: Callable[[inspect.Signature], object],
) -> None:
    try:
        signature = inspect.signature(handler, follow_wrapped=False)
    except ValueError:  # some callables in C have no signature: the call itself fails
        return
    try:
        bind(signature)
    except TypeError as exc:
        raise ValueError(
            f"the handler {handler_name(handler)} must take ({', '.join(called_with)}): {exc}"
        ) from exc
