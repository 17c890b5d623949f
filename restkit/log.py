"""The logger ``restkit``, and set_logging.

restkit logs connections, attempts, redirects and retries at DEBUG, and the restarts of downloads at
WARNING, without secrets. ``logging`` is imported with the first Client, to keep ``import restkit``
quick.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from restkit.annotations import LogHandler

if TYPE_CHECKING:
    import logging


DEBUG = 10  # logging.DEBUG; the module logging would slow `import restkit` down
_FORMAT = "%(asctime)s [%(process)d] [%(levelname)s] %(message)s"
_LEVELS = ("debug", "info", "warning", "error", "critical")


class LogState:
    """The arguments of the last ``set_logging``; attributes, because reading one is fast."""

    handler: LogHandler | None = None
    headers: bool = False


def set_logging(
    level: int | str, handler: LogHandler | None = None, *, headers: bool = False
) -> None:
    """Show the log lines of restkit from ``level`` on, a number or a name such as 'debug'.

    They go to ``handler``, by default to stderr. A handler without a format gets one. ``headers``
    also shows the heads of requests and responses, at DEBUG. Secrets are replaced by ``***``; the
    page Quickstart lists which. A second call replaces the handler and ``headers`` of the first.

    >>> set_logging('debug')                           # doctest: +SKIP
    """
    import logging

    number = _level_number(level)
    if not isinstance(headers, bool):
        raise ValueError(f"headers must be True or False; got {headers!r:.60}")
    if not (handler is None or isinstance(handler, logging.Handler)):
        raise ValueError(f"handler must be a logging.Handler or None; got {handler!r:.60}")
    handler = handler or logging.StreamHandler()
    if handler.formatter is None:
        handler.setFormatter(logging.Formatter(_FORMAT, "%Y-%m-%d %H:%M:%S"))
    logger = get_logger()
    logger.setLevel(number)
    if LogState.handler is not None:
        logger.removeHandler(LogState.handler)
    logger.addHandler(handler)
    LogState.handler, LogState.headers = handler, headers


@cache
def get_logger() -> logging.Logger:
    """Return the logger ``restkit``."""
    import logging

    # No NullHandler: all lines are DEBUG, which is not shown by default, except the warnings of
    # downloads, which Python shows. A NullHandler here would also hide the errors of the logger
    # "restkit.server", below it, in a program without handlers.
    return logging.getLogger("restkit")


def _level_number(level: object) -> int:
    import logging

    if isinstance(level, str) and level.lower() in _LEVELS:
        number: int = getattr(logging, level.upper())
        return number
    if isinstance(level, int) and not isinstance(level, bool):
        return level
    raise ValueError(f"level must be a number or one of {', '.join(_LEVELS)}; got {level!r}")
