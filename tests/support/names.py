"""Names that resolve to what a test wants."""

from __future__ import annotations

import socket

import pytest


def family_of(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def resolving(patch: pytest.MonkeyPatch, *places: tuple[str, int]) -> list[str]:
    """Every name resolves to these (host, port) pairs from now on; the names asked for."""
    asked: list[str] = []

    def getaddrinfo(host: str, *_: object, **__: object) -> list[tuple[object, ...]]:
        asked.append(host)
        return [
            (
                family_of(place[0]),
                socket.SOCK_STREAM,
                socket.IPPROTO_TCP,
                "",
                (*place, 0, 0) if ":" in place[0] else place,
            )
            for place in places
        ]

    patch.setattr(socket, "getaddrinfo", getaddrinfo)
    return asked
