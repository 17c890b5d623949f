"""The max_connections limit: waiting, order of waiters, timeouts, forks and interrupts."""

from __future__ import annotations

import gc
import os
import re
import signal
import ssl
import sys
import threading
import weakref
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
from restkit.network.options import Network
from restkit.network.route import Route
from restkit.timeouts import Deadline
from support import ScriptedServer, refusing, response
from support.beside import beside, in_threads
from support.peer import HANG_BOUND, Peer
from support.programs import run_program
from support.waiting import until

PATIENT = Timeout(connect=HANG_BOUND, idle=HANG_BOUND)
BRIEF = Timeout(connect=0.2, idle=HANG_BOUND)
GET = b"GET / HTTP/1.1\r\nHost: api.test\r\n\r\n"
OK = response(b"ok")
# Too long to arrive with the head: the connection is in use until the body is read.
LONG = b"long" * 250_000


def respond_to_all(peer: Peer) -> None:
    while peer.next_request() is not None:
        peer.send(OK)


def respond_in_two(peer: Peer) -> None:
    """Send each head, and its body only when the client has received the head."""
    while peer.next_request() is not None:
        peer.send(OK[: -len(b"ok")])
        peer.until_arrived()
        peer.send(b"ok")


def respond_with_long_body(peer: Peer) -> None:
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
    while reply.live is not None and (chunk := reply.live.read_chunk()):
        body.append(bytes(chunk))
    return b"".join(body)


@contextmanager
def limited_pool(max_open: int, size: int = 10) -> Iterator[ConnectionPool]:
    pool = ConnectionPool(size, max_connections=max_open)
    yield pool
    pool.close()


@contextmanager
def waiting(pool: ConnectionPool, work: Callable[[], object]) -> Iterator[list[object]]:
    """Run the work in a thread that waits for the pool, and yield the list of its results."""
    got: list[object] = []
    before = waiters(pool)

    def run() -> None:
        try:
            got.append(work())
        except BaseException as error:  # noqa: BLE001  # the test checks it
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


def is_settled(pool: ConnectionPool, idle: int, most: int) -> bool:
    counts = f"{idle} idle, 0 in use, 0 being opened, 0 waiting, {most} at most"
    return repr(pool) == f"<ConnectionPool, {counts}>"


# Room


def test_C12_oldest_idle_connection_is_closed_to_make_room():
    with ExitStack() as stack:
        first, second, third = (
            stack.enter_context(ScriptedServer(respond_to_all)) for _ in range(3)
        )
        pool = stack.enter_context(limited_pool(2))
        for server in (first, second, first, third):
            assert ask(pool, server).content == b"ok"
        second.join()  # `first` was used more recently
        assert ask(pool, first).content == b"ok"
        assert ask(pool, third).content == b"ok"
        assert [server.connections for server in (first, second, third)] == [1, 1, 1]
        assert is_settled(pool, 2, 2)


def test_C12_new_connection_replaces_an_idle_one_of_its_route():
    with ScriptedServer(respond_to_all) as server, limited_pool(1) as pool:
        ask(pool, server)
        clock = Deadline(PATIENT)
        fresh = pool.open(route_to(server), clock)
        assert fresh.used == 0
        assert fresh.send(OutgoingRequest("GET", GET, None, Spool), clock).content == b"ok"
        server.until(lambda: server.peers[0].finished)
        assert server.connections == 2
        assert is_settled(pool, 1, 1)


def test_C12_upgraded_connection_no_longer_counts():
    upgrade = b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"
    with ScriptedServer(
        lambda peer: (peer.read_request(), peer.send(upgrade)), respond_to_all
    ) as server:
        with limited_pool(1) as pool:
            upgraded = ask(pool, server).upgraded
            assert upgraded is not None
            assert ask(pool, server).content == b"ok"
            upgraded.close()
            assert is_settled(pool, 1, 1)


# Waiting


def test_C12_waiter_for_the_same_route_gets_the_idle_connection():
    with ScriptedServer(respond_with_long_body) as server, limited_pool(1) as pool:
        held = ask(pool, server)
        with waiting(pool, lambda: read(ask(pool, server))) as got:
            assert got == []
            assert read(held) == LONG
        assert got == [LONG]
        assert server.connections == 1
        assert is_settled(pool, 1, 1)


