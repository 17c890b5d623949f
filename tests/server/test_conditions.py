"""Conditions and ranges, as RFC 9110 13 and 14 have them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from restkit.headers import Headers
from restkit.server.file_response import ByteRange, Outcome, Validators, evaluate_conditions

NOW = Validators('"a-1"', 784111777)
WEAK = Validators('W/"a-1"', 784111777)
THAT_SECOND = "Sun, 06 Nov 1994 08:49:37 GMT"
BEFORE = "Sun, 06 Nov 1994 08:49:36 GMT"
AFTER = "Sun, 06 Nov 1994 08:49:38 GMT"
NO_DATE = "yesterday"


def outcome(method="GET", now=NOW, size=100, **fields):
    headers = Headers([(name.replace("_", "-"), value) for name, value in fields.items()])
    return evaluate_conditions(method, headers, now, size)


def test_without_conditions_the_whole_is_given():
    for method in ("GET", "HEAD", "PUT"):
        assert outcome(method) is Outcome.WHOLE


@pytest.mark.parametrize(
    ("value", "wanted"),
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
        # As if they were not there: malformed, of another unit, or several.
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
def test_a_range_is_one_of_bytes(value, wanted):
    assert outcome(range=value) == wanted


def test_a_range_is_for_get_alone():
    assert outcome("HEAD", range="bytes=0-1") is Outcome.WHOLE
    assert outcome("POST", range="bytes=0-1") is Outcome.WHOLE


def test_of_nothing_no_part_can_be_given():
    assert outcome(size=0, range="bytes=0-") is Outcome.UNSATISFIABLE
    assert outcome(size=0, range="bytes=-5") is Outcome.UNSATISFIABLE


@given(first=st.integers(0, 200), last=st.integers(0, 200), size=st.integers(0, 150))
def test_a_part_is_inside_and_begins_where_it_was_asked_for(first, last, size):
    decision = outcome(size=size, range=f"bytes={first}-{last}")
    if last < first:
        assert decision is Outcome.WHOLE
    elif first >= size:
        assert decision is Outcome.UNSATISFIABLE
    else:
        assert decision == ByteRange(first, min(last + 1, size))


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        ('"a-1"', ByteRange(0, 1)),
        (THAT_SECOND, ByteRange(0, 1)),
        ('"a-2"', Outcome.WHOLE),
        ('W/"a-1"', Outcome.WHOLE),
        (BEFORE, Outcome.WHOLE),
        (AFTER, Outcome.WHOLE),
        (NO_DATE, Outcome.WHOLE),
    ],
)
def test_if_range_gives_the_whole_to_who_has_another_state(value, wanted):
    assert outcome(range="bytes=0-0", if_range=value) == wanted


def test_a_weak_tag_is_no_ground_for_a_part():
    assert outcome(now=WEAK, range="bytes=0-0", if_range='W/"a-1"') is Outcome.WHOLE


@pytest.mark.parametrize(
    ("value", "has_it"),
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
def test_if_none_match_compares_weakly(value, has_it):
    assert outcome(if_none_match=value) is (Outcome.NOT_MODIFIED if has_it else Outcome.WHOLE)
    assert outcome("HEAD", if_none_match=value) is (
        Outcome.NOT_MODIFIED if has_it else Outcome.WHOLE
    )
    assert outcome("PUT", if_none_match=value) is (Outcome.FAILED if has_it else Outcome.WHOLE)
    assert outcome(now=WEAK, if_none_match=value) is outcome(if_none_match=value)


@pytest.mark.parametrize(
    ("value", "now", "goes_on"),
    [
        ('"a-1"', NOW, True),
        ('"x", "a-1"', NOW, True),
        ("*", NOW, True),
        ('"x"', NOW, False),
        ('W/"a-1"', NOW, False),
        ('W/"a-1"', WEAK, False),
        ('"a-1"', WEAK, False),
    ],
)
def test_if_match_compares_strongly(value, now, goes_on):
    assert outcome(now=now, if_match=value) is (Outcome.WHOLE if goes_on else Outcome.FAILED)


def test_dates_are_looked_at_where_no_tags_are():
    assert outcome(if_modified_since=THAT_SECOND) is Outcome.NOT_MODIFIED
    assert outcome(if_modified_since=AFTER) is Outcome.NOT_MODIFIED
    assert outcome(if_modified_since=BEFORE) is Outcome.WHOLE
    assert outcome(if_modified_since=NO_DATE) is Outcome.WHOLE
    assert outcome("PUT", if_modified_since=AFTER) is Outcome.WHOLE
    assert outcome(if_unmodified_since=THAT_SECOND) is Outcome.WHOLE
    assert outcome(if_unmodified_since=BEFORE) is Outcome.FAILED
    assert outcome(if_unmodified_since=NO_DATE) is Outcome.WHOLE
    assert outcome(if_none_match='"x"', if_modified_since=AFTER) is Outcome.WHOLE
    assert outcome(if_match='"a-1"', if_unmodified_since=BEFORE) is Outcome.WHOLE


def test_a_condition_goes_before_a_range():
    assert outcome(if_none_match='"a-1"', range="bytes=0-0") is Outcome.NOT_MODIFIED
    assert outcome(if_match='"x"', range="bytes=0-0") is Outcome.FAILED


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
def test_whatever_a_field_says_there_is_a_decision(name, value):
    assert isinstance(
        evaluate_conditions("GET", Headers([(name, value)]), NOW, 100), ByteRange | Outcome
    )
