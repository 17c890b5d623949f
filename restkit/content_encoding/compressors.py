"""Choose the compressor of a coding.

- gzip: one member (RFC 1952) without name and time in its header, so that the same bytes always
  give the same member.
- deflate: zlib's format (RFC 9110 8.4.1.2). Archives use raw deflate (RFC 1951), without header
  and checksum.
- zstd: one frame (RFC 8878) with a checksum, and a window of at most 8 MiB (RFC 9659 3). Levels
  from 20 on would use up to 128 MiB, which receivers refuse.

A level of gzip or deflate is a level of zlib and stands for the size of the output. A faster
package is used at the levels where its output has about the same size. Measured with 64 MiB of
sources and libraries: ``isal`` 1.9.1 at levels 1 to 3 is within 3 % of zlib's size, at three to
four times the speed, and has no higher levels. ``zlib-ng`` 1.1.0 from level 2 on is between 6 %
smaller and 2 % larger, at up to twice the speed. Its level 1 is 21 % larger than zlib's, so its
level 2 is used instead.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from restkit.content_encoding.decoding import ZSTD_WINDOW_LOG, import_optional, import_zstd
from restkit.errors import RequestError
from restkit.io.buffers import Buffer

if TYPE_CHECKING:
    from typing import Any


CODINGS = ("gzip", "deflate", "zstd")
"""The codings of compressed payloads."""

_MAX_ISAL_LEVEL = 3
_ZLIB_FORMAT, _GZIP_FORMAT, _RAW_FORMAT = 15, 31, -15  # window bits of zlib


class Compressor(NamedTuple):
    """One stream of compressed bytes, in memory. Not safe for use by several threads at once."""

    compress: Callable[[Buffer], bytes]
    """Take bytes, and return the output available so far."""
    flush: Callable[[], bytes]
    """Return what a receiver needs to decode all bytes taken so far."""
    finish: Callable[[], bytes]
    """Return the end of the stream. This is the last call."""


def get_compressor_factory(coding: str, level: int | None) -> Callable[[], Compressor]:
    """Return a function that begins a stream.

    ``level`` None is 6 for gzip and deflate, 3 for zstd. Raises RequestError for an unknown coding
    or level, and for a package that is not installed.

    >>> compressor = get_compressor_factory('deflate', level=9)()
    >>> zlib.decompress(compressor.compress(b'some words') + compressor.finish())
    b'some words'
    """
    if coding == "zstd":
        return _get_zstd_factory(3 if level is None else level)
    if coding not in CODINGS:
        raise RequestError(f"compress must be one of {', '.join(CODINGS)}; got {coding!r}")
    level = 6 if level is None else level
    _check_level(coding, level, 0, 9)
    return partial(_open_zlib, level, _GZIP_FORMAT if coding == "gzip" else _ZLIB_FORMAT)


def open_raw_deflate(level: int) -> Compressor:
    """Begin a stream of raw deflate at a level of zlib."""
    return _open_zlib(level, _RAW_FORMAT)


def deflate_raw(data: bytes, level: int) -> bytes:
    """Return all data as raw deflate. For small data this is faster than a stream."""
    package, level = _choose_zlib(level)
    # The one-shot function of Python 3.10 has no raw format, so cut off zlib's header and checksum.
    compressed: bytes = package.compress(data, level)[2:-4]
    return compressed


def crc32(data: Buffer, before: int = 0) -> int:
    """Return the CRC-32 of data that follows data with the CRC ``before``."""
    crc: int = (import_optional("zlib_ng.zlib_ng") or zlib).crc32(data, before)
    return crc


def _check_level(coding: str, level: int, lowest: int, highest: int) -> None:
    if type(level) is not int or not lowest <= level <= highest:
        raise RequestError(f"level must be {lowest} to {highest} for {coding}; got {level!r}")


def _open_zlib(level: int, window_bits: int) -> Compressor:
    package, level = _choose_zlib(level)
    stream = package.compressobj(level, zlib.DEFLATED, window_bits)
    return Compressor(stream.compress, partial(stream.flush, zlib.Z_SYNC_FLUSH), stream.flush)


def _choose_zlib(level: int) -> tuple[Any, int]:
    """Return the fastest package for a level of zlib, and its own level for it.

    Every package has the interface of zlib.
    """
    # Level 0 must not compress, but isal's level 0 does.
    if 1 <= level <= _MAX_ISAL_LEVEL and (isal := import_optional("isal.isal_zlib")):
        return isal, level
    if level and (zlib_ng := import_optional("zlib_ng.zlib_ng")):
        return zlib_ng, max(level, 2)
    return zlib, level


def _get_zstd_factory(level: int) -> Callable[[], Compressor]:
    zstd = import_zstd()
    if zstd is None:
        raise RequestError(
            "compress='zstd' needs Python 3.14 or the package backports.zstd: "
            "pip install 'restkit[zstd]'"
        )
    parameter = zstd.CompressionParameter
    _check_level("zstd", level, *parameter.compression_level.bounds())
    options = {parameter.compression_level: level, parameter.checksum_flag: 1}
    if level > 19:
        options[parameter.window_log] = ZSTD_WINDOW_LOG

    def open_zstd() -> Compressor:
        stream = zstd.ZstdCompressor(options=options)
        flush = partial(stream.flush, stream.FLUSH_BLOCK)
        return Compressor(stream.compress, flush, stream.flush)

    return open_zstd
