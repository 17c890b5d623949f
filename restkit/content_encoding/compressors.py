"""Choose the compressor of a coding.

Bytes compressed, in memory: what compresses, by which package, and how hard it tries.

- gzip: one member (RFC 1952) without a name or a time in its head, so that the same bytes always
  give the same member;
- deflate: zlib's format (RFC 9110 8.4.1.2); in archives raw (RFC 1951), without head and end;
- zstd: one frame (RFC 8878) with a checksum, and a window of at most the 8 MiB that RFC 9659 3
  allows: levels from 20 on would take up to 128 MiB, which receivers refuse. The standard
  library from Python 3.14 on, else ``backports.zstd``.

A level of gzip or deflate is zlib's, and stands for how small the output is; a faster package is
taken at those of its own levels that give about the same. Of 64 MiB of sources and libraries,
``isal`` 1.9.1 made at 1 to 3 what zlib did, up to 3 % more or less, at three to four times the
speed; it has no higher levels. ``zlib-ng`` 1.1.0 did so from 2 on, up to 6 % less and 2 % more, at
up to twice the speed; its 1 makes 21 % more than zlib's, so that its 2 stands in for it.
"""

from __future__ import annotations

import zlib
from functools import cache, partial
from importlib import import_module
from typing import TYPE_CHECKING, NamedTuple

from restkit.errors import RequestError

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from restkit.io.buffers import Buffer


CODINGS = ("gzip", "deflate", "zstd")
"""What payloads can be compressed to."""

_WINDOW_LOG = 23
_ISAL_HIGHEST = 3
_MISSING = (
    "compress='zstd' takes the package backports.zstd (pip install 'restkit[zstd]'), or Python 3.14"
)


class Compressor(NamedTuple):
    """One stream being compressed, in memory; not safe for threads by itself."""

    compress: Callable[[Buffer], bytes]
    """Take some bytes, and give what comes out of them by now."""
    flush: Callable[[], bytes]
    """Give so much that whoever receives it has all that was taken."""
    finish: Callable[[], bytes]
    """Give the end of the stream; the last call."""


def compressing(coding: str, level: int | None) -> Callable[[], Compressor]:
    """What makes a compressor for each pass.

    ``level`` None is 6 of gzip and deflate, 3 of zstd. Raises RequestError for a coding or a level
    that there is not, and for a package that is not installed.
    """
    if coding == "zstd":
        return _zstd_at(3 if level is None else level)
    if coding not in CODINGS:
        raise RequestError(f"compress={coding!r}: {', '.join(CODINGS)} are the codings to choose")
    level = 6 if level is None else level
    _refuse_odd_level(coding, level, 0, 9)
    return partial(_deflating, level, 31 if coding == "gzip" else 15)


def deflating(level: int) -> Compressor:
    """One stream of raw deflate, at a level of zlib's."""
    return _deflating(level, -15)


def deflated(data: bytes, level: int) -> bytes:
    """All of it as raw deflate: of what is small, a stream would take longer to begin."""
    package, level = _fastest(level)
    # In zlib's format it stands between a head and a sum; by itself Python 3.10 does not give it.
    packed: bytes = package.compress(data, level)[2:-4]
    return packed


def crc_32(data: Buffer, before: int = 0) -> int:
    """The CRC that archives have, of this behind what has the CRC ``before``."""
    number: int = (_installed("zlib_ng.zlib_ng") or zlib).crc32(data, before)
    return number


def _refuse_odd_level(coding: str, level: int, lowest: int, highest: int) -> None:
    if type(level) is not int or not lowest <= level <= highest:
        raise RequestError(f"level={level!r}: {coding} has the levels {lowest} to {highest}")


def _deflating(level: int, window_bits: int) -> Compressor:
    package, level = _fastest(level)
    stream = package.compressobj(level, zlib.DEFLATED, window_bits)
    return Compressor(stream.compress, partial(stream.flush, zlib.Z_SYNC_FLUSH), stream.flush)


def _fastest(level: int) -> tuple[Any, int]:
    """What is fastest at this level of zlib's, and its own level; each has zlib's interface."""
    # At 0 nothing is compressed; igzip's 0 compresses.
    if 1 <= level <= _ISAL_HIGHEST and (isal := _installed("isal.isal_zlib")):
        return isal, level
    if level and (zlib_ng := _installed("zlib_ng.zlib_ng")):
        return zlib_ng, max(level, 2)
    return zlib, level


@cache
def _installed(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError:
        return None


def _zstd_at(level: int) -> Callable[[], Compressor]:
    zstd = _installed("compression.zstd") or _installed("backports.zstd")
    if zstd is None:
        raise RequestError(_MISSING)
    option = zstd.CompressionParameter
    _refuse_odd_level("zstd", level, *option.compression_level.bounds())
    options = {option.compression_level: level, option.checksum_flag: 1}
    if level > 19:
        options[option.window_log] = _WINDOW_LOG

    def begin() -> Compressor:
        stream = zstd.ZstdCompressor(options=options)
        flush = partial(stream.flush, stream.FLUSH_BLOCK)
        return Compressor(stream.compress, flush, stream.flush)

    return begin
