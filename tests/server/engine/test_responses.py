"""What leaves a server of ours for what a WSGI application does: exact bytes."""

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


def giving(*items: Any, status: str = "200 OK", headers: Any = TEXT) -> Callable[..., list[Any]]:
    """An application that gives a list."""

    def app(environ, start_response):
        start_response(status, list(headers))
        return list(items)

    return app


def generating(*items: Any, headers: Any = TEXT) -> Callable[..., Iterator[Any]]:
    """An application that is a generator; an exception among the items is raised."""

    def app(environ, start_response):
        start_response("200 OK", list(headers))
        for item in items:
            if isinstance(item, Exception):
                raise item
            yield item

    return app


@contextmanager
def talking(app: Callable[..., Iterable[bytes]]) -> Iterator[Caller]:
    with serve(app) as server, Caller(server.port) as client:
        yield client


def said(app: Callable[..., Iterable[bytes]], request: bytes) -> bytes:
    with serve(app) as server:
        return said_by(server.port, request)


def length(size: int) -> tuple[str, str]:
    return ("Content-Length", str(size))


FRAMINGS = {
    "one item of a list": (giving(b"hello"), b"Content-Length: 5\r\n", b"hello"),
    "no item": (giving(), b"Content-Length: 0\r\n", b""),
    "only empty items": (giving(b"", b""), b"Content-Length: 0\r\n", b""),
    "several items": (
        giving(b"a", b"", b"bc"),
        b"Transfer-Encoding: chunked\r\n",
        b"1\r\na\r\n2\r\nbc\r\n0\r\n\r\n",
    ),
    "one item of a generator": (
        generating(b"hello"),
        b"Transfer-Encoding: chunked\r\n",
        b"5\r\nhello\r\n0\r\n\r\n",
    ),
    "a declared length": (
        generating(b"he", b"llo", headers=[length(5)]),
        b"Content-Length: 5\r\n",
        b"hello",
    ),
    "buffers": (
        giving(bytearray(b"a"), memoryview(b"bc")),
        b"Transfer-Encoding: chunked\r\n",
        b"1\r\na\r\n2\r\nbc\r\n0\r\n\r\n",
    ),
}


@pytest.mark.parametrize("name", FRAMINGS)
def test_the_framing_is_what_is_known_of_the_body(name):
    app, field, body = FRAMINGS[name]
    with talking(app) as client:
        for _ in range(2):
            client.send(get())
            declared = b"" if name == "a declared length" else b"Content-Type: text/plain\r\n"
            expected = b"HTTP/1.1 200 OK\r\n" + declared + field + b"\r\n" + body
            assert client.read_answer() == expected


def test_a_write_leaves_at_once_and_an_empty_one_writes_nothing():
    go_on = threading.Event()

    def app(environ, start_response):
        write = start_response("200 OK", TEXT)
        write(b"")
        write(b"one")
        go_on.wait(10)
        write(b"")
        write(b"two")
        return [b"three"]

    with talking(app) as client:
        client.send(get())
        head = PLAIN + b"Transfer-Encoding: chunked\r\n\r\n"
        assert client.read_head().startswith(PLAIN)
        assert client.read_exactly(8) == b"3\r\none\r\n"
        go_on.set()
        assert client.read_exactly(23) == b"3\r\ntwo\r\n5\r\nthree\r\n0\r\n\r\n"
        client.send(get())
        assert client.read_answer()[: len(head)] == head


def test_an_item_leaves_before_the_next_is_asked_for():
    go_on = threading.Event()

    def app(environ, start_response):
        start_response("200 OK", [length(6)])
        yield b"one"
        go_on.wait(10)
        yield b"two"

    with talking(app) as client:
        client.send(get())
        client.read_head()
        assert client.read_exactly(3) == b"one"
        go_on.set()
        assert client.read_exactly(3) == b"two"


# Bodies that must not be

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
def test_what_has_no_body_gets_none(method, status, items, headers, fields):
    with talking(giving(*items, status=status, headers=headers)) as client:
        for _ in range(2):
            client.send(get(method=method))
            expected = f"HTTP/1.1 {status}\r\n".encode() + fields + b"\r\n"
            assert client.read_answer(to_head=True) == expected


# HTTP/1.0


def test_N16_HTTP_1_0_gets_raw_bytes_and_a_close():
    answer = said(generating(b"a", b"bc"), get(version="1.0"))
    assert answer == PLAIN + b"Connection: close\r\n\r\nabc"


