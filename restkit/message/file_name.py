"""A safe file name for a body, from Content-Disposition (RFC 6266) or else from the URL.

The server chooses the name, so nothing of it may reach another folder, hide the file, name a
device, be invisible, or look like an option of a program. The rules are those of Windows and of
POSIX together, so that a name does not depend on the system.
"""

from __future__ import annotations

import re

from restkit.headers import Headers
from restkit.io.file_names import (
    FORBIDDEN_ON_WINDOWS,
    is_reserved_on_windows,
    remove_invisible,
)
from restkit.message.header_values import as_utf_8, parse_disposition
from restkit.url.url import URL

_MAX_BYTES = 255  # of the file systems of Linux, macOS and Windows
_MAX_EXTENSION = 32  # a longer one is no extension
_FALLBACK = "download"
_FOLDERS = re.compile(r".*[/\\]", re.DOTALL)
_START = re.compile(r"[\s.-]*")


def file_name_of(headers: Headers, url: URL) -> str:
    """Return a name that is safe in any folder, for the body of a response from this URL.

    >>> from restkit import parse_url
    >>> headers = Headers({'Content-Disposition': 'attachment; filename="../../a.txt"'})
    >>> file_name_of(headers, parse_url('http://host/x'))
    'a.txt'
    >>> file_name_of(Headers(), parse_url('http://host/b%20c.pdf?page=1'))
    'b c.pdf'
    """
    for value in headers.get_all("content-disposition"):
        parameters = parse_disposition(as_utf_8(value))
        if name := _make_safe(parameters.get("filename", "")):
            return name
    from urllib.parse import unquote

    segment = url.target.partition("?")[0].rpartition("/")[2]
    return _make_safe(unquote(segment, errors="replace")) or _FALLBACK


def _make_safe(text: str) -> str:
    """Return the last part of a path without what a file system forbids; perhaps ``''``."""
    name = FORBIDDEN_ON_WINDOWS.sub("_", remove_invisible(_FOLDERS.sub("", text)))
    # A dot in front hides the file, and programs take a hyphen for an option. Windows removes dots
    # and spaces at the end.
    name = _shorten(_START.sub("", name, count=1).rstrip(". "))
    return f"_{name}" if is_reserved_on_windows(name) else name


def _shorten(name: str) -> str:
    """Cut the name, not its extension, to the bytes that a file system allows."""
    # One byte less: a reserved name gets a character in front.
    limit = _MAX_BYTES - 1
    if len(name.encode()) <= limit:
        return name
    stem, dot, extension = name.rpartition(".")
    end = f"{dot}{extension}".encode()
    if not stem or len(end) > _MAX_EXTENSION:
        stem, end = name, b""
    kept = stem.encode()[: limit - len(end)].decode(errors="ignore")
    return kept.rstrip(". ") + end.decode()
