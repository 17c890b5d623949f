"""The records of an archive, byte for byte, on both sides of the limits of 16 and 32 bits."""

from __future__ import annotations

import io
import struct
import zipfile
from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from restkit.zip.records import (
    COMPRESSION_METHOD_DEFLATE,
    COMPRESSION_METHOD_NONE,
    DataSummary,
    Directory,
    Entry,
    encode_descriptor,
    encode_directory_entry,
    encode_dos_time,
    encode_end,
    encode_flags,
    encode_local_header,
    encode_timestamp,
    may_need_zip64,
)

MAX_32 = 0xFFFFFFFF
# Without a time zone, as in restkit 1 to 4.
NAIVE_TIME = datetime(2016, 5, 14, 4, 6, 16)  # noqa: DTZ001


def make_entry(name=b"mister.txt", comment=b"", method=0, *, has_descriptor=False, zip64=False):
    flags = encode_flags(name, comment, has_descriptor=has_descriptor)
    dos_time = encode_dos_time(NAIVE_TIME)
    mode = 0o100644 << 16
    return Entry(name, comment, flags, method, has_descriptor, zip64, dos_time, b"", mode)


def test_local_header_is_that_of_restkit_4_except_for_zip64():
    # The version is 20 and not 45, since zip64 is only used where it is needed.
    expected = b"PK\3\4\x14\0\x08\0\0\0\xc8 \xaeH" + bytes(12) + b"\n\0\0\0mister.txt"

    assert encode_local_header(make_entry(has_descriptor=True), DataSummary()) == expected


def test_known_summary_is_in_the_local_header_and_needs_no_descriptor():
    entry = make_entry(method=COMPRESSION_METHOD_DEFLATE)
    summary = DataSummary(crc=0xCEC0C238, compressed=5, size=9)
    expected = b"PK\3\4\x14\0\0\0\x08\0\xc8 \xaeH8\xc2\xc0\xce\5\0\0\0\x09\0\0\0\n\0\0\0mister.txt"

    assert encode_local_header(entry, summary) == expected
    assert encode_descriptor(entry, summary) == b""


def test_descriptor_below_four_gib_has_16_bytes():
    summary = DataSummary(0xCEC0C238, 5, MAX_32 - 1)

    assert encode_descriptor(make_entry(has_descriptor=True), summary) == (
        b"PK\7\x088\xc2\xc0\xce\5\0\0\0\xfe\xff\xff\xff"
    )


@pytest.mark.parametrize(
    ("zip64", "summary"),
    [
        (False, DataSummary(1, MAX_32, 2)),
        (False, DataSummary(1, 2, MAX_32)),
        (True, DataSummary(1, 2, 3)),
    ],
)
def test_descriptor_has_24_bytes_if_zip64_is_needed_or_announced(zip64, summary):
    record = encode_descriptor(make_entry(has_descriptor=True, zip64=zip64), summary)

    assert record == b"PK\7\x08" + struct.pack("<LQQ", *summary)


def test_local_header_with_zip64_has_the_known_sizes():
    header = encode_local_header(make_entry(zip64=True), DataSummary(7, 5 << 30, 5 << 30))

    assert header == (
        b"PK\3\4\x2d\0\0\0\0\0\xc8 \xaeH\7\0\0\0" + b"\xff" * 8 + b"\n\0\x14\0mister.txt"
        b"\1\0\x10\0" + struct.pack("<QQ", 5 << 30, 5 << 30)
    )


def test_directory_entry_below_four_gib_has_no_zip64():
    record = encode_directory_entry(make_entry(comment=b"said"), DataSummary(7, 5, 9), 11)

    assert record == (
        b"PK\1\2\x2d\3\x14\0\0\0\0\0\xc8 \xaeH\7\0\0\0\5\0\0\0\x09\0\0\0"
        b"\n\0\0\0\4\0\0\0\0\0\0\0\xa4\x81\x0b\0\0\0mister.txtsaid"
    )


@pytest.mark.parametrize(
    ("summary", "offset", "large"),
    [
        (DataSummary(7, 5, MAX_32), 3, [MAX_32]),
        (DataSummary(7, MAX_32, 5), 3, [MAX_32]),
        (DataSummary(7, 5, 9), MAX_32, [MAX_32]),
        (DataSummary(7, 5 << 30, 6 << 30), 7 << 30, [6 << 30, 5 << 30, 7 << 30]),
    ],
)
def test_directory_entry_has_only_the_numbers_in_zip64_that_do_not_fit(summary, offset, large):
    record = encode_directory_entry(make_entry(), summary, offset)

    extra = struct.pack(f"<2H{len(large)}Q", 1, 8 * len(large), *large)
    assert record[46:] == b"mister.txt" + extra
    assert record[6:8] == b"\x2d\0"
    fixed = struct.unpack("<LL", record[20:28]) + struct.unpack("<L", record[42:46])
    assert fixed == tuple(
        min(number, MAX_32) for number in (summary.compressed, summary.size, offset)
    )


def test_empty_archive_has_22_bytes():
    assert Directory().encode() == b"PK\5\6" + bytes(18)
    assert zipfile.ZipFile(io.BytesIO(Directory().encode())).namelist() == []


