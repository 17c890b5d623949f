"""Connections that rest, are shared, forked, dropped and closed, through a Client."""

from __future__ import annotations

import gc
import os
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
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
from support.waiting import until_polling

PATIENT = Timeout(connect=HANG_BOUND, idle=HANG_BOUND)
OK = response(b"ok")
HALF = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\nhalf "
GO_ON = b"HTTP/1.1 100 Continue\r\n\r\n"


def serve(peer: Peer, message: bytes = OK) -> None:
    peer.read_request()
    peer.send(message)


def answer_all(peer: Peer) -> None:
    while peer.next_request() is not None:
        peer.send(OK)


def at_rest(client: Client) -> int:
    return int(repr(client).split()[1])


# A connection that the server has closed


ENDINGS: dict[str, Callable[[Peer], None]] = {
    "closed": Peer.close,
    "cut": Peer.cut,
    "reset": Peer.reset,
}


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("method", ["GET", "POST", "PATCH"])
def test_W10_a_connection_closed_while_it_rested_is_never_noticed(method, ending, tls, client):
    answered = threading.Event()

    def serve_and_end(peer: Peer) -> None:
        serve(peer)
        peer.wait(answered)
        ENDINGS[ending](peer)

    payload = None if method == "GET" else (row for row in [b"rows"])
    with ScriptedServer(serve_and_end, answer_all, ssl_context=tls) as server:
        client.get(server.url())
        answered.set()
        server.join()
        assert client.request(server.url(), method, payload).body == b"ok"
        assert server.connections == 2
        assert payload_of(server.requests[1]) == (b"rows" if payload else b"")


def test_W10_every_connection_may_have_been_closed(tls, client):
    together = threading.Barrier(5)

    def serve_together(peer: Peer) -> None:
        peer.read_request()
        together.wait(HANG_BOUND)
        peer.send(OK)

    with ScriptedServer(*[serve_together] * 5, answer_all, ssl_context=tls) as server:
        in_threads(5, lambda number: client.get(server.url()))
        assert at_rest(client) == 5
        server.join(5)
        assert client.post(server.url(), b"x").body == b"ok"
        assert server.connections == 6
        assert at_rest(client) == 1


def serve_and_drop_the_next(peer: Peer) -> None:
    serve(peer)
    peer.read_request()


AGAIN: dict[str, Callable[[], tuple[str, object]]] = {
    "GET": lambda: ("GET", None),
    "HEAD": lambda: ("HEAD", None),
    "DELETE": lambda: ("DELETE", None),
    "PUT bytes": lambda: ("PUT", b"rows"),
    "PUT list": lambda: ("PUT", [b"ro", b"ws"]),
    "PUT file": lambda: ("PUT", BytesIO(b"rows")),
}
NOT_AGAIN: dict[str, Callable[[], tuple[str, object]]] = {
    "POST": lambda: ("POST", b"rows"),
    "POST nothing": lambda: ("POST", None),
    "PATCH": lambda: ("PATCH", b"rows"),
    "PUT generator": lambda: ("PUT", (row for row in [b"rows"])),
}


@pytest.mark.parametrize("kind", AGAIN)
def test_W10_what_is_harmless_goes_again_when_a_rested_connection_drops_it(kind, tls, client):
    method, payload = AGAIN[kind]()
    with ScriptedServer(serve_and_drop_the_next, answer_all, ssl_context=tls) as server:
        client.get(server.url())
        assert client.request(server.url(), method, payload).status == 200
        assert server.connections == 2
        first, second = server.requests[1:]
        assert first == second
        assert payload_of(second) == (b"rows" if payload else b"")


@pytest.mark.parametrize("kind", NOT_AGAIN)
def test_W10_what_may_have_done_something_raises(kind, tls, client):
    method, payload = NOT_AGAIN[kind]()
    with ScriptedServer(serve_and_drop_the_next, answer_all, ssl_context=tls) as server:
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
def test_W10_a_connection_that_closes_while_the_first_piece_is_made(payload, tls, client):
    asked = threading.Event()

    def serve_and_close(peer: Peer) -> None:
        serve(peer)
        peer.wait(asked)

    def rows() -> Iterator[bytes]:
        asked.set()
        server.until(lambda: server.peers[0].finished)
        yield b"rows"

    with ScriptedServer(serve_and_close, answer_all, ssl_context=tls) as server:
        client.get(server.url())
        if payload == "replayable":  # of which nothing had left: it waits for its first piece
            assert client.post(server.url(), rows).body == b"ok"
            assert payload_of(server.requests[1]) == b"rows"
        else:
            with pytest.raises(TransportError) as lost:
                client.post(server.url(), rows())
            assert lost.value.sent == "part"
            assert server.connections == 1


