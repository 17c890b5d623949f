"""Bodies of requests on the embedded engine: streaming both ways, complete or an error."""

from __future__ import annotations

import hashlib
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest

from restkit.errors import ClientDisconnected, ParserError
from restkit.server.engine.request_body import RequestFile
from restkit.server.serving import Server, serve
from support.caller import Caller, get, post
from support.memory import MIB, peak_memory
from support.messages import LAST_CHUNK, chunks, dechunk
from support.peer import HANG_BOUND

CLOSE = "Connection: close"
CHUNKED = "Transfer-Encoding: chunked"
EXPECT = "Expect: 100-continue"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


def chunked_post(*pieces: bytes, path: str = "/") -> bytes:
    return get(path, CHUNKED, method="POST") + chunks(*pieces) + LAST_CHUNK


def body_of(response: bytes) -> bytes:
    return response.partition(b"\r\n\r\n")[2]


class Reader:
    """An application that reads in a given way, responds with it, and records what was raised."""

    def __init__(self, read: Callable[[RequestFile], Any], *, status: str = "200 OK") -> None:
        self.read = read
        self.status = status
        self.raised: list[Exception] = []
        self.done = threading.Event()

    def __call__(self, environ, start_response):
        file = environ["wsgi.input"]
        try:
            data = self.read(file)
        except (ClientDisconnected, ParserError) as exc:
            self.raised.append(exc)
            try:
                file.read(1)
            except (ClientDisconnected, ParserError) as again:
                self.raised.append(again)
            self.done.set()
            raise
        start_response(self.status, [("Content-Type", "text/plain")])
        self.done.set()
        return [data]


def echo(environ, start_response):
    """Respond with each chunk at once."""
    write = start_response("200 OK", [("Content-Type", "application/octet-stream")])
    while piece := environ["wsgi.input"].read1(65536):
        write(piece)
    return []


def ignore_body(environ, start_response):
    """Respond without reading; the path may contain a status."""
    status = environ["PATH_INFO"].strip("/")
    start_response(f"{status} No" if status else "200 OK", [("X-Deaf", "1")])
    return [b"said"]


@contextmanager
def connect(app: Callable[..., Iterable[bytes]], **options: Any) -> Iterator[Caller]:
    with serve(app, **options) as server, Caller(server.port) as client:
        yield client


READS = {
    "read()": lambda file: file.read(),
    "read(n)": lambda file: b"".join(iter(lambda: file.read(3), b"")),
    "read(more)": lambda file: file.read(1 << 20) + file.read(1) + file.read(),
    "read1": lambda file: b"".join(iter(lambda: file.read1(4), b"")),
    "readline": lambda file: b"".join(iter(file.readline, b"")),
    "lines": b"".join,
    "readlines": lambda file: b"".join(file.readlines()),
}


@pytest.mark.parametrize("name", READS)
@pytest.mark.parametrize("cut", [None, 1, 7], ids=["whole", "bytes", "sevens"])
def test_body_can_be_read_in_every_way(name, cut):
    body = b"one\ntwo\n\nthree and more"
    with connect(Reader(READS[name])) as client:
        for request in (post("/", body), chunked_post(body[:5], body[5:]), post("/", b"")):
            for at in range(0, len(request), cut or len(request)):
                client.send(request[at : at + (cut or len(request))])
            expected = b"" if request.endswith(b"Content-Length: 0\r\n\r\n") else body
            assert body_of(client.read_answer()) == expected


def test_request_without_a_body_has_an_empty_file():
    with connect(Reader(lambda file: file.read() + file.read1(5) + file.readline())) as client:
        client.send(get())
        assert body_of(client.read_answer()) == b""


def test_wsgi_input_is_a_RequestFile():
    def app(environ, start_response):
        assert type(environ["wsgi.input"]) is RequestFile
        assert environ["wsgi.input_terminated"] is True
        start_response("200 OK", [])
        return [b"right"]

    with connect(app) as client:
        client.send(chunked_post(b"abc"))
        assert body_of(client.read_answer()) == b"right"


