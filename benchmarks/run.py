"""The rounds of one row: everyone once a round, each in a process of its own, in rotating order.

Interleaved, because a machine that is slow for a minute must be slow for all: what counts is the
ratio of two runs of the same round, and the median of these ratios.
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

_WARM_UP = 4 * MiB  # beyond restkit's spool in memory, so that the temporary file is warm too
_CHILD_ENDS_WITHIN = 600.0  # seconds; the slowest peer needs a few for a GiB


class Amount(NamedTuple):
    """How much work: what the command line said."""

    rounds: int
    size: int
    requests: int
    imports: int
    cpus: Cpus


class Outcome(NamedTuple):
    """A row done: a sample per round for each peer, or the reason why there is none."""

    row: Row
    title: str
    samples: dict[str, list[Sample]]
    absent: dict[str, str]


def run(row: Row, amount: Amount, site: Site, say: Callable[[str], None]) -> Outcome:
    amount.cpus.place_server(site.process)
    warm_up, target = _targets(row, amount, site)
    title = row.title.format(size=_in_words(target.size), times=target.times)
    samples: dict[str, list[Sample]] = {name: [] for name in row.peers}
    absent: dict[str, str] = {}
    for number in range(amount.rounds):
        for name in _rotated(list(row.peers), number):
            if name in absent:
                continue
            say(f"{row.name}: round {number + 1} of {amount.rounds}, {name}")
            if row.writes:
                _heat_page_cache(site.files, target.size)
            try:
                samples[name].append(_sample(row, name, warm_up, target, site.files, amount.cpus))
            except ChildFailed as exc:
                absent[name] = str(exc)
            _remove_saved(site.files)
    return Outcome(row, title, samples, absent)


class ChildFailed(Exception):
    """A peer is not installed, or did not do its work."""


def _sample(
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
            timeout=_CHILD_ENDS_WITHIN,
            cwd=Path(__file__).parent.parent,
            env=_environment(folder),
        )
    except subprocess.TimeoutExpired:
        raise ChildFailed(f"failed: not done within {_CHILD_ENDS_WITHIN:g} s") from None
    if child.returncode == 0:
        return Sample(*json.loads(child.stdout))
    reason = child.stderr.strip().rpartition("\n")[2]
    kind = "not installed" if child.returncode == NOT_INSTALLED else "failed"
    raise ChildFailed(f"{kind}: {reason}")


def _environment(folder: Path) -> dict[str, str]:
    """Ours, less what only some heed: proxies, even for loopback, and roots of trust.

    Spools and compiled modules go to our folder: a checkout whose .pyc files are missing, or may
    not be written, would else be compiled at every import, and the peers would not.
    """
    heeded = ("_PROXY", "_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR", "PYTHONDONTWRITEBYTECODE")
    ours = {name: value for name, value in os.environ.items() if not name.upper().endswith(heeded)}
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
    """Make it random, so that compressing gains nothing, and on disk before anyone is measured.

    As text it is in hexadecimal digits, of which compressing makes half.
    """
    path = folder / f"{size}.{'txt' if text else 'bin'}"
    if not path.exists():
        block = random.Random(size).randbytes(MiB)
        with open(path, "wb") as file:
            _fill(file, block.hex().encode()[:MiB] if text else block, size)
            file.flush()
            os.fsync(file.fileno())
    return path


def _heat_page_cache(folder: Path, size: int) -> None:
    """See to it that the page cache finds pages at hand, as on a machine that is in use it does.

    A virtual machine gives memory that was free for two seconds back to its host; to get a GiB
    anew was seen to cost two seconds of CPU, where the write itself costs 0.2.
    """
    path = folder / "heat"
    with open(path, "wb") as file:
        _fill(file, bytes(MiB), size)
    path.unlink()


def _fill(file: BinaryIO, block: bytes, size: int) -> None:
    file.writelines(block[: size - start] for start in range(0, size, len(block)))


def _remove_saved(folder: Path) -> None:
    """Not by the work itself: to give a GiB of page cache back takes time of its own."""
    for path in folder.glob("*.saved*"):
        path.unlink()


def _rotated(names: list[str], number: int) -> list[str]:
    start = number % len(names)
    return names[start:] + names[:start]


def _in_words(size: int) -> str:
    for unit, name in ((MiB * 1024, "GiB"), (MiB, "MiB"), (1024, "KiB")):
        if size >= unit:
            return f"{size / unit:g} {name}"
    return f"{size} bytes"
