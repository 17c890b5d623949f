"""Row 8: what an import costs, in a fresh interpreter each time, its .pyc files written before.

The bare interpreter is a peer of its own: the bar is on the import alone, its CPU taken off. What
restkit leaves until its first connection is not saved but put off: "restkit, urllib3" has it in.
"""

from __future__ import annotations

import subprocess
import sys

from benchmarks.row import Bar, Peer, Row, Target, Work


def _by_running(code: str) -> Peer:
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
        "restkit": _by_running("import restkit"),
        "restkit, urllib3": _by_running("import restkit, urllib3"),
        "requests": _by_running("import requests"),
        "urllib3": _by_running("import urllib3"),
        "httpx": _by_running("import httpx"),
        "bare interpreter": _by_running("pass"),
    },
    bars=(Bar("restkit", "requests", 0.75, minus="bare interpreter"),),
)
