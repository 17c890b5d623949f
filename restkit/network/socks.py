"""Connect through a SOCKS proxy.

A way through a SOCKS proxy, by PySocks, over a socket that is connected to it already.

Facts the code rests on (PySocks 1.7.1). ``socksocket.connect`` connects by ``connect`` of
the next class in the order of bases, and then asks; it reads through ``makefile``, and so
through ``recv_into``, with the socket's whole timeout for each byte. It writes a length above
127 as two bytes. Its own errors are OSErrors, and with ``catch_errors`` those of the socket stay
what they are. A host that is an address goes as one, whoever was to look up names.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

import socks

from restkit.errors import ProxyError, RequestError
from restkit.url.host import host_and_port

if TYPE_CHECKING:
    from collections.abc import Callable

    from restkit.network.proxy import Proxy

    SecondsLeft = Callable[[], float | None]


_LONGEST_HOST = 127


def ask_socks(
    sock: socket.socket, proxy: Proxy, place: tuple[str, int], seconds_left: SecondsLeft
) -> socket.socket:
    """Ask the proxy that ``sock`` leads to for a way to a host and port; the socket that is it.

    ``sock`` has been given up for it, or is closed. Raises ProxyError, RequestError for what
    cannot be asked, and TimeoutError when ``seconds_left`` does or the socket's time is over.
    """
    asking = _Asking(sock.family, sock.type, sock.proto, sock.detach())
    try:
        return asking.way_to(proxy, place, seconds_left)
    except BaseException:
        asking.close()
        raise


class _Connected(socket.socket):
    """Stands where PySocks looks for the way to the proxy, and finds it gone already."""

    __slots__ = ()

    def connect(self, address: Any, **_: Any) -> None:
        """Nothing is left to do."""


class _Asking(socks.socksocket, _Connected):  # type: ignore[misc]  # PySocks has no types
    """A socket while the proxy is being asked; no look or wait is longer than the time left."""

    _seconds_left: SecondsLeft

    def way_to(
        self, proxy: Proxy, place: tuple[str, int], seconds_left: SecondsLeft
    ) -> socket.socket:
        host, port = place
        if len(host) > _LONGEST_HOST:
            raise RequestError(
                f"the proxy {proxy.where} cannot be asked for a name of more than "
                f"{_LONGEST_HOST} characters; socks5:// or socks4:// looks it up here"
            )
        kind = socks.SOCKS4 if proxy.scheme.startswith("socks4") else socks.SOCKS5
        self._seconds_left = seconds_left
        self.set_proxy(kind, proxy.host, proxy.port, True, proxy.username, proxy.password)
        self.settimeout(seconds_left())
        try:
            self.connect(place, catch_errors=True)
        except socks.ProxyError as exc:
            raise ProxyError(_refusal(exc, proxy, host_and_port(host, port))) from exc
        except TimeoutError:
            raise
        except OSError as exc:
            raise ProxyError(
                f"the proxy {proxy.where} broke the connection off when it was asked for "
                f"{host_and_port(host, port)}: {exc.strerror or exc}"
            ) from exc
        return socket.socket(fileno=self.detach())

    def recv_into(self, *args: Any) -> int:
        # A proxy that drips its answer is not given the whole time for each drop.
        self.settimeout(self._seconds_left())
        return super().recv_into(*args)


def _refusal(exc: Exception, proxy: Proxy, where: str) -> str:
    if isinstance(exc, socks.SOCKS5AuthError):
        if proxy.username is None:
            return (
                f"the proxy {proxy.where} wants a user name and a password: "
                f"{proxy.scheme}://user:password@"
            )
        return f"the proxy {proxy.where} did not accept the user name and the password"
    if isinstance(exc, (socks.SOCKS5Error, socks.SOCKS4Error)):
        code, _, words = str(exc).partition(": ")
        return f"the proxy {proxy.where} could not connect to {where}: {words} ({code})"
    what = str(exc)
    return f"the proxy {proxy.where} gave no answer of {proxy.scheme} for {where}: {what}"