def test_trailers_of_a_chunked_body_are_skipped():
    with connect(Reader(lambda file: file.read())) as client:
        client.send(get("/", CHUNKED, method="POST"), chunks(b"a"), b"0\r\nX-Sum: 1\r\n\r\n")
        assert body_of(client.read_answer()) == b"a"
        assert client.is_open()


# Both directions at once


@pytest.mark.parametrize("chunked", [True, False])
def test_response_chunks_arrive_before_the_next_request_chunk_is_sent(chunked):
    pieces = [b"%010d" % number for number in range(20)]
    with connect(echo) as client:
        field = CHUNKED if chunked else "Content-Length: 200"
        client.send(get("/", field, method="POST"))
        for number, piece in enumerate(pieces):
            client.send(chunks(piece) if chunked else piece)
            if not number:
                client.read_head()
            assert client.read_exactly(len(chunks(piece))) == chunks(piece)
        if chunked:
            client.send(LAST_CHUNK)
        assert client.read_exactly(5) == LAST_CHUNK
        assert client.is_open()


@pytest.mark.parametrize("chunked", [True, False])
def test_N03_an_echo_of_64_MiB_to_a_client_that_reads_while_it_sends(chunked):
    piece, count = bytes(range(256)) * 1024, 256
    with connect(echo) as client:

        def send() -> None:
            field = CHUNKED if chunked else f"Content-Length: {len(piece) * count}"
            client.send(get("/", field, method="POST"))
            framed = chunks(piece) if chunked else piece
            for _ in range(count):
                client.send(framed)
            if chunked:
                client.send(LAST_CHUNK)

        sending = threading.Thread(target=send)
        sending.start()
        head = client.read_head()
        body = dechunk(client.read_body(head))
        sending.join()
        assert hashlib.sha256(body).digest() == hashlib.sha256(piece * count).digest()
        assert client.is_open()


SENDING_ALL_FIRST = """
    import hashlib, socket
    from restkit.server.serving import serve

    def app(environ, start_response):
        write = start_response("200 OK", [])
        while piece := environ["wsgi.input"].read1(65536):
            write(piece)
        return []

    def ask(count):
        block = bytes(range(256)) * 4096
        sent, came = hashlib.sha256(), hashlib.sha256()
        with serve(app, max_spool=2 << 30) as server, socket.create_connection(
            (server.host, server.port)
        ) as client:
            client.settimeout(100)
            head = "POST / HTTP/1.0\\r\\nHost: x\\r\\nContent-Length: %d\\r\\n\\r\\n"
            client.sendall((head % (count * len(block))).encode())
            for _ in range(count):
                client.sendall(block)
                sent.update(block)
            start = b""
            while b"\\r\\n\\r\\n" not in start:
                start += client.recv(4096)
            body = start.partition(b"\\r\\n\\r\\n")[2]
            size = 0
            while body:
                came.update(body)
                size += len(body)
                body = client.recv(1 << 18)
        assert came.digest() == sent.digest()
        return size

    ask(1)
"""


def test_N03_an_echo_of_64_MiB_to_a_client_that_sends_all_before_it_reads():
    measured = peak_memory(SENDING_ALL_FIRST, "result = ask(64)")
    assert measured.result == 64 * MIB
    assert measured.growth < 16 * MIB


@pytest.mark.slow
def test_N03_an_echo_of_1_GiB_to_a_client_that_sends_all_before_it_reads():
    measured = peak_memory(SENDING_ALL_FIRST, "result = ask(1024)", timeout=400)
    assert measured.result == 1024 * MIB
    assert measured.growth < 16 * MIB


