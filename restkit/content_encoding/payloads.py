"""Payloads that are compressed or decompressed while they are sent."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from time import monotonic
from typing import TypeVar

from restkit.content_encoding.compressors import Compressor, get_compressor_factory
from restkit.content_encoding.decoding import Decoder
from restkit.content_encoding.worker import BackgroundWorker
from restkit.errors import BodyTooLarge, DecodingError
from restkit.io.buffers import Buffer, close_if_possible
from restkit.io.sockets import is_readable
from restkit.payload.base import OCTET_STREAM, Payload, PayloadWrapper
from restkit.payload.convert import as_payload

_T = TypeVar("_T")

# The input of a compressor is cut to one size, whatever the chunks of the source. The output of
# igzip, zlib-ng and zlib's level 0 depends on it, and each pass over a response cuts other chunks.
_INPUT_SIZE = 128 * 1024
# How long, in seconds, bytes may stay in the compressor if the source has no descriptor to poll.
_FLUSH_INTERVAL = 0.5
# How long a pipe must be empty before it counts as pausing: its writer may be about to write.
_PAUSE_MS = 5
_GZIP_HEADERS = (("Content-Type", "application/gzip"),)


def gzip_stream(source: object, level: int = 6) -> Payload:
    """Return a payload as a gzip file, of Content-Type ``application/gzip``.

    ``source`` is anything that can be a payload. The file is one member without name and time; its
    length is not known. It is replayable if the source is, and then every pass gives the same
    bytes. Compression runs on a thread of its own if there is more than a little; the source is
    only read on the thread that sends. To send a payload with a Content-Encoding instead, use the
    option ``compress='gzip'`` of a request.

    >>> import gzip
    >>> gzip.decompress(b''.join(gzip_stream('some words')))
    b'some words'
    """
    return CompressedPayload(_as_payload(source), "gzip", level, _GZIP_HEADERS)


def gunzip_stream(source: object, limit: int | None = None) -> Payload:
    """Return the decompressed content of a gzip file, which may have several members.

    ``source`` is anything that can be a payload. More than ``limit`` bytes raise BodyTooLarge. A
    file that is malformed or incomplete raises DecodingError, after the bytes before the fault. An
    empty file gives no bytes. The payload is replayable if the source is. Memory use is bounded,
    however far the data expands.

    >>> b''.join(gunzip_stream(gzip_stream('some words')))
    b'some words'
    """
    return GunzippedPayload(_as_payload(source), limit)


def compress_payload(payload: Payload, coding: str, level: int | None = None) -> Payload:
    """Return the payload in a content coding, with its Content-Encoding.

    ``coding`` is 'gzip', 'deflate' or 'zstd'; it is applied after the codings that the payload
    already has. Raises RequestError for an unknown coding or level, or a missing package.

    >>> compress_payload(gzip_stream('some words'), 'deflate').headers
    [('Content-Type', 'application/gzip'), ('Content-Encoding', 'deflate')]
    """
    encodings = [value for name, value in payload.headers if name.lower() == "content-encoding"]
    others = [field for field in payload.headers if field[0].lower() != "content-encoding"]
    headers = [*others, ("Content-Encoding", ", ".join([*encodings, coding]))]
    return CompressedPayload(payload, coding, level, headers)


class RecodedPayload(PayloadWrapper):
    """The bytes of another payload in another form, of unknown length."""

    def __init__(self, payload: Payload) -> None:
        super().__init__(payload)
        self.length = None
        self.headers = OCTET_STREAM
        self._has_no_output = True

    @property
    def waits_on(self) -> int | None:
        """The descriptor of the source, unless there is output left to send."""
        return super().waits_on if self._has_no_output else None


class CompressedPayload(RecodedPayload):
    """Another payload, compressed while it is sent.

    All finished output is sent before more input is read. A source that can be sent only once is
    flushed when it pauses: when its pipe is empty, or half a second after the last flush. A
    replayable source is not flushed, because each pass must give the same bytes.
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
        self._open_compressor = get_compressor_factory(coding, level)

    def chunks(self) -> Iterator[Buffer]:
        chunks = iter(self._payload)
        try:
            with BackgroundWorker() as worker:
                yield from self._compress(chunks, CompressPass(self._open_compressor(), worker))
        finally:
            self._has_no_output = True
            close_if_possible(chunks)

    def _compress(self, chunks: Iterator[Buffer], compress_pass: CompressPass) -> Iterator[bytes]:
        flushed_at = monotonic()
        while True:
            if self._is_pausing(flushed_at):
                output = b"".join(compress_pass.flush_ready(force=not self.replayable))
                # Set before the output is sent, so that the sender then waits for the source.
                self._has_no_output = True
                if output:
                    yield output
                flushed_at = monotonic()
            chunk = next(chunks, None)
            self._has_no_output = False
            if chunk is None:
                break
            yield from compress_pass.add(chunk)
        yield from compress_pass.finish()

    def _is_pausing(self, flushed_at: float) -> bool:
        descriptor = self._payload.waits_on
        if descriptor is None:
            return monotonic() - flushed_at > _FLUSH_INTERVAL
        return not is_readable(descriptor, _PAUSE_MS)


