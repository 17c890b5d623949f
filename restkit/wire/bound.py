"""A bound on open connections: who wants one more waits, and is served in order of coming."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING
from weakref import WeakSet

from restkit.errors import ConnectTimeout, Error, TransportError
from restkit.wire.pool import MAX_IDLE, Bell, Pool

if TYPE_CHECKING:
    from restkit.timeouts import Clock
    from restkit.wire.connection import Connection
    from restkit.wire.route import Route


def pool_of(size: int, max_idle: float = MAX_IDLE, max_open: int | None = None) -> Pool:
    """A pool, with a bound on what is open where there is one."""
    return Pool(size, max_idle) if max_open is None else BoundedPool(size, max_idle, max_open)


class _Turn(Bell):
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


class BoundedPool(Pool):
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

    def take(self, route: Route, clock: Clock) -> Connection:
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

    def open(self, route: Route, clock: Clock) -> Connection:
        """As without a bound; waits, and raises, as ``take`` does."""
        return self._open(self._turn(None, clock), route, clock)

    def _open(self, turn: _Turn, route: Route, clock: Clock) -> Connection:
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

    def _turn(self, route: Route | None, clock: Clock) -> _Turn:
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

    def _refuse_if_closed(self, clock: Clock) -> None:
        if self.closed:
            raise TransportError(
                f"{clock.where}: closed from this side while waiting for a connection"
            )

    def _too_late(self, clock: Clock) -> Error:
        bound = f"one of the {self._max_open} connections that max_connections allows"
        try:
            clock.left(f"waiting for {bound}")
        except Error as total:
            return total
        return ConnectTimeout(
            f"{clock.where}: still waiting for {bound} when the {clock.timeout.connect:g} s of "
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
