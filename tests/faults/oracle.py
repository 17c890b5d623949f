"""The three outcomes that are right: the right response, a documented error, a documented retry."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from restkit import (
    BodyTooLarge,
    Error,
    IdleTimeout,
    PayloadNotReplayable,
    ProxyError,
    RequestTimeout,
    TLSError,
    TransportError,
    UnexpectedEOF,
)
from support.fault_proxy import Fault, ProxiedConnection
from support.messages import ChunkScan, head_of, is_chunked
from support.messages import field as field_of

from .combination import Combination
from .server import FINAL

_IDEMPOTENT = ("GET", "PUT", "DELETE")
_LOCATION = (301, 302, 303, 307, 308)
_HEAD_SIZE = 300
_MAY_BE_PREFIX = ("cut", "half-close")


@dataclass
class Outcome:
    """The result of a call: a response and the bytes of its body, or an error."""

    status: int | None = None
    body: bytes | None = None
    error: BaseException | None = None
    begun: bytes = b""  # bytes of the body before an error
    tries: int = 1
    sent: str | None = None
    is_single: bool = True  # whether there was one attempt only
    connections: list[ProxiedConnection] = field(default_factory=list)


class Received(NamedTuple):
    """A request as the proxy received it. ``payload`` is None if the request is incomplete."""

    head: bytes
    payload: bytes | None
    begun: bytes


def check_outcome(case: Combination, outcome: Outcome) -> Iterator[str]:
    """Yield everything that is wrong."""
    fired = [fault for connection in outcome.connections for fault in connection.fired]
    if outcome.error is None:
        yield from _check_response(case, outcome, fired)
    else:
        yield from _check_error(case, outcome, fired)
    requests = []
    if case.route != "tunnel":
        for connection in outcome.connections:
            requests += list(split_requests(bytes(connection.received)))
        yield from _check_received(case, outcome, requests)
        yield from _check_sent(case, outcome, fired)


# The response


def _check_response(case: Combination, outcome: Outcome, fired: list[Fault]) -> Iterator[str]:
    answer = case.answer
    right = []
    if answer.body is not None:
        body = answer.body
        if case.options.get("decompress") is False and answer.coded is not None:
            body = answer.coded
        right.append((answer.status, body))
    elif case.options.get("decompress") is False and answer.coded is not None:
        right.append((answer.status, answer.coded))
    if may_repeat(case, fired):
        right.append((200, FINAL))
    if case.reading in ("skip", "close"):
        # Nothing was read, so that a fault in the body may not have been seen.
        statuses = {status for status, _ in right} | {answer.status}
        if outcome.status not in statuses:
            yield f"status {outcome.status}, and not one of {statuses}"
        return
    if (outcome.status, outcome.body) in right:
        return
    if _is_undetectable_end(case, outcome, fired):
        return
    got = outcome.body or b""
    expected = [(status, len(body)) for status, body in right]
    yield f"status {outcome.status} with {len(got)} bytes {got[:30]!r}; right is {expected}"


def _is_undetectable_end(case: Combination, outcome: Outcome, fired: list[Fault]) -> bool:
    """Whether the body is all that came before a regular end, which is its only framing."""
    answer = case.answer
    if answer.ends is not None or answer.body is None or outcome.status != answer.status:
        return False
    if case.route == "tunnel" or not any(fault.action in _MAY_BE_PREFIX for fault in fired):
        return False
    head = len(head_of(answer.wire))
    lengths = {connection.delivered - head for connection in outcome.connections}
    body = outcome.body or b""
    return len(body) in lengths and answer.body.startswith(body)


def may_repeat(case: Combination, fired: list[Fault]) -> bool:
    """Whether a documented rule allows or needs another request."""
    status = case.answer.status
    if status in _LOCATION:
        return True
    if case.times > 90:
        return False
    if status in (411, 417):
        return True
    # A payload that can be sent once is not started before 100 Continue, or if the connection is
    # lost at once.
    replayable = (
        case.given.replayable
        or "expect_continue" in case.options
        or any(fault.at < _HEAD_SIZE for fault in fired)
    )
    retries = case.options.get("retries")
    if retries and replayable and status in (413, 429, 502, 503, 504):
        return True
    lost = bool(fired) or case.answer_name == "nothing" or case.answer.body is None
    return lost and replayable


def must_repeat(case: Combination, fired: list[Fault]) -> bool:
    """Whether a documented rule of retries leads to the right response."""
    given = case.given
    return (
        case.answer_name == "nothing"
        and case.times <= 2
        and case.phase == "all"
        and not fired
        and not case.stalls
        and not given.error
        and given.replayable
        and case.method in _IDEMPOTENT
        and case.tunnel[1]
        and not {"retries", "max_body", "expect_continue"} & set(case.options)
    )


# The error


def _check_error(case: Combination, outcome: Outcome, fired: list[Fault]) -> Iterator[str]:
    error = outcome.error
    allowed = _allowed_errors(case, fired)
    if must_repeat(case, fired):
        yield f"a documented retry was not made: {error!r}"
    if not isinstance(error, allowed):
        names = ", ".join(each.__name__ for each in allowed)
        yield f"{type(error).__name__}: {error}; allowed: {names or 'no error'}"
    body = case.answer.body
    if case.options.get("decompress") is False and case.answer.coded is not None:
        body = case.answer.coded
    if body is not None and not any(each.startswith(outcome.begun) for each in (body, FINAL)):
        yield f"the {len(outcome.begun)} bytes before the error are wrong"


def _allowed_errors(case: Combination, fired: list[Fault]) -> tuple[type[BaseException], ...]:
    answer, allowed = case.answer, list[type[BaseException]](case.answer.errors)
    if case.given.error is not None:
        allowed.append(case.given.error)
    for fault in fired:
        if fault.action == "stall":
            allowed.append(RequestTimeout)
        elif fault.action not in ("trickle", "delay"):
            allowed += [TransportError, UnexpectedEOF]
    if case.stalls:
        # The timeout of these is short, and a loaded machine may be slow.
        allowed.append(RequestTimeout)
    if not case.reads_on:
        allowed.append(IdleTimeout)
    if not case.tunnel[1]:
        allowed += [ProxyError, TLSError]
    limit = case.options.get("max_body")
    if limit is not None and limit < max(len(answer.body or b"x" * 10**6), len(FINAL)):
        allowed.append(BodyTooLarge)
    if not case.given.replayable and answer.status in _LOCATION:
        allowed.append(PayloadNotReplayable)
    return tuple(allowed)


# What the server received


def split_requests(data: bytes) -> Iterator[Received]:
    """Yield the requests in the bytes of one connection; the last may be incomplete."""
    while data:
        end = data.find(b"\r\n\r\n")
        if end < 0:
            yield Received(data, None, b"")
            return
        head, data = data[: end + 4], data[end + 4 :]
        if is_chunked(head):
            scan = ChunkScan()
            used = scan.feed(data)
            payload = bytes(scan.payload)
            yield Received(head, payload if scan.done else None, payload)
        else:
            used = int(field_of(head, "content-length") or 0)
            payload = data[:used]
            yield Received(head, payload if len(payload) == used else None, payload)
        data = data[used:]


def _check_received(case: Combination, outcome: Outcome, requests: list[Received]) -> Iterator[str]:
    given, whole = case.given, 0
    for request in requests:
        if b"/case " not in request.head.split(b"\r\n")[0]:
            continue
        if not request.head.startswith(case.method.encode()):
            continue  # a redirect made it a GET
        if request.payload is not None:
            whole += 1
            if given.expected is None:
                yield "the server received an incomplete payload as a whole one"
            elif given.decode(request.payload) != given.expected:
                yield f"the server received a wrong payload of {len(request.payload)} bytes"
        elif given.has_plain_bytes and not (given.expected or b"").startswith(request.begun):
            yield "the server received wrong bytes of a payload"
    is_safe = case.method in _IDEMPOTENT or case.options.get("retries")
    if whole > 1 and not is_safe and case.answer.status not in (*_LOCATION, 411, 417):
        yield f"the server received {whole} whole requests of {case.method}"


def _is_further(request: Received) -> bool:
    return b"/next " in request.head.split(b"\r\n")[0]


def _check_sent(case: Combination, outcome: Outcome, fired: list[Fault]) -> Iterator[str]:
    """Compare ``sent`` with the bytes that the proxy received."""
    error = outcome.error
    if not outcome.is_single or (error is not None and not isinstance(error, Error)):
        return
    connections = [each for each in outcome.connections if each.received or each.delivered]
    if len(connections) != 1:
        return
    [connection] = connections
    if not connection.all_recorded or any(fault.action == "reset" for fault in fired):
        return
    requests = list(split_requests(bytes(connection.received)))
    if requests and _is_further(requests[0]):
        requests = []
    whole = bool(requests) and requests[0].payload is not None
    if outcome.sent == "nothing" and requests:
        yield f"sent is 'nothing', but the proxy received {len(connection.received)} bytes"
    # A client that closes with unread bytes resets the connection, and its own last bytes are lost.
    if outcome.sent == "all" and not whole and case.phase == "all":
        yield "sent is 'all', but the proxy received a part of the request"
    if outcome.sent == "part" and whole:
        yield "sent is 'part', but the proxy received the whole request"
