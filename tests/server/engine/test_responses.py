"""The exact bytes of responses on the embedded engine."""

from __future__ import annotations

import gzip
import io
import os
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import flask
import pytest

from restkit.server.serving import Server, serve
from support.caller import Caller, get, post, said_by

TEXT = [("Content-Type", "text/plain")]
PLAIN = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"
ERROR = (
    b"HTTP/1.1 500 Internal Server Error\r\nContent-Type: text/plain; charset=utf-8\r\n"
    b"Content-Length: 22\r\n\r\nInternal Server Error\n"
)
CLOSE = "Connection: close"


def respond_with(
    *items: Any, status: str = "200 OK", headers: Any = TEXT
) -> Callable[..., list[Any]]:
    """Return an application that returns a list."""

    def app(environ, start_response):
        start_response(status, list(headers))
        return list(items)

    return app


def generate(*items: Any, headers: Any = TEXT) -> Callable[..., Iterator[Any]]:
    """Return an application that is a generator; an exception among the items is raised."""

    def app(environ, start_response):
        start_response("200 OK", list(headers))
        for item in items:
            if isinstance(item, Exception):
                raise item
            yield item

    return app


@contextmanager
def connect(app: Callable[..., Iterable[bytes]]) -> Iterator[Caller]:
    with serve(app) as server, Caller(server.port) as client:
        yield client


def raw_response(app: Callable[..., Iterable[bytes]], request: bytes) -> bytes:
    with serve(app) as server:
        return said_by(server.port, request)


def length(size: int) -> tuple[str, str]:
    return ("Content-Length", str(size))


FRAMINGS = {
    "one item of a list": (respond_with(b"hello"), b"Content-Length: 5\r\n", b"hello"),
    "no item": (respond_with(), b"Content-Length: 0\r\n", b""),
    "only empty items": (respond_with(b"", b""), b"Content-Length: 0\r\n", b""),
    "several items": (
        respond_with(b"a", b"", b"bc"),
        b"Transfer-Encoding: chunked\r\n",
        b"1\r\na\r\n2\r\nbc\r\n0\r\n\r\n",
    ),
    "one item of a generator": (
        generate(b"hello"),
        b"Transfer-Encoding: chunked\r\n",
        b"5\r\nhello\r\n0\r\n\r\n",
    ),
    "a declared length": (
        generate(b"he", b"llo", headers=[length(5)]),
        b"Content-Length: 5\r\n",
        b"hello",
    ),
    "buffers": (
        respond_with(bytearray(b"a"), memoryview(b"bc")),
        b"Transfer-Encoding: chunked\r\n",
        b"1\r\na\r\n2\r\nbc\r\n0\r\n\r\n",
    ),
}


@pytest.mark.parametrize("name", FRAMINGS)
def test_framing_depends_on_what_is_known_of_the_body(name):
    app, field, body = FRAMINGS[name]
    with connect(app) as client:
        for _ in range(2):
            client.send(get())
            declared = b"" if name == "a declared length" else b"Content-Type: text/plain\r\n"
            expected = b"HTTP/1.1 200 OK\r\n" + declared + field + b"\r\n" + body
            assert client.read_answer() == expected


def test_write_sends_at_once_and_an_empty_one_sends_nothing():
    go_on = threading.Event()

    def app(environ, start_response):
        write = start_response("200 OK", TEXT)
        write(b"")
        write(b"one")
        go_on.wait(10)
        write(b"")
        write(b"two")
        return [b"three"]

    with connect(app) as client:
        client.send(get())
        head = PLAIN + b"Transfer-Encoding: chunked\r\n\r\n"
        assert client.read_head().startswith(PLAIN)
        assert client.read_exactly(8) == b"3\r\none\r\n"
        go_on.set()
        assert client.read_exactly(23) == b"3\r\ntwo\r\n5\r\nthree\r\n0\r\n\r\n"
        client.send(get())
        assert client.read_answer()[: len(head)] == head


def test_item_is_sent_before_the_next_is_requested():
    go_on = threading.Event()

    def app(environ, start_response):
        start_response("200 OK", [length(6)])
        yield b"one"
        go_on.wait(10)
        yield b"two"

    with connect(app) as client:
        client.send(get())
        client.read_head()
        assert client.read_exactly(3) == b"one"
        go_on.set()
        assert client.read_exactly(3) == b"two"


