"""Wait for a state by checking it, not by sleeping until it is likely."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from . import portable

T = TypeVar("T")

# Seconds that one read, write or wait may take on a loaded machine. No test that passes needs them.
HANG_BOUND = 45.0

_TABLES = ("/proc/net/tcp", "/proc/net/tcp6")


def until(state: Callable[[], T], what: str = "the expected state") -> T:
    """Return the first true value of `state()`. Raises AssertionError after the hang bound."""
    end = time.monotonic() + HANG_BOUND
    while not (found := state()):
        assert time.monotonic() < end, f"{what} was not reached; last result: {found!r}"
        time.sleep(0.005)
    return found


def until_polling(thread: threading.Thread) -> None:
    """Wait until a thread waits in `poll`, or has ended."""
    until(lambda: not thread.is_alive() or _stays_in_poll(thread), f"{thread.name} in poll")


def until_taken(here: int, there: int) -> None:
    """Wait until the socket at port `there` has read all that the one at port `here` sent."""
    if not Path(_TABLES[0]).exists():
        time.sleep(0.1)
        return
    until(lambda: sum(_queued(here, there)) == 0, "the end of reading")


def until_arrived(here: int, there: int) -> None:
    """Wait until the socket at port `there` can read all that the one at port `here` sent."""
    if not Path(_TABLES[0]).exists():
        time.sleep(0.1)
        return
    until(lambda: _queued(here, there)[0] == 0, "the arrival of the bytes")


def _stays_in_poll(thread: threading.Thread) -> bool:
    first = _poll_call(thread)
    if first is None:
        return False
    time.sleep(0.005)
    return _poll_call(thread) == first


def _poll_call(thread: threading.Thread) -> tuple[int, int] | None:
    frame = sys._current_frames().get(thread.ident or 0)
    if portable.IS_ON and frame is not None and frame.f_code.co_name == "select":
        while frame is not None and "poll" not in frame.f_code.co_names:
            frame = frame.f_back  # out of the poll that is made of select
    if frame is None or "poll" not in frame.f_code.co_names:
        return None
    return id(frame), frame.f_lasti


def _queued(here: int, there: int) -> tuple[int, int]:
    """Return the numbers of bytes on their way from `here`, and unread at `there`."""
    # Each row has the addresses of both ends, the state, and the number of bytes queued here.
    on_the_way = unread = 0
    for table in _TABLES:
        if not Path(table).exists():
            continue
        for row in Path(table).read_text().splitlines()[1:]:
            _, local, remote, _, queues, *_ = row.split()
            ports = int(local.rpartition(":")[2], 16), int(remote.rpartition(":")[2], 16)
            sending, receiving = (int(count, 16) for count in queues.split(":"))
            if ports == (here, there):
                on_the_way += sending
            elif ports == (there, here):
                unread += receiving
    return on_the_way, unread
