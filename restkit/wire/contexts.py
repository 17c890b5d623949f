"""From TLS options to one context for each set of them.

Facts the code rests on. OpenSSL asks at the terminal for the password of an encrypted key that
came without one, unless it has a function to ask instead. ``SSLContext.load_cert_chain`` does
not say which of its two files is missing (CPython 3.10 to 3.14). A folder of certificates is
read while a peer is verified, by file names that are hashes (SSL_CTX_load_verify_locations(3)).
urllib3 2.2 to 2.8 warns of an unverified peer in its pools only, not in its connections.
"""

from __future__ import annotations

import os
import ssl
import warnings
from threading import Lock
from typing import NoReturn

from restkit.errors import RequestError
from restkit.wire.tls import SYSTEM, TLSOptions, checked, shown_cert


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
