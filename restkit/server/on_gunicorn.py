"""gunicorn's configuration, with which it keeps what restkit's server promises on the wire::

    gunicorn -c python:restkit.server.on_gunicorn --workers 4 module:app

gunicorn accepts, parses heads and writes them; a body that comes is taken from its connection by
``wire.framing``, as on the embedded engine, and while it has not all come the answer's body is
sent by ``Sender``. For any WSGI application. A configuration of one's own takes the names from
here: ``from restkit.server.on_gunicorn import *``.

What this rests on (gunicorn 22 to 27, worker gthread): ``req.unreader`` holds what was read behind
a head (``read()`` gives that without reading more, ``unread()`` puts it back); ``req.body.reader``
is what gunicorn itself drains before the next request; ``req.force_close()`` makes it announce and
do just that; ``write(b"")`` sends the head; a request is parsed and answered on one thread, hooks
included. What gunicorn says to ``Expect: 100-continue`` before the application runs cannot be had
otherwise than by ``_expected_100_continue``, a private name: a test fails when that changes.
"""

from __future__ import annotations

import logging
import ssl
import sys
import threading
from contextlib import suppress
from errno import EPIPE
from time import monotonic
from typing import TYPE_CHECKING, Any, NamedTuple

from restkit.errors import ClientDisconnected, ParserError
from restkit.server.channel import BLOCK, READ, Channel
from restkit.server.request_body import RequestBody, RequestFile
from restkit.server.sender import Sender
from restkit.wire.framing import ChunkedBody, SizedBody

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from _typeshed import OptExcInfo
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

__all__ = ["keepalive", "post_worker_init", "pre_request", "threads", "worker_class"]

worker_class = "gthread"
threads = 32
keepalive = 5

TIMEOUT = 30.0
"""The seconds for which a client may keep still before it is dropped."""

# As on the embedded engine.
_SMALL = 64 * 1024
_SOON = 0.05
_LINGER_BYTES = 256 * 1024 * 1024
_LINGER_SECONDS = 10.0

_logger = logging.getLogger("restkit.server")
_here = threading.local()


class _Asked(NamedTuple):
    """gunicorn's request, on its way from the hook to the application."""

    request: Any
    expects_continue: bool


def pre_request(_worker: object, req: Any) -> None:
    """The hook before each request: who reads the body says 100 Continue."""
    _here.asked = _Asked(req, req._expected_100_continue)
    req._expected_100_continue = False


def post_worker_init(worker: Any) -> None:
    """The hook when a worker has loaded the application."""
    worker.wsgi = OnGunicorn(worker.wsgi)


class OnGunicorn:
    """A WSGI application, made true on the wire of gunicorn."""

    def __init__(self, app: WSGIApplication) -> None:
        self._app = app

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if environ["SERVER_PROTOCOL"] == "HTTP/1.1" and not environ.get("HTTP_HOST"):
            start_response("400 Bad Request", [("Content-Type", "text/plain")])
            return [b"the request has no Host\n"]
        sock = environ["gunicorn.socket"]
        asked: _Asked = _here.asked
        # With TLS of its own gunicorn reads and writes as it does.
        if isinstance(sock, ssl.SSLSocket):
            return self._app(environ, start_response)
        # gunicorn's socket is its own again, and blocking, at the next request.
        sock.settimeout(TIMEOUT)
        return _Exchange(asked, environ, start_response).run(self._app)


