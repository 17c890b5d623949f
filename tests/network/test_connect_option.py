"""``connect=``: sockets that a function of the caller's opens, with all the rest on top of them."""

from __future__ import annotations

import socket
import ssl
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
def answering_pairs() -> Iterator[Callable[[str, int], socket.socket]]:
    """A ``connect`` that makes socket pairs; at the other end of each, a request gets its OK."""
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
def to_the_server(tls, certs) -> Iterator[tuple[ScriptedServer, Callable[..., socket.socket]]]:
    """A server, and a ``connect`` that leads there whatever it is asked for."""
    with ScriptedServer.serving(OK, ssl_context=tls) as server:
        address = (server.host, server.port)
        yield server, lambda host, port: socket.create_connection(address, HANG_BOUND)


def test_C12_the_callers_own_function_opens_the_sockets_and_tls_comes_on_top(
    to_the_server, tls, certs
):
    server, open_one = to_the_server
    asked = []

    def connect(host: str, port: int) -> socket.socket:
        asked.append((host, port))
        return open_one(host, port)

    scheme = "https" if tls else "http"
    with Client(connect=connect, timeout=PATIENT, verify=certs.ca_file) as client:
        assert client.get(f"{scheme}://localhost:4711/a").body == b"ok"
        assert client.get(f"{scheme}://localhost:4711/b").body == b"ok"
    assert asked == [("localhost", 4711)]
    assert server.connections == 1
    assert field(server.requests[0], "Host") == "localhost:4711"


def test_C12_a_socket_pair_is_as_good_as_any_connection():
    with answering_pairs() as connect, Client(connect=connect, timeout=PATIENT) as client:
        for _ in range(3):
            assert client.post("http://nobody.test/", b"x").body == b"ok"
        assert "1 idle connections" in repr(client)


def test_C12_the_function_is_given_the_address_that_a_host_stands_for():
    asked = []

    def connect(host: str, port: int) -> socket.socket:
        asked.append((host, port))
        raise ConnectionRefusedError(111, "Connection refused")

    with Client(connect=connect, resolve={"a.test": "192.0.2.1"}, max_tries=1) as client:
        for host in ("a.test", "b.test"):
            with pytest.raises(ConnectError):
                client.get(f"http://{host}/")
    assert asked == [("192.0.2.1", 80), ("b.test", 80)]


def test_C12_socket_options_are_set_on_the_callers_socket(to_the_server, tls, certs):
    _, connect = to_the_server
    made = []

    def remembered(host: str, port: int) -> socket.socket:
        made.append(connect(host, port))
        return made[-1]

    options = [(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)]
    scheme = "https" if tls else "http"
    with Client(
        connect=remembered, socket_options=options, timeout=PATIENT, verify=certs.ca_file
    ) as client:
        answer = client.get(f"{scheme}://localhost/")
        if tls is None:
            sock = made[0]
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert answer.ok


def test_C12_what_goes_wrong_in_the_function_is_an_error_of_connecting():
    with refusing() as port:
        connect = lambda host, _: socket.create_connection((host, port))  # noqa: E731
        with Client(connect=connect, max_tries=1) as client, pytest.raises(ConnectError) as caught:
            client.get("http://127.0.0.1:4711/")
    assert caught.value.message == "cannot connect to 127.0.0.1:4711: Connection refused"
    assert isinstance(caught.value.__cause__, ConnectionRefusedError)
    assert caught.value.sent == "nothing"


@pytest.mark.parametrize(
    ("raised", "said"),
    [
        (TimeoutError("timed out"), "cannot connect to a.test:80: timed out"),
        (
            ssl.SSLError(1, "of the caller's own"),
            "cannot connect to a.test:80: of the caller's own",
        ),
        (socket.gaierror(-2, "no such name"), "cannot connect to a.test:80: no such name"),
    ],
)
def test_C12_no_error_of_the_functions_own_is_taken_for_one_of_ours(raised, said):
    def connect(host: str, port: int) -> socket.socket:
        raise raised

    with Client(connect=connect, max_tries=1) as client, pytest.raises(ConnectError) as caught:
        client.get("http://a.test/")
    assert type(caught.value) is ConnectError
    assert caught.value.message == said
    assert caught.value.__cause__ is raised


def test_C12_whatever_else_the_function_raises_passes_through_as_it_is():
    raised = LookupError("no such service")

    def connect(host: str, port: int) -> socket.socket:
        raise raised

    with Client(connect=connect) as client, pytest.raises(LookupError) as caught:
        client.get("http://a.test/")
    assert caught.value is raised
    assert caught.value.__context__ is None


def test_C12_what_is_no_socket_is_a_type_error_that_says_so():
    with Client(connect=lambda host, port: None) as client:
        with pytest.raises(TypeError, match="connect= gave a NoneType; a connected socket"):
            client.get("http://a.test/")


def test_C12_the_time_that_the_function_took_counts_for_what_follows(certs):
    with ScriptedServer(lambda peer: peer.read_to_end(), ssl_context=None) as server:

        def connect(host: str, port: int) -> socket.socket:
            return socket.create_connection((server.host, server.port))

        quick = Timeout(connect=0.2, idle=HANG_BOUND)
        with Client(connect=connect, timeout=quick, max_tries=1) as client:
            with pytest.raises(ConnectTimeout, match=r"in the TLS handshake when the 0\.2 s of"):
                client.get("https://localhost/")


def test_C12_a_socket_whose_tls_fails_is_closed(certs):
    made = []
    with ScriptedServer.serving(OK, ssl_context=certs.server) as server:

        def connect(host: str, port: int) -> socket.socket:
            made.append(socket.create_connection((server.host, server.port)))
            return made[-1]

        with Client(connect=connect, timeout=PATIENT, max_tries=1) as client:
            with pytest.raises(TLSError):
                client.get("https://localhost/")  # whose authority nobody knows
    assert made[0].fileno() == -1


def test_C05_a_check_of_addresses_cannot_be_kept_beside_it():
    with Client(connect=socket.create_connection, check_address=lambda ip: True) as client:
        with pytest.raises(RequestError, match="check_address= cannot be kept: connect= opens"):
            client.get("http://127.0.0.1/")


def test_C12_the_environments_proxies_are_not_asked(monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    with answering_pairs() as connect, Client(connect=connect, timeout=PATIENT) as client:
        assert client.get("http://nobody.test/").body == b"ok"


def test_C12_a_proxy_is_what_the_function_is_asked_for():
    asked = []
    with ScriptedServer.serving(OK) as server:

        def connect(host: str, port: int) -> socket.socket:
            asked.append((host, port))
            return socket.create_connection((server.host, server.port))

        with Client(connect=connect, proxy="http://proxy.test:3128", timeout=PATIENT) as client:
            assert client.get("http://a.test/").body == b"ok"
    assert asked == [("proxy.test", 3128)]
    assert server.request.startswith(b"GET http://a.test/ HTTP/1.1\r\n")
