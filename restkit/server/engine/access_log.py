"""The access log: one record for each response that a server sends.

A line of the log is in the common log format, which Apache and nginx write. Control characters,
quotes, backslashes and octets above ASCII are written as escapes, as in Apache's log. So a request
cannot forge a line. The values of secret parameters in a query are hidden.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Lock
from time import localtime, strftime, time
from typing import TextIO, TypeAlias

from restkit.annotations import WSGIEnvironment
from restkit.headers import Headers
from restkit.redaction import redact_url


@dataclass(frozen=True, slots=True)
class AccessRecord:
    """One response, for the access log.

    ``method`` and ``target`` are those of the request line, as the client sent them, and empty if
    the request was refused before its head was complete and valid. ``target`` is not redacted.
    ``status`` is None if the head of the response was not sent. ``sent`` is the number of bytes of
    the body, without framing. ``complete`` is False if the response was not sent as a whole.
    ``seconds`` counts from the end of the request's head to the end of the response. ``client`` is
    the address of the client; behind ``trusted_proxies`` that of the forwarded client. ``environ``
    is the WSGI environ, as the application left it; its body can no longer be read.
    ``headers`` are the header fields of the response that the application declared.

    >>> record = AccessRecord('GET', '/?token=abc', 'HTTP/1.1', 200, 5, 0.1, '192.0.2.1')
    >>> record.request_line
    'GET /?token=*** HTTP/1.1'
    """

    method: str
    target: str
    version: str
    status: int | None
    sent: int
    seconds: float
    client: str
    complete: bool = True
    environ: WSGIEnvironment | None = None
    headers: Headers = field(default_factory=Headers)

    @property
    def path(self) -> str:
        """The target without its query."""
        return self.target.partition("?")[0]

    @property
    def request_line(self) -> str:
        """The request line with secrets hidden and control characters escaped; ``-`` for none."""
        if not self.method:
            return "-"
        return _escape(f"{self.method} {redact_url(self.target)} {self.version}")

    def common_log(self) -> str:
        """Return the line of the common log format, without a line end.

        The fields are the client, two hyphens, the time at which the response ended, the request
        line, the status, and the bytes of the body.
        """
        now = time()
        moment = localtime(now)
        clock = strftime(f"%d/{_MONTHS[moment.tm_mon - 1]}/%Y:%H:%M:%S %z", moment)
        return (
            f'{_escape(self.client) or "-"} - - [{clock}] "{self.request_line}" '
            f"{self.status or '-'} {self.sent or '-'}"
        )


AccessLog: TypeAlias = Callable[[AccessRecord], object]
"""A function that is called with each record."""

_MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()  # in no other language
_UNSAFE = re.compile(r"[^ !#-\[\]-~]")

_logger = logging.getLogger("restkit.server")
_access_logger = logging.getLogger("restkit.access")


def as_access_log(value: bool | TextIO | AccessLog | None) -> AccessLog | None:
    """Return the function for the option ``access_log``; None for no log.

    Raises TypeError for a value that is no access log.
    """
    if value is None or value is False:
        return None
    if value is True:
        return _log_record
    if callable(value):
        return value
    if hasattr(value, "write"):
        return _LineWriter(value)
    raise TypeError(
        "access_log must be True, a text file, a function that takes a record, or None; "
        f"got {value!r:.60}"
    )


def write_record(log: AccessLog, record: AccessRecord) -> None:
    """Call an access log; its exceptions go to the logger and do not change the response."""
    try:
        log(record)
    except BaseException:  # SystemExit too: it would end the connection
        _logger.exception("the access log failed")


def _log_record(record: AccessRecord) -> None:
    if _access_logger.isEnabledFor(logging.INFO):
        _access_logger.info("%s", record.common_log())


class _LineWriter:
    """Writes the lines of the log to a file, and flushes each."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._lock = Lock()

    def __call__(self, record: AccessRecord) -> None:
        line = record.common_log() + "\n"
        with self._lock:
            self._file.write(line)
            self._file.flush()


def _escape(text: str) -> str:
    r"""Escape all except printable ASCII, and ``"`` and ``\``.

    >>> print(_escape('a"b\n'))
    a\"b\x0a
    """
    return _UNSAFE.sub(_escape_character, text)


def _escape_character(found: re.Match[str]) -> str:
    character = found[0]
    if character in '"\\':
        return "\\" + character
    return f"\\x{ord(character):02x}" if character <= "\xff" else ascii(character)[1:-1]
