"""Connection: one socket, which runs one exchange at a time."""

from __future__ import annotations

import socket
from abc import abstractmethod
from threading import Condition, RLock
from time import monotonic, perf_counter
from typing import Protocol
from weakref import WeakSet, ref

from restkit.connections.exchange import Exchange
from restkit.connections.outgoing import OutgoingRequest
from restkit.connections.reply import LiveBody, Reply
from restkit.errors import Error, TransportError
from restkit.http1.response_head import ResponseHead
from restkit.io.buffers import join_chunks
from restkit.io.processes import run_in_forked_child
from restkit.network.dial import Dialed
from restkit.network.race import checks_allow
from restkit.network.route import Route
from restkit.network.transport import make_transport
from restkit.timeouts import Deadline


class ConnectionOwner(Protocol):
    """The methods of the pool that a connection calls."""

    def track(self, connection: Connection) -> None:
        """Register a connection that is about to be used; abort it when the pool is closed."""

    @abstractmethod
    def can_release(self, connection: Connection) -> bool:
        """Whether a finalizer or a signal handler may call ``release`` here."""

    def release(self, connection: Connection) -> None:
        """Take back a connection that may be used again."""

    def take_back_interrupted(self, connection: Connection) -> None:
        """Close a connection whose ``release`` was interrupted, if it was not taken back."""

    def forget(self, connection: Connection) -> None:
        """Drop a connection that is closed."""

    def track_upgraded(self, connection: Connection) -> None:
        """Register a connection that is handed over to the caller."""


