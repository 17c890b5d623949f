"""Run jobs on a background thread, in order.

The thread is only used from some size on, and never runs far ahead of its caller. It only runs
jobs: it never touches the caller's source, and it holds no reference to its caller, so that an
abandoned pass still ends.
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

INLINE_SIZE = 256 * 1024
"""Fewer bytes are compressed faster than a thread starts."""
JOIN_TIMEOUT = 5.0
"""The seconds to wait for the end of the thread. No job takes as long."""

_MAX_AHEAD = 1  # with one job running while the next one is fetched, the thread is always busy


class BackgroundWorker:
    """Runs jobs in order: in the caller's thread while they are few, then on a thread.

    Results are returned in the same order. An exception of a job is raised in place of its result.

    >>> with BackgroundWorker() as worker:
    ...     list(worker.run(lambda: b'result', size=100))
    [b'result']
    """

    __slots__ = ("_pending", "_size", "_thread")

    def __init__(self) -> None:
        self._size = 0
        self._thread: _JobThread | None = None
        self._pending = 0

    def run(self, job: Job, size: int) -> Iterator[bytes]:
        """Run a job on ``size`` bytes. Yields results, until only this job may be pending.

        A job with ``size`` 0 never starts a thread.
        """
        thread = self._thread
        if thread is None and size and self._size >= INLINE_SIZE:
            thread = self._thread = _JobThread()
            thread.start()
        self._size += size
        if thread is None or not thread.is_started:
            yield job()
            return
        thread.put(job)
        self._pending += 1
        yield from self._take_results(thread, _MAX_AHEAD)

    def drain(self) -> Iterator[bytes]:
        """Yield the results of all pending jobs."""
        return iter(()) if self._thread is None else self._take_results(self._thread, 0)

    def _take_results(self, thread: _JobThread, max_pending: int) -> Iterator[bytes]:
        while self._pending > max_pending or (self._pending and thread.has_result):
            result = thread.take_result()
            self._pending -= 1
            yield result

    def close(self) -> None:
        """End the thread after its pending jobs. Idempotent."""
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.close()

    def __enter__(self) -> BackgroundWorker:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __repr__(self) -> str:
        where = "the caller's thread" if self._thread is None else "a background thread"
        return f"<BackgroundWorker on {where}, {self._pending} pending>"


class _JobThread:
    """A thread, with a queue for its jobs and one for their results."""

    __slots__ = ("_jobs", "_pid", "_results", "_thread", "is_started")

    def __init__(self) -> None:
        from queue import SimpleQueue  # only large payloads need it

        self._pid = os.getpid()
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._results: SimpleQueue[bytes | BaseException] = SimpleQueue()
        # A daemon: the thread of an unfinished pass must not keep the program running.
        self._thread = Thread(
            target=_run_jobs, args=(self._jobs, self._results), name="restkit-worker", daemon=True
        )
        self.is_started = False

    def start(self) -> None:
        try:
            self._thread.start()
        except RuntimeError:
            return  # there is a limit of threads, or the program ends: the caller runs the jobs
        self.is_started = True

    def put(self, job: Job) -> None:
        self._check_process()
        self._jobs.put(job)

    @property
    def has_result(self) -> bool:
        return not self._results.empty()

    def take_result(self) -> bytes:
        self._check_process()
        result = self._results.get()
        if isinstance(result, BaseException):
            raise result
        return result

    def close(self) -> None:
        self._jobs.put(None)
        # A child process does not have the thread, and at the end of the program it runs no more.
        # A thread whose start was interrupted ends without a join.
        if self._pid != os.getpid() or not self._thread.is_alive() or sys.is_finalizing():
            return
        # The garbage collector may close a pass in a reference cycle on any thread: on this very
        # thread, or on one that holds a lock of threading that the end of a thread needs.
        if self._thread.ident != get_ident():
            self._thread.join(JOIN_TIMEOUT)

    def _check_process(self) -> None:
        if self._pid != os.getpid():
            raise PayloadError(
                "this pass began before a fork, and its thread belongs to the parent process: "
                "begin another pass in the child"
            )


def _run_jobs(jobs: SimpleQueue[Job | None], results: SimpleQueue[bytes | BaseException]) -> None:
    for job in iter(jobs.get, None):
        try:
            results.put(job())
        except BaseException as exc:  # noqa: BLE001  # raised again in take_result()
            results.put(exc)
