"""Add the files of a folder.

The files of a folder, for an archive: sorted, with their times and modes, and no others.
"""

from __future__ import annotations

import io
import os
import stat
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

from restkit.errors import PayloadError
from restkit.io.files import BLOCK, Region
from restkit.payload.convert import as_payload
from restkit.payload.files import RegularPayload
from restkit.zip.entry import ZipStreamFile

if TYPE_CHECKING:
    from collections.abc import Iterator

    from restkit.io.buffers import Buffer
    from restkit.payload.base import Payload


Symlinks: TypeAlias = Literal["follow", "keep", "skip"]
"""What becomes of symbolic links in a folder."""

_Identity: TypeAlias = tuple[int, int, int]
"""Of a file, whatever its name: device, number there, and kind; numbers are used again."""

_CHOICES = ("follow", "keep", "skip")
_ARCHIVED = (stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK)
_LAST_SECOND = 4354819198  # that of 2107 in which archives' clocks stop


def files_of(
    folder: str | os.PathLike[str], compression_method: int, symlinks: Symlinks
) -> Iterator[ZipStreamFile]:
    """Every file and folder beneath a folder, by name; what is neither is left out.

    Raises the OSError of what cannot be read, PayloadError for a link that is to be followed out
    of the folder, or round and round in it.
    """
    if symlinks not in _CHOICES:
        raise PayloadError(f"symlinks={symlinks!r}: one of {', '.join(_CHOICES)} is wanted")
    root = os.path.realpath(os.fsdecode(folder))
    walk = _Walk(root, compression_method, symlinks)
    todo = walk.inside(_found("", root, os.stat(root), ()))
    while todo:
        found = todo.pop()
        yield walk.file(found)
        if stat.S_ISDIR(found.mode):
            todo += walk.inside(found)


class _Found(NamedTuple):
    """``above``: which folders it is in, so that no link leads back into one of them.

    A whole ``stat_result`` would take as much memory as all else that an archive keeps of a file.
    """

    name: str
    path: str
    mode: int
    size: int
    on_disk: bool
    seconds: int
    identity: _Identity
    above: tuple[_Identity, ...]


def _found(name: str, path: str, status: os.stat_result, above: tuple[_Identity, ...]) -> _Found:
    return _Found(
        name,
        path,
        status.st_mode,
        status.st_size,
        status.st_blocks > 0,
        int(status.st_mtime),
        _identity(status),
        above,
    )


class _Walk(NamedTuple):
    root: str
    compression_method: int
    symlinks: Symlinks

    def inside(self, folder: _Found) -> list[_Found]:
        """What is in a folder, the last name first."""
        above = (*folder.above, folder.identity)
        number = os.open(folder.path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            _refuse_another(number, folder.path, folder.identity)
            with os.scandir(number) as entries:
                # While the folder is open, these ask in it, and not by a path.
                found = [self._entry(folder, above, entry) for entry in entries]
        finally:
            os.close(number)
        return sorted(filter(None, found), key=_name, reverse=True)

    def _entry(
        self, folder: _Found, above: tuple[_Identity, ...], entry: os.DirEntry[str]
    ) -> _Found | None:
        path = f"{folder.path}/{entry.name}"
        name = folder.name + entry.name
        if entry.is_symlink() and self.symlinks != "keep":
            if self.symlinks == "skip":
                return None
            path = self._followed(path)
            status = os.stat(path)
        else:
            status = entry.stat(follow_symlinks=False)
        kind = stat.S_IFMT(status.st_mode)
        if kind not in _ARCHIVED:
            return None
        if kind == stat.S_IFDIR:
            name += "/"
        found = _found(name, path, status, above)
        if found.identity in above:
            raise PayloadError(f"the link {name!r} in {self.root!r} leads back above itself")
        return found

    def _followed(self, path: str) -> str:
        real = os.path.realpath(path, strict=True)
        if os.path.commonpath((self.root, real)) != self.root:
            raise PayloadError(
                f"the link {path!r} leads out of {self.root!r}, to {real!r}: symlinks='keep' "
                "stores the link itself, symlinks='skip' leaves it out"
            )
        return real

    def file(self, found: _Found) -> ZipStreamFile:
        # Some disks hold times that datetime does not; no archive has any beyond these.
        seconds = min(max(found.seconds, 0), _LAST_SECOND)
        return ZipStreamFile(
            found.name,
            _payload_of(found),
            compression_method=self.compression_method,
            modified_at=datetime.fromtimestamp(seconds, timezone.utc),
            mode=found.mode,
        )


class _FolderFile(RegularPayload):
    """A file that was found in a folder: opened for each pass, if it is the same still."""

    def __init__(self, found: _Found) -> None:
        self.length = found.size
        self._path = found.path
        self._identity = found.identity

    @property
    def source(self) -> str:  # type: ignore[override]  # nobody sets it, and most are never shown
        return repr(self._path)

    @contextmanager
    def region(self) -> Iterator[Region]:
        with io.FileIO(self._path, opener=_at_once) as file:
            _refuse_another(file.fileno(), self._path, self._identity)
            yield Region(file, 0, self.length)

    def __iter__(self) -> Iterator[Buffer]:
        if self.length <= BLOCK:
            data = self._small()
            if len(data) == self.length:
                self._started = True
                return iter((data,) if data else ())
        return super().__iter__()

    def _small(self) -> bytes:
        """All of it, by one read: what goes around that would cost more than the reading."""
        number = _at_once(self._path, os.O_RDONLY)
        try:
            _refuse_another(number, self._path, self._identity)
            return os.read(number, self.length)
        finally:
            os.close(number)


def _payload_of(found: _Found) -> Payload | bytes:
    if stat.S_ISDIR(found.mode):
        return b""
    if stat.S_ISLNK(found.mode):
        return os.fsencode(os.readlink(found.path))
    if not found.on_disk:
        # Without a block of its own: it is empty, or of /proc, and has no size to tell.
        payload = as_payload(Path(found.path))
        if payload is not None and payload.length is None:
            return payload
    return _FolderFile(found)


def _at_once(path: str, flags: int) -> int:
    """Open a file, or what has taken its place: a pipe would be waited for."""
    return os.open(path, flags | os.O_NONBLOCK)


def _refuse_another(number: int, path: str, identity: _Identity) -> None:
    """A path may lead elsewhere by now: out of the folder, if a link has been put on it."""
    if _identity(os.fstat(number)) != identity:
        raise PayloadError(f"{path!r} is not what it was when its folder was looked through")


def _identity(status: os.stat_result) -> _Identity:
    return status.st_dev, status.st_ino, stat.S_IFMT(status.st_mode)


def _name(found: _Found) -> str:
    return found.name
