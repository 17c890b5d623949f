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
from typing import NamedTuple, NoReturn

from restkit.errors import RequestError


class TLSOptions(NamedTuple):
    """Whom to trust, and how to say who we are.

    ``verify``: True trusts the authorities in certifi, a path those in a file or folder; False
    trusts whoever answers. ``cert``: a file with the client's certificate and key, or
    (certificate, key), or (certificate, key, password). ``context`` is used as it is, instead of
    both.
    """

    verify: bool | str = True
    cert: str | tuple[str, str] | tuple[str, str, str] | None = None
    context: ssl.SSLContext | None = None

    def __repr__(self) -> str:
        return f"TLSOptions({self.verify!r}, cert={_shown(self.cert)}, context={self.context!r})"


def context_for(options: TLSOptions) -> ssl.SSLContext:
    """The context of these options: made at their first use, and the same one ever after.

    Files are read once in a process; what they hold later is not seen. Raises RequestError,
    naming the option and the path, when one cannot be used. A context that verifies nobody
    warns when it is made (urllib3's InsecureRequestWarning).
    """
    checked(options)
    return _contexts.get(options) if options.context is None else options.context


def checked(options: TLSOptions) -> TLSOptions:
    """The same options; raises RequestError for what cannot be meant. No file is looked at."""
    verify, cert, context = options
    if not isinstance(verify, (bool, str)):
        raise RequestError(f"verify={verify!r}: True, False or a path is wanted")
    if not _is_cert(cert):
        raise RequestError("cert= is a path, (certificate, key) or (certificate, key, password)")
    if context is not None and not isinstance(context, ssl.SSLContext):
        raise RequestError(f"ssl_context={context!r}: an ssl.SSLContext is wanted")
    if context is not None and (verify is not True or cert is not None):
        raise RequestError("ssl_context= is used as it is: verify= and cert= cannot change it")
    return options


def _is_cert(cert: object) -> bool:
    if isinstance(cert, tuple):
        return len(cert) in (2, 3) and all(isinstance(part, str) for part in cert)
    return cert is None or isinstance(cert, str)


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
    if verify:
        _load_trusted(context, options.verify)
    else:
        _warn_of_trusting_anybody()
    if options.cert is not None:
        _load_own(context, options.cert)
    return context


def _warn_of_trusting_anybody() -> None:
    # The category is what urllib3's users, and urllib3.disable_warnings(), know already.
    from urllib3.exceptions import InsecureRequestWarning

    warnings.warn(
        "verify=False: whoever answers is taken for the server that was meant. "
        "verify= takes the path of a CA file, too",
        InsecureRequestWarning,
        stacklevel=2,
    )


def _load_trusted(context: ssl.SSLContext, verify: bool | str) -> None:
    path = verify if isinstance(verify, str) else _path_of_certifi()
    try:
        if os.path.isdir(path):
            context.load_verify_locations(capath=path)
        else:
            context.load_verify_locations(cafile=path)
    except (OSError, ValueError) as exc:
        _refuse(f"verify={path!r}", exc, "no PEM file with certificates")


def _path_of_certifi() -> str:
    import certifi

    return certifi.where()


def _load_own(context: ssl.SSLContext, cert: str | tuple[str, str] | tuple[str, str, str]) -> None:
    def ask_nobody() -> str:
        raise RequestError(
            f"cert={_shown(cert)}: the key is encrypted; cert=(certificate, key, password) opens it"
        )

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
        _refuse(f"cert={_shown(cert)}", exc, "no PEM certificate with the key that belongs to it")


def _refuse(option: str, exc: OSError | ValueError, otherwise: str) -> NoReturn:
    if isinstance(exc, ssl.SSLError):
        why = f"{otherwise} ({exc.reason or exc.strerror})"
    elif isinstance(exc, OSError):
        why = f"{exc.strerror}: {exc.filename!r}" if exc.filename else f"{exc.strerror}"
    else:
        why = str(exc)
    raise RequestError(f"{option}: {why}") from exc


def _shown(cert: object) -> str:
    """The option without its password, for messages."""
    if isinstance(cert, tuple) and len(cert) > 2:
        return f"({cert[0]!r}, {cert[1]!r}, '...')"
    return repr(cert)
