"""Requests at the server: framing, the same result at every split, bounds, linear time."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from restkit.http1.fields import MAX_FIELDS, MAX_HEAD
from restkit.http1.framing import ChunkedBody, SizedBody, keeps_alive, request_body_reader
from restkit.http1.request_head import (
    MalformedRequest,
    RequestHead,
    is_inside_field,
    parse_request_head,
)
from support.growth import assert_linear
from support.request_corpus import ANY_REQUEST, MESSAGES, make_request, requests
from support.request_parsers import ENDED_EARLY, parse_by_restkit
from support.wire_strategies import cut, every_split, examples, in_parts

MIB = 1 << 20


def head_of(data: bytes) -> RequestHead:
    result = parse_request_head(data)
    assert result is not None
    return result[0]


# The choice of the reader: RFC 9112 6.3

FIVE = b"Content-Length: 5"
CHUNKS = b"Transfer-Encoding: chunked"
BOTH = "the request has both Transfer-Encoding and Content-Length"
ENCODING = "Transfer-Encoding must be chunked and nothing else; got "
OLD = "Transfer-Encoding in a request of HTTP/1.0, which has none"

FRAMINGS: list[tuple[list[bytes], type, int | None]] = [
    ([], SizedBody, 0),
    ([FIVE], SizedBody, 5),
    ([FIVE, FIVE], SizedBody, 5),
    ([b"Content-Length: 5, 5"], SizedBody, 5),
    ([b"Content-Length: 0"], SizedBody, 0),
    ([b"X-Content-Length: 5"], SizedBody, 0),
    ([CHUNKS], ChunkedBody, None),
    ([b"transfer-ENCODING:\tChunked "], ChunkedBody, None),
]
BAD_FRAMINGS = [
    ([FIVE, CHUNKS], 400, BOTH),
    ([CHUNKS, FIVE], 400, BOTH),
    ([b"Transfer-Encoding:", b"Content-Length:"], 400, BOTH),
    (
        [FIVE, b"Content-Length: 6"],
        400,
        "the request has several Content-Lengths that differ: 5, 6",
    ),
    ([b"Content-Length: 5,"], 400, "the request has several Content-Lengths that differ: 5,"),
    *(
        (
            [b"Content-Length: " + value],
            400,
            f"Content-Length must be a number in digits; got {value.decode()!r}",
        )
        for value in (b"", b"+5", b"-1", b"0x5", b"5 5", b"5_0", b"5.0", b"five", b"1" * 20)
    ),
    *(
        (
            [b"Transfer-Encoding: " + value],
            status,
            f"{ENCODING}{value.decode()!r}",
        )
        for value, status in [
            *(
                (b"gzip, chunked", 501),
                (b"gzip;q=1 ,br,\tChunked", 501),
                (b"xchunked, chunked", 501),
            ),
            *(
                (b"gzip", 400),
                (b"identity", 400),
                (b"", 400),
                (b"xchunked", 400),
                (b"chunked;x", 400),
            ),
            *((b"chunked, gzip", 400), (b"chunked, chunked", 400), (b", chunked", 400)),
            *((b"chunked,", 400), (b"chunked, gzip, chunked", 400), (b"gzip,, chunked", 400)),
            *((b'"chunked"', 400), (b"g zip, chunked", 400)),
        ]
    ),
    ([CHUNKS, CHUNKS], 400, ENCODING + "'chunked, chunked'"),
    ([b"Transfer-Encoding: gzip", CHUNKS], 501, ENCODING + "'gzip, chunked'"),
]


@pytest.mark.parametrize(("fields", "kind", "length"), FRAMINGS)
def test_head_chooses_the_body_reader(fields: list[bytes], kind: type, length: int | None) -> None:
    body = request_body_reader(head_of(make_request(*fields)))
    assert type(body) is kind
    assert (body.length, body.done) == (length, length == 0)


@pytest.mark.parametrize(("fields", "status", "fault"), BAD_FRAMINGS)
def test_N21_ambiguous_framing_is_rejected(fields: list[bytes], status: int, fault: str) -> None:
    with pytest.raises(MalformedRequest) as caught:
        request_body_reader(head_of(make_request(*fields)))
    assert caught.value.response_status == status
    assert str(caught.value).startswith(fault)


def test_chunks_are_rejected_in_http_1_0() -> None:
    for value in (b"chunked", b"gzip, chunked", b"identity"):
        head = head_of(make_request(b"Transfer-Encoding: " + value, line=b"POST / HTTP/1.0"))
        with pytest.raises(MalformedRequest, match=OLD) as caught:
            request_body_reader(head)
        assert caught.value.response_status == 400
        assert not keeps_alive(head)


# Splits


@settings(max_examples=examples(400))
@given(st.data(), ANY_REQUEST)
def test_any_bytes_have_one_outcome_however_they_are_cut(
    data: st.DataObject, message: bytes
) -> None:
    whole = parse_by_restkit([message])
    assert whole.status in (0, 400, 414, 431, 501, 505)
    parts = data.draw(cut(message))
    assert parse_by_restkit(parts)._replace(fault="") == whole._replace(fault="")
    assert bool(parse_by_restkit(parts).fault) == bool(whole.fault)


@settings(max_examples=examples(100))
@given(st.data(), requests())
def test_valid_requests_are_accepted(data: st.DataObject, message: bytes) -> None:
    assert parse_by_restkit(data.draw(cut(message))).fault == ""


@pytest.mark.parametrize("message", [message for message in MESSAGES if len(message) < 300])
def test_every_message_of_the_corpus_has_one_outcome_at_every_split(message: bytes) -> None:
    whole = parse_by_restkit([message])
    for parts in every_split(message):
        was = parse_by_restkit(parts)
        assert was._replace(fault="") == whole._replace(fault="")
        # A fault may be found before all of its line has arrived to be shown.
        assert was.fault[:20] == whole.fault[:20]


@settings(max_examples=examples(200))
@given(ANY_REQUEST)
def test_head_is_parsed_complete_or_not_at_all(message: bytes) -> None:
    try:
        parsed = parse_request_head(message)
    except MalformedRequest:
        return
    if parsed is None:
        assert not message.endswith(b"\r\n\r\n")
        return
    head, end = parsed
    assert message[:end].endswith(b"\r\n\r\n")
    text = head.method + head.target + "".join(map("".join, head.headers.pairs()))
    assert not set(text) & {"\r", "\n", "\0"}
    assert head.host is not None or head.minor == 0
    assert isinstance(keeps_alive(head), bool)
    assert isinstance(head.expects_continue, bool)
    assert head.local_target


@settings(max_examples=examples(200))
@given(ANY_REQUEST)
def test_skipping_inside_a_field_changes_no_outcome(message: bytes) -> None:
    """Parsing single bytes, and only where necessary, has the same outcome."""

    def parse_single_bytes() -> int | None:
        held = b""
        for byte in in_parts(message, 1):
            skips = bool(held) and is_inside_field(held, byte)
            held += byte
            if not skips and parse_request_head(held):
                return None
        return 0 if parse_request_head(held) is None else -1

    try:
        expected = None if parse_request_head(message) else 0
    except MalformedRequest as error:
        expected = error.response_status
    try:
        result = parse_single_bytes()
    except MalformedRequest as error:
        result = error.response_status
    assert result == expected


# Bounds


def test_head_of_64_kib_is_accepted_and_one_byte_more_rejected() -> None:
    def long_head(size: int) -> bytes:
        return make_request(b"A: " + b"b" * (size - len(make_request(b"A: "))))

    assert head_of(long_head(MAX_HEAD))
    for size in range(MAX_HEAD + 1, MAX_HEAD + 8):
        with pytest.raises(MalformedRequest, match="the head is longer than 65536 b") as caught:
            parse_request_head(long_head(size))
        assert caught.value.response_status == 431
        assert parse_request_head(long_head(size)[:MAX_HEAD]) is None


def test_256_fields_are_accepted_and_257_rejected() -> None:
    fields = [b"A: b"] * (MAX_FIELDS - 1)
    assert head_of(make_request(*fields))
    for end in (b"\r\n\r\n", b"\r\n", b""):
        for more in (b"A: b", b"A", b"\0"):
            with pytest.raises(MalformedRequest, match="more than 256 fields") as caught:
                parse_request_head(make_request(*fields, more)[:-4] + end)
            assert caught.value.response_status == 431
    assert parse_request_head(make_request(*fields)[:-2]) is None
    assert parse_request_head(make_request(*fields)[:-1]) is None


ENDLESS = [
    (b"a" * (10 * MIB), 414),
    (b" HTTP/1.1\r\nA: " + b"a" * (10 * MIB), 431),
    (b" HTTP/1.1\r\n" + b"A" * (10 * MIB), 431),
    (b" HTTP/1.1\r\n" + b"A:\r\n" * (5 * MIB // 2), 431),
]


@pytest.mark.parametrize(("endless", "status"), ENDLESS, ids=lambda data: repr(data)[:20])
def test_ten_megabytes_of_head_are_refused_without_looking_at_all_of_it(
    endless: bytes, status: int
) -> None:
    data = b"GET /" + endless
    tracemalloc.start()
    try:
        with pytest.raises(MalformedRequest) as caught:
            parse_request_head(data)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert caught.value.response_status == status
    assert peak < 16 * MIB


def with_host(host: bytes) -> bytes:
    return b"GET / HTTP/1.1\r\nHost:" + host + b"\r\n\r\n"


def to_target(target: bytes) -> bytes:
    return b"GET " + target + b" HTTP/1.1\r\nHost: x\r\n\r\n"


def with_codings(value: bytes) -> bytes:
    return make_request(b"Transfer-Encoding: " + value)


MALICIOUS_REQUESTS: dict[str, Callable[[int], bytes]] = {
    "spaces": lambda size: make_request(b"A: a" + b" " * size + b"b"),
    "tabs and spaces": lambda size: make_request(b"A: a" + b"\t " * (size // 2) + b"b"),
    "lines": lambda size: make_request(*[b"A: a" + b" " * 245] * (size // 255)),
    "a name": lambda size: make_request(b"a" * size),
    "spaces before a host": lambda size: with_host(b" " * size + b"x y"),
    "a host": lambda size: with_host(b"x" * size + b" y"),
    "a port": lambda size: with_host(b" x:" + b"1" * size + b"y"),
    "a user": lambda size: to_target(b"http://" + b"a" * (size // 8) + b"@"),
    "escapes": lambda size: to_target(b"http://" + b"a%41" * (size // 32) + b"%"),
    "codings": lambda size: with_codings(b"a," * (size // 2)),
    "a coding": lambda size: with_codings(b"a" * size),
    "parameters": lambda size: with_codings(b"a;" * (size // 2)),
    "spaces in codings": lambda size: with_codings(b"a" + b" " * size + b"b, chunked"),
    "a length": lambda size: make_request(b"Content-Length: " + b"1" * size),
    "lengths": lambda size: make_request(b"Content-Length: " + b"1," * (size // 2)),
    "expectations": lambda size: make_request(b"Expect: " + b"," * size),
}


@pytest.mark.parametrize("kind", MALICIOUS_REQUESTS)
def test_long_request_takes_linear_time(kind: str) -> None:
    def parse(message: bytes) -> None:
        outcome = parse_by_restkit([message])
        assert len(outcome.fault) < 200
        assert outcome.fault or outcome.headers
        assert outcome.fault != ENDED_EARLY

    assert_linear(parse, MALICIOUS_REQUESTS[kind], 8000)
