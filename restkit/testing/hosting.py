"""Run an application on a thread.

Conversations of a server, each on a socket and in a thread of its own, until they are ended.
"""

from __future__ import annotations

import select
import socket
import threading
from typing import TYPE_CHECKING

from restkit.server.engine.connection import ClientConnection

if TYPE_CHECKING:
    from collections.abc import Callable

    from restkit.server.engine.connection import Setup


_TICK = 500  # milliseconds after which a head that is not whole is looked at again
_GRACE = 10.0


class Host:
    """Has sockets answered by an application; ``close()`` ends them all, and their threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: dict[threading.Thread, ClientConnection] = {}
        self.stopping = threading.Event()

    def answer_on(self, sock: socket.socket, peer: tuple[str, int], setup: Setup) -> None:
        """Answer on a connected socket, which is taken over, in a thread of its own."""
        conversation = ClientConnection(sock, peer, setup)
        thread = threading.Thread(
            target=self._converse, args=(conversation, sock), name=f"{conversation!r}", daemon=True
        )
        with self._lock:
            late = self.stopping.is_set()
            if not late:
                self._open[thread] = conversation
                thread.start()  # here, since close() joins what it finds
        if late:
            conversation.close()

    def _converse(self, conversation: ClientConnection, sock: socket.socket) -> None:
        readable = select.poll()
        readable.register(sock, select.POLLIN)
        try:
            while conversation.step():
                if not conversation.has_data:
                    readable.poll(_TICK)
        finally:
            conversation.close()
            with self._lock:
                self._open.pop(threading.current_thread(), None)

    def close(self) -> None:
        """End every conversation; raises RuntimeError for a handler that does not come to an end.

        One that reads, or writes, finds its client gone; only what waits for something else is
        waited for, and for ten seconds at most.
        """
        self.stopping.set()
        with self._lock:
            running = dict(self._open)
        for conversation in running.values():
            conversation.abort()
        for thread in running:
            thread.join(_GRACE)
        hanging = [thread.name for thread in running if thread.is_alive()]
        if hanging:
            raise RuntimeError(f"handlers neither read nor write, nor end: {', '.join(hanging)}")


class Listener:
    """A listening socket, and a thread that hands on what it accepts."""

    def __init__(
        self, host: str, port: int, take: Callable[[socket.socket, tuple[str, int]], None]
    ) -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._socket = socket.create_server((host, port), family=family, backlog=128)
        self._wake, self._woken = socket.socketpair()
        self._take = take
        self.host: str = self._socket.getsockname()[0]
        self.port: int = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._accept, name=f"port {self.port}", daemon=True)
        self._thread.start()

    def _accept(self) -> None:
        ready = select.poll()
        ready.register(self._socket, select.POLLIN)
        ready.register(self._woken, select.POLLIN)
        while self._woken.fileno() not in [number for number, _ in ready.poll()]:
            try:
                sock, address = self._socket.accept()
            except OSError:
                continue  # it went away while it waited
            self._take(sock, address[:2])

    def close(self) -> None:
        """Stop listening; it may be called twice."""
        self._wake.close()
        self._thread.join()
        self._socket.close()
        self._woken.close()
