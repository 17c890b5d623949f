"""What restkit's configuration makes of gunicorn, for any WSGI application."""

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

from support.gunicorn import Gunicorn
from support.messages import chunks
from support.peer import HANG_BOUND
from support.raw_client import dialed, replies, send_all, to_the_end

TESTS = Path(__file__).parents[1]
PLAIN = "support.apps.plain:app"
LAST = b"0\r\n\r\n"
CLOSE = "Connection: close"


class Served(NamedTuple):
    """Where ``support.apps.plain`` answers, with 8 threads and a time-out of 2 seconds."""

    process: Gunicorn
    folder: Path

    @property
    def errors(self):
        return (self.folder / "errors.log").read_text()

    @property
    def accesses(self):
        return (self.folder / "access.log").read_text()

    def connect(self):
        return dialed(("127.0.0.1", self.process.port))

    def said(self, *parts):
        """All that comes back until the server closes."""
        with self.connect() as sock:
            send_all(sock, parts)
            return to_the_end(sock)

    def talked(self, *requests):
        """What is answered to these requests on one connection, which the last of them closes."""
        *first, last = requests
        last = last.replace(b"\r\n", f"\r\n{CLOSE}\r\n".encode(), 1)
        methods = [each.split(b" ", 1)[0].decode() for each in requests]
        return replies(self.said(*first, last), methods)

    def state(self):
        return json.loads(self.talked(head("GET", "/state"))[0].body)


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


# What is left of one request, and what is the next


@pytest.mark.parametrize(
    "coding",
    [
        "Transfer-Encoding: identity, chunked",
        "Transfer-Encoding: gzip, chunked",
        "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked",
    ],
)
def test_N21_a_body_with_codings_of_its_transfer_is_refused_and_is_no_request(plain, coding):
    smuggled = head("GET", "/raises/before")
    raw = plain.said(head("POST", "/read", coding, CLOSE) + chunks(smuggled) + LAST, HELLO)
    assert raw.startswith(b"HTTP/1.1 501 ")
    assert raw.count(b"HTTP/1.1 ") == 1


@pytest.mark.parametrize("step", [1 << 20, 1000, 97])
def test_requests_that_come_together_are_answered_one_by_one(plain, step):
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
        answers = replies(to_the_end(sock), ["GET"] * 41)
    assert [answer.status for answer in answers] == [200] * 41
    assert [answer.body for answer in answers[:2]] == [b"hello", b"4 bytes"]


def test_the_last_chunk_has_its_place_though_nobody_reads_before_all_is_sent(plain):
    body = bytes(20_000_000)
    raw = plain.said(head("POST", "/some/300", f"Content-Length: {len(body)}", CLOSE), body)
    assert len(replies(raw, ["POST"])[0].body) == 300 * 65536


def test_an_unread_body_and_an_early_answer_do_not_hinder_a_file(plain):
    small = head("POST", "/file", "Content-Length: 5") + b"hello"
    first, second = plain.talked(small, HELLO)
    assert (len(first.body), second.body) == (64 * 65536, b"hello")
    big = head("POST", "/file", f"Content-Length: {10_000_000}")
    raw = plain.said(big + bytes(10_000_000))
    assert len(replies(raw, ["POST"])[0].body) == 64 * 65536


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", b"400"),
        (b"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n", b"501"),
    ],
)
def test_what_gunicorn_lets_through_is_refused_as_on_the_embedded_engine(plain, data, status):
    raw = plain.said(data + HELLO)
    assert raw.startswith(b"HTTP/1.1 " + status)
    assert raw.count(b"HTTP/1.1 ") == 1


# Answers


def test_pieces_by_write_and_by_the_iterable_and_of_any_kind_of_bytes(plain):
    raw = plain.said(head("GET", "/both", CLOSE))
    pieces = (b"one,", b"two,", b"three,", b"four")
    assert raw.partition(b"\r\n\r\n")[2] == chunks(*pieces) + LAST
    assert plain.said(head("GET", "/both", version="HTTP/1.0")).endswith(
        b"\r\n\r\none,two,three,four"
    )


@pytest.mark.parametrize("path", ["/both", "/file", "/big/1", "/raises/before"])
def test_what_answers_head_sends_no_body(plain, path):
    first, second = plain.talked(head("HEAD", path), HELLO)
    assert (first.body, second.body) == (b"", b"hello")


