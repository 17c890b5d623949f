"""The body of a request as a stream.

A body as it arrives: the pieces that are there, one pass, nothing kept.

What reads through it asks for what is there and not for a full block, so that a dialogue in small
pieces does not stand still.

The request's body as a file, on any WSGI server.

restkit's engines give a ``RequestFile``, which ends only where the body does. Of any other server
(PEP 3333, and the measurements in docs/server.rst) it is not known whether ``wsgi.input`` ends by
itself, and most of them give a body that was cut off as if it were whole: it is counted against
``CONTENT_LENGTH``, and one without that is read to its end only where ``wsgi.input_terminated``
says that there will be one.

The body of a request held to the digests in its head, or in its trailers (RFC 9530).

``Content-Digest`` and ``Repr-Digest`` are both of the bytes as they come, content codings included:
the representation that a PUT or a POST encloses is all of its content, and Content-Encoding is a
part of it (2 and 3). What is malformed, or of algorithms that are not known here, is ignored; so
are trailers that no ``Trailer`` field has announced.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from restkit.content_digest.checking import check_by
from restkit.content_encoding.decoding import DecodedSource, accept_encoding, parse_codings
from restkit.errors import BodyTooLarge, ClientDisconnected, DecodingError, Error
from restkit.http1.fields import parse_length
from restkit.payload.base import OCTET_STREAM, Payload, count_of
from restkit.server.engine.request_body import RequestFile
from restkit.server.exceptions import InvalidUsage, LengthRequired, UnsupportedMediaType

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from _typeshed import WriteableBuffer
    from _typeshed.wsgi import WSGIEnvironment

    from restkit.content_digest.checking import DigestCheck
    from restkit.headers import Headers
    from restkit.io.buffers import Buffer


_BLOCK = 256 * 1024


class RequestStream:
    """``request.stream``: the body of the request, to be taken once, as it arrives.

    Every way to read blocks until there is something, and raises ``ClientDisconnected`` when the
    client goes away before the body is whole, ``ParserError`` when its framing is broken, and
    ``BodyTooLarge`` once more than ``max_size`` bytes have come. An exception that a handler does
    not catch is the right answer to the client. ``length`` is what the body was announced with,
    None where that is unknown. As a payload it is sent on as it arrives, once, and said to be in
    the content codings that it came in.
    """

    def __init__(
        self,
        file: io.BufferedReader,
        content_encodings: Sequence[str] = (),
        max_size: int | None = None,
        length: int | None = None,
    ) -> None:
        self.length = length
        self._file = file
        self.content_encodings = content_encodings
        self._max_size = max_size
        self._come = 0

    @property
    def trailers(self) -> list[tuple[str, str]]:
        """The fields behind a chunked body, once that has been read; of other servers, none."""
        return list(self._file.trailers) if isinstance(self._file, RequestFile) else []

    def get(self) -> bytes | None:
        """The next piece, of whatever size; None at the end, and at every later call."""
        return self.read_piece() or None

    def read_piece(self) -> bytes:
        """The next piece, of whatever size; ``b''`` at the end."""
        return self._counted(self._file.read1(_BLOCK))

    def read(self, size: int | None = -1) -> bytes:
        """So many bytes, fewer only at the end; without a size, all that is still to come."""
        if size is None or size < 0:
            return b"".join(self)
        if self._max_size is not None:
            size = min(size, self._max_size + 1 - self._come)
        return self._counted(self._file.read(size)) if size > 0 else self._counted(b"")

    def readinto(self, view: memoryview) -> int:
        """Fill some of ``view`` with what is there; 0 at the end."""
        count = self._file.readinto1(view)
        self._count(count)
        return count

    def __iter__(self) -> Iterator[bytes]:
        """The pieces, as ``get()`` gives them."""
        while piece := self.read_piece():
            yield piece

    def iter_text(self, encoding: str = "utf-8", max_size: int | None = None) -> Iterator[str]:
        """The body as text, as it arrives and without its content codings.

        A character that is cut in two comes whole. Bytes that are no such text raise
        DecodingError; so do faults of a coding, as with ``iter_decoded``.
        """
        import codecs

        decoder = codecs.getincrementaldecoder(encoding)()
        try:
            for piece in self.iter_decoded(max_size):
                if text := decoder.decode(piece):
                    yield text
            if text := decoder.decode(b"", final=True):
                yield text
        except UnicodeDecodeError as exc:
            raise DecodingError(f"the body is no {encoding} text: {exc.reason}") from exc

    def iter_decoded(self, max_size: int | None = None) -> Iterator[bytes]:
        """The body without its content codings, as it arrives.

        At its end the last stream was whole: what is cut short or no such stream raises
        DecodingError. More than ``max_size`` decoded bytes are BodyTooLarge. A coding that is
        not known here is ``UnsupportedMediaType``, raised by the call itself.
        """
        return self._iter_decoded(parse_known(self.content_encodings), max_size)

    def _iter_decoded(self, codings: Sequence[str], max_size: int | None) -> Iterator[bytes]:
        source = DecodedSource(self, codings) if codings else self
        come = 0
        while piece := source.read_piece():
            come += len(piece)
            if max_size is not None and come > max_size:
                raise _too_large(max_size, decoded=bool(codings))
            yield piece

    def __payload__(self) -> Payload:
        length = None if self.length is None else self.length - self._come
        return _RequestPayload(self, length, fields_to_send_on(self.content_encodings))

    def close(self) -> None:
        """Nothing: what was not read is seen to when the answer is out."""

    def _counted(self, piece: bytes) -> bytes:
        self._count(len(piece))
        return piece

    def _count(self, size: int) -> None:
        self._come += size
        if self._max_size is not None and self._come > self._max_size:
            raise _too_large(self._max_size, decoded=False)

    def __repr__(self) -> str:
        return f"<RequestStream, {self._come} bytes so far>"


class _RequestPayload(Payload):
    """What is still to come of a body, to be sent on."""

    source = "of a request's body"

    def __init__(
        self, stream: RequestStream, length: int | None, fields: Sequence[tuple[str, str]]
    ) -> None:
        self.length = length
        self.headers = fields
        self._stream = stream

    def chunks(self) -> Iterator[Buffer]:
        return iter(self._stream)


def fields_to_send_on(content_encodings: Sequence[str]) -> Sequence[tuple[str, str]]:
    """What bytes in these codings are announced with when they are sent on as they came."""
    return *OCTET_STREAM, *(("Content-Encoding", said) for said in content_encodings)


def parse_known(content_encodings: Sequence[str]) -> Sequence[str]:
    """The codings that the fields name; UnsupportedMediaType, with what is known, for another."""
    codings = parse_codings(content_encodings)
    if codings is None:
        named = ", ".join(content_encodings)
        known = accept_encoding()
        raise UnsupportedMediaType(
            f"Content-Encoding: {named} is not understood here; these are: {known}",
            {"Accept-Encoding": known},
        )
    return codings


def _too_large(max_size: int, *, decoded: bool) -> BodyTooLarge:
    what = "the decoded body" if decoded else "the body"
    return BodyTooLarge(f"{what} is larger than the {max_size} bytes that are taken")


_BUFFER = 64 * 1024


def declared_length(environ: WSGIEnvironment) -> int | None:
    """How many bytes the body was announced with; None where no number was.

    Raises InvalidUsage for a ``CONTENT_LENGTH`` that is no number.
    """
    said = environ.get("CONTENT_LENGTH")
    if not said:
        return None
    length = parse_length(said)
    if length is None:
        raise InvalidUsage(f"Content-Length: {said} is no number of bytes")
    return length


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
        except (OSError, ValueError) as exc:  # cheroot's own raises ValueError for half a chunk
            raise self._broken(f": {exc}") from exc
        if not data and self._length is not None:
            raise self._broken("")
        return data

    def _broken(self, why: str) -> ClientDisconnected:
        whole = "" if self._length is None else f" of {count_of(self._length)}"
        self._gone = f"the client went away after {self._come}{whole} of its body{why}"
        return ClientDisconnected(self._gone)


_NAMES = ("Content-Digest", "Repr-Digest")


def held_to_digests(stream: RequestStream, headers: Headers) -> RequestStream | CheckedStream:
    """The stream, checked where its head says by what."""
    check = check_by(_NAMES, headers)
    return stream if check is None else CheckedStream(stream, check)


class CheckedStream:
    """A body as it comes, which raises IntegrityError in place of an end that is not right."""

    __slots__ = ("_check", "_stream")

    def __init__(self, stream: RequestStream, check: DigestCheck) -> None:
        self._stream = stream
        self._check = check

    def read_piece(self) -> bytes:
        """The next piece, of whatever size; ``b''`` at the end, where that is right."""
        piece = self._stream.read_piece()
        self._check.update(piece)
        if not piece:
            self._check.verify(self._stream.trailers)
        return piece

    def close(self) -> None:
        """Close the stream."""
        self._stream.close()

    def __repr__(self) -> str:
        return f"<CheckedStream, {self._check.came} bytes so far>"