def test_bytes_read_ahead_come_before_the_error_after_them():
    size = 24 * MIB
    came: list[bytes] = []
    wrong: list[Exception] = []

    def app(environ, start_response):
        write = start_response("200 OK", [])
        file = environ["wsgi.input"]
        came.append(file.read(10))
        write(bytes(size))
        try:
            while piece := file.read1(65536):
                came.append(piece)
        except ParserError as exc:
            wrong.append(exc)
            raise
        return []

    with connect(app) as client:
        client.send(get("/", CHUNKED, method="POST"), chunks(b"0123456789"))
        for _ in range(8):
            client.send(chunks(bytes(MIB)))
        client.send(b"zz\r\n")
        client.read_head()
        with pytest.raises(EOFError):
            client.read_body(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    assert len(b"".join(came)) == 10 + 8 * MIB
    assert "no chunk size" in str(wrong[0])


# 100 Continue


def test_N24_first_read_sends_100_continue():
    asked, read = threading.Event(), threading.Event()

    def app(environ, start_response):
        asked.set()
        read.wait(HANG_BOUND)
        return Reader(lambda file: file.read())(environ, start_response)

    with connect(app) as client:
        client.send(get("/", EXPECT, "Content-Length: 5", method="POST"))
        assert asked.wait(HANG_BOUND)
        client.sock.settimeout(0.1)
        with pytest.raises(TimeoutError):
            client.read_some()
        client.sock.settimeout(HANG_BOUND)
        read.set()
        assert client.read_head() == CONTINUE
        client.send(b"hello")
        assert body_of(client.read_answer()) == b"hello"
        assert client.is_open()


def test_N24_response_without_reading_sends_no_100_continue_and_closes():
    with connect(ignore_body) as client:
        client.send(get("/403", EXPECT, "Content-Length: 5", method="POST"))
        expected = b"HTTP/1.1 403 No\r\nX-Deaf: 1\r\nContent-Length: 4\r\nConnection: close\r\n\r\n"
        assert client.read_answer() == expected + b"said"
        assert client.read_to_end() == b""


def test_no_100_continue_after_the_head_of_a_response():
    def app(environ, start_response):
        write = start_response("200 OK", [])
        write(b"first")
        write(environ["wsgi.input"].read())
        return []

    with connect(app) as client:
        client.send(get("/", EXPECT, CHUNKED, method="POST"))
        assert b"Connection: close\r\n" in client.read_head()
        client.send(chunks(b"body") + LAST_CHUNK)
        assert client.read_to_end() == chunks(b"first", b"body") + LAST_CHUNK


def test_no_100_continue_if_the_body_has_begun():
    with connect(Reader(lambda file: file.read())) as client:
        client.send(post("/", b"hello", EXPECT))
        assert client.read_head().startswith(b"HTTP/1.1 200 OK\r\n")


def test_HTTP_1_0_gets_no_100_continue():
    with connect(Reader(lambda file: file.read())) as client:
        client.send(get("/", EXPECT, "Content-Length: 2", method="POST", version="1.0"))
        client.send(b"ok")
        assert client.read_head().startswith(b"HTTP/1.1 200 OK\r\n")


# Unread bodies

SMALL_UNREAD = {
    "sized": (post("/", b"GET / HTTP/1.1\r\n\r\n"),),
    "chunked": (chunked_post(b"GET / HTTP/1.1\r\n\r\n"),),
    "sized, apart": (get("/", "Content-Length: 5", method="POST"), b"he", b"llo"),
    "chunked, apart": (get("/", CHUNKED, method="POST"), b"5\r\nhe", b"llo\r\n0\r\n", b"\r\n"),
    "60 KB": (post("/", bytes(60_000)),),
}


@pytest.mark.parametrize("name", SMALL_UNREAD)
def test_unread_body_is_never_the_next_request(name):
    with connect(ignore_body) as client:
        for _ in range(3):
            client.send(*SMALL_UNREAD[name])
            expected = b"HTTP/1.1 200 OK\r\nX-Deaf: 1\r\nContent-Length: 4\r\n\r\nsaid"
            assert client.read_answer() == expected
        client.send(get())
        assert client.read_answer() == expected


def test_unread_body_that_does_not_arrive_ends_the_connection():
    with connect(ignore_body) as client:
        client.send(get("/", "Content-Length: 5", method="POST"))
        assert b"Connection: close\r\n" in client.read_head()
        assert client.read_to_end() == b"said"


@pytest.mark.parametrize("chunked", [True, False])
def test_response_can_be_read_while_20_MB_are_sent_at_full_speed(chunked):
    size = 20_000_000
    with connect(ignore_body) as client:
        field = CHUNKED if chunked else f"Content-Length: {size}"
        client.send(get("/413", field, method="POST"))
        for _ in range(20):
            piece = bytes(1_000_000)
            client.send(chunks(piece) if chunked else piece)
        head = client.read_head()
        assert b"Connection: close\r\n" in head
        assert client.read_to_end() == b"said"


def test_partly_read_body_ends_the_connection_or_is_discarded():
    with connect(Reader(lambda file: file.read(3))) as client:
        client.send(post("/", b"hello"))
        assert body_of(client.read_answer()) == b"hel"
        assert client.is_open()
        client.send(post("/", bytes(1_000_000)))
        assert b"Connection: close\r\n" in client.read_answer()
        assert client.read_to_end() == b""


def test_closing_wsgi_input_does_not_close_the_connection():
    with connect(Reader(lambda file: file.close() or b"ok")) as client:
        client.send(post("/", b"hello"))
        assert body_of(client.read_answer()) == b"ok"
        assert client.is_open()


# Clients that disconnect

GONE = {
    "sized": (get("/", "Content-Length: 100", method="POST"), b"half"),
    "chunked": (get("/", CHUNKED, method="POST"), chunks(b"half")),
    "in a chunk": (get("/", CHUNKED, method="POST"), b"64\r\nhalf"),
}
WAYS = {
    "read()": lambda file: file.read(),
    "read(n)": lambda file: file.read(100),
    "read1": lambda file: b"".join(iter(lambda: file.read1(100), b"")),
}


@pytest.mark.parametrize("name", GONE)
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("how", ["close", "finish", "reset"])
def test_N19_disconnected_client_is_an_error_of_every_read(name, way, how, caplog):
    reader = Reader(WAYS[way])
    with serve(reader) as server:
        client = Caller(server.port)
        client.send(*GONE[name])
        getattr(client, how)()
        assert reader.done.wait(HANG_BOUND)
        first, again = reader.raised
        assert type(first) is ClientDisconnected
        assert again is first
        assert "after 4 " in str(first)
        with Caller(server.port) as other:
            assert other.is_open()
        client.close()
    assert not caplog.records


def test_client_that_ends_its_side_too_early_gets_no_response():
    with connect(Reader(lambda file: file.read())) as client:
        client.send(*GONE["sized"])
        client.finish()
        assert client.read_to_end() == b""


def test_client_that_ends_its_side_after_its_request_gets_its_response():
    with connect(Reader(lambda file: file.read())) as client:
        client.send(post("/", b"hello", CLOSE))
        client.finish()
        assert body_of(client.read_answer()) == b"hello"


def test_silent_client_is_disconnected():
    reader = Reader(lambda file: file.read())
    with connect(reader, timeout=0.3) as client:
        client.send(*GONE["sized"])
        assert client.read_to_end() == b""
    assert "was silent for 0.3 s" in str(reader.raised[0])
    assert "after 4 of 100 bytes" in str(reader.raised[0])


def test_client_that_reads_no_response_is_disconnected():
    again: list[Exception] = []
    dropped = threading.Event()

    def app(environ, start_response):
        write = start_response("200 OK", [])
        try:
            while True:
                write(bytes(MIB))
        except ClientDisconnected as exc:
            try:
                write(b"more")
            except ClientDisconnected as same:
                again.extend((exc, same))
            dropped.set()
            raise

    with connect(app, timeout=0.3) as client:
        client.send(get())
        assert dropped.wait(HANG_BOUND)
        head = client.read_head()
        with pytest.raises(EOFError):
            client.read_body(head)
    assert again[0] is again[1]
    assert "was silent for 0.3 s" in str(again[0])


# Invalid chunks

WRONG = {
    "size": (b"zz\r\n", "no chunk size"),
    "0x": (b"0x5\r\nhello\r\n", "no chunk size"),
    "minus": (b"-1\r\n", "no chunk size"),
    "too long": (b"2\r\nabc\r\n", "is longer than its size"),
    "bare LF": (b"1\na\n0\n\n", "no chunk size"),
    "trailers": (b"0\r\nno field\r\n\r\n", "no colon"),
    "folded trailers": (b"0\r\nA: b\r\n c\r\n\r\n", "a field must be on one line"),
    "control character in the trailers": (b"0\r\nA: \x01\r\n\r\n", "a control character"),
}


@pytest.mark.parametrize("name", WRONG)
@pytest.mark.parametrize("together", [True, False])
def test_N22_invalid_chunk_is_an_error_and_400(name, together):
    data, why = WRONG[name]
    reader = Reader(lambda file: file.read())
    with connect(reader) as client:
        head = get("/", CHUNKED, method="POST")
        client.send(*([head + data] if together else [head, data]))
        response = client.read_answer()
        assert response.startswith(b"HTTP/1.1 400 Bad Request\r\n")
        assert b"Connection: close\r\n" in response
        assert why in response.decode()
        assert client.read_to_end() == b""
    assert [type(exc) for exc in reader.raised] == [ParserError, ParserError]


def test_application_that_ignores_an_invalid_chunk_loses_the_connection():
    def app(environ, start_response):
        with pytest.raises(ParserError):
            environ["wsgi.input"].read()
        start_response("200 OK", [])
        return [b"fine"]

    with connect(app) as client:
        client.send(get("/", CHUNKED, method="POST"), b"zz\r\n")
        response = client.read_answer()
        assert b"Connection: close\r\n" in response
        assert client.read_to_end() == b""


def test_parser_error_of_the_application_itself_is_a_500(caplog):
    def app(environ, start_response):
        raise ParserError("of another server's response")

    with connect(app) as client:
        client.send(get())
        assert client.read_answer().startswith(b"HTTP/1.1 500 ")


# Too late, or too much


def test_body_read_after_its_request_has_nothing_of_the_next():
    files: list[RequestFile] = []
    writes: list[Callable[[bytes], object]] = []

    def app(environ, start_response):
        files.append(environ["wsgi.input"])
        writes.append(start_response("200 OK", []))
        return [b"said"]

    with connect(app) as client:
        for _ in range(2):
            client.send(post("/", b"body"))
            client.read_answer()
        client.send(post("/", b"bo"))
        with pytest.raises(ClientDisconnected, match="the request is over"):
            files[0].read()
        with pytest.raises(RuntimeError, match="after the end of the response"):
            writes[0](b"late")
        client.send(b"dy")
        client.read_answer()
        assert client.is_open()


def test_reading_ahead_of_an_unread_body_has_a_bound():
    size = 80 * MIB  # more than the bound and the buffers of a connection

    def app(environ, start_response):
        start_response("200 OK", [])
        return [bytes(32 * MIB)]

    with connect(app, timeout=0.5) as client:
        client.send(get("/", f"Content-Length: {size}", method="POST"))
        client.sock.settimeout(HANG_BOUND)
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            for _ in range(200):
                client.send(bytes(MIB))


def test_client_that_never_stops_sending_is_cut_off_in_the_end():
    with connect(ignore_body) as client:
        client.send(get("/413", CHUNKED, method="POST"))
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            while True:
                client.send(chunks(bytes(MIB)))


def test_full_disk_for_the_spool_cuts_the_response(monkeypatch, tmp_path, caplog):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    size = 24 * MIB
    with serve(echo) as server, Caller(server.port) as client:
        client.send(get("/", f"Content-Length: {size}", method="POST"))
        with suppress(BrokenPipeError, ConnectionResetError):
            client.send(bytes(size))
        with suppress(ConnectionResetError):
            assert len(client.read_to_end()) < size
        with Caller(server.port) as other:
            assert other.is_open()
    assert "FileNotFoundError" in caplog.text


def test_application_that_fails_in_an_echo_cuts_it():
    def app(environ, start_response):
        write = start_response("200 OK", [])
        write(environ["wsgi.input"].read(5))
        raise KeyError("x")

    with connect(app) as client:
        client.send(get("/", "Content-Length: 10", method="POST"), b"hello")
        client.read_head()
        assert client.read_to_end() == chunks(b"hello")


def test_error_names_the_client():
    reader = Reader(lambda file: file.read())
    with serve(reader) as server:
        assert isinstance(server, Server)
        with Caller(server.port) as client:
            where = "{}:{}".format(*client.sock.getsockname())
            client.send(*GONE["sized"])
        assert reader.done.wait(HANG_BOUND)
    assert str(reader.raised[0]).startswith(where)
