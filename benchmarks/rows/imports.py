"""Row 8: the cost of an import in a new interpreter, with .pyc files.

The bare interpreter is a peer too: its CPU is subtracted for the goal. The first Client imports
what a request needs.
"""

from __future__ import annotations

import subprocess
import sys

from benchmarks.row import Goal, Peer, Row, Target, Work


def _run_code(code: str) -> Peer:
    def peer(_target: Target) -> Work:
        def work(target: Target) -> int:
            for _ in range(target.times):
                subprocess.run([sys.executable, "-c", code], check=True)
            return target.size * target.times

        return work

    return peer


ROW = Row(
    name="import",
    title="`import` in a fresh interpreter, {times} times",
    kind="import",
    peers={
        "restkit": _run_code("import restkit"),
        "restkit, Client()": _run_code("import restkit; restkit.Client()"),
        "requests": _run_code("import requests"),
        "urllib3": _run_code("import urllib3"),
        "httpx": _run_code("import httpx"),
        "bare interpreter": _run_code("pass"),
    },
    goals=(Goal("restkit", "requests", 0.75, minus="bare interpreter"),),
)
