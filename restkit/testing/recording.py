"""Record the requests that a LocalServer receives, byte for byte."""

from __future__ import annotations

from threading import RLock
from typing import NamedTuple

from restkit.errors import ParserError
from restkit.headers import Headers
from restkit.http1.framing import BodyReader, request_body_reader
from restkit.http1.request_head import RequestHead, parse_request_head


class Received(NamedTuple):
    """One request that a server has received, possibly in part.

    ``head`` (with its empty line) and ``body`` are the bytes on the wire, chunked framing included;
    ``content`` is the body without framing. ``connection`` counts from 0. ``whole`` is whether the
    request has arrived completely.
    """

    connection: int
    method: str
    target: str
    headers: Headers
    head: bytes
    body: bytes
    content: bytes
    whole: bool


class ServerRecord:
    """The bytes of all connections of a server, and the requests in the order of their heads."""

    def __init__(self) -> None:
        self._lock = RLock()
        self._connections: list[ConnectionRecord] = []
        self._requests: list[_RequestRecord] = []

    def add_connection(self) -> ConnectionRecord:
        """Return the record of a new connection."""
        with self._lock:
            record = ConnectionRecord(len(self._connections), self)
            self._connections.append(record)
        return record

    def add_request(self, request: _RequestRecord) -> None:
        with self._lock:
            self._requests.append(request)

    def requests(self) -> list[Received]:
        """Return every request so far."""
        with self._lock:
            return [request.received() for request in self._requests]

    def wire(self) -> list[bytes]:
        """Return every byte so far, by connection."""
        with self._lock:
            return [bytes(each.wire) for each in self._connections]


class ConnectionRecord:
    """The bytes and requests of one connection: fed by its thread, read by any."""

    def __init__(self, number: int, server: ServerRecord) -> None:
        self.number = number
        self.wire = bytearray()
        self._server = server
        self._requests: list[_RequestRecord] = []
        self._incomplete_head = b""
        self._refused = False

    def feed(self, data: bytes) -> None:
        """Add received bytes."""
        self.wire += data
        while data and not self._refused:
            request = self._requests[-1] if self._requests else None
            if request is None or request.complete:
                data = self._begin_request(self._incomplete_head + data)
            else:
                data = request.feed(data)

    def progress_of(self, number: int) -> tuple[int, bool]:
        """Return the received bytes of a request, counted from 0, and whether it is complete."""
        request = self._requests[number]
        return request.size, request.complete

    def _begin_request(self, data: bytes) -> bytes:
        """Parse a head and return the bytes after it; keep ``data`` if the head is incomplete."""
        self._incomplete_head = b""
        try:
            parsed = parse_request_head(data)
            if parsed is None:
                self._incomplete_head = data
                return b""
            head, end = parsed
            request = _RequestRecord(self.number, data[:end], head)
        except ParserError:
            # It is in ``wire``. The server responds with the error and reads nothing more.
            self._refused = True
            return b""
        self._requests.append(request)
        self._server.add_request(request)
        return data[end:]


class _RequestRecord:
    """One request, while it arrives and afterwards."""

    def __init__(self, connection: int, raw_head: bytes, head: RequestHead) -> None:
        self._connection = connection
        self._raw_head = raw_head
        self._head = head
        self._body = bytearray()
        self._content = bytearray()
        self._reader: BodyReader = request_body_reader(head)

    @property
    def complete(self) -> bool:
        return self._reader.done

    @property
    def size(self) -> int:
        return len(self._raw_head) + len(self._body)

    def feed(self, data: bytes) -> bytes:
        """Add the bytes that belong to the request; return the rest."""
        if self._reader.fault is None:
            for chunk in self._reader.feed(data):
                self._content += chunk
        rest = self._reader.leftover
        self._body += data[: len(data) - len(rest)]
        return rest

    def received(self) -> Received:
        return Received(
            self._connection,
            self._head.method,
            self._head.target,
            self._head.headers,
            self._raw_head,
            bytes(self._body),
            bytes(self._content),
            self.complete,
        )
