"""Files: read and write at a position, replace a file atomically, describe a region of a file.

Windows lacks ``pread``, ``preadv``, ``pwrite``, ``fchmod``, ``O_NONBLOCK``, ``O_NOFOLLOW`` and
descriptors of folders. This module replaces a missing name by portable code, once, at import.

The code depends on these facts about Windows. It neither deletes nor replaces a file that is open.
Without O_BINARY, ``os.open`` translates line ends. ``DirEntry.stat()`` has no inode and no device,
but ``os.stat()`` has both (docs of ``os``).
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from errno import EEXIST, ELOOP, ENOENT
from threading import RLock
from typing import TYPE_CHECKING, Any, NamedTuple

from restkit.io.buffers import Buffer

if TYPE_CHECKING:
    import io


CHUNK_SIZE = 256 * 1024
"""The number of bytes that one read of a file asks for."""


MAX_STEP = 2**31 - 1
"""The largest number of bytes of one read or write; macOS refuses more (INT_MAX)."""

_DIRECTORY: int | None = getattr(os, "O_DIRECTORY", None)
_NO_LINK: int | None = getattr(os, "O_NOFOLLOW", None)
_BINARY: int = getattr(os, "O_BINARY", 0)  # exists on Windows only

MOVES_OPEN_FILES = os.name != "nt"
"""Whether an open file can be renamed and removed."""

positions_lock = RLock()
"""The lock that portable functions hold while they change or read the position of a file.

It is reentrant, because a signal handler may read a file while its thread holds the lock.
"""


@contextmanager
def _moved_to(descriptor: int, position: int) -> Iterator[None]:
    """Move the position of a file for the block, and restore it; one thread at a time."""
    with positions_lock:
        before = os.lseek(descriptor, 0, os.SEEK_CUR)
        os.lseek(descriptor, position, os.SEEK_SET)
        try:
            yield
        finally:
            os.lseek(descriptor, before, os.SEEK_SET)


def _seek_and_read(descriptor: int, size: int, position: int, /) -> bytes:
    with _moved_to(descriptor, position):
        return os.read(descriptor, size)


def _seek_and_write(descriptor: int, data: Buffer, position: int, /) -> int:
    with _moved_to(descriptor, position):
        return os.write(descriptor, data)


def _read_and_copy(descriptor: int, views: Sequence[memoryview], position: int, /) -> int:
    done = 0
    for view in views:
        data = pread(descriptor, len(view), position + done)
        view[: len(data)] = data
        done += len(data)
        if len(data) < len(view):
            break
    return done


def _keep_mode(descriptor: int, mode: int, /) -> None:
    """Do nothing: the system has no mode of an open file."""


pread: Callable[[int, int, int], bytes] = getattr(os, "pread", _seek_and_read)
"""Read from a position, ``pread(descriptor, size, position)``; the file keeps its position."""

preadv: Callable[[int, Sequence[memoryview], int], int] = getattr(os, "preadv", _read_and_copy)
"""Read from a position into views; return the number of bytes."""

pwrite: Callable[[int, Buffer, int], int] = getattr(os, "pwrite", _seek_and_write)
"""Write at a position; return the number of bytes. The file keeps its position."""

fchmod: Callable[[int, int], None] = getattr(os, "fchmod", _keep_mode)
"""Change the mode of an open file, where files have modes."""


class Region(NamedTuple):
    """A part of a regular file, given by offset and length, for ``pread`` and ``sendfile``."""

    file: Any
    start: int
    length: int

    def skip(self, count: int) -> Region:
        """Return the region without its first ``count`` bytes."""
        return Region(self.file, self.start + count, self.length - count)

    def chunks(self) -> Iterator[bytes]:
        """Yield the bytes, up to the current end of the file. The position of the file is kept."""
        position, end = self.start, self.start + self.length
        # Get the descriptor each time: after a close, another file may have the same number.
        while position < end:
            size = min(CHUNK_SIZE, end - position)
            chunk = pread(self.file.fileno(), size, position)
            if not chunk:
                return
            yield chunk
            position += len(chunk)


def write_all(file: io.FileIO, data: Buffer) -> None:
    """Write all of ``data`` to a raw file. One ``write`` of a raw file may write only a part."""
    with memoryview(data) as view:
        done = file.write(view)
        while done < len(view):
            done += file.write(view[done:])


def write_all_at(descriptor: int, data: Buffer, position: int) -> None:
    """Write all of ``data`` at a position. One ``pwrite`` may write only a part."""
    with memoryview(data) as view:
        done = 0
        while done < len(view):
            done += pwrite(descriptor, view[done : done + MAX_STEP], position + done)


def is_blocking(descriptor: int) -> bool:
    """Return whether reading from a file waits until something has arrived."""
    get_blocking = getattr(os, "get_blocking", None)
    # Windows has it since Python 3.12, for pipes only.
    with suppress(OSError):
        return get_blocking is None or get_blocking(descriptor)
    return True


def has_blocks(status: os.stat_result) -> bool:
    """Return whether a file has blocks on a disk; True if the system does not count blocks.

    A file without blocks is empty or sparse, or its file system reports a wrong size.
    """
    blocks: int | None = getattr(status, "st_blocks", None)
    return blocks is None or blocks > 0


def open_without_blocking(path: str, flags: int) -> int:
    """Open a file without waiting, also if it is a pipe."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0) | _BINARY)


