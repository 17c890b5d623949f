"""One file of an archive: its values, and the errors before anything is sent."""

from __future__ import annotations

import io
from dataclasses import FrozenInstanceError
from datetime import date, datetime, timezone

import pytest

from restkit import PayloadError
from restkit.streaming import ZipStreamFile

NONE, DEFLATE, BZIP2, LZMA = 0, 8, 12, 14
AWARE_TIME = datetime(2020, 2, 3, 4, 5, 6, tzinfo=timezone.utc)


def test_file_has_the_given_values():
    file = ZipStreamFile(
        "a.txt", b"x", compression_method=NONE, modified_at=AWARE_TIME, mode=0o600, comment="c"
    )

    assert (file.name, file.stream, file.compression_method) == ("a.txt", b"x", NONE)
    assert (file.modified_at, file.comment, file.zip64) == (AWARE_TIME, "c", False)
    assert oct(file.mode) == "0o100600"
    assert repr(file) == "<ZipStreamFile name = 'a.txt'>"


def test_defaults_are_deflate_readable_mode_and_current_time():
    before = datetime.now(timezone.utc)
    file, folder = ZipStreamFile("a", b""), ZipStreamFile("a/", b"")

    assert file.compression_method == DEFLATE
    assert (oct(file.mode), oct(folder.mode)) == ("0o100644", "0o40755")
    assert before <= file.modified_at <= datetime.now(timezone.utc)


def test_files_are_equal_by_their_values():
    file = ZipStreamFile("a", b"x", modified_at=AWARE_TIME)

    assert file == ZipStreamFile("a", b"x", modified_at=AWARE_TIME)
    assert hash(file) == hash(ZipStreamFile("a", b"x", modified_at=AWARE_TIME))
    assert file != ZipStreamFile("a", b"y", modified_at=AWARE_TIME)
    assert file != ZipStreamFile("b", b"x", modified_at=AWARE_TIME)
    assert file != ZipStreamFile("a", b"x", modified_at=AWARE_TIME, compression_method=NONE)
    assert file != ZipStreamFile("a", b"x", modified_at=AWARE_TIME.replace(year=2021))


def test_file_is_frozen():
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
def test_S31_unsupported_method_raises_at_once(method, message):
    with pytest.raises(PayloadError) as caught:
        ZipStreamFile("a", b"x", compression_method=method)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("", "must have characters"),
        ("a\0b", "and no NUL"),
        ("/etc/passwd", "leads out of the folder"),
        ("../a", "leads out of the folder"),
        ("a/../../b", "leads out of the folder"),
        ("..\\a", "leads out of the folder"),
        ("\\a", "leads out of the folder"),
        ("\\\\host\\a", "leads out of the folder"),
        (".", "ends with a dot, which means its own folder"),
        ("./", "ends with a dot"),
        ("a/.", "ends with a dot"),
        ("\ud800", "lone surrogate"),
        ("ü" * 32768, "has 65536 bytes; it may have 65535"),
    ],
)
def test_unsafe_or_impossible_name_raises(name, message):
    with pytest.raises(PayloadError, match=message):
        ZipStreamFile(name, b"x")


@pytest.mark.parametrize(
    "name", ["a..b", "..a/b..", "...", "a/.b", "a.", "./a", "a\\b", "ü" * 32767]
)
def test_unusual_but_safe_name_is_accepted(name):
    assert ZipStreamFile(name, b"x").name == name


def test_long_comment_raises():
    with pytest.raises(PayloadError, match=r"the comment .* has 65536 bytes"):
        ZipStreamFile("a", b"", comment="c" * 65536)


@pytest.mark.parametrize("mode", [-1, 0o200000])
def test_invalid_mode_raises(mode):
    with pytest.raises(PayloadError, match=r"a number as in os\.stat"):
        ZipStreamFile("a", b"", mode=mode)


@pytest.mark.parametrize("stream", [b"x", io.StringIO("x"), iter([b""])])
def test_folder_with_bytes_raises(stream):
    with pytest.raises(PayloadError, match="ends with a slash, so it is a folder"):
        ZipStreamFile("a/", stream)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"name": b"a"}, "name must be str; got bytes"),
        ({"stream": None}, "pass b'' for an empty file"),
        ({"stream": 1}, "a payload cannot be of type int"),
        ({"comment": b"c"}, "comment must be str; got bytes"),
        ({"modified_at": date(2020, 1, 1)}, "modified_at must be datetime.datetime; got date"),
    ],
)
def test_value_of_a_wrong_type_raises(changed, message):
    name, stream = changed.pop("name", "a"), changed.pop("stream", b"")

    with pytest.raises(TypeError, match=message):
        ZipStreamFile(name, stream, **changed)
