"""Idle, shared, forked, dropped and closed connections of a Client."""

from __future__ import annotations

import gc
import os
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from io import BytesIO, RawIOBase

import pytest

from restkit import (
    Client,
    Error,
    IdleTimeout,
    InvalidHeader,
    InvalidUrl,
    Payload,
    RequestError,
    Timeout,
    TLSError,
    TransportError,
    UnexpectedEOF,
)
from support import LAST_CHUNK, ScriptedServer, chunked_response, field, payload_of, response
from support.beside import in_threads
from support.memory import MIB, open_descriptors
from support.peer import HANG_BOUND, Peer
from support.programs import run_program
from support.waiting import until_polling

PATIENT = Timeout(connect=HANG_BOUND, idle=HANG_BOUND)
OK = response(b"ok")
HALF = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\nhalf "
GO_ON = b"HTTP/1.1 100 Continue\r\n\r\n"


def serve(peer: Peer, message: bytes = OK) -> None:
    peer.read_request()
    peer.send(message)


def respond_to_all(peer: Peer) -> None:
    while peer.next_request() is not None:
        peer.send(OK)


def idle_count(client: Client) -> int:
    return int(repr(client).split()[1])


# A connection that the server has closed


ENDINGS: dict[str, Callable[[Peer], None]] = {
    "closed": Peer.close,
    "cut": Peer.cut,
    "reset": Peer.reset,
}


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("method", ["GET", "POST", "PATCH"])
def test_W10_idle_connection_closed_by_server_is_replaced(method, ending, tls, client):
    answered = threading.Event()

    def serve_and_end(peer: Peer) -> None:
        serve(peer)
        peer.wait(answered)
        ENDINGS[ending](peer)

    payload = None if method == "GET" else (row for row in [b"rows"])
    with ScriptedServer(serve_and_end, respond_to_all, ssl_context=tls) as server:
        client.get(server.url())
        answered.set()
        server.join()
        assert client.request(server.url(), method, payload).body == b"ok"
        assert server.connections == 2
        assert payload_of(server.requests[1]) == (b"rows" if payload else b"")


def test_W10_all_idle_connections_closed_by_server_are_replaced(tls, client):
    together = threading.Barrier(5)

    def serve_together(peer: Peer) -> None:
        peer.read_request()
        together.wait(HANG_BOUND)
        peer.send(OK)

    with ScriptedServer(*[serve_together] * 5, respond_to_all, ssl_context=tls) as server:
        in_threads(5, lambda number: client.get(server.url()))
        assert idle_count(client) == 5
        server.join(5)
        assert client.post(server.url(), b"x").body == b"ok"
        assert server.connections == 6
        assert idle_count(client) == 1


def serve_then_drop_next(peer: Peer) -> None:
    serve(peer)
    peer.read_request()


RETRIED: dict[str, Callable[[], tuple[str, object]]] = {
    "GET": lambda: ("GET", None),
    "HEAD": lambda: ("HEAD", None),
    "DELETE": lambda: ("DELETE", None),
    "PUT bytes": lambda: ("PUT", b"rows"),
    "PUT list": lambda: ("PUT", [b"ro", b"ws"]),
    "PUT file": lambda: ("PUT", BytesIO(b"rows")),
}
NOT_RETRIED: dict[str, Callable[[], tuple[str, object]]] = {
    "POST": lambda: ("POST", b"rows"),
    "POST nothing": lambda: ("POST", None),
    "PATCH": lambda: ("PATCH", b"rows"),
    "PUT generator": lambda: ("PUT", (row for row in [b"rows"])),
}


@pytest.mark.parametrize("kind", RETRIED)
def test_W10_idempotent_request_dropped_on_idle_connection_is_retried(kind, tls, client):
    method, payload = RETRIED[kind]()
    with ScriptedServer(serve_then_drop_next, respond_to_all, ssl_context=tls) as server:
        client.get(server.url())
        assert client.request(server.url(), method, payload).status == 200
        assert server.connections == 2
        first, second = server.requests[1:]
        assert first == second
        assert payload_of(second) == (b"rows" if payload else b"")


