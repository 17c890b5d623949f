"""Digest fields, payloads with digests, and checked sources, without a network."""

from __future__ import annotations

import hashlib
import os
import random
import subprocess
import sys
from collections.abc import Iterator, Sequence
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from restkit import RequestError
from restkit.content_digest.checking import CheckedSource, DigestCheck, make_response_check
from restkit.content_digest.fields import format_digest, parse_digests
from restkit.content_digest.payloads import add_content_digest, hashing
from restkit.errors import IntegrityError, PayloadError, PayloadNotReplayable, UnexpectedEOF
from restkit.headers import Headers
from restkit.io.buffers import Buffer
from restkit.payload.base import Payload
from restkit.payload.convert import as_payload
from restkit.payload.files import RegularPayload
from support import ScriptedServer, body_of, digest_of, response
from support.memory import MIB

WORDS = b'{"hello": "world"}\n'
# From RFC 9530 B.1.
SHA_256 = "sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:"
SHA_512 = (
    "sha-512=:YMAam51Jz/jOATT6/zvHrLVgOYTGFy1d6GJiOHTohq4"
    "yP+pgk4vf2aCsyRZOtw8MjkM7iw7yZ/WkppmM44T3qg==:"
)


def make_payload(source: object) -> Payload:
    payload = as_payload(source)
    assert payload is not None
    return payload


def join_chunks(payload: Payload) -> bytes:
    """Join the chunks of one pass. Each one is copied, as it is only valid until the next."""
    return b"".join(bytes(chunk) for chunk in payload)


# Fields


@given(st.binary(max_size=70))
def test_parse_restores_a_formatted_digest(digest):
    assert parse_digests([format_digest("sha-256", digest)]) == {"sha-256": digest}


def test_fields_of_the_examples_in_rfc_9530():
    assert format_digest("sha-256", hashlib.sha256(WORDS).digest()) == SHA_256
    assert parse_digests([f"{SHA_256}, {SHA_512}"]) == {
        "sha-256": hashlib.sha256(WORDS).digest(),
        "sha-512": hashlib.sha512(WORDS).digest(),
    }


@pytest.mark.parametrize(
    "lines",
    [
        ["sha-256=:YWJj:"],
        ["  sha-256=:YWJj:  "],
        ["sha-256=:YWJj:;q=1; strength=low;x"],
        ["unixsum=:AAE=:,sha-256=:YWJj:"],
        ["unixsum=:AAE=:\t , \tsha-256=:YWJj:"],
        ["unixsum=:AAE=:", "sha-256=:YWJj:", ""],
        ['a=1, b=-1.5, c="te\\"xt", d=to/ken:x, e, f;g=?0, h=?1, i=@17, sha-256=:YWJj:'],
        ['a=(), b=(1 2), c=("x";y  :YQ==: );z, d=( * ), e=%"f%c3%bc", *f.-_=1, sha-256=:YWJj:'],
        ["sha-256=:AAAA:, sha-256=:YWJj:"],  # the last one counts
        ["sha-512=:AAAA:, sha-256=:YWJj:, sha-512=1"],
    ],
)
def test_known_digest_is_found_among_all_kinds_of_members(lines):
    assert parse_digests(lines) == {"sha-256": b"abc"}


@pytest.mark.parametrize("padded", ["YQ==", "YQ", "YQ="])
def test_missing_padding_is_accepted(padded):
    assert parse_digests([f"sha-256=:{padded}:"]) == {"sha-256": b"a"}


@pytest.mark.parametrize(
    "value",
    [
        "",
        "sha-256",
        "sha-256=YWJj",
        "sha-256=X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=",  # the format of RFC 3230
        "SHA-256=:YWJj:",
        "sha-256=:YWJj:,",
        "sha-256=:YWJj:,,x=1",
        ",sha-256=:YWJj:",
        "sha-256=:YWJj: x=1",
        "sha-256=:YWJj:;",
        "sha-256 =:YWJj:",
        "sha-256= :YWJj:",
        "sha-256=:YW-j:",
        "sha-256=:Y=Jj:",
        "sha-256=:YWJj=:=:",
        "sha-256=:YWJjY:",
        "sha-256=:YWJj",
        "sha-256=:YWJj:, x=(1",
        'sha-256=:YWJj:, x="',
        "sha-256=:YWJj:, x=1.",
        "sha-256=:YWJj:, x=1234567890123456",
        "sha-256=:YWJj:, x=ü",
        "sha-256=(:YWJj:)",
    ],
)
def test_malformed_field_is_ignored_as_a_whole(value):
    assert parse_digests([value]) == {}


