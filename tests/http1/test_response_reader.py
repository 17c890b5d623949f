"""Complete responses, byte by byte: the same result however they are split in transit.

W07 has two tables: each oddity with its outcome, either an error that names the fault or the only
possible reading. ``test_response_differential`` has the reasons if h11 or llhttp differ.
"""

from __future__ import annotations

import re
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest

import restkit
from restkit.errors import BadStatusLine, ParserError, TransportError, UnexpectedEOF
from restkit.http1 import framing, response_reader
from restkit.http1.fields import parse_trailers
from restkit.http1.response_head import parse_response_head
from restkit.http1.response_reader import MAX_INTERIM, ResponseReader
from support.wire_strategies import Parsed, every_split, in_parts, parse, single_bytes

MIB = 1 << 20
OK = b"HTTP/1.1 200 OK\r\n"


def parse_at_every_split(data: bytes, method: str = "GET") -> Parsed:
    """Parse the bytes as a whole; check that every split of them has the same outcome."""
    whole = parse([data], method)
    for parts in every_split(data):
        assert parse(parts, method).outcome == whole.outcome, parts
    return whole


# W05

SIZED = OK + b"Content-Length: 5\r\nX: y\r\n\r\nhello"
CHUNKED = (
    OK + b"Transfer-Encoding: chunked\r\n\r\n"
    b"2;x=1\r\nhe\r\n3\r\nllo\r\n0\r\nDigest: a\r\nX:\r\n\r\n"
)
TO_END = b"HTTP/1.0 200 OK\r\nX: y\r\n\r\nhello"


def test_W05_response_with_length_is_the_same_at_every_split() -> None:
    assert parse_at_every_split(SIZED) == Parsed(
        status=200, reason="OK", headers=(("Content-Length", "5"), ("X", "y")), body=b"hello"
    )


def test_W05_chunked_response_with_trailers_is_the_same_at_every_split() -> None:
    assert parse_at_every_split(CHUNKED) == Parsed(
        status=200,
        reason="OK",
        headers=(("Transfer-Encoding", "chunked"),),
        body=b"hello",
        trailers=(("Digest", "a"), ("X", "")),
    )


def test_W05_response_to_the_end_of_the_connection_is_the_same_at_every_split() -> None:
    assert parse_at_every_split(TO_END) == Parsed(
        status=200, reason="OK", version=0, headers=(("X", "y"),), body=b"hello"
    )
    assert parse_at_every_split(TO_END[:-5]).body == b""


@pytest.mark.parametrize("message", [SIZED, CHUNKED])
def test_response_that_stops_early_is_an_error_wherever_it_stops(message: bytes) -> None:
    for end in range(1, len(message)):
        result = parse(single_bytes(message[:end]))
        assert result.error is UnexpectedEOF
        assert "the response" in result.message or "the body ended after" in result.message


def test_end_of_connection_without_a_byte_is_a_transport_error() -> None:
    for parts in ([], [b""]):
        result = parse(parts)
        assert result.error is TransportError
        assert result.message == "the server closed the connection without a response"


def test_end_of_connection_after_an_interim_response_is_an_early_end() -> None:
    interim = b"HTTP/1.1 100 Continue\r\n\r\n"
    result = parse_at_every_split(interim)
    assert result.error is UnexpectedEOF
    assert (
        result.message == "the connection ended after an interim response, without a final response"
    )
    result = parse_at_every_split(interim + b"HTTP")
    assert result.error is UnexpectedEOF
    assert result.message == "the connection ended inside the head of the response"


# W09

IN_CHUNKS = OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n"


