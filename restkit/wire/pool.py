"""Connections by route, in use and at rest: newest first, safe for threads and forks."""

from __future__ import annotations

import os
from collections import deque
from threading import TIMEOUT_MAX, Lock, RLock
from time import monotonic
from typing import TYPE_CHECKING
from weakref import WeakSet

from restkit.wire.connection import Connection
from restkit.wire.dial import dial

if TYPE_CHECKING:
    from restkit.timeouts import Clock
    from restkit.wire.route import Route

MAX_IDLE = 50.0


class Bell:
    """What one thread waits for, and another one rings, once."""

    # Not an Event: a lock has nothing inside that a signal's handler could find taken.
    def __init__(self) -> None:
        self._silence = Lock()
        self._silence.acquire()

    def wait(self, seconds: float | None) -> None:
        """Block until it has rung, or the seconds are over; None waits for ever."""
        self._silence.acquire(timeout=-1 if seconds is None else min(seconds, TIMEOUT_MAX))

    def ring(self) -> None:
        """Wake who waits, or who will."""
        self._silence.release()


class Pool:
    """Opens connections, and keeps what may be used again, at most ``size`` for a route.

    The newest goes out first, so that the others can grow old and be let go; one that has
    rested for longer than ``max_idle`` seconds is closed rather than used. After a fork the
    child begins with none: the connections are its parent's.
    """

    def __init__(self, size: int = 10, max_idle: float = MAX_IDLE) -> None:
        self._size = size
        self._max_idle = max_idle
        self._swept_at = monotonic()
        self._start_empty()
        self.closed = False
        _pools.add(self)

    def _start_empty(self) -> None:
        # Re-entrant: the garbage collector may close a dropped body in the middle of any of this.
        self._lock = RLock()
        self._resting: dict[Route, deque[Connection]] = {}
        self._in_use: set[Connection] = set()
        # Whoever drops one of these closes it: nothing here keeps it.
        self._let_out: WeakSet[Connection] = WeakSet()
        self._asleep: set[Bell] = set()

    def take(self, route: Route, clock: Clock) -> Connection:
        """A connection that has rested, checked and fit for use; a new one where there is none.

        Raises what ``open`` raises. One that is new has ``used`` at 0.
        """
        return self._rested(route) or self.open(route, clock)

    def open(self, route: Route, clock: Clock) -> Connection:
        """A new connection; blocks, and raises what ``dial`` raises."""
        return Connection(dial(route, clock), route, self)

    def _rested(self, route: Route) -> Connection | None:
        while True:
            with self._lock:
                resting = self._resting.get(route)
                if not resting:
                    return None
                connection = resting.pop()
                self._hand_out(connection)
            if monotonic() - connection.rested_at <= self._max_idle and connection.quiet():
                return connection
            connection.close()
            self.forget(connection)  # which one that was closed already does not do

    def _hand_out(self, connection: Connection) -> None:
        """Let a connection go; the lock is held.

        It is nobody's but the taker's until it is used: wherever an interrupt lets go of it, it
        ends by itself.
        """
        connection.take_up()

    def hold(self, connection: Connection) -> None:
        """Know of a connection that begins to be used, so that ``close`` can reach it."""
        with self._lock:
            self._in_use.add(connection)
            late = self.closed
        if late:
            connection.abort()

    def put(self, connection: Connection) -> None:
        """Let a connection rest; the oldest goes when there are too many."""
        with self._lock:
            due = connection.rested_at - self._swept_at > self._max_idle
            surplus = self._grown_old(connection.rested_at) if due else []
            if connection not in self._in_use or self.closed:
                surplus.append(connection)
            else:
                self._in_use.discard(connection)
                resting = self._resting.get(connection.route)
                if resting is None:
                    resting = self._resting[connection.route] = deque()
                resting.append(connection)
                if len(resting) > self._size:
                    surplus.append(resting.popleft())
        for one in surplus:
            one.close()

    def _grown_old(self, now: float) -> list[Connection]:
        """Take out what nobody came back for, so that routes once used hold no descriptors."""
        self._swept_at = now
        too_old = now - self._max_idle
        old: list[Connection] = []
        for route, resting in list(self._resting.items()):
            while resting and resting[0].rested_at < too_old:
                old.append(resting.popleft())
            if not resting:
                del self._resting[route]
        return old

    def forget(self, connection: Connection) -> None:
        """Know that a connection is closed."""
        with self._lock:
            self._in_use.discard(connection)
            self._let_out.discard(connection)

    def let_out(self, connection: Connection) -> None:
        """Know that one comes back no more: ``close`` closes it, unless its socket is taken."""
        with self._lock:
            self.forget(connection)
            self._let_out.add(connection)
            late = self.closed
        if late:
            connection.close()

    def close(self) -> None:
        """Close those at rest, and wake and end those in use, from any thread."""
        with self._lock:
            self.closed = True
            unused = [one for route in self._resting.values() for one in route]
            unused += self._let_out
            in_use = list(self._in_use)
            asleep = list(self._asleep)
            self._resting.clear()
            self._asleep.clear()
        for connection in unused:
            connection.close()
        for connection in in_use:
            connection.abort()
        for bell in asleep:
            bell.ring()

    def wait(self, seconds: float) -> bool:
        """Sleep until the seconds are over, or the pool is closed; whether it is."""
        bell = Bell()
        with self._lock:
            if self.closed:
                return True
            self._asleep.add(bell)
        try:
            bell.wait(seconds)
        finally:
            with self._lock:
                self._asleep.discard(bell)
        return self.closed

    def resting(self) -> int:
        """How many connections rest here now."""
        with self._lock:
            return sum(len(route) for route in self._resting.values())

    def leave_to_parent(self) -> None:
        """In the child of a fork: drop the copies of what is the parent's, without a word."""
        resting = [one for route in self._resting.values() for one in route]
        self._start_empty()
        for connection in resting:
            connection.close()

    def __del__(self) -> None:
        for route in self._resting.values():
            for connection in route:
                connection.close()

    def __repr__(self) -> str:
        return f"<Pool, {self.resting()} at rest, {len(self._in_use)} in use>"


_pools: WeakSet[Pool] = WeakSet()


def _after_fork_in_child() -> None:
    for pool in list(_pools):
        pool.leave_to_parent()


os.register_at_fork(after_in_child=_after_fork_in_child)
