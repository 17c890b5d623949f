"""The pickled state of a response: its head, and its body or the error of its body."""

from __future__ import annotations

from typing import Any, NamedTuple

from restkit.connections.reply import Reply
from restkit.errors import AlreadyRead, Error, Sent
from restkit.headers import Headers
from restkit.http1.fields import Pairs
from restkit.http1.framing import BodyReader, BodyToEnd, SizedBody
from restkit.http1.response_head import ResponseHead
from restkit.payload.values import encode_utf_8

UNREAD_BODY = (AlreadyRead, "the body had not been read when this response was pickled")


class PickledResponse(NamedTuple):
    """Head, body and times. ``fault`` is (class, message) of the error of an unreadable body."""

    minor: int
    status: int
    reason: str
    fields: Pairs
    trailers: Pairs
    body: bytes
    fault: tuple[type[Error], str] | None
    decoded: bool
    timings: tuple[Any, ...]
    sent: Sent


def make_reply(status: int, headers: Headers, body: bytes | str) -> Reply:
    """Return a reply without a server; raise TypeError for a body that is not bytes or str."""
    if type(status) is not int:
        raise TypeError(f"status must be an int; got {status!r:.60}")
    if isinstance(body, str):
        body = encode_utf_8(body, "body=")
    if not isinstance(body, bytes):
        raise TypeError(f"body must be bytes or str; got {type(body).__name__}")
    from http import HTTPStatus  # only for responses that are made by hand

    reasons = {each.value: each.phrase for each in HTTPStatus}
    timings = (None, None, 0.0, 0.0, None)
    return restore_reply(
        PickledResponse(
            1,
            status,
            reasons.get(status, ""),
            headers.pairs(),
            [],
            body,
            None,
            True,
            timings,
            "nothing",
        )
    )


def restore_reply(state: PickledResponse) -> Reply:
    """Rebuild the reply of a pickled response, without a connection."""
    lines = "".join(f"\r\n{name}: {value}" for name, value in state.fields) + "\r\n"
    reason = state.reason.encode("latin-1")
    head = ResponseHead(state.minor, state.status, reason, lines.encode("latin-1"))
    body_reader: BodyReader = BodyToEnd() if state.fault else SizedBody(len(state.body))
    body_reader.trailers[:] = state.trailers
    reply = Reply(head, body_reader, state.body)
    reply.connected_at, reply.secured_at, reply.sent_at, reply.first_byte_at, done = state.timings
    reply.done_at = done or 0.0
    reply.sent = state.sent
    return reply
