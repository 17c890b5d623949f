"""Write one file of a zip archive.

Small data of known length are read completely first, so that their header contains their CRC and
sizes. The same holds for the CRC of stored bytes that are already in memory. Streaming readers
(Java's, ``stream-unzip``) can then open stored entries, and need no descriptor for small ones.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing

from restkit.content_encoding.compressors import crc32, deflate_raw, open_raw_deflate
from restkit.content_encoding.payloads import CompressPass
from restkit.content_encoding.worker import BackgroundWorker
from restkit.errors import PayloadError
from restkit.io.buffers import Buffer, close_if_possible
from restkit.payload.base import Payload
from restkit.payload.files import RegularPayload
from restkit.payload.values import BufferPayload, BytesPayload
from restkit.zip.entry import ZipStreamFile, check_name
from restkit.zip.records import (
    COMPRESSION_METHOD_DEFLATE,
    COMPRESSION_METHOD_NONE,
    DataSummary,
    Entry,
    encode_descriptor,
    encode_dos_time,
    encode_flags,
    encode_local_header,
    encode_timestamp,
    may_need_zip64,
)

_MAX_SMALL = 1024 * 1024
_LEVEL = 5  # of restkit 1 to 4; level 6 takes 50 % more time for 1 % less output
_DOS_FOLDER = 0x10  # the attribute of a folder

_IN_MEMORY = (BytesPayload, BufferPayload)
_NEVER_BLOCKS = (BytesPayload, RegularPayload, BufferPayload)  # the most frequent ones first


class Member:
    """A file in an archive: its payload, and the fields of its records.

    ``known_summary``: the sizes, if they are known before anything is read. ``may_block``: the
    source may block. ``is_small``: call ``read_small()``, else ``chunks()``.
    """

    __slots__ = ("entry", "is_small", "known_summary", "may_block", "payload")

    def __init__(self, file: ZipStreamFile) -> None:
        self.payload = payload = file.payload
        size = payload.length
        method = file.compression_method if size != 0 else COMPRESSION_METHOD_NONE
        is_stored = method == COMPRESSION_METHOD_NONE
        self.known_summary = DataSummary(0, size, size) if is_stored and size is not None else None
        self.may_block = not isinstance(payload, _NEVER_BLOCKS)
        self.is_small = size is not None and size <= _MAX_SMALL
        has_crc_first = self.is_small or (self.known_summary and isinstance(payload, _IN_MEMORY))
        name, comment, when = file.name.encode(), file.comment.encode(), file.modified_at
        # Positional: keyword arguments would take as long as all of the above.
        self.entry = Entry(
            name,
            comment,
            encode_flags(name, comment, has_descriptor=not has_crc_first),
            method,
            not has_crc_first,
            file.zip64 if size is None else may_need_zip64(size, method),
            encode_dos_time(when),
            encode_timestamp(when),
            file.mode << 16 | (_DOS_FOLDER if name.endswith(b"/") else 0),
        )

    def rename(self, name: str) -> None:
        """Use another name than that of the file."""
        check_name(name)
        entry, data = self.entry, name.encode()
        flags = encode_flags(data, entry.comment, has_descriptor=entry.has_descriptor)
        self.entry = entry._replace(name=data, flags=flags)

    def compute_overhead(self) -> int:
        """Return the size of the records around data of known size."""
        assert self.known_summary is not None
        header = encode_local_header(self.entry, self.known_summary)
        return len(header) + len(encode_descriptor(self.entry, self.known_summary))

    def read_small(self) -> tuple[bytes, bytes, DataSummary]:
        """Read small data. Return its header, the data as stored in the archive, its summary."""
        data = b"".join([bytes(chunk) for chunk in self.payload])
        is_deflated = self.entry.method == COMPRESSION_METHOD_DEFLATE
        stored = deflate_raw(data, _LEVEL) if is_deflated else data
        summary = DataSummary(crc32(data), len(stored), len(data))
        return encode_local_header(self.entry, summary), stored, summary

    def chunks(self) -> Generator[Buffer, None, tuple[DataSummary, int]]:
        """Yield one pass. Return the summary, and the size of the records around the data.

        An empty chunk means that the chunks before it must not be held back any longer.
        """
        if self.entry.has_descriptor:
            return self._chunks_with_descriptor()
        return self._chunks_with_crc_first()

    def _chunks_with_crc_first(self) -> Generator[Buffer, None, tuple[DataSummary, int]]:
        """Read bytes in memory twice: first for the CRC, then to store them."""
        crc = 0
        for chunk in self.payload:
            crc = crc32(chunk, crc)
        assert self.known_summary is not None
        summary = self.known_summary._replace(crc=crc)
        header = encode_local_header(self.entry, summary)
        yield header
        if summary != (yield from self._data_chunks()):
            raise PayloadError(f"{self.payload!r} was changed while it was sent")
        return summary, len(header)

    def _chunks_with_descriptor(self) -> Generator[Buffer, None, tuple[DataSummary, int]]:
        header = encode_local_header(self.entry, self.known_summary or DataSummary())
        yield header
        if self.may_block:
            yield b""
        summary = yield from self._data_chunks()
        descriptor = encode_descriptor(self.entry, summary)
        yield descriptor
        return summary, len(header) + len(descriptor)

    def _data_chunks(self) -> Generator[Buffer, None, DataSummary]:
        """Yield the data as stored in the archive."""
        source = _SummedChunks(self.payload)
        is_deflated = self.entry.method == COMPRESSION_METHOD_DEFLATE
        compressed = 0
        with closing(_deflate(source) if is_deflated else _copy(source)) as chunks:
            for chunk in chunks:
                compressed += len(chunk)
                yield chunk
                if self.may_block:
                    yield b""
        return DataSummary(source.crc, compressed, source.size)


class _SummedChunks:
    """One pass over a payload's chunks, with their CRC and size so far."""

    __slots__ = ("_payload", "crc", "size")

    def __init__(self, payload: Payload) -> None:
        self._payload = payload
        self.crc = 0
        self.size = 0

    def __iter__(self) -> Generator[Buffer, None, None]:
        chunks = iter(self._payload)
        try:
            for chunk in chunks:
                self.crc = crc32(chunk, self.crc)
                self.size += len(chunk)
                yield chunk
        finally:
            close_if_possible(chunks)


def _copy(source: _SummedChunks) -> Generator[bytes, None, None]:
    """Yield copies: a view is only valid until the next chunk."""
    with closing(iter(source)) as chunks:
        yield from map(bytes, chunks)


def _deflate(source: _SummedChunks) -> Generator[bytes, None, None]:
    with closing(iter(source)) as chunks, BackgroundWorker() as worker:
        compress_pass = CompressPass(open_raw_deflate(_LEVEL), worker)
        for chunk in chunks:
            yield from filter(None, compress_pass.add(chunk))
        yield from filter(None, compress_pass.finish())
