"""gunicorn with restkit's configuration, for any WSGI application."""

from __future__ import annotations

import json
import socket
import ssl
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import pytest
from gunicorn.config import Config
from gunicorn.http.parser import RequestParser
from gunicorn.http.wsgi import Response

from restkit.server import on_gunicorn
from support.gunicorn import Gunicorn
from support.messages import chunks
from support.peer import HANG_BOUND
from support.raw_client import connect, parse_responses, read_to_end, send_all

TESTS = Path(__file__).parents[1]
PLAIN = "support.apps.plain:app"
LAST = b"0\r\n\r\n"
CLOSE = "Connection: close"


class Served(NamedTuple):
    """A server of ``support.apps.plain``, with 8 threads and a timeout of 2 seconds."""

    process: Gunicorn
    folder: Path

    @property
    def errors(self):
        return (self.folder / "errors.log").read_text()

    @property
    def accesses(self):
        return (self.folder / "access.log").read_text()

    def connect(self):
        return connect(("127.0.0.1", self.process.port))

    def exchange(self, *parts):
        """Send data and read until the server closes."""
        with self.connect() as sock:
            send_all(sock, parts)
            return read_to_end(sock)

    def exchange_all(self, *requests):
        """Return the responses to requests on one connection, which the last of them closes."""
        *first, last = requests
        last = last.replace(b"\r\n", f"\r\n{CLOSE}\r\n".encode(), 1)
        methods = [each.split(b" ", 1)[0].decode() for each in requests]
        return parse_responses(self.exchange(*first, last), methods)

    def state(self):
        return json.loads(self.exchange_all(head("GET", "/state"))[0].body)


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    folder = tmp_path_factory.mktemp("plain")
    options = ("-c", "python:support.gunicorn_conf")
    with Gunicorn(folder, PLAIN, *options, pythonpath=TESTS) as process:
        yield Served(process, folder)


def head(method, path, *fields, version="HTTP/1.1"):
    lines = [f"{method} {path} {version}", "Host: restkit", *fields, "", ""]
    return "\r\n".join(lines).encode()


HELLO = head("GET", "/hello")


# The end of one request, and the start of the next


@pytest.mark.parametrize(
    "coding",
    [
        "Transfer-Encoding: identity, chunked",
        "Transfer-Encoding: gzip, chunked",
        "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked",
    ],
)
def test_N21_body_with_other_transfer_codings_gets_an_error_and_is_no_request(plain, coding):
    smuggled = head("GET", "/raises/before")
    raw = plain.exchange(head("POST", "/read", coding, CLOSE) + chunks(smuggled) + LAST, HELLO)
    assert raw.startswith(b"HTTP/1.1 501 ")
    assert raw.count(b"HTTP/1.1 ") == 1


@pytest.mark.parametrize("step", [1 << 20, 1000, 97])
def test_pipelined_requests_are_handled_in_order(plain, step):
    fields = ("Transfer-Encoding: chunked",)
    four = (
        head("POST", "/hello", *fields) + chunks(b"GET /evil HTTP/1.1\r\n\r\n") + LAST,
        head("POST", "/read", "Content-Length: 4") + b"abcd",
        head("POST", "/some/1", "Content-Length: 9") + b"123456789",
        head("GET", "/late"),
    )
    data = b"".join(four * 10) + head("GET", "/hello", CLOSE)
    with plain.connect() as sock:
        send_all(sock, [data[at : at + step] for at in range(0, len(data), step)])
        responses = parse_responses(read_to_end(sock), ["GET"] * 41)
    assert [response.status for response in responses] == [200] * 41
    assert [response.body for response in responses[:2]] == [b"hello", b"4 bytes"]


def test_last_chunk_is_sent_to_a_client_that_sends_all_before_it_reads(plain):
    body = bytes(20_000_000)
    raw = plain.exchange(head("POST", "/some/300", f"Content-Length: {len(body)}", CLOSE), body)
    assert len(parse_responses(raw, ["POST"])[0].body) == 300 * 65536


def test_unread_body_does_not_hinder_a_file(plain):
    small = head("POST", "/file", "Content-Length: 5") + b"hello"
    first, second = plain.exchange_all(small, HELLO)
    assert (len(first.body), second.body) == (64 * 65536, b"hello")
    big = head("POST", "/file", f"Content-Length: {10_000_000}")
    raw = plain.exchange(big + bytes(10_000_000))
    assert len(parse_responses(raw, ["POST"])[0].body) == 64 * 65536


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", b"400"),
        (b"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n", b"501"),
    ],
)
def test_requests_that_gunicorn_accepts_get_the_errors_of_the_embedded_engine(plain, data, status):
    raw = plain.exchange(data + HELLO)
    assert raw.startswith(b"HTTP/1.1 " + status)
    assert raw.count(b"HTTP/1.1 ") == 1


