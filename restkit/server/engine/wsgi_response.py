"""Call a WSGI application (PEP 3333) and send its response.

The head is sent together with the first bytes of the body, or at the end of an empty body. At that
point the framing of the body is chosen, and whether the connection is kept. An error before that
becomes an error response; an error after it leaves a body that no client takes for a complete one.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from enum import Enum
from typing import TYPE_CHECKING

from restkit.errors import ClientDisconnected, ParserError
from restkit.headers import Headers
from restkit.http1.framing import keeps_alive
from restkit.http1.request_head import RequestHead
from restkit.http1.writing import LAST_CHUNK, encode_chunk
from restkit.io.buffers import Buffer, close_if_possible
from restkit.io.files import Region, pread
from restkit.io.sockets import BLOCK
from restkit.redaction import redact_url
from restkit.server.engine.request_body import RequestBody
from restkit.server.engine.response_head import (
    Framing,
    ResponseHead,
    check_response_head,
    choose_framing,
    encode_response_head,
)
from restkit.server.engine.sender import FileWrapper, Sender

if TYPE_CHECKING:
    from _typeshed import OptExcInfo
    from _typeshed.wsgi import WSGIApplication, WSGIEnvironment

_logger = logging.getLogger("restkit.server")

# The rest of an unread body that is small and arrives soon is awaited, so that the connection can
# be kept.
_SMALL = 64 * 1024
_SOON = 0.05


class WSGIResponse:
    """The response to one request, as an application declares and writes it.

    Each engine has a subclass, which calls the application and has one hook: ``_send_head``.
    """

    def __init__(
        self, method: str, target: str, minor: int, sender: Sender, body: RequestBody
    ) -> None:
        self._method = method
        self._target = target
        self._minor = minor
        self._sender = sender
        self._body = body
        self._head: ResponseHead | None = None
        self._framing: Framing | None = None  # None until the head has been sent
        self._length: int | None = None  # the length of the body, if it is declared or known
        self._sent = 0  # bytes of the body
        self._too_long = False
        self._finished = False

    def start_response(
        self, status: str, headers: list[tuple[str, str]], exc_info: OptExcInfo | None = None, /
    ) -> Callable[[bytes], object]:
        """Declare status and fields.

        A second call needs ``exc_info``, whose exception is raised if the head has been sent.
        """
        if exc_info is not None:
            try:
                if self._framing is not None and exc_info[1] is not None:
                    raise exc_info[1].with_traceback(exc_info[2])
            finally:
                exc_info = None  # it would keep this frame alive in a cycle
        elif self._head is not None:
            raise RuntimeError("start_response was called a second time without exc_info")
        self._declare(status, headers)
        return self.write

    def _declare(self, status: str, headers: list[tuple[str, str]]) -> None:
        self._head = check_response_head(status, headers)

    def write(self, data: Buffer) -> None:
        """Send a chunk of the body at once; an empty one sends nothing. Blocks."""
        if not isinstance(data, bytes):
            data = _as_buffer(data)
        if not data:
            return
        if self._finished:
            raise RuntimeError("write() was called after the end of the response")
        buffers = self._send_head(len(data)) if self._framing is None else []
        if self._framing is Framing.SIZED:
            assert self._length is not None
            space = self._length - self._sent
            if len(data) > space:
                self._too_long = True
                data = memoryview(data)[:space]
        if data and self._framing is not Framing.NONE:
            self._sent += len(data)
            if self._framing is Framing.CHUNKED:
                buffers += encode_chunk(data)
            else:
                buffers.append(data)
        if buffers:
            self._sender.send(buffers)

    def _send_head(self, available: int) -> list[Buffer]:
        """Send the head and set ``_framing``, or return the head to be sent with the first chunk.

        ``available`` bytes of the body follow at once.
        """
        raise NotImplementedError

    def _check_head(self) -> ResponseHead:
        if self._head is None:
            raise RuntimeError("the application responded without calling start_response")
        return self._head

    def _write_region(self, region: Region) -> None:
        """Send a file: its first block together with the head, and the rest by the system."""
        first = pread(region.file.fileno(), BLOCK, region.start)
        self.write(first)
        if self._framing is Framing.SIZED:
            assert self._length is not None
            count = min(region.length - len(first), self._length - self._sent)
            if count:
                rest = Region(region.file, region.start + len(first), count)
                self._sent += self._sender.send_file(rest)

    def _can_keep_alive(self, framing: Framing, available: int) -> bool:
        """Return whether the request's body lets the connection be used again.

        May wait a moment for the rest of a small body.
        """
        body = self._body
        if body.fault is not None:
            return False
        complete = framing is Framing.NONE or (
            self._length is not None and self._length <= available
        )
        if body.done or (body.was_read and not complete):
            return True  # the application is expected to read it to its end
        return self._rest_arrives_soon()

    def _rest_arrives_soon(self) -> bool:
        return self._body.arrives_within(_SOON, _SMALL)

    @property
    def _too_short(self) -> bool:
        """Whether the body has fewer bytes than its Content-Length."""
        return self._framing is Framing.SIZED and self._sent != self._length

    def _log_wrong_length(self) -> None:
        if self._too_short:
            assert self._length is not None
            difference = f"{self._length - self._sent} bytes fewer"
        elif self._too_long:
            difference = "more bytes"
        else:
            return
        _logger.error("%s: the application sent %s than declared", self._request_line, difference)

    def _error_response(self, exc: BaseException) -> tuple[str, bytes]:
        """Log an exception of the application; return the status and text of its response."""
        if exc is self._body.fault and isinstance(exc, ParserError):
            _logger.debug("%s: %s", self._request_line, exc)
            return "400 Bad Request", f"{exc}\n".encode()
        _logger.error("%s: the application failed", self._request_line, exc_info=exc)
        return "500 Internal Server Error", b"Internal Server Error\n"

    def _send_error(self, status: str, text: bytes) -> None:
        """Send an error response in place of the application's, whose head was not sent."""
        fields = [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(text)))]
        self._declare(status, fields)
        self.write(text)

    # For the access log

    @property
    def status(self) -> int | None:
        """The status of the response; None if its head was not sent."""
        return self._head.code if self._framing is not None and self._head is not None else None

    @property
    def sent(self) -> int:
        """The number of bytes of the body that were sent, without framing."""
        return self._sent

    @property
    def complete(self) -> bool:
        """Whether the response was sent as a whole."""
        return self._finished and not self._too_short

    @property
    def headers(self) -> Headers:
        """The header fields that the application has declared."""
        lines = self._head.lines.split("\r\n")[:-1] if self._head is not None else []
        pairs = [line.partition(": ") for line in lines]
        return Headers.from_trusted([(name, value) for name, _, value in pairs])

    @property
    def _request_line(self) -> str:
        """The method and the target, for the log."""
        return f"{self._method} {redact_url(self._target)}"


