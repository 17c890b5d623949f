"""TLS on the embedded engine: the option ``tls``, and connections with TLS.

The handshake needs no thread of its own: a worker does a step whenever the client has sent
something, as for a head. A connection is closed if its handshake is not complete in time.

Facts that the code depends on. ``SSLSocket.shutdown`` discards its TLS state before it shuts down;
the method of the plain socket is called instead. ``SSLSocket.unwrap`` sends a close_notify first,
and then looks for that of the other side, so without one it fails with SSLWantReadError (CPython
3.10 to 3.14, Lib/ssl.py and Modules/_ssl.c). OpenSSL reads one record at a time, so no bytes of the
next record wait inside it (SSL_CTX_set_read_ahead(3)). A write that OpenSSL could not finish must
be repeated with the same bytes (SSL_write(3)). OpenSSL asks at the terminal for the password of an
encrypted key, unless it has a function to call instead.
"""

from __future__ import annotations

import logging
import os
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from errno import ENOTSUP
from time import monotonic
from typing import Any, TypeAlias

from restkit.errors import ClientDisconnected
from restkit.io.buffers import Buffer
from restkit.io.fork_lock import openssl_step
from restkit.io.sockets import READ, WRITE
from restkit.io.ssl_context import new_server_context, standard_class
from restkit.server.engine.client_socket import ClientSocket
from restkit.server.engine.connection import ClientConnection, Setup

Path: TypeAlias = str | os.PathLike[str]
TLSOption: TypeAlias = ssl.SSLContext | Path | tuple[Path, Path] | tuple[Path, Path, str]

_logger = logging.getLogger("restkit.server")

_RECORD = 16 * 1024  # RFC 8446 5.1
_MAX_WRITE = 64 * 1024
_HANDSHAKE = b"\x16"  # the first byte of a client with TLS (RFC 8446 5.1)
_FORMS = "an ssl.SSLContext, (certificate, key), (certificate, key, password), or one PEM file"


class NotTLSError(Exception):
    """The client has not begun a handshake; it probably sends HTTP without TLS."""


class HandshakeError(Exception):
    """The handshake failed, and an alert was sent to the client."""


def as_server_context(tls: object) -> ssl.SSLContext | None:
    """Return the context for the option ``tls``; None for no TLS.

    Raises TypeError for another type, ValueError for files that are no certificate with its key,
    and OSError for files that cannot be read.
    """
    if tls is None:
        return None
    if isinstance(tls, standard_class()):
        if tls.protocol == ssl.PROTOCOL_TLS_CLIENT:
            raise ValueError("tls: the SSLContext is for clients; make it with PROTOCOL_TLS_SERVER")
        return tls
    parts: tuple[Any, ...] = tls if isinstance(tls, tuple) else (tls,)
    if not 1 <= len(parts) <= 3 or not all(isinstance(each, (str, os.PathLike)) for each in parts):
        raise TypeError(f"tls must be {_FORMS}; got {_redact(tls)}")
    return _load(*parts)


def _load(certificate: Path, key: Path | None = None, password: object = None) -> ssl.SSLContext:
    names = f"tls: {os.fspath(certificate)!r}" + (f" and {os.fspath(key)!r}" if key else "")
    if password is not None and not isinstance(password, str):
        raise TypeError(f"{names}: the password must be a str; got {type(password).__name__}")

    def raise_encrypted() -> str:
        raise ValueError(f"{names}: the key is encrypted; give (certificate, key, password)")

    for path in (certificate, key or certificate):
        with open(path, "rb"):  # load_cert_chain() does not report which file is missing
            pass
    context = new_server_context()
    try:
        context.load_cert_chain(certificate, key, password or raise_encrypted)
    except ssl.SSLError as exc:
        reason = exc.reason or exc.strerror
        raise ValueError(f"{names}: not a PEM certificate with its key ({reason})") from exc
    return context


def _redact(tls: object) -> str:
    if isinstance(tls, tuple) and len(tls) > 2:
        return f"({tls[0]!r}, {tls[1]!r}, ...)"
    return f"{tls!r:.80}"


