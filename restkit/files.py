"""Payloads of files: regular ones by their size, paths, what can seek, what can only be read on.

A file object that a caller gives is the caller's: it is never closed here. Only a plain file, as
``open()`` makes it, is read underneath its layers: a wrapper's ``fileno()`` may be of a file that
holds other bytes than the wrapper gives (gzip, members of a zip, spooled files).
"""

from __future__ import annotations

import io
import os
import select
import threading
from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from restkit.errors import PayloadError
from restkit.payload import OCTET_STREAM, Buffer, Payload
from restkit.sources import utf_8

if TYPE_CHECKING:
    import socket

BLOCK = 256 * 1024
"""How much of a file is read at a time."""

_PIPE_BLOCK = 64 * 1024  # what a pipe of Linux holds


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


class RegularPayload(Payload):
    """A region of a regular file, and of known length.

    A file that shrinks is a PayloadLengthError; of one that grows, what is new is not sent.
    """

    length: int
    replayable = True

    @abstractmethod
    def region(self) -> AbstractContextManager[Region]:
        """Where the bytes are, for the time of one pass."""

    def chunks(self) -> Iterator[Buffer]:
        with self.region() as region:
            yield from region.blocks()


class FilePayload(RegularPayload):
    """What is left of a regular file, as ``open()`` gives it, from its position on.

    That is what is on disk, in text mode too: nothing is encoded anew. The length is taken
    when the payload is made (after a flush, where the file can be written), and the file's own
    position is neither moved nor looked at. So a second pass, a pass in another thread and
    a second request with the same file all send the same bytes. The file is the caller's to
    close; once it is closed there is no further pass.
    """

    def __init__(self, file: Any, start: int) -> None:
        _flush(file)
        self.length = max(0, os.fstat(file.fileno()).st_size - start)
        self._file = file
        self._start = start
        self.source = source_of(file)
        self.headers = content_type(getattr(file, "name", None))

    @contextmanager
    def region(self) -> Iterator[Region]:
        _flush(self._file)
        yield Region(self._file, self._start, self.length)


class PathPayload(RegularPayload):
    """The regular file at a path: opened for each pass, and closed after it, however it ends.

    Its size is taken when the payload is made; a path where there is nothing to read is the
    OSError of the system, then.
    """

    def __init__(self, path: str | bytes, length: int) -> None:
        self._path = path
        self.length = length
        self.source = repr(os.fsdecode(path))
        self.headers = content_type(path)

    @contextmanager
    def region(self) -> Iterator[Region]:
        with io.FileIO(self._path) as file:
            yield Region(file, 0, self.length)


class StreamPayload(Payload):
    """A file that is read on from where it is, lazily and once: what comes, as it comes.

    ``read`` is the method to ask: bytes-like, or str, which goes as UTF-8; None means that there
    is nothing yet, and the file's number is waited on. ``watched`` is the file whose number
    becomes readable when ``read`` would give something, if there is one. The caller closes it.
    """

    def __init__(
        self, file: Any, read: Callable[[int], Any], *, watched: io.FileIO | None = None
    ) -> None:
        self.source = source_of(file)
        self.headers = content_type(getattr(file, "name", None), as_stored=False)
        self._file = file
        self._read = read
        self._watched = watched

    @property
    def waits_on(self) -> int | None:
        return None if self._watched is None else self._watched.fileno()

    def chunks(self) -> Iterator[Buffer]:
        return _in_utf_8(self._pieces(), repr(self))

    def _pieces(self) -> Iterator[Any]:
        while piece := _read_on(self._file, self._read, _PIPE_BLOCK):
            yield piece


class PipePayload(Payload):
    """What comes out of a pipe, a terminal or a ``/proc`` file that ``open()`` has buffered.

    Read once, lazily, and as bytes, also where it is text of which nothing has been read yet. The
    first piece may be what was in the buffer already, of which the pipe's number knows nothing:
    only afterwards is there something to wait on.
    """

    def __init__(
        self,
        file: io.BufferedReader | io.BufferedRandom | io.TextIOWrapper,
        raw: io.FileIO,
        *,
        watchable: bool,
    ) -> None:
        self.source = source_of(file)
        self.headers = content_type(getattr(file, "name", None))
        self._file = file  # kept, since text that is dropped closes what is beneath it
        self._buffer: Any = file.buffer if isinstance(file, io.TextIOWrapper) else file
        self._raw = raw
        self._watchable = watchable
        self._drained = False

    @property
    def waits_on(self) -> int | None:
        return self._raw.fileno() if self._drained and self._watchable else None

    def chunks(self) -> Iterator[Buffer]:
        # All that the buffer has, or one read of as much as it could have: then it is empty, which
        # no read of another size would tell.
        piece = self._buffer.read1() or self._read_raw_unless_ended()
        self._drained = True
        while piece:
            yield piece
            piece = _read_on(self._raw, self._raw.read, _PIPE_BLOCK)

    def _read_raw_unless_ended(self) -> bytes:
        # read1() gives b"" for the end, and also when a file that does not block has nothing yet
        # (CPython 3.10 to 3.13). Nothing is in the buffer then, and the raw file tells them apart.
        if os.get_blocking(self._raw.fileno()):
            return b""
        data: bytes = _read_on(self._raw, self._raw.read, _PIPE_BLOCK)
        return data


