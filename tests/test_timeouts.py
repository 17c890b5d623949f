"""The three timeouts of a request, each in every phase, and the forms of ``timeout=``."""

from __future__ import annotations

import decimal
import itertools
import os
import threading
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

import pytest
import urllib3

from restkit import (
    Client,
    ConnectTimeout,
    HttpResponse,
    IdleTimeout,
    RequestError,
    RequestTimeout,
    Timeout,
    TotalTimeout,
)
from restkit.timeouts import as_timeout
from support import ScriptedServer, chunked_response, payload_of, response, unanswering
from support.memory import MIB
from support.peer import HANG_BOUND, Peer

pytestmark = pytest.mark.lowest

OK = response(b"ok")
HALF = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf "
CHUNK = b"x" * 65536
FAR = HANG_BOUND  # a test that waits this long has missed the timeout that it is about


def reply_to_all(peer: Peer) -> None:
    while peer.next_request() is not None:
        peer.send(OK)


def where(server: ScriptedServer) -> str:
    return f"{server.host}:{server.port}"


def idle(seconds: float) -> Timeout:
    return Timeout(connect=FAR, idle=seconds)


def total(seconds: float) -> Timeout:
    return Timeout(connect=FAR, idle=FAR, total=seconds)


# Connecting


def test_W13_connect_timeout_when_nothing_accepts(client):
    with unanswering() as port:
        with pytest.raises(ConnectTimeout) as caught:
            client.get(f"http://127.0.0.1:{port}/a", timeout=Timeout(connect=0.2, idle=FAR))
    error = caught.value
    assert error.message == (
        f"127.0.0.1:{port}: still connecting when the 0.2 s of Timeout.connect were over: "
        "no response"
    )
    assert str(error) == f"GET http://127.0.0.1:{port}/a: {error.message}"
    assert (error.sent, error.request.method, error.response) == ("nothing", "GET", None)


def never_answer(peer: Peer) -> None:
    peer.read_to_end()


@pytest.mark.parametrize(
    ("timeout", "kind", "limit"),
    [
        (Timeout(0.2, FAR), ConnectTimeout, "0.2 s of Timeout.connect"),
        (Timeout(FAR, FAR, 0.2), TotalTimeout, "0.2 s of Timeout.total"),
        (0.2, ConnectTimeout, "0.2 s of Timeout.connect"),
        ((0.2, FAR), ConnectTimeout, "0.2 s of Timeout.connect"),
    ],
)
def test_W13_timeout_in_the_tls_handshake(timeout, kind, limit, client):
    with ScriptedServer(never_answer) as server:
        with pytest.raises(RequestTimeout) as caught:
            client.get(server.url().replace("http:", "https:"), timeout=timeout)
        assert type(caught.value) is kind
        assert caught.value.message == (
            f"{where(server)}: still in the TLS handshake when the {limit} were over"
        )
        assert caught.value.sent == "nothing"


# Timeout.idle and Timeout.total, in every phase


class Silence(NamedTuple):
    """A server that stops sending or receiving in one phase, and the payload for it."""

    phase: str
    says: bytes = b""
    sent: str = "all"
    reads_nothing: bool = False
    payload: Callable[[], object] = lambda: None

    def script(self, over: threading.Event) -> Callable[[Peer], None]:
        def run(peer: Peer) -> None:
            peer.read_head()
            peer.send(self.says)
            if self.reads_nothing:
                peer.wait(over)
            peer.read_to_end()

        return run


def large() -> bytes:
    return b"x" * 32 * MIB


def endless() -> Iterator[bytes]:
    return itertools.repeat(CHUNK)


SILENT = {
    "no answer": Silence("waiting for the response"),
    "half a head": Silence("waiting for the response", says=HALF[:20]),
    "only hints": Silence("waiting for the response", says=b"HTTP/1.1 103 Early Hints\r\n\r\n"),
    "half a body": Silence("reading the body", says=HALF),
    "half a chunk": Silence("reading the body", says=chunked_response(b"half whole")[:-10]),
    "a body to the end": Silence("reading the body", says=b"HTTP/1.1 200 OK\r\n\r\nhalf "),
    "reads no bytes": Silence("sending", sent="part", reads_nothing=True, payload=large),
    "reads no generator": Silence("sending", sent="part", reads_nothing=True, payload=endless),
}


