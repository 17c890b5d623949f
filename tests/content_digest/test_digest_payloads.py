"""Digests of what is sent and of what is received, without a wire: fields, payloads, sources."""

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
from restkit.content_digest.checking import CheckedSource, DigestCheck, digest_check
from restkit.content_digest.fields import digest_field, parse_digests
from restkit.content_digest.payloads import digested, hashing
from restkit.errors import IntegrityError, PayloadError, PayloadNotReplayable, UnexpectedEOF
from restkit.headers import Headers
from restkit.io.buffers import Buffer
from restkit.payload.base import Payload
from restkit.payload.convert import as_payload
from restkit.payload.files import RegularPayload
from support import ScriptedServer, body_of, digest_of, response
from support.memory import MIB

WORDS = b'{"hello": "world"}\n'
# As RFC 9530 B.1 has them, for these words.
SHA_256 = "sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:"
SHA_512 = (
    "sha-512=:YMAam51Jz/jOATT6/zvHrLVgOYTGFy1d6GJiOHTohq4"
    "yP+pgk4vf2aCsyRZOtw8MjkM7iw7yZ/WkppmM44T3qg==:"
)


def as_one(source: object) -> Payload:
    payload = as_payload(source)
    assert payload is not None
    return payload


def sent(payload: Payload) -> bytes:
    """One pass. Each piece is copied while it is good, as the wire does with what it sends."""
    return b"".join(bytes(piece) for piece in payload)


# Fields


@given(st.binary(max_size=70))
def test_a_field_that_is_written_is_read_the_same(digest):
    assert parse_digests([digest_field("sha-256", digest)]) == {"sha-256": digest}


def test_fields_as_the_rfc_has_them():
    assert digest_field("sha-256", hashlib.sha256(WORDS).digest()) == SHA_256
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
def test_what_is_known_is_read_beside_all_that_a_dictionary_may_hold(lines):
    assert parse_digests(lines) == {"sha-256": b"abc"}


@pytest.mark.parametrize("padded", ["YQ==", "YQ", "YQ="])
def test_padding_that_is_missing_is_made_up_for(padded):
    assert parse_digests([f"sha-256=:{padded}:"]) == {"sha-256": b"a"}