@pytest.mark.parametrize("kind", NOT_RETRIED)
def test_W10_non_replayable_request_dropped_on_idle_connection_raises(kind, tls, client):
    method, payload = NOT_RETRIED[kind]()
    with ScriptedServer(serve_then_drop_next, respond_to_all, ssl_context=tls) as server:
        client.get(server.url())
        with pytest.raises(
            TransportError, match="closed the connection without a response"
        ) as lost:
            client.request(server.url(), method, payload)
        assert lost.value.sent == "all"
        assert lost.value.request.method == method
        assert server.connections == 1
        assert client.get(server.url()).body == b"ok"


@pytest.mark.parametrize("payload", ["replayable", "one pass"])
def test_W10_idle_connection_closes_before_the_first_chunk(payload, tls, client):
    requested = threading.Event()

    def serve_and_close(peer: Peer) -> None:
        serve(peer)
        peer.wait(requested)

    def rows() -> Iterator[bytes]:
        requested.set()
        server.until(lambda: server.peers[0].finished)
        yield b"rows"

    with ScriptedServer(serve_and_close, respond_to_all, ssl_context=tls) as server:
        client.get(server.url())
        if payload == "replayable":  # nothing was sent yet: it waits for the first chunk
            assert client.post(server.url(), rows).body == b"ok"
            assert payload_of(server.requests[1]) == b"rows"
        else:
            with pytest.raises(TransportError) as lost:
                client.post(server.url(), rows())
            assert lost.value.sent == "part"
            assert server.connections == 1


class Rows(Payload):
    """A payload of known length that waits before its first chunk, on every attempt."""

    replayable = True
    length = 4

    def __init__(self, wait: Callable[[], object]) -> None:
        self._wait = wait

    def chunks(self) -> Iterator[bytes]:
        self._wait()
        yield b"rows"


def test_W10_unsolicited_408_is_not_the_response_to_an_unsent_request(tls, client):
    requested = threading.Event()

    def serve_and_give_up(peer: Peer) -> None:
        serve(peer)
        peer.wait(requested)
        peer.send(response(b"too slow", status="408 Request Timeout"))

    def wait() -> None:
        requested.set()
        server.until(lambda: server.peers[0].finished)

    with ScriptedServer(serve_and_give_up, respond_to_all, ssl_context=tls) as server:
        client.get(server.url())
        assert client.post(server.url(), Rows(wait)).body == b"ok"
        assert payload_of(server.requests[1]) == b"rows"
        assert server.connections == 2


def test_W10_request_dropped_on_a_new_connection_raises(tls, client):
    with ScriptedServer(Peer.read_request, ssl_context=tls) as server:
        for _ in range(2):
            with pytest.raises(TransportError, match="without a response"):
                client.get(server.url(), max_tries=1)
        assert server.connections == 2


def test_W10_dropped_request_is_retried_only_once(tls, client):
    with ScriptedServer(serve_then_drop_next, Peer.read_request, ssl_context=tls) as server:
        client.get(server.url())
        with pytest.raises(TransportError, match="without a response") as lost:
            client.get(server.url(), max_tries=2)
        assert server.connections == 2
        assert [each.on_reused_connection for each in lost.value.history] == [True]


@pytest.mark.parametrize("begun", [b"H", OK[:-6], GO_ON, GO_ON + b"HTTP/1.1 200 "])
def test_W10_request_is_not_retried_after_the_response_began(begun, tls, client):
    def begin(peer: Peer) -> None:
        serve(peer)
        serve(peer, begun)

    with ScriptedServer(begin, respond_to_all, ssl_context=tls) as server:
        client.get(server.url())
        with pytest.raises(UnexpectedEOF, match=r"ended (inside the head|after an interim)"):
            client.get(server.url())
        assert server.connections == 1


def test_W10_silent_server_is_a_timeout_and_not_a_drop(client):
    over = threading.Event()

    def serve_and_sleep(peer: Peer) -> None:
        serve(peer)
        peer.read_request()
        peer.wait(over)

    with ScriptedServer(serve_and_sleep, respond_to_all) as server:
        client.get(server.url())
        with pytest.raises(IdleTimeout):
            client.get(server.url(), timeout=0.2)
        over.set()
        assert server.connections == 1


# Threads


def test_W11_hundred_threads_share_a_client_and_leave_ten_idle(certs):
    def send_peer_id(peer: Peer) -> None:
        while request := peer.next_request():
            peer.send(response(request.split()[1]))

    together = threading.Barrier(100)

    def ask(number: int) -> None:
        together.wait(HANG_BOUND)
        for turn in range(5):
            path = f"/{number}/{turn}"
            assert client.get(server.url(path)).body == path.encode()
            assert idle_count(client) <= 10

    with ScriptedServer(send_peer_id) as server, Client(timeout=PATIENT, pool_size=10) as client:
        assert in_threads(100, ask) == [None] * 100
        assert 1 <= idle_count(client) <= 10
        assert len(server.requests) == 500