def make_connection_factory(
    setup: Setup, context: ssl.SSLContext | None
) -> Callable[[socket.socket, tuple[str, int]], ClientConnection]:
    """Return the function that makes a connection of an accepted socket and its address."""
    if context is None:
        return lambda sock, client: ClientConnection(sock, client, setup)
    return lambda sock, client: SecureConnection(sock, client, setup, context)


class SecureConnection(ClientConnection):
    """A connection with TLS; its handshake must be complete within the idle timeout."""

    def __init__(
        self,
        sock: socket.socket,
        address: tuple[str, int],
        setup: Setup,
        context: ssl.SSLContext,
    ) -> None:
        self._context = context
        super().__init__(sock, address, setup)
        self._in_handshake = True
        self._head_deadline = monotonic() + setup.timeout

    def _open_socket(self, sock: socket.socket, client: str) -> ClientSocket:
        self._secure_socket = SecureClientSocket(sock, self._setup.timeout, client, self._context)
        return self._secure_socket

    @property
    def has_data(self) -> bool:
        return super().has_data or self._secure_socket.has_pending

    def close(self) -> None:
        if self._in_handshake:
            self._head_deadline = 0.0  # there is no head yet to answer with 408
        super().close()

    def _read_head(self) -> bool:
        if self._in_handshake:
            try:
                if not self._secure_socket.do_handshake(self._head_deadline):
                    return monotonic() < self._head_deadline
            except NotTLSError as exc:
                self._in_handshake = False
                return self._reject(400, str(exc))
            except HandshakeError as exc:
                _logger.debug("%s", exc)
                self._in_handshake = False
                self._head_deadline = 0.0
                return self._start_draining()
            self._in_handshake = False
            self._head_deadline = 0.0
        return super()._read_head()


