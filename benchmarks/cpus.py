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
    TWO = "two"  # one each: as with a network in between, the client sleeps and is woken
    FREE = "free"  # as the system likes: nobody can set it on macOS

    def __str__(self) -> str:
        return self.value

    def pin_client(self) -> None:
        self._pin(0)

    def pin_server(self) -> None:
        self._pin(1 if self is Cpus.TWO else 0)

    def _pin(self, number: int) -> None:
        if self is not Cpus.FREE and sys.platform == "linux":
            ours = sorted(os.sched_getaffinity(0))
            os.sched_setaffinity(0, {ours[number % len(ours)]})