@pytest.mark.parametrize("status", [204, 304])
def test_what_has_no_body_sends_none(plain, status):
    first, second = plain.talked(head("GET", f"/bodiless/{status}"), HELLO)
    assert (first.status, first.body, second.body) == (status, b"", b"hello")


def test_a_second_answer_before_the_first_has_left_stands_alone(plain):
    first, second = plain.talked(head("GET", "/twice"), head("GET", "/wrong/caught"))
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
def test_N15_what_fails_before_the_head_has_left_is_one_500_and_one_traceback(plain, path):
    before = len(plain.errors)
    first, second = plain.talked(head("GET", f"{path}?token=secret&a=b"), HELLO)
    assert (first.status, first.body) == (500, b"Internal Server Error\n")
    assert second.body == b"hello"
    errors = plain.errors[before:]
    assert errors.count("Traceback (most recent call last)") == 1
    assert f"GET {path}?token=***&a=b: the application failed" in errors
    assert "secret" not in errors


def test_N15_what_fails_behind_the_head_breaks_off_and_is_told_once(plain):
    before = len(plain.errors)
    raw = plain.said(head("GET", "/raises/second"), HELLO)
    assert raw.endswith(b"\r\n\r\n5\r\npiece\r\n")
    raw = plain.said(head("GET", "/raises/close"), HELLO)
    assert raw.endswith(b"\r\n\r\n5\r\npiece\r\n0\r\n\r\n")
    errors = plain.errors[before:]
    assert errors.count("Traceback (most recent call last)") == 2
    assert "GET /raises/second: the application failed" in errors
    assert "GET /raises/close: the application failed when its answer was closed" in errors


def test_a_length_that_is_not_kept_to_is_told_and_never_filled_from_the_next_answer(plain):
    before = len(plain.errors)
    assert plain.said(head("GET", "/declares/20"), HELLO).endswith(b"\r\n\r\n0123456789")
    first, second = plain.talked(head("GET", "/declares/7"), HELLO)
    assert (first.body, second.body) == (b"0123456", b"hello")
    errors = plain.errors[before:]
    assert "GET /declares/20: the application gave 10 bytes fewer than it had declared" in errors
    assert "GET /declares/7: the application gave more bytes than it had declared" in errors
    assert "Traceback" not in errors


def test_a_file_that_gets_shorter_while_it_is_sent_is_not_filled_up_either(plain):
    raw = plain.said(head("GET", "/file/cut"), HELLO)
    assert len(raw.partition(b"\r\n\r\n")[2]) == 64 * 65536 - 1000
    assert raw.count(b"HTTP/1.1 ") == 1


@pytest.mark.parametrize(
    ("path", "size"), [("", 64), ("/middle", 32), ("/unsized", 64), ("/part", 10 / 65536)]
)
def test_files_whole_and_in_part(plain, path, size):
    first, second = plain.talked(head("GET", f"/file{path}"), HELLO)
    assert (len(first.body), second.body) == (size * 65536, b"hello")


def test_every_iterable_is_closed(plain):
    before = plain.state()["closed"]
    for path in ("/big/1", "/declares/10", "/declares/20", "/raises/first", "/raises/second"):
        plain.said(head("GET", path, CLOSE))
    assert plain.state()["closed"] == before + 5


def test_the_access_log_has_what_was_sent(plain):
    half = head("POST", "/echo", "Content-Length: 10", CLOSE)
    with plain.connect() as sock:
        sock.sendall(half + b"hello")
        data = b""
        while not data.endswith(b"hello\r\n"):
            data += sock.recv(1000)
        sock.sendall(b"world")
        to_the_end(sock)
    plain.talked(head("GET", "/file"))
    plain.talked(head("GET", "/raises/before"))
    lines = plain.accesses.splitlines()
    assert lines[-3:] == [
        "POST /echo 200 10",
        f"GET /file 200 {64 * 65536}",
        "GET /raises/before 500 22",
    ]


