"""Files, streams and payloads over a received body; save a body to a file.

The files are ``io.BufferedReader`` objects, which run at C speed, over raw files whose
``readinto`` reads the body from a position. A call that needs more bytes than arrived before the
source failed raises, and so does every later call. The ``BufferedReader`` drops the bytes in its
buffer, but the spool keeps them: after ``seek`` they can be read.
"""

from __future__ import annotations

import errno
import io
import os
from collections.abc import Callable, Iterator
from functools import partial
from typing import IO, TYPE_CHECKING, NoReturn

from restkit.body.body import Body, reentrant_error
from restkit.errors import PayloadError
from restkit.io.buffers import Buffer
from restkit.io.files import CHUNK_SIZE, open_part_file, open_target, rename_to_new
from restkit.payload.base import Payload

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

FILE_BUFFER = 128 * 1024
LONGEST_LINE = 1024 * 1024


class _RawFile(io.RawIOBase):
    """A position in a body."""

    def __init__(self, body: Body) -> None:
        self._body = body
        self._position = 0
        self.has_lost_bytes = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        if self.has_lost_bytes:
            raise self._body.interrupted_error()
        with memoryview(buffer) as view, view.cast("B") as flat:
            count = self._fill(flat) if flat else 0
        self._position += count
        return count

    def _fill(self, view: memoryview) -> int:
        return self._body.read_live_into(self, self._position, view)


class _SeekableRawFile(_RawFile):
    """A position in a body that is spooled."""

    def _fill(self, view: memoryview) -> int:
        return self._body.read_into(self._position, view)

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        if whence == io.SEEK_CUR:
            offset += self._position
        elif whence == io.SEEK_END:
            offset += self._body.spool_all()
        elif whence != io.SEEK_SET:
            raise ValueError(f"whence must be 0, 1 or 2; got {whence!r}")
        if offset < 0:
            # As for a file on disk: zipfile looks for an end record that may not be there.
            raise OSError(errno.EINVAL, f"the position {offset} is before the beginning")
        if whence != io.SEEK_CUR:
            self.has_lost_bytes = False
        self._position = offset
        return offset


# Called directly, because super() is slower.
_peek = io.BufferedReader.peek
_read = io.BufferedReader.read
_read1 = io.BufferedReader.read1
_readinto = io.BufferedReader.readinto
_readinto1 = io.BufferedReader.readinto1
_readline = io.BufferedReader.readline


class _Reader(io.BufferedReader):
    """A reader that notices an interrupt, and whose iteration bounds lines to ``LONGEST_LINE``.

    One call may read the raw file several times. If an exception of a signal handler comes between
    two of them, ``BufferedReader`` drops the bytes of the first. So after an exception each read
    raises, until ``seek`` sets the position again.
    """

    def __init__(self, body: Body, raw: _RawFile) -> None:
        self._body = body
        self._raw_file = raw
        super().__init__(raw, FILE_BUFFER)

    def peek(self, size: int = 0, /) -> bytes:
        try:
            return _peek(self, size)
        except BaseException as exc:
            self._note_lost_bytes(exc)
            raise

    def read(self, size: int | None = -1, /) -> bytes:
        try:
            return _read(self, size)
        except BaseException as exc:
            self._note_lost_bytes(exc)
            raise

    def read1(self, size: int = -1, /) -> bytes:
        try:
            return _read1(self, size)
        except BaseException as exc:
            self._note_lost_bytes(exc)
            raise

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        try:
            return _readinto(self, buffer)
        except BaseException as exc:
            self._note_lost_bytes(exc)
            raise

    def readinto1(self, buffer: WriteableBuffer, /) -> int:
        try:
            return _readinto1(self, buffer)
        except BaseException as exc:
            self._note_lost_bytes(exc)
            raise

    def readline(self, size: int | None = -1, /) -> bytes:
        try:
            return _readline(self, size)
        except BaseException as exc:
            self._note_lost_bytes(exc)
            raise

    def detach(self) -> NoReturn:
        """Raise UnsupportedOperation: the response returns this file again."""
        raise io.UnsupportedOperation(
            "the file of a body cannot be detached; tee() of the response returns another file"
        )

    def _note_lost_bytes(self, exc: BaseException) -> None:
        is_from_reader = exc.__traceback__ is None or exc.__traceback__.tb_next is None
        if is_from_reader and isinstance(exc, RuntimeError):
            raise reentrant_error() from None
        if is_from_reader and isinstance(exc, (TypeError, ValueError)):
            return  # a wrong argument, or a closed file
        self._raw_file.has_lost_bytes = True
        self._body.fail_live_reader(self._raw_file, exc)

    def __iter__(self) -> Iterator[bytes]:
        return iter(partial(self.readline, LONGEST_LINE), b"")

    def __next__(self) -> bytes:
        line = self.readline(LONGEST_LINE)
        if not line:
            raise StopIteration
        return line

    def readlines(self, hint: int | None = -1) -> list[bytes]:
        """Return the next lines, each whole, until they have more than ``hint`` bytes."""
        lines: list[bytes] = []
        remaining = hint if hint and hint > 0 else None
        for line in iter(self.readline, b""):
            lines.append(line)
            if remaining is not None and (remaining := remaining - len(line)) < 0:
                break
        return lines


