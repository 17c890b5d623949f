"""The same requests through restkit, h11 and llhttp: every difference in outcome has its reason.

The other parsers are h11 0.16.0, as a server, and httptools 0.9.0, which is llhttp 9 without its
leniencies; ``support.request_parsers`` normalizes their results.

The table of reasons is in ``support.differences.requests``. A difference that is not in it fails,
and so does a row, or a parser in a row, that no message of the corpus needs.
"""

from __future__ import annotations

import pytest
from hypothesis import given, settings

from support.differences.requests import (
    DIFFERENCES,
    explain,
    find_differences,
    find_unlisted,
)
from support.request_corpus import MESSAGES, near_requests, requests
from support.request_parsers import parse_by_restkit
from support.wire_strategies import examples


@pytest.mark.parametrize("data", MESSAGES, ids=range(len(MESSAGES)))
def test_every_difference_in_the_corpus_has_its_reason(data: bytes) -> None:
    assert find_unlisted(data) == []


def test_every_reason_is_needed_by_the_corpus() -> None:
    needed = {
        (parser, row)
        for data in MESSAGES
        for parser, ours, theirs in find_differences(data)
        for row in explain(data, parser, ours, theirs)
    }
    listed = {(parser, row) for row in DIFFERENCES for parser in row.parsers.split()}
    assert listed - needed == set()


@settings(max_examples=examples(300))
@given(near_requests())
def test_every_difference_in_nearly_valid_messages_has_its_reason(data: bytes) -> None:
    assert find_unlisted(data) == []


@settings(max_examples=examples(100))
@given(requests())
def test_valid_requests_that_differ_are_accepted_by_restkit(data: bytes) -> None:
    assert parse_by_restkit([data]).fault == ""
    assert find_unlisted(data) == []
