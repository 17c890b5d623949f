"""The listening socket of a server: IPv4, IPv6, or the path of a Unix socket."""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from errno import EAFNOSUPPORT

from restkit.io.sockets import AF_UNIX

_BACKLOG = 512
# On Windows, SO_REUSEADDR would let any other process listen on the same port.
_EXCLUSIVE: int | None = getattr(socket, "SO_EXCLUSIVEADDRUSE", None)


def open_listener(host: str, port: int, uds: str | None = None) -> socket.socket:
    """Return a socket that listens on ``host`` and ``port``, or on the path of a Unix socket.

    Raises OSError with the address in its message.
    """
    try:
        if uds is not None:
            if AF_UNIX is None:
                raise OSError(EAFNOSUPPORT, "this system has no Unix sockets")
            return _listen(AF_UNIX, uds)
        addresses = socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        for family, _, _, _, address in addresses[:-1]:
            with suppress(OSError):
                return _listen(family, address)
        return _listen(addresses[-1][0], addresses[-1][4])
    except OSError as exc:
        name = uds or f"{host}:{port}"
        raise OSError(exc.errno, f"cannot listen on {name}: {exc.strerror or exc}") from exc


def _listen(family: int, address: str | tuple[object, ...]) -> socket.socket:
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        if family == AF_UNIX:
            listener.bind(address)
        else:
            if family == socket.AF_INET6:  # "::" includes IPv4
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, address[0] != "::")
            if _EXCLUSIVE is not None:
                listener.setsockopt(socket.SOL_SOCKET, _EXCLUSIVE, 1)
            elif address[1]:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            if _EXCLUSIVE is None:
                # For port 0 only after bind(): the system could choose a port in use otherwise.
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.listen(_BACKLOG)
        listener.setblocking(False)
    except BaseException:
        listener.close()
        raise
    return listener


def close_listener(listener: socket.socket) -> None:
    """Close a listening socket, and remove the file of a Unix socket."""
    path = listener.getsockname() if listener.family == AF_UNIX else None
    listener.close()
    if path:
        with suppress(OSError):
            os.unlink(path)


def address_of(listener: socket.socket) -> tuple[str, int]:
    """Return the host and port of a listening socket; localhost and 80 for a Unix socket."""
    if listener.family == AF_UNIX:
        return "localhost", 80
    host, port = listener.getsockname()[:2]
    return host, port
