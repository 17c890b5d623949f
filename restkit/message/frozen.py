"""A response taken out of a pickle: whole, and bound to no connection."""

from __future__ import annotations

from typing import TYPE_CHECKING

from restkit.message.response import HttpResponse
from restkit.wire.connection import Reply, Times
from restkit.wire.framing import SizedBody
from restkit.wire.head import ResponseHead

if TYPE_CHECKING:
    from restkit.message.request import Request


def thaw(
    status: tuple[int, int, str],
    fields: list[tuple[str, str]],
    body: bytes,
    decoded: bool,
    request: Request,
) -> HttpResponse:
    """The response that was pickled: its body, decoded before it went in, is not decoded again."""
    lines = "".join(f"\r\n{name}: {value}" for name, value in fields)
    minor, number, reason = status
    head = ResponseHead(minor, number, reason.encode("latin-1"), lines.encode("latin-1") + b"\r\n")
    reply = Reply(
        head, SizedBody(len(body)), body, None, None, None, Times(None, None, 0.0, 0.0), None
    )
    return HttpResponse(request, reply, 0.0, decoded=decoded)
