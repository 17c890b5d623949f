"""HostProxy: what it forwards, what it drops, and its error responses.

A scripted server is the target, the embedded engine serves the proxy, and clients send exact bytes.
"""

from __future__ import annotations

import gzip
import io
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator

import pytest

from restkit import Client, HttpResponse, Timeout
from restkit.errors import ClientDisconnected, Error, RequestError
from restkit.server.serving import Server, serve
from restkit.wsgi_proxy import HostProxy
from support import (
    LAST_CHUNK,
    Peer,
    ScriptedServer,
    body_of,
    chunked_response,
    chunks,
    dechunk,
    field,
    fields_of,
    refusing,
    response,
)
from support.memory import MIB, peak_memory
from support.peer import HANG_BOUND

OK = response(b"ok")


@contextmanager
def serve_proxy(target: str, app: Callable[[HostProxy], object] = lambda proxy: proxy, **options):
    """Serve a HostProxy to the target."""
    with HostProxy(target, **options) as proxy, serve(app(proxy)) as server:
        yield server


@contextmanager
def serve_chain(*scripts, path: str = "", **options) -> Iterator[tuple[Server, ScriptedServer]]:
    """Serve a proxy in front of a scripted target; yield both."""
    answers = isinstance(scripts[0], bytes)
    make = ScriptedServer.serving if answers else ScriptedServer
    with make(*scripts) as target, serve_proxy(target.url(path), **options) as server:
        yield server, target


@contextmanager
def connected(server: Server) -> Iterator[socket.socket]:
    with socket.create_connection((server.host, server.port), HANG_BOUND) as sock:
        yield sock


def read_to_end(sock: socket.socket) -> bytes:
    pieces = []
    while piece := sock.recv(65536):
        pieces.append(piece)
    return b"".join(pieces)


def read_until(sock: socket.socket, mark: bytes) -> bytes:
    data = b""
    while mark not in data:
        more = sock.recv(65536)
        assert more, f"ended before {mark!r}: {data!r}"
        data += more
    return data


def raw_response(
    server: Server, *lines: str, method: str = "GET", target: str = "/", body: bytes = b""
):
    """Return the response to one request, read to the end of its connection."""
    with connected(server) as sock:
        head = [f"{method} {target} HTTP/1.1", "Host: proxy.test", "Connection: close", *lines]
        sock.sendall("\r\n".join([*head, "", ""]).encode("latin-1") + body)
        return read_to_end(sock)


def status_of(answer: bytes) -> int:
    return int(answer[9:12])


# Requests to the target


def test_R23_request_is_forwarded_unchanged_with_via():
    with serve_chain(OK, path="/base/") as (server, target):
        answer = raw_response(server, "Accept: */*", "X-Own: 1", target="/a/b?x=1&y=%20")
    assert target.request == (
        b"GET /base/a/b?x=1&y=%20 HTTP/1.1\r\n"
        + f"Host: {target.host}:{target.port}\r\n".encode()
        + b"Accept: */*\r\n"
        b"X-Own: 1\r\n"
        b"X-Forwarded-For: 127.0.0.1\r\n"
        b"X-Forwarded-Proto: http\r\n"
        b"X-Forwarded-Host: proxy.test\r\n"
        b"Via: 1.1 restkit\r\n"
        b"\r\n"
    )
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert field(answer, "Via") == "1.1 restkit"
    assert body_of(answer) == b"ok"


def test_R23_fields_of_the_client_are_forwarded():
    with serve_chain(OK) as (server, target):
        raw_response(
            server, "User-Agent: mine/1", "Accept-Encoding: br", "Authorization: Basic eDp5"
        )
    assert field(target.request, "User-Agent") == "mine/1"
    assert field(target.request, "Accept-Encoding") == "br"
    assert field(target.request, "Authorization") == "Basic eDp5"


@pytest.mark.parametrize(
    "line",
    [
        "Keep-Alive: timeout=5",
        "TE: trailers",
        "Trailer: X-Sum",
        "Upgrade: websocket",
        "Proxy-Authorization: Basic eDp5",
        "Proxy-Connection: keep-alive",
        "Forwarded: for=192.0.2.1",
        "X-Forwarded-Host: elsewhere.test",
        "X-Forwarded-Port: 1",
        "X-Mine: 1\r\nConnection: x-mine",
    ],
)
def test_R23_hop_by_hop_and_forged_fields_are_dropped(line):
    name = line.partition(":")[0].lower()
    with serve_chain(OK) as (server, target):
        raw_response(server, line)
    names = [(key, value) for key, value in fields_of(target.request) if key == name]
    assert names == ([(name, "proxy.test")] if name == "x-forwarded-host" else [])
    assert "connection" not in dict(fields_of(target.request))


