"""One non-blocking end of a connection that a proxy forwards, plain or inside TLS."""

from __future__ import annotations

import socket
import ssl
import struct
from contextlib import suppress

from .waiting import HANG_BOUND

_WOULD_BLOCK = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


class Link:
    """A socket, and the bytes that it could not send yet."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self.descriptor = sock.fileno()
        self.outgoing = bytearray()
        self.ended = False  # nothing more can be received
        self._broken = False
        self._closed = False
        self._writing_ended = False
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # Not less: a buffer below the segment size of loopback, 64 KiB, makes TCP wait for timers.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 16)
        sock.setblocking(False)

    @property
    def has_pending(self) -> bool:
        """Whether TLS holds decrypted bytes."""
        return isinstance(self._sock, ssl.SSLSocket) and self._sock.pending() > 0

    def secure(self, context: ssl.SSLContext) -> bool:
        """Do the TLS handshake as the server; return whether it succeeded."""
        self._sock.settimeout(HANG_BOUND)
        try:
            self._sock = context.wrap_socket(
                self._sock,
                server_side=True,
                do_handshake_on_connect=False,
                suppress_ragged_eofs=True,
            )
            self._sock.do_handshake()
        except OSError:
            return False
        self._sock.setblocking(False)
        return True

    def receive(self, size: int) -> bytes | None:
        """Return what has arrived, None if nothing has, and b'' at the end."""
        try:
            data = self._sock.recv(size)
        except _WOULD_BLOCK:
            return None
        except OSError:
            data = b""
        self.ended = self.ended or not data
        return data

    def drain(self) -> bytes:
        """Wait for bytes; return b'' at the end. With TLS, they are ciphertext."""
        if self._closed:
            return b""
        try:
            self._sock.settimeout(HANG_BOUND)
            return socket.socket.recv(self._sock, 1 << 16)
        except (OSError, ValueError):
            return b""

    def send(self, data: bytes) -> bool:
        """Send bytes, or keep them to be sent; return False if nobody receives them."""
        self.outgoing += data
        return self.flush()

    def flush(self) -> bool:
        """Send what was kept, as far as possible; return False if nobody receives it."""
        try:
            while self.outgoing and not self._broken:
                del self.outgoing[: self._sock.send(bytes(self.outgoing))]
        except _WOULD_BLOCK:
            pass
        except OSError:
            self._broken = True
        if self._broken:
            self.outgoing.clear()
        return not self._broken

    def flush_all(self) -> None:
        """Send what was kept; blocks."""
        if self.outgoing and not self._broken:
            with suppress(OSError):
                self._sock.settimeout(HANG_BOUND)
                self._sock.sendall(bytes(self.outgoing))
                self._sock.setblocking(False)
            self.outgoing.clear()

    def send_raw(self, data: bytes) -> None:
        """Send bytes that bypass TLS."""
        with suppress(OSError):
            socket.socket.sendall(self._sock, data)

    def end_writing(self, *, farewell: bool) -> None:
        """Send the end of the stream, with TLS after a close_notify alert if ``farewell``."""
        if not self._writing_ended:
            if farewell and isinstance(self._sock, ssl.SSLSocket):
                with suppress(OSError, ValueError):
                    self._sock.unwrap()
            self.shut_down_writing()

    def shut_down_writing(self) -> None:
        """Send the end of the stream; more can be received."""
        self._writing_ended = True
        with suppress(OSError):
            socket.socket.shutdown(self._sock, socket.SHUT_WR)

    def shut_down(self) -> None:
        """End both directions, from another thread."""
        with suppress(OSError):
            socket.socket.shutdown(self._sock, socket.SHUT_RDWR)

    def reset(self) -> None:
        """Close with a reset."""
        with suppress(OSError):
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._closed = True
        self._sock.close()

    def close(self) -> None:
        """Close. Idempotent."""
        self._closed = True
        self._sock.close()
