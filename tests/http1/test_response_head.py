"""Response heads: accepted and rejected ones, with the message of each error; request heads."""

from __future__ import annotations

import re
import tracemalloc
from collections.abc import Callable

import pytest

import restkit
from restkit.errors import BadStatusLine, ParserError
from restkit.http1 import fields
from restkit.http1.fields import parse_trailers
from restkit.http1.framing import keeps_alive
from restkit.http1.response_head import (
    MAX_FIELDS,
    MAX_HEAD,
    ResponseHead,
    parse_response_head,
)
from restkit.http1.writing import encode_request_head
from support.growth import assert_linear
from support.wire_strategies import in_parts

MIB = 1 << 20


def parse(data: bytes) -> ResponseHead:
    result = parse_response_head(data)
    assert result is not None
    head, end = result
    assert end == len(data)
    return head


# The status line

STATUS_LINES = [
    (b"HTTP/1.1 200 OK", 1, 200, "OK"),
    (b"HTTP/1.0 404 Not Found", 0, 404, "Not Found"),
    (b"HTTP/1.1 200 ", 1, 200, ""),
    (b"HTTP/1.1 200", 1, 200, ""),
    (b"HTTP/1.1 999 Who knows", 1, 999, "Who knows"),
    (b"HTTP/1.1 200  two  spaces ", 1, 200, "two  spaces"),
    (b"HTTP/1.1 200 d\xe9j\xe0 vu", 1, 200, "d\xe9j\xe0 vu"),
    (b"HTTP/1.1 200 \x01\x7f", 1, 200, "\x01\x7f"),
]


@pytest.mark.parametrize(("line", "minor", "status", "reason"), STATUS_LINES)
def test_status_line_is_parsed(line: bytes, minor: int, status: int, reason: str) -> None:
    head = parse(line + b"\r\n\r\n")
    assert (head.minor, head.status, head.reason) == (minor, status, reason)
    assert head.headers.pairs() == []
    assert repr(head) == f"<ResponseHead {status} {reason}>"


NO_STATUS_LINES = [
    b"",
    b"\r\nHTTP/1.1 200 OK",
    b" HTTP/1.1 200 OK",
    b"HTTP/1.1  200 OK",
    b"HTTP/1.1\t200 OK",
    b"HTTP/1.1 200\tOK",
    b"HTTP/1.1 20",
    b"HTTP/1.1 20x OK",
    b"HTTP/1.1 2000 OK",
    b"HTTP/1.1 099 Low",
    b"HTTP/1.1 -99 Low",
    b"HTTP/1.1 \xb2\xb2\xb2 OK",
    b"HTTP/1.1 200OK",
    b"HTTP/0.9 200 OK",
    b"HTTP/1 200 OK",
    b"HTTP/1. 200 OK",
    b"HTTP/1.10 200 OK",
    b"HTTP/2.10 200 OK",
    b"HTTP/4 200 OK",
    b"HTTP/11 200 OK",
    b"http/1.1 200 OK",
    b"ICY 200 OK",
    b"<html>",
    b"SSH-2.0-OpenSSH_9.6",
    b"\x15\x03\x01\x00\x02\x02\x16",
    b"HTTP/1.1 200 O\0K",
    b"HTTP/1.1 200 O\rK",
    b"HTTP/1.1 200 OK\r",
    b"HTTP/1.1 200 O\rK\nX: y",
]


@pytest.mark.parametrize("line", NO_STATUS_LINES)
def test_invalid_status_line_is_shown(line: bytes) -> None:
    first = re.escape(repr(re.split(b"\r?\n", line)[0])[1:])
    with pytest.raises(BadStatusLine, match=f"begins with {first}, not with HTTP/1.1"):
        parse_response_head(line + b"\r\n\r\n")