def test_C12_waiter_for_another_route_gets_the_slot_of_an_idle_connection():
    with ScriptedServer(respond_with_long_body) as server, ScriptedServer(respond_to_all) as other:
        with limited_pool(1) as pool:
            held = ask(pool, server)
            with waiting(pool, lambda: ask(pool, other).content) as got:
                assert read(held) == LONG
            assert got == [b"ok"]
            server.join()
            assert is_settled(pool, 1, 1)


@pytest.mark.parametrize("end", ["closed", "dropped", "dropped in a ring"])
def test_C12_waiter_gets_the_slot_of_an_unread_response(end):
    with ScriptedServer(respond_with_long_body) as server, limited_pool(1) as pool:
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
        assert is_settled(pool, 1, 1)


def test_C12_dead_connection_given_to_a_waiter_is_replaced_in_its_slot():
    done = threading.Event()

    def respond_then_close(peer: Peer) -> None:
        peer.read_request()
        peer.send(response(LONG))
        peer.wait(done)

    with ScriptedServer(respond_then_close, respond_to_all) as server, limited_pool(1) as pool:
        held = ask(pool, server)
        with waiting(pool, lambda: read(ask(pool, server))) as got:
            done.set()
            server.join()
            assert read(held) == LONG
        assert got == [b"ok"]
        assert server.connections == 2
        assert is_settled(pool, 1, 1)


def test_C12_waiter_for_a_new_connection_gets_no_idle_one():
    with ScriptedServer(respond_with_long_body) as server, limited_pool(1) as pool:
        held = ask(pool, server)
        with waiting(pool, lambda: pool.open(route_to(server), Deadline(PATIENT)).used) as got:
            assert read(held) == LONG
        assert got == [0]
        server.until(lambda: server.connections == 2)


def test_C12_waiters_are_served_in_order():
    with ScriptedServer(respond_with_long_body) as server, ScriptedServer(respond_to_all) as other:
        served: list[int] = []

        def send_and_read(number: int) -> None:
            reply = ask(pool, other if number % 3 else server)
            served.append(number)
            read(reply)

        with limited_pool(1) as pool, ExitStack() as stack:
            held = ask(pool, server)
            for number in range(9):
                stack.enter_context(waiting(pool, lambda number=number: send_and_read(number)))
            read(held)
            stack.close()
            assert served == list(range(9))
            assert is_settled(pool, 1, 1)


# Timeouts and errors while waiting


def test_C12_waiting_too_long_is_a_connect_timeout_naming_the_limit():
    with ScriptedServer(respond_with_long_body) as server, limited_pool(2) as pool:
        held = [ask(pool, server), ask(pool, server)]
        with pytest.raises(ConnectTimeout) as caught:
            ask(pool, server, BRIEF)
        url = f"http://127.0.0.1:{server.port}/"
        assert str(caught.value) == (
            "api.test: still waiting for one of the 2 connections that max_connections allows "
            "after 0.2 s (Timeout.connect); 2 responses of this Client have not been read or "
            f"closed: GET {url}, GET {url}"
        )
        assert caught.value.sent == "nothing"
        for reply in held:
            assert read(reply) == LONG
        assert is_settled(pool, 2, 2)


def test_C12_total_timeout_may_expire_while_waiting():
    with ScriptedServer(respond_with_long_body) as server, limited_pool(1) as pool:
        held = ask(pool, server)
        with pytest.raises(TotalTimeout) as caught:
            ask(pool, server, Timeout(connect=None, total=0.2))
        assert str(caught.value) == (
            "api.test: still waiting for one of the 1 connections that max_connections allows when "
            "the 0.2 s of Timeout.total were over; 1 response of this Client has not been read or "
            f"closed: GET http://127.0.0.1:{server.port}/"
        )
        assert caught.value.sent == "nothing"
        read(held)


def test_C12_timed_out_waiter_does_not_block_the_next():
    with ScriptedServer(respond_with_long_body) as server, limited_pool(1) as pool:
        held = ask(pool, server)
        with (
            waiting(pool, lambda: ask(pool, server, BRIEF)) as impatient,
            waiting(pool, lambda: read(ask(pool, server))) as patient,
        ):
            until(lambda: impatient)
            read(held)
        assert isinstance(impatient[0], ConnectTimeout)
        assert patient == [LONG]


