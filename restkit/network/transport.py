"""A connected socket with deadlines, plain or TLS.

A connected socket that never blocks by itself, in the clear; under TLS see ``secure.py``.

Sending and receiving say at once what could be done; ``wait`` is the one place where a thread
waits. What the socket raises becomes restkit's here.

A socket under TLS, or under TLS inside of TLS, as the transport that the exchange sees.

Facts the code rests on. ``SSLSocket.shutdown`` throws its TLS state away before it shuts down,
and a thread that is reading would then be given ciphertext: the plain socket's method is called
instead (CPython 3.10 to 3.14, Lib/ssl.py). A write that OpenSSL could not finish must be tried
again with the same bytes (SSL_write(3)); buffers wait unchanged until they are gone. Nothing of
a write is counted before all of it is out.
"""

from __future__ import annotations

import os
import socket
import ssl
from contextlib import suppress
from enum import Enum
from errno import (
    ECONNABORTED,
    ECONNRESET,
    EHOSTDOWN,
    EHOSTUNREACH,
    ENETDOWN,
    ENETUNREACH,
    ENOTCONN,
    EPIPE,
    ETIMEDOUT,
)
from select import POLLIN, POLLOUT, poll
from typing import TYPE_CHECKING, TypeVar, cast

from restkit.errors import Error, TLSError, TransportError
from restkit.network.tls import in_words
from restkit.network.tls_in_tls import TLSInTLS

if TYPE_CHECKING:
    from restkit.io.buffers import Buffer
    from restkit.timeouts import Clock


_End = TypeVar("_End", bytes, int)

READ = POLLIN
WRITE = POLLOUT
BLOCK = 64 * 1024

# Of what ``sendfile`` may fail with, these are the connection's; the others are the file's.
_LOST = frozenset(
    (
        ECONNABORTED,
        ECONNRESET,
        EHOSTDOWN,
        EHOSTUNREACH,
        ENETDOWN,
        ENETUNREACH,
        ENOTCONN,
        EPIPE,
        ETIMEDOUT,
    )
)


class WaitResult(Enum):
    """What has come about while the caller's source was waited for, and the peer beside it."""

    SOURCE = "the source has something to give, or has ended"
    PEER = "the peer has said something"
    GONE = "the peer, which had nothing more to say, takes nothing more either"


