"""One file of a zip archive, and the checks of its name.

One file of an archive, as its maker describes it: a value, checked when it is made.
"""

from __future__ import annotations

import stat
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from restkit.errors import PayloadError
from restkit.payload.convert import as_payload
from restkit.payload.values import utf_8
from restkit.zip.records import (
    COMPRESSION_METHOD_BZIP2,
    COMPRESSION_METHOD_DEFLATE,
    COMPRESSION_METHOD_LZMA,
    COMPRESSION_METHOD_NONE,
)

if TYPE_CHECKING:
    from restkit.payload.base import Payload


_WRITTEN = (COMPRESSION_METHOD_NONE, COMPRESSION_METHOD_DEFLATE)
_KNOWN = {COMPRESSION_METHOD_BZIP2: "bzip2", COMPRESSION_METHOD_LZMA: "lzma"}
_LONGEST = 0xFFFF  # bytes: the lengths of name and comment are numbers of 16 bits


@dataclass(frozen=True, slots=True, init=False, repr=False)
class ZipStreamFile:
    """A file for an archive: a name, and anything that can be a payload.

    ``name``: with forward slashes; one that ends with a slash is a folder, and has no bytes.
    ``compression_method``: ``COMPRESSION_METHOD_DEFLATE`` or ``COMPRESSION_METHOD_NONE``.
    ``modified_at``: now where it is left out, and fixed then; its fields stand in the archive as
    they are, in whatever zone, and of a time that knows its zone the moment is there besides.
    ``mode``: as ``os.stat`` has it; 0o644, of a folder 0o755. ``comment``: text. ``zip64``: say in
    front that it may have 4 GiB or more; needed only by readers that read as it comes, of a stream
    whose length is not known.

    Nothing of the stream is read. Raises PayloadError for what no archive can have, TypeError for
    what cannot be sent.

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
    """What ``stream`` is when it is sent."""

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
        _check_text(comment, "comment")
        _check_method(compression_method)
        payload = as_payload(stream)
        if payload is None:
            raise TypeError(f"the stream of {name!r} is None; b'' is that of an empty file")
        if name.endswith("/") and payload.length != 0:
            raise PayloadError(f"{name!r} is a folder, by the slash at its end, and has no bytes")
        put = object.__setattr__  # there is no other way into what is frozen
        put(self, "name", name)
        put(self, "stream", stream)
        put(self, "compression_method", compression_method)
        put(self, "modified_at", modified_at)
        put(self, "mode", _full_mode(name, mode))
        put(self, "comment", comment)
        put(self, "zip64", zip64)
        put(self, "payload", payload)

    def __repr__(self) -> str:
        return f"<ZipStreamFile name = {self.name!r}>"


def check_name(name: str) -> None:
    """PayloadError for a name that is none, or leads elsewhere, or cannot stand in an archive."""
    if not name or "\0" in name:
        raise PayloadError(f"the name {name!r}: a name has characters, and no NUL among them")
    if name[0] in "/\\":
        raise _leads_out(name)
    if ".." in name or name.endswith((".", "./")):
        _check_dots(name)
    _check_text(name, "name")


def _check_dots(name: str) -> None:
    parts = name.replace("\\", "/").removesuffix("/").split("/")
    if ".." in parts:
        raise _leads_out(name)
    if parts[-1] == ".":
        raise PayloadError(f"the name {name!r} ends with a dot, which is the folder it is in")


def _leads_out(name: str) -> PayloadError:
    return PayloadError(
        f"the name {name!r} leads out of the folder that the archive is unpacked into"
    )


def _check_text(text: str, what: str) -> None:
    size = len(text) if text.isascii() else len(utf_8(text, f"the {what} {text!r}"))
    if size > _LONGEST:
        raise PayloadError(f"the {what} {text[:40]!r}... has {size} bytes; it may have {_LONGEST}")


def _check_types(name: object, modified_at: object, comment: object) -> None:
    if not isinstance(name, str):
        raise _of_another_type("name", name, "str")
    if not isinstance(comment, str):
        raise _of_another_type("comment", comment, "str")
    if not isinstance(modified_at, datetime):
        raise _of_another_type("modified_at", modified_at, "datetime.datetime")


def _of_another_type(what: str, value: object, wanted: str) -> TypeError:
    return TypeError(f"{what} is of type {type(value).__name__}; {wanted} is wanted")


def _check_method(method: int) -> None:
    if method in _WRITTEN:
        return
    if method in _KNOWN:
        raise PayloadError(f"`{_KNOWN[method]}` compression not supported.")
    raise PayloadError(f"Unknown compression method: {method!r}.")


def _full_mode(name: str, mode: int | None) -> int:
    """A mode with the kind of file in it."""
    folder = name.endswith("/")
    if mode is None:
        mode = 0o755 if folder else 0o644
    if not 0 <= mode <= 0xFFFF:
        raise PayloadError(f"mode={mode!r} of {name!r}: a number as os.stat() has it is wanted")
    return mode if stat.S_IFMT(mode) else mode | (stat.S_IFDIR if folder else stat.S_IFREG)
