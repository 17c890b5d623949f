"""A client of an application in the same process: everything as it is, but for the network."""

from __future__ import annotations

import socket
from functools import partial
from typing import TYPE_CHECKING

from restkit.client import Client
from restkit.server.wire.conversation import Setup
from restkit.testing.hosting import Host

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication
    from typing_extensions import Unpack

    from restkit.choices import ClientOptions

_BASE_URL = "http://localhost/"


class AppClient(Client):
    """A ``Client`` whose every connection leads to a WSGI application, whatever host is asked.

    Requests and answers are bytes on a socket pair, and go the way that they go over a network;
    the application runs in threads, one for each connection. It takes the options of a Client but
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
        self._host = Host()
        options.setdefault("base_url", _BASE_URL)
        options["connect"] = partial(_connected, self._host, app)
        super().__init__(**options)

    def close(self) -> None:
        """Close every connection, and wait until the application has come to an end on each."""
        super().close()
        self._host.close()


def _connected(hosted: Host, app: WSGIApplication, host: str, port: int) -> socket.socket:
    ours, theirs = socket.socketpair()
    hosted.answer_on(theirs, ("127.0.0.1", 0), Setup(app, host=host, port=port))
    return ours
