"""Payloads compressed on their way: what comes out, when it leaves, and what is left behind."""

from __future__ import annotations

import gc
import gzip
import os
import random
import sqlite3
import subprocess
import sys
import textwrap
import threading
import time
import zlib
from collections.abc import Iterator
from itertools import islice
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from restkit import RequestError
from restkit.decoder import STEP, Decoder
from restkit.door import as_payload
from restkit.errors import BodyTooLarge, DecodingError, PayloadNotReplayable, TransportError
from restkit.payload import Payload
from restkit.replaying import KeptPayload
from restkit.spool import Spool
from restkit.streaming import compressors, press
from restkit.streaming import overlap as overlapping
from restkit.streaming.gzip import compressed, gunzip_stream, gzip_stream
from restkit.streaming.overlap import ALONE, Overlap
from support import ScriptedServer, field, head_of, payload_of, response
from support.beside import beside
from support.memory import MIB, peak_memory
from support.packages import with_only, without
from support.peer import HANG_BOUND, Peer

CODINGS = ("gzip", "deflate", "zstd")
OK = response(b"ok")
NOISE = random.Random(8).randbytes(3 * MIB)
WORDS = b"".join(b"line %d, with %d words\n" % (n, n * 7919 % 1000) for n in range(50_000))


@pytest.fixture(autouse=True)
def _no_flush_of_a_slow_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """No generator is flushed because the machine was slow: what is sent stays the same."""
    monkeypatch.setattr(press, "_PATIENCE", HANG_BOUND)


def as_one(source: object) -> Payload:
    payload = as_payload(source)
    assert payload is not None
    return payload


def sent(payload: Payload) -> bytes:
    """One pass. Each piece is copied while it is good, as the wire does with what it sends."""
    return b"".join(bytes(piece) for piece in payload)


def decoded(coding: str, data: bytes) -> bytes:
    decoder, found = Decoder(coding), bytearray()
    decoder.feed(data)
    while piece := decoder.produce():
        found += piece
    decoder.finish()
    return bytes(found)


def helpers() -> list[threading.Thread]:
    """The threads that compress."""
    return [thread for thread in threading.enumerate() if thread.name == "restkit-overlap"]


# What comes out


def test_Z01_a_file_as_one_gzip_member_that_gzip_restores(tmp_path):
    path = tmp_path / "noise"
    path.write_bytes(NOISE[:MIB])
    data = sent(gzip_stream(path))
    restored = subprocess.run(["gzip", "-dc"], input=data, capture_output=True, check=True)
    assert restored.stdout == NOISE[:MIB]
    member = zlib.decompressobj(31)
    assert member.decompress(data) == NOISE[:MIB]
    assert (member.eof, member.unused_data) == (True, b"")


@pytest.mark.parametrize("coding", CODINGS)
@given(pieces=st.lists(st.binary(max_size=2000)), level=st.integers(0, 9))
def test_whatever_the_pieces_they_come_back(coding, pieces, level):
    assert decoded(coding, sent(compressed(as_one(pieces), coding, level))) == b"".join(pieces)


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("size", [1, 1000, 128 * 1024, 256 * 1024, 300 * 1024, 3 * MIB])
def test_large_and_small_pieces_come_back(coding, size):
    pieces = [NOISE[at : at + size] for at in range(0, 600 * size, size)]
    payload = compressed(as_one(iter(pieces)), coding, 1)
    assert decoded(coding, sent(payload)) == b"".join(pieces)


@pytest.mark.parametrize("coding", CODINGS)
def test_a_piece_is_the_sources_again_once_the_next_is_asked_for(coding):
    buffer = bytearray(200 * 1024)

    def one_buffer() -> Iterator[bytearray]:
        for n in range(12):
            buffer[:] = bytes([n]) * len(buffer)
            yield buffer
        buffer.extend(b"it can be resized, too")

    whole = b"".join(bytes([n]) * len(buffer) for n in range(12))
    assert decoded(coding, sent(compressed(as_one(one_buffer()), coding))) == whole


