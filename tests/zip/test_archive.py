"""Archives as payloads: length, passes, names, failures, and on the wire."""

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
from support.archives import Sized, contents, in_pieces, joined
from support.memory import MIB, peak_memory

WHEN = datetime(2016, 5, 14, 4, 6, 16)  # noqa: DTZ001  # of no zone, as the original's are
STORED = {"compression_method": 0}
NOISE = os.urandom(3 * MIB)
TEXT = b"so much to say, and all of it twice\n" * 60_000


def test_S23_files_of_every_kind_are_read_back():
    kinds = {"bytes": lambda data: data, "sized": Sized, "generator": in_pieces}
    for method, (kind, make) in itertools.product((0, 8), kinds.items()):
        files, expected = [], {}
        for name, data in {"none": b"", "small": b"abc", "text": TEXT, "noise": NOISE}.items():
            expected[f"{kind}/{name}.bin"] = data
            files.append(ZipStreamFile(f"{kind}/{name}.bin", make(data), compression_method=method))
        assert contents(joined(stream_zip(files))) == expected


def test_S24_what_is_not_said_to_be_stored_is_deflated():
    data = joined(stream_zip([ZipStreamFile("a", TEXT), ZipStreamFile("b", in_pieces(TEXT))]))

    kinds = {info.compress_type for info in zipfile.ZipFile(io.BytesIO(data)).infolist()}
    assert kinds == {zipfile.ZIP_DEFLATED}
    assert len(data) < len(TEXT) / 50


def test_an_archive_of_nothing():
    assert ZipStream([]).length == 22
    assert contents(joined(ZipStream([]))) == {}


def test_stored_bytes_have_their_crc_in_front_as_in_the_originals_vector():
    archive = ZipStream([ZipStreamFile("mister.txt", b"hey", modified_at=WHEN, **STORED)])
    crc = zlib.crc32(b"hey").to_bytes(4, "little")

    found = joined(archive)

    assert found[:43] == (
        b"PK\3\4\x14\0\0\0\0\0\xc8 \xaeH" + crc + b"\3\0\0\0\3\0\0\0\n\0\0\0mister.txthey"
    )
    assert found[43:47] == b"PK\1\2"
    assert archive.length == len(found)


PLAIN = st.text(st.characters(exclude_characters="\0./\\", exclude_categories=["Cs"]), max_size=5)


@given(st.lists(st.tuples(PLAIN, st.binary(max_size=50), st.booleans()), max_size=5))
def test_the_length_of_stored_files_is_exact(files):
    archive = ZipStream(
        [
            ZipStreamFile(f"n{name}", data, comment=name, zip64=zip64, **STORED)
            for name, data, zip64 in files
        ]
    )

    assert archive.length == len(joined(archive))


def test_the_length_is_known_without_reading_anything():
    huge = [Sized(b"", size) for size in (10, MIB + 1, 5 << 30, (1 << 32) - 1, 9 << 40)]
    archive = ZipStream(
        [ZipStreamFile(f"{number}", payload, **STORED) for number, payload in enumerate(huge)]
    )

    assert [payload.passes for payload in huge] == [0] * 5
    # What is larger than 1 MiB has a descriptor; three have zip64 in front and a larger descriptor,
    # and in the directory both sizes, and the last two where they are as well. All have their time.
    around = 5 * (30 + 1 + 9) + 1 * 16 + 3 * (20 + 24)
    directory = 5 * (46 + 1 + 9) + 3 * (4 + 16) + 2 * 8
    assert archive.length == sum(p.length for p in huge) + around + directory + 98


@pytest.mark.parametrize(
    "file",
    [
        ZipStreamFile("a", b"deflated"),
        ZipStreamFile("a", lambda: [b"of unknown length"], **STORED),
    ],
)
def test_the_length_is_unknown_where_that_of_one_file_is(file):
    archive = ZipStream([ZipStreamFile("b", b"x", **STORED), file])

    assert archive.length is None
    assert repr(archive) == "<ZipStream of 2 files of unknown length, replayable>"


def test_two_passes_give_the_same_bytes():
    archive = create_zip_stream_resource(
        [
            ZipStreamFile("a", b"abc"),
            ZipStreamFile("b", lambda: in_pieces(TEXT)),
            ZipStreamFile("c", NOISE, **STORED),
        ]
    )

    assert archive.replayable
    assert joined(archive) == joined(archive)


