"""Read Link, Set-Cookie and charset from header values.

The Link header (RFC 8288), read forgivingly: what is malformed is left out, never an error.

Parameters are read as appendix B.3 of the RFC has it: a name's first occurrence counts, and a
value without quotes runs to the next separator, whatever its characters. ``name*`` (RFC 8187)
wins over ``name``, decoded, and takes its place.

What the text of a header says beyond its letters.

The cookies that one answer sets, as its Set-Cookie fields name them.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from restkit.errors import InvalidUrl

if TYPE_CHECKING:
    from collections.abc import Iterable

    from restkit.url.url import URL


_SEPARATORS = re.compile(r"[\s,]*")
_PARAMETER = re.compile(
    r"\s*;\s*([^\s=;,\"<>]*)\s*(?:=\s*(?:\"((?:[^\"\\]|\\.)*)(?:\"|\\?$)|([^;,\"]*)))?",
    re.DOTALL,
)
# To the comma before the next link, over quoted strings as one.
_REST = re.compile(r"(?:[^,\"]|\"(?:[^\"\\]|\\.)*(?:\"|\\?$))*", re.DOTALL)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_EXTENDED = re.compile(r"(utf-8|iso-8859-1)'[^']*'([!#$&+\-.^_`|~0-9A-Za-z%]*)", re.IGNORECASE)
_OTHER_SCHEME = re.compile("(?!https?:)[A-Za-z][A-Za-z0-9+.-]*:", re.IGNORECASE)


def parse_links(values: Sequence[str], base: URL) -> dict[str, dict[str, str]]:
    """The links of Link fields by relation, each its parameters and its ``url``, made absolute.

    Relations are in lower case, since they are compared so (RFC 8288 2.1); a link of several is
    under each, one of none under its URL. Where a relation comes twice, its first link stays.
    """
    links: dict[str, dict[str, str]] = {}
    for value in values:
        for target, parameters in _each(value):
            url = _absolute(target, base)
            if url is not None:
                link = {**parameters, "url": url}
                for relation in parameters.get("rel", "").lower().split() or [url]:
                    links.setdefault(relation, link.copy())
    return links


def _each(value: str) -> Iterator[tuple[str, dict[str, str]]]:
    # Every step goes on behind what it has looked at: a field of nothing but commas, or of targets
    # without an end, costs no more than its length.
    at = _end_of(_SEPARATORS, value, 0)
    while at < len(value):
        if value[at] == "<":
            end = value.find(">", at)
            if end < 0:
                return
            target = value[at + 1 : end].strip()
            parameters, at = _parameters(value, end + 1)
            yield target, parameters
        at = _end_of(_SEPARATORS, value, _end_of(_REST, value, at))


def _end_of(part: re.Pattern[str], value: str, at: int) -> int:
    """Where a part of any length, also of none, ends that begins at ``at``."""
    match = part.match(value, at)
    assert match
    return match.end()


def _parameters(value: str, at: int) -> tuple[dict[str, str], int]:
    plain: dict[str, str] = {}
    extended: dict[str, str] = {}
    while match := _PARAMETER.match(value, at):
        at = match.end()
        name, quoted, token = match[1].lower(), match[2], match[3]
        text = (token or "").strip() if quoted is None else _ESCAPED.sub(r"\1", quoted)
        if not name.endswith("*"):
            plain.setdefault(name, text)
        elif (decoded := _decoded(text)) is not None:
            extended.setdefault(name[:-1], decoded)
    parameters = {**plain, **extended}
    parameters.pop("", None)
    return parameters, at


def _decoded(text: str) -> str | None:
    """An extended value (RFC 8187 3.2) as text; None when it is none."""
    match = _EXTENDED.fullmatch(text)
    if not match:
        return None
    from urllib.parse import unquote

    try:
        return unquote(match[2], encoding=match[1], errors="strict")
    except UnicodeDecodeError:
        return None


def _absolute(target: str, base: URL) -> str | None:
    try:
        # Only a redirect hands the fragment on.
        return str(base.without_fragment().join(target))
    except InvalidUrl:
        # An author may well be a mailto:, which is absolute as it is.
        return target if _OTHER_SCHEME.match(target) else None


_CHARSET = re.compile(r';[ \t]*charset=(?:"([^"]*)"|([^\s;"]+))', re.IGNORECASE)
_NO_CHARSETS = frozenset(
    ("idna", "punycode", "raw-unicode-escape", "undefined", "unicode-escape", "utf-7")
)


def charset_of(content_type: str) -> str | None:
    """The charset parameter of a Content-Type, without its quotes; None where there is none."""
    match = _CHARSET.search(content_type)
    return (match[1] or match[2] or None) if match else None


def is_charset(name: str) -> bool:
    """Whether a name that a peer gives is one of a charset, and not of Python's other codecs.

    Some of those take time or memory out of all proportion to what they are given. UTF-7 says the
    same text in many ways, and browsers have dropped it for that.
    """
    try:
        return codecs.lookup(name).name not in _NO_CHARSETS
    except (LookupError, ValueError):
        return False


def as_utf_8(value: str) -> str:
    """A URL in a header, which servers write in UTF-8, though header text is read as latin-1."""
    if value.isascii():
        return value
    try:
        return value.encode("latin-1").decode("utf-8")
    except UnicodeDecodeError:
        return value


def cookies_set_by(fields: Iterable[str]) -> dict[str, str]:
    """Name and value out of each Set-Cookie field, the last of a name; no jar has judged them.

    What has no name is left out (RFC 6265 5.2). Quotes around a value are part of it there, and
    stay.
    """
    cookies: dict[str, str] = {}
    for field in fields:
        name, equals, value = field.partition(";")[0].partition("=")
        if equals and name.strip():
            cookies[name.strip()] = value.strip()
    return cookies
