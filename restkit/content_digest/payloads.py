"""Payloads that compute a digest while they are sent.

The digest is for the caller, or for the receiver in a Content-Digest field (RFC 9530).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from copy import copy
from typing import Any

from restkit.content_digest.fields import SHA_256, format_digest, make_hash
from restkit.errors import Error, PayloadError, RequestError
from restkit.io.buffers import Buffer, close_if_possible
from restkit.payload.base import CheckTime, Payload, TransparentWrapper
from restkit.payload.convert import as_payload
from restkit.payload.files import RegularPayload

_FIELD_NAME = "Content-Digest"


def hashing(source: object, algorithm: str = "sha256") -> HashingPayload:
    """Return a payload that is hashed while it is sent.

    ``source`` is anything that can be a payload, ``algorithm`` is a name in hashlib. Raises
    RequestError for an unknown algorithm.

    >>> payload = hashing('some words', 'md5')
    >>> b''.join(payload), payload.hexdigest()
    (b'some words', '45274721987e0624326a67b74e146d61')
    """
    payload = as_payload(source)
    if payload is None:
        raise TypeError("None cannot be hashed; pass b'' for an empty payload")
    return HashingPayload(payload, _find_hash(algorithm))


def add_content_digest(payload: Payload, check_time: CheckTime | None = None) -> Payload:
    """Return the payload with its SHA-256 as ``Content-Digest`` (RFC 9530 2).

    A payload that is replayable and has a length is read once here, at about one second per GB,
    and gets a header. Any other payload gets a trailer. Its length is then dropped, because
    trailers need chunked framing. A payload that has the field already is returned unchanged.
    ``check_time`` is called between two chunks; it raises an error when the time is over.

    >>> add_content_digest(as_payload('abc')).headers[-1]
    ('Content-Digest', 'sha-256=:ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=:')
    """
    if any(name.lower() == "content-digest" for name, _ in payload.headers):
        return payload
    if payload.length is None or not payload.replayable:
        return DigestedPayload(payload)
    headers = (*payload.headers, (_FIELD_NAME, _read_digest(payload, check_time)))
    # A copy of a file payload keeps its type, which the system can send with sendfile().
    is_file = isinstance(payload, RegularPayload)
    announced = copy(payload) if is_file else TransparentWrapper(payload)
    announced.headers = headers
    return announced


class HashingPayload(TransparentWrapper):
    """A payload that computes the digest of the bytes sent.

    The digest is available after a complete pass, until the next pass begins.
    """

    def __init__(self, payload: Payload, make_hasher: Callable[[], Any]) -> None:
        super().__init__(payload)
        self._make_hasher = make_hasher
        self._digest: bytes | None = None

    def digest(self) -> bytes:
        """Return the digest of all bytes. Raises PayloadError before a pass is complete."""
        if self._digest is None:
            raise PayloadError(f"{self!r} has no digest yet: it must be sent completely first")
        return self._digest

    def hexdigest(self) -> str:
        """Return the digest in hexadecimal digits."""
        return self.digest().hex()

    def chunks(self) -> Iterator[Buffer]:
        self._digest = None
        hasher = self._make_hasher()
        chunks = iter(self._payload)
        try:
            for chunk in chunks:
                hasher.update(chunk)
                yield chunk
            self._digest = hasher.digest()
        finally:
            close_if_possible(chunks)


class DigestedPayload(HashingPayload):
    """A payload that ends with its Content-Digest in a trailer."""

    def __init__(self, payload: Payload) -> None:
        super().__init__(payload, _make_sha_256)
        self.length = None
        self.trailer_names = (*payload.trailer_names, _FIELD_NAME)

    def trailers(self) -> Sequence[tuple[str, str]]:
        return [*super().trailers(), (_FIELD_NAME, format_digest(SHA_256, self.digest()))]


def _read_digest(payload: Payload, check_time: CheckTime | None) -> str:
    """Read a payload and return the value of its Content-Digest."""
    hashed = HashingPayload(payload, _make_sha_256)
    reads_source = True
    try:
        for _ in hashed:
            reads_source = False
            if check_time is not None:
                check_time()
            reads_source = True
    except Error as error:
        error.sent, error.out_of_payload = "nothing", reads_source
        raise
    return format_digest(SHA_256, hashed.digest())


def _make_sha_256() -> Any:
    return make_hash(SHA_256)


def _find_hash(name: str) -> Callable[[], Any]:
    """Return the constructor of a hash. Raises RequestError without a hash of fixed length."""
    import hashlib
    from functools import partial

    make_hasher = partial(hashlib.new, name)
    try:
        size = make_hasher().digest_size
    except (ValueError, TypeError) as exc:
        raise RequestError(f"algorithm={name!r}: hashlib has no such hash here") from exc
    if not size:
        raise RequestError(f"algorithm={name!r} has no fixed length; use one that has, as sha256")
    return make_hasher
