"""Threads, forks, greenlets and timeouts, with every policy of a Client enabled."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest
import urllib3

from restkit import (
    Client,
    ConnectTimeout,
    DigestAuth,
    IdleTimeout,
    RequestTimeout,
    Timeout,
    TotalTimeout,
)
from support import ScriptedServer, response, unanswering
from support.beside import in_threads
from support.everything import Naming, Service, at_rest, call, everything_on, is_refused_once
from support.peer import HANG_BOUND, Peer
from support.programs import run_program

FAR = HANG_BOUND


def check_counts(names: list[str], statuses: list[list[int]], service: Service) -> None:
    """Check that the calls received exactly the responses that the server sent."""
    seen = Counter(status for history in statuses for status in history)
    assert seen == service.statuses
    assert seen[200] == seen[307] == len(names)
    assert seen[503] == sum(map(is_refused_once, names)) > 0


def check_shared_client(client: Client, count: int, service: Service) -> None:
    def work(number: int) -> list[int]:
        history = call(client, f"thread-{number}")
        assert at_rest(client) <= 10
        return history

    histories = in_threads(count, work)
    failures = [history for history in histories if isinstance(history, BaseException)]
    assert failures == []
    check_counts([f"thread-{number}" for number in range(count)], histories, service)
    assert 1 <= at_rest(client) <= 10
    assert ", 0 in use, 0 being opened, 0 waiting, 12 at most" in repr(client._pool)


# Threads


def test_W11_hundred_threads_share_a_client_with_every_option_on(tls, certs):
    service, naming = Service(), Naming()
    with ScriptedServer(service, ssl_context=tls) as server:
        with everything_on(server.origin, str(certs.ca_file), filters=naming) as client:
            check_shared_client(client, 100, service)
            assert naming.seen == {"requests": 100, "responses": 100}
            assert len(client.cookies) == 100
        assert len(server.requests) == service.statuses.total()


def test_W11_threads_share_a_client_with_every_option_on_over_a_proxy(squid, certs):
    service = Service()
    with ScriptedServer(service, ssl_context=certs.server) as server:
        with everything_on(server.origin, str(certs.ca_file), proxy=squid.url) as client:
            check_shared_client(client, 20, service)
            assert len(server.requests) == service.statuses.total()


# Forks and greenlets


FORK = """
import os, sys, threading, warnings
from support.everything import at_rest, call, everything_on

warnings.simplefilter('ignore')  # forking with threads warns, and this test does it on purpose
with everything_on(*sys.argv[1:], max_connections=3) as client:
    call(client, 'parent-first')  # the first call runs the lazy imports
    stop, failures = threading.Event(), []

    def ask(thread):
        turn = 0
        try:
            while not stop.is_set():
                call(client, f'parent-{thread}-{turn}')
                turn += 1
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for number in range(6):
        child = os.fork()
        if child == 0:
            try:
                assert at_rest(client) == 0
                assert client.cookies['c-parent-first'] == 'v-parent-first'
                way = call(client, f'child{number}-one')
                assert way.count(401) <= 3, way
                call(client, f'child{number}-two')
                client.close()
                os._exit(7)
            finally:
                os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    stop.set()
    for thread in threads:
        thread.join()
    assert failures == [], failures
    assert ', 0 in use, 0 being opened, 0 waiting' in repr(client._pool), client
    call(client, 'parent-last')
    assert 'c-child0-one' not in client.cookies
"""


def test_W12_fork_during_traffic_with_every_option_on(tls, certs):
    service = Service()
    with ScriptedServer(service, ssl_context=tls) as server:
        run_program(FORK, server.origin, str(certs.ca_file))
    # No connection was used by both the parent and a child.
    owners = [{name.partition("-")[0] for name in names} for names in service.names.values()]
    assert {len(each) for each in owners} <= {0, 1}
    assert {owner for each in owners for owner in each} == {
        "parent",
        *(f"child{number}" for number in range(6)),
    }


GREENLETS = """
import warnings
with warnings.catch_warnings():
    warnings.simplefilter('ignore')
    from gevent import monkey
    monkey.patch_all()
import sys
import gevent
from support.everything import at_rest, call, everything_on

with everything_on(*sys.argv[1:]) as client:
    greenlets = [gevent.spawn(call, client, f'green-{number}') for number in range(50)]
    gevent.joinall(greenlets, timeout=80, raise_error=True)
    assert all(each.successful() for each in greenlets)
    assert 1 <= at_rest(client) <= 10
    assert ', 0 in use, 0 being opened, 0 waiting, 12 at most' in repr(client._pool)

