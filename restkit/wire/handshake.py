"""One TLS handshake: the context that urllib3 is lent for it, and in words what became of it.

Facts the code rests on. ``ssl`` closes a socket whose handshake failed, but not one whose handshake
a KeyboardInterrupt ended (Lib/ssl.py, ``SSLSocket._create``, CPython 3.10 to 3.14). urllib3 2.2 to
2.8 writes to a context at every connection: ``verify_mode`` (what it was) and ALPN, whose list
OpenSSL may just be copying for another thread (CPython up to 3.12 calls SSL_new without the GIL).
"""

from __future__ import annotations

import ssl
from contextlib import suppress
from typing import TYPE_CHECKING, Any, cast

from restkit.errors import RequestError
from restkit.wire.contexts import context_for
from restkit.wire.nested import TLSInTLS
from restkit.wire.tls import SYSTEM, TLSOptions, checked

if TYPE_CHECKING:
    import socket


class Handshake:
    """One TLS handshake: the context that urllib3 is lent for it, and what became of it.

    A certificate that was pinned is compared as soon as there is one, before anything is sent.
    ``begun`` says whether TCP is over. Raises RequestError for options that cannot be used.
    """

    def __init__(self, options: TLSOptions) -> None:
        self.begun = False
        self._options = checked(options)
        self._context = context_for(options)
        self._certified: list[str] = []

    def as_context(self) -> ssl.SSLContext:
        """What urllib3 takes for a context. What it writes to it does not reach the real one."""
        return cast("ssl.SSLContext", self)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)

    def set_alpn_protocols(self, names: list[str]) -> None:
        """Leave them as they are: our contexts have them already, a caller's is the caller's."""

    def wrap_socket(self, sock: socket.socket, server_hostname: str | None = None) -> ssl.SSLSocket:
        """Do the handshake; the socket is closed on any exception."""
        self.begun = True
        secured = self._wrapped(sock, server_hostname)
        if self._options.fingerprint is not None:
            try:
                _compare(secured, self._options.fingerprint)
            except BaseException:
                secured.close()
                raise
        return secured

    def _wrapped(self, sock: socket.socket, server_hostname: str | None) -> ssl.SSLSocket:
        if type(self._context).wrap_socket is not ssl.SSLContext.wrap_socket:
            # A class of its own, such as truststore's, may verify when it finds the handshake
            # done.
            if isinstance(sock, ssl.SSLSocket):
                sock.close()
                raise RequestError(
                    "ssl_context= of a class of its own cannot be used behind an https proxy: "
                    "it verifies sockets, and TLS inside of TLS is none"
                )
            return self._context.wrap_socket(sock, server_hostname=server_hostname)
        secured = self._unfinished(sock, server_hostname)
        try:
            secured.do_handshake()
        except BaseException as exc:
            if isinstance(exc, ssl.SSLCertVerificationError):
                self._certified = _names_in_certificate(secured)
            secured.close()
            raise
        return secured

    def _unfinished(self, sock: socket.socket, server_hostname: str | None) -> ssl.SSLSocket:
        if isinstance(sock, ssl.SSLSocket):
            return cast("ssl.SSLSocket", TLSInTLS(self._context, sock, server_hostname))
        return self._context.wrap_socket(
            sock, server_hostname=server_hostname, do_handshake_on_connect=False
        )

    def what_failed(self, exc: ssl.SSLError | ValueError, host: str) -> str:
        """Which check the peer's certificate failed, or what else went wrong, in words."""
        if isinstance(exc, _AnotherCertificate):
            return str(exc.args[0])
        if isinstance(exc, ssl.SSLCertVerificationError):
            return self._failed_check(exc, host)
        if not isinstance(exc, ssl.SSLError):
            return f"its certificate is not for this host: {exc}"
        return f"the TLS handshake failed: {in_words(exc, _oldest(self._options))}"

    def _failed_check(self, exc: ssl.SSLCertVerificationError, host: str) -> str:
        code = exc.verify_code
        if code in _OF_HOST:
            names = ", ".join(self._certified[:5]) or "another host"
            more = f" and {len(self._certified) - 5} more" if len(self._certified) > 5 else ""
            return f"its certificate is for {names}{more}, and not for {host}"
        if code not in _FAILED_CHECKS:
            return f"its certificate failed a check: {exc.verify_message}"
        trusted = f" ({_trusted(self._options)})" if code in _OF_TRUST else ""
        return f"its certificate {_FAILED_CHECKS[code]}{trusted}"


