"""A server for tests, on a port of this machine: it writes down what comes, and fails on demand."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, cast

from restkit.errors import ClientDisconnected
from restkit.host import host_and_port
from restkit.server.app import App
from restkit.server.wire.accept_loop import AcceptLoop
from restkit.server.wire.conversation import Conversation, Setup
from restkit.server.wire.listener import address_of, open_listener
from restkit.testing.arrivals import Log
from restkit.testing.faults import Delay, Drop, Reset, Truncate
from restkit.testing.watched import WatchedSocket

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterable

    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

    from restkit.testing.arrivals import Received
    from restkit.testing.faults import Fault

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
        return f"http://{host_and_port(self.host, self.port)}"

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

    def _converse(self, sock: socket.socket, client: tuple[str, int]) -> Conversation:
        watched = WatchedSocket(sock, self._log.connection(), self._closing)

        def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
            # By it the system would send files itself, and nobody could see, or stop, the bytes.
            environ.pop("wsgi.file_wrapper", None)
            try:
                watched.begin_answer(self._faults_for(environ["PATH_INFO"]))
            except OSError as exc:
                raise ClientDisconnected(str(exc)) from exc
            return self.app(environ, start_response)

        return Conversation(watched, client, Setup(app, host=self.host, port=self.port))

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
