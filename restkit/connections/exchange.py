"""Send a request and read its response at the same time.

One request and its answer on one connection: the loop that reads while it sends.

The caller's source is asked on the caller's thread, one piece at a time, and never while
something else waits to be sent. What the peer says meanwhile is taken at once: a refusal (a
final status of 300 or more) ends the sending, anything else of the answer's body goes into a
spool, so that a peer that echoes can never be waiting for us while we wait for it.
"""

from __future__ import annotations

from errno import EINVAL, ENOSYS, EOPNOTSUPP
from time import monotonic, perf_counter
from typing import TYPE_CHECKING

from restkit.connections.outgoing import FileOut
from restkit.errors import IdleTimeout, PayloadLengthError, ResponseError, TLSError, TransportError
from restkit.http1.response_reader import ResponseReader
from restkit.io.buffers import close_if_possible
from restkit.network.transport import BLOCK, READ, WRITE, Transport, WaitResult

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from restkit.connections.outgoing import Outgoing, Sending
    from restkit.errors import Sent
    from restkit.http1.response_head import ResponseHead
    from restkit.io.buffers import Buffer
    from restkit.io.files import Region
    from restkit.io.spool import Spool


CONTINUE_SECONDS = 1.0
FILE_STEP = 1024 * 1024
# ``sendfile`` sends what a file holds when its pages leave, and of a file that has been cut off
# meanwhile, zeros. So the end of it goes in copies, and more of it than connections of this
# system hold on the way (tcp(7): tcp_wmem and tcp_rmem, 4 and 6 MiB unless somebody has set them
# higher): when the last copy is made, all of the pages have arrived, and a file that got shorter
# has shown it.
COPIED_TAIL = 32 * 1024 * 1024
# What ``sendfile`` says on file systems that it cannot send from.
NO_SENDFILE = (EINVAL, ENOSYS, EOPNOTSUPP)


