"""At most so many connections: who waits, for what, in which order, and until when."""

from __future__ import annotations

import gc
import os
import re
import signal
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import FrameType

import pytest

from restkit import Client, RequestError, Timeout
from restkit.connections.outgoing import OutgoingRequest
from restkit.connections.pool import ConnectionPool
from restkit.connections.reply import Reply
from restkit.errors import ConnectError, ConnectTimeout, TotalTimeout, TransportError
from restkit.io.spool import Spool
from restkit.network.route import Route
from restkit.timeouts import Deadline
from support import ScriptedServer, refusing, response
from support.beside import beside, in_threads
from support.peer import HANG_BOUND, Peer
from support.waiting import until

PATIENT = Timeout(connect=HANG_BOUND, idle=HANG_BOUND)
BRIEF = Timeout(connect=0.2, idle=HANG_BOUND)
GET = b"GET / HTTP/1.1\r\nHost: api.test\r\n\r\n"
OK = response(b"ok")
# More than comes along with a head: it is in use until somebody has read it.
LONG = b"long" * 250_000


def answer_all(peer: Peer) -> None:
    while peer.next_request() is not None:
        peer.send(OK)


def answer_at_length(peer: Peer) -> None:
    while peer.next_request() is not None:
        peer.send(response(LONG))


def route_to(server: ScriptedServer) -> Route:
    return Route("http", server.host, server.port)


def ask(pool: ConnectionPool, server: ScriptedServer, timeout: Timeout = PATIENT) -> Reply:
    clock = Deadline(timeout, "api.test")
    request = OutgoingRequest("GET", GET, None, Spool)
    return pool.send(request, route_to(server), clock)


def read(reply: Reply) -> bytes:
    body = [reply.content]
    while reply.live is not None and (piece := reply.live.read_chunk()):
        body.append(bytes(piece))
    return b"".join(body)


@contextmanager
def bounded(max_open: int, size: int = 10) -> Iterator[ConnectionPool]:
    pool = ConnectionPool(size, max_connections=max_open)
    yield pool
    pool.close()


@contextmanager
def waiting(pool: ConnectionPool, work: Callable[[], object]) -> Iterator[list[object]]:
    """Does the work in a thread that waits for the pool as the block begins; what it gave."""
    got: list[object] = []
    before = waiters(pool)

    def run() -> None:
        try:
            got.append(work())
        except BaseException as error:  # noqa: BLE001  # for the test to look at
            got.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        until(lambda: waiters(pool) > before or got)
        yield got
    finally:
        thread.join(2 * HANG_BOUND)
        assert not thread.is_alive()


def waiters(pool: ConnectionPool) -> int:
    return int(repr(pool).split(", ")[4].split()[0])


def at_ease(pool: ConnectionPool, resting: int, most: int) -> bool:
    counts = f"{resting} idle, 0 in use, 0 being opened, 0 waiting, {most} at most"
    return repr(pool) == f"<ConnectionPool, {counts}>"


# Room


def test_C12_one_at_rest_is_closed_to_make_room_and_the_oldest_first():
    with ExitStack() as stack:
        first, second, third = (stack.enter_context(ScriptedServer(answer_all)) for _ in range(3))
        pool = stack.enter_context(bounded(2))
        for server in (first, second, first, third):
            assert ask(pool, server).content == b"ok"
        second.join()  # `first` was used again since
        assert ask(pool, first).content == b"ok"
        assert ask(pool, third).content == b"ok"
        assert [server.connections for server in (first, second, third)] == [1, 1, 1]
        assert at_ease(pool, 2, 2)


def test_C12_a_new_one_may_take_the_place_of_one_at_rest_on_its_own_route():
    with ScriptedServer(answer_all) as server, bounded(1) as pool:
        ask(pool, server)
        clock = Deadline(PATIENT)
        fresh = pool.open(route_to(server), clock)
        assert fresh.used == 0
        assert fresh.send(OutgoingRequest("GET", GET, None, Spool), clock).content == b"ok"
        server.until(lambda: server.peers[0].finished)
        assert server.connections == 2
        assert at_ease(pool, 1, 1)


