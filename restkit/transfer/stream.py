"""The target of a download that is a file object, standard output, a device or a pipe.

Bytes that were written cannot be taken back. So a download continues here only with the same
version, and no later process continues it.
"""

from __future__ import annotations

import errno
import io
from collections.abc import Iterable
from contextlib import suppress
from typing import IO, Any

from restkit.content_digest.fields import make_hash
from restkit.errors import ResponseError
from restkit.io.buffers import Buffer
from restkit.transfer.record import Record


class StreamTarget:
    """The bytes of a download to an open file; see ``PartFile`` for the same methods."""

    def __init__(self, file: IO[bytes], algorithms: Iterable[str], *, closes: bool = False) -> None:
        if not hasattr(file, "write"):
            raise TypeError(
                "a download is saved to a path, '-', or a file open for writing; "
                f"got {type(file).__name__}"
            )
        file.write(b"")  # raises for a file of text, before anything is requested
        self._file = file
        self._closes = closes
        self._hashes: dict[str, Any] = {name: make_hash(name) for name in algorithms}
        self.held = 0
        self.record: Record | None = None

    def begin(self, record: Record) -> int:
        """Begin a response with the whole file; return the bytes to skip, already written."""
        version = None if self.record is None else self.record.version
        if self.held and (version is None or not version.condition or version != record.version):
            self.drop()
        if not self.held:
            for name, _ in record.digests:
                self._hashes.setdefault(name, make_hash(name))
        self.record = record
        return self.held

    def drop(self) -> None:
        """Raise ResponseError if bytes were written: they cannot be taken back."""
        if self.held:
            raise ResponseError(
                f"the download cannot start over: {self.held} bytes were written to "
                f"{self._file!r:.80} already; download to a path, or to a new file"
            )
        self.record = None

    def write(self, data: Buffer) -> None:
        """Write all bytes, also to a raw file, which may accept only a part of them."""
        with memoryview(data) as view:
            for hasher in self._hashes.values():
                hasher.update(view)
            done = 0
            while done < len(view):
                written: object = self._file.write(view[done:])
                if written is None and isinstance(self._file, io.RawIOBase):
                    raise BlockingIOError(errno.EAGAIN, "the file must be in blocking mode")
                step = written if isinstance(written, int) else len(view) - done
                self.held += step
                done += step

    def make_digest(self, algorithm: str) -> bytes | None:
        """Return the digest of the bytes written; None if it was not known from the start."""
        hasher = self._hashes.get(algorithm)
        return None if hasher is None else bytes(hasher.digest())

    def finish(self) -> None:
        """Flush the file; close it if the download opened it."""
        if hasattr(self._file, "flush"):
            self._file.flush()
        self.close()

    def suspend(self) -> None:
        """Close the file if the download opened it. Written bytes cannot be removed."""
        with suppress(OSError):
            self.close()

    remove = suspend

    def close(self) -> None:
        """Close the file if the download opened it."""
        if self._closes:
            self._file.close()
