"""Payloads that are compressed or decompressed while they are sent.

A payload compressed while it is sent: on the way from its source to whoever sends it.

Payloads compressed and decompressed as they go: what is sent through gzip, deflate or zstd.
"""

from __future__ import annotations

import select
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, TypeVar

from restkit.content_encoding.compressors import compressing
from restkit.content_encoding.decoding import Decoder
from restkit.content_encoding.worker import BackgroundWorker
from restkit.errors import BodyTooLarge, DecodingError
from restkit.io.buffers import close_if_it_can
from restkit.payload.base import OCTET_STREAM, PayloadWrapper
from restkit.payload.convert import as_payload

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from restkit.content_encoding.compressors import Compressor
    from restkit.io.buffers import Buffer
    from restkit.payload.base import Payload


# What goes into a compressor at once, however the source cuts its pieces: what comes out of igzip,
# zlib-ng and zlib's level 0 depends on that, and the pieces of a response are cut anew each time.
_BLOCK = 128 * 1024
# For how long a source that says nothing of itself may keep back what is in the compressor; and
# how long a pipe must be empty to count as waited for: whoever writes it may be about to.
_PATIENCE = 0.5
_MOMENT_MS = 5


class RecodedPayload(PayloadWrapper):
    """Another payload's bytes in another form, of a length that nobody knows."""

    def __init__(self, payload: Payload) -> None:
        super().__init__(payload)
        self.length = None
        self.headers = OCTET_STREAM
        self._settled = True

    @property
    def waits_on(self) -> int | None:
        """The source's, once all that came of it has been given."""
        return super().waits_on if self._settled else None


class CompressedPayload(RecodedPayload):
    """Another payload, compressed while it is sent.

    What has been compressed leaves before the source is asked for more. A source that is sent
    once is flushed where it pauses: an empty pipe, or half a second gone by since it was flushed
    last. One that can be sent again is not, since each pass is to give the same bytes.
    """

    def __init__(
        self,
        payload: Payload,
        coding: str,
        level: int | None,
        headers: Sequence[tuple[str, str]],
    ) -> None:
        super().__init__(payload)
        self.headers = headers
        self.source = f"{coding} of {payload!r}"
        self._begin_stream = compressing(coding, level)

    def chunks(self) -> Iterator[Buffer]:
        pieces = iter(self._payload)
        try:
            with BackgroundWorker() as overlap:
                yield from self._pressed(pieces, CompressPass(self._begin_stream(), overlap))
        finally:
            self._settled = True
            close_if_it_can(pieces)

    def _pressed(self, pieces: Iterator[Buffer], press: CompressPass) -> Iterator[bytes]:
        settled_at = monotonic()
        while True:
            if self._pauses(settled_at):
                rest = b"".join(press.settle(flushing=not self.replayable))
                # Known before it is given: then the source is waited for before the next is asked.
                self._settled = True
                if rest:
                    yield rest
                settled_at = monotonic()
            piece = next(pieces, None)
            self._settled = False
            if piece is None:
                break
            yield from press.take(piece)
        yield from press.finish()

    def _pauses(self, settled_at: float) -> bool:
        number = self._payload.waits_on
        if number is None:
            return monotonic() - settled_at > _PATIENCE
        return not _readable(number)


class CompressPass:
    """One pass through a compressor, in blocks of one size."""

    __slots__ = ("_compressor", "_held", "_overlap", "_unflushed")

    def __init__(self, compressor: Compressor, overlap: BackgroundWorker) -> None:
        self._compressor = compressor
        self._overlap = overlap
        self._held = bytearray()
        self._unflushed = False

    def take(self, piece: Buffer) -> Iterator[bytes]:
        """Compress a piece; what has come out by now."""
        if len(self._held) + len(piece) < _BLOCK:
            self._held += piece
            return
        # A copy stays as it is, whatever the owner of the piece does with it.
        with memoryview(piece) as view:
            at = _BLOCK - len(self._held)
            self._held += view[:at]
            while len(self._held) == _BLOCK:
                yield from self._push_held()
                self._held += view[at : at + _BLOCK]
                at += _BLOCK

    def settle(self, *, flushing: bool) -> Iterator[bytes]:
        """All that is under way; when flushing, all that was taken."""
        if flushing:
            yield from self._push_held()
            if self._unflushed:
                yield from self._overlap.do(self._compressor.flush, 0)
                self._unflushed = False
        yield from self._overlap.drain()

    def finish(self) -> Iterator[bytes]:
        yield from self._push_held()
        yield from self._overlap.do(self._compressor.finish, 0)
        yield from self._overlap.drain()

    def _push_held(self) -> Iterator[bytes]:
        held, self._held = self._held, bytearray()
        if held:
            self._unflushed = True
            yield from self._overlap.do(partial(self._compressor.compress, held), len(held))


def _readable(number: int) -> bool:
    poll = select.poll()
    poll.register(number, select.POLLIN)
    return bool(poll.poll(_MOMENT_MS))


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
