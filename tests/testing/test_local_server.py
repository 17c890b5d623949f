"""restkit.testing: the server that fails on demand, its log, the client of an app, the plugin."""

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
def once() -> Iterator[Client]:
    """A client that tries everything once."""
    with Client(timeout=PATIENT, max_tries=1) as client:
        yield client


@contextmanager
def connected(server: LocalServer) -> Iterator[socket.socket]:
    with socket.create_connection((server.host, server.port), HANG_BOUND) as sock:
        yield sock


def raw(server: LocalServer, request: bytes) -> tuple[bytes, type[OSError] | None]:
    """What came back to a request until the connection ended, and how it ended."""
    with connected(server) as sock:
        sock.sendall(request)
        return read_to_end(sock)


def read_to_end(sock: socket.socket) -> tuple[bytes, type[OSError] | None]:
    came = b""
    try:
        while piece := sock.recv(65536):
            came += piece
    except OSError as exc:
        return came, type(exc)
    return came, None


HELLO = b"GET /hello HTTP/1.1\r\nHost: h\r\n\r\n"
UP = b"POST /up HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n0123456789"


# Serving


def test_routes_are_added_to_its_app_while_it_serves(server, once):
    assert once.get(server.url + "/hello").text == "Hello!"

    @server.app.get("/later")
    def later(request):
        return text("later")

    assert once.get(server.url + "/later").text == "later"
    assert once.get(server.url + "/none").status == 404


def test_any_wsgi_application_can_be_served(once):
    def app(environ, start_response):
        start_response("200 OK", [("Content-Length", "2")])
        return [environ["PATH_INFO"].encode()]

    with LocalServer(app) as server:
        assert once.get(server.url + "/x").body == b"/x"


def test_it_listens_on_the_address_that_is_asked_for(once):
    with LocalServer(host="::1") as server:
        assert server.url == f"http://[::1]:{server.port}"
        assert once.get(server.url).status == 404


def test_connections_are_kept_and_several_are_served_at_once(server):
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


def test_closing_ends_what_is_under_way_and_may_be_repeated():
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


# The log


