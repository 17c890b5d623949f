"""What a proxy passes on of a request, and what it says of itself: fields, paths, addresses. Pure.

Fields that are about one connection go no further (RFC 9110 7.6.1), and each message says who
passed it on (7.6.3).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import quote

from restkit.headers import OF_THE_CONNECTION
from restkit.host import host_and_port, split_host_port
from restkit.server.exceptions import InvalidUsage
from restkit.server.request_fields import headers_of, in_ascii
from restkit.server.target import encoded_path

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

    from restkit.headers import Headers
    from restkit.url import URL

_NAME = "restkit"
# RFC 2616 13.5.1 had two more: WSGI leaves all of them to the server.
_OF_ONE_CONNECTION = OF_THE_CONNECTION | {"proxy-authenticate", "proxy-authorization"}
# Framed anew, or said by the proxy itself: who trusts these must not be told them by a client.
_OF_OUR_OWN = frozenset("content-length expect forwarded host via".split())
_FORWARDED = "X-Forwarded-"
_OF_CLIENTS = ("User-Agent", "Accept-Encoding")
_IN_A_PATH = "/!$&'()*+,;=:@~"
# Some servers read \ as /, and a segment only as far as its first ; or NUL.
_DOTS = re.compile(r"(?:^|[/\\])\.{1,2}(?:[;\0][^/\\]*)?(?:[/\\]|$)")


def fields_to_send(environ: WSGIEnvironment) -> list[tuple[str, str | None]]:
    """The fields of a request as its target is to see them; None keeps a client's own away."""
    headers = headers_of(environ)
    dropped = _OF_ONE_CONNECTION | _OF_OUR_OWN | _named_in(headers)
    fields: list[tuple[str, str | None]] = [
        (name, value)
        for name, value in headers.pairs()
        if name.lower() not in dropped and not name.startswith(_FORWARDED)
    ]
    fields += [(name, None) for name in _OF_CLIENTS if name not in dict(fields)]
    clients = _joined(headers.get("x-forwarded-for"), environ.get("REMOTE_ADDR"))
    version = environ.get("SERVER_PROTOCOL", "HTTP/1.1").partition("/")[2]
    return [
        *fields,
        ("X-Forwarded-For", clients or None),
        ("X-Forwarded-Proto", environ["wsgi.url_scheme"]),
        ("X-Forwarded-Host", headers.get("host")),
        ("Via", _joined(headers.get("via"), f"{version} {_NAME}")),
    ]


def fields_to_answer(headers: Headers, version: tuple[int, int]) -> list[tuple[str, str]]:
    """The fields of the target's answer, in order, as the client is to see them."""
    dropped = _OF_ONE_CONNECTION | _named_in(headers) | {"via"}
    kept = []
    for name, value in headers.pairs():
        if name.lower() in dropped:
            continue
        if name.lower() == "content-length":
            # It may have been said twice, and was found to agree.
            dropped |= {"content-length"}
            value = value.partition(",")[0].rstrip()
        kept.append((name, value))
    return [*kept, ("Via", _joined(headers.get("via"), "{}.{} {}".format(*version, _NAME)))]


def path_to_ask(environ: WSGIEnvironment) -> str:
    """Path and query as they stand in a URL, below where the proxy stands; raises InvalidUsage."""
    path = environ.get("PATH_INFO", "")
    if path and not path.startswith("/"):
        raise InvalidUsage("the target of the request is no path")
    if _DOTS.search(path):
        raise InvalidUsage("the path has a segment of dots in it, which would lead elsewhere")
    asked = encoded_path(environ) if path else ""
    query = environ.get("QUERY_STRING")
    return f"{asked}?{in_ascii(query)}" if query else asked


def own_address(environ: WSGIEnvironment) -> str:
    """Where the proxy itself stands, for who asks, without a slash at its end; or InvalidUsage."""
    host = environ.get("HTTP_HOST") or host_and_port(
        environ["SERVER_NAME"], int(environ["SERVER_PORT"])
    )
    try:
        split_host_port(host)
    except ValueError as exc:
        raise InvalidUsage(f"Host: {exc}") from exc
    script = quote(environ.get("SCRIPT_NAME", "").encode("latin-1"), safe=_IN_A_PATH)
    return f"{environ['wsgi.url_scheme']}://{host}{script.rstrip('/')}"


def rest_behind(base: URL, url: URL) -> str | None:
    """What of a URL's path and query comes behind that of a base; None where it leads elsewhere."""
    path = base.target.partition("?")[0].removesuffix("/")
    if url.origin != base.origin or not url.target.startswith(path):
        return None
    rest = url.target[len(path) :]
    return rest if rest[:1] in ("", "/", "?") else None


def _named_in(headers: Headers) -> set[str]:
    return {name.strip(" \t").lower() for name in headers.get("connection", "").split(",")}


def _joined(before: str | None, value: str | None) -> str:
    return ", ".join(filter(None, [before, value]))
