"""The kinds of payloads of the matrix: each with the bytes that a server must receive."""

from __future__ import annotations

import gzip
import io
import json
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from restkit import FormData, PayloadLengthError
from restkit.streaming import ResourceStreamFunction, ZipStream, ZipStreamFile
from support.payloads import join_chunks, make_payload

SIZES = {"small": 700, "medium": 70_000, "large": 600_000}
_ITEM = 9_973


class SourceFailed(Exception):
    """The failure of a source, which must reach the caller unchanged."""


@dataclass
class Given:
    """A payload as a caller gives it. ``expected`` is None if it must not arrive as a whole."""

    payload: object
    expected: bytes | None
    replayable: bool = True
    headers: dict[str, str] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)
    error: type[Exception] | None = None
    decode: Callable[[bytes], bytes] = bytes
    close: Callable[[], object] = bool

    @property
    def has_plain_bytes(self) -> bool:
        """Whether the payload is sent byte for byte."""
        return self.expected is not None and self.decode is bytes


def items(data: bytes) -> Iterator[bytes]:
    return (data[at : at + _ITEM] for at in range(0, len(data), _ITEM))


def _file(data: bytes, folder: Path) -> Path:
    path = folder / "payload.bin"
    path.write_bytes(data)
    return path


def _open_file(data: bytes, folder: Path) -> Given:
    file = _file(b"skipped" + data, folder).open("rb")
    file.seek(len(b"skipped"))
    return Given(file, data, close=file.close)


def _pipe(data: bytes, folder: Path) -> Given:
    reading, writing = os.pipe()
    reader = open(reading, "rb", 0)  # noqa: SIM115  # Given.close closes it

    def write() -> None:
        with suppress(BrokenPipeError), open(writing, "wb", 0) as writer:
            writer.writelines(items(data))

    thread = threading.Thread(target=write, daemon=True)
    thread.start()

    def close() -> None:
        reader.close()
        thread.join()

    return Given(reader, data, replayable=False, close=close)


def _failing(data: bytes, folder: Path) -> Given:
    def chunks() -> Iterator[bytes]:
        yield from items(data)
        raise SourceFailed

    return Given(chunks(), None, replayable=False, error=SourceFailed)


def _declared(change: int) -> Callable[[bytes, Path], Given]:
    def make(data: bytes, folder: Path) -> Given:
        length = {"Content-Length": str(len(data) + change)}
        error = PayloadLengthError if change else None
        expected = None if change else data
        return Given(items(data), expected, replayable=False, headers=length, error=error)

    return make


def _shrinking_file(data: bytes, folder: Path) -> Given:
    file = _file(data, folder).open("rb")
    length = {"Content-Length": str(len(data) + 5)}
    return Given(file, None, headers=length, error=PayloadLengthError, close=file.close)


def _form(data: bytes, folder: Path) -> Given:
    form = FormData()
    form.add_field("name", "value")
    form.add_field("file", data, file_name="a.bin")
    payload = make_payload(form)
    return Given(payload, join_chunks(payload))


def _archive(data: bytes, folder: Path) -> Given:
    archive = ZipStream([ZipStreamFile("a.bin", data)])
    return Given(archive, join_chunks(make_payload(archive)))


def _compressed(data: bytes, folder: Path) -> Given:
    return Given(data, data, options={"compress": "gzip"}, decode=gzip.decompress)


def _digested(data: bytes, folder: Path) -> Given:
    return Given(items(data), data, replayable=False, options={"content_digest": True})


def _json(data: bytes, folder: Path) -> Given:
    value = {"data": data.hex()}
    return Given(None, json.dumps(value).encode(), options={"json": value}, decode=_compact)


def _compact(data: bytes) -> bytes:
    return json.dumps(json.loads(data)).encode()


KINDS: dict[str, Callable[[bytes, Path], Given]] = {
    "none": lambda data, folder: Given(None, b""),
    "empty": lambda data, folder: Given(b"", b""),
    "bytes": lambda data, folder: Given(data, data),
    "memoryview": lambda data, folder: Given(memoryview(bytearray(data)), data),
    "text": lambda data, folder: Given(data.hex(), data.hex().encode()),
    "path": lambda data, folder: Given(_file(data, folder), data),
    "open file": _open_file,
    "BytesIO": lambda data, folder: Given(io.BytesIO(data), data),
    "list": lambda data, folder: Given(list(items(data)), data),
    "generator": lambda data, folder: Given(items(data), data, replayable=False),
    "spooled generator": lambda data, folder: Given(items(data), data, options={"spool": True}),
    "replayed generator": lambda data, folder: Given(
        items(data), data, options={"replay": "spool"}
    ),
    "callable": lambda data, folder: Given(lambda: items(data), data),
    "function stream": lambda data, folder: Given(
        ResourceStreamFunction(lambda: io.BytesIO(data))(), data
    ),
    "pipe": _pipe,
    "generator with its length": _declared(0),
    "generator that is too short": _declared(5),
    "generator that is too long": _declared(-5),
    "file that is too short": _shrinking_file,
    "generator that fails": _failing,
    "form": _form,
    "archive": _archive,
    "gzip": _compressed,
    "digest in a trailer": _digested,
    "json": _json,
}


def make(kind: str, size: str, rng: Random, folder: Path) -> Given:
    return KINDS[kind](rng.randbytes(SIZES[size]), folder)
