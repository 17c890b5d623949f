"""Make a server misbehave.

What a server may be told to do to a connection: values.

A server's socket under observation: what comes is written down, what goes may be disturbed.

The server's Channel reads and writes it with ``recv``, ``recv_into``, ``send`` and ``sendmsg``
alone, and takes any ``OSError`` for the end of the connection.
"""

from __future__ import annotations

import socket
import struct
import sys
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NoReturn, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from threading import Event

    from _typeshed import ReadableBuffer, WriteableBuffer

    from restkit.testing.recording import Arrivals


Of = Literal["request", "answer"]


@dataclass(frozen=True, slots=True)
class Drop:
    """The connection is closed when ``after`` bytes of the answer have left, its head included.

    ``of='request'``: when so many bytes of the request have come, its head included; at the
    earliest when that head is there.
    """

    after: int = 0
    of: Of = "answer"


@dataclass(frozen=True, slots=True)
class Reset:
    """As ``Drop``, but the connection is reset (RST), and does not just end."""

    after: int = 0
    of: Of = "answer"


@dataclass(frozen=True, slots=True)
class Truncate:
    """The connection is closed after ``body`` bytes of the answer's body, as it is on the wire."""

    body: int = 0


@dataclass(frozen=True, slots=True)
class Delay:
    """Nothing is sent for so many seconds, when ``after`` bytes of the answer have left."""

    seconds: float
    after: int = 0


Fault: TypeAlias = "Drop | Reset | Truncate | Delay"


_AT_ONCE = struct.pack("ii", 1, 0)
_DRAINED = 1024 * 1024
_HEAD_END = b"\r\n\r\n"
_INTERIM = b"HTTP/1.1 1"


class WatchedSocket(socket.socket):
    """Takes a connected socket over; ``stopping`` cuts delays short."""

    def __init__(self, sock: socket.socket, arrivals: Arrivals, stopping: Event) -> None:
        super().__init__(fileno=sock.detach())
        self._arrivals = arrivals
        self._stopping = stopping
        self._answers = 0
        self._of_request: list[Drop | Reset] = []
        self._of_answer: list[Fault] = []
        self._left = 0
        self._head = b""
        self._body_at: int | None = None

    def begin_answer(self, faults: Sequence[Fault]) -> None:
        """Disturb a request whose head is there, and its answer; OSError where it ends by that."""
        self._answers += 1
        self._of_request.clear()
        self._of_answer.clear()
        for fault in faults:
            if isinstance(fault, (Drop, Reset)) and fault.of == "request":
                self._of_request.append(fault)
            else:
                self._of_answer.append(fault)
        self._left = 0
        self._head = b""
        self._body_at = None
        self._room_to_receive(1)

    # Receiving

    def recv(self, bufsize: int, flags: int = 0, /) -> bytes:
        data = super().recv(self._room_to_receive(bufsize), flags)
        self._arrivals.feed(data)
        return data

    def recv_into(self, buffer: WriteableBuffer, nbytes: int = 0, flags: int = 0) -> int:
        with memoryview(buffer) as view:
            size = self._room_to_receive(nbytes or len(view))
            count = super().recv_into(view, size, flags)
            self._arrivals.feed(bytes(view[:count]))
        return count

    def _room_to_receive(self, size: int) -> int:
        """How much may come before the next fault; raises OSError where that has its turn."""
        for fault in self._of_request:
            come, whole = self._arrivals.of_request(self._answers - 1)
            if come >= fault.after:
                self._end(fault)
            if not whole:
                size = min(size, fault.after - come)
        return size

    # Sending

    def send(self, data: ReadableBuffer, flags: int = 0, /) -> int:
        if not self._of_answer:
            return super().send(data, flags)
        with memoryview(data) as view, view.cast("B") as flat:
            room = self._room_to_send(flat)
            with flat[:room] as going:
                count = super().send(going, flags)
            self._has_left(bytes(flat[:count]))
        return count

    def sendmsg(self, buffers: Iterable[ReadableBuffer], /, *args: Any) -> int:
        if not self._of_answer:
            return super().sendmsg(buffers, *args)
        return self.send(b"".join(buffers))

    def _room_to_send(self, data: memoryview) -> int:
        """How much of it may go before the next fault; raises OSError where that has its turn."""
        room = len(data)
        for fault in list(self._of_answer):
            place = self._place_of(fault, data)
            if place > self._left:
                room = min(room, place - self._left)
            elif isinstance(fault, Delay):
                self._of_answer.remove(fault)
                self._stopping.wait(fault.seconds)
            else:
                self._end(fault)
        return room

    def _has_left(self, data: bytes) -> None:
        """Count what has left; what is to end the connection here does not wait for more."""
        self._left += len(data)
        if self._body_at is None:
            self._head += data
        for fault in self._of_answer:
            if self._place_of(fault) <= self._left:
                if isinstance(fault, Delay):
                    break  # which comes first, and before the next byte
                self._end(fault)

    def _place_of(self, fault: Fault, data: memoryview | bytes = b"") -> int:
        """The count of bytes after which it has its turn; ``data`` is what is to leave next."""
        if not isinstance(fault, Truncate):
            return fault.after
        if self._body_at is None:
            self._body_at = _body_in(self._head + data)
        return sys.maxsize if self._body_at is None else self._body_at + fault.body

    # Ending

    def _end(self, fault: Fault) -> NoReturn:
        if isinstance(fault, Reset):
            self.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
            self.close()
        else:
            with suppress(OSError):
                self.shutdown(socket.SHUT_WR)
                # What is left unread would make a reset of the end.
                while super().recv(_DRAINED):
                    pass
        raise ConnectionAbortedError(f"{fault} was asked for")


def _body_in(sent: bytes) -> int | None:
    """Where in an answer its body begins, behind its final head; None before that has an end."""
    start = 0
    while (end := sent.find(_HEAD_END, start)) >= 0:
        interim = sent.startswith(_INTERIM, start)
        start = end + len(_HEAD_END)
        if not interim:
            return start
    return None
