"""Run jobs on a background thread, in order.

Work done beside its caller: on a thread of its own from some size on, in order, never far ahead.

The thread does nothing but its jobs: it never touches the caller's source, and it holds no
reference to whoever waits for it, so that a pass that nobody holds any more still ends.
"""

from __future__ import annotations

import os
import sys
from threading import Thread, get_ident
from typing import TYPE_CHECKING, TypeAlias

from restkit.errors import PayloadError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from queue import SimpleQueue


Job: TypeAlias = "Callable[[], bytes]"

# What is less than this is done before a thread would have begun.
ALONE = 256 * 1024
# With one job under way while the next is fetched, the thread always has something to do.
_AHEAD = 1
# For how long the end of the thread is waited for, in seconds: no job takes as long.
LONGEST_JOB = 5.0


class BackgroundWorker:
    """Jobs in their order: done by the caller while they are few, then by a thread.

    Their results come in the same order; what a job raises is raised in place of its result.
    ``close()`` ends the thread, once the jobs it was given are done; it may be called twice.
    """

    __slots__ = ("_size", "_thread", "_under_way")

    def __init__(self) -> None:
        self._size = 0
        self._thread: _JobThread | None = None
        self._under_way = 0

    def do(self, job: Job, size: int) -> Iterator[bytes]:
        """Do a job on so many bytes; the results that are there once no job but this is under way.

        A job on none is no reason for a thread.
        """
        thread = self._thread
        if thread is None and size and self._size >= ALONE:
            thread = self._thread = _JobThread()
            thread.start()
        self._size += size
        if thread is None or not thread.takes_jobs:
            yield job()
            return
        thread.put(job)
        self._under_way += 1
        yield from self._results(thread, _AHEAD)

    def drain(self) -> Iterator[bytes]:
        """The results of all that is under way."""
        return iter(()) if self._thread is None else self._results(self._thread, 0)

    def _results(self, thread: _JobThread, left: int) -> Iterator[bytes]:
        while self._under_way > left or (self._under_way and thread.has_result):
            result = thread.result()
            self._under_way -= 1
            yield result

    def close(self) -> None:
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.close()

    def __enter__(self) -> BackgroundWorker:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __repr__(self) -> str:
        where = "the caller's thread" if self._thread is None else "a thread of its own"
        return f"<Overlap on {where}, {self._under_way} under way>"


class _JobThread:
    """The thread, and the two queues between it and its caller."""

    __slots__ = ("_jobs", "_pid", "_results", "_thread", "takes_jobs")

    def __init__(self) -> None:
        from queue import SimpleQueue  # only what is large comes here

        self._pid = os.getpid()
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._results: SimpleQueue[bytes | BaseException] = SimpleQueue()
        # One of a pass that is never finished must not keep the program from ending.
        self._thread = Thread(
            target=_work, args=(self._jobs, self._results), name="restkit-overlap", daemon=True
        )
        self.takes_jobs = False

    def start(self) -> None:
        try:
            self._thread.start()
        except RuntimeError:
            return  # no thread can be had, by a limit or at the program's end: it goes without
        self.takes_jobs = True

    def put(self, job: Job) -> None:
        self._refuse_in_a_child()
        self._jobs.put(job)

    @property
    def has_result(self) -> bool:
        return not self._results.empty()

    def result(self) -> bytes:
        self._refuse_in_a_child()
        result = self._results.get()
        if isinstance(result, BaseException):
            raise result
        return result

    def close(self) -> None:
        self._jobs.put(None)
        # A child has no such thread, and at the program's end it does not run any more; one that
        # was interrupted while it started ends by itself.
        if self._pid != os.getpid() or not self._thread.is_alive() or sys.is_finalizing():
            return
        # A pass in a cycle is closed by the collector, wherever that runs: on this very thread, or
        # on one that holds a lock of threading's that is taken when a thread ends.
        if self._thread.ident != get_ident():
            self._thread.join(LONGEST_JOB)

    def _refuse_in_a_child(self) -> None:
        if self._pid != os.getpid():
            raise PayloadError(
                "this pass began before a fork, and the thread it works with is the parent's: "
                "begin another in the child"
            )


def _work(jobs: SimpleQueue[Job | None], results: SimpleQueue[bytes | BaseException]) -> None:
    for job in iter(jobs.get, None):
        try:
            results.put(job())
        except BaseException as exc:  # noqa: BLE001  # raised again, where the result is taken
            results.put(exc)
