"""The socket of one client.

One accepted socket that never blocks by itself: what comes, what goes, and the waits between.

Sending and receiving say at once what could be done; ``wait`` is where a thread waits, and for no
longer than the idle time-out. Whatever the socket raises means that the client is gone, and is
ClientDisconnected here.
"""

from __future__ import annotations

import os
import socket
import struct
from contextlib import suppress
from errno import ECONNABORTED, ECONNRESET, ENETDOWN, ENETUNREACH, ENOTCONN, EPIPE, ETIMEDOUT
from select import POLLIN, POLLOUT, poll
from typing import TYPE_CHECKING, TypeVar

from restkit.errors import ClientDisconnected

if TYPE_CHECKING:
    from collections.abc import Sequence

    from restkit.io.buffers import Buffer


_End = TypeVar("_End", bytes, int)

READ = POLLIN
WRITE = POLLOUT
BLOCK = 64 * 1024

# Of what ``sendfile`` may fail with, these are the connection's; the others are the file's.
_LOST = frozenset((ECONNABORTED, ECONNRESET, ENETDOWN, ENETUNREACH, ENOTCONN, EPIPE, ETIMEDOUT))
_AT_ONCE = struct.pack("ii", 1, 0)
_SLICE = 0.25


class Channel:
    """A client's connection, for one thread at a time; ``where`` is the client's name.

    ``timeout``: the seconds for which nothing may come, or go, while it is waited for.
    ``end_counts``: its end would be taken for the end of an answer, and so it must not end, but
    break, before that. From any thread ``abort()`` wakes who waits. ``close()`` may be called
    twice.
    """

    __slots__ = ("_closed", "_poll", "_socket", "aborted", "end_counts", "timeout", "where")

    def __init__(self, sock: socket.socket, timeout: float, where: str) -> None:
        sock.setblocking(False)
        self._socket = sock
        self._poll: poll | None = None
        self._closed = False
        self.timeout = timeout
        self.where = where
        self.end_counts = False
        self.aborted = False

    def fileno(self) -> int:
        """Return the number of the socket."""
        return self._socket.fileno()

    def send(self, buffers: Sequence[Buffer]) -> int:
        """Send of these what can go at once; how many bytes went, 0 when none could."""
        if self.aborted:
            raise self._cut_off()
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
        if self.aborted:
            raise self._cut_off()
        try:
            return os.sendfile(self._socket.fileno(), number, start, count)
        except BlockingIOError:
            return None
        except OSError as exc:
            if exc.errno in _LOST:
                raise self._lost(exc) from exc
            raise

    def receive(self, size: int = BLOCK) -> bytes | None:
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

    def wait(self, events: int, doing: str) -> int:
        """Wait until READ, or WRITE, or one of both can be had; which of them.

        Raises ClientDisconnected when the idle time-out is over.
        """
        ready = self.wait_for(events, self.timeout)
        if not ready:
            raise ClientDisconnected(
                f"{self.where} kept still for {self.timeout:g} s while {doing}"
            )
        return ready

    def wait_for(self, events: int, seconds: float) -> int:
        """The same with a time of its own; 0 when that is over."""
        if self._poll is None:
            self._poll = poll()
        self._poll.register(self._socket.fileno(), events)
        left = seconds
        while True:
            step = min(left, _SLICE) if self.end_counts else left
            ready = self._poll.poll(step * 1000)
            left -= step
            if self.aborted:
                raise self._cut_off()
            if ready or left <= 0:
                return ready[0][1] if ready else 0

    def half_close(self) -> None:
        """Send the end, and go on listening."""
        try:
            self._socket.shutdown(socket.SHUT_WR)
        except OSError as exc:
            raise self._lost(exc) from exc

    def abort(self) -> None:
        """From any thread: wake whoever waits here, and let it find the connection cut off."""
        self.aborted = True
        # What would wake it at once sends the end as well.
        if not self.end_counts:
            with suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)

    def reset(self) -> None:
        """Close so that the client sees a fault and no end, whatever its bytes so far look like."""
        with suppress(OSError):
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
        self.close()

    def close(self) -> None:
        """Close the socket."""
        self._closed = True
        self._socket.close()

    def _lost(self, exc: OSError) -> ClientDisconnected:
        if self.aborted:
            return self._cut_off()
        return ClientDisconnected(f"{self.where} went away: {exc.strerror or exc}")

    def _ended(self, end: _End) -> _End:
        """The end, as ``receive`` gives it, unless it is one that this side has made."""
        if self.aborted:
            raise self._cut_off()
        return end

    def _cut_off(self) -> ClientDisconnected:
        return ClientDisconnected(f"the connection of {self.where} was cut off: the server closes")

    def __repr__(self) -> str:
        state = "closed" if self._closed else "cut off" if self.aborted else "open"
        return f"<Channel of {self.where}, {state}>"