class UnsizedPathPayload(Payload):
    """A path that has no size to tell: a FIFO, a device, a file of ``/proc``.

    It is opened when it is sent, and closed after it.
    """

    def __init__(self, path: str | bytes, *, replayable: bool, watchable: bool) -> None:
        self.replayable = replayable
        self.source = repr(os.fsdecode(path))
        self.headers = content_type(path)
        self._path = path
        self._watchable = watchable
        self._file: io.FileIO | None = None

    @property
    def waits_on(self) -> int | None:
        return None if self._file is None else self._file.fileno()

    def chunks(self) -> Iterator[Buffer]:
        with io.FileIO(self._path) as file:
            self._file = file if self._watchable else None
            try:
                while block := _read_on(file, file.read, _PIPE_BLOCK):
                    yield block
            finally:
                self._file = None


class SocketPayload(Payload):
    """What a connected socket receives, as it comes, until its peer has no more; once."""

    def __init__(self, source: socket.socket, *, watched: bool) -> None:
        self.source = f"of {type(source).__name__}"
        self._socket = source
        self._watched = watched

    @property
    def waits_on(self) -> int | None:
        number = self._socket.fileno()
        return number if self._watched and number >= 0 else None

    def chunks(self) -> Iterator[Buffer]:
        while piece := self._receive():
            yield piece

    def _receive(self) -> bytes:
        while True:
            try:
                return self._socket.recv(_PIPE_BLOCK)
            except BlockingIOError:
                _wait_until_readable(self._socket.fileno())


class SeekablePayload(Payload):
    """What is left of a file-like object that can seek, from its position on.

    Of bytes the length was measured, and no more than that is sent; text goes as UTF-8, of
    unknown length. Each pass begins where the object stood at first, and leaves it there again.
    Passes of this payload in several threads take turns; what the caller reads meanwhile is not
    looked after.
    """

    replayable = True

    def __init__(self, file: Any, start: int, length: int | None) -> None:
        self.source = source_of(file)
        self.headers = content_type(getattr(file, "name", None), as_stored=False)
        self.length = length
        self._file = file
        self._start = start
        self._turn = threading.Lock()

    def chunks(self) -> Iterator[Buffer]:
        try:
            yield from _in_utf_8(self._pieces(), repr(self))
        finally:
            # The pass is over, and that the caller has closed the file is not its failure.
            with self._turn, suppress(OSError, ValueError):
                self._file.seek(self._start)

    def _pieces(self) -> Iterator[Any]:
        at, left = self._start, self.length
        while size := BLOCK if left is None else min(BLOCK, left):
            with self._turn:
                if self._file.tell() != at:
                    self._file.seek(at)
                piece = _read_on(self._file, self._file.read, size)
                at = self._file.tell()
            if not piece:
                return
            if left is not None:
                left = max(0, left - len(piece))
            yield piece


def content_type(name: object, *, as_stored: bool = True) -> Sequence[tuple[str, str]]:
    """The Content-Type that a file's name stands for, as fields of a head.

    ``as_stored``: the bytes are those on disk, so that ``x.gz`` is gzip; from behind a wrapper
    they may have been decompressed.
    """
    if not isinstance(name, str | bytes | os.PathLike):
        return OCTET_STREAM
    import mimetypes  # it reads the system's tables when it is first asked

    # With "./" before it, no name is taken for a URL with a scheme.
    kind, coding = mimetypes.guess_type("./" + os.path.basename(os.fsdecode(name)))
    if coding is not None:
        kind = "application/gzip" if coding == "gzip" and as_stored else None
    return (("Content-Type", kind),) if kind else OCTET_STREAM


def source_of(file: object) -> str:
    """A file-like object's name, or what it is where it has none."""
    name = getattr(file, "name", None)
    if isinstance(name, str | bytes | os.PathLike):
        return repr(os.fsdecode(name))
    return f"of {type(file).__name__}"


def _flush(file: Any) -> None:
    if file.writable():
        file.flush()


def _in_utf_8(pieces: Iterator[Any], what: str) -> Iterator[Buffer]:
    characters = 0
    for piece in pieces:
        if isinstance(piece, str):
            yield utf_8(piece, f"{what}, after {characters} characters,")
            characters += len(piece)
        else:
            yield piece


def _read_on(file: Any, read: Callable[[int], Any], size: int) -> Any:
    """What ``read`` gives, once it gives something: None is waited out."""
    while (piece := read(size)) is None:
        try:
            number = file.fileno()
        except (AttributeError, io.UnsupportedOperation) as exc:
            raise PayloadError(
                f"{source_of(file)}: read() returned None, which is nothing yet, and there is no "
                "file number to wait on"
            ) from exc
        _wait_until_readable(number)
    return piece


def _wait_until_readable(number: int) -> None:
    poll = select.poll()
    poll.register(number, select.POLLIN)
    poll.poll()
