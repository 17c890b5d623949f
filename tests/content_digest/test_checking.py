"""Digests on the wire: what is sent with a payload, and what is checked of an answer (RFC 9530)."""

from __future__ import annotations

import gzip
import hashlib
import pickle
from collections.abc import Iterator

import pytest

from restkit import Client, IntegrityError, Request, RequestError
from restkit.content_digest.payloads import digested
from restkit.content_encoding.payloads import compressed
from restkit.io.buffers import Buffer
from restkit.payload.base import Payload
from restkit.payload.convert import as_payload
from support import (
    ScriptedServer,
    body_of,
    chunked_response,
    chunks,
    digest_of,
    field,
    head_of,
    payload_of,
    response,
)
from support.memory import MIB
from support.peer import Peer

OK = response(b"ok")
WORDS = b"some words, and then some more words; " * 100


def with_digest(source: object) -> Payload:
    payload = as_payload(source)
    assert payload is not None
    return digested(payload)


# Sent


@pytest.mark.parametrize("source", [WORDS, "a path"])
def test_what_has_a_length_is_sent_with_its_digest_in_the_head(client, tmp_path, source):
    if source == "a path":
        source = tmp_path / "words"
        source.write_bytes(WORDS)
    with ScriptedServer.serving(OK) as server:
        client.request(server.url(), "PUT", payload=with_digest(source))
    head = head_of(server.request)
    assert field(head, "content-digest") == digest_of(WORDS)
    assert field(head, "content-length") == str(len(WORDS))
    assert field(head, "trailer") is None
    assert body_of(server.request) == WORDS


@pytest.mark.parametrize("source", [[b"one ", b"two"], iter([b"one ", b"two"])], ids=["list", "it"])
def test_what_goes_in_chunks_ends_with_its_digest(client, source):
    source = list(source)
    for each in (source, iter(source)):
        with ScriptedServer.serving(OK) as server:
            client.request(server.url(), "PUT", payload=with_digest(each))
        head = head_of(server.request)
        assert field(head, "trailer") == "Content-Digest"
        assert field(head, "content-digest") is None
        assert body_of(server.request) == (
            chunks(b"one ", b"two")
            + b"0\r\nContent-Digest: "
            + digest_of(b"one two").encode()
            + b"\r\n\r\n"
        )


def test_the_digest_is_of_what_is_sent_after_it_was_compressed(client):
    with ScriptedServer.serving(OK) as server:
        payload = digested(compressed(as_payload(WORDS), "gzip"))
        client.request(server.url(), "PUT", payload=payload)
    sent = payload_of(server.request)
    assert gzip.decompress(sent) == WORDS
    assert field(head_of(server.request), "content-encoding") == "gzip"
    assert body_of(server.request).endswith(digest_of(sent).encode() + b"\r\n\r\n")


def test_a_length_of_the_callers_leaves_no_place_for_it(client):
    with ScriptedServer.serving(OK) as server:
        with pytest.raises(RequestError, match="only be sent behind chunks"):
            headers = {"Content-Length": 3}
            client.request(
                server.url(), "PUT", payload=with_digest(iter([b"abc"])), headers=headers
            )
        assert server.requests == []


def test_chunks_that_the_caller_asks_for_carry_it_in_the_head_or_behind(client):
    headers = {"Transfer-Encoding": "chunked"}
    with ScriptedServer.serving(OK) as server:
        for source in (b"abc", iter([b"abc"])):
            client.request(server.url(), "PUT", payload=with_digest(source), headers=headers)
    sized, unsized = server.requests
    assert field(head_of(sized), "content-digest") == digest_of(b"abc")
    assert field(head_of(sized), "trailer") is None
    assert body_of(sized) == chunks(b"abc") + b"0\r\n\r\n"
    assert field(head_of(unsized), "trailer") == "Content-Digest"
    assert digest_of(b"abc").encode() in body_of(unsized)


def test_a_trailer_field_of_the_callers_wins(client):
    with ScriptedServer.serving(OK) as server:
        payload = with_digest(iter([b"abc"]))
        client.request(server.url(), "PUT", payload=payload, headers={"Trailer": "X-Mine"})
    assert field(head_of(server.request), "trailer") == "X-Mine"


