"""Where sockets lead and how they are opened: other addresses, Unix sockets, options, checks."""

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
from restkit.network.race import Address, look_up, permitted
from restkit.network.route import Route
from restkit.timeouts import Clock
from support import ScriptedServer, field, refusing, response
from support.names import family_of, resolving
from support.peer import HANG_BOUND, Peer

pytestmark = pytest.mark.lowest

V4, V6 = "127.0.0.1", "::1"
PATIENT = Timeout(connect=HANG_BOUND, idle=HANG_BOUND)
OK = response(b"ok")


def until_the_client_goes(peer: Peer) -> None:
    peer.read_to_end()


@contextmanager
def dialed(route: Route, timeout: Timeout = PATIENT) -> Iterator[socket.socket]:
    with dial(route, Clock(timeout, "api.test")).sock as sock:
        yield sock


def failure(route: Route, timeout: Timeout = PATIENT) -> Error:
    with pytest.raises(Error) as caught:
        dial(route, Clock(timeout, "api.test"))
    assert caught.value.sent == "nothing"
    return caught.value


@pytest.fixture
def resolves(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """Makes every name resolve to the given (host, port) pairs; gives the names asked for."""
    return partial(resolving, monkeypatch)


# Another address than the host's own


@pytest.mark.parametrize("host", [V4, V6])
def test_C12_a_name_may_stand_for_an_address(host):
    with ScriptedServer(until_the_client_goes, host=host) as server:
        with dialed(Route("http", "nobody.test", server.port, address=host)) as sock:
            assert sock.getpeername()[:2] == (host, server.port)


def test_C12_what_a_name_stands_for_may_be_a_name_itself(resolves):
    with ScriptedServer(until_the_client_goes) as server:
        asked = resolves((V4, server.port))
        with dialed(Route("http", "nobody.test", 80, address="somebody.test")):
            assert asked == ["somebody.test"]


def test_C12_the_certificate_and_the_server_name_are_those_of_the_host(certs):
    said: list[str | None] = []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certs.server_cert, certs.server_key)
    context.sni_callback = lambda sock, name, context: said.append(name)
    tls = TLSOptions(str(certs.ca_file))
    with ScriptedServer(until_the_client_goes, ssl_context=context) as server:
        with dialed(Route("https", "localhost", server.port, tls, address=V4)):
            assert said == ["localhost"]
        error = failure(Route("https", "nobody.test", server.port, tls, address=V4))
    assert str(error).endswith(", and not for nobody.test")


def test_C12_a_failure_names_the_address_that_was_tried():
    with refusing() as port:
        error = failure(Route("http", "nobody.test", port, address=V4))
    assert str(error) == (
        f"cannot connect to nobody.test:{port}: 127.0.0.1:{port} Connection refused"
    )


# Unix sockets


