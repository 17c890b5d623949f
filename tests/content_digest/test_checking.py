"""Received bytes, checked against digests, without a network."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from restkit.content_digest.checking import CheckedSource, DigestCheck, make_response_check
from restkit.errors import IntegrityError, UnexpectedEOF
from restkit.headers import Headers
from support import digest_of
from support.memory import MIB

WORDS = b'{"hello": "world"}\n'
# From RFC 9530 B.1.
SHA_256 = "sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:"
SHA_512 = (
    "sha-512=:YMAam51Jz/jOATT6/zvHrLVgOYTGFy1d6GJiOHTohq4"
    "yP+pgk4vf2aCsyRZOtw8MjkM7iw7yZ/WkppmM44T3qg==:"
)


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

    def read_chunk(self) -> bytes:
        chunk = next(self._chunks, b"")
        if not chunk and self._failure:
            raise self._failure
        return chunk

    def readinto(self, view: memoryview) -> int:
        chunk = self.read_chunk()
        view[: len(chunk)] = chunk
        return len(chunk)

    def close(self) -> None:
        self.closed += 1


def make_check(*fields: tuple[str, str], method: str = "GET", status: int = 200) -> DigestCheck:
    check = make_response_check(method, status, Headers(fields))
    assert check is not None
    return check


def read_chunks(source: CheckedSource) -> bytes:
    return b"".join(bytes(chunk) for chunk in iter(source.read_chunk, b""))


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
    assert source.read_chunk() == b"first"
    with pytest.raises(IntegrityError):
        source.read_chunk()


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
