"""Content codings: complete streams are decoded from any chunks, others raise, memory is flat."""

from __future__ import annotations

import gzip
import inspect
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from itertools import pairwise

import brotli
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import restkit.content_encoding.decoding
from restkit.content_encoding.decoding import (
    MAX_OUTPUT,
    DecodedSource,
    Decoder,
    accept_encoding,
    parse_codings,
    supported_codings,
)
from restkit.errors import DecodingError
from support.memory import MIB, peak_memory

pytestmark = pytest.mark.lowest

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd


def raw_deflate(data: bytes) -> bytes:
    compressor = zlib.compressobj(wbits=-15)
    return compressor.compress(data) + compressor.flush()


# Coding and compressor by name, so that a failing example shows the name.
COMPRESSORS: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "gzip": ("gzip", gzip.compress),
    "zlib": ("deflate", zlib.compress),
    "raw": ("deflate", raw_deflate),
    "br": ("br", brotli.compress),
    "zstd": ("zstd", zstd.compress),
}
WORDS = b"some words, and then some more words, and so on; " * 400


class FakeSource:
    """A source of the given chunks, which counts its reads."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self.reads = 0
        self.closed = 0

    def read_chunk(self) -> bytes:
        self.reads += 1
        return next(self._chunks, b"")

    def close(self) -> None:
        self.closed += 1


class OneBuffer:
    """A source that reuses one buffer for all chunks, like a socket with recv_into()."""

    def __init__(self, data: bytes, size: int) -> None:
        self._data = data
        self._buffer = bytearray(size)

    def read_chunk(self) -> memoryview:
        chunk, self._data = self._data[: len(self._buffer)], self._data[len(self._buffer) :]
        self._buffer[:] = b"\xee" * len(self._buffer)
        self._buffer[: len(chunk)] = chunk
        return memoryview(self._buffer)[: len(chunk)]

    def close(self) -> None:
        pass


def decode(coding: str, *chunks: bytes) -> bytes:
    source = DecodedSource(FakeSource(chunks), [coding])
    return b"".join(iter(source.read_chunk, b""))


def split(data: bytes, places: list[int]) -> list[bytes]:
    bounds = sorted({0, len(data), *(place % (len(data) + 1) for place in places)})
    return [data[start:end] for start, end in pairwise(bounds)]


@pytest.mark.parametrize("name", COMPRESSORS)
def test_Z07_S35_R14_every_coding_is_decoded(name):
    coding, compress = COMPRESSORS[name]
    assert decode(coding, compress(WORDS)) == WORDS
    assert decode(coding, compress(b"")) == b""
    assert decode(coding, *split(compress(WORDS), list(range(1000)))) == WORDS


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd"])
def test_empty_body_is_valid_in_every_coding(coding):
    assert decode(coding) == b""


@pytest.mark.parametrize("name", COMPRESSORS)
@pytest.mark.parametrize("kept", [1, 2, 0.5, -1])
def test_B10_S35_stream_that_ends_early_raises_after_its_bytes(name, kept):
    coding, compress = COMPRESSORS[name]
    whole = compress(WORDS)
    source = DecodedSource(
        FakeSource([whole[: int(len(whole) * kept) if kept == 0.5 else kept]]), [coding]
    )
    came = b""
    with pytest.raises(DecodingError, match=rf"^{coding} body, after \d+ decoded bytes: .* early$"):
        while True:
            came += source.read_chunk()
    assert WORDS.startswith(came)
    if (name, kept) == ("gzip", -1):
        assert came == WORDS
    for _ in range(2):
        with pytest.raises(DecodingError, match=r"early$"):
            source.readinto(memoryview(bytearray(10)))


@pytest.mark.parametrize("name", COMPRESSORS)
@pytest.mark.parametrize("rubbish", [b"x", b"rubbish", b"\x1f", b"(", b"<html>" * 100])
@pytest.mark.parametrize("apart", [True, False])
def test_B10_data_after_the_end_raises(name, rubbish, apart):
    coding, compress = COMPRESSORS[name]
    chunks = [compress(WORDS), rubbish] if apart else [compress(WORDS) + rubbish]
    with pytest.raises(DecodingError, match=f"^{coding} body"):
        decode(coding, *chunks)


@pytest.mark.parametrize("place", range(-8, 0))
def test_B10_wrong_crc_or_length_raises(place):
    body = bytearray(gzip.compress(WORDS))
    body[place] ^= 1
    with pytest.raises(DecodingError, match=r"incorrect (data|length) check"):
        decode("gzip", bytes(body))


def test_B10_wrong_checksum_of_zlib_and_zstd_raises():
    with pytest.raises(DecodingError, match="incorrect data check"):
        decode("deflate", zlib.compress(WORDS)[:-1] + b"\0")
    checked = zstd.compress(WORDS, options={zstd.CompressionParameter.checksum_flag: 1})
    with pytest.raises(DecodingError, match=r"^zstd body"):
        decode("zstd", checked[:-1] + bytes([checked[-1] ^ 1]))


@pytest.mark.parametrize("coding", ["gzip", "zstd"])
def test_B10_S35_consecutive_streams_are_all_decoded(coding):
    compress = COMPRESSORS[coding][1]
    body = compress(b"one ") + compress(b"") + compress(WORDS) + compress(b" three")
    assert decode(coding, body) == b"one " + WORDS + b" three"
    assert decode(coding, *split(body, list(range(200)))) == b"one " + WORDS + b" three"
    with pytest.raises(DecodingError, match=r"body \(stream 2\), after \d decoded bytes: .* early"):
        decode(coding, (compress(b"one ") + compress(b"two"))[:-1])


def test_B10_zeros_after_a_gzip_member_are_padding():
    member = gzip.compress(b"one ")
    assert decode("gzip", member + bytes(100_000)) == b"one "
    assert decode("gzip", member, *[b"\0"] * 10) == b"one "
    assert decode("gzip", member + bytes(512) + member) == b"one one "
    with pytest.raises(DecodingError, match="incorrect header"):
        decode("gzip", member + bytes(512) + b"xy")
    with pytest.raises(DecodingError, match="incorrect header"):
        decode("gzip", bytes(512))


def test_skippable_frame_of_zstd_is_skipped():
    skippable = b"\x50\x2a\x4d\x18\3\0\0\0abc"
    assert decode("zstd", skippable + zstd.compress(WORDS) + skippable) == WORDS


def test_zstd_frame_with_a_large_window_raises():
    body = zstd.compress(WORDS * 1000, options={zstd.CompressionParameter.window_log: 24})
    with pytest.raises(DecodingError, match="too much memory"):
        decode("zstd", body)


def test_R14_body_that_is_not_in_its_coding_raises_with_a_cause():
    with pytest.raises(
        DecodingError, match=r"^gzip body, after 0 decoded bytes: Error -3"
    ) as caught:
        decode("gzip", b"<html>no gzip</html>")
    assert isinstance(caught.value.__cause__, zlib.error)


def test_codings_are_decoded_in_reverse_order():
    body = brotli.compress(gzip.compress(WORDS))
    for chunks in ([body], split(body, list(range(1000)))):
        source = DecodedSource(FakeSource(chunks), ["gzip", "br"])
        assert b"".join(iter(source.read_chunk, b"")) == WORDS
    assert DecodedSource(FakeSource([]), ["gzip", "br"]).read_chunk() == b""
    source = DecodedSource(FakeSource([body[:-1]]), ["gzip", "br"])
    with pytest.raises(DecodingError, match=r"^br body"):
        b"".join(iter(source.read_chunk, b""))


@pytest.mark.parametrize("name", ["gzip", "zlib", "raw", "br", "zstd"])
def test_first_bytes_are_returned_before_the_second_chunk_is_read(name):
    compressor = {
        "gzip": zlib.compressobj(wbits=31),
        "zlib": zlib.compressobj(),
        "raw": zlib.compressobj(wbits=-15),
        "br": brotli.Compressor(),
        "zstd": zstd.ZstdCompressor(),
    }[name]
    if name == "br":
        first = compressor.process(b"first") + compressor.flush()
        rest = compressor.process(b"rest") + compressor.finish()
    else:
        mode = compressor.FLUSH_BLOCK if name == "zstd" else zlib.Z_SYNC_FLUSH
        first = compressor.compress(b"first") + compressor.flush(mode)
        rest = compressor.compress(b"rest") + compressor.flush()
    chunks = FakeSource([first, rest])
    source = DecodedSource(chunks, [COMPRESSORS[name][0]])
    assert source.read_chunk() == b"first"
    assert chunks.reads == 1
    assert source.read_chunk() == b"rest"
    assert source.read_chunk() == b""


@pytest.mark.parametrize("coding", ["gzip", "br", "zstd"])
@pytest.mark.parametrize("size", [1, 7, 4096])
def test_source_can_reuse_one_buffer(coding, size):
    body = COMPRESSORS[coding][1](WORDS)
    source = DecodedSource(OneBuffer(body, size), [coding])
    assert b"".join(iter(source.read_chunk, b"")) == WORDS


def test_buffer_of_a_chunk_is_released_when_it_is_used_up():
    decoder = Decoder("gzip")
    buffer = bytearray(gzip.compress(b"words"))
    decoder.feed(buffer)
    assert decoder.produce() == b"words"
    assert decoder.produce() == b""
    buffer.clear()
    decoder.finish()
    assert decoder.produce() == b""


def test_readinto_and_read_chunk_share_one_position():
    source = DecodedSource(FakeSource([gzip.compress(b"0123456789")]), ["gzip"])
    view = memoryview(bytearray(4))
    assert source.readinto(view) == 4
    assert bytes(view) == b"0123"
    assert source.readinto(view[:2]) == 2
    assert source.read_chunk() == b"6789"
    assert source.readinto(view) == 0
    assert source.read_chunk() == b""


def test_close_closes_the_source_and_can_be_called_twice():
    chunks = FakeSource([gzip.compress(WORDS)])
    source = DecodedSource(chunks, ["deflate", "gzip"])
    assert repr(source) == "<DecodedSource of deflate, open>"
    source.close()
    source.close()
    assert chunks.closed == 2
    assert repr(source) == "<DecodedSource of deflate, closed>"
    ended = DecodedSource(FakeSource([]), ["br"])
    ended.read_chunk()
    assert repr(ended) == "<DecodedSource of br, at its end>"


def test_error_of_the_source_passes_through():
    class Broken(FakeSource):
        def read_chunk(self) -> bytes:
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        DecodedSource(Broken([]), ["gzip"]).read_chunk()


@pytest.mark.parametrize(
    ("values", "codings"),
    [
        ([], ()),
        ([""], ()),
        (["identity"], ()),
        (["gzip"], ("gzip",)),
        (["GZip"], ("gzip",)),
        (["x-gzip"], ("gzip",)),
        (["deflate, gzip", " br "], ("deflate", "gzip", "br")),
        (["gzip,,identity,\tzstd"], ("gzip", "zstd")),
        (["gzip, nobody-knows"], None),
        (["compress"], None),
        (["gzip;q=1"], None),
        (["gzip"] * 5, ("gzip",) * 5),
        (["x"] * 6, None),
    ],
)
def test_content_encoding_is_parsed(values, codings):
    assert parse_codings(values) == codings


def test_more_than_five_codings_raise():
    with pytest.raises(DecodingError, match="6 content codings; at most 5"):
        parse_codings(["gzip, gzip, gzip", "br, br, br, identity"])


def test_accept_encoding_lists_everything_installed():
    assert supported_codings() == ("gzip", "deflate", "br", "zstd")
    assert accept_encoding() == "gzip, deflate, br, zstd"


@pytest.mark.parametrize("missing", ["br", "zstd"])
def test_coding_without_its_package_is_unknown(monkeypatch, missing):
    for name in {"br": ["brotli", "brotlicffi"], "zstd": ["compression.zstd", "backports.zstd"]}[
        missing
    ]:
        monkeypatch.setitem(sys.modules, name, None)
    with clear_caches():
        assert missing not in accept_encoding()
        assert parse_codings([missing]) is None


def test_brotli_without_an_output_limit_is_not_used(monkeypatch):
    class Module:
        class Decompressor:
            """The decompressor of brotli 1.1, without can_accept_more_data."""

    monkeypatch.setitem(sys.modules, "brotli", Module)
    monkeypatch.setitem(sys.modules, "brotlicffi", None)
    with clear_caches():
        assert accept_encoding() == "gzip, deflate, zstd"


@contextmanager
def clear_caches() -> Iterator[None]:
    """Look for installed packages again, inside and after."""
    module = restkit.content_encoding.decoding
    members = inspect.getmembers(module, lambda found: hasattr(found, "cache_clear"))
    functions = [function for _, function in members]
    for function in functions:
        function.cache_clear()
    yield
    for function in functions:
        function.cache_clear()


BOMBS = {
    # One block of compressed zeros, repeated: 10 MB that expand to 10 GB.
    "gzip": """
        import zlib
        c = zlib.compressobj(9, wbits=31)
        head = c.compress(bytes(1 << 20)) + c.flush(zlib.Z_FULL_FLUSH)
        block = c.compress(bytes(1 << 20)) + c.flush(zlib.Z_FULL_FLUSH)
        body = head + block * (10_000_000 // len(block))
        codings = ["gzip"]
    """,
    "members": """
        import gzip
        body = gzip.compress(bytes(10 << 20)) * 1000
        codings = ["gzip"]
    """,
    "deflate": """
        import zlib
        c = zlib.compressobj(9, wbits=-15)
        block = c.compress(bytes(1 << 20)) + c.flush(zlib.Z_FULL_FLUSH)
        body = block * (10_000_000 // len(block))
        codings = ["deflate"]
    """,
    "br": """
        import brotli
        c = brotli.Compressor(quality=3)
        body = b"".join(c.process(bytes(4 << 20)) for _ in range(32)) + c.finish()
        codings = ["br"]
    """,
    "zstd": """
        import sys
        if sys.version_info >= (3, 14):
            from compression import zstd
        else:
            from backports import zstd
        body = zstd.compress(bytes(4 << 20)) * 10_000
        codings = ["zstd"]
    """,
    "gzip in gzip": """
        import gzip
        body = gzip.compress(gzip.compress(bytes(10 << 20)) * 1000)
        codings = ["gzip", "gzip"]
    """,
}


@pytest.mark.parametrize("name", BOMBS)
def test_B08_bomb_is_decoded_step_by_step_in_flat_memory(name):
    setup = (
        inspect.cleandoc(BOMBS[name])
        + """
from restkit.content_encoding.decoding import DecodedSource

class Source:
    body = memoryview(body)

    def read_chunk(self):
        chunk, self.body = self.body[:1 << 20], self.body[1 << 20:]
        return chunk

def read(limit):
    source, total, largest = DecodedSource(Source(), codings), 0, 0
    while total < limit:
        chunk = source.read_chunk()
        total += len(chunk)
        largest = max(largest, len(chunk))
    return largest

read(1 << 10)
"""
    )
    measured = peak_memory(setup, "result = read(64 << 20)")
    assert measured.result <= 2 * MAX_OUTPUT
    assert measured.growth < 12 * MIB


PLACES = st.lists(st.integers(0, 10_000), max_size=20)


@given(st.sampled_from(sorted(COMPRESSORS)), st.binary(max_size=3000), st.integers(1, 50), PLACES)
@example("raw", b"", 1, [1])
@example("gzip", b"\0" * MAX_OUTPUT, 1, [])
@example("raw", b"\0" * MAX_OUTPUT, 1, [])
@example("br", b"\0" * MAX_OUTPUT, 3, [20])
@example("zstd", b"\0" * MAX_OUTPUT, 3, [20])
def test_any_bytes_in_any_coding_and_any_chunks_are_restored(name, data, times, places):
    coding, compress = COMPRESSORS[name]
    data *= times
    assert decode(coding, *split(compress(data), places)) == data


@given(st.lists(st.sampled_from(sorted(COMPRESSORS)), min_size=1, max_size=5), st.binary(), PLACES)
def test_any_nested_codings_are_decoded(names, data, places):
    body = data
    for name in names:
        body = COMPRESSORS[name][1](body)
    codings = [COMPRESSORS[name][0] for name in names]
    source = DecodedSource(FakeSource(split(body, places)), codings)
    assert b"".join(iter(source.read_chunk, b"")) == data


STARTS = [
    b"",
    b"\x1f\x8b\x08",
    b"\x78\x9c",
    b"\x28\xb5\x2f\xfd",
    *(compress(b"x" * 99) for _, compress in COMPRESSORS.values()),
]


@given(
    st.sampled_from(["gzip", "deflate", "br", "zstd"]), st.sampled_from(STARTS), st.binary(), PLACES
)
def test_any_bytes_are_decoded_or_raise_decoding_error(coding, start, data, places):
    with suppress(DecodingError):
        decode(coding, *split(start + data, places))


@given(st.sampled_from(sorted(COMPRESSORS)), st.integers(0, 10_000), st.integers(1, 255))
def test_flipped_byte_never_raises_another_exception(name, place, flip):
    coding, compress = COMPRESSORS[name]
    body = bytearray(compress(WORDS))
    body[place % len(body)] ^= flip
    with suppress(DecodingError):
        decode(coding, bytes(body))


@given(st.integers(0, 10_000), PLACES)
def test_B10_truncated_stream_always_raises(end, places):
    for coding, compress in COMPRESSORS.values():
        body = compress(WORDS)
        kept = body[: 1 + end % (len(body) - 1)]
        with pytest.raises(DecodingError, match="early"):
            decode(coding, *split(kept, places))