@pytest.mark.parametrize("coding", CODINGS)
def test_nothing_at_all_is_a_whole_stream_of_nothing(coding):
    for source in (b"", "", [], iter(())):
        data = sent(compressed(as_one(source), coding))
        assert data
        assert decoded(coding, data) == b""


def test_Z07_deflate_is_in_zlibs_format():
    assert zlib.decompress(sent(compressed(as_one(WORDS), "deflate"))) == WORDS


def test_a_gzip_member_has_no_name_and_no_time():
    assert sent(gzip_stream(b"words"))[:8] == b"\x1f\x8b\x08\0\0\0\0\0"


def test_zstd_keeps_to_the_window_that_receivers_take():
    # By itself, level 20 uses 32 MiB; the decoder takes 8 MiB (RFC 9659).
    data = sent(compressed(as_one([WORDS[:50_000]]), "zstd", 20))
    assert decoded("zstd", data) == WORDS[:50_000]


def test_a_stream_of_zstd_has_a_checksum():
    data = bytearray(sent(compressed(as_one([NOISE[:1000]]), "zstd")))
    data[500] ^= 1
    with pytest.raises(DecodingError, match="zstd"):
        decoded("zstd", bytes(data))


@pytest.mark.parametrize("coding", CODINGS)
def test_a_level_decides_how_small(coding):
    levels = (-100, 1) if coding == "zstd" else (1, 9)
    quick, thorough = (len(sent(compressed(as_one(WORDS), coding, level))) for level in levels)
    assert thorough < quick


# What it says of itself


def test_a_gzip_stream_is_data():
    payload = gzip_stream("words")
    assert list(payload.headers) == [("Content-Type", "application/gzip")]
    assert (payload.length, payload.replayable, payload.started) == (None, True, False)
    assert repr(payload) == (
        "<CompressedPayload gzip of <TextPayload 5 bytes, replayable> of unknown length, "
        "replayable>"
    )


class Coded(Payload):
    headers = (("Content-Type", "text/csv"), ("content-encoding", "br"), ("X-Rows", "3"))

    def chunks(self) -> Iterator[bytes]:
        yield b"rows"

    def trailers(self) -> list[tuple[str, str]]:
        return [("X-Sum", "6")]


def test_a_coding_goes_behind_those_that_are_there():
    payload = compressed(Coded(), "gzip")
    assert list(payload.headers) == [
        ("Content-Type", "text/csv"),
        ("X-Rows", "3"),
        ("Content-Encoding", "br, gzip"),
    ]
    assert list(compressed(payload, "zstd").headers)[-1] == ("Content-Encoding", "br, gzip, zstd")
    assert payload.trailers() == [("X-Sum", "6")]


def test_it_can_go_again_if_its_source_can():
    again = compressed(as_one([WORDS, NOISE]), "gzip")
    assert again.replayable
    assert sent(again) == sent(again)
    once = compressed(as_one(iter([WORDS])), "gzip")
    assert not once.replayable
    sent(once)
    assert once.started
    with pytest.raises(PayloadNotReplayable):
        sent(once)
    source = as_one(iter([WORDS]))
    sent(source)
    assert compressed(source, "gzip").started


def test_gzip_stream_of_nothing_to_send_is_refused():
    for stream in (gzip_stream, gunzip_stream):
        with pytest.raises(TypeError, match="None"):
            stream(None)


@pytest.mark.parametrize(
    ("coding", "level", "said"),
    [
        ("br", None, "gzip, deflate, zstd"),
        ("gzip", 10, "gzip has the levels 0 to 9"),
        ("gzip", -1, "gzip has the levels 0 to 9"),
        ("deflate", True, "deflate has the levels 0 to 9"),
        ("zstd", 23, "zstd has the levels -131072 to 22"),
        ("gzip", "6", "level='6'"),
    ],
)
def test_what_cannot_be_chosen_is_named(coding, level, said):
    with pytest.raises(RequestError, match=said):
        compressed(as_one(b"words"), coding, level)


