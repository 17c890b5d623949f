"""Check and normalize hosts and ports.

A host and port as a URL writes them, turned into what a resolver and a socket take, and back.

A name beyond ASCII goes through the codec of the standard library, so that every machine answers
alike (urllib3 2.8.0 asks for the package ``idna``). That codec is IDNA2003 (RFC 3490), folding
by Unicode 3.2; a name that browsers (UTS 46) take for another host is refused, and its ``xn--``
form is the way to write the one that is meant. So are names on which ``getaddrinfo`` would fail
with a ``UnicodeError``: empty labels, and those of more than 63 characters (RFC 1035 2.3.4).
"""

from __future__ import annotations

import re

_HOST_PORT = re.compile(r"(\[[^\[\]]*\]|[^:\[\]]*)(?::(.*))?", re.DOTALL)
_PORT = re.compile("0*([0-9]{1,5})")
_ZONE = re.compile("[A-Za-z0-9._~-]+")
_OTHER_DOTS = "\u3002\uff0e\uff61"  # RFC 3490 3.1
_LABEL = re.compile(r"[a-z0-9_~!$&'()*+,;=-]{1,63}")  # reg-name of RFC 3986 3.2.2, decoded
# What the codec rewrites or drops, and UTS 46 keeps: its four deviations, the capital of the first
# of them, and one that Unicode has since taken off the list of what is dropped.
_DEVIATIONS = frozenset("\u00df\u03c2\u200c\u200d\u1e9e\u1806")
_LONGEST = 253


def split_host_port(text: str) -> tuple[str, int | None]:
    """Host (lower case, ASCII, IPv6 in its brackets) and port; ValueError says what is wrong.

    What it says repeats nothing of the text, which may be half of somebody's password.
    """
    match = _HOST_PORT.fullmatch(text)
    if not match:
        raise ValueError("brackets belong around an IPv6 address, and around all of it")
    host, port = match.groups()
    if port and ":" in port:
        raise ValueError("colons in the host; an IPv6 address needs brackets around it")
    if not host:
        raise ValueError("no host; a name, an IPv4 address or an [IPv6] one is wanted")
    return _ipv6(host) if host.startswith("[") else _name(host), _port(port) if port else None


def host_and_port(host: str, port: int) -> str:
    """The two in one text; ``host`` is as sockets take it, IPv6 without brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _port(text: str) -> int:
    match = _PORT.fullmatch(text)
    port = int(match[1]) if match else 0
    if not 0 < port < 65536:
        raise ValueError("the port must be a number from 1 to 65535")
    return port


def _ipv6(host: str) -> str:
    """The address with its zone as RFC 6874 writes it; whether it is one, urllib3 looks at."""
    address, percent, zone = host[1:-1].partition("%")
    if not percent:
        return host
    if zone.startswith("25") and zone != "25":
        zone = zone[2:]
    if not _ZONE.fullmatch(zone):
        raise ValueError("the zone of an IPv6 address is made of letters, digits and -._~")
    return f"[{address}%25{zone}]"


def _name(host: str) -> str:
    if "%" in host:
        from urllib.parse import unquote

        host = unquote(host)
    for dot in _OTHER_DOTS:
        host = host.replace(dot, ".")
    # No name that is too long by this much gets short enough, and the codec is quadratic.
    labels = host.split(".") if len(host) < 4 * _LONGEST else [""]
    # The root's empty label may be written, and means something to a resolver.
    root = [labels.pop()] if len(labels) > 1 and not labels[-1] else []
    labels = [_ascii(label) for label in labels]
    name = ".".join(labels)
    if not all(map(_LABEL.fullmatch, labels)) or len(name) > _LONGEST:
        raise ValueError(
            "not a host name; labels of 1 to 63 letters, digits and hyphens make one, with dots "
            f"between them, {_LONGEST} characters in all"
        )
    return ".".join([name, *root])


def _ascii(label: str) -> str:
    if label.isascii():
        return label.lower()
    try:
        encoded = label.encode("idna").decode("ascii")
        same = _same_in_browsers(label, encoded)
    except UnicodeError as exc:
        raise ValueError("the host has characters that no name can have (RFC 3491)") from exc
    if not same:
        raise ValueError(
            "IDNA2003 and browsers take this host for different ones; write the one that is "
            "meant in its xn-- form"
        )
    return encoded


def _same_in_browsers(label: str, encoded: str) -> bool:
    import unicodedata

    # Where today's Unicode would fold further than that of the codec did, browsers do.
    folded = encoded.encode("ascii").decode("idna")
    return (
        _DEVIATIONS.isdisjoint(label)
        and unicodedata.normalize("NFKC", folded.casefold()) == folded
        and all(unicodedata.category(character) != "Cn" for character in label)
    )