def test_C12_a_connection_that_was_given_away_counts_no_more():
    upgrade = b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"
    with ScriptedServer(
        lambda peer: (peer.read_request(), peer.send(upgrade)), answer_all
    ) as server:
        with bounded(1) as pool:
            given = ask(pool, server).upgraded
            assert given is not None
            assert ask(pool, server).content == b"ok"
            given.close()
            assert at_ease(pool, 1, 1)


# Waiting


def test_C12_who_waits_for_the_same_route_gets_what_comes_to_rest():
    with ScriptedServer(answer_at_length) as server, bounded(1) as pool:
        held = ask(pool, server)
        with waiting(pool, lambda: read(ask(pool, server))) as got:
            assert got == []
            assert read(held) == LONG
        assert got == [LONG]
        assert server.connections == 1
        assert at_ease(pool, 1, 1)


def test_C12_who_waits_for_another_route_gets_the_place_of_what_comes_to_rest():
    with ScriptedServer(answer_at_length) as server, ScriptedServer(answer_all) as other:
        with bounded(1) as pool:
            held = ask(pool, server)
            with waiting(pool, lambda: ask(pool, other).content) as got:
                assert read(held) == LONG
            assert got == [b"ok"]
            server.join()
            assert at_ease(pool, 1, 1)


@pytest.mark.parametrize("end", ["closed", "dropped", "dropped in a ring"])
def test_C12_who_waits_gets_the_place_of_an_answer_that_is_not_read(end):
    with ScriptedServer(answer_at_length) as server, bounded(1) as pool:
        held = [ask(pool, server)]
        with waiting(pool, lambda: read(ask(pool, server))) as got:
            if end == "closed":
                held[0].live.close()
            elif end == "dropped in a ring":
                ring: list[object] = [held.pop()]
                ring.append(ring)
                del ring
                gc.collect()
            held.clear()
        assert got == [LONG]
        assert server.connections == 2
        assert at_ease(pool, 1, 1)


def test_C12_what_was_handed_over_and_is_dead_is_replaced_in_its_own_place():
    done = threading.Event()

    def answer_and_end(peer: Peer) -> None:
        peer.read_request()
        peer.send(response(LONG))
        peer.wait(done)

    with ScriptedServer(answer_and_end, answer_all) as server, bounded(1) as pool:
        held = ask(pool, server)
        with waiting(pool, lambda: read(ask(pool, server))) as got:
            done.set()
            server.join()
            assert read(held) == LONG
        assert got == [b"ok"]
        assert server.connections == 2
        assert at_ease(pool, 1, 1)


def test_C12_who_waits_for_a_new_one_is_not_given_an_old_one():
    with ScriptedServer(answer_at_length) as server, bounded(1) as pool:
        held = ask(pool, server)
        with waiting(pool, lambda: pool.open(route_to(server), Deadline(PATIENT)).used) as got:
            assert read(held) == LONG
        assert got == [0]
        server.until(lambda: server.connections == 2)


def test_C12_they_are_served_in_the_order_in_which_they_came():
    with ScriptedServer(answer_at_length) as server, ScriptedServer(answer_all) as other:
        served: list[int] = []

        def take_a_turn(number: int) -> None:
            reply = ask(pool, other if number % 3 else server)
            served.append(number)
            read(reply)

        with bounded(1) as pool, ExitStack() as stack:
            held = ask(pool, server)
            for number in range(9):
                stack.enter_context(waiting(pool, lambda number=number: take_a_turn(number)))
            read(held)
            stack.close()
            assert served == list(range(9))
            assert at_ease(pool, 1, 1)


# The end of waiting


