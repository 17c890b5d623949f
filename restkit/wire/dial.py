"""From a route to a connected socket: addresses, TCP, TLS, by urllib3's connection classes.

Facts the code rests on. urllib3 2.2 to 2.8: ``connect()`` has its TCP socket from
``self._new_conn()`` and from nowhere else, as urllib3's own contrib/socks.py relies on, and sets
no timeout itself; a name is looked up with its trailing dot and verified without it, IPv6
verified without its zone; nothing closes a socket that was taken away from the connection
object. A socket's timeout bounds its TLS handshake as a whole (CPython, Modules/_ssl.c), and
nothing bounds ``getaddrinfo``.
"""

from __future__ import annotations

import socket
import ssl
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
from restkit.wire.handshake import Handshake
from restkit.wire.race import Race, is_ours, look_up

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from urllib3.connection import HTTPConnection

    from restkit.timeouts import Clock
    from restkit.wire.route import Route

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


def get_ready() -> None:
    """Import what the first dial, and the first URL, would import; a Client does it as it is made.

    A thread that is importing while another one forks leaves the child a lock that nobody
    releases, and so no import may be left for the time of the requests.
    """
    import urllib3.connection
    import urllib3.util.ssl_match_hostname
    import urllib3.util.url  # noqa: F401  # all of them, for their own sake


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
    # Not at the top: `import restkit` has a budget, and these bring http.client. See get_ready().
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
        addresses = look_up(self.route)
        seconds = self.clock.connect_seconds()
        self._deadline = None if seconds is None else monotonic() + min(seconds, _LONGEST)
        with Race(self.socket_options, self.route.source_address, self.seconds_left) as race:
            self.failures = race.failures
            try:
                sock = race.alone(addresses[0]) if len(addresses) == 1 else race.run(addresses)
            except OSError as exc:
                if is_ours(exc):
                    raise
                raise self.unreachable() from exc
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
    return attempt.out_of_time() if is_ours(exc) else _broken(exc, attempt)


def _not_found(exc: socket.gaierror, attempt: _Attempt) -> Error:
    return ConnectError(f"{attempt.route.where}: no address for this name: {_why(exc)}")


def _no_host(exc: UnicodeError, attempt: _Attempt) -> Error:
    return InvalidUrl(f"{attempt.route.host!r} cannot be the name of a host: {exc}")


def _broken(exc: Exception, attempt: _Attempt) -> Error:
    why = _why(exc) if isinstance(exc, OSError) else str(exc)
    if attempt.securing:
        return TLSError(f"{attempt.route.where}: the TLS handshake was broken off: {why}")
    return ConnectError(f"cannot connect to {attempt.route.where}: {why}")
