"""Parse WWW-Authenticate.

Challenges of a server, and parameters of its later remarks, read out of their header fields.

The grammar is RFC 9110 11.2 to 11.6. One comma parts challenges as well as the parameters of one,
so an element decides by its own shape: ``name=value`` goes on with the challenge before it, a
word by itself, or one with something behind it, begins the next. What has no shape is left out.
Every expression takes a time that grows with the length of its text, no faster.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable


_WORD = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
# An open quote runs to the end of its field.
_QUOTED = r'"([^"\\]*(?:\\.[^"\\]*)*)(?:"|\\?\Z)'
_ELEMENT = re.compile(rf'(?:[^,"]+|{_QUOTED})+', re.DOTALL)
# A value without quotes is a word by the letter; some have "/" or "=" in it, and are understood.
_PARAMETER = re.compile(rf'({_WORD})[ \t]*=[ \t]*(?:{_QUOTED}|([^" \t][^"]*|))', re.DOTALL)
_BEGINNING = re.compile(rf"({_WORD})(?:[ \t]+(.*))?", re.DOTALL)
_TOKEN_68 = re.compile(r"[A-Za-z0-9\-._~+/]+=*")
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)


class Challenge(NamedTuple):
    """One way to log in that a server offers; scheme and names are in lower case."""

    scheme: str
    parameters: dict[str, str]
    token: str | None = None


def parse_challenges(values: Iterable[str]) -> list[Challenge]:
    """The challenges of ``WWW-Authenticate`` fields, in order; of a name twice the first counts.

    >>> parse_challenges(['Basic realm="a, b", Negotiate'])
    [Challenge(scheme='basic', parameters={'realm': 'a, b'}, token=None), \
Challenge(scheme='negotiate', parameters={}, token=None)]
    """
    challenges: list[Challenge] = []
    for value in values:
        before = len(challenges)
        for element in _elements(value):
            if not _PARAMETER.fullmatch(element):
                challenges += _begun(element)
            elif len(challenges) > before:
                _take(element, challenges[-1].parameters)
    return challenges


def parse_parameters(value: str) -> dict[str, str]:
    """The parameters of a field that has no scheme, as ``Authentication-Info`` is."""
    parameters: dict[str, str] = {}
    for element in _elements(value):
        _take(element, parameters)
    return parameters


def _elements(value: str) -> list[str]:
    return [match[0].strip(" \t") for match in _ELEMENT.finditer(value)]


def _begun(element: str) -> list[Challenge]:
    """The challenge that an element begins, if it does."""
    match = _BEGINNING.fullmatch(element)
    if match is None:
        return []
    scheme, rest = match[1].lower(), match[2] or ""
    if _TOKEN_68.fullmatch(rest):
        return [Challenge(scheme, {}, rest)]
    challenge = Challenge(scheme, {})
    _take(rest, challenge.parameters)
    return [challenge]


def _take(element: str, parameters: dict[str, str]) -> None:
    match = _PARAMETER.fullmatch(element)
    if match:
        name, quoted, plain = match.groups()
        value = plain if quoted is None else _ESCAPED.sub(r"\1", quoted)
        parameters.setdefault(name.lower(), value)
