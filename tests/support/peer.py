"""One accepted connection, as a script sees it."""

from __future__ import annotations

import socket
import ssl
import struct
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from .messages import HEAD_END, ChunkScan, field, is_chunked
from .waiting import HANG_BOUND, until_arrived, until_taken

if TYPE_CHECKING:
    from .scripted import ScriptedServer


__all__ = ["HANG_BOUND", "ClientGone", "Peer"]


class ClientGone(Exception):
    """The client closed before it sent, or took, what the script wanted; ends a script quietly."""


class Peer:
    """The server's end of one connection.

    `wire` holds every byte read; `closed_by_client` says whether its end was seen, and
    `finished` whether the script is over.
    """

    def __init__(self, sock: socket.socket, server: ScriptedServer) -> None:
        sock.settimeout(HANG_BOUND)
        self.sock = sock
        self.wire = bytearray()
        self.closed_by_client = False
        self.finished = False
        self._server = server
        self._unread = bytearray()
        self._closed = False
        self._lock = threading.Lock()

    def secure(self, context: ssl.SSLContext) -> None:
        """Do the TLS handshake; the server does it before the script when it has a context."""
        with self._lock:
            secured = context.wrap_socket(
                self.sock, server_side=True, do_handshake_on_connect=False
            )
            self.sock = secured
        secured.do_handshake()

    # Reading

    def read_request(self) -> bytes:
        """One whole request, head and body as they are framed; it is recorded."""
        request = self.next_request()
        if request is None:
            raise ClientGone("closed instead of sending a request")
        return request

    def next_request(self) -> bytes | None:
        """Like `read_request`, but waits for its first byte without a bound; None at the end."""
        if not self._unread:
            self.sock.settimeout(None)
            arrived = self._receive()
            if self._closed:
                return None
            self.sock.settimeout(HANG_BOUND)
            if not arrived:
                return None
        head = self.read_head()
        request = head + self.read_body(head)
        with self._server.changed:
            self._server.requests.append(request)
            self._server.changed.notify_all()
        return request

    def read_head(self) -> bytes:
        """A message's head, to the blank line and with it."""
        return self.read_until(HEAD_END)

    def read_body(self, head: bytes) -> bytes:
        """The body that `head` announces, in its framing; b'' when it announces none."""
        if is_chunked(head):
            return self._read_chunked()
        return self.read_exactly(int(field(head, "content-length") or 0))

    def read_until(self, mark: bytes) -> bytes:
        """Everything up to `mark` and with it."""
        start = 0
        while (found := self._unread.find(mark, start)) < 0:
            start = max(0, len(self._unread) - len(mark) + 1)
            self._need(f"waiting for {mark!r}")
        return self._take(found + len(mark))

    def read_exactly(self, size: int) -> bytes:
        """`size` bytes, no more and no less."""
        self.wait_for(size)
        return self._take(size)

    def read_some(self, size: int = 65536) -> bytes:
        """What is there, as soon as there is something; b'' at the end."""
        if not self._unread:
            self._receive(size)
        return self._take(min(size, len(self._unread)))

    def wait_for(self, size: int) -> None:
        """Wait until `size` bytes have arrived, without taking them."""
        while len(self._unread) < size:
            self._need(f"waiting for {size} bytes")

    def read_to_end(self) -> bytes:
        """Everything until the client closes (or resets)."""
        while self._receive():
            pass
        return self._take(len(self._unread))

    def drop(self, size: int | None = None) -> int:
        """Read and forget `size` bytes, or all to the end; how many there were. Not in `wire`."""
        unread = len(self._unread)
        dropped = len(self._take(unread if size is None else min(size, unread)))
        while size is None or dropped < size:
            wanted = 1 << 18 if size is None else min(1 << 18, size - dropped)
            got = self._recv(wanted)
            if not got:
                break
            dropped += len(got)
        return dropped

    # Writing

    def send(self, *pieces: bytes) -> None:
        """Send the pieces, each by itself; ClientGone when the client takes no more."""
        for piece in pieces:
            try:
                self.sock.sendall(piece)
            except TimeoutError:
                raise
            except OSError as gone:
                raise ClientGone(f"took no more: {gone}") from gone

    def send_slowly(self, data: bytes, *, step: int = 1, pause: float = 0.0) -> None:
        """Send `step` bytes at a time, with a pause after each."""
        self.without_delay()
        for at in range(0, len(data), step):
            self.send(data[at : at + step])
            if pause:
                self.pause(pause)

    def without_delay(self) -> None:
        """Let each `send` leave as its own packet."""
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    # Time: these script what a peer does, they never wait for a state of the client

    def pause(self, seconds: float) -> None:
        """Do nothing for so long; cut short when the server is closed."""
        if self._server.stopping.wait(seconds):
            raise ClientGone("the server was closed during a pause")

    def until_taken(self) -> None:
        """Wait until the client has read everything that was sent."""
        until_taken(self.sock.getsockname()[1], self.sock.getpeername()[1])

    def until_arrived(self) -> None:
        """Wait until the client can read everything that was sent."""
        until_arrived(self.sock.getsockname()[1], self.sock.getpeername()[1])

    def wait(self, event: threading.Event) -> None:
        """Go on when the test sets the event."""
        end = time.monotonic() + HANG_BOUND
        while not event.wait(0.02):
            if self._server.stopping.is_set():
                raise ClientGone("the server was closed during a wait")
            if time.monotonic() > end:
                raise AssertionError("the event that the script waits for was never set")

    # Endings

    def close(self) -> None:
        """Close as a server does, over TLS with a close_notify. Unread bytes make it a reset."""
        if isinstance(self.sock, ssl.SSLSocket) and not self._closed:
            with suppress(OSError, ValueError):
                self.sock.settimeout(0)  # sends its half of the farewell and waits for none
                self.sock.unwrap()
        self.cut()

    def cut(self) -> None:
        """Close, over TLS without a farewell."""
        with self._lock:
            self._closed = True
            self.sock.close()

    def shutdown_write(self) -> None:
        """Send the end of the stream and go on reading."""
        self.sock.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """Close with a reset (RST) instead of an end (FIN).

        Read something first: a client may be reset while it is still connecting.
        """
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.cut()

    def cut_short(self) -> None:
        """From the server's thread: end what the script waits for, so that it can be joined."""
        with self._lock:
            if not self._closed:
                with suppress(OSError):
                    socket.socket.shutdown(self.sock, socket.SHUT_RDWR)

    # Inside

    def _read_chunked(self) -> bytes:
        scan, body = ChunkScan(keep=False), bytearray()
        while True:
            belongs = scan.feed(bytes(self._unread))
            body += self._take(belongs)
            if scan.done:
                return bytes(body)
            self._need("waiting for the rest of a chunked body")

    def _take(self, size: int) -> bytes:
        taken = bytes(self._unread[:size])
        del self._unread[:size]
        return taken

    def _need(self, doing: str) -> None:
        if not self._receive():
            raise ClientGone(f"closed while the server was {doing}; unread: {self._unread[:200]!r}")

    def _receive(self, size: int = 1 << 18) -> int:
        data = self._recv(size)
        self._unread += data
        self.wire += data
        return len(data)

    def _recv(self, size: int) -> bytes:
        try:
            data = self.sock.recv(size)
        except TimeoutError:
            raise
        except OSError:  # reset by the client, or closed by the server's end
            data = b""
        if not data:
            with self._server.changed:
                self.closed_by_client = True
                self._server.changed.notify_all()
        return data
