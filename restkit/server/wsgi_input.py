"""The request's body as a file, on any WSGI server.

restkit's engines give a ``RequestFile``, which ends only where the body does. Of any other server
(PEP 3333, and the measurements in docs/server.rst) it is not known whether ``wsgi.input`` ends by
itself, and most of them give a body that was cut off as if it were whole: it is counted against
``CONTENT_LENGTH``, and one without that is read to its end only where ``wsgi.input_terminated``
says that there will be one.
"""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING, Any

from restkit.errors import ClientDisconnected, Error
from restkit.payload import count_of
from restkit.server.exceptions import InvalidUsage, LengthRequired
from restkit.server.wire.request_body import RequestFile

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer
    from _typeshed.wsgi import WSGIEnvironment

_BUFFER = 64 * 1024
_LENGTH = re.compile("[0-9]{1,19}")


def declared_length(environ: WSGIEnvironment) -> int | None:
    """How many bytes the body was announced with; None where no number was.

    Raises InvalidUsage for a ``CONTENT_LENGTH`` that is no number.
    """
    said = environ.get("CONTENT_LENGTH")
    if not said:
        return None
    if not _LENGTH.fullmatch(said):
        raise InvalidUsage(f"Content-Length: {said} is no number of bytes")
    return int(said)


def has_body(environ: WSGIEnvironment) -> bool:
    """Whether the request has a body, be it an empty one."""
    return bool(environ.get("CONTENT_LENGTH") or environ.get("HTTP_TRANSFER_ENCODING"))


def body_file(environ: WSGIEnvironment) -> io.BufferedReader:
    """The body, to be read once; ``read1`` gives what is there.

    Reading raises ClientDisconnected where the client goes away before the body is whole.
    Raises LengthRequired for a chunked body on a server that does not say where one ends.
    """
    source = environ["wsgi.input"]
    if isinstance(source, RequestFile):
        return source
    length = declared_length(environ)
    if length is None and not environ.get("wsgi.input_terminated"):
        if environ.get("HTTP_TRANSFER_ENCODING"):
            raise LengthRequired("this server takes no chunked bodies: send a Content-Length")
        length = 0
    return io.BufferedReader(_Counted(source, length), _BUFFER)


class _Counted(io.RawIOBase):
    """A server's ``wsgi.input``, of which ``length`` bytes are wanted, or all where that is None.

    It is the server's own: to close this does not close it.
    """

    def __init__(self, source: Any, length: int | None) -> None:
        self._take = getattr(source, "read1", source.read)
        self._length = length
        self._come = 0
        self._gone: str | None = None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        with memoryview(buffer) as view, view.cast("B") as flat:
            size = min(len(flat), _BUFFER)
            if self._length is not None:
                size = min(size, self._length - self._come)
            data = self._taken(size) if size else b""
            flat[: len(data)] = data
        self._come += len(data)
        return len(data)

    def _taken(self, size: int) -> bytes:
        if self._gone is not None:
            raise ClientDisconnected(self._gone)
        try:
            data: bytes = self._take(size)
        except Error:
            raise
        except (OSError, ValueError) as exc:  # cheroot raises ValueError for half a chunk
            raise self._broken(f": {exc}") from exc
        if not data and self._length is not None:
            raise self._broken("")
        return data

    def _broken(self, why: str) -> ClientDisconnected:
        whole = "" if self._length is None else f" of {count_of(self._length)}"
        self._gone = f"the client went away after {self._come}{whole} of its body{why}"
        return ClientDisconnected(self._gone)
