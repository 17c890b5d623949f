"""Place client and server on CPUs. Their placement is most of the noise on loopback.

The scheduler would move the two together and apart. On one CPU, each pays for its own work. On two,
the client also pays for waking the other CPU, for being woken, and for packets of the server that
the kernel handles for it: one GiB sent costs 50 ms or 500. All peers must be placed alike.
"""

from __future__ import annotations

import os
import sys
from enum import Enum


class Cpus(Enum):
    """The placement of client and server."""

    ONE = "one"  # both on one CPU: the cost of the client itself, within a few percent
    TWO = "two"  # one each: the client sleeps until a response wakes it, as with any network
    FREE = "free"  # the system chooses: the only choice on macOS

    def __str__(self) -> str:
        return self.value

    def place_client(self) -> None:
        """Place this process on its CPU."""
        self._place(0, 0)

    def place_server(self, process: int) -> None:
        self._place(process, 1 if self is Cpus.TWO else 0)

    def _place(self, process: int, number: int) -> None:
        if sys.platform == "linux":
            ours = sorted(os.sched_getaffinity(0))
            chosen = ours if self is Cpus.FREE else [ours[number % len(ours)]]
            os.sched_setaffinity(process, chosen)
