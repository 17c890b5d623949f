"""Request heads: accepted and rejected ones, with the status and the message of each error."""

from __future__ import annotations

import pickle

import pytest

from restkit.errors import ParserError
from restkit.http1.fields import MAX_HEAD
from restkit.http1.framing import keeps_alive
from restkit.http1.request_head import (
    MAX_METHOD,
    MAX_TARGET,
    MalformedRequest,
    RequestHead,
    parse_request_head,
)
from support.request_corpus import make_request


def parse(data: bytes) -> RequestHead:
    result = parse_request_head(data)
    assert result is not None
    head, end = result
    assert end == len(data)
    return head


def reject(data: bytes) -> tuple[int, str]:
    with pytest.raises(MalformedRequest) as caught:
        parse_request_head(data)
    return caught.value.response_status, str(caught.value)


# The request line

REQUEST_LINES = [
    (b"GET / HTTP/1.1", "GET", "/", 1, "/", "x"),
    (b"GET / HTTP/1.0", "GET", "/", 0, "/", "x"),
    (b"\r\nGET / HTTP/1.1", "GET", "/", 1, "/", "x"),
    (b"get /a?b=c%20d HTTP/1.1", "get", "/a?b=c%20d", 1, "/a?b=c%20d", "x"),
    (b"A" * 32 + b" / HTTP/1.1", "A" * 32, "/", 1, "/", "x"),
    (b"!#$%&'*+-.^_`|~09 / HTTP/1.1", "!#$%&'*+-.^_`|~09", "/", 1, "/", "x"),
    (b"GET /caf\xc3\xa9 HTTP/1.1", "GET", "/caf\xc3\xa9", 1, "/caf\xc3\xa9", "x"),
    (b'GET /"{|}^`<>\\@ HTTP/1.1', "GET", '/"{|}^`<>\\@', 1, '/"{|}^`<>\\@', "x"),
    (b"GET //a://b HTTP/1.1", "GET", "//a://b", 1, "//a://b", "x"),
    (b"GET http://Y.z:80/a?b HTTP/1.1", "GET", "http://Y.z:80/a?b", 1, "/a?b", "y.z:80"),
    (b"GET HTTP://y HTTP/1.1", "GET", "HTTP://y", 1, "/", "y"),
    (b"GET https://y?q HTTP/1.1", "GET", "https://y?q", 1, "/?q", "y"),
    (b"GET http://[::1]:8/ HTTP/1.1", "GET", "http://[::1]:8/", 1, "/", "[::1]:8"),
    (b"GET http://y//z HTTP/1.1", "GET", "http://y//z", 1, "//z", "y"),
    (b"OPTIONS * HTTP/1.1", "OPTIONS", "*", 1, "*", "x"),
    (b"CONNECT Y:443 HTTP/1.1", "CONNECT", "Y:443", 1, "Y:443", "y:443"),
    (b"CONNECT [::1]:443 HTTP/1.1", "CONNECT", "[::1]:443", 1, "[::1]:443", "[::1]:443"),
]


@pytest.mark.parametrize(("line", "method", "target", "minor", "local", "host"), REQUEST_LINES)
def test_request_line_is_parsed(
    line: bytes, method: str, target: str, minor: int, local: str, host: str
) -> None:
    head = parse(line + b"\r\nHost: X\r\n\r\n")
    assert (head.method, head.target, head.minor) == (method, target, minor)
    assert (head.local_target, head.host) == (local, host)
    assert head.headers.pairs() == [("Host", "X")]
    assert repr(head) == f"<RequestHead {method} {target}>"


def line_error(quoted: str) -> str:
    return f"the request begins with {quoted}, not with a method, a target and HTTP/1.1"


OTHER_VERSION = "the HTTP version must be 1.1 or 1.0"
LONG_METHOD = f"the method is longer than {MAX_METHOD} bytes"
LONG_TARGET = f"the target is longer than {MAX_TARGET} bytes"

