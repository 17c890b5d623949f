"""A server and a client for tests.

A server for tests, on a port of this machine: it writes down what comes, and fails on demand.

A client of an application in the same process: everything as it is, but for the network.
"""

from __future__ import annotations

import os
import socket
import threading
from typing import TYPE_CHECKING, cast

from restkit.client.client import Client
from restkit.errors import ClientDisconnected
from restkit.server.app import App
from restkit.server.engine.accept_loop import AcceptLoop
from restkit.server.engine.connection import ClientConnection, Setup
from restkit.server.engine.listener import address_of, open_listener
from restkit.testing.faults import Delay, Drop, Reset, Truncate, WatchedSocket
from restkit.testing.recording import Log
from restkit.url.host import join_host_port

if TYPE_CHECKING:
    from collections.abc import Iterable

    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment
    from typing_extensions import Unpack

    from restkit.client.options import ClientOptions
    from restkit.testing.faults import Fault
    from restkit.testing.recording import Received

_THREADS = 256  # a bound, for they are started when they are needed
_PATIENCE = 10.0  # seconds that close() waits for handlers


class LocalServer:
    """Serves an application from the moment it is made until ``close()``; a context manager.

    ``app`` is an ``App`` to add routes to, unless another WSGI application was given. ``url`` is
    where it is (``http://127.0.0.1:4711``), ``host`` and ``port`` its parts; ``received`` is what
    came. It takes nothing but the standard library and restkit.

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
        self._log = Log()
        self._rules: list[_Rule] = []
        self._lock = threading.Lock()
        self._closing = threading.Event()
        listener = open_listener(host, port)
        self.host, self.port = address_of(listener)
        self._loop = AcceptLoop(listener, self._converse, threads=_THREADS, daemon=True)
        self._loop.start()

    @property
    def url(self) -> str:
        """Where it is, without a slash at the end."""
        return f"http://{join_host_port(self.host, self.port)}"

    @property
    def received(self) -> list[Received]:
        """Every request that came so far, or the part of it that did, in the order of heads."""
        return self._log.requests()

    @property
    def wire(self) -> list[bytes]:
        """Every byte that came, by connection: also what was no request."""
        return self._log.wire()

    def inject(self, *faults: Fault, path: str | None = None, times: int | None = 1) -> None:
        """Do this to the next request: ``Drop``, ``Reset``, ``Truncate``, ``Delay``, or several.

        ``path``: only to requests of this path. ``times``: to so many of them, None to all. Of
        what was said for the same request what was said first has its turn first.
        """
        for fault in faults:
            if not isinstance(fault, Drop | Reset | Truncate | Delay):
                raise TypeError(f"{fault!r} is no fault: inject(Drop()), or Delay(0.5), for one")
        with self._lock:
            self._rules.append(_Rule(faults, path, times))

    def close(self) -> None:
        """Stop listening, cut off every connection, and wait for every thread.

        A handler that reads or writes finds its client gone. Raises RuntimeError if one does
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

    def _converse(self, sock: socket.socket, client: tuple[str, int]) -> ClientConnection:
        watched = WatchedSocket(sock, self._log.connection(), self._closing)

        def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
            # By it the system would send files itself, and nobody could see, or stop, the bytes.
            environ.pop("wsgi.file_wrapper", None)
            try:
                watched.begin_answer(self._faults_for(environ["PATH_INFO"]))
            except OSError as exc:
                raise ClientDisconnected(str(exc)) from exc
            return self.app(environ, start_response)

        return ClientConnection(watched, client, Setup(app, host=self.host, port=self.port))

    def _faults_for(self, path: str) -> tuple[Fault, ...]:
        with self._lock:
            for rule in self._rules:
                if rule.applies_to(path):
                    return rule.faults
        return ()


class _Rule:
    """What is to happen to which requests, and how often still."""

    def __init__(self, faults: tuple[Fault, ...], path: str | None, times: int | None) -> None:
        self.faults = faults
        self._path = None if path is None else path.encode().decode("latin-1")  # as PEP 3333
        self._times = times

    def applies_to(self, path: str) -> bool:
        """Whether it has its turn; then that is counted."""
        if self._times == 0 or self._path not in (None, path):
            return False
        if self._times is not None:
            self._times -= 1
        return True


_BASE_URL = "http://localhost/"


class AppClient(Client):
    """A ``Client`` whose every connection leads to a WSGI application, whatever host is asked.

    Requests and answers are bytes on a socket pair, and go the way that they go over a network;
    the application runs in threads of its own. It takes the options of a Client but
    ``connect``; relative URLs lead to ``http://localhost/`` unless ``base_url`` says otherwise.
    ``close()`` ends the threads too.

    >>> from restkit.server import App
    >>> with AppClient(App()) as client:
    ...     client.get('/nothing').status
    404
    """

    def __init__(self, app: WSGIApplication, **options: Unpack[ClientOptions]) -> None:
        if "connect" in options:
            raise TypeError("connect= is no option of an AppClient: its app is what it connects to")
        self._connector = _Connector(app)
        options.setdefault("base_url", _BASE_URL)
        options["connect"] = self._connector.connect
        super().__init__(**options)

    def close(self) -> None:
        """Close every connection, and wait until the application has returned on each.

        Raises RuntimeError if a handler that neither reads nor writes has not returned after ten
        seconds.
        """
        super().close()
        self._connector.close()


class _Connector:
    """Connects to a WSGI application, which it serves in this process from the first time on."""

    def __init__(self, app: WSGIApplication) -> None:
        self._app = app
        self._lock = threading.Lock()
        self._loop: AcceptLoop | None = None
        self._process = 0

    def connect(self, host: str, port: int) -> socket.socket:
        ours, theirs = socket.socketpair()
        setup = Setup(self._app, host=host, port=port)
        self._running_loop().add(ClientConnection(theirs, ("127.0.0.1", 0), setup))
        return ours

    def close(self) -> None:
        if self._loop is not None and self._process == os.getpid():
            self._loop.stop(grace=0, patience=_PATIENCE)

    def _running_loop(self) -> AcceptLoop:
        with self._lock:
            if self._loop is None or self._process != os.getpid():  # threads do not survive a fork
                self._loop = AcceptLoop(None, threads=_THREADS, daemon=True)
                self._loop.start()
                self._process = os.getpid()
            return self._loop
