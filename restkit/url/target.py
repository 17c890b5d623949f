"""Normalize the path, query and fragment of a URL.

The rules are those of urllib3's ``parse_url`` (2.8): dot segments are removed, escapes get capital
digits, and each character that a URL must not contain is percent-encoded as UTF-8. restkit does
not call ``parse_url`` for two reasons: ``import urllib3`` takes as long as ``import restkit``, and
another package, such as urllib3-future, may be installed under this name.
"""

from __future__ import annotations

import re

from restkit.url.query import encode_stray_percents

_PARTS = re.compile(r"([^?#]*)(?:\?([^#]*))?(?:#(.*))?", re.DOTALL)
# pchar of RFC 3986 3.3 and the slash; a query and a fragment may contain a question mark too.
_PATH_CHARACTERS = "!$&'()*+,;=:@/-._~"
_QUERY_CHARACTERS = _PATH_CHARACTERS + "?"
_UNCHANGED = re.compile(r"[A-Za-z0-9!$&'()*+,;=:@/\-._~?]*")
_LOWER_ESCAPE = re.compile("%(?:[0-9A-F][a-f]|[a-f][0-9A-Fa-f])")


def normalize_target(text: str) -> tuple[str, str | None]:
    """Return the request target and the fragment from the text after the host.

    The target is never empty; the fragment is None if there is no ``#``.

    >>> normalize_target('/a/./b c?q=%c3')
    ('/a/b%20c?q=%C3', None)
    """
    match = _PARTS.fullmatch(text)
    assert match  # every part is optional
    path, query, fragment = match.groups()
    target = _encode(_remove_dot_segments(path), _PATH_CHARACTERS) or "/"
    if query is not None:
        target = f"{target}?{_encode(query, _QUERY_CHARACTERS)}"
    return target, None if fragment is None else _encode(fragment, _QUERY_CHARACTERS)


def _remove_dot_segments(path: str) -> str:
    """Return a path, empty or with a slash at its beginning, without ``.`` and ``..``.

    RFC 3986 5.2.4.
    """
    if "/." not in path:
        return path
    kept: list[str] = []
    segments = path.split("/")[1:]
    for segment in segments:
        if segment == "..":
            del kept[-1:]
        elif segment != ".":
            kept.append(segment)
    if segments[-1] in (".", ".."):
        kept.append("")
    return "/" + "/".join(kept)


def _encode(text: str, allowed: str) -> str:
    if _UNCHANGED.fullmatch(text):
        return text
    from urllib.parse import quote

    encoded = quote(encode_stray_percents(text), safe=f"{allowed}%")
    return _LOWER_ESCAPE.sub(lambda escape: escape[0].upper(), encoded)
