"""A non-blocking socket: send, sendfile, receive."""

from __future__ import annotations

import os
import socket
from errno import (
    ECONNABORTED,
    ECONNRESET,
    EHOSTDOWN,
    EHOSTUNREACH,
    EINVAL,
    EMFILE,
    ENETDOWN,
    ENETUNREACH,
    ENFILE,
    ENOSYS,
    ENOTCONN,
    EOPNOTSUPP,
    EPIPE,
    ETIMEDOUT,
)
from select import POLLIN, POLLOUT
from typing import TypeVar

from restkit.io.buffers import Buffer

_End = TypeVar("_End", bytes, int)

READ = POLLIN
WRITE = POLLOUT
BLOCK = 64 * 1024

COPIED_TAIL = 32 * 1024 * 1024
"""The size of the tail of a file, which is copied and not sent by ``sendfile``.

``sendfile`` sends the content that a file has when its pages are transmitted; if the file was
truncated meanwhile, it sends zeros. The tail is larger than the buffers of a connection (tcp(7):
tcp_wmem and tcp_rmem, 4 and 6 MiB by default). So all pages were transmitted before the last copy
is read, and reading the tail detects a file that became shorter.
"""

NO_SENDFILE = (EINVAL, ENOSYS, EOPNOTSUPP)
"""The errors of ``sendfile`` on file systems that do not support it."""

# The errors of ``sendfile`` that belong to the connection; all others belong to the file.
_CONNECTION_ERRORS = frozenset(
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


_NO_DESCRIPTOR = frozenset((EMFILE, ENFILE))


def lacks_descriptor(error: BaseException) -> bool:
    """Whether an exception, or one of its causes, means that no file descriptor is free."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, socket.gaierror):
            return not _can_open()
        if isinstance(cause, OSError) and cause.errno in _NO_DESCRIPTOR:
            return True
        cause = cause.__cause__
    return False


def _can_open() -> bool:
    # glibc reports an unknown name if it cannot open its own files and sockets.
    try:
        socket.socket().close()
    except OSError as exc:
        return exc.errno not in _NO_DESCRIPTOR
    return True


class NonBlockingSocket:
    """A connected socket that never blocks, the base of the client's and the server's transport.

    Sending and receiving do what is possible at once, and return the number of bytes. A subclass
    adds the waits, and two hooks that make its errors: ``_connection_error(exc)`` for an OSError
    of the connection, and ``_closed_error()`` for a connection that this side has closed.
    ``aborted`` is True once another thread has closed the connection.
    """

    __slots__ = ("_closed", "_socket", "aborted")

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self._socket = sock
        self._closed = False
        self.aborted = False

    def send(self, buffers: list[Buffer]) -> int:
        """Send what can be sent at once; return the number of bytes, 0 if none could be sent."""
        try:
            if len(buffers) == 1:
                return self._socket.send(buffers[0])
            return self._socket.sendmsg(buffers)
        except BlockingIOError:
            return 0
        except OSError as exc:
            raise self._connection_error(exc) from exc

    def send_file(self, descriptor: int, start: int, count: int) -> int | None:
        """Send bytes of a file by ``os.sendfile``; return how many, 0 at its end, None for later.

        An error of the file, not of the connection, is raised unchanged, as an OSError.
        """
        try:
            return os.sendfile(self._socket.fileno(), descriptor, start, count)
        except BlockingIOError:
            return None
        except OSError as exc:
            if exc.errno in _CONNECTION_ERRORS:
                raise self._connection_error(exc) from exc
            raise

    def receive(self, size: int) -> bytes | None:
        """Return up to ``size`` bytes; ``b''`` at the end, None if nothing has arrived."""
        try:
            return self._socket.recv(size) or self._check_end(b"")
        except BlockingIOError:
            return None
        except OSError as exc:
            raise self._connection_error(exc) from exc

    def receive_into(self, view: memoryview) -> int | None:
        """Receive into ``view``; return the count, 0 at the end, None if nothing has arrived."""
        try:
            return self._socket.recv_into(view) or self._check_end(0)
        except BlockingIOError:
            return None
        except OSError as exc:
            raise self._connection_error(exc) from exc

    def _check_end(self, end: _End) -> _End:
        """Return ``end``; raise if ``abort`` closed the connection, and not the other side."""
        if self.aborted:
            raise self._closed_error()
        return end

    def _connection_error(self, exc: OSError) -> Exception:
        """Return the error for an OSError that the connection raised."""
        raise NotImplementedError

    def _closed_error(self) -> Exception:
        """Return the error for a connection that this side has closed."""
        raise NotImplementedError
