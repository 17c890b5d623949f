"""Parse a Set-Cookie field (RFC 6265 5.2), and check that its server may set it (5.3).

Rules of RFC 6265bis also hold: a Secure cookie must come over https; the prefixes ``__Secure-`` and
``__Host-``; at most 4096 bytes of name and value; no control characters.

A server must not set cookies for a public suffix such as ``.co.uk``. The list of public suffixes
has thousands of names and changes every month, so it is not part of restkit. The common second-
level names of countries (co, com, or, gob, ...) are rejected. Most other suffixes are short, such
as tv.br, but so are names of single owners, such as db.de: a Domain with a label of one or two
characters before the country code is stored for the host only.
"""

from __future__ import annotations

import re
from calendar import timegm
from typing import NamedTuple

from restkit.message.header_values import as_utf_8
from restkit.url.host import normalize_name
from restkit.url.url import URL

_MAX_LENGTH = 4096
_MAX_ATTRIBUTE_LENGTH = 1024
_CONTROL = re.compile("[\0-\x08\x0a-\x1f\x7f]")
_SECONDS = re.compile("-?[0-9]+")
# The last nine are also suffixes of DefaultCookiePolicy, and not under a country code.
_SUFFIX = re.compile(
    r"(?:ac|co|com|edu|go|gob|gouv|gov|govt|gv|id|int|ltd|me|mil|ne|net|nhs|nic|nom|or|org|plc|"
    r"police|sch|aero|biz|cat|coop|info|jobs|museum|name|pro)\.[a-z]{2}"
)
_MAYBE_SUFFIX = re.compile(r"[a-z0-9]{1,2}\.[a-z]{2}")
_NUMERIC = re.compile(r"(?:.*\.)?[0-9]+\.?")

# RFC 6265 5.1.1: each word of a date is recognized by its form, in any order.
_DELIMITERS = re.compile("[\t\x20-\x2f;-@\\[-`{-~]+")
_TIME = re.compile("([0-9]{1,2}):([0-9]{1,2}):([0-9]{1,2})(?:[^0-9].*)?")
_DAY = re.compile("([0-9]{1,2})(?:[^0-9].*)?")
_YEAR = re.compile("([0-9]{2,4})(?:[^0-9].*)?")
_MONTHS = "jan feb mar apr may jun jul aug sep oct nov dec".split()
_LAST_SECOND = 253402300799  # of the year 9999


class SetCookie(NamedTuple):
    """The cookie of a Set-Cookie field. ``domain`` and ``path`` are empty if it has none.

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
    """Parse a field leniently (RFC 6265 5.2); None if it contains no cookie.

    >>> parse_set_cookie('sid=abc; Path=/; Max-Age=60', now=1000)
    SetCookie(name='sid', value='abc', domain='', path='/', expires=1060, secure=False, \
http_only=False)
    """
    pair, *attributes = field.split(";")
    name, equals, value = (part.strip(" \t") for part in pair.partition("="))
    if not name or not equals or len(name) + len(value) > _MAX_LENGTH or _CONTROL.search(field):
        return None
    values: dict[str, str] = {}
    for attribute in attributes:
        key, _, content = attribute.partition("=")
        if len(content) <= _MAX_ATTRIBUTE_LENGTH:
            values[key.strip(" \t").lower()] = content.strip(" \t")
    path = values.get("path", "")
    return SetCookie(
        name,
        value,
        _parse_domain(values.get("domain", "")),
        path if path.startswith("/") else "",
        _parse_expiry(values, now),
        "secure" in values,
        "httponly" in values,
    )


def _parse_domain(text: str) -> str:
    text = text.removeprefix(".")
    if text.isascii():
        return text.lower()
    try:
        return normalize_name(as_utf_8(text))  # RFC 6265 5.1.2
    except ValueError:
        return text  # no host has this name, so that the cookie is rejected


def accept_cookie(cookie: SetCookie, url: URL) -> SetCookie | None:
    """Return the cookie that this URL may set, perhaps for its host only; None if it may not."""
    if cookie.secure and url.scheme != "https":
        return None
    name = cookie.name.lower()
    if name.startswith("__secure-") and not cookie.secure:
        return None
    if name.startswith("__host-") and not (
        cookie.secure and not cookie.domain and cookie.path == "/"
    ):
        return None
    return _check_domain(cookie, url.host) if cookie.domain else cookie


def _check_domain(cookie: SetCookie, host: str) -> SetCookie | None:
    domain = cookie.domain
    host_only = cookie._replace(domain="")
    if domain == host:
        # "com." looks like a domain of two labels, but it contains every domain below com.
        is_host_only = "." not in host or host.endswith(".") or _NUMERIC.fullmatch(host)
        return host_only if is_host_only or _may_be_suffix(domain) else cookie
    if _NUMERIC.fullmatch(host) or "." not in domain or not host.endswith(f".{domain}"):
        return None
    if domain.endswith(".") or _SUFFIX.fullmatch(domain):
        return None
    return host_only if _MAYBE_SUFFIX.fullmatch(domain) else cookie


def _may_be_suffix(domain: str) -> bool:
    return bool(_SUFFIX.fullmatch(domain) or _MAYBE_SUFFIX.fullmatch(domain))


def _parse_expiry(values: dict[str, str], now: float) -> int | None:
    """Return the expiry time: Max-Age overrides Expires, invalid values are ignored."""
    if _SECONDS.fullmatch(values.get("max-age", "")):
        seconds = values["max-age"]
        # More digits are a time beyond the year 9999.
        ends = now + int(seconds) if len(seconds) < 12 else _LAST_SECOND
        return 0 if seconds.startswith("-") else min(int(ends), _LAST_SECOND)
    return _parse_date(values.get("expires", ""))


def _parse_date(date: str) -> int | None:
    time = day = month = year = None
    for word in _DELIMITERS.split(date):
        if time is None and (found := _TIME.fullmatch(word)):
            time = [int(part) for part in found.groups()]
        elif day is None and (found := _DAY.fullmatch(word)):
            day = int(found[1])
        elif month is None and (name := str(word[:3]).lower()) in _MONTHS:
            month = _MONTHS.index(name) + 1
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