# Responses without a body

BODILESS = [
    ("HEAD", "200 OK", [b"hello"], [], b"Content-Length: 5\r\n"),
    ("HEAD", "200 OK", [b"hel", b"lo"], [], b""),
    ("HEAD", "200 OK", [], [], b""),
    ("HEAD", "200 OK", [], [length(7)], b"Content-Length: 7\r\n"),
    ("HEAD", "200 OK", [b"hello"], [length(5)], b"Content-Length: 5\r\n"),
    ("GET", "204 No Content", [], [], b""),
    ("GET", "204 No Content", [b"hello"], [length(5)], b""),
    ("GET", "304 Not Modified", [], [], b""),
    ("GET", "304 Not Modified", [b"hello"], [length(5)], b"Content-Length: 5\r\n"),
]


@pytest.mark.parametrize(("method", "status", "items", "headers", "fields"), BODILESS)
def test_response_without_a_body_has_none(method, status, items, headers, fields):
    with connect(respond_with(*items, status=status, headers=headers)) as client:
        for _ in range(2):
            client.send(get(method=method))
            expected = f"HTTP/1.1 {status}\r\n".encode() + fields + b"\r\n"
            assert client.read_answer(to_head=True) == expected


# HTTP/1.0


def test_N16_HTTP_1_0_gets_raw_bytes_and_a_close():
    response = raw_response(generate(b"a", b"bc"), get(version="1.0"))
    assert response == PLAIN + b"Connection: close\r\n\r\nabc"


def test_HTTP_1_0_keep_alive_if_the_length_is_known():
    with connect(respond_with(b"hello")) as client:
        for _ in range(2):
            client.send(get("/", "Connection: keep-alive", version="1.0"))
            fields = b"Content-Length: 5\r\nConnection: keep-alive\r\n\r\n"
            assert client.read_answer() == PLAIN + fields + b"hello"


def test_HTTP_1_0_is_closed_at_the_end_of_a_body_without_length():
    response = raw_response(generate(b"a", b"b"), get("/", "Connection: keep-alive", version="1.0"))
    assert response == PLAIN + b"Connection: close\r\n\r\nab"


def test_failed_body_without_length_is_reset():
    with connect(generate(b"part", KeyError("x"))) as client:
        client.send(get(version="1.0"))
        with pytest.raises(ConnectionResetError):
            client.read_to_end()


def test_body_without_length_is_reset_for_a_client_that_ended_too_early():
    def echo(environ, start_response):
        write = start_response("200 OK", [])
        while piece := environ["wsgi.input"].read1(100):
            write(piece)
        return []

    with connect(echo) as client:
        client.send(get("/", "Content-Length: 9", method="POST", version="1.0") + b"half")
        client.finish()
        with pytest.raises(ConnectionResetError):
            client.read_to_end()


# The connection


def test_connection_close_of_the_client_closes():
    response = raw_response(respond_with(b"hello"), get("/", CLOSE))
    assert response == PLAIN + b"Content-Length: 5\r\nConnection: close\r\n\r\nhello"


def test_pipelined_requests_are_handled_in_order():
    def app(environ, start_response):
        start_response("200 OK", [])
        return [environ["PATH_INFO"].encode() + environ["wsgi.input"].read()]

    with connect(app) as client:
        client.send(get("/1") + post("/2", b"two") + get("/3") + get("/4", CLOSE))
        for body in (b"/1", b"/2two", b"/3"):
            assert client.read_answer().endswith(b"\r\n\r\n" + body)
        assert client.read_answer().endswith(b"Connection: close\r\n\r\n/4")
        assert client.read_to_end() == b""


def test_date_of_the_application_replaces_the_servers():
    date = ("date", "Sun, 06 Nov 1994 08:49:37 GMT")
    with connect(respond_with(b"x", headers=[date])) as client:
        client.send(get())
        head = client.read_head()
        assert head.lower().count(b"\r\ndate:") == 1
        assert b"date: Sun, 06 Nov 1994 08:49:37 GMT\r\n" in head