def test_R23_chain_of_proxies_is_extended():
    with serve_chain(OK) as (server, target):
        raw_response(server, "X-Forwarded-For: 192.0.2.1, 192.0.2.2", "Via: 1.0 first")
    assert field(target.request, "X-Forwarded-For") == "192.0.2.1, 192.0.2.2, 127.0.0.1"
    assert field(target.request, "Via") == "1.0 first, 1.1 restkit"


@pytest.mark.parametrize(
    ("base", "path", "expected"),
    [
        ("", "/a%2Fb%20c", "/a%2Fb%20c"),
        ("/base", "/", "/base/"),
        ("/base/", "/", "/base/"),
        ("/base?key=1", "/x?y=2", "/base/x?key=1&y=2"),
        ("", "//x", "//x"),
        ("", "/of/http://h/a%2Fb", "/of/http://h/a%2Fb"),
        ("", "/gr\xc3\xbc\xc3\x9fe", "/gr%C3%BC%C3%9Fe"),
        ("", "/x?q=\xe9", "/x?q=%E9"),
        ("", "/x;v=1/@:!$&'()*+,=~", "/x;v=1/@:!$&'()*+,=~"),
    ],
)
def test_R23_path_is_appended_as_sent(base, path, expected):
    with serve_chain(OK, path=base) as (server, target):
        assert status_of(raw_response(server, target=path)) == 200
    assert target.request.split(b" ")[1].decode() == expected


@pytest.mark.parametrize(
    ("form", "host"),
    [("http://elsewhere.test/x", "elsewhere.test"), ("/x", "elsewhere.test:99")],
)
def test_R23_every_request_goes_to_the_target(form, host):
    with serve_chain(OK) as (server, target), connected(server) as sock:
        sock.sendall(f"GET {form} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        assert status_of(read_to_end(sock)) == 200
    assert target.request.startswith(b"GET /x HTTP/1.1\r\n")
    assert field(target.request, "Host") == f"{target.host}:{target.port}"
    assert field(target.request, "X-Forwarded-Host") == host


@pytest.mark.parametrize(
    "path",
    [
        "/a/../b",
        "/..",
        "/.",
        "/a/%2e%2E/b",
        "/a%2F..%2Fb",
        "/..;x=1/b",
        "/..%00/b",
        "/..%5cb",
        "/%2e;/b",
    ],
)
def test_R23_dot_segments_are_400(path):
    with serve_chain(OK, path="/base/") as (server, target):
        answer = raw_response(server, target=path)
    assert status_of(answer) == 400
    assert b"dot segment" in body_of(answer)
    assert target.requests == []


# Requests that are not forwarded


def test_R23_disallowed_method_is_403_and_not_forwarded():
    with serve_chain(OK) as (server, target):
        answer = raw_response(server, "Content-Length: 1", method="PATCH", body=b"x")
        assert status_of(answer) == 403
        assert field(answer, "Allow") == "GET, HEAD, POST, PUT, DELETE"
        assert body_of(answer) == (
            b"403 Forbidden: PATCH is not forwarded, only GET, HEAD, POST, PUT, DELETE\n"
        )
    assert target.connections == 0


def test_R23_allowed_method_is_forwarded():
    with serve_chain(OK, allowed_methods=["PATCH"]) as (server, target):
        assert (
            status_of(raw_response(server, "Content-Length: 1", method="PATCH", body=b"x")) == 200
        )
        assert status_of(raw_response(server)) == 403
    assert target.request.startswith(b"PATCH / HTTP/1.1\r\n")


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/api", 200),
        ("/api/x?y", 200),
        ("/api?y", 200),
        ("/apis", 403),
        ("/", 403),
        ("/%61pi/x", 403),
        ("/static/x", 200),
    ],
)
def test_R23_only_allowed_targets_get_requests(path, status):
    with serve_chain(OK, path="/base/", allowed_targets=["/api/", "static"]) as (server, target):
        assert status_of(raw_response(server, target=path)) == status
    assert len(target.requests) == (status == 200)


def test_R23_allowed_target_outside_the_target_is_an_error():
    for allowed in ("http://elsewhere.test/", "http://h.test/base2"):
        with pytest.raises(
            RequestError, match=r"allowed_targets must be below http://h\.test.*; got "
        ):
            HostProxy("http://h.test/base/", allowed_targets=[allowed])


def test_R23_one_method_or_target_may_be_a_string():
    only = {"allowed_methods": "PUT", "allowed_targets": "/api"}
    with serve_chain(OK, **only) as (server, target):
        assert status_of(raw_response(server, target="/api")) == 403
        assert status_of(raw_response(server, "Content-Length: 0", method="PUT", target="/")) == 403
        assert (
            status_of(raw_response(server, "Content-Length: 0", method="PUT", target="/api")) == 200
        )
    assert len(target.requests) == 1


