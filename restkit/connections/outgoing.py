"""A request that is ready to be sent: its head, its framed payload and its options."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, Protocol

from restkit.errors import InvalidHeader, PayloadError
from restkit.headers import Headers
from restkit.http1.writing import encode_chunk, encode_last_chunk
from restkit.io.buffers import Buffer
from restkit.io.spool import Spool
from restkit.payload.base import Payload, can_send
from restkit.payload.files import RegularPayload

_FRAMING_FIELDS = frozenset(
    ("connection", "content-length", "host", "trailer", "transfer-encoding")
)


class FramedPayload(Protocol):
    """A payload with its framing (RFC 9112 6); iterating it sends it.

    ``complete`` is true once the last chunk of the pass was returned.
    """

    complete: bool

    @property
    @abstractmethod
    def payload(self) -> Payload:
        """The payload without its framing."""

    @abstractmethod
    def __iter__(self) -> Iterator[list[Buffer]]:
        """Yield each chunk as a list of buffers that are sent together."""


class SizedFraming:
    """A payload framed by its Content-Length; the payload checks its own length."""

    __slots__ = ("complete", "payload")

    def __init__(self, payload: Payload) -> None:
        self.payload = payload
        self.complete = False

    def __iter__(self) -> Iterator[list[Buffer]]:
        left = self.payload.length or 0
        self.complete = not left
        for chunk in self.payload:
            left -= len(chunk)
            self.complete = not left
            yield [chunk]


class FileFraming(SizedFraming):
    """A region of a regular file, sent by ``sendfile`` where the connection allows it."""

    __slots__ = ()
    payload: RegularPayload


class ChunkedFraming:
    """A payload in HTTP chunks (RFC 9112 7.1), one for each of its own chunks."""

    __slots__ = ("complete", "payload")

    def __init__(self, payload: Payload) -> None:
        self.payload = payload
        self.complete = False

    def __iter__(self) -> Iterator[list[Buffer]]:
        self.complete = False
        for chunk in self.payload:
            yield encode_chunk(chunk)
        fields = self.payload.trailers()
        self.complete = True
        yield [encode_last_chunk(_trailers(self.payload, fields).lines())]


def _trailers(payload: Payload, fields: Sequence[tuple[str, str]]) -> Headers:
    try:
        trailers = Headers(fields)
    except InvalidHeader as exc:
        # Not a RequestError: part of the request has been sent.
        raise PayloadError(f"{payload!r} has a trailer that cannot be sent: {exc}") from exc
    check_payload_fields(payload, trailers)
    return trailers


def check_payload_fields(payload: Payload, fields: Headers) -> None:
    """Raise PayloadError for fields of a payload that only the framing may set."""
    wrong = fields.names() & _FRAMING_FIELDS
    if wrong:
        raise PayloadError(
            f"{payload!r} sets {', '.join(sorted(wrong))}, which only the framing may set"
        )


class OutgoingRequest(NamedTuple):
    """One request, ready to be sent on any connection of its route.

    ``expects_continue``: wait for 100 Continue before the payload is sent. ``closes``: the request
    has ``Connection: close``. ``early_limit``: how many bytes of the response's body are received,
    at most, while the payload is being sent; None for no limit.
    """

    method: str
    head: bytes
    body: FramedPayload | None
    new_spool: Callable[[], Spool]
    expects_continue: bool = False
    closes: bool = False
    early_limit: int | None = None

    @property
    def target(self) -> str:
        """The target in the request line: a path, ``*``, or the whole URL for a proxy."""
        return self.head.split(b" ", 2)[1].decode("latin-1")

    @property
    def can_send(self) -> bool:
        """Whether the payload can be sent, or sent again, from its first byte."""
        return self.body is None or can_send(self.body.payload)

    def describe_sent(self, sent_bytes: int) -> str:
        """Return how much of the payload was sent, as text: '60 of 100 bytes'.

        ``sent_bytes`` includes the head.
        """
        sent = f"{max(0, sent_bytes - len(self.head))}"
        if self.body is not None and self.body.payload.length is not None:
            sent += f" of {self.body.payload.length}"
        return f"{sent} bytes"
