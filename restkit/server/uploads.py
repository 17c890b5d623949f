"""Write an uploaded file.

A file on its way into a folder: hidden and unfinished, or in place and whole.

It is written as ``.name.1a2b3c4d.part`` beside its target, under a name of its own and for its
owner's eyes only, and moved over the target in one step. Whoever reads the target sees the older
file or the new one; of several uploads to one name the last that is complete stays.

What a file that is being received is called: pure, and never anything but a name in a folder.

A name comes from outside. Folders in it are left out, those of Windows too; what is no name at all,
would be hidden, or no file system takes, is refused with the reason. Header text is latin-1 (PEP
3333); UTF-8 is read as such where it is valid, since that is what curl sends, and latin-1 is what
http.client, and so requests, encode as far as it goes. ``UTF-8''b%C5%B1n.txt`` (RFC 8187 3.2) says
any name in ASCII.
"""

from __future__ import annotations

import os
import re
import stat
import time
from contextlib import suppress
from typing import TYPE_CHECKING
from urllib.parse import unquote_to_bytes

from restkit.io.files import create_part_file, write_all

if TYPE_CHECKING:
    from types import TracebackType

    from restkit.io.buffers import Buffer


_PART = re.compile(r"\..+\.[0-9a-f]{8}\.part", re.DOTALL)
_ABANDONED = 24 * 60 * 60.0  # seconds; one that lives is written to more often than that


class Upload:
    """A new file in a folder, which is there once ``finish()`` has returned.

    A context manager; ``close()`` removes what was not finished, and may be called twice. Errors
    are the ``OSError`` that the system gives: FileExistsError where ``new`` is asked for and there
    is a file of that name. With ``fsync`` the file, and its name, are on the disk when
    ``finish()`` returns.
    """

    __slots__ = ("_directory", "_file", "_fsync", "_mode", "_new", "_part", "name", "size")

    def __init__(
        self, directory: str, name: str, *, new: bool = False, fsync: bool = False
    ) -> None:
        self.name = name
        self.size = 0
        self._directory = directory
        self._new = new
        self._fsync = fsync
        self._part: str | None
        self._part, number = create_part_file(directory, name, name)
        self._file = open(number, "wb", buffering=0)  # noqa: SIM115  # closed by close()
        # What the umask leaves can only be seen of a file: to ask for it is to change it.
        self._mode = stat.S_IMODE(os.fstat(number).st_mode)
        self._set_mode(0o600)

    def write(self, data: Buffer) -> None:
        """Add these bytes, all of them."""
        write_all(self._file, data)
        self.size += len(data)

    def finish(self) -> None:
        """Move the file in place, over an older one of its name unless ``new`` was asked for."""
        assert self._part is not None, "an upload is finished once"
        self._set_mode(self._mode)
        if self._fsync:
            os.fsync(self._file.fileno())
        # First: file systems of a network may say only now that there was no room.
        self._file.close()
        target = os.path.join(self._directory, self.name)
        if self._new:
            os.link(self._part, target)
            os.unlink(self._part)
        else:
            os.replace(self._part, target)
        self._part = None
        if self._fsync:
            _sync_folder(self._directory)

    def _set_mode(self, mode: int) -> None:
        with suppress(PermissionError):  # as file systems without modes may say
            os.fchmod(self._file.fileno(), mode)

    def close(self) -> None:
        """Let go of the file, and remove it unless it is finished."""
        part, self._part = self._part, None
        try:
            self._file.close()
        finally:
            if part is not None:
                with suppress(FileNotFoundError):
                    os.unlink(part)

    def __enter__(self) -> Upload:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        state = "on its way" if self._part else "closed"
        return f"<Upload of {self.name!r}, {self.size} bytes, {state}>"


def remove_abandoned(directory: str, age: float = _ABANDONED) -> list[str]:
    """Remove unfinished files that nobody has written to for so many seconds; their names.

    A process that is killed leaves them. Those of other processes that are at work stay, because
    they are younger.
    """
    oldest = time.time() - age
    removed = []
    with os.scandir(directory) as entries:
        for entry in entries:
            if _PART.fullmatch(entry.name) and entry.is_file(follow_symlinks=False):
                # Another process may be removing the same ones.
                with suppress(FileNotFoundError, PermissionError):
                    if entry.stat(follow_symlinks=False).st_mtime < oldest:
                        os.unlink(entry.path)
                        removed.append(entry.name)
    return removed


def _sync_folder(directory: str) -> None:
    number = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(number)
    finally:
        os.close(number)


_LONGEST = 255  # bytes, of Linux's and of macOS's file systems
_EXTENDED = re.compile(r"(?i)utf-8'[a-z0-9-]*'((?:[a-z0-9!#$&+.^_`|~-]|%[0-9a-f]{2})*)")
_FOLDERS = re.compile(r".*[/\\]", re.DOTALL)
_CONTROL = re.compile("[\0-\x1f\x7f-\x9f\u2028\u2029]")


class UnusableName(ValueError):
    """No file can be received under this name; the message says why."""


def name_in_field(value: str) -> str:
    r"""The name that a header field such as X-Filename gives; raises UnusableName.

    >>> name_in_field('C:\\photos\\me.jpg'), name_in_field("UTF-8''b%C5%B1n.txt")
    ('me.jpg', 'bűn.txt')
    """
    extended = _EXTENDED.fullmatch(value)
    if extended:
        return _checked(_as_utf_8(unquote_to_bytes(extended[1])))
    try:
        return _checked(value.encode("latin-1").decode())
    except UnicodeDecodeError:
        return _checked(value)


def name_in_path(path: str) -> str:
    """The name at the end of a path as WSGI gives it, percent-encoding taken off.

    >>> name_in_path('/some/README.md')
    'README.md'
    """
    return _checked(_as_utf_8(path.encode("latin-1")))


def _as_utf_8(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as exc:
        raise UnusableName("the file's name is not in UTF-8") from exc


def _checked(text: str) -> str:
    name = _FOLDERS.sub("", text)
    if name in ("", ".", "..") or name.isspace():
        raise UnusableName(f"{text[:_LONGEST]!r} does not name a file")
    if _CONTROL.search(name):
        raise UnusableName(f"the file's name has a control character in it: {name[:_LONGEST]!r}")
    if name.startswith("."):
        raise UnusableName(f"{name[:_LONGEST]!r} would be a hidden file, and these are not taken")
    if len(name.encode()) > _LONGEST:
        raise UnusableName(f"the file's name has more than {_LONGEST} bytes")
    return name