def test_what_came_is_logged_byte_for_byte(server):
    chunked = b"POST /echo?x HTTP/1.1\r\nhost:h\r\nTransfer-Encoding: chunked\r\n\r\n"
    body = b"3;e=1\r\nabc\r\n00\r\nX-T: 1\r\n\r\n"
    raw(
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


def test_the_log_counts_connections_and_shows_what_did_not_come_whole(server):
    with connected(server) as first, connected(server) as second:
        first.sendall(UP[:-3])
        second.sendall(b"GARBAGE\r\n\r\n")
        answer = second.recv(65536)
    assert answer.startswith(b"HTTP/1.1 400 ")
    (part,) = server.received
    assert (part.body, part.whole) == (b"0123456", False)
    assert sorted(server.wire) == sorted([UP[:-3], b"GARBAGE\r\n\r\n"])


def test_a_request_in_drops_is_logged_as_one(server):
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
def test_the_connection_ends_after_so_many_bytes_of_the_answer(server, fault, after):
    whole = raw(server, HELLO.replace(b"\r\n\r\n", b"\r\nX: 1\r\nConnection: close\r\n\r\n"))[0]
    kept = whole.replace(b"Connection: close\r\n", b"")
    count = after if after >= 0 else len(kept) + after
    server.inject(fault(after=count))
    came, how = raw(server, HELLO)
    assert without_date(came) == without_date(kept[:count])
    assert how is (ConnectionResetError if fault is Reset else None)


def without_date(answer: bytes) -> list[bytes]:
    return [line for line in answer.split(b"\r\n") if not line.startswith(b"Date:")]


def test_an_answer_of_exactly_so_many_bytes_is_whole_and_the_connection_ends(server):
    server.inject(Delay(0))
    with connected(server) as sock:
        sock.sendall(HELLO)
        whole = sock.recv(65536)
    server.inject(Drop(after=len(whole)))
    came, how = raw(server, HELLO)
    assert len(came) == len(whole)
    assert how is None


@pytest.mark.parametrize("fault", [Drop, Reset])
@pytest.mark.parametrize("path", ["/up", "/echo"])
def test_the_connection_ends_after_so_many_bytes_of_the_request(server, once, fault, path):
    head = f"POST {path} HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\n".encode()
    server.inject(fault(after=len(head) + 1000, of="request"))
    with connected(server) as sock:
        sock.sendall(head + b"x" * 500)
        time.sleep(0.02)  # so that the rest does not come along
        sock.sendall(b"x" * 500)
        came, how = read_to_end(sock)
    assert how is (ConnectionResetError if fault is Reset else None)
    assert came.startswith(b"HTTP/1.1 200 OK") if path == "/echo" else came == b""
    (request,) = server.received
    assert (len(request.content), request.whole) == (1000, False)


def test_a_request_that_is_dropped_at_its_head_runs_no_handler(server, once):
    ran = []

    @server.app.get("/never")
    def never(request):
        ran.append(request)

    server.inject(Drop(of="request"))
    with pytest.raises(TransportError):
        once.get(server.url + "/never")
    assert ran == []
    assert server.received[0].whole


@pytest.mark.parametrize("count", [0, 1, 3, 5])
def test_a_body_is_truncated_and_its_length_stays_what_it_was(server, once, count):
    server.inject(Truncate(body=count))
    came, how = raw(server, HELLO)
    head, _, body = came.partition(b"\r\n\r\n")
    assert b"Content-Length: 6" in head
    assert body == b"Hello!"[:count]
    assert how is None
    server.inject(Truncate(body=count))
    with pytest.raises(UnexpectedEOF):
        assert once.get(server.url + "/hello").body


def test_what_comes_before_the_final_head_is_no_part_of_the_body(server):
    server.inject(Truncate(body=1))
    asking = UP.replace(b"\r\n\r\n", b"\r\nExpect: 100-continue\r\n\r\n")
    head, _, body = asking.partition(b"\r\n\r\n")
    with connected(server) as sock:
        sock.sendall(head + b"\r\n\r\n")
        assert sock.recv(65536) == b"HTTP/1.1 100 Continue\r\n\r\n"
        sock.sendall(body)
        came, _ = read_to_end(sock)
    assert came.startswith(b"HTTP/1.1 200 OK\r\n")
    assert came.endswith(b"\r\n\r\n1")


def test_a_file_can_be_truncated_too(server, tmp_path):
    (tmp_path / "file").write_bytes(b"x" * MIB)

    @server.app.get("/file")
    def give(request):
        return file(tmp_path / "file")

    server.inject(Truncate(body=70000))
    came, _ = raw(server, b"GET /file HTTP/1.1\r\nHost: h\r\n\r\n")
    assert len(came.partition(b"\r\n\r\n")[2]) == 70000


def test_an_answer_is_delayed_where_it_was_asked_for(server):
    server.inject(Delay(0.2, after=10))
    with connected(server) as sock:
        began = time.monotonic()
        sock.sendall(HELLO)
        first = sock.recv(65536)
        came = first
        while not came.endswith(b"Hello!"):
            came += sock.recv(65536)
    assert first == b"HTTP/1.1 2"
    assert time.monotonic() - began >= 0.2


def test_a_client_loses_patience_with_a_delay(server):
    server.inject(Delay(HANG_BOUND))
    with Client(timeout=Timeout(idle=0.1), max_tries=1) as client:
        with pytest.raises(TransportError, match="not a byte"):
            client.get(server.url + "/hello")


def test_several_faults_have_their_turn_each_at_its_place(server):
    server.inject(Delay(0.05), Delay(0.05, after=5), Reset(after=9))
    came, how = raw(server, HELLO)
    assert came == b"HTTP/1.1 "
    assert how is ConnectionResetError


def test_faults_are_for_so_many_requests_and_for_those_of_a_path(server, once):
    server.inject(Drop(), path="/hello", times=2)
    server.inject(Truncate(body=0), path="/gr\N{LATIN SMALL LETTER U WITH DIAERESIS}n", times=None)

    @server.app.get("/gr\N{LATIN SMALL LETTER U WITH DIAERESIS}n")
    def green(request):
        return text("green")

    outcomes = []
    for path in ("/up", "/hello", "/hello", "/hello", "/gr%C3%BCn", "/gr%C3%BCn"):
        try:
            outcomes.append(once.get(server.url + path).body)
        except Error as exc:
            outcomes.append(type(exc).__name__)
    assert outcomes[1:4] == ["TransportError", "TransportError", b"Hello!"]
    assert outcomes[4:] == ["UnexpectedEOF", "UnexpectedEOF"]


def test_a_client_that_tries_again_is_seen_to(server):
    server.inject(Drop(), times=2)
    with Client(timeout=PATIENT, wait_tries=0.01) as client:
        answer = client.get(server.url + "/hello")
        assert answer.text == "Hello!"
        assert len(answer.history) == 2
    assert [each.target for each in server.received] == ["/hello"] * 3


def test_a_connection_that_a_fault_left_alone_goes_on_as_before(server):
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


def test_what_is_no_fault_is_refused_where_it_is_said(server):
    for wrong in (Drop, "drop"):
        with pytest.raises(TypeError, match=r"is no fault: inject\(Drop\(\)\)"):
            server.inject(wrong)


# A client of an application in the same process


def test_a_client_of_an_app_needs_no_network(server):
    with AppClient(server.app, timeout=PATIENT) as client:
        assert client.get("/hello").text == "Hello!"
        assert client.get("http://elsewhere.test:99/hello").text == "Hello!"
        assert client.post("/up", iter([b"12", b"3"])).text == "3"
        assert client.get("/none").status == 404
        assert "idle" in repr(client)
    assert server.received == []


def test_the_app_sees_whom_it_is_asked_as():
    def app(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        names = ("HTTP_HOST", "SERVER_NAME", "SERVER_PORT", "REMOTE_ADDR", "wsgi.url_scheme")
        return [" ".join(environ[name] for name in names).encode()]

    with AppClient(app, timeout=PATIENT) as client:
        assert client.get("/").text == "localhost localhost 80 127.0.0.1 http"
        assert client.get("http://a.test:99/").text == "a.test:99 a.test 99 127.0.0.1 http"
    with AppClient(app, timeout=PATIENT, base_url="http://b.test/v1") as client:
        assert client.get("/").text.startswith("b.test b.test 80")


def test_its_bodies_are_streams_both_ways_of_any_size(server):
    with AppClient(server.app, timeout=PATIENT) as client:
        block = bytes(range(256)) * 256
        answer = client.post("/echo", (block for _ in range(64)))
        assert all(piece == block for piece in answer.iter_blocks(len(block)))
        assert answer.body_file.seek(0, 2) == 64 * len(block)


def test_its_threads_and_descriptors_end_with_it_even_with_an_answer_half_read(server):
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


def test_a_client_of_an_app_serves_it_in_a_forked_process_too():
    """Threads do not survive a fork, and so the child starts its own."""
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


def test_a_handler_that_exits_is_a_500_and_the_client_goes_on():
    def app(environ, start_response):
        if environ["PATH_INFO"] == "/exit":
            raise SystemExit
        start_response("200 OK", [])
        return [b"fine"]

    with AppClient(app, timeout=PATIENT) as client:
        assert client.get("/exit").status == 500
        assert client.get("/").text == "fine"


def test_what_else_would_connect_is_no_option(server):
    with pytest.raises(TypeError, match="connect= is no option of an AppClient"):
        AppClient(server.app, connect=socket.create_connection)
    with pytest.raises(RequestError, match="connect and uds are both given"):
        AppClient(server.app, uds="/run/x")


def test_an_app_that_fails_is_a_500_as_on_any_server(server):
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


def test_the_example_of_the_documentation_runs(pytester):
    first = re.search(r"code-block:: python\n\n(.*?)\n\S", DOCUMENT.read_text(), re.DOTALL)
    assert first is not None
    pytester.makepyfile(textwrap.dedent(first[1]))
    pytester.runpytest_subprocess(*PLUGIN, "-q").assert_outcomes(passed=3)


def test_the_plugin_loads_nothing_of_restkit_before_it_is_used(pytester):
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
