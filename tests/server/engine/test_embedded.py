"""The embedded engine: listening, closing, connections, timeouts."""

from __future__ import annotations

import errno
import logging
import os
import re
import select
import socket
import subprocess
import sys
import threading
import time
from asyncio import CancelledError
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from math import inf, nan

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
    b"Content-Length: 49\r\nConnection: close\r\n\r\n"
    b"the head of the request was not complete in time\n"
)
MAX_CLOSE_TIME = 8.0  # seconds; close() takes 10 where a connection lingers


class App:
    """An application: /read reads all, /write never ends, /wait waits for `go_on`.

    `entered` counts the calls, and `disconnected` has the errors of those whose client was gone.
    """

    def __init__(self) -> None:
        self.entered = threading.Semaphore(0)
        self.go_on = threading.Event()
        self.disconnected: list[Exception] = []

    def __call__(self, environ, start_response):
        self.entered.release()
        write = start_response("200 OK", [])
        try:
            if environ["PATH_INFO"] == "/read":
                return [environ["wsgi.input"].read()]
            while environ["PATH_INFO"] == "/write":
                write(bytes(1 << 20))
        except ClientDisconnected as exc:
            self.disconnected.append(exc)
            raise
        if environ["PATH_INFO"] == "/wait":
            self.go_on.wait(HANG_BOUND)
        return [b"fine"]

    def wait_for(self, count: int) -> None:
        """Wait until that many requests have arrived."""
        for _ in range(count):
            assert self.entered.acquire(timeout=HANG_BOUND)


class CollectingApp(App):
    """Needs the whole body of a request before it is called."""

    def max_collected(self, environ):
        return 1 << 20


@contextmanager
def takes_less_than(seconds: float) -> Iterator[None]:
    began = time.monotonic()
    yield
    assert time.monotonic() - began < seconds


def gets_response(port: int) -> bool:
    with Caller(port) as caller:
        caller.send(get())
        return caller.read_answer().endswith(b"fine")


# Listening


def test_server_listens_when_serve_returns():
    with serve(App()) as server:
        assert server.url == f"http://{server.host}:{server.port}"
        assert server.host == "127.0.0.1"
        assert gets_response(server.port)


def test_server_listens_on_IPv6():
    try:
        server = serve(App(), "::1")
    except OSError:
        pytest.skip("this machine has no IPv6")
    with server, Caller(server.port, "::1") as caller:
        assert server.url == f"http://[::1]:{server.port}"
        caller.send(get())
        assert caller.read_answer().endswith(b"fine")


def test_server_on_all_addresses_serves_both_families():
    try:
        server = serve(App(), "::")
    except OSError:
        pytest.skip("this machine has no IPv6")
    with server:
        for host in ("::1", "127.0.0.1"):
            with Caller(server.port, host) as caller:
                caller.send(get())
                assert caller.read_answer().endswith(b"fine")


def test_server_listens_on_a_Unix_socket(tmp_path):
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


def test_port_in_use_is_an_error_that_names_it():
    with serve(App()) as server:
        with pytest.raises(OSError, match=f"cannot listen on 127.0.0.1:{server.port}: ") as caught:
            serve(App(), port=server.port)
        assert caught.value.errno == errno.EADDRINUSE
        assert "Address already in use" in str(caught.value)


def test_port_can_be_used_again_at_once():
    with serve(App()) as server, Caller(server.port) as caller:
        caller.send(get("/", "Connection: close"))
        caller.read_to_end()
    with serve(App(), port=server.port) as again:
        assert gets_response(again.port)


def test_host_of_another_machine_is_an_error():
    with pytest.raises(OSError, match="cannot listen on"):
        serve(App(), "203.0.113.1")


@pytest.mark.parametrize(
    ("option", "value", "kind"),
    [
        *(("threads", value, ValueError) for value in (0, -1)),
        *(("max_connections", value, ValueError) for value in (0, -1)),
        *(("timeout", value, ValueError) for value in (0, -1, nan, inf, 1e7)),
        *(("grace", value, ValueError) for value in (-1, nan, inf, 1e7)),
        *(("keepalive", value, ValueError) for value in (0, -1, nan, inf, 1e7)),
        *(("min_rate", value, ValueError) for value in (0, -1, nan, inf)),
        *(("max_request_seconds", value, ValueError) for value in (0, -1, nan, inf, 1e7)),
        *(("max_spool", value, ValueError) for value in (-1,)),
        *(("min_rate", value, TypeError) for value in ("3", True)),
        *(("max_request_seconds", value, TypeError) for value in ("3", True)),
        *(("max_spool", value, TypeError) for value in ("3", None, True, 2.0)),
        *(("threads", value, TypeError) for value in ("3", None, True, 2.0, nan)),
        *(("max_connections", value, TypeError) for value in ("3", True, 2.0)),
        *(("timeout", value, TypeError) for value in ("3", None, True)),
        *(("grace", value, TypeError) for value in ("3", None, True)),
        *(("keepalive", value, TypeError) for value in ("3", True)),
    ],
)
def test_invalid_option_is_an_error_that_names_it(option, value, kind):
    with pytest.raises(kind, match=rf"^{option} must be .*; got {re.escape(repr(value))}$"):
        serve(App(), **{option: value})