def test_C12_a_wait_ends_in_a_connect_timeout_that_names_the_bound():
    with ScriptedServer(answer_at_length) as server, bounded(2) as pool:
        held = [ask(pool, server), ask(pool, server)]
        with pytest.raises(ConnectTimeout) as caught:
            ask(pool, server, BRIEF)
        assert str(caught.value) == (
            "api.test: still waiting for one of the 2 connections that max_connections allows "
            "after 0.2 s (Timeout.connect); a response that is neither read to its end nor closed "
            "keeps its connection"
        )
        assert caught.value.sent == "nothing"
        for reply in held:
            assert read(reply) == LONG
        assert at_ease(pool, 2, 2)


def test_C12_the_total_may_be_over_first():
    with ScriptedServer(answer_at_length) as server, bounded(1) as pool:
        held = ask(pool, server)
        with pytest.raises(TotalTimeout) as caught:
            ask(pool, server, Timeout(connect=None, total=0.2))
        assert str(caught.value) == (
            "api.test: still waiting for one of the 1 connections that max_connections allows when "
            "the 0.2 s of Timeout.total were over"
        )
        assert caught.value.sent == "nothing"
        read(held)


def test_C12_who_gave_up_does_not_keep_the_place_from_the_next():
    with ScriptedServer(answer_at_length) as server, bounded(1) as pool:
        held = ask(pool, server)
        with (
            waiting(pool, lambda: ask(pool, server, BRIEF)) as impatient,
            waiting(pool, lambda: read(ask(pool, server))) as patient,
        ):
            until(lambda: impatient)
            read(held)
        assert isinstance(impatient[0], ConnectTimeout)
        assert patient == [LONG]


def test_C12_a_client_with_a_bound_says_so_when_its_own_answers_are_in_the_way():
    with ScriptedServer(answer_at_length) as server:
        with Client(max_connections=1, timeout=PATIENT, max_tries=1) as client:
            unread = client.get(server.url())
            with pytest.raises(
                ConnectTimeout, match="neither read to its end nor closed"
            ) as caught:
                client.get(server.url("/second"), timeout=BRIEF)
            assert caught.value.request.url.target == "/second"
            assert unread.body == LONG
            assert client.get(server.url("/third")).body == LONG


@pytest.mark.parametrize("count", [0, -1, 1.5, "2", True])
def test_C12_a_bound_is_a_number_of_connections(count):
    with pytest.raises(RequestError, match=r"^max_connections must be"):
        Client(max_connections=count)


def test_C12_a_dial_that_fails_gives_its_place_to_the_next():
    def never(peer: Peer) -> None:
        peer.read_to_end()

    with ScriptedServer(never) as silent, ScriptedServer(answer_all) as server:
        with bounded(1) as pool:
            secure = Route("https", silent.host, silent.port)
            with waiting(
                pool, lambda: pool.acquire(secure, Deadline(Timeout(connect=0.5)))
            ) as failed:
                silent.until(lambda: silent.connections)
                with waiting(pool, lambda: ask(pool, server).content) as got:
                    pass
            assert isinstance(failed[0], ConnectTimeout)
            assert got == [b"ok"]
    with refusing() as port, bounded(1) as pool:
        for _ in range(3):
            with pytest.raises(ConnectError, match="refused"):
                pool.acquire(Route("http", "127.0.0.1", port), Deadline(PATIENT))
        assert at_ease(pool, 0, 1)


def test_C12_closing_wakes_who_waits():
    with ScriptedServer(answer_at_length) as server, bounded(1) as pool:
        held = ask(pool, server)
        with (
            waiting(pool, lambda: ask(pool, server)) as one,
            waiting(pool, lambda: ask(pool, server, Timeout(None, None, None))) as other,
        ):
            pool.close()
        for error in (*one, *other):
            assert type(error) is TransportError
            assert error.sent == "nothing"
            assert str(error) == (
                "api.test: the Client was closed while this call waited for a connection"
            )
        held.live.close()
        with pytest.raises(RequestError, match="this Client is closed"):
            ask(pool, server)


