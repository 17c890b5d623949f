"""The body of a request, received as a file: never past its end, and never short.

``RequestFile`` is what an application reads as ``wsgi.input``: a ``BufferedReader`` over
``RequestBody``. Bytes that were read ahead while a response was sent are in a spool, and come
first. Only the thread of the application may use it.

An error is stored in ``fault`` before it is raised, because the thread that receives bytes may be
sending and not reading. A client that is gone is ClientDisconnected, and invalid chunked framing is
a ParserError.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from math import inf
from time import monotonic
from typing import TYPE_CHECKING

from restkit.errors import ClientDisconnected, Error, UnexpectedEOF
from restkit.http1.fields import Pairs
from restkit.http1.framing import BodyReader
from restkit.io.buffers import Buffer
from restkit.io.sockets import BLOCK, READ, WRITE
from restkit.io.spool import Spool
from restkit.server.engine.client_socket import ClientSocket
from restkit.server.engine.request_limits import ClientTimer, RequestLimits, too_long_error

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_RECEIVING = "waited for its request body"
_CONTINUING = "sent 100 Continue"
_READ_SIZE = 1024 * 1024
_AHEAD_STEP = 4 * BLOCK
_NO_LIMITS = RequestLimits()


class RequestFile(io.BufferedReader):
    """The body of a request as a file: ``read``, ``read1``, ``readline``, iteration; no seeking.

    ``read1`` and ``peek`` return as soon as some bytes have arrived. The file only ends where the
    body ends: a client that disconnects earlier raises ClientDisconnected, and invalid chunked
    framing ParserError, again at every later read.
    """

    def __init__(self, body: RequestBody, buffer_size: int = BLOCK) -> None:
        super().__init__(body, buffer_size)
        self._body = body

    @property
    def trailers(self) -> Pairs:
        """The trailers of a chunked body, once it has been read to its end."""
        return self._body.trailers

    def limit_spool(self, max_size: int) -> None:
        """Read at most ``max_size`` bytes ahead of the application, if ``max_spool`` is larger."""
        self._body.max_spool = min(self._body.max_spool, max_size)


class RequestBody(io.RawIOBase):
    """A raw reader of a body; ``data`` are its first bytes, which arrived with the head.

    ``expects_continue``: the first read that has to wait sends 100 Continue to the client.
    ``max_spool`` bounds the bytes that are read ahead of the application.
    """

    def __init__(
        self,
        sock: ClientSocket,
        reader: BodyReader,
        data: bytes = b"",
        *,
        limits: RequestLimits = _NO_LIMITS,
        expects_continue: bool = False,
    ) -> None:
        self._receiver = BodyReceiver(sock, reader, limits)
        self._receiver.continue_due = expects_continue and not data and not reader.done
        self._chunks: list[Buffer] = list(self._receiver.feed(data)) if data else []
        self._spool: Spool | None = None
        self._spool_position = 0
        self._client = sock.client
        self.max_spool = limits.max_spool
        self.was_read = False

    # For the connection

    @property
    def done(self) -> bool:
        """Whether the whole body has arrived."""
        return self._receiver.reader.done

    @property
    def ended(self) -> bool:
        """Whether nothing more is received, at the end of the body or after an error."""
        return self._receiver.ended

    @property
    def fault(self) -> Error | None:
        """The error that a read raises after the bytes that have arrived."""
        return self._receiver.fault

    @property
    def should_read_ahead(self) -> bool:
        """Whether more bytes can arrive, and there is space to keep them for the application."""
        return not self.ended and self.ahead < self.max_spool

    @property
    def deadline(self) -> float:
        """The time (``monotonic``) by which the response must be complete."""
        return self._receiver.deadline

    @property
    def leftover(self) -> bytes:
        """The bytes that arrived after the end of the body: the start of the next request."""
        return self._receiver.reader.leftover

    @property
    def length(self) -> int | None:
        """The length of the body, if the head declared it."""
        return self._receiver.reader.length

    @property
    def trailers(self) -> Pairs:
        """The trailers, once the body has ended."""
        return self._receiver.reader.trailers

    def begin_sending(self) -> None:
        """Never send 100 Continue from now on: a response is sent.

        Raises ClientDisconnected if the request has taken too long.
        """
        self._receiver.continue_due = False
        if self._receiver.deadline < inf:
            self._receiver.check_deadline()

    def wait(self, events: int, activity: str) -> int:
        """Wait for READ and WRITE, within the limits of the request; return those that occurred.

        Raises ClientDisconnected if the client is silent or too slow; ``activity`` is for messages.
        """
        return self._receiver.wait(events, activity)

    def count_wait(self, seconds: float) -> None:
        """Count a wait for the client; raise ClientDisconnected if it is too slow."""
        self._receiver.count_wait(seconds)

    def send_continue(self) -> bool:
        """Send 100 Continue, if the client waits for it; return False if that would block."""
        return self._receiver.try_continue()

    # Reading

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        """Read what has arrived into ``buffer``; return the count, 0 at the end.

        Blocks only if nothing has arrived.
        """
        self.was_read = True
        receiver = self._receiver
        with memoryview(buffer) as whole, whole.cast("B") as view:
            while True:
                if self._spool is not None:
                    return self._read_spool(self._spool, view)
                if self._chunks:
                    return self._read_chunk(view)
                if receiver.fault is not None:
                    raise receiver.fault
                if self.done or not view:
                    return 0
                if expected := receiver.reader.bytes_expected:
                    if count := receiver.receive_into(view[:expected]):
                        return count
                else:
                    self._chunks += receiver.receive()

    def readall(self) -> bytes:
        """Return the rest of the body; an error loses what was read before it."""
        chunks = []
        while chunk := self.read(_READ_SIZE):
            chunks.append(chunk)
        return b"".join(chunks)

    def _read_spool(self, spool: Spool, view: memoryview) -> int:
        count = spool.read_into(self._spool_position, view)
        self._spool_position += count
        if self._spool_position == spool.size:
            self._close_spool()
        return count

    def _read_chunk(self, view: memoryview) -> int:
        chunk = self._chunks[0]
        count = min(len(chunk), len(view))
        view[:count] = chunk[:count]
        if count == len(chunk):
            del self._chunks[0]
        else:
            self._chunks[0] = memoryview(chunk)[count:]
        return count

    # Reading ahead of the application

    def read_ahead(self, max_size: int) -> None:
        """Move what has arrived to the spool, without blocking, up to ``max_size`` bytes in all.

        An error is left for the reader, but an OSError of the spool's disk is raised.
        """
        space = max_size - self.ahead
        if space > 0:
            self._chunks += self._receiver.receive_available(min(space, _AHEAD_STEP))
        if self._chunks:
            self._spool = self._spool or Spool()
            for chunk in self._chunks:
                self._spool.append(chunk)
            self._chunks.clear()

    def arrives_within(self, seconds: float, max_size: int) -> bool:
        """Read the rest ahead if it is small and arrives in time; return whether all is here."""
        end = monotonic() + seconds
        expected = self._receiver.reader.bytes_expected
        if self._receiver.continue_due or (expected and expected > max_size):
            return False
        max_size += self.ahead
        while not self._receiver.ended and self.ahead <= max_size:
            if not self._receiver.wait_for(max(0.0, end - monotonic())):
                break
            self.read_ahead(max_size + 1)
        return self.done

    @property
    def ahead(self) -> int:
        """The number of bytes in memory and on disk that are kept for the application."""
        size = 0 if self._spool is None else self._spool.size
        return size + sum(map(len, self._chunks)) if self._chunks else size

    def _close_spool(self) -> None:
        if self._spool is not None:
            self._spool.close()
        self._spool = None
        self._spool_position = 0

    def release(self) -> None:
        """Free the bytes that are kept; every later read raises ClientDisconnected."""
        if self._receiver.fault is None:
            self._receiver.fault = ClientDisconnected(
                "the request is over, and its body is no longer available"
            )
        self._chunks.clear()
        self._close_spool()

    def __repr__(self) -> str:
        state = "broken" if self.fault else self._receiver.reader.progress
        return f"<RequestBody of {self._client}, {'all received' if self.done else state}>"


class BodyReceiver:
    """Receives the body of one request; ``reader`` finds its end.

    ``continue_due``: the client waits for 100 Continue, which the next wait for the body sends.
    """

    __slots__ = ("_limits", "_socket", "_timer", "continue_due", "deadline", "fault", "reader")

    def __init__(self, sock: ClientSocket, reader: BodyReader, limits: RequestLimits) -> None:
        self._socket = sock
        self._limits = limits
        self._timer: ClientTimer | None = None  # created at the first wait
        seconds = limits.max_request_seconds
        self.deadline = inf if seconds is None else monotonic() + seconds
        self.reader = reader
        self.fault: Error | None = None
        self.continue_due = False

    @property
    def ended(self) -> bool:
        """Whether nothing more is received, at the end of the body or after an error."""
        return self.reader.done or self.fault is not None

    def feed(self, data: bytes) -> Sequence[Buffer]:
        """Return the chunks of the body that are in ``data``."""
        chunks = self.reader.feed(data)
        self.fault = self.reader.fault
        return chunks

    def receive(self) -> Sequence[Buffer]:
        """Wait for bytes and return their chunks; none if they were framing, or at the end."""
        try:
            self._begin()
            while self.fault is None:
                data = self._socket.receive(BLOCK)
                if data is not None:
                    return self.feed(data) if data else self._handle_end()
                self.wait(READ, _RECEIVING)
        except ClientDisconnected as exc:
            self._store_error(exc)
        return ()

    def receive_into(self, view: memoryview) -> int:
        """Wait for bytes without framing, received into ``view``; return the count, 0 at the end.

        ``view`` must not be longer than ``reader.bytes_expected``.
        """
        try:
            self._begin()
            while self.fault is None:
                count = self._socket.receive_into(view)
                if count is not None:
                    if not count:
                        return len(self._handle_end())
                    self.reader.skip(count)
                    return count
                self.wait(READ, _RECEIVING)
        except ClientDisconnected as exc:
            self._store_error(exc)
        return 0

    def receive_available(self, size: int) -> Sequence[Buffer]:
        """Return the chunks of up to ``size`` bytes that have arrived, without blocking."""
        try:
            data = self._socket.receive(size)
        except ClientDisconnected as exc:
            self._store_error(exc)
            return ()
        if data is None:
            return ()
        return self.feed(data) if data else self._handle_end()

    def wait(self, events: int, activity: str) -> int:
        """Wait for the client within the limits of the request; return the events that occurred."""
        return self._get_timer().wait(events, activity, self.reader.received)

    def count_wait(self, seconds: float) -> None:
        """Count a wait for the body; raise ClientDisconnected if the client is too slow."""
        self._get_timer().add(seconds, self.reader.received, _RECEIVING)

    def _get_timer(self) -> ClientTimer:
        if self._timer is None:
            self._timer = ClientTimer(self._socket, self._limits, self.deadline)
        return self._timer

    def check_deadline(self) -> None:
        """Raise ClientDisconnected if the request has taken too long."""
        if monotonic() > self.deadline:
            raise too_long_error(self._socket.client, self._limits)

    def wait_for(self, seconds: float) -> bool:
        """Wait at most ``seconds`` for bytes; return whether some have arrived."""
        try:
            return bool(self._socket.wait_for(READ, seconds))
        except ClientDisconnected as exc:
            self._store_error(exc)
            return False

    def try_continue(self) -> bool:
        """Send 100 Continue if it is due; return False if it stays due, because it would block."""
        if self.continue_due:
            # A part of it, or bytes that TLS keeps for later, would mix with the response.
            if not self._socket.wait_for(WRITE, 0.0):
                return False
            self.continue_due = False
            self._socket.send([_CONTINUE])
        return True

    def _begin(self) -> None:
        if self.deadline < inf:
            self.check_deadline()
        if not self.continue_due:
            return
        self.continue_due = False
        rest = _CONTINUE
        while rest := rest[self._socket.send([rest]) :]:
            self.wait(WRITE, _CONTINUING)

    def _handle_end(self) -> Sequence[Buffer]:
        """Handle the end of the client's side, which may be too early for the body."""
        try:
            self.reader.end()
        except UnexpectedEOF as exc:
            self.fault = ClientDisconnected(f"{self._socket.client} disconnected: {exc.message}")
            self.fault.__cause__ = exc
        return ()

    def _store_error(self, exc: ClientDisconnected) -> None:
        self.fault = ClientDisconnected(f"{exc.message}; request body: {self.reader.progress}")
        self.fault.__cause__ = exc.__cause__
