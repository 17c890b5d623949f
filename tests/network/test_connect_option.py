"""``connect=``: a function of the caller opens the sockets; the client does the rest on them."""

from __future__ import annotations

import socket
import ssl
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from restkit import Client, Timeout
from restkit.errors import ConnectError, ConnectTimeout, RequestError, TLSError
from support import ScriptedServer, field, refusing, response
from support.peer import HANG_BOUND

pytestmark = pytest.mark.lowest

PATIENT = Timeout(connect=HANG_BOUND, idle=HANG_BOUND)
OK = response(b"ok")


@contextmanager
def serve_socket_pairs() -> Iterator[Callable[[str, int], socket.socket]]:
    """Return a ``connect`` that makes socket pairs and answers requests at their far end."""
    threads: list[threading.Thread] = []

    def answer(end: socket.socket) -> None:
        with end:
            while end.recv(65536):
                end.sendall(OK)

    def connect(host: str, port: int) -> socket.socket:
        ours, theirs = socket.socketpair()
        theirs.settimeout(HANG_BOUND)
        threads.append(threading.Thread(target=answer, args=(theirs,)))
        threads[-1].start()
        return ours

    yield connect
    for thread in threads:
        thread.join(HANG_BOUND)


@pytest.fixture
def server_and_connect(tls, certs) -> Iterator[tuple[ScriptedServer, Callable[..., socket.socket]]]:
    """A server, and a ``connect`` that always connects to it."""
    with ScriptedServer.serving(OK, ssl_context=tls) as server:
        address = (server.host, server.port)
        yield server, lambda host, port: socket.create_connection(address, HANG_BOUND)


def test_C12_connect_function_opens_the_sockets_below_tls(server_and_connect, tls, certs):
    server, open_socket = server_and_connect
    calls = []

    def connect(host: str, port: int) -> socket.socket:
        calls.append((host, port))
        return open_socket(host, port)

    scheme = "https" if tls else "http"
    with Client(connect=connect, timeout=PATIENT, verify=certs.ca_file) as client:
        assert client.get(f"{scheme}://localhost:4711/a").body == b"ok"
        assert client.get(f"{scheme}://localhost:4711/b").body == b"ok"
    assert calls == [("localhost", 4711)]
    assert server.connections == 1
    assert field(server.requests[0], "Host") == "localhost:4711"


@pytest.mark.posix("Unix sockets")
def test_C12_connect_may_return_a_socket_pair():
    with serve_socket_pairs() as connect, Client(connect=connect, timeout=PATIENT) as client:
        for _ in range(3):
            assert client.post("http://nobody.test/", b"x").body == b"ok"
        assert "1 idle connections" in repr(client)


def test_C12_connect_is_called_with_the_resolved_address():
    calls = []

    def connect(host: str, port: int) -> socket.socket:
        calls.append((host, port))
        raise ConnectionRefusedError(111, "Connection refused")

    with Client(connect=connect, resolve={"a.test": "192.0.2.1"}, max_tries=1) as client:
        for host in ("a.test", "b.test"):
            with pytest.raises(ConnectError):
                client.get(f"http://{host}/")
    assert calls == [("192.0.2.1", 80), ("b.test", 80)]


def test_C12_socket_options_are_set_on_the_callers_socket(server_and_connect, tls, certs):
    _, connect = server_and_connect
    opened = []

    def remember(host: str, port: int) -> socket.socket:
        opened.append(connect(host, port))
        return opened[-1]

    options = [(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)]
    scheme = "https" if tls else "http"
    with Client(
        connect=remember, socket_options=options, timeout=PATIENT, verify=certs.ca_file
    ) as client:
        answer = client.get(f"{scheme}://localhost/")
        if tls is None:
            sock = opened[0]
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert answer.ok


