"""Receive uploads into a directory: decode, hash and write each file while it arrives.

A body is checked against its head (framing, content codings, digests) before the file is moved
in place. A request with an unacceptable head is rejected before the body is read, so that a client
that waits for 100 Continue does not send the body.
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from errno import EEXIST, EISDIR, ENAMETOOLONG
from typing import NamedTuple

from restkit.content_digest.checking import CheckedSource, make_check
from restkit.content_encoding.decoding import CODED_OVERHEAD, DecodedSource
from restkit.errors import IntegrityError
from restkit.headers import Headers
from restkit.server.app import App
from restkit.server.environ import has_body, read_content_length
from restkit.server.exceptions import HTTPError, InvalidUsage, LengthRequired, PayloadTooLarge
from restkit.server.request import Request
from restkit.server.request_stream import RequestStream, parse_supported_codings
from restkit.server.response import text
from restkit.server.responses import Response
from restkit.server.storage import STORAGE_FULL
from restkit.server.uploads import (
    UnusableName,
    Upload,
    name_from_header,
    name_from_path,
    remove_abandoned,
)

_logger = logging.getLogger("restkit.server")

_METHODS = ("PUT", "POST")
_ERROR_STATUSES = {
    **dict.fromkeys(STORAGE_FULL, 507),
    EISDIR: 409,
    EEXIST: 412,
    ENAMETOOLONG: 400,
}


MAX_SIZE = 10 * 1024**3
MAX_RATIO = 200.0  # as DeflateInflateRatioLimit of Apache httpd
_UNCHECKED_SIZE = 16 * 1024**2


def receive(
    directory: str | os.PathLike[str],
    *,
    max_size: int | None = MAX_SIZE,
    max_ratio: float | None = MAX_RATIO,
    fsync: bool = False,
) -> App:
    """Return an App that stores uploads, sent by PUT or POST to any path, in a directory.

    A file is named by ``X-Filename``, or by the last segment of the path; folders in either are
    removed. ``Content-Encoding`` is decoded. A file of more than ``max_size`` decoded bytes is
    rejected. So is one that has, after its first 16 MiB, more than ``max_ratio`` times the bytes
    that were received for it. None removes a limit. When the file is in place the response is 201
    ``OK``, with its SHA-256 as ``X-SHA-256``. Until then there is only a hidden ``.part`` file in
    the directory, which is removed if anything fails. An older file of that name is replaced,
    unless the request has ``If-None-Match: *``. With ``fsync`` a file is on the disk before the
    response is sent.

    The directory is created, with its parents. Files left in it by a killed process, which nobody
    has written to for a day, are removed. Raises ValueError for an invalid limit.

    >>> app = receive('received_files', max_size=100 * 2**20)  # doctest: +SKIP
    >>> app.run(port=8000)                                     # doctest: +SKIP
    """
    _check_limits(max_size, max_ratio)
    folder = os.path.abspath(os.fsdecode(directory))
    os.makedirs(folder, exist_ok=True)
    remove_abandoned(folder)
    app = App("receiver")
    receiver = Receiver(folder, max_size, max_ratio, fsync)
    app.add_route(receiver.receive_file, "/<path:.*>", methods=_METHODS, stream=True)
    return app


def _check_limits(max_size: object, max_ratio: object) -> None:
    if max_size is not None and not (isinstance(max_size, int) and max_size >= 0):
        raise ValueError(f"max_size must be a number of bytes, or None; got {max_size!r}")
    if max_ratio is not None and not (isinstance(max_ratio, int | float) and max_ratio >= 1):
        raise ValueError(f"max_ratio must be a number of at least 1, or None; got {max_ratio!r}")


class Receiver(NamedTuple):
    """A directory for uploads, and their limits."""

    directory: str
    max_size: int | None
    max_ratio: float | None
    fsync: bool

    def receive_file(self, request: Request, path: str) -> Response:  # noqa: ARG002  # of its route
        """Receive one file; the handler of a route with ``stream=True``."""
        assert request.stream is not None
        name = _read_name(request)
        codings = parse_supported_codings(request.headers.get_all("content-encoding"))
        checked = _check_digests(request.stream, request.headers)
        source = DecodedSource(checked, codings) if codings else checked
        with _http_errors():
            self._check_head(request, codings)
            self._check_target(request.headers, name)
            new = request.headers.get("if-none-match") == "*"
            with Upload(self.directory, name, new=new, fsync=self.fsync) as upload:
                digest = self._write_file(source, upload, request.stream if codings else None)
        _logger.info("received %r, %d bytes", name, upload.size)
        return text("OK\n", 201, {"X-SHA-256": digest}, content_type="text/plain")

    def _check_head(self, request: Request, codings: Sequence[str]) -> None:
        if "content-range" in request.headers:
            # RFC 9110 14.5: a part must not be stored as the whole.
            raise InvalidUsage("Content-Range is not supported: send the whole file")
        if not has_body(request.environ):
            raise LengthRequired("the request has no body: send a Content-Length, or chunks")
        length = read_content_length(request.environ)
        if length is not None:
            self._check_size(length - CODED_OVERHEAD if codings else length)

    def _check_size(self, size: int) -> None:
        if self.max_size is not None and size > self.max_size:
            raise PayloadTooLarge(f"the file is larger than the limit of {self.max_size} bytes")

    def _check_target(self, headers: Headers, name: str) -> None:
        target = os.path.join(self.directory, name)
        if os.path.isdir(target) and not os.path.islink(target):
            raise IsADirectoryError(EISDIR, os.strerror(EISDIR), target)
        exists = os.path.lexists(target)
        # RFC 9110 13.1; files here have no entity tags, so a condition can only be "*".
        if "if-match" in headers and not (exists and headers["if-match"] == "*"):
            raise HTTPError(412, "no file matches If-Match")
        if exists and headers.get("if-none-match") == "*":
            raise FileExistsError(EEXIST, os.strerror(EEXIST), target)

    def _check_ratio(self, size: int, received: int) -> None:
        if self.max_ratio is None or size <= max(_UNCHECKED_SIZE, self.max_ratio * received):
            return
        raise PayloadTooLarge(
            f"the decoded file has {size} bytes after {received} received bytes; at most "
            f"{self.max_ratio:g} times as many are allowed after the first {_UNCHECKED_SIZE}"
        )

    def _write_file(
        self,
        source: RequestStream | CheckedSource | DecodedSource,
        upload: Upload,
        encoded: RequestStream | None,
    ) -> str:
        """Write the file, and move it in place after all checks; return its SHA-256."""
        hashed = hashlib.sha256()
        while chunk := source.read_chunk():
            self._check_size(upload.size + len(chunk))
            if encoded is not None:
                self._check_ratio(upload.size + len(chunk), encoded.received)
            hashed.update(chunk)
            upload.write(chunk)
        upload.finish()
        return hashed.hexdigest()


def _read_name(request: Request) -> str:
    field = request.headers.get("x-filename")
    try:
        if field is None:
            return name_from_path(request.environ["PATH_INFO"])
        return name_from_header(field)
    except UnusableName as exc:
        raise InvalidUsage(str(exc)) from exc


def _check_digests(stream: RequestStream, headers: Headers) -> RequestStream | CheckedSource:
    """Return the stream, checked against the digests in its head or trailers (RFC 9530).

    Both fields cover the bytes as sent, with their content codings: the representation in a PUT or
    POST is all of its content, including its Content-Encoding (sections 2 and 3).
    Malformed fields and unknown algorithms are ignored, and so are trailers that no ``Trailer``
    field has announced.
    """
    check = make_check(("Content-Digest", "Repr-Digest"), headers)
    return stream if check is None else CheckedSource(stream, check, stream)


@contextmanager
def _http_errors() -> Iterator[None]:
    """Convert a wrong digest, and errors of the file system, to HTTP errors."""
    try:
        yield
    except IntegrityError as exc:
        raise InvalidUsage(exc.message) from exc
    except OSError as exc:
        if exc.errno not in _ERROR_STATUSES:
            raise
        reason = f"the file cannot be stored: {os.strerror(exc.errno)}"
        raise HTTPError(_ERROR_STATUSES[exc.errno], reason) from exc