@pytest.mark.parametrize("limit", ["idle", "total"])
@pytest.mark.parametrize("kind", SILENT)
def test_W13_silent_server_runs_into_idle_or_total(kind, limit, tls, client):
    silence, over = SILENT[kind], threading.Event()
    timeout = idle(0.4) if limit == "idle" else total(0.4)
    with ScriptedServer(silence.script(over), reply_to_all, ssl_context=tls) as server:
        with pytest.raises(RequestTimeout) as caught:
            result = client.put(server.url(), silence.payload(), timeout=timeout)
            print(result.body)
        error = caught.value
        over.set()
        if limit == "idle":
            assert type(error) is IdleTimeout
            assert error.message == (
                f"{where(server)}: not a byte for 0.4 s (Timeout.idle) while {silence.phase}"
            )
        else:
            assert type(error) is TotalTimeout
            # The total may also end between two chunks of a payload that is still accepted.
            phases = {
                silence.phase,
                *(["waiting for the payload"] if silence.reads_nothing else []),
            }
            assert error.message in {
                f"{where(server)}: still {phase} when the 0.4 s of Timeout.total were over"
                for phase in phases
            }
        assert (error.sent, error.request.method) == (silence.sent, "PUT")
        server.until(lambda: server.peers[0].finished)
        assert repr(client) == "<Client, 0 idle connections>"
        assert client.get(server.url()).body == b"ok"


