"""Payloads, their chunks, their sources, and a reader of archives."""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

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


class CustomPayload(Payload):
    """A payload of a user, with these chunks and this length."""

    def __init__(
        self, items: Iterable[Any], length: int | None = None, replayable: bool = False
    ) -> None:
        self.length = length
        self.replayable = replayable
        self._items = items
        self.closed = 0

    def chunks(self) -> Iterator[Buffer]:
        try:
            yield from self._items
        finally:
            self.closed += 1


class OnlyRead:
    """A file-like object whose only method read() returns these chunks."""

    def __init__(self, *chunks: object) -> None:
        self.left = [*chunks, b""]

    def read(self, size: int) -> object:
        return self.left.pop(0)


@contextmanager
def open_pipe(
    mode: str = "rb", buffering: int = -1, encoding: str | None = None
) -> Iterator[tuple[Any, int]]:
    """Yield the reading end as a file and the writing end as a descriptor the test may close."""
    reading, writing = os.pipe()
    with open(reading, mode, buffering, encoding) as reader:
        yield reader, writing
    with suppress(OSError):
        os.close(writing)


def split(data: bytes, size: int = 50_000) -> Iterator[bytes]:
    return (data[at : at + size] for at in range(0, len(data), size))


def make_payload(source: object) -> Payload:
    payload = as_payload(source)
    assert payload is not None
    return payload


def join_chunks(chunks: Iterable[Buffer]) -> bytes:
    """Join the chunks of one pass. Each one is copied: it is only valid until the next."""
    return b"".join([bytes(chunk) for chunk in chunks])


def list_chunks(payload: Payload) -> list[bytes]:
    """List the chunks of one pass. Each one is copied: it is only valid until the next."""
    return [bytes(chunk) for chunk in payload]


def content_type_of(payload: Payload) -> str:
    return dict(payload.headers)["Content-Type"]


def read_archive(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as read:
        assert read.testzip() is None
        return {info.filename: read.read(info) for info in read.infolist()}
