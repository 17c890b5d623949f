"""The embedded engine: it listens, it waits for nobody, and it ends."""

from __future__ import annotations

import errno
import logging
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

import cheroot
import cheroot.server
import pytest

from restkit.errors import ClientDisconnected
from restkit.server.embedded import Server, serve
from support.caller import Caller, get, post
from support.peer import HANG_BOUND
from support.waiting import until

UPLOAD = get("/read", "Content-Length: 100", method="POST") + b"part"
TIMED_OUT = (
    b"HTTP/1.1 408 Request Timeout\r\nContent-Type: text/plain; charset=iso-8859-1\r\n"
    b"Content-Length: 46\r\nConnection: close\r\n\r\n"
    b"the head of the request was not whole in time\n"
)


NOT_LINGERING = 8.0  # seconds; a connection that lingers takes 10


class App:
    """/read reads all, /write writes for ever, /wait waits for `go_on`; anything else is answered.

    `entered` counts those who are in it, and `left` those whose client was gone.
    """

    def __init__(self) -> None:
        self.entered = threading.Semaphore(0)
        self.go_on = threading.Event()
        self.left: list[Exception] = []

    def __call__(self, environ, start_response):
        self.entered.release()
        write = start_response("200 OK", [])
        try:
            if environ["PATH_INFO"] == "/read":
                return [environ["wsgi.input"].read()]
            while environ["PATH_INFO"] == "/write":
                write(bytes(1 << 20))
        except ClientDisconnected as exc:
            self.left.append(exc)
            raise
        if environ["PATH_INFO"] == "/wait":
            self.go_on.wait(HANG_BOUND)
        return [b"fine"]

    def has(self, count: int) -> None:
        """Wait until so many requests have come in."""
        for _ in range(count):
            assert self.entered.acquire(timeout=HANG_BOUND)


@contextmanager
def within(seconds: float) -> Iterator[None]:
    began = time.monotonic()
    yield
    assert time.monotonic() - began < seconds


def is_answered(port: int) -> bool:
    with Caller(port) as caller:
        caller.send(get())
        return caller.read_answer().endswith(b"fine")


# Beginning


def test_it_listens_when_serve_returns():
    with serve(App()) as server:
        assert server.url == f"http://{server.host}:{server.port}"
        assert server.host == "127.0.0.1"
        assert is_answered(server.port)


def test_it_listens_on_IPv6():
    try:
        server = serve(App(), "::1")
    except OSError:
        pytest.skip("this machine has no IPv6")
    with server, Caller(server.port, "::1") as caller:
        assert server.url == f"http://[::1]:{server.port}"
        caller.send(get())
        assert caller.read_answer().endswith(b"fine")


def test_a_port_that_is_taken_is_an_error_that_names_it():
    with serve(App()) as server:
        with pytest.raises(OSError, match=f"cannot listen on 127.0.0.1:{server.port}: ") as caught:
            serve(App(), port=server.port)
        assert caught.value.errno == errno.EADDRINUSE
        assert "Address already in use" in str(caught.value)


def test_a_port_can_be_taken_again_at_once():
    with serve(App()) as server, Caller(server.port) as caller:
        caller.send(get("/", "Connection: close"))
        caller.read_to_end()
    with serve(App(), port=server.port) as again:
        assert is_answered(again.port)


def test_a_host_that_is_none_is_an_error():
    with pytest.raises(OSError, match="cannot listen on"):
        serve(App(), "203.0.113.1")


@pytest.mark.parametrize(
    ("app", "options", "kind"),
    [
        ("module:app", {}, TypeError),
        (App(), {"threads": 0}, ValueError),
        (App(), {"timeout": 0}, ValueError),
    ],
)
def test_what_cannot_be_served_is_an_error_before_it_listens(app, options, kind):
    with pytest.raises(kind):
        serve(app, **options)


# Ending


def test_close_ends_it_and_may_be_called_twice():
    server = serve(App())
    server.close()
    server.close()
    with pytest.raises(ConnectionRefusedError):
        Caller(server.port)


OPEN = {
    "silent": b"",
    "a half head": b"GET / HTTP/1.1\r\nHo",
    "an upload": UPLOAD,
    "a download": get("/write"),
}


@pytest.mark.parametrize("name", OPEN)
def test_close_waits_for_no_client(name):
    app, busy = App(), name in {"an upload", "a download"}
    server = serve(app)
    with ExitStack() as stack:
        callers = [stack.enter_context(Caller(server.port)) for _ in range(5)]
        for caller in callers:
            caller.send(OPEN[name])
        if busy:
            app.has(5)
        with within(NOT_LINGERING):
            server.close()
        for caller in callers:
            try:
                while caller.read_some():
                    pass
            except ConnectionResetError:
                pass
    assert len(app.left) == (5 if busy else 0)
    assert all("was cut off: the server closes" in str(exc) for exc in app.left)


