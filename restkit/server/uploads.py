"""Write an uploaded file, and get its name from a request.

A file is written as ``.name.1a2b3c4d.part`` beside its target, under a unique name and readable
by its owner only, and then moved over the target in one step. A reader of the target sees the
older file or the new one. Of several uploads to one name, the last that is complete remains.
"""

from __future__ import annotations

import os
import re
import stat
import time
from contextlib import suppress
from types import TracebackType
from urllib.parse import unquote_to_bytes

from restkit.io.buffers import Buffer
from restkit.io.file_names import is_special_on_windows, remove_invisible
from restkit.io.files import create_part_file, fchmod, sync_folder, write_all

_PART = re.compile(r"\..+\.[0-9a-f]{8}\.part", re.DOTALL)
_ABANDONED_AFTER = 24 * 60 * 60.0  # seconds; an active upload is written to more often


class Upload:
    """A new file in a folder; ``finish()`` moves it to its name.

    A context manager; ``close()`` removes an unfinished file, and is idempotent. Errors are the
    ``OSError`` of the system: FileExistsError if ``new`` is set and the file already exists. With
    ``fsync`` the file and its name are on the disk when ``finish()`` returns.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with Upload(folder, 'a.txt') as upload:
    ...         upload.write(b'some text')
    ...         upload.finish()
    ...     os.listdir(folder)
    ['a.txt']
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
        self._part, descriptor = create_part_file(directory, name, name)
        self._file = open(descriptor, "wb", buffering=0)  # noqa: SIM115  # closed by close()
        # Read the mode from the file: the umask cannot be read without changing it.
        self._mode = stat.S_IMODE(os.fstat(descriptor).st_mode)
        self._set_mode(0o600)

    def write(self, data: Buffer) -> None:
        """Append all of these bytes."""
        write_all(self._file, data)
        self.size += len(data)

    def finish(self) -> None:
        """Move the file in place, over an older one of its name unless ``new`` is set."""
        if self._part is None:
            raise RuntimeError(f"the upload of {self.name!r} is closed, or was finished before")
        self._set_mode(self._mode)
        if self._fsync:
            os.fsync(self._file.fileno())
        # Before the move: network file systems may report only now that the disk is full.
        self._file.close()
        target = os.path.join(self._directory, self.name)
        if self._new:
            os.link(self._part, target)
            os.unlink(self._part)
        else:
            os.replace(self._part, target)
        self._part = None
        if self._fsync:
            sync_folder(self._directory)

    def _set_mode(self, mode: int) -> None:
        with suppress(PermissionError):  # raised by file systems without modes
            fchmod(self._file.fileno(), mode)

    def close(self) -> None:
        """Close the file, and remove it unless it is finished."""
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
        state = "unfinished" if self._part else "closed"
        return f"<Upload of {self.name!r}, {self.size} bytes, {state}>"


def remove_abandoned(directory: str, age: float = _ABANDONED_AFTER) -> list[str]:
    """Remove unfinished files not written to for ``age`` seconds; return their names.

    A killed process leaves them. Files of other running processes stay, because they are newer.
    """
    oldest = time.time() - age
    removed = []
    with os.scandir(directory) as entries:
        for entry in entries:
            if _PART.fullmatch(entry.name) and entry.is_file(follow_symlinks=False):
                # Another process may be removing the same files.
                with suppress(FileNotFoundError, PermissionError):
                    if entry.stat(follow_symlinks=False).st_mtime < oldest:
                        os.unlink(entry.path)
                        removed.append(entry.name)
    return removed


# Names. Clients choose them: folders in them are removed, also those of Windows. A name that is
# empty, hidden, invisible in part, or too long for file systems is rejected, so that the result is
# always a name in a folder, and the one that a person reads there.

_MAX_NAME_BYTES = 255  # of the file systems of Linux and macOS
_EXTENDED = re.compile(r"(?i)utf-8'[a-z0-9-]*'((?:[a-z0-9!#$&+.^_`|~-]|%[0-9a-f]{2})*)")
_FOLDERS = re.compile(r".*[/\\]", re.DOTALL)
_CONTROL = re.compile("[\0-\x1f\x7f-\x9f]")


class UnusableName(ValueError):
    """A name under which no file can be received; the message has the reason."""


def name_from_header(value: str) -> str:
    r"""Return the name in a header field such as X-Filename; raise UnusableName.

    Header text is latin-1 (PEP 3333). It is decoded as UTF-8 if it is valid UTF-8, which curl
    sends. Otherwise it stays latin-1, which http.client, and so requests, use for every name that
    latin-1 can encode. ``UTF-8''b%C5%B1n.txt`` (RFC 8187 3.2) encodes any name in ASCII.

    >>> name_from_header('C:\\photos\\me.jpg'), name_from_header("UTF-8''b%C5%B1n.txt")
    ('me.jpg', 'bűn.txt')
    """
    extended = _EXTENDED.fullmatch(value)
    if extended:
        return _check_name(_decode_utf_8(unquote_to_bytes(extended[1])))
    try:
        return _check_name(value.encode("latin-1").decode())
    except UnicodeDecodeError:
        return _check_name(value)


def name_from_path(path: str) -> str:
    """Return the last segment of a path of WSGI, which has no percent-encoding; raise UnusableName.

    >>> name_from_path('/some/README.md')
    'README.md'
    """
    return _check_name(_decode_utf_8(path.encode("latin-1")))


def _decode_utf_8(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as exc:
        raise UnusableName("the file name is not UTF-8") from exc


def _check_name(text: str) -> str:
    name = _FOLDERS.sub("", text)
    if name in ("", ".", "..") or name.isspace():
        raise UnusableName(f"{text[:_MAX_NAME_BYTES]!r} does not name a file")
    if _CONTROL.search(name):
        excerpt = name[:_MAX_NAME_BYTES]
        raise UnusableName(f"the file name has a control character: {excerpt!r}")
    if remove_invisible(name) != name:
        excerpt = name[:_MAX_NAME_BYTES]
        raise UnusableName(f"the file name has an invisible character: {excerpt!a}")
    if name.strip() != name:
        excerpt = name[:_MAX_NAME_BYTES]
        raise UnusableName(f"the file name begins or ends with a space: {excerpt!r}")
    if name.startswith("-"):
        raise UnusableName(
            f"{name[:_MAX_NAME_BYTES]!r} begins with a hyphen, which programs take for an option"
        )
    if name.startswith("."):
        raise UnusableName(
            f"{name[:_MAX_NAME_BYTES]!r} is the name of a hidden file, which is not allowed"
        )
    if os.name == "nt" and is_special_on_windows(name):
        raise UnusableName(f"{name[:_MAX_NAME_BYTES]!r} is not the name of a file on Windows")
    if len(name.encode()) > _MAX_NAME_BYTES:
        raise UnusableName(f"the file name is longer than {_MAX_NAME_BYTES} bytes")
    return name
