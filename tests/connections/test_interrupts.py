"""An interrupt, a close() or a garbage collection at any line of a call: see the rules in
docs/architecture.rst, "Locks and interrupts".
"""

from __future__ import annotations

import gc
import gzip
import os
import signal
import sys
import threading
from contextlib import contextmanager, suppress

import pytest

from restkit import Client, Error, Timeout
from support import ScriptedServer, response
from support.interrupts import AtLine, Interrupted
from support.memory import open_descriptors
from support.messages import chunked_response
from support.peer import HANG_BOUND, Peer
from support.waiting import until

TIMEOUT = Timeout(connect=10, idle=10)
BIG = os.urandom(150_000)
RESPONSES = {
    b"/big": response(BIG),
    b"/gzip": response(gzip.compress(BIG, 0), "Content-Encoding: gzip"),
    b"/chunked": chunked_response(BIG[:70_000], BIG[70_000:]),
    b"/redirect": b"HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 150000\r\n\r\n" + BIG,
    b"/": response(b"ok"),
}


def respond(peer: Peer) -> None:
    while (request := peer.next_request()) is not None:
        peer.send(RESPONSES[request.split()[1]])


class Work:
    """One call in a test; ``response`` is its response as soon as there is one."""

    def __init__(self, client, server, folder):
        self.client, self.server, self.folder = client, server, folder
        self.response = None

    def get(self, path, **options):
        self.response = self.client.get(self.server.url(path), **options)
        return self.response


def read_body(work):
    assert work.get("/big").body == BIG


def read_spooled_gzip(work):
    assert work.get("/gzip", spool_size=1000).body == BIG


def read_stream(work):
    with work.get("/big").body_stream() as stream:
        assert b"".join(iter(lambda: stream.read(50_000), b"")) == BIG


def save(work):
    path = os.path.join(work.folder, "saved")
    work.get("/big").save(path)
    with open(path, "rb") as file:
        assert file.read() == BIG
    os.unlink(path)


def close_with_a_small_rest(work):
    work.get("/chunked", eager_body=0).body_file.read1(100_000)
    work.response.close()


def drop_with_a_small_rest(work):
    work.get("/chunked", eager_body=0).body_file.read1(100_000)
    work.response = None


def redirect(work):
    assert work.get("/redirect", follow_redirect=True).body == b"ok"


def post(work):
    chunks = (BIG[at : at + 50_000] for at in range(0, len(BIG), 50_000))
    work.response = work.client.post(work.server.url("/"), chunks)
    assert work.response.body == b"ok"


def interrupt(work):
    raise Interrupted


ACTIONS = {
    "interrupt": interrupt,
    "client.close": lambda work: work.client.close(),
    "client.close(abort=True)": lambda work: work.client.close(abort=True),
    "response.close": lambda work: work.response and work.response.close(),
    "collect": lambda work: gc.collect(),
}


@pytest.fixture(autouse=True)
def _unraisable_exceptions_are_dropped(monkeypatch):
    """Pytest would keep them, and so the body whose finalizer was interrupted."""
    monkeypatch.setattr(sys, "unraisablehook", lambda _: None)


@contextmanager
def no_hang(place):
    """Raise if the block takes too long, also if it waits for a lock."""

    def fail(*_):
        raise AssertionError(f"hangs after the interrupt at {place()}")

    before = signal.signal(signal.SIGALRM, fail)
    signal.alarm(int(HANG_BOUND) - 5)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def run_at_each_line(work_of_call, action, limit, folder, *, first=1, step=1, file=""):
    """Do the action at each line, or at each step lines; return the number of lines."""
    number = first
    with ScriptedServer(respond) as server:
        while True:
            client = Client(max_connections=limit, timeout=TIMEOUT, cookies=False)
            work = Work(client, server, folder)
            if action == "collect":
                cycle = [client.get(server.url("/big"))]
                cycle.append(cycle)
                del cycle
            at_line = AtLine(number, lambda work=work: ACTIONS[action](work), file)
            with no_hang(lambda at=at_line: at.place):
                with suppress(Interrupted, Error), at_line:
                    work_of_call(work)
                work.response = None
                gc_when_needed(client)
                place = f"{number} {at_line.place} {client._pool!r}"
                assert ", 0 in use" in repr(client._pool), place
                assert "0 being opened, 0 waiting" in repr(client._pool) or not limit, place
                assert set(os.listdir(folder)) <= {"saved"}, place
                if client.closed:
                    assert client._pool.count_idle() == 0, place
                else:
                    assert client.get(server.url("/")).body == b"ok", place
            client.close()
            with suppress(FileNotFoundError):
                with open(os.path.join(folder, "saved"), "rb") as saved:
                    assert saved.read() == BIG, place  # all or nothing
                os.unlink(os.path.join(folder, "saved"))
            if not at_line.reached:
                return number
            number += step


