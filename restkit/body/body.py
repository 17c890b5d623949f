"""Received bytes, and the one claim on the rest.

The body of a response: pulled from its source once, and kept in a spool or not at all.
"""

from __future__ import annotations

import sys
from enum import Enum
from threading import RLock
from typing import TYPE_CHECKING, Protocol

from restkit.body.files import LiveBodyPayload, SpooledBodyPayload
from restkit.errors import AlreadyRead, BodyTooLarge, Error, TransportError, copy_without_traceback

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from restkit.io.buffers import Buffer
    from restkit.io.spool import Spool
    from restkit.payload.base import Payload


_SCRATCH = 256 * 1024


class Source(Protocol):
    """Where a body comes from: one pass, blocking, ``b''`` or 0 at the end."""

    def read_piece(self) -> Buffer:
        """The next piece as it comes."""

    def readinto(self, view: memoryview) -> int:
        """Fill ``view`` with what comes next, at least one byte."""

    def close(self) -> None:
        """Let go of what is still to come."""


class _Claim(Enum):
    """How a body is being taken: not yet, into the spool, or live and past it."""

    NOT_YET = 0
    SPOOLED = 1
    LIVE = 2


class Body:
    """What has come of a body, in its spool, and its source for the rest.

    Every reader of it has a place of its own; they may be in different threads. ``length`` is
    the length of the whole when it is known beforehand; ``payload_headers`` are what it is to
    be announced with when it is sent on; ``blame`` completes an error.

    The first claim decides: read through the spool, a body can be read again by anyone; taken
    live, what has gone by is gone.
    """

    def __init__(
        self,
        spool: Spool,
        source: Source | None,
        *,
        length: int | None = None,
        max_size: int | None = None,
        payload_headers: Sequence[tuple[str, str]] = (),
        blame: Callable[[Error], None] | None = None,
    ) -> None:
        self.length = spool.size if source is None else length
        self.payload_headers = payload_headers
        self._spool = spool
        self._source = source
        self._max_size = max_size
        self._claim = _Claim.NOT_YET
        self._live_reader: object = None
        self._passed = 0
        self._error: BaseException | None = None
        self._closed = False
        # One for what is here, held for a moment; one for the source, held while it is waited for:
        # what has come can be read meanwhile. Where both are taken, the source's comes first.
        self._lock = RLock()
        self._pulling = RLock()
        self._blame = blame
        if max_size is not None and max(spool.size, self.length or 0) > max_size:
            self._refuse()

    @property
    def complete(self) -> bool:
        """Whether all of it is in the spool."""
        came = self._source is None or self._spool.size == self.length
        return came and not self._passed and not self._closed

    @property
    def untouched(self) -> bool:
        """Whether nobody has taken any of it."""
        return self._claim is _Claim.NOT_YET

    @property
    def readable(self) -> bool:
        """Whether it can be read from its beginning: it has not gone by, nor been let go."""
        return self._claim is not _Claim.LIVE and not self._passed and not self._closed

    @property
    def spooled(self) -> int:
        """How many bytes have come into the spool."""
        return self._spool.size

    # Through the spool

    def read_into(self, position: int, view: memoryview) -> int:
        """Fill ``view`` from ``position`` on, pulling as needed; 0 at the end."""
        count = self._from_spool(position, view)
        if count:
            return count
        with self._pulling:
            # Another reader may have pulled it meanwhile.
            while not (count := self._from_spool(position, view)):
                if position == self._spool.size:
                    return self._pull_into(view)
                if not self._pull_into(memoryview(bytearray(_SCRATCH))):
                    return 0
            return count

    def pull_all(self) -> int:
        """Take the whole into the spool; how many bytes it has."""
        with self._pulling:
            with self._lock:
                self._claim_spool()
            if self._source is not None or self._passed or self._error is not None:
                view = memoryview(bytearray(_SCRATCH))
                while self._pull_into(view):
                    pass
            return self._spool.size

    def content(self) -> bytes:
        """The whole as bytes."""
        size = self.pull_all()
        with self._lock:
            self._claim_spool()
            return self._spool.read_at(0, size)

    def _from_spool(self, position: int, view: memoryview) -> int:
        """Claim the spool, and fill ``view`` with what is there at ``position``, or nothing."""
        with self._lock:
            self._claim_spool()
            return self._spool.read_into(position, view) if position < self._spool.size else 0

    def _claim_spool(self) -> None:
        if self._closed or self._claim is _Claim.LIVE:
            raise self._gone()
        if self._claim is _Claim.NOT_YET:
            self._claim = _Claim.SPOOLED

    def _pull_into(self, view: memoryview) -> int:
        if self._passed:
            raise self._gone()
        try:
            # One guard over both: an interruption between them must not lose what was taken.
            count = self._from_source(view)
            with self._lock:
                self._claim_spool()  # it may have been closed meanwhile
                self._spool.append(view[:count])
        except BaseException as exc:
            self._fail(exc)
            raise
        return count

    # Live

    def read_live(self, reader: object, position: int, view: memoryview) -> int:
        """Fill ``view`` from ``position`` on: out of the spool what is there, then unspooled."""
        with self._lock:
            if position < self._spool.size and self._claim is _Claim.SPOOLED:
                return self._spool.read_into(position, view)
        with self._pulling:
            with self._lock:
                self._claim_live(reader)
                if position < self._spool.size:
                    return self._spool.read_into(position, view)
            self._must_stand_at(position)
            try:
                count = self._from_source(view)
            except BaseException as exc:
                self._fail(exc)
                raise
            self._passed += count
            return count

    def live_piece(self, reader: object, position: int) -> Buffer:
        """The next piece from ``position`` on, as it comes; ``b''`` at the end."""
        with self._lock:
            if position < self._spool.size and self._claim is _Claim.SPOOLED:
                return self._spool.read_at(position, _SCRATCH)
        with self._pulling:
            with self._lock:
                self._claim_live(reader)
                if position < self._spool.size:
                    return self._spool.read_at(position, _SCRATCH)
            self._must_stand_at(position)
            source = self._open_source()
            piece = self._guarded_piece(source) if source is not None else b""
            self._passed += len(piece)
            return piece

    def _must_stand_at(self, position: int) -> None:
        """A reader that was interrupted behind its back has missed something, and must know."""
        if position != self._spool.size + self._passed:
            raise self._gone()

    def _claim_live(self, reader: object) -> None:
        if self._closed:
            raise self._gone()
        if self._claim is _Claim.NOT_YET:
            self._claim = _Claim.LIVE
            self._live_reader = reader
        elif self._claim is _Claim.SPOOLED:
            if self._passed and self._live_reader is not reader:
                raise self._gone()
            self._live_reader = reader
        elif self._live_reader is not reader:
            raise self._gone()

    # The source

    def _open_source(self) -> Source | None:
        """The source, None once it has ended; raises what broke it, or that it was let go."""
        source = self._source
        if self._error is not None or self._closed:
            raise self._gone()
        return source

    def _from_source(self, view: memoryview) -> int:
        source = self._open_source()
        if source is None:
            return 0
        count = source.readinto(view)
        self._count(self._spool.size + self._passed + count)
        if not count:
            self._source = None
        return count

    def _guarded_piece(self, source: Source) -> Buffer:
        try:
            piece = source.read_piece()
            self._count(self._spool.size + self._passed + len(piece))
        except BaseException as exc:
            self._fail(exc)
            raise
        if not piece:
            self._source = None
        return piece

    def _count(self, size: int) -> None:
        if self._max_size is not None and size > self._max_size:
            raise BodyTooLarge(f"the body is larger than max_body, {self._max_size} bytes")

    def _refuse(self) -> None:
        """Too large from the start: keep nothing, and say so to everybody who asks."""
        self._spool.close()
        try:
            self._count(sys.maxsize)
        except BodyTooLarge as exc:
            self._fail(exc)

    def _fail(self, exc: BaseException) -> None:
        """Remember what broke, for every later call, and let the source go."""
        if not isinstance(exc, (Error, OSError)):
            exc = TransportError("reading the body was interrupted")
        self._blamed(exc)
        # What is kept is a copy: the one that is raised holds on to the frames it went through,
        # and may hold on to the response, and so to this body.
        self._error = copy_without_traceback(exc)
        if isinstance(self._error, Error):
            self._error.response = None
        source = self._source
        if source is not None:
            source.close()

    def end_live(self, reader: object) -> None:
        """The live reader wants no more: what is still to come goes."""
        nobody_else = self._claim is _Claim.LIVE or self._passed
        if nobody_else and self._live_reader is reader and self._source is not None:
            self.close()

    def skip(self, limit: int) -> None:
        """Let what is still to come go by, if it is not much more than ``limit``; or close.

        Then it has gone by, however little there was; but what is whole in the spool stays.
        """
        with self._pulling:
            if self._claim is _Claim.SPOOLED and self.complete:
                return
            with self._lock:
                self._claim = _Claim.LIVE
                self._live_reader = None
            come = self._spool.size + self._passed
            if self.length is not None and self.length - come > limit:
                self.close()
            end = self._passed + limit
            try:
                while (source := self._source) and (piece := self._guarded_piece(source)):
                    self._passed += len(piece)
                    if self._passed > end:
                        self.close()
            except Error:
                self.close()  # to let it go was what was asked for

    def close(self) -> None:
        """Let go of the source, from any thread, even while another one reads; and of a file.

        What is whole and in memory stays: there is nothing to let go of.
        """
        source = self._source
        if source is not None:
            source.close()
        with self._lock:
            if not self.complete or not self._spool.in_memory:
                self._closed = True
                self._source = None
                self._spool.close()

    def live_payload(self) -> Payload:
        """To be sent on as it arrives, once; raises AlreadyRead where that is over."""
        self._must_be_readable()
        return LiveBodyPayload(self)

    def spooled_payload(self, start: int = 0) -> Payload:
        """To be sent on from a place, and kept, so that it can be sent again."""
        self._must_be_readable()
        return SpooledBodyPayload(self, start)

    def _must_be_readable(self) -> None:
        if not self.readable:
            raise self._gone()

    def _gone(self) -> BaseException:
        """Why it cannot be had any more: what broke it, or what was done with it."""
        if self._error is not None:
            return self._blamed(copy_without_traceback(self._error))
        if self._closed:
            return self._blamed(AlreadyRead("it was closed, and its body let go"))
        return self._blamed(AlreadyRead("the body was taken live, as one pass, and has gone by"))

    def _blamed(self, exc: BaseException) -> BaseException:
        if isinstance(exc, Error) and self._blame is not None:
            self._blame(exc)
        return exc
