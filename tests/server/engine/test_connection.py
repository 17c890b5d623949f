"""One connection without an accept loop, on one end of a socket pair."""

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

from restkit.server.engine.client_socket import DRAIN_SECONDS
from restkit.server.engine.connection import ClientConnection, Setup
from support.caller import get, post
from support.messages import LAST_CHUNK, chunks
from support.peer import HANG_BOUND


class Pair:
    """A ClientConnection and the client's end of its connection."""

    def __init__(self, app: Any, timeout: float = HANG_BOUND) -> None:
        self.client, server = socket.socketpair()
        self.client.settimeout(HANG_BOUND)
        setup = Setup(app, "http", "example.org", 8080, timeout)
        self.connection = ClientConnection(server, ("192.0.2.1", 4711), setup)

    def read_available(self) -> bytes:
        """Return what has arrived, without waiting."""
        self.client.settimeout(0)
        try:
            return self.client.recv(1 << 20)
        except BlockingIOError:
            return b""
        finally:
            self.client.settimeout(HANG_BOUND)

    def exchange(self, data: bytes) -> bytes:
        """Send data, do one step, and return the response."""
        self.client.sendall(data)
        self.connection.step()
        return self.read_available()


@contextmanager
def connect(app: Any, timeout: float = HANG_BOUND) -> Iterator[Pair]:
    pair = Pair(app, timeout)
    with pair.client:
        yield pair
        pair.connection.close()


def echo_path(environ, start_response):
    """Respond with method and path."""
    start_response("200 OK", [])
    return [f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}".encode()]


def echo_environ(environ, start_response):
    """Respond with the part of the environ that JSON can hold."""
    start_response("200 OK", [])
    plain = {name: value for name, value in environ.items() if isinstance(value, (str, bool))}
    return [json.dumps(plain).encode()]


def environ_of(request: bytes) -> dict[str, Any]:
    with connect(echo_environ) as pair:
        environ: dict[str, Any] = json.loads(pair.exchange(request).partition(b"\r\n\r\n")[2])
        return environ


# Steps


def test_step_with_nothing_to_read_does_nothing():
    with connect(echo_path) as pair:
        assert pair.connection.step()
        assert not pair.connection.has_data
        assert pair.read_available() == b""


@pytest.mark.parametrize("size", [1, 5])
def test_head_may_arrive_in_parts(size):
    request = get("/path")
    with connect(echo_path) as pair:
        for at in range(0, len(request), size):
            assert pair.read_available() == b""
            assert not pair.connection.has_data
            pair.client.sendall(request[at : at + size])
            assert pair.connection.step()
        assert pair.read_available().endswith(b"GET /path")


def test_pipelined_request_is_a_further_step():
    with connect(echo_path) as pair:
        first = pair.exchange(get("/1") + post("/2", b"body") + get("/3")[:-2])
        assert first.endswith(b"GET /1")
        assert pair.connection.has_data
        assert pair.connection.step()
        assert pair.read_available().endswith(b"POST /2")
        assert pair.connection.has_data
        assert pair.connection.step()
        assert not pair.connection.has_data
        assert pair.exchange(b"\r\n").endswith(b"GET /3")


def test_connection_ends_when_the_client_ends_it():
    with connect(echo_path) as pair:
        pair.client.shutdown(socket.SHUT_WR)
        assert not pair.connection.step()
        assert pair.read_available() == b""


def test_connection_ends_after_a_closing_response():
    with connect(echo_path) as pair:
        pair.client.sendall(get("/", "Connection: close"))
        assert not pair.connection.step()


def test_bytes_after_a_closing_response_are_discarded_until_the_client_ends():
    with connect(echo_path) as pair:
        pair.client.sendall(get("/", "Connection: close") + get("/2"))
        assert pair.connection.step()
        assert pair.read_available().endswith(b"GET /")
        pair.client.sendall(get("/3"))
        assert pair.connection.step()
        pair.client.shutdown(socket.SHUT_WR)
        assert not pair.connection.step()
        assert pair.read_available() == b""


def test_timeout_of_a_head_starts_with_its_first_byte():
    with connect(echo_path) as pair:
        idle = pair.connection.deadline
        pair.exchange(b"GET / HT")
        deadline = pair.connection.deadline
        assert idle < deadline <= monotonic() + HANG_BOUND
        pair.exchange(b"TP/1.1")
        assert pair.connection.deadline == deadline
        pair.exchange(b"\r\nHost: x\r\n\r\n")
        assert pair.connection.deadline > deadline


