"""The embedded engine: it listens, it waits for nobody, and it ends."""

from __future__ import annotations

import errno
import logging
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from asyncio import CancelledError
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

import pytest

from restkit.client import Client
from restkit.errors import ClientDisconnected
from restkit.server.engine.accept_loop import AcceptLoop
from restkit.server.engine.connection import ClientConnection, Setup
from restkit.server.engine.listener import open_listener
from restkit.server.serving import Server, serve
from support.caller import Caller, get, post, without_date
from support.peer import HANG_BOUND

pytestmark = pytest.mark.lowest

UPLOAD = get("/read", "Content-Length: 100", method="POST") + b"part"
TIMED_OUT = (
    b"HTTP/1.1 408 Request Timeout\r\nContent-Type: text/plain; charset=iso-8859-1\r\n"
    b"Content-Length: 46\r\nConnection: close\r\n\r\n"
    b"the head of the request was not whole in time\n"
)
MAX_CLOSE_TIME = 8.0  # seconds; close() takes 10 where a connection lingers


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


def test_the_address_of_both_families_is_served_to_both():
    try:
        server = serve(App(), "::")
    except OSError:
        pytest.skip("this machine has no IPv6")
    with server:
        for host in ("::1", "127.0.0.1"):
            with Caller(server.port, host) as caller:
                caller.send(get())
                assert caller.read_answer().endswith(b"fine")


def test_it_listens_on_a_Unix_socket(tmp_path):
    path = str(tmp_path / "socket")

    def app(environ, start_response):
        start_response("200 OK", [])
        names = ("REMOTE_ADDR", "REMOTE_PORT", "SERVER_NAME", "SERVER_PORT")
        return [",".join(environ[name] for name in names).encode()]

    with serve(app, uds=path) as server, Client(uds=path) as client:
        assert client.get(server.url + "/").text == ",0,localhost,80"
        with pytest.raises(OSError, match=f"cannot listen on {path}: ") as caught:
            serve(app, uds=path)
        assert caught.value.errno == errno.EADDRINUSE
    assert not os.path.exists(path)


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
        (App(), {"max_connections": 0}, ValueError),
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
        with within(MAX_CLOSE_TIME):
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
        with within(MAX_CLOSE_TIME):
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
        if environ["PATH_INFO"] == "/close":
            servers[0].close()
        start_response("200 OK", [])
        return [b"bye"]

    servers.append(serve(app))
    with Caller(servers[0].port) as caller, Caller(servers[0].port) as other:
        other.send(get())
        assert other.read_answer().endswith(b"bye")
        caller.send(get("/close"))
        assert caller.read_answer().endswith(b"bye")
        assert caller.read_to_end() == b""
        assert other.read_to_end() == b""
    servers[0].close()


def test_the_response_of_an_application_that_closes_its_server_is_not_cut_off():
    app = App()
    loops: list[AcceptLoop] = []

    def stopping(environ, start_response):
        if environ["PATH_INFO"] == "/wait":
            loops[0].stop(grace=0)
        return app(environ, start_response)

    listener = open_listener("127.0.0.1", 0)
    port = listener.getsockname()[1]
    setup = Setup(stopping)
    loops.append(AcceptLoop(listener, lambda *of: ClientConnection(*of, setup), threads=2))
    loops[0].start()
    with Caller(port) as caller, Caller(port) as beside:
        beside.send(UPLOAD)
        app.has(1)
        caller.send(get("/wait"))
        assert beside.read_to_end() == b""  # this one is cut off
        app.go_on.set()
        assert caller.read_answer().endswith(b"fine")
    loops[0].stop()


def test_stop_reports_a_handler_that_does_not_return():
    app = App()
    setup = Setup(app)
    ours, theirs = socket.socketpair()
    loop = AcceptLoop(threads=1)
    loop.start()
    loop.add(ClientConnection(theirs, ("192.0.2.1", 4711), setup))
    with ours:
        ours.sendall(get("/wait"))
        app.has(1)
        with pytest.raises(RuntimeError, match=r"nor return: <.* on .*192.0.2.1:4711"):
            loop.stop(grace=0, patience=0.05)
        app.go_on.set()
        loop.stop()
    late, end = socket.socketpair()
    with end:
        loop.add(ClientConnection(late, ("192.0.2.1", 4712), setup))
        assert end.recv(1) == b""


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
        from restkit.server.serving import run
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


def test_a_server_goes_on_when_the_main_thread_has_ended():
    """It can also start worker threads then."""
    program = """
import threading
from restkit.server.serving import serve

both = threading.Barrier(2)

def app(environ, start_response):
    write = start_response("200 OK", [("Content-Length", "8")])
    threading.main_thread().join()
    write(b"main")
    both.wait()
    return [b"fine"]

print(serve(app).port, flush=True)
"""
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            port = int(process.stdout.readline())
            with Caller(port) as first, Caller(port) as second:
                first.send(get())
                first.read_head()
                assert first.read_exactly(4) == b"main"
                second.send(get())
                assert second.read_answer().endswith(b"mainfine")
                assert first.read_exactly(4) == b"fine"
        finally:
            process.kill()