@pytest.mark.parametrize("at", ["writing", "reading"])
def test_close_breaks_an_answer_that_would_look_whole(at):
    entered = threading.Event()

    def app(environ, start_response):
        write = start_response("200 OK", [])
        write(b"part")
        entered.set()
        while at == "writing":
            write(bytes(1 << 20))
        return [environ["wsgi.input"].read()]

    server = serve(app)
    with Caller(server.port) as caller:
        caller.send(get("/", "Content-Length: 9", method="POST", version="1.0") + b"half")
        assert entered.wait(HANG_BOUND)
        with within(NOT_LINGERING):
            server.close()
        with pytest.raises(ConnectionResetError):
            caller.read_to_end()


def test_close_lets_a_request_come_to_its_end():
    app = App()
    server = serve(app)
    with Caller(server.port) as caller:
        caller.send(get("/wait"))
        app.has(1)
        closing = threading.Thread(target=server.close)
        closing.start()
        app.go_on.set()
        assert caller.read_answer().endswith(b"fine")
        closing.join()
        assert caller.read_to_end() == b""


def test_an_application_may_close_its_server_and_still_answer():
    servers: list[Server] = []

    def app(environ, start_response):
        servers[0].close()
        start_response("200 OK", [])
        return [b"bye"]

    servers.append(serve(app))
    with Caller(servers[0].port) as caller, Caller(servers[0].port) as other:
        caller.send(get())
        assert caller.read_answer().endswith(b"bye")
        assert caller.read_to_end() == b""
        assert other.read_to_end() == b""
    servers[0].close()


def test_several_may_close_it_at_once():
    app = App()
    server = serve(app)
    with Caller(server.port) as caller:
        caller.send(UPLOAD)
        app.has(1)
        closing = [threading.Thread(target=server.close) for _ in range(4)]
        for thread in closing:
            thread.start()
        for thread in closing:
            thread.join()
        assert caller.read_to_end() == b""
    assert len(app.left) == 1


def test_what_waits_for_a_thread_when_it_closes_is_not_begun():
    app = App()
    server = serve(app, threads=1)
    with Caller(server.port) as first, Caller(server.port) as second:
        first.send(UPLOAD)
        app.has(1)
        second.send(UPLOAD)
        server.close()
        with suppress(ConnectionResetError):
            assert second.read_to_end() == b""
    assert len(app.left) == 1


