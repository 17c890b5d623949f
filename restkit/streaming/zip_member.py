"""One entry on its way into an archive: how it is laid out, and one pass over its bytes.

What is small, and of known length, is read whole, so that its sums stand in front of it; so does
the CRC of stored bytes that are in memory anyway. Readers that take an archive as it comes (Java's,
``stream-unzip``) can then open stored entries, and need no descriptor of small ones.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

from restkit.errors import PayloadError
from restkit.files import RegularPayload
from restkit.payload import close_if_it_can
from restkit.sources import BufferPayload, BytesPayload
from restkit.streaming.zip_entry import encoded_name
from restkit.streaming.zip_records import (
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
    from collections.abc import Callable, Generator

    from restkit.payload import Buffer
    from restkit.streaming.zip_entry import ZipStreamFile

_SMALL = 1024 * 1024
_LEVEL = 5  # the original's; 6 takes half as much time again, for one per cent less
_FOLDER = 0x10  # of the attributes that DOS had

_IN_MEMORY = (BytesPayload, BufferPayload)


class Member:
    """What an archive keeps of a file: its payload, and what its records say.

    ``foreseen``: its sizes, where they are known before anything is read. ``may_wait``: its
    source may let whoever asks wait.
    """

    __slots__ = ("_size", "entry", "foreseen", "may_wait", "payload")

    def __init__(self, file: ZipStreamFile) -> None:
        self.payload = payload = file.payload
        self._size = size = payload.length
        method = file.compression_method if size != 0 else COMPRESSION_METHOD_NONE
        stored = method == COMPRESSION_METHOD_NONE
        regular = isinstance(payload, RegularPayload)
        in_memory = not regular and isinstance(payload, _IN_MEMORY)
        self.foreseen = Sums(0, size, size) if stored and size is not None else None
        self.may_wait = not (regular or in_memory)
        whole = size is not None and (size <= _SMALL or (stored and in_memory))
        name, comment, when = file.name.encode(), file.comment.encode(), file.modified_at
        # By place: with names it takes as long as all of the above.
        self.entry = Entry(
            name,
            comment,
            flags_of(name, comment, described=not whole),
            method,
            not whole,
            file.zip64 if size is None else outgrows(size, method),
            clock_of(when),
            stamp_of(when),
            file.mode << 16 | (_FOLDER if name.endswith(b"/") else 0),
        )

    def rename(self, name: str) -> None:
        """Give it another name than its file's."""
        entry, data = self.entry, encoded_name(name)
        flags = flags_of(data, entry.comment, described=entry.described)
        self.entry = entry._replace(name=data, flags=flags)

    def around(self) -> int:
        """How many bytes go around data of foreseen sizes."""
        assert self.foreseen is not None
        header = local_header(self.entry, self.foreseen)
        return len(header) + len(descriptor(self.entry, self.foreseen))

    def pieces(self) -> Generator[Buffer, None, tuple[Sums, int]]:
        """One pass; an empty piece says that what came before it may not be held back any more.

        Returns the sums, and how many bytes went around the data.
        """
        if self.entry.described:
            return self._described()
        assert self._size is not None
        return self._whole(self._size) if self._size <= _SMALL else self._summed_before()

    def _whole(self, size: int) -> Generator[Buffer, None, tuple[Sums, int]]:
        data = b"".join([bytes(piece) for piece in self.payload])
        packed = data
        if self.entry.method == COMPRESSION_METHOD_DEFLATE:
            pack, finish = _deflating(size)
            packed = pack(data) + finish()
        sums = Sums(zlib.crc32(data), len(packed), size)
        header = local_header(self.entry, sums)
        yield header
        yield packed
        return sums, len(header)

    def _summed_before(self) -> Generator[Buffer, None, tuple[Sums, int]]:
        """Stored, and in memory: its bytes are passed over twice."""
        promised = 0
        for piece in self.payload:
            promised = zlib.crc32(piece, promised)
        assert self.foreseen is not None
        sums = self.foreseen._replace(crc=promised)
        header = local_header(self.entry, sums)
        yield header
        if sums != (yield from self._data(bytes)):
            raise PayloadError(f"{self.payload!r} was changed while it was sent")
        return sums, len(header)

    def _described(self) -> Generator[Buffer, None, tuple[Sums, int]]:
        header = local_header(self.entry, self.foreseen or Sums())
        yield header
        if self.may_wait:
            yield b""
        if self.entry.method == COMPRESSION_METHOD_DEFLATE:
            sums = yield from self._data(*_deflating(None))
        else:
            sums = yield from self._data(bytes)
        behind = descriptor(self.entry, sums)
        yield behind
        return sums, len(header) + len(behind)

    def _data(
        self, pack: Callable[[Buffer], bytes], finish: Callable[[], bytes] = bytes
    ) -> Generator[Buffer, None, Sums]:
        """The data, packed; as bytes, and not as views that end with the next piece."""
        crc = size = compressed = 0
        pieces = iter(self.payload)
        try:
            for piece in pieces:
                crc = zlib.crc32(piece, crc)
                size += len(piece)
                packed = pack(piece)
                if packed:
                    compressed += len(packed)
                    yield packed
                    if self.may_wait:
                        yield b""
        finally:
            close_if_it_can(pieces)
        rest = finish()
        yield rest
        return Sums(crc, compressed + len(rest), size)


def _deflating(size: int | None) -> tuple[Callable[[Buffer], bytes], Callable[[], bytes]]:
    """A raw deflater for so many bytes; None is unknown.

    One with a window that is larger than small data gives the same bytes, and may take longer to
    make than all the rest: 28 µs with a full window, 7 µs with what 2 KB need (zlib 1.2.13).
    """
    # zlib looks back by the window less 262 bytes; a block of symbols has room for 64 << level.
    bits = 15 if size is None else min(15, max(10, (size + 262).bit_length()))
    deflater = zlib.compressobj(_LEVEL, zlib.DEFLATED, -bits, min(8, bits - 6))
    return deflater.compress, deflater.flush
