"""The key of a connection in the pool.

Where a connection leads, and all by which it may differ from another to the same place.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from restkit.network.options import Network, TLSOptions, socket_path
from restkit.url.host import host_and_port

if TYPE_CHECKING:
    from restkit.network.proxy import Proxy


class Route(NamedTuple):
    """What is opened by ``dial``, and what connections rest under: one of a route serves no other.

    ``host`` and ``port`` are as the URL has them: ASCII, IPv6 without brackets and with its zone,
    a trailing dot kept. ``address`` is what the host's name stands for, where the caller says so.
    """

    scheme: str
    host: str
    port: int
    tls: TLSOptions = TLSOptions()
    proxy: Proxy | None = None
    network: Network = Network()
    address: str | None = None

    @property
    def where(self) -> str:
        """Host and port."""
        return host_and_port(self.host, self.port)

    @property
    def named(self) -> str:
        """The same as messages have it, with the Unix socket that stands there."""
        uds = self.network.uds
        return self.where if uds is None else f"{self.where} at {socket_path(uds)}"
