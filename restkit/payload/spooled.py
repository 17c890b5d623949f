"""Spool payloads that can be sent only once, so that they can be sent again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from enum import Enum
from threading import Lock

from restkit.errors import Error, PayloadNotReplayable
from restkit.io.buffers import Buffer, close_if_possible
from restkit.io.files import CHUNK_SIZE
from restkit.io.spool import Spool
from restkit.payload.base import CheckTime, Payload, check_sendable


class SpoolMode(Enum):
    """Whether, and when, a payload that can be sent once is spooled for another attempt."""

    OFF = "off"
    WHILE_SENDING = "while sending"
    BEFORE_SENDING = "before sending"


class SpooledPayload(Payload):
    """A payload that is spooled during its first pass, and so can be sent again.

    A pass after one that stopped early sends the spool first and continues with the source,
    which stays open in between. Only one pass can run at a time. After an error of the source or
    a full disk the payload cannot be sent again. ``close()`` closes source and spool as soon as
    no pass is running; so does dropping the payload.
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
        self._complete = False
        self._is_measured = False
        self._position = 0  # of the pass that is running
        self._running = Lock()

    @property
    def waits_on(self) -> int | None:
        """The descriptor of the source, if the next chunk is read from it, not from the spool."""
        if self._complete or self._position < self._spool.size:
            return None
        return self._payload.waits_on

    def trailers(self) -> Sequence[tuple[str, str]]:
        return () if self._is_measured else self._payload.trailers()

    def measure(self, check_time: CheckTime | None = None) -> None:
        """Spool the rest of the source now, so that the length is known. Blocks.

        Its trailers are known then too: announced ones become headers (RFC 9110 6.5.1).
        ``check_time`` is called between two chunks; its error ends the payload.
        """
        self._start_running()
        reads_source = True
        try:
            while self._pull() is not None:
                reads_source = False
                if check_time is not None:
                    check_time()
                reads_source = True
            self.length = self._spool.size
            if not self._is_measured:
                self._move_trailers_to_headers()
        except Error as error:
            error.sent, error.out_of_payload = "nothing", reads_source
            if not reads_source:
                self._end_replay("which took too long")
            raise
        finally:
            self._stop_running()

    def _move_trailers_to_headers(self) -> None:
        fields, names = self._payload.trailers(), self.trailer_names
        self.headers = (*self.headers, *(field for field in fields if field[0] in names))
        self.trailer_names = ()
        self._is_measured = True

    def chunks(self) -> Iterator[Buffer]:
        self._start_running()
        try:
            while self._position < self._spool.size:
                spooled = self._spool.read_at(self._position, CHUNK_SIZE)
                self._position += len(spooled)
                yield spooled
            while (chunk := self._pull()) is not None:
                self._position = self._spool.size
                yield chunk
        finally:
            self._stop_running()

    def close(self) -> None:
        """Close the source and the spool; the payload cannot be sent any more."""
        self._end_replay("which was closed")
        self._close_if_ended()

    def _pull(self) -> Buffer | None:
        """Spool the next chunk of the source and return it; None at its end."""
        if self._complete:
            return None
        try:
            if self._rest is None:
                self._rest = iter(self._payload)
            chunk = next(self._rest, None)
            if chunk is not None:
                self._spool.append(chunk)
        except BaseException as exc:
            # Only the name: the exception itself refers to its frames, and so to the spool.
            self._end_replay(f"which failed with {type(exc).__name__}")
            raise
        self._complete = chunk is None
        return chunk

    def _start_running(self) -> None:
        if not self._running.acquire(blocking=False):
            raise PayloadNotReplayable(
                f"{self!r} is being sent already, and a spooled payload has one pass at a time: "
                "pass another payload to each request"
            )
        try:
            check_sendable(self)
        except PayloadNotReplayable:
            self._running.release()
            raise

    def _stop_running(self) -> None:
        self._position = 0
        self._running.release()
        self._close_if_ended()

    def _end_replay(self, reason: str) -> None:
        if self.replayable:
            self.source = f"{self.source}, {reason},".lstrip(", ")
            self._started = True
            self.replayable = False

    def _close_if_ended(self) -> None:
        """Close source and spool if no replay is possible; a running pass does this at its end."""
        if self.replayable or not self._running.acquire(blocking=False):
            return
        try:
            rest, self._rest = self._rest, None
            self._spool.close()
            close_if_possible(rest)
        finally:
            self._running.release()


def spool_payload(
    payload: Payload, new_spool: Callable[[], Spool], check_time: CheckTime | None = None
) -> SpooledPayload:
    """Read the whole payload now; return one of known length that can be sent again.

    Blocks while the source does; raises the source's exceptions, and the OSError of a full disk.
    Announced trailers become headers; others are dropped, since only chunked bodies have them.
    ``check_time`` is called between two chunks; it raises an error when the time is over.

    >>> from restkit.io.spool import Spool
    >>> from restkit.payload.convert import as_payload
    >>> spool_payload(as_payload(line for line in ('one', 'two')), Spool)
    <SpooledPayload of generator <genexpr> 6 bytes, replayable>
    """
    spooled = payload if isinstance(payload, SpooledPayload) else SpooledPayload(payload, new_spool)
    spooled.measure(check_time)
    return spooled
