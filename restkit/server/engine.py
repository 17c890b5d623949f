"""The embedded engine, loaded when it is first used: it wants cheroot, an App does not."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import ModuleType

    from _typeshed.wsgi import WSGIApplication

    from restkit.server.embedded import Server

THREADS = 64
TIMEOUT = 30.0


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
    server: Server = _embedded().serve(app, host, port, threads=threads, timeout=timeout)
    return server


def run(
    app: WSGIApplication,
    host: str = "127.0.0.1",
    port: int = 8000,
    *,
    threads: int = THREADS,
    timeout: float = TIMEOUT,
) -> None:
    """Serve a WSGI application until SIGINT (Ctrl-C) or SIGTERM comes; see ``serve``."""
    _embedded().run(app, host, port, threads=threads, timeout=timeout)


def _embedded() -> ModuleType:
    try:
        from restkit.server import embedded
    except ModuleNotFoundError as exc:
        if exc.name is None or exc.name.partition(".")[0] != "cheroot":
            raise
        raise ModuleNotFoundError(
            "the embedded engine is cheroot, which is not installed: pip install restkit[server]; "
            "another WSGI server runs the app without it",
            name=exc.name,
        ) from exc
    return embedded
