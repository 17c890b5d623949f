"""Bodies that a handler needs as a whole are collected without a thread."""

from __future__ import annotations

import os
import socket
import threading
from contextlib import ExitStack, suppress

import pytest

from restkit.server import App, serve
from restkit.server.engine import body_collection, request_limits
from restkit.server.engine.connection import ClientConnection, Setup
from restkit.server.response import stream, text
from support.caller import Caller, get, post
from support.forks import in_child
from support.messages import LAST_CHUNK, chunks
from support.peer import HANG_BOUND
from support.waiting import until

CHUNKED = "Transfer-Encoding: chunked"
KIB = 1024


def make_app(**options) -> App:
    app = App(**options)

    @app.get("/")
    def fine(request):
        return text("fine")

    @app.post("/size")
    def size(request):
        return text(str(len(request.body)))

    @app.post("/echo", stream=True)
    def echo(request):
        return stream(request.stream)

    return app


def gets_response(port: int) -> bool:
    with Caller(port) as caller:
        caller.send(get())
        return caller.read_answer().endswith(b"fine")


def wait_until_collected(count: int) -> None:
    """Wait until this number of bytes is counted."""
    until(lambda: body_collection._collected.add(0) == count, f"{count} collected bytes")


HALF_BODIES = {
    "sized": (post("/size", bytes(100))[:-50], bytes(50), b"100"),
    "no byte": (get("/size", "Content-Length: 5", method="POST"), b"hello", b"5"),
    "chunked": (
        get("/size", CHUNKED, method="POST") + b"5\r\nhel",
        b"lo\r\n" + LAST_CHUNK,
        b"5",
    ),
    "several reads": (post("/size", bytes(900 * KIB))[:-1], b"x", b"%d" % (900 * KIB)),
    "with the next request": (
        post("/size", bytes(10))[:-5],
        bytes(5) + get("/none"),
        b"10",
    ),
}


@pytest.mark.parametrize("name", HALF_BODIES)
def test_slow_bodies_hold_no_thread(name):
    first, rest, expected = HALF_BODIES[name]
    with serve(make_app(), threads=1) as server, ExitStack() as stack:
        callers = [stack.enter_context(Caller(server.port)) for _ in range(10)]
        for caller in callers:
            caller.send(first)
        assert gets_response(server.port)
        for caller in callers:
            caller.send(rest)
            assert caller.read_answer().endswith(b"\r\n\r\n" + expected)
            if name == "with the next request":
                assert caller.read_answer().startswith(b"HTTP/1.1 404 ")
            assert caller.is_open()
    wait_until_collected(0)


def mounted() -> App:
    outer = App()
    outer.get("/")(lambda request: text("fine"))
    outer.mount("/below", make_app())
    return outer


@pytest.mark.parametrize(
    ("app", "path", "options"),
    [
        (mounted(), "/below/size", {}),
        (make_app(), "/size", {"trusted_proxies": ["127.0.0.1"]}),
    ],
    ids=["mounted", "behind trusted proxies"],
)
def test_slow_body_of_a_wrapped_app_holds_no_thread(app, path, options):
    request = post(path, bytes(100))
    with serve(app, threads=1, **options) as server, Caller(server.port) as caller:
        caller.send(request[:-50])
        assert gets_response(server.port)
        caller.send(request[-50:])
        assert caller.read_answer().endswith(b"\r\n\r\n100")


def test_client_that_expects_100_continue_holds_no_thread():
    with serve(make_app(), threads=1) as server, ExitStack() as stack:
        callers = [stack.enter_context(Caller(server.port)) for _ in range(10)]
        fields = ("Content-Length: 5", "Expect: 100-continue")
        for caller in callers:
            caller.send(get("/size", *fields, method="POST"))
            assert caller.read_head() == b"HTTP/1.1 100 Continue\r\n\r\n"
        assert gets_response(server.port)
        for caller in callers:
            caller.send(b"hello")
            assert caller.read_answer().endswith(b"\r\n\r\n5")


def test_larger_body_is_received_by_a_thread():
    size = 3 * body_collection.MAX_COLLECTED
    with serve(make_app()) as server, Caller(server.port) as caller:
        body = bytes(size)
        caller.send(post("/size", body)[:-1])
        assert gets_response(server.port)
        caller.send(b"x")
        assert caller.read_answer().endswith(b"\r\n\r\n%d" % size)
    wait_until_collected(0)


def test_collected_bytes_of_all_requests_have_a_bound(monkeypatch):
    monkeypatch.setattr(body_collection, "MAX_COLLECTED_TOGETHER", 100)
    with serve(make_app(), threads=2) as server, ExitStack() as stack:
        callers = [stack.enter_context(Caller(server.port)) for _ in range(3)]
        for caller in callers:
            caller.send(post("/size", bytes(100))[:-40])
        wait_until_collected(60)  # the second is received by a thread, the third begins afterwards
        for caller in callers[::-1]:
            caller.send(bytes(40))
        for caller in callers:
            assert caller.read_answer().endswith(b"\r\n\r\n100")
    wait_until_collected(0)


def test_streaming_handler_begins_before_its_body_has_arrived():
    with serve(make_app()) as server, Caller(server.port) as caller:
        caller.send(get("/echo", "Content-Length: 6", method="POST"), b"abc")
        caller.read_head()
        assert caller.read_exactly(3) == b"abc"
        caller.send(b"def")
        assert caller.read_exactly(3) == b"def"


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (get("/size", "Content-Length: 101", method="POST"), b"413"),
        (get("/size", CHUNKED, method="POST") + chunks(bytes(101)), b"413"),
        (get("/none", "Content-Length: 5", method="POST"), b"404"),
        (get("/", "Content-Length: 5", method="DELETE"), b"405"),
        (get("/%ff", "Content-Length: 5", method="POST"), b"400"),
        (get("/size", CHUNKED, method="POST") + b"zz\r\n", b"400"),
        (get("/size", CHUNKED, method="POST") + b"5\r\nhello\r\nzz\r\n", b"400"),
    ],
)
def test_error_does_not_wait_for_the_rest_of_the_body(request_, status):
    with serve(make_app(max_body=100)) as server, Caller(server.port) as caller:
        caller.send(request_)
        assert caller.read_answer().startswith(b"HTTP/1.1 %s " % status)


