"""A store of bytes: in memory at first, then in a temporary file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from restkit.io.buffers import Buffer
from restkit.io.files import MAX_STEP, pread, preadv, write_all_at

if TYPE_CHECKING:
    from typing import IO


DEFAULT_MEMORY_SIZE = 1024 * 1024


class Spool:
    """An append-only store that can be read at any position. Not safe for threads.

    Up to and including ``memory`` bytes stay in memory. With more, all bytes move to an unlinked
    file of mode 0600 in ``directory``, by default in the directory that ``tempfile`` chooses. On
    Windows the file has a name, and the system deletes it when it is closed. A full disk raises
    the ``OSError`` of the system. ``close()`` frees memory and file. After a fork, parent and child
    can both read what was stored before: no read depends on the position that the file has.

    >>> spool = Spool(memory=4)
    >>> spool.append(b'abc'); spool.in_memory
    True
    >>> spool.append(b'def'); spool.in_memory
    False
    >>> spool.read_at(2, 3)
    b'cde'
    >>> spool.close()
    """

    __slots__ = ("_buffer", "_directory", "_file", "_memory", "size")

    def __init__(self, memory: int = DEFAULT_MEMORY_SIZE, directory: str | None = None) -> None:
        self.size = 0
        self._memory = memory
        self._directory = directory
        self._buffer = bytearray()
        self._file: IO[bytes] | None = None

    @property
    def in_memory(self) -> bool:
        """True while no file was needed."""
        return self._file is None

    def append(self, data: Buffer) -> None:
        """Store a copy of these bytes at the end."""
        size = self.size + len(data)
        if self._file is None and size > self._memory:
            self._move_to_file()
        if self._file is None:
            self._buffer += data
        else:
            write_all_at(self._file.fileno(), data, self.size)
        self.size = size

    def read_into(self, position: int, view: memoryview) -> int:
        """Fill ``view`` from ``position`` on; return the number of bytes copied."""
        if self._file is not None:
            part = view[: min(self.size - position, MAX_STEP)]
            return preadv(self._file.fileno(), (part,), position)
        with memoryview(self._buffer) as whole, whole[position : position + len(view)] as part:
            view[: len(part)] = part
            return len(part)

    def read_at(self, position: int, size: int) -> bytes:
        """Return up to ``size`` bytes from ``position`` on."""
        if self._file is None:
            return bytes(self._buffer[position : position + size])
        descriptor, end = self._file.fileno(), min(position + size, self.size)
        chunks: list[bytes] = []
        while position < end:
            chunk = pread(descriptor, min(end - position, MAX_STEP), position)
            if not chunk:
                break
            chunks.append(chunk)
            position += len(chunk)
        return b"".join(chunks)

    def close(self) -> None:
        """Discard the bytes and close the file. Idempotent."""
        self.size = 0
        self._buffer = bytearray()
        if self._file is not None:
            self._file.close()
            self._file = None

    def _move_to_file(self) -> None:
        import tempfile

        file = tempfile.TemporaryFile(buffering=0, dir=self._directory)  # noqa: SIM115  # kept open
        try:
            write_all_at(file.fileno(), self._buffer, 0)
        except BaseException:
            file.close()
            raise
        self._file = file
        self._buffer = bytearray()

    def __del__(self) -> None:
        file = getattr(self, "_file", None)  # missing if an interrupt came during __init__
        if file is not None:
            file.close()

    def __repr__(self) -> str:
        place = "memory" if self._file is None else "a file"
        return f"<Spool of {self.size} bytes in {place}>"


class SpoolPart:
    """The bytes of one file in a spool that several files share. See ``Spool``.

    The files are written one after the other, and read independently. The owner of the spool
    closes it.

    >>> spool = Spool(memory=4)
    >>> first = SpoolPart(spool); first.append(b'abc')
    >>> second = SpoolPart(spool); second.append(b'def')
    >>> first.read_at(1, 9), second.read_at(0, 2), spool.in_memory
    (b'bc', b'de', False)
    >>> spool.close()
    """

    __slots__ = ("_spool", "_start", "size")

    def __init__(self, spool: Spool) -> None:
        self.size = 0
        self._spool = spool
        self._start = spool.size

    @property
    def in_memory(self) -> bool:
        """True while the whole spool is in memory."""
        return self._spool.in_memory

    def append(self, data: Buffer) -> None:
        """Store a copy of these bytes at the end. Only the last part of a spool may grow."""
        self._spool.append(data)
        self.size += len(data)

    def read_into(self, position: int, view: memoryview) -> int:
        """Fill ``view`` from ``position`` on; return the number of bytes copied."""
        part = view[: max(0, self.size - position)]
        return self._spool.read_into(self._start + position, part)

    def read_at(self, position: int, size: int) -> bytes:
        """Return up to ``size`` bytes from ``position`` on."""
        size = max(0, min(size, self.size - position))
        return self._spool.read_at(self._start + position, size)

    def close(self) -> None:
        """Forget the bytes; the spool keeps them until it is closed. Idempotent."""
        self.size = 0

    def __repr__(self) -> str:
        return f"<SpoolPart of {self.size} bytes at {self._start} in {self._spool!r}>"
