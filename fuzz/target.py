"""A fuzz target: a function that checks one input, and the inputs that it begins with."""

from __future__ import annotations

import ast
import random
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from support.differences import Difference, find_rows

CORPORA = Path(__file__).parent / "corpora"


class Outcome(Protocol):
    """The result of a parser, as a named tuple."""

    @property
    def fault(self) -> str:
        """The error in the words of the parser, or ''."""

    @property
    def _fields(self) -> tuple[str, ...]: ...

    def __iter__(self) -> Iterator[Any]: ...


class Target(NamedTuple):
    """``check`` raises Mismatch for an input that shows a defect. It works without atheris.

    ``seeds`` are inputs of other tests that mutation begins with, in addition to the corpus in
    ``fuzz/corpora``. ``words`` are inserted into inputs.
    """

    check: Callable[[bytes], None]
    seeds: Sequence[bytes] = ()
    words: Sequence[bytes] = ()
    max_length: int = 4096


class Mismatch(Exception):
    """Two programs differ on an input, and no row of the differences explains it.

    ``kind`` is the same for failures that probably have the same cause.
    """

    def __init__(self, kind: str, details: str) -> None:
        super().__init__(f"{kind}\n{details}")
        self.kind = kind


def compare(
    table: Sequence[Difference], data: bytes, parser: str, ours: Outcome, theirs: Outcome
) -> None:
    """Raise Mismatch if the results differ, and no row of the table explains it."""
    if ours == theirs or (ours.fault and theirs.fault):
        return
    if not any(find_rows(table, data, parser, ours.fault, theirs.fault)):
        raise_unlisted([(parser, ours, theirs)])


def raise_unlisted(found: Iterable[tuple[str, Outcome, Outcome]]) -> None:
    """Raise Mismatch for the first of these differences between a parser and restkit."""
    for parser, ours, theirs in found:
        differing = [
            name for name, mine, its in zip(ours._fields, ours, theirs, strict=True) if mine != its
        ]
        kind = (
            f"restkit: {ours.fault or 'accepts'}; {parser}: {theirs.fault or 'accepts'}"
            if ours.fault or theirs.fault
            else f"restkit and {parser} accept it, with another {' and '.join(differing)}"
        )
        raise Mismatch(kind, f"restkit: {ours}\n{parser}: {theirs}")


def read_corpus(name: str) -> list[bytes]:
    """Return the inputs of ``fuzz/corpora/NAME.txt``: one Python bytes literal on each line."""
    path = CORPORA / f"{name}.txt"
    if not path.exists():
        return []
    lines = path.read_text(encoding="ascii").splitlines()
    return [ast.literal_eval(line) for line in lines if line and not line.startswith("#")]


def make_random(data: bytes) -> random.Random:
    """Return random numbers that depend only on the input, so that each run is the same."""
    return random.Random(zlib.crc32(data))


def split_at_random(data: bytes, source: random.Random) -> list[bytes]:
    """Return the data in parts, some of them empty: up to eight splits, or single bytes."""
    if source.random() < 0.1:
        return [data[at : at + 1] for at in range(len(data))]
    places = sorted(source.choices(range(len(data) + 1), k=source.randint(1, 8)))
    return [data[a:b] for a, b in zip([0, *places], [*places, len(data)], strict=True)]
