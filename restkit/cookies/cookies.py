"""The cookies of a Client, in a jar of the standard library.

A Set-Cookie field is stored after three checks: the rules of RFC 6265 (``set_cookie.py``), the
strict policy of the standard library, and the policy of the jar, which also decides which cookies
are sent.

The code relies on these facts (CPython 3.10 to 3.14). ``CookieJar.make_cookies`` is not used: with
it any server can delete the cookies of any other by an expired cookie. Iterating a jar takes no
lock. After a fork, the lock of a jar may be held by a thread that does not exist in the child.
"""

from __future__ import annotations

import re
import time
from collections.abc import ItemsView, Iterator, Mapping, ValuesView
from contextlib import suppress
from itertools import count
from threading import RLock
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary, WeakSet

from restkit.cookies.jar_policy import (
    find_site_cookies,
    is_allowed,
    make_cookie,
    make_jar,
    to_jar_cookie,
    to_jar_domain,
    to_jar_request,
)
from restkit.cookies.set_cookie import SetCookie, accept_cookie, parse_set_cookie
from restkit.errors import RequestError
from restkit.io.processes import run_in_forked_child
from restkit.message.request import Request
from restkit.message.response import HttpResponse

if TYPE_CHECKING:
    import urllib.request
    from http.cookiejar import Cookie, CookieJar


_MAX_PER_DOMAIN = 180  # as in browsers; then the oldest is deleted
_NAME = re.compile(r"[!-:<>-~\xa1-\xff]+")
_VALUE = re.compile(r"(?:[!-:<-~\xa1-\xff](?:[ -:<-~\xa0-\xff]*[!-:<-~\xa1-\xff])?)?")
_DOMAIN = re.compile(r"\.?[^\s/:@\[\]]+|\[?[0-9a-fA-F:.]+\]?")


