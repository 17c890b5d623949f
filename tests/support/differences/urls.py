"""URLs that restkit, urllib3 2 and urllib.parse parse or join differently.

``urljoin`` is urllib.parse's; what it returns is parsed by restkit. The input of a join is a base,
LF, and a reference.
"""

from __future__ import annotations

from support.differences import ACCEPTED, ANY, Difference

AUTHORITY = rb"^ *https?://[^/?#\n]*"
EMPTY_SEGMENT = AUTHORITY + rb"/[^\n?#]*//|" + AUTHORITY + rb"//|\n[^?#]*//"

DIFFERENCES = [
    # Rejected by restkit
    Difference(
        *("urllib3 urllib urljoin", "control character", ACCEPTED, ANY),
        "RFC 3986 2: no URL has them; urllib removes some, and then sees another host or path",
    ),
    Difference(
        *("urllib3 urllib", "a backslash before the path", ACCEPTED, AUTHORITY + rb"\\"),
        "browsers read it as a slash, which ends the host; others as a part of the user name",
    ),
    Difference(
        *("urllib3 urllib", "not a host name|no host", ACCEPTED, ANY),
        "RFC 1035 2.3.4 and RFC 3986 3.2.2: the resolver could not look it up",
    ),
    Difference(
        *("urllib3 urllib", "not allowed in a name", ACCEPTED, AUTHORITY + rb"[%\x80-\xff]"),
        "UTS 46: as above, after decoding",
    ),
    Difference(
        *("urllib3 urllib", "brackets must|colons in the host|not an IPv6|the zone", ACCEPTED, ANY),
        "RFC 3986 3.2.2 and RFC 6874: brackets stand around an IPv6 address, and nowhere else",
    ),
    Difference(
        *("urllib3 urllib", "the port must be", ACCEPTED, AUTHORITY + b":0+(?:[/?#]|$)"),
        "no server can have the port 0",
    ),
    Difference(
        *("urllib3 urllib", "user name and password must be UTF-8", ACCEPTED, AUTHORITY + b"%"),
        "RFC 7617 2.1: credentials are text, and the others leave them encoded",
    ),
    Difference(
        *("urljoin", "no host", ACCEPTED, rb"\n *(?:https?:)?//(?:[/?# ]|$)"),
        "RFC 3986 5.2.2: the reference has an authority, which is empty; urljoin ignores it",
    ),
    # Accepted by restkit
    Difference(
        *("urllib3", ACCEPTED, "not a valid IDNA label", rb"[\x80-\xff]"),
        "UTS 46: names as in browsers; urllib3 only accepts those of IDNA 2008",
    ),
    Difference(
        *("urllib3 urllib", ACCEPTED, "^$|contains invalid character ' '", rb"^ | $"),
        "spaces around a URL come from copying it",
    ),
    Difference(
        *("urllib urljoin", ACCEPTED, "IPv", rb"[\[\]]"),
        "RFC 3986 3.2.1: brackets in a user name do not change the host, which is after the last @",
    ),
    Difference(
        *("urllib3", ACCEPTED, ACCEPTED, rb"%(?![0-9a-f]{2})"),
        "a stray percent is encoded, and valid escapes stay; urllib3 then encodes all again",
    ),
    Difference(
        *("urllib3", ACCEPTED, ACCEPTED, AUTHORITY + b"%"),
        "RFC 3986 6.2.2.2: escapes in a host are decoded; urllib3 keeps some",
    ),
    Difference(
        *("urllib3", ACCEPTED, ACCEPTED, rb"/\.\.?/.*//|//.*/\.\.?(?:/|$)"),
        "RFC 3986 5.2.4: empty segments stay; urllib3 removes them beside dot segments",
    ),
    Difference(
        *("urljoin", ACCEPTED, ACCEPTED, rb"\n[^#]*\?"),
        "RFC 3986 5.2.2: an empty query replaces the one of the base; urljoin drops it",
    ),
    Difference(
        *("urljoin", ACCEPTED, ACCEPTED, b";"),
        "RFC 3986 3.3: a semicolon is a part of its segment; urljoin separates parameters",
    ),
    Difference(
        *("urllib", ACCEPTED, ACCEPTED, AUTHORITY + rb"[%\x80-\xff]"),
        "urllib leaves a host unchanged: escapes, non-ASCII characters and %25 before a zone",
    ),
    Difference(
        *("urljoin", ACCEPTED, ACCEPTED, EMPTY_SEGMENT),
        "RFC 3986 5.2.4: empty segments stay; urljoin removes some",
    ),
]
