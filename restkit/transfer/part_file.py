"""The file of an unfinished download, ``.NAME.part``, with its record ``.NAME.part.json``.

The order of writes makes it safe to end the process, or the system, at any moment. Bytes are on the
disk before the record counts them. The record is removed, also from the disk, before the first byte
of another version is written. The file gets its final name when all bytes are on the disk.
"""

from __future__ import annotations

import errno
import hashlib
import io
import os
import stat
from contextlib import suppress
from time import monotonic
from typing import Any

from restkit.content_digest.fields import make_hash
from restkit.errors import RequestError
from restkit.io.buffers import Buffer
from restkit.io.files import (
    CHUNK_SIZE,
    MOVES_OPEN_FILES,
    fchmod,
    is_same_file,
    pread,
    rename_to_new,
    sync_folder,
    try_to_lock,
    unlock,
    write_all_at,
)
from restkit.transfer.record import Record, Source, read_record, remove_record, write_record

SYNC_BYTES = 64 * 1024 * 1024
"""The number of bytes after which the record is written again."""

SYNC_SECONDS = 1.0
"""The number of seconds after which the record is written again."""

SMALL = 64 * 1024
"""A file of at most this size is neither recorded nor flushed to the disk, unless durable."""

_MAX_NAME = 200  # bytes of a name inside the name of a part file


