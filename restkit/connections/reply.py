"""The response of one exchange, and its body as it arrives."""

from __future__ import annotations

import socket
from collections import deque
from collections.abc import Callable, Sequence
from threading import RLock
from time import monotonic, perf_counter
from typing import Protocol, TypeVar

from restkit.errors import (
    Error,
    RequestTimeout,
    Sent,
    TLSError,
    TransportError,
    UnexpectedEOF,
    copy_without_traceback,
)
from restkit.http1.framing import BodyReader
from restkit.http1.response_head import ResponseHead
from restkit.io.buffers import Buffer, join_chunks
from restkit.io.sockets import BLOCK
from restkit.io.spool import Spool
from restkit.network.transport import Transport
from restkit.timeouts import Deadline

_Target = TypeVar("_Target")
_Received = TypeVar("_Received", bytes, int)

RECEIVE_SIZE = 512 * 1024
# glibc maps and unmaps the pages of each allocation above 128 KiB, until an allocation of that size
# was freed once (mallopt(3), M_MMAP_THRESHOLD). ``recv`` shrinks its result to the bytes received,
# so its allocations never have this effect. So allocate and free one here.
bytes(2 * RECEIVE_SIZE)
MAX_DRAINED = 64 * 1024  # bytes that close() receives and discards, to keep the connection
_MAX_CHUNKS = 256  # one object takes less memory than a view for each of many short chunks
_READING = "reading the body"
_CLOSED = "the response was closed before its body had ended"


class UpgradedConnection(Protocol):
    """A connection that a response hands over to the caller (101, or 2xx to CONNECT)."""

    @property
    def closed(self) -> bool: ...
    def close(self) -> None: ...
    def detach(self) -> tuple[socket.socket, bytes]: ...


class BodyConnection(Protocol):
    """The connection of a body that is still arriving."""

    @property
    def closed(self) -> bool: ...
    @property
    def aborted(self) -> bool: ...

    def begin_use(self) -> object: ...
    def finish(self) -> None: ...
    def abort(self) -> None: ...
    def close(self) -> None: ...
    def can_be_drained(self) -> bool: ...


class Reply:
    """The final head of a response, and its body: the bytes received so far and the rest.

    ``body_reader`` has the length of the body and, at its end, the trailers. ``content`` was
    received with the head, ``early`` while the payload was being sent; ``live`` reads the rest.
    ``upgraded`` is the connection after 101 or CONNECT. ``sent`` is the part of the request that
    was sent, ``deadline`` is the call's. ``failure`` is set if the server stopped reading the
    payload after a 2xx response. Times are those of ``perf_counter``; 0.0 or None for no event.
    """

    __slots__ = (
        "body_reader",
        "connected_at",
        "content",
        "deadline",
        "done_at",
        "early",
        "failure",
        "first_byte_at",
        "head",
        "live",
        "secured_at",
        "sent",
        "sent_at",
        "upgraded",
    )

    def __init__(self, head: ResponseHead, body_reader: BodyReader, content: bytes = b"") -> None:
        self.head = head
        self.body_reader = body_reader
        self.content = content
        self.early: Spool | None = None
        self.live: LiveBody | None = None
        self.upgraded: UpgradedConnection | None = None
        self.deadline: Deadline | None = None
        self.failure: TransportError | None = None
        self.sent: Sent = "nothing"
        self.connected_at: float | None = None
        self.secured_at: float | None = None
        self.sent_at = self.first_byte_at = self.done_at = 0.0

    def receive_small_body(self, limit: int) -> None:
        """Receive a body of at most ``limit`` bytes now, so that it does not hold its connection.

        Waits for a body of known length. Receives a chunked body only if its end has arrived. Does
        nothing for event streams, for a body that has a reader, and if the body began to arrive
        while the request was being sent. An error is kept, and raised when the body is read.
        """
        live = self.live
        if live is None or live.claimed or self.early is not None or self.sent != "all":
            return
        if limit and not self.head.has(b"text/event-stream"):
            content = live.receive_small_body(limit)
            if content is not None:
                self.done_at = live.done_at
                self.content, self.live = content, None

    def close(self) -> None:
        """Close the connection and the spool of the body; an upgraded connection stays open."""
        if self.live is not None:
            self.live.close()
        if self.early is not None:
            self.early.close()


