"""Zip archives that are written while they are sent.

Archives that do not exist: made while they are sent, as often as their files can be.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from restkit.errors import PayloadNotReplayable
from restkit.io.files import BLOCK
from restkit.payload.base import Payload, check_sendable
from restkit.zip.entry import ZipStreamFile
from restkit.zip.folder import files_of
from restkit.zip.member import Member
from restkit.zip.names import name_deduplicator_default, unique_names
from restkit.zip.records import COMPRESSION_METHOD_DEFLATE, Directory

if TYPE_CHECKING:
    import os
    from collections.abc import Generator, Iterable, Iterator, Sequence

    from restkit.io.buffers import Buffer
    from restkit.zip.folder import Symlinks
    from restkit.zip.names import Deduplication


_GATHERED = 64 * 1024  # smaller pieces go together: each by itself is a packet of its own


class ZipStream(Payload):
    """A zip archive of ZipStreamFiles, made anew for each pass.

    The files are asked for, and their names decided, when it is made, so that a generator of files
    and a deduplicator that is a generator serve every pass. ``name_deduplicator``: a generator
    (see ``name_deduplicator_default``), or a function that makes one; None keeps names that
    occur twice. The archive is replayable when every file is, and two passes over the same data
    give the same bytes. Its length is known where all files are stored and of known length. What a
    source raises passes through, and leaves an archive without an end.

    >>> ZipStream([ZipStreamFile('a.txt', b'some text', compression_method=0)])
    <ZipStream of 1 file 143 bytes, replayable>
    """

    headers = (("Content-Type", "application/zip"),)

    def __init__(
        self,
        files: Iterable[ZipStreamFile],
        *,
        name_deduplicator: Deduplication = name_deduplicator_default,
    ) -> None:
        self._members: list[Member] = []
        self._asked: Payload | None = None
        names = []
        for file in _checked(files):
            self._members.append(Member(file))
            names.append(file.name)
        self._rename(names, unique_names(names, name_deduplicator))
        self.length = _length_of(self._members)
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
        """What is in a folder, at any depth, sorted, with times and modes, empty folders too.

        It is looked through now; a file is opened when its turn comes, and has to be the one that
        was seen, of at least the size that it had. ``symlinks``: ``'follow'`` takes what a link
        leads to, which must be in the folder; ``'keep'`` stores the link itself; ``'skip'`` leaves
        it out. Pipes, sockets and devices are left out. Raises the OSError of what cannot be
        looked at, PayloadError for a link that leads out of the folder.
        """
        return cls(files_of(folder, compression_method, symlinks), name_deduplicator=None)

    @property
    def waits_on(self) -> int | None:
        return None if self._asked is None else self._asked.waits_on

    def chunks(self) -> Iterator[Buffer]:
        return _gathered(self._pieces())

    def _rename(self, names: Sequence[str], unique: Sequence[str]) -> None:
        for member, old, new in zip(self._members, names, unique, strict=True):
            if new != old:
                member.rename(new)

    def _pieces(self) -> Generator[Buffer, None, None]:
        """All that the archive has; an empty piece says what it says in ``Member.pieces()``."""
        directory = Directory()
        try:
            for member in self._members:
                self._asked = member.payload if member.may_wait else None
                if member.may_wait:
                    yield b""
                if member.small:
                    header, data, sums = member.whole()
                    yield header
                    if data:
                        yield data
                    around = len(header)
                else:
                    sums, around = yield from member.pieces()
                directory.add(member.entry, sums, around)
        finally:
            self._asked = None
        end = directory.whole()
        for at in range(0, len(end), BLOCK):
            yield end[at : at + BLOCK]


def stream_zip(
    files: Iterable[ZipStreamFile],
    *,
    name_deduplicator: Deduplication = name_deduplicator_default,
) -> ZipStream:
    """The archive of these files, as a payload, and as an iterable of bytes: a ``ZipStream``.

    >>> archive = b''.join(stream_zip([ZipStreamFile('a.txt', 'some text')]))
    """
    return ZipStream(files, name_deduplicator=name_deduplicator)


def create_zip_stream_resource(
    files: Iterable[ZipStreamFile],
    *,
    name_deduplicator: Deduplication = name_deduplicator_default,
) -> ZipStream:
    """The original's name for an archive that can be sent again, if its files can: a ``ZipStream``.

    With ``stream_zip`` the original had one pass; here both are the same.
    """
    return ZipStream(files, name_deduplicator=name_deduplicator)


def _checked(files: Iterable[ZipStreamFile]) -> Iterator[ZipStreamFile]:
    """These, if they are files, and what can be sent once is asked for once."""
    once: dict[int, object] = {}
    for index, file in enumerate(files):
        if not isinstance(file, ZipStreamFile):
            raise TypeError(
                f"file {index} is of type {type(file).__name__}; ZipStreamFile is wanted"
            )
        if not file.payload.replayable:
            check_sendable(file.payload)
            if id(file.stream) in once:
                raise PayloadNotReplayable(
                    f"the stream of {file.name!r} can be sent once, and is another file's already"
                )
            once[id(file.stream)] = file.stream
        yield file


def _length_of(members: Iterable[Member]) -> int | None:
    """How long the archive will be, by making all of it but the data; None if that is not known."""
    directory = Directory()
    for member in members:
        if member.foreseen is None:
            return None
        directory.add(member.entry, member.foreseen, member.around())
    return directory.archive_length()


def _gathered(pieces: Generator[Buffer, None, None]) -> Iterator[Buffer]:
    """The pieces, small ones together, as long as none of them has to leave."""
    held = bytearray()
    try:
        for piece in pieces:
            if piece and len(piece) + len(held) < _GATHERED:
                held += piece
                continue
            if held:
                yield held
                held = bytearray()
            if piece:
                yield piece
        if held:
            yield held
    finally:
        pieces.close()
