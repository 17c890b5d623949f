"""Body readers: the choice by the head, and the end of each body."""

from __future__ import annotations

import re
import tracemalloc
from collections.abc import Sequence

import pytest

from restkit.errors import ParserError, UnexpectedEOF
from restkit.http1.framing import (
    MAX_CHUNK_LINE,
    BodyReader,
    BodyToEnd,
    ChunkedBody,
    SizedBody,
    keeps_alive,
    response_body_reader,
)
from restkit.http1.response_head import ResponseHead, parse_response_head
from support.wire_strategies import every_split, in_parts, single_bytes

pytestmark = pytest.mark.smoke

MIB = 1 << 20


def head(*fields: bytes, line: bytes = b"HTTP/1.1 200 OK") -> ResponseHead:
    result = parse_response_head(b"\r\n".join([line, *fields]) + b"\r\n\r\n")
    assert result is not None
    return result[0]


def feed_all(body: BodyReader, parts: Sequence[bytes]) -> bytes:
    return b"".join(bytes(chunk) for part in parts for chunk in body.feed(part))


# The choice of the reader: RFC 9112 6.3, in its order

FIVE = b"Content-Length: 5"
CHUNKS = b"Transfer-Encoding: chunked"

CHOICES: list[tuple[str, bytes, list[bytes], type[BodyReader], int | None]] = [
    ("HEAD", b"200", [FIVE], SizedBody, 0),
    ("HEAD", b"200", [CHUNKS], SizedBody, 0),
    ("HEAD", b"200", [FIVE, b"Content-Length: 6"], SizedBody, 0),
    ("GET", b"101", [], SizedBody, 0),
    ("GET", b"204", [FIVE], SizedBody, 0),
    ("GET", b"204", [CHUNKS], SizedBody, 0),
    ("GET", b"304", [FIVE], SizedBody, 0),
    ("GET", b"304", [CHUNKS, FIVE], SizedBody, 0),
    ("GET", b"205", [FIVE], SizedBody, 5),
    ("CONNECT", b"200", [FIVE], SizedBody, 0),
    ("CONNECT", b"299", [CHUNKS], SizedBody, 0),
    ("CONNECT", b"407", [FIVE], SizedBody, 5),
    ("GET", b"200", [CHUNKS], ChunkedBody, None),
    ("GET", b"200", [b"transfer-ENCODING:\tChunked "], ChunkedBody, None),
    ("GET", b"200", [b"Transfer-Encoding:\r\n chunked"], ChunkedBody, None),
    ("GET", b"200", [CHUNKS, CHUNKS], ChunkedBody, None),
    ("GET", b"200", [b"Transfer-Encoding: chunked ,\tChunked,chunked"], ChunkedBody, None),
    ("GET", b"200", [CHUNKS, FIVE], ChunkedBody, None),
    ("GET", b"200", [FIVE, FIVE, CHUNKS], ChunkedBody, None),
    ("GET", b"200", [FIVE], SizedBody, 5),
    ("head", b"200", [FIVE], SizedBody, 5),
    ("POST", b"500", [b"content-LENGTH:\t5\t"], SizedBody, 5),
    ("GET", b"200", [b"Content-Length: 0"], SizedBody, 0),
    ("GET", b"200", [b"Content-Length: 0000000005"], SizedBody, 5),
    ("GET", b"200", [FIVE, b"X: y", FIVE], SizedBody, 5),
    ("GET", b"200", [FIVE, FIVE], SizedBody, 5),
    ("GET", b"200", [b"Content-Length: 5, 5"], SizedBody, 5),
    ("GET", b"200", [b"Content-Length: 5, 05"], SizedBody, 5),
    ("GET", b"200", [b"Content-Length: 005", FIVE, b"Content-Length: 05"], SizedBody, 5),
    ("GET", b"200", [b"Content-Length: 0, 00"], SizedBody, 0),
    ("GET", b"200", [b"Content-Length:\r\n 5"], SizedBody, 5),
    ("GET", b"200", [b"Content-Length: 5\r\n "], SizedBody, 5),
    ("GET", b"200", [b"Content-Length: 9999999999999999999"], SizedBody, 10**19 - 1),
    ("GET", b"200", [], BodyToEnd, None),
    ("GET", b"200", [b"X-Content-Length: 5", b"X: y\r\n Content-Length: 5"], BodyToEnd, None),
    ("GET", b"200", [b"X-Transfer-Encoding: chunked"], BodyToEnd, None),
]


