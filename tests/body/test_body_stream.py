"""A body that is read live, in one pass and without a copy; skipped; or saved."""

from __future__ import annotations

import io
import itertools
import os
import pickle
import random
import signal
import stat
import threading
import time
import traceback
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from restkit import (
    AlreadyRead,
    Client,
    RequestError,
    Timeout,
    TransportError,
    UnexpectedEOF,
    as_payload,
)
from restkit.body.body import Body
from restkit.io.spool import Spool
from support import ClientGone, ScriptedServer, chunks, response
from support.answers import BROKEN, FRAMINGS, answered, giving, no_file_over
from support.memory import MIB, open_descriptors, peak_memory
from support.peer import HANG_BOUND

BODY = b"a line\n" * 30_000
KEEPS_OPEN = {"then": lambda peer: peer.read_to_end()}  # only the client can close the connection
EVERY_FRAMING = pytest.mark.parametrize("framing", FRAMINGS)


def send_in_parts(framing, body=BODY):
    """Return a script that sends the head with some of the body, and then the rest."""
    whole = FRAMINGS[framing](body)
    return giving(whole[:300], whole[300:9000], whole[9000:])


# Bytes as they arrive


def test_S01_the_first_chunk_is_yielded_before_the_second_is_sent():
    go = threading.Event()
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    script = giving(head + chunks(b"abc"), chunks(b"defg") + b"0\r\n\r\n", go=go)
    with answered(script) as got:
        items = iter(got.payload_stream)
        first = next(items)
        assert first == b"abc"
        go.set()
        assert first + b"".join(items) == b"abcdefg"


@pytest.mark.parametrize(
    ("answer", "method"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n", "HEAD"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "HEAD"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\nContent-Encoding: gzip\r\n\r\n", "HEAD"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", "GET"),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 10\r\n\r\n", "GET"),
        (response(b""), "GET"),
        (response(b"", "Content-Encoding: gzip"), "POST"),
    ],
)
def test_S02_a_response_without_a_body_has_no_payload_stream(answer, method):
    with answered(answer, method) as got:
        assert got.payload_stream is None
        assert got.body == b""
        assert got.body_file.read() == b""
        assert got.body_stream().read() == b""
        assert got.text == ""
        assert list(got.iter_lines()) == list(got.iter_blocks()) == []
        got.body_file.seek(0, 2)
        assert got.body_file.tell() == 0


@EVERY_FRAMING
def test_payload_stream_yields_the_body_as_bytes(framing):
    with answered(send_in_parts(framing)) as got:
        items = list(got.payload_stream)
        assert all(type(item) is bytes and item for item in items)
        assert b"".join(items) == BODY


def test_an_empty_chunked_body_yields_nothing():
    with answered(FRAMINGS["chunks"](b"")) as got:
        assert list(got.payload_stream) == []


@EVERY_FRAMING
def test_body_stream_is_a_file_that_cannot_seek(framing):
    with answered(send_in_parts(framing)) as got, got.body_stream() as stream:
        assert stream.read(3) == BODY[:3]
        assert stream.peek(1)[:1] == b"i"
        assert stream.readline() == b"ine\n"
        assert stream.readlines(7) == [b"a line\n"] * 2
        assert next(stream) == b"a line\n"
        buffer = bytearray(10)
        assert (stream.readinto(buffer), buffer) == (10, b"a line\na l")
        assert (stream.readable(), stream.seekable(), stream.writable()) == (True, False, False)
        with pytest.raises(io.UnsupportedOperation):
            stream.seek(0)
        assert stream.raw.readinto(bytearray()) == 0
        assert b"".join(stream) == BODY[38:]
        assert stream.read() == stream.read(1) == b""


def test_body_stream_is_read_as_text_through_a_wrapper():
    with answered(send_in_parts("chunks", "grün\r\n€".encode() * 1000)) as got:
        lines = list(io.TextIOWrapper(got.body_stream(), "utf-8", newline=None))
    assert lines == ["grün\n", *["€grün\n"] * 999, "€"]


def test_body_stream_returns_the_first_bytes_before_the_body_is_complete():
    go = threading.Event()
    whole = response(b"x" * 1000)
    with answered(giving(whole[:100], whole[100:], go=go), eager_body=0) as got:
        stream = got.body_stream()
        assert stream.read1(10) == b"x" * 10
        go.set()
        assert stream.read() == b"x" * 990


