"""Names of uploaded files, and files that are written atomically."""

from __future__ import annotations

import os
import stat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from restkit.server.uploads import (
    UnusableName,
    Upload,
    name_from_header,
    name_from_path,
    remove_abandoned,
)

FIELDS = {
    "README.md": "README.md",
    "with a space.txt": "with a space.txt",
    "../../etc/x": "x",
    "/abs/x": "x",
    r"a\..\x": "x",
    r"C:\photos\me.jpg": "me.jpg",
    "a/b\\c/d": "d",
    "name.part": "name.part",
    "...x".lstrip("."): "x",
    "100%": "100%",
    "a%2Fb": "a%2Fb",
    "bűn.txt".encode().decode("latin-1"): "bűn.txt",
    "caf\xe9.txt": "café.txt",
    "UTF-8''b%C5%B1n.txt": "bűn.txt",
    "utf-8'en'plain.txt": "plain.txt",
    "UTF-8''..%2F..%2Fetc%2Fx": "x",
    "UTF-8''%": "UTF-8''%",
    "x" * 255: "x" * 255,
}

REFUSED_FIELDS = {
    "": "'' does not name a file",
    " ": "' ' does not name a file",
    ".": "'.' does not name a file",
    "..": "'..' does not name a file",
    "../..": "'../..' does not name a file",
    "a/..": "'a/..' does not name a file",
    "/etc/": "'/etc/' does not name a file",
    "UTF-8''": "'' does not name a file",
    "UTF-8''%2E%2E": "'..' does not name a file",
    ".bashrc": "'.bashrc' is the name of a hidden file, which is not allowed",
    ".x.0123abcd.part": "'.x.0123abcd.part' is the name of a hidden file, which is not allowed",
    "a/.ssh": "'.ssh' is the name of a hidden file, which is not allowed",
    "x\0y": r"the file name has a control character: 'x\x00y'",
    "UTF-8''x%00y": r"the file name has a control character: 'x\x00y'",
    "UTF-8''x%0Ay": r"the file name has a control character: 'x\ny'",
    "x\x1b[2Jy": r"the file name has a control character: 'x\x1b[2Jy'",
    "UTF-8''%FF": "the file name is not UTF-8",
    "x" * 256: "the file name is longer than 255 bytes",
    "UTF-8''" + "%C5%B1" * 128: "the file name is longer than 255 bytes",
}


@pytest.mark.parametrize("value", FIELDS)
def test_Z12_name_in_a_header_never_leaves_the_folder(value):
    assert name_from_header(value) == FIELDS[value]


@pytest.mark.parametrize("value", REFUSED_FIELDS)
def test_Z12_unusable_name_is_rejected_with_the_reason(value):
    with pytest.raises(UnusableName) as caught:
        name_from_header(value)
    assert str(caught.value) == REFUSED_FIELDS[value]


def test_last_segment_of_the_path_is_the_name():
    assert name_from_path("/hello") == "hello"
    assert name_from_path("/some/where/bűn.txt".encode().decode("latin-1")) == "bűn.txt"
    assert name_from_path("/UTF-8''a%20b") == "UTF-8''a%20b"


@pytest.mark.parametrize("path", ["", "/", "/folder/", "/..", "/a/..", "/.x", "/a\0b", "/\xff"])
def test_path_without_a_file_name_is_rejected(path):
    with pytest.raises(UnusableName):
        name_from_path(path)


@given(st.text(st.characters(max_codepoint=255), max_size=300))
def test_any_header_value_is_a_name_in_the_folder_or_rejected(value):
    try:
        name = name_from_header(value)
    except UnusableName:
        return
    joined = os.path.normpath(os.path.join("/folder", name))
    assert os.path.split(joined) == ("/folder", name)
    assert not name.startswith(".")
    assert name_from_path("/" + name.encode().decode("latin-1")) == name


# Files


def names(folder: os.PathLike[str]) -> list[str]:
    return sorted(os.listdir(folder))


def test_file_is_hidden_until_finished(tmp_path):
    with Upload(str(tmp_path), "x.txt") as upload:
        upload.write(b"some ")
        upload.write(memoryview(b"words"))
        (part,) = names(tmp_path)
        assert part.startswith(".x.txt.")
        assert part.endswith(".part")
        assert (tmp_path / part).read_bytes() == b"some words"
        assert upload.size == 10
        upload.finish()
    assert names(tmp_path) == ["x.txt"]
    assert (tmp_path / "x.txt").read_bytes() == b"some words"


def test_unfinished_file_is_removed(tmp_path):
    with pytest.raises(KeyError), Upload(str(tmp_path), "x.txt") as upload:
        upload.write(b"some words")
        raise KeyError("in the middle")
    assert names(tmp_path) == []
    upload.close()


