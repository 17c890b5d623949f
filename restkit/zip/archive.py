"""Zip archives that are written while they are sent."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterable, Iterator, Sequence

from restkit.errors import PayloadNotReplayable
from restkit.io.buffers import Buffer
from restkit.io.files import CHUNK_SIZE
from restkit.payload.base import Payload, check_sendable
from restkit.zip.entry import ZipStreamFile
from restkit.zip.folder import Symlinks, find_files
from restkit.zip.member import Member
from restkit.zip.names import Deduplication, name_deduplicator_default, unique_names
from restkit.zip.records import COMPRESSION_METHOD_DEFLATE, Directory

_MIN_CHUNK = 64 * 1024  # smaller chunks are joined, as each one would be a packet of its own


class ZipStream(Payload):
    """A zip archive of ZipStreamFiles, written for each pass.

    The constructor takes all files and decides their names, so that a generator of files and a
    deduplicator that is a generator serve every pass. ``name_deduplicator``: a generator (see
    ``name_deduplicator_default``), or a function that makes one; None keeps duplicate names. The
    archive is replayable if every file is, and two passes over the same data give the same bytes.
    Its length is known if all files are stored and have a known length. An exception of a source
    passes through, and leaves an archive without an end.

    >>> ZipStream([ZipStreamFile('a.txt', b'some text', compression_method=0)])
    <ZipStream of 1 file 135 bytes, replayable>
    """

    headers = (("Content-Type", "application/zip"),)

    def __init__(
        self,
        files: Iterable[ZipStreamFile],
        *,
        name_deduplicator: Deduplication = name_deduplicator_default,
    ) -> None:
        self._members: list[Member] = []
        self._current: Payload | None = None
        names = []
        for file in _check_files(files):
            self._members.append(Member(file))
            names.append(file.name)
        self._rename(names, unique_names(names, name_deduplicator))
        self.length = _compute_length(self._members)
        self.replayable = all(member.payload.replayable for member in self._members)
        count = len(self._members)
        self.source = "of 1 file" if count == 1 else f"of {count} files"

    @classmethod
    def from_path(
        cls,
        folder: str | os.PathLike[str],
        *,
        compression_method: int = COMPRESSION_METHOD_DEFLATE,
        symlinks: Symlinks = "follow",
    ) -> ZipStream:
        """Return an archive of a folder at any depth: sorted, with times, modes, empty folders.

        The folder is searched now. Each file is opened when it is sent; it must still be the same
        file, with at least the same size. ``symlinks``: ``'follow'`` stores the target of a link,
        which must be in the folder; ``'keep'`` stores the link itself; ``'skip'`` leaves it out.
        Pipes, sockets and devices are left out. Raises OSError for a file that cannot be read,
        PayloadError for a link that leads out of the folder.

        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     ZipStream.from_path(folder)
        <ZipStream of 0 files 22 bytes, replayable>
        """
        return cls(find_files(folder, compression_method, symlinks), name_deduplicator=None)

    @property
    def waits_on(self) -> int | None:
        return None if self._current is None else self._current.waits_on

    def chunks(self) -> Iterator[Buffer]:
        return _join_small(self._archive_chunks())

    def _rename(self, names: Sequence[str], unique: Sequence[str]) -> None:
        for member, old, new in zip(self._members, names, unique, strict=True):
            if new != old:
                member.rename(new)

    def _archive_chunks(self) -> Generator[Buffer, None, None]:
        """Yield the archive; for an empty chunk see ``Member.chunks()``."""
        directory = Directory()
        try:
            for member in self._members:
                self._current = member.payload if member.may_block else None
                if member.may_block:
                    yield b""
                if member.is_small:
                    header, data, summary = member.read_small()
                    yield header
                    if data:
                        yield data
                    overhead = len(header)
                else:
                    summary, overhead = yield from member.chunks()
                directory.add(member.entry, summary, overhead)
        finally:
            self._current = None
        end = directory.encode()
        for at in range(0, len(end), CHUNK_SIZE):
            yield end[at : at + CHUNK_SIZE]


def stream_zip(
    files: Iterable[ZipStreamFile],
    *,
    name_deduplicator: Deduplication = name_deduplicator_default,
) -> ZipStream:
    """Return a ``ZipStream`` of the files, which is a payload and an iterable of bytes.

    >>> archive = b''.join(stream_zip([ZipStreamFile('a.txt', 'some text')]))
    """
    return ZipStream(files, name_deduplicator=name_deduplicator)


def create_zip_stream_resource(
    files: Iterable[ZipStreamFile],
    *,
    name_deduplicator: Deduplication = name_deduplicator_default,
) -> ZipStream:
    """Return a ``ZipStream`` of the files.

    In restkit 1 to 4, only this function made an archive that could be sent again, if its files
    could. ``stream_zip`` now does the same.

    >>> create_zip_stream_resource([ZipStreamFile('a.txt', 'some text')]).replayable
    True
    """
    return ZipStream(files, name_deduplicator=name_deduplicator)


def _check_files(files: Iterable[ZipStreamFile]) -> Iterator[ZipStreamFile]:
    """Yield the files. Check their type, and that a one-shot stream occurs only once."""
    one_shot: dict[int, object] = {}
    if not isinstance(files, Iterable):
        raise TypeError(f"files must be an iterable of ZipStreamFile; got {type(files).__name__}")
    for index, file in enumerate(files):
        if not isinstance(file, ZipStreamFile):
            raise TypeError(f"file {index} must be a ZipStreamFile; got {type(file).__name__}")
        if not file.payload.replayable:
            check_sendable(file.payload)
            if id(file.stream) in one_shot:
                raise PayloadNotReplayable(
                    f"the stream of {file.name!r} can be sent once, and another file uses it too"
                )
            one_shot[id(file.stream)] = file.stream
        yield file


def _compute_length(members: Iterable[Member]) -> int | None:
    """Return the length of the archive, or None if that of an entry is unknown."""
    directory = Directory()
    for member in members:
        if member.known_summary is None:
            return None
        directory.add(member.entry, member.known_summary, member.compute_overhead())
    return directory.compute_archive_length()


def _join_small(chunks: Generator[Buffer, None, None]) -> Iterator[Buffer]:
    """Yield the chunks; join small ones until one is large or empty."""
    held = bytearray()
    try:
        for chunk in chunks:
            if chunk and len(chunk) + len(held) < _MIN_CHUNK:
                held += chunk
                continue
            if held:
                yield held
                held = bytearray()
            if chunk:
                yield chunk
        if held:
            yield held
    finally:
        chunks.close()
