"""Encode parts as base64 or quoted-printable.

Payloads in base64 and quoted-printable, for the parts of a form (RFC 2045 6).

Base64 comes in one line: HTTP knows no longest line, and not every decoder of forms skips line
ends (python-multipart 0.0.34 takes four characters at a time, whatever they are). In
quoted-printable every CR and LF is encoded, as 6.7 wants it of what may not be text, so that any
bytes come back; its lines have at most 76 characters.
"""

from __future__ import annotations

import re
from abc import abstractmethod
from typing import TYPE_CHECKING

from restkit.io.buffers import close_if_it_can
from restkit.payload.base import PayloadWrapper
from restkit.payload.values import BytesPayload

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from restkit.io.buffers import Buffer
    from restkit.payload.base import Payload


_NOT_PLAIN = re.compile(rb"[^ !-<>-~]")
# As much as fits, no escape cut in two, and something behind it. The last line has no such mark
# and may need two more for a space at its end, hence 73 and not 75.
_SOFT_LINE = re.compile(rb".{71}(?:[^=]{2}|[^=](?==)|(?==))(?=.)")


class _Encoded(PayloadWrapper):
    """Another payload in an encoding; it is sent, and sent again, as that one is."""

    def __init__(self, payload: Payload) -> None:
        super().__init__(payload)
        self.length = None

    def chunks(self) -> Iterator[Buffer]:
        pieces = iter(self._payload)
        try:
            yield from self._encoded(pieces)
        finally:
            close_if_it_can(pieces)

    @abstractmethod
    def _encoded(self, pieces: Iterator[Buffer]) -> Generator[Buffer, None, None]:
        """These pieces, encoded."""


class Base64Payload(_Encoded):
    """Base64, in one line; of exact length where the payload has one."""

    def __init__(self, payload: Payload) -> None:
        super().__init__(payload)
        if payload.length is not None:
            self.length = (payload.length + 2) // 3 * 4

    def _encoded(self, pieces: Iterator[Buffer]) -> Generator[Buffer, None, None]:
        from binascii import b2a_base64

        held = b""
        for piece in pieces:
            held += piece
            whole = len(held) - len(held) % 3
            yield b2a_base64(memoryview(held)[:whole], newline=False)
            held = held[whole:]
        yield b2a_base64(held, newline=False)


class QuotedPrintablePayload(_Encoded):
    """Quoted-printable; of exact length where the payload is in memory, and can be looked at."""

    def __init__(self, payload: Payload) -> None:
        super().__init__(payload)
        if isinstance(payload, BytesPayload):
            self.length = sum(map(len, self.chunks()))

    def _encoded(self, pieces: Iterator[Buffer]) -> Generator[Buffer, None, None]:
        held = b""
        for piece in pieces:
            held += _NOT_PLAIN.sub(_escape, bytes(piece))
            lines = _SOFT_LINE.findall(held)
            yield b"".join([line + b"=\r\n" for line in lines])
            held = held[sum(map(len, lines)) :]
        yield held[:-1] + b"=20" if held.endswith(b" ") else held


_ENCODERS: dict[str, Callable[[Payload], Payload] | None] = {
    "base64": Base64Payload,
    "quoted-printable": QuotedPrintablePayload,
    "binary": None,
}


def checked_encoding(value: object, what: str) -> str | None:
    """The name of a transfer encoding, None for none; TypeError or ValueError for what is none."""
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise TypeError(f"{what} is of type {type(value).__name__}; str is wanted")
    if value.lower() not in _ENCODERS:
        raise ValueError(f"{what} is {value!r}; one of {', '.join(_ENCODERS)} is wanted")
    return value.lower()


def transfer_encoded(payload: Payload, encoding: str | None) -> Payload:
    """The payload in an encoding that has been checked."""
    encoder = _ENCODERS[encoding] if encoding else None
    return encoder(payload) if encoder else payload


def _escape(found: re.Match[bytes]) -> bytes:
    return b"=%02X" % found[0][0]