@pytest.mark.parametrize(("method", "status", "fields", "kind", "length"), CHOICES)
def test_head_chooses_the_body_reader(
    method: str, status: bytes, fields: list[bytes], kind: type[BodyReader], length: int | None
) -> None:
    body = response_body_reader(head(*fields, line=b"HTTP/1.1 %b X" % status), method)
    assert type(body) is kind
    assert body.length == length
    assert body.done == (length == 0)


FAULTY = [
    ([b"Content-Length: x", CHUNKS], "in digits; got 'x'"),
    ([FIVE, CHUNKS, b"Content-Length: 6"], "several Content-Lengths that differ: 5, 6"),
    ([FIVE, b"Transfer-Encoding: gzip"], "nothing else; got 'gzip'"),
    ([FIVE, b"Transfer-Encoding: chunked, gzip"], "nothing else; got 'chunked, gzip'"),
    ([FIVE, b"Content-Length: 6"], "several Content-Lengths that differ: 5, 6"),
    ([FIVE, b"Content-Length: 50"], "several Content-Lengths that differ: 5, 50"),
    ([b"Content-Length: 0x5, 05"], "several Content-Lengths that differ: 0x5, 05"),
    ([b"Content-Length: 5, " + b"0" * 19 + b"5"], "several Content-Lengths that differ: 5, 0000"),
    ([b"Content-Length: 5, 6"], "several Content-Lengths that differ: 5, 6"),
    ([b"Content-Length: 5,"], "several Content-Lengths that differ: 5,"),
    ([b"Content-Length: 5", b"Content-Length:"], "several Content-Lengths that differ"),
    ([b"Content-Length:"], "in digits; got ''"),
    ([b"Content-Length: +5"], "in digits; got '+5'"),
    ([b"Content-Length: -1"], "in digits; got '-1'"),
    ([b"Content-Length: 0x5"], "in digits; got '0x5'"),
    ([b"Content-Length: 5 5"], "in digits; got '5 5'"),
    ([b"Content-Length: 5\r\n 5"], "in digits; got '5 5'"),
    ([b"Content-Length: 5\r\n\t, 6"], "several Content-Lengths that differ"),
    ([b"Content-Length: 5_0"], "in digits; got '5_0'"),
    ([b"Content-Length: 5.0"], "in digits; got '5.0'"),
    ([b"Content-Length: 5e1"], "in digits; got '5e1'"),
    ([b"Content-Length: \xb2"], "in digits; got '\xb2'"),
    ([b"Content-Length: 5\x0b"], r"in digits; got '5\x0b'"),
    ([b"Content-Length: 5\x85"], r"in digits; got '5\x85'"),
    ([b"Content-Length: five"], "in digits; got 'five'"),
    ([b"Content-Length: 5;"], "in digits; got '5;'"),
    ([b"Content-Length: 10000000000000000000"], "in digits; got '10000000000000000000'"),
    ([b"Transfer-Encoding: gzip, chunked"], "nothing else; got 'gzip, chunked'"),
    ([b"Transfer-Encoding: gzip", CHUNKS], "nothing else; got 'gzip, chunked'"),
    ([b"Transfer-Encoding: chunked, identity"], "nothing else; got 'chunked, identity'"),
    ([b"Transfer-Encoding: chunked,"], "nothing else; got 'chunked,'"),
    ([CHUNKS, b"Transfer-Encoding: gzip", CHUNKS], "got 'chunked, gzip, chunked'"),
    ([b"Transfer-Encoding: identity"], "nothing else; got 'identity'"),
    ([b"Transfer-Encoding: gzip"], "nothing else; got 'gzip'"),
    ([b"Transfer-Encoding:"], "nothing else; got ''"),
    ([b"Transfer-Encoding: xchunked"], "nothing else; got 'xchunked'"),
    ([b"Transfer-Encoding: \x0bchunked"], r"nothing else; got '\x0bchunked'"),
    ([b"Transfer-Encoding: chunked;x"], "nothing else; got 'chunked;x'"),
    ([b"Transfer-Encoding: chun\r\n ked"], "nothing else; got 'chun ked'"),
]


@pytest.mark.parametrize(("fields", "fault"), FAULTY)
def test_W07_ambiguous_framing_is_rejected(fields: list[bytes], fault: str) -> None:
    for line in (b"HTTP/1.1 200 OK", b"HTTP/1.0 500 No"):
        with pytest.raises(ParserError) as caught:
            response_body_reader(head(*fields, line=line), "GET")
        assert fault in str(caught.value)


# SizedBody


