"""Run under gunicorn.

gunicorn's configuration, with which it keeps what restkit's server promises on the wire::

    gunicorn -c python:restkit.server.on_gunicorn --workers 4 module:app

For any WSGI application. gunicorn accepts, parses heads and writes them, and logs; bodies, those
of requests and those of answers, go over its connection by restkit, as on the embedded engine. A
configuration of one's own takes from here what it does not say itself::

    from restkit.server import on_gunicorn

    on_gunicorn.TIMEOUT = 60.0
    worker_class = on_gunicorn.worker_class
    pre_request = on_gunicorn.pre_request
    post_worker_init = on_gunicorn.post_worker_init

For gunicorn 27 and its worker gthread: before 27 a request that comes together with the one before
it is not heard until the client says more, and before 25 less of this can be had.
What it rests on: ``req.unreader`` holds what was read behind a head (``read()`` gives that without
reading more, ``unread()`` puts it back); ``req.body.reader`` is what gunicorn itself drains before
the next request; ``req.force_close()`` makes it announce and do just that; start_response is a
method of its response, of which ``write(b"")`` sends the head, ``should_close()`` tells what
becomes of the connection, ``can_sendfile()`` what the configuration says to that, and ``sent`` is
what the access log has; a request is parsed and answered on one thread, hooks included. What
gunicorn says to ``Expect: 100-continue`` before the application runs cannot be had otherwise than
by ``_expected_100_continue``, a private name. Tests fail when any of that changes.
"""

from __future__ import annotations

import logging
import threading
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, NamedTuple

from restkit.server.engine.gunicorn_exchange import GunicornExchange

if TYPE_CHECKING:
    from collections.abc import Iterable

    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


__all__ = ["keepalive", "post_worker_init", "pre_request", "threads", "worker_class"]

worker_class = "gthread"
threads = 32
keepalive = 5

TIMEOUT = 30.0
"""The seconds for which a client may keep still before it is dropped."""

_OLDEST = 27
_TEXT = ("Content-Type", "text/plain; charset=utf-8")

_logger = logging.getLogger("restkit.server")
_here = threading.local()


class _Asked(NamedTuple):
    """gunicorn's request, on its way from the hook to the application.

    ``ours``: its connection can be read and written here. With TLS, and with protocols other than
    HTTP/1, what goes over the socket is not what an application gives, and gunicorn alone does it.
    """

    request: Any
    ours: bool
    expects_continue: bool


def pre_request(worker: Any, req: Any) -> None:
    """The hook before each request: who reads the body says 100 Continue."""
    ours = not worker.cfg.is_ssl and worker.cfg.protocol == "http" and req.version < (2, 0)
    _here.asked = _Asked(req, ours, req._expected_100_continue)
    if ours:
        req._expected_100_continue = False


def post_worker_init(worker: Any) -> None:
    """The hook when a worker has loaded the application.

    Raises RuntimeError for a worker that is not gthread, and for a gunicorn before 27.
    """
    kinds = [kind.__name__ for kind in type(worker).__mro__]
    if "ThreadWorker" not in kinds:
        raise RuntimeError(f"{__name__} is for gunicorn's worker gthread, and this is {kinds[0]}")
    if int(version("gunicorn").partition(".")[0]) < _OLDEST:
        raise RuntimeError(f"{__name__} is for gunicorn {_OLDEST}, or a later one")
    worker.wsgi = OnGunicorn(worker.wsgi)
    _log_by(worker.log)


def _log_by(log: Any) -> None:
    """What fails is told where gunicorn tells it, unless somebody has said where.

    By default that would be stderr, which is not where an ``errorlog`` is.
    """
    errors: logging.Logger | None = getattr(log, "error_log", None)
    if errors is not None and not _logger.hasHandlers():
        _logger.setLevel(errors.level)
        for handler in errors.handlers:
            _logger.addHandler(handler)


class OnGunicorn:
    """A WSGI application, made true on the wire of gunicorn."""

    def __init__(self, app: WSGIApplication) -> None:
        self._app = app

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        # Taken out, since a thread that waits for work would keep the last request alive.
        asked: _Asked | None = _here.__dict__.pop("asked", None)
        if asked is None:
            raise RuntimeError(f"gunicorn's configuration has no pre_request = {__name__}'s")
        # A websocket is talked on by whoever answers it, on gunicorn's own socket.
        if not asked.ours or environ.get("HTTP_UPGRADE", "").lower() == "websocket":
            return self._app(environ, start_response)
        refusal = _refusal_of(environ)
        if refusal is not None:
            asked.request.force_close()
        return GunicornExchange(
            refusal or self._app,
            environ,
            start_response,
            asked.request,
            expects_continue=asked.expects_continue,
            timeout=TIMEOUT,
        )


def _refusal_of(environ: WSGIEnvironment) -> WSGIApplication | None:
    """Who answers what gunicorn lets through, and the embedded engine does not."""
    if environ["REQUEST_METHOD"] == "CONNECT":
        return _refusal("501 Not Implemented", "this server opens no tunnels")
    if environ["SERVER_PROTOCOL"] == "HTTP/1.1" and not environ.get("HTTP_HOST"):
        return _refusal("400 Bad Request", "the request has no Host")
    coding = environ.get("HTTP_TRANSFER_ENCODING")
    if coding is not None and coding.lower() != "chunked":
        return _refusal("501 Not Implemented", "Transfer-Encoding: chunked, and alone, can be read")
    return None


def _refusal(status: str, why: str) -> WSGIApplication:
    def refuse(_environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        text = f"{why}\n".encode()
        start_response(status, [_TEXT, ("Content-Length", str(len(text)))])
        return [text]

    return refuse
