"""Send a response to a client, and receive the request's body while nothing can be sent.

A client that sends its whole request before it reads takes nothing of the response until then. So
while the socket accepts no more bytes, the bytes of the request's body are read into the body's
spool. The response then waits for the client, and the client does not wait for the response until
the spool has ``max_spool`` bytes. Then only a client that reads goes on.

``FileWrapper`` is ``wsgi.file_wrapper`` (PEP 3333): a file as the body of a response, which the
system can send by ``sendfile``.
"""

from __future__ import annotations

import io
import os
import stat
from typing import IO

from restkit.errors import ClientDisconnected
from restkit.io.buffers import Buffer, drop_sent
from restkit.io.files import Region
from restkit.io.sockets import BLOCK, COPIED_TAIL, NO_SENDFILE, READ, WRITE
from restkit.server.engine.client_socket import ClientSocket
from restkit.server.engine.request_body import RequestBody

_MAX_SENDFILE = 1024 * 1024
_SENDING = "sent the response"


class Sender:
    """Send bytes and files to a client, and read the request's body ahead while that is blocked.

    Every method raises ClientDisconnected if the client is gone or silent for too long, and again
    at every later call.
    """

    __slots__ = ("_body", "_error", "_socket")

    def __init__(self, sock: ClientSocket, body: RequestBody) -> None:
        self._socket = sock
        self._body = body
        self._error: ClientDisconnected | None = None

    def send(self, buffers: list[Buffer]) -> None:
        """Send all bytes of the buffers, and empty the list. Blocks."""
        self._begin()
        while True:
            drop_sent(buffers, self._send_some(buffers))
            if not buffers:
                return
            self.wait()

    def send_file(self, region: Region) -> int:
        """Send a region of a file; return how many bytes of it the file had. Blocks.

        Where possible, the system sends the bytes by ``sendfile``.
        """
        self._begin()
        rest = region
        while rest.length > COPIED_TAIL:
            sent = self._send_file_some(rest)
            if not sent:
                break
            rest = rest.skip(sent)
        total = region.length - rest.length
        for chunk in rest.chunks():
            self.send([chunk])
            total += len(chunk)
        return total

    def wait(self) -> None:
        """Wait until bytes can be sent, and read the request's body ahead meanwhile."""
        body = self._body
        ready = READ
        while ready == READ:
            read_ahead = body.should_read_ahead
            activity = _SENDING
            if not read_ahead and not body.ended:
                activity = f"{_SENDING} and kept max_spool bytes of the request, {body.max_spool}"
            try:
                ready = body.wait(WRITE | READ if read_ahead else WRITE, activity)
            except ClientDisconnected as exc:
                raise self._store_error(exc) from exc.__cause__
            if read_ahead and ready & READ:
                body.read_ahead(body.max_spool)

    def mark_end_by_closing(self) -> None:
        """State that the end of the connection will be the end of the response."""
        self._socket.close_ends_response = True

    def _begin(self) -> None:
        self._body.begin_sending()
        if self._error is not None:
            raise self._error

    def _send_some(self, buffers: list[Buffer]) -> int:
        try:
            return self._socket.send(buffers)
        except ClientDisconnected as exc:
            raise self._store_error(exc) from exc.__cause__

    def _send_file_some(self, region: Region) -> int:
        """Return how many bytes were sent; 0 at the file's end, or if sendfile does not work."""
        count = min(_MAX_SENDFILE, region.length)
        while True:
            try:
                sent = self._socket.send_file(region.file.fileno(), region.start, count)
            except ClientDisconnected as exc:
                raise self._store_error(exc) from exc.__cause__
            except OSError as exc:
                if exc.errno in NO_SENDFILE:
                    return 0
                raise
            if sent is not None:
                return sent
            self.wait()

    def _store_error(self, exc: ClientDisconnected) -> ClientDisconnected:
        self._error = exc
        return exc


class FileWrapper:
    """The rest of a file, in blocks; ``close()`` closes the file if it has that method.

    It is its own iterator and can seek: frameworks that send a range of it (werkzeug 3) replace
    the wrapper by its iterator, and close that.

    >>> wrapper = FileWrapper(io.BytesIO(b'content'), 4)
    >>> list(wrapper)
    [b'cont', b'ent']
    """

    def __init__(self, filelike: IO[bytes], block_size: int = BLOCK) -> None:
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

    def region(self) -> Region | None:
        """Return the rest of the file as a region of a regular file; None if it is no such file.

        Only Python's plain file objects have a descriptor with the same bytes: ``GzipFile`` has
        one, and gives other bytes. A file that the system generates has no size (proc(5)).
        """
        # NamedTemporaryFile has the file inside a wrapper of its own.
        file = getattr(self.filelike, "file", self.filelike)
        if isinstance(file, io.BufferedRandom):
            file.flush()
        raw = file.raw if isinstance(file, (io.BufferedReader, io.BufferedRandom)) else file
        if not isinstance(raw, io.FileIO):
            return None
        try:
            status = os.fstat(raw.fileno())
            start = file.tell()
        except OSError:
            return None
        if not stat.S_ISREG(status.st_mode) or status.st_size <= start:
            return None
        return Region(file, start, status.st_size - start)