def test_sized_body_ends_at_its_length_and_keeps_the_leftover() -> None:
    for parts in every_split(b"hello, and more"):
        body = SizedBody(5)
        assert feed_all(body, parts) == b"hello"
        assert (body.done, body.bytes_expected, body.leftover) == (True, 0, b", and more")
        assert body.trailers == []
        body.end()


def test_short_sized_body_is_an_error_with_the_missing_bytes() -> None:
    body = SizedBody(100)
    assert body.progress == "after 0 of 100 bytes"
    body.feed(b"a" * 50)
    body.skip(10)
    assert (body.done, body.bytes_expected, body.progress) == (False, 40, "after 60 of 100 bytes")
    with pytest.raises(UnexpectedEOF, match="the body ended after 60 of 100 bytes"):
        body.end()
    body.skip(40)
    assert body.done
    body.end()


def test_empty_body_is_done_at_once() -> None:
    body = SizedBody(0)
    assert (body.done, list(body.feed(b"")), body.leftover) == (True, [], b"")
    assert (list(body.feed(b"x")), list(body.feed(b"yz")), body.leftover) == ([], [], b"xyz")


# BodyToEnd


def test_body_to_the_end_takes_all_bytes() -> None:
    data = b"0\r\n\r\nHTTP/1.1 200 OK\r\n\r\n"
    for parts in every_split(data):
        body = BodyToEnd()
        assert feed_all(body, parts) == data
        assert (body.done, body.bytes_expected, body.length) == (False, None, None)
        assert body.progress == f"after {len(data)} bytes"
        body.end()
        assert (body.done, body.leftover, body.trailers) == (True, b"", [])


# ChunkedBody

CHUNKED = [
    (b"0\r\n\r\n", b"", []),
    (b"5\r\nhello\r\n0\r\n\r\n", b"hello", []),
    (b"05\r\nhello\r\n00000\r\n\r\n", b"hello", []),
    (b"0000000000000005\r\nhello\r\n0000000000000000\r\n\r\n", b"hello", []),
    (b"5;x=1\r\nhello\r\n0;last\r\n\r\n", b"hello", []),
    (b'5 ; x = "a;b" ; \xe9\r\nhello\r\n0\r\n\r\n', b"hello", []),
    (b"5;\r\nhello\r\n0\r\n\r\n", b"hello", []),
    (b"5 \t \r\nhello\r\n0  \r\n\r\n", b"hello", []),
    (b"A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n", b"0123456789" * 2, []),
    (b"1\r\nh\r\n4\r\nello\r\n0\r\n\r\n", b"hello", []),
    (b"4\r\n\r\n\r\n\r\n0\r\n\r\n", b"\r\n\r\n", []),
    (b"5\r\n0\r\n\r\n\r\n0\r\n\r\n", b"0\r\n\r\n", []),
    (b"5\r\nhello\r\n0\r\nA: b\r\nA:\r\n\r\n", b"hello", [("A", "b"), ("A", "")]),
    (b"0\r\nA: b\r\n c\r\n\r\n", b"", [("A", "b c")]),
    (b"0\r\nContent-Length: 5\r\n\r\n", b"", [("Content-Length", "5")]),
]


@pytest.mark.parametrize(("data", "expected", "trailers"), CHUNKED)
def test_chunked_body_is_the_same_at_every_split(
    data: bytes, expected: bytes, trailers: list[tuple[str, str]]
) -> None:
    for rest in (b"", b"HTTP/1.1"):
        for parts in every_split(data + rest):
            body = ChunkedBody()
            assert feed_all(body, parts) == expected
            assert (body.done, body.trailers, body.leftover) == (True, trailers, rest)
            body.end()


@pytest.mark.parametrize("data", [data for data, _, _ in CHUNKED])
def test_chunks_that_stop_early_are_an_error(data: bytes) -> None:
    for end in range(len(data)):
        body = ChunkedBody()
        body.feed(data[:end])
        assert not body.done
        with pytest.raises(UnexpectedEOF, match=r"ended after \d+ bytes, before its last chunk"):
            body.end()


