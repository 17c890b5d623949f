"""Framing and header fields of requests: whole messages on real sockets."""

from __future__ import annotations

import io
from collections.abc import Iterator
from enum import Enum

import pytest

import restkit
from restkit import (
    Headers,
    InvalidHeader,
    Payload,
    PayloadError,
    PayloadLengthError,
    RequestError,
)
from restkit.content_encoding.decoding import accept_encoding
from support import LAST_CHUNK, ScriptedServer, body_of, chunks, fields_of, head_of, response
from support.peer import Peer

OK = response(b"ok")
OCTETS = "Content-Type: application/octet-stream"
CHUNKED = "Transfer-Encoding: chunked"

# Remove the default headers: only those of the payload and the caller remain.
BARE = [("User-Agent", None), ("Accept-Encoding", None)]


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer.serving(OK) as server:
        yield server


def send(client, server, method="POST", payload=None, headers=(), **options):
    given = headers.items() if isinstance(headers, dict) else headers
    return client.request(server.url("/x"), method, payload, [*BARE, *given], **options)


def message(server: ScriptedServer, method: str, *fields: str, body: bytes = b"") -> bytes:
    lines = [f"{method} /x HTTP/1.1", f"Host: 127.0.0.1:{server.port}", *fields, "", ""]
    return "\r\n".join(lines).encode("latin-1") + body


def send_continue(peer: Peer) -> None:
    """Read one request with Expect, send 100 Continue, and respond."""
    head = peer.read_head()
    peer.send(b"HTTP/1.1 100 Continue\r\n\r\n")
    peer.read_body(head)
    peer.send(OK)


def nothing_sent(server: ScriptedServer, error: restkit.Error) -> bool:
    assert error.request is not None
    return error.sent == "nothing" and server.connections == 0


# Payloads and their framing


def test_R01_file_is_sent_with_content_length(client, server, tmp_path):
    path = tmp_path / "some.file"
    path.write_bytes(b"0123456789\r\n")
    with path.open("rb") as file:
        send(client, server, payload=file)
    assert server.request == message(
        server, "POST", OCTETS, "Content-Length: 12", body=b"0123456789\r\n"
    )


def test_R01_original_call_sends_a_file(server, tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"line\n")
    with path.open() as f:
        restkit.request(server.url("/path"), "POST", payload=f)
    assert server.request.startswith(b"POST /path HTTP/1.1\r\n")
    assert server.request.endswith(b"\r\nContent-Length: 5\r\n\r\nline\n")
    assert b"Transfer-Encoding" not in server.request


def test_R03_list_sends_one_chunk_per_line(client, server):
    send(client, server, payload=["line 1", "line 2"])
    body = b"6\r\nline 1\r\n6\r\nline 2\r\n0\r\n\r\n"
    assert server.request == message(server, "POST", OCTETS, CHUNKED, body=body)


def test_S03_generator_sends_one_chunk_per_item(client, server):
    def items() -> Iterator[bytes]:
        yield b"hello\n"
        yield b"there\n"

    send(client, server, data=items())
    body = b"6\r\nhello\n\r\n6\r\nthere\n\r\n0\r\n\r\n"
    assert server.request == message(server, "POST", OCTETS, CHUNKED, body=body)


def test_S04_empty_item_does_not_end_the_body(client, server):
    send(client, server, payload=iter([b"x", b"", b"yy", "", bytearray()]))
    body = b"1\r\nx\r\n2\r\nyy\r\n0\r\n\r\n"
    assert server.request == message(server, "POST", OCTETS, CHUNKED, body=body)


