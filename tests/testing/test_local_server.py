"""restkit.testing: the server with faults, its record, the client of an app, the plugin."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from restkit import Client, RequestError, Timeout
from restkit.errors import Error, TransportError, UnexpectedEOF
from restkit.server.file_response import file
from restkit.server.response import stream, text
from restkit.testing import AppClient, Delay, Drop, LocalServer, Received, Reset, Truncate
from support.memory import MIB
from support.peer import HANG_BOUND
from support.waiting import until

PATIENT = Timeout(connect=HANG_BOUND, idle=HANG_BOUND)


@pytest.fixture
def server() -> Iterator[LocalServer]:
    """A LocalServer with a route for each kind of body."""
    with LocalServer() as server:

        @server.app.get("/hello")
        def hello(request):
            return text("Hello!")

        @server.app.post("/up")
        def up(request):
            return text(str(len(request.body)))

        @server.app.post("/echo", stream=True)
        def echo(request):
            return stream(request.stream)

        yield server


@pytest.fixture
def no_retry_client() -> Iterator[Client]:
    """A client that does not retry."""
    with Client(timeout=PATIENT, max_tries=1) as client:
        yield client


@contextmanager
def connected(server: LocalServer) -> Iterator[socket.socket]:
    with socket.create_connection((server.host, server.port), HANG_BOUND) as sock:
        yield sock


def exchange(server: LocalServer, request: bytes) -> tuple[bytes, type[OSError] | None]:
    """Return the bytes up to the end of the connection, and the error that ended it."""
    with connected(server) as sock:
        sock.sendall(request)
        return read_to_end(sock)


def read_to_end(sock: socket.socket) -> tuple[bytes, type[OSError] | None]:
    received = b""
    try:
        while piece := sock.recv(65536):
            received += piece
    except OSError as exc:
        return received, type(exc)
    return received, None


HELLO = b"GET /hello HTTP/1.1\r\nHost: h\r\n\r\n"
UP = b"POST /up HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n0123456789"


# Serving


def test_routes_can_be_added_while_it_serves(server, no_retry_client):
    assert no_retry_client.get(server.url + "/hello").text == "Hello!"

    @server.app.get("/later")
    def later(request):
        return text("later")

    assert no_retry_client.get(server.url + "/later").text == "later"
    assert no_retry_client.get(server.url + "/none").status == 404


def test_any_wsgi_application_can_be_served(no_retry_client):
    def app(environ, start_response):
        start_response("200 OK", [("Content-Length", "2")])
        return [environ["PATH_INFO"].encode()]

    with LocalServer(app) as server:
        assert no_retry_client.get(server.url + "/x").body == b"/x"


def test_server_listens_on_the_given_address(no_retry_client):
    with LocalServer(host="::1") as server:
        assert server.url == f"http://[::1]:{server.port}"
        assert no_retry_client.get(server.url).status == 404


def test_connections_are_kept_and_served_in_parallel(server):
    with Client(timeout=PATIENT) as client:
        held = client.post(server.url + "/up", iter([b"x"]))
        assert held.body == b"1"
        for _ in range(3):
            client.get(server.url + "/hello")
    assert {each.connection for each in server.received} == {0}
    with connected(server) as slow:
        slow.sendall(b"GET /hello HT")
        with Client(timeout=PATIENT) as client:
            assert client.get(server.url + "/hello").ok


def test_close_cuts_off_requests_and_is_idempotent():
    inside = threading.Event()
    ended: list[BaseException] = []
    server = LocalServer()

    @server.app.post("/up", stream=True)
    def up(request):
        inside.set()
        try:
            request.stream.read()
        except Error as exc:
            ended.append(exc)
            raise

    with connected(server) as sock:
        sock.sendall(b"POST /up HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n")
        assert inside.wait(HANG_BOUND)
        assert repr(server) == f"<LocalServer at {server.url}, open>"
        server.close()
        server.close()
    assert len(ended) == 1
    assert repr(server).endswith("closed>")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((server.host, server.port))


# The record


def test_requests_are_recorded_byte_for_byte(server):
    chunked = b"POST /echo?x HTTP/1.1\r\nhost:h\r\nTransfer-Encoding: chunked\r\n\r\n"
    body = b"3;e=1\r\nabc\r\n00\r\nX-T: 1\r\n\r\n"
    exchange(
        server,
        HELLO + chunked + body + HELLO.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"),
    )
    first, second, third = server.received
    assert first[:3] == (0, "GET", "/hello")
    assert (first.head, first.body, first.content, first.whole) == (HELLO, b"", b"", True)
    assert second.target == "/echo?x"
    assert second.headers["Transfer-Encoding"] == "chunked"
    assert (second.head, second.body, second.content) == (chunked, body, b"abc")
    assert third.headers["connection"] == "close"
    assert server.wire == [HELLO + chunked + body + third.head]


def test_record_counts_connections_and_shows_incomplete_requests(server):
    with connected(server) as first, connected(server) as second:
        first.sendall(UP[:-3])
        second.sendall(b"GARBAGE\r\n\r\n")
        answer = second.recv(65536)
        # The other connection has a thread of its own.
        until(lambda: [each.body for each in server.received] == [b"0123456"])
    assert answer.startswith(b"HTTP/1.1 400 ")
    (part,) = server.received
    assert (part.body, part.whole) == (b"0123456", False)
    assert sorted(server.wire) == sorted([UP[:-3], b"GARBAGE\r\n\r\n"])


def test_bytes_behind_a_refused_head_are_no_request(server):
    ghost = b"GET /ghost HTTP/1.1\r\nHost: x\r\n\r\n"
    with connected(server) as sock:
        sock.sendall(b"BAD\r\n\r\n")
        until(lambda: server.wire == [b"BAD\r\n\r\n"])
        sock.sendall(ghost)
        until(lambda: server.wire == [b"BAD\r\n\r\n" + ghost])
        assert server.received == []


def test_request_that_arrives_byte_by_byte_is_recorded_as_one(server):
    with connected(server) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for at in range(len(UP)):
            sock.sendall(UP[at : at + 1])
        assert sock.recv(65536).endswith(b"\r\n\r\n10")
    assert [each.head + each.body for each in server.received] == [UP]
    assert isinstance(server.received[0], Received)


# Faults


@pytest.mark.parametrize("fault", [Drop, Reset])
@pytest.mark.parametrize("after", [0, 1, 20, -1])
def test_fault_after_a_number_of_response_bytes(server, fault, after):
    whole = exchange(server, HELLO.replace(b"\r\n\r\n", b"\r\nX: 1\r\nConnection: close\r\n\r\n"))[
        0
    ]
    kept = whole.replace(b"Connection: close\r\n", b"")
    count = after if after >= 0 else len(kept) + after
    server.inject(fault(after=count))
    received, error = exchange(server, HELLO)
    assert without_date(received) == without_date(kept[:count])
    assert error is (ConnectionResetError if fault is Reset else None)


def without_date(answer: bytes) -> list[bytes]:
    return [line for line in answer.split(b"\r\n") if not line.startswith(b"Date:")]


def test_fault_after_the_exact_size_leaves_the_response_complete(server):
    server.inject(Delay(0))
    with connected(server) as sock:
        sock.sendall(HELLO)
        whole = sock.recv(65536)
    server.inject(Drop(after=len(whole)))
    received, error = exchange(server, HELLO)
    assert len(received) == len(whole)
    assert error is None


@pytest.mark.parametrize("fault", [Drop, Reset])
@pytest.mark.parametrize("path", ["/up", "/echo"])
def test_fault_after_a_number_of_request_bytes(server, no_retry_client, fault, path):
    head = f"POST {path} HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\n".encode()
    server.inject(fault(after=len(head) + 1000, of="request"))
    with connected(server) as sock:
        sock.sendall(head + b"x" * 500)
        first = sock.recv(65536) if path == "/echo" else b""
        sock.sendall(b"x" * 500)
        received, error = read_to_end(sock)
    assert error is (ConnectionResetError if fault is Reset else None)
    assert first.startswith(b"HTTP/1.1 200 OK") if path == "/echo" else received == b""
    (request,) = server.received
    assert (len(request.content), request.whole) == (1000, False)


def test_request_dropped_at_its_head_runs_no_handler(server, no_retry_client):
    ran = []

    @server.app.get("/never")
    def never(request):
        ran.append(request)

    server.inject(Drop(of="request"))
    with pytest.raises(TransportError):
        no_retry_client.get(server.url + "/never")
    assert ran == []
    assert server.received[0].whole


@pytest.mark.parametrize("count", [0, 1, 3, 5])
def test_truncated_body_keeps_its_declared_length(server, no_retry_client, count):
    server.inject(Truncate(body=count))
    received, error = exchange(server, HELLO)
    head, _, body = received.partition(b"\r\n\r\n")
    assert b"Content-Length: 6" in head
    assert body == b"Hello!"[:count]
    assert error is None
    server.inject(Truncate(body=count))
    with pytest.raises(UnexpectedEOF):
        assert no_retry_client.get(server.url + "/hello").body


def test_truncate_counts_from_the_end_of_the_final_head(server):
    server.inject(Truncate(body=1))
    asking = UP.replace(b"\r\n\r\n", b"\r\nExpect: 100-continue\r\n\r\n")
    head, _, body = asking.partition(b"\r\n\r\n")
    with connected(server) as sock:
        sock.sendall(head + b"\r\n\r\n")
        assert sock.recv(65536) == b"HTTP/1.1 100 Continue\r\n\r\n"
        sock.sendall(body)
        received, _ = read_to_end(sock)
    assert received.startswith(b"HTTP/1.1 200 OK\r\n")
    assert received.endswith(b"\r\n\r\n1")


def test_file_can_be_truncated(server, tmp_path):
    (tmp_path / "file").write_bytes(b"x" * MIB)

    @server.app.get("/file")
    def give(request):
        return file(tmp_path / "file")

    server.inject(Truncate(body=70000))
    received, _ = exchange(server, b"GET /file HTTP/1.1\r\nHost: h\r\n\r\n")
    assert len(received.partition(b"\r\n\r\n")[2]) == 70000


def test_delay_at_a_position_of_the_response(server):
    server.inject(Delay(0.2, after=10))
    with connected(server) as sock:
        began = time.monotonic()
        sock.sendall(HELLO)
        first = sock.recv(65536)
        received = first
        while not received.endswith(b"Hello!"):
            received += sock.recv(65536)
    assert first == b"HTTP/1.1 2"
    assert time.monotonic() - began >= 0.2


def test_delay_runs_into_the_timeout_of_a_client(server):
    server.inject(Delay(HANG_BOUND))
    with Client(timeout=Timeout(idle=0.1), max_tries=1) as client:
        with pytest.raises(TransportError, match="not a byte"):
            client.get(server.url + "/hello")


def test_several_faults_apply_at_their_positions(server):
    server.inject(Delay(0.05), Delay(0.05, after=5), Reset(after=9))
    received, error = exchange(server, HELLO)
    assert received == b"HTTP/1.1 "
    assert error is ConnectionResetError


def test_faults_are_limited_by_times_and_path(server, no_retry_client):
    server.inject(Drop(), path="/hello", times=2)
    server.inject(Truncate(body=0), path="/gr\N{LATIN SMALL LETTER U WITH DIAERESIS}n", times=None)

    @server.app.get("/gr\N{LATIN SMALL LETTER U WITH DIAERESIS}n")
    def green(request):
        return text("green")

    outcomes = []
    for path in ("/up", "/hello", "/hello", "/hello", "/gr%C3%BCn", "/gr%C3%BCn"):
        try:
            outcomes.append(no_retry_client.get(server.url + path).body)
        except Error as exc:
            outcomes.append(type(exc).__name__)
    assert outcomes[1:4] == ["TransportError", "TransportError", b"Hello!"]
    assert outcomes[4:] == ["UnexpectedEOF", "UnexpectedEOF"]


def test_retrying_client_gets_a_response(server):
    server.inject(Drop(), times=2)
    with Client(timeout=PATIENT, wait_tries=0.01) as client:
        answer = client.get(server.url + "/hello")
        assert answer.text == "Hello!"
        assert len(answer.history) == 2
    assert [each.target for each in server.received] == ["/hello"] * 3


def test_connection_is_unaffected_by_a_fault_that_is_not_reached(server):
    server.inject(Drop(after=10_000), times=1)
    with Client(timeout=PATIENT) as client:
        for _ in range(2):
            assert client.get(server.url + "/hello").text == "Hello!"
        assert client.post(server.url + "/echo", b"x" * 100_000).body == b"x" * 100_000
    assert {each.connection for each in server.received} == {0}


def test_faults_are_values():
    assert Drop() == Drop(after=0, of="answer") != Reset()
    assert len({Drop(1), Drop(1), Truncate(1), Reset(1)}) == 3
    assert repr(Delay(0.5, after=3)) == "Delay(seconds=0.5, after=3)"
    with pytest.raises(AttributeError):
        Drop().after = 1


def test_invalid_fault_is_an_error_of_inject(server):
    for wrong in (Drop, "drop"):
        with pytest.raises(TypeError, match=r"a fault must be one such as Drop\(\)"):
            server.inject(wrong)


# A client of an application in the same process


def test_app_client_needs_no_network(server):
    with AppClient(server.app, timeout=PATIENT) as client:
        assert client.get("/hello").text == "Hello!"
        assert client.get("http://elsewhere.test:99/hello").text == "Hello!"
        assert client.post("/up", iter([b"12", b"3"])).text == "3"
        assert client.get("/none").status == 404
        assert "idle" in repr(client)
    assert server.received == []


def test_app_sees_the_requested_host():
    def app(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        names = ("HTTP_HOST", "SERVER_NAME", "SERVER_PORT", "REMOTE_ADDR", "wsgi.url_scheme")
        return [" ".join(environ[name] for name in names).encode()]

    with AppClient(app, timeout=PATIENT) as client:
        assert client.get("/").text == "localhost localhost 80 127.0.0.1 http"
        assert client.get("http://a.test:99/").text == "a.test:99 a.test 99 127.0.0.1 http"
    with AppClient(app, timeout=PATIENT, base_url="http://b.test/v1") as client:
        assert client.get("/").text.startswith("b.test b.test 80")


def test_app_client_streams_bodies_of_any_size(server):
    with AppClient(server.app, timeout=PATIENT) as client:
        block = bytes(range(256)) * 256
        answer = client.post("/echo", (block for _ in range(64)))
        assert all(piece == block for piece in answer.iter_blocks(len(block)))
        assert answer.body_file.seek(0, 2) == 64 * len(block)


def test_close_ends_threads_and_descriptors_with_a_half_read_response(server):
    forever = threading.Event()

    @server.app.get("/forever")
    def without_end(request):
        def pieces():
            while True:
                yield b"x" * 65536
                forever.set()

        return stream(pieces())

    client = AppClient(server.app, timeout=PATIENT)
    answer = client.get("/forever")
    assert forever.wait(HANG_BOUND)
    client.close()
    client.close()
    assert client.closed
    with pytest.raises(TransportError):
        assert answer.body
    with pytest.raises(RequestError, match="closed"):
        client.get("/hello")


def test_app_client_works_in_a_forked_process():
    """Threads do not survive a fork, so the child starts its own."""
    program = """
