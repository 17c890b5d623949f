"""One exchange under gunicorn.

One request to gunicorn and its answer: bodies go over its connection by restkit.

gunicorn has parsed the head of the request, and writes the head and the last chunk of the answer;
what this takes of it is told in ``on_gunicorn``.
"""

from __future__ import annotations

import logging
import os
from contextlib import suppress
from errno import EPIPE
from time import monotonic
from typing import TYPE_CHECKING, Any, NoReturn

from restkit.errors import ClientDisconnected, ParserError
from restkit.http1.framing import ChunkedBody, SizedBody
from restkit.http1.writing import encode_chunk
from restkit.redaction import redact_url
from restkit.server.engine.client_socket import BLOCK, READ, Channel
from restkit.server.engine.connection import LINGER_BYTES, LINGER_SECONDS
from restkit.server.engine.request_body import RequestBody, RequestFile
from restkit.server.engine.response_head import Framing, check_response_head, framing_of
from restkit.server.engine.sender import FileWrapper, Sender
from restkit.server.engine.wsgi_response import SMALL, SOON

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from _typeshed import OptExcInfo
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

    from restkit.http1.framing import BodyReader
    from restkit.io.buffers import Buffer
    from restkit.server.engine.response_head import ResponseHead
    from restkit.server.engine.sender import Span


_TEXT = ("Content-Type", "text/plain; charset=utf-8")

_logger = logging.getLogger("restkit.server")