# Bodies of requests


@pytest.mark.parametrize("sized", [True, False])
def test_R23_post_is_streamed(sized):
    halves = (b"a" * 1000, b"b" * 1000)
    wire = halves if sized else (chunks(halves[0]), chunks(halves[1]) + LAST_CHUNK)
    framing = "Content-Length: 2000" if sized else "Transfer-Encoding: chunked"
    arrived = threading.Event()

    def script(peer: Peer) -> None:
        head = peer.read_head()
        peer.read_until(b"a" * 1000)
        arrived.set()
        peer.read_until(b"b" * 1000 if sized else LAST_CHUNK)
        assert field(head, "Content-Length") == ("2000" if sized else None)
        assert field(head, "Transfer-Encoding") == (None if sized else "chunked")
        assert field(head, "Content-Type") == "text/x-own"
        peer.send(OK)

    with serve_chain(script) as (server, _), connected(server) as sock:
        head = f"POST /up HTTP/1.1\r\nHost: h\r\nContent-Type: text/x-own\r\n{framing}\r\n\r\n"
        sock.sendall(head.encode() + wire[0])
        assert arrived.wait(HANG_BOUND)
        sock.sendall(wire[1])
        assert read_until(sock, b"ok").startswith(b"HTTP/1.1 200 OK\r\n")


def test_R23_post_without_a_body_has_length_0_and_get_has_none():
    with serve_chain(OK) as (server, target):
        raw_response(server)
        raw_response(server, "Content-Length: 0", method="POST")
    first, second = target.requests
    assert {"content-length", "content-type", "transfer-encoding"}.isdisjoint(
        dict(fields_of(first))
    )
    assert field(second, "Content-Length") == "0"
    assert field(second, "Content-Type") is None


def test_R23_early_error_reaches_a_client_that_is_sending():
    def script(peer: Peer) -> None:
        peer.read_head()
        peer.send(response(b"too much\n", status="413 Content Too Large"))
        peer.drop()

    with serve_chain(script) as (server, _), connected(server) as sock:
        sock.sendall(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100000000\r\n\r\n")
        sender = threading.Thread(target=_send_what_goes, args=(sock, 100))
        sender.start()
        answer = read_to_end(sock)
        sender.join(HANG_BOUND)
    assert answer.startswith(b"HTTP/1.1 413 Content Too Large\r\n")
    assert body_of(answer) == b"too much\n"


def _send_what_goes(sock: socket.socket, mebibytes: int) -> None:
    try:
        for _ in range(mebibytes):
            sock.sendall(b"x" * MIB)
    except OSError:
        pass  # the server may close while the client sends


def test_R23_expect_continue_is_forwarded_to_the_target():
    def script(peer: Peer) -> None:
        head = peer.read_head()
        assert field(head, "Expect") == "100-continue"
        peer.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        assert peer.read_exactly(5) == b"hello"
        peer.send(OK)

    with serve_chain(script) as (server, _), connected(server) as sock:
        head = b"PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n"
        sock.sendall(head)
        assert read_until(sock, b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        sock.sendall(b"hello")
        assert read_until(sock, b"ok").startswith(b"HTTP/1.1 200 OK\r\n")


def test_R23_error_of_the_target_comes_before_100_continue():
    def script(peer: Peer) -> None:
        peer.read_head()
        peer.send(response(b"no\n", status="401 Unauthorized"))
        assert peer.read_to_end() == b""

    with serve_chain(script) as (server, _), connected(server) as sock:
        head = b"PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n"
        sock.sendall(head)
        assert read_until(sock, b"no\n").startswith(b"HTTP/1.1 401 Unauthorized\r\n")


@pytest.mark.parametrize("framing", ["Content-Length: 1000", "Transfer-Encoding: chunked"])
def test_R23_client_that_disconnects_leaves_the_target_an_incomplete_body(framing):
    began = threading.Event()

    def script(peer: Peer) -> None:
        peer.read_head()
        peer.read_until(b"half")
        began.set()
        assert peer.read_to_end() in (b"", b"\r\n")  # of a chunk, and no last chunk

    with serve_chain(script) as (server, target):
        with connected(server) as sock:
            piece = b"half" if framing.startswith("Content") else b"4\r\nhalf\r\n"
            sock.sendall(f"POST / HTTP/1.1\r\nHost: h\r\n{framing}\r\n\r\n".encode() + piece)
            assert began.wait(HANG_BOUND)
        target.join()
        assert target.peers[0].closed_by_client


def test_R23_invalid_chunks_of_the_client_are_400():
    def script(peer: Peer) -> None:
        peer.read_head()
        assert LAST_CHUNK not in peer.read_to_end()

    with serve_chain(script) as (server, _), connected(server) as sock:
        sock.sendall(
            b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\nno\r\n"
        )
        answer = read_to_end(sock)
    assert status_of(answer) == 400
    assert b"no chunk size" in body_of(answer)


HELLO = b"5\r\nhello\r\n0\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: h\r\n"


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n" + HELLO, 400),
        (POST + b"Transfer-Encoding: chunked, chunked\r\n\r\n" + HELLO, 400),
        (POST + b"Content-Length: 5, 05\r\n\r\nhello", 400),
        (POST + b"A: b\nContent-Length: 5\r\n\r\nhello", 400),
        (b"GET / HTTP/1.1\nHost: h\n\n", 400),
        (b"GET / HTTP/2.0\r\nHost: h\r\n\r\n", 505),
        (b"GET / HTTP/1.7\r\nHost: h\r\n\r\n", 505),
        (POST + b"A: b\r\n" * 300 + b"\r\n", 431),
    ],
)
def test_W07_request_that_is_only_valid_as_a_response_is_not_forwarded(request_, status):
    with serve_chain(OK) as (server, target), connected(server) as sock:
        sock.sendall(request_)
        assert status_of(read_to_end(sock)) == status
        assert target.requests == []


