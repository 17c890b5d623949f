"""Files below a folder are reached without symbolic links, also if a folder is replaced."""

from __future__ import annotations

import os
import stat

import pytest

from restkit.io import files
from restkit.io.files import open_below, open_folder_below, stat_below
from support import portable


@pytest.fixture
def folder(tmp_path):
    """A folder with a file in it, two folders deep, beside a secret file outside of it."""
    folder = tmp_path / "folder"
    (folder / "a" / "b").mkdir(parents=True)
    (folder / "a" / "b" / "c.txt").write_bytes(b"text")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "c.txt").write_bytes(b"secret")
    return folder


def read(folder, names):
    descriptor = open_below(str(folder), names)
    try:
        return os.read(descriptor, 100)
    finally:
        os.close(descriptor)


def test_file_is_opened_by_the_names_of_its_folders(folder):
    assert read(folder, ["a", "b", "c.txt"]) == b"text"
    assert stat_below(str(folder), ["a", "b", "c.txt"]).st_size == 4
    assert stat.S_ISDIR(stat_below(str(folder), []).st_mode)
    with open_folder_below(str(folder), ["a"]) as entries:
        assert [entry.name for entry in entries] == ["b"]
    with open_folder_below(str(folder), []) as entries:
        assert [entry.name for entry in entries] == ["a"]


def test_folder_itself_may_be_a_link(folder, tmp_path):
    (tmp_path / "current").symlink_to("folder")
    assert read(tmp_path / "current", ["a", "b", "c.txt"]) == b"text"
    with open_folder_below(str(tmp_path / "current"), []) as entries:
        assert [entry.name for entry in entries] == ["a"]


@pytest.mark.parametrize("target", ["a", "../outside", "b"], ids=["inside", "outside", "dangling"])
def test_link_is_not_followed_wherever_it_leads(folder, target):
    (folder / "link").symlink_to(target)
    with pytest.raises(OSError):  # its number depends on the system
        read(folder, ["link", "c.txt"])
    with pytest.raises(OSError), open_folder_below(str(folder), ["link"]):
        pass
    (folder / "file").symlink_to("../outside/c.txt")
    with pytest.raises(OSError):
        read(folder, ["file"])


@pytest.mark.skipif(portable.IS_ON, reason="without O_NOFOLLOW, a link in between is not noticed")
def test_folder_that_becomes_a_link_meanwhile_is_not_followed(folder, tmp_path):
    with files._find_below(str(folder), ["a", "b", "c.txt"]) as place:
        (folder / "a" / "b").rename(tmp_path / "moved")
        (folder / "a" / "b").symlink_to(tmp_path / "outside")
        descriptor = os.open(place.name, os.O_RDONLY, dir_fd=place.folder)
    assert os.read(descriptor, 100) == b"text"
    os.close(descriptor)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no pipes with a name")
def test_pipe_and_folder_are_refused_without_waiting(folder):
    os.mkfifo(folder / "pipe")
    for names in (["pipe"], ["a"], []):
        with pytest.raises(FileNotFoundError, match="not a regular file"):
            read(folder, names)


def test_no_descriptor_is_left_open_after_an_error(folder):
    (folder / "link").symlink_to("a")
    names = ["a", "b", "c.txt", "d"], ["a", "x", "y"], ["link", "b"], ["a", "b"], ["a", "b", "x"]
    before = os.listdir("/dev/fd")
    for each in names:
        with pytest.raises(OSError):
            read(folder, each)
    assert os.listdir("/dev/fd") == before
