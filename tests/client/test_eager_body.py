"""Small bodies are read before the call returns, and do not hold their connections."""

from __future__ import annotations

import gzip
import os
import signal
import socket
import threading
import time

import pytest

from restkit import (
    BodyTooLarge,
    Client,
    DecodingError,
    Error,
    IdleTimeout,
    IntegrityError,
    RequestError,
    Timeout,
    TotalTimeout,
    TransportError,
    UnexpectedEOF,
    get,
)
from support import (
    LAST_CHUNK,
    ScriptedServer,
    chunked_response,
    chunks,
    digest_of,
    head_of,
    payload_of,
    response,
)
from support.answers import BROKEN, CAME, answered, giving
from support.memory import open_descriptors
from support.peer import HANG_BOUND, Peer
from support.waiting import until_polling

LIMIT = 64 * 1024
SIZES = [0, 10, 10_000, LIMIT]


def serve_in_two(*messages: bytes):
    """Send each message in two parts, so that no body comes with its head."""

    def script(peer: Peer) -> None:
        peer.without_delay()
        for message in messages:
            if peer.next_request() is None:
                return
            head = head_of(message)
            peer.send(head)
            if message != head:
                peer.until_taken()
                peer.send(message[len(head) :])
        peer.read_to_end()

    return script


# E01: readable after the with block


@pytest.mark.parametrize("size", SIZES)
def test_E01_small_body_is_readable_after_its_with_block_40_of_40(size, tls, client):
    message = response(b"x" * size)
    with ScriptedServer(serve_in_two(*[message] * 40), ssl_context=tls) as server:
        for _ in range(40):
            with client.get(server.url()) as got:
                pass
            assert got.body == b"x" * size
        assert server.connections == 1


def test_E01_small_body_is_readable_after_its_client_was_left():
    with ScriptedServer(serve_in_two(response(b"x" * LIMIT))) as server:
        with Client() as client:
            got = client.get(server.url())
        assert got.body_file.read() == b"x" * LIMIT


def test_E01_small_body_of_a_module_function_is_readable_after_its_with_block():
    with ScriptedServer(serve_in_two(response(b"x" * 10))) as server:
        with get(server.url()) as got:
            pass
        assert got.text == "x" * 10


def test_E01_small_body_is_readable_while_its_server_is_gone():
    with ScriptedServer(serve_in_two(response(b"x" * LIMIT))) as server, Client() as client:
        got = client.get(server.url())
    assert got.body == b"x" * LIMIT


# E02: unread small bodies hold no connections


@pytest.mark.parametrize(
    "message",
    [response(b"x" * LIMIT), response(b"x", status="404 Not Found")],
    ids=["64 KiB", "404"],
)
def test_E02_50_unread_small_responses_use_one_connection(message, tls, client):
    with ScriptedServer(serve_in_two(*[message] * 50), ssl_context=tls) as server:
        kept = [client.get(server.url()) for _ in range(50)]
        assert server.connections == 1
        assert {got.body for got in kept} == {payload_of(message)}


@pytest.mark.parametrize("size", [1, 60_000, 100_000])
def test_E02_unread_chunked_response_whose_end_has_arrived_frees_its_connection(size):
    # All has arrived before the client reads: more than it receives with the head.
    ours, theirs = socket.socketpair()
    with theirs, Client(connect=lambda host, port: ours) as client:
        theirs.sendall(chunked_response(*[b"x"] * 100, b"x" * size))
        got = client.get("http://host.test/")
        assert repr(client) == "<Client, 1 idle connections>"
        assert got.body == b"x" * (100 + size)


def test_E03_one_connection_serves_two_calls_whose_first_response_is_small_and_unread():
    script = serve_in_two(response(b"x" * LIMIT), response(b"y" * LIMIT))
    with ScriptedServer(script) as server, Client(max_connections=1) as client:
        first, second = client.get(server.url()), client.get(server.url())
        assert (first.body, second.body) == (b"x" * LIMIT, b"y" * LIMIT)