# Wrong declared lengths


def test_fewer_bytes_than_declared_close_the_connection(caplog):
    response = raw_response(respond_with(b"hel", headers=[length(5)]), get())
    assert response == b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel"
    assert "2 bytes fewer than declared" in caplog.text


def test_more_bytes_than_declared_are_cut(caplog):
    with connect(respond_with(b"hel", b"lo", b"more", headers=[length(4)])) as client:
        for _ in range(2):
            client.send(get())
            assert client.read_answer() == b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nhell"
    assert "more bytes than declared" in caplog.text


# Heads that an application must not declare

WRONG_HEADS = [
    ("200 OK", [("X-A", "b\r\nSet-Cookie: evil=1")]),
    ("200 OK", [("X-A", "b\nc")]),
    ("200 OK", [("X-A", "b\0")]),
    ("200 OK", [("X-A\r\nEvil", "b")]),
    ("200 OK", [("X A", "b")]),
    ("200 OK", [("", "b")]),
    ("200 OK", [("X-A", "\u20ac")]),
    ("200 OK", [("X-A", b"bytes")]),
    ("200 OK", [(b"X-A", "bytes")]),
    ("200 OK", [("Content-Length", "+5")]),
    ("200 OK", [("Content-Length", "")]),
    ("200 OK", [length(5), length(5)]),
    ("200 OK", [("Connection", "close")]),
    ("200 OK", [("Transfer-Encoding", "chunked")]),
    ("200 OK", [("Keep-Alive", "5")]),
    ("200 OK", [("upgrade", "websocket")]),
    ("200 OK\r\nEvil: 1", []),
    ("200", []),
    ("OK 200", []),
    ("100 Continue", []),
    (200, []),
]


@pytest.mark.parametrize(("status", "headers"), WRONG_HEADS)
def test_invalid_head_is_a_500_without_details(status, headers, caplog):
    with connect(respond_with(b"hello", status=status, headers=headers)) as client:
        client.send(get())
        assert client.read_answer() == ERROR
        assert client.is_open()
    assert "the application failed" in caplog.text


def test_latin_1_text_is_sent_as_latin_1():
    response = raw_response(
        respond_with(b"", status="200 Très bien", headers=[("X-A", "é")]), get("/", CLOSE)
    )
    assert response.startswith("HTTP/1.1 200 Très bien\r\nX-A: é\r\n".encode("latin-1"))


# Applications that fail


def raise_at_once(environ, start_response):
    raise KeyError("secret")


def raise_after_start_response(environ, start_response):
    start_response("200 OK", [("X-Early", "1")])
    raise KeyError("secret")


def skip_start_response(environ, start_response):
    return [b"hello"]


def call_start_response_twice(environ, start_response):
    start_response("200 OK", [])
    start_response("200 OK", [])
    return [b"hello"]


def respond_with_text(environ, start_response):
    start_response("200 OK", [])
    return ["hello"]


CLEAN = [
    raise_at_once,
    raise_after_start_response,
    generate(KeyError("secret")),
    generate(b"", KeyError("secret")),
    skip_start_response,
    call_start_response_twice,
    respond_with_text,
    lambda environ, start_response: None,
]


@pytest.mark.parametrize("app", CLEAN)
def test_N15_error_before_the_first_byte_is_a_500(app, caplog):
    with connect(app) as client:
        client.send(get())
        assert client.read_answer() == ERROR
        assert client.is_open()
    assert "GET /: the application failed" in caplog.text
    assert caplog.records[0].name == "restkit.server"
    assert caplog.records[0].exc_info


def test_error_in_a_chunked_body_leaves_out_the_last_chunk():
    response = raw_response(generate(b"a", KeyError("secret")), get())
    assert response == PLAIN + b"Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n"


def test_error_in_a_sized_body_leaves_it_short():
    response = raw_response(generate(b"a", KeyError("secret"), headers=[length(3)]), get())
    assert response == b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\na"


def test_log_redacts_the_query_of_a_failed_request(caplog):
    with connect(raise_at_once) as client:
        client.send(get("/path?token=hidden"))
        client.read_answer()
    assert "hidden" not in caplog.text.partition("Traceback")[0]


