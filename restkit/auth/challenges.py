"""Parse WWW-Authenticate and Authentication-Info.

The grammar is RFC 9110 11.2 to 11.6. A comma separates challenges and also the parameters of one,
so the form of an element decides: ``name=value`` belongs to the challenge before it; a word, alone
or followed by other text, begins the next challenge. Other elements are ignored. Every regular
expression takes linear time.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable


_WORD = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
# Without a closing quote, the string ends with its field.
_QUOTED = r'"([^"\\]*(?:\\.[^"\\]*)*)(?:"|\\?\Z)'
_ELEMENT = re.compile(rf'(?:[^,"]+|{_QUOTED})+', re.DOTALL)
# By the grammar, an unquoted value is a token. Some servers also use "/" and "=": accept these.
_PARAMETER = re.compile(rf'({_WORD})[ \t]*=[ \t]*(?:{_QUOTED}|([^" \t][^"]*|))', re.DOTALL)
_BEGINNING = re.compile(rf"({_WORD})(?:[ \t]+(.*))?", re.DOTALL)
_TOKEN_68 = re.compile(r"[A-Za-z0-9\-._~+/]+=*")
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)


class Challenge(NamedTuple):
    """One challenge of a server. The scheme and the names are in lower case."""

    scheme: str
    parameters: dict[str, str]
    token: str | None = None


def parse_challenges(values: Iterable[str]) -> list[Challenge]:
    """Parse ``WWW-Authenticate`` fields, in order. Of a repeated parameter the first counts.

    >>> parse_challenges(['Basic realm="a, b", Negotiate'])
    [Challenge(scheme='basic', parameters={'realm': 'a, b'}, token=None), \
Challenge(scheme='negotiate', parameters={}, token=None)]
    """
    challenges: list[Challenge] = []
    for value in values:
        before = len(challenges)
        for element in _split_elements(value):
            if not _PARAMETER.fullmatch(element):
                challenges += _parse_start(element)
            elif len(challenges) > before:
                _add_parameter(element, challenges[-1].parameters)
    return challenges


def parse_parameters(value: str) -> dict[str, str]:
    """Parse the parameters of a field without a scheme, such as ``Authentication-Info``.

    >>> parse_parameters('nextnonce="a, b", qop=auth')
    {'nextnonce': 'a, b', 'qop': 'auth'}
    """
    parameters: dict[str, str] = {}
    for element in _split_elements(value):
        _add_parameter(element, parameters)
    return parameters


def _split_elements(value: str) -> list[str]:
    return [match[0].strip(" \t") for match in _ELEMENT.finditer(value)]


def _parse_start(element: str) -> list[Challenge]:
    """Return the challenge that an element begins, or an empty list."""
    match = _BEGINNING.fullmatch(element)
    if match is None:
        return []
    scheme, rest = match[1].lower(), match[2] or ""
    if _TOKEN_68.fullmatch(rest):
        return [Challenge(scheme, {}, rest)]
    challenge = Challenge(scheme, {})
    _add_parameter(rest, challenge.parameters)
    return [challenge]


def _add_parameter(element: str, parameters: dict[str, str]) -> None:
    match = _PARAMETER.fullmatch(element)
    if match:
        name, quoted, plain = match.groups()
        value = plain if quoted is None else _ESCAPED.sub(r"\1", quoted)
        parameters.setdefault(name.lower(), value)