def test_W11_threads_may_leave_bodies_unread_partly_read_or_closed(tls, client):
    big = chunked_response(*[b"x" * 1000] * 100)

    def big_ones(peer: Peer) -> None:
        while peer.next_request():
            peer.send(big)

    def ask(number: int) -> None:
        for turn in range(4):
            got = client.get(server.url())
            way = (number + turn) % 4
            if way == 0:
                assert len(got.body) == 100_000
            elif way == 1:
                assert got.body_file.read(1500) == b"x" * 1500
            elif way == 2:
                got.close()

    with ScriptedServer(big_ones, ssl_context=tls) as server:
        assert in_threads(20, ask) == [None] * 20
        assert idle_count(client) <= 10
        assert len(client.get(server.url()).body) == 100_000


# Forks


FORK = """
import os, sys
from restkit import Client, Timeout

url, ca = sys.argv[1:]
with Client(timeout=Timeout(60, 60), verify=ca) as client:
    assert client.get(url + '/parent').body == b'ok'
    half = client.get(url + '/half', eager_body=0)  # on the connection that rested
    assert half.body_file.read(5) == b'half '
    assert client.get(url + '/parent').body == b'ok'  # on a second one, which rests now
    child = os.fork()
    if child == 0:
        try:
            assert repr(client) == '<Client, 0 idle connections>', client
            assert client.get(url + '/child').body == b'ok'
            assert repr(client) == '<Client, 1 idle connections>', client
            half.close()
            client.close()
            os._exit(7)
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 7
    assert repr(client) == '<Client, 1 idle connections>', client
    assert client.get(url + '/parent').body == b'ok'
    assert half.body_file.read() == b'full', 'the child must not have closed it'
    assert repr(client) == '<Client, 2 idle connections>', client
"""


def test_W12_forked_child_opens_its_own_connections(tls, certs):
    used: dict[Peer, list[bytes]] = {}

    def by_path(peer: Peer) -> None:
        paths = used.setdefault(peer, [])
        while request := peer.next_request():
            paths.append(request.split()[1])
            if paths[-1] == b"/half":
                peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf ")
                server.until(lambda: len(server.requests) == 5)
                peer.send(b"full")
            else:
                peer.send(OK)

    with ScriptedServer(by_path, ssl_context=tls) as server:
        run_program(FORK, server.origin, str(certs.ca_file), options=("-W", "error"))
        server.join(3)
    assert list(used.values()) == [
        [b"/parent", b"/half"],
        [b"/parent", b"/parent"],
        [b"/child"],
    ]


FORK_IN_USE = """
import os, sys, threading, warnings
from restkit import Client, Timeout

warnings.simplefilter('ignore')  # of forking with threads, which is the point
url, ca = sys.argv[1:]
with Client(timeout=Timeout(60, 60), verify=ca) as client:
    # A child forked in the middle of an import waits for that import for ever (CPython's locks of
    # single modules know nothing of forks): whatever the first request imports, is there now.
    assert client.get(url).body == b'ok'
    stop = threading.Event()

    def ask():
        while not stop.is_set():
            assert client.get(url).body == b'ok'

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(20):
        child = os.fork()
        if child == 0:
            try:
                assert client.get(url).body == b'ok'
                os._exit(7)
            finally:
                os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    stop.set()
    for thread in threads:
        thread.join()
"""


def test_W12_client_works_in_child_forked_while_threads_use_it(tls, certs):
    with ScriptedServer(respond_to_all, ssl_context=tls) as server:
        run_program(FORK_IN_USE, server.origin, str(certs.ca_file), options=("-W", "error"))


# Responses that nobody closes


WAYS: dict[str, Callable[[object], object]] = {
    "unread": lambda got: None,
    "half read": lambda got: got.body_file.read(1000),
    "half read live": lambda got: next(iter(got.payload_stream)),
    "half streamed": lambda got: got.body_stream().read(1000),
    "half iterated": lambda got: next(got.iter_blocks(1000)),
    "looked at": lambda got: (got.headers, got.body_file, got.payload_stream),
}