def test_app_that_is_not_callable_is_an_error():
    with pytest.raises(TypeError, match="app must be a WSGI application"):
        serve("module:app")


def test_longest_timeout_and_grace_are_accepted():
    with serve(App(), timeout=1e6, grace=1e6) as server, Caller(server.port) as caller:
        for _ in range(2):
            caller.send(get())
            assert caller.read_answer().endswith(b"fine")


def test_connection_may_be_idle_for_keepalive_seconds_after_a_response():
    with serve(App(), timeout=60, keepalive=0.2) as server, Caller(server.port) as caller:
        with Caller(server.port) as silent:
            for _ in range(2):
                caller.send(get())
                assert caller.read_answer().endswith(b"fine")
            assert caller.read_to_end() == b""
            silent.send(get())  # a new connection has the whole timeout
            assert silent.read_answer().endswith(b"fine")


def test_keepalive_does_not_bound_a_head_that_has_begun():
    with serve(App(), timeout=0.4, keepalive=0.1) as server, Caller(server.port) as caller:
        caller.send(get())
        assert caller.read_answer().endswith(b"fine")
        caller.send(get()[:-2])
        assert caller.read_head().startswith(b"HTTP/1.1 408 ")


def test_keepalive_may_be_longer_than_the_timeout():
    with serve(App(), timeout=0.1, keepalive=60) as server, Caller(server.port) as caller:
        caller.send(get())
        assert caller.read_answer().endswith(b"fine")
        with Caller(server.port) as silent:
            assert silent.read_to_end() == b""
        caller.send(get())
        assert caller.read_answer().endswith(b"fine")


# Closing


def test_close_is_idempotent():
    server = serve(App())
    server.close()
    server.close()
    with pytest.raises(ConnectionRefusedError):
        Caller(server.port)


UNFINISHED = {
    "silent": b"",
    "a half head": b"GET / HTTP/1.1\r\nHo",
    "an upload": UPLOAD,
    "a download": get("/write"),
}


@pytest.mark.parametrize("name", UNFINISHED)
def test_close_does_not_wait_for_clients(name):
    app, busy = App(), name in {"an upload", "a download"}
    server = serve(app)
    with ExitStack() as stack:
        callers = [stack.enter_context(Caller(server.port)) for _ in range(5)]
        for caller in callers:
            caller.send(UNFINISHED[name])
        if busy:
            app.wait_for(5)
        with takes_less_than(MAX_CLOSE_TIME):
            server.close()
        for caller in callers:
            try:
                while caller.read_some():
                    pass
            except ConnectionResetError:
                pass
    assert len(app.disconnected) == (5 if busy else 0)
    assert all("was cut off: the server closes" in str(exc) for exc in app.disconnected)


@pytest.mark.parametrize("at", ["writing", "reading"])
def test_close_resets_a_response_that_would_look_complete(at):
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
        with takes_less_than(MAX_CLOSE_TIME):
            server.close()
        with pytest.raises(ConnectionResetError):
            caller.read_to_end()


def test_close_lets_a_request_finish():
    app = App()
    server = serve(app)
    with Caller(server.port) as caller:
        caller.send(get("/wait"))
        app.wait_for(1)
        closing = threading.Thread(target=server.close)
        closing.start()
        app.go_on.set()
        assert caller.read_answer().endswith(b"fine")
        closing.join()
        assert caller.read_to_end() == b""


def test_application_may_close_its_server_and_respond():
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


def test_response_of_an_application_that_closes_its_server_is_not_cut_off():
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
        app.wait_for(1)
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
        app.wait_for(1)
        with pytest.raises(RuntimeError, match=r"nor return: <.* on .*192.0.2.1:4711"):
            loop.stop(grace=0, patience=0.05)
        app.go_on.set()
        loop.stop()
    late, end = socket.socketpair()
    with end:
        loop.add(ClientConnection(late, ("192.0.2.1", 4712), setup))
        assert end.recv(1) == b""


def test_several_threads_may_close_at_once():
    app = App()
    server = serve(app)
    with Caller(server.port) as caller:
        caller.send(UPLOAD)
        app.wait_for(1)
        closing = [threading.Thread(target=server.close) for _ in range(4)]
        for thread in closing:
            thread.start()
        for thread in closing:
            thread.join()
        assert caller.read_to_end() == b""
    assert len(app.disconnected) == 1


