"""``body_file`` behaves like a real file, for every framing, while the body arrives."""

from __future__ import annotations

import csv
import io
import json
import operator
import shutil
import tarfile
import threading
import zipfile
from contextlib import ExitStack

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from restkit import AlreadyRead, Client
from support import ScriptedServer, response
from support.answers import FRAMINGS, answered, giving
from support.memory import MIB, peak_memory, unnamed_files

TEXT = b"one\ntwo\r\n\nfour \xc3\xbc\nand no end"
LONG = bytes(range(256)) * 1500 + b"\n" + b"x" * 70_000 + b"\nlast"
EVERY_FRAMING = pytest.mark.parametrize("framing", FRAMINGS)


def outcome_of(call, file):
    """Return the result of a call, or the type of the exception that it raises."""
    try:
        return call(file)
    except (OSError, ValueError, TypeError, OverflowError) as exc:
        return next(kind for kind in (OSError, ValueError, Exception) if isinstance(exc, kind))


# B01: what the standard library does with files


@EVERY_FRAMING
def test_B01_body_file_reads_seeks_and_tells_like_a_file(framing, tmp_path):
    calls = [
        lambda file: file.tell(),
        lambda file: file.read(0),
        lambda file: file.read(3),
        lambda file: file.readline(2),
        lambda file: file.readline(0),
        lambda file: file.readline(),
        lambda file: file.tell(),
        lambda file: file.seek(-10, 2),
        lambda file: file.read(),
        lambda file: file.read(),
        lambda file: file.seek(0),
        lambda file: file.readlines(8),
        lambda file: file.readlines(),
        lambda file: file.seek(5),
        lambda file: file.seek(2, 1),
        lambda file: (file.readinto(buffer := bytearray(4)), bytes(buffer)),
        lambda file: (file.readinto1(buffer := bytearray(4)), bytes(buffer)),
        lambda file: file.readinto(bytearray()),
        lambda file: file.peek(1)[:1],
        lambda file: file.peek()[:1],
        lambda file: file.read(None),
        lambda file: file.seek(1000),
        lambda file: (file.read(1), file.readline(), file.peek(1), file.tell()),
        lambda file: file.seek(-1),
        lambda file: file.seek(-1000, 1),
        lambda file: file.seek(-1000, 2),
        lambda file: file.seek(0, 7),
        lambda file: file.seek(1.5),
        lambda file: file.tell(),
        lambda file: file.seek(3) and next(file),
        list,
        lambda file: (file.readable(), file.seekable(), file.writable(), file.closed),
        lambda file: file.write(b"x"),
        lambda file: file.truncate(),
        lambda file: file.isatty(),
        lambda file: file.flush(),
    ]
    (tmp_path / "real").write_bytes(TEXT)
    with answered(FRAMINGS[framing](TEXT)) as got, (tmp_path / "real").open("rb") as real:
        for number, call in enumerate(calls):
            assert outcome_of(call, got.body_file) == outcome_of(call, real), f"call {number}"


def test_B01_body_file_has_no_descriptor():
    with answered(response(TEXT)) as got, pytest.raises(io.UnsupportedOperation):
        got.body_file.fileno()


@EVERY_FRAMING
def test_B01_text_is_read_through_a_text_wrapper(framing):
    with answered(FRAMINGS[framing](TEXT)) as got:
        text = io.TextIOWrapper(got.body_file, encoding="utf-8", newline=None)
        assert text.read() == "one\ntwo\n\nfour ü\nand no end"
        text.seek(0)
        assert list(text) == ["one\n", "two\n", "\n", "four ü\n", "and no end"]
        text.close()
        assert got.body == TEXT


def make_zip():
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.txt", b"of a")
        archive.writestr("b/c.bin", bytes(range(256)) * 1000)
    return memory.getvalue()


@EVERY_FRAMING
def test_B01_zipfile_opens_a_body(framing):
    with answered(FRAMINGS[framing](make_zip())) as got:
        assert zipfile.is_zipfile(got.body_file)
        with zipfile.ZipFile(got.body_file) as archive:
            assert archive.namelist() == ["a.txt", "b/c.bin"]
            assert archive.testzip() is None
            assert archive.read("b/c.bin") == bytes(range(256)) * 1000


