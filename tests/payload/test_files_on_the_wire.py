"""Files and pipes on real sockets, sent by sendfile or in chunks, while they and servers change."""

from __future__ import annotations

import errno
import os
import pathlib
import random
import re
import socket
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from restkit import (
    Error,
    IdleTimeout,
    PayloadLengthError,
    Timeout,
    TotalTimeout,
    TransportError,
)
from restkit.connections import exchange
from restkit.io.files import CHUNK_SIZE
from restkit.payload.convert import as_payload
from support import LAST_CHUNK, ScriptedServer, body_of, chunks, field, head_of, response
from support.beside import beside
from support.memory import MIB, descriptors, peak_memory
from support.peer import HANG_BOUND, Peer
from support.waiting import until_polling

PATIENT = Timeout(connect=HANG_BOUND, idle=HANG_BOUND)
OK = response(b"ok")
UNAUTHORIZED = response(b"who are you?", status="401 Unauthorized")

DATA = (
    bytes(range(251)) * 13_000
)  # a prime length, no multiple of a chunk: misplaced bytes are noticed
AT = [0, 1, CHUNK_SIZE, 1_000_003, len(DATA) - CHUNK_SIZE - 1, len(DATA) - 1, len(DATA)]


@pytest.fixture
def path(tmp_path) -> pathlib.Path:
    path = tmp_path / "data"
    path.write_bytes(DATA)
    return path


@pytest.fixture
def vast(tmp_path) -> pathlib.Path:
    """A sparse file, larger than all buffers between two sockets."""
    path = tmp_path / "vast"
    with path.open("wb") as file:
        file.truncate(1 << 30)
    return path


@pytest.fixture
def keep() -> Iterator[ExitStack]:
    """Close what a source has opened after the test."""
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def by_sendfile(monkeypatch) -> list[int]:
    """Count the bytes of each `sendfile`; the copied tail is off, so that it sends all it can."""
    counts = []
    monkeypatch.setattr(exchange, "COPIED_TAIL", 0)

    def counted(out: int, source: int, offset: int, count: int) -> int:
        counts.append(sendfile(out, source, offset, count))
        return counts[-1]

    sendfile = os.sendfile
    monkeypatch.setattr("restkit.io.sockets.sendfile", counted)
    return counts


def respond_to_all(peer: Peer) -> None:
    while peer.next_request() is not None:
        peer.send(OK)


def slowly(peer: Peer) -> None:
    """Let the sent bytes pile up, then read them all and respond."""
    head = peer.read_head()
    until_polling(threading.main_thread())
    peer.read_body(head)
    peer.send(OK)


# Whole, from any position

FILES = {
    "a file": lambda path: path.open("rb"),
    "a file without a buffer": lambda path: path.open("rb", 0),
    "a file that can be written": lambda path: path.open("r+b"),
    "a text file": lambda path: path.open("r", encoding="latin-1", newline=""),
}


@pytest.mark.parametrize("at", AT)
@pytest.mark.parametrize("kind", FILES)
def test_P03_a_file_is_sent_whole_from_its_position_on_and_is_not_moved(
    kind, at, tls, client, path, by_sendfile
):
    with ScriptedServer(respond_to_all, ssl_context=tls) as server, FILES[kind](path) as file:
        file.seek(at)
        for _ in range(2):
            assert client.put(server.url(), file).body == b"ok"
            assert file.tell() == at
        assert not file.closed
        bodies = [body_of(request) for request in server.requests]
        assert [body == DATA[at:] for body in bodies] == [True, True]
        assert field(server.requests[0], "content-length") == str(len(DATA) - at)
        assert server.connections == 1
    first_chunk = min(CHUNK_SIZE, len(DATA) - at)
    assert sum(by_sendfile) == (0 if tls else 2 * (len(DATA) - at - first_chunk))


@pytest.mark.parametrize("kind", ["a path", "a file", "a file at 1000003"])
def test_a_file_is_sent_whole_to_a_slow_server(kind, tls, client, path, by_sendfile):
    with ScriptedServer(slowly, receive_buffer=8192, ssl_context=tls) as server:
        with path.open("rb") as file:
            start = file.seek(1_000_003) if kind == "a file at 1000003" else 0
            assert client.put(server.url(), path if kind == "a path" else file).body == b"ok"
        assert body_of(server.wire[0]) == DATA[start:]
    assert bool(by_sendfile) is (tls is None)


