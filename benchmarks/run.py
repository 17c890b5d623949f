"""Run the rounds of one row: each peer once in a round, in its own process, in rotating order.

The runs are interleaved, so that a slow minute of the machine affects all peers. The result is the
median of the ratios of two runs in the same round.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from benchmarks.child import NOT_INSTALLED, Sample
from benchmarks.nginx import SMALL, Site
from benchmarks.row import MiB, Row, Target

if TYPE_CHECKING:
    from benchmarks.cpus import Cpus

_WARM_UP = 4 * MiB  # more than restkit's spool in memory, so that the temporary file is warm too
_MAX_CHILD_SECONDS = 600.0  # the slowest peer needs a few seconds for a GiB


class Amount(NamedTuple):
    """The amount of work, from the command line."""

    rounds: int
    size: int
    requests: int
    imports: int
    cpus: Cpus


class Outcome(NamedTuple):
    """The result of a row: a sample per round for each peer, or the reason for none."""

    row: Row
    title: str
    samples: dict[str, list[Sample]]
    absent: dict[str, str]


def run(row: Row, amount: Amount, site: Site, say: Callable[[str], None]) -> Outcome:
    amount.cpus.place_server(site.process)
    warm_up, target = _targets(row, amount, site)
    title = row.title.format(size=_format_size(target.size), times=target.times)
    samples: dict[str, list[Sample]] = {name: [] for name in row.peers}
    absent: dict[str, str] = {}
    for number in range(amount.rounds):
        for name in _rotate(list(row.peers), number):
            if name in absent:
                continue
            say(f"{row.name}: round {number + 1} of {amount.rounds}, {name}")
            if row.writes:
                _heat_page_cache(site.files, target.size)
            try:
                samples[name].append(_measure(row, name, warm_up, target, site.files, amount.cpus))
            except ChildFailed as exc:
                absent[name] = str(exc)
            _remove_saved(site.files)
    return Outcome(row, title, samples, absent)


class ChildFailed(Exception):
    """A peer is not installed, or failed."""


def _measure(
    row: Row, peer: str, warm_up: Target, target: Target, folder: Path, cpus: Cpus
) -> Sample:
    command = [sys.executable, "-m", "benchmarks.child", row.name, peer, str(cpus)]
    try:
        child = subprocess.run(
            command,
            check=False,
            input=json.dumps([warm_up, target]),
            capture_output=True,
            text=True,
            timeout=_MAX_CHILD_SECONDS,
            cwd=Path(__file__).parent.parent,
            env=_environment(folder),
        )
    except subprocess.TimeoutExpired:
        raise ChildFailed(f"failed: not done within {_MAX_CHILD_SECONDS:g} s") from None
    if child.returncode == 0:
        return Sample(*json.loads(child.stdout))
    reason = child.stderr.strip().rpartition("\n")[2]
    kind = "not installed" if child.returncode == NOT_INSTALLED else "failed"
    raise ChildFailed(f"{kind}: {reason}")


def _environment(folder: Path) -> dict[str, str]:
    """Return our environment without variables that only some peers use: proxies, authorities.

    Spools and compiled modules go to our folder. Otherwise, a checkout without .pyc files would be
    compiled at every import, and the peers would not.
    """
    removed = ("_PROXY", "_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR", "PYTHONDONTWRITEBYTECODE")
    ours = {name: value for name, value in os.environ.items() if not name.upper().endswith(removed)}
    return {**ours, "TMPDIR": str(folder), "PYTHONPYCACHEPREFIX": str(folder / "pycache")}


def _targets(row: Row, amount: Amount, site: Site) -> tuple[Target, Target]:
    if row.kind == "import":
        nothing = Target(url="", size=0, times=1, file="", ca=None)
        return nothing, nothing._replace(times=amount.imports)
    if row.kind == "small":
        small = _target(site.url("small", tls=row.tls), SMALL, row, site)
        return small._replace(times=50), small._replace(times=amount.requests)
    size = max(int(amount.size * row.share), MiB)
    return _bulk(row, site, min(_WARM_UP, size)), _bulk(row, site, size)


def _bulk(row: Row, site: Site, size: int) -> Target:
    served = _random_file(site.files, size, text=row.text)
    if row.kind == "up":
        return _target(site.url("take", tls=row.tls), size, row, site)._replace(file=str(served))
    saved = served.with_suffix(".saved")
    return _target(site.url(served.name, tls=row.tls), size, row, site)._replace(file=str(saved))


def _target(url: str, size: int, row: Row, site: Site) -> Target:
    return Target(url, size, times=1, file="", ca=str(site.ca) if row.tls else None)


def _random_file(folder: Path, size: int, *, text: bool) -> Path:
    """Create a file of random bytes, which do not compress, and write it to disk.

    With ``text``, it has hexadecimal digits, which compress to half their size.
    """
    path = folder / f"{size}.{'txt' if text else 'bin'}"
    if not path.exists():
        chunk = random.Random(size).randbytes(MiB)
        with open(path, "wb") as file:
            _fill(file, chunk.hex().encode()[:MiB] if text else chunk, size)
            file.flush()
            os.fsync(file.fileno())
    return path


def _heat_page_cache(folder: Path, size: int) -> None:
    """Give the page cache free pages, as on a machine that is in use.

    A virtual machine returns memory that was free for two seconds to its host. Getting a GiB back
    took two seconds of CPU once, and the write itself takes 0.2.
    """
    path = folder / "heat"
    with open(path, "wb") as file:
        _fill(file, bytes(MiB), size)
    path.unlink()


def _fill(file: BinaryIO, chunk: bytes, size: int) -> None:
    file.writelines(chunk[: size - start] for start in range(0, size, len(chunk)))


def _remove_saved(folder: Path) -> None:
    """Remove saved files after the measurement: freeing a GiB of page cache takes time."""
    for path in folder.glob("*.saved*"):
        path.unlink()


def _rotate(names: list[str], number: int) -> list[str]:
    start = number % len(names)
    return names[start:] + names[:start]


def _format_size(size: int) -> str:
    for unit, name in ((MiB * 1024, "GiB"), (MiB, "MiB"), (1024, "KiB")):
        if size >= unit:
            return f"{size / unit:g} {name}"
    return f"{size} bytes"
