"""Compressed and decompressed payloads: their bytes, and when they are sent."""

from __future__ import annotations

import gzip
import os
import random
import sqlite3
import subprocess
import threading
import time
import zlib
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from restkit import RequestError
from restkit.content_encoding import compressors
from restkit.content_encoding import payloads as payloads_module
from restkit.content_encoding.decoding import MAX_OUTPUT, Decoder
from restkit.content_encoding.payloads import compress_payload, gunzip_stream, gzip_stream
from restkit.errors import BodyTooLarge, DecodingError, PayloadNotReplayable
from restkit.io.spool import Spool
from restkit.payload.base import Payload
from restkit.payload.spooled import SpooledPayload
from support import ScriptedServer, field, head_of, payload_of, response
from support.beside import beside
from support.memory import MIB
from support.packages import with_only, without
from support.payloads import join_chunks, make_payload
from support.peer import HANG_BOUND, Peer

CODINGS = ("gzip", "deflate", "zstd")
OK = response(b"ok")
NOISE = random.Random(8).randbytes(3 * MIB)
WORDS = b"".join(b"line %d, with %d words\n" % (n, n * 7919 % 1000) for n in range(50_000))


@pytest.fixture(autouse=True)
def _no_flush_at_intervals(monkeypatch: pytest.MonkeyPatch) -> None:
    """Flush no generator because the machine is slow, so that the output is always the same."""
    monkeypatch.setattr(payloads_module, "_FLUSH_INTERVAL", HANG_BOUND)


def decode(coding: str, data: bytes) -> bytes:
    decoder, found = Decoder(coding), bytearray()
    decoder.feed(data)
    while chunk := decoder.produce():
        found += chunk
    decoder.finish()
    return bytes(found)


# Output


def test_Z01_gzip_restores_a_file_from_one_member(tmp_path):
    path = tmp_path / "noise"
    path.write_bytes(NOISE[:MIB])
    data = join_chunks(gzip_stream(path))
    restored = subprocess.run(["gzip", "-dc"], input=data, capture_output=True, check=True)
    assert restored.stdout == NOISE[:MIB]
    member = zlib.decompressobj(31)
    assert member.decompress(data) == NOISE[:MIB]
    assert (member.eof, member.unused_data) == (True, b"")


@pytest.mark.parametrize("coding", CODINGS)
@given(chunks=st.lists(st.binary(max_size=2000)), level=st.integers(0, 9))
def test_any_chunks_are_restored(coding, chunks, level):
    assert decode(
        coding, join_chunks(compress_payload(make_payload(chunks), coding, level))
    ) == b"".join(chunks)


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("size", [1, 1000, 128 * 1024, 256 * 1024, 300 * 1024, 3 * MIB])
def test_large_and_small_chunks_are_restored(coding, size):
    chunks = [NOISE[at : at + size] for at in range(0, 600 * size, size)]
    payload = compress_payload(make_payload(iter(chunks)), coding, 1)
    assert decode(coding, join_chunks(payload)) == b"".join(chunks)


@pytest.mark.parametrize("coding", CODINGS)
def test_source_can_reuse_the_buffer_of_a_chunk(coding):
    buffer = bytearray(200 * 1024)

    def one_buffer() -> Iterator[bytearray]:
        for n in range(12):
            buffer[:] = bytes([n]) * len(buffer)
            yield buffer
        buffer.extend(b"it can be resized, too")

    whole = b"".join(bytes([n]) * len(buffer) for n in range(12))
    assert (
        decode(coding, join_chunks(compress_payload(make_payload(one_buffer()), coding))) == whole
    )


@pytest.mark.parametrize("coding", CODINGS)
def test_empty_source_makes_a_complete_empty_stream(coding):
    for source in (b"", "", [], iter(())):
        data = join_chunks(compress_payload(make_payload(source), coding))
        assert data
        assert decode(coding, data) == b""


def test_Z07_deflate_has_zlib_format():
    assert zlib.decompress(join_chunks(compress_payload(make_payload(WORDS), "deflate"))) == WORDS


def test_gzip_member_has_no_name_and_no_time():
    assert join_chunks(gzip_stream(b"words"))[:8] == b"\x1f\x8b\x08\0\0\0\0\0"


def test_zstd_window_is_at_most_8_mib():
    # By default level 20 uses 32 MiB; the decoder accepts 8 MiB (RFC 9659).
    data = join_chunks(compress_payload(make_payload([WORDS[:50_000]]), "zstd", 20))
    assert decode("zstd", data) == WORDS[:50_000]


