"""A cookie jar that looks at the cookies of one site only.

The jar of a Client of its own: the standard library's, with a look at one site's cookies alone.

A ``CookieJar`` walks through all it has for every request and every cookie (CPython 3.10 to 3.14);
here the walk is through the cookies of one site, and there are at most 3000 altogether. What is
sent is still decided by a jar of the standard library: one with those few in it.
"""

from __future__ import annotations

import re
from contextlib import suppress
from http.cookiejar import Cookie, CookieJar, CookiePolicy
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator
    from urllib.request import Request

    Key = tuple[str, str, str]


_PORT = re.compile(":[0-9]*$")
MOST = 3000  # as in browsers; then the one goes that has been idle for longest


class OwnJar(CookieJar):
    """A jar that knows its cookies by site; its lock is the caller's affair."""

    def __init__(self, policy: CookiePolicy) -> None:
        super().__init__(policy)
        self._rules = policy
        self._sites: dict[str, dict[Key, Cookie]] = {}
        self._by_use: dict[Key, None] = {}  # what has been idle for longest comes first

    def set_policy(self, policy: CookiePolicy) -> None:
        super().set_policy(policy)
        self._rules = policy

    def near(self, domain: str) -> list[Cookie]:
        """The cookies of a domain, of those above it, and of others of the same site."""
        site = _site_of(domain)
        found: list[Cookie] = []
        for name in dict.fromkeys((site, site.rpartition(".")[2])):
            found += list(self._sites.get(name, {}).values())
        return found

    def add_cookie_header(self, request: Request) -> None:
        """Write the Cookie header that is due on the request; what has expired is let go."""
        few, host = CookieJar(self._rules), f".{_host_of(request)}"
        for cookie in self.near(host):
            if not host.endswith(f".{cookie.domain.removeprefix('.')}"):
                continue
            if cookie.is_expired():
                self.clear(cookie.domain, cookie.path, cookie.name)
            else:
                few.set_cookie(cookie)
                self._used(_key_of(cookie))
        few.add_cookie_header(request)

    def set_cookie(self, cookie: Cookie) -> None:
        super().set_cookie(cookie)
        key = _key_of(cookie)
        self._sites.setdefault(_site_of(cookie.domain), {})[key] = cookie
        self._used(key)
        while len(self._by_use) > MOST:
            self.clear(*next(iter(self._by_use)))

    def clear(
        self, domain: str | None = None, path: str | None = None, name: str | None = None
    ) -> None:
        super().clear(domain, path, name)
        if domain is None:
            self._sites, self._by_use = {}, {}
            return
        wanted = [part for part in (domain, path, name) if part is not None]
        site = self._sites.get(_site_of(domain), {})
        for key in [key for key in site if [*key[: len(wanted)]] == wanted]:
            del site[key], self._by_use[key]
        self._tidy_up(site, domain, path)

    def _tidy_up(self, site: dict[Key, Cookie], domain: str, path: str | None) -> None:
        """Let go of the places of cookies that are gone, which the library keeps for ever."""
        if not site:
            self._sites.pop(_site_of(domain), None)
        paths = [key[1] for key in site if key[0] == domain]
        with suppress(KeyError):
            if not paths:
                super().clear(domain)
            elif path is not None and path not in paths:
                super().clear(domain, path)

    def __iter__(self) -> Iterator[Cookie]:
        for site in list(self._sites.values()):
            yield from list(site.values())

    def _used(self, key: Key) -> None:
        self._by_use.pop(key, None)
        self._by_use[key] = None


def _host_of(request: Request) -> str:
    """The host by the name that the library keeps its cookies under."""
    host = _PORT.sub("", urlsplit(request.get_full_url()).netloc.lower())
    return host if "." in host else f"{host}.local"


def _key_of(cookie: Cookie) -> Key:
    return cookie.domain, cookie.path, cookie.name


def _site_of(domain: str) -> str:
    """The last two names of a domain: where two domains overlap, they have these in common."""
    return ".".join(domain.removeprefix(".").rsplit(".", 2)[-2:])
