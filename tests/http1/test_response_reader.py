"""Whole answers, byte by byte: the same result however they are cut on their way.

W07 is two tables here: each oddity with its one outcome, the error that names the fault or the
only reading there is. Where h11 or llhttp come to another one, test_response_differential says why.
"""

from __future__ import annotations

import re
import time
import tracemalloc

import pytest

import restkit
from restkit.errors import BadStatusLine, ParserError, TransportError, UnexpectedEOF
from restkit.http1.response_reader import MAX_INTERIM, ResponseReader
from support.wire_strategies import Told, every_split, in_pieces, one_by_one, told

MIB = 1 << 20
OK = b"HTTP/1.1 200 OK\r\n"


def told_at_every_split(data: bytes, method: str = "GET") -> Told:
    """What is told of the bytes in one piece, after it was told of them in any two, and in all."""
    whole = told([data], method)
    for parts in every_split(data):
        assert told(parts, method).outcome == whole.outcome, parts
    return whole


# W05

SIZED = OK + b"Content-Length: 5\r\nX: y\r\n\r\nhello"
CHUNKED = (
    OK + b"Transfer-Encoding: chunked\r\n\r\n"
    b"2;x=1\r\nhe\r\n3\r\nllo\r\n0\r\nDigest: a\r\nX:\r\n\r\n"
)
TO_END = b"HTTP/1.0 200 OK\r\nX: y\r\n\r\nhello"


def test_W05_an_answer_with_a_length_is_the_same_at_every_split() -> None:
    assert told_at_every_split(SIZED) == Told(
        status=200, reason="OK", headers=(("Content-Length", "5"), ("X", "y")), body=b"hello"
    )


def test_W05_an_answer_in_chunks_with_trailers_is_the_same_at_every_split() -> None:
    assert told_at_every_split(CHUNKED) == Told(
        status=200,
        reason="OK",
        headers=(("Transfer-Encoding", "chunked"),),
        body=b"hello",
        trailers=(("Digest", "a"), ("X", "")),
    )


def test_W05_an_answer_to_the_end_of_the_connection_is_the_same_at_every_split() -> None:
    assert told_at_every_split(TO_END) == Told(
        status=200, reason="OK", version=0, headers=(("X", "y"),), body=b"hello"
    )
    assert told_at_every_split(TO_END[:-5]).body == b""


@pytest.mark.parametrize("message", [SIZED, CHUNKED])
def test_an_answer_that_stops_early_is_an_error_wherever_it_stops(message: bytes) -> None:
    for end in range(1, len(message)):
        was = told(one_by_one(message[:end]))
        assert was.error is UnexpectedEOF
        assert "the answer" in was.message or "the body ended after" in was.message


def test_a_connection_that_ends_without_a_byte_is_the_networks_fault() -> None:
    for parts in ([], [b""]):
        was = told(parts)
        assert was.error is TransportError
        assert was.message == "the peer closed the connection without an answer"


def test_a_connection_that_ends_behind_an_interim_answer_ended_inside_the_answer() -> None:
    interim = b"HTTP/1.1 100 Continue\r\n\r\n"
    was = told_at_every_split(interim)
    assert was.error is UnexpectedEOF
    assert was.message == "the connection ended behind an interim answer, with no final one"
    was = told_at_every_split(interim + b"HTTP")
    assert was.error is UnexpectedEOF
    assert was.message == "the connection ended inside the head of the answer"


# W09

IN_CHUNKS = OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n"


def seconds_by_the_byte(data: bytes) -> float:
    answer, began = ResponseReader("GET"), time.thread_time()
    for at in range(len(data)):
        answer.feed(data[at : at + 1])
    return time.thread_time() - began


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 200 " + b"a" * 60_000,
        IN_CHUNKS + b"A: " + b"a" * 60_000,
        IN_CHUNKS + (b"A: " + b"a" * 235 + b"\r\n") * 250,
    ],
    ids=["status line", "trailer", "trailers"],
)
def test_W09_what_comes_in_drops_costs_no_more_than_a_header_that_does(data: bytes) -> None:
    header = seconds_by_the_byte(OK + b"A: " + b"a" * 60_000)
    assert seconds_by_the_byte(data) < 12 * header  # looked at anew each time, it is 45 and more


