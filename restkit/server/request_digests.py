"""The body of a request held to the digests in its head, or in its trailers (RFC 9530).

``Content-Digest`` and ``Repr-Digest`` are both of the bytes as they come, content codings included:
the representation that a PUT or a POST encloses is all of its content, and Content-Encoding is a
part of it (2 and 3). What is malformed, or of algorithms that are not known here, is ignored; so
are trailers that no ``Trailer`` field has announced.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from restkit.streaming.checking import check_by

if TYPE_CHECKING:
    from restkit.headers import Headers
    from restkit.server.request_stream import RequestStream
    from restkit.streaming.checking import DigestCheck

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