def test_S06_generator_error_leaves_the_body_unfinished(client):
    def items() -> Iterator[bytes]:
        yield b"abc"
        raise KeyError("abc")

    def respond(peer: Peer) -> None:
        peer.read_request()
        peer.send(OK)

    with ScriptedServer(Peer.read_to_end, respond) as server:
        with pytest.raises(KeyError, match="abc"):
            send(client, server, payload=items())
        server.join()
        sent_bytes = message(server, "POST", OCTETS, CHUNKED, body=b"3\r\nabc\r\n")
        assert server.wire == [sent_bytes]
        assert send(client, server, payload=b"next").body == b"ok"
        assert server.requests == [
            message(server, "POST", OCTETS, "Content-Length: 4", body=b"next")
        ]


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
def test_R08_post_without_payload_sends_content_length_zero(method, client, server):
    send(client, server, method)
    assert server.request == message(server, method, "Content-Length: 0")


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "DELETE", "TRACE", "PROPFIND"])
def test_R08_get_without_payload_sends_no_content_length(method, client, server):
    send(client, server, method)
    assert server.request == message(server, method)


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "GET", "DELETE"])
def test_R08_empty_text_sends_content_length_zero(method, client, server):
    send(client, server, method, "")
    kind = "Content-Type: text/plain; charset=utf-8"
    assert server.request == message(server, method, kind, "Content-Length: 0")


@pytest.mark.parametrize("name", ["payload", "body", "data"])
@pytest.mark.parametrize("call", ["request", "post"])
def test_R08_payload_body_and_data_are_aliases(call, name, client, server):
    if call == "request":
        client.request(server.url("/x"), "POST", headers=BARE, **{name: b"abc"})
    else:
        client.post(server.url("/x"), headers=BARE, **{name: b"abc"})
    assert server.request == message(server, "POST", OCTETS, "Content-Length: 3", body=b"abc")


@pytest.mark.parametrize(
    ("given", "names"),
    [
        ({"payload": b"a", "data": b"a"}, "payload and data"),
        ({"payload": b"", "body": ""}, "payload and body"),
        ({"body": [], "data": []}, "body and data"),
        ({"payload": b"a", "json": None}, "payload and json"),
        ({"payload": b"a", "body": b"b", "data": b"c", "json": 1}, "payload and body and data"),
    ],
)
def test_R08_two_payloads_raise_type_error(given, names, client, server):
    with pytest.raises(TypeError, match=names):
        client.post(server.url(), **given)
    assert server.connections == 0


def test_R08_alias_set_to_none_is_ignored(client, server):
    client.post(server.url("/x"), None, BARE, body=None, data=b"abc")
    assert server.request == message(server, "POST", OCTETS, "Content-Length: 3", body=b"abc")


@pytest.mark.parametrize(
    ("value", "text"), [(None, b"null"), ({"ä": [1, ""]}, b'{"\xc3\xa4":[1,""]}')]
)
def test_R08_json_is_sent_as_payload(value, text, client, server):
    send(client, server, json=value)
    fields = ("Content-Type: application/json", f"Content-Length: {len(text)}")
    assert server.request == message(server, "POST", *fields, body=text)


# Content-Length given by the caller

SPELLINGS = [
    ("content-Length", 12, "content-Length: 12"),
    ("CONTENT-LENGTH", "12", "CONTENT-LENGTH: 12"),
    ("content-length", b"12", "content-length: 12"),
    ("Content-Length", " 12\t", "Content-Length: 12"),
    ("Content-Length", "0012", "Content-Length: 0012"),
]
TWELVE = {
    "a list": lambda: ["line 1", "line 2"],
    "a generator": lambda: (line for line in [b"", b"line 1", b"line 2", b""]),
    "a callable": lambda: lambda: ["line 1", "line 2"],
    "bytes": lambda: b"line 1line 2",
    "text": lambda: "line 1line 2",
    "what can seek": lambda: io.BufferedReader(io.BytesIO(b"line 1line 2")),
}


@pytest.mark.parametrize(("name", "value", "field"), SPELLINGS)
@pytest.mark.parametrize("source", TWELVE)
def test_R04_given_content_length_is_the_only_one_sent(source, name, value, field, client, server):
    send(client, server, payload=TWELVE[source](), headers={name: value})
    kind = "Content-Type: text/plain; charset=utf-8" if source == "text" else OCTETS
    assert server.request == message(server, "POST", field, kind, body=b"line 1line 2")