def test_bytes_that_were_not_flushed_are_sent_too(tls, client, tmp_path):
    with ScriptedServer(respond_to_all, ssl_context=tls) as server:
        with tempfile.TemporaryFile(buffering=2 * MIB) as file:
            file.write(DATA)
            file.write(b"in the buffer still")
            file.seek(5)
            file.seek(0, os.SEEK_END)
            file.write(b", and more")
            file.seek(5)
            assert client.put(server.url(), file).body == b"ok"
    assert body_of(server.request) == DATA[5:] + b"in the buffer still, and more"


@pytest.mark.parametrize("refused", [errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP])
@pytest.mark.parametrize("calls", [0, 1], ids=["at once", "later"])
def test_a_file_that_sendfile_does_not_send_is_sent_in_chunks(
    refused, calls, client, path, monkeypatch
):
    left = [calls]

    monkeypatch.setattr(exchange, "COPIED_TAIL", 0)

    def sendfile(*given: int) -> int:
        if not left[0]:
            raise OSError(refused, os.strerror(refused))
        left[0] -= 1
        return real(*given)

    real = os.sendfile
    monkeypatch.setattr("restkit.io.sockets.sendfile", sendfile)
    with ScriptedServer(respond_to_all, slowly) as server:
        assert client.put(server.url(), path).body == b"ok"
        assert body_of(server.request) == DATA


@pytest.mark.parametrize("kind", ["a path", "a file", "a text file", "one payload of a path"])
def test_P13_several_threads_send_one_file_whole(kind, tls, client, path, keep):
    at = 0 if "path" in kind else 1_000_003
    payload: object = path
    if kind in FILES:
        payload = keep.enter_context(FILES[kind](path))
        payload.seek(at)
    elif kind == "one payload of a path":
        payload = as_payload(path)
    start = threading.Barrier(4)

    def work() -> None:
        start.wait(HANG_BOUND)
        for _ in range(2):
            assert client.put(server.url(), payload).body == b"ok"

    with ScriptedServer(respond_to_all, ssl_context=tls) as server:
        with beside(work), beside(work), beside(work), beside(work):
            pass
        bodies = [body_of(request) for request in server.requests]
        assert [body == DATA[at:] for body in bodies] == [True] * 8
        assert server.connections == 4


def test_P06_a_path_is_open_only_while_it_is_sent(tls, client, vast):
    def is_open() -> bool:
        return str(vast) in descriptors().values()

    def refuse(peer: Peer) -> None:
        peer.read_exactly(MIB)
        seen.append(is_open())
        peer.send(UNAUTHORIZED)
        peer.drop()

    def go_away(peer: Peer) -> None:
        peer.read_exactly(MIB)
        seen.append(is_open())
        peer.reset()

    seen: list[bool] = []
    with ScriptedServer(refuse, go_away, ssl_context=tls) as server:
        assert client.put(server.url(), vast).status == 401
        assert not is_open()
        with pytest.raises(TransportError):
            client.put(server.url(), vast, max_tries=1)
        assert not is_open()
    if os.path.exists("/proc/self/fd"):
        assert seen == [True, True]


# A file that changes while it is sent


def body_sent_to(server: ScriptedServer) -> bytes:
    server.join(1)
    assert server.peers[0].closed_by_client
    return body_of(server.wire[0])


