"""The command ``python -m benchmarks [ROW ...]``."""

from __future__ import annotations

import argparse
import contextlib
import importlib.metadata
import json
import platform
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.cpus import Cpus
from benchmarks.nginx import NginxMissing, serving
from benchmarks.peers import libcurl_version
from benchmarks.report import budget_table, row_table, verdicts
from benchmarks.row import GiB
from benchmarks.rows import ROWS
from benchmarks.run import Amount, Outcome, run

_CPUS = "client and server on one CPU, on one each, or where the system places them (one)"
_UNITS = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, _exit_on_signal)
    amount = Amount(options.rounds, options.size, options.requests, options.imports, options.cpus)
    try:
        with tempfile.TemporaryDirectory(prefix="restkit-bench-", dir=options.dir) as root:
            outcomes = _measure(options.rows or list(ROWS), amount, Path(root))
    except NginxMissing as exc:
        print(f"benchmarks: {exc}", file=sys.stderr)
        return 2
    results = [verdict for outcome in outcomes for verdict in verdicts(outcome)]
    if results:
        print(budget_table(results))
    if options.json is not None:
        options.json.write_text(json.dumps(_as_json(outcomes, amount), indent=1) + "\n")
    return 0


def _measure(names: Sequence[str], amount: Amount, root: Path) -> list[Outcome]:
    print("\n".join(f"{name} {version}" for name, version in _versions().items()))
    print(f"client and server on CPUs: {amount.cpus}\n")
    outcomes = []
    with serving(root) as site:
        for row in map(ROWS.__getitem__, names):
            if row.tls and site.ca is None:
                print(f"{row.name}: left out, trustme is not installed\n")
                continue
            outcomes.append(run(row, amount, site, _progress))
            _progress("")
            print(row_table(outcomes[-1]), flush=True)
    return outcomes


def _exit_on_signal(number: int, _frame: object) -> None:
    """Exit by an exception, so that nginx is stopped and the files are removed."""
    sys.exit(128 + number)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="Measure restkit and its peers on loopback."
    )
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"all, or some of {', '.join(ROWS)}")
    parser.add_argument("--rounds", type=int, default=5, help="the number of rounds (5)")
    parser.add_argument("--size", type=_size, default=GiB, help="the size of the large body (1G)")
    parser.add_argument(
        "--requests", type=int, default=3000, help="the number of small GETs (3000)"
    )
    parser.add_argument(
        "--imports", type=int, default=10, help="the number of imports in a round (10)"
    )
    parser.add_argument("--cpus", type=Cpus, choices=list(Cpus), default=Cpus.ONE, help=_CPUS)
    parser.add_argument(
        "--dir", help="the directory of temporary files, twice the size (the system's)"
    )
    parser.add_argument("--json", type=Path, help="write every sample to this file")
    return parser


def _size(text: str) -> int:
    unit = _UNITS.get(text[-1:].upper(), 1)
    return int(text[:-1] if unit > 1 else text) * unit


def _progress(line: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\x1b[K{line}", end="", file=sys.stderr, flush=True)


def _versions() -> dict[str, str]:
    found = {"Python": platform.python_version(), "on": platform.platform()}
    found["restkit"] = "of this checkout"  # the children run it, also if another one is installed
    installed = {known.name: known.version for known in importlib.metadata.distributions()}
    for name in ("urllib3", "requests", "httpx", "pycurl", "certifi"):
        found[name] = installed.get(name, "not installed")
    with contextlib.suppress(ImportError):
        found["pycurl's libcurl"] = libcurl_version()
    for program, flag in (("curl", "--version"), ("nginx", "-v")):
        with contextlib.suppress(FileNotFoundError):
            output = subprocess.run([program, flag], capture_output=True, text=True, check=False)
            found[f"the program {program}"] = " ".join((output.stdout or output.stderr).split()[:4])
    return found


def _as_json(outcomes: Sequence[Outcome], amount: Amount) -> dict[str, object]:
    return {
        "versions": _versions(),
        "amount": {**amount._asdict(), "cpus": str(amount.cpus)},
        "rows": {
            outcome.row.name: {
                "title": outcome.title,
                "absent": outcome.absent,
                "samples": {
                    name: [sample._asdict() for sample in samples]
                    for name, samples in outcome.samples.items()
                },
                "budget": [verdict._asdict() for verdict in verdicts(outcome)],
            }
            for outcome in outcomes
        },
    }


if __name__ == "__main__":
    sys.exit(main())