FAULTY_CHUNKS = [
    (b"\r\nhello", "after 0 bytes of a chunked body there is no chunk size, but b'\\r\\n"),
    (b"\n5\r\n", "there is no chunk size, but b'\\n"),
    (b";x=1\r\nhello", "there is no chunk size, but b';"),
    (b" 5\r\nhello", "there is no chunk size, but b' "),
    (b"+5\r\nhello", "there is no chunk size, but b'+"),
    (b"-5\r\nhello", "there is no chunk size, but b'-"),
    (b"0x5\r\nhello", "there is no chunk size, but b'0x"),
    (b"5_0\r\nhello", "there is no chunk size, but b'5_"),
    (b"g\r\nhello", "there is no chunk size, but b'g"),
    (b"\xb2\r\nhello", "there is no chunk size, but b'\\xb2"),
    (b"5 5\r\nhello", "there is no chunk size, but b'5 5"),
    (b"5\x0b\r\nhello", "there is no chunk size, but b'5\\x0b"),
    (b"5,x\r\nhello", "there is no chunk size, but b'5,"),
    (b"5\nhello\n0\n\n", "there is no chunk size, but b'5\\n"),
    (b"5\rhello\r0\r\r", "there is no chunk size, but b'5\\rh"),
    (b"5\r\r\nhello", "there is no chunk size, but b'5\\r\\r"),
    (b"5;x\nhello", "there is no chunk size, but b'5;x\\n"),
    (b"5;x\0\r\nhello", "there is no chunk size, but b'5;x\\x00"),
    (b"5;x\ry\r\nhello", "there is no chunk size, but b'5;x\\ry"),
    (b"00000000000000005\r\nhello", "there is no chunk size, but b'00000000000000005"),
    (b"10000000000000000\r\nhello", "there is no chunk size, but b'10000000000000000"),
    (b"5\r\nhello0\r\n\r\n", "after 5 bytes of a chunked body a chunk is longer"),
    (b"5\r\nhello\n0\r\n\r\n", "a chunk is longer than its size: b'\\n"),
    (b"5\r\nhello\r0\r\n\r\n", "a chunk is longer than its size: b'\\r0"),
    (b"4\r\nhello\r\n0\r\n\r\n", "after 4 bytes of a chunked body a chunk is longer than its size"),
    (b"5\r\nhello\r\n\r\n", "after 5 bytes of a chunked body there is no chunk size"),
    (b"5\r\nhello\r\nx", "after 5 bytes of a chunked body there is no chunk size, but b'x"),
    (b"0\r\nA b\r\n\r\n", "line 1 of the trailers has no colon"),
    (b"0\r\n A: b\r\n\r\n", "line 1 of the trailers is folded"),
    (b"0\r\nA: b\nC: d\r\n\r\n", "line 1 of the trailers has a bare LF"),
    (b"0\r\n\nA: b\r\n\r\n", "line 1 of the trailers has a bare LF"),
    (b"0\r\n\rA: b\r\n\r\n", "line 1 of the trailers has a bare CR"),
    (b"0\r\nA: \0\r\n\r\n", "line 1 of the trailers has a NUL"),
]


STRICT_CHUNKS = [
    *FAULTY_CHUNKS,
    (b"0\r\nA: b\r\n c\r\n\r\n", "line 2 of the trailers is folded; a field must be on one line"),
    (b"0\r\nA: \x0b\r\n\r\n", "line 1 of the trailers has a control character"),
    (b"0\r\nA: b\r\nC: \x7f\r\n\r\n", "line 2 of the trailers has a control character"),
]


@pytest.mark.parametrize(("data", "fault"), STRICT_CHUNKS)
def test_trailers_of_requests_have_the_rules_of_request_heads(data: bytes, fault: str) -> None:
    for parts in every_split(data):
        body = ChunkedBody(strict=True)
        with pytest.raises(ParserError) as caught:
            feed_all(body, [*parts, b""])
        assert re.split(", but|: b'", fault)[0] in str(caught.value)
        assert not body.done


@pytest.mark.parametrize(("data", "fault"), FAULTY_CHUNKS)
def test_W07_invalid_chunks_are_rejected_at_every_split(data: bytes, fault: str) -> None:
    with pytest.raises(ParserError) as caught:
        feed_all(ChunkedBody(), [data, b""])
    assert fault in str(caught.value)
    for parts in every_split(data):
        body = ChunkedBody()
        with pytest.raises(ParserError) as caught:
            feed_all(body, [*parts, b""])
        assert re.split(", but|: b'", fault)[0] in str(caught.value)
        assert not body.done


def test_largest_chunk_size_allocates_nothing() -> None:
    body = ChunkedBody()
    assert feed_all(body, [b"FFFFFFFFFFFFFFFF\r\n", b"a" * 1000]) == b"a" * 1000
    assert not body.done


