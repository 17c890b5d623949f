"""Run an application on one of the engines that restkit's server is tested on."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

from restkit.server import serve

from .gunicorn import Gunicorn
from .peer import HANG_BOUND

EMBEDDED = "embedded"
GUNICORN = "gunicorn"
ENGINES = (EMBEDDED, GUNICORN)

_TESTS = Path(__file__).parents[1]


class RunningServer(NamedTuple):
    """A running server: its engine and port."""

    engine: str
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def connect(self) -> socket.socket:
        """Connect a socket."""
        return socket.create_connection(("127.0.0.1", self.port), HANG_BOUND)


@contextmanager
def run_server(
    engine: str, application: str, folder: Path, *, workers: int = 1
) -> Iterator[RunningServer]:
    """Serve an application by its name, such as `support.apps.more:app`, on one of ENGINES."""
    if engine == EMBEDDED:
        module, _, name = application.partition(":")
        with serve(getattr(import_module(module), name)) as server:
            yield RunningServer(engine, server.port)
        return
    options = ["-c", "python:restkit.server.on_gunicorn", "--no-control-socket"]
    options += ["--workers", str(workers)]
    with Gunicorn(folder, application, *options, pythonpath=_TESTS) as process:
        yield RunningServer(engine, process.port)
