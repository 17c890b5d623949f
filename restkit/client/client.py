"""The Client: its options, its connections and its cookies."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from copy import copy
from typing import Any, NoReturn

from restkit._version import __version__
from restkit.annotations import CookieJar, Unpack
from restkit.auth.auth import Auth, BasicAuth
from restkit.client.build import (
    apply_payload_options,
    check_not_swapped,
    merge_headers,
    misplaced_error,
    pop_payload,
    to_payload,
)
from restkit.client.call import Call
from restkit.client.environment import (
    apply_environment,
    make_network,
    parse_base_url,
    parse_resolve,
)
from restkit.client.filters import call_on_request, call_on_response
from restkit.client.option_checks import check_bool, check_count, check_positive, check_seconds
from restkit.client.options import (
    CallOptions,
    CommonOptions,
    GivenHeaders,
    Settings,
    apply_options,
)
from restkit.connections.pool import MAX_IDLE, ConnectionPool
from restkit.content_encoding.decoding import accept_encoding
from restkit.cookies.cookies import Cookies, NoCookies, as_cookies
from restkit.errors import RequestError
from restkit.headers import Headers
from restkit.message.request import KNOWN_METHODS, NO_NAMES, Request
from restkit.message.response import HttpResponse
from restkit.network.dial import import_early
from restkit.network.options import Connect, SocketOption
from restkit.timeouts import Deadline, Timeout
from restkit.url.query import Params, copy_params, merge_params
from restkit.url.url import URL, GivenURL, join_uri, parse_url

USER_AGENT = f"restkit/{__version__}"
_NO_COOKIES = NoCookies()


class Client:
    """Sends requests, and keeps connections and cookies. May be shared by threads.

    Takes the options of a call as defaults, and these options that apply to all calls:
    ``headers``, ``params``, ``base_url`` (the start of relative URLs), ``cookies`` (a dict for its
    host, a jar, or False for none), ``trust_env`` (read proxies and trusted certificates from the
    environment), ``uds`` (the path of a Unix socket), ``source_address``, ``socket_options``,
    ``connect`` (a function that opens sockets), ``resolve`` (addresses by host), and ``pool_size``,
    ``max_idle_connections``, ``max_idle`` and ``max_connections`` for the connections it keeps.
    Leaving ``with`` closes it.

    >>> from restkit.testing import LocalServer
    >>> with LocalServer() as server, Client(base_url=server.url, timeout=5) as client:
    ...     client.get("/nowhere").status
    404
    """

    def __init__(
        self,
        *,
        pool_size: int = 10,
        max_idle_connections: int | None = None,
        max_idle: float = MAX_IDLE,
        max_connections: int | None = None,
        headers: GivenHeaders | None = None,
        params: Params | None = None,
        base_url: str | URL | None = None,
        cookies: Cookies | CookieJar | Mapping[str, str] | bool | None = True,
        trust_env: bool = True,
        uds: str | os.PathLike[str] | None = None,
        source_address: tuple[str, int] | None = None,
        socket_options: Iterable[SocketOption] = (),
        connect: Connect | None = None,
        resolve: Mapping[str, str] | None = None,
        **options: Unpack[CommonOptions],
    ) -> None:
        import_early()
        network = make_network(uds, source_address, socket_options, connect)
        settings = Settings(network=network, resolve=parse_resolve(resolve))
        if check_bool("trust_env", trust_env):
            settings = apply_environment(settings, os.environ)
        self._settings = apply_options(settings, dict(options))
        self._pool = ConnectionPool(
            check_count("pool_size", pool_size),
            check_seconds("max_idle", max_idle),
            None if max_connections is None else check_positive("max_connections", max_connections),
            None
            if max_idle_connections is None
            else check_count("max_idle_connections", max_idle_connections),
        )
        self._params = copy_params(params)
        self._base = parse_base_url(base_url)
        self._cookies = as_cookies(cookies, self._base)
        self._headers, self._suppressed = _default_headers(headers)

    def request(
        self,
        url: GivenURL,
        method: str = "GET",
        payload: object = None,
        headers: GivenHeaders | None = None,
        **options: Unpack[CallOptions],
    ) -> HttpResponse:
        """Send one request; return its response once the head is received and the payload sent.

        Blocks. Raises a subclass of ``restkit.Error``, and whatever the payload's own source
        raises. A status of 400 or more is a response; ``raise_for_status()`` turns it into an
        error.
        """
        if type(method) is not str or method not in KNOWN_METHODS:
            check_not_swapped(url, method)
        settings, params = self._settings, self._params
        if options:
            given: dict[str, Any] = dict(options)
            params = merge_params(params, given.pop("params", None))
            body = pop_payload(payload, given)
            settings = apply_options(settings, given)
        else:
            body = to_payload(payload)
        if self._base is not None and isinstance(url, str):
            url = join_uri(self._base, url)
        target = parse_url(url, params)
        has_auth = "auth" in options
        if target.username is not None and _uses_url_credentials(settings.auth, has_auth):
            has_auth = True
            auth = BasicAuth(target.username, target.password or "")
            settings = settings.replace(auth=auth)
        fields, suppressed = self._merge_headers(headers, has_auth=has_auth)
        request = Request(
            method,
            target,
            fields,
            body,
            suppressed_headers=suppressed,
            read_options=settings.read_options,
        )
        deadline = None if body is None else apply_payload_options(request, settings)
        if settings.filters:
            return self._send_filtered(request, settings, deadline)
        return self._send(request, settings, deadline)

    @property
    def timeout(self) -> Timeout:
        """The default timeouts of a call."""
        return self._settings.timeout

    def resolve_url(self, url: GivenURL, params: Params | None = None) -> URL:
        """Return the absolute URL of a request, with ``base_url`` and ``params`` of this Client.

        >>> str(Client(base_url='http://host/a/', params={'x': 1}).resolve_url('b'))
        'http://host/a/b?x=1'
        """
        if self._base is not None and isinstance(url, str):
            url = join_uri(self._base, url)
        return parse_url(url, merge_params(self._params, params))

    def send(self, request: Request) -> HttpResponse:
        """Send a copy of a request that exists already, with the default options of this Client."""
        if not isinstance(request, Request):
            raise RequestError(f"send() takes a restkit.Request; got {request!r:.60}")
        # A copy: an earlier response of the same request still reads its body by the old options.
        following = copy(request)
        following.read_options = self._settings.read_options
        return self._send_filtered(following, self._settings)

    def _send_filtered(
        self, request: Request, settings: Settings, deadline: Deadline | None = None
    ) -> HttpResponse:
        payload = request.payload
        response = call_on_request(settings.filters, request)
        if response is None:
            if request.payload is not payload:
                request.payload = to_payload(request.payload)
                deadline = apply_payload_options(request, settings, deadline)
            response = self._send(request, settings, deadline)
        return call_on_response(settings.filters, response, request)

    def _send(
        self, request: Request, settings: Settings, deadline: Deadline | None
    ) -> HttpResponse:
        if settings.progress is not None:
            progress = settings.progress.for_payload(request.payload)
            settings = settings.replace(progress=progress)
            request.read_options = settings.read_options
        return Call(request, settings, self._pool, self._cookies, deadline).run()

    def _merge_headers(
        self, given: GivenHeaders | None, *, has_auth: bool
    ) -> tuple[Headers, frozenset[str]]:
        """Return the headers of a call; its ``auth=`` replaces a default Authorization."""
        defaults = self._headers
        if has_auth and "authorization" in defaults.names():
            defaults = defaults.copy()
            del defaults["authorization"]
        if given is None:
            return defaults.copy(), self._suppressed
        headers, suppressed = merge_headers(defaults, given)
        return headers, suppressed | (self._suppressed - headers.names())

    def get(
        self,
        url: GivenURL,
        *misplaced: NoReturn,
        payload: object = None,
        headers: GivenHeaders | None = None,
        **options: Unpack[CallOptions],
    ) -> HttpResponse:
        """Send a GET request; see ``request``."""
        if misplaced:
            raise misplaced_error("get", misplaced)
        return self.request(url, "GET", payload, headers, **options)

    def head(
        self,
        url: GivenURL,
        *misplaced: NoReturn,
        payload: object = None,
        headers: GivenHeaders | None = None,
        **options: Unpack[CallOptions],
    ) -> HttpResponse:
        """Send a HEAD request; see ``request``."""
        if misplaced:
            raise misplaced_error("head", misplaced)
        return self.request(url, "HEAD", payload, headers, **options)

    def post(
        self,
        url: GivenURL,
        payload: object = None,
        headers: GivenHeaders | None = None,
        **options: Unpack[CallOptions],
    ) -> HttpResponse:
        """Send a POST request; see ``request``."""
        return self.request(url, "POST", payload, headers, **options)

    def put(
        self,
        url: GivenURL,
        payload: object = None,
        headers: GivenHeaders | None = None,
        **options: Unpack[CallOptions],
    ) -> HttpResponse:
        """Send a PUT request; see ``request``."""
        return self.request(url, "PUT", payload, headers, **options)

    def patch(
        self,
        url: GivenURL,
        payload: object = None,
        headers: GivenHeaders | None = None,
        **options: Unpack[CallOptions],
    ) -> HttpResponse:
        """Send a PATCH request; see ``request``."""
        return self.request(url, "PATCH", payload, headers, **options)

    def delete(
        self,
        url: GivenURL,
        *misplaced: NoReturn,
        payload: object = None,
        headers: GivenHeaders | None = None,
        **options: Unpack[CallOptions],
    ) -> HttpResponse:
        """Send a DELETE request; see ``request``."""
        if misplaced:
            raise misplaced_error("delete", misplaced)
        return self.request(url, "DELETE", payload, headers, **options)

    def options(
        self,
        url: GivenURL,
        *misplaced: NoReturn,
        payload: object = None,
        headers: GivenHeaders | None = None,
        **options: Unpack[CallOptions],
    ) -> HttpResponse:
        """Send an OPTIONS request; see ``request``."""
        if misplaced:
            raise misplaced_error("options", misplaced)
        return self.request(url, "OPTIONS", payload, headers, **options)

    @property
    def cookies(self) -> Cookies:
        """The cookies. With ``cookies=False`` it is empty, and changing it raises an error."""
        return _NO_COOKIES if self._cookies is None else self._cookies

    # Closing

    @property
    def closed(self) -> bool:
        """Whether the Client is closed. A closed Client cannot send requests."""
        return self._pool.closed

    def close(self, *, abort: bool = False) -> None:
        """Close idle connections, and send no more requests. May be called by any thread.

        Responses that you have can still be read; their connections are closed afterwards. A call
        in another thread finishes its current attempt. A call that waits for a retry, or for one
        of the ``max_connections``, raises an error at once. ``abort=True`` closes every connection
        at once, and each thread that waits on one gets an error. It may follow ``close()``.
        """
        self._pool.close(abort=abort)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __repr__(self) -> str:
        if self.closed:
            return "<Client, closed>"
        return f"<Client, {self._pool.count_idle()} idle connections>"


def _default_headers(given: GivenHeaders | None) -> tuple[Headers, frozenset[str]]:
    headers = Headers([("User-Agent", USER_AGENT), ("Accept-Encoding", accept_encoding())])
    suppressed = NO_NAMES
    if given is not None:
        headers, suppressed = merge_headers(headers, given)
    # Render them once: every request gets a copy.
    headers.lines()
    headers.names()
    return headers, suppressed


def _uses_url_credentials(auth: Auth | None, has_auth: bool) -> bool:
    """Whether to use the user info of a URL: it replaces netrc, but not ``auth=`` of the call."""
    return not has_auth if auth is None else auth.every_origin
