"""Open a connection, and translate its errors.

From a route to a connected socket: addresses, TCP, proxies and TLS. No other package opens or
wraps sockets, so a package that replaces urllib3 has no effect.

Facts that the code depends on. A name is looked up with its trailing dot and verified without it;
IPv6 is verified without its zone, which is no part of an address in a certificate. A socket's
timeout bounds its TLS handshake as a whole (CPython, Modules/_ssl.c); nothing bounds
``getaddrinfo``.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from time import monotonic, perf_counter
from typing import Any, NamedTuple

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
from restkit.network.dial_log import log_connected
from restkit.network.options import Connect, Network, SocketOption
from restkit.network.proxy import Proxy
from restkit.network.race import (
    CallerError,
    Race,
    allowed_addresses,
    close_on_failure,
    connect_by_caller,
    describe_os_error,
    is_own_timeout,
    resolve,
)
from restkit.network.route import Route
from restkit.network.socks import open_socks_tunnel
from restkit.network.tls import Handshake, certifi_path
from restkit.network.tunnel import open_tunnel
from restkit.timeouts import Deadline

# poll() counts its milliseconds in a C int.
_MAX_SECONDS = (2**31 - 1) / 1000
# Small writes leave at once; options of the caller follow and can change this.
_SOCKET_OPTIONS: tuple[SocketOption, ...] = ((socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),)


class Dialed(NamedTuple):
    """A connected socket after its TLS handshake; its timeout is the time left for connecting.

    ``connected`` and ``secured`` are times of ``time.perf_counter``. If requests are handed to an
    https proxy, ``secured`` is the handshake with the proxy: there is no other one.
    ``origin_address`` is the address that a SOCKS proxy was asked for, if it was looked up here.
    """

    sock: socket.socket
    connected: float
    secured: float | None
    origin_address: str | None = None


def dial(route: Route, deadline: Deadline) -> Dialed:
    """Open a connection. Blocks; nothing bounds the look-up of a name.

    Raises ConnectError (with each address and its failure), TLSError (with the failed check),
    ProxyError (the same for the proxy, and refusals by it), ConnectTimeout or TotalTimeout, and
    RequestError if the route itself is invalid. No exception leaves a socket open.
    """
    started = perf_counter()
    try:
        dialed = _dial(DialProgress(route, deadline))
        with close_on_failure(dialed.sock):
            log_connected(route, dialed.sock, started)
        return dialed
    except CallerError as exc:
        error = exc.error
    try:
        raise error  # unchanged, and without the exception that carried it as its context
    finally:
        del error  # or it would keep itself alive, by its traceback and this frame


def import_early() -> None:
    """Import the modules that the first dial and the first URL need; called by each new Client.

    A thread that is importing when another one forks leaves an import lock in the child that
    nobody releases. So no import may be left for the time of the requests.
    """
    import encodings.idna  # imported by getaddrinfo
    import encodings.punycode  # noqa: F401  # imported by it, for a name with "xn--"
    import ipaddress  # noqa: F401  # url/url.py, for an IPv6 address
    import logging  # noqa: F401  # log.py, for the first exchange
    import urllib.parse  # noqa: F401  # url/target.py, for a character that is percent-encoded

    certifi_path()


class DialProgress:
    """The state of one dial: its route, its deadlines, its steps so far and its failures.

    ``peer`` is the name of the server, or of the proxy if ``to_proxy``, for messages. ``proxy``
    is the connected proxy, while it opens the connection to the origin.
    """

    def __init__(self, route: Route, deadline: Deadline, *, to_proxy: bool = False) -> None:
        self.route = route
        self.deadline = deadline
        self.to_proxy = to_proxy
        self.peer = f"the proxy {route.description}" if to_proxy else route.description
        self.socket_options = (*_SOCKET_OPTIONS, *route.network.socket_options)
        self.connected = 0.0
        self.secured_to_proxy: float | None = None
        self.origin_address: str | None = None
        self.failures: dict[str, str] = {}
        self.handshake: Handshake | None = None
        self.proxy: Proxy | None = None
        self.connect_deadline: float | None = None

    @property
    def is_in_handshake(self) -> bool:
        """Whether TCP is connected, and the TLS handshake has started."""
        return self.handshake is not None and self.handshake.started

    def start_deadline(self) -> None:
        """Start the deadline for connecting, unless the dial of a proxy has started it."""
        if self.connect_deadline is None:
            seconds = self.deadline.connect_seconds()
            self.connect_deadline = (
                None if seconds is None else monotonic() + min(seconds, _MAX_SECONDS)
            )

    def seconds_left(self) -> float | None:
        """Return the seconds left for connecting, None for no bound; raise TimeoutError at 0."""
        if self.connect_deadline is None:
            return None
        left = self.connect_deadline - monotonic()
        if left <= 0:
            raise TimeoutError
        return left

    def timeout_error(self) -> RequestTimeout:
        """Return the error for the deadline that has passed."""
        doing, to = "connecting", "to"
        if self.is_in_handshake:
            doing, to = "in the TLS handshake", "with"
        elif self.proxy is not None:
            doing = f"waiting for the proxy {self.proxy.where}"
        try:
            self.deadline.remaining(f"{doing} {to} {self.peer}" if self.to_proxy else doing)
        except TotalTimeout as total:
            return total
        return ConnectTimeout(
            f"{self.peer}: still {doing} when the {self.deadline.timeout.connect:g} s of "
            f"Timeout.connect were over{self.list_failures()}"
        )

    def error(self, kind: type[Error], message: str) -> Error:
        """Return an error of this kind, or a ProxyError for the dial of a proxy."""
        return (ProxyError if self.to_proxy else kind)(message)

    def list_failures(self) -> str:
        """Return each address and its failure, without an address that the URL contains."""
        if self.is_in_handshake or self.proxy is not None:
            return ""
        named = self.route.description.split(" at ")
        failures = self.failures.items()
        return ": " + "; ".join(
            reason if at in named else f"{at} {reason}" for at, reason in failures
        )


def _dial(progress: DialProgress) -> Dialed:
    try:
        sock = _open(progress)
    except Error as exc:
        exc.sent = "nothing"
        if progress.to_proxy and isinstance(exc, ConnectError):
            raise progress.error(ConnectError, f"the proxy {exc.message}") from exc
        raise
    except Exception as exc:
        translated = _translate(exc, progress)
        if translated is None:
            raise
        translated.sent = "nothing"
        try:
            raise translated from exc
        finally:
            del translated  # or it would keep itself alive, by its traceback and this frame
    secured = perf_counter() if progress.is_in_handshake else progress.secured_to_proxy
    return Dialed(sock, progress.connected, secured, progress.origin_address)


def _open(progress: DialProgress) -> socket.socket:
    route = progress.route
    if route.scheme == "http":
        return _connect(progress)
    # Checked first, so that invalid options are an error before anything is connected.
    progress.handshake = Handshake(route.tls)
    sock = _connect(progress)
    with close_on_failure(sock):
        return progress.handshake.wrap_socket(sock, _without_zone(route).host.rstrip("."))


def _connect(progress: DialProgress) -> socket.socket:
    """Return a socket that leads to the host, with the time left as its timeout."""
    proxy = progress.route.proxy
    if proxy is None:
        return _connect_directly(progress)
    if proxy.is_socks:
        return _connect_through_socks(progress, proxy)
    sock = _connect_to_proxy(progress, proxy)
    if proxy.forwards(progress.route.scheme):
        return sock
    with close_on_failure(sock):
        target = _without_zone(progress.route).host_and_port
        open_tunnel(sock, proxy, target, progress.seconds_left)
        sock.settimeout(progress.seconds_left())
    progress.secured_to_proxy = None
    return sock


def _connect_directly(progress: DialProgress) -> socket.socket:
    """Return a socket connected to an address of the host, or by the caller's own function."""
    network = progress.route.network
    if network.connect is not None:
        return _connect_by_caller(progress, network.connect)
    addresses = allowed_addresses(resolve(progress.route), progress.route)
    progress.start_deadline()
    with Race(progress.socket_options, network.source_address, progress.seconds_left) as race:
        progress.failures = race.failures
        try:
            sock = race.connect(addresses)
        except OSError as exc:
            if is_own_timeout(exc):
                raise
            message = f"cannot connect to {progress.peer}{progress.list_failures()}"
            raise progress.error(ConnectError, message) from exc
        sock.settimeout(progress.seconds_left())
        race.release(sock)
    progress.connected = perf_counter()
    return sock


