"""Send a file, with conditions and ranges.

Files as answers: whole or a part, or no more than that the client has it already.

The entity tag is made of the file's size and the time of its last change to the nanosecond, as
file systems keep it. The file is looked at, and opened, when the answer is made, so that what is
said of it is true of the bytes that are sent.

What a request's conditions and its Range make of a file: pure decisions (RFC 9110 13 and 14).

Leniencies that the RFC asks for: a date that cannot be read, a range of another unit or one that is
malformed are as if they were not there (13.1.3, 14.2). Of several ranges at once the whole is given
(14.2 leaves that to the server): nobody has to take multipart/byteranges apart, or can ask for
thousands of overlapping ones.
"""

from __future__ import annotations

import os
import re
import stat
from calendar import timegm
from email.utils import formatdate, parsedate_to_datetime
from enum import Enum
from errno import EISDIR
from typing import IO, TYPE_CHECKING, NamedTuple, TypeAlias
from urllib.parse import quote

from restkit.io.files import CHUNK_SIZE, Region
from restkit.payload.files import content_type as content_type_of
from restkit.server.environ import headers_of
from restkit.server.exceptions import status_text
from restkit.server.responses import Response, sendable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from _typeshed.wsgi import StartResponse, WSGIEnvironment

    from restkit.headers import Headers
    from restkit.server.exceptions import HeaderFields


class FileResponse(Response):
    """An answer that is a file, opened anew for each request that is answered with it.

    A GET may ask for a part of it (``Range``, ``If-Range``), and a GET or HEAD for it only as it
    has changed (``If-None-Match``, ``If-Modified-Since``, ``If-Match``, ``If-Unmodified-Since``);
    a status other than 200 is given as it is. An ``ETag`` or ``Last-Modified`` of the headers
    stands, and what it says is not looked at.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        status: int = 200,
        headers: HeaderFields | None = None,
        content_type: str | None = None,
    ) -> None:
        self.path = os.fsdecode(path)
        super().__init__(b"", status, headers, content_type)
        for name, value in content_type_of(self.path):
            self.headers.setdefault(name, value)
        _check(os.stat(self.path), self.path)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a request; the engine closes the file."""
        file = open(self.path, "rb", buffering=0)  # noqa: SIM115  # closed with what is returned
        try:
            found = os.fstat(file.fileno())
            _check(found, self.path)
            now = Validators(f'"{found.st_mtime_ns:x}-{found.st_size:x}"', int(found.st_mtime))
            decision = self._decided(environ, now, found.st_size)
            status, headers = self._head(decision, now, found.st_size)
            start_response(status_text(status), sendable(headers, status))
            part = _part_of(decision, found.st_size)
            if environ["REQUEST_METHOD"] == "HEAD" or part.start == part.end:
                file.close()
                return ()
            file.seek(part.start)
            return _body(environ, file, part, found.st_size)
        except BaseException:
            file.close()
            raise

    def _decided(self, environ: WSGIEnvironment, now: Validators, size: int) -> Decision:
        if self.status != 200:
            return Outcome.WHOLE
        return evaluate_conditions(environ["REQUEST_METHOD"], headers_of(environ), now, size)

    def _head(self, decision: Decision, now: Validators, size: int) -> tuple[int, Headers]:
        headers = self.headers.copy()
        headers.setdefault("ETag", now.etag)
        headers.setdefault("Last-Modified", formatdate(now.modified, usegmt=True))
        headers["Accept-Ranges"] = "bytes"
        part = _part_of(decision, size)
        headers["Content-Length"] = part.end - part.start
        if isinstance(decision, Part):
            headers["Content-Range"] = f"bytes {part.start}-{part.end - 1}/{size}"
            return 206, headers
        if decision is Outcome.UNSATISFIABLE:
            headers["Content-Range"] = f"bytes */{size}"
        return (self.status if decision is Outcome.WHOLE else decision.value), headers

    def __repr__(self) -> str:
        return f"<FileResponse {status_text(self.status)}: {self.path!r}>"


def file(
    path: str | os.PathLike[str],
    status: int = 200,
    headers: HeaderFields | None = None,
    content_type: str | None = None,
    filename: str | None = None,
) -> FileResponse:
    """A file by its path, with its ranges, its entity tag and its time; sent by the system.

    The content type is by its name where none is given. With ``filename`` it is offered to be
    saved under that name (``Content-Disposition``). Raises FileNotFoundError, or another OSError,
    at once. A path that a client has a say in is the caller's to check.
    """
    response = FileResponse(path, status, headers, content_type)
    if filename is not None:
        response.headers["Content-Disposition"] = _attachment(filename)
    return response


