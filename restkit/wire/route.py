"""Where a connection leads, and all by which it may differ from another to the same place."""

from __future__ import annotations

from typing import NamedTuple

from restkit.wire.tls import TLSOptions


class Route(NamedTuple):
    """What is opened by ``dial``, and what connections rest under: one of a route serves no other.

    ``host`` and ``port`` are as the URL has them: ASCII, IPv6 without brackets and with its zone,
    a trailing dot kept. ``source_address`` is the (address, port) to connect from.
    """

    scheme: str
    host: str
    port: int
    tls: TLSOptions = TLSOptions()
    proxy: None = None
    source_address: tuple[str, int] | None = None
    address_check: None = None

    @property
    def where(self) -> str:
        """Host and port, as messages name them."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"