def test_start_response_with_exc_info_replaces_an_unsent_head():
    def app(environ, start_response):
        start_response("200 OK", [("X-Early", "1")])
        try:
            raise KeyError("x")
        except KeyError:
            start_response("503 Busy", TEXT, sys.exc_info())
        return [b"busy"]

    response = raw_response(app, get("/", CLOSE))
    fields = b"Content-Type: text/plain\r\nContent-Length: 4\r\nConnection: close\r\n\r\n"
    assert response == b"HTTP/1.1 503 Busy\r\n" + fields + b"busy"


def test_start_response_with_exc_info_raises_after_the_head_was_sent(caplog):
    def app(environ, start_response):
        start_response("200 OK", TEXT)(b"part")
        try:
            raise KeyError("what went wrong")
        except KeyError:
            start_response("500 Oops", TEXT, sys.exc_info())
        return [b"never"]

    response = raw_response(app, get())
    assert response == PLAIN + b"Transfer-Encoding: chunked\r\n\r\n4\r\npart\r\n"
    assert "what went wrong" in caplog.text


class Closing:
    """An iterable that records that it was closed."""

    def __init__(self, *items: Any) -> None:
        self.items = items
        self.closed = threading.Event()

    def __iter__(self) -> Iterator[bytes]:
        for item in self.items:
            if isinstance(item, Exception):
                raise item
            yield item

    def close(self) -> None:
        assert not self.closed.is_set(), "closed twice"
        self.closed.set()


@pytest.mark.parametrize("items", [(b"a",), (), (KeyError("x"),), (b"a", KeyError("x"))])
def test_iterable_is_always_closed(items):
    closing = Closing(*items)

    def app(environ, start_response):
        start_response("200 OK", TEXT)
        return closing

    raw_response(app, get("/", CLOSE))
    assert closing.closed.is_set()


def test_iterable_is_closed_if_the_client_is_gone():
    closing = Closing(*[bytes(1 << 20)] * 1000)

    def app(environ, start_response):
        start_response("200 OK", TEXT)
        return closing

    with serve(app) as server, Caller(server.port) as client:
        client.send(get())
        client.read_head()
        client.reset()
        assert closing.closed.wait(10)


def test_error_of_close_leaves_a_complete_response_complete(caplog):
    class Failing(Closing):
        def close(self) -> None:
            raise KeyError("in close")

    def app(environ, start_response):
        start_response("200 OK", TEXT)
        return Failing(b"a", b"b")

    with connect(app) as client:
        client.send(get())
        assert client.read_answer().endswith(b"1\r\na\r\n1\r\nb\r\n0\r\n\r\n")
    assert "in close" in caplog.text


# Files


def wrap_file(open_it: Callable[[], Any], headers: Any = ()) -> Callable[..., Any]:
    def app(environ, start_response):
        start_response("200 OK", list(headers))
        return environ["wsgi.file_wrapper"](open_it())

    return app


def test_file_is_sent_from_its_position_and_closed(tmp_path):
    path = tmp_path / "data"
    path.write_bytes(b"0123456789")
    files = []

    def open_file():
        file = path.open("rb")
        assert file.read(3) == b"012"
        files.append(file)
        return file

    with connect(wrap_file(open_file)) as client:
        client.send(get())
        assert client.read_answer() == b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n3456789"
        client.send(get(method="HEAD"))
        response = client.read_answer(to_head=True)
        assert response == b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n"
        client.send(get("/", CLOSE, version="1.0"))
        assert client.read_to_end().endswith(b"\r\n\r\n3456789")
    assert [file.closed for file in files] == [True, True, True]


def test_declared_length_limits_a_file(tmp_path):
    path = tmp_path / "data"
    path.write_bytes(b"0123456789")
    with connect(wrap_file(lambda: path.open("rb"), [length(4)])) as client:
        client.send(get())
        assert client.read_answer().endswith(b"\r\n\r\n0123")
        assert client.is_open()


