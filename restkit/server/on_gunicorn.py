"""The configuration for gunicorn, under which it behaves like the embedded engine::

    gunicorn -c python:restkit.server.on_gunicorn --workers 4 module:app

It is for any WSGI application. gunicorn accepts connections, parses and writes heads, and logs;
restkit sends and receives the bodies on gunicorn's connections. Another configuration file can
import it::

    from restkit.server import on_gunicorn

    on_gunicorn.TIMEOUT = 60.0
    worker_class = on_gunicorn.worker_class
    pre_request = on_gunicorn.pre_request
    post_worker_init = on_gunicorn.post_worker_init

It needs gunicorn 27 or later and its worker gthread. Before 27, gunicorn did not handle a request
that arrived together with the previous one until the client sent more.

restkit relies on these parts of gunicorn, and tests fail if one of them changes:

- ``req.unreader`` has the bytes that were read after a head: ``read()`` returns them without
  receiving more, and ``unread()`` puts them back.
- ``req.body.reader`` is what gunicorn drains before the next request.
- ``req.force_close()`` makes gunicorn announce and do that.
- ``start_response`` is a method of gunicorn's response. ``write(b"")`` of the response sends the
  head. ``should_close()`` tells whether the connection is closed afterwards, ``can_sendfile()``
  whether the configuration allows sendfile, and the access log shows ``sent``.
- A request is parsed and answered on one thread, hooks included.
- ``_expected_100_continue``, a private name, is the only way to stop the 100 Continue that gunicorn
  sends before the application runs.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, NamedTuple

from restkit.server.engine import request_limits
from restkit.server.engine.gunicorn_exchange import GunicornExchange
from restkit.server.environ import has_body

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

__all__ = ["keepalive", "post_worker_init", "pre_request", "threads", "worker_class"]

worker_class = "gthread"
threads = 32
keepalive = 5

TIMEOUT = 30.0
"""A client that is silent for this number of seconds is disconnected."""

MIN_RATE: float | None = request_limits.MIN_RATE
"""The bytes per second that a client must send or read while restkit waits for it; or None."""

MAX_REQUEST_SECONDS: float | None = None
"""The longest time from the end of the head of a request to the end of its response; or None."""

MAX_SPOOL = request_limits.MAX_SPOOL
"""The bytes of a request that are kept while its client sends and does not read."""

WEBSOCKETS = False
"""Whether handshakes of WebSockets are left to gunicorn, and to an application on its socket."""

_OLDEST = 27

_logger = logging.getLogger("restkit.server")
_thread = threading.local()


class _PendingRequest(NamedTuple):
    """gunicorn's request, passed from the hook to the application.

    ``supported``: restkit can send and receive the bodies. It cannot with TLS, or with another
    protocol than HTTP/1: there the bytes on the socket are not those of the application.
    """

    request: Any
    supported: bool
    expects_continue: bool


def pre_request(worker: Any, req: Any) -> None:
    """Prepare a request, as gunicorn's hook: restkit sends the 100 Continue when it is needed."""
    supported = not worker.cfg.is_ssl and worker.cfg.protocol == "http" and req.version < (2, 0)
    _thread.pending = _PendingRequest(req, supported, req._expected_100_continue)
    if supported:
        req._expected_100_continue = False


def post_worker_init(worker: Any) -> None:
    """Wrap the application of a worker, as gunicorn's hook.

    Raises RuntimeError if the worker is not gthread, or gunicorn is older than 27, and TypeError or
    ValueError for an invalid limit.
    """
    classes = [cls.__name__ for cls in type(worker).__mro__]
    if "ThreadWorker" not in classes:
        raise RuntimeError(f"{__name__} needs gunicorn's worker gthread; got {classes[0]}")
    if int(version("gunicorn").partition(".")[0]) < _OLDEST:
        raise RuntimeError(f"{__name__} needs gunicorn {_OLDEST} or later")
    request_limits.check_seconds("TIMEOUT", TIMEOUT)
    limits = request_limits.RequestLimits(MIN_RATE, MAX_REQUEST_SECONDS, MAX_SPOOL)
    worker.wsgi = OnGunicorn(worker.wsgi, limits)
    _share_log_handlers(worker.log)


def _share_log_handlers(log: Any) -> None:
    """Log to gunicorn's error log, unless logging is configured for restkit.

    By default Python would log to stderr, which is not where an ``errorlog`` is.
    """
    errors: logging.Logger | None = getattr(log, "error_log", None)
    if errors is not None and not _logger.hasHandlers():
        _logger.setLevel(errors.level)
        for handler in errors.handlers:
            _logger.addHandler(handler)


class OnGunicorn:
    """A WSGI application whose bodies are sent and received by restkit."""

    def __init__(self, app: WSGIApplication, limits: request_limits.RequestLimits) -> None:
        self._app = app
        self._limits = limits

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        # Removed, because an idle thread would keep the last request alive.
        pending: _PendingRequest | None = _thread.__dict__.pop("pending", None)
        if pending is None:
            raise RuntimeError(f"the configuration of gunicorn lacks pre_request = {__name__}'s")
        rejection = _check_request(environ)
        if rejection is not None:
            pending.request.force_close()
        if not pending.supported or (WEBSOCKETS and _is_websocket_handshake(environ)):
            return (rejection or self._app)(environ, start_response)
        return GunicornExchange(
            rejection or self._app,
            environ,
            start_response,
            pending.request,
            expects_continue=pending.expects_continue,
            timeout=TIMEOUT,
            limits=self._limits,
        )


def _is_websocket_handshake(environ: WSGIEnvironment) -> bool:
    """Return whether a request is the handshake of a WebSocket, without a body (RFC 6455 4.1)."""
    options = environ.get("HTTP_CONNECTION", "").lower().split(",")
    return (
        environ["REQUEST_METHOD"] == "GET"
        and environ["SERVER_PROTOCOL"] == "HTTP/1.1"
        and environ.get("HTTP_UPGRADE", "").lower() == "websocket"
        and "upgrade" in [option.strip() for option in options]
        and "HTTP_SEC_WEBSOCKET_KEY" in environ
        and not has_body(environ)
    )


def _check_request(environ: WSGIEnvironment) -> WSGIApplication | None:
    """Return an application that rejects a request which gunicorn accepts and restkit does not."""
    if environ["REQUEST_METHOD"] == "CONNECT":
        return _reject("501 Not Implemented", "CONNECT is not supported")
    if environ["SERVER_PROTOCOL"] == "HTTP/1.1" and not environ.get("HTTP_HOST"):
        return _reject("400 Bad Request", "the request has no Host")
    encoding = environ.get("HTTP_TRANSFER_ENCODING")
    if encoding is not None and encoding.lower() != "chunked":
        return _reject("501 Not Implemented", "only Transfer-Encoding: chunked is supported")
    return None


def _reject(status: str, reason: str) -> WSGIApplication:
    def app(_environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        text = f"{reason}\n".encode()
        content_type = ("Content-Type", "text/plain; charset=utf-8")
        start_response(status, [content_type, ("Content-Length", str(len(text)))])
        return [text]

    return app
