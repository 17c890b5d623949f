"""Requests for comparing parsers: valid ones of any framing, nearly valid and invalid ones."""

from __future__ import annotations

from hypothesis import strategies as st

from support.response_corpus import CHUNKED, CHUNKS, FIVE, FRAMINGS, HELLO, SIZES
from support.wire_strategies import NAMES, chunked, damaged, sized

HOST = b"Host: x"


def make_request(*fields: bytes, line: bytes = b"POST / HTTP/1.1", body: bytes = b"") -> bytes:
    """Return a request with a Host and these fields."""
    return b"\r\n".join([line, HOST, *fields]) + b"\r\n\r\n" + body


LINES = [
    *(b"GET / HTTP/1.1", b"GET / HTTP/1.0", b"GET /a?b=c%20d&e HTTP/1.1", b"OPTIONS * HTTP/1.1"),
    *(b"GET http://x:80/a?b HTTP/1.1", b"GET http://x HTTP/1.1", b"GET HTTP://x?q HTTP/1.0"),
    *(
        b"CONNECT x:443 HTTP/1.1",
        b"CONNECT [::1]:443 HTTP/1.1",
        b"GET ftp://x/ HTTP/1.1",
        b"GET s3+a.b-c://x/ HTTP/1.1",
    ),
    *(b"GET /\xc3\xa9 HTTP/1.1", b'GET /{|}^`"<>\\ HTTP/1.1', b"GET //x HTTP/1.1"),
    *(b"GET http://[::1]:80/ HTTP/1.1", b"PROPFIND / HTTP/1.1", b"get / HTTP/1.1"),
    *(b"!#$%&'*+-.^_`|~09 / HTTP/1.1", b"A" * 32 + b" / HTTP/1.1", b"A" * 33 + b" / HTTP/1.1"),
    *(b"GET /" + b"a" * (count - 1) + b" HTTP/1.1" for count in (8192, 8193)),
    *(b"GET /#a HTTP/1.1", b"GET http://u:p@x/ HTTP/1.1", b"GET http:///a HTTP/1.1"),
    *(b"GET * HTTP/1.1", b"GET a HTTP/1.1", b"GET x:80 HTTP/1.1", b"CONNECT / HTTP/1.1"),
    *(b"CONNECT x HTTP/1.1", b"CONNECT http://x/ HTTP/1.1", b"CONNECT * HTTP/1.1"),
    *(b"CONNECT u@x:1 HTTP/1.1", b"CONNECT x: HTTP/1.1", b"CONNECT :1 HTTP/1.1"),
    *(b"GET  / HTTP/1.1", b"GET\t/ HTTP/1.1", b"GET / \tHTTP/1.1", b"GET /  HTTP/1.1"),
    *(b" GET / HTTP/1.1", b"GET / HTTP/1.1 ", b"GET /a b HTTP/1.1", b"GET HTTP/1.1"),
    *(b"GET /", b"GET", b"", b"GET / http/1.1", b"GET / HTTP/1.10", b"GET / HTTP/1.2"),
    *(b"GET / HTTP/2.0", b"PRI * HTTP/2.0", b"GET / HTTP/0.9", b"GET / HTTP/3", b"GET / ICE/1.0"),
    *(b"GET / HTTP/1", b"GET / HTTP/1.1X", b"G\xe9T / HTTP/1.1", b"G(T / HTTP/1.1"),
    *(b"GET /\0 HTTP/1.1", b"GET /\x01 HTTP/1.1", b"GET /\x7f HTTP/1.1", b"GET /\x0b HTTP/1.1"),
    *(b"GET /\r HTTP/1.1", b"GET / HTTP/1.1\r", b"GET / HTTP/1.1\nA: b", b"\x16\x03\x01\x02"),
    *(
        b"OPTIONS *a HTTP/1.1",
        b"CONNECT ",
        b"SOURCE / ICE/1.0",
        b"OPTIONS / RTSP/1.0",
        b"HTTP/1.1 200 OK",
        b"GE\0T / HTTP/1.1",
    ),
]
FIELDS = [
    *(b"A: b", b"A:b", b"A:", b"A: \t b \t ", b"A: b: c", b"A: b\r\na: c", b"!#$%&'*+-.^_`|~09: x"),
    *(b"A: caf\xe9", b"A: \x01", b"A: \x0b", b"A: \x7f", b"A: b\0", b"A: b\rc", b"A: b\nC: d"),
    *(b"A: b\r\n c", b"A:\r\n b", b"A: b\r\n ", b" A: b", b"A", b"A : b", b"A\t: b", b": b"),
    *(b"A b: c", b"\xe9: c", b"A(: c", b"A\0: b", b"Connection: close", b"Connection: keep-alive"),
    *(b"Expect: 100-continue", b"A: b\r", b"A: b\n", b"A: \r\n\tb", HOST, b"host: y"),
]
HOSTS = [
    *(b"x", b"X:80", b"x:", b"", b"[::1]:80", b"[v1.a:b]", b"a_b.c-d~e", b"%41", b"a,b", b"x\t "),
    *(b"x y", b"u@x", b"x/", b"http://x", b"x:y", b"x:80:80", b"[::1", b"%4", b"caf\xe9", b"x#"),
    *(b"x\\", b"x?", b'"x"', b"[x]", b"\x01", b"x, y"),
]
MESSAGES = [
    *(make_request(line=line) for line in LINES),
    *(make_request(field) for field in FIELDS),
    *(make_request(field, FIVE, body=b"hello") for field in FIELDS),
    *(b"GET / HTTP/1.1\r\n%b\r\n\r\n" % field for field in FIELDS),
    *(b"GET / HTTP/1.%d\r\nHost: %b\r\n\r\n" % (minor, host) for host in HOSTS for minor in (0, 1)),
    *(b"GET / HTTP/1.%d\r\n\r\n" % minor for minor in (0, 1)),
    *(make_request(*fields, body=b"hello") for fields in FRAMINGS),
    *(make_request(*fields, body=HELLO) for fields in FRAMINGS),
    *(make_request(*fields, line=b"POST / HTTP/1.0", body=HELLO) for fields in FRAMINGS),
    *(make_request(*fields, line=b"GET / HTTP/1.1", body=HELLO) for fields in FRAMINGS[:7]),
    *(make_request(*fields, line=b"CONNECT x:1 HTTP/1.1", body=HELLO) for fields in FRAMINGS[:7]),
    *(make_request(CHUNKED, body=size + b"\r\nhello\r\n0\r\n\r\n") for size in SIZES),
    *(make_request(CHUNKED, body=body) for body in CHUNKS),
    *(
        make_request(b"Transfer-Encoding: " + value, body=HELLO)
        for value in (b"gzip;q=1 , chunked",)
    ),
    *(
        make_request(b"Transfer-Encoding: " + value, body=HELLO)
        for value in (b", chunked", b"chunked,")
    ),
    *(make_request(*[b"A: b"] * count) for count in (255, 256)),
    *(make_request(b"A: " + b"b" * count) for count in (65000, 66000)),
    *(
        empty + make_request(FIVE, body=b"hello")
        for empty in (b"\r\n", b"\r\n\r\n", b"\n", b"\r", b" ")
    ),
    *(
        make_request(FIVE, body=body)
        for body in (b"hell", b"hello, and more", b"hello" + make_request())
    ),
    make_request(b"Connection: upgrade", b"Upgrade: x", body=b"hello"),
    make_request(b"Connection: upgrade", b"Upgrade: x", FIVE, body=b"hello, and more"),
    make_request(b"Connection: upgrade", b"Upgrade: x", FIVE, body=b"hell"),
    make_request().replace(b"\r\n", b"\n"),
    make_request()[:-2] + b"\n",
    *(make_request()[:end] for end in (1, 5, 15, 17, 20, 26)),
    b"",
]


