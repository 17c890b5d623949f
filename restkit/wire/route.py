"""Where a connection leads, and all by which it may differ from another to the same place."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from restkit.host import host_and_port
from restkit.wire.tls import TLSOptions

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable
    from ipaddress import IPv4Address, IPv6Address

    from restkit.wire.proxy import Proxy

    AddressCheck = Callable[[IPv4Address | IPv6Address], object]
    Connect = Callable[[str, int], socket.socket]
    SocketOption = tuple[int, int, int | bytes]


class Network(NamedTuple):
    """How sockets are opened, whatever the origin.

    ``source_address`` is the (address, port) to connect from; ``uds`` the path of a Unix socket
    that stands for every host; ``address_check`` is asked for every address before it is
    connected to, and says by a false answer that it must not be; ``connect`` is given host and
    port, and gives the connected socket itself.
    """

    source_address: tuple[str, int] | None = None
    socket_options: tuple[SocketOption, ...] = ()
    uds: str | None = None
    address_check: AddressCheck | None = None
    connect: Connect | None = None


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


def socket_path(uds: str) -> str:
    """The path of a Unix socket as ss(8) shows it: a name that is no file's begins with an @."""
    return uds.replace("\0", "@", 1)
