"""Resolve a name and race its addresses (RFC 8305).

From a name to one connected socket: the addresses, and the race between them (RFC 8305).

Fact the code rests on. A Unix socket whose queue is full refuses with EAGAIN who does not block,
and nothing tells when there is room again (connect(2)).
"""

from __future__ import annotations

import os
import socket
from collections import deque
from contextlib import contextmanager
from errno import EINPROGRESS, EINTR
from itertools import zip_longest
from select import POLLOUT, poll
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any, NamedTuple

from restkit.errors import ConnectError, Error, RequestError
from restkit.network.options import socket_path
from restkit.url.host import host_and_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from ipaddress import IPv4Address, IPv6Address

    from restkit.network.options import Connect, SocketOption
    from restkit.network.route import Route


# How long an address is tried before the next one is tried beside it (RFC 8305 section 5).
_HEAD_START = 0.25
_UNDER_WAY = (0, EINPROGRESS, EINTR)
_QUEUE_PAUSE = 0.01


class Address(NamedTuple):
    """One address of a host, as sockets take it: a path, where the family is AF_UNIX."""

    family: int
    place: tuple[Any, ...] | str

    def __str__(self) -> str:
        if isinstance(self.place, str):
            return socket_path(self.place)
        host, port, *v6 = self.place
        zone = f"%{v6[1]}" if v6 and v6[1] else ""
        return host_and_port(f"{host}{zone}", port)


def look_up(route: Route) -> list[Address]:
    """The addresses in the system's order (RFC 6724), families in turn (RFC 8305 section 4)."""
    if route.network.uds is not None:
        return [Address(socket.AF_UNIX, route.network.uds)]
    host = route.host if route.address is None else route.address
    found = socket.getaddrinfo(host, route.port, type=socket.SOCK_STREAM)
    addresses = list(dict.fromkeys(Address(each[0], each[4]) for each in found))
    if not addresses:
        raise ConnectError(f"{route.where}: the name has no address")
    preferred = [each for each in addresses if each.family == addresses[0].family]
    others = [each for each in addresses if each.family != addresses[0].family]
    turns = zip_longest(preferred, others)
    return [each for turn in turns for each in turn if each is not None]


class CallerRaised(BaseException):
    """What a function of the caller's raised, on its way past what translates exceptions."""

    def __init__(self, error: Exception) -> None:
        super().__init__(error)
        self.error = error


def permitted(addresses: list[Address], route: Route) -> list[Address]:
    """Those that the route's check does not forbid; CallerRaised, should the check itself fail."""
    check = route.network.address_check
    if check is None:
        return addresses
    if route.network.uds is not None:
        raise RequestError(
            f"check_address= cannot be kept: the socket {route.network.uds!r} has no IP address"
        )
    try:
        allowed = [each for each in addresses if check(_ip_of(each))]
    except Exception as exc:
        raise CallerRaised(exc) from exc
    if not allowed:
        forbidden = ", ".join(dict.fromkeys(str(_ip_of(each)) for each in addresses))
        raise ConnectError(f"{route.where}: check_address= forbids {forbidden}")
    return allowed


def by_caller(
    connect: Connect, route: Route, socket_options: Iterable[SocketOption]
) -> socket.socket:
    """The socket that a function of the caller's opens; its OSError is one of connecting.

    Any other exception of its own is CallerRaised.
    """
    if route.network.address_check is not None:
        raise RequestError("check_address= cannot be kept: connect= opens sockets itself")
    try:
        sock: object = connect(route.host if route.address is None else route.address, route.port)
        if not isinstance(sock, socket.socket):
            raise TypeError(f"connect= gave a {type(sock).__name__}; a connected socket is wanted")
    except (Error, OSError):
        raise
    except Exception as exc:
        raise CallerRaised(exc) from exc
    with closed_on_failure(sock):
        for option in () if sock.family == socket.AF_UNIX else socket_options:
            sock.setsockopt(*option)
    return sock


@contextmanager
def closed_on_failure(sock: socket.socket) -> Iterator[None]:
    """For what is still to be done with a socket: it is closed where that fails."""
    try:
        yield
    except BaseException:
        sock.close()
        raise