class PartFile:
    """The bytes of a download to a path or into a folder, and their record.

    ``held`` is the number of bytes written. ``record`` is None before ``begin()``, unless an
    earlier download left its bytes. For a folder, ``name`` of the record is the file name.
    """

    def __init__(
        self, folder: str, name: str, source: Source, *, resume: bool, replace: bool, durable: bool
    ) -> None:
        # A folder has one part file for each URL, because the name of the file is not known yet.
        key = name or f"restkit-{hashlib.sha256(repr(source).encode()).hexdigest()[:16]}"
        self.folder = folder
        self._name = name
        self._part_path = os.path.join(folder, f".{_shorten(key)}.part")
        self._record_path = f"{self._part_path}.json"
        self._replace = replace
        self._resume = resume
        self._durable = durable
        self._file: io.FileIO | None = None
        self.held = 0
        self.record: Record | None = None
        self._synced = 0
        self._synced_at = monotonic()
        self._is_changed = False  # whether begin() or drop() was called
        self._is_broken = False  # whether the disk has refused to keep bytes
        if resume and os.path.lexists(self._part_path):
            try:
                self._reopen(source)
            except BaseException:
                self.close()
                raise

    def _reopen(self, source: Source) -> None:
        file = self._open()
        record = read_record(self._record_path, source)
        if record is not None and os.fstat(file.fileno()).st_size >= record.held:
            os.ftruncate(file.fileno(), record.held)
            self.record, self.held, self._synced = record, record.held, record.held

    def _open(self) -> io.FileIO:
        """Open the part file and lock it; raise RequestError if another download has it."""
        while self._file is None:
            flags = os.O_CREAT | os.O_RDWR | getattr(os, "O_BINARY", 0)
            # Do not follow a link that another user has put there.
            descriptor = os.open(self._part_path, flags | getattr(os, "O_NOFOLLOW", 0), 0o666)
            file = open(descriptor, "r+b", buffering=0)  # noqa: SIM115  # closed by close()
            try:
                if not try_to_lock(descriptor):
                    raise RequestError(
                        f"another download is writing {self._part_path!r}; wait until it has ended"
                    )
                # Another download may have renamed the file before the lock was free.
                if not is_same_file(descriptor, self._part_path):
                    continue
                if os.fstat(descriptor).st_nlink > 1:
                    # A process ended inside rename_to_new(): the bytes are the complete file.
                    if not MOVES_OPEN_FILES:
                        file.close()
                    os.unlink(self._part_path)
                    continue
                self._file = file
            finally:
                if self._file is None:
                    file.close()
        return self._file

    def begin(self, record: Record) -> int:
        """Discard all bytes and begin another response; return 0, the bytes to skip."""
        if self._name == "":
            self._check_name_is_free(record.name)
        self.drop()
        self.record = record
        return 0

    def _check_name_is_free(self, name: str) -> None:
        path = os.path.join(self.folder, name)
        if os.path.lexists(path):
            raise FileExistsError(
                errno.EEXIST, "the file exists; download to the path of the file replaces it", path
            )

    def drop(self) -> None:
        """Discard all bytes and the record."""
        file = self._open()
        if remove_record(self._record_path):
            sync_folder(self.folder)
        self._is_changed = True
        os.ftruncate(file.fileno(), 0)
        self._copy_mode()
        self.record = None
        self.held = self._synced = 0
        self._synced_at = monotonic()

    def _copy_mode(self) -> None:
        """Give the part file the mode of the file that it replaces, if there is one."""
        if self._replace and self._name:
            with suppress(FileNotFoundError):
                path = os.path.join(self.folder, self._name)
                fchmod(self._open().fileno(), stat.S_IMODE(os.stat(path).st_mode) & 0o777)

    def _sync(self) -> None:
        """Flush the bytes to the disk."""
        try:
            os.fsync(self._open().fileno())
        except OSError:
            # Linux reports lost bytes once only: another fsync would succeed without them.
            self._is_broken = True
            raise

    def write(self, data: Buffer) -> None:
        """Append bytes; write the record after SYNC_BYTES or SYNC_SECONDS."""
        write_all_at(self._open().fileno(), data, self.held)
        self.held += len(data)
        if (
            self.held - self._synced >= SYNC_BYTES or monotonic() - self._synced_at >= SYNC_SECONDS
        ) and not self._is_small():
            self.save()

    def _is_small(self) -> bool:
        total = None if self.record is None else self.record.version.total
        return not self._durable and (self.held if total is None else total) <= SMALL

    def save(self) -> None:
        """Flush the bytes to the disk, then the record that counts them."""
        if self.record is None or self._is_broken or not self._can_resume():
            return
        self._sync()
        self.record = self.record._replace(held=self.held)
        write_record(self._record_path, self.record)
        self._synced, self._synced_at = self.held, monotonic()

    def _can_resume(self) -> bool:
        return self._resume and self.record is not None and bool(self.record.version.condition)

    def make_digest(self, algorithm: str) -> bytes:
        """Return the digest of the bytes, read from the file."""
        hasher: Any = make_hash(algorithm)
        descriptor, position = self._open().fileno(), 0
        while chunk := pread(descriptor, CHUNK_SIZE, position):
            hasher.update(chunk)
            position += len(chunk)
        return bytes(hasher.digest())

    def finish(self) -> str:
        """Rename the part file to its final name; return the path."""
        record = self.record
        name = self._name or (record.name if record is not None else "")
        path = os.path.join(self.folder, name)
        is_small = self._is_small()
        if not is_small:
            self._sync()
        self._copy_mode()
        if not MOVES_OPEN_FILES:
            self.close()
        # Otherwise the lock is held: no other download may open the file before it has its name.
        if self._replace and self._name:
            os.replace(self._part_path, path)
        else:
            rename_to_new(self._part_path, path)
        if not is_small:
            sync_folder(self.folder)
        remove_record(self._record_path)
        self.close()
        return path

    def suspend(self) -> None:
        """Keep the bytes for a later download, if it can continue; otherwise remove them."""
        try:
            if self.held and self._can_resume() and (self._synced or not self._is_broken):
                # After an error of the disk, an older record is still right.
                with suppress(OSError):
                    self.save()
            elif self._is_changed:
                self.remove()
        finally:
            self.close()

    def remove(self) -> None:
        """Remove the bytes and their record."""
        self._open()
        remove_record(self._record_path)
        if not MOVES_OPEN_FILES:
            self.close()
        with suppress(FileNotFoundError):
            os.unlink(self._part_path)
        self.close()
        self.held, self.record = 0, None

    def close(self) -> None:
        """Close the file and end its lock."""
        if self._file is not None:
            unlock(self._file.fileno())
            self._file.close()
            self._file = None


def _shorten(name: str) -> str:
    """Return a name that leaves space for the rest of a part file's name, and stays unique."""
    encoded = os.fsencode(name)
    if len(encoded) <= _MAX_NAME:
        return name
    start = encoded[: _MAX_NAME - 20].decode(errors="ignore")
    return f"{start}-{hashlib.sha256(encoded).hexdigest()[:16]}"
