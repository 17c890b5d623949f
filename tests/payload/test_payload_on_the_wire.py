"""Payloads on real sockets: each source as one whole message, byte for byte."""

from __future__ import annotations

import array
import collections
import gzip
import io
import mmap
import os
import pathlib
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, suppress

import pytest

from restkit import (
    Client,
    PayloadError,
    PayloadNotReplayable,
    Timeout,
    TransportError,
)
from restkit.payload.base import Payload
from restkit.payload.convert import as_payload
from support import (
    LAST_CHUNK,
    ScriptedServer,
    body_of,
    chunks,
    dechunk,
    head_of,
    payload_of,
    response,
)
from support.beside import beside
from support.memory import MIB, descriptors
from support.payloads import OnlyRead
from support.peer import HANG_BOUND, Peer
from support.waiting import until_polling

PATIENT = Timeout(connect=HANG_BOUND, idle=HANG_BOUND)
OK = response(b"ok")
OCTETS = "application/octet-stream"
PLAIN = "text/plain; charset=utf-8"

# Without the headers of a Client a message has only those of the payload.
BARE = [("User-Agent", None), ("Accept-Encoding", None)]


@pytest.fixture
def keep() -> Iterator[ExitStack]:
    """Close what a source has open_file after the test."""
    with ExitStack() as stack:
        yield stack


def post(client: Client, server: ScriptedServer, payload: object, **options):
    return client.post(server.url("/x"), payload, headers=BARE, **options)


def message(server: ScriptedServer, *fields: str, body: bytes = b"") -> bytes:
    lines = ["POST /x HTTP/1.1", f"Host: 127.0.0.1:{server.port}", *fields, "", ""]
    return "\r\n".join(lines).encode() + body


def sized(server: ScriptedServer, kind: str, body: bytes) -> bytes:
    return message(server, f"Content-Type: {kind}", f"Content-Length: {len(body)}", body=body)


def chunked(server: ScriptedServer, kind: str, *parts: bytes) -> bytes:
    fields = (f"Content-Type: {kind}", "Transfer-Encoding: chunked")
    return message(server, *fields, body=chunks(*parts) + LAST_CHUNK)


# One message for each kind of source


def write_file(folder: pathlib.Path, name: str, data: bytes) -> pathlib.Path:
    path = folder / name
    path.write_bytes(data)
    return path


def open_file(keep: ExitStack, path: pathlib.Path, mode: str = "rb", at: int = 0, **options):
    file = keep.enter_context(path.open(mode, **options))
    file.seek(at)
    return file


def open_mmap(keep: ExitStack, path: pathlib.Path):
    return keep.enter_context(mmap.mmap(open_file(keep, path, "r+b").fileno(), 0))


def open_gzip(keep: ExitStack, folder: pathlib.Path, data: bytes, at: int):
    path = write_file(folder, "x.gz", gzip.compress(data))
    file = keep.enter_context(gzip.GzipFile(path))
    file.seek(at)
    return file


def open_spooled(keep: ExitStack, data: bytes, at: int):
    file = tempfile.SpooledTemporaryFile(max_size=4)  # noqa: SIM115  # the next line closes it
    keep.enter_context(file)
    file.write(data)
    file.seek(at)
    return file


def make_numpy_array():
    numpy = pytest.importorskip("numpy")
    return numpy.arange(12, dtype=">u2").reshape(3, 4)[:, ::2]


TEXT = "grüße\r\n€\n"