@pytest.mark.parametrize("size", [0, 100 * 4096, 20 * MIB])
@pytest.mark.parametrize("kind", ["a path", "a file"])
def test_P04_a_file_that_shrinks_while_it_is_sent_never_completes_a_request(
    kind, size, tls, client, tmp_path
):
    path = tmp_path / "shrinking"
    path.write_bytes(DATA * 10)

    def script(peer: Peer) -> None:
        peer.read_head()
        peer.read_exactly(CHUNK_SIZE + 1)
        os.truncate(path, size)
        peer.read_to_end()

    with ScriptedServer(script, respond_to_all, receive_buffer=65536, ssl_context=tls) as server:
        with path.open("rb") as file:
            with pytest.raises(PayloadLengthError) as caught:
                client.put(server.url(), path if kind == "a path" else file)
            given = re.search(r"([0-9]+) of [0-9]+ bytes", str(caught.value))
            assert repr(str(path)) in str(caught.value)
            assert caught.value.sent == "part"
            sent = body_sent_to(server)
            # Under TLS closing may be a reset, because tickets are unread: then less arrives.
            assert CHUNK_SIZE < len(sent) <= int(given[1]) < len(DATA) * 10
            assert tls is not None or len(sent) == int(given[1])
            assert client.put(server.url(), file).body == b"ok"
        assert field(server.request, "content-length") == str(size)
        assert server.connections == 2


def test_P04_a_file_that_was_shortened_before_never_completes_a_request(tls, client, path):
    payload = as_payload(path)
    for size in (0, 5, CHUNK_SIZE, CHUNK_SIZE + 5):
        os.truncate(path, size)
        with ScriptedServer(Peer.read_to_end, ssl_context=tls) as server:
            with pytest.raises(PayloadLengthError, match=f" {size} of {len(DATA)} bytes"):
                client.put(server.url(), payload)
            server.join()
            sent = body_of(server.wire[0]) if server.wire[0] else b""
            # Under TLS closing may be a reset, because tickets are unread: then less arrives.
            assert sent == DATA[:size] if tls is None else DATA[:size].startswith(sent)
        path.write_bytes(DATA)


@pytest.mark.parametrize("kind", ["a path", "a file"])
def test_P04_a_file_that_grows_is_sent_with_its_declared_length(kind, tls, client, path):
    def script(peer: Peer) -> None:
        head = peer.read_head()
        with path.open("ab") as file:
            file.write(b"x" * MIB)
        peer.pause(0.05)
        peer.read_body(head)
        peer.send(OK)
        respond_to_all(peer)

    with ScriptedServer(script, receive_buffer=8192, ssl_context=tls) as server:
        with path.open("rb") as file:
            payload = as_payload(path if kind == "a path" else file)
            with path.open("ab") as more:
                more.write(b"y")
            assert client.put(server.url(), payload).body == b"ok"
        assert client.put(server.url(), b"next").body == b"ok"
        assert server.connections == 1
        wire = server.wire[0]
        assert body_of(wire)[: len(DATA)] == DATA
        assert body_of(wire)[len(DATA) :].startswith(b"PUT / HTTP/1.1\r\n")
        assert wire.endswith(b"\r\n\r\nnext")


def test_P06_a_path_that_was_deleted_raises_the_os_error(tls, client, path):
    payload = as_payload(path)
    path.unlink()
    with ScriptedServer(Peer.read_to_end, respond_to_all, ssl_context=tls) as server:
        with pytest.raises(FileNotFoundError):
            client.put(server.url(), payload)
        server.join()
        assert server.wire == [b""]
        path.write_bytes(DATA)
        assert client.put(server.url(), payload).body == b"ok"


def test_an_error_of_the_file_while_it_is_sent_is_not_changed(tls, client, vast):
    def script(peer: Peer) -> None:
        peer.read_head()
        peer.read_exactly(CHUNK_SIZE + 1)
        with open(os.devnull, "wb", 0) as nothing:
            os.dup2(nothing.fileno(), file.fileno())  # its descriptor cannot be read any more
        peer.drop()

    with ScriptedServer(script, respond_to_all, ssl_context=tls) as server:
        with vast.open("rb", 0) as file:
            with pytest.raises(OSError, match="Bad file descriptor") as caught:
                client.put(server.url(), file)
        assert caught.value.errno == errno.EBADF
        assert not isinstance(caught.value, Error)
        server.join(1)
        assert server.peers[0].closed_by_client
        assert client.put(server.url(), b"next").body == b"ok"
        assert server.connections == 2