BAD_LINES = [
    (b"", 400, line_error("''")),
    (b"GET", 400, line_error("'GET'")),
    (b"GET /", 400, line_error("'GET /'")),
    (b" GET / HTTP/1.1", 400, line_error("' GET / HTTP/1.1'")),
    (b"GET  / HTTP/1.1", 400, line_error("'GET  / HTTP/1.1'")),
    (b"GET\t/ HTTP/1.1", 400, line_error(r"'GET\t/ HTTP/1.1'")),
    (b"GET /  HTTP/1.1", 400, line_error("'GET /  HTTP/1.1'")),
    (b"GET /a b HTTP/1.1", 400, line_error("'GET /a b HTTP/1.1'")),
    (b"GET / HTTP/1.1 ", 400, line_error("'GET / HTTP/1.1 '")),
    (b"GET / HTTP/1.10", 400, line_error("'GET / HTTP/1.10'")),
    (b"GET / HTTP/1", 400, line_error("'GET / HTTP/1'")),
    (b"GET / http/1.1", 400, line_error("'GET / http/1.1'")),
    (b"GET / ICE/1.0", 400, line_error("'GET / ICE/1.0'")),
    (b"G(T / HTTP/1.1", 400, line_error("'G(T / HTTP/1.1'")),
    (b"G\xe9T / HTTP/1.1", 400, line_error(r"'G\xe9T / HTTP/1.1'")),
    (b"GE\0T / HTTP/1.1", 400, line_error(r"'GE\x00T / HTTP/1.1'")),
    (b"GET /\0 HTTP/1.1", 400, line_error(r"'GET /\x00 HTTP/1.1'")),
    (b"GET /\x7f HTTP/1.1", 400, line_error(r"'GET /\x7f HTTP/1.1'")),
    (b"GET /\r HTTP/1.1", 400, line_error(r"'GET /\r HTTP/1.1'")),
    (b"GET / HTTP/1.1\r", 400, line_error(r"'GET / HTTP/1.1\r'")),
    (b"GET / HTTP/1.1\nA: b", 400, line_error(r"'GET / HTTP/1.1\nA: b'")),
    (b"GET /#a HTTP/1.1", 400, line_error("'GET /#a HTTP/1.1'")),
    (b"\n\nGET / HTTP/1.1", 400, line_error(r"'\n\nGET / HTTP/1.1'")),
    (b"\x16\x03\x01\x02\0\x01", 400, line_error(r"'\x16\x03\x01\x02\x00\x01'")),
    (b"HTTP/1.1 200 OK", 400, line_error("'HTTP/1.1 200 OK'")),
    (b"GET http://u:p@y/ HTTP/1.2.", 505, OTHER_VERSION),
    (b"GET / HTTP/0.9", 505, OTHER_VERSION),
    (b"GET / HTTP/2.0", 505, OTHER_VERSION),
    (b"GET / HTTP/2", 505, OTHER_VERSION),
    (b"GET / HTTP/3\0", 505, OTHER_VERSION),
    (b"PRI * HTTP/2.0", 505, OTHER_VERSION),
    (b"GET * HTTP/1.1", 400, "'*' is not a valid target for GET"),
    (b"GET a HTTP/1.1", 400, "'a' is not a valid target for GET"),
    (b"GET x:80 HTTP/1.1", 400, "'x:80' is not a valid target for GET"),
    (b"GET http:// HTTP/1.1", 400, "'http://' is not a valid target for GET"),
    (b"GET http:///a HTTP/1.1", 400, "'http:///a' is not a valid target for GET"),
    (b"GET http://:80/ HTTP/1.1", 400, "'http://:80/' is not a valid target for GET"),
    (b"GET http://y:z/ HTTP/1.1", 400, "'http://y:z/' is not a valid target for GET"),
    (b"GET http://y\\z/ HTTP/1.1", 400, r"'http://y\\z/' is not a valid target for GET"),
    (b"GET http://caf\xe9/ HTTP/1.1", 400, r"'http://caf\xe9/' is not a valid target for GET"),
    (b"GET http://u:p@y/ HTTP/1.1", 400, "'***@y/' is not a valid target for GET"),
    (b"GET http://u:p@y?q HTTP/1.1", 400, "'***@y?...' is not a valid target for GET"),
    (b"CONNECT / HTTP/1.1", 400, "'/' is not a valid target for CONNECT"),
    (b"CONNECT y HTTP/1.1", 400, "'y' is not a valid target for CONNECT"),
    (b"CONNECT y: HTTP/1.1", 400, "'y:' is not a valid target for CONNECT"),
    (b"CONNECT :1 HTTP/1.1", 400, "':1' is not a valid target for CONNECT"),
    (b"CONNECT y:123456 HTTP/1.1", 400, "'y:123456' is not a valid target for CONNECT"),
    (b"CONNECT http://y/ HTTP/1.1", 400, "'http://y/' is not a valid target for CONNECT"),
    (b"A" * (MAX_METHOD + 1) + b" / HTTP/1.1", 501, LONG_METHOD),
    (b"GET /" + b"a" * MAX_TARGET + b" HTTP/1.1", 414, LONG_TARGET),
    (b"GET /" + b"a" * MAX_HEAD + b" HTTP/1.1", 414, LONG_TARGET),
]


