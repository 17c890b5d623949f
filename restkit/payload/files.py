"""Payloads of files, paths, pipes, sockets and file-like objects.

A file object that a caller passes is never closed here. Only a plain file, as ``open()`` makes
it, is read below its layers: the ``fileno()`` of a wrapper may belong to a file that holds other
bytes than the wrapper returns (gzip, members of a zip, spooled files).
"""

from __future__ import annotations

import codecs
import errno
import io
import os
import socket
import stat
import threading
from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Any

from restkit.errors import PayloadError
from restkit.io.buffers import Buffer
from restkit.io.files import CHUNK_SIZE, Region, has_blocks, is_blocking, positions_lock, pread
from restkit.io.sockets import POLLS_FILES, is_readable
from restkit.payload.base import OCTET_STREAM, Payload
from restkit.payload.values import BytesPayload, encode_utf_8, text_payload

_PIPE_CHUNK = 64 * 1024  # the capacity of a pipe on Linux
_WITH_BYTE_ORDER_MARK = ("utf-16", "utf-32")
# They read ahead of the position that tell() returns, and read(0) returns their buffered text.
_READ_AHEAD = (codecs.StreamReader, codecs.StreamReaderWriter, codecs.StreamRecoder)


def payload_from_path(path: str | bytes) -> Payload:
    """Return the payload of the file at a path. Raises the OSError if it cannot be read."""
    mode = os.stat(path).st_mode
    if stat.S_ISFIFO(mode) or stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
        # Opening one of these may block or have effects: only the permission is checked.
        if not os.access(path, os.R_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
        is_watchable = POLLS_FILES and stat.S_ISFIFO(mode)
        return UnsizedPathPayload(path, replayable=False, watchable=is_watchable)
    with io.FileIO(path) as file:
        if _has_true_size(file):
            return PathPayload(path, os.fstat(file.fileno()).st_size)
    return UnsizedPathPayload(path, replayable=True, watchable=False)


def payload_from_socket(source: socket.socket) -> Payload:
    """Return the payload of everything that a connected socket receives."""
    if source.fileno() < 0:
        raise PayloadError("the socket is closed")

    def receive(size: int) -> bytes | None:
        try:
            return source.recv(size)
        except BlockingIOError:
            return None

    # TLS may have decrypted bytes already that the descriptor does not show.
    return StreamPayload(source, receive, watched=source if type(source) is socket.socket else None)


def payload_from_file(file: Any) -> Payload:
    """Return the payload of the rest of a file or file-like object."""
    if getattr(file, "closed", False) is True:
        raise PayloadError(f"the file {_describe(file)} is closed")
    if hasattr(file, "readable") and not file.readable():
        raise PayloadError(f"the file {_describe(file)} is not open for reading")
    if type(file) is io.BytesIO or type(file) is io.StringIO:
        return _from_memory(file)
    raw = _raw_file(file)
    if raw is not None and _has_true_size(raw):
        return FilePayload(file, _byte_position(file))
    if raw is not None and (type(file) is not io.TextIOWrapper or _is_undecoded(file)):
        watched = raw if _is_watchable(raw) else None
        if file is raw:
            return StreamPayload(file, raw.read, watched=watched)
        return PipePayload(file, raw, watched=watched)
    return _from_seekable(file) or StreamPayload(file, _read_method(file))


def _from_memory(file: io.BytesIO | io.StringIO) -> Payload:
    at, whole = file.tell(), file.getvalue()
    headers = guess_content_type(getattr(file, "name", None))
    if isinstance(whole, str):
        return text_payload(whole[at:], headers)
    return BytesPayload(memoryview(whole)[at:] if at else whole, headers)


def _from_seekable(file: Any) -> Payload | None:
    """Measure a file-like object; return None if it cannot seek, whatever it claims."""
    if hasattr(file, "seekable"):
        if not file.seekable():
            return None
    elif not (hasattr(file, "seek") and hasattr(file, "tell")):
        return None
    try:
        start = file.tell()
    except (OSError, ValueError):
        return None
    if isinstance(file, _READ_AHEAD):
        return None if start else SeekablePayload(file, start, None)
    if isinstance(file.read(0), str):
        return SeekablePayload(file, start, None)
    try:
        file.seek(0, os.SEEK_END)
        end = file.tell()
    except (OSError, ValueError, NotImplementedError):
        if file.tell() != start:
            file.seek(start)
        return None
    file.seek(start)
    return SeekablePayload(file, start, max(0, end - start))


class RegularPayload(Payload):
    """A region of a regular file, of known length.

    A file that shrinks raises PayloadLengthError; if it grows, the new bytes are not sent.
    """

    length: int  # pyright: ignore[reportIncompatibleVariableOverride]  # set by the constructor
    replayable = True

    @abstractmethod
    def region(self) -> AbstractContextManager[Region]:
        """Return the region of the file, open for one pass."""

    def chunks(self) -> Iterator[Buffer]:
        with self.region() as region:
            yield from region.chunks()


class FilePayload(RegularPayload):
    """The rest of a regular file that ``open()`` returned, from its position on.

    The bytes on disk are sent, also in text mode: nothing is encoded again. The length is
    measured when the payload is made, after a flush of a writable file. The position of the file
    is neither moved nor read again. So a second pass, a pass in another thread and a second
    request with the same file send the same bytes. The caller closes the file; after that there
    is no further pass.
    """

    def __init__(self, file: Any, start: int) -> None:
        _flush(file)
        self.length = max(0, os.fstat(file.fileno()).st_size - start)
        self._file = file
        self._start = start
        self.source = _describe(file)
        self.headers = guess_content_type(getattr(file, "name", None))

    @contextmanager
    def region(self) -> Iterator[Region]:
        _flush(self._file)
        yield Region(self._file, self._start, self.length)


class PathPayload(RegularPayload):
    """The regular file at a path: opened for each pass and always closed after it.

    Its size is measured when the payload is made.
    """

    def __init__(self, path: str | bytes, length: int) -> None:
        self._path = path
        self.length = length
        self.source = repr(os.fsdecode(path))
        self.headers = guess_content_type(path)

    @contextmanager
    def region(self) -> Iterator[Region]:
        with io.FileIO(self._path) as file:
            yield Region(file, 0, self.length)


class StreamPayload(Payload):
    """The rest of a file-like object or socket, read once, as the bytes arrive.

    ``read`` returns bytes-like chunks or str, which is sent as UTF-8. If it returns None, nothing
    has arrived yet, and the file's descriptor is waited on. ``watched`` is a file whose
    descriptor becomes readable when ``read`` would return a chunk, if there is one. The caller
    closes the file.
    """

    def __init__(
        self,
        file: Any,
        read: Callable[[int], Any],
        *,
        watched: io.FileIO | socket.socket | None = None,
    ) -> None:
        self.source = _describe(file)
        self.headers = guess_content_type(getattr(file, "name", None), is_stored=False)
        self._file = file
        self._read = read
        self._watched = watched

    @property
    def waits_on(self) -> int | None:
        descriptor = -1 if self._watched is None else self._watched.fileno()
        return descriptor if descriptor >= 0 else None

    def chunks(self) -> Iterator[Buffer]:
        return _encode_text(_read_chunks(self._file, self._read), repr(self))


class PipePayload(StreamPayload):
    """The rest of a buffered pipe, terminal or ``/proc`` file, read once, as the bytes arrive.

    A text file that nothing was read of is sent as its bytes. The first chunk may be in the
    buffer already, which the descriptor does not show: ``waits_on`` is set only after it.
    """

    def __init__(self, file: Any, raw: io.FileIO, *, watched: io.FileIO | None) -> None:
        super().__init__(file, raw.read, watched=watched)
        self.headers = guess_content_type(getattr(file, "name", None))
        self._raw = raw
        self._drained = False

    @property
    def waits_on(self) -> int | None:
        return super().waits_on if self._drained else None

    def chunks(self) -> Iterator[Buffer]:
        # The text file is kept: one that is dropped closes the file below it.
        buffer = self._file.buffer if isinstance(self._file, io.TextIOWrapper) else self._file
        # Without a size, read1() returns the whole buffer, or reads once: the buffer is empty then.
        first = buffer.read1()
        self._drained = True
        if first:
            yield first
        # read1() returns b"" at the end, and also if a file that does not block has nothing yet
        # (CPython 3.10 to 3.13). The buffer is empty then, and the raw file shows which it is.
        if first or not is_blocking(self._raw.fileno()):
            yield from _read_chunks(self._raw, self._read)


class UnsizedPathPayload(Payload):
    """The file at a path that has no true size: a FIFO, a device, a file of ``/proc``.

    It is opened for each pass and closed after it.
    """

    def __init__(self, path: str | bytes, *, replayable: bool, watchable: bool) -> None:
        self.replayable = replayable
        self.source = repr(os.fsdecode(path))
        self.headers = guess_content_type(path)
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
                yield from _read_chunks(file, file.read)
            finally:
                self._file = None


def _read_chunks(file: Any, read: Callable[[int], Any]) -> Iterator[Any]:
    while chunk := _read_or_wait(file, read, _PIPE_CHUNK):
        yield chunk


def _read_or_wait(file: Any, read: Callable[[int], Any], size: int) -> Any:
    """Call ``read`` until it returns something; wait for the file while that is None."""
    while (chunk := read(size)) is None:
        try:
            descriptor = file.fileno()
        except (AttributeError, io.UnsupportedOperation) as exc:
            raise PayloadError(
                f"{_describe(file)}: read() returned None, which means that nothing has arrived "
                "yet, but there is no file descriptor to wait on"
            ) from exc
        is_readable(descriptor, None)
    return chunk


def _encode_text(chunks: Iterator[Any], name: str) -> Iterator[Buffer]:
    characters = 0
    for chunk in chunks:
        if isinstance(chunk, str):
            yield encode_utf_8(chunk, f"{name}, after {characters} characters,")
            characters += len(chunk)
        else:
            yield chunk


class SeekablePayload(Payload):
    """The rest of a file-like object that can seek, from its position on.

    The length of bytes is measured, and new bytes are not sent; text is sent as UTF-8, of unknown
    length. Each pass begins at the first position of the object and leaves it there.
    Passes of this payload in several threads share a lock; the caller must not read it meanwhile.
    """

    replayable = True

    def __init__(self, file: Any, start: int, length: int | None) -> None:
        self.source = _describe(file)
        self.headers = guess_content_type(getattr(file, "name", None), is_stored=False)
        self.length = length
        self._file = file
        self._start = start
        self._lock = threading.RLock()
        self._turn: object = None

    def chunks(self) -> Iterator[Buffer]:
        try:
            yield from _encode_text(self._read_from_start(), repr(self))
        finally:
            # The pass is over: it has not failed if the caller has closed the file.
            with self._lock, suppress(OSError, ValueError):
                self._turn = None
                self._file.seek(self._start)

    def _read_from_start(self) -> Iterator[Any]:
        at, left = self._start, self.length
        while size := CHUNK_SIZE if left is None else min(CHUNK_SIZE, left):
            with self._lock:
                while True:  # read again if a signal handler has made another pass meanwhile
                    turn = self._turn = object()
                    if self._file.tell() != at:
                        self._file.seek(at)
                    chunk = _read_or_wait(self._file, self._file.read, size)
                    end = self._file.tell()
                    if self._turn is turn:
                        break
            if not chunk:
                return
            at, left = end, None if left is None else max(0, left - len(chunk))
            yield chunk


def guess_content_type(name: object, *, is_stored: bool = True) -> Sequence[tuple[str, str]]:
    """Return the Content-Type for the name of a file, as header fields.

    ``is_stored``: the bytes are those on disk, so that ``x.gz`` is gzip, not its content.

    >>> guess_content_type('photo.png')
    (('Content-Type', 'image/png'),)
    """
    if not isinstance(name, str | bytes | os.PathLike):
        return OCTET_STREAM
    import mimetypes  # its first call reads tables of the system

    # With "./" in front, no name is taken for a URL with a scheme.
    kind, coding = mimetypes.guess_type("./" + os.path.basename(os.fsdecode(name)))
    if coding is not None:
        kind = "application/gzip" if coding == "gzip" and is_stored else None
    return (("Content-Type", kind),) if kind else OCTET_STREAM


def _describe(file: object) -> str:
    name = getattr(file, "name", None)
    if isinstance(name, str | bytes | os.PathLike):
        return repr(os.fsdecode(name))
    return f"of {type(file).__name__}"


def _flush(file: Any) -> None:
    if file.writable():
        file.flush()


def _raw_file(file: Any) -> io.FileIO | None:
    """Return the file below the layers that ``open()`` adds; None if there are other layers."""
    if type(file) is io.FileIO:
        return file
    if type(file) is io.TextIOWrapper:
        file = file.buffer
    if type(file) is io.BufferedReader or type(file) is io.BufferedRandom:
        raw = file.raw
        return raw if type(raw) is io.FileIO else None
    return None


def _byte_position(file: Any) -> int:
    """Return the position of a regular file in bytes, also in text mode."""
    unknown = PayloadError(
        f"{_describe(file)} was read as text and has no known position in bytes: open it with 'rb'"
    )
    try:
        with positions_lock:  # without pread, a pass in another thread moves the position
            at: int = file.tell()
    except OSError as exc:
        raise unknown from exc
    is_text = isinstance(file, io.TextIOWrapper)
    if at and is_text and codecs.lookup(file.encoding).name in _WITH_BYTE_ORDER_MARK:
        raise unknown  # without the mark at the beginning its bytes cannot be decoded
    if at >> 64:
        raise unknown  # the position of a text file; these bits hold the state of its decoder
    return at


def _is_undecoded(text: io.TextIOWrapper) -> bool:
    """Whether nothing was read of a text file, so that its buffer still has every byte."""
    try:
        # The only call that shows it: the encoding may be changed until the first read.
        text.reconfigure(encoding=text.encoding, errors=text.errors)
    except io.UnsupportedOperation:
        return False
    return True


def _has_true_size(file: io.FileIO) -> bool:
    """Whether this is a regular file with the size that the system reports.

    Files of ``/proc`` claim 0 bytes and those of ``/sys`` a page. Like sparse files they have no
    blocks on a disk, so only files without blocks are read at their end.
    """
    status = os.fstat(file.fileno())
    if not stat.S_ISREG(status.st_mode):
        return False
    if has_blocks(status):
        return True
    size = status.st_size
    try:
        reaches_end = not size or pread(file.fileno(), 1, size - 1)
        return bool(reaches_end) and not pread(file.fileno(), 1, size)
    except OSError:
        return False


def _is_watchable(file: io.FileIO) -> bool:
    """Whether ``poll`` works for this file: a pipe, a FIFO, a socket or a terminal."""
    mode = os.fstat(file.fileno()).st_mode
    return POLLS_FILES and (stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or file.isatty())


def _read_method(file: Any) -> Callable[[int], Any]:
    """Return the read method that returns as soon as some bytes have arrived."""
    if isinstance(file, io.TextIOWrapper):
        raw = _raw_file(file)
        if raw is not None and not is_blocking(raw.fileno()):
            raise PayloadError(
                f"{_describe(file)} was read as text and does not block: such text ends "
                "wherever nothing has arrived yet; open it with 'rb'"
            )
        return file.readline  # read() would wait until all characters have arrived
    # Looked up on the type: a wrapper that delegates attributes must be read by its own read().
    reader: Callable[[int], Any] = file.read1 if hasattr(type(file), "read1") else file.read
    return reader
