"""``HostProxy``: a WSGI application that forwards requests to one server.

Hop-by-hop fields are not forwarded (RFC 9110 7.6.1), and each message names its proxy in Via
(7.6.3).
"""

from __future__ import annotations

import io
import logging
import re
from collections.abc import Iterable, Iterator
from urllib.parse import quote

from restkit.annotations import StartResponse, WSGIEnvironment
from restkit.client.client import Client
from restkit.cookies.cookies import NoCookies
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
from restkit.http1.fields import parse_length
from restkit.io.buffers import Buffer
from restkit.message.header_values import as_utf_8
from restkit.message.response import HttpResponse
from restkit.payload.base import Payload
from restkit.redaction import redact_url
from restkit.server.environ import (
    has_body,
    has_dot_segment,
    quote_non_ascii,
    read_content_length,
    read_encoded_path,
    read_headers,
)
from restkit.server.exceptions import Forbidden, HTTPError, InvalidUsage, format_status
from restkit.server.request_stream import open_body
from restkit.url.host import join_host_port, split_host_port
from restkit.url.url import URL, join_uri, parse_url

__all__ = ["ALLOWED_METHODS", "HostProxy"]

ALLOWED_METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE")

_logger = logging.getLogger("restkit.server")

_CHUNK_SIZE = 256 * 1024
_POOL_SIZE = 64
_PSEUDONYM = "restkit"  # in Via
# RFC 2616 13.5.1 had two more; PEP 3333 leaves all of them to the server.
_HOP_BY_HOP = HOP_BY_HOP_HEADERS | {"proxy-authenticate", "proxy-authorization"}
# The proxy frames the message itself and sets these; a client must not be able to set what a
# target trusts.
_SET_BY_PROXY = frozenset("content-length expect forwarded host via".split())
_FORWARDED = "X-Forwarded-"
_SET_BY_CLIENT = ("User-Agent", "Accept-Encoding")
_ABSOLUTE = re.compile("[a-z][a-z0-9+.-]*:", re.IGNORECASE)
_PATH_SAFE = "/!$&'()*+,;=:@~"
_CONTROL = re.compile("[\0-\x08\n-\x1f\x7f]")
# Fields with URLs that are rewritten. A quoted string in Link is matched to skip it.
_URLS = {
    "location": re.compile("(?P<before>)(?P<url>.+)"),
    "content-location": re.compile("(?P<before>)(?P<url>.+)"),
    "link": re.compile(r""""(?:[^"\\]|\\.)*"?|(?P<before><)(?P<url>[^<>]+)"""),
    "refresh": re.compile(
        r"""(?P<before>^[0-9.]*[ \t]*[;,][ \t]*url[ \t]*=[ \t]*["']?)(?P<url>[^"']+)""",
        re.IGNORECASE,
    ),
}