def _ip_of(address: Address) -> IPv4Address | IPv6Address:
    """The bare address: an IPv4 one is itself however it was written, and there is no zone."""
    from ipaddress import ip_address

    ip = ip_address(address.place[0].partition("%")[0])
    return (ip.version == 6 and ip.ipv4_mapped) or ip


class Race:
    """Sockets on their way to one host; in the end all are closed but the one that was let go."""

    def __init__(
        self,
        socket_options: Iterable[tuple[int, int, int | bytes]],
        source_address: tuple[str, int] | None,
        seconds_left: Callable[[], float | None],
    ) -> None:
        self._socket_options = socket_options
        self._source_address = source_address
        self._seconds_left = seconds_left
        self._running: dict[Address, socket.socket] = {}
        self._poll = poll()
        # In words: an exception that is kept would keep the frames that it went through.
        self.failures: dict[str, str] = {}
        self._last: OSError | None = None

    def __enter__(self) -> Race:
        return self

    def __exit__(self, *exc: object) -> None:
        for address in list(self._running):
            self._drop(address, TimeoutError("no answer"))
        self._last = None

    def alone(self, address: Address) -> socket.socket:
        """Connect to the one address there is."""
        try:
            sock = self._open(address)
            self._connect(sock, address)
        except OSError as exc:
            if not is_ours(exc):
                self._drop(address, exc)
            raise
        return sock

    def run(self, addresses: Sequence[Address]) -> socket.socket:
        """Connect to several, each a little after the one before; the first that is through."""
        waiting = deque(addresses)
        next_start = 0.0
        while waiting or self._running:
            if waiting and monotonic() >= next_start:
                begun = self._begin(waiting.popleft())
                next_start = monotonic() + _HEAD_START if begun else 0.0
                continue
            for number, _ in self._poll.poll(self._pause(next_start if waiting else None)):
                sock = self._settled(number)
                if sock is not None:
                    return sock
                next_start = 0.0
        assert self._last is not None
        raise self._last

    def let_go(self, winner: socket.socket) -> None:
        """Leave a socket to the caller."""
        self._running = {a: sock for a, sock in self._running.items() if sock is not winner}

    def _connect(self, sock: socket.socket, address: Address) -> None:
        while True:
            sock.settimeout(self._seconds_left())
            try:
                return sock.connect(address.place)
            except BlockingIOError:
                if address.family != socket.AF_UNIX:
                    raise
                sleep(_QUEUE_PAUSE)

    def _open(self, address: Address) -> socket.socket:
        sock = self._running[address] = socket.socket(address.family, socket.SOCK_STREAM)
        if address.family == socket.AF_UNIX:
            return sock
        for option in self._socket_options:
            sock.setsockopt(*option)
        if self._source_address is not None:
            sock.bind(self._source_address)
        return sock

    def _begin(self, address: Address) -> bool:
        try:
            sock = self._open(address)
            sock.setblocking(False)
            code = sock.connect_ex(address.place)
        except OSError as exc:
            self._drop(address, exc)
            return False
        if code not in _UNDER_WAY:
            self._drop(address, OSError(code, os.strerror(code)))
            return False
        self._poll.register(sock, POLLOUT)
        return True

    def _pause(self, next_start: float | None) -> float | None:
        """Milliseconds to wait for an answer, before the next start or the end."""
        left = self._seconds_left()
        if next_start is not None:
            pause = max(next_start - monotonic(), 0.0)
            left = pause if left is None else min(left, pause)
        return None if left is None else left * 1000

    def _settled(self, number: int) -> socket.socket | None:
        address, sock = next(each for each in self._running.items() if each[1].fileno() == number)
        code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code == 0:
            return sock
        self._poll.unregister(number)
        self._drop(address, OSError(code, os.strerror(code)))
        return None

    def _drop(self, address: Address, why: OSError) -> None:
        self.failures[str(address)] = in_words(why)
        self._last = why
        if address in self._running:
            self._running.pop(address).close()


def in_words(exc: OSError) -> str:
    """What the system says of an error, without its number."""
    return exc.strerror or str(exc)


def is_ours(exc: OSError) -> bool:
    """Whether a TimeoutError is of our own clock, and not of the system's, which has a number."""
    return isinstance(exc, TimeoutError) and exc.errno is None
