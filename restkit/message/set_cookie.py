"""The cookies that one answer sets, as its Set-Cookie fields name them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


def cookies_set_by(fields: Iterable[str]) -> dict[str, str]:
    """Name and value out of each Set-Cookie field, the last of a name; no jar has judged them.

    What has no name is left out (RFC 6265 5.2). Quotes around a value are part of it there, and
    stay.
    """
    cookies: dict[str, str] = {}
    for field in fields:
        name, equals, value = field.partition(";")[0].partition("=")
        if equals and name.strip():
            cookies[name.strip()] = value.strip()
    return cookies