def test_a_file_closed_while_it_is_sent_raises_and_no_other_file_is_sent(
    tls, client, vast, tmp_path, keep
):
    def script(peer: Peer) -> None:
        peer.read_head()
        peer.read_exactly(CHUNK_SIZE + 1)
        until_polling(threading.main_thread())  # nothing can be sent any more
        number = file.fileno()
        file.close()
        other = keep.enter_context((tmp_path / "other").open("w+b"))
        assert other.fileno() == number
        other.truncate(vast.stat().st_size)
        os.pwrite(number, b"secret" * MIB, 0)
        peer.read_to_end()

    with ScriptedServer(script, receive_buffer=8192, ssl_context=tls) as server:
        file = keep.enter_context(vast.open("rb"))
        file.seek(MIB)
        with pytest.raises(ValueError, match="closed file"):
            client.put(server.url(), file)
        server.join(1)
        assert server.peers[0].closed_by_client
        assert not any(body_of(server.wire[0]))


@pytest.mark.skipif(not os.path.exists("/proc/self/mem"), reason="there is no /proc")
@pytest.mark.parametrize("buffering", [0, -1])
def test_an_error_of_the_first_read_is_not_changed(buffering, tls, client):
    with ScriptedServer(Peer.read_to_end, respond_to_all, ssl_context=tls) as server:
        with open("/proc/self/mem", "rb", buffering) as file:  # address 0 is not mapped
            with pytest.raises(OSError, match="Input/output error") as caught:
                client.put(server.url(), file)
        assert not isinstance(caught.value, Error)
        server.join(1)
        assert body_of(server.wire[0]) == b""
        assert client.put(server.url(), b"next").body == b"ok"


# A server that responds, or stops, in the middle of a file


def test_W01_an_error_status_in_the_middle_of_a_file_ends_the_sending(
    tls, client, vast, by_sendfile
):
    def script(peer: Peer) -> None:
        peer.read_head()
        peer.read_exactly(2 * MIB)
        peer.send(response(b"too large", status="413 Content Too Large"))
        dropped.append(peer.drop())

    dropped: list[int] = []
    with ScriptedServer(script, respond_to_all, ssl_context=tls) as server:
        with vast.open("rb") as file:
            file.seek(5)
            refusal = client.put(server.url(), file)
            assert (refusal.status, refusal.body) == (413, b"too large")
            assert (file.tell(), file.closed) == (5, False)
        server.join(1)
        assert server.peers[0].closed_by_client
        assert dropped[0] < 64 * MIB
        assert client.get(server.url()).body == b"ok"
        assert server.connections == 2
    assert bool(by_sendfile) is (tls is None)


@pytest.mark.parametrize("close", [True, False])
def test_W02_after_a_200_in_the_middle_of_a_file_the_rest_is_sent(close, tls, client, path):
    fields = ("Connection: close",) if close else ()

    def script(peer: Peer) -> None:
        head = peer.read_head()
        peer.send(response(b"ok", *fields))
        peer.pause(0.05)
        peer.read_body(head)
        respond_to_all(peer)

    with ScriptedServer(script, receive_buffer=8192, ssl_context=tls) as server:
        assert client.put(server.url(), path).body == b"ok"
        client.put(server.url(), b"next")
        client.close()
        server.join()
        assert body_of(server.wire[0])[: len(DATA)] == DATA
        assert server.connections == (2 if close else 1)


@pytest.mark.parametrize(
    ("timeout", "raised", "message"),
    [
        (Timeout(idle=0.2), IdleTimeout, "not a byte for 0.2 s"),
        (Timeout(idle=HANG_BOUND, total=0.3), TotalTimeout, "still sending when the 0.3 s"),
    ],
)
def test_a_server_that_stops_reading_raises_a_timeout(
    timeout, raised, message, tls, client, vast, by_sendfile
):
    def script(peer: Peer) -> None:
        peer.read_some(1000)
        peer.wait(over)

    over = threading.Event()
    with ScriptedServer(script, ssl_context=tls) as server, vast.open("rb") as file:
        with pytest.raises(raised, match=message) as caught:
            client.put(server.url(), file, timeout=timeout)
        assert caught.value.sent == "part"
        assert (file.tell(), file.closed) == (0, False)
        over.set()