@pytest.mark.parametrize("payload", [None, b"abc", ["abc"]], ids=repr)
@pytest.mark.parametrize(("length", "coding"), [(3, "chunked"), ("3", "Chunked"), (0, "gzip")])
def test_R04_content_length_with_transfer_encoding_raises(length, coding, payload, client, server):
    headers = {"content-length": length, "TRANSFER-encoding": coding}
    with pytest.raises(
        RequestError, match="Content-Length and Transfer-Encoding are both given"
    ) as caught:
        send(client, server, payload=payload, headers=headers)
    assert nothing_sent(server, caught.value)


@pytest.mark.parametrize("payload", [None, b"abc", ["abc"]], ids=repr)
@pytest.mark.parametrize(
    "length",
    ["-3", -3, "+3", "3 3", "0x3", "3.0", "1e3", "three", "", "3, 3", "3,", "9" * 20, "²"],
)
def test_R04_invalid_content_length_raises(length, payload, client, server):
    with pytest.raises(
        RequestError, match="Content-Length must be a number of bytes in digits"
    ) as caught:
        send(client, server, payload=payload, headers={"Content-Length": length})
    assert nothing_sent(server, caught.value)


def test_R04_repeated_content_length_raises_even_if_equal(client, server):
    headers = [("Content-Length", 3), ("content-length", "3")]
    with pytest.raises(
        RequestError, match="must be a number of bytes in digits; got '3, 3'"
    ) as caught:
        send(client, server, payload=b"abc", headers=headers)
    assert nothing_sent(server, caught.value)


@pytest.mark.parametrize("length", [True, 3.0, ["3"], "٣"], ids=ascii)
def test_R04_content_length_of_a_wrong_type_is_an_invalid_header(length, client, server):
    with pytest.raises(InvalidHeader):
        send(client, server, payload=b"abc", headers={"Content-Length": length})
    assert server.connections == 0


@pytest.mark.parametrize("length", [2, 4, 0, 10**18])
def test_R04_content_length_other_than_known_length_raises_unsent(length, client, server, tmp_path):
    path = tmp_path / "x"
    path.write_bytes(b"abc")
    with path.open("rb") as file:
        for payload in (b"abc", "abc", bytearray(b"abc"), file, path, io.BytesIO(b"abc")):
            with pytest.raises(PayloadLengthError, match="declared") as caught:
                send(client, server, payload=payload, headers={"Content-Length": length})
            assert nothing_sent(server, caught.value)


@pytest.mark.parametrize(
    ("items", "length", "out", "reason"),
    [
        ([b"line 1", b"line 2"], 13, b"line 1line 2", "produced 12 of 13 bytes"),
        ([b"line 1", b"line 2"], 11, b"line 1", "produced more than 11 bytes"),
        ([b"line 1", b"line 2"], 6, b"", "produced more than 6 bytes"),
        ([b"line 1", b"line 2"], 5, b"", "produced more than 5 bytes"),
        ([b"line 1"], 0, b"", "produced more than 0 bytes"),
        ([], 1, b"", "produced 0 of 1 byte"),
    ],
)
@pytest.mark.parametrize("kind", ["a generator", "a list"])
def test_R04_payload_of_wrong_length_never_completes_a_request(
    kind, items, length, out, reason, client
):
    def respond(peer: Peer) -> None:
        peer.read_request()
        peer.send(OK)

    with ScriptedServer(Peer.read_to_end, respond) as server:
        payload = iter(items) if kind == "a generator" else [b"", *items]
        with pytest.raises(PayloadLengthError, match=reason) as caught:
            send(client, server, payload=payload, headers={"Content-Length": length})
        server.join()
        sent_bytes = message(server, "POST", f"Content-Length: {length}", OCTETS, body=out)
        # The first item of a list is read before sending, so possibly nothing was sent.
        unsent = kind == "a list" and not out
        assert server.wire == [b"" if unsent else sent_bytes]
        assert caught.value.sent == ("nothing" if unsent else "part")
        assert len(sent_bytes) - len(head_of(sent_bytes)) < max(1, length)
        assert send(client, server, payload=b"next").body == b"ok"
        assert server.connections == 2


def test_R04_content_length_zero_is_allowed_without_payload(client, server):
    for method in ("POST", "GET", "DELETE"):
        send(client, server, method, headers={"content-length": 0})
    assert server.requests == [
        message(server, method, "content-length: 0") for method in ("POST", "GET", "DELETE")
    ]