@pytest.mark.parametrize("way", WAYS)
def test_W14_dropped_responses_leak_no_descriptor(way, nginx):
    name = "dropped"
    if not (nginx.files / name).exists():
        nginx.make_file(name, 4 * MIB)
    with Client(timeout=PATIENT) as client:
        client.get(nginx.url("/small"))
        before = open_descriptors()
        gc.disable()  # no resource may depend on the garbage collector
        try:
            for _ in range(1000 if way == "unread" else 200):
                got = client.get(nginx.url(f"/file/{name}"))
                assert got.status == 200
                WAYS[way](got)
                del got
                assert open_descriptors() <= before
        finally:
            gc.enable()


def test_W14_dropped_responses_leak_no_descriptor_over_tls(client, certs):
    def endless(peer: Peer) -> None:
        peer.read_request()
        peer.send(HALF)
        peer.read_to_end()

    with ScriptedServer(endless, ssl_context=certs.server) as server:
        before = open_descriptors()
        for number in range(20):
            client.get(server.url())
            server.join(number + 1)
        assert open_descriptors() <= before


def test_W14_small_unread_responses_share_one_connection(tls, client):
    with ScriptedServer(respond_to_all, ssl_context=tls) as server:
        for _ in range(100):
            client.get(server.url())
        assert server.connections == 1


def test_W14_unclosed_client_leaves_no_connection_open(tls, certs):
    def endless(peer: Peer) -> None:
        serve(peer)
        serve(peer, HALF)
        peer.read_to_end()

    with ScriptedServer(endless, ssl_context=tls) as server:
        client = Client(timeout=PATIENT, verify=certs.ca_file)
        client.get(server.url())
        got = client.get(server.url())
        del client
        assert got.body_file.read(5) == b"half "
        del got
        gc.collect()
        server.join()
        assert server.peers[0].closed_by_client


def test_S34_leaving_an_endless_body_closes_only_its_connection(tls, client):
    def endless(peer: Peer) -> None:
        peer.read_request()
        peer.send(chunked_response(b"x")[: -len(LAST_CHUNK)])
        while True:
            peer.send(b"3e8\r\n" + b"x" * 1000 + b"\r\n")

    with ScriptedServer(endless, respond_to_all, ssl_context=tls) as server:
        with client.get(server.url()) as got:
            assert next(iter(got.payload_stream)) == b"x"
        server.join(1)
        assert idle_count(client) == 0
        assert client.get(server.url()).body == b"ok"


# Hosts and targets


@pytest.fixture
def any_host(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], list[str]]:
    """Resolve every host name to a local port; return the list of the resolved names."""

    def lead_to(port: int) -> list[str]:
        requested: list[str] = []

        def getaddrinfo(host: str, *_: object, **__: object) -> list[tuple[object, ...]]:
            requested.append(host)
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

        monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
        return requested

    return lead_to


@pytest.mark.parametrize(
    ("url", "requested", "host", "target"),
    [
        ("http://api.test", "api.test", "api.test", "/"),
        ("http://api.test:80/a", "api.test", "api.test", "/a"),
        ("http://api.test:8080/a", "api.test", "api.test:8080", "/a"),
        ("http://API.Test/A", "api.test", "api.test", "/A"),
        ("http://api.test./", "api.test.", "api.test.", "/"),
        ("http://localhost.:8080/", "localhost.", "localhost.:8080", "/"),
        ("http://bücher.test/", "xn--bcher-kva.test", "xn--bcher-kva.test", "/"),
        ("http://me:secret@api.test/", "api.test", "api.test", "/"),
        ("http://api.test?q=1", "api.test", "api.test", "/?q=1"),
        ("http://api.test?", "api.test", "api.test", "/?"),
        ("http://api.test#part", "api.test", "api.test", "/"),
        ("http://api.test/a b?c d", "api.test", "api.test", "/a%20b?c%20d"),
        ("http://api.test/é?ü=€", "api.test", "api.test", "/%C3%A9?%C3%BC=%E2%82%AC"),
        ("http://api.test/%zz", "api.test", "api.test", "/%25zz"),
        ("http://api.test/a%2Fb/../c", "api.test", "api.test", "/c"),
        ("http://api.test//double//", "api.test", "api.test", "//double//"),
    ],
)
def test_W15_request_line_and_host_header_match_the_url(
    url, requested, host, target, any_host, client
):
    with ScriptedServer.serving(OK) as server:
        names = any_host(server.port)
        assert client.get(url).body == b"ok"
    assert names == [requested]
    assert server.request.startswith(f"GET {target} HTTP/1.1\r\nHost: {host}\r\n".encode())
    assert b"secret" not in server.request


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_W15_ipv6_literal_connects_and_keeps_brackets_in_host(scheme, certs, client):
    context = certs.server if scheme == "https" else None
    with ScriptedServer.serving(OK, host="::1", ssl_context=context) as server:
        assert client.get(f"{scheme}://[::1]:{server.port}/").body == b"ok"
        zone = socket.if_nameindex()[0][0]
        assert client.get(f"{scheme}://[::1%25{zone}]:{server.port}/").body == b"ok"
    for request in server.requests:
        assert field(request, "host") == f"[::1]:{server.port}"


