"""Make a body from a reply.

From what the wire replied to the body that callers read: decoded, bounded, spooled.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from restkit.body.body import Body, Source
from restkit.content_encoding.decoding import DecodedSource, parse_codings
from restkit.errors import DecodingError, Error, IntegrityError, copy_without_traceback
from restkit.io.spool import Spool
from restkit.progress import ToldSource

if TYPE_CHECKING:
    from restkit.connections.reply import Reply
    from restkit.content_digest.checking import DigestCheck
    from restkit.http1.response_head import ResponseHead
    from restkit.io.buffers import Buffer
    from restkit.message.response import ErrorContext
    from restkit.progress import Progress


_PIECE = 256 * 1024


def is_coded(head: ResponseHead) -> bool:
    """Whether a Content-Encoding is on the body; costs next to nothing where there is none."""
    return head.has(b"\r\ncontent-encoding:")


def may_have_digests(head: ResponseHead) -> bool:
    """Whether the body may have to be checked; costs next to nothing where it has not."""
    return head.has(b"-digest")


def codings_of(head: ResponseHead) -> tuple[str, ...] | None:
    """The content codings of the body, in the order applied; None when one is not known."""
    return parse_codings(head.headers.get_all("content-encoding")) if is_coded(head) else ()


def make_body(
    reply: Reply, owner: ErrorContext, *, decoded: bool = False, told: bool = True
) -> Body:
    """The body of a reply, as the request's options want it: decoded, spooled, told of or not."""
    settings = owner.request.settings
    arrived = reply.early or settings.new_spool()
    if reply.content:
        arrived.append(reply.content)
    try:
        codings = codings_of(reply.head) if settings.decompress and not decoded else ()
    except DecodingError as exc:
        return broken_body(exc, owner, reply.live)
    live = _told(reply, arrived.size, settings.progress) if told else reply.live
    check = _check_of(reply, owner) if told and not decoded else None
    if check is not None:
        try:
            live = _checked(check, reply, arrived, live)
        except IntegrityError as exc:
            return broken_body(exc, owner)
    announced = [("Content-Type", reply.head.headers.get("content-type"))]
    if codings:
        spool = settings.new_spool()
        source: Source | None = DecodedSource(_Arrived(arrived, live), codings)
        length = None
    else:
        spool, source, length = arrived, live, reply.deframer.length
        if not decoded:
            announced.append(("Content-Encoding", reply.head.headers.get("content-encoding")))
    return Body(
        spool,
        source,
        length=length,
        max_size=settings.max_body,
        payload_headers=[(name, value) for name, value in announced if value is not None],
        blame=owner.blame,
    )


def _check_of(reply: Reply, owner: ErrorContext) -> DigestCheck | None:
    if owner.request.settings.content_digest is False or not may_have_digests(reply.head):
        return None
    # Not at the top: `import restkit` has a budget; a Client brings it along as it is made.
    from restkit.content_digest.checking import make_response_check

    return make_response_check(owner.request.method, reply.head.status, reply.head.headers)


def _checked(
    check: DigestCheck, reply: Reply, arrived: Spool, live: Source | None
) -> Source | None:
    """The rest of a body that has digests; raises IntegrityError if all of it came, and differs."""
    from restkit.content_digest.checking import CheckedSource

    while piece := arrived.read_at(check.received, _PIECE):
        check.update(piece)
    if live is not None:
        return CheckedSource(live, check, reply.deframer)
    check.verify(reply.deframer.trailers)
    return None


def _told(reply: Reply, came: int, progress: Progress | None) -> Source | None:
    """What is still to come, with whoever is to be told of it; of what has all come, at once."""
    if progress is None or progress.received is None:
        return reply.live
    total = reply.deframer.length
    if reply.live is not None:
        return ToldSource(reply.live, progress.received, came, total)
    progress.received(came, total)
    return None


def broken_body(error: Error, owner: ErrorContext, live: Source | None = None) -> Body:
    """A body that only says, to whoever asks for it, why it cannot be read."""
    return Body(Spool(), _Broken(error, live), blame=owner.blame)


class _Broken:
    """A source of nothing but its error, before what it keeps from being read."""

    def __init__(self, error: Error, live: Source | None) -> None:
        self._error = copy_without_traceback(error)
        self._live = live

    def read_piece(self) -> Buffer:
        raise copy_without_traceback(self._error)

    def readinto(self, view: memoryview) -> int:  # noqa: ARG002  # as every source
        raise copy_without_traceback(self._error)

    def close(self) -> None:
        if self._live is not None:
            self._live.close()


class _Arrived:
    """What came early, and then what is still to come, as one source."""

    def __init__(self, spool: Spool, live: Source | None) -> None:
        self._spool = spool
        self._live = live
        self._position = 0

    def read_piece(self) -> Buffer:
        piece = self._spool.read_at(self._position, _PIECE)
        if piece:
            self._position += len(piece)
            return piece
        return self._live.read_piece() if self._live is not None else b""

    def readinto(self, view: memoryview) -> int:
        count = self._spool.read_into(self._position, view)
        self._position += count
        return count or (self._live.readinto(view) if self._live is not None else 0)

    def close(self) -> None:
        self._spool.close()
        if self._live is not None:
            self._live.close()
