"""From a route to a connected socket: addresses, TCP, TLS, by urllib3's connection classes.

Facts the code rests on. urllib3 2.2 to 2.8: ``connect()`` has its TCP socket from
``self._new_conn()`` and from nowhere else, as urllib3's own contrib/socks.py relies on, and sets
no timeout itself; a name is looked up with its trailing dot and verified without it, IPv6
verified without its zone; nothing closes a socket that was taken away from the connection
object. A socket's timeout bounds its TLS handshake as a whole (CPython, Modules/_ssl.c), and
nothing bounds ``getaddrinfo``.
"""

from __future__ import annotations

import os
import socket
import ssl
from collections import deque
from errno import EINPROGRESS, EINTR
from itertools import zip_longest
from select import POLLOUT, poll
from time import monotonic, perf_counter
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from restkit.errors import (
    ConnectError,
    ConnectTimeout,
    Error,
    InvalidUrl,
    RequestTimeout,
    TLSError,
    TotalTimeout,
)
from restkit.wire.tls import Handshake

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from urllib3.connection import HTTPConnection

    from restkit.timeouts import Clock
    from restkit.wire.route import Route

# How long an address is tried before the next one is tried beside it (RFC 8305 section 5).
_HEAD_START = 0.25
_UNDER_WAY = (0, EINPROGRESS, EINTR)
# poll() counts its milliseconds in a C int.
_LONGEST = (2**31 - 1) / 1000


class Dialed(NamedTuple):
    """A connected socket, its TLS done, its timeout what was left for connecting.

    ``connected`` and ``secured`` say when that was, as ``time.perf_counter`` counts.
    """

    sock: socket.socket
    connected: float
    secured: float | None


def dial(route: Route, clock: Clock) -> Dialed:
    """Open a connection; blocks, for the look-up of a name without any bound.

    Raises ConnectError (each address, and what became of it), TLSError (the check that failed),
    ConnectTimeout or TotalTimeout, and RequestError where the route itself is at fault; nothing
    is left open then, whatever the exception.
    """
    attempt = _Attempt(route, clock)
    try:
        sock = _connected(attempt)
    except Error as exc:
        exc.sent = "nothing"
        raise
    except Exception as exc:
        ours = _translated(exc, attempt)
        if ours is None:
            raise
        ours.sent = "nothing"
        raise ours from exc
    return Dialed(sock, attempt.connected, perf_counter() if attempt.securing else None)


def _connected(attempt: _Attempt) -> socket.socket:
    connection = _urllib3_connection(attempt)
    try:
        connection.connect()
    except BaseException:
        connection.close()
        raise
    sock, connection.sock = connection.sock, None
    assert sock is not None
    return sock


def _urllib3_connection(attempt: _Attempt) -> HTTPConnection:
    # Imported at the first dial: `import restkit` has a budget, and these bring http.client.
    from urllib3.connection import HTTPConnection, HTTPSConnection

    route = attempt.route
    connection: HTTPConnection
    if route.scheme == "http":
        connection = HTTPConnection(route.host, route.port)
    else:
        attempt.handshake = Handshake(route.tls)
        context = attempt.handshake.as_context()
        # urllib3 would match names itself where the context has been told not to.
        names: Literal[False] | None = None if context.check_hostname else False
        connection = HTTPSConnection(
            route.host, route.port, ssl_context=context, assert_hostname=names
        )
    attempt.socket_options = connection.socket_options or ()
    connection._new_conn = attempt.connect  # type: ignore[method-assign]  # as said on top
    return connection


class _Attempt:
    """One dial under way: how far it has come, what failed, and how long it may go on."""

    def __init__(self, route: Route, clock: Clock) -> None:
        self.route = route
        self.clock = clock
        self.socket_options: Iterable[tuple[int, int, int | bytes]] = ()
        self.connected = 0.0
        self.failures: dict[str, OSError] = {}
        self.handshake: Handshake | None = None
        self._deadline: float | None = None

    @property
    def securing(self) -> bool:
        """Whether it is past TCP, at TLS."""
        return self.handshake is not None and self.handshake.begun

    def connect(self) -> socket.socket:
        """A socket connected to one of the host's addresses, the time left as its timeout."""
        addresses = _look_up(self.route)
        seconds = self.clock.connect_seconds()
        self._deadline = None if seconds is None else monotonic() + min(seconds, _LONGEST)
        with _Race(self) as race:
            sock = race.alone(addresses[0]) if len(addresses) == 1 else race.run(addresses)
            sock.settimeout(self.seconds_left())
            race.let_go(sock)
        self.connected = perf_counter()
        return sock

    def seconds_left(self) -> float | None:
        """What is left for connecting, None for no end; TimeoutError when nothing is."""
        if self._deadline is None:
            return None
        left = self._deadline - monotonic()
        if left <= 0:
            raise TimeoutError
        return left

    def out_of_time(self) -> RequestTimeout:
        doing = "in the TLS handshake" if self.securing else "connecting"
        try:
            self.clock.left(doing)
        except TotalTimeout as total:
            return total
        return ConnectTimeout(
            f"{self.route.where}: still {doing} when the {self.clock.timeout.connect:g} s of "
            f"Timeout.connect were over{self._tally()}"
        )

    def unreachable(self) -> ConnectError:
        return ConnectError(f"cannot connect to {self.route.where}{self._tally()}")

    def _tally(self) -> str:
        """What became of each address; an address that the URL names itself goes without name."""
        if self.securing:
            return ""
        named = {
            "" if at == self.route.where else f"{at} ": why for at, why in self.failures.items()
        }
        return ": " + "; ".join(f"{at}{_why(why)}" for at, why in named.items())