@pytest.fixture
def parsed_sizes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list that gets the size of the data of each call of a parser."""
    sizes: list[int] = []

    def count(parser: Callable[..., Any]) -> Callable[..., Any]:
        def parse_and_count(data: bytes, **options: bool) -> Any:
            sizes.append(len(data))
            return parser(data, **options)

        return parse_and_count

    monkeypatch.setattr(response_reader, "parse_response_head", count(parse_response_head))
    monkeypatch.setattr(framing, "parse_trailers", count(parse_trailers))
    return sizes


FIELDS = b"".join(b"X-%03d: %b\r\n" % (number, b"a" * 240) for number in range(998))
EARLY = b"HTTP/1.1 103 E\r\n" + FIELDS[:8000].rpartition(b"X-")[0] + b"\r\n"


@pytest.mark.parametrize("size", [1, 2, 257])
@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 200 " + b"a" * 60_000 + b"\r\n\r\n",
        OK + b"A: " + b"a" * 60_000 + b"\r\n\r\n",
        OK + FIELDS + b"\r\n",
        OK.replace(b"\r", b"") + FIELDS.replace(b"\r", b"") + b"\n",
        OK + b"A: a\r\n" + b" \r\n" * 900 + b"\r\n",
        EARLY * 31 + OK + FIELDS + b"\r\n",
    ],
    ids=["status line", "field", "fields", "fields with bare LF", "folded", "interim heads"],
)
def test_W09_head_in_small_chunks_is_parsed_in_linear_time(
    data: bytes, size: int, parsed_sizes: list[int]
) -> None:
    reader = ResponseReader("GET")
    for part in in_parts(data, size):
        reader.feed(part)
    assert reader.head is not None
    assert reader.head.status == 200
    assert sum(parsed_sizes) < 4 * len(data)


@pytest.mark.parametrize(
    ("trailers", "most"),
    [(b"A: " + b"a" * 60_000, 10), ((b"A: " + b"a" * 235 + b"\r\n") * 250, 520)],
    ids=["trailer", "trailers"],
)
def test_W09_trailers_in_single_bytes_are_only_parsed_at_line_ends(
    trailers: bytes, most: int, parsed_sizes: list[int]
) -> None:
    reader = ResponseReader("GET")
    for part in single_bytes(IN_CHUNKS + trailers + b"\r\n\r\n"):
        reader.feed(part)
    assert reader.done
    assert len([size for size in parsed_sizes if size]) <= most + len(IN_CHUNKS)


@pytest.mark.parametrize("size", [1, 257, 1 << 20])
def test_W08_interim_responses_of_more_than_256_KiB_together_are_an_error(size: int) -> None:
    early = b"HTTP/1.1 103 E\r\nX: " + b"a" * (16 * 1024 - 23) + b"\r\n\r\n"
    assert len(early) == 16 * 1024
    assert parse(in_parts(early * 16 + SIZED, size)) == parse([SIZED])
    result = parse(in_parts(early * 16 + CONTINUE + SIZED, size))
    assert result.error is ParserError
    assert result.message == (
        "the interim responses are longer than 262144 bytes, and there is no final response"
    )


@pytest.mark.parametrize(
    "beginning",
    [b"HTTP/1.1 200 OK\r\nA: b\r\nB : c\r\nC", b"HTTP/1.1 200 OK\r\nA: " + b"b" * 99 + b"\0"],
)
def test_W07_fault_in_an_incomplete_head_is_reported_at_every_split(beginning: bytes) -> None:
    assert parse_at_every_split(beginning).error is ParserError


def test_W07_final_head_after_an_interim_head_of_HTTP_2_closes() -> None:
    for parts in every_split(b"HTTP/2 103 E\r\n\r\n" + SIZED):
        reader = ResponseReader("GET")
        for part in parts:
            reader.feed(part)
        assert reader.head is not None
        assert reader.head.must_close


# W06


@pytest.mark.parametrize("rest", [b"garbage", b"\r\n", b"\0", OK + b"\r\n", b"x" * 100])
@pytest.mark.parametrize("message", [SIZED, CHUNKED])
def test_W06_bytes_after_a_complete_response_are_leftover(message: bytes, rest: bytes) -> None:
    result = parse_at_every_split(message + rest)
    assert (result.error, result.body, result.leftover) == (None, b"hello", rest)


def test_W06_bytes_after_a_response_without_body_are_leftover() -> None:
    for method, message in [
        ("HEAD", SIZED.removesuffix(b"hello")),
        ("GET", b"HTTP/1.1 204 No Content\r\n\r\n"),
        ("GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n"),
    ]:
        result = parse_at_every_split(message + b"hello", method)
        assert (result.error, result.body, result.leftover) == (None, b"", b"hello")


# W07


def with_field(field: bytes) -> bytes:
    return OK + field + b"\r\nX: y\r\n\r\n5\r\nhello\r\n0\r\n\r\n"


def with_length(value: bytes) -> bytes:
    return OK + b"Content-Length:" + value + b"\r\n\r\nhello"


def with_chunk(line: bytes, data: bytes = b"hello\r\n") -> bytes:
    return OK + b"Transfer-Encoding: chunked\r\n\r\n" + line + b"\r\n" + data + b"0\r\n\r\n"


REJECTED: list[tuple[str, bytes, type[restkit.Error], str]] = [
    (
        "chunks and an invalid length",
        with_field(b"Transfer-Encoding: chunked\r\nContent-Length: x"),
        ParserError,
        "in digits; got 'x'",
    ),
    (
        "two lengths that differ",
        with_field(b"Content-Length: 5\r\nContent-Length: 6"),
        ParserError,
        "several Content-Lengths that differ: 5, 6",
    ),
    ("a list of lengths that differ", with_length(b" 5, 6"), ParserError, "differ: 5, 6"),
    ("length +5", with_length(b" +5"), ParserError, "in digits; got '+5'"),
    ("length 0x5", with_length(b" 0x5"), ParserError, "in digits; got '0x5'"),
    ("length -1", with_length(b" -1"), ParserError, "in digits; got '-1'"),
    ("length 5 5", with_length(b" 5 5"), ParserError, "in digits; got '5 5'"),
    ("length 5 folded 5", with_length(b" 5\r\n 5"), ParserError, "in digits; got '5 5'"),
    ("an empty length", with_length(b""), ParserError, "in digits; got ''"),
    (
        "gzip, chunked",
        with_field(b"Transfer-Encoding: gzip, chunked"),
        ParserError,
        "Transfer-Encoding must be chunked and nothing else; got 'gzip, chunked'",
    ),
    (
        "chunked, identity",
        with_field(b"Transfer-Encoding: chunked, identity"),
        ParserError,
        "Transfer-Encoding must be chunked and nothing else; got 'chunked, identity'",
    ),
    ("a line without a colon", with_field(b"Name"), ParserError, "line 2 of the head has no colon"),
    ("a space before the colon", with_field(b"A : b"), ParserError, "a space before its colon"),
    ("a first line folded", with_field(b" A: b"), ParserError, "line 2 of the head is folded"),
    ("a NUL in a value", with_field(b"A: b\0"), ParserError, "line 2 of the head has a NUL"),
    ("a NUL in a name", with_field(b"A\0: b"), ParserError, "line 2 of the head has a NUL"),
    ("a bare CR in a value", with_field(b"A: b\rc"), ParserError, "has a bare CR"),
    ("a bare CR beside bare LF", with_field(b"A: b\rc\nC: d"), ParserError, "has a bare CR"),
    (
        "a bare CR in the status line",
        b"HTTP/1.1 200 OK\rA: b\nContent-Length: 0\n\n",
        BadStatusLine,
        "the response begins with 'HTTP/1.1 200 OK\\r",
    ),
    (
        "a bare LF in trailers",
        OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\nA: b\n\r\n",
        ParserError,
        "line 1 of the trailers has a bare LF",
    ),
    ("chunk size +5", with_chunk(b"+5"), ParserError, "after 0 bytes of a chunked body there"),
    ("chunk size 0x5", with_chunk(b"0x5"), ParserError, "no chunk size, but b'0x"),
    ("chunk size missing", with_chunk(b""), ParserError, "no chunk size, but b'\\r\\n"),
    ("only an extension", with_chunk(b";x=1"), ParserError, "no chunk size, but b';"),
    ("17 digits of chunk size", with_chunk(b"0" * 16 + b"5"), ParserError, "no chunk size, but"),
    ("a bare LF after a size", with_chunk(b"5\nhello"), ParserError, "no chunk size, but b'5\\n"),
    (
        "a bare LF in an extension",
        with_chunk(b"5;x\ny"),
        ParserError,
        "no chunk size, but b'5;x\\n",
    ),
    (
        "a bare LF after a chunk",
        with_chunk(b"5", b"hello\n"),
        ParserError,
        "after 5 bytes of a chunked body a chunk is longer than its size",
    ),
    (
        "a chunk longer than its size",
        with_chunk(b"4"),
        ParserError,
        "after 4 bytes of a chunked body a chunk is longer than its size",
    ),
]


@pytest.mark.parametrize(
    ("message", "error", "fault"), [row[1:] for row in REJECTED], ids=[row[0] for row in REJECTED]
)
def test_W07_ambiguous_response_is_an_error_that_names_the_fault(
    message: bytes, error: type[restkit.Error], fault: str
) -> None:
    result = parse_at_every_split(message)
    assert result.error is error
    assert fault in result.message
    # The error shows as many of the faulty bytes as have arrived.
    named = re.split(", but|'HTTP", fault)[0]
    for parts in every_split(message):
        assert named in parse(parts).message


ACCEPTED: list[tuple[str, bytes, tuple[tuple[str, str], ...]]] = [
    (
        "the same length twice",
        with_length(b" 5\r\nContent-Length: 5"),
        (("Content-Length", "5"), ("Content-Length", "5")),
    ),
    (
        "lengths of one value in other spellings",
        with_length(b" 5, 05\r\nContent-Length: 005"),
        (("Content-Length", "5, 05"), ("Content-Length", "005")),
    ),
    (
        "length and chunks",
        with_field(b"Content-Length: 6\r\nTransfer-Encoding: chunked"),
        (("Content-Length", "6"), ("Transfer-Encoding", "chunked"), ("X", "y")),
    ),
    (
        "chunked twice",
        with_field(b"Transfer-Encoding: chunked\r\nTransfer-Encoding: Chunked"),
        (("Transfer-Encoding", "chunked"), ("Transfer-Encoding", "Chunked"), ("X", "y")),
    ),
    (
        "a bare LF after each line",
        b"HTTP/1.1 200 OK\nA: b\n c\nContent-Length: 5\n\nhello",
        (("A", "b c"), ("Content-Length", "5")),
    ),
    (
        "a bare LF after the status line",
        b"HTTP/1.1 200 OK\nContent-Length: 5\r\n\r\nhello",
        (("Content-Length", "5"),),
    ),
    (
        "a bare LF after a field",
        with_length(b" 5\r\nA: b\nC: d"),
        (("Content-Length", "5"), ("A", "b"), ("C", "d")),
    ),
    ("a bare LF after the head", OK + b"Content-Length: 5\r\n\nhello", (("Content-Length", "5"),)),
    (
        "a bare LF before CRLF",
        OK + b"Content-Length: 5\n\r\nhello",
        (("Content-Length", "5"),),
    ),
    (
        "a bare LF in interim heads",
        b"HTTP/1.1 100 Continue\n\nHTTP/1.1 103 X\r\nA: b\n\r\n" + with_length(b" 5"),
        (("Content-Length", "5"),),
    ),
    (
        "HTTP/2",
        b"HTTP/2 200\r\nContent-Length: 5\r\n\r\nhello",
        (("Content-Length", "5"),),
    ),
    ("a list of one length", with_length(b" 5, 5"), (("Content-Length", "5, 5"),)),
    ("blanks around a length", with_length(b"\t 5 \t"), (("Content-Length", "5"),)),
    ("a length with a leading zero", with_length(b" 05"), (("Content-Length", "05"),)),
    (
        "a folded line",
        with_length(b" 5\r\nX: a\r\n\t b"),
        (("Content-Length", "5"), ("X", "a b")),
    ),
    ("a chunk extension", with_chunk(b"5;x=1"), (("Transfer-Encoding", "chunked"),)),
    ("a quoted extension", with_chunk(b'5;x="a;b"'), (("Transfer-Encoding", "chunked"),)),
    ("blanks after a chunk size", with_chunk(b"5  "), (("Transfer-Encoding", "chunked"),)),
    ("16 digits of chunk size", with_chunk(b"0" * 15 + b"5"), (("Transfer-Encoding", "chunked"),)),
    (
        "no reason and no space for it",
        b"HTTP/1.1 200\r\nContent-Length: 5\r\n\r\nhello",
        (("Content-Length", "5"),),
    ),
]


@pytest.mark.parametrize(
    ("message", "headers"), [row[1:] for row in ACCEPTED], ids=[row[0] for row in ACCEPTED]
)
def test_W07_unambiguous_oddity_is_accepted(
    message: bytes, headers: tuple[tuple[str, str], ...]
) -> None:
    result = parse_at_every_split(message)
    assert (result.error, result.body, result.headers, result.leftover) == (
        None,
        b"hello",
        headers,
        b"",
    )


# W08 and W19

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
HINTS = b"HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\nContent-Length: 5\r\n\r\n"


@pytest.mark.parametrize("interim", [CONTINUE, HINTS, CONTINUE + HINTS, HINTS * 3 + CONTINUE])
def test_W08_W19_interim_responses_are_skipped(interim: bytes) -> None:
    for message in (SIZED, CHUNKED, TO_END):
        assert parse_at_every_split(interim + message) == parse([message])


def test_W08_32_interim_responses_are_skipped_and_33_are_an_error() -> None:
    assert parse([HINTS * MAX_INTERIM + SIZED]) == parse([SIZED])
    for message in (HINTS * (MAX_INTERIM + 1) + SIZED, CONTINUE * 100):
        for parts in ([message], single_bytes(message)):
            result = parse(parts)
            assert result.error is ParserError
            assert result.message == "more than 32 interim responses and no final response"


def test_endless_interim_responses_are_an_error() -> None:
    reader = ResponseReader("GET")
    with pytest.raises(ParserError, match="interim"):
        while True:
            reader.feed(HINTS)


@pytest.mark.parametrize("status", [b"204 No Content", b"304 Not Modified"])
@pytest.mark.parametrize("framing", [b"Content-Length: 5", b"Transfer-Encoding: chunked", b"X: y"])
def test_W08_204_and_304_have_no_body_whatever_their_fields_say(
    status: bytes, framing: bytes
) -> None:
    result = parse_at_every_split(b"HTTP/1.1 %b\r\n%b\r\n\r\n" % (status, framing))
    assert (result.error, result.status, result.body, result.leftover) == (
        None,
        int(status[:3]),
        b"",
        b"",
    )


@pytest.mark.parametrize("framing", [b"Content-Length: 5", b"Transfer-Encoding: chunked", b"X: y"])
def test_W08_response_to_HEAD_has_no_body_whatever_its_fields_say(framing: bytes) -> None:
    result = parse_at_every_split(OK + framing + b"\r\n\r\n", "HEAD")
    assert (result.error, result.status, result.body, result.leftover) == (None, 200, b"", b"")


def test_state_of_the_reader_follows_the_bytes() -> None:
    reader = ResponseReader("GET")
    assert (reader.started, reader.done, reader.got_continue, reader.head) == (
        False,
        False,
        False,
        None,
    )
    assert reader.feed(b"H") == ()
    assert reader.started
    reader.feed(HINTS[1:])
    assert (reader.started, reader.got_continue) == (True, False)
    reader.feed(CONTINUE)
    assert (reader.started, reader.done, reader.got_continue, reader.head) == (
        True,
        False,
        True,
        None,
    )
    assert [bytes(chunk) for chunk in reader.feed(SIZED[:-2])] == [b"hel"]
    assert reader.head is not None
    assert (reader.done, reader.head.status) == (False, 200)
    assert [bytes(chunk) for chunk in reader.feed(b"lo")] == [b"lo"]
    assert (reader.started, reader.done) == (True, True)


@pytest.mark.parametrize("method", ["GET", "HEAD", "CONNECT"])
def test_101_is_final_and_later_bytes_belong_to_the_new_protocol(method: str) -> None:
    result = parse_at_every_split(
        CONTINUE + b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n\0\1hello", method
    )
    assert (result.status, result.body, result.leftover) == (101, b"", b"\0\1hello")


def test_bytes_after_a_response_to_CONNECT_belong_to_the_tunnel() -> None:
    result = parse_at_every_split(OK + b"Content-Length: 5\r\n\r\n\x16\x03hello", "CONNECT")
    assert (result.status, result.body, result.leftover) == (200, b"", b"\x16\x03hello")


# W09

BOUND = 256 * 1024
ENDLESS = [
    (b"HTTP/1.1 200 ", b"a"),
    (OK + b"X: ", b"a"),
    (OK, b"A"),
    (OK + b"X: y", b"\r\n "),
    (OK, b"a:\r\n"),
    (CONTINUE * 10 + OK + b"X: ", b"a"),
    (OK + b"Transfer-Encoding: chunked\r\n\r\n5;", b"x"),
    (OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\nX: ", b"a"),
    (OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"a:\r\n"),
]


@pytest.mark.parametrize("block", [1024, 64 * 1024, 10 * MIB])
@pytest.mark.parametrize(("start", "endless"), ENDLESS)
def test_W09_endless_response_is_rejected_within_the_bound(
    start: bytes, endless: bytes, block: int
) -> None:
    data = start + endless * (10 * MIB // len(endless))
    reader, received = ResponseReader("GET"), 0
    tracemalloc.start()
    try:
        with pytest.raises(ParserError, match=r"longer than|more than"):
            for part in in_parts(data, block):
                received += len(part)
                reader.feed(part)
            reader.feed(b"")  # a fault in a body is raised by the next call
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert received <= len(start) + BOUND + 2 * block
    # The regular expression takes memory for each line, and a block may have many short lines.
    assert peak < (2 * MIB if block == 1024 else 3 * block + 16 * MIB)


def test_W09_wrong_beginning_is_rejected_early() -> None:
    reader = ResponseReader("GET")
    with pytest.raises(BadStatusLine):
        reader.feed(b"<!DOCTYPE html>" + b"a" * 100)


def test_long_body_leaves_nothing_in_the_parser() -> None:
    block = bytes(64 * 1024)
    for start, part in [
        (SIZED.replace(b"Length: 5", b"Length: 99999999999").removesuffix(b"hello"), block),
        (TO_END, block),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n10000", b"\r\n" + block + b"\r\n10000"),
    ]:
        reader = ResponseReader("GET")
        reader.feed(start)
        tracemalloc.start()
        try:
            for _ in range(500):
                reader.feed(part)
            held, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert held < 4 * len(block)
