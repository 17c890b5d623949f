"""Decide when a download tries again, and parse its digest. No I/O."""

from __future__ import annotations

import re
from binascii import unhexlify

from restkit.content_digest.fields import ALGORITHMS, make_hash, parse_digests
from restkit.errors import (
    Error,
    RequestError,
    TLSError,
    TotalTimeout,
    TransportError,
    UnexpectedEOF,
)
from restkit.headers import Headers

TEMPORARY_STATUSES = frozenset((408, 425, 429, 500, 502, 503, 504))
"""The statuses after which a download tries again."""

MAX_RETRY_AFTER = 600.0
"""The longest Retry-After, in seconds, that a download waits for."""

FIRST_WAIT = 0.3
"""The seconds before the second attempt."""

_MAX_WAIT = 60.0
_JITTER = 0.25
_HEX_DIGEST = re.compile(r"([a-z0-9-]+)=([0-9A-Fa-f]+)")


def is_temporary(error: Error) -> bool:
    """Return whether the same request may succeed after this error.

    >>> is_temporary(UnexpectedEOF("")), is_temporary(TLSError("")), is_temporary(TotalTimeout(""))
    (True, False, False)
    """
    if isinstance(error, (TLSError, TotalTimeout)):
        return False
    return isinstance(error, (TransportError, UnexpectedEOF))


def backoff_seconds(failures: int, random: float) -> float:
    """Return the wait before another attempt, after 1 or more failures in a row.

    ``random`` from 0 to 1 shortens or lengthens it by a quarter at most.

    >>> [round(backoff_seconds(failures, 0.5), 1) for failures in (1, 2, 3, 100)]
    [0.3, 0.6, 1.2, 60.0]
    """
    seconds = min(_MAX_WAIT, FIRST_WAIT * 2.0 ** min(failures - 1, 60))
    return seconds * (1 + _JITTER * (2 * random - 1))


def parse_expected_digest(value: object) -> tuple[str, bytes] | None:
    """Return algorithm and digest of the option ``digest=``; raise RequestError for a wrong one.

    >>> parse_expected_digest('sha-256=' + '00' * 32) == ('sha-256', bytes(32))
    True
    """
    if value is None:
        return None
    found: tuple[str, bytes] | None = None
    if isinstance(value, str):
        match = _HEX_DIGEST.fullmatch(value)
        if match is not None and match[1] in ALGORITHMS and len(match[2]) % 2 == 0:
            found = match[1], unhexlify(match[2])
        else:
            found = next(iter(parse_digests([value]).items()), None)
    if found is None or len(found[1]) != make_hash(found[0]).digest_size:
        raise RequestError(
            f"digest must be 'sha-256=' or 'sha-512=' with the digest in hex, or as in "
            f"Repr-Digest between colons; got {value!r:.160}"
        )
    return found


def read_digests(headers: Headers, status: int) -> dict[str, bytes]:
    """Return the digests of the whole file in the head of a response.

    ``Repr-Digest`` is of the whole also in a 206 (RFC 9530 3); ``Content-Digest`` is not.
    """
    if "content-encoding" in headers:
        return {}  # both are of the encoded bytes
    found = parse_digests(headers.get_all("content-digest")) if status == 200 else {}
    return {**found, **parse_digests(headers.get_all("repr-digest"))}
