"""Idle connections by route, and the limit on open connections.

The newest idle connection is used first, so that the others can grow old and be closed. A pool is
safe for threads, forks, signal handlers and the garbage collector.
"""

from __future__ import annotations

import os
from collections import deque
from threading import TIMEOUT_MAX, Lock, RLock
from time import monotonic
from weakref import WeakSet

from restkit.connections.connection import Connection, is_held_here
from restkit.connections.outgoing import OutgoingRequest
from restkit.connections.reply import Reply
from restkit.errors import ConnectTimeout, Error, RequestError, RequestTimeout, TransportError
from restkit.network.dial import dial
from restkit.network.route import Route
from restkit.timeouts import Deadline

MAX_IDLE = 50.0


class _Waiter:
    """Lets one thread sleep until another one wakes it, once."""

    # A lock and not an Event: an Event has a lock inside, which an interrupted thread may hold.
    def __init__(self) -> None:
        self._asleep = Lock()
        self._asleep.acquire()

    def wait(self, seconds: float | None) -> None:
        """Block until ``wake`` was called or the seconds are over; None waits forever."""
        self._asleep.acquire(timeout=-1 if seconds is None else min(seconds, TIMEOUT_MAX))

    def wake(self) -> None:
        """Wake the thread that waits, or will wait."""
        self._asleep.release()