# Responses


@pytest.mark.parametrize(
    "from_target",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n" + HELLO,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n" + HELLO,
        b"HTTP/1.1 200 OK\nTransfer-Encoding: chunked\nTransfer-Encoding: chunked\n\n" + HELLO,
    ],
)
def test_W07_chunks_beside_a_length_are_forwarded_without_the_ambiguity(from_target):
    with serve_chain(from_target) as (server, _):
        answer = raw_response(server)
        old = raw_response(server, method="HEAD")
    assert [value for name, value in fields_of(answer) if name == "transfer-encoding"] == [
        "chunked"
    ]
    assert field(answer, "Content-Length") is None
    assert dechunk(body_of(answer)) == b"hello"
    assert field(old, "Content-Length") is None


@pytest.mark.parametrize(
    "from_target",
    [
        b"HTTP/2.0 200 OK\r\nX: y\r\nContent-Length: 05, 5\r\nContent-Length: 005\r\n\r\nhello",
        b"HTTP/1.1 200 OK\nX:\n y\nContent-Length: 5\n\nhello",
        b"HTTP/1.7 200 OK\r\nX: y\nContent-Length: 0005\r\n\nhello",
    ],
)
def test_W07_lenient_response_is_forwarded_in_the_strict_form(from_target):
    with serve_chain(from_target) as (server, _):
        answer = raw_response(server)
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"\n" not in head.replace(b"\r\n", b"")
    lengths = [value for name, value in fields_of(answer) if name == "content-length"]
    assert (lengths, field(answer, "X"), body) == (["5"], "y", b"hello")


def test_W07_several_lengths_of_a_response_without_body_are_not_forwarded():
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %b\r\n\r\n"
    for value, forwarded in [(b"7, 07", "7"), (b"7, 8", None), (b"x", None), (b"7,", None)]:
        with serve_chain(head % value) as (server, _):
            assert field(raw_response(server, method="HEAD"), "Content-Length") == forwarded


def test_R23_response_is_streamed():
    seen = threading.Event()

    def script(peer: Peer) -> None:
        peer.read_request()
        peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", chunks(b"first"))
        peer.wait(seen)
        peer.send(chunks(b"second") + LAST_CHUNK)

    with serve_chain(script) as (server, _), connected(server) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
        came = read_until(sock, b"first")
        seen.set()
        came += read_to_end(sock)
    assert dechunk(body_of(came)) == b"firstsecond"


def test_R23_fields_of_the_response_keep_their_order():
    lines = ["Set-Cookie: a=1", "X-A: 1", "Set-Cookie: b=2", "ETag: x", "Via: 1.0 other"]
    with serve_chain(response(b"ok", *lines, status="200 Very Good")) as (server, _):
        answer = raw_response(server)
    assert answer.startswith(b"HTTP/1.1 200 Very Good\r\n")
    own = [pair for pair in fields_of(answer) if pair[0] not in {"date", "server", "connection"}]
    assert own == [
        ("content-length", "2"),
        ("set-cookie", "a=1"),
        ("x-a", "1"),
        ("set-cookie", "b=2"),
        ("etag", "x"),
        ("via", "1.0 other, 1.1 restkit"),
    ]


