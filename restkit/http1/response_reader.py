"""Read interim heads, the final head and the body of a response.

The receiving half of one exchange: interim heads, the final head, the body. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from restkit.errors import ParserError, TransportError, UnexpectedEOF
from restkit.http1.framing import BodyReader, response_body_reader
from restkit.http1.response_head import SHORTEST, ResponseHead, is_inside_a_line, take_response_head

if TYPE_CHECKING:
    from restkit.io.buffers import Buffer


MAX_INTERIM = 32
SWITCHING_PROTOCOLS = 101


class ResponseReader:
    """What has come of the answer to one request; fed with the bytes as they come."""

    __slots__ = ("_held", "_interim", "deframer", "head", "method", "to_go_on")

    def __init__(self, method: str) -> None:
        self.method = method
        self.head: ResponseHead | None = None
        self.deframer: BodyReader | None = None
        self.to_go_on = False
        self._held = b""
        self._interim = 0

    @property
    def begun(self) -> bool:
        """Whether a single byte of it has come."""
        return self.head is not None or bool(self._held) or bool(self._interim)

    @property
    def done(self) -> bool:
        """Whether all of it has come."""
        return self.deframer is not None and self.deframer.done

    def feed(self, data: bytes) -> Sequence[Buffer]:
        """Take what came; the pieces of the body that are in it."""
        if self.deframer is not None:
            return self.deframer.feed(data)
        # Up to here every byte of the first line counts.
        if len(self._held) > SHORTEST and is_inside_a_line(self._held, data):
            self._held += data
            return ()
        data = self._held + data if self._held else data
        while taken := take_response_head(data):
            head, end = taken
            data = data[end:]
            if head.status >= 200 or head.status == SWITCHING_PROTOCOLS:
                self.head = head
                self.deframer = response_body_reader(head, self.method)
                self._held = b""
                return self.deframer.feed(data) if data else ()
            self._pass_over(head)
            if not data:
                break
        self._held = data
        return ()

    def end(self) -> None:
        """The connection has ended: raises unless the answer may end so."""
        if self.deframer is not None:
            self.deframer.end()
        elif self._held:
            raise UnexpectedEOF("the connection ended inside the head of the answer")
        elif self._interim:
            raise UnexpectedEOF("the connection ended behind an interim answer, with no final one")
        else:
            raise TransportError("the peer closed the connection without an answer")

    def _pass_over(self, head: ResponseHead) -> None:
        self._interim += 1
        if self._interim > MAX_INTERIM:
            raise ParserError(f"more than {MAX_INTERIM} interim answers, and no final one")
        if head.status == 100:
            self.to_go_on = True