class Folder(NamedTuple):
    """An open folder: its status, and an iterator of its entries."""

    status: os.stat_result
    entries: Iterator[os.DirEntry[str]]


@contextmanager
def open_folder(path: str) -> Iterator[Folder]:
    """Open a folder; return its status and its entries.

    Both belong to the same folder, except on systems without descriptors of folders: there,
    another folder may replace it in between.
    """
    if _DIRECTORY is None:
        with os.scandir(path) as entries:
            yield Folder(os.stat(path), entries)
        return
    descriptor = os.open(path, os.O_RDONLY | _DIRECTORY)
    try:
        # While the descriptor is open, an entry's stat() uses it instead of a path.
        with os.scandir(descriptor) as entries:
            yield Folder(os.fstat(descriptor), entries)
    finally:
        os.close(descriptor)


def get_entry_status(entry: os.DirEntry[str]) -> os.stat_result:
    """Return the status of an entry of an open folder; a link is not followed."""
    return os.lstat(entry.path) if _DIRECTORY is None else entry.stat(follow_symlinks=False)


# Files below a folder, reached without a symbolic link. The folder itself may be a link.


class _Place(NamedTuple):
    """A name for ``os.open`` and ``os.stat``: in the folder of a descriptor, or a whole path."""

    name: str
    folder: int | None


