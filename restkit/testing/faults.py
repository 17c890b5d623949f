"""Faults of a server, and a socket that applies them and records what arrives."""

from __future__ import annotations

import socket
import struct
import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from threading import Event
from typing import TYPE_CHECKING, Any, Literal, NoReturn, TypeAlias

from restkit.testing.recording import ConnectionRecord

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer

Of: TypeAlias = Literal["request", "answer"]

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)
_DRAIN_SIZE = 1024 * 1024
_HEAD_END = b"\r\n\r\n"
_INFORMATIONAL = b"HTTP/1.1 1"


@dataclass(frozen=True, slots=True)
class Drop:
    """Close the connection after ``after`` bytes of the response, which include its head.

    With ``of='request'``, close it after ``after`` bytes of the request, which include its head,
    but not before that head is complete.

    >>> Drop(after=100)
    Drop(after=100, of='answer')
    """

    after: int = 0
    of: Of = "answer"


@dataclass(frozen=True, slots=True)
class Reset:
    """Reset the connection (RST) where ``Drop`` would close it.

    >>> Reset(of='request')
    Reset(after=0, of='request')
    """

    after: int = 0
    of: Of = "answer"


@dataclass(frozen=True, slots=True)
class Truncate:
    """Close the connection after ``body`` bytes of the response's body, framing included.

    >>> Truncate(body=10)
    Truncate(body=10)
    """

    body: int = 0


@dataclass(frozen=True, slots=True)
class Delay:
    """Send nothing for some seconds, after ``after`` bytes of the response.

    >>> Delay(0.5)
    Delay(seconds=0.5, after=0)
    """

    seconds: float
    after: int = 0


Fault: TypeAlias = Drop | Reset | Truncate | Delay


class FaultySocket(socket.socket):
    """A connected socket, taken over from ``sock``, that records what arrives and applies faults.

    The server's ClientSocket uses it by ``recv``, ``recv_into``, ``send`` and ``sendmsg`` only, and
    takes every OSError for the end of the connection. ``stopping`` ends delays early.
    """

    def __init__(self, sock: socket.socket, record: ConnectionRecord, stopping: Event) -> None:
        super().__init__(fileno=sock.detach())
        self._record = record
        self._stopping = stopping
        self._responses = 0
        self._request_faults: list[Drop | Reset] = []
        self._response_faults: list[Fault] = []
        self._sent = 0
        self._head = b""
        self._body_start: int | None = None

    def begin_response(self, faults: Sequence[Fault]) -> None:
        """Apply faults to a request whose head has arrived, and to its response.

        Raises OSError if one of them ends the connection at once.
        """
        self._responses += 1
        self._request_faults.clear()
        self._response_faults.clear()
        for fault in faults:
            if isinstance(fault, (Drop, Reset)) and fault.of == "request":
                self._request_faults.append(fault)
            else:
                self._response_faults.append(fault)
        self._sent = 0
        self._head = b""
        self._body_start = None
        self._limit_receiving(1)

    # Receiving

    def recv(self, bufsize: int, flags: int = 0, /) -> bytes:
        data = super().recv(self._limit_receiving(bufsize), flags)
        self._record.feed(data)
        return data

    def recv_into(self, buffer: WriteableBuffer, nbytes: int = 0, flags: int = 0) -> int:
        with memoryview(buffer) as view:
            size = self._limit_receiving(nbytes or len(view))
            count = super().recv_into(view, size, flags)
            self._record.feed(bytes(view[:count]))
        return count

    def _limit_receiving(self, size: int) -> int:
        """Return how many bytes may arrive before the next fault; raise OSError if it is due."""
        for fault in self._request_faults:
            received, complete = self._record.progress_of(self._responses - 1)
            if received >= fault.after:
                self._end(fault)
            if not complete:
                size = min(size, fault.after - received)
        return size

    # Sending

    def send(self, data: ReadableBuffer, flags: int = 0, /) -> int:
        if not self._response_faults:
            return super().send(data, flags)
        with memoryview(data) as view, view.cast("B") as flat:
            limit = self._limit_sending(flat)
            with flat[:limit] as allowed:
                count = super().send(allowed, flags)
            self._count_sent(bytes(flat[:count]))
        return count

    def sendmsg(self, buffers: Iterable[ReadableBuffer], /, *args: Any) -> int:
        return self.send(b"".join(buffers), *args[1:2])

    def _limit_sending(self, data: memoryview) -> int:
        """Return how many bytes may be sent before the next fault; raise OSError if it is due."""
        limit = len(data)
        for fault in list(self._response_faults):
            position = self._position_of(fault, data)
            if position > self._sent:
                limit = min(limit, position - self._sent)
            elif isinstance(fault, Delay):
                self._response_faults.remove(fault)
                self._stopping.wait(fault.seconds)
            else:
                self._end(fault)
        return limit

    def _count_sent(self, data: bytes) -> None:
        """Count sent bytes, and end the connection if that is due: more bytes may never come."""
        self._sent += len(data)
        if self._body_start is None:
            self._head += data
        for fault in self._response_faults:
            if self._position_of(fault) <= self._sent:
                if isinstance(fault, Delay):
                    break  # it comes first, before the next byte
                self._end(fault)

    def _position_of(self, fault: Fault, data: memoryview | bytes = b"") -> int:
        """Return the number of bytes before a fault; ``data`` is what is sent next."""
        if not isinstance(fault, Truncate):
            return fault.after
        if self._body_start is None:
            self._body_start = _find_body(self._head + data)
        return sys.maxsize if self._body_start is None else self._body_start + fault.body

    # Ending

    def _end(self, fault: Fault) -> NoReturn:
        if isinstance(fault, Reset):
            self.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
            self.close()
        else:
            with suppress(OSError):
                self.shutdown(socket.SHUT_WR)
                # Unread bytes would turn the end into a reset.
                while super().recv(_DRAIN_SIZE):
                    pass
        raise ConnectionAbortedError(f"{fault} was injected")


def _find_body(sent: bytes) -> int | None:
    """Return where the body of a response starts; None if its final head is incomplete."""
    start = 0
    while (end := sent.find(_HEAD_END, start)) >= 0:
        informational = sent.startswith(_INFORMATIONAL, start)
        start = end + len(_HEAD_END)
        if not informational:
            return start
    return None
