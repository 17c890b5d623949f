"""Content codings: whole streams decoded from any pieces, anything else an error, memory flat."""

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

import restkit.coding
import restkit.decoder
from restkit.coding import DecodedSource, accept_encoding, parse_codings
from restkit.decoder import STEP, Decoder, supported_codings
from restkit.errors import DecodingError
from support.memory import MIB, peak_memory

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd


def raw_deflate(data: bytes) -> bytes:
    compressor = zlib.compressobj(wbits=-15)
    return compressor.compress(data) + compressor.flush()


# By name, so that a failing example names its coding: coding, and what compresses for it.
COMPRESSORS: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "gzip": ("gzip", gzip.compress),
    "zlib": ("deflate", zlib.compress),
    "raw": ("deflate", raw_deflate),
    "br": ("br", brotli.compress),
    "zstd": ("zstd", zstd.compress),
}
WORDS = b"some words, and then some more words, and so on; " * 400


class Pieces:
    """A source of the given pieces, which counts what it was asked for."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = iter(pieces)
        self.asked = 0
        self.closed = 0

    def read_piece(self) -> bytes:
        self.asked += 1
        return next(self._pieces, b"")

    def close(self) -> None:
        self.closed += 1


class OneBuffer:
    """A source whose pieces are all the same buffer, as a socket's are that is received into."""

    def __init__(self, data: bytes, size: int) -> None:
        self._data = data
        self._buffer = bytearray(size)

    def read_piece(self) -> memoryview:
        piece, self._data = self._data[: len(self._buffer)], self._data[len(self._buffer) :]
        self._buffer[:] = b"\xee" * len(self._buffer)
        self._buffer[: len(piece)] = piece
        return memoryview(self._buffer)[: len(piece)]

    def close(self) -> None:
        pass


def decoded(coding: str, *pieces: bytes) -> bytes:
    source = DecodedSource(Pieces(pieces), [coding])
    return b"".join(iter(source.read_piece, b""))


def cut(data: bytes, places: list[int]) -> list[bytes]:
    bounds = sorted({0, len(data), *(place % (len(data) + 1) for place in places)})
    return [data[start:end] for start, end in pairwise(bounds)]


@pytest.mark.parametrize("name", COMPRESSORS)
def test_Z07_S35_R14_every_coding_is_decoded(name):
    coding, compress = COMPRESSORS[name]
    assert decoded(coding, compress(WORDS)) == WORDS
    assert decoded(coding, compress(b"")) == b""
    assert decoded(coding, *cut(compress(WORDS), list(range(1000)))) == WORDS


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd"])
def test_a_body_of_no_bytes_is_empty_whatever_its_coding(coding):
    assert decoded(coding) == b""


@pytest.mark.parametrize("name", COMPRESSORS)
@pytest.mark.parametrize("kept", [1, 2, 0.5, -1])
def test_B10_S35_a_stream_that_ends_early_is_an_error_after_what_came(name, kept):
    coding, compress = COMPRESSORS[name]
    whole = compress(WORDS)
    source = DecodedSource(
        Pieces([whole[: int(len(whole) * kept) if kept == 0.5 else kept]]), [coding]
    )
    came = b""
    with pytest.raises(DecodingError, match=rf"^{coding} body, after \d+ decoded bytes: .* early$"):
        while True:
            came += source.read_piece()
    assert WORDS.startswith(came)
    if (name, kept) == ("gzip", -1):
        assert came == WORDS
    for _ in range(2):
        with pytest.raises(DecodingError, match=r"early$"):
            source.readinto(memoryview(bytearray(10)))


@pytest.mark.parametrize("name", COMPRESSORS)
@pytest.mark.parametrize("rubbish", [b"x", b"rubbish", b"\x1f", b"(", b"<html>" * 100])
@pytest.mark.parametrize("apart", [True, False])
def test_B10_what_follows_the_end_is_an_error(name, rubbish, apart):
    coding, compress = COMPRESSORS[name]
    pieces = [compress(WORDS), rubbish] if apart else [compress(WORDS) + rubbish]
    with pytest.raises(DecodingError, match=f"^{coding} body"):
        decoded(coding, *pieces)


@pytest.mark.parametrize("place", range(-8, 0))
def test_B10_a_wrong_crc_or_length_is_an_error(place):
    body = bytearray(gzip.compress(WORDS))
    body[place] ^= 1
    with pytest.raises(DecodingError, match=r"incorrect (data|length) check"):
        decoded("gzip", bytes(body))


def test_B10_a_wrong_checksum_of_zlib_and_zstd_is_an_error():
    with pytest.raises(DecodingError, match="incorrect data check"):
        decoded("deflate", zlib.compress(WORDS)[:-1] + b"\0")
    checked = zstd.compress(WORDS, options={zstd.CompressionParameter.checksum_flag: 1})
    with pytest.raises(DecodingError, match=r"^zstd body"):
        decoded("zstd", checked[:-1] + bytes([checked[-1] ^ 1]))


