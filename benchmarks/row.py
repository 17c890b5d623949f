"""What a row of the benchmark is: one kind of work, who does it, and what restkit must reach.

A `Peer` opens what it needs (imports, a session, a connection pool) and returns its `Work`. That is
then done twice, once on a small target to warm up and once on the real one, and only the second is
measured. It returns the bytes of body that it moved, and a wrong number is an error: who loses
bytes is not fast.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal, NamedTuple, TypeAlias

KiB = 1 << 10
MiB = 1 << 20
GiB = 1 << 30

LEVEL = (
    1.05  # "level with": what two runs of one and the same program differ by on a shared machine
)
AHEAD = 1.0


class Target(NamedTuple):
    """What a work is to do: `times` requests to `url`, with `size` bytes of body each."""

    url: str
    size: int
    times: int
    file: str  # what to send, or where to save
    ca: str | None  # the certificate authority that the https server is verified by


Work: TypeAlias = Callable[[Target], int]
Peer: TypeAlias = Callable[[Target], Work]


class Bar(NamedTuple):
    """CPU of `ours` is to be at most `most` of the CPU of `peer` (both less `minus`, if named)."""

    ours: str
    peer: str
    most: float
    minus: str | None = None


class Row(NamedTuple):
    """One kind of work and everyone who does it, by name."""

    name: str
    title: str  # with {size} and {times} to be filled in
    kind: Literal["small", "down", "up", "import"]
    peers: Mapping[str, Peer]
    bars: tuple[Bar, ...] = ()
    share: float = 1.0  # of the size asked for on the command line
    writes: bool = False  # someone writes the body to a file
    tls: bool = False
    text: bool = False  # what is sent can be compressed, to half of it

    @property
    def counts_memory(self) -> bool:
        """Whether peak memory means something: an import happens in a process of its own."""
        return self.kind != "import"


def over_tls(row: Row) -> Row:
    """The same row over https: for information, the budget speaks of plain connections."""
    return row._replace(name=f"{row.name}-tls", title=f"{row.title}, over TLS", bars=(), tls=True)