def test_a_server_leaves_nothing_in_logging():
    with serve(App()):
        assert not getattr(logging, "statistics", {})


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_run_ends_at_a_signal(number):
    program = """
        import logging, sys
        from restkit.server.embedded import run
        logging.basicConfig(level=logging.INFO, format="%(message)s")
        run(lambda environ, start_response: [start_response("200 OK", []) or b""][1:], port=0)
        print("ended")
    """
    lines = "\n".join(line.strip() for line in program.splitlines())
    with subprocess.Popen(
        [sys.executable, "-W", "error", "-c", lines],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        said = process.stderr.readline()
        assert said.startswith("serving at http://127.0.0.1:")
        with Caller(int(said.rsplit(":", 1)[1])) as caller:
            assert caller.is_open()
            process.send_signal(number)
            out, err = process.communicate(timeout=HANG_BOUND)
    assert (out, err, process.returncode) == ("ended\n", "", 0)


def test_an_application_that_exits_ends_the_server():
    def app(environ, start_response):
        raise SystemExit("enough")

    with serve(app) as server, Caller(server.port) as caller:
        caller.send(get())
        with pytest.raises(SystemExit, match="enough"):
            server.wait()
        with pytest.raises(ConnectionResetError):
            caller.read_to_end()


# Many at once


def test_48_stalled_uploads_and_as_many_half_heads_keep_nobody_waiting():
    app = App()
    with ExitStack() as stack:
        server = stack.enter_context(serve(app))
        for number in range(96):
            caller = stack.enter_context(Caller(server.port))
            caller.send(UPLOAD if number % 2 else b"GET / HTTP/1.1\r\nHost")
        app.has(48)
        with within(HANG_BOUND / 2):  # and the stalled ones have 30 s
            assert is_answered(server.port)


def test_heads_that_are_not_whole_take_no_thread():
    with serve(App(), threads=1) as server, ExitStack() as stack:
        callers = [stack.enter_context(Caller(server.port)) for _ in range(20)]
        for caller in callers:
            caller.send(get()[:-2])
        assert is_answered(server.port)
        for caller in callers:
            caller.send(b"\r\n")
            assert caller.read_answer().endswith(b"fine")


def test_connections_at_rest_take_no_thread():
    with serve(App(), threads=1) as server, ExitStack() as stack:
        callers = [stack.enter_context(Caller(server.port)) for _ in range(20)]
        for _ in range(3):
            for caller in callers:
                caller.send(get())
                assert caller.read_answer().endswith(b"fine")


def test_a_client_that_lingers_behind_a_refusal_takes_no_thread():
    with serve(App(), threads=1) as server, ExitStack() as stack:
        for _ in range(5):
            caller = stack.enter_context(Caller(server.port))
            caller.send(post("/", bytes(100_000))[:-1])
            assert caller.read_answer().endswith(b"fine")
        assert is_answered(server.port)


def test_connections_may_have_half_of_the_descriptors():
    program = """
import resource, socket, threading
from restkit.server.embedded import Server, serve

resource.setrlimit(resource.RLIMIT_NOFILE, (128, 128))

def app(environ, start_response):
    start_response("200 OK", [("Content-Length", "4")])
    return [b"fine"]

def answer(client):
    client.sendall(b"GET / HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n")
    try:
        return client.recv(4096)[-4:]
    except ConnectionResetError:
        return b""

children = []
with serve(app, threads=4) as server:
    print(server.port, flush=True)
    input()
"""
    with subprocess.Popen(
        [sys.executable, "-W", "error", "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        port = int(process.stdout.readline())
        with ExitStack() as stack:
            callers = [stack.enter_context(Caller(port)) for _ in range(64)]
            for caller in callers:
                caller.send(get())
                assert caller.read_answer().endswith(b"fine")
            with Caller(port) as one_more:
                assert not one_more.is_open()
        until(lambda: is_open(port))  # the server has to see the ends of the others first
        _, err = process.communicate("\n", timeout=HANG_BOUND)
    assert (err, process.returncode) == ("", 0)


def is_open(port: int) -> bool:
    with Caller(port) as caller:
        return caller.is_open()


# Time-outs


def test_a_head_that_stops_half_way_is_408():
    with serve(App(), timeout=0.5) as server, Caller(server.port) as caller:
        caller.send(b"GET / HTTP/1.1\r\nHo")
        assert caller.read_answer() == TIMED_OUT
        assert caller.read_to_end() == b""


def test_a_head_that_comes_in_drops_is_408_when_its_time_is_over():
    with serve(App(), timeout=0.5) as server, Caller(server.port) as caller:
        caller.send(b"GET / HTTP/1.1\r\nHost: ")
        deadline = time.monotonic() + HANG_BOUND
        while not select.select([caller.sock], [], [], 0.05)[0]:
            assert time.monotonic() < deadline
            caller.send(b"x")
        assert caller.read_answer() == TIMED_OUT


@pytest.mark.parametrize("before", [b"", get()], ids=["new", "rested"])
def test_a_silent_connection_is_closed_without_a_word(before):
    with serve(App(), timeout=0.5) as server, Caller(server.port) as caller:
        if before:
            caller.send(before)
            caller.read_answer()
        assert caller.read_to_end() == b""


# What is relied on of cheroot


def test_cheroot_is_of_the_versions_that_the_extra_names():
    assert cheroot.__version__.split(".")[0] == "11"


def test_cheroot_hands_a_connection_what_it_has_accepted(monkeypatch):
    asked: list[str] = []

    class Files:
        closed = False

        def has_data(self) -> bool:
            asked.append("has_data")
            return False

        def close(self) -> None:
            asked.append("close")

    class Connection(cheroot.server.HTTPConnection):
        def __init__(self, server, sock, makefile):
            super().__init__(server, sock, lambda sock, mode, size: asked.append(mode) or Files())

        def communicate(self) -> bool:
            asked.append(f"communicate with {self.remote_addr}")
            return self.socket.recv(4) == b"more"

        def close(self) -> None:
            self.rfile.close()
            self.socket.close()

    server = cheroot.server.HTTPServer(("127.0.0.1", 0), cheroot.server.Gateway, minthreads=1)
    server.ConnectionClass = Connection
    server.prepare()
    thread = threading.Thread(target=server.serve)
    thread.start()
    with Caller(server.bind_addr[1]) as caller:
        caller.send(b"more")
        time.sleep(0.05)
        caller.send(b"end.")
        assert caller.read_to_end() == b""
    server.stop()
    thread.join()
    getattr(logging, "statistics", {}).clear()
    step = "communicate with 127.0.0.1"
    assert asked[:6] == ["rb", "wb", step, "has_data", step, "close"]


NAMES = """
    ConnectionClass bind bind_addr bind_socket clear_stats error_log expiration_interval prepare
    put_conn ready request_queue_size serve shutdown_timeout stop timeout _serve_unservicable
"""


@pytest.mark.parametrize("name", NAMES.split())
def test_the_names_of_cheroot_that_are_used_are_there(name):
    assert hasattr(cheroot.server.HTTPServer, name)
