"""Send a file, with conditions and ranges (RFC 9110 13 and 14).

The entity tag is made of the size of the file and the time of its last change in nanoseconds.
The file is opened when the response is sent, so that its headers describe the bytes that are sent.

As the RFC asks, a date that cannot be parsed (13.1.3) and a range that is malformed or of an
unknown unit (14.2) are ignored. A request for several ranges gets the whole file, which 14.2
leaves to the server: so no client has to parse multipart/byteranges, and none can ask for
thousands of overlapping ranges.
"""

from __future__ import annotations

import os
import re
import stat
from calendar import timegm
from collections.abc import Callable, Iterable, Iterator
from email.utils import formatdate, parsedate_to_datetime
from enum import Enum
from errno import EISDIR
from typing import IO, NamedTuple, TypeAlias
from urllib.parse import quote

from restkit.annotations import StartResponse, WSGIEnvironment
from restkit.headers import Headers
from restkit.http1.ranges import ByteRange, format_content_range
from restkit.io.files import CHUNK_SIZE, Region, open_without_blocking
from restkit.payload.files import guess_content_type
from restkit.server.environ import read_headers
from restkit.server.exceptions import HeaderFields, format_status
from restkit.server.responses import Response, to_wsgi_headers


class FileResponse(Response):
    """A response with a file, which is opened for each request.

    A GET may request a part of it (``Range``, ``If-Range``). A GET or HEAD may have conditions
    (``If-None-Match``, ``If-Modified-Since``, ``If-Match``, ``If-Unmodified-Since``). With a
    status other than 200 both are ignored. An ``ETag`` or ``Last-Modified`` in the headers is
    sent, and not used for conditions. ``opener`` is that of ``open()``.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        status: int = 200,
        headers: HeaderFields | None = None,
        content_type: str | None = None,
        *,
        opener: Callable[[str, int], int] = open_without_blocking,
    ) -> None:
        self.path = os.fsdecode(path)
        self._opener = opener
        super().__init__(b"", status, headers, content_type)
        for name, value in guess_content_type(self.path):
            self.headers.setdefault(name, value)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Respond to a request; the engine closes the file."""
        # Closed with the returned body.
        file = open(self.path, "rb", buffering=0, opener=self._opener)  # noqa: SIM115
        try:
            file_status = os.fstat(file.fileno())
            _check_regular_file(file_status, self.path)
            current = Validators(
                f'"{file_status.st_mtime_ns:x}-{file_status.st_size:x}"', int(file_status.st_mtime)
            )
            decision = self._decide(environ, current, file_status.st_size)
            status, headers = self._make_head(decision, current, file_status.st_size)
            start_response(format_status(status), to_wsgi_headers(headers, status))
            part = _range_to_send(decision, file_status.st_size)
            if environ["REQUEST_METHOD"] == "HEAD" or part.start == part.end:
                file.close()
                return ()
            file.seek(part.start)
            return _wrap_file(environ, file, part, file_status.st_size)
        except BaseException:
            file.close()
            raise

    def _decide(self, environ: WSGIEnvironment, current: Validators, size: int) -> Decision:
        if self.status != 200:
            return Outcome.WHOLE
        return evaluate_conditions(environ["REQUEST_METHOD"], read_headers(environ), current, size)

    def _make_head(self, decision: Decision, current: Validators, size: int) -> tuple[int, Headers]:
        headers = self.headers.copy()
        headers.setdefault("ETag", current.etag)
        headers.setdefault("Last-Modified", formatdate(current.modified, usegmt=True))
        headers["Accept-Ranges"] = "bytes"
        part = _range_to_send(decision, size)
        headers["Content-Length"] = part.end - part.start
        if isinstance(decision, ByteRange):
            headers["Content-Range"] = format_content_range(part, size)
            return 206, headers
        if decision is Outcome.UNSATISFIABLE:
            headers["Content-Range"] = format_content_range(None, size)
        return (self.status if decision is Outcome.WHOLE else decision.value), headers

    def __repr__(self) -> str:
        return f"<FileResponse {format_status(self.status)}: {self.path!r}>"


def file(
    path: str | os.PathLike[str],
    status: int = 200,
    headers: HeaderFields | None = None,
    content_type: str | None = None,
    filename: str | None = None,
) -> FileResponse:
    r"""Respond with a file, with ranges, entity tag and time; sent by the system if possible.

    The content type is guessed from the name unless it is given. With ``filename``, a
    ``Content-Disposition`` asks the client to save it under that name. Raises FileNotFoundError, or
    another OSError, at the call. The path must not come from a client; for a folder, use
    ``restkit.server.files``.

    >>> file(__file__, filename='grüße.py').headers['Content-Disposition']
    'attachment; filename="gr??e.py"; filename*=UTF-8\'\'gr%C3%BC%C3%9Fe.py'
    """
    response = FileResponse(path, status, headers, content_type)
    _check_regular_file(os.stat(response.path), response.path)
    if filename is not None:
        response.headers["Content-Disposition"] = _content_disposition(filename)
    return response


def _check_regular_file(file_status: os.stat_result, path: str) -> None:
    if not stat.S_ISREG(file_status.st_mode):
        raise IsADirectoryError(EISDIR, "not a regular file", path)