@pytest.mark.parametrize(
    "beginning",
    [
        *(b"h", b"\r", b"\n", b"HTTP/0", b"HTTP/4", b"HTTP/1 ", b"HTTP/1.11", b"HTTP/2.00"),
        *(b"HTTP/1.1 0", b"HTTP/1.1 2000", b"HTTP/1.1 200O", b"HTTP/2 20\n", b"HTTP/2 20\r"),
        *(b"HTTP/1.1 20\r", b"HTTP/1.1 20\n", b"HTTP/1.1 200 O\0", b"HTTP/2 200\rX"),
        *(b"HTTP/1.1 200\rX", b"HTTP/1.1 200 OK\r\r"),
    ],
)
def test_invalid_status_line_is_rejected_at_the_first_wrong_byte(beginning: bytes) -> None:
    assert parse_response_head(beginning[:-1]) is None
    with pytest.raises(BadStatusLine):
        parse_response_head(beginning)


OTHER_VERSIONS = [
    *(b"HTTP/1.2 200 OK", b"HTTP/1.7 200 OK", b"HTTP/1.9 200", b"HTTP/2 200", b"HTTP/2.0 200 OK"),
    *(b"HTTP/2.7 200 OK", b"HTTP/3 200 ", b"HTTP/3.0 200 OK"),
]


@pytest.mark.parametrize("line", OTHER_VERSIONS)
@pytest.mark.parametrize("field", [b"", b"Connection: keep-alive\r\n"])
def test_unknown_version_in_text_is_read_as_1_1_and_the_connection_closes(
    line: bytes, field: bytes
) -> None:
    whole = line + b"\r\n" + field + b"\r\n"
    assert all(parse_response_head(whole[:end]) is None for end in range(len(whole)))
    head = parse(whole)
    assert (head.minor, head.status) == (1, 200)
    assert not keeps_alive(head)


def test_only_the_beginning_of_a_long_line_is_shown() -> None:
    with pytest.raises(BadStatusLine) as caught:
        parse_response_head(b"<" * 5000)
    assert len(str(caught.value)) < 150
    assert "..." in str(caught.value)


# Fields

FIELDS = [
    (b"A: b", [("A", "b")]),
    (b"A:b", [("A", "b")]),
    (b"A: \t b \t ", [("A", "b")]),
    (b"A:", [("A", "")]),
    (b"A:  ", [("A", "")]),
    (b"A: b: c", [("A", "b: c")]),
    (b"A: b\r\na: c", [("A", "b"), ("a", "c")]),
    (b"!#$%&'*+-.^_`|~09azAZ: x", [("!#$%&'*+-.^_`|~09azAZ", "x")]),
    (b"A: caf\xe9 \xff", [("A", "caf\xe9 \xff")]),
    (b"A: \x01\x0b\x0c\x1f\x7f\x85", [("A", "\x01\x0b\x0c\x1f\x7f\x85")]),
    (b"A: \x0bb\x0b", [("A", "\x0bb\x0b")]),
    (b"A: b\r\n c", [("A", "b c")]),
    (b"A: b \t\r\n\t  c\r\nD: e", [("A", "b c"), ("D", "e")]),
    (b"A:\r\n b", [("A", "b")]),
    (b"A: b\r\n ", [("A", "b")]),
    (b"A: b\r\n \r\n\tc", [("A", "b  c")]),
    (b"A: b\r\n C: d", [("A", "b C: d")]),
]


@pytest.mark.parametrize(("fields", "pairs"), FIELDS)
def test_bare_LF_as_line_end_is_accepted_wholly_or_in_single_lines(
    fields: bytes, pairs: list[tuple[str, str]]
) -> None:
    whole = b"HTTP/1.1 200 OK\r\nB: c\r\n" + fields + b"\r\nConnection: keep-alive\r\n\r\n"
    lines = whole.split(b"\r\n")
    with_crlf = parse(whole)
    for bare in [range(len(lines)), *([number] for number in range(len(lines)))]:
        ends = [b"\n" if number in bare else b"\r\n" for number in range(len(lines))]
        mixed = b"".join(line + end for line, end in zip(lines[:-1], ends, strict=False))
        head = parse(mixed)
        assert (head.status, head.reason, head.minor) == (200, "OK", 1)
        assert head.headers.pairs() == [("B", "c"), *pairs, ("Connection", "keep-alive")]
        assert head.lowered == with_crlf.lowered
        assert keeps_alive(head)
        assert all(parse_response_head(mixed[:end]) is None for end in range(len(mixed)))


