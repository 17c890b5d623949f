"""Archives as payloads: length, passes, names, errors and requests."""

from __future__ import annotations

import io
import itertools
import os
import re
import zipfile
import zlib
from datetime import datetime, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from restkit import Client, PayloadError, PayloadLengthError, PayloadNotReplayable
from restkit.streaming import (
    ResourceStreamFunction,
    ZipStream,
    ZipStreamFile,
    create_zip_stream_resource,
    stream_zip,
)
from support import ScriptedServer, body_of, field, payload_of, response
from support.memory import MIB, peak_memory
from support.payloads import SizedPayload, join_chunks, read_archive, split

NAIVE_TIME = datetime(2016, 5, 14, 4, 6, 16)  # noqa: DTZ001  # without a zone, as in restkit 1 to 4
STORED = {"compression_method": 0}
NOISE = os.urandom(3 * MIB)
TEXT = b"so much to say, and all of it twice\n" * 60_000


def test_S23_zipfile_reads_every_kind_of_source():
    kinds = {"bytes": lambda data: data, "sized": SizedPayload, "generator": split}
    for method, (kind, make) in itertools.product((0, 8), kinds.items()):
        files, expected = [], {}
        for name, data in {"none": b"", "small": b"abc", "text": TEXT, "noise": NOISE}.items():
            expected[f"{kind}/{name}.bin"] = data
            files.append(ZipStreamFile(f"{kind}/{name}.bin", make(data), compression_method=method))
        assert read_archive(join_chunks(stream_zip(files))) == expected


def test_S24_files_are_deflated_by_default():
    data = join_chunks(stream_zip([ZipStreamFile("a", TEXT), ZipStreamFile("b", split(TEXT))]))

    kinds = {info.compress_type for info in zipfile.ZipFile(io.BytesIO(data)).infolist()}
    assert kinds == {zipfile.ZIP_DEFLATED}
    assert len(data) < len(TEXT) / 50


def test_empty_archive():
    assert ZipStream([]).length == 22
    assert read_archive(join_chunks(ZipStream([]))) == {}


def test_stored_bytes_have_their_crc_in_the_local_header():
    archive = ZipStream([ZipStreamFile("mister.txt", b"hey", modified_at=NAIVE_TIME, **STORED)])
    crc = zlib.crc32(b"hey").to_bytes(4, "little")

    found = join_chunks(archive)

    assert found[:43] == (
        b"PK\3\4\x14\0\0\0\0\0\xc8 \xaeH" + crc + b"\3\0\0\0\3\0\0\0\n\0\0\0mister.txthey"
    )
    assert found[43:47] == b"PK\1\2"
    assert archive.length == len(found)


PLAIN = st.text(st.characters(exclude_characters="\0./\\", exclude_categories=["Cs"]), max_size=5)


@given(st.lists(st.tuples(PLAIN, st.binary(max_size=50), st.booleans()), max_size=5))
def test_length_of_stored_files_is_exact(files):
    archive = ZipStream(
        [
            ZipStreamFile(f"n{name}", data, comment=name, zip64=zip64, **STORED)
            for name, data, zip64 in files
        ]
    )

    assert archive.length == len(join_chunks(archive))


def test_length_is_known_without_reading():
    huge = [SizedPayload(b"", size) for size in (10, MIB + 1, 5 << 30, (1 << 32) - 1, 9 << 40)]
    archive = ZipStream(
        [ZipStreamFile(f"{number}", payload, **STORED) for number, payload in enumerate(huge)]
    )

    assert [payload.passes for payload in huge] == [0] * 5
    # Files above 1 MiB have a descriptor. Three have zip64 in the header and a larger descriptor,
    # and both sizes in the directory; the last two also have their offset there. All have a time.
    overhead = 5 * (30 + 1 + 9) + 1 * 16 + 3 * (20 + 24)
    directory = 5 * (46 + 1 + 9) + 3 * (4 + 16) + 2 * 8
    assert archive.length == sum(p.length for p in huge) + overhead + directory + 98


@pytest.mark.parametrize(
    "file",
    [
        ZipStreamFile("a", b"deflated"),
        ZipStreamFile("a", lambda: [b"of unknown length"], **STORED),
    ],
)
def test_length_is_unknown_if_one_file_has_an_unknown_length(file):
    archive = ZipStream([ZipStreamFile("b", b"x", **STORED), file])

    assert archive.length is None
    assert repr(archive) == "<ZipStream of 2 files of unknown length, replayable>"


def test_two_passes_give_the_same_bytes():
    archive = create_zip_stream_resource(
        [
            ZipStreamFile("a", b"abc"),
            ZipStreamFile("b", lambda: split(TEXT)),
            ZipStreamFile("c", NOISE, **STORED),
        ]
    )

    assert archive.replayable
    assert join_chunks(archive) == join_chunks(archive)


