"""A request: method, URL, headers and payload.

A request as filters and callers see it, and the one rule of how its payload is framed.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from restkit.errors import RequestError
from restkit.headers import Headers
from restkit.payload.base import Payload, check_sendable
from restkit.redaction import is_secret, redact_url
from restkit.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from restkit.io.buffers import Buffer
    from restkit.url.url import URL


_METHOD = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_HOST_AND_PORT = re.compile(r"(?:[A-Za-z0-9._~-]+|\[[0-9A-Fa-f:.]+\]):[0-9]{1,5}")
_KNOWN = frozenset(("GET", "POST", "PUT", "HEAD", "DELETE", "PATCH", "OPTIONS"))
_IDEMPOTENT = frozenset(("GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"))


class Request:
    """What is asked for: method, URL, headers and payload, all free to change until it is sent.

    It pickles without its secrets: user info, cookies and headers that look secret by their name
    stay behind, and of the payload only its ``repr`` goes along.
    """

    __slots__ = ("_method", "headers", "payload", "settings", "url", "withheld")

    def __init__(
        self,
        method: str,
        url: URL,
        headers: Headers,
        withheld: frozenset[str],
        payload: Payload | None,
        settings: Settings,
    ) -> None:
        self.method = method
        self.url = url
        self.headers = headers
        self.withheld = withheld
        self.payload = payload
        self.settings = settings

    @property
    def method(self) -> str:
        """A word such as GET; those that are known are in capitals, however they were given."""
        return self._method

    @method.setter
    def method(self, method: str) -> None:
        self._method = _checked_method(method)

    @property
    def idempotent(self) -> bool:
        """Whether doing it twice does no more than doing it once (RFC 9110 9.2.2)."""
        return self.method in _IDEMPOTENT

    @property
    def target(self) -> str:
        """What stands on the request line; for CONNECT the URL's path names host and port."""
        if self.method != "CONNECT":
            return self.url.target
        target = self.url.target.lstrip("/")
        if not _HOST_AND_PORT.fullmatch(target):
            raise RequestError(
                f"CONNECT {target!r}: the path of the URL is to name host and port, as in "
                "http://proxy:3128/host:443"
            )
        return target

    @property
    def authority(self) -> str:
        """What the Host header says."""
        return self.target if self.method == "CONNECT" else self.url.authority

    def __copy__(self) -> Request:
        """The same request, with headers of its own, to be changed and sent beside this one."""
        headers = self.headers.copy()
        return Request(self.method, self.url, headers, self.withheld, self.payload, self.settings)

    def __repr__(self) -> str:
        return f"<Request {self.method} {redact_url(str(self.url))}>"

    def __reduce__(self) -> tuple[Any, ...]:
        pairs = [(n, v) for n, v in self.headers.pairs() if not is_secret(n)]
        payload = None if self.payload is None else repr(self.payload)
        decompress = self.settings.decompress  # by which its response is read
        return _revive, (self.method, str(self.url), pairs, payload, decompress)


def _checked_method(method: object) -> str:
    if isinstance(method, str):
        method = str.__str__(method)  # a member of an enum would write itself in its own way
        if method in _KNOWN:
            return method
        if _METHOD.fullmatch(method):
            return method.upper() if method.upper() in _KNOWN else method
    raise RequestError(f"{method!r} is no method: a word such as GET or POST is one")


def _revive(
    method: str, url: str, pairs: list[tuple[str, str]], payload: str | None, decompress: bool
) -> Request:
    from restkit.url.url import parse_url

    body = None if payload is None else _LeftBehind(payload)
    settings = Settings(decompress=decompress)
    return Request(method, parse_url(url), Headers(pairs), frozenset(), body, settings)


class _LeftBehind(Payload):
    """What a pickle has of a payload: how it looked. It cannot be sent."""

    started = True

    def __init__(self, shown: str) -> None:
        self._shown = shown

    def chunks(self) -> Iterator[Buffer]:
        check_sendable(self)
        return iter(())

    def __repr__(self) -> str:
        return self._shown
