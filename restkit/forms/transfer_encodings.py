"""Encode the parts of a form as base64 or quoted-printable (RFC 2045 6).

Base64 is one line: HTTP has no maximum line length, and not every decoder of forms skips line ends
(python-multipart 0.0.34 takes four characters at a time, whatever they are). In quoted-printable
every CR and LF is encoded, as 6.7 requires for data that may not be text, so that all bytes are
preserved. Its lines have at most 76 characters.
"""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Callable, Generator, Iterator

from restkit.io.buffers import Buffer, close_if_possible
from restkit.payload.base import Payload, PayloadWrapper
from restkit.payload.values import BytesPayload

_NEEDS_ESCAPE = re.compile(rb"[^ !-<>-~]")
# As much as fits without cutting an escape, if something follows. The last line has no "=" at its
# end, but may need two characters more for a final space, hence 73 and not 75.
_SOFT_LINE = re.compile(rb".{71}(?:[^=]{2}|[^=](?==)|(?==))(?=.)")


def check_transfer_encoding(value: object, label: str) -> str | None:
    """Return the name of a transfer encoding, or None for none. ``label`` names it in errors.

    Raises TypeError for a value that is no str, ValueError for an unknown encoding.
    """
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise TypeError(f"{label} must be str; got {type(value).__name__}")
    if value.lower() not in _ENCODERS:
        raise ValueError(f"{label} must be one of {', '.join(_ENCODERS)}; got {value!r}")
    return value.lower()


def encode_payload(payload: Payload, encoding: str | None) -> Payload:
    """Return the payload in an encoding that was checked.

    >>> encode_payload(BytesPayload(b'some words'), 'base64')
    <Base64Payload of <BytesPayload 10 bytes, replayable> 16 bytes, replayable>
    """
    encoder = _ENCODERS[encoding] if encoding else None
    return encoder(payload) if encoder else payload


class _EncodedPayload(PayloadWrapper):
    """Another payload in an encoding."""

    def __init__(self, payload: Payload) -> None:
        super().__init__(payload)
        self.length = None

    def chunks(self) -> Iterator[Buffer]:
        chunks = iter(self._payload)
        try:
            yield from self._encode(chunks)
        finally:
            close_if_possible(chunks)

    @abstractmethod
    def _encode(self, chunks: Iterator[Buffer]) -> Generator[Buffer, None, None]:
        """Yield these chunks, encoded."""


class Base64Payload(_EncodedPayload):
    """Base64 in one line. Its length is known if the payload has one."""

    def __init__(self, payload: Payload) -> None:
        super().__init__(payload)
        if payload.length is not None:
            self.length = (payload.length + 2) // 3 * 4

    def _encode(self, chunks: Iterator[Buffer]) -> Generator[Buffer, None, None]:
        from binascii import b2a_base64

        held = b""
        for chunk in chunks:
            held += chunk
            size = len(held) - len(held) % 3
            yield b2a_base64(memoryview(held)[:size], newline=False)
            held = held[size:]
        yield b2a_base64(held, newline=False)


class QuotedPrintablePayload(_EncodedPayload):
    """Quoted-printable. Its length is known if the payload is in memory."""

    def __init__(self, payload: Payload) -> None:
        super().__init__(payload)
        if isinstance(payload, BytesPayload):
            self.length = sum(map(len, self.chunks()))

    def _encode(self, chunks: Iterator[Buffer]) -> Generator[Buffer, None, None]:
        held = b""
        for chunk in chunks:
            held += _NEEDS_ESCAPE.sub(_escape, bytes(chunk))
            lines = _SOFT_LINE.findall(held)
            yield b"".join([line + b"=\r\n" for line in lines])
            held = held[sum(map(len, lines)) :]
        yield held[:-1] + b"=20" if held.endswith(b" ") else held


def _escape(match: re.Match[bytes]) -> bytes:
    return b"=%02X" % match[0][0]


_ENCODERS: dict[str, Callable[[Payload], Payload] | None] = {
    "base64": Base64Payload,
    "quoted-printable": QuotedPrintablePayload,
    "binary": None,
}
