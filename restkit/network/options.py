"""Options for TLS and for sockets.

What callers may say about TLS: whom to trust, who they are, and how old it may be.
"""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from restkit.errors import RequestError

if TYPE_CHECKING:
    from ipaddress import IPv4Address, IPv6Address  # slow to import, and only for types

AddressCheck: TypeAlias = "Callable[[IPv4Address | IPv6Address], object]"
Connect: TypeAlias = Callable[[str, int], socket.socket]
SocketOption: TypeAlias = tuple[int, int, int | bytes]

SYSTEM = "system"
_VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
# By the digits that a fingerprint has in hex.
_TOO_WEAK = {32: "an MD5", 40: "a SHA-1"}
_SHA256_DIGITS = 64


class TLSOptions(NamedTuple):
    """Whom to trust, and how to say who we are.

    ``verify``: True trusts the authorities in certifi, ``'system'`` those of the system's store,
    a path those in a file or folder, several paths those in all of them; False trusts whoever
    answers. ``cert``: a file with the client's certificate and key, or (certificate, key), or
    (certificate, key, password). ``min_version``: the oldest version of TLS that is spoken.
    ``context`` is used as it is, instead of all these. ``fingerprint``: the SHA-256 of the one
    certificate that the peer may have, in hex; whatever else there is must hold as well.
    """

    verify: bool | str | tuple[str, ...] = True
    cert: str | tuple[str, str] | tuple[str, str, str] | None = None
    context: ssl.SSLContext | None = None
    fingerprint: str | None = None
    min_version: ssl.TLSVersion | None = None

    def __repr__(self) -> str:
        shown = {"cert": shown_cert(self.cert), "context": repr(self.context)}
        if self.fingerprint is not None:
            shown["fingerprint"] = repr(self.fingerprint)
        if self.min_version is not None:
            shown["min_version"] = self.min_version.name
        said = ", ".join(f"{name}={value}" for name, value in shown.items())
        return f"TLSOptions({self.verify!r}, {said})"


def checked(options: TLSOptions) -> TLSOptions:
    """The same options, the fingerprint as ``hashlib`` writes it; no file is looked at.

    Raises RequestError for what cannot be meant.
    """
    verify, cert, context, fingerprint, min_version = options
    if not _is_trust(verify):
        raise RequestError(f"verify={verify!r}: True, False, 'system' or a path is wanted")
    if not _is_cert(cert):
        raise RequestError("cert= is a path, (certificate, key) or (certificate, key, password)")
    if context is not None and not isinstance(context, ssl.SSLContext):
        raise RequestError(f"ssl_context={context!r}: an ssl.SSLContext is wanted")
    min_version = as_tls_version(min_version)
    if context is not None and (verify is not True or cert is not None or min_version is not None):
        raise RequestError(
            "ssl_context= is used as it is: verify=, cert= and min_tls= cannot change it"
        )
    return options._replace(fingerprint=_as_sha256(fingerprint), min_version=min_version)


def as_tls_version(value: object) -> ssl.TLSVersion | None:
    """From '1.2' or '1.3', or the same as ``ssl.TLSVersion``; None is as OpenSSL is set."""
    if value is None:
        return None
    version = _VERSIONS.get(value) if isinstance(value, str) else value
    if not isinstance(version, ssl.TLSVersion) or version not in _VERSIONS.values():
        raise RequestError(
            f"min_tls={value!r}: '1.2' or '1.3' is wanted; older versions take an ssl_context="
        )
    return version


def trusted_by_environment(environ: Mapping[str, str]) -> tuple[str, ...] | None:
    """What SSL_CERT_FILE and SSL_CERT_DIR name, for ``verify``; None where they name nothing.

    SSL_CERT_DIR may name several folders; as OpenSSL does, it passes over those that are
    not there, unless there is nothing else.
    """
    folders = [each for each in environ.get("SSL_CERT_DIR", "").split(os.pathsep) if each]
    found = [each for each in folders if os.path.isdir(each)]
    if file := environ.get("SSL_CERT_FILE"):
        found.insert(0, file)
    return tuple(found or folders) or None


def _as_sha256(given: object) -> str | None:
    if given is None:
        return None
    if not isinstance(given, str):
        raise RequestError(f"fingerprint={given!r}: the SHA-256 of a certificate in hex is wanted")
    digits = given.replace(":", "").lower()
    if len(digits) == _SHA256_DIGITS and not digits.strip("0123456789abcdef"):
        return digits
    weak = _TOO_WEAK.get(len(digits))
    found = f"that is {weak} fingerprint, which can be forged; " if weak else ""
    raise RequestError(
        f"fingerprint={given!r}: {found}the SHA-256 of the peer's certificate, 64 hex digits with "
        "or without colons, is wanted"
    )


def _is_trust(verify: object) -> bool:
    if isinstance(verify, tuple):
        return bool(verify) and all(isinstance(path, str) for path in verify)
    return isinstance(verify, (bool, str))


def _is_cert(cert: object) -> bool:
    if isinstance(cert, tuple):
        return len(cert) in (2, 3) and all(isinstance(part, str) for part in cert)
    return cert is None or isinstance(cert, str)


def shown_cert(cert: object) -> str:
    """The option without its password, for messages."""
    if isinstance(cert, tuple) and len(cert) > 2:
        return f"({cert[0]!r}, {cert[1]!r}, '...')"
    return repr(cert)


class Network(NamedTuple):
    """How sockets are opened, whatever the origin.

    ``source_address`` is the (address, port) to connect from; ``uds`` the path of a Unix socket
    that stands for every host; ``address_check`` is asked for every address before it is
    connected to, and says by a false answer that it must not be; ``connect`` is given host and
    port, and gives the connected socket itself.
    """

    source_address: tuple[str, int] | None = None
    socket_options: tuple[SocketOption, ...] = ()
    uds: str | None = None
    address_check: AddressCheck | None = None
    connect: Connect | None = None


def socket_path(uds: str) -> str:
    """The path of a Unix socket as ss(8) shows it: a name that is no file's begins with an @."""
    return uds.replace("\0", "@", 1)