SIZED = {
    "bytes": (lambda keep, folder: b"\0\xffa\r\n", OCTETS, b"\0\xffa\r\n"),
    "no bytes": (lambda keep, folder: b"", OCTETS, b""),
    "a bytearray": (lambda keep, folder: bytearray(b"abc"), OCTETS, b"abc"),
    "a memoryview": (lambda keep, folder: memoryview(b"abc")[1:], OCTETS, b"bc"),
    "text": (lambda keep, folder: TEXT, PLAIN, TEXT.encode()),
    "no text": (lambda keep, folder: "", PLAIN, b""),
    "an empty list": (lambda keep, folder: [], OCTETS, b""),
    "P03 a file at 100": (
        lambda keep, folder: open_file(keep, write_file(folder, "x", b"-" * 100 + b"rest"), at=100),
        OCTETS,
        b"rest",
    ),
    "P05 an array of integers": (
        lambda keep, folder: array.array("I", [1, 2]),
        OCTETS,
        array.array("I", [1, 2]).tobytes(),
    ),
    "P05 a view with a shape": (
        lambda keep, folder: memoryview(b"abcdef").cast("B", (2, 3)),
        OCTETS,
        b"abcdef",
    ),
    "P05 a view with strides": (lambda keep, folder: memoryview(b"abcdef")[::-2], OCTETS, b"fdb"),
    "P05 an mmap": (
        lambda keep, folder: open_mmap(keep, write_file(folder, "x", b"mapped")),
        OCTETS,
        b"mapped",
    ),
    "P05 an array of numpy": (
        lambda keep, folder: make_numpy_array(),
        OCTETS,
        b"\0\0\0\2\0\4\0\6\0\x08\0\x0a",
    ),
    "P06 a path": (
        lambda keep, folder: write_file(folder, "x.json", b"{}"),
        "application/json",
        b"{}",
    ),
    "P16 an empty path": (lambda keep, folder: write_file(folder, "x", b""), OCTETS, b""),
    "P16 an empty file": (
        lambda keep, folder: open_file(keep, write_file(folder, "x", b"")),
        OCTETS,
        b"",
    ),
    "P16 text in memory": (lambda keep, folder: io.StringIO("héé€"), OCTETS, "héé€".encode()),
    "R07 bytes in memory": (lambda keep, folder: seek(io.BytesIO(b"abcd"), 1), OCTETS, b"bcd"),
    "R07 text in memory": (lambda keep, folder: io.StringIO("héllo"), OCTETS, b"h\xc3\xa9llo"),
    "a text file": (
        lambda keep, folder: open_file(
            keep, write_file(folder, "x.txt", b"gr\xfc\xdfe\r\n"), "r", encoding="latin-1"
        ),
        "text/plain",
        b"gr\xfc\xdfe\r\n",
    ),
    "a text file at a line": (
        lambda keep, folder: open_file(
            keep, write_file(folder, "x.csv", b"a,b\r\n1,2\r\n"), "r", at=5, newline=""
        ),
        "text/csv",
        b"1,2\r\n",
    ),
    "a file behind its end": (
        lambda keep, folder: open_file(keep, write_file(folder, "x", b"short"), at=100),
        OCTETS,
        b"",
    ),
    "a gzip file": (
        lambda keep, folder: open_gzip(keep, folder, b"0123456789", at=4),
        OCTETS,
        b"456789",
    ),
    "a temporary file": (
        lambda keep, folder: open_spooled(keep, b"abcdefgh", at=3),
        OCTETS,
        b"defgh",
    ),
}


def seek(file, at: int):
    file.seek(at)
    return file


@pytest.mark.parametrize("source", SIZED)
def test_a_payload_with_a_length_is_sent_with_content_length(source, tls, client, keep, tmp_path):
    make, kind, body = SIZED[source]
    payload = make(keep, tmp_path)
    with ScriptedServer.serving(OK, ssl_context=tls) as server:
        for _ in range(2):  # the second request sends the same bytes
            assert post(client, server, payload).body == b"ok"
        assert server.requests == [sized(server, kind, body)] * 2
        assert server.connections == 1


class ReIterable:
    """An object that can be iterated again."""

    def __init__(self, *items):
        self.items = items

    def __iter__(self):
        yield from self.items


class WithPayloadMethod:
    """An object of a user with a payload of its own."""

    def __payload__(self):
        return as_payload(["by ", "itself"])


def filled_pipe(keep: ExitStack, data: bytes, mode: str = "rb", buffering: int = -1):
    reading, writing = os.pipe()
    os.write(writing, data)
    os.close(writing)
    return keep.enter_context(os.fdopen(reading, mode, buffering))


def filled_socket(keep: ExitStack, data: bytes) -> socket.socket:
    ours, theirs = socket.socketpair()
    theirs.sendall(data)
    theirs.close()
    return keep.enter_context(ours)