def test_R04_content_length_above_zero_without_payload_raises(client, server):
    with pytest.raises(PayloadLengthError, match="is 3, and there is no payload") as caught:
        send(client, server, headers={"Content-Length": 3})
    assert nothing_sent(server, caught.value)


def test_R04_content_length_zero_is_allowed_for_empty_generator(client, server):
    send(client, server, payload=iter([b"", b""]), headers={"Content-Length": 0})
    send(client, server, payload=b"next")
    first, second = server.requests
    assert first == message(server, "POST", "Content-Length: 0", OCTETS)
    assert second == message(server, "POST", OCTETS, "Content-Length: 4", body=b"next")
    assert server.connections == 1


# Transfer-Encoding given by the caller


@pytest.mark.parametrize(
    ("name", "value", "field"),
    [
        ("Transfer-Encoding", "chunked", CHUNKED),
        ("transfer-encoding", "Chunked", "transfer-encoding: Chunked"),
        ("TRANSFER-ENCODING", b" chunked ", "TRANSFER-ENCODING: chunked"),
    ],
)
def test_P11_transfer_encoding_header_forces_chunked(name, value, field, client, server, tmp_path):
    path = tmp_path / "x"
    path.write_bytes(b"abc")
    with path.open("rb") as file:
        for payload in (b"abc", bytearray(b"abc"), path, file, ["abc"], io.BytesIO(b"abc")):
            send(client, server, payload=payload, headers={name: value})
    body = chunks(b"abc") + LAST_CHUNK
    assert server.requests == [message(server, "POST", field, OCTETS, body=body)] * 6


@pytest.mark.parametrize("payload", [b"", [], bytearray()], ids=repr)
def test_P11_empty_payload_chunked_sends_only_the_last_chunk(payload, client, server):
    send(client, server, payload=payload, headers={"Transfer-Encoding": "chunked"})
    assert server.request == message(server, "POST", CHUNKED, OCTETS, body=LAST_CHUNK)


def test_P11_no_payload_chunked_sends_only_the_last_chunk(client, server):
    send(client, server, headers={"Transfer-Encoding": "chunked"})
    assert server.request == message(server, "POST", CHUNKED, body=LAST_CHUNK)


def test_P11_big_file_can_be_sent_chunked(client, server, tmp_path):
    path = tmp_path / "x"
    path.write_bytes(data := bytes(range(251)) * 3000)
    send(client, server, payload=path, headers={"Transfer-Encoding": "chunked"})
    blocks = [data[at : at + 256 * 1024] for at in range(0, len(data), 256 * 1024)]
    body = chunks(*blocks) + LAST_CHUNK
    assert server.request == message(server, "POST", CHUNKED, OCTETS, body=body)


@pytest.mark.parametrize("payload", [None, b"abc", ["abc"]], ids=repr)
@pytest.mark.parametrize(
    "coding", ["gzip", "gzip, chunked", "chunked, gzip", "identity", "", "chunked;q=1", "chunk"]
)
def test_P11_transfer_encoding_other_than_chunked_raises(coding, payload, client, server):
    with pytest.raises(RequestError, match="Transfer-Encoding must be chunked") as caught:
        send(client, server, payload=payload, headers={"Transfer-Encoding": coding})
    assert nothing_sent(server, caught.value)


def test_P11_chunked_twice_raises(client, server):
    headers = [("Transfer-Encoding", "chunked"), ("transfer-encoding", "chunked")]
    with pytest.raises(RequestError, match="'chunked, chunked'") as caught:
        send(client, server, payload=b"abc", headers=headers)
    assert nothing_sent(server, caught.value)


class Odd(Payload):
    """A payload of a caller that reports an invalid length."""

    def __init__(self, length):
        self.length = length

    def chunks(self):
        yield b"abc"


@pytest.mark.parametrize("length", [-1, 3.0, True, "3"])
@pytest.mark.parametrize("headers", [{}, {"Content-Length": 3}, {"Transfer-Encoding": "chunked"}])
def test_payload_with_invalid_length_raises(headers, length, client, server):
    reason = f"of a Odd must be an int of 0 or more, or None; got {length!r}"
    with pytest.raises(PayloadError, match=reason) as caught:
        send(client, server, payload=Odd(length), headers=headers)
    assert nothing_sent(server, caught.value)


