"""Keep bytes in memory, then in a temporary file.

Bytes that came and are kept: in memory while they are few, then in a file without a name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from restkit.io.files import write_all

if TYPE_CHECKING:
    import io

    from restkit.io.buffers import Buffer


MEMORY = 1024 * 1024


class Spool:
    """An append-only store that can be read at any place; not safe for threads by itself.

    Up to and including ``memory`` bytes stay in memory. What is more goes, all of it, into an
    unlinked file of mode 0600 in ``directory`` or where ``tempfile`` puts such files. A full
    disk is the ``OSError`` that the system gives. ``close()`` frees either; it may be called
    twice.
    """

    __slots__ = ("_directory", "_file", "_held", "_memory", "size")

    def __init__(self, memory: int = MEMORY, directory: str | None = None) -> None:
        self.size = 0
        self._memory = memory
        self._directory = directory
        self._held = bytearray()
        self._file: io.FileIO | None = None

    @property
    def in_memory(self) -> bool:
        return self._file is None

    def append(self, data: Buffer) -> None:
        """Keep these bytes behind those that are there."""
        size = self.size + len(data)
        if self._file is None and size > self._memory:
            self._move_to_file()
        if self._file is None:
            self._held += data
        else:
            self._file.seek(self.size)
            write_all(self._file, data)
        self.size = size

    def read_into(self, position: int, view: memoryview) -> int:
        """Fill ``view`` from ``position`` on, as far as there is something."""
        if self._file is not None:
            self._file.seek(position)
            return self._file.readinto(view[: self.size - position]) or 0
        with memoryview(self._held) as held, held[position : position + len(view)] as part:
            view[: len(part)] = part
            return len(part)

    def read_at(self, position: int, size: int) -> bytes:
        """Up to ``size`` bytes from ``position`` on."""
        if self._file is None:
            return bytes(self._held[position : position + size])
        # One read gives no more than 2 GiB, whatever it is asked for (CPython, FileIO.read).
        self._file.seek(position)
        pieces: list[bytes] = []
        left = min(size, self.size - position)
        while left > 0 and (piece := self._file.read(left)):
            pieces.append(piece)
            left -= len(piece)
        return b"".join(pieces)

    def close(self) -> None:
        self.size = 0
        self._held = bytearray()
        if self._file is not None:
            self._file.close()
            self._file = None

    def _move_to_file(self) -> None:
        import tempfile

        file = tempfile.TemporaryFile(buffering=0, dir=self._directory)  # noqa: SIM115  # kept
        try:
            write_all(file, self._held)
        except BaseException:
            file.close()
            raise
        self._file = file
        self._held = bytearray()

    def __del__(self) -> None:
        file = getattr(self, "_file", None)  # an interrupt may have kept it from being made
        if file is not None:
            file.close()

    def __repr__(self) -> str:
        place = "memory" if self._file is None else "a file"
        return f"<Spool of {self.size} bytes in {place}>"
