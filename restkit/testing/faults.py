"""What a server may be told to do to a connection: values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

Of = Literal["request", "answer"]


@dataclass(frozen=True, slots=True)
class Drop:
    """The connection is closed when ``after`` bytes of the answer have left, its head included.

    ``of='request'``: when so many bytes of the request have come, its head included; at the
    earliest when that head is there.
    """

    after: int = 0
    of: Of = "answer"


@dataclass(frozen=True, slots=True)
class Reset:
    """As ``Drop``, but the connection is reset (RST), and does not just end."""

    after: int = 0
    of: Of = "answer"


@dataclass(frozen=True, slots=True)
class Truncate:
    """The connection is closed after ``body`` bytes of the answer's body, as it is on the wire."""

    body: int = 0


@dataclass(frozen=True, slots=True)
class Delay:
    """Nothing is sent for so many seconds, when ``after`` bytes of the answer have left."""

    seconds: float
    after: int = 0


Fault: TypeAlias = "Drop | Reset | Truncate | Delay"
