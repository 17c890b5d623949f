"""The work of decoding is bounded: by its output, by ``max_body`` and by the deadline."""

from __future__ import annotations

import gzip
import os
import random
import time
import zlib
from collections.abc import Callable, Sequence
from functools import cache

import pytest

from restkit import BodyTooLarge, DecodingError, HttpResponse, Timeout, TotalTimeout
from restkit.content_encoding.compressors import get_compressor_factory
from restkit.content_encoding.decoding import (
    CODED_OVERHEAD,
    FREE_WORK,
    STREAM_WORK,
    WORK_PER_BYTE,
    DecodedSource,
    supported_codings,
)
from restkit.streaming import gunzip_stream
from support import ScriptedServer, chunked_response, response
from support.memory import MIB
from support.peer import HANG_BOUND, Peer

WASTE = "the coded bytes decode to almost nothing: more than 1048576, and 16 for each decoded byte"


def encode(data: bytes, coding: str) -> bytes:
    compressor = get_compressor_factory(coding, None)()
    return compressor.compress(data) + compressor.finish()


def nest(data: bytes, *codings: str) -> bytes:
    for coding in codings:
        data = encode(data, coding)
    return data


def flushes(count: int) -> bytes:
    """Return a gzip stream with many empty blocks and no output."""
    stream = zlib.compressobj(9, zlib.DEFLATED, 31)
    begin = stream.compress(b"") + stream.flush(zlib.Z_SYNC_FLUSH)
    return begin + b"\0\0\0\xff\xff" * count + stream.flush()


EMPTY_MEMBER = gzip.compress(b"", mtime=0)
LONE_BYTE = gzip.compress(b"x", mtime=0)
# Each takes seconds, and most of them minutes, without a bound.
BOMBS: dict[str, tuple[Sequence[str], bytes]] = {
    "empty members": (["gzip"] * 3, nest(EMPTY_MEMBER * 400_000, "gzip", "gzip")),
    "empty members in deflate": (
        ["gzip", "deflate"],
        nest(EMPTY_MEMBER * 400_000, "deflate"),
    ),
    "empty blocks": (["gzip"] * 3, nest(flushes(2_000_000), "gzip", "gzip")),
    "members of one byte": (["gzip"] * 3, nest(LONE_BYTE * 400_000, "gzip", "gzip")),
    "padding": (["gzip"] * 3, nest(EMPTY_MEMBER + bytes(8 * MIB), "gzip", "gzip")),
    "long comment": (
        ["gzip"] * 2,
        nest(b"\x1f\x8b\x08\x10\0\0\0\0\0\3" + b"x" * 8 * MIB, "gzip"),
    ),
}


class Chunks:
    """A source of chunks of one size."""

    def __init__(self, data: bytes, size: int = 65536) -> None:
        self._chunks = iter([data[at : at + size] for at in range(0, len(data), size)])
        self.taken = 0

    def read_chunk(self) -> bytes:
        chunk = next(self._chunks, b"")
        self.taken += len(chunk)
        return chunk

    def readinto(self, view: memoryview) -> int:
        raise NotImplementedError

    def close(self) -> None:
        pass


def decode(codings: Sequence[str], data: bytes, size: int = 65536) -> bytes:
    source = DecodedSource(Chunks(data, size), codings)
    return b"".join(iter(source.read_chunk, b""))


# The output bounds the work


@pytest.mark.parametrize("kind", BOMBS)
def test_body_that_decodes_to_almost_nothing_is_an_error(kind):
    codings, data = BOMBS[kind]
    with pytest.raises(DecodingError, match=WASTE):
        decode(codings, data)


@pytest.mark.skipif("zstd" not in supported_codings(), reason="zstd is not installed")
@pytest.mark.parametrize(
    "frame", [encode(b"", "zstd"), b"\x50\x2a\x4d\x18\0\0\0\0"], ids=["empty", "skippable"]
)
def test_zstd_frames_without_output_are_an_error(frame):
    with pytest.raises(DecodingError, match=WASTE):
        decode(["zstd", "gzip"], nest(frame * 400_000, "gzip"))


@pytest.mark.skipif("zstd" not in supported_codings(), reason="zstd is not installed")
def test_zstd_blocks_without_output_are_an_error():
    blocks = b"\x28\xb5\x2f\xfd\x00\x58" + b"\0\0\0" * 2_000_000
    with pytest.raises(DecodingError, match=WASTE):
        decode(["zstd", "gzip"], nest(blocks, "gzip"))


@pytest.mark.skipif("br" not in supported_codings(), reason="brotli is not installed")
def test_brotli_metadata_without_output_is_an_error():
    # An empty metadata block (RFC 7932 9.2): ISLAST 0, MNIBBLES 11, reserved 0, MSKIPBYTES 0.
    blocks = b"\x0c" + b"\x06" * 4_000_000
    with pytest.raises(DecodingError, match=WASTE):
        decode(["br", "gzip"], nest(blocks, "gzip"))


def test_empty_members_within_the_bound_decode_to_nothing():
    members = FREE_WORK // (STREAM_WORK + len(EMPTY_MEMBER) + 1)
    assert decode(["gzip"], EMPTY_MEMBER * members) == b""


def test_every_decoded_byte_allows_more_work():
    line = b"one line of a log\n"
    members = 20_000
    assert len(gzip.compress(line)) + STREAM_WORK < WORK_PER_BYTE * len(line)
    assert decode(["gzip"], gzip.compress(line) * members) == line * members


