"""The records of an archive, byte for byte, on both sides of what 16 and 32 bits can hold."""

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
    Directory,
    Entry,
    Sums,
    clock_of,
    descriptor,
    end_records,
    flags_of,
    listed,
    local_header,
    outgrows,
    stamp_of,
)

FULL = 0xFFFFFFFF
SEEDS_TIME = datetime(2016, 5, 14, 4, 6, 16)  # noqa: DTZ001  # of no zone, as the original's are


def entry(name=b"mister.txt", comment=b"", method=0, *, described=False, wide=False, stamp=b""):
    flags = flags_of(name, comment, described=described)
    clock = clock_of(SEEDS_TIME)
    return Entry(name, comment, flags, method, described, wide, clock, stamp, 0o100644 << 16)


def test_the_originals_local_header_where_it_still_applies():
    # Version 20 instead of 45: zip64 is where it is needed.
    expected = b"PK\3\4\x14\0\x08\0\0\0\xc8 \xaeH" + bytes(12) + b"\n\0\0\0mister.txt"

    assert local_header(entry(described=True), Sums()) == expected


def test_sums_that_are_known_stand_in_front_and_nothing_stands_behind():
    known = entry(method=COMPRESSION_METHOD_DEFLATE)
    sums = Sums(crc=0xCEC0C238, compressed=5, size=9)
    expected = b"PK\3\4\x14\0\0\0\x08\0\xc8 \xaeH8\xc2\xc0\xce\5\0\0\0\x09\0\0\0\n\0\0\0mister.txt"

    assert local_header(known, sums) == expected
    assert descriptor(known, sums) == b""


def test_a_descriptor_of_less_than_four_gib_has_16_bytes():
    sums = Sums(0xCEC0C238, 5, FULL - 1)

    assert descriptor(entry(described=True), sums) == (
        b"PK\7\x088\xc2\xc0\xce\5\0\0\0\xfe\xff\xff\xff"
    )


@pytest.mark.parametrize(
    ("wide", "sums"), [(False, Sums(1, FULL, 2)), (False, Sums(1, 2, FULL)), (True, Sums(1, 2, 3))]
)
def test_a_descriptor_has_24_bytes_where_zip64_is_needed_or_was_announced(wide, sums):
    found = descriptor(entry(described=True, wide=wide), sums)

    assert found == b"PK\7\x08" + struct.pack("<LQQ", *sums)


def test_zip64_is_announced_in_front_with_the_sizes_that_are_known():
    stored = local_header(entry(wide=True), Sums(7, 5 << 30, 5 << 30))

    assert stored == (
        b"PK\3\4\x2d\0\0\0\0\0\xc8 \xaeH\7\0\0\0" + b"\xff" * 8 + b"\n\0\x14\0mister.txt"
        b"\1\0\x10\0" + struct.pack("<QQ", 5 << 30, 5 << 30)
    )


def test_the_directory_has_what_32_bits_hold():
    found = listed(entry(comment=b"said"), Sums(7, 5, 9), 11)

    assert found == (
        b"PK\1\2\x2d\3\x14\0\0\0\0\0\xc8 \xaeH\7\0\0\0\5\0\0\0\x09\0\0\0"
        b"\n\0\0\0\4\0\0\0\0\0\0\0\xa4\x81\x0b\0\0\0mister.txtsaid"
    )


@pytest.mark.parametrize(
    ("sums", "offset", "wide"),
    [
        (Sums(7, 5, FULL), 3, [FULL]),
        (Sums(7, FULL, 5), 3, [FULL]),
        (Sums(7, 5, 9), FULL, [FULL]),
        (Sums(7, 5 << 30, 6 << 30), 7 << 30, [6 << 30, 5 << 30, 7 << 30]),
    ],
)
def test_the_directory_has_in_zip64_just_what_does_not_fit(sums, offset, wide):
    found = listed(entry(), sums, offset)

    extra = struct.pack(f"<2H{len(wide)}Q", 1, 8 * len(wide), *wide)
    assert found[46:] == b"mister.txt" + extra
    assert found[6:8] == b"\x2d\0"
    shown = struct.unpack("<LL", found[20:28]) + struct.unpack("<L", found[42:46])
    assert shown == tuple(min(number, FULL) for number in (sums.compressed, sums.size, offset))


