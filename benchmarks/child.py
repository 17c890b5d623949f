"""One measurement in a fresh process: `python -m benchmarks.child ROW PEER CPUS`, targets on stdin.

A process of its own gives a peak of memory of its own, and no peer the heap, the caches or the
imports of the one before. What is measured stands between two looks at the clocks: imports, set-up
and a warm-up (which also opens the connection) are done before the first.
"""

from __future__ import annotations

import gc
import json
import os
import resource
import sys
import time
from typing import NamedTuple

from benchmarks.cpus import Cpus
from benchmarks.row import KiB, MiB, Target, Work
from benchmarks.rows import ROWS

NOT_INSTALLED = 69  # EX_UNAVAILABLE: the exit status when the peer cannot be imported


class Sample(NamedTuple):
    """What one run took."""

    cpu: float  # seconds, user and system, of the process and of those it started and waited for
    wall: float  # seconds
    peak: float  # MiB resident at most while the work was done
    growth: float  # MiB that the peak lies above what was resident after the warm-up


def measure(work: Work, warm_up: Target, target: Target) -> Sample:
    _do(work, warm_up)
    gc.collect()
    before = _resident_after_reset()
    cpu, wall = _cpu(), time.perf_counter()
    _do(work, target)
    wall, cpu = time.perf_counter() - wall, _cpu() - cpu
    peak = _peak()
    return Sample(cpu, wall, peak, peak - before)


def _do(work: Work, target: Target) -> None:
    moved, expected = work(target), target.size * target.times
    if moved != expected:
        raise RuntimeError(f"moved {moved} bytes of body in place of {expected}")


def _cpu() -> float:
    everyone = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return sum(sum(resource.getrusage(who)[:2]) for who in everyone)


def _resident_after_reset() -> float:
    """Forget the peak of imports and warm-up, where Linux lets us; return what is resident now."""
    if not os.path.exists("/proc/self/clear_refs"):
        return _peak()
    with open("/proc/self/clear_refs", "w") as clear:
        clear.write("5")
    return _status_mib("VmRSS:")


def _peak() -> float:
    if os.path.exists("/proc/self/clear_refs"):
        return _status_mib("VmHWM:")
    unit = MiB if sys.platform == "darwin" else KiB  # macOS counts bytes, Linux KiB
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def _status_mib(field: str) -> float:
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith(field)) / KiB


def main() -> int:
    row, peer, cpus = sys.argv[1:]
    Cpus(cpus).place_client()
    warm_up, target = (Target(*fields) for fields in json.load(sys.stdin))
    try:
        work = ROWS[row].peers[peer](target)
    except ImportError as exc:
        print(exc, file=sys.stderr)
        return NOT_INSTALLED
    print(json.dumps(measure(work, warm_up, target)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
