"""A request that is ready to be sent.

Payloads as they go on the wire: by their length, from a file, or in chunks (RFC 9112 7.1).

One request as the wire takes it: a head in bytes, a framed body, and the time there is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

from restkit.errors import InvalidHeader, PayloadError
from restkit.headers import Headers

if TYPE_CHECKING:
    from collections.abc import Callable

    from restkit.io.buffers import Buffer
    from restkit.io.spool import Spool
    from restkit.payload.base import Payload
    from restkit.payload.files import RegularPayload
    from restkit.timeouts import Deadline


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


class Sending(NamedTuple):
    """One request, ready to go on any connection.

    ``expects``: ask with 100-continue before the body goes. ``closes``: it says of itself that it
    is the last one of its connection.
    """

    method: str
    head: bytes
    body: Outgoing | None
    clock: Deadline
    new_spool: Callable[[], Spool]
    expects: bool = False
    closes: bool = False

    def so_far(self, sent_bytes: int) -> str:
        """How much of the payload is among the bytes that have left: '60 of 100 bytes'."""
        sent = f"{max(0, sent_bytes - len(self.head))}"
        if self.body is not None and self.body.payload.length is not None:
            sent += f" of {self.body.payload.length}"
        return f"{sent} bytes"
