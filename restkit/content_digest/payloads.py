"""Payloads that carry the digest of their bytes.

Digests of what is sent: for the caller to look at, or for the receiver to check (RFC 9530).
"""

from __future__ import annotations

from copy import copy
from typing import TYPE_CHECKING, Any

from restkit.content_digest.fields import SHA_256, digest_field, new_hash
from restkit.errors import Error, PayloadError, RequestError
from restkit.io.buffers import close_if_it_can
from restkit.payload.base import TransparentWrapper
from restkit.payload.convert import as_payload
from restkit.payload.files import RegularPayload

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from restkit.io.buffers import Buffer
    from restkit.payload.base import Payload


_FIELD = "Content-Digest"


def hashing(source: object, algorithm: str = "sha256") -> HashingPayload:
    """Whatever can be sent, hashed while it is sent.

    ``algorithm`` is a name of hashlib's. Raises RequestError for one that is not there.

    >>> payload = hashing('some words', 'md5')
    >>> b''.join(payload), payload.hexdigest()
    (b'some words', '45274721987e0624326a67b74e146d61')
    """
    payload = as_payload(source)
    if payload is None:
        raise TypeError("None is no payload to hash; b'' is an empty one")
    return HashingPayload(payload, _hash_named(algorithm))


def digested(payload: Payload) -> Payload:
    """The payload with its SHA-256 as ``Content-Digest`` (RFC 9530 2).

    In its headers, where it has a length and can be sent again: for that it is read through once,
    here, at about a second for each GB. Else in a trailer; then its length, if it has one, is not
    told, since trailers go only with chunks. One that has the field already stays as it is.
    """
    if any(name.lower() == "content-digest" for name, _ in payload.headers):
        return payload
    if payload.length is None or not payload.replayable:
        return DigestedPayload(payload)
    headers = (*payload.headers, (_FIELD, _field_of(payload)))
    if isinstance(payload, RegularPayload):
        # The same file, of a type that the system sends by itself.
        announced = copy(payload)
        announced.headers = headers
        return announced
    return _AnnouncedPayload(payload, headers)


class HashingPayload(TransparentWrapper):
    """A payload, and the digest of what was sent of it.

    The digest is there once a pass has come to its end, and goes when the next one begins.
    """

    def __init__(self, payload: Payload, new: Callable[[], Any]) -> None:
        super().__init__(payload)
        self._new = new
        self._digest: bytes | None = None

    def digest(self) -> bytes:
        """The digest of all that was sent; raises PayloadError until that is so."""
        if self._digest is None:
            raise PayloadError(f"{self!r} has no digest yet: it has not been sent to its end")
        return self._digest

    def hexdigest(self) -> str:
        """The same in hexadecimal digits."""
        return self.digest().hex()

    def chunks(self) -> Iterator[Buffer]:
        self._digest = None
        hashed = self._new()
        pieces = iter(self._payload)
        try:
            for piece in pieces:
                hashed.update(piece)
                yield piece
            self._digest = hashed.digest()
        finally:
            close_if_it_can(pieces)


class DigestedPayload(HashingPayload):
    """A payload that ends with its Content-Digest, in a trailer."""

    def __init__(self, payload: Payload) -> None:
        super().__init__(payload, _new_sha_256)
        self.length = None
        self.trailer_names = (*payload.trailer_names, _FIELD)

    def trailers(self) -> Sequence[tuple[str, str]]:
        return [*super().trailers(), (_FIELD, digest_field(SHA_256, self.digest()))]


class _AnnouncedPayload(TransparentWrapper):
    """A payload with other headers."""

    def __init__(self, payload: Payload, headers: Sequence[tuple[str, str]]) -> None:
        super().__init__(payload)
        self.headers = headers


def _field_of(payload: Payload) -> str:
    """The value of Content-Digest, for which a payload is read through."""
    hashed = HashingPayload(payload, _new_sha_256)
    try:
        for _ in hashed:
            pass
    except Error as error:
        error.sent, error.out_of_payload = "nothing", True
        raise
    return digest_field(SHA_256, hashed.digest())


def _new_sha_256() -> Any:
    return new_hash(SHA_256)


def _hash_named(name: str) -> Callable[[], Any]:
    """What makes hashes of this name; RequestError where hashlib has none of a fixed length."""
    import hashlib
    from functools import partial

    new = partial(hashlib.new, name)
    try:
        size = new().digest_size
    except (ValueError, TypeError) as exc:
        raise RequestError(f"algorithm={name!r}: hashlib has no such hash here") from exc
    if not size:
        raise RequestError(f"algorithm={name!r} has no length of its own; sha256 is one that has")
    return new
