"""A received body: read from its source once, and kept in a spool or not at all."""

from __future__ import annotations

import sys
from abc import abstractmethod
from collections.abc import Callable, Sequence
from enum import Enum
from threading import RLock
from typing import Protocol
from weakref import WeakSet

from restkit.errors import AlreadyRead, BodyTooLarge, Error, TransportError, copy_without_traceback
from restkit.io.buffers import Buffer, Source
from restkit.io.files import CHUNK_SIZE
from restkit.io.processes import run_in_forked_child
from restkit.io.spool import Spool, SpoolPart

_CLOSED = (
    "the body cannot be read: the response was closed before its whole body was received. Read "
    "body, text or json(), or save() it, before close() and inside the with block"
)
_SKIPPED = (
    "the body was discarded, by skip_body() or because the call sent another request after this "
    "response. To read such a body, use follow_redirect=False for a redirect, and no retries= or "
    "auth= for another status"
)


class Arrival(Protocol):
    """The progress of receiving the bytes of a body, before they are decoded."""

    @property
    @abstractmethod
    def done(self) -> bool:
        """Whether the whole body was received, so that reading it needs no connection."""

    @property
    def error(self) -> Error | None:
        """The error that ended receiving, or None."""


class _Mode(Enum):
    """The state of a body: unread, read through the spool, or read live and not kept."""

    UNREAD = 0
    SPOOLED = 1
    LIVE = 2


