"""The base class of payloads, and wrappers around another payload.

Each iteration over a payload is one pass over its bytes, for one attempt. A sender reads
``length`` and ``headers``, iterates once, and calls ``trailers()`` after the last chunk. Before
another attempt it calls ``can_send()``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import TypeAlias

from restkit.errors import PayloadLengthError, PayloadNotReplayable
from restkit.io.buffers import Buffer, close_if_possible, flat_view

OCTET_STREAM: tuple[tuple[str, str], ...] = (("Content-Type", "application/octet-stream"),)

CheckTime: TypeAlias = Callable[[], object]
"""A function to call between two chunks: it raises an error when the time is over."""

_MAX_COPIED = 64 * 1024


class Payload(ABC):
    r"""Base class of everything that can be sent.

    A subclass writes ``chunks()`` and may set these, on the class or on the instance:

    ``length``: the number of bytes; None if unknown, 0 if empty. ``replayable``: whether it can
    be iterated again, from the same first byte. ``headers``: fields for the head, where the
    caller gives none. ``source``: the origin of the bytes, for ``repr`` and errors; never the
    bytes themselves. ``trailer_names``: the fields that ``trailers()`` will return and the head
    announces; they go into the head itself if the whole payload is read before it is sent.

    >>> class Lines(Payload):
    ...     replayable = True
    ...     headers = (('Content-Type', 'text/plain'),)
    ...     def chunks(self):
    ...         yield from (b'%d\n' % number for number in range(3))
    >>> b''.join(Lines())
    b'0\n1\n2\n'
    """

    length: int | None = None
    replayable: bool = False
    headers: Sequence[tuple[str, str]] = OCTET_STREAM
    source: str = ""
    trailer_names: Sequence[str] = ()
    _started = False
    _has_sent = False

    @abstractmethod
    def chunks(self) -> Iterator[Buffer]:
        """Yield the bytes from the first one on; close opened resources in ``finally``.

        Chunks may be empty, and of any size. A chunk may be changed or released as soon as the
        next one is requested.
        """

    def trailers(self) -> Sequence[tuple[str, str]]:
        """Return the fields to send after the last byte. Called then, for chunked bodies only."""
        return ()

    @property
    def started(self) -> bool:
        """Whether a pass has begun: its first chunk was requested."""
        return self._started

    @property
    def waits_on(self) -> int | None:
        """A file descriptor that becomes readable when the next chunk is available.

        None if no descriptor shows that. It may change between two chunks.
        """
        return None

    def __iter__(self) -> Iterator[Buffer]:
        """Yield the chunks that are not empty, counted against ``length``.

        The chunk that reaches ``length`` is held back until ``chunks()`` has ended, so that a
        payload that is too long never completes a request. A chunk is valid until the next one
        is requested. Raises PayloadNotReplayable for a second pass over a payload that has only
        one, PayloadLengthError for a wrong length, and any exception of the source.
        """
        # One generator for all checks: each additional one costs a call for each chunk.
        self._start_pass()
        length = left = self.length
        empty, last = True, b""
        chunks = self.chunks()
        try:
            for chunk in chunks:
                data, view = chunk, None
                if type(chunk) is not bytes and type(chunk) is not bytearray:
                    data = view = flat_view(chunk)
                try:
                    if not data:
                        continue
                    if empty:
                        # Set at once: a pass that is broken off has sent something too.
                        empty, self._has_sent = False, True
                    if left is None or (left := left - len(data)) > 0:
                        yield data
                    elif left == 0:
                        last = yield from _all_but_last(data)
                    else:
                        size = format_size(length or 0)
                        raise PayloadLengthError(f"{self!r} produced more than {size}")
                finally:
                    if view is not None:
                        view.release()
            self._check_end(length, left, empty=empty)
            if last:
                yield last
        finally:
            close_if_possible(chunks)

    def _check_end(self, length: int | None, left: int | None, *, empty: bool) -> None:
        if length is not None and left:
            raise PayloadLengthError(f"{self!r} produced {length - left} of {format_size(length)}")
        if length is None and empty and self._has_sent:
            raise PayloadNotReplayable(
                f"{self!r} produced nothing, but an earlier pass did: it cannot be sent again"
            )

    def _start_pass(self) -> None:
        check_sendable(self)
        token = object()
        # One atomic step instead of a lock, which a fork could leave held: one of two threads wins.
        attributes: dict[str, object] = vars(self)
        if attributes.setdefault("_first_pass", token) is not token and not self.replayable:
            raise _sent_already_error(self)
        self._started = True

    def __repr__(self) -> str:
        source = f" {self.source}" if self.source else ""
        size = "of unknown length" if self.length is None else format_size(self.length)
        once = "one pass, begun" if self.started else "one pass"
        again = "replayable" if self.replayable else once
        return f"<{type(self).__name__}{source} {size}, {again}>"


def _all_but_last(data: Buffer) -> Generator[Buffer, None, bytes]:
    """Yield most of a large chunk, and return its last bytes as a copy.

    The source may fill the same buffer again before the last bytes are sent, so they are copied.
    """
    if type(data) is bytes:
        return data
    with memoryview(data) as view:
        at = max(0, len(view) - _MAX_COPIED)
        if at:
            with view[:at] as early:
                yield early
        return bytes(view[at:])


def check_sendable(payload: Payload) -> None:
    """Raise PayloadNotReplayable if the payload has only one pass and that has begun."""
    if payload.started and not payload.replayable:
        raise _sent_already_error(payload)


def _sent_already_error(payload: Payload) -> PayloadNotReplayable:
    return PayloadNotReplayable(
        f"{payload!r} can be sent once, and was sent already: it cannot be sent again"
    )


def can_send(payload: Payload | None) -> bool:
    """Whether the payload can be sent, or sent again, from its first byte."""
    return payload is None or payload.replayable or not payload.started


def format_size(length: int) -> str:
    """Return '1 byte' or '20 bytes'."""
    return "1 byte" if length == 1 else f"{length} bytes"


class PayloadWrapper(Payload):
    """A payload made from another one. It is replayable if the inner payload is."""

    def __init__(self, payload: Payload) -> None:
        self.length = payload.length
        self.replayable = payload.replayable
        self.headers = payload.headers
        self.trailer_names = payload.trailer_names
        self.source = f"of {payload!r}"
        self._payload = payload

    @property
    def started(self) -> bool:
        return self._payload.started

    @property
    def waits_on(self) -> int | None:
        return self._payload.waits_on

    def trailers(self) -> Sequence[tuple[str, str]]:
        return self._payload.trailers()

    def chunks(self) -> Iterator[Buffer]:
        return iter(self._payload)


class TransparentWrapper(PayloadWrapper):
    """The bytes of another payload, unchanged; for subclasses that change or observe the rest."""

    def __iter__(self) -> Iterator[Buffer]:
        # The inner payload counts its bytes, and raises for a second pass that it cannot make.
        return self.chunks()


class DeclaredLength(PayloadWrapper):
    """A payload that is checked against the ``Content-Length`` that the caller declared.

    Raises PayloadLengthError at once if the payload has another length. A payload of unknown length
    is counted while it is sent; its last chunk is sent only after the source has ended.
    """

    def __init__(self, payload: Payload, length: int) -> None:
        if payload.length is not None and payload.length != length:
            raise PayloadLengthError(
                f"{payload!r} does not have the declared length of {format_size(length)}"
            )
        super().__init__(payload)
        self.length = length
        self.source = f"for {payload!r}"

    def __iter__(self) -> Iterator[Buffer]:
        # A payload with a length counts its bytes itself.
        return super().__iter__() if self._payload.length is None else iter(self._payload)
