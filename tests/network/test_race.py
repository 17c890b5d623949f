"""Opening sockets: other addresses, Unix sockets, socket options, checks of addresses."""

from __future__ import annotations

import ipaddress
import os
import socket
import ssl
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import pytest

from restkit import Client, Timeout
from restkit.errors import ConnectError, ConnectTimeout, Error, RequestError
from restkit.network.dial import dial
from restkit.network.options import Network, TLSOptions
from restkit.network.race import Address, allowed_addresses, resolve
from restkit.network.route import Route
from restkit.timeouts import Deadline
from support import ScriptedServer, field, refusing, response
from support.names import family_of, resolving
from support.peer import HANG_BOUND, Peer

pytestmark = pytest.mark.lowest

V4, V6 = "127.0.0.1", "::1"
PATIENT = Timeout(connect=HANG_BOUND, idle=HANG_BOUND)
OK = response(b"ok")


def wait_for_the_client(peer: Peer) -> None:
    peer.read_to_end()


@contextmanager
def dialed(route: Route, timeout: Timeout = PATIENT) -> Iterator[socket.socket]:
    with dial(route, Deadline(timeout, "api.test")).sock as sock:
        yield sock


def failure(route: Route, timeout: Timeout = PATIENT) -> Error:
    with pytest.raises(Error) as caught:
        dial(route, Deadline(timeout, "api.test"))
    assert caught.value.sent == "nothing"
    return caught.value


@pytest.fixture
def resolves(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """Makes every name resolve to (host, port) pairs; returns the looked up names."""
    return partial(resolving, monkeypatch)


# A given address


@pytest.mark.parametrize("host", [V4, V6])
def test_C12_name_is_replaced_by_the_given_address(host):
    with ScriptedServer(wait_for_the_client, host=host) as server:
        with dialed(Route("http", "nobody.test", server.port, address=host)) as sock:
            assert sock.getpeername()[:2] == (host, server.port)


def test_C12_given_address_may_be_a_name(resolves):
    with ScriptedServer(wait_for_the_client) as server:
        looked_up = resolves((V4, server.port))
        with dialed(Route("http", "nobody.test", 80, address="somebody.test")):
            assert looked_up == ["somebody.test"]


def test_C12_certificate_is_verified_for_the_host_of_the_url(certs):
    names: list[str | None] = []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certs.server_cert, certs.server_key)
    context.sni_callback = lambda sock, name, context: names.append(name)
    tls = TLSOptions(str(certs.ca_file))
    with ScriptedServer(wait_for_the_client, ssl_context=context) as server:
        with dialed(Route("https", "localhost", server.port, tls, address=V4)):
            assert names == ["localhost"]
        error = failure(Route("https", "nobody.test", server.port, tls, address=V4))
    assert str(error).endswith(", not for nobody.test")


def test_C12_error_names_the_given_address():
    with refusing() as port:
        error = failure(Route("http", "nobody.test", port, address=V4))
    assert str(error) == (
        f"cannot connect to nobody.test:{port}: 127.0.0.1:{port} Connection refused"
    )


# Unix sockets


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with a short name: the path of a socket has about 100 bytes (unix(7))."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        yield Path(name)


class UnixServer:
    """Responds to every request on a Unix socket; keeps the requests."""

    def __init__(self, path: Path | str, context: ssl.SSLContext | None = None) -> None:
        self.requests: list[bytes] = []
        self._context = context
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen(1)
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self) -> UnixServer:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join(HANG_BOUND)
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            sock.settimeout(HANG_BOUND)
            if self._context is not None:
                sock = self._context.wrap_socket(sock, server_side=True)
            with sock:
                while request := sock.recv(65536):
                    self.requests.append(request)
                    sock.sendall(OK)


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.posix("Unix sockets")
def test_C12_requests_go_to_a_unix_socket(scheme, folder, certs):
    context = certs.server if scheme == "https" else None
    with UnixServer(folder / "api.sock", context) as server:
        with Client(uds=folder / "api.sock", timeout=PATIENT, verify=certs.ca_file) as client:
            assert client.get(f"{scheme}://localhost/v1/info").body == b"ok"
            assert client.post(f"{scheme}://localhost/v1/build", b"x").body == b"ok"
    assert server.requests[0].startswith(b"GET /v1/info HTTP/1.1\r\n")
    assert field(server.requests[0], "Host") == "localhost"


