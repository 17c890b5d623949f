"""A connected socket with deadlines, plain or TLS.

Sending and receiving never block; a thread only waits in the ``wait`` methods. Errors of the
socket are translated here.

Facts that the code depends on. ``SSLSocket.shutdown`` discards its TLS state before it shuts
down, and a thread that is reading would then receive ciphertext; the plain socket's method is
called instead (CPython 3.10 to 3.14, Lib/ssl.py). A write that OpenSSL could not finish must be
repeated with the same bytes (SSL_write(3)), so buffers stay unchanged until they are sent. No
byte of a write counts as sent before all of the write is. The end of TLS, an alert and a bad record
are read from the socket once, so ``poll`` does not report them again.
"""

from __future__ import annotations

import socket
import ssl
from contextlib import suppress
from enum import Enum
from typing import TypeVar, cast

from restkit.errors import Error, TLSError, TransportError
from restkit.io.buffers import Buffer
from restkit.io.sockets import READ, WRITE, NonBlockingSocket, Poll, poll, stop_polls
from restkit.network.tls import describe_ssl_error
from restkit.network.tls_in_tls import TLSInTLS
from restkit.timeouts import Deadline

_End = TypeVar("_End", bytes, int)

RECORD = 16 * 1024  # RFC 8446 5.1
_MAX_WRITE = 1024 * 1024
_MAX_READ = 1024 * 1024  # bytes between two checks of the deadline


class WaitResult(Enum):
    """The event that ended a wait for the payload's source."""

    SOURCE = "the source has data, or has ended"
    PEER = "the server has sent something"
    GONE = "the server, which had stopped sending, has stopped receiving too"


def make_transport(sock: socket.socket | TLSInTLS, peer: str) -> Transport:
    """Return the transport for a connected socket."""
    if isinstance(sock, TLSInTLS):
        return NestedTransport(cast("ssl.SSLSocket", sock), peer)
    if isinstance(sock, ssl.SSLSocket):
        return SecureTransport(sock, peer)
    return Transport(sock, peer)


