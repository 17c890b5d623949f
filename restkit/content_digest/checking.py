"""Check received bytes against the digests in their message (RFC 9530).

``Content-Digest`` covers the content of this message as received: with its content codings,
without HTTP chunk framing (section 2). ``Repr-Digest`` covers the selected representation
(section 3). In a response to GET that is not partial this is the same content; for other methods
it may differ (3.1), so it is not checked. A response without content, such as one to HEAD,
describes content that was not sent. Digests in trailers are checked if a ``Trailer`` field
announced them, because received bytes cannot be hashed later.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from restkit.content_digest.fields import ALGORITHMS, format_digest, make_hash, parse_digests
from restkit.errors import IntegrityError
from restkit.headers import Headers
from restkit.io.buffers import Buffer, Source

if TYPE_CHECKING:
    from typing import Protocol

    class Framing(Protocol):
        """The length and trailers of a body."""

        @property
        def length(self) -> int | None:
            """The length of the whole body, if the head declares it."""

        @property
        @abstractmethod
        def trailers(self) -> list[tuple[str, str]]:
            """The fields after the body, available when it has ended."""


_PARTIAL = frozenset((206, 226))


class DigestCheck:
    """The expected digests of a body, and the hashes of the bytes received so far."""

    __slots__ = ("_expected", "_field_names", "_hashes", "received")

    def __init__(
        self,
        field_names: Sequence[str],
        expected: list[tuple[str, str, bytes]],
        algorithms: Iterable[str],
    ) -> None:
        self.received = 0
        self._field_names = field_names
        self._expected = expected
        self._hashes: dict[str, Any] = {name: make_hash(name) for name in algorithms}

    def update(self, data: Buffer) -> None:
        """Hash received bytes."""
        self.received += len(data)
        for hasher in self._hashes.values():
            hasher.update(data)

    def verify(self, trailers: Sequence[tuple[str, str]]) -> None:
        """Raise IntegrityError unless the received bytes match every expected digest."""
        in_trailers = _find_digests(Headers.from_trusted(list(trailers)), self._field_names)
        for field_name, algorithm, expected in [*self._expected, *in_trailers]:
            hasher = self._hashes.get(algorithm)
            if hasher is not None and hasher.digest() != expected:
                raise IntegrityError(
                    f"the body does not match its {field_name}: expected "
                    f"{format_digest(algorithm, expected)}, got "
                    f"{format_digest(algorithm, hasher.digest())} for {self.received} bytes"
                )


def make_response_check(method: str, status: int, headers: Headers) -> DigestCheck | None:
    """Return the check for the body of a response, or None if there is nothing to check."""
    if method in ("HEAD", "CONNECT") or status < 200 or status in (204, 304):
        return None
    field_names = ["Content-Digest"]
    if method == "GET" and status not in _PARTIAL:
        field_names.append("Repr-Digest")
    return make_check(field_names, headers)


def make_check(field_names: Sequence[str], headers: Headers) -> DigestCheck | None:
    """Return the check for these fields in the head or in announced trailers, or None.

    >>> digest = 'sha-256=:ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=:'
    >>> headers = Headers({'Content-Digest': digest})
    >>> check = make_check(['Content-Digest'], headers)
    >>> check.update(b'abc')
    >>> check.verify(trailers=[])
    """
    expected = _find_digests(headers, field_names)
    algorithms = {algorithm for _, algorithm, _ in expected}
    if _announced_trailers(headers) & {name.lower() for name in field_names}:
        algorithms.update(ALGORITHMS)
    return DigestCheck(field_names, expected, algorithms) if algorithms else None


def _announced_trailers(headers: Headers) -> set[str]:
    """Return the lowercase names in the Trailer field."""
    names = ",".join(headers.get_all("trailer")).split(",")
    return {name.strip(" \t").lower() for name in names}


def _find_digests(headers: Headers, field_names: Sequence[str]) -> list[tuple[str, str, bytes]]:
    """Return field name, algorithm and digest for each known algorithm."""
    return [
        (name, algorithm, digest)
        for name in field_names
        for algorithm, digest in parse_digests(headers.get_all(name)).items()
    ]


class CheckedSource:
    """The rest of a body, checked against its digests.

    Raises IntegrityError at the end if a digest does not match, and again at each later call. If
    the length is known, it raises in place of the last chunk, so that a body that does not match
    is never complete. ``close()`` closes the inner source.
    """

    __slots__ = ("_check", "_fault", "_framing", "_source")

    def __init__(self, source: Source, check: DigestCheck, framing: Framing) -> None:
        self._source = source
        self._check = check
        self._framing = framing
        self._fault: str | None = None

    def read_chunk(self) -> Buffer:
        """Return the next chunk, or b'' at the end of a body that matches."""
        self._raise_fault()
        chunk = self._source.read_chunk()
        self._update(chunk)
        return chunk

    def readinto(self, view: memoryview) -> int:
        """Fill ``view`` with the next bytes and return the count, or 0 at the end."""
        self._raise_fault()
        count = self._source.readinto(view)
        with view[:count] as filled:
            self._update(filled)
        return count

    def _update(self, data: Buffer) -> None:
        self._check.update(data)
        if data and self._check.received != self._framing.length:
            return
        try:
            self._check.verify(self._framing.trailers)
        except IntegrityError as exc:
            self._fault = exc.message
            raise

    def _raise_fault(self) -> None:
        if self._fault is not None:
            raise IntegrityError(self._fault)

    def close(self) -> None:
        """Close the inner source."""
        self._source.close()

    def __repr__(self) -> str:
        state = "faulty" if self._fault else f"{self._check.received} bytes so far"
        return f"<CheckedSource, {state}>"