@pytest.mark.parametrize("coding", ["gzip", "zstd"])
def test_B10_S35_streams_one_after_another_are_all_decoded(coding):
    compress = COMPRESSORS[coding][1]
    body = compress(b"one ") + compress(b"") + compress(WORDS) + compress(b" three")
    assert decoded(coding, body) == b"one " + WORDS + b" three"
    assert decoded(coding, *cut(body, list(range(200)))) == b"one " + WORDS + b" three"
    with pytest.raises(DecodingError, match=r"body \(stream 2\), after \d decoded bytes: .* early"):
        decoded(coding, (compress(b"one ") + compress(b"two"))[:-1])


def test_B10_zeros_behind_a_gzip_member_are_padding():
    member = gzip.compress(b"one ")
    assert decoded("gzip", member + bytes(100_000)) == b"one "
    assert decoded("gzip", member, *[b"\0"] * 10) == b"one "
    assert decoded("gzip", member + bytes(512) + member) == b"one one "
    with pytest.raises(DecodingError, match="incorrect header"):
        decoded("gzip", member + bytes(512) + b"xy")
    with pytest.raises(DecodingError, match="incorrect header"):
        decoded("gzip", bytes(512))


def test_a_skippable_frame_of_zstd_is_skipped():
    skippable = b"\x50\x2a\x4d\x18\3\0\0\0abc"
    assert decoded("zstd", skippable + zstd.compress(WORDS) + skippable) == WORDS


def test_a_zstd_frame_that_asks_for_much_memory_is_an_error():
    body = zstd.compress(WORDS * 1000, options={zstd.CompressionParameter.window_log: 24})
    with pytest.raises(DecodingError, match="too much memory"):
        decoded("zstd", body)


def test_R14_what_is_not_in_its_coding_is_an_error_with_its_cause():
    with pytest.raises(
        DecodingError, match=r"^gzip body, after 0 decoded bytes: Error -3"
    ) as caught:
        decoded("gzip", b"<html>no gzip</html>")
    assert isinstance(caught.value.__cause__, zlib.error)


def test_codings_come_off_in_the_reverse_of_their_order():
    body = brotli.compress(gzip.compress(WORDS))
    for pieces in ([body], cut(body, list(range(1000)))):
        source = DecodedSource(Pieces(pieces), ["gzip", "br"])
        assert b"".join(iter(source.read_piece, b"")) == WORDS
    assert DecodedSource(Pieces([]), ["gzip", "br"]).read_piece() == b""
    source = DecodedSource(Pieces([body[:-1]]), ["gzip", "br"])
    with pytest.raises(DecodingError, match=r"^br body"):
        b"".join(iter(source.read_piece, b""))


@pytest.mark.parametrize("name", ["gzip", "zlib", "raw", "br", "zstd"])
def test_the_first_bytes_come_out_before_the_second_piece_is_asked_for(name):
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
    pieces = Pieces([first, rest])
    source = DecodedSource(pieces, [COMPRESSORS[name][0]])
    assert source.read_piece() == b"first"
    assert pieces.asked == 1
    assert source.read_piece() == b"rest"
    assert source.read_piece() == b""


@pytest.mark.parametrize("coding", ["gzip", "br", "zstd"])
@pytest.mark.parametrize("size", [1, 7, 4096])
def test_a_source_may_give_one_buffer_again_and_again(coding, size):
    body = COMPRESSORS[coding][1](WORDS)
    source = DecodedSource(OneBuffer(body, size), [coding])
    assert b"".join(iter(source.read_piece, b"")) == WORDS


def test_the_buffer_of_a_piece_is_let_go_once_it_is_used_up():
    decoder = Decoder("gzip")
    buffer = bytearray(gzip.compress(b"words"))
    decoder.feed(buffer)
    assert decoder.produce() == b"words"
    assert decoder.produce() == b""
    buffer.clear()
    decoder.finish()
    assert decoder.produce() == b""


def test_readinto_and_read_piece_share_one_position():
    source = DecodedSource(Pieces([gzip.compress(b"0123456789")]), ["gzip"])
    view = memoryview(bytearray(4))
    assert source.readinto(view) == 4
    assert bytes(view) == b"0123"
    assert source.readinto(view[:2]) == 2
    assert source.read_piece() == b"6789"
    assert source.readinto(view) == 0
    assert source.read_piece() == b""


def test_close_closes_the_source_and_may_be_called_twice():
    pieces = Pieces([gzip.compress(WORDS)])
    source = DecodedSource(pieces, ["deflate", "gzip"])
    assert repr(source) == "<DecodedSource of deflate, open>"
    source.close()
    source.close()
    assert pieces.closed == 2
    assert repr(source) == "<DecodedSource of deflate, closed>"
    ended = DecodedSource(Pieces([]), ["br"])
    ended.read_piece()
    assert repr(ended) == "<DecodedSource of br, at its end>"