class Cookies(Mapping[str, str]):
    """The cookies of a Client: a mapping from names to values, safe for threads and forks.

    ``cookies['sid']`` returns a value; ``set`` and ``delete`` change cookies. If a name has
    different values for several domains or paths, reading its value raises RequestError; ``jar``
    has each cookie. At most 180 cookies of a domain and 3000 in all are kept. A cookie is sent to
    every port of its host and, unless it is ``Secure``, also over http if it was set over https
    (RFC 6265).

    ``Cookies(jar)`` stores them in your own jar, for example an ``http.cookiejar.LWPCookieJar``.
    Then its policy decides which cookies are sent, and their number is not limited here. ``repr``
    and errors show no values.

    >>> cookies = Cookies()
    >>> cookies.set('sid', 'abc', domain='example.com')
    >>> cookies['sid'], cookies
    ('abc', <Cookies: sid>)
    """

    # Compared by identity, as a mutable object.
    __eq__ = object.__eq__
    __hash__ = object.__hash__

    def __init__(self, jar: CookieJar | None = None) -> None:
        self._jar = jar
        # In CPython 3.10 a jar iterates by name, not by age.
        self._stored_at: WeakKeyDictionary[Cookie, int] = WeakKeyDictionary()
        # Reentrant: the caller's policy may read these cookies while it is called.
        self._lock = RLock()
        _instances.add(self)

    @property
    def jar(self) -> CookieJar:
        """The ``http.cookiejar.CookieJar`` that stores the cookies with all their attributes."""
        with self._lock:
            if self._jar is None:
                self._jar = make_jar()
            return self._jar

    @property
    def empty(self) -> bool:
        """Whether there is no cookie."""
        if self._jar is None:
            return True
        with self._lock:
            return next(iter(self._jar), None) is None

    # For requests and responses

    def add_to_request(self, request: Request) -> None:
        """Set the Cookie header of the request, unless the caller gave or suppressed one."""
        if self.empty or "cookie" in request.headers or "cookie" in request.suppressed_headers:
            return
        jar_request = to_jar_request(request.url)
        with self._lock:
            self.jar.add_cookie_header(jar_request)
        header = jar_request.get_header("Cookie")
        if header:
            request.headers["Cookie"] = header

    def store_from_response(self, request: Request, response: HttpResponse) -> None:
        """Store or delete the cookies that the response sets, if its server may set them."""
        fields = response.headers.get_all("set-cookie")
        if not fields:
            return
        jar_request, now = to_jar_request(request.url), time.time()
        with self._lock:
            for field in fields:
                parsed = parse_set_cookie(field, now)
                accepted = parsed and accept_cookie(parsed, request.url)
                if accepted:
                    self._store(to_jar_cookie(accepted, jar_request), jar_request, now)

    def _store(self, cookie: Cookie, jar_request: urllib.request.Request, now: float) -> None:
        jar = self.jar
        if jar_request.type != "https" and self._would_hide_secure_cookie(cookie):
            return
        if not is_allowed(cookie, jar_request):
            return
        if cookie.is_expired(int(now)):
            with suppress(KeyError):
                jar.clear(cookie.domain, cookie.path, cookie.name)
            return
        jar.set_cookie_if_ok(cookie, jar_request)
        self._stored_at[cookie] = next(_counter)
        same = [
            each for each in find_site_cookies(jar, cookie.domain) if each.domain == cookie.domain
        ]
        if len(same) > _MAX_PER_DOMAIN:
            oldest = min(same, key=lambda each: self._stored_at.get(each, 0))
            jar.clear(oldest.domain, oldest.path, oldest.name)

    def _would_hide_secure_cookie(self, cookie: Cookie) -> bool:
        """Whether a cookie from http would replace one from https (RFC 6265bis 5.7).

        An attacker between client and server can set cookies over http.
        """
        return any(
            each.secure and each.name == cookie.name and _do_overlap(each.domain, cookie.domain)
            for each in find_site_cookies(self.jar, cookie.domain)
        )

    # For callers

    def __getitem__(self, name: str) -> str:
        return _single_value(name, [each for each in self._current() if each.name == name])

    def items(self) -> ItemsView[str, str]:
        """Return a snapshot of names and values."""
        by_name: dict[str, list[Cookie]] = {}
        for cookie in self._current():
            by_name.setdefault(cookie.name, []).append(cookie)
        return {name: _single_value(name, found) for name, found in by_name.items()}.items()

    def values(self) -> ValuesView[str]:
        """Return a snapshot of the values, one for each name."""
        return dict(self.items()).values()

    def set(
        self, name: str, value: str, *, domain: str, path: str = "/", secure: bool = False
    ) -> None:
        """Store a cookie for a host; with a dot before ``domain``, for its subdomains too.

        Raises RequestError if a Cookie header cannot contain it.
        """
        if not _NAME.fullmatch(name):
            raise RequestError(f"a cookie name must not contain spaces, '=' or ';'; got {name!r}")
        if not _VALUE.fullmatch(value):
            raise RequestError(
                f"the value of cookie {name!r} must be latin-1 without control characters and "
                "semicolons, and without spaces around it"
            )
        if not _DOMAIN.fullmatch(domain):
            raise RequestError(f"domain must be a host without scheme and port; got {domain!r}")
        if not path.startswith("/"):
            raise RequestError(f"path must begin with a slash; got {path!r}")
        cookie = SetCookie(name, value, path=path, secure=secure)
        with self._lock:
            self.jar.set_cookie(make_cookie(cookie, to_jar_domain(domain), path))

    def delete(self, name: str, *, domain: str | None = None) -> None:
        """Delete the cookies of this name, of one domain or of all; KeyError if there is none."""
        with self._lock:
            jar_domain = None if domain is None else to_jar_domain(domain)
            found = [
                each
                for each in self._current()
                if each.name == name and (jar_domain is None or each.domain == jar_domain)
            ]
            if not found:
                raise KeyError(name)
            for cookie in found:
                self.jar.clear(cookie.domain, cookie.path, cookie.name)

    def clear(self) -> None:
        """Delete every cookie."""
        with self._lock:
            if self._jar is not None:
                self._jar.clear()

    def __contains__(self, name: object) -> bool:
        return any(each.name == name for each in self._current())

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys([each.name for each in self._current()]))

    def __len__(self) -> int:
        return len(list(iter(self)))

    def _current(self) -> list[Cookie]:
        """Return a snapshot of the cookies that have not expired."""
        with self._lock:
            jar = () if self._jar is None else self._jar
            return [each for each in jar if not each.is_expired()]

    def __repr__(self) -> str:
        return f"<Cookies: {', '.join(self) or 'none'}>"

    def reset_after_fork(self) -> None:
        """Replace the locks in a forked child: the thread that held one does not exist there."""
        self._lock = RLock()
        if self._jar is not None:
            self._jar._cookies_lock = RLock()  # type: ignore[attr-defined]  # no other name for it


def as_cookies(value: object) -> Cookies | None:
    """Convert the option ``cookies``: True, False, None, Cookies or a jar; raises RequestError."""
    if value is True:
        # Not with the first cookie: see import_early() in network/dial.py.
        import restkit.cookies.indexed_jar  # noqa: F401

        return Cookies()
    if value is None or value is False:
        return None
    if isinstance(value, Cookies):
        return value
    from http.cookiejar import CookieJar

    if isinstance(value, CookieJar):
        return Cookies(value)
    # No repr of the value: cookies are secrets.
    raise RequestError(
        f"cookies must be True, False, Cookies or a CookieJar; got {type(value).__name__}, which "
        "has no hosts for the cookies. Use client.cookies.set(name, value, domain='host')"
    )


def _single_value(name: str, found: list[Cookie]) -> str:
    """Return the common value of the cookies of a name; raise KeyError if there are none."""
    if not found:
        raise KeyError(name)
    if len({each.value for each in found}) > 1:
        places = ", ".join(f"{each.domain}{each.path}" for each in found)
        raise RequestError(
            f"several cookies have the name {name!r}, for {places}; read them from the jar"
        )
    return found[0].value or ""


def _do_overlap(first: str, second: str) -> bool:
    """Whether one domain is equal to the other or below it."""
    first, second = f".{first.lstrip('.')}", f".{second.lstrip('.')}"
    return first.endswith(second) or second.endswith(first)


_counter = count(1)
_instances: WeakSet[Cookies] = WeakSet()


def _after_fork_in_child() -> None:
    for cookies in list(_instances):
        cookies.reset_after_fork()


run_in_forked_child(_after_fork_in_child)