@pytest.mark.parametrize(("line", "status", "fault"), BAD_LINES, ids=range(len(BAD_LINES)))
def test_invalid_request_line_has_its_status(line: bytes, status: int, fault: str) -> None:
    for start in (b"", b"\r\n") if line else (b"\r\n",):
        assert reject(start + line + b"\r\nHost: x\r\n\r\n") == (status, fault)


@pytest.mark.parametrize(
    "beginning",
    [
        *(b"\n", b" ", b"\x16", b"G\0", b"GET\t", b"GET  ", b"GET /\0", b"GET /\r", b"GET /#"),
        *(b"GET / h", b"GET / HTTP/2", b"GET / HTTP/1.2", b"GET / HTTP/1.11", b"GET / HTTP/1.1\n"),
        *(b"GET / HTTP/1.1\r\r", b"GET a HTTP/1.1\r\n", b"\rG", b"\r\n\r\n", b"\r\n\n"),
        *(b"A" * (MAX_METHOD + 1), b"GET /" + b"a" * MAX_TARGET),
    ],
)
def test_invalid_request_line_is_rejected_at_the_first_wrong_byte(beginning: bytes) -> None:
    assert parse_request_head(beginning[:-1]) is None
    reject(beginning)


def test_target_of_maximal_length_is_accepted() -> None:
    head = parse(b"GET /" + b"a" * (MAX_TARGET - 1) + b" HTTP/1.1\r\nHost: x\r\n\r\n")
    assert len(head.target) == MAX_TARGET


def test_credentials_in_a_target_are_never_shown() -> None:
    head = parse(b"GET /a?token=secret&b=c HTTP/1.1\r\nHost: x\r\n\r\n")
    assert repr(head) == "<RequestHead GET /a?token=***&b=c>"
    for line in (b"GET /?token=secret", b"GET http://me:secret@x/ HTTP/1.1\n"):
        assert "secret" not in reject(line + b"\r\n")[1]


# Fields

CONTROLS = [*range(1, 9), 11, 12, *range(14, 32), 127]
FIELDS = [
    (b"A: b", [("A", "b")]),
    (b"A:b", [("A", "b")]),
    (b"A: \t b \t ", [("A", "b")]),
    (b"A:", [("A", "")]),
    (b"A: b\r\na: c", [("A", "b"), ("a", "c")]),
    (b"A: caf\xe9\tb \x80\x85\xff", [("A", "caf\xe9\tb \x80\x85\xff")]),
]
BAD_FIELDS = [
    (b"A b", "has no colon: 'A ...'"),
    (b"A : b", "has a space before its colon: 'A :...'"),
    (b"A\t: b", r"has a space before its colon: 'A\t:...'"),
    (b": b", "has an invalid name: ':...'"),
    (b"A b: c", "has an invalid name: 'A ...'"),
    (b"\xe9: c", r"has an invalid name: '\xe9:...'"),
    (b"A: b\0c", "has a NUL: 'A:...'"),
    (b"A: b\rc", "has a bare CR: 'A:...'"),
    (b"A: b\r", "has a bare CR: 'A:...'"),
    (b"A: b\nC: d", "has a bare LF: 'A:...'"),
    (b"A: b\n", "has a bare LF: 'A:...'"),
    (b"\n", r"has a bare LF: '\n'"),
    *((b"A: b%cc" % code, "has a control character: 'A:...'") for code in CONTROLS),
    (b" b", "is folded; a field must be on one line"),
    (b"\tContent-Length: 5", "is folded; a field must be on one line"),
    (b" ", "is folded; a field must be on one line"),
    (b"Authorization : Basic secret", "has a space before its colon: 'Authorization :...'"),
]


@pytest.mark.parametrize(("fields", "pairs"), FIELDS)
def test_fields_are_parsed(fields: bytes, pairs: list[tuple[str, str]]) -> None:
    head = parse(make_request(fields))
    assert head.headers.pairs() == [("Host", "x"), *pairs]
    assert head.headers is head.headers
    assert head.lowered == b"\r\nhost: x\r\n" + fields.lower() + b"\r\n"


