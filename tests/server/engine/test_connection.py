"""One connection without an engine, on one end of a pair of sockets: heads, and what follows."""

from __future__ import annotations

import io
import json
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Any
from wsgiref.validate import validator

import pytest

from restkit.server.engine.connection import LINGER_SECONDS, ClientConnection, Setup
from support.caller import get, post
from support.messages import LAST_CHUNK, chunks
from support.peer import HANG_BOUND


class Pair:
    """A ClientConnection and the client's end of its connection."""

    def __init__(self, app: Any, timeout: float = HANG_BOUND) -> None:
        self.client, server = socket.socketpair()
        self.client.settimeout(HANG_BOUND)
        setup = Setup(app, "http", "example.org", 8080, timeout)
        self.conversation = ClientConnection(server, ("192.0.2.1", 4711), setup)

    def said(self) -> bytes:
        """What has come, without waiting."""
        self.client.settimeout(0)
        try:
            return self.client.recv(1 << 20)
        except BlockingIOError:
            return b""
        finally:
            self.client.settimeout(HANG_BOUND)

    def ask(self, data: bytes) -> bytes:
        """Send this, let one step be done, and read what it gave."""
        self.client.sendall(data)
        self.conversation.step()
        return self.said()


@contextmanager
def talking(app: Any, timeout: float = HANG_BOUND) -> Iterator[Pair]:
    pair = Pair(app, timeout)
    with pair.client:
        yield pair
        pair.conversation.close()


def naming(environ, start_response):
    """Answers with its method and path."""
    start_response("200 OK", [])
    return [f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}".encode()]


def telling(environ, start_response):
    """Answers with what of the environ is JSON."""
    start_response("200 OK", [])
    plain = {name: value for name, value in environ.items() if isinstance(value, (str, bool))}
    return [json.dumps(plain).encode()]


def environ_of(request: bytes) -> dict[str, Any]:
    with talking(telling) as pair:
        environ: dict[str, Any] = json.loads(pair.ask(request).partition(b"\r\n\r\n")[2])
        return environ


# Steps


def test_a_step_with_nothing_to_read_does_nothing():
    with talking(naming) as pair:
        assert pair.conversation.step()
        assert not pair.conversation.has_data
        assert pair.said() == b""


@pytest.mark.parametrize("size", [1, 5])
def test_a_head_may_come_in_pieces(size):
    request = get("/path")
    with talking(naming) as pair:
        for at in range(0, len(request), size):
            assert pair.said() == b""
            assert not pair.conversation.has_data
            pair.client.sendall(request[at : at + size])
            assert pair.conversation.step()
        assert pair.said().endswith(b"GET /path")


def test_what_came_behind_a_request_is_a_further_step():
    with talking(naming) as pair:
        first = pair.ask(get("/1") + post("/2", b"body") + get("/3")[:-2])
        assert first.endswith(b"GET /1")
        assert pair.conversation.has_data
        assert pair.conversation.step()
        assert pair.said().endswith(b"POST /2")
        assert pair.conversation.has_data
        assert pair.conversation.step()
        assert not pair.conversation.has_data
        assert pair.ask(b"\r\n").endswith(b"GET /3")


def test_the_end_of_the_client_is_the_end():
    with talking(naming) as pair:
        pair.client.shutdown(socket.SHUT_WR)
        assert not pair.conversation.step()
        assert pair.said() == b""


def test_a_closing_answer_is_the_end():
    with talking(naming) as pair:
        pair.client.sendall(get("/", "Connection: close"))
        assert not pair.conversation.step()


def test_what_came_behind_a_closing_answer_is_dropped_until_the_client_ends():
    with talking(naming) as pair:
        pair.client.sendall(get("/", "Connection: close") + get("/2"))
        assert pair.conversation.step()
        assert pair.said().endswith(b"GET /")
        pair.client.sendall(get("/3"))
        assert pair.conversation.step()
        pair.client.shutdown(socket.SHUT_WR)
        assert not pair.conversation.step()
        assert pair.said() == b""


def test_a_head_has_the_time_out_from_its_first_byte_on():
    with talking(naming) as pair:
        idle = pair.conversation.deadline
        pair.ask(b"GET / HT")
        deadline = pair.conversation.deadline
        assert idle < deadline <= monotonic() + HANG_BOUND
        pair.ask(b"TP/1.1")
        assert pair.conversation.deadline == deadline
        pair.ask(b"\r\nHost: x\r\n\r\n")
        assert pair.conversation.deadline > deadline


