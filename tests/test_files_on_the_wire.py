"""Files and pipes on real sockets: sent by the system or in blocks, while they and peers change."""

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
from restkit.door import as_payload
from restkit.files import BLOCK
from restkit.wire import exchange
from support import LAST_CHUNK, ScriptedServer, body_of, chunks, field, head_of, response
from support.beside import beside
from support.memory import MIB, descriptors, peak_memory
from support.peer import HANG_BOUND, Peer
from support.waiting import until_polling

PATIENT = Timeout(connect=HANG_BOUND, idle=HANG_BOUND)
OK = response(b"ok")
UNAUTHORIZED = response(b"who are you?", status="401 Unauthorized")

DATA = bytes(range(251)) * 13_000  # of no block's size; a prime length: what is misplaced shows
AT = [0, 1, BLOCK, 1_000_003, len(DATA) - BLOCK - 1, len(DATA) - 1, len(DATA)]


@pytest.fixture
def path(tmp_path) -> pathlib.Path:
    path = tmp_path / "data"
    path.write_bytes(DATA)
    return path


@pytest.fixture
def vast(tmp_path) -> pathlib.Path:
    """More than any buffer between two sockets holds, and no room on the disk."""
    path = tmp_path / "vast"
    with path.open("wb") as file:
        file.truncate(1 << 30)
    return path


@pytest.fixture
def keep() -> Iterator[ExitStack]:
    """Closes after the test what a source has opened."""
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def by_the_system(monkeypatch) -> list[int]:
    """How many bytes the system sent at each `sendfile`, of which it does as much as it can."""
    counts = []
    monkeypatch.setattr(exchange, "COPIED_TAIL", 0)

    def counted(out: int, source: int, offset: int, count: int) -> int:
        counts.append(sendfile(out, source, offset, count))
        return counts[-1]

    sendfile = os.sendfile
    monkeypatch.setattr(os, "sendfile", counted)
    return counts


def answer_all(peer: Peer) -> None:
    while peer.next_request() is not None:
        peer.send(OK)


def slowly(peer: Peer) -> None:
    """Let what is sent pile up, and then take and answer all of it."""
    head = peer.read_head()
    until_polling(threading.main_thread())
    peer.read_body(head)
    peer.send(OK)


# Whole, from wherever it begins

FILES = {
    "a file": lambda path: path.open("rb"),
    "a file without a buffer": lambda path: path.open("rb", 0),
    "a file that can be written": lambda path: path.open("r+b"),
    "a text file": lambda path: path.open("r", encoding="latin-1", newline=""),
}


@pytest.mark.parametrize("at", AT)
@pytest.mark.parametrize("kind", FILES)
def test_P03_a_file_is_whole_from_its_position_on_and_stays_there(
    kind, at, tls, client, path, by_the_system
):
    with ScriptedServer(answer_all, ssl_context=tls) as server, FILES[kind](path) as file:
        file.seek(at)
        for _ in range(2):
            assert client.put(server.url(), file).body == b"ok"
            assert file.tell() == at
        assert not file.closed
        bodies = [body_of(request) for request in server.requests]
        assert [body == DATA[at:] for body in bodies] == [True, True]
        assert field(server.requests[0], "content-length") == str(len(DATA) - at)
        assert server.connections == 1
    by_blocks = min(BLOCK, len(DATA) - at)
    assert sum(by_the_system) == (0 if tls else 2 * (len(DATA) - at - by_blocks))


@pytest.mark.parametrize("kind", ["a path", "a file", "a file at 1000003"])
def test_a_file_is_whole_when_the_server_is_slow(kind, tls, client, path, by_the_system):
    with ScriptedServer(slowly, receive_buffer=8192, ssl_context=tls) as server:
        with path.open("rb") as file:
            start = file.seek(1_000_003) if kind == "a file at 1000003" else 0
            assert client.put(server.url(), path if kind == "a path" else file).body == b"ok"
        assert body_of(server.wire[0]) == DATA[start:]
    assert bool(by_the_system) is (tls is None)