def test_chunks_can_be_kept_and_joined():
    files = [ZipStreamFile("a", NOISE, **STORED), ZipStreamFile("b", bytearray(NOISE), **STORED)]

    assert read_archive(b"".join(stream_zip(files))) == {"a": NOISE, "b": NOISE}


def test_passes_at_the_same_time_do_not_mix():
    archive = ZipStream([ZipStreamFile("a", lambda: split(NOISE)), ZipStreamFile("b", TEXT)])
    one, other = iter(archive), iter(archive)

    found = [bytes(chunk) for pair in zip(one, other, strict=True) for chunk in pair]

    assert b"".join(found[::2]) == b"".join(found[1::2]) == join_chunks(archive)


def test_generators_of_files_and_names_serve_every_pass():
    def postfixed():
        name = yield
        for index in itertools.count():
            name = yield f"{name}_{index}"

    files = (ZipStreamFile("a", data, modified_at=NAIVE_TIME) for data in (b"one", b"two"))
    archive = create_zip_stream_resource(files, name_deduplicator=postfixed())

    expected = {"a_0": b"one", "a_1": b"two"}
    assert read_archive(join_chunks(archive)) == expected == read_archive(join_chunks(archive))


def test_S27_duplicate_names_are_kept_without_a_deduplicator():
    files = [ZipStreamFile("a", b"one"), ZipStreamFile("a", b"two")]
    data = join_chunks(stream_zip(files, name_deduplicator=None))

    assert zipfile.ZipFile(io.BytesIO(data)).namelist() == ["a", "a"]


def test_name_from_a_deduplicator_that_leads_outside_raises():
    def leave_folder():
        name = yield
        while True:
            name = yield f"../{name}"

    with pytest.raises(PayloadError, match="leads out of the folder"):
        ZipStream([ZipStreamFile("a", b"")], name_deduplicator=leave_folder)


def test_name_from_a_deduplicator_is_marked_as_utf_8():
    def in_german():
        yield
        yield "grüße"

    data = join_chunks(ZipStream([ZipStreamFile("a", b"x")], name_deduplicator=in_german))

    assert read_archive(data) == {"grüße": b"x"}


def test_one_shot_file_makes_a_one_shot_archive():
    archive = stream_zip([ZipStreamFile("a", split(TEXT)), ZipStreamFile("b", b"x")])

    assert not archive.replayable
    assert read_archive(join_chunks(archive)) == {"a": TEXT, "b": b"x"}
    with pytest.raises(PayloadNotReplayable):
        join_chunks(archive)


def test_one_shot_stream_in_two_files_raises():
    stream = split(TEXT)

    with pytest.raises(PayloadNotReplayable, match="stream of 'b' can be sent once"):
        ZipStream([ZipStreamFile("a", stream), ZipStreamFile("b", stream)])
    file = ZipStreamFile("a", stream)
    with pytest.raises(PayloadNotReplayable, match="stream of 'a' can be sent once"):
        ZipStream([file, file])


def test_one_shot_stream_that_was_sent_raises_at_once():
    file = ZipStreamFile("a", split(TEXT))
    join_chunks(ZipStream([file]))

    with pytest.raises(PayloadNotReplayable):
        ZipStream([file])


def test_replayable_stream_can_be_several_files():
    stream = SizedPayload(NOISE)

    found = read_archive(
        join_chunks(ZipStream([ZipStreamFile("a", stream), ZipStreamFile("a", stream)]))
    )

    assert found == {"a": NOISE, "a (1)": NOISE}


def test_value_that_is_no_file_raises_with_its_index():
    with pytest.raises(TypeError, match="file 1 must be a ZipStreamFile; got tuple"):
        ZipStream([ZipStreamFile("a", b""), ("b", b"")])


@pytest.mark.parametrize("method", [0, 8])
def test_S32_error_of_a_source_passes_through_and_the_archive_has_no_end(method):
    closed = []

    def failing():
        try:
            yield NOISE[:100_000]
            raise KeyError("the database went away")
        finally:
            closed.append(True)

    files = [
        ZipStreamFile("a", b"abc"),
        ZipStreamFile("b", failing, compression_method=method),
        ZipStreamFile("c", b"abc"),
    ]
    found = bytearray()
    with pytest.raises(KeyError, match="the database went away"):
        for chunk in ZipStream(files):
            found += chunk

    assert found.startswith(b"PK\3\4")
    assert not re.search(rb"PK(\x01\x02|\x05\x06|\x06\x06)", found)
    assert closed == [True]


@pytest.mark.parametrize("length", [2, 4, 2 * MIB])
def test_source_with_a_wrong_length_raises(length):
    archive = ZipStream([ZipStreamFile("a", SizedPayload(b"abc", length))])

    with pytest.raises(PayloadLengthError):
        join_chunks(archive)


def test_closing_a_pass_closes_its_source():
    closed = []

    def endless():
        try:
            while True:
                yield NOISE
        finally:
            closed.append(True)

    archive = iter(ZipStream([ZipStreamFile("a", endless)]))
    for _ in range(3):
        next(archive)
    archive.close()

    assert closed == [True]


