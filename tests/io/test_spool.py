"""Spool: where its bytes are, reading at a position, errors of the disk, open files."""

from __future__ import annotations

import errno
import gc
import os
import stat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from restkit.io.spool import DEFAULT_MEMORY_SIZE, Spool
from restkit.network.transport import SecureTransport, Transport
from support.answers import no_file_over
from support.memory import descriptors, unnamed_files

MIB = 1 << 20


def unnamed_descriptors():
    """Return the descriptors of this process that are open files without a name."""
    return set(unnamed_files())


def test_appended_bytes_can_be_read_at_any_position():
    spool = Spool()
    for chunk in (b"abc", bytearray(b"def"), memoryview(b"gh")):
        spool.append(chunk)
    assert spool.size == 8
    assert spool.read_at(0, 100) == b"abcdefgh"
    assert spool.read_at(2, 3) == b"cde"
    assert spool.read_at(8, 5) == b""
    assert repr(spool) == "<Spool of 8 bytes in memory>"


def test_append_copies_so_the_buffer_may_change_afterwards():
    for memory in (100, 0):
        spool, chunk = Spool(memory), bytearray(b"abc")
        spool.append(chunk)
        chunk[:] = b"xyz"
        assert spool.read_at(0, 3) == b"abc"
        spool.close()


@pytest.mark.posix("the temporary file has a name")
def test_R11_one_mib_stays_in_memory_and_more_goes_to_a_file():
    before = unnamed_descriptors()
    spool = Spool()
    assert DEFAULT_MEMORY_SIZE == MIB
    spool.append(b"x" * MIB)
    assert spool.in_memory
    assert unnamed_descriptors() == before
    spool.append(b"y")
    assert not spool.in_memory
    assert len(unnamed_descriptors() - before) == 1
    assert spool.size == MIB + 1
    assert spool.read_at(MIB - 1, 9) == b"xy"
    assert repr(spool) == "<Spool of 1048577 bytes in a file>"
    spool.close()
    assert unnamed_descriptors() == before


def test_chunk_larger_than_the_memory_goes_to_a_file_at_once():
    spool = Spool(memory=10)
    spool.append(b"x" * 11)
    assert not spool.in_memory
    assert spool.read_at(0, 20) == b"x" * 11
    spool.close()


def test_zero_memory_puts_the_first_byte_in_a_file():
    spool = Spool(memory=0)
    spool.append(b"")
    assert spool.in_memory
    spool.append(b"x")
    assert not spool.in_memory
    spool.close()


@pytest.mark.posix("the temporary file has a name")
def test_B06_file_has_no_name_and_is_private(tmp_path):
    before = unnamed_descriptors()
    spool = Spool(0, str(tmp_path))
    spool.append(b"secret")
    (number,) = unnamed_descriptors() - before
    status = os.fstat(number)
    assert (status.st_nlink, stat.S_IMODE(status.st_mode)) == (0, 0o600)
    assert status.st_dev == tmp_path.stat().st_dev
    assert list(tmp_path.iterdir()) == []
    assert not os.get_inheritable(number)
    spool.close()


@pytest.mark.posix("the temporary file has a name")
def test_B06_file_is_in_the_given_directory_or_that_of_tempfile(tmp_path):
    before = unnamed_descriptors()
    where = {}
    for directory in (None, str(tmp_path)):
        spool = Spool(0, directory)
        spool.append(b"x")
        (number,) = unnamed_descriptors() - before
        where[directory] = descriptors()[number]
        spool.close()
    if any(not target.startswith("/") for target in where.values()):
        pytest.skip("this system does not show the directory of an open file")
    assert where[None].startswith(os.environ["TMPDIR"])
    assert where[str(tmp_path)].startswith(str(tmp_path))


def test_close_frees_the_bytes_and_is_idempotent():
    before = unnamed_descriptors()
    for memory in (100, 0):
        spool = Spool(memory)
        spool.append(b"abc")
        spool.close()
        spool.close()
        assert (spool.size, spool.read_at(0, 10)) == (0, b"")
    assert unnamed_descriptors() == before