class Transport:
    """A socket in the clear. ``where`` is the peer's name for messages."""

    sends_files = True

    __slots__ = ("_both", "_closed", "_readable", "_socket", "aborted", "cut_off", "where")

    def __init__(self, sock: socket.socket, where: str) -> None:
        sock.setblocking(False)
        self._socket = sock
        self.where = where
        self._readable = poll()
        self._readable.register(sock.fileno(), POLLIN)
        self._both: poll | None = None
        self.aborted = False
        self._closed = False
        # Whether the end that was seen lacked the goodbye that this kind of connection has.
        self.cut_off = False

    def send(self, buffers: list[Buffer]) -> int:
        """Send of these what can go at once; how many bytes went, 0 when none could."""
        try:
            if len(buffers) == 1:
                return self._socket.send(buffers[0])
            return self._socket.sendmsg(buffers)
        except BlockingIOError:
            return 0
        except OSError as exc:
            raise self._lost(exc) from exc

    def send_file(self, number: int, start: int, count: int) -> int | None:
        """Let the system send from a file; how many bytes went, 0 at its end, None for none now.

        What is wrong with the file, and not with the connection, is the OSError it is.
        """
        try:
            return os.sendfile(self._socket.fileno(), number, start, count)
        except BlockingIOError:
            return None
        except OSError as exc:
            if exc.errno in _LOST:
                raise self._lost(exc) from exc
            raise

    def joined(self, buffers: list[Buffer]) -> list[Buffer]:
        """The buffers as ``send`` wants to see them, the same at every try."""
        return buffers

    def receive(self, size: int) -> bytes | None:
        """What is there, at most ``size`` bytes; ``b''`` at the end, None when nothing is."""
        try:
            return self._socket.recv(size) or self._ended(b"")
        except BlockingIOError:
            return None
        except OSError as exc:
            raise self._lost(exc) from exc

    def receive_into(self, view: memoryview) -> int | None:
        """The same into ``view``: a count, 0 at the end, None when nothing is there."""
        try:
            return self._socket.recv_into(view) or self._ended(0)
        except BlockingIOError:
            return None
        except OSError as exc:
            raise self._lost(exc) from exc

    def readable(self) -> bool:
        """Whether there is something to receive now, the end included."""
        return bool(self._readable.poll(0))

    def quiet(self) -> bool:
        """Whether a resting connection is as it should be: open, and nothing to say."""
        return not self._readable.poll(0)

    def wait_readable(self, clock: Clock, doing: str) -> None:
        """Wait until something can be received; raises IdleTimeout or TotalTimeout."""
        if not self._readable.poll(clock.idle_ms(doing)):
            clock.raise_idle(doing)
        if self.aborted:
            raise self._closed_by_another()

    def wait(self, events: int, clock: Clock, doing: str) -> int:
        """Wait until one of the events can be had; which of them."""
        if self._both is None:
            self._both = poll()
        self._both.register(self._socket.fileno(), events)
        ready = self._both.poll(clock.idle_ms(doing))
        if self.aborted:
            raise self._closed_by_another()
        if not ready:
            clock.raise_idle(doing)
        return ready[0][1]

    def wait_beside(self, source: int, clock: Clock, doing: str, *, listening: bool) -> WaitResult:
        """Wait for the caller's source, and for the peer; what there is to be done.

        A source may take its time: only the total clock runs.
        """
        both = poll()
        both.register(source, POLLIN)
        # What has ended is readable for ever; the event of being shut down comes unasked.
        both.register(self._socket.fileno(), POLLIN if listening else 0)
        while not (ready := both.poll(clock.total_ms(doing))):
            clock.left(doing)
        if self.aborted:
            raise self._closed_by_another()
        numbers = [number for number, _ in ready]
        if listening and self._socket.fileno() in numbers:
            return WaitResult.PEER
        return WaitResult.SOURCE if source in numbers else WaitResult.GONE

    def abort(self) -> None:
        """From any thread: wake whoever waits here, and let it find the connection closed.

        The number itself is closed by the thread that uses it: closing it here would wake no
        ``poll``, and could hand the number to somebody else's socket under a reader's hands.
        """
        self.aborted = True
        with suppress(OSError):
            socket.socket.shutdown(self._socket, socket.SHUT_RDWR)

    def close(self) -> None:
        """Close the socket, without a word to the peer."""
        if not self._closed:
            self._closed = True
            self._socket.close()

    def detach(self) -> socket.socket:
        """The socket itself, made to block, for somebody else to use and to close."""
        self._closed = True
        self._socket.setblocking(True)
        return self._socket

    def __del__(self) -> None:
        if not getattr(self, "_closed", True):  # an interrupt may have kept it from being made
            self.close()

    def _lost(self, exc: OSError) -> Error:
        if self.aborted or self._closed:
            return self._closed_by_another()
        return TransportError(f"the connection to {self.where} was lost: {exc.strerror or exc}")

    def _ended(self, end: _End) -> _End:
        """The end, as ``receive`` gives it, unless it is one that this side has made."""
        if self.aborted:
            raise self._closed_by_another()
        return end

    def _closed_by_another(self) -> Error:
        return TransportError(f"the connection to {self.where} was closed from this side")


RECORD = 16 * 1024  # RFC 8446 5.1
_PART = 1024 * 1024


