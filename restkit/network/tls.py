"""SSL contexts and the TLS handshake.

Facts that the code depends on. OpenSSL asks at the terminal for the password of an encrypted key
that came without one, unless it has a function to call instead. ``SSLContext.load_cert_chain``
does not say which of its two files is missing (CPython 3.10 to 3.14). A folder of certificates is
read while a peer certificate is verified, by file names that are hashes
(SSL_CTX_load_verify_locations(3)).

``ssl`` closes a socket whose handshake failed, but not one whose handshake a KeyboardInterrupt
ended (Lib/ssl.py, ``SSLSocket._create``, CPython 3.10 to 3.14). A context does not change after it
is made: OpenSSL may be copying it for another thread (CPython up to 3.12 calls SSL_new without the
GIL).
"""

from __future__ import annotations

import os
import socket
import ssl
from contextlib import suppress
from threading import RLock
from time import monotonic
from typing import NoReturn, cast

from restkit.caller import warn_caller
from restkit.errors import RequestError
from restkit.io.fork_lock import openssl_step
from restkit.io.processes import run_in_forked_child
from restkit.io.sockets import READ, WRITE, poll
from restkit.io.ssl_context import (
    has_separate_handshake,
    new_context,
    set_minimum_version,
    standard_class,
)
from restkit.network.options import SYSTEM, TLSOptions, check_tls_options, redact_cert
from restkit.network.tls_in_tls import TLSInTLS

_MAX_CONTEXTS = 256


def get_ssl_context(options: TLSOptions, *, in_tls: bool = False) -> ssl.SSLContext:
    """Return the context of these options, made at their first use and kept.

    If a library such as truststore has replaced ``ssl.SSLContext``, its class verifies for
    ``verify=True`` and ``'system'``. The class of the standard library is used for a path, which
    names the only authorities, and for TLS inside TLS.

    Files are read once in a process; later changes to them are not seen. Raises RequestError,
    naming the option and the path, if one cannot be used.

    >>> get_ssl_context(TLSOptions()) is get_ssl_context(TLSOptions(verify=True))
    True
    """
    options = check_tls_options(options)
    if options.context is not None:
        return options.context
    replaceable = options.verify in (True, SYSTEM) and not in_tls
    # One context serves all fingerprints.
    return _contexts.get(
        ssl.SSLContext if replaceable else standard_class(), options._replace(fingerprint=None)
    )


class _ContextCache:
    """The contexts made so far; a lock keeps threads from making one twice."""

    def __init__(self) -> None:
        self._made: dict[tuple[type[ssl.SSLContext], TLSOptions], ssl.SSLContext] = {}
        self.reset_lock()

    def reset_lock(self) -> None:
        self._lock = RLock()

    def get(self, kind: type[ssl.SSLContext], options: TLSOptions) -> ssl.SSLContext:
        key = kind, options
        with self._lock:
            made = self._made.get(key)
            if made is None:
                with openssl_step():
                    made = _make_context(kind, options)
                # Programs with a certificate for each of their customers make many.
                if len(self._made) >= _MAX_CONTEXTS:
                    del self._made[next(iter(self._made))]
                self._made[key] = made
            return made


_contexts = _ContextCache()
# In the child, the thread that held the lock does not exist and cannot release it.
run_in_forked_child(_contexts.reset_lock)


def _make_context(kind: type[ssl.SSLContext], options: TLSOptions) -> ssl.SSLContext:
    verify = options.verify is not False
    context = new_context(kind, verify=verify)
    if options.min_version is not None:
        set_minimum_version(context, options.min_version)
    if verify:
        _load_authorities(context, options.verify)
    if options.cert is not None:
        _load_client_certificate(context, options.cert)
    return context


def warn_if_unverified(options: TLSOptions) -> None:
    """Warn the caller of restkit (InsecureRequestWarning) if these options trust any server."""
    if options.verify is not False or options.fingerprint is not None:
        return
    # The category is the one that urllib3's users, and urllib3.disable_warnings(), know already.
    from urllib3.exceptions import InsecureRequestWarning

    warn_caller(
        "verify=False: any server is trusted, even an impostor. "
        "verify can also be the path of a CA file, and fingerprint the one certificate to trust",
        InsecureRequestWarning,
    )


def _load_authorities(context: ssl.SSLContext, verify: bool | str | tuple[str, ...]) -> None:
    if verify == SYSTEM:
        context.load_default_certs()
    elif isinstance(verify, tuple):
        for path in verify:
            _load_path(context, path)
    else:
        _load_path(context, verify if isinstance(verify, str) else certifi_path())


def _load_path(context: ssl.SSLContext, path: str) -> None:
    try:
        if os.path.isdir(path):
            context.load_verify_locations(capath=path)
        else:
            context.load_verify_locations(cafile=path)
    except (OSError, ValueError) as exc:
        option = f"verify={path!r}{_variable_hint(path)}"
        _raise_option_error(option, exc, "not a PEM file with certificates")


