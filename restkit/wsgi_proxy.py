"""HostProxy: a WSGI application that forwards requests.

A WSGI app that passes requests on to one place: ``HostProxy``, where server and client meet.

What a proxy passes on of a request, and what it says of itself: fields, paths, addresses. Pure.

Fields that are about one connection go no further (RFC 9110 7.6.1), and each message says who
passed it on (7.6.3).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import quote

from restkit.client.client import Client
from restkit.errors import (
    ClientDisconnected,
    Error,
    InvalidHeader,
    InvalidUrl,
    ParserError,
    RequestError,
    RequestTimeout,
    ResponseError,
)
from restkit.headers import HOP_BY_HOP_HEADERS, Headers
from restkit.message.header_values import as_utf_8
from restkit.payload.base import Payload
from restkit.redaction import redact_url
from restkit.server.environ import (
    has_body,
    quote_non_ascii,
    read_content_length,
    read_encoded_path,
    read_headers,
)
from restkit.server.exceptions import Forbidden, HTTPError, InvalidUsage, format_status
from restkit.server.request_stream import open_body
from restkit.url.host import join_host_port, split_host_port
from restkit.url.url import URL, join_uri, parse_url

if TYPE_CHECKING:
    import io
    from collections.abc import Iterable, Iterator

    from _typeshed.wsgi import StartResponse, WSGIEnvironment

    from restkit.io.buffers import Buffer
    from restkit.message.response import HttpResponse


ALLOWED_METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE")

_BLOCK = 256 * 1024
_CONNECTIONS = 64
_ABSOLUTE = re.compile("[a-z][a-z0-9+.-]*:", re.IGNORECASE)


class HostProxy:
    """Passes requests on to what is behind ``target_uri``, streaming both ways; closed by ``with``.

    A WSGI app: path and query go behind the target's own, and no request leads anywhere else,
    whatever host it names. A method that is not among ``allowed_methods`` is answered 403, and so
    is a path that does not lie behind one of ``allowed_targets`` (paths behind the target, or
    URLs; None is all of it). ``rewrite_location``: where Location and Content-Location lead to
    the target, they are made to lead through the proxy. A target that cannot be reached is a 502,
    one that does not answer in time a 504; an answer that breaks off breaks off here too, and
    never looks whole.

    ``client`` sends the requests, by its own options, and is its owner's to close. It must keep
    no cookies: they would be one user's, sent along for the next. Without it the proxy has a
    client of its own, which asks the environment for nothing.

    >>> HostProxy('http://127.0.0.1:8000/api/')
    <HostProxy to http://127.0.0.1:8000/api/>
    """

    def __init__(
        self,
        target_uri: str | URL,
        *,
        client: Client | None = None,
        allowed_methods: Iterable[str] = ALLOWED_METHODS,
        allowed_targets: Iterable[str | URL] | None = None,
        rewrite_location: bool = True,
    ) -> None:
        if client is not None and client.cookies is not None:
            raise RequestError(
                "client= keeps cookies, those of all users in one jar: cookies=False"
            )
        self._target = parse_url(target_uri).without_fragment()
        self._methods = (
            (allowed_methods,) if isinstance(allowed_methods, str) else tuple(allowed_methods)
        )
        self._allowed = None if allowed_targets is None else self._behind_target(allowed_targets)
        self._rewrites = rewrite_location
        self._own = client is None
        self._client = client or Client(pool_size=_CONNECTIONS, cookies=False, trust_env=False)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        try:
            answer = self._ask(environ)
        except HTTPError as exc:
            return _refused(exc, environ["REQUEST_METHOD"], start_response)
        start_response(f"{answer.response.status} {answer.response.reason}", answer.fields)
        return answer

    def close(self) -> None:
        """Close its own client; one that was given stays open."""
        if self._own:
            self._client.close()

    def __enter__(self) -> HostProxy:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __repr__(self) -> str:
        closed = ", closed" if self._client.closed else ""
        return f"<HostProxy to {_shown(self._target)}{closed}>"

    def _behind_target(self, allowed: Iterable[str | URL]) -> list[URL]:
        if isinstance(allowed, str):
            allowed = [allowed]
        base = URL(*self._target.origin, self._target.target.partition("?")[0])
        urls = [each if isinstance(each, URL) else join_uri(base, each) for each in allowed]
        for url in urls:
            if rest_behind(base, url) is None:
                raise RequestError(f"allowed_targets= has {_shown(url)}, not behind {_shown(base)}")
        return urls

    def _ask(self, environ: WSGIEnvironment) -> _PassedOn:
        """The answer of the target, its body begun; raises HTTPError where there is none."""
        method = environ["REQUEST_METHOD"]
        if method not in self._methods:
            allowed = ", ".join(self._methods)
            raise Forbidden(f"{method} is not passed on, only {allowed}", {"Allow": allowed})
        here = own_address(environ)
        try:
            url = self._url_for(environ)
            response = self._client.request(
                url,
                method,
                _payload_of(environ),
                fields_to_send(environ),
                follow_redirect=False,
                decompress=False,
                # A client that waits to be told has the target asked.
                expect_continue="100-continue" in environ.get("HTTP_EXPECT", "").lower(),
            )
            fields = fields_to_answer(response.headers, response.version)
            return _PassedOn(response, [self._led_through(*field, url, here) for field in fields])
        except Error as exc:
            raise _as_answer(exc) from exc

    def _url_for(self, environ: WSGIEnvironment) -> URL:
        url = join_uri(self._target, path_to_ask(environ))
        if self._allowed is not None and not any(
            rest_behind(base, url) is not None for base in self._allowed
        ):
            raise Forbidden("this path is not passed on")
        return url

    def _led_through(self, name: str, value: str, url: URL, here: str) -> tuple[str, str]:
        """A field of the answer to ``url``; one that leads to the target leads ``here``."""
        if not self._rewrites or name.lower() not in ("location", "content-location"):
            return name, value
        try:
            there = url.join(as_utf_8(value))
        except InvalidUrl:
            return name, value
        rest = rest_behind(self._target, there)
        if rest is None:
            return name, value if _ABSOLUTE.match(value) else str(there)
        fragment = "" if there.fragment is None else f"#{there.fragment}"
        return name, f"{here}{rest}{fragment}"


class _PassedOn:
    """An answer on its way: its fields, and its body's pieces as they come.

    The first of them is there from the beginning, so that an answer which breaks off before it
    can still be another one.
    """

    def __init__(self, response: HttpResponse, fields: list[tuple[str, str]]) -> None:
        self.response = response
        self.fields = fields
        try:
            if response.status < 200:
                raise ResponseError(f"{response.status_line} is no answer to what was asked")
            self._pieces: Iterator[bytes] = iter(response.payload_stream or ())
            self._first = next(self._pieces, b"")
        except BaseException:
            response.close()
            raise

    def __iter__(self) -> Iterator[bytes]:
        if self._first:
            first, self._first = self._first, b""
            yield first
        yield from self._pieces

    def close(self) -> None:
        self.response.close()


class _RequestBody(Payload):
    """The body of the request that is being answered: what there is, as soon as there is some."""

    headers = ()
    source = "of a request"

    def __init__(self, file: io.BufferedReader, length: int | None) -> None:
        self._file = file
        self.length = length

    def chunks(self) -> Iterator[Buffer]:
        # One buffer for all pieces: a piece is good until the next is asked for.
        view = memoryview(bytearray(_BLOCK))
        while count := self._file.readinto1(view):
            yield view[:count]


def _payload_of(environ: WSGIEnvironment) -> Payload | None:
    length = read_content_length(environ)
    if length == 0 or not has_body(environ):
        return None
    return _RequestBody(open_body(environ), length)


def _as_answer(error: Error) -> HTTPError:
    """What to answer where the target has not; raises what only the engine can see to."""
    if isinstance(error, ClientDisconnected):
        raise error
    if error.out_of_payload:
        if isinstance(error, ParserError):
            return InvalidUsage(error.message)
        raise error
    if isinstance(error, (InvalidUrl, InvalidHeader)):
        return InvalidUsage("the request cannot be passed on as it is")
    return HTTPError(504 if isinstance(error, RequestTimeout) else 502, error.message)


def _refused(error: HTTPError, method: str, start_response: StartResponse) -> list[bytes]:
    status = format_status(error.status)
    text = f"{status}: {error.message}\n".encode()
    fields = [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(text)))]
    start_response(status, fields + Headers(error.headers).pairs())
    return [] if method == "HEAD" else [text]


def _shown(url: URL) -> str:
    return redact_url(str(url))


_NAME = "restkit"
# RFC 2616 13.5.1 had two more: WSGI leaves all of them to the server.
_OF_ONE_CONNECTION = HOP_BY_HOP_HEADERS | {"proxy-authenticate", "proxy-authorization"}
# Framed anew, or said by the proxy itself: who trusts these must not be told them by a client.
_OF_OUR_OWN = frozenset("content-length expect forwarded host via".split())
_FORWARDED = "X-Forwarded-"
_OF_CLIENTS = ("User-Agent", "Accept-Encoding")
_IN_A_PATH = "/!$&'()*+,;=:@~"
# Some servers read \ as /, and a segment only as far as its first ; or NUL.
_DOTS = re.compile(r"(?:^|[/\\])\.{1,2}(?:[;\0][^/\\]*)?(?:[/\\]|$)")


def fields_to_send(environ: WSGIEnvironment) -> list[tuple[str, str | None]]:
    """The fields of a request as its target is to see them; None keeps a client's own away."""
    headers = read_headers(environ)
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
    asked = read_encoded_path(environ) if path else ""
    query = environ.get("QUERY_STRING")
    return f"{asked}?{quote_non_ascii(query)}" if query else asked


def own_address(environ: WSGIEnvironment) -> str:
    """Where the proxy itself stands, for who asks, without a slash at its end; or InvalidUsage."""
    host = environ.get("HTTP_HOST") or join_host_port(
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
