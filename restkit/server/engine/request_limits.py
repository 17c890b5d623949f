"""The limits of one request, and the timer that applies them while the server waits for a client.

Only the time counts in which the server waits: a handler may take as long as it needs, and so may a
response that arrives as fast as its handler makes it.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from time import monotonic

from restkit.errors import ClientDisconnected
from restkit.io.sockets import WRITE
from restkit.server.engine.client_socket import ClientSocket

MAX_SPOOL = 64 * 1024 * 1024
MIN_RATE = 240.0
MAX_SECONDS = 1e6  # poll() takes milliseconds in 31 bits

_RATE_SECONDS = 10.0  # the wait over which the rate of a client is measured
_CHECK_SECONDS = 1.0  # the time between two checks of how much a client has read


@dataclass(frozen=True)
class RequestLimits:
    """The limits of each request of a server.

    ``min_rate`` is the number of bytes per second that a client must send or read, over each 10
    seconds in which the server waits for it. ``max_request_seconds`` bounds the time from the end
    of the head to the end of the response. None is no limit. ``max_spool`` bounds the bytes of a
    body that are kept because the client sends and does not read.
    """

    min_rate: float | None = MIN_RATE
    max_request_seconds: float | None = None
    max_spool: int = MAX_SPOOL

    def __post_init__(self) -> None:
        if self.min_rate is not None:
            check_number("min_rate", self.min_rate, "bytes per second, or None", inf)
        if self.max_request_seconds is not None:
            check_seconds("max_request_seconds", self.max_request_seconds, or_none=True)
        check_count("max_spool", self.max_spool, minimum=0)


class ClientTimer:
    """Waits for the client of one request, until ``deadline`` at most.

    ``wait`` and ``add`` raise ClientDisconnected if the client is silent or too slow.
    """

    __slots__ = ("_bytes", "_deadline", "_limits", "_received", "_seconds", "_socket")

    def __init__(self, sock: ClientSocket, limits: RequestLimits, deadline: float) -> None:
        self._socket = sock
        self._limits = limits
        self._deadline = deadline
        self._seconds = 0.0  # waited, since the rate was last found to be high enough
        self._bytes = 0  # sent or read by the client in this time
        self._received = 0

    def wait(self, events: int, activity: str, received: int) -> int:
        """Wait until one of the events READ and WRITE occurs; return those that did.

        ``received`` is the number of bytes of the body so far. A client that reads is not silent,
        also if it reads too little for the event WRITE. ``activity`` is for messages.
        """
        sock = self._socket
        self.add(0.0, received, activity)
        now = monotonic()
        silent_at = now + sock.timeout
        unread = sock.count_unread() if events & WRITE else None
        while True:
            seconds = min(silent_at, self._deadline) - now
            if unread is not None:
                seconds = min(seconds, _CHECK_SECONDS)
            ready = sock.wait_for(events, max(0.0, seconds))
            before, now = now, monotonic()
            self._seconds += now - before
            if unread is not None:
                left = sock.count_unread() or 0
                if left < unread:
                    self._bytes += unread - left
                    self._check_rate(activity)
                    silent_at = now + sock.timeout
                unread = left
            elif ready & WRITE:
                self._seconds = 0.0  # it is unknown how much the client has read
            if ready:
                return ready
            if now >= self._deadline:
                raise too_long_error(sock.client, self._limits)
            if now >= silent_at:
                raise ClientDisconnected(
                    f"{sock.client} was silent for {sock.timeout:g} s while the server {activity}"
                )

    def add(self, seconds: float, received: int, activity: str) -> None:
        """Count a wait, and the bytes of the body that have arrived since the last call."""
        self._seconds += seconds
        self._bytes += received - self._received
        self._received = received
        self._check_rate(activity)

    def _check_rate(self, activity: str) -> None:
        min_rate = self._limits.min_rate
        if min_rate is None or self._seconds < _RATE_SECONDS:
            return
        if self._bytes < min_rate * self._seconds:
            raise ClientDisconnected(
                f"{self._socket.client} was too slow: {self._bytes} bytes in {self._seconds:.1f} s "
                f"while the server {activity}; min_rate is {min_rate:g} bytes per second"
            )
        self._seconds = 0.0
        self._bytes = 0


def too_long_error(client: str, limits: RequestLimits) -> ClientDisconnected:
    """Return the error for a request that takes longer than ``max_request_seconds``."""
    return ClientDisconnected(
        f"{client} was cut off: its request took longer than max_request_seconds, "
        f"{limits.max_request_seconds:g} s"
    )


def check_count(name: str, value: object, *, minimum: int = 1) -> None:
    """Raise TypeError or ValueError unless ``value`` is an int of at least ``minimum``."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{name} must be an int of {minimum} or more; got {value!r:.60}")
    if value < minimum:
        raise ValueError(f"{name} must be at least {minimum}; got {value!r}")


def check_seconds(
    name: str, value: object, *, allow_zero: bool = False, or_none: bool = False
) -> None:
    """Raise TypeError or ValueError unless ``value`` is a number of seconds in the bounds."""
    unit = "seconds, or None" if or_none else "seconds"
    check_number(name, value, unit, MAX_SECONDS, allow_zero=allow_zero)


def check_number(
    name: str, value: object, unit: str, maximum: float, *, allow_zero: bool = False
) -> None:
    """Raise TypeError or ValueError unless ``value`` is a number above 0, or also 0."""
    bounds = "0 or more" if allow_zero else "above 0"
    if maximum < inf:
        bounds = f"{bounds} (at most {maximum:g})"
    text = f"{name} must be a number of {unit}, {bounds}; got {value!r:.60}"
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        raise TypeError(text)
    # A NaN is not between any bounds.
    if not 0 <= value <= maximum or value == inf or (value == 0 and not allow_zero):
        raise ValueError(text)