def test_HTTP_1_0_is_kept_open_when_it_asks_and_the_length_is_known():
    with talking(giving(b"hello")) as client:
        for _ in range(2):
            client.send(get("/", "Connection: keep-alive", version="1.0"))
            fields = b"Content-Length: 5\r\nConnection: keep-alive\r\n\r\n"
            assert client.read_answer() == PLAIN + fields + b"hello"


def test_HTTP_1_0_is_not_kept_open_when_only_the_end_ends_the_body():
    answer = said(generating(b"a", b"b"), get("/", "Connection: keep-alive", version="1.0"))
    assert answer == PLAIN + b"Connection: close\r\n\r\nab"


def test_a_body_that_only_the_end_ends_is_broken_off_by_a_reset():
    with talking(generating(b"part", KeyError("x"))) as client:
        client.send(get(version="1.0"))
        with pytest.raises(ConnectionResetError):
            client.read_to_end()


def test_a_body_that_only_the_end_ends_is_broken_off_for_a_client_that_ended_too_early():
    def echo(environ, start_response):
        write = start_response("200 OK", [])
        while piece := environ["wsgi.input"].read1(100):
            write(piece)
        return []

    with talking(echo) as client:
        client.send(get("/", "Content-Length: 9", method="POST", version="1.0") + b"half")
        client.finish()
        with pytest.raises(ConnectionResetError):
            client.read_to_end()


# The connection


def test_a_client_that_wants_it_closed_gets_it_closed():
    answer = said(giving(b"hello"), get("/", CLOSE))
    assert answer == PLAIN + b"Content-Length: 5\r\nConnection: close\r\n\r\nhello"


def test_pipelined_requests_are_answered_in_order():
    def app(environ, start_response):
        start_response("200 OK", [])
        return [environ["PATH_INFO"].encode() + environ["wsgi.input"].read()]

    with talking(app) as client:
        client.send(get("/1") + post("/2", b"two") + get("/3") + get("/4", CLOSE))
        for body in (b"/1", b"/2two", b"/3"):
            assert client.read_answer().endswith(b"\r\n\r\n" + body)
        assert client.read_answer().endswith(b"Connection: close\r\n\r\n/4")
        assert client.read_to_end() == b""


def test_the_applications_own_date_is_the_only_one():
    date = ("date", "Sun, 06 Nov 1994 08:49:37 GMT")
    with talking(giving(b"x", headers=[date])) as client:
        client.send(get())
        head = client.read_head()
        assert head.lower().count(b"\r\ndate:") == 1
        assert b"date: Sun, 06 Nov 1994 08:49:37 GMT\r\n" in head


# Lengths that are declared and not kept


def test_fewer_bytes_than_declared_break_the_connection(caplog):
    answer = said(giving(b"hel", headers=[length(5)]), get())
    assert answer == b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel"
    assert "2 bytes fewer than it had declared" in caplog.text


def test_more_bytes_than_declared_are_cut(caplog):
    with talking(giving(b"hel", b"lo", b"more", headers=[length(4)])) as client:
        for _ in range(2):
            client.send(get())
            assert client.read_answer() == b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nhell"
    assert "more bytes than it had declared" in caplog.text


# What an application may not declare

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
def test_a_head_that_cannot_go_out_is_a_500_that_says_nothing_of_it(status, headers, caplog):
    with talking(giving(b"hello", status=status, headers=headers)) as client:
        client.send(get())
        assert client.read_answer() == ERROR
        assert client.is_open()
    assert "the application failed" in caplog.text


def test_text_of_latin_1_goes_out_as_latin_1():
    answer = said(giving(b"", status="200 Très bien", headers=[("X-A", "é")]), get("/", CLOSE))
    assert answer.startswith("HTTP/1.1 200 Très bien\r\nX-A: é\r\n".encode("latin-1"))


# Applications that fail


def raising_at_once(environ, start_response):
    raise KeyError("secret")


def raising_behind_start_response(environ, start_response):
    start_response("200 OK", [("X-Early", "1")])
    raise KeyError("secret")


def without_start_response(environ, start_response):
    return [b"hello"]


def twice(environ, start_response):
    start_response("200 OK", [])
    start_response("200 OK", [])
    return [b"hello"]


def text(environ, start_response):
    start_response("200 OK", [])
    return ["hello"]


CLEAN = [
    raising_at_once,
    raising_behind_start_response,
    generating(KeyError("secret")),
    generating(b"", KeyError("secret")),
    without_start_response,
    twice,
    text,
    lambda environ, start_response: None,
]


