"""Decide whether and when to send a request again.

Whether a failure, or an answer, is followed by another try, and how long before it.

By itself restkit tries again what another try may well mend: no connection, where the system may
say otherwise the next time, and a connection lost before one byte of an answer, where nothing can
be done twice by that. Statuses and timeouts it takes as they are. ``retries=`` asks for more, and
then its counts rule (``policy/retries.py``).

What ``retries=`` means: urllib3's ``Retry`` as a value that decides nothing by itself.

Of a ``Retry`` only the public attributes are read (urllib3 2.2 to 2.8), so that a subclass is
as good; what it would do by its methods, ``policy/tries.py`` does.

Retry-After (RFC 9110 10.2.3): seconds, or a date in any of the three forms (5.6.7).
"""

from __future__ import annotations

import re
import socket
import ssl
import warnings
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

from restkit.errors import (
    ConnectError,
    ConnectTimeout,
    Error,
    IdleTimeout,
    ProxyError,
    RequestError,
    RequestTimeout,
    ResponseError,
    TLSError,
    TransportError,
)
from restkit.payload.base import can_send

if TYPE_CHECKING:
    from restkit.headers import Headers
    from restkit.message.request import Request
    from restkit.message.response import HttpResponse
    from restkit.settings import Settings


Kind: TypeAlias = Literal["connect", "read", "status", "other"]

_JITTER = 0.25
_MOST_DOUBLINGS = 60


class RetryCounter:
    """The tally of one call: what has failed so far, and whether there is another try.

    Made for the first failure, or the first answer that could be one. ``after_error`` and
    ``after_answer`` give the seconds to wait before the next try, None where there is none; they
    count what they are told.
    """

    __slots__ = ("_failed", "_settings")

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._failed: dict[Kind, int] = {}

    def after_error(self, request: Request, error: Error) -> float | None:
        """Whether a request that failed goes again: never without its whole payload.

        Nor where the answer is with the error: a peer that then took no more has had its say.
        """
        kind = _kind_of(error)
        if kind is None or error.response is not None or not can_send(request.payload):
            return None
        if error.out_of_payload or not self._covers(error):
            return None
        if error.sent != "nothing" and not self._allows(request):
            return None
        if not self._count(kind):
            return None
        rested = isinstance(error, TransportError) and error.rested
        return 0.0 if rested else self._pause()

    def after_answer(self, request: Request, response: HttpResponse) -> float | None:
        """Whether the status asks for another try; a spent payload is for the caller to see."""
        retries = self._settings.retries
        if retries is None or not retries.asked_by(response) or not self._allows(request):
            return None
        if not self._count("status"):
            return None
        told = seconds_to_wait(response.headers) if retries.respect_retry_after else None
        if told is None:
            return self._pause()
        if retries.retry_after_max is not None:
            told = min(told, retries.retry_after_max)
        return told if told <= self._settings.max_wait else None

    def _covers(self, error: Error) -> bool:
        """Whether failures of this kind are tried again at all."""
        retries = self._settings.retries
        if retries is None:
            unfinished = isinstance(error, TransportError) and not error.answered
            return unfinished and not isinstance(error, RequestTimeout)
        # To wait for nothing once more is what somebody must have asked for by name.
        return not isinstance(error, IdleTimeout) or retries.read is not None

    def _allows(self, request: Request) -> bool:
        """Whether this method may be done twice."""
        retries = self._settings.retries
        if self._settings.retry_unsafe:
            return True
        if retries is None:
            return request.idempotent
        return retries.methods is None or request.method.upper() in retries.methods

    def _count(self, kind: Kind) -> bool:
        """Count one more failure; whether the limits leave another try."""
        self._failed[kind] = self._failed.get(kind, 0) + 1
        retries = self._settings.retries
        if retries is None:
            return self._failures < self._settings.max_tries
        of_this: int | None = getattr(retries, kind)
        return (retries.total is None or self._failures <= retries.total) and (
            of_this is None or self._failed[kind] <= of_this
        )

    @property
    def _failures(self) -> int:
        return sum(self._failed.values())

    def _pause(self) -> float:
        """Seconds before the next try, where nobody has told us how many."""
        from random import uniform  # dear to load, and most calls do not fail

        settings, retries = self._settings, self._settings.retries
        doubled = 2.0 ** min(self._failures - 1, _MOST_DOUBLINGS)
        if retries is None or retries.backoff_factor is None:
            jitter = uniform(1 - _JITTER, 1 + _JITTER)  # noqa: S311  # spreads, and hides nothing
            return min(settings.wait_tries * doubled * jitter, settings.max_wait)
        if self._failures == 1:
            return 0.0  # so urllib3 has it: its first try again comes at once
        jitter = uniform(0.0, retries.backoff_jitter)  # noqa: S311  # as above
        return max(0.0, min(retries.backoff_factor * doubled + jitter, retries.backoff_max))


def _kind_of(error: Error) -> Kind | None:
    """Which of a Retry's counts an error falls under; None where another try cannot mend it."""
    if isinstance(error, (ConnectTimeout, IdleTimeout)):
        return "connect" if isinstance(error, ConnectTimeout) else "read"
    if isinstance(error, (ConnectError, TLSError, ProxyError)):
        if not _may_pass(error.__cause__):
            return None
        return "other" if isinstance(error, TLSError) else "connect"
    if isinstance(error, RequestTimeout) or not isinstance(error, (TransportError, ResponseError)):
        return None
    return "read"