CHUNKED = {
    "a list": (lambda keep: [b"ab", "€", bytearray(b"c")], [b"ab", b"\xe2\x82\xac", b"c"]),
    "a tuple": (lambda keep: ("a", "b"), [b"a", b"b"]),
    "a list of nothing": (lambda keep: [b"", ""], []),
    "items of any size": (lambda keep: [b"x" * 15, b"y" * 4096], [b"x" * 15, b"y" * 4096]),
    "a deque": (lambda keep: collections.deque([b"a", b"b"]), [b"a", b"b"]),
    "the values of a dict": (lambda keep: {1: b"a", 2: b"b"}.values(), [b"a", b"b"]),
    "an object that can be iterated again": (lambda keep: ReIterable(b"a", b"b"), [b"a", b"b"]),
    "a generator": (lambda keep: (item for item in (b"a", "b")), [b"a", b"b"]),
    "a generator of nothing": (lambda keep: iter(()), []),
    "an iterator": (lambda keep: map(str, [1, 22]), [b"1", b"22"]),
    "views": (
        lambda keep: [memoryview(b"abcd")[::2], array.array("H", [0x4141])],
        [b"ac", b"AA"],
    ),
    "a callable": (lambda keep: lambda: (b"a" for _ in range(2)), [b"a", b"a"]),
    "a callable that returns bytes": (lambda keep: lambda: b"whole", [b"whole"]),
    "an object of a user": (lambda keep: WithPayloadMethod(), [b"by ", b"itself"]),
    "R07 an object with only read()": (lambda keep: OnlyRead(b"ab", "c"), [b"ab", b"c"]),
    "text that can seek": (
        lambda keep: io.TextIOWrapper(io.BytesIO("grüße".encode("utf-16")), "utf-16"),
        ["grüße".encode()],
    ),
    "P02 a pipe": (lambda keep: filled_pipe(keep, b"piped"), [b"piped"]),
    "P02 a pipe without a buffer": (lambda keep: filled_pipe(keep, b"a", "rb", 0), [b"a"]),
    "P02 a pipe of text": (lambda keep: filled_pipe(keep, b"\xff\r\n", "r"), [b"\xff\r\n"]),
    "P02 an empty pipe": (lambda keep: filled_pipe(keep, b""), []),
    "P02 a socket": (lambda keep: filled_socket(keep, b"got"), [b"got"]),
    "P02 a socket's file": (
        lambda keep: keep.enter_context(filled_socket(keep, b"got").makefile("rb")),
        [b"got"],
    ),
}


@pytest.mark.parametrize("source", CHUNKED)
def test_a_payload_without_a_length_is_sent_chunked(source, tls, client, keep):
    make, parts = CHUNKED[source]
    with ScriptedServer.serving(OK, ssl_context=tls) as server:
        assert post(client, server, make(keep)).body == b"ok"
        assert post(client, server, b"next").body == b"ok"
        first, second = server.requests
        assert first == chunked(server, OCTETS, *parts)
        assert second == sized(server, OCTETS, b"next")
        assert server.connections == 1


@pytest.mark.skipif(not os.path.exists("/proc/version"), reason="there is no /proc")
@pytest.mark.parametrize("how", ["rb", "r", "a path"])
def test_P01_a_proc_file_has_size_0_and_its_bytes_arrive(how, tls, client):
    path = pathlib.Path("/proc/version")
    data = path.read_bytes()
    with ScriptedServer.serving(OK, ssl_context=tls) as server:
        if how == "a path":
            post(client, server, path)
        else:
            with path.open(how) as file:
                assert os.fstat(file.fileno()).st_size == 0
                post(client, server, file)
        assert server.request == chunked(server, OCTETS, data)


@pytest.mark.skipif(not os.path.exists("/proc/cpuinfo"), reason="there is no /proc")
def test_P01_cpuinfo_arrives_in_chunks(client):
    with ScriptedServer.serving(OK) as server, open("/proc/cpuinfo", "rb") as file:
        post(client, server, file)
        fields = (f"Content-Type: {OCTETS}", "Transfer-Encoding: chunked")
        assert head_of(server.request) == message(server, *fields)
        # Its clock rates change, so only its lines are compared.
        assert dechunk(body_of(server.request)).count(b"\n") == count_lines("/proc/cpuinfo")


def count_lines(path: str) -> int:
    with open(path, "rb") as file:
        return sum(1 for _ in file)


# Lazy sources: the first bytes are sent before there are others


