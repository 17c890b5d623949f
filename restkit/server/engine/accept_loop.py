"""Accept connections, watch the idle ones, and pass those with something to read to workers.

One thread runs the loop. It owns every connection that waits: for a request, for the rest of a
head, or for the end of what a refused client still sends. Only the loop registers, cuts off and
closes connections, so that no descriptor is closed while another thread uses its number.
"""

from __future__ import annotations

import logging
import socket
import threading
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from errno import EMFILE, ENFILE
from math import inf
from selectors import EVENT_READ, DefaultSelector
from time import monotonic
from typing import TypeAlias

from restkit.io.processes import get_descriptor_limit
from restkit.io.sockets import AF_UNIX
from restkit.server.engine.connection import ClientConnection
from restkit.server.engine.listener import address_of, close_listener
from restkit.server.engine.worker_pool import WorkerPool

MakeConnection: TypeAlias = Callable[[socket.socket, tuple[str, int]], ClientConnection]

_logger = logging.getLogger("restkit.server")

MAX_CONNECTIONS = 10_000
_TICK = 0.05  # seconds between two checks of the deadlines
_PAUSE = 1.0  # seconds before accepting again after it failed


class AcceptLoop:
    """Serve connections in threads of its own, from ``start()`` to ``stop()``.

    ``listener`` is a listening socket, which the loop closes; ``make_connection`` is called with
    each accepted socket and the client's address. Without them, only connections that ``add()``
    brings are served. ``threads`` bounds the worker threads. ``max_connections`` bounds the open
    connections: one more takes the place of the one that has been idle longest; while none is
    idle, clients wait in the queue of the listener. The loop's thread calls ``when_stopped`` at
    its end. ``daemon``: the threads do not keep the process from ending.
    """

    def __init__(
        self,
        listener: socket.socket | None = None,
        make_connection: MakeConnection | None = None,
        *,
        threads: int,
        max_connections: int | None = None,
        when_stopped: Callable[[], object] = lambda: None,
        daemon: bool = False,
    ) -> None:
        self._listener = listener
        self._make_connection = make_connection
        self._max_connections = max_connections or default_max_connections()
        self._when_stopped = when_stopped
        name = "restkit server"
        if listener is not None:
            name = f"{name} {address_of(listener)[1]}"
        self._thread = threading.Thread(target=self._run, name=name, daemon=daemon)
        self._workers = WorkerPool(f"{name}, worker", threads, self._wake_if_asleep, daemon=daemon)
        self._selector = DefaultSelector()
        self._wake_receiver, self._wake_sender = socket.socketpair()
        self._asleep = False
        # The connections that wait, in the order of their last steps, with their deadlines.
        self._waiting: OrderedDict[ClientConnection, float] = OrderedDict()
        self._next_check = inf  # the time of the next check of the deadlines
        self._accepting = False
        self._resume_at = inf
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

    def add(self, connection: ClientConnection) -> None:
        """Serve a connection that was not accepted here. Any thread may call it."""
        with self._lock:
            if not self._stopping:
                self._workers.give_back(connection, keep=True)
                return
        connection.close()

    def stop(self, grace: float = 0.0, patience: float | None = None) -> None:
        """Stop accepting, close every connection, and wait until all threads have ended.

        Idle connections close at once. Requests in progress have ``grace`` seconds; then their
        connections are cut off, and an application that reads or writes gets ClientDisconnected.
        Raises RuntimeError if an application does neither, and runs on for ``patience`` seconds;
        None waits for it. Idempotent; any thread may call it. An application may call it too:
        then ``stop()`` does not wait, and the response of that application is not cut off.
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
                running = ", ".join(map(repr, self._workers.busy.copy()))
                raise RuntimeError(f"these requests neither read, write nor return: {running}")

    # The loop's thread

    def _run(self) -> None:
        try:
            while not self._stopping:
                self._handle_events(self._next_check)
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
        # Workers return a connection and then read _asleep, so this is set before has_returned is
        # read.
        self._asleep = True
        seconds = 0.0 if self._workers.has_returned else max(0.0, until - monotonic())
        events = self._selector.select(None if seconds == inf else seconds)
        self._asleep = False
        accepts = False
        for key, _ in events:
            if key.data is not None:
                self._selector.unregister(key.fd)
                del self._waiting[key.data]
                if key.data.collection is not None:
                    key.data.collection.end_wait()
                self._workers.submit(key.data)
            elif key.fileobj is self._listener:
                accepts = True
            else:
                self._wake_receiver.recv(4096)
        for connection, keep in self._workers.take_back():
            if keep and (not self._stopping or connection.is_collecting):
                self._watch(connection)
            else:
                connection.close()
            self._resume_accepting()
        if accepts and not self._stopping:
            self._accept()

    def _watch(self, connection: ClientConnection) -> None:
        """Watch a connection until there is something to read, or its deadline passes."""
        try:
            self._selector.register(connection.fileno(), EVENT_READ, connection)
        except OSError as exc:  # the system has no memory, or watches no more descriptors
            _logger.error("%r was closed: %s", connection, exc)
            connection.close()
            return
        self._waiting[connection] = deadline = connection.deadline
        self._next_check = min(self._next_check, deadline)

    def _close_overdue(self) -> None:
        now = monotonic()
        if now < self._next_check:
            return
        for connection in [each for each, deadline in self._waiting.items() if deadline <= now]:
            self._close_waiting(connection)
            self._resume_accepting()
        if self._resume_at <= now:
            self._resume_accepting()
        first = min(self._waiting.values(), default=inf)
        self._next_check = max(min(first, self._resume_at), now + _TICK)

    def _close_longest_idle(self) -> bool:
        """Close the connection whose last step is longest ago, and that is in no request.

        Return whether there was one.
        """
        for connection in self._waiting:
            if not connection.is_collecting:
                self._close_waiting(connection)
                return True
        return False

    def _close_waiting(self, connection: ClientConnection) -> None:
        del self._waiting[connection]
        self._selector.unregister(connection.fileno())
        connection.close()

    def _finish(self) -> None:
        """Close what waits, let requests in progress end, and cut them off after the grace."""
        if self._listener is not None:
            if self._accepting:
                self._selector.unregister(self._listener)
            close_listener(self._listener)
        for connection in list(self._waiting):
            if not connection.is_collecting:
                self._close_waiting(connection)
        self._workers.stop()
        while self._workers.busy or self._waiting:
            self._handle_events(min(self._next_check, self._cut_off_at))
            self._close_overdue()
            if monotonic() >= self._cut_off_at:
                self._cut_off_at = inf
                for connection in list(self._waiting):
                    self._close_waiting(connection)
                for connection in self._workers.busy - self._never_cut_off:
                    connection.abort()
        self._workers.join()
        with self._lock:
            self._stopped = True
            for connection, _ in self._workers.take_back():
                connection.close()
            self._selector.close()
            self._wake_receiver.close()
            self._wake_sender.close()

    # Accepting

    def _accept(self) -> None:
        assert self._listener is not None
        assert self._make_connection is not None
        full = len(self._waiting) + len(self._workers.busy) >= self._max_connections
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
        if sock.family != AF_UNIX:
            client = address[:2]
            with suppress(OSError):  # not every system inherits it from the listening socket
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._watch(self._make_connection(sock, client))

    def _pause_accepting(self, seconds: float) -> None:
        """Accept nothing for some seconds, or until a worker returns a connection."""
        assert self._listener is not None
        self._selector.unregister(self._listener)
        self._accepting = False
        self._resume_at = monotonic() + seconds
        self._next_check = min(self._next_check, self._resume_at)

    def _resume_accepting(self) -> None:
        if self._listener is not None and not self._accepting and not self._stopping:
            self._selector.register(self._listener, EVENT_READ)
            self._accepting = True
            self._resume_at = inf

    # Waking the loop

    def _wake_if_asleep(self) -> None:
        if self._asleep:
            self._wake()

    def _wake(self) -> None:
        with suppress(BlockingIOError):  # if the pair is full, the loop wakes anyway
            self._wake_sender.send(b"\0")


def default_max_connections() -> int:
    """Return half of the descriptors that this process may have, and at most 10,000."""
    limit = get_descriptor_limit()
    return MAX_CONNECTIONS if limit is None else min(limit // 2, MAX_CONNECTIONS)
