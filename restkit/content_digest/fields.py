"""Parse and write Content-Digest and Repr-Digest fields (RFC 9530).

A field is a Dictionary of byte sequences, with the name of an algorithm as the key (RFC 9651 3.2
and 3.3.5). A malformed field is ignored as a whole (RFC 9651 4.2), and so is an unknown algorithm.
Missing base64 padding is accepted (4.2.7).
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable


SHA_256 = "sha-256"

# The active algorithms of RFC 9530 7.2, with their names in hashlib.
_HASHLIB_NAMES = {SHA_256: "sha256", "sha-512": "sha512"}

ALGORITHMS = frozenset(_HASHLIB_NAMES)
"""The algorithms that can be checked."""

_KEY = r"[a-z*][a-z0-9_\-.*]*"
_NUMBER = r"-?(?:[0-9]{1,12}\.[0-9]{1,3}|[0-9]{1,15})"
_STRING = r'"(?:[ !#-\[\]-~]|\\["\\])*"'
_SYMBOL = r"[A-Za-z*][A-Za-z0-9!#$%&'*+\-.^_`|~:/]*"
_BYTES = r":[A-Za-z0-9+/]*={0,2}:"
_BOOLEAN = r"\?[01]"
_DATE = r"@-?[0-9]{1,15}"
_DISPLAY_STRING = r'%"(?:[ !#$&-~]|%[0-9a-f]{2})*"'
_BARE_ITEM = f"{_NUMBER}|{_STRING}|{_SYMBOL}|{_BYTES}|{_BOOLEAN}|{_DATE}|{_DISPLAY_STRING}"
_PARAMETERS = rf"(?:;[ ]*{_KEY}(?:=(?:{_BARE_ITEM}))?)*"
_ITEM = rf"(?:{_BARE_ITEM}){_PARAMETERS}"
_INNER_LIST = rf"\([ ]*(?:{_ITEM}(?:[ ]+{_ITEM})*[ ]*)?\){_PARAMETERS}"


@cache
def _member_pattern() -> re.Pattern[str]:
    # Compiled at the first use, to keep `import restkit` quick.
    return re.compile(
        rf"(?P<name>{_KEY})"
        rf"(?:=(?::(?P<bytes>[A-Za-z0-9+/]*)={{0,2}}:{_PARAMETERS}|{_ITEM}|{_INNER_LIST})|{_PARAMETERS})"
        r"[ \t]*(?:(?P<comma>,)[ \t]*|\Z)"
    )


def parse_digests(values: Iterable[str]) -> dict[str, bytes]:
    """Return the digests of the known algorithms in the lines of one field.

    >>> parse_digests(['sha-256=:YWJj:, unixsum=:AAE=:'])
    {'sha-256': b'abc'}
    """
    text = ",".join(filter(None, (value.strip(" ") for value in values)))
    found: dict[str, bytes | None] = {}
    at = 0
    while at < len(text):
        member = _member_pattern().match(text, at)
        if member is None or (member["comma"] and member.end() == len(text)):
            return {}
        encoded = member["bytes"]
        if encoded is not None and len(encoded) % 4 == 1:
            return {}  # base64 never has this length
        # If an algorithm occurs twice, the last one counts.
        found[member["name"]] = None if encoded is None else _decode_base64(encoded)
        at = member.end()
    return {
        name: digest for name, digest in found.items() if name in ALGORITHMS and digest is not None
    }


def format_digest(algorithm: str, digest: bytes) -> str:
    """Return the field value for one digest.

    >>> format_digest('sha-256', bytes(3))
    'sha-256=:AAAA:'
    """
    from binascii import b2a_base64

    return f"{algorithm}=:{b2a_base64(digest, newline=False).decode()}:"


def make_hash(algorithm: str) -> Any:
    """Return a hashlib object for an algorithm of these fields."""
    import hashlib  # most programs need no digest

    return hashlib.new(_HASHLIB_NAMES[algorithm])


def _decode_base64(text: str) -> bytes:
    from binascii import a2b_base64

    return a2b_base64(text + "=" * (-len(text) % 4))