class BodyFile(_Reader):
    r"""A body as a file that can seek: read it, iterate over its lines, read it again.

    Iteration cuts lines longer than 1 MiB into chunks of 1 MiB. One thread at a time may use a
    file. Closing it does not close the body.

    >>> from restkit import get
    >>> from restkit.server.response import text
    >>> from restkit.testing import LocalServer
    >>> with LocalServer() as server:
    ...     @server.app.get('/')
    ...     def lines(request):
    ...         return text('one\ntwo\n')
    ...     file = get(server.url).body_file
    ...     list(file), file.seek(4), file.read()
    ([b'one\n', b'two\n'], 4, b'two\n')
    """

    def __init__(self, body: Body) -> None:
        super().__init__(body, _SeekableRawFile(body))

    def __payload__(self) -> Payload:
        """Return a replayable payload of the rest, with its length if that is known."""
        if self.closed:
            raise PayloadError(f"{self!r} is closed; r.body_file and r.tee() return another one")
        return SpooledBodyPayload(self._body, self.tell())

    def __repr__(self) -> str:
        state = ", closed" if self.closed else ""
        return f"<BodyFile over {self._body.spooled_size} bytes so far{state}>"


class BodyStream(_Reader):
    r"""A body as a file that is read once, directly from the connection; it cannot seek.

    >>> from restkit import get
    >>> from restkit.server.response import text
    >>> from restkit.testing import LocalServer
    >>> with LocalServer() as server:
    ...     @server.app.get('/')
    ...     def lines(request):
    ...         return text('one\ntwo\n')
    ...     with get(server.url).body_stream() as stream:
    ...         stream.readline(), stream.seekable()
    (b'one\n', False)
    """

    def __init__(self, body: Body) -> None:
        super().__init__(body, _RawFile(body))

    def close(self) -> None:
        super().close()
        self._body.close_live_reader(self._raw_file)

    def __repr__(self) -> str:
        return f"<BodyStream, {'closed' if self.closed else _describe(self._body)}>"


class PayloadStream:
    r"""The decoded chunks of a body, as they arrive: one pass, which begins at its first item.

    A pass that stops early closes the body, because no other reader could read the rest.

    >>> from restkit import get
    >>> from restkit.server.response import text
    >>> from restkit.testing import LocalServer
    >>> with LocalServer() as server:
    ...     @server.app.get('/')
    ...     def lines(request):
    ...         return text('one\ntwo\n')
    ...     b''.join(get(server.url).payload_stream)
    b'one\ntwo\n'
    """

    def __init__(self, body: Body) -> None:
        self._body = body

    def __iter__(self) -> Iterator[bytes]:
        reader = object()
        position = 0
        try:
            while chunk := self._body.read_live_chunk(reader, position):
                position += len(chunk)
                yield bytes(chunk)
        finally:
            self._body.close_live_reader(reader)

    def __payload__(self) -> Payload:
        return LiveBodyPayload(self._body)

    def __repr__(self) -> str:
        return f"<PayloadStream, {_describe(self._body)}>"


def _describe(body: Body) -> str:
    if body.is_unread:
        return "not begun"
    return f"over {body.spooled_size} bytes so far" if body.is_readable else "one pass, begun"


