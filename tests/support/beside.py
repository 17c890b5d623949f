"""Work done in another thread while a test does its own."""

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
