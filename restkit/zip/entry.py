"""One file of a zip archive, and the checks of its name."""

from __future__ import annotations

import stat
from dataclasses import dataclass, field
from datetime import datetime, timezone

from restkit.errors import PayloadError
from restkit.payload.base import Payload
from restkit.payload.convert import as_payload
from restkit.payload.values import encode_utf_8
from restkit.zip.records import (
    COMPRESSION_METHOD_BZIP2,
    COMPRESSION_METHOD_DEFLATE,
    COMPRESSION_METHOD_LZMA,
    COMPRESSION_METHOD_NONE,
)

_SUPPORTED_METHODS = (COMPRESSION_METHOD_NONE, COMPRESSION_METHOD_DEFLATE)
_OTHER_METHODS = {COMPRESSION_METHOD_BZIP2: "bzip2", COMPRESSION_METHOD_LZMA: "lzma"}
_MAX_TEXT = 0xFFFF  # bytes: the lengths of name and comment are numbers of 16 bits


@dataclass(frozen=True, slots=True, init=False, repr=False)
class ZipStreamFile:
    """A file for an archive: a name, and anything that can be a payload.

    ``name``: with forward slashes; a name with a slash at its end is a folder, and has no bytes.
    ``compression_method``: ``COMPRESSION_METHOD_DEFLATE`` or ``COMPRESSION_METHOD_NONE``.
    ``modified_at``: the current time by default. The archive holds its date and time unchanged,
    whatever its time zone, and the exact moment in addition if it has a time zone.
    ``mode``: as in ``os.stat()``; by default 0o644, and 0o755 for a folder. ``comment``: text.
    ``zip64``: declare in the header that the file may have 4 GiB or more. Only streaming readers
    need this, for a stream of unknown length.

    The stream is not read. Raises PayloadError for a value that no archive can have, TypeError for
    a stream that cannot be sent.

    >>> ZipStreamFile('notes.txt', 'some text')
    <ZipStreamFile name = 'notes.txt'>
    """

    name: str
    stream: object
    compression_method: int
    modified_at: datetime
    mode: int
    comment: str
    zip64: bool
    payload: Payload = field(compare=False)
    """The payload made from ``stream``."""

    # Written by hand, so that ``modified_at`` and ``mode`` of an object are never None.
    def __init__(
        self,
        name: str,
        stream: object,
        *,
        compression_method: int = COMPRESSION_METHOD_DEFLATE,
        modified_at: datetime | None = None,
        mode: int | None = None,
        comment: str = "",
        zip64: bool = False,
    ) -> None:
        if modified_at is None:
            modified_at = datetime.now(timezone.utc)
        _check_types(name, modified_at, comment)
        check_name(name)
        _check_length(comment, "comment")
        _check_method(compression_method)
        payload = as_payload(stream)
        if payload is None:
            raise TypeError(f"the stream of {name!r} is None; pass b'' for an empty file")
        if name.endswith("/") and payload.length != 0:
            raise PayloadError(f"{name!r} ends with a slash, so it is a folder and has no bytes")
        set_field = object.__setattr__  # the class is frozen
        set_field(self, "name", name)
        set_field(self, "stream", stream)
        set_field(self, "compression_method", compression_method)
        set_field(self, "modified_at", modified_at)
        set_field(self, "mode", _complete_mode(name, mode))
        set_field(self, "comment", comment)
        set_field(self, "zip64", zip64)
        set_field(self, "payload", payload)

    def __repr__(self) -> str:
        return f"<ZipStreamFile name = {self.name!r}>"


def check_name(name: str) -> None:
    """Raise PayloadError for a name that is empty, too long, or leads out of the archive."""
    if not name or "\0" in name:
        raise PayloadError(f"the name {name!r} must have characters, and no NUL")
    if name[0] in "/\\":
        raise _make_outside_error(name)
    if ".." in name or name.endswith((".", "./")):
        _check_dots(name)
    _check_length(name, "name")


def _check_dots(name: str) -> None:
    parts = name.replace("\\", "/").removesuffix("/").split("/")
    if ".." in parts:
        raise _make_outside_error(name)
    if parts[-1] == ".":
        raise PayloadError(f"the name {name!r} ends with a dot, which means its own folder")


def _make_outside_error(name: str) -> PayloadError:
    return PayloadError(
        f"the name {name!r} leads out of the folder that the archive is unpacked into"
    )


def _check_length(text: str, label: str) -> None:
    size = len(text) if text.isascii() else len(encode_utf_8(text, f"the {label} {text!r}"))
    if size > _MAX_TEXT:
        raise PayloadError(
            f"the {label} {text[:40]!r}... has {size} bytes; it may have {_MAX_TEXT}"
        )


def _check_types(name: object, modified_at: object, comment: object) -> None:
    if not isinstance(name, str):
        raise TypeError(f"name must be str; got {type(name).__name__}")
    if not isinstance(comment, str):
        raise TypeError(f"comment must be str; got {type(comment).__name__}")
    if not isinstance(modified_at, datetime):
        raise TypeError(f"modified_at must be datetime.datetime; got {type(modified_at).__name__}")


def _check_method(method: int) -> None:
    if method in _SUPPORTED_METHODS:
        return
    if method in _OTHER_METHODS:
        raise PayloadError(f"`{_OTHER_METHODS[method]}` compression not supported.")
    raise PayloadError(f"Unknown compression method: {method!r}.")


def _complete_mode(name: str, mode: int | None) -> int:
    """Return a mode that includes the type of the file."""
    is_folder = name.endswith("/")
    if mode is None:
        mode = 0o755 if is_folder else 0o644
    if not 0 <= mode <= 0xFFFF:
        raise PayloadError(f"mode must be a number as in os.stat(); got {mode!r} for {name!r}")
    return mode if stat.S_IFMT(mode) else mode | (stat.S_IFDIR if is_folder else stat.S_IFREG)
