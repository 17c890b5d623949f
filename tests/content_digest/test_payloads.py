"""Payloads that compute a digest, or carry it to the receiver."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence

import pytest

from restkit import RequestError
from restkit.content_digest.payloads import add_content_digest, hashing
from restkit.errors import PayloadError, PayloadNotReplayable
from restkit.headers import Headers
from restkit.io.buffers import Buffer
from restkit.payload.base import Payload
from restkit.payload.files import RegularPayload
from support import ScriptedServer, body_of, response
from support.payloads import join_chunks, make_payload

WORDS = b'{"hello": "world"}\n'
# From RFC 9530 B.1.
SHA_256 = "sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:"


# Hashing


def test_digest_is_available_after_a_complete_pass():
    payload = hashing(iter([b"some ", b"words"]))
    assert (payload.length, payload.replayable, payload.started) == (None, False, False)
    with pytest.raises(PayloadError, match="must be sent completely"):
        payload.digest()
    one_pass = iter(payload)
    assert next(one_pass) == b"some "
    with pytest.raises(PayloadError):
        payload.hexdigest()
    assert next(one_pass) == b"words"
    assert next(one_pass, None) is None
    assert payload.digest() == hashlib.sha256(b"some words").digest()
    assert payload.hexdigest() == hashlib.sha256(b"some words").hexdigest()
    with pytest.raises(PayloadNotReplayable):
        join_chunks(payload)


def test_every_pass_has_its_own_digest(tmp_path):
    path = tmp_path / "words"
    path.write_bytes(b"some words")
    payload = hashing(path, "md5")
    assert (payload.length, payload.replayable) == (10, True)
    assert join_chunks(payload) == b"some words"
    assert payload.hexdigest() == hashlib.md5(b"some words").hexdigest()
    path.write_bytes(b"other text")
    next(iter(payload))
    with pytest.raises(PayloadError):
        payload.digest()
    join_chunks(payload)
    assert payload.hexdigest() == hashlib.md5(b"other text").hexdigest()


class Rows(Payload):
    headers = (("Content-Type", "text/csv"),)

    @property
    def waits_on(self) -> int:
        return 7

    def chunks(self) -> Iterator[Buffer]:
        yield b"1,2"

    def trailers(self) -> Sequence[tuple[str, str]]:
        return [("X-Rows", "1")]


def test_headers_trailers_and_waits_on_are_those_of_the_payload():
    for payload in (hashing(Rows()), add_content_digest(Rows())):
        assert payload.headers == Rows.headers
        assert payload.waits_on == 7
        assert join_chunks(payload) == b"1,2"
        assert ("X-Rows", "1") in payload.trailers()


def test_digest_of_a_sent_request(client):
    payload = hashing(WORDS)
    with ScriptedServer.serving(response(b"ok")) as server:
        client.request(server.url(), "PUT", payload=payload)
    assert body_of(server.request) == WORDS
    assert payload.hexdigest() == hashlib.sha256(WORDS).hexdigest()


@pytest.mark.parametrize("name", ["no such", "shake_128", "", 5])
def test_unknown_hash_raises(name):
    with pytest.raises(RequestError, match="algorithm="):
        hashing(b"words", name)


def test_hashing_none_raises():
    with pytest.raises(TypeError):
        hashing(None)


def test_hashlib_is_not_imported_before_it_is_needed():
    program = (
        "import sys, restkit.content_digest.checking, restkit; assert 'hashlib' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


# Content-Digest of a payload


@pytest.mark.parametrize("source", [WORDS, WORDS.decode(), bytearray(WORDS)], ids=repr)
def test_replayable_payload_with_a_length_has_its_digest_in_its_headers(source):
    payload = add_content_digest(make_payload(source))
    assert payload.headers[-1] == ("Content-Digest", SHA_256)
    assert payload.headers[:-1] == tuple(make_payload(source).headers)
    assert (payload.length, payload.replayable) == (len(WORDS), True)
    assert [join_chunks(payload), join_chunks(payload)] == [WORDS, WORDS]
    assert payload.trailers() == ()


def test_file_payload_keeps_its_type(tmp_path):
    path = tmp_path / "data.json"
    path.write_bytes(WORDS)
    source = make_payload(path)
    payload = add_content_digest(source)
    assert isinstance(payload, RegularPayload)
    assert payload.headers[-1] == ("Content-Digest", SHA_256)
    assert [name for name, _ in source.headers] == ["Content-Type"]  # not changed
    assert join_chunks(payload) == WORDS


@pytest.mark.parametrize("source", [iter([WORDS]), [WORDS]], ids=["an iterator", "a list"])
def test_payload_without_a_length_has_its_digest_in_a_trailer(source):
    payload = add_content_digest(make_payload(source))
    assert payload.length is None
    assert "content-digest" not in Headers(payload.headers).names()
    with pytest.raises(PayloadError):
        payload.trailers()
    assert join_chunks(payload) == WORDS
    assert payload.trailers() == [("Content-Digest", SHA_256)]
    if payload.replayable:
        assert join_chunks(payload) == WORDS
        assert payload.trailers() == [("Content-Digest", SHA_256)]


class OfKnownLength(Payload):
    length = len(WORDS)

    def chunks(self) -> Iterator[Buffer]:
        yield WORDS


def test_one_shot_payload_with_a_length_has_its_digest_in_a_trailer():
    payload = add_content_digest(OfKnownLength())
    assert payload.length is None
    assert join_chunks(payload) == WORDS
    assert payload.trailers() == [("Content-Digest", SHA_256)]


def test_payload_with_a_digest_is_returned_unchanged():
    once = add_content_digest(make_payload(WORDS))
    assert add_content_digest(once) is once


def test_error_of_a_source_while_hashing_passes_through(tmp_path):
    path = tmp_path / "words"
    path.write_bytes(WORDS)
    payload = make_payload(path)
    os.truncate(path, 3)
    with pytest.raises(PayloadError, match="produced 3 of 19 bytes") as caught:
        add_content_digest(payload)
    assert (caught.value.sent, caught.value.out_of_payload) == ("nothing", True)
