"""The policy of a cookie jar, and conversions to and from the jars of the standard library.

The standard library's cookie jar, as ``cookies.py`` uses it: its policy, requests and cookies.

Facts the code rests on (CPython 3.10 to 3.14). ``http.cookiejar`` brings ``urllib.request`` along,
and is imported when there is a cookie to keep. A host without a dot in it is kept with ``.local``
behind it, so that ``foo`` and ``foo.local`` would share cookies: a name is shown to it with a dot
at the end, which means the same host and no other. A cookie without a Domain goes to every
subdomain, unless the policy is told otherwise.
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING

from restkit.url.url import URL

if TYPE_CHECKING:
    from http.cookiejar import Cookie, CookieJar, DefaultCookiePolicy
    from urllib.request import Request

    from restkit.cookies.set_cookie import SetCookie


# Paths are compared in this form.
_SAFE_IN_PATHS = "%/;:@&=+$,!~*'()"
_ESCAPED = re.compile("%[0-9a-fA-F]{2}")


def strict_jar() -> CookieJar:
    """An empty jar with the strict policy."""
    from restkit.cookies.own_jar import OwnJar

    return OwnJar(strict_policy())


def cookies_near(jar: CookieJar, domain: str) -> list[Cookie]:
    """The cookies of a jar among which all are that hosts of this domain get, and maybe others."""
    from restkit.cookies.own_jar import OwnJar

    return jar.near(domain) if isinstance(jar, OwnJar) else list(jar)


def strict_policy() -> DefaultCookiePolicy:
    """A policy that keeps a host's cookies to the host, and takes none for all of ``.co.uk``."""
    from http.cookiejar import DefaultCookiePolicy

    host_alone = DefaultCookiePolicy.DomainStrictNonDomain
    return DefaultCookiePolicy(strict_domain=True, strict_ns_domain=host_alone)


@cache
def _check() -> DefaultCookiePolicy:
    return strict_policy()


def may_be_kept(cookie: Cookie, asking: Request) -> bool:
    """Whether the strict policy takes it, whatever the policy of the jar."""
    return _check().set_ok(cookie, asking)


def to_jar_request(url: URL) -> Request:
    """A request to this URL, for a jar to look at, and to write its header on."""
    from urllib.request import Request

    seen = url
    if "." not in url.host and ":" not in url.host:
        seen = URL(url.scheme, f"{url.host}.", url.port, url.target)
    return Request(str(seen))  # noqa: S310  # nothing is opened with it


def to_jar_cookie(said: SetCookie, asking: Request) -> Cookie:
    """The cookie, with domain and path filled in from the request it answers."""
    domain = f".{said.domain}" if said.domain else kept_domain(asking.origin_req_host)
    # RFC 6265 5.1.4: where no path is given, it is that of the request up to its last slash.
    path = said.path or asking.selector.partition("?")[0].rpartition("/")[0] or "/"
    return cookie_for(said, domain, path)


def kept_domain(domain: str) -> str:
    """A host, or with a dot in front those under it, by the name that a jar has for it."""
    if ":" in domain and not domain.startswith("["):
        domain = f"[{domain}]"
    if "." in domain:
        return domain.lower()
    return f"{domain.lower()}{'.local' if ':' in domain else '.'}"


def cookie_for(said: SetCookie, domain: str, path: str) -> Cookie:
    """A cookie for a domain by the jar's own name for it."""
    from http.cookiejar import Cookie
    from urllib.parse import quote

    path = _ESCAPED.sub(lambda escaped: escaped[0].upper(), quote(path, safe=_SAFE_IN_PATHS))
    return Cookie(
        version=0,
        name=said.name,
        value=said.value,
        port=None,
        port_specified=False,
        domain=domain,
        domain_specified=domain.startswith("."),
        domain_initial_dot=domain.startswith("."),
        path=path,
        path_specified=bool(said.path),
        secure=said.secure,
        expires=said.expires,
        discard=said.expires is None,
        comment=None,
        comment_url=None,
        rest={"HttpOnly": ""} if said.http_only else {},
    )
