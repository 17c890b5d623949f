"""The bytes of one request body as they come off its connection, and what went wrong with them.

What went wrong is kept in ``fault`` and not raised, since whoever takes the bytes may not be the
one who reads them: a client that goes away is ClientDisconnected, and what is no chunk a
ParserError.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from restkit.errors import ClientDisconnected, Error, UnexpectedEOF
from restkit.server.wire.channel import BLOCK, READ, WRITE, Channel

if TYPE_CHECKING:
    from collections.abc import Sequence

    from restkit.payload import Buffer
    from restkit.wire.framing import Deframer

_READING = "its request body was waited for"
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Incoming:
    """One body on ``channel``, framed as ``deframer`` has it.

    ``continue_due``: the client waits to be told to go on, which the first wait for it does.
    """

    __slots__ = ("_channel", "continue_due", "deframer", "fault")

    def __init__(self, channel: Channel, deframer: Deframer) -> None:
        self._channel = channel
        self.deframer = deframer
        self.fault: Error | None = None
        self.continue_due = False

    @property
    def ended(self) -> bool:
        """Whether nothing more will come, because all is here or something is wrong."""
        return self.deframer.done or self.fault is not None

    def fed(self, data: bytes) -> Sequence[Buffer]:
        """The pieces of the body that are in ``data``."""
        pieces = self.deframer.feed(data)
        self.fault = self.deframer.fault
        return pieces

    def pieces(self) -> Sequence[Buffer]:
        """What comes next, waited for; nothing where that was framing, or the end."""
        self._go_on()
        try:
            while self.fault is None:
                data = self._channel.receive(BLOCK)
                if data is not None:
                    return self.fed(data) if data else self._end()
                self._channel.wait(READ, _READING)
        except ClientDisconnected as exc:
            self._gone(exc)
        return ()

    def into(self, view: memoryview) -> int:
        """The same into ``view``, where the deframer lets bytes pass; how many, 0 at the end."""
        self._go_on()
        try:
            while self.fault is None:
                count = self._channel.receive_into(view)
                if count is not None:
                    return self._passed(count) if count else len(self._end())
                self._channel.wait(READ, _READING)
        except ClientDisconnected as exc:
            self._gone(exc)
        return 0

    def at_once(self) -> Sequence[Buffer]:
        """What is there, without waiting for it."""
        try:
            data = self._channel.receive(4 * BLOCK)
        except ClientDisconnected as exc:
            self._gone(exc)
            return ()
        if data is None:
            return ()
        return self.fed(data) if data else self._end()

    def comes_within(self, seconds: float) -> bool:
        """Wait so long for something to come; whether it did."""
        try:
            return bool(self._channel.wait_for(READ, seconds))
        except ClientDisconnected as exc:
            self._gone(exc)
            return False

    def _passed(self, count: int) -> int:
        self.deframer.received(count)
        return count

    def _go_on(self) -> None:
        """Tell a client that waits for it that its body is wanted."""
        if not self.continue_due:
            return
        self.continue_due = False
        left = _CONTINUE
        try:
            while left := left[self._channel.send([left]) :]:
                self._channel.wait(WRITE, "it was told to go on")
        except ClientDisconnected as exc:
            self._gone(exc)

    def _end(self) -> Sequence[Buffer]:
        """The client has ended its side, and its body with it or not."""
        try:
            self.deframer.end()
        except UnexpectedEOF as exc:
            self.fault = ClientDisconnected(f"{self._channel.where} went away: {exc.message}")
            self.fault.__cause__ = exc
        return ()

    def _gone(self, exc: ClientDisconnected) -> None:
        said = f"{exc.message}; its request body was {self.deframer.progress}"
        self.fault = ClientDisconnected(said)
        self.fault.__cause__ = exc.__cause__
