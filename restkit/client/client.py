"""The Client.

The methods of HTTP as methods of Python, for whatever can ``request``.

The client: what its calls share, and how a call becomes a request.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

from restkit._version import __version__
from restkit.auth.auth import BasicAuth
from restkit.client.build import (
    NONE_WITHHELD,
    apply_payload_options,
    one_payload,
    payload_of,
    with_defaults,
)
from restkit.client.call import Call, Carrier
from restkit.client.environment import addresses_by_host, apply_environment, base_of, network_of
from restkit.client.filters import call_on_request, call_on_response
from restkit.client.options import apply_options, check_bool, check_count, seconds
from restkit.connections.pool import MAX_IDLE, pool_of
from restkit.content_encoding.decoding import accept_encoding
from restkit.cookies.cookies import as_cookies
from restkit.headers import Headers
from restkit.message.request import Request
from restkit.message.response import HttpResponse
from restkit.network.dial import get_ready
from restkit.settings import Settings
from restkit.url.query import copy_params, merge_params
from restkit.url.url import URL, join_uri, parse_url

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from http.cookiejar import CookieJar

    from typing_extensions import Unpack

    from restkit.auth.auth import Auth
    from restkit.client.build import GivenHeaders
    from restkit.client.options import CommonOptions, RequestOptions
    from restkit.connections.pool import Pool
    from restkit.cookies.cookies import Cookies
    from restkit.network.options import Connect, SocketOption
    from restkit.url.query import Params


class Verbs(ABC):
    """``get`` and the others, by a ``request`` that a subclass has."""

    @abstractmethod
    def request(
        self,
        url: str | URL,
        method: str = "GET",
        payload: object = None,
        headers: GivenHeaders | None = None,
        **options: Unpack[RequestOptions],
    ) -> HttpResponse:
        """Send one request; see the subclass."""

    def get(
        self,
        url: str | URL,
        payload: object = None,
        headers: GivenHeaders | None = None,
        **options: Unpack[RequestOptions],
    ) -> HttpResponse:
        """``request`` with GET."""
        return self.request(url, "GET", payload, headers, **options)

    def head(
        self,
        url: str | URL,
        payload: object = None,
        headers: GivenHeaders | None = None,
        **options: Unpack[RequestOptions],
    ) -> HttpResponse:
        """``request`` with HEAD."""
        return self.request(url, "HEAD", payload, headers, **options)

    def post(
        self,
        url: str | URL,
        payload: object = None,
        headers: GivenHeaders | None = None,
        **options: Unpack[RequestOptions],
    ) -> HttpResponse:
        """``request`` with POST."""
        return self.request(url, "POST", payload, headers, **options)

    def put(
        self,
        url: str | URL,
        payload: object = None,
        headers: GivenHeaders | None = None,
        **options: Unpack[RequestOptions],
    ) -> HttpResponse:
        """``request`` with PUT."""
        return self.request(url, "PUT", payload, headers, **options)

    def patch(
        self,
        url: str | URL,
        payload: object = None,
        headers: GivenHeaders | None = None,
        **options: Unpack[RequestOptions],
    ) -> HttpResponse:
        """``request`` with PATCH."""
        return self.request(url, "PATCH", payload, headers, **options)

    def delete(
        self,
        url: str | URL,
        payload: object = None,
        headers: GivenHeaders | None = None,
        **options: Unpack[RequestOptions],
    ) -> HttpResponse:
        """``request`` with DELETE."""
        return self.request(url, "DELETE", payload, headers, **options)

    def options(
        self,
        url: str | URL,
        payload: object = None,
        headers: GivenHeaders | None = None,
        **options: Unpack[RequestOptions],
    ) -> HttpResponse:
        """``request`` with OPTIONS."""
        return self.request(url, "OPTIONS", payload, headers, **options)


__all__ = ["Client", "HttpResponse"]  # the original's users import both from here

USER_AGENT = f"restkit/{__version__}"


class Client(Verbs):
    """Sends requests, keeps connections and cookies; shared by threads, closed by ``with``.

    Takes the options that a call takes, as the defaults of its calls; and for all of them
    together ``headers``, ``params``, ``base_url`` (relative URLs go behind it), ``cookies`` (a
    jar, or False for none), ``trust_env`` (whether the environment names proxies and trusted
    certificates), ``uds`` (a Unix socket to talk to), ``source_address``, ``socket_options``,
    ``connect`` (a function that opens them), ``resolve`` (addresses by host), and ``pool_size``,
    ``max_idle`` and ``max_connections`` for the connections it keeps.

    >>> with Client(timeout=5) as client:
    ...     client.request
    <bound method Client.request of <Client, 0 connections at rest>>
    """

    def __init__(
        self,
        *,
        pool_size: int = 10,
        max_idle: float = MAX_IDLE,
        max_connections: int | None = None,
        headers: GivenHeaders | None = None,
        params: Params | None = None,
        base_url: str | URL | None = None,
        cookies: Cookies | CookieJar | bool | None = True,
        trust_env: bool = True,
        uds: str | os.PathLike[str] | None = None,
        source_address: tuple[str, int] | None = None,
        socket_options: Iterable[SocketOption] = (),
        connect: Connect | None = None,
        resolve: Mapping[str, str] | None = None,
        **options: Unpack[CommonOptions],
    ) -> None:
        get_ready()
        import restkit.content_digest.checking  # noqa: F401  # for the same reason

        network = network_of(uds, source_address, socket_options, connect)
        settings = Settings(network=network, resolve=addresses_by_host(resolve))
        if check_bool("trust_env", trust_env):
            settings = apply_environment(settings, os.environ)
        self._settings = apply_options(settings, dict(options))
        self._carrier = Carrier(_pool_of(pool_size, max_idle, max_connections))
        self.cookies = as_cookies(cookies)
        self._params = copy_params(params)
        self._base = base_of(base_url)
        self._headers, self._withheld = _default_headers(headers)

    def request(
        self,
        url: str | URL,
        method: str = "GET",
        payload: object = None,
        headers: GivenHeaders | None = None,
        **options: Unpack[RequestOptions],
    ) -> HttpResponse:
        """Send one request; its answer as soon as its head is there and the payload is out.

        Blocks; raises a child of ``restkit.Error``, or whatever the payload's own source
        raises. An answer of 400 or more is an answer: ``raise_for_status()`` makes it an error.
        """
        settings, params = self._settings, self._params
        if options:
            given: dict[str, Any] = dict(options)
            params = merge_params(params, given.pop("params", None))
            body = one_payload(payload, given)
            settings = apply_options(settings, given)
        else:
            body = payload_of(payload)
        target = self._target(url, params)
        says_who = "auth" in options
        if target.username is not None and _uses_url_credentials(settings.auth, says_who):
            says_who = True
            settings = settings._replace(auth=BasicAuth(target.username, target.password or ""))
        fields, withheld = self._merged(headers, says_who=says_who)
        if body is not None:
            body = apply_payload_options(body, fields, withheld, settings)
        return self.send(Request(method, target, fields, withheld, body, settings))

    def send(self, request: Request) -> HttpResponse:
        """Send a request that has been made already; filters may change it."""
        filters = request.settings.filters
        if not filters:
            return self._course_of(request)
        payload = request.payload
        response = call_on_request(filters, request)
        if response is None:
            if request.payload is not payload:
                payload = payload_of(request.payload)
                if payload is not None:
                    fields, withheld = request.headers, request.withheld
                    payload = apply_payload_options(payload, fields, withheld, request.settings)
                request.payload = payload
            response = self._course_of(request)
        return call_on_response(filters, response, request)

    @property
    def closed(self) -> bool:
        """Whether it has been closed: it sends nothing any more."""
        return self._carrier.closed

    def close(self) -> None:
        """Close every connection, from any thread: who waits on one gets an error at once."""
        self._carrier.pool.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __repr__(self) -> str:
        if self.closed:
            return "<Client, closed>"
        return f"<Client, {self._carrier.pool.resting()} connections at rest>"

    def _course_of(self, request: Request) -> HttpResponse:
        progress = request.settings.progress
        if progress is not None:
            chosen = progress.chosen_for(request.payload)
            request.settings = request.settings._replace(progress=chosen)
        return Call(request, self._carrier, self.cookies).run()

    def _target(self, url: str | URL, params: Params | None) -> URL:
        if self._base is not None and isinstance(url, str):
            url = join_uri(self._base, url)
        return parse_url(url, params)

    def _merged(
        self, given: GivenHeaders | None, *, says_who: bool
    ) -> tuple[Headers, frozenset[str]]:
        """The headers of a call; a default Authorization gives way to who a call says it is."""
        defaults = self._headers
        if says_who and "authorization" in defaults.names():
            defaults = defaults.copy()
            del defaults["authorization"]
        if given is None:
            return defaults.copy(), self._withheld
        headers, withheld = with_defaults(defaults, given)
        return headers, withheld | (self._withheld - headers.names())


def _pool_of(pool_size: int, max_idle: float, max_connections: int | None) -> Pool:
    most = (
        None
        if max_connections is None
        else check_count("max_connections", max_connections, least=1)
    )
    return pool_of(check_count("pool_size", pool_size), seconds("max_idle", max_idle), most)


def _default_headers(given: GivenHeaders | None) -> tuple[Headers, frozenset[str]]:
    headers = Headers([("User-Agent", USER_AGENT), ("Accept-Encoding", accept_encoding())])
    withheld = NONE_WITHHELD
    if given is not None:
        headers, withheld = with_defaults(headers, given)
    # Rendered once, for the copies that every request gets.
    headers.lines()
    headers.names()
    return headers, withheld


def _uses_url_credentials(auth: Auth | None, says_who: object) -> bool:
    """Whether user info in a URL counts: ``auth=None`` of a call keeps it back, netrc does not."""
    return not says_who if auth is None else auth.every_origin
