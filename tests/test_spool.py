"""The store that bodies are kept in: where its bytes are, what can be read, and what stays open."""

from __future__ import annotations

import errno
import gc
import os
import stat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from restkit.spool import MEMORY, Spool
from restkit.wire.secure import SecureTransport
from restkit.wire.transport import Transport
from support.answers import no_file_over
from support.memory import descriptors, unnamed_files

MIB = 1 << 20


def files():
    """The descriptors of this process that are open files without a name."""
    return set(unnamed_files())


def test_what_is_put_in_can_be_read_at_any_place():
    spool = Spool()
    for piece in (b"abc", bytearray(b"def"), memoryview(b"gh")):
        spool.append(piece)
    assert spool.size == 8
    assert spool.read_at(0, 100) == b"abcdefgh"
    assert spool.read_at(2, 3) == b"cde"
    assert spool.read_at(8, 5) == b""
    assert repr(spool) == "<Spool of 8 bytes in memory>"


def test_a_piece_may_be_changed_as_soon_as_it_has_been_put_in():
    for memory in (100, 0):
        spool, piece = Spool(memory), bytearray(b"abc")
        spool.append(piece)
        piece[:] = b"xyz"
        assert spool.read_at(0, 3) == b"abc"
        spool.close()


def test_R11_up_to_and_including_one_mib_is_in_memory_and_more_is_in_a_file():
    before = files()
    spool = Spool()
    assert MEMORY == MIB
    spool.append(b"x" * MIB)
    assert spool.in_memory
    assert files() == before
    spool.append(b"y")
    assert not spool.in_memory
    assert len(files() - before) == 1
    assert spool.size == MIB + 1
    assert spool.read_at(MIB - 1, 9) == b"xy"
    assert repr(spool) == "<Spool of 1048577 bytes in a file>"
    spool.close()
    assert files() == before


def test_one_piece_larger_than_the_memory_goes_into_a_file_at_once():
    with_limit = Spool(memory=10)
    with_limit.append(b"x" * 11)
    assert not with_limit.in_memory
    assert with_limit.read_at(0, 20) == b"x" * 11
    with_limit.close()


def test_without_memory_everything_but_nothing_is_in_a_file():
    spool = Spool(memory=0)
    spool.append(b"")
    assert spool.in_memory
    spool.append(b"x")
    assert not spool.in_memory
    spool.close()


def test_B06_the_file_has_no_name_and_is_nobody_elses(tmp_path):
    before = files()
    spool = Spool(0, str(tmp_path))
    spool.append(b"secret")
    (number,) = files() - before
    status = os.fstat(number)
    assert (status.st_nlink, stat.S_IMODE(status.st_mode)) == (0, 0o600)
    assert status.st_dev == tmp_path.stat().st_dev
    assert list(tmp_path.iterdir()) == []
    assert not os.get_inheritable(number)
    spool.close()


def test_B06_the_file_is_where_tempfile_says_or_where_the_caller_says(tmp_path):
    before = files()
    where = {}
    for directory in (None, str(tmp_path)):
        spool = Spool(0, directory)
        spool.append(b"x")
        (number,) = files() - before
        where[directory] = descriptors()[number]
        spool.close()
    if any(not target.startswith("/") for target in where.values()):
        pytest.skip("this system does not say where an open file lies")
    assert where[None].startswith(os.environ["TMPDIR"])
    assert where[str(tmp_path)].startswith(str(tmp_path))


def test_closing_frees_it_and_may_be_done_twice():
    before = files()
    for memory in (100, 0):
        spool = Spool(memory)
        spool.append(b"abc")
        spool.close()
        spool.close()
        assert (spool.size, spool.read_at(0, 10)) == (0, b"")
    assert files() == before


def test_a_dropped_spool_leaves_no_file_open():
    before = files()
    spool = Spool(0)
    spool.append(b"abc")
    assert files() != before
    del spool
    gc.collect()
    assert files() == before


def test_B05_a_full_disk_is_the_systems_error_and_what_was_there_stays():
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


def test_B05_a_disk_that_is_full_from_the_start_leaves_what_is_in_memory():
    before = files()
    spool = Spool(memory=MIB)
    spool.append(b"x" * MIB)
    with no_file_over(1000), pytest.raises(OSError):
        spool.append(b"y")
    assert (spool.size, spool.in_memory) == (MIB, True)
    assert spool.read_at(0, 2 * MIB) == b"x" * MIB
    assert files() == before


def test_a_directory_that_is_not_there_is_the_systems_error(tmp_path):
    spool = Spool(2, str(tmp_path / "missing"))
    spool.append(b"ab")
    with pytest.raises(FileNotFoundError, match="missing"):
        spool.append(b"c")
    assert spool.read_at(0, 10) == b"ab"


@given(
    memory=st.integers(0, 40),
    steps=st.lists(st.binary(max_size=20) | st.tuples(st.integers(0, 80), st.integers(0, 30))),
)
def test_any_order_of_putting_in_and_reading_is_that_of_plain_bytes(memory, steps):
    spool, held = Spool(memory), b""
    try:
        for step in steps:
            if isinstance(step, bytes):
                spool.append(step)
                held += step
                continue
            position, size = step
            position = min(position, len(held))
            assert spool.read_at(position, size) == held[position : position + size]
            view = memoryview(bytearray(size))
            count = spool.read_into(position, view)
            assert bytes(view[:count]) == held[position : position + size]
        assert spool.size == len(held)
        assert spool.in_memory == (len(held) <= memory)
    finally:
        spool.close()


@pytest.mark.parametrize("kind", [Spool, Transport, SecureTransport])
def test_what_was_interrupted_before_it_was_made_goes_without_a_word(kind):
    """A warning from its end, of which nobody could catch the cause, would fail this test."""
    unmade = kind.__new__(kind)
    del unmade
    gc.collect()
