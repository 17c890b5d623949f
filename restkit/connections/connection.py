"""One socket, and one exchange after the other on it.

One socket to one route, and the exchanges on it, one after the other.

A connection is either in use, by one thread, or it rests in its pool. The last byte of an
answer sends it back by itself; whatever goes wrong closes it.
"""

from __future__ import annotations

from time import monotonic, perf_counter
from typing import TYPE_CHECKING, Protocol
from weakref import ref

from restkit.connections.exchange import Exchange
from restkit.connections.reply import LiveBody, Reply, Times
from restkit.errors import Error, TransportError
from restkit.http1.framing import keeps_alive
from restkit.network.transport import make_transport

if TYPE_CHECKING:
    import socket
    from collections.abc import Sequence

    from restkit.connections.outgoing import Sending
    from restkit.http1.response_head import ResponseHead
    from restkit.io.buffers import Buffer
    from restkit.network.dial import Dialed
    from restkit.network.route import Route


class ConnectionOwner(Protocol):
    """Where connections rest: the pool, as a connection sees it."""

    def hold(self, connection: Connection) -> None:
        """Know of one that begins to be used; abort it if it is too late for that."""

    def put(self, connection: Connection) -> None:
        """Take a connection that may be used again."""

    def forget(self, connection: Connection) -> None:
        """Know that this one is gone."""

    def let_out(self, connection: Connection) -> None:
        """Know that this one comes back no more, though it is open, and its user's to take."""


class Connection:
    """A connection in use or at rest; ``close()`` may be called at any time, by any thread."""

    __slots__ = (
        "__weakref__",
        "_busy",
        "_home",
        "_opened",
        "_transport",
        "closed",
        "exchange",
        "rested_at",
        "route",
        "used",
    )

    def __init__(self, dialed: Dialed, route: Route, home: ConnectionOwner) -> None:
        self._transport = make_transport(dialed.sock, route.description)
        # Not held: a pool that nobody uses any more ends at once, with what rests in it.
        self._home = ref(home)
        self._opened: tuple[float | None, float | None] = (dialed.connected, dialed.secured)
        self._busy = True
        self.route = route
        self.closed = False
        self.used = 0
        self.rested_at = 0.0
        self.exchange: Exchange | None = None

    # One exchange

    def quiet(self) -> bool:
        """Whether, having rested, it is fit for use: still open, and nothing has come."""
        return not self.closed and self._transport.is_idle()

    def send(self, sending: Sending) -> Reply:
        """Send a request and read until its final head is there.

        On any exception, the payload's own included, the connection is closed. ``exchange``
        then still tells how far it had come.
        """
        opened, self._opened = self._opened, (None, None)
        exchange = self.exchange = Exchange(self._transport, sending, rested=self.used > 0)
        self.used += 1
        try:
            self._hold()
            head = exchange.run()
            done = perf_counter() if exchange.answer.done else None
            times = Times(*opened, exchange.sent_at, exchange.first_byte_at, done)
            return self._reply(exchange, head, times, sending)
        except BaseException as exc:
            self.close()
            if isinstance(exc, Error):
                # Of this request, even where the payload's source has failed with one of its own.
                exc.sent = exchange.sent
                exc.out_of_payload = exchange.in_source
            if isinstance(exc, TransportError):
                exc.answered = exchange.answer.started
            raise

    def _reply(
        self, exchange: Exchange, head: ResponseHead, times: Times, sending: Sending
    ) -> Reply:
        live, given, content = None, None, b""
        deframer = exchange.answer.body_reader
        assert deframer is not None
        if _is_upgrade(head.status, sending.method):
            self._let_out()
            given = self
        elif exchange.answer.done:
            content = _whole(exchange.pieces)
            self.finished(exchange)
        else:
            live = LiveBody(self, self._transport, exchange, sending.clock)
        failure, exchange.failure = exchange.failure, None
        if failure is not None:
            self.close()
        state = (times, exchange.sent, failure)
        return Reply(head, deframer, content, exchange.early, live, given, *state)

    def finished(self, exchange: Exchange) -> None:
        """The answer has ended: rest, or close if no next exchange can follow this one."""
        answer = exchange.answer
        if (
            exchange.keeps_open
            and answer.head is not None
            and answer.body_reader is not None
            and not answer.body_reader.leftover
            and answer.body_reader.bytes_expected == 0
            and keeps_alive(answer.head)
        ):
            self.exchange = None
            self.rested_at = monotonic()
            self._busy = False
            self._rest()
        else:
            self.close()

    # The end

    def _hold(self) -> None:
        home = self._home()
        if home is not None:
            home.hold(self)

    def _rest(self) -> None:
        home = self._home()
        if home is None:
            self.close()
        else:
            home.put(self)

    def _forget(self) -> None:
        home = self._home()
        if home is not None:
            home.forget(self)

    def _let_out(self) -> None:
        home = self._home()
        if home is not None:
            home.let_out(self)

    @property
    def aborted(self) -> bool:
        """Whether another thread has closed it."""
        return self._transport.aborted

    def take_up(self) -> None:
        """Leave rest, into the hands of this thread."""
        self._busy = True

    def abort(self) -> None:
        """Close it from another thread: who waits in it is woken, and finds it closed."""
        self._transport.abort()
        if not self._busy:
            self.close()

    def close(self) -> None:
        """Close it; once is enough."""
        if not self.closed:
            self.closed = True
            self._transport.close()
            self._forget()

    def detach(self) -> tuple[socket.socket, bytes]:
        """Hand the socket over, blocking, and what was read beyond the head."""
        self.closed = True
        self._forget()
        deframer = self.exchange and self.exchange.answer.body_reader
        return self._transport.detach(), deframer.leftover if deframer else b""

    def __repr__(self) -> str:
        state = "closed" if self.closed else "in use" if self._busy else "at rest"
        return f"<Connection to {self.route.host_and_port}, {state}, {self.used} exchanges>"


def _is_upgrade(status: int, method: str) -> bool:
    return status == 101 or (method == "CONNECT" and status < 300)


def _whole(pieces: Sequence[Buffer]) -> bytes:
    if len(pieces) == 1 and isinstance(pieces[0], bytes):
        return pieces[0]
    return b"".join(pieces)