def test_R23_hop_by_hop_fields_and_trailers_of_the_response_are_dropped():
    fields = ["Connection: keep-alive, X-Mine", "X-Mine: 1", "Keep-Alive: timeout=5"]
    fields += ["Trailer: X-Sum", "Proxy-Authenticate: Basic", "Upgrade: h2c"]
    whole = chunked_response(b"body", fields=fields)
    whole = whole.removesuffix(b"\r\n") + b"X-Sum: 1\r\n\r\n"
    with serve_chain(whole) as (server, _):
        answer = raw_response(server)
    names = {name for name, _ in fields_of(answer)}
    assert names.isdisjoint({"x-mine", "keep-alive", "trailer", "proxy-authenticate", "upgrade"})
    assert dechunk(body_of(answer)) == b"body"
    assert b"X-Sum" not in answer


def test_R23_encoded_body_is_forwarded_unchanged():
    coded = gzip.compress(b"text " * 1000)
    with serve_chain(response(coded, "Content-Encoding: gzip")) as (server, _):
        answer = raw_response(server, "Accept-Encoding: gzip")
    assert field(answer, "Content-Encoding") == "gzip"
    assert body_of(answer) == coded


@pytest.mark.parametrize(
    ("method", "from_target", "length"),
    [
        ("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n", "1234"),
        ("GET", b"HTTP/1.1 204 No Content\r\n\r\n", None),
        ("GET", b"HTTP/1.1 304 Not Modified\r\nETag: x\r\n\r\n", None),
        ("GET", b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + response(), "0"),
    ],
)
def test_R23_response_without_a_body_has_none(method, from_target, length):
    with serve_chain(from_target) as (server, target):
        first, second = raw_response(server, method=method), raw_response(server, method=method)
        assert target.connections == 1
    assert body_of(first) == body_of(second) == b""
    assert first.split(b" ", 2)[1] == from_target[from_target.rindex(b"HTTP/1.1 ") :].split(b" ")[1]
    assert field(first, "Content-Length") == length


def test_R23_errors_and_redirects_of_the_target_are_forwarded():
    answers = [response(b"a", status="500 Oops"), response(b"b", "Location: /x", status="303 See")]
    with serve_chain(*answers) as (server, target):
        assert status_of(raw_response(server)) == 500
        assert status_of(raw_response(server, method="POST")) == 303
    assert len(target.requests) == 2


def test_R23_cookies_of_one_client_are_not_sent_for_the_next():
    with serve_chain(response(b"ok", "Set-Cookie: s=secret")) as (server, target):
        assert field(raw_response(server), "Set-Cookie") == "s=secret"
        raw_response(server, "Cookie: own=1")
        raw_response(server)
    assert [field(request, "Cookie") for request in target.requests] == [None, "own=1", None]


def test_R23_client_with_cookies_is_an_error():
    with Client() as client, pytest.raises(RequestError, match="cookies=False"):
        HostProxy("http://h.test/", client=client)


def test_R23_client_with_empty_cookies_is_an_error():
    with Client(cookies={}) as client, pytest.raises(RequestError, match="cookies=False"):
        HostProxy("http://h.test/", client=client)


def test_R23_connections_to_the_target_are_kept():
    with serve_chain(OK) as (server, target):
        for _ in range(3):
            raw_response(server)
        assert target.connections == 1


def test_R23_http_1_0_client_gets_bytes_and_a_close():
    with (
        serve_chain(chunked_response(b"some", b"thing")) as (server, target),
        connected(server) as sock,
    ):
        sock.sendall(b"GET / HTTP/1.0\r\n\r\n")
        answer = read_to_end(sock)
        assert field(target.request, "Via") == "1.0 restkit"
    assert body_of(answer) == b"something"
    assert field(answer, "Transfer-Encoding") is None


# Locations