@pytest.mark.parametrize("body", [b"", b"x", b"x" * 21, b"x" * 1000], ids=len)
def test_B01_zipfile_rejects_a_body_that_is_no_zip(body):
    with answered(response(body)) as got:
        assert not zipfile.is_zipfile(got.body_file)
        with pytest.raises(zipfile.BadZipFile):
            zipfile.ZipFile(got.body_file)


@EVERY_FRAMING
@pytest.mark.parametrize("mode", ["w:gz", "w"])
def test_B01_tarfile_opens_a_body_by_seeking_and_as_a_stream(framing, mode):
    memory = io.BytesIO()
    with tarfile.open(fileobj=memory, mode=mode) as archive:
        info = tarfile.TarInfo("name")
        info.size = 100_000
        archive.addfile(info, io.BytesIO(b"d" * 100_000))
    with answered(FRAMINGS[framing](memory.getvalue())) as got:
        with tarfile.open(fileobj=got.body_file) as archive:
            assert archive.extractfile("name").read() == b"d" * 100_000
        got.body_file.seek(0)
        with tarfile.open(fileobj=got.body_file, mode="r|*") as archive:
            assert [member.name for member in archive] == ["name"]


@EVERY_FRAMING
def test_B01_csv_and_json_read_a_body(framing):
    with answered(FRAMINGS[framing]('a,b\r\n"1\n2",ü\r\n'.encode())) as got:
        rows = csv.reader(io.TextIOWrapper(got.body_file, "utf-8", newline=""))
        assert list(rows) == [["a", "b"], ["1\n2", "ü"]]
    with answered(FRAMINGS[framing](b'{"a": [1, "\xc3\xbc"]}')) as got:
        assert json.load(got.body_file) == {"a": [1, "ü"]}


@EVERY_FRAMING
def test_B01_shutil_copies_a_body(framing, tmp_path):
    with answered(FRAMINGS[framing](LONG)) as got:
        with (tmp_path / "copy").open("wb") as file:
            shutil.copyfileobj(got.body_file, file)
        assert (tmp_path / "copy").read_bytes() == LONG


@EVERY_FRAMING
def test_B01_a_body_is_whole_after_probing_and_seeking_back(framing):
    with answered(FRAMINGS[framing](LONG)) as got:
        file = got.body_file
        for size in (2, 16, 32, 1024):
            assert file.read(size) == LONG[:size]
            file.seek(0)
        assert file.read() == LONG


def test_readlines_returns_whole_lines_of_any_length():
    body = b"a" * (3 * MIB) + b"\nb\n"
    with answered(response(body)) as got:
        assert got.body_file.readlines() == [b"a" * (3 * MIB) + b"\n", b"b\n"]
        got.body_file.seek(0)
        assert len(got.body_file.readlines(1)) == 1


def test_closing_the_file_does_not_close_the_body():
    with answered(response(TEXT)) as got:
        with got.body_file as file:
            assert file.readline() == b"one\n"
        assert file.closed
        with pytest.raises(ValueError, match="closed"):
            file.read()
        assert not got.body_file.closed
        assert got.body_file.read() == TEXT


def test_body_file_is_the_same_object_every_time():
    with answered(response(TEXT)) as got:
        assert got.body_file is got.body_file
        assert got.body_file.readline() == b"one\n"
        assert got.body_file.readline() == b"two\r\n"
        assert repr(got.body_file) == f"<BodyFile over {len(TEXT)} bytes so far>"


def test_readinto_an_empty_buffer_is_no_end_of_the_body():
    with ExitStack() as stack:
        files = []
        for framing in ("length", "to the end", "chunks"):
            got = stack.enter_context(answered(giving(*split(FRAMINGS[framing](LONG), 4))))
            files.append(got.body_file)
        for file in files:
            assert file.raw.readinto(bytearray()) == 0
            assert file.read() == LONG


