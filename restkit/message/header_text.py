"""What the text of a header says beyond its letters."""

from __future__ import annotations

import codecs
import re

_CHARSET = re.compile(r';[ \t]*charset=(?:"([^"]*)"|([^\s;"]+))', re.IGNORECASE)
_NO_CHARSETS = frozenset(
    ("idna", "punycode", "raw-unicode-escape", "undefined", "unicode-escape", "utf-7")
)


def charset_of(content_type: str) -> str | None:
    """The charset parameter of a Content-Type, without its quotes; None where there is none."""
    match = _CHARSET.search(content_type)
    return (match[1] or match[2] or None) if match else None


def is_charset(name: str) -> bool:
    """Whether a name that a peer gives is one of a charset, and not of Python's other codecs.

    Some of those take time or memory out of all proportion to what they are given. UTF-7 says the
    same text in many ways, and browsers have dropped it for that.
    """
    try:
        return codecs.lookup(name).name not in _NO_CHARSETS
    except (LookupError, ValueError):
        return False


def as_utf_8(value: str) -> str:
    """A URL in a header, which servers write in UTF-8, though header text is read as latin-1."""
    if value.isascii():
        return value
    try:
        return value.encode("latin-1").decode("utf-8")
    except UnicodeDecodeError:
        return value