def test_W24_aborting_the_client_ends_the_sending_of_a_file(tls, client, vast):
    def script(peer: Peer) -> None:
        peer.read_some(1000)
        until_polling(threading.main_thread())  # nothing can be sent any more
        client.close(abort=True)
        peer.drop()

    with ScriptedServer(script, receive_buffer=8192, ssl_context=tls) as server:
        with pytest.raises(TransportError, match="closed from this side") as caught:
            client.put(server.url(), vast)
        assert caught.value.sent == "part"


# Pipes, and a server that does not wait for them


class Source:
    """The reader of a pipe, of one kind, and its writer; `first` is in it already."""

    def __init__(self, keep: ExitStack, kind: str, folder: pathlib.Path) -> None:
        self.first = b""
        if kind == "a socket":
            self.reader, self._writer = map(keep.enter_context, socket.socketpair())
            self.write = self._writer.sendall
            return
        if kind == "a FIFO":
            self.reader = folder / "fifo"
            os.mkfifo(self.reader)
            self._writer = keep.enter_context(self.reader.open("r+b", 0))
        else:
            reading, writing = os.pipe()
            self._writer = keep.enter_context(os.fdopen(writing, "wb", 0))
            mode, buffering = {"a pipe": ("rb", 0), "buffered": ("rb", -1), "text": ("r", -1)}[kind]
            self.reader = keep.enter_context(os.fdopen(reading, mode, buffering))
        self.write = self._writer.write
        if kind in ("buffered", "text", "a FIFO"):
            # Only the first read shows what a buffer holds and whether a FIFO has a writer.
            self.first = b"first"
            self.write(self.first)

    def left(self) -> bytes:
        """Return the bytes in the pipe that the request has not read."""
        if isinstance(self.reader, socket.socket):
            return self.reader.recv(100)
        if isinstance(self.reader, pathlib.Path):
            return self._writer.read(100)
        return os.read(self.reader.fileno(), 100)

    def close(self) -> None:
        self._writer.close()


SOURCES = ["a pipe", "buffered", "text", "a socket", "a FIFO"]


@pytest.mark.parametrize("kind", SOURCES)
@pytest.mark.posix("select does not watch pipes")
def test_an_error_status_is_the_response_while_a_pipe_is_silent(kind, tls, client, keep, tmp_path):
    source = Source(keep, kind, tmp_path)

    def script(peer: Peer) -> None:
        peer.read_head()
        peer.read_exactly(len(expected))
        peer.send(UNAUTHORIZED)
        rest.append(peer.read_to_end())

    expected = chunks(source.first) if source.first else b""
    rest: list[bytes] = []
    with ScriptedServer(script, ssl_context=tls) as server:
        got = client.post(server.url(), source.reader)
        assert (got.status, got.body) == (401, b"who are you?")
        server.join()
        assert server.peers[0].closed_by_client
        assert rest == [b""]
    source.write(b"later")
    assert source.left() == b"later"


@pytest.mark.parametrize("kind", SOURCES)
@pytest.mark.posix("select does not watch pipes")
def test_a_server_that_closes_is_noticed_while_a_pipe_is_silent(kind, tls, client, keep, tmp_path):
    source = Source(keep, kind, tmp_path)

    def script(peer: Peer) -> None:
        peer.read_head()
        if source.first:
            peer.read_exactly(len(chunks(source.first)))

    with ScriptedServer(script, ssl_context=tls) as server:
        with pytest.raises(TransportError, match="without a response") as caught:
            client.post(server.url(), source.reader)
        assert caught.value.sent == "part"


@pytest.mark.parametrize("kind", SOURCES)
@pytest.mark.posix("select does not watch pipes")
def test_W02_after_a_200_a_pipe_is_still_sent_to_its_end(kind, tls, client, keep, tmp_path):
    source = Source(keep, kind, tmp_path)

    def script(peer: Peer) -> None:
        peer.read_head()
        if source.first:
            peer.read_exactly(len(chunks(source.first)))
        peer.send(OK)
        peer.until_taken()  # the whole response has arrived, and the pipe is silent
        source.write(b"later")
        peer.read_exactly(len(chunks(b"later")))
        source.close()
        peer.read_until(LAST_CHUNK)

    with ScriptedServer(script, ssl_context=tls) as server:
        assert client.post(server.url(), source.reader).body == b"ok"
        server.join()
        first = [source.first] if source.first else []
        assert body_of(server.wire[0]) == chunks(*first, b"later") + LAST_CHUNK