def gc_when_needed(client):
    """Collect cycles, such as an exception with its frames, if something is left."""
    if ", 0 in use" not in repr(client._pool):
        gc.collect()


CASES = [
    (read_body, "interrupt", None),
    (read_body, "interrupt", 1),
    (read_body, "client.close", 1),
    (read_body, "response.close", 1),
    (read_spooled_gzip, "interrupt", 1),
    (read_spooled_gzip, "collect", 2),
    (read_stream, "interrupt", 1),
    (read_stream, "client.close(abort=True)", None),
    (save, "interrupt", 1),
    (save, "response.close", None),
    (close_with_a_small_rest, "interrupt", 1),
    (close_with_a_small_rest, "client.close", 1),
    (close_with_a_small_rest, "response.close", None),
    (drop_with_a_small_rest, "interrupt", 1),
    (drop_with_a_small_rest, "collect", 2),
    (redirect, "interrupt", 1),
    (redirect, "client.close(abort=True)", 1),
    (post, "interrupt", 1),
    (post, "client.close", None),
]
# The collector warns that it closed a socket that is connected but not yet owned, and that a
# finalizer was interrupted.
IGNORED = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
EVERY_CASE = pytest.mark.parametrize(
    ("work", "action", "limit"),
    CASES,
    ids=[f"{work.__name__}-{action}-{limit}" for work, action, limit in CASES],
)


@IGNORED
@EVERY_CASE
def test_whatever_happens_at_a_line_of_a_call_leaks_nothing_and_never_hangs(
    work, action, limit, tmp_path
):
    """Only some of the lines; the slow test below has all."""
    first = 1 + CASES.index((work, action, limit))
    before = open_descriptors()
    assert run_at_each_line(work, action, limit, tmp_path, first=first, step=29) > 400
    gc.collect()
    until(lambda: open_descriptors() <= before)


def get_small(work):
    assert work.get("/").body == b"ok"


@IGNORED
@pytest.mark.parametrize(
    ("work", "action", "file"),
    [
        (get_small, "interrupt", "connections/wait_queue.py"),
        (get_small, "client.close", "connections/wait_queue.py"),
        (get_small, "client.close", "connections/pool.py"),
        (get_small, "client.close", "connections/idle.py"),
        (save, "interrupt", "io/files.py"),
        (drop_with_a_small_rest, "interrupt", "connections/reply.py"),
    ],
)
def test_whatever_happens_at_each_line_of_a_file_leaks_nothing_and_never_hangs(
    work, action, file, tmp_path
):
    before = open_descriptors()
    assert run_at_each_line(work, action, 1, tmp_path, file=file) > 3
    gc.collect()
    until(lambda: open_descriptors() <= before)


@IGNORED
@pytest.mark.slow
@pytest.mark.parametrize(
    "work", [read_spooled_gzip, save, close_with_a_small_rest, drop_with_a_small_rest, post]
)
def test_an_interrupt_at_each_line_of_a_call_leaks_nothing_and_never_hangs(work, tmp_path):
    before = open_descriptors()
    assert run_at_each_line(work, "interrupt", 1, tmp_path, step=3) > 400
    gc.collect()
    until(lambda: open_descriptors() <= before)


# A thread that waits for a connection


def read_and_release(held):
    assert held.body == BIG


@IGNORED
@pytest.mark.parametrize("path", ["/", "/big"])
@pytest.mark.parametrize(
    "release", [read_and_release, lambda held: held.close()], ids=["read", "closed"]
)
def test_waiting_thread_gets_its_connection_if_the_release_was_interrupted_at_a_line(release, path):
    number, expected = 1 + len(path), RESPONSES[path.encode()][-2:]
    with ScriptedServer(respond) as server:
        while True:
            client = Client(max_connections=1, timeout=TIMEOUT, cookies=False)
            held, got = [client.get(server.url("/big"))], []
            waiter = threading.Thread(
                target=lambda c=client, g=got: g.append(c.get(server.url(path)).body[-2:])
            )
            waiter.start()
            until(lambda c=client: "1 waiting" in repr(c._pool))
            with suppress(Interrupted), AtLine(number, lambda: interrupt(None)) as at_line:
                release(held[0])
            held.clear()
            waiter.join(HANG_BOUND)
            assert got == [expected], at_line.place
            assert "0 in use, 0 being opened, 0 waiting" in repr(client._pool), at_line.place
            client.close()
            if not at_line.reached:
                break
            number += 13
    assert number > 100