# W06


@pytest.mark.parametrize("rest", [b"garbage", b"\r\n", b"\0", OK + b"\r\n", b"x" * 100])
@pytest.mark.parametrize("message", [SIZED, CHUNKED])
def test_W06_what_follows_a_whole_answer_is_kept_apart(message: bytes, rest: bytes) -> None:
    was = told_at_every_split(message + rest)
    assert (was.error, was.body, was.rest) == (None, b"hello", rest)


def test_W06_what_follows_an_answer_without_a_body_is_kept_apart() -> None:
    for method, message in [
        ("HEAD", SIZED.removesuffix(b"hello")),
        ("GET", b"HTTP/1.1 204 No Content\r\n\r\n"),
        ("GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n"),
    ]:
        was = told_at_every_split(message + b"hello", method)
        assert (was.error, was.body, was.rest) == (None, b"", b"hello")


# W07


def with_field(field: bytes) -> bytes:
    return OK + field + b"\r\nX: y\r\n\r\n5\r\nhello\r\n0\r\n\r\n"


def with_length(value: bytes) -> bytes:
    return OK + b"Content-Length:" + value + b"\r\n\r\nhello"


def with_chunk(line: bytes, piece: bytes = b"hello\r\n") -> bytes:
    return OK + b"Transfer-Encoding: chunked\r\n\r\n" + line + b"\r\n" + piece + b"0\r\n\r\n"


REFUSED: list[tuple[str, bytes, type[restkit.Error], str]] = [
    (
        "length and chunks",
        with_field(b"Content-Length: 5\r\nTransfer-Encoding: chunked"),
        ParserError,
        "both Transfer-Encoding and Content-Length",
    ),
    (
        "chunks and length",
        with_field(b"Transfer-Encoding: chunked\r\nContent-Length: 5"),
        ParserError,
        "both Transfer-Encoding and Content-Length",
    ),
    (
        "two lengths that differ",
        with_field(b"Content-Length: 5\r\nContent-Length: 6"),
        ParserError,
        "several Content-Lengths that differ: 5, 6",
    ),
    ("a list of lengths that differ", with_length(b" 5, 6"), ParserError, "differ: 5, 6"),
    ("length +5", with_length(b" +5"), ParserError, "Content-Length '+5'"),
    ("length 0x5", with_length(b" 0x5"), ParserError, "Content-Length '0x5'"),
    ("length -1", with_length(b" -1"), ParserError, "Content-Length '-1'"),
    ("length 5 5", with_length(b" 5 5"), ParserError, "Content-Length '5 5'"),
    ("length 5 folded 5", with_length(b" 5\r\n 5"), ParserError, "Content-Length '5 5'"),
    ("an empty length", with_length(b""), ParserError, "Content-Length ''"),
    (
        "gzip, chunked",
        with_field(b"Transfer-Encoding: gzip, chunked"),
        ParserError,
        "Transfer-Encoding 'gzip, chunked': chunked, and alone, can be read",
    ),
    (
        "chunked, identity",
        with_field(b"Transfer-Encoding: chunked, identity"),
        ParserError,
        "Transfer-Encoding 'chunked, identity'",
    ),
    ("a line without a colon", with_field(b"Name"), ParserError, "line 2 of the head has no colon"),
    ("a space before the colon", with_field(b"A : b"), ParserError, "a space before its colon"),
    ("a first line folded", with_field(b" A: b"), ParserError, "line 2 of the head is folded"),
    ("a NUL in a value", with_field(b"A: b\0"), ParserError, "line 2 of the head has a NUL"),
    ("a NUL in a name", with_field(b"A\0: b"), ParserError, "line 2 of the head has a NUL"),
    ("a bare CR in a value", with_field(b"A: b\rc"), ParserError, "has a bare CR"),
    ("a bare LF behind a field", with_field(b"A: b\nC: d"), ParserError, "has a bare LF"),
    ("a bare LF behind the head", OK + b"Content-Length: 0\r\n\n", ParserError, "has a bare LF"),
    (
        "bare LF everywhere",
        b"HTTP/1.1 200 OK\nContent-Length: 0\n\n",
        BadStatusLine,
        "the answer begins with 'HTTP/1.1 200 OK\\n",
    ),
    ("chunk size +5", with_chunk(b"+5"), ParserError, "after 0 bytes of a chunked body no chunk"),
    ("chunk size 0x5", with_chunk(b"0x5"), ParserError, "no chunk size, but b'0x"),
    ("chunk size missing", with_chunk(b""), ParserError, "no chunk size, but b'\\r\\n"),
    ("only an extension", with_chunk(b";x=1"), ParserError, "no chunk size, but b';"),
    ("17 digits of chunk size", with_chunk(b"0" * 16 + b"5"), ParserError, "no chunk size, but"),
    ("a bare LF behind a size", with_chunk(b"5\nhello"), ParserError, "no chunk size, but b'5\\n"),
    (
        "a bare LF in an extension",
        with_chunk(b"5;x\ny"),
        ParserError,
        "no chunk size, but b'5;x\\n",
    ),
    (
        "a bare LF behind a chunk",
        with_chunk(b"5", b"hello\n"),
        ParserError,
        "after 5 bytes of a chunked body a chunk goes on past its size",
    ),
    (
        "a chunk longer than its size",
        with_chunk(b"4"),
        ParserError,
        "after 4 bytes of a chunked body a chunk goes on past its size",
    ),
]


