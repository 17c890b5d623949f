"""Bodies that end badly: received bytes can be read, and every read beyond them raises."""

from __future__ import annotations

import errno
import gzip
import io
import random
import threading
import zlib

import brotli
import pytest

from restkit import (
    BodyTooLarge,
    Client,
    DecodingError,
    Error,
    IdleTimeout,
    ParserError,
    ResponseError,
    Timeout,
    TotalTimeout,
    TransportError,
    UnexpectedEOF,
    as_payload,
)
from support import ScriptedServer, response
from support.answers import BROKEN, CAME, FRAMINGS, answered, giving, no_file_over
from support.memory import MIB, peak_memory
from support.waiting import HANG_BOUND, until_polling

TO_THE_END = b"HTTP/1.1 200 OK\r\n\r\n" + CAME

# Every way to read more than was received.
READS = {
    "body": lambda got: got.body,
    "text": lambda got: got.text,
    "json": lambda got: got.json(),
    "read": lambda got: got.body_file.read(),
    "read 1024": lambda got: got.body_file.read(1024),
    "readinto": lambda got: got.body_file.readinto(bytearray(1024)),
    "readlines": lambda got: got.body_file.readlines(),
    "iteration": lambda got: list(got.body_file),
    "the last line": lambda got: [got.body_file.readline() for _ in range(7)],
    "the end": lambda got: got.body_file.seek(0, 2),
    "tee": lambda got: got.tee().read(),
    "iter_lines": lambda got: list(got.iter_lines()),
    "iter_blocks": lambda got: list(got.iter_blocks(7)),
    "payload_stream": lambda got: list(got.payload_stream),
    "body_stream": lambda got: got.body_stream().read(),
    "save": lambda got: got.save(io.BytesIO()),
    "payload": lambda got: list(as_payload(got)),
    "payload of the file": lambda got: list(as_payload(got.body_file)),
}
# Reads of a part, which may be complete although the body is not.
BOUNDED = ("read 1024", "readinto", "the last line")
EVERY_READ = pytest.mark.parametrize("read", READS.values(), ids=READS)
EVERY_BREAK = pytest.mark.parametrize("framing", BROKEN)


def assert_every_read_raises(got, kind, match):
    """Check that every read raises this error, each time."""
    for way, read in [*READS.items()] * 2:
        got.body_file.seek(0)
        if way not in BOUNDED:
            with pytest.raises(kind, match=match):
                read(got)


# B04: broken off


@EVERY_BREAK
@EVERY_READ
def test_B04_a_body_that_breaks_off_raises_and_is_never_short(framing, read):
    with answered(giving(BROKEN[framing])) as got:
        with pytest.raises(UnexpectedEOF) as caught:
            read(got)
    error = caught.value
    assert (error.sent, error.request, error.response) == ("all", got.request, got)
    assert str(caught.value).startswith(f"GET {got.final_url}: ")
    if framing == "length":
        assert "after 60 of 100 bytes" in str(caught.value)
    elif framing != "gzip":
        assert "after 60 bytes, before its last chunk" in str(caught.value)


@EVERY_BREAK
def test_B04_bytes_before_the_break_can_be_read(framing):
    with answered(giving(BROKEN[framing])) as got:
        file = got.body_file
        assert CAME.startswith(file.peek(1))
        received = file.read1(10)
        while len(received) < 60:
            received += file.read1(100)
        assert received == CAME
        for _ in range(2):
            for read in (lambda: file.read(1024), file.readline, file.read, lambda: got.body):
                with pytest.raises(UnexpectedEOF):
                    read()
        for _ in range(2):
            with pytest.raises(UnexpectedEOF):
                file.read1(1)
            with pytest.raises(UnexpectedEOF):
                file.peek(1)
        file.seek(0)
        assert file.read(60) == CAME
        file.seek(9)
        assert file.readline() == b"line one\n"
        assert got.tee().read1(100) == CAME


