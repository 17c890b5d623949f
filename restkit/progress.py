"""Progress: who is told how many bytes have gone out or come in, and what tells them."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeAlias

from restkit.errors import RequestError
from restkit.io.buffers import close_if_it_can
from restkit.payload.base import TransparentWrapper

if TYPE_CHECKING:
    from restkit.io.buffers import Buffer
    from restkit.payload.base import Payload

Told: TypeAlias = "Callable[[int, int | None], object]"
"""Called with how many bytes have gone by, and of how many; None where nobody knows that."""

_BLOCK = 256 * 1024


class Progress(NamedTuple):
    """Who is told of what is sent, and who of what is received; on the thread that does it.

    Counted are the bytes of the payload as it leaves, and those of the body as it comes, before
    it is decoded: what has gone by already, first, then each time that 256 KiB more have, in
    however small pieces, and the whole at the end. A payload that is sent again begins again at 0.
    An exception reaches the caller, and the connection is closed.
    """

    sent: Told | None = None
    received: Told | None = None

    def chosen_for(self, payload: Payload | None) -> Progress:  # noqa: ARG002  # the other asks
        """Who is told of what, in a request with this payload."""
        return self


class _OfOne(Progress):
    """One who is told of the payload where there is one, and of the body where there is none."""

    __slots__ = ()

    def chosen_for(self, payload: Payload | None) -> Progress:
        return Progress(received=self.received) if payload is None else Progress(sent=self.sent)


def as_progress(value: object) -> Progress | None:
    """What ``progress=`` means: a Progress, a callable, or None; RequestError for anything else."""
    if value is None:
        return None
    if isinstance(value, Progress):
        if all(told is None or callable(told) for told in value):
            return value
    elif callable(value):
        return _OfOne(value, value)
    raise RequestError(
        f"progress={value!r}: a callable(done, total) is wanted, or Progress(sent=, received=)"
    )


class ToldPayload(TransparentWrapper):
    """A payload in blocks of at most 256 KiB, with somebody who is told when so much has left."""

    def __init__(self, payload: Payload, told: Told) -> None:
        super().__init__(payload)
        self._told = told

    def chunks(self) -> Iterator[Buffer]:
        done, said, total = 0, 0, self.length
        pieces = iter(self._payload)
        blocks = _blocks(pieces)
        try:
            self._told(0, total)
            for block in blocks:
                size = len(block)
                yield block
                # Whoever sends asks for the next when this one has left.
                done += size
                if done - said >= _BLOCK:
                    self._told(said := done, total)
            if done > said:
                self._told(done, total)
        finally:
            blocks.close()
            close_if_it_can(pieces)

    def __repr__(self) -> str:
        return repr(self._payload)


def _blocks(pieces: Iterator[Buffer]) -> Generator[Buffer, None, None]:
    for piece in pieces:
        if len(piece) <= _BLOCK:
            yield piece
            continue
        # Released one by one: the owner may resize what it lent as soon as it is asked for more.
        with memoryview(piece) as view:
            for start in range(0, len(view), _BLOCK):
                with view[start : start + _BLOCK] as block:
                    yield block


class LiveSource(Protocol):
    """Where the rest of a body comes from; ``body.py`` says what is asked of it."""

    def read_piece(self) -> Buffer:
        """The next piece as it comes."""

    def readinto(self, view: memoryview) -> int:
        """Fill ``view`` with what comes next."""

    def close(self) -> None:
        """Let go of what is still to come."""


class ToldSource:
    """A body's source, with somebody who is told of what has come so far."""

    def __init__(self, source: LiveSource, told: Told, came: int, total: int | None) -> None:
        self._source = source
        self._told = told
        self._came = came
        self._said = came
        self._total = total
        self._begun = False

    def read_piece(self) -> Buffer:
        self._begin()
        piece = self._source.read_piece()
        self._count(len(piece))
        return piece

    def readinto(self, view: memoryview) -> int:
        self._begin()
        count = self._source.readinto(view)
        self._count(count)
        return count

    def _begin(self) -> None:
        if not self._begun:
            self._begun = True
            self._told(self._came, self._total)

    def _count(self, size: int) -> None:
        self._came += size
        # A reader that knows the total need not ask for the end of it.
        ended = not size or self._came == self._total
        if self._came - self._said >= (1 if ended else _BLOCK):
            self._said = self._came
            self._told(self._came, self._total)

    def close(self) -> None:
        self._source.close()
