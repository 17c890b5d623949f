"""A connected socket that never blocks by itself, in the clear; under TLS see ``secure.py``.

Sending and receiving say at once what could be done; ``wait`` is the one place where a thread
waits. What the socket raises becomes restkit's here.
"""

from __future__ import annotations

import os
import socket
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
from typing import TYPE_CHECKING, TypeVar

from restkit.errors import Error, TransportError

if TYPE_CHECKING:
    from restkit.payload import Buffer
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


class Beside(Enum):
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

    def wait_beside(self, source: int, clock: Clock, doing: str, *, listening: bool) -> Beside:
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
            return Beside.PEER
        return Beside.SOURCE if source in numbers else Beside.GONE

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