def test_zstd_stream_has_a_checksum():
    data = bytearray(join_chunks(compress_payload(make_payload([NOISE[:1000]]), "zstd")))
    data[500] ^= 1
    with pytest.raises(DecodingError, match="zstd"):
        decode("zstd", bytes(data))


@pytest.mark.parametrize("coding", CODINGS)
def test_higher_level_makes_smaller_output(coding):
    levels = (-100, 1) if coding == "zstd" else (1, 9)
    quick, thorough = (
        len(join_chunks(compress_payload(make_payload(WORDS), coding, level))) for level in levels
    )
    assert thorough < quick


# Headers, length and replay


def test_gzip_stream_is_data_with_its_own_type():
    payload = gzip_stream("words")
    assert list(payload.headers) == [("Content-Type", "application/gzip")]
    assert (payload.length, payload.replayable, payload.started) == (None, True, False)
    assert repr(payload) == (
        "<CompressedPayload gzip of <BytesPayload 5 bytes, replayable> of unknown length, "
        "replayable>"
    )


class Coded(Payload):
    headers = (("Content-Type", "text/csv"), ("content-encoding", "br"), ("X-Rows", "3"))

    def chunks(self) -> Iterator[bytes]:
        yield b"rows"

    def trailers(self) -> list[tuple[str, str]]:
        return [("X-Sum", "6")]


def test_coding_is_added_after_existing_ones():
    payload = compress_payload(Coded(), "gzip")
    assert list(payload.headers) == [
        ("Content-Type", "text/csv"),
        ("X-Rows", "3"),
        ("Content-Encoding", "br, gzip"),
    ]
    assert list(compress_payload(payload, "zstd").headers)[-1] == (
        "Content-Encoding",
        "br, gzip, zstd",
    )
    assert payload.trailers() == [("X-Sum", "6")]


def test_compressed_payload_is_replayable_if_its_source_is():
    again = compress_payload(make_payload([WORDS, NOISE]), "gzip")
    assert again.replayable
    assert join_chunks(again) == join_chunks(again)
    once = compress_payload(make_payload(iter([WORDS])), "gzip")
    assert not once.replayable
    join_chunks(once)
    assert once.started
    with pytest.raises(PayloadNotReplayable):
        join_chunks(once)
    source = make_payload(iter([WORDS]))
    join_chunks(source)
    assert compress_payload(source, "gzip").started


def test_gzip_stream_of_none_raises():
    for stream in (gzip_stream, gunzip_stream):
        with pytest.raises(TypeError, match="None"):
            stream(None)


@pytest.mark.parametrize(
    ("coding", "level", "message"),
    [
        ("br", None, "gzip, deflate, zstd"),
        ("gzip", 10, "0 to 9 for gzip"),
        ("gzip", -1, "0 to 9 for gzip"),
        ("deflate", True, "0 to 9 for deflate"),
        ("zstd", 23, "-131072 to 22 for zstd"),
        ("gzip", "6", "got '6'"),
    ],
)
def test_unknown_coding_or_level_raises(coding, level, message):
    with pytest.raises(RequestError, match=message):
        compress_payload(make_payload(b"words"), coding, level)


def test_zstd_without_its_package_raises_and_names_it():
    with (
        without("compression.zstd", "backports.zstd"),
        pytest.raises(RequestError, match=r"restkit\[zstd\]"),
    ):
        compress_payload(make_payload(b"words"), "zstd")


# Faster packages


@pytest.fixture(params=["zlib", "isal", "zlib_ng"])
def package(request: pytest.FixtureRequest) -> Iterator[str]:
    """One package for gzip, without the others."""
    with with_only(request.param):
        yield request.param