@pytest.mark.parametrize(
    "make", [ConnectionPool, lambda size: ConnectionPool(size, max_connections=1)]
)
def test_a_wait_between_tries_ends_when_the_pool_is_closed(make):
    pool = make(10)
    assert not pool.sleep_unless_closed(0.01)
    asleep = [
        threading.Thread(target=lambda: woken.append(pool.sleep_unless_closed(2 * HANG_BOUND)))
        for _ in "ab"
    ]
    woken: list[bool] = []
    for thread in asleep:
        thread.start()
    pool.close()
    for thread in asleep:
        thread.join(HANG_BOUND)
    assert woken == [True, True]
    assert pool.sleep_unless_closed(HANG_BOUND)


# Threads


def open_to(ports: set[int]) -> int:
    """How many connections to these ports there are that their clients have not closed."""
    # The remote port, and the state: ESTABLISHED or SYN_SENT, as in Linux's tcp_states.h.
    row = "|".join(f":{port:04X} 0[12] " for port in ports)
    return len(re.findall(row, Path("/proc/net/tcp").read_text()))


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="it tells what is open")
def test_W11_C12_many_threads_and_origins_never_have_more_open_and_none_is_left_out():
    body = b"x" * 30_000

    def serve(peer: Peer) -> None:
        while peer.next_request() is not None:
            peer.send(response(body))

    def work(number: int) -> None:
        for turn in range(12):
            got = client.get(servers[(number + turn) % 3].url())
            way = (number * 5 + turn) % 4
            if way == 0:
                assert got.body_file.read(10) == body[:10]
            elif way == 1:
                got.close()
            elif way == 2:
                assert got.body == body
            if turn % 4 == 0:  # the system's list takes a while to be read
                with client._pool._lock:
                    most.append(open_to(ports))

    most: list[int] = []
    with ExitStack() as stack:
        servers = [stack.enter_context(ScriptedServer(serve)) for _ in range(3)]
        ports = {server.port for server in servers}
        client = stack.enter_context(Client(max_connections=4, timeout=PATIENT))
        assert in_threads(24, work) == [None] * 24
        assert len(most) == 24 * 3
        assert 1 <= max(most) <= 4
        for server in servers:
            assert client.get(server.url()).body == body


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_W11_C12_a_hundred_threads_share_ten_connections(scheme, certs):
    def name_it(peer: Peer) -> None:
        while request := peer.next_request():
            peer.send(response(request.split()[1]))

    def work(number: int) -> None:
        for turn in range(5):
            path = f"/{number}/{turn}"
            assert client.get(server.url(path)).body == path.encode()

    context: ssl.SSLContext | None = certs.server if scheme == "https" else None
    with ScriptedServer(name_it, ssl_context=context) as server:
        with Client(max_connections=10, timeout=PATIENT, verify=certs.ca_file) as client:
            assert in_threads(100, work) == [None] * 100
        assert len(server.requests) == 500
        assert 1 <= server.connections <= 10


# Forks


FORK = """
import os, sys, threading, time, warnings
from restkit import Client, Timeout

LONG = b'long' * 250_000
warnings.simplefilter('ignore')  # of forking with threads, which is the point
with Client(timeout=Timeout(60, 60), max_connections=2) as client:
    url = sys.argv[1]
    assert client.get(url).body == LONG  # whatever the first request imports, is there now
    held = [client.get(url), client.get(url)]
    waits = threading.Thread(target=lambda: client.get(url).body)
    waits.start()
    pool = client._pool
    while '1 waiting' not in repr(pool):
        time.sleep(0.005)
    child = os.fork()
    if child == 0:
        try:
            assert ', 0 idle, 0 in use, 0 being opened, 0 waiting' in repr(pool), pool
            both = [client.get(url), client.get(url)]
            for one in both:
                assert one.body == LONG
            del held, both
            client.close()
            os._exit(7)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    for one in held:
        assert one.body == LONG
    waits.join()
    assert ', 2 idle, 0 in use, 0 being opened, 0 waiting' in repr(pool), pool
"""