def _variable_hint(path: str) -> str:
    """Return the variable that names a path, for callers who did not pass ``verify``."""
    if path == os.environ.get("SSL_CERT_FILE"):
        return " (SSL_CERT_FILE in the environment)"
    if path in os.environ.get("SSL_CERT_DIR", "").split(os.pathsep):
        return " (SSL_CERT_DIR in the environment)"
    return ""


def certifi_path() -> str:
    """Return the path of certifi's file; the first call imports modules."""
    import certifi

    return certifi.where()


def _load_client_certificate(
    context: ssl.SSLContext, cert: str | tuple[str, str] | tuple[str, str, str]
) -> None:
    def raise_encrypted() -> str:
        raise RequestError(
            f"{option}: the key is encrypted; give cert=(certificate, key, password)"
        )

    option = f"cert={redact_cert(cert)}"
    parts = (cert,) if isinstance(cert, str) else cert
    try:
        for path in parts[:2]:
            with open(path, "rb"):
                pass
        context.load_cert_chain(
            parts[0],
            parts[1] if len(parts) > 1 else None,
            parts[2] if len(parts) > 2 else raise_encrypted,
        )
    except (OSError, ValueError) as exc:
        _raise_option_error(option, exc, "not a PEM certificate with its key")


def _raise_option_error(option: str, exc: OSError | ValueError, fault: str) -> NoReturn:
    if isinstance(exc, ssl.SSLError):
        reason = f"{fault} ({exc.reason or exc.strerror})"
    elif isinstance(exc, OSError):
        reason = f"{exc.strerror}: {exc.filename!r}" if exc.filename else f"{exc.strerror}"
    else:
        reason = str(exc)
    raise RequestError(f"{option}: {reason}") from exc


class Handshake:
    """One TLS handshake, and a description of failures.

    A fingerprint is compared as soon as there is a certificate, before anything is sent.
    ``started`` is True after TCP is connected. Raises RequestError for options that cannot be
    used.
    """

    def __init__(self, options: TLSOptions) -> None:
        self.started = False
        self._options = check_tls_options(options)
        self._context = get_ssl_context(options)
        self._certificate_names: list[str] = []

    def wrap_socket(self, sock: socket.socket, server_hostname: str) -> ssl.SSLSocket:
        """Do the handshake, within the timeout of the socket; close it on any exception."""
        self.started = True
        secure = self._wrap(sock, server_hostname)
        if self._options.fingerprint is not None:
            try:
                _check_fingerprint(secure, self._options.fingerprint)
            except BaseException:
                secure.close()
                raise
        return secure

    def _wrap(self, sock: socket.socket, server_hostname: str) -> ssl.SSLSocket:
        if not has_separate_handshake(self._context):
            if not isinstance(sock, ssl.SSLSocket):
                return self._context.wrap_socket(sock, server_hostname=server_hostname)
            if self._options.context is not None:
                sock.close()
                raise RequestError(
                    "an ssl_context of a class of its own cannot be used through an https proxy: "
                    "it verifies sockets, and TLS inside TLS is not one"
                )
            self._context = get_ssl_context(self._options, in_tls=True)
        secure = self._wrap_without_handshake(sock, server_hostname)
        try:
            if isinstance(sock, ssl.SSLSocket):  # then TLSInTLS
                secure.do_handshake()
            else:
                _do_handshake(secure)
        except BaseException as exc:
            if isinstance(exc, ssl.SSLCertVerificationError):
                self._certificate_names = _read_certificate_names(secure)
            secure.close()
            raise
        return secure

    def _wrap_without_handshake(self, sock: socket.socket, server_hostname: str) -> ssl.SSLSocket:
        if isinstance(sock, ssl.SSLSocket):
            return cast("ssl.SSLSocket", TLSInTLS(self._context, sock, server_hostname))
        return self._context.wrap_socket(
            sock, server_hostname=server_hostname, do_handshake_on_connect=False
        )

    def describe_failure(self, exc: ssl.SSLError, host: str) -> str:
        """Return the check that the server's certificate failed, or another reason."""
        if isinstance(exc, _FingerprintError):
            return str(exc.args[0])
        if isinstance(exc, ssl.SSLCertVerificationError):
            return self._describe_check(exc, host)
        return f"the TLS handshake failed: {describe_ssl_error(exc, _oldest(self._options))}"

    def _describe_check(self, exc: ssl.SSLCertVerificationError, host: str) -> str:
        code = exc.verify_code
        if code in _HOST_CODES:
            names = ", ".join(self._certificate_names[:5]) or "another host"
            others = len(self._certificate_names) - 5
            more = f" and {others} more" if others > 0 else ""
            return f"its certificate is for {names}{more}, not for {host}"
        if code not in _FAILED_CHECKS:
            return f"its certificate failed a check: {exc.verify_message}"
        reason = f"its certificate {_FAILED_CHECKS[code]}"
        if code not in _TRUST_CODES:
            return reason
        return f"{reason} ({_describe_trust(self._options, self._context)})"


