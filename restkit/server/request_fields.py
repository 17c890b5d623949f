"""What the head of a request says, read out of a WSGI environ: pure functions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from restkit.headers import Headers
from restkit.server.exceptions import InvalidUsage
from restkit.server.parameters import Parameters

if TYPE_CHECKING:
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
    return Headers.of_trusted(fields)


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
