"""The logger ``restkit``, and set_logging.

restkit logs one line for each exchange, at DEBUG and without secrets. ``logging`` is imported with
the first exchange: urllib3, which is imported then, imports it too.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from restkit.annotations import LogHandler

if TYPE_CHECKING:
    import logging


_FORMAT = "%(asctime)s [%(process)d] [%(levelname)s] %(message)s"
_LEVELS = ("debug", "info", "warning", "error", "critical")


def set_logging(level: int | str, handler: LogHandler | None = None) -> None:
    """Show the log lines of restkit from ``level`` on, a number or a name such as 'debug'.

    They go to ``handler``, by default to stderr. A handler without a format gets one. A second call
    replaces the handler of the first.

    >>> set_logging('debug')                           # doctest: +SKIP
    """
    import logging

    number = _level_number(level)
    handler = handler or logging.StreamHandler()
    if handler.formatter is None:
        handler.setFormatter(logging.Formatter(_FORMAT, "%Y-%m-%d %H:%M:%S"))
    logger = get_logger()
    logger.setLevel(number)
    if _Installed.handler is not None:
        logger.removeHandler(_Installed.handler)
    logger.addHandler(handler)
    _Installed.handler = handler


@cache
def get_logger() -> logging.Logger:
    """Return the logger ``restkit``."""
    import logging

    # No NullHandler: all lines are DEBUG, which is not shown by default. A NullHandler here would
    # also hide the errors of the logger "restkit.server", below it, in a program without handlers.
    return logging.getLogger("restkit")


class _Installed:
    """The handler of the last ``set_logging``."""

    handler: logging.Handler | None = None


def _level_number(level: object) -> int:
    import logging

    if isinstance(level, str) and level.lower() in _LEVELS:
        number: int = getattr(logging, level.upper())
        return number
    if isinstance(level, int) and not isinstance(level, bool):
        return level
    raise ValueError(f"level must be a number or one of {', '.join(_LEVELS)}; got {level!r}")
