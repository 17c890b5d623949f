"""How the work for an input grows with the size of the input."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

TIMES = 8
# Linear work takes 8 times as much for 8 times the input, quadratic work 64 times as much.
_LIMIT = 24
_LEAST = 0.001  # seconds that one measurement takes
_ENOUGH = 2.0  # seconds of measuring, after which no more of them helps


def assert_linear(work: Callable[[T], object], make: Callable[[int], T], size: int) -> None:
    """Check that work on `make(TIMES * size)` takes at most `_LIMIT` times that on `make(size)`.

    Compares the CPU time of this thread, which the load of the machine hardly changes, and of
    each the least of several measurements. Fails where the work grows with the square.
    """
    small, large = make(size), make(TIMES * size)
    little = much = float("inf")
    work(small)  # warm up
    began = time.thread_time()
    for number in itertools.count(1):
        little = min(little, _seconds(work, small))
        much = min(much, _seconds(work, large))
        if number > 1 and much <= _LIMIT * little:
            return
        if number > 1 and time.thread_time() - began > _ENOUGH:
            break
    raise AssertionError(f"{TIMES} times the input takes {much / little:.0f} times the work")


def _seconds(work: Callable[[T], object], value: T) -> float:
    calls, began = 0, time.thread_time()
    while True:
        work(value)
        calls += 1
        took = time.thread_time() - began
        if took >= _LEAST:
            return took / calls
