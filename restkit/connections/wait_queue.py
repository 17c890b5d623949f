"""The limit ``max_connections``, and the queue of threads that wait for a connection."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection
from contextlib import suppress
from threading import TIMEOUT_MAX, Lock, RLock
from time import monotonic
from weakref import WeakSet

from restkit.connections.connection import Connection
from restkit.connections.idle import IdleConnections
from restkit.connections.unread import add_unread
from restkit.errors import ConnectTimeout, Error, TransportError
from restkit.network.route import Route
from restkit.timeouts import Deadline

CHECK_SECONDS = 1.0
"""The seconds between two checks of a waiting thread. An interrupt may prevent its wake-up."""


class Waiter:
    """Lets one thread sleep until another one wakes it, once."""

    # A lock and not an Event: an Event has a lock inside, which an interrupted thread may hold.
    def __init__(self) -> None:
        self._asleep = Lock()
        self._asleep.acquire()

    def wait(self, seconds: float | None) -> None:
        """Block until ``wake`` was called or the seconds are over; None waits forever."""
        self._asleep.acquire(timeout=-1 if seconds is None else min(seconds, TIMEOUT_MAX))

    def wake(self) -> None:
        """Wake the thread that waits, or will wait. Idempotent."""
        with suppress(RuntimeError):  # a signal handler has woken it meanwhile
            self._asleep.release()


class Ticket(Waiter):
    """A thread's place in the queue for a connection.

    A served ticket counts as an open connection until its thread has opened one. ``connection``
    is an idle connection of the same route, or None if the thread may open one.
    """

    def __init__(self, route: Route | None) -> None:
        super().__init__()
        self.route = route
        self.served = False
        self.connection: Connection | None = None

    def serve(self, connection: Connection | None) -> None:
        """Wake the thread, with a connection or with the permission to open one."""
        self.connection = connection
        self.served = True
        self.wake()


class WaitQueue:
    """Limits the connections that are open at a time: in use, idle, and being opened.

    ``in_use`` and ``idle`` belong to the pool, and ``lock`` is its lock, which is re-entrant. The
    lock is held during a call of any method except ``wait``.
    """

    def __init__(
        self, limit: int, lock: RLock, in_use: Collection[Connection], idle: IdleConnections
    ) -> None:
        self.limit = limit
        self.closed = False
        self._lock = lock
        self._in_use = in_use
        self._idle = idle
        self._tickets: deque[Ticket] = deque()
        # Weak sets: an object that an interrupted thread dropped disappears from them, and a
        # connection without references closes itself.
        self._acquired: WeakSet[Connection] = WeakSet()
        self._opening: WeakSet[Ticket] = WeakSet()

    # One thread

    def wait(self, route: Route | None, deadline: Deadline) -> Ticket:
        """Return a ticket that was served, at once or after waiting.

        With a route, it may have an idle connection of that route. Raises ConnectTimeout or
        TotalTimeout, naming the limit, and TransportError if the pool is closed.
        """
        ticket = Ticket(route)
        try:
            seconds = deadline.connect_seconds()
            try:
                with self._lock:
                    # Before the check: a signal handler may close the pool after it.
                    self._tickets.append(ticket)
                    self._check_open(deadline)
                    self._close_idle_for(ticket)
                    self.serve()
                self._wait_until_served(ticket, seconds)
            except BaseException:
                self._leave(ticket)
                self._hand_slot_on(ticket)
                raise
            self._leave(ticket)
            if not ticket.served:
                self._check_open(deadline)
                raise self._timeout_error(deadline)
        except Error as error:
            error.sent = "nothing"
            raise
        return ticket

    def _wait_until_served(self, ticket: Ticket, seconds: float | None) -> None:
        """Wait until the ticket is served, the seconds are over, or the pool is closed."""
        end = None if seconds is None else monotonic() + seconds
        while not (ticket.served or self.closed):
            left = CHECK_SECONDS if end is None else min(CHECK_SECONDS, end - monotonic())
            if left <= 0.0:
                return
            ticket.wait(left)
            if not ticket.served:
                self._repair(ticket)

    def _repair(self, ticket: Ticket) -> None:
        """Serve the queue again. An interrupt may have stopped another thread while it did this."""
        with self._lock:
            if ticket.connection is not None:
                ticket.served = True
            elif not (ticket.served or self.closed):
                self._opening.discard(ticket)
                if ticket not in self._tickets:
                    self._tickets.appendleft(ticket)
                self._close_idle_for(ticket)
                self.serve()

    def _leave(self, ticket: Ticket) -> None:
        with self._lock:
            if ticket in self._tickets:
                with suppress(ValueError):  # a signal handler has removed it meanwhile
                    self._tickets.remove(ticket)

    def _hand_slot_on(self, ticket: Ticket) -> None:
        """Give the slot of an interrupted thread to the next thread in the queue."""
        if ticket.connection is not None:
            ticket.connection.close()
        with self._lock:
            if ticket.connection is not None:
                self.forget(ticket.connection)
            self.end_opening(ticket)

    def _check_open(self, deadline: Deadline) -> None:
        if self.closed:
            raise TransportError(
                f"{deadline.peer}: the Client was closed while this call waited for a connection"
            )

    def _timeout_error(self, deadline: Deadline) -> Error:
        limit = f"one of the {self.limit} connections that max_connections allows"
        try:
            deadline.remaining(f"waiting for {limit}")
        except Error as total:
            return self._name_unread(total)
        return self._name_unread(
            ConnectTimeout(
                f"{deadline.peer}: still waiting for {limit} after {deadline.timeout.connect:g} s "
                "(Timeout.connect)"
            )
        )

    def _name_unread(self, error: Error) -> Error:
        with self._lock:
            in_use = list(self._in_use)
        return add_unread(error, in_use)

    # Slots

    def count_open(self) -> int:
        """Return the number of connections that count."""
        return len(self._in_use) + len(self._opening) + len(self._acquired) + len(self._idle)

    def _close_idle_for(self, ticket: Ticket) -> None:
        """Close the oldest idle connections until one more may be opened."""
        while self.count_open() >= self.limit and not ticket.served:
            oldest = self._idle.take_oldest()
            if not oldest:
                break
            oldest[0].close()

    def hand_out(self, connection: Connection) -> None:
        """Count a connection that a thread has, and that is not in use yet."""
        self._acquired.add(connection)

    def begin_use(self, connection: Connection) -> None:
        """Stop counting a connection that is in use from now on."""
        self._acquired.discard(connection)

    def forget(self, connection: Connection) -> None:
        """Stop counting a closed connection; its slot goes to the first in the queue."""
        self._acquired.discard(connection)
        self.serve()

    def begin_opening(self, ticket: Ticket) -> None:
        """Count a connection that a thread opens, before another slot is given up for it."""
        self._opening.add(ticket)

    def end_opening(self, ticket: Ticket) -> None:
        """Stop counting the connection that a thread has opened, or has failed to open."""
        self._opening.discard(ticket)
        self.serve()

    # The queue

    def take_first(self) -> Ticket | None:
        """Remove the first ticket, to serve it or to put it back; None if nobody waits."""
        # Not "if self._tickets": a garbage collection in between may empty the queue.
        try:
            return self._tickets.popleft()
        except IndexError:
            return None

    def put_back(self, ticket: Ticket) -> None:
        """Put back the ticket that ``take_first`` returned."""
        self._tickets.appendleft(ticket)
        if self.closed:  # meanwhile, by a signal handler
            ticket.wake()

    def serve(self) -> None:
        """Give free slots to the threads in the queue.

        A garbage collection may close an unread body during this call, which calls it again. So
        each slot is taken first and checked afterwards, and no two threads get the same slot.
        """
        while self._tickets and self.count_open() < self.limit:
            self._serve_first()

    def _serve_first(self) -> None:
        # A separate function, so that no local variable keeps a reference to the ticket. If its
        # thread was interrupted, the ticket must be collected, which frees its slot.
        ticket = self.take_first()
        if ticket is None:
            return
        self._opening.add(ticket)
        if self.count_open() <= self.limit:
            ticket.serve(None)
        else:
            self._opening.discard(ticket)
            self.put_back(ticket)

    def close(self) -> list[Ticket]:
        """Empty the queue, and return its tickets for the pool to wake."""
        self.closed = True
        tickets = list(self._tickets)
        self._tickets.clear()
        return tickets

    def __repr__(self) -> str:
        return (
            f"{len(self._opening)} being opened, {len(self._tickets)} waiting, {self.limit} at most"
        )
