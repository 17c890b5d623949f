"""Log the connections that are opened."""

from __future__ import annotations

import socket
import ssl
from time import perf_counter
from typing import Any

from restkit.log import DEBUG, get_logger
from restkit.network.options import socket_path
from restkit.network.route import Route
from restkit.url.host import join_host_port


def log_connected(route: Route, sock: Any, started: float) -> None:
    """Log a new connection: address, version of TLS, and milliseconds since ``started``.

    The address is that of the first hop: of the proxy, if there is one.
    """
    logger = get_logger()
    if logger.isEnabledFor(DEBUG):
        by = "" if route.proxy is None else f" by the proxy {route.proxy}"
        where = f"{route.host_and_port}{by} at {_describe_address(sock)}"
        milliseconds = (perf_counter() - started) * 1000
        logger.debug("connected to %s, %s, %.1f ms", where, _describe_tls(sock), milliseconds)


def _describe_address(sock: Any) -> str:
    # TLS inside TLS has the socket in ``outer``.
    try:
        address = getattr(sock, "outer", sock).getpeername()
    except OSError:
        return "an unknown address"  # the server has closed the connection already
    if isinstance(address, tuple):
        return join_host_port(address[0], address[1])
    return socket_path(address if isinstance(address, str) else repr(address))


def _describe_tls(sock: Any) -> str:
    secure = getattr(sock, "inner", sock)
    if isinstance(secure, socket.socket) and not isinstance(secure, ssl.SSLSocket):
        return "no TLS"
    return f"{secure.version()}"
