"""The limits of a request on both engines: bytes kept, the least rate, the total time."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from restkit.server import App, serve
from restkit.server.engine import request_limits
from restkit.server.response import stream, text
from support import limits, portable
from support.apps import limited
from support.caller import Caller, get, post
from support.engines import EMBEDDED, ENGINES
from support.gunicorn import Gunicorn
from support.messages import LAST_CHUNK, chunks
from support.peer import HANG_BOUND

TESTS = Path(__file__).parents[2]
CHUNKED = "Transfer-Encoding: chunked"
MIB = 1 << 20

needs_proc = pytest.mark.skipif(
    not Path("/proc/self/fd").exists() or portable.IS_ON,
    reason="looks for the unlinked files of Linux, or for what Linux reports",
)


def pace(seconds: float) -> None:
    """Be a slow client."""
    threading.Event().wait(seconds)


@pytest.fixture(autouse=True)
def measure_rates_over_a_short_time(monkeypatch):
    monkeypatch.setattr(request_limits, "_RATE_SECONDS", limits.RATE_SECONDS)


@pytest.fixture(scope="module", params=ENGINES)
def port(request, tmp_path_factory) -> Iterator[int]:
    """The port of ``support.apps.limited`` on each engine, with the limits of support.limits."""
    if request.param == EMBEDDED:
        with serve(
            limited.app,
            timeout=limits.TIMEOUT,
            min_rate=limits.MIN_RATE,
            max_request_seconds=limits.MAX_REQUEST_SECONDS,
            max_spool=limits.MAX_SPOOL,
        ) as server:
            yield server.port
        return
    folder = tmp_path_factory.mktemp("limited")
    options = ("-c", "python:support.gunicorn_limits")
    with Gunicorn(folder, "support.apps.limited:app", *options, pythonpath=TESTS) as process:
        yield process.port


def seen_by(port: int) -> list[tuple[str, int]]:
    with Caller(port) as caller:
        caller.send(get("/seen"))
        head = caller.read_head()
        body = caller.read_body(head)
    if body[-len(LAST_CHUNK) :] == LAST_CHUNK:
        body = body.partition(b"\r\n")[2].rpartition(b"\r\n0\r\n\r\n")[0]
    return [tuple(each) for each in json.loads(body)]


def wait_for_end(port: int, before: int) -> tuple[str, int]:
    """Return the error of the next request that ends, and the bytes that it kept on disk."""
    for _ in range(int(HANG_BOUND / 0.05)):
        seen = seen_by(port)
        if len(seen) > before:
            return seen[before]
        pace(0.05)
    raise AssertionError("the request did not end")


# What a client can make the server keep


@needs_proc
def test_client_that_sends_and_never_reads_makes_the_server_keep_max_spool_bytes(port):
    before = len(seen_by(port))
    with Caller(port, receive_buffer=4096) as caller:
        caller.send(get("/echo", CHUNKED, method="POST"))
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            for _ in range(200):
                caller.send(chunks(bytes(MIB)))
    message, kept = wait_for_end(port, before)
    assert kept == limits.MAX_SPOOL
    assert f"kept max_spool bytes of the request, {limits.MAX_SPOOL}" in message


def test_echo_larger_than_max_spool_reaches_a_client_that_reads_late():
    size = 8 * MIB
    body = bytes(range(256)) * (size // 256)
    with serve(limited.app, max_spool=MIB) as server, Caller(server.port) as caller:
        sending = threading.Thread(target=caller.send, args=(post("/echo", body),))
        sending.start()
        pace(0.2)
        head = caller.read_head()
        received = caller.read_body(head)
        sending.join()
    assert received == b"".join(chunks_of_echo(received, body))


def chunks_of_echo(received: bytes, body: bytes) -> list[bytes]:
    """Return the HTTP chunks that ``received`` should have, with the sizes that it has."""
    expected, at, sent = [], 0, 0
    while at < len(received):
        line, _, _ = received[at:].partition(b"\r\n")
        size = int(line, 16)
        expected.append(line + b"\r\n" + body[sent : sent + size] + b"\r\n")
        at += len(line) + size + 4
        sent += size
    assert sent == len(body)
    return expected


@needs_proc
@pytest.mark.parametrize(
    ("max_body", "kept"), [(2 * MIB, 2 * MIB), (None, 4 * MIB), (8 * MIB, 4 * MIB)]
)
def test_max_body_of_a_route_bounds_what_is_kept_for_it(max_body, kept):
    app = App()
    found: list[int] = []

    @app.post("/", stream=True, max_body=max_body)
    def upload(request):
        before = limited.nameless_bytes()

        def respond():
            try:
                request.stream.read(1)
                while True:
                    yield bytes(MIB)
            finally:
                found.append(limited.nameless_bytes() - before)

        return stream(respond())

    with serve(app, timeout=0.5, max_spool=4 * MIB) as server:
        with Caller(server.port, receive_buffer=4096) as caller:
            caller.send(get("/", CHUNKED, method="POST"))
            with pytest.raises((BrokenPipeError, ConnectionResetError)):
                for _ in range(200):
                    caller.send(chunks(bytes(MIB)))
    assert found == [kept]


# The least rate


def test_client_that_sends_at_a_trickle_is_cut_off(port):
    before = len(seen_by(port))
    with Caller(port) as caller:
        caller.send(get("/reads", CHUNKED, method="POST"))
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            while True:
                caller.send(chunks(b"x"))
                pace(0.05)
    message, _ = wait_for_end(port, before)
    assert "was too slow: " in message
    assert "min_rate is 5000 bytes per second" in message


def test_client_that_reads_at_a_trickle_is_cut_off(port):
    before = len(seen_by(port))
    with Caller(port, receive_buffer=4096) as caller:
        caller.send(get("/endless"))
        while len(seen_by(port)) == before:
            caller.sock.recv(50)
            pace(0.05)
    message, _ = wait_for_end(port, before)
    assert "was too slow: " in message or "was silent" in message


@needs_proc
def test_client_that_reads_slowly_is_not_silent():
    """Linux reports a socket as writable again after a third of its buffer has been read."""
    size = 16 * MIB

    def app(environ, start_response):
        start_response("200 OK", [])
        return [bytes(size)]

    with serve(app, timeout=1.0) as server, Caller(server.port) as caller:
        caller.send(get("/", "Connection: close"))
        caller.read_head()
        total = 0
        for _ in range(25):
            total += len(caller.sock.recv(32768))
            pace(0.1)
        with suppress(ConnectionResetError):
            while data := caller.sock.recv(MIB):
                total += len(data)
    assert total > size // 2  # and not all, because read_head() has read the beginning


def test_slow_handlers_and_event_streams_are_not_slow_clients():
    app = App()

    @app.post("/slow")
    def slow(request):
        pace(0.3)
        return text("late")

    @app.get("/events")
    def events(request):
        def respond():
            for _ in range(5):
                pace(0.1)
                yield b"event\n"

        return stream(respond())

    with serve(app, min_rate=1e9) as server, Caller(server.port) as caller:
        caller.send(post("/slow", b"body"))
        assert caller.read_answer().endswith(b"late")
        caller.send(get("/events"))
        assert caller.read_answer().endswith(chunks(b"event\n") * 5 + LAST_CHUNK)


def test_without_min_rate_a_trickle_is_accepted():
    with serve(limited.app, min_rate=None) as server, Caller(server.port) as caller:
        caller.send(get("/reads", "Content-Length: 20", method="POST"))
        for _ in range(20):
            caller.send(b"x")
            pace(0.05)
        assert caller.read_head().startswith(b"HTTP/1.1 200 ")


# The total time


def test_request_that_takes_too_long_is_cut_off_while_it_is_sent(port):
    before = len(seen_by(port))
    with Caller(port) as caller:
        caller.send(get("/reads", CHUNKED, method="POST"))
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            while True:
                caller.send(chunks(bytes(1000)))
                pace(0.01)
    message, _ = wait_for_end(port, before)
    assert "its request took longer than max_request_seconds, 6 s" in message


def test_request_that_takes_too_long_is_cut_off_while_it_is_read():
    def app(environ, start_response):
        write = start_response("200 OK", [])
        while True:
            write(b"chunk" * 1000)

    with serve(app, max_request_seconds=0.3) as server, Caller(server.port) as caller:
        caller.send(get())
        caller.read_head()
        with suppress(ConnectionResetError):
            caller.read_to_end()
        with Caller(server.port) as other:
            other.send(get())
            assert other.read_head().startswith(b"HTTP/1.1 200 ")


# An application that exits


def test_application_that_exits_ends_neither_server_nor_worker(port):
    for _ in range(2):
        with Caller(port) as caller:
            caller.send(get("/exit"))
            assert caller.read_head().startswith(b"HTTP/1.1 500 ")
    with Caller(port) as caller:
        caller.send(get("/"))
        assert caller.read_head().startswith(b"HTTP/1.1 200 ")