def test_an_error_of_the_source_passes_as_it_is():
    class Broken(Pieces):
        def read_piece(self) -> bytes:
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        DecodedSource(Broken([]), ["gzip"]).read_piece()


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
def test_content_encoding_is_read(values, codings):
    assert parse_codings(values) == codings


def test_more_than_five_codings_are_an_error():
    with pytest.raises(DecodingError, match="6 content codings one over another; 5 are the most"):
        parse_codings(["gzip, gzip, gzip", "br, br, br, identity"])


def test_all_that_is_installed_is_asked_for():
    assert supported_codings() == ("gzip", "deflate", "br", "zstd")
    assert accept_encoding() == "gzip, deflate, br, zstd"


@pytest.mark.parametrize("missing", ["br", "zstd"])
def test_a_coding_without_its_package_is_neither_asked_for_nor_known(monkeypatch, missing):
    for name in {"br": ["brotli", "brotlicffi"], "zstd": ["compression.zstd", "backports.zstd"]}[
        missing
    ]:
        monkeypatch.setitem(sys.modules, name, None)
    with fresh_caches():
        assert missing not in accept_encoding()
        assert parse_codings([missing]) is None


def test_a_brotli_that_cannot_be_bounded_is_as_good_as_none(monkeypatch):
    class Module:
        class Decompressor:
            """As of brotli 1.1: without can_accept_more_data."""

    monkeypatch.setitem(sys.modules, "brotli", Module)
    monkeypatch.setitem(sys.modules, "brotlicffi", None)
    with fresh_caches():
        assert accept_encoding() == "gzip, deflate, zstd"


@contextmanager
def fresh_caches() -> Iterator[None]:
    """What is installed is looked for again, inside and after."""
    functions = [
        function
        for module in (restkit.coding, restkit.decoder)
        for _, function in inspect.getmembers(module, lambda found: hasattr(found, "cache_clear"))
    ]
    for function in functions:
        function.cache_clear()
    yield
    for function in functions:
        function.cache_clear()


BOMBS = {
    # One block of compressed zeros, again and again: 10 MB that swell to 10 GB.
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
def test_B08_a_bomb_is_decoded_step_by_step_in_flat_memory(name):
    setup = (
        inspect.cleandoc(BOMBS[name])
        + """
from restkit.coding import DecodedSource

class Source:
    body = memoryview(body)

    def read_piece(self):
        piece, self.body = self.body[:1 << 20], self.body[1 << 20:]
        return piece

def read(limit):
    source, total, largest = DecodedSource(Source(), codings), 0, 0
    while total < limit:
        piece = source.read_piece()
        total += len(piece)
        largest = max(largest, len(piece))
    return largest

read(1 << 10)
"""
    )
    measured = peak_memory(setup, "result = read(64 << 20)")
    assert measured.result <= 2 * STEP
    assert measured.growth < 12 * MIB


PLACES = st.lists(st.integers(0, 10_000), max_size=20)


@given(st.sampled_from(sorted(COMPRESSORS)), st.binary(max_size=3000), st.integers(1, 50), PLACES)
@example("raw", b"", 1, [1])
@example("gzip", b"\0" * STEP, 1, [])
@example("raw", b"\0" * STEP, 1, [])
@example("br", b"\0" * STEP, 3, [20])
@example("zstd", b"\0" * STEP, 3, [20])
def test_any_bytes_in_any_coding_and_any_pieces_come_back(name, data, times, places):
    coding, compress = COMPRESSORS[name]
    data *= times
    assert decoded(coding, *cut(compress(data), places)) == data


@given(st.lists(st.sampled_from(sorted(COMPRESSORS)), min_size=1, max_size=5), st.binary(), PLACES)
def test_any_codings_one_over_another_come_off(names, data, places):
    body = data
    for name in names:
        body = COMPRESSORS[name][1](body)
    codings = [COMPRESSORS[name][0] for name in names]
    source = DecodedSource(Pieces(cut(body, places)), codings)
    assert b"".join(iter(source.read_piece, b"")) == data


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
def test_any_bytes_at_all_are_decoded_or_an_error(coding, start, data, places):
    with suppress(DecodingError):
        decoded(coding, *cut(start + data, places))


@given(st.sampled_from(sorted(COMPRESSORS)), st.integers(0, 10_000), st.integers(1, 255))
def test_a_flipped_byte_never_makes_another_exception(name, place, flip):
    coding, compress = COMPRESSORS[name]
    body = bytearray(compress(WORDS))
    body[place % len(body)] ^= flip
    with suppress(DecodingError):
        decoded(coding, bytes(body))


@given(st.integers(0, 10_000), PLACES)
def test_B10_no_cut_of_a_stream_is_taken_for_the_whole(end, places):
    for coding, compress in COMPRESSORS.values():
        body = compress(WORDS)
        kept = body[: 1 + end % (len(body) - 1)]
        with pytest.raises(DecodingError, match="early"):
            decoded(coding, *cut(kept, places))
