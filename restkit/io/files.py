"""Write all bytes to a file, replace a file atomically, and describe a region of a file.

A file that appears whole or not at all: written under another name beside it, then moved.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import io

    from restkit.io.buffers import Buffer


@contextmanager
def replacing(path: str, named: str | None = None) -> Iterator[io.FileIO]:
    """A raw file to write, which is at ``path`` when the block has ended well.

    Whatever goes wrong, an older file of that name stays as it was and nothing else is left. The
    new file has the mode of the older one. ``named`` is what an error calls it.
    """
    folder, name = os.path.split(path)
    part, number = create_part(folder, name, named or path)
    try:
        with open(number, "wb", buffering=0) as file:
            with suppress(FileNotFoundError):
                os.fchmod(number, stat.S_IMODE(os.stat(path).st_mode) & 0o777)
            yield file
        os.replace(part, path)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(part)
        raise


def create_part(folder: str, name: str, named: str) -> tuple[str, int]:
    """A new, hidden file beside a name, ``.name.1a2b3c4d.part``: its path, and its number."""
    while True:
        # Names are at most 255 bytes, and one character may be four of them.
        part = os.path.join(folder, f".{name[:50]}.{os.urandom(4).hex()}.part")
        with suppress(FileExistsError):
            # The mode that open() gives a new file: the process's umask has its say.
            try:
                flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC
                return part, os.open(part, flags, 0o666)
            except OSError as exc:
                exc.filename = named  # the caller knows nothing of the other
                raise


def write_all(file: io.FileIO, data: Buffer) -> None:
    """Write all of it to a raw file, which may take less at a time."""
    with memoryview(data) as view:
        done = file.write(view)
        while done < len(view):
            done += file.write(view[done:])


BLOCK = 256 * 1024
"""How much of a file is read at a time."""


class Region(NamedTuple):
    """A part of a regular file, by number and place: what ``pread`` and ``sendfile`` ask for."""

    file: Any
    start: int
    length: int

    def after(self, count: int) -> Region:
        """What is left of it behind the first ``count`` bytes."""
        return Region(self.file, self.start + count, self.length - count)

    def blocks(self) -> Iterator[bytes]:
        """The bytes, as far as the file has them by now; its position is left alone."""
        at, end = self.start, self.start + self.length
        # The number is asked for each time: that of a file closed meanwhile may be another's.
        while at < end and (block := os.pread(self.file.fileno(), min(BLOCK, end - at), at)):
            yield block
            at += len(block)