@pytest.mark.parametrize("coding", sorted({"gzip", "zstd"} & {*supported_codings()}))
def test_coded_bytes_of_one_short_event_at_a_time_are_not_too_many(coding):
    compressor = get_compressor_factory(coding, None)()
    coded = b"".join(compressor.compress(b":\n\n") + compressor.flush() for _ in range(100_000))
    assert decode([coding], coded + compressor.finish(), size=16) == b":\n\n" * 100_000


def test_gunzip_stream_of_empty_members_is_an_error():
    with pytest.raises(DecodingError, match=WASTE):
        list(gunzip_stream(EMPTY_MEMBER * 400_000))


# max_body bounds the coded bytes too


def noise(size: int) -> bytes:
    """Return bytes that no coding makes shorter."""
    return random.Random(1).randbytes(size)


def serve(message: bytes) -> ScriptedServer:
    return ScriptedServer.serving(message)


READS: dict[str, Callable[[HttpResponse], object]] = {
    "body": lambda got: got.body,
    "body_file": lambda got: got.body_file.read(),
    "body_stream": lambda got: got.body_stream().read(),
    "payload_stream": lambda got: b"".join(got.payload_stream or ()),
    "save": lambda got: got.save(os.devnull),
}


@pytest.mark.parametrize("read", READS)
@pytest.mark.parametrize("framing", ["sized", "chunked"])
def test_max_body_bounds_the_coded_bytes(read, framing, client):
    # An empty member, and then padding that decodes to nothing.
    coded = EMPTY_MEMBER + bytes(CODED_OVERHEAD + 1000)
    fields = ["Content-Encoding: gzip"]
    answers = {
        "sized": response(coded, *fields),
        "chunked": chunked_response(coded, fields=fields),
    }
    with serve(answers[framing]) as server:
        got = client.get(server.url(), max_body=900)
        for _ in range(2):
            with pytest.raises(BodyTooLarge, match="max_body, 900 bytes, before it is decoded"):
                READS[read](got)
        assert READS[read](client.get(server.url(), max_body=1100)) in (b"", 0)


def test_body_that_its_coding_makes_longer_fits_into_max_body(client):
    data = noise(200_000)
    coded = encode(data, "gzip")
    assert len(coded) > len(data)
    with serve(response(coded, "Content-Encoding: gzip")) as server:
        assert client.get(server.url(), max_body=len(data)).body == data
        with pytest.raises(BodyTooLarge, match=r"larger than max_body, 199999 bytes$"):
            print(client.get(server.url(), max_body=len(data) - 1).body)


# The deadline of the call


@cache
def endless_zeros() -> bytes:
    """Return a few bytes that decode, by gzip twice, to more zeros than can be read in a minute."""
    return nest(gzip.compress(bytes(16 * MIB), mtime=0) * 1000, "gzip")


@pytest.mark.parametrize("arrived", [True, False], ids=["arrived", "live"])
@pytest.mark.parametrize("read", ["save", "payload_stream"])
def test_total_ends_the_decoding_of_a_body(read, arrived, client):
    coded = endless_zeros()
    message = response(coded, "Content-Encoding: gzip, gzip")
    timeout = Timeout(HANG_BOUND, HANG_BOUND, total=0.5)
    with serve(message) as server:
        eager = len(coded) if arrived else 0
        got = client.get(server.url(), timeout=timeout, eager_body=eager)
        with pytest.raises(TotalTimeout) as caught:
            got.save(os.devnull) if read == "save" else [None for _ in got.payload_stream or ()]
        assert caught.value.message == (
            f"{server.host}:{server.port}: still decoding the body when the 0.5 s of "
            "Timeout.total were over"
        )
        assert caught.value.response is got


@pytest.mark.parametrize("eager", [0, MIB], ids=["live", "arrived"])
def test_received_body_can_be_decoded_after_the_total(eager, client):
    data = bytes(MIB)
    with serve(response(gzip.compress(data), "Content-Encoding: gzip")) as server:
        timeout = Timeout(HANG_BOUND, HANG_BOUND, total=0.3)
        got = client.get(server.url(), timeout=timeout, eager_body=eager)
        file = got.body_file
        if eager:
            time.sleep(0.4)  # longer than the total
        assert file.read(300_000) == data[:300_000]
        time.sleep(0.4)
        assert file.read() == data[300_000:]


# A body that nobody reads is not decoded


@pytest.mark.parametrize("end", ["redirect", "close", "skip_body", "skip_body after a read"])
def test_body_that_nobody_reads_is_not_decoded(end, client):
    # It begins with bytes that can be decoded; the rest is invalid, and would raise.
    coded = encode(b"begin " * 50_000, "gzip")[:-8]
    message = response(
        coded + bytes(8), "Content-Encoding: gzip", "Location: /next", status="302 F"
    )

    def script(peer: Peer) -> None:
        peer.read_request()
        peer.send(message)
        peer.read_request()
        peer.send(response(b"next"))
        peer.read_to_end()

    with ScriptedServer(script) as server:
        got = client.get(server.url(), follow_redirect=end == "redirect", eager_body=0)
        if end == "redirect":
            assert got.body == b"next"
        else:
            if end == "skip_body after a read":
                assert got.body_file.read(6) == b"begin "
            got.close() if end == "close" else got.skip_body()
            assert client.get(server.url()).body == b"next"
        assert server.connections == 1