@contextmanager
def _walk(folder: str, names: Sequence[str]) -> Iterator[_Place]:
    """Find a name below a folder: open each folder by its name in the one before."""
    flags = os.O_RDONLY | (_DIRECTORY or 0)
    descriptor = os.open(folder, flags)
    try:
        for name in names[:-1]:
            inner = os.open(name, flags | (_NO_LINK or 0), dir_fd=descriptor)
            descriptor, outer = inner, descriptor
            os.close(outer)
        yield _Place(names[-1] if names else ".", descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _compare_real_path(folder: str, names: Sequence[str]) -> Iterator[_Place]:
    """Find a name below a folder; raise OSError if its real path differs, as it does for a link.

    Another program may still replace a folder by a link after this check.
    """
    path = os.path.join(os.path.realpath(folder), *names)
    if os.path.realpath(path) != path:
        raise OSError(ELOOP, os.strerror(ELOOP), path)
    yield _Place(path, None)


def _can_walk() -> bool:
    has_flags = _NO_LINK is not None and _DIRECTORY is not None
    return has_flags and {os.open, os.stat} <= os.supports_dir_fd and os.scandir in os.supports_fd


_find_below: Callable[[str, Sequence[str]], AbstractContextManager[_Place]] = (
    _walk if _can_walk() else _compare_real_path
)


def stat_below(folder: str, names: Sequence[str]) -> os.stat_result:
    """Return the status of the file at ``names`` below a folder, which may be a link itself."""
    with _find_below(folder, names) as place:
        return os.stat(place.name, dir_fd=place.folder, follow_symlinks=False)


def open_below(folder: str, names: Sequence[str], flags: int = os.O_RDONLY) -> int:
    """Open the regular file at ``names`` below a folder, without waiting; return its descriptor.

    Each name must be that of one file: not empty, ``.`` or ``..``, and without separators. Raises
    OSError for a symbolic link among them, and for any file that is not regular, such as a FIFO or
    a device. With ``O_NOFOLLOW``, this holds also if a folder is replaced by a link meanwhile.
    """
    flags |= (_NO_LINK or 0) | getattr(os, "O_NONBLOCK", 0) | _BINARY
    with _find_below(folder, names) as place:
        # Opening a device may have an effect, so check the type first.
        status = os.stat(place.name, dir_fd=place.folder, follow_symlinks=False)
        _check_regular(status, place.name)
        descriptor = os.open(place.name, flags, dir_fd=place.folder)
    try:
        _check_regular(os.fstat(descriptor), place.name)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _check_regular(status: os.stat_result, name: str) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise FileNotFoundError(ENOENT, "not a regular file", name)


@contextmanager
def open_folder_below(folder: str, names: Sequence[str]) -> Iterator[Iterator[os.DirEntry[str]]]:
    """Open the folder at ``names`` below a folder; yield its entries. See ``open_below``."""
    with _find_below(folder, names) as place:
        if place.folder is None:
            with os.scandir(place.name) as entries:
                yield entries
            return
        flags = os.O_RDONLY | (_DIRECTORY or 0) | (_NO_LINK or 0)
        descriptor = os.open(place.name, flags, dir_fd=place.folder)
    try:
        with os.scandir(descriptor) as entries:
            yield entries
    finally:
        os.close(descriptor)


def sync_folder(path: str) -> None:
    """Flush the entries of a folder to the disk, if the system can open folders."""
    if _DIRECTORY is None:
        return
    descriptor = os.open(path, os.O_RDONLY | _DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def is_special_file(path: str) -> bool:
    """Return whether a path exists and is not a regular file, such as a device, pipe or folder.

    A device or a pipe can be written to, and must not be replaced.
    """
    return os.path.exists(path) and not os.path.isfile(path)


@contextmanager
def open_target(path: str, name_in_errors: str | None = None) -> Iterator[io.FileIO]:
    """Open a file whose bytes replace those of ``path``; a device or a pipe is written to.

    See ``replace_file``.
    """
    if is_special_file(path):
        with open(path, "wb", buffering=0) as file:
            yield file
    else:
        with replace_file(path, name_in_errors) as file:
            yield file


@contextmanager
def replace_file(path: str, name_in_errors: str | None = None) -> Iterator[io.FileIO]:
    """Yield a raw file to write, which replaces the file at ``path`` at the end of the block.

    The bytes go to a hidden file in the same folder, which is moved at the end. After an error, an
    existing file at ``path`` is unchanged and the hidden file is deleted. The new file has the mode
    of the one that it replaces. ``name_in_errors`` is the file name of an ``OSError``.
    """
    folder, name = os.path.split(path)
    with open_part_file(folder, name, name_in_errors or path) as (part_path, file):
        with suppress(FileNotFoundError):
            fchmod(file.fileno(), stat.S_IMODE(os.stat(path).st_mode) & 0o777)
        yield file
        file.close()
        os.replace(part_path, path)


@contextmanager
def open_part_file(folder: str, name: str, name_in_errors: str) -> Iterator[tuple[str, io.FileIO]]:
    """Create a hidden file; yield its path and the file, which the block closes and renames.

    The file is deleted if the block raises, also if an interrupt comes while it is created.
    """
    part_path = _choose_part_path(folder, name)
    while os.path.lexists(part_path):
        part_path = _choose_part_path(folder, name)
    try:
        try:
            # Not os.open: an interrupt could lose the number of the descriptor.
            file = open(part_path, "xb", buffering=0)  # noqa: SIM115  # closed below
        except OSError as exc:
            exc.filename = name_in_errors  # the caller does not know the name of the part file
            raise
        with file:
            yield part_path, file
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(part_path)
        raise


def _choose_part_path(folder: str, name: str) -> str:
    # A file name has at most 255 bytes, and one character may take four of them.
    return os.path.join(folder, f".{name[:50]}.{os.urandom(4).hex()}.part")


def create_part_file(folder: str, name: str, name_in_errors: str) -> tuple[str, int]:
    """Create a hidden file ``.name.1a2b3c4d.part``; return its path and its descriptor."""
    while True:
        part_path = _choose_part_path(folder, name)
        with suppress(FileExistsError):
            # The mode is that of a file made by open(): the umask of the process applies.
            try:
                flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | _BINARY
                return part_path, os.open(part_path, flags, 0o666)
            except OSError as exc:
                exc.filename = name_in_errors  # the caller does not know the name of the part file
                raise


def create_private_file(path: str) -> int:
    """Create a file that only its owner can read; return its descriptor."""
    return os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | _BINARY, 0o600)


def rename_to_new(part_path: str, path: str) -> None:
    """Rename a complete file; raise FileExistsError if another process has taken the name."""
    try:
        os.link(part_path, path)
    except FileExistsError:
        raise FileExistsError(EEXIST, os.strerror(EEXIST), path) from None
    except OSError:
        _rename_without_link(part_path, path)
    else:
        os.unlink(part_path)


def _rename_without_link(part_path: str, path: str) -> None:
    """Rename a complete file where there are no hard links. An empty file reserves the name."""
    try:
        open(path, "xb").close()
        os.replace(part_path, path)
    except FileExistsError:
        raise
    except BaseException:
        with suppress(FileNotFoundError):
            if not os.path.getsize(path):
                os.unlink(path)
        raise


def try_to_lock(descriptor: int) -> bool:
    """Lock an open file against other processes and threads; return False if it is locked.

    The lock ends when the file is closed. On Windows nothing is locked.
    """
    if sys.platform == "win32":
        return True
    else:  # mypy would find the rest unreachable on Windows
        import fcntl

        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:
            return True  # this file system has no locks
        return True


def unlock(descriptor: int) -> None:
    """End the lock of an open file, also for child processes that have inherited the file."""
    if sys.platform != "win32":
        import fcntl

        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_UN)


def is_same_file(descriptor: int, path: str) -> bool:
    """Return whether a path still names an open file."""
    with suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    return False