def test_W15_host_header_of_the_caller_replaces_the_default(client):
    with ScriptedServer.serving(OK) as server:
        client.get(server.url("/"), headers={"HOST": "elsewhere.test"})
    assert field(server.request, "host") == "elsewhere.test"


@pytest.mark.parametrize("url", ["http://[::1", "http://api.test:0/", "http:///a", "http://a b/"])
def test_W15_unusable_url_raises_invalid_url(url, client):
    with pytest.raises(InvalidUrl):
        client.get(url)


# Header injection


@pytest.mark.parametrize("smuggled", ["\r\nX: 1", "\nX: 1", "\rX: 1", "\0", " HTTP/1.1\r\n\r\n"])
@pytest.mark.parametrize("place", ["method", "url", "name", "value", "host"])
def test_W16_line_break_in_any_field_raises_before_sending(place, smuggled, client):
    with ScriptedServer.serving(OK) as server:
        url, text = server.url("/"), f"a{smuggled}"
        wrong: dict[str, Callable[[], object]] = {
            "method": lambda: client.request(url, text),
            "url": lambda: client.get(url + text),
            "name": lambda: client.get(url, headers={text: "1"}),
            "value": lambda: client.get(url, headers={"X-A": text}),
            "host": lambda: client.get(url, headers=[("X-A", "1"), ("Host", text)]),
        }
        with pytest.raises(RequestError) as caught:
            wrong[place]()
        assert isinstance(caught.value, InvalidHeader) == (place in {"name", "value", "host"})
        assert caught.value.sent in {None, "nothing"}
        assert server.connections == 0


def test_W16_line_break_in_a_parameter_is_percent_encoded(client):
    with ScriptedServer.serving(OK) as server:
        client.get(server.url("/"), params={"q": "a\r\nX: 1"})
    assert server.request.startswith(b"GET /?q=a%0D%0AX%3A")


# Connections that must not be reused


@pytest.mark.parametrize("way", ["closed", "dropped", "left"])
def test_W21_connection_with_a_partly_read_response_is_not_reused(way, tls, client):
    def half(peer: Peer) -> None:
        serve(peer, HALF)
        assert peer.next_request() is None

    with ScriptedServer(half, respond_to_all, ssl_context=tls) as server:
        got = client.get(server.url())
        assert got.body_file.read(5) == b"half "
        if way == "closed":
            got.close()
        elif way == "left":
            with got:
                pass
        del got
        assert idle_count(client) == 0
        assert client.get(server.url()).body == b"ok"
        server.until(lambda: server.peers[0].finished)
        assert server.connections == 2


def test_W21_connection_of_an_open_body_is_not_shared(tls, client):
    def half(peer: Peer) -> None:
        serve(peer, response(b"first second")[:-6])
        server.until(lambda: len(server.requests) == 2)
        peer.send(b"second")
        assert peer.next_request() is not None
        peer.send(OK)

    with ScriptedServer(half, respond_to_all, ssl_context=tls) as server:
        got = client.get(server.url(), eager_body=0)
        assert client.get(server.url()).body == b"ok"
        assert got.body == b"first second"
        assert idle_count(client) == 2
        assert client.get(server.url()).body == b"ok"
        assert server.connections == 2


def test_W21_connection_idle_for_too_long_is_not_reused(tls, certs):
    with ScriptedServer(respond_to_all, ssl_context=tls) as server:
        with Client(timeout=PATIENT, verify=certs.ca_file, max_idle=0.1) as client:
            client.get(server.url())
            time.sleep(0.11)
            client.get(server.url())
            assert server.connections == 2
            server.until(lambda: server.peers[0].closed_by_client)


