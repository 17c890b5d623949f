"""The same responses through restkit, h11 and llhttp: every difference in outcome has its reason.

The other parsers are h11 0.16.0, as a client that has sent its request, and httptools 0.9.0, which
is llhttp 9 without its leniencies; ``support.response_parsers`` normalizes their results.

The table of reasons is in ``support.differences.responses``. A difference that is not in it fails,
and so does a row, or a parser in a row, that no message of the corpus needs.
"""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.differences.responses import (
    DIFFERENCES,
    explain,
    find_differences,
    find_unlisted,
)
from support.response_corpus import CORPUS
from support.response_parsers import parse_by_restkit
from support.wire_strategies import METHODS, examples, near_responses, responses


@pytest.mark.parametrize(("data", "method"), CORPUS, ids=range(len(CORPUS)))
def test_every_difference_in_the_corpus_has_its_reason(data: bytes, method: str) -> None:
    assert find_unlisted(data, method) == []


def test_every_reason_is_needed_by_the_corpus() -> None:
    needed = {
        (parser, row)
        for data, method in CORPUS
        for parser, ours, theirs in find_differences(data, method)
        for row in explain(data, method, parser, ours, theirs)
    }
    listed = {(parser, row) for row in DIFFERENCES for parser in row.parsers.split()}
    assert listed - needed == set()


@settings(max_examples=examples(300))
@given(near_responses(), st.sampled_from(METHODS))
def test_every_difference_in_nearly_valid_messages_has_its_reason(data: bytes, method: str) -> None:
    assert find_unlisted(data, method) == []


@settings(max_examples=examples(100))
@given(responses(), st.sampled_from(METHODS))
def test_valid_responses_that_differ_are_accepted_by_restkit(data: bytes, method: str) -> None:
    assert parse_by_restkit(data, method).fault == ""
    assert find_unlisted(data, method) == []
