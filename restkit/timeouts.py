"""The Timeout option, and the deadline of one call."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic, perf_counter
from typing import Any, NamedTuple, NoReturn

from restkit.errors import IdleTimeout, RequestError, TotalTimeout

_MAX_SECONDS = 1e9
# poll() counts its milliseconds in a C int.
_MAX_MS = 2.0**31 - 1


class Timeout(NamedTuple):
    """Limits in seconds: for connecting, for silence on the connection, and for the whole call.

    ``connect`` covers TCP and TLS. A name lookup cannot be bounded: it counts for ``total`` only.
    ``idle`` is the longest wait for the next byte, in either direction. ``total`` covers all
    attempts and the body. None is no limit.

    >>> Timeout(connect=5, total=60)
    Timeout(connect=5, idle=60.0, total=60)
    """

    connect: float | None = 10.0
    idle: float | None = 60.0
    total: float | None = None


class Deadline:
    """The time limits of one call. They start when the object is made.

    ``peer`` is the name of the server in messages. ``doing`` is the current action,
    also for messages.
    """

    __slots__ = ("_ends_at", "_idle_ms", "peer", "started", "timeout")

    def __init__(self, timeout: Timeout, peer: str = "the server") -> None:
        self.timeout = timeout
        self.peer = peer
        self.started = perf_counter()
        self._idle_ms = None if timeout.idle is None else min(timeout.idle * 1000, _MAX_MS)
        self._ends_at = None if timeout.total is None else monotonic() + timeout.total

    def with_idle(self, seconds: float) -> Deadline:
        """Return the same deadline with another ``Timeout.idle``."""
        other = Deadline(self.timeout._replace(idle=seconds), self.peer)
        other._ends_at = self._ends_at
        return other

    def with_total(self, seconds: float) -> Deadline:
        """Return a deadline that ends in this many seconds, or earlier if this one does."""
        other = Deadline(self.timeout._replace(total=seconds), self.peer)
        if self._ends_at is not None and other._ends_at is not None:
            other._ends_at = min(self._ends_at, other._ends_at)
        return other

    def remaining(self, doing: str = "connecting") -> float | None:
        """Return the seconds until ``Timeout.total`` is over, None for no limit.

        Raises TotalTimeout if it is over.
        """
        if self._ends_at is None:
            return None
        seconds = self._ends_at - monotonic()
        if seconds <= 0:
            self.raise_total(doing)
        return seconds

    def connect_seconds(self) -> float | None:
        """Return the seconds that connecting may take from now; raises TotalTimeout."""
        remaining = self.remaining()
        connect = self.timeout.connect
        if remaining is None or (connect is not None and connect < remaining):
            return connect
        return remaining

    def idle_ms(self, doing: str) -> float | None:
        """Return the milliseconds to wait for the next byte, for ``poll``; raises TotalTimeout."""
        if self._ends_at is None:
            return self._idle_ms
        total = self.total_ms(doing) or 0.0
        return total if self._idle_ms is None else min(total, self._idle_ms)

    def total_ms(self, doing: str) -> float | None:
        """Return the milliseconds until the total is over, for ``poll``; raises TotalTimeout."""
        seconds = self.remaining(doing)
        return None if seconds is None else min(seconds * 1000, _MAX_MS)

    def raise_total(self, doing: str) -> NoReturn:
        """Raise TotalTimeout."""
        raise TotalTimeout(
            f"{self.peer}: still {doing} when the {self.timeout.total:g} s of "
            "Timeout.total were over"
        )

    def raise_idle(self, doing: str) -> NoReturn:
        """Raise TotalTimeout if the total is over, else IdleTimeout."""
        self.remaining(doing)
        raise IdleTimeout(
            f"{self.peer}: not a byte for {self.timeout.idle:g} s (Timeout.idle) while {doing}"
        )


class WorkTimer:
    """Limits the work on a body, such as its decoding, by ``Timeout.total`` of the call.

    While the body arrives, the deadline of the call holds. Afterwards only the time between
    ``resume()`` and ``pause()`` counts, so that a received body can be read at any later time.
    ``arrived_at`` returns the time of the last byte by ``time.perf_counter``, 0.0 before it.
    """

    __slots__ = ("_arrived_at", "_deadline", "_doing", "_resumed_at", "_worked")

    def __init__(self, deadline: Deadline, doing: str, arrived_at: Callable[[], float]) -> None:
        self._deadline = deadline
        self._doing = doing
        self._arrived_at = arrived_at
        self._resumed_at = 0.0
        self._worked = 0.0  # seconds since the arrival, without the pauses

    def resume(self) -> None:
        """Start counting time."""
        self._resumed_at = perf_counter()

    def pause(self) -> None:
        """Stop counting time."""
        arrived_at = self._arrived_at()
        if arrived_at:
            self._worked += perf_counter() - max(self._resumed_at, arrived_at)

    def check(self) -> None:
        """Raise TotalTimeout if the time is over. Called after ``resume()``."""
        arrived_at, total = self._arrived_at(), self._deadline.timeout.total
        if not arrived_at or total is None:
            self._deadline.remaining(self._doing)
            return
        seconds = perf_counter() - max(self._resumed_at, arrived_at) + self._worked
        if seconds > total - (arrived_at - self._deadline.started):
            self._deadline.raise_total(self._doing)


def as_timeout(value: object) -> Timeout:
    """Convert a Timeout, None, a number, a pair or urllib3's Timeout; raises RequestError.

    A number limits both connect and idle. A pair is (connect, idle), as in requests.

    >>> as_timeout(5)
    Timeout(connect=5, idle=5, total=None)
    """
    if isinstance(value, Timeout):
        return _check(value)
    if value is None:
        return Timeout(None, None, None)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return _check(Timeout(value, value, None))
    if isinstance(value, tuple) and len(value) == 2:
        return _check(Timeout(value[0], value[1], None))
    return _from_urllib3(value)


def _from_urllib3(value: object) -> Timeout:
    from urllib3.util.timeout import Timeout as Urllib3Timeout

    if not isinstance(value, Urllib3Timeout):
        raise RequestError(
            "timeout must be a number of seconds, restkit.Timeout(connect, idle, total) or None; "
            f"got {value!r}"
        )
    # A value that is not given becomes the default of restkit, so that no read waits for ever.
    # urllib3 replaces it by the default of the socket module, which is no limit (2.2 to 2.8). This
    # copy overrides the method that does so. Without a total, both properties are as given.
    copy: Any = value.clone()
    copy.resolve_default_timeout = lambda given: given
    copy.total = None
    total, not_given = value.total, Urllib3Timeout.DEFAULT_TIMEOUT

    def seconds(given: Any, otherwise: float | None) -> float | None:
        # The total covers the connect and one read: it bounds each of them.
        pair: list[Any] = [given, total]
        numbers = [float(each) for each in pair if each is not None and each is not not_given]
        if numbers:
            return min(numbers)
        return otherwise if given is not_given else None

    default = Timeout()
    connect, idle = copy.connect_timeout, copy.read_timeout
    return _check(Timeout(seconds(connect, default.connect), seconds(idle, default.idle)))


def _check(timeout: Timeout) -> Timeout:
    for name in timeout._fields:
        seconds: object = getattr(timeout, name)
        if seconds is None:
            continue
        number = isinstance(seconds, (int, float)) and not isinstance(seconds, bool)
        if not number or not 0 < seconds <= _MAX_SECONDS:  # type: ignore[operator]  # a number
            raise RequestError(
                f"Timeout.{name} must be a number of seconds above 0 (at most {_MAX_SECONDS:g}), "
                f"or None for no limit; got {seconds!r:.40}"
            )
    return timeout