@pytest.mark.parametrize("name", ["Location", "Content-Location"])
@pytest.mark.parametrize(
    ("location", "expected"),
    [
        ("{target}/base/x?y#z", "http://proxy.test/x?y#z"),
        ("{target}/base", "http://proxy.test"),
        ("{target}/base?y", "http://proxy.test?y"),
        ("/base/x", "http://proxy.test/x"),
        ("y", "http://proxy.test/a/y"),
        ("../y", "http://proxy.test/y"),
        ("?q", "http://proxy.test/a/b?q"),
        ("/elsewhere", "/elsewhere"),
        ("{target}/based", "/based"),
        ("{target}/elsewhere?y#z", "/elsewhere?y#z"),
        ("//{host}/elsewhere", "/elsewhere"),
        ("HTTP://{host}/elsewhere", "/elsewhere"),
        ("http://u:p@{host}/elsewhere", "/elsewhere"),
        ("{target}/base/../x", "/x"),
        ("../../x", "/x"),
        ("http:/x", "/x"),
        ("{target}", "/"),
        ("{target}//other.test/x", "/.//other.test/x"),
        ("http://other.test/base/x", "http://other.test/base/x"),
        ("//other.test/x", "http://other.test/x"),
        ("http://proxy.test/already", "http://proxy.test/already"),
        ("mailto:a@b.test", "mailto:a@b.test"),
        ("http://[broken/", "http://[broken/"),
    ],
)
def test_R23_location_at_the_target_is_rewritten(name, location, expected):
    def script(peer: Peer) -> None:
        peer.read_request()
        value = location.format(target=origin, host=origin.partition("//")[2])
        peer.send(response(b"", f"{name}: {value}", status="302 Found"))

    with ScriptedServer(script) as target:
        origin = target.origin
        with serve_proxy(target.url("/base/")) as server:
            answer = raw_response(server, target="/a/b")
    assert field(answer, name) == expected.format(target=origin)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (
            'Link: <{target}/base/2>; rel=next; title="<{target}/3>", </base/4>;rel=last',
            'Link: <http://proxy.test/2>; rel=next; title="<{target}/3>", <http://proxy.test/4>;rel=last',
        ),
        (
            "Link: <{target}/x>; rel=up, <http://other.test/>; rel=a",
            "Link: </x>; rel=up, <http://other.test/>; rel=a",
        ),
        ("Refresh: 0; url={target}/base/x", "Refresh: 0; url=http://proxy.test/x"),
        ("Refresh: 5;URL='{target}/base/x'", "Refresh: 5;URL='http://proxy.test/x'"),
        ("Refresh: 5", "Refresh: 5"),
    ],
)
def test_R23_urls_in_Link_and_Refresh_lead_to_the_proxy(line, expected):
    def script(peer: Peer) -> None:
        peer.read_request()
        peer.send(response(b"", line.format(target=origin)))

    with ScriptedServer(script) as target:
        origin = target.origin
        with serve_proxy(target.url("/base/")) as server:
            answer = raw_response(server, target="/a")
    assert expected.format(target=origin).encode() in answer.split(b"\r\n")


def test_R23_control_characters_of_the_response_become_spaces():
    lines = ["X: a\x08b\x1b[1mc\x7fd", "Y: \x0b\x0ce", "Z: a\tb caf\xc3\x85", "Via: 1.1 a\x1bb"]
    with serve_chain(response(b"ok", *lines, status="200 O\x1bK\x7f")) as (server, _):
        answer = raw_response(server)
    assert answer.startswith(b"HTTP/1.1 200 O K\r\n")
    assert field(answer, "X") == "a b [1mc d"
    assert field(answer, "Y") == "e"
    assert field(answer, "Via") == "1.1 a b, 1.1 restkit"
    assert b"\r\nZ: a\tb caf\xc3\x85\r\n" in answer
    assert body_of(answer) == b"ok"


def test_R23_control_character_in_a_request_field_is_400_and_not_forwarded():
    with serve_chain(OK) as (server, target):
        for code in (1, 8, 11, 12, 27, 127):
            answer = raw_response(server, f"X: X{chr(code)}Transfer-Encoding: chunked")
            assert status_of(answer) == 400
        assert target.requests == []


def test_R23_location_of_a_mounted_proxy_has_its_path():
    def mounted(proxy: HostProxy):
        def app(environ, start_response):
            assert environ["PATH_INFO"].startswith("/on a/path/")
            environ["SCRIPT_NAME"] = "/on a/path"
            environ["PATH_INFO"] = environ["PATH_INFO"].removeprefix("/on a/path")
            return proxy(environ, start_response)

        return app

    with serve_chain(response(b"", "Location: /x", status="201 Created"), app=mounted) as (
        server,
        to,
    ):
        answer = raw_response(server, target="/on%20a/path/up%2Fload", method="POST")
    assert field(answer, "Location") == "http://proxy.test/on%20a/path/x"
    assert to.request.startswith(b"POST /up%2Fload HTTP/1.1\r\n")


def test_R23_rewriting_of_locations_can_be_disabled():
    found = response(b"", "Location: /x", status="302 Found")
    with serve_chain(found, rewrite_location=False) as (server, _):
        assert field(raw_response(server), "Location") == "/x"


# Errors of the target


def test_R23_unreachable_target_is_a_502_and_only_the_log_names_it(caplog):
    with refusing() as port, serve_proxy(f"http://127.0.0.1:{port}/") as server:
        answer = raw_response(server)
    assert answer.startswith(b"HTTP/1.1 502 Bad Gateway\r\n")
    assert field(answer, "Content-Type") == "text/plain; charset=utf-8"
    assert body_of(answer) == (
        b"502 Bad Gateway: the target cannot be reached, or sent no valid response\n"
    )
    assert f"cannot connect to 127.0.0.1:{port}: Connection refused" in caplog.text


