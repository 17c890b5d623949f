"""A URL as a value: parse it, check it, join it.

``host.py`` checks host and port, ``target.py`` normalizes what follows them.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NoReturn, TypeAlias

from restkit.errors import InvalidUrl
from restkit.redaction import redact_text, redact_url
from restkit.url.host import split_host_port
from restkit.url.query import Params, encode_query
from restkit.url.target import normalize_target

__all__ = ["URL", "GivenURL", "Link", "Params", "parse_url"]

_DEFAULT_PORTS = {"http": 80, "https": 443}
# A cache of 512 texts of any length could hold gigabytes.
_MAX_CACHED_LENGTH = 2048

_ABSOLUTE = re.compile(r"(https?)://([^/?#]*)(.*)", re.IGNORECASE | re.DOTALL)
_REFERENCE = re.compile(
    r"(?:([A-Za-z][A-Za-z0-9+.-]*):)?(//[^/?#]*)?([^?#]*)(\?[^#]*)?(#.*)?", re.DOTALL
)
_HAS_SCHEME = re.compile("[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_PATH = re.compile(r"([^?#]*)(?:\?([^#]*))?(#.*)?", re.DOTALL)
# %2E is a dot (RFC 3986 6.2.2.2): a proxy or server may normalize it.
_DOT_SEGMENT = re.compile(r"(?:^|/)((?:\.|%2[Ee]){1,2})(?:/|$)")
_HOST_AND_TARGET = re.compile("[!-~]+ [/*][!-~]*")
_CONTROL = re.compile("[\x00-\x1f\x7f]")


class URL:
    """An absolute http or https URL: an immutable value, made by ``parse_url``.

    ``host`` is lower-case ASCII; an IPv6 address has no brackets, and keeps its zone. ``target`` is
    the text for the request line: path and query, ASCII, never empty. ``authority`` is the text for
    the Host header: no default port, no zone. ``origin`` is (scheme, host, port). ``username`` and
    ``password`` are percent-decoded; ``str`` and ``repr`` show neither. The constructor rejects a
    host or target that would break a request line, and does not check its other arguments.

    >>> url = parse_url('http://user:pw@Host:81/a?b#c')
    >>> url.authority, url.target, url.username, str(url)
    ('host:81', '/a?b', 'user', 'http://host:81/a?b#c')
    """

    # Not a frozen dataclass: the module dataclasses would slow `import restkit` down.
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
        if not _HOST_AND_TARGET.fullmatch(f"{host} {target}"):
            raise InvalidUrl(
                f"the host {host!r} or the target {redact_url(target)!r} cannot be sent; "
                "use parse_url to make a URL from text"
            )
        set_field = object.__setattr__
        set_field(self, "scheme", scheme)
        set_field(self, "host", host)
        set_field(self, "port", port)
        set_field(self, "target", target)
        set_field(self, "fragment", fragment)
        set_field(self, "username", username)
        set_field(self, "password", password)
        set_field(self, "authority", _format_authority(scheme, host.partition("%")[0], port))
        set_field(self, "origin", (scheme, host, port))

    def without_fragment(self) -> URL:
        """Return the URL without its fragment."""
        return URL(*self.origin, self.target, None, self.username, self.password)

    def without_userinfo(self) -> URL:
        """Return the URL without user name and password."""
        return URL(*self.origin, self.target, self.fragment)

    def with_params(self, params: Params) -> URL:
        """Return the URL with ``params`` at the end of its query; raises InvalidUrl."""
        query = encode_query(params)
        if not query:
            return self
        separator = "" if self.target.endswith(("?", "&")) else "&" if "?" in self.target else "?"
        target = f"{self.target}{separator}{query}"
        return URL(*self.origin, target, self.fragment, self.username, self.password)

    def join(self, reference: str) -> URL:
        """Resolve a reference against this URL (RFC 3986 5.2); raises InvalidUrl.

        A reference without a fragment inherits this one's, as in a redirect (RFC 9110 10.2.2). User
        info is inherited only by a reference that has no host.

        >>> str(parse_url('http://host/a/b?c#d').join('../e'))
        'http://host/e#d'
        """
        if not isinstance(reference, str):
            raise InvalidUrl(f"a reference must be a str; got {type(reference).__name__}")
        reference = reference.strip(" ")
        match = _REFERENCE.fullmatch(reference)
        assert match  # every part is optional
        scheme, authority, path, query, fragment = match.groups()
        # "http:path" without slashes is relative to the same scheme. RFC 3986 5.2.2 says otherwise,
        # but urllib.parse and browsers interpret it like this.
        if authority or (scheme and scheme.lower() != self.scheme):
            url = parse_url(reference if scheme else f"{self.scheme}:{reference}")
        else:
            target = self._resolve(path, query)
            url = parse_url(f"{self.scheme}://{self._netloc()}{target}{fragment or ''}")
            url = URL(*self.origin, url.target, url.fragment, self.username, self.password)
        if fragment or self.fragment is None:
            return url
        return URL(*url.origin, url.target, self.fragment, url.username, url.password)

    def _resolve(self, path: str, query: str | None) -> str:
        if not path:
            return self.target if query is None else self.target.partition("?")[0] + query
        if not path.startswith("/"):
            base = self.target.partition("?")[0]
            path = base[: base.rindex("/") + 1] + path
        return path + (query or "")

    def _netloc(self) -> str:
        # RFC 6874: the % before a zone is written %25.
        return _format_authority(self.scheme, self.host.replace("%", "%25"), self.port)

    def __str__(self) -> str:
        fragment = "" if self.fragment is None else f"#{self.fragment}"
        return f"{self.scheme}://{self._netloc()}{self.target}{fragment}"

    def __repr__(self) -> str:
        text = str(self)
        if self.username is not None:
            text = text.replace("://", "://***@", 1)
        return f"URL({text!r})"

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"a URL is immutable: {name} cannot be set")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"a URL is immutable: {name} cannot be deleted")

    def _values(self) -> tuple[str | int | None, ...]:
        return (*self.origin, self.target, self.fragment, self.username, self.password)

    def __eq__(self, other: object) -> bool:
        return self._values() == other._values() if isinstance(other, URL) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._values())

    def __reduce__(self) -> tuple[type[URL], tuple[str | int | None, ...]]:
        return URL, self._values()


class Link(dict[str, str]):
    """A link of a response: a dict of its parameters. A call accepts it in place of a URL.

    ``link["url"]`` is the absolute URL as text.

    >>> link = Link(rel="next", url="http://host/?page=2")
    >>> parse_url(link).target
    '/?page=2'
    """

    __slots__ = ()


GivenURL: TypeAlias = str | URL | Link
"""The types of a URL that a call accepts."""


def parse_url(text: GivenURL, params: Params | None = None) -> URL:
    """Parse a URL and add ``params`` to its query; raises InvalidUrl.

    Spaces around the text are dropped. Spaces in it, stray ``%`` and non-ASCII characters are
    percent-encoded as UTF-8; valid escapes stay. A host with non-ASCII characters is encoded as in
    browsers (UTS 46); some names need the package idna (``restkit[idna]``). ``params`` is a
    mapping, pairs, or a query as text. A URL without params is returned unchanged. A ``Link`` is
    replaced by its URL. No error contains a password.

    >>> parse_url('http://host/a b', {'q': ['x', 1]}).target
    '/a%20b?q=x&q=1'
    """
    if isinstance(text, str):
        # Keep no secrets in a cache.
        if "@" in text or len(text) > _MAX_CACHED_LENGTH:
            url = _parse(text)
        else:
            url = _parse_cached(text)
    elif isinstance(text, URL):
        url = text
    elif isinstance(text, Link):
        url = parse_url(_url_of(text))
    else:
        raise InvalidUrl(f"a URL must be a str or a restkit.URL; got {type(text).__name__}")
    return url if params is None else url.with_params(params)


def join_uri(base: GivenURL, *path: str | None, params: Params | None = None) -> URL:
    """Append path parts and ``params`` to a base URL; raises InvalidUrl.

    A path stays below the base, unlike a link on a page (RFC 3986 5.2): a slash in front does not
    lead to the root, and ``..`` raises InvalidUrl. The result has one slash between two parts,
    whether they have one or not. A slash at the end is kept from the last part, or from the base if
    there is no part; None and ``''`` are no parts.

    A part is URL text: ``/`` separates segments, ``?`` begins a query, escapes stay, and characters
    that are not allowed are percent-encoded. Pass a name or an id through
    ``urllib.parse.quote(name, safe='')`` first. The queries of the base, the parts and ``params``
    are joined in this order. An absolute http or https URL replaces the base; another scheme raises
    InvalidUrl.

    >>> str(join_uri('http://host/db/?key=1', '/a b/', 'c', params={'q': ['x', 'y']}))
    'http://host/db/a%20b/c?key=1&q=x&q=y'
    """
    url = parse_url(base)
    for part in path:
        if not (part is None or isinstance(part, str)):
            raise InvalidUrl(f"a path must be a str; got {type(part).__name__}")
        if part:
            url = parse_url(part) if _HAS_SCHEME.match(part) else _append(url, part)
    return url if params is None else url.with_params(params)


def _append(base: URL, part: str) -> URL:
    match = _PATH.fullmatch(part)
    assert match  # every part is optional
    path, query, fragment = match.groups()
    _check_no_dot_segments(path)
    target, _, base_query = base.target.partition("?")
    if path:
        target = f"{target.removesuffix('/')}/{path.removeprefix('/')}"
    if queries := "&".join(filter(None, [base_query, query])):
        target = f"{target}?{queries}"
    # parse_url drops spaces at the end, but here they may be the end of a name.
    target = target.replace(" ", "%20")
    origin = str(URL(*base.origin)).removesuffix("/")
    url = parse_url(f"{origin}{target}{fragment or ''}")
    return URL(*base.origin, url.target, url.fragment, base.username, base.password)


def _check_no_dot_segments(path: str) -> None:
    """Raise InvalidUrl for a dot segment: a parser removes it together with the one before it."""
    found = _DOT_SEGMENT.search(path)
    if found:
        raise InvalidUrl(
            f"the path {path!r} has the segment {found[1]!r}, which would lead out of the base "
            "URL; a name must not be made of dots alone"
        )


def _parse(text: str) -> URL:
    try:
        return _split(_strip(text))
    except ValueError as exc:
        # Do not chain a cause that contains a secret. It may repeat the host: if the password has
        # a raw "/" in it, this is its first half.
        raise InvalidUrl(f"{redact_text(text)}: {exc}") from (None if "@" in text else exc)


_parse_cached = lru_cache(maxsize=512)(_parse)


def _url_of(link: Link) -> str:
    url = link.get("url")
    if url is None:
        # Only the names are shown: a value may be a secret.
        names = ", ".join(map(str, link)) or "no parameters"
        raise InvalidUrl(f"a Link needs the parameter url, its absolute URL; this one has {names}")
    return url


def _split(text: str) -> URL:
    match = _ABSOLUTE.fullmatch(text)
    if not match:
        raise ValueError(_explain_not_absolute(text))
    scheme, authority, rest = match[1].lower(), match[2], match[3]
    if "\\" in authority:
        raise ValueError("a backslash before the path: programs differ on which host that is")
    userinfo, _, host_port = authority.rpartition("@")
    host, port = split_host_port(host_port)
    target, fragment = normalize_target(rest)
    return URL(
        scheme,
        _check_ipv6(host) if host.startswith("[") else host,
        port or _DEFAULT_PORTS[scheme],
        target,
        fragment,
        *_decode_userinfo(userinfo),
    )


def _check_ipv6(host: str) -> str:
    """Return an address without its brackets, in lower case; raise ValueError for another text."""
    import ipaddress

    address, _, zone = host[1:-1].partition("%25")
    try:
        ipaddress.IPv6Address(address)
    except ValueError:
        raise ValueError("the text in brackets is not an IPv6 address") from None
    return f"{address.lower()}%{zone}" if zone else address.lower()


def _strip(text: str) -> str:
    """Return the text without spaces around it; raise ValueError for a forbidden character."""
    text = text.strip(" ")
    fault = _CONTROL.search(text)
    if fault:
        code = ord(fault[0])
        raise ValueError(
            f"control character U+{code:04X} at {fault.start()}; its percent-encoded form is "
            f"%{code:02X}"
        )
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError as exc:
            raise ValueError(
                f"lone surrogate U+{ord(text[exc.start]):04X} at {exc.start}; bytes that are not "
                "UTF-8 must be percent-encoded"
            ) from None
    return text


def _explain_not_absolute(text: str) -> str:
    match = _REFERENCE.fullmatch(text)
    scheme = match and match[1]
    if not scheme:
        return "relative URL; it must begin with http:// or https:// and a host"
    if scheme.lower() in _DEFAULT_PORTS:
        return f"{scheme}: must be followed by two slashes and a host"
    if "." in scheme or re.match("[0-9]", text[len(scheme) + 1 :]):
        return "no scheme; it must begin with http:// or https://"
    return f"the scheme must be http or https; got {scheme}"


def _decode_userinfo(userinfo: str) -> tuple[str | None, str | None]:
    if not userinfo:
        return None, None
    from urllib.parse import unquote

    username, colon, password = userinfo.partition(":")
    try:
        return unquote(username, errors="strict"), (
            unquote(password, errors="strict") if colon else None
        )
    except UnicodeDecodeError:
        # Not chained: that error contains the bytes.
        raise ValueError("user name and password must be UTF-8, percent-encoded") from None


def _format_authority(scheme: str, host: str, port: int) -> str:
    if ":" in host:
        host = f"[{host}]"
    return host if port == _DEFAULT_PORTS[scheme] else f"{host}:{port}"
