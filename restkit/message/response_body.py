"""Make a body from a reply: decoded, checked, bounded, spooled."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from weakref import ref

from restkit.body.body import Body
from restkit.connections.reply import LiveBody, Reply
from restkit.content_digest.checking import CheckedSource, DigestCheck, make_response_check
from restkit.content_encoding.decoding import CODED_OVERHEAD, DecodedSource, parse_codings
from restkit.errors import (
    BodyTooLarge,
    DecodingError,
    Error,
    IntegrityError,
    ReceivedResponse,
    Sent,
    copy_without_traceback,
)
from restkit.http1.response_head import ResponseHead
from restkit.io.buffers import Buffer, Source
from restkit.io.spool import Spool
from restkit.message.request import Request
from restkit.progress import ProgressCallback, ProgressSource
from restkit.timeouts import WorkTimer

_CHUNK = 256 * 1024


class ErrorContext:
    """Completes the errors of a body with its request and response.

    It holds the response weakly: a strong reference would make a reference cycle.
    """

    __slots__ = ("_request", "_response", "_sent")

    def __init__(self, request: Request, sent: Sent, response: ReceivedResponse) -> None:
        self._request = request
        self._sent: Sent = sent
        self._response = ref(response)

    def annotate(self, error: Error) -> None:
        """Set the request, the response and ``sent`` of the error, unless they are set."""
        if error.request is None:
            error.request = self._request
        if error.sent is None:
            error.sent = self._sent
        if error.response is None:
            error.response = self._response()


def is_coded(head: ResponseHead) -> bool:
    """Whether the body has a Content-Encoding."""
    return head.has(b"\r\ncontent-encoding:")


def may_have_digests(head: ResponseHead) -> bool:
    """Whether the body may have a digest to check."""
    return head.has(b"-digest")


def codings_of(head: ResponseHead) -> tuple[str, ...] | None:
    """Return the content codings in the order applied; None when one of them is unknown."""
    return parse_codings(head.headers.get_all("content-encoding")) if is_coded(head) else ()


def make_body(
    reply: Reply,
    request: Request,
    errors: ErrorContext,
    *,
    decoded: bool = False,
    to_discard: bool = False,
) -> Body:
    """Return the body of a reply, with the read options of its request.

    A body ``to_discard`` is not decoded, checked or reported.
    """
    options = request.read_options
    if reply.live is not None:
        reply.live.claimed = True
    early = reply.early or options.new_spool()
    if reply.content:
        early.append(reply.content)
    try:
        coded = options.decompress and not decoded and not to_discard
        codings = codings_of(reply.head) if coded else ()
    except DecodingError as exc:
        return broken_body(exc, errors, reply.live)
    live: Source | None = reply.live
    if options.on_received is not None and not to_discard:
        live = _report_progress(reply, early.size, options.on_received)
    if not (to_discard or decoded) and options.check_digest and may_have_digests(reply.head):
        check = make_response_check(request.method, reply.head.status, reply.head.headers)
        if check is not None:
            try:
                live = _check_digests(check, reply, early, live)
            except IntegrityError as exc:
                return broken_body(exc, errors)
    headers = [("Content-Type", reply.head.headers.get("content-type"))]
    if codings:
        spool, length = options.new_spool(), None
        source: Source | None = _decode(reply, early, live, codings, options.max_body)
    else:
        spool, source, length = early, live, reply.body_reader.length
        if not decoded:
            headers.append(("Content-Encoding", reply.head.headers.get("content-encoding")))
    return Body(
        spool,
        source,
        length=length,
        arrival=reply.live or _ARRIVED,
        max_size=options.max_body,
        decodes=bool(codings),
        payload_headers=[(name, value) for name, value in headers if value is not None],
        annotate_error=errors.annotate,
    )


def _decode(
    reply: Reply, early: Spool, live: Source | None, codings: Sequence[str], max_body: int | None
) -> Source:
    """Return a source of the decoded body; ``Timeout.total`` limits its decoding."""
    coded = _EarlySource(early, live, reply.body_reader.length, max_body)
    deadline = reply.deadline
    if deadline is None or deadline.timeout.total is None:
        return DecodedSource(coded, codings)
    timer = WorkTimer(deadline, "decoding the body", partial(_arrived_at, reply))
    return _TimedSource(DecodedSource(coded, codings, timer.check), timer)


def _arrived_at(reply: Reply) -> float:
    return reply.done_at if reply.live is None else reply.live.done_at


def _check_digests(
    check: DigestCheck, reply: Reply, early: Spool, live: Source | None
) -> Source | None:
    """Return the rest of a body, wrapped in the check; check a complete body at once."""
    while chunk := early.read_at(check.received, _CHUNK):
        check.update(chunk)
    if live is not None:
        return CheckedSource(live, check, reply.body_reader)
    check.verify(reply.body_reader.trailers)
    return None


def _report_progress(reply: Reply, received: int, on_received: ProgressCallback) -> Source | None:
    """Return the rest of a body, wrapped in the callback; report a complete body at once."""
    total = reply.body_reader.length
    if reply.live is not None:
        return ProgressSource(reply.live, on_received, received, total)
    on_received(received, total)
    return None


def broken_body(error: Error, errors: ErrorContext, live: LiveBody | None = None) -> Body:
    """Return a body that raises an error whenever it is read."""
    source = _BrokenSource(error, live)
    return Body(Spool(), source, arrival=live or _ARRIVED, annotate_error=errors.annotate)


class _Arrived:
    """The arrival of a body that came with its head."""

    done = True
    error = None


_ARRIVED = _Arrived()


class _BrokenSource:
    """A source that raises an error at every read; ``close()`` closes the source behind it."""

    def __init__(self, error: Error, live: LiveBody | None) -> None:
        self._error = copy_without_traceback(error)
        self._live = live

    def read_chunk(self) -> Buffer:
        raise copy_without_traceback(self._error)

    def readinto(self, view: memoryview) -> int:  # noqa: ARG002  # as every source
        raise copy_without_traceback(self._error)

    def close(self) -> None:
        if self._live is not None:
            self._live.close()


class _EarlySource:
    """A source of the bytes that were received early, and then of the rest.

    They are the coded bytes of a body: ``length`` is their number, if it is known. More than
    ``max_body`` and CODED_OVERHEAD raise BodyTooLarge.
    """

    def __init__(
        self, spool: Spool, live: Source | None, length: int | None, max_body: int | None
    ) -> None:
        self._spool = spool
        self._live = live
        self._position = 0  # in the spool
        self._received = 0
        self._length = length or 0
        self._max_body = max_body

    def read_chunk(self) -> Buffer:
        self._check_size(self._length)
        chunk: Buffer = self._spool.read_at(self._position, _CHUNK)
        self._position += len(chunk)
        if not chunk and self._live is not None:
            chunk = self._live.read_chunk()
        self._count(len(chunk))
        return chunk

    def readinto(self, view: memoryview) -> int:
        self._check_size(self._length)
        count = self._spool.read_into(self._position, view)
        self._position += count
        if not count and self._live is not None:
            count = self._live.readinto(view)
        self._count(count)
        return count

    def _count(self, size: int) -> None:
        self._received += size
        self._check_size(self._received)

    def _check_size(self, size: int) -> None:
        if self._max_body is not None and size > self._max_body + CODED_OVERHEAD:
            raise BodyTooLarge(
                f"the body is larger than max_body, {self._max_body} bytes, before it is decoded"
            )

    def close(self) -> None:
        self._spool.close()
        if self._live is not None:
            self._live.close()


class _TimedSource:
    """A source whose reads run a timer."""

    def __init__(self, source: Source, timer: WorkTimer) -> None:
        self._source = source
        self._timer = timer

    def read_chunk(self) -> Buffer:
        self._timer.resume()
        try:
            return self._source.read_chunk()
        finally:
            self._timer.pause()

    def readinto(self, view: memoryview) -> int:
        self._timer.resume()
        try:
            return self._source.readinto(view)
        finally:
            self._timer.pause()

    def close(self) -> None:
        self._source.close()