@pytest.mark.parametrize("options", [{"spool": True}, {"replay": "spool"}, {}])
def test_what_is_spooled_for_its_length_has_the_digest_in_the_head(client, options):
    wanted = response(status="411 Length Required")
    answers = (OK,) if "spool" in options else (wanted, OK)
    with ScriptedServer.serving(*answers) as server:
        payload = with_digest([b"one ", b"two"] if not options else iter([b"one ", b"two"]))
        client.request(server.url(), "PUT", payload=payload, **options)
    head = head_of(server.requests[-1])
    assert field(head, "content-digest") == digest_of(b"one two")
    assert field(head, "content-length") == "7"
    assert field(head, "trailer") is None
    assert body_of(server.requests[-1]) == b"one two"


def test_what_is_kept_as_it_goes_ends_with_its_digest_at_each_try(client):
    moved = response(b"", "Location: /there", status="307 Temporary Redirect")
    with ScriptedServer.serving(moved, OK) as server:
        payload = with_digest(iter([b"one ", b"two"]))
        client.request(server.url(), "PUT", payload=payload, replay="spool")
    for request in server.requests:
        assert field(head_of(request), "trailer") == "Content-Digest"
        assert body_of(request).endswith(digest_of(b"one two").encode() + b"\r\n\r\n")


def test_the_option_sends_it_of_whatever_goes_out(client, tmp_path):
    path = tmp_path / "words"
    path.write_bytes(WORDS)
    with ScriptedServer.serving(OK) as server:
        for payload in (WORDS, path, {"a": "b"}, iter([WORDS])):
            client.request(server.url(), "PUT", payload=payload, content_digest=True)
        client.request(server.url(), "PUT", payload=path, compress="zstd", content_digest=True)
        client.request(server.url(), content_digest=True)
    for request in server.requests[:-1]:
        said = digest_of(payload_of(request))
        ahead = field(head_of(request), "content-digest")
        assert ahead == said or body_of(request).endswith(f"{said}\r\n\r\n".encode())
    assert field(head_of(server.requests[-1]), "content-digest") is None


def test_a_digest_of_the_callers_is_the_one_that_is_sent(client):
    headers = {"Content-Digest": "sha-512=:YWJj:"}
    with ScriptedServer.serving(OK) as server:
        for payload in (b"abc", iter([b"abc"])):
            client.request(
                server.url(), "PUT", payload=payload, content_digest=True, headers=headers
            )
    for request in server.requests:
        assert field(head_of(request), "content-digest") == "sha-512=:YWJj:"
        assert b"sha-256" not in request


def test_a_digest_that_the_caller_withholds_is_not_sent(client):
    with ScriptedServer.serving(OK) as server:
        for payload in (b"abc", iter([b"abc"])):
            headers = {"Content-Digest": None}
            client.put(server.url(), payload, headers, content_digest=True)
    for request in server.requests:
        assert b"digest" not in request.lower()
        assert b"sha-256" not in request


@pytest.mark.parametrize("by", ["call", "client"])
def test_compressed_bytes_are_not_sent_without_the_header_that_says_so(by):
    none = {"Content-Encoding": None}
    with ScriptedServer.serving(OK) as server:
        with Client(headers=none if by == "client" else None, compress="gzip") as client:
            with pytest.raises(RequestError, match="Content-Encoding=None are given") as caught:
                client.put(server.url(), b"abc", none if by == "call" else None)
            assert caught.value.sent == "nothing"
            assert client.get(server.url()).status == 200  # where nothing is compressed


class SizedOnce(Payload):
    """One that says how long it is, and can be sent once."""

    length = 3

    def __init__(self) -> None:
        self.asked = 0

    def chunks(self) -> Iterator[Buffer]:
        for piece in (b"a", b"b", b"c"):
            self.asked += 1
            yield piece


def test_what_is_kept_as_it_goes_is_not_read_beforehand(client):
    source = SizedOnce()
    seen = []

    class Looking:
        def on_request(self, request: Request) -> None:
            seen.append(source.asked)

    with ScriptedServer.serving(OK) as server:
        client.request(
            server.url(),
            "PUT",
            payload=source,
            content_digest=True,
            replay="spool",
            filters=[Looking()],
        )
    assert seen == [0]
    assert body_of(server.request).endswith(digest_of(b"abc").encode() + b"\r\n\r\n")


