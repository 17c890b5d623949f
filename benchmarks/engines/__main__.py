"""Print the table of docs/engines.rst: ``python -m benchmarks.engines [WORD ...]``.

Words select rows by their titles. It needs Linux, the program curl, cheroot and gunicorn. Only the
last rows depend on the machine. Faults are in bold.
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
    from benchmarks.engines.probe import Probe


def main(words: Sequence[str]) -> int:
    probes = [
        probe
        for probe in (*bodies.PROBES, *heads.PROBES, *loads.PROBES)
        if not words or any(word in probe.title for word in words)
    ]
    columns = [measure(engine, probes) for engine in ENGINES]
    print(f"Python {platform.python_version()}, {platform.system()} {platform.release()}")
    print(", ".join(f"{name} {version(name)}" for name in ("cheroot", "gunicorn")), end="\n\n")
    print(table(probes, columns))
    return 0


def measure(engine: Engine, probes: Sequence[Probe]) -> list[str]:
    """Measure a column; start the engine again after a probe that blocks it."""
    cells: list[str] = []
    left = list(probes)
    while left:
        with tempfile.TemporaryDirectory() as folder, engine.running(Path(folder)) as running:
            last = False
            while left and not last:
                probe = left.pop(0)
                print(f"{engine.name}: {probe.title}", file=sys.stderr)
                try:
                    cells.append(probe.look(running))
                except (OSError, AssertionError, ValueError) as exc:
                    cells.append(f"**not measured: {exc!r}**")
                last = probe.last or cells[-1].startswith("**not")
    return cells


def table(probes: Sequence[Probe], columns: Sequence[Sequence[str]]) -> str:
    """Return the table as a list-table of reStructuredText."""
    rows = [["situation", *(engine.name for engine in ENGINES)]]
    rows += [[probe.title, *cells] for probe, *cells in zip(probes, *columns, strict=True)]
    lines = [".. list-table::", "   :header-rows: 1", "   :widths: 28 18 18 18 18", ""]
    for row in rows:
        lines += [f"   {'  -' if number else '* -'} {cell}" for number, cell in enumerate(row)]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
