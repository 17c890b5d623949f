"""Responses: restkit, whole and split, compared with h11 and llhttp."""

from __future__ import annotations

from fuzz.target import Mismatch, Target, make_random, raise_unlisted, split_at_random
from support.differences.responses import find_unlisted
from support.response_corpus import CORPUS
from support.wire_strategies import SPLINTER_BYTES, parse

_METHODS = ("GET", "HEAD", "POST")


def check(data: bytes) -> None:
    """Parse an input of a method, a space and the bytes of a connection."""
    word, space, message = data.partition(b" ")
    method = word.decode("latin-1")
    if not space or method not in _METHODS:
        return
    whole, parts = parse([message], method), split_at_random(message, make_random(data))
    split = parse(parts, method)
    if split.outcome != whole.outcome:
        raise Mismatch("the result depends on the split", f"whole: {whole}\n{parts}: {split}")
    raise_unlisted(find_unlisted(message, method))


TARGET = Target(
    check,
    seeds=[method.encode() + b" " + message for message, method in CORPUS if len(message) < 500],
    words=[*SPLINTER_BYTES, b"HEAD ", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 100 Continue\r\n\r\n"],
)
