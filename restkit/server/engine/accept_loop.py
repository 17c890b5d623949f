"""Accept connections, watch the idle ones, and hand those with something to read to workers.

One thread runs the loop. It owns every connection that waits: for a request, for the rest of a
head, or for the end of what a refused client still sends. Only the loop registers, cuts off and
closes connections, so that no descriptor is closed while another thread uses its number.
"""

from __future__ import annotations

import logging
import resource
import socket
import threading
from collections import OrderedDict
from contextlib import suppress
from errno import EMFILE, ENFILE
from math import inf
from selectors import EVENT_READ, DefaultSelector
from time import monotonic
from typing import TYPE_CHECKING

from restkit.server.engine.listener import address_of, close_listener
from restkit.server.engine.worker_pool import WorkerPool

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeAlias

    from restkit.server.engine.connection import ClientConnection

    Converse: TypeAlias = Callable[[socket.socket, tuple[str, int]], ClientConnection]

_logger = logging.getLogger("restkit.server")

GRACE = 0.5
MAX_CONNECTIONS = 10_000
_TICK = 0.05  # seconds between two looks at the deadlines
_PAUSE = 1.0  # seconds before accepting again after it failed


class AcceptLoop:
    """Serve connections in threads of its own, from ``start()`` to ``stop()``.

    ``listener`` is a listening socket, which the loop closes, and ``converse`` makes the
    ClientConnection of a socket that it accepts. Without them only connections that ``add()``
    brings are served. ``threads`` bounds the worker threads. ``max_connections`` bounds the open
    connections: one more takes the place of the one that has been idle longest; while none is
    idle, clients wait in the queue of the listener. The loop's thread calls ``when_stopped`` at
    its end. ``daemon`` is passed to every thread.
    """

    def __init__(
        self,
        listener: socket.socket | None = None,
        converse: Converse | None = None,
        *,
        threads: int,
        max_connections: int | None = None,
        when_stopped: Callable[[], object] = lambda: None,
        daemon: bool | None = None,
    ) -> None:
        self._listener = listener
        self._converse = converse
        self._max_connections = max_connections or default_max_connections()
        self._when_stopped = when_stopped
        name = "restkit server"
        if listener is not None:
            name = f"{name} {address_of(listener)[1]}"
        self._thread = threading.Thread(target=self._run, name=name, daemon=daemon)
        self._workers = WorkerPool(f"{name}, worker", threads, self._wake_if_asleep)
        self._selector = DefaultSelector()
        self._wake_receiver, self._wake_sender = socket.socketpair()
        self._asleep = False
        # The connections that wait, in the order of their last steps, with their deadlines.
        self._waiting: OrderedDict[ClientConnection, float] = OrderedDict()
        self._next_look = inf  # the time of the next look at the deadlines
        self._accepts = False
        self._accepts_again = inf
        # The lock is for stop() and add(), which wake the loop: its sockets close under it.
        self._lock = threading.Lock()
        self._stopping = False
        self._stopped = False
        self._cut_off_at = inf
        self._never_cut_off: set[ClientConnection] = set()

    def start(self) -> None:
        """Begin to accept and serve connections."""
        for end in (self._wake_receiver, self._wake_sender):
            end.setblocking(False)
        self._selector.register(self._wake_receiver, EVENT_READ)
        self._resume_accepting()
        self._thread.start()

    def add(self, conversation: ClientConnection) -> None:
        """Serve a connection that was not accepted here. Any thread may call it."""
        with self._lock:
            if not self._stopping:
                self._workers.give_back(conversation, stays=True)
                return
        conversation.close()

    def stop(self, grace: float = GRACE, patience: float | None = None) -> None:
        """Stop accepting, close every connection, and wait until all threads have ended.

        Idle connections close at once. Requests in progress have ``grace`` seconds; then their
        connections are cut off, and an application that reads or writes finds its client gone.
        Raises RuntimeError if an application does neither, and runs on for ``patience`` seconds;
        None waits for it. Idempotent; any thread may call it. An application may call it too:
        then it waits for nothing, and the response of that application is not cut off.
        """
        own = self._workers.current()
        with self._lock:
            if not self._stopped:
                if own is not None:
                    self._never_cut_off.add(own)
                self._cut_off_at = min(self._cut_off_at, monotonic() + grace)
                self._stopping = True
                self._wake()
        if own is None:
            self._thread.join(patience)
            if self._thread.is_alive():
                running = ", ".join(map(repr, self._workers.held.copy()))
                raise RuntimeError(f"handlers neither read nor write, nor return: {running}")

    # The loop's thread

    def _run(self) -> None:
        try:
            while not self._stopping:
                self._handle_events(self._next_look)
                self._close_overdue()
        except Exception:
            _logger.critical("the server stops: its loop failed", exc_info=True)
            self._stopping = True
        finally:
            try:
                self._finish()
            finally:
                self._when_stopped()

    def _handle_events(self, until: float) -> None:
        """Wait for events and handle them. Accepting comes last: it may close idle connections."""
        # Workers return a connection and then look at _asleep; so this is set before the look.
        self._asleep = True
        seconds = 0.0 if self._workers.has_returned else max(0.0, until - monotonic())
        events = self._selector.select(None if seconds == inf else seconds)
        self._asleep = False
        accepts = False
        for key, _ in events:
            if key.data is not None:
                self._selector.unregister(key.fd)
                del self._waiting[key.data]
                self._workers.submit(key.data)
            elif key.fileobj is self._listener:
                accepts = True
            else:
                self._wake_receiver.recv(4096)
        for conversation, stays in self._workers.take_back():
            if stays and not self._stopping:
                self._watch(conversation)
            else:
                conversation.close()
            self._resume_accepting()
        if accepts and not self._stopping:
            self._accept()

    def _watch(self, conversation: ClientConnection) -> None:
        """Watch a connection until there is something to read, or its deadline is over."""
        try:
            self._selector.register(conversation.fileno(), EVENT_READ, conversation)
        except OSError as exc:  # the system has no memory, or watches no more descriptors
            _logger.error("%r was closed: %s", conversation, exc)
            conversation.close()
            return
        self._waiting[conversation] = deadline = conversation.deadline
        self._next_look = min(self._next_look, deadline)

    def _close_overdue(self) -> None:
        now = monotonic()
        if now < self._next_look:
            return
        for conversation in [each for each, deadline in self._waiting.items() if deadline <= now]:
            self._close_waiting(conversation)
        if self._accepts_again <= now:
            self._resume_accepting()
        first = min(self._waiting.values(), default=inf)
        self._next_look = max(min(first, self._accepts_again), now + _TICK)

    def _close_longest_idle(self) -> bool:
        """Close the connection whose last step is longest ago; return whether there was one."""
        for conversation in self._waiting:
            self._close_waiting(conversation)
            return True
        return False

    def _close_waiting(self, conversation: ClientConnection) -> None:
        del self._waiting[conversation]
        self._selector.unregister(conversation.fileno())
        conversation.close()

    def _finish(self) -> None:
        """Close what waits, let requests in progress end, and cut them off after the grace."""
        if self._listener is not None:
            if self._accepts:
                self._selector.unregister(self._listener)
            close_listener(self._listener)
        for conversation in list(self._waiting):
            self._close_waiting(conversation)
        self._workers.stop()
        while self._workers.held:
            self._handle_events(self._cut_off_at)
            if monotonic() >= self._cut_off_at:
                self._cut_off_at = inf
                for conversation in self._workers.held - self._never_cut_off:
                    conversation.abort()
        self._workers.join()
        with self._lock:
            self._stopped = True
            for conversation, _ in self._workers.take_back():
                conversation.close()
            self._selector.close()
            self._wake_receiver.close()
            self._wake_sender.close()

    # Accepting

    def _accept(self) -> None:
        assert self._listener is not None
        assert self._converse is not None
        full = len(self._waiting) + len(self._workers.held) >= self._max_connections
        if full and not self._close_longest_idle():
            self._pause_accepting(inf)
            return
        try:
            sock, address = self._listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return  # the client has left the queue
        except OSError as exc:
            # The listener stays ready without a free descriptor: to try again at once would spin.
            if exc.errno not in (EMFILE, ENFILE) or not self._close_longest_idle():
                _logger.error("cannot accept connections for now: %s", exc)
                self._pause_accepting(_PAUSE)
            return
        client = ("", 0)
        if sock.family != socket.AF_UNIX:
            client = address[:2]
            with suppress(OSError):  # not every system inherits it from the listening socket
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._watch(self._converse(sock, client))

    def _pause_accepting(self, seconds: float) -> None:
        """Accept nothing for so many seconds, or until a worker returns a connection."""
        assert self._listener is not None
        self._selector.unregister(self._listener)
        self._accepts = False
        self._accepts_again = monotonic() + seconds
        self._next_look = min(self._next_look, self._accepts_again)

    def _resume_accepting(self) -> None:
        if self._listener is not None and not self._accepts and not self._stopping:
            self._selector.register(self._listener, EVENT_READ)
            self._accepts = True
            self._accepts_again = inf

    # Waking the loop

    def _wake_if_asleep(self) -> None:
        if self._asleep:
            self._wake()

    def _wake(self) -> None:
        with suppress(BlockingIOError):  # if the pair is full, the loop wakes anyway
            self._wake_sender.send(b"\0")


def default_max_connections() -> int:
    """Return half of the descriptors that this process may have, and at most 10,000."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MAX_CONNECTIONS if soft == resource.RLIM_INFINITY else min(soft // 2, MAX_CONNECTIONS)