class Odd(BaseException):
    """No Exception, as those of gevent's timeouts are none."""


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt, CancelledError, Odd])
def test_an_application_that_raises_a_base_exception_is_answered_500(kind, caplog):
    """The only thread lives on, and answers the next request of both connections."""

    def app(environ, start_response):
        if environ["PATH_INFO"] == "/raise":
            raise kind("enough")
        start_response("200 OK", [])
        return [b"fine"]

    with (
        serve(app, threads=1) as server,
        Caller(server.port) as caller,
        Caller(server.port) as other,
    ):
        caller.send(get("/raise"))
        assert caller.read_answer().startswith(b"HTTP/1.1 500 ")
        for each in (caller, other):
            each.send(get())
            assert each.read_answer().endswith(b"fine")
    assert "GET /raise: the application failed" in caplog.text


def test_a_base_exception_after_the_head_breaks_the_response():
    def app(environ, start_response):
        start_response("200 OK", [])(b"part")
        raise SystemExit("enough")

    with serve(app, threads=1) as server:
        for _ in range(2):
            with Caller(server.port) as caller:
                caller.send(get("/", version="1.0"))
                with pytest.raises(ConnectionResetError):
                    caller.read_to_end()


def test_a_base_exception_of_one_request_leaves_the_one_beside_it_alone():
    app = App()

    def mixed(environ, start_response):
        if environ["PATH_INFO"] == "/exit":
            raise SystemExit("enough")
        return app(environ, start_response)

    with serve(mixed) as server, Caller(server.port) as beside, Caller(server.port) as caller:
        beside.send(get("/wait"))
        app.has(1)
        caller.send(get("/exit"))
        assert caller.read_answer().startswith(b"HTTP/1.1 500 ")
        app.go_on.set()
        assert beside.read_answer().endswith(b"fine")


def test_wait_ends_when_an_application_closes_the_server():
    servers: list[Server] = []

    def app(environ, start_response):
        servers[0].close()
        start_response("200 OK", [])
        return [b"bye"]

    with serve(app) as server, Caller(server.port) as caller:
        servers.append(server)
        caller.send(get())
        server.wait()
        assert caller.read_answer().endswith(b"bye")


# Many at once


def test_48_stalled_uploads_and_as_many_half_heads_keep_nobody_waiting():
    app = App()
    with ExitStack() as stack:
        server = stack.enter_context(serve(app))
        for number in range(96):
            caller = stack.enter_context(Caller(server.port))
            caller.send(UPLOAD if number % 2 else b"GET / HTTP/1.1\r\nHost")
        app.has(48)
        with within(HANG_BOUND / 2):  # less than the 30 s that a stalled client has
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


def test_one_more_connection_takes_the_place_of_the_longest_idle():
    with serve(App(), threads=1, max_connections=3) as server, ExitStack() as stack:
        callers = [stack.enter_context(Caller(server.port)) for _ in range(3)]
        for caller in callers[1], callers[0], callers[2]:  # the second is idle longest
            caller.send(get())
            assert caller.read_answer().endswith(b"fine")
        assert is_answered(server.port)
        assert callers[1].read_to_end() == b""
        for caller in callers[0], callers[2]:
            caller.send(get())
            assert caller.read_answer().endswith(b"fine")


def test_silent_connections_lock_nobody_out():
    with serve(App(), max_connections=5) as server, ExitStack() as stack:
        for _ in range(20):
            stack.enter_context(Caller(server.port))
        assert is_answered(server.port)


def test_clients_wait_while_every_connection_is_busy():
    app = App()
    with ExitStack() as stack:
        server = stack.enter_context(serve(app, max_connections=2))
        callers = []
        for count in (1, 1, 0):
            callers.append(stack.enter_context(Caller(server.port)))
            callers[-1].send(get("/wait"))
            app.has(count)
        assert not app.entered.acquire(timeout=0.1)
        app.go_on.set()
        for caller in callers:
            assert caller.read_answer().endswith(b"fine")


def test_busy_connections_do_not_lose_their_place():
    app = App()
    with serve(app, max_connections=2) as server, Caller(server.port) as busy:
        busy.send(get("/wait"))
        app.has(1)
        for _ in range(5):
            assert is_answered(server.port)
        app.go_on.set()
        assert busy.read_answer().endswith(b"fine")


