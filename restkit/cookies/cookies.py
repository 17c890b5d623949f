"""The cookies of a Client.

The cookies of a Client: kept in a jar of the standard library, under rules of our own.

Each Set-Cookie field is read and judged as RFC 6265 has it (``cookie_rules.py``), then by the
strict policy of the standard library and by that of the jar, which decides about what is sent too.

Facts the code rests on (CPython 3.10 to 3.14). ``CookieJar.make_cookies`` lets any peer delete the
cookies of any other, by one that has expired: it is not used. Iterating a jar takes no lock; the
lock that it has may be held, after a fork, by a thread that is no more.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import ItemsView, Mapping, ValuesView
from contextlib import suppress
from itertools import count
from threading import RLock
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary, WeakSet

from restkit.cookies.jar_policy import (
    cookie_for,
    cookies_near,
    kept_domain,
    may_be_kept,
    strict_jar,
    to_jar_cookie,
    to_jar_request,
)
from restkit.cookies.set_cookie import SetCookie, accept_cookie, parse_set_cookie
from restkit.errors import RequestError

if TYPE_CHECKING:
    import urllib.request
    from collections.abc import Iterator
    from http.cookiejar import Cookie, CookieJar

    from restkit.message.request import Request
    from restkit.message.response import HttpResponse


_MOST_OF_A_DOMAIN = 180  # as in browsers; then the oldest goes
_NAME = re.compile(r"[!-:<>-~\xa1-\xff]+")
_VALUE = re.compile(r"(?:[!-:<-~\xa1-\xff](?:[ -:<-~\xa0-\xff]*[!-:<-~\xa1-\xff])?)?")
_DOMAIN = re.compile(r"\.?[^\s/:@\[\]]+|\[?[0-9a-fA-F:.]+\]?")


class Cookies(Mapping[str, str]):
    """Cookies by name, as a Client has kept them; a mapping, safe for threads and forks.

    ``cookies['sid']`` is a value, ``set`` and ``delete`` change them; where one name has several
    values, for several places, it is a RequestError to ask for its value, and ``jar`` has each.
    At most 180 are kept of a domain and 3000 altogether. As RFC 6265 has it, a cookie goes to
    every port of its host and, unless it is ``Secure``, to http where https has set it.

    ``Cookies(jar)`` keeps them in a jar of yours, an ``http.cookiejar.LWPCookieJar`` for one,
    whose own policy then decides what is sent, and how many there are is your affair. Neither
    ``repr`` nor errors show a value.
    """

    # As everything that changes: one is itself, and no other.
    __eq__ = object.__eq__
    __hash__ = object.__hash__

    def __init__(self, jar: CookieJar | None = None) -> None:
        self._jar = jar
        # In CPython 3.10 a jar iterates in the order of names, not in that of time.
        self._set_at: WeakKeyDictionary[Cookie, int] = WeakKeyDictionary()
        # Re-entrant: a policy of the caller's may look in here while it is asked.
        self._lock = RLock()
        _all.add(self)

    @property
    def jar(self) -> CookieJar:
        """The jar behind it, with everything there is to know of each cookie."""
        with self._lock:
            if self._jar is None:
                self._jar = strict_jar()
            return self._jar

    @property
    def empty(self) -> bool:
        """Whether there is nothing to send to anybody."""
        if self._jar is None:
            return True
        with self._lock:
            return next(iter(self._jar), None) is None

    # On the way of a request

    def put_on(self, request: Request) -> None:
        """Give the request the Cookie header that is due to its URL.

        Where the caller has given one, or withheld it, nothing is done.
        """
        if self.empty or "cookie" in request.headers or "cookie" in request.suppressed_headers:
            return
        asking = to_jar_request(request.url)
        with self._lock:
            self.jar.add_cookie_header(asking)
        header = asking.get_header("Cookie")
        if header:
            request.headers["Cookie"] = header

    def take_from(self, request: Request, response: HttpResponse) -> None:
        """Keep, or let go of, what the answer to this request sets, where it may set it."""
        fields = response.headers.get_all("set-cookie")
        if not fields:
            return
        asking, now = to_jar_request(request.url), time.time()
        with self._lock:
            for field in fields:
                said = parse_set_cookie(field, now)
                allowed = said and accept_cookie(said, request.url)
                if allowed:
                    self._take(to_jar_cookie(allowed, asking), asking, now)

    def _take(self, cookie: Cookie, asking: urllib.request.Request, now: float) -> None:
        jar = self.jar
        if asking.type != "https" and self._would_hide_a_secure_one(cookie):
            return
        if not may_be_kept(cookie, asking):
            return
        if cookie.is_expired(int(now)):
            with suppress(KeyError):
                jar.clear(cookie.domain, cookie.path, cookie.name)
            return
        jar.set_cookie_if_ok(cookie, asking)
        self._set_at[cookie] = next(_turns)
        same = [one for one in cookies_near(jar, cookie.domain) if one.domain == cookie.domain]
        if len(same) > _MOST_OF_A_DOMAIN:
            oldest = min(same, key=lambda one: self._set_at.get(one, 0))
            jar.clear(oldest.domain, oldest.path, oldest.name)

    def _would_hide_a_secure_one(self, cookie: Cookie) -> bool:
        """RFC 6265bis 5.7: who listens in on http is not to replace what came over https."""
        return any(
            one.secure and one.name == cookie.name and _overlap(one.domain, cookie.domain)
            for one in cookies_near(self.jar, cookie.domain)
        )

    # For callers

    def __getitem__(self, name: str) -> str:
        return _value_of(name, [one for one in self._kept() if one.name == name])

    def items(self) -> ItemsView[str, str]:
        """Names and values, as they are now."""
        by_name: dict[str, list[Cookie]] = {}
        for one in self._kept():
            by_name.setdefault(one.name, []).append(one)
        return {name: _value_of(name, found) for name, found in by_name.items()}.items()

    def values(self) -> ValuesView[str]:
        """The value of each name, as they are now."""
        return dict(self.items()).values()

    def set(
        self, name: str, value: str, *, domain: str, path: str = "/", secure: bool = False
    ) -> None:
        """Put a cookie in for one host or, with a dot before ``domain``, for those under it too.

        Raises RequestError for what no Cookie header can have.
        """
        if not _NAME.fullmatch(name):
            raise RequestError(f"{name!r} is no name for a cookie: one has no spaces, no = or ;")
        if not _VALUE.fullmatch(value):
            raise RequestError(
                f"the value of cookie {name!r} cannot be sent: latin-1 can be, without control "
                "characters and semicolons, and without spaces around it"
            )
        if not _DOMAIN.fullmatch(domain):
            raise RequestError(f"domain={domain!r}: a host is wanted, without scheme and port")
        if not path.startswith("/"):
            raise RequestError(f"path={path!r}: one that begins with a slash is wanted")
        said = SetCookie(name, value, path=path, secure=secure)
        with self._lock:
            self.jar.set_cookie(cookie_for(said, kept_domain(domain), path))

    def delete(self, name: str, *, domain: str | None = None) -> None:
        """Take out the cookies of this name, everywhere or of one domain; KeyError for none."""
        with self._lock:
            wanted = None if domain is None else kept_domain(domain)
            found = [
                one
                for one in self._kept()
                if one.name == name and (wanted is None or one.domain == wanted)
            ]
            if not found:
                raise KeyError(name)
            for one in found:
                self.jar.clear(one.domain, one.path, one.name)

    def clear(self) -> None:
        """Take out every cookie."""
        with self._lock:
            if self._jar is not None:
                self._jar.clear()

    def __contains__(self, name: object) -> bool:
        return any(one.name == name for one in self._kept())

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys([one.name for one in self._kept()]))

    def __len__(self) -> int:
        return len(list(iter(self)))

    def _kept(self) -> list[Cookie]:
        """Every cookie that has not expired, as it is now."""
        with self._lock:
            return [] if self._jar is None else [one for one in self._jar if not one.is_expired()]

    def __repr__(self) -> str:
        return f"<Cookies: {', '.join(self) or 'none'}>"

    def start_in_child(self) -> None:
        """After a fork: who held a lock in the parent will not let go of it here."""
        self._lock = RLock()
        if self._jar is not None:
            self._jar._cookies_lock = RLock()  # type: ignore[attr-defined]  # no other name for it


def as_cookies(value: object) -> Cookies | None:
    """What ``cookies=`` means: True a new jar, False or None no jar, a jar that jar."""
    if value is True:
        # Imported now, and not with the first cookie: see wire/dial.get_ready().
        import restkit.cookies.own_jar  # noqa: F401

        return Cookies()
    if value is None or value is False:
        return None
    if isinstance(value, Cookies):
        return value
    from http.cookiejar import CookieJar

    if isinstance(value, CookieJar):
        return Cookies(value)
    # Not its repr: values are secrets.
    raise RequestError(
        f"cookies= is of type {type(value).__name__}, which does not say whom to send them to; "
        "True, False, Cookies or a CookieJar is wanted, and then "
        "client.cookies.set(name, value, domain='host')"
    )


def _value_of(name: str, found: list[Cookie]) -> str:
    """The one value that these cookies of a name have; raises KeyError for none of them."""
    if not found:
        raise KeyError(name)
    if len({one.value for one in found}) > 1:
        places = ", ".join(f"{one.domain}{one.path}" for one in found)
        raise RequestError(f"several cookies are called {name!r}, for {places}: jar has each")
    return found[0].value or ""


def _overlap(one: str, other: str) -> bool:
    """Whether there is a host that gets cookies of both domains, as far as can be told."""
    one, other = f".{one.lstrip('.')}", f".{other.lstrip('.')}"
    return one.endswith(other) or other.endswith(one)


_turns = count(1)
_all: WeakSet[Cookies] = WeakSet()


def _after_fork_in_child() -> None:
    for cookies in list(_all):
        cookies.start_in_child()


os.register_at_fork(after_in_child=_after_fork_in_child)
