"""What a file that is being received is called: pure, and never anything but a name in a folder.

A name comes from outside. Folders in it are left out, those of Windows too; what is no name at all,
would be hidden, or no file system takes, is refused with the reason. Header text is latin-1 (PEP
3333); UTF-8 is read as such where it is valid, since that is what curl sends, and latin-1 is what
http.client, and so requests, encode as far as it goes. ``UTF-8''b%C5%B1n.txt`` (RFC 8187 3.2) says
any name in ASCII.
"""

from __future__ import annotations

import re
from urllib.parse import unquote_to_bytes

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
