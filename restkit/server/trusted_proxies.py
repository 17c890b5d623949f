"""Requests that proxies forward: the client's address, and the scheme and host that it used.

A proxy sends them in ``X-Forwarded-For``, ``-Proto``, ``-Host`` and ``-Port``, or in ``Forwarded``
(RFC 7239). Any client can send these fields too. So they count only if they come from a trusted
proxy. Each proxy adds its value at the right end. So the address of the client is the first one
from the right that is no trusted proxy.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from itertools import islice
from typing import NamedTuple, TypeAlias

from restkit.annotations import StartResponse, WSGIApplication, WSGIEnvironment
from restkit.server.engine.body_collection import read_max_collected
from restkit.server.routing import handler_name

_Network: TypeAlias = IPv4Network | IPv6Network
_Address: TypeAlias = IPv4Address | IPv6Address

UNIX = "unix"
"""The name of the peers of a Unix socket, which have no address."""

_FIELDS = (
    "HTTP_X_FORWARDED_FOR",
    "HTTP_X_FORWARDED_PROTO",
    "HTTP_X_FORWARDED_HOST",
    "HTTP_X_FORWARDED_PORT",
    "HTTP_FORWARDED",
)
_MAX_HOPS = 16
_PORT = r"[1-9][0-9]{0,4}"
_NODE = re.compile(rf"(?:\[([0-9A-Fa-f:.]+)\]|([0-9.]+))(?::{_PORT}|:_[\w.-]+)?", re.ASCII)
_ADDRESS = re.compile(r"[0-9A-Fa-f:.]+(?:%[\w.-]+)?", re.ASCII)
_HOST = re.compile(rf"([A-Za-z0-9._-]{{1,253}}|\[[0-9A-Fa-f:.]{{2,45}}\])(?::({_PORT}))?")
_DEFAULT_PORTS = {"http": "80", "https": "443"}

_NAME = r"[!#$%&'*+.^_`|~\w-]+"
_QUOTED = r'"(?:[^"\\]|\\.)*"'
_PAIR = rf"{_NAME}=(?:{_NAME}|{_QUOTED})"
# Found at the right end: a client may have sent an unclosed quote, to which the proxy has appended.
_LAST_ELEMENT = re.compile(rf"(?:^|,)[ \t]*({_PAIR}(?:[ \t]*;[ \t]*{_PAIR})*)[ \t]*$", re.ASCII)
_EACH_PAIR = re.compile(rf"({_NAME})=(?:({_NAME})|({_QUOTED}))", re.ASCII)


class _Hop(NamedTuple):
    """The fields that one proxy has added; '' for those that it has not."""

    node: str
    proto: str = ""
    host: str = ""
    port: str = ""


class TrustedProxies:
    """Calls a WSGI application with the client, scheme and host that trusted proxies forward.

    ``proxies`` are addresses and networks (``'10.0.0.0/8'``), and ``'unix'`` for the peers of a
    Unix socket. A request of a trusted proxy gets ``REMOTE_ADDR``, ``wsgi.url_scheme`` and
    ``HTTP_HOST`` from its ``X-Forwarded-`` fields, or with ``forwarded=True`` from ``Forwarded``.
    All five fields are removed from every request, also from those of other clients.

    >>> def app(environ, start_response):
    ...     print(environ['REMOTE_ADDR'], environ['wsgi.url_scheme'], environ['HTTP_HOST'])
    >>> TrustedProxies(app, ['192.0.2.1'])({
    ...     'REMOTE_ADDR': '192.0.2.1', 'wsgi.url_scheme': 'http', 'HTTP_HOST': 'inner',
    ...     'HTTP_X_FORWARDED_FOR': '203.0.113.9', 'HTTP_X_FORWARDED_PROTO': 'https',
    ...     'HTTP_X_FORWARDED_HOST': 'example.org'}, None)
    203.0.113.9 https example.org
    """

    def __init__(
        self, app: WSGIApplication, proxies: Iterable[str], *, forwarded: bool = False
    ) -> None:
        if not callable(app):
            raise TypeError(f"app must be a WSGI application, a callable; got {app!r}")
        self._app = app
        self._forwarded = forwarded
        names = [proxies] if isinstance(proxies, str) else list(proxies)
        self._trusts_unix = UNIX in names
        self._networks = [_as_network(name) for name in names if name != UNIX]

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Change the environ, and call the application."""
        if self._is_trusted(environ.get("REMOTE_ADDR", "")):
            read_hops = _read_forwarded if self._forwarded else _read_x_forwarded
            self._apply(environ, read_hops(environ))
        for name in _FIELDS:
            environ.pop(name, None)
        return self._app(environ, start_response)

    def max_collected(self, environ: WSGIEnvironment) -> int:
        """Return how many bytes of a body the engine may collect, as the application does."""
        return read_max_collected(self._app, environ)

    def _apply(self, environ: WSGIEnvironment, hops: Iterator[_Hop]) -> None:
        """Apply the fields of the last trusted proxy; ``hops`` begin with the nearest one."""
        hop = None
        for hop in islice(hops, _MAX_HOPS):
            address = _parse_node(hop.node)
            if address is None:
                break
            environ["REMOTE_ADDR"] = str(address)
            environ["REMOTE_PORT"] = "0"  # that of the proxy's connection does not fit
            if not self._trusts(address):
                break
        if hop is None:
            return
        scheme = hop.proto.lower()
        if scheme in _DEFAULT_PORTS:
            environ["wsgi.url_scheme"] = scheme
        host = _HOST.fullmatch(hop.host or environ.get("HTTP_HOST", ""))
        if host and (hop.host or hop.port):
            port = hop.port if re.fullmatch(_PORT, hop.port) else host[2]
            is_default = port == _DEFAULT_PORTS.get(environ["wsgi.url_scheme"])
            environ["HTTP_HOST"] = host[1] if not port or is_default else f"{host[1]}:{port}"

    def _is_trusted(self, peer: str) -> bool:
        if not peer:
            return self._trusts_unix
        try:
            return self._trusts(_normalize(ip_address(peer)))
        except ValueError:
            return False

    def _trusts(self, address: _Address) -> bool:
        return any(address in network for network in self._networks)

    def __repr__(self) -> str:
        return f"<TrustedProxies for {handler_name(self._app)}>"


