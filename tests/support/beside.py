"""Work done in other threads, beside that of a test or all together."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from .peer import HANG_BOUND


@contextmanager
def beside(work: Callable[[], object]) -> Iterator[None]:
    """Do some work in a thread of its own, which has ended when the block has."""
    failures: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as failure:  # noqa: BLE001  # raised again below
            failures.append(failure)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    yield
    thread.join(HANG_BOUND)
    assert not thread.is_alive()
    if failures:
        raise failures[0]


def in_threads(count: int, work: Callable[[int], object]) -> list[object]:
    """What the work gives, or raises, for each number; all of them begin at once."""
    results: list[object] = [None] * count
    together = threading.Barrier(count)

    def run(number: int) -> None:
        try:
            together.wait(HANG_BOUND)
            results[number] = work(number)
        except BaseException as error:  # noqa: BLE001  # for the test to look at
            results[number] = error

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(2 * HANG_BOUND)
        assert not thread.is_alive()
    return results
