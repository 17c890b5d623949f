"""Tests of examples/gzip_upload: the bytes of its clients, and its server as a process."""

from __future__ import annotations

import gzip
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from wsgiref.simple_server import WSGIRequestHandler, make_server

import pytest

from restkit.server import receive
from support import ScriptedServer, field, head_of, payload_of, response
from support.peer import HANG_BOUND

EXAMPLE = Path(__file__).parents[2] / "examples" / "gzip_upload"
WORDS = b"some words, and some more of them\n" * 200
CREATED = response(b"OK\n", "Content-Type: text/plain", status="201 Created")
LENGTH_REQUIRED = response(b"how long?\n", status="411 Length Required")
NO_CHUNKS = response(b"no chunks\n", status="501 Not Implemented")


@pytest.fixture(scope="module", autouse=True)
def _example() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(EXAMPLE))
        yield
    for name in ("client", "client_plain"):
        sys.modules.pop(name, None)


@pytest.fixture
def readme(tmp_path: Path) -> Path:
    path = tmp_path / "README.md"
    path.write_bytes(WORDS)
    return path


def run(script: str, *args: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, EXAMPLE / script, *map(str, args)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=cwd,
    )


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as bound:
        port: int = bound.getsockname()[1]
        return port


@contextmanager
def serving(*args: object, port: int, cwd: Path) -> Iterator[str]:
    """Run server.py as a process, and end it by SIGINT."""
    log = cwd / "log"
    with open(log, "wb") as output:
        server = subprocess.Popen(
            [sys.executable, EXAMPLE / "server.py", *map(str, args)],
            stdout=output,
            stderr=output,
            cwd=cwd,
        )
    try:
        for _ in range(int(HANG_BOUND * 20)):
            with closing(socket.socket()) as sock:
                if sock.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert server.poll() is None, log.read_text()
            threading.Event().wait(0.05)
        yield f"http://127.0.0.1:{port}"
        server.send_signal(signal.SIGINT)
        assert server.wait(HANG_BOUND) == 0, log.read_text()
    finally:
        server.kill()
        server.wait(HANG_BOUND)


# The clients


def test_Z02_file_is_sent_gzipped_and_chunked(readme):
    from client import put_file

    with ScriptedServer.serving(CREATED) as server:
        assert put_file(server.url(), readme).status == 201
    head = head_of(server.request)
    assert head.startswith(b"PUT / HTTP/1.1\r\n")
    assert field(head, "content-type") == "application/octet-stream"
    assert field(head, "x-filename") == "README.md"
    assert field(head, "content-encoding") == "gzip"
    assert field(head, "transfer-encoding") == "chunked"
    assert field(head, "content-length") is None
    assert gzip.decompress(payload_of(server.request)) == WORDS


@pytest.mark.parametrize("refusal", [LENGTH_REQUIRED, NO_CHUNKS], ids=["411", "501"])
def test_server_that_refuses_chunks_gets_a_length(readme, refusal):
    from client import put_file

    with ScriptedServer.serving(refusal, CREATED) as server:
        assert put_file(server.url(), readme).status == 201
    first, second = server.requests
    assert field(second, "content-length") == str(len(payload_of(second)))
    assert field(second, "transfer-encoding") is None
    assert field(second, "content-encoding") == "gzip"
    assert field(second, "x-filename") == "README.md"
    assert payload_of(second) == payload_of(first)
    assert gzip.decompress(payload_of(second)) == WORDS


def test_spool_sends_a_length_in_the_first_request(readme):
    from client import put_file

    with ScriptedServer.serving(CREATED) as server:
        assert put_file(server.url(), readme, spool=True).status == 201
    assert field(server.request, "content-length") == str(len(payload_of(server.request)))
    assert field(server.request, "transfer-encoding") is None
    assert field(server.request, "content-encoding") == "gzip"
    assert gzip.decompress(payload_of(server.request)) == WORDS


class Quiet(WSGIRequestHandler):
    def log_message(self, *args: object) -> None:
        """Log nothing."""


@contextmanager
def serve_without_chunks(folder: Path) -> Iterator[str]:
    """Run the receiver on the HTTP/1.0 server of the standard library, which knows no chunks."""
    with make_server("127.0.0.1", 0, receive(folder), handler_class=Quiet) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize("spool", [False, True])
def test_client_works_with_a_server_without_chunks(readme, tmp_path, spool):
    from client import put_file

    with serve_without_chunks(tmp_path / "received") as url:
        assert put_file(url, readme, spool=spool).status == 201
    assert (tmp_path / "received" / "README.md").read_bytes() == WORDS