@given(st.lists(st.text('sha-256512=:;,()"%@?*. \tYWJj/+', max_size=40), max_size=3))
@example(["a=" + "(" * 20])
@example(["a" + ";a" * 20 + "="])
def test_any_text_is_parsed_or_ignored(lines):
    assert set(parse_digests(lines)) <= {"sha-256", "sha-512"}


def test_long_field_is_parsed_in_linear_time():
    for text in ("a=(" + "1 " * 30_000, "a" + "; a" * 20_000 + "!", "a=1," * 16_000 + "!"):
        assert parse_digests([text]) == {}


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
    with pytest.raises(PayloadError, match="gave 3 of 19 bytes") as caught:
        add_content_digest(payload)
    assert (caught.value.sent, caught.value.out_of_payload) == ("nothing", True)


# Checked sources


class FakeFraming:
    """Length and trailers."""

    def __init__(self, length: int | None, *trailers: tuple[str, str]) -> None:
        self.length = length
        self.trailers = list(trailers)


class FakeSource:
    """A source of these chunks."""

    def __init__(self, *chunks: bytes, failure: Exception | None = None) -> None:
        self._chunks = iter(chunks)
        self._failure = failure
        self.closed = 0

    def read_piece(self) -> bytes:
        chunk = next(self._chunks, b"")
        if not chunk and self._failure:
            raise self._failure
        return chunk

    def readinto(self, view: memoryview) -> int:
        chunk = self.read_piece()
        view[: len(chunk)] = chunk
        return len(chunk)

    def close(self) -> None:
        self.closed += 1


def make_check(*fields: tuple[str, str], method: str = "GET", status: int = 200) -> DigestCheck:
    check = make_response_check(method, status, Headers(fields))
    assert check is not None
    return check


def read_chunks(source: CheckedSource) -> bytes:
    return b"".join(bytes(chunk) for chunk in iter(source.read_piece, b""))


def read_into(source: CheckedSource) -> bytes:
    view, found = memoryview(bytearray(100)), b""
    while count := source.readinto(view):
        found += view[:count]
    return found


@pytest.mark.parametrize("read_all", [read_chunks, read_into])
@pytest.mark.parametrize("length", [len(WORDS), None])
@pytest.mark.parametrize("field", [SHA_256, SHA_512, f"{SHA_512}, {SHA_256}, md5=:AAAA:"])
def test_body_that_matches_its_digests_is_read_to_its_end(read_all, length, field):
    check = make_check(("Content-Digest", field))
    source = CheckedSource(FakeSource(WORDS[:5], WORDS[5:]), check, FakeFraming(length))
    assert read_all(source) == WORDS
    assert read_all(source) == b""


@pytest.mark.parametrize("read_all", [read_chunks, read_into])
@pytest.mark.parametrize("length", [len(WORDS), None])
@pytest.mark.parametrize("name", ["Content-Digest", "Repr-Digest"])
def test_body_that_does_not_match_raises_at_every_read(read_all, length, name):
    check = make_check((name, SHA_256))
    wrong = WORDS.replace(b"w", b"v")
    source = CheckedSource(FakeSource(wrong[:5], wrong[5:]), check, FakeFraming(length))
    for _ in range(3):
        with pytest.raises(IntegrityError) as caught:
            read_all(source)
        assert SHA_256 in caught.value.message
        assert digest_of(wrong) in caught.value.message
        assert name in caught.value.message
        assert "for 19 bytes" in caught.value.message


def test_last_chunk_of_a_known_length_is_held_back_if_the_body_does_not_match():
    check = make_check(("Content-Digest", SHA_256))
    source = CheckedSource(FakeSource(b"first", b"last"), check, FakeFraming(9))
    assert source.read_piece() == b"first"
    with pytest.raises(IntegrityError):
        source.read_piece()


