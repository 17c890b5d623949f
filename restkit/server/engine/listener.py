"""The listening socket of a server: IPv4, IPv6, or the path of a Unix socket."""

from __future__ import annotations

import os
import socket
from contextlib import suppress

_BACKLOG = 512


def open_listener(host: str, port: int, uds: str | None = None) -> socket.socket:
    """Return a socket that listens on ``host`` and ``port``, or on the path of a Unix socket.

    Raises OSError with the reason and its number.
    """
    try:
        if uds is not None:
            return _listen(socket.AF_UNIX, uds)
        found = socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        for family, _, _, _, address in found[:-1]:
            with suppress(OSError):
                return _listen(family, address)
        return _listen(found[-1][0], found[-1][4])
    except OSError as exc:
        where = uds or f"{host}:{port}"
        raise OSError(exc.errno, f"cannot listen on {where}: {exc.strerror or exc}") from exc


def _listen(family: int, address: str | tuple[object, ...]) -> socket.socket:
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        if family == socket.AF_UNIX:
            listener.bind(address)
        else:
            if family == socket.AF_INET6:  # "::" is IPv4 too
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, address[0] != "::")
            if address[1]:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            # For port 0 only now: before bind() the system might choose a port that is in use.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.listen(_BACKLOG)
        listener.setblocking(False)
    except BaseException:
        listener.close()
        raise
    return listener


def close_listener(listener: socket.socket) -> None:
    """Close a listening socket, and remove the file of a Unix socket."""
    path = listener.getsockname() if listener.family == socket.AF_UNIX else None
    listener.close()
    if path:
        with suppress(OSError):
            os.unlink(path)


def address_of(listener: socket.socket) -> tuple[str, int]:
    """Return the host and the port of a listening socket; for a Unix socket localhost and 80."""
    if listener.family == socket.AF_UNIX:
        return "localhost", 80
    host, port = listener.getsockname()[:2]
    return host, port