def test_request_that_waits_for_a_thread_at_close_is_not_begun():
    app = App()
    server = serve(app, threads=1)
    with Caller(server.port) as first, Caller(server.port) as second:
        first.send(UPLOAD)
        app.wait_for(1)
        second.send(UPLOAD)
        server.close()
        with suppress(ConnectionResetError):
            assert second.read_to_end() == b""
    assert len(app.disconnected) == 1


def test_server_leaves_nothing_in_logging():
    with serve(App()):
        assert not getattr(logging, "statistics", {})


def test_server_runs_after_the_main_thread_has_ended():
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


class CustomBaseException(BaseException):
    """Not an Exception, like gevent's timeouts."""


@pytest.mark.parametrize(
    "kind", [SystemExit, KeyboardInterrupt, CancelledError, CustomBaseException]
)
def test_base_exception_of_an_application_is_a_500(kind, caplog):
    """The only thread survives, and handles the next request of both connections."""

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


def test_base_exception_after_the_head_resets_the_connection():
    def app(environ, start_response):
        start_response("200 OK", [])(b"part")
        raise SystemExit("enough")

    with serve(app, threads=1) as server:
        for _ in range(2):
            with Caller(server.port) as caller:
                caller.send(get("/", version="1.0"))
                with pytest.raises(ConnectionResetError):
                    caller.read_to_end()


def test_base_exception_does_not_affect_another_request():
    app = App()

    def mixed(environ, start_response):
        if environ["PATH_INFO"] == "/exit":
            raise SystemExit("enough")
        return app(environ, start_response)

    with serve(mixed) as server, Caller(server.port) as beside, Caller(server.port) as caller:
        beside.send(get("/wait"))
        app.wait_for(1)
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


# Many connections


def test_48_stalled_uploads_and_heads_do_not_delay_other_clients():
    app = App()
    with ExitStack() as stack:
        server = stack.enter_context(serve(app))
        for number in range(96):
            caller = stack.enter_context(Caller(server.port))
            caller.send(UPLOAD if number % 2 else b"GET / HTTP/1.1\r\nHost")
        app.wait_for(48)
        with takes_less_than(HANG_BOUND / 2):  # less than the 30 s that a stalled client has
            assert gets_response(server.port)


def test_incomplete_heads_use_no_thread():
    with serve(App(), threads=1) as server, ExitStack() as stack:
        callers = [stack.enter_context(Caller(server.port)) for _ in range(20)]
        for caller in callers:
            caller.send(get()[:-2])
        assert gets_response(server.port)
        for caller in callers:
            caller.send(b"\r\n")
            assert caller.read_answer().endswith(b"fine")


def test_idle_connections_use_no_thread():
    with serve(App(), threads=1) as server, ExitStack() as stack:
        callers = [stack.enter_context(Caller(server.port)) for _ in range(20)]
        for _ in range(3):
            for caller in callers:
                caller.send(get())
                assert caller.read_answer().endswith(b"fine")


def test_client_that_stays_after_an_error_uses_no_thread():
    with serve(App(), threads=1) as server, ExitStack() as stack:
        for _ in range(5):
            caller = stack.enter_context(Caller(server.port))
            caller.send(post("/", bytes(100_000))[:-1])
            assert caller.read_answer().endswith(b"fine")
        assert gets_response(server.port)


def test_one_more_connection_replaces_the_longest_idle():
    with serve(App(), threads=1, max_connections=3) as server, ExitStack() as stack:
        callers = [stack.enter_context(Caller(server.port)) for _ in range(3)]
        for caller in callers[1], callers[0], callers[2]:  # the second is idle longest
            caller.send(get())
            assert caller.read_answer().endswith(b"fine")
        assert gets_response(server.port)
        assert callers[1].read_to_end() == b""
        for caller in callers[0], callers[2]:
            caller.send(get())
            assert caller.read_answer().endswith(b"fine")


def test_silent_connections_do_not_lock_clients_out():
    with serve(App(), max_connections=5) as server, ExitStack() as stack:
        for _ in range(20):
            stack.enter_context(Caller(server.port))
        assert gets_response(server.port)


def test_clients_wait_while_every_connection_is_busy():
    app = App()
    with ExitStack() as stack:
        server = stack.enter_context(serve(app, max_connections=2))
        callers = []
        for count in (1, 1, 0):
            callers.append(stack.enter_context(Caller(server.port)))
            callers[-1].send(get("/wait"))
            app.wait_for(count)
        assert not app.entered.acquire(timeout=0.1)
        app.go_on.set()
        for caller in callers:
            assert caller.read_answer().endswith(b"fine")


def test_connection_whose_body_arrives_is_not_replaced():
    with serve(CollectingApp(), max_connections=2) as server, ExitStack() as stack:
        uploading = stack.enter_context(Caller(server.port))
        uploading.send(post("/read", b"body")[:-1])
        for _ in range(3):
            caller = stack.enter_context(Caller(server.port))
            caller.send(get())
            assert caller.read_answer().endswith(b"fine")
        uploading.send(b"y")
        assert uploading.read_answer().endswith(b"body")