class Transport(NonBlockingSocket):
    """A socket without TLS. ``peer`` is the server's name for messages.

    ``inherited`` is True in a forked child: the connection belongs to the parent.
    """

    sends_files = True

    __slots__ = ("_read_write_poll", "_readable", "inherited", "missing_close_notify", "peer")

    def __init__(self, sock: socket.socket, peer: str) -> None:
        super().__init__(sock)
        self.peer = peer
        self._readable = poll()
        self._readable.register(sock.fileno(), READ)
        self._read_write_poll: Poll | None = None
        # True if TLS ended without its closing alert, so that the body may be truncated.
        self.missing_close_notify = False
        self.inherited = False

    def coalesce(self, buffers: list[Buffer]) -> list[Buffer]:
        """Return the buffers in the form that ``send`` needs, unchanged when it is repeated."""
        return buffers

    def peer_address(self) -> str | None:
        """Return the IP address that the socket is connected to, None for a Unix socket.

        Raises OSError if the socket is not connected any more.
        """
        name = self._socket.getpeername()
        return name[0] if isinstance(name, tuple) else None

    def is_readable(self) -> bool:
        """Return whether a receive would return something now, the end included."""
        return bool(self._readable.poll(0))

    def is_idle(self) -> bool:
        """Return whether an idle connection can be reused: it is open, and nothing has arrived."""
        return not self._readable.poll(0)

    def wait_readable(self, deadline: Deadline, doing: str) -> None:
        """Wait until something can be received; raise IdleTimeout or TotalTimeout."""
        if not self._readable.poll(deadline.idle_ms(doing)) and not self.aborted:
            deadline.raise_idle(doing)
        if self.aborted:
            raise self._closed_error()

    def wait(self, events: int, deadline: Deadline, doing: str) -> int:
        """Wait until one of the events is possible; return those that are."""
        if self._read_write_poll is None:
            self._read_write_poll = poll()
        self._read_write_poll.register(self._socket.fileno(), events)
        ready = self._read_write_poll.poll(deadline.idle_ms(doing))
        if self.aborted:
            raise self._closed_error()
        if not ready:
            deadline.raise_idle(doing)
        return ready[0][1]

    def wait_for_source(
        self, source: int, deadline: Deadline, doing: str, *, listening: bool
    ) -> WaitResult:
        """Wait for the payload's source, and if ``listening`` also for the server.

        A source may be slow: only the total deadline applies.
        """
        poller = poll()
        poller.register(source, READ)
        # A socket at its end stays readable; poll() reports a full shutdown without any event mask.
        poller.register(self._socket.fileno(), READ if listening else 0)
        while not (ready := poller.poll(deadline.total_ms(doing))) and not self.aborted:
            deadline.remaining(doing)
        if self.aborted:
            raise self._closed_error()
        numbers = [number for number, _ in ready]
        if listening and self._socket.fileno() in numbers:
            return WaitResult.PEER
        return WaitResult.SOURCE if source in numbers else WaitResult.GONE

    def abort(self) -> None:
        """Wake a thread that waits here, so that it finds the connection closed. Thread-safe.

        The thread that uses the descriptor closes it: closing it here would wake no ``poll``, and
        another socket could get the number while the thread still reads from it.
        """
        self.aborted = True
        with suppress(OSError):
            socket.socket.shutdown(self._socket, socket.SHUT_RDWR)
        stop_polls(self._readable, self._read_write_poll)

    def close(self) -> None:
        """Close the socket without a close_notify alert. Idempotent."""
        if not self._closed:
            self._socket.close()
            self._closed = True  # last, so that an interrupted call can be repeated

    def check_inherited(self) -> None:
        """Raise if the connection belongs to the parent of a fork."""
        if self.inherited:
            raise self._closed_error()

    def close_inherited(self) -> None:
        """Close this process's descriptor of a connection that belongs to the parent of a fork.

        Nothing is received, shut down or sent, so that the parent can go on.
        """
        self.inherited = True
        self.close()

    def detach(self) -> socket.socket:
        """Return the socket itself, in blocking mode, for the caller to use and to close."""
        self._closed = True
        self._socket.setblocking(True)
        return self._socket

    def __del__(self) -> None:
        if not getattr(self, "_closed", True):  # an interrupt may have stopped __init__
            self.close()

    def _connection_error(self, exc: OSError) -> Error:
        if self.aborted or self._closed:
            return self._closed_error()
        return TransportError(f"the connection to {self.peer} was lost: {exc.strerror or exc}")

    def _closed_error(self) -> Error:
        if self.inherited:
            return TransportError(
                f"the connection to {self.peer} was opened before a fork, and belongs to the "
                "parent process. Read the body before the fork or in the parent, or send the "
                "request again in this process"
            )
        return TransportError(f"the connection to {self.peer} was closed from this side")