class Source:
    """A source: one end that a request reads, and one that the test writes to."""

    def __init__(self, keep: ExitStack, kind: str, folder: pathlib.Path) -> None:
        self._file = None
        if kind == "a FIFO":
            self.reader = folder / "fifo"
            os.mkfifo(self.reader)
            return
        if kind.startswith("a socket"):
            ours, theirs = socket.socketpair()
            keep.enter_context(ours)
            self._file = keep.enter_context(theirs.makefile("wb", 0))
            theirs.close()
            self.reader = ours if kind == "a socket" else keep.enter_context(ours.makefile("rb"))
            return
        reading, writing = os.pipe()
        self._file = keep.enter_context(os.fdopen(writing, "wb", 0))
        mode, buffering = {"a pipe": ("rb", 0), "buffered": ("rb", -1), "text": ("r", -1)}[kind]
        self.reader = keep.enter_context(os.fdopen(reading, mode, buffering))

    def write(self, data: bytes) -> None:
        if self._file is None:
            self._file = self.reader.open("wb", 0)
        self._file.write(data)

    def close(self) -> None:
        self._file.close()


SOURCES = ["a pipe", "buffered", "text", "a socket", "a socket's file", "a FIFO"]


@pytest.mark.parametrize("kind", SOURCES)
def test_P02_the_first_bytes_are_sent_before_the_writer_closes(kind, tls, client, keep, tmp_path):
    source = Source(keep, kind, tmp_path)
    received = threading.Event()

    def write() -> None:
        source.write(b"first\n")
        assert received.wait(HANG_BOUND)
        source.write(b"second\n")
        source.close()

    def script(peer: Peer) -> None:
        peer.read_until(chunks(b"first\n"))
        received.set()
        peer.read_until(LAST_CHUNK)
        peer.send(OK)

    with ScriptedServer(script, ssl_context=tls) as server:
        with beside(write):
            assert post(client, server, source.reader).body == b"ok"
        assert server.wire == [chunked(server, OCTETS, b"first\n", b"second\n")]