import os
from restkit.testing import AppClient

def app(environ, start_response):
    start_response("200 OK", [])
    return [b"process %d" % os.getpid()]

with AppClient(app, timeout=5) as client:
    assert client.get("/").text == f"process {os.getpid()}"
    child = os.fork()
    if not child:
        with client:
            assert client.get("/").text == f"process {os.getpid()}"
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert client.get("/").text == f"process {os.getpid()}"
"""
    subprocess.run([sys.executable, "-c", program], timeout=HANG_BOUND, check=True)


def test_handler_that_exits_is_a_500():
    def app(environ, start_response):
        if environ["PATH_INFO"] == "/exit":
            raise SystemExit
        start_response("200 OK", [])
        return [b"fine"]

    with AppClient(app, timeout=PATIENT) as client:
        assert client.get("/exit").status == 500
        assert client.get("/").text == "fine"


def test_connect_and_uds_are_errors(server):
    with pytest.raises(TypeError, match="connect cannot be given to an AppClient"):
        AppClient(server.app, connect=socket.create_connection)
    with pytest.raises(RequestError, match="connect and uds are both given"):
        AppClient(server.app, uds="/run/x")


def test_failing_app_is_a_500(server):
    @server.app.get("/fails")
    def fails(request):
        raise LookupError("of no concern to the client")

    with AppClient(server.app, timeout=PATIENT) as client:
        assert client.get("/fails").status == 500


# With pytest

PLUGIN = (
    []
    if any(e.name == "restkit_server" for e in entry_points(group="pytest11"))
    else [
        "-p",
        "_restkit_pytest",
    ]
)


DOCUMENT = Path(__file__).parents[2] / "docs" / "testing.rst"


def test_example_of_the_documentation_runs(pytester):
    first = re.search(r"code-block:: python\n\n(.*?)\n\S", DOCUMENT.read_text(), re.DOTALL)
    assert first is not None
    pytester.makepyfile(textwrap.dedent(first[1]))
    pytester.runpytest_subprocess(*PLUGIN, "-q").assert_outcomes(passed=3)


def test_plugin_imports_restkit_only_when_it_is_used(pytester):
    pytester.makepyfile(
        """
        import sys

        def test_nothing():
            assert not [name for name in sys.modules if name.partition('.')[0] == 'restkit']

        def test_something(restkit_server):
            assert 'restkit.testing' in sys.modules
        """
    )
    pytester.runpytest_subprocess(*PLUGIN, "-q").assert_outcomes(passed=2)
