"""Set up the logger ``restkit``.

The logger ``restkit``: one line for each exchange, at DEBUG and without secrets.

``logging`` is imported with the first exchange: urllib3, which connects, brings it along anyway.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import logging


_FORMAT = "%(asctime)s [%(process)d] [%(levelname)s] %(message)s"
_LEVELS = ("debug", "info", "warning", "error", "critical")


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
    logger = get_logger()
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
def get_logger() -> logging.Logger:
    import logging

    # Without a NullHandler: all of it is DEBUG, which shows nowhere by itself, and one here would
    # take from the logger "restkit.server", below it, what a program without handlers is shown.
    return logging.getLogger("restkit")