@EVERY_BREAK
def test_B04_a_live_pass_yields_the_received_bytes_and_then_raises(framing):
    with answered(giving(BROKEN[framing])) as got:
        received = []
        with pytest.raises(UnexpectedEOF):
            received.extend(got.payload_stream)
        chunks = iter(got.payload_stream)
        with pytest.raises(UnexpectedEOF):
            next(chunks)
    with answered(giving(BROKEN[framing])) as got:
        chunks, received = iter(got.payload_stream), b""
        with pytest.raises(UnexpectedEOF):
            while True:
                received += next(chunks)
        assert received == CAME
    with answered(giving(BROKEN[framing])) as got:
        stream, received = got.body_stream(), b""
        with pytest.raises(UnexpectedEOF):
            while True:
                received += stream.read1(7)
        assert received == CAME
        for _ in range(2):
            with pytest.raises(UnexpectedEOF):
                stream.read(1)


@EVERY_BREAK
def test_B11_every_later_read_raises_the_same_error(framing):
    with answered(giving(BROKEN[framing])) as got:
        with pytest.raises(UnexpectedEOF):
            got.body_file.read(1024)
        for read in READS.values():
            with pytest.raises(UnexpectedEOF):
                read(got)
    with pytest.raises(UnexpectedEOF):  # also after close()
        assert not got.body


@pytest.mark.parametrize("ending", ["cut", "close"])
@pytest.mark.parametrize("framing", ["length", "chunks", "a chunk"])
def test_B04_a_body_that_breaks_off_under_tls_raises(framing, ending, certs):
    script = giving(BROKEN[framing], then=lambda peer: getattr(peer, ending)())
    with answered(script, ssl_context=certs.server, verify=str(certs.ca_file)) as got:
        assert got.body_file.read1(100) == CAME
        with pytest.raises(UnexpectedEOF, match="60"):
            got.body_file.read(1)
        with pytest.raises(UnexpectedEOF, match="60"):
            assert not got.body


def test_B04_a_body_to_the_end_under_tls_needs_close_notify(certs):
    options = {"ssl_context": certs.server, "verify": str(certs.ca_file)}
    with answered(giving(TO_THE_END), **options) as got:
        assert got.body == CAME
    with answered(giving(TO_THE_END, then=lambda peer: peer.cut()), **options) as got:
        assert got.body_file.read1(100) == CAME
        for _ in range(2):
            with pytest.raises(UnexpectedEOF, match=r"TLS was cut off.*after 60 bytes"):
                got.body_file.read(1)
            with pytest.raises(UnexpectedEOF, match=r"TLS was cut off.*after 60 bytes"):
                assert not got.body


@pytest.mark.parametrize("start", [*BROKEN.values(), TO_THE_END], ids=[*BROKEN, "to the end"])
def test_B04_a_reset_breaks_off_a_body_in_any_framing(start):
    go = threading.Event()

    def reset(peer):
        peer.wait(go)
        peer.reset()

    with answered(giving(start, then=reset), eager_body=0) as got:
        file, received = got.body_file, b""
        while len(received) < 60:
            received += file.read1(100)
        assert received == CAME
        go.set()
        for _ in range(2):
            with pytest.raises(UnexpectedEOF, match=r"lost.*, after") as caught:
                file.read(1)
        assert isinstance(caught.value.__cause__, TransportError)
        with pytest.raises(UnexpectedEOF):
            assert not got.body


@pytest.mark.parametrize("start", [*BROKEN.values(), TO_THE_END], ids=[*BROKEN, "to the end"])
def test_B04_after_a_timeout_received_bytes_can_be_read_and_the_error_stays(start):
    with ScriptedServer(giving(start, then=lambda peer: peer.read_to_end())) as server:
        with Client(timeout=Timeout(idle=0.5)) as client:
            got = client.get(server.url())
            file, received = got.body_file, b""
            while len(received) < 60:
                received += file.read1(100)
            assert received == CAME
            with pytest.raises(IdleTimeout, match=r"0\.5 s.*reading the body") as caught:
                file.read(1)
            assert (caught.value.sent, caught.value.request) == ("all", got.request)
            server.until(lambda: server.peers[0].closed_by_client, "the end of the connection")
            assert_every_read_raises(got, IdleTimeout, "reading the body")
            file.seek(0)
            assert file.read(60) == CAME
            got.close()


