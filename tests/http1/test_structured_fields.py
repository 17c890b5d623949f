"""Structured fields (RFC 9651): parsed and written."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from restkit.errors import ParserError
from restkit.http1.structured_fields import (
    MAX_INNER,
    MAX_MEMBERS,
    MAX_SIZE,
    Date,
    DisplayString,
    InnerList,
    Item,
    Token,
    format_dictionary,
    format_item,
    format_list,
    parse_dictionary,
    parse_item,
    parse_list,
)
from support.structured_fields import FORMATTERS, PARSERS, describe

KEYS = st.from_regex(r"[a-z*][a-z0-9_\-.*]{0,5}", fullmatch=True)
INTEGERS = st.integers(-(10**15) + 1, 10**15 - 1)
BARE_ITEMS = st.one_of(
    INTEGERS,
    INTEGERS.map(Date),
    INTEGERS.map(lambda number: number / 1000),
    st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=20),
    st.from_regex(r"[A-Za-z*][A-Za-z0-9!#$%&'*+\-.^_`|~:/]{0,9}", fullmatch=True).map(Token),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=20).map(DisplayString),
    st.binary(max_size=20),
    st.booleans(),
)
PARAMETERS = st.dictionaries(KEYS, BARE_ITEMS, max_size=3)
ITEMS = st.builds(Item, BARE_ITEMS, PARAMETERS)
MEMBERS = ITEMS | st.builds(InnerList, st.lists(ITEMS, max_size=3).map(tuple), PARAMETERS)


@settings(max_examples=60)
@given(ITEMS)
def test_item_is_parsed_as_it_was_written(item):
    assert describe(parse_item(format_item(item))) == describe(item)


@settings(max_examples=60)
@given(st.lists(MEMBERS, max_size=4))
def test_list_is_parsed_as_it_was_written(members):
    assert describe(parse_list(format_list(members))) == describe(members)


@settings(max_examples=60)
@given(st.dictionaries(KEYS, MEMBERS, max_size=4))
def test_dictionary_is_parsed_as_it_was_written(members):
    assert describe(parse_dictionary(format_dictionary(members))) == describe(members)


@settings(max_examples=60)
@given(st.text(st.sampled_from('a1-."\\:=?@%;,() \t\u00fc\0'), max_size=12))
def test_any_text_is_parsed_or_a_parser_error(text):
    for kind, parse in PARSERS.items():
        try:
            value = parse(text)
        except ParserError:
            continue
        written = FORMATTERS[kind](value)
        assert describe(parse(written)) == describe(value)


@pytest.mark.parametrize(
    "text",
    """1.|1.2345|1234567890123456|1234567890123.1|-|"a|"\\a"|:YWJjY:|?2|@1.5|%"%FF"|%"%ff"
    |1 2|1, 2|a b|a;B|a;=1|a; |1\t|(1 2)|\u00e9|\0""".split("|"),
)
def test_malformed_item_is_an_error(text):
    with pytest.raises(ParserError):
        parse_item(text)


@pytest.mark.parametrize(
    "text", ["1,", ",1", "1,,2", "1 2", "(1", "(1,2)", "(1(2))", "1\t", "((1))"]
)
def test_malformed_list_is_an_error(text):
    with pytest.raises(ParserError):
        parse_list(text)


def test_error_names_the_position_and_what_is_there():
    with pytest.raises(ParserError, match=r"must have a comma at position 2; got 'b'"):
        parse_list("a b")


@pytest.mark.parametrize(
    "value",
    [
        *(10**15, -(10**15), 1e12, 999_999_999_999.9999, float("nan"), float("inf"), "ü", "a\n"),
        *(Token(""), Token("a b"), Token("1"), Date(10**15), None, [1]),
    ],
)
def test_value_that_a_field_cannot_have_is_an_error(value):
    with pytest.raises(ValueError, match=r"must|cannot"):
        format_item(Item(value))


def test_bounds():
    assert len(parse_list(",".join(["1"] * MAX_MEMBERS))) == MAX_MEMBERS
    for text in (
        ",".join(["1"] * (MAX_MEMBERS + 1)),
        "(" + "1 " * (MAX_INNER + 1) + ")",
        "1" + ";a" * (MAX_INNER + 1),
    ):
        with pytest.raises(ParserError, match="more than"):
            parse_list(text)
    with pytest.raises(ParserError, match="longer than"):
        parse_item(" " * MAX_SIZE + "1")