@pytest.mark.parametrize("app", CLEAN)
def test_N15_what_fails_before_the_first_byte_is_a_clean_500(app, caplog):
    with talking(app) as client:
        client.send(get())
        assert client.read_answer() == ERROR
        assert client.is_open()
    assert "GET /: the application failed" in caplog.text
    assert caplog.records[0].name == "restkit.server"
    assert caplog.records[0].exc_info


def test_what_fails_behind_the_first_byte_of_chunks_is_never_ended():
    answer = said(generating(b"a", KeyError("secret")), get())
    assert answer == PLAIN + b"Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n"


def test_what_fails_in_a_declared_length_stays_short():
    answer = said(generating(b"a", KeyError("secret"), headers=[length(3)]), get())
    assert answer == b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\na"


def test_the_log_has_no_query_of_a_request_that_failed(caplog):
    with talking(raising_at_once) as client:
        client.send(get("/path?token=hidden"))
        client.read_answer()
    assert "hidden" not in caplog.text.partition("Traceback")[0]


def test_start_response_takes_another_answer_with_exc_info_until_the_head_has_left():
    def app(environ, start_response):
        start_response("200 OK", [("X-Early", "1")])
        try:
            raise KeyError("x")
        except KeyError:
            start_response("503 Busy", TEXT, sys.exc_info())
        return [b"busy"]

    answer = said(app, get("/", CLOSE))
    fields = b"Content-Type: text/plain\r\nContent-Length: 4\r\nConnection: close\r\n\r\n"
    assert answer == b"HTTP/1.1 503 Busy\r\n" + fields + b"busy"


def test_start_response_raises_what_it_is_given_when_the_head_has_left(caplog):
    def app(environ, start_response):
        start_response("200 OK", TEXT)(b"part")
        try:
            raise KeyError("what went wrong")
        except KeyError:
            start_response("500 Oops", TEXT, sys.exc_info())
        return [b"never"]

    answer = said(app, get())
    assert answer == PLAIN + b"Transfer-Encoding: chunked\r\n\r\n4\r\npart\r\n"
    assert "what went wrong" in caplog.text


class Closing:
    """An iterable that remembers that it was closed."""

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
def test_the_iterable_is_closed_whatever_becomes_of_it(items):
    closing = Closing(*items)

    def app(environ, start_response):
        start_response("200 OK", TEXT)
        return closing

    said(app, get("/", CLOSE))
    assert closing.closed.is_set()


def test_the_iterable_is_closed_when_the_client_is_gone():
    closing = Closing(*[bytes(1 << 20)] * 1000)

    def app(environ, start_response):
        start_response("200 OK", TEXT)
        return closing

    with serve(app) as server, Caller(server.port) as client:
        client.send(get())
        client.read_head()
        client.reset()
        assert closing.closed.wait(10)


def test_an_error_of_close_behind_a_whole_answer_leaves_it_whole(caplog):
    class Failing(Closing):
        def close(self) -> None:
            raise KeyError("in close")

    def app(environ, start_response):
        start_response("200 OK", TEXT)
        return Failing(b"a", b"b")

    with talking(app) as client:
        client.send(get())
        assert client.read_answer().endswith(b"1\r\na\r\n1\r\nb\r\n0\r\n\r\n")
    assert "in close" in caplog.text


# Files


def wrapping(open_it: Callable[[], Any], headers: Any = ()) -> Callable[..., Any]:
    def app(environ, start_response):
        start_response("200 OK", list(headers))
        return environ["wsgi.file_wrapper"](open_it())

    return app


def test_a_file_goes_out_from_where_it_stands_and_is_closed(tmp_path):
    path = tmp_path / "data"
    path.write_bytes(b"0123456789")
    files = []

    def opened():
        file = path.open("rb")
        assert file.read(3) == b"012"
        files.append(file)
        return file

    with talking(wrapping(opened)) as client:
        client.send(get())
        assert client.read_answer() == b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n3456789"
        client.send(get(method="HEAD"))
        answer = client.read_answer(to_head=True)
        assert answer == b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n"
        client.send(get("/", CLOSE, version="1.0"))
        assert client.read_to_end().endswith(b"\r\n\r\n3456789")
    assert [file.closed for file in files] == [True, True, True]