def test_W21_expired_idle_connection_is_closed_without_a_new_request(certs):
    with ScriptedServer(respond_to_all) as old, ScriptedServer(respond_to_all) as server:
        with Client(timeout=PATIENT, max_idle=0.1) as client:
            client.get(old.url())
            time.sleep(0.11)
            client.get(server.url())
            old.join()
            assert idle_count(client) == 1


@pytest.mark.parametrize(
    "message",
    [
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
        response(b"ok", "Connection: close"),
        response(b"ok", "Connection: keep-alive, Close"),
        response(b"ok", "Connection: x", "Connection: close"),
        b"HTTP/1.1 200 OK\r\n\r\nok",
    ],
)
def test_W21_connection_announced_to_close_is_not_kept_idle(message, tls, client):
    def serve_and_see(peer: Peer) -> None:
        serve(peer, message)
        if b"Length" in message:
            assert peer.next_request() is None

    with ScriptedServer(serve_and_see, ssl_context=tls) as server:
        for _ in range(2):
            assert client.get(server.url()).body == b"ok"
            assert idle_count(client) == 0
        server.join(2)


def test_W21_pool_size_zero_keeps_no_idle_connection(certs):
    with ScriptedServer(respond_to_all) as server, Client(timeout=PATIENT, pool_size=0) as client:
        for _ in range(3):
            assert client.get(server.url()).body == b"ok"
        assert (server.connections, idle_count(client)) == (3, 0)


# TLS options


def test_W22_ca_file_is_read_once_for_all_clients(certs, tmp_path):
    ca = tmp_path / "ca.pem"
    ca.write_bytes(certs.ca_file.read_bytes())
    with ScriptedServer(respond_to_all, ssl_context=certs.server) as server:
        for _ in range(5):
            with Client(timeout=PATIENT, verify=ca, pool_size=0) as client:
                for _ in range(4):
                    assert client.get(server.url()).body == b"ok"
                    ca.unlink(missing_ok=True)
        assert server.connections == 20


unverified = pytest.mark.filterwarnings(
    "ignore:verify=False:urllib3.exceptions.InsecureRequestWarning"
)


@pytest.fixture
def certificate_optional(certs) -> ssl.SSLContext:
    """A context that requests a client certificate but does not require it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certs.server_cert, certs.server_key)
    context.verify_mode = ssl.CERT_OPTIONAL
    for ca in certs.asks_client.get_ca_certs(binary_form=True):
        context.load_verify_locations(cadata=ca)
    return context


def identify_connection(peer: Peer) -> None:
    """Respond with the client's certificate state and an id of the connection."""
    assert isinstance(peer.sock, ssl.SSLSocket)
    name = b"known" if peer.sock.getpeercert() else b"unknown"
    number = str(id(peer)).encode()
    while peer.next_request() is not None:
        peer.send(response(name + b" " + number))


@unverified
@pytest.mark.parametrize("first", range(6))
def test_W23_different_tls_options_never_share_a_connection(
    first, certificate_optional, certs, tmp_path
):
    copy = tmp_path / "the same under another name.pem"
    copy.write_bytes(certs.ca_file.read_bytes())
    context = ssl.create_default_context(cafile=str(certs.ca_file))
    options: list[dict[str, object]] = [
        {"verify": certs.ca_file},
        {"verify": False},
        {"verify": copy},
        {"verify": certs.ca_file, "cert": str(certs.client_file)},
        {"verify": certs.ca_file, "cert": (str(certs.client_cert), str(certs.client_key))},
        {"ssl_context": context},
    ]
    options = options[first:] + options[:first]
    with (
        ScriptedServer(identify_connection, ssl_context=certificate_optional) as server,
        Client(timeout=PATIENT) as client,
    ):
        bodies = [client.get(server.url(), **each).body for each in options]
        assert len(set(bodies)) == server.connections == len(options)
        for each, got in zip(options, bodies, strict=True):
            assert got.startswith(b"known" if "cert" in each else b"unknown")
        second_bodies = [client.get(server.url(), **each).body for each in reversed(options)]
        assert second_bodies == bodies[::-1]
        assert server.connections == len(options)


