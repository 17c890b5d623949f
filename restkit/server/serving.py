"""Serve a WSGI application in this process: ``serve``, ``run`` and ``Server``."""

from __future__ import annotations

import logging
import signal
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from queue import Empty, SimpleQueue
from types import TracebackType

from restkit.annotations import Unpack, WSGIApplication
from restkit.io.processes import SIGNAL_CHECK_SECONDS
from restkit.server.engine.accept_loop import AcceptLoop
from restkit.server.engine.access_log import AccessLog, as_access_log
from restkit.server.engine.connection import Setup
from restkit.server.engine.listener import address_of, open_listener
from restkit.server.engine.tls import as_server_context, make_connection_factory
from restkit.server.serve_options import ServeOptions, ServeSettings, make_settings
from restkit.server.trusted_proxies import TrustedProxies
from restkit.url.host import join_host_port

_logger = logging.getLogger("restkit.server")

_GRACE = 30.0
_PATIENCE = 5.0


class Server:
    """A server that responds, in threads of its own, until ``close()``; a context manager.

    ``url`` is its address (``http://127.0.0.1:4711``), and ``host`` and ``port`` are its parts. On
    a Unix socket they are what the application sees: ``localhost`` and 80.
    """

    def __init__(
        self,
        app: WSGIApplication,
        listener: socket.socket,
        host: str,
        settings: ServeSettings,
        *,
        access_log: AccessLog | None,
        tls: ssl.SSLContext | None,
        daemon: bool,
    ) -> None:
        self.host: str
        self.port: int
        self.host, self.port = address_of(listener)
        self._scheme = "http" if tls is None else "https"
        setup = Setup(
            app,
            self._scheme,
            host,
            self.port,
            settings.timeout,
            settings.limits,
            access_log,
            settings.keepalive,
        )
        self._grace = settings.grace
        self._daemon = daemon
        self._closed = False
        self._wakes: SimpleQueue[None] = SimpleQueue()
        self._loop = AcceptLoop(
            listener,
            make_connection_factory(setup, tls),
            threads=settings.threads,
            max_connections=settings.max_connections,
            when_stopped=self.wake,
            daemon=daemon,
        )
        self._loop.start()

    @property
    def url(self) -> str:
        """The address of the server, without a slash at its end."""
        return f"{self._scheme}://{join_host_port(self.host, self.port)}"

    def wait(self) -> None:
        """Block until the server has stopped, or ``wake()`` is called."""
        while True:
            with suppress(Empty):
                self._wakes.get(timeout=SIGNAL_CHECK_SECONDS)
                break
        self._wakes.put(None)

    def wake(self) -> None:
        """End every ``wait()``. A signal handler may call it."""
        # SimpleQueue.put() is safe in a signal handler (docs of ``queue``). Raising there is not:
        # after that, join() takes a running thread for an ended one (Python 3.10 and 3.11).
        self._wakes.put(None)

    def close(self) -> None:
        """Stop, and wait for every thread. Idempotent.

        Requests in progress have ``grace`` seconds. Then their connections are closed, and the
        application gets ClientDisconnected when it reads or writes. If an application does neither,
        ``close()`` waits for it. ``run()`` waits five seconds more, and logs the request.
        """
        self._closed = True
        if not self._daemon:
            self._loop.stop(self._grace)
            return
        try:
            self._loop.stop(self._grace, self._grace + _PATIENCE)
        except RuntimeError as exc:
            _logger.error("stopped anyway: %s", exc)

    def __enter__(self) -> Server:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Server at {self.url}, {'closed' if self._closed else 'open'}>"


def serve(
    app: WSGIApplication,
    host: str = "127.0.0.1",
    port: int = 0,
    **options: Unpack[ServeOptions],
) -> Server:
    """Serve a WSGI application in threads of its own; it accepts connections on return.

    ``port=0`` takes a free port. ``uds`` is the path of a Unix socket, in place of host and port.
    ``threads=64`` bounds the requests that are handled at the same time. A client that is silent
    for ``timeout=30`` seconds is disconnected. After a response, a connection may be idle for
    ``keepalive`` seconds, by default as long as ``timeout``. ``max_connections`` bounds the open
    connections; by default it is half of the descriptors that the process may have, and at most
    10,000. One more connection takes the place of the one that has been idle longest. When the
    server is closed, requests in progress have ``grace=0.5`` seconds. Raises OSError if it cannot
    listen. Close the server, or use it as a context manager.

    ``access_log=True`` logs each response to the logger ``restkit.access`` in the common log
    format. A text file gets these lines, and a function is called with each ``AccessRecord``.

    ``tls`` is ``(certificate, key)``, the paths of two PEM files; ``(certificate, key, password)``;
    the path of one PEM file with both; or an ``ssl.SSLContext``. The server then speaks only TLS.
    Raises ValueError for files that are no certificate with its key.

    ``trusted_proxies`` are addresses and networks, and ``'unix'``; see ``TrustedProxies``.

    While the server waits for a client, the client must send or read ``min_rate=240`` bytes per
    second, over each 10 seconds; otherwise it is disconnected. So is a client whose request takes
    longer than ``max_request_seconds``, from the end of its head to the end of its response. None
    is no limit. A client that sends and does not read can make the server keep ``max_spool`` bytes
    (64 MiB) of its request; then the server waits until it reads.

    >>> from restkit import get
    >>> def app(environ, start_response):
    ...     start_response('200 OK', [])
    ...     return [b'Hello!']
    >>> with serve(app) as server:
    ...     get(server.url).text
    'Hello!'
    """
    return _start(app, host, port, make_settings(options, grace=0.5), daemon=False)


def run(
    app: WSGIApplication,
    host: str = "127.0.0.1",
    port: int = 8000,
    **options: Unpack[ServeOptions],
) -> None:
    """Serve a WSGI application until SIGINT (Ctrl-C) or SIGTERM arrives; see ``serve``.

    Then requests in progress have ``grace=30`` seconds to finish. A second signal ends the process
    at once. If a handler hangs, ``run`` returns five seconds after ``grace``.
    """
    server = _start(app, host, port, make_settings(options, grace=_GRACE), daemon=True)
    with server, _on_signals(server.wake):
        _logger.info("serving at %s", server.url)
        server.wait()


def _start(
    app: WSGIApplication, host: str, port: int, settings: ServeSettings, *, daemon: bool
) -> Server:
    if not callable(app):
        raise TypeError(f"app must be a WSGI application, a callable; got {app!r}")
    access_log = as_access_log(settings.access_log)
    context = as_server_context(settings.tls)
    if settings.trusted_proxies is not None:
        app = TrustedProxies(app, settings.trusted_proxies)
    uds = settings.uds
    return Server(
        app,
        open_listener(host, port, uds),
        "localhost" if uds else host,
        settings,
        access_log=access_log,
        tls=context,
        daemon=daemon,
    )


@contextmanager
def _on_signals(act: Callable[[], None]) -> Iterator[None]:
    """Call ``act`` on SIGINT and SIGTERM; only the main thread can set handlers of signals."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    with ExitStack() as handlers:
        for number in (signal.SIGINT, signal.SIGTERM):
            handler = signal.signal(number, lambda *_: act())
            handlers.callback(signal.signal, number, handler)
        yield
