"""The embedded engine and request smuggling: bytes after an error or a body are no request."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.echo import EarlyResponder, Echo, EchoServer, serve_echo
from support.raw_client import connect, parse_responses, read_to_end, send_all
from support.request_corpus import make_request


@pytest.fixture(scope="module")
def echo() -> Iterator[EchoServer]:
    with serve_echo(Echo()) as echo:
        yield echo


# Each of these is followed by a request that must never reach the application

SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
HELLO = b"5\r\nhello\r\n0\r\n\r\n"
CHUNKED = b"Transfer-Encoding: chunked"

HEADS = [
    ("CL and TE", make_request(b"Content-Length: 5", CHUNKED, body=HELLO), 400),
    ("TE and CL", make_request(CHUNKED, b"Content-Length: 5", body=HELLO), 400),
    ("two lengths", make_request(b"Content-Length: 5", b"Content-Length: 6", body=b"hello"), 400),
    ("a list of lengths", make_request(b"Content-Length: 5, 6", body=b"hello"), 400),
    ("two spellings", make_request(b"Content-Length: 5, 05", body=b"hello"), 400),
    ("+5", make_request(b"Content-Length: +5", body=b"hello"), 400),
    ("-1", make_request(b"Content-Length: -1", body=b"hello"), 400),
    ("0x5", make_request(b"Content-Length: 0x5", body=b"hello"), 400),
    ("a huge length", make_request(b"Content-Length: " + b"9" * 20), 400),
    ("a fold", make_request(b"A: b\r\n Content-Length: 5", body=b"hello"), 400),
    ("a folded length", make_request(b"Content-Length:\r\n 5", body=b"hello"), 400),
    ("a fold first", b"GET / HTTP/1.1\r\n Host: x\r\n\r\n", 400),
    ("a bare LF", make_request(b"A: b\nContent-Length: 5", body=b"hello"), 400),
    ("bare LFs only", make_request().replace(b"\r\n", b"\n"), 400),
    ("a bare LF at the end", make_request().removesuffix(b"\r\n") + b"\n", 400),
    ("a bare LF in the request line", make_request().replace(b"\r\n", b"\n", 1), 400),
    ("a bare CR", make_request(b"A: b\rContent-Length: 5", body=b"hello"), 400),
    ("a NUL", make_request(b"A: b\0"), 400),
    ("CL :", make_request(b"Content-Length : 5", body=b"hello"), 400),
    ("TE :", make_request(b"Transfer-Encoding : chunked", body=HELLO), 400),
    ("TE: gzip", make_request(b"Transfer-Encoding: gzip", body=HELLO), 400),
    ("TE: gzip, chunked", make_request(b"Transfer-Encoding: gzip, chunked", body=HELLO), 501),
    ("TE: chunked twice", make_request(CHUNKED, CHUNKED, body=HELLO), 400),
    ("TE: chunked, chunked", make_request(CHUNKED + b", chunked", body=HELLO), 400),
    ("TE: xchunked", make_request(b"Transfer-Encoding: xchunked", body=HELLO), 400),
    ("TE: VT chunked", make_request(b"Transfer-Encoding: \x0bchunked", body=HELLO), 400),
    ("TE in 1.0", make_request(CHUNKED, line=b"POST / HTTP/1.0", body=HELLO), 400),
    ("no Host", b"GET / HTTP/1.1\r\n\r\n", 400),
    ("two Hosts", make_request(b"Host: y"), 400),
    ("a Host that is none", b"GET / HTTP/1.1\r\nHost: x y\r\n\r\n", 400),
    ("HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    ("HTTP/2.0 in text", make_request(line=b"GET / HTTP/2.0"), 505),
    ("HTTP/2 in text", make_request(line=b"GET / HTTP/2"), 505),
    ("HTTP/1.7", make_request(line=b"GET / HTTP/1.7"), 505),
    ("HTTP/0.9", b"GET /\r\n", 400),
    ("a long target", make_request(line=b"GET /" + b"a" * 9000 + b" HTTP/1.1"), 414),
    ("a long head", make_request(b"A: " + b"b" * 70000), 431),
    ("many fields", make_request(*[b"A: b"] * 300), 431),
    ("CONNECT", make_request(line=b"CONNECT y:80 HTTP/1.1"), 501),
]


@pytest.mark.parametrize(
    ("message", "status"), [row[1:] for row in HEADS], ids=[row[0] for row in HEADS]
)
def test_N21_invalid_head_has_one_response_and_ends_the_connection(
    echo: EchoServer, message: bytes, status: int
) -> None:
    (response,) = parse_responses(echo.exchange([message, SMUGGLED], ends=False), [])
    assert response.status == status
    assert response.headers["connection"] == "close"
    assert echo.app.seen == []


SIZES_THAT_ARE_NONE = [
    *(b"0x5", b"+5", b"-1", b" 5", b"5 5", b"zz", b"", b"5_0", b";x", b"\xb2", b"5\0", b"5;\0"),
    *(b"1" * 17, b"F" * 17, b"0" * 20 + b"5", b"5;" + b"x" * 4096),
]


@pytest.mark.parametrize("size", SIZES_THAT_ARE_NONE, ids=lambda size: repr(size[:20]))
def test_N22_invalid_chunk_size_has_one_response_and_ends_the_connection(
    echo: EchoServer, size: bytes
) -> None:
    body = size + b"\r\nhello\r\n0\r\n\r\n"
    (response,) = parse_responses(
        echo.exchange([make_request(CHUNKED, body=body), SMUGGLED], ends=False), []
    )
    assert (response.status, response.headers["connection"]) == (400, "close")
    assert echo.app.seen == []


@pytest.mark.parametrize(
    "body", [b"5\r\nhello0\r\n\r\n", b"5\nhello\r\n0\r\n\r\n", b"4\r\nhello\r\n0\r\n\r\n"]
)
def test_N22_chunks_longer_than_their_size_have_one_response(echo: EchoServer, body: bytes) -> None:
    (response,) = parse_responses(
        echo.exchange([make_request(CHUNKED, body=body), SMUGGLED], ends=False), []
    )
    assert (response.status, response.headers["connection"]) == (400, "close")
    assert echo.app.seen == []


def test_incomplete_largest_chunk_is_no_body(echo: EchoServer) -> None:
    for size in (b"F" * 16, b"7" + b"F" * 15, b"80000000"):
        assert echo.exchange([make_request(CHUNKED, body=size + b"\r\nhello")]) == b""
        assert echo.app.seen == []


# Unread bodies

UNREAD = [
    *(SMUGGLED * count for count in (1, 3, 4000, 100_000)),
    b"0\r\n\r\n" + SMUGGLED,
    b"\r\n" * 5,
]


@pytest.fixture(scope="module")
def early() -> Iterator[EchoServer]:
    with serve_echo(EarlyResponder()) as early:
        yield early


@pytest.mark.parametrize("count", [b"no", b"1", b"10"])
@pytest.mark.parametrize("chunked", [True, False])
@pytest.mark.parametrize("body", UNREAD, ids=lambda body: f"{len(body)} bytes")
def test_unread_body_never_becomes_a_request(
    early: EchoServer, count: bytes, chunked: bool, body: bytes
) -> None:
    line = b"POST /%b HTTP/1.1" % count
    if chunked:
        first = make_request(CHUNKED, line=line, body=b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body))
    else:
        first = make_request(b"Content-Length: %d" % len(body), line=line, body=body)
    last = make_request(line=b"GET /last HTTP/1.1")
    responses = parse_responses(early.exchange([first, last, last]), [])
    targets = [seen.target for seen in early.app.seen]
    assert targets in ([f"/{count.decode()}", "/last", "/last"], [f"/{count.decode()}"])
    assert [response.status for response in responses] == [200] * len(targets)
    assert len(targets) == 3 or responses[-1].headers["connection"] == "close"


@pytest.mark.parametrize("rest", [b"zz\r\nhello", b"5\r\nhello0\r\n\r\n", b"0x5\r\n"])
def test_unread_invalid_body_ends_the_connection(early: EchoServer, rest: bytes) -> None:
    faulty = make_request(CHUNKED, line=b"POST /no HTTP/1.1", body=rest)
    (response,) = parse_responses(early.exchange([faulty, SMUGGLED]), [])
    assert (response.status, response.headers["connection"]) == (200, "close")
    assert [seen.target for seen in early.app.seen] == ["/no"]


def test_N24_no_request_follows_a_body_that_was_not_continued(early: EchoServer) -> None:
    """Bytes after the response are the body, or a request of a client that sends no body."""
    early.app.seen.clear()
    with connect(early.address) as sock:
        send_all(
            sock, [make_request(b"Content-Length: %d" % len(SMUGGLED), b"Expect: 100-continue")]
        )
        (response,) = parse_responses(read_to_end(sock), [])
        assert (response.status, response.headers["connection"]) == (200, "close")
        send_all(sock, [SMUGGLED, SMUGGLED])
        assert read_to_end(sock) == b""
    assert [seen.target for seen in early.app.seen] == ["/"]


@pytest.mark.parametrize("expectation", [b"100-continue", b"100-Continue", b"x"])
def test_N24_body_of_a_client_that_did_not_wait_is_no_request(
    echo: EchoServer, expectation: bytes
) -> None:
    head = make_request(b"Content-Length: %d" % len(SMUGGLED), b"Expect: " + expectation)
    responses = parse_responses(
        echo.exchange([head + SMUGGLED, make_request(line=b"GET /last HTTP/1.1")]), []
    )
    assert [response.status for response in responses] == [200, 200]
    assert [(seen.target, seen.body) for seen in echo.app.seen] == [("/", SMUGGLED), ("/last", b"")]
