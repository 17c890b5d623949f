"""The records of the zip format.

The records around the data of a zip archive, as bytes: pure, with nothing of where they go.

By PKWARE's APPNOTE 6.3.10: the local header (4.3.7), the data descriptor (4.3.9), the directory
(4.3.12) and its three ends (4.3.14 to 4.3.16), zip64 where a number does not fit (4.5.3); and
Info-ZIP's extended timestamp, 0x5455, for a moment that is known whatever the zone.
"""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from datetime import datetime


COMPRESSION_METHOD_NONE = 0
COMPRESSION_METHOD_DEFLATE = 8
COMPRESSION_METHOD_BZIP2 = 12
COMPRESSION_METHOD_LZMA = 14

_LOCAL = Struct("<4s3H4L2H")
_DESCRIPTOR = Struct("<4s3L")
_WIDE_DESCRIPTOR = Struct("<4sL2Q")
_LISTED = Struct("<4s4H4L5H2L")
_WIDE_END = Struct("<4sQ2H2L4Q")
_WIDE_LOCATOR = Struct("<4sLQL")
_END = Struct("<4s4H2LH")
_WIDE_SIZES = Struct("<2H2Q")
_STAMP = Struct("<2HBl")

_FULL = 0xFFFFFFFF  # a field that says: look at zip64
_FULL_COUNT = 0xFFFF
_DESCRIBED = 1 << 3
_UTF_8 = 1 << 11
_VERSION, _WIDE_VERSION = 20, 45
_MADE_BY = 3 << 8 | _WIDE_VERSION  # 3 is Unix: the attributes have a mode
_LAST_MOMENT = 2**31 - 1
_EARLIEST = 1 << 21 | 1 << 16  # 1980-01-01 00:00:00
_LATEST = 127 << 25 | 12 << 21 | 31 << 16 | 23 << 11 | 59 << 5 | 29  # 2107-12-31 23:59:58


class Sums(NamedTuple):
    """What is known of an entry's data: their CRC, and their sizes in the archive and before."""

    crc: int = 0
    compressed: int = 0
    size: int = 0


class Entry(NamedTuple):
    """What the records say of an entry, its sums apart.

    ``described``: the sums follow the data, in a descriptor. ``wide``: zip64 is announced in front
    of them. ``flags``, ``clock`` and ``stamp``: of the functions with these names.
    """

    name: bytes
    comment: bytes
    flags: int
    method: int
    described: bool
    wide: bool
    clock: int
    stamp: bytes
    attributes: int


def outgrows(size: int, method: int) -> bool:
    """Whether data of this size can need zip64: what cannot be deflated gets larger by it."""
    if method == COMPRESSION_METHOD_DEFLATE:
        size += (size >> 12) + (size >> 14) + (size >> 25) + 13  # zlib's compressBound()
    return size >= _FULL


def flags_of(name: bytes, comment: bytes, *, described: bool) -> int:
    """Whether the texts need a word on what they are, and whether the sums come late."""
    plain = name.isascii() and comment.isascii()
    return (0 if plain else _UTF_8) | (_DESCRIBED if described else 0)


def clock_of(when: datetime) -> int:
    """The fields of a time as archives have them: two seconds exact, from 1980 to 2107."""
    if when.year < 1980:
        return _EARLIEST
    if when.year > 2107:
        return _LATEST
    date = (when.year - 1980) << 9 | when.month << 5 | when.day
    return date << 16 | when.hour << 11 | when.minute << 5 | when.second // 2


def stamp_of(when: datetime) -> bytes:
    """The moment, as a field of its own, of a time that knows its zone, where 31 bits hold it."""
    if when.utcoffset() is None:
        return b""
    moment = int(when.timestamp())
    return _STAMP.pack(0x5455, 5, 1, moment) if 0 <= moment <= _LAST_MOMENT else b""


def local_header(entry: Entry, sums: Sums) -> bytes:
    """What is in front of the data; ``sums`` has a zero for each number that is not known yet."""
    extra = entry.stamp
    crc, compressed, size = sums
    if entry.wide:
        extra = _WIDE_SIZES.pack(1, 16, size, compressed) + extra
        compressed = size = _FULL
    fixed = _LOCAL.pack(
        b"PK\3\4",
        _WIDE_VERSION if entry.wide else _VERSION,
        entry.flags,
        entry.method,
        entry.clock,
        crc,
        compressed,
        size,
        len(entry.name),
        len(extra),
    )
    return fixed + entry.name + extra


def descriptor(entry: Entry, sums: Sums) -> bytes:
    """What follows the data: nothing, unless the entry is described there.

    24 bytes where zip64 was announced or is needed, else 16: stream readers count on that.
    """
    if not entry.described:
        return b""
    wide = entry.wide or sums.compressed >= _FULL or sums.size >= _FULL
    shape = _WIDE_DESCRIPTOR if wide else _DESCRIPTOR
    return shape.pack(b"PK\7\x08", *sums)


def listed(entry: Entry, sums: Sums, offset: int) -> bytes:
    """The directory's record of an entry whose local header is at ``offset``."""
    crc, compressed, size = sums
    extra = entry.stamp
    version = _WIDE_VERSION if entry.wide else _VERSION
    if size >= _FULL or compressed >= _FULL or offset >= _FULL:
        large = [number for number in (size, compressed, offset) if number >= _FULL]
        extra = Struct(f"<2H{len(large)}Q").pack(1, 8 * len(large), *large) + extra
        size, compressed, offset = min(size, _FULL), min(compressed, _FULL), min(offset, _FULL)
        version = _WIDE_VERSION
    fixed = _LISTED.pack(
        b"PK\1\2",
        _MADE_BY,
        version,
        entry.flags,
        entry.method,
        entry.clock,
        crc,
        compressed,
        size,
        len(entry.name),
        len(extra),
        len(entry.comment),
        0,
        0,
        entry.attributes,
        offset,
    )
    return fixed + entry.name + extra + entry.comment


def end_records(count: int, size: int, offset: int) -> bytes:
    """What ends the archive: how many entries the directory has, how large it is and where."""
    wide = b""
    if count >= _FULL_COUNT or size >= _FULL or offset >= _FULL:
        wide = _WIDE_END.pack(
            b"PK\6\6", 44, _MADE_BY, _WIDE_VERSION, 0, 0, count, count, size, offset
        ) + _WIDE_LOCATOR.pack(b"PK\6\7", 0, offset + size, 1)
    count = min(count, _FULL_COUNT)
    return wide + _END.pack(b"PK\5\6", 0, 0, count, count, min(size, _FULL), min(offset, _FULL), 0)


class Directory:
    """What the end of an archive lists, gathered while its entries go by, or are counted."""

    __slots__ = ("_count", "_offset", "_records")

    def __init__(self) -> None:
        self._count = 0
        self._offset = 0
        self._records = bytearray()

    def add(self, entry: Entry, sums: Sums, around: int) -> None:
        """List the entry that comes next in the archive, with so many bytes around its data."""
        self._records += listed(entry, sums, self._offset)
        self._offset += around + sums.compressed
        self._count += 1

    def whole(self) -> bytes:
        """Everything that follows the last entry."""
        size = len(self._records)
        return bytes(self._records) + end_records(self._count, size, self._offset)

    def archive_length(self) -> int:
        """The length of an archive that ends here."""
        return self._offset + len(self.whole())
