"""The options of ``serve`` and ``run``: the type, the default and the check of each.

A new option is one line in ``ServeOptions`` and one in ``ServeSettings``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from typing import TextIO, TypeAlias, TypedDict

from restkit.server.engine.access_log import AccessRecord
from restkit.server.engine.request_limits import (
    MAX_SPOOL,
    MIN_RATE,
    RequestLimits,
    check_count,
    check_seconds,
)
from restkit.server.engine.tls import TLSOption

AccessLogOption: TypeAlias = bool | TextIO | Callable[[AccessRecord], object] | None


class ServeOptions(TypedDict, total=False):
    """The keywords of ``serve`` and ``run``, except the address."""

    uds: str | None
    threads: int
    timeout: float
    keepalive: float | None
    max_connections: int | None
    grace: float
    min_rate: float | None
    max_request_seconds: float | None
    max_spool: int
    access_log: AccessLogOption
    tls: TLSOption | None
    trusted_proxies: Iterable[str] | None


@dataclass(frozen=True, kw_only=True)
class ServeSettings:
    """All options of a server, checked. Raises TypeError or ValueError for a wrong value."""

    grace: float
    uds: str | None = None
    threads: int = 64
    timeout: float = 30.0
    keepalive: float | None = None
    max_connections: int | None = None
    min_rate: float | None = MIN_RATE
    max_request_seconds: float | None = None
    max_spool: int = MAX_SPOOL
    access_log: AccessLogOption = None
    tls: TLSOption | None = None
    trusted_proxies: Iterable[str] | None = None

    def __post_init__(self) -> None:
        check_count("threads", self.threads)
        check_seconds("timeout", self.timeout)
        check_seconds("grace", self.grace, allow_zero=True)
        if self.keepalive is not None:
            check_seconds("keepalive", self.keepalive)
        if self.max_connections is not None:
            check_count("max_connections", self.max_connections)
        self.limits  # noqa: B018  # checks the values

    @property
    def limits(self) -> RequestLimits:
        """The limits of each request."""
        return RequestLimits(self.min_rate, self.max_request_seconds, self.max_spool)


def make_settings(options: ServeOptions, *, grace: float) -> ServeSettings:
    """Return the settings of the given options; raise TypeError for an unknown one.

    ``grace`` is the default of this option.
    """
    names = [field.name for field in fields(ServeSettings)]
    for name in options:
        if name not in names:
            from difflib import get_close_matches  # slow to import, and only errors need it

            close = get_close_matches(name, names, 1)
            hint = f"did you mean {close[0]}=?" if close else f"they are {', '.join(names)}"
            raise TypeError(f"{name}= is not an option of a server; {hint}")
    options.setdefault("grace", grace)
    return ServeSettings(**options)
