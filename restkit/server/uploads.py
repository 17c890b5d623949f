"""A file on its way into a folder: hidden and unfinished, or in place and whole.

It is written as ``.name.1a2b3c4d.part`` beside its target, under a name of its own and for its
owner's eyes only, and moved over the target in one step. Whoever reads the target sees the older
file or the new one; of several uploads to one name the last that is complete stays.
"""

from __future__ import annotations

import os
import re
import stat
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from restkit.replacing import create_part
from restkit.spool import write_all

if TYPE_CHECKING:
    from types import TracebackType

    from restkit.payload import Buffer

_PART = re.compile(r"\..+\.[0-9a-f]{8}\.part", re.DOTALL)
_ABANDONED = 24 * 60 * 60.0  # seconds; one that lives is written to more often than that


class Upload:
    """A new file in a folder, which is there once ``finish()`` has returned.

    A context manager; ``close()`` removes what was not finished, and may be called twice. Errors
    are the ``OSError`` that the system gives: FileExistsError where ``new`` is asked for and there
    is a file of that name. With ``fsync`` the file, and its name, are on the disk when
    ``finish()`` returns.
    """

    __slots__ = ("_directory", "_file", "_fsync", "_mode", "_new", "_part", "name", "size")

    def __init__(
        self, directory: str, name: str, *, new: bool = False, fsync: bool = False
    ) -> None:
        self.name = name
        self.size = 0
        self._directory = directory
        self._new = new
        self._fsync = fsync
        self._part: str | None
        self._part, number = create_part(directory, name, name)
        self._file = open(number, "wb", buffering=0)  # noqa: SIM115  # closed by close()
        # What the umask leaves can only be seen of a file: to ask for it is to change it.
        self._mode = stat.S_IMODE(os.fstat(number).st_mode)
        self._set_mode(0o600)

    def write(self, data: Buffer) -> None:
        """Add these bytes, all of them."""
        write_all(self._file, data)
        self.size += len(data)

    def finish(self) -> None:
        """Move the file in place, over an older one of its name unless ``new`` was asked for."""
        assert self._part is not None, "an upload is finished once"
        self._set_mode(self._mode)
        if self._fsync:
            os.fsync(self._file.fileno())
        # First: file systems of a network may say only now that there was no room.
        self._file.close()
        target = os.path.join(self._directory, self.name)
        if self._new:
            os.link(self._part, target)
            os.unlink(self._part)
        else:
            os.replace(self._part, target)
        self._part = None
        if self._fsync:
            _sync_folder(self._directory)

    def _set_mode(self, mode: int) -> None:
        with suppress(PermissionError):  # as file systems without modes may say
            os.fchmod(self._file.fileno(), mode)

    def close(self) -> None:
        """Let go of the file, and remove it unless it is finished."""
        part, self._part = self._part, None
        try:
            self._file.close()
        finally:
            if part is not None:
                with suppress(FileNotFoundError):
                    os.unlink(part)

    def __enter__(self) -> Upload:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        state = "on its way" if self._part else "closed"
        return f"<Upload of {self.name!r}, {self.size} bytes, {state}>"


def remove_abandoned(directory: str, age: float = _ABANDONED) -> list[str]:
    """Remove unfinished files that nobody has written to for so many seconds; their names.

    A process that is killed leaves them. Those of other processes that are at work stay, because
    they are younger.
    """
    oldest = time.time() - age
    removed = []
    with os.scandir(directory) as entries:
        for entry in entries:
            if _PART.fullmatch(entry.name) and entry.is_file(follow_symlinks=False):
                # Another process may be removing the same ones.
                with suppress(FileNotFoundError, PermissionError):
                    if entry.stat(follow_symlinks=False).st_mtime < oldest:
                        os.unlink(entry.path)
                        removed.append(entry.name)
    return removed


def _sync_folder(directory: str) -> None:
    number = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(number)
    finally:
        os.close(number)
