"""Run a WSGI application on the embedded engine.

The embedded engine: a WSGI application served in this process, for as long as it is wanted.

It needs cheroot, from the extra ``restkit[server]``.
"""

from __future__ import annotations

import logging
import signal
import threading
from contextlib import ExitStack, contextmanager
from queue import SimpleQueue
from typing import TYPE_CHECKING

from restkit.url.host import host_and_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType

    from _typeshed.wsgi import WSGIApplication

    from restkit.server.engine.cheroot_engine import Engine


_logger = logging.getLogger("restkit.server")

THREADS = 64
TIMEOUT = 30.0


class Server:
    """A server that answers, in threads of its own, until ``close()``; a context manager.

    ``url`` is where (``http://127.0.0.1:4711``), ``host`` and ``port`` its parts.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.host: str
        self.port: int
        self.host, self.port = engine.bind_addr
        self._closed = False
        self._over: SimpleQueue[BaseException | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._serve, name=f"restkit server {self.port}")
        self._thread.start()

    @property
    def url(self) -> str:
        """Where it answers, without a slash at its end."""
        return f"http://{host_and_port(self.host, self.port)}"

    def wait(self) -> None:
        """Wait until the server has ended; raises the SystemExit of an application that exits."""
        why = self._over.get()
        self._over.put(why)
        if why is not None:
            raise why

    def wake(self) -> None:
        """Let those go on who ``wait()``; a handler of signals may call it."""
        # A SimpleQueue may be put to wherever a signal has come (docs of ``queue``). To raise in a
        # handler will not do: join() takes a thread for ended then (Python 3.10 and 3.11).
        self._over.put(None)

    def close(self) -> None:
        """Stop, and wait for every thread; it may be called twice.

        Requests under way have half a second; then their connections are cut off, and the
        application finds its client gone. Only an application that neither reads nor writes is
        waited for.
        """
        self._closed = True
        self._engine.stop()
        self._thread.join()

    def _serve(self) -> None:
        why: BaseException | None = None
        try:
            self._engine.serve()
        except (SystemExit, KeyboardInterrupt) as exc:
            why = exc
        finally:
            self._over.put(why)

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
    *,
    threads: int = THREADS,
    timeout: float = TIMEOUT,
) -> Server:
    """Serve a WSGI application in threads of its own; it listens and answers on return.

    ``port=0`` takes a free one. ``threads`` is how many requests are answered at once.
    ``timeout``: the seconds for which a client may keep still before it is dropped. Raises
    OSError where it cannot listen, and ModuleNotFoundError without ``restkit[server]``. To be
    closed, or used as a context manager.

    >>> with serve(app) as server:                     # doctest: +SKIP
    ...     print(server.url)
    http://127.0.0.1:4711
    """
    if not callable(app):
        raise TypeError(f"app={app!r}: a WSGI application is wanted, which can be called")
    if threads < 1:
        raise ValueError(f"threads={threads!r}: at least one is needed")
    if timeout <= 0:
        raise ValueError(f"timeout={timeout!r}: seconds are wanted, and more than none")
    engine = _engine()(app, host, port, threads=threads, timeout=timeout)
    engine.prepare()
    return Server(engine)


def _engine() -> type[Engine]:
    """Loaded when it is first used: it wants cheroot, which an App on another server does not."""
    try:
        from restkit.server.engine.cheroot_engine import Engine
    except ModuleNotFoundError as exc:
        if exc.name is None or exc.name.partition(".")[0] != "cheroot":
            raise
        raise ModuleNotFoundError(
            "the embedded engine is cheroot, which is not installed: pip install restkit[server]; "
            "another WSGI server runs the app without it",
            name=exc.name,
        ) from exc
    return Engine


def run(
    app: WSGIApplication,
    host: str = "127.0.0.1",
    port: int = 8000,
    *,
    threads: int = THREADS,
    timeout: float = TIMEOUT,
) -> None:
    """Serve a WSGI application until SIGINT (Ctrl-C) or SIGTERM comes; see ``serve``."""
    with (
        serve(app, host, port, threads=threads, timeout=timeout) as server,
        _on_signals(server.wake),
    ):
        _logger.info("serving at %s", server.url)
        server.wait()


@contextmanager
def _on_signals(act: Callable[[], None]) -> Iterator[None]:
    """Act when a signal asks for the end; only the main thread may say what a signal does."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    with ExitStack() as before:
        for number in (signal.SIGINT, signal.SIGTERM):
            handler = signal.signal(number, lambda *_: act())
            before.callback(signal.signal, number, handler)
        yield
