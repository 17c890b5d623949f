"""Payloads of regular files, paths and seekable objects."""

from __future__ import annotations

import codecs
import gzip
import io
import os
import pathlib
import random
import subprocess
import sys
import tarfile
import tempfile
import threading
import tracemalloc
import zipfile
from collections.abc import Iterator

import pytest

from restkit.errors import PayloadError, PayloadLengthError, PayloadNotReplayable
from restkit.io.files import CHUNK_SIZE
from restkit.payload.base import DeclaredLength
from restkit.payload.convert import as_payload
from restkit.payload.files import (
    FilePayload,
    PathPayload,
    SeekablePayload,
    guess_content_type,
)
from support.beside import in_threads
from support.payloads import content_type_of, join_chunks, list_chunks, make_payload

MIB = 1 << 20
OCTETS = "application/octet-stream"

# A new interpreter must find the modules that this one finds.
SAME_PATH = os.environ | {
    "PYTHONPATH": os.pathsep.join(os.path.abspath(entry) for entry in sys.path)
}


# Paths


def test_P06_a_path_is_measured_and_opened_for_each_pass(path):
    payload = make_payload(path)
    assert isinstance(payload, PathPayload)
    assert (payload.length, payload.replayable, payload.started) == (10, True, False)
    assert join_chunks(payload) == join_chunks(payload) == b"0123456789"
    for _ in payload:  # the fixture checks that nothing stays open
        break


def test_P06_a_path_without_a_file_raises_the_os_error(tmp_path):
    with pytest.raises(FileNotFoundError) as raised:
        as_payload(tmp_path / "missing")
    assert raised.value.filename == str(tmp_path / "missing")
    with pytest.raises(IsADirectoryError):
        as_payload(tmp_path)
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(OSError, match="symbolic links"):
        as_payload(tmp_path / "loop")


def test_P06_a_path_without_permission_raises_the_os_error(path):
    path.chmod(0)
    os.mkfifo(path.with_name("fifo"), 0)
    path.parent.chmod(0o755)
    program = (
        "import os, pathlib; from restkit.payload.convert import as_payload\n"
        "if os.geteuid() == 0: os.setuid(65534)\n"  # root may read everything
        "for name in ('x.bin', 'fifo'):\n"
        "    try: print(as_payload(pathlib.Path(name)))\n"
        "    except PermissionError as exc: print('refused', exc.filename)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=path.parent,
        env=SAME_PATH,
        stdout=subprocess.PIPE,
        check=True,
    )
    assert done.stdout == b"refused x.bin\nrefused fifo\n"


def test_P06_a_path_may_be_bytes(path):
    class OfBytes:
        def __fspath__(self):
            return os.fsencode(path)

    assert join_chunks(make_payload(OfBytes())) == b"0123456789"


def test_P16_an_empty_file_has_length_zero(tmp_path):
    empty = tmp_path / "empty"
    empty.touch()
    with empty.open("rb") as file, empty.open(encoding="utf-8") as text:
        for value in (empty, file, text, io.BytesIO(), io.StringIO()):
            payload = make_payload(value)
            assert (payload.length, payload.replayable) == (0, True)
            assert list_chunks(payload) == []


@pytest.mark.posix("select does not watch pipes")
def test_the_path_of_a_fifo_is_opened_when_it_is_sent_and_read_once(tmp_path):
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    payload = make_payload(fifo)  # opening it would wait for a writer
    assert (payload.length, payload.replayable, payload.waits_on) == (None, False, None)
    writer = threading.Thread(target=fifo.write_bytes, args=(b"abc",))
    writer.start()
    running = iter(payload)
    assert next(running) == b"abc"
    assert payload.waits_on is not None
    assert list(running) == []
    assert payload.waits_on is None
    writer.join(60)
    with pytest.raises(PayloadNotReplayable):
        join_chunks(payload)


# Regular files


@pytest.mark.parametrize("mode", ["rb", "r+b", "r", "r+", "rb0"])
def test_R01_a_file_is_sent_with_its_size(path, mode):
    with open(path, mode.strip("0"), 0 if "0" in mode else -1) as file:
        payload = make_payload(file)
        assert isinstance(payload, FilePayload)
        assert (payload.length, payload.replayable) == (10, True)
        assert join_chunks(payload) == join_chunks(payload) == b"0123456789"
        assert not file.closed
        assert file.tell() == 0


