"""A row of the benchmark: one kind of work, its peers, and the goals of restkit.

A ``Peer`` opens what it needs (imports, a session, a connection pool) and returns its ``Work``. The
work runs twice: on a small target as a warm-up, and on the real target, which is measured. It
returns the bytes of body that it moved, and a wrong number is an error.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal, NamedTuple, TypeAlias

KiB = 1 << 10
MiB = 1 << 20
GiB = 1 << 30

LEVEL = 1.05  # "level with": two runs of one program differ by this much on a shared machine
AHEAD = 1.0


class Target(NamedTuple):
    """The input of a work: ``times`` requests to ``url``, each with ``size`` bytes of body."""

    url: str
    size: int
    times: int
    file: str  # the file to send, or to save to
    ca: str | None  # the certificate authority of the https server


Work: TypeAlias = Callable[[Target], int]
Peer: TypeAlias = Callable[[Target], Work]


class Goal(NamedTuple):
    """A goal: the CPU of ``ours`` is at most ``most`` of that of ``peer`` (less ``minus``)."""

    ours: str
    peer: str
    most: float
    minus: str | None = None


class Row(NamedTuple):
    """One kind of work, and its peers by name."""

    name: str
    title: str  # with the fields {size} and {times}
    kind: Literal["small", "down", "up", "import"]
    peers: Mapping[str, Peer]
    goals: tuple[Goal, ...] = ()
    share: float = 1.0  # of the size on the command line
    writes: bool = False  # a peer writes the body to a file
    tls: bool = False
    text: bool = False  # the file can be compressed to half its size

    @property
    def counts_memory(self) -> bool:
        """Whether peak memory is measured. An import runs in a process of its own."""
        return self.kind != "import"


def over_tls(row: Row) -> Row:
    """Return the same row over https, without goals: the budget is about plain connections."""
    return row._replace(name=f"{row.name}-tls", title=f"{row.title}, over TLS", goals=(), tls=True)
