"""Payloads as they go on the wire: by their length, from a file, or in chunks (RFC 9112 7.1)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Protocol

from restkit.errors import InvalidHeader, PayloadError
from restkit.headers import Headers

if TYPE_CHECKING:
    from restkit.files import RegularPayload
    from restkit.payload import Buffer, Payload

_OF_THE_WIRE = frozenset(("connection", "content-length", "host", "trailer", "transfer-encoding"))


class Outgoing(Protocol):
    """A payload with its framing: to iterate it is to send it."""

    @property
    def payload(self) -> Payload:
        """What is sent."""

    def __iter__(self) -> Iterator[list[Buffer]]:
        """What goes out together, one piece of the payload at a time."""


class SizedOut:
    """A payload that goes out as it is: its length is in the head, and it holds itself to it."""

    __slots__ = ("payload",)

    def __init__(self, payload: Payload) -> None:
        self.payload = payload

    def __iter__(self) -> Iterator[list[Buffer]]:
        for piece in self.payload:
            yield [piece]


class FileOut(SizedOut):
    """A region of a regular file: where the connection can, the system sends it by itself."""

    __slots__ = ()
    payload: RegularPayload


class ChunkedOut:
    """A payload that goes out in chunks, one for each of its pieces."""

    __slots__ = ("payload",)

    def __init__(self, payload: Payload) -> None:
        self.payload = payload

    def __iter__(self) -> Iterator[list[Buffer]]:
        for piece in self.payload:
            yield [b"%x\r\n" % len(piece), piece, b"\r\n"]
        fields = self.payload.trailers()
        yield [b"0\r\n%b\r\n" % _trailers(self.payload, fields).lines().encode("latin-1")]


def _trailers(payload: Payload, fields: Sequence[tuple[str, str]]) -> Headers:
    try:
        trailers = Headers(fields)
    except InvalidHeader as exc:
        # No RequestError: what frames the trailers is on its way.
        raise PayloadError(f"{payload!r} has a trailer that cannot be sent: {exc}") from exc
    refuse_of_a_payload(payload, trailers)
    return trailers


def refuse_of_a_payload(payload: Payload, fields: Headers) -> None:
    """Raise PayloadError for fields that are the wire's own business, and not a payload's."""
    wrong = fields.names() & _OF_THE_WIRE
    if wrong:
        raise PayloadError(f"{payload!r} wants to send {', '.join(sorted(wrong))}, which frame it")
