"""A non-blocking socket: send, sendfile, receive; and ``poll`` on systems without it.

Windows lacks ``poll``, ``sendfile``, ``sendmsg`` and ``AF_UNIX``. This module replaces a missing
name by portable code, once, at import.

The code depends on these facts about Windows. ``select`` accepts only sockets, and a signal does
not interrupt it. It reports a failed connect in its exceptional set, which ``selectors`` adds to
the writable set (Lib/selectors.py). A non-blocking connect in progress returns WSAEWOULDBLOCK
(Winsock, connect).
"""

from __future__ import annotations

import errno
import os
import select
import socket
import sys
from abc import abstractmethod
from collections.abc import Callable
from errno import (
    ECONNABORTED,
    ECONNRESET,
    EHOSTDOWN,
    EHOSTUNREACH,
    EINPROGRESS,
    EINTR,
    EINVAL,
    EMFILE,
    ENETDOWN,
    ENETUNREACH,
    ENFILE,
    ENOSYS,
    ENOTCONN,
    ENOTSUP,
    EOPNOTSUPP,
    EPIPE,
    ETIMEDOUT,
)
from selectors import EVENT_READ, EVENT_WRITE, DefaultSelector
from time import monotonic, sleep
from typing import Any, Protocol, TypeVar

from restkit.io.buffers import Buffer

_End = TypeVar("_End", bytes, int)

READ: int = getattr(select, "POLLIN", 1)
WRITE: int = getattr(select, "POLLOUT", 4)
BLOCK = 64 * 1024

COPIED_TAIL = 32 * 1024 * 1024
"""The size of the tail of a file, which is copied and not sent by ``sendfile``.

``sendfile`` sends the content that a file has when its pages are transmitted; if the file was
truncated meanwhile, it sends zeros. The tail is larger than the buffers of a connection (tcp(7):
tcp_wmem and tcp_rmem, 4 and 6 MiB by default). So all pages were transmitted before the last copy
is read, and reading the tail detects a file that became shorter.
"""

NO_SENDFILE = (EINVAL, ENOSYS, ENOTSUP, EOPNOTSUPP)
"""The errors of ``sendfile`` on file systems that do not support it."""

AF_UNIX: int | None = getattr(socket, "AF_UNIX", None)
"""The family of Unix sockets; None if the system or its Python has none."""

CONNECT_IN_PROGRESS = (0, EINPROGRESS, EINTR, getattr(errno, "WSAEWOULDBLOCK", EINPROGRESS))
"""The results of ``connect_ex`` for a connection that is made, or may be made later."""

try:
    import fcntl
    import termios
except ImportError:  # Windows
    _TIOCOUTQ: int | None = None
else:
    _ioctl: Callable[[int, int, bytes], bytes] = getattr(fcntl, "ioctl")  # noqa: B009  # no type on Windows
    _TIOCOUTQ = getattr(termios, "TIOCOUTQ", None)  # the number of SIOCOUTQ

_HAS_SENDMSG = hasattr(socket.socket, "sendmsg")

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


class Poll(Protocol):
    """The methods of ``select.poll()`` that restkit uses."""

    def register(self, fd: Any, eventmask: int, /) -> object:
        """Watch a socket, or change the events that it is watched for."""

    def unregister(self, fd: Any, /) -> object:
        """Stop watching a socket."""

    @abstractmethod
    def poll(self, timeout: float | None = None, /) -> list[tuple[int, int]]:
        """Wait for events, at most ``timeout`` milliseconds; return descriptors with events."""