@pytest.mark.parametrize("kind", SOURCES)
@pytest.mark.posix("select does not watch pipes")
def test_a_silent_pipe_is_waited_for_until_the_total_timeout(kind, client, keep, tmp_path):
    source = Source(keep, kind, tmp_path)

    def script(peer: Peer) -> None:
        peer.pause(0.8)
        source.write(b"x" * 10)
        source.close()
        peer.read_until(LAST_CHUNK)
        peer.send(OK)

    with ScriptedServer(script) as server:
        got = client.post(server.url(), source.reader, timeout=Timeout(idle=0.6))
        assert got.body == b"ok"
    again = Source(keep, "a pipe", tmp_path)
    with ScriptedServer(Peer.read_to_end) as server:
        with pytest.raises(TotalTimeout, match="still waiting for the payload"):
            client.post(server.url(), again.reader, timeout=Timeout(total=0.4))


# Memory

SETUP = """
from restkit import Client

client = Client(verify=ca)
CHUNK = bytes(64 * 1024)

def make_payload(size):
    if 'generator' in source:
        return (CHUNK for _ in range(size // len(CHUNK)))
    with open(path, 'wb') as file:
        file.truncate(size)
    return open(path, 'r' if 'text' in source else 'rb')

def headers(size):
    return {'Content-Length': size} if 'declared' in source else {}

client.put(url, make_payload(4 << 20), headers(4 << 20)).close()
payload = make_payload(size)
"""
WORK = "result = client.put(url, payload, headers(size)).status"


@pytest.mark.parametrize(
    "source", ["a file", "a text file, declared", "a generator", "a generator, declared"]
)
def test_R26_a_payload_of_any_size_is_sent_in_little_memory(source, tls, certs, tmp_path):
    def script(peer: Peer) -> None:
        for size in (4 * MIB, 64 * MIB):
            head = peer.read_head()
            length = field(head, "content-length")
            if length:
                assert peer.drop(int(length)) == size
            else:
                peer.drop((size // 65536) * len(chunks(bytes(65536))) + len(LAST_CHUNK))
            peer.send(OK)

    with ScriptedServer(script, ssl_context=tls) as server:
        measured = peak_memory(
            SETUP,
            WORK,
            url=server.url(),
            ca=str(certs.ca_file),
            source=source,
            path=str(tmp_path / "file"),
            size=64 * MIB,
        )
        assert head_of(server.wire[0]).startswith(b"PUT / ")
    assert measured.result == 200
    assert measured.growth < 8 * MIB


def test_P04_a_file_truncated_after_all_was_sent_arrives_unchanged(tmp_path, client):
    # sendfile sends the pages of the file itself: after a truncation they would arrive as zeros.
    content = b"restkit " * 65536
    path = tmp_path / "file"
    path.write_bytes(content)
    cut_off = threading.Event()

    def respond_at_once(peer: Peer) -> None:
        head = peer.read_head()
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        peer.wait(cut_off)
        arrived.append(peer.read_body(head))

    arrived: list[bytes] = []
    with ScriptedServer(respond_at_once) as server:
        assert client.put(server.url(), path).status == 200
        os.truncate(path, 100)
        cut_off.set()
        server.join()
    assert arrived == [content]


def test_a_file_larger_than_the_copied_tail_is_sent_by_sendfile_and_ends_in_copies(
    tmp_path, client, monkeypatch, by_sendfile
):
    monkeypatch.setattr(exchange, "COPIED_TAIL", 1 << 20)
    content = random.randbytes(5 << 20)
    path = tmp_path / "file"
    path.write_bytes(content)
    with ScriptedServer.serving(response()) as server:
        client.put(server.url(), path)
        assert body_of(server.request) == content
    assert 3 << 20 <= sum(by_sendfile) <= (4 << 20) + exchange.FILE_STEP
