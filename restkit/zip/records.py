"""The records of the zip format, as bytes.

From PKWARE's APPNOTE 6.3.10: the local header (4.3.7), the data descriptor (4.3.9), the directory
(4.3.12) and its three end records (4.3.14 to 4.3.16), with zip64 where a number does not fit
(4.5.3). The extended timestamp of Info-ZIP (0x5455) holds a moment independent of the time zone.
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

_LOCAL_HEADER = Struct("<4s3H4L2H")
_DESCRIPTOR = Struct("<4s3L")
_ZIP64_DESCRIPTOR = Struct("<4sL2Q")
_DIRECTORY_ENTRY = Struct("<4s4H4L5H2L")
_ZIP64_END = Struct("<4sQ2H2L4Q")
_ZIP64_LOCATOR = Struct("<4sLQL")
_END = Struct("<4s4H2LH")
_ZIP64_SIZES = Struct("<2H2Q")
_TIMESTAMP = Struct("<2HBl")

_MAX_32 = 0xFFFFFFFF  # in a field of 32 bits it means: see the zip64 field
_MAX_16 = 0xFFFF  # the same for a field of 16 bits
_HAS_DESCRIPTOR = 1 << 3
_UTF_8 = 1 << 11
_VERSION, _ZIP64_VERSION = 20, 45
_MADE_BY = 3 << 8 | _ZIP64_VERSION  # 3 is Unix: the attributes contain a mode
_MAX_TIMESTAMP = 2**31 - 1
_FIRST_DOS_TIME = 1 << 21 | 1 << 16  # 1980-01-01 00:00:00
_LAST_DOS_TIME = 127 << 25 | 12 << 21 | 31 << 16 | 23 << 11 | 59 << 5 | 29  # 2107-12-31 23:59:58


class DataSummary(NamedTuple):
    """The CRC of an entry's data, and their size compressed and uncompressed."""

    crc: int = 0
    compressed: int = 0
    size: int = 0


class Entry(NamedTuple):
    """The fields of an entry's records, except the summary of its data.

    ``has_descriptor``: a descriptor with the summary follows the data. ``zip64``: the local header
    announces zip64. ``flags``, ``dos_time`` and ``timestamp`` come from the functions below.
    """

    name: bytes
    comment: bytes
    flags: int
    method: int
    has_descriptor: bool
    zip64: bool
    dos_time: int
    timestamp: bytes
    attributes: int


def may_need_zip64(size: int, method: int) -> bool:
    """Whether data of this size may need zip64. Incompressible data grow when deflated."""
    if method == COMPRESSION_METHOD_DEFLATE:
        size += (size >> 12) + (size >> 14) + (size >> 25) + 13  # compressBound() of zlib
    return size >= _MAX_32


def encode_flags(name: bytes, comment: bytes, *, has_descriptor: bool) -> int:
    """Return the flags for the encoding of the texts, and for a descriptor."""
    is_ascii = name.isascii() and comment.isascii()
    return (0 if is_ascii else _UTF_8) | (_HAS_DESCRIPTOR if has_descriptor else 0)


def encode_dos_time(when: datetime) -> int:
    """Return a time in DOS format: steps of two seconds, limited to the years 1980 to 2107."""
    if when.year < 1980:
        return _FIRST_DOS_TIME
    if when.year > 2107:
        return _LAST_DOS_TIME
    date = (when.year - 1980) << 9 | when.month << 5 | when.day
    return date << 16 | when.hour << 11 | when.minute << 5 | when.second // 2


def encode_timestamp(when: datetime) -> bytes:
    """Return the timestamp field of an aware time that 31 bits can hold, else b''."""
    if when.utcoffset() is None:
        return b""
    seconds = int(when.timestamp())
    return _TIMESTAMP.pack(0x5455, 5, 1, seconds) if 0 <= seconds <= _MAX_TIMESTAMP else b""


def encode_local_header(entry: Entry, summary: DataSummary) -> bytes:
    """Return the record before the data. In ``summary``, an unknown number is zero."""
    extra = entry.timestamp
    crc, compressed, size = summary
    if entry.zip64:
        extra = _ZIP64_SIZES.pack(1, 16, size, compressed) + extra
        compressed = size = _MAX_32
    fixed = _LOCAL_HEADER.pack(
        b"PK\3\4",
        _ZIP64_VERSION if entry.zip64 else _VERSION,
        entry.flags,
        entry.method,
        entry.dos_time,
        crc,
        compressed,
        size,
        len(entry.name),
        len(extra),
    )
    return fixed + entry.name + extra


def encode_descriptor(entry: Entry, summary: DataSummary) -> bytes:
    """Return the record after the data, or b'' if the entry has none.

    It has 24 bytes if zip64 was announced or is needed, else 16: streaming readers rely on this.
    """
    if not entry.has_descriptor:
        return b""
    zip64 = entry.zip64 or summary.compressed >= _MAX_32 or summary.size >= _MAX_32
    record = _ZIP64_DESCRIPTOR if zip64 else _DESCRIPTOR
    return record.pack(b"PK\7\x08", *summary)


def encode_directory_entry(entry: Entry, summary: DataSummary, offset: int) -> bytes:
    """Return the directory's record of an entry whose local header is at ``offset``."""
    crc, compressed, size = summary
    extra = entry.timestamp
    version = _ZIP64_VERSION if entry.zip64 else _VERSION
    if size >= _MAX_32 or compressed >= _MAX_32 or offset >= _MAX_32:
        large = [number for number in (size, compressed, offset) if number >= _MAX_32]
        extra = Struct(f"<2H{len(large)}Q").pack(1, 8 * len(large), *large) + extra
        size, compressed = min(size, _MAX_32), min(compressed, _MAX_32)
        offset = min(offset, _MAX_32)
        version = _ZIP64_VERSION
    fixed = _DIRECTORY_ENTRY.pack(
        b"PK\1\2",
        _MADE_BY,
        version,
        entry.flags,
        entry.method,
        entry.dos_time,
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


def encode_end(count: int, size: int, offset: int) -> bytes:
    """Return the end of an archive: entry count, size and offset of its directory."""
    zip64 = b""
    if count >= _MAX_16 or size >= _MAX_32 or offset >= _MAX_32:
        zip64 = _ZIP64_END.pack(
            b"PK\6\6", 44, _MADE_BY, _ZIP64_VERSION, 0, 0, count, count, size, offset
        ) + _ZIP64_LOCATOR.pack(b"PK\6\7", 0, offset + size, 1)
    count, size, offset = min(count, _MAX_16), min(size, _MAX_32), min(offset, _MAX_32)
    return zip64 + _END.pack(b"PK\5\6", 0, 0, count, count, size, offset, 0)


class Directory:
    """The directory of an archive, collected while its entries are sent or counted."""

    __slots__ = ("_count", "_offset", "_records")

    def __init__(self) -> None:
        self._count = 0
        self._offset = 0
        self._records = bytearray()

    def add(self, entry: Entry, summary: DataSummary, overhead: int) -> None:
        """Add the next entry. ``overhead`` is the size of the records around its data."""
        self._records += encode_directory_entry(entry, summary, self._offset)
        self._offset += overhead + summary.compressed
        self._count += 1

    def encode(self) -> bytes:
        """Return all bytes after the last entry."""
        size = len(self._records)
        return bytes(self._records) + encode_end(self._count, size, self._offset)

    def compute_archive_length(self) -> int:
        """Return the length of an archive that ends here."""
        return self._offset + len(self.encode())
