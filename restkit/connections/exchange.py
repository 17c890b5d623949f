"""Send one request and read its response at the same time.

The caller's source is read on the caller's thread, one chunk at a time, and never while another
chunk waits to be sent. What the server sends meanwhile is received at once: a final status of 300
or more ends the sending; the body of any other response goes into a spool. So a server that echoes
never waits for the client while the client waits for the server. At the limit of that spool, the
client only sends until the payload has ended.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from time import monotonic, perf_counter

from restkit.connections.outgoing import FileFraming, FramedPayload, OutgoingRequest
from restkit.errors import (
    IdleTimeout,
    PayloadLengthError,
    ResponseError,
    Sent,
    TLSError,
    TransportError,
)
from restkit.http1.framing import keeps_alive
from restkit.http1.response_head import ResponseHead
from restkit.http1.response_reader import ResponseReader
from restkit.io.buffers import Buffer, close_if_possible, drop_sent
from restkit.io.files import Region
from restkit.io.sockets import BLOCK, COPIED_TAIL, NO_SENDFILE, READ, WRITE
from restkit.io.spool import Spool
from restkit.network.transport import Transport, WaitResult
from restkit.timeouts import Deadline

CONTINUE_SECONDS = 1.0
FILE_STEP = 1024 * 1024


class Exchange:
    """The state of one exchange, until its final head is received."""

    __slots__ = (
        "_deadline",
        "_listening",
        "_request",
        "_reused",
        "_transport",
        "all_sent",
        "early",
        "failure",
        "first_byte_at",
        "reading_payload",
        "received",
        "response",
        "sent_at",
        "sent_bytes",
    )

    def __init__(
        self, transport: Transport, request: OutgoingRequest, deadline: Deadline, *, reused: bool
    ) -> None:
        self._transport = transport
        self._request = request
        self._deadline = deadline
        self._reused = reused
        self.response = ResponseReader(request.method)
        self.received: Sequence[Buffer] = ()
        self.early: Spool | None = None
        self.failure: TransportError | None = None
        self.sent_bytes = 0
        self.all_sent = False
        self.reading_payload = False
        self._listening = True
        self.sent_at = 0.0
        self.first_byte_at = 0.0

    @property
    def sent(self) -> Sent:
        """The part of the request that was sent: 'nothing', 'part' or 'all'."""
        if self.all_sent:
            return "all"
        return "part" if self.sent_bytes else "nothing"

    @property
    def keeps_alive(self) -> bool:
        """Whether another request can follow: all was sent, and neither side closes."""
        head = self.response.head
        return self.all_sent and not self._request.closes and head is not None and keeps_alive(head)

    @property
    def body_is_out(self) -> bool:
        """Whether the response was returned, and its body is still to be received."""
        return bool(self.sent_at) and self.response.head is not None and not self.response.done

    @property
    def request_line(self) -> tuple[str, str]:
        """Method and target, as they were sent."""
        return self._request.method, self._request.target

    def run(self) -> ResponseHead:
        """Send the request, read until the final head is received, and return the head.

        Raises network errors, errors of an invalid response, and the exceptions of the payload's
        source. If the server responds with a status below 300 but stops reading the payload, the
        head is returned and ``failure`` is set.
        """
        request = self._request
        if request.body is None:
            self.all_sent = self._send_all([request.head])
        else:
            self.all_sent = self._send_body(request, request.body)
        self.sent_at = perf_counter()
        return self._read_head()

    # Sending

    def _send_body(self, request: OutgoingRequest, body: FramedPayload) -> bool:
        """Send head and body; return False when a response ended the sending."""
        head: list[Buffer] = [request.head]
        if request.expects_continue:
            if not (self._send_all(head) and self._wait_for_continue()):
                return False
            head = []
        elif not body.payload.replayable:
            # A source that can be read once may take long: send the head before it is read.
            if not self._send_all(head):
                return False
            head = []
        if isinstance(body, FileFraming) and self._transport.sends_files:
            return self._send_file(head, body)
        chunks = iter(body)
        try:
            # No wait after the last chunk: the payload is complete when a response arrives.
            while body.complete or self._wait_for_source(body):
                buffers = self._next_chunk(chunks)
                if buffers is None:
                    return not head or self._send_all(head)
                if head:
                    buffers[:0] = head
                    head = []
                if self._response_ended_sending() or not self._send_all(buffers):
                    return False
            return False
        finally:
            close_if_possible(chunks)

    def _send_file(self, head: list[Buffer], body: FileFraming) -> bool:
        """Send the head with the first chunk, use ``sendfile``, and copy the last bytes."""
        with body.payload.region() as region:
            first = next(region.chunks(), b"")
            if self._response_ended_sending() or not self._send_all(
                [*head, first] if first else head
            ):
                return False
            rest = region.skip(len(first))
            while rest.length > COPIED_TAIL:
                count = None if self._response_ended_sending() else self._send_from_file(rest)
                if count is None:
                    return False
                if not count:
                    break
                rest = rest.skip(count)
            for chunk in rest.chunks():
                self._deadline.remaining("sending")
                if self._response_ended_sending() or not self._send_all([chunk]):
                    return False
                rest = rest.skip(len(chunk))
            if rest.length:
                sent = region.length - rest.length
                raise PayloadLengthError(
                    f"{body.payload!r} became shorter: {sent} of {region.length} bytes were read"
                )
        return True

    def _send_from_file(self, region: Region) -> int | None:
        """Send at least one byte of a file; return the count, 0 at its end, None if refused."""
        size = min(FILE_STEP, region.length)
        while not self._is_refused():
            self._deadline.remaining("sending")
            try:
                # After a wait, the file may be closed and its descriptor may be another file's.
                descriptor = region.file.fileno()
                sent = self._transport.send_file(descriptor, region.start, size)
            except TransportError as exc:
                self._on_send_failure(exc)
                return None
            except OSError as exc:
                if exc.errno not in NO_SENDFILE:
                    raise
                chunk = next(region.chunks(), b"")
                return len(chunk) if not chunk or self._send_all([chunk]) else None
            if sent is not None:
                self.sent_bytes += sent
                return sent
            if not self._wait_to_send():
                break
        return None

    def _wait_for_source(self, body: FramedPayload) -> bool:
        """Wait until the caller's source can be read, if it has a descriptor to poll.

        Returns False when a response ended the sending.
        """
        doing = "waiting for the payload"
        self._deadline.remaining(doing)
        waits_on = body.payload.waits_on
        while waits_on is not None:
            result = self._transport.wait_for_source(
                waits_on, self._deadline, doing, listening=self._listening
            )
            if result is WaitResult.SOURCE:
                break
            if result is WaitResult.GONE:
                return self._on_send_failure(
                    TransportError(f"the server closed the connection while {doing}")
                )
            self._read_early()
            if self._is_refused():
                return False
        return True

    def _next_chunk(self, chunks: Iterator[list[Buffer]]) -> list[Buffer] | None:
        """Return the next chunk of the payload; ``reading_payload`` marks errors of its source."""
        self.reading_payload = True
        buffers = next(chunks, None)
        self.reading_payload = False
        return buffers

    def _response_ended_sending(self) -> bool:
        """Receive what the server sent between two chunks; return whether it ends the sending."""
        if self._reused and not self.sent_bytes and not self._transport.is_idle():
            raise TransportError(f"the idle connection to {self._deadline.peer} was closed")
        if self._listening and self._transport.is_readable():
            self._read_early()
            return self._is_refused()
        return False

    def _send_all(self, buffers: list[Buffer]) -> bool:
        """Send all buffers, and receive meanwhile; return False if a response ended the sending."""
        transport = self._transport
        buffers = transport.coalesce(buffers)
        cut: memoryview | None = None
        try:
            while True:
                try:
                    count = transport.send(buffers)
                except TransportError as exc:
                    return self._on_send_failure(exc)
                self.sent_bytes += count
                if count:
                    cut = drop_sent(buffers, count)
                    if not buffers:
                        return True
                    if cut is None:
                        self._deadline.remaining("sending")
                        continue
                # A partial send has filled the send buffer: another send would send nothing.
                if not self._wait_to_send():
                    return False
        finally:
            # A traceback, also one with frames of ``ssl``, keeps these views alive. The caller
            # could then neither resize the buffer nor close the file that they belong to.
            buffers.clear()
            if cut is not None:
                cut.release()

    def _wait_to_send(self) -> bool:
        """Wait until something can be sent, and receive meanwhile; return False if refused."""
        events = WRITE | READ if self._listening else WRITE
        try:
            ready = self._transport.wait(events, self._deadline, "sending")
        except IdleTimeout as exc:
            if self.response.head is None:
                raise
            return self._on_send_failure(exc)
        if ready & READ:
            self._read_early()
        return not self._is_refused()

    def _wait_for_continue(self) -> bool:
        """Wait at most CONTINUE_SECONDS for 100 Continue; return whether to send the body."""
        end = monotonic() + CONTINUE_SECONDS
        try:
            while not self.response.got_continue and self.response.head is None:
                deadline = self._deadline.with_idle(max(0.0, end - monotonic()))
                self._transport.wait_readable(deadline, "waiting for 100 Continue")
                self._read_early()
        except IdleTimeout:
            return True
        return not self._is_refused()

    def _on_send_failure(self, exc: TransportError) -> bool:
        """Read the response after sending failed; return False, or raise if there is none."""
        try:
            while self.response.head is None:
                self._transport.wait_readable(self._deadline, "reading an early response")
                self._read_early()
        except (TransportError, ResponseError) as error:
            # A TLS alert explains more than the reset that follows it.
            reason = error if isinstance(error, TLSError) else exc
            try:
                raise reason from reason.__cause__
            finally:
                del reason, exc  # a traceback and this frame would keep each other alive
        if not self._is_refused():
            self.failure = self._partial_upload_error(self.response.head.status, exc)
            self.failure.__cause__ = exc
        return False

    def _partial_upload_error(self, status: int, exc: TransportError) -> TransportError:
        """Return the error for a server that responded 2xx and stopped reading the payload."""
        kind = IdleTimeout if isinstance(exc, IdleTimeout) else TransportError
        sent = self._request.describe_sent(self.sent_bytes)
        message = (
            f"{self._deadline.peer} responded {status} after {sent} of the payload, "
            "and stopped reading"
        )
        if self.early is not None and self._is_early_full():
            message += (
                f"; it may wait for restkit, which had received {self.early.size} bytes of the "
                "body and receives more only after the payload (max_early_body, max_body)"
            )
        return kind(message, sent="part")

    def _is_refused(self) -> bool:
        """Whether a final response of 300 or more was received: the rest is not sent."""
        head = self.response.head
        return head is not None and head.status >= 300

    # Receiving

    def _read_head(self) -> ResponseHead:
        transport, response, deadline = self._transport, self.response, self._deadline
        while response.head is None:
            transport.wait_readable(deadline, "waiting for the response")
            data = transport.receive(BLOCK)
            if data is None:
                continue
            if not data:
                response.end()
            if not self.first_byte_at:
                self.first_byte_at = perf_counter()
            self.received = response.feed(data)
        return response.head

    def _read_early(self) -> None:
        """Receive what the server sends while the request is being sent."""
        try:
            data = self._transport.receive(BLOCK)
        except TransportError:
            # Once there is a head, the next send fails too, and reports how much was sent.
            if self.response.head is None or self._transport.aborted:
                raise
            data = b""
        if data is None:
            return
        if not data:
            if self.response.head is None:
                self.response.end()
            self._listening = False
            return
        if not self.first_byte_at:
            self.first_byte_at = perf_counter()
        for chunk in self.response.feed(data):
            if self.early is None:
                self.early = self._request.new_spool()
            self.early.append(chunk)
        self._listening = not (self.response.done or self._is_early_full())

    def _is_early_full(self) -> bool:
        """Whether the body has reached the limit for a payload that is still being sent."""
        limit = self._request.early_limit
        return self.early is not None and limit is not None and self.early.size >= limit