def test_W13_timeout_while_a_file_is_sent(tls, client, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    os.truncate(tmp_path / "file", 64 * MIB)
    for timeout, kind in [(idle(0.2), IdleTimeout), (total(0.2), TotalTimeout)]:
        over = threading.Event()
        silent = SILENT["reads no bytes"].script(over)
        with ScriptedServer(silent, ssl_context=tls) as server:
            with pytest.raises(kind, match="sending"):
                client.put(server.url(), tmp_path / "file", timeout=timeout)
            over.set()


def test_W13_total_covers_the_wait_for_100_continue(client):
    with ScriptedServer(never_answer) as server:
        with pytest.raises(TotalTimeout) as caught:
            client.put(server.url(), b"x", expect_continue=True, timeout=total(0.2))
        assert caught.value.sent == "part"
        assert caught.value.message == (
            f"{where(server)}: still waiting for 100 Continue when the 0.2 s of Timeout.total "
            "were over"
        )


@pytest.mark.parametrize("seconds", [None, 0.6])
def test_W13_request_is_sent_after_the_wait_for_100_continue(seconds, client, monkeypatch):
    monkeypatch.setattr("restkit.connections.exchange.CONTINUE_SECONDS", 0.8)
    with ScriptedServer.serving(OK) as server:
        timeout = Timeout(FAR, idle=seconds)
        result = client.put(server.url(), b"x", expect_continue=True, timeout=timeout)
        assert result.body == b"ok"
    assert payload_of(server.request) == b"x"


# A payload source that is slow


@pytest.fixture
def slow_pipe() -> Iterator[Callable[[float], object]]:
    """Make a pipe that delivers its bytes after this many seconds, and then ends."""
    numbers: list[int] = []
    threads: list[threading.Thread] = []

    def make(seconds: float) -> object:
        reader, writer = os.pipe()
        numbers.append(reader)

        def write() -> None:
            time.sleep(seconds)
            os.write(writer, b"piped")
            os.close(writer)

        threads.append(threading.Thread(target=write))
        threads[-1].start()
        return open(reader, "rb", buffering=0, closefd=False)

    yield make
    for thread in threads:
        thread.join(HANG_BOUND)
    for number in numbers:
        os.close(number)


def slow_rows(seconds: float) -> Iterator[bytes]:
    yield b"pi"
    time.sleep(seconds)
    yield b"ped"


@pytest.mark.parametrize("kind", ["pipe", "generator"])
def test_W13_idle_does_not_count_the_time_of_the_source(kind, tls, client, slow_pipe):
    with ScriptedServer.serving(OK, ssl_context=tls) as server:
        payload = slow_pipe(0.8) if kind == "pipe" else slow_rows(0.8)
        assert client.post(server.url(), payload, timeout=idle(0.6)).body == b"ok"
    assert payload_of(server.request) == b"piped"


@pytest.mark.parametrize("kind", ["pipe", "generator"])
def test_W13_total_counts_the_time_of_the_source(kind, tls, client, slow_pipe):
    with ScriptedServer(never_answer, ssl_context=tls) as server:
        payload = slow_pipe(0.8) if kind == "pipe" else slow_rows(0.8)
        with pytest.raises(TotalTimeout, match=r"waiting for the payload when the 0\.5 s"):
            client.post(server.url(), payload, timeout=total(0.5))
        server.join()


def test_W13_generator_is_closed_after_a_timeout(client):
    closed = threading.Event()

    def rows() -> Iterator[bytes]:
        try:
            yield from endless()
        finally:
            closed.set()

    with ScriptedServer(lambda peer: (peer.read_head(), peer.drop())) as server:
        with pytest.raises(TotalTimeout):
            client.post(server.url(), rows(), timeout=total(0.2))
        assert closed.is_set()


# Slow and endless data


def drip(peer: Peer) -> None:
    peer.read_request()
    peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
    peer.send_slowly(b"x" * 1_000_000, pause=0.03)


READS: dict[str, Callable[[HttpResponse], object]] = {
    "body": lambda result: result.body,
    "body_file": lambda result: result.body_file.read(),
    "body_stream": lambda result: result.body_stream().read(),
    "payload_stream": lambda result: list(result.payload_stream or ()),
    "save": lambda result: result.save(os.devnull),
}


@pytest.mark.parametrize("read", READS)
def test_B12_W13_total_ends_a_body_that_drips_for_ever(read, certs, client):
    context = certs.server if read == "body" else None
    with ScriptedServer(drip, ssl_context=context) as server:
        began = time.monotonic()
        result = client.get(server.url(), timeout=Timeout(FAR, idle=FAR, total=0.8))
        with pytest.raises(TotalTimeout) as caught:
            READS[read](result)
        assert time.monotonic() - began >= 0.8
        assert caught.value.message == (
            f"{where(server)}: still reading the body when the 0.8 s of Timeout.total were over"
        )
        assert caught.value.request is result.request
        with pytest.raises(TotalTimeout):
            READS[read](result)
        server.join()


def test_B12_bytes_received_before_the_total_can_be_read(client):
    with ScriptedServer(drip) as server:
        result = client.get(server.url(), timeout=total(0.8))
        with pytest.raises(TotalTimeout):
            print(result.body)
        result.body_file.seek(0)
        assert result.body_file.read1(3) == b"xxx"[: len(result.body_file.peek()) + 3]
        with pytest.raises(TotalTimeout):
            result.body_file.read()


def test_W13_total_ends_a_head_that_drips_for_ever(tls, client):
    def drip_head(peer: Peer) -> None:
        peer.read_request()
        peer.send_slowly(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 10_000, pause=0.03)

    with ScriptedServer(drip_head, ssl_context=tls) as server:
        with pytest.raises(TotalTimeout, match="still waiting for the response"):
            client.get(server.url(), timeout=Timeout(FAR, idle=FAR, total=0.4))


def test_B12_default_has_no_total(tls, client):
    def drip_a_little(peer: Peer) -> None:
        peer.read_request()
        peer.send_slowly(OK, step=3, pause=0.1)

    with ScriptedServer(drip_a_little, ssl_context=tls) as server:
        assert Timeout() == Timeout(connect=10, idle=60, total=None)
        # Takes longer than the idle timeout in all, which restarts with each byte.
        assert client.get(server.url(), timeout=idle(0.8)).body == b"ok"


def pour(peer: Peer) -> None:
    peer.read_request()
    peer.send(b"HTTP/1.1 200 OK\r\n\r\n")
    while True:
        peer.send(CHUNK)


def test_W13_total_ends_an_endless_body(tls, client):
    with ScriptedServer(pour, ssl_context=tls) as server:
        result = client.get(server.url(), timeout=total(0.8))
        with pytest.raises(TotalTimeout, match="still reading the body"):
            for _ in result.payload_stream:
                pass


@pytest.mark.parametrize("source", ["generator", "file"])
def test_W13_total_ends_an_endless_payload(source, tls, client, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    os.truncate(tmp_path / "file", 1 << 42)
    payload = endless() if source == "generator" else tmp_path / "file"
    with ScriptedServer(lambda peer: (peer.read_head(), peer.drop()), ssl_context=tls) as server:
        with pytest.raises(TotalTimeout) as caught:
            client.post(server.url(), payload, timeout=total(0.3))
        assert caught.value.sent == "part"


def test_W13_total_covers_the_second_attempt(client):
    def serve_then_drop_slowly(peer: Peer) -> None:
        peer.read_request()
        peer.send(OK)
        peer.read_request()
        peer.pause(0.2)

    with ScriptedServer(serve_then_drop_slowly, never_answer) as server:
        client.get(server.url())
        began = time.monotonic()
        with pytest.raises(TotalTimeout):
            client.get(server.url(), timeout=total(0.8))
        assert time.monotonic() - began >= 0.8
        assert server.connections == 2


def test_W13_complete_body_can_be_read_after_the_total(client):
    with ScriptedServer.serving(OK) as server:
        result = client.get(server.url(), timeout=total(0.8))
        time.sleep(0.81)
        assert result.body == b"ok"
        assert client.get(server.url()).body == b"ok"


def test_W13_expired_total_sends_nothing(client):
    with ScriptedServer(reply_to_all) as server:
        client.get(server.url())
        with pytest.raises(TotalTimeout) as caught:
            client.post(server.url(), b"x", timeout=total(1e-9))
        assert caught.value.sent in ("nothing", "all")
        assert client.get(server.url()).body == b"ok"


# The forms of timeout=


NEVER = Timeout(None, None, None)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (3, Timeout(3, 3)),
        (0.5, Timeout(0.5, 0.5)),
        (1e9, Timeout(1e9, 1e9)),
        ((1, 2), Timeout(1, 2)),
        ((None, 2), Timeout(None, 2)),
        ((1, None), Timeout(1, None)),
        (None, NEVER),
        (Timeout(), Timeout(10, 60, None)),
        (Timeout(total=3), Timeout(10, 60, 3)),
        (NEVER, NEVER),
        (urllib3.Timeout(), Timeout()),
        (urllib3.Timeout(connect=1), Timeout(1, 60)),
        (urllib3.Timeout(read=2), Timeout(10, 2)),
        (urllib3.Timeout(connect=1, read=2), Timeout(1, 2)),
        (urllib3.Timeout(connect=None, read=None), NEVER),
        (urllib3.Timeout(total=None, connect=1, read=None), Timeout(1, None)),
        (urllib3.Timeout(5), Timeout(5, 5)),
        (urllib3.Timeout(5, connect=1), Timeout(1, 5)),
        (urllib3.Timeout(5, connect=9, read=1), Timeout(5, 1)),
        (urllib3.Timeout(5, connect=None, read=None), Timeout(5, 5)),
        (urllib3.Timeout(connect=decimal.Decimal("1.5")), Timeout(1.5, 60)),
        (urllib3.Timeout.from_float(2.5), Timeout(2.5, 2.5)),
    ],
)
def test_as_timeout_converts_every_form(value, expected):
    assert as_timeout(value) == expected