def body_as_payload(body: Body) -> Payload:
    """Return a payload of the whole body: live if nothing was read, replayable otherwise."""
    return LiveBodyPayload(body) if body.is_unread else SpooledBodyPayload(body)


class SpooledBodyPayload(Payload):
    """The rest of a body from a position on, spooled while it is sent, and so replayable."""

    replayable = True
    source = "of a body"

    def __init__(self, body: Body, start: int = 0) -> None:
        body.check_readable()
        self._body = body
        self._start = start
        self.length = None if body.length is None else max(0, body.length - start)
        self.headers = body.payload_headers

    def chunks(self) -> Iterator[Buffer]:
        position = self._start
        # One buffer for all chunks: a chunk is valid until the next one is requested.
        view = memoryview(bytearray(CHUNK_SIZE))
        while count := self._body.read_into(position, view):
            position += count
            yield view[:count]


class LiveBodyPayload(Payload):
    """A body sent as it arrives: one pass, nothing kept; an error closes its connection."""

    source = "of a body"

    def __init__(self, body: Body) -> None:
        body.check_readable()
        self._body = body
        self.length = body.length
        self.headers = body.payload_headers

    def chunks(self) -> Iterator[Buffer]:
        position = 0
        complete = False
        try:
            while chunk := self._body.read_live_chunk(self, position):
                position += len(chunk)
                yield chunk
            complete = True
        finally:
            if not complete:
                self._body.close()


_COPY_SIZE = 128 * 1024  # small enough for the cache of a processor


def save_body(
    body: Body, target: str | os.PathLike[str] | IO[bytes], make_name: Callable[[], str]
) -> int:
    """Write the body to a path or a file open for writing; return the number of bytes.

    The bytes for a path are written to another file in its folder, which replaces the path when
    all are written. After an error an older file is unchanged and nothing else is left. The new
    file has the mode of the older one. The target of a symbolic link is replaced, not the link. The
    bytes for a device or a pipe are written to it. In a folder, a new file gets a name from
    ``make_name``.
    """
    if not isinstance(target, (str, os.PathLike)):
        _check_accepts_bytes(target)
        return _copy(body, target)
    name = os.fsdecode(target)
    path = os.path.realpath(name)
    if os.path.isdir(path):
        return _save_in_folder(body, name, make_name())
    if not os.path.basename(name):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), name)
    with open_target(path, name) as file:
        return _copy(body, file)


def _save_in_folder(body: Body, folder: str, name: str) -> int:
    """Write the body to a new file; raise FileExistsError if a file or link has the name."""
    path = os.path.join(folder, name)
    if os.path.lexists(path):
        # Raised before the body is read, so that it can be saved under another name.
        raise FileExistsError(
            errno.EEXIST, "the file exists; save(path) with the path of the file replaces it", path
        )
    with open_part_file(folder, name, path) as (part_path, file):
        count = _copy(body, file)
        file.close()
        rename_to_new(part_path, path)
    return count


def _check_accepts_bytes(file: IO[bytes]) -> None:
    """Raise if bytes cannot be written to the file, before any of the body is read."""
    if not hasattr(file, "write"):
        raise TypeError(
            f"a body is saved to a path or a file open for writing; got {type(file).__name__}"
        )
    file.write(b"")


def _copy(body: Body, file: IO[bytes]) -> int:
    reader = object()
    live = body.is_unread
    view = memoryview(bytearray(_COPY_SIZE))
    done = 0
    while True:
        count = body.read_live_into(reader, done, view) if live else body.read_into(done, view)
        if not count:
            return done
        try:
            _write_all(file, view[:count])
        except BaseException:
            body.close_live_reader(
                reader
            )  # other readers cannot read the bytes that were read here
            raise
        done += count


def _write_all(file: IO[bytes], view: memoryview) -> None:
    """Write all bytes; a raw file may take fewer in one call."""
    while view:
        written: object = file.write(view)
        if written is None and isinstance(file, io.RawIOBase):
            raise BlockingIOError(errno.EAGAIN, "the file to save to must be in blocking mode")
        view = view[written if isinstance(written, int) else len(view) :]
