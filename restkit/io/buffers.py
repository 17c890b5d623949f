"""Bytes-like objects as flat views, sources of bytes, and iterators that must be closed."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Collection
from typing import Protocol, TypeAlias

Buffer: TypeAlias = bytes | bytearray | memoryview
"""Bytes to send or received bytes. ``len()`` is their number: a memoryview is flat, format 'B'."""

_FIELD_NAMES = re.compile(":[^:]*:")  # in the format of a structure, PEP 3118


class Source(Protocol):
    """The rest of a received body: one pass, blocking."""

    @abstractmethod
    def read_chunk(self) -> Buffer:
        """Return the next chunk, or b'' at the end. It is only valid until the next call."""

    @abstractmethod
    def readinto(self, view: memoryview) -> int:
        """Fill ``view`` with at least one byte and return the count, or 0 at the end."""

    def close(self) -> None:
        """Close the origin of the bytes. Idempotent."""


def flat_view(value: object) -> memoryview:
    """Return the bytes of an object with the buffer protocol as one flat view, to be released.

    Nothing is copied, unless the bytes of the object are not contiguous in C order. Raises
    TypeError if the object has no buffer, or a buffer of references to Python objects.

    >>> from array import array
    >>> with flat_view(array('H', [1, 2, 3])) as view:
    ...     view.format, len(view)
    ('B', 6)
    """
    # This view may be released before the one that is cast from it: each holds the buffer.
    with memoryview(value) as view:  # type: ignore[arg-type]  # raises if it has none
        if "O" in view.format and "O" in _FIELD_NAMES.sub("", view.format):
            raise TypeError("an array of Python objects cannot be sent: its bytes are addresses")
        if not view.nbytes:
            return memoryview(b"")  # a shape with a zero in it cannot be cast
        return view.cast("B") if view.c_contiguous else memoryview(view.tobytes())


def close_if_possible(source: object) -> None:
    """Call ``close()`` of an iterator that has one. A generator then runs its ``finally``."""
    close = getattr(source, "close", None)
    if close is not None:
        close()


def join_chunks(chunks: Collection[Buffer]) -> bytes:
    """Return the chunks as one bytes object."""
    if len(chunks) == 1:
        (only,) = chunks
        if isinstance(only, bytes):
            return only
    return b"".join(chunks)


def drop_sent(buffers: list[Buffer], count: int) -> memoryview | None:
    """Remove the first ``count`` bytes; return the rest of a buffer that was cut."""
    while buffers:
        size = len(buffers[0])
        if count < size:
            buffers[0] = cut = memoryview(buffers[0])[count:]
            return cut
        count -= size
        del buffers[0]
    return None
