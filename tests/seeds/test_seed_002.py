"""The program of seed 002 and the cases N01 to N24, byte for byte, on both engines."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import re
import socket
from contextlib import closing

import pytest

from restkit import Client
from support.beside import in_threads
from support.engines import ENGINES, run_server
from support.messages import chunks
from support.raw_client import parse_responses, read_to_end, send_all

LAST_CHUNK = b"0\r\n\r\n"
MANY = b"abc" * 100_000


@pytest.fixture(scope="module", params=ENGINES)
def seed(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("seed")
    with run_server(request.param, "support.apps.seed_002:app", folder, workers=3) as where:
        yield where


@pytest.fixture(scope="module", params=ENGINES)
def more(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("more")
    with run_server(request.param, "support.apps.more:app", folder) as where:
        yield where


def make_head(method, path, *fields, version="HTTP/1.1"):
    lines = [f"{method} {path} {version}", "Host: restkit", *fields, "", ""]
    return "\r\n".join(lines).encode()


def sized(method, path, body, *fields):
    return make_head(method, path, f"Content-Length: {len(body)}", *fields) + body


def chunked(method, path, *parts, fields=()):
    return (
        make_head(method, path, "Transfer-Encoding: chunked", *fields) + chunks(*parts) + LAST_CHUNK
    )


def send_and_read(where, *parts):
    """Send these bytes on a new connection and read until the server closes it."""
    with where.connect() as sock:
        send_all(sock, parts)
        return read_to_end(sock)


def exchange(where, data, method="GET"):
    """Send one request with Connection: close; return its response and raw body."""
    raw = send_and_read(where, data.replace(b"\r\n", b"\r\nConnection: close\r\n", 1))
    (response,) = parse_responses(raw, [method])
    return response, raw.partition(b"\r\n\r\n")[2]


def pipeline(where, *requests, methods=()):
    """Send several requests on one connection, the last with Connection: close."""
    *first, last = requests
    last = last.replace(b"\r\n", b"\r\nConnection: close\r\n", 1)
    return parse_responses(send_and_read(where, *first, last), methods or ["GET"] * len(requests))


def read_until(sock, mark):
    data = b""
    while mark not in data:
        chunk = sock.recv(65536)
        assert chunk, f"the server closed before {mark!r}, after {data!r}"
        data += chunk
    return data


# The program


@pytest.mark.parametrize(
    "data", [sized("POST", "/stream", b"121a1"), chunked("POST", "/stream", b"12", b"1a1")]
)
def test_N01_stream_is_echoed_in_chunks(seed, data):
    response, _ = exchange(seed, data, "POST")
    assert (response.status, response.body) == (200, b"A2AaA")
    assert response.headers["transfer-encoding"] == "chunked"
    assert response.headers["content-type"] == "text/plain; charset=utf-8"
    assert "content-length" not in response.headers


@pytest.mark.parametrize(
    "data", [sized("PUT", "/bp_stream", b"11x11"), chunked("PUT", "/bp_stream", b"11x11")]
)
def test_N02_blueprint_handler_streams(seed, data):
    response, body = exchange(seed, data, "PUT")
    assert (response.status, response.headers["content-length"], body) == (200, "5", b"AAxAA")


@pytest.mark.parametrize("path", ["/method_view", "/composition_view"])
@pytest.mark.parametrize("framed", [sized, chunked])
def test_N03_views_read_streams_of_any_size(seed, path, framed):
    response, body = exchange(seed, framed("POST", path, MANY), "POST")
    assert (response.status, body) == (200, MANY)


def test_N03_program_with_the_restkit_client(seed):
    with Client(base_url=seed.url) as client:
        for payload in (MANY, (MANY[at : at + 1000] for at in range(0, len(MANY), 1000))):
            assert client.post("stream", payload).body == MANY
        assert client.put("bp_stream", b"11x11").text == "AAxAA"


def test_N03_many_clients_at_once_get_their_own_bodies(seed):
    def echoed(number):
        mine = f"client {number} ".encode() * 50_000
        with Client(base_url=seed.url) as client:
            return all(client.post("method_view", mine).body == mine for _ in range(3))

    assert in_threads(12, echoed) == [True] * 12


# Handlers


def test_N05_get_returns_none_forever_at_the_end(more):
    response, _ = exchange(more, chunked("POST", "/gets", b"abc", b"d"), "POST")
    assert response.body == b'{"size":4,"after":[null,null]}'


@pytest.mark.parametrize("framed", [sized, chunked])
def test_N05_ordinary_handlers_get_the_whole_body_and_no_stream(more, framed):
    response, _ = exchange(more, framed("POST", "/body", MANY), "POST")
    assert response.body == b'{"stream":true,"size":300000}'


def test_N08_next_request_works_after_404_and_405(more):
    csv = make_head("GET", "/csv")
    for method, path, status in (("POST", "/csv", 405), ("POST", "/nowhere", 404)):
        for framed in (sized, chunked):
            first, second = pipeline(more, framed(method, path, b"x" * 5), csv)
            assert first.status == status
            assert first.headers["content-length"] == str(len(first.body))
            assert (second.status, second.body) == (200, b"foo,bar")
    assert first.body == b"Error: Requested URL /nowhere not found"


def test_N08_405_to_head_has_no_body(more):
    raw = send_and_read(more, make_head("HEAD", "/body", "Connection: close"))
    assert raw.startswith(b"HTTP/1.1 405 Method Not Allowed\r\n")
    assert re.search(rb"\r\nAllow: OPTIONS, POST, PUT\r\n", raw)
    assert raw.endswith(b"\r\n\r\n")


def test_N09_unmarked_method_has_no_stream(more):
    assert exchange(more, make_head("GET", "/mixed"))[0].body == b'{"stream":false}'
    assert exchange(more, sized("POST", "/mixed", b"x"), "POST")[0].body == b'{"stream":true}'


# Responses


def test_N10_each_write_is_a_chunk(more):
    response, body = exchange(more, make_head("GET", "/csv"))
    assert body == b"4\r\nfoo,\r\n3\r\nbar\r\n0\r\n\r\n"
    assert response.headers["content-type"] == "text/csv"
    assert "content-length" not in response.headers


def test_N11_empty_writes_send_nothing(more):
    assert exchange(more, make_head("GET", "/empty_writes"))[1] == b"1\r\na\r\n1\r\nb\r\n0\r\n\r\n"


def test_N12_types_that_write_accepts(more):
    assert exchange(more, make_head("GET", "/kinds"))[0].body == "é".encode() + b"bbamv12"
    response, _ = exchange(more, make_head("GET", "/none"))
    assert response.status == 500


def test_N13_write_is_delivered_at_once(more):
    with more.connect() as sock:
        sock.sendall(make_head("GET", "/paused", "Connection: close"))
        # The second write waits for the request below.
        assert read_until(sock, b"5\r\nfirst\r\n").endswith(b"\r\n\r\n5\r\nfirst\r\n")
        assert exchange(more, make_head("GET", "/go_on"))[0].status == 200
        assert read_to_end(sock) == b"6\r\nsecond\r\n0\r\n\r\n"


def test_N15_failure_before_the_first_write_is_500(more):
    for when in ("handler", "before"):
        first, second = pipeline(more, make_head("GET", f"/fail/{when}"), make_head("GET", "/csv"))
        assert first.status == 500
        assert first.headers["content-length"] == str(len(first.body))
        assert second.body == b"foo,bar"


def test_N15_function_that_writes_nothing_sends_a_head(more):
    first, second = pipeline(more, make_head("GET", "/nothing"), make_head("GET", "/csv"))
    assert (first.status, first.body, second.body) == (200, b"", b"foo,bar")


@pytest.mark.parametrize("when", ["after", "iterable"])
def test_N15_failure_in_the_middle_never_looks_complete(more, when):
    raw = send_and_read(more, make_head("GET", f"/fail/{when}"))
    assert raw.endswith(b"\r\n\r\n1\r\na\r\n")
    with more.connect() as sock:
        sock.sendall(make_head("GET", f"/fail/{when}", version="HTTP/1.0"))
        with pytest.raises(ConnectionResetError):
            while sock.recv(100):
                pass


def test_N16_http_1_0_client_gets_raw_bytes_until_close(more):
    raw = send_and_read(more, make_head("GET", "/csv", version="HTTP/1.0"))
    assert raw.endswith(b"\r\n\r\nfoo,bar")
    assert b"transfer-encoding" not in raw.lower()
    raw = send_and_read(
        more, make_head("POST", "/echo", "Content-Length: 3", version="HTTP/1.0") + b"abc"
    )
    assert raw.endswith(b"\r\n\r\nabc")


# Truncated and oversized bodies


@pytest.mark.parametrize(
    "data",
    [
        make_head("POST", "/body", "Content-Length: 100") + b"ten bytes.",
        make_head("POST", "/gets", "Content-Length: 100") + b"ten bytes.",
        make_head("POST", "/body", "Transfer-Encoding: chunked") + chunks(b"ten bytes."),
        make_head("POST", "/gets", "Transfer-Encoding: chunked") + b"a\r\nten",
        make_head("POST", "/echo", "Transfer-Encoding: chunked") + b"a\r\nten bytes.",
    ],
)
def test_N19_disconnected_client_gets_no_response_and_others_do(more, data):
    with more.connect() as sock:
        sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)
        raw = read_to_end(sock)
    assert LAST_CHUNK not in raw
    assert b"size" not in raw
    assert exchange(more, make_head("GET", "/csv"))[0].body == b"foo,bar"


def test_N20_blueprint_with_a_prefix_casts_parameters(more):
    response, _ = exchange(more, sized("PATCH", "/v1/p/7", b"abc"), "PATCH")
    assert response.body == b'{"id":7,"body":"abc"}'
    assert exchange(more, sized("PATCH", "/v1/p/x", b"abc"), "PATCH")[0].status == 404
    assert exchange(more, chunked("PUT", "/v1/composed", b"abc"), "PUT")[0].body == b"abc"


def test_N21_body_over_the_limit_is_413(more):
    response, _ = exchange(more, make_head("POST", "/body", "Content-Length: 1048577"), "POST")
    assert response.status == 413
    for path in ("/body", "/decoded"):
        assert exchange(more, chunked("POST", path, *[bytes(65536)] * 17), "POST")[0].status == 413


def test_N21_length_and_chunks_together_are_400(more):
    raw = send_and_read(
        more,
        make_head("POST", "/body", "Content-Length: 5", "Transfer-Encoding: chunked") + LAST_CHUNK,
    )
    assert raw.startswith(b"HTTP/1.1 400 ")
    assert raw.count(b"HTTP/1.1 ") == 1


@pytest.mark.parametrize("path", ["/body", "/gets"])
@pytest.mark.parametrize("line", [b"zz", b"0x5", b"-1", b"+5", b"", b"5 5"])
def test_N22_malformed_chunk_size_is_400_and_closes(more, path, line):
    raw = send_and_read(
        more,
        make_head("POST", path, "Transfer-Encoding: chunked")
        + line
        + b"\r\nhello\r\n"
        + LAST_CHUNK,
        make_head("GET", "/csv"),
    )
    assert raw.startswith(b"HTTP/1.1 400 ")
    assert raw.count(b"HTTP/1.1 ") == 1


def test_N23_split_character_is_joined(more):
    with more.connect() as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.sendall(make_head("POST", "/letters", "Content-Length: 3", "Connection: close"))
        for byte in (b"x", *(bytes([each]) for each in "é".encode())):
            sock.sendall(byte)
        (response,) = parse_responses(read_to_end(sock), ["POST"])
    assert "".join(json.loads(response.body)) == "xé"


# 100 Continue


def test_N24_100_continue_is_sent_when_the_handler_reads(more):
    with more.connect() as sock:
        fields = ("Content-Length: 3", "Expect: 100-continue", "Connection: close")
        sock.sendall(make_head("POST", "/gets", *fields))
        assert read_until(sock, b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        sock.sendall(b"abc")
        (response,) = parse_responses(read_to_end(sock), ["POST"])
        assert response.body.startswith(b'{"size":3')


@pytest.mark.parametrize(
    ("path", "length", "status"),
    [("/nowhere", 3, 404), ("/body", 2_000_000, 413), ("/refuse", 3, 403), ("/csv", 3, 405)],
)
def test_N24_without_a_read_no_100_continue_is_sent(more, path, length, status):
    raw = send_and_read(
        more, make_head("POST", path, f"Content-Length: {length}", "Expect: 100-continue")
    )
    assert raw.startswith(f"HTTP/1.1 {status} ".encode())
    assert raw.count(b"HTTP/1.1 ") == 1


# Unread bodies


@pytest.mark.parametrize("framed", [sized, chunked])
def test_unread_body_is_not_the_next_request(more, framed):
    evil = make_head("GET", "/nowhere")
    first, second = pipeline(more, framed("POST", "/ignore", evil), make_head("GET", "/csv"))
    assert (first.body, second.body) == (b"ignored", b"foo,bar")


@pytest.mark.parametrize("path", ["/refuse", "/ignore"])
def test_early_response_arrives_while_the_client_still_sends(more, path):
    data = bytes(20_000_000)
    with more.connect() as sock:
        sock.sendall(sized("POST", path, data))
        raw = read_to_end(sock)
    assert re.match(rb"HTTP/1.1 (403|200) ", raw)
    assert b"connection: close" in raw.lower()


# Both ways


@pytest.mark.parametrize("path", ["/echo", "/echo_by_write"])
@pytest.mark.parametrize("framed", [sized, chunked])
def test_echo_to_a_client_that_sends_everything_first(more, path, framed):
    body = os.urandom(1 << 20) * 24
    parts = (
        [body]
        if framed is sized
        else [body[at : at + 99_991] for at in range(0, len(body), 99_991)]
    )
    data = framed("POST", path, *parts).replace(b"\r\n", b"\r\nConnection: close\r\n", 1)
    with more.connect() as sock:
        sock.sendall(data)
        (response,) = parse_responses(read_to_end(sock), ["POST"])
    assert hashlib.sha256(response.body).digest() == hashlib.sha256(body).digest()


def test_echo_to_http_client(more):
    body = os.urandom(1 << 20) * 24
    with closing(http.client.HTTPConnection("127.0.0.1", more.port, timeout=60)) as connection:
        for _ in range(2):
            connection.request("POST", "/echo", body=body)
            assert connection.getresponse().read() == body


@pytest.mark.parametrize("path", ["/echo", "/echo_by_write"])
def test_small_chunks_alternate_in_both_directions(more, path):
    with more.connect() as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.sendall(make_head("POST", path, "Transfer-Encoding: chunked", "Connection: close"))
        for number in range(20):
            chunk = f"number {number:3}".encode()
            sock.sendall(chunks(chunk))
            assert read_until(sock, chunk + b"\r\n").endswith(b"a\r\n" + chunk + b"\r\n")
        sock.sendall(LAST_CHUNK)
        assert read_to_end(sock) == LAST_CHUNK


def test_echo_to_several_restkit_clients_at_once(more):
    body = os.urandom(1 << 20) * 8

    def echoed(_number):
        with Client(base_url=more.url) as client:
            parts = (body[at : at + 65536] for at in range(0, len(body), 65536))
            return client.post("echo", parts).body == client.post("echo", body).body == body

    assert in_threads(4, echoed) == [True] * 4


def test_pipelined_requests_on_one_connection(more):
    first, second, third = pipeline(
        more,
        sized("POST", "/echo", b"one"),
        make_head("GET", "/csv"),
        chunked("POST", "/body", b"three"),
        methods=["POST", "GET", "POST"],
    )
    assert (first.body, second.body) == (b"one", b"foo,bar")
    assert third.body == b'{"stream":true,"size":5}'
