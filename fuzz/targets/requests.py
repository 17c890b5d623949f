"""Requests: restkit, whole and split, compared with h11 and llhttp."""

from __future__ import annotations

from fuzz.target import Mismatch, Target, make_random, raise_unlisted, split_at_random
from support.differences.requests import find_unlisted
from support.request_corpus import MESSAGES
from support.request_parsers import parse_by_restkit
from support.wire_strategies import SPLINTER_BYTES


def check(data: bytes) -> None:
    """Parse the bytes of a connection."""
    whole, parts = parse_by_restkit([data]), split_at_random(data, make_random(data))
    split = parse_by_restkit(parts)
    if split.fault and whole.fault:
        is_same = split.status == whole.status
    else:
        is_same = split == whole
    if not is_same:
        raise Mismatch("the result depends on the split", f"whole: {whole}\n{parts}: {split}")
    raise_unlisted(find_unlisted(data))


TARGET = Target(
    check,
    seeds=[message for message in MESSAGES if len(message) < 500],
    words=[*SPLINTER_BYTES, b"Host: x\r\n", b"POST / HTTP/1.1\r\n", b"Expect: 100-continue\r\n"],
)