def _connect_by_caller(progress: DialProgress, connect: Connect) -> socket.socket:
    progress.start_deadline()
    try:
        sock = connect_by_caller(connect, progress.route, progress.socket_options)
    except OSError as exc:
        # Also for a TimeoutError, which does not come from our deadline.
        raise _connection_error(exc, progress) from exc
    with close_on_failure(sock):
        sock.settimeout(progress.seconds_left())
    progress.connected = perf_counter()
    return sock


def _connect_to_proxy(progress: DialProgress, proxy: Proxy) -> socket.socket:
    """Return a socket connected to the proxy, after its TLS; it uses the same deadline."""
    scheme = "https" if proxy.scheme == "https" else "http"
    network = progress.route.network._replace(address_check=proxy.address_check)
    route = Route(scheme, proxy.host, proxy.port, proxy.tls, None, network)
    hop = DialProgress(route, progress.deadline, to_proxy=True)
    dialed = _dial(hop)
    progress.connected, progress.secured_to_proxy = dialed.connected, dialed.secured
    progress.proxy, progress.connect_deadline = proxy, hop.connect_deadline
    return dialed.sock


def _connect_through_socks(progress: DialProgress, proxy: Proxy) -> socket.socket:
    target = _socks_target(progress.route, proxy)
    progress.origin_address = None if proxy.looks_up else target[0]
    sock = open_socks_tunnel(
        _connect_to_proxy(progress, proxy),
        proxy.scheme,
        (proxy.host, proxy.port),
        (proxy.username, proxy.password),
        target,
        progress.seconds_left,
    )
    with close_on_failure(sock):
        sock.settimeout(progress.seconds_left())
    return sock


