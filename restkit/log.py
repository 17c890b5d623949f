"""The logger ``restkit``: one line for each exchange, at DEBUG and without secrets.

``logging`` is imported with the first exchange: urllib3, which connects, brings it along anyway.
"""

from __future__ import annotations

from functools import cache
from time import perf_counter
from typing import TYPE_CHECKING

from restkit.masking import masked

if TYPE_CHECKING:
    import logging

    from restkit.errors import Error
    from restkit.message.request import Request
    from restkit.message.response import HttpResponse
    from restkit.timeouts import Clock

_FORMAT = "%(asctime)s [%(process)d] [%(levelname)s] %(message)s"
_LEVELS = ("debug", "info", "warning", "error", "critical")


def log_exchange(request: Request, outcome: HttpResponse | Error, clock: Clock) -> None:
    """Log what came of one exchange, with the seconds since its call began."""
    logger = _logger()
    if not logger.isEnabledFor(10):  # logging.DEBUG
        return
    came = type(outcome).__name__ if isinstance(outcome, Exception) else outcome.status_line
    seconds = perf_counter() - clock.started
    logger.debug("%s %s: %s, %.3f s", request.method, masked(str(request.url)), came, seconds)


def set_logging(level: int | str, handler: logging.Handler | None = None) -> None:
    """Show what restkit logs from ``level`` on, a number or a name such as 'debug'.

    It goes to ``handler``, by default to stderr; one without a format is given one. Called again,
    the handler takes the place of the one before.
    """
    import logging

    number = _level(level)
    handler = handler or logging.StreamHandler()
    if handler.formatter is None:
        handler.setFormatter(logging.Formatter(_FORMAT, "%Y-%m-%d %H:%M:%S"))
    logger = _logger()
    logger.setLevel(number)
    if _Shown.by is not None:
        logger.removeHandler(_Shown.by)
    logger.addHandler(handler)
    _Shown.by = handler


class _Shown:
    """The handler that ``set_logging`` has set."""

    by: logging.Handler | None = None


def _level(level: object) -> int:
    import logging

    if isinstance(level, str) and level.lower() in _LEVELS:
        number: int = getattr(logging, level.upper())
        return number
    if isinstance(level, int) and not isinstance(level, bool):
        return level
    raise ValueError(f"level={level!r}: a number is wanted, or one of {', '.join(_LEVELS)}")


@cache
def _logger() -> logging.Logger:
    import logging

    # Without a NullHandler: all of it is DEBUG, which shows nowhere by itself, and one here would
    # take from the logger "restkit.server", below it, what a program without handlers is shown.
    return logging.getLogger("restkit")
