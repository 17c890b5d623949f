"""The command ``python -m fuzz [TARGET ...]``: run fuzz targets, or check one input again."""

from __future__ import annotations

import argparse
import base64
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from fuzz.targets import TARGETS

ROOT = Path(__file__).parents[1]

_RUNS = re.compile(r"stat::number_of_executed_units: *([0-9]+)")
_COVERED = re.compile(r"cov: ([0-9]+)")


class Run(NamedTuple):
    """The end of one target: its exit status, and the output of libFuzzer."""

    name: str
    status: int
    seconds: float
    log: str

    @property
    def has_failed(self) -> bool:
        """Whether an input failed, or the target did not run to its end."""
        return bool(self.status) or f"\n{self.name} fails: " in self.log

    @property
    def summary(self) -> str:
        """The result in one line."""
        runs, covered = _RUNS.findall(self.log), _COVERED.findall(self.log)
        return (
            f"{self.name}: {'FAILED' if self.has_failed else 'passed'}, "
            f"{runs[-1] if runs else 'no'} executions in {self.seconds:.0f} s, "
            f"{covered[-1] if covered else 'no'} branches covered"
        )


def run_target(name: str, options: argparse.Namespace) -> Run:
    """Run a target in a process of its own, because libFuzzer ends its process."""
    command = [sys.executable, "-m", "fuzz.engine", name, str(options.folder)]
    command += ["--seconds", str(options.seconds), "--seed", str(options.seed)]
    command += ["--keep-going"] if options.keep_going else []
    began, path = time.monotonic(), options.folder / f"{name}.log"
    with path.open("wb") as log:
        done = subprocess.run(  # the arguments are our own
            command,
            stdout=log,
            stderr=subprocess.STDOUT,
            check=False,
            cwd=ROOT,
            timeout=10 * options.seconds + 300,
        )
    seconds = time.monotonic() - began
    return Run(name, done.returncode, seconds, path.read_text(encoding="utf-8", errors="replace"))


def run_targets(names: Sequence[str], options: argparse.Namespace) -> int:
    """Run the targets, and print their results; return the exit status."""
    options.folder.mkdir(parents=True, exist_ok=True)
    print(f"seed {options.seed}, {options.seconds} s for each target, inputs in {options.folder}")
    has_failed = False
    with ThreadPoolExecutor(options.jobs) as pool:
        for run in pool.map(lambda name: run_target(name, options), names):
            print(run.summary, flush=True)
            if run.has_failed:
                has_failed = True
                print(run.log[run.log.find(f"\n{run.name} fails: ") :][-8000:], flush=True)
    return int(has_failed)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the command line asks for; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=", ".join(TARGETS))
    parser.add_argument("--seconds", type=int, default=600, help="for each target; default 600")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="default: the time")
    parser.add_argument("--jobs", type=int, default=1, help="targets at the same time; default 1")
    parser.add_argument("--folder", type=Path, default=ROOT / ".fuzz", help="for found inputs")
    parser.add_argument("--input", help="check only this input, in base64")
    parser.add_argument(
        "--keep-going", action="store_true", help="report each kind of failure, and go on"
    )
    options = parser.parse_args(arguments)
    options.folder = options.folder.absolute()
    names = options.targets or list(TARGETS)
    if unknown := set(names).difference(TARGETS):
        parser.error(f"no target {', '.join(sorted(unknown))}; there are {', '.join(TARGETS)}")
    if options.input is None:
        return run_targets(names, options)
    for name in names:
        TARGETS[name].check(base64.b64decode(options.input))
        print(f"{name}: the input passes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
