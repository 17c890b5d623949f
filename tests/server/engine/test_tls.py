"""The embedded engine with TLS: handshakes, ends, and the same bytes as without."""

from __future__ import annotations

import socket
import ssl
import threading
from contextlib import ExitStack

import pytest

import restkit
from restkit.errors import ClientDisconnected
from restkit.server import App, serve
from restkit.server.engine import body_collection
from restkit.server.response import file, stream, text
from support.caller import Caller, get, post
from support.certs import CLIENT_KEY_PASSWORD, Certs
from support.peer import HANG_BOUND
from support.waiting import until


class SecureCaller(Caller):
    """A connection with TLS; an end without close_notify is an ``ssl.SSLEOFError``."""

    def __init__(self, port: int, certs: Certs, version: str = "TLSv1_3", **options: int) -> None:
        super().__init__(port, **options)
        context = ssl.create_default_context(cafile=certs.ca_file)
        context.minimum_version = context.maximum_version = ssl.TLSVersion[version]
        context.set_alpn_protocols(["h2", "http/1.1"])
        try:
            self.sock = context.wrap_socket(
                self.sock, server_hostname="localhost", suppress_ragged_eofs=False
            )
        except OSError:
            self.sock.close()
            raise

    def finish(self) -> None:
        """End the sending side of TCP, without a close_notify."""
        socket.socket.shutdown(self.sock, socket.SHUT_WR)


def make_app() -> App:
    app = App()

    @app.get("/")
    def url(request):
        return text(request.url)

    @app.post("/")
    def size(request):
        return text(len(request.body))

    @app.post("/echo", stream=True)
    def echo(request):
        return stream(request.stream)

    @app.get("/file")
    def send_file(request):
        return file(request.args.get("path"))

    return app


@pytest.fixture
def tls(certs):
    return certs.server_cert, certs.server_key


def answer(body: bytes) -> bytes:
    return (
        b"HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\n"
        b"Content-Length: %d\r\n\r\n%s" % (len(body), body)
    )


# Requests


@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
def test_requests_are_handled_as_without_TLS(certs, tls, version):
    with serve(make_app(), tls=tls) as server, SecureCaller(server.port, certs, version) as caller:
        for _ in range(2):
            caller.send(get())
            assert caller.read_answer() == answer(b"https://x/")
        caller.send(post("/", bytes(100_000)))
        assert caller.read_answer() == answer(b"100000")
        assert caller.sock.version() == version.replace("v1_", "v1.")
        assert caller.sock.selected_alpn_protocol() == "http/1.1"


def test_url_of_the_server_and_of_a_request_are_https(certs, tls):
    def app(environ, start_response):
        start_response("200 OK", [])
        return [f"{environ['wsgi.url_scheme']} {environ['SERVER_PORT']}".encode()]

    with serve(app, tls=tls) as server:
        assert server.url == f"https://127.0.0.1:{server.port}"
        with restkit.Client(verify=str(certs.ca_file)) as client:
            assert client.get(server.url).text == f"https {server.port}"


def test_requests_that_arrive_together_are_all_handled(certs, tls):
    with serve(make_app(), tls=tls) as server, SecureCaller(server.port, certs) as caller:
        caller.send(get() + post("/", b"abc") + post("/echo", b"defg") + get())
        bodies = [caller.read_body(caller.read_head()) for _ in range(4)]
    assert bodies == [b"https://x/", b"3", b"defg", b"https://x/"]


def test_next_request_in_the_record_that_ends_a_body_is_handled(certs, tls):
    def app(environ, start_response):
        reading.set()
        body = environ["wsgi.input"].read()
        start_response("200 OK", [("Content-Length", str(len(body)))])
        return [body]

    reading = threading.Event()
    with serve(app, tls=tls) as server, SecureCaller(server.port, certs) as caller:
        caller.send(post("/", b"abcd")[:-4])
        assert reading.wait(HANG_BOUND)
        caller.send(b"abcd" + get())
        assert caller.read_body(caller.read_head()) == b"abcd"
        assert caller.read_body(caller.read_head()) == b""


def test_body_that_arrives_slowly_holds_no_thread(certs, tls):
    app = App()
    app.post("/size")(lambda request: text(str(len(request.body))))
    app.get("/")(lambda request: text("fine"))
    request = post("/size", bytes(50_000))
    with serve(app, tls=tls, threads=1) as server, SecureCaller(server.port, certs) as slow:
        slow.send(request[:20_000])
        with SecureCaller(server.port, certs) as other:
            other.send(get("/"))
            assert other.read_answer().endswith(b"fine")
        slow.send(request[20_000:])
        assert slow.read_answer().endswith(b"\r\n\r\n50000")


