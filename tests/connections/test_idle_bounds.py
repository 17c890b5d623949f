"""The bounds of idle connections: for one origin, for a Client, and by file descriptors."""

from __future__ import annotations

import ssl
from functools import partial

import pytest

from restkit import Client, Proxy, RequestError, Timeout
from support import ScriptedServer, response
from support.peer import HANG_BOUND, Peer
from support.programs import run_program
from support.waiting import until

PATIENT = Timeout(connect=HANG_BOUND, idle=HANG_BOUND)
OK = response(b"ok")
LONG = b"long" * 250_000


def respond_with_long_body(peer: Peer) -> None:
    while peer.next_request() is not None:
        peer.send(response(LONG))


def idle_count(client: Client) -> int:
    return int(repr(client).split()[1])


def names(count: int) -> dict[str, str]:
    """Return hosts for ``resolve=``: origins of one server."""
    return {f"h{number}.test": "127.0.0.1" for number in range(count)}


def open_connections(server: ScriptedServer) -> list[int]:
    """Return the numbers of the connections that the client has not closed."""
    return [at for at, peer in enumerate(server.peers) if not peer.closed_by_client]


# All origins


def test_E06_requests_to_many_origins_leave_at_most_max_idle_connections_open():
    with (
        ScriptedServer.serving(OK) as server,
        Client(timeout=PATIENT, resolve=names(12), max_idle_connections=5) as client,
    ):
        for number in range(12):
            client.get(f"http://h{number}.test:{server.port}/")
            assert idle_count(client) == min(number + 1, 5)
        until(lambda: open_connections(server) == [7, 8, 9, 10, 11])  # the oldest were closed
        client.get(f"http://h7.test:{server.port}/")
        client.get(f"http://h0.test:{server.port}/")
        assert server.connections == 13
        until(lambda: open_connections(server) == [7, 9, 10, 11, 12])


def test_default_bound_of_all_idle_connections_is_100_or_a_larger_pool_size():
    with (
        ScriptedServer.serving(OK) as server,
        Client(timeout=PATIENT, resolve=names(103)) as client,
        Client(timeout=PATIENT, resolve=names(103), pool_size=101) as larger,
    ):
        for number in range(103):
            client.get(f"http://h{number}.test:{server.port}/")
            larger.get(f"http://h{number}.test:{server.port}/")
        assert idle_count(client) == 100
        assert idle_count(larger) == 101


def test_max_idle_connections_of_0_keeps_none():
    with (
        ScriptedServer.serving(OK) as server,
        Client(timeout=PATIENT, max_idle_connections=0) as client,
    ):
        for _ in range(2):
            client.get(server.url())
            assert idle_count(client) == 0
        assert server.connections == 2


@pytest.mark.parametrize("count", [-1, 1.5, "2", True])
def test_invalid_max_idle_connections_raises(count):
    with pytest.raises(
        RequestError, match=r"^max_idle_connections must be a whole number, 0 or more"
    ):
        Client(max_idle_connections=count)


# One origin


@pytest.mark.parametrize("kind", ["check_address", "ssl_context", "proxy"])
def test_one_origin_keeps_at_most_pool_size_whatever_the_options_of_the_calls(kind):
    """Each call has an object of its own, which never was in a call before."""

    def options() -> dict[str, object]:
        if kind == "ssl_context":
            return {"ssl_context": ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)}
        if kind == "proxy":
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            return {"proxy": Proxy(f"http://127.0.0.1:{server.port}", ssl_context=context)}
        held.append(client.get(server.url()))  # the resting ones are all taken
        return {"check_address": lambda ip: True}

    held: list[object] = []
    with (
        ScriptedServer(respond_with_long_body) as server,
        Client(timeout=PATIENT, pool_size=3) as client,
    ):
        unread = [client.get(server.url(), **options()) for _ in range(6)]
        for each in (*unread, *held):
            assert each.body == LONG
        assert idle_count(client) == 3
        until(lambda: len(open_connections(server)) == 3)


def test_connection_of_other_options_is_passed_over_and_stays_idle():
    with ScriptedServer.serving(OK) as server, Client(timeout=PATIENT) as client:
        client.get(server.url())
        proxied = f"http://127.0.0.1:{server.port}"
        client.get(server.url("/a"), proxy=proxied)
        client.get(server.url("/b"))
        client.get(server.url("/c"), proxy=proxied)
        assert server.connections == 2
        assert server.requests[2].startswith(b"GET /b ")
        assert server.requests[3].startswith(b"GET http://")
        assert idle_count(client) == 2


# check_address


def test_fresh_check_address_in_each_call_uses_one_connection():
    checked = []
    with ScriptedServer.serving(OK) as server, Client(timeout=PATIENT) as client:
        for number in range(20):
            got = client.get(
                server.url(),
                check_address=lambda ip, number=number: not checked.append((number, str(ip))),
            )
            assert got.body == b"ok"
        assert server.connections == 1
        assert idle_count(client) == 1
    assert checked == [(number, "127.0.0.1") for number in range(20)]


def test_idle_connection_that_check_address_forbids_is_not_used_and_stays_idle():
    with (
        ScriptedServer.serving(OK) as server,
        Client(timeout=PATIENT, max_tries=1) as client,
    ):
        client.get(server.url())
        with pytest.raises(Exception, match=r"check_address= forbids 127\.0\.0\.1"):
            client.get(server.url("/secret"), check_address=lambda ip: not ip.is_loopback)
        assert idle_count(client) == 1
        client.get(server.url("/other"))
        assert server.connections == 1
        assert [request.split()[1] for request in server.requests] == [b"/", b"/other"]


