"""What a probe says: a few words, in bold where they name a fault."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from benchmarks.engines.running import Running


class Probe(NamedTuple):
    """A row of the table; ``last``: the engine is of no use behind it."""

    title: str
    look: Callable[[Running], str]
    last: bool = False


def judged(text: str, *, good: bool) -> str:
    return text if good else f"**{text}**"


def several(*texts: str) -> str:
    """Some judgements beside each other; one where all say the same."""
    return texts[0] if len(set(texts)) == 1 else " / ".join(texts)