def test_the_pieces_can_be_kept_and_joined():
    files = [ZipStreamFile("a", NOISE, **STORED), ZipStreamFile("b", bytearray(NOISE), **STORED)]

    assert contents(b"".join(stream_zip(files))) == {"a": NOISE, "b": NOISE}


def test_passes_at_the_same_time_do_not_mix():
    archive = ZipStream([ZipStreamFile("a", lambda: in_pieces(NOISE)), ZipStreamFile("b", TEXT)])
    one, other = iter(archive), iter(archive)

    found = [bytes(piece) for pair in zip(one, other, strict=True) for piece in pair]

    assert b"".join(found[::2]) == b"".join(found[1::2]) == joined(archive)


def test_a_generator_of_files_and_one_that_deduplicates_serve_every_pass():
    def postfixed():
        name = yield
        for index in itertools.count():
            name = yield f"{name}_{index}"

    files = (ZipStreamFile("a", data, modified_at=WHEN) for data in (b"one", b"two"))
    archive = create_zip_stream_resource(files, name_deduplicator=postfixed())

    expected = {"a_0": b"one", "a_1": b"two"}
    assert contents(joined(archive)) == expected == contents(joined(archive))


def test_S27_without_a_deduplicator_names_occur_twice():
    files = [ZipStreamFile("a", b"one"), ZipStreamFile("a", b"two")]
    data = joined(stream_zip(files, name_deduplicator=None))

    assert zipfile.ZipFile(io.BytesIO(data)).namelist() == ["a", "a"]


def test_a_deduplicator_may_not_give_what_no_archive_should_have():
    def outwards():
        name = yield
        while True:
            name = yield f"../{name}"

    with pytest.raises(PayloadError, match="leads out of the folder"):
        ZipStream([ZipStreamFile("a", b"")], name_deduplicator=outwards)


def test_a_name_that_a_deduplicator_makes_utf_8_is_said_to_be():
    def in_german():
        yield
        yield "grüße"

    data = joined(ZipStream([ZipStreamFile("a", b"x")], name_deduplicator=in_german))

    assert contents(data) == {"grüße": b"x"}


def test_a_file_that_can_be_sent_once_makes_an_archive_of_one_pass():
    archive = stream_zip([ZipStreamFile("a", in_pieces(TEXT)), ZipStreamFile("b", b"x")])

    assert not archive.replayable
    assert contents(joined(archive)) == {"a": TEXT, "b": b"x"}
    with pytest.raises(PayloadNotReplayable):
        joined(archive)


def test_what_can_be_sent_once_cannot_be_two_files():
    stream = in_pieces(TEXT)

    with pytest.raises(PayloadNotReplayable, match="stream of 'b' can be sent once"):
        ZipStream([ZipStreamFile("a", stream), ZipStreamFile("b", stream)])
    file = ZipStreamFile("a", stream)
    with pytest.raises(PayloadNotReplayable, match="stream of 'a' can be sent once"):
        ZipStream([file, file])


def test_what_can_be_sent_once_and_was_is_refused_at_once():
    file = ZipStreamFile("a", in_pieces(TEXT))
    joined(ZipStream([file]))

    with pytest.raises(PayloadNotReplayable):
        ZipStream([file])


def test_what_can_be_sent_again_can_be_any_number_of_files():
    stream = Sized(NOISE)

    found = contents(joined(ZipStream([ZipStreamFile("a", stream), ZipStreamFile("a", stream)])))

    assert found == {"a": NOISE, "a (1)": NOISE}


def test_something_that_is_no_file_is_named():
    with pytest.raises(TypeError, match="file 1 is of type tuple; ZipStreamFile is wanted"):
        ZipStream([ZipStreamFile("a", b""), ("b", b"")])


@pytest.mark.parametrize("method", [0, 8])
def test_S32_what_a_source_raises_passes_through_and_the_archive_has_no_end(method):
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
        for piece in ZipStream(files):
            found += piece

    assert found.startswith(b"PK\3\4")
    assert not re.search(rb"PK(\x01\x02|\x05\x06|\x06\x06)", found)
    assert closed == [True]


@pytest.mark.parametrize("length", [2, 4, 2 * MIB])
def test_a_source_that_does_not_give_its_length_is_an_error(length):
    archive = ZipStream([ZipStreamFile("a", Sized(b"abc", length))])

    with pytest.raises(PayloadLengthError):
        joined(archive)


def test_a_pass_that_is_given_up_closes_what_it_opened():
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


