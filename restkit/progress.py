"""Report how many bytes of a payload were sent or of a body were received."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple, TypeAlias

from restkit.errors import RequestError
from restkit.io.buffers import Buffer, Source, close_if_possible
from restkit.payload.base import Payload, TransparentWrapper

ProgressCallback: TypeAlias = Callable[[int, int | None], object]
"""Called with the number of bytes so far and the total, or None if that is unknown."""

_STEP = 256 * 1024  # bytes between two reports


class Progress(NamedTuple):
    """Callbacks for bytes sent and bytes received; called on the thread that sends or receives.

    Payload bytes are counted when they were sent, body bytes when they are received, before they
    are decoded. A callback is called at the start, after every 256 KiB, and at the end. A payload
    that is sent again begins again at 0. An exception of a callback reaches the caller and closes
    the connection.

    >>> from restkit import Client
    >>> from restkit.testing import LocalServer
    >>> def show(done, total):
    ...     print(f'{done} of {total} bytes')
    >>> with LocalServer() as server, Client() as client:
    ...     response = client.post(server.url, b'payload', progress=Progress(sent=show))
    0 of 7 bytes
    7 of 7 bytes
    """

    sent: ProgressCallback | None = None
    received: ProgressCallback | None = None

    def for_payload(self, payload: Payload | None) -> Progress:  # noqa: ARG002  # see below
        """Return the callbacks for a request with this payload."""
        return self


class _SentOrReceived(Progress):
    """One callback: for the payload if there is one, otherwise for the body."""

    __slots__ = ()

    def for_payload(self, payload: Payload | None) -> Progress:
        return Progress(received=self.received) if payload is None else Progress(sent=self.sent)


def as_progress(value: object) -> Progress | None:
    """Convert the option ``progress=``: a Progress, a callable or None; or raise RequestError."""
    if value is None:
        return None
    if isinstance(value, Progress):
        if all(callback is None or callable(callback) for callback in value):
            return value
    elif callable(value):
        return _SentOrReceived(value, value)
    raise RequestError(
        f"progress must be a callable(done, total), Progress(sent=, received=) or None; "
        f"got {value!r}"
    )


class ProgressPayload(TransparentWrapper):
    """A payload that reports the bytes sent, in chunks of at most 256 KiB."""

    def __init__(self, payload: Payload, callback: ProgressCallback) -> None:
        super().__init__(payload)
        self._callback = callback

    def chunks(self) -> Iterator[Buffer]:
        done, reported, total = 0, 0, self.length
        chunks = iter(self._payload)
        try:
            self._callback(0, total)
            for chunk in chunks:
                for step in (chunk,) if len(chunk) <= _STEP else _split(chunk):
                    size = len(step)
                    yield step
                    # The sender requests the next chunk after it has sent this one.
                    done += size
                    if done - reported >= _STEP:
                        self._callback(reported := done, total)
            if done > reported:
                self._callback(done, total)
        finally:
            close_if_possible(chunks)

    def __repr__(self) -> str:
        return repr(self._payload)


def _split(chunk: Buffer) -> Iterator[Buffer]:
    # Each view is released before the next one, so that the owner may then resize its buffer.
    with memoryview(chunk) as view:
        for start in range(0, len(view), _STEP):
            with view[start : start + _STEP] as step:
                yield step


class ProgressSource:
    """A source of a body that reports the bytes received."""

    def __init__(
        self, source: Source, callback: ProgressCallback, received: int, total: int | None
    ) -> None:
        self._source = source
        self._callback = callback
        self._received = received
        self._reported = received
        self._total = total
        self._started = False

    def read_chunk(self) -> Buffer:
        self._start()
        chunk = self._source.read_chunk()
        self._count(len(chunk))
        return chunk

    def readinto(self, view: memoryview) -> int:
        self._start()
        count = self._source.readinto(view)
        self._count(count)
        return count

    def _start(self) -> None:
        if not self._started:
            self._started = True
            self._callback(self._received, self._total)

    def _count(self, size: int) -> None:
        self._received += size
        # A reader that knows the total need not read up to the end.
        ended = not size or self._received == self._total
        if self._received - self._reported >= (1 if ended else _STEP):
            self._reported = self._received
            self._callback(self._received, self._total)

    def close(self) -> None:
        self._source.close()
