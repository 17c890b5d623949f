"""Decide whether and when to send a request again.

By default restkit retries two failures: a connection that could not be opened because of a
temporary error, and a connection lost before the first byte of a response to an idempotent
method. Statuses and timeouts are not retried. ``retries=`` replaces these rules: see
retry_option.py.
"""

from __future__ import annotations

import re
import socket
import ssl
from typing import Literal, NamedTuple, TypeAlias

from restkit.errors import (
    ConnectError,
    ConnectTimeout,
    Error,
    IdleTimeout,
    ProxyError,
    RequestTimeout,
    ResponseError,
    TLSError,
    TransportError,
)
from restkit.headers import Headers
from restkit.message.request import IDEMPOTENT_METHODS, Request
from restkit.message.response import HttpResponse
from restkit.payload.base import can_send

Kind: TypeAlias = Literal["connect", "read", "status", "other"]

_JITTER = 0.25
_MAX_DOUBLINGS = 60


class RetryPolicy(NamedTuple):
    """The rules for another attempt: kinds, counts and delays. A count of None is no limit.

    Most fields are those of urllib3's ``Retry``. ``methods`` None allows any method. A
    ``backoff_factor`` of None doubles ``wait``, up to ``max_wait``. None in these two means the
    options ``wait_tries`` and ``max_wait``.
    ``only_without_response`` excludes timeouts and failures after the first byte of a response.
    ``only_replayable`` excludes statuses if the payload can be sent only once.
    """

    total: int | None
    connect: int | None = None
    read: int | None = None
    status: int | None = None
    other: int | None = None
    statuses: frozenset[int] = frozenset()
    methods: frozenset[str] | None = IDEMPOTENT_METHODS
    backoff_factor: float | None = None
    backoff_max: float = 120.0
    backoff_jitter: float = 0.0
    respect_retry_after: bool = True
    retry_after_statuses: frozenset[int] = frozenset((413, 429, 503))
    retry_after_max: float | None = None
    wait: float | None = None
    max_wait: float | None = None
    only_without_response: bool = False
    only_replayable: bool = False

    def may_cover(self, status: int) -> bool:
        """Whether some response with this status asks for another attempt."""
        return status in self.statuses or status in self.retry_after_statuses

    def covers_status(self, response: HttpResponse) -> bool:
        """Whether the status of a response, or its Retry-After, asks for another attempt."""
        if response.status in self.statuses:
            return True
        return bool(
            self.total
            and self.respect_retry_after
            and response.status in self.retry_after_statuses
            and "retry-after" in response.headers
        )

    def covers_error(self, error: Error) -> bool:
        """Whether failures of this kind are retried at all."""
        if not self.only_without_response:
            return True
        no_response = isinstance(error, TransportError) and not error.response_started
        return no_response and not isinstance(error, RequestTimeout)

    def covers_method(self, request: Request) -> bool:
        """Whether the method may be repeated."""
        return self.methods is None or request.method.upper() in self.methods


def default_policy(max_tries: int) -> RetryPolicy:
    """Return the policy of a call without ``retries=``."""
    return RetryPolicy(max_tries - 1, respect_retry_after=False, only_without_response=True)


