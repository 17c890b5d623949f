"""Keep ``os.fork`` out of the steps of a TLS handshake.

OpenSSL has locks of its own, for random numbers, certificate stores and fetched algorithms. A fork
while another thread holds one leaves it locked for ever in the child, and the child's first
handshake hangs (seen with OpenSSL 3.0). The record layer of AES-GCM and ChaCha20 takes none of
them, so only handshakes and new contexts are steps.

There is no lock here that an interrupt could leave locked, and no wait without a bound: a program's
own fork hook may hold a lock that the thread of a step waits for. A step registers itself and then
looks for a fork; a fork does the reverse. So one of them sees the other.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import get_ident
from time import monotonic, sleep
from weakref import WeakValueDictionary

from restkit.io.processes import run_around_forks

MAX_WAIT = 5.0
"""The seconds for which a fork waits for steps, and a step for a fork."""

_PAUSE = 0.001


class _Step:
    """A step in progress; an interrupted one disappears with its frame."""

    __slots__ = ("__weakref__", "thread")

    def __init__(self) -> None:
        self.thread = get_ident()


class _ForkLock:
    """Any number of steps at a time, or forks.

    A thread that forks does not wait for a step of its own, which a signal handler interrupted.
    """

    def __init__(self) -> None:
        self._steps: WeakValueDictionary[int, _Step] = WeakValueDictionary()
        self._forking: set[int] = set()

    @contextmanager
    def step(self) -> Iterator[None]:
        """Run one step; a fork waits for its end, and a step for the end of a fork."""
        step = _Step()
        number = id(step)
        end = monotonic() + MAX_WAIT
        self._steps[number] = step
        while self._forking and monotonic() < end:
            self._steps.pop(number, None)
            sleep(_PAUSE)
            self._steps[number] = step
        try:
            yield
        finally:
            self._steps.pop(number, None)

    def before_fork(self) -> None:
        """Keep new steps out, and wait for those of other threads."""
        thread = get_ident()
        self._forking.add(thread)
        end = monotonic() + MAX_WAIT
        while self._has_steps_besides(thread) and monotonic() < end:
            sleep(_PAUSE)

    def _has_steps_besides(self, thread: int) -> bool:
        steps = [reference() for reference in self._steps.valuerefs()]
        return any(step is not None and step.thread != thread for step in steps)

    def after_fork_in_parent(self) -> None:
        """Let the steps go on."""
        self._forking.discard(get_ident())

    def after_fork_in_child(self) -> None:
        """Forget the steps and forks of threads that the child does not have."""
        self._steps = WeakValueDictionary()
        self._forking = set()


_lock = _ForkLock()
openssl_step = _lock.step
run_around_forks(_lock.before_fork, _lock.after_fork_in_parent, _lock.after_fork_in_child)