@unverified
@pytest.mark.parametrize("order", ["verified last", "verified first"])
def test_W23_unverified_connection_is_not_reused_for_a_verified_call(order, certs, client):
    with ScriptedServer(respond_to_all, ssl_context=certs.self_signed) as server:
        for turn in range(3):
            if order == "verified last" or turn:
                assert client.get(server.url(), verify=False).body == b"ok"
            with pytest.raises(TLSError):
                client.get(server.url())
        assert len(server.requests) == (3 if order == "verified last" else 2)


# Closed from another thread


class InThread:
    """Run a function in a thread and keep its result or error."""

    def __init__(self, act: Callable[[], object]) -> None:
        self._results: list[object] = []

        def run() -> None:
            try:
                self._results.append(act())
            except BaseException as error:  # noqa: BLE001  # the test checks it
                self._results.append(error)

        self._thread = threading.Thread(target=run)
        self._thread.start()

    def until_polling(self) -> None:
        """Return when the thread is polling its socket."""
        until_polling(self._thread)

    def error(self) -> Error:
        """Join the thread and return the error that it raised."""
        self._thread.join(HANG_BOUND)
        assert not self._thread.is_alive(), "the waiting thread was not woken"
        (error,) = self._results
        assert isinstance(error, Error), repr(error)
        return error


FOREVER = Timeout(connect=None, idle=None)


@pytest.mark.parametrize(
    "moment",
    [
        "for the head",
        "for 100",
        "for room",
        pytest.param("for a pipe", marks=pytest.mark.posix("select does not watch pipes")),
        "beyond a rested connection",
    ],
)
def test_W24_aborting_the_client_wakes_a_waiting_thread(moment, tls, certs):
    there, over = threading.Event(), threading.Event()

    def script(peer: Peer) -> None:
        if moment == "beyond a rested connection":
            serve(peer)
        peer.read_head()
        there.set()
        if moment == "for room":
            peer.wait(over)
        peer.read_to_end()

    with (
        silent_pipe() as pipe,
        ScriptedServer(script, ssl_context=tls) as server,
        Client(timeout=FOREVER, verify=certs.ca_file) as client,
    ):
        payload = {"for room": b"x" * 64 * MIB, "for a pipe": pipe, "for 100": b"x"}.get(moment)
        certificate_optional = moment == "for 100"
        if moment == "beyond a rested connection":
            client.get(server.url())
        waiting = InThread(
            lambda: client.put(server.url(), payload, expect_continue=certificate_optional)
        )
        assert there.wait(HANG_BOUND)
        waiting.until_polling()
        client.close(abort=True)
        error = waiting.error()
        over.set()
        assert isinstance(error, TransportError)
        assert "closed from this side" in str(error)
        assert repr(client) == "<Client, closed>"
        with pytest.raises(RequestError, match="this Client is closed"):
            client.get(server.url())
        server.join()
        assert server.peers[0].closed_by_client


@contextmanager
def silent_pipe() -> Iterator[RawIOBase]:
    # Unbuffered: poll() on the descriptor does not see bytes in a Python buffer.
    reader, writer = os.pipe()
    with open(reader, "rb", buffering=0) as pipe, open(writer, "wb"):
        yield pipe


def send_half_then_wait(peer: Peer) -> None:
    peer.read_head()
    peer.send(HALF)
    peer.read_to_end()


READS: dict[str, Callable[[object], object]] = {
    "body": lambda got: got.body,
    "body_file": lambda got: got.body_file.read(100),
    "body_stream": lambda got: got.body_stream().read(100),
    "payload_stream": lambda got: list(got.payload_stream),
    "iter_lines": lambda got: list(got.iter_lines()),
    "save": lambda got: got.save(os.devnull),
}


@pytest.mark.parametrize("who_closes", ["client", "response"])
@pytest.mark.parametrize("read", READS)
def test_W24_blocked_read_raises_when_another_thread_closes(read, who_closes, tls, certs):
    with (
        ScriptedServer(send_half_then_wait, ssl_context=tls) as server,
        Client(timeout=FOREVER, verify=certs.ca_file) as client,
    ):
        got = client.get(server.url())
        close = partial(client.close, abort=True) if who_closes == "client" else got.close
        waiting = InThread(lambda: READS[read](got))
        waiting.until_polling()
        close()
        error = waiting.error()
        assert isinstance(error, TransportError)
        assert not isinstance(error, UnexpectedEOF)
        server.join()
        assert server.peers[0].closed_by_client
        with pytest.raises(Error):
            got.body_file.read(100)