@EVERY_FRAMING
def test_payload_stream_without_decompression_yields_the_sent_bytes(framing):
    whole = FRAMINGS[framing](BODY)
    with answered(send_in_parts(framing), decompress=False) as got:
        came = b"".join(got.payload_stream)
    if framing == "gzip":
        assert whole.endswith(came)
        assert came.startswith(b"\x1f\x8b")
    elif framing != "gzip in chunks":
        assert came == BODY


@pytest.mark.parametrize("read", ["body", "body_file", "payload_stream", "body_stream", "save"])
@pytest.mark.parametrize("framing", ["length", "chunks", "gzip"])
def test_bytes_received_while_sending_are_read_first(framing, read):
    whole = FRAMINGS[framing](BODY)
    read_payload = threading.Event()

    def script(peer):
        peer.read_head()
        peer.send(whole[: len(whole) // 2])
        read_payload.set()
        while peer.read_some() and not peer.wire.endswith(b"0\r\n\r\n"):
            pass
        peer.send(whole[len(whole) // 2 :])

    def rows():
        for _ in range(50):
            yield b"row" * 1000
        assert read_payload.wait(10)
        for _ in range(50):
            yield b"row" * 1000

    views = {**SPOOLED, **LIVE}
    with ScriptedServer(script) as server, Client(timeout=10, spool_size=1000) as client:
        with client.post(server.url(), rows()) as got:
            assert views[read](got) == BODY


def test_bytes_received_while_sending_are_released_with_the_response():
    def script(peer):
        peer.read_head()
        peer.send(response(b"x" * 50_000))  # less than fits into the buffers of a connection
        read_payload.set()
        while peer.read_some() and not peer.wire.endswith(b"0\r\n\r\n"):
            pass

    def rows():
        yield b"row"
        assert read_payload.wait(10)
        for _ in range(100):
            yield b"row" * 10_000

    read_payload = threading.Event()
    before = open_descriptors()
    with ScriptedServer(script) as server, Client(timeout=10, spool_size=1000) as client:
        got = client.post(server.url(), rows())
    got.close()
    assert got.body == b"x" * 50_000  # received whole, in a file
    assert open_descriptors() > before
    del got
    assert open_descriptors() == before


# The first read decides


def read_payload(payload):
    return b"".join(bytes(chunk) for chunk in as_payload(payload))


SPOOLED = {
    "body": lambda got: got.body,
    "text": lambda got: got.text.encode(),
    "body_file": lambda got: (got.body_file.seek(0), got.body_file.read())[1],
    "tee": lambda got: got.tee().read(),
    "iter_blocks": lambda got: b"".join(got.iter_blocks(1000)),
    "iter_lines": lambda got: b"".join(line + b"\n" for line in got.iter_lines()),
    "payload of body_file": lambda got: read_payload(got.tee()),
    "pickle": lambda got: pickle.loads(pickle.dumps(got)).body,
}


def save_to_memory(got):
    file = io.BytesIO()
    assert got.save(file) == len(file.getvalue())
    return file.getvalue()


LIVE = {
    "payload_stream": lambda got: b"".join(got.payload_stream),
    "body_stream": lambda got: got.body_stream().read(),
    "save": save_to_memory,
    "payload of the response": read_payload,
    "payload of payload_stream": lambda got: read_payload(got.payload_stream),
}
RESPONSES = {
    "whole with its head": response(BODY[:700]),
    "in parts": send_in_parts("length", BODY[:70_000]),
    "in chunks": send_in_parts("chunks", BODY[:70_000]),
    "gzip": FRAMINGS["gzip"](BODY[:700]),
}
EVERY_RESPONSE = pytest.mark.parametrize("answer", RESPONSES)


@EVERY_RESPONSE
@pytest.mark.parametrize("first", SPOOLED)
def test_R12_a_spooled_body_can_be_read_in_every_other_way(answer, first):
    with answered(RESPONSES[answer]) as got:
        body = SPOOLED[first](got)
        assert body == BODY[: len(body)]
        assert len(body) in (700, 70_000)
        for read in (*SPOOLED.values(), *LIVE.values(), *SPOOLED.values()):
            assert got.can_read()
            assert read(got) == body


@EVERY_RESPONSE
@pytest.mark.parametrize("first", LIVE)
def test_R26_a_body_that_was_read_live_cannot_be_read_again(answer, first):
    with answered(RESPONSES[answer]) as got:
        body = LIVE[first](got)
        assert body == BODY[: len(body)]
        assert len(body) in (700, 70_000)
        assert not got.can_read()
        for read in ({**SPOOLED, **LIVE}).values():
            if read is SPOOLED["pickle"]:
                continue  # the head is pickled all the same; test_response checks the body
            with pytest.raises(AlreadyRead, match="was read live"):
                read(got)


@EVERY_RESPONSE
def test_a_view_that_is_not_read_claims_nothing(answer):
    with answered(RESPONSES[answer]) as got:
        assert got.payload_stream is not None
        iter(got.payload_stream)
        as_payload(got)
        as_payload(got.payload_stream)
        with got.body_stream(), got.body_file, got.tee():
            pass
        assert got.can_read()
        assert b"".join(got.payload_stream) in (BODY[:700], BODY[:70_000])


def test_a_live_reader_excludes_other_readers_to_the_end():
    with answered(send_in_parts("length")) as got:
        first = iter(got.payload_stream)
        began = next(first)
        for other in (lambda: got.body, lambda: next(iter(got.payload_stream)), got.body_file.read):
            with pytest.raises(AlreadyRead):
                other()
        assert began + b"".join(first) == BODY


def test_a_stream_over_a_partly_spooled_body_continues_live():
    with answered(send_in_parts("length", b"0123456789" * MIB)) as got:
        assert got.body_file.read(7) == b"0123456"
        stream = got.body_stream()
        assert stream.read(12) == b"012345678901"
        assert got.body_file.read(13) == b"7890123456789"
        assert sum(map(len, stream)) == 10 * MIB - 12
        got.body_file.seek(3)
        assert got.body_file.read(10) == b"3456789012"  # the spooled part is kept
        got.body_file.seek(0)
        with pytest.raises(AlreadyRead, match="was read live"):
            got.body_file.read()
        with pytest.raises(AlreadyRead, match="was read live"):
            got.body_stream().read()
        assert not got.can_read()


def test_several_streams_read_the_spooled_part_of_a_body():
    with answered(send_in_parts("length", b"0123456789" * MIB)) as got:
        got.body_file.read(7)
        one, other = got.body_stream(), got.body_stream()
        assert (one.read1(5), other.read1(5)) == (b"01234", b"01234")
        one.close()
        assert got.can_read()
        assert got.body == b"0123456789" * MIB
        assert other.read(5) == b"56789"


CALLS = st.one_of(
    st.sampled_from([("tee",), ("stream",), ("chunks",), ("body",), ("save",), ("payload",)]),
    st.tuples(st.just("read"), st.integers(0, 3), st.sampled_from([1, 500, 3000, 10**6])),
    st.tuples(st.sampled_from(["seek", "close"]), st.integers(0, 3), st.integers(0, 9000)),
    st.sampled_from([("skip",), ("leave",)]),
)


@pytest.mark.parametrize("framing", ["length", "gzip in chunks", "broken"])
def test_any_calls_of_several_readers_return_the_right_bytes_or_raise(framing):
    body = random.Random(1).randbytes(8000)
    whole = FRAMINGS["length" if framing == "broken" else framing](body)
    short = framing == "broken"

    def script(peer):
        peer.without_delay()
        while peer.next_request():
            peer.send(whole[:1000], whole[1000:2500], whole[2500 : -100 if short else None])
            if short:
                return

    with ScriptedServer(script) as server, Client(timeout=10) as client:

        @given(st.lists(CALLS, max_size=12), st.sampled_from([0, 2000, 10**6]))
        @settings(max_examples=60)
        def assert_right_or_raises(calls, spool_size):
            with client.get(server.url(), spool_size=spool_size) as got:
                readers = []
                for call in calls:
                    with suppress(AlreadyRead, *([UnexpectedEOF] if short else [])):
                        make_call(got, readers, body, *call)

        assert_right_or_raises()


class Reader:
    """A view, and the position from which its next bytes must come."""

    def __init__(self, view, body):
        self.view, self.body, self.at = view, body, 0
        self.closed = False

    def read(self, size):
        if self.closed:
            return
        is_file = hasattr(self.view, "read1")
        came = self.view.read1(size) if is_file else next(self.view, b"")
        assert came == self.body[self.at : self.at + len(came)]
        # b"" is the end; a generator that has raised is at its end too.
        assert came or self.at >= len(self.body) or not is_file
        self.at += len(came)

    def seek(self, place):
        if not self.closed and hasattr(self.view, "seek") and self.view.seekable():
            self.at = self.view.seek(place)

    def close(self, _):
        self.closed = True
        self.view.close()


VIEWS = {
    "tee": lambda got: got.tee(),
    "stream": lambda got: got.body_stream(),
    "chunks": lambda got: iter(got.payload_stream),
}
WHOLE = {"body": lambda got: got.body, "save": save_to_memory, "payload": read_payload}


def make_call(got, readers, body, what, number=0, argument=0):
    if what in VIEWS:
        readers.append(Reader(VIEWS[what](got), body))
    elif what in WHOLE:
        assert WHOLE[what](got) == body
    elif what == "skip":
        got.skip_body()
    elif what == "leave":
        got.close()
    elif number < len(readers):
        getattr(readers[number], what)(argument)


def test_closing_a_stream_that_has_read_past_the_spool_closes_the_connection():
    script = giving(response(b"0123456789" * MIB), **KEEPS_OPEN)
    with ScriptedServer(script) as server, Client() as client:
        got = client.get(server.url())
        got.body_file.read(7)
        with got.body_stream() as stream:
            stream.read(5 * MIB)
        server.until(lambda: server.peers[0].finished, "the end of the connection")
        with pytest.raises(AlreadyRead):
            got.body_stream().read()


def test_a_live_reader_that_lost_bytes_in_an_interrupt_raises():
    class Letters:
        """A source that returns one letter at a time."""

        def __init__(self):
            self.left = list(b"abcdef")

        def readinto(self, view):
            view[0] = self.left.pop(0)
            return 1

        def read_chunk(self):
            return bytes([self.left.pop(0)])

        def close(self):
            pass

    body, reader, view = Body(Spool(), Letters()), object(), memoryview(bytearray(1))
    for at in range(2):
        assert body.read_live_into(reader, at, view) == 1
    for read in (
        lambda: body.read_live_into(reader, 1, view),
        lambda: body.read_live_chunk(reader, 1),
    ):
        with pytest.raises(AlreadyRead):  # not "c" in place of "b"
            read()
    assert body.read_live_chunk(reader, 2) == b"c"


@pytest.mark.parametrize("count", [128, pytest.param(1024, marks=pytest.mark.slow)])
@pytest.mark.parametrize("live", [False, True])
def test_R26_bulk_is_read_live_in_little_memory(live, count):
    block = bytes(range(256)) * 4096

    def script(peer):
        peer.read_request()
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (count * len(block)))
        for _ in range(count):
            peer.send(block)

    read = "for chunk in r.payload_stream: result += len(chunk)"
    if live:
        read = "stream = r.body_stream()\nwhile n := stream.readinto(buffer): result += n"
    with ScriptedServer(script) as server:
        cost = peak_memory(
            "import restkit; result = 0; buffer = bytearray(1 << 18)",
            f"r = restkit.get(url)\n{read}\nr.close()",
            url=server.url(),
        )
    assert cost.result == count * len(block)
    assert cost.growth < 16 * MIB


# The connection


@EVERY_FRAMING
@pytest.mark.parametrize("read", [*LIVE.values(), SPOOLED["body_file"]], ids=[*LIVE, "body_file"])
def test_R22_a_body_read_to_its_end_releases_its_connection(framing, read):
    def script(peer):
        peer.without_delay()
        while peer.next_request():
            whole = FRAMINGS[framing](BODY)
            peer.send(whole[:300], whole[300:])
            if framing == "to the end":
                return

    with ScriptedServer(script) as server, Client(timeout=10) as client:
        responses = []
        for _ in range(3):
            responses.append(client.get(server.url()))  # not closed
            assert read(responses[-1]) == BODY
        assert server.connections == (3 if framing == "to the end" else 1)


def test_S34_an_endless_body_is_left_after_one_chunk_and_the_next_request_works():
    def endless(peer):
        peer.read_request()
        peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in itertools.count():
            peer.send(chunks(b"x" * 1000))

    def other(peer):
        while peer.next_request():
            peer.send(response(b"next"))

    with ScriptedServer(endless, other) as server, Client(timeout=10) as client:
        with client.get(server.url()) as got:
            for chunk in got.payload_stream:
                assert chunk.strip(b"x") == b""
                break
        assert client.get(server.url()).body == b"next"
        server.until(lambda: server.peers[0].finished, "the end of the endless body")
        with pytest.raises(AlreadyRead, match="closed"):
            got.body_file.read()


@pytest.mark.parametrize("leave", ["stream", "response", "drop"])
def test_leaving_a_body_half_read_closes_its_connection(leave):
    script = giving(response(b"x" * (8 * MIB)), **KEEPS_OPEN)
    with ScriptedServer(script) as server, Client() as client:
        got = client.get(server.url())
        stream = got.body_stream()
        stream.read(10)
        if leave == "stream":
            stream.close()
            stream.close()
        elif leave == "response":
            got.close()
            got.close()
        else:
            del got, stream
        server.until(lambda: server.peers[0].finished, "the end of the connection")
        assert repr(client) == "<Client, 0 idle connections>"


class Interrupted(BaseException):
    """Like KeyboardInterrupt, which pytest handles in its own way."""


@pytest.fixture
def interrupts():
    """Yield a signal that interrupts a thread only while it waits for a body."""

    def interrupt(number, frame):
        rooms = [os.path.basename(at.f_code.co_filename) for at, _ in traceback.walk_stack(frame)]
        if rooms[0] == "transport.py" and "body.py" in rooms:
            raise Interrupted

    before = signal.signal(signal.SIGUSR1, interrupt)
    yield signal.SIGUSR1
    signal.signal(signal.SIGUSR1, before)


@pytest.mark.parametrize("live", [False, True])
@pytest.mark.posix("its handler interrupts poll only")
def test_an_interrupted_read_raises_and_the_body_is_never_short(live, interrupts):
    over = threading.Event()

    def script(peer):
        peer.read_request()
        peer.send(response(b"x" * 100)[:-40])
        while not over.is_set():
            os.kill(os.getpid(), interrupts)
            peer.pause(0.01)

    with answered(script, eager_body=0) as got:
        read = got.body_stream().read if live else got.body_file.read
        with pytest.raises(Interrupted):
            read()
        over.set()
        for _ in range(2):
            with pytest.raises(TransportError, match="interrupted"):
                read()
            with pytest.raises(TransportError, match="interrupted"):
                assert not got.body


# Skipping


@pytest.mark.parametrize(
    ("rest", "reused"), [(10, True), (200_000, True), (300_000, False), (10**9, False)]
)
def test_skip_body_reads_a_short_rest_and_closes_before_a_long_one(rest, reused):
    def script(peer):
        while peer.next_request():
            peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % rest)
            for at in range(0, rest, 10_000):
                peer.send(b"x" * min(10_000, rest - at))

    with ScriptedServer(script) as server, Client(timeout=10) as client:
        for _ in range(2):
            client.get(server.url()).skip_body()
        assert server.connections == (1 if reused else 2)


def test_skip_body_of_an_endless_body_ends():
    def script(peer):
        peer.read_request()
        peer.send(b"HTTP/1.1 200 OK\r\n\r\n")
        for _ in itertools.count():
            peer.send(b"x" * 10_000)

    with answered(script) as got:
        got.skip_body()
        with pytest.raises(AlreadyRead):
            got.body_file.read()


def drip_redirect(peer):
    """Send a redirect whose body arrives byte by byte and never ends."""
    peer.read_head()
    peer.without_delay()
    peer.send(b"HTTP/1.1 302 Found\r\nLocation: /there\r\nContent-Length: 200000\r\n\r\n")
    with suppress(ClientGone):
        while True:
            peer.pause(0.1)
            peer.send(b"x")


@pytest.mark.parametrize("total", [None, HANG_BOUND])
def test_skip_body_of_a_dripping_body_ends_soon(total, tls, client):
    timeout = Timeout(connect=HANG_BOUND, idle=HANG_BOUND, total=total)
    with ScriptedServer(drip_redirect, send_in_parts("length"), ssl_context=tls) as server:
        got = client.get(server.url(), follow_redirect=False, timeout=timeout)
        began = time.monotonic()
        got.skip_body()
        assert time.monotonic() - began < HANG_BOUND / 2
        server.join()  # the client has closed
    with ScriptedServer(drip_redirect, send_in_parts("length"), ssl_context=tls) as server:
        assert client.get(server.url(), timeout=timeout).status == 200
        assert server.connections == 2


@EVERY_RESPONSE
def test_a_skipped_body_cannot_be_read(answer):
    with answered(RESPONSES[answer]) as got:
        got.skip_body()
        got.skip_body()
        assert not got.can_read()
        with pytest.raises(AlreadyRead):
            assert not got.body


@EVERY_RESPONSE
def test_skip_body_keeps_a_body_that_was_read_whole(answer):
    with answered(RESPONSES[answer]) as got:
        body = got.body
        got.skip_body()
        assert got.can_read()
        assert got.body == got.body_file.read() == body


def test_can_read_shows_whether_the_body_can_be_read_from_its_beginning():
    with answered(send_in_parts("length")) as got:
        assert got.can_read()
        got.body_file.read(10)
        assert got.can_read()
    assert not got.can_read()
    with answered(send_in_parts("length")) as unread:
        pass
    assert not unread.can_read()
    with pytest.raises(AlreadyRead, match="closed"):
        assert not unread.body
    with answered(response(b"small")) as small:
        pass
    assert small.can_read()
    assert small.body == b"small"


def test_iter_blocks_yields_blocks_of_the_given_size():
    with answered(send_in_parts("chunks", b"0123456789" * 100)) as got:
        assert [len(block) for block in got.iter_blocks(300)] == [300, 300, 300, 100]
        assert next(got.iter_blocks()) == b"0123456789" * 100
        for size in (0, -1):
            with pytest.raises(RequestError, match="size must be"):
                got.iter_blocks(size)


# Saving


@EVERY_FRAMING
def test_an_unread_body_is_saved_without_a_spool(framing, tmp_path):
    path = tmp_path / "saved"
    missing = tmp_path / "missing"  # spooling more than 10000 bytes would need it
    with answered(send_in_parts(framing), spool_size=10_000, spool_dir=missing) as got:
        assert got.save(path) == len(BODY)
        assert path.read_bytes() == BODY
        assert list(tmp_path.iterdir()) == [path]
        with pytest.raises(AlreadyRead):
            got.save(path)
    assert path.read_bytes() == BODY


def test_an_error_of_save_names_the_given_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with answered(response(b"body")) as got:
        for path in ("no/such", tmp_path / "no" / "such"):
            with pytest.raises(FileNotFoundError) as caught:
                got.save(path)
            assert (caught.value.filename, caught.value.filename2) == (str(path), None)
        assert got.save("such") == 4


def test_the_repr_of_a_live_stream_shows_its_state():
    with answered(send_in_parts("length")) as got:
        stream, file = got.payload_stream, got.body_stream()
        assert repr(stream) == "<PayloadStream, not begun>"
        assert repr(file) == "<BodyStream, not begun>"
        next(iter(stream))
        assert repr(stream) == "<PayloadStream, one pass, begun>"
        assert repr(file) == "<BodyStream, one pass, begun>"
        file.close()
        assert repr(file) == "<BodyStream, closed>"
    with answered(send_in_parts("length")) as got:
        stream = got.payload_stream
        assert got.body == BODY
        assert repr(stream) == f"<PayloadStream, over {len(BODY)} bytes so far>"


@EVERY_RESPONSE
def test_a_spooled_body_can_be_saved_repeatedly(answer, tmp_path):
    with answered(RESPONSES[answer]) as got:
        got.body_file.read(10)
        for name in ("one", "two"):
            size = got.save(str(tmp_path / name))
            assert (tmp_path / name).read_bytes() == got.body == BODY[:size]


def test_save_writes_to_an_open_file_at_its_position(tmp_path):
    with (tmp_path / "log").open("wb") as file:
        file.write(b"before ")
        with answered(response(b"body")) as got:
            assert got.save(file) == 4
        assert not file.closed
        file.write(b" after")
    assert (tmp_path / "log").read_bytes() == b"before body after"


def test_save_writes_all_to_a_raw_file_that_takes_less_at_a_time():
    class Raw(io.RawIOBase):
        def __init__(self):
            self.taken = b""

        def writable(self):
            return True

        def write(self, data):
            self.taken += bytes(data[:7001])
            return min(7001, len(data))

    raw = Raw()
    with answered(send_in_parts("length")) as got:
        assert got.save(raw) == len(BODY)
    assert raw.taken == BODY


def test_save_to_a_non_blocking_file_that_is_full_raises():
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with open(reader, "rb", 0) as _, open(writer, "wb", 0) as pipe:
        with answered(send_in_parts("length", b"x" * MIB)) as got, pytest.raises(BlockingIOError):
            got.save(pipe)


@pytest.mark.parametrize("target", [io.StringIO(), 3, None, b"/tmp/x"])
def test_save_to_an_object_that_takes_no_bytes_reads_nothing(target):
    with answered(send_in_parts("length")) as got:
        with pytest.raises(TypeError):
            got.save(target)
        assert got.body == BODY


def test_save_to_a_path_that_cannot_be_written_reads_nothing(tmp_path):
    with answered(send_in_parts("length")) as got:
        with pytest.raises(FileNotFoundError):
            got.save(tmp_path / "missing" / "name")
        with pytest.raises(IsADirectoryError):
            got.save(f"{tmp_path}/new/")
        assert got.save(tmp_path / "name") == len(BODY)
    assert [path.name for path in tmp_path.iterdir()] == ["name"]


@pytest.mark.parametrize("framing", BROKEN)
def test_B04_a_body_that_breaks_off_is_not_saved_and_an_older_file_is_kept(framing, tmp_path):
    path = tmp_path / "name"
    path.write_bytes(b"older")
    for target in (path, tmp_path / "new"):
        with answered(giving(BROKEN[framing])) as got, pytest.raises(UnexpectedEOF):
            got.save(target)
    assert path.read_bytes() == b"older"
    assert list(tmp_path.iterdir()) == [path]


def test_B05_save_to_a_full_disk_leaves_nothing_and_closes_the_connection(tmp_path):
    path = tmp_path / "name"
    path.write_bytes(b"older")
    script = giving(response(b"x" * (8 * MIB)), **KEEPS_OPEN)
    with ScriptedServer(script) as server, Client() as client:
        got = client.get(server.url())
        with no_file_over(3 * MIB), pytest.raises(OSError):
            got.save(path)
        server.until(lambda: server.peers[0].finished, "the end of the connection")
        with pytest.raises(AlreadyRead):
            assert not got.body
    assert path.read_bytes() == b"older"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.posix("modes of files")
def test_a_saved_file_has_the_mode_of_open_or_of_the_older_file(tmp_path):
    (tmp_path / "opened").touch()
    usual = (tmp_path / "opened").stat().st_mode
    private = tmp_path / "private"
    private.touch(0o600)
    for path, mode in ((tmp_path / "new", usual), (private, stat.S_IFREG | 0o600)):
        with answered(response(b"body")) as got:
            got.save(path)
        assert path.stat().st_mode == mode


def test_save_to_a_link_replaces_its_target(tmp_path):
    (tmp_path / "folder").mkdir()
    real, link = tmp_path / "folder" / "real", tmp_path / "link"
    real.write_bytes(b"older")
    link.symlink_to(real)
    with answered(response(b"body")) as got:
        got.save(link)
    assert link.is_symlink()
    assert real.read_bytes() == b"body"


def test_save_to_a_device_or_pipe_writes_to_it(tmp_path):
    with answered(response(b"body")) as got:
        assert got.save(os.devnull) == 4
    assert stat.S_ISCHR(os.stat(os.devnull).st_mode)
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    with open(os.open(fifo, os.O_RDONLY | os.O_NONBLOCK), "rb") as reader:
        with answered(response(b"body")) as got:
            assert got.save(fifo) == 4
        assert reader.read() == b"body"
    assert fifo.is_fifo()


@pytest.mark.parametrize("name", ["x" * 255, "ü" * 127, "€" * 85, ".hidden", "-", "a b"])
def test_save_accepts_every_valid_file_name(name, tmp_path):
    with answered(response(b"body")) as got:
        got.save(tmp_path / name)
    assert (tmp_path / name).read_bytes() == b"body"


def test_save_to_a_bare_name_writes_to_the_current_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with answered(response(b"body")) as got:
        got.save("name")
    assert (tmp_path / "name").read_bytes() == b"body"
