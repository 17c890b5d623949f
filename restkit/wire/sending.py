"""One request as the wire takes it: a head in bytes, a framed body, and the time there is."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    from restkit.spool import Spool
    from restkit.timeouts import Clock
    from restkit.wire.outgoing import Outgoing


class Sending(NamedTuple):
    """One request, ready to go on any connection.

    ``expects``: ask with 100-continue before the body goes. ``closes``: it says of itself that it
    is the last one of its connection.
    """

    method: str
    head: bytes
    body: Outgoing | None
    clock: Clock
    new_spool: Callable[[], Spool]
    expects: bool = False
    closes: bool = False

    def so_far(self, sent_bytes: int) -> str:
        """How much of the payload is among the bytes that have left: '60 of 100 bytes'."""
        sent = f"{max(0, sent_bytes - len(self.head))}"
        if self.body is not None and self.body.payload.length is not None:
            sent += f" of {self.body.payload.length}"
        return f"{sent} bytes"
