"""A proxy, and which requests it forwards."""

from __future__ import annotations

import os
import re
import ssl
from binascii import b2a_base64
from typing import NoReturn

from restkit.errors import RequestError
from restkit.headers import GivenFields, Headers
from restkit.network.options import AddressCheck, TLSOptions, check_tls_options
from restkit.network.socks import import_socks_package
from restkit.network.tls import warn_if_unverified
from restkit.redaction import redact_text
from restkit.url.host import join_host_port, split_host_port

_DEFAULT_PORTS = {
    "http": 80,
    "https": 443,
    "socks4": 1080,
    "socks4a": 1080,
    "socks5": 1080,
    "socks5h": 1080,
}
_MAX_SOCKS_CREDENTIAL = 127
_URL = re.compile(r"(?:([^/?#:@]*)://)?(?:([^/?#]*)@)?([^/?#@]*)/?")


class Proxy:
    """A proxy, an immutable value for ``proxy=``.

    An ``http`` or ``https`` proxy opens tunnels to https origins and forwards requests to http
    ones. ``https`` means TLS with the proxy itself, with ``verify``, ``cert`` and ``ssl_context``;
    these do not apply to the origin. ``socks5`` and ``socks4`` look up names on this machine,
    ``socks5h`` and ``socks4a`` at the proxy; all four need the extra ``restkit[socks]``. User name
    and password are percent-decoded. ``headers`` are sent to the proxy only. ``check_address`` is
    called with every address of the proxy itself.

    Raises RequestError. ``str`` and ``repr`` contain neither the user name nor the password.

    >>> Proxy('http://user:secret@localhost:3128')
    Proxy('http://***@localhost:3128')
    """

    __slots__ = ("address_check", "fields", "host", "password", "port", "scheme", "tls", "username")
    scheme: str
    host: str
    port: int
    username: str | None
    password: str | None
    tls: TLSOptions
    fields: tuple[tuple[str, str], ...]
    address_check: AddressCheck | None

    def __init__(
        self,
        url: str,
        *,
        headers: GivenFields | None = None,
        verify: bool | str | os.PathLike[str] = True,
        cert: str | tuple[str, str] | tuple[str, str, str] | None = None,
        ssl_context: ssl.SSLContext | None = None,
        check_address: AddressCheck | None = None,
    ) -> None:
        try:
            scheme, host, port, username, password = _split_url(url)
            _check_credentials(scheme, username, password)
        except ValueError as exc:
            # Not chained: the cause may repeat half of a password.
            raise RequestError(f"proxy {_quote_url(url)}: {exc}") from None
        # Not a frozen dataclass: the module dataclasses would slow `import restkit` down.
        set_field = object.__setattr__
        set_field(self, "scheme", scheme)
        set_field(self, "host", host)
        set_field(self, "port", port)
        set_field(self, "username", username)
        set_field(self, "password", password)
        trusted = os.fspath(verify) if isinstance(verify, os.PathLike) else verify
        tls = check_tls_options(TLSOptions(trusted, cert, ssl_context))
        warn_if_unverified(tls)
        set_field(self, "tls", tls)
        set_field(
            self, "fields", () if self.is_socks else _make_fields(headers, username, password)
        )
        set_field(self, "address_check", check_address)
        if self.is_socks:
            self._check_socks(headers)

    @property
    def is_socks(self) -> bool:
        """Whether the proxy speaks SOCKS, and not HTTP."""
        return self.scheme.startswith("socks")

    @property
    def where(self) -> str:
        """Host and port for messages."""
        return join_host_port(self.host, self.port)

    @property
    def looks_up(self) -> bool:
        """Whether the proxy looks up the names of origins."""
        return self.scheme not in ("socks4", "socks5")

    def forwards(self, scheme: str) -> bool:
        """Return whether the proxy forwards requests to such origins, without a tunnel.

        The target is then the whole URL, and ``fields`` are added to the head of the request.
        """
        return scheme == "http" and not self.is_socks

    def _check_socks(self, headers: object) -> None:
        if headers:
            raise RequestError(f"proxy {self}: headers can only be sent to http and https proxies")
        try:
            # Now, and not at the first connection: see import_early() in dial.py.
            import_socks_package()
        except ImportError as exc:
            raise RequestError(f"proxy {self}: SOCKS needs `pip install restkit[socks]`") from exc

    def __str__(self) -> str:
        return f"{self.scheme}://{self.where}"

    def __repr__(self) -> str:
        user = "" if self.username is None else "***@"
        return f"Proxy('{self.scheme}://{user}{self.where}')"

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"a Proxy is immutable: {name} cannot be set")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"a Proxy is immutable: {name} cannot be deleted")

    def _values(self) -> tuple[object, ...]:
        return tuple(getattr(self, name) for name in Proxy.__slots__)

    def __eq__(self, other: object) -> bool:
        return self._values() == other._values() if isinstance(other, Proxy) else NotImplemented

    def __hash__(self) -> int:
        # Hashed with each Route. These four fields distinguish proxies well enough.
        return hash((self.scheme, self.host, self.port, self.username))


