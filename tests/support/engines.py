"""The engines that restkit's server is tested on, behind one face."""

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


class Served(NamedTuple):
    """Where an application answers, and by what."""

    engine: str
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def connect(self) -> socket.socket:
        """A connection, by a socket of our own."""
        return socket.create_connection(("127.0.0.1", self.port), HANG_BOUND)


@contextmanager
def served(engine: str, application: str, folder: Path, *, workers: int = 1) -> Iterator[Served]:
    """Serve `support.apps.more:app`, by its name, on one of ENGINES; gunicorn has `workers`."""
    if engine == EMBEDDED:
        module, _, name = application.partition(":")
        with serve(getattr(import_module(module), name)) as server:
            yield Served(engine, server.port)
        return
    options = ["-c", "python:restkit.server.on_gunicorn", "--no-control-socket"]
    options += ["--workers", str(workers)]
    with Gunicorn(folder, application, *options, pythonpath=_TESTS) as process:
        yield Served(engine, process.port)
