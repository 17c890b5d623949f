"""The support code itself, with plain sockets and http.client: what judges must be right."""

from __future__ import annotations

import hashlib
import http.client
import os
import socket
import ssl
import subprocess
import sys
import threading
import time
from contextlib import contextmanager

import pytest

from support import (
    LAST_CHUNK,
    ScriptedServer,
    chunked_response,
    chunks,
    dechunk,
    field,
    payload_of,
    refusing,
    response,
    unanswering,
)
from support.memory import MIB, descriptors, open_descriptors, peak_memory
from support.messages import ChunkScan, ends_itself
from support.nginx import find_nginx
from support.waiting import HANG_BOUND, until

GET = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"


@contextmanager
def connected(server):
    with socket.create_connection((server.host, server.port), 10) as sock:
        yield sock


def read_to_end(sock):
    return b"".join(iter(lambda: sock.recv(65536), b""))


# Messages


def test_a_response_has_its_length_and_the_fields_it_was_given():
    assert response(b"hi", "X-A: b", status="404 Gone Fishing") == (
        b"HTTP/1.1 404 Gone Fishing\r\nContent-Length: 2\r\nX-A: b\r\n\r\nhi"
    )


def test_a_chunked_response_ends_with_the_last_chunk():
    assert chunked_response(b"abc", b"x" * 16) == (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"3\r\nabc\r\n10\r\n" + b"x" * 16 + b"\r\n0\r\n\r\n"
    )


@pytest.mark.parametrize("step", [1, 2, 3, 7, 1000])
def test_the_end_of_a_chunked_body_is_found_at_every_split(step):
    body = chunks(b"abc", b"y" * 300) + b"0\r\nDigest: x\r\n\r\n"
    scan, taken = ChunkScan(), 0
    data = body + b"GET next"
    for at in range(0, len(data), step):
        if scan.done:
            break
        taken += scan.feed(data[at : at + step])
    assert (taken, bytes(scan.payload)) == (len(body), b"abc" + b"y" * 300)


@pytest.mark.parametrize("broken", [b"", b"3\r\nabc\r\n", b"0\r\n", b"0\r\n\r\nmore", b"zz\r\n"])
def test_a_chunked_body_that_is_not_whole_is_no_body(broken):
    with pytest.raises(ValueError):
        dechunk(broken)


@pytest.mark.parametrize(
    ("answer", "itself"),
    [
        (response(b"hi"), True),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + response(b"hi"), True),
        (chunked_response(b"hi"), True),
        (b"HTTP/1.1 204 No Content\r\n\r\n", True),
        (response(b"hi") + b"and more", True),
        (response(b"hi")[:-1], False),
        (chunked_response(b"hi")[:-1], False),
        (response(b"hi", "Connection: close"), False),
        (b"HTTP/1.1 200 OK\r\n\r\nto the end", False),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", False),
        (b"HTTP/1.1 100 Continue\r\n\r\n", False),
        (b"SSH-2.0-OpenSSH\r\n", False),
        (b"", False),
    ],
)
def test_an_answer_is_known_to_end_itself_or_not(answer, itself):
    assert ends_itself(answer) is itself


def test_a_field_that_is_there_twice_is_not_read_as_once():
    message = b"GET / HTTP/1.1\r\nHost: a\r\nX:1\r\nhost: b\r\n\r\n"
    assert field(message, "x") == "1"
    assert field(message, "Missing") is None
    with pytest.raises(ValueError, match="2 times"):
        field(message, "Host")


# The scripted server


def test_whole_requests_are_recorded_and_answered_in_turn():
    post = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks(b"abc") + LAST_CHUNK
    put = b"PUT / HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello"
    with ScriptedServer.serving(response(b"1"), response(b"2")) as server:
        with connected(server) as sock:
            sock.sendall(post + put)  # in one packet, to be told apart
            sock.shutdown(socket.SHUT_WR)
            assert read_to_end(sock) == response(b"1") + response(b"2")
        with connected(server) as sock:
            sock.sendall(GET)
            sock.shutdown(socket.SHUT_WR)
            assert read_to_end(sock) == response(b"2")  # the last one again
    assert server.requests == [post, put, GET]
    assert server.wire == [post + put, GET]
    assert server.connections == 2
    assert payload_of(server.requests[0]) == b"abc"


def test_http_client_keeps_its_connection_over_three_requests():
    with ScriptedServer.serving(response(b"one")) as server:
        client = http.client.HTTPConnection(server.host, server.port, timeout=10)
        for _ in range(3):
            client.request("GET", "/")
            assert client.getresponse().read() == b"one"
        client.request("HEAD", "/")
        assert client.getresponse().read() == b""
        client.close()
    assert (server.connections, len(server.requests)) == (1, 4)