@pytest.mark.parametrize(
    ("count", "size", "offset", "zip64"),
    [
        (0xFFFE, MAX_32 - 1, MAX_32 - 1, False),
        (0xFFFF, 1, 1, True),
        (1, MAX_32, 1, True),
        (1, 1, MAX_32, True),
    ],
)
def test_end_has_zip64_records_only_if_needed(count, size, offset, zip64):
    end = encode_end(count, size, offset)

    assert len(end) == (98 if zip64 else 22)
    assert end[-22:] == struct.pack(
        "<4s4H2LH", b"PK\5\6", 0, 0, min(count, 0xFFFF), min(count, 0xFFFF), size, offset, 0
    )
    if zip64:
        assert struct.unpack("<4sQ2H2L4Q", end[:56]) == (
            b"PK\6\6", 44, 0x032D, 45, 0, 0, count, count, size, offset
        )  # fmt: skip
        assert struct.unpack("<4sLQL", end[56:76]) == (b"PK\6\7", 0, size + offset, 1)


def test_flags_mark_a_name_or_comment_that_is_not_ascii_as_utf_8():
    assert encode_flags(b"a", b"b", has_descriptor=False) == 0
    assert encode_flags("ü".encode(), b"", has_descriptor=False) == 0x800
    assert encode_flags(b"a", "ü".encode(), has_descriptor=True) == 0x808


@pytest.mark.parametrize(
    ("when", "expected"),
    [
        ("1979-12-31T23:59:59", "1980-01-01T00:00:00"),
        ("0001-01-01T00:00:00", "1980-01-01T00:00:00"),
        ("1980-01-01T00:00:00", "1980-01-01T00:00:00"),
        ("2016-05-14T04:06:17", "2016-05-14T04:06:16"),
        ("2107-12-31T23:59:59", "2107-12-31T23:59:58"),
        ("2108-01-01T00:00:00", "2107-12-31T23:59:58"),
        ("9999-12-31T23:59:59", "2107-12-31T23:59:58"),
    ],
)
@pytest.mark.parametrize("zone", [None, timezone.utc, timezone(timedelta(hours=-11))])
def test_S30_times_are_limited_at_both_ends(when, expected, zone):
    dos_time = encode_dos_time(datetime.fromisoformat(when).replace(tzinfo=zone))

    date, time = dos_time >> 16, dos_time & 0xFFFF
    fields = (date >> 9) + 1980, date >> 5 & 15, date & 31, time >> 11, time >> 5 & 63
    assert datetime(*fields, (time & 31) * 2).isoformat() == expected  # noqa: DTZ001


def test_aware_time_has_a_timestamp():
    when = datetime(2020, 1, 1, 2, tzinfo=timezone(timedelta(hours=2)))

    assert encode_timestamp(when) == b"UT\5\0\1" + struct.pack("<l", 1577836800)
    assert encode_timestamp(when.replace(tzinfo=None)) == b""


@pytest.mark.parametrize("year", [1969, 2039])
def test_time_that_31_bits_do_not_hold_has_no_timestamp(year):
    assert encode_timestamp(datetime(year, 1, 1, tzinfo=timezone.utc)) == b""


def test_deflated_data_may_need_zip64_a_little_below_four_gib():
    assert not may_need_zip64(MAX_32 - 1, COMPRESSION_METHOD_NONE)
    assert may_need_zip64(MAX_32, COMPRESSION_METHOD_NONE)
    assert may_need_zip64(MAX_32 - 1, COMPRESSION_METHOD_DEFLATE)
    assert not may_need_zip64(MAX_32 - (2 << 20), COMPRESSION_METHOD_DEFLATE)


@given(
    st.lists(
        st.tuples(
            st.binary(min_size=1, max_size=20),
            st.integers(0, 8 << 30),
            st.integers(0, 8 << 30),
            st.booleans(),
            st.booleans(),
        ),
        max_size=6,
    )
)
def test_zipfile_reads_every_number_in_the_directory(entries):
    directory, offset = Directory(), 0
    for name, compressed, size, has_descriptor, announced in entries:
        zip64 = announced or (not has_descriptor and max(compressed, size) >= MAX_32)
        entry = make_entry(b"n" + name.hex().encode(), has_descriptor=has_descriptor, zip64=zip64)
        summary = DataSummary(5, compressed, size)
        in_header = DataSummary() if has_descriptor else summary
        header = encode_local_header(entry, in_header)
        overhead = len(header) + len(encode_descriptor(entry, summary))
        directory.add(entry, summary, overhead)
        offset += overhead + compressed

    assert directory.compute_archive_length() == offset + len(directory.encode())
    read = zipfile.ZipFile(EndOfArchive(offset, directory.encode())).infolist()
    assert [(info.compress_size, info.file_size) for info in read] == [
        (compressed, size) for _, compressed, size, _, _ in entries
    ]


class EndOfArchive(io.RawIOBase):
    """A file of which only the end can be read."""

    def __init__(self, offset: int, end: bytes) -> None:
        self._offset, self._end, self._at = offset, end, 0

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    def seek(self, to: int, whence: int = 0) -> int:
        base = (0, self._at, self._offset + len(self._end))[whence]
        if base + to < 0:
            raise OSError(22, "before the beginning")
        self._at = base + to
        return self._at

    def tell(self) -> int:
        return self._at

    def read(self, size: int = -1) -> bytes:
        at = self._at - self._offset
        assert at >= 0, "a read before the directory"
        found = self._end[at:] if size < 0 else self._end[at : at + size]
        self._at += len(found)
        return found
