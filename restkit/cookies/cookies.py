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
from collections.abc import ItemsView, Iterator, Mapping, MutableMapping, ValuesView
from contextlib import suppress
from itertools import count
from os import PathLike, fsdecode
from threading import RLock
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary, WeakSet

from restkit.annotations import CookieJar
from restkit.cookies.cookies_file import DOMAIN, format_cookies, parse_cookies, write_private_file
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
from restkit.url.url import URL

if TYPE_CHECKING:
    import urllib.request
    from http.cookiejar import Cookie


_MAX_PER_DOMAIN = 180  # as in browsers; then the oldest is deleted
_NAME = re.compile(r"[!-:<>-~\xa1-\xff]+")
_VALUE = re.compile(r"(?:[!-:<-~\xa1-\xff](?:[ -:<-~\xa0-\xff]*[!-:<-~\xa1-\xff])?)?")


class Cookies(MutableMapping[str, str]):
    """The cookies of a Client: a mapping from names to values, safe for threads and forks.

    ``cookies['sid']`` returns a value. ``cookies['sid'] = 'abc'`` sets a cookie for the host of the
    Client's ``base_url`` and the path ``/``. It is ``Secure`` if that URL is https. ``set`` sets a
    cookie for another host. ``save`` and ``load`` write and read a file. If a name has different
    values for several domains or paths, reading its value raises RequestError; ``jar`` has each
    cookie. At most 180 cookies of a domain and 3000 in all are kept. A cookie is sent to every port
    of its host. Unless it is ``Secure``, it is also sent over http if it was set over https
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
    __hash__ = object.__hash__  # pyright: ignore[reportAssignmentType]  # a Mapping has none

    def __init__(self, jar: CookieJar | None = None) -> None:
        self._jar = jar
        # In CPython 3.10 a jar iterates by name, not by age.
        self._stored_at: WeakKeyDictionary[Cookie, int] = WeakKeyDictionary()
        # Reentrant: the caller's policy may read these cookies while it is called.
        self._lock = RLock()
        # The base URLs of the Clients that use these cookies, by host and scheme.
        self._base_urls: dict[tuple[str, bool], URL] = {}
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
        texts: dict[str, object] = {"name": name, "value": value, "domain": domain, "path": path}
        for argument, text in texts.items():
            if not isinstance(text, str):
                # The value is not shown: it may be a secret.
                found = type(text).__name__
                raise RequestError(f"{argument} of a cookie must be a str; got a value of {found}")
        if not _NAME.fullmatch(name):
            raise RequestError(f"a cookie name must not contain spaces, '=' or ';'; got {name!r}")
        if not _VALUE.fullmatch(value):
            raise RequestError(
                f"the value of cookie {name!r} must be latin-1 without control characters and "
                "semicolons, and without spaces around it"
            )
        if not DOMAIN.fullmatch(domain):
            raise RequestError(f"domain must be a host without scheme and port; got {domain!r}")
        if not path.startswith("/"):
            raise RequestError(f"path must begin with a slash; got {path!r}")
        cookie = SetCookie(name, value, path=path, secure=secure)
        with self._lock:
            self.jar.set_cookie(make_cookie(cookie, to_jar_domain(domain), path))

    def add_base_url(self, url: URL) -> None:
        """Set the host for ``cookies[name] = value``: that of a Client that uses these cookies."""
        if len(self._base_urls) < 2:  # two are enough for the error
            self._base_urls[url.host, url.scheme == "https"] = url

    def __setitem__(self, name: str, value: str) -> None:
        if len(self._base_urls) != 1:
            urls = " and ".join(sorted(url.authority for url in self._base_urls.values()))
            reason = f"are several: {urls}" if urls else "is none: its Client has no base_url"
            raise RequestError(
                f"a cookie needs a host, and there {reason}. Use "
                f"cookies.set({name!r}, value, domain='host')"
                f"{'' if urls else ', or give the Client a base_url'}"
            )
        [(host, secure)] = self._base_urls
        # A zone names an interface of this machine, and is not sent.
        self.set(name, value, domain=host.partition("%")[0], secure=secure)

    def __delitem__(self, name: str) -> None:
        self.delete(name)

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

    def save(self, path: str | PathLike[str], *, session_cookies: bool = True) -> None:
        """Write the cookies to a file that only its owner can read, in one step.

        The format is Netscape's (cookies.txt), as curl reads and writes it. Session cookies, which
        have no expiry time, are written too, unless ``session_cookies`` is False. Expired cookies
        are not. Raises OSError, and RequestError for a cookie that the format cannot store.
        """
        cookies = [each for each in self._current() if session_cookies or not each.discard]
        write_private_file(path, format_cookies(cookies))

    def load(self, path: str | PathLike[str]) -> None:
        """Add the cookies of a file that ``save`` or curl wrote; they replace equal ones.

        Raises OSError, and RequestError for a damaged file; then no cookie is added.
        """
        with open(path, "rb") as file:
            cookies = parse_cookies(file.read(), repr(fsdecode(path)))
        with self._lock:
            for cookie in cookies:
                if not cookie.is_expired():
                    self.jar.set_cookie(cookie)
                    self._stored_at[cookie] = next(_counter)

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


class NoCookies(Cookies):
    """The cookies of a Client that keeps none: always empty, and an error when it is changed."""

    @property
    def jar(self) -> CookieJar:
        """Raise RequestError. Each change needs the jar."""
        raise _off_error()

    def __setitem__(self, name: str, value: str) -> None:
        raise _off_error()

    def save(self, path: str | PathLike[str], *, session_cookies: bool = True) -> None:
        """Raise RequestError: an empty file would replace cookies that were saved earlier."""
        del path, session_cookies
        raise _off_error()

    def load(self, path: str | PathLike[str]) -> None:
        """Raise RequestError."""
        del path
        raise _off_error()

    def __repr__(self) -> str:
        return "<Cookies, off>"


def _off_error() -> RequestError:
    return RequestError(
        "cookies are off: this Client was made with cookies=False. Make it with cookies=True, "
        "a dict or a jar, or give a call headers={'Cookie': ...}"
    )


def as_cookies(value: object, base_url: URL | None = None) -> Cookies | None:
    """Convert the option ``cookies`` of a Client with this ``base_url``; raise RequestError.

    Returns None if the Client keeps no cookies.
    """
    if value is None or value is False or isinstance(value, NoCookies):
        return None
    cookies = _make_cookies(value)
    if base_url is not None:
        cookies.add_base_url(base_url)
    if isinstance(value, Mapping) and cookies is not value:
        if value and base_url is None:
            raise RequestError(
                "cookies given by name and value need a host: give the Client a base_url, or use "
                "client.cookies.set(name, value, domain='host')"
            )
        cookies.update(value)
    return cookies


def _make_cookies(value: object) -> Cookies:
    if value is True or (isinstance(value, Mapping) and not isinstance(value, Cookies)):
        # Not with the first cookie: see import_early() in network/dial.py.
        import restkit.cookies.indexed_jar  # noqa: F401

        return Cookies()
    if isinstance(value, Cookies):
        return value
    from http.cookiejar import CookieJar

    if isinstance(value, CookieJar):
        return Cookies(value)
    # No repr of the value: cookies are secrets.
    raise RequestError(
        "cookies must be True, False, a dict of names and values, Cookies or a CookieJar; got "
        f"{type(value).__name__}. To read a file: client.cookies.load(path)"
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
