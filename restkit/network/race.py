"""Resolve a name and race its addresses (RFC 8305).

Fact that the code depends on: a non-blocking connect to a Unix socket whose queue is full fails
with EAGAIN, and no event tells when there is room again (connect(2)).
"""

from __future__ import annotations

import socket
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import zip_longest
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any, NamedTuple

from restkit.errors import ConnectError, Error, RequestError
from restkit.io.sockets import AF_UNIX, CONNECT_IN_PROGRESS, WRITE, make_socket_error, poll
from restkit.network.options import Connect, SecondsLeft, SocketOption, socket_path
from restkit.network.route import Route
from restkit.url.host import join_host_port

if TYPE_CHECKING:
    from ipaddress import IPv4Address, IPv6Address  # loaded at the first use only


# The seconds before the next address is tried as well (RFC 8305 section 5).
_HEAD_START = 0.25
_QUEUE_PAUSE = 0.01


class Address(NamedTuple):
    """One address of a host; ``sockaddr`` is the argument of ``connect``, a path for AF_UNIX.

    >>> str(Address(socket.AF_INET, ('127.0.0.1', 80)))
    '127.0.0.1:80'
    """

    family: int
    sockaddr: tuple[Any, ...] | str

    def __str__(self) -> str:
        if isinstance(self.sockaddr, str):
            return socket_path(self.sockaddr)
        host, port, *v6 = self.sockaddr
        zone = f"%{v6[1]}" if v6 and v6[1] else ""
        return join_host_port(f"{host}{zone}", port)


def resolve(route: Route) -> list[Address]:
    """Return the addresses in the system's order, families alternating. Blocks.

    The order is that of RFC 6724; for the alternation see RFC 8305 section 4.
    """
    if route.network.uds is not None:
        assert AF_UNIX is not None  # checked when the Client is made
        return [Address(AF_UNIX, route.network.uds)]
    host = route.host if route.address is None else route.address
    found = socket.getaddrinfo(host, route.port, type=socket.SOCK_STREAM)
    addresses = list(dict.fromkeys(Address(each[0], each[4]) for each in found))
    if not addresses:
        raise ConnectError(f"{route.host_and_port}: the name has no address")
    preferred = [each for each in addresses if each.family == addresses[0].family]
    others = [each for each in addresses if each.family != addresses[0].family]
    turns = zip_longest(preferred, others)
    return [each for turn in turns for each in turn if each is not None]


class CallerError(BaseException):
    """Carries an exception of a caller's function past the code that translates exceptions."""

    def __init__(self, error: Exception) -> None:
        super().__init__(error)
        self.error = error


def allowed_addresses(addresses: list[Address], route: Route) -> list[Address]:
    """Return the addresses that the route's check allows.

    Raises ConnectError if it allows none, and CallerError if the check itself fails.
    """
    check = route.network.address_check
    if check is None:
        return addresses
    if route.network.uds is not None:
        raise RequestError(
            f"check_address= cannot be applied: the socket {route.network.uds!r} has no IP address"
        )
    try:
        allowed = [each for each in addresses if check(_as_ip(each))]
    except Exception as exc:
        raise CallerError(exc) from exc
    if not allowed:
        forbidden = ", ".join(dict.fromkeys(str(_as_ip(each)) for each in addresses))
        raise ConnectError(f"{route.host_and_port}: check_address= forbids {forbidden}")
    return allowed


def checks_allow(route: Route, address: str | None, origin_address: str | None) -> bool:
    """Call the checks of a route; return whether they allow an open connection.

    ``address`` is the IP address of the connected origin or proxy, or None. ``origin_address`` is
    the address that was requested from a SOCKS proxy. A connection with an unknown address is not
    allowed. Raises the exceptions of the checks.
    """
    network, proxy = route.network, route.proxy
    first = network.address_check if proxy is None else proxy.address_check
    if first is not None:
        if address is None or network.uds is not None or network.connect is not None:
            return False  # dialing raises the error
        if not first(_bare_ip(address)):
            return False
    if proxy is None or proxy.looks_up or network.address_check is None:
        return True
    return origin_address is not None and bool(network.address_check(_bare_ip(origin_address)))


def connect_by_caller(
    connect: Connect, route: Route, socket_options: Iterable[SocketOption]
) -> socket.socket:
    """Return the socket that the caller's function opens, with its options set.

    An OSError of the function counts as one of connecting; another exception is a CallerError.
    """
    if route.network.address_check is not None:
        raise RequestError("check_address= cannot be applied: connect= opens sockets itself")
    try:
        sock: object = connect(route.host if route.address is None else route.address, route.port)
        if not isinstance(sock, socket.socket):
            raise TypeError(f"connect= must return a connected socket; got a {type(sock).__name__}")
    except (Error, OSError):
        raise
    except Exception as exc:
        raise CallerError(exc) from exc
    with close_on_failure(sock):
        if sock.family in (socket.AF_INET, socket.AF_INET6):  # others have no TCP
            for option in socket_options:
                sock.setsockopt(*option)
    return sock


