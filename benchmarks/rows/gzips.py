"""Row 11: upload a file, compressed at level 6, and compare with the programs gzip and curl.

restkit uses zlib-ng if it is installed, as by ``restkit[fast]``.
"""

from __future__ import annotations

import shlex
import subprocess

from benchmarks.peers import restkit_client
from benchmarks.row import AHEAD, Goal, Row, Target, Work


def by_restkit(target: Target) -> Work:
    client = restkit_client(target)

    def work(target: Target) -> int:
        with open(target.file, "rb") as file:
            response = client.put(target.url, payload=file, compress="gzip")
            response.skip_body()
            return target.size if response.status == 200 else 0

    return work


def by_programs(_: Target) -> Work:
    def work(target: Target) -> int:
        curl = ["curl", "--silent", "--fail", "--output", "/dev/null", "--header", "Expect:"]
        curl += ["--header", "Content-Encoding: gzip", "--upload-file", "-", target.url]
        pipe = f"gzip -6 < {shlex.quote(target.file)} | {shlex.join(curl)}"
        subprocess.run(["/bin/sh", "-c", pipe], check=True)
        return target.size

    return work


ROW = Row(
    name="gzip",
    title="PUT of a file of {size}, compressed by gzip",
    kind="up",
    share=1 / 4,
    text=True,
    peers={"restkit": by_restkit, "gzip | curl": by_programs},
    goals=(Goal("restkit", "gzip | curl", AHEAD),),
)