def test_older_file_stays_until_the_new_one_is_finished(tmp_path):
    (tmp_path / "x.txt").write_bytes(b"older")
    with Upload(str(tmp_path), "x.txt") as upload:
        upload.write(b"new")
    assert (tmp_path / "x.txt").read_bytes() == b"older"
    with Upload(str(tmp_path), "x.txt") as upload:
        upload.write(b"new")
        assert (tmp_path / "x.txt").read_bytes() == b"older"
        upload.finish()
    assert (tmp_path / "x.txt").read_bytes() == b"new"
    assert names(tmp_path) == ["x.txt"]


def test_last_finished_upload_of_a_name_remains(tmp_path):
    with Upload(str(tmp_path), "x") as first, Upload(str(tmp_path), "x") as second:
        first.write(b"1")
        second.write(b"2")
        first.write(b"1")
        second.finish()
        assert (tmp_path / "x").read_bytes() == b"2"
        first.finish()
    assert (tmp_path / "x").read_bytes() == b"11"
    assert names(tmp_path) == ["x"]


def test_mode_is_private_until_finished_then_by_the_umask(tmp_path):
    before = os.umask(0o027)
    try:
        with Upload(str(tmp_path), "x") as upload:
            (part,) = tmp_path.iterdir()
            assert stat.S_IMODE(part.stat().st_mode) == 0o600
            upload.finish()
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "x").stat().st_mode) == 0o640


def test_link_is_replaced_and_not_followed(tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    (tmp_path / "elsewhere").write_bytes(b"untouched")
    (folder / "x").symlink_to("../elsewhere")
    with Upload(str(folder), "x") as upload:
        upload.write(b"new")
        upload.finish()
    assert (tmp_path / "elsewhere").read_bytes() == b"untouched"
    assert not (folder / "x").is_symlink()


def test_folder_of_that_name_raises_and_leaves_nothing(tmp_path):
    (tmp_path / "x").mkdir()
    with pytest.raises(IsADirectoryError), Upload(str(tmp_path), "x") as upload:
        upload.finish()
    assert names(tmp_path) == ["x"]


def test_new_upload_never_replaces_a_file(tmp_path):
    with (
        Upload(str(tmp_path), "x", new=True) as first,
        Upload(str(tmp_path), "x", new=True) as last,
    ):
        first.write(b"1")
        last.write(b"2")
        first.finish()
        with pytest.raises(FileExistsError):
            last.finish()
    assert names(tmp_path) == ["x"]
    assert (tmp_path / "x").read_bytes() == b"1"


def test_part_of_the_longest_name_fits(tmp_path):
    with Upload(str(tmp_path), "\U0001f600" * 63) as upload:
        upload.finish()
    assert names(tmp_path) == ["\U0001f600" * 63]


def test_fsync_writes_the_file(tmp_path):
    with Upload(str(tmp_path), "x", fsync=True) as upload:
        upload.write(b"new")
        upload.finish()
    assert (tmp_path / "x").read_bytes() == b"new"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full here")
def test_full_disk_raises_OSError_and_leaves_nothing(tmp_path):
    with pytest.raises(OSError, match="No space left"), Upload(str(tmp_path), "x") as upload:
        full = os.open("/dev/full", os.O_WRONLY)
        (part,) = tmp_path.iterdir()
        for number in os.listdir("/dev/fd"):
            if os.path.realpath(f"/dev/fd/{number}") == str(part):
                os.dup2(full, int(number), inheritable=False)
        os.close(full)
        upload.write(b"new")
    assert names(tmp_path) == []


def test_repr_has_size_and_state(tmp_path):
    with Upload(str(tmp_path), "x") as upload:
        upload.write(b"abc")
        assert repr(upload) == "<Upload of 'x', 3 bytes, unfinished>"
    assert repr(upload) == "<Upload of 'x', 3 bytes, closed>"


def test_only_old_abandoned_parts_are_removed(tmp_path):
    for name in (".x.0123abcd.part", ".y.0123abcd.part", ".z.part", "x.part", ".profile"):
        (tmp_path / name).write_bytes(b"left")
        if not name.startswith(".y"):
            os.utime(tmp_path / name, (1, 1))
    (tmp_path / ".folder.0123abcd.part").mkdir()
    assert remove_abandoned(str(tmp_path)) == [".x.0123abcd.part"]
    assert names(tmp_path) == [
        ".folder.0123abcd.part",
        ".profile",
        ".y.0123abcd.part",
        ".z.part",
        "x.part",
    ]