def test_B04_bytes_after_broken_framing_are_not_returned():
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"
    go = threading.Event()
    with answered(giving(head, b"nonsense\r\nmore", go=go)) as got:
        assert got.body_file.read1(10) == b"abc"
        go.set()
        assert_every_read_raises(got, ResponseError, "there is no chunk size, but b'nonsense")


def test_B12_the_total_timeout_includes_the_body():
    def script(peer):
        peer.read_request()
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
        peer.send_slowly(b"x" * 1_000_000, pause=0.02)

    assert Timeout().total is None
    with answered(script, timeout=Timeout(total=0.8)) as got:
        with pytest.raises(TotalTimeout, match=r"reading the body when the 0\.8 s"):
            assert not got.body
        assert_every_read_raises(got, TotalTimeout, "reading the body")


# B05: no space on the disk


@pytest.mark.parametrize("framing", FRAMINGS)
def test_B05_a_full_disk_raises_the_os_error_and_closes_the_connection(framing):
    body = random.Random(5).randbytes(8 * MIB)  # as large after compression
    script = giving(FRAMINGS[framing](body), then=lambda peer: peer.read_to_end())
    with ScriptedServer(script) as server, Client(timeout=10) as client:
        got = client.get(server.url())
        with no_file_over(3 * MIB), pytest.raises(OSError) as caught:
            assert not got.body
        assert caught.value.errno == errno.EFBIG
        assert not isinstance(caught.value, Error)
        server.until(lambda: server.peers[0].finished, "the end of the connection")
        assert_every_read_raises(got, OSError, "too large")
        got.body_file.seek(0)
        assert got.body_file.read(2 * MIB) == body[: 2 * MIB]
        got.close()


def test_B05_a_missing_spool_directory_raises_the_os_error(tmp_path):
    with answered(response(b"x" * MIB), spool_dir=tmp_path / "no", spool_size=10) as got:
        for _ in range(2):
            with pytest.raises(FileNotFoundError, match="no"):
                assert not got.body


def test_B05_a_full_disk_for_an_early_response_raises_the_os_error():
    received = threading.Event()

    def script(peer):
        head = peer.read_head()
        assert b"chunked" in head
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (8 * MIB))
        received.set()
        peer.send(b"x" * (8 * MIB))
        peer.read_to_end()

    def rows():
        assert received.wait(10)
        for _ in range(10_000):
            yield b"row" * 10_000

    with ScriptedServer(script) as server, Client(timeout=10) as client:
        with no_file_over(3 * MIB), pytest.raises(OSError) as caught:
            client.post(server.url(), rows())
        assert caught.value.errno == errno.EFBIG
        server.until(lambda: server.peers[0].finished, "the end of the connection")
        assert repr(client) == "<Client, 0 idle connections>"


# B08: bodies larger than max_body


def test_B08_a_decompression_bomb_stops_at_max_body_in_little_memory():
    squeezer = zlib.compressobj(9, zlib.DEFLATED, 31)
    bomb = b"".join(squeezer.compress(bytes(MIB)) for _ in range(128)) + squeezer.flush()
    answers = [
        response(bomb, "Content-Encoding: gzip"),
        response(gzip.compress(bomb), "Content-Encoding: gzip, gzip"),
    ]
    with ScriptedServer.serving(*answers) as server:
        for _ in answers:
            cost = peak_memory(
                "import restkit, gzip, restkit.content_encoding.decoding",
                """
                r = restkit.get(url, max_body=limit)
                try:
                    for block in r.body_file:
                        pass
                except restkit.BodyTooLarge as exc:
                    result = [str(exc), r.body_file.tell()]
                r.close()
                """,
                url=server.url(),
                limit=4 * MIB,
            )
            message, reached = cost.result
            assert message.endswith(f"larger than max_body, {4 * MIB} bytes")
            assert 3 * MIB <= reached <= 4 * MIB
            assert cost.growth < 16 * MIB


