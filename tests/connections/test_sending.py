"""Requests on real sockets: early responses, Expect, full duplex, interrupts.

The echo test sends 256 MiB to keep the suite short. Run the full case with
``RESTKIT_ECHO_MIB=1024 pytest tests/connections/test_sending.py -k W04``.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import re
import select
import signal
import socket
import threading
from collections.abc import Callable, Iterator

import pytest

from restkit import (
    HttpResponse,
    Payload,
    PayloadNotReplayable,
    Timeout,
    TotalTimeout,
    TransportError,
)
from restkit.connections import exchange
from restkit.network.transport import RECORD
from support import (
    LAST_CHUNK,
    ScriptedServer,
    body_of,
    chunked_response,
    chunks,
    field,
    head_of,
    payload_of,
    response,
)
from support.memory import MIB, descriptors, peak_memory
from support.peer import HANG_BOUND, Peer
from support.waiting import until_polling

PATIENT = Timeout(connect=HANG_BOUND, idle=HANG_BOUND)
GIB = 1 << 30
ECHOED = int(os.environ.get("RESTKIT_ECHO_MIB", "64")) * MIB
BLOCK = b"restkit " * 8192
GO_ON = b"HTTP/1.1 100 Continue\r\n\r\n"
OK = response(b"ok")


@pytest.fixture
def sparse(tmp_path) -> Callable[[int], object]:
    """Create sparse files of any size."""

    def make(size: int) -> object:
        path = tmp_path / f"sparse {size}"
        with path.open("wb") as file:
            file.truncate(size)
        return path

    return make


class Counted:
    """Iterates over a generator and counts the items that were produced."""

    def __init__(self, items: Iterator[bytes]) -> None:
        self.produced = 0
        self._items = items

    def __iter__(self) -> Iterator[bytes]:
        for item in self._items:
            self.produced += 1
            yield item


def endless() -> Counted:
    return Counted(itertools.repeat(BLOCK))


def nothing_comes(peer: Peer, seconds: float = 0.05) -> bool:
    return not select.select([peer.sock], [], [], seconds)[0]


def read_some(peer: Peer) -> None:
    """Read some of an upload. Later writes are sent at once, before any reset."""
    peer.without_delay()
    peer.read_head()
    peer.drop(64 * 1024)


def respond_to_all(peer: Peer) -> None:
    """Respond OK to each further request of a connection."""
    while peer.next_request() is not None:
        peer.send(OK)


# An early error stops the sending


LARGE = {
    "sized": (response(b"too large", status="413 Content Too Large"), b"too large"),
    "chunked": (
        chunked_response(b"too ", b"large", status="413 Content Too Large"),
        b"too large",
    ),
    "empty": (response(status="413 Content Too Large"), b""),
}


@pytest.mark.parametrize("framing", LARGE)
@pytest.mark.parametrize("source", ["file", "generator", "bytes"])
def test_W01_early_error_is_the_response(source, framing, tls, client, sparse):
    message, body = LARGE[framing]

    def refuse(peer: Peer) -> None:
        read_some(peer)
        peer.send(message)
        # Closing with unread bytes: further bytes from the client cause a reset.

    payload = {"file": lambda: sparse(GIB), "generator": endless, "bytes": lambda: b"x" * 64 * MIB}
    with ScriptedServer(refuse, respond_to_all, ssl_context=tls) as server:
        sent = payload[source]()
        refusal = client.post(server.url(), sent)
        assert (refusal.status, refusal.body) == (413, body)
        assert client.get(server.url()).body == b"ok"
        assert server.connections == 2
    if isinstance(sent, Counted):
        assert sent.produced * len(BLOCK) < 64 * MIB


def test_W01_client_stops_sending_to_a_lingering_server(tls, client, sparse):
    read: list[int] = []

    def linger(peer: Peer) -> None:
        read_some(peer)
        peer.send(response(b"too large", "Connection: close", status="413 Content Too Large"))
        read.append(peer.drop())

    with ScriptedServer(linger, respond_to_all, ssl_context=tls) as server:
        assert client.put(server.url(), sparse(GIB)).body == b"too large"
        server.join()
        assert read[0] < 64 * MIB
        assert client.get(server.url()).body == b"ok"


def test_W01_late_body_of_an_early_error_is_read(tls, client):
    rest = threading.Event()

    def refuse(peer: Peer) -> None:
        peer.read_head()
        peer.send(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 9\r\n\r\nnot ")
        peer.wait(rest)
        peer.send(b"yours")
        peer.drop()

    with ScriptedServer(refuse, ssl_context=tls) as server:
        refusal = client.post(server.url(), endless())
        assert refusal.status == 403
        assert refusal.body_file.read1() == b"not "
        rest.set()
        assert refusal.body == b"not yours"
        server.join()
        assert server.peers[0].closed_by_client


def test_W01_server_closing_without_a_response_is_a_transport_error(tls, client):
    with ScriptedServer(read_some, respond_to_all, ssl_context=tls) as server:
        with pytest.raises(TransportError) as caught:
            client.post(server.url(), endless())
        assert caught.value.sent == "part"
        assert caught.value.response is None
        assert client.get(server.url()).body == b"ok"


@pytest.mark.parametrize("spoken", [b"", b"first words"])
@pytest.mark.posix("select does not watch pipes")
def test_W01_early_error_does_not_wait_for_a_silent_source(spoken, tls, client):
    def refuse(peer: Peer) -> None:
        peer.read_head()
        if spoken:
            peer.read_until(spoken)
        assert nothing_comes(peer)
        peer.send(response(b"too large", status="413 Content Too Large"))
        peer.read_to_end()

    reader, writer = os.pipe()
    with open(reader, "rb", buffering=0) as pipe, open(writer, "wb", buffering=0) as silent:
        silent.write(spoken)
        with ScriptedServer(refuse, respond_to_all, ssl_context=tls) as server:
            assert client.post(server.url(), pipe).body == b"too large"
            assert client.get(server.url()).body == b"ok"
            assert server.connections == 2


# An early 2xx does not stop the sending


@pytest.mark.parametrize("fields", [[], ["Connection: close"]])
@pytest.mark.parametrize("source", ["file", "generator", "bytes"])
def test_W02_payload_is_sent_to_its_end_after_an_early_200(source, fields, tls, client, tmp_path):
    data = BLOCK * 64
    (tmp_path / "data").write_bytes(data)
    payload = {"file": tmp_path / "data", "bytes": data, "generator": iter([BLOCK] * 64)}[source]
    uploads: list[bytes] = []

    def respond_first(peer: Peer) -> None:
        head = peer.read_head()
        peer.send(response(b"taken", *fields))
        uploads.append(payload_of(head + peer.read_body(head)))
        if fields:
            return
        respond_to_all(peer)

    with ScriptedServer(respond_first, respond_to_all, ssl_context=tls) as server:
        early = client.put(server.url(), payload)
        assert (early.status, early.body) == (200, b"taken")
        assert client.get(server.url()).body == b"ok"
        assert server.connections == (2 if fields else 1)
        server.until(lambda: uploads)
    assert uploads == [data]


@pytest.mark.parametrize("framing", ["sized", "chunked", "to the end"])
def test_W02_early_response_may_continue_after_the_payload(framing, tls, client):
    begin, end = {
        "sized": (response(b"before after")[:-5], b"after"),
        "chunked": (
            chunked_response(b"before ")[: -len(LAST_CHUNK)],
            chunks(b"after") + LAST_CHUNK,
        ),
        "to the end": (b"HTTP/1.1 200 OK\r\n\r\nbefore ", b"after"),
    }[framing]

    def both_sides(peer: Peer) -> None:
        head = peer.read_head()
        peer.send(begin)
        peer.read_body(head)
        peer.send(end)
        if framing != "to the end":
            respond_to_all(peer)

    with ScriptedServer(both_sides, respond_to_all, ssl_context=tls) as server:
        assert client.post(server.url(), iter([BLOCK] * 64)).body == b"before after"
        assert client.get(server.url()).body == b"ok"
        assert server.connections == (2 if framing == "to the end" else 1)


def test_W02_half_closed_server_receives_the_whole_payload(client):
    # Without TLS only: TLS has no half-closed connections.
    uploads: list[bytes] = []

    def half_close(peer: Peer) -> None:
        head = peer.read_head()
        peer.send(b"HTTP/1.1 200 OK\r\n\r\ntaken")
        peer.shutdown_write()
        uploads.append(payload_of(head + peer.read_body(head)))

    with ScriptedServer(half_close) as server:
        assert client.post(server.url(), iter([BLOCK] * 64)).body == b"taken"
        server.join()
    assert uploads == [BLOCK * 64]


@pytest.mark.parametrize("path", ["/drop-one", "/drop"])
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_W02_nginx_responds_early_and_reads_the_whole_payload(path, scheme, nginx, client, sparse):
    url = nginx.tls_url if scheme == "https" else nginx.url
    size, tag = 32 * MIB, f"{path}?{scheme}"
    early = client.post(url(tag), sparse(size))
    assert (early.status, early.body) == (200, b"dropped")
    assert early["connection"] == ("close" if path == "/drop-one" else "keep-alive")
    requests = client.get(url("/connection")).body.split()[1]
    assert requests == (b"1" if path == "/drop-one" else b"2")


@pytest.mark.parametrize("source", ["file", "generator", "bytes"])
def test_W02_close_after_an_early_200_raises_with_the_response(source, tls, client, sparse):
    def respond_then_close(peer: Peer) -> None:
        read_some(peer)
        peer.send(response(b"enough"))

    size = 64 * MIB
    payload = {"file": lambda: sparse(size), "bytes": lambda: b"x" * size, "generator": endless}
    of_all = "" if source == "generator" else f" of {size}"
    with ScriptedServer(respond_then_close, respond_to_all, ssl_context=tls) as server:
        with pytest.raises(TransportError) as caught:
            client.post(server.url(), payload[source]())
        error = caught.value
        assert re.search(f"responded 200 after [0-9]+{of_all} bytes of the payload", str(error))
        assert error.sent == "part"
        assert isinstance(error.response, HttpResponse)
        assert error.response.status == 200
        assert error.response.body == b"enough"
        assert error.__cause__ is not None
        assert client.get(server.url()).body == b"ok"


def test_W02_stalled_read_after_an_early_200_raises_with_the_response(tls, client, sparse):
    over = threading.Event()

    def respond_then_stall(peer: Peer) -> None:
        peer.read_head()
        peer.send(response(b"enough"))
        peer.wait(over)

    with ScriptedServer(respond_then_stall, ssl_context=tls, receive_buffer=4096) as server:
        with pytest.raises(TransportError) as caught:
            client.post(server.url(), sparse(64 * MIB), timeout=Timeout(HANG_BOUND, idle=0.3))
        over.set()
    assert isinstance(caught.value.response, HttpResponse)
    assert caught.value.response.body == b"enough"
    assert caught.value.sent == "part"


@pytest.fixture(
    params=[
        pytest.param("pipe", marks=pytest.mark.posix("select does not watch pipes")),
        "socket",
    ]
)
def silent(request: pytest.FixtureRequest) -> Iterator[object]:
    """A source that yields nothing and does not end."""
    if request.param == "pipe":
        reader, writer = os.pipe()
        with open(reader, "rb", buffering=0) as pipe, open(writer, "wb"):
            yield pipe
    else:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            yield ours


EARLY = {"whole": response(b"enough"), "in part": response(b"enough")[:-2]}


@pytest.mark.parametrize("early", EARLY)
@pytest.mark.posix("the end of both directions is no event of select")
def test_W02_server_close_is_noticed_while_the_source_is_silent(early, silent, tls, client):
    def respond_then_end(peer: Peer) -> None:
        peer.read_head()
        peer.without_delay()
        peer.send(EARLY[early])
        peer.until_taken()  # the next read returns the end
        peer.reset()

    with ScriptedServer(respond_then_end, respond_to_all, ssl_context=tls) as server:
        with pytest.raises(TransportError, match="responded 200 after 0 bytes") as caught:
            client.post(server.url(), silent)
        error = caught.value
        assert error.sent == "part"
        assert isinstance(error.response, HttpResponse)
        assert error.response.status == 200
        if early == "whole":
            assert error.response.body == b"enough"
        else:
            assert error.response.body_file.read1(100) == b"enou"
        assert client.get(server.url()).body == b"ok"


@pytest.mark.parametrize("end", ["total", "close"])
@pytest.mark.parametrize("early", EARLY)
def test_W13_W24_silent_source_does_not_outlast_an_early_200(end, early, silent, tls, client):
    def respond_and_close(peer: Peer) -> None:
        peer.read_head()
        peer.send(EARLY[early])
        if tls is None:
            peer.shutdown_write()  # a half-closed connection may still accept data
        peer.read_to_end()

    with ScriptedServer(respond_and_close, ssl_context=tls) as server:
        timer = threading.Timer(0.3, lambda: client.close(abort=True))
        if end == "close":
            timer.start()
        timeout = Timeout(HANG_BOUND, HANG_BOUND, 0.3 if end == "total" else None)
        with pytest.raises(TransportError) as caught:
            client.post(server.url(), silent, timeout=timeout)
        assert isinstance(caught.value, TotalTimeout) == (end == "total")
        assert ("closed from this side" in str(caught.value)) == (end == "close")
        if end == "close":
            timer.join()


# Expect: 100-continue


def expects_continue(head: bytes) -> bool:
    return field(head, "expect") == "100-continue"


@pytest.mark.parametrize("source", ["bytes", "generator"])
@pytest.mark.parametrize("before", [b"", b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"])
def test_W03_payload_is_sent_only_after_100_continue(before, source, tls, client):
    def continue_at_last(peer: Peer) -> None:
        head = peer.read_head()
        assert expects_continue(head)
        peer.send(before)
        assert nothing_comes(peer)
        peer.send_slowly(GO_ON)
        assert payload_of(head + peer.read_body(head)) == b"the body"
        peer.send(OK)
        respond_to_all(peer)

    payload = b"the body" if source == "bytes" else iter([b"the ", b"body"])
    with ScriptedServer(continue_at_last, ssl_context=tls) as server:
        assert client.post(server.url(), payload, expect_continue=True).body == b"ok"
        assert client.get(server.url()).body == b"ok"
        assert server.connections == 1


REFUSALS = {
    401: response(b"who?", 'WWW-Authenticate: Basic realm="x"', status="401 Unauthorized"),
    413: response(b"no", status="413 Content Too Large"),
    307: response(b"", "Location: /there", status="307 Temporary Redirect"),
    403: b"HTTP/1.1 403 Forbidden\r\nContent-Length: 1000000\r\n\r\nlong",
    500: chunked_response(b"oh", status="500 Internal Server Error"),
}


@pytest.mark.parametrize("status", REFUSALS)
def test_W03_rejected_payload_is_not_sent_and_stays_whole(status, tls, client):
    def refuse(peer: Peer) -> None:
        peer.read_head()
        peer.send(REFUSALS[status])
        peer.read_to_end()

    def take(peer: Peer) -> None:
        peer.read_request()
        peer.send(OK)

    rows = (row for row in [b"one ", b"pass"])
    with ScriptedServer(refuse, take, ssl_context=tls) as server:
        with client.put(server.url(), rows, expect_continue=True, follow_redirect=False) as refusal:
            assert refusal.status == status
        server.join(1)
        assert server.wire[0] == head_of(server.wire[0])
        assert server.peers[0].closed_by_client
        assert client.put(server.url(), rows).body == b"ok"
    assert payload_of(server.request) == b"one pass"


@pytest.mark.parametrize(
    "refusal",
    [
        response(b"no expectations", status="417 Expectation Failed"),
        chunked_response(b"no expectations", status="417 Expectation Failed"),
        b"HTTP/1.1 417 Expectation Failed\r\nContent-Length: 1000000\r\n\r\nlong",
        b"HTTP/1.1 417 Expectation Failed\r\n\r\nto the end",
    ],
    ids=["sized", "chunked", "half there", "to the end"],
)
@pytest.mark.parametrize("source", ["bytes", "generator"])
def test_W03_request_is_resent_without_expect_after_417(source, refusal, tls, client):
    def refuse(peer: Peer) -> None:
        assert expects_continue(peer.read_head())
        peer.send(refusal)
        assert peer.read_to_end() == b""

    def take(peer: Peer) -> None:
        request = peer.read_request()
        assert field(head_of(request), "expect") is None
        peer.send(OK)

    payload = b"the body" if source == "bytes" else (part for part in [b"the ", b"body"])
    with ScriptedServer(refuse, take, ssl_context=tls) as server:
        assert client.post(server.url(), payload, expect_continue=True).body == b"ok"
        server.join(2)
    assert payload_of(server.request) == b"the body"


EXPECTATION_FAILED = response(b"no", status="417 Expectation Failed")


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange, "CONTINUE_SECONDS", 0.1)


def test_W03_second_417_without_expect_is_the_response(impatient, client):
    with ScriptedServer.serving(EXPECTATION_FAILED) as server:
        refusal = client.post(server.url(), b"x", expect_continue=True)
        assert (refusal.status, refusal.body) == (417, b"no")
        assert len(server.requests) == 2
        assert client.post(server.url(), b"x").status == 417
        assert len(server.requests) == 3


def test_W03_417_after_the_body_resends_a_replayable_payload(impatient, client):
    with ScriptedServer.serving(EXPECTATION_FAILED, OK) as server:
        assert client.post(server.url(), b"again", expect_continue=True).body == b"ok"
    assert [expects_continue(request) for request in server.requests] == [True, False]
    assert [payload_of(request) for request in server.requests] == [b"again"] * 2


def test_W03_resend_after_417_keeps_the_credentials(impatient, client):
    calls = []

    def authorize(request) -> None:
        calls.append(request)
        request.headers["X-Token"] = f"token {len(calls)}"

    with ScriptedServer.serving(EXPECTATION_FAILED, OK) as server:
        got = client.post(server.url(), b"again", expect_continue=True, auth=authorize)
        assert got.body == b"ok"
    assert [field(request, "x-token") for request in server.requests] == ["token 1"] * 2
    assert len(calls) == 1


def test_W03_417_after_a_one_pass_payload_is_the_response(impatient, client):
    with ScriptedServer.serving(EXPECTATION_FAILED, OK) as server:
        rows = (row for row in [b"once"])
        refusal = client.post(server.url(), rows, expect_continue=True)
        assert (refusal.status, refusal.body) == (417, b"no")
        assert client.get(server.url()).body == b"ok"
    assert payload_of(server.requests[0]) == b"once"


@pytest.mark.parametrize("late", [b"", GO_ON])
def test_W03_payload_is_sent_after_a_second_without_response(late, client):
    def stay_silent(peer: Peer) -> None:
        head = peer.read_head()
        assert nothing_comes(peer, 0.5)
        peer.read_body(head)
        peer.send(late + OK)

    with ScriptedServer(stay_silent) as server:
        idle = Timeout(HANG_BOUND, idle=1.5)
        got = client.post(server.url(), iter([b"x"]), expect_continue=True, timeout=idle)
        assert got.body == b"ok"


def test_W03_early_hints_do_not_extend_the_wait(impatient, client):
    sent = threading.Event()

    def hint(peer: Peer) -> None:
        head = peer.read_head()
        # Each hint arrives within the idle timeout: the limit is on the whole wait.
        hints = b"HTTP/1.1 102 Processing\r\n\r\n" * 20
        for at in range(len(hints)):
            peer.send(hints[at : at + 1])
            peer.pause(0.02)
            if not nothing_comes(peer, 0):
                sent.set()
                break
        peer.send(hints[at + 1 :])
        peer.read_body(head)
        peer.send(OK)

    with ScriptedServer(hint) as server:
        assert client.post(server.url(), b"x", expect_continue=True).body == b"ok"
    assert sent.is_set()


def test_W03_early_200_does_not_stop_the_payload(tls, client):
    def respond_first(peer: Peer) -> None:
        head = peer.read_head()
        peer.send(OK)
        assert payload_of(head + peer.read_body(head)) == b"all the same"
        respond_to_all(peer)

    with ScriptedServer(respond_first, ssl_context=tls) as server:
        got = client.post(server.url(), iter([b"all the same"]), expect_continue=True)
        assert got.body == b"ok"
        assert client.get(server.url()).body == b"ok"
        assert server.connections == 1


def test_W03_expect_header_of_the_caller_works_too(client):
    def refuse(peer: Peer) -> None:
        assert expects_continue(peer.read_head())
        peer.send(REFUSALS[413])
        assert peer.read_to_end() == b""

    with ScriptedServer(refuse) as server:
        assert client.put(server.url(), b"x", {"expect": "100-continue"}).status == 413
        server.join()


@pytest.mark.parametrize("payload", [None, b"", []])
def test_W03_empty_payload_sends_no_expect_header(payload, client):
    with ScriptedServer.serving(OK) as server:
        assert client.post(server.url(), payload, expect_continue=True).body == b"ok"
    assert field(server.request, "expect") is None
    assert body_of(server.request) == b""


def test_W03_server_close_before_100_leaves_the_generator_whole(tls, client):
    rows = (row for row in [b"one ", b"pass"])
    with ScriptedServer(lambda peer: peer.read_head(), respond_to_all, ssl_context=tls) as server:
        with pytest.raises(TransportError) as caught:
            client.post(server.url(), rows, expect_continue=True)
        assert caught.value.sent == "part"
        assert client.post(server.url(), rows).body == b"ok"
    assert payload_of(server.request) == b"one pass"


def test_W03_started_generator_is_not_replayable(client):
    rows = (row for row in [b"a", b"b"])
    with ScriptedServer.serving(REFUSALS[413]) as server:
        assert client.post(server.url(), rows).status == 413
        with pytest.raises(PayloadNotReplayable):
            client.post(server.url(), rows)
        assert client.post(server.url(), b"next").status == 413


# Sending and receiving at the same time


def echo(peer: Peer) -> None:
    """Echo the request with its own framing; do not read while writing."""
    head = peer.read_head()
    length = field(head, "content-length")
    framing = f"Content-Length: {length}" if length else "Transfer-Encoding: chunked"
    peer.send(f"HTTP/1.1 200 OK\r\n{framing}\r\n\r\n".encode())
    left = int(length) if length else None
    tail = b""
    while left != 0 and not tail.endswith(LAST_CHUNK):
        data = peer.read_some(1 << 18)
        if not data:
            return
        peer.wire.clear()  # do not keep a gigabyte
        peer.send(data)
        left = None if left is None else left - len(data)
        tail = (tail + data)[-len(LAST_CHUNK) :]


SETUP = """
import hashlib, itertools, os
from restkit import Client, Timeout
client = Client(timeout=Timeout(60, 60), verify=ca)
block = bytes(range(256)) * 256 + b'a prime number of bytes, say'