def _check(found: os.stat_result, path: str) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise IsADirectoryError(EISDIR, "not a regular file", path)


def _attachment(filename: str) -> str:
    """The name in ASCII for who knows no other (RFC 6266 appendix D), and all of it beside that."""
    plain = filename.encode("ascii", "replace").decode().replace("\\", "_").replace('"', "_")
    plain = "".join(c if c.isprintable() else "_" for c in plain)
    if plain == filename:
        return f'attachment; filename="{plain}"'
    extended = quote(filename, safe="!#$&+.^_`|~-", errors="replace")
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{extended}"


def _part_of(decision: Decision, size: int) -> Part:
    """What of the file is sent."""
    if isinstance(decision, Part):
        return decision
    return Part(0, size if decision is Outcome.WHOLE else 0)


def _body(environ: WSGIEnvironment, file: IO[bytes], part: Part, size: int) -> Iterable[bytes]:
    """The engine's own way of sending a file: to its end, since not all stop where they should."""
    wrapper = environ.get("wsgi.file_wrapper")
    if wrapper is None or part.end < size:
        return _Blocks(file, part)
    body: Iterable[bytes] = wrapper(file, CHUNK_SIZE)
    return body


class _Blocks:
    """A part of a file, which is closed with it."""

    def __init__(self, file: IO[bytes], part: Part) -> None:
        self._file = file
        self._part = part

    def __iter__(self) -> Iterator[bytes]:
        return Region(self._file, self._part.start, self._part.end - self._part.start).chunks()

    def close(self) -> None:
        self._file.close()


_ENTITY_TAG = re.compile(r'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"')
_BYTES = re.compile(
    r"bytes[ \t]*=[ \t]*(?:([0-9]{1,19})[ \t]*-[ \t]*([0-9]{1,19})?|-([0-9]{1,19}))", re.IGNORECASE
)


class Validators(NamedTuple):
    """What tells one state of a resource from another: its entity tag, and the second it is of."""

    etag: str
    modified: int


class Part(NamedTuple):
    """From one byte up to and without another."""

    start: int
    end: int


class Outcome(Enum):
    """What is given where it is no part."""

    WHOLE = 200
    NOT_MODIFIED = 304
    FAILED = 412
    """A condition does not hold, and nothing is to be done."""
    UNSATISFIABLE = 416


Decision: TypeAlias = "Part | Outcome"


def evaluate_conditions(method: str, headers: Headers, now: Validators, size: int) -> Decision:
    """What to answer with, of a resource of ``size`` bytes, in the order of RFC 9110 13.2.2."""
    reads = method in ("GET", "HEAD")
    if not _may_go_on(headers, now):
        return Outcome.FAILED
    if _has_it_already(headers, now, reads=reads):
        return Outcome.NOT_MODIFIED if reads else Outcome.FAILED
    if method == "GET" and "range" in headers and _is_still(headers.get("if-range"), now):
        return _part(headers["range"], size)
    return Outcome.WHOLE


def _may_go_on(headers: Headers, now: Validators) -> bool:
    if "if-match" in headers:
        # Strong comparison (8.8.3.2): a weak tag matches nothing.
        return _names(headers["if-match"], now.etag, weakly=False)
    since = _seconds(headers.get("if-unmodified-since"))
    return since is None or now.modified <= since


def _has_it_already(headers: Headers, now: Validators, *, reads: bool) -> bool:
    if "if-none-match" in headers:
        # Weak comparison (8.8.3.2): what is behind the W/ counts.
        return _names(headers["if-none-match"], now.etag, weakly=True)
    since = _seconds(headers.get("if-modified-since")) if reads else None
    return since is not None and now.modified <= since


def _names(value: str, etag: str, *, weakly: bool) -> bool:
    if value == "*":
        return True
    tags = _ENTITY_TAG.findall(value)
    if weakly:
        return etag.removeprefix("W/") in [tag.removeprefix("W/") for tag in tags]
    return etag in tags and not etag.startswith("W/")


def _is_still(value: str | None, now: Validators) -> bool:
    """Whether the part that is asked for is one of what the client has (13.1.5)."""
    if value is None:
        return True
    if _ENTITY_TAG.fullmatch(value):
        return value == now.etag and not value.startswith("W/")
    return _seconds(value) == now.modified


def _seconds(value: str | None) -> int | None:
    if value is None:
        return None
    try:
        return timegm(parsedate_to_datetime(value).utctimetuple())
    except (ValueError, OverflowError):
        return None


def _part(value: str, size: int) -> Decision:
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
                return Outcome.WHOLE  # 14.1.1: invalid, and so not there
            end = min(int(last) + 1, size)
    return Part(start, end) if start < end else Outcome.UNSATISFIABLE