class SecureClientSocket(ClientSocket):
    """The socket of a client with TLS, after ``do_handshake()`` has returned True.

    Before that, and after ``half_close()``, it is a plain socket.
    """

    __slots__ = ("_context", "_ready", "_secure", "_unsent", "_writes_first")

    def __init__(
        self, sock: socket.socket, timeout: float, client: str, context: ssl.SSLContext
    ) -> None:
        super().__init__(sock, timeout, client)
        self._context = context
        self._secure: ssl.SSLSocket | None = None
        self._ready = False  # the handshake is complete
        self._unsent: Buffer = b""  # the bytes of a write that must be repeated
        self._writes_first = False  # TLS has to send before it can receive

    @property
    def has_pending(self) -> bool:
        """Whether TLS holds decrypted bytes, which a selector cannot see."""
        return self._secure is not None and self._secure.pending() > 0

    def do_handshake(self, deadline: float) -> bool:
        """Do what is possible of the handshake; return whether it is complete.

        Waits only to send, until ``deadline``. Raises NotTLSError if the client does not speak TLS;
        then the socket stays a plain one. Raises HandshakeError if the handshake fails.
        """
        try:
            secure = self._secure or self._begin_tls()
            if secure is None:
                return False
            while not _do_step(secure):
                if not self.wait_for(WRITE, max(0.0, deadline - monotonic())):
                    return False
        except ssl.SSLWantReadError:
            return False
        except (ssl.SSLEOFError, ssl.SSLZeroReturnError) as exc:
            raise self._connection_error(exc) from exc
        except ssl.SSLError as exc:
            reason = exc.reason or exc.strerror
            raise HandshakeError(f"{self.client}: the TLS handshake failed: {reason}") from exc
        except OSError as exc:
            raise self._connection_error(exc) from exc
        self._ready = True
        return True

    def _begin_tls(self) -> ssl.SSLSocket | None:
        """Wrap the socket when the first byte has arrived; return None if it has not."""
        try:
            first = self._socket.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return None
        if not first:
            raise ClientDisconnected(f"{self.client} disconnected before the TLS handshake")
        if first != _HANDSHAKE:
            raise NotTLSError("this port speaks TLS: use https")
        with openssl_step():
            self._socket = self._secure = self._context.wrap_socket(
                self._socket,
                server_side=True,
                do_handshake_on_connect=False,
                suppress_ragged_eofs=False,
            )
        return self._secure

    def send(self, buffers: list[Buffer]) -> int:
        if self._secure is None:
            return super().send(buffers)
        if self.aborted:
            raise self._closed_error()
        data = self._unsent or _join_first(buffers)
        try:
            count = self._secure.send(data)
        except ssl.SSLWantWriteError:
            self._unsent = data
            return 0
        except OSError as exc:
            raise self._connection_error(exc) from exc
        self._unsent = b""
        return count

    def send_file(self, descriptor: int, start: int, count: int) -> int | None:  # noqa: ARG002
        """Raise the OSError of a system without ``sendfile``: the bytes must be encrypted."""
        raise OSError(ENOTSUP, os.strerror(ENOTSUP))

    def receive(self, size: int) -> bytes | None:
        if self._secure is None:
            return super().receive(size)
        try:
            self._writes_first = False
            # One call returns one record at most: a larger buffer would be allocated for nothing.
            return self._secure.recv(min(size, _RECORD)) or self._check_end(b"")
        except OSError as exc:
            return b"" if self._is_end(exc) else None

    def receive_into(self, view: memoryview) -> int | None:
        if self._secure is None:
            return super().receive_into(view)
        try:
            self._writes_first = False
            return self._secure.recv_into(view) or self._check_end(0)
        except OSError as exc:
            return 0 if self._is_end(exc) else None

    def _is_end(self, exc: OSError) -> bool:
        """Return whether a read failed at the end, or (False) because nothing has arrived.

        Raises ClientDisconnected for any other failure. An end without close_notify is an end:
        only the framing tells whether a request is complete.
        """
        if isinstance(exc, (ssl.SSLEOFError, ssl.SSLZeroReturnError)):
            self._check_end(b"")
            return True
        if isinstance(exc, ssl.SSLWantWriteError):
            self._writes_first = True
        elif not isinstance(exc, ssl.SSLWantReadError):
            raise self._connection_error(exc) from exc
        return False

    def wait_for(self, events: int, seconds: float) -> int:
        if events & READ and self.has_pending and not self.aborted:
            return READ
        if self._writes_first:
            events |= WRITE
        return super().wait_for(events, seconds)

    def half_close(self) -> None:
        """End the sending side with a close_notify. What the client still sends stays encrypted."""
        if self._secure is not None:
            self._send_close_notify()
            plain = socket.socket(fileno=self._secure.detach())
            plain.setblocking(False)
            self._secure = None
            self._socket = plain
        super().half_close()

    def reset(self) -> None:
        self._ready = False  # without a close_notify, which would end the response
        super().reset()

    def close(self) -> None:
        if not self._closed and not self.aborted:
            self._send_close_notify()
        self._unsent = b""
        super().close()

    def _send_close_notify(self) -> None:
        if self._secure is not None and self._ready:
            self._ready = False
            with suppress(OSError, ValueError):
                self._secure.unwrap()

    def _shut_down(self, how: int) -> None:
        socket.socket.shutdown(self._socket, how)


def _do_step(secure: ssl.SSLSocket) -> bool:
    """Do a step of a handshake; return False if it must wait until it can send."""
    try:
        with openssl_step():
            secure.do_handshake()
    except ssl.SSLWantWriteError:
        return False
    return True


def _join_first(buffers: list[Buffer]) -> Buffer:
    """Return the first bytes of several buffers for one write, with little copying."""
    first = buffers[0]
    if len(first) > _MAX_WRITE:
        return memoryview(first)[:_MAX_WRITE]
    if len(buffers) == 1:
        return first
    joined = bytearray()
    for buffer in buffers:
        joined += memoryview(buffer)[: _MAX_WRITE - len(joined)]
        if len(joined) == _MAX_WRITE:
            break
    return joined
