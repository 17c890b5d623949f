"""One request under gunicorn, and its response.

gunicorn parses the head of the request, and writes the head and the last chunk of the response.
The bodies are sent and received by restkit, on the connection of gunicorn. ``on_gunicorn`` lists
the parts of gunicorn that this relies on.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from errno import EPIPE
from typing import TYPE_CHECKING, Any, NoReturn

from restkit.errors import ClientDisconnected
from restkit.http1.framing import BodyReader, ChunkedBody, SizedBody
from restkit.io.buffers import Buffer, close_if_possible
from restkit.server.engine.client_socket import ClientSocket, Drain
from restkit.server.engine.request_body import RequestBody, RequestFile
from restkit.server.engine.request_limits import RequestLimits
from restkit.server.engine.response_head import Framing, choose_framing
from restkit.server.engine.sender import FileWrapper, Sender
from restkit.server.engine.wsgi_response import WSGIResponse

if TYPE_CHECKING:
    from collections.abc import Iterator

    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_logger = logging.getLogger("restkit.server")


class GunicornExchange(WSGIResponse):
    """The iterable that gunicorn gets as the response; it is empty, because restkit sends the body.

    gunicorn iterates over it, writes the last chunk, and closes it.
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
        limits: RequestLimits,
    ) -> None:
        self._app = app
        self._environ = environ
        self._start_response = start_response
        self._request = request
        self._response: Any = start_response.__self__  # type: ignore[attr-defined]  # it is bound
        self._gunicorn_socket = environ["gunicorn.socket"]
        # For what gunicorn writes; it makes its socket blocking again for the next request.
        self._gunicorn_socket.settimeout(timeout)
        address = environ.get("REMOTE_ADDR")
        client = f"{address}:{environ.get('REMOTE_PORT')}" if address else "the client"
        self._socket = ClientSocket(self._gunicorn_socket.dup(), timeout, client)
        body = RequestBody(
            self._socket,
            _body_reader(environ),
            request.unreader.read() if request.unreader.buf.getvalue() else b"",
            limits=limits,
            expects_continue=expects_continue,
        )
        method, target, minor = environ["REQUEST_METHOD"], environ["RAW_URI"], request.version[1]
        super().__init__(method, target, minor, Sender(self._socket, body), body)
        self._headers: list[tuple[str, str]] = []
        self._items: Any = ()
        self._complete = False
        self._disconnected = False

    def __iter__(self) -> Iterator[bytes]:
        """Call the application and send its response. gunicorn sees a failure as a broken pipe."""
        try:
            try:
                self._call()
            except ClientDisconnected:
                raise
            except BaseException as exc:  # noqa: BLE001  # SystemExit too: it ends one request only
                self._end_failed(exc)
            self._finish()
        except ClientDisconnected as exc:
            _logger.debug("%s: %s", self._request_line, exc)
            self._disconnected = True
            self._break(exc)
        finally:
            self._response.sent += self._sent  # for the access log
        self._complete = True
        return iter(())

    def _call(self) -> None:
        environ = self._environ
        environ["wsgi.input"] = RequestFile(self._body)
        environ["wsgi.input_terminated"] = True
        environ["wsgi.file_wrapper"] = FileWrapper
        # gunicorn drains the body before the next request, but restkit receives all of it.
        self._request.body.reader = _NoBody()
        self._items = items = self._app(environ, self.start_response)
        region = items.region() if isinstance(items, FileWrapper) else None
        declared = self._framing is None and self._head is not None and self._head.length
        if region is not None and declared and self._response.can_sendfile():
            self._write_region(region)
        else:
            for item in items:
                self.write(item)
        if self._framing is None:
            self._send_head(0)

    def _declare(self, status: str, headers: list[tuple[str, str]]) -> None:
        super()._declare(status, headers)
        # Given to gunicorn later, because it would append the fields of a second response.
        self._headers = headers

    def _send_head(self, available: int) -> list[Buffer]:
        """Let gunicorn send the head, and tell it whether the connection is kept."""
        head = self._check_head()
        self._length = head.length
        framing = choose_framing(head, self._method, self._minor, head.length)
        if not self._can_keep_alive(framing, available):
            self._request.force_close()
        self._body.begin_sending()
        write = self._start_response(head.status, self._headers)
        self._framing = framing
        try:
            write(b"")
        except OSError as exc:
            raise ClientDisconnected(f"the head of the response was not sent: {exc}") from exc
        return []

    def _finish(self) -> None:
        """End the body, except for the last chunk, which gunicorn writes."""
        if self._framing is Framing.CHUNKED:
            self._sender.wait()  # for space: gunicorn receives nothing while it writes
        self._finished = True
        self._log_wrong_length()
        if self._too_short:
            self._break(None)

    def _end_failed(self, exc: BaseException) -> None:
        status, text = self._error_response(exc)
        if self._framing is not None:
            self._break(exc)
        self._send_error(status, text)

    def _break(self, cause: BaseException | None) -> NoReturn:
        """End an incomplete response so that it does not look complete."""
        if self._framing is Framing.TO_END:
            self._disconnected = True
            self._socket.reset()
            self._gunicorn_socket.close()
        raise BrokenPipeError(EPIPE, "the response was not completed") from cause

    def close(self) -> None:
        """Receive, discard or cut off the rest of the request's body: it is no further request."""
        body = self._body
        try:
            self._close_items()
            keep = self._complete and not self._response.should_close()
            if keep and (body.done or self._rest_arrives_soon()):
                self._request.unreader.unread(body.leftover)
                return
            self._request.force_close()
            if not self._disconnected and (not body.done or body.leftover):
                with suppress(ClientDisconnected):
                    Drain(self._socket).run()
            # gunicorn (26 and later) would wait up to two seconds for the client to end its side,
            # on the one thread that serves all connections.
            self._socket.abort()
        finally:
            body.release()
            self._socket.close()

    def _close_items(self) -> None:
        try:
            close_if_possible(self._items)
        except BaseException:
            self._complete = False
            _logger.exception("%s: closing the response failed", self._request_line)


class _NoBody:
    """The rest of a body, as gunicorn sees it: always empty, because restkit receives it."""

    def read(self, _size: int) -> bytes:
        return b""


def _body_reader(environ: WSGIEnvironment) -> BodyReader:
    """Return the reader for a body whose framing gunicorn has checked."""
    if "HTTP_TRANSFER_ENCODING" in environ:
        return ChunkedBody()
    return SizedBody(int(environ.get("CONTENT_LENGTH") or 0))