class Rows(Payload):
    """A payload with its length that takes its time for the first piece, whenever it goes."""

    replayable = True
    length = 4

    def __init__(self, wait: Callable[[], object]) -> None:
        self._wait = wait

    def chunks(self) -> Iterator[bytes]:
        self._wait()
        yield b"rows"


def test_W10_a_408_that_nobody_asked_for_is_not_the_answer_to_what_has_not_begun(tls, client):
    asked = threading.Event()

    def serve_and_give_up(peer: Peer) -> None:
        serve(peer)
        peer.wait(asked)
        peer.send(response(b"too slow", status="408 Request Timeout"))

    def wait() -> None:
        asked.set()
        server.until(lambda: server.peers[0].finished)

    with ScriptedServer(serve_and_give_up, answer_all, ssl_context=tls) as server:
        client.get(server.url())
        assert client.post(server.url(), Rows(wait)).body == b"ok"
        assert payload_of(server.requests[1]) == b"rows"
        assert server.connections == 2


def test_W10_a_fresh_connection_that_drops_a_request_is_an_error(tls, client):
    with ScriptedServer(Peer.read_request, ssl_context=tls) as server:
        for _ in range(2):
            with pytest.raises(TransportError, match="without a response"):
                client.get(server.url(), max_tries=1)
        assert server.connections == 2


def test_W10_once_more_is_once(tls, client):
    with ScriptedServer(serve_and_drop_the_next, Peer.read_request, ssl_context=tls) as server:
        client.get(server.url())
        with pytest.raises(TransportError, match="without a response") as lost:
            client.get(server.url(), max_tries=2)
        assert server.connections == 2
        assert [each.on_reused_connection for each in lost.value.history] == [True]


@pytest.mark.parametrize("begun", [b"H", OK[:-6], GO_ON, GO_ON + b"HTTP/1.1 200 "])
def test_W10_an_answer_that_has_begun_is_not_asked_for_again(begun, tls, client):
    def begin(peer: Peer) -> None:
        serve(peer)
        serve(peer, begun)

    with ScriptedServer(begin, answer_all, ssl_context=tls) as server:
        client.get(server.url())
        with pytest.raises(UnexpectedEOF, match=r"ended (inside the head|after an interim)"):
            client.get(server.url())
        assert server.connections == 1


def test_W10_silence_is_not_a_drop(client):
    over = threading.Event()

    def serve_and_sleep(peer: Peer) -> None:
        serve(peer)
        peer.read_request()
        peer.wait(over)

    with ScriptedServer(serve_and_sleep, answer_all) as server:
        client.get(server.url())
        with pytest.raises(IdleTimeout):
            client.get(server.url(), timeout=0.2)
        over.set()
        assert server.connections == 1


# Threads


def test_W11_a_hundred_threads_share_a_client_and_ten_connections_rest(certs):
    def name_it(peer: Peer) -> None:
        while request := peer.next_request():
            peer.send(response(request.split()[1]))

    together = threading.Barrier(100)

    def ask(number: int) -> None:
        together.wait(HANG_BOUND)
        for turn in range(5):
            path = f"/{number}/{turn}"
            assert client.get(server.url(path)).body == path.encode()
            assert at_rest(client) <= 10

    with ScriptedServer(name_it) as server, Client(timeout=PATIENT, pool_size=10) as client:
        assert in_threads(100, ask) == [None] * 100
        assert 1 <= at_rest(client) <= 10
        assert len(server.requests) == 500


def test_W11_threads_may_leave_bodies_unread_half_read_and_closed(tls, client):
    big = chunked_response(*[b"x" * 1000] * 100)

    def big_ones(peer: Peer) -> None:
        while peer.next_request():
            peer.send(big)

    def ask(number: int) -> None:
        for turn in range(4):
            answer = client.get(server.url())
            way = (number + turn) % 4
            if way == 0:
                assert len(answer.body) == 100_000
            elif way == 1:
                assert answer.body_file.read(1500) == b"x" * 1500
            elif way == 2:
                answer.close()

    with ScriptedServer(big_ones, ssl_context=tls) as server:
        assert in_threads(20, ask) == [None] * 20
        assert at_rest(client) <= 10
        assert len(client.get(server.url()).body) == 100_000