def test_without_its_package_zstd_is_an_error_that_names_it():
    with (
        without("compression.zstd", "backports.zstd"),
        pytest.raises(RequestError, match=r"restkit\[zstd\]"),
    ):
        compressed(as_one(b"words"), "zstd")


# The packages that are faster


@pytest.fixture(params=["zlib", "isal", "zlib_ng"])
def package(request: pytest.FixtureRequest) -> Iterator[str]:
    """One of the packages that know gzip, alone."""
    with with_only(request.param):
        yield request.param


@pytest.mark.parametrize("level", range(10))
@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_every_package_makes_whole_streams_at_every_level(package, coding, level):
    payload = compressed(as_one([WORDS, NOISE[: MIB // 2]]), coding, level)
    data = sent(payload)
    assert zlib.decompress(data, 31 if coding == "gzip" else 15) == WORDS + NOISE[: MIB // 2]
    assert sent(payload) == data


@pytest.mark.parametrize("level", [0, 1, 3, 6, 9])
def test_however_a_source_cuts_its_pieces_each_pass_gives_the_same_bytes(package, level):
    data = WORDS[:700_000] + NOISE[:100_000] + WORDS[700_000:]

    def pieces(size: int) -> Iterator[bytes]:
        return (data[at : at + size] for at in range(0, len(data), size))

    passes = {sent(gzip_stream(pieces(size), level)) for size in (999, 100_003, 300_007, MIB)}
    assert len(passes) == 1


@pytest.mark.parametrize("level", range(1, 10))
def test_a_level_stands_for_about_the_same_size_with_every_package(package, level):
    by_zlib = zlib.compressobj(level, zlib.DEFLATED, 31)
    wanted = len(by_zlib.compress(WORDS) + by_zlib.flush())
    assert len(sent(gzip_stream(WORDS, level))) < 1.25 * wanted


def test_what_is_in_a_flushed_stream_can_be_had_whatever_the_package(package):
    compressor = compressors.compressing("gzip", 1)()
    data = compressor.compress(b"words") + compressor.flush()
    assert zlib.decompressobj(31).decompress(data) == b"words"


# When it leaves


def read_until_decoded(peer: Peer, decoder: Decoder, wanted: int) -> bytes:
    """Chunks off the wire, decoded, until there are so many bytes."""
    found = bytearray()
    while len(found) < wanted:
        size = int(peer.read_until(b"\r\n"), 16)
        assert size, "the payload ended before its time"
        decoder.feed(peer.read_exactly(size))
        while piece := decoder.produce():
            found += piece
        peer.read_exactly(2)
    return bytes(found)


class Pausing:
    """Peer and source in step: the source pauses until the peer has so much of what it gave."""

    def __init__(self, coding: str, *wanted: int) -> None:
        self._coding = coding
        self._wanted = wanted
        self._there = [threading.Event() for _ in wanted]
        self.found = b""

    def script(self, peer: Peer) -> None:
        peer.read_head()
        decoder = Decoder(self._coding)
        for wanted, there in zip(self._wanted, self._there, strict=True):
            self.found += read_until_decoded(peer, decoder, wanted - len(self.found))
            there.set()
        while size := int(peer.read_until(b"\r\n"), 16):
            decoder.feed(peer.read_exactly(size + 2)[:-2])
            while piece := decoder.produce():
                self.found += piece
        decoder.finish()
        peer.send(OK)

    def pause(self, which: int = 0) -> None:
        assert self._there[which].wait(HANG_BOUND), "what was given before the pause has not left"


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize(("buffering", "share"), [(0, MIB), (-1, MIB)])
def test_Z03_what_a_pipe_gave_leaves_before_it_is_waited_for(client, coding, buffering, share):
    # What open() has buffered cannot tell whether there is more before it has been empty once.
    reading, writing = os.pipe()
    pausing = Pausing(coding, share, MIB + 3)

    def write() -> None:
        with open(writing, "wb", buffering=0) as pipe:
            pipe.writelines(NOISE[at : at + 64 * 1024] for at in range(0, MIB, 64 * 1024))
            pausing.pause(0)
            pipe.write(b"abc")
            pausing.pause(1)
            pipe.write(b"the end")

    with (
        ScriptedServer(pausing.script) as server,
        open(reading, "rb", buffering=buffering) as pipe,
        beside(write),
    ):
        client.request(server.url(), "PUT", payload=compressed(as_one(pipe), coding)).close()
    assert pausing.found == NOISE[:MIB] + b"abcthe end"


@pytest.mark.parametrize("size", [16 * 1024, 64 * 1024, 256 * 1024, MIB])
def test_Z03_what_a_generator_gave_leaves_before_it_pauses(client, size):
    # Of noise as much comes out as went in, but for what may be under way: less than half of it.
    pausing = Pausing("gzip", MIB // 2)

    def pieces() -> Iterator[bytes]:
        for at in range(0, MIB, size):
            yield NOISE[at : at + size]
        pausing.pause()
        yield b"the end"

    with ScriptedServer(pausing.script) as server:
        client.request(server.url(), "PUT", payload=compressed(as_one(pieces()), "gzip")).close()
    assert pausing.found == NOISE[:MIB] + b"the end"


@pytest.mark.parametrize("coding", CODINGS)
def test_a_slow_generator_is_flushed_every_now_and_then(client, coding, monkeypatch):
    pausing = Pausing(coding, 6)
    monkeypatch.setattr(press, "_PATIENCE", 0.05)

    def pieces() -> Iterator[bytes]:
        yield b"abc"
        time.sleep(0.1)
        yield b"def"
        pausing.pause()
        yield b"the end"

    with ScriptedServer(pausing.script) as server:
        client.request(server.url(), "PUT", payload=compressed(as_one(pieces()), coding)).close()
    assert pausing.found == b"abcdefthe end"


def test_the_sources_number_is_told_when_nothing_else_is_to_be_given():
    reading, writing = os.pipe()
    with open(reading, "rb", buffering=0) as pipe, open(writing, "wb", buffering=0) as other:
        payload = compressed(as_one(pipe), "gzip")
        assert payload.waits_on == reading
        other.write(b"words")
        a_pass = iter(payload)
        came = bytearray(next(a_pass))
        while payload.waits_on is None:
            came += next(a_pass)
        assert zlib.decompressobj(31).decompress(came) == b"words"
        assert payload.waits_on == reading
        other.close()
        came += b"".join(a_pass)
        assert gzip.decompress(came) == b"words"


def test_a_kept_pipe_is_compressed_twice_to_the_same():
    reading, writing = os.pipe()
    with open(reading, "rb", buffering=0) as pipe, open(writing, "wb") as other:
        other.write(b"some words")
        other.close()
        kept = KeptPayload(as_one(pipe), Spool)
        payload = compressed(kept, "gzip")
        assert sent(payload) == sent(payload)
        kept.close()


# On the wire


def test_Z02_a_compressed_payload_goes_in_chunks_with_its_content_encoding(client, tmp_path):
    path = tmp_path / "README.md"
    path.write_bytes(WORDS)
    with ScriptedServer.serving(OK) as server:
        payload = compressed(as_one(path), "gzip")
        headers = {"X-Filename": path.name, "Content-Type": "application/octet-stream"}
        assert client.request(server.url(), "PUT", payload=payload, headers=headers).status == 200
    head = head_of(server.request)
    assert head.startswith(b"PUT ")
    assert field(head, "content-type") == "application/octet-stream"
    assert field(head, "x-filename") == "README.md"
    assert field(head, "content-encoding") == "gzip"
    assert field(head, "transfer-encoding") == "chunked"
    assert field(head, "content-length") is None
    assert gzip.decompress(payload_of(server.request)) == WORDS


def test_C02_a_redirect_sends_it_again_the_same(client):
    moved = response(b"", "Location: /there", status="307 Temporary Redirect")
    with ScriptedServer.serving(moved, OK) as server:
        client.request(server.url(), "PUT", payload=compressed(as_one(WORDS), "zstd"))
    first, second = map(payload_of, server.requests)
    assert first == second
    assert decoded("zstd", first) == WORDS


def test_P20_a_source_is_only_asked_on_the_callers_thread(client):
    database = sqlite3.connect(":memory:")
    database.execute("create table lines (line text)")
    lines = [(f"line {n}, {NOISE[n : n + 20].hex()}\n",) for n in range(30_000)]
    database.executemany("insert into lines values (?)", lines)
    threads = set()

    def rows() -> Iterator[str]:
        for (line,) in database.execute("select line from lines"):
            threads.add(threading.current_thread())
            yield line

    with ScriptedServer.serving(OK) as server:
        payload = compressed(as_one(rows()), "gzip")
        assert client.request(server.url(), "POST", payload=payload).status == 200
    database.close()
    assert gzip.decompress(payload_of(server.request)).decode() == "".join(
        *zip(*lines, strict=True)
    )
    assert threads == {threading.current_thread()}


# The thread


def noticing(seen: set[str], size: int, step: int = 64 * 1024) -> Iterator[bytes]:
    """Noise, and whether there was a thread when the source was asked."""
    for at in range(0, size, step):
        yield NOISE[at : at + step]
        seen.add("thread" if helpers() else "none")


@pytest.mark.parametrize(("size", "wanted"), [(256 * 1024, {"none"}), (MIB, {"none", "thread"})])
def test_there_is_a_thread_only_for_what_is_large(size, wanted):
    seen: set[str] = set()
    assert gzip.decompress(sent(gzip_stream(noticing(seen, size)))) == NOISE[:size]
    assert seen == wanted
    assert helpers() == []


@pytest.mark.parametrize("failure", [KeyError, KeyboardInterrupt, OSError, DecodingError])
def test_what_a_source_raises_ends_the_thread_and_passes_through(client, failure):
    raised = failure("out of the source")

    def pieces() -> Iterator[bytes]:
        yield NOISE
        assert helpers()
        raise raised

    def script(peer: Peer) -> None:
        peer.read_to_end()

    with ScriptedServer(script) as server:
        with pytest.raises(failure) as caught:
            client.request(server.url(), "PUT", payload=compressed(as_one(pieces()), "gzip"))
        assert caught.value is raised
        server.join()
    assert not server.wire[0].endswith(b"0\r\n\r\n")
    assert helpers() == []


def test_S06_an_early_refusal_ends_the_thread_and_is_returned(client):
    closed = threading.Event()

    def pieces() -> Iterator[bytes]:
        try:
            while True:
                yield NOISE
        finally:
            closed.set()

    def script(peer: Peer) -> None:
        peer.read_head()
        peer.read_exactly(MIB)
        peer.send(response(b"too much", "Connection: close", status="413 Content Too Large"))
        peer.shutdown_write()
        peer.drop()

    with ScriptedServer(script) as server:
        payload = compressed(as_one(pieces()), "gzip", 1)
        answer = client.request(server.url(), "PUT", payload=payload)
        assert (answer.status, answer.body) == (413, b"too much")
    assert closed.is_set()
    assert helpers() == []


def test_a_peer_that_goes_away_ends_the_thread(client):
    def script(peer: Peer) -> None:
        peer.read_exactly(MIB)
        peer.reset()

    with ScriptedServer(script) as server, pytest.raises(TransportError):
        payload = compressed(as_one([NOISE] * 100), "gzip", 1)
        client.request(server.url(), "PUT", payload=payload)
    assert helpers() == []


@pytest.mark.parametrize("coding", CODINGS)
def test_a_pass_that_is_closed_or_dropped_ends_its_thread(coding):
    for end in ("close", "drop"):
        a_pass: Any = iter(compressed(as_one([NOISE] * 4), coding))
        while not helpers():
            next(a_pass)
        if end == "close":
            a_pass.close()
        del a_pass
        assert helpers() == []


def test_a_pass_in_a_cycle_may_be_closed_by_its_own_thread():
    # The collector runs on whichever thread makes the next object: here on the pass's own.
    closed = threading.Event()

    def job() -> bytes:
        return b"%d" % gc.collect() if dropped.wait(HANG_BOUND) else b""

    def a_pass() -> Iterator[bytes]:
        try:
            with Overlap() as overlap:
                yield from overlap.do(bytes, ALONE)
                yield from overlap.do(job, 1)
                yield b"under way"
        finally:
            closed.set()

    dropped = threading.Event()
    cycle: list[Any] = [a_pass()]
    cycle.append(cycle)
    assert list(islice(cycle[0], 2)) == [b"", b"under way"]
    gc.disable()
    try:
        del cycle
        [helper] = helpers()
        dropped.set()
        helper.join(HANG_BOUND)
    finally:
        gc.enable()
    assert closed.is_set()
    assert helpers() == []


def test_the_end_of_the_thread_is_not_waited_for_without_a_bound(monkeypatch):
    # As where the collector closes a pass while its caller holds what the thread ends by.
    monkeypatch.setattr(overlapping, "LONGEST_JOB", 0.05)
    held = threading.Event()
    with Overlap() as overlap:
        assert list(overlap.do(bytes, ALONE)) == [b""]
        assert list(overlap.do(lambda: b"%d" % held.wait(HANG_BOUND), 1)) == []
    [helper] = helpers()
    held.set()
    helper.join(HANG_BOUND)
    assert helpers() == []


def test_several_passes_at_once_do_not_meet():
    payload = compressed(as_one([NOISE, WORDS]), "gzip")
    passes = [iter(payload) for _ in range(4)]
    found = [bytearray() for _ in passes]
    going = list(zip(passes, found, strict=True))
    while going:
        going = [(a_pass, data) for a_pass, data in going if _one_more(a_pass, data)]
    assert {gzip.decompress(data) == NOISE + WORDS for data in found} == {True}


def _one_more(a_pass: Iterator[Any], data: bytearray) -> bool:
    piece = next(a_pass, None)
    data += piece or b""
    return piece is not None


def run(program: str, *options: str) -> str:
    """A program's output, in a process of its own that ends in time."""
    done = subprocess.run(
        [sys.executable, *options, "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


BEGUN = """
    import os, threading
    from restkit import PayloadError
    from restkit.streaming.gzip import gzip_stream
    a_pass = iter(gzip_stream([os.urandom(1 << 20)] * 4))
    while threading.active_count() == 1:
        next(a_pass)
"""


def test_a_pass_that_nobody_finishes_does_not_keep_the_program_from_ending():
    assert run(BEGUN + "    print('the end')") == "the end\n"


CHILD = """
    if not os.fork():
        try:
            {work}
        except PayloadError as error:
            os.write(1, str(error).partition(',')[0].encode())
        os._exit(0)
    assert os.wait()[1] == 0
    assert sum(map(len, a_pass)) > 1 << 20
"""


@pytest.mark.parametrize(
    ("work", "said"),
    [("a_pass.close()", ""), ("list(a_pass)", "this pass began before a fork")],
)
def test_a_pass_that_was_forked_belongs_to_the_parent(work, said):
    assert run(BEGUN + CHILD.format(work=work), "-W", "ignore") == said


def test_an_interruption_while_it_is_waited_for_ends_the_thread():
    program = """
    import random, signal, threading
    from restkit.streaming.gzip import gzip_stream

    def interrupted(*_):
        raise KeyboardInterrupt

    def pieces(moment):
        # Of these the compressor has for many seconds: the signal finds its caller waiting.
        for n in range(1000):
            if n == 2:
                assert threading.active_count() == 2
                signal.setitimer(signal.ITIMER_REAL, moment)
            yield noise

    signal.signal(signal.SIGALRM, interrupted)
    noise = random.Random(1).randbytes(1 << 20)
    for moment in (0.001, 0.01, 0.02, 0.03, 0.04):
        try:
            for _ in gzip_stream(pieces(moment), 9):
                pass
        except KeyboardInterrupt:
            print(threading.active_count())
    """
    assert run(program) == "1\n" * 5


def test_where_no_thread_can_be_had_it_goes_without(monkeypatch):
    def no_more(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", no_more)
    assert gzip.decompress(sent(gzip_stream([NOISE, WORDS]))) == NOISE + WORDS


def test_memory_stays_flat():
    setup = """
        import random
        from restkit.streaming.gzip import compressed
        from restkit.door import as_payload
        def virtual(count):
            block = random.Random(1).randbytes(1 << 20)
            for _ in range(count):
                yield block
        def through(count, coding):
            return sum(map(len, compressed(as_payload(virtual(count)), coding, 1)))
        for coding in ("gzip", "deflate", "zstd"):
            through(4, coding)
    """
    work = "result = [through(200, coding) for coding in ('gzip', 'deflate', 'zstd')]"
    measured = peak_memory(setup, work)
    assert min(measured.result) > 199 * MIB
    assert measured.growth < 8 * MIB


# Decompressed


@pytest.mark.parametrize("size", [1, 7, 1000, MIB])
def test_a_gzip_file_of_several_members_is_decompressed(size):
    noise = NOISE[: 3 * size + 1000]
    data = gzip.compress(WORDS[:100_000]) + gzip.compress(b"") + gzip.compress(noise) + b"\0" * 100
    pieces = [data[at : at + size] for at in range(0, len(data), size)]
    assert sent(gunzip_stream(pieces)) == WORDS[:100_000] + noise


def test_what_is_decompressed_says_what_its_source_is(tmp_path):
    path = tmp_path / "words.gz"
    path.write_bytes(gzip.compress(WORDS))
    payload = gunzip_stream(path)
    assert (payload.length, payload.replayable) == (None, True)
    assert list(payload.headers) == [("Content-Type", "application/octet-stream")]
    assert sent(payload) == sent(payload) == WORDS
    assert not gunzip_stream(iter([b""])).replayable
    assert sent(gunzip_stream(b"")) == b""


def test_streams_nest():
    stream = gunzip_stream(gunzip_stream(gzip_stream(gzip_stream(iter([WORDS, NOISE])))))
    assert sent(stream) == WORDS + NOISE


@pytest.mark.parametrize("kept", [1, 0.5, -1])
def test_S35_a_gzip_file_that_is_not_whole_is_an_error_after_what_came(kept):
    data = gzip.compress(WORDS)
    part = data[: int(len(data) * kept) if kept == 0.5 else kept]
    came = bytearray()
    with pytest.raises(DecodingError, match="ends early"):
        for piece in gunzip_stream([part]):
            came += piece
    assert WORDS.startswith(came)


@pytest.mark.parametrize("data", [b"no gzip file", gzip.compress(b"words", mtime=0) + b"rubbish"])
def test_what_is_no_gzip_file_is_an_error(data):
    with pytest.raises(DecodingError):
        sent(gunzip_stream(data))


@pytest.mark.parametrize(
    ("limit", "fits"), [(len(WORDS), True), (len(WORDS) - 1, False), (0, False)]
)
def test_no_more_is_decompressed_than_the_limit(limit, fits):
    stream = gunzip_stream(gzip.compress(WORDS), limit=limit)
    if fits:
        assert sent(stream) == WORDS
        return
    came = 0
    with pytest.raises(BodyTooLarge, match=f"limit={limit}"):
        for piece in stream:
            came += len(piece)
    assert came <= limit


def test_a_bomb_is_decompressed_in_steps():
    bomb = sent(gzip_stream([bytes(MIB)] * 100, 9))
    assert max(map(len, gunzip_stream(bomb))) <= STEP
    assert sum(map(len, gunzip_stream(bomb))) == 100 * MIB


def test_a_gzip_file_that_breaks_on_its_way_ends_no_request(client):
    def script(peer: Peer) -> None:
        peer.read_to_end()

    with ScriptedServer(script) as server:
        with pytest.raises(DecodingError) as caught:
            payload = gunzip_stream(iter([gzip.compress(NOISE)[:-1]]))
            client.request(server.url(), "PUT", payload=payload)
        assert caught.value.out_of_payload
        # It is about what was sent, and not about what the target answered.
        assert "<GunzippedPayload of <IteratorPayload" in str(caught.value)
        server.join()
    assert not server.wire[0].endswith(b"0\r\n\r\n")