class Exchange:
    """The state of one exchange, up to the moment when its final head is there."""

    __slots__ = (
        "_clock",
        "_listening",
        "_rested",
        "_sending",
        "_transport",
        "all_sent",
        "answer",
        "early",
        "failure",
        "first_byte_at",
        "in_source",
        "pieces",
        "sent_at",
        "sent_bytes",
    )

    def __init__(self, transport: Transport, sending: Sending, *, rested: bool) -> None:
        self._transport = transport
        self._rested = rested
        self._sending = sending
        self._clock = sending.clock
        self.answer = ResponseReader(sending.method)
        self.pieces: Sequence[Buffer] = ()
        self.early: Spool | None = None
        self.failure: TransportError | None = None
        self.sent_bytes = 0
        self.all_sent = False
        self.in_source = False
        self._listening = True
        self.sent_at = 0.0
        self.first_byte_at = 0.0

    @property
    def sent(self) -> Sent:
        if self.all_sent:
            return "all"
        return "part" if self.sent_bytes else "nothing"

    @property
    def keeps_open(self) -> bool:
        """Whether our side lets another exchange follow: all is sent, and no end was announced."""
        return self.all_sent and not self._sending.closes

    def run(self) -> ResponseHead:
        """Send, and read until the final head is there; the head.

        Raises what the network or the peer's bytes make necessary, and whatever the payload's
        own source raises. A peer that took part of the payload, answered well and went away
        leaves its head, and the error in ``failure``.
        """
        sending = self._sending
        if sending.body is None:
            self.all_sent = self._push([sending.head])
        else:
            self.all_sent = self._send_body(sending, sending.body)
        self.sent_at = perf_counter()
        return self._read_head()

    # Sending

    def _send_body(self, sending: Sending, body: Outgoing) -> bool:
        """Head and body; False when the peer ended it before they were out."""
        head: list[Buffer] = [sending.head]
        if sending.expects:
            if not (self._push(head) and self._told_to_go_on()):
                return False
            head = []
        elif not body.payload.replayable:
            # What can be asked only once may take its time; the peer learns of it meanwhile.
            if not self._push(head):
                return False
            head = []
        if isinstance(body, FileOut) and self._transport.sends_files:
            return self._send_file(head, body)
        pieces = iter(body)
        try:
            while self._source_has_more(body):
                buffers = self._next(pieces)
                if buffers is None:
                    return not head or self._push(head)
                if head:
                    buffers[:0] = head
                    head = []
                if self._interrupted() or not self._push(buffers):
                    return False
            return False
        finally:
            close_if_possible(pieces)

    def _send_file(self, head: list[Buffer], body: FileOut) -> bool:
        """Head and first block together, then by ``sendfile``, and the end of it in copies."""
        with body.payload.region() as region:
            first = next(region.chunks(), b"")
            if self._interrupted() or not self._push([*head, first] if first else head):
                return False
            left = region.skip(len(first))
            while left.length > COPIED_TAIL:
                count = None if self._interrupted() else self._push_from(left)
                if count is None:
                    return False
                if not count:
                    break
                left = left.skip(count)
            for block in left.chunks():
                if self._interrupted() or not self._push([block]):
                    return False
                left = left.skip(len(block))
            if left.length:
                gave = f"{region.length - left.length} of {region.length} bytes"
                raise PayloadLengthError(f"{body.payload!r} gave {gave}")
        return True

    def _push_from(self, region: Region) -> int | None:
        """Send of a file what goes, at least one byte; 0 at its end, None when refused."""
        size = min(FILE_STEP, region.length)
        while not self._refused():
            self._clock.remaining("sending")
            try:
                # Asked for after each wait: the number of a file closed meanwhile may be another's.
                number = region.file.fileno()
                sent = self._transport.send_file(number, region.start, size)
            except TransportError as exc:
                self._broken(exc)
                return None
            except OSError as exc:
                if exc.errno not in NO_SENDFILE:
                    raise
                block = next(region.chunks(), b"")
                return len(block) if not block or self._push([block]) else None
            if sent is not None:
                self.sent_bytes += sent
                return sent
            if not self._wait_to_send():
                break
        return None

    def _source_has_more(self, body: Outgoing) -> bool:
        """Wait for the caller's source where that can be done; False when the peer refused."""
        doing = "waiting for the payload"
        self._clock.remaining(doing)
        waits_on = body.payload.waits_on
        while waits_on is not None:
            listening = self._listening
            beside = self._transport.wait_beside(waits_on, self._clock, doing, listening=listening)
            if beside is WaitResult.SOURCE:
                break
            if beside is WaitResult.GONE:
                return self._broken(TransportError(f"the peer went away while {doing}"))
            self._read_early()
            if self._refused():
                return False
        return True

    def _next(self, pieces: Iterator[list[Buffer]]) -> list[Buffer] | None:
        """The next piece out of the caller's source; what it raises is none of the network's."""
        self.in_source = True
        buffers = next(pieces, None)
        self.in_source = False
        return buffers

    def _interrupted(self) -> bool:
        """Read what the peer has to say between two pieces; whether it ends the sending."""
        if self._rested and not self.sent_bytes and not self._transport.quiet():
            raise TransportError(f"the resting connection to {self._clock.peer} was closed")
        if self._listening and self._transport.readable():
            self._read_early()
            return self._refused()
        return False

    def _push(self, buffers: list[Buffer]) -> bool:
        """Send all of these, reading meanwhile; False when the peer ended it."""
        transport = self._transport
        buffers = transport.joined(buffers)
        cut: memoryview | None = None
        try:
            while True:
                try:
                    count = transport.send(buffers)
                except TransportError as exc:
                    return self._broken(exc)
                self.sent_bytes += count
                if count:
                    cut = _drop(buffers, count)
                    if not buffers:
                        return True
                    if cut is None:
                        continue
                # What went in part has filled the connection: to ask again would send nothing.
                if not self._wait_to_send():
                    return False
        finally:
            # A traceback would hold on to views of what is the caller's to resize or to close; it
            # has ``ssl``'s own frames too, which cannot be made to let go.
            buffers.clear()
            if cut is not None:
                cut.release()

    def _wait_to_send(self) -> bool:
        """Wait until something can be sent, or read what the peer says; False when it ends it."""
        events = WRITE | READ if self._listening else WRITE
        try:
            ready = self._transport.wait(events, self._clock, "sending")
        except IdleTimeout as exc:
            if self.answer.head is None:
                raise
            return self._broken(exc)
        if ready & READ:
            self._read_early()
        return not self._refused()

    def _told_to_go_on(self) -> bool:
        """Wait a moment for 100 Continue; whether the body is to be sent."""
        end = monotonic() + CONTINUE_SECONDS
        try:
            while not self.answer.to_go_on and self.answer.head is None:
                patience = self._clock.with_idle(max(0.0, end - monotonic()))
                self._transport.wait_readable(patience, "waiting for 100 Continue")
                self._read_early()
        except IdleTimeout:
            return True
        return not self._refused()

    def _broken(self, exc: TransportError) -> bool:
        """The peer takes no more: what it said before it went away decides what that means."""
        try:
            while self.answer.head is None:
                self._transport.wait_readable(self._clock, "reading a refusal")
                self._read_early()
        except (TransportError, ResponseError) as said:
            why = said if isinstance(said, TLSError) else exc  # an alert tells more than a reset
            try:
                raise why from why.__cause__
            finally:
                del why, exc  # or they would keep themselves, by a traceback and this frame
        if not self._refused():
            self.failure = self._left_half_way(self.answer.head.status, exc)
            self.failure.__cause__ = exc
        return False

    def _left_half_way(self, status: int, exc: TransportError) -> TransportError:
        """What to raise for a peer that went away, or fell silent, after an answer of 2xx."""
        kind = IdleTimeout if isinstance(exc, IdleTimeout) else TransportError
        sent = self._sending.so_far(self.sent_bytes)
        return kind(
            f"{self._clock.peer} answered {status} after {sent} of the payload, and took no more",
            sent="part",
        )

    def _refused(self) -> bool:
        head = self.answer.head
        return head is not None and head.status >= 300

    # Receiving

    def _read_head(self) -> ResponseHead:
        transport, answer, clock = self._transport, self.answer, self._clock
        while answer.head is None:
            transport.wait_readable(clock, "waiting for the answer")
            data = transport.receive(BLOCK)
            if data is None:
                continue
            if not data:
                answer.end()
            if not self.first_byte_at:
                self.first_byte_at = perf_counter()
            self.pieces = answer.feed(data)
        return answer.head

    def _read_early(self) -> None:
        """Take what the peer says while we are sending."""
        try:
            data = self._transport.receive(BLOCK)
        except TransportError:
            # Once the answer is there, the sending is to find out, and to say how far it came.
            if self.answer.head is None or self._transport.aborted:
                raise
            data = b""
        if data is None:
            return
        if not data:
            if self.answer.head is None:
                self.answer.end()
            self._listening = False
            return
        if not self.first_byte_at:
            self.first_byte_at = perf_counter()
        for piece in self.answer.feed(data):
            if self.early is None:
                self.early = self._sending.new_spool()
            self.early.append(piece)
        self._listening = not self.answer.done


def _drop(buffers: list[Buffer], count: int) -> memoryview | None:
    """Take the first ``count`` bytes out of the buffers; what is left of one that was cut."""
    while buffers:
        size = len(buffers[0])
        if count < size:
            buffers[0] = cut = memoryview(buffers[0])[count:]
            return cut
        count -= size
        del buffers[0]
    return None