def test_what_was_written_and_not_flushed_is_sent_too(tls, client, tmp_path):
    with ScriptedServer(answer_all, ssl_context=tls) as server:
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
def test_a_file_that_the_system_does_not_send_goes_in_blocks(
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
    monkeypatch.setattr(os, "sendfile", sendfile)
    with ScriptedServer(answer_all, slowly) as server:
        assert client.put(server.url(), path).body == b"ok"
        assert body_of(server.request) == DATA


@pytest.mark.parametrize("kind", ["a path", "a file", "a text file", "one payload of a path"])
def test_P13_threads_send_one_file_at_once_and_each_whole(kind, tls, client, path, keep):
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

    with ScriptedServer(answer_all, ssl_context=tls) as server:
        with beside(work), beside(work), beside(work), beside(work):
            pass
        bodies = [body_of(request) for request in server.requests]
        assert [body == DATA[at:] for body in bodies] == [True] * 8
        assert server.connections == 4


def test_P06_a_path_is_open_while_it_is_sent_and_not_longer(tls, client, vast):
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


# A file that changes under way


def sent_by(server: ScriptedServer) -> bytes:
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
        peer.read_exactly(BLOCK + 1)
        os.truncate(path, size)
        peer.read_to_end()

    with ScriptedServer(script, answer_all, receive_buffer=65536, ssl_context=tls) as server:
        with path.open("rb") as file:
            with pytest.raises(PayloadLengthError) as caught:
                client.put(server.url(), path if kind == "a path" else file)
            given = re.search(r"gave ([0-9]+) of [0-9]+ bytes", str(caught.value))
            assert repr(str(path)) in str(caught.value)
            assert caught.value.sent == "part"
            sent = sent_by(server)
            # Under TLS its closing may be a reset, since tickets lie unread: then less arrives.
            assert BLOCK < len(sent) <= int(given[1]) < len(DATA) * 10
            assert tls is not None or len(sent) == int(given[1])
            assert client.put(server.url(), file).body == b"ok"
        assert field(server.request, "content-length") == str(size)
        assert server.connections == 2


def test_P04_a_file_that_is_shorter_by_the_time_it_is_sent_never_completes(tls, client, path):
    payload = as_payload(path)
    for size in (0, 5, BLOCK, BLOCK + 5):
        os.truncate(path, size)
        with ScriptedServer(Peer.read_to_end, ssl_context=tls) as server:
            with pytest.raises(PayloadLengthError, match=f"gave {size} of {len(DATA)} bytes"):
                client.put(server.url(), payload)
            server.join()
            sent = body_of(server.wire[0]) if server.wire[0] else b""
            # Under TLS its closing may be a reset, since tickets lie unread: then less arrives.
            assert sent == DATA[:size] if tls is None else DATA[:size].startswith(sent)
        path.write_bytes(DATA)


@pytest.mark.parametrize("kind", ["a path", "a file"])
def test_P04_of_a_file_that_grows_the_length_that_was_declared_is_sent(kind, tls, client, path):
    def script(peer: Peer) -> None:
        head = peer.read_head()
        with path.open("ab") as file:
            file.write(b"x" * MIB)
        peer.pause(0.05)
        peer.read_body(head)
        peer.send(OK)
        answer_all(peer)

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


def test_P06_a_path_that_is_gone_by_the_time_it_is_sent_is_the_systems_error(tls, client, path):
    payload = as_payload(path)
    path.unlink()
    with ScriptedServer(Peer.read_to_end, answer_all, ssl_context=tls) as server:
        with pytest.raises(FileNotFoundError):
            client.put(server.url(), payload)
        server.join()
        assert server.wire == [b""]
        path.write_bytes(DATA)
        assert client.put(server.url(), payload).body == b"ok"


def test_an_error_of_the_file_under_way_passes_as_it_is(tls, client, vast):
    def script(peer: Peer) -> None:
        peer.read_head()
        peer.read_exactly(BLOCK + 1)
        with open(os.devnull, "wb", 0) as nothing:
            os.dup2(nothing.fileno(), file.fileno())  # its number can be read no more
        peer.drop()

    with ScriptedServer(script, answer_all, ssl_context=tls) as server:
        with vast.open("rb", 0) as file:
            with pytest.raises(OSError, match="Bad file descriptor") as caught:
                client.put(server.url(), file)
        assert caught.value.errno == errno.EBADF
        assert not isinstance(caught.value, Error)
        server.join(1)
        assert server.peers[0].closed_by_client
        assert client.put(server.url(), b"next").body == b"ok"
        assert server.connections == 2


def test_a_file_that_its_owner_closes_under_way_is_pythons_error_and_not_another_file(
    tls, client, vast, tmp_path, keep
):
    def script(peer: Peer) -> None:
        peer.read_head()
        peer.read_exactly(BLOCK + 1)
        until_polling(threading.main_thread())  # nothing goes any more
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
def test_an_error_of_the_very_first_read_passes_as_it_is(buffering, tls, client):
    with ScriptedServer(Peer.read_to_end, answer_all, ssl_context=tls) as server:
        with open("/proc/self/mem", "rb", buffering) as file:  # nothing is at address 0
            with pytest.raises(OSError, match="Input/output error") as caught:
                client.put(server.url(), file)
        assert not isinstance(caught.value, Error)
        server.join(1)
        assert body_of(server.wire[0]) == b""
        assert client.put(server.url(), b"next").body == b"ok"


# A peer that answers, or stops, in the middle of a file


def test_W01_a_refusal_in_the_middle_of_a_file_ends_it(tls, client, vast, by_the_system):
    def script(peer: Peer) -> None:
        peer.read_head()
        peer.read_exactly(2 * MIB)
        peer.send(response(b"too large", status="413 Content Too Large"))
        dropped.append(peer.drop())

    dropped: list[int] = []
    with ScriptedServer(script, answer_all, ssl_context=tls) as server:
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
    assert bool(by_the_system) is (tls is None)


@pytest.mark.parametrize("close", [True, False])
def test_W02_after_a_200_in_the_middle_of_a_file_the_rest_goes_on(close, tls, client, path):
    fields = ("Connection: close",) if close else ()

    def script(peer: Peer) -> None:
        head = peer.read_head()
        peer.send(response(b"ok", *fields))
        peer.pause(0.05)
        peer.read_body(head)
        answer_all(peer)

    with ScriptedServer(script, receive_buffer=8192, ssl_context=tls) as server:
        assert client.put(server.url(), path).body == b"ok"
        client.put(server.url(), b"next")
        client.close()
        server.join()
        assert body_of(server.wire[0])[: len(DATA)] == DATA
        assert server.connections == (2 if close else 1)


@pytest.mark.parametrize(
    ("timeout", "raised", "said"),
    [
        (Timeout(idle=0.2), IdleTimeout, "not a byte for 0.2 s"),
        (Timeout(idle=HANG_BOUND, total=0.3), TotalTimeout, "still sending when the 0.3 s"),
    ],
)
def test_a_server_that_reads_no_more_is_a_timeout(
    timeout, raised, said, tls, client, vast, by_the_system
):
    def script(peer: Peer) -> None:
        peer.read_some(1000)
        peer.wait(over)

    over = threading.Event()
    with ScriptedServer(script, ssl_context=tls) as server, vast.open("rb") as file:
        with pytest.raises(raised, match=said) as caught:
            client.put(server.url(), file, timeout=timeout)
        assert caught.value.sent == "part"
        assert (file.tell(), file.closed) == (0, False)
        over.set()


def test_W24_closing_the_client_ends_a_file_under_way(tls, client, vast):
    def script(peer: Peer) -> None:
        peer.read_some(1000)
        until_polling(threading.main_thread())  # nothing goes any more
        client.close()
        peer.drop()

    with ScriptedServer(script, receive_buffer=8192, ssl_context=tls) as server:
        with pytest.raises(TransportError, match="closed from this side") as caught:
            client.put(server.url(), vast)
        assert caught.value.sent == "part"


# Pipes, and a peer that does not wait for them


class Source:
    """A pipe's reader, of some kind, and its writer: `first` is already in it."""

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
            # What a buffer holds, and whether a FIFO has a writer, shows only as it is first read.
            self.first = b"first"
            self.write(self.first)

    def left(self) -> bytes:
        """What is in it, read past whatever the request has read of it."""
        if isinstance(self.reader, socket.socket):
            return self.reader.recv(100)
        if isinstance(self.reader, pathlib.Path):
            return self._writer.read(100)
        return os.read(self.reader.fileno(), 100)

    def close(self) -> None:
        self._writer.close()


SOURCES = ["a pipe", "buffered", "text", "a socket", "a FIFO"]


@pytest.mark.parametrize("kind", SOURCES)
def test_a_refusal_is_the_answer_while_the_writer_of_a_pipe_says_nothing(
    kind, tls, client, keep, tmp_path
):
    source = Source(keep, kind, tmp_path)

    def script(peer: Peer) -> None:
        peer.read_head()
        peer.read_exactly(len(expected))
        peer.send(UNAUTHORIZED)
        rest.append(peer.read_to_end())

    expected = chunks(source.first) if source.first else b""
    rest: list[bytes] = []
    with ScriptedServer(script, ssl_context=tls) as server:
        answer = client.post(server.url(), source.reader)
        assert (answer.status, answer.body) == (401, b"who are you?")
        server.join()
        assert server.peers[0].closed_by_client
        assert rest == [b""]
    source.write(b"later")
    assert source.left() == b"later"


@pytest.mark.parametrize("kind", SOURCES)
def test_a_server_that_goes_away_is_noticed_while_a_pipe_says_nothing(
    kind, tls, client, keep, tmp_path
):
    source = Source(keep, kind, tmp_path)

    def script(peer: Peer) -> None:
        peer.read_head()
        if source.first:
            peer.read_exactly(len(chunks(source.first)))

    with ScriptedServer(script, ssl_context=tls) as server:
        with pytest.raises(TransportError, match="without an answer") as caught:
            client.post(server.url(), source.reader)
        assert caught.value.sent == "part"


@pytest.mark.parametrize("kind", SOURCES)
def test_W02_after_a_200_a_pipe_is_still_sent_to_its_end(kind, tls, client, keep, tmp_path):
    source = Source(keep, kind, tmp_path)

    def script(peer: Peer) -> None:
        peer.read_head()
        if source.first:
            peer.read_exactly(len(chunks(source.first)))
        peer.send(OK)
        peer.until_taken()  # and the pipe is silent
        source.write(b"later")
        peer.read_exactly(len(chunks(b"later")))
        source.close()
        peer.read_until(LAST_CHUNK)

    with ScriptedServer(script, ssl_context=tls) as server:
        assert client.post(server.url(), source.reader).body == b"ok"
        server.join()
        pieces = [source.first] if source.first else []
        assert body_of(server.wire[0]) == chunks(*pieces, b"later") + LAST_CHUNK


@pytest.mark.parametrize("kind", SOURCES)
def test_a_pipe_may_take_its_time_but_not_more_than_the_total(kind, client, keep, tmp_path):
    source = Source(keep, kind, tmp_path)

    def script(peer: Peer) -> None:
        peer.pause(0.8)
        source.write(b"x" * 10)
        source.close()
        peer.read_until(LAST_CHUNK)
        peer.send(OK)

    with ScriptedServer(script) as server:
        answer = client.post(server.url(), source.reader, timeout=Timeout(idle=0.6))
        assert answer.body == b"ok"
    again = Source(keep, "a pipe", tmp_path)
    with ScriptedServer(Peer.read_to_end) as server:
        with pytest.raises(TotalTimeout, match="still waiting for the payload"):
            client.post(server.url(), again.reader, timeout=Timeout(total=0.4))


# Memory

SETUP = """
from restkit import Client

client = Client(verify=ca)
BLOCK = bytes(64 * 1024)

def made(size):
    if 'generator' in source:
        return (BLOCK for _ in range(size // len(BLOCK)))
    with open(path, 'wb') as file:
        file.truncate(size)
    return open(path, 'r' if 'text' in source else 'rb')

def headers(size):
    return {'Content-Length': size} if 'declared' in source else {}

client.put(url, made(4 << 20), headers(4 << 20)).close()
payload = made(size)
"""
WORK = "result = client.put(url, payload, headers(size)).status"


@pytest.mark.parametrize(
    "source", ["a file", "a text file, declared", "a generator", "a generator, declared"]
)
def test_R26_what_is_sent_is_not_in_memory_whatever_its_size(source, tls, certs, tmp_path):
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


def test_P04_a_file_cut_off_when_all_of_it_is_under_way_arrives_as_it_was(tmp_path, client):
    # The pages that sendfile sends are the file's own: cut off, they would arrive as zeros.
    content = b"restkit " * 65536
    path = tmp_path / "file"
    path.write_bytes(content)
    cut_off = threading.Event()

    def answer_at_once(peer: Peer) -> None:
        head = peer.read_head()
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        peer.wait(cut_off)
        arrived.append(peer.read_body(head))

    arrived: list[bytes] = []
    with ScriptedServer(answer_at_once) as server:
        assert client.put(server.url(), path).status == 200
        os.truncate(path, 100)
        cut_off.set()
        server.join()
    assert arrived == [content]


def test_a_file_over_the_copied_tail_goes_by_the_system_and_ends_in_copies(
    tmp_path, client, monkeypatch, by_the_system
):
    monkeypatch.setattr(exchange, "COPIED_TAIL", 1 << 20)
    content = random.randbytes(5 << 20)
    path = tmp_path / "file"
    path.write_bytes(content)
    with ScriptedServer.serving(response()) as server:
        client.put(server.url(), path)
        assert body_of(server.request) == content
    assert 3 << 20 <= sum(by_the_system) <= (4 << 20) + exchange.FILE_STEP
