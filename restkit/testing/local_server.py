"""A server and a client for tests: ``LocalServer`` and ``AppClient``."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterable
from typing import cast

from restkit.annotations import StartResponse, Unpack, WSGIApplication, WSGIEnvironment
from restkit.client.client import Client
from restkit.client.options import ClientOptions
from restkit.errors import ClientDisconnected
from restkit.server.app import App
from restkit.server.engine.accept_loop import AcceptLoop
from restkit.server.engine.connection import ClientConnection, Setup
from restkit.server.engine.listener import address_of, open_listener
from restkit.testing.faults import Delay, Drop, Fault, FaultySocket, Reset, Truncate
from restkit.testing.recording import Received, ServerRecord
from restkit.url.host import join_host_port

_MAX_THREADS = 256  # they are started when they are needed
_PATIENCE = 10.0  # seconds that close() waits for handlers
_BASE_URL = "http://localhost/"


class LocalServer:
    """A server on a local port, from its creation until ``close()``; a context manager.

    ``app`` is an ``App`` to add routes to, unless another WSGI application is given. ``url`` is the
    address (``http://127.0.0.1:4711``), and ``host`` and ``port`` are its parts; ``received`` are
    the requests so far. It needs only restkit and the standard library.

    >>> from restkit import get
    >>> from restkit.server.response import text
    >>> with LocalServer() as server:
    ...     @server.app.get('/hello')
    ...     def hello(request):
    ...         return text('Hello!')
    ...     get(server.url + '/hello').text
    'Hello!'
    """

    def __init__(
        self, app: WSGIApplication | None = None, *, host: str = "127.0.0.1", port: int = 0
    ) -> None:
        self.app = App("restkit.testing") if app is None else cast("App", app)
        self._record = ServerRecord()
        self._rules: list[_FaultRule] = []
        self._lock = threading.RLock()
        self._closing = threading.Event()
        listener = open_listener(host, port)
        self.host, self.port = address_of(listener)
        self._loop = AcceptLoop(listener, self._make_connection, threads=_MAX_THREADS, daemon=True)
        self._loop.start()

    @property
    def url(self) -> str:
        """The address, without a slash at the end."""
        return f"http://{join_host_port(self.host, self.port)}"

    @property
    def received(self) -> list[Received]:
        """Every request so far, complete or not, in the order of the heads."""
        return self._record.requests()

    @property
    def wire(self) -> list[bytes]:
        """Every received byte, by connection, including those that are no valid request."""
        return self._record.wire()

    def inject(self, *faults: Fault, path: str | None = None, times: int | None = 1) -> None:
        """Apply faults to the next request: ``Drop``, ``Reset``, ``Truncate`` or ``Delay``.

        ``path`` limits them to requests of this path. ``times`` is the number of requests, None for
        all. If several calls match a request, the earliest one applies to it.
        """
        for fault in faults:
            if not isinstance(fault, Drop | Reset | Truncate | Delay):
                raise TypeError(f"a fault must be one such as Drop() or Delay(0.5); got {fault!r}")
        with self._lock:
            self._rules.append(_FaultRule(faults, path, times))

    def close(self) -> None:
        """Stop listening, cut off every connection, and wait for every thread. Idempotent.

        A handler that reads or writes gets ClientDisconnected. Raises RuntimeError if one does
        neither, and has not returned after ten seconds.
        """
        self._closing.set()
        self._loop.stop(grace=0, patience=_PATIENCE)

    def __enter__(self) -> LocalServer:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<LocalServer at {self.url}, {'closed' if self._closing.is_set() else 'open'}>"

    def _make_connection(self, sock: socket.socket, client: tuple[str, int]) -> ClientConnection:
        faulty = FaultySocket(sock, self._record.add_connection(), self._closing)

        def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
            # With it the system would send files, and faults could not be applied to their bytes.
            environ.pop("wsgi.file_wrapper", None)
            try:
                faulty.begin_response(self._faults_for(environ["PATH_INFO"]))
            except OSError as exc:
                raise ClientDisconnected(str(exc)) from exc
            return self.app(environ, start_response)

        return ClientConnection(faulty, client, Setup(app, host=self.host, port=self.port))

    def _faults_for(self, path: str) -> tuple[Fault, ...]:
        with self._lock:
            for rule in self._rules:
                if rule.take(path):
                    return rule.faults
        return ()


class _FaultRule:
    """The faults of one ``inject()``, the path they are for, and how often they still apply."""

    def __init__(self, faults: tuple[Fault, ...], path: str | None, times: int | None) -> None:
        self.faults = faults
        self._path = None if path is None else path.encode().decode("latin-1")  # as PEP 3333
        self._times = times

    def take(self, path: str) -> bool:
        """Return whether the rule applies to a request of ``path``, and count that."""
        if self._times == 0 or self._path not in (None, path):
            return False
        if self._times is not None:
            self._times -= 1
        return True


class AppClient(Client):
    """A ``Client`` whose connections lead to a WSGI application in this process, for any host.

    Requests and responses are bytes on a socket pair and are handled as on a network; the
    application runs in threads of its own. All options of a Client except ``connect`` can be given;
    relative URLs are below ``http://localhost/`` unless ``base_url`` is given. ``close()`` ends the
    threads too.

    >>> from restkit.server import App
    >>> with AppClient(App()) as client:
    ...     client.get('/nothing').status
    404
    """

    def __init__(self, app: WSGIApplication, **options: Unpack[ClientOptions]) -> None:
        if "connect" in options:
            raise TypeError("connect cannot be given to an AppClient, which connects to its app")
        self._connector = _Connector(app)
        options.setdefault("base_url", _BASE_URL)
        options["connect"] = self._connector.connect
        super().__init__(**options)

    def close(self, *, abort: bool = False) -> None:  # noqa: ARG002  # as in Client
        """Close every connection, and wait until the application has returned on each.

        A response that was not read to its end is aborted, with or without ``abort``, because the
        application ends here. Raises RuntimeError if a handler that neither reads nor writes has
        not returned after ten seconds.
        """
        super().close(abort=True)
        self._connector.close()


class _Connector:
    """Opens connections to a WSGI application, which it serves from the first one on."""

    def __init__(self, app: WSGIApplication) -> None:
        self._app = app
        self._lock = threading.RLock()
        self._loop: AcceptLoop | None = None
        self._process = 0

    def connect(self, host: str, port: int) -> socket.socket:
        client_end, server_end = socket.socketpair()
        setup = Setup(self._app, host=host, port=port)
        self._running_loop().add(ClientConnection(server_end, ("127.0.0.1", 0), setup))
        return client_end

    def close(self) -> None:
        if self._loop is not None and self._process == os.getpid():
            self._loop.stop(grace=0, patience=_PATIENCE)

    def _running_loop(self) -> AcceptLoop:
        with self._lock:
            if self._loop is None or self._process != os.getpid():  # threads do not survive a fork
                self._loop = AcceptLoop(None, threads=_MAX_THREADS, daemon=True)
                self._loop.start()
                self._process = os.getpid()
            return self._loop
