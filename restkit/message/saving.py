"""A body written to a file: to a path whole or not at all."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from restkit.body import Body

_BLOCK = 256 * 1024


def save_body(body: Body, target: str | os.PathLike[str] | IO[bytes]) -> int:
    """Write the body to a path or a file open for writing; how many bytes were written.

    A path is written under another name beside it, and moved in place when all of it is there;
    whatever goes wrong, an older file of that name stays as it was and nothing else is left.
    """
    if not isinstance(target, (str, os.PathLike)):
        return _copy(body, target)
    path = os.fspath(target)
    part, number = _create_beside(path)
    try:
        with open(number, "wb", buffering=0) as file:
            count = _copy(body, file)
        os.replace(part, path)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(part)
        raise
    return count


def _create_beside(path: str) -> tuple[str, int]:
    folder, name = os.path.split(path)
    if not name or os.path.isdir(path):
        raise IsADirectoryError(21, os.strerror(21), path)
    while True:
        part = os.path.join(folder, f".{name[:200]}.{os.urandom(4).hex()}.part")
        with suppress(FileExistsError):
            # The mode that open() gives a new file: the process's umask has its say.
            return part, os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o666)


def _copy(body: Body, file: IO[bytes]) -> int:
    reader = object()
    live = body.untouched
    view = memoryview(bytearray(_BLOCK))
    done = 0
    while True:
        count = body.read_live(reader, done, view) if live else body.read_into(done, view)
        if not count:
            return done
        _write(file, view[:count])
        done += count


def _write(file: IO[bytes], view: memoryview) -> None:
    """Write all of it, to a raw file too, which may take less at a time."""
    while view:
        taken: object = file.write(view)
        view = view[taken if isinstance(taken, int) else len(view) :]