class HostProxy:
    """A WSGI application that forwards requests to ``target_uri``, streaming in both directions.

    Path and query are appended to those of the target. No request is sent to another host,
    whatever host it names. A method that is not in ``allowed_methods`` gets a 403, and so does a
    path that is not below one of ``allowed_targets`` (paths below the target, or URLs; None allows
    all). Control characters in a response become spaces.

    With ``rewrite_location``, a URL in Location, Content-Location, Link or Refresh that points to
    the target is changed to point to the proxy. A URL that points to another path of the target's
    server becomes that path.

    A target that cannot be reached is a 502, and one that does not respond in time a 504. Only the
    logger ``restkit.server`` gets the reason, because it names the target. If the response of the
    target breaks off, the response of the proxy breaks off too, and never looks complete.

    ``client`` sends the requests, with its own options; its owner closes it. It must not keep
    cookies, because those of one user would be sent with the requests of others. By default the
    proxy creates a client that ignores the environment, and closes it in ``close()`` or ``with``.

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
        if client is not None and not isinstance(client.cookies, NoCookies):
            raise RequestError(
                "client must not keep cookies, which would mix those of all users; "
                "create it with cookies=False"
            )
        self._target = parse_url(target_uri).without_fragment()
        self._methods = (
            (allowed_methods,) if isinstance(allowed_methods, str) else tuple(allowed_methods)
        )
        self._allowed = None if allowed_targets is None else self._parse_targets(allowed_targets)
        self._rewrites = rewrite_location
        self._owns_client = client is None
        self._client = client or Client(pool_size=_POOL_SIZE, cookies=False, trust_env=False)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        try:
            response = self._forward(environ)
        except HTTPError as exc:
            return _send_error(exc, environ["REQUEST_METHOD"], start_response)
        start_response(response.status, response.fields)
        return response

    def close(self) -> None:
        """Close the client that the proxy has created; a given one stays open."""
        if self._owns_client:
            self._client.close()

    def __enter__(self) -> HostProxy:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __repr__(self) -> str:
        closed = ", closed" if self._client.closed else ""
        return f"<HostProxy to {redact_url(str(self._target))}{closed}>"

    def _parse_targets(self, allowed: Iterable[str | URL]) -> list[URL]:
        if isinstance(allowed, str):
            allowed = [allowed]
        base = URL(*self._target.origin, self._target.target.partition("?")[0])
        urls = [each if isinstance(each, URL) else join_uri(base, each) for each in allowed]
        for url in urls:
            if path_below(base, url) is None:
                raise RequestError(
                    f"allowed_targets must be below {redact_url(str(base))}; "
                    f"got {redact_url(str(url))}"
                )
        return urls

    def _forward(self, environ: WSGIEnvironment) -> _ForwardedResponse:
        """Send the request to the target; return its response, or raise HTTPError."""
        method = environ["REQUEST_METHOD"]
        if method not in self._methods:
            allowed = ", ".join(self._methods)
            raise Forbidden(f"{method} is not forwarded, only {allowed}", {"Allow": allowed})
        own_url = read_own_url(environ)
        try:
            url = self._url_for(environ)
            response = self._client.request(
                url,
                method,
                _make_payload(environ),
                make_request_fields(environ),
                follow_redirect=False,
                decompress=False,
                # The target decides about the 100 Continue that the client waits for.
                expect_continue="100-continue" in environ.get("HTTP_EXPECT", "").lower(),
            )
            fields = make_response_fields(response.headers, response.version)
            return _ForwardedResponse(
                response,
                [(name, self._rewrite(name, value, url, own_url)) for name, value in fields],
            )
        except Error as exc:
            error = _as_http_error(exc)
            if error.status >= 500:
                _logger.warning("%s through %r: %s", method, self, exc)
            raise error from exc

    def _url_for(self, environ: WSGIEnvironment) -> URL:
        url = join_uri(self._target, read_target(environ))
        if self._allowed is not None and not any(
            path_below(base, url) is not None for base in self._allowed
        ):
            raise Forbidden("this path is not forwarded")
        return url

    def _rewrite(self, name: str, value: str, url: URL, own_url: str) -> str:
        """Return the value of a field of the response to ``url``; its URLs lead to the proxy."""
        pattern = _URLS.get(name.lower()) if self._rewrites else None
        if pattern is None:
            return value

        def replace(found: re.Match[str]) -> str:
            if found["url"] is None:
                return found[0]
            return found["before"] + self._rewrite_url(found["url"], url, own_url)

        return pattern.sub(replace, value)

    def _rewrite_url(self, text: str, url: URL, own_url: str) -> str:
        try:
            location = url.join(as_utf_8(text))
        except InvalidUrl:
            return text
        fragment = "" if location.fragment is None else f"#{location.fragment}"
        rest = path_below(self._target, location)
        if rest is not None:
            return f"{own_url}{rest}{fragment}"
        if location.origin == self._target.origin:
            # Clients must not learn the target's address. A path that begins with two slashes
            # would be read as a host (RFC 3986 4.2).
            dot = "/." if location.target.startswith("//") else ""
            return f"{dot}{location.target}{fragment}"
        return text if _ABSOLUTE.match(text) else str(location)


class _ForwardedResponse:
    """The response of the target: its status and fields, and the chunks of its body as they arrive.

    The first chunk is received at once, so that a response which is cut off before it can become an
    error response.
    """

    def __init__(self, response: HttpResponse, fields: list[tuple[str, str]]) -> None:
        self._response = response
        self.status = f"{response.status} {_replace_control(response.reason)}"
        self.fields = fields
        try:
            if response.status < 200:
                raise ResponseError(f"{response.status_line} is not a response to this request")
            self._chunks: Iterator[bytes] = iter(response.payload_stream or ())
            self._first = next(self._chunks, b"")
        except BaseException:
            response.close()
            raise

    def __iter__(self) -> Iterator[bytes]:
        if self._first:
            first, self._first = self._first, b""
            yield first
        yield from self._chunks

    def close(self) -> None:
        self._response.close()


class _RequestBody(Payload):
    """The body of the client's request, forwarded as it arrives."""

    headers = ()
    source = "of a request"

    def __init__(self, file: io.BufferedReader, length: int | None) -> None:
        self._file = file
        self.length = length

    def chunks(self) -> Iterator[Buffer]:
        # One buffer for all chunks: a chunk is valid until the next one is requested.
        view = memoryview(bytearray(_CHUNK_SIZE))
        while count := self._file.readinto1(view):
            yield view[:count]


def _make_payload(environ: WSGIEnvironment) -> Payload | None:
    length = read_content_length(environ)
    if length == 0 or not has_body(environ):
        return None
    return _RequestBody(open_body(environ), length)


def _as_http_error(error: Error) -> HTTPError:
    """Return the error response for a failed request; raise what only the engine can handle."""
    if isinstance(error, ClientDisconnected):
        raise error
    if error.out_of_payload:
        if isinstance(error, ParserError):
            return InvalidUsage(error.message)
        raise error
    if isinstance(error, (InvalidUrl, InvalidHeader)):
        return InvalidUsage("the request cannot be forwarded: its URL or a header is not valid")
    if isinstance(error, RequestTimeout):
        return HTTPError(504, "the target did not respond in time")
    return HTTPError(502, "the target cannot be reached, or sent no valid response")


