"""Flatten and release bytes-like objects."""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator


Buffer: TypeAlias = bytes | bytearray | memoryview
"""Bytes as they go on the wire: ``len()`` of it is their number (a memoryview is flat, of 'B')."""


class Source(Protocol):
    """The rest of a received body: one pass, blocking."""

    def read_piece(self) -> Buffer:
        """Return the next chunk, or b'' at the end. It is only valid until the next call."""

    def readinto(self, view: memoryview) -> int:
        """Fill ``view`` with at least one byte and return the count, or 0 at the end."""

    def close(self) -> None:
        """Close what the bytes come from. Idempotent."""


_FIELD_NAMES = re.compile(":[^:]*:")  # in the format of a structure, PEP 3118


@contextmanager
def flat_view(value: object) -> Iterator[memoryview]:
    """The bytes of an object with the buffer protocol as one flat view, released at the end.

    Nothing is copied, unless the bytes do not lie side by side in the order they are counted in.
    Raises TypeError where there is no buffer, or one of references to Python objects.
    """
    with memoryview(value) as view, _flat(view) as whole:  # type: ignore[arg-type]  # asked here
        yield whole


def _flat(view: memoryview) -> memoryview:
    if "O" in _FIELD_NAMES.sub("", view.format):
        raise TypeError("an array of Python objects has addresses for bytes; they are not sent")
    if not view.nbytes:
        return memoryview(b"")  # a shape with a zero in it cannot be cast
    return view.cast("B") if view.c_contiguous else memoryview(view.tobytes())


def close_if_it_can(source: object) -> None:
    """Call the ``close()`` of an iterator that has one: a generator's runs its ``finally``."""
    close = getattr(source, "close", None)
    if close is not None:
        close()
