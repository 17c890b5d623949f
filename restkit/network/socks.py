"""Connect through a SOCKS proxy.

python-socks negotiates, or PySocks where only that is installed, over a socket that is connected to
the proxy already. Neither opens or resolves anything. The errors are made here, from the bytes that
the proxy sent, so that they are the same with both packages.

Facts that the code depends on. python-socks 3.0 to 3.2: ``sync.Proxy`` gets its socket from
``forward.connect(dest_host, dest_port, timeout)``; it reads by ``recv`` and writes by ``sendall``,
and closes on any exception; it encodes user names and passwords by ``str.encode('ascii')`` and
takes their ``len``. A timeout becomes a ``ProxyTimeoutError`` with the original as its cause, other
errors of the socket stay unchanged. PySocks 1.7.1: ``socksocket.connect`` connects by the
``connect`` of the next class in the order of bases, and then negotiates. It reads through
``makefile``, and so through ``recv_into``. It writes a length above 127 as two bytes. Its own
errors are OSErrors; with ``catch_errors``, errors of the socket stay unchanged. In both, a host
that is an address is sent as one, and a socket waits its whole timeout for each byte.
"""

from __future__ import annotations

import socket
from functools import cache
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeAlias

from restkit.errors import ProxyError, RequestError
from restkit.network.options import SecondsLeft
from restkit.url.host import join_host_port

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_Credentials: TypeAlias = "tuple[str | None, str | None]"
_Place: TypeAlias = "tuple[str, int]"

_MAX_HOST = 127  # the longest that PySocks encodes; the same with both packages

_WORDS_5 = {
    1: "General SOCKS server failure",
    2: "Connection not allowed by ruleset",
    3: "Network unreachable",
    4: "Host unreachable",
    5: "Connection refused",
    6: "TTL expired",
    7: "Command not supported, or protocol error",
    8: "Address type not supported",
}
_WORDS_4 = {
    0x5B: "Request rejected or failed",
    0x5C: "Request rejected because SOCKS server cannot connect to identd on the client",
    0x5D: "Request rejected because the client program and identd report different user-ids",
}
_INVALID = b"\xff"  # no reply of either version begins with it


def import_socks_package() -> ModuleType:
    """Return python-socks or else PySocks; raise ImportError without restkit[socks].

    Only a program with a SOCKS proxy loads it.
    """
    module: ModuleType
    try:
        import python_socks
        from python_socks.sync import Proxy

        Proxy(python_socks.ProxyType.SOCKS5, "", 0, forward=None)
        module = python_socks
    except (ImportError, TypeError):
        # Without ``forward``, before 3.0, it cannot use a socket that is connected already.
        import socks

        module = socks
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
    name, where = join_host_port(*proxy), join_host_port(*target)
    is_pysocks = import_socks_package().__name__ == "socks"
    negotiate = _negotiate_by_pysocks if is_pysocks else _negotiate_by_python_socks
    negotiation_class = _pysocks_class() if is_pysocks else _NegotiationSocket
    received = bytearray()
    with negotiation_class(sock.family, sock.type, sock.proto, sock.detach()) as negotiation:
        if len(target[0]) > _MAX_HOST:
            raise RequestError(
                f"the proxy {name} cannot be asked for a host name of more than {_MAX_HOST} "
                "characters; socks5:// or socks4:// looks it up on this machine"
            )
        negotiation.seconds_left, negotiation.received = seconds_left, received
        negotiation.settimeout(seconds_left())
        try:
            negotiate(negotiation, scheme, credentials, target)
        except _InvalidReply as exc:
            message = _refusal(bytes(received), scheme, name, where, credentials)
            raise ProxyError(message) from exc.__cause__
        except TimeoutError:
            raise
        except OSError as exc:
            raise ProxyError(
                f"the proxy {name} dropped the connection during the request for {where}: "
                f"{exc.strerror or exc}"
            ) from exc
        return socket.socket(fileno=negotiation.detach())


class _InvalidReply(Exception):
    """The proxy refused, or sent something else; the cause is the exception of the package."""


class _NegotiationSocket(socket.socket):
    """A socket during the negotiation. It keeps what it receives, and no read is late.

    The time left covers the whole reply, also if the proxy sends it byte by byte.
    """

    seconds_left: SecondsLeft
    received: bytearray

    def connect(self, address: Any, **_: Any) -> None:
        """Do nothing: the socket is connected already."""

    def recv(self, bufsize: int, flags: int = 0, /) -> bytes:
        self.settimeout(self.seconds_left())
        data = super().recv(bufsize, flags)
        self.received += data
        return data

    def recv_into(self, buffer: WriteableBuffer, nbytes: int = 0, flags: int = 0) -> int:
        self.settimeout(self.seconds_left())
        count = super().recv_into(buffer, nbytes, flags)
        with memoryview(buffer) as view, view.cast("B") as flat:
            self.received += flat[:count]
        return count


