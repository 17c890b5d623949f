"""Files, streams and payloads over a body; save a body to a file.

The files over a body: ``io.BufferedReader`` at C speed, over a raw reader of one method.

All that stands below ``read(1024)``, ``readline``, ``seek`` and ``peek`` is ``readinto`` from a
place. A call that wants more than came before the source broke raises, and so does every later
one: the ``BufferedReader`` drops what it held, the spool does not; ``seek`` back, and what came
can be read.

One response's body as the next request's payload.

A body written to a file: to a path whole or not at all.
"""

from __future__ import annotations

import errno
import io
import os
from functools import partial
from typing import IO, TYPE_CHECKING

from restkit.errors import PayloadError
from restkit.io.files import replacing
from restkit.payload.base import Payload

if TYPE_CHECKING:
    from collections.abc import Iterator

    from _typeshed import WriteableBuffer

    from restkit.body.body import Body
    from restkit.io.buffers import Buffer


FILE_BUFFER = 128 * 1024
LONGEST_LINE = 1024 * 1024


class _SpooledRaw(io.RawIOBase):
    """A place in a body, for ``io.BufferedReader``."""

    def __init__(self, body: Body) -> None:
        self._body = body
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        if whence == io.SEEK_CUR:
            offset += self._position
        elif whence == io.SEEK_END:
            offset += self._body.pull_all()
        elif whence != io.SEEK_SET:
            raise ValueError(f"whence is {whence!r}; 0, 1 or 2 would do")
        if offset < 0:
            # As a file on disk has it: zipfile, for one, looks for an end that may not be there.
            raise OSError(errno.EINVAL, f"a place of {offset} is before the beginning")
        self._position = offset
        return offset

    def readinto(self, buffer: WriteableBuffer) -> int:
        with memoryview(buffer) as view, view.cast("B") as flat:
            count = self._body.read_into(self._position, flat) if flat else 0
        self._position += count
        return count


class _LiveRaw(io.RawIOBase):
    """The one pass over a body that keeps nothing."""

    def __init__(self, body: Body) -> None:
        self._body = body
        self._position = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        with memoryview(buffer) as view, view.cast("B") as flat:
            count = self._body.read_live(self, self._position, flat) if flat else 0
        self._position += count
        return count


class _Lines(io.BufferedReader):
    """A reader whose iteration never holds more of a line than ``LONGEST_LINE``."""

    def __iter__(self) -> Iterator[bytes]:
        return iter(partial(self.readline, LONGEST_LINE), b"")

    def __next__(self) -> bytes:
        line = self.readline(LONGEST_LINE)
        if not line:
            raise StopIteration
        return line

    def readlines(self, hint: int | None = -1) -> list[bytes]:
        """Whole lines, whatever their length: the next ones, until they are more than ``hint``."""
        lines: list[bytes] = []
        left = hint if hint and hint > 0 else None
        for line in iter(self.readline, b""):
            lines.append(line)
            if left is not None and (left := left - len(line)) < 0:
                break
        return lines


class BodyFile(_Lines):
    """A body as a file: read, seek, iterate by lines, read again; one reader at a time.

    A line longer than 1 MiB comes in pieces of 1 MiB. Closing the file lets go of this view
    and not of the body.
    """

    def __init__(self, body: Body) -> None:
        super().__init__(_SpooledRaw(body), FILE_BUFFER)
        self._body = body

    def __payload__(self) -> Payload:
        """Sent from where it stands, with its length where that is known, and again."""
        if self.closed:
            raise PayloadError(f"{self!r} is closed; r.body_file and r.tee() give another one")
        return self._body.spooled_payload(self.tell())

    def __repr__(self) -> str:
        state = ", closed" if self.closed else ""
        return f"<BodyFile over {self._body.spooled} bytes so far{state}>"


class BodyStream(_Lines):
    """A body as a file that is read once, straight from the wire; it cannot seek."""

    def __init__(self, body: Body) -> None:
        self._live = _LiveRaw(body)
        self._body = body
        super().__init__(self._live, FILE_BUFFER)

    def close(self) -> None:
        super().close()
        self._body.end_live(self._live)

    def __repr__(self) -> str:
        return f"<BodyStream, {'closed' if self.closed else _state_of(self._body)}>"


class PayloadStream:
    """A body as its pieces, as they arrive, decoded; one pass, claimed at its first item.

    A pass that is broken off closes the connection: nobody else could have the rest.
    """

    def __init__(self, body: Body) -> None:
        self._body = body

    def __iter__(self) -> Iterator[bytes]:
        reader = object()
        position = 0
        try:
            while piece := self._body.live_piece(reader, position):
                position += len(piece)
                yield bytes(piece)
        finally:
            self._body.end_live(reader)

    def __payload__(self) -> Payload:
        return self._body.live_payload()

    def __repr__(self) -> str:
        return f"<PayloadStream, {_state_of(self._body)}>"


def _state_of(body: Body) -> str:
    if body.untouched:
        return "not begun"
    return f"over {body.spooled} bytes so far" if body.readable else "one pass, begun"


_PIECE = 256 * 1024


class SpooledBodyPayload(Payload):
    """A body from a place on, kept in its spool as it goes by, so that it can go again."""

    replayable = True
    source = "of a body"

    def __init__(self, body: Body, start: int) -> None:
        self._body = body
        self._start = start
        self.length = None if body.length is None else max(0, body.length - start)
        self.headers = body.payload_headers

    def chunks(self) -> Iterator[Buffer]:
        position = self._start
        # One buffer for all pieces: a piece is good until the next is asked for.
        view = memoryview(bytearray(_PIECE))
        while count := self._body.read_into(position, view):
            position += count
            yield view[:count]


class LiveBodyPayload(Payload):
    """A body as it arrives: one pass, nothing kept; its connection is closed if that fails."""

    source = "of a body"

    def __init__(self, body: Body) -> None:
        self._body = body
        self.length = body.length
        self.headers = body.payload_headers

    def chunks(self) -> Iterator[Buffer]:
        position = 0
        whole = False
        try:
            while piece := self._body.live_piece(self, position):
                position += len(piece)
                yield piece
            whole = True
        finally:
            if not whole:
                self._body.close()


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