def test_bytes_that_change_while_they_are_sent_raise():
    data = bytearray(NOISE)
    chunks = iter(ZipStream([ZipStreamFile("a", data, **STORED)]))
    while len(next(chunks)) < MIB:
        pass
    data[-1] ^= 1

    with pytest.raises(PayloadError, match="was changed while it was sent"):
        list(chunks)


def test_small_files_are_joined_and_sent_before_a_slow_source_is_read():
    reads = []

    def slow():
        for number in range(3):
            reads.append(number)
            yield b"x" * 10

    files = [ZipStreamFile(f"{number}", b"abc") for number in range(20)]
    archive = ZipStream([*files, ZipStreamFile("slow", slow, **STORED), *files])
    seen = [(bytes(chunk[:2]), len(reads)) for chunk in archive]

    # Twenty files before the source is read, its header, each of its chunks, and the rest.
    assert [count for _, count in seen] == [0, 0, 1, 2, 3, 3]
    assert [start for start, _ in seen[:2]] == [b"PK", b"PK"]


def test_empty_files_are_joined():
    files = [ZipStreamFile(f"{number}", b"") for number in range(100)]

    assert len(list(ZipStream(files))) == 1


@pytest.mark.posix("select does not watch pipes")
def test_archive_waits_on_the_pipe_that_is_current():
    reading, writing = os.pipe()
    with open(reading, "rb", buffering=0) as source:
        archive = ZipStream([ZipStreamFile("a", b"x"), ZipStreamFile("b", source, **STORED)])
        assert archive.waits_on is None
        chunks = iter(archive)
        next(chunks)
        os.write(writing, b"abc")
        waits_on = [archive.waits_on]
        while bytes(next(chunks)) != b"abc":
            waits_on.append(archive.waits_on)
        os.close(writing)
        assert waits_on[-1] == reading
        join_chunks(chunks)
        assert archive.waits_on is None


def test_times_modes_and_comments_are_in_the_directory():
    file = ZipStreamFile(
        "a", b"x", modified_at=datetime(2020, 1, 2, 3, 4, 5, tzinfo=timezone.utc), mode=0o4750,
        comment="grün",
    )  # fmt: skip
    [info] = zipfile.ZipFile(io.BytesIO(join_chunks(ZipStream([file])))).infolist()

    assert info.date_time == (2020, 1, 2, 3, 4, 4)
    assert info.external_attr >> 16 == 0o104750
    assert info.comment.decode() == "grün"
    assert info.create_system == 3


def test_S29_seventy_thousand_files():
    archive = ZipStream([ZipStreamFile(f"{number}", b"") for number in range(70_000)])
    data = join_chunks(archive)

    assert len(zipfile.ZipFile(io.BytesIO(data)).namelist()) == 70_000
    assert archive.length == len(data)


def test_archive_in_an_archive_has_an_exact_length():
    inner = ZipStream([ZipStreamFile("a", b"abc", **STORED)])
    outer = ZipStream([ZipStreamFile("inner.zip", inner, **STORED)])

    data = join_chunks(outer)

    assert outer.length == len(data)
    assert read_archive(read_archive(data)["inner.zip"]) == {"a": b"abc"}


@pytest.mark.parametrize("method", [0, 8])
def test_memory_stays_flat(method):
    measured = peak_memory(
        """
        from restkit.streaming import ZipStream, ZipStreamFile
        block = bytes(range(256)) * 1024
        def archive(count):
            stream = lambda: (block for _ in range(count))
            return ZipStream([ZipStreamFile('a', stream, compression_method=method)])
        for _ in archive(8):
            pass
        """,
        "result = sum(len(chunk) for chunk in archive(1024))",
        method=method,
    )

    assert measured.result > (256 * MIB if method == 0 else MIB // 4)
    assert measured.growth < 8 * MIB


def test_stored_archive_is_sent_with_its_content_length(client: Client):
    with ScriptedServer.serving(response(b"ok")) as server:
        archive = ZipStream([ZipStreamFile("a", b"abc", **STORED)])
        assert client.post(server.url("/"), archive).body == b"ok"
        assert field(server.request, "Content-Length") == str(archive.length)
        assert field(server.request, "Content-Type") == "application/zip"
        assert read_archive(body_of(server.request)) == {"a": b"abc"}


def test_archive_is_sent_again_after_a_redirect(client: Client):
    @ResourceStreamFunction
    def create_text():
        yield from split(TEXT)

    responses = response(b"", "Location: /there", status="307 Temporary Redirect"), response(b"ok")
    with ScriptedServer.serving(*responses) as server:
        archive = create_zip_stream_resource([ZipStreamFile("a", create_text())])
        assert client.post(server.url("/"), archive, follow_redirect=True).body == b"ok"
        first, second = map(payload_of, server.requests)
    assert first == second
    assert read_archive(second) == {"a": TEXT}