def test_C12_max_connections_error_names_unread_responses_by_method_and_url():
    with ScriptedServer(respond_with_long_body) as server:
        with Client(max_connections=2, timeout=PATIENT, max_tries=1) as client:
            held = [
                client.post(server.url("/a?page=2&token=abc"), b"x"),
                client.get("http://origin.test/b", proxy=f"http://127.0.0.1:{server.port}"),
            ]
            with pytest.raises(ConnectTimeout) as caught:
                client.get(server.url("/second"), timeout=BRIEF)
            assert caught.value.message.endswith(
                "; 2 responses of this Client have not been read or closed: POST "
                f"http://127.0.0.1:{server.port}/a?page=2&token=***, GET http://origin.test/b"
            )
            assert caught.value.request.url.target == "/second"
            assert [each.body for each in held] == [LONG, LONG]
            assert client.get(server.url("/third")).body == LONG


def test_C12_max_connections_error_names_five_unread_responses_and_counts_the_rest():
    with ScriptedServer(respond_with_long_body) as server:
        with Client(max_connections=7, timeout=PATIENT, max_tries=1) as client:
            long = "x" * 500
            held = [client.get(server.url(f"/{number}{long}")) for number in range(7)]
            with pytest.raises(ConnectTimeout, match=r", and 2 more$") as caught:
                client.get(server.url(), timeout=BRIEF)
            assert re.findall("GET http://127.0.0.1:[0-9]+/([0-9])x+[.]{3}", str(caught.value)) == (
                list("01234")
            )
            assert len(str(caught.value)) < 1000
            assert [each.body for each in held] == [LONG] * 7


def test_C12_max_connections_error_names_no_response_that_is_still_awaited():
    go_on = threading.Event()

    def respond_later(peer: Peer) -> None:
        peer.read_request()
        peer.wait(go_on)
        peer.send(OK)

    with ScriptedServer(respond_later) as server, limited_pool(1) as pool:

        def fail() -> None:
            server.until(lambda: server.requests)
            with pytest.raises(ConnectTimeout, match=r"\(Timeout.connect\)$"):
                ask(pool, server, BRIEF)
            go_on.set()

        with beside(fail):
            assert ask(pool, server).content == b"ok"


def test_C12_error_about_unread_responses_keeps_none_of_them():
    with ScriptedServer(respond_with_long_body) as server:
        with Client(max_connections=1, timeout=PATIENT, max_tries=1) as client:
            held = [client.get(server.url())]
            with pytest.raises(ConnectTimeout, match="1 response of this Client has") as caught:
                client.get(server.url(), timeout=BRIEF)
            response_is = weakref.ref(held.pop())
            assert response_is() is None  # at once: neither the error nor a cycle keeps it
            assert caught.value.request is not None
            assert client.get(server.url()).body == LONG


@pytest.mark.parametrize("outcome", [True, False, "raises"])
def test_C12_check_address_is_called_for_a_connection_that_is_handed_to_a_waiter(outcome):
    def check(ip: object) -> bool:
        checked.append(str(ip))
        if outcome == "raises":
            raise LookupError(ip)
        return outcome is True

    checked: list[str] = []
    with ScriptedServer(respond_with_long_body) as server, limited_pool(1) as pool:
        route = route_to(server)._replace(network=Network(address_check=check))
        request = OutgoingRequest("GET", GET, None, Spool)
        held = ask(pool, server)
        with waiting(pool, lambda: read(pool.send(request, route, Deadline(PATIENT)))) as got:
            assert read(held) == LONG
        if outcome is True:
            assert got == [LONG]
        elif outcome is False:
            assert isinstance(got[0], ConnectError)
            assert checked == ["127.0.0.1"] * 2  # of the connection, and of the name
        else:
            assert isinstance(got[0], LookupError)
        assert server.connections == 1
        got.clear()
        assert read(ask(pool, server)) == LONG
        assert is_settled(pool, 1, 1)


