"""The pickled state of a response.

What a pickle keeps of a response: bound to no connection, its body whole or not to be had.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from restkit.connections.reply import Reply, Times
from restkit.http1.fields import Pairs
from restkit.http1.framing import BodyReader, BodyToEnd, SizedBody
from restkit.http1.response_head import ResponseHead
from restkit.payload.values import encode_utf_8

if TYPE_CHECKING:
    from restkit.errors import Error, Sent
    from restkit.headers import Headers


class Kept(NamedTuple):
    """Head, body and times; ``fault`` is (class, message) of why the body could not be read."""

    minor: int
    status: int
    reason: str
    fields: Pairs
    trailers: Pairs
    body: bytes
    fault: tuple[type[Error], str] | None
    decoded: bool
    times: Times
    sent: Sent


def made_reply(status: int, headers: Headers, body: bytes | str) -> Reply:
    """The reply of an answer that somebody has made up; TypeError for what cannot be a body."""
    from http import HTTPStatus

    if isinstance(body, str):
        body = encode_utf_8(body, "body=")
    if not isinstance(body, bytes):
        raise TypeError(f"body= is of type {type(body).__name__}; bytes or str are wanted")
    reasons = {each.value: each.phrase for each in HTTPStatus}
    reason, times = reasons.get(status, ""), Times(None, None, 0.0, 0.0, None)
    fields = headers.pairs()
    return kept_reply(Kept(1, status, reason, fields, [], body, None, True, times, "nothing"))


def kept_reply(kept: Kept) -> Reply:
    """What ``wire/`` would have replied."""
    lines = "".join(f"\r\n{name}: {value}" for name, value in kept.fields) + "\r\n"
    reason = kept.reason.encode("latin-1")
    head = ResponseHead(kept.minor, kept.status, reason, lines.encode("latin-1"))
    deframer: BodyReader = BodyToEnd() if kept.fault else SizedBody(len(kept.body))
    deframer.trailers[:] = kept.trailers
    return Reply(head, deframer, kept.body, None, None, None, kept.times, kept.sent, None)
