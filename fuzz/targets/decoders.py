"""Content codings: restkit's decoders, on split input, compared with zlib, brotli and zstd.

An input is a coding, a space and the coded bytes. With a plus before the coding, the bytes are
encoded first, so that mutations reach what lies behind checksums.
"""

from __future__ import annotations

import gzip
import random
import zlib
from collections.abc import Callable, Sequence
from typing import NamedTuple

import brotli

from fuzz.target import Mismatch, Target, compare, make_random, split_at_random
from restkit.content_encoding.decoding import ZSTD_WINDOW_LOG, DecodedSource, import_zstd
from restkit.errors import DecodingError
from support.differences.decoders import DIFFERENCES

zstd = import_zstd()

LIMIT = 1024 * 1024
"""Decoded bytes after which an expansion is compared no further."""


class Outcome(NamedTuple):
    """The result of one decoder: decoded bytes, at most LIMIT of them, or an error."""

    fault: str = ""
    body: bytes = b""


class Parts:
    """A source of these parts."""

    def __init__(self, parts: Sequence[bytes]) -> None:
        self._parts = iter([part for part in parts if part])

    def read_chunk(self) -> bytes:
        return next(self._parts, b"")

    def readinto(self, view: memoryview) -> int:
        raise AssertionError("a DecodedSource reads chunks")

    def close(self) -> None:
        pass


def decode_by_restkit(codings: Sequence[str], parts: Sequence[bytes]) -> Outcome:
    """Decode the parts, until the end or the limit."""
    source, body = DecodedSource(Parts(parts), codings), b""
    try:
        while len(body) < LIMIT and (chunk := source.read_chunk()):
            body += chunk
    except DecodingError as exc:
        return Outcome(str(exc))
    return Outcome("", body[:LIMIT])


# The other decoders


def decode_gzip(data: bytes) -> bytes:
    """Decode each member with zlib; zeros after a member are padding, as in gzip(1)."""
    body = b""
    while data:
        member = zlib.decompressobj(31)
        body += member.decompress(data, LIMIT)
        if len(body) >= LIMIT:
            break
        if not member.eof:
            raise EOFError("the stream ends early")
        data = member.unused_data.lstrip(b"\0")
    return body


def decode_deflate(data: bytes) -> bytes:
    """Decode one stream of zlib's format, or a raw one."""
    if not data:
        return b""
    stream = zlib.decompressobj(15 if data[0] & 0x8F == 0x08 else -15)
    body = stream.decompress(data, LIMIT)
    if len(body) < LIMIT and (not stream.eof or stream.unused_data):
        raise EOFError("the stream ends early, or data follows it")
    return body


def decode_brotli(data: bytes) -> bytes:
    """Decode one stream; the one call has no bound, so the size is found out before it."""
    if not data:
        return b""
    probe = brotli.Decompressor()
    body = probe.process(data, output_buffer_limit=LIMIT)
    if len(body) >= LIMIT:
        return bytes(body)
    return bytes(brotli.decompress(data))


def decode_zstd(data: bytes) -> bytes:
    """Decode each frame."""
    body = b""
    options = {zstd.DecompressionParameter.window_log_max: ZSTD_WINDOW_LOG}
    while data and len(body) < LIMIT:
        frame = zstd.ZstdDecompressor(options=options)
        body += frame.decompress(data, LIMIT)
        if len(body) < LIMIT and not frame.eof:
            raise EOFError("the frame ends early")
        data = frame.unused_data
    return body


DECODERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": decode_gzip,
    "deflate": decode_deflate,
    "br": decode_brotli,
    "zstd": decode_zstd,
}


def decode_by_library(coding: str, data: bytes) -> Outcome:
    """Decode the data at once."""
    try:
        return Outcome("", DECODERS[coding](data)[:LIMIT])
    except (zlib.error, brotli.error, zstd.ZstdError, EOFError) as exc:
        return Outcome(str(exc) or "an error")


# Encoded inputs


def encode(coding: str, data: bytes, source: random.Random) -> bytes:
    """Encode the data with random options, as one stream."""
    level = source.randint(1, 9)
    if coding == "gzip":
        return gzip.compress(data, level, mtime=0)
    if coding == "deflate":
        encoder = zlib.compressobj(level, wbits=source.choice([-15, -9, 9, 15]))
        return encoder.compress(data) + encoder.flush()
    if coding == "br":
        return bytes(brotli.compress(data, quality=level))
    return bytes(zstd.compress(data, level))


def make_streams(coding: str, data: bytes, source: random.Random) -> tuple[bytes, str | None]:
    """Return one or two encoded streams, and whether they are complete: None, or their fault."""
    coded = encode(coding, data, source)
    kind = source.randrange(5)
    if kind == 0:
        return coded[: source.randrange(len(coded))], "cut"
    if kind == 1:
        return coded + encode(
            coding, data, source
        ), None if coding in "gzip zstd" else "two streams"
    if kind == 2:
        return coded + b"\0" * source.randint(1, 9), None if coding == "gzip" else "zeros"
    if kind == 3:
        return coded + b"\1", "garbage"
    return coded, None


def check(data: bytes) -> None:
    """Decode the bytes of an input in parts, and at once."""
    word, _, coded = data.partition(b" ")
    coding, source = word.decode("latin-1").lstrip("+"), make_random(data)
    if coding not in DECODERS:
        return
    if word.startswith(b"+"):
        check_encoded(coding, coded, source)
        return
    check_coded(coding, coded, source)


def check_encoded(coding: str, data: bytes, source: random.Random) -> None:
    """Decode what other programs encoded: the same bytes come back, or an error."""
    coded, fault = make_streams(coding, data, source)
    ours = check_coded(coding, coded, source)
    is_whole = not coded  # a body without a byte is valid
    if fault and not ours.fault and not is_whole:
        raise Mismatch(f"{coding}: accepted with {fault}", f"{coded!r}: {ours}")
    if not fault and (ours.fault or ours.body.replace(data, b"")):
        raise Mismatch(f"{coding}: other bytes", f"{coded!r}: {ours}, not {data!r}")
    twice = encode("gzip", coded, source)
    inner = decode_by_restkit([coding, "gzip"], split_at_random(twice, source))
    compare(DIFFERENCES, coded, f"{coding}-in-parts", ours, inner)


def check_coded(coding: str, coded: bytes, source: random.Random) -> Outcome:
    """Compare the result of restkit, also in parts, with that of the library."""
    ours = decode_by_restkit([coding], [coded])
    parts = split_at_random(coded, source)
    split = decode_by_restkit([coding], parts)
    compare(DIFFERENCES, coded, f"{coding}-in-parts", ours, split)
    compare(DIFFERENCES, coded, coding, ours, decode_by_library(coding, coded))
    return ours


_TEXT = b"so much to say, " * 9
TARGET = Target(
    check,
    seeds=[
        *(
            word + b" " + encode(word.decode(), text, random.Random(number))
            for number in range(3)
            for text in (b"", b"a", _TEXT)
            for word in (b"gzip", b"deflate", b"br", b"zstd")
        ),
        *(b"+%b %b" % (word, _TEXT) for word in (b"gzip", b"deflate", b"br", b"zstd")),
    ],
    words=[b"+", b"gzip ", b"deflate ", b"br ", b"zstd ", b"\x1f\x8b\x08", b"\x28\xb5\x2f\xfd"],
    max_length=600,
)
