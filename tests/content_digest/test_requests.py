"""Digests on the wire: sent with payloads, checked in responses (RFC 9530)."""

from __future__ import annotations

import gzip
import hashlib
import pickle
from collections.abc import Iterator

import pytest

from restkit import Client, IntegrityError, Request, RequestError
from restkit.content_digest.payloads import add_content_digest
from restkit.content_encoding.payloads import compress_payload
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
    return add_content_digest(payload)


# Sent


@pytest.mark.parametrize("source", [WORDS, "a path"])
def test_payload_with_a_length_has_its_digest_in_the_head(client, tmp_path, source):
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


@pytest.mark.parametrize(
    "source", [[b"one ", b"two"], iter([b"one ", b"two"])], ids=["list", "iterator"]
)
def test_chunked_payload_has_its_digest_in_a_trailer(client, source):
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


def test_digest_covers_the_compressed_bytes(client):
    with ScriptedServer.serving(OK) as server:
        payload = add_content_digest(compress_payload(as_payload(WORDS), "gzip"))
        client.request(server.url(), "PUT", payload=payload)
    sent = payload_of(server.request)
    assert gzip.decompress(sent) == WORDS
    assert field(head_of(server.request), "content-encoding") == "gzip"
    assert body_of(server.request).endswith(digest_of(sent).encode() + b"\r\n\r\n")


def test_digest_trailer_with_the_callers_content_length_raises(client):
    with ScriptedServer.serving(OK) as server:
        with pytest.raises(RequestError, match="only be sent after chunks"):
            headers = {"Content-Length": 3}
            client.request(
                server.url(), "PUT", payload=with_digest(iter([b"abc"])), headers=headers
            )
        assert server.requests == []


def test_callers_transfer_encoding_allows_head_and_trailer(client):
    headers = {"Transfer-Encoding": "chunked"}
    with ScriptedServer.serving(OK) as server:
        for source in (b"abc", iter([b"abc"])):
            client.request(server.url(), "PUT", payload=with_digest(source), headers=headers)
    replayable, one_shot = server.requests
    assert field(head_of(replayable), "content-digest") == digest_of(b"abc")
    assert field(head_of(replayable), "trailer") is None
    assert body_of(replayable) == chunks(b"abc") + b"0\r\n\r\n"
    assert field(head_of(one_shot), "trailer") == "Content-Digest"
    assert digest_of(b"abc").encode() in body_of(one_shot)


def test_callers_trailer_field_is_sent(client):
    with ScriptedServer.serving(OK) as server:
        payload = with_digest(iter([b"abc"]))
        client.request(server.url(), "PUT", payload=payload, headers={"Trailer": "X-Mine"})
    assert field(head_of(server.request), "trailer") == "X-Mine"


@pytest.mark.parametrize("options", [{"spool": True}, {"replay": "spool"}, {}])
def test_payload_spooled_for_its_length_has_its_digest_in_the_head(client, options):
    length_required = response(status="411 Length Required")
    responses = (OK,) if "spool" in options else (length_required, OK)
    with ScriptedServer.serving(*responses) as server:
        payload = with_digest([b"one ", b"two"] if not options else iter([b"one ", b"two"]))
        client.request(server.url(), "PUT", payload=payload, **options)
    head = head_of(server.requests[-1])
    assert field(head, "content-digest") == digest_of(b"one two")
    assert field(head, "content-length") == "7"
    assert field(head, "trailer") is None
    assert body_of(server.requests[-1]) == b"one two"


def test_payload_spooled_while_sending_has_its_trailer_at_each_attempt(client):
    moved = response(b"", "Location: /there", status="307 Temporary Redirect")
    with ScriptedServer.serving(moved, OK) as server:
        payload = with_digest(iter([b"one ", b"two"]))
        client.request(server.url(), "PUT", payload=payload, replay="spool")
    for request in server.requests:
        assert field(head_of(request), "trailer") == "Content-Digest"
        assert body_of(request).endswith(digest_of(b"one two").encode() + b"\r\n\r\n")


def test_content_digest_option_covers_every_payload(client, tmp_path):
    path = tmp_path / "words"
    path.write_bytes(WORDS)
    with ScriptedServer.serving(OK) as server:
        for payload in (WORDS, path, {"a": "b"}, iter([WORDS])):
            client.request(server.url(), "PUT", payload=payload, content_digest=True)
        client.request(server.url(), "PUT", payload=path, compress="zstd", content_digest=True)
        client.request(server.url(), content_digest=True)
    for request in server.requests[:-1]:
        digest = digest_of(payload_of(request))
        in_head = field(head_of(request), "content-digest")
        assert in_head == digest or body_of(request).endswith(f"{digest}\r\n\r\n".encode())
    assert field(head_of(server.requests[-1]), "content-digest") is None


def test_callers_digest_is_sent(client):
    headers = {"Content-Digest": "sha-512=:YWJj:"}
    with ScriptedServer.serving(OK) as server:
        for payload in (b"abc", iter([b"abc"])):
            client.request(
                server.url(), "PUT", payload=payload, content_digest=True, headers=headers
            )
    for request in server.requests:
        assert field(head_of(request), "content-digest") == "sha-512=:YWJj:"
        assert b"sha-256" not in request


