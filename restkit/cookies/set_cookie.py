"""Parse one Set-Cookie field and check it.

One Set-Cookie field: what it says (RFC 6265 5.2), and what of it this peer may say (5.3).

What RFC 6265bis adds and is held to here: a Secure cookie comes over https only; the prefixes
``__Secure-`` and ``__Host-``; at most 4096 bytes of name and value, no control characters.

Nobody's subdomains may set cookies for everybody under ``.co.uk``. Which names are such public
suffixes, only a list of thousands tells, and it changes every month: none is shipped. Refused are
the common kinds of them under a country's code (co, com, or, gob, ...). What is left of them is
short for the most part, as in tv.br, and so are names of single owners, as db.de: a Domain of one
or two letters under a country's code is taken for the host alone.
"""

from __future__ import annotations

import re
from calendar import timegm
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from restkit.url.url import URL


_MOST = 4096
_MOST_OF_AN_ATTRIBUTE = 1024
_CONTROL = re.compile("[\0-\x08\x0a-\x1f\x7f]")
_SECONDS = re.compile("-?[0-9]+")
# The last nine are those of DefaultCookiePolicy that do not belong to a country either.
_SUFFIX = re.compile(
    r"(?:ac|co|com|edu|go|gob|gouv|gov|govt|gv|id|int|ltd|me|mil|ne|net|nhs|nic|nom|or|org|plc|"
    r"police|sch|aero|biz|cat|coop|info|jobs|museum|name|pro)\.[a-z]{2}"
)
_MAYBE_SUFFIX = re.compile(r"[a-z0-9]{1,2}\.[a-z]{2}")
_NUMERIC = re.compile(r"(?:.*\.)?[0-9]+\.?")

# RFC 6265 5.1.1: a date is what its words look like, in whatever order.
_DELIMITERS = re.compile("[\t\x20-\x2f;-@\\[-`{-~]+")
_TIME = re.compile("([0-9]{1,2}):([0-9]{1,2}):([0-9]{1,2})(?:[^0-9].*)?")
_DAY = re.compile("([0-9]{1,2})(?:[^0-9].*)?")
_YEAR = re.compile("([0-9]{2,4})(?:[^0-9].*)?")
_MONTHS = "jan feb mar apr may jun jul aug sep oct nov dec".split()
_LAST_SECOND = 253402300799  # of the year 9999


class SetCookie(NamedTuple):
    """A cookie as its field has it; ``domain`` and ``path`` are empty where it names none.

    ``expires`` is in seconds since 1970; None is the end of the session.
    """

    name: str
    value: str
    domain: str = ""
    path: str = ""
    expires: int | None = None
    secure: bool = False
    http_only: bool = False


def parse_set_cookie(field: str, now: float) -> SetCookie | None:
    """What one field says, leniently as 5.2 has it; None where it says nothing to be kept."""
    pair, *attributes = field.split(";")
    name, equals, value = (part.strip(" \t") for part in pair.partition("="))
    if not name or not equals or len(name) + len(value) > _MOST or _CONTROL.search(field):
        return None
    said: dict[str, str] = {}
    for attribute in attributes:
        key, _, content = attribute.partition("=")
        if len(content) <= _MOST_OF_AN_ATTRIBUTE:
            said[key.strip(" \t").lower()] = content.strip(" \t")
    path = said.get("path", "")
    return SetCookie(
        name,
        value,
        said.get("domain", "").removeprefix(".").lower(),
        path if path.startswith("/") else "",
        _expiry(said, now),
        "secure" in said,
        "httponly" in said,
    )


def accept_cookie(cookie: SetCookie, url: URL) -> SetCookie | None:
    """The cookie as the peer at this URL may set it; None where it may not."""
    if cookie.secure and url.scheme != "https":
        return None
    name = cookie.name.lower()
    if name.startswith("__secure-") and not cookie.secure:
        return None
    if name.startswith("__host-") and not (
        cookie.secure and not cookie.domain and cookie.path == "/"
    ):
        return None
    return _in_its_domain(cookie, url.host) if cookie.domain else cookie


def _in_its_domain(cookie: SetCookie, host: str) -> SetCookie | None:
    domain = cookie.domain
    for_host_alone = cookie._replace(domain="")
    if domain == host:
        # With a dot at the end "com." looks like a domain of two names, and is one for everybody.
        no_domain = "." not in host or host.endswith(".") or _NUMERIC.fullmatch(host)
        return for_host_alone if no_domain or _is_shared(domain) else cookie
    if _NUMERIC.fullmatch(host) or "." not in domain or not host.endswith(f".{domain}"):
        return None
    if domain.endswith(".") or _SUFFIX.fullmatch(domain):
        return None
    return for_host_alone if _MAYBE_SUFFIX.fullmatch(domain) else cookie


def _is_shared(domain: str) -> bool:
    return bool(_SUFFIX.fullmatch(domain) or _MAYBE_SUFFIX.fullmatch(domain))


def _expiry(said: dict[str, str], now: float) -> int | None:
    """When it ends: Max-Age counts before Expires, and what cannot be read is not there."""
    if _SECONDS.fullmatch(said.get("max-age", "")):
        seconds = said["max-age"]
        # Longer numbers are longer than the rest of the calendar.
        ends = now + int(seconds) if len(seconds) < 12 else _LAST_SECOND
        return 0 if seconds.startswith("-") else min(int(ends), _LAST_SECOND)
    return _seconds_at(said.get("expires", ""))


def _seconds_at(date: str) -> int | None:
    time = day = month = year = None
    for word in _DELIMITERS.split(date):
        if time is None and (found := _TIME.fullmatch(word)):
            time = [int(part) for part in found.groups()]
        elif day is None and (found := _DAY.fullmatch(word)):
            day = int(found[1])
        elif month is None and word[:3].lower() in _MONTHS:
            month = _MONTHS.index(word[:3].lower()) + 1
        elif year is None and (found := _YEAR.fullmatch(word)):
            year = int(found[1])
    if time is None or day is None or month is None or year is None:
        return None
    if year < 100:
        year += 1900 if year >= 70 else 2000
    hour, minute, second = time
    if not (1 <= day <= 31 and year >= 1601 and hour < 24 and minute < 60 and second < 60):
        return None
    return max(0, timegm((year, month, day, hour, minute, second)))
