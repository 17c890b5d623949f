"""Forks, signals and limits of the process, on systems with and without them.

The code depends on these facts about Windows. It has no fork and no ``resource``. A thread that
waits for a lock without a timeout runs no signal handler until it has the lock. ``select`` accepts
at most 512 sockets (FD_SETSIZE of CPython).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

_SELECT_LIMIT = 512

SIGNAL_CHECK_SECONDS: float | None = 0.5 if sys.platform == "win32" else None
"""The longest wait for a lock, so that signal handlers run; None is no limit."""


def run_in_forked_child(function: Callable[[], object]) -> None:
    """Call a function in the child of each later fork, if the system has forks."""
    register = getattr(os, "register_at_fork", None)
    if register is not None:
        register(after_in_child=function)


def run_around_forks(
    before: Callable[[], object],
    in_parent: Callable[[], object],
    in_child: Callable[[], object],
) -> None:
    """Call functions before each later fork, and afterwards in parent and child."""
    register = getattr(os, "register_at_fork", None)
    if register is not None:
        register(before=before, after_in_parent=in_parent, after_in_child=in_child)


def get_descriptor_limit() -> int | None:
    """Return the number of files and sockets that this process may open; None is unlimited.

    >>> limit = get_descriptor_limit()
    >>> limit is None or limit > 0
    True
    """
    if sys.platform == "win32":
        return _SELECT_LIMIT
    else:  # mypy would find the rest unreachable on Windows
        import resource

        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        return None if soft == resource.RLIM_INFINITY else soft