def split(data, count):
    size = -(-len(data) // count)
    return [data[at : at + size] for at in range(0, len(data), size)]


# Any order of calls

SIZES = st.integers(-1, 200_000) | st.integers(0, 20)
READING = st.sampled_from(["read", "readline", "readlines", "read1", "peek", "readinto"])
CALLS = st.one_of(
    st.tuples(READING, SIZES),
    st.tuples(st.just("seek"), st.integers(-20, 500_000), st.sampled_from([0, 1, 2])),
    st.tuples(st.just("seek"), st.integers(-40, 10), st.just(2)),
    st.tuples(st.sampled_from(["tell", "next", "body", "tee"])),
)


@EVERY_FRAMING
def test_B01_any_order_of_calls_returns_the_same_as_a_real_file(framing, tmp_path):
    bodies = {b"/short": TEXT, b"/long": LONG, b"/empty": b""}
    answers = {name: split(FRAMINGS[framing](body), 3) for name, body in bodies.items()}

    def script(peer):
        peer.without_delay()
        while request := peer.next_request():
            peer.send(*answers[request.split()[1]])
            if framing == "to the end":
                return

    with ExitStack() as stack:
        for name, body in bodies.items():
            (tmp_path / name.decode()[1:]).write_bytes(body)
        server = stack.enter_context(ScriptedServer(script))
        client = stack.enter_context(Client(timeout=10))

        @given(
            name=st.sampled_from(list(bodies)),
            spool_size=st.sampled_from([0, 100, 10**6]),
            calls=st.lists(CALLS, max_size=12),
        )
        @example(name=b"/short", spool_size=0, calls=[("seek", 1, 1), ("readinto", 200_000)])
        def assert_same(name, spool_size, calls):
            url = server.url(name.decode())
            with (tmp_path / name.decode()[1:]).open("rb") as real:
                with client.get(url, spool_size=spool_size) as got:
                    for call in calls:
                        compare(got, real, bodies[name], *call)

        assert_same()


def compare(got, real, body, verb, *arguments):
    file = got.body_file
    if verb == "body":
        assert got.body == body
    elif verb == "tee":
        with got.tee() as other:
            assert other.read(1000) == body[:1000]
    elif verb == "next":
        assert next(file, None) == next(real, None)
    elif verb == "readinto":
        size = max(0, arguments[0])
        here, there = bytearray(size), bytearray(size)
        assert (file.readinto(here), here) == (real.readinto(there), there)
    elif verb == "peek":
        received = file.peek(*arguments)
        position = real.tell()
        assert received == body[position : position + len(received)]
        assert bool(received) == (position < len(body))
    elif verb == "read1":
        # The count may differ, but the bytes must be right and at least one.
        received = file.read1(*arguments)
        rest = real.read(len(received) or 1) if arguments[0] else b""
        assert received == rest
    else:
        call = operator.methodcaller(verb, *arguments)
        assert outcome_of(call, file) == outcome_of(call, real)
    assert file.tell() == real.tell()


# B02: the first bytes before the body is complete


@pytest.mark.parametrize("framing", ["length", "chunks", "to the end"])
def test_B02_read1_and_peek_return_the_first_bytes_of_an_incomplete_body(framing):
    go = threading.Event()
    head, middle, end = (whole := FRAMINGS[framing](b"x" * 3000))[:500], whole[500:900], whole[900:]
    with answered(giving(head, middle, end, go=go), eager_body=0) as got:
        file = got.body_file
        first = file.peek(1)
        assert first == b"x" * len(first) != b""
        assert file.read1(10) == b"x" * 10
        go.set()
        # A read of a given size waits until all of its bytes have arrived.
        assert file.read(1024) == b"x" * 1024
        assert file.read() == b"x" * (3000 - 1034)


def test_B02_readline_returns_as_soon_as_the_line_has_arrived():
    go = threading.Event()
    whole = response(b"first\nsecond\n")
    with answered(giving(whole[:-9], whole[-9:-4], whole[-4:], go=go), eager_body=0) as got:
        assert got.body_file.readline() == b"first\n"
        go.set()
        assert list(got.body_file) == [b"second\n"]


# B03: line by line


@EVERY_FRAMING
def test_B03_iteration_yields_lines_and_cuts_those_longer_than_one_mib(framing):
    body = b"a\n" + b"b" * (2 * MIB + 5) + b"\nlast"
    with answered(FRAMINGS[framing](body)) as got:
        lines = list(got.body_file)
        assert [len(line) for line in lines] == [2, MIB, MIB, 6, 4]
        assert b"".join(lines) == body
        got.body_file.seek(0)
        assert next(got.body_file) == b"a\n"
        assert len(next(got.body_file)) == MIB
        assert [len(line) for line in got.iter_lines()] == [1, 2 * MIB + 5, 4]


def test_B03_iter_lines_strips_lf_and_crlf_only():
    body = b"a\nb\r\nc\r\r\n\n\r\n d \re\n\nf"
    with answered(response(body)) as got:
        whole = [b"a", b"b", b"c\r", b"", b"", b" d \re", b"", b"f"]
        assert list(got.iter_lines()) == whole
        assert list(got.iter_lines()) == whole
    with answered(response(b"a\n")) as got:
        assert list(got.iter_lines()) == [b"a"]
    with answered(response(b"")) as got:
        assert list(got.iter_lines()) == []


# B07: several readers


def test_B07_two_tees_have_independent_positions():
    with answered(response(TEXT)) as got:
        first, second = got.tee(), got.tee()
        assert first.readline() == b"one\n"
        assert second.read(2) == b"on"
        assert got.body_file.read() == TEXT
        assert first.read() == TEXT[4:]
        assert second.read() == TEXT[2:]
        first.close()
        assert second.seek(0) == 0
        assert second.read() == TEXT


@EVERY_FRAMING
@pytest.mark.parametrize("spool_size", [0, 10**7])
def test_B07_several_threads_read_tees_at_the_same_time(framing, spool_size):
    body = LONG * 3
    with answered(giving(*split(FRAMINGS[framing](body), 50)), spool_size=spool_size) as got:
        start, found = threading.Barrier(3), []

        def read(size):
            start.wait()
            # All threads access the body first at the same time, and must get the same one.
            file = got.tee()
            found.append(b"".join(iter(lambda: file.read(size), b"")))

        threads = [threading.Thread(target=read, args=[size]) for size in (7001, 1024, 65536)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        assert [chunk == body for chunk in found] == [True] * 3


def test_B07_spooled_bytes_can_be_read_while_another_reader_waits():
    go, waiting = threading.Event(), threading.Event()
    whole = response(TEXT * 100)
    with answered(giving(whole[:-10], whole[-10:], go=go), eager_body=0) as got:
        received = got.tee()
        assert received.read(100) == (TEXT * 100)[:100]

        def read_all():
            waiting.set()
            found.append(got.tee().read())

        found = []
        other = threading.Thread(target=read_all)
        other.start()
        assert waiting.wait(10)
        for _ in range(100):  # in some of these the other thread is waiting
            assert got.tee().read(100) == (TEXT * 100)[:100]
        assert received.read1(10) == (TEXT * 100)[100:110]
        go.set()
        other.join(10)
        assert found == [TEXT * 100]


def test_B07_concurrent_readers_all_read_the_whole_body():
    body = bytes(range(256)) * 8192
    with answered(giving(*split(FRAMINGS["chunks"](body), 200)), spool_size=MIB) as got:
        found, start = [], threading.Barrier(4)

        def read(size, seek):
            file = got.tee()
            start.wait()
            if seek:
                file.seek(-1, 2)
                file.seek(0)
            chunks = []
            while chunk := file.read1(size):
                chunks.append(chunk)
            found.append(b"".join(chunks))

        kinds = [(1000, False), (100_000, False), (97, True)]
        threads = [threading.Thread(target=read, args=kind) for kind in kinds]
        for thread in threads:
            thread.start()
        start.wait()
        assert got.body == body
        for thread in threads:
            thread.join(20)
        assert [chunk == body for chunk in found] == [True] * 3


# R09, R11, R12: the spool


@pytest.mark.parametrize("body", [LONG, LONG.replace(b"\n", b"-"), b"", b"\n"], ids=len)
@EVERY_FRAMING
def test_R09_iterating_and_reading_1024_bytes_write_the_same_file(framing, body, tmp_path):
    with answered(FRAMINGS[framing](body)) as got:
        with (tmp_path / "iterated").open("wb") as f:
            for block in got.body_file:
                f.write(block)
        got.body_file.seek(0)
        with (tmp_path / "read").open("wb") as f:
            while True:
                data = got.body_file.read(1024)
                if not data:
                    break
                f.write(data)
    assert (tmp_path / "iterated").read_bytes() == body
    assert (tmp_path / "read").read_bytes() == body


def test_R09_a_body_without_line_ends_is_iterated_in_little_memory():
    block = b"x" * MIB

    def script(peer):
        peer.read_request()
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (64 * MIB))
        for _ in range(64):
            peer.send(block)

    with ScriptedServer(script) as server:
        cost = peak_memory(
            "import restkit",
            "r = restkit.get(url); result = sum(map(len, r.body_file)); r.close()",
            url=server.url(),
        )
    assert cost.result == 64 * MIB
    assert cost.growth < 16 * MIB


def spool_files():
    """Return the status of each open file that has bytes and no name."""
    return [file for file in unnamed_files().values() if file.st_size]


@EVERY_FRAMING
@pytest.mark.posix("the temporary file has a name")
def test_R11_one_mib_is_kept_in_memory_and_more_in_a_file(framing):
    for size, in_a_file in ((MIB, False), (MIB + 1, True)):
        with answered(FRAMINGS[framing](b"x" * size)) as got:
            assert len(got.body) == size
            assert sum(file.st_size == size for file in spool_files()) == in_a_file
            assert got.body_file.read() == b"x" * size
        assert got.body_file.read() == b""  # after close() the file is still open
        del got
        assert not spool_files()


@pytest.mark.posix("the temporary file has a name")
def test_R11_spool_size_and_spool_dir_are_options(tmp_path):
    (tmp_path / "spool").mkdir()
    with answered(response(b"x" * 101), spool_size=100, spool_dir=tmp_path / "spool") as got:
        assert got.body_file.read(1) == b"x"
        (file,) = spool_files()
        assert file.st_dev == tmp_path.stat().st_dev
        assert list((tmp_path / "spool").iterdir()) == []
    with answered(response(b"x" * 100), spool_size=100) as got:
        assert got.body_file.read() == b"x" * 100
        assert not spool_files()


@pytest.mark.posix("the temporary file has a name")
def test_R11_a_body_is_received_only_as_far_as_it_is_read():
    # One read receives at most one buffer; the rest stays with the server.
    with answered(giving(response(b"x" * (8 * MIB)))) as got:
        got.body_file.read(1)
        assert repr(got.body_file) != f"<BodyFile over {8 * MIB} bytes so far>"
        assert not spool_files()
        got.body_file.read(2 * MIB)
        assert len(spool_files()) == 1


@EVERY_FRAMING
@pytest.mark.parametrize("body", [TEXT, b"\xc3\xbc" * MIB], ids=["in memory", "in a file"])
def test_R12_every_view_returns_the_whole_body_every_time(framing, body):
    server = ScriptedServer.serving(FRAMINGS[framing](body))
    with Client(timeout=10) as client:
        with server:
            got = client.get(server.url())
            assert got.body == body
        for _ in range(2):  # the server is gone
            got.body_file.seek(0)
            assert got.body_file.read() == body
            assert got.body == body
            assert got.unicode_body == got.text == body.decode()
            assert got.tee().read() == body
            assert b"".join(got.payload_stream) == body
            assert got.body_stream().read() == body
            assert b"".join(got.iter_blocks(1000)) == body
        got.close()


def test_R12_body_can_be_read_in_the_middle_of_body_file():
    with answered(giving(*split(response(LONG), 5))) as got:
        assert got.body_file.read(10) == LONG[:10]
        assert got.body == LONG
        assert got.body_file.read(10) == LONG[10:20]


def test_a_file_raises_after_its_response_was_closed():
    with answered(giving(*split(response(LONG), 5))) as got:
        file = got.body_file
        file.read(10)
    file.seek(0)
    with pytest.raises(AlreadyRead, match="closed"):
        file.read()
    with pytest.raises(AlreadyRead, match="closed"):
        got.body_file.read()


def test_a_complete_body_in_memory_can_be_read_after_close():
    for framing, spare in (("length", 0), ("chunks", 1)):
        with answered(FRAMINGS[framing](LONG), spool_size=10**7) as got:
            assert got.body_file.read(len(LONG) + spare) == LONG
        assert got.body == LONG
