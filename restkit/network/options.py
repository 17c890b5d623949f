"""Options for TLS and for sockets."""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Callable, Mapping
from typing import NamedTuple, TypeAlias

from restkit.annotations import IPv4Address, IPv6Address
from restkit.errors import RequestError
from restkit.io.ssl_context import is_context

AddressCheck: TypeAlias = Callable[[IPv4Address | IPv6Address], object]
Connect: TypeAlias = Callable[[str, int], socket.socket]
SocketOption: TypeAlias = tuple[int, int, int | bytes]
SecondsLeft: TypeAlias = Callable[[], float | None]

SYSTEM = "system"
_VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
# Hashes that are too weak, by the number of hex digits.
_TOO_WEAK = {32: "an MD5", 40: "a SHA-1"}
_SHA256_DIGITS = 64


class TLSOptions(NamedTuple):
    """The certificates to trust, and the client's own.

    ``verify``: True trusts the authorities of certifi, ``'system'`` those of the system, a path
    those in a file or folder, and several paths those in all of them. False trusts any server.
    ``cert``: a file with the client's certificate and key, or (certificate, key), or
    (certificate, key, password). ``context`` is used unchanged, instead of all these.
    ``fingerprint``: the SHA-256, in hex, of the only certificate that the server may have; all
    other checks apply too. ``min_version``: the oldest version of TLS that is used.

    >>> TLSOptions(cert=('client.pem', 'client.key', 'secret'))
    TLSOptions(True, cert=('client.pem', 'client.key', '...'), context=None)
    """

    verify: bool | str | tuple[str, ...] = True
    cert: str | tuple[str, str] | tuple[str, str, str] | None = None
    context: ssl.SSLContext | None = None
    fingerprint: str | None = None
    min_version: ssl.TLSVersion | None = None

    def __repr__(self) -> str:
        values = {"cert": redact_cert(self.cert), "context": repr(self.context)}
        if self.fingerprint is not None:
            values["fingerprint"] = repr(self.fingerprint)
        if self.min_version is not None:
            values["min_version"] = self.min_version.name
        options = ", ".join(f"{name}={value}" for name, value in values.items())
        return f"TLSOptions({self.verify!r}, {options})"


def check_tls_options(options: TLSOptions) -> TLSOptions:
    """Return the options with a normalized fingerprint and version; raise RequestError if invalid.

    Reads no file.
    """
    verify, cert, context, fingerprint, min_version = options
    if not _is_verify_option(verify):
        raise RequestError(f"verify must be True, False, 'system' or a path; got {verify!r}")
    if verify is False:
        # For the warning in tls.py. Imported early: a forked child must not import (see dial.py).
        import urllib3.exceptions  # noqa: F401
    if not _is_cert_option(cert):
        # The value is not repeated: a password may be in it.
        raise RequestError(
            "cert must be a path, (certificate, key) or (certificate, key, password)"
        )
    if context is not None and not is_context(context):
        raise RequestError(f"ssl_context must be an ssl.SSLContext; got {context!r}")
    min_version = as_tls_version(min_version)
    if context is not None and (verify is not True or cert is not None or min_version is not None):
        raise RequestError(
            "verify, cert and min_tls cannot change an ssl_context; set them in the context itself"
        )
    return options._replace(fingerprint=_as_sha256(fingerprint), min_version=min_version)


def as_tls_version(value: object) -> ssl.TLSVersion | None:
    """Return the version for '1.2', '1.3' or an ``ssl.TLSVersion``; None leaves it to OpenSSL.

    >>> as_tls_version('1.3').name
    'TLSv1_3'
    """
    if value is None:
        return None
    version = _VERSIONS.get(value) if isinstance(value, str) else value
    if not isinstance(version, ssl.TLSVersion) or version not in _VERSIONS.values():
        raise RequestError(
            f"min_tls must be '1.2' or '1.3'; got {value!r}; older versions need an ssl_context"
        )
    return version


def read_ca_paths(environ: Mapping[str, str]) -> tuple[str, ...] | None:
    """Return the paths in SSL_CERT_FILE and SSL_CERT_DIR, for ``verify``; None if there are none.

    SSL_CERT_DIR may name several folders. Like OpenSSL, this skips folders that do not exist,
    unless there is no other path.
    """
    folders = [each for each in environ.get("SSL_CERT_DIR", "").split(os.pathsep) if each]
    found = [each for each in folders if os.path.isdir(each)]
    if file := environ.get("SSL_CERT_FILE"):
        found.insert(0, file)
    return tuple(found or folders) or None


def _as_sha256(value: object) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str):
        raise RequestError(
            f"fingerprint must be the SHA-256 of a certificate in hex; got {value!r}"
        )
    digits = value.replace(":", "").lower()
    if len(digits) == _SHA256_DIGITS and not digits.strip("0123456789abcdef"):
        return digits
    weak = _TOO_WEAK.get(len(digits))
    hint = f", {weak} fingerprint, which can be forged" if weak else ""
    raise RequestError(
        "fingerprint must be the SHA-256 of the server's certificate, 64 hex digits with or "
        f"without colons; got {value!r}{hint}"
    )


def _is_verify_option(verify: object) -> bool:
    if isinstance(verify, tuple):
        return bool(verify) and all(isinstance(path, str) for path in verify)
    return isinstance(verify, (bool, str))


def _is_cert_option(cert: object) -> bool:
    if isinstance(cert, tuple):
        return len(cert) in (2, 3) and all(isinstance(item, str) for item in cert)
    return cert is None or isinstance(cert, str)


def redact_cert(cert: object) -> str:
    """Return the option for messages, without its password."""
    if isinstance(cert, tuple) and len(cert) > 2:
        return f"({cert[0]!r}, {cert[1]!r}, '...')"
    return repr(cert)


class Network(NamedTuple):
    """The socket options of a Client, for all origins.

    ``source_address`` is the (address, port) to connect from. ``uds`` is the path of a Unix
    socket to use for every host. ``address_check`` is called with every address before it is
    connected to, and forbids it with a false result. ``connect`` is called with host and port,
    and returns the connected socket.
    """

    source_address: tuple[str, int] | None = None
    socket_options: tuple[SocketOption, ...] = ()
    uds: str | None = None
    address_check: AddressCheck | None = None
    connect: Connect | None = None


def socket_path(uds: str) -> str:
    """Return the path of a Unix socket like ss(8): an abstract name begins with an @."""
    return uds.replace("\0", "@", 1)
