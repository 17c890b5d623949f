"""The response of one exchange, and its body as it arrives."""

from __future__ import annotations

import socket
from collections import deque
from collections.abc import Callable, Sequence
from threading import Lock
from time import perf_counter
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
from restkit.io.buffers import Buffer
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
_READING = "reading the body"


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
    def finish(self) -> None: ...
    def abort(self) -> None: ...
    def close(self) -> None: ...


class Reply:
    """The final head of a response, and its body: the bytes received so far and the rest.

    ``body_reader`` has the length of the body and, at its end, the trailers. ``content`` was
    received with the head, ``early`` while the payload was being sent; ``live`` reads the rest.
    ``upgraded`` is the connection after 101 or CONNECT. ``sent`` is the part of the request that
    was sent. ``failure`` is set if the server stopped reading the payload after a 2xx response.
    Times are those of ``time.perf_counter``; 0.0 or None for an event that did not happen.
    """

    __slots__ = (
        "body_reader",
        "connected_at",
        "content",
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
        self.failure: TransportError | None = None
        self.sent: Sent = "nothing"
        self.connected_at: float | None = None
        self.secured_at: float | None = None
        self.sent_at = 0.0
        self.first_byte_at = 0.0
        self.done_at = 0.0

    def close(self) -> None:
        """Close the connection and the spool of the body; an upgraded connection stays open."""
        if self.live is not None:
            self.live.close()
        if self.early is not None:
            self.early.close()


class LiveBody:
    """The part of a body that is still to be received.

    The connection is released, or closed, at the end of the body. Reading blocks until something
    is received. An error is raised again by every later call. A LiveBody that is garbage collected
    closes its connection.
    """

    __slots__ = (
        "_closing",
        "_connection",
        "_deadline",
        "_ending",
        "_error",
        "_reader",
        "_reading",
        "_ready",
        "_sent",
        "_transport",
        "done_at",
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
        self._error: Error | None = None
        # A reader sets _reading before it looks at _closing, and close() does the reverse. So a
        # thread that reads and one that closes cannot miss each other, and no descriptor is
        # closed while a thread waits on it.
        self._reading = False
        self._closing = False
        # Once the connection was released, another thread may use it: close() must not reach it.
        self._ending = Lock()
        self.done_at = 0.0

    def limit_time(self, seconds: float) -> None:
        """Limit the seconds, from now on, for reading the rest of the body."""
        self._deadline = self._deadline.with_total(seconds)

    def read_chunk(self) -> Buffer:
        """Return the next chunk as it arrives, or ``b''`` at the end of the body. Blocks."""
        if not self._ready and not self._reader.done:
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
        count = self._receive(self._transport.receive_into, view)
        self._reader.skip(count)
        self._finish_if_done()
        return count

    def _receive_chunks(self) -> None:
        """Receive until there is a chunk of the body, or its end."""
        reader = self._reader
        while not self._ready and not reader.done:
            if reader.fault is not None:
                self._fail(reader.fault)
                self._check_open()
            self._ready.extend(reader.feed(self._receive(self._transport.receive, RECEIVE_SIZE)))
        self._finish_if_done()

    def _receive(
        self, receive: Callable[[_Target], _Received | None], target: _Target
    ) -> _Received:
        """Wait and receive; return an empty result only if the body may end there."""
        self._reading = True
        try:
            self._check_open()
            while True:
                self._transport.wait_readable(self._deadline, _READING)
                received = receive(target)
                if received is not None:
                    break
            if not received:
                self._end()
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
            self._reading = False
            if self._closing:
                self._connection.close()

    def _check_open(self) -> None:
        if self._error is not None:
            raise copy_without_traceback(self._error)
        if self._closing or self._connection.closed:
            self._closing = True
            raise TransportError("the response was closed before its body had ended")

    def _end(self) -> None:
        if self._transport.missing_close_notify and self._reader.bytes_expected is None:
            raise UnexpectedEOF(
                f"TLS was cut off, without a close_notify alert, {self._reader.progress}"
            )
        self._reader.end()

    def _early_eof_error(self, exc: BaseException) -> UnexpectedEOF | None:
        """Return the error for a connection that was lost inside the body."""
        if self._error is not None or self._closing or self._connection.aborted:
            return None
        if not isinstance(exc, TransportError) or isinstance(exc, (RequestTimeout, TLSError)):
            return None
        return UnexpectedEOF(f"{exc.message}, {self._reader.progress} of the body")

    def _fail(self, exc: BaseException) -> None:
        """Close the connection, and keep the error for every later call."""
        self._connection.close()
        if self._error is not None:
            return
        if isinstance(exc, Error):
            exc.sent = exc.sent or self._sent
            self._error = copy_without_traceback(exc)
        else:
            self._error = TransportError("reading the body was interrupted", sent=self._sent)

    def _finish_if_done(self) -> None:
        if self._reader.done:
            with self._ending:
                if not self.done_at:  # another thread that reads may have finished
                    self.done_at = perf_counter()
                    self._connection.finish()

    def close(self) -> None:
        """Close the connection unless the body has ended; a thread that reads gets an error."""
        with self._ending:
            if self._reader.done:
                return
            self._closing = True
            if self._reading:
                self._connection.abort()
            else:
                self._connection.close()

    def __del__(self) -> None:
        if not self._reader.done:
            self._connection.close()
