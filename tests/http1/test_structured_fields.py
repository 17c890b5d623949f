"""Structured fields (RFC 9651): parsed and written."""

from __future__ import annotations

import json
import os
from base64 import b32decode
from pathlib import Path
from typing import Any

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

# The public cases of httpwg: no type is left out.
CASES = os.environ.get("RESTKIT_DATA") or os.environ.get("RESTKIT_CORPORA")
PARSERS: dict[str, Any] = {"item": parse_item, "list": parse_list, "dictionary": parse_dictionary}
FORMATTERS: dict[str, Any] = {
    "item": format_item,
    "list": format_list,
    "dictionary": format_dictionary,
}

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


def describe(value: object) -> str:
    """Return a text that shows types, so that a Token differs from a String, and True from 1."""
    if isinstance(value, (Item, InnerList)):
        return f"{type(value).__name__}({', '.join(map(describe, value))})"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(describe, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key}: {describe(each)}' for key, each in value.items())}}}"
    return f"{type(value).__name__} {value!r}"


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


# The cases of httpwg/structured-field-tests


def read_cases(pattern: str) -> list[dict[str, Any]]:
    folder = Path(CASES or "", "structured-field-tests")
    paths = sorted(folder.glob(pattern))
    assert paths, f"there are no cases in {folder}"
    return [case for path in paths for case in json.loads(path.read_bytes())]


def bare_item_of(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    kinds = {"token": Token, "date": Date, "displaystring": DisplayString, "binary": b32decode}
    return kinds[value["__type"]](value["value"])


def member_of(value: Any) -> Any:
    inner, parameters = value
    parameters = {key: bare_item_of(each) for key, each in parameters}
    if isinstance(inner, list):
        return InnerList(tuple(map(member_of, inner)), parameters)
    return Item(bare_item_of(inner), parameters)


def field_of(kind: str, value: Any) -> Any:
    if kind == "item":
        return member_of(value)
    if kind == "list":
        return [member_of(each) for each in value]
    return {key: member_of(each) for key, each in value}


needs_cases = pytest.mark.skipif(not CASES, reason="RESTKIT_DATA names no folder with cases")


@needs_cases
def test_public_cases_are_parsed():
    wrong = []
    for case in read_cases("*.json"):
        kind = case["header_type"]
        try:
            found = describe(PARSERS[kind](", ".join(case["raw"])))
        except ParserError:
            found = "error"
        expected = "error" if case.get("must_fail") else describe(field_of(kind, case["expected"]))
        if found != expected and not (found == "error" and case.get("can_fail")):
            wrong.append((case["name"], found, expected))
    assert not wrong


@needs_cases
def test_public_cases_are_written():
    wrong = []
    for case in read_cases("*.json") + read_cases("serialisation-tests/*.json"):
        kind = case["header_type"]
        if "expected" not in case or (case.get("must_fail") and "raw" in case):
            continue
        try:
            found = FORMATTERS[kind](field_of(kind, case["expected"]))
        except ValueError:
            found = "error"
        lines = case.get("canonical", case.get("raw"))
        expected = "error" if case.get("must_fail") else ", ".join(lines)
        if found != expected:
            wrong.append((case["name"], found, expected))
    assert not wrong