class SecureTransport(Transport):
    """A socket with TLS, after the handshake."""

    sends_files = False

    __slots__ = ("_outcome", "_reads_first", "_secure", "_writes_first")

    def __init__(self, sock: ssl.SSLSocket, peer: str) -> None:
        super().__init__(sock, peer)
        # A connection cut without the closing alert of TLS must not look like the end of a body
        # that is only ended by the connection.
        sock.suppress_ragged_eofs = False  # type: ignore[attr-defined]  # not in typeshed
        self._secure = sock
        # TLS may have to receive before it can send, and to send before it can receive.
        self._reads_first = False
        self._writes_first = False
        # The end or the error that ended receiving; each later receive has the same result.
        self._outcome: OSError | None = None

    def coalesce(self, buffers: list[Buffer]) -> list[Buffer]:
        """Return one buffer for each write: small ones joined, large ones cut with little copying.

        The first record is a separate buffer. So if a write fails later, a request that was sent in
        part does not count as not sent.
        """
        writes: list[Buffer] = []
        small: list[Buffer] = []
        for buffer in buffers:
            if len(buffer) <= _MAX_WRITE:
                small.append(buffer)
                continue
            view = memoryview(buffer)
            first = max(0, RECORD - sum(map(len, small)))
            writes.append(b"".join([*small, view[:first]]))
            cuts = range(first, len(view), _MAX_WRITE)
            writes += [view[at : at + _MAX_WRITE] for at in cuts[:-1]]
            small = [view[cuts[-1] :]]
        writes += [small[0] if len(small) == 1 else b"".join(small)] if small else []
        if len(writes[0]) > RECORD:
            view = memoryview(writes[0])
            writes[:1] = [view[:RECORD], view[RECORD:]]
        # Refill the list of the caller, who releases the buffers by clearing it.
        buffers[:] = writes
        return buffers

    def send(self, buffers: list[Buffer]) -> int:
        try:
            self._reads_first = False
            return self._secure.send(buffers[0])
        except ssl.SSLWantWriteError:
            return 0
        except ssl.SSLWantReadError:
            self._reads_first = True
            return 0
        except OSError as exc:
            raise self._connection_error(exc) from exc

    def receive(self, size: int) -> bytes | None:
        data = b""
        if self._outcome is None:
            try:
                self._writes_first = False
                # One call returns one record at most: a larger buffer would be allocated for
                # nothing.
                data = self._secure.recv(min(size, RECORD))
                if not data:
                    self._outcome = ssl.SSLZeroReturnError()
            except OSError as exc:
                if self._must_wait(exc):
                    return None
                self._outcome = exc.with_traceback(None)
        return data or self._end_received(b"")

    def receive_into(self, view: memoryview) -> int | None:
        count, size = 0, min(len(view), _MAX_READ)
        if self._outcome is None:
            try:
                self._writes_first = False
                while count < size and (received := self._secure.recv_into(view[count:size])):
                    count += received
                if count < size:
                    self._outcome = ssl.SSLZeroReturnError()
            except OSError as exc:
                if self._must_wait(exc):
                    return count or None
                # The bytes received before are returned first.
                self._outcome = exc.with_traceback(None)
        return count or self._end_received(0)

    def is_readable(self) -> bool:
        return self._has_pending() or super().is_readable()

    def is_idle(self) -> bool:
        # TLS 1.3 sends session tickets at any time: bytes, but not of the application.
        try:
            return not self.is_readable() or self.receive(1) is None
        except Error:
            return False

    def wait_readable(self, deadline: Deadline, doing: str) -> None:
        if self._writes_first:
            super().wait(READ | WRITE, deadline, doing)
        elif self._has_pending():
            deadline.remaining(doing)
        else:
            super().wait_readable(deadline, doing)

    def wait(self, events: int, deadline: Deadline, doing: str) -> int:
        if events & READ and self._has_pending():
            deadline.remaining(doing)
            return READ
        if self._reads_first:
            events = READ
        return super().wait(events, deadline, doing)

    def wait_for_source(
        self, source: int, deadline: Deadline, doing: str, *, listening: bool
    ) -> WaitResult:
        if listening and self._has_pending():
            deadline.remaining(doing)
            return WaitResult.PEER
        return super().wait_for_source(source, deadline, doing, listening=listening)

    def _has_pending(self) -> bool:
        """Return whether a receive has a result that ``poll`` cannot see.

        That is: decrypted bytes, or an end or an error that was found before.
        """
        if self._closed:
            return False
        return self._outcome is not None or self._secure.pending() > 0

    def _must_wait(self, exc: OSError) -> bool:
        """Return whether a read failed because nothing has arrived."""
        if isinstance(exc, ssl.SSLWantWriteError):
            self._writes_first = True
            return True
        return isinstance(exc, ssl.SSLWantReadError)

    def _end_received(self, end: _End) -> _End:
        """Return ``end``, or raise the error that ended receiving."""
        outcome = self._outcome
        if isinstance(outcome, ssl.SSLEOFError):
            self.missing_close_notify = True
        elif outcome is not None and not isinstance(outcome, ssl.SSLZeroReturnError):
            raise self._connection_error(outcome) from outcome
        return self._check_end(end)

    def _connection_error(self, exc: OSError) -> Error:
        if isinstance(exc, ssl.SSLError) and not self.aborted:
            return TLSError(f"TLS with {self.peer} failed: {describe_ssl_error(exc)}")
        return super()._connection_error(exc)


class NestedTransport(SecureTransport):
    """TLS inside TLS, after both handshakes."""

    __slots__ = ()

    def peer_address(self) -> str | None:
        name = cast("TLSInTLS", self._socket).outer.getpeername()
        return name[0] if isinstance(name, tuple) else None

    def abort(self) -> None:
        self.aborted = True
        with suppress(OSError):
            socket.socket.shutdown(cast("TLSInTLS", self._socket).outer, socket.SHUT_RDWR)
        stop_polls(self._readable, self._read_write_poll)
