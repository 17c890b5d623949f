"""Collect the body of a request before a thread is used for it.

A handler that needs the whole body cannot begin earlier. So a client that sends its body
slowly holds no thread. The bytes that have arrived are bounded for each request and for the
process: beyond these bounds, a thread receives the rest.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING

from restkit.http1.request_head import RequestHead
from restkit.io.processes import run_in_forked_child
from restkit.server.engine.request_body import RequestBody

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication, WSGIEnvironment

MAX_COLLECTED = 1024 * 1024
"""The bytes of one body that are collected without a thread."""
MAX_COLLECTED_TOGETHER = 64 * 1024 * 1024
"""The bytes of all bodies of the process that are collected without a thread."""


def read_max_collected(app: WSGIApplication, environ: WSGIEnvironment) -> int:
    """Return what the method ``max_collected`` of an application returns; 0 without this method."""
    max_collected: Callable[[WSGIEnvironment], int] | None = getattr(app, "max_collected", None)
    return 0 if max_collected is None else max_collected(environ)


class BodyCollection:
    """A request whose body is being received: its head, environ and body.

    Its owner calls ``end_wait()`` and then ``step()`` when there is something to read, and
    ``close()`` when the request is handled or abandoned. At most ``max_size`` bytes are collected.
    """

    def __init__(
        self,
        head: RequestHead,
        environ: WSGIEnvironment,
        body: RequestBody,
        *,
        max_size: int,
        timeout: float,
    ) -> None:
        self.head = head
        self.environ = environ
        self.body = body
        self._max_size = min(max_size, MAX_COLLECTED)
        self._timeout = timeout
        self._counted = 0
        self._waits_since = monotonic()
        self._waited = 0.0

    @property
    def deadline(self) -> float:
        """The time (``monotonic``) by which the next byte must arrive."""
        return min(self._waits_since + self._timeout, self.body.deadline)

    def end_wait(self) -> None:
        """End the wait for the client; ``step()`` may come much later, if all threads are busy."""
        self._waited = monotonic() - self._waits_since

    def step(self) -> bool:
        """Receive what has arrived; return whether a thread must go on with the request.

        Raises ClientDisconnected if the client is too slow.
        """
        body = self.body
        body.read_ahead(self._max_size)
        size = body.ahead
        if body.ended or size >= self._max_size or not self._count(size):
            return True
        body.count_wait(self._waited)
        self._waited = 0.0
        self._waits_since = monotonic()
        return False

    def close(self) -> None:
        """Subtract the bytes from the total of the process. Idempotent."""
        _collected.add(-self._counted)
        self._counted = 0

    def _count(self, size: int) -> bool:
        added = size - self._counted
        self._counted = size
        return _collected.add(added) <= MAX_COLLECTED_TOGETHER


class _Total:
    """A number that several threads change. It is 0 in a forked child, which has no server yet."""

    def __init__(self) -> None:
        self._reset()
        run_in_forked_child(self._reset)

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._value = 0

    def add(self, number: int) -> int:
        with self._lock:
            self._value += number
            return self._value


_collected = _Total()
