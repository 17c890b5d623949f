"""What a piece of work costs in memory and descriptors."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any, NamedTuple

MIB = 1 << 20

_RUNNER = Path(__file__).with_name("_measured.py")


class Measured(NamedTuple):
    """`growth`: bytes of peak resident memory over the baseline; `result`: what work left in it."""

    growth: int
    result: Any


def peak_memory(setup: str, work: str, *, timeout: float = 120, **names: Any) -> Measured:
    """Run `setup`, then `work`, in a fresh interpreter; how far its memory rose during `work`.

    Both are source text, and share one namespace, in which `names` (JSON values) are given.
    Imports, and a small warm-up of whatever is loaded or cached once, belong into `setup`. What
    `work` binds to `result` (a JSON value) comes back. A failure in the child is raised here with
    its traceback.
    """
    # An interpreter of its own: peaks never fall again, and this one has had others.
    job = json.dumps([textwrap.dedent(setup), textwrap.dedent(work), names])
    path = os.pathsep.join(entry or os.getcwd() for entry in sys.path)
    done = subprocess.run(
        [sys.executable, str(_RUNNER)],
        input=job,
        capture_output=True,
        text=True,
        timeout=timeout,
        env={**os.environ, "PYTHONPATH": path},
        check=False,
    )
    if done.returncode:
        raise AssertionError(f"the measured process failed:\n{done.stderr}")
    report = json.loads(done.stdout.splitlines()[-1])
    return Measured(report["growth"], report["result"])


def descriptors() -> dict[int, str]:
    """The descriptors this process has open, and what each stands for where the system says."""
    found = {}
    for name in os.listdir("/dev/fd"):
        try:
            os.fstat(int(name))
            found[int(name)] = _target(name)
        except OSError:
            continue  # closed since: by another thread, or by listdir itself
    return found


def unnamed_files() -> dict[int, os.stat_result]:
    """Return the status of each open file of this process without a name, by descriptor."""
    found = {}
    for number in descriptors():
        try:
            status = os.fstat(number)
        except OSError:
            continue  # closed by another thread since
        if stat.S_ISREG(status.st_mode) and not status.st_nlink:
            found[number] = status
    return found


def open_descriptors() -> int:
    """How many descriptors this process has open."""
    return len(descriptors())


def _target(name: str) -> str:
    if not os.path.isdir("/proc/self/fd"):  # as on macOS
        return "open"
    return os.readlink(f"/proc/self/fd/{name}")
