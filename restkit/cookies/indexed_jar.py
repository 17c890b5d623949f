"""A cookie jar with an index by site.

A ``CookieJar`` examines all its cookies for every request and every new cookie (CPython 3.10 to
3.14). This one examines only the cookies of one site, and holds at most 3000. A jar of the standard
library with these few cookies still decides which of them are sent.
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
MAX_COOKIES = 3000  # as in browsers; then the least recently used is deleted


class IndexedJar(CookieJar):
    """A jar with an index of its cookies by site. The caller must lock it."""

    def __init__(self, policy: CookiePolicy) -> None:
        super().__init__(policy)
        self._own_policy = policy
        self._sites: dict[str, dict[Key, Cookie]] = {}
        self._by_use: dict[Key, None] = {}  # the least recently used comes first

    def set_policy(self, policy: CookiePolicy) -> None:
        super().set_policy(policy)
        self._own_policy = policy

    def find_site_cookies(self, domain: str) -> list[Cookie]:
        """Return the cookies of a domain and of all other domains of its site."""
        site = _site_of(domain)
        found: list[Cookie] = []
        for name in dict.fromkeys((site, site.rpartition(".")[2])):
            found += list(self._sites.get(name, {}).values())
        return found

    def add_cookie_header(self, request: Request) -> None:
        """Set the Cookie header of the request; delete its cookies that have expired."""
        small, host = CookieJar(self._own_policy), f".{_host_of(request)}"
        for cookie in self.find_site_cookies(host):
            if not host.endswith(f".{cookie.domain.removeprefix('.')}"):
                continue
            if cookie.is_expired():
                self.clear(cookie.domain, cookie.path, cookie.name)
            else:
                small.set_cookie(cookie)
                self._mark_used(_key_of(cookie))
        small.add_cookie_header(request)

    def set_cookie(self, cookie: Cookie) -> None:
        super().set_cookie(cookie)
        key = _key_of(cookie)
        self._sites.setdefault(_site_of(cookie.domain), {})[key] = cookie
        self._mark_used(key)
        while len(self._by_use) > MAX_COOKIES:
            self.clear(*next(iter(self._by_use)))

    def clear(
        self, domain: str | None = None, path: str | None = None, name: str | None = None
    ) -> None:
        super().clear(domain, path, name)
        if domain is None:
            self._sites, self._by_use = {}, {}
            return
        prefix = [part for part in (domain, path, name) if part is not None]
        site = self._sites.get(_site_of(domain), {})
        for key in [key for key in site if [*key[: len(prefix)]] == prefix]:
            del site[key], self._by_use[key]
        self._delete_empty(site, domain, path)

    def _delete_empty(self, site: dict[Key, Cookie], domain: str, path: str | None) -> None:
        """Delete dicts of domains and paths without cookies. ``CookieJar`` keeps them for ever."""
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

    def _mark_used(self, key: Key) -> None:
        self._by_use.pop(key, None)
        self._by_use[key] = None


def _host_of(request: Request) -> str:
    """Return the host of a request in the form that jars use."""
    host = _PORT.sub("", urlsplit(request.get_full_url()).netloc.lower())
    return host if "." in host else f"{host}.local"


def _key_of(cookie: Cookie) -> Key:
    return cookie.domain, cookie.path, cookie.name


def _site_of(domain: str) -> str:
    """Return the last two labels of a domain. Domains that overlap have them in common."""
    return ".".join(domain.removeprefix(".").rsplit(".", 2)[-2:])