class Ending(Enum):
    """The state of a connection after a response."""

    KEPT = "another request may follow"
    CLOSED = "it ends, and the client can read the response to its end"
    RESET = "it is reset, because the response would look complete otherwise"
    DISCONNECTED = "the client is gone"


class Exchange(WSGIResponse):
    """One request on the embedded engine, and its response."""

    def __init__(self, head: RequestHead, sender: Sender, body: RequestBody) -> None:
        super().__init__(head.method, head.target, head.minor, sender, body)
        self._closes = not keeps_alive(head)

    def run(self, app: WSGIApplication, environ: WSGIEnvironment) -> Ending:
        """Call the application and send its response. Blocks."""
        try:
            self._call(app, environ)
        except ClientDisconnected as exc:
            return self._end_disconnected(exc)
        except BaseException as exc:  # noqa: BLE001  # SystemExit too: it ends one request only
            return self._end_failed(exc)
        return self._end()

    def _call(self, app: WSGIApplication, environ: WSGIEnvironment) -> None:
        items = app(environ, self.start_response)
        try:
            region = items.region() if isinstance(items, FileWrapper) else None
            if region is not None and self._framing is None:
                self._length = region.length
                self._write_region(region)
            else:
                self._write_items(items)
            self._finish()
        finally:
            close_if_possible(items)

    def _write_items(self, items: Iterable[bytes]) -> None:
        only = items[0] if isinstance(items, (list, tuple)) and len(items) == 1 else None
        if isinstance(only, bytes) and self._framing is None:
            self._length = len(only)
        for item in items:
            self.write(item)

    def _send_head(self, available: int) -> list[Buffer]:
        head = self._check_head()
        if head.length is not None:
            self._length = head.length
        framing = choose_framing(head, self._method, self._minor, self._length)
        if framing is Framing.TO_END:
            self._closes = True
            self._sender.mark_end_by_closing()
        elif not self._closes:
            self._closes = not self._can_keep_alive(framing, available)
        connection = "close" if self._closes else "" if self._minor else "keep-alive"
        self._framing = framing
        return [encode_response_head(head, framing, self._length, connection)]

    def _finish(self) -> None:
        if self._framing is None:
            if self._length is None and self._method != "HEAD":
                self._length = 0  # unless the application has declared another
            self._sender.send(self._send_head(0))
        elif self._framing is Framing.CHUNKED:
            self._sender.send([LAST_CHUNK])
        self._finished = True
        self._log_wrong_length()

    # The connection afterwards

    def _end(self) -> Ending:
        if self._closes or self._too_short:
            return Ending.CLOSED
        if self._body.done or self._rest_arrives_soon():
            return Ending.KEPT
        return Ending.CLOSED

    def _end_failed(self, exc: BaseException) -> Ending:
        status, text = self._error_response(exc)
        if self._framing is not None:
            return Ending.RESET if self._would_look_complete else Ending.CLOSED
        try:
            self._send_error(status, text)
        except ClientDisconnected as gone:
            return self._end_disconnected(gone)
        self._finished = True
        return self._end()

    def _end_disconnected(self, exc: ClientDisconnected) -> Ending:
        _logger.debug("%s: %s", self._request_line, exc)
        # A client that has ended its side too early may still read.
        return Ending.RESET if self._would_look_complete else Ending.DISCONNECTED

    @property
    def _would_look_complete(self) -> bool:
        return self._framing is Framing.TO_END and not self._finished


def _as_buffer(data: object) -> Buffer:
    if isinstance(data, (bytearray, memoryview)):
        return memoryview(data).cast("B")
    raise TypeError(f"the body of a response must be bytes; got {type(data).__name__}")