# E04: everything else stays lazy


LAZY = {
    "65,537 bytes": response(b"x" * (LIMIT + 1)),
    "unknown length": b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 1000,
    "event stream": chunked_response(
        *[b"x" * 100] * 10, fields=["Content-Type: text/event-stream"]
    ),
    "event stream with a length": response(b"x" * 1000, "Content-Type: text/event-stream"),
    "chunks that have not ended": chunked_response(*[b"x" * 100] * 10),
}


@pytest.mark.parametrize("kind", LAZY)
def test_E04_what_streams_is_returned_after_its_head(kind):
    go = threading.Event()
    message = LAZY[kind]
    with answered(giving(message[:500], message[500:], go=go)) as got:
        assert got.body_file.read1(10) == b"x" * 10
        go.set()
        assert set(got.body) == set(b"x")


def test_E04_eager_body_0_turns_it_off():
    go = threading.Event()
    message = response(b"x" * 1000)
    with answered(giving(message[:500], message[500:], go=go), eager_body=0) as got:
        assert got.body_file.read1(10) == b"x" * 10
        go.set()
        assert got.body == b"x" * 1000


def test_eager_body_of_a_call_overrides_that_of_its_client():
    go = threading.Event()
    message = response(b"x" * 1000)
    with ScriptedServer(giving(message[:500], message[500:], go=go)) as server:
        with Client(eager_body=10_000) as client:
            with client.get(server.url(), eager_body=999) as got:
                assert got.body_file.read1(10) == b"x" * 10
                go.set()
                assert got.body == b"x" * 1000


@pytest.mark.parametrize("value", [-1, True, None, 1.5, "64K"])
def test_eager_body_must_be_a_number_of_bytes(value):
    with pytest.raises(RequestError, match="eager_body must be a number of bytes, 0 or more"):
        Client(eager_body=value)


