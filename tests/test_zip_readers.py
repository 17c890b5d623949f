"""What others make of our archives: unzip, bsdtar, 7z, jar, stream-unzip and zipfile."""

from __future__ import annotations

import itertools
import os
import subprocess
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from stream_unzip import NotStreamUnzippable, stream_unzip

from restkit.payload import Payload
from restkit.streaming import ZipStream, ZipStreamFile
from support.memory import MIB
from support.proxies import needs

GIB = 1 << 30
TEXT = b"so much to say, and all of it twice\n" * 60_000
NOISE = os.urandom(3 * MIB)
DATA = {"none": b"", "small": b"abc", "text": TEXT, "noise": NOISE}


class Sized(Payload):
    """Bytes of known length that are neither a file nor in memory."""

    replayable = True

    def __init__(self, data: bytes) -> None:
        self.length = len(data)
        self.data = data

    def chunks(self):
        return in_pieces(self.data)


def in_pieces(data):
    return (data[at : at + 50_000] for at in range(0, len(data), 50_000))


class Kind(NamedTuple):
    method: int
    make: Callable[[bytes], object]
    zip64: bool = False


KINDS = {
    "stored in memory": Kind(0, lambda data: data),
    "stored, sized": Kind(0, Sized),
    "stored, unsized": Kind(0, in_pieces),
    "stored, unsized, zip64": Kind(0, in_pieces, zip64=True),
    "deflated in memory": Kind(8, lambda data: data),
    "deflated, sized": Kind(8, Sized),
    "deflated, unsized": Kind(8, in_pieces),
    "deflated, unsized, zip64": Kind(8, in_pieces, zip64=True),
}

# Of stored data whose end is in none of their headers, a reader that takes an archive as it comes
# cannot tell where they end; Java's takes no descriptor of stored data at all, and no zip64.
NOT_AS_IT_COMES = {"stored, unsized"}
NOT_BY_JAVA = {
    "stored, sized",
    "stored, unsized",
    "stored, unsized, zip64",
    "deflated, unsized, zip64",
}


class Made(NamedTuple):
    path: Path
    expected: dict[str, bytes]


def archive(kinds) -> tuple[ZipStream, dict[str, bytes]]:
    files, expected = [], {}
    for number, kind in enumerate(kinds):
        method, make, zip64 = KINDS[kind]
        for name, data in DATA.items():
            expected[f"{number}/{name} ü.bin"] = data
            files.append(
                ZipStreamFile(
                    f"{number}/{name} ü.bin",
                    make(data),
                    compression_method=method,
                    zip64=zip64,
                    mode=0o640,
                    comment="grün",
                )
            )
    return ZipStream([*files, ZipStreamFile("folder/", b"")]), expected


def write(payload: ZipStream, path: Path) -> None:
    """Into a file, with holes where it is zeros: archives of many GiB take no room."""
    with path.open("wb") as file:
        for piece in payload:
            if len(piece) > 4096 and piece == bytes(len(piece)):
                file.seek(len(piece), os.SEEK_CUR)
            else:
                file.write(piece)
        file.truncate()


@pytest.fixture
def everything(tmp_path: Path) -> Made:
    """One archive with files of every kind in it."""
    payload, expected = archive(KINDS)
    write(payload, tmp_path / "made.zip")
    return Made(tmp_path / "made.zip", expected)


def run(*command: object, **options) -> bytes:
    program = str(command[0])
    needs(program)
    environment = {**os.environ, "LC_ALL": "C.UTF-8"}
    done = subprocess.run(
        [str(word) for word in command],
        capture_output=True,
        check=False,
        env=environment,
        **options,
    )
    assert done.returncode == 0, (done.stdout[-2000:], done.stderr[-2000:])
    return done.stdout


def tree(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.fixture
def unpacked(tmp_path: Path) -> Path:
    (tmp_path / "unpacked").mkdir()
    return tmp_path / "unpacked"


def test_S23_zipfile_reads_files_of_every_kind(everything):
    with zipfile.ZipFile(everything.path) as read:
        assert read.testzip() is None
        found = {name: read.read(name) for name in read.namelist()}
    assert found == everything.expected | {"folder/": b""}


def test_S23_unzip_finds_nothing_wrong(everything, unpacked):
    assert b"No errors detected" in run("unzip", "-tq", everything.path)
    run("unzip", "-q", everything.path, "-d", unpacked)
    assert tree(unpacked) == everything.expected


def test_bsdtar_reads_files_of_every_kind(everything, unpacked):
    run("bsdtar", "-xf", everything.path, "-C", unpacked)

    assert tree(unpacked) == everything.expected
    assert (unpacked / "0" / "text ü.bin").stat().st_mode & 0o777 == 0o640
    assert (unpacked / "folder").is_dir()


def test_bsdtar_reads_files_of_every_kind_as_they_come(everything, unpacked):
    run("bsdtar", "-xf", "-", "-C", unpacked, input=everything.path.read_bytes())

    assert tree(unpacked) == everything.expected


def test_7z_finds_nothing_wrong(everything, unpacked):
    assert b"Everything is Ok" in run("7z", "t", everything.path)
    run("7z", "x", f"-o{unpacked}", everything.path)
    assert tree(unpacked) == everything.expected


@pytest.mark.parametrize("jar", ["jar", "fastjar"])
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in NOT_BY_JAVA])
def test_S24_jar_reads_as_it_comes_what_java_can(kind, jar, unpacked):
    payload, expected = archive([kind])

    run(jar, "x", input=b"".join([bytes(piece) for piece in payload]), cwd=unpacked)
    assert tree(unpacked) == expected