@pytest.mark.parametrize("who_closes", ["client", "response"])
def test_W24_blocked_read_of_a_gzip_body_raises_when_closed(who_closes, tls, certs):
    import gzip

    packed = gzip.compress(os.urandom(2000))

    def half_a_gzip(peer: Peer) -> None:
        peer.read_head()
        peer.send(response(packed, "Content-Encoding: gzip")[:-1000])
        peer.read_to_end()

    with (
        ScriptedServer(half_a_gzip, ssl_context=tls) as server,
        Client(timeout=FOREVER, verify=certs.ca_file) as client,
    ):
        got = client.get(server.url(), eager_body=0)
        close = partial(client.close, abort=True) if who_closes == "client" else got.close
        waiting = InThread(lambda: got.body)
        waiting.until_polling()
        close()
        assert isinstance(waiting.error(), TransportError)
        server.join()


def close_during_read(
    chunks: Iterable[bytes], close: Callable[[], object], seconds: float
) -> tuple[object, object]:
    """Close some seconds after the first chunk; return the result of close and of the read."""
    begun = threading.Event()

    def read() -> None:
        for _ in chunks:
            begun.set()

    def interfere() -> None:
        assert begun.wait(HANG_BOUND)
        time.sleep(seconds)
        close()

    closed, error = in_threads(2, lambda number: read() if number else interfere())
    return closed, error


@pytest.mark.parametrize("who_closes", ["client", "response"])
def test_W24_closing_during_a_busy_read_raises_a_restkit_error(who_closes, tls, certs):
    def busy(peer: Peer) -> None:
        peer.read_request()
        peer.send(HALF.replace(b"1000000", b"1000000000"))
        while True:
            peer.send(b"x" * 1000)

    with ScriptedServer(busy, ssl_context=tls) as server:
        for turn in range(30):
            with (
                Client(timeout=PATIENT, verify=certs.ca_file) as client,
                client.get(server.url()) as got,
            ):
                close = partial(client.close, abort=True) if who_closes == "client" else got.close
                chunks = got.payload_stream if turn % 2 else got.body_file
                closed, error = close_during_read(chunks, close, turn / 10_000)
                assert closed is None
                assert isinstance(error, Error), repr(error)


def test_W24_connection_being_opened_is_not_used_after_an_abort(certs):
    go_on = threading.Event()

    def slow_handshake(peer: Peer) -> None:
        peer.wait(go_on)
        peer.secure(certs.server)
        peer.read_to_end()

    with (
        ScriptedServer(slow_handshake) as server,
        Client(timeout=PATIENT, verify=certs.ca_file) as client,
    ):
        url = server.url().replace("http:", "https:")
        opening = InThread(lambda: client.get(url))
        server.until(lambda: server.peers)
        client.close(abort=True)
        go_on.set()
        assert isinstance(opening.error(), TransportError)


@pytest.mark.parametrize("abort", [False, True])
def test_W24_closing_a_client_under_load_ends_every_request(abort, tls, certs):
    begun = threading.Semaphore(0)

    def pour(peer: Peer) -> None:
        while peer.next_request():
            peer.send(chunked_response(*[b"x" * 10_000] * 20))

    def ask(_: int) -> None:
        while True:
            assert len(client.get(server.url()).body) == 200_000
            begun.release()

    def work(number: int) -> None:
        if number:
            ask(number)
        for _ in range(40):
            assert begun.acquire(timeout=HANG_BOUND)
        client.close(abort=abort)

    with ScriptedServer(pour, ssl_context=tls) as server:
        client = Client(timeout=PATIENT, verify=certs.ca_file)
        closed, *errors = in_threads(11, work)
        assert closed is None
        assert {type(error) for error in errors} <= {TransportError, RequestError}, errors
        assert repr(client) == "<Client, closed>"
        server.join()


def test_W24_closing_from_many_threads_is_idempotent(tls, certs):
    with ScriptedServer(send_half_then_wait, ssl_context=tls) as server:
        client = Client(timeout=PATIENT, verify=certs.ca_file)
        got = client.get(server.url())
        closes = [client.close, partial(client.close, abort=True), got.close] * 7
        assert in_threads(21, lambda number: closes[number]()) == [None] * 21
        client.close()
        got.close()
        server.join()