@pytest.mark.parametrize(
    "value",
    [
        "",
        "sha-256",
        "sha-256=YWJj",
        "sha-256=X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=",  # as RFC 3230 had them
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
def test_a_field_that_is_none_is_ignored_as_a_whole(value):
    assert parse_digests([value]) == {}


@given(st.lists(st.text('sha-256512=:;,()"%@?*. \tYWJj/+', max_size=40), max_size=3))
@example(["a=" + "(" * 20])
@example(["a" + ";a" * 20 + "="])
def test_any_text_is_read_or_ignored(lines):
    assert set(parse_digests(lines)) <= {"sha-256", "sha-512"}


def test_a_long_field_takes_no_longer_than_its_length():
    for text in ("a=(" + "1 " * 30_000, "a" + "; a" * 20_000 + "!", "a=1," * 16_000 + "!"):
        assert parse_digests([text]) == {}


# Hashing


def test_a_digest_is_there_when_all_was_sent():
    payload = hashing(iter([b"some ", b"words"]))
    assert (payload.length, payload.replayable, payload.started) == (None, False, False)
    with pytest.raises(PayloadError, match="has not been sent to its end"):
        payload.digest()
    a_pass = iter(payload)
    assert next(a_pass) == b"some "
    with pytest.raises(PayloadError):
        payload.hexdigest()
    assert next(a_pass) == b"words"
    assert next(a_pass, None) is None
    assert payload.digest() == hashlib.sha256(b"some words").digest()
    assert payload.hexdigest() == hashlib.sha256(b"some words").hexdigest()
    with pytest.raises(PayloadNotReplayable):
        sent(payload)


def test_every_pass_has_a_digest_of_its_own(tmp_path):
    path = tmp_path / "words"
    path.write_bytes(b"some words")
    payload = hashing(path, "md5")
    assert (payload.length, payload.replayable) == (10, True)
    assert sent(payload) == b"some words"
    assert payload.hexdigest() == hashlib.md5(b"some words").hexdigest()
    path.write_bytes(b"other text")
    next(iter(payload))
    with pytest.raises(PayloadError):
        payload.digest()
    sent(payload)
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


def test_all_else_is_the_payloads_own():
    for payload in (hashing(Rows()), digested(Rows())):
        assert payload.headers == Rows.headers
        assert payload.waits_on == 7
        assert sent(payload) == b"1,2"
        assert ("X-Rows", "1") in payload.trailers()


def test_the_digest_of_what_a_request_sent(client):
    payload = hashing(WORDS)
    with ScriptedServer.serving(response(b"ok")) as server:
        client.request(server.url(), "PUT", payload=payload)
    assert body_of(server.request) == WORDS
    assert payload.hexdigest() == hashlib.sha256(WORDS).hexdigest()


@pytest.mark.parametrize("name", ["no such", "shake_128", "", 5])
def test_a_hash_that_is_not_there_is_named(name):
    with pytest.raises(RequestError, match="algorithm="):
        hashing(b"words", name)


def test_there_is_nothing_to_hash_of_none():
    with pytest.raises(TypeError):
        hashing(None)


def test_hashlib_is_not_loaded_before_it_is_asked_for():
    program = (
        "import sys, restkit.content_digest.checking, restkit; assert 'hashlib' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


# Content-Digest of a payload


@pytest.mark.parametrize("source", [WORDS, WORDS.decode(), bytearray(WORDS)], ids=repr)
def test_what_is_sized_and_can_go_again_has_its_digest_in_its_headers(source):
    payload = digested(as_one(source))
    assert payload.headers[-1] == ("Content-Digest", SHA_256)
    assert payload.headers[:-1] == tuple(as_one(source).headers)
    assert (payload.length, payload.replayable) == (len(WORDS), True)
    assert [sent(payload), sent(payload)] == [WORDS, WORDS]
    assert payload.trailers() == ()


def test_a_file_stays_one_that_the_system_can_send(tmp_path):
    path = tmp_path / "data.json"
    path.write_bytes(WORDS)
    source = as_one(path)
    payload = digested(source)
    assert isinstance(payload, RegularPayload)
    assert payload.headers[-1] == ("Content-Digest", SHA_256)
    assert [name for name, _ in source.headers] == ["Content-Type"]  # another request's, perhaps
    assert sent(payload) == WORDS


@pytest.mark.parametrize("source", [iter([WORDS]), [WORDS]], ids=["an iterator", "a list"])
def test_what_is_sent_in_chunks_has_its_digest_in_a_trailer(source):
    payload = digested(as_one(source))
    assert payload.length is None
    assert "content-digest" not in Headers(payload.headers).names()
    with pytest.raises(PayloadError):
        payload.trailers()
    assert sent(payload) == WORDS
    assert payload.trailers() == [("Content-Digest", SHA_256)]
    if payload.replayable:
        assert sent(payload) == WORDS
        assert payload.trailers() == [("Content-Digest", SHA_256)]


class OfKnownLength(Payload):
    length = len(WORDS)

    def chunks(self) -> Iterator[Buffer]:
        yield WORDS


def test_what_is_sent_once_has_it_in_a_trailer_though_its_length_is_known():
    payload = digested(OfKnownLength())
    assert payload.length is None
    assert sent(payload) == WORDS
    assert payload.trailers() == [("Content-Digest", SHA_256)]


def test_a_digest_that_is_there_already_is_left_alone():
    once = digested(as_one(WORDS))
    assert digested(once) is once


def test_what_a_source_raises_while_it_is_hashed_passes_through(tmp_path):
    path = tmp_path / "words"
    path.write_bytes(WORDS)
    payload = as_one(path)
    os.truncate(path, 3)
    with pytest.raises(PayloadError, match="gave 3 of 19 bytes") as caught:
        digested(payload)
    assert (caught.value.sent, caught.value.out_of_payload) == ("nothing", True)


# What came, checked


class Framing:
    """What the framing of a body tells."""

    def __init__(self, length: int | None, *trailers: tuple[str, str]) -> None:
        self.length = length
        self.trailers = list(trailers)


class Pieces:
    """A source of these pieces."""

    def __init__(self, *pieces: bytes, failure: Exception | None = None) -> None:
        self._pieces = iter(pieces)
        self._failure = failure
        self.closed = 0

    def read_piece(self) -> bytes:
        piece = next(self._pieces, b"")
        if not piece and self._failure:
            raise self._failure
        return piece

    def readinto(self, view: memoryview) -> int:
        piece = self.read_piece()
        view[: len(piece)] = piece
        return len(piece)

    def close(self) -> None:
        self.closed += 1


def check_of(*fields: tuple[str, str], method: str = "GET", status: int = 200) -> DigestCheck:
    check = digest_check(method, status, Headers(fields))
    assert check is not None
    return check


def read(source: CheckedSource) -> bytes:
    return b"".join(bytes(piece) for piece in iter(source.read_piece, b""))


def read_into(source: CheckedSource) -> bytes:
    view, found = memoryview(bytearray(100)), b""
    while count := source.readinto(view):
        found += view[:count]
    return found


@pytest.mark.parametrize("reading", [read, read_into])
@pytest.mark.parametrize("length", [len(WORDS), None])
@pytest.mark.parametrize("field", [SHA_256, SHA_512, f"{SHA_512}, {SHA_256}, md5=:AAAA:"])
def test_a_body_that_is_the_one_of_its_digests_is_read_to_its_end(reading, length, field):
    check = check_of(("Content-Digest", field))
    source = CheckedSource(Pieces(WORDS[:5], WORDS[5:]), check, Framing(length))
    assert reading(source) == WORDS
    assert reading(source) == b""


@pytest.mark.parametrize("reading", [read, read_into])
@pytest.mark.parametrize("length", [len(WORDS), None])
@pytest.mark.parametrize("name", ["Content-Digest", "Repr-Digest"])
def test_a_body_that_is_another_has_no_end(reading, length, name):
    check = check_of((name, SHA_256))
    wrong = WORDS.replace(b"w", b"v")
    source = CheckedSource(Pieces(wrong[:5], wrong[5:]), check, Framing(length))
    for _ in range(3):
        with pytest.raises(IntegrityError) as caught:
            reading(source)
        assert SHA_256 in caught.value.message
        assert digest_of(wrong) in caught.value.message
        assert name in caught.value.message
        assert "19 bytes came" in caught.value.message


def test_of_a_known_length_not_even_the_last_piece_is_given():
    check = check_of(("Content-Digest", SHA_256))
    source = CheckedSource(Pieces(b"first", b"last"), check, Framing(9))
    assert source.read_piece() == b"first"
    with pytest.raises(IntegrityError):
        source.read_piece()


def test_each_digest_that_is_known_must_be_right():
    check = check_of(("Content-Digest", f"{SHA_256}, {digest_of(b'other', 'sha-512')}"))
    with pytest.raises(IntegrityError, match="sha-512"):
        read(CheckedSource(Pieces(WORDS), check, Framing(None)))
    check = check_of(("Content-Digest", SHA_256), ("Repr-Digest", digest_of(b"other")))
    with pytest.raises(IntegrityError, match="Repr-Digest"):
        read(CheckedSource(Pieces(WORDS), check, Framing(None)))


def test_a_digest_of_another_length_is_the_wrong_one():
    check = check_of(("Content-Digest", "sha-256=::"))
    with pytest.raises(IntegrityError):
        check.verify([])


def test_what_breaks_off_is_no_matter_of_digests():
    check = check_of(("Content-Digest", SHA_256))
    pieces = Pieces(WORDS[:5], failure=UnexpectedEOF("the body ended after 5 of 19 bytes"))
    source = CheckedSource(pieces, check, Framing(len(WORDS)))
    with pytest.raises(UnexpectedEOF):
        read(source)
    source.close()
    assert pieces.closed == 1


def test_digests_that_were_announced_are_checked_behind_the_body():
    for trailer in ("Content-Digest", "x-other, repr-digest", " CONTENT-DIGEST ,"):
        for field, right in ((SHA_256, True), (SHA_512, True), (digest_of(b"other"), False)):
            check = check_of(("Trailer", trailer))
            name = "Repr-Digest" if "repr" in trailer else "Content-Digest"
            source = CheckedSource(Pieces(WORDS), check, Framing(None, (name, field)))
            if right:
                assert read(source) == WORDS
            else:
                with pytest.raises(IntegrityError):
                    read(source)


def test_a_digest_behind_the_body_that_was_not_announced_goes_unchecked():
    check = check_of(("Content-Digest", SHA_256))
    trailer = ("Content-Digest", digest_of(b"other", "sha-512"))
    assert read(CheckedSource(Pieces(WORDS), check, Framing(None, trailer))) == WORDS


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
def test_a_digest_is_held_against_what_it_is_of(method, status, content, representation):
    asked = {
        name: digest_check(method, status, Headers([(name, SHA_256)])) is not None
        for name in ("Content-Digest", "Repr-Digest")
    }
    assert asked == {"Content-Digest": content, "Repr-Digest": representation}


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
def test_where_no_digest_is_known_nothing_is_checked(field):
    assert digest_check("GET", 200, Headers([field])) is None


@given(st.binary(max_size=2000), st.lists(st.integers(0, 2000)), st.booleans())
def test_however_it_is_cut_the_whole_is_what_counts(data, places, right):
    bounds = sorted({0, len(data), *(place % (len(data) + 1) for place in places)})
    pieces = [data[a:b] for a, b in pairwise(bounds)]
    field = digest_of(data if right else data + b"!")
    source = CheckedSource(Pieces(*pieces), check_of(("Content-Digest", field)), Framing(None))
    if right:
        assert read(source) == data
    else:
        with pytest.raises(IntegrityError):
            read(source)


def test_a_large_body_is_hashed_as_it_comes():
    block = random.Random(9).randbytes(MIB)
    check = check_of(("Content-Digest", digest_of(block * 20)))
    assert len(read(CheckedSource(Pieces(*[block] * 20), check, Framing(20 * MIB)))) == 20 * MIB
    assert repr(CheckedSource(Pieces(), check, Framing(None))) == (
        "<CheckedSource, 20971520 bytes so far>"
    )
