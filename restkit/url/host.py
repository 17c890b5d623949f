"""Check and normalize hosts and ports.

``idn.py`` encodes a name with non-ASCII characters. A name for which ``getaddrinfo`` would raise
``UnicodeError`` raises ValueError: one with an empty label, or with a label of more than 63
characters (RFC 1035 2.3.4).
"""

from __future__ import annotations

import re

from restkit.url.idn import encode_name

_HOST_PORT = re.compile(r"(\[[^\[\]]*\]|[^:\[\]]*)(?::(.*))?", re.DOTALL)
_PORT = re.compile("0*([0-9]{1,5})")
_ZONE = re.compile("[A-Za-z0-9._~-]+")
_LABEL = re.compile(r"[a-z0-9_~!$&'()*+,;=-]{1,63}")  # reg-name of RFC 3986 3.2.2, decoded
_MAX_LENGTH = 253


def split_host_port(text: str) -> tuple[str, int | None]:
    """Split a text into host and port; raise ValueError if it is neither.

    The host is lower-case ASCII, with brackets if it is an IPv6 address. The text of the error
    does not contain the given text, which may be part of a password.

    >>> split_host_port('Example.org:8080'), split_host_port('[::1]')
    (('example.org', 8080), ('[::1]', None))
    """
    match = _HOST_PORT.fullmatch(text)
    if not match:
        raise ValueError("brackets must enclose the whole IPv6 address")
    host, port = match.groups()
    if port and ":" in port:
        raise ValueError("colons in the host; an IPv6 address must be in brackets")
    if not host:
        raise ValueError("no host; it must be a name, an IPv4 address or an [IPv6] address")
    normalized = _normalize_ipv6(host) if host.startswith("[") else normalize_name(host)
    return normalized, _parse_port(port) if port else None


def join_host_port(host: str, port: int) -> str:
    """Return ``host:port``. ``host`` is in the form of sockets: IPv6 without brackets.

    >>> join_host_port('::1', 80)
    '[::1]:80'
    """
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _parse_port(text: str) -> int:
    match = _PORT.fullmatch(text)
    port = int(match[1]) if match else 0
    if not 0 < port < 65536:
        raise ValueError("the port must be a number from 1 to 65535")
    return port


def _normalize_ipv6(host: str) -> str:
    """Return the address with its zone in the form of RFC 6874. url.py checks the address."""
    address, percent, zone = host[1:-1].partition("%")
    if not percent:
        return host
    if zone.startswith("25") and zone != "25":
        zone = zone[2:]
    if not _ZONE.fullmatch(zone):
        raise ValueError("the zone of an IPv6 address must be made of letters, digits and -._~")
    return f"[{address}%25{zone}]"


def normalize_name(host: str) -> str:
    """Return a host name in lower-case ASCII; raise ValueError if it is not valid.

    >>> normalize_name('M\u00fcnchen.Example')
    'xn--mnchen-3ya.example'
    """
    if "%" in host:
        from urllib.parse import unquote

        host = unquote(host)
    # Encoding takes quadratic time, and so long a name cannot become short enough.
    if len(host) >= 4 * _MAX_LENGTH:
        host = ""
    elif host.isascii():
        host = host.lower()
    else:
        host = encode_name(host)
    labels = host.split(".")
    # The empty label of the root is allowed at the end: resolvers then search no other domain.
    root = [labels.pop()] if len(labels) > 1 and not labels[-1] else []
    name = ".".join(labels)
    if not all(map(_LABEL.fullmatch, labels)) or len(name) > _MAX_LENGTH:
        raise ValueError(
            "not a host name; it must be labels of 1 to 63 letters, digits and hyphens, with dots "
            f"between them, at most {_MAX_LENGTH} characters"
        )
    return ".".join([name, *root])