def test_bytes_that_change_under_way_are_an_error():
    data = bytearray(NOISE)
    pieces = iter(ZipStream([ZipStreamFile("a", data, **STORED)]))
    while len(next(pieces)) < MIB:
        pass
    data[-1] ^= 1

    with pytest.raises(PayloadError, match="was changed while it was sent"):
        list(pieces)


def test_small_files_leave_together_and_what_came_before_a_pause_leaves_before_it():
    asked = []

    def slow():
        for number in range(3):
            asked.append(number)
            yield b"x" * 10

    files = [ZipStreamFile(f"{number}", b"abc") for number in range(20)]
    archive = ZipStream([*files, ZipStreamFile("slow", slow, **STORED), *files])
    seen = [(bytes(piece[:2]), len(asked)) for piece in archive]

    # Twenty files before the source is asked, its header, each of its pieces, and all the rest.
    assert [count for _, count in seen] == [0, 0, 1, 2, 3, 3]
    assert [start for start, _ in seen[:2]] == [b"PK", b"PK"]


def test_files_of_no_bytes_leave_together_too():
    files = [ZipStreamFile(f"{number}", b"") for number in range(100)]

    assert len(list(ZipStream(files))) == 1


def test_the_number_of_a_pipe_is_told_while_the_pipe_is_what_is_waited_for():
    reading, writing = os.pipe()
    with open(reading, "rb", buffering=0) as source:
        archive = ZipStream([ZipStreamFile("a", b"x"), ZipStreamFile("b", source, **STORED)])
        assert archive.waits_on is None
        pieces = iter(archive)
        next(pieces)
        os.write(writing, b"abc")
        told = [archive.waits_on]
        while bytes(next(pieces)) != b"abc":
            told.append(archive.waits_on)
        os.close(writing)
        assert told[-1] == reading
        joined(pieces)
        assert archive.waits_on is None


def test_times_modes_and_comments_are_in_the_directory():
    file = ZipStreamFile(
        "a", b"x", modified_at=datetime(2020, 1, 2, 3, 4, 5, tzinfo=timezone.utc), mode=0o4750,
        comment="grün",
    )  # fmt: skip
    [info] = zipfile.ZipFile(io.BytesIO(joined(ZipStream([file])))).infolist()

    assert info.date_time == (2020, 1, 2, 3, 4, 4)
    assert info.external_attr >> 16 == 0o104750
    assert info.comment.decode() == "grün"
    assert info.create_system == 3


def test_S29_seventy_thousand_files():
    archive = ZipStream([ZipStreamFile(f"{number}", b"") for number in range(70_000)])
    data = joined(archive)

    assert len(zipfile.ZipFile(io.BytesIO(data)).namelist()) == 70_000
    assert archive.length == len(data)


def test_an_archive_in_an_archive_has_an_exact_length():
    inner = ZipStream([ZipStreamFile("a", b"abc", **STORED)])
    outer = ZipStream([ZipStreamFile("inner.zip", inner, **STORED)])

    data = joined(outer)

    assert outer.length == len(data)
    assert contents(contents(data)["inner.zip"]) == {"a": b"abc"}


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
        "result = sum(len(piece) for piece in archive(1024))",
        method=method,
    )

    assert measured.result > (256 * MIB if method == 0 else MIB // 4)
    assert measured.growth < 8 * MIB


def test_on_the_wire_a_stored_archive_has_its_length(client: Client):
    with ScriptedServer.serving(response(b"ok")) as server:
        archive = ZipStream([ZipStreamFile("a", b"abc", **STORED)])
        assert client.post(server.url("/"), archive).body == b"ok"
        assert field(server.request, "Content-Length") == str(archive.length)
        assert field(server.request, "Content-Type") == "application/zip"
        assert contents(body_of(server.request)) == {"a": b"abc"}


def test_on_the_wire_an_archive_goes_again_after_a_redirect(client: Client):
    @ResourceStreamFunction
    def create_text():
        yield from in_pieces(TEXT)

    answers = response(b"", "Location: /there", status="307 Temporary Redirect"), response(b"ok")
    with ScriptedServer.serving(*answers) as server:
        archive = create_zip_stream_resource([ZipStreamFile("a", create_text())])
        assert client.post(server.url("/"), archive, follow_redirect=True).body == b"ok"
        first, second = map(payload_of, server.requests)
    assert first == second
    assert contents(second) == {"a": TEXT}