def test_digest_that_the_caller_suppresses_is_not_sent(client):
    with ScriptedServer.serving(OK) as server:
        for payload in (b"abc", iter([b"abc"])):
            headers = {"Content-Digest": None}
            client.put(server.url(), payload, headers, content_digest=True)
    for request in server.requests:
        assert b"digest" not in request.lower()
        assert b"sha-256" not in request


@pytest.mark.parametrize("by", ["call", "client"])
def test_compressed_payload_without_content_encoding_raises(by):
    none = {"Content-Encoding": None}
    with ScriptedServer.serving(OK) as server:
        with Client(headers=none if by == "client" else None, compress="gzip") as client:
            with pytest.raises(RequestError, match="needs the header Content-Encoding") as caught:
                client.put(server.url(), b"abc", none if by == "call" else None)
            assert caught.value.sent == "nothing"
            assert client.get(server.url()).status == 200  # there is nothing to compress


class SizedOnce(Payload):
    """A payload with a length that can be sent once."""

    length = 3

    def __init__(self) -> None:
        self.read_count = 0

    def chunks(self) -> Iterator[Buffer]:
        for chunk in (b"a", b"b", b"c"):
            self.read_count += 1
            yield chunk


def test_payload_spooled_while_sending_is_not_read_before(client):
    source = SizedOnce()
    seen = []

    class Observer:
        def on_request(self, request: Request) -> None:
            seen.append(source.read_count)

    with ScriptedServer.serving(OK) as server:
        client.request(
            server.url(),
            "PUT",
            payload=source,
            content_digest=True,
            replay="spool",
            filters=[Observer()],
        )
    assert seen == [0]
    assert body_of(server.request).endswith(digest_of(b"abc").encode() + b"\r\n\r\n")


# Received


def with_length(body: bytes, *fields: str) -> bytes:
    return response(body, *fields)


def chunked(body: bytes, *fields: str) -> bytes:
    half = len(body) // 2
    return chunked_response(*filter(None, (body[:half], body[half:])), fields=fields)


@pytest.fixture(params=[with_length, chunked])
def make_response(request):
    """A function that makes a response of body and fields, with a length and chunked."""
    return request.param


@pytest.mark.parametrize("body", [b"", WORDS, WORDS * 400], ids=len)
@pytest.mark.parametrize("name", ["Content-Digest", "Repr-Digest"])
def test_body_that_matches_its_digest_is_read(client, make_response, body, name):
    raw_response = make_response(body, f"{name}: {digest_of(body)}, {digest_of(body, 'sha-512')}")
    with ScriptedServer.serving(raw_response) as server:
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
    "chunks": lambda r: list(r.payload_stream),
    "blocks": lambda r: list(r.iter_blocks()),
}


@pytest.mark.parametrize("size", [1, 400], ids=["small", "large"])
@pytest.mark.parametrize("view", VIEWS)
def test_body_that_does_not_match_raises_in_every_view(client, make_response, view, size):
    body = WORDS * size
    raw_response = make_response(body, f"Content-Digest: {digest_of(b'other')}")
    with ScriptedServer.serving(raw_response, OK) as server:
        wrong = client.request(server.url())
        assert wrong.status == 200
        for _ in range(2):
            with pytest.raises(IntegrityError, match="Content-Digest") as caught:
                VIEWS[view](wrong)
            assert caught.value.request is wrong.request
            assert caught.value.response is wrong
            if view in ("stream", "chunks"):
                break
        wrong.close()
        assert client.request(server.url()).body == b"ok"
    assert server.connections == 1  # the body was received completely, so the connection is reused


def test_content_digest_false_turns_the_check_off(client, make_response):
    wrong = make_response(WORDS, f"Content-Digest: {digest_of(b'other')}")
    with ScriptedServer.serving(wrong) as server:
        response = client.put(server.url(), WORDS, content_digest=False)
        assert response.body == WORDS
        assert response.headers["Content-Digest"] == digest_of(b"other")
        assert field(head_of(server.request), "content-digest") is None
        with pytest.raises(IntegrityError):
            client.put(server.url(), WORDS, content_digest=None).body_file.read()


def test_body_that_does_not_match_is_not_saved(client, make_response, tmp_path):
    raw_response = make_response(WORDS, f"Content-Digest: {digest_of(b'other')}")
    with ScriptedServer.serving(raw_response) as server, pytest.raises(IntegrityError):
        client.request(server.url()).save(tmp_path / "saved")
    assert list(tmp_path.iterdir()) == []


