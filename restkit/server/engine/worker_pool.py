"""Worker threads: each takes a connection for one ``ClientConnection.step()``, and returns it."""

from __future__ import annotations

import logging
import threading
from collections import deque
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from restkit.server.engine.connection import ClientConnection

_logger = logging.getLogger("restkit.server")


class WorkerPool:
    """At most ``threads`` worker threads, which are started when they are needed.

    ``wake`` is called, by any thread, when there is something to take back. ``stopping`` is set
    by the owner: from then on no step begins. Everything else is for one thread, the owner's,
    except where it says so.
    """

    def __init__(self, name: str, threads: int, wake: Callable[[], object]) -> None:
        self._name = name
        self._most = threads
        self._wake = wake
        self._threads: dict[threading.Thread, ClientConnection | None] = {}
        self._ready: SimpleQueue[ClientConnection | None] = SimpleQueue()
        self._returned: deque[tuple[ClientConnection, bool]] = deque()
        self.held: set[ClientConnection] = set()
        self.stopping = False

    def submit(self, conversation: ClientConnection) -> None:
        """Have a worker do one step of a connection; ``held`` has it until it is taken back."""
        self.held.add(conversation)
        self._ready.put(conversation)
        if len(self._threads) < min(self._most, len(self.held)):
            self._start_thread()

    def give_back(self, conversation: ClientConnection, *, stays: bool) -> None:
        """Return a connection to the owner; ``stays`` says whether it stays open. Any thread."""
        self._returned.append((conversation, stays))
        self._wake()

    @property
    def has_returned(self) -> bool:
        """Whether there is something to take back."""
        return bool(self._returned)

    def take_back(self) -> Iterator[tuple[ClientConnection, bool]]:
        """Yield each returned connection, and whether it stays open."""
        while self._returned:
            conversation, stays = self._returned.popleft()
            self.held.discard(conversation)
            yield conversation, stays

    def stop(self) -> None:
        """Let no step begin any more, and return the connections that wait for one."""
        self.stopping = True
        try:
            while conversation := self._ready.get_nowait():
                self.give_back(conversation, stays=False)
        except Empty:
            pass

    def join(self) -> None:
        """Wait until every thread has ended; ``held`` must be empty."""
        for _ in self._threads:
            self._ready.put(None)
        for thread in self._threads:
            thread.join()

    def current(self) -> ClientConnection | None:
        """Return the connection whose step the calling thread is doing, if it is a worker."""
        return self._threads.get(threading.current_thread())

    def _start_thread(self) -> None:
        thread = threading.Thread(target=self._work, name=self._name)
        self._threads[thread] = None
        try:
            thread.start()
        except RuntimeError as exc:  # the system has no more threads; it is tried again later
            del self._threads[thread]
            _logger.error("only %d worker threads: %s", len(self._threads), exc)

    def _work(self) -> None:
        thread = threading.current_thread()
        while (conversation := self._ready.get()) is not None:
            self._threads[thread] = conversation
            stays = not self.stopping and _do_step(conversation)
            self._threads[thread] = None
            if stays and conversation.has_data and not self.stopping:
                self._ready.put(conversation)  # after those that wait for a thread
            else:
                self.give_back(conversation, stays=stays)
            del conversation


def _do_step(conversation: ClientConnection) -> bool:
    try:
        return conversation.step()
    except BaseException:  # the thread has to serve other connections
        _logger.exception("%r failed", conversation)
        return False
