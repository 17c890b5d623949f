"""A reply that came out of a pickle: whole, and bound to no connection."""

from __future__ import annotations

from restkit.wire.connection import Reply, Times
from restkit.wire.framing import SizedBody
from restkit.wire.head import ResponseHead


def kept_reply(status: tuple[int, int, str], fields: list[tuple[str, str]], body: bytes) -> Reply:
    """What ``wire/`` would have replied, of (minor version, status, reason), fields and body."""
    minor, number, reason = status
    lines = "".join(f"\r\n{name}: {value}" for name, value in fields) + "\r\n"
    head = ResponseHead(minor, number, reason.encode("latin-1"), lines.encode("latin-1"))
    times = Times(None, None, 0.0, 0.0)
    return Reply(head, SizedBody(len(body)), body, None, None, None, times, None)