@pytest.fixture
def folder() -> Iterator[Path]:
    """One with a short name: the path of a socket has room in 100 bytes (unix(7))."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        yield Path(name)


class UnixServer:
    """Answers every request on a socket in the file system; keeps what it was asked."""

    def __init__(self, path: Path | str, context: ssl.SSLContext | None = None) -> None:
        self.asked: list[bytes] = []
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
                    self.asked.append(request)
                    sock.sendall(OK)


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_C12_requests_go_to_a_unix_socket(scheme, folder, certs):
    context = certs.server if scheme == "https" else None
    with UnixServer(folder / "api.sock", context) as server:
        with Client(uds=folder / "api.sock", timeout=PATIENT, verify=certs.ca_file) as client:
            assert client.get(f"{scheme}://localhost/v1/info").body == b"ok"
            assert client.post(f"{scheme}://localhost/v1/build", b"x").body == b"ok"
    assert server.asked[0].startswith(b"GET /v1/info HTTP/1.1\r\n")
    assert field(server.asked[0], "Host") == "localhost"


def test_C12_a_unix_socket_needs_no_name_to_be_known(folder, resolves):
    asked = resolves()
    with UnixServer(folder / "api.sock"):
        network = Network(uds=str(folder / "api.sock"), socket_options=((6, 1, 1),))
        with dialed(Route("http", "nobody.test", 80, network=network)) as sock:
            assert sock.family == socket.AF_UNIX
    assert asked == []


def test_C12_a_unix_socket_that_is_not_there_is_named(folder):
    network = Network(uds=f"{folder}/none.sock")
    error = failure(Route("http", "localhost", 80, network=network))
    assert type(error) is ConnectError
    assert str(error) == (
        f"cannot connect to localhost:80 at {folder}/none.sock: No such file or directory"
    )
    assert isinstance(error.__cause__, FileNotFoundError)


def test_C12_a_unix_socket_is_named_in_what_goes_wrong_behind_it(folder):
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
    assert (route.where, route.named) == ("localhost:80", "localhost:80 at @api")


def test_C12_a_unix_socket_with_a_full_queue_is_waited_for(folder):
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
def test_C12_a_unix_socket_may_have_a_name_that_is_no_file():
    name = f"\0restkit-{os.getpid()}"
    with UnixServer(name) as server, Client(uds=name, timeout=PATIENT) as client:
        assert client.get("http://localhost/").body == b"ok"
        assert len(server.asked) == 1
    assert str(Address(socket.AF_UNIX, name)) == f"@restkit-{os.getpid()}"


# Socket options


@pytest.mark.parametrize("hosts", [[V4], [V6, V4]])
def test_C12_socket_options_come_on_top_of_the_usual_ones(hosts, resolves):
    network = Network(socket_options=((socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),))
    with ExitStack() as stack:
        servers = [
            stack.enter_context(ScriptedServer(until_the_client_goes, host=h)) for h in hosts
        ]
        resolves(*((server.host, server.port) for server in servers))
        with dialed(Route("http", "api.test", 80, network=network)) as sock:
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_C12_an_option_that_the_system_does_not_know_is_a_connect_error():
    network = Network(socket_options=((socket.SOL_SOCKET, 9999, 1),))
    with ScriptedServer(until_the_client_goes) as server:
        error = failure(Route("http", V4, server.port, network=network))
    assert type(error) is ConnectError
    assert str(error) == (f"cannot connect to 127.0.0.1:{server.port}: Protocol not available")


# The check of addresses


def test_C05_every_address_is_asked_for_and_the_forbidden_are_passed_over(resolves):
    asked: list[object] = []

    def check(ip: object) -> bool:
        asked.append(ip)
        return ip == ipaddress.ip_address(V4)

    with (
        ScriptedServer(until_the_client_goes, host=V6) as forbidden,
        ScriptedServer(until_the_client_goes) as server,
    ):
        resolves((V6, forbidden.port), (V4, server.port))
        route = Route("http", "api.test", 80, network=Network(address_check=check))
        for _ in range(2):  # before each connect
            with dialed(route) as sock:
                assert sock.getpeername() == (V4, server.port)
        assert forbidden.connections == 0
    assert asked == [ipaddress.ip_address(V6), ipaddress.ip_address(V4)] * 2


def test_C05_where_all_are_forbidden_nothing_is_connected_to(resolves):
    network = Network(address_check=lambda ip: not ip.is_loopback)
    with ScriptedServer(until_the_client_goes) as server:
        resolves((V4, server.port), ("::ffff:127.0.0.1", server.port), (V6, server.port))
        error = failure(Route("http", "api.test", 80, network=network))
        assert server.connections == 0
    assert type(error) is ConnectError
    assert str(error) == "api.test:80: check_address= forbids 127.0.0.1, ::1"


IN_DISGUISE = {
    "127.0.0.1": "127.0.0.1",
    "::ffff:10.0.0.1": "10.0.0.1",
    "::ffff:0a00:0001": "10.0.0.1",
    "fe80::1%eth0": "fe80::1",
    "2001:db8::1": "2001:db8::1",
}


@pytest.mark.parametrize("written", IN_DISGUISE)
def test_C05_the_check_sees_the_address_however_it_is_written(written):
    asked: list[object] = []
    address = Address(family_of(written), (written, 80))
    route = Route("http", "api.test", 80, network=Network(address_check=asked.append))
    with pytest.raises(ConnectError, match=f"forbids {IN_DISGUISE[written]}$"):
        permitted([address], route)
    assert asked == [ipaddress.ip_address(IN_DISGUISE[written])]


@pytest.mark.parametrize("host", ["2130706433", "0x7f.1", "127.1", "[::ffff:127.0.0.1]"])
def test_C05_no_way_to_write_an_address_goes_around_the_check(host):
    with ScriptedServer(until_the_client_goes) as server:
        with Client(check_address=lambda ip: not ip.is_loopback, timeout=PATIENT) as client:
            with pytest.raises(Error, match=r"check_address= forbids 127\.0\.0\.1"):
                client.get(f"http://{host}:{server.port}/")
        assert server.connections == 0


def test_C05_the_address_that_the_caller_has_named_is_checked_too():
    network = Network(address_check=lambda ip: False)
    error = failure(Route("http", "api.test", 80, network=network, address="10.0.0.1"))
    assert str(error) == "api.test:80: check_address= forbids 10.0.0.1"


@pytest.mark.parametrize("kind", [OSError, ValueError, TimeoutError, UnicodeError, KeyError])
def test_C05_what_the_check_raises_reaches_the_caller_as_it_is(kind):
    raised = kind("of the check's own")

    def check(ip: object) -> bool:
        raise raised

    route = Route("http", V4, 80, network=Network(address_check=check))
    with pytest.raises(kind) as caught:
        dial(route, Clock(PATIENT))
    assert caught.value is raised
    assert raised.__cause__ is None


def test_C05_a_unix_socket_cannot_be_checked(folder):
    network = Network(uds=f"{folder}/api.sock", address_check=lambda ip: True)
    error = failure(Route("http", "localhost", 80, network=network))
    assert type(error) is RequestError
    assert str(error) == (
        f"check_address= cannot be kept: the socket '{folder}/api.sock' has no IP address"
    )


def test_C05_without_a_check_the_addresses_stay_as_they_are():
    addresses = look_up(Route("http", V4, 80))
    assert permitted(addresses, Route("http", V4, 80)) is addresses
