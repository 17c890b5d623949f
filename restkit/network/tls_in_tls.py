"""TLS through an HTTPS proxy: TLS inside a socket that has TLS already.

``SSLSocket`` works on the descriptor of a socket, and cannot work on another ``SSLSocket``.
urllib3's ``SSLTransport`` cannot report that it would have to wait (2.2 to 2.8). So the inner TLS
works on two buffers in memory, and their bytes are sent and received by the outer one.

Facts that the code depends on. A write to a buffer in memory always succeeds (ssl.MemoryBIO); so
bytes that it has accepted but has not sent yet count as not sent, and are not accepted twice when
the write is repeated, as OpenSSL does with sockets (SSL_write(3)). A read that needs more has left
nothing in its buffer. The end of the outer TLS is not the end of the inner one, which has an alert
of its own.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from contextlib import suppress
from time import monotonic
from typing import Any, TypeVar

from restkit.io.buffers import Buffer
from restkit.io.fork_lock import openssl_step

_Result = TypeVar("_Result", int, bytes)

_BLOCK = 64 * 1024
_WOULD_BLOCK = (ssl.SSLWantReadError, ssl.SSLWantWriteError)


class TLSInTLS:
    """A client's TLS over the TLS of ``outer``; ``do_handshake()`` must be called first.

    Has the methods of ``SSLSocket`` that an exchange needs, and raises the same errors:
    SSLWantReadError and SSLWantWriteError if it must not block, and SSLEOFError at an end without
    a closing alert unless ``suppress_ragged_eofs``. ``inner`` is its own TLS. ``close()`` closes
    ``outer``.
    """

    def __init__(
        self, context: ssl.SSLContext, outer: ssl.SSLSocket, server_hostname: str | None
    ) -> None:
        self.outer = outer
        self.suppress_ragged_eofs = True
        self._received = ssl.MemoryBIO()
        self._encrypted = ssl.MemoryBIO()
        self.inner = context.wrap_bio(
            self._received, self._encrypted, server_hostname=server_hostname
        )
        self._unsent = memoryview(b"")
        self._accepted = 0

    def do_handshake(self) -> None:
        """Do the handshake, as a whole within the timeout of ``outer``."""
        timeout = self.outer.gettimeout()
        deadline = None if timeout is None else monotonic() + timeout
        try:
            while not self._try_handshake():
                self._set_timeout(deadline)
                self._flush()
                self._set_timeout(deadline)
                self._fill()
            self._set_timeout(deadline)
            self._flush()
        except ssl.SSLError:
            # Send the alert with the reason to the server.
            with suppress(OSError):
                self._flush()
            raise
        self.outer.settimeout(timeout)

    def _try_handshake(self) -> bool:
        try:
            with openssl_step():
                self.inner.do_handshake()
        except ssl.SSLWantReadError:
            return False
        return True

    def _set_timeout(self, deadline: float | None) -> None:
        if deadline is None:
            return
        left = deadline - monotonic()
        if left <= 0:
            raise TimeoutError("the TLS handshake within TLS timed out")
        self.outer.settimeout(left)

    # Sending

    def send(self, data: Buffer, flags: int = 0) -> int:
        """Send part of the data; after a want error, the next call must have the same data."""
        _check_no_flags(flags)
        if not self._accepted:
            self._accepted = self._encrypt(data)
        self._flush()
        accepted, self._accepted = self._accepted, 0
        return accepted

    def sendall(self, data: Buffer, flags: int = 0) -> None:
        """Send all of the data, in blocking mode."""
        with memoryview(data) as view:
            sent = 0
            while sent < len(view):
                sent += self.send(view[sent:], flags)

    def _encrypt(self, data: Buffer) -> int:
        # Views are released at once: the caller may resize or close its buffer afterwards.
        with memoryview(data) as view, view[:_BLOCK] as chunk:
            while chunk:
                try:
                    return self.inner.write(chunk)
                except ssl.SSLWantReadError:
                    self._flush()
                    self._fill()
        return 0

    def _flush(self) -> None:
        """Send the encrypted bytes, in their order."""
        while self._unsent or self._encrypted.pending:
            if not self._unsent:
                self._unsent = memoryview(self._encrypted.read(_BLOCK))
            self._unsent = self._unsent[self.outer.send(self._unsent) :]

    # Receiving

    def recv(self, size: int = _BLOCK, flags: int = 0) -> bytes:
        """Return up to ``size`` bytes, or ``b''`` at the end."""
        _check_no_flags(flags)
        return self._read(lambda: self.inner.read(size), b"")

    def recv_into(self, buffer: bytearray | memoryview, size: int = 0, flags: int = 0) -> int:
        """Receive into a buffer; return the count, 0 at the end."""
        _check_no_flags(flags)
        size = size or len(buffer)
        return self._read(lambda: self.inner.read(size, buffer), 0)

    def _read(self, read: Callable[[], Any], end: _Result) -> _Result:
        while True:
            try:
                result: _Result = read()
                return result
            except ssl.SSLWantReadError:
                # Send the messages of TLS itself, or with later data if that would block.
                with suppress(*_WOULD_BLOCK):
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
            self._received.write(data)
        else:
            self._received.write_eof()

    def pending(self) -> int:
        """Return the number of bytes in both layers, which ``poll`` cannot see."""
        return self.inner.pending() + self._received.pending + self.outer.pending()

    # The other methods of SSLSocket that are used

    def getpeercert(self, binary_form: bool = False) -> Any:
        """Return the origin's certificate."""
        return self.inner.getpeercert(binary_form)

    def version(self) -> str | None:
        """Return the version of the inner TLS."""
        return self.inner.version()

    def cipher(self) -> tuple[str, str, int] | None:
        """Return the cipher of the inner TLS."""
        return self.inner.cipher()

    def selected_alpn_protocol(self) -> str | None:
        """Return the protocol that ALPN selected with the origin."""
        return self.inner.selected_alpn_protocol()

    def fileno(self) -> int:
        """Return the descriptor of the TCP socket."""
        return self.outer.fileno()

    def settimeout(self, seconds: float | None) -> None:
        """Set the seconds that a method may wait: 0 for not at all, None for no bound."""
        self.outer.settimeout(seconds)

    def gettimeout(self) -> float | None:
        """Return the timeout."""
        return self.outer.gettimeout()

    def setblocking(self, flag: bool) -> None:
        """Wait without bound, or not at all."""
        self.outer.setblocking(flag)

    def getpeername(self) -> Any:
        """Return the address of the proxy."""
        return self.outer.getpeername()

    def getsockname(self) -> Any:
        """Return the local address."""
        return self.outer.getsockname()

    def shutdown(self, how: int) -> None:
        """Shut down the TCP socket."""
        self.outer.shutdown(how)

    def close(self) -> None:
        """Close the TCP socket, without closing alerts."""
        self.outer.close()

    def __enter__(self) -> TLSInTLS:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __repr__(self) -> str:
        state = "closed" if self.outer.fileno() < 0 else f"{self.inner.version()}"
        return f"<TLSInTLS, {state}>"


def _check_no_flags(flags: int) -> None:
    # As SSLSocket does.
    if flags:
        raise ValueError(f"flags of a socket cannot be used with TLS; got {flags}")