@pytest.mark.parametrize("size", [70_000, 40 << 20])
def test_big_file_is_sent_completely(tmp_path, size):
    path = tmp_path / "data"
    block = os.urandom(1 << 16)
    data = (block * (size // len(block) + 1))[:size]
    path.write_bytes(data)
    with connect(wrap_file(lambda: path.open("rb"))) as client:
        client.send(get())
        head = client.read_head()
        assert b"Content-Length: %d\r\n" % size in head
        assert client.read_body(head) == data
        assert client.is_open()


def test_file_that_shrinks_leaves_a_short_body(tmp_path, caplog):
    path = tmp_path / "data"
    path.write_bytes(bytes(48 << 20))
    with connect(wrap_file(lambda: path.open("rb"))) as client:
        client.send(get())
        client.read_head()
        os.truncate(path, 20 << 20)
        assert len(client.read_to_end()) < 48 << 20
    assert "fewer than declared" in caplog.text


def test_file_whose_descriptor_has_other_bytes_is_read(tmp_path):
    path = tmp_path / "data.gz"
    path.write_bytes(gzip.compress(b"unpacked"))
    with connect(wrap_file(lambda: gzip.open(path))) as client:
        client.send(get())
        assert client.read_answer().endswith(b"8\r\nunpacked\r\n0\r\n\r\n")


def make_memory_file() -> io.BytesIO:
    return io.BytesIO(b"hello")


def make_named_file() -> Any:
    file = tempfile.NamedTemporaryFile()  # noqa: SIM115  # the server closes it
    file.write(b"hello")
    file.flush()
    file.seek(0)
    return file


def make_unflushed_file() -> Any:
    file = tempfile.TemporaryFile()  # noqa: SIM115
    file.write(b"..hello")
    file.seek(2)
    return file


def make_pipe() -> Any:
    reading, writing = os.pipe()
    os.write(writing, b"hello")
    os.close(writing)
    return os.fdopen(reading, "rb")


@pytest.mark.parametrize(
    "open_it", [make_memory_file, make_named_file, make_unflushed_file, make_pipe]
)
def test_files_of_every_kind_are_sent(open_it):
    with connect(wrap_file(open_it)) as client:
        client.send(get())
        assert b"hello" in client.read_answer()
        assert client.is_open()


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="the system has no /proc")
def test_file_that_reports_size_0_is_read():
    with connect(wrap_file(lambda: open("/proc/self/status", "rb"))) as client:
        client.send(get())
        assert b"Threads:" in client.read_answer()


def test_flask_sends_a_range_of_a_file_and_closes_it(tmp_path):
    path = tmp_path / "data"
    path.write_bytes(bytes(1 << 20) + b"0123456789")
    app = flask.Flask("test")

    @app.get("/")
    def data():
        return flask.send_file(path)  # one that is not closed is a warning, and so an error

    with connect(app) as client:
        client.send(get("/", "Range: bytes=-5"))
        response = client.read_answer()
        assert response.startswith(b"HTTP/1.1 206 ")
        assert response.endswith(b"\r\n\r\n56789")
        client.send(get())
        assert client.read_answer().endswith(path.read_bytes())


def test_file_after_a_write_needs_a_declared_length(tmp_path):
    path = tmp_path / "data"
    path.write_bytes(b"world")

    def app(environ, start_response):
        start_response("200 OK", [length(10)])(b"hello")
        return environ["wsgi.file_wrapper"](path.open("rb"))

    with connect(app) as client:
        client.send(get())
        assert client.read_answer().endswith(b"\r\n\r\nhelloworld")


def test_file_after_a_chunk_is_chunked(tmp_path):
    path = tmp_path / "data"
    path.write_bytes(b"world")

    def app(environ, start_response):
        start_response("200 OK", [])(b"hello")
        return environ["wsgi.file_wrapper"](path.open("rb"))

    with connect(app) as client:
        client.send(get())
        assert client.read_answer().endswith(b"5\r\nhello\r\n5\r\nworld\r\n0\r\n\r\n")


def test_repr_of_a_server():
    with serve(respond_with(b"x")) as server:
        assert repr(server) == f"<Server at http://127.0.0.1:{server.port}, open>"
    assert repr(server) == f"<Server at http://127.0.0.1:{server.port}, closed>"
    assert isinstance(server, Server)