def test_R23_slow_target_is_a_504():
    waiting = Client(cookies=False, timeout=Timeout(idle=0.4))
    with waiting, serve_chain(lambda peer: peer.read_to_end(), client=waiting) as (server, _):
        answer = raw_response(server)
    assert answer.startswith(b"HTTP/1.1 504 Gateway Timeout\r\n")
    assert body_of(answer) == b"504 Gateway Timeout: the target did not respond in time\n"


@pytest.mark.parametrize(
    "gives",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
    ],
)
def test_R23_response_cut_before_its_body_is_a_502(gives):
    def script(peer: Peer) -> None:
        peer.read_request()
        peer.send(gives)

    once = Client(cookies=False, max_tries=1)
    with once, serve_chain(script, client=once) as (server, _):
        assert status_of(raw_response(server)) == 502


@pytest.mark.parametrize(
    ("method", "lines", "body", "count"),
    [
        ("GET", (), b"", 3),
        ("DELETE", (), b"", 3),
        ("POST", ("Content-Length: 1",), b"x", 1),
        ("PUT", ("Content-Length: 1",), b"x", 1),
    ],
)
def test_R23_only_an_idempotent_request_without_a_body_is_sent_again(method, lines, body, count):
    def close(peer: Peer) -> None:
        peer.read_request()

    with serve_chain(close) as (server, target):
        assert status_of(raw_response(server, *lines, method=method, body=body)) == 502
        assert target.connections == len(target.requests) == count
    once = Client(cookies=False, max_tries=1)
    with once, serve_chain(close, client=once) as (server, target):
        assert status_of(raw_response(server, *lines, method=method, body=body)) == 502
        assert target.connections == len(target.requests) == 1


def test_R23_credentials_of_the_target_are_sent_only_to_it():
    with ScriptedServer.serving(response(b"", "Location: /x", status="302 Found")) as target:
        uri = f"http://user:secret@{target.host}:{target.port}/?token=hidden"
        with HostProxy(uri) as proxy, serve(proxy) as server:
            assert field(raw_response(server), "Location") == "http://proxy.test/x"
            assert "secret" not in repr(proxy)
            assert "hidden" not in repr(proxy)
        assert field(target.request, "Authorization") == "Basic dXNlcjpzZWNyZXQ="
    with (
        refusing() as port,
        serve_proxy(f"http://user:secret@127.0.0.1:{port}/?key=hidden") as server,
    ):
        answer = raw_response(server)
    assert status_of(answer) == 502
    assert b"secret" not in answer
    assert b"hidden" not in answer


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3e8\r\n",
    ],
)
def test_R23_response_that_is_cut_off_never_looks_complete(head):
    def script(peer: Peer) -> None:
        peer.read_request()
        peer.send(head + b"half of it")
        peer.until_taken()

    with serve_chain(script) as (server, _), connected(server) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        answer = read_to_end(sock)
    assert b"half of it" in answer
    assert not answer.endswith(LAST_CHUNK)
    if b"Content-Length" in head:
        assert field(answer, "Content-Length") == "1000"


def test_R23_response_that_is_cut_off_is_a_reset_for_http_1_0():
    def script(peer: Peer) -> None:
        peer.read_request()
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + b"half of it")
        peer.until_taken()

    with serve_chain(script) as (server, _), Client() as client:
        with pytest.raises(Error):
            assert client.get(server.url).body


