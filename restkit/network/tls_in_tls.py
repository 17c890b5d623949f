"""TLS through an HTTPS proxy.

TLS inside of TLS: what an ``SSLSocket`` is to TCP, to a socket that has TLS already.

The way of an https origin by an https proxy. ``SSLSocket`` works on the number of a socket, and
not on a socket that is one itself; urllib3's ``SSLTransport`` has no way to say that it would
have to wait (2.2 to 2.8). So the inner TLS works on two buffers in memory, and what is in them
comes and goes by the outer one.

Facts the code rests on. A write to a buffer in memory always succeeds (ssl.MemoryBIO); so what
has been taken and is not out yet counts as not sent, and is not taken twice when it is tried
again, as OpenSSL has it with sockets (SSL_write(3)). A read that wants more has left nothing in
its buffer. Neither end of the outer TLS means anything to the inner one, which has its own.
"""

from __future__ import annotations

import ssl
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    from restkit.io.buffers import Buffer


_Result = TypeVar("_Result", int, bytes)

_BLOCK = 64 * 1024
# Both happen to one who may not wait.
_WOULD_WAIT = (ssl.SSLWantReadError, ssl.SSLWantWriteError)


class TLSInTLS:
    """A client's TLS over the TLS of ``outer``; ``do_handshake()`` is the first thing to call.

    Has of ``SSLSocket`` what it takes to converse, and raises what it raises: SSLWantReadError and
    SSLWantWriteError where it may not wait, SSLEOFError at an end without a goodbye unless
    ``suppress_ragged_eofs``. ``inner`` is its own TLS; closing it closes ``outer``.
    """

    def __init__(
        self, context: ssl.SSLContext, outer: ssl.SSLSocket, server_hostname: str | None
    ) -> None:
        self.outer = outer
        self.suppress_ragged_eofs = True
        self._arrived = ssl.MemoryBIO()
        self._leaving = ssl.MemoryBIO()
        self.inner = context.wrap_bio(self._arrived, self._leaving, server_hostname=server_hostname)
        self._cut = memoryview(b"")
        self._taken = 0

    def do_handshake(self) -> None:
        """Agree on keys, within the timeout of ``outer`` as a whole."""
        patience = self.outer.gettimeout()
        end = None if patience is None else monotonic() + patience
        try:
            while not self._shaken_hands():
                self._wait_until(end)
                self._flush()
                self._wait_until(end)
                self._fill()
            self._wait_until(end)
            self._flush()
        except ssl.SSLError:
            # The peer is told why.
            with suppress(OSError):
                self._flush()
            raise
        self.outer.settimeout(patience)

    def _shaken_hands(self) -> bool:
        try:
            self.inner.do_handshake()
        except ssl.SSLWantReadError:
            return False
        return True

    def _wait_until(self, end: float | None) -> None:
        if end is None:
            return
        left = end - monotonic()
        if left <= 0:
            raise TimeoutError("the TLS handshake within TLS timed out")
        self.outer.settimeout(left)

    # Sending

    def send(self, data: Buffer, flags: int = 0) -> int:
        """Send some of it; after a want, the next call must be with the same data again."""
        assert flags == 0
        if not self._taken:
            self._taken = self._take(data)
        self._flush()
        taken, self._taken = self._taken, 0
        return taken

    def sendall(self, data: Buffer, flags: int = 0) -> None:
        """Send all of it, in a socket that waits."""
        with memoryview(data) as view:
            sent = 0
            while sent < len(view):
                sent += self.send(view[sent:], flags)

    def _take(self, data: Buffer) -> int:
        # Views are let go at once: what is the caller's may be resized or closed afterwards.
        with memoryview(data) as view, view[:_BLOCK] as piece:
            while piece:
                try:
                    return self.inner.write(piece)
                except ssl.SSLWantReadError:
                    self._flush()
                    self._fill()
        return 0

    def _flush(self) -> None:
        """Send what has been encrypted, in the order in which it was."""
        while self._cut or self._leaving.pending:
            if not self._cut:
                self._cut = memoryview(self._leaving.read(_BLOCK))
            self._cut = self._cut[self.outer.send(self._cut) :]

    # Receiving

    def recv(self, size: int = _BLOCK, flags: int = 0) -> bytes:
        """What is there, at most so much; ``b''`` at the end."""
        assert flags == 0
        return self._received(lambda: self.inner.read(size), b"")

    def recv_into(self, buffer: bytearray | memoryview, size: int = 0, flags: int = 0) -> int:
        """The same into a buffer: a count, 0 at the end."""
        assert flags == 0
        size = size or len(buffer)
        return self._received(lambda: self.inner.read(size, buffer), 0)

    def _received(self, read: Callable[[], Any], end: _Result) -> _Result:
        while True:
            try:
                result: _Result = read()
                return result
            except ssl.SSLWantReadError:
                # What TLS itself had to answer, if that can go now; else it goes with what is sent.
                with suppress(*_WOULD_WAIT):
                    self._flush()
                self._fill()
            except ssl.SSLEOFError:
                if self.suppress_ragged_eofs:
                    return end
                raise

    def _fill(self) -> None:
        try:
            data = self.outer.recv(_BLOCK)
        except ssl.SSLEOFError:
            data = b""
        if data:
            self._arrived.write(data)
        else:
            self._arrived.write_eof()

    def pending(self) -> int:
        """How many bytes, of whichever layer, are here already, where no ``poll`` sees them."""
        return self.inner.pending() + self._arrived.pending + self.outer.pending()

    # What is asked of any SSLSocket

    def getpeercert(self, binary_form: bool = False) -> Any:
        """The origin's certificate."""
        return self.inner.getpeercert(binary_form)

    def version(self) -> str | None:
        """The version of the inner TLS."""
        return self.inner.version()

    def cipher(self) -> tuple[str, str, int] | None:
        """The cipher of the inner TLS."""
        return self.inner.cipher()

    def selected_alpn_protocol(self) -> str | None:
        """What ALPN has agreed on with the origin."""
        return self.inner.selected_alpn_protocol()

    def fileno(self) -> int:
        """The number of the socket below both."""
        return self.outer.fileno()

    def settimeout(self, seconds: float | None) -> None:
        """How long one of these methods may wait; 0 is not at all, None is for ever."""
        self.outer.settimeout(seconds)

    def gettimeout(self) -> float | None:
        """What ``settimeout`` has set."""
        return self.outer.gettimeout()

    def setblocking(self, flag: bool) -> None:
        """Wait for ever, or not at all."""
        self.outer.setblocking(flag)

    def getpeername(self) -> Any:
        """The address of the proxy."""
        return self.outer.getpeername()

    def getsockname(self) -> Any:
        """The address on this side."""
        return self.outer.getsockname()

    def shutdown(self, how: int) -> None:
        """Shut the socket below both down."""
        self.outer.shutdown(how)

    def close(self) -> None:
        """Close the socket below both, without a word to the peers."""
        self.outer.close()

    def __enter__(self) -> TLSInTLS:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __repr__(self) -> str:
        state = "closed" if self.outer.fileno() < 0 else f"{self.inner.version()}"
        return f"<TLSInTLS, {state}>"
