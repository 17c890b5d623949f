"""Payloads, their chunks, and a reader of archives."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable, Iterator

from restkit.io.buffers import Buffer
from restkit.payload.base import Payload
from restkit.payload.convert import as_payload


class SizedPayload(Payload):
    """Bytes of known length in small chunks: neither a file nor in memory."""

    replayable = True

    def __init__(self, data: bytes, length: int | None = None) -> None:
        self.length = len(data) if length is None else length
        self.data = data
        self.passes = 0

    def chunks(self) -> Iterator[bytes]:
        self.passes += 1
        return split(self.data)


def split(data: bytes, size: int = 50_000) -> Iterator[bytes]:
    return (data[at : at + size] for at in range(0, len(data), size))


def make_payload(source: object) -> Payload:
    payload = as_payload(source)
    assert payload is not None
    return payload


def join_chunks(chunks: Iterable[Buffer]) -> bytes:
    """Join the chunks of one pass. Each one is copied: it is only valid until the next."""
    return b"".join([bytes(chunk) for chunk in chunks])


def read_archive(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as read:
        assert read.testzip() is None
        return {info.filename: read.read(info) for info in read.infolist()}
