"""Keep ``os.fork`` out of the steps of a TLS handshake.

OpenSSL has locks of its own, for random numbers, certificate stores and fetched algorithms. A fork
while another thread holds one leaves it locked for ever in the child, and the child's first
handshake hangs (seen with OpenSSL 3.0). Only handshakes and new contexts are steps, because the
record layer of AES-GCM and ChaCha20 takes none of these locks.

This module uses no lock, because an interrupt could leave it locked. Each wait has a bound, because
a fork hook of the program may hold a lock that the thread of a step waits for. A step registers
itself and then checks for a fork. A fork registers itself and then checks for steps. So at least
one of them sees the other.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import get_ident
from time import monotonic, sleep
from weakref import WeakValueDictionary

from restkit.io.processes import run_around_forks

MAX_WAIT = 5.0
"""The longest wait of a fork for steps, and of a step for a fork, in seconds."""

_PAUSE = 0.001


class _Step:
    """A step in progress; an interrupted step is collected with its frame."""

    __slots__ = ("__weakref__", "thread")

    def __init__(self) -> None:
        self.thread = get_ident()


class _ForkLock:
    """Allows any number of steps at a time, or forks.

    A fork in a signal handler does not wait for the step that the handler has interrupted.
    """

    def __init__(self) -> None:
        self._steps: WeakValueDictionary[int, _Step] = WeakValueDictionary()
        self._forking: set[int] = set()

    @contextmanager
    def step(self) -> Iterator[None]:
        """Run one step: wait until no fork is in progress, and keep forks waiting meanwhile."""
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
        """Block new steps, and wait until the steps of other threads have ended."""
        thread = get_ident()
        self._forking.add(thread)
        end = monotonic() + MAX_WAIT
        while self._has_steps_besides(thread) and monotonic() < end:
            sleep(_PAUSE)

    def _has_steps_besides(self, thread: int) -> bool:
        steps = [reference() for reference in self._steps.valuerefs()]
        return any(step is not None and step.thread != thread for step in steps)

    def after_fork_in_parent(self) -> None:
        """Allow new steps again."""
        self._forking.discard(get_ident())

    def after_fork_in_child(self) -> None:
        """Forget the steps and forks of the parent's threads, which the child does not have."""
        self._steps = WeakValueDictionary()
        self._forking = set()


_lock = _ForkLock()
openssl_step = _lock.step
run_around_forks(_lock.before_fork, _lock.after_fork_in_parent, _lock.after_fork_in_child)
