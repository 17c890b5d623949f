"""Archives in tests: what they are made of, and what a reader finds in them."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable, Iterator

from restkit.io.buffers import Buffer
from restkit.payload.base import Payload


class Sized(Payload):
    """Bytes of known length from elsewhere, in small pieces: neither a file nor in memory."""

    replayable = True

    def __init__(self, data: bytes, length: int | None = None) -> None:
        self.length = len(data) if length is None else length
        self.data = data
        self.passes = 0

    def chunks(self) -> Iterator[bytes]:
        self.passes += 1
        return in_pieces(self.data)


def in_pieces(data: bytes, size: int = 50_000) -> Iterator[bytes]:
    return (data[at : at + size] for at in range(0, len(data), size))


def joined(archive: Iterable[Buffer]) -> bytes:
    return b"".join([bytes(piece) for piece in archive])


def contents(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as read:
        assert read.testzip() is None
        return {info.filename: read.read(info) for info in read.infolist()}