# By the numbers of X509_STORE_CTX_get_error(3).
_FAILED_CHECKS = {
    9: "is not valid yet, by this machine's clock",
    10: "has expired, by this machine's clock",
    18: "is self-signed, and is not itself trusted",
    19: "has a self-signed one at the end of its chain, and that is not trusted",
    2: "was issued by an authority that is not trusted",
    20: "was issued by an authority that is not trusted",
    21: "was issued by an authority that is not trusted",
}
_OF_TRUST = (2, 18, 19, 20, 21)
_OF_HOST = (62, 64)

_NO_TLS = "no TLS seems to be spoken there: should the URL begin with http://?"
_NO_VERSION = "it does not speak TLS {oldest}"
_REFUSED = "it does not accept our certificate, the one that cert= names"
_HINTS = {
    "WRONG_VERSION_NUMBER": _NO_TLS,
    "HTTP_REQUEST": _NO_TLS,
    "PACKET_LENGTH_TOO_LONG": _NO_TLS,
    "RECORD_LAYER_FAILURE": _NO_TLS,
    "UNSUPPORTED_PROTOCOL": _NO_VERSION,
    "TLSV1_ALERT_PROTOCOL_VERSION": _NO_VERSION,
    "SSLV3_ALERT_HANDSHAKE_FAILURE": "it accepts nothing of what was offered, or wants cert=",
    "UNEXPECTED_EOF_WHILE_READING": "it closed the connection",
    # What the peer says of a client's certificate: with TLS 1.3 at our first read, after the
    # handshake (RFC 8446 section 4.4.2.4, and section 6.2 for the names).
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": "it wants a certificate of ours, which cert= names",
    "SSLV3_ALERT_BAD_CERTIFICATE": _REFUSED,
    "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE": _REFUSED,
    "SSLV3_ALERT_CERTIFICATE_REVOKED": _REFUSED,
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": _REFUSED,
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": _REFUSED,
    "TLSV1_ALERT_UNKNOWN_CA": _REFUSED,
    "TLSV1_ALERT_ACCESS_DENIED": _REFUSED,
}


def in_words(exc: ssl.SSLError, oldest: str = "1.2 or later") -> str:
    """What OpenSSL calls a failure, and what that tells about the peer."""
    reason = exc.reason or "UNEXPECTED_EOF_WHILE_READING"
    words = reason.replace("_", " ").lower()
    hint = _HINTS.get(reason)
    return words if hint is None else f"{words}; {hint.format(oldest=oldest)}"


def _oldest(options: TLSOptions) -> str:
    if options.context is not None:
        return "in a version that the ssl_context allows"
    if options.min_version is ssl.TLSVersion.TLSv1_3:
        return "1.3, the oldest that min_tls= allows"
    return "1.2 or later"


class _AnotherCertificate(ssl.SSLError):
    """The peer has shown a certificate, but not the one that was pinned."""


def _compare(secured: ssl.SSLSocket, pinned: str) -> None:
    from hashlib import sha256

    certificate = secured.getpeercert(binary_form=True)
    found = sha256(certificate or b"").hexdigest()
    if found != pinned:
        raise _AnotherCertificate(
            f"its certificate has the SHA-256 fingerprint {found}, and not {pinned}, which "
            "fingerprint= names"
        )


def _names_in_certificate(secured: ssl.SSLSocket) -> list[str]:
    # No public way leads to the certificate of a handshake that failed. Where this private one
    # (CPython 3.10 to 3.14) is not there, a message lacks these names, and no more.
    with suppress(AttributeError, LookupError, TypeError, ValueError, ssl.SSLError):
        secured = getattr(secured, "inner", secured)
        chain = secured._sslobj.get_unverified_chain()  # type: ignore[union-attr]  # private
        return [name for _, name in chain[0].get_info()["subjectAltName"]]
    return []


def _trusted(options: TLSOptions) -> str:
    verify = options.verify
    if options.context is not None:
        return "trusted is what the ssl_context has loaded"
    if verify is True:
        return "trusted are the authorities in certifi; verify= takes the path of others"
    if verify == SYSTEM:
        return "trusted are the authorities in the system's store"
    paths = verify if isinstance(verify, tuple) else (verify,)
    return f"trusted is what {' and '.join(map(repr, paths))} holds"
