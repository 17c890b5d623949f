"""Warn at the line of the program that called restkit.

Python's filters decide by file and line whether a warning is shown, and how often. restkit uses
the line of the first frame outside of this package. A function of the caller that restkit calls,
such as a filter or a generator, is outside too.
"""

from __future__ import annotations

import os
import sys
import warnings
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import FrameType

PACKAGE = os.path.dirname(os.path.abspath(__file__)) + os.sep


def warn_caller(message: str, category: type[Warning]) -> None:
    """Issue a warning; its file and line are those of the caller of restkit."""
    if sys.version_info >= (3, 12):
        warnings.warn(message, category, skip_file_prefixes=(PACKAGE,))
    else:
        warnings.warn(message, category, stacklevel=_stack_level())


def _stack_level() -> int:
    """Return the stacklevel for a call of ``warnings.warn`` in the calling function.

    1 is that function itself. The result skips all frames of this package.
    """
    from inspect import currentframe  # slow to import, and only Python 3.10 and 3.11 need it

    own = currentframe()
    frame: FrameType | None = None if own is None else own.f_back
    level = 1
    while frame is not None and frame.f_code.co_filename.startswith(PACKAGE):
        frame = frame.f_back
        level += 1
    return level