def test_S05_body_that_does_not_match_never_completes_the_request_that_sends_it(
    client, make_response
):
    body = WORDS * 400
    raw_response = make_response(body, f"Content-Digest: {digest_of(b'other')}")

    def script(peer: Peer) -> None:
        peer.read_to_end()

    with ScriptedServer.serving(raw_response) as source, ScriptedServer(script) as target:
        with pytest.raises(IntegrityError) as caught:
            client.request(target.url(), "PUT", payload=client.request(source.url()))
        target.join()
    assert caught.value.out_of_payload
    assert str(source.port) in str(caught.value)
    (wire,) = target.wire
    if make_response is with_length:
        assert len(body_of(wire)) < len(body)
    assert not wire.endswith(b"0\r\n\r\n")


@pytest.mark.parametrize("decompress", [True, False])
def test_digest_covers_the_body_as_received(client, make_response, decompress):
    coded = gzip.compress(WORDS, mtime=0)
    fields = ["Content-Encoding: gzip", f"Content-Digest: {digest_of(coded)}"]
    wrong = ["Content-Encoding: gzip", f"Content-Digest: {digest_of(WORDS)}"]
    responses = make_response(coded, *fields), make_response(coded, *wrong)
    with ScriptedServer.serving(*responses) as server:
        body = client.request(server.url(), decompress=decompress).body
        assert body == (WORDS if decompress else coded)
        with pytest.raises(IntegrityError):
            _ = client.request(server.url(), decompress=decompress).body


@pytest.mark.parametrize("right", [True, False])
@pytest.mark.parametrize("size", [1, 400], ids=["small", "large"])
def test_digest_in_an_announced_trailer_is_checked(client, right, size):
    body = WORDS * size
    digest = digest_of(body if right else b"other").encode()
    raw_response = (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: Content-Digest\r\n\r\n"
        + chunks(body)
        + b"0\r\nContent-Digest: "
        + digest
        + b"\r\n\r\n"
    )
    with ScriptedServer.serving(raw_response) as server:
        received = client.request(server.url())
        if right:
            assert received.body == body
            assert received.trailers["content-digest"] == digest.decode()
        else:
            with pytest.raises(IntegrityError):
                _ = received.body


def test_responses_without_the_whole_content_are_not_checked(client):
    digest = f"Repr-Digest: {digest_of(WORDS)}"
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 3800\r\n" + digest.encode() + b"\r\n\r\n"
    part = response(
        WORDS[:10], digest, "Content-Range: bytes 0-9/3800", status="206 Partial Content"
    )
    not_modified = b"HTTP/1.1 304 Not Modified\r\n" + digest.encode() + b"\r\n\r\n"
    with ScriptedServer.serving(head, part, not_modified) as server:
        assert client.request(server.url(), "HEAD").body == b""
        assert client.request(server.url(), headers={"Range": "bytes=0-9"}).body == WORDS[:10]
        assert client.request(server.url()).body == b""


def test_malformed_and_unknown_digests_are_ignored(client, make_response):
    fields = ("Content-Digest: sha-256=nonsense", "Repr-Digest: md5=:AAAA:")
    with ScriptedServer.serving(make_response(WORDS, *fields)) as server:
        assert client.request(server.url()).body == WORDS


def test_closed_or_skipped_body_is_not_checked(client, make_response):
    raw_response = make_response(WORDS, f"Content-Digest: {digest_of(b'other')}")
    with ScriptedServer.serving(raw_response) as server:
        client.request(server.url()).close()
        client.request(server.url()).skip_body()


def test_checked_response_pickles(client, make_response):
    coded = gzip.compress(WORDS, mtime=0)
    for body, fields in ((WORDS, ()), (coded, ("Content-Encoding: gzip",))):
        for right in (True, False):
            digest = f"Content-Digest: {digest_of(body if right else b'other')}"
            with ScriptedServer.serving(make_response(body, digest, *fields)) as server:
                again = pickle.loads(pickle.dumps(client.request(server.url())))
            if right:
                assert again.body == WORDS
            else:
                with pytest.raises(IntegrityError):
                    _ = again.body


def test_large_streamed_body_is_checked(client):
    block = hashlib.sha512(b"block").digest() * (MIB // 64)

    def script(peer: Peer) -> None:
        peer.read_request()
        digest = digest_of(block * 20).encode()
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n" % (20 * MIB))
        peer.send(b"Content-Digest: " + digest + b"\r\n\r\n", *[block] * 20)

    with ScriptedServer(script) as server:
        received = client.request(server.url())
        assert sum(map(len, received.payload_stream)) == 20 * MIB


class PayloadWithTrailer(Payload):
    """A payload that announces a trailer."""

    trailer_names = ("X-Sum",)

    def chunks(self) -> Iterator[Buffer]:
        yield b"abc"

    def trailers(self) -> list[tuple[str, str]]:
        return [("X-Sum", "6")]


def test_trailers_of_a_wrapped_payload_are_announced(client):
    with ScriptedServer.serving(OK) as server:
        payload = add_content_digest(compress_payload(PayloadWithTrailer(), "gzip"))
        client.request(server.url(), "PUT", payload=payload, progress=lambda *_: None)
    assert field(head_of(server.request), "trailer") == "X-Sum, Content-Digest"
    assert b"\r\nX-Sum: 6\r\nContent-Digest: sha-256=:" in body_of(server.request)