def _socks_target(route: Route, proxy: Proxy) -> tuple[str, int]:
    """Return the host and port to ask a SOCKS proxy for: the name, or its first address."""
    is_socks4 = proxy.scheme.startswith("socks4")
    bare = _without_zone(route)
    if is_socks4 and ":" in bare.host:
        raise RequestError(
            f"SOCKS4 has no IPv6, and {bare.host_and_port} is an IPv6 address; use socks5://"
        )
    if proxy.looks_up:
        return bare.host, bare.port
    # The Unix socket, if there is one, leads to the proxy and not to the origin.
    route = route._replace(network=Network(address_check=route.network.address_check))
    for address in allowed_addresses(resolve(route), route):
        if address.family == socket.AF_INET or not is_socks4:
            return address.sockaddr[0].partition("%")[0], route.port
    raise ConnectError(f"{route.host_and_port}: no IPv4 address, and SOCKS4 needs one")


def _without_zone(route: Route) -> Route:
    # A zone names an interface of this machine.
    return route._replace(host=route.host.partition("%")[0])


def _translate(exc: Exception, progress: DialProgress) -> Error | None:
    """Return the restkit error for an error of ssl or a socket; None for other exceptions."""
    table: tuple[tuple[type[Exception], Callable[[Any, DialProgress], Error]], ...] = (
        (ssl.SSLError, _tls_error),
        (TimeoutError, _timeout_error),
        (socket.gaierror, _resolver_error),
        (UnicodeError, _host_error),
        (OSError, _connection_error),
    )
    for kind, translate in table:
        if isinstance(exc, kind):
            error: Any = exc  # of the kind that its function takes
            return translate(error, progress)
    return None


def _tls_error(exc: ssl.SSLError, progress: DialProgress) -> Error:
    assert progress.handshake is not None
    reason = progress.handshake.describe_failure(exc, progress.route.host.rstrip("."))
    return progress.error(TLSError, f"{progress.peer}: {reason}")


def _timeout_error(exc: TimeoutError, progress: DialProgress) -> Error:
    # A TimeoutError with a number comes from the system, before our deadline.
    return progress.timeout_error() if is_own_timeout(exc) else _connection_error(exc, progress)


def _resolver_error(exc: socket.gaierror, progress: DialProgress) -> Error:
    address = progress.route.address
    name = "this name" if address is None else f"{address}, its address in resolve="
    reason = describe_os_error(exc)
    return progress.error(ConnectError, f"{progress.peer}: no address for {name}: {reason}")


def _host_error(exc: UnicodeError, progress: DialProgress) -> Error:
    return InvalidUrl(f"{progress.route.host!r} cannot be a host name: {exc}")


def _connection_error(exc: OSError, progress: DialProgress) -> Error:
    reason = describe_os_error(exc)
    if progress.is_in_handshake:
        message = f"{progress.peer}: the TLS handshake was interrupted: {reason}"
        return progress.error(TLSError, message)
    return progress.error(ConnectError, f"cannot connect to {progress.peer}: {reason}")