def _do_handshake(secure: ssl.SSLSocket) -> None:
    """Do the handshake within the socket's timeout, in steps that do not wait."""
    timeout = secure.gettimeout()
    deadline = None if timeout is None else monotonic() + timeout
    secure.setblocking(False)
    ready = poll()
    while True:
        try:
            with openssl_step():
                secure.do_handshake()
            break
        except ssl.SSLWantReadError:
            ready.register(secure.fileno(), READ)
        except ssl.SSLWantWriteError:
            ready.register(secure.fileno(), WRITE)
        if not ready.poll(None if deadline is None else max(0.0, deadline - monotonic()) * 1000):
            raise TimeoutError("the TLS handshake timed out")
    secure.settimeout(timeout)


# By the numbers of X509_STORE_CTX_get_error(3).
_FAILED_CHECKS = {
    9: "is not valid yet, by this machine's clock",
    10: "has expired, by this machine's clock",
    18: "is self-signed and not trusted",
    19: "has a self-signed certificate at the end of its chain, which is not trusted",
    2: "was issued by an authority that is not trusted",
    20: "was issued by an authority that is not trusted",
    21: "was issued by an authority that is not trusted",
}
_TRUST_CODES = (2, 18, 19, 20, 21)
_HOST_CODES = (62, 64)

_NO_TLS = "the server does not seem to use TLS: should the URL begin with http://?"
_NO_VERSION = "the server does not support TLS {oldest}"
_REFUSED = "the server does not accept the client's certificate, given as cert"
_HINTS = {
    "WRONG_VERSION_NUMBER": _NO_TLS,
    "HTTP_REQUEST": _NO_TLS,
    "PACKET_LENGTH_TOO_LONG": _NO_TLS,
    "RECORD_LAYER_FAILURE": _NO_TLS,
    "UNSUPPORTED_PROTOCOL": _NO_VERSION,
    "TLSV1_ALERT_PROTOCOL_VERSION": _NO_VERSION,
    "SSLV3_ALERT_HANDSHAKE_FAILURE": "the server accepts no offered option, or requires a cert",
    "UNEXPECTED_EOF_WHILE_READING": "the server closed the connection",
    # Alerts about the client's certificate: with TLS 1.3 at our first read, after the handshake
    # (RFC 8446 section 4.4.2.4, and section 6.2 for the names).
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": "the server requires a client certificate: give cert",
    "SSLV3_ALERT_BAD_CERTIFICATE": _REFUSED,
    "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE": _REFUSED,
    "SSLV3_ALERT_CERTIFICATE_REVOKED": _REFUSED,
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": _REFUSED,
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": _REFUSED,
    "TLSV1_ALERT_UNKNOWN_CA": _REFUSED,
    "TLSV1_ALERT_ACCESS_DENIED": _REFUSED,
}


def describe_ssl_error(exc: ssl.SSLError, oldest: str = "1.2 or later") -> str:
    """Return OpenSSL's name for a failure, and a hint about the server."""
    reason = exc.reason or "UNEXPECTED_EOF_WHILE_READING"
    words = reason.replace("_", " ").lower()
    hint = _HINTS.get(reason)
    return words if hint is None else f"{words}; {hint.format(oldest=oldest)}"


def _oldest(options: TLSOptions) -> str:
    if options.context is not None:
        return "in a version that the ssl_context allows"
    if options.min_version is ssl.TLSVersion.TLSv1_3:
        return "1.3, the oldest version that min_tls allows"
    return "1.2 or later"


class _FingerprintError(ssl.SSLError):
    """The server's certificate is not the one of the fingerprint."""


def _check_fingerprint(secure: ssl.SSLSocket, fingerprint: str) -> None:
    from hashlib import sha256

    certificate = secure.getpeercert(binary_form=True)
    found = sha256(certificate or b"").hexdigest()
    if found != fingerprint:
        raise _FingerprintError(
            f"its certificate has the SHA-256 fingerprint {found}, but fingerprint= requires "
            f"{fingerprint}"
        )


def _read_certificate_names(secure: ssl.SSLSocket) -> list[str]:
    # No public method gives the certificate of a handshake that failed. If this private one
    # (CPython 3.10 to 3.14) does not exist, only the message lacks these names.
    with suppress(AttributeError, LookupError, TypeError, ValueError, ssl.SSLError):
        inner = getattr(secure, "inner", secure)
        chain = inner._sslobj.get_unverified_chain()  # type: ignore[union-attr]  # private
        return [name for _, name in chain[0].get_info()["subjectAltName"]]
    return []


def _describe_trust(options: TLSOptions, context: ssl.SSLContext) -> str:
    verify = options.verify
    if options.context is not None:
        return "only certificates in the ssl_context are trusted"
    if not has_separate_handshake(context):
        library = type(context).__module__.partition(".")[0]
        own = "the system" if verify == SYSTEM else "certifi"
        return f"only the authorities of {own} and of {library} are trusted"
    if verify is True:
        return "only the authorities of certifi are trusted; verify can be a path to others"
    if verify == SYSTEM:
        return "only the authorities of the system are trusted"
    paths = verify if isinstance(verify, tuple) else (verify,)
    return f"only certificates in {' and '.join(map(repr, paths))} are trusted"
