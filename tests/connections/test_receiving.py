"""Responses read from real sockets by a Client, however the bytes are split."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable

import pytest

from restkit import Error, HttpResponse, ParserError, Timeout, UnexpectedEOF
from support import LAST_CHUNK, ScriptedServer, chunked_response, chunks, response
from support.memory import MIB, peak_memory
from support.messages import HEAD_END
from support.peer import HANG_BOUND, Peer

PATIENT = Timeout(connect=HANG_BOUND, idle=HANG_BOUND)
OK = response(b"ok")
HINTS = b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n"
GO_ON = b"HTTP/1.1 100 Continue\r\n\r\n"


# A response does not depend on how it is split


RESPONSES = {
    "sized": response(b"0123456789", "X-One: 1", "x-two: 2"),
    "empty": response(),
    "chunked": chunked_response(b"01234", b"5", b"6789", fields=["X-One: 1"]),
    "trailers": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"A;name=value\r\n0123456789\r\n0\r\nX-Sum: 9\r\nX-More: yes\r\n\r\n"
    ),
    "interim": GO_ON + HINTS + response(b"0123456789", "X-One: 1"),
    "folded": b"HTTP/1.1 200 OK\r\nX-One: 1\r\n  and more\r\nContent-Length: 2\r\n\r\nok",
    "no content": b"HTTP/1.1 204 No Content\r\nX-One: 1\r\n\r\n",
    "to the end": b"HTTP/1.0 200 OK\r\nX-One: 1\r\n\r\n0123456789",
}
ENDLESS = {"to the end"}


def parts_of(got: HttpResponse, read: Callable[[HttpResponse], bytes]) -> tuple[object, ...]:
    body = read(got)
    return got.status_line, got.headerslist, body, got.trailers.pairs()


READERS: list[Callable[[HttpResponse], bytes]] = [
    lambda got: got.body,
    lambda got: b"".join(got.payload_stream or ()),
    lambda got: b"".join(iter(lambda: got.body_file.read(3), b"")),
    lambda got: got.body_stream().read(),
]


@pytest.mark.parametrize("kind", RESPONSES)
def test_W05_response_split_at_any_byte_reads_the_same(kind, tls, client):
    message = RESPONSES[kind]
    splits = range(1, len(message))

    def split(peer: Peer, at: int) -> None:
        peer.read_request()
        peer.send(message[:at])
        peer.pause(0.001)  # so that the client probably reads the first part alone
        peer.send(message[at:])

    def every_split(peer: Peer) -> None:
        peer.without_delay()
        for at in splits:
            split(peer, at)
        peer.next_request()

    scripts = [lambda peer, at=at: split(peer, at) for at in splits]
    if kind not in ENDLESS:
        scripts = [every_split]
    with ScriptedServer.serving(message, ssl_context=tls) as server:
        whole = [parts_of(client.get(server.url()), read) for read in READERS]
        assert len(set(map(repr, whole))) == 1
    with ScriptedServer(*scripts, ssl_context=tls) as server:
        for _, read in zip(splits, itertools.cycle(READERS), strict=False):
            assert parts_of(client.get(server.url()), read) == whole[0]
        assert server.connections == len(scripts)


@pytest.mark.parametrize("kind", RESPONSES)
def test_W05_response_sent_byte_by_byte_reads_the_same(kind, tls, client):
    def drip(peer: Peer) -> None:
        peer.read_request()
        peer.send_slowly(RESPONSES[kind])

    with ScriptedServer.serving(RESPONSES[kind], ssl_context=tls) as server:
        whole = parts_of(client.get(server.url()), READERS[0])
    with ScriptedServer(drip, ssl_context=tls) as server:
        for read in READERS:
            assert parts_of(client.get(server.url()), read) == whole


def test_buffered_small_chunks_are_read_together_without_waiting(tls, client):
    more = threading.Event()
    digits = [b"%d" % (at % 10) for at in range(50)]

    def send_slowly(peer: Peer) -> None:
        peer.read_request()
        peer.send(chunked_response(b"first ")[: -len(LAST_CHUNK)])
        peer.wait(more)
        peer.send(chunks(*digits))
        peer.wait(over)
        peer.send(chunks(b"end") + LAST_CHUNK)

    over = threading.Event()
    with ScriptedServer(send_slowly, ssl_context=tls) as server:
        live = client.get(server.url()).body_stream()
        assert live.read1() == b"first "
        more.set()
        assert live.read1(7) == b"0123456"
        assert live.read1(7) == b"7890123"
        assert live.read1() == b"".join(digits)[14:]
        over.set()
        assert live.read() == b"end"


def test_W05_body_bytes_are_available_as_they_arrive(tls, client):
    more = threading.Event()

    def two_halves(peer: Peer) -> None:
        peer.read_request()
        peer.send(chunked_response(b"first ")[: -len(LAST_CHUNK)])
        peer.wait(more)
        peer.send(chunks(b"second") + LAST_CHUNK)

    with ScriptedServer(two_halves, ssl_context=tls) as server:
        got = client.get(server.url())
        assert got.body_file.read1() == b"first "
        more.set()
        assert got.body == b"first second"


@pytest.mark.parametrize("read", READERS)
def test_W05_tls_end_without_close_notify_does_not_end_a_body(read, client, certs):
    def cut(peer: Peer) -> None:
        serve(peer, RESPONSES["to the end"])
        peer.cut()

    with ScriptedServer(cut, ssl_context=certs.server) as server:
        with pytest.raises(UnexpectedEOF, match="TLS was cut off"):
            read(client.get(server.url()))


def test_W07_bare_cr_is_rejected_at_any_split(client):
    message = b"HTTP/1.1 200 OK\r\nX-One: 1\r2"

    def split(at: int) -> Callable[[Peer], None]:
        def script(peer: Peer) -> None:
            serve(peer, message[:at])
            peer.pause(0.001)
            peer.send(message[at:])

        return script

    with ScriptedServer(*map(split, range(len(message)))) as server:
        for _ in message:
            with pytest.raises(ParserError, match="line 2 of the head has a bare CR"):
                client.get(server.url())


# Bytes after a response


COMPLETE = {
    "sized": ("GET", OK, b"ok"),
    "chunked": ("GET", chunked_response(b"ok"), b"ok"),
    "empty": ("GET", response(), b""),
    "204": ("GET", b"HTTP/1.1 204 No Content\r\n\r\n", b""),
    "HEAD": ("HEAD", OK[:-2], b""),
}
FORGED = response(b"forged")


@pytest.mark.parametrize("kind", COMPLETE)
@pytest.mark.parametrize("garbage", [b"x", b"\r\n", FORGED])
def test_W06_garbage_after_a_response_only_closes_the_connection(garbage, kind, tls, client):
    method, message, body = COMPLETE[kind]

    def send_response_and_garbage(peer: Peer) -> None:
        peer.read_request()
        peer.send(message + garbage)
        assert peer.next_request() is None

    with ScriptedServer(
        send_response_and_garbage, lambda p: serve(p, OK), ssl_context=tls
    ) as server:
        assert client.request(server.url(), method).body == body
        assert client.get(server.url()).body == b"ok"
        server.join(2)
        assert server.connections == 2


@pytest.mark.parametrize("kind", COMPLETE)
@pytest.mark.parametrize("garbage", [b"x", FORGED])
def test_W06_late_garbage_is_not_the_next_response(garbage, kind, tls, client):
    method, message, body = COMPLETE[kind]
    answered, spoiled = threading.Event(), threading.Event()

    def send_response_then_garbage(peer: Peer) -> None:
        peer.read_request()
        peer.send(message)
        peer.wait(answered)
        peer.send(garbage)
        spoiled.set()
        assert peer.next_request() is None

    with ScriptedServer(
        send_response_then_garbage, lambda p: serve(p, OK), ssl_context=tls
    ) as server:
        assert client.request(server.url(), method).body == body
        assert repr(client) == "<Client, 1 idle connections>"
        answered.set()
        assert spoiled.wait(HANG_BOUND)
        assert client.get(server.url()).body == b"ok"
        server.join(2)
        assert server.connections == 2


def serve(peer: Peer, message: bytes) -> None:
    peer.read_request()
    peer.send(message)


def test_W06_tls_session_tickets_are_not_garbage(client, certs):
    # TLS 1.3 sends tickets after the handshake: they are unread when the first response
    # has been read.
    with ScriptedServer.serving(OK, ssl_context=certs.server) as server:
        for _ in range(5):
            assert client.get(server.url()).body == b"ok"
        assert server.connections == 1


# Interim responses, and responses without a body


@pytest.mark.parametrize(
    "interim",
    [GO_ON, HINTS, GO_ON + HINTS, HINTS * 5, b"HTTP/1.1 102 Processing\r\n\r\n", GO_ON * 32],
)
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
def test_W08_W19_interim_responses_are_skipped(method, interim, tls, client):
    message = interim + (ok_head if method == "HEAD" else OK)
    with ScriptedServer(*[lambda p: serve_twice(p, message)], ssl_context=tls) as server:
        for _ in range(2):
            got = client.request(server.url(), method)
            assert (got.status, "link" in got) == (200, False)
            assert got.body == (b"" if method == "HEAD" else b"ok")
        assert server.connections == 1


ok_head = OK[: OK.index(HEAD_END) + len(HEAD_END)]


def serve_twice(peer: Peer, message: bytes) -> None:
    for _ in range(2):
        serve(peer, message)


@pytest.mark.parametrize("interim", [GO_ON, HINTS])
def test_W08_hundred_interim_responses_raise(interim, tls, client):
    with ScriptedServer(
        lambda peer: serve(peer, interim * 100 + OK), lambda peer: serve(peer, OK), ssl_context=tls
    ) as server:
        with pytest.raises(Error, match="more than 32 interim responses") as caught:
            client.get(server.url())
        assert (type(caught.value).__name__, caught.value.sent) == ("ParserError", "all")
        assert client.get(server.url()).body == b"ok"


BODILESS = {
    "204": ("GET", b"HTTP/1.1 204 No Content\r\n\r\n"),
    "204 with a length": ("GET", b"HTTP/1.1 204 No Content\r\nContent-Length: 10\r\n\r\n"),
    "304": ("GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 10\r\n\r\n"),
    "304 in chunks": ("GET", b"HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n"),
    "HEAD": ("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n"),
    "HEAD in chunks": ("HEAD", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
    "HEAD without": ("HEAD", b"HTTP/1.1 200 OK\r\n\r\n"),
    "HEAD of a 404": ("HEAD", b"HTTP/1.1 404 Not Found\r\nContent-Length: 9\r\n\r\n"),
}


@pytest.mark.parametrize("kind", BODILESS)
def test_W08_bodiless_response_keeps_its_connection(kind, tls, client):
    method, message = BODILESS[kind]

    def bodiless_then_ok(peer: Peer) -> None:
        serve(peer, message)
        serve(peer, OK)

    with ScriptedServer(bodiless_then_ok, ssl_context=tls) as server:
        got = client.request(server.url(), method)
        assert got.headerslist == [
            tuple(line.split(": ")) for line in message.decode().split("\r\n")[1:-2]
        ]
        assert got.body == b""
        assert got.payload_stream is None
        assert repr(client) == "<Client, 1 idle connections>"
        assert client.get(server.url()).body == b"ok"
        assert server.connections == 1


# Limits


BEGUN = b"HTTP/1.1 200 OK\r\n"
IN_CHUNKS = BEGUN + b"Transfer-Encoding: chunked\r\n\r\n"
FLOODS = {
    "status line": (b"HTTP/1.1 200 ", b"O" * 1000),
    "nothing but junk": (b"", b"\0" * 1000),
    "empty lines": (b"", b"\r\n" * 500),
    "one field": (BEGUN + b"X: ", b"x" * 1000),
    "one name": (BEGUN, b"x" * 1000),
    "many fields": (BEGUN, b"X: x\r\n" * 100),
    "one folded field": (BEGUN + b"X: x\r\n", b" x\r\n" * 100),
    "interim heads": (b"", GO_ON * 100),
    "one interim head": (b"HTTP/1.1 103 \r\nLink: ", b"x" * 1000),
    "chunk extension": (IN_CHUNKS + b"1;", b"x" * 1000),
    "chunk size": (IN_CHUNKS, b"0" * 1000),
    "spaces behind a chunk size": (IN_CHUNKS + b"1", b" " * 1000),
    "a chunk that goes on": (IN_CHUNKS + b"1\r\nx", b"x" * 1000),
    "one trailer": (IN_CHUNKS + b"0\r\nX: ", b"x" * 1000),
    "many trailers": (IN_CHUNKS + b"0\r\n", b"X: x\r\n" * 100),
}
SETUP = """
from restkit import Client, ResponseError, Timeout
client = Client(timeout=Timeout(60, 60))
assert client.get(urls.pop()).body == b'ok'
"""
WORK = """
result = []
for url in urls:
    try:
        client.get(url).body
        result.append('no error')
    except ResponseError as error:
        result.append(type(error).__name__)
