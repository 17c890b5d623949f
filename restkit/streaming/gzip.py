"""Payloads compressed and decompressed as they go: what is sent through gzip, deflate or zstd."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from restkit.decoder import Decoder
from restkit.door import as_payload
from restkit.errors import BodyTooLarge, DecodingError
from restkit.payload import close_if_it_can
from restkit.streaming.press import CompressedPayload, RecodedPayload

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from restkit.payload import Buffer, Payload

_T = TypeVar("_T")

_GZIP = (("Content-Type", "application/gzip"),)


def gzip_stream(source: object, level: int = 6) -> Payload:
    """Whatever can be sent, as a gzip file: data, of Content-Type ``application/gzip``.

    One member without name and time. Replayable if the source is, and then every pass gives
    the same bytes. The length is not known. Compression runs on a thread of its own once there
    is more than a little; the source is only asked on the thread that sends. ``compress='gzip'``
    of a request is the other thing: it compresses on the way, and says so in Content-Encoding.

    >>> import gzip
    >>> gzip.decompress(b''.join(gzip_stream('some words')))
    b'some words'
    """
    return CompressedPayload(_payload_of(source), "gzip", level, _GZIP)


def compressed(payload: Payload, coding: str, level: int | None = None) -> Payload:
    """The payload in a content coding, and with the Content-Encoding that says so.

    ``coding`` is 'gzip', 'deflate' or 'zstd', over those that the payload has already. Raises
    RequestError where there is no such coding, level, or package.
    """
    encodings = [value for name, value in payload.headers if name.lower() == "content-encoding"]
    others = [field for field in payload.headers if field[0].lower() != "content-encoding"]
    headers = [*others, ("Content-Encoding", ", ".join([*encodings, coding]))]
    return CompressedPayload(payload, coding, level, headers)


def gunzip_stream(source: object, limit: int | None = None) -> Payload:
    """What a gzip file of several members or one was made of, as it comes.

    More than ``limit`` bytes are BodyTooLarge; what is no gzip file, or not whole, is a
    DecodingError, after the bytes that could be had. Nothing at all is nothing. Replayable if
    the source is. Memory stays flat, whatever the bytes would swell to.

    >>> b''.join(gunzip_stream(gzip_stream('some words')))
    b'some words'
    """
    return GunzippedPayload(_payload_of(source), limit)


class GunzippedPayload(RecodedPayload):
    """The bytes that a payload of gzip members was made of."""

    def __init__(self, payload: Payload, limit: int | None) -> None:
        super().__init__(payload)
        self._limit = limit

    def chunks(self) -> Iterator[Buffer]:
        pieces = iter(self._payload)
        decoder = Decoder("gzip")
        given = 0
        try:
            for piece in pieces:
                decoder.feed(piece)
                for out in self._decoded(decoder):
                    given += len(out)
                    self._refuse_more_than_limit(given)
                    yield out
            self._step(decoder.finish)
        finally:
            self._settled = True
            close_if_it_can(pieces)

    def _decoded(self, decoder: Decoder) -> Iterator[bytes]:
        """All that comes of one piece; of the last it is known, before it is given, to be that."""
        out = self._step(decoder.produce)
        while out:
            following, fault = b"", None
            try:
                following = self._step(decoder.produce)
            except DecodingError as exc:
                fault = exc
            self._settled = not following and fault is None
            yield out
            if fault is not None:
                raise fault
            out = following

    def _step(self, step: Callable[[], _T]) -> _T:
        """A step of the decoder's; what it raises says that it is not about the answer's body."""
        try:
            return step()
        except DecodingError as exc:
            raise DecodingError(f"{self!r}: {exc.message}") from exc

    def _refuse_more_than_limit(self, size: int) -> None:
        if self._limit is not None and size > self._limit:
            raise BodyTooLarge(f"{self!r} gives more than limit={self._limit} bytes")


def _payload_of(source: object) -> Payload:
    payload = as_payload(source)
    if payload is None:
        raise TypeError("None is no payload to compress or to decompress; b'' is an empty one")
    return payload