def test_client_that_sends_everything_before_it_reads_gets_its_echo(certs, tls):
    data = bytes(range(256)) * 40_000
    with serve(make_app(), tls=tls) as server, SecureCaller(server.port, certs) as caller:
        caller.send(post("/echo", data, "Connection: close"))
        assert caller.read_body(caller.read_head()) == data
        assert caller.read_to_end() == b""


def test_file_is_sent_encrypted(certs, tls, tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"begin" + bytes(40_000_000) + b"end")
    with serve(make_app(), tls=tls) as server, SecureCaller(server.port, certs) as caller:
        caller.send(get(f"/file?path={path}"))
        body = caller.read_body(caller.read_head())
    assert body == path.read_bytes()


def test_client_that_ends_its_side_gets_its_response(certs, tls):
    with serve(make_app(), tls=tls) as server, SecureCaller(server.port, certs) as caller:
        caller.send(get("/", "Connection: close"))
        caller.finish()
        assert caller.read_answer().endswith(b"https://x/")


# Ends


@pytest.mark.parametrize(
    "request_bytes",
    [
        get("/", "Connection: close"),
        get(version="1.0"),
        post("/none", bytes(1_000_000)),
        b"GET / HTTP/1.1\r\nHost: x\r\nbad\r\n\r\n",
    ],
    ids=["close", "HTTP 1.0", "unread body", "malformed"],
)
def test_end_has_a_close_notify(certs, tls, request_bytes):
    with serve(make_app(), tls=tls) as server, SecureCaller(server.port, certs) as caller:
        caller.send(request_bytes)
        caller.read_answer()
        assert caller.read_to_end() == b""


def test_idle_connection_ends_with_a_close_notify(certs, tls):
    with serve(make_app(), tls=tls, timeout=0.2) as server:
        with SecureCaller(server.port, certs) as caller:
            assert caller.read_to_end() == b""
    with serve(make_app(), tls=tls) as server, SecureCaller(server.port, certs) as caller:
        caller.send(get())
        caller.read_answer()
        server.close()
        assert caller.read_to_end() == b""


def test_half_a_head_is_answered_with_408(certs, tls):
    with serve(make_app(), tls=tls, timeout=0.2) as server:
        with SecureCaller(server.port, certs) as caller:
            caller.send(get()[:-2])
            assert caller.read_head().startswith(b"HTTP/1.1 408 Request Timeout\r\n")


def test_incomplete_response_does_not_end_like_a_complete_one(certs, tls):
    def app(environ, start_response):
        start_response("200 OK", [])
        yield b"part"
        raise RuntimeError

    with serve(app, tls=tls) as server, SecureCaller(server.port, certs) as caller:
        caller.send(get(version="1.0"))
        with pytest.raises((ssl.SSLEOFError, ConnectionResetError)):
            caller.read_to_end()


def test_closing_wakes_an_application_that_waits_for_its_client(certs, tls):
    def app(environ, start_response):
        reading.set()
        try:
            environ["wsgi.input"].read()
        except ClientDisconnected as exc:
            caught.append(exc)
            raise

    reading, caught = threading.Event(), []
    with serve(app, tls=tls, grace=0) as server, SecureCaller(server.port, certs) as caller:
        caller.send(post("/", b"abcd")[:-1])
        assert reading.wait(HANG_BOUND)
        server.close()
    assert "the server closes" in str(caught[0])


# Handshakes


@pytest.mark.parametrize("method", ["GET", "DELETE", "PROPFIND"])
def test_request_without_TLS_is_refused_with_a_reason(certs, tls, method):
    with serve(make_app(), tls=tls) as server, Caller(server.port) as caller:
        caller.send(get(method=method))
        assert caller.read_answer() == (
            b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=iso-8859-1\r\n"
            b"Content-Length: 32\r\nConnection: close\r\n\r\nthis port speaks TLS: use https\n"
        )
        assert caller.read_to_end() == b""


def test_broken_handshake_ends_with_an_alert(certs, tls, caplog):
    with serve(make_app(), tls=tls) as server:
        with Caller(server.port) as caller:
            caller.send(b"\x16\x03\x01\x00\x05hello")
            assert caller.read_to_end()[:1] == b"\x15"
        with SecureCaller(server.port, certs) as caller:
            caller.send(get())
            assert caller.read_answer() == answer(b"https://x/")
    assert caplog.records == []


def test_client_without_its_certificate_gets_the_alert(certs):
    with serve(make_app(), tls=certs.asks_client) as server:
        with SecureCaller(server.port, certs) as caller:
            caller.send(get())
            with pytest.raises(ssl.SSLError, match=r"certificate.required"):
                caller.read_to_end()
        with restkit.Client(verify=str(certs.ca_file), cert=str(certs.client_file)) as client:
            assert client.get(server.url + "/").status == 200


def client_hello() -> bytes:
    outgoing = ssl.MemoryBIO()
    context = ssl.create_default_context()
    tls = context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="localhost")
    with pytest.raises(ssl.SSLWantReadError):
        tls.do_handshake()
    return outgoing.read()


