"""Read interim heads, the final head and the body of a response."""

from __future__ import annotations

from collections.abc import Sequence

from restkit.errors import ParserError, TransportError, UnexpectedEOF
from restkit.http1.fields import is_inside_line
from restkit.http1.framing import BodyReader, response_body_reader
from restkit.http1.response_head import MAX_HEAD, STATUS_END, ResponseHead, parse_response_head
from restkit.io.buffers import Buffer

MAX_INTERIM = 32
SWITCHING_PROTOCOLS = 101


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

    __slots__ = ("_held", "_interim_count", "body_reader", "got_continue", "head", "method")

    def __init__(self, method: str) -> None:
        self.method = method
        self.head: ResponseHead | None = None
        self.body_reader: BodyReader | None = None
        self.got_continue = False
        self._held = b""
        self._interim_count = 0

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
        # A shorter beginning is parsed each time, because every byte may make it invalid.
        if len(self._held) > STATUS_END and is_inside_line(self._held, data, MAX_HEAD):
            self._held += data
            return ()
        data = self._held + data if self._held else data
        while parsed := parse_response_head(data):
            head, end = parsed
            data = data[end:]
            if head.status >= 200 or head.status == SWITCHING_PROTOCOLS:
                self.head = head
                self.body_reader = response_body_reader(head, self.method)
                self._held = b""
                return self.body_reader.feed(data) if data else ()
            self._skip_interim(head)
            if not data:
                break
        self._held = data
        return ()

    def end(self) -> None:
        """Handle the end of the connection; raise unless the response may end there."""
        if self.body_reader is not None:
            self.body_reader.end()
        elif self._held:
            raise UnexpectedEOF("the connection ended inside the head of the response")
        elif self._interim_count:
            raise UnexpectedEOF(
                "the connection ended after an interim response, without a final response"
            )
        else:
            raise TransportError("the server closed the connection without a response")

    def _skip_interim(self, head: ResponseHead) -> None:
        self._interim_count += 1
        if self._interim_count > MAX_INTERIM:
            raise ParserError(f"more than {MAX_INTERIM} interim responses and no final response")
        if head.status == 100:
            self.got_continue = True
