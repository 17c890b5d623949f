"""How long a request may take: the caller's three numbers, and the clock that runs on them."""

from __future__ import annotations

from time import monotonic, perf_counter
from typing import Any, NamedTuple, NoReturn

from restkit.errors import IdleTimeout, RequestError, TotalTimeout

_LONGEST = 1e9
# poll() counts its milliseconds in a C int.
_LONGEST_MS = 2.0**31 - 1


class Timeout(NamedTuple):
    """Seconds for opening a connection, for silence on it, and for everything together.

    ``connect`` spans TCP and TLS (the look-up of a name cannot be bounded and is not counted
    but by ``total``); ``idle`` is the longest wait for a byte to go or to come; ``total`` spans
    all tries and the body. None is never.
    """

    connect: float | None = 10.0
    idle: float | None = 60.0
    total: float | None = None


class Clock:
    """The time that one request has left; made as the request starts.

    ``where`` is the peer's name for messages; what is being done is named at each look.
    """

    __slots__ = ("_idle_ms", "deadline", "started", "timeout", "where")

    def __init__(self, timeout: Timeout, where: str = "the peer") -> None:
        self.timeout = timeout
        self.where = where
        self.started = perf_counter()
        self._idle_ms = None if timeout.idle is None else min(timeout.idle * 1000, _LONGEST_MS)
        self.deadline = None if timeout.total is None else monotonic() + timeout.total

    def patient_for(self, seconds: float) -> Clock:
        """The same clock, but for a shorter wait for the next byte."""
        clock = Clock(self.timeout._replace(idle=seconds), self.where)
        clock.deadline = self.deadline
        return clock

    def within(self, seconds: float) -> Clock:
        """The same clock, but for a total that is over in so many seconds, if not before."""
        clock = Clock(self.timeout._replace(total=seconds), self.where)
        if self.deadline is not None and clock.deadline is not None:
            clock.deadline = min(self.deadline, clock.deadline)
        return clock

    def left(self, doing: str = "connecting") -> float | None:
        """Seconds until the total is over, None for no end; raises TotalTimeout once it is."""
        if self.deadline is None:
            return None
        left = self.deadline - monotonic()
        if left <= 0:
            raise TotalTimeout(
                f"{self.where}: still {doing} when the {self.timeout.total:g} s of "
                "Timeout.total were over"
            )
        return left

    def connect_seconds(self) -> float | None:
        """Seconds that connecting may take from now; raises TotalTimeout when there are none."""
        left = self.left()
        connect = self.timeout.connect
        if left is None or (connect is not None and connect < left):
            return connect
        return left

    def idle_ms(self, doing: str) -> float | None:
        """Milliseconds to wait for the next byte, as ``poll`` takes them; raises TotalTimeout."""
        if self.deadline is None:
            return self._idle_ms
        left = self.total_ms(doing) or 0.0
        return left if self._idle_ms is None else min(left, self._idle_ms)

    def total_ms(self, doing: str) -> float | None:
        """Milliseconds until the total is over; raises TotalTimeout once it is."""
        left = self.left(doing)
        return None if left is None else min(left * 1000, _LONGEST_MS)

    def raise_idle(self, doing: str) -> NoReturn:
        """Nothing came in time: raises the error of the clock that ran out."""
        self.left(doing)
        raise IdleTimeout(
            f"{self.where}: not a byte for {self.timeout.idle:g} s (Timeout.idle) while {doing}"
        )


def as_timeout(value: object) -> Timeout:
    """A Timeout from what callers write: one, None, a number, a pair, or urllib3's Timeout.

    A number means both connect and idle; a pair is (connect, idle), as requests has it.
    """
    if isinstance(value, Timeout):
        return _checked(value)
    if value is None:
        return Timeout(None, None, None)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return _checked(Timeout(value, value, None))
    if isinstance(value, tuple) and len(value) == 2:
        return _checked(Timeout(value[0], value[1], None))
    return _from_urllib3(value)


def _from_urllib3(value: object) -> Timeout:
    from urllib3.util.timeout import Timeout as Urllib3Timeout

    if not isinstance(value, Urllib3Timeout):
        raise RequestError(
            f"timeout={value!r}: a number of seconds, restkit.Timeout(connect, idle, total) "
            "or None is wanted"
        )
    # Its public read_timeout makes "not given" the default of the socket module, and so "never"
    # (2.0 to 2.8): only the private names tell the two apart, and a connection that may hang for
    # ever is not what somebody meant who gave connect alone. Its total covers the connect and one
    # read: it bounds either.
    default, not_given = Timeout(), Urllib3Timeout.DEFAULT_TIMEOUT

    def seconds(given: Any, otherwise: float | None) -> float | None:
        pair: list[Any] = [given, value.total]
        numbers = [float(each) for each in pair if each is not None and each is not not_given]
        if numbers:
            return min(numbers)
        return otherwise if given is not_given else None

    connect, read = value._connect, value._read
    return _checked(Timeout(seconds(connect, default.connect), seconds(read, default.idle)))


def _checked(timeout: Timeout) -> Timeout:
    for name in timeout._fields:
        seconds: object = getattr(timeout, name)
        if seconds is None:
            continue
        number = isinstance(seconds, (int, float)) and not isinstance(seconds, bool)
        if not number or not 0 < seconds <= _LONGEST:  # type: ignore[operator]  # a number
            raise RequestError(
                f"Timeout.{name}={seconds!r:.40}: a number of seconds above 0 (and at most "
                f"{_LONGEST:g}), or None for never"
            )
    return timeout
