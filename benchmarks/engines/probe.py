"""Probes and their results: a few words, in bold for a fault."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from benchmarks.engines.running import Running


class Probe(NamedTuple):
    """A row of the table. ``last``: the engine must be started again after it."""

    title: str
    look: Callable[[Running], str]
    last: bool = False


def mark(text: str, *, good: bool) -> str:
    return text if good else f"**{text}**"


def join_cases(*texts: str) -> str:
    """Join the results of several cases; equal results become one."""
    return texts[0] if len(set(texts)) == 1 else " / ".join(texts)
