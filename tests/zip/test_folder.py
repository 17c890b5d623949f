"""A folder as an archive: its content, links, and files that change."""

from __future__ import annotations

import io
import os
import shutil
import socket
import stat
import zipfile
from pathlib import Path

import pytest

from restkit import PayloadError, PayloadLengthError
from restkit.streaming import ZipStream

pytestmark = pytest.mark.smoke

MODIFIED = 1_500_000_000


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with folders in it, and a file outside of it."""
    (tmp_path / "outside.txt").write_bytes(b"secret")
    folder = tmp_path / "folder"
    (folder / "b" / "deep").mkdir(parents=True)
    (folder / "empty").mkdir(mode=0o700)
    for name, data in {"b.txt": b"1", "a.txt": b"22", "b/z": b"", "b/deep/ü.bin": b"4" * 9}.items():
        (folder / name).write_bytes(data)
        os.utime(folder / name, (MODIFIED, MODIFIED))
    (folder / "a.txt").chmod(0o755)
    (folder / "b.txt").chmod(0o600)
    return folder


def read_back(folder, **options):
    data = b"".join([bytes(chunk) for chunk in ZipStream.from_path(folder, **options)])
    with zipfile.ZipFile(io.BytesIO(data)) as read:
        assert read.testzip() is None
        return {info.filename: (info, read.read(info)) for info in read.infolist()}


def test_archive_has_everything_sorted_by_name(folder):
    found = read_back(folder)

    assert {name: data for name, (_, data) in found.items()} == {
        "a.txt": b"22",
        "b/": b"",
        "b/deep/": b"",
        "b/deep/ü.bin": b"4" * 9,
        "b/z": b"",
        "b.txt": b"1",
        "empty/": b"",
    }
    assert list(found) == sorted(found)


def test_times_and_modes_are_kept(folder):
    found = read_back(folder)

    info, _ = found["b.txt"]
    assert info.date_time == (2017, 7, 14, 2, 40, 0)
    assert info.extra == b"UT\5\0\1" + MODIFIED.to_bytes(4, "little")
    modes = {name: info.external_attr >> 16 for name, (info, _) in found.items()}
    assert modes["a.txt"] == stat.S_IFREG | 0o755
    assert modes["b.txt"] == stat.S_IFREG | 0o600
    assert modes["empty/"] == stat.S_IFDIR | 0o700
    assert found["empty/"][0].external_attr & 0xFF == 0x10


def test_archive_of_stored_files_has_a_length_and_is_replayable(folder):
    (folder / "large").write_bytes(os.urandom(600_000))
    archive = ZipStream.from_path(str(folder), compression_method=0)

    passes = [b"".join([bytes(chunk) for chunk in archive]) for _ in range(2)]

    assert archive.replayable
    assert passes[0] == passes[1]
    assert archive.length == len(passes[0])


def test_empty_folder_is_an_empty_archive(tmp_path):
    assert read_back(tmp_path) == {}


def test_link_to_the_folder_itself_is_followed(folder, tmp_path):
    (tmp_path / "link").symlink_to(folder)

    assert list(read_back(tmp_path / "link")) == list(read_back(folder))


def test_path_that_is_no_folder_raises_os_error(folder):
    with pytest.raises(NotADirectoryError):
        ZipStream.from_path(folder / "a.txt")
    with pytest.raises(FileNotFoundError):
        ZipStream.from_path(folder / "missing")


def test_links_inside_are_followed(folder):
    (folder / "file").symlink_to("b/deep/ü.bin")
    (folder / "more").symlink_to(folder / "b")

    found = read_back(folder)

    assert found["file"][1] == b"4" * 9
    assert found["more/deep/ü.bin"][1] == b"4" * 9
    assert stat.S_ISREG(found["file"][0].external_attr >> 16)
    assert list(found).index("more/") > list(found).index("file")


@pytest.mark.parametrize("target", ["../outside.txt", "..", "/"])
def test_link_that_leads_outside_raises(folder, target):
    (folder / "b" / "link").symlink_to(target if target == "/" else Path("..") / target)

    with pytest.raises(PayloadError, match=r"link'? .*leads out of .*use symlinks='keep'"):
        ZipStream.from_path(folder)


def test_link_to_a_folder_with_the_same_prefix_leads_outside(folder, tmp_path):
    (tmp_path / "folder-2").mkdir()
    (folder / "link").symlink_to(tmp_path / "folder-2")

    with pytest.raises(PayloadError, match="leads out of"):
        ZipStream.from_path(folder)


@pytest.mark.parametrize("target", [".", "../b", "../b/deep"])
def test_link_to_a_containing_folder_raises(folder, target):
    (folder / "b" / "deep" / "link").symlink_to(Path("..") / target if target != "." else ".")

    with pytest.raises(
        PayloadError, match=r"the link 'b/deep/link/' in .* leads back to a folder that contains it"
    ):
        ZipStream.from_path(folder)


def test_broken_link_raises_file_not_found(folder):
    (folder / "link").symlink_to("nothing")

    with pytest.raises(FileNotFoundError):
        ZipStream.from_path(folder)


def test_kept_links_are_links(folder):
    targets = {"out": "../outside.txt", "lost": "nothing", "more": "b"}
    for name, target in targets.items():
        (folder / name).symlink_to(target)

    found = read_back(folder, symlinks="keep")

    for name, target in targets.items():
        info, data = found[name]
        assert stat.S_ISLNK(info.external_attr >> 16)
        assert data == target.encode()


def test_skipped_links_are_left_out(folder):
    before = list(read_back(folder))
    (folder / "out").symlink_to("../outside.txt")

    assert list(read_back(folder, symlinks="skip")) == before


def test_unknown_symlinks_choice_raises(folder):
    with pytest.raises(PayloadError, match="symlinks must be one of follow, keep, skip; got 'yes'"):
        ZipStream.from_path(folder, symlinks="yes")


def test_pipes_and_sockets_are_left_out(folder, monkeypatch):
    before = list(read_back(folder))
    os.mkfifo(folder / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        monkeypatch.chdir(folder)  # the path of a socket is short
        listener.bind("socket")
        assert list(read_back(folder)) == before


def test_replaced_file_raises(folder):
    archive = ZipStream.from_path(folder)
    (folder / "new").write_bytes(b"22")
    (folder / "new").replace(folder / "a.txt")

    with pytest.raises(PayloadError, match=r"a\.txt' was replaced after"):
        list(archive)


@pytest.mark.parametrize("size", [9, 600_000])
@pytest.mark.posix("pipes with a path")
def test_pipe_in_the_place_of_a_file_does_not_block(folder, size):
    (folder / "a.txt").write_bytes(bytes(size))
    archive = ZipStream.from_path(folder)
    (folder / "a.txt").unlink()
    os.mkfifo(folder / "a.txt")

    with pytest.raises(PayloadError, match="was replaced after"):
        list(archive)


@pytest.mark.parametrize("size", [9, 600_000])
def test_folder_replaced_by_a_link_raises(folder, tmp_path, size):
    (folder / "b/deep/ü.bin").write_bytes(bytes(size))
    archive = ZipStream.from_path(folder)
    shutil.copytree(folder / "b", tmp_path / "elsewhere")
    shutil.rmtree(folder / "b")
    (folder / "b").symlink_to(tmp_path / "elsewhere")

    with pytest.raises(PayloadError, match="was replaced after"):
        list(archive)


@pytest.mark.parametrize("size", [100, 600_000])
def test_shrunken_file_raises_and_a_grown_one_is_cut(folder, size):
    (folder / "a.txt").write_bytes(b"x" * size)
    archive = ZipStream.from_path(folder)
    with (folder / "a.txt").open("ab") as file:
        file.write(b"more")
    data = b"".join([bytes(chunk) for chunk in archive])
    assert zipfile.ZipFile(io.BytesIO(data)).read("a.txt") == b"x" * size

    os.truncate(folder / "a.txt", size - 1)
    with pytest.raises(PayloadLengthError, match=r"a\.txt' .* produced"):
        list(archive)


def test_name_that_is_not_utf_8_raises(folder):
    try:
        (Path(os.fsdecode(os.fsencode(folder) + b"/\xff"))).write_bytes(b"")
    except OSError:
        pytest.skip("this disk has no such names")

    with pytest.raises(PayloadError, match="lone surrogate"):
        ZipStream.from_path(folder)


@pytest.mark.skipif(
    not Path("/proc/sys/kernel/random/boot_id").exists(), reason="there is no /proc"
)
def test_files_without_a_size_in_proc_are_read():
    found = read_back("/proc/sys/kernel/random")

    assert len(found["boot_id"][1]) == 37


def test_time_after_2107_is_limited(folder):
    try:
        os.utime(folder / "a.txt", (2**39, 2**39))
    except OSError:
        pytest.skip("this disk has no such times")
    if os.stat(folder / "a.txt").st_mtime < 2**33:
        pytest.skip("this disk has no such times")

    assert read_back(folder)["a.txt"][0].date_time == (2107, 12, 31, 23, 59, 58)
