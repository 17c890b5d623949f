"""Write one file of a zip archive.

One entry on its way into an archive: how it is laid out, and one pass over its bytes.

What is small, and of known length, is read whole, so that its sums stand in front of it; so does
the CRC of stored bytes that are in memory anyway. Readers that take an archive as it comes (Java's,
``stream-unzip``) can then open stored entries, and need no descriptor of small ones.
"""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from restkit.content_encoding.compressors import crc_32, deflated, deflating
from restkit.content_encoding.payloads import CompressPass
from restkit.content_encoding.worker import BackgroundWorker
from restkit.errors import PayloadError
from restkit.io.buffers import close_if_it_can
from restkit.payload.files import RegularPayload
from restkit.payload.values import BufferPayload, BytesPayload
from restkit.zip.entry import check_name
from restkit.zip.records import (
    COMPRESSION_METHOD_DEFLATE,
    COMPRESSION_METHOD_NONE,
    Entry,
    Sums,
    clock_of,
    descriptor,
    flags_of,
    local_header,
    outgrows,
    stamp_of,
)

if TYPE_CHECKING:
    from collections.abc import Generator

    from restkit.io.buffers import Buffer
    from restkit.payload.base import Payload
    from restkit.zip.entry import ZipStreamFile


_SMALL = 1024 * 1024
_LEVEL = 5  # the original's; 6 takes half as much time again, for one per cent less
_FOLDER = 0x10  # of the attributes that DOS had

_IN_MEMORY = (BytesPayload, BufferPayload)
_AT_HAND = (BytesPayload, RegularPayload, BufferPayload)  # the frequent ones first


class Member:
    """What an archive keeps of a file: its payload, and what its records say.

    ``foreseen``: its sizes, where they are known before anything is read. ``may_wait``: its
    source may let whoever asks wait. ``small``: it goes by ``whole()``, else by ``pieces()``.
    """

    __slots__ = ("entry", "foreseen", "may_wait", "payload", "small")

    def __init__(self, file: ZipStreamFile) -> None:
        self.payload = payload = file.payload
        size = payload.length
        method = file.compression_method if size != 0 else COMPRESSION_METHOD_NONE
        stored = method == COMPRESSION_METHOD_NONE
        self.foreseen = Sums(0, size, size) if stored and size is not None else None
        self.may_wait = not isinstance(payload, _AT_HAND)
        self.small = size is not None and size <= _SMALL
        described = not (self.small or (self.foreseen and isinstance(payload, _IN_MEMORY)))
        name, comment, when = file.name.encode(), file.comment.encode(), file.modified_at
        # By place: with names it takes as long as all of the above.
        self.entry = Entry(
            name,
            comment,
            flags_of(name, comment, described=described),
            method,
            described,
            file.zip64 if size is None else outgrows(size, method),
            clock_of(when),
            stamp_of(when),
            file.mode << 16 | (_FOLDER if name.endswith(b"/") else 0),
        )

    def rename(self, name: str) -> None:
        """Give it another name than its file's."""
        check_name(name)
        entry, data = self.entry, name.encode()
        flags = flags_of(data, entry.comment, described=entry.described)
        self.entry = entry._replace(name=data, flags=flags)

    def around(self) -> int:
        """How many bytes go around data of foreseen sizes."""
        assert self.foreseen is not None
        header = local_header(self.entry, self.foreseen)
        return len(header) + len(descriptor(self.entry, self.foreseen))

    def whole(self) -> tuple[bytes, bytes, Sums]:
        """One pass over what is small: its header, its data as they stand there, its sums."""
        data = b"".join([bytes(piece) for piece in self.payload])
        deflate = self.entry.method == COMPRESSION_METHOD_DEFLATE
        packed = deflated(data, _LEVEL) if deflate else data
        sums = Sums(crc_32(data), len(packed), len(data))
        return local_header(self.entry, sums), packed, sums

    def pieces(self) -> Generator[Buffer, None, tuple[Sums, int]]:
        """One pass; an empty piece says that what came before it may not be held back any more.

        Returns the sums, and how many bytes went around the data.
        """
        return self._described() if self.entry.described else self._summed_before()

    def _summed_before(self) -> Generator[Buffer, None, tuple[Sums, int]]:
        """Stored, and in memory: its bytes are passed over twice."""
        promised = 0
        for piece in self.payload:
            promised = crc_32(piece, promised)
        assert self.foreseen is not None
        sums = self.foreseen._replace(crc=promised)
        header = local_header(self.entry, sums)
        yield header
        if sums != (yield from self._data()):
            raise PayloadError(f"{self.payload!r} was changed while it was sent")
        return sums, len(header)

    def _described(self) -> Generator[Buffer, None, tuple[Sums, int]]:
        header = local_header(self.entry, self.foreseen or Sums())
        yield header
        if self.may_wait:
            yield b""
        sums = yield from self._data()
        behind = descriptor(self.entry, sums)
        yield behind
        return sums, len(header) + len(behind)

    def _data(self) -> Generator[Buffer, None, Sums]:
        """The data as they stand in the archive."""
        pieces = _Summed(self.payload)
        deflate = self.entry.method == COMPRESSION_METHOD_DEFLATE
        compressed = 0
        with closing(_pressed(pieces) if deflate else _copied(pieces)) as packed:
            for piece in packed:
                compressed += len(piece)
                yield piece
                if self.may_wait:
                    yield b""
        return Sums(pieces.crc, compressed, pieces.size)


class _Summed:
    """One pass over a payload's pieces, and what they come to."""

    __slots__ = ("_payload", "crc", "size")

    def __init__(self, payload: Payload) -> None:
        self._payload = payload
        self.crc = 0
        self.size = 0

    def __iter__(self) -> Generator[Buffer, None, None]:
        pieces = iter(self._payload)
        try:
            for piece in pieces:
                self.crc = crc_32(piece, self.crc)
                self.size += len(piece)
                yield piece
        finally:
            close_if_it_can(pieces)


def _copied(summed: _Summed) -> Generator[bytes, None, None]:
    """As bytes, and not as views that end with the next piece."""
    with closing(iter(summed)) as pieces:
        yield from map(bytes, pieces)


def _pressed(summed: _Summed) -> Generator[bytes, None, None]:
    with closing(iter(summed)) as pieces, BackgroundWorker() as overlap:
        press = CompressPass(deflating(_LEVEL), overlap)
        for piece in pieces:
            yield from filter(None, press.take(piece))
        yield from filter(None, press.finish())
