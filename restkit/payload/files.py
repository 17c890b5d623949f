"""Payloads of files, paths, pipes, sockets and file-like objects.

Payloads of files: regular ones by their size, paths, what can seek, what can only be read on.

A file object that a caller gives is the caller's: it is never closed here. Only a plain file, as
``open()`` makes it, is read underneath its layers: a wrapper's ``fileno()`` may be of a file that
holds other bytes than the wrapper gives (gzip, members of a zip, spooled files).
"""

from __future__ import annotations

import codecs
import errno
import io
import os
import select
import socket
import stat
import threading
from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Any

from restkit.errors import PayloadError
from restkit.io.buffers import Buffer
from restkit.io.files import BLOCK, Region
from restkit.payload.base import OCTET_STREAM, Payload
from restkit.payload.values import BytesPayload, TextPayload, utf_8

_PIPE_BLOCK = 64 * 1024  # what a pipe of Linux holds


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


_MARKED = ("utf-16", "utf-32")

# They read ahead of what tell() says, and give even to read(0) whatever they hold.
_READERS_AHEAD = (codecs.StreamReader, codecs.StreamReaderWriter, codecs.StreamRecoder)


def payload_from_path(path: str | bytes) -> Payload:
    """The payload of what is at a path; the system's OSError where that cannot be read."""
    mode = os.stat(path).st_mode
    if stat.S_ISFIFO(mode) or stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
        # To open one of these can wait, or do something; it can be asked for permission.
        if not os.access(path, os.R_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
        return UnsizedPathPayload(path, replayable=False, watchable=stat.S_ISFIFO(mode))
    with io.FileIO(path) as file:
        if _tells_its_size(file):
            return PathPayload(path, os.fstat(file.fileno()).st_size)
    return UnsizedPathPayload(path, replayable=True, watchable=False)


def payload_from_file(file: Any) -> Payload:
    if getattr(file, "closed", False) is True:
        raise PayloadError(f"the file {source_of(file)} is closed")
    if hasattr(file, "readable") and not file.readable():
        raise PayloadError(f"the file {source_of(file)} is not open for reading")
    if type(file) is io.BytesIO or type(file) is io.StringIO:
        return _of_memory(file)
    raw = _plain_file(file)
    if raw is not None and _tells_its_size(raw):
        return FilePayload(file, _plain_position(file))
    if raw is not None and (type(file) is not io.TextIOWrapper or _is_undecoded(file)):
        return _of_pipe(file, raw)
    if _can_seek(file):
        return _of_seekable(file) or StreamPayload(file, _reader_of(file))
    return StreamPayload(file, _reader_of(file))


def _of_memory(file: io.BytesIO | io.StringIO) -> Payload:
    at, whole = file.tell(), file.getvalue()
    headers = content_type(getattr(file, "name", None))
    if isinstance(whole, str):
        return TextPayload(whole[at:], headers)
    return BytesPayload(memoryview(whole)[at:] if at else whole, headers)


def _plain_position(file: Any) -> int:
    """Where in its bytes a regular file stands, in text mode too."""
    try:
        at: int = file.tell()
    except OSError as exc:
        raise _no_position(file) from exc
    # Above these bits a text file's position holds the state of its decoder.
    if at >> 64 or (at and _needs_its_mark(file)):
        raise _no_position(file)
    return at


def _needs_its_mark(file: Any) -> bool:
    """Whether the bytes of a file mean nothing without the byte order mark at its beginning."""
    return isinstance(file, io.TextIOWrapper) and codecs.lookup(file.encoding).name in _MARKED


def _no_position(file: Any) -> PayloadError:
    return PayloadError(
        f"{source_of(file)} has been read as text, and cannot say at which byte it is: "
        "open it with 'rb'"
    )


def _of_pipe(file: Any, raw: io.FileIO) -> Payload:
    watchable = _is_watchable(raw)
    if file is raw:
        return StreamPayload(file, raw.read, watched=raw if watchable else None)
    return PipePayload(file, raw, watchable=watchable)


def payload_from_socket(source: socket.socket) -> Payload:
    if source.fileno() < 0:
        raise PayloadError("the socket is closed")
    # Of TLS, some may have come and be decrypted though the number shows nothing.
    return SocketPayload(source, watched=type(source) is socket.socket)


def _can_seek(file: Any) -> bool:
    if hasattr(file, "seekable"):
        return bool(file.seekable())
    return hasattr(file, "seek") and hasattr(file, "tell")


def _of_seekable(file: Any) -> Payload | None:
    """What is left of a file-like object, measured; None where it cannot seek after all."""
    try:
        start = file.tell()
    except (OSError, ValueError):
        return None
    if isinstance(file, _READERS_AHEAD):
        return None if start else SeekablePayload(file, start, None)
    if isinstance(file.read(0), str):
        return SeekablePayload(file, start, None)
    end = _end_of(file, start)
    return None if end is None else SeekablePayload(file, start, max(0, end - start))


def _end_of(file: Any, start: int) -> int | None:
    """Where a file-like object ends, leaving it at ``start``; None where it cannot go there."""
    try:
        file.seek(0, os.SEEK_END)
        end: int = file.tell()
    except (OSError, ValueError, NotImplementedError):
        if file.tell() != start:
            file.seek(start)
        return None
    file.seek(start)
    return end


def _plain_file(file: Any) -> io.FileIO | None:
    """The file under the layers that ``open()`` puts on it; None where there are others."""
    if type(file) is io.FileIO:
        return file
    if type(file) is io.TextIOWrapper:
        file = file.buffer
    if type(file) is io.BufferedReader or type(file) is io.BufferedRandom:
        raw = file.raw
        return raw if type(raw) is io.FileIO else None
    return None


def _is_undecoded(text: io.TextIOWrapper) -> bool:
    """Whether nothing of a text file has been read yet, so that its buffer still has every byte."""
    try:
        # The one question of this kind that it answers: an encoding can be set until then.
        text.reconfigure(encoding=text.encoding, errors=text.errors)
    except io.UnsupportedOperation:
        return False
    return True


def _tells_its_size(file: io.FileIO) -> bool:
    """Whether this is a regular file, of the size that the system says it has.

    The files of ``/proc`` claim 0 bytes and those of ``/sys`` a page; as with any sparse file no
    block of a disk is theirs, so these alone are asked where they end.
    """
    status = os.fstat(file.fileno())
    if not stat.S_ISREG(status.st_mode):
        return False
    if status.st_blocks:
        return True
    size = status.st_size
    try:
        reached = not size or os.pread(file.fileno(), 1, size - 1)
        return bool(reached) and not os.pread(file.fileno(), 1, size)
    except OSError:
        return False


def _is_watchable(file: io.FileIO) -> bool:
    """Whether ``poll`` tells the truth about this file: a pipe, a FIFO, a socket or a terminal."""
    mode = os.fstat(file.fileno()).st_mode
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or file.isatty()


def _reader_of(file: Any) -> Callable[[int], Any]:
    """The method that gives what there is, as soon as there is something."""
    if isinstance(file, io.TextIOWrapper):
        raw = _plain_file(file)
        if raw is not None and not os.get_blocking(raw.fileno()):
            raise PayloadError(
                f"{source_of(file)} has been read as text and does not block: such text ends "
                "wherever nothing has come yet; open it with 'rb'"
            )
        return file.readline  # its read() would wait for as many characters as it is asked for
    # Of a wrapper's own: what it hands through to another object would leave its read() out.
    reader: Callable[[int], Any] = file.read1 if hasattr(type(file), "read1") else file.read
    return reader
