"""The files of a folder, for an archive: sorted, with their times and modes, and no others."""

from __future__ import annotations

import io
import os
import stat
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

from restkit.door import as_payload
from restkit.errors import PayloadError
from restkit.files import BLOCK, Region, RegularPayload
from restkit.streaming.zip_entry import ZipStreamFile

if TYPE_CHECKING:
    from collections.abc import Iterator

    from restkit.payload import Buffer, Payload

Symlinks: TypeAlias = Literal["follow", "keep", "skip"]
"""What becomes of symbolic links in a folder."""

_Identity: TypeAlias = tuple[int, int]
"""Of a file, whatever its name: its device, and its number there."""

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
    root = os.path.realpath(os.fspath(folder))
    walk = _Walk(root, compression_method, symlinks)
    todo = walk.inside(_Found("", root, os.stat(root), ()))
    while todo:
        found = todo.pop()
        yield walk.file(found)
        if stat.S_ISDIR(found.status.st_mode):
            todo += walk.inside(found)


class _Found(NamedTuple):
    """``above``: which folders it is in, so that no link leads back into one of them."""

    name: str
    path: str
    status: os.stat_result
    above: tuple[_Identity, ...]


class _Walk(NamedTuple):
    root: str
    compression_method: int
    symlinks: Symlinks

    def inside(self, folder: _Found) -> list[_Found]:
        """What is in a folder, the last name first."""
        above = (*folder.above, _identity(folder.status))
        number = os.open(folder.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            _refuse_another(number, folder.path, above[-1])
            with os.scandir(number) as entries:
                # While the folder is open, these ask in it, and not by a path.
                found = [self._found(folder, above, entry) for entry in entries]
        finally:
            os.close(number)
        return sorted(filter(None, found), key=_name, reverse=True)

    def _found(
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
        if kind == stat.S_IFDIR:
            if _identity(status) in above:
                raise PayloadError(f"the link {name!r} in {self.root!r} leads back above itself")
            name += "/"
        return _Found(name, path, status, above) if kind in _ARCHIVED else None

    def _followed(self, path: str) -> str:
        real = os.path.realpath(path, strict=True)
        if os.path.commonpath((self.root, real)) != self.root:
            raise PayloadError(
                f"the link {path!r} leads out of {self.root!r}, to {real!r}: symlinks='keep' "
                "stores the link itself, symlinks='skip' leaves it out"
            )
        return real

    def file(self, found: _Found) -> ZipStreamFile:
        return ZipStreamFile(
            found.name,
            _payload_of(found),
            compression_method=self.compression_method,
            modified_at=_time_of(found.status),
            mode=found.status.st_mode,
        )


class _FolderFile(RegularPayload):
    """A file that was found in a folder: opened for each pass, if it is the same still."""

    def __init__(self, path: str, status: os.stat_result) -> None:
        self.length = status.st_size
        self._path = path
        self._identity = _identity(status)

    @property
    def source(self) -> str:  # type: ignore[override]  # nobody sets it, and most are never shown
        return repr(self._path)

    @contextmanager
    def region(self) -> Iterator[Region]:
        with io.FileIO(self._path) as file:
            _refuse_another(file.fileno(), self._path, self._identity)
            yield Region(file, 0, self.length)

    def __iter__(self) -> Iterator[Buffer]:
        if self.length > BLOCK:
            return super().__iter__()
        # Of many small files, what goes around one read would cost more than all the rest.
        self._started = True
        with self.region() as region:
            data = b"".join(region.blocks())
        return iter((data,)) if len(data) == self.length else super().__iter__()


def _payload_of(found: _Found) -> Payload | bytes:
    if stat.S_ISDIR(found.status.st_mode):
        return b""
    if stat.S_ISLNK(found.status.st_mode):
        return os.fsencode(os.readlink(found.path))
    if not found.status.st_blocks:
        # Without a block of its own: it is empty, or of /proc, and has no size to tell.
        payload = as_payload(Path(found.path))
        if payload is not None and payload.length is None:
            return payload
    return _FolderFile(found.path, found.status)


def _refuse_another(number: int, path: str, identity: _Identity) -> None:
    """A path may lead elsewhere by now: out of the folder, if a link has been put on it."""
    if _identity(os.fstat(number)) != identity:
        raise PayloadError(f"{path!r} is not what it was when its folder was looked through")


def _identity(status: os.stat_result) -> _Identity:
    return status.st_dev, status.st_ino


def _time_of(status: os.stat_result) -> datetime:
    # Some disks hold times that datetime does not; no archive has any beyond these.
    seconds = min(max(int(status.st_mtime), 0), _LAST_SECOND)
    return datetime.fromtimestamp(seconds, timezone.utc)


def _name(found: _Found) -> str:
    return found.name
