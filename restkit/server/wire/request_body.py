"""The body of one request as a file: read once, never past its end, never short.

``RequestFile`` is what an application reads as ``wsgi.input``: Python's own ``BufferedReader``
over ``RequestBody``. What the sender of the answer had to take out of its way is in a spool, and
comes first. For one thread at a time, the one of the application.
"""

from __future__ import annotations

import io
from time import monotonic
from typing import TYPE_CHECKING

from restkit.errors import ClientDisconnected, Error
from restkit.server.wire.channel import BLOCK, Channel
from restkit.server.wire.incoming import Incoming
from restkit.spool import Spool

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

    from restkit.payload import Buffer
    from restkit.wire.framing import Deframer
    from restkit.wire.head import Pairs

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
        deframer: Deframer,
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
        return self._incoming.deframer.rest

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
                if left := self._incoming.deframer.left:
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
        left = self._incoming.deframer.left
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
