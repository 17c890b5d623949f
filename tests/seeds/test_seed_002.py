"""The document's program and the cases N01 to N24, byte for byte, on both engines."""

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
from support.engines import ENGINES, served
from support.messages import chunks
from support.raw_client import replies, send_all, to_the_end

LAST = b"0\r\n\r\n"
MANY = b"abc" * 100_000


@pytest.fixture(scope="module", params=ENGINES)
def seed(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("seed")
    with served(request.param, "support.apps.seed_002:app", folder, workers=3) as where:
        yield where


@pytest.fixture(scope="module", params=ENGINES)
def more(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("more")
    with served(request.param, "support.apps.more:app", folder) as where:
        yield where


def head(method, path, *fields, version="HTTP/1.1"):
    lines = [f"{method} {path} {version}", "Host: restkit", *fields, "", ""]
    return "\r\n".join(lines).encode()


def sized(method, path, body, *fields):
    return head(method, path, f"Content-Length: {len(body)}", *fields) + body


def chunked(method, path, *pieces, fields=()):
    return head(method, path, "Transfer-Encoding: chunked", *fields) + chunks(*pieces) + LAST


def said(where, *parts):
    """All that comes back until the server closes, of a client that says no more than this."""
    with where.connect() as sock:
        send_all(sock, parts)
        return to_the_end(sock)


def answered(where, data, method="GET"):
    """The one answer on a connection that is told to close."""
    raw = said(where, data.replace(b"\r\n", b"\r\nConnection: close\r\n", 1))
    (reply,) = replies(raw, [method])
    return reply, raw.partition(b"\r\n\r\n")[2]


def talked(where, *requests, methods=()):
    """Answers to several requests on one connection, the last of which closes it."""
    *first, last = requests
    last = last.replace(b"\r\n", b"\r\nConnection: close\r\n", 1)
    return replies(said(where, *first, last), methods or ["GET"] * len(requests))


def got_until(sock, mark):
    data = b""
    while mark not in data:
        piece = sock.recv(65536)
        assert piece, f"the server closed before {mark!r}, after {data!r}"
        data += piece
    return data


# The program


@pytest.mark.parametrize(
    "data", [sized("POST", "/stream", b"121a1"), chunked("POST", "/stream", b"12", b"1a1")]
)
def test_N01_the_stream_is_answered_while_it_comes(seed, data):
    reply, _ = answered(seed, data, "POST")
    assert (reply.status, reply.body) == (200, b"A2AaA")
    assert reply.headers["transfer-encoding"] == "chunked"
    assert reply.headers["content-type"] == "text/plain; charset=utf-8"
    assert "content-length" not in reply.headers


@pytest.mark.parametrize(
    "data", [sized("PUT", "/bp_stream", b"11x11"), chunked("PUT", "/bp_stream", b"11x11")]
)
def test_N02_a_blueprint_has_streams_too(seed, data):
    reply, body = answered(seed, data, "PUT")
    assert (reply.status, reply.headers["content-length"], body) == (200, "5", b"AAxAA")


@pytest.mark.parametrize("path", ["/method_view", "/composition_view"])
@pytest.mark.parametrize("framed", [sized, chunked])
def test_N03_views_take_streams_of_any_size(seed, path, framed):
    reply, body = answered(seed, framed("POST", path, MANY), "POST")
    assert (reply.status, body) == (200, MANY)


def test_N03_the_program_with_our_own_client(seed):
    with Client(base_url=seed.url) as client:
        for payload in (MANY, (MANY[at : at + 1000] for at in range(0, len(MANY), 1000))):
            assert client.post("stream", payload).body == MANY
        assert client.put("bp_stream", b"11x11").text == "AAxAA"


def test_N03_many_clients_at_once_each_have_their_own_back(seed):
    def echoed(number):
        mine = f"client {number} ".encode() * 50_000
        with Client(base_url=seed.url) as client:
            return all(client.post("method_view", mine).body == mine for _ in range(3))

    assert in_threads(12, echoed) == [True] * 12


# Handlers


def test_N05_a_stream_ends_with_none_for_ever(more):
    reply, _ = answered(more, chunked("POST", "/gets", b"abc", b"d"), "POST")
    assert reply.body == b'{"size":4,"after":[null,null]}'


@pytest.mark.parametrize("framed", [sized, chunked])
def test_N05_other_handlers_have_the_whole_body_and_no_stream(more, framed):
    reply, _ = answered(more, framed("POST", "/body", MANY), "POST")
    assert reply.body == b'{"stream":true,"size":300000}'


def test_N08_after_a_405_or_404_the_next_request_is_heard(more):
    csv = head("GET", "/csv")
    for method, path, status in (("POST", "/csv", 405), ("POST", "/nowhere", 404)):
        for framed in (sized, chunked):
            first, second = talked(more, framed(method, path, b"x" * 5), csv)
            assert first.status == status
            assert first.headers["content-length"] == str(len(first.body))
            assert (second.status, second.body) == (200, b"foo,bar")
    assert first.body == b"Error: Requested URL /nowhere not found"


def test_N08_a_405_to_head_has_no_body(more):
    raw = said(more, head("HEAD", "/body", "Connection: close"))
    assert raw.startswith(b"HTTP/1.1 405 Method Not Allowed\r\n")
    assert re.search(rb"\r\nAllow: POST, PUT\r\n", raw)
    assert raw.endswith(b"\r\n\r\n")


def test_N09_a_method_that_is_not_marked_has_no_stream(more):
    assert answered(more, head("GET", "/mixed"))[0].body == b'{"stream":false}'
    assert answered(more, sized("POST", "/mixed", b"x"), "POST")[0].body == b'{"stream":true}'


# Answers


def test_N10_each_write_is_a_chunk(more):
    reply, body = answered(more, head("GET", "/csv"))
    assert body == b"4\r\nfoo,\r\n3\r\nbar\r\n0\r\n\r\n"
    assert reply.headers["content-type"] == "text/csv"
    assert "content-length" not in reply.headers


def test_N11_an_empty_write_writes_nothing(more):
    assert answered(more, head("GET", "/empty_writes"))[1] == b"1\r\na\r\n1\r\nb\r\n0\r\n\r\n"


def test_N12_what_can_be_written_and_what_cannot(more):
    assert answered(more, head("GET", "/kinds"))[0].body == "é".encode() + b"bbamv12"
    reply, _ = answered(more, head("GET", "/none"))
    assert reply.status == 500


def test_N13_a_write_is_delivered_at_once(more):
    with more.connect() as sock:
        sock.sendall(head("GET", "/paused", "Connection: close"))
        # The second write waits for another request, which is made when the first has come.
        assert got_until(sock, b"5\r\nfirst\r\n").endswith(b"\r\n\r\n5\r\nfirst\r\n")
        assert answered(more, head("GET", "/go_on"))[0].status == 200
        assert to_the_end(sock) == b"6\r\nsecond\r\n0\r\n\r\n"


def test_N15_what_fails_before_the_first_write_is_a_clean_500(more):
    for when in ("handler", "before"):
        first, second = talked(more, head("GET", f"/fail/{when}"), head("GET", "/csv"))
        assert first.status == 500
        assert first.headers["content-length"] == str(len(first.body))
        assert second.body == b"foo,bar"


def test_N15_what_writes_nothing_has_a_head_all_the_same(more):
    first, second = talked(more, head("GET", "/nothing"), head("GET", "/csv"))
    assert (first.status, first.body, second.body) == (200, b"", b"foo,bar")


@pytest.mark.parametrize("when", ["after", "iterable"])
def test_N15_what_fails_in_the_middle_never_looks_whole(more, when):
    raw = said(more, head("GET", f"/fail/{when}"))
    assert raw.endswith(b"\r\n\r\n1\r\na\r\n")
    with more.connect() as sock:
        sock.sendall(head("GET", f"/fail/{when}", version="HTTP/1.0"))
        with pytest.raises(ConnectionResetError):
            while sock.recv(100):
                pass


def test_N16_an_old_client_gets_raw_bytes_and_the_end(more):
    raw = said(more, head("GET", "/csv", version="HTTP/1.0"))
    assert raw.endswith(b"\r\n\r\nfoo,bar")
    assert b"transfer-encoding" not in raw.lower()
    raw = said(more, head("POST", "/echo", "Content-Length: 3", version="HTTP/1.0") + b"abc")
    assert raw.endswith(b"\r\n\r\nabc")


# Bodies that break off, or are too much


@pytest.mark.parametrize(
    "data",
    [
        head("POST", "/body", "Content-Length: 100") + b"ten bytes.",
        head("POST", "/gets", "Content-Length: 100") + b"ten bytes.",
        head("POST", "/body", "Transfer-Encoding: chunked") + chunks(b"ten bytes."),
        head("POST", "/gets", "Transfer-Encoding: chunked") + b"a\r\nten",
        head("POST", "/echo", "Transfer-Encoding: chunked") + b"a\r\nten bytes.",
    ],
)
def test_N19_a_client_that_goes_away_gets_no_answer_and_the_others_theirs(more, data):
    with more.connect() as sock:
        sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)
        raw = to_the_end(sock)
    assert LAST not in raw
    assert b"size" not in raw
    assert answered(more, head("GET", "/csv"))[0].body == b"foo,bar"


def test_N20_a_blueprint_with_a_prefix_casts_its_parameters(more):
    reply, _ = answered(more, sized("PATCH", "/v1/p/7", b"abc"), "PATCH")
    assert reply.body == b'{"id":7,"body":"abc"}'
    assert answered(more, sized("PATCH", "/v1/p/x", b"abc"), "PATCH")[0].status == 404
    assert answered(more, chunked("PUT", "/v1/composed", b"abc"), "PUT")[0].body == b"abc"


def test_N21_a_body_beyond_the_bound_is_413(more):
    reply, _ = answered(more, head("POST", "/body", "Content-Length: 1048577"), "POST")
    assert reply.status == 413
    for path in ("/body", "/decoded"):
        assert answered(more, chunked("POST", path, *[bytes(65536)] * 17), "POST")[0].status == 413


def test_N21_two_ways_of_framing_are_400(more):
    raw = said(
        more, head("POST", "/body", "Content-Length: 5", "Transfer-Encoding: chunked") + LAST
    )
    assert raw.startswith(b"HTTP/1.1 400 ")
    assert raw.count(b"HTTP/1.1 ") == 1


@pytest.mark.parametrize("path", ["/body", "/gets"])
@pytest.mark.parametrize("line", [b"zz", b"0x5", b"-1", b"+5", b"", b"5 5"])
def test_N22_a_chunk_size_that_is_none_is_400_and_the_end(more, path, line):
    raw = said(
        more,
        head("POST", path, "Transfer-Encoding: chunked") + line + b"\r\nhello\r\n" + LAST,
        head("GET", "/csv"),
    )
    assert raw.startswith(b"HTTP/1.1 400 ")
    assert raw.count(b"HTTP/1.1 ") == 1


def test_N23_a_letter_in_two_pieces_is_one_letter(more):
    with more.connect() as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.sendall(head("POST", "/letters", "Content-Length: 3", "Connection: close"))
        for byte in (b"x", *(bytes([each]) for each in "é".encode())):
            sock.sendall(byte)
        (reply,) = replies(to_the_end(sock), ["POST"])
    assert "".join(json.loads(reply.body)) == "xé"


# 100 Continue


def test_N24_who_reads_tells_the_client_to_go_on(more):
    with more.connect() as sock:
        fields = ("Content-Length: 3", "Expect: 100-continue", "Connection: close")
        sock.sendall(head("POST", "/gets", *fields))
        assert got_until(sock, b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        sock.sendall(b"abc")
        (reply,) = replies(to_the_end(sock), ["POST"])
        assert reply.body.startswith(b'{"size":3')


@pytest.mark.parametrize(
    ("path", "length", "status"),
    [("/nowhere", 3, 404), ("/body", 2_000_000, 413), ("/refuse", 3, 403), ("/csv", 3, 405)],
)
def test_N24_who_does_not_read_answers_without_it_and_closes(more, path, length, status):
    raw = said(more, head("POST", path, f"Content-Length: {length}", "Expect: 100-continue"))
    assert raw.startswith(f"HTTP/1.1 {status} ".encode())
    assert raw.count(b"HTTP/1.1 ") == 1


# What is left of a body


@pytest.mark.parametrize("framed", [sized, chunked])
def test_a_body_that_nobody_read_is_not_the_next_request(more, framed):
    evil = head("GET", "/nowhere")
    first, second = talked(more, framed("POST", "/ignore", evil), head("GET", "/csv"))
    assert (first.body, second.body) == (b"ignored", b"foo,bar")


@pytest.mark.parametrize("path", ["/refuse", "/ignore"])
def test_an_early_answer_can_be_read_though_the_client_sends_on(more, path):
    data = bytes(20_000_000)
    with more.connect() as sock:
        sock.sendall(sized("POST", path, data))
        raw = to_the_end(sock)
    assert re.match(rb"HTTP/1.1 (403|200) ", raw)
    assert b"connection: close" in raw.lower()


# Both ways


@pytest.mark.parametrize("path", ["/echo", "/echo_by_write"])
@pytest.mark.parametrize("framed", [sized, chunked])
def test_an_echo_reaches_who_sends_all_before_reading(more, path, framed):
    body = os.urandom(1 << 20) * 24
    pieces = (
        [body]
        if framed is sized
        else [body[at : at + 99_991] for at in range(0, len(body), 99_991)]
    )
    data = framed("POST", path, *pieces).replace(b"\r\n", b"\r\nConnection: close\r\n", 1)
    with more.connect() as sock:
        sock.sendall(data)
        (reply,) = replies(to_the_end(sock), ["POST"])
    assert hashlib.sha256(reply.body).digest() == hashlib.sha256(body).digest()


def test_an_echo_reaches_the_standard_library_s_client(more):
    body = os.urandom(1 << 20) * 24
    with closing(http.client.HTTPConnection("127.0.0.1", more.port, timeout=60)) as connection:
        for _ in range(2):
            connection.request("POST", "/echo", body=body)
            assert connection.getresponse().read() == body


@pytest.mark.parametrize("path", ["/echo", "/echo_by_write"])
def test_small_pieces_go_to_and_fro(more, path):
    with more.connect() as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.sendall(head("POST", path, "Transfer-Encoding: chunked", "Connection: close"))
        for number in range(20):
            piece = f"number {number:3}".encode()
            sock.sendall(chunks(piece))
            assert got_until(sock, piece + b"\r\n").endswith(b"a\r\n" + piece + b"\r\n")
        sock.sendall(LAST)
        assert to_the_end(sock) == LAST


def test_our_clients_and_the_echo_all_at_once(more):
    body = os.urandom(1 << 20) * 8

    def echoed(_number):
        with Client(base_url=more.url) as client:
            pieces = (body[at : at + 65536] for at in range(0, len(body), 65536))
            return client.post("echo", pieces).body == client.post("echo", body).body == body

    assert in_threads(4, echoed) == [True] * 4


def test_several_requests_at_once_on_one_connection(more):
    first, second, third = talked(
        more,
        sized("POST", "/echo", b"one"),
        head("GET", "/csv"),
        chunked("POST", "/body", b"three"),
        methods=["POST", "GET", "POST"],
    )
    assert (first.body, second.body) == (b"one", b"foo,bar")
    assert third.body == b'{"stream":true,"size":5}'
