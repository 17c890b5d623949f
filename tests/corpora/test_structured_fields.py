"""The structured fields (RFC 9651) of httpwg's tests, read by the parser of Content-Digest.

That parser reads Dictionaries, and returns byte sequences of known keys. A field that is not valid
has no members at all, so a known member shows whether the rest of a field was accepted. Lists, and
writing fields of other types, are not needed by restkit.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from restkit.content_digest.fields import SHA_256, format_digest, parse_digests
from support.corpora import check_deviations, find_cases

pytestmark = pytest.mark.corpora

KNOWN = f"{SHA_256}=:YWJj:"

NOT_DECODED = "4.2.10: a string that nobody reads is not decoded"
OWS = "4.2.2: blanks and tabs may stand around the comma of a Dictionary, and at its end"

ITEMS = {
    "display-string: bad display string utf-8 (invalid 2-byte seq)": NOT_DECODED,
    "display-string: bad display string utf-8 (invalid sequence id)": NOT_DECODED,
    "display-string: bad display string utf-8 (invalid 3-byte seq)": NOT_DECODED,
    "display-string: bad display string utf-8 (invalid 4-byte seq)": NOT_DECODED,
    "item: trailing space": OWS,
    "token-generated: 0x2c in token": "4.2.2: a comma begins another member of a Dictionary",
}
DICTIONARIES = {"key-generated: 0x09 starting a dictionary key": OWS}
BYTES: dict[str, str] = {}


def read_cases(header_type: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for path in find_cases("structured-field-tests", "*.json"):
        for case in json.loads(path.read_text(encoding="utf-8")):
            if case["header_type"] == header_type:
                yield f"{path.stem}: {case['name']}", case


def is_accepted(lines: list[str]) -> bool:
    return parse_digests(lines) == {SHA_256: b"abc"}


def find_deviations(
    header_type: str, make_lines: Callable[[list[str]], list[str]]
) -> dict[str, str]:
    found = {}
    for name, case in read_cases(header_type):
        lines = make_lines(case["raw"])
        if not case.get("can_fail") and is_accepted(lines) == case.get("must_fail", False):
            found[name] = repr(lines)
    return found


def test_items_are_accepted_as_members_of_a_dictionary() -> None:
    found = find_deviations(
        "item", lambda raw: [KNOWN, "x=" + ",".join(line.strip(" ") for line in raw)]
    )
    check_deviations(found, ITEMS)


def test_dictionaries_are_accepted() -> None:
    found = find_deviations("dictionary", lambda raw: [KNOWN, *raw])
    check_deviations(found, DICTIONARIES)


def test_byte_sequences_are_those_of_the_cases() -> None:
    found, count = {}, 0
    for name, case in read_cases("item"):
        value = case.get("expected", [None])[0]
        if not isinstance(value, dict) or value["__type"] != "binary":
            continue
        count += 1
        data = base64.b32decode(value["value"])
        for text in (f"{SHA_256}={case['raw'][0]}", format_digest(SHA_256, data)):
            if parse_digests([text]) != {SHA_256: data}:
                found[name] = f"{text}: {parse_digests([text])}, not {data!r}"
    assert count
    check_deviations(found, BYTES)