# Forks


FORK = """
import os, sys
from restkit import Client, Timeout

url, ca = sys.argv[1:]
with Client(timeout=Timeout(60, 60), verify=ca) as client:
    assert client.get(url + '/parent').body == b'ok'
    half = client.get(url + '/half')  # on the connection that rested
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


def test_W12_a_child_opens_its_own_connections_and_leaves_the_parents_alone(tls, certs):
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
        run_python(FORK, server.origin, str(certs.ca_file))
        server.join(3)
    assert list(used.values()) == [
        [b"/parent", b"/half"],
        [b"/parent", b"/parent"],
        [b"/child"],
    ]


def run_python(program: str, *arguments: str) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program, *arguments],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=2 * HANG_BOUND,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


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


def test_W12_a_child_forked_while_threads_use_the_client_has_a_client_that_works(tls, certs):
    with ScriptedServer(answer_all, ssl_context=tls) as server:
        run_python(FORK_IN_USE, server.origin, str(certs.ca_file))


# Responses that nobody closes


WAYS: dict[str, Callable[[object], object]] = {
    "unread": lambda answer: None,
    "half read": lambda answer: answer.body_file.read(1000),
    "half read live": lambda answer: next(iter(answer.payload_stream)),
    "half streamed": lambda answer: answer.body_stream().read(1000),
    "half iterated": lambda answer: next(answer.iter_blocks(1000)),
    "looked at": lambda answer: (answer.headers, answer.body_file, answer.payload_stream),
}


@pytest.mark.parametrize("way", WAYS)
def test_W14_many_dropped_responses_leave_no_descriptor(way, nginx):
    name = "dropped"
    if not (nginx.files / name).exists():
        nginx.make_file(name, 4 * MIB)
    with Client(timeout=PATIENT) as client:
        client.get(nginx.url("/small"))
        before = open_descriptors()
        gc.disable()  # nothing may wait for it
        try:
            for _ in range(1000 if way == "unread" else 200):
                answer = client.get(nginx.url(f"/file/{name}"))
                assert answer.status == 200
                WAYS[way](answer)
                del answer
                assert open_descriptors() <= before
        finally:
            gc.enable()


def test_W14_under_tls_too(client, certs):
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


def test_W14_small_answers_that_nobody_reads_share_one_connection(tls, client):
    with ScriptedServer(answer_all, ssl_context=tls) as server:
        for _ in range(100):
            client.get(server.url())
        assert server.connections == 1


def test_W14_a_client_that_nobody_closes_leaves_nothing_open(tls, certs):
    def endless(peer: Peer) -> None:
        serve(peer)
        serve(peer, HALF)
        peer.read_to_end()

    with ScriptedServer(endless, ssl_context=tls) as server:
        client = Client(timeout=PATIENT, verify=certs.ca_file)
        client.get(server.url())
        answer = client.get(server.url())
        del client
        assert answer.body_file.read(5) == b"half "
        del answer
        gc.collect()
        server.join()
        assert server.peers[0].closed_by_client


def test_S34_leaving_an_endless_body_closes_its_connection_and_no_other(tls, client):
    def endless(peer: Peer) -> None:
        peer.read_request()
        peer.send(chunked_response(b"x")[: -len(LAST_CHUNK)])
        while True:
            peer.send(b"3e8\r\n" + b"x" * 1000 + b"\r\n")

    with ScriptedServer(endless, answer_all, ssl_context=tls) as server:
        with client.get(server.url()) as answer:
            assert next(iter(answer.payload_stream)) == b"x"
        server.join(1)
        assert at_rest(client) == 0
        assert client.get(server.url()).body == b"ok"


# Hosts and targets


@pytest.fixture
def everywhere(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], list[str]]:
    """Makes every name lead to a port here; gives the names that were asked for."""

    def lead_to(port: int) -> list[str]:
        asked: list[str] = []

        def getaddrinfo(host: str, *_: object, **__: object) -> list[tuple[object, ...]]:
            asked.append(host)
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

        monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
        return asked

    return lead_to


@pytest.mark.parametrize(
    ("url", "asked", "host", "target"),
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
def test_W15_the_request_line_and_the_host_are_those_of_the_url(
    url, asked, host, target, everywhere, client
):
    with ScriptedServer.serving(OK) as server:
        names = everywhere(server.port)
        assert client.get(url).body == b"ok"
    assert names == [asked]
    assert server.request.startswith(f"GET {target} HTTP/1.1\r\nHost: {host}\r\n".encode())
    assert b"secret" not in server.request


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_W15_an_ipv6_literal_is_reached_and_named_in_brackets(scheme, certs, client):
    context = certs.server if scheme == "https" else None
    with ScriptedServer.serving(OK, host="::1", ssl_context=context) as server:
        assert client.get(f"{scheme}://[::1]:{server.port}/").body == b"ok"
        zone = socket.if_nameindex()[0][0]
        assert client.get(f"{scheme}://[::1%25{zone}]:{server.port}/").body == b"ok"
    for request in server.requests:
        assert field(request, "host") == f"[::1]:{server.port}"


def test_W15_the_callers_own_host_goes_alone(client):
    with ScriptedServer.serving(OK) as server:
        client.get(server.url("/"), headers={"HOST": "elsewhere.test"})
    assert field(server.request, "host") == "elsewhere.test"


@pytest.mark.parametrize("url", ["http://[::1", "http://api.test:0/", "http:///a", "http://a b/"])
def test_W15_what_leads_nowhere_is_an_invalid_url(url, client):
    with pytest.raises(InvalidUrl):
        client.get(url)


# Nothing can be smuggled in


@pytest.mark.parametrize("smuggled", ["\r\nX: 1", "\nX: 1", "\rX: 1", "\0", " HTTP/1.1\r\n\r\n"])
@pytest.mark.parametrize("place", ["method", "url", "name", "value", "host"])
def test_W16_a_line_end_anywhere_is_an_error_before_any_byte(place, smuggled, client):
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


def test_W16_a_line_end_in_a_parameter_is_percent_encoded(client):
    with ScriptedServer.serving(OK) as server:
        client.get(server.url("/"), params={"q": "a\r\nX: 1"})
    assert server.request.startswith(b"GET /?q=a%0D%0AX%3A")


# What may not be used again


@pytest.mark.parametrize("way", ["closed", "dropped", "left"])
def test_W21_a_connection_with_a_response_half_read_never_rests(way, tls, client):
    def half(peer: Peer) -> None:
        serve(peer, HALF)
        assert peer.next_request() is None

    with ScriptedServer(half, answer_all, ssl_context=tls) as server:
        answer = client.get(server.url())
        assert answer.body_file.read(5) == b"half "
        if way == "closed":
            answer.close()
        elif way == "left":
            with answer:
                pass
        del answer
        assert at_rest(client) == 0
        assert client.get(server.url()).body == b"ok"
        server.until(lambda: server.peers[0].finished)
        assert server.connections == 2


def test_W21_a_body_that_stays_open_does_not_lend_its_connection(tls, client):
    def half(peer: Peer) -> None:
        serve(peer, response(b"first second")[:-6])
        server.until(lambda: len(server.requests) == 2)
        peer.send(b"second")
        assert peer.next_request() is not None
        peer.send(OK)

    with ScriptedServer(half, answer_all, ssl_context=tls) as server:
        answer = client.get(server.url())
        assert client.get(server.url()).body == b"ok"
        assert answer.body == b"first second"
        assert at_rest(client) == 2
        assert client.get(server.url()).body == b"ok"
        assert server.connections == 2


def test_W21_one_that_has_rested_too_long_is_not_used(tls, certs):
    with ScriptedServer(answer_all, ssl_context=tls) as server:
        with Client(timeout=PATIENT, verify=certs.ca_file, max_idle=0.1) as client:
            client.get(server.url())
            time.sleep(0.11)
            client.get(server.url())
            assert server.connections == 2
            server.until(lambda: server.peers[0].closed_by_client)


def test_W21_one_that_nobody_comes_back_for_is_let_go(certs):
    with ScriptedServer(answer_all) as old, ScriptedServer(answer_all) as server:
        with Client(timeout=PATIENT, max_idle=0.1) as client:
            client.get(old.url())
            time.sleep(0.11)
            client.get(server.url())
            old.join()
            assert at_rest(client) == 1


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
def test_W21_a_connection_that_the_server_means_to_close_never_rests(message, tls, client):
    def serve_and_see(peer: Peer) -> None:
        serve(peer, message)
        if b"Length" in message:
            assert peer.next_request() is None

    with ScriptedServer(serve_and_see, ssl_context=tls) as server:
        for _ in range(2):
            assert client.get(server.url()).body == b"ok"
            assert at_rest(client) == 0
        server.join(2)


def test_W21_no_connection_rests_where_none_may(certs):
    with ScriptedServer(answer_all) as server, Client(timeout=PATIENT, pool_size=0) as client:
        for _ in range(3):
            assert client.get(server.url()).body == b"ok"
        assert (server.connections, at_rest(client)) == (3, 0)


# TLS options


def test_W22_the_ca_file_is_read_once_for_all_connections_of_all_clients(certs, tmp_path):
    ca = tmp_path / "ca.pem"
    ca.write_bytes(certs.ca_file.read_bytes())
    with ScriptedServer(answer_all, ssl_context=certs.server) as server:
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
def asks(certs) -> ssl.SSLContext:
    """A context that asks for the client's certificate and does without it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certs.server_cert, certs.server_key)
    context.verify_mode = ssl.CERT_OPTIONAL
    for ca in certs.asks_client.get_ca_certs(binary_form=True):
        context.load_verify_locations(cadata=ca)
    return context