@pytest.mark.parametrize(("line", "fault"), BAD_FIELDS)
def test_invalid_field_is_named_with_its_line(line: bytes, fault: str) -> None:
    assert reject(make_request(line)) == (400, f"line 3 of the head {fault}")
    assert reject(make_request(b"Fine: yes", line)) == (400, f"line 4 of the head {fault}")


def test_head_cannot_begin_with_a_fold() -> None:
    fault = "line 2 of the head is folded, but there is no field before it"
    assert reject(b"GET / HTTP/1.1\r\n Host: x\r\n\r\n") == (400, fault)


HOSTS = [
    *(
        b"",
        b"x",
        b"X:80",
        b"x:",
        b"[::1]:80",
        b"[v1.a:b]",
        b"a_b.c-d~e",
        b"%41",
        b"a,b;c='d'!$&()*+",
    ),
    *(b"127.0.0.1:8000", b"x\t "),
]
NO_HOSTS = [
    *(b"x y", b"u@x", b"x/", b"http://x", b"x:y", b"x:80:80", b"[::1", b"::1", b"%4", b"caf\xe9"),
    *(b"x#", b"x?", b"x\\", b'"x"', b"[]", b"[x]", b"\x80", b"x, y"),
]


@pytest.mark.parametrize("host", HOSTS)
def test_host_is_read_in_any_case(host: bytes) -> None:
    assert parse(b"GET / HTTP/1.1\r\nhOST:%b\r\n\r\n" % host).host == host.lower().strip().decode()


@pytest.mark.parametrize("host", NO_HOSTS)
def test_invalid_host_is_rejected(host: bytes) -> None:
    fault = "the Host field must be a name or an address, with or without port"
    for line in (b"GET / HTTP/1.1", b"GET / HTTP/1.0", b"GET http://y/ HTTP/1.1"):
        assert reject(line + b"\r\nHost: %b\r\n\r\n" % host) == (400, fault)


def test_exactly_one_host_is_required() -> None:
    fault = "the request must have one Host field; it has {}"
    for target in (b"/", b"http://y/"):
        assert reject(b"GET %b HTTP/1.1\r\nX-Host: x\r\n\r\n" % target) == (
            400,
            fault.format("none"),
        )
        for minor in (b"0", b"1"):
            twice = b"GET %b HTTP/1.%b\r\nHost: x\r\nhost: x\r\n\r\n" % (target, minor)
            assert reject(twice) == (400, fault.format(2))
    assert parse(b"GET / HTTP/1.0\r\n\r\n").host is None
    assert parse(b"GET http://y HTTP/1.0\r\n\r\n").host == "y"


EXPECTATIONS = [
    ([b"Expect: 100-continue"], 1, True),
    ([b"expect:100-Continue\t"], 1, True),
    ([b"Expect: x=y, 100-continue"], 1, True),
    ([b"Expect: x", b"Expect: 100-continue"], 1, True),
    ([b"Expect: 100-continue"], 0, False),
    ([b"Expect: 100-continued"], 1, False),
    ([b"X-Expect: 100-continue"], 1, False),
    ([], 1, False),
]


@pytest.mark.parametrize(("fields", "minor", "expects"), EXPECTATIONS)
def test_N24_expect_100_continue_is_recognized(
    fields: list[bytes], minor: int, expects: bool
) -> None:
    head = parse(make_request(*fields, line=b"POST / HTTP/1.%d" % minor))
    assert head.expects_continue is expects


def test_keeps_alive_accepts_a_request_head() -> None:
    for line, fields, stays in [
        (b"GET / HTTP/1.1", [], True),
        (b"GET / HTTP/1.1", [b"Connection: close"], False),
        (b"GET / HTTP/1.1", [b"Connection: x, Close"], False),
        (b"GET / HTTP/1.0", [], False),
        (b"GET / HTTP/1.0", [b"Connection: keep-alive"], True),
    ]:
        assert keeps_alive(parse(make_request(*fields, line=line))) is stays


def test_malformed_request_is_a_parser_error_and_pickles() -> None:
    error = MalformedRequest("no", 501)
    assert isinstance(error, ParserError)
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), str(copy), copy.response_status) == (MalformedRequest, "no", 501)
    assert MalformedRequest("no").response_status == 400
