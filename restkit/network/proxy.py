"""A proxy, and which requests it forwards.

A proxy, as callers name it: where it is, what it speaks, and who we are to it.
"""

from __future__ import annotations

import os
import re
from binascii import b2a_base64
from typing import TYPE_CHECKING, NoReturn

from restkit.errors import RequestError
from restkit.headers import Headers
from restkit.network.options import TLSOptions, checked
from restkit.redaction import redact_text
from restkit.url.host import host_and_port, split_host_port

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterable, Mapping

    from restkit.headers import HeaderValue
    from restkit.network.options import AddressCheck


_DEFAULT_PORTS = {
    "http": 80,
    "https": 443,
    "socks4": 1080,
    "socks4a": 1080,
    "socks5": 1080,
    "socks5h": 1080,
}
_WANTED = (
    "http, https, socks4, socks4a, socks5 or socks5h, with :// and a host behind it, is wanted"
)
_LONGEST_SOCKS = 127
_ADDRESS = re.compile(r"(?:([^/?#:@]*)://)?(?:([^/?#]*)@)?([^/?#@]*)/?")


class Proxy:
    """A proxy: a value, for ``proxy=``.

    ``http`` and ``https`` proxies are asked for tunnels to https origins and are handed requests
    for http ones; ``https`` says that TLS is spoken with the proxy itself, by ``verify``, ``cert``
    and ``ssl_context``, which have nothing to do with those of the origin. ``socks5`` and
    ``socks4`` look names up here, ``socks5h`` and ``socks4a`` leave that to the proxy; they want
    the extra ``restkit[socks]``. User name and password are percent-decoded. ``headers`` go to
    the proxy only. ``check_address`` is asked for every address of the proxy's own.

    Raises RequestError. Neither ``str`` nor ``repr`` has the user name or the password.

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
        headers: Mapping[str, HeaderValue] | Iterable[tuple[str, HeaderValue]] | None = None,
        verify: bool | str | os.PathLike[str] = True,
        cert: str | tuple[str, str] | tuple[str, str, str] | None = None,
        ssl_context: ssl.SSLContext | None = None,
        check_address: AddressCheck | None = None,
    ) -> None:
        try:
            scheme, host, port, username, password = _parts(url)
            _check_credentials(scheme, username, password)
        except ValueError as exc:
            # Not chained where the cause may repeat half of a password.
            raise RequestError(f"proxy {_named(url)}: {exc}") from None
        put = object.__setattr__
        put(self, "scheme", scheme)
        put(self, "host", host)
        put(self, "port", port)
        put(self, "username", username)
        put(self, "password", password)
        trusted = os.fspath(verify) if isinstance(verify, os.PathLike) else verify
        put(self, "tls", checked(TLSOptions(trusted, cert, ssl_context)))
        put(self, "fields", () if self.is_socks else _fields(headers, username, password))
        put(self, "address_check", check_address)
        if self.is_socks:
            self._judge_socks(headers)

    @property
    def is_socks(self) -> bool:
        """Whether it speaks SOCKS, and not HTTP."""
        return self.scheme.startswith("socks")

    @property
    def where(self) -> str:
        """Host and port, as messages name them."""
        return host_and_port(self.host, self.port)

    @property
    def looks_up(self) -> bool:
        """Whether the names of hosts are looked up there, and not here."""
        return self.scheme not in ("socks4", "socks5")

    def forwards(self, scheme: str) -> bool:
        """Whether it is handed the requests for such origins, rather than asked for a way there.

        Their target is then the whole URL, and ``fields`` go along in their heads.
        """
        return scheme == "http" and not self.is_socks

    def _judge_socks(self, headers: object) -> None:
        if headers:
            raise RequestError(f"proxy {self}: headers= are for http and https proxies")
        try:
            # Now, and not at the first connection: see get_ready() in dial.py.
            import restkit.network.socks  # noqa: F401
        except ImportError as exc:
            raise RequestError(f"proxy {self}: SOCKS wants `pip install restkit[socks]`") from exc

    def __str__(self) -> str:
        return f"{self.scheme}://{self.where}"

    def __repr__(self) -> str:
        user = "" if self.username is None else "***@"
        return f"Proxy('{self.scheme}://{user}{self.where}')"

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"a Proxy is a value: {name} cannot be set")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"a Proxy is a value: {name} cannot be deleted")

    def _values(self) -> tuple[object, ...]:
        return tuple(getattr(self, name) for name in Proxy.__slots__)

    def __eq__(self, other: object) -> bool:
        return self._values() == other._values() if isinstance(other, Proxy) else NotImplemented

    def __hash__(self) -> int:
        # It is in the key of every connection: what tells proxies apart well enough is enough.
        return hash((self.scheme, self.host, self.port, self.username))


def as_proxy(value: object) -> Proxy | None:
    """The proxy that is meant: by a Proxy, a URL, ``'host:port'`` (of an http one), or None."""
    if value is None or isinstance(value, Proxy):
        return value
    if isinstance(value, str):
        return Proxy(value)
    raise RequestError(
        f"proxy= is a URL, a restkit.Proxy or None, and not of type {type(value).__name__}"
    )


def _parts(url: object) -> tuple[str, str, int, str | None, str | None]:
    if not isinstance(url, str):
        raise ValueError("a URL is wanted, as text")
    match = _ADDRESS.fullmatch(url.strip(" "))
    if not match:
        raise ValueError(
            "nothing follows a proxy's host and port; /, ? and # in a password are written "
            "%2F, %3F and %23"
        )
    scheme = "http" if match[1] is None else match[1].lower()
    if scheme not in _DEFAULT_PORTS:
        raise ValueError(_WANTED)
    host, port = split_host_port(match[3])
    username, password = _credentials(match[2])
    return scheme, _bare(host), port or _DEFAULT_PORTS[scheme], username, password


def _bare(host: str) -> str:
    """The host as routes have it: an IPv6 address without brackets, with its zone."""
    if not host.startswith("["):
        return host
    import ipaddress

    address, _, zone = host[1:-1].partition("%25")
    try:
        address = str(ipaddress.IPv6Address(address))
    except ValueError:
        raise ValueError("what the brackets hold is no IPv6 address") from None
    return f"{address}%{zone}" if zone else address


def _credentials(text: str | None) -> tuple[str | None, str | None]:
    if not text:
        return None, None
    from urllib.parse import unquote

    username, _, password = text.partition(":")
    try:
        return unquote(username, errors="strict"), unquote(password, errors="strict")
    except UnicodeDecodeError:
        raise ValueError("user name and password must be UTF-8, percent-encoded") from None


def _check_credentials(scheme: str, username: str | None, password: str | None) -> None:
    if username is None or password is None:
        return
    if not scheme.startswith("socks"):
        if ":" in username:
            raise ValueError("a user name cannot have a colon in it (RFC 7617 2)")
    elif scheme.startswith("socks4"):
        if password:
            raise ValueError("SOCKS4 knows user names, but no passwords")
        if "\0" in username:
            raise ValueError("SOCKS4 has no user names with a NUL in them")
    elif not (username and password):
        # PySocks 1.7.1 would go on as if neither had been given.
        raise ValueError("SOCKS5 wants a user name and a password, neither of them empty")
    elif max(len(username.encode()), len(password.encode())) > _LONGEST_SOCKS:
        # RFC 1929 has 255, but PySocks 1.7.1 writes what is above 127 as two bytes.
        raise ValueError(f"user name and password may have {_LONGEST_SOCKS} bytes each")


def _fields(
    headers: Mapping[str, HeaderValue] | Iterable[tuple[str, HeaderValue]] | None,
    username: str | None,
    password: str | None,
) -> tuple[tuple[str, str], ...]:
    given = Headers(headers)
    if username is None or "proxy-authorization" in given.names():
        return tuple(given.pairs())
    encoded = b2a_base64(f"{username}:{password}".encode(), newline=False).decode()
    return ("Proxy-Authorization", f"Basic {encoded}"), *given.pairs()


def _named(url: object) -> str:
    return redact_text(url) if isinstance(url, str) else f"of type {type(url).__name__}"