# Methods


def test_known_method_is_uppercased(client, server):
    send(client, server, "post")
    assert server.request == message(server, "POST", "Content-Length: 0")


class Word(str, Enum):
    """An enum whose ``str()`` is the name of a member, not its value."""

    GET = "GET"
    PURGE = "PURGE"
    LOW = "post"
    AGENT = "user-agent"
    __str__ = Enum.__str__


@pytest.mark.parametrize("method", [Word.GET, Word.PURGE, Word.LOW])
def test_enum_method_and_header_name_are_sent_as_their_value(method):
    with ScriptedServer.serving(response()) as server, restkit.Client() as client:
        client.request(server.url(), method, headers={Word.AGENT: "mine"})
    word = method.value.upper()
    assert head_of(server.request).startswith(f"{word} / HTTP/1.1\r\n".encode())
    assert [value for name, value in fields_of(server.request) if name == "user-agent"] == ["mine"]


@pytest.mark.parametrize("method", [None, b"GET", 1, ["GET"], "", "G T"])
def test_invalid_method_raises(method, client, server):
    with pytest.raises(RequestError, match="the method must be a word") as caught:
        client.request(server.url(), method)
    assert (caught.value.sent, server.connections) == ("nothing", 0)


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE", "OPTIONS", "PROPFIND", "x-own"])
def test_P12_any_method_can_have_a_payload(method, client):
    with ScriptedServer.serving(response()) as server:
        send(client, server, method, b"abc")
        send(client, server, method, iter([b"abc"]))
        send(client, server, method, [b"abc"], headers={"Content-Length": 3})
        assert server.requests == [
            message(server, method, OCTETS, "Content-Length: 3", body=b"abc"),
            message(server, method, OCTETS, CHUNKED, body=chunks(b"abc") + LAST_CHUNK),
            message(server, method, "Content-Length: 3", OCTETS, body=b"abc"),
        ]
        assert server.connections == 1


@pytest.mark.parametrize("method", ["TRACE", "CONNECT"])
@pytest.mark.parametrize(
    ("payload", "headers"),
    [
        (b"abc", {}),
        (b"", {}),
        (["abc"], {}),
        (b"abc", {"Content-Length": 3}),
        (b"abc", {"Transfer-Encoding": "chunked"}),
        (None, {"transfer-encoding": "chunked"}),
        (None, {"content-length": 0}),
    ],
)
def test_P12_payload_with_trace_or_connect_raises(method, payload, headers, client, server):
    with pytest.raises(RequestError, match=f"a {method} request cannot have a payload") as caught:
        send(client, server, method, payload, headers)
    assert nothing_sent(server, caught.value)


def test_P12_connect_sends_only_its_target_and_host(client, server):
    with client.request(server.url("/example.com:443"), "CONNECT", headers=BARE) as respond:
        assert respond.status == 200
    assert server.request == b"CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n\r\n"


# Header fields


def test_header_order_is_client_then_call_then_payload(client):
    headers = [("X-One", "1"), ("x-two", "é"), ("X-One", 11), ("x-three", b"\xff")]
    with ScriptedServer(send_continue) as server:
        client.post(server.url("/x"), ["abc"], headers, expect_continue=True)
        fields = (
            f"User-Agent: restkit/{restkit.__version__}",
            f"Accept-Encoding: {accept_encoding()}",
            "X-One: 1",
            "x-two: é",
            "X-One: 11",
            "x-three: ÿ",
            OCTETS,
            CHUNKED,
            "Expect: 100-continue",
        )
        body = chunks(b"abc") + LAST_CHUNK
        assert server.wire == [message(server, "POST", *fields, body=body)]


GIVEN = {
    "a dict": lambda: {"X-A": "1", "x-b": 2},
    "pairs": lambda: [("X-A", "1"), ("x-b", 2)],
    "a generator of pairs": lambda: iter([("X-A", "1"), ("x-b", 2)]),
    "Headers": lambda: Headers([("X-A", "1"), ("x-b", 2)]),
}