def test_exception_of_check_address_for_an_idle_connection_passes_unchanged():
    def fail(ip: object) -> bool:
        raise LookupError(ip)

    with ScriptedServer.serving(OK) as server, Client(timeout=PATIENT) as client:
        client.get(server.url())
        with pytest.raises(LookupError, match=r"^127\.0\.0\.1$"):
            client.get(server.url(), check_address=fail)
        assert idle_count(client) == 1


@pytest.mark.parametrize("allowed", [True, False])
def test_fresh_check_address_of_a_proxy_is_asked_for_its_idle_connection(allowed):
    checked = []

    def check(ip: object) -> bool:
        checked.append(str(ip))
        return allowed or len(checked) == 1

    with ScriptedServer.serving(OK) as server, Client(timeout=PATIENT, max_tries=1) as client:

        def proxy() -> Proxy:
            return Proxy(f"http://127.0.0.1:{server.port}", check_address=partial(check))

        client.get("http://origin.test/", proxy=proxy())
        if allowed:
            client.get("http://origin.test/", proxy=proxy())
            assert checked == ["127.0.0.1"] * 2
        else:
            with pytest.raises(Exception, match=r"check_address= forbids 127\.0\.0\.1"):
                client.get("http://origin.test/", proxy=proxy())
        assert server.connections == 1
        assert idle_count(client) == 1


def test_check_address_is_asked_for_the_origin_behind_a_socks_proxy():
    pytest.importorskip("socks")

    def socks(peer: Peer) -> None:
        assert peer.read_exactly(3) == b"\x05\x01\x00"
        peer.send(b"\x05\x00")
        peer.read_exactly(10)
        peer.send(b"\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00")
        while peer.next_request() is not None:
            peer.send(OK)

    checked = []
    with ScriptedServer(socks) as server, Client(timeout=PATIENT, max_tries=1) as client:
        for _ in range(2):
            client.get(
                "http://10.0.0.9/",
                proxy=f"socks5://127.0.0.1:{server.port}",
                check_address=lambda ip: not checked.append(str(ip)),
            )
        assert server.connections == 1
        assert checked == ["10.0.0.9", "10.0.0.9"]
        with pytest.raises(Exception, match=r"check_address= forbids 10\.0\.0\.9"):
            client.get(
                "http://10.0.0.9/",
                proxy=f"socks5://127.0.0.1:{server.port}",
                check_address=lambda ip: str(ip) != "10.0.0.9",
            )
        assert idle_count(client) == 1


# File descriptors: each program runs with few of them

FEW_DESCRIPTORS = """
import resource, sys
from restkit import Client, Error, Timeout

port = int(sys.argv[1])
hosts = {f'h{number}.test': '127.0.0.1' for number in range(300)}
many = {'max_idle_connections': 10_000, 'timeout': Timeout(60, 60), 'max_tries': 1}
client = Client(resolve=hosts, **many)
client.get(f'http://h0.test:{port}/').body  # whatever the first request imports, is there now
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
"""

ORIGINS = f"""{FEW_DESCRIPTORS}
for number in range(300):
    assert client.get(f'http://h{{number}}.test:{{port}}/').body == b'ok'
"""

NONE_FREE = f"""{FEW_DESCRIPTORS}
import os

for number in range(9):
    client.get(f'http://h{{number}}.test:{{port}}/').body
try:
    while True:
        os.dup(0)
except OSError:
    pass
"""

# The look-up of a name needs a descriptor, and so does a file of certificates.
NAMES = f"""{NONE_FREE}
assert client.get(f'http://localhost:{{port}}/').body == b'ok'
"""

CERTIFICATES = f"""{NONE_FREE}
assert client.get(sys.argv[2], verify=sys.argv[3]).body == b'ok'
"""

CHECKS = f"""{FEW_DESCRIPTORS}
for number in range(300):
    got = client.get(f'http://h1.test:{{port}}/', check_address=lambda ip: ip.is_loopback)
    assert got.body == b'ok'
assert repr(client) == '<Client, 2 idle connections>', client
"""

HELD = f"""{FEW_DESCRIPTORS}
held = []
try:
    while True:
        held.append(client.get(f'http://h1.test:{{port}}/long?token=abc'))
except Error as error:
    print(len(held), type(error).__name__, error)
"""


def run(program: str, server: ScriptedServer, *arguments: str) -> str:
    return run_program(program, str(server.port), *arguments, options=("-W", "error"))


@pytest.mark.parametrize("program", [ORIGINS, NAMES, CHECKS], ids=["origins", "names", "checks"])
def test_E06_idle_connections_are_closed_when_descriptors_run_out(program):
    with ScriptedServer.serving(OK) as server:
        run(program, server)


def test_idle_connections_are_closed_when_certificates_need_a_descriptor(certs):
    secure = ScriptedServer.serving(OK, ssl_context=certs.server)
    with ScriptedServer.serving(OK) as server, secure:
        url = f"https://localhost:{secure.port}/"
        run(CERTIFICATES, server, url, str(certs.ca_file))


def test_too_many_open_files_names_the_responses_that_hold_connections():
    with ScriptedServer(respond_with_long_body) as server:
        output = run(HELD, server)
        count, kind, _, message = output.split(" ", 3)
        url = f"GET http://h1.test:{server.port}/long?token=***"
        assert kind == "ConnectError"
        assert 40 < int(count) < 64
        assert "Too many open files; no file descriptor is free" in message
        assert "ulimit -n" in message
        assert message.endswith(
            f"{count} responses of this Client have not been read or closed: "
            f"{', '.join([url] * 5)}, and {int(count) - 5} more\n"
        )
