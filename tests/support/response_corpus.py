"""Responses for comparing parsers: valid, nearly valid, and invalid ones."""

from __future__ import annotations


def respond(*fields: bytes, line: bytes = b"HTTP/1.1 200 OK", body: bytes = b"") -> bytes:
    return b"\r\n".join([line, *fields]) + b"\r\n\r\n" + body


def chunked(body: bytes) -> bytes:
    return respond(b"Transfer-Encoding: chunked", body=body)


EMPTY = b"Content-Length: 0"
FIVE = b"Content-Length: 5"
CHUNKED = b"Transfer-Encoding: chunked"
HELLO = b"5\r\nhello\r\n0\r\n\r\n"

LINES = [
    *(b"HTTP/1.1 200 OK", b"HTTP/1.0 200 OK", b"HTTP/1.1 200 ", b"HTTP/1.1 200", b"HTTP/1.1 999 X"),
    *(b"HTTP/1.1  200 OK", b"HTTP/1.1\t200 OK", b" HTTP/1.1 200 OK", b"\r\nHTTP/1.1 200 OK"),
    *(
        b"HTTP/0.9 200 OK",
        b"HTTP/1.2 200 OK",
        b"HTTP/2.0 200 OK",
        b"HTTP/2 200",
        b"HTTP/3 200 OK",
        b"HTTP/9.1 200 OK",
        b"http/1.1 200 OK",
    ),
    *(b"HTTP/1.1 20", b"HTTP/1.1 2000 OK", b"HTTP/1.1 099 Low", b"HTTP/1.1 -99 Low", b"ICY 200 OK"),
    *(b"RTSP/1.0 200 OK", b"ICE/1.0 200 OK", b"HTTP/1.1 200OK", b"<html>", b"", b"\0"),
    *(b"HTTP/1.1 200 O\0K", b"HTTP/1.1 200 O\rK", b"HTTP/1.1 200 OK\r", b"HTTP/1.1 200 OK\nX: y"),
    *(
        b"HTTP/1.1 200 d\xe9j\xe0",
        b"HTTP/1.1 200 \x0b",
        b"HTTP/1.1 200 \x7f",
        b"HTTP/1.1 200 a  b ",
    ),
]
FIELDS = [
    *(b"A: b", b"A:b", b"A:", b"A: \t b \t ", b"A: b: c", b"A: b\r\na: c", b"!#$%&'*+-.^_`|~09: x"),
    *(b"A: caf\xe9", b"A: \x01", b"A: \x0b", b"A: \x7f", b"A: b\0", b"A: b\rc", b"A: b\nC: d"),
    *(b"A: b\r\n c", b"A: b \r\n\tc", b"A:\r\n b", b"A: b\r\n ", b" A: b", b"A", b"A : b", b": b"),
    *(
        b"A b: c",
        b"\xe9: c",
        b"A(: c",
        b"Connection: close",
        b"Connection: keep-alive",
        b"Upgrade: x",
    ),
]
FRAMINGS = [
    *([], [FIVE], [FIVE, FIVE], [FIVE, b"Content-Length: 6"], [FIVE, CHUNKED], [CHUNKED, FIVE]),
    [b"Content-Length: x", CHUNKED],
    *([CHUNKED], [CHUNKED, CHUNKED], [b"Transfer-Encoding: gzip", CHUNKED]),
    *(
        [b"Content-Length:%b" % value]
        for value in (b" 5, 5", b" 5, 6", b" 5, 05", b" 5,", b"", b" +5", b" -1")
    ),
    *(
        [b"Content-Length:%b" % value]
        for value in (b" 0x5", b" 5 5", b" 05", b"\t5\t", b" 5\r\n 5")
    ),
    *(
        [b"Content-Length:%b" % value]
        for value in (b"\r\n 5", b" 5\r\n ", b" 5.0", b" five", b" 5;")
    ),
    *([b"Content-Length: " + b"0" * zeros + b"5"] for zeros in (18, 19, 20)),
    *([b"Content-Length: 18446744073709551616"], [b"X-Content-Length: 5"]),
    *(
        [b"Transfer-Encoding: " + value]
        for value in (b"Chunked", b"chunked ", b"chunked\t", b"gzip")
    ),
    *([b"Transfer-Encoding: " + value] for value in (b"gzip, chunked", b"chunked, identity", b"")),
    *(
        [b"Transfer-Encoding: " + value]
        for value in (b"identity", b"chunked, chunked", b"xchunked")
    ),
    *([b"Transfer-Encoding:\r\n chunked"], [b"X: y\r\n Transfer-Encoding: chunked"]),
]
SIZES = [
    *(
        b"5",
        b"05",
        b"5;x",
        b"5;x=1",
        b'5;x="a;b"',
        b"5;",
        b"5 ;x",
        b"5; x = 1",
        b"5;x,y",
        b"5;x=1=2",
    ),
    *(b'5;x="a"b', b"5  ", b"5\t", b" 5", b"+5", b"-5", b"0x5", b"5_0", b"5 5", b"g", b"", b";x"),
    *(
        b"5;x\ry",
        b"5;x\r",
        b"5;x\0",
        b"5;x\ny",
        b"5\nhello",
        b"5;x\n",
        b"4",
        b"6",
        b"FFFFFFFFFFFFFFFF",
    ),
    *(b"0" * 15 + b"5", b"0" * 16 + b"5", b"0" * 30 + b"5", b"10000000000000000", b"5;\xe9"),
    *(b"5;" + b"x" * 4092, b"5;" + b"x" * 4093),
]
CHUNKS = [
    *(HELLO, HELLO[:-2], HELLO[:-4], HELLO[:7], HELLO + b"garbage", b"0\r\n\r\n", b"", b"\r\n"),
    *(
        b"5\r\nhello\n0\r\n\r\n",
        b"5\r\nhello0\r\n\r\n",
        b"5\r\nhello\r\n\r\n",
        b"5\r\nhello\r\n0\r\n\n",
    ),
    *(b"0\r\nA: b\r\n\r\n", b"0\r\nA: b\r\n c\r\n\r\n", b"0\r\nContent-Length: 5\r\n\r\n"),
    *(b"0\r\nTransfer-Encoding: gzip\r\n\r\n", b"0\r\nContent-Length: x\r\n\r\n"),
    *(b"0\r\nTransfer-Encoding: chunked\r\n\r\n", b"0\r\nA b\r\n\r\n", b"0\r\nA: b\nC: d\r\n\r\n"),
    *(b"0\r\n\nA: b\r\n\r\n", b"0\r\nA: \0\r\n\r\n", b"0 ;x\r\n\r\n", b"0\r\n A: b\r\n\r\n"),
]
INTERIM = [
    *(
        b"100 Continue",
        b"103 Early Hints\r\nA: b",
        b"103 X\r\nContent-Length: 5",
        b"102 X\r\nA: b\r\n c",
    ),
    *(b"103 X\r\nConnection: close", b"100 \x0b", b"199", b"103 X\r\nContent-Length: x"),
    *(b"104 X\r\nContent-Length: 5", b"199 X\r\nTransfer-Encoding: chunked"),
]
MESSAGES = [
    *(respond(EMPTY, line=line) for line in LINES),
    *(respond(EMPTY, field) for field in FIELDS),
    *(respond(field, EMPTY, body=b"garbage") for field in FIELDS),
    *(respond(*fields, body=b"hello") for fields in FRAMINGS),
    *(respond(*fields, body=HELLO) for fields in FRAMINGS),
    *(respond(*fields, line=b"HTTP/1.0 200 OK", body=HELLO) for fields in FRAMINGS),
    *(respond(*fields, line=b"HTTP/1.1 204 X") for fields in FRAMINGS),
    *(respond(*fields, line=b"HTTP/1.1 304 X", body=b"garbage") for fields in FRAMINGS),
    *(chunked(size + b"\r\nhello\r\n0\r\n\r\n") for size in SIZES),
    *(chunked(body) for body in CHUNKS),
    *(b"HTTP/1.1 %b\r\n\r\n" % line + respond(FIVE, body=b"hello") for line in INTERIM),
    *(b"HTTP/1.1 100 X\r\n\r\n" * count + respond(EMPTY) for count in (1, 32, 33)),
    *(respond(EMPTY, *[b"A: b"] * count) for count in (999, 1000)),
    *(respond(EMPTY, b"A: " + b"b" * count) for count in (262000, 263000)),
    respond(b"Connection: upgrade", b"Upgrade: x", line=b"HTTP/1.1 101 X", body=b"hello"),
    # Inputs that the fuzz targets found.
    b"HTTP/0.1 200 OK\r\n\r\n",
    b"HTTP/2.1 200 \x0b\r\n\r\n",
    b"HTTP/2.0 200 \0\r\n\r\n",
    b"HTTP/2.0 010 X\r\n\r\n",
    b"HTTP/2.0 199\r\n\r\n" + respond(FIVE, body=b"hello"),
    b"HTTP/2.1 204 X\r\nContent-Length: 5\xff\r\n\r\n",
    respond(EMPTY, b"A: b\t\n c"),
    respond(b"Transfer-Encoding: chunked\t", body=b"0\r\nA\r\n\r\n"),
    respond(EMPTY, b"Content-Length: 00"),
    *(respond(*fields, line=b"HTTP/1.1 101 X", body=b"hello") for fields in FRAMINGS[:3]),
    b"HTTP/1.0 100 Continue\r\n\r\n" + respond(FIVE, body=b"hello"),
    respond(FIVE, body=b"hell"),
    respond(FIVE, body=b"hello, and more"),
    respond(body=b"hello"),
    b"HTTP/1.1 200 OK\nContent-Length: 0\n\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 0\n\r\n",
    b"HTTP/1.1 200\nContent-Length: 0\n\n",
    b"HTTP/1.1 200 OK\nA: b\n c\nContent-Length: 5\n\nhello",
    b"HTTP/1.1 200 OK\nA: b\rc\nContent-Length: 5\n\nhello",
    b"HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n" + HELLO,
    b"HTTP/1.1 100 Continue\n\n" + respond(FIVE, body=b"hello"),
    b"HTTP/1.1 100 Continue\r\n\r\n",
    b"HTTP/1.1 200 OK\r\n",
    b"",
]
CORPUS = [
    *((data, "GET") for data in MESSAGES),
    *((respond(*fields), "HEAD") for fields in FRAMINGS),
    *((respond(*fields, body=b"hello"), "POST") for fields in FRAMINGS),
]