def test_B08_a_decompression_bomb_is_read_live_in_little_memory():
    squeezer = zlib.compressobj(9, zlib.DEFLATED, 31)
    bomb = b"".join(squeezer.compress(bytes(MIB)) for _ in range(64)) + squeezer.flush()
    with ScriptedServer.serving(response(bomb, "Content-Encoding: gzip")) as server:
        cost = peak_memory(
            "import restkit, restkit.content_encoding.decoding, zlib",
            "r = restkit.get(url); result = sum(map(len, r.payload_stream)); r.close()",
            url=server.url(),
        )
    assert cost.result == 64 * MIB
    assert cost.growth < 16 * MIB


@pytest.mark.parametrize("framing", FRAMINGS)
def test_B08_max_body_counts_decoded_bytes_and_is_inclusive(framing):
    body = bytes(range(256)) * 400
    with answered(FRAMINGS[framing](body), max_body=len(body)) as got:
        assert got.body == body
        assert b"".join(got.payload_stream) == body
    with answered(giving(FRAMINGS[framing](body)), max_body=len(body)) as got:
        assert b"".join(got.payload_stream) == body
    for answer in (FRAMINGS[framing](body), giving(FRAMINGS[framing](body))):
        with answered(answer, max_body=len(body) - 1) as got:
            assert got.status == 200
            assert_every_read_raises(got, BodyTooLarge, "max_body, 102399 bytes")


@EVERY_READ
def test_B08_max_body_bounds_every_way_to_read(read):
    for framing in ("length", "chunks"):
        with answered(FRAMINGS[framing](b"1" * 1000), max_body=999) as got:
            with pytest.raises(BodyTooLarge, match="max_body, 999 bytes") as caught:
                read(got)
            assert caught.value.request is got.request


def test_B08_a_content_length_over_max_body_raises_before_a_byte_is_read():
    def script(peer):
        peer.read_request()
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        peer.read_to_end()

    with ScriptedServer(script) as server, Client(timeout=10) as client:
        got = client.get(server.url(), max_body=999, eager_body=0)
        with pytest.raises(BodyTooLarge):
            assert not got.body
        server.until(lambda: server.peers[0].finished, "the end of the connection")


def test_B08_a_body_over_max_body_is_not_saved(tmp_path):
    path = tmp_path / "name"
    path.write_bytes(b"older")
    with answered(FRAMINGS["chunks"](b"x" * 100_000), max_body=99_999) as got:
        with pytest.raises(BodyTooLarge):
            got.save(path)
    assert path.read_bytes() == b"older"
    assert list(tmp_path.iterdir()) == [path]


def test_B08_max_body_is_unlimited_by_default():
    with answered(response(gzip.compress(bytes(20 * MIB)), "Content-Encoding: gzip")) as got:
        assert len(got.body) == 20 * MIB


# B10: damaged encodings

WHOLE = gzip.compress(b"some words " * 100)
DEFLATED = zlib.compress(b"some words " * 100)
BROTLI = brotli.compress(b"some words " * 100)
ZSTD = bytes.fromhex("28b52ffd0458d90000736f6d6520776f72647320")  # the first bytes of a frame