class LiveBody:
    """The part of a body that is still to be received.

    The connection is released, or closed, at the end of the body. Reading blocks until something
    is received. An error is raised again by every later call. ``close()`` and garbage collection
    never wait. If the rest of the body is small and has arrived, they discard it and release the
    connection. Otherwise they close the connection.
    """

    __slots__ = (
        "_closing",
        "_connection",
        "_deadline",
        "_delegated",
        "_ended",
        "_lock",
        "_reader",
        "_reading",
        "_ready",
        "_sent",
        "_transport",
        "_use",
        "claimed",
        "done_at",
        "error",
    )

    def __init__(
        self,
        connection: BodyConnection,
        transport: Transport,
        reader: BodyReader,
        received: Sequence[Buffer],
        deadline: Deadline,
        sent: Sent,
    ) -> None:
        self._connection = connection
        self._transport = transport
        self._reader = reader
        self._ready: deque[Buffer] = deque(received)
        self._deadline = deadline
        self._sent: Sent = sent
        self.error: Error | None = None
        # The lock makes one thread the owner of the socket: the one that reads, or the one that
        # closes. If a thread is reading, close() only wakes it, and that thread closes the socket.
        # So no descriptor is closed while another thread uses it. Re-entrant, because a signal
        # handler may call close(). The pool is never called while the lock is held.
        self._lock = RLock()
        self._reading = False
        self._closing = False
        self._delegated = False
        self._ended = False  # the connection was released or closed at the end of the body
        self.claimed = False  # a Body reads it
        self.done_at = 0.0
        self._use = connection.begin_use()  # closes the connection if __del__ is interrupted

    @property
    def done(self) -> bool:
        """Whether the whole body was received."""
        return self._reader.done and not self._closing

    def limit_time(self, seconds: float) -> None:
        """Limit the seconds, from now on, for reading the rest of the body."""
        self._deadline = self._deadline.with_total(seconds)

    def receive_small_body(self, limit: int) -> bytes | None:
        """Receive the whole body if it is small; return it, or None if it must be read live.

        See ``Reply.receive_small_body``.
        """
        length = self._reader.length
        try:
            if length is not None and length <= limit:
                self._receive_to_end()
            elif length is None and self._reader.bytes_expected is not None:
                self._receive_arrived_chunks(limit)
            if self._reader.fault is not None:
                self._fail(self._reader.fault)  # nothing more will be received
            self._finish_if_done()
        except Error:
            return None  # kept in ``error``
        if not self._reader.done:
            return None
        content = join_chunks(self._ready)
        self._ready.clear()
        return content

    def _receive_to_end(self) -> None:
        """Receive until the body ends or the idle timeout is over, counted for the whole body."""
        idle = self._deadline.timeout.idle
        end = None if idle is None else monotonic() + idle
        while not self._reader.done:
            self._receive(self._transport.receive, BLOCK, self._feed)
            if end is not None and monotonic() > end:
                break  # a server that sends a byte now and then: the body is read live

    def _receive_arrived_chunks(self, limit: int) -> None:
        """Receive what has arrived of a chunked body, until more than ``limit`` bytes are here."""
        size = sum(map(len, self._ready))
        budget = limit + BLOCK  # for the framing
        while not self._reader.done and self._reader.fault is None and size <= limit and budget > 0:
            data = self._receive(self._transport.receive, BLOCK, self._feed, wait=False)
            if data is None:
                break
            budget -= len(data)
            size = sum(map(len, self._ready))
        if len(self._ready) > _MAX_CHUNKS:
            self._ready = deque([join_chunks(self._ready)])

    def read_chunk(self) -> Buffer:
        """Return the next chunk as it arrives, or ``b''`` at the end of the body. Blocks."""
        if not self._ready:
            if self._reader.done:
                self._check_complete()
            else:
                self._receive_chunks()
        return self._ready.popleft() if self._ready else b""

    def readinto(self, view: memoryview) -> int:
        """Receive at least one byte into ``view``; return the count, 0 at the end. Blocks."""
        expected = self._reader.bytes_expected
        if expected == 0 or self._ready:
            return self._copy_into(view)
        return self._receive_into(view if expected is None else view[:expected])

    def _copy_into(self, view: memoryview) -> int:
        """Copy the received chunks, or else the next one, as far as they fit."""
        chunk = self.read_chunk()
        count = 0
        while True:
            end = count + len(chunk)
            if end > len(view):
                fits = len(view) - count
                self._ready.appendleft(memoryview(chunk)[fits:])
                view[count:] = memoryview(chunk)[:fits]
                return len(view)
            view[count:end] = chunk
            count = end
            if not self._ready or count == len(view):
                return count
            chunk = self._ready.popleft()

    def _receive_into(self, view: memoryview) -> int:
        """Receive into the caller's buffer, where there is no framing to remove."""
        count = self._receive(self._transport.receive_into, view, self._reader.skip)
        self._finish_if_done()
        return count or 0

    def _receive_chunks(self) -> None:
        """Receive until there is a chunk of the body, or its end."""
        reader = self._reader
        while not self._ready and not reader.done:
            self._receive(self._transport.receive, RECEIVE_SIZE, self._feed)
        self._finish_if_done()

    def _feed(self, data: bytes) -> None:
        self._ready.extend(self._reader.feed(data))

    def _receive(
        self,
        receive: Callable[[_Target], _Received | None],
        target: _Target,
        count_received: Callable[[_Received], None],
        *,
        wait: bool = True,
    ) -> _Received | None:
        """Wait, receive, and pass the result on; it is only empty if the body may end there.

        Returns None only with ``wait=False``: nothing has arrived.
        """
        self._transport.check_inherited()  # before the lock, which may be held for ever in a child
        with self._lock:
            self._reading = True
        try:
            self._check_open()
            while True:
                if wait:
                    self._transport.wait_readable(self._deadline, _READING)
                received = receive(target)
                if received is not None:
                    break
                if not wait:
                    return None
            if not received:
                self._end()
            count_received(received)
            return received
        except BaseException as exc:
            early_eof = self._early_eof_error(exc)
            self._fail(exc if early_eof is None else early_eof)
            if early_eof is None:
                raise
            try:
                raise early_eof from exc
            finally:
                del early_eof  # its traceback and this frame would keep each other alive
        finally:
            with self._lock:
                self._reading = False
                delegated = self._delegated
            if delegated:
                self._connection.close()

    def _check_open(self) -> None:
        if self.error is not None:
            raise copy_without_traceback(self.error)
        if self._reader.fault is not None:
            raise copy_without_traceback(self._reader.fault)
        self._check_complete()
        if self._connection.closed:
            raise TransportError(_CLOSED)

    def _check_complete(self) -> None:
        """Raise if the end of the body was not read, but discarded by ``close()``."""
        if self._closing:
            raise TransportError(_CLOSED)

    def _end(self) -> None:
        if self._transport.missing_close_notify and self._reader.bytes_expected is None:
            raise UnexpectedEOF(
                f"TLS was cut off, without a close_notify alert, {self._reader.progress}"
            )
        self._reader.end()

    def _early_eof_error(self, exc: BaseException) -> UnexpectedEOF | None:
        """Return the error for a connection that was lost inside the body."""
        if self.error is not None or self._closing or self._connection.aborted:
            return None
        if self._transport.inherited:
            return None
        if not isinstance(exc, TransportError) or isinstance(exc, (RequestTimeout, TLSError)):
            return None
        return UnexpectedEOF(f"{exc.message}, {self._reader.progress} of the body")

    def _fail(self, exc: BaseException) -> None:
        """Close the connection, and keep the error for every later call."""
        if isinstance(exc, Error):
            exc.sent = exc.sent or self._sent
        if self._closing:
            return  # close() closes the connection, or has delegated this to ``_receive``
        self._connection.close()
        if self.error is not None:
            return
        if isinstance(exc, Error):
            self.error = copy_without_traceback(exc)
        else:
            self.error = TransportError("reading the body was interrupted", sent=self._sent)

    # Ending

    def _finish_if_done(self) -> None:
        if self.done:
            if self._transport.inherited:
                self._ended = True
                return
            with self._lock:
                if self._ended:  # by another thread that reads
                    return
                self._ended = True
            self.done_at = perf_counter()
            self._connection.finish()  # an interrupt before it: see __del__

    def close(self) -> None:
        """Release or close the connection, unless the body has ended. Idempotent.

        From any thread: a thread that reads gets an error, and the connection is closed.
        """
        if self._transport.inherited:
            self._closing = self._closing or not self._reader.done
            return
        with self._lock:
            if self._closing or self._reader.done:
                return
            self._closing = True
            if self._reading:
                self._delegated = True
                self._connection.abort()
                return
            drained = self._drain()
        self._close_connection(drained=drained)

    def _drain(self) -> bool:
        """Discard the rest if it is small and has arrived; return whether the body has ended."""
        reader = self._reader
        expected = reader.bytes_expected
        if expected is None or expected > MAX_DRAINED or not self._connection.can_be_drained():
            return False
        budget = MAX_DRAINED
        try:
            while not reader.done:
                data = self._transport.receive(budget) if budget and not reader.fault else None
                if not data:
                    return False
                budget -= len(data)
                reader.feed(data)
        except Error:
            return False
        except BaseException:
            self._connection.close()
            raise
        return True

    def _close_connection(self, *, drained: bool) -> None:
        if drained:
            self._ended = True
            self._connection.finish()
        else:
            self._connection.close()

    def __del__(self) -> None:
        if not hasattr(self, "_use"):  # an interrupt has stopped __init__
            return
        if not self._ended:
            self._close_connection(drained=not self._closing and self._drain())
