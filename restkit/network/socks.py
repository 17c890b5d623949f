"""Connect through a SOCKS proxy.

PySocks negotiates over a socket that is connected to the proxy already.

Facts that the code depends on (PySocks 1.7.1). ``socksocket.connect`` connects by the ``connect``
of the next class in the order of bases, and then negotiates. It reads through ``makefile``, and
so through ``recv_into``, with the socket's whole timeout for each byte. It writes a length above
127 as two bytes. Its own errors are OSErrors; with ``catch_errors``, errors of the socket stay
unchanged. A host that is an address is sent as one, whichever side looks up names.
"""

from __future__ import annotations

import socket
from functools import cache
from types import ModuleType
from typing import Any

from restkit.errors import ProxyError, RequestError
from restkit.network.options import SecondsLeft
from restkit.url.host import join_host_port

_MAX_HOST = 127


def import_pysocks() -> ModuleType:
    """Return the module ``socks`` of PySocks, or raise ImportError without restkit[socks].

    Only a program with a SOCKS proxy loads it.
    """
    import socks

    module: ModuleType = socks
    return module


def open_socks_tunnel(
    sock: socket.socket,
    scheme: str,
    proxy: tuple[str, int],
    credentials: tuple[str | None, str | None],
    target: tuple[str, int],
    seconds_left: SecondsLeft,
) -> socket.socket:
    """Ask the proxy that ``sock`` is connected to for a connection to ``target``; return it.

    ``proxy`` and ``target`` are hosts and ports, ``credentials`` the user name and password.
    ``sock`` itself is detached, or closed on any exception. Raises ProxyError, RequestError if
    the request for the target cannot be encoded, and TimeoutError when ``seconds_left`` does or the
    timeout of the socket is over.
    """
    negotiation = _negotiation_class()(sock.family, sock.type, sock.proto, sock.detach())
    try:
        return _negotiate(negotiation, scheme, proxy, credentials, target, seconds_left)
    except BaseException:
        negotiation.close()
        raise


def _negotiate(
    negotiation: Any,
    scheme: str,
    proxy: tuple[str, int],
    credentials: tuple[str | None, str | None],
    target: tuple[str, int],
    seconds_left: SecondsLeft,
) -> socket.socket:
    socks = import_pysocks()
    name, where = join_host_port(*proxy), join_host_port(*target)
    if len(target[0]) > _MAX_HOST:
        raise RequestError(
            f"the proxy {name} cannot be asked for a host name of more than {_MAX_HOST} "
            "characters; socks5:// or socks4:// looks it up on this machine"
        )
    version = socks.SOCKS4 if scheme.startswith("socks4") else socks.SOCKS5
    negotiation.seconds_left = seconds_left
    negotiation.set_proxy(version, *proxy, True, *credentials)
    negotiation.settimeout(seconds_left())
    try:
        negotiation.connect(target, catch_errors=True)
    except socks.ProxyError as exc:
        message = _refusal(exc, scheme, name, where, has_user=credentials[0] is not None)
        raise ProxyError(message) from exc
    except TimeoutError:
        raise
    except OSError as exc:
        raise ProxyError(
            f"the proxy {name} dropped the connection during the request for {where}: "
            f"{exc.strerror or exc}"
        ) from exc
    return socket.socket(fileno=negotiation.detach())


@cache
def _negotiation_class() -> Any:
    """Return the class of sockets that negotiate; it needs PySocks as its base."""

    class Connected(socket.socket):
        """Overrides the method by which PySocks would connect to the proxy."""

        __slots__ = ()

        def connect(self, address: Any, **_: Any) -> None:
            """Do nothing: the socket is connected already."""

    class Negotiation(import_pysocks().socksocket, Connected):  # type: ignore[misc]  # no types
        """A socket during the negotiation; no read waits longer than the time left."""

        seconds_left: SecondsLeft

        def recv_into(self, *args: Any, **options: Any) -> int:
            # The time left covers the whole reply, also if the proxy sends it byte by byte.
            self.settimeout(self.seconds_left())
            count: int = super().recv_into(*args, **options)
            return count

    return Negotiation


def _refusal(exc: Exception, scheme: str, name: str, where: str, *, has_user: bool) -> str:
    socks = import_pysocks()
    if isinstance(exc, socks.SOCKS5AuthError):
        if has_user:
            return f"the proxy {name} did not accept the user name and the password"
        return (
            f"the proxy {name} requires a user name and a password: give "
            f"{scheme}://user:password@..."
        )
    if isinstance(exc, (socks.SOCKS5Error, socks.SOCKS4Error)):
        code, _, words = str(exc).partition(": ")
        return f"the proxy {name} could not connect to {where}: {words} ({code})"
    return f"the proxy {name} sent no valid {scheme} reply for {where}: {exc}"
