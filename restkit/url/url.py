"""A URL as a value: parse it, check it, join it.

A URL, parsed once: where to connect, what to write on the request line, whom to log in.

urllib3's parser takes the text apart, removes dot segments and percent-encodes. Around it:

- one stray ``%`` makes it encode every ``%`` of the component again, valid escapes too
  (2.8.0, ``_encode_invalid_chars``), so strays become ``%25`` before it looks;
- hosts and ports are read in ``host.py``, since it lets some pass that fail later and worse;
- it is not shown user info, which its errors repeat.

A path put behind a base: what ``Resource`` and ``Client(base_url=)`` ask for.

A base is a place that paths are put behind, whatever slashes either has: unlike a link on a page
(RFC 3986 5.2), a path with a slash in front does not leave it, nor can ``..`` lead out of it.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NoReturn

from restkit.errors import InvalidUrl
from restkit.redaction import redact_text, redact_url
from restkit.url.host import split_host_port
from restkit.url.query import Params, encode_query, stray_percents_encoded

__all__ = ["URL", "Params", "parse_url"]

_DEFAULT_PORTS = {"http": 80, "https": 443}
# A cache of 512 that took texts of any length could come to hold gigabytes.
_LONGEST_CACHED = 2048

_ABSOLUTE = re.compile(r"(https?)://([^/?#]*)(.*)", re.IGNORECASE | re.DOTALL)
_REFERENCE = re.compile(
    r"(?:([A-Za-z][A-Za-z0-9+.-]*):)?(//[^/?#]*)?([^?#]*)(\?[^#]*)?(#.*)?", re.DOTALL
)
_ON_THE_WIRE = re.compile("[!-~]+ [/*][!-~]*")
_CONTROL = re.compile("[\x00-\x1f\x7f]")


class URL:
    """An absolute http or https URL: a value, made by ``parse_url``.

    ``host`` is lower-case ASCII, an IPv6 address in it without brackets and with its zone.
    ``target`` is what the request line bears: path and query, ASCII, never empty. ``authority``
    is what the Host header bears: no default port, no zone. ``origin`` is (scheme, host, port).
    ``username`` and ``password`` are percent-decoded, and neither ``str`` nor ``repr`` has them.
    The constructor refuses what would break a request line, and trusts its arguments for the rest.
    """

    __slots__ = (
        "authority",
        "fragment",
        "host",
        "origin",
        "password",
        "port",
        "scheme",
        "target",
        "username",
    )
    scheme: str
    host: str
    port: int
    target: str
    fragment: str | None
    username: str | None
    password: str | None
    authority: str
    origin: tuple[str, str, int]

    def __init__(
        self,
        scheme: str,
        host: str,
        port: int,
        target: str = "/",
        fragment: str | None = None,
        username: str | None = None,
        password: str | None = None,
    ) -> None:
        if not _ON_THE_WIRE.fullmatch(f"{host} {target}"):
            raise InvalidUrl(
                f"{host!r} and {redact_url(target)!r} are no host and target; parse_url makes them"
            )
        put = object.__setattr__
        put(self, "scheme", scheme)
        put(self, "host", host)
        put(self, "port", port)
        put(self, "target", target)
        put(self, "fragment", fragment)
        put(self, "username", username)
        put(self, "password", password)
        put(self, "authority", _authority(scheme, host.partition("%")[0], port))
        put(self, "origin", (scheme, host, port))

    def without_fragment(self) -> URL:
        """The same URL without what follows ``#``."""
        return URL(*self.origin, self.target, None, self.username, self.password)

    def without_userinfo(self) -> URL:
        """The same URL without user name and password."""
        return URL(*self.origin, self.target, self.fragment)

    def with_params(self, params: Params) -> URL:
        """The same URL with ``params`` at the end of its query; raises InvalidUrl."""
        query = encode_query(params)
        if not query:
            return self
        between = "" if self.target.endswith(("?", "&")) else "&" if "?" in self.target else "?"
        target = f"{self.target}{between}{query}"
        return URL(*self.origin, target, self.fragment, self.username, self.password)

    def join(self, reference: str) -> URL:
        """The URL that ``reference`` means from here, as RFC 3986 5.2 has it; raises InvalidUrl.

        As for a redirect (RFC 9110 10.2.2), a reference without a fragment inherits this one's.
        User info is inherited only by a reference that names no host.

        >>> str(parse_url('http://host/a/b?c#d').join('../e'))
        'http://host/e#d'
        """
        reference = reference.strip(" ")
        match = _REFERENCE.fullmatch(reference)
        assert match  # every part of it may be missing
        scheme, authority, path, query, fragment = match.groups()
        # "http:path" without slashes is relative to the same scheme: not by the letter of 5.2.2,
        # but as urllib.parse and the browsers read it.
        if authority or (scheme and scheme.lower() != self.scheme):
            url = parse_url(reference if scheme else f"{self.scheme}:{reference}")
        else:
            target = self._resolved(path, query)
            url = parse_url(f"{self.scheme}://{self._netloc()}{target}{fragment or ''}")
            url = URL(*self.origin, url.target, url.fragment, self.username, self.password)
        if fragment or self.fragment is None:
            return url
        return URL(*url.origin, url.target, self.fragment, url.username, url.password)

    def _resolved(self, path: str, query: str | None) -> str:
        if not path:
            return self.target if query is None else self.target.partition("?")[0] + query
        if not path.startswith("/"):
            base = self.target.partition("?")[0]
            path = base[: base.rindex("/") + 1] + path
        return path + (query or "")

    def _netloc(self) -> str:
        # RFC 6874: the % before a zone is itself written %25.
        return _authority(self.scheme, self.host.replace("%", "%25"), self.port)

    def __str__(self) -> str:
        fragment = "" if self.fragment is None else f"#{self.fragment}"
        return f"{self.scheme}://{self._netloc()}{self.target}{fragment}"

    def __repr__(self) -> str:
        text = str(self)
        if self.username is not None:
            text = text.replace("://", "://***@", 1)
        return f"URL({text!r})"

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"a URL is a value: {name} cannot be set")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"a URL is a value: {name} cannot be deleted")

    def _fields(self) -> tuple[str, str, int, str, str | None, str | None, str | None]:
        return (*self.origin, self.target, self.fragment, self.username, self.password)

    def __eq__(self, other: object) -> bool:
        return self._fields() == other._fields() if isinstance(other, URL) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._fields())

    def __reduce__(self) -> tuple[type[URL], tuple[str | int | None, ...]]:
        return URL, self._fields()