@pytest.mark.posix("Unix sockets")
def test_C12_unix_socket_needs_no_look_up(folder, resolves):
    looked_up = resolves()
    with UnixServer(folder / "api.sock"):
        network = Network(uds=str(folder / "api.sock"), socket_options=((6, 1, 1),))
        with dialed(Route("http", "nobody.test", 80, network=network)) as sock:
            assert sock.family == socket.AF_UNIX
    assert looked_up == []


@pytest.mark.posix("Unix sockets")
def test_C12_error_names_a_missing_unix_socket(folder):
    network = Network(uds=f"{folder}/none.sock")
    error = failure(Route("http", "localhost", 80, network=network))
    assert type(error) is ConnectError
    assert str(error) == (
        f"cannot connect to localhost:80 at {folder}/none.sock: No such file or directory"
    )
    assert isinstance(error.__cause__, FileNotFoundError)


@pytest.mark.posix("Unix sockets")
def test_C12_later_error_names_the_unix_socket(folder):
    path = f"{folder}/api.sock"
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(path)
        silent.listen()
        route = Route("https", "localhost", 443, network=Network(uds=path))
        error = failure(route, Timeout(connect=0.3))
    assert type(error) is ConnectTimeout
    assert str(error) == (
        f"localhost:443 at {path}: still in the TLS handshake when the 0.3 s of Timeout.connect "
        "were over"
    )
    route = Route("http", "localhost", 80, network=Network(uds="\0api"))
    assert (route.host_and_port, route.description) == ("localhost:80", "localhost:80 at @api")


@pytest.mark.posix("Unix sockets")
def test_C12_full_queue_of_a_unix_socket_is_waited_for(folder):
    path = str(folder / "api.sock")
    route = Route("http", "localhost", 80, network=Network(uds=path))
    with ExitStack() as stack:
        listener = stack.enter_context(socket.socket(socket.AF_UNIX))
        listener.bind(path)
        listener.listen(0)
        queued = stack.enter_context(socket.socket(socket.AF_UNIX))
        queued.connect(path)
        error = failure(route, Timeout(connect=0.2))
        assert type(error) is ConnectTimeout
        accepting = threading.Timer(0.1, lambda: stack.enter_context(listener.accept()[0]))
        accepting.start()
        with dialed(route) as sock:
            assert sock.getpeername() == path
        accepting.join()


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="only Linux has them")
@pytest.mark.posix("Unix sockets")
def test_C12_unix_socket_may_be_abstract():
    name = f"\0restkit-{os.getpid()}"
    with UnixServer(name) as server, Client(uds=name, timeout=PATIENT) as client:
        assert client.get("http://localhost/").body == b"ok"
        assert len(server.requests) == 1
    assert str(Address(socket.AF_UNIX, name)) == f"@restkit-{os.getpid()}"


# Socket options


@pytest.mark.parametrize("hosts", [[V4], [V6, V4]])
def test_C12_socket_options_are_added_to_the_usual_ones(hosts, resolves):
    network = Network(socket_options=((socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),))
    with ExitStack() as stack:
        servers = [stack.enter_context(ScriptedServer(wait_for_the_client, host=h)) for h in hosts]
        resolves(*((server.host, server.port) for server in servers))
        with dialed(Route("http", "api.test", 80, network=network)) as sock:
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_C12_unknown_socket_option_is_a_connect_error():
    network = Network(socket_options=((socket.SOL_SOCKET, 9999, 1),))
    with ScriptedServer(wait_for_the_client) as server:
        error = failure(Route("http", V4, server.port, network=network))
    assert type(error) is ConnectError
    assert str(error) == (f"cannot connect to 127.0.0.1:{server.port}: Protocol not available")


