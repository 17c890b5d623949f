"""A request: method, URL, headers and payload."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from restkit.errors import RequestError
from restkit.headers import Headers
from restkit.io.buffers import Buffer
from restkit.io.spool import DEFAULT_MEMORY_SIZE, Spool
from restkit.payload.base import Payload, check_sendable
from restkit.progress import ProgressCallback
from restkit.redaction import is_secret, redact_url
from restkit.url.url import URL, parse_url

_METHOD = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_HOST_AND_PORT = re.compile(r"(?:[A-Za-z0-9._~-]+|\[[0-9A-Fa-f:.]+\]):[0-9]{1,5}")
KNOWN_METHODS = frozenset(("GET", "POST", "PUT", "HEAD", "DELETE", "PATCH", "OPTIONS"))

IDEMPOTENT_METHODS = frozenset(("GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"))
"""The methods that may be repeated without a further effect (RFC 9110 9.2.2)."""

NO_NAMES: frozenset[str] = frozenset()


class ReadOptions(NamedTuple):
    """The options for reading the body of a response."""

    decompress: bool = True
    spool_size: int = DEFAULT_MEMORY_SIZE
    spool_dir: str | None = None
    max_body: int | None = None
    check_digest: bool = True
    on_received: ProgressCallback | None = None
    early_limit: int | None = None
    """The bytes of the body to receive, at most, while the payload is being sent."""

    def new_spool(self) -> Spool:
        """Return an empty spool with the size and the directory of these options."""
        return Spool(self.spool_size, self.spool_dir)


DEFAULT_READ_OPTIONS = ReadOptions()


class Request:
    """A request: method, URL, headers and payload. Filters may change it before it is sent.

    ``suppressed_headers`` are the lower-case names that the caller gave as None: these are not
    sent, even where restkit or the payload would add them. ``read_options`` are the
    options for reading the body of the response. A request pickles without its secrets: user info,
    cookies and headers with a secret-looking name are left out. Only the ``repr`` of the payload
    is kept.

    >>> from restkit import parse_url
    >>> Request("get", parse_url("http://host/path"))
    <Request GET http://host/path>
    """

    __slots__ = ("headers", "method", "payload", "read_options", "suppressed_headers", "url")

    def __init__(
        self,
        method: str,
        url: URL,
        headers: Headers | None = None,
        payload: Payload | None = None,
        *,
        suppressed_headers: frozenset[str] = NO_NAMES,
        read_options: ReadOptions = DEFAULT_READ_OPTIONS,
    ) -> None:
        known = type(method) is str and method in KNOWN_METHODS
        self.method = method if known else check_method(method)
        self.url = url
        self.headers = Headers() if headers is None else headers
        self.payload = payload
        self.suppressed_headers = suppressed_headers
        self.read_options = read_options

    @property
    def idempotent(self) -> bool:
        """Whether the method may be repeated without a further effect (RFC 9110 9.2.2)."""
        return self.method in IDEMPOTENT_METHODS

    @property
    def target(self) -> str:
        """The target of the request line; for CONNECT, the host and port in the URL's path."""
        if self.method != "CONNECT":
            return self.url.target
        target = self.url.target.lstrip("/")
        if not _HOST_AND_PORT.fullmatch(target):
            raise RequestError(
                "the path of a CONNECT URL must be host:port, as in http://proxy:3128/host:443; "
                f"got {target!r}"
            )
        return target

    @property
    def authority(self) -> str:
        """The value of the Host header."""
        return self.target if self.method == "CONNECT" else self.url.authority

    @property
    def given_names(self) -> frozenset[str] | set[str]:
        """The lower-case names of the headers that the caller gave or suppressed."""
        return self.headers.names() | self.suppressed_headers

    def __copy__(self) -> Request:
        """Return the same request with its own headers, which can be changed independently."""
        return self.with_target(self.url)

    def with_target(self, url: URL) -> Request:
        """Return a copy for another URL, with its own headers."""
        return Request(
            self.method,
            url,
            self.headers.copy(),
            self.payload,
            suppressed_headers=self.suppressed_headers,
            read_options=self.read_options,
        )

    def __repr__(self) -> str:
        return f"<Request {self.method} {redact_url(str(self.url))}>"

    def __reduce__(self) -> tuple[Any, ...]:
        pairs = [(name, value) for name, value in self.headers.pairs() if not is_secret(name)]
        payload = None if self.payload is None else repr(self.payload)
        return _unpickle, (
            self.method,
            str(self.url),
            pairs,
            payload,
            self.read_options.decompress,
        )


def check_method(method: object) -> str:
    """Return a method in the form to send: a known method in capitals, any other unchanged.

    Raises RequestError for anything that is not a token.
    """
    if type(method) is str and method in KNOWN_METHODS:
        return method
    if isinstance(method, str):
        method = str.__str__(method)  # the str() of an enum member differs from its value
        if _METHOD.fullmatch(method):
            return method.upper() if method.upper() in KNOWN_METHODS else method
    raise RequestError(f"the method must be a word such as GET or POST; got {method!r}")


def _unpickle(
    method: str, url: str, pairs: list[tuple[str, str]], payload: str | None, decompress: bool
) -> Request:
    body = None if payload is None else _UnpickledPayload(payload)
    options = ReadOptions(decompress=decompress)
    return Request(method, parse_url(url), Headers(pairs), body, read_options=options)


class _UnpickledPayload(Payload):
    """The payload of an unpickled request: its ``repr`` only. It cannot be sent."""

    _started = True

    def __init__(self, text: str) -> None:
        self._text = text

    def chunks(self) -> Iterator[Buffer]:
        check_sendable(self)
        return iter(())

    def __repr__(self) -> str:
        return self._text