class PortablePoll:
    """A replacement of ``select.poll()``, by ``selectors``, for systems without it.

    It waits in steps, so that signal handlers run and ``stop()`` has an effect. No selector can
    watch a socket only for errors and hang-ups, with an event mask of 0. With such a socket,
    ``poll`` returns after one step, also without an event.

    >>> left, right = socket.socketpair()
    >>> poll = PortablePoll()
    >>> poll.register(left, READ); poll.poll(0)
    []
    >>> _ = right.send(b'x')
    >>> poll.poll() == [(left.fileno(), READ)]
    True
    >>> left.close(); right.close()
    """

    __slots__ = ("_events", "_stopped")

    STEP = 0.25  # seconds

    def __init__(self) -> None:
        self._events: dict[int, int] = {}
        self._stopped = False

    def register(self, fd: Any, eventmask: int, /) -> None:
        self._events[fd if isinstance(fd, int) else fd.fileno()] = eventmask

    def unregister(self, fd: Any, /) -> None:
        del self._events[fd if isinstance(fd, int) else fd.fileno()]

    def poll(self, timeout: float | None = None, /) -> list[tuple[int, int]]:
        end = None if timeout is None else monotonic() + timeout / 1000
        one_step = 0 in self._events.values()
        while True:
            left = self.STEP if end is None else max(0.0, end - monotonic())
            ready = self._select(min(self.STEP, left))
            if ready or one_step or self._stopped or left == 0.0:
                return ready

    def stop(self) -> None:
        """End the current wait of another thread, and each later wait, within one step."""
        self._stopped = True

    def _select(self, seconds: float) -> list[tuple[int, int]]:
        watched = {number: events for number, events in self._events.items() if events}
        try:
            # A selector may own a descriptor: it is closed after each step.
            with DefaultSelector() as selector:
                for number, events in watched.items():
                    reads = EVENT_READ if events & READ else 0
                    selector.register(number, reads | (EVENT_WRITE if events & WRITE else 0))
                found = selector.select(seconds)
        except (OSError, ValueError):
            # Not a socket, or closed. Like poll(), report an event: the next call of the caller
            # raises the error, or reads. The pause keeps a loop of the caller from using the CPU.
            sleep(min(seconds, 0.02))
            return list(watched.items())
        return [
            (key.fd, (READ if ready & EVENT_READ else 0) | (WRITE if ready & EVENT_WRITE else 0))
            for key, ready in found
        ]


poll: Callable[[], Poll] = getattr(select, "poll", PortablePoll)
"""``select.poll``, or its portable replacement."""

POLLS_FILES = hasattr(select, "poll")
"""Whether ``poll`` can watch pipes and terminals, and not only sockets."""


def stop_polls(*polls: Poll | None) -> None:
    """Wake the threads that wait in these polls after their sockets were shut down.

    ``select.poll`` returns by itself then, but ``select`` of Windows may not.
    """
    for each in polls:
        if isinstance(each, PortablePoll):
            each.stop()


def is_readable(descriptor: int, timeout_ms: float | None) -> bool:
    """Wait until the descriptor can be read, or the time is over; return whether it can."""
    readable = poll()
    readable.register(descriptor, READ)
    return bool(readable.poll(timeout_ms))


def make_socket_error(code: int) -> OSError:
    """Return the OSError for a result of ``connect_ex`` or a value of SO_ERROR."""
    texts: dict[int, str] = getattr(socket, "errorTab", {})  # exists on Windows only
    return OSError(code, texts.get(code) or os.strerror(code))


def _lack_sendfile(*_: int) -> int:
    raise OSError(ENOSYS, os.strerror(ENOSYS))


sendfile: Callable[[int, int, int, int], int] = getattr(os, "sendfile", _lack_sendfile)
"""``os.sendfile``, or a function that fails with one of ``NO_SENDFILE``."""


def count_unacknowledged(sock: socket.socket) -> int | None:
    """Return the number of sent bytes that the other side has not acknowledged (tcp(7), SIOCOUTQ).

    It is None on systems where this is unknown.
    """
    if _TIOCOUTQ is None:
        return None
    try:
        return int.from_bytes(_ioctl(sock.fileno(), _TIOCOUTQ, bytes(4)), sys.byteorder)
    except OSError:
        return None


def _join_first(buffers: list[Buffer]) -> Buffer:
    """Return the first bytes of several buffers for one ``send``, with little copying."""
    if len(buffers[0]) >= BLOCK:
        return buffers[0]
    joined = bytearray()
    for buffer in buffers:
        with memoryview(buffer) as view, view[: BLOCK - len(joined)] as part:
            joined += part
        if len(joined) == BLOCK:
            break
    return joined


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
            if _HAS_SENDMSG:
                sock: Any = self._socket  # no type of a socket has sendmsg on Windows
                count: int = sock.sendmsg(buffers)
                return count
            return self._socket.send(_join_first(buffers))
        except BlockingIOError:
            return 0
        except OSError as exc:
            raise self._connection_error(exc) from exc

    def send_file(self, descriptor: int, start: int, count: int) -> int | None:
        """Send bytes of a file by ``os.sendfile``; return how many, 0 at its end, None for later.

        An error of the file, not of the connection, is raised unchanged, as an OSError.
        """
        try:
            return sendfile(self._socket.fileno(), descriptor, start, count)
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
