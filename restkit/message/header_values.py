"""Read Link, Content-Disposition, Set-Cookie and the charset from header values.

The Link header (RFC 8288) is read leniently: malformed parts are left out, and are never an error.
Parameters are read as in appendix B.3 of the RFC: the first of a name counts, and a value without
quotes runs to the next separator. ``name*`` (RFC 8187) replaces ``name``, decoded.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable, Iterator, Sequence

from restkit.errors import InvalidUrl
from restkit.headers import Headers
from restkit.url.url import URL, Link

_SEPARATORS = re.compile(r"[\s,]*")
_PARAMETER = re.compile(
    r"\s*;\s*([^\s=;,\"<>]*)\s*(?:=\s*(?:\"((?:[^\"\\]|\\.)*)(?:\"|\\?$)|([^;,\"]*)))?",
    re.DOTALL,
)
# Up to the comma before the next link; a quoted string may have commas inside.
_REST = re.compile(r"(?:[^,\"]|\"(?:[^\"\\]|\\.)*(?:\"|\\?$))*", re.DOTALL)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_EXTENDED = re.compile(r"(utf-8|iso-8859-1)'[^']*'([!#$&+\-.^_`|~0-9A-Za-z%]*)", re.IGNORECASE)
_OTHER_SCHEME = re.compile("(?!https?:)[A-Za-z][A-Za-z0-9+.-]*:", re.IGNORECASE)


def parse_links(values: Sequence[str], base: URL) -> dict[str, Link]:
    """Return the links of Link fields by relation: their parameters and their absolute ``url``.

    Relations are in lower case (RFC 8288 2.1). A link with several relations is under each of
    them, a link without one under its URL. The first link of a relation counts.

    >>> from restkit import parse_url
    >>> parse_links(['</page/2>; rel="next"'], parse_url("http://host/page/1"))
    {'next': {'rel': 'next', 'url': 'http://host/page/2'}}
    """
    links: dict[str, Link] = {}
    for value in values:
        for target, parameters in _parse_targets(value):
            url = _make_absolute(target, base)
            if url is not None:
                link = {**parameters, "url": url}
                for relation in parameters.get("rel", "").lower().split() or [url]:
                    links.setdefault(relation, Link(link))
    return links


def _parse_targets(value: str) -> Iterator[tuple[str, dict[str, str]]]:
    # Every step continues after the text that it has read, so that a field of only commas, or of
    # targets without an end, takes linear time.
    at = _match_end(_SEPARATORS, value, 0)
    while at < len(value):
        if value[at] == "<":
            end = value.find(">", at)
            if end < 0:
                return
            target = value[at + 1 : end].strip()
            parameters, at = _parse_parameters(value, end + 1)
            yield target, parameters
        at = _match_end(_SEPARATORS, value, _match_end(_REST, value, at))


def _match_end(pattern: re.Pattern[str], value: str, at: int) -> int:
    """Return the end of the match at ``at``, which may be empty."""
    match = pattern.match(value, at)
    assert match
    return match.end()


def _parse_parameters(value: str, at: int) -> tuple[dict[str, str], int]:
    plain: dict[str, str] = {}
    extended: dict[str, str] = {}
    while match := _PARAMETER.match(value, at):
        at = match.end()
        name, quoted, token = match[1].lower(), match[2], match[3]
        text = (token or "").strip() if quoted is None else _ESCAPED.sub(r"\1", quoted)
        if not name.endswith("*"):
            plain.setdefault(name, text)
        elif (decoded := _decode_extended(text)) is not None:
            extended.setdefault(name[:-1], decoded)
    parameters = {**plain, **extended}
    parameters.pop("", None)
    return parameters, at


def _decode_extended(text: str) -> str | None:
    """Decode an extended value (RFC 8187 3.2); None for anything else."""
    match = _EXTENDED.fullmatch(text)
    if not match:
        return None
    from urllib.parse import unquote  # slow to import, and extended values are rare

    try:
        return unquote(match[2], encoding=match[1], errors="strict")
    except UnicodeDecodeError:
        return None


def _make_absolute(target: str, base: URL) -> str | None:
    try:
        # A link does not inherit the fragment; only a redirect does.
        return str(base.without_fragment().join(target))
    except InvalidUrl:
        # Other schemes are absolute already, such as the mailto: of an author.
        return target if _OTHER_SCHEME.match(target) else None


def parse_disposition(value: str) -> dict[str, str]:
    """Return the parameters of a Content-Disposition (RFC 6266), leniently.

    >>> parse_disposition("attachment; filename=a.txt; filename*=UTF-8''b%C5%B1n.txt")["filename"]
    'bűn.txt'
    """
    # Some servers leave the type out; its name without a value does no harm.
    return _parse_parameters(f";{value}", 0)[0]


_CHARSET = re.compile(r';[ \t]*charset=(?:"([^"]*)"|([^\s;"]+))', re.IGNORECASE)
_NO_CHARSETS = frozenset(
    ("idna", "punycode", "raw-unicode-escape", "undefined", "unicode-escape", "utf-7")
)


def charset_of(content_type: str) -> str | None:
    """Return the charset parameter of a Content-Type without quotes; None without one.

    >>> charset_of("text/plain; charset=latin-1")
    'latin-1'
    """
    match = _CHARSET.search(content_type)
    return (match[1] or match[2] or None) if match else None


def is_charset(name: str) -> bool:
    """Whether a name from a server is a charset; other codecs of Python are not.

    Some other codecs need far more time or memory than their input. Browsers have dropped UTF-7
    because it encodes the same text in several ways.

    >>> is_charset("latin-1"), is_charset("bz2"), is_charset("utf-7")
    (True, False, False)
    """
    return is_text_encoding(name) and codecs.lookup(name).name not in _NO_CHARSETS


def is_text_encoding(name: str) -> bool:
    """Whether Python has a codec of this name between bytes and text, unlike bz2 and rot13."""
    try:
        # Raises LookupError for a codec that is not one of text. An empty bytes object would be
        # decoded without a lookup.
        "".encode(name)
    except (LookupError, ValueError):
        return False
    return True


def as_utf_8(value: str) -> str:
    """Decode a URL in a header, which was read as latin-1, as the UTF-8 that servers send."""
    if value.isascii():
        return value
    try:
        return value.encode("latin-1").decode("utf-8")
    except UnicodeDecodeError:
        return value


def locations_of(headers: Headers) -> list[str]:
    """Return the different values of Location, without empty ones."""
    return [*dict.fromkeys(filter(None, headers.get_all("location")))]


def read_set_cookies(fields: Iterable[str]) -> dict[str, str]:
    """Return the cookies in Set-Cookie fields by name, without the checks of a jar.

    The last field of a name counts. A cookie without a name is left out. Quotes are part of a
    value (RFC 6265 5.2).
    """
    cookies: dict[str, str] = {}
    for field in fields:
        name, equals, value = field.partition(";")[0].partition("=")
        if equals and name.strip():
            cookies[name.strip()] = value.strip()
    return cookies
