"""Respond with 507 if the disk has no space for a body, or for the files of a form.

The errors of a handler's own files are not converted: they are a 500, with a traceback in the log.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from errno import EDQUOT, EFBIG, ENOSPC

from restkit.server.exceptions import InsufficientStorage

STORAGE_FULL = (ENOSPC, EDQUOT, EFBIG)
"""The disk is full, the quota is used up, or the process may not write files of this size."""

_logger = logging.getLogger("restkit.server")


@contextmanager
def convert_storage_errors() -> Iterator[None]:
    """Convert the errors of a full disk, while the block writes to a spool; log them.

    >>> with convert_storage_errors():
    ...     raise OSError(ENOSPC, 'No space left on device')
    Traceback (most recent call last):
    restkit.server.exceptions.InsufficientStorage: 507: the server has no space for the body
    """
    try:
        yield
    except OSError as exc:
        if not _is_storage_full(exc):
            raise
        _logger.error("a body cannot be stored: %s", exc)
        raise InsufficientStorage("the server has no space for the body") from exc


def _is_storage_full(exc: OSError) -> bool:
    """Return whether the error of a spool means that there is no space.

    ``tempfile`` raises FileNotFoundError if it can write to none of its folders, so also if the
    disk was full before the first temporary file.
    """
    return exc.errno in STORAGE_FULL or isinstance(exc, FileNotFoundError)