def test_a_part_of_a_file_is_what_the_length_declares(tmp_path):
    path = tmp_path / "data"
    path.write_bytes(b"0123456789")
    with talking(wrapping(lambda: path.open("rb"), [length(4)])) as client:
        client.send(get())
        assert client.read_answer().endswith(b"\r\n\r\n0123")
        assert client.is_open()


@pytest.mark.parametrize("size", [70_000, 40 << 20])
def test_a_big_file_goes_out_whole(tmp_path, size):
    path = tmp_path / "data"
    block = os.urandom(1 << 16)
    data = (block * (size // len(block) + 1))[:size]
    path.write_bytes(data)
    with talking(wrapping(lambda: path.open("rb"))) as client:
        client.send(get())
        head = client.read_head()
        assert b"Content-Length: %d\r\n" % size in head
        assert client.read_body(head) == data
        assert client.is_open()


def test_a_file_that_shrinks_under_way_leaves_a_short_body(tmp_path, caplog):
    path = tmp_path / "data"
    path.write_bytes(bytes(48 << 20))
    with talking(wrapping(lambda: path.open("rb"))) as client:
        client.send(get())
        client.read_head()
        os.truncate(path, 20 << 20)
        assert len(client.read_to_end()) < 48 << 20
    assert "fewer than it had declared" in caplog.text


def test_a_file_whose_number_gives_other_bytes_is_read(tmp_path):
    path = tmp_path / "data.gz"
    path.write_bytes(gzip.compress(b"unpacked"))
    with talking(wrapping(lambda: gzip.open(path))) as client:
        client.send(get())
        assert client.read_answer().endswith(b"8\r\nunpacked\r\n0\r\n\r\n")


def in_memory() -> io.BytesIO:
    return io.BytesIO(b"hello")


def named() -> Any:
    file = tempfile.NamedTemporaryFile()  # noqa: SIM115  # the server closes it
    file.write(b"hello")
    file.flush()
    file.seek(0)
    return file


def unwritten() -> Any:
    file = tempfile.TemporaryFile()  # noqa: SIM115
    file.write(b"..hello")
    file.seek(2)
    return file


def pipe() -> Any:
    reading, writing = os.pipe()
    os.write(writing, b"hello")
    os.close(writing)
    return os.fdopen(reading, "rb")


@pytest.mark.parametrize("open_it", [in_memory, named, unwritten, pipe])
def test_files_of_every_kind_go_out(open_it):
    with talking(wrapping(open_it)) as client:
        client.send(get())
        assert b"hello" in client.read_answer()
        assert client.is_open()


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="the system has no /proc")
def test_a_file_that_says_size_0_is_read():
    with talking(wrapping(lambda: open("/proc/self/status", "rb"))) as client:
        client.send(get())
        assert b"Threads:" in client.read_answer()


def test_flask_sends_a_range_of_a_file_and_closes_it(tmp_path):
    path = tmp_path / "data"
    path.write_bytes(bytes(1 << 20) + b"0123456789")
    app = flask.Flask("test")

    @app.get("/")
    def data():
        return flask.send_file(path)  # one that is not closed is a warning, and so an error

    with talking(app) as client:
        client.send(get("/", "Range: bytes=-5"))
        answer = client.read_answer()
        assert answer.startswith(b"HTTP/1.1 206 ")
        assert answer.endswith(b"\r\n\r\n56789")
        client.send(get())
        assert client.read_answer().endswith(path.read_bytes())


def test_a_file_behind_something_written_needs_a_declared_length(tmp_path):
    path = tmp_path / "data"
    path.write_bytes(b"world")

    def app(environ, start_response):
        start_response("200 OK", [length(10)])(b"hello")
        return environ["wsgi.file_wrapper"](path.open("rb"))

    with talking(app) as client:
        client.send(get())
        assert client.read_answer().endswith(b"\r\n\r\nhelloworld")


def test_a_file_behind_a_chunk_is_chunks(tmp_path):
    path = tmp_path / "data"
    path.write_bytes(b"world")

    def app(environ, start_response):
        start_response("200 OK", [])(b"hello")
        return environ["wsgi.file_wrapper"](path.open("rb"))

    with talking(app) as client:
        client.send(get())
        assert client.read_answer().endswith(b"5\r\nhello\r\n5\r\nworld\r\n0\r\n\r\n")


def test_a_server_is_one_that_can_be_shown():
    with serve(giving(b"x")) as server:
        assert repr(server) == f"<Server at http://127.0.0.1:{server.port}, open>"
    assert repr(server) == f"<Server at http://127.0.0.1:{server.port}, closed>"
    assert isinstance(server, Server)
