"""Files: reading and writing at a position, also without pread, and names that Windows takes."""

from __future__ import annotations

import os
import threading

import pytest

from restkit.io import files
from restkit.io.file_names import is_special_on_windows
from restkit.io.files import open_folder, replace_file, sync_folder

BY_SEEKING = (files._seek_and_read, files._seek_and_write, files._read_and_copy)


@pytest.mark.posix("they are hidden")
def test_posix_calls_themselves_are_bound_on_posix():
    assert (files.pread, files.preadv, files.pwrite) == (os.pread, os.preadv, os.pwrite)
    assert files.fchmod is os.fchmod


def test_reading_and_writing_at_a_position_without_pread_keep_the_position(tmp_path):
    read, write, read_into = BY_SEEKING
    with (tmp_path / "file").open("w+b", buffering=0) as file:
        file.write(b"0123456789")
        file.seek(3)
        assert read(file.fileno(), 4, 5) == b"5678"
        assert write(file.fileno(), b"ab", 1) == 2
        into = bytearray(12)
        with memoryview(into) as view:
            assert read_into(file.fileno(), (view[:2], view[2:]), 0) == 10
        assert bytes(into) == b"0ab3456789\0\0"
        assert read(file.fileno(), 4, 10) == b""
        assert file.tell() == 3


def test_threads_that_read_at_positions_without_pread_get_their_own_bytes(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(bytes(range(256)) * 64)
    wrong: list[int] = []

    def read_often(position: int) -> None:
        expected = bytes([position])
        chunks = {files._seek_and_read(file.fileno(), 1, position) for _ in range(3000)}
        if chunks != {expected}:
            wrong.append(position)

    with path.open("rb", buffering=0) as file:
        threads = [threading.Thread(target=read_often, args=(at,)) for at in (1, 100, 200)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not wrong


@pytest.mark.parametrize(
    "name",
    [
        "NUL",
        "con.txt",
        "Com1",
        "lpt9.log",
        "a:b",
        "C:x",
        "a?",
        "x.",
        "x ",
        "a|b",
        "AUX .txt",
        "com²",
    ],
)
def test_name_that_windows_takes_for_something_else(name):
    assert is_special_on_windows(name)


@pytest.mark.parametrize("name", ["null", "console.txt", "com10", "a.nul", "x y.txt", ".x", "bűn"])
def test_name_that_windows_takes_for_a_file(name):
    assert not is_special_on_windows(name)


def test_open_folder_yields_its_status_and_its_entries(tmp_path):
    (tmp_path / "a").write_bytes(b"1")
    with open_folder(str(tmp_path)) as folder:
        assert os.path.samestat(folder.status, os.stat(tmp_path))
        [entry] = folder.entries
        assert entry.name == "a"
        assert os.path.samestat(files.get_entry_status(entry), os.stat(tmp_path / "a"))
    sync_folder(str(tmp_path))


def test_replaced_file_has_the_new_bytes_and_a_failure_keeps_the_old_ones(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with pytest.raises(ZeroDivisionError), replace_file(str(path)) as file:
        file.write(b"new")
        raise ZeroDivisionError
    assert path.read_bytes() == b"old"
    with replace_file(str(path)) as file:
        file.write(b"a\r\nb\n")
    assert path.read_bytes() == b"a\r\nb\n"
    assert os.listdir(tmp_path) == ["file"]