def parse_url(text: str | URL, params: Params | None = None) -> URL:
    """The URL that a text is, with ``params`` added to its query; raises InvalidUrl.

    Spaces around the text are dropped; spaces in it, stray ``%`` and what is not ASCII are
    percent-encoded (as UTF-8), and what is already encoded stays. ``params`` is a mapping,
    pairs, or a query as text. A URL is taken as it is. No error repeats a password.

    >>> parse_url('http://host/a b', {'q': ['x', 1]}).target
    '/a%20b?q=x&q=1'
    """
    if isinstance(text, str):
        # Secrets are not to lie about in a cache.
        if "@" in text or len(text) > _LONGEST_CACHED:
            url = _parsed(text)
        else:
            url = _cached(text)
    elif isinstance(text, URL):
        url = text
    else:
        raise InvalidUrl(f"a URL is a str, or what parse_url gave; not {type(text).__name__}")
    return url if params is None else url.with_params(params)


def _parsed(text: str) -> URL:
    from urllib3.exceptions import LocationParseError

    try:
        return _parts(_clean(text))
    except (ValueError, LocationParseError) as exc:
        # A name has been looked at by then, so that this is all it finds fault with.
        by_urllib3 = isinstance(exc, LocationParseError)
        reason = "what the brackets hold is no IPv6 address" if by_urllib3 else str(exc)
        # The cause may repeat what it took for the host; where the password has a raw "/" in
        # it, that is the password's first half. urllib3's repeats the whole text.
        tells = "@" in text or (by_urllib3 and "?" in text)
        raise InvalidUrl(f"{redact_text(text)}: {reason}") from (None if tells else exc)


_cached = lru_cache(maxsize=512)(_parsed)


def _parts(text: str) -> URL:
    # Here and not above: urllib3 is most of what restkit takes to import, and importing a
    # client that asks for nothing yet should not pay for it.
    from urllib3.util.url import parse_url as parse

    match = _ABSOLUTE.fullmatch(text)
    if not match:
        raise ValueError(_why_not_absolute(text))
    scheme, authority, rest = match[1].lower(), match[2], match[3]
    if "\\" in authority:
        raise ValueError("a backslash before the path: readers differ on which host that is")
    userinfo, _, host_port = authority.rpartition("@")
    host, port = split_host_port(host_port)
    parts = parse(f"{scheme}://{host}{stray_percents_encoded(rest)}")
    return URL(
        scheme,
        (parts.host or "").strip("[]"),
        port or _DEFAULT_PORTS[scheme],
        parts.request_uri,
        parts.fragment,
        *_user(userinfo),
    )


