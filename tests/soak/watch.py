"""Samples of the memory of two processes, and of descriptors and threads of this one."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import NamedTuple

from support.memory import MIB, open_descriptors

MAX_GROWTH = 8 * MIB
MAX_GROWTH_OF_PEERS = 64 * MIB  # a thread for each connection of a proxy: the heap is fragmented


class Sample(NamedTuple):
    """The use of resources at one time. ``seconds`` count from the start.

    ``peers_memory`` is that of the process of the server and the proxies.
    """

    seconds: float
    memory: int
    peers_memory: int
    descriptors: int
    threads: int

    def __str__(self) -> str:
        return (
            f"{self.seconds:6.0f} s: {self.memory / MIB:6.1f} MiB, "
            f"{self.descriptors} descriptors, {self.threads} threads; "
            f"server and proxies {self.peers_memory / MIB:6.1f} MiB"
        )


def read_memory(process: int | str | None) -> int:
    """Return the resident memory of a process."""
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def take_sample(seconds: float, peers_memory: int = 0) -> Sample:
    """Measure this process."""
    memory = read_memory("self")
    return Sample(seconds, memory, peers_memory, open_descriptors(), threading.active_count())


def check_flat(samples: list[Sample]) -> list[str]:
    """Compare the last third of the run with the third before it; return what has grown.

    The first third warms up: buffers, caches and the allocator reach their size.
    """
    third = len(samples) // 3
    before, after = samples[third : 2 * third], samples[2 * third :]
    if not before:
        return ["the run was too short to compare anything"]
    wrong = []
    for name, limit in (("memory", MAX_GROWTH), ("peers_memory", MAX_GROWTH_OF_PEERS)):
        old, new = (max(getattr(each, name) for each in part) for part in (before, after))
        if new - old > limit:
            wrong.append(f"{name} grew by {(new - old) / MIB:.1f} MiB")
    for name in ("descriptors", "threads"):
        old, new = (max(getattr(each, name) for each in part) for part in (before, after))
        # Connections come and go; a leak grows with every call.
        if new > 2 * old:
            wrong.append(f"{name} grew from {old} to {new}")
    return wrong