class _Address(NamedTuple):
    family: int
    place: tuple[Any, ...]

    def __str__(self) -> str:
        host, port, *v6 = self.place
        zone = f"%{v6[1]}" if v6 and v6[1] else ""
        return f"[{host}{zone}]:{port}" if v6 else f"{host}:{port}"


def _look_up(route: Route) -> list[_Address]:
    """The addresses in the system's order (RFC 6724), families in turn (RFC 8305 section 4)."""
    found = socket.getaddrinfo(route.host, route.port, type=socket.SOCK_STREAM)
    addresses = list(dict.fromkeys(_Address(each[0], each[4]) for each in found))
    if not addresses:
        raise ConnectError(f"{route.where}: the name has no address")
    preferred = [each for each in addresses if each.family == addresses[0].family]
    others = [each for each in addresses if each.family != addresses[0].family]
    turns = zip_longest(preferred, others)
    return [each for turn in turns for each in turn if each is not None]


class _Race:
    """Sockets on their way to one host; in the end all are closed but the one that was let go."""

    def __init__(self, attempt: _Attempt) -> None:
        self._attempt = attempt
        self._running: dict[_Address, socket.socket] = {}
        self._poll = poll()

    def __enter__(self) -> _Race:
        return self

    def __exit__(self, *exc: object) -> None:
        for address in list(self._running):
            self._drop(address, TimeoutError("no answer"))

    def alone(self, address: _Address) -> socket.socket:
        """Connect to the one address there is."""
        try:
            sock = self._open(address)
            sock.settimeout(self._attempt.seconds_left())
            sock.connect(address.place)
        except OSError as exc:
            if isinstance(exc, TimeoutError) and exc.errno is None:
                raise
            self._drop(address, exc)
            raise self._attempt.unreachable() from exc
        return sock

    def run(self, addresses: Sequence[_Address]) -> socket.socket:
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
        *_, last = self._attempt.failures.values()
        raise self._attempt.unreachable() from last

    def let_go(self, winner: socket.socket) -> None:
        """Leave a socket to the caller."""
        self._running = {a: sock for a, sock in self._running.items() if sock is not winner}

    def _open(self, address: _Address) -> socket.socket:
        sock = self._running[address] = socket.socket(address.family, socket.SOCK_STREAM)
        for option in self._attempt.socket_options:
            sock.setsockopt(*option)
        if self._attempt.route.source_address is not None:
            sock.bind(self._attempt.route.source_address)
        return sock

    def _begin(self, address: _Address) -> bool:
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
        left = self._attempt.seconds_left()
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

    def _drop(self, address: _Address, why: OSError) -> None:
        self._attempt.failures[str(address)] = why
        if address in self._running:
            self._running.pop(address).close()


def _why(exc: OSError) -> str:
    return exc.strerror or str(exc)


def _translated(exc: Exception, attempt: _Attempt) -> Error | None:
    """Ours for what urllib3, ssl and sockets raise, None for anything else; the one table."""
    from urllib3.exceptions import HTTPError
    from urllib3.util.ssl_match_hostname import CertificateError

    kinds: tuple[tuple[type[Exception], Callable[[Any, _Attempt], Error]], ...] = (
        (ssl.SSLError, _tls_failed),
        (CertificateError, _tls_failed),
        (TimeoutError, _too_late),
        (socket.gaierror, _not_found),
        (UnicodeError, _no_host),
        (OSError, _broken),
        (HTTPError, _broken),
    )
    for kind, ours in kinds:
        if isinstance(exc, kind):
            return ours(exc, attempt)
    return None


def _tls_failed(exc: ssl.SSLError | ValueError, attempt: _Attempt) -> Error:
    assert attempt.handshake is not None
    why = attempt.handshake.what_failed(exc, attempt.route.host.rstrip("."))
    return TLSError(f"{attempt.route.where}: {why}")


def _too_late(exc: TimeoutError, attempt: _Attempt) -> Error:
    # One with a number is the system's own, which has given up before we did.
    return attempt.out_of_time() if exc.errno is None else _broken(exc, attempt)


def _not_found(exc: socket.gaierror, attempt: _Attempt) -> Error:
    return ConnectError(f"{attempt.route.where}: no address for this name: {_why(exc)}")


def _no_host(exc: UnicodeError, attempt: _Attempt) -> Error:
    return InvalidUrl(f"{attempt.route.host!r} cannot be the name of a host: {exc}")


def _broken(exc: Exception, attempt: _Attempt) -> Error:
    why = _why(exc) if isinstance(exc, OSError) else str(exc)
    if attempt.securing:
        return TLSError(f"{attempt.route.where}: the TLS handshake was broken off: {why}")
    return ConnectError(f"cannot connect to {attempt.route.where}: {why}")
