"""The receiver on each engine, with a folder that is empty for every test."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from restkit.server import receive, serve

from .engines import EMBEDDED, Served, served


class Receiving(NamedTuple):
    """Where a receiver answers, and where its files go."""

    server: Served
    folder: Path

    def clear(self) -> None:
        """Remove all that was received, and folders that a test has put there."""
        for path in self.folder.iterdir():
            if path.is_dir():
                path.rmdir()
            else:
                path.unlink()


@contextmanager
def receiving_on(engine: str, folder: Path) -> Iterator[Receiving]:
    """A receiver on one of ENGINES, in a folder that is its own."""
    files = folder / "received_files"
    if engine == EMBEDDED:
        with serve(receive(files)) as server:
            yield Receiving(Served(EMBEDDED, server.port), files)
        return
    with served(engine, "support.apps.receiving:app", folder) as where:
        yield Receiving(where, files)