class SecureTransport(Transport):
    """A socket under TLS, its handshake done."""

    sends_files = False

    __slots__ = ("_reads_first", "_secure", "_writes_first")

    def __init__(self, sock: ssl.SSLSocket, where: str) -> None:
        super().__init__(sock, where)
        # A connection cut off without TLS's own goodbye must not look like the end of a body
        # that has no other mark of its end.
        sock.suppress_ragged_eofs = False  # type: ignore[attr-defined]  # not in typeshed
        self._secure = sock
        # TLS may have to receive before it can send, and the other way round.
        self._reads_first = False
        self._writes_first = False

    def joined(self, buffers: list[Buffer]) -> list[Buffer]:
        """One write each: small ones go together, of big ones no more is copied than a part.

        With the first record by itself, what has left in part is never taken for something that
        has not left.
        """
        parts: list[Buffer] = []
        small: list[Buffer] = []
        for buffer in buffers:
            if len(buffer) <= _PART:
                small.append(buffer)
                continue
            view = memoryview(buffer)
            first = max(0, RECORD - sum(map(len, small)))
            parts.append(b"".join([*small, view[:first]]))
            cuts = range(first, len(view), _PART)
            parts += [view[at : at + _PART] for at in cuts[:-1]]
            small = [view[cuts[-1] :]]
        parts += [small[0] if len(small) == 1 else b"".join(small)] if small else []
        if len(parts[0]) > RECORD:
            view = memoryview(parts[0])
            parts[:1] = [view[:RECORD], view[RECORD:]]
        # Not kept in two lists: whoever sends lets go of them by emptying the one it gave.
        buffers[:] = parts
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
            raise self._lost(exc) from exc

    def receive(self, size: int) -> bytes | None:
        try:
            self._writes_first = False
            # One call gives one record at most: room for more would be made and thrown away.
            return self._secure.recv(min(size, RECORD)) or self._ended(b"")
        except ssl.SSLError as exc:
            return b"" if self._at_end(exc) else None
        except OSError as exc:
            raise self._lost(exc) from exc

    def receive_into(self, view: memoryview) -> int | None:
        count = 0
        try:
            self._writes_first = False
            while count < len(view) and (came := self._secure.recv_into(view[count:])):
                count += came
        except ssl.SSLError as exc:
            # What came before stands; the next call will find the same.
            if not count:
                return 0 if self._at_end(exc) else None
        except OSError as exc:
            if not count:
                raise self._lost(exc) from exc
        return count or self._ended(0)

    def readable(self) -> bool:
        return self._has_pending() or super().readable()

    def quiet(self) -> bool:
        # TLS 1.3 hands out session tickets when it likes: bytes, but not of the application.
        try:
            return not self.readable() or self.receive(1) is None
        except Error:
            return False

    def wait_readable(self, clock: Clock, doing: str) -> None:
        if self._writes_first:
            super().wait(READ | WRITE, clock, doing)
        elif not self._has_pending():
            super().wait_readable(clock, doing)

    def wait(self, events: int, clock: Clock, doing: str) -> int:
        if events & READ and self._has_pending():
            return READ
        if self._reads_first:
            events = READ
        return super().wait(events, clock, doing)

    def wait_beside(self, source: int, clock: Clock, doing: str, *, listening: bool) -> WaitResult:
        if listening and self._has_pending():
            return WaitResult.PEER
        return super().wait_beside(source, clock, doing, listening=listening)

    def _has_pending(self) -> bool:
        """Whether bytes are here already that no ``poll`` can see."""
        return not self._closed and self._secure.pending() > 0

    def _at_end(self, exc: ssl.SSLError) -> bool:
        """What a failed read means: the end, or (False) that nothing is there; or it raises."""
        if isinstance(exc, ssl.SSLEOFError):
            self.cut_off = True
            self._ended(0)
            return True
        if isinstance(exc, ssl.SSLWantWriteError):
            self._writes_first = True
        elif not isinstance(exc, ssl.SSLWantReadError):
            raise self._lost(exc) from exc
        return False

    def _lost(self, exc: OSError) -> Error:
        if isinstance(exc, ssl.SSLError) and not self.aborted:
            return TLSError(f"TLS with {self.where} failed: {in_words(exc)}")
        return super()._lost(exc)


class NestedTransport(SecureTransport):
    """TLS inside of TLS, its handshakes done."""

    __slots__ = ()

    def abort(self) -> None:
        self.aborted = True
        with suppress(OSError):
            socket.socket.shutdown(cast("TLSInTLS", self._socket).outer, socket.SHUT_RDWR)


def transport_of(sock: socket.socket | TLSInTLS, where: str) -> Transport:
    """The transport that fits a connected socket."""
    if isinstance(sock, TLSInTLS):
        return NestedTransport(cast("ssl.SSLSocket", sock), where)
    if isinstance(sock, ssl.SSLSocket):
        return SecureTransport(sock, where)
    return Transport(sock, where)
