"""Retry-After (RFC 9110 10.2.3): seconds, or a date in any of the three forms (5.6.7)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from restkit.headers import Headers

_SECONDS = re.compile(r"[0-9]+")


def seconds_to_wait(headers: Headers) -> float | None:
    """How long the peer wants to be left alone from now on; None where it says nothing readable.

    A date that has gone by is 0; more seconds than a float can count are ``inf``.
    """
    value = headers.get("retry-after", "").strip()
    if _SECONDS.fullmatch(value):
        return float(value)
    if not value:
        return None
    from time import time

    date = _timestamp_of(value)
    return None if date is None else max(0.0, date - time())


def _timestamp_of(value: str) -> float | None:
    from calendar import timegm
    from email.utils import parsedate_tz  # dear to load, and dates are rare here

    try:
        parts = parsedate_tz(value)
        # Without a zone, as asctime() writes it, it is GMT all the same.
        return None if parts is None else timegm(parts[:9]) - (parts[9] or 0)
    except (ValueError, OverflowError):
        return None  # a year, or a zone, that no calendar has