def _send_error(error: HTTPError, method: str, start_response: StartResponse) -> list[bytes]:
    status = format_status(error.status)
    text = f"{status}: {error.message}\n".encode()
    fields = [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(text)))]
    start_response(status, fields + Headers(error.headers).pairs())
    return [] if method == "HEAD" else [text]


def make_request_fields(environ: WSGIEnvironment) -> list[tuple[str, str | None]]:
    """Return the fields to forward; None suppresses a default field of the Client."""
    headers = read_headers(environ)
    dropped = _HOP_BY_HOP | _SET_BY_PROXY | _connection_options(headers)
    fields: list[tuple[str, str | None]] = [
        (name, value)
        for name, value in headers.pairs()
        if name.lower() not in dropped and not name.startswith(_FORWARDED)
    ]
    fields += [(name, None) for name in _SET_BY_CLIENT if name not in dict(fields)]
    clients = _append(headers.get("x-forwarded-for"), environ.get("REMOTE_ADDR"))
    version = environ.get("SERVER_PROTOCOL", "HTTP/1.1").partition("/")[2]
    return [
        *fields,
        ("X-Forwarded-For", clients or None),
        ("X-Forwarded-Proto", environ["wsgi.url_scheme"]),
        ("X-Forwarded-Host", headers.get("host")),
        ("Via", _append(headers.get("via"), f"{version} {_PSEUDONYM}")),
    ]


def make_response_fields(headers: Headers, version: tuple[int, int]) -> list[tuple[str, str]]:
    """Return the fields of the target's response that the client gets, in order."""
    dropped = _HOP_BY_HOP | _connection_options(headers) | {"via"}
    fields = []
    for name, value in headers.pairs():
        if name.lower() in dropped:
            continue
        if name.lower() == "content-length":
            dropped |= {"content-length"}
            value = _read_length(headers)
            if not value:
                continue
        fields.append((name, _replace_control(value)))
    via = _append(_replace_control(headers.get("via", "")), "{}.{} {}".format(*version, _PSEUDONYM))
    return [*fields, ("Via", via)]


def _replace_control(text: str) -> str:
    """Replace control characters, which RFC 9110 5.5 forbids and some servers send, by spaces."""
    return _CONTROL.sub(" ", text).strip(" \t")


def _read_length(headers: Headers) -> str:
    """Return the length of the target's response in one spelling, or '' if it is not certain.

    A client may be less strict than restkit is. It must not get a Content-Length that
    Transfer-Encoding overrides (RFC 9112 6.3), nor several values.
    """
    lengths = {parse_length(each.strip(" \t")) for each in headers["content-length"].split(",")}
    length = lengths.pop()
    return "" if lengths or length is None or "transfer-encoding" in headers else str(length)


def read_target(environ: WSGIEnvironment) -> str:
    """Return path and query below the proxy's own path, encoded; raise InvalidUsage."""
    path = environ.get("PATH_INFO", "")
    if path and not path.startswith("/"):
        raise InvalidUsage("the target of the request is not a path")
    if has_dot_segment(path):
        raise InvalidUsage("the path has a dot segment, which could lead out of the target")
    encoded = read_encoded_path(environ) if path else ""
    query = environ.get("QUERY_STRING")
    return f"{encoded}?{quote_non_ascii(query)}" if query else encoded


def read_own_url(environ: WSGIEnvironment) -> str:
    """Return the URL of the proxy as the client sees it, without a slash at the end."""
    host = environ.get("HTTP_HOST") or join_host_port(
        environ["SERVER_NAME"], int(environ["SERVER_PORT"])
    )
    try:
        split_host_port(host)
    except ValueError as exc:
        raise InvalidUsage(f"Host: {exc}") from exc
    script = quote(environ.get("SCRIPT_NAME", "").encode("latin-1"), safe=_PATH_SAFE)
    return f"{environ['wsgi.url_scheme']}://{host}{script.rstrip('/')}"


def path_below(base: URL, url: URL) -> str | None:
    """Return the path and query of ``url`` after the path of ``base``; None if it is not below.

    >>> path_below(parse_url('http://api.test/v1/'), parse_url('http://api.test/v1/users?id=5'))
    '/users?id=5'
    """
    path = base.target.partition("?")[0].removesuffix("/")
    if url.origin != base.origin or not url.target.startswith(path):
        return None
    rest = url.target[len(path) :]
    return rest if rest[:1] in ("", "/", "?") else None


def _connection_options(headers: Headers) -> set[str]:
    return {name.strip(" \t").lower() for name in headers.get("connection", "").split(",")}


def _append(list_value: str | None, value: str | None) -> str:
    return ", ".join(filter(None, [list_value, value]))