def test_every_known_digest_must_match():
    check = make_check(("Content-Digest", f"{SHA_256}, {digest_of(b'other', 'sha-512')}"))
    with pytest.raises(IntegrityError, match="sha-512"):
        read_chunks(CheckedSource(FakeSource(WORDS), check, FakeFraming(None)))
    check = make_check(("Content-Digest", SHA_256), ("Repr-Digest", digest_of(b"other")))
    with pytest.raises(IntegrityError, match="Repr-Digest"):
        read_chunks(CheckedSource(FakeSource(WORDS), check, FakeFraming(None)))


def test_digest_of_a_wrong_length_does_not_match():
    check = make_check(("Content-Digest", "sha-256=::"))
    with pytest.raises(IntegrityError):
        check.verify([])


def test_error_of_the_source_passes_through():
    check = make_check(("Content-Digest", SHA_256))
    broken = FakeSource(WORDS[:5], failure=UnexpectedEOF("the body ended after 5 of 19 bytes"))
    source = CheckedSource(broken, check, FakeFraming(len(WORDS)))
    with pytest.raises(UnexpectedEOF):
        read_chunks(source)
    source.close()
    assert broken.closed == 1


def test_announced_digests_are_checked_in_trailers():
    for trailer in ("Content-Digest", "x-other, repr-digest", " CONTENT-DIGEST ,"):
        for field, right in ((SHA_256, True), (SHA_512, True), (digest_of(b"other"), False)):
            check = make_check(("Trailer", trailer))
            name = "Repr-Digest" if "repr" in trailer else "Content-Digest"
            source = CheckedSource(FakeSource(WORDS), check, FakeFraming(None, (name, field)))
            if right:
                assert read_chunks(source) == WORDS
            else:
                with pytest.raises(IntegrityError):
                    read_chunks(source)


def test_trailer_that_was_not_announced_is_not_checked():
    check = make_check(("Content-Digest", SHA_256))
    trailer = ("Content-Digest", digest_of(b"other", "sha-512"))
    assert read_chunks(CheckedSource(FakeSource(WORDS), check, FakeFraming(None, trailer))) == WORDS


@pytest.mark.parametrize(
    ("method", "status", "content", "representation"),
    [
        ("GET", 200, True, True),
        ("GET", 404, True, True),
        ("GET", 206, True, False),
        ("GET", 226, True, False),
        ("POST", 200, True, False),
        ("PUT", 201, True, False),
        ("DELETE", 500, True, False),
        ("HEAD", 200, False, False),
        ("GET", 304, False, False),
        ("PUT", 204, False, False),
        ("GET", 101, False, False),
        ("CONNECT", 200, False, False),
    ],
)
def test_method_and_status_decide_which_fields_are_checked(method, status, content, representation):
    checked = {
        name: make_response_check(method, status, Headers([(name, SHA_256)])) is not None
        for name in ("Content-Digest", "Repr-Digest")
    }
    assert checked == {"Content-Digest": content, "Repr-Digest": representation}


@pytest.mark.parametrize(
    "field",
    [
        ("Content-Type", "text/plain"),
        ("Content-Digest", "md5=:AAAA:"),
        ("Content-Digest", "rubbish"),
        ("Unencoded-Digest", SHA_256),
        ("Digest", "SHA-256=RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg="),
        ("Trailer", "X-Rows"),
    ],
)
def test_response_without_a_known_digest_has_no_check(field):
    assert make_response_check("GET", 200, Headers([field])) is None


@given(st.binary(max_size=2000), st.lists(st.integers(0, 2000)), st.booleans())
def test_cuts_between_chunks_do_not_matter(data, places, right):
    bounds = sorted({0, len(data), *(place % (len(data) + 1) for place in places)})
    chunks = [data[a:b] for a, b in pairwise(bounds)]
    field = digest_of(data if right else data + b"!")
    source = CheckedSource(
        FakeSource(*chunks), make_check(("Content-Digest", field)), FakeFraming(None)
    )
    if right:
        assert read_chunks(source) == data
    else:
        with pytest.raises(IntegrityError):
            read_chunks(source)


def test_large_body_is_hashed_chunk_by_chunk():
    block = random.Random(9).randbytes(MIB)
    check = make_check(("Content-Digest", digest_of(block * 20)))
    assert (
        len(read_chunks(CheckedSource(FakeSource(*[block] * 20), check, FakeFraming(20 * MIB))))
        == 20 * MIB
    )
    assert repr(CheckedSource(FakeSource(), check, FakeFraming(None))) == (
        "<CheckedSource, 20971520 bytes so far>"
    )