def test_P02_standard_input_is_sent_before_it_ends(keep):
    program = (
        "import restkit, sys\n"
        "answer = restkit.request(sys.argv[1], 'POST', sys.stdin.buffer)\n"
        "sys.stdout.write(answer.text)\n"
    )
    received = threading.Event()

    def script(peer: Peer) -> None:
        peer.read_until(chunks(b"first\n"))
        received.set()
        peer.read_until(LAST_CHUNK)
        peer.send(OK)

    path = os.pathsep.join(os.path.abspath(entry) for entry in sys.path)
    with ScriptedServer(script) as server:
        with subprocess.Popen(
            [sys.executable, "-c", program, server.url()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": path},
        ) as process:
            try:
                process.stdin.write(b"first\n")
                process.stdin.flush()
                assert received.wait(HANG_BOUND)
                output, _ = process.communicate(b"second\n", HANG_BOUND)
            except BaseException:
                process.kill()
                raise
        assert (process.returncode, output) == (0, b"ok")
        assert body_of(server.wire[0]) == chunks(b"first\n", b"second\n") + LAST_CHUNK


@pytest.mark.parametrize("kind", SOURCES)
def test_Z03_all_bytes_of_a_source_are_sent_while_it_pauses(kind, tls, client, keep, tmp_path):
    source = Source(keep, kind, tmp_path)
    data = os.urandom(MIB)
    received = threading.Event()

    def write() -> None:
        view = memoryview(data)
        for at in range(0, MIB, 1000):
            source.write(view[at : at + 1000])
        assert received.wait(HANG_BOUND)
        source.close()

    def script(peer: Peer) -> None:
        # All bytes arrive, framing included: nothing is held back to wait for more.
        peer.read_head()
        peer.read_exactly(MIB)
        received.set()
        peer.read_until(b"\r\n" + LAST_CHUNK)
        peer.send(OK)

    with ScriptedServer(script, ssl_context=tls) as server:
        with beside(write):
            assert post(client, server, source.reader).status == 200
        assert dechunk(body_of(server.wire[0])) == data


def test_R06_an_item_is_sent_before_the_next_is_made(tls, client):
    received = [threading.Event() for _ in range(3)]

    def items() -> Iterator[str]:
        for number, event in enumerate(received):
            yield f"item {number}"
            assert event.wait(HANG_BOUND)

    def script(peer: Peer) -> None:
        for number, event in enumerate(received):
            peer.read_until(chunks(b"item %d" % number))
            event.set()
        peer.read_until(LAST_CHUNK)
        peer.send(OK)

    with ScriptedServer(script, ssl_context=tls) as server:
        assert post(client, server, items()).body == b"ok"
        assert server.wire == [chunked(server, OCTETS, b"item 0", b"item 1", b"item 2")]


def test_R06_the_head_is_sent_before_a_generator_makes_its_first_item(tls, client):
    received = threading.Event()

    def items() -> Iterator[str]:
        assert received.wait(HANG_BOUND)
        yield "item"

    def script(peer: Peer) -> None:
        peer.read_head()
        received.set()
        peer.read_until(LAST_CHUNK)
        peer.send(OK)

    with ScriptedServer(script, ssl_context=tls) as server:
        assert post(client, server, items()).body == b"ok"


# Large payloads, and a server that reads slowly

PATTERN = bytes(range(251)) * 20_000  # a prime length: misplaced bytes are noticed


def refill_buffer(view: bool) -> Iterator[object]:
    """Yield one buffer that is filled again for each item, as readers with readinto() do."""
    buffer = bytearray(100_003)
    for at in range(0, len(PATTERN), len(buffer)):
        part = PATTERN[at : at + len(buffer)]
        buffer[: len(part)] = part
        whole = len(part) == len(buffer)
        yield buffer if whole and not view else memoryview(buffer)[: len(part)]


BIG = {
    "bytes": lambda: PATTERN,
    "a bytearray": lambda: bytearray(PATTERN),
    "a view": lambda: memoryview(b"-" + PATTERN)[1:],
    "items": lambda: [PATTERN[:1], PATTERN[1:2_000_000], PATTERN[2_000_000:]],
    "small items": lambda: (PATTERN[at : at + 5003] for at in range(0, len(PATTERN), 5003)),
    "a refilled buffer": lambda: refill_buffer(view=False),
    "a refilled view": lambda: refill_buffer(view=True),
    "bytes in memory": lambda: io.BytesIO(PATTERN),
}


@pytest.mark.parametrize("headers", [{}, {"Content-Length": len(PATTERN)}], ids=["", "declared"])
@pytest.mark.parametrize("source", BIG)
def test_a_large_payload_is_sent_whole_to_a_slow_server(source, headers, tls, client):
    def script(peer: Peer) -> None:
        head = peer.read_head()
        until_polling(threading.main_thread())  # nothing can be sent any more
        peer.read_body(head)
        peer.send(OK)

    with ScriptedServer(script, receive_buffer=8192, ssl_context=tls) as server:
        assert client.post(server.url(), BIG[source](), headers=headers).body == b"ok"
        assert payload_of(server.wire[0]) == PATTERN


# Errors, threads and the end of a source


@pytest.mark.parametrize("kind", ["a mapped file", "a bytearray"])
@pytest.mark.parametrize("end", ["a timeout", "a reset", "a response and a reset"])
def test_P05_a_buffer_is_released_when_its_request_has_failed(
    end, kind, tls, certs, keep, tmp_path
):
    def script(peer: Peer) -> None:
        peer.read_some(1000)
        if end == "a response and a reset":
            peer.send(OK)
        if end != "a timeout":
            until_polling(threading.main_thread())  # nothing can be sent any more
            peer.reset()
        peer.wait(over)

    over = threading.Event()
    path = write_file(tmp_path, "x", PATTERN * 4)
    owner = open_mmap(keep, path) if kind == "a mapped file" else bytearray(PATTERN * 4)
    idle = 0.4 if end == "a timeout" else HANG_BOUND
    with Client(timeout=idle, verify=certs.ca_file) as client:
        with ScriptedServer(script, receive_buffer=8192, ssl_context=tls) as server:
            with pytest.raises(TransportError) as caught:
                post(client, server, owner)
            # The error is still held, with its traceback and everything that this refers to.
            if isinstance(owner, bytearray):
                owner.clear()
            else:
                owner.close()
            assert caught.value.sent == "part"
            over.set()


def test_P06_a_missing_path_raises_the_os_error_before_any_connection(client, tmp_path):
    with ScriptedServer.serving(OK) as server:
        with pytest.raises(FileNotFoundError) as caught:
            post(client, server, tmp_path / "nothing")
        assert caught.value.filename == str(tmp_path / "nothing")
        with pytest.raises(IsADirectoryError):
            post(client, server, tmp_path)
        assert server.connections == 0


async def asynchronous():
    return b"x"


async def asynchronously():
    yield b"x"


@pytest.mark.parametrize("how", ["a coroutine", "a function", "a generator", "its function"])
def test_P09_an_asynchronous_source_raises_before_any_connection(how, client, keep):
    coroutine = asynchronous()
    keep.callback(coroutine.close)
    payload = {
        "a coroutine": coroutine,
        "a function": asynchronous,
        "a generator": asynchronously(),
        "its function": asynchronously,
    }[how]
    with ScriptedServer.serving(OK) as server:
        with pytest.raises(
            TypeError, match=r"asynchronous, .* run it in an event loop of your own"
        ):
            post(client, server, payload)
        assert server.connections == 0


def type_name(value: object) -> str:
    return type(value).__name__


@pytest.mark.parametrize("payload", [{1}, frozenset([b"a"]), 5, 1.5, True, object()], ids=type_name)
def test_P10_a_value_of_a_wrong_type_raises_before_any_connection(payload, client):
    with ScriptedServer.serving(OK) as server:
        with pytest.raises(TypeError, match=r"it can be bytes or .* an iterable of bytes or str"):
            post(client, server, payload)
        assert server.connections == 0


@pytest.mark.parametrize("wrong", [1, None, 1.5, ["a"], object()], ids=type_name)
def test_P10_an_item_of_a_wrong_type_ends_the_request_unfinished(wrong, tls, client):
    with ScriptedServer(Peer.read_to_end, ssl_context=tls) as server:
        with pytest.raises(TypeError, match=r"item 1 must be bytes-like or str; got"):
            post(client, server, iter([b"ab", wrong]))
        server.join()
        assert body_of(server.wire[0]) == chunks(b"ab")


MANY = {
    "bytes": lambda keep, folder: PATTERN,
    "a bytearray": lambda keep, folder: bytearray(PATTERN),
    "a list": lambda keep, folder: [PATTERN[:9], PATTERN[9:]],
    "a callable": lambda keep, folder: lambda: refill_buffer(view=True),
    "a seekable object": lambda keep, folder: as_payload(
        open_gzip(keep, folder, b"--" + PATTERN, 2)
    ),
}


@pytest.mark.parametrize("source", MANY)
def test_P13_several_threads_send_one_payload_whole(source, tls, client, keep, tmp_path):
    payload = MANY[source](keep, tmp_path)
    with ScriptedServer.serving(OK, ssl_context=tls) as server:
        start = threading.Barrier(3)

        def work() -> None:
            start.wait(HANG_BOUND)
            assert post(client, server, payload).body == b"ok"

        with beside(work), beside(work), beside(work):
            pass
        assert [payload_of(request) == PATTERN for request in server.requests] == [True] * 3
        assert server.connections == 3


@pytest.mark.parametrize("ending", ["whole", "refused", "reset"])
def test_P15_files_stay_open_and_generators_are_closed(ending, client, keep, tmp_path):
    def script(peer: Peer) -> None:
        if ending == "whole":
            peer.read_request()
            peer.send(OK)
        else:
            peer.read_head()
            if ending == "refused":
                peer.send(response(status="403 Forbidden"))
                peer.read_to_end()
            peer.reset()

    closed = []

    def items() -> Iterator[bytes]:
        try:
            yield from [PATTERN[:MIB]] * 5
        finally:
            closed.append(True)

    path = write_file(tmp_path, "x", PATTERN)
    files = [
        open_file(keep, path),
        open_file(keep, path, "r", encoding="latin-1"),
        open_file(keep, path, buffering=0),
        io.BytesIO(PATTERN),
        open_gzip(keep, tmp_path, PATTERN, 0),
    ]
    before = descriptors()
    with ScriptedServer(script) as server:
        for payload in (*files, path, items()):
            with suppress(TransportError):
                assert (post(client, server, payload).status == 200) is (ending == "whole")
    assert not any(file.closed for file in files)
    assert [file.tell() for file in files] == [0] * len(files)
    assert closed == [True]
    client.close()
    assert descriptors() == before


def test_P17_a_generator_posted_twice_raises_instead_of_sending_nothing(tls, client):
    items = (item for item in ["once"])
    with ScriptedServer.serving(OK, ssl_context=tls) as server:
        assert post(client, server, items).body == b"ok"
        with pytest.raises(PayloadNotReplayable, match="has ended already"):
            post(client, server, items)
        assert server.request == chunked(server, OCTETS, b"once")


@pytest.mark.parametrize("headers", [{}, {"Content-Length": 4}], ids=["", "declared"])
def test_P17_a_one_shot_payload_that_was_sent_raises_before_a_byte_is_sent(headers, tls, client):
    payload = as_payload(iter(["once"]))
    with ScriptedServer.serving(OK, ssl_context=tls) as server:
        client.post(server.url(), payload, headers=headers)
        with pytest.raises(PayloadNotReplayable, match="can be sent once") as caught:
            client.post(server.url(), payload, headers=headers)
        assert caught.value.sent == "nothing"
        assert caught.value.request.payload is payload
        client.close()
        server.join()
        assert server.wire == server.requests
        assert len(server.requests) == 1


def read_by_iteration(keep: ExitStack, folder: pathlib.Path):
    file = open_file(keep, write_file(folder, "x.txt", b"a\nb\nc\n"), "r")
    next(file)
    return file


def read_with_byte_order_mark(keep: ExitStack, folder: pathlib.Path):
    file = open_file(
        keep, write_file(folder, "x.txt", "a\nb\n".encode("utf-16")), "r", encoding="utf-16"
    )
    file.readline()
    return file


@pytest.mark.parametrize("make", [read_by_iteration, read_with_byte_order_mark])
def test_P18_text_without_a_byte_position_raises_before_any_connection(
    make, client, keep, tmp_path
):
    with ScriptedServer.serving(OK) as server:
        with pytest.raises(PayloadError, match="open it with 'rb'"):
            post(client, server, make(keep, tmp_path))
        assert server.connections == 0


def test_P20_a_cursor_is_read_on_the_thread_that_made_it(tls, client):
    def work() -> None:
        database = sqlite3.connect(":memory:")
        try:
            database.execute("create table numbers (number)")
            database.executemany("insert into numbers values (?)", [(n,) for n in range(3)])
            cursor = database.execute("select number from numbers order by number")
            assert post(client, server, (f"{number}\n" for (number,) in cursor)).body == b"ok"
        finally:
            database.close()

    with ScriptedServer.serving(OK, ssl_context=tls) as server:
        with beside(work):
            pass
        work()
        rows = chunked(server, OCTETS, b"0\n", b"1\n", b"2\n")
        assert server.requests == [rows, rows]


class Watched(Payload):
    """A payload that records the threads on which it is called."""

    def __init__(self):
        self.threads = set()
        self.headers = [("X-Kind", "watched"), ("Content-Type", "text/x-watched")]

    def chunks(self):
        try:
            for number in range(200):
                self.threads.add(threading.get_ident())
                yield b"%d" % number * 5000
        finally:
            self.threads.add(threading.get_ident())

    def trailers(self):
        self.threads.add(threading.get_ident())
        return [("X-Sum", "200"), ("X-Other", "é")]


def test_a_payload_of_a_user_is_called_only_on_the_thread_of_the_caller(tls, client):
    payload = Watched()
    with ScriptedServer.serving(OK, ssl_context=tls) as server:
        assert post(client, server, payload).body == b"ok"
        assert payload.threads == {threading.get_ident()}
        fields = ("X-Kind: watched", "Content-Type: text/x-watched", "Transfer-Encoding: chunked")
        parts = [b"%d" % number * 5000 for number in range(200)]
        trailers = b"0\r\nX-Sum: 200\r\nX-Other: \xe9\r\n\r\n"
        assert server.request == message(server, *fields, body=chunks(*parts) + trailers)


def test_a_source_may_use_the_client_that_sends_it(tls, client):
    def fetched() -> Iterator[bytes]:
        for number in range(3):
            yield client.get(server.url(f"/{number}")).body

    with ScriptedServer.serving(response(b"part"), ssl_context=tls) as server:
        post(client, server, b"a connection is idle when the outer request begins")
        assert post(client, server, fetched()).body == b"part"
        assert server.requests[-1] == chunked(server, OCTETS, b"part", b"part", b"part")
        assert [request[:6] for request in server.requests[1:-1]] == [
            b"GET /0",
            b"GET /1",
            b"GET /2",
        ]
        assert server.connections == 2
