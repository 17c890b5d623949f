"""Read and write cookies in a text file, in Netscape's format (cookies.txt).

curl, wget, browser extensions and ``http.cookiejar.MozillaCookieJar`` use this format. A line has
seven fields, separated by tabs: domain, whether subdomains get the cookie, path, whether it is
``Secure``, the time when it expires (0 for a session cookie), name, value. The domain of an
HttpOnly cookie begins with ``#HttpOnly_``; any other line with ``#`` is a comment. The format does
not store ports, comments and SameSite.

As in curl (measured with 7.88), ``true`` is ``TRUE``, the fraction of a time is ignored, and a
negative time is in the past. curl skips a line that it cannot read, and reads any other text in a
flag as ``FALSE``. Here both are errors.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from typing import TYPE_CHECKING

from restkit.cookies.jar_policy import make_cookie, to_jar_domain
from restkit.cookies.set_cookie import SetCookie
from restkit.errors import RequestError
from restkit.io.files import is_special_file, write_all

if TYPE_CHECKING:
    from http.cookiejar import Cookie

DOMAIN = re.compile(r"\.?[^\0-\x20\x7f\s/:@\[\]?#]+|\[?[0-9a-fA-F:.]+\]?")
"""The host of a cookie, or its domain with a dot in front. A line with ``#`` is a comment."""

_HEAD = (
    "# Netscape HTTP Cookie File\n"
    "# Written by restkit. It holds secrets: who can read it can use these sessions.\n\n"
)
_HTTP_ONLY = "#HttpOnly_"
_FLAGS = {"true": True, "false": False}
_BOM = b"\xef\xbb\xbf"  # editors on Windows write it
_CONTROL = re.compile("[\x00-\x1f\x7f]")
_FORBIDDEN_IN_NAME = re.compile("[\x00-\x1f\x7f;=]")
_FORBIDDEN_IN_VALUE = re.compile("[\x00-\x1f\x7f;]")
_SECONDS = re.compile(r" *([+-]?[0-9]{1,19})(?:\.[0-9]*)? *")
_LAST_SECOND = 253402300799  # of the year 9999


def format_cookies(cookies: Iterable[Cookie]) -> bytes:
    """Return the text of a file with these cookies; raise RequestError if one cannot be saved."""
    try:
        return "".join([_HEAD, *map(_format_line, cookies)]).encode("latin-1")
    except UnicodeEncodeError as exc:
        raise RequestError("cookies with characters outside latin-1 cannot be saved") from exc


def _format_line(cookie: Cookie) -> str:
    value = cookie.value or ""
    if _FORBIDDEN_IN_NAME.search(cookie.name) or _FORBIDDEN_IN_VALUE.search(value):
        raise RequestError(
            f"cookie {cookie.name!r} cannot be saved: its name or value has a semicolon, a control "
            "character or, in the name, an equals sign"
        )
    host = _to_host(cookie.domain)
    if host.startswith("#") or _CONTROL.search(host):
        raise RequestError(f"cookie {cookie.name!r} cannot be saved: its domain is {host!r}")
    is_http_only = any(map(cookie.has_nonstandard_attr, ("HttpOnly", "httponly")))
    fields = (
        f"{_HTTP_ONLY if is_http_only else ''}{host}",
        "TRUE" if host.startswith(".") else "FALSE",
        cookie.path,
        "TRUE" if cookie.secure else "FALSE",
        str(int(cookie.expires or 0)),
        cookie.name,
        value,
    )
    return "\t".join(fields) + "\n"


def _to_host(domain: str) -> str:
    """Return the host for the domain of a jar; the reverse of ``to_jar_domain``."""
    if domain.startswith("["):
        return domain.removesuffix(".local").strip("[]")
    without_dot = domain.removesuffix(".")
    return domain if "." in without_dot else without_dot


def parse_cookies(data: bytes, file_name: str) -> list[Cookie]:
    """Return the cookies of a file, also those that have expired.

    Raises RequestError, with the number of the line, for anything else than the format.
    """
    cookies = []
    for number, line in enumerate(data.removeprefix(_BOM).decode("latin-1").split("\n"), 1):
        text = line.removesuffix("\r")
        if not text.strip() or (text.startswith("#") and not text.startswith(_HTTP_ONLY)):
            continue
        try:
            cookies.append(_parse_line(text))
        except ValueError as exc:
            # No text of the line: cookies are secrets.
            raise RequestError(
                f"{file_name}, line {number}: {exc}; the file must be in Netscape's format "
                "(cookies.txt), as curl and client.cookies.save() write it"
            ) from None
    return cookies


def _parse_line(line: str) -> Cookie:
    fields = line.split("\t")
    if len(fields) == 6:
        fields.append("")  # editors remove the tab before an empty value; curl accepts this, too
    if len(fields) != 7:
        raise ValueError(f"a cookie has 7 fields, separated by tabs; this line has {len(fields)}")
    host, subdomains, path, secure, expires, name, value = fields
    subdomains, secure = subdomains.lower(), secure.lower()
    http_only = host.startswith(_HTTP_ONLY)
    host = host.removeprefix(_HTTP_ONLY)
    if not DOMAIN.fullmatch(host):
        raise ValueError("the first field must be a host or a domain")
    if subdomains not in _FLAGS or secure not in _FLAGS:
        raise ValueError("the second and the fourth field must be TRUE or FALSE")
    if not path.startswith("/"):
        raise ValueError("the third field, the path, must begin with a slash")
    # http.cookiejar writes an empty field for a session cookie.
    time = _SECONDS.fullmatch(expires or "0")
    if not time:
        raise ValueError("the fifth field must be the expiry time in seconds since 1970, or 0")
    if not name or _FORBIDDEN_IN_NAME.search(name) or _FORBIDDEN_IN_VALUE.search(value):
        raise ValueError("the name or the value has a character that is not allowed in a cookie")
    seconds = min(int(time[1]), _LAST_SECOND) or None
    host = f"{'.' if _FLAGS[subdomains] else ''}{host.removeprefix('.')}"
    cookie = SetCookie(name, value, "", path, seconds, _FLAGS[secure], http_only)
    return make_cookie(cookie, to_jar_domain(host), path)


def write_private_file(path: str | os.PathLike[str], data: bytes) -> None:
    """Replace a file in one step by one that only its owner can read.

    After an error an older file is unchanged. The target of a symbolic link is replaced, not the
    link. The text for a device or a pipe is written to it.
    """
    target = os.path.realpath(os.fsdecode(path))
    if is_special_file(target):
        with open(target, "wb", buffering=0) as special:
            write_all(special, data)
        return
    folder, name = os.path.split(target)
    descriptor, part_path = tempfile.mkstemp(".part", f".{name[:50]}.", folder)
    try:
        with open(descriptor, "wb") as file:
            file.write(data)
        os.replace(part_path, target)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(part_path)
        raise
