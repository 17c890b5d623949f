"""Read the head of a request from a WSGI environ. Pure functions.

PEP 3333 decodes the path, so that a ``%2F`` in it cannot be distinguished from ``/``. Some servers
also pass on the raw target (``RAW_URI``, ``REQUEST_URI``). That is used only when it agrees with
the decoded path: middleware may have removed a part of the path, or rewritten it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple, TypeVar, overload
from urllib.parse import parse_qsl, quote, unquote_to_bytes

from restkit.annotations import WSGIEnvironment
from restkit.headers import Headers
from restkit.http1.fields import parse_length
from restkit.server.exceptions import InvalidUsage

_T = TypeVar("_T")
_D = TypeVar("_D")

ENCODED_SLASH = "\ud800"
"""Stands for a ``%2F`` inside a path segment: a lone surrogate, which no UTF-8 decodes to."""

_MAX_ARGUMENTS = 10_000
_PRINTABLE = "".join(map(chr, range(0x21, 0x7F)))
_UNRESERVED = "/:@!$&'()*+,;=~"
_UNPREFIXED = {"CONTENT_TYPE": "Content-Type", "CONTENT_LENGTH": "Content-Length"}
_DOT_SEGMENT = re.compile(r"(?:^|[/\\])\.{1,2}(?:[;\0][^/\\]*)?(?:[/\\]|$)")
_ORIGIN = re.compile("^[A-Za-z][A-Za-z0-9+.-]*://[^/]*")


class Parameters(dict[str, list[_T]]):
    """A dict of lists: ``p['name']`` is every value of a name, ``p.get('name')`` the first.

    >>> args = parse_query('x=1&x=2')
    >>> args['x'], args.get('x'), args.getlist('y')
    (['1', '2'], '1', [])
    """

    @classmethod
    def from_pairs(cls, pairs: Iterable[tuple[str, _T]]) -> Parameters[_T]:
        """Return the values of each name, in their order."""
        parameters: Parameters[_T] = cls()
        for name, value in pairs:
            parameters.setdefault(name, []).append(value)
        return parameters

    @overload  # type: ignore[override]  # returns the first value, as callers of get() expect
    def get(self, name: str) -> _T | None: ...
    @overload
    def get(self, name: str, default: _D) -> _T | _D: ...
    def get(  # pyright: ignore[reportIncompatibleMethodOverride]  # as above
        self, name: str, default: object = None
    ) -> object:
        """Return the first value of the name, or the default."""
        values = self.getlist(name)
        return values[0] if values else default

    def getlist(self, name: str) -> list[_T]:
        """Return every value of the name; an empty list if there is none."""
        return super().get(name, [])


def read_headers(environ: WSGIEnvironment) -> Headers:
    """Return the header fields. WSGI joins fields of one name and changes the case of names."""
    fields = []
    for key, value in environ.items():
        if key.startswith("HTTP_"):
            fields.append((key[5:].replace("_", "-").title(), value))
        elif key in _UNPREFIXED and value:
            fields.append((_UNPREFIXED[key], value))
    return Headers.from_trusted(fields)


def read_host(environ: WSGIEnvironment) -> str:
    """Return host and port from the Host field, or else those of the server."""
    host: str | None = environ.get("HTTP_HOST")
    if host:
        return host
    name, port = environ["SERVER_NAME"], environ["SERVER_PORT"]
    default_port = "443" if environ["wsgi.url_scheme"] == "https" else "80"
    return str(name) if port == default_port else f"{name}:{port}"


def parse_query(query: str) -> Parameters[str]:
    """Return the arguments of a query; the value of an argument without one is ``''``.

    Raises InvalidUsage for more than 10,000 arguments.
    """
    try:
        pairs = parse_qsl(
            quote_non_ascii(query),
            keep_blank_values=True,
            errors="replace",
            max_num_fields=_MAX_ARGUMENTS,
        )
    except ValueError as exc:
        raise InvalidUsage(f"the query has more than {_MAX_ARGUMENTS} arguments") from exc
    return Parameters.from_pairs(pairs)


def quote_non_ascii(text: str) -> str:
    """Percent-encode octets above ASCII in WSGI text: some clients send them in a target."""
    return text if text.isascii() else quote(text.encode("latin-1"), safe=_PRINTABLE)


def has_dot_segment(path: str) -> bool:
    r"""Return whether a decoded path has a segment that may lead out of a folder.

    Some servers read a backslash as a slash, and a segment only up to its first ``;`` or NUL.

    >>> [has_dot_segment(path) for path in ('a/..', '..\\a', 'a/..;v=1/b', 'a..b/...')]
    [True, True, True, False]
    """
    return _DOT_SEGMENT.search(path) is not None


def parse_cookies(header: str) -> dict[str, str]:
    """Return the cookies of a ``Cookie`` field; the first of each name counts (RFC 6265 5.4)."""
    cookies: dict[str, str] = {}
    for pair in header.split(";"):
        name, equals, value = pair.partition("=")
        if equals and (name := name.strip()):
            cookies.setdefault(name, value.strip().strip('"'))
    return cookies


def has_body(environ: WSGIEnvironment) -> bool:
    """Return whether the request has a body, possibly an empty one."""
    return bool(environ.get("CONTENT_LENGTH") or environ.get("HTTP_TRANSFER_ENCODING"))


def read_content_length(environ: WSGIEnvironment) -> int | None:
    """Return the declared length of the body; None if the request has no ``CONTENT_LENGTH``.

    Raises InvalidUsage if it is not a number.
    """
    value = environ.get("CONTENT_LENGTH")
    if not value:
        return None
    length = parse_length(value)
    if length is None:
        raise InvalidUsage(f"Content-Length must be a number of bytes; got {value}")
    return length


class Target(NamedTuple):
    """The path of a request: decoded, as patterns match it, and percent-encoded.

    ``match_path`` is decoded too, with ENCODED_SLASH for a ``%2F`` inside a segment.
    """

    path: str
    match_path: str
    encoded: str


def read_target(environ: WSGIEnvironment) -> Target:
    """Return the path below the application; raise InvalidUsage if it is not UTF-8."""
    encoded = read_encoded_path(environ)
    if "%" not in encoded:
        return Target(encoded, encoded, encoded)
    try:
        segments = [unquote_to_bytes(each).decode() for each in encoded.split("/")]
    except UnicodeDecodeError as exc:
        raise InvalidUsage(f"the path {encoded} is not UTF-8") from exc
    match_path = "/".join(segment.replace("/", ENCODED_SLASH) for segment in segments)
    return Target("/".join(segments), match_path, encoded)


def read_encoded_path(environ: WSGIEnvironment) -> str:
    """Return the path below the application, percent-encoded. Never fails."""
    decoded = environ.get("PATH_INFO", "").encode("latin-1", "replace") or b"/"
    raw = environ.get("RAW_URI") or environ.get("REQUEST_URI") or ""
    raw_path = _remove_mount(raw.partition("?")[0], environ.get("SCRIPT_NAME", ""))
    if raw_path is not None and unquote_to_bytes(raw_path.encode("latin-1", "replace")) == decoded:
        return quote(raw_path, _UNRESERVED + "%", encoding="latin-1", errors="replace")
    return quote(decoded, _UNRESERVED)


def _remove_mount(raw_path: str, script: str) -> str | None:
    """Return the raw path without origin and mount point; None if it is not below that point."""
    raw_path = _ORIGIN.sub("", raw_path)
    if not script or not raw_path.startswith("/"):
        return raw_path
    mounted = len(script.split("/"))
    segments = raw_path.split("/")
    head, rest = segments[:mounted], segments[mounted:]
    decoded = unquote_to_bytes("/".join(head).encode("latin-1", "replace"))
    return "/" + "/".join(rest) if decoded == script.encode("latin-1", "replace") else None
