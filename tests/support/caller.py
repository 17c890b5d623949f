"""A client that is nothing but a socket: what it sends, and what comes, byte for byte."""

from __future__ import annotations

import re
import socket
import struct
from contextlib import suppress

from .messages import HEAD_END, ChunkScan, field, is_chunked
from .peer import HANG_BOUND

_DATE = re.compile(
    rb"Date: (Mon|Tue|Wed|Thu|Fri|Sat|Sun), [0-3][0-9] [A-Z][a-z]{2} 20[0-9]{2} "
    rb"[0-2][0-9]:[0-5][0-9]:[0-6][0-9] GMT\r\n"
)


class Caller:
    """One connection to a server; everything raises TimeoutError when the server hangs."""

    def __init__(self, port: int, host: str = "127.0.0.1", *, receive_buffer: int = 0) -> None:
        self.sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        self.sock.settimeout(HANG_BOUND)
        if receive_buffer:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        try:
            self.sock.connect((host, port))
        except OSError:
            self.sock.close()
            raise
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._unread = bytearray()

    def __enter__(self) -> Caller:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def send(self, *pieces: bytes) -> None:
        """Send the pieces, each by itself."""
        for piece in pieces:
            self.sock.sendall(piece)

    def finish(self) -> None:
        """Send the end, and go on reading."""
        self.sock.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """Close with a reset."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def close(self) -> None:
        self.sock.close()

    def read_head(self) -> bytes:
        """A head, to its blank line and with it."""
        while (end := self._unread.find(HEAD_END)) < 0:
            self._need()
        return self._take(end + len(HEAD_END))

    def read_answer(self, *, to_head: bool = False) -> bytes:
        """One whole answer as it is on the wire, but without its Date, which must be one."""
        head = self.read_head()
        return without_date(head) + (b"" if to_head else self.read_body(head))

    def read_body(self, head: bytes) -> bytes:
        """The body that a head announces, as it is on the wire."""
        if is_chunked(head):
            return self._read_chunked()
        return self.read_exactly(int(field(head, "content-length") or 0))

    def read_exactly(self, size: int) -> bytes:
        while len(self._unread) < size:
            self._need()
        return self._take(size)

    def read_some(self) -> bytes:
        """What is there, as soon as there is something; b'' at the end."""
        if not self._unread:
            self._receive()
        return self._take(len(self._unread))

    def read_to_end(self) -> bytes:
        """Everything until the server closes; ConnectionResetError when it breaks."""
        while self._receive():
            pass
        return self._take(len(self._unread))

    def is_open(self) -> bool:
        """Whether the server still answers: one more request does get its answer."""
        with suppress(OSError, EOFError):
            self.send(b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n")
            head = self.read_head()
            self.read_body(head)
            return head.startswith(b"HTTP/1.1 ")
        return False

    def _read_chunked(self) -> bytes:
        scan, body = ChunkScan(keep=False), bytearray()
        while True:
            body += self._take(scan.feed(bytes(self._unread)))
            if scan.done:
                return bytes(body)
            self._need()

    def _take(self, size: int) -> bytes:
        taken = bytes(self._unread[:size])
        del self._unread[:size]
        return taken

    def _need(self) -> None:
        if not self._receive():
            raise EOFError(f"the server closed; unread: {bytes(self._unread[:200])!r}")

    def _receive(self) -> int:
        data = self.sock.recv(1 << 18)
        self._unread += data
        return len(data)


def without_date(head: bytes) -> bytes:
    """The head without its Date field, of which there must be one, and a right one."""
    assert len(_DATE.findall(head)) == 1, head
    return _DATE.sub(b"", head)


def said_by(port: int, request: bytes) -> bytes:
    """What a server says to this, to the end of the connection; the Dates are taken out."""
    with Caller(port) as caller:
        caller.send(request)
        return _DATE.sub(b"", caller.read_to_end())


def get(path: str = "/", *fields: str, method: str = "GET", version: str = "1.1") -> bytes:
    """A request without a body."""
    lines = [f"{method} {path} HTTP/{version}", "Host: x", *fields]
    return "\r\n".join(lines).encode("latin-1") + HEAD_END


def post(path: str, body: bytes, *fields: str) -> bytes:
    """A request with a body and its length."""
    return get(path, f"Content-Length: {len(body)}", *fields, method="POST") + body