@pytest.mark.parametrize("kind", GIVEN)
def test_headers_can_be_any_collection(kind, client, server):
    client.get(server.url(), headers=GIVEN[kind]())
    assert fields_of(server.request)[-2:] == [("x-a", "1"), ("x-b", "2")]


@pytest.mark.parametrize("name", ["Host", "host", "HOST"])
def test_given_host_is_the_only_one_sent(name, client, server):
    client.get(server.url("/x"), headers=[*BARE, ("X-A", "1"), (name, "other.example:8080")])
    expected = f"GET /x HTTP/1.1\r\nX-A: 1\r\n{name}: other.example:8080\r\n\r\n"
    assert server.request == expected.encode()


@pytest.mark.parametrize("name", ["User-Agent", "user-agent"])
def test_given_header_replaces_a_default(name, client, server):
    client.get(server.url(), headers={name: "mine", "ACCEPT-encoding": "br"})
    assert fields_of(server.request)[1:] == [("user-agent", "mine"), ("accept-encoding", "br")]


def test_header_none_removes_a_default_for_one_call(client, server):
    client.get(server.url(), headers={"user-agent": None, "ACCEPT-ENCODING": None, "X-A": None})
    client.get(server.url(), headers=[("user-agent", None), ("User-Agent", "mine")])
    client.get(server.url())
    host = ("host", f"127.0.0.1:{server.port}")
    coding = ("accept-encoding", accept_encoding())
    assert [fields_of(request) for request in server.requests] == [
        [host],
        [host, coding, ("user-agent", "mine")],
        [host, ("user-agent", f"restkit/{restkit.__version__}"), coding],
    ]


def test_host_none_does_not_remove_host(client, server):
    client.get(server.url("/x"), headers=[*BARE, ("Host", None)])
    assert server.request == message(server, "GET")


@pytest.mark.parametrize("name", ["Content-Type", "content-type"])
def test_given_content_type_overrides_the_payload(name, client, server, tmp_path):
    path = tmp_path / "x.json"
    path.write_bytes(b"abc")
    for payload in (b"abc", "abc", path):
        send(client, server, payload=payload, headers={name: "text/x-mine"})
    fields = (f"{name}: text/x-mine", "Content-Length: 3")
    assert server.requests == [message(server, "POST", *fields, body=b"abc")] * 3


@pytest.mark.parametrize("name", ["Range", "range"])
def test_range_request_sends_accept_encoding_identity(name, client, server):
    client.get(server.url(), headers={name: "bytes=1-"})
    fields = dict(fields_of(server.request))
    assert (fields["range"], fields["accept-encoding"]) == ("bytes=1-", "identity")


def test_range_request_keeps_given_accept_encoding(client, server):
    client.get(server.url(), headers={"Range": "bytes=1-", "accept-encoding": "gzip"})
    client.get(server.url(), headers={"accept-encoding": None, "Range": "bytes=1-"})
    first, second = map(dict, map(fields_of, server.requests))
    assert first["accept-encoding"] == "gzip"
    assert "accept-encoding" not in second


# Expect


@pytest.mark.parametrize("name", ["Expect", "expect"])
@pytest.mark.parametrize("by_option", [False, True], ids=["", "and by the option"])
def test_given_expect_header_keeps_its_position(name, by_option, client):
    with ScriptedServer(send_continue) as server:
        headers = [(name, "100-continue"), ("X-A", "1")]
        send(client, server, payload=b"abc", headers=headers, expect_continue=by_option)
        fields = (f"{name}: 100-continue", "X-A: 1", OCTETS, "Content-Length: 3")
        assert server.wire == [message(server, "POST", *fields, body=b"abc")]


@pytest.mark.parametrize("payload", [None, b"", [], ""], ids=repr)
@pytest.mark.parametrize("headers", [{}, {"expect": "100-continue"}], ids=["", "by the header"])
def test_empty_payload_sends_no_expect(payload, headers, client, server):
    send(client, server, payload=payload, headers=headers, expect_continue=True)
    assert "expect" not in dict(fields_of(server.request))
    assert b"\r\nContent-Length: 0\r\n" in server.request
    assert body_of(server.request) == b""
