"""The body of a request as a stream, on any WSGI server.

Reads return the bytes that are available and do not wait for a full buffer, so that a client and
a handler can exchange small chunks.

restkit's engines pass a ``RequestFile``, which ends only where the body ends. For other servers
(PEP 3333, and the measurements in docs/engines.rst) it is unknown whether ``wsgi.input`` ends by
itself, and most of them return a truncated body as if it were complete. So the bytes are counted
against ``CONTENT_LENGTH``. A body without one is read to its end only if
``wsgi.input_terminated`` says that it has an end.
"""

from __future__ import annotations

import codecs
import io
from collections.abc import Iterator, Sequence
from typing import Any

from restkit.annotations import WriteableBuffer, WSGIEnvironment
from restkit.content_encoding.decoding import DecodedSource, accept_encoding, parse_codings
from restkit.errors import BodyTooLarge, ClientDisconnected, DecodingError, Error
from restkit.io.buffers import Buffer
from restkit.payload.base import OCTET_STREAM, Payload, format_size
from restkit.server.engine.request_body import RequestFile
from restkit.server.environ import read_content_length
from restkit.server.exceptions import LengthRequired, UnsupportedMediaType

_READ_SIZE = 256 * 1024
_BUFFER_SIZE = 64 * 1024


class RequestStream:
    """``request.stream``: the body of the request as it arrives, to be read once.

    Every read blocks until there are bytes. It raises ``ClientDisconnected`` when the client
    disconnects before the end of the body, ``ParserError`` when the framing is malformed, and
    ``BodyTooLarge`` after more than ``max_size`` bytes. If a handler does not catch them, the
    client gets the right response. ``length`` is the declared length, None if it is unknown.

    It can be sent on as a payload, once, as it arrives and with its content codings.

    >>> stream = RequestStream(io.BufferedReader(io.BytesIO(b'some text')))
    >>> stream.read(4), stream.get(), stream.get()
    (b'some', b' text', None)
    """

    def __init__(
        self,
        file: io.BufferedReader,
        content_encodings: Sequence[str] = (),
        max_size: int | None = None,
        length: int | None = None,
    ) -> None:
        self.length = length
        self.content_encodings = content_encodings
        self._file = file
        self._max_size = max_size
        self._received = 0

    @property
    def trailers(self) -> list[tuple[str, str]]:
        """The fields after a chunked body, once it has been read; empty on other servers."""
        return list(self._file.trailers) if isinstance(self._file, RequestFile) else []

    def get(self) -> bytes | None:
        """Return the next chunk, of any size; None at the end, and at every later call."""
        return self.read_chunk() or None

    def read_chunk(self) -> bytes:
        """Return the next chunk, of any size; ``b''`` at the end."""
        return self._count_chunk(self._file.read1(_READ_SIZE))

    read_piece = read_chunk  # the documented name; ``read_chunk`` makes this class a Source

    def read(self, size: int | None = -1) -> bytes:
        """Return ``size`` bytes, fewer only at the end; without a size, the whole rest."""
        if size is None or size < 0:
            return b"".join(self)
        if self._max_size is not None:
            size = min(size, self._max_size + 1 - self._received)
        return self._count_chunk(self._file.read(size)) if size > 0 else self._count_chunk(b"")

    def readinto(self, view: memoryview) -> int:
        """Read available bytes into ``view``; return the count, 0 at the end."""
        count = self._file.readinto1(view)
        self._count(count)
        return count

    def __iter__(self) -> Iterator[bytes]:
        """Yield the chunks that ``get()`` returns."""
        while chunk := self.read_chunk():
            yield chunk

    def iter_text(self, encoding: str = "utf-8", max_size: int | None = None) -> Iterator[str]:
        """Yield the body as text, as it arrives and without its content codings.

        A character that is split between chunks is joined. Bytes that do not decode raise
        DecodingError, and so does a malformed content coding, as in ``iter_decoded``.
        """
        decoder = codecs.getincrementaldecoder(encoding)()
        try:
            for chunk in self.iter_decoded(max_size):
                if text := decoder.decode(chunk):
                    yield text
            if text := decoder.decode(b"", final=True):
                yield text
        except UnicodeDecodeError as exc:
            raise DecodingError(f"the body is not {encoding} text: {exc.reason}") from exc

    def iter_decoded(self, max_size: int | None = None) -> Iterator[bytes]:
        """Yield the body without its content codings, as it arrives.

        A coding that is malformed or incomplete at the end of the body raises DecodingError. More
        than ``max_size`` decoded bytes raise BodyTooLarge. An unknown coding raises
        ``UnsupportedMediaType``, already at the call.
        """
        return self._iter_decoded(parse_supported_codings(self.content_encodings), max_size)

    def _iter_decoded(self, codings: Sequence[str], max_size: int | None) -> Iterator[bytes]:
        source = DecodedSource(self, codings) if codings else self
        received = 0
        while chunk := source.read_chunk():
            received += len(chunk)
            if max_size is not None and received > max_size:
                raise _too_large_error(max_size, decoded=bool(codings))
            yield chunk

    def __payload__(self) -> Payload:
        length = None if self.length is None else self.length - self._received
        return _RequestPayload(self, length, payload_headers(self.content_encodings))

    def close(self) -> None:
        """Do nothing: after the response, the engine handles the unread rest of the body."""

    def _count_chunk(self, chunk: bytes) -> bytes:
        self._count(len(chunk))
        return chunk

    def _count(self, size: int) -> None:
        self._received += size
        if self._max_size is not None and self._received > self._max_size:
            raise _too_large_error(self._max_size, decoded=False)

    def __repr__(self) -> str:
        return f"<RequestStream, {self._received} bytes so far>"