def test_P03_a_file_is_sent_from_its_position_on_in_each_pass(path):
    for mode in ("rb", "r+b", "r", "r+"):
        with open(path, mode) as file:
            file.read(4)
            payload = make_payload(file)
            assert payload.length == 6
            assert join_chunks(payload) == join_chunks(payload) == b"456789"
            assert file.tell() == 4
            assert join_chunks(make_payload(file)) == b"456789"
            assert file.read(1) in ("4", b"4")
            file.seek(0, os.SEEK_END)
            assert make_payload(file).length == 0
    with path.open("rb") as file:
        file.seek(100)
        assert make_payload(file).length == 0


def test_bytes_that_were_not_flushed_are_sent_too(path):
    with path.open("r+b") as file:
        file.seek(0, os.SEEK_END)
        file.write(b"ab")
        file.seek(8)
        assert join_chunks(make_payload(file)) == b"89ab"
    with path.open("r+", encoding="utf-8") as text:
        text.write("é")
        assert join_chunks(make_payload(text)) == b"23456789ab"
        text.seek(0)
        assert join_chunks(make_payload(text)) == "é23456789ab".encode()
    with tempfile.TemporaryFile() as new:
        new.write(b"abc")
        new.seek(1)
        payload = make_payload(new)
        assert (payload.length, content_type_of(payload)) == (2, OCTETS)
        assert join_chunks(payload) == b"bc"
        new.seek(0, os.SEEK_END)
        new.write(b"d")
        assert join_chunks(payload) == b"bc"


def test_P04_a_file_that_shrinks_raises_and_one_that_grows_is_cut(path):
    path.write_bytes(b"x" * (3 * CHUNK_SIZE))
    with path.open("rb") as file:
        for payload in (make_payload(file), make_payload(path)):
            running = iter(payload)
            assert len(next(running)) == CHUNK_SIZE
            os.truncate(path, CHUNK_SIZE + 5)
            assert len(next(running)) == 5
            with pytest.raises(
                PayloadLengthError, match=f"produced {CHUNK_SIZE + 5} of {3 * CHUNK_SIZE} bytes"
            ):
                next(running)
            path.write_bytes(b"x" * (3 * CHUNK_SIZE) + b"new")
            assert join_chunks(payload) == b"x" * (3 * CHUNK_SIZE)


def test_P13_several_threads_send_one_payload_whole(tmp_path):
    data = os.urandom(5 * CHUNK_SIZE + 17)
    path = tmp_path / "big"
    path.write_bytes(data)
    with path.open("rb") as file, gzip.open(tmp_path / "z", "wb") as packed:
        packed.write(data)
        packed.close()
        file.seek(3)
        with gzip.open(tmp_path / "z") as unpacked:
            unpacked.read(3)
            for payload in (
                make_payload(data[3:]),
                make_payload(file),
                DeclaredLength(make_payload(lambda: iter([data[3:]])), len(data) - 3),
                make_payload(memoryview(data)[3:]),
                make_payload(unpacked),
            ):
                assert in_threads(4, lambda _, p=payload: join_chunks(p) == data[3:]) == [True] * 4
                assert file.tell() == unpacked.tell() == 3


def test_P15_a_file_of_the_caller_is_never_closed(path):
    with path.open("rb") as file:
        payload = make_payload(file)
        with pytest.raises(ZeroDivisionError):
            for _ in payload:
                1 / 0  # noqa: B018  # an error of the sender
        assert not file.closed
        join_chunks(payload)
        assert not file.closed


def test_a_file_that_was_closed_raises_and_no_other_file_is_sent(path, tmp_path):
    path.write_bytes(b"x" * (2 * CHUNK_SIZE))
    with path.open("rb") as file:
        payload = make_payload(file)
        running = iter(payload)
        next(running)
    with (tmp_path / "other").open("w+b") as other:
        other.write(b"y" * (2 * CHUNK_SIZE))
        with pytest.raises(ValueError, match="closed file"):
            next(running)
        with pytest.raises(ValueError, match="closed file"):
            join_chunks(payload)