METHODS = st.sampled_from([b"GET", b"POST", b"PUT", b"HEAD", b"DELETE", b"OPTIONS", b"PATCH"])
TARGETS = st.sampled_from([b"/", b"/a?b=c", b"/%7e", b"http://x/", b"http://x:8?q", b"/caf\xe9"])
VALUES = st.sampled_from([b"", b"a", b" b ", b"\tc\t", b"d, e", b'"f:g"', b"caf\xe9"])


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    """A valid request of any framing, sometimes with bytes after it."""
    fields = draw(st.lists(st.tuples(NAMES, VALUES), max_size=4))
    body, framing = draw(st.one_of(sized(), chunked(VALUES), st.just((b"", None))))
    fields.insert(
        draw(st.integers(0, len(fields))), (b"Host", draw(st.sampled_from([b"x", b" Y:8"])))
    )
    if framing:
        fields.insert(draw(st.integers(0, len(fields))), framing)
    lines = b"".join(b"%b:%b\r\n" % field for field in fields)
    empty = draw(st.sampled_from([b"", b"", b"", b"\r\n"]))
    message = b"%b%b %b HTTP/1.1\r\n%b\r\n%b" % (empty, draw(METHODS), draw(TARGETS), lines, body)
    return message + draw(st.sampled_from([b"", b"", b"", b"garbage", b"\r\n", message]))


def near_requests() -> st.SearchStrategy[bytes]:
    return damaged(requests())


ANY_REQUEST = st.one_of(*[near_requests()] * 3, st.binary(max_size=200))