# Responses


def test_chunks_by_write_and_by_the_iterable_of_any_bytes_type(plain):
    raw = plain.exchange(head("GET", "/both", CLOSE))
    pieces = (b"one,", b"two,", b"three,", b"four")
    assert raw.partition(b"\r\n\r\n")[2] == chunks(*pieces) + LAST
    assert plain.exchange(head("GET", "/both", version="HTTP/1.0")).endswith(
        b"\r\n\r\none,two,three,four"
    )


@pytest.mark.parametrize("path", ["/both", "/file", "/big/1", "/raises/before"])
def test_response_to_head_has_no_body(plain, path):
    first, second = plain.exchange_all(head("HEAD", path), HELLO)
    assert (first.body, second.body) == (b"", b"hello")


@pytest.mark.parametrize("status", [204, 304])
def test_response_without_a_body_has_none(plain, status):
    first, second = plain.exchange_all(head("GET", f"/bodiless/{status}"), HELLO)
    assert (first.status, first.body, second.body) == (status, b"", b"hello")


def test_second_head_replaces_an_unsent_one(plain):
    first, second = plain.exchange_all(head("GET", "/twice"), head("GET", "/wrong/caught"))
    assert (first.status, first.body, first.headers["x-second"]) == (503, b"second", "1")
    assert not {"x-first", "content-length"} & first.headers.keys()
    assert second.status == 409
    assert not {"x-good", "x-a"} & second.headers.keys()


@pytest.mark.parametrize(
    "path",
    [
        "/wrong/header",
        "/wrong/status",
        "/wrong/text",
        "/wrong/file",
        "/wrong/nothing",
        "/declares/-5",
        "/declares/x",
        "/twice/plainly",
        "/raises/before",
        "/raises/behind",
        "/raises/first",
    ],
)
def test_N15_error_before_the_head_is_one_500_and_one_traceback(plain, path):
    before = len(plain.errors)
    first, second = plain.exchange_all(head("GET", f"{path}?token=secret&a=b"), HELLO)
    assert (first.status, first.body) == (500, b"Internal Server Error\n")
    assert second.body == b"hello"
    errors = plain.errors[before:]
    assert errors.count("Traceback (most recent call last)") == 1
    assert f"GET {path}?token=***&a=b: the application failed" in errors
    assert "secret" not in errors


def test_N15_error_after_the_head_cuts_the_response_and_is_logged_once(plain):
    before = len(plain.errors)
    raw = plain.exchange(head("GET", "/raises/second"), HELLO)
    assert raw.endswith(b"\r\n\r\n5\r\npiece\r\n")
    raw = plain.exchange(head("GET", "/raises/close"), HELLO)
    assert raw.endswith(b"\r\n\r\n5\r\npiece\r\n0\r\n\r\n")
    errors = plain.errors[before:]
    assert errors.count("Traceback (most recent call last)") == 2
    assert "GET /raises/second: the application failed" in errors
    assert "GET /raises/close: closing the response failed" in errors


def test_wrong_declared_length_is_logged_and_not_filled_by_the_next_response(plain):
    before = len(plain.errors)
    assert plain.exchange(head("GET", "/declares/20"), HELLO).endswith(b"\r\n\r\n0123456789")
    first, second = plain.exchange_all(head("GET", "/declares/7"), HELLO)
    assert (first.body, second.body) == (b"0123456", b"hello")
    errors = plain.errors[before:]
    assert "GET /declares/20: the application sent 10 bytes fewer than declared" in errors
    assert "GET /declares/7: the application sent more bytes than declared" in errors
    assert "Traceback" not in errors


def test_file_that_shrinks_is_not_filled_by_the_next_response(plain):
    raw = plain.exchange(head("GET", "/file/cut"), HELLO)
    assert len(raw.partition(b"\r\n\r\n")[2]) == 64 * 65536 - 1000
    assert raw.count(b"HTTP/1.1 ") == 1


@pytest.mark.parametrize(
    ("path", "size"), [("", 64), ("/middle", 32), ("/unsized", 64), ("/part", 10 / 65536)]
)
def test_files_completely_and_in_part(plain, path, size):
    first, second = plain.exchange_all(head("GET", f"/file{path}"), HELLO)
    assert (len(first.body), second.body) == (size * 65536, b"hello")


def test_every_iterable_is_closed(plain):
    before = plain.state()["closed"]
    for path in ("/big/1", "/declares/10", "/declares/20", "/raises/first", "/raises/second"):
        plain.exchange(head("GET", path, CLOSE))
    assert plain.state()["closed"] == before + 5


