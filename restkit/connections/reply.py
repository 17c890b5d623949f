"""The response of one exchange, and its body as it arrives.

The body of an answer as it comes off its connection: once, without a copy kept.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from threading import Lock
from time import perf_counter
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from restkit.errors import (
    Error,
    RequestTimeout,
    TLSError,
    TransportError,
    UnexpectedEOF,
    copy_without_traceback,
)

if TYPE_CHECKING:
    from restkit.connections.connection import Connection
    from restkit.connections.exchange import Exchange
    from restkit.errors import Sent
    from restkit.http1.framing import BodyReader
    from restkit.http1.response_head import ResponseHead
    from restkit.io.buffers import Buffer
    from restkit.io.spool import Spool
    from restkit.network.transport import Transport
    from restkit.timeouts import Deadline


_Room = TypeVar("_Room")
_Got = TypeVar("_Got", bytes, int)

PIECE = 512 * 1024
# Of what is larger than 128 KiB, glibc gives each block fresh pages, and takes them back with it,
# until a block of that size has come back to it whole (mallopt(3), M_MMAP_THRESHOLD); what ``recv``
# asks for is cut down to what came, and never does. So one is made here and dropped, untouched.
bytes(2 * PIECE)
DOING = "reading the body"


class LiveBody:
    """What is still to come of a body; its connection goes back, or is closed, at its end.

    Reading blocks until something is there and raises what went wrong, the same at every later
    call. One that nobody holds any more closes its connection.
    """

    __slots__ = (
        "_clock",
        "_connection",
        "_deframer",
        "_ending",
        "_error",
        "_exchange",
        "_let_go",
        "_reading",
        "_ready",
        "_transport",
        "done_at",
    )

    def __init__(
        self, connection: Connection, transport: Transport, exchange: Exchange, clock: Deadline
    ) -> None:
        deframer = exchange.answer.deframer
        assert deframer is not None
        self._connection = connection
        self._transport = transport
        self._exchange = exchange
        self._deframer = deframer
        self._clock = clock
        self._ready: deque[Buffer] = deque(exchange.pieces)
        self._error: Error | None = None
        # Each side says its own before it looks at the other's: a thread that reads, and one that
        # closes meanwhile, cannot miss each other, and no number is closed that is waited on.
        self._reading = False
        self._let_go = False
        # A connection that has gone back may be in other hands: no late close() may reach it there.
        self._ending = Lock()
        self.done_at = 0.0

    def hurry(self, seconds: float) -> None:
        """Let what is still to come take no longer than this, altogether and from now on."""
        self._clock = self._clock.with_total(seconds)

    def read_piece(self) -> Buffer:
        """The next piece as it comes; ``b''`` at the end."""
        if not self._ready and not self._deframer.done:
            self._pull()
        return self._ready.popleft() if self._ready else b""

    def readinto(self, view: memoryview) -> int:
        """Fill ``view`` with what comes next, at least one byte; 0 at the end."""
        left = self._deframer.left
        if left == 0 or self._ready:
            return self._give(view)
        return self._receive_into(view if left is None else view[:left])

    def _give(self, view: memoryview) -> int:
        """What has been received already, as much as fits, and otherwise a new piece."""
        piece = self.read_piece()
        count = 0
        while True:
            end = count + len(piece)
            if end > len(view):
                fits = len(view) - count
                self._ready.appendleft(memoryview(piece)[fits:])
                view[count:] = memoryview(piece)[:fits]
                return len(view)
            view[count:end] = piece
            count = end
            if not self._ready or count == len(view):
                return count
            piece = self._ready.popleft()

    def _receive_into(self, view: memoryview) -> int:
        """From the socket into the caller's hands, where nothing is to be taken out between."""
        count = self._received(self._transport.receive_into, view)
        self._deframer.received(count)
        self._settle()
        return count

    def _pull(self) -> None:
        """Receive until a piece of the body, or its end, is there."""
        while not self._ready and not self._deframer.done:
            if self._deframer.fault is not None:
                self._failed(self._deframer.fault)
                self._check()
            self._ready.extend(self._deframer.feed(self._received(self._transport.receive, PIECE)))
        self._settle()

    def _received(self, receive: Callable[[_Room], _Got | None], room: _Room) -> _Got:
        """What the socket gives, as soon as it does; nothing only where the body may end."""
        self._reading = True
        try:
            self._check()
            while True:
                self._transport.wait_readable(self._clock, DOING)
                got = receive(room)
                if got is not None:
                    break
            if not got:
                self._end()
            return got
        except BaseException as exc:
            short = self._cut_short(exc)
            self._failed(exc if short is None else short)
            if short is None:
                raise
            try:
                raise short from exc
            finally:
                del short  # or it would keep itself, by its traceback and this frame
        finally:
            self._reading = False
            if self._let_go:
                self._connection.close()

    def _check(self) -> None:
        if self._error is not None:
            raise copy_without_traceback(self._error)
        if self._let_go or self._connection.closed:
            self._let_go = True
            raise TransportError("the response was closed before its body had ended")

    def _end(self) -> None:
        if self._transport.cut_off and self._deframer.left is None:
            raise UnexpectedEOF(f"TLS was cut off, without its own end, {self._deframer.progress}")
        self._deframer.end()

    def _cut_short(self, exc: BaseException) -> UnexpectedEOF | None:
        """A connection lost inside a body is a body that ended early."""
        if self._error is not None or self._let_go or self._connection.aborted:
            return None
        if not isinstance(exc, TransportError) or isinstance(exc, (RequestTimeout, TLSError)):
            return None
        return UnexpectedEOF(f"{exc.message}, {self._deframer.progress} of the body")

    def _failed(self, exc: BaseException) -> None:
        """Close, and remember why for every later call."""
        self._connection.close()
        if self._error is not None:
            return
        if isinstance(exc, Error):
            exc.sent = exc.sent or self._exchange.sent
            self._error = copy_without_traceback(exc)
        else:
            sent = self._exchange.sent
            self._error = TransportError("reading the body was interrupted", sent=sent)

    def _settle(self) -> None:
        if self._deframer.done and not self.done_at:
            with self._ending:
                self.done_at = perf_counter()
                self._connection.finished(self._exchange)

    def close(self) -> None:
        """Close the connection unless the body has ended; a thread that reads gets an error."""
        with self._ending:
            if self._deframer.done:
                return
            self._let_go = True
            if self._reading:
                self._connection.abort()
            else:
                self._connection.close()

    def __del__(self) -> None:
        if not self._deframer.done:
            self._connection.close()


class Times(NamedTuple):
    """When things happened, as ``time.perf_counter`` counts; None for what did not."""

    connected: float | None
    secured: float | None
    sent: float
    first_byte: float
    done: float | None


class Reply(NamedTuple):
    """A final head, and its body: what came along, what came early, and what is to come.

    ``deframer`` knows the body's length and, in the end, its trailers. ``given`` is the
    connection itself, after an answer that gives it away (101, CONNECT). ``sent``: how much of the
    request had left.
    """

    head: ResponseHead
    deframer: BodyReader
    content: bytes
    early: Spool | None
    live: LiveBody | None
    given: Connection | None
    times: Times
    sent: Sent
    failure: TransportError | None