def _negotiate_by_python_socks(
    negotiation: socket.socket, scheme: str, credentials: _Credentials, target: _Place
) -> None:
    from python_socks import ProxyError as Refused
    from python_socks import ProxyTimeoutError, ProxyType
    from python_socks.sync import Proxy

    kind = ProxyType.SOCKS4 if scheme.startswith("socks4") else ProxyType.SOCKS5
    user, password = (None if each is None else _UTF8(each) for each in credentials)
    forward: Any = _Connected(negotiation)
    # The host and port of the proxy are not used: ``forward`` returns the socket.
    proxy = Proxy(kind, "", 0, user, password, rdns=True, forward=forward)
    try:
        proxy.connect(*target)
    except ProxyTimeoutError as exc:
        raise exc.__cause__ or exc  # noqa: B904  # the cause is the timeout of the socket
    except UnicodeDecodeError:
        # It has read a whole reply of success, and then decodes the name that the proxy reports
        # for its own end. That name is not used, and PySocks does not decode it.
        pass
    except Refused as exc:
        raise _InvalidReply from exc


class _Connected:
    """The part of ``sync.Proxy`` that another one uses to reach its proxy, and of its socket.

    It leaves closing to ``open_socks_tunnel``: python-socks closes the socket on any exception.
    """

    def __init__(self, sock: socket.socket) -> None:
        self.recv = sock.recv
        self.sendall = sock.sendall

    def connect(self, **_: Any) -> _Connected:
        return self

    def close(self) -> None:
        """Do nothing."""


class _UTF8(str):
    """Text that python-socks sends as UTF-8, as PySocks does: it encodes as ASCII otherwise."""

    __slots__ = ()

    def encode(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:  # noqa: ARG002
        return super().encode()

    def __len__(self) -> int:
        return len(self.encode())


def _negotiate_by_pysocks(
    negotiation: Any, scheme: str, credentials: _Credentials, target: _Place
) -> None:
    socks = import_socks_package()
    version = socks.SOCKS4 if scheme.startswith("socks4") else socks.SOCKS5
    # The host and port of the proxy are not used: the socket is connected.
    negotiation.set_proxy(version, "proxy", 1080, True, *credentials)
    try:
        negotiation.connect(target, catch_errors=True)
    except socks.ProxyError as exc:
        raise _InvalidReply from exc


@cache
def _pysocks_class() -> Any:
    """Return the class of sockets that negotiate by PySocks, which is one of its bases."""

    class Negotiation(import_socks_package().socksocket, _NegotiationSocket):  # type: ignore[misc]  # no types
        """Its reads pass through ``recv_into`` of the second base."""

    return Negotiation


def _refusal(received: bytes, scheme: str, name: str, where: str, credentials: _Credentials) -> str:
    """Return the message for a negotiation that failed, from the bytes that the proxy sent."""
    reply, version, granted, words = received, 0, 0x5A, _WORDS_4
    if scheme.startswith("socks5"):
        if _is_about_credentials(received, credentials):
            if credentials[0] is not None:
                return f"the proxy {name} did not accept the user name and the password"
            return (
                f"the proxy {name} requires a user name and a password: give "
                f"{scheme}://user:password@..."
            )
        version, granted, words = 5, 0, _WORDS_5
        if received[:1] == b"\x05":
            # Its replies before the one to the request: the method, and after method 2 a status.
            replies = {b"": received, b"\x00": received[2:], b"\x02": received[4:]}
            reply = replies.get(received[1:2], _INVALID)
    if len(reply) > 1 and reply[0] == version and reply[1] != granted:
        code = reply[1]
        reason = f"{words.get(code, 'Unknown error')} ({code:#04x})"
        return f"the proxy {name} could not connect to {where}: {reason}"
    if not reply or reply[0] == version:
        reason = "Connection closed unexpectedly"
    else:
        reason = f"{scheme[:6].upper()} proxy server sent invalid data"
    return f"the proxy {name} sent no valid {scheme} reply for {where}: {reason}"


def _is_about_credentials(received: bytes, credentials: _Credentials) -> bool:
    """Whether a SOCKS5 proxy asks for credentials that are missing or that it does not accept."""
    if received[:2] == b"\x05\xff":
        return True
    if received[:2] != b"\x05\x02":
        return False
    # The status of credentials: 1 for the version of this exchange, and 0 for success.
    return credentials[0] is None or (len(received) > 3 and received[2:4] != b"\x01\x00")