DAMAGED = {
    "gzip cut": ("gzip", WHOLE[:-20], "ends early"),
    "gzip cut in its trailer": ("gzip", WHOLE[:-1], "ends early"),
    "gzip cut in its head": ("gzip", WHOLE[:5], "ends early"),
    "gzip with a wrong CRC": ("gzip", WHOLE[:-8] + b"\0\0\0\0" + WHOLE[-4:], None),
    "gzip with a wrong length": ("gzip", WHOLE[:-4] + b"\0\0\0\0", None),
    "gzip with a spoiled middle": ("gzip", WHOLE[:12] + b"\xff\xff" + WHOLE[14:], None),
    "a second member cut": ("gzip", WHOLE + WHOLE[:-3], r"stream 2.*ends early"),
    "rubbish behind a member": ("gzip", WHOLE + b"rubbish", "stream 2"),
    "rubbish behind zeros": ("gzip", WHOLE + bytes(10) + b"x", "stream 2"),
    "no gzip at all": ("gzip", b"some words", None),
    "deflate cut": ("deflate", DEFLATED[:-3], "ends early"),
    "deflate with a wrong sum": ("deflate", DEFLATED[:-4] + b"\0\0\0\0", None),
    "deflate with rubbish": ("deflate", DEFLATED + b"x", "data follows"),
    "brotli cut": ("br", BROTLI[:-3], "ends early"),
    "brotli with rubbish": ("br", BROTLI + b"x", None),
    "zstd cut": ("zstd", ZSTD, "ends early"),
    "six codings": ("gzip, gzip, gzip, gzip, gzip, gzip", WHOLE, "6 content codings"),
}


@pytest.mark.parametrize("case", DAMAGED)
@pytest.mark.parametrize("framing", ["length", "chunks"])
def test_B10_a_damaged_encoding_raises_although_the_framing_is_correct(framing, case):
    coding, data, fault = DAMAGED[case]
    answer = FRAMINGS[framing](data).replace(
        b"\r\n\r\n", b"\r\nContent-Encoding: %b\r\n\r\n" % coding.encode(), 1
    )
    for script in (answer, giving(answer[:150], answer[150:])):
        with answered(script) as got:
            assert_every_read_raises(got, DecodingError, fault)
            with pytest.raises(DecodingError) as caught:
                got.json()
            assert caught.value.request is got.request
        with answered(script) as got:
            with pytest.raises(DecodingError):
                list(got.payload_stream)
        with answered(script, decompress=False) as got:
            assert got.body == data


@pytest.mark.parametrize("padding", [b"", b"\0", bytes(100_000)], ids=len)
def test_B10_zeros_after_the_last_member_are_padding(padding):
    with answered(response(WHOLE + WHOLE + padding, "Content-Encoding: gzip")) as got:
        assert got.body == b"some words " * 200


def test_B10_bytes_decoded_before_the_fault_can_be_read():
    with answered(response(WHOLE[:-1], "Content-Encoding: gzip")) as got:
        assert got.body_file.read(1100) == b"some words " * 100
        with pytest.raises(DecodingError, match="after 1100 decoded bytes: the stream ends early"):
            got.body_file.read(1)
        with pytest.raises(DecodingError):
            assert not got.body


# Other threads, and the position of a fault


@pytest.mark.parametrize("framing", FRAMINGS)
@pytest.mark.parametrize("live", [False, True])
def test_W24_closing_from_another_thread_ends_a_waiting_read(framing, live):
    whole = FRAMINGS[framing](bytes(range(256)) * 1000)
    script = giving(whole[:2000], then=lambda peer: peer.read_to_end())
    with ScriptedServer(script) as server, Client(timeout=Timeout(idle=30)) as client:
        got = client.get(server.url(), eager_body=0)
        file = got.body_stream() if live else got.body_file
        assert file.read1(10)
        found = []

        def read():
            try:
                file.read()
            except Error as exc:
                found.append(exc)

        reader = threading.Thread(target=read)
        reader.start()
        until_polling(reader)
        got.close()
        reader.join(HANG_BOUND)
        assert not reader.is_alive()
        assert [type(exc) for exc in found] == [TransportError]
        server.join()


@pytest.mark.parametrize("together", [True, False])
def test_W05_B04_broken_framing_raises_after_the_received_bytes(together):
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    parts = (
        [head + b"3\r\nabc\r\nnonsense\r\n"]
        if together
        else [head, b"3\r\nabc\r\n", b"nonsense\r\n"]
    )
    with answered(giving(*parts)) as got:
        assert got.status == 200
        assert got.body_file.read(3) == b"abc"
        assert_every_read_raises(got, ParserError, "there is no chunk size, but b'nonsense")