def test_head_with_bare_LF_ends_before_a_body_with_CRLF() -> None:
    head = b"HTTP/1.1 200 OK\nA: b\n\n"
    for body in (b"\r\n\r\n", b"A: b\r\n\r\n", b"\r\n" * 100_000, b"\0\r"):
        parsed = parse_response_head(head + body)
        assert parsed is not None
        assert parsed[1] == len(head)


@pytest.mark.parametrize(("fields", "pairs"), FIELDS)
def test_fields_are_parsed_in_heads_and_trailers(
    fields: bytes, pairs: list[tuple[str, str]]
) -> None:
    assert parse(b"HTTP/1.1 200 OK\r\n" + fields + b"\r\n\r\n").headers.pairs() == pairs
    assert parse_trailers(fields + b"\r\n\r\nmore") == (pairs, len(fields) + 4)


FAULTS = [
    (b"A b", "no colon: 'A ...'"),
    (b"A : b", "a space before its colon: 'A :...'"),
    (b"A\t: b", "a space before its colon"),
    (b": b", "an invalid name: ':...'"),
    (b"A b: c", "an invalid name"),
    (b"A(: c", "an invalid name"),
    (b"\xe9: c", "an invalid name"),
    (b"A\x7f: c", "an invalid name"),
    (b"A: b\0c", "a NUL"),
    (b"A\0: b", "a NUL"),
    (b"A: b\rc", "a bare CR"),
    (b"A: b\r", "a bare CR"),
    (b"A\r: b", "a bare CR"),
    (b" b\0", "a NUL"),
]
LF_FAULTS = [b"A: b\nC: d", b"A: b\n c", b"A: b\n", b"\nA: b"]


@pytest.mark.parametrize(("line", "fault"), FAULTS)
def test_invalid_field_is_named_with_its_line(line: bytes, fault: str) -> None:
    with pytest.raises(ParserError) as caught:
        parse_response_head(b"HTTP/1.1 200 OK\r\nFine: yes\r\n" + line + b"\r\n\r\n")
    assert f"line 3 of the head has {fault}" in str(caught.value)
    with pytest.raises(ParserError) as caught:
        parse_trailers(b"Fine: yes\r\n" + line + b"\r\n\r\n")
    assert f"line 2 of the trailers has {fault}" in str(caught.value)


@pytest.mark.parametrize("line", LF_FAULTS)
def test_bare_LF_in_trailers_is_rejected(line: bytes) -> None:
    with pytest.raises(ParserError, match="line 2 of the trailers has a bare LF"):
        parse_trailers(b"Fine: yes\r\n" + line + b"\r\n\r\n")


@pytest.mark.parametrize(("line", "fault"), FAULTS)
def test_fault_is_the_same_beside_bare_LF(line: bytes, fault: str) -> None:
    for data in (
        b"HTTP/1.1 200 OK\nFine: yes\n" + line + b"\r\nA: b\n\n",
        b"HTTP/1.1 200 OK\r\nFine: yes\n" + line + b"\r\n\n",
    ):
        with pytest.raises(ParserError) as caught:
            parse_response_head(data)
        assert f"line 3 of the head has {fault}" in str(caught.value)


def test_value_of_an_invalid_field_is_not_in_the_error() -> None:
    for line in (b"Set-Cookie : secret", b"Set-Cookie: a\0secret", b"Cookie=\xff: secret"):
        with pytest.raises(ParserError, match=r"line 2 of the head has .*Cookie.*:") as caught:
            parse_response_head(b"HTTP/1.1 200 OK\r\n" + line + b"\r\n\r\n")
        assert "secret" not in str(caught.value)
    with pytest.raises(ParserError) as caught:
        parse_response_head(b"HTTP/1.1 200 OK\r\n" + b"a" * 5000 + b": b\0\r\n\r\n")
    assert len(str(caught.value)) < 150


