"""Requests under gevent's monkey patching: a waiting greenlet does not block the others."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from support import ScriptedServer, chunked_response, payload_of, response
from support.peer import HANG_BOUND, Peer
from support.programs import run_program

pytestmark = pytest.mark.peer(name="gevent")

COUNT = 50
OK = response(b"ok")

# gevent must patch before any other import. Its own warnings are ignored.
PREAMBLE = """
import warnings
with warnings.catch_warnings():
    warnings.simplefilter('ignore')
    from gevent import monkey
    monkey.patch_all()
import sys
import gevent
from restkit import Client, ConnectTimeout, IdleTimeout, Timeout, TransportError

url, ca = sys.argv[1:]
PATIENT = Timeout(60, 60)

def together(work, count=50):
    greenlets = [gevent.spawn(work, number) for number in range(count)]
    gevent.joinall(greenlets, timeout=60, raise_error=True)
    assert all(each.successful() for each in greenlets)
    return [each.value for each in greenlets]
"""


def run_green(program: str, *arguments: str) -> None:
    run_program(PREAMBLE + program, *arguments)


def after_all_requests(respond: Callable[[bytes], bytes]) -> Callable[[Peer], None]:
    """Return a script that responds after all requests arrived; serial requests would hang."""
    together = threading.Barrier(COUNT)

    def serve(peer: Peer) -> None:
        request = peer.read_request()
        together.wait(HANG_BOUND)
        peer.send(respond(request))
        while (request := peer.next_request()) is not None:
            peer.send(respond(request))

    return serve


ASK = """
with Client(timeout=PATIENT, verify=ca, pool_size=50) as client:
    def send_request(number):
        path = f'/{number}'
        assert client.get(url + path).body == path.encode()

    together(send_request)
    assert repr(client) == '<Client, 50 idle connections>', client
    together(send_request)
"""


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_W17_fifty_greenlets_request_concurrently(scheme, certs):
    script = after_all_requests(lambda request: response(request.split()[1]))
    context = certs.server if scheme == "https" else None
    with ScriptedServer(script, ssl_context=context) as server:
        run_green(ASK, server.origin, str(certs.ca_file))
        assert server.connections == COUNT
        assert len(server.requests) == 2 * COUNT


SEND_AND_STREAM = """
with Client(timeout=PATIENT, verify=ca) as client:
    def send(number):
        def rows():
            for turn in range(5):
                gevent.sleep(0)
                yield f'{number},'.encode()

        got = client.post(url, rows())
        echoed = b''.join(got.body_stream())
        assert echoed == f'{number},'.encode() * 5, echoed

    together(send)
"""


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_W17_greenlets_send_generators_and_stream_bodies(scheme, certs):
    script = after_all_requests(lambda request: chunked_response(payload_of(request)))
    context = certs.server if scheme == "https" else None
    with ScriptedServer(script, ssl_context=context) as server:
        run_green(SEND_AND_STREAM, server.origin, str(certs.ca_file))


BOUNDED = """
with Client(timeout=PATIENT, verify=ca, max_connections=3) as client:
    def send_request(number):
        path = f'/{number}'
        assert client.get(url + path).body == path.encode()

    together(send_request)
    pool = client._pool
    assert ', 0 in use, 0 being opened, 0 waiting, 3 at most' in repr(pool), pool

    held = [client.get(url + '/long') for _ in range(3)]
    try:
        client.get(url, timeout=Timeout(connect=0.1, idle=60))
    except ConnectTimeout as error:
        assert 'max_connections' in str(error), error
    else:
        raise AssertionError('a fourth connection was opened')

    waiting = gevent.spawn(client.get, url + '/later')
    while '1 waiting' not in repr(pool):
        gevent.sleep(0.001)
    del held
    assert waiting.get(timeout=60).body == b'/later'

    asleep = gevent.spawn(pool.sleep_unless_closed, 60)
    gevent.sleep(0.01)
    client.close()
    assert asleep.get(timeout=60) is True
"""


def test_W17_C12_greenlets_wait_for_a_free_connection(certs):
    def serve(peer: Peer) -> None:
        while (request := peer.next_request()) is not None:
            path = request.split()[1]
            peer.send(response(path * 200_000 if path == b"/long" else path))

    with ScriptedServer(serve) as server:
        run_green(BOUNDED, server.origin, str(certs.ca_file))
        assert server.connections <= 6  # three of them were dropped


FAILING = """
import socket, time

ticks = []

def tick():
    while True:
        ticks.append(time.monotonic())
        gevent.sleep(0.01)

ticking = gevent.spawn(tick)
with Client(timeout=Timeout(connect=60, idle=0.3), verify=ca, max_tries=1) as client:
    def fail(number):
        try:
            client.get(url)
        except IdleTimeout:
            return 'late'

    assert together(fail, 10) == ['late'] * 10
    assert len(ticks) > 2, 'no other greenlet could run'

    def wait():
        try:
            client.get(url, timeout=PATIENT)
        except TransportError as error:
            return str(error)

    waiting = gevent.spawn(wait)
    gevent.sleep(0.1)
    client.close(abort=True)
    assert 'closed from this side' in waiting.get(timeout=60)
ticking.kill()
"""


def test_W17_timeouts_fire_and_close_wakes_waiting_greenlets(certs):
    def never(peer: Peer) -> None:
        peer.read_to_end()

    with ScriptedServer(never) as server:
        run_green(FAILING, server.origin, str(certs.ca_file))


RACING = """
import socket

with socket.socket() as taken:
    taken.bind(('127.0.0.1', 0))
    dead = taken.getsockname()[1]
    places = [
        (socket.AF_INET, socket.SOCK_STREAM, 6, '', ('127.0.0.1', dead)),
        (socket.AF_INET, socket.SOCK_STREAM, 6, '', ('127.0.0.1', int(url.rpartition(':')[2]))),
    ]
    socket.getaddrinfo = lambda *_, **__: places
    with Client(timeout=PATIENT) as client:
        assert together(lambda number: client.get('http://api.test/').body, 20) == [b'ok'] * 20
"""


def test_W17_W18_greenlets_race_connections_to_addresses(certs):
    def serve(peer: Peer) -> None:
        while peer.next_request() is not None:
            peer.send(OK)

    with ScriptedServer(serve) as server:
        run_green(RACING, server.origin, str(certs.ca_file))
