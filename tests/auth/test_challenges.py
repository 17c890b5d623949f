"""Parsing of WWW-Authenticate and Authentication-Info: valid, invalid and very long fields."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from restkit.auth.challenges import Challenge, parse_challenges, parse_parameters
from support.growth import assert_linear

BASIC = Challenge("basic", {"realm": "r"})

TABLE = [
    ("one challenge", 'Basic realm="r"', [BASIC]),
    ("no parameters", "Negotiate", [Challenge("negotiate", {})]),
    ("empty", "", []),
    ("only commas", " , ,, ", []),
    ("no quotes", "Basic realm=r", [BASIC]),
    ("scheme and names in any case", 'bAsIc REALM="r"', [BASIC]),
    ("space around =", 'Basic realm \t= "r"', [BASIC]),
    ("tabs and spaces behind the scheme", 'Basic \t realm="r"', [BASIC]),
    ("an empty value", 'Basic realm=""', [Challenge("basic", {"realm": ""})]),
    ("a comma in quotes", 'Basic realm="a, b"', [Challenge("basic", {"realm": "a, b"})]),
    (
        "a challenge inside quotes",
        'Basic realm="a, Digest nonce=x"',
        [Challenge("basic", {"realm": "a, Digest nonce=x"})],
    ),
    (
        "escapes",
        r'Basic realm="say \"a, b\" \\ \x"',
        [Challenge("basic", {"realm": r'say "a, b" \ x'})],
    ),
    ("a token of 68", "Negotiate YII+/-._~=", [Challenge("negotiate", {}, "YII+/-._~=")]),
    ("a token of 68 without =", "Custom abc", [Challenge("custom", {}, "abc")]),
    (
        "two, one without parameters",
        'Negotiate, Basic realm="r"',
        [Challenge("negotiate", {}), BASIC],
    ),
    (
        "a token of 68, then another challenge",
        'NTLM TlRM==, Basic realm="r"',
        [Challenge("ntlm", {}, "TlRM=="), BASIC],
    ),
    (
        "the example of RFC 9110 11.6.1",
        'Basic realm="simple", Newauth realm="apps", type=1, title="Login to \\"apps\\""',
        [
            Challenge("basic", {"realm": "simple"}),
            Challenge("newauth", {"realm": "apps", "type": "1", "title": 'Login to "apps"'}),
        ],
    ),
    (
        "empty elements",
        ', Digest realm="r",, ,nonce=n,',
        [Challenge("digest", {"realm": "r", "nonce": "n"})],
    ),
    (
        "an unquoted value that is not a token",
        "Digest nonce=a/b==, opaque=(x)",
        [Challenge("digest", {"nonce": "a/b==", "opaque": "(x)"})],
    ),
    (
        "a repeated name: the first counts",
        'Digest realm="first", realm="second"',
        [Challenge("digest", {"realm": "first"})],
    ),
    ("an open quote", 'Basic realm="r, x=y', [Challenge("basic", {"realm": "r, x=y"})]),
    ("an open quote and a backslash", 'Basic realm="r\\', [Challenge("basic", {"realm": "r"})]),
    ("a parameter without a challenge", 'realm="r"', []),
    ("an invalid element", 'Basic realm="r", <junk>, "x"', [BASIC]),
    ("a scheme and junk", 'Basic realm="r"x', [Challenge("basic", {})]),
]


@pytest.mark.parametrize(
    ("value", "expected"), [row[1:] for row in TABLE], ids=[r[0] for r in TABLE]
)
def test_parse_one_field(value, expected):
    assert parse_challenges([value]) == expected


def test_several_fields_are_parsed_in_order_and_separately():
    fields = ['Basic realm="open', 'nonce="ignored", Digest realm="r"', "Negotiate"]
    assert parse_challenges(fields) == [
        Challenge("basic", {"realm": "open"}),
        Challenge("digest", {"realm": "r"}),
        Challenge("negotiate", {}),
    ]
    assert parse_challenges([]) == []


def test_parameters_without_a_scheme_are_parsed():
    text = r'nextnonce="a\"b, c", qop=auth, rspauth="00", nc=00000001, junk, nc=2'
    assert parse_parameters(text) == {
        "nextnonce": 'a"b, c',
        "qop": "auth",
        "rspauth": "00",
        "nc": "00000001",
    }


texts = st.text(st.sampled_from(' \t,="\\aZ0/é\n\0') | st.characters(codec="utf-8"), max_size=80)


@given(st.lists(texts, max_size=4))
@example(['"\\'])
@example(['a="\n'])
@example(["a=\n"])
def test_any_text_can_be_parsed(values):
    for challenge in parse_challenges(values):
        assert challenge.scheme == challenge.scheme.lower() != ""
        assert all(name == name.lower() != "" for name in challenge.parameters)
        assert challenge.token is None or not challenge.parameters or challenge.token
    for value in values:
        assert isinstance(parse_parameters(value), dict)


words = st.text("abcXYZ019!#$%&'*+-.^_`|~", min_size=1, max_size=8)
values = st.text(st.characters(min_codepoint=0x20, max_codepoint=0xFF), max_size=20)
parameters = st.lists(st.tuples(words, values), max_size=5, unique_by=lambda pair: pair[0].lower())


def quote(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


@given(st.lists(st.tuples(words, parameters), min_size=1, max_size=4), st.booleans())
def test_any_field_of_the_grammar_is_parsed_to_its_values(challenges, in_one):
    written = [
        f"{scheme} " + ", ".join(f"{name}={quote(value)}" for name, value in given)
        for scheme, given in challenges
    ]
    expected = [
        Challenge(scheme.lower(), {name.lower(): value for name, value in given})
        for scheme, given in challenges
    ]
    assert parse_challenges([", ".join(written)] if in_one else written) == expected


MALICIOUS_FIELDS = {
    "a word": lambda size: "a" * size + '"',
    "spaces": lambda size: "a=" + " " * (size // 2) + "x" * (size // 2) + '"x',
    "spaces after a word": lambda size: "a" + " " * size + '"',
    "escapes": lambda size: 'Basic a="' + "\\a" * (size // 2),
    "two quotes": lambda size: 'Basic a="' + "b" * (size // 2) + '" c"' + "d" * (size // 2),
    "quotes": lambda size: '"' * (size + 1),
    "parameters": lambda size: ",a=b" * (size // 4),
    "words": lambda size: 'a "" ' * (size // 5),
    "a token": lambda size: "Basic " + "=" * size + '"',
}


@pytest.mark.parametrize("kind", MALICIOUS_FIELDS)
@pytest.mark.parametrize("parse", [lambda text: parse_challenges([text]), parse_parameters])
def test_long_field_takes_linear_time(parse, kind):
    assert_linear(parse, MALICIOUS_FIELDS[kind], 10_000)