class GunicornExchange:
    """One request and its answer: the iterable that gunicorn is given, which gives it nothing.

    gunicorn asks it for its items and closes it, and between the two ends the last chunk.
    """

    def __init__(
        self,
        app: WSGIApplication,
        environ: WSGIEnvironment,
        start_response: StartResponse,
        request: Any,
        *,
        expects_continue: bool,
        timeout: float,
    ) -> None:
        self._app = app
        self._environ = environ
        self._start_response = start_response
        self._request = request
        self._response: Any = start_response.__self__  # type: ignore[attr-defined]  # it is bound
        self._socket = environ["gunicorn.socket"]
        # What gunicorn writes; at the next request its socket is its own again, and blocking.
        self._socket.settimeout(timeout)
        peer = environ.get("REMOTE_ADDR")
        where = f"{peer}:{environ.get('REMOTE_PORT')}" if peer else "the client"
        self._channel = Channel(self._socket.dup(), timeout, where)
        self._body = RequestBody(
            self._channel,
            _deframer(environ),
            request.unreader.read() if request.unreader.buf.getvalue() else b"",
            expects_continue=expects_continue,
        )
        self._sender = Sender(self._channel, self._body)
        self._said: ResponseHead | None = None
        self._fields: list[tuple[str, str]] = []
        self._framing: Framing | None = None  # None until the head has left
        self._left = 0
        self._cut = False
        self._items: Any = ()
        self._whole = False
        self._gone = False

    def __iter__(self) -> Iterator[bytes]:
        """Have the request answered. What gunicorn is to see of a failure is a broken pipe."""
        try:
            try:
                self._answer()
            except ClientDisconnected:
                raise
            except Exception as exc:  # noqa: BLE001  # whatever an application raises ends here
                self._answer_instead(exc)
            self._finish()
        except ClientDisconnected as exc:
            _logger.debug("%s: %s", self._line, exc)
            self._gone = True
            self._break(exc)
        self._whole = True
        return iter(())

    def _answer(self) -> None:
        environ = self._environ
        environ["wsgi.input"] = RequestFile(self._body)
        environ["wsgi.input_terminated"] = True
        environ["wsgi.file_wrapper"] = FileWrapper
        # What gunicorn would drain of the body, it is told when it asks.
        self._request.body.reader = _Drained()
        self._items = items = self._app(environ, self.start_response)
        span = items.span() if isinstance(items, FileWrapper) else None
        sized = self._framing is None and self._said is not None and self._said.length
        if span is not None and sized and self._response.can_sendfile():
            self._send_file(span)
        else:
            for item in items:
                self.write(item)
        if self._framing is None:
            self._leave(0)

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
        self._declare(status, headers)
        return self.write

    def _declare(self, status: str, headers: list[tuple[str, str]]) -> None:
        # Not told to gunicorn yet, which would put the fields of a second answer behind these.
        self._said = check_response_head(status, headers)
        self._fields = headers

    def write(self, data: Buffer) -> None:
        """Send a piece of the body at once; an empty one writes nothing."""
        if not isinstance(data, bytes):
            data = memoryview(data).cast("B")
        if not data:
            return
        if self._framing is None:
            self._leave(len(data))
        if self._framing is Framing.SIZED:
            self._cut = self._cut or len(data) > self._left
            data = memoryview(data)[: self._left]
            self._left -= len(data)
        if not data or self._framing is Framing.NONE:
            return
        self._response.sent += len(data)
        chunked = self._framing is Framing.CHUNKED
        self._sender.send(encode_chunk(data) if chunked else [data])

    # Sending

    def _send_file(self, span: Span) -> None:
        """The first block with the head, and what follows by the system."""
        first = os.pread(span.file.fileno(), BLOCK, span.start)
        self.write(first)
        rest = min(span.size - len(first), self._left)
        if rest and self._framing is Framing.SIZED:
            sent = self._sender.send_file(span.file, span.start + len(first), rest)
            self._left -= sent
            self._response.sent += sent

    def _leave(self, first: int) -> None:
        """Let gunicorn send the head, having decided whether the connection can be kept behind it.

        ``first`` bytes of the body are at hand.
        """
        said = self._said
        if said is None:
            raise AssertionError("the application gave an answer, and did not call start_response")
        method = self._environ["REQUEST_METHOD"]
        framing = framing_of(said, method, self._request.version[1], said.length)
        self._left = said.length or 0
        whole = framing is Framing.NONE or (framing is Framing.SIZED and self._left <= first)
        if not self._can_be_kept(whole=whole):
            self._request.force_close()
        self._body.never_mind()
        write = self._start_response(said.status, self._fields)
        self._framing = framing
        try:
            write(b"")
        except OSError as exc:
            raise ClientDisconnected(f"the head of the answer did not leave: {exc}") from exc

    def _can_be_kept(self, *, whole: bool) -> bool:
        body = self._body
        if body.done or (body.touched and body.fault is None and not whole):
            return True  # one that is being read is taken to be read to its end
        return body.comes_soon(SMALL, SOON)

    def _finish(self) -> None:
        """The end of the body, but for a last chunk, which is gunicorn's."""
        if self._framing is Framing.CHUNKED:
            self._sender.wait()  # until there is room for it: gunicorn takes nothing out of its way
        if self._framing is Framing.SIZED and (self._left or self._cut):
            few = f"{self._left} bytes fewer" if self._left else "more bytes"
            _logger.error("%s: the application gave %s than it had declared", self._line, few)
            if self._left:
                self._break(None)

    def _answer_instead(self, exc: Exception) -> None:
        """The answer where the application fails, or the end of the one that has begun."""
        status, text = "500 Internal Server Error", b"Internal Server Error\n"
        if isinstance(exc, ParserError) and exc is self._body.fault:
            status, text = "400 Bad Request", f"{exc}\n".encode()
            _logger.debug("%s: %s", self._line, exc)
        else:
            _logger.error("%s: the application failed", self._line, exc_info=exc)
        if self._framing is not None:
            self._break(exc)
        self._declare(status, [_TEXT, ("Content-Length", str(len(text)))])
        self.write(text)

    def _break(self, cause: Exception | None) -> NoReturn:
        """End an answer that is not whole so that it does not look like one that is."""
        if self._framing is Framing.TO_END:
            self._gone = True
            self._channel.reset()
            self._socket.close()
        raise BrokenPipeError(EPIPE, "the answer broke off") from cause

    @property
    def _line(self) -> str:
        return f"{self._environ['REQUEST_METHOD']} {redact_url(self._environ['RAW_URI'])}"

    # Behind the answer

    def close(self) -> None:
        """What is left of the request's body must not be the next request."""
        body = self._body
        try:
            self._close_items()
            kept = self._whole and not self._response.should_close()
            if kept and (body.done or body.comes_soon(SMALL, SOON)):
                self._request.unreader.unread(body.rest)
                return
            self._request.force_close()
            if not self._gone and (not body.done or body.rest):
                _linger(self._channel)
            # So that gunicorn, which does that on the one thread of all connections, waits for no
            # client to end its side (since 26: two seconds for each).
            self._channel.abort()
        finally:
            body.release()
            self._channel.close()

    def _close_items(self) -> None:
        close = getattr(self._items, "close", None)
        if close is None:
            return
        try:
            close()
        except Exception:
            self._whole = False
            _logger.exception("%s: the application failed when its answer was closed", self._line)


class _Drained:
    """What is left of a body, as gunicorn looks for it: nothing, since this file has seen to it."""

    def read(self, _size: int) -> bytes:
        return b""


def _deframer(environ: WSGIEnvironment) -> BodyReader:
    """How the body is framed, of which gunicorn has judged that it is clear."""
    if "HTTP_TRANSFER_ENCODING" in environ:
        return ChunkedBody()
    return SizedBody(int(environ.get("CONTENT_LENGTH") or 0))


def _linger(channel: Channel) -> None:
    """Read on, and drop, so that no reset takes the answer away before it is read."""
    end = monotonic() + LINGER_SECONDS
    left = LINGER_BYTES
    with suppress(ClientDisconnected):
        channel.half_close()
        while left > 0 and channel.wait_for(READ, max(0.0, end - monotonic())):
            data = channel.receive(BLOCK)
            if data is None:
                continue
            if not data:
                return
            left -= len(data)
