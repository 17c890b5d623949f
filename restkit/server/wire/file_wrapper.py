"""``wsgi.file_wrapper`` (PEP 3333): a file as an answer's body, which the system may send."""

from __future__ import annotations

import io
import os
import stat
from typing import IO, NamedTuple, cast

_BLOCK = 64 * 1024


class Span(NamedTuple):
    """A part of a file that can be read by its number: from ``start`` to the file's end."""

    file: IO[bytes]
    start: int
    size: int


class FileWrapper:
    """What is left of a file, in blocks; ``close()`` closes the file if it can be closed.

    It is its own iterator, and can be told to begin elsewhere: frameworks that cut a range out of
    it (werkzeug 3) take the iterator for the whole of it, and close that.
    """

    def __init__(self, filelike: IO[bytes], block_size: int = _BLOCK) -> None:
        self.filelike = filelike
        self.block_size = block_size

    def __iter__(self) -> FileWrapper:
        return self

    def __next__(self) -> bytes:
        block = self.filelike.read(self.block_size)
        if not block:
            raise StopIteration
        return block

    def seekable(self) -> bool:
        seekable = getattr(self.filelike, "seekable", None)
        return seekable is not None and seekable()

    def seek(self, position: int, whence: int = io.SEEK_SET) -> int:
        return self.filelike.seek(position, whence)

    def tell(self) -> int:
        return self.filelike.tell()

    def close(self) -> None:
        close = getattr(self.filelike, "close", None)
        if close is not None:
            close()

    def span(self) -> Span | None:
        """The same as a part of a regular file, where its number gives the same bytes.

        What is not one of Python's own plain files may have a number and give other bytes than
        the file behind it has, as ``GzipFile`` does; and what the system makes up as it is read
        has no size (proc(5)).
        """
        # NamedTemporaryFile has its file in a wrapper of its own.
        file = getattr(self.filelike, "file", self.filelike)
        if isinstance(file, io.BufferedRandom):
            file.flush()
        raw = file.raw if isinstance(file, (io.BufferedReader, io.BufferedRandom)) else file
        if not isinstance(raw, io.FileIO):
            return None
        try:
            found = os.fstat(raw.fileno())
            start = file.tell()
        except OSError:
            return None
        if not stat.S_ISREG(found.st_mode) or found.st_size <= start:
            return None
        return Span(cast("IO[bytes]", file), start, found.st_size - start)
