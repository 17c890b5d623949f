"""Find the files of a folder for an archive: sorted, with their times and modes."""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from operator import attrgetter
from pathlib import Path
from typing import Literal, NamedTuple, TypeAlias

from restkit.errors import PayloadError
from restkit.io.buffers import Buffer
from restkit.io.files import (
    CHUNK_SIZE,
    Region,
    get_entry_status,
    has_blocks,
    open_folder,
    open_without_blocking,
)
from restkit.payload.base import Payload
from restkit.payload.convert import as_payload
from restkit.payload.files import RegularPayload
from restkit.zip.entry import ZipStreamFile

Symlinks: TypeAlias = Literal["follow", "keep", "skip"]
"""The treatment of symbolic links in a folder."""

_Identity: TypeAlias = tuple[int, int, int]
"""The identity of a file: device, inode and type. The type is included as inodes are reused."""

_SYMLINK_CHOICES = ("follow", "keep", "skip")
_ARCHIVED_TYPES = (stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK)
_LAST_SECOND = 4354819198  # 2107-12-31 23:59:58, the last time in an archive


def find_files(
    folder: str | os.PathLike[str], compression_method: int, symlinks: Symlinks
) -> Iterator[ZipStreamFile]:
    """Yield all files and folders in a folder, sorted by name.

    Raises OSError for a file that cannot be read. Raises PayloadError for a link that leads out of
    the folder, or back into a folder that contains it.
    """
    if symlinks not in _SYMLINK_CHOICES:
        choices = ", ".join(_SYMLINK_CHOICES)
        raise PayloadError(f"symlinks must be one of {choices}; got {symlinks!r}")
    root = os.path.realpath(os.fsdecode(folder))
    search = _Search(root, compression_method, symlinks)
    pending = search.list_folder(_make_found_file("", root, os.stat(root), ()))
    while pending:
        found = pending.pop()
        yield search.make_file(found)
        if stat.S_ISDIR(found.mode):
            pending += search.list_folder(found)


class _FoundFile(NamedTuple):
    """A file that was found. A ``stat_result`` would double the memory that an archive uses.

    ``parents``: the folders that contain it, so that no link leads back into one of them.
    """

    name: str
    path: str
    mode: int
    size: int
    has_blocks: bool
    modified: int
    identity: _Identity
    parents: tuple[_Identity, ...]


def _make_found_file(
    name: str, path: str, status: os.stat_result, parents: tuple[_Identity, ...]
) -> _FoundFile:
    return _FoundFile(
        name,
        path,
        status.st_mode,
        status.st_size,
        has_blocks(status),
        int(status.st_mtime),
        _get_identity(status),
        parents,
    )


class _Search(NamedTuple):
    """The search of one folder, with its options."""

    root: str
    compression_method: int
    symlinks: Symlinks

    def list_folder(self, folder: _FoundFile) -> list[_FoundFile]:
        """Return the content of a folder, sorted by name in reverse."""
        parents = (*folder.parents, folder.identity)
        with open_folder(folder.path) as opened:
            _check_identity(opened.status, folder.path, folder.identity)
            found = [self._find(folder, parents, entry) for entry in opened.entries]
        return sorted(filter(None, found), key=attrgetter("name"), reverse=True)

    def _find(
        self, folder: _FoundFile, parents: tuple[_Identity, ...], entry: os.DirEntry[str]
    ) -> _FoundFile | None:
        path = f"{folder.path}/{entry.name}"
        name = folder.name + entry.name
        if entry.is_symlink() and self.symlinks != "keep":
            if self.symlinks == "skip":
                return None
            path = self._resolve_link(path)
            status = os.stat(path)
        else:
            status = get_entry_status(entry)
        file_type = stat.S_IFMT(status.st_mode)
        if file_type not in _ARCHIVED_TYPES:
            return None
        if file_type == stat.S_IFDIR:
            name += "/"
        found = _make_found_file(name, path, status, parents)
        if found.identity in parents:
            raise PayloadError(
                f"the link {name!r} in {self.root!r} leads back to a folder that contains it"
            )
        return found

    def _resolve_link(self, path: str) -> str:
        target = os.path.realpath(path, strict=True)
        if os.path.commonpath((self.root, target)) != self.root:
            raise PayloadError(
                f"the link {path!r} leads out of {self.root!r}, to {target!r}: use symlinks='keep' "
                "to store the link itself, or symlinks='skip' to leave it out"
            )
        return target

    def make_file(self, found: _FoundFile) -> ZipStreamFile:
        # Some disks hold times that datetime does not, and an archive ends in 2107.
        seconds = min(max(found.modified, 0), _LAST_SECOND)
        return ZipStreamFile(
            found.name,
            _make_payload(found),
            compression_method=self.compression_method,
            modified_at=datetime.fromtimestamp(seconds, timezone.utc),
            mode=found.mode,
        )


def _make_payload(found: _FoundFile) -> Payload | bytes:
    if stat.S_ISDIR(found.mode):
        return b""
    if stat.S_ISLNK(found.mode):
        return os.fsencode(os.readlink(found.path))
    if not found.has_blocks:
        # A file without blocks is empty, or its size says nothing, as in /proc.
        payload = as_payload(Path(found.path))
        if payload is not None and payload.length is None:
            return payload
    return _FolderFile(found)


class _FolderFile(RegularPayload):
    """A file found in a folder. Each pass opens it, and checks that it is the same file."""

    def __init__(self, found: _FoundFile) -> None:
        self.length = found.size
        self._path = found.path
        self._identity = found.identity

    @property
    def source(self) -> str:  # type: ignore[override]  # nobody sets it, and most are never shown
        return repr(self._path)

    @contextmanager
    def region(self) -> Iterator[Region]:
        with io.FileIO(self._path, opener=open_without_blocking) as file:
            _check_identity(os.fstat(file.fileno()), self._path, self._identity)
            yield Region(file, 0, self.length)

    def __iter__(self) -> Iterator[Buffer]:
        if self.length <= CHUNK_SIZE:
            data = self._read_small()
            if len(data) == self.length:
                self._started = True
                return iter((data,) if data else ())
        return super().__iter__()

    def _read_small(self) -> bytes:
        """Return the whole file from one read: the checked pass would cost more than the read."""
        descriptor = open_without_blocking(self._path, os.O_RDONLY)
        try:
            _check_identity(os.fstat(descriptor), self._path, self._identity)
            return os.read(descriptor, self.length)
        finally:
            os.close(descriptor)


def _check_identity(status: os.stat_result, path: str, identity: _Identity) -> None:
    """Raise PayloadError if the path leads to another file now, perhaps outside of the folder."""
    if _get_identity(status) != identity:
        raise PayloadError(f"{path!r} was replaced after its folder was searched")


def _get_identity(status: os.stat_result) -> _Identity:
    return status.st_dev, status.st_ino, stat.S_IFMT(status.st_mode)