@pytest.mark.parametrize("mode", ["rb", "r", "r+b"])
def test_as_payload_raises_for_a_closed_file(path, mode):
    with open(path, mode) as file:
        pass
    with pytest.raises(PayloadError, match=r"x\.bin' is closed$"):
        as_payload(file)


@pytest.mark.parametrize("mode", ["wb", "w", "ab", "wb0"])
def test_as_payload_raises_for_a_file_open_for_writing(path, mode):
    with open(path, mode.strip("0"), 0 if "0" in mode else -1) as file:
        with pytest.raises(PayloadError, match=r"x\.bin' is not open for reading$"):
            as_payload(file)


def test_an_os_error_while_reading_is_not_changed(path):
    with path.open("rb", buffering=0) as file:
        payload = make_payload(file)
        with open(os.devnull, "wb", buffering=0) as nothing:
            os.dup2(nothing.fileno(), file.fileno())  # its descriptor cannot be read any more
        with pytest.raises(OSError, match="Bad file descriptor"):
            join_chunks(payload)


def test_a_text_file_is_sent_as_its_bytes_on_disk(path):
    data = "grüße\r\n€\n".encode("latin-1", "replace") + b"\r\n"
    path.write_bytes(data)
    with path.open(encoding="latin-1") as file:
        assert join_chunks(make_payload(file)) == data
        file.readline()
        assert join_chunks(make_payload(file)) == data[7:]
    path.write_text("ab", encoding="utf-16")
    with path.open(encoding="utf-16") as file:
        assert join_chunks(make_payload(file)) == "ab".encode("utf-16")


def test_P18_a_text_file_read_by_iteration_raises_and_asks_for_binary_mode(path):
    path.write_text("one\ntwo\n", encoding="utf-8")
    with path.open(encoding="utf-8") as file:
        next(file)
        with pytest.raises(PayloadError, match="open it with 'rb'"):
            as_payload(file)
        assert list(file) == ["two\n"]
        assert make_payload(file).length == 0


def test_P18_a_text_file_with_a_decoder_state_raises_and_asks_for_binary_mode(path):
    for stored in ("utf-16-le", "utf-16-be"):
        path.write_bytes("\ufeffone\ntwo\n".encode(stored))
        with path.open(encoding="utf-16") as file:
            file.readline()
            with pytest.raises(PayloadError, match=r"x\.bin' was read as text.* with 'rb'"):
                as_payload(file)
    path.write_text("one\ntwo\n", encoding="utf-8-sig")
    with path.open(encoding="utf-8-sig") as file:
        file.readline()
        assert join_chunks(make_payload(file)) == b"two\n"


def test_P01_files_of_proc_are_sent_whole(tmp_path):
    name = pathlib.Path("/proc/version")
    if not name.exists():
        pytest.skip("there is no /proc here")
    truth = name.read_bytes()
    assert name.stat().st_size == 0 < len(truth)
    with name.open("rb") as file, name.open() as text, name.open("rb", buffering=0) as raw:
        for value in (file, text, raw):
            payload = make_payload(value)
            assert (payload.length, payload.replayable, payload.waits_on) == (None, False, None)
            assert join_chunks(payload) == truth
    payload = make_payload(name)
    assert payload.length is None
    assert join_chunks(payload) == truth


def test_P01_cpuinfo_is_not_empty():
    name = pathlib.Path("/proc/cpuinfo")
    if not name.exists():
        pytest.skip("there is no /proc here")
    with name.open("rb") as file:
        assert b"processor" in join_chunks(make_payload(file))


def test_a_file_of_sys_that_claims_a_page_is_sent_whole():
    found = [
        p
        for p in pathlib.Path("/sys/kernel").glob("*")
        if p.is_file() and is_smaller_than_its_size(p)
    ]
    if not found:
        pytest.skip("there is no /sys here")
    payload = make_payload(found[0])
    assert payload.length is None
    assert join_chunks(payload) == found[0].read_bytes()