def test_access_log_has_the_sent_bytes(plain):
    half = head("POST", "/echo", "Content-Length: 10", CLOSE)
    with plain.connect() as sock:
        sock.sendall(half + b"hello")
        data = b""
        while not data.endswith(b"hello\r\n"):
            data += sock.recv(1000)
        sock.sendall(b"world")
        read_to_end(sock)
    plain.exchange_all(head("GET", "/file"))
    plain.exchange_all(head("GET", "/raises/before"))
    lines = plain.accesses.splitlines()
    assert lines[-3:] == [
        "POST /echo 200 10",
        f"GET /file 200 {64 * 65536}",
        "GET /raises/before 500 22",
    ]


def test_request_leaves_no_objects_behind(plain):
    requests = [
        HELLO,
        head("POST", "/read", "Content-Length: 5") + b"hello",
        head("POST", "/hello", "Transfer-Encoding: chunked") + chunks(b"hello") + LAST,
        head("GET", "/raises/before"),
        head("GET", "/file/part"),
    ]
    plain.exchange_all(*requests * 4)
    before = plain.state()["descriptors"]
    plain.exchange_all(*requests * 40)
    for _ in range(20):
        plain.exchange(head("GET", "/raises/second"))
        plain.exchange(head("GET", "/raises/second", version="HTTP/1.0"))
        with plain.connect() as sock:
            sock.sendall(head("POST", "/read", "Content-Length: 5") + b"he")
    plain.exchange(head("POST", "/read", "Content-Length: 5", CLOSE) + b"hello")
    assert plain.state()["descriptors"] <= before + 8  # for connections that are being closed


# Silent clients


def test_silent_clients_are_disconnected_and_delay_no_other(plain):
    with ExitStack() as stack:
        stalled = [stack.enter_context(plain.connect()) for _ in range(8)]
        for sock in stalled:
            sock.sendall(head("POST", "/read", "Content-Length: 100") + b"abc")
        assert read_to_end(stalled[0]) == b""
        # None of them has closed its side, and the server does not wait for that.
        for _ in range(3):
            with plain.connect() as sock:
                sock.settimeout(8)
                sock.sendall(head("GET", "/hello", CLOSE))
                assert read_to_end(sock).endswith(b"hello")
        for sock in stalled[1:]:
            assert read_to_end(sock) == b""


def test_clients_that_do_not_close_their_side_delay_no_other(plain):
    with ExitStack() as stack:
        socks = [stack.enter_context(plain.connect()) for _ in range(10)]
        for sock in socks:
            sock.settimeout(8)
            sock.sendall(head("GET", "/hello", CLOSE))
        for sock in reversed(socks):
            assert read_to_end(sock).endswith(b"hello")


@pytest.mark.parametrize("path", ["/big/20", "/file"])
def test_client_that_does_not_read_is_disconnected_without_a_traceback(plain, path):
    before = len(plain.errors)
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.settimeout(HANG_BOUND)
        sock.connect(("127.0.0.1", plain.process.port))
        sock.sendall(head("GET", path))
        count = plain.accesses.count
        asked = f"GET {path} 200"
        told = count(asked)
        while plain.accesses.count(asked) == told:
            plain.exchange_all(HELLO)
    assert "Traceback" not in plain.errors[before:]


def test_client_that_reads_slowly_is_not_cut_off(plain):
    got = 0
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        sock.settimeout(HANG_BOUND)
        sock.connect(("127.0.0.1", plain.process.port))
        sock.sendall(head("GET", "/big/16", CLOSE))
        while data := sock.recv(65536):
            got += len(data)
            plain.exchange_all(HELLO)
    assert got > 16 << 20


# Left to gunicorn


UPGRADE = "Upgrade: websocket"
HANDSHAKE = (UPGRADE, "Connection: keep-alive, Upgrade", "Sec-WebSocket-Key: AAAA")


def test_websocket_uses_the_socket_of_gunicorn(plain):
    with plain.connect() as sock:
        sock.sendall(head("GET", "/socket", *HANDSHAKE))
        assert sock.recv(1000) == b"HTTP/1.1 101 Switching Protocols\r\n\r\n"
        for _ in range(2):
            sock.sendall(b"hello")
            assert sock.recv(100) == b"HELLO"
        sock.shutdown(socket.SHUT_WR)
        assert read_to_end(sock) == b""


