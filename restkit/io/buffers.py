"""Flatten and release bytes-like objects."""

from __future__ import annotations

import re
from typing import Protocol, TypeAlias

Buffer: TypeAlias = bytes | bytearray | memoryview
"""Bytes to send. ``len()`` is the number of bytes: a memoryview is flat, of format 'B'."""
_FIELD_NAMES = re.compile(":[^:]*:")  # in the format of a structure, PEP 3118


class Source(Protocol):
    """A source of received bytes: one pass, blocking, ``b''`` or 0 at the end."""

    def read_chunk(self) -> Buffer:
        """Return the next chunk as soon as it arrives. It is only valid until the next call."""

    def readinto(self, view: memoryview) -> int:
        """Fill ``view`` with the next bytes, at least one; return how many."""

    def close(self) -> None:
        """Drop the rest of the bytes. Idempotent."""


def flat_view(value: object) -> memoryview:
    """Return the bytes of an object with the buffer protocol as one flat view, to be released.

    Bytes are copied only if they are not contiguous in the order in which they are counted.
    Raises TypeError for objects without a buffer and for arrays of Python objects.
    """
    # The uncast view can be released at once: the cast view holds the buffer too.
    with memoryview(value) as view:  # type: ignore[arg-type]  # raises if it has none
        if "O" in _FIELD_NAMES.sub("", view.format):
            raise TypeError("an array of Python objects cannot be sent: its bytes are addresses")
        if not view.nbytes:
            return memoryview(b"")  # a shape with a zero in it cannot be cast
        return view.cast("B") if view.c_contiguous else memoryview(view.tobytes())


def close_if_possible(source: object) -> None:
    """Call ``close()`` if the iterator has it. For a generator, this runs its ``finally``."""
    close = getattr(source, "close", None)
    if close is not None:
        close()