@pytest.mark.parametrize("level", range(10))
@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_every_package_makes_complete_streams_at_every_level(package, coding, level):
    payload = compress_payload(make_payload([WORDS, NOISE[: MIB // 2]]), coding, level)
    data = join_chunks(payload)
    assert zlib.decompress(data, 31 if coding == "gzip" else 15) == WORDS + NOISE[: MIB // 2]
    assert join_chunks(payload) == data


@pytest.mark.parametrize("level", [0, 1, 3, 6, 9])
def test_output_does_not_depend_on_the_chunks_of_the_source(package, level):
    data = WORDS[:700_000] + NOISE[:100_000] + WORDS[700_000:]

    def chunks(size: int) -> Iterator[bytes]:
        return (data[at : at + size] for at in range(0, len(data), size))

    passes = {
        join_chunks(gzip_stream(chunks(size), level)) for size in (999, 100_003, 300_007, MIB)
    }
    assert len(passes) == 1


@pytest.mark.parametrize("level", range(1, 10))
def test_level_means_about_the_same_size_with_every_package(package, level):
    by_zlib = zlib.compressobj(level, zlib.DEFLATED, 31)
    size = len(by_zlib.compress(WORDS) + by_zlib.flush())
    assert len(join_chunks(gzip_stream(WORDS, level))) < 1.25 * size


def test_flushed_stream_can_be_decoded_with_every_package(package):
    compressor = compressors.get_compressor_factory("gzip", 1)()
    data = compressor.compress(b"words") + compressor.flush()
    assert zlib.decompressobj(31).decompress(data) == b"words"


# When output is sent


def read_until_decoded(peer: Peer, decoder: Decoder, minimum: int) -> bytes:
    """Read and decode HTTP chunks until there are at least ``minimum`` decoded bytes."""
    found = bytearray()
    while len(found) < minimum:
        size = int(peer.read_until(b"\r\n"), 16)
        assert size, "the payload ended early"
        decoder.feed(peer.read_exactly(size))
        while chunk := decoder.produce():
            found += chunk
        peer.read_exactly(2)
    return bytes(found)


class Pausing:
    """A source that pauses until the server has received given totals of decoded bytes."""

    def __init__(self, coding: str, *totals: int) -> None:
        self._coding = coding
        self._totals = totals
        self._reached = [threading.Event() for _ in totals]
        self.found = b""

    def script(self, peer: Peer) -> None:
        peer.read_head()
        decoder = Decoder(self._coding)
        for total, reached in zip(self._totals, self._reached, strict=True):
            self.found += read_until_decoded(peer, decoder, total - len(self.found))
            reached.set()
        while size := int(peer.read_until(b"\r\n"), 16):
            decoder.feed(peer.read_exactly(size + 2)[:-2])
            while chunk := decoder.produce():
                self.found += chunk
        decoder.finish()
        peer.send(OK)

    def pause(self, which: int = 0) -> None:
        assert self._reached[which].wait(HANG_BOUND), "bytes from before the pause were not sent"


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize(("buffering", "share"), [(0, MIB), (-1, MIB)])
def test_Z03_bytes_from_a_pipe_are_sent_before_it_is_waited_for(client, coding, buffering, share):
    # A buffered pipe only knows that it is empty after it was empty once.
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
        client.request(
            server.url(), "PUT", payload=compress_payload(make_payload(pipe), coding)
        ).close()
    assert pausing.found == NOISE[:MIB] + b"abcthe end"


@pytest.mark.parametrize("size", [16 * 1024, 64 * 1024, 256 * 1024, MIB])
def test_Z03_bytes_from_a_generator_are_sent_before_it_pauses(client, size):
    # Noise does not shrink, and less than half of it is pending at the pause.
    pausing = Pausing("gzip", MIB // 2)

    def chunks() -> Iterator[bytes]:
        for at in range(0, MIB, size):
            yield NOISE[at : at + size]
        pausing.pause()
        yield b"the end"

    with ScriptedServer(pausing.script) as server:
        client.request(
            server.url(), "PUT", payload=compress_payload(make_payload(chunks()), "gzip")
        ).close()
    assert pausing.found == NOISE[:MIB] + b"the end"


@pytest.mark.parametrize("coding", CODINGS)
def test_slow_generator_is_flushed_at_intervals(client, coding, monkeypatch):
    pausing = Pausing(coding, 6)
    monkeypatch.setattr(payloads_module, "_FLUSH_INTERVAL", 0.05)

    def chunks() -> Iterator[bytes]:
        yield b"abc"
        time.sleep(0.1)
        yield b"def"
        pausing.pause()
        yield b"the end"

    with ScriptedServer(pausing.script) as server:
        client.request(
            server.url(), "PUT", payload=compress_payload(make_payload(chunks()), coding)
        ).close()
    assert pausing.found == b"abcdefthe end"


def test_waits_on_is_the_source_when_no_output_is_left():
    reading, writing = os.pipe()
    with open(reading, "rb", buffering=0) as pipe, open(writing, "wb", buffering=0) as other:
        payload = compress_payload(make_payload(pipe), "gzip")
        assert payload.waits_on == reading
        other.write(b"words")
        one_pass = iter(payload)
        received = bytearray(next(one_pass))
        while payload.waits_on is None:
            received += next(one_pass)
        assert zlib.decompressobj(31).decompress(received) == b"words"
        assert payload.waits_on == reading
        other.close()
        received += b"".join(one_pass)
        assert gzip.decompress(received) == b"words"


def test_spooled_pipe_is_compressed_twice_to_the_same_bytes():
    reading, writing = os.pipe()
    with open(reading, "rb", buffering=0) as pipe, open(writing, "wb") as other:
        other.write(b"some words")
        other.close()
        kept = SpooledPayload(make_payload(pipe), Spool)
        payload = compress_payload(kept, "gzip")
        assert join_chunks(payload) == join_chunks(payload)
        kept.close()


# Requests


def test_Z02_compressed_payload_is_sent_chunked_with_its_content_encoding(client, tmp_path):
    path = tmp_path / "README.md"
    path.write_bytes(WORDS)
    with ScriptedServer.serving(OK) as server:
        payload = compress_payload(make_payload(path), "gzip")
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


def test_C02_redirect_sends_the_same_bytes_again(client):
    moved = response(b"", "Location: /there", status="307 Temporary Redirect")
    with ScriptedServer.serving(moved, OK) as server:
        client.request(server.url(), "PUT", payload=compress_payload(make_payload(WORDS), "zstd"))
    first, second = map(payload_of, server.requests)
    assert first == second
    assert decode("zstd", first) == WORDS


def test_P20_source_is_only_read_on_the_callers_thread(client):
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
        payload = compress_payload(make_payload(rows()), "gzip")
        assert client.request(server.url(), "POST", payload=payload).status == 200
    database.close()
    assert gzip.decompress(payload_of(server.request)).decode() == "".join(
        *zip(*lines, strict=True)
    )
    assert threads == {threading.current_thread()}


# Decompression


@pytest.mark.parametrize("size", [1, 7, 1000, MIB])
def test_gzip_file_of_several_members_is_decompressed(size):
    noise = NOISE[: 3 * size + 1000]
    data = gzip.compress(WORDS[:100_000]) + gzip.compress(b"") + gzip.compress(noise) + b"\0" * 100
    chunks = [data[at : at + size] for at in range(0, len(data), size)]
    assert join_chunks(gunzip_stream(chunks)) == WORDS[:100_000] + noise


def test_gunzip_stream_takes_replay_from_its_source(tmp_path):
    path = tmp_path / "words.gz"
    path.write_bytes(gzip.compress(WORDS))
    payload = gunzip_stream(path)
    assert (payload.length, payload.replayable) == (None, True)
    assert list(payload.headers) == [("Content-Type", "application/octet-stream")]
    assert join_chunks(payload) == join_chunks(payload) == WORDS
    assert not gunzip_stream(iter([b""])).replayable
    assert join_chunks(gunzip_stream(b"")) == b""


def test_streams_nest():
    stream = gunzip_stream(gunzip_stream(gzip_stream(gzip_stream(iter([WORDS, NOISE])))))
    assert join_chunks(stream) == WORDS + NOISE


@pytest.mark.parametrize("kept", [1, 0.5, -1])
def test_S35_truncated_gzip_file_raises_after_its_bytes(kept):
    data = gzip.compress(WORDS)
    part = data[: int(len(data) * kept) if kept == 0.5 else kept]
    received = bytearray()
    with pytest.raises(DecodingError, match="ends early"):
        for chunk in gunzip_stream([part]):
            received += chunk
    assert WORDS.startswith(received)


@pytest.mark.parametrize("data", [b"no gzip file", gzip.compress(b"words", mtime=0) + b"rubbish"])
def test_malformed_gzip_file_raises(data):
    with pytest.raises(DecodingError):
        join_chunks(gunzip_stream(data))


@pytest.mark.parametrize(
    ("limit", "fits"), [(len(WORDS), True), (len(WORDS) - 1, False), (0, False)]
)
def test_limit_bounds_the_decompressed_bytes(limit, fits):
    stream = gunzip_stream(gzip.compress(WORDS), limit=limit)
    if fits:
        assert join_chunks(stream) == WORDS
        return
    received = 0
    with pytest.raises(BodyTooLarge, match=f"limit={limit}"):
        for chunk in stream:
            received += len(chunk)
    assert received <= limit


def test_bomb_is_decompressed_in_steps():
    bomb = join_chunks(gzip_stream([bytes(MIB)] * 100, 9))
    assert max(map(len, gunzip_stream(bomb))) <= MAX_OUTPUT
    assert sum(map(len, gunzip_stream(bomb))) == 100 * MIB


def test_broken_gzip_file_never_completes_a_request(client):
    def script(peer: Peer) -> None:
        peer.read_to_end()

    with ScriptedServer(script) as server:
        with pytest.raises(DecodingError) as caught:
            payload = gunzip_stream(iter([gzip.compress(NOISE)[:-1]]))
            client.request(server.url(), "PUT", payload=payload)
        assert caught.value.out_of_payload
        # The error is about the payload, and not about the response.
        assert "<GunzippedPayload of <IteratorPayload" in str(caught.value)
        server.join()
    assert not server.wire[0].endswith(b"0\r\n\r\n")