@pytest.mark.posix("the temporary file has a name")
def test_garbage_collected_spool_leaves_no_file_open():
    before = unnamed_descriptors()
    spool = Spool(0)
    spool.append(b"abc")
    assert unnamed_descriptors() != before
    del spool
    gc.collect()
    assert unnamed_descriptors() == before


def test_B05_full_disk_raises_os_error_and_keeps_the_bytes():
    spool = Spool(memory=10)
    spool.append(b"x" * MIB)
    with no_file_over(2 * MIB), pytest.raises(OSError) as caught:
        for _ in range(3):
            spool.append(b"y" * MIB)
    assert caught.value.errno == errno.EFBIG
    assert spool.size == 2 * MIB
    assert spool.read_at(MIB - 1, 2) == b"xy"
    spool.append(b"z")
    assert spool.read_at(2 * MIB - 1, 10) == b"yz"
    spool.close()


def test_B05_full_disk_at_the_move_keeps_the_bytes_in_memory():
    before = unnamed_descriptors()
    spool = Spool(memory=MIB)
    spool.append(b"x" * MIB)
    with no_file_over(1000), pytest.raises(OSError):
        spool.append(b"y")
    assert (spool.size, spool.in_memory) == (MIB, True)
    assert spool.read_at(0, 2 * MIB) == b"x" * MIB
    assert unnamed_descriptors() == before


def test_missing_directory_raises_os_error(tmp_path):
    spool = Spool(2, str(tmp_path / "missing"))
    spool.append(b"ab")
    with pytest.raises(FileNotFoundError, match="missing"):
        spool.append(b"c")
    assert spool.read_at(0, 10) == b"ab"


@given(
    memory=st.integers(0, 40),
    steps=st.lists(st.binary(max_size=20) | st.tuples(st.integers(0, 80), st.integers(0, 30))),
)
def test_appends_and_reads_in_any_order_match_plain_bytes(memory, steps):
    spool, expected = Spool(memory), b""
    try:
        for step in steps:
            if isinstance(step, bytes):
                spool.append(step)
                expected += step
                continue
            position, size = step
            position = min(position, len(expected))
            assert spool.read_at(position, size) == expected[position : position + size]
            view = memoryview(bytearray(size))
            count = spool.read_into(position, view)
            assert bytes(view[:count]) == expected[position : position + size]
        assert spool.size == len(expected)
        assert spool.in_memory == (len(expected) <= memory)
    finally:
        spool.close()


@pytest.mark.parametrize("kind", [Spool, Transport, SecureTransport])
def test_object_interrupted_before_init_is_collected_without_warning(kind):
    """A warning from ``__del__`` would fail this test."""
    unfinished = kind.__new__(kind)
    del unfinished
    gc.collect()


@pytest.mark.posix("the temporary file has a name")
def test_W12_reading_and_appending_do_not_move_the_file_that_a_forked_child_shares():
    before = unnamed_descriptors()
    spool = Spool(memory=0)
    spool.append(b"abcdef")
    [number] = unnamed_descriptors() - before
    for position in (0, 4):
        os.lseek(number, position, os.SEEK_SET)
        spool.append(b"gh")
        assert spool.read_at(1, 3) == b"bcd"
        assert spool.read_into(2, memoryview(bytearray(2))) == 2
        assert os.lseek(number, 0, os.SEEK_CUR) == position
    assert spool.read_at(0, 100) == b"abcdefghgh"
    spool.close()


@pytest.mark.posix("fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_W12_E07_forked_children_that_read_a_spool_do_not_change_what_its_parent_reads_and_stores():
    line = b"%015d\n"
    data = b"".join(line % number for number in range(100_000))
    spool = Spool(memory=0)
    spool.append(data[:800_000])
    children = []
    for _ in range(2):
        child = os.fork()
        if not child:
            try:
                wrong = any(
                    spool.read_at(at, 16) != data[at : at + 16] for at in range(0, 800_000, 16)
                )
                os._exit(9 if wrong else 7)
            finally:
                os._exit(1)
        children.append(child)
    for at in range(800_000, len(data), 160):
        spool.append(data[at : at + 160])
        assert spool.read_at(at - 160, 160) == data[at - 160 : at]
    statuses = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    assert statuses == [7, 7]
    assert spool.read_at(0, len(data)) == data
    spool.close()
