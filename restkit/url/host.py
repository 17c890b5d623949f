"""Check and normalize hosts and ports.

A name with non-ASCII characters goes through the codec of the standard library, so that the result
is the same on every machine (urllib3 2.8.0 needs the package ``idna``). That codec is IDNA2003
(RFC 3490) with the case folding of Unicode 3.2. A name that browsers (UTS 46) read as another host
raises ValueError; the caller can write the intended one in its ``xn--`` form. So does a name for
which ``getaddrinfo`` would raise ``UnicodeError``: one with an empty label, or with a label of more
than 63 characters (RFC 1035 2.3.4).
"""

from __future__ import annotations

import re

_HOST_PORT = re.compile(r"(\[[^\[\]]*\]|[^:\[\]]*)(?::(.*))?", re.DOTALL)
_PORT = re.compile("0*([0-9]{1,5})")
_ZONE = re.compile("[A-Za-z0-9._~-]+")
_OTHER_DOTS = "\u3002\uff0e\uff61"  # RFC 3490 3.1
_LABEL = re.compile(r"[a-z0-9_~!$&'()*+,;=-]{1,63}")  # reg-name of RFC 3986 3.2.2, decoded
# Characters that the codec rewrites or drops and UTS 46 keeps: its four deviations, the capital of
# the first of them, and one that Unicode has since removed from the list of dropped characters.
_DEVIATIONS = frozenset("\u00df\u03c2\u200c\u200d\u1e9e\u1806")
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
    normalized = _normalize_ipv6(host) if host.startswith("[") else _normalize_name(host)
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


def _normalize_name(host: str) -> str:
    if "%" in host:
        from urllib.parse import unquote

        host = unquote(host)
    for dot in _OTHER_DOTS:
        host = host.replace(dot, ".")
    # The codec takes quadratic time, and so long a name cannot become short enough.
    labels = host.split(".") if len(host) < 4 * _MAX_LENGTH else [""]
    # The empty label of the root is allowed at the end: resolvers then search no other domain.
    root = [labels.pop()] if len(labels) > 1 and not labels[-1] else []
    labels = [_encode_label(label) for label in labels]
    name = ".".join(labels)
    if not all(map(_LABEL.fullmatch, labels)) or len(name) > _MAX_LENGTH:
        raise ValueError(
            "not a host name; it must be labels of 1 to 63 letters, digits and hyphens, with dots "
            f"between them, at most {_MAX_LENGTH} characters"
        )
    return ".".join([name, *root])


def _encode_label(label: str) -> str:
    if label.isascii():
        return label.lower()
    try:
        encoded = label.encode("idna").decode("ascii")
        is_same = _is_same_in_browsers(label, encoded)
    except UnicodeError as exc:
        raise ValueError(
            "the host has characters that are not allowed in a name (RFC 3491)"
        ) from exc
    if not is_same:
        raise ValueError(
            "IDNA2003 and browsers read this host as different names; write the intended one in "
            "its xn-- form"
        )
    return encoded


def _is_same_in_browsers(label: str, encoded: str) -> bool:
    import unicodedata

    # Browsers fold with today's Unicode, which may fold further than the codec did.
    folded = encoded.encode("ascii").decode("idna")
    return (
        _DEVIATIONS.isdisjoint(label)
        and unicodedata.normalize("NFKC", folded.casefold()) == folded
        and all(unicodedata.category(character) != "Cn" for character in label)
    )
