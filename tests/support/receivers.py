"""Run a receiver on each engine, with a folder that every test finds empty."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from restkit.server import receive, serve

from .engines import EMBEDDED, Served, served


class RunningReceiver(NamedTuple):
    """A running receiver and its folder."""

    server: Served
    folder: Path

    def clear(self) -> None:
        """Remove received files, and folders that a test has created."""
        for path in self.folder.iterdir():
            if path.is_dir():
                path.rmdir()
            else:
                path.unlink()


@contextmanager
def run_receiver(engine: str, folder: Path) -> Iterator[RunningReceiver]:
    """Run a receiver on one of ENGINES, in a folder of its own."""
    files = folder / "received_files"
    if engine == EMBEDDED:
        with serve(receive(files)) as server:
            yield RunningReceiver(Served(EMBEDDED, server.port), files)
        return
    with served(engine, "support.apps.receiving:app", folder) as where:
        yield RunningReceiver(where, files)