def test_fold_needs_a_field_before_it() -> None:
    for end in (b"\r\n\r\n", b"\r\n"):
        with pytest.raises(ParserError, match="line 2 of the head is folded, but there"):
            parse_response_head(b"HTTP/1.1 200 OK\r\n A: b" + end)
        with pytest.raises(ParserError, match="line 1 of the trailers is folded, but there"):
            parse_trailers(b" A: b" + end)


def test_fault_is_named_before_the_head_is_complete() -> None:
    for fault in (b"A: b\0", b"A: b\rc", b"A : b\n", b"A : b\r\n", b"A\r\n", b"A: b\r\r"):
        with pytest.raises(ParserError):
            parse_response_head(b"HTTP/1.1 200 OK\r\n" + fault)


def test_fault_after_the_end_of_the_head_does_not_affect_the_head() -> None:
    whole = b"HTTP/1.1 200 OK\r\nA: b\r\n\r\n"
    for body in (b"\0\n\r", b"no colon\r\n\r\n", b"a\r\n" * 100_000):
        result = parse_response_head(whole + body)
        assert result is not None
        assert result[1] == len(whole)


def test_every_beginning_of_a_head_needs_more_data() -> None:
    for whole in (
        b"HTTP/1.1 200 OK\r\nA: b\r\n c\r\nD:\r\n\r\n",
        b"HTTP/1.0 200\r\n\r\n",
        b"HTTP/1.1 500 \r\nA:b\r\n \r\n\r\n",
    ):
        for end in range(len(whole)):
            assert parse_response_head(whole[:end]) is None
        parse(whole)


def test_every_beginning_of_a_trailer_section_needs_more_data() -> None:
    for whole in (b"A: b\r\n c\r\nD:\r\n\r\n", b"\r\n"):
        for end in range(len(whole)):
            assert parse_trailers(whole[:end]) is None
        result = parse_trailers(whole)
        assert result is not None
        assert result[1] == len(whole)


def test_headers_are_made_once() -> None:
    head = parse(b"HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n\r\n")
    assert head.headers is head.headers
    assert head.headers.get_all("set-cookie") == ["a=1", "b=2"]
    assert head.lowered == b"\r\nset-cookie: a=1\r\nset-cookie: b=2\r\n"


# Bounds


def long_head(size: int) -> bytes:
    start = b"HTTP/1.1 200 OK\r\nA: "
    return start + b"b" * (size - len(start) - 4) + b"\r\n\r\n"


def long_reason(size: int) -> bytes:
    return b"HTTP/1.1 200 " + b"b" * (size - 17) + b"\r\n\r\n"


@pytest.mark.parametrize("whole", [long_head, long_reason])
def test_head_of_256_KiB_is_accepted_and_one_byte_more_rejected(
    whole: Callable[[int], bytes],
) -> None:
    assert MAX_HEAD == 256 * 1024
    parse(whole(MAX_HEAD))
    parse(whole(MAX_HEAD + 1).replace(b"\r\n", b"\n", 1))
    for size in range(MAX_HEAD + 1, MAX_HEAD + 8):
        with pytest.raises(ParserError, match="the response is longer than 262144 bytes"):
            parse_response_head(whole(size))
        assert parse_response_head(whole(size)[:MAX_HEAD]) is None


def test_trailers_of_64_kib_are_accepted_and_one_byte_more_rejected() -> None:
    def trailers(size: int) -> bytes:
        return b"A: " + b"b" * (size - 7) + b"\r\n\r\n"

    assert parse_trailers(trailers(fields.MAX_HEAD)) is not None
    for size in range(fields.MAX_HEAD + 1, fields.MAX_HEAD + 8):
        with pytest.raises(ParserError, match="the trailers are longer than 65536 bytes"):
            parse_trailers(trailers(size))