def is_smaller_than_its_size(path: pathlib.Path) -> bool:
    try:
        return len(path.read_bytes()) < path.stat().st_size
    except OSError:
        return False


def test_a_sparse_file_keeps_its_size(tmp_path):
    path = tmp_path / "sparse"
    with path.open("w+b") as file:
        file.truncate(10 * MIB)
        for payload in (make_payload(file), make_payload(path)):
            assert payload.length == 10 * MIB
            assert join_chunks(payload) == bytes(10 * MIB)


def test_a_region_has_the_file_and_the_position_of_the_bytes(path):
    with path.open("rb") as file:
        file.seek(4)
        payload = make_payload(file)
        assert isinstance(payload, FilePayload)
        with payload.region() as region:
            assert region == (file, 4, 6)
    payload = make_payload(path)
    assert isinstance(payload, PathPayload)
    with payload.region() as region:
        assert os.pread(region.file.fileno(), region.length, region.start) == b"0123456789"
    assert region.file.closed


# Files in memory and other seekable objects


def test_R07_bytes_in_memory_are_sent_from_their_position_which_stays():
    file = io.BytesIO(b"0123456789")
    file.seek(4)
    payload = make_payload(file)
    assert (payload.length, payload.replayable, content_type_of(payload)) == (6, True, OCTETS)
    assert join_chunks(payload) == join_chunks(payload) == b"456789"
    assert file.tell() == 4
    file.seek(20)
    assert make_payload(file).length == 0


def test_bytes_in_memory_are_not_copied():
    data = os.urandom(5 * MIB)
    file = io.BytesIO(data)
    file.seek(1)
    tracemalloc.start()
    try:
        for chunk in make_payload(file):
            assert len(chunk) <= MIB
        assert tracemalloc.get_traced_memory()[1] < MIB
    finally:
        tracemalloc.stop()


def test_P16_text_in_memory_is_measured_in_bytes():
    file = io.StringIO("xhéé€")
    file.read(1)
    payload = make_payload(file)
    assert (payload.length, payload.replayable) == (8, True)
    assert join_chunks(payload) == join_chunks(payload) == "héé€".encode()
    assert file.tell() == 1