def test_S24_jar_reads_files_of_every_kind_from_a_file(everything, unpacked):
    run("jar", "--extract", "--file", everything.path, cwd=unpacked)

    assert tree(unpacked) == everything.expected


@pytest.mark.parametrize("kind", KINDS)
def test_S24_stream_unzip_reads_whatever_says_where_it_ends(kind):
    payload, expected = archive([kind])
    pieces = (bytes(piece) for piece in payload)
    if kind in NOT_AS_IT_COMES or kind == "stored, unsized, zip64":
        with pytest.raises(NotStreamUnzippable):
            read_as_it_comes(pieces)
    else:
        assert read_as_it_comes(pieces) == expected | {"folder/": b""}


def read_as_it_comes(pieces: Iterator[bytes]) -> dict[str, bytes]:
    return {name.decode(): b"".join(data) for name, _, data in stream_unzip(pieces)}


def test_times_and_links_of_a_folder_come_back(tmp_path, unpacked):
    folder = tmp_path / "folder"
    (folder / "b").mkdir(parents=True)
    (folder / "b" / "a.txt").write_bytes(b"x")
    (folder / "b" / "a.txt").chmod(0o751)
    (folder / "link").symlink_to("b/a.txt")
    for path in (folder / "b" / "a.txt", folder / "b"):
        os.utime(path, (1_500_000_001, 1_500_000_001))
    write(ZipStream.from_path(folder, symlinks="keep"), tmp_path / "made.zip")

    run("bsdtar", "-xpf", tmp_path / "made.zip", "-C", unpacked)

    file = unpacked / "b" / "a.txt"
    assert file.stat().st_mode & 0o777 == 0o751
    # To the second, though the clock of an archive has every other one, and whatever the zone.
    assert file.stat().st_mtime == (unpacked / "b").stat().st_mtime == 1_500_000_001
    assert os.readlink(unpacked / "link") == "b/a.txt"


@pytest.mark.slow
def test_S29_seventy_thousand_files_are_found(tmp_path):
    path = tmp_path / "made.zip"
    write(ZipStream([ZipStreamFile(f"{number}", b"") for number in range(70_000)]), path)

    assert len(zipfile.ZipFile(path).namelist()) == 70_000
    assert len(run("bsdtar", "-tf", path).splitlines()) == 70_000
    assert b"Files: 70000" in run("7z", "t", path)
    assert run("unzip", "-Z1", path).count(b"\n") == 70_000


class Zeros(Payload):
    """More zeros than anybody wants, out of one block."""

    replayable = True

    def __init__(self, count: int, length: int | None) -> None:
        self.length = length
        self.count = count

    def chunks(self):
        block = bytes(MIB)
        yield from itertools.repeat(block, self.count // MIB)
        yield bytes(self.count % MIB)


@pytest.mark.slow
@pytest.mark.parametrize("known", [True, False])
def test_S33_stored_files_beyond_four_gib_and_one_that_begins_there(known, tmp_path):
    size, path = 4 * GIB + 5, tmp_path / "made.zip"
    payload = ZipStream(
        [
            ZipStreamFile("large", Zeros(size, size if known else None), compression_method=0),
            ZipStreamFile("behind", b"abc", compression_method=0),
        ]
    )
    write(payload, path)

    assert payload.length == (path.stat().st_size if known else None)
    with zipfile.ZipFile(path) as read:
        assert read.getinfo("large").file_size == size
        assert read.read("behind") == b"abc"
    assert b"Everything is Ok" in run("7z", "t", path)
    assert run("bsdtar", "-xOf", path, "behind") == b"abc"
    # All of it takes unzip 20 seconds.
    assert b"No errors detected" in run("unzip", "-tq", path, "behind" if known else "large")


@pytest.mark.slow
def test_S33_five_gib_of_zeros_are_deflated(tmp_path):
    path = tmp_path / "made.zip"
    write(ZipStream([ZipStreamFile("large", Zeros(5 * GIB, None))]), path)

    assert path.stat().st_size < 30 * MIB
    with zipfile.ZipFile(path) as read:
        assert read.getinfo("large").file_size == 5 * GIB
        assert read.testzip() is None
    assert b"Everything is Ok" in run("7z", "t", path)


@pytest.mark.slow
def test_S33_five_gib_that_were_announced_are_read_as_they_come(tmp_path):
    path = tmp_path / "made.zip"
    large = ZipStreamFile("large", Zeros(5 * GIB, None), zip64=True)
    write(ZipStream([large, ZipStreamFile("behind", b"abc")]), path)

    assert run("bsdtar", "-xOf", "-", "behind", input=path.read_bytes()) == b"abc"
    assert b"Everything is Ok" in run("7z", "t", path)