class Connection:
    """A connection that is in use or idle. Any thread may call ``close()`` at any time.

    ``used`` counts its exchanges; ``idle_since`` is a time of ``time.monotonic``. ``in_use`` is set
    by the thread that takes the connection from the idle ones.
    """

    __slots__ = (
        "__weakref__",
        "_opened",
        "_origin_address",
        "_owner",
        "_transport",
        "closed",
        "exchange",
        "idle_since",
        "in_use",
        "origin",
        "route",
        "used",
    )

    def __init__(self, dialed: Dialed, route: Route, owner: ConnectionOwner) -> None:
        self._transport = make_transport(dialed.sock, route.description)
        # A weak reference: an unused pool ends at once, and its idle connections with it.
        self._owner = ref(owner)
        self._opened: tuple[float | None, float | None] = (dialed.connected, dialed.secured)
        self._origin_address = dialed.origin_address
        self.in_use = True
        self.route = route
        self.origin = route[:3]
        self.closed = False
        self.used = 0
        self.idle_since = 0.0
        self.exchange: Exchange | None = None
        _connections.add(self)

    def is_allowed_by(self, route: Route) -> bool:
        """Call the address checks of a route; return whether they allow this connection.

        Raises the exceptions of the checks.
        """
        try:
            address = self._transport.peer_address()
        except OSError:  # closed meanwhile
            return False
        return checks_allow(route, address, self._origin_address)

    # One exchange

    def is_idle(self) -> bool:
        """Whether an idle connection can be used: it is open, and nothing was received."""
        return not self.closed and self._transport.is_idle()

    def send(self, request: OutgoingRequest, deadline: Deadline) -> Reply:
        """Send a request and read until its final head is received.

        Closes the connection on any exception, including those of the payload's source.
        ``exchange`` then holds how much was sent.
        """
        exchange = Exchange(self._transport, request, deadline, reused=self.used > 0)
        self.exchange = exchange
        self.used += 1
        try:
            owner = self._owner()
            if owner is not None:
                owner.track(self)
            head = exchange.run()
            return self._make_reply(exchange, head, request.method, deadline)
        except BaseException as exc:
            try:
                self.close()
            except BaseException:
                self.close()  # the first call may have been interrupted
                raise
            if isinstance(exc, Error):
                # An Error of the payload's source may hold the ``sent`` of another request.
                exc.sent = exchange.sent
                exc.out_of_payload = exchange.reading_payload
            if isinstance(exc, TransportError):
                exc.response_started = exchange.response.started
            raise

    def _make_reply(
        self, exchange: Exchange, head: ResponseHead, method: str, deadline: Deadline
    ) -> Reply:
        body_reader = exchange.response.body_reader
        assert body_reader is not None
        reply = Reply(head, body_reader)
        reply.sent = "all" if exchange.all_sent else exchange.sent
        reply.early, reply.deadline = exchange.early, deadline
        reply.sent_at, reply.first_byte_at = exchange.sent_at, exchange.first_byte_at
        if self.used == 1:
            reply.connected_at, reply.secured_at = self._opened
        done = body_reader.done
        if done:
            reply.done_at = perf_counter()
        if head.status == 101 or (method == "CONNECT" and head.status < 300):
            _connections.discard(self)  # the caller may pass it on to a forked child
            owner = self._owner()
            if owner is not None:
                owner.track_upgraded(self)
            reply.upgraded = self
        elif done:
            reply.content = join_chunks(exchange.received)
            self.finish()
        else:
            reply.live = LiveBody(
                self, self._transport, body_reader, exchange.received, deadline, exchange.sent
            )
        if exchange.failure is not None:
            reply.failure, exchange.failure = exchange.failure, None
            self.close()
        return reply

    def can_be_drained(self) -> bool:
        """Whether the connection can be used again once the rest of the body was received.

        False if ``finish`` must not be called: in a forked child, and in a finalizer or signal
        handler that has interrupted a method of the pool.
        """
        exchange, owner = self.exchange, self._owner()
        return (
            owner is not None
            and exchange is not None
            and exchange.keeps_alive
            and owner.can_release(self)
        )

    def finish(self) -> None:
        """End the exchange: release the connection, or close it if it cannot be used again."""
        exchange = self.exchange
        assert exchange is not None
        body_reader = exchange.response.body_reader
        owner = self._owner()
        if (
            owner is not None
            and body_reader is not None
            and not body_reader.leftover
            and body_reader.bytes_expected == 0
            and exchange.keeps_alive
        ):
            try:
                self.exchange = None
                self.idle_since = monotonic()
                self.in_use = False
                owner.release(self)
            except BaseException:
                owner.take_back_interrupted(self)
                raise
        else:
            self.close()

    # Closing

    def begin_use(self) -> object:
        """Return an object that closes the connection if it is dropped during this exchange."""
        return _Use(self)

    @property
    def aborted(self) -> bool:
        """Whether another thread has aborted the connection."""
        return self._transport.aborted

    def abort(self) -> None:
        """Close from another thread: a thread that waits in the connection gets an error."""
        self._transport.abort()
        if not self.in_use:
            self.close()

    def close(self) -> None:
        """Close the connection. Idempotent: a second call completes one that was interrupted."""
        try:
            self.closed = True
            self._transport.close()
        finally:
            self._leave_owner()

    def close_inherited(self) -> None:
        """Close this process's descriptor after a fork, and leave the connection to the parent."""
        self.closed = True
        self._transport.close_inherited()

    def detach(self) -> tuple[socket.socket, bytes]:
        """Return the socket, made blocking, and the bytes received after the head."""
        self.closed = True
        self._leave_owner()
        body_reader = self.exchange and self.exchange.response.body_reader
        return self._transport.detach(), body_reader.leftover if body_reader else b""

    def _leave_owner(self) -> None:
        owner = self._owner()
        if owner is not None:
            owner.forget(self)

    def __repr__(self) -> str:
        state = "closed" if self.closed else "in use" if self.in_use else "idle"
        return f"<Connection to {self.route.host_and_port}, {state}, {self.used} exchanges>"


class _Use:
    """Closes a connection if this object is dropped before the end of the exchange."""

    __slots__ = ("_connection", "_number")

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._number = connection.used

    def __del__(self) -> None:
        if not hasattr(self, "_number"):  # an interrupt has stopped __init__
            return
        connection = self._connection
        if connection.used == self._number and connection.exchange is not None:
            connection.close()


_connections: WeakSet[Connection] = WeakSet()


def _close_inherited() -> None:
    # No lock is taken: in the child, a thread that does not exist may hold it.
    for connection in list(_connections):
        connection.close_inherited()


run_in_forked_child(_close_inherited)


def is_held_here(lock: RLock) -> bool:
    """Return whether this thread holds the lock."""
    try:
        Condition(lock).notify(0)
    except RuntimeError:  # documented: the calling thread has not acquired the lock
        return False
    return True