def test_an_answer_without_an_end_of_its_own_is_followed_by_a_close():
    with ScriptedServer.serving(b"HTTP/1.1 200 OK\r\n\r\nall") as server, connected(server) as sock:
        sock.sendall(GET)
        assert read_to_end(sock) == b"HTTP/1.1 200 OK\r\n\r\nall"
    assert server.request == GET


def test_successive_connections_get_successive_scripts_and_the_last_repeats():
    scripts = [lambda peer, name=name: peer.send(name) for name in (b"a", b"b")]
    with ScriptedServer(*scripts) as server:
        said = []
        for _ in range(3):
            with connected(server) as sock:
                said.append(read_to_end(sock))
    assert said == [b"a", b"b", b"b"]


def test_a_script_reads_by_mark_by_number_and_to_the_end():
    seen = []

    def script(peer):
        seen.append(peer.read_until(b"\r\n"))
        seen.append(peer.read_exactly(3))
        peer.send(b"go on")
        seen.append(peer.read_to_end())

    with ScriptedServer(script) as server:
        with connected(server) as sock:
            sock.sendall(b"first\r\n123")
            assert sock.recv(5) == b"go on"
            sock.sendall(b"rest")
        server.join()
        assert server.peers[0].closed_by_client
    assert seen == [b"first\r\n", b"123", b"rest"]


def test_dropped_bytes_are_counted_and_not_kept():
    counts = []

    def script(peer):
        peer.read_until(b"\n")
        counts.append(peer.drop(10))
        counts.append(peer.drop())

    with ScriptedServer(script) as server:
        with connected(server) as sock:
            sock.sendall(b"line\n" + b"x" * 1_000_000)
        server.join()
    assert counts == [10, 999_990]
    assert len(server.wire[0]) < 1_000_000


def test_test_and_script_wait_for_each_other():
    sent, go = threading.Event(), threading.Event()

    def script(peer):
        peer.send(b"one")
        sent.set()
        peer.wait(go)
        peer.send(b"two")

    with ScriptedServer(script) as server, connected(server) as sock:
        assert sent.wait(10)
        assert sock.recv(3) == b"one"
        sock.setblocking(False)
        with pytest.raises(BlockingIOError):
            sock.recv(3)
        sock.settimeout(10)
        go.set()
        assert sock.recv(3) == b"two"


def test_a_reset_is_a_reset_and_a_close_an_end():
    def reset(peer):
        peer.read_exactly(1)  # or the reset may come while the client still connects
        peer.reset()

    with ScriptedServer(reset, lambda peer: peer.close()) as server:
        with connected(server) as sock:
            sock.sendall(b"x")
            with pytest.raises(ConnectionResetError):
                sock.recv(1)
        with connected(server) as sock:
            assert sock.recv(1) == b""


def test_a_half_closed_peer_still_reads():
    def script(peer):
        peer.shutdown_write()
        assert peer.read_to_end() == b"late"

    with ScriptedServer(script) as server:
        with connected(server) as sock:
            assert sock.recv(1) == b""
            sock.sendall(b"late")
        server.join()


def test_slow_bytes_leave_one_by_one():
    with ScriptedServer(lambda peer: peer.send_slowly(b"abc", pause=0.05)) as server:
        with connected(server) as sock:
            pieces = list(iter(lambda: sock.recv(10), b""))
    assert b"".join(pieces) == b"abc"
    assert len(pieces) > 1


def test_a_failure_in_a_script_fails_the_test():
    def script(peer):
        assert peer.read_exactly(1) == b"y"

    with pytest.raises(AssertionError, match="y"):
        with ScriptedServer(script) as server, connected(server) as sock:
            sock.sendall(b"x")
            assert sock.recv(1) == b""


def test_the_failure_of_the_test_itself_goes_before_that_of_a_script(capsys):
    def script(peer):
        raise KeyError("of the script")

    with pytest.raises(ZeroDivisionError):
        with ScriptedServer(script) as server, connected(server) as sock:
            assert sock.recv(1) == b""
            raise ZeroDivisionError
    assert "of the script" in capsys.readouterr().err


def test_a_client_that_goes_early_ends_the_script_quietly():
    def script(peer):
        while True:
            peer.send(b"x" * 65536)

    with ScriptedServer(script) as server:
        with connected(server) as sock:
            assert sock.recv(1) == b"x"
        server.join()


@pytest.mark.parametrize(
    "script",
    [
        lambda peer: peer.read_request(),
        lambda peer: peer.next_request(),
        lambda peer: peer.pause(1000),
        lambda peer: peer.wait(threading.Event()),
        lambda peer: [peer.send(b"x" * 65536) for _ in range(10**6)],
    ],
)
def test_leaving_the_block_ends_a_script_that_waits(script):
    begun = time.monotonic()
    with ScriptedServer(script) as server, connected(server):
        server.until(lambda: server.connections == 1)
    assert time.monotonic() - begun < HANG_BOUND
    server.close()  # harmless


