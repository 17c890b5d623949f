"""The structured fields (RFC 9651) of httpwg's tests: every type, parsed and written."""

from __future__ import annotations

import json
from base64 import b32decode
from typing import Any

import pytest

from restkit.errors import ParserError
from restkit.http1.structured_fields import Date, DisplayString, InnerList, Item, Token
from support.corpora import find_cases
from support.structured_fields import FORMATTERS, PARSERS, describe

pytestmark = pytest.mark.corpora


def read_cases(*patterns: str) -> list[dict[str, Any]]:
    paths = [path for each in patterns for path in find_cases("structured-field-tests", each)]
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


def test_fields_of_each_type_are_parsed() -> None:
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
    assert not wrong, wrong


def test_fields_of_each_type_are_written() -> None:
    wrong = []
    for case in read_cases("*.json", "serialisation-tests/*.json"):
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
    assert not wrong, wrong