@pytest.mark.parametrize(
    ("message", "error", "fault"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED]
)
def test_W07_what_two_could_read_in_two_ways_is_an_error_that_names_the_fault(
    message: bytes, error: type[restkit.Error], fault: str
) -> None:
    was = told_at_every_split(message)
    assert was.error is error
    assert fault in was.message
    # What is shown of the faulty bytes is as much of them as had come.
    named = re.split(", but|'HTTP", fault)[0]
    for parts in every_split(message):
        assert named in told(parts).message


TAKEN: list[tuple[str, bytes, tuple[tuple[str, str], ...]]] = [
    (
        "the same length twice",
        with_length(b" 5\r\nContent-Length: 5"),
        (("Content-Length", "5"), ("Content-Length", "5")),
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
    ("blanks behind a chunk size", with_chunk(b"5  "), (("Transfer-Encoding", "chunked"),)),
    ("16 digits of chunk size", with_chunk(b"0" * 15 + b"5"), (("Transfer-Encoding", "chunked"),)),
    (
        "no reason and no space for it",
        b"HTTP/1.1 200\r\nContent-Length: 5\r\n\r\nhello",
        (("Content-Length", "5"),),
    ),
]


@pytest.mark.parametrize(
    ("message", "headers"), [row[1:] for row in TAKEN], ids=[row[0] for row in TAKEN]
)
def test_W07_what_has_only_one_reading_is_taken(
    message: bytes, headers: tuple[tuple[str, str], ...]
) -> None:
    was = told_at_every_split(message)
    assert (was.error, was.body, was.headers, was.rest) == (None, b"hello", headers, b"")


# W08 and W19

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
HINTS = b"HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\nContent-Length: 5\r\n\r\n"


@pytest.mark.parametrize("interim", [CONTINUE, HINTS, CONTINUE + HINTS, HINTS * 3 + CONTINUE])
def test_W08_W19_interim_answers_are_passed_over(interim: bytes) -> None:
    for message in (SIZED, CHUNKED, TO_END):
        assert told_at_every_split(interim + message) == told([message])


def test_W08_32_interim_answers_are_passed_over_and_one_more_is_an_error() -> None:
    assert told([HINTS * MAX_INTERIM + SIZED]) == told([SIZED])
    for message in (HINTS * (MAX_INTERIM + 1) + SIZED, CONTINUE * 100):
        for parts in ([message], one_by_one(message)):
            was = told(parts)
            assert was.error is ParserError
            assert was.message == "more than 32 interim answers, and no final one"


def test_interim_answers_without_an_end_are_an_error_and_no_endless_loop() -> None:
    answer = ResponseReader("GET")
    with pytest.raises(ParserError, match="interim"):
        while True:
            answer.feed(HINTS)


@pytest.mark.parametrize("status", [b"204 No Content", b"304 Not Modified"])
@pytest.mark.parametrize("framing", [b"Content-Length: 5", b"Transfer-Encoding: chunked", b"X: y"])
def test_W08_204_and_304_have_no_body_whatever_they_say(status: bytes, framing: bytes) -> None:
    was = told_at_every_split(b"HTTP/1.1 %b\r\n%b\r\n\r\n" % (status, framing))
    assert (was.error, was.status, was.body, was.rest) == (None, int(status[:3]), b"", b"")


@pytest.mark.parametrize("framing", [b"Content-Length: 5", b"Transfer-Encoding: chunked", b"X: y"])
def test_W08_the_answer_to_HEAD_has_no_body_whatever_it_says(framing: bytes) -> None:
    was = told_at_every_split(OK + framing + b"\r\n\r\n", "HEAD")
    assert (was.error, was.status, was.body, was.rest) == (None, 200, b"", b"")


def test_the_state_of_an_answer_follows_the_bytes() -> None:
    answer = ResponseReader("GET")
    assert (answer.begun, answer.done, answer.to_go_on, answer.head) == (False, False, False, None)
    assert answer.feed(b"H") == ()
    assert answer.begun
    answer.feed(HINTS[1:])
    assert (answer.begun, answer.to_go_on) == (True, False)
    answer.feed(CONTINUE)
    assert (answer.begun, answer.done, answer.to_go_on, answer.head) == (True, False, True, None)
    assert [bytes(piece) for piece in answer.feed(SIZED[:-2])] == [b"hel"]
    assert answer.head is not None
    assert (answer.done, answer.head.status) == (False, 200)
    assert [bytes(piece) for piece in answer.feed(b"lo")] == [b"lo"]
    assert (answer.begun, answer.done) == (True, True)


@pytest.mark.parametrize("method", ["GET", "HEAD", "CONNECT"])
def test_101_is_final_and_what_follows_it_is_the_other_protocols(method: str) -> None:
    was = told_at_every_split(
        CONTINUE + b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n\0\1hello", method
    )
    assert (was.status, was.body, was.rest) == (101, b"", b"\0\1hello")


def test_what_follows_the_answer_to_CONNECT_is_the_tunnels() -> None:
    was = told_at_every_split(OK + b"Content-Length: 5\r\n\r\n\x16\x03hello", "CONNECT")
    assert (was.status, was.body, was.rest) == (200, b"", b"\x16\x03hello")


# W09

BOUND = 64 * 1024
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
def test_W09_what_never_ends_is_refused_within_the_bound(
    start: bytes, endless: bytes, block: int
) -> None:
    data = start + endless * (10 * MIB // len(endless))
    answer, came = ResponseReader("GET"), 0
    tracemalloc.start()
    try:
        with pytest.raises(ParserError, match=r"longer than|more than"):
            for part in in_pieces(data, block):
                came += len(part)
                answer.feed(part)
            answer.feed(b"")  # what is wrong with a body is said at the next look
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert came <= len(start) + BOUND + 2 * block
    # In a block of nothing but short lines each costs a note of the regular expression's.
    assert peak < (MIB if block == 1024 else 3 * block + 16 * MIB)


def test_W09_a_wrong_beginning_is_refused_before_it_is_long() -> None:
    answer = ResponseReader("GET")
    with pytest.raises(BadStatusLine):
        answer.feed(b"<!DOCTYPE html>" + b"a" * 100)


def test_a_long_body_leaves_nothing_in_the_parser() -> None:
    block = bytes(64 * 1024)
    for start, piece in [
        (SIZED.replace(b"Length: 5", b"Length: 99999999999").removesuffix(b"hello"), block),
        (TO_END, block),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n10000", b"\r\n" + block + b"\r\n10000"),
    ]:
        answer = ResponseReader("GET")
        answer.feed(start)
        tracemalloc.start()
        try:
            for _ in range(500):
                answer.feed(piece)
            held, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert held < 4 * len(block)
