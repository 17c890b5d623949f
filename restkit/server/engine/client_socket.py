"""The socket of one client, with an idle timeout.

Sending and receiving never block; a thread only waits in ``wait_for``. Every error of the socket
means that the client is gone, and is raised as ClientDisconnected.
"""

from __future__ import annotations

import socket
import struct
from contextlib import suppress
from time import monotonic

from restkit.errors import ClientDisconnected
from restkit.io.buffers import Buffer
from restkit.io.sockets import (
    BLOCK,
    READ,
    NonBlockingSocket,
    Poll,
    count_unacknowledged,
    poll,
    stop_polls,
)

DRAIN_BYTES = 256 * 1024 * 1024
DRAIN_SECONDS = 10.0

_DRAIN_STEP = 1024 * 1024
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)
_SLICE = 0.25  # seconds between two looks at ``aborted``, if nothing else wakes the thread


class ClientSocket(NonBlockingSocket):
    """The socket of one client, for one thread at a time.

    ``client`` is the client's name in messages. ``timeout`` is the number of seconds that the
    client may be silent. ``close_ends_response`` is True while the client would take the end of
    the connection for the end of the response; then the connection must be reset, not closed.
    Any thread may call ``abort()``, which wakes the waiting thread. ``close()`` is idempotent.
    """

    __slots__ = ("_poll", "client", "close_ends_response", "timeout")

    def __init__(self, sock: socket.socket, timeout: float, client: str) -> None:
        super().__init__(sock)
        self._poll: Poll | None = None
        self.client = client
        self.timeout = timeout
        self.close_ends_response = False

    def fileno(self) -> int:
        """Return the descriptor of the socket."""
        return self._socket.fileno()

    def send(self, buffers: list[Buffer]) -> int:
        """Send what can be sent at once; return the number of bytes, 0 if none could be sent."""
        if self.aborted:
            raise self._closed_error()
        return super().send(buffers)

    def send_file(self, descriptor: int, start: int, count: int) -> int | None:
        """Send bytes of a file by ``os.sendfile``; return how many, 0 at its end, None for later.

        An error of the file, not of the connection, is raised unchanged, as an OSError.
        """
        if self.aborted:
            raise self._closed_error()
        return super().send_file(descriptor, start, count)

    def wait_for(self, events: int, seconds: float) -> int:
        """Wait at most ``seconds`` for READ and WRITE; return those that occurred, or 0."""
        if self._poll is None:
            self._poll = poll()
        self._poll.register(self._socket.fileno(), events)
        left = seconds
        while True:
            step = min(left, _SLICE) if self.close_ends_response else left
            ready = self._poll.poll(step * 1000)
            left -= step
            if self.aborted:
                raise self._closed_error()
            if ready or left <= 0:
                return ready[0][1] if ready else 0

    def count_unread(self) -> int | None:
        """Return how many sent bytes the client has not yet acknowledged; None if unknown.

        The event WRITE occurs only after a third of a full buffer was acknowledged, which may be a
        megabyte.
        """
        return count_unacknowledged(self._socket)

    def half_close(self) -> None:
        """End the sending side; the client can still send."""
        try:
            self._shut_down(socket.SHUT_WR)
        except OSError as exc:
            raise self._connection_error(exc) from exc

    def abort(self) -> None:
        """Cut the connection off and wake the thread that waits for it. Any thread may call it."""
        self.aborted = True
        # shutdown() wakes the thread at once, but also sends the end of the connection.
        if not self.close_ends_response:
            with suppress(OSError):
                self._shut_down(socket.SHUT_RDWR)
        stop_polls(self._poll)

    def reset(self) -> None:
        """Close by a reset (RST), so that the client cannot take a part for the whole response."""
        with suppress(OSError):
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self.close()

    def close(self) -> None:
        """Close the socket. Idempotent."""
        self._closed = True
        self._socket.close()

    def _shut_down(self, how: int) -> None:
        self._socket.shutdown(how)

    def _connection_error(self, exc: OSError) -> ClientDisconnected:
        if self.aborted:
            return self._closed_error()
        return ClientDisconnected(f"{self.client} disconnected: {exc.strerror or exc}")

    def _closed_error(self) -> ClientDisconnected:
        return ClientDisconnected(f"{self.client} was cut off: the server closes")

    def __repr__(self) -> str:
        state = "closed" if self._closed else "cut off" if self.aborted else "open"
        return f"<ClientSocket of {self.client}, {state}>"


class Drain:
    """Read and discard what a client still sends after the last response, within bounds.

    If its bytes met a closed socket, the system would send a reset, and the client could lose the
    response before it has read it (RFC 9112 9.6). ``deadline`` is the time at which this ends.
    """

    def __init__(self, sock: ClientSocket) -> None:
        sock.half_close()
        self._socket = sock
        self._bytes_left = DRAIN_BYTES
        self.deadline = monotonic() + DRAIN_SECONDS

    def step(self) -> bool:
        """Discard what has arrived; return whether more may arrive."""
        stop = self._bytes_left - _DRAIN_STEP  # then the other connections have their turn
        while self._bytes_left > stop:
            data = self._socket.receive(BLOCK)
            if data is None:
                break
            if not data:
                return False
            self._bytes_left -= len(data)
        return self._bytes_left > 0 and monotonic() < self.deadline

    def run(self) -> None:
        """Discard everything until the client ends its side, or a bound is reached. Blocks."""
        while self.step() and self._socket.wait_for(READ, max(0.0, self.deadline - monotonic())):
            pass
