"""A client of an application in the same process: everything as it is, but for the network."""

from __future__ import annotations

import os
import socket
from threading import Lock
from typing import TYPE_CHECKING

from restkit.client import Client
from restkit.server.wire.accept_loop import AcceptLoop
from restkit.server.wire.conversation import Conversation, Setup

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication
    from typing_extensions import Unpack

    from restkit.choices import ClientOptions

_BASE_URL = "http://localhost/"
_THREADS = 256  # a bound, for they are started when they are needed
_PATIENCE = 10.0  # seconds that close() waits for handlers


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
        self._lock = Lock()
        self._loop: AcceptLoop | None = None
        self._process = 0

    def connect(self, host: str, port: int) -> socket.socket:
        ours, theirs = socket.socketpair()
        setup = Setup(self._app, host=host, port=port)
        self._running_loop().add(Conversation(theirs, ("127.0.0.1", 0), setup))
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
