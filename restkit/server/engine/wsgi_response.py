"""The response of a WSGI application.

One call of a WSGI application (PEP 3333), and its answer on the wire.

The head leaves with the first bytes of the body, or when there are none; with it is decided how
the body is framed and whether the connection is kept, once. What fails before is an answer of its
own; what fails behind it leaves a body that no client takes for a whole one.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from enum import Enum
from typing import TYPE_CHECKING, Any

from restkit.errors import ClientDisconnected, ParserError
from restkit.http1.framing import keeps_alive
from restkit.http1.writing import LAST_CHUNK, encode_chunk
from restkit.redaction import redact_url
from restkit.server.engine.client_socket import BLOCK
from restkit.server.engine.response_head import (
    Framing,
    ResponseHead,
    check_response_head,
    framing_of,
    head_bytes,
)
from restkit.server.engine.sender import FileWrapper

if TYPE_CHECKING:
    from _typeshed import OptExcInfo
    from _typeshed.wsgi import WSGIApplication, WSGIEnvironment

    from restkit.http1.request_head import RequestHead
    from restkit.io.buffers import Buffer
    from restkit.server.engine.request_body import RequestBody
    from restkit.server.engine.sender import Sender, Span


_logger = logging.getLogger("restkit.server")

# What of an unread body is small, and soon: it is waited for, and the connection kept.
SMALL = 64 * 1024
SOON = 0.05
_TEXT = [("Content-Type", "text/plain; charset=utf-8")]


class Ending(Enum):
    """What is to become of the connection."""

    KEPT = "another request may follow"
    CLOSED = "it ends, and the client reads what has left"
    RESET = "it breaks, or a part would look like the whole"
    GONE = "the client has left it"


class Exchange:
    """The answer to one request, given by one application."""

    def __init__(self, head: RequestHead, sender: Sender, body: RequestBody) -> None:
        self._head = head
        self._sender = sender
        self._body = body
        self._closes = not keeps_alive(head)
        self._said: ResponseHead | None = None
        self._framing: Framing | None = None  # None until the head has left
        self._known: int | None = None  # the length of the body, where there is a look ahead
        self._left = 0
        self._cut = False
        self._finished = False

    def run(self, app: WSGIApplication, environ: WSGIEnvironment) -> Ending:
        """Call the application, and send what it gives."""
        try:
            self._call(app, environ)
        except ClientDisconnected as exc:
            return self._gone(exc)
        except BaseException as exc:  # noqa: BLE001  # SystemExit of one handler too: others go on
            return self._failed(exc)
        return self._ending()

    def _call(self, app: WSGIApplication, environ: WSGIEnvironment) -> None:
        items = app(environ, self.start_response)
        try:
            span = items.span() if isinstance(items, FileWrapper) else None
            if span is not None and self._framing is None:
                self._send_file(span)
            else:
                self._send_items(items)
            self._finish()
        finally:
            close = getattr(items, "close", None)
            if close is not None:
                close()

    # What the application is given

    def start_response(
        self, status: str, headers: list[tuple[str, str]], exc_info: OptExcInfo | None = None, /
    ) -> Callable[[bytes], object]:
        """Declare status and fields; again only with ``exc_info``, and before the head has left."""
        if exc_info is not None:
            try:
                if self._framing is not None and exc_info[1] is not None:
                    raise exc_info[1].with_traceback(exc_info[2])
            finally:
                exc_info = None  # which would hold this frame in a ring
        elif self._said is not None:
            raise AssertionError("start_response was called a second time, without exc_info")
        self._said = check_response_head(status, headers)
        return self.write

    def write(self, data: Buffer) -> None:
        """Send a piece of the body at once; an empty one writes nothing."""
        if not isinstance(data, bytes):
            data = _as_bytes(data)
        if not data:
            return
        if self._finished:
            raise AssertionError("write() was called when the answer had ended")
        if self._framing is None:
            self._send(self._leave(len(data)), data)
        else:
            self._send([], data)

    # Sending

    def _send_items(self, items: Any) -> None:
        alone = isinstance(items, (list, tuple)) and len(items) == 1
        if alone and isinstance(items[0], bytes) and self._framing is None:
            self._known = len(items[0])
        for item in items:
            self.write(item)

    def _send_file(self, span: Span) -> None:
        """The first block together with the head, and what follows by the system."""
        self._known = span.size
        first = os.pread(span.file.fileno(), BLOCK, span.start)
        self.write(first)
        rest = span.size - len(first)
        if self._framing is Framing.SIZED:
            rest = min(rest, self._left)
            self._left -= self._sender.send_file(span.file, span.start + len(first), rest)

    def _leave(self, first: int, *, last: bool = False) -> list[Buffer]:
        """Decide what the head says; ``first`` bytes of the body go with it."""
        said = self._said
        if said is None:
            raise AssertionError("the application gave an answer, and did not call start_response")
        length = self._known if said.length is None else said.length
        if length is None and last and self._head.method != "HEAD":
            length = 0
        framing = framing_of(said, self._head.method, self._head.minor, length)
        whole = framing is Framing.NONE or (length is not None and length <= first)
        if self._is_to_close(framing, whole=whole):
            self._closes = True
        connection = "close" if self._closes else "" if self._head.minor else "keep-alive"
        head = head_bytes(said, framing, length, connection)
        if framing is Framing.TO_END:
            self._sender.ends_by_closing()
        self._framing = framing
        self._left = length or 0
        return [head]

    def _is_to_close(self, framing: Framing, *, whole: bool) -> bool:
        if self._closes or framing is Framing.TO_END or self._body.fault is not None:
            return True
        if self._body.done or (self._body.touched and not whole):
            return False  # one that is being read is taken to be read to its end
        return not self._body.comes_soon(SMALL, SOON)

    def _send(self, buffers: list[Buffer], data: Buffer) -> None:
        if self._framing is Framing.CHUNKED:
            buffers += encode_chunk(data)
        elif self._framing is Framing.TO_END:
            buffers.append(data)
        elif self._framing is Framing.SIZED:
            if len(data) > self._left:
                self._cut = True
                data = memoryview(data)[: self._left]
            self._left -= len(data)
            if data:
                buffers.append(data)
        if buffers:
            self._sender.send(buffers)

    def _finish(self) -> None:
        """The end of the body."""
        if self._framing is None:
            self._sender.send(self._leave(0, last=True))
        elif self._framing is Framing.CHUNKED:
            self._sender.send([LAST_CHUNK])
        self._finished = True
        if self._framing is Framing.SIZED and (self._left or self._cut):
            few = f"{self._left} bytes fewer" if self._left else "more bytes"
            _logger.error("%s: the application gave %s than it had declared", self._asked, few)

    # What becomes of it

    def _ending(self) -> Ending:
        if self._framing is Framing.SIZED and self._left:
            return Ending.CLOSED
        if self._closes or not (self._body.done or self._body.comes_soon(SMALL, SOON)):
            return Ending.CLOSED
        return Ending.KEPT

    def _failed(self, exc: BaseException) -> Ending:
        if exc is self._body.fault and isinstance(exc, ParserError):
            _logger.debug("%s: %s", self._asked, exc)
            return self._answer_instead("400 Bad Request", f"{exc}\n")
        _logger.error("%s: the application failed", self._asked, exc_info=exc)
        return self._answer_instead("500 Internal Server Error", "Internal Server Error\n")

    def _answer_instead(self, status: str, text: str) -> Ending:
        if self._framing is not None:
            return Ending.RESET if self._would_look_whole else Ending.CLOSED
        data = text.encode()
        self._said = check_response_head(status, _TEXT)
        self._known = len(data)
        try:
            self.write(data)
        except ClientDisconnected as gone:
            return self._gone(gone)
        self._finished = True
        return self._ending()

    def _gone(self, exc: ClientDisconnected) -> Ending:
        _logger.debug("%s: %s", self._asked, exc)
        # It may still listen, as one that has ended its side too early.
        return Ending.RESET if self._would_look_whole else Ending.GONE

    @property
    def _would_look_whole(self) -> bool:
        return self._framing is Framing.TO_END and not self._finished

    @property
    def _asked(self) -> str:
        return f"{self._head.method} {redact_url(self._head.target)}"


def _as_bytes(data: object) -> Buffer:
    if isinstance(data, (bytearray, memoryview)):
        return memoryview(data).cast("B")
    raise TypeError(f"a piece of an answer is of type {type(data).__name__}; bytes are wanted")