def test_silent_client_after_an_error_is_closed_after_the_drain_time():
    with connect(echo_path, timeout=1000.0) as pair:
        assert pair.exchange(b"BAD\r\n\r\n").startswith(b"HTTP/1.1 400 ")
        deadline = pair.connection.deadline
        assert deadline <= monotonic() + DRAIN_SECONDS
        pair.exchange(b"more")
        assert pair.connection.deadline == deadline


def test_repr_shows_the_state():
    with connect(echo_path) as pair:
        where = "<ClientConnection on <ClientSocket of 192.0.2.1:4711, {}>>"
        assert repr(pair.connection) == where.format("open")
        pair.connection.abort()
        assert repr(pair.connection) == where.format("cut off")
        assert not pair.connection.step()
        pair.connection.close()
        assert repr(pair.connection) == where.format("closed")


# Errors

INVALID = {
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


@pytest.mark.parametrize("request_", INVALID, ids=range(len(INVALID)))
def test_N21_invalid_request_gets_an_error_and_the_connection_ends(request_):
    with connect(echo_path) as pair:
        pair.client.sendall(request_)
        response = b""
        while not response:
            assert pair.connection.step()
            response = pair.read_available()
        head, _, text = response.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 %d " % INVALID[request_])
        assert head.endswith(b"\r\nConnection: close")
        assert b"\r\nContent-Length: %d\r\n" % len(text) in head
        assert text.endswith(b"\n")
        pair.client.sendall(get())
        pair.connection.step()
        assert pair.client.recv(100) == b""


def test_log_does_not_contain_the_value_of_an_invalid_field(caplog):
    caplog.set_level("DEBUG", "restkit.server")
    with connect(echo_path) as pair:
        response = pair.exchange(
            b"GET / HTTP/1.1\r\nHost: x\r\nAuthorization: Basic c2VjcmV0\0\r\n\r\n"
        )
        assert response.startswith(b"HTTP/1.1 400 ")
    assert "400 Bad Request" in caplog.text
    assert "c2VjcmV0" not in caplog.text


# The environ


def test_environ_is_that_of_PEP_3333():
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
def test_environ_of_a_head(request_, expected):
    environ = environ_of(request_)
    assert {name: environ.get(name) for name in expected} == expected


def test_repeated_equal_content_length_is_one():
    environ = environ_of(get("/", "Content-Length: 1", "Content-Length: 1") + b"x")
    assert environ["CONTENT_LENGTH"] == "1"


def test_environ_has_streams_and_flags():
    seen: dict[str, Any] = {}

    def app(environ, start_response):
        seen.update(environ)
        return echo_path(environ, start_response)

    with connect(app) as pair:
        pair.exchange(get())
    assert seen["wsgi.version"] == (1, 0)
    assert seen["wsgi.errors"] is sys.stderr
    assert isinstance(seen["wsgi.input"], io.BufferedReader)
    assert callable(seen["wsgi.file_wrapper"])


# PEP 3333, checked by wsgiref.validate


def read_body(environ, start_response):
    data = environ["wsgi.input"].read(1 << 20) + environ["wsgi.input"].readline(5)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [data, b"."]


def write_chunks(environ, start_response):
    write = start_response("200 OK", [("Content-Type", "text/plain")])
    write(b"one")
    return [b"two"]


def fail_after_start_response(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    try:
        raise KeyError("x")
    except KeyError:
        start_response("500 No", [("Content-Type", "text/plain")], sys.exc_info())
    return [b"failed"]


def send_wrapped_file(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return environ["wsgi.file_wrapper"](io.BytesIO(b"file"))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "app", [read_body, write_chunks, fail_after_start_response, send_wrapped_file]
)
def test_wsgiref_validator_finds_nothing(app, caplog):
    requests = [
        get("/a/b?c"),
        get("*", method="OPTIONS"),
        get("http://x/y"),
        b"GET / HTTP/1.0\r\n\r\n",
        post("/", b"body", "Content-Type: text/plain"),
        get("/", "Transfer-Encoding: chunked", method="POST") + chunks(b"x") + LAST_CHUNK,
    ]
    for request in requests:
        with connect(validator(app)) as pair:
            response = pair.exchange(request)
            expected = b"500 No" if app is fail_after_start_response else b"200 OK"
            assert response.startswith(b"HTTP/1.1 " + expected), response
    assert not caplog.records