def test_R23_client_that_disconnects_ends_the_response_of_the_target():
    began = threading.Event()

    def script(peer: Peer) -> None:
        peer.read_request()
        peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:  # until the connection is closed
            peer.send(chunks(b"x" * 65536))
            began.set()

    with serve_chain(script) as (server, target):
        with connected(server) as sock:
            sock.sendall(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
            assert began.wait(HANG_BOUND)
            read_until(sock, b"x")
        target.join()


# On other servers


class Called:
    """One direct call of a WSGI app, with the checks of PEP 3333."""

    def __init__(self, app, body: bytes = b"", **environ: str) -> None:
        streams = {"wsgi.input": io.BytesIO(body), "wsgi.errors": io.StringIO()}
        given = {"SCRIPT_NAME": "", "PATH_INFO": "/", "QUERY_STRING": "", **streams, **environ}
        if body:
            given["CONTENT_LENGTH"] = given.get("CONTENT_LENGTH", str(len(body)))
        setup_testing_defaults(given)
        pieces = validator(app)(given, self._start)
        try:
            self.body = b"".join(pieces)
        finally:
            pieces.close()

    def _start(self, status, headers, exc_info=None):
        self.status, self.headers = status, dict(headers)
        return lambda data: None


def test_R23_proxy_conforms_to_pep_3333():
    typed = response(b"ok", "Content-Type: text/plain")
    with ScriptedServer.serving(typed) as target, HostProxy(target.url()) as proxy:
        answer = Called(proxy, b"12345", REQUEST_METHOD="POST", PATH_INFO="/a b%2F\xe9")
        assert (answer.status, answer.body) == ("200 OK", b"ok")
        refused = Called(proxy, REQUEST_METHOD="OPTIONS")
        assert refused.status == "403 Forbidden"
    assert target.request.startswith(b"POST /a%20b%252F%E9 HTTP/1.1\r\n")
    assert body_of(target.request) == b"12345"
    assert field(target.request, "X-Forwarded-Host") == "127.0.0.1"


def test_R23_invalid_path_is_400_on_any_server():
    with ScriptedServer.serving(OK) as target, HostProxy(target.url()) as proxy:
        environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "http://elsewhere.test/"}
        environ["wsgi.input"] = io.BytesIO()
        setup_testing_defaults(environ)
        statuses = []
        body = proxy(environ, lambda status, headers: statuses.append(status))
        assert list(body) == [b"400 Bad Request: the target of the request is not a path\n"]
        assert Called(proxy, REQUEST_METHOD="GET", HTTP_HOST="a/b").status == "400 Bad Request"
    assert statuses == ["400 Bad Request"]
    assert target.connections == 0


def test_R23_short_body_on_another_server_is_never_sent_as_complete():
    def script(peer: Peer) -> None:
        peer.read_head()
        assert peer.read_to_end() == b"123"

    with ScriptedServer(script) as target, HostProxy(target.url()) as proxy:
        with pytest.raises(ClientDisconnected):
            Called(proxy, b"123", REQUEST_METHOD="POST", CONTENT_LENGTH="5")
        target.join()


def test_R23_close_closes_only_its_own_client():
    with Client(cookies=False) as client:
        with HostProxy("http://127.0.0.1:1/base/", client=client) as proxy:
            assert repr(proxy) == "<HostProxy to http://127.0.0.1:1/base/>"
        assert not client.closed
    with HostProxy("http://127.0.0.1:1/") as proxy:
        pass
    proxy.close()
    assert repr(proxy) == "<HostProxy to http://127.0.0.1:1/, closed>"


# In front of restkit's server


@pytest.fixture
def serve_echo() -> Iterator[tuple[Server, Client]]:
    """Serve a proxy in front of an App that echoes; yield a client."""
    from restkit.server import App
    from restkit.server.response import stream

    app = App("echo")

    @app.post("/echo", stream=True)
    def echo(request):
        return stream(request.stream)

    with ExitStack() as stack:
        behind = stack.enter_context(serve(app))
        server = stack.enter_context(serve_proxy(behind.url))
        yield server, stack.enter_context(Client(timeout=HANG_BOUND))


def test_R23_streams_between_restkits_server_and_client(serve_echo):
    server, client = serve_echo

    def pieces():
        yield from (b"one, ", b"two")

    answer: HttpResponse = client.post(f"{server.url}/echo", pieces())
    assert answer.body == b"one, two"
    assert client.post(f"{server.url}/echo", b"sized").body == b"sized"
    assert client.get(f"{server.url}/none").status == 404


SETUP = """
import hashlib
from contextlib import ExitStack
from restkit import Client
from restkit.server import App
from restkit.server.serving import serve
from restkit.server.response import stream, text
from restkit.wsgi_proxy import HostProxy

app = App('far')

@app.put('/up', stream=True)
def up(request):
    digest = hashlib.sha256()
    for piece in request.stream:
        digest.update(piece)
    return text(digest.hexdigest())

@app.get('/down')
def down(request):
    return stream(b'x' * 65536 for _ in range(int(request.args.get('blocks'))))

def blocks(count):
    for _ in range(count):
        yield b'x' * 65536

def both(count):
    sent = client.put(near.url + '/up', blocks(count)).text
    digest = hashlib.sha256()
    for piece in client.get(f'{near.url}/down?blocks={count}').payload_stream:
        digest.update(piece)
    return [sent, digest.hexdigest()]

stack = ExitStack()
far = stack.enter_context(serve(app))
near = stack.enter_context(serve(stack.enter_context(HostProxy(far.url))))
client = stack.enter_context(Client())
both(8)
"""


def test_R23_64_mib_are_forwarded_each_way_in_flat_memory():
    import hashlib

    cost = peak_memory(SETUP, "result = both(1024)\nstack.close()")
    whole = hashlib.sha256(b"x" * 64 * MIB).hexdigest()
    assert cost.result == [whole, whole]
    assert cost.growth < 48 * MIB  # two servers and a client, with the buffers of each