def test_a_state_that_does_not_come_about_is_an_assertion(monkeypatch):
    monkeypatch.setattr("support.scripted.HANG_BOUND", 0.1)
    with ScriptedServer.serving(response()) as server:
        with pytest.raises(AssertionError, match="a request did not come about"):
            server.until(lambda: server.requests, "a request")


def test_urls_name_scheme_host_and_port(certs):
    with ScriptedServer.serving(response()) as plain:
        assert plain.url("/a?b") == f"http://127.0.0.1:{plain.port}/a?b"
        assert repr(plain) == f"<ScriptedServer {plain.origin} listening, 0 requests>"
    with ScriptedServer.serving(response(), ssl_context=certs.server) as secure:
        assert secure.url() == f"https://127.0.0.1:{secure.port}/"


def test_ipv6_is_served_where_there_is_any():
    try:
        server = ScriptedServer.serving(response(b"six"), host="::1")
    except OSError:
        pytest.skip("no IPv6 on loopback")
    with server, connected(server) as sock:
        assert server.url("/") == f"http://[::1]:{server.port}/"
        sock.sendall(GET)
        assert sock.recv(1000) == response(b"six")


def test_a_refusing_port_refuses():
    with refusing() as port, pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), 10)


@pytest.mark.skipif(sys.platform != "linux", reason="how a full queue behaves differs by system")
def test_an_unanswering_port_does_not_answer():
    with unanswering() as port, pytest.raises(TimeoutError):
        socket.create_connection(("127.0.0.1", port), 0.3)


# Certificates


def get_over_tls(server, cafile, **options):
    context = ssl.create_default_context(cafile=cafile)
    if options:
        context.load_cert_chain(**options)
    with connected(server) as sock:
        with context.wrap_socket(sock, server_hostname="localhost") as secured:
            secured.sendall(GET)
            answer = secured.recv(1000)
            assert secured.recv(1000) == b""
            return answer


def test_a_good_certificate_is_taken_and_a_close_is_announced(certs):
    answer = response(b"safe", "Connection: close")
    with ScriptedServer.serving(answer, ssl_context=certs.server) as server:
        assert get_over_tls(server, certs.ca_file) == answer
        server.join()
    assert server.request == GET


def test_a_cut_tls_connection_is_not_announced(certs):
    def script(peer):
        peer.read_request()
        peer.cut()

    context = ssl.create_default_context(cafile=certs.ca_file)
    with ScriptedServer(script, ssl_context=certs.server) as server, connected(server) as sock:
        with context.wrap_socket(
            sock, server_hostname="localhost", suppress_ragged_eofs=False
        ) as secured:
            secured.sendall(GET)
            with pytest.raises(ssl.SSLEOFError):
                secured.recv(1)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("expired", "expired"),
        ("wrong_host", "Hostname mismatch"),
        ("self_signed", "self.signed certificate"),
        ("stranger", "unable to get local issuer"),
    ],
)
def test_a_bad_certificate_is_refused_for_its_own_reason(certs, kind, message):
    with ScriptedServer.serving(response(), ssl_context=getattr(certs, kind)) as server:
        with pytest.raises(ssl.SSLCertVerificationError, match=message):
            get_over_tls(server, certs.ca_file)
        server.join()
        assert len(server.handshake_errors) == 1


def test_a_clients_certificate_is_asked_for(certs):
    answer = response(b"known", "Connection: close")
    with ScriptedServer.serving(answer, ssl_context=certs.asks_client) as server:
        for chain in (
            {"certfile": certs.client_file},
            {"certfile": certs.client_cert, "keyfile": certs.client_key},
            {
                "certfile": certs.client_cert,
                "keyfile": certs.client_locked_key,
                "password": "sesame",
            },
        ):
            assert get_over_tls(server, certs.ca_file, **chain) == answer
        with pytest.raises(OSError):
            get_over_tls(server, certs.ca_file)


# nginx


def nginx_get(nginx, method, path, body=None):
    client = http.client.HTTPConnection("127.0.0.1", nginx.port, timeout=10)
    try:
        client.request(method, path, body)
        answer = client.getresponse()
        return answer, answer.read()
    finally:
        client.close()


def test_nginx_gives_short_answers(nginx):
    answer, body = nginx_get(nginx, "GET", "/small")
    assert (answer.status, body, answer.will_close) == (200, b"Hello, world!", False)
    for path in ("/one", "/drop-one"):
        assert nginx_get(nginx, "GET", path)[0].will_close


