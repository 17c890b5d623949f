"""Check the digest of received bytes.

What is received, checked against the digests that came with it (RFC 9530).

``Content-Digest`` is of the content of this message as it came: with its content codings, without
chunks (2). ``Repr-Digest`` is of the selected representation (3), which is the same in the answer
to a GET that is no part of it; for other methods the two may be different things (3.1), and it is
not looked at. Where there is no content, as in the answer to HEAD, the fields are of what is
not there. In trailers, digests are checked where a ``Trailer`` field announced them: what was not
hashed on its way cannot be any more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from restkit.content_digest.fields import digest_field, known_algorithms, new_hash, parse_digests
from restkit.errors import IntegrityError
from restkit.headers import Headers

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Protocol

    from restkit.io.buffers import Buffer

    class Source(Protocol):
        """Where the rest of a body comes from; ``body.py`` says what is asked of it."""

        def read_piece(self) -> Buffer:
            """The next piece as it comes."""

        def readinto(self, view: memoryview) -> int:
            """Fill ``view`` with what comes next."""

        def close(self) -> None:
            """Let go of what is still to come."""

    class Framing(Protocol):
        """What the framing of a body tells."""

        @property
        def length(self) -> int | None:
            """The length of the whole, where the head told it."""

        @property
        def trailers(self) -> list[tuple[str, str]]:
            """The fields behind it, once it has ended."""


_PARTIAL = frozenset((206, 226))


class DigestCheck:
    """The digests that a body is to have, and the hashes of what has come of it."""

    __slots__ = ("_hashes", "_names", "_wanted", "came")

    def __init__(
        self, names: Sequence[str], wanted: list[tuple[str, str, bytes]], algorithms: set[str]
    ) -> None:
        self.came = 0
        self._names = names
        self._wanted = wanted
        self._hashes: dict[str, Any] = {name: new_hash(name) for name in algorithms}

    def update(self, data: Buffer) -> None:
        """Take note of what has come."""
        self.came += len(data)
        for hashed in self._hashes.values():
            hashed.update(data)

    def verify(self, trailers: Sequence[tuple[str, str]]) -> None:
        """Raise IntegrityError unless what has come is the body that the digests are of."""
        said_behind = _digests_in(Headers.of_trusted(list(trailers)), self._names)
        for name, algorithm, wanted in [*self._wanted, *said_behind]:
            hashed = self._hashes.get(algorithm)
            if hashed is not None and hashed.digest() != wanted:
                found = digest_field(algorithm, hashed.digest())
                raise IntegrityError(
                    f"the body is not the one that its {name} is of: that says "
                    f"{digest_field(algorithm, wanted)}, and {self.came} bytes came, of {found}"
                )


def digest_check(method: str, status: int, headers: Headers) -> DigestCheck | None:
    """What the body of an answer to this method can be held to; None where that is nothing."""
    if method in ("HEAD", "CONNECT") or status < 200 or status in (204, 304):
        return None
    names = ["Content-Digest"]
    if method == "GET" and status not in _PARTIAL:
        names.append("Repr-Digest")
    return check_by(names, headers)


def check_by(names: Sequence[str], headers: Headers) -> DigestCheck | None:
    """What a body is held to by these fields, in its head or announced to come behind it."""
    wanted = _digests_in(headers, names)
    algorithms = {algorithm for _, algorithm, _ in wanted}
    if _announced(headers) & {name.lower() for name in names}:
        algorithms.update(known_algorithms())
    return DigestCheck(names, wanted, algorithms) if algorithms else None


def _announced(headers: Headers) -> set[str]:
    """The names, in lower case, of the trailers that are to come."""
    names = ",".join(headers.get_all("trailer")).split(",")
    return {name.strip(" \t").lower() for name in names}


def _digests_in(headers: Headers, names: Sequence[str]) -> list[tuple[str, str, bytes]]:
    """Field, algorithm and digest of each one that is known."""
    return [
        (name, algorithm, digest)
        for name in names
        for algorithm, digest in parse_digests(headers.get_all(name)).items()
    ]


class CheckedSource:
    """The rest of a body, which raises IntegrityError in place of an end that is not the right one.

    Where the length is known, in place of the last piece: a body that does not match is never
    whole. It raises the same at every later call. ``close()`` closes the other source.
    """

    __slots__ = ("_check", "_fault", "_framing", "_source")

    def __init__(self, source: Source, check: DigestCheck, framing: Framing) -> None:
        self._source = source
        self._check = check
        self._framing = framing
        self._fault: str | None = None

    def read_piece(self) -> Buffer:
        self._refuse_if_faulty()
        piece = self._source.read_piece()
        self._note(piece)
        return piece

    def readinto(self, view: memoryview) -> int:
        self._refuse_if_faulty()
        count = self._source.readinto(view)
        with view[:count] as part:
            self._note(part)
        return count

    def _note(self, data: Buffer) -> None:
        self._check.update(data)
        if data and self._check.came != self._framing.length:
            return
        try:
            self._check.verify(self._framing.trailers)
        except IntegrityError as exc:
            self._fault = exc.message
            raise

    def _refuse_if_faulty(self) -> None:
        if self._fault is not None:
            raise IntegrityError(self._fault)

    def close(self) -> None:
        self._source.close()

    def __repr__(self) -> str:
        state = "faulty" if self._fault else f"{self._check.came} bytes so far"
        return f"<CheckedSource, {state}>"
