"""Parse and write Content-Digest and Repr-Digest fields.

The values of Content-Digest and Repr-Digest (RFC 9530), written and read.

Each is a Dictionary of byte sequences by the name of their algorithm (RFC 9651 3.2 and 3.3.5).
A field that is none is ignored, the whole of it, as RFC 9651 4.2 has it; so are algorithms that are
not known here. Padding that is missing is made up for, as 4.2.7 asks.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable


SHA_256 = "sha-256"

# What RFC 9530 7.2 has as active, and hashlib's names for them.
_HASHES = {SHA_256: "sha256", "sha-512": "sha512"}

_KEY = r"[a-z*][a-z0-9_\-.*]*"
_NUMBER = r"-?(?:[0-9]{1,12}\.[0-9]{1,3}|[0-9]{1,15})"
_STRING = r'"(?:[ !#-\[\]-~]|\\["\\])*"'
_WORD = r"[A-Za-z*][A-Za-z0-9!#$%&'*+\-.^_`|~:/]*"
_BYTES = r":[A-Za-z0-9+/]*={0,2}:"
_BOOLEAN = r"\?[01]"
_DATE = r"@-?[0-9]{1,15}"
_ANY_TEXT = r'%"(?:[ !#$&-~]|%[0-9a-f]{2})*"'
_BARE = f"{_NUMBER}|{_STRING}|{_WORD}|{_BYTES}|{_BOOLEAN}|{_DATE}|{_ANY_TEXT}"
_PARAMETERS = rf"(?:;[ ]*{_KEY}(?:=(?:{_BARE}))?)*"
_ITEM = rf"(?:{_BARE}){_PARAMETERS}"
_LIST = rf"\([ ]*(?:{_ITEM}(?:[ ]+{_ITEM})*[ ]*)?\){_PARAMETERS}"
_MEMBER = re.compile(
    rf"(?P<name>{_KEY})"
    rf"(?:=(?::(?P<bytes>[A-Za-z0-9+/]*)={{0,2}}:{_PARAMETERS}|{_ITEM}|{_LIST})|{_PARAMETERS})"
    r"[ \t]*(?:(?P<comma>,)[ \t]*|\Z)"
)


def new_hash(algorithm: str) -> Any:
    """A hash of hashlib's for an algorithm of these fields."""
    import hashlib  # most programs never come here

    return hashlib.new(_HASHES[algorithm])


def known_algorithms() -> Iterable[str]:
    """The algorithms that can be checked."""
    return _HASHES.keys()


def digest_field(algorithm: str, digest: bytes) -> str:
    """The value of a field with one digest.

    >>> digest_field('sha-256', bytes(3))
    'sha-256=:AAAA:'
    """
    from binascii import b2a_base64

    return f"{algorithm}=:{b2a_base64(digest, newline=False).decode()}:"


def parse_digests(values: Iterable[str]) -> dict[str, bytes]:
    """The digests of algorithms that are known, out of the lines of one field.

    >>> parse_digests(['sha-256=:YWJj:, unixsum=:AAE=:'])
    {'sha-256': b'abc'}
    """
    text = ",".join(filter(None, (value.strip(" ") for value in values)))
    found: dict[str, bytes | None] = {}
    at = 0
    while at < len(text):
        member = _MEMBER.match(text, at)
        if member is None or (member["comma"] and member.end() == len(text)):
            return {}
        text_of_bytes = member["bytes"]
        if text_of_bytes is not None and len(text_of_bytes) % 4 == 1:
            return {}  # no number of bytes has as many characters
        # Of one that is given twice, the last counts.
        found[member["name"]] = None if text_of_bytes is None else _from_base64(text_of_bytes)
        at = member.end()
    return {
        name: digest for name, digest in found.items() if name in _HASHES and digest is not None
    }


def _from_base64(text: str) -> bytes:
    from binascii import a2b_base64

    return a2b_base64(text + "=" * (-len(text) % 4))
