"""Idle connections by route, and the limit on open connections.

Connections by route, in use and at rest: newest first, safe for threads and forks.

A bound on open connections: who wants one more waits, and is served in order of coming.
"""

from __future__ import annotations

import os
from collections import deque
from threading import TIMEOUT_MAX, Lock, RLock
from time import monotonic
from typing import TYPE_CHECKING
from weakref import WeakSet

from restkit.connections.connection import Connection
from restkit.errors import ConnectTimeout, Error, TransportError
from restkit.network.dial import dial

if TYPE_CHECKING:
    from restkit.network.route import Route
    from restkit.timeouts import Deadline


MAX_IDLE = 50.0


class Waiter:
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
        self._asleep: set[Waiter] = set()

    def take(self, route: Route, clock: Deadline) -> Connection:
        """A connection that has rested, checked and fit for use; a new one where there is none.

        Raises what ``open`` raises. One that is new has ``used`` at 0.
        """
        return self._rested(route) or self.open(route, clock)

    def open(self, route: Route, clock: Deadline) -> Connection:
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
        bell = Waiter()
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


def pool_of(size: int, max_idle: float = MAX_IDLE, max_open: int | None = None) -> Pool:
    """A pool, with a bound on what is open where there is one."""
    return Pool(size, max_idle) if max_open is None else LimitedPool(size, max_idle, max_open)


class _Turn(Waiter):
    """One who waits: for a place, in which to open a connection, or for one of this route.

    ``connection`` is what came to rest just then and was handed over. While a turn that has been
    served lives it stands for the connection to be opened: however the opening ends, it goes.
    """

    def __init__(self, route: Route | None) -> None:
        super().__init__()
        self.route = route
        self.served = False
        self.connection: Connection | None = None

    def serve(self, connection: Connection | None) -> None:
        self.connection = connection
        self.served = True
        self.ring()