def _may_pass(cause: BaseException | None) -> bool:
    """Whether it was the system, or the peer, that failed, and not a name or a certificate."""
    if isinstance(cause, socket.gaierror):
        return cause.errno == socket.EAI_AGAIN
    if isinstance(cause, ssl.SSLError):
        return isinstance(cause, ssl.SSLEOFError)
    return isinstance(cause, OSError) and isinstance(cause.errno, int)


_IDEMPOTENT = frozenset(("HEAD", "GET", "PUT", "DELETE", "OPTIONS", "TRACE"))


class RetryPolicy(NamedTuple):
    """What may be tried again, and how often: urllib3's ``Retry`` in a value; None is no limit.

    ``methods`` None is any method; ``backoff_factor`` None waits as ``wait_tries`` says.
    """

    total: int | None
    connect: int | None = None
    read: int | None = None
    status: int | None = None
    other: int | None = None
    statuses: frozenset[int] = frozenset()
    methods: frozenset[str] | None = _IDEMPOTENT
    backoff_factor: float | None = None
    backoff_max: float = 120.0
    backoff_jitter: float = 0.0
    respect_retry_after: bool = True
    retry_after_statuses: frozenset[int] = frozenset((413, 429, 503))
    retry_after_max: float | None = None

    def asked_by(self, response: HttpResponse) -> bool:
        """Whether the status of an answer asks for another try, a Retry-After counted in."""
        if response.status in self.statuses:
            return True
        return bool(
            self.total
            and self.respect_retry_after
            and response.status in self.retry_after_statuses
            and "retry-after" in response.headers
        )


def as_retries(value: object) -> RetryPolicy | None:
    """What ``retries=`` means: urllib3's Retry, how often to try again, False for never, or None.

    Of a Retry, ``redirect`` and ``raise_on_*`` are not looked at; one that sets them has a
    warning. Raises RequestError for anything else.
    """
    if value is None or isinstance(value, RetryPolicy):
        return value
    if value is False:
        return RetryPolicy(0)
    if isinstance(value, int) and value is not True and value >= 0:
        return RetryPolicy(value)
    from urllib3.util.retry import Retry

    if not isinstance(value, Retry):
        raise RequestError(
            f"retries={value!r}: urllib3's Retry is wanted, or how often to try again, 0 or more"
        )
    _warn_of_ignored(value)
    return _of_urllib3(value)


def _of_urllib3(retry: Any) -> RetryPolicy:
    # Its counts may be False, which is 0; its methods False or empty, which is any.
    methods = retry.allowed_methods
    return RetryPolicy(
        total=_count_of(retry.total),
        connect=_count_of(retry.connect),
        read=_count_of(retry.read),
        status=_count_of(retry.status),
        other=_count_of(retry.other),
        statuses=frozenset(retry.status_forcelist or ()),
        methods=frozenset(each.upper() for each in methods) if methods else None,
        backoff_factor=retry.backoff_factor,
        backoff_max=retry.backoff_max,
        backoff_jitter=retry.backoff_jitter,
        respect_retry_after=bool(retry.respect_retry_after_header),
        retry_after_statuses=frozenset(retry.RETRY_AFTER_STATUS_CODES),
        retry_after_max=getattr(retry, "retry_after_max", None),
    )


def _count_of(value: int | None) -> int | None:
    return None if value is None else int(value)


def _warn_of_ignored(retry: Any) -> None:
    # A total of False sets the other two itself.
    of_redirects = retry.total is not False
    ignored = {
        "redirect": of_redirects and retry.redirect is not None,
        "raise_on_redirect": of_redirects and not retry.raise_on_redirect,
        "raise_on_status": not retry.raise_on_status,
    }
    names = ", ".join(name for name, is_set in ignored.items() if is_set)
    if names:
        warnings.warn(
            f"retries=: {names} of urllib3's Retry is not looked at. Redirects have "
            "follow_redirect= and max_follow_redirect=; a status is never raised unless "
            "raise_for_status() is called",
            UserWarning,
            stacklevel=2,
        )


_SECONDS = re.compile(r"[0-9]+")


def seconds_to_wait(headers: Headers) -> float | None:
    """How long the peer wants to be left alone from now on; None where it says nothing readable.

    A date that has gone by is 0; more seconds than a float can count are ``inf``.
    """
    value = headers.get("retry-after", "").strip()
    if _SECONDS.fullmatch(value):
        return float(value)
    if not value:
        return None
    from time import time

    date = _timestamp_of(value)
    return None if date is None else max(0.0, date - time())


def _timestamp_of(value: str) -> float | None:
    from calendar import timegm
    from email.utils import parsedate_tz  # dear to load, and dates are rare here

    try:
        parts = parsedate_tz(value)
        # Without a zone, as asctime() writes it, it is GMT all the same.
        return None if parts is None else timegm(parts[:9]) - (parts[9] or 0)
    except (ValueError, OverflowError):
        return None  # a year, or a zone, that no calendar has
