"""Read a WSGI environ.

What the head of a request says, read out of a WSGI environ: pure functions.

Which path a request asks for: decoded, and as it was sent where the server tells that.

PEP 3333 gives a path whose ``%2F`` can no longer be told from ``/``. Servers that also give the
target as it was sent (``RAW_URI``, ``REQUEST_URI``) are believed where the two agree: something
between may have taken a part off, or rewritten it.

Values by name, several of each: the arguments of a query, the fields and files of a form.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple, TypeVar, overload
from urllib.parse import quote, unquote_to_bytes

from restkit.headers import Headers
from restkit.server.exceptions import InvalidUsage
from restkit.server.routing import SLASH_INSIDE

if TYPE_CHECKING:
    from collections.abc import Iterable

    from _typeshed.wsgi import WSGIEnvironment


_MOST_ARGUMENTS = 10_000
_PRINTABLE = "".join(map(chr, range(0x21, 0x7F)))
_WITHOUT_PREFIX = {"CONTENT_TYPE": "Content-Type", "CONTENT_LENGTH": "Content-Length"}


def headers_of(environ: WSGIEnvironment) -> Headers:
    """The header fields; WSGI has joined those of one name, and written the names its own way."""
    fields = []
    for key, value in environ.items():
        if key.startswith("HTTP_"):
            fields.append((key[5:].replace("_", "-").title(), value))
        elif key in _WITHOUT_PREFIX and value:
            fields.append((_WITHOUT_PREFIX[key], value))
    return Headers.from_trusted(fields)


def host_of(environ: WSGIEnvironment) -> str:
    """Host and port as the client named them, else as the server knows itself."""
    said: str | None = environ.get("HTTP_HOST")
    if said:
        return said
    name, port = environ["SERVER_NAME"], environ["SERVER_PORT"]
    usual = "443" if environ["wsgi.url_scheme"] == "https" else "80"
    return str(name) if port == usual else f"{name}:{port}"


def arguments_of(query: str) -> Parameters[str]:
    """The arguments of a query, those without a value as ``''``."""
    from urllib.parse import parse_qsl

    try:
        pairs = parse_qsl(
            in_ascii(query),
            keep_blank_values=True,
            errors="replace",
            max_num_fields=_MOST_ARGUMENTS,
        )
    except ValueError as exc:
        raise InvalidUsage(f"the query has more than {_MOST_ARGUMENTS} arguments") from exc
    return Parameters.of_pairs(pairs)


def in_ascii(text: str) -> str:
    """What WSGI gives of a target: octets above ASCII, which some clients send, percent-encoded."""
    from urllib.parse import quote

    return text if text.isascii() else quote(text.encode("latin-1"), safe=_PRINTABLE)


def cookies_of(header: str) -> dict[str, str]:
    """The cookies of a ``Cookie`` field; of those with one name the first (RFC 6265 5.4)."""
    cookies: dict[str, str] = {}
    for pair in header.split(";"):
        name, equals, value = pair.partition("=")
        if equals and (name := name.strip()):
            cookies.setdefault(name, value.strip().strip('"'))
    return cookies


_ORIGIN = re.compile("^[A-Za-z][A-Za-z0-9+.-]*://[^/]*")
_UNRESERVED = "/:@!$&'()*+,;=~"


class Target(NamedTuple):
    """The path of the application: as text, as routes match it, and percent-encoded."""

    path: str
    matched: str
    encoded: str


def encoded_path(environ: WSGIEnvironment) -> str:
    """The path below the application, percent-encoded; never fails."""
    said = environ.get("PATH_INFO", "").encode("latin-1", "replace") or b"/"
    raw = environ.get("RAW_URI") or environ.get("REQUEST_URI") or ""
    sent = _without_script(raw.partition("?")[0], environ.get("SCRIPT_NAME", ""))
    if sent is not None and unquote_to_bytes(sent.encode("latin-1", "replace")) == said:
        return quote(sent, _UNRESERVED + "%", encoding="latin-1", errors="replace")
    return quote(said, _UNRESERVED)


def target_of(environ: WSGIEnvironment) -> Target:
    """What is asked for; raises InvalidUsage for a path that is no UTF-8."""
    encoded = encoded_path(environ)
    if "%" not in encoded:
        return Target(encoded, encoded, encoded)
    try:
        segments = [unquote_to_bytes(each).decode() for each in encoded.split("/")]
    except UnicodeDecodeError as exc:
        raise InvalidUsage(f"the path {encoded} is not UTF-8") from exc
    matched = "/".join(segment.replace("/", SLASH_INSIDE) for segment in segments)
    return Target("/".join(segments), matched, encoded)


def _without_script(sent: str, script: str) -> str | None:
    """The path as it was sent, behind what the application is mounted on."""
    sent = _ORIGIN.sub("", sent)
    if not script or not sent.startswith("/"):
        return sent
    mounted = len(script.split("/"))
    segments = sent.split("/")
    head, rest = segments[:mounted], segments[mounted:]
    decoded = unquote_to_bytes("/".join(head).encode("latin-1", "replace"))
    return "/" + "/".join(rest) if decoded == script.encode("latin-1", "replace") else None


_T = TypeVar("_T")
_D = TypeVar("_D")


class Parameters(dict[str, list[_T]]):
    """A dict of lists: ``p['name']`` is every value, ``p.get('name')`` the first."""

    @classmethod
    def of_pairs(cls, pairs: Iterable[tuple[str, _T]]) -> Parameters[_T]:
        """The values of each name, in their order."""
        parameters: Parameters[_T] = cls()
        for name, value in pairs:
            parameters.setdefault(name, []).append(value)
        return parameters

    @overload  # type: ignore[override]  # the first value, as everybody who writes get() expects
    def get(self, name: str) -> _T | None: ...
    @overload
    def get(self, name: str, default: _D) -> _T | _D: ...
    def get(self, name: str, default: object = None) -> object:
        """The first value of the name, else the default."""
        values = self.getlist(name)
        return values[0] if values else default

    def getlist(self, name: str) -> list[_T]:
        """Every value of the name; an empty list where there is none."""
        return super().get(name, [])