def test_a_response_that_refuses_an_upload_is_returned_after_its_head():
    go = threading.Event()

    def refuse(peer: Peer) -> None:
        peer.read_head()
        peer.send(b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\n")
        peer.wait(go)
        peer.send(b"big")
        peer.read_to_end()

    def rows():
        while True:
            yield b"x" * 100_000

    with ScriptedServer(refuse) as server, Client(timeout=HANG_BOUND) as client:
        got = client.post(server.url(), rows())
        assert (got.status, got.sent) == (413, "part")
        go.set()
        assert got.body == b"big"


@pytest.mark.parametrize("head", ["HEAD", "204", "304"])
def test_responses_without_a_body_are_returned_at_once(head, client):
    method, status = ("HEAD", "200 OK") if head == "HEAD" else ("GET", f"{head} X")
    message = head_of(response(b"", "Content-Length: 100", status=status)).replace(
        b"Content-Length: 0\r\n", b""
    )

    def script(peer: Peer) -> None:
        while peer.next_request():
            peer.send(message)

    with ScriptedServer(script) as server:
        for _ in range(2):
            assert client.request(server.url(), method).body == b""
        assert server.connections == 1


# E05: failures are kept


@pytest.mark.parametrize("kind", ["length", "chunks", "a chunk"])
def test_E05_a_small_body_that_breaks_off_raises_every_time_it_is_asked_for(kind, tls, certs):
    options = {"verify": certs.ca_file, "ssl_context": tls}
    with answered(giving(BROKEN[kind]), **options) as got:
        assert (got.status, got.ok, got.reason) == (200, True, "OK")
        assert got.body_file.read1(100) == CAME
        for read in (lambda: got.body, lambda: got.text, got.json, got.tee().read):
            for _ in range(2):
                with pytest.raises(UnexpectedEOF, match=r"after 60") as caught:
                    read()
                assert caught.value.request.method == "GET"
                assert caught.value.response is got
                assert caught.value.sent == "all"


def test_E05_the_failure_is_raised_after_the_response_was_closed():
    with answered(giving(BROKEN["length"])) as got:
        pass
    for read in (lambda: got.body, got.body_file.read, lambda: list(got.payload_stream)):
        with pytest.raises(UnexpectedEOF, match="after 60 of 100"):
            read()


@pytest.mark.parametrize(
    ("timeout", "kind"),
    [(Timeout(idle=0.3), IdleTimeout), (Timeout(idle=HANG_BOUND, total=0.3), TotalTimeout)],
)
def test_E05_a_small_body_that_stalls_is_returned_at_the_deadline_of_the_call(timeout, kind):
    script = giving(BROKEN["length"], then=Peer.read_to_end)
    with ScriptedServer(script) as server, Client(timeout=timeout) as client:
        got = client.get(server.url())
        assert got.status == 200
        server.join()  # the connection was closed
        assert got.body_file.read1(100) == CAME
        for _ in range(2):
            with pytest.raises(kind, match="reading the body"):
                assert not got.body


def test_E05_a_small_body_that_breaks_off_is_not_requested_again():
    script = giving(BROKEN["length"])
    with ScriptedServer(script) as server, Client(retries=3, wait_tries=0) as client:
        got = client.get(server.url())
        with pytest.raises(UnexpectedEOF):
            assert not got.body
        assert len(server.requests) == 1


def test_E05_broken_chunks_behind_the_head_raise_after_the_bytes_before_them():
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    with answered(giving(head + b"3\r\nabc\r\nnonsense\r\n")) as got:
        assert got.body_file.read(3) == b"abc"
        with pytest.raises(Error, match="there is no chunk size"):
            assert not got.body


def test_closing_the_client_ends_the_eager_reading_of_another_thread():
    script = giving(BROKEN["length"], then=Peer.read_to_end)
    with ScriptedServer(script) as server, Client(timeout=HANG_BOUND) as client:
        found = []
        thread = threading.Thread(target=lambda: found.append(client.get(server.url())))
        thread.start()
        server.until(lambda: server.requests)
        server.peers[0].until_taken()
        until_polling(thread)
        client.close(abort=True)
        thread.join(HANG_BOUND)
        with pytest.raises(TransportError, match="closed from this side"):
            assert not found[0].body


class Interrupted(BaseException):
    """Like KeyboardInterrupt, which pytest handles in its own way."""


def test_an_interrupt_while_reading_eagerly_is_raised_and_closes_the_connection():
    def interrupt(number, frame):
        raise Interrupted

    def script(peer: Peer) -> None:
        peer.read_request()
        peer.send(BROKEN["length"])
        peer.until_taken()
        os.kill(os.getpid(), signal.SIGUSR1)
        peer.read_to_end()

    before = signal.signal(signal.SIGUSR1, interrupt)
    try:
        with ScriptedServer(script) as server, Client(timeout=HANG_BOUND) as client:
            descriptors = open_descriptors()
            with pytest.raises(Interrupted):
                client.get(server.url())
            server.join()
            assert repr(client) == "<Client, 0 idle connections>"
            assert open_descriptors() <= descriptors
    finally:
        signal.signal(signal.SIGUSR1, before)


# Bodies that nobody reads: redirects and challenges


@pytest.mark.parametrize("status", ["302 Found\r\nLocation: /next", "401 Unauthorized"])
def test_a_stalled_body_of_a_redirect_or_challenge_is_not_waited_for(status):
    challenge = "WWW-Authenticate: Digest realm=r, nonce=n"

    def stall(peer: Peer) -> None:
        peer.read_request()
        peer.send(response(b"x" * 100, challenge, status=status)[:-40])
        peer.read_to_end()

    def final(peer: Peer) -> None:
        peer.read_request()
        peer.send(response(b"final"))

    from restkit import DigestAuth

    with ScriptedServer(stall, final) as server, Client(timeout=HANG_BOUND) as client:
        began = time.monotonic()
        got = client.get(server.url(), auth=DigestAuth("me", "secret"))
        assert (got.status, got.body) == (200, b"final")
        assert time.monotonic() - began < HANG_BOUND / 2
        assert server.connections == 2


# Options of reading: the same as for a body that came with its head


def test_an_eager_body_is_decoded_when_it_is_read():
    coded = response(gzip.compress(b"text" * 1000), "Content-Encoding: gzip")
    with ScriptedServer(serve_in_two(coded)) as server, Client() as client:
        with client.get(server.url()) as got:
            assert got.body_file.read(4) == b"text"
        assert got.body == b"text" * 1000  # in memory, though not yet decoded when it was closed


def test_an_eager_body_with_a_fault_in_its_encoding_raises_when_it_is_read():
    coded = response(gzip.compress(b"text")[:-1], "Content-Encoding: gzip")
    with ScriptedServer(serve_in_two(coded)) as server, Client() as client:
        got = client.get(server.url())
        with pytest.raises(DecodingError, match="ends early"):
            assert not got.body


def test_an_eager_body_larger_than_max_body_raises_when_it_is_read():
    bomb = response(gzip.compress(b"x" * 100_000), "Content-Encoding: gzip")
    with ScriptedServer(serve_in_two(response(b"x" * 1001), bomb)) as server:
        with Client(max_body=1000) as client:
            for _ in range(2):
                got = client.get(server.url())
                with pytest.raises(BodyTooLarge, match="larger than max_body, 1000 bytes"):
                    assert not got.body
        assert server.connections == 1


def test_the_digest_of_an_eager_body_is_checked_when_it_is_read():
    right = response(b"text", f"Content-Digest: {digest_of(b'text')}")
    wrong = response(b"text", f"Content-Digest: {digest_of(b'other')}")
    with ScriptedServer(serve_in_two(right, wrong)) as server, Client() as client:
        assert client.get(server.url()).body == b"text"
        got = client.get(server.url())
        with pytest.raises(IntegrityError):
            assert not got.body


def test_progress_of_an_eager_body_is_reported_when_it_is_read():
    calls = []
    with ScriptedServer(serve_in_two(response(b"x" * 1000))) as server, Client() as client:
        got = client.get(server.url(), progress=lambda *numbers: calls.append(numbers))
        assert calls == []
        assert got.body == b"x" * 1000
        assert calls == [(1000, 1000)]


def test_an_eager_body_is_read_once_as_a_stream_or_saved(tmp_path):
    with ScriptedServer(serve_in_two(*[response(b"x" * 1000)] * 3)) as server, Client() as client:
        assert b"".join(client.get(server.url()).payload_stream) == b"x" * 1000
        assert client.get(server.url()).body_stream().read() == b"x" * 1000
        assert client.get(server.url()).save(tmp_path / "saved") == 1000
        assert (tmp_path / "saved").read_bytes() == b"x" * 1000


def test_trailers_of_chunks_that_have_arrived_are_available():
    message = chunked_response(b"x" * 70_000)[:-2] + b"Sum: 1\r\n\r\n"
    ours, theirs = socket.socketpair()
    with theirs, Client(connect=lambda host, port: ours) as client:
        theirs.sendall(message)
        got = client.get("http://host.test/")
        assert got.trailers["sum"] == "1"
        assert got.body == b"x" * 70_000


def test_chunks_without_an_end_are_received_only_up_to_the_limit():
    # Wire bytes count, not only those of the body: chunks of one byte are mostly framing.
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    sent = threading.Event()

    def endless(peer: Peer) -> None:
        peer.read_request()
        peer.send(head + chunks(*[b"x"] * 10_000))
        while not sent.is_set():
            peer.send(chunks(*[b"x"] * 10_000))
        peer.send(LAST_CHUNK)

    with ScriptedServer(endless) as server, Client(timeout=HANG_BOUND) as client:
        got = client.get(server.url())
        sent.set()
        assert set(got.body) == set(b"x")