@pytest.mark.parametrize("name", ["sized", "no byte", "chunked"])
def test_client_that_stops_sending_its_body_gets_a_408(name):
    with serve(make_app(), timeout=0.3) as server, Caller(server.port) as caller:
        caller.send(HALF_BODIES[name][0])
        answer = caller.read_to_end()
    assert answer.startswith(b"HTTP/1.1 408 Request Timeout\r\n")
    assert answer.endswith(b"\r\n\r\nthe body of the request was not complete in time\n")
    wait_until_collected(0)


def test_client_is_not_too_slow_while_its_bytes_wait_for_a_thread(monkeypatch):
    monkeypatch.setattr(request_limits, "_RATE_SECONDS", 1.5)
    running, go_on = threading.Event(), threading.Event()
    app = make_app()

    @app.get("/busy")
    def busy(request):
        running.set()
        go_on.wait(HANG_BOUND)
        return text("busy")

    with (
        serve(app, threads=1) as server,
        Caller(server.port) as caller,
        Caller(server.port) as other,
    ):
        caller.send(post("/size", bytes(20))[:-15])
        wait_until_collected(5)
        other.send(get("/busy"))
        assert running.wait(HANG_BOUND)
        caller.send(bytes(5))
        go_on.wait(2.0)  # longer than _RATE_SECONDS
        go_on.set()
        wait_until_collected(10)
        caller.send(bytes(10))
        assert caller.read_answer().endswith(b"20")


def test_client_that_sends_its_body_at_a_trickle_gets_a_408(monkeypatch):
    monkeypatch.setattr(request_limits, "_RATE_SECONDS", 0.5)
    with serve(make_app(), threads=1) as server, Caller(server.port) as caller:
        caller.send(get("/size", "Content-Length: 100000", method="POST"))
        sent = threading.Event()

        def trickle() -> None:
            try:
                while not sent.wait(0.02):
                    caller.send(b"x")
            except OSError:
                pass

        sending = threading.Thread(target=trickle)
        sending.start()
        head = caller.read_head()
        sent.set()
        sending.join()
        assert head.startswith(b"HTTP/1.1 408 ")
    wait_until_collected(0)


def test_request_that_takes_too_long_gets_a_408_before_its_body_is_complete():
    with (
        serve(make_app(), max_request_seconds=0.3) as server,
        Caller(server.port) as caller,
    ):
        caller.send(HALF_BODIES["sized"][0])
        assert caller.read_to_end().startswith(b"HTTP/1.1 408 ")


def test_client_that_disconnects_in_its_body_leaves_nothing():
    with serve(make_app(), threads=1) as server:
        for _ in range(5):
            with Caller(server.port) as caller:
                caller.send(HALF_BODIES["sized"][0])
                wait_until_collected(50)
                caller.reset()
            wait_until_collected(0)
        assert gets_response(server.port)


def test_close_lets_a_request_finish_whose_body_is_arriving():
    with ExitStack() as stack:
        server = serve(make_app(), grace=HANG_BOUND)
        caller = stack.enter_context(Caller(server.port))
        idle = stack.enter_context(Caller(server.port))
        caller.send(HALF_BODIES["sized"][0])
        wait_until_collected(50)
        closing = threading.Thread(target=server.close)
        closing.start()
        assert idle.read_to_end() == b""
        caller.send(bytes(50))
        assert caller.read_answer().endswith(b"\r\n\r\n100")
        closing.join()
        assert caller.read_to_end() == b""


def test_close_ends_a_request_whose_body_does_not_arrive_after_the_grace():
    server = serve(make_app(), grace=0.1)
    with Caller(server.port) as caller:
        caller.send(HALF_BODIES["sized"][0])
        wait_until_collected(50)
        server.close()
        assert caller.read_to_end() == b""
    wait_until_collected(0)


def test_100_continue_that_finds_no_space_is_sent_later():
    client, server = socket.socketpair()
    client.settimeout(HANG_BOUND)
    filled = 0
    with client, server.dup() as filler:
        filler.setblocking(False)
        with suppress(BlockingIOError):
            while True:
                filled += filler.send(bytes(1000))
        connection = ClientConnection(server, ("192.0.2.1", 4711), Setup(make_app()))
        client.sendall(get("/size", "Expect: 100-continue", "Content-Length: 5", method="POST"))
        step = threading.Thread(target=connection.step)
        step.start()
        with client.makefile("rb") as responses:
            assert responses.read(filled) == bytes(filled)
            assert responses.readline() == b"HTTP/1.1 100 Continue\r\n"
            client.sendall(b"hello")
            step.join(HANG_BOUND)
            assert responses.readline() == b"\r\n"
            assert responses.readline() == b"HTTP/1.1 200 OK\r\n"
        connection.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_forked_child_counts_no_bytes_of_its_parent():
    with serve(make_app(), threads=1) as server, Caller(server.port) as caller:
        caller.send(post("/size", bytes(100))[:-50])
        wait_until_collected(50)
        assert in_child(lambda: body_collection._collected.add(0)) == "0"
        caller.send(bytes(50))
        assert caller.read_answer().endswith(b"100")