# Received


def sized(body: bytes, *fields: str) -> bytes:
    return response(body, *fields)


def in_chunks(body: bytes, *fields: str) -> bytes:
    half = len(body) // 2
    return chunked_response(*filter(None, (body[:half], body[half:])), fields=fields)


@pytest.fixture(params=[sized, in_chunks])
def answering(request):
    """What makes an answer of a body and fields, by its length and in chunks."""
    return request.param


@pytest.mark.parametrize("body", [b"", WORDS, WORDS * 400], ids=len)
@pytest.mark.parametrize("name", ["Content-Digest", "Repr-Digest"])
def test_a_body_that_is_the_one_of_its_digest_is_read(client, answering, body, name):
    answer = answering(body, f"{name}: {digest_of(body)}, {digest_of(body, 'sha-512')}")
    with ScriptedServer.serving(answer) as server:
        for _ in range(2):
            assert client.request(server.url()).body == body
    assert server.connections == 1


VIEWS = {
    "body": lambda r: r.body,
    "text": lambda r: r.text,
    "read": lambda r: r.body_file.read(),
    "lines": lambda r: list(r.body_file),
    "tee": lambda r: r.tee().readlines(),
    "stream": lambda r: r.body_stream().read(),
    "pieces": lambda r: list(r.payload_stream),
    "blocks": lambda r: list(r.iter_blocks()),
}


@pytest.mark.parametrize("size", [1, 400], ids=["small", "large"])
@pytest.mark.parametrize("view", VIEWS)
def test_a_body_that_is_another_cannot_be_read_to_its_end(client, answering, view, size):
    body = WORDS * size
    answer = answering(body, f"Content-Digest: {digest_of(b'other')}")
    with ScriptedServer.serving(answer, OK) as server:
        wrong = client.request(server.url())
        assert wrong.status == 200
        for _ in range(2):
            with pytest.raises(IntegrityError, match="Content-Digest") as caught:
                VIEWS[view](wrong)
            assert caught.value.request is wrong.request
            assert caught.value.response is wrong
            if view in ("stream", "pieces"):
                break
        wrong.close()
        assert client.request(server.url()).body == b"ok"
    assert server.connections == 1  # all of it came, and the connection is as good as before


def test_a_body_that_is_another_is_read_where_nobody_wants_it_checked(client, answering):
    wrong = answering(WORDS, f"Content-Digest: {digest_of(b'other')}")
    with ScriptedServer.serving(wrong) as server:
        response = client.put(server.url(), WORDS, content_digest=False)
        assert response.body == WORDS
        assert response.headers["Content-Digest"] == digest_of(b"other")
        assert field(head_of(server.request), "content-digest") is None
        with pytest.raises(IntegrityError):
            client.put(server.url(), WORDS, content_digest=None).body_file.read()


def test_a_body_that_is_another_is_not_saved(client, answering, tmp_path):
    answer = answering(WORDS, f"Content-Digest: {digest_of(b'other')}")
    with ScriptedServer.serving(answer) as server, pytest.raises(IntegrityError):
        client.request(server.url()).save(tmp_path / "saved")
    assert list(tmp_path.iterdir()) == []


def test_S05_a_body_that_is_another_ends_no_request_it_is_sent_on_with(client, answering):
    body = WORDS * 400
    answer = answering(body, f"Content-Digest: {digest_of(b'other')}")

    def script(peer: Peer) -> None:
        peer.read_to_end()

    with ScriptedServer.serving(answer) as source, ScriptedServer(script) as target:
        with pytest.raises(IntegrityError) as caught:
            client.request(target.url(), "PUT", payload=client.request(source.url()))
        target.join()
    assert caught.value.out_of_payload
    assert str(source.port) in str(caught.value)
    (wire,) = target.wire
    if answering is sized:
        assert len(body_of(wire)) < len(body)
    assert not wire.endswith(b"0\r\n\r\n")


