"""A forked child that does some work and reports to its parent."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

from .peer import HANG_BOUND


def in_child(work: Callable[[], object]) -> str:
    """Run the work in a forked child; return the text of its result, or of its exception.

    A child that hangs is ended, and the result is empty.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        signal.alarm(int(HANG_BOUND))  # its default ends the process
        try:
            try:
                report = str(work())
            except BaseException as exc:  # noqa: BLE001  # reported to the parent
                report = f"{type(exc).__name__}: {exc}"
            os.write(writing, report.encode())
        finally:
            os._exit(0)
    os.close(writing)
    with open(reading, encoding="utf-8") as file:
        report = file.read()
    os.waitpid(child, 0)
    return report