class _Exchange:
    """One request and its answer: the iterable that gunicorn is given, which gives it nothing."""

    def __init__(
        self, asked: _Asked, environ: WSGIEnvironment, start_response: StartResponse
    ) -> None:
        self._request = asked.request
        self._environ = environ
        self._start_response = start_response
        self._said: tuple[str, list[tuple[str, str]]] | None = None
        self._write_by_gunicorn: Callable[[bytes], object] | None = None
        where = f"{environ.get('REMOTE_ADDR')}:{environ.get('REMOTE_PORT')}"
        self._channel = Channel(environ["gunicorn.socket"].dup(), TIMEOUT, where)
        self._body = _body_of(environ, self._channel, asked)
        self._sender = Sender(self._channel, self._body)
        self._chunked = False
        self._bodiless = False
        self._left: int | None = None
        self._items: Any = ()
        self._lingers = False

    def run(self, app: WSGIApplication) -> Iterable[bytes]:
        """Call the application; what it gives, as gunicorn is to have it."""
        self._environ["wsgi.input"] = RequestFile(self._body)
        self._environ["wsgi.input_terminated"] = True
        # What gunicorn would drain of the body, it is told when it asks.
        self._request.body.reader = _Drained()
        try:
            self._items = self._called(app)
        except BaseException:
            self._release()
            raise
        wrapper = self._environ.get("wsgi.file_wrapper")
        if wrapper is not None and isinstance(self._items, wrapper) and self._body.done:
            if self._write_by_gunicorn is None:
                self._leave(whole=True)
            self._release()
            whole: Iterable[bytes] = self._items
            return whole
        return self

    def _called(self, app: WSGIApplication) -> Iterable[bytes]:
        try:
            return app(self._environ, self.start_response)
        except Exception as exc:  # noqa: BLE001  # whatever an application raises ends here
            return self._instead_of(exc)

    def __iter__(self) -> Iterator[bytes]:
        try:
            self._send(self._items)
        except Exception as exc:  # noqa: BLE001  # the same
            self._send(self._instead_of(exc))
        if self._left:
            raise RuntimeError(f"the application gave {self._left} bytes fewer than declared")
        return iter(())

    def _send(self, items: Iterable[bytes]) -> None:
        for item in items:
            self.write(item)
        if self._write_by_gunicorn is None:
            self._leave(whole=True)

    def start_response(
        self, status: str, headers: list[tuple[str, str]], exc_info: OptExcInfo | None = None, /
    ) -> Callable[[bytes], object]:
        """Declare status and fields; again only with ``exc_info``, and before the head has left."""
        if exc_info is not None:
            try:
                if self._write_by_gunicorn is not None and exc_info[1] is not None:
                    raise exc_info[1].with_traceback(exc_info[2])
            finally:
                exc_info = None  # which would hold this frame in a ring
        elif self._said is not None:
            raise AssertionError("start_response was called a second time, without exc_info")
        # gunicorn would put the fields of a second answer behind those of the first.
        self._said = status, headers
        lengths = [value for name, value in headers if name.lower() == "content-length"]
        old = self._environ["SERVER_PROTOCOL"] == "HTTP/1.0"
        self._bodiless = self._environ["REQUEST_METHOD"] == "HEAD" or status[:3] in ("204", "304")
        self._left = int(lengths[0]) if lengths and not self._bodiless else None
        self._chunked = self._left is None and not old and not self._bodiless
        return self.write

    def write(self, data: bytes) -> None:
        """Send a piece of the body at once; an empty one writes nothing."""
        if not data:
            return
        if self._left is not None:
            data = data[: self._left]
            self._left -= len(data)
        write = self._write_by_gunicorn or self._leave(whole=self._bodiless or self._left == 0)
        if self._body.wanted and not self._bodiless:
            framed = [b"%x\r\n" % len(data), data, b"\r\n"] if self._chunked else [data]
            self._sender.send([piece for piece in framed if piece])
            return
        try:
            # Its time-out is for each call, however much that has to send.
            for at in range(0, len(data), BLOCK):
                write(data[at : at + BLOCK])
        except TimeoutError as exc:
            raise ClientDisconnected(f"the client kept still for {TIMEOUT:g} s") from exc
        except OSError as exc:
            raise ClientDisconnected(f"the client went away: {exc.strerror or exc}") from exc

    def _leave(self, *, whole: bool) -> Callable[[bytes], object]:
        """Give gunicorn the head, having decided whether the connection can be kept behind it."""
        if self._said is None:
            raise AssertionError("the application gave an answer, and did not call start_response")
        body = self._body
        body.never_mind()
        read_on = body.touched and body.fault is None and not whole
        if not (body.done or read_on or body.comes_soon(_SMALL, _SOON)):
            self._request.force_close()
            self._lingers = True
        self._write_by_gunicorn = write = self._start_response(*self._said)
        if body.wanted:
            write(b"")  # the head goes by itself, since what follows may not go by gunicorn
        return write

    def _instead_of(self, exc: Exception) -> list[bytes]:
        """The answer where the application fails; what gunicorn is to see is raised."""
        if isinstance(exc, ClientDisconnected):
            _logger.debug("%s", exc)
            raise BrokenPipeError(EPIPE, exc.message) from exc  # which gunicorn takes for no fault
        if self._write_by_gunicorn is not None:
            if not (self._chunked or self._bodiless or self._left is not None):
                self._reset()
            raise exc
        status, text = "500 Internal Server Error", b"Internal Server Error\n"
        if isinstance(exc, ParserError) and exc is self._body.fault:
            status, text = "400 Bad Request", f"{exc}\n".encode()
        else:
            _logger.error("%s failed", self._environ["REQUEST_METHOD"], exc_info=exc)
        fields = [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(text)))]
        self.start_response(status, fields, sys.exc_info())
        return [text]

    def _reset(self) -> None:
        """Close so that a body that only the connection ends does not look like a whole one."""
        self._channel.reset()
        self._environ["gunicorn.socket"].close()

    # Behind the answer

    def close(self) -> None:
        """What is left of the request's body must not be the next request."""
        try:
            close = getattr(self._items, "close", None)
            if close is not None:
                close()
            if self._body.wanted and not self._lingers:
                self._lingers = not self._body.comes_soon(_SMALL, _SOON)
            if self._lingers:
                _linger(self._channel)
        finally:
            self._release()

    def _release(self) -> None:
        if self._body.done:
            self._put_back()
        else:
            self._request.force_close()
        self._body.release()
        self._channel.close()

    def _put_back(self) -> None:
        """Leave to gunicorn what came behind the body."""
        self._request.unreader.unread(self._body.rest)


class _Drained:
    """What is left of a body, as gunicorn looks for it: nothing, since this file has seen to it."""

    def read(self, _size: int) -> bytes:
        return b""


def _body_of(environ: WSGIEnvironment, channel: Channel, asked: _Asked) -> RequestBody:
    unreader = asked.request.unreader
    chunked = environ.get("HTTP_TRANSFER_ENCODING", "").lower() == "chunked"
    length = int(environ.get("CONTENT_LENGTH") or 0)
    deframer = ChunkedBody() if chunked else SizedBody(length)
    held = unreader.read() if unreader.buf.getvalue() else b""
    return RequestBody(channel, deframer, held, expects_continue=asked.expects_continue)


def _linger(channel: Channel) -> None:
    """Read on, and drop, so that no reset takes the answer away before it is read."""
    end = monotonic() + _LINGER_SECONDS
    left = _LINGER_BYTES
    with suppress(ClientDisconnected):
        channel.half_close()
        while left > 0 and channel.wait_for(READ, max(0.0, end - monotonic())):
            data = channel.receive(BLOCK)
            if data is None:
                continue
            if not data:
                return
            left -= len(data)