def pieces(size):
    whole, rest = divmod(size, len(block))
    yield from itertools.repeat(block, whole)
    yield block[:rest]

def made(size):
    if source == 'generator':
        return pieces(size)
    with open(path, 'wb') as file:
        file.writelines(pieces(size))
    return open(path, 'rb')

def digest(pieces):
    sha = hashlib.sha256()
    for piece in pieces:
        sha.update(piece)
    return sha.hexdigest()

payload = made(2 << 20)
assert digest(client.post(url, payload).body_file) == digest(pieces(2 << 20))
payload = made(size)
expected = digest(pieces(size))
"""

WORK = """
echoed = client.post(url, payload)
result = digest(iter(lambda: echoed.body_file.read(1 << 16), b'')) == expected
client.close()
"""


@pytest.mark.parametrize("source", ["file", "generator"])
def test_W04_large_echo_is_identical_with_flat_memory(source, tls, certs, tmp_path):
    with ScriptedServer(echo, ssl_context=tls) as server:
        measured = peak_memory(
            SETUP,
            WORK,
            url=server.url(),
            ca=str(certs.ca_file),
            source=source,
            path=str(tmp_path / "file"),
            size=ECHOED,
        )
    assert measured.result is True
    assert measured.growth < 16 * MIB, measured


EDGES = [RECORD - 200, RECORD, MIB - 1, MIB, MIB + 1, 2 * MIB + RECORD, 5 * MIB + 3]


@pytest.mark.parametrize("size", EDGES)
@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_big_chunk_over_tls_arrives_whole(kind, size, certs, client):
    data = bytes(itertools.islice(itertools.cycle(range(251)), size))
    with ScriptedServer.serving(OK, ssl_context=certs.server) as server:
        client.post(server.url(), iter([b"a", kind(data), kind(data), b"b"]))
        client.post(server.url(), iter([kind(data)]), headers={"X": "y" * 40_000})
    assert body_of(server.requests[0]) == chunks(b"a", data, data, b"b") + LAST_CHUNK
    assert body_of(server.requests[1]) == chunks(data) + LAST_CHUNK


def test_big_chunk_over_tls_is_not_copied(certs):
    def take(peer: Peer) -> None:
        peer.read_head()
        peer.drop(64 * MIB)
        peer.send(OK)
        peer.drop()

    with ScriptedServer(take, ssl_context=certs.server) as server:
        measured = peak_memory(
            """
            import restkit
            client = restkit.Client(verify=ca)
            item = b"x" * size
            """,
            "result = client.post(url, iter([item])).status",
            url=server.url(),
            ca=str(certs.ca_file),
            size=64 * MIB,
        )
    assert measured.result == 200
    assert measured.growth < 16 * MIB, measured


@pytest.mark.parametrize("size", [1, 100, 70_001, 3 * MIB])
def test_W04_echo_of_many_small_chunks_keeps_order(size, tls, client):
    data = bytes(itertools.islice(itertools.cycle(range(251)), size))
    with ScriptedServer(echo, ssl_context=tls) as server:
        step = max(1, size // 1000)
        pieces = (data[at : at + step] for at in range(0, size, step))
        got = client.post(server.url(), pieces)
        assert hashlib.sha256(got.body).digest() == hashlib.sha256(data).digest()


# Errors of the caller's source


class Broken(KeyError):
    pass


def breaking() -> Iterator[bytes]:
    yield b"abc"
    raise Broken("x")


def test_S06_generator_error_propagates_and_leaves_the_request_incomplete(tls, client):
    def read_all(peer: Peer) -> None:
        peer.read_head()
        peer.read_to_end()

    with ScriptedServer(read_all, respond_to_all, ssl_context=tls) as server:
        with pytest.raises(Broken):
            client.post(server.url(), breaking())
        server.join(1)
        assert body_of(server.wire[0]) == b"3\r\nabc\r\n"
        assert client.post(server.url(), b"next").body == b"ok"
        assert server.connections == 2
    assert body_of(server.request) == b"next"


def test_S06_network_error_of_a_source_propagates_unchanged(client):
    def lost() -> Iterator[bytes]:
        yield b"abc"
        raise ConnectionResetError("of a pipe, say")

    def lost_by_restkit() -> Iterator[bytes]:
        yield b"abc"
        raise TransportError("of another request")

    with ScriptedServer(lambda peer: peer.read_to_end()) as server:
        with pytest.raises(ConnectionResetError, match="of a pipe, say"):
            client.put(server.url(), lost())
        with pytest.raises(TransportError, match="of another request"):
            client.put(server.url(), lost_by_restkit())
        server.join(2)


def test_S06_source_error_on_an_idle_connection_is_not_retried(client):
    calls = 0

    def broken() -> Iterator[bytes]:
        nonlocal calls
        calls += 1
        raise TransportError("of another request")
        yield b""

    def rest_and_read(peer: Peer) -> None:
        peer.read_request()
        peer.send(OK)
        peer.read_to_end()

    with ScriptedServer(rest_and_read) as server:
        client.get(server.url())
        with pytest.raises(TransportError, match="of another request"):
            client.put(server.url(), broken)
        server.join()
        assert (calls, server.connections) == (1, 1)


# Interrupts


@pytest.fixture
def interrupt() -> Iterator[Callable[[], None]]:
    """Return a function that raises KeyboardInterrupt in the main thread."""

    def handler(*_: object) -> None:
        raise KeyboardInterrupt

    main = threading.get_ident()
    before = signal.signal(signal.SIGALRM, handler)
    yield lambda: signal.pthread_kill(main, signal.SIGALRM)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("source", ["file", "generator", "bytes"])
def test_P14_interrupted_send_raises_and_closes_its_connection(
    source, tls, client, sparse, interrupt
):
    def rest_then_interrupt(peer: Peer) -> None:
        peer.read_request()
        peer.send(OK)
        peer.read_head()
        peer.drop(64 * 1024)
        interrupt()
        peer.drop()

    payload = {"file": lambda: sparse(GIB), "generator": endless, "bytes": lambda: b"x" * 64 * MIB}
    with ScriptedServer(rest_then_interrupt, respond_to_all, ssl_context=tls) as server:
        client.get(server.url())
        sent = payload[source]()
        before = len(descriptors())
        with pytest.raises(KeyboardInterrupt):
            client.post(server.url(), sent)
        server.join(1)
        assert server.peers[0].closed_by_client
        assert len(descriptors()) < before
        assert repr(client) == "<Client, 0 idle connections>"
        assert client.get(server.url()).body == b"ok"
        assert server.connections == 2


@pytest.mark.parametrize("moment", ["sending", "asking", "waiting", "reading", "reading eagerly"])
def test_P14_interrupt_at_any_time_leaves_the_client_usable(moment, tls, client, interrupt):
    def script(peer: Peer) -> None:
        head = peer.read_head()
        if moment == "sending":
            until_polling(threading.main_thread())  # for free buffer space
            interrupt()
        elif moment == "waiting":
            peer.read_body(head)
            interrupt()
        elif moment in {"reading", "reading eagerly"}:
            peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf ")
            if moment == "reading":
                peer.wait(reading)
            else:
                peer.until_taken()
            until_polling(threading.main_thread())
            interrupt()
        peer.drop()

    def stopped() -> Iterator[bytes]:
        yield b"x"
        interrupt()
        while True:
            threading.Event().wait(HANG_BOUND)

    reading = threading.Event()
    payload = {"sending": endless(), "asking": stopped()}.get(moment, b"x")
    with ScriptedServer(script, respond_to_all, ssl_context=tls) as server:
        with pytest.raises(KeyboardInterrupt):
            limit = 0 if moment == "reading" else 10
            got = client.post(server.url(), payload, eager_body=limit)
            reading.set()
            print(got.body)
        server.join(1)
        assert server.peers[0].closed_by_client
        assert client.get(server.url()).body == b"ok"
        assert server.connections == 2


def test_P14_interrupted_body_is_not_complete_afterwards(client, interrupt):
    reading = threading.Event()

    def script(peer: Peer) -> None:
        peer.read_request()
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf ")
        peer.wait(reading)
        until_polling(threading.main_thread())
        interrupt()
        peer.drop()

    with ScriptedServer(script) as server:
        got = client.get(server.url(), eager_body=0)
        assert got.body_file.read1() == b"half "
        with pytest.raises(KeyboardInterrupt):
            reading.set()
            got.body_file.read1()
        with pytest.raises(TransportError, match="interrupted"):
            print(got.body)


# How much was sent


def test_error_reports_a_partly_sent_request_over_tls(tls, client):
    def lose(peer: Peer) -> None:
        read_some(peer)
        peer.reset()

    with ScriptedServer(lose, ssl_context=tls) as server:
        with pytest.raises(TransportError) as caught:
            client.post(server.url(), b"x" * 16 * MIB)
    assert caught.value.sent == "part"


def test_partly_sent_post_on_an_idle_connection_is_not_retried(tls, client):
    def rest_and_lose(peer: Peer) -> None:
        peer.read_request()
        peer.send(OK)
        read_some(peer)
        peer.reset()

    with ScriptedServer(rest_and_lose, ssl_context=tls) as server:
        client.get(server.url())
        with pytest.raises(TransportError) as caught:
            client.post(server.url(), b"x" * 16 * MIB)
        assert caught.value.sent == "part"
        assert server.connections == 1


class _WaitsForResponse(Payload):
    """A payload whose end is awaited until the response has arrived."""

    def __init__(self, length: int | None, polled: int, arrived: threading.Event) -> None:
        self.length = length
        self._polled = polled
        self._arrived = arrived
        self._polls = 0

    def chunks(self) -> Iterator[bytes]:
        yield b"payload"

    @property
    def waits_on(self) -> int:
        self._polls += 1
        if self._polls > (1 if self.length else 2):  # the last chunk was sent
            self._arrived.wait(HANG_BOUND)
        return self._polled


@pytest.mark.posix("the descriptor of the payload is polled")
@pytest.mark.parametrize("length", [7, None])
def test_response_right_after_the_last_chunk_finds_all_sent(length, tls, client):
    arrived = threading.Event()

    def script(peer: Peer) -> None:
        for _ in range(2):
            peer.read_request()
            peer.send(response(b"no", status="404 Not Found"))
            peer.until_arrived()
            arrived.set()

    reading, writing = os.pipe()
    os.close(writing)  # at its end, and so always readable
    try:
        with ScriptedServer(script, ssl_context=tls) as server:
            got = client.post(server.url(), _WaitsForResponse(length, reading, arrived))
            assert (got.status, got.body, got.sent) == (404, b"no", "all")
            client.get(server.url())
            assert server.connections == 1
    finally:
        os.close(reading)
