"""Worker threads: each takes a connection for one ``step()``, and returns it."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterator
from queue import Empty, SimpleQueue

from restkit.server.engine.connection import ClientConnection

_logger = logging.getLogger("restkit.server")


class WorkerPool:
    """At most ``threads`` worker threads, started when they are needed.

    The pool belongs to one thread, which alone may call its methods unless they state otherwise.
    ``wake`` is called, by any thread, when a connection was returned. ``busy`` are the connections
    that were submitted and not yet taken back. Once ``stopping`` is set, no request begins.
    """

    def __init__(
        self, name: str, threads: int, wake: Callable[[], object], *, daemon: bool = False
    ) -> None:
        self._name = name
        self._daemon = daemon
        self._max_threads = threads
        self._wake = wake
        self._threads: dict[threading.Thread, ClientConnection | None] = {}
        self._ready: SimpleQueue[ClientConnection | None] = SimpleQueue()
        self._returned: deque[tuple[ClientConnection, bool]] = deque()
        self.busy: set[ClientConnection] = set()
        self.stopping = False

    def submit(self, connection: ClientConnection) -> None:
        """Let a worker do one step of a connection; it is ``busy`` until it is taken back."""
        self.busy.add(connection)
        self._ready.put(connection)
        if len(self._threads) < min(self._max_threads, len(self.busy)):
            self._start_thread()

    def give_back(self, connection: ClientConnection, *, keep: bool) -> None:
        """Return a connection to the owner, to be kept or closed. Any thread may call it."""
        self._returned.append((connection, keep))
        self._wake()

    @property
    def has_returned(self) -> bool:
        """Whether there is a connection to take back."""
        return bool(self._returned)

    def take_back(self) -> Iterator[tuple[ClientConnection, bool]]:
        """Yield each returned connection, and whether to keep it."""
        while self._returned:
            connection, keep = self._returned.popleft()
            self.busy.discard(connection)
            yield connection, keep

    def stop(self) -> None:
        """Let no further request begin, and return the connections that wait for a thread."""
        self.stopping = True
        begun = []
        try:
            while connection := self._ready.get_nowait():
                if connection.is_collecting:
                    begun.append(connection)
                else:
                    self.give_back(connection, keep=False)
        except Empty:
            pass
        for connection in begun:
            self._ready.put(connection)

    def join(self) -> None:
        """Wait until every thread has ended; ``busy`` must be empty."""
        for _ in self._threads:
            self._ready.put(None)
        for thread in self._threads:
            thread.join()

    def current(self) -> ClientConnection | None:
        """Return the connection of the calling thread, if that is a worker. Any thread."""
        return self._threads.get(threading.current_thread())

    def _start_thread(self) -> None:
        thread = threading.Thread(target=self._work, name=self._name, daemon=self._daemon)
        self._threads[thread] = None
        try:
            thread.start()
        except RuntimeError as exc:  # the system has no more threads; the next submit() tries again
            del self._threads[thread]
            _logger.error("only %d worker threads: %s", len(self._threads), exc)

    def _work(self) -> None:
        thread = threading.current_thread()
        while (connection := self._ready.get()) is not None:
            self._threads[thread] = connection
            keep = (not self.stopping or connection.is_collecting) and _do_step(connection)
            self._threads[thread] = None
            if keep and connection.has_data:
                self._ready.put(connection)  # after those that wait for a thread
            else:
                self.give_back(connection, keep=keep)
            del connection


def _do_step(connection: ClientConnection) -> bool:
    try:
        return connection.step()
    except BaseException:  # the thread must serve other connections
        _logger.exception("%r failed", connection)
        return False
