"""Read interim heads, the final head and the body of a response."""

from __future__ import annotations

from collections.abc import Sequence

from restkit.errors import ParserError, TransportError, UnexpectedEOF
from restkit.http1.framing import BodyReader, response_body_reader
from restkit.http1.response_head import (
    HEAD_END,
    MAX_HEAD,
    STATUS_END,
    ResponseHead,
    parse_response_head,
)
from restkit.io.buffers import Buffer

MAX_INTERIM = 32
MAX_INTERIM_BYTES = 256 * 1024
SWITCHING_PROTOCOLS = 101

_NOTHING = bytearray()  # shared, so it is never changed


class ResponseReader:
    r"""The response to one request, parsed from the bytes that ``feed`` is called with.

    ``head`` is the final head and ``body_reader`` the reader of the body, both None until that
    head is complete. ``got_continue`` is True after a 100 (Continue).

    >>> reader = ResponseReader('GET')
    >>> reader.feed(b'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello')
    (b'hello',)
    >>> reader.head.status, reader.done
    (200, True)
    """

    __slots__ = (
        "_held",
        "_interim_bytes",
        "_interim_count",
        "_must_close",
        "_parse_at",
        "body_reader",
        "got_continue",
        "head",
        "method",
    )
    _parse_at: int

    def __init__(self, method: str) -> None:
        self.method = method
        self.head: ResponseHead | None = None
        self.body_reader: BodyReader | None = None
        self.got_continue = False
        self._held = _NOTHING
        self._interim_count = 0
        self._interim_bytes = 0
        self._must_close = False

    @property
    def started(self) -> bool:
        """Whether any byte of the response has arrived."""
        return self.head is not None or bool(self._held) or bool(self._interim_count)

    @property
    def done(self) -> bool:
        """Whether the response is complete."""
        return self.body_reader is not None and self.body_reader.done

    def feed(self, data: bytes) -> Sequence[Buffer]:
        """Parse received bytes; return the chunks of the body among them."""
        if self.body_reader is not None:
            return self.body_reader.feed(data)
        if self._held and not (data := self._join_held(data)):
            return ()
        while parsed := parse_response_head(data):
            head, end = parsed
            data = data[end:]
            if head.status >= 200 or head.status == SWITCHING_PROTOCOLS:
                if self._must_close:
                    head.must_close = True
                self.head = head
                self.body_reader = response_body_reader(head, self.method)
                self._held = _NOTHING
                return self.body_reader.feed(data) if data else ()
            self._skip_interim(head, end)
            if not data:
                break
        self._held = bytearray(data) if data else _NOTHING
        # A short beginning is parsed each time, because every byte may make it invalid. A longer
        # one is parsed when it is complete or has doubled, so that its parsing costs linear time.
        size = len(data)
        self._parse_at = min(2 * size, MAX_HEAD + 1) if size > STATUS_END else 0
        return ()

    def end(self) -> None:
        """Handle the end of the connection; raise unless the response may end there."""
        if self.body_reader is not None:
            self.body_reader.end()
        elif self._held:
            parse_response_head(bytes(self._held))  # raises for a fault that is in them
            raise UnexpectedEOF("the connection ended inside the head of the response")
        elif self._interim_count:
            raise UnexpectedEOF(
                "the connection ended after an interim response, without a final response"
            )
        else:
            raise TransportError("the server closed the connection without a response")

    def _join_held(self, data: bytes) -> bytes:
        """Return the held bytes with ``data``, or b'' if parsing can wait for more."""
        held, before = self._held, len(self._held)
        held += data
        # An empty line that ends in ``data`` may begin two bytes before it.
        if len(held) < self._parse_at and not HEAD_END.search(held, max(0, before - 2)):
            return b""
        return bytes(held)

    def _skip_interim(self, head: ResponseHead, size: int) -> None:
        self._interim_count += 1
        self._interim_bytes += size
        if self._interim_count > MAX_INTERIM:
            raise ParserError(f"more than {MAX_INTERIM} interim responses and no final response")
        if self._interim_bytes > MAX_INTERIM_BYTES:
            raise ParserError(
                f"the interim responses are longer than {MAX_INTERIM_BYTES} bytes, "
                "and there is no final response"
            )
        if head.must_close:
            self._must_close = True
        if head.status == 100:
            self.got_continue = True