def test_a_refused_client_that_keeps_still_has_the_time_of_lingering_and_no_more():
    with talking(naming, timeout=1000.0) as pair:
        assert pair.ask(b"BAD\r\n\r\n").startswith(b"HTTP/1.1 400 ")
        deadline = pair.conversation.deadline
        assert deadline <= monotonic() + LINGER_SECONDS
        pair.ask(b"more")
        assert pair.conversation.deadline == deadline


def test_a_conversation_shows_its_state():
    with talking(naming) as pair:
        where = "<ClientConnection on <Channel of 192.0.2.1:4711, {}>>"
        assert repr(pair.conversation) == where.format("open")
        pair.conversation.abort()
        assert repr(pair.conversation) == where.format("cut off")
        assert not pair.conversation.step()
        pair.conversation.close()
        assert repr(pair.conversation) == where.format("closed")


# Refusals

REFUSED = {
    b"GET / HTTP/1.1\r\n\r\n": 400,
    b"GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n": 400,
    b"GET / HTTP/1.1\nHost: x\n\n": 400,
    b"GET / HTTP/1.1\r\nHost: x\r\nA : b\r\n\r\n": 400,
    b"GET / HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\n\r\n": 400,
    b"GET / HTTP/1.1\r\nHost: x\r\nA: \0\r\n\r\n": 400,
    b"\x16\x03\x01\x02\x00\x01": 400,
    b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n": 400,
    b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n": 400,
    b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: +5\r\n\r\n": 400,
    b"POST / HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n": 400,
    b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n": 501,
    b"CONNECT x:80 HTTP/1.1\r\nHost: x:80\r\n\r\n": 501,
    b"GET / HTTP/2.0\r\nHost: x\r\n\r\n": 505,
    b"GET /" + b"x" * 10_000: 414,
    b"GET / HTTP/1.1\r\nHost: x\r\n" + b"A: b\r\n" * 300 + b"\r\n": 431,
    b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"b" * 70_000: 431,
}


@pytest.mark.parametrize("request_", REFUSED, ids=range(len(REFUSED)))
def test_N21_what_is_no_request_is_refused_and_the_connection_ends(request_):
    with talking(naming) as pair:
        pair.client.sendall(request_)
        said = b""
        while not said:
            assert pair.conversation.step()
            said = pair.said()
        head, _, text = said.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 %d " % REFUSED[request_])
        assert head.endswith(b"\r\nConnection: close")
        assert b"\r\nContent-Length: %d\r\n" % len(text) in head
        assert text.endswith(b"\n")
        pair.client.sendall(get())
        pair.conversation.step()
        assert pair.client.recv(100) == b""


def test_the_log_does_not_say_what_a_refused_field_held(caplog):
    caplog.set_level("DEBUG", "restkit.server")
    with talking(naming) as pair:
        said = pair.ask(b"GET / HTTP/1.1\r\nHost: x\r\nAuthorization: Basic c2VjcmV0\0\r\n\r\n")
        assert said.startswith(b"HTTP/1.1 400 ")
    assert "400 Bad Request" in caplog.text
    assert "c2VjcmV0" not in caplog.text


# The environ


def test_the_environ_is_that_of_PEP_3333():
    request = post("/a%20b/%C3%A9?x=%20&y", b"12", "Content-Type: text/plain", "X-One: 1")
    assert environ_of(request) == {
        "SERVER_NAME": "example.org",
        "SERVER_PORT": "8080",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "SERVER_SOFTWARE": environ_of(get())["SERVER_SOFTWARE"],
        "GATEWAY_INTERFACE": "CGI/1.1",
        "REMOTE_ADDR": "192.0.2.1",
        "REMOTE_PORT": "4711",
        "REQUEST_METHOD": "POST",
        "SCRIPT_NAME": "",
        "PATH_INFO": "/a b/\u00c3\u00a9",
        "QUERY_STRING": "x=%20&y",
        "RAW_URI": "/a%20b/%C3%A9?x=%20&y",
        "REQUEST_URI": "/a%20b/%C3%A9?x=%20&y",
        "CONTENT_LENGTH": "2",
        "CONTENT_TYPE": "text/plain",
        "HTTP_HOST": "x",
        "HTTP_X_ONE": "1",
        "wsgi.url_scheme": "http",
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        "wsgi.input_terminated": True,
    }