class _RequestPayload(Payload):
    """The rest of a request body, to be sent on."""

    source = "of a request's body"

    def __init__(
        self, stream: RequestStream, length: int | None, headers: Sequence[tuple[str, str]]
    ) -> None:
        self.length = length
        self.headers = headers
        self._stream = stream

    def chunks(self) -> Iterator[Buffer]:
        return iter(self._stream)


def payload_headers(content_encodings: Sequence[str]) -> Sequence[tuple[str, str]]:
    """Return the header fields for sending on bytes in these content codings."""
    return *OCTET_STREAM, *(("Content-Encoding", value) for value in content_encodings)


def parse_supported_codings(content_encodings: Sequence[str]) -> Sequence[str]:
    """Parse Content-Encoding fields; raise UnsupportedMediaType for an unknown coding."""
    codings = parse_codings(content_encodings)
    if codings is None:
        names = ", ".join(content_encodings)
        supported = accept_encoding()
        raise UnsupportedMediaType(
            f"Content-Encoding: {names} is not supported; use one of {supported}",
            {"Accept-Encoding": supported},
        )
    return codings


def _too_large_error(max_size: int, *, decoded: bool) -> BodyTooLarge:
    body = "the decoded body" if decoded else "the body"
    return BodyTooLarge(f"{body} is larger than the limit of {max_size} bytes")


def open_body(environ: WSGIEnvironment, max_size: int | None = None) -> io.BufferedReader:
    """Open the body, to be read once; ``read1`` returns the bytes that are available.

    restkit's engines read at most ``max_size`` bytes of it ahead of the application. A read raises
    ClientDisconnected if the client disconnects before the end of the body. Raises
    LengthRequired for a chunked body on a server that does not mark its end.
    """
    source = environ["wsgi.input"]
    if isinstance(source, RequestFile):
        if max_size is not None:
            source.limit_spool(max_size)
        return source
    length = read_content_length(environ)
    if length is None and not environ.get("wsgi.input_terminated"):
        if environ.get("HTTP_TRANSFER_ENCODING"):
            raise LengthRequired(
                "this server does not support chunked bodies: send a Content-Length"
            )
        length = 0
    return io.BufferedReader(_CountedInput(source, length), _BUFFER_SIZE)


class _CountedInput(io.RawIOBase):
    """The ``wsgi.input`` of a server, up to ``length`` bytes, or to its end if that is None.

    It belongs to the server: closing this does not close it.
    """

    def __init__(self, source: Any, length: int | None) -> None:
        self._read = getattr(source, "read1", source.read)
        self._length = length
        self._received = 0
        self._failure: str | None = None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        with memoryview(buffer) as view, view.cast("B") as flat:
            size = min(len(flat), _BUFFER_SIZE)
            if self._length is not None:
                size = min(size, self._length - self._received)
            data = self._read_some(size) if size else b""
            flat[: len(data)] = data
        self._received += len(data)
        return len(data)

    def _read_some(self, size: int) -> bytes:
        if self._failure is not None:
            raise ClientDisconnected(self._failure)
        try:
            data: bytes = self._read(size)
        except Error:
            raise
        except (OSError, ValueError) as exc:  # cheroot raises ValueError for an incomplete chunk
            raise self._disconnected_error(f": {exc}") from exc
        if not data and self._length is not None:
            raise self._disconnected_error("")
        return data

    def _disconnected_error(self, reason: str) -> ClientDisconnected:
        total = "" if self._length is None else f" of {format_size(self._length)}"
        self._failure = f"the client disconnected after {self._received}{total} of its body{reason}"
        return ClientDisconnected(self._failure)
