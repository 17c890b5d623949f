"""Content-Digest and Repr-Digest fields: parsed and formatted."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from restkit.content_digest.fields import format_digest, parse_digests

WORDS = b'{"hello": "world"}\n'
# From RFC 9530 B.1.
SHA_256 = "sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:"
SHA_512 = (
    "sha-512=:YMAam51Jz/jOATT6/zvHrLVgOYTGFy1d6GJiOHTohq4"
    "yP+pgk4vf2aCsyRZOtw8MjkM7iw7yZ/WkppmM44T3qg==:"
)


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
