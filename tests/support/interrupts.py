"""Do something at the nth line that restkit runs, as a signal handler or the collector would."""

from __future__ import annotations

import linecache
import os
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import restkit

_ROOT = os.path.dirname(restkit.__file__)
_PACKAGES = ("body", "client", "connections", "http1", "io", "message", "network")

# At the end of a ``with`` statement, its line is run once more before the lock is released. No
# signal handler runs there, nor at the line of an ``except``: CPython checks for signals after
# calls, at the start of functions, and in loops.
_NOT_INTERRUPTED = ("with ", "except ")
# These return from an ``except`` block, and call nothing there. If a trace function raises there,
# the exception stays the handled one of its thread, and keeps its frames (seen with CPython 3.13).
_HANDLING = ("is_held_here", "take_first")


class Interrupted(BaseException):
    """Stands for KeyboardInterrupt, which pytest would handle itself."""


class AtLine:
    """Call ``action`` once, at the nth line of restkit's client that this thread runs in the block.

    ``file`` limits the lines to those of one file, such as ``io/files.py``. ``reached`` tells
    whether there were so many lines; ``place`` is the line.
    """

    def __init__(self, number: int, action: Callable[[], object], file: str = "") -> None:
        self._left = number
        self._action = action
        self._file = os.path.normpath(file) if file else ""
        self.reached = False
        self.place = ""

    def __enter__(self) -> AtLine:
        self._before = sys.gettrace()
        sys.settrace(self._trace)
        return self

    def __exit__(self, *exc_info: object) -> None:
        sys.settrace(self._before)

    def _trace(self, frame: FrameType, event: str, _: object) -> Any:
        path = os.path.relpath(frame.f_code.co_filename, _ROOT)
        if path.split(os.sep)[0] not in _PACKAGES:
            return None
        if event == "line" and path.startswith(self._file) and not _is_skipped(frame):
            self._left -= 1
            if self._left == 0:
                self.reached = True
                self.place = f"{path}:{frame.f_lineno}"
                sys.settrace(None)
                self._action()
        return self._trace


def _is_skipped(frame: FrameType) -> bool:
    if frame.f_code.co_name in _HANDLING:
        return True
    line = linecache.getline(frame.f_code.co_filename, frame.f_lineno)
    return line.lstrip().startswith(_NOT_INTERRUPTED)
