"""One response's body as the next request's payload."""

from __future__ import annotations

from typing import TYPE_CHECKING

from restkit.payload import Payload

if TYPE_CHECKING:
    from collections.abc import Iterator

    from restkit.body import Body
    from restkit.payload import Buffer

_PIECE = 256 * 1024


class SpooledRelay(Payload):
    """A body from a place on, kept in its spool as it goes by, so that it can go again."""

    replayable = True
    source = "of a body"

    def __init__(self, body: Body, start: int) -> None:
        self._body = body
        self._start = start
        self.length = None if body.length is None else max(0, body.length - start)
        self.headers = body.payload_headers

    def chunks(self) -> Iterator[Buffer]:
        position = self._start
        # One buffer for all pieces: a piece is good until the next is asked for.
        view = memoryview(bytearray(_PIECE))
        while count := self._body.read_into(position, view):
            position += count
            yield view[:count]


class LiveRelay(Payload):
    """A body as it arrives: one pass, nothing kept; its connection is closed if that fails."""

    source = "of a body"

    def __init__(self, body: Body) -> None:
        self._body = body
        self.length = body.length
        self.headers = body.payload_headers

    def chunks(self) -> Iterator[Buffer]:
        position = 0
        whole = False
        try:
            while piece := self._body.live_piece(self, position):
                position += len(piece)
                yield piece
            whole = True
        finally:
            if not whole:
                self._body.close()