def test_urllib3_timeout_in_use_is_converted_and_left_unchanged():
    timeout = urllib3.Timeout(5)
    timeout.start_connect()
    assert as_timeout(timeout) == Timeout(5, 5)
    timeout.get_connect_duration()  # raises if it was not started


BAD = [0, -1, 0.0, float("nan"), float("inf"), -float("inf"), 1.1e9, 10**400]


@pytest.mark.parametrize("field", ["connect", "idle", "total"])
@pytest.mark.parametrize("seconds", [*BAD, True, "3", b"3", [1], decimal.Decimal(1)])
def test_invalid_field_of_a_timeout_is_named(field, seconds):
    with pytest.raises(RequestError) as caught:
        as_timeout(Timeout(**{field: seconds}))
    assert str(caught.value) == (
        f"Timeout.{field} must be a number of seconds above 0 (at most 1e+09), "
        f"or None for no limit; got {seconds!r:.40}"
    )


@pytest.mark.parametrize("seconds", BAD)
def test_invalid_number_is_named(seconds):
    with pytest.raises(
        RequestError, match=r"^Timeout\.connect must be a number of seconds above 0"
    ):
        as_timeout(seconds)
    with pytest.raises(RequestError, match=r"^Timeout\.idle must be a number"):
        as_timeout((1, seconds))


@pytest.mark.parametrize("value", ["3", b"3", True, False, (), (1,), (1, 2, 3), [1, 2], {}, object])
def test_value_of_another_type_raises(value):
    with pytest.raises(
        RequestError, match=r"^timeout must be a number of seconds, restkit\.Timeout\("
    ):
        as_timeout(value)


def test_invalid_timeout_raises_before_any_connection():
    with pytest.raises(RequestError):
        Client(timeout=0)
    with ScriptedServer(reply_to_all) as server, Client() as client:
        for bad in ["3", -1, Timeout(total=0)]:
            with pytest.raises(RequestError):
                client.get(server.url(), timeout=bad)
        assert server.connections == 0


def test_timeout_of_a_call_overrides_that_of_the_client():
    with ScriptedServer(never_answer) as server:
        with Client(timeout=Timeout(FAR, 0.1)) as client:
            with pytest.raises(IdleTimeout, match=r"0\.1 s"):
                client.get(server.url())
            with pytest.raises(IdleTimeout, match=r"0\.4 s"):
                client.get(server.url(), timeout=0.4)
            with pytest.raises(TotalTimeout, match=r"0\.3 s"):
                client.get(server.url(), timeout=Timeout(None, None, 0.3))


def test_timeout_may_be_longer_than_poll_can_count(tls, client):
    with ScriptedServer(reply_to_all, ssl_context=tls) as server:
        timeout = Timeout(1e9, 1e9, 1e9)
        assert client.post(server.url(), iter([b"x"]), timeout=timeout).body == b"ok"
