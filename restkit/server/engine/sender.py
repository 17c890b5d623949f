"""Send a response to a client.

Sends what an answer is made of, and lets the request's body come while nothing can go.

A client that sends all before it reads takes nothing of an answer until its request is out. So
whenever the socket will not take more, what comes of the request's body is taken into the body's
spool: the answer waits for the client, and the client never for the answer.

``wsgi.file_wrapper`` (PEP 3333): a file as an answer's body, which the system may send.
"""

from __future__ import annotations

import io
import os
import stat
from errno import EINVAL, ENOSYS, EOPNOTSUPP
from typing import IO, TYPE_CHECKING, NamedTuple, cast

from restkit.errors import ClientDisconnected
from restkit.server.engine.client_socket import READ, WRITE, Channel

if TYPE_CHECKING:
    from restkit.io.buffers import Buffer
    from restkit.server.engine.request_body import RequestBody


_ANSWERING = "an answer was sent to it"
_STEP = 1024 * 1024
# ``sendfile`` sends what a file holds when its pages leave, and of a file that has been cut off
# meanwhile, zeros. So the end of it goes in copies, and more of it than connections of this system
# hold on the way (tcp(7): tcp_wmem and tcp_rmem, 4 and 6 MiB unless somebody has set them higher).
_COPIED_TAIL = 32 * 1024 * 1024
# What ``sendfile`` says on file systems that it cannot send from.
_NO_SENDFILE = (EINVAL, ENOSYS, EOPNOTSUPP)


class Sender:
    """Sends on ``channel``, and takes ``body`` ahead while it cannot.

    Everything raises ClientDisconnected when the client is gone or keeps still for too long, and
    again at every later call.
    """

    __slots__ = ("_body", "_channel", "_fault")

    def __init__(self, channel: Channel, body: RequestBody) -> None:
        self._channel = channel
        self._body = body
        self._fault: ClientDisconnected | None = None

    def send(self, buffers: list[Buffer]) -> None:
        """Send all of these; the list is used up."""
        self._begin()
        while True:
            _drop(buffers, self._tried(buffers))
            if not buffers:
                return
            self.wait()

    def send_file(self, file: IO[bytes], start: int, count: int) -> int:
        """Send ``count`` bytes of a file from ``start`` on; how many it had of them.

        The file's own position, where it is looked at, is left somewhere.
        """
        self._begin()
        end = start + count
        at = start
        while end - at > _COPIED_TAIL:
            sent = self._tried_file(file.fileno(), at, min(_STEP, end - at))
            if not sent:
                break
            at += sent
        while at < end and (block := os.pread(file.fileno(), min(_STEP, end - at), at)):
            at += len(block)
            self.send([block])
        return at - start

    def ends_by_closing(self) -> None:
        """What is sent from here on ends with the connection."""
        self._channel.end_counts = True

    def _begin(self) -> None:
        self._body.never_mind()
        if self._fault is not None:
            raise self._fault

    def _tried(self, buffers: list[Buffer]) -> int:
        try:
            return self._channel.send(buffers)
        except ClientDisconnected as exc:
            raise self._failed(exc) from exc.__cause__

    def _tried_file(self, number: int, start: int, count: int) -> int:
        """How many bytes went; 0 when the file ends here, or is not one for ``sendfile``."""
        while True:
            try:
                sent = self._channel.send_file(number, start, count)
            except ClientDisconnected as exc:
                raise self._failed(exc) from exc.__cause__
            except OSError as exc:
                if exc.errno in _NO_SENDFILE:
                    return 0
                raise
            if sent is not None:
                return sent
            self.wait()

    def wait(self) -> None:
        """Wait until something can go, and take ahead what comes of the body meanwhile."""
        body = self._body
        ready = READ
        while ready == READ:
            wanted = body.wanted
            try:
                ready = self._channel.wait(WRITE | READ if wanted else WRITE, _ANSWERING)
            except ClientDisconnected as exc:
                raise self._failed(exc) from exc.__cause__
            if wanted and ready & READ:
                body.take_ahead()

    def _failed(self, exc: ClientDisconnected) -> ClientDisconnected:
        self._fault = exc
        return exc


def _drop(buffers: list[Buffer], count: int) -> None:
    """Take the first ``count`` bytes out of the buffers."""
    while buffers:
        size = len(buffers[0])
        if count < size:
            buffers[0] = memoryview(buffers[0])[count:]
            return
        count -= size
        del buffers[0]


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