def test_nothing_is_left_of_a_request(plain):
    requests = [
        HELLO,
        head("POST", "/read", "Content-Length: 5") + b"hello",
        head("POST", "/hello", "Transfer-Encoding: chunked") + chunks(b"hello") + LAST,
        head("GET", "/raises/before"),
        head("GET", "/file/part"),
    ]
    plain.talked(*requests * 4)
    before = plain.state()["descriptors"]
    plain.talked(*requests * 40)
    for _ in range(20):
        plain.said(head("GET", "/raises/second"))
        plain.said(head("GET", "/raises/second", version="HTTP/1.0"))
        with plain.connect() as sock:
            sock.sendall(head("POST", "/read", "Content-Length: 5") + b"he")
    plain.said(head("POST", "/read", "Content-Length: 5", CLOSE) + b"hello")
    assert plain.state()["descriptors"] <= before + 8  # of those whose end is on its way


# Clients that keep still


def test_clients_that_keep_still_are_dropped_and_hold_nobody_up(plain):
    with ExitStack() as stack:
        stalled = [stack.enter_context(plain.connect()) for _ in range(8)]
        for sock in stalled:
            sock.sendall(head("POST", "/read", "Content-Length: 100") + b"abc")
        assert to_the_end(stalled[0]) == b""
        # None of them has closed its side, and nobody waits for that.
        for _ in range(3):
            with plain.connect() as sock:
                sock.settimeout(8)
                sock.sendall(head("GET", "/hello", CLOSE))
                assert to_the_end(sock).endswith(b"hello")
        for sock in stalled[1:]:
            assert to_the_end(sock) == b""


def test_clients_that_do_not_close_their_side_hold_nobody_up(plain):
    with ExitStack() as stack:
        socks = [stack.enter_context(plain.connect()) for _ in range(10)]
        for sock in socks:
            sock.settimeout(8)
            sock.sendall(head("GET", "/hello", CLOSE))
        for sock in reversed(socks):
            assert to_the_end(sock).endswith(b"hello")


@pytest.mark.parametrize("path", ["/big/20", "/file"])
def test_a_client_that_does_not_read_is_dropped_without_a_traceback(plain, path):
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
            plain.talked(HELLO)
    assert "Traceback" not in plain.errors[before:]


def test_a_client_that_reads_slowly_is_not_cut_off(plain):
    got = 0
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        sock.settimeout(HANG_BOUND)
        sock.connect(("127.0.0.1", plain.process.port))
        sock.sendall(head("GET", "/big/16", CLOSE))
        while data := sock.recv(65536):
            got += len(data)
            plain.talked(HELLO)
    assert got > 16 << 20


# What is left to gunicorn


def test_a_websocket_is_talked_on_gunicorn_s_own_socket(plain):
    with plain.connect() as sock:
        sock.sendall(head("GET", "/socket", "Connection: Upgrade", "Upgrade: websocket"))
        assert sock.recv(1000) == b"HTTP/1.1 101 Switching Protocols\r\n\r\n"
        for _ in range(2):
            sock.sendall(b"hello")
            assert sock.recv(100) == b"HELLO"
        sock.shutdown(socket.SHUT_WR)
        assert to_the_end(sock) == b""


class Secure(Gunicorn):
    """gunicorn with TLS of its own."""

    def _ask_once(self):
        with socket.create_connection(("127.0.0.1", self.port), HANG_BOUND) as sock:
            sock.sendall(b"not TLS\r\n\r\n")
            to_the_end(sock)


def test_with_tls_gunicorn_reads_and_writes_by_itself(certs, tmp_path):
    options = ("-c", "python:support.gunicorn_conf", "--certfile", str(certs.server_cert))
    options = (*options, "--keyfile", str(certs.server_key))
    context = ssl.create_default_context(cafile=certs.ca_file)
    with (
        Secure(tmp_path, "support.apps.more:app", *options, pythonpath=TESTS) as process,
        dialed(("127.0.0.1", process.port)) as sock,
        context.wrap_socket(sock, server_hostname="localhost") as secured,
    ):
        secured.sendall(head("POST", "/gets", "Content-Length: 3", "Expect: 100-continue", CLOSE))
        assert secured.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        secured.sendall(b"abc")
        (answer,) = replies(to_the_end(secured), ["POST"])
    assert answer.body == b'{"size":3,"after":[null,null]}'


def test_another_worker_and_a_missing_hook_are_named(tmp_path):
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
    assert "on_gunicorn is for gunicorn's worker gthread, and this is SyncWorker" in done.stderr


# What on_gunicorn.py rests on, said by the name of what has changed


def test_gunicorn_s_request_is_as_on_gunicorn_takes_it():
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


def test_gunicorn_s_response_is_as_on_gunicorn_takes_it():
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
