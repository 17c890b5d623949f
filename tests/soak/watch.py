"""Samples of memory, descriptors and threads of this process."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import NamedTuple

from support.memory import MIB, open_descriptors

MAX_GROWTH = 32 * MIB


class Sample(NamedTuple):
    """The use of resources at one time. ``seconds`` count from the start."""

    seconds: float
    memory: int
    descriptors: int
    threads: int

    def __str__(self) -> str:
        return (
            f"{self.seconds:6.0f} s: {self.memory / MIB:6.1f} MiB, "
            f"{self.descriptors} descriptors, {self.threads} threads"
        )


def take_sample(seconds: float) -> Sample:
    """Measure this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    memory = pages * os.sysconf("SC_PAGE_SIZE")
    return Sample(seconds, memory, open_descriptors(), threading.active_count())


def check_flat(samples: list[Sample]) -> list[str]:
    """Compare the last third of the run with the third before it; return what has grown.

    The first third warms up: buffers, caches and the allocator reach their size.
    """
    third = len(samples) // 3
    before, after = samples[third : 2 * third], samples[2 * third :]
    if not before:
        return ["the run was too short to compare anything"]
    wrong = []
    growth = max(each.memory for each in after) - max(each.memory for each in before)
    if growth > MAX_GROWTH:
        wrong.append(f"memory grew by {growth / MIB:.1f} MiB")
    for name in ("descriptors", "threads"):
        old, new = (max(getattr(each, name) for each in part) for part in (before, after))
        # Connections come and go; a leak grows with every call.
        if new > 2 * old:
            wrong.append(f"{name} grew from {old} to {new}")
    return wrong