class _Ticket(_Waiter):
    """A thread's place in the queue for a connection, where ``max_connections`` is reached.

    A served ticket counts as an open connection until its thread has opened one. ``connection``
    is an idle connection of the same route that the thread gets instead.
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


class ConnectionPool:
    """Opens connections, and keeps those that can be used again.

    ``size`` is the number of idle connections kept for one route. A connection that was idle for
    longer than ``max_idle`` seconds is closed instead of used. ``max_connections`` limits the
    connections that are open at a time: in use, idle, and being opened. A thread that needs one
    more waits in a queue, for at most ``Timeout.connect``; idle connections of other routes are
    closed for it, the oldest first. While a thread waits, no connection becomes idle: it is handed
    to the first in the queue, or closed so that the first can open its own. Upgraded connections
    (101, CONNECT) do not count. After a fork the child has an empty pool: the connections belong
    to its parent.
    """

    def __init__(
        self, size: int = 10, max_idle: float = MAX_IDLE, max_connections: int | None = None
    ) -> None:
        self._size = size
        self._max_idle = max_idle
        self._max_connections = max_connections
        self._swept_at = monotonic()
        self._clear()
        self.closed = False
        _pools.add(self)

    def _clear(self) -> None:
        # Re-entrant: the garbage collector may close an unread body inside any of these methods.
        self._lock = RLock()
        self._idle: dict[Route, deque[Connection]] = {}
        self._in_use: set[Connection] = set()
        self._sleeping: set[_Waiter] = set()
        self._queue: deque[_Ticket] = deque()
        # Weak sets: an object that an interrupted thread dropped disappears from them, and a
        # connection without references closes itself.
        self._upgraded: WeakSet[Connection] = WeakSet()
        self._acquired: WeakSet[Connection] = WeakSet()  # counted only with a limit
        self._opening: WeakSet[_Ticket] = WeakSet()

    # One request

    def send(
        self,
        request: OutgoingRequest,
        route: Route,
        deadline: Deadline,
        *,
        new_connection: bool = False,
    ) -> Reply:
        """Send a request on an idle connection, or on a new one, and return the reply.

        ``new_connection`` skips the idle ones. An idle connection that the server closed before a
        byte was sent on it is replaced by a new one; this does not count as an attempt.
        """
        if self.closed:
            raise RequestError("this Client is closed", sent="nothing")
        connection = self.open(route, deadline) if new_connection else self.acquire(route, deadline)
        reused = connection.used > 0
        try:
            return connection.send(request, deadline)
        except TransportError as error:
            error.on_reused_connection = reused
            if not (reused and self._is_unsent(connection, request, error)):
                raise
        return self.open(route, deadline).send(request, deadline)

    def _is_unsent(
        self, connection: Connection, request: OutgoingRequest, error: TransportError
    ) -> bool:
        """Whether the connection was lost before a byte of the request was sent on it."""
        exchange = connection.exchange
        if (
            exchange is None
            or exchange.sent_bytes
            or exchange.reading_payload
            or error.response_started
        ):
            return False
        return not (isinstance(error, RequestTimeout) or self.closed) and request.can_send

    def acquire(self, route: Route, deadline: Deadline) -> Connection:
        """Return an idle connection that is still open, or a new one.

        Raises what ``open`` raises. A new connection has ``used`` 0.
        """
        return self._take_idle(route) or self._open_or_wait(route, deadline, take_idle=True)

    def open(self, route: Route, deadline: Deadline) -> Connection:
        """Open a new connection. Blocks; raises what ``dial`` raises.

        With a limit it also raises ConnectTimeout or TotalTimeout, naming the limit, and
        TransportError when the pool is closed meanwhile.
        """
        return self._open_or_wait(route, deadline, take_idle=False)

    def _take_idle(self, route: Route) -> Connection | None:
        while True:
            with self._lock:
                idle = self._idle.get(route)
                if not idle:
                    return None
                connection = idle.pop()
                self._hand_out(connection)
            if monotonic() - connection.idle_since <= self._max_idle and connection.is_idle():
                return connection
            connection.close()
            self.forget(connection)  # close() does this only the first time

    def _hand_out(self, connection: Connection) -> None:
        """Mark a connection as in use. The lock is held.

        Until ``track``, only the calling thread has a reference to it. If that thread is
        interrupted, the connection is garbage collected and so closed.
        """
        if self._max_connections is not None:
            self._acquired.add(connection)
        connection.mark_in_use()

    # Connections

    def track(self, connection: Connection) -> None:
        """Register a connection that is about to be used, so that ``close`` can reach it."""
        with self._lock:
            self._in_use.add(connection)
            if self._max_connections is not None:
                self._acquired.discard(connection)
            closed = self.closed
        if closed:
            connection.abort()

    def can_release(self, connection: Connection) -> bool:
        """Whether ``release`` is possible: not inside another method, nor in a forked child."""
        return connection in self._in_use and not is_held_here(self._lock)

    def release(self, connection: Connection) -> None:
        """Take back a connection: hand it to the first in the queue, or keep it idle."""
        surplus: list[Connection] = []
        with self._lock:
            ticket = None if self._max_connections is None else self._next_ticket()
            if ticket is None:
                surplus = self._keep_idle(connection)
            elif ticket.route == connection.route and connection in self._in_use:
                self._hand_out(connection)
                self._in_use.discard(connection)
                ticket.serve(connection)
            else:
                self._queue.appendleft(ticket)
                connection.close()
        for extra in surplus:
            extra.close()

    def _next_ticket(self) -> _Ticket | None:
        # Not "if self._queue": a garbage collection in between may empty the queue.
        try:
            return self._queue.popleft()
        except IndexError:
            return None

    def _keep_idle(self, connection: Connection) -> list[Connection]:
        """Keep a connection idle; return those to close. The lock is held."""
        now = connection.idle_since
        surplus = self._take_expired(now) if now - self._swept_at > self._max_idle else []
        if connection not in self._in_use or self.closed:
            return [*surplus, connection]
        self._in_use.discard(connection)
        idle = self._idle.get(connection.route)
        if idle is None:
            idle = self._idle[connection.route] = deque()
        idle.append(connection)
        if len(idle) > self._size:
            surplus.append(idle.popleft())
        return surplus

    def _take_expired(self, now: float) -> list[Connection]:
        """Remove connections that were idle for too long, of any route. The lock is held."""
        self._swept_at = now
        expired: list[Connection] = []
        for route, idle in list(self._idle.items()):
            while idle and idle[0].idle_since < now - self._max_idle:
                expired.append(idle.popleft())
            if not idle:
                del self._idle[route]
        return expired

    def forget(self, connection: Connection) -> None:
        """Drop a closed connection; its slot goes to the first in the queue."""
        with self._lock:
            self._in_use.discard(connection)
            self._upgraded.discard(connection)
            if self._max_connections is not None:
                self._acquired.discard(connection)
                self._serve_queue()

    def track_upgraded(self, connection: Connection) -> None:
        """Register a connection that its caller may detach; until then ``close`` closes it."""
        with self._lock:
            self.forget(connection)
            self._upgraded.add(connection)
            closed = self.closed
        if closed:
            connection.close()

    # The limit on open connections

    def _open_or_wait(self, route: Route, deadline: Deadline, *, take_idle: bool) -> Connection:
        if self._max_connections is None:
            return Connection(dial(route, deadline), route, self)
        ticket = self._wait_in_queue(route if take_idle else None, deadline)
        connection = ticket.connection
        if connection is not None:
            if connection.is_idle():
                return connection
            with self._lock:
                self._opening.add(ticket)  # before its slot is given to another thread
            connection.close()
            self.forget(connection)
        try:
            connection = Connection(dial(route, deadline), route, self)
            with self._lock:
                self._acquired.add(connection)
            return connection
        finally:
            with self._lock:
                self._opening.discard(ticket)
                self._serve_queue()

    def _wait_in_queue(self, route: Route | None, deadline: Deadline) -> _Ticket:
        """Return a ticket that was served, at once or after waiting."""
        ticket = _Ticket(route)
        try:
            seconds = deadline.connect_seconds()
            with self._lock:
                self._check_open(deadline)
                self._close_idle_for_room()
                self._queue.append(ticket)
                self._serve_queue()
            try:
                ticket.wait(seconds)
            except BaseException:
                self._leave_queue(ticket)
                self._hand_slot_on(ticket)
                raise
            self._leave_queue(ticket)
            if not ticket.served:
                self._check_open(deadline)
                raise self._timeout_error(deadline)
        except Error as error:
            error.sent = "nothing"
            raise
        return ticket

    def _leave_queue(self, ticket: _Ticket) -> None:
        with self._lock:
            if ticket in self._queue:
                self._queue.remove(ticket)

    def _hand_slot_on(self, ticket: _Ticket) -> None:
        """Give the slot of an interrupted thread to the next thread in the queue."""
        if ticket.connection is not None:
            ticket.connection.close()
            self.forget(ticket.connection)
        with self._lock:
            self._opening.discard(ticket)
            self._serve_queue()

    def _check_open(self, deadline: Deadline) -> None:
        if self.closed:
            raise TransportError(
                f"{deadline.peer}: the Client was closed while this call waited for a connection"
            )

    def _timeout_error(self, deadline: Deadline) -> Error:
        limit = f"one of the {self._max_connections} connections that max_connections allows"
        try:
            deadline.remaining(f"waiting for {limit}")
        except Error as total:
            return total
        return ConnectTimeout(
            f"{deadline.peer}: still waiting for {limit} after {deadline.timeout.connect:g} s "
            "(Timeout.connect); a response that is neither read to its end nor closed keeps its "
            "connection"
        )

    def _close_idle_for_room(self) -> None:
        """Close the oldest idle connections until one more may be opened. The lock is held."""
        assert self._max_connections is not None
        while self._count_open() >= self._max_connections:
            idle = [each for each in self._idle.values() if each]
            if not idle:
                break
            min(idle, key=lambda each: each[0].idle_since).popleft().close()

    def _count_open(self) -> int:
        opening = len(self._opening) + len(self._acquired)
        return len(self._in_use) + opening + self.count_idle()

    def _serve_queue(self) -> None:
        """Give free slots to the threads in the queue. The lock is held.

        A garbage collection may close an unread body during this call, and so call it again. So
        each slot is taken first and checked afterwards; none is given out twice.
        """
        limit = self._max_connections
        while self._queue and limit is not None and self._count_open() < limit:
            self._serve_first(limit)

    def _serve_first(self, limit: int) -> None:
        # A separate function, so that no local variable holds the ticket afterwards. If its thread
        # was interrupted, the ticket must disappear, and its slot with it.
        ticket = self._queue.popleft()
        self._opening.add(ticket)
        if self._count_open() <= limit:
            ticket.serve(None)
        else:
            self._opening.discard(ticket)
            self._queue.appendleft(ticket)

    # Closing

    def close(self) -> None:
        """Close idle connections, and wake and abort those in use; from any thread."""
        with self._lock:
            self.closed = True
            unused = [connection for idle in self._idle.values() for connection in idle]
            unused += self._upgraded
            in_use = list(self._in_use)
            waiting: list[_Waiter] = [*self._sleeping, *self._queue]
            self._idle.clear()
            self._sleeping.clear()
            self._queue.clear()
        for connection in unused:
            connection.close()
        for connection in in_use:
            connection.abort()
        for waiter in waiting:
            waiter.wake()

    def sleep_unless_closed(self, seconds: float) -> bool:
        """Sleep until the seconds are over or the pool is closed; return whether it is closed."""
        waiter = _Waiter()
        with self._lock:
            if self.closed:
                return True
            self._sleeping.add(waiter)
        try:
            waiter.wait(seconds)
        finally:
            with self._lock:
                self._sleeping.discard(waiter)
        return self.closed

    def count_idle(self) -> int:
        """Return the number of idle connections."""
        with self._lock:
            return sum(len(idle) for idle in self._idle.values())

    def clear_after_fork(self) -> None:
        """Close the copies of the parent's connections in the child of a fork."""
        copies = [connection for idle in self._idle.values() for connection in idle]
        self._clear()
        for connection in copies:
            connection.close()

    def __del__(self) -> None:
        for idle in self._idle.values():
            for connection in idle:
                connection.close()

    def __repr__(self) -> str:
        with self._lock:
            text = f"<ConnectionPool, {self.count_idle()} idle, {len(self._in_use)} in use"
            if self._max_connections is None:
                return f"{text}>"
            return (
                f"{text}, {len(self._opening)} being opened, {len(self._queue)} waiting, "
                f"{self._max_connections} at most>"
            )


_pools: WeakSet[ConnectionPool] = WeakSet()


def _clear_pools_after_fork() -> None:
    for pool in list(_pools):
        pool.clear_after_fork()


os.register_at_fork(after_in_child=_clear_pools_after_fork)