def test_clients_wait_while_bodies_arrive_on_every_connection():
    with serve(CollectingApp(), max_connections=2, timeout=0.3) as server, ExitStack() as stack:
        for _ in range(2):
            caller = stack.enter_context(Caller(server.port))
            caller.send(post("/read", b"body")[:-1])
        late = stack.enter_context(Caller(server.port))
        late.send(get())
        assert late.read_answer().endswith(b"fine")  # after the others have timed out


def test_busy_connections_are_not_replaced():
    app = App()
    with serve(app, max_connections=2) as server, Caller(server.port) as busy:
        busy.send(get("/wait"))
        app.wait_for(1)
        for _ in range(5):
            assert gets_response(server.port)
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
    if environ["PATH_INFO"] == "/open":
        for file in [os.open("/", os.O_RDONLY) for _ in range(40)]:
            os.close(file)
    start_response("200 OK", [("Content-Length", "4")])
    return [b"fine"]

with serve(app, threads=4) as server:
    print(server.port, flush=True)
    input()
"""


@contextmanager
def with_few_descriptors() -> Iterator[tuple[int, list[str]]]:
    """Serve in a process with 128 descriptors; yield its port, and a list for its log."""
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
        assert callers[0].read_to_end() == b""  # the last one has replaced it
        assert all(caller.is_open() for caller in callers[1:])
    assert log == []


def test_silent_connections_leave_descriptors_to_busy_handlers():
    with with_few_descriptors() as (port, log), ExitStack() as stack:
        busy = [stack.enter_context(Caller(port)) for _ in range(4)]
        for caller in busy:
            caller.send(get("/open", "Content-Length: 4", "Expect: 100-continue", method="POST"))
            assert caller.read_head() == b"HTTP/1.1 100 Continue\r\n\r\n"
        silent = [stack.enter_context(Caller(port)) for _ in range(150)]
        assert silent[0].read_to_end() == b""
        for caller in busy:
            caller.send(b"body")
            assert caller.read_answer().endswith(b"fine")
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
    # The connections may still be with their threads when the last client arrives.
    assert set(log) <= {"cannot accept connections for now: [Errno 24] Too many open files"}


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


def test_client_may_disconnect_while_it_waits_for_a_thread():
    app = App()
    with serve(app, threads=1) as server, Caller(server.port) as first, ExitStack() as stack:
        first.send(get("/wait"))
        app.wait_for(1)
        for end in (Caller.close, Caller.reset, Caller.finish):
            caller = stack.enter_context(Caller(server.port))
            caller.send(get())
            end(caller)
        app.go_on.set()
        assert first.read_answer().endswith(b"fine")
        assert gets_response(server.port)


def test_pipelined_requests_take_turns_with_other_connections():
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


def test_close_under_load_ends_every_thread_and_cuts_no_response():
    app = App()
    before = threading.active_count()
    answers: list[bytes] = []

    def send_requests(port: int) -> None:
        with suppress(OSError, EOFError):
            while True:
                with Caller(port) as caller:
                    for _ in range(10):
                        caller.send(get())
                        head = caller.read_head()
                        answers.append(without_date(head) + caller.read_body(head))

    server = serve(app, threads=4)
    clients = [threading.Thread(target=send_requests, args=(server.port,)) for _ in range(8)]
    for client in clients:
        client.start()
    app.wait_for(100)
    server.close()
    for client in clients:
        client.join(HANG_BOUND)
    assert threading.active_count() == before
    assert {answer[-4:] for answer in answers} == {b"fine"}


# Timeouts


def test_incomplete_head_is_408():
    with serve(App(), timeout=0.5) as server, Caller(server.port) as caller:
        caller.send(b"GET / HTTP/1.1\r\nHo")
        assert caller.read_answer() == TIMED_OUT
        assert caller.read_to_end() == b""


def test_head_that_arrives_slowly_is_408_after_the_timeout():
    with serve(App(), timeout=0.5) as server, Caller(server.port) as caller:
        caller.send(b"GET / HTTP/1.1\r\nHost: ")
        deadline = time.monotonic() + HANG_BOUND
        while not select.select([caller.sock], [], [], 0.05)[0]:
            assert time.monotonic() < deadline
            caller.send(b"x")
        assert caller.read_answer() == TIMED_OUT


@pytest.mark.parametrize("before", [b"", get()], ids=["new", "idle"])
def test_silent_connection_is_closed_without_a_response(before):
    with serve(App(), timeout=0.5) as server, Caller(server.port) as caller:
        if before:
            caller.send(before)
            caller.read_answer()
        assert caller.read_to_end() == b""
