"""One measurement in a new process: ``python -m benchmarks.child ROW PEER CPUS``, targets on stdin.

Each peer gets its own peak of memory, and no heap, caches or imports of another. Imports, setup and
a warm-up (which opens the connection) run before the measurement.
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
    """The cost of one run."""

    cpu: float  # seconds, user and system, of the process and its children
    wall: float  # seconds
    peak: float  # the maximum of resident MiB during the work
    growth: float  # MiB between the peak and the resident memory after the warm-up


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
        raise RuntimeError(f"moved {moved} bytes of body instead of {expected}")


def _cpu() -> float:
    processes = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return sum(sum(resource.getrusage(each)[:2]) for each in processes)


def _resident_after_reset() -> float:
    """Reset the peak of memory, on Linux, and return the resident memory in MiB."""
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
