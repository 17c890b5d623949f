"""The route of a connection, which is its key in the pool."""

from __future__ import annotations

from typing import NamedTuple

from restkit.network.options import Network, TLSOptions, socket_path
from restkit.network.proxy import Proxy, without_check
from restkit.url.host import join_host_port
from restkit.url.url import URL


class Route(NamedTuple):
    """The target of a connection, with its proxy and its TLS and network options.

    A connection is used again only for routes with the same ``key``. ``host`` and ``port`` are
    written as in the URL: ASCII, IPv6 without brackets and with its zone, a trailing dot kept.
    ``address`` replaces the look-up of the host's name.

    >>> Route('https', '::1', 443).host_and_port
    '[::1]:443'
    """

    scheme: str
    host: str
    port: int
    tls: TLSOptions = TLSOptions()
    proxy: Proxy | None = None
    network: Network = Network()
    address: str | None = None

    @property
    def key(self) -> Route:
        """The same route without address checks, because each call may have its own function.

        The pool calls the checks again before each use.
        """
        network, proxy = self.network, self.proxy
        if network.address_check is None and (proxy is None or proxy.address_check is None):
            return self
        return self._replace(
            network=network._replace(address_check=None),
            proxy=None if proxy is None else without_check(proxy),
        )

    def url_of(self, target: str) -> URL:
        """Return the URL of a request from the target in its request line.

        A target without a path, such as ``*``, becomes ``*``.

        >>> str(Route('http', 'host', 80).url_of('/a?b'))
        'http://host/a?b'
        """
        if not target.startswith("/"):
            # A proxy that forwards the request gets the whole URL as the target.
            _, slashes, rest = target.partition("://")
            _, slash, path = rest.partition("/")
            target = f"/{path}" if slashes and slash else "*"
        return URL(self.scheme, self.host, self.port, target)

    @property
    def host_and_port(self) -> str:
        """Host and port as one text."""
        return join_host_port(self.host, self.port)

    @property
    def description(self) -> str:
        """Host and port for messages, with the Unix socket if there is one."""
        uds = self.network.uds
        return self.host_and_port if uds is None else f"{self.host_and_port} at {socket_path(uds)}"