FORK_IN_USE = """
import os, sys, threading, warnings
from restkit import Client, Timeout

LONG = b'long' * 250_000
warnings.simplefilter('ignore')  # of forking with threads, which is the point
url = sys.argv[1]
with Client(timeout=Timeout(60, 60), max_connections=2) as client:
    assert client.get(url).body == LONG
    stop = threading.Event()

    def ask():
        while not stop.is_set():
            assert client.get(url).body == LONG

    threads = [threading.Thread(target=ask) for _ in range(5)]
    for thread in threads:
        thread.start()
    for _ in range(20):
        child = os.fork()
        if child == 0:
            try:
                assert client.get(url).body == LONG
                os._exit(7)
            finally:
                os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    stop.set()
    for thread in threads:
        thread.join()
"""


@pytest.mark.parametrize("program", [FORK, FORK_IN_USE], ids=["with one waiting", "in use"])
def test_W12_C12_a_child_begins_to_count_from_nothing(program):
    with ScriptedServer(answer_at_length) as server:
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", program, server.url()],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            text=True,
            timeout=2 * HANG_BOUND,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, "")


# Interrupts


class Interrupted(BaseException):
    """What Ctrl-C is, but for the name: pytest takes that one for its own."""


@pytest.mark.parametrize("end", [lambda held: held.live.close(), read], ids=["place", "connection"])
def test_C12_one_interrupted_while_he_is_served_leaves_it_to_the_next(end):
    """Served in the handler itself, for then it has been while he still waits."""
    passed_on: list[object] = []
    with ScriptedServer(answer_at_length, answer_at_length) as server, bounded(1) as pool:
        held = ask(pool, server)
        main = threading.get_ident()

        def handler(*_: object) -> None:
            end(held)
            raise Interrupted

        def wait_behind() -> None:
            until(lambda: waiters(pool) == 1)
            with waiting(pool, lambda: read(ask(pool, server))) as got:
                signal.pthread_kill(main, signal.SIGALRM)
            passed_on.extend(got)

        before = signal.signal(signal.SIGALRM, handler)
        try:
            with beside(wait_behind), pytest.raises(Interrupted):
                ask(pool, server)
        finally:
            signal.signal(signal.SIGALRM, before)
        assert passed_on == [LONG]
        assert at_ease(pool, 1, 1)


LAID_OPEN = ("call.py", "pool.py", "connection.py")


@contextmanager
def interrupted_at_line(number: int) -> Iterator[None]:
    """Interrupts this thread at the nth line that it comes to in the files above."""
    left = number

    def trace(frame: FrameType, event: str, _: object) -> object:
        nonlocal left
        # Compare whole names: this file must restore the trace function without an interrupt.
        if os.path.basename(frame.f_code.co_filename) not in LAID_OPEN:
            return None
        if event == "line":
            left -= 1
            if left == 0:
                raise Interrupted
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        yield
    finally:
        sys.settrace(before)


# Of a socket that is connected and in nobody's hands yet, the collector says that it closed it.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("rested", [False, True])
@pytest.mark.parametrize("bound", [None, 1])
def test_an_interrupt_anywhere_leaves_no_connection_in_use(bound, rested):
    before = sys.gettrace()
    with ScriptedServer(answer_all) as server:
        for number in range(1, 1000):
            with Client(max_connections=bound, timeout=PATIENT) as client:
                pool = client._pool
                if rested:
                    client.get(server.url())
                whole = False
                with suppress(Interrupted), interrupted_at_line(number):
                    client.get(server.url())
                    whole = True
                assert ", 0 in use" in repr(pool), number
                assert client.get(server.url()).body == b"ok"
                if whole:
                    break
    assert number > 20
    assert sys.gettrace() is before  # or the coverage of later tests is not measured
