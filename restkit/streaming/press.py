"""A payload compressed while it is sent: on the way from its source to whoever sends it."""

from __future__ import annotations

import select
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING

from restkit.around import PayloadAround
from restkit.payload import OCTET_STREAM, close_if_it_can
from restkit.streaming.compressors import compressing
from restkit.streaming.overlap import Overlap

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from restkit.payload import Buffer, Payload
    from restkit.streaming.compressors import Compressor

# What goes into a compressor at once, however the source cuts its pieces: what comes out of igzip,
# zlib-ng and zlib's level 0 depends on that, and the pieces of a response are cut anew each time.
_BLOCK = 128 * 1024
# For how long a source that says nothing of itself may keep back what is in the compressor; and
# how long a pipe must be empty to count as waited for: whoever writes it may be about to.
_PATIENCE = 0.5
_MOMENT_MS = 5


class RecodedPayload(PayloadAround):
    """Another payload's bytes in another form, of a length that nobody knows."""

    def __init__(self, payload: Payload) -> None:
        super().__init__(payload)
        self.length = None
        self.headers = OCTET_STREAM
        self._settled = True

    @property
    def waits_on(self) -> int | None:
        """The source's, once all that came of it has been given."""
        return super().waits_on if self._settled else None


class CompressedPayload(RecodedPayload):
    """Another payload, compressed while it is sent.

    What has been compressed leaves before the source is asked for more. A source that is sent
    once is flushed where it pauses: an empty pipe, or half a second gone by since it was flushed
    last. One that can be sent again is not, since each pass is to give the same bytes.
    """

    def __init__(
        self,
        payload: Payload,
        coding: str,
        level: int | None,
        headers: Sequence[tuple[str, str]],
    ) -> None:
        super().__init__(payload)
        self.headers = headers
        self.source = f"{coding} of {payload!r}"
        self._begin_stream = compressing(coding, level)

    def chunks(self) -> Iterator[Buffer]:
        pieces = iter(self._payload)
        try:
            with Overlap() as overlap:
                yield from self._pressed(pieces, Press(self._begin_stream(), overlap))
        finally:
            self._settled = True
            close_if_it_can(pieces)

    def _pressed(self, pieces: Iterator[Buffer], press: Press) -> Iterator[bytes]:
        settled_at = monotonic()
        while True:
            if self._pauses(settled_at):
                rest = b"".join(press.settle(flushing=not self.replayable))
                # Known before it is given: then the source is waited for before the next is asked.
                self._settled = True
                if rest:
                    yield rest
                settled_at = monotonic()
            piece = next(pieces, None)
            self._settled = False
            if piece is None:
                break
            yield from press.take(piece)
        yield from press.finish()

    def _pauses(self, settled_at: float) -> bool:
        number = self._payload.waits_on
        if number is None:
            return monotonic() - settled_at > _PATIENCE
        return not _readable(number)


class Press:
    """One pass through a compressor, in blocks of one size."""

    __slots__ = ("_compressor", "_held", "_overlap", "_unflushed")

    def __init__(self, compressor: Compressor, overlap: Overlap) -> None:
        self._compressor = compressor
        self._overlap = overlap
        self._held = bytearray()
        self._unflushed = False

    def take(self, piece: Buffer) -> Iterator[bytes]:
        """Compress a piece; what has come out by now."""
        if len(self._held) + len(piece) < _BLOCK:
            self._held += piece
            return
        # A copy stays as it is, whatever the owner of the piece does with it.
        with memoryview(piece) as view:
            at = _BLOCK - len(self._held)
            self._held += view[:at]
            while len(self._held) == _BLOCK:
                yield from self._push_held()
                self._held += view[at : at + _BLOCK]
                at += _BLOCK

    def settle(self, *, flushing: bool) -> Iterator[bytes]:
        """All that is under way; when flushing, all that was taken."""
        if flushing:
            yield from self._push_held()
            if self._unflushed:
                yield from self._overlap.do(self._compressor.flush, 0)
                self._unflushed = False
        yield from self._overlap.drain()

    def finish(self) -> Iterator[bytes]:
        yield from self._push_held()
        yield from self._overlap.do(self._compressor.finish, 0)
        yield from self._overlap.drain()

    def _push_held(self) -> Iterator[bytes]:
        held, self._held = self._held, bytearray()
        if held:
            self._unflushed = True
            yield from self._overlap.do(partial(self._compressor.compress, held), len(held))


def _readable(number: int) -> bool:
    poll = select.poll()
    poll.register(number, select.POLLIN)
    return bool(poll.poll(_MOMENT_MS))
