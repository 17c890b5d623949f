"""The policy of our cookie jars, and conversions to the types of ``http.cookiejar``.

``http.cookiejar`` imports ``urllib.request``, so it is imported with the first cookie to store.

The code relies on these facts (CPython 3.10 to 3.14). A jar appends ``.local`` to a host without a
dot, so that ``foo`` and ``foo.local`` would share cookies. We append a dot to such a host, which
names the same host and no other. By default, a jar sends a cookie without a Domain to all
subdomains; the strict policy forbids this.
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING

from restkit.cookies.set_cookie import SetCookie
from restkit.errors import RequestError
from restkit.url.host import normalize_name
from restkit.url.url import URL

if TYPE_CHECKING:
    from http.cookiejar import Cookie, CookieJar, DefaultCookiePolicy
    from urllib.request import Request


# A jar compares paths that are quoted in this way.
_SAFE_IN_PATHS = "%/;:@&=+$,!~*'()"
_ESCAPED = re.compile("%[0-9a-fA-F]{2}")


def make_jar() -> CookieJar:
    """Make an empty jar with the strict policy."""
    from restkit.cookies.indexed_jar import IndexedJar

    return IndexedJar(make_strict_policy())


def find_site_cookies(jar: CookieJar, domain: str) -> list[Cookie]:
    """Return the cookies of a domain and maybe others: all cookies if the jar has no index."""
    from restkit.cookies.indexed_jar import IndexedJar

    return jar.find_site_cookies(domain) if isinstance(jar, IndexedJar) else list(jar)


def make_strict_policy() -> DefaultCookiePolicy:
    """Make a policy that sends a host's cookies to this host only, and rejects ``.co.uk``."""
    from http.cookiejar import DefaultCookiePolicy

    host_only = DefaultCookiePolicy.DomainStrictNonDomain
    return DefaultCookiePolicy(strict_domain=True, strict_ns_domain=host_only)


@cache
def _strict_policy() -> DefaultCookiePolicy:
    return make_strict_policy()


def is_allowed(cookie: Cookie, jar_request: Request) -> bool:
    """Whether the strict policy allows a cookie. The policy of the jar may be the caller's own."""
    return _strict_policy().set_ok(cookie, jar_request)


def to_jar_request(url: URL) -> Request:
    """Return a request to this URL for the methods of a jar, which set its Cookie header."""
    from urllib.request import Request

    if "." not in url.host and ":" not in url.host:
        url = URL(url.scheme, f"{url.host}.", url.port, url.target)
    return Request(str(url))  # noqa: S310  # it is never opened


def to_jar_cookie(cookie: SetCookie, jar_request: Request) -> Cookie:
    """Return the cookie of a response, with the domain and path of its request as defaults."""
    domain = f".{cookie.domain}" if cookie.domain else to_jar_domain(jar_request.origin_req_host)
    # RFC 6265 5.1.4: the default path is that of the request up to its last slash.
    path = cookie.path or jar_request.selector.partition("?")[0].rpartition("/")[0] or "/"
    return make_cookie(cookie, domain, path)


def to_jar_domain(domain: str) -> str:
    """Return the domain of a jar for a host or, with a dot in front, for its subdomains too.

    Raises RequestError for a name with non-ASCII characters that is not valid.
    """
    if not domain.isascii():
        dot = "." if domain.startswith(".") else ""
        try:
            domain = dot + normalize_name(domain.removeprefix("."))
        except ValueError as exc:
            raise RequestError(f"domain={domain!r}: {exc}") from exc
    if ":" in domain and not domain.startswith("["):
        domain = f"[{domain}]"
    if "." in domain:
        return domain.lower()
    return f"{domain.lower()}{'.local' if ':' in domain else '.'}"


def make_cookie(cookie: SetCookie, domain: str, path: str) -> Cookie:
    """Convert a cookie to one for a jar. ``domain`` is in the form that jars use."""
    from http.cookiejar import Cookie
    from urllib.parse import quote

    path = _ESCAPED.sub(lambda escaped: escaped[0].upper(), quote(path, safe=_SAFE_IN_PATHS))
    return Cookie(
        version=0,
        name=cookie.name,
        value=cookie.value,
        port=None,
        port_specified=False,
        domain=domain,
        domain_specified=domain.startswith("."),
        domain_initial_dot=domain.startswith("."),
        path=path,
        path_specified=bool(cookie.path),
        secure=cookie.secure,
        expires=cookie.expires,
        discard=cookie.expires is None,
        comment=None,
        comment_url=None,
        rest={"HttpOnly": ""} if cookie.http_only else {},
    )