# The check of addresses


def test_C05_every_address_is_checked_and_forbidden_ones_are_skipped(resolves):
    checked: list[object] = []

    def check(ip: object) -> bool:
        checked.append(ip)
        return ip == ipaddress.ip_address(V4)

    with (
        ScriptedServer(wait_for_the_client, host=V6) as forbidden,
        ScriptedServer(wait_for_the_client) as server,
    ):
        resolves((V6, forbidden.port), (V4, server.port))
        route = Route("http", "api.test", 80, network=Network(address_check=check))
        for _ in range(2):  # the check runs before each connect
            with dialed(route) as sock:
                assert sock.getpeername() == (V4, server.port)
        assert forbidden.connections == 0
    assert checked == [ipaddress.ip_address(V6), ipaddress.ip_address(V4)] * 2


def test_C05_nothing_is_connected_to_if_all_addresses_are_forbidden(resolves):
    network = Network(address_check=lambda ip: not ip.is_loopback)
    with ScriptedServer(wait_for_the_client) as server:
        resolves((V4, server.port), ("::ffff:127.0.0.1", server.port), (V6, server.port))
        error = failure(Route("http", "api.test", 80, network=network))
        assert server.connections == 0
    assert type(error) is ConnectError
    assert str(error) == "api.test:80: check_address= forbids 127.0.0.1, ::1"


NORMALIZED = {
    "127.0.0.1": "127.0.0.1",
    "::ffff:10.0.0.1": "10.0.0.1",
    "::ffff:0a00:0001": "10.0.0.1",
    "fe80::1%eth0": "fe80::1",
    "2001:db8::1": "2001:db8::1",
}


@pytest.mark.parametrize("written", NORMALIZED)
def test_C05_check_sees_the_normalized_address(written):
    checked: list[object] = []
    address = Address(family_of(written), (written, 80))
    route = Route("http", "api.test", 80, network=Network(address_check=checked.append))
    with pytest.raises(ConnectError, match=f"forbids {NORMALIZED[written]}$"):
        allowed_addresses([address], route)
    assert checked == [ipaddress.ip_address(NORMALIZED[written])]


@pytest.mark.parametrize("host", ["2130706433", "0x7f.1", "127.1", "[::ffff:127.0.0.1]"])
def test_C05_no_spelling_of_an_address_bypasses_the_check(host):
    with ScriptedServer(wait_for_the_client) as server:
        with Client(check_address=lambda ip: not ip.is_loopback, timeout=PATIENT) as client:
            with pytest.raises(Error, match=r"check_address= forbids 127\.0\.0\.1"):
                client.get(f"http://{host}:{server.port}/")
        assert server.connections == 0


def test_C05_given_address_is_checked_too():
    network = Network(address_check=lambda ip: False)
    error = failure(Route("http", "api.test", 80, network=network, address="10.0.0.1"))
    assert str(error) == "api.test:80: check_address= forbids 10.0.0.1"


@pytest.mark.parametrize("kind", [OSError, ValueError, TimeoutError, UnicodeError, KeyError])
def test_C05_exception_of_the_check_passes_through_unchanged(kind):
    raised = kind("of the check's own")

    def check(ip: object) -> bool:
        raise raised

    route = Route("http", V4, 80, network=Network(address_check=check))
    with pytest.raises(kind) as caught:
        dial(route, Deadline(PATIENT))
    assert caught.value is raised
    assert raised.__cause__ is None


@pytest.mark.posix("Unix sockets")
def test_C05_unix_socket_cannot_be_checked(folder):
    network = Network(uds=f"{folder}/api.sock", address_check=lambda ip: True)
    error = failure(Route("http", "localhost", 80, network=network))
    assert type(error) is RequestError
    assert str(error) == (
        f"check_address= cannot be applied: the socket '{folder}/api.sock' has no IP address"
    )


def test_C05_addresses_are_unchanged_without_a_check():
    addresses = resolve(Route("http", V4, 80))
    assert allowed_addresses(addresses, Route("http", V4, 80)) is addresses