def test_Z09_truncated_body_creates_no_file_on_any_wsgi_server(tmp_path, capfd):
    folder = tmp_path / "received"
    with serve_without_chunks(folder) as url:
        address = ("127.0.0.1", int(url.rstrip("/").rpartition(":")[2]))
        with socket.create_connection(address, HANG_BOUND) as sock:
            sock.sendall(b"PUT /x HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n0123456789")
            sock.shutdown(socket.SHUT_WR)
            sock.recv(1024)
    assert os.listdir(folder) == []
    assert (
        "ClientDisconnected: the client disconnected after 10 of 1000 bytes"
        in capfd.readouterr().err
    )


def test_name_that_is_not_ascii_is_encoded_by_rfc_8187(tmp_path):
    from client import put_file

    path = tmp_path / "bűn.txt"
    path.write_bytes(WORDS)
    with ScriptedServer.serving(CREATED) as server:
        put_file(server.url(), path)
    assert field(server.request, "x-filename") == "UTF-8''b%C5%B1n.txt"


def test_plain_client_sends_the_file_unchanged(readme):
    from client_plain import put_file

    with ScriptedServer.serving(CREATED) as server:
        assert put_file(server.url(), readme).status == 201
    assert field(server.request, "content-length") == str(len(WORDS))
    assert field(server.request, "content-encoding") is None
    assert field(server.request, "x-filename") == "README.md"
    assert payload_of(server.request) == WORDS


@pytest.mark.parametrize("script", ["client.py", "client_plain.py"])
def test_client_prints_the_outcome(script, readme, tmp_path):
    refusal = response(b"Error: not today\n", status="503 Service Unavailable")
    with ScriptedServer.serving(CREATED, refusal) as server:
        done = run(script, readme, server.url(), cwd=tmp_path)
        assert (done.returncode, done.stdout, done.stderr) == (
            0,
            "Request ended successfully\n",
            "",
        )
        done = run(script, readme, server.url(), cwd=tmp_path)
        assert done.returncode == 1
        assert done.stderr.rstrip() == "Could not send request: 503: Error: not today"


def test_spool_works_with_a_server_that_closes_on_chunks(readme, tmp_path):
    def require_length(peer):
        while request := peer.next_request():
            if field(request, "content-length") is None:
                return
            peer.send(CREATED)

    with ScriptedServer(require_length) as server:
        done = run("client.py", readme, server.url(), cwd=tmp_path)
        assert done.returncode == 1
        assert f"Could not send request: PUT {server.url()}: " in done.stderr
        done = run("client.py", "--spool", readme, server.url(), cwd=tmp_path)
        assert done.stdout == "Request ended successfully\n"


def test_missing_file_is_reported(tmp_path):
    done = run("client.py", "nothing", "http://127.0.0.1:9/", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("Could not send request: ")
    assert "nothing" in done.stderr


# The server


def test_client_and_server_restore_every_file(tmp_path):
    port = free_port()
    big = os.urandom(3_000_000) + bytes(3_000_000)
    (tmp_path / "bűn.bin").write_bytes(big)
    (tmp_path / "README.md").write_bytes(WORDS)
    (tmp_path / "empty").write_bytes(b"")
    with serving("--port", port, port=port, cwd=tmp_path) as url:
        for args in (["bűn.bin"], ["--spool", "README.md"], ["empty"]):
            done = run("client.py", *args, url, cwd=tmp_path)
            assert (done.stdout, done.stderr) == ("Request ended successfully\n", "")
        received = tmp_path / "received_files"
        assert sorted(os.listdir(received)) == ["README.md", "bűn.bin", "empty"]
        assert (received / "bűn.bin").read_bytes() == big
        assert (received / "README.md").read_bytes() == WORDS
        assert (received / "empty").read_bytes() == b""


def test_Z15_default_port_is_8000(tmp_path):
    with closing(socket.socket()) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind(("127.0.0.1", 8000))
        except OSError:
            pytest.skip("port 8000 is in use")
    (tmp_path / "README.md").write_bytes(WORDS)
    with serving(port=8000, cwd=tmp_path):
        done = run("client_plain.py", "README.md", cwd=tmp_path)
        assert done.stdout == "Request ended successfully\n"
    assert (tmp_path / "received_files" / "README.md").read_bytes() == WORDS


def test_Z15_port_in_use_is_reported(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = run("server.py", "--port", port, cwd=tmp_path)
    assert done.returncode != 0
    assert str(port) in done.stderr
    assert "in use" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("port", ["70000", "-1", "http"])
def test_Z15_invalid_port_is_reported(port, tmp_path):
    done = run("server.py", "--port", port, cwd=tmp_path)
    assert done.returncode != 0
    assert "port" in done.stderr
    assert "Traceback" not in done.stderr


def test_file_over_the_limit_is_refused(tmp_path):
    port = free_port()
    (tmp_path / "README.md").write_bytes(WORDS)
    with serving("--port", port, "--max-size", 100, port=port, cwd=tmp_path) as url:
        done = run("client.py", "README.md", url, cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("Could not send request: 413: ")
    assert os.listdir(tmp_path / "received_files") == []
