"""The connections of a Client: it opens them, sends on them, keeps them idle and closes them.

A pool is safe for threads, forks, signal handlers and the garbage collector.
"""

from __future__ import annotations

from collections.abc import Sequence
from os import getpid
from threading import RLock
from time import monotonic
from weakref import WeakSet

from restkit.connections.connection import Connection, is_held_here
from restkit.connections.idle import IdleConnections
from restkit.connections.outgoing import OutgoingRequest
from restkit.connections.reply import Reply
from restkit.connections.unread import add_unread
from restkit.connections.wait_queue import Waiter, WaitQueue
from restkit.errors import Error, RequestError, RequestTimeout, TransportError
from restkit.io.processes import run_in_forked_child
from restkit.io.sockets import lacks_descriptor
from restkit.network.dial import Dialed, dial
from restkit.network.route import Route
from restkit.timeouts import Deadline

MAX_IDLE = 50.0
MAX_IDLE_CONNECTIONS = 100


class ConnectionPool:
    """Opens connections, and keeps those that can be used again.

    ``size`` bounds the idle connections of one origin, ``max_idle_connections`` those of all
    origins; None is 100, or ``size`` if that is more. A connection that was idle for longer than
    ``max_idle`` seconds is closed instead of used.

    ``max_connections`` limits the connections that are open at a time: in use, idle, and being
    opened. Upgraded connections (101, CONNECT) do not count. If a thread needs one more, the pool
    closes the oldest idle connections of other routes. If there are none, the thread waits in a
    queue, for at most ``Timeout.connect``. While a thread waits, no connection becomes idle: the
    first thread in the queue gets it, or it is closed so that this thread can open its own.

    After a fork the child has an empty pool: the connections belong to its parent.
    """

    def __init__(
        self,
        size: int = 10,
        max_idle: float = MAX_IDLE,
        max_connections: int | None = None,
        max_idle_connections: int | None = None,
    ) -> None:
        if max_idle_connections is None:
            max_idle_connections = max(MAX_IDLE_CONNECTIONS, size)
        self._idle_bounds = (size, max_idle_connections, max_idle)
        self._max_idle = max_idle
        self._max_connections = max_connections
        self._clear()
        self.closed = False
        self._aborted = False
        _pools.add(self)

    def _clear(self) -> None:
        # Re-entrant: the garbage collector may close an unread body inside any of these methods.
        self._lock = RLock()
        # In a forked child, finalizers may run before the pool is cleared.
        self._process = getpid()
        self._idle = IdleConnections(*self._idle_bounds)
        self._in_use: set[Connection] = set()
        self._sleeping: set[Waiter] = set()
        # A weak set: an object that an interrupted thread dropped disappears from it, and a
        # connection without references closes itself.
        self._upgraded: WeakSet[Connection] = WeakSet()
        limit = self._max_connections
        self._queue = (
            None if limit is None else WaitQueue(limit, self._lock, self._in_use, self._idle)
        )

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
        return not (isinstance(error, RequestTimeout) or self._aborted) and request.can_send

    def acquire(self, route: Route, deadline: Deadline) -> Connection:
        """Return an idle connection that is still open, or a new one.

        Raises what ``open`` raises. A new connection has ``used`` 0.
        """
        if route.network.address_check is not None or route.proxy is not None:
            key = route.key
            if key is not route:
                return self._take_allowed(route, key) or self._open_or_wait(
                    route, deadline, take_idle=True
                )
        while True:
            with self._lock:
                connection = self._idle.take(route)
                if connection is None:
                    break
                if self._queue is not None:
                    self._queue.hand_out(connection)
                connection.in_use = True
            if monotonic() - connection.idle_since <= self._max_idle and connection.is_idle():
                return connection
            self._discard(connection)
        return self._open_or_wait(route, deadline, take_idle=True)

    def open(self, route: Route, deadline: Deadline) -> Connection:
        """Open a new connection. Blocks; raises what ``dial`` raises.

        With a limit it also raises ConnectTimeout or TotalTimeout, naming the limit, and
        TransportError when the pool is closed meanwhile.
        """
        return self._open_or_wait(route, deadline, take_idle=False)

    def _take_allowed(self, route: Route, key: Route) -> Connection | None:
        """Return an idle connection that the address checks of a route allow.

        The checks are called without the lock. A connection that they reject stays idle, for other
        calls.
        """
        with self._lock:
            idle = self._idle.list_of(key)
        for connection in idle:
            if not connection.is_allowed_by(route):
                continue
            with self._lock:
                if not self._idle.remove(connection):
                    continue
                self._hand_out(connection)
            if monotonic() - connection.idle_since <= self._max_idle and connection.is_idle():
                return connection
            self._discard(connection)
        return None

    def _discard(self, connection: Connection) -> None:
        connection.close()
        self.forget(connection)  # close() does this only the first time

    def _hand_out(self, connection: Connection) -> None:
        """Mark a connection as in use. The lock is held.

        Until ``track``, only the calling thread has a reference to it. If that thread is
        interrupted, the connection is garbage collected and so closed.
        """
        if self._queue is not None:
            self._queue.hand_out(connection)
        connection.in_use = True

    # Connections

    def track(self, connection: Connection) -> None:
        """Register a connection that is about to be used, so that ``close`` can reach it."""
        with self._lock:
            self._in_use.add(connection)
            if self._queue is not None:
                self._queue.begin_use(connection)
            aborted = self._aborted
        if aborted:
            connection.abort()

    def can_release(self, connection: Connection) -> bool:
        """Whether ``release`` is possible: not inside another method, nor in a forked child."""
        is_own = self._process == getpid() and connection in self._in_use
        return is_own and not is_held_here(self._lock)

    def release(self, connection: Connection) -> None:
        """Take back a connection: hand it to the first in the queue, or keep it idle."""
        surplus: Sequence[Connection] = ()
        with self._lock:
            queue = self._queue
            if queue is None or (ticket := queue.take_first()) is None:
                if connection in self._in_use and not self.closed:
                    self._in_use.discard(connection)
                    surplus = self._idle.put(connection)
                else:
                    surplus = (connection,)
            elif ticket.route == connection.route and connection in self._in_use:
                self._hand_out(connection)
                self._in_use.discard(connection)
                ticket.serve(connection)
            else:
                queue.put_back(ticket)
                connection.close()
        for extra in surplus:
            extra.close()

    def take_back_interrupted(self, connection: Connection) -> None:
        """Close a connection whose ``release`` was interrupted, if it was not taken back.

        A connection that another thread has taken meanwhile is in an exchange.
        """
        with self._lock:
            is_lost = connection in self._in_use and connection.exchange is None
        if is_lost:
            connection.close()

    def forget(self, connection: Connection) -> None:
        """Drop a closed connection; its slot goes to the first in the queue."""
        with self._lock:
            self._in_use.discard(connection)
            self._upgraded.discard(connection)
            if self._queue is not None:
                self._queue.forget(connection)

    def track_upgraded(self, connection: Connection) -> None:
        """Register a connection that its caller may detach; until then ``close`` may abort it."""
        with self._lock:
            self.forget(connection)
            self._upgraded.add(connection)
            aborted = self._aborted
        if aborted:
            connection.close()

    # New connections

    def _open_or_wait(self, route: Route, deadline: Deadline, *, take_idle: bool) -> Connection:
        queue = self._queue
        if queue is None:
            return Connection(self._dial(route, deadline), route.key, self)
        ticket = queue.wait(route.key if take_idle else None, deadline)
        connection = ticket.connection
        if connection is not None:
            if self._is_allowed(connection, route) and connection.is_idle():
                return connection
            with self._lock:
                queue.begin_opening(ticket)  # before its slot is given to another thread
            self._discard(connection)
        try:
            connection = Connection(self._dial(route, deadline), route.key, self)
            with self._lock:
                queue.hand_out(connection)
            return connection
        finally:
            with self._lock:
                queue.end_opening(ticket)

    def _is_allowed(self, connection: Connection, route: Route) -> bool:
        """Return whether the address checks of a route allow a connection from the queue."""
        try:
            return route.key is route or connection.is_allowed_by(route)
        except BaseException:
            self._discard(connection)  # no other thread has it, and its slot is needed
            raise

    def _dial(self, route: Route, deadline: Deadline) -> Dialed:
        """Open a connection; close the idle ones and try again if no file descriptor is free."""
        try:
            return dial(route, deadline)
        except Error as error:
            if not lacks_descriptor(error):
                raise
            if not self._close_idle():
                self._explain_descriptors(error)
                raise
        try:
            return dial(route, deadline)
        except Error as error:
            if lacks_descriptor(error):
                self._explain_descriptors(error)
            raise

    def _close_idle(self) -> bool:
        """Close all idle connections; return whether there were any."""
        with self._lock:
            idle = self._idle.take_all()
        for connection in idle:
            connection.close()
        return bool(idle)

    def _explain_descriptors(self, error: Error) -> None:
        error.message += (
            "; no file descriptor is free, and this Client has no idle connection left to close: "
            "read or close responses, close files, or raise the limit of the process (ulimit -n)"
        )
        with self._lock:
            in_use = list(self._in_use)
        error.args = (error.message,)
        add_unread(error, in_use)

    # Closing

    def close(self, *, abort: bool = False) -> None:
        """Close idle connections, and wake the threads that wait for a connection or a retry.

        Connections in use and upgraded ones stay open. They are closed at the end of their response
        instead of kept idle. ``abort`` closes them too, and wakes the threads that wait on them.
        May be called by any thread.
        """
        with self._lock:
            self.closed = True
            unused = self._idle.take_all()
            in_use: list[Connection] = []
            if abort:
                self._aborted = True
                unused += self._upgraded
                in_use += self._in_use
            waiting: list[Waiter] = [*self._sleeping]
            if self._queue is not None:
                waiting += self._queue.close()
            self._sleeping.clear()
        for connection in unused:
            connection.close()
        for connection in in_use:
            connection.abort()
        for waiter in waiting:
            waiter.wake()

    def sleep_unless_closed(self, seconds: float) -> bool:
        """Sleep until the seconds are over or the pool is closed; return whether it is closed."""
        waiter = Waiter()
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
            return len(self._idle)

    def clear_after_fork(self) -> None:
        """Close the copies of the parent's connections in the child of a fork."""
        copies = self._idle.take_all()
        self._clear()
        for connection in copies:
            connection.close()

    def __del__(self) -> None:
        for connection in self._idle.take_all():
            connection.close()

    def __repr__(self) -> str:
        with self._lock:
            text = f"<ConnectionPool, {len(self._idle)} idle, {len(self._in_use)} in use"
            return f"{text}>" if self._queue is None else f"{text}, {self._queue!r}>"


_pools: WeakSet[ConnectionPool] = WeakSet()


def _clear_pools_after_fork() -> None:
    for pool in list(_pools):
        pool.clear_after_fork()


run_in_forked_child(_clear_pools_after_fork)