@pytest.mark.parametrize("count", [0, -1, 1.5, "2", True])
def test_C12_invalid_max_connections_raises(count):
    with pytest.raises(RequestError, match=r"^max_connections must be"):
        Client(max_connections=count)


def test_C12_failed_connect_gives_its_slot_to_the_next_waiter():
    def never(peer: Peer) -> None:
        peer.read_to_end()

    with ScriptedServer(never) as silent, ScriptedServer(respond_to_all) as server:
        with limited_pool(1) as pool:
            secure = Route("https", silent.host, silent.port)
            with waiting(
                pool, lambda: pool.acquire(secure, Deadline(Timeout(connect=0.5)))
            ) as failed:
                silent.until(lambda: silent.connections)
                with waiting(pool, lambda: ask(pool, server).content) as got:
                    pass
            assert isinstance(failed[0], ConnectTimeout)
            assert got == [b"ok"]
    with refusing() as port, limited_pool(1) as pool:
        for _ in range(3):
            with pytest.raises(ConnectError, match="refused"):
                pool.acquire(Route("http", "127.0.0.1", port), Deadline(PATIENT))
        assert is_settled(pool, 0, 1)


def test_C12_closing_the_pool_wakes_waiters():
    with ScriptedServer(respond_with_long_body) as server, limited_pool(1) as pool:
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
def test_wait_between_attempts_ends_when_the_pool_is_closed(make):
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
    """Return the number of connections to these ports that clients have not closed."""
    # The remote port, and the state: ESTABLISHED or SYN_SENT, as in Linux's tcp_states.h.
    row = "|".join(f":{port:04X} 0[12] " for port in ports)
    return len(re.findall(row, Path("/proc/net/tcp").read_text()))


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="it tells what is open")
def test_W11_C12_many_threads_and_origins_stay_within_the_limit():
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
            if turn % 4 == 0:  # reading the system's list takes a while
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
def test_W11_C12_hundred_threads_share_ten_connections(scheme, certs):
    def send_peer_id(peer: Peer) -> None:
        while request := peer.next_request():
            peer.send(response(request.split()[1]))

    def work(number: int) -> None:
        for turn in range(5):
            path = f"/{number}/{turn}"
            assert client.get(server.url(path)).body == path.encode()

    context: ssl.SSLContext | None = certs.server if scheme == "https" else None
    with ScriptedServer(send_peer_id, ssl_context=context) as server:
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
def test_W12_C12_forked_child_counts_from_zero(program):
    with ScriptedServer(respond_with_long_body) as server:
        run_program(program, server.url(), options=("-W", "error"))


# Interrupts


class Interrupted(BaseException):
    """Stands for KeyboardInterrupt, which pytest would handle itself."""


@pytest.mark.parametrize("end", [lambda held: held.live.close(), read], ids=["place", "connection"])
def test_C12_interrupted_waiter_passes_its_slot_to_the_next(end):
    """The signal handler frees the slot, so that the waiter is served while it still waits."""
    passed_on: list[object] = []
    with (
        ScriptedServer(respond_with_long_body, respond_with_long_body) as server,
        limited_pool(1) as pool,
    ):
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
        assert is_settled(pool, 1, 1)


TRACED_FILES = ("call.py", "pool.py", "idle.py", "wait_queue.py", "connection.py", "reply.py")


@contextmanager
def interrupted_at_line(number: int) -> Iterator[None]:
    """Interrupt this thread at the nth line that it runs in TRACED_FILES."""
    left = number

    def trace(frame: FrameType, event: str, _: object) -> object:
        nonlocal left
        # Compare whole names: this file must restore the trace function without an interrupt.
        if os.path.basename(frame.f_code.co_filename) not in TRACED_FILES:
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


# The collector warns that it closed a socket that is connected but not yet owned.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("rested", [False, True])
@pytest.mark.parametrize("bound", [None, 1])
@pytest.mark.parametrize(
    "respond",
    [
        pytest.param(respond_to_all, id="whole"),
        pytest.param(respond_in_two, id="in two", marks=pytest.mark.slow),
    ],
)
def test_interrupt_at_any_line_leaves_no_connection_in_use(respond, bound, rested):
    before = sys.gettrace()
    with ScriptedServer(respond) as server:
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
    assert sys.gettrace() is before  # otherwise the coverage of later tests is lost
