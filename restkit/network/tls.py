"""SSL contexts and the TLS handshake.

From TLS options to one context for each set of them.

Facts the code rests on. OpenSSL asks at the terminal for the password of an encrypted key that
came without one, unless it has a function to ask instead. ``SSLContext.load_cert_chain`` does
not say which of its two files is missing (CPython 3.10 to 3.14). A folder of certificates is
read while a peer is verified, by file names that are hashes (SSL_CTX_load_verify_locations(3)).
urllib3 2.2 to 2.8 warns of an unverified peer in its pools only, not in its connections.

One TLS handshake: the context that urllib3 is lent for it, and in words what became of it.

Facts the code rests on. ``ssl`` closes a socket whose handshake failed, but not one whose handshake
a KeyboardInterrupt ended (Lib/ssl.py, ``SSLSocket._create``, CPython 3.10 to 3.14). urllib3 2.2 to
2.8 writes to a context at every connection: ``verify_mode`` (what it was) and ALPN, whose list
OpenSSL may just be copying for another thread (CPython up to 3.12 calls SSL_new without the GIL).
"""

from __future__ import annotations

import os
import ssl
import warnings
from contextlib import suppress
from threading import Lock
from typing import TYPE_CHECKING, Any, NoReturn, cast

from restkit.errors import RequestError
from restkit.network.options import SYSTEM, TLSOptions, checked, shown_cert
from restkit.network.tls_in_tls import TLSInTLS

if TYPE_CHECKING:
    import socket


def context_for(options: TLSOptions) -> ssl.SSLContext:
    """The context of these options: made at their first use, and the same one ever after.

    Files are read once in a process; what they hold later is not seen. Raises RequestError,
    naming the option and the path, when one cannot be used. A context that verifies nobody
    warns when it is made (urllib3's InsecureRequestWarning), unless a fingerprint says who it is.
    """
    options = checked(options)
    if options.context is not None:
        return options.context
    # One context serves all pins; but whoever trusts anybody is warned, whoever has a pin or not.
    return _contexts.get(options if options.verify is False else options._replace(fingerprint=None))


class _Contexts:
    """The contexts made so far; threads take turns, so that none is made twice."""

    def __init__(self) -> None:
        self._made: dict[TLSOptions, ssl.SSLContext] = {}
        self.start_turns()

    def start_turns(self) -> None:
        self._turn = Lock()

    def get(self, options: TLSOptions) -> ssl.SSLContext:
        with self._turn:
            if options not in self._made:
                made = _make(options)
                # For those who have a certificate for each of their customers there is an end.
                if len(self._made) >= _MOST:
                    del self._made[next(iter(self._made))]
                self._made[options] = made
            return self._made[options]


_MOST = 256
_contexts = _Contexts()
# A thread that held the lock in the parent is not there in the child to release it.
os.register_at_fork(after_in_child=_contexts.start_turns)


def _make(options: TLSOptions) -> ssl.SSLContext:
    # Not at the top: see dial.py.
    from urllib3.util.ssl_ import create_urllib3_context

    verify = options.verify is not False
    context = create_urllib3_context(cert_reqs=ssl.CERT_REQUIRED if verify else ssl.CERT_NONE)
    context.set_alpn_protocols(["http/1.1"])
    if options.min_version is not None:
        context.minimum_version = options.min_version
    if verify:
        _load_trusted(context, options.verify)
    elif options.fingerprint is None:
        _warn_of_trusting_anybody()
    if options.cert is not None:
        _load_own(context, options.cert)
    return context


def _warn_of_trusting_anybody() -> None:
    # The category is what urllib3's users, and urllib3.disable_warnings(), know already.
    from urllib3.exceptions import InsecureRequestWarning

    warnings.warn(
        "verify=False: whoever answers is taken for the server that was meant. "
        "verify= takes the path of a CA file, too, and fingerprint= the one certificate to take",
        InsecureRequestWarning,
        stacklevel=2,
    )


def _load_trusted(context: ssl.SSLContext, verify: bool | str | tuple[str, ...]) -> None:
    if verify == SYSTEM:
        context.load_default_certs()
    elif isinstance(verify, tuple):
        for path in verify:
            _load_trusted_from(context, path)
    else:
        _load_trusted_from(context, verify if isinstance(verify, str) else _path_of_certifi())


def _load_trusted_from(context: ssl.SSLContext, path: str) -> None:
    try:
        if os.path.isdir(path):
            context.load_verify_locations(capath=path)
        else:
            context.load_verify_locations(cafile=path)
    except (OSError, ValueError) as exc:
        _refuse(f"verify={path!r}{_named_by(path)}", exc, "no PEM file with certificates")


def _named_by(path: str) -> str:
    """A word to those who have never said ``verify``."""
    if path == os.environ.get("SSL_CERT_FILE"):
        return " (SSL_CERT_FILE in the environment)"
    if path in os.environ.get("SSL_CERT_DIR", "").split(os.pathsep):
        return " (SSL_CERT_DIR in the environment)"
    return ""


def _path_of_certifi() -> str:
    import certifi

    return certifi.where()


def _load_own(context: ssl.SSLContext, cert: str | tuple[str, str] | tuple[str, str, str]) -> None:
    def ask_nobody() -> str:
        raise RequestError(
            f"{option}: the key is encrypted; cert=(certificate, key, password) opens it"
        )

    option = f"cert={shown_cert(cert)}"
    parts = (cert,) if isinstance(cert, str) else cert
    try:
        for path in parts[:2]:
            with open(path, "rb"):
                pass
        context.load_cert_chain(
            parts[0],
            parts[1] if len(parts) > 1 else None,
            parts[2] if len(parts) > 2 else ask_nobody,
        )
    except (OSError, ValueError) as exc:
        _refuse(option, exc, "no PEM certificate with the key that belongs to it")


def _refuse(option: str, exc: OSError | ValueError, otherwise: str) -> NoReturn:
    if isinstance(exc, ssl.SSLError):
        why = f"{otherwise} ({exc.reason or exc.strerror})"
    elif isinstance(exc, OSError):
        why = f"{exc.strerror}: {exc.filename!r}" if exc.filename else f"{exc.strerror}"
    else:
        why = str(exc)
    raise RequestError(f"{option}: {why}") from exc


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
