"""Content-Encoding: what its fields say, what is asked for, and a source without it.

A body of no bytes at all is empty, whatever its codings: servers announce a coding over answers
that have no content.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from restkit.decoder import Decoder, supported_codings
from restkit.errors import DecodingError, TransportError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Protocol

    class ByteSource(Protocol):
        """Where bytes come from, as they arrive."""

        def read_piece(self) -> bytes | bytearray | memoryview:
            """The next piece, good until the next call; blocks; empty at the end."""

        def close(self) -> None:
            """Let go of what is behind it; may be called twice."""


_ALIASES = {"x-gzip": "gzip"}
_MOST_CODINGS = 5
_NOTHING = memoryview(b"")


class DecodedSource:
    """Another source without its content codings, which are given in the order of their header.

    At most about STEP decoded bytes are held for each coding, whatever the bytes would swell
    to. Bytes come out as soon as they can be had. ``close()`` closes the other source.
    """

    __slots__ = ("_closed", "_decoder", "_ended", "_held", "_source")

    def __init__(self, source: ByteSource, codings: Sequence[str]) -> None:
        # The coding that was applied last is the first to come off.
        first, *others = codings
        self._source: ByteSource = DecodedSource(source, others) if others else source
        self._decoder = Decoder(first)
        self._held = _NOTHING
        self._ended = False
        self._closed = False

    def read_piece(self) -> bytes:
        """The next decoded piece, ``b''`` at the end; blocks, and raises DecodingError."""
        if self._held:
            piece = bytes(self._held)
            self._held = _NOTHING
            return piece
        return self._decode()

    def readinto(self, view: memoryview) -> int:
        """Fill some of ``view``; 0 at the end; blocks, and raises DecodingError."""
        held = self._held or memoryview(self._decode())
        size = min(len(view), len(held))
        view[:size] = held[:size]
        self._held = held[size:] or _NOTHING
        return size

    def _decode(self) -> bytes:
        while True:
            piece = self._decoder.produce()
            if piece:
                return piece
            data = _NOTHING if self._ended else self._source.read_piece()
            if self._closed:
                # By another thread, and so no end of the body, whatever the source has said.
                raise TransportError("the body was closed before its end had come")
            if not data:
                self._ended = True
                self._decoder.finish()
                return b""
            self._decoder.feed(data)

    def close(self) -> None:
        """Close the other source, from any thread: who reads gets an error; may be called twice."""
        self._closed = True
        self._source.close()

    def __repr__(self) -> str:
        state = "closed" if self._closed else "at its end" if self._ended else "open"
        return f"<DecodedSource of {self._decoder.name}, {state}>"


def parse_codings(values: Sequence[str]) -> tuple[str, ...] | None:
    """The codings that Content-Encoding fields name, in the order applied; None: not known here.

    ``identity`` is left out. More than five raise DecodingError: no one applies that many, but
    each takes time, and a bomb in it multiplies.
    """
    names = [name.strip(" \t").lower() for value in values for name in value.split(",")]
    codings = tuple(_ALIASES.get(name, name) for name in names if name not in ("", "identity"))
    if not set(codings).issubset(supported_codings()):
        return None
    if len(codings) > _MOST_CODINGS:
        raise DecodingError(
            f"{len(codings)} content codings one over another; {_MOST_CODINGS} are the most"
        )
    return codings


@cache
def accept_encoding() -> str:
    """The value of Accept-Encoding that asks for no more than can be decoded."""
    return ", ".join(supported_codings())
