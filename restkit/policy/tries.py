"""Whether a failure, or an answer, is followed by another try, and how long before it.

By itself restkit tries again what another try may well mend: no connection, where the system may
say otherwise the next time, and a connection lost before one byte of an answer, where nothing can
be done twice by that. Statuses and timeouts it takes as they are. ``retries=`` asks for more, and
then its counts rule (``policy/retries.py``).
"""

from __future__ import annotations

import socket
import ssl
from typing import TYPE_CHECKING, Literal, TypeAlias

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
from restkit.payload import is_whole
from restkit.policy.retry_after import seconds_to_wait

if TYPE_CHECKING:
    from restkit.message.request import Request
    from restkit.message.response import HttpResponse
    from restkit.settings import Settings

Kind: TypeAlias = Literal["connect", "read", "status", "other"]

_JITTER = 0.25
_MOST_DOUBLINGS = 60


class Tries:
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
        if kind is None or error.response is not None or not is_whole(request.payload):
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