@pytest.mark.parametrize("more", [b"A: b\r\n", b" folded\r\n", b"A: b\n"])
def test_1000_fields_are_accepted_and_1001_rejected(more: bytes) -> None:
    assert MAX_FIELDS == 1000
    lines = b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" + more * (MAX_FIELDS - 1)
    parse(lines + b"\r\n")
    for end in (b"", b"\r\n"):
        with pytest.raises(ParserError, match="the response has more than 1000 field lines"):
            parse_response_head(lines + more + end)


@pytest.mark.parametrize("more", [b"A: b\r\n", b" folded\r\n"])
def test_256_trailer_lines_are_accepted_and_257_rejected(more: bytes) -> None:
    lines = b"A: b\r\n" + more * (fields.MAX_FIELDS - 1)
    assert parse_trailers(lines + b"\r\n") is not None
    for end in (b"", b"\r\n"):
        with pytest.raises(ParserError, match="the trailers have more than 256 lines"):
            parse_trailers(lines + more + end)


ENDLESS = [
    b"a" * (10 * MIB),
    b"\r\nA: " + b"a" * (10 * MIB),
    b"\r\n" + b"A" * (10 * MIB),
    b"\r\n" + b"A:\r\n" * (5 * MIB // 2),
    b"\r\nA:\r\n" + b" \r\n" * (10 * MIB // 3),
    b"\r\nA:" + b" " * (10 * MIB),
    b"\nA:" + b"\n A" * (5 * MIB // 2),
    b"\n" + b"A:\n" * (80 * 1024) + b"\n" * MIB,
]


@pytest.mark.parametrize("endless", ENDLESS, ids=lambda data: repr(data[:9]))
def test_W09_head_of_ten_megabytes_is_rejected_without_parsing_all_of_it(endless: bytes) -> None:
    data = b"HTTP/1.1 200 " + endless
    tracemalloc.start()
    try:
        with pytest.raises(ParserError, match=r"longer than 262144 bytes|more than 1000 field"):
            parse_response_head(data)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 16 * MIB


MALICIOUS_HEADS: dict[str, Callable[[int], bytes]] = {
    "spaces and a fold": lambda size: b"A: a" + b" " * size + b"b\r\n c\r\n\r\n",
    "tabs and spaces": lambda size: b"A: a" + b"\t " * (size // 2) + b"b\r\n\r\n",
    "allow_folds": lambda size: b"A: a\r\n" + b" f\r\n" * (size // 300) + b"a" * size + b"\r\n\r\n",
    "lines": lambda size: (b"A: a" + b" " * 240 + b"\r\n") * (size // 250) + b"\r\n",
    "a name": lambda size: b"a" * size,
    "a blank value": lambda size: b"A:" + b" " * size,
    "bare LF": lambda size: b"A: b\n" + b" f\n" * (size // 300) + b"a" * size + b"\n\n",
}


@pytest.mark.parametrize("kind", MALICIOUS_HEADS)
def test_long_head_takes_linear_time(kind: str) -> None:
    def parse(fields: bytes) -> None:
        try:
            result = parse_response_head(b"HTTP/1.1 200 OK\r\n" + fields)
            if result is not None:
                result[0].headers.pairs()
        except restkit.Error:
            pass

    assert_linear(parse, MALICIOUS_HEADS[kind], 8000)


def test_W09_head_in_small_parts_is_rejected_at_its_bound() -> None:
    held = b""
    with pytest.raises(ParserError, match="longer than"):
        for part in in_parts(long_head(2 * MIB), 1024):
            held += part
            assert parse_response_head(held) is None
    assert len(held) == MAX_HEAD + 1024


# Written heads


def test_request_head_is_encoded_unchanged() -> None:
    lines = "Host: example.org\r\nX-Name: caf\xe9\r\nx-name: \r\n"
    assert encode_request_head("POST", "/a?b=c", lines) == (
        b"POST /a?b=c HTTP/1.1\r\nHost: example.org\r\nX-Name: caf\xe9\r\nx-name: \r\n\r\n"
    )
    assert encode_request_head("OPTIONS", "*", "") == b"OPTIONS * HTTP/1.1\r\n\r\n"