class RetryCounter:
    """Counts the failures of one call, and decides whether another attempt follows.

    ``wait`` and ``max_wait`` replace those that the policy does not have.
    """

    __slots__ = ("_failures", "_max_wait", "_policy", "_wait")

    def __init__(self, policy: RetryPolicy, wait: float, max_wait: float) -> None:
        self._policy = policy
        self._wait = wait if policy.wait is None else policy.wait
        self._max_wait = max_wait if policy.max_wait is None else policy.max_wait
        self._failures: dict[Kind, int] = {}

    def delay_after_error(self, request: Request, error: Error) -> float | None:
        """Count a failure; return the seconds before the next attempt, or None for no attempt.

        No attempt follows if the payload cannot be sent again, or if the error has a response:
        the server sent it and then stopped reading the payload.
        """
        kind = _kind_of(error)
        if kind is None or error.response is not None or not can_send(request.payload):
            return None
        if error.out_of_payload or not self._policy.covers_error(error):
            return None
        if error.sent != "nothing" and not self._policy.covers_method(request):
            return None
        if not self._count(kind):
            return None
        reused = isinstance(error, TransportError) and error.on_reused_connection
        return 0.0 if reused else self._backoff()

    def delay_after_status(self, request: Request, response: HttpResponse) -> float | None:
        """Count a response; return the seconds before the next attempt, or None for no attempt.

        Unless the policy has ``only_replayable``, the caller checks whether the payload can be
        sent again.
        """
        policy = self._policy
        if not policy.covers_status(response) or not policy.covers_method(request):
            return None
        if policy.only_replayable and not can_send(request.payload):
            return None
        if not self._count("status"):
            return None
        delay = retry_after_seconds(response.headers) if policy.respect_retry_after else None
        if delay is None:
            return self._backoff()
        if policy.retry_after_max is not None:
            delay = min(delay, policy.retry_after_max)
        return delay if delay <= self._max_wait else None

    def _count(self, kind: Kind) -> bool:
        """Count one more failure; return whether the limits allow another attempt."""
        self._failures[kind] = self._failures.get(kind, 0) + 1
        total, limit = self._policy.total, getattr(self._policy, kind)
        return (total is None or self._failure_count <= total) and (
            limit is None or self._failures[kind] <= limit
        )

    @property
    def _failure_count(self) -> int:
        return sum(self._failures.values())

    def _backoff(self) -> float:
        """Return the seconds before the next attempt if the server does not set them."""
        from random import uniform  # slow to import, and most calls do not fail

        policy = self._policy
        doubled = 2.0 ** min(self._failure_count - 1, _MAX_DOUBLINGS)
        if policy.backoff_factor is None:
            jitter = uniform(1 - _JITTER, 1 + _JITTER)  # noqa: S311  # not a secret
            return min(self._wait * doubled * jitter, self._max_wait)
        if self._failure_count == 1:
            return 0.0  # as in urllib3: the first retry follows at once
        jitter = uniform(0.0, policy.backoff_jitter)  # noqa: S311  # not a secret
        return max(0.0, min(policy.backoff_factor * doubled + jitter, policy.backoff_max))


def _kind_of(error: Error) -> Kind | None:
    """Return the count of a Retry that an error adds to; None if a retry would not help."""
    if isinstance(error, (ConnectTimeout, IdleTimeout)):
        return "connect" if isinstance(error, ConnectTimeout) else "read"
    if isinstance(error, (ConnectError, TLSError, ProxyError)):
        if not _is_transient(error.__cause__):
            return None
        return "other" if isinstance(error, TLSError) else "connect"
    if isinstance(error, RequestTimeout) or not isinstance(error, (TransportError, ResponseError)):
        return None
    return "read"


def _is_transient(cause: BaseException | None) -> bool:
    """Whether the failure may be temporary; a bad host name or certificate is not."""
    if isinstance(cause, socket.gaierror):
        return cause.errno == socket.EAI_AGAIN
    if isinstance(cause, ssl.SSLError):
        return isinstance(cause, ssl.SSLEOFError)
    return isinstance(cause, OSError) and isinstance(cause.errno, int)


_SECONDS = re.compile(r"[0-9]+")


def retry_after_seconds(headers: Headers) -> float | None:
    """Return the seconds of a Retry-After (RFC 9110 10.2.3); None without a valid one.

    A date in the past gives 0; more seconds than a float can hold give ``inf``.

    >>> retry_after_seconds(Headers([("Retry-After", "120")]))
    120.0
    """
    value = headers.get("retry-after", "").strip()
    if _SECONDS.fullmatch(value):
        return float(value)
    if not value:
        return None
    from time import time

    date = _parse_date(value)
    return None if date is None else max(0.0, date - time())


def _parse_date(value: str) -> float | None:
    from calendar import timegm
    from email.utils import parsedate_tz  # slow to import, and dates are rare

    try:
        parts = parsedate_tz(value)
        # A date without a zone, as in the asctime form, is GMT (RFC 9110 5.6.7).
        return None if parts is None else timegm(parts[:9]) - (parts[9] or 0)
    except (ValueError, OverflowError):
        return None  # an impossible year or zone
