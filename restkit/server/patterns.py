"""From a route's text, such as ``/p/<id:int>``, to what it matches and which arguments it gives.

A path is matched after its segments were decoded. A ``/`` that was sent as ``%2F`` is inside a
segment and divides nothing: until the arguments are there a lone surrogate, which no UTF-8 decodes
to, stands for it.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote

if TYPE_CHECKING:
    from collections.abc import Callable

    Cast = Callable[[str], Any]

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