def who(peer: Peer) -> None:
    """Says whose connection it is, by its certificate, and which one."""
    assert isinstance(peer.sock, ssl.SSLSocket)
    name = b"known" if peer.sock.getpeercert() else b"unknown"
    number = str(id(peer)).encode()
    while peer.next_request() is not None:
        peer.send(response(name + b" " + number))


@unverified
@pytest.mark.parametrize("first", range(6))
def test_W23_calls_with_different_tls_options_never_share_a_connection(
    first, asks, certs, tmp_path
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
    with ScriptedServer(who, ssl_context=asks) as server, Client(timeout=PATIENT) as client:
        answers = [client.get(server.url(), **each).body for each in options]
        assert len(set(answers)) == server.connections == len(options)
        for each, answer in zip(options, answers, strict=True):
            assert answer.startswith(b"known" if "cert" in each else b"unknown")
        again = [client.get(server.url(), **each).body for each in reversed(options)]
        assert again == answers[::-1]
        assert server.connections == len(options)


@unverified
@pytest.mark.parametrize("order", ["verified last", "verified first"])
def test_W23_what_was_opened_unverified_is_not_used_where_verification_is_asked(
    order, certs, client
):
    with ScriptedServer(answer_all, ssl_context=certs.self_signed) as server:
        for turn in range(3):
            if order == "verified last" or turn:
                assert client.get(server.url(), verify=False).body == b"ok"
            with pytest.raises(TLSError):
                client.get(server.url())
        assert len(server.requests) == (3 if order == "verified last" else 2)


# Closed from another thread


class InThread:
    """Does something in a thread of its own, and is there for what comes of it."""

    def __init__(self, act: Callable[[], object]) -> None:
        self._results: list[object] = []

        def run() -> None:
            try:
                self._results.append(act())
            except BaseException as error:  # noqa: BLE001  # for the test to look at
                self._results.append(error)

        self._thread = threading.Thread(target=run)
        self._thread.start()

    def until_polling(self) -> None:
        """Return when it waits for the server."""
        until_polling(self._thread)

    def error(self) -> Error:
        """What it raised, by now or at once."""
        self._thread.join(HANG_BOUND)
        assert not self._thread.is_alive(), "whoever waited was not woken"
        (error,) = self._results
        assert isinstance(error, Error), repr(error)
        return error


FOREVER = Timeout(connect=None, idle=None)


@pytest.mark.parametrize(
    "moment", ["for the head", "for 100", "for room", "for a pipe", "beyond a rested connection"]
)
def test_W24_a_client_closed_by_another_thread_wakes_whoever_waits(moment, tls, certs):
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
        a_silent_pipe() as pipe,
        ScriptedServer(script, ssl_context=tls) as server,
        Client(timeout=FOREVER, verify=certs.ca_file) as client,
    ):
        payload = {"for room": b"x" * 64 * MIB, "for a pipe": pipe, "for 100": b"x"}.get(moment)
        asks = moment == "for 100"
        if moment == "beyond a rested connection":
            client.get(server.url())
        waiting = InThread(lambda: client.put(server.url(), payload, expect_continue=asks))
        assert there.wait(HANG_BOUND)
        waiting.until_polling()
        client.close()
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
def a_silent_pipe() -> Iterator[RawIOBase]:
    # Unbuffered: of what lies in a buffer its number knows nothing, and so cannot be waited on.
    reader, writer = os.pipe()
    with open(reader, "rb", buffering=0) as pipe, open(writer, "wb"):
        yield pipe