def _clean(text: str) -> str:
    """The text without spaces around it; ValueError for what no URL can have in it."""
    text = text.strip(" ")
    fault = _CONTROL.search(text)
    if fault:
        code = ord(fault[0])
        raise ValueError(
            f"the control character U+{code:04X} at {fault.start()}; percent-encoded it would "
            f"be %{code:02X}"
        )
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError as exc:
            raise ValueError(
                f"half a character (U+{ord(text[exc.start]):04X}) at {exc.start}; bytes that "
                "are no UTF-8 must be percent-encoded"
            ) from None
    return text


def _why_not_absolute(text: str) -> str:
    match = _REFERENCE.fullmatch(text)
    scheme = match and match[1]
    if not scheme:
        return "a relative URL; http:// or https:// and a host are wanted in front"
    if scheme.lower() in _DEFAULT_PORTS:
        return f"two slashes and a host are wanted behind {scheme}:"
    if "." in scheme or re.match("[0-9]", text[len(scheme) + 1 :]):
        return "no scheme; http:// or https:// is wanted in front"
    return f"restkit speaks http and https, not {scheme}"


def _user(userinfo: str) -> tuple[str | None, str | None]:
    if not userinfo:
        return None, None
    from urllib.parse import unquote

    username, colon, password = userinfo.partition(":")
    try:
        return unquote(username, errors="strict"), (
            unquote(password, errors="strict") if colon else None
        )
    except UnicodeDecodeError:
        # Not chained: that error has the bytes in it.
        raise ValueError("user name and password must be UTF-8, percent-encoded") from None


def _authority(scheme: str, host: str, port: int) -> str:
    if ":" in host:
        host = f"[{host}]"
    return host if port == _DEFAULT_PORTS[scheme] else f"{host}:{port}"


_HAS_SCHEME = re.compile("[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_PATH = re.compile(r"([^?#]*)(?:\?([^#]*))?(#.*)?", re.DOTALL)
# %2E is a dot (RFC 3986 6.2.2.2): who normalizes on the way takes both out of the path.
_DOTS = re.compile(r"(?:^|/)((?:\.|%2[Ee]){1,2})(?:/|$)")


def join_uri(base: str | URL, *path: str | None, params: Params | None = None) -> URL:
    """The URL of ``path``, in one part or several, behind ``base``; raises InvalidUrl.

    Parts are joined by one slash, which they may have or not; a slash at the end is kept as the
    last part has it, or as the base has it where there is no part: None and ``''`` are none. A
    part is text of a URL: a ``/`` in it parts segments, ``?`` begins a query, what is encoded
    stays, and what cannot stand in a URL is percent-encoded. What is not (a name, an id) goes
    through ``urllib.parse.quote(name, safe='')`` first. The queries of base and parts and
    ``params`` follow each other. An absolute URL stands for itself; of another scheme than http
    and https it is InvalidUrl.

    >>> str(join_uri('http://host/db/?key=1', '/a b/', 'c', params={'q': ['x', None]}))
    'http://host/db/a%20b/c?key=1&q=x&q='
    """
    url = parse_url(base)
    for part in path:
        if not (part is None or isinstance(part, str)):
            raise InvalidUrl(f"a path is a str, and not of type {type(part).__name__}")
        if part:
            url = parse_url(part) if _HAS_SCHEME.match(part) else _behind(url, part)
    return url if params is None else url.with_params(params)


def _behind(base: URL, part: str) -> URL:
    match = _PATH.fullmatch(part)
    assert match  # every part of it may be missing
    path, query, fragment = match.groups()
    _refuse_dots(path)
    target, _, before = base.target.partition("?")
    if path:
        target = f"{target.removesuffix('/')}/{path.removeprefix('/')}"
    if queries := "&".join(filter(None, [before, query])):
        target = f"{target}?{queries}"
    # parse_url drops spaces at the end, where they may be the end of a name.
    target = target.replace(" ", "%20")
    origin = str(URL(*base.origin)).removesuffix("/")
    url = parse_url(f"{origin}{target}{fragment or ''}")
    return URL(*base.origin, url.target, url.fragment, base.username, base.password)


def _refuse_dots(path: str) -> None:
    """A segment of dots is taken out of a path, with what is before it, wherever it is read."""
    found = _DOTS.search(path)
    if found:
        raise InvalidUrl(
            f"the path {path!r} has the segment {found[1]!r} in it, which would lead elsewhere; no "
            "name of a resource is made of dots alone"
        )
