"""A proxy between a client and a server, which forwards bytes and applies faults to them.

It knows nothing of HTTP. It can terminate TLS on the side of the client; positions count bytes
inside TLS. Nothing is random: the position of a fault is a number of bytes.
"""

from __future__ import annotations

import itertools
import select
import socket
import ssl
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic
from typing import Literal

from .links import Link
from .waiting import HANG_BOUND

__all__ = ["Action", "Fault", "FaultProxy", "ProxiedConnection"]

Direction = Literal["request", "response"]
Action = Literal[
    "cut", "reset", "half-close", "stall", "trickle", "delay", "garbage", "no farewell", "call"
]

_TRICKLED = 100  # bytes that leave one by one
_DELAY_MS = 4
_TICK_MS = 10
_MAX_STALL = 10.0  # seconds
_RDHUP = getattr(select, "POLLRDHUP", 0)
_ENDS = frozenset(("cut", "reset", "no farewell", "garbage"))


@dataclass(frozen=True)
class Fault:
    """A fault after `at` bytes of one direction.

    `cut` ends the connection to the client, `no farewell` too, but without the close_notify alert
    of TLS; `reset` resets it. `half-close` forwards the end of one direction and leaves the other.
    `stall` forwards nothing more of this direction, and ends after ten seconds. `trickle` forwards
    the next bytes one by one. `delay` pauses. `garbage` sends bytes to the client that bypass TLS,
    and ends. `call` calls `function` and continues.
    """

    action: Action
    direction: Direction = "response"
    at: int = 0
    function: Callable[[], object] | None = None

    def __str__(self) -> str:
        return f"{self.action} after {self.at} bytes of the {self.direction}"


class ProxiedConnection:
    """One connection of a client. The counts begin again at `arm`.

    `received` are the bytes of the client, also those that were not forwarded. `delivered` is the
    number of bytes of the server that were sent to the client.
    """

    def __init__(self, sock: socket.socket, faults: Iterable[Fault], keep: bool) -> None:
        self.received = bytearray()
        self.received_count = 0
        self.all_recorded = True  # false if ciphertext of the client was dropped
        self.delivered = 0
        self.fired: list[Fault] = []
        self.finished = False
        self._client = Link(sock)
        self._server: Link | None = None
        self._faults = list(faults)
        self._forwarded = {"request": 0, "response": 0}
        self._stalled: set[str] = set()
        self._trickled = {"request": 0, "response": 0}
        self._keep = keep
        self._resumes = False
        self._half_closed = False
        self._stalled_since = 0.0

    def arm(self, faults: Iterable[Fault]) -> None:
        """Apply faults to a connection that is idle now, and count from here."""
        self.received.clear()
        self.received_count = self.delivered = 0
        self._forwarded.update(request=0, response=0)
        self._faults = list(faults)

    def disarm(self) -> None:
        """Apply no further faults, and forward again what was stalled."""
        self._faults = []
        self._resumes = True

    def run(self, address: tuple[str, int], context: ssl.SSLContext | None) -> None:
        """Forward bytes until one side or a fault ends the connection."""
        try:
            with suppress(OSError):
                self._server = Link(socket.create_connection(address, HANG_BOUND))
                if self._due("request") or self._due("response"):
                    return
                if context is None or self._client.secure(context):
                    self._forward(self._client, self._server)
        finally:
            if self._server is not None:
                # A regular end would wait for a server that reads nothing.
                self._server.reset()
            self._finish(is_secret=context is not None)
            self.finished = True

    def stop(self) -> None:
        """End the connection from another thread."""
        self._client.shut_down()
        if self._server is not None:
            self._server.shut_down()

    def _forward(self, client: Link, server: Link) -> None:
        # The end of the server ends the connection of the client, as without a proxy.
        while not self._is_over(client, server):
            ready = self._wait(client, server)
            if self._resumes and not self._half_closed:
                self._stalled.clear()
            if self._stalled and monotonic() > self._stalled_since + _MAX_STALL:
                return  # the end of a client that has sent much arrives only after its bytes
            # Without POLLIN, _RDHUP means that nothing of the client can be forwarded any more.
            if ready.get(client.descriptor, 0) & (select.POLLERR | select.POLLHUP | _RDHUP):
                return
            if ready.get(server.descriptor, 0) & (select.POLLERR | select.POLLHUP):
                server.ended = not self._wants(server, client, "response")
            if not self._move(client, server, "request"):
                return
            if not self._move(server, client, "response"):
                return

    def _wait(self, client: Link, server: Link) -> dict[int, int]:
        """Wait until something can be moved; return the events of both sockets."""
        poll = select.poll()
        poll.register(client.descriptor, self._events(client, server, "request"))
        if not server.ended:  # a socket that has ended is always ready
            poll.register(server.descriptor, self._events(server, client, "response"))
        if client.has_pending and self._wants(client, server, "request"):
            return dict(poll.poll(0))
        return dict(poll.poll(_TICK_MS if self._stalled else int(HANG_BOUND * 1000)))

    def _is_over(self, client: Link, server: Link) -> bool:
        if "response" in self._stalled:
            return client.ended
        return server.ended and not client.outgoing

    def _wants(self, source: Link, target: Link, direction: str) -> bool:
        return not (source.ended or target.outgoing or direction in self._stalled)

    def _events(self, source: Link, target: Link, direction: str) -> int:
        wants = self._wants(source, target, direction)
        events = select.POLLIN if wants else 0
        if source.outgoing:
            events |= select.POLLOUT
        blocked = direction == "request" and not wants and not source.ended
        return events | (_RDHUP if blocked else 0)

    def _move(self, source: Link, target: Link, direction: Direction) -> bool:
        """Move what has arrived; return False if the connection ends."""
        if not target.flush() and direction == "response":
            return False
        if not self._wants(source, target, direction):
            return True
        if self._due(direction):
            return False
        if direction in self._stalled:
            return True
        data = source.receive(self._limit(direction))
        if data is None:
            return True
        if not data:
            if direction == "request":
                target.shut_down_writing()
            return True
        if direction == "request":
            self._record(data)
        else:
            self.delivered += len(data)
        target.send(data)
        self._forwarded[direction] += len(data)
        return not self._due(direction)

    def _limit(self, direction: Direction) -> int:
        """Return how many bytes may be moved before the next fault."""
        limit = 1 << 16
        for fault in self._faults:
            if fault.direction == direction and fault.at > self._forwarded[direction]:
                limit = min(limit, fault.at - self._forwarded[direction])
        if self._trickled[direction]:
            self._trickled[direction] -= 1
            limit = 1
        return limit

    def _due(self, direction: Direction) -> bool:
        """Apply the faults at this position; return whether one ends the connection."""
        faults = self._faults  # `disarm` may replace it at any time
        for fault in list(faults):
            if fault.direction == direction and fault.at <= self._forwarded[direction]:
                faults.remove(fault)
                self.fired.append(fault)
                self._apply(fault)
                if fault.action in _ENDS:
                    return True
        return False

    def _apply(self, fault: Fault) -> None:
        action, direction = fault.action, fault.direction
        self._stalled_since = monotonic()
        if action == "stall":
            self._stalled.add(direction)
        elif action == "trickle":
            self._trickled[direction] = _TRICKLED
        elif action == "delay":
            select.poll().poll(_DELAY_MS)
        elif action == "call" and fault.function is not None:
            fault.function()
        elif action == "half-close":
            self._stalled.add(direction)
            self._half_closed = True
            target = self._client if direction == "response" else self._server
            if target is not None:
                target.flush_all()
                target.end_writing(farewell=True)
        elif action == "reset":
            self._client.flush_all()
            self._client.reset()
        elif action == "garbage":
            self._client.flush_all()
            self._client.send_raw(b"garbage that is no TLS record\r\n" * 4)
        elif action == "no farewell":
            self._client.flush_all()
            self._client.end_writing(farewell=False)

    def _finish(self, *, is_secret: bool) -> None:
        """End the connection to the client, and read until it has closed.

        Unread bytes would turn the end into a reset.
        """
        self._client.flush_all()
        self._client.end_writing(farewell=True)
        # Bytes that TLS has decrypted, or that arrive after its close_notify, are lost.
        self.all_recorded = not is_secret or all(
            fault.action in ("trickle", "delay", "call") for fault in self.fired
        )
        while data := self._client.drain():
            if is_secret:
                self.all_recorded = False
            else:
                self._record(data)
        self._client.close()

    def _record(self, data: bytes) -> None:
        self.received_count += len(data)
        if self._keep:
            self.received += data