class Body:
    """A received body: a spool with the bytes received so far, and the source of the rest.

    Each reader has a position of its own; readers may be in different threads. ``length`` is the
    length of the whole body if it is known in advance; ``arrival`` is the progress of receiving the
    body; ``decodes`` says that the source decodes, which ``skip`` avoids;
    ``payload_headers`` are sent with the body when it becomes a payload;
    ``annotate_error`` completes an error before it is raised.

    The first read decides: a body that is read through the spool can be read again by everyone;
    the bytes of a live read are discarded after it.
    """

    def __init__(
        self,
        spool: Spool | SpoolPart,
        source: Source | None,
        *,
        length: int | None = None,
        arrival: Arrival | None = None,
        max_size: int | None = None,
        decodes: bool = False,
        payload_headers: Sequence[tuple[str, str]] = (),
        annotate_error: Callable[[Error], None] | None = None,
    ) -> None:
        self.length = spool.size if source is None else length
        self.payload_headers = payload_headers
        self._spool = spool
        self._source = source
        self._arrival = arrival
        self._max_size = max_size
        self._decodes = decodes
        self._mode = _Mode.UNREAD
        self._live_reader: object = None
        self._discarded = 0
        self._error: BaseException | None = None
        self._closed = False
        self._skipped = False
        # _lock guards the state and is held briefly. _source_lock is held while a thread waits for
        # the source; other threads can read spooled bytes meanwhile. A thread that needs both takes
        # _source_lock first.
        self.replace_locks()
        _bodies.add(self)
        self._annotate_error = annotate_error
        if max_size is not None and max(spool.size, self.length or 0) > max_size:
            self._fail_as_too_large()

    def replace_locks(self) -> None:
        """Make new locks. In a forked child, a thread that does not exist may hold the old ones."""
        self._is_reading = False
        self._lock = RLock()
        self._source_lock = RLock()

    @property
    def is_complete(self) -> bool:
        """Whether the whole body is in the spool, or can be read without the network."""
        is_received = (
            self._source is None
            or self._spool.size == self.length
            or (self._arrival is not None and self._arrival.done)
        )
        return is_received and not self._discarded and not self._closed

    @property
    def is_unread(self) -> bool:
        """Whether nothing of the body was read."""
        return self._mode is _Mode.UNREAD

    @property
    def is_readable(self) -> bool:
        """Whether the body can be read from its beginning: not discarded and not closed."""
        return self._mode is not _Mode.LIVE and not self._discarded and not self._closed

    @property
    def spooled_size(self) -> int:
        """The number of bytes in the spool."""
        return self._spool.size

    def check_readable(self) -> None:
        """Raise the error of a body that cannot be read from its beginning."""
        if not self.is_readable:
            raise self._unavailable_error()

    # Reads from the spool

    def read_into(self, position: int, view: memoryview) -> int:
        """Fill ``view`` from ``position`` on, reading the source if needed; return 0 at the end."""
        count = self._read_spooled(position, view)
        if count:
            return count
        with self._source_lock:
            # Another reader may have spooled it meanwhile.
            while not (count := self._read_spooled(position, view)):
                if position == self._spool.size:
                    return self._pull_into(view)
                if not self._pull_into(memoryview(bytearray(CHUNK_SIZE))):
                    return 0
            return count

    def spool_all(self) -> int:
        """Read the whole body into the spool; return its size."""
        with self._source_lock:
            with self._lock:
                self._claim_for_spool()
            if self._source is not None or self._discarded or self._error is not None:
                view = memoryview(bytearray(CHUNK_SIZE))
                while self._pull_into(view):
                    pass
            return self._spool.size

    def read_all(self) -> bytes:
        """Return the whole body."""
        size = self.spool_all()
        with self._lock:
            self._claim_for_spool()
            return self._spool.read_at(0, size)

    def _read_spooled(self, position: int, view: memoryview) -> int:
        with self._lock:
            self._claim_for_spool()
            return self._spool.read_into(position, view) if position < self._spool.size else 0

    def _claim_for_spool(self) -> None:
        if self._closed or self._mode is _Mode.LIVE:
            raise self._unavailable_error()
        if self._mode is _Mode.UNREAD:
            self._mode = _Mode.SPOOLED

    def _pull_into(self, view: memoryview) -> int:
        self._check_not_reading()
        if self._discarded:
            raise self._unavailable_error()
        try:
            # One try block for both: an interrupt between them must not lose the bytes.
            count = self._read_source(view)
            with self._lock:
                self._claim_for_spool()  # the body may have been closed meanwhile
                self._spool.append(view[:count])
        except BaseException as exc:
            self._fail(exc)
            raise
        return count

    # Live reads

    def read_live_into(self, reader: object, position: int, view: memoryview) -> int:
        """Fill ``view`` from ``position`` on, from the spool or live; return 0 at the end."""
        with self._lock:
            if position < self._spool.size and self._mode is _Mode.SPOOLED:
                return self._spool.read_into(position, view)
        with self._source_lock:
            with self._lock:
                self._claim_for_live(reader)
                if position < self._spool.size:
                    return self._spool.read_into(position, view)
            self._check_nothing_missed(position)
            try:
                count = self._read_source(view)
            except BaseException as exc:
                self._fail(exc)
                raise
            self._discarded += count
            return count

    def read_live_chunk(self, reader: object, position: int) -> Buffer:
        """Return the next chunk from ``position`` on, spooled or live; ``b''`` at the end."""
        with self._lock:
            if position < self._spool.size and self._mode is _Mode.SPOOLED:
                return self._spool.read_at(position, CHUNK_SIZE)
        with self._source_lock:
            with self._lock:
                self._claim_for_live(reader)
                if position < self._spool.size:
                    return self._spool.read_at(position, CHUNK_SIZE)
            self._check_nothing_missed(position)
            source = self._open_source()
            chunk = self._read_source_chunk(source) if source is not None else b""
            self._discarded += len(chunk)
            return chunk

    def _check_nothing_missed(self, position: int) -> None:
        """Raise if an interrupt made the reader lose bytes that were read for it."""
        self._check_not_reading()
        if position != self._spool.size + self._discarded:
            raise self._unavailable_error()

    def _claim_for_live(self, reader: object) -> None:
        if self._closed:
            raise self._unavailable_error()
        if self._mode is _Mode.UNREAD:
            self._mode = _Mode.LIVE
            self._live_reader = reader
        elif self._mode is _Mode.SPOOLED:
            if self._discarded and self._live_reader is not reader:
                raise self._unavailable_error()
            self._live_reader = reader
        elif self._live_reader is not reader:
            raise self._unavailable_error()

    # The source

    def _check_not_reading(self) -> None:
        """Raise if this thread is inside a read: a signal handler or a callback reads again.

        The thread holds ``_source_lock``, so that no other thread is reading. The first read goes
        on, and receives all bytes.
        """
        if self._is_reading:
            raise self._annotate(reentrant_error())

    def _open_source(self) -> Source | None:
        """Return the source, None after its end; raise the error of a broken or closed one."""
        source = self._source
        if self._error is not None or self._closed:
            raise self._unavailable_error()
        return source

    def _read_source(self, view: memoryview) -> int:
        source = self._open_source()
        if source is None:
            return 0
        self._is_reading = True
        try:
            count = source.readinto(view)
        finally:
            self._is_reading = False
        self._check_size(self._spool.size + self._discarded + count)
        if not count:
            self._source = None
        return count

    def _read_source_chunk(self, source: Source) -> Buffer:
        try:
            self._is_reading = True
            try:
                chunk = source.read_chunk()
            finally:
                self._is_reading = False
            self._check_size(self._spool.size + self._discarded + len(chunk))
        except BaseException as exc:
            self._fail(exc)
            raise
        if not chunk:
            self._source = None
        return chunk

    def _check_size(self, size: int) -> None:
        if self._max_size is not None and size > self._max_size:
            raise BodyTooLarge(f"the body is larger than max_body, {self._max_size} bytes")

    def _fail_as_too_large(self) -> None:
        """Keep nothing, and raise BodyTooLarge at every read."""
        self._spool.close()
        try:
            self._check_size(sys.maxsize)
        except BodyTooLarge as exc:
            self._fail(exc)

    def _fail(self, exc: BaseException) -> None:
        """Keep the error for every later call, and close the source."""
        if not isinstance(exc, (Error, OSError)):
            exc = TransportError("reading the body was interrupted")
        self._annotate(exc)
        if self._closed:
            return  # every later call raises the error of a closed body
        self._keep_error(exc)
        source = self._source
        if source is not None:
            source.close()

    def _keep_error(self, exc: BaseException) -> None:
        # Keep a copy: the raised error refers to its frames, and perhaps to the response, and so
        # to this body.
        self._error = copy_without_traceback(exc)
        if isinstance(self._error, Error):
            self._error.response = None

    def fail_live_reader(self, reader: object, exc: BaseException) -> None:
        """Keep an error if ``reader``, which has lost bytes, is the only reader of the body."""
        if self._is_only_reader(reader) and self._error is None:
            self._fail(exc)

    def interrupted_error(self) -> BaseException:
        """Return the error of a reader that has lost bytes by an interrupt."""
        if self._error is not None or not self.is_readable:
            return self._unavailable_error()
        return self._annotate(
            TransportError(
                "reading this file was interrupted, and bytes were lost: seek() to a position, or "
                "read the body by tee() or body"
            )
        )

    # Closing

    def _is_only_reader(self, reader: object) -> bool:
        return (self._mode is _Mode.LIVE or self._discarded > 0) and self._live_reader is reader

    def close_live_reader(self, reader: object) -> None:
        """Close the body if ``reader`` is its live reader, so that no other can read the rest."""
        if self._is_only_reader(reader) and self._source is not None:
            self.close()

    def skip(self, limit: int) -> None:
        """Discard the rest if it is not much longer than ``limit``; otherwise close.

        A body whose source decodes is closed, so that an unread body is not decoded.
        The body cannot be read afterwards, unless the whole body is in the spool.
        """
        with self._source_lock:
            if self._mode is _Mode.SPOOLED and self.is_complete:
                return
            self._check_not_reading()
            self._skipped = True
            with self._lock:
                self._mode = _Mode.LIVE
                self._live_reader = None
            received = self._spool.size + self._discarded
            if self._decodes or (self.length is not None and self.length - received > limit):
                self.close()
            end = self._discarded + limit
            try:
                while (source := self._source) and (chunk := self._read_source_chunk(source)):
                    self._discarded += len(chunk)
                    if self._discarded > end:
                        self.close()
            except Error:
                self.close()  # the caller does not need the rest

    def close(self) -> None:
        """Close the source and the spool, from any thread, even while another thread reads.

        A body that was received completely stays readable, in memory or in its file, which is
        closed when the body is garbage collected.
        """
        if self._error is None and (self.is_complete or self._source is None):
            return  # nothing is left to receive
        source, arrival = self._source, self._arrival
        if self._error is None and arrival is not None and arrival.error is not None:
            self._keep_error(arrival.error)
        self._closed = True
        if source is not None:
            source.close()
        with self._lock:
            self._source = None
            self._spool.close()

    def close_with_file(self) -> None:
        """Close the body and its file; a complete body stays readable only if it is in memory."""
        self.close()
        with self._lock:
            if not self._spool.in_memory:
                self._closed = True
                self._spool.close()

    def _unavailable_error(self) -> BaseException:
        """Return the error that says why the body cannot be read (any more)."""
        if self._error is not None:
            return self._annotate(copy_without_traceback(self._error))
        if self._skipped:
            return self._annotate(AlreadyRead(_SKIPPED))
        if self._closed:
            reason = "the body cannot be read: it was closed"
            return self._annotate(AlreadyRead(reason if self._arrival is None else _CLOSED))
        return self._annotate(AlreadyRead("the body was read live, in one pass, and was not kept"))

    def _annotate(self, exc: BaseException) -> BaseException:
        if isinstance(exc, Error) and self._annotate_error is not None:
            self._annotate_error(exc)
        return exc


def reentrant_error() -> AlreadyRead:
    """Return the error for a read inside another read of the same thread."""
    return AlreadyRead(
        "this thread is reading the body already: a signal handler, a finalizer or a callback must "
        "not read the same response. Set a flag there, and read after the first read has returned"
    )


_bodies: WeakSet[Body] = WeakSet()


def _replace_locks() -> None:
    for body in list(_bodies):
        body.replace_locks()


run_in_forked_child(_replace_locks)
