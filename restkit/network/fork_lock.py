"""A lock that keeps ``os.fork`` out of the steps of a TLS handshake.

OpenSSL has locks of its own, for random numbers, certificate stores and fetched algorithms. A fork
while another thread holds one leaves it locked for ever in the child, and the child's first
handshake hangs (seen with OpenSSL 3.0). The record layer of AES-GCM and ChaCha20 takes none of
them, so only handshakes and new contexts use this lock.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Condition, get_ident

from restkit.io.processes import run_around_forks

MAX_WAIT = 5.0
"""The seconds for which a fork waits at most; a step takes milliseconds."""


class _ForkLock:
    """Any number of steps, or one fork.

    The thread that forks does not wait for a step of its own, which a signal handler interrupted.
    """

    def __init__(self) -> None:
        # Its lock is re-entrant: a signal handler may fork while this thread holds it.
        self._changed = Condition()
        self._steps: dict[int, int] = {}  # by thread: a handler may begin a step within a step

    @contextmanager
    def step(self) -> Iterator[None]:
        """Run one step; a fork waits for its end, and a step for the end of a fork."""
        thread = get_ident()
        with self._changed:
            self._steps[thread] = self._steps.get(thread, 0) + 1
        try:
            yield
        finally:
            with self._changed:
                self._steps[thread] -= 1
                if not self._steps[thread]:
                    del self._steps[thread]
                self._changed.notify_all()

    def before_fork(self) -> None:
        """Wait for the steps of other threads, and keep new ones out."""
        self._changed.acquire()
        self._changed.wait_for(lambda: self._steps.keys() <= {get_ident()}, MAX_WAIT)

    def after_fork_in_parent(self) -> None:
        """Let the steps go on."""
        self._changed.release()

    def after_fork_in_child(self) -> None:
        """Forget the steps of threads that the child does not have."""
        self._changed = Condition()
        thread = get_ident()
        self._steps = {thread: self._steps[thread]} if thread in self._steps else {}


_lock = _ForkLock()
openssl_step = _lock.step
run_around_forks(_lock.before_fork, _lock.after_fork_in_parent, _lock.after_fork_in_child)