def test_C12_os_error_of_connect_is_a_connect_error():
    with refusing() as port:
        connect = lambda host, _: socket.create_connection((host, port))  # noqa: E731
        with Client(connect=connect, max_tries=1) as client, pytest.raises(ConnectError) as caught:
            client.get("http://127.0.0.1:4711/")
    assert caught.value.message == "cannot connect to 127.0.0.1:4711: Connection refused"
    assert isinstance(caught.value.__cause__, ConnectionRefusedError)
    assert caught.value.sent == "nothing"


@pytest.mark.parametrize(
    ("raised", "message"),
    [
        (TimeoutError("timed out"), "cannot connect to a.test:80: timed out"),
        (
            ssl.SSLError(1, "of the caller's own"),
            "cannot connect to a.test:80: of the caller's own",
        ),
        (socket.gaierror(-2, "no such name"), "cannot connect to a.test:80: no such name"),
    ],
)
def test_C12_errors_of_connect_are_not_mistaken_for_ours(raised, message):
    def connect(host: str, port: int) -> socket.socket:
        raise raised

    with Client(connect=connect, max_tries=1) as client, pytest.raises(ConnectError) as caught:
        client.get("http://a.test/")
    assert type(caught.value) is ConnectError
    assert caught.value.message == message
    assert caught.value.__cause__ is raised


def test_C12_other_exceptions_of_connect_pass_through_unchanged():
    raised = LookupError("no such service")

    def connect(host: str, port: int) -> socket.socket:
        raise raised

    with Client(connect=connect) as client, pytest.raises(LookupError) as caught:
        client.get("http://a.test/")
    assert caught.value is raised
    # A test runner may be handling an exception of its own while it runs this test.
    assert caught.value.__context__ is sys.exc_info()[1]


def test_C12_connect_must_return_a_socket():
    with Client(connect=lambda host, port: None) as client:
        with pytest.raises(TypeError, match=r"connect= must return .*; got a NoneType"):
            client.get("http://a.test/")


def test_C12_time_spent_in_connect_counts(certs):
    with ScriptedServer(lambda peer: peer.read_to_end(), ssl_context=None) as server:

        def connect(host: str, port: int) -> socket.socket:
            return socket.create_connection((server.host, server.port))

        quick = Timeout(connect=0.2, idle=HANG_BOUND)
        with Client(connect=connect, timeout=quick, max_tries=1) as client:
            with pytest.raises(ConnectTimeout, match=r"in the TLS handshake when the 0\.2 s of"):
                client.get("https://localhost/")


def test_C12_a_socket_whose_tls_fails_is_closed(certs):
    opened = []
    with ScriptedServer.serving(OK, ssl_context=certs.server) as server:

        def connect(host: str, port: int) -> socket.socket:
            opened.append(socket.create_connection((server.host, server.port)))
            return opened[-1]

        with Client(connect=connect, timeout=PATIENT, max_tries=1) as client:
            with pytest.raises(TLSError):
                client.get("https://localhost/")  # its authority is not trusted
    assert opened[0].fileno() == -1


def test_C05_check_address_cannot_be_combined_with_connect():
    with Client(connect=socket.create_connection, check_address=lambda ip: True) as client:
        with pytest.raises(RequestError, match="check_address= cannot be applied: connect= opens"):
            client.get("http://127.0.0.1/")


@pytest.mark.posix("Unix sockets")
def test_C12_connect_disables_proxies_of_the_environment(monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    with serve_socket_pairs() as connect, Client(connect=connect, timeout=PATIENT) as client:
        assert client.get("http://nobody.test/").body == b"ok"


def test_C12_connect_is_called_with_the_proxy():
    calls = []
    with ScriptedServer.serving(OK) as server:

        def connect(host: str, port: int) -> socket.socket:
            calls.append((host, port))
            return socket.create_connection((server.host, server.port))

        with Client(connect=connect, proxy="http://proxy.test:3128", timeout=PATIENT) as client:
            assert client.get("http://a.test/").body == b"ok"
    assert calls == [("proxy.test", 3128)]
    assert server.request.startswith(b"GET http://a.test/ HTTP/1.1\r\n")
