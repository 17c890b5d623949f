"""The body of a request as it arrives.

The bytes of one request body as they come off its connection, and what went wrong with them.

What went wrong is kept in ``fault`` and not raised, since whoever takes the bytes may not be the
one who reads them: a client that goes away is ClientDisconnected, and what is no chunk a
ParserError.

The body of one request as a file: read once, never past its end, never short.

``RequestFile`` is what an application reads as ``wsgi.input``: Python's own ``BufferedReader``
over ``RequestBody``. What the sender of the answer had to take out of its way is in a spool, and
comes first. For one thread at a time, the one of the application.
"""

from __future__ import annotations

import io
from time import monotonic
from typing import TYPE_CHECKING

from restkit.errors import ClientDisconnected, Error, UnexpectedEOF
from restkit.io.spool import Spool
from restkit.server.engine.client_socket import BLOCK, READ, WRITE, Channel

if TYPE_CHECKING:
    from collections.abc import Sequence

    from _typeshed import WriteableBuffer

    from restkit.http1.fields import Pairs
    from restkit.http1.framing import BodyReader
    from restkit.io.buffers import Buffer


_READING = "its request body was waited for"
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Incoming:
    """One body on ``channel``, framed as ``deframer`` has it.

    ``continue_due``: the client waits to be told to go on, which the first wait for it does.
    """

    __slots__ = ("_channel", "continue_due", "deframer", "fault")

    def __init__(self, channel: Channel, deframer: BodyReader) -> None:
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
        self.deframer.skip(count)
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


_WHOLE = 1024 * 1024
_UNTOUCHED = 64 * 1024 * 1024


class RequestBody(io.RawIOBase):
    """A raw reader over ``channel``; ``data`` is what came along with the head.

    ``expects_continue``: the client is told to go on by the first read that has to wait for it.
    Nothing here ends early: a client that goes away is ClientDisconnected, and what is no chunk a
    ParserError, at this read and at every later one, and ``fault`` has it.
    """

    def __init__(
        self,
        channel: Channel,
        deframer: BodyReader,
        data: bytes = b"",
        *,
        expects_continue: bool = False,
    ) -> None:
        self._incoming = Incoming(channel, deframer)
        self._incoming.continue_due = expects_continue and not data and not deframer.done
        self._pieces: list[Buffer] = list(self._incoming.fed(data)) if data else []
        self._spool: Spool | None = None
        self._at = 0
        self._where = channel.where
        self.touched = False

    # What the connection wants to know

    @property
    def done(self) -> bool:
        """Whether all of it has come."""
        return self._incoming.deframer.done

    @property
    def fault(self) -> Error | None:
        """What a read behind what has come raises, where something went wrong."""
        return self._incoming.fault

    @property
    def wanted(self) -> bool:
        """Whether more of it can come, and is to be taken ahead.

        Of a body that the application has not begun to read it may want nothing: there is a
        bound then to what is kept for it.
        """
        return not self._incoming.ended and (self.touched or self._ahead < _UNTOUCHED)

    @property
    def rest(self) -> bytes:
        """What came behind its end: the beginning of the next request."""
        return self._incoming.deframer.leftover

    @property
    def length(self) -> int | None:
        """Its length, where the head told it."""
        return self._incoming.deframer.length

    @property
    def trailers(self) -> Pairs:
        """The fields behind it, once it has ended."""
        return self._incoming.deframer.trailers

    def never_mind(self) -> None:
        """An answer leaves: from here on the client is not told to go on any more."""
        self._incoming.continue_due = False

    # Reading

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        """Fill ``buffer`` with what is there, and wait only while nothing is; 0 at the end."""
        self.touched = True
        with memoryview(buffer) as whole, whole.cast("B") as view:
            while True:
                if self._spool is not None:
                    return self._from_spool(self._spool, view)
                if self._pieces:
                    return self._from_pieces(view)
                if self.fault is not None:
                    raise self.fault
                if self.done or not view:
                    return 0
                if left := self._incoming.deframer.bytes_expected:
                    if count := self._incoming.into(view[:left]):
                        return count
                else:
                    self._pieces += self._incoming.pieces()

    def readall(self) -> bytes:
        """All that is left, and none of it where it breaks off."""
        pieces = []
        while piece := self.read(_WHOLE):
            pieces.append(piece)
        return b"".join(pieces)

    def _from_spool(self, spool: Spool, view: memoryview) -> int:
        count = spool.read_into(self._at, view)
        self._at += count
        if self._at == spool.size:
            self._forget()
        return count

    def _from_pieces(self, view: memoryview) -> int:
        piece = self._pieces[0]
        count = min(len(piece), len(view))
        view[:count] = piece[:count]
        if count == len(piece):
            del self._pieces[0]
        else:
            self._pieces[0] = memoryview(piece)[count:]
        return count

    # Taking it ahead of the application

    def take_ahead(self) -> None:
        """Take what has come into the spool, without waiting; a fault is kept for the reader.

        An ``OSError`` of the spool's disk is raised.
        """
        self._pieces += self._incoming.at_once()
        if self._pieces:
            self._spool = self._spool or Spool()
            for piece in self._pieces:
                self._spool.append(piece)
            self._pieces.clear()

    def comes_soon(self, most: int, seconds: float) -> bool:
        """Take it ahead if it is small and comes at once; whether it is all there now."""
        end = monotonic() + seconds
        left = self._incoming.deframer.bytes_expected
        if self._incoming.continue_due or (left and left > most):
            return False
        most += self._ahead
        while not self._incoming.ended and self._ahead <= most:
            if not self._incoming.comes_within(max(0.0, end - monotonic())):
                break
            self.take_ahead()
        return self.done

    @property
    def _ahead(self) -> int:
        return 0 if self._spool is None else self._spool.size

    def _forget(self) -> None:
        if self._spool is not None:
            self._spool.close()
        self._spool = None
        self._at = 0

    def release(self) -> None:
        """Free what it holds; whoever still reads it finds that the request is over."""
        if self.fault is None:
            over = "the request is over, and with it what it held"
            self._incoming.fault = ClientDisconnected(over)
        self._pieces.clear()
        self._forget()

    def __repr__(self) -> str:
        state = "broken" if self.fault else self._incoming.deframer.progress
        return f"<RequestBody of {self._where}, {'all here' if self.done else state}>"


class RequestFile(io.BufferedReader):
    """A request's body as a file: ``read``, ``read1``, ``readline``, iteration; forwards only.

    ``read1`` and ``peek`` give what is there as soon as something is. It ends only at the body's
    true end: a client that goes away before raises ClientDisconnected, and what is no chunk
    ParserError, again at every later read.
    """

    def __init__(self, body: RequestBody, buffer_size: int = BLOCK) -> None:
        super().__init__(body, buffer_size)
        self._body = body

    @property
    def trailers(self) -> Pairs:
        """The fields behind a chunked body, once it has been read to its end."""
        return self._body.trailers