def without_check(proxy: Proxy) -> Proxy:
    """Return the same proxy without its ``check_address``."""
    if proxy.address_check is None:
        return proxy
    copy = object.__new__(Proxy)
    for name in Proxy.__slots__:
        object.__setattr__(copy, name, getattr(proxy, name))
    object.__setattr__(copy, "address_check", None)
    return copy


def as_proxy(value: object) -> Proxy | None:
    """Return the proxy for a Proxy, a URL, ``'host:port'`` (of an http proxy), or None.

    >>> as_proxy('localhost:3128')
    Proxy('http://localhost:3128')
    """
    if value is None or isinstance(value, Proxy):
        return value
    if isinstance(value, str):
        return Proxy(value)
    raise RequestError(
        f"proxy must be a URL, a restkit.Proxy or None; got a value of type {type(value).__name__}"
    )


def _split_url(url: object) -> tuple[str, str, int, str | None, str | None]:
    if not isinstance(url, str):
        raise ValueError("the URL must be text")
    match = _URL.fullmatch(url.strip(" "))
    if not match:
        raise ValueError(
            "nothing may follow the host and port of a proxy; write /, ? and # in a password as "
            "%2F, %3F and %23"
        )
    scheme = "http" if match[1] is None else match[1].lower()
    if scheme not in _DEFAULT_PORTS:
        raise ValueError(
            "the scheme must be http, https, socks4, socks4a, socks5 or socks5h, followed by :// "
            "and a host"
        )
    host, port = split_host_port(match[3])
    username, password = _split_credentials(match[2])
    return scheme, _strip_brackets(host), port or _DEFAULT_PORTS[scheme], username, password


def _strip_brackets(host: str) -> str:
    """Return the host as in a Route: an IPv6 address without brackets, with its zone."""
    if not host.startswith("["):
        return host
    import ipaddress

    address, _, zone = host[1:-1].partition("%25")
    try:
        address = str(ipaddress.IPv6Address(address))
    except ValueError:
        raise ValueError("the brackets must contain an IPv6 address") from None
    return f"{address}%{zone}" if zone else address


def _split_credentials(text: str | None) -> tuple[str | None, str | None]:
    if not text:
        return None, None
    from urllib.parse import unquote

    username, _, password = text.partition(":")
    try:
        decoded = unquote(username, errors="strict"), unquote(password, errors="strict")
        "".join(decoded).encode()  # bytes of the environment that are not UTF-8 are surrogates
    except UnicodeError:
        raise ValueError("user name and password must be UTF-8, percent-encoded") from None
    return decoded


def _check_credentials(scheme: str, username: str | None, password: str | None) -> None:
    if username is None or password is None:
        return
    if not scheme.startswith("socks"):
        if ":" in username:
            raise ValueError("the user name must not contain a colon (RFC 7617 2)")
    elif scheme.startswith("socks4"):
        if password:
            raise ValueError("SOCKS4 has user names, but no passwords")
        if "\0" in username:
            raise ValueError("the user name must not contain a NUL for SOCKS4")
    elif not (username and password):
        # Both packages ignore the credentials if one of them is empty.
        raise ValueError("SOCKS5 needs a user name and a password, neither of them empty")
    elif max(len(username.encode()), len(password.encode())) > _MAX_SOCKS_CREDENTIAL:
        # RFC 1929 allows 255, but PySocks 1.7.1 writes a length above 127 as two bytes.
        raise ValueError(
            f"user name and password may have at most {_MAX_SOCKS_CREDENTIAL} bytes each"
        )


def _make_fields(
    headers: GivenFields | None,
    username: str | None,
    password: str | None,
) -> tuple[tuple[str, str], ...]:
    fields = Headers(headers)
    if username is None or "proxy-authorization" in fields.names():
        return tuple(fields.pairs())
    encoded = b2a_base64(f"{username}:{password}".encode(), newline=False).decode()
    return ("Proxy-Authorization", f"Basic {encoded}"), *fields.pairs()


def _quote_url(url: object) -> str:
    return redact_text(url) if isinstance(url, str) else f"of type {type(url).__name__}"
