"""The embedded engine on cheroot.

cheroot as an engine: it accepts, schedules and waits; every byte of HTTP is restkit's.

Of cheroot (11.1) is taken: the listening socket, the pool of threads, and the selector in which
connections rest that wait for a request, or for the end of a head. Its parser, framing and
gateway are not used, since a connection of ours answers by itself. What it does in its own way,
and is set right here:

- ``stop()`` waits for every thread: connections that are still busy after a moment are cut off.
- A connection that comes back to the selector while that is closed ends its thread.
- A server is kept in ``logging.statistics`` for as long as the process lives.
- A port that cannot be had is an OSError without a number, and a socket that is not closed; one
  that the system chose cannot be had again while its old connections are remembered.
- A thread waits for connections that find the queue of the pool full, which has no bound here; it
  has no public name, and a test fails when it is called otherwise.
- When no descriptor is left, accepting fails again and again, and nothing is closed meanwhile: so
  connections may have half of the descriptors, and one more is closed as it comes.
"""

from __future__ import annotations

import logging
import resource
import socket
import sys
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from cheroot.server import Gateway, HTTPConnection, HTTPServer

from restkit.server.engine.connection import ClientConnection, Setup

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication


_logger = logging.getLogger("restkit.server")

_BACKLOG = 512
_TICK = 0.1  # seconds after which the selector looks whether it is to stop
_MOMENT = 0.005  # seconds that stopping takes to begin
_GRACE = 0.5  # seconds that busy requests have when the server is stopped


class _Files:
    """What cheroot asks of the two files of a connection, without the files."""

    bytes_read = bytes_written = 0

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.closed = False

    def has_data(self) -> bool:
        conversation = self._connection.conversation
        return conversation is not None and conversation.has_data

    def close(self) -> None:
        self.closed = True


class Connection(HTTPConnection):
    """A connection as cheroot schedules it, and a Conversation as soon as its peer is known."""

    def __init__(self, server: Engine, sock: socket.socket, makefile: object) -> None:
        del makefile  # it makes what would parse HTTP
        files = _Files(self)
        super().__init__(server, sock, lambda *_: files)
        self.conversation: ClientConnection | None = None
        self.busy = False
        self._engine = server
        self._welcome = server.opened(self)

    def communicate(self) -> bool:
        """One step; whether cheroot is to keep the connection."""
        self.busy = True
        try:
            return self._welcome and self._engine.ready and self._step()
        finally:
            self.busy = False

    def _step(self) -> bool:
        if self.conversation is None:
            with suppress(OSError):  # not every system hands it on from the listening socket
                self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            peer = (self.remote_addr or "", self.remote_port or 0)
            self.conversation = ClientConnection(self.socket, peer, self._engine.setup)
        return self.conversation.step()

    def cut_off(self) -> None:
        """From any thread: wake who waits on it."""
        if self.conversation is not None:
            self.conversation.abort()

    def close(self) -> None:
        self.rfile.close()
        self._engine.forget(self)
        if self.conversation is None:
            self.socket.close()
        else:
            self.conversation.close()


class Engine(HTTPServer):
    """One listening socket and the threads behind it: ``prepare()``, ``serve()``, ``stop()``."""

    ConnectionClass = Connection
    request_queue_size = _BACKLOG
    expiration_interval = _TICK
    shutdown_timeout = None  # type: ignore[assignment]  # no bound, which cheroot's code knows

    def __init__(
        self, app: WSGIApplication, host: str, port: int, *, threads: int, timeout: float
    ) -> None:
        super().__init__((host, port), Gateway, minthreads=threads, maxthreads=threads)
        self.timeout = timeout  # type: ignore[assignment]  # of which cheroot says that it is int
        self.setup = Setup(app, "http", host, port, timeout)
        self._refused: OSError | None = None
        self._open: set[Connection] = set()
        self._stopped = False
        self._most = _descriptors() // 2
        self._lock = threading.Lock()

    def clear_stats(self) -> None:
        super().clear_stats()  # type: ignore[no-untyped-call]  # cheroot gives it no types
        statistics: dict[str, Any] = getattr(logging, "statistics", {})
        statistics.pop(f"Cheroot HTTPServer {id(self):d}", None)

    def prepare(self) -> None:
        """Listen, and start the threads; raises OSError with the reason and its number."""
        host, port = self.bind_addr
        try:
            super().prepare()
        except OSError as exc:
            why = self._refused or exc
            raise OSError(
                why.errno, f"cannot listen on {host}:{port}: {why.strerror or why}"
            ) from why
        self.setup = self.setup._replace(port=self.bind_addr[1])

    def bind(self, family: int, type: int, proto: int = 0) -> Any:  # noqa: A002  # cheroot's name
        try:
            return super().bind(family, type, proto)
        except OSError as exc:
            self._refused = exc
            raise

    @staticmethod
    def bind_socket(socket_: socket.socket, bind_addr: tuple[str, int]) -> socket.socket:
        try:
            socket_.bind(bind_addr)
            # Behind bind(): before it, the system might choose a port that is another's.
            socket_.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        except BaseException:
            socket_.close()
            raise
        return socket_

    def put_conn(self, conn: Connection) -> None:
        """Let a connection rest, or close one that comes too late."""
        try:
            super().put_conn(conn)
        except (OSError, ValueError, KeyError, RuntimeError):
            conn.close()

    def error_log(self, msg: str = "", level: int = logging.INFO, traceback: bool = False) -> None:
        _logger.log(level, "%s", msg, exc_info=traceback)
        if isinstance(sys.exc_info()[1], OSError):
            time.sleep(_TICK)  # it would be the same again at once

    def _serve_unservicable(self) -> None:
        """None ever comes here."""

    def stop(self) -> None:
        """Stop listening, and end what is open: at once what rests, after a moment what is busy.

        An application may call it: its own answer still leaves.
        """
        with self._lock:
            if self._stopped:
                return
            self._stopped = True
        # The selector looks whether it is to stop when a connection comes, or at its next tick.
        waker = threading.Timer(_MOMENT, self._knock)
        cutter = threading.Timer(_GRACE, self._cut_off)
        for timer in (waker, cutter):
            timer.start()
        try:
            super().stop()
        finally:
            for timer in (waker, cutter):
                timer.cancel()
                timer.join()
            with self._lock:
                left = [connection for connection in self._open if not connection.busy]
            for connection in left:
                connection.close()

    def _knock(self) -> None:
        with suppress(OSError):
            socket.create_connection(self.bind_addr, _GRACE).close()

    def opened(self, connection: Connection) -> bool:
        """Take note of a connection; whether there is room for it."""
        with self._lock:
            self._open.add(connection)
            return len(self._open) <= self._most

    def forget(self, connection: Connection) -> None:
        """It is about to be closed."""
        with self._lock:
            self._open.discard(connection)

    def _cut_off(self) -> None:
        # None of them is closed meanwhile, so that no number can have become another's.
        with self._lock:
            for connection in self._open:
                connection.cut_off()


def _descriptors() -> int:
    """How many descriptors this process may have."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return sys.maxsize if soft == resource.RLIM_INFINITY else soft
