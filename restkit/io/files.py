"""Files: write all bytes, replace a file atomically, describe a region of a file."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from restkit.io.buffers import Buffer

if TYPE_CHECKING:
    import io


CHUNK_SIZE = 256 * 1024
"""The number of bytes that one read of a file asks for."""


class Region(NamedTuple):
    """A part of a regular file, given by offset and length, for ``pread`` and ``sendfile``."""

    file: Any
    start: int
    length: int

    def skip(self, count: int) -> Region:
        """Return the region without its first ``count`` bytes."""
        return Region(self.file, self.start + count, self.length - count)

    def chunks(self) -> Iterator[bytes]:
        """Yield the bytes, up to the current end of the file. The position of the file is kept."""
        position, end = self.start, self.start + self.length
        # Get the descriptor each time: after a close, another file may have the same number.
        while position < end:
            size = min(CHUNK_SIZE, end - position)
            chunk = os.pread(self.file.fileno(), size, position)
            if not chunk:
                return
            yield chunk
            position += len(chunk)


def write_all(file: io.FileIO, data: Buffer) -> None:
    """Write all of ``data`` to a raw file. One ``write`` of a raw file may write only a part."""
    with memoryview(data) as view:
        done = file.write(view)
        while done < len(view):
            done += file.write(view[done:])


@contextmanager
def replace_file(path: str, name_in_errors: str | None = None) -> Iterator[io.FileIO]:
    """Yield a raw file to write, which replaces the file at ``path`` at the end of the block.

    The bytes go to a hidden file in the same folder, which is moved at the end. After an error, an
    existing file at ``path`` is unchanged and the hidden file is deleted. The new file has the mode
    of the one that it replaces. ``name_in_errors`` is the file name of an ``OSError``.
    """
    folder, name = os.path.split(path)
    part_path, descriptor = create_part_file(folder, name, name_in_errors or path)
    try:
        with open(descriptor, "wb", buffering=0) as file:
            with suppress(FileNotFoundError):
                os.fchmod(descriptor, stat.S_IMODE(os.stat(path).st_mode) & 0o777)
            yield file
        os.replace(part_path, path)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(part_path)
        raise


def create_part_file(folder: str, name: str, name_in_errors: str) -> tuple[str, int]:
    """Create a hidden file ``.name.1a2b3c4d.part``; return its path and its descriptor."""
    while True:
        # A file name has at most 255 bytes, and one character may take four of them.
        part_path = os.path.join(folder, f".{name[:50]}.{os.urandom(4).hex()}.part")
        with suppress(FileExistsError):
            # The mode is that of a file made by open(): the umask of the process applies.
            try:
                flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC
                return part_path, os.open(part_path, flags, 0o666)
            except OSError as exc:
                exc.filename = name_in_errors  # the caller does not know the name of the part file
                raise