def test_an_empty_archive_is_22_bytes():
    assert Directory().whole() == b"PK\5\6" + bytes(18)
    assert zipfile.ZipFile(io.BytesIO(Directory().whole())).namelist() == []


@pytest.mark.parametrize(
    ("count", "size", "offset", "wide"),
    [
        (0xFFFE, FULL - 1, FULL - 1, False),
        (0xFFFF, 1, 1, True),
        (1, FULL, 1, True),
        (1, 1, FULL, True),
    ],
)
def test_the_ends_of_zip64_are_there_only_where_they_are_needed(count, size, offset, wide):
    found = end_records(count, size, offset)

    assert len(found) == (98 if wide else 22)
    assert found[-22:] == struct.pack(
        "<4s4H2LH", b"PK\5\6", 0, 0, min(count, 0xFFFF), min(count, 0xFFFF), size, offset, 0
    )
    if wide:
        assert struct.unpack("<4sQ2H2L4Q", found[:56]) == (
            b"PK\6\6", 44, 0x032D, 45, 0, 0, count, count, size, offset
        )  # fmt: skip
        assert struct.unpack("<4sLQL", found[56:76]) == (b"PK\6\7", 0, size + offset, 1)


def test_a_name_or_a_comment_that_is_not_ascii_is_said_to_be_utf_8():
    assert flags_of(b"a", b"b", described=False) == 0
    assert flags_of("ü".encode(), b"", described=False) == 0x800
    assert flags_of(b"a", "ü".encode(), described=True) == 0x808


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
def test_S30_clocks_stop_at_both_ends_and_do_not_wrap(when, expected, zone):
    clock = clock_of(datetime.fromisoformat(when).replace(tzinfo=zone))

    date, time = clock >> 16, clock & 0xFFFF
    fields = (date >> 9) + 1980, date >> 5 & 15, date & 31, time >> 11, time >> 5 & 63
    assert datetime(*fields, (time & 31) * 2).isoformat() == expected  # noqa: DTZ001


def test_of_a_time_that_knows_its_zone_the_moment_is_there_too():
    when = datetime(2020, 1, 1, 2, tzinfo=timezone(timedelta(hours=2)))

    assert stamp_of(when) == b"UT\5\0\1" + struct.pack("<l", 1577836800)
    assert stamp_of(when.replace(tzinfo=None)) == b""


@pytest.mark.parametrize("year", [1969, 2039])
def test_a_moment_that_31_bits_do_not_hold_is_left_out(year):
    assert stamp_of(datetime(year, 1, 1, tzinfo=timezone.utc)) == b""


def test_what_cannot_be_deflated_outgrows_four_gib_a_little_earlier():
    assert not outgrows(FULL - 1, COMPRESSION_METHOD_NONE)
    assert outgrows(FULL, COMPRESSION_METHOD_NONE)
    assert outgrows(FULL - 1, COMPRESSION_METHOD_DEFLATE)
    assert not outgrows(FULL - (2 << 20), COMPRESSION_METHOD_DEFLATE)


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
def test_a_reader_finds_every_number_in_the_directory_again(entries):
    directory, offset = Directory(), 0
    for name, compressed, size, described, wide in entries:
        wide = wide or (not described and max(compressed, size) >= FULL)
        made = entry(b"n" + name.hex().encode(), described=described, wide=wide)
        sums = Sums(5, compressed, size)
        ahead = Sums() if described else sums
        around = len(local_header(made, ahead)) + len(descriptor(made, sums))
        directory.add(made, sums, around)
        offset += around + compressed

    length = directory.archive_length()
    assert length == offset + len(directory.whole())
    read = zipfile.ZipFile(Sparse(offset, directory.whole())).infolist()
    assert [(info.compress_size, info.file_size) for info in read] == [
        (compressed, size) for _, compressed, size, _, _ in entries
    ]


class Sparse(io.RawIOBase):
    """An archive of which only the end is there."""

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
        assert at >= 0, "what is in front of the directory was not to be read"
        found = self._end[at:] if size < 0 else self._end[at : at + size]
        self._at += len(found)
        return found
