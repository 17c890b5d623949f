"""The base class of everything that is sent: its length, its replay, its headers, one checked pass.

What goes out: one type that knows its length, whether it can go again, and how to give it.

To iterate a payload is to send it; to iterate it again is to send it again. Whoever sends asks
``length`` and ``headers`` before, iterates once, and asks ``trailers()`` after the last piece;
before another try the question is ``replayable or not started``.

Payloads around a payload: what one of them does not say is as the inner one says it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from restkit.errors import PayloadLengthError, PayloadNotReplayable
from restkit.io.buffers import close_if_it_can, flat_view

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence

    from restkit.io.buffers import Buffer


OCTET_STREAM: tuple[tuple[str, str], ...] = (("Content-Type", "application/octet-stream"),)

_COPIED = 64 * 1024


class Payload(ABC):
    """Something to send: a subclass writes ``chunks()`` and says what is true of it.

    ``length``: how many bytes it gives; None is unknown, 0 is zero. ``replayable``: it can be
    iterated again, from the same first byte. ``headers``: what it wants in the head, where the
    caller has not said otherwise. ``source``: what it is made of, for ``repr`` and errors; never
    its contents. ``trailer_names``: fields that ``trailers()`` will have and the head announces;
    they go in the head itself where all is known before it is sent. All five may be set on the
    class or on the instance.
    """

    length: int | None = None
    replayable: bool = False
    headers: Sequence[tuple[str, str]] = OCTET_STREAM
    source: str = ""
    trailer_names: Sequence[str] = ()
    _started = False
    _gave_something = False

    @abstractmethod
    def chunks(self) -> Iterator[Buffer]:
        """One pass over the bytes, from the first one; it closes what it opened, in ``finally``.

        Pieces may be empty, and of any size. One of them may be changed or released as soon as
        the next is asked for.
        """

    def trailers(self) -> Sequence[tuple[str, str]]:
        """Fields to send behind the last byte; asked after it, and only of a chunked body."""
        return ()

    @property
    def started(self) -> bool:
        """Whether a pass has begun, that is: whether a first piece was asked for."""
        return self._started

    @property
    def waits_on(self) -> int | None:
        """A file number that becomes readable when the next piece can be had without waiting.

        None where no number tells the truth about that. It may change between two pieces.
        """
        return None

    def __iter__(self) -> Iterator[Buffer]:
        """One guarded pass: the pieces of ``chunks()`` that are not empty, counted.

        The piece that reaches ``length`` is held back until ``chunks()`` is known to give no
        more: a payload that gives too much never completes a request. Raises
        PayloadNotReplayable where there is no second pass, PayloadLengthError where the length
        is not kept, and whatever the source raises. A piece is good until the next is asked for.
        """
        self._begin()
        pieces = self.chunks()
        lent = _flat_chunks(pieces)
        try:
            yield from (
                self._uncounted(lent) if self.length is None else self._counted(lent, self.length)
            )
        finally:
            lent.close()
            close_if_it_can(pieces)

    def _begin(self) -> None:
        check_sendable(self)
        mine = object()
        # One atomic step, and no lock that a fork could leave held: of two threads one begins.
        if self.__dict__.setdefault("_first_pass", mine) is not mine and not self.replayable:
            raise _spent(self)
        self._started = True

    def _uncounted(self, pieces: Iterator[Buffer]) -> Iterator[Buffer]:
        gave = False
        for piece in pieces:
            # Known at once: a pass that is broken off has given something too.
            gave = self._gave_something = True
            yield piece
        if not gave and self._gave_something:
            raise PayloadNotReplayable(
                f"{self!r} gave nothing, though it gave something before: it cannot go again"
            )

    def _counted(self, pieces: Iterator[Buffer], length: int) -> Iterator[Buffer]:
        left = length
        held = b""
        for piece in pieces:
            size = len(piece)
            if size > left:
                raise PayloadLengthError(f"{self!r} gave more than {count_of(length)}")
            left -= size
            if left:
                yield piece
            elif type(piece) is bytes:
                held = piece
            else:
                held = yield from _all_but_a_copy(piece)
        if left:
            raise PayloadLengthError(f"{self!r} gave {length - left} of {count_of(length)}")
        if held:
            yield held

    def __repr__(self) -> str:
        source = f" {self.source}" if self.source else ""
        size = "of unknown length" if self.length is None else count_of(self.length)
        once = "one pass, begun" if self.started else "one pass"
        again = "replayable" if self.replayable else once
        return f"<{type(self).__name__}{source} {size}, {again}>"


def _flat_chunks(pieces: Iterator[Buffer]) -> Generator[Buffer, None, None]:
    """The pieces that are not empty, flat; a view that is made for it ends with the next piece."""
    for piece in pieces:
        if type(piece) is bytes or type(piece) is bytearray:
            if piece:
                yield piece
        else:
            with flat_view(piece) as view:
                if len(view):
                    yield view


def _all_but_a_copy(piece: Buffer) -> Generator[Buffer, None, bytes]:
    """Give what need not be held back, and return the rest as a copy.

    The source may fill the same buffer anew as soon as it is asked for more, and it is asked
    before the last piece goes out.
    """
    with memoryview(piece) as view:
        if len(view) > _COPIED:
            with view[:-_COPIED] as early:
                yield early
        return bytes(view[-_COPIED:])


def check_sendable(payload: Payload) -> None:
    """Raise PayloadNotReplayable for one that can be sent once, when that has begun."""
    if payload.started and not payload.replayable:
        raise _spent(payload)


def _spent(payload: Payload) -> PayloadNotReplayable:
    return PayloadNotReplayable(
        f"{payload!r} can be sent once, and that has begun: there is nothing to send again"
    )


def can_send(payload: Payload | None) -> bool:
    """Whether it can be sent, or sent again, from its first byte."""
    return payload is None or payload.replayable or not payload.started


def count_of(length: int) -> str:
    """'1 byte', '20 bytes'."""
    return "1 byte" if length == 1 else f"{length} bytes"


class PayloadWrapper(Payload):
    """A payload made of another one, and sent, and sent again, as that one is."""

    def __init__(self, payload: Payload) -> None:
        self.length = payload.length
        self.replayable = payload.replayable
        self.headers = payload.headers
        self.trailer_names = payload.trailer_names
        self.source = f"of {payload!r}"
        self._payload = payload

    @property
    def started(self) -> bool:
        return self._payload.started

    @property
    def waits_on(self) -> int | None:
        return self._payload.waits_on

    def trailers(self) -> Sequence[tuple[str, str]]:
        return self._payload.trailers()

    def chunks(self) -> Iterator[Buffer]:
        return iter(self._payload)


class TransparentWrapper(PayloadWrapper):
    """Another payload byte for byte, for those who change or watch something else of it."""

    def __iter__(self) -> Iterator[Buffer]:
        # The payload itself counts, and refuses a pass that it does not have.
        return self.chunks()


class DeclaredLength(PayloadWrapper):
    """A payload held to the ``Content-Length`` that the caller has declared for it.

    A payload that knows another length of itself is a PayloadLengthError at once; one that does
    not know is counted while it is sent, and must have come to its end, not only to the length,
    before its last piece goes out.
    """

    def __init__(self, payload: Payload, length: int) -> None:
        if payload.length is not None and payload.length != length:
            raise PayloadLengthError(f"{payload!r} does not give the declared {count_of(length)}")
        super().__init__(payload)
        self.length = length
        self.source = f"for {payload!r}"

    def __iter__(self) -> Iterator[Buffer]:
        # What knows its own length counts already.
        return super().__iter__() if self._payload.length is None else iter(self._payload)
