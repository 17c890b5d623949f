"""The known differences between restkit and other parsers, each with the reason why it is kept.

A difference that no row explains fails the tests of ``tests/http1`` and the targets of ``fuzz``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple


class Difference(NamedTuple):
    """A difference between restkit and other parsers, and the reason why restkit is right.

    ``ours`` and ``theirs`` match the errors of each, ACCEPTED where there is none; ``data`` matches
    the input. In the reasons, numbers are sections of RFCs.
    """

    parsers: str
    ours: str
    theirs: str
    data: bytes
    reason: str


ACCEPTED = "^$"
ANY = rb""


def find_rows(
    table: Sequence[Difference], data: bytes, parser: str, ours: str, theirs: str
) -> Iterator[Difference]:
    """Return the rows that explain a difference; ``ours`` and ``theirs`` are errors, or ''."""
    for row in table:
        if (
            parser in row.parsers.split()
            and re.search(row.ours, ours)
            and re.search(row.theirs, theirs)
            and re.search(row.data, data, re.DOTALL | re.IGNORECASE)
        ):
            yield row
