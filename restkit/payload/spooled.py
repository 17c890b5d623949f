"""Keep a payload that can be sent once, for another attempt.

Payloads that can be sent once, kept so that they can be sent again.
"""

from __future__ import annotations

from enum import Enum
from threading import Lock
from typing import TYPE_CHECKING

from restkit.errors import Error, PayloadNotReplayable
from restkit.io.buffers import close_if_it_can
from restkit.payload.base import Payload, check_sendable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from restkit.io.buffers import Buffer
    from restkit.io.spool import Spool


_BLOCK = 256 * 1024


class SpoolMode(Enum):
    """What of a payload that can be sent once is kept, so that it can be sent again."""

    NOTHING = "nothing"
    AS_IT_GOES = "as it goes"
    BEFORE = "before"


class SpooledPayload(Payload):
    """A payload that is spooled while it is sent for the first time, and so can go again.

    A pass after one that was broken off gives what is in the spool, and then goes on with the
    source, which stays open in between. There is one pass at a time. A source that fails, and a
    disk that is full, leave nothing that could go again. ``close()`` lets go of source and
    spool, once the pass that is under way is over; dropping the payload does the same.
    """

    replayable = True

    def __init__(self, payload: Payload, new_spool: Callable[[], Spool]) -> None:
        check_sendable(payload)
        self.length = payload.length
        self.headers = payload.headers
        self.source = payload.source
        self.trailer_names = payload.trailer_names
        self._payload = payload
        self._spool = new_spool()
        self._rest: Iterator[Buffer] | None = None
        self._whole = False
        self._measured = False
        self._given = 0
        self._turn = Lock()

    @property
    def waits_on(self) -> int | None:
        """The source's, where the next piece comes out of that; the spool has its own at once."""
        if self._whole or self._given < self._spool.size:
            return None
        return self._payload.waits_on

    def trailers(self) -> Sequence[tuple[str, str]]:
        return () if self._measured else self._payload.trailers()

    def measure(self) -> None:
        """Take the rest of the source into the spool, now: then its length is known.

        So are its trailers: those that were announced become headers (RFC 9110 6.5.1).
        """
        self._begin_turn()
        try:
            while self._pull() is not None:
                pass
            self.length = self._spool.size
            if not self._measured:
                self._take_trailers_ahead()
        except Error as error:
            error.sent, error.out_of_payload = "nothing", True
            raise
        finally:
            self._end_turn()

    def _take_trailers_ahead(self) -> None:
        fields, names = self._payload.trailers(), self.trailer_names
        self.headers = (*self.headers, *(field for field in fields if field[0] in names))
        self.trailer_names = ()
        self._measured = True

    def chunks(self) -> Iterator[Buffer]:
        self._begin_turn()
        try:
            while self._given < self._spool.size:
                piece = self._spool.read_at(self._given, _BLOCK)
                self._given += len(piece)
                yield piece
            while (fresh := self._pull()) is not None:
                self._given = self._spool.size
                yield fresh
        finally:
            self._end_turn()

    def close(self) -> None:
        """Let go of the source and of what is kept; it cannot be sent any more."""
        self._spoil("which was closed")
        self._sweep()

    def _pull(self) -> Buffer | None:
        """The next piece out of the source, spooled; None at its end."""
        if self._whole:
            return None
        try:
            if self._rest is None:
                self._rest = iter(self._payload)
            piece = next(self._rest, None)
            if piece is not None:
                self._spool.append(piece)
        except BaseException as exc:
            # Not the exception itself: it would hold on to its frames, and so to the spool.
            self._spoil(f"which failed by {type(exc).__name__}")
            raise
        self._whole = piece is None
        return piece

    def _begin_turn(self) -> None:
        if not self._turn.acquire(blocking=False):
            raise PayloadNotReplayable(
                f"{self!r} is being sent already, and what is kept as it goes has one pass at a "
                "time: give each request a payload of its own"
            )
        try:
            check_sendable(self)
        except PayloadNotReplayable:
            self._turn.release()
            raise

    def _end_turn(self) -> None:
        self._given = 0
        self._turn.release()
        self._sweep()

    def _spoil(self, why: str) -> None:
        if self.replayable:
            self.source = f"{self.source}, {why},".lstrip(", ")
            self._started = True
            self.replayable = False

    def _sweep(self) -> None:
        """Let go of everything once it is spoilt; whoever is at it does so when that is over."""
        if self.replayable or not self._turn.acquire(blocking=False):
            return
        try:
            rest, self._rest = self._rest, None
            self._spool.close()
            close_if_it_can(rest)
        finally:
            self._turn.release()


def spool_payload(payload: Payload, new_spool: Callable[[], Spool]) -> SpooledPayload:
    """The payload read whole, now, on this thread: of exact length, and ready to go again.

    Blocks for as long as its source does; raises what that raises, and the OSError of a full
    disk. Trailers that were announced become headers; others stay behind, since they go only with
    chunks.
    """
    kept = payload if isinstance(payload, SpooledPayload) else SpooledPayload(payload, new_spool)
    kept.measure()
    return kept