def test_nginx_gives_files(nginx):
    digest = nginx.make_file("support.bin", 3 * MIB + 1)
    _, body = nginx_get(nginx, "GET", "/file/support.bin")
    assert len(body) == 3 * MIB + 1
    assert hashlib.sha256(body).hexdigest() == digest


def test_nginx_takes_uploads_and_drops_others(nginx):
    answer, _ = nginx_get(nginx, "PUT", "/put/support.bin", b"x" * 2_000_000)
    assert answer.status in (201, 204)
    assert (nginx.uploads / "support.bin").read_bytes() == b"x" * 2_000_000
    answer, body = nginx_get(nginx, "POST", "/drop", b"x" * 2_000_000)
    assert (answer.status, body) == (200, b"dropped")


def test_nginx_counts_the_requests_of_a_connection(nginx):
    client = http.client.HTTPConnection("127.0.0.1", nginx.port, timeout=10)
    said = []
    for _ in range(3):
        client.request("GET", "/connection")
        said.append(client.getresponse().read().split())
    client.close()
    assert [count for _, count in said] == [b"1", b"2", b"3"]
    assert len({serial for serial, _ in said}) == 1


def test_nginx_speaks_tls_with_a_certificate_of_the_ca(nginx, certs):
    context = ssl.create_default_context(cafile=certs.ca_file)
    client = http.client.HTTPSConnection("localhost", nginx.tls_port, timeout=10, context=context)
    client.request("GET", "/small")
    assert client.getresponse().read() == b"Hello, world!"
    client.close()


def test_nginx_does_not_outlive_the_process_that_started_it(tmp_path):
    if find_nginx() is None:
        pytest.skip("nginx is not installed; the fixture says whether it may be missing")
    code = """if 1:
        import os, pathlib, sys
        from support.certs import Certs
        from support.nginx import Nginx
        folder = pathlib.Path(sys.argv[1])
        with Nginx(folder, Certs(folder)) as nginx:
            print(nginx.port, flush=True)
            os._exit(0)
    """
    path = os.pathsep.join(entry or os.getcwd() for entry in sys.path)
    ran = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        stdout=subprocess.PIPE,
        timeout=60,
        env={**os.environ, "PYTHONPATH": path},
        check=True,
    )
    until(lambda: not _answers(int(ran.stdout)), "the end of nginx")


def _answers(port):
    try:
        socket.create_connection(("127.0.0.1", port), 10).close()
    except ConnectionRefusedError:
        return False
    return True


# Memory and descriptors


def test_growth_is_that_of_the_work_alone():
    setup = "block = bytearray(80_000_000); block[::4096] = block[::4096]; del block"
    small = peak_memory(setup, 'result = [size, len(block := b"x" * size)]', size=MIB)
    assert small.result == [MIB, MIB]
    assert small.growth < 8 * MIB
    big = peak_memory(setup, 'block = b"x" * size; del block', size=64 * MIB)
    assert 60 * MIB < big.growth < 72 * MIB


def test_a_failure_in_the_measured_process_is_shown():
    with pytest.raises(AssertionError, match="ZeroDivisionError"):
        peak_memory("", "1 / 0")


def test_open_descriptors_are_counted_and_named():
    before = open_descriptors()
    with open(os.devnull) as file:
        assert open_descriptors() == before + 1
        assert file.fileno() in descriptors()
    assert open_descriptors() == before


# What is asked of every test


def test_what_a_test_leaves_behind_fails_it(pytester, monkeypatch, request):
    conftest = request.config.rootpath / "tests" / "conftest.py"
    patient = conftest.read_text()
    pytester.makeconftest(patient.replace("SETTLING_TIME = HANG_BOUND", "SETTLING_TIME = 0.1"))
    pytester.makeini("[pytest]\nmarkers = leaves_behind: excused\n")
    pytester.makepyfile(
        """
        import os, socket, tempfile, threading, pytest
        kept = []
        def test_thread():
            event = threading.Event()
            kept.append(event)
            threading.Thread(target=event.wait, daemon=True).start()
        def test_descriptor():
            kept.append(socket.socketpair())
        def test_file():
            os.close(tempfile.mkstemp()[0])
        @pytest.mark.leaves_behind('to see that it may')
        def test_excused():
            os.close(tempfile.mkstemp()[0])
        def test_clean():
            with tempfile.TemporaryFile():
                pass
        def test_failed():
            left = socket.socketpair()
            assert not left
        def test_end():
            kept.pop(0).set()
        """
    )
    path = os.pathsep.join(entry or os.getcwd() for entry in sys.path)
    monkeypatch.setenv("PYTHONPATH", path)
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider", "-p", "no:xdist")
    result.assert_outcomes(passed=6, failed=1, errors=3)
    for what in ("threads", "descriptors", "temporary files"):
        result.stdout.fnmatch_lines([f"*the test left {what} behind*"])