def _content_disposition(filename: str) -> str:
    """Return the name in ASCII for old clients (RFC 6266 appendix D), then the whole name."""
    plain = filename.encode("ascii", "replace").decode().replace("\\", "_").replace('"', "_")
    plain = "".join(c if c.isprintable() else "_" for c in plain)
    if plain == filename:
        return f'attachment; filename="{plain}"'
    extended = quote(filename, safe="!#$&+.^_`|~-", errors="replace")
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{extended}"


def _range_to_send(decision: Decision, size: int) -> ByteRange:
    if isinstance(decision, ByteRange):
        return decision
    return ByteRange(0, size if decision is Outcome.WHOLE else 0)


def _wrap_file(
    environ: WSGIEnvironment, file: IO[bytes], part: ByteRange, size: int
) -> Iterable[bytes]:
    """Return a body that the engine may send with ``sendfile``.

    Only if the part ends with the file, because some engines send the whole rest of the file.
    """
    wrapper = environ.get("wsgi.file_wrapper")
    if wrapper is None or part.end < size:
        return _FileChunks(file, part)
    body: Iterable[bytes] = wrapper(file, CHUNK_SIZE)
    return body


class _FileChunks:
    """The chunks of a part of a file; ``close()`` closes the file."""

    def __init__(self, file: IO[bytes], part: ByteRange) -> None:
        self._file = file
        self._part = part

    def __iter__(self) -> Iterator[bytes]:
        return Region(self._file, self._part.start, self._part.end - self._part.start).chunks()

    def close(self) -> None:
        self._file.close()


# Conditions and ranges: pure decisions

_ENTITY_TAG = re.compile(r'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"')
_BYTES = re.compile(
    r"bytes[ \t]*=[ \t]*(?:([0-9]{1,19})[ \t]*-[ \t]*([0-9]{1,19})?|-([0-9]{1,19}))", re.IGNORECASE
)


class Validators(NamedTuple):
    """The entity tag of a resource and the second of its last change."""

    etag: str
    modified: int


class Outcome(Enum):
    """A response that is not a part; the value is its status."""

    WHOLE = 200
    NOT_MODIFIED = 304
    FAILED = 412
    """A condition does not hold, and the method must not be performed."""
    UNSATISFIABLE = 416


Decision: TypeAlias = "ByteRange | Outcome"


def evaluate_conditions(method: str, headers: Headers, current: Validators, size: int) -> Decision:
    """Decide how to respond for a resource of ``size`` bytes, in the order of RFC 9110 13.2.2.

    >>> headers = Headers({'Range': 'bytes=0-9'})
    >>> evaluate_conditions('GET', headers, Validators('"a"', 0), 100)
    ByteRange(start=0, end=10)
    """
    reads = method in ("GET", "HEAD")
    if not _precondition_holds(headers, current):
        return Outcome.FAILED
    if _is_unmodified(headers, current, reads=reads):
        return Outcome.NOT_MODIFIED if reads else Outcome.FAILED
    if method == "GET" and "range" in headers and _if_range_holds(headers, current):
        return _parse_range(headers["range"], size)
    return Outcome.WHOLE


def _precondition_holds(headers: Headers, current: Validators) -> bool:
    if "if-match" in headers:
        # Strong comparison (8.8.3.2): a weak tag matches nothing.
        return _matches_tag(headers["if-match"], current.etag, weak=False)
    since = _parse_date(headers.get("if-unmodified-since"))
    return since is None or current.modified <= since


def _is_unmodified(headers: Headers, current: Validators, *, reads: bool) -> bool:
    if "if-none-match" in headers:
        # Weak comparison (8.8.3.2): tags are compared without W/.
        return _matches_tag(headers["if-none-match"], current.etag, weak=True)
    since = _parse_date(headers.get("if-modified-since")) if reads else None
    return since is not None and current.modified <= since


def _matches_tag(value: str, etag: str, *, weak: bool) -> bool:
    if value == "*":
        return True
    tags = _ENTITY_TAG.findall(value)
    if weak:
        return etag.removeprefix("W/") in [tag.removeprefix("W/") for tag in tags]
    return etag in tags and not etag.startswith("W/")


def _if_range_holds(headers: Headers, current: Validators) -> bool:
    """Return whether the range belongs to the version that the client has (13.1.5)."""
    value = headers.get("if-range")
    if value is None:
        return True
    # A date is no strong validator (8.8.2.2): the file may change twice in one second.
    return value == current.etag and not value.startswith("W/")


def _parse_date(value: str | None) -> int | None:
    if value is None:
        return None
    try:
        return timegm(parsedate_to_datetime(value).utctimetuple())
    except (ValueError, OverflowError):
        return None


def _parse_range(value: str, size: int) -> Decision:
    match = _BYTES.fullmatch(value)
    if match is None:
        return Outcome.WHOLE
    first, last, suffix = match.groups()
    if suffix is not None:
        start, end = max(0, size - int(suffix)), size
    else:
        start, end = int(first), size
        if last is not None:
            if int(last) < start:
                return Outcome.WHOLE  # 14.1.1: invalid, so it is ignored
            end = min(int(last) + 1, size)
    return ByteRange(start, end) if start < end else Outcome.UNSATISFIABLE