def begin_and_sleep(peer: Peer) -> None:
    peer.read_head()
    peer.send(HALF)
    peer.read_to_end()


READS: dict[str, Callable[[object], object]] = {
    "body": lambda answer: answer.body,
    "body_file": lambda answer: answer.body_file.read(100),
    "body_stream": lambda answer: answer.body_stream().read(100),
    "payload_stream": lambda answer: list(answer.payload_stream),
    "iter_lines": lambda answer: list(answer.iter_lines()),
    "save": lambda answer: answer.save(os.devnull),
}


@pytest.mark.parametrize("who_closes", ["client", "response"])
@pytest.mark.parametrize("read", READS)
def test_W24_a_read_that_waits_gets_an_error_when_another_thread_closes(
    read, who_closes, tls, certs
):
    with (
        ScriptedServer(begin_and_sleep, ssl_context=tls) as server,
        Client(timeout=FOREVER, verify=certs.ca_file) as client,
    ):
        answer = client.get(server.url())
        close = client.close if who_closes == "client" else answer.close
        waiting = InThread(lambda: READS[read](answer))
        waiting.until_polling()
        close()
        error = waiting.error()
        assert isinstance(error, TransportError)
        assert not isinstance(error, UnexpectedEOF)
        server.join()
        assert server.peers[0].closed_by_client
        with pytest.raises(Error):
            answer.body_file.read(100)