def open_seekables(folder: pathlib.Path) -> Iterator[io.IOBase]:
    """Yield objects that return 0123456789, while the file below may hold other bytes."""
    with gzip.open(folder / "z.gz", "wb") as packed:
        packed.write(b"0123456789")
    yield gzip.open(folder / "z.gz")  # noqa: SIM115  # the test closes it
    with zipfile.ZipFile(folder / "z.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("m.txt", b"0123456789")
    with zipfile.ZipFile(folder / "z.zip") as archive:
        yield archive.open("m.txt")
    (folder / "m").write_bytes(b"0123456789")
    with tarfile.open(folder / "z.tar", "w") as tar:
        tar.add(folder / "m", "m")
    with tarfile.open(folder / "z.tar") as tar:
        member = tar.extractfile("m")
        assert member is not None
        yield member
    for file in (tempfile.SpooledTemporaryFile(), tempfile.NamedTemporaryFile()):  # noqa: SIM115
        file.write(b"0123456789")
        file.seek(0)
        yield file
    yield type("Mine", (io.BytesIO,), {})(b"0123456789")


def test_R07_a_seekable_object_is_measured_and_replayable(tmp_path):
    for file in open_seekables(tmp_path):
        with file:
            for start in (0, 4):
                file.seek(start)
                payload = make_payload(file)
                assert isinstance(payload, SeekablePayload)
                assert (payload.length, payload.replayable) == (10 - start, True)
                assert join_chunks(payload) == join_chunks(payload) == b"0123456789"[start:]
                assert file.tell() == start
                for _ in payload:
                    break
                assert file.tell() == start


def test_a_seekable_object_that_grows_is_cut_and_one_that_shrinks_raises():
    class Mine(io.BytesIO):
        pass

    file = Mine(b"0123456789")
    payload = make_payload(file)
    file.seek(0, os.SEEK_END)
    file.write(b"more")
    assert join_chunks(payload) == b"0123456789"
    file.truncate(5)
    with pytest.raises(PayloadLengthError, match="produced 5 of 10 bytes"):
        join_chunks(payload)
    assert file.tell() == 0


def test_seekable_text_is_sent_as_utf_8_and_not_measured(tmp_path):
    with gzip.open(tmp_path / "t.gz", "wt", encoding="latin-1") as packed:
        packed.write("é\nü\n")
    with gzip.open(tmp_path / "t.gz", "rt", encoding="latin-1") as file:
        payload = make_payload(file)
        assert (payload.length, payload.replayable) == (None, True)
        assert join_chunks(payload) == join_chunks(payload) == "é\nü\n".encode()
        file.readline()
        payload = make_payload(file)
        assert join_chunks(payload) == join_chunks(payload) == "ü\n".encode()
    with gzip.open(tmp_path / "t.gz", "rt", encoding="latin-1") as file:
        next(file)
        payload = make_payload(file)
        assert not payload.replayable
        assert join_chunks(payload) == "ü\n".encode()


def test_the_position_of_a_codecs_reader_is_trusted_only_at_the_start(tmp_path):
    path = tmp_path / "t"
    path.write_text("é\nü\n", encoding="utf-8")
    with path.open("rb") as raw:
        file = codecs.getreader("utf-8")(raw)
        payload = make_payload(file)
        assert payload.replayable
        assert join_chunks(payload) == join_chunks(payload) == "é\nü\n".encode()
        assert file.readline() == "é\n"
        payload = make_payload(file)
        assert not payload.replayable
        assert join_chunks(payload) == "ü\n".encode()


def test_an_object_that_only_claims_to_seek_is_read_once():
    class Liar(io.BytesIO):
        def seek(self, offset, whence=0):
            raise io.UnsupportedOperation("seek")

    file = Liar(b"0123")
    file.read(1)
    payload = make_payload(file)
    assert (payload.length, payload.replayable) == (None, False)
    assert join_chunks(payload) == b"123"


# Content types


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a/b.png", "image/png"),
        (b"b.txt", "text/plain"),
        (pathlib.Path("x.json"), "application/json"),
        ("x.tar.gz", "application/gzip"),
        ("x.txt.gz", "application/gzip"),
        ("x.gz", "application/gzip"),
        ("x.tar.bz2", OCTETS),
        ("x.tar.xz", OCTETS),
        ("x.tar", "application/x-tar"),
        ("noname", OCTETS),
        ("data:,x.png", "image/png"),
        ("x.png/", OCTETS),
        ("", OCTETS),
        (3, OCTETS),
        (None, OCTETS),
    ],
)
def test_S20_the_content_type_is_guessed_from_the_name(name, expected):
    assert guess_content_type(name) == (("Content-Type", expected),)


def test_S20_a_nameless_file_is_octets_and_decompressed_bytes_are_not_gzip(tmp_path):
    with tempfile.TemporaryFile() as file:
        assert isinstance(file.name, int)
        assert content_type_of(make_payload(file)) == OCTETS
    with gzip.open(tmp_path / "x.txt.gz", "wb") as packed:
        packed.write(b"text")
    with gzip.open(tmp_path / "x.txt.gz") as file, (tmp_path / "x.txt.gz").open("rb") as whole:
        assert content_type_of(make_payload(file)) == OCTETS
        assert (
            content_type_of(make_payload(whole))
            == content_type_of(make_payload(tmp_path / "x.txt.gz"))
            == "application/gzip"
        )
    named = io.BytesIO(b"")
    named.name = "x.png"
    assert content_type_of(make_payload(named)) == "image/png"


def test_pass_inside_a_read_of_the_same_payload_changes_no_byte() -> None:
    class Interrupted(io.BytesIO):
        """A file whose second read is interrupted by a signal handler, which reads it too."""

        reads = 0

        def read(self, size: int | None = -1, /) -> bytes:
            self.reads += 1
            if self.reads == 2:
                inner.append(b"".join(payload))
            return super().read(size)

    data = random.Random(7).randbytes(3 * CHUNK_SIZE)
    inner: list[bytes] = []
    payload = SeekablePayload(Interrupted(data), 0, len(data))
    assert b"".join(payload) == data
    assert inner == [data]
