"""A program in an interpreter of its own, for a test that changes or observes all of a process."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence

from .peer import HANG_BOUND


def run_program(program: str, *arguments: str, options: Sequence[str] = ()) -> str:
    """Run the program; return its output. It must end with status 0 and print no warning."""
    done = subprocess.run(
        [sys.executable, *options, "-c", program, *arguments],
        # The same packages as here, also those of the tests.
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=2 * HANG_BOUND,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return done.stdout
