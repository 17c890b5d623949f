"""Open a connection and translate what fails.

From a route to a connected socket: addresses, TCP, proxies, TLS, by urllib3's own classes.

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
    ProxyError,
    RequestError,
    RequestTimeout,
    TLSError,
    TotalTimeout,
)
from restkit.network.options import Network
from restkit.network.race import (
    CallerRaised,
    Race,
    by_caller,
    closed_on_failure,
    in_words,
    is_ours,
    look_up,
    permitted,
)
from restkit.network.route import Route
from restkit.network.tls import Handshake
from restkit.network.tunnel import open_tunnel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from urllib3.connection import HTTPConnection

    from restkit.network.options import Connect
    from restkit.network.proxy import Proxy
    from restkit.timeouts import Clock


# poll() counts its milliseconds in a C int.
_LONGEST = (2**31 - 1) / 1000


class Dialed(NamedTuple):
    """A connected socket, its TLS done, its timeout what was left for connecting.

    ``connected`` and ``secured`` say when that was, as ``time.perf_counter`` counts. TLS with a
    proxy counts where requests are handed to the proxy, and there is no other.
    """

    sock: socket.socket
    connected: float
    secured: float | None


def dial(route: Route, clock: Clock) -> Dialed:
    """Open a connection; blocks, for the look-up of a name without any bound.

    Raises ConnectError (each address, and what became of it), TLSError (the check that failed),
    ProxyError (for these, of the proxy, and for what it says), ConnectTimeout or TotalTimeout,
    and RequestError where the route itself is at fault; nothing is left open then, whatever the
    exception.
    """
    try:
        return _dialed(_Attempt(route, clock))
    except CallerRaised as raised:
        error = raised.error
    try:
        raise error  # the caller's own: as it is, and outside of what caught it
    finally:
        del error  # as below


def _dialed(attempt: _Attempt) -> Dialed:
    try:
        sock = _connected(attempt)
    except Error as exc:
        exc.sent = "nothing"
        if attempt.to_proxy and isinstance(exc, ConnectError):
            raise attempt.fault(ConnectError, f"the proxy {exc.message}") from exc
        raise
    except Exception as exc:
        ours = _translated(exc, attempt)
        if ours is None:
            raise
        ours.sent = "nothing"
        try:
            raise ours from exc
        finally:
            del ours  # or it would keep itself, by its traceback and this frame
    secured = perf_counter() if attempt.securing else attempt.secured_to_proxy
    return Dialed(sock, attempt.connected, secured)


def get_ready() -> None:
    """Import what the first dial, and the first URL, would import; a Client does it as it is made.

    A thread that is importing while another one forks leaves the child a lock that nobody
    releases, and so no import may be left for the time of the requests.
    """
    import encodings.idna  # noqa: F401  # getaddrinfo wants it

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
    attempt.socket_options = (*(connection.socket_options or ()), *route.network.socket_options)
    connection._new_conn = attempt.connect  # type: ignore[method-assign]  # as said on top
    return connection


class _Attempt:
    """One dial under way: how far it has come, what failed, and how long it may go on."""

    def __init__(self, route: Route, clock: Clock, *, to_proxy: bool = False) -> None:
        self.route = route
        self.clock = clock
        self.to_proxy = to_proxy
        self.where = f"the proxy {route.named}" if to_proxy else route.named
        self.socket_options: Iterable[tuple[int, int, int | bytes]] = ()
        self.connected = 0.0
        self.secured_to_proxy: float | None = None
        self.failures: dict[str, str] = {}
        self.handshake: Handshake | None = None
        self._asked: Proxy | None = None
        self._deadline: float | None = None

    @property
    def securing(self) -> bool:
        """Whether it is past TCP, at TLS."""
        return self.handshake is not None and self.handshake.begun

    def connect(self) -> socket.socket:
        """A socket that leads to the host, the time left as its timeout."""
        proxy = self.route.proxy
        if proxy is None:
            return self._directly()
        if proxy.is_socks:
            return self._by_socks(proxy)
        sock = self._to(proxy)
        if proxy.forwards(self.route.scheme):
            return sock
        with closed_on_failure(sock):
            open_tunnel(sock, proxy, self._without_zone().where, self.seconds_left)
            sock.settimeout(self.seconds_left())
        self.secured_to_proxy = None
        return sock

    def _directly(self) -> socket.socket:
        """A socket connected to one of the host's addresses, or by the caller's own function."""
        if self.route.network.connect is not None:
            return self._by_caller(self.route.network.connect)
        addresses = permitted(look_up(self.route), self.route)
        self._start_clock()
        source = self.route.network.source_address
        with Race(self.socket_options, source, self.seconds_left) as race:
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

    def _by_caller(self, connect: Connect) -> socket.socket:
        self._start_clock()
        try:
            sock = by_caller(connect, self.route, self.socket_options)
        except OSError as exc:
            raise _broken(exc, self) from exc  # a TimeoutError of its is not of our clock
        with closed_on_failure(sock):
            sock.settimeout(self.seconds_left())
        self.connected = perf_counter()
        return sock

    def _start_clock(self) -> None:
        if self._deadline is None:
            seconds = self.clock.connect_seconds()
            self._deadline = None if seconds is None else monotonic() + min(seconds, _LONGEST)

    def _to(self, proxy: Proxy) -> socket.socket:
        """A socket connected to the proxy, its TLS done; it has used up some of our time."""
        scheme = "https" if proxy.scheme == "https" else "http"
        network = self.route.network._replace(address_check=proxy.address_check)
        route = Route(scheme, proxy.host, proxy.port, proxy.tls, None, network)
        hop = _Attempt(route, self.clock, to_proxy=True)
        dialed = _dialed(hop)
        self.connected, self.secured_to_proxy = dialed.connected, dialed.secured
        self._asked, self._deadline = proxy, hop._deadline
        return dialed.sock

    def _by_socks(self, proxy: Proxy) -> socket.socket:
        # PySocks is an extra; the Proxy has seen to it that this import finds it done.
        from restkit.network.socks import ask_socks

        place = self._place_for(proxy)
        sock = ask_socks(self._to(proxy), proxy, place, self.seconds_left)
        with closed_on_failure(sock):
            sock.settimeout(self.seconds_left())
        return sock

    def _place_for(self, proxy: Proxy) -> tuple[str, int]:
        """What a SOCKS proxy is asked for: the name, or the first of its addresses."""
        route, old = self._without_zone(), proxy.scheme.startswith("socks4")
        if old and ":" in route.host:
            raise RequestError(f"SOCKS4 has no IPv6, and {route.where} is one: socks5:// has")
        if proxy.looks_up:
            return route.host, route.port
        # A Unix socket stands for the proxy, here.
        route = self.route._replace(network=Network(address_check=route.network.address_check))
        for address in permitted(look_up(route), route):
            if address.family == socket.AF_INET or not old:
                return address.place[0].partition("%")[0], route.port
        raise ConnectError(f"{route.where}: no IPv4 address, and SOCKS4 has no others")

    def _without_zone(self) -> Route:
        # It names an interface of this machine's.
        return self.route._replace(host=self.route.host.partition("%")[0])

    def seconds_left(self) -> float | None:
        """What is left for connecting, None for no end; TimeoutError when nothing is."""
        if self._deadline is None:
            return None
        left = self._deadline - monotonic()
        if left <= 0:
            raise TimeoutError
        return left

    def out_of_time(self) -> RequestTimeout:
        doing, to = "connecting", "to"
        if self.securing:
            doing, to = "in the TLS handshake", "with"
        elif self._asked is not None:
            doing = f"waiting for the proxy {self._asked.where}"
        try:
            self.clock.left(f"{doing} {to} {self.where}" if self.to_proxy else doing)
        except TotalTimeout as total:
            return total
        return ConnectTimeout(
            f"{self.where}: still {doing} when the {self.clock.timeout.connect:g} s of "
            f"Timeout.connect were over{self._tally()}"
        )

    def unreachable(self) -> Error:
        return self.fault(ConnectError, f"cannot connect to {self.where}{self._tally()}")

    def fault(self, kind: type[Error], message: str) -> Error:
        """The error for what has failed: of whatever kind, it is the proxy's on the way to it."""
        return (ProxyError if self.to_proxy else kind)(message)

    def _tally(self) -> str:
        """What became of each address; an address that the URL names itself goes without name."""
        if self.securing or self._asked is not None:
            return ""
        there = self.route.named.split(" at ")
        tally = self.failures.items()
        return ": " + "; ".join(why if at in there else f"{at} {why}" for at, why in tally)


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
    return attempt.fault(TLSError, f"{attempt.where}: {why}")


def _too_late(exc: TimeoutError, attempt: _Attempt) -> Error:
    # One with a number is the system's own, which has given up before we did.
    return attempt.out_of_time() if is_ours(exc) else _broken(exc, attempt)


def _not_found(exc: socket.gaierror, attempt: _Attempt) -> Error:
    given = attempt.route.address
    name = "this name" if given is None else f"{given}, which resolve= has for it"
    return attempt.fault(ConnectError, f"{attempt.where}: no address for {name}: {in_words(exc)}")


def _no_host(exc: UnicodeError, attempt: _Attempt) -> Error:
    return InvalidUrl(f"{attempt.route.host!r} cannot be the name of a host: {exc}")


def _broken(exc: Exception, attempt: _Attempt) -> Error:
    why = in_words(exc) if isinstance(exc, OSError) else str(exc)
    if attempt.securing:
        return attempt.fault(TLSError, f"{attempt.where}: the TLS handshake was broken off: {why}")
    return attempt.fault(ConnectError, f"cannot connect to {attempt.where}: {why}")