@pytest.mark.parametrize("before", [b"", b"1\r\nx\r\n"])
def test_chunk_line_of_4096_bytes_is_accepted_and_4097_rejected(before: bytes) -> None:
    line_end = before[-2:]  # counted as part of the next line

    def message(size: int) -> bytes:
        line = b"5;" + b"x" * (size - 4 - len(line_end)) + b"\r\n"
        assert len(line_end + line) == size
        return before + line + b"hello\r\n0\r\n\r\n"

    for size in range(MAX_CHUNK_LINE, MAX_CHUNK_LINE + 5):
        line_ends = len(before + message(size)) - len(b"hello\r\n0\r\n\r\n")
        for at in range(line_ends - 8, line_ends + 8):
            parts = [message(size)[:at], *single_bytes(message(size)[at:])]
            if size == MAX_CHUNK_LINE:
                assert feed_all(ChunkedBody(), parts).endswith(b"hello")
            else:
                with pytest.raises(ParserError, match="a chunk size line has more than 4096 bytes"):
                    feed_all(ChunkedBody(), [*parts, b""])


@pytest.mark.parametrize("block", [10 * MIB, 64 * 1024, 1024])
@pytest.mark.parametrize("start", [b"5;", b'5;x="', b"1\r\nx\r\n5;", b"5 ", b"0\r\nA: "])
def test_W09_endless_line_in_a_chunked_body_is_rejected_within_its_bound(
    start: bytes, block: int
) -> None:
    data = start + b" " * (10 * MIB)
    parts = list(in_parts(data, block))
    body, received = ChunkedBody(), 0
    tracemalloc.start()
    try:
        with pytest.raises(ParserError, match=r"more than 4096 bytes|longer than 65536 bytes"):
            for part in parts:
                received += len(part)
                body.feed(part)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert received <= 65536 + 2 * block
    assert peak < 2 * block + MIB


def test_large_chunk_is_not_copied() -> None:
    data = b"%x\r\n" % (8 * MIB) + b"a" * (8 * MIB) + b"\r\n0\r\n\r\n"
    tracemalloc.start()
    try:
        [chunk] = ChunkedBody().feed(data)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(chunk) == 8 * MIB
    assert peak < MIB


# keeps_alive

OPEN = [
    (b"HTTP/1.1 200 OK", [], True),
    (b"HTTP/1.0 200 OK", [], False),
    (b"HTTP/1.1 200 OK", [b"Connection: close"], False),
    (b"HTTP/1.1 200 OK", [b"connection:CLOSE"], False),
    (b"HTTP/1.1 200 OK", [b"Connection: keep-alive"], True),
    (b"HTTP/1.0 200 OK", [b"Connection: keep-alive"], True),
    (b"HTTP/1.0 200 OK", [b"Connection: Keep-Alive, X"], True),
    (b"HTTP/1.0 200 OK", [b"Connection: X"], False),
    (b"HTTP/1.1 200 OK", [b"Connection: X , close ,"], False),
    (b"HTTP/1.1 200 OK", [b"Connection: keep-alive, close"], False),
    (b"HTTP/1.1 200 OK", [b"Connection: keep-alive", b"Connection: close"], False),
    (b"HTTP/1.1 200 OK", [b"Connection: keep-alive\r\n , close"], False),
    (b"HTTP/1.1 200 OK", [b"Connection:\r\n close"], False),
    (b"HTTP/1.1 200 OK", [b"Connection: closed"], True),
    (b"HTTP/1.1 200 OK", [b"Connection:"], True),
    (b"HTTP/1.1 200 OK", [b"X-Connection: close", b"X: y\r\n Connection: close"], True),
    # RFC 9112 6.1: chunks in an HTTP/1.0 message are faulty framing, and the connection closes
    (b"HTTP/1.0 200 OK", [b"Connection: keep-alive", CHUNKS], False),
]


@pytest.mark.parametrize("fields", [[FIVE, CHUNKS], [CHUNKS, FIVE], [CHUNKS, CHUNKS, FIVE]])
def test_connection_closes_after_chunks_beside_a_content_length(fields: list[bytes]) -> None:
    found = head(*fields, b"Connection: keep-alive")
    response_body_reader(found, "GET")
    assert not keeps_alive(found)


@pytest.mark.parametrize("fields", [[CHUNKS], [CHUNKS, CHUNKS], [FIVE, b"Content-Length: 05"]])
def test_connection_stays_open_after_chunks_or_a_length_named_twice(fields: list[bytes]) -> None:
    found = head(*fields)
    response_body_reader(found, "GET")
    assert keeps_alive(found)


@pytest.mark.parametrize(("line", "fields", "open_"), OPEN)
def test_keeps_alive_follows_the_head(line: bytes, fields: list[bytes], open_: bool) -> None:
    assert keeps_alive(head(*fields, line=line)) is open_
