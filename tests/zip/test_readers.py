"""Archives read by other programs: unzip, bsdtar, 7z, jar, stream-unzip and zipfile."""

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

from restkit.payload.base import Payload
from restkit.streaming import ZipStream, ZipStreamFile
from support.memory import MIB
from support.payloads import SizedPayload, split
from support.proxies import needs

GIB = 1 << 30
TEXT = b"so much to say, and all of it twice\n" * 60_000
NOISE = os.urandom(3 * MIB)
DATA = {"none": b"", "small": b"abc", "text": TEXT, "noise": NOISE}


class Kind(NamedTuple):
    method: int
    make: Callable[[bytes], object]
    zip64: bool = False


KINDS = {
    "stored in memory": Kind(0, lambda data: data),
    "stored, sized": Kind(0, SizedPayload),
    "stored, unsized": Kind(0, split),
    "stored, unsized, zip64": Kind(0, split, zip64=True),
    "deflated in memory": Kind(8, lambda data: data),
    "deflated, sized": Kind(8, SizedPayload),
    "deflated, unsized": Kind(8, split),
    "deflated, unsized, zip64": Kind(8, split, zip64=True),
}

# A streaming reader cannot find the end of stored data if no header has their size. Java accepts
# no descriptor of stored data at all, and no zip64.
NOT_STREAMABLE = {"stored, unsized"}
NOT_FOR_JAVA = {
    "stored, sized",
    "stored, unsized",
    "stored, unsized, zip64",
    "deflated, unsized, zip64",
}


class ArchiveFile(NamedTuple):
    path: Path
    expected: dict[str, bytes]


def make_archive(kinds) -> tuple[ZipStream, dict[str, bytes]]:
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
    """Write to a file with holes for zeros, so that archives of many GiB take no space."""
    with path.open("wb") as file:
        for chunk in payload:
            if len(chunk) > 4096 and chunk == bytes(len(chunk)):
                file.seek(len(chunk), os.SEEK_CUR)
            else:
                file.write(chunk)
        file.truncate()


@pytest.fixture
def archive_file(tmp_path: Path) -> ArchiveFile:
    """An archive with files of every kind."""
    payload, expected = make_archive(KINDS)
    write(payload, tmp_path / "made.zip")
    return ArchiveFile(tmp_path / "made.zip", expected)


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


def read_folder(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.fixture
def unpacked(tmp_path: Path) -> Path:
    (tmp_path / "unpacked").mkdir()
    return tmp_path / "unpacked"


def test_S23_zipfile_reads_every_kind(archive_file):
    with zipfile.ZipFile(archive_file.path) as read:
        assert read.testzip() is None
        found = {name: read.read(name) for name in read.namelist()}
    assert found == archive_file.expected | {"folder/": b""}


def test_S23_unzip_reads_every_kind(archive_file, unpacked):
    assert b"No errors detected" in run("unzip", "-tq", archive_file.path)
    run("unzip", "-q", archive_file.path, "-d", unpacked)
    assert read_folder(unpacked) == archive_file.expected


def test_bsdtar_reads_every_kind(archive_file, unpacked):
    run("bsdtar", "-xf", archive_file.path, "-C", unpacked)

    assert read_folder(unpacked) == archive_file.expected
    assert (unpacked / "0" / "text ü.bin").stat().st_mode & 0o777 == 0o640
    assert (unpacked / "folder").is_dir()


def test_bsdtar_reads_every_kind_as_a_stream(archive_file, unpacked):
    run("bsdtar", "-xf", "-", "-C", unpacked, input=archive_file.path.read_bytes())

    assert read_folder(unpacked) == archive_file.expected


def test_7z_reads_every_kind(archive_file, unpacked):
    assert b"Everything is Ok" in run("7z", "t", archive_file.path)
    run("7z", "x", f"-o{unpacked}", archive_file.path)
    assert read_folder(unpacked) == archive_file.expected


@pytest.mark.parametrize("jar", ["jar", "fastjar"])
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in NOT_FOR_JAVA])
def test_S24_jar_reads_a_stream_of_the_kinds_that_java_supports(kind, jar, unpacked):
    payload, expected = make_archive([kind])

    run(jar, "x", input=b"".join([bytes(chunk) for chunk in payload]), cwd=unpacked)
    assert read_folder(unpacked) == expected


def test_S24_jar_reads_every_kind_from_a_file(archive_file, unpacked):
    run("jar", "--extract", "--file", archive_file.path, cwd=unpacked)

    assert read_folder(unpacked) == archive_file.expected


@pytest.mark.parametrize("kind", KINDS)
def test_S24_stream_unzip_reads_every_kind_with_a_known_end(kind):
    payload, expected = make_archive([kind])
    chunks = (bytes(chunk) for chunk in payload)
    if kind in NOT_STREAMABLE or kind == "stored, unsized, zip64":
        with pytest.raises(NotStreamUnzippable):
            unzip_stream(chunks)
    else:
        assert unzip_stream(chunks) == expected | {"folder/": b""}


def unzip_stream(chunks: Iterator[bytes]) -> dict[str, bytes]:
    return {name.decode(): b"".join(data) for name, _, data in stream_unzip(chunks)}


def test_bsdtar_restores_times_and_links_of_a_folder(tmp_path, unpacked):
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
    # Exact to the second in any time zone, though DOS times have steps of two seconds.
    assert file.stat().st_mtime == (unpacked / "b").stat().st_mtime == 1_500_000_001
    assert os.readlink(unpacked / "link") == "b/a.txt"


@pytest.mark.slow
def test_S29_seventy_thousand_files_are_listed(tmp_path):
    path = tmp_path / "made.zip"
    write(ZipStream([ZipStreamFile(f"{number}", b"") for number in range(70_000)]), path)

    assert len(zipfile.ZipFile(path).namelist()) == 70_000
    assert len(run("bsdtar", "-tf", path).splitlines()) == 70_000
    assert b"Files: 70000" in run("7z", "t", path)
    assert run("unzip", "-Z1", path).count(b"\n") == 70_000


class Zeros(Payload):
    """Any number of zeros from one block."""

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
def test_S33_stored_file_above_four_gib_and_one_after_it(known, tmp_path):
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
    # A test of the whole archive takes unzip 20 seconds.
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
def test_S33_announced_zip64_of_five_gib_is_read_as_a_stream(tmp_path):
    path = tmp_path / "made.zip"
    large = ZipStreamFile("large", Zeros(5 * GIB, None), zip64=True)
    write(ZipStream([large, ZipStreamFile("behind", b"abc")]), path)

    assert run("bsdtar", "-xOf", "-", "behind", input=path.read_bytes()) == b"abc"
    assert b"Everything is Ok" in run("7z", "t", path)
