"""The requests that a LocalServer has received.

What came on a connection, byte for byte, taken apart into its requests as it comes.
"""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING, NamedTuple

from restkit.errors import ParserError
from restkit.http1.framing import request_body_reader
from restkit.http1.request_head import RequestHead, parse_request_head

if TYPE_CHECKING:
    from restkit.headers import Headers
    from restkit.http1.framing import BodyReader


class Received(NamedTuple):
    """One request as it came, or as much of it as came.

    ``head`` (with the empty line behind it) and ``body`` are what was on the wire, chunks and all;
    ``content`` is the body without its framing. ``connection`` counts from 0. ``whole``: it came
    to its end.
    """

    connection: int
    method: str
    target: str
    headers: Headers
    head: bytes
    body: bytes
    content: bytes
    whole: bool


class Log:
    """What has come on all connections of a server, in the order in which heads were there."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._arrivals: list[Arrivals] = []
        self._requests: list[_Arriving] = []

    def connection(self) -> Arrivals:
        """The arrivals of one more connection."""
        with self._lock:
            arrivals = Arrivals(len(self._arrivals), self)
            self._arrivals.append(arrivals)
        return arrivals

    def begin(self, request: _Arriving) -> None:
        """Take one more request in."""
        with self._lock:
            self._requests.append(request)

    def requests(self) -> list[Received]:
        """Every request so far."""
        with self._lock:
            return [request.received() for request in self._requests]

    def wire(self) -> list[bytes]:
        """Every byte so far, by connection."""
        with self._lock:
            return [bytes(each.wire) for each in self._arrivals]


class Arrivals:
    """The bytes of one connection: fed by its thread, read by any."""

    def __init__(self, number: int, log: Log) -> None:
        self.number = number
        self.wire = bytearray()
        self._log = log
        self._requests: list[_Arriving] = []
        self._held = b""

    def feed(self, data: bytes) -> None:
        """Take what has come."""
        self.wire += data
        while data:
            request = self._requests[-1] if self._requests else None
            if request is None or request.whole:
                data = self._begun(self._held + data)
            else:
                data = request.feed(data)

    def of_request(self, number: int) -> tuple[int, bool]:
        """How many bytes have come of a request, counted from 0, and whether that is all of it."""
        request = self._requests[number]
        return request.size, request.whole

    def _begun(self, data: bytes) -> bytes:
        """What is left of the bytes when they have become the head of a request, or wait for it."""
        self._held = b""
        try:
            taken = parse_request_head(data)
            if taken is None:
                self._held = data
                return b""
            head, end = taken
            request = _Arriving(self.number, data[:end], head)
        except ParserError:
            return b""  # what is none is in ``wire``, and the server says what is wrong with it
        self._requests.append(request)
        self._log.begin(request)
        return data[end:]


class _Arriving:
    """One request while it comes."""

    def __init__(self, connection: int, raw: bytes, head: RequestHead) -> None:
        self._connection = connection
        self._raw = raw
        self._head = head
        self._body = bytearray()
        self._content = bytearray()
        self._deframer: BodyReader = request_body_reader(head)

    @property
    def whole(self) -> bool:
        return self._deframer.done

    @property
    def size(self) -> int:
        return len(self._raw) + len(self._body)

    def feed(self, data: bytes) -> bytes:
        """Take what belongs to it; what does not is given back."""
        if self._deframer.fault is None:
            for piece in self._deframer.feed(data):
                self._content += piece
        rest = self._deframer.leftover
        self._body += data[: len(data) - len(rest)]
        return rest

    def received(self) -> Received:
        head = self._head
        said = (head.method, head.target, head.headers)
        raw = (self._raw, bytes(self._body), bytes(self._content))
        return Received(self._connection, *said, *raw, self.whole)
