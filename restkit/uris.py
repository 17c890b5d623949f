"""A path put behind a base: what ``Resource`` and ``Client(base_url=)`` ask for.

A base is a place that paths are put behind, whatever slashes either has: unlike a link on a page
(RFC 3986 5.2), a path with a slash in front does not leave it, nor can ``..`` lead out of it.
"""

from __future__ import annotations

import re

from restkit.errors import InvalidUrl
from restkit.url import URL, Params, parse_url

_ABSOLUTE = re.compile("[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_PATH = re.compile(r"([^?#]*)(?:\?([^#]*))?(#.*)?", re.DOTALL)
# %2E is a dot (RFC 3986 6.2.2.2): who normalizes on the way takes both out of the path.
_DOTS = re.compile(r"(?:^|/)((?:\.|%2[Ee]){1,2})(?:/|$)")


def join_uri(base: str | URL, *path: str | None, params: Params | None = None) -> URL:
    """The URL of ``path``, in one part or several, behind ``base``; raises InvalidUrl.

    Parts are joined by one slash, which they may have or not; a slash at the end is kept as the
    last part has it, or as the base has it where there is no part: None and ``''`` are none. A
    part is text of a URL: a ``/`` in it parts segments, ``?`` begins a query, what is encoded
    stays, and what cannot stand in a URL is percent-encoded. What is not (a name, an id) goes
    through ``urllib.parse.quote(name, safe='')`` first. The queries of base and parts and
    ``params`` follow each other. An absolute URL stands for itself; of another scheme than http
    and https it is InvalidUrl.

    >>> str(join_uri('http://host/db/?key=1', '/a b/', 'c', params={'q': ['x', None]}))
    'http://host/db/a%20b/c?key=1&q=x&q='
    """
    url = parse_url(base)
    for part in path:
        if not (part is None or isinstance(part, str)):
            raise InvalidUrl(f"a path is a str, and not of type {type(part).__name__}")
        if part:
            url = parse_url(part) if _ABSOLUTE.match(part) else _behind(url, part)
    return url if params is None else url.with_params(params)


def _behind(base: URL, part: str) -> URL:
    match = _PATH.fullmatch(part)
    assert match  # every part of it may be missing
    path, query, fragment = match.groups()
    _refuse_dots(path)
    target, _, before = base.target.partition("?")
    if path:
        target = f"{target.removesuffix('/')}/{path.removeprefix('/')}"
    if queries := "&".join(filter(None, [before, query])):
        target = f"{target}?{queries}"
    # parse_url drops spaces at the end, where they may be the end of a name.
    target = target.replace(" ", "%20")
    origin = str(URL(*base.origin)).removesuffix("/")
    url = parse_url(f"{origin}{target}{fragment or ''}")
    return URL(*base.origin, url.target, url.fragment, base.username, base.password)


def _refuse_dots(path: str) -> None:
    """A segment of dots is taken out of a path, with what is before it, wherever it is read."""
    found = _DOTS.search(path)
    if found:
        raise InvalidUrl(
            f"the path {path!r} has the segment {found[1]!r} in it, which would lead elsewhere; no "
            "name of a resource is made of dots alone"
        )