@contextmanager
def close_on_failure(sock: socket.socket) -> Iterator[None]:
    """Close the socket if the block raises."""
    try:
        yield
    except BaseException:
        sock.close()
        raise


def _as_ip(address: Address) -> IPv4Address | IPv6Address:
    return _bare_ip(address.sockaddr[0])


def _bare_ip(text: str) -> IPv4Address | IPv6Address:
    """Return the bare address: without a zone, and IPv4 in IPv6 as IPv4."""
    from ipaddress import ip_address

    ip = ip_address(text.partition("%")[0])
    return (ip.version == 6 and ip.ipv4_mapped) or ip


class Race:
    """Sockets that connect to one host at the same time. All except the released one are closed.

    ``failures`` describes, for each address, its failure.
    """

    def __init__(
        self,
        socket_options: Iterable[SocketOption],
        source_address: tuple[str, int] | None,
        seconds_left: SecondsLeft,
    ) -> None:
        self._socket_options = socket_options
        self._source_address = source_address
        self._seconds_left = seconds_left
        self._running: dict[Address, socket.socket] = {}
        self._poll = poll()
        # As text: stored exceptions would keep their frames alive.
        self.failures: dict[str, str] = {}
        self._last_error: OSError | None = None

    def __enter__(self) -> Race:
        return self

    def __exit__(self, *exc: object) -> None:
        for address in list(self._running):
            self._drop(address, TimeoutError("no response"))
        self._last_error = None

    def connect(self, addresses: Sequence[Address]) -> socket.socket:
        """Return the first socket that is connected. Blocks; raises the last error of a socket."""
        if len(addresses) == 1:
            return self._connect_only(addresses[0])
        return self._run(addresses)

    def _connect_only(self, address: Address) -> socket.socket:
        try:
            sock = self._open(address)
            self._connect(sock, address)
        except OSError as exc:
            if not is_own_timeout(exc):
                self._drop(address, exc)
            raise
        return sock

    def _run(self, addresses: Sequence[Address]) -> socket.socket:
        """Connect to several addresses, and start each one _HEAD_START after the previous one."""
        waiting = deque(addresses)
        next_start = 0.0
        while waiting or self._running:
            if waiting and monotonic() >= next_start:
                started = self._start(waiting.popleft())
                next_start = monotonic() + _HEAD_START if started else 0.0
                continue
            for descriptor, _ in self._poll.poll(self._pause(next_start if waiting else None)):
                sock = self._finish(descriptor)
                if sock is not None:
                    return sock
                next_start = 0.0
        assert self._last_error is not None
        raise self._last_error

    def release(self, winner: socket.socket) -> None:
        """Hand the winning socket to the caller, who then closes it."""
        self._running = {a: sock for a, sock in self._running.items() if sock is not winner}

    def _connect(self, sock: socket.socket, address: Address) -> None:
        while True:
            sock.settimeout(self._seconds_left())
            try:
                return sock.connect(address.sockaddr)
            except BlockingIOError:
                if address.family != AF_UNIX:
                    raise
                sleep(_QUEUE_PAUSE)

    def _open(self, address: Address) -> socket.socket:
        sock = self._running[address] = socket.socket(address.family, socket.SOCK_STREAM)
        if address.family == AF_UNIX:
            return sock
        for option in self._socket_options:
            sock.setsockopt(*option)
        if self._source_address is not None:
            sock.bind(self._source_address)
        return sock

    def _start(self, address: Address) -> bool:
        try:
            sock = self._open(address)
            sock.setblocking(False)
            code = sock.connect_ex(address.sockaddr)
        except OSError as exc:
            self._drop(address, exc)
            return False
        if code not in CONNECT_IN_PROGRESS:
            self._drop(address, make_socket_error(code))
            return False
        self._poll.register(sock, WRITE)
        return True

    def _pause(self, next_start: float | None) -> float | None:
        """Return the milliseconds to wait for a socket, until the next start or the deadline."""
        left = self._seconds_left()
        if next_start is not None:
            pause = max(next_start - monotonic(), 0.0)
            left = pause if left is None else min(left, pause)
        return None if left is None else left * 1000

    def _finish(self, descriptor: int) -> socket.socket | None:
        address, sock = next(
            each for each in self._running.items() if each[1].fileno() == descriptor
        )
        code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code == 0:
            return sock
        self._poll.unregister(descriptor)
        self._drop(address, make_socket_error(code))
        return None

    def _drop(self, address: Address, reason: OSError) -> None:
        self.failures[str(address)] = describe_os_error(reason)
        self._last_error = reason
        if address in self._running:
            self._running.pop(address).close()


def describe_os_error(exc: OSError) -> str:
    """Return the message of the system for an error, without its number."""
    return exc.strerror or str(exc)


def is_own_timeout(exc: OSError) -> bool:
    """Return whether a TimeoutError comes from our deadline; one of the system has a number."""
    return isinstance(exc, TimeoutError) and exc.errno is None