@pytest.mark.parametrize("sent", [b"", b"\x16", client_hello()[:-1]], ids=["no", "one", "most"])
def test_handshake_that_is_not_complete_in_time_ends(tls, sent):
    with serve(make_app(), tls=tls, timeout=0.2) as server, Caller(server.port) as caller:
        caller.send(sent)
        assert caller.read_to_end() == b""


def test_client_that_stops_in_its_handshake_ends(tls):
    with serve(make_app(), tls=tls, timeout=0.2) as server, Caller(server.port) as caller:
        caller.send(client_hello())
        assert b"HTTP/1.1" not in caller.read_to_end()


def test_handshakes_hold_no_thread_and_do_not_block_others(certs, tls):
    with serve(make_app(), tls=tls, threads=1) as server, ExitStack() as stack:
        for sent in (b"", b"\x16", client_hello()[:-1], client_hello()) * 5:
            stack.enter_context(Caller(server.port)).send(sent)
        caller = stack.enter_context(SecureCaller(server.port, certs))
        caller.send(get())
        assert caller.read_answer() == answer(b"https://x/")


def test_connections_in_their_handshake_count_and_are_replaced(certs, tls):
    with serve(make_app(), tls=tls, max_connections=3) as server, ExitStack() as stack:
        silent = [stack.enter_context(Caller(server.port)) for _ in range(10)]
        with SecureCaller(server.port, certs) as caller:
            caller.send(get())
            assert caller.read_answer() == answer(b"https://x/")
        assert silent[0].read_to_end() == b""


def test_client_that_resets_its_handshake_does_not_stop_the_server(certs, tls):
    with serve(make_app(), tls=tls) as server:
        for sent in (b"", b"\x16", client_hello()):
            caller = Caller(server.port)
            caller.send(sent)
            caller.reset()
        with SecureCaller(server.port, certs) as caller:
            caller.send(get())
            assert caller.read_answer() == answer(b"https://x/")


# The option


def test_certificate_can_be_given_in_each_form(certs, tls, tmp_path):
    both = tmp_path / "both.pem"
    both.write_bytes(certs.server_cert.read_bytes() + certs.server_key.read_bytes())
    for option in (tls, tuple(map(str, tls)), both, str(both), certs.server):
        with serve(make_app(), tls=option) as server, SecureCaller(server.port, certs) as caller:
            caller.send(get())
            assert caller.read_answer() == answer(b"https://x/")


def test_encrypted_key_needs_its_password(certs):
    files = certs.client_cert, certs.client_locked_key
    with serve(make_app(), tls=(*files, CLIENT_KEY_PASSWORD)) as server:
        assert server.url.startswith("https://")
    with pytest.raises(ValueError, match=r"the key is encrypted; give .certificate, key, password"):
        serve(make_app(), tls=files)
    with pytest.raises(ValueError, match="not a PEM certificate with its key") as caught:
        serve(make_app(), tls=(*files, "wrong secret"))
    assert "wrong secret" not in str(caught.value)


@pytest.mark.parametrize("value", [(), 1, b"cert.pem", ("a", 1), ("a", "b", "c", "d"), ("a", None)])
def test_invalid_tls_is_an_error(value):
    with pytest.raises(TypeError, match=r"^tls must be an ssl.SSLContext, .certificate, key.,"):
        serve(make_app(), tls=value)


def test_files_that_do_not_fit_are_an_error(certs, tmp_path):
    with pytest.raises(ValueError, match=r"its key .KEY_VALUES_MISMATCH"):
        serve(make_app(), tls=(certs.server_cert, certs.client_key))
    with pytest.raises(FileNotFoundError, match="missing"):
        serve(make_app(), tls=(certs.server_cert, tmp_path / "missing"))
    with pytest.raises(ValueError, match="the SSLContext is for clients"):
        serve(make_app(), tls=ssl.create_default_context())


def test_server_that_stops_collects_the_bytes_that_TLS_has_decrypted(certs, tls):
    app = App()
    app.add_route(lambda request: text(request.body), "/small", ["POST"], max_body=20)
    server = serve(app, tls=tls, grace=HANG_BOUND)
    with SecureCaller(server.port, certs) as caller, SecureCaller(server.port, certs) as idle:
        idle.send(get("/"))
        idle.read_answer()
        caller.send(get("/small", "Transfer-Encoding: chunked", method="POST") + b"1\r\na")
        until(lambda: body_collection._collected.add(0) == 1, "a collected byte")
        closing = threading.Thread(target=server.close)
        closing.start()
        assert idle.read_to_end() == b""  # the server has begun to stop
        # One record; the server receives at most 20 bytes at a time.
        caller.send(b"\r\n1;" + b"x" * 500 + b"\r\nb\r\n0\r\n\r\n")
        assert caller.read_answer().endswith(b"\r\n\r\nab")
        closing.join()