"""


@pytest.mark.peer(name="gevent")
def test_W17_fifty_greenlets_share_a_client_with_every_option_on(tls, certs):
    service = Service()
    with ScriptedServer(service, ssl_context=tls) as server:
        run_program(GREENLETS, server.origin, str(certs.ca_file))
    assert service.statuses[200] == service.statuses[307] == 50
    assert service.statuses[503] == sum(is_refused_once(f"green-{n}") for n in range(50))


# Timeouts


def total(seconds: float) -> Timeout:
    return Timeout(FAR, FAR, seconds)


def failure_history(
    kind: type[RequestTimeout], client: Client, url: str, **options: object
) -> list:
    """Check that the call raises exactly ``kind``; return the statuses in its history."""
    with pytest.raises(RequestTimeout) as caught:
        client.get(url, **options)
    assert type(caught.value) is kind
    assert caught.value.message.startswith(("127.0.0.1:", "the proxy 127.0.0.1:"))
    return [each.status for each in caught.value.history]


def slow_script(*responses: bytes) -> Callable[[Peer], None]:
    """Return a script that waits 0.3 s before each response and repeats the last one."""

    def serve(peer: Peer) -> None:
        for response_bytes in [*responses, *[responses[-1]] * 100]:
            if peer.next_request() is None:
                return
            peer.pause(0.3)
            peer.send(response_bytes)

    return serve


CHALLENGE = 'WWW-Authenticate: Digest realm="r", nonce="n", qop="auth", stale=true'


def test_W13_total_timeout_covers_redirects():
    with ScriptedServer(slow_script(response(b"", "Location: /", status="302 Found"))) as server:
        with Client(timeout=total(0.8), max_follow_redirect=1000) as client:
            history = failure_history(TotalTimeout, client, server.url())
    assert set(history) == {302}
    assert 1 <= len(history) <= 2


def test_W13_total_timeout_covers_retries_and_waits():
    retries = urllib3.Retry(None, status_forcelist=[503], backoff_factor=0)
    with ScriptedServer(slow_script(response(b"", status="503 No"))) as server:
        with Client(timeout=total(0.8), retries=retries) as client:
            history = failure_history(TotalTimeout, client, server.url())
    assert set(history) == {503}
    assert 1 <= len(history) <= 2


def test_W13_total_timeout_covers_auth_challenges():
    with ScriptedServer(slow_script(response(b"", CHALLENGE, status="401 Who"))) as server:
        with Client(timeout=total(0.8), auth=DigestAuth("a", "b")) as client:
            history = failure_history(TotalTimeout, client, server.url())
    assert set(history) == {401}
    assert 1 <= len(history) <= 2


def silent(peer: Peer) -> None:
    peer.read_until(b"\r\n\r\n")
    peer.read_to_end()


def test_W13_each_timeout_raises_its_own_class_over_a_proxy():
    idle, total_ = Timeout(FAR, 0.2), total(0.2)
    with unanswering() as port, Client(proxy=f"http://127.0.0.1:{port}") as client:
        for scheme in ("http", "https"):
            for timeout, kind in ((Timeout(0.2, FAR), ConnectTimeout), (total_, TotalTimeout)):
                assert (
                    failure_history(kind, client, f"{scheme}://127.0.0.1:1/", timeout=timeout) == []
                )
    with ScriptedServer(silent) as proxy, Client(proxy=proxy.origin) as client:
        assert failure_history(IdleTimeout, client, "http://127.0.0.1:1/", timeout=idle) == []
        assert failure_history(TotalTimeout, client, "http://127.0.0.1:1/", timeout=total_) == []
        for timeout, kind in ((Timeout(0.2, FAR), ConnectTimeout), (total_, TotalTimeout)):
            assert failure_history(kind, client, "https://127.0.0.1:1/", timeout=timeout) == []
        assert proxy.connections == 4  # nothing was retried


def test_W13_each_timeout_raises_its_own_class_in_a_tunnel(certs):
    def tunnel(peer: Peer) -> None:
        peer.read_until(b"\r\n\r\n")
        peer.send(b"HTTP/1.1 200 Connected\r\n\r\n")
        peer.secure(certs.server)
        silent(peer)

    with (
        ScriptedServer(tunnel) as proxy,
        Client(proxy=proxy.origin, verify=certs.ca_file) as client,
    ):
        url = "https://127.0.0.1:1/"
        assert failure_history(IdleTimeout, client, url, timeout=Timeout(FAR, 0.2)) == []
        assert failure_history(TotalTimeout, client, url, timeout=total(0.5)) == []
        assert proxy.connections == 2
