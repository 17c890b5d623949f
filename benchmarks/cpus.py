"""On which CPUs client and server run, which is most of the noise of a benchmark on loopback.

Left alone, the scheduler moves the two together and apart. Together, each pays for its own work.
Apart, the client also pays for waking the other CPU, for being woken, and for those of the server's
packets that the kernel handles in its name: one GiB sent costs 50 ms or 500. Who is compared must
be placed alike.
"""

from __future__ import annotations

import os
import sys
from enum import Enum


class Cpus(Enum):
    """Who runs where."""

    ONE = "one"  # both on the same: what the client itself costs, within a few percent
    TWO = "two"  # one each: the client sleeps until an answer wakes it, as with any network
    FREE = "free"  # as the system likes: there is no other choice on macOS

    def __str__(self) -> str:
        return self.value

    def place_client(self) -> None:
        """Put this very process on its CPU."""
        self._place(0, 0)

    def place_server(self, process: int) -> None:
        self._place(process, 1 if self is Cpus.TWO else 0)

    def _place(self, process: int, number: int) -> None:
        if sys.platform == "linux":
            ours = sorted(os.sched_getaffinity(0))
            chosen = ours if self is Cpus.FREE else [ours[number % len(ours)]]
            os.sched_setaffinity(process, chosen)