@pytest.mark.parametrize("decompress", [True, False])
def test_the_digest_is_of_the_body_as_it_came(client, answering, decompress):
    coded = gzip.compress(WORDS, mtime=0)
    fields = ["Content-Encoding: gzip", f"Content-Digest: {digest_of(coded)}"]
    wrong = ["Content-Encoding: gzip", f"Content-Digest: {digest_of(WORDS)}"]
    answers = answering(coded, *fields), answering(coded, *wrong)
    with ScriptedServer.serving(*answers) as server:
        body = client.request(server.url(), decompress=decompress).body
        assert body == (WORDS if decompress else coded)
        with pytest.raises(IntegrityError):
            _ = client.request(server.url(), decompress=decompress).body


@pytest.mark.parametrize("right", [True, False])
@pytest.mark.parametrize("size", [1, 400], ids=["small", "large"])
def test_a_digest_behind_the_body_is_checked_where_it_was_announced(client, right, size):
    body = WORDS * size
    said = digest_of(body if right else b"other").encode()
    answer = (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: Content-Digest\r\n\r\n"
        + chunks(body)
        + b"0\r\nContent-Digest: "
        + said
        + b"\r\n\r\n"
    )
    with ScriptedServer.serving(answer) as server:
        came = client.request(server.url())
        if right:
            assert came.body == body
            assert came.trailers["content-digest"] == said.decode()
        else:
            with pytest.raises(IntegrityError):
                _ = came.body


def test_the_answer_to_head_and_a_part_are_not_held_to_the_digest_of_the_whole(client):
    said = f"Repr-Digest: {digest_of(WORDS)}"
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 3800\r\n" + said.encode() + b"\r\n\r\n"
    part = response(WORDS[:10], said, "Content-Range: bytes 0-9/3800", status="206 Partial Content")
    not_modified = b"HTTP/1.1 304 Not Modified\r\n" + said.encode() + b"\r\n\r\n"
    with ScriptedServer.serving(head, part, not_modified) as server:
        assert client.request(server.url(), "HEAD").body == b""
        assert client.request(server.url(), headers={"Range": "bytes=0-9"}).body == WORDS[:10]
        assert client.request(server.url()).body == b""


def test_what_is_no_digest_is_ignored(client, answering):
    fields = ("Content-Digest: sha-256=nonsense", "Repr-Digest: md5=:AAAA:")
    with ScriptedServer.serving(answering(WORDS, *fields)) as server:
        assert client.request(server.url()).body == WORDS


def test_a_body_that_is_let_go_is_not_checked(client, answering):
    answer = answering(WORDS, f"Content-Digest: {digest_of(b'other')}")
    with ScriptedServer.serving(answer) as server:
        client.request(server.url()).close()
        client.request(server.url()).skip_body()


def test_an_answer_that_was_checked_pickles(client, answering):
    coded = gzip.compress(WORDS, mtime=0)
    for body, fields in ((WORDS, ()), (coded, ("Content-Encoding: gzip",))):
        for right in (True, False):
            said = f"Content-Digest: {digest_of(body if right else b'other')}"
            with ScriptedServer.serving(answering(body, said, *fields)) as server:
                again = pickle.loads(pickle.dumps(client.request(server.url())))
            if right:
                assert again.body == WORDS
            else:
                with pytest.raises(IntegrityError):
                    _ = again.body


def test_a_large_body_is_checked_as_it_is_streamed(client):
    block = hashlib.sha512(b"block").digest() * (MIB // 64)

    def script(peer: Peer) -> None:
        peer.read_request()
        said = digest_of(block * 20).encode()
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n" % (20 * MIB))
        peer.send(b"Content-Digest: " + said + b"\r\n\r\n", *[block] * 20)

    with ScriptedServer(script) as server:
        came = client.request(server.url())
        assert sum(map(len, came.payload_stream)) == 20 * MIB


class Summed(Payload):
    """One with a trailer of its own, which it announces."""

    trailer_names = ("X-Sum",)

    def chunks(self) -> Iterator[Buffer]:
        yield b"abc"

    def trailers(self) -> list[tuple[str, str]]:
        return [("X-Sum", "6")]


def test_the_trailers_of_a_payload_are_announced_through_what_is_made_of_it(client):
    with ScriptedServer.serving(OK) as server:
        payload = digested(compressed(Summed(), "gzip"))
        client.request(server.url(), "PUT", payload=payload, progress=lambda *_: None)
    assert field(head_of(server.request), "trailer") == "X-Sum, Content-Digest"
    assert b"\r\nX-Sum: 6\r\nContent-Digest: sha-256=:" in body_of(server.request)
