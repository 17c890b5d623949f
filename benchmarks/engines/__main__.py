"""The command `python -m benchmarks.engines [WORD ...]`: the table of docs/server.rst, measured.

Words choose rows by their titles. It needs Linux, the program curl, and cheroot and gunicorn.
Nothing but the last rows depends on the machine; a fault is in bold.
"""

from __future__ import annotations

import platform
import sys
import tempfile
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.engines import bodies, heads, loads
from benchmarks.engines.running import ENGINES, Engine

if TYPE_CHECKING:
    from benchmarks.engines.judging import Probe


def main(words: Sequence[str]) -> int:
    probes = [
        probe
        for probe in (*bodies.PROBES, *heads.PROBES, *loads.PROBES)
        if not words or any(word in probe.title for word in words)
    ]
    columns = [measured(engine, probes) for engine in ENGINES]
    print(f"Python {platform.python_version()}, {platform.system()} {platform.release()}")
    print(", ".join(f"{name} {version(name)}" for name in ("cheroot", "gunicorn")), end="\n\n")
    print(table(probes, columns))
    return 0


def measured(engine: Engine, probes: Sequence[Probe]) -> list[str]:
    """A column; an engine is started anew where one is of no use any more."""
    said: list[str] = []
    left = list(probes)
    while left:
        with tempfile.TemporaryDirectory() as folder, engine.running(Path(folder)) as running:
            last = False
            while left and not last:
                probe = left.pop(0)
                print(f"{engine.name}: {probe.title}", file=sys.stderr)
                try:
                    said.append(probe.look(running))
                except (OSError, AssertionError, ValueError) as exc:
                    said.append(f"**not measured: {exc!r}**")
                last = probe.last or said[-1].startswith("**not")
    return said


def table(probes: Sequence[Probe], columns: Sequence[Sequence[str]]) -> str:
    """A list-table, as the documentation has it."""
    rows = [["situation", *(engine.name for engine in ENGINES)]]
    rows += [[probe.title, *cells] for probe, *cells in zip(probes, *columns, strict=True)]
    lines = [".. list-table::", "   :header-rows: 1", "   :widths: 28 18 18 18 18", ""]
    for row in rows:
        lines += [f"   {'  -' if number else '* -'} {cell}" for number, cell in enumerate(row)]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
