"""The record of an unfinished download: a small JSON file beside the bytes.

A record that is damaged, or of another URL, is ignored: the download starts over.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from typing import Any, NamedTuple

from restkit.http1.ranges import Version
from restkit.io.files import create_private_file, open_without_blocking

_FORMAT = 1
_MAX_SIZE = 256 * 1024


class Source(NamedTuple):
    """The request of a download: its URL without user info, and the headers that choose a variant.

    Bytes on disk are continued only for the same source.
    """

    url: str
    accept: tuple[str, ...] = ()


class Record(NamedTuple):
    """The bytes on disk, from the start of the file to ``held``, and the version they belong to.

    ``name`` is the file name of a download into a folder. ``digests`` are in hex, by algorithm.
    """

    source: Source
    version: Version
    held: int = 0
    name: str = ""
    digests: tuple[tuple[str, str], ...] = ()


def write_record(path: str, record: Record) -> None:
    """Replace the record at ``path``; it is on the disk when this returns.

    Other users cannot read it: the URL may have a secret in its query.
    """
    import json

    text = json.dumps(
        {
            "format": _FORMAT,
            "url": record.source.url,
            "accept": record.source.accept,
            "etag": record.version.etag,
            "last_modified": record.version.last_modified,
            "condition": record.version.condition,
            "total": record.version.total,
            "held": record.held,
            "name": record.name,
            "digests": record.digests,
        }
    )
    with suppress(FileNotFoundError):
        os.unlink(f"{path}.new")  # a link there would lead to another file
    with open(create_private_file(f"{path}.new"), "wb") as file:
        file.write(text.encode())
        file.flush()
        os.fsync(file.fileno())
    os.replace(f"{path}.new", path)


def remove_record(path: str) -> bool:
    """Remove the record at ``path``, if there is one; return whether there was."""
    with suppress(FileNotFoundError):
        os.unlink(f"{path}.new")
    try:
        os.unlink(path)
    except FileNotFoundError:
        return False
    return True


def read_record(path: str, source: Source) -> Record | None:
    """Return the record at ``path``; None without one, or if it is damaged or of another source."""
    import json

    try:
        descriptor = open_without_blocking(path, os.O_RDONLY)
        with open(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                return None
            found = json.loads(file.read(_MAX_SIZE))
        record = _parse_record(found)
    except (FileNotFoundError, ValueError, TypeError, KeyError, RecursionError):
        return None
    return record if record.source == source else None


def _parse_record(found: Any) -> Record:
    if found["format"] != _FORMAT:
        raise ValueError("unknown format")
    total, name = found["total"], _text(found["name"])
    if os.path.basename(name) != name or not found["condition"]:
        raise ValueError("a name with a folder, or no validator")
    if found["condition"] not in (found["etag"], found["last_modified"]):
        raise ValueError("a condition that is none of the validators")
    return Record(
        Source(_text(found["url"]), tuple(map(_text, found["accept"]))),
        Version(
            _optional_text(found["etag"]),
            _optional_text(found["last_modified"]),
            _text(found["condition"]),
            None if total is None else _count(total),
        ),
        _count(found["held"]),
        name,
        tuple((_text(name), bytes.fromhex(digest).hex()) for name, digest in found["digests"]),
    )


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _optional_text(value: object) -> str | None:
    return None if value is None else _text(value)


def _count(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise TypeError
    return value
