"""Rows 9 and 10: make archives as streams: many small files, and one large file.

Nothing is sent, because the peers do not send requests. All deflate at level 5: the peers with
zlib, and restkit with zlib-ng if it is installed, as by ``restkit[fast]``.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timezone

from benchmarks.row import AHEAD, Goal, KiB, Row, Target, Work

_SMALL = 2 * KiB
_CHUNK = 256 * KiB
_LEVEL = 5
_WHEN = datetime(2026, 11, 21, tzinfo=timezone.utc)

Streams = Iterator[tuple[str, bytes | Iterator[bytes]]]


def by_restkit(streams: Callable[[Target], Streams]) -> Callable[[Target], Work]:
    def peer(_: Target) -> Work:
        from restkit.streaming import ZipStreamFile, stream_zip

        def work(target: Target) -> int:
            files = (ZipStreamFile(name, stream) for name, stream in streams(target))
            return _read_all(stream_zip(files), target)

        return work

    return peer


def by_zipstream_ng(streams: Callable[[Target], Streams]) -> Callable[[Target], Work]:
    def peer(_: Target) -> Work:
        from zipstream import ZIP_DEFLATED, ZipStream

        def work(target: Target) -> int:
            archive = ZipStream(compress_type=ZIP_DEFLATED, compress_level=_LEVEL)
            for name, stream in streams(target):
                archive.add(stream, name)
            return _read_all(archive, target)

        return work

    return peer


def by_stream_zip(streams: Callable[[Target], Streams]) -> Callable[[Target], Work]:
    def peer(_: Target) -> Work:
        from stream_zip import ZIP_64, stream_zip

        def work(target: Target) -> int:
            files = ((name, _WHEN, 0o644, ZIP_64, _as_chunks(s)) for name, s in streams(target))
            return _read_all(stream_zip(files, get_compressobj=_compressor), target)

        return work

    return peer


def small(target: Target) -> Streams:
    """Yield the file of the target as files of 2 KiB, in memory."""
    with open(target.file, "rb") as file:
        for number in range(target.size // _SMALL):
            yield f"folder/{number:06}.bin", file.read(_SMALL)


def big(target: Target) -> Streams:
    """Yield the file of the target as one file."""
    yield "big.bin", _read_file(target)


def _as_chunks(stream: bytes | Iterator[bytes]) -> Iterator[bytes]:
    return iter([stream]) if isinstance(stream, bytes) else stream


def _read_file(target: Target) -> Iterator[bytes]:
    left = target.size
    with open(target.file, "rb") as file:
        while left > 0 and (chunk := file.read(min(_CHUNK, left))):
            left -= len(chunk)
            yield chunk


def _compressor() -> object:
    return zlib.compressobj(_LEVEL, zlib.DEFLATED, -15)


def _read_all(archive: Iterable[bytes], target: Target) -> int:
    size = sum(map(len, archive))
    # The data compresses to half its size: a smaller archive is incomplete.
    return target.size if size * 2 > target.size else size


def _row(name: str, title: str, streams: Callable[[Target], Streams], share: float) -> Row:
    return Row(
        name=name,
        title=title,
        kind="up",
        share=share,
        text=True,
        peers={
            "restkit": by_restkit(streams),
            "zipstream-ng": by_zipstream_ng(streams),
            "stream-zip": by_stream_zip(streams),
        },
        goals=(Goal("restkit", "zipstream-ng", AHEAD), Goal("restkit", "stream-zip", AHEAD)),
    )


SMALL = _row("zip-small", "an archive of {size} in files of 2 KiB", small, 20 / 1024)
BIG = _row("zip-big", "an archive of one file of {size}", big, 1 / 4)