@pytest.mark.parametrize(
    "request_",
    [
        head("POST", "/count", UPGRADE, "Content-Length: 10") + b"hello",
        head("POST", "/count", *HANDSHAKE, "Content-Length: 10") + b"hello",
        head("GET", "/count", *HANDSHAKE, "Content-Length: 10") + b"hello",
        head("GET", "/count", *HANDSHAKE, "Transfer-Encoding: chunked") + b"5\r\nhello\r\n",
    ],
)
def test_header_of_a_websocket_does_not_disable_the_check_of_a_cut_body(plain, request_):
    with plain.connect() as sock:
        sock.sendall(request_)
        sock.shutdown(socket.SHUT_WR)
        assert b"200 OK" not in read_to_end(sock)


def test_websocket_header_does_not_disable_the_checks_of_a_head(plain):
    odd = head("POST", "/", UPGRADE, "Transfer-Encoding: gzip, chunked") + b"0\r\n\r\n"
    assert plain.exchange(odd).startswith(b"HTTP/1.1 501 ")
    assert plain.exchange(head("CONNECT", "x:80", *HANDSHAKE)).startswith(b"HTTP/1.1 501 ")


def test_without_the_option_websockets_are_not_left_to_gunicorn():
    assert on_gunicorn.WEBSOCKETS is False


class Secure(Gunicorn):
    """gunicorn with TLS."""

    def _wait_until_ready(self):
        with socket.create_connection(("127.0.0.1", self.port), HANG_BOUND) as sock:
            sock.sendall(b"not TLS\r\n\r\n")
            read_to_end(sock)


def test_with_tls_gunicorn_sends_and_receives_the_bodies(certs, tmp_path):
    options = ("-c", "python:support.gunicorn_conf", "--certfile", str(certs.server_cert))
    options = (*options, "--keyfile", str(certs.server_key))
    context = ssl.create_default_context(cafile=certs.ca_file)
    with (
        Secure(tmp_path, "support.apps.more:app", *options, pythonpath=TESTS) as process,
        connect(("127.0.0.1", process.port)) as sock,
        context.wrap_socket(sock, server_hostname="localhost") as secured,
    ):
        secured.sendall(head("POST", "/gets", "Content-Length: 3", "Expect: 100-continue", CLOSE))
        assert secured.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        secured.sendall(b"abc")
        (response,) = parse_responses(read_to_end(secured), ["POST"])
    assert response.body == b'{"size":3,"after":[null,null]}'


def test_other_worker_and_missing_hook_are_errors(tmp_path):
    (tmp_path / "without.py").write_text(
        "from restkit.server import on_gunicorn\n"
        "worker_class = 'gthread'\n"
        "post_worker_init = on_gunicorn.post_worker_init\n"
    )
    with Gunicorn(
        tmp_path, PLAIN, "-c", "without.py", "--no-control-socket", pythonpath=TESTS
    ) as process:
        assert "pre_request = restkit.server.on_gunicorn's" in process.log
    command = [sys.executable, "-m", "gunicorn", "-c", "python:restkit.server.on_gunicorn"]
    command += ["--no-control-socket", "--bind", "127.0.0.1:0", "-k", "sync", "--threads", "1"]
    done = subprocess.run(
        [*command, "flask:Flask"], capture_output=True, text=True, timeout=HANG_BOUND, check=False
    )
    assert done.returncode
    assert "on_gunicorn needs gunicorn's worker gthread; got SyncWorker" in done.stderr


# The parts of gunicorn that on_gunicorn.py relies on


def test_request_of_gunicorn_has_the_parts_that_restkit_uses():
    asked = head("POST", "/", "Content-Length: 5", "Expect: 100-continue") + b"hello"
    parser = RequestParser(Config(), iter([asked + HELLO]), ("127.0.0.1", 1))
    request = next(parser)
    assert request._expected_100_continue is True
    assert request.version == (1, 1)
    assert request.unreader.buf.getvalue() == request.unreader.read() == b"hello" + HELLO
    assert request.unreader.buf.getvalue() == b""
    assert request.body.reader.read(0) == b""

    class Nothing:
        def read(self, _size):
            return b""

    request.body.reader = Nothing()
    request.unreader.unread(HELLO)
    assert next(parser).path == "/hello"
    assert not request.should_close()
    request.force_close()
    assert request.should_close()


def test_response_of_gunicorn_has_the_parts_that_restkit_uses():
    parser = RequestParser(Config(), iter([HELLO]), ("127.0.0.1", 1))
    ours, theirs = socket.socketpair()
    with ours, theirs:
        response = Response(next(parser), theirs, Config())
        assert response.start_response.__self__ is response
        assert response.can_sendfile() is True
        write = response.start_response("200 OK", [("Content-Length", "5")])
        write(b"")
        assert ours.recv(1000).endswith(b"Content-Length: 5\r\n\r\n")
        assert response.sent == 0
        assert not response.should_close()
        response.close()
        ours.setblocking(False)
        with pytest.raises(BlockingIOError):
            ours.recv(1)