def _as_network(name: object) -> _Network:
    try:
        return ip_network(str(name))
    except ValueError as exc:
        raise ValueError(
            "trusted_proxies must be addresses, networks such as '10.0.0.0/8', or 'unix'; "
            f"got {name!r}: {exc}"
        ) from exc


def _normalize(address: _Address) -> _Address:
    """Return an IPv4 address for one that is mapped into IPv6, as on a socket for both."""
    return getattr(address, "ipv4_mapped", None) or address


def _parse_node(text: str) -> _Address | None:
    """Return the address in a node, with or without a port; None for ``unknown`` and others."""
    found = _NODE.fullmatch(text)
    address = (found[1] or found[2]) if found else text
    if not _ADDRESS.fullmatch(address):  # ip_address() accepts any text as the zone of an address
        return None
    try:
        return _normalize(ip_address(address))
    except ValueError:
        return None


def _read_x_forwarded(environ: WSGIEnvironment) -> Iterator[_Hop]:
    """Yield the hops of the ``X-Forwarded-`` fields, the nearest first.

    A field with fewer values than ``X-Forwarded-For`` was set by the outermost proxies only, and
    passed on by the others: its first value counts for the rest.
    """
    columns = [_split(environ.get(name, "")) for name in _FIELDS[:4]]
    nodes, others = columns[0] or [""], columns[1:]
    for number, node in enumerate(reversed(nodes), 1):
        yield _Hop(node, *(each[-min(number, len(each))] if each else "" for each in others))


def _split(value: str) -> list[str]:
    return [each.strip(" \t") for each in value.split(",")] if value else []


def _read_forwarded(environ: WSGIEnvironment) -> Iterator[_Hop]:
    """Yield the hops of ``Forwarded``, the nearest first, up to one that is malformed."""
    rest = environ.get("HTTP_FORWARDED", "")
    while found := _LAST_ELEMENT.search(rest):
        pairs = {
            pair[1].lower(): pair[2] or re.sub(r"\\(.)", r"\1", pair[3][1:-1])
            for pair in _EACH_PAIR.finditer(found[1])
        }
        yield _Hop(pairs.get("for", ""), pairs.get("proto", ""), pairs.get("host", ""))
        rest = rest[: found.start()]
