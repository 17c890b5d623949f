"""Check how the work for an input grows with the size of the input."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

FACTOR = 8
# For 8 times the input, linear work takes 8 times as long, and quadratic work 64 times.
_LIMIT = 24
_MIN_MEASUREMENT = 0.001  # seconds that one measurement takes at least
_MAX_MEASURING = 2.0  # seconds of measuring, after which no more of them helps


def assert_linear(work: Callable[[T], object], make: Callable[[int], T], size: int) -> None:
    """Check that work on `make(FACTOR * size)` takes at most `_LIMIT` times that on `make(size)`.

    Compares the CPU time of this thread, because the load of the machine hardly changes it. Takes
    the shortest of several measurements of each. Fails if the work grows with the square.
    """
    small, large = make(size), make(FACTOR * size)
    little = much = float("inf")
    work(small)  # warm up
    began = time.thread_time()
    for number in itertools.count(1):
        little = min(little, _seconds(work, small))
        much = min(much, _seconds(work, large))
        if number > 1 and much <= _LIMIT * little:
            return
        if number > 1 and time.thread_time() - began > _MAX_MEASURING:
            break
    raise AssertionError(f"{FACTOR} times the input takes {much / little:.0f} times the work")


def _seconds(work: Callable[[T], object], value: T) -> float:
    calls, began = 0, time.thread_time()
    while True:
        work(value)
        calls += 1
        took = time.thread_time() - began
        if took >= _MIN_MEASUREMENT:
            return took / calls