class CompressPass:
    """One pass through a compressor, with input of one size. Methods return finished output."""

    __slots__ = ("_compressor", "_held", "_needs_flush", "_worker")

    def __init__(self, compressor: Compressor, worker: BackgroundWorker) -> None:
        self._compressor = compressor
        self._worker = worker
        self._held = bytearray()
        self._needs_flush = False

    def add(self, chunk: Buffer) -> Iterator[bytes]:
        """Compress a chunk."""
        if len(self._held) + len(chunk) < _INPUT_SIZE:
            self._held += chunk
            return
        # Copy the chunk: its owner may change it after this call.
        with memoryview(chunk) as view:
            at = _INPUT_SIZE - len(self._held)
            self._held += view[:at]
            while len(self._held) == _INPUT_SIZE:
                yield from self._compress_held()
                self._held += view[at : at + _INPUT_SIZE]
                at += _INPUT_SIZE

    def flush_ready(self, *, force: bool) -> Iterator[bytes]:
        """Wait for the output of all pending jobs; with ``force``, flush the compressor too."""
        if force:
            yield from self._compress_held()
            if self._needs_flush:
                yield from self._worker.run(self._compressor.flush, 0)
                self._needs_flush = False
        yield from self._worker.drain()

    def finish(self) -> Iterator[bytes]:
        """Compress the rest, and end the stream."""
        yield from self._compress_held()
        yield from self._worker.run(self._compressor.finish, 0)
        yield from self._worker.drain()

    def _compress_held(self) -> Iterator[bytes]:
        held, self._held = self._held, bytearray()
        if held:
            self._needs_flush = True
            yield from self._worker.run(partial(self._compressor.compress, held), len(held))


class GunzippedPayload(RecodedPayload):
    """The decompressed bytes of a payload of gzip members."""

    def __init__(self, payload: Payload, limit: int | None) -> None:
        super().__init__(payload)
        self._limit = limit

    def chunks(self) -> Iterator[Buffer]:
        chunks = iter(self._payload)
        decoder = Decoder("gzip")
        size = 0
        try:
            for chunk in chunks:
                decoder.feed(chunk)
                for output in self._decode(decoder):
                    size += len(output)
                    self._check_limit(size)
                    yield output
            self._add_source_to_error(decoder.finish)
        finally:
            self._has_no_output = True
            close_if_possible(chunks)

    def _decode(self, decoder: Decoder) -> Iterator[bytes]:
        """Yield all output of one chunk. Decode one step ahead, to know the last output."""
        output = self._add_source_to_error(decoder.produce)
        while output:
            next_output, error = b"", None
            try:
                next_output = self._add_source_to_error(decoder.produce)
            except DecodingError as exc:
                error = exc
            self._has_no_output = not next_output and error is None
            yield output
            if error is not None:
                raise error
            output = next_output

    def _add_source_to_error(self, step: Callable[[], _T]) -> _T:
        """Call a method of the decoder; name this payload in its error, not the response's body."""
        try:
            return step()
        except DecodingError as exc:
            raise DecodingError(f"{self!r}: {exc.message}") from exc

    def _check_limit(self, size: int) -> None:
        if self._limit is not None and size > self._limit:
            raise BodyTooLarge(f"{self!r} has more than limit={self._limit} bytes")


def _as_payload(source: object) -> Payload:
    payload = as_payload(source)
    if payload is None:
        raise TypeError("None cannot be compressed or decompressed; pass b'' for an empty payload")
    return payload
