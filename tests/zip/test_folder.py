"""A folder as an archive: everything in it, nothing from outside it, and nothing that changed."""

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

OLD = 1_500_000_000


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with folders in it, beside a file that is not."""
    (tmp_path / "outside.txt").write_bytes(b"secret")
    folder = tmp_path / "folder"
    (folder / "b" / "deep").mkdir(parents=True)
    (folder / "empty").mkdir(mode=0o700)
    for name, data in {"b.txt": b"1", "a.txt": b"22", "b/z": b"", "b/deep/ü.bin": b"4" * 9}.items():
        (folder / name).write_bytes(data)
        os.utime(folder / name, (OLD, OLD))
    (folder / "a.txt").chmod(0o755)
    (folder / "b.txt").chmod(0o600)
    return folder


def archived(folder, **options):
    data = b"".join([bytes(piece) for piece in ZipStream.from_path(folder, **options)])
    with zipfile.ZipFile(io.BytesIO(data)) as read:
        assert read.testzip() is None
        return {info.filename: (info, read.read(info)) for info in read.infolist()}


def test_everything_is_there_sorted(folder):
    found = archived(folder)

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
    found = archived(folder)

    info, _ = found["b.txt"]
    assert info.date_time == (2017, 7, 14, 2, 40, 0)
    assert info.extra == b"UT\5\0\1" + OLD.to_bytes(4, "little")
    modes = {name: info.external_attr >> 16 for name, (info, _) in found.items()}
    assert modes["a.txt"] == stat.S_IFREG | 0o755
    assert modes["b.txt"] == stat.S_IFREG | 0o600
    assert modes["empty/"] == stat.S_IFDIR | 0o700
    assert found["empty/"][0].external_attr & 0xFF == 0x10


def test_the_archive_of_stored_files_has_its_length_and_goes_again(folder):
    (folder / "large").write_bytes(os.urandom(600_000))
    archive = ZipStream.from_path(str(folder), compression_method=0)

    passes = [b"".join([bytes(piece) for piece in archive]) for _ in range(2)]

    assert archive.replayable
    assert passes[0] == passes[1]
    assert archive.length == len(passes[0])


def test_an_empty_folder_is_an_empty_archive(tmp_path):
    assert archived(tmp_path) == {}


def test_a_folder_that_is_reached_by_a_link(folder, tmp_path):
    (tmp_path / "link").symlink_to(folder)

    assert list(archived(tmp_path / "link")) == list(archived(folder))


def test_what_is_no_folder_is_the_systems_error(folder):
    with pytest.raises(NotADirectoryError):
        ZipStream.from_path(folder / "a.txt")
    with pytest.raises(FileNotFoundError):
        ZipStream.from_path(folder / "missing")


def test_links_inside_are_followed(folder):
    (folder / "file").symlink_to("b/deep/ü.bin")
    (folder / "more").symlink_to(folder / "b")

    found = archived(folder)

    assert found["file"][1] == b"4" * 9
    assert found["more/deep/ü.bin"][1] == b"4" * 9
    assert stat.S_ISREG(found["file"][0].external_attr >> 16)
    assert list(found).index("more/") > list(found).index("file")


@pytest.mark.parametrize("target", ["../outside.txt", "..", "/"])
def test_a_link_that_leads_outside_is_an_error(folder, target):
    (folder / "b" / "link").symlink_to(target if target == "/" else Path("..") / target)

    with pytest.raises(PayloadError, match=r"link'? .*leads out of .*symlinks='keep' stores"):
        ZipStream.from_path(folder)


def test_a_link_to_a_folder_whose_name_begins_like_ours_leads_outside(folder, tmp_path):
    (tmp_path / "folder-2").mkdir()
    (folder / "link").symlink_to(tmp_path / "folder-2")

    with pytest.raises(PayloadError, match="leads out of"):
        ZipStream.from_path(folder)


@pytest.mark.parametrize("target", [".", "../b", "../b/deep"])
def test_a_link_that_leads_round_and_round_is_an_error(folder, target):
    (folder / "b" / "deep" / "link").symlink_to(Path("..") / target if target != "." else ".")

    with pytest.raises(
        PayloadError, match=r"the link 'b/deep/link/' in .* leads back above itself"
    ):
        ZipStream.from_path(folder)


def test_a_link_to_nothing_is_the_systems_error(folder):
    (folder / "link").symlink_to("nothing")

    with pytest.raises(FileNotFoundError):
        ZipStream.from_path(folder)


def test_links_that_are_kept_are_links(folder):
    targets = {"out": "../outside.txt", "lost": "nothing", "more": "b"}
    for name, target in targets.items():
        (folder / name).symlink_to(target)

    found = archived(folder, symlinks="keep")

    for name, target in targets.items():
        info, data = found[name]
        assert stat.S_ISLNK(info.external_attr >> 16)
        assert data == target.encode()


def test_links_that_are_skipped_are_not_there(folder):
    before = list(archived(folder))
    (folder / "out").symlink_to("../outside.txt")

    assert list(archived(folder, symlinks="skip")) == before


def test_another_choice_is_an_error(folder):
    with pytest.raises(PayloadError, match="symlinks='yes': one of follow, keep, skip is wanted"):
        ZipStream.from_path(folder, symlinks="yes")


def test_pipes_and_sockets_are_left_out(folder, monkeypatch):
    before = list(archived(folder))
    os.mkfifo(folder / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        monkeypatch.chdir(folder)  # the path of a socket is short
        listener.bind("socket")
        assert list(archived(folder)) == before


def test_a_file_that_was_replaced_is_an_error(folder):
    archive = ZipStream.from_path(folder)
    (folder / "new").write_bytes(b"22")
    (folder / "new").replace(folder / "a.txt")

    with pytest.raises(PayloadError, match=r"a\.txt' is not what it was"):
        list(archive)


@pytest.mark.parametrize("size", [9, 600_000])
def test_a_pipe_that_took_the_place_of_a_file_is_not_waited_for(folder, size):
    (folder / "a.txt").write_bytes(bytes(size))
    archive = ZipStream.from_path(folder)
    (folder / "a.txt").unlink()
    os.mkfifo(folder / "a.txt")

    with pytest.raises(PayloadError, match="is not what it was"):
        list(archive)


@pytest.mark.parametrize("size", [9, 600_000])
def test_a_folder_that_became_a_link_leads_nowhere(folder, tmp_path, size):
    (folder / "b/deep/ü.bin").write_bytes(bytes(size))
    archive = ZipStream.from_path(folder)
    shutil.copytree(folder / "b", tmp_path / "elsewhere")
    shutil.rmtree(folder / "b")
    (folder / "b").symlink_to(tmp_path / "elsewhere")

    with pytest.raises(PayloadError, match="is not what it was"):
        list(archive)


@pytest.mark.parametrize("size", [100, 600_000])
def test_a_file_that_shrank_is_an_error_and_of_one_that_grew_the_rest_is_left(folder, size):
    (folder / "a.txt").write_bytes(b"x" * size)
    archive = ZipStream.from_path(folder)
    with (folder / "a.txt").open("ab") as file:
        file.write(b"more")
    data = b"".join([bytes(piece) for piece in archive])
    assert zipfile.ZipFile(io.BytesIO(data)).read("a.txt") == b"x" * size

    os.truncate(folder / "a.txt", size - 1)
    with pytest.raises(PayloadLengthError, match=r"a\.txt' .* gave"):
        list(archive)


def test_a_name_that_is_not_utf_8_is_an_error(folder):
    try:
        (Path(os.fsdecode(os.fsencode(folder) + b"/\xff"))).write_bytes(b"")
    except OSError:
        pytest.skip("this disk has no such names")

    with pytest.raises(PayloadError, match="lone surrogate"):
        ZipStream.from_path(folder)


@pytest.mark.skipif(
    not Path("/proc/sys/kernel/random/boot_id").exists(), reason="there is no /proc"
)
def test_files_that_do_not_tell_their_size_are_read_all_the_same():
    found = archived("/proc/sys/kernel/random")

    assert len(found["boot_id"][1]) == 37


def test_a_time_that_no_calendar_has_is_the_last_one(folder):
    try:
        os.utime(folder / "a.txt", (2**39, 2**39))
    except OSError:
        pytest.skip("this disk has no such times")
    if os.stat(folder / "a.txt").st_mtime < 2**33:
        pytest.skip("this disk has no such times")

    assert archived(folder)["a.txt"][0].date_time == (2107, 12, 31, 23, 59, 58)
