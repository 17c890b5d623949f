"""Ranges: which response continues a download, and how (RFC 9110 8.8.2.2, 13.1.5, 14, 15.3.7)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from restkit.errors import ParserError
from restkit.headers import Headers
from restkit.http1.ranges import (
    Action,
    ByteRange,
    ContentRange,
    Version,
    decide,
    format_content_range,
    parse_content_range,
    read_version,
)

OLD = "Sat, 03 Jan 2026 10:00:00 GMT"
NOW = "Sat, 03 Jan 2026 10:01:00 GMT"
TOO_SOON = "Sat, 03 Jan 2026 10:00:59 GMT"
VERSION = Version('"a"', OLD, '"a"', 10)


@given(st.integers(0, 10**18), st.integers(1, 10**18), st.integers(0, 10**17))
def test_content_range_is_parsed_as_it_was_written(start, length, rest):
    part = ByteRange(start, start + length)
    total = part.end + rest
    assert parse_content_range(format_content_range(part, total)) == ContentRange(part, total)


@pytest.mark.parametrize(
    "value",
    "|bytes|bytes 0-9|items 0-9/10|bytes=0-9/10|bytes 9-0/10|bytes 0-10/10|bytes */*|bytes 0-9/x"
    "|bytes -9/10|bytes +0-9/10|bytes 0-9/10 |bytes 0-9/10, bytes 0-9/10".split("|"),
)
def test_malformed_content_range_is_an_error(value):
    with pytest.raises(ParserError, match="Content-Range must"):
        parse_content_range(value)


@pytest.mark.parametrize(
    ("fields", "condition"),
    [
        ({"ETag": '"a"'}, '"a"'),
        ({"ETag": '""', "Last-Modified": OLD}, '""'),
        ({"ETag": 'W/"a"'}, None),
        ({"ETag": 'W/"a"', "Last-Modified": OLD, "Date": NOW}, None),
        ({"ETag": "a"}, None),
        ({"Last-Modified": OLD, "Date": NOW}, OLD),
        ({"Last-Modified": OLD, "Date": TOO_SOON}, None),
        ({"Last-Modified": OLD}, None),
        ({"Last-Modified": "yesterday", "Date": NOW}, None),
        ({"Last-Modified": NOW, "Date": OLD}, None),
        ({}, None),
    ],
)
def test_only_a_strong_validator_is_used_for_if_range(fields, condition):
    assert read_version(Headers(fields), None).condition == condition


@pytest.mark.parametrize(
    ("status", "fields", "held", "action"),
    [
        (200, {}, 0, Action.REPLACE),
        (200, {}, 5, Action.REPLACE),
        (206, {"Content-Range": "bytes 0-9/10"}, 0, Action.REJECT),
        (206, {"Content-Range": "bytes 5-9/10"}, 5, Action.CONTINUE),
        (206, {"Content-Range": "bytes 5-9/*"}, 5, Action.CONTINUE),
        (206, {"Content-Range": "bytes 5-7/10", "Content-Length": "3"}, 5, Action.CONTINUE),
        (206, {"Content-Range": "bytes 5-9/10", "ETag": '"a"'}, 5, Action.CONTINUE),
        (206, {"Content-Range": "bytes 5-9/10", "ETag": '"b"'}, 5, Action.START_OVER),
        (206, {"Content-Range": "bytes 5-9/10", "Last-Modified": NOW}, 5, Action.START_OVER),
        (206, {"Content-Range": "bytes 5-9/10", "Content-Encoding": "gzip"}, 5, Action.START_OVER),
        (206, {"Content-Range": "bytes 5-9/10", "Content-Length": "4"}, 5, Action.START_OVER),
        (206, {"Content-Range": "bytes 6-9/10"}, 5, Action.START_OVER),
        (206, {"Content-Range": "bytes 0-4/10"}, 5, Action.START_OVER),
        (206, {"Content-Range": "bytes 5-10/11"}, 5, Action.START_OVER),
        (206, {"Content-Range": "bytes 5-10/*"}, 5, Action.START_OVER),
        (206, {"Content-Range": "bytes */10"}, 5, Action.START_OVER),
        (206, {"Content-Type": "multipart/byteranges; boundary=x"}, 5, Action.START_OVER),
        (416, {"Content-Range": "bytes */10"}, 10, Action.DONE),
        (416, {"Content-Range": "bytes */10", "ETag": '"b"'}, 10, Action.START_OVER),
        (416, {"Content-Range": "bytes */5"}, 5, Action.START_OVER),
        (416, {"Content-Range": "bytes */12"}, 10, Action.START_OVER),
        (416, {}, 10, Action.START_OVER),
        (416, {}, 0, Action.OTHER),
        (404, {}, 5, Action.OTHER),
    ],
)
def test_decision_for_a_response(status, fields, held, action):
    assert decide(status, Headers(fields), VERSION, held).action is action


def test_range_that_begins_earlier_is_skipped_to_the_first_missing_byte():
    decision = decide(206, Headers({"Content-Range": "bytes 0-9/10"}), VERSION, 5)
    assert (decision.skip, decision.end) == (5, 10)


def test_two_content_ranges_start_over():
    headers = Headers([("Content-Range", "bytes 5-9/10"), ("Content-Range", "bytes 6-9/10")])
    assert decide(206, headers, VERSION, 5).action is Action.START_OVER
