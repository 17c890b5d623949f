"""Conditions and ranges (RFC 9110 13 and 14)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from restkit.headers import Headers
from restkit.http1.ranges import ByteRange
from restkit.server.file_response import Outcome, Validators, evaluate_conditions

CURRENT = Validators('"a-1"', 784111777)
WEAK = Validators('W/"a-1"', 784111777)
SAME_SECOND = "Sun, 06 Nov 1994 08:49:37 GMT"
BEFORE = "Sun, 06 Nov 1994 08:49:36 GMT"
AFTER = "Sun, 06 Nov 1994 08:49:38 GMT"
INVALID_DATE = "yesterday"


def decide(method="GET", current=CURRENT, size=100, **fields):
    headers = Headers([(name.replace("_", "-"), value) for name, value in fields.items()])
    return evaluate_conditions(method, headers, current, size)


def test_without_conditions_the_whole_file_is_sent():
    for method in ("GET", "HEAD", "PUT"):
        assert decide(method) is Outcome.WHOLE


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("bytes=0-9", ByteRange(0, 10)),
        ("bytes=0-0", ByteRange(0, 1)),
        ("bytes=90-", ByteRange(90, 100)),
        ("bytes=90-1000", ByteRange(90, 100)),
        ("bytes=-10", ByteRange(90, 100)),
        ("bytes=-1000", ByteRange(0, 100)),
        ("BYTES = 1 - 2", ByteRange(1, 3)),
        ("bytes=100-", Outcome.UNSATISFIABLE),
        ("bytes=100-200", Outcome.UNSATISFIABLE),
        ("bytes=-0", Outcome.UNSATISFIABLE),
        # Ignored: malformed, of another unit, or several.
        ("bytes=9-1", Outcome.WHOLE),
        ("bytes=", Outcome.WHOLE),
        ("bytes=-", Outcome.WHOLE),
        ("bytes=a-b", Outcome.WHOLE),
        ("bytes=+1-2", Outcome.WHOLE),
        ("bytes=1-2-3", Outcome.WHOLE),
        ("bytes=\u0661-2".encode("latin-1", "replace"), Outcome.WHOLE),
        ("lines=1-2", Outcome.WHOLE),
        ("bytes=0-1,5-6", Outcome.WHOLE),
        ("bytes=" + "9" * 30 + "-", Outcome.WHOLE),
    ],
)
def test_range_header(value, expected):
    assert decide(range=value) == expected


def test_range_applies_only_to_get():
    assert decide("HEAD", range="bytes=0-1") is Outcome.WHOLE
    assert decide("POST", range="bytes=0-1") is Outcome.WHOLE


def test_range_of_an_empty_file_is_unsatisfiable():
    assert decide(size=0, range="bytes=0-") is Outcome.UNSATISFIABLE
    assert decide(size=0, range="bytes=-5") is Outcome.UNSATISFIABLE


@given(first=st.integers(0, 200), last=st.integers(0, 200), size=st.integers(0, 150))
def test_range_starts_as_requested_and_ends_within_the_file(first, last, size):
    decision = decide(size=size, range=f"bytes={first}-{last}")
    if last < first:
        assert decision is Outcome.WHOLE
    elif first >= size:
        assert decision is Outcome.UNSATISFIABLE
    else:
        assert decision == ByteRange(first, min(last + 1, size))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ('"a-1"', ByteRange(0, 1)),
        (SAME_SECOND, Outcome.WHOLE),  # no strong validator: RFC 9110 8.8.2.2
        ('"a-2"', Outcome.WHOLE),
        ('W/"a-1"', Outcome.WHOLE),
        (BEFORE, Outcome.WHOLE),
        (AFTER, Outcome.WHOLE),
        (INVALID_DATE, Outcome.WHOLE),
    ],
)
def test_if_range_with_another_validator_sends_the_whole_file(value, expected):
    assert decide(range="bytes=0-0", if_range=value) == expected


def test_weak_tag_in_if_range_sends_the_whole_file():
    assert decide(current=WEAK, range="bytes=0-0", if_range='W/"a-1"') is Outcome.WHOLE


@pytest.mark.parametrize(
    ("value", "matches"),
    [
        ('"a-1"', True),
        ('W/"a-1"', True),
        ('"x", W/"a-1" , "y"', True),
        ("*", True),
        ('"x"', False),
        ('"W/a-1"', False),
        ("a-1", False),
        ("", False),
    ],
)
def test_if_none_match_compares_weakly(value, matches):
    assert decide(if_none_match=value) is (Outcome.NOT_MODIFIED if matches else Outcome.WHOLE)
    assert decide("HEAD", if_none_match=value) is (
        Outcome.NOT_MODIFIED if matches else Outcome.WHOLE
    )
    assert decide("PUT", if_none_match=value) is (Outcome.FAILED if matches else Outcome.WHOLE)
    assert decide(current=WEAK, if_none_match=value) is decide(if_none_match=value)


@pytest.mark.parametrize(
    ("value", "current", "holds"),
    [
        ('"a-1"', CURRENT, True),
        ('"x", "a-1"', CURRENT, True),
        ("*", CURRENT, True),
        ('"x"', CURRENT, False),
        ('W/"a-1"', CURRENT, False),
        ('W/"a-1"', WEAK, False),
        ('"a-1"', WEAK, False),
    ],
)
def test_if_match_compares_strongly(value, current, holds):
    assert decide(current=current, if_match=value) is (Outcome.WHOLE if holds else Outcome.FAILED)


def test_date_conditions_apply_only_without_tags():
    assert decide(if_modified_since=SAME_SECOND) is Outcome.NOT_MODIFIED
    assert decide(if_modified_since=AFTER) is Outcome.NOT_MODIFIED
    assert decide(if_modified_since=BEFORE) is Outcome.WHOLE
    assert decide(if_modified_since=INVALID_DATE) is Outcome.WHOLE
    assert decide("PUT", if_modified_since=AFTER) is Outcome.WHOLE
    assert decide(if_unmodified_since=SAME_SECOND) is Outcome.WHOLE
    assert decide(if_unmodified_since=BEFORE) is Outcome.FAILED
    assert decide(if_unmodified_since=INVALID_DATE) is Outcome.WHOLE
    assert decide(if_none_match='"x"', if_modified_since=AFTER) is Outcome.WHOLE
    assert decide(if_match='"a-1"', if_unmodified_since=BEFORE) is Outcome.WHOLE


def test_conditions_precede_ranges():
    assert decide(if_none_match='"a-1"', range="bytes=0-0") is Outcome.NOT_MODIFIED
    assert decide(if_match='"x"', range="bytes=0-0") is Outcome.FAILED


@given(
    st.sampled_from(
        [
            "if-match",
            "if-none-match",
            "if-modified-since",
            "if-unmodified-since",
            "if-range",
            "range",
        ]
    ),
    st.text(st.characters(codec="latin-1", exclude_characters="\r\n\0")),
)
def test_any_field_value_leads_to_a_decision(name, value):
    assert isinstance(
        evaluate_conditions("GET", Headers([(name, value)]), CURRENT, 100), ByteRange | Outcome
    )