@pytest.mark.parametrize("who_closes", ["client", "response"])
def test_W24_a_compressed_read_that_waits_gets_an_error_too(who_closes, tls, certs):
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
        answer = client.get(server.url())
        close = client.close if who_closes == "client" else answer.close
        waiting = InThread(lambda: answer.body)
        waiting.until_polling()
        close()
        assert isinstance(waiting.error(), TransportError)
        server.join()


def outcome_of_closing(
    pieces: Iterable[bytes], close: Callable[[], object], seconds: float
) -> tuple[object, object]:
    """What comes of a close, so many seconds after the first of the pieces, and of the reader."""
    begun = threading.Event()

    def read() -> None:
        for _ in pieces:
            begun.set()

    def interfere() -> None:
        assert begun.wait(HANG_BOUND)
        time.sleep(seconds)
        close()

    closed, error = in_threads(2, lambda number: read() if number else interfere())
    return closed, error


@pytest.mark.parametrize("who_closes", ["client", "response"])
def test_W24_closing_at_any_moment_of_a_busy_read_is_an_error_of_ours(who_closes, tls, certs):
    def busy(peer: Peer) -> None:
        peer.read_request()
        peer.send(HALF.replace(b"1000000", b"1000000000"))
        while True:
            peer.send(b"x" * 1000)

    with ScriptedServer(busy, ssl_context=tls) as server:
        for turn in range(30):
            with (
                Client(timeout=PATIENT, verify=certs.ca_file) as client,
                client.get(server.url()) as answer,
            ):
                close = client.close if who_closes == "client" else answer.close
                pieces = answer.payload_stream if turn % 2 else answer.body_file
                closed, error = outcome_of_closing(pieces, close, turn / 10_000)
                assert closed is None
                assert isinstance(error, Error), repr(error)


def test_W24_a_connection_that_was_being_opened_is_not_used_after_the_close(certs):
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
        client.close()
        go_on.set()
        assert isinstance(opening.error(), TransportError)


def test_W24_a_client_closed_under_load_ends_every_request_at_once(tls, certs):
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
        client.close()

    with ScriptedServer(pour, ssl_context=tls) as server:
        client = Client(timeout=PATIENT, verify=certs.ca_file)
        closed, *errors = in_threads(11, work)
        assert closed is None
        assert {type(error) for error in errors} <= {TransportError, RequestError}, errors
        assert repr(client) == "<Client, closed>"
        server.join()


def test_W24_closing_twice_and_from_many_threads_is_one_close(tls, certs):
    with ScriptedServer(begin_and_sleep, ssl_context=tls) as server:
        client = Client(timeout=PATIENT, verify=certs.ca_file)
        answer = client.get(server.url())
        closes = [client.close, answer.close] * 10
        assert in_threads(20, lambda number: closes[number]()) == [None] * 20
        client.close()
        answer.close()
        server.join()
