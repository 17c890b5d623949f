"""Write ``Set-Cookie`` fields (RFC 6265, and the prefixes and SameSite of RFC 6265bis)."""

from __future__ import annotations

import re
from datetime import datetime, timezone
from email.utils import format_datetime

_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[!#-+\--:<-\[\]-~]*")
_PATH = re.compile(r"/[ -:<-~]*")
_LABEL = "[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
_DOMAIN = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_SAME_SITE = {"strict": "Strict", "lax": "Lax", "none": "None"}
_MAX_SIZE = 4096  # of name and value; browsers drop larger cookies (RFC 6265bis 5.6)

EXPIRED = datetime(1970, 1, 1, tzinfo=timezone.utc)
"""The time for a cookie that the client shall delete."""


def format_set_cookie(
    name: str,
    value: str,
    *,
    max_age: int | None,
    expires: datetime | None,
    path: str | None,
    domain: str | None,
    secure: bool,
    httponly: bool,
    samesite: str | None,
) -> str:
    """Return the value of a ``Set-Cookie`` field.

    Raises ValueError or TypeError for a cookie that a browser would drop or read differently.
    """
    _check_name_and_value(name, value)
    _check_prefix(name, path=path, domain=domain, secure=secure)
    parts = [f"{name}={value}"]
    if expires is not None:
        parts.append(f"Expires={_format_time(expires)}")
    if max_age is not None:
        _check_seconds(max_age)
        parts.append(f"Max-Age={max_age}")
    if domain is not None:
        _check(_DOMAIN, domain, "domain", "be a host name in ASCII, without a dot at its beginning")
        parts.append(f"Domain={domain}")
    if path is not None:
        _check(_PATH, path, "path", "begin with / and have no semicolon and no control character")
        parts.append(f"Path={path}")
    if secure:
        parts.append("Secure")
    if httponly:
        parts.append("HttpOnly")
    if samesite is not None:
        parts.append(f"SameSite={_check_samesite(samesite, secure=secure)}")
    return "; ".join(parts)


def _check_name_and_value(name: str, value: str) -> None:
    _check(_NAME, name, "the name of a cookie", "have only letters, digits and !#$%&'*+-.^_`|~")
    _check(
        _VALUE,
        value,
        f"the value of the cookie {name}",
        'have only printable ASCII without spaces and ",;\\; encode it, as by urllib.parse.quote()',
        show=False,
    )
    if len(name) + len(value) > _MAX_SIZE:
        raise ValueError(
            f"the cookie {name:.100} has {len(name) + len(value)} bytes; "
            f"browsers drop cookies of more than {_MAX_SIZE}"
        )


def _check_prefix(name: str, *, path: str | None, domain: str | None, secure: bool) -> None:
    lowered = name.lower()  # browsers ignore the case of a prefix
    if lowered.startswith("__host-") and (path != "/" or domain is not None or not secure):
        raise ValueError(f"the cookie {name} needs secure=True, path='/' and no domain (__Host-)")
    if lowered.startswith("__secure-") and not secure:
        raise ValueError(f"the cookie {name} needs secure=True (__Secure-)")


def _check_seconds(max_age: object) -> None:
    if not isinstance(max_age, int) or isinstance(max_age, bool):
        raise TypeError(f"max_age must be an int, of seconds; got {max_age!r}")


def _check_samesite(samesite: object, *, secure: bool) -> str:
    found = _SAME_SITE.get(samesite.lower()) if isinstance(samesite, str) else None
    if found is None:
        raise ValueError(f"samesite must be 'Strict', 'Lax', 'None' or None; got {samesite!r}")
    if found == "None" and not secure:
        raise ValueError("samesite='None' needs secure=True; browsers drop the cookie otherwise")
    return found


def _format_time(expires: object) -> str:
    if not isinstance(expires, datetime):
        raise TypeError(f"expires must be a datetime; got {expires!r}; for seconds use max_age")
    if expires.tzinfo is None:
        raise ValueError(f"expires must have a time zone, such as timezone.utc; got {expires!r}")
    return format_datetime(expires.astimezone(timezone.utc), usegmt=True)


def _check(
    pattern: re.Pattern[str], text: object, name: str, requirement: str, *, show: bool = True
) -> None:
    if not isinstance(text, str):
        raise TypeError(f"{name} must be a str; got {type(text).__name__}")
    if not pattern.fullmatch(text):
        got = f"; got {text!r:.100}" if show else ""
        raise ValueError(f"{name} must {requirement}{got}")
