"""A body written to a file: to a path whole or not at all."""

from __future__ import annotations

import errno
import io
import os
from typing import IO, TYPE_CHECKING

from restkit.replacing import replacing

if TYPE_CHECKING:
    from restkit.body import Body

_BLOCK = 128 * 1024  # what stays in a processor's cache between the two copies


def save_body(body: Body, target: str | os.PathLike[str] | IO[bytes]) -> int:
    """Write the body to a path or a file open for writing; how many bytes were written.

    A path is written under another name beside it, and moved in place when all of it is there;
    whatever goes wrong, an older file of that name stays as it was and nothing else is left.
    The new file has the mode of the older one. A link stays, and what it leads to is replaced;
    a device or a pipe is written to.
    """
    if not isinstance(target, (str, os.PathLike)):
        return _copy(body, _asked(target))
    named = os.fsdecode(target)
    path = os.path.realpath(named)
    if not os.path.basename(named) or os.path.isdir(path):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), named)
    if os.path.exists(path) and not os.path.isfile(path):
        with open(path, "wb", buffering=0) as file:
            return _copy(body, file)
    with replacing(path, named) as whole:
        return _copy(body, whole)


def _asked(file: IO[bytes]) -> IO[bytes]:
    """The file, if it takes bytes at all: asked before any of the body is taken for it."""
    if not hasattr(file, "write"):
        kind = type(file).__name__
        raise TypeError(f"a body is saved to a path or a file open for writing, not to a {kind}")
    file.write(b"")
    return file


def _copy(body: Body, file: IO[bytes]) -> int:
    reader = object()
    live = body.untouched
    view = memoryview(bytearray(_BLOCK))
    done = 0
    while True:
        count = body.read_live(reader, done, view) if live else body.read_into(done, view)
        if not count:
            return done
        try:
            _write(file, view[:count])
        except BaseException:
            body.end_live(reader)  # what has gone by is lost to everybody else
            raise
        done += count


def _write(file: IO[bytes], view: memoryview) -> None:
    """Write all of it, to a raw file too, which may take less at a time."""
    while view:
        taken: object = file.write(view)
        if taken is None and isinstance(file, io.RawIOBase):
            raise BlockingIOError(errno.EAGAIN, "the file to save to does not block")
        view = view[taken if isinstance(taken, int) else len(view) :]