class LimitedPool(Pool):
    """A pool of at most ``max_open`` connections: in use, at rest, on the way, and being opened.

    One that rests is closed where its place is wanted, the oldest first. While somebody waits
    nothing comes to rest: it is handed to the first of them, or closed so that he can open his
    own. A connection that was given away (101, CONNECT) counts no more.
    """

    def __init__(self, size: int, max_idle: float, max_open: int) -> None:
        self._max_open = max_open
        super().__init__(size, max_idle)

    def _start_empty(self) -> None:
        super()._start_empty()
        self._waiting: deque[_Turn] = deque()
        # Not held, either of them: see Pool._hand_out.
        self._opening: WeakSet[_Turn] = WeakSet()
        self._taken: WeakSet[Connection] = WeakSet()

    def take(self, route: Route, clock: Deadline) -> Connection:
        """As without a bound; waits for ``Timeout.connect`` at most, before the clock of dialing.

        Raises ConnectTimeout, or TotalTimeout, naming the bound; TransportError when the pool
        is closed meanwhile.
        """
        rested = self._rested(route)
        if rested is not None:
            return rested
        turn = self._turn(route, clock)
        connection = turn.connection
        if connection is not None:
            if connection.quiet():
                return connection
            with self._lock:
                self._opening.add(turn)  # before its place is given to somebody else
            connection.close()
            self.forget(connection)
        return self._open(turn, route, clock)

    def open(self, route: Route, clock: Deadline) -> Connection:
        """As without a bound; waits, and raises, as ``take`` does."""
        return self._open(self._turn(None, clock), route, clock)

    def _open(self, turn: _Turn, route: Route, clock: Deadline) -> Connection:
        try:
            connection = super().open(route, clock)
            with self._lock:
                self._taken.add(connection)
            return connection
        finally:
            with self._lock:
                self._opening.discard(turn)
                self._serve()

    # Waiting

    def _turn(self, route: Route | None, clock: Deadline) -> _Turn:
        """A turn that has been served, at once or after waiting."""
        turn = _Turn(route)
        try:
            seconds = clock.connect_seconds()
            with self._lock:
                self._refuse_if_closed(clock)
                self._make_room()
                self._waiting.append(turn)
                self._serve()
            self._wait(turn, seconds)
            if not turn.served:
                self._refuse_if_closed(clock)
                raise self._too_late(clock)
        except Error as error:
            error.sent = "nothing"
            raise
        return turn

    def _wait(self, turn: _Turn, seconds: float | None) -> None:
        try:
            turn.wait(seconds)
        except BaseException:
            self._withdraw(turn)
            self._pass_on(turn)
            raise
        self._withdraw(turn)

    def _withdraw(self, turn: _Turn) -> None:
        with self._lock:
            if turn in self._waiting:
                self._waiting.remove(turn)

    def _pass_on(self, turn: _Turn) -> None:
        """Give what one who was interrupted has been served to the next who waits."""
        if turn.connection is not None:
            turn.connection.close()
            self.forget(turn.connection)
        with self._lock:
            self._opening.discard(turn)
            self._serve()

    def _refuse_if_closed(self, clock: Deadline) -> None:
        if self.closed:
            raise TransportError(
                f"{clock.peer}: closed from this side while waiting for a connection"
            )

    def _too_late(self, clock: Deadline) -> Error:
        bound = f"one of the {self._max_open} connections that max_connections allows"
        try:
            clock.remaining(f"waiting for {bound}")
        except Error as total:
            return total
        return ConnectTimeout(
            f"{clock.peer}: still waiting for {bound} when the {clock.timeout.connect:g} s of "
            "Timeout.connect were over; one whose answer is neither read to its end nor closed "
            "stays in use"
        )

    # Serving; the lock is held

    def _make_room(self) -> None:
        """Close the oldest at rest where there would be one too many."""
        while self._open_now() >= self._max_open:
            routes = [resting for resting in self._resting.values() if resting]
            if not routes:
                break
            min(routes, key=lambda resting: resting[0].rested_at).popleft().close()

    def _open_now(self) -> int:
        on_the_way = len(self._opening) + len(self._taken)
        return len(self._in_use) + on_the_way + self.resting()

    def _serve(self) -> None:
        """Give free places to those who wait.

        The garbage collector may close a dropped body in the middle of this, and so come here
        again: a place is taken first and looked at then, so that none is given out twice.
        """
        while self._waiting and self._open_now() < self._max_open:
            self._serve_first()

    def _serve_first(self) -> None:
        turn = self._waiting.popleft()
        self._opening.add(turn)
        if self._open_now() <= self._max_open:
            turn.serve(None)
        else:
            self._opening.discard(turn)
            self._waiting.appendleft(turn)

    def _hand_out(self, connection: Connection) -> None:
        self._taken.add(connection)
        super()._hand_out(connection)

    def hold(self, connection: Connection) -> None:
        """Know of a connection that begins to be used."""
        with self._lock:
            super().hold(connection)
            self._taken.discard(connection)

    def put(self, connection: Connection) -> None:
        """Hand a connection to the first who waits; let it rest where nobody does."""
        with self._lock:
            try:
                turn = self._waiting.popleft()
            except IndexError:
                super().put(connection)
                return
            if turn.route == connection.route and connection in self._in_use:
                self._hand_out(connection)
                self._in_use.discard(connection)
                turn.serve(connection)
            else:
                self._waiting.appendleft(turn)
                connection.close()

    def forget(self, connection: Connection) -> None:
        """Know that a connection is closed; its place goes to the first who waits."""
        with self._lock:
            super().forget(connection)
            self._taken.discard(connection)
            self._serve()

    def close(self) -> None:
        """As without a bound; whoever waits gets an error at once."""
        with self._lock:
            self.closed = True
            waiting = list(self._waiting)
            self._waiting.clear()
        super().close()
        for turn in waiting:
            turn.ring()

    def __repr__(self) -> str:
        with self._lock:
            return (
                f"{super().__repr__()[:-1]}, {len(self._opening)} being opened, "
                f"{len(self._waiting)} waiting, {self._max_open} at most>"
            )
