"""One file of an archive: what it may be, and what is refused before anything is sent."""

from __future__ import annotations

import io
from dataclasses import FrozenInstanceError
from datetime import date, datetime, timezone

import pytest

from restkit import PayloadError
from restkit.streaming import ZipStreamFile

NONE, DEFLATE, BZIP2, LZMA = 0, 8, 12, 14
WHEN = datetime(2020, 2, 3, 4, 5, 6, tzinfo=timezone.utc)


def test_a_file_is_what_was_said_of_it():
    file = ZipStreamFile(
        "a.txt", b"x", compression_method=NONE, modified_at=WHEN, mode=0o600, comment="c"
    )

    assert (file.name, file.stream, file.compression_method) == ("a.txt", b"x", NONE)
    assert (file.modified_at, file.comment, file.zip64) == (WHEN, "c", False)
    assert oct(file.mode) == "0o100600"
    assert repr(file) == "<ZipStreamFile name = 'a.txt'>"


def test_what_is_left_out_is_deflated_readable_and_of_now():
    before = datetime.now(timezone.utc)
    file, folder = ZipStreamFile("a", b""), ZipStreamFile("a/", b"")

    assert file.compression_method == DEFLATE
    assert (oct(file.mode), oct(folder.mode)) == ("0o100644", "0o40755")
    assert before <= file.modified_at <= datetime.now(timezone.utc)


def test_files_are_equal_by_what_was_said_of_them():
    file = ZipStreamFile("a", b"x", modified_at=WHEN)

    assert file == ZipStreamFile("a", b"x", modified_at=WHEN)
    assert hash(file) == hash(ZipStreamFile("a", b"x", modified_at=WHEN))
    assert file != ZipStreamFile("a", b"y", modified_at=WHEN)
    assert file != ZipStreamFile("b", b"x", modified_at=WHEN)
    assert file != ZipStreamFile("a", b"x", modified_at=WHEN, compression_method=NONE)
    assert file != ZipStreamFile("a", b"x", modified_at=WHEN.replace(year=2021))


def test_a_file_does_not_change():
    with pytest.raises(FrozenInstanceError):
        ZipStreamFile("a", b"x").name = "b"


@pytest.mark.parametrize(
    ("method", "message"),
    [
        (BZIP2, "`bzip2` compression not supported."),
        (LZMA, "`lzma` compression not supported."),
        (99, "Unknown compression method: 99."),
        (None, "Unknown compression method: None."),
    ],
)
def test_S31_a_method_that_is_not_written_is_refused_at_once(method, message):
    with pytest.raises(PayloadError) as caught:
        ZipStreamFile("a", b"x", compression_method=method)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("", "a name has characters"),
        ("a\0b", "no NUL among them"),
        ("/etc/passwd", "leads out of the folder"),
        ("../a", "leads out of the folder"),
        ("a/../../b", "leads out of the folder"),
        ("..\\a", "leads out of the folder"),
        ("\\a", "leads out of the folder"),
        ("\\\\host\\a", "leads out of the folder"),
        (".", "ends with a dot, which is the folder it is in"),
        ("./", "ends with a dot"),
        ("a/.", "ends with a dot"),
        ("\ud800", "lone surrogate"),
        ("ü" * 32768, "has 65536 bytes; it may have 65535"),
    ],
)
def test_a_name_that_no_archive_should_have_is_refused(name, message):
    with pytest.raises(PayloadError, match=message):
        ZipStreamFile(name, b"x")


@pytest.mark.parametrize(
    "name", ["a..b", "..a/b..", "...", "a/.b", "a.", "./a", "a\\b", "ü" * 32767]
)
def test_a_name_that_only_looks_odd_is_taken(name):
    assert ZipStreamFile(name, b"x").name == name


def test_a_comment_has_its_limit_too():
    with pytest.raises(PayloadError, match=r"the comment .* has 65536 bytes"):
        ZipStreamFile("a", b"", comment="c" * 65536)


@pytest.mark.parametrize("mode", [-1, 0o200000])
def test_a_mode_that_is_none_is_refused(mode):
    with pytest.raises(PayloadError, match=r"a number as os\.stat"):
        ZipStreamFile("a", b"", mode=mode)


@pytest.mark.parametrize("stream", [b"x", io.StringIO("x"), iter([b""])])
def test_a_folder_has_no_bytes(stream):
    with pytest.raises(PayloadError, match="is a folder, by the slash at its end"):
        ZipStreamFile("a/", stream)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"name": b"a"}, "name is of type bytes"),
        ({"stream": None}, "b'' is that of an empty file"),
        ({"stream": 1}, "a payload cannot be of type int"),
        ({"comment": b"c"}, "comment is of type bytes"),
        ({"modified_at": date(2020, 1, 1)}, "modified_at is of type date"),
    ],
)
def test_what_is_of_another_type_is_refused(changed, message):
    name, stream = changed.pop("name", "a"), changed.pop("stream", b"")

    with pytest.raises(TypeError, match=message):
        ZipStreamFile(name, stream, **changed)
