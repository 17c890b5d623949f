"""A socket under TLS, or under TLS inside of TLS, as the transport that the exchange sees.

Facts the code rests on. ``SSLSocket.shutdown`` throws its TLS state away before it shuts down,
and a thread that is reading would then be given ciphertext: the plain socket's method is called
instead (CPython 3.10 to 3.14, Lib/ssl.py). A write that OpenSSL could not finish must be tried
again with the same bytes (SSL_write(3)); buffers wait unchanged until they are gone. Nothing of
a write is counted before all of it is out.
"""

from __future__ import annotations

import socket
import ssl
from contextlib import suppress
from typing import TYPE_CHECKING, cast

from restkit.errors import Error, TLSError
from restkit.wire.handshake import in_words
from restkit.wire.nested import TLSInTLS
from restkit.wire.transport import READ, WRITE, Beside, Transport

if TYPE_CHECKING:
    from restkit.payload import Buffer
    from restkit.timeouts import Clock

RECORD = 16 * 1024  # RFC 8446 5.1
_PART = 1024 * 1024


class SecureTransport(Transport):
    """A socket under TLS, its handshake done."""

    sends_files = False

    __slots__ = ("_reads_first", "_secure", "_writes_first")

    def __init__(self, sock: ssl.SSLSocket, where: str) -> None:
        super().__init__(sock, where)
        # A connection cut off without TLS's own goodbye must not look like the end of a body
        # that has no other mark of its end.
        sock.suppress_ragged_eofs = False  # type: ignore[attr-defined]  # not in typeshed
        self._secure = sock
        # TLS may have to receive before it can send, and the other way round.
        self._reads_first = False
        self._writes_first = False

    def joined(self, buffers: list[Buffer]) -> list[Buffer]:
        """One write each: small ones go together, of big ones no more is copied than a part.

        With the first record by itself, what has left in part is never taken for something that
        has not left.
        """
        parts: list[Buffer] = []
        small: list[Buffer] = []
        for buffer in buffers:
            if len(buffer) <= _PART:
                small.append(buffer)
                continue
            view = memoryview(buffer)
            first = max(0, RECORD - sum(map(len, small)))
            parts.append(b"".join([*small, view[:first]]))
            cuts = range(first, len(view), _PART)
            parts += [view[at : at + _PART] for at in cuts[:-1]]
            small = [view[cuts[-1] :]]
        parts += [small[0] if len(small) == 1 else b"".join(small)] if small else []
        if len(parts[0]) > RECORD:
            view = memoryview(parts[0])
            parts[:1] = [view[:RECORD], view[RECORD:]]
        # Not kept in two lists: whoever sends lets go of them by emptying the one it gave.
        buffers[:] = parts
        return buffers

    def send(self, buffers: list[Buffer]) -> int:
        try:
            self._reads_first = False
            return self._secure.send(buffers[0])
        except ssl.SSLWantWriteError:
            return 0
        except ssl.SSLWantReadError:
            self._reads_first = True
            return 0
        except OSError as exc:
            raise self._lost(exc) from exc

    def receive(self, size: int) -> bytes | None:
        try:
            self._writes_first = False
            # One call gives one record at most: room for more would be made and thrown away.
            return self._secure.recv(min(size, RECORD)) or self._ended(b"")
        except ssl.SSLError as exc:
            return b"" if self._at_end(exc) else None
        except OSError as exc:
            raise self._lost(exc) from exc

    def receive_into(self, view: memoryview) -> int | None:
        count = 0
        try:
            self._writes_first = False
            while count < len(view) and (came := self._secure.recv_into(view[count:])):
                count += came
        except ssl.SSLError as exc:
            # What came before stands; the next call will find the same.
            if not count:
                return 0 if self._at_end(exc) else None
        except OSError as exc:
            if not count:
                raise self._lost(exc) from exc
        return count or self._ended(0)

    def readable(self) -> bool:
        return self._has_pending() or super().readable()

    def quiet(self) -> bool:
        # TLS 1.3 hands out session tickets when it likes: bytes, but not of the application.
        try:
            return not self.readable() or self.receive(1) is None
        except Error:
            return False

    def wait_readable(self, clock: Clock, doing: str) -> None:
        if self._writes_first:
            super().wait(READ | WRITE, clock, doing)
        elif not self._has_pending():
            super().wait_readable(clock, doing)

    def wait(self, events: int, clock: Clock, doing: str) -> int:
        if events & READ and self._has_pending():
            return READ
        if self._reads_first:
            events = READ
        return super().wait(events, clock, doing)

    def wait_beside(self, source: int, clock: Clock, doing: str, *, listening: bool) -> Beside:
        if listening and self._has_pending():
            return Beside.PEER
        return super().wait_beside(source, clock, doing, listening=listening)

    def _has_pending(self) -> bool:
        """Whether bytes are here already that no ``poll`` can see."""
        return not self._closed and self._secure.pending() > 0

    def _at_end(self, exc: ssl.SSLError) -> bool:
        """What a failed read means: the end, or (False) that nothing is there; or it raises."""
        if isinstance(exc, ssl.SSLEOFError):
            self.cut_off = True
            self._ended(0)
            return True
        if isinstance(exc, ssl.SSLWantWriteError):
            self._writes_first = True
        elif not isinstance(exc, ssl.SSLWantReadError):
            raise self._lost(exc) from exc
        return False

    def _lost(self, exc: OSError) -> Error:
        if isinstance(exc, ssl.SSLError) and not self.aborted:
            return TLSError(f"TLS with {self.where} failed: {in_words(exc)}")
        return super()._lost(exc)


class NestedTransport(SecureTransport):
    """TLS inside of TLS, its handshakes done."""

    __slots__ = ()

    def abort(self) -> None:
        self.aborted = True
        with suppress(OSError):
            socket.socket.shutdown(cast("TLSInTLS", self._socket).outer, socket.SHUT_RDWR)


def transport_of(sock: socket.socket | TLSInTLS, where: str) -> Transport:
    """The transport that fits a connected socket."""
    if isinstance(sock, TLSInTLS):
        return NestedTransport(cast("ssl.SSLSocket", sock), where)
    if isinstance(sock, ssl.SSLSocket):
        return SecureTransport(sock, where)
    return Transport(sock, where)
