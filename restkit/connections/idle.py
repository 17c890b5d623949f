"""The idle connections of a pool, with a bound for each origin and one for all of them."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from time import monotonic
from typing import TypeAlias

from restkit.connections.connection import Connection
from restkit.network.route import Route

_Origin: TypeAlias = tuple[object, ...]


class IdleConnections:
    """Keeps idle connections by origin. The newest is used first, the oldest is closed first.

    ``per_origin`` bounds the connections of one origin, whatever their proxies and TLS options are.
    ``total`` bounds all of them. A connection that was idle for longer than ``max_idle`` seconds
    has expired. The pool holds its lock during each call. The methods do not close connections;
    they return those that the pool must close.
    """

    # A garbage collection between any two lines may add connections. An interrupt may leave a
    # connection in only one of the two orders. So each order is changed by single operations.
    def __init__(self, per_origin: int, total: int, max_idle: float) -> None:
        self._per_origin = per_origin
        self._total = total
        self._max_idle = max_idle
        self._by_age: dict[Connection, None] = {}
        self._by_origin: dict[_Origin, deque[Connection]] = {}
        self._swept_at = monotonic()

    def put(self, connection: Connection) -> Sequence[Connection]:
        """Keep a connection; return those that exceed a bound or have expired."""
        now = connection.idle_since
        surplus: Sequence[Connection] = ()
        if now - self._swept_at > self._max_idle:
            surplus = self._take_expired(now)
        idle = self._by_origin.get(connection.origin)
        if idle is None:
            idle = self._by_origin[connection.origin] = deque()
        self._by_age[connection] = None
        idle.append(connection)
        if len(idle) > self._per_origin:
            oldest = idle.popleft()
            self._by_age.pop(oldest, None)
            surplus = (*surplus, oldest)
        elif len(self._by_age) > self._total:
            surplus = (*surplus, *self.take_oldest())
        return surplus

    def take(self, route: Route) -> Connection | None:
        """Remove and return the newest connection of a route; it may have expired."""
        idle = self._by_origin.get(route[:3])
        if not idle:
            return None
        connection = idle.pop()
        if connection.route == route:
            self._by_age.pop(connection, None)
            return connection
        idle.append(connection)
        return next((each for each in self.list_of(route) if self.remove(each)), None)

    def list_of(self, route: Route) -> list[Connection]:
        """Return the connections of a route, the newest first. They stay idle."""
        idle = list(self._by_origin.get(route[:3], ()))
        return [each for each in reversed(idle) if each.route == route]

    def remove(self, connection: Connection) -> bool:
        """Remove a connection; return whether it was idle."""
        self._by_age.pop(connection, None)
        idle = self._by_origin.get(connection.origin)
        if idle is None or connection not in idle:
            return False
        idle.remove(connection)
        if not idle:
            self._by_origin.pop(connection.origin, None)
        return True

    def take_oldest(self) -> list[Connection]:
        """Remove the connection that was idle for the longest time; return it, if there is one."""
        for oldest in self._by_age:
            self.remove(oldest)
            return [oldest]
        return []

    def take_all(self) -> list[Connection]:
        """Remove and return all connections."""
        by_age, self._by_age = self._by_age, {}
        by_origin, self._by_origin = self._by_origin, {}
        for idle in by_origin.values():
            by_age.update(dict.fromkeys(idle))
        return list(by_age)

    def _take_expired(self, now: float) -> list[Connection]:
        """Remove connections that were idle for too long, of any origin."""
        self._swept_at = now
        expired = []
        for connection in list(self._by_age):
            if now - connection.idle_since <= self._max_idle:
                break
            self.remove(connection)
            expired.append(connection)
        for origin, idle in list(self._by_origin.items()):
            if not idle:
                self._by_origin.pop(origin, None)
        return expired

    def __len__(self) -> int:
        return len(self._by_age)
