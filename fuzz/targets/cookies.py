"""Cookies: those that restkit stores and sends, compared with http.cookiejar under the same policy.

An input is the URL of a response, its Set-Cookie fields, and the URL of a later request, each on a
line. Bytes are latin-1, as in header fields.
"""

from __future__ import annotations

import http.client
import io
import urllib.request
import urllib.response
from http.cookiejar import Cookie, CookieJar
from typing import NamedTuple, cast

from fuzz.target import Mismatch, Target, compare
from restkit import Headers, HttpResponse, parse_url
from restkit.cookies.cookies import Cookies
from restkit.cookies.jar_policy import make_strict_policy, to_jar_request
from restkit.errors import Error
from restkit.message.request import Request
from restkit.url.url import URL
from support.differences.cookies import DIFFERENCES

_CLOCK = 1000
"""Seconds by which two expiry times may differ: each reads the clock for itself."""


class Outcome(NamedTuple):
    """The cookie that one field leaves in an empty jar, or a fault."""

    fault: str = ""
    name: str = ""
    value: str | None = ""
    domain: str = ""
    path: str = ""
    secure: bool = False
    http_only: bool = False
    expires: int | None = None


def store_by_restkit(cookies: Cookies, url: URL, fields: list[str]) -> None:
    request = Request("GET", url)
    made = HttpResponse.made(request, 200, Headers([("Set-Cookie", field) for field in fields]))
    cookies.store_from_response(request, made)


def store_by_cookiejar(url: URL, fields: list[str]) -> CookieJar:
    jar, message = CookieJar(make_strict_policy()), http.client.HTTPMessage()
    for field in fields:
        message["Set-Cookie"] = field
    response = urllib.response.addinfourl(io.BytesIO(), message, str(url))
    jar.extract_cookies(cast("http.client.HTTPResponse", response), to_jar_request(url))
    return jar


def cookie_header(cookies: Cookies, url: URL) -> str | None:
    request = Request("GET", url)
    cookies.add_to_request(request)
    return request.headers.get("cookie")


def describe(jar: CookieJar) -> list[Outcome]:
    """Return the cookies of a jar, sorted."""
    return sorted(map(_describe, jar), key=repr)


def _describe(cookie: Cookie) -> Outcome:
    return Outcome(
        name=cookie.name,
        value=cookie.value,
        domain=cookie.domain,
        path=cookie.path,
        secure=cookie.secure,
        http_only=cookie.has_nonstandard_attr("HttpOnly"),
        expires=None if cookie.expires is None else max(0, cookie.expires // _CLOCK),
    )


def describe_one(jar: CookieJar) -> Outcome:
    """Return the only cookie of a jar."""
    return next(iter(describe(jar)), Outcome("no cookie"))


def check(data: bytes) -> None:
    """Store and send the cookies of an input."""
    first, *fields, last = data.decode("latin-1").split("\n") if data.count(b"\n") > 1 else ("", "")
    try:
        url, later = parse_url(first), parse_url(last)
        Headers([("Set-Cookie", field) for field in fields])
    except Error:
        return
    ours, plain = Cookies(), Cookies(CookieJar(make_strict_policy()))
    store_by_restkit(ours, url, fields)
    store_by_restkit(plain, url, fields)
    if describe(ours.jar) != describe(plain.jar):
        raise Mismatch("an indexed jar has other cookies", f"{[*ours.jar]}, not {[*plain.jar]}")
    header = cookie_header(ours, later)
    if header != cookie_header(plain, later):
        raise Mismatch("an indexed jar sends other cookies", f"{header!r} for {[*ours.jar]}")
    if header and set(header) & {"\r", "\n", "\0"}:
        raise Mismatch("the Cookie field has a line end", repr(header))
    for field in fields:
        alone, line = Cookies(), f"{first}\n{field}".encode("latin-1")
        store_by_restkit(alone, url, [field])
        theirs = describe_one(store_by_cookiejar(url, [field]))
        compare(DIFFERENCES, line, "cookiejar", describe_one(alone.jar), theirs)


TARGET = Target(
    check,
    seeds=[
        "\n".join(lines).encode("latin-1")
        for lines in (
            ("http://www.example.com/a/b", "a=b", "http://www.example.com/a/c"),
            ("http://www.example.com/", "a=b; Domain=example.com; Path=/x", "http://example.com/x"),
            ("https://h.example/", "a=b; Secure; HttpOnly", "c=d; Max-Age=60", "http://h.example/"),
            ("http://h.example/", "a=b; Expires=Fri, 07 Aug 2037 08:04:19 GMT", "http://h.example"),
            ("http://h/", "__Host-a=b; Secure; Path=/", "a=; Max-Age=0", "http://h/"),
            ("http://a.co.uk/", 'a="b;c"; Domain=.co.uk', "b= c d ;Path=/", "http://b.co.uk/"),
            ("http://127.0.0.1/", "a=b; Domain=127.0.0.1", "=x", "x", "http://127.0.0.1/"),
            ("http://h.example/", "a=b", "a=c", "a=d; Path=/e", "http://h.example/e/f"),
        )
    ],
    words=[
        *(b"; Domain=", b"; Path=/", b"; Expires=", b"; Max-Age=", b"; Secure", b"; HttpOnly"),
        *(b"__Host-", b"__Secure-", b"\n", b"=", b"; ", b"-1", b"Thu, 01 Jan 1970 00:00:00 GMT"),
    ],
    max_length=400,
)