ENVIRONS = [
    (get("/", "X-A: 1", "x-a: 2"), {"HTTP_X_A": "1,2"}),
    (get("/", "Cookie: a=1", "Cookie: b=2"), {"HTTP_COOKIE": "a=1; b=2"}),
    (get("/", "X_A: 1"), {"HTTP_X_A": None}),
    (get("/", "Content_Length: 1"), {"CONTENT_LENGTH": None, "HTTP_CONTENT_LENGTH": None}),
    (get("/", "X-A: \u00e9"), {"HTTP_X_A": "\u00e9"}),
    (get("/"), {"CONTENT_LENGTH": None, "CONTENT_TYPE": None, "QUERY_STRING": ""}),
    (get("/", "Content-Length: 0"), {"CONTENT_LENGTH": "0"}),
    (get("//x/../y;z=1"), {"PATH_INFO": "//x/../y;z=1"}),
    (get("/a%2Fb%00%zz"), {"PATH_INFO": "/a/b\0%zz"}),
    (get("/?a?b"), {"PATH_INFO": "/", "QUERY_STRING": "a?b"}),
    (get("*", method="OPTIONS"), {"PATH_INFO": "", "RAW_URI": "*"}),
    (
        get("http://Other.example:81/p?q", method="GET"),
        {
            "PATH_INFO": "/p",
            "QUERY_STRING": "q",
            "HTTP_HOST": "other.example:81",
            "RAW_URI": "http://Other.example:81/p?q",
            "wsgi.url_scheme": "http",
        },
    ),
    (get("http://other.example"), {"PATH_INFO": "/", "HTTP_HOST": "other.example"}),
    (b"GET / HTTP/1.0\r\n\r\n", {"HTTP_HOST": None, "SERVER_PROTOCOL": "HTTP/1.0"}),
    (get("/", "Proxy: http://evil"), {"HTTP_PROXY": "http://evil"}),
    (
        get("/", "Transfer-Encoding: chunked") + chunks(b"a") + LAST_CHUNK,
        {"CONTENT_LENGTH": None, "HTTP_TRANSFER_ENCODING": "chunked"},
    ),
]


@pytest.mark.parametrize(("request_", "expected"), ENVIRONS, ids=range(len(ENVIRONS)))
def test_what_of_a_head_is_where_in_the_environ(request_, expected):
    environ = environ_of(request_)
    assert {name: environ.get(name) for name in expected} == expected


def test_the_same_length_twice_is_one():
    environ = environ_of(get("/", "Content-Length: 1", "Content-Length: 1") + b"x")
    assert environ["CONTENT_LENGTH"] == "1"


def test_the_rest_of_the_environ_is_there():
    seen: dict[str, Any] = {}

    def app(environ, start_response):
        seen.update(environ)
        return naming(environ, start_response)

    with talking(app) as pair:
        pair.ask(get())
    assert seen["wsgi.version"] == (1, 0)
    assert seen["wsgi.errors"] is sys.stderr
    assert isinstance(seen["wsgi.input"], io.BufferedReader)
    assert callable(seen["wsgi.file_wrapper"])


# PEP 3333, as wsgiref.validate has it


def reading(environ, start_response):
    data = environ["wsgi.input"].read(1 << 20) + environ["wsgi.input"].readline(5)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [data, b"."]


def writing(environ, start_response):
    write = start_response("200 OK", [("Content-Type", "text/plain")])
    write(b"one")
    return [b"two"]


def failing(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    try:
        raise KeyError("x")
    except KeyError:
        start_response("500 No", [("Content-Type", "text/plain")], sys.exc_info())
    return [b"failed"]


def wrapping(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return environ["wsgi.file_wrapper"](io.BytesIO(b"file"))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("app", [reading, writing, failing, wrapping])
def test_the_validator_of_wsgiref_finds_nothing(app, caplog):
    requests = [
        get("/a/b?c"),
        get("*", method="OPTIONS"),
        get("http://x/y"),
        b"GET / HTTP/1.0\r\n\r\n",
        post("/", b"body", "Content-Type: text/plain"),
        get("/", "Transfer-Encoding: chunked", method="POST") + chunks(b"x") + LAST_CHUNK,
    ]
    for request in requests:
        with talking(validator(app)) as pair:
            said = pair.ask(request)
            expected = b"500 No" if app is failing else b"200 OK"
            assert said.startswith(b"HTTP/1.1 " + expected), said
    assert not caplog.records