class FaultProxy:
    """A context manager: forwards each connection to `address` with the next faults of `plan`.

    `keep` records the bytes of the client. A connection without a plan has no faults.
    """

    def __init__(
        self,
        address: tuple[str, int],
        *,
        ssl_context: ssl.SSLContext | None = None,
        keep: bool = True,
        choose: Callable[[int], Iterable[Fault]] | None = None,
    ) -> None:
        self.connections: list[ProxiedConnection] = []
        self.plans: list[list[Fault]] = []
        self._address = address
        self._context = ssl_context
        self._keep = keep
        self._choose = choose
        self._stopping = False
        self._threads: set[threading.Thread] = set()
        self._changed = threading.Condition()
        self._listener = socket.socket()
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen(128)
        self.port: int = self._listener.getsockname()[1]
        self._acceptor = threading.Thread(target=self._accept, name="fault proxy", daemon=True)

    def url(self, path: str = "/") -> str:
        """Return the URL of a path behind the proxy."""
        scheme = "http" if self._context is None else "https"
        return f"{scheme}://127.0.0.1:{self.port}{path}"

    def wait_until_idle(self, seconds: float) -> bool:
        """Wait until every connection has ended; return whether they have."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._threads, seconds)

    def stop(self) -> None:
        """End all connections."""
        for connection in list(self.connections):
            connection.stop()

    def forget(self) -> None:
        """Drop the records of connections and the faults that did not occur."""
        self.connections.clear()
        self.plans.clear()

    def __enter__(self) -> FaultProxy:
        self._acceptor.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping = True
        with suppress(OSError):
            socket.create_connection(("127.0.0.1", self.port), 5).close()
        self._acceptor.join(HANG_BOUND)
        self.stop()
        self.wait_until_idle(HANG_BOUND)
        self._listener.close()

    def _accept(self) -> None:
        for number in itertools.count():
            sock, _ = self._listener.accept()
            if self._stopping:
                sock.close()
                return
            faults: Iterable[Fault] = self.plans.pop(0) if self.plans else ()
            if self._choose is not None:
                faults = self._choose(number)
            connection = ProxiedConnection(sock, faults, self._keep)
            thread = threading.Thread(target=self._serve, args=(connection,), daemon=True)
            with self._changed:
                self.connections.append(connection)
                self._threads.add(thread)
            thread.start()

    def _serve(self, connection: ProxiedConnection) -> None:
        try:
            connection.run(self._address, self._context)
        finally:
            with self._changed:
                self._threads.discard(threading.current_thread())
                if not self._keep:
                    self.connections.remove(connection)
                self._changed.notify_all()