WITH_FEW_DESCRIPTORS = """
import os, resource, socket, sys
from restkit.server.serving import serve

resource.setrlimit(resource.RLIMIT_NOFILE, (128, 128))
taken = []

def app(environ, start_response):
    if environ["PATH_INFO"] == "/take":
        try:
            while True:
                taken.append(os.open("/", os.O_RDONLY))
        except OSError:
            pass
    if environ["PATH_INFO"] == "/free":
        while taken:
            os.close(taken.pop())
    environ["wsgi.input"].read()
    start_response("200 OK", [("Content-Length", "4")])
    return [b"fine"]

with serve(app, threads=4) as server:
    print(server.port, flush=True)
    input()
"""


@contextmanager
def with_few_descriptors() -> Iterator[tuple[int, list[str]]]:
    """Serve in a process with 128 descriptors; yields its port, and a list for its log."""
    log: list[str] = []
    with subprocess.Popen(
        [sys.executable, "-W", "error", "-c", WITH_FEW_DESCRIPTORS],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        yield int(process.stdout.readline()), log
        _, err = process.communicate("\n", timeout=HANG_BOUND)
    log += err.splitlines()
    assert process.returncode == 0


def test_connections_may_have_half_of_the_descriptors():
    with with_few_descriptors() as (port, log), ExitStack() as stack:
        callers = [stack.enter_context(Caller(port)) for _ in range(65)]
        for caller in callers[1:]:
            caller.send(get())
            assert caller.read_answer().endswith(b"fine")
        assert callers[0].read_to_end() == b""  # its place went to the last
        assert all(caller.is_open() for caller in callers[1:])
    assert log == []


def test_without_a_descriptor_the_longest_idle_connection_makes_room():
    with with_few_descriptors() as (port, log), Caller(port) as idle, Caller(port) as caller:
        for each, path in ((idle, "/"), (caller, "/take")):
            each.send(get(path))
            assert each.read_answer().endswith(b"fine")
        with Caller(port) as late:
            late.send(get())
            assert late.read_answer().endswith(b"fine")
        assert idle.read_to_end() == b""
        assert caller.is_open()
    assert log == []


def test_without_a_descriptor_clients_wait_and_accepting_does_not_spin():
    with with_few_descriptors() as (port, log), Caller(port) as busy:
        busy.send(get("/take"))
        assert busy.read_answer().endswith(b"fine")
        busy.send(get("/", "Content-Length: 4", "Expect: 100-continue", method="POST"))
        assert busy.read_head() == b"HTTP/1.1 100 Continue\r\n\r\n"
        with Caller(port) as late:
            late.send(get())
            assert not select.select([late.sock], [], [], 0.2)[0]
            busy.send(b"body")
            assert busy.read_answer().endswith(b"fine")
            assert late.read_answer().endswith(b"fine")
    assert 1 <= len(log) < 10
    assert set(log) == {"cannot accept connections for now: [Errno 24] Too many open files"}


def test_a_client_that_leaves_while_it_waits_for_a_thread_is_no_trouble():
    app = App()
    with serve(app, threads=1) as server, Caller(server.port) as first, ExitStack() as stack:
        first.send(get("/wait"))
        app.has(1)
        for end in (Caller.close, Caller.reset, Caller.finish):
            caller = stack.enter_context(Caller(server.port))
            caller.send(get())
            end(caller)
        app.go_on.set()
        assert first.read_answer().endswith(b"fine")
        assert is_answered(server.port)


def test_one_that_asks_on_and_on_takes_turns_with_the_others():
    order: list[str] = []
    go_on = threading.Event()

    def app(environ, start_response):
        if not order:
            go_on.wait(HANG_BOUND)
        order.append(environ["PATH_INFO"])
        start_response("200 OK", [])
        return [b"fine"]

    count = 2000
    with serve(app, threads=1) as server, Caller(server.port) as many, Caller(server.port) as one:
        reading = threading.Thread(target=lambda: [many.read_answer() for _ in range(count)])
        reading.start()
        many.send(get("/many") * count)
        one.send(get("/one"))
        go_on.set()
        assert one.read_answer().endswith(b"fine")
        reading.join()
    assert order.index("/one") < count


def test_close_under_load_ends_every_thread_and_breaks_no_response():
    app = App()
    before = threading.active_count()
    answers: list[bytes] = []

    def ask_on_and_on(port: int) -> None:
        with suppress(OSError, EOFError):
            while True:
                with Caller(port) as caller:
                    for _ in range(10):
                        caller.send(get())
                        head = caller.read_head()
                        answers.append(without_date(head) + caller.read_body(head))

    server = serve(app, threads=4)
    clients = [threading.Thread(target=ask_on_and_on, args=(server.port,)) for _ in range(8)]
    for client in clients:
        client.start()
    app.has(100)
    server.close()
    for client in clients:
        client.join(HANG_BOUND)
    assert threading.active_count() == before
    assert {answer[-4:] for answer in answers} == {b"fine"}


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
