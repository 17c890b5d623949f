r"""A loopback server that does what a test tells it to, byte by byte.

    def script(peer):
        peer.read_request()
        peer.send(b'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n', b'x' * 60)

    with ScriptedServer(script) as server:
        ...
    assert server.requests == [b'GET / HTTP/1.1\r\n...']

One function per connection: the first connection gets the first function, and so on, the last
function serves every further one. When a function returns, its connection is closed; when it fails,
the failure is raised where the `with` block ends, so that it may hold assertions of its own. Most
tests need no function: `ScriptedServer.serving(answer, ...)` reads whole requests and answers them.

Nothing here waits for ever: reads and writes have a bound, and leaving the block ends every
connection and every thread.
"""

from __future__ import annotations

import itertools
import select
import socket
import ssl
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType

from .messages import ends_itself
from .peer import HANG_BOUND, ClientGone, Peer

Script = Callable[[Peer], object]


class ScriptedServer:
    """A context manager: listens from construction on, ends everything at exit.

    Records `requests` (each whole request as it was on the wire, in the order in which they were
    complete), `wire` (all bytes of each connection, also of broken requests) and `connections`.
    """

    def __init__(
        self,
        *scripts: Script,
        host: str = "127.0.0.1",
        ssl_context: ssl.SSLContext | None = None,
        receive_buffer: int | None = None,
    ) -> None:
        if not scripts:
            raise TypeError("a scripted server needs at least one script")
        self.requests: list[bytes] = []
        self.peers: list[Peer] = []
        self.handshake_errors: list[Exception] = []
        self.changed = threading.Condition()
        self._scripts = scripts
        self._ssl_context = ssl_context
        self._threads: list[threading.Thread] = []
        self._failures: list[BaseException] = []
        self._stopping = threading.Event()
        self._wake, self._woken = socket.socketpair()
        self._listener = _listener(host, receive_buffer)
        self.host = host
        self.port: int = self._listener.getsockname()[1]

    @classmethod
    def serving(
        cls,
        *answers: bytes,
        close: bool | None = None,
        host: str = "127.0.0.1",
        ssl_context: ssl.SSLContext | None = None,
    ) -> ScriptedServer:
        """Answers each whole request with the next of these bytes, the last again and again.

        The order is that of the requests, whichever connection they come on. Connections are kept
        open after an answer that a client can tell the end of, closed after any other; `close`
        says it outright.
        """
        queue = itertools.chain(answers, itertools.repeat(answers[-1]))
        lock = threading.Lock()

        def answer_all(peer: Peer) -> None:
            while request := peer.next_request():
                with lock:
                    answer = next(queue)
                peer.send(answer)
                whole = ends_itself(answer, to_head=request.startswith(b"HEAD "))
                if (not whole) if close is None else close:
                    return

        return cls(answer_all, host=host, ssl_context=ssl_context)

    def __repr__(self) -> str:
        state = "closed" if self._listener.fileno() < 0 else "listening"
        return f"<ScriptedServer {self.origin} {state}, {len(self.requests)} requests>"

    @property
    def origin(self) -> str:
        scheme = "https" if self._ssl_context else "http"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{scheme}://{host}:{self.port}"

    def url(self, path: str = "/") -> str:
        return self.origin + path

    @property
    def connections(self) -> int:
        """How many connections were accepted so far."""
        return len(self.peers)

    @property
    def wire(self) -> list[bytes]:
        """Every byte each connection brought, as far as it was read."""
        return [bytes(peer.wire) for peer in self.peers]

    @property
    def request(self) -> bytes:
        """The one request there was; an AssertionError when there was none, or several."""
        assert len(self.requests) == 1, f"{len(self.requests)} requests: {self.requests!r}"
        return self.requests[0]

    def until(self, state: Callable[[], object], what: str = "the expected state") -> None:
        """Wait, within the hang bound, until `state()` is true of what was recorded."""
        with self.changed:
            if not self.changed.wait_for(state, HANG_BOUND):
                raise AssertionError(f"{what} did not come about: {self!r}")

    def join(self, connections: int = 1) -> None:
        """Wait until at least so many connections came, and the scripts of all are over."""
        self.until(
            lambda: len(self.peers) >= connections and all(peer.finished for peer in self.peers),
            "the end of all scripts",
        )

    def __enter__(self) -> ScriptedServer:
        self._start(self._accept)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
        for failure in self._failures:
            if error is None:
                raise failure
            # The test's own failure goes first; pytest shows this one under "Captured stderr".
            traceback.print_exception(failure, file=sys.stderr)

    def close(self) -> None:
        """Stop listening, cut what is connected, wait for the threads. Harmless when repeated."""
        if self._stopping.is_set():
            return
        self._stopping.set()
        self._wake.close()
        for peer in list(self.peers):
            peer.cut_short()
        while self._threads:
            thread = self._threads.pop(0)
            thread.join(HANG_BOUND + 5)
            if thread.is_alive():
                self._failures.append(AssertionError(f"{thread.name} of {self!r} hangs"))
        self._listener.close()
        self._woken.close()

    def _start(self, target: Callable[..., None], *args: object) -> None:
        name = f"scripted:{self.port}:{len(self._threads)}"
        thread = threading.Thread(target=target, args=args, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        poll = select.poll()
        poll.register(self._listener, select.POLLIN)
        poll.register(self._woken, select.POLLIN)
        for script in itertools.chain(self._scripts, itertools.repeat(self._scripts[-1])):
            poll.poll()
            if self._stopping.is_set():
                return
            sock, _address = self._listener.accept()
            peer = Peer(sock, self)
            with self.changed:
                self.peers.append(peer)
                self.changed.notify_all()
            if self._stopping.is_set():  # close() may have looked before this one was there
                peer.cut_short()
            self._start(self._serve, peer, script)

    def _serve(self, peer: Peer, script: Script) -> None:
        try:
            if self._shake_hands(peer):
                script(peer)
        except ClientGone:
            pass  # what the client should have done is for the test itself to say
        except BaseException as failure:  # noqa: BLE001  # raised again, in the test's own thread
            if not (self._stopping.is_set() and isinstance(failure, OSError)):
                self._failures.append(failure)
        finally:
            peer.close()
            with self.changed:
                peer.finished = True
                self.changed.notify_all()

    def _shake_hands(self, peer: Peer) -> bool:
        if self._ssl_context is None:
            return True
        try:
            peer.secure(self._ssl_context)
        except OSError as refused:
            self.handshake_errors.append(refused)
            return False
        return True

    @property
    def stopping(self) -> threading.Event:
        """Set when the server is being closed."""
        return self._stopping


def _listener(host: str, receive_buffer: int | None) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if receive_buffer is not None:  # inherited by what is accepted
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    listener.bind((host, 0))
    listener.listen(128)
    return listener


@contextmanager
def refusing(host: str = "127.0.0.1") -> Iterator[int]:
    """A port that refuses every connection, and that nobody else can be given meanwhile."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as bound:
        bound.bind((host, 0))
        yield bound.getsockname()[1]


@contextmanager
def unanswering(host: str = "127.0.0.1") -> Iterator[int]:
    """A port where connecting neither succeeds nor fails: its queue of connections is full."""
    listener = _listener(host, None)
    listener.listen(0)
    port: int = listener.getsockname()[1]
    fillers: list[socket.socket] = []
    waiting = 0
    try:
        while waiting < 2:  # each of these finds the queue full
            filler = socket.socket(listener.family, socket.SOCK_STREAM)
            fillers.append(filler)
            filler.settimeout(0.1)
            try:
                filler.connect((host, port))
            except TimeoutError:
                waiting += 1
        yield port
    finally:
        for sock in (*fillers, listener):
            sock.close()