"""


def test_W09_flood_raises_at_its_limit_with_flat_memory():
    flooded: list[int] = []

    def flood(begin: bytes, more: bytes) -> Callable[[Peer], None]:
        def script(peer: Peer) -> None:
            peer.read_request()
            peer.send(begin)
            for _ in range(10 * MIB // (len(more) * 64)):
                peer.send(more * 64)  # until the client closes, or for 10 MB
            flooded.append(1)

        return script

    floods = itertools.starmap(flood, FLOODS.values())
    with ScriptedServer(lambda peer: serve(peer, OK), *floods) as server:
        urls = [server.url(f"/{number}") for number in range(len(FLOODS) + 1)]
        measured = peak_memory(SETUP, WORK, urls=urls)
        server.join(len(FLOODS) + 1)
    outcomes = dict(zip(FLOODS, measured.result, strict=True))
    assert outcomes.pop("nothing but junk") == outcomes.pop("empty lines") == "BadStatusLine"
    assert set(outcomes.values()) == {"ParserError"}, outcomes
    assert measured.growth < 8 * MIB, measured
    assert not flooded


@pytest.mark.parametrize("kind", ["one field", "many fields", "chunk extension", "one trailer"])
def test_W09_flood_over_tls_or_in_small_writes_raises_too(kind, tls, client):
    begin, more = FLOODS[kind]

    def drizzle(peer: Peer) -> None:
        peer.read_request()
        peer.send(begin)
        while True:
            peer.send(more[:100])

    with ScriptedServer(drizzle, ssl_context=tls) as server:
        with pytest.raises(Error) as caught:
            print(client.get(server.url()).body)
        assert type(caught.value).__name__ == "ParserError"
        server.join()
        assert repr(client) == "<Client, 0 idle connections>"
