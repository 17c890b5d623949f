"""Receive uploads into a directory.

An App that takes files: each is decoded, hashed and written while it arrives.

A body is held to what its request says of it (framing, content codings, digests) before the file is
in place. What the head shows to be impossible is refused before the body is asked for, so that a
client that waits for 100 Continue sends nothing in vain.
"""

from __future__ import annotations

import hashlib
import logging
import os
from contextlib import contextmanager
from errno import EDQUOT, EEXIST, EFBIG, EISDIR, ENAMETOOLONG, ENOSPC
from typing import TYPE_CHECKING, NamedTuple

from restkit.content_encoding.decoding import DecodedSource
from restkit.errors import IntegrityError
from restkit.server.app import App
from restkit.server.exceptions import HTTPError, InvalidUsage, LengthRequired, PayloadTooLarge
from restkit.server.request_stream import check_digests, declared_length, has_body, parse_known
from restkit.server.response import text
from restkit.server.uploads import (
    UnusableName,
    Upload,
    name_in_field,
    name_in_path,
    remove_abandoned,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from restkit.headers import Headers
    from restkit.io.buffers import Source
    from restkit.server.request import Request
    from restkit.server.responses import Response


_logger = logging.getLogger("restkit.server")

_METHODS = ("PUT", "POST")
_REFUSALS = {
    ENOSPC: 507,
    EDQUOT: 507,
    EFBIG: 507,
    EISDIR: 409,
    EEXIST: 412,
    ENAMETOOLONG: 400,
}


def receive(
    directory: str | os.PathLike[str], *, max_size: int | None = None, fsync: bool = False
) -> App:
    """An App that keeps what is sent to it by PUT or POST as files in a directory.

    Any path will do. A file is called what ``X-Filename`` says, or else by the last part of the
    path; folders in either are left out. ``Content-Encoding`` is taken off, and a file that has
    more than ``max_size`` bytes without it is refused. Once the file is in place the answer is 201
    ``OK``, with its SHA-256 as ``X-SHA-256``. Until then there is only a hidden ``.part`` beside
    it, which is removed when anything goes wrong. An older file of that name is replaced,
    unless the request says ``If-None-Match: *``. With ``fsync`` a file is on the disk before it is
    answered for.

    The directory is made, with its parents, if it is not there. What a killed process has left in
    it, and nobody has written to for a day, is removed.
    """
    folder = os.path.abspath(os.fsdecode(directory))
    os.makedirs(folder, exist_ok=True)
    remove_abandoned(folder)
    app = App("receiver")
    receiver = Receiver(folder, max_size, fsync)
    app.add_route(receiver.take, "/<path:.*>", methods=_METHODS, stream=True)
    return app


class Receiver(NamedTuple):
    """Where files go, and how large they may be."""

    directory: str
    max_size: int | None
    fsync: bool

    def take(self, request: Request, path: str) -> Response:  # noqa: ARG002  # of its route
        """Receive one file: the handler of a route with ``stream=True``."""
        assert request.stream is not None
        name = _name_for(request)
        codings = parse_known(request.headers.get_all("content-encoding"))
        checked = check_digests(request.stream, request.headers)
        source = DecodedSource(checked, codings) if codings else checked
        with _refusals():
            self._refuse_what_cannot_be(request, codings)
            self._refuse_by_what_is_there(request.headers, name)
            new = request.headers.get("if-none-match") == "*"
            with Upload(self.directory, name, new=new, fsync=self.fsync) as upload:
                digest = self._take_all(source, upload)
        _logger.info("received %r, %d bytes", name, upload.size)
        return text("OK\n", 201, {"X-SHA-256": digest}, content_type="text/plain")

    def _refuse_what_cannot_be(self, request: Request, codings: Sequence[str]) -> None:
        if "content-range" in request.headers:
            # RFC 9110 14.5: a part may not be taken for the whole.
            raise InvalidUsage("a part of a file (Content-Range) is not taken, only a whole one")
        if not has_body(request.environ):
            raise LengthRequired("a Content-Length, or chunks, must say where the file ends")
        length = declared_length(request.environ)
        if length is not None and not codings:
            self._refuse_more_than_limit(length)

    def _refuse_more_than_limit(self, size: int) -> None:
        if self.max_size is not None and size > self.max_size:
            raise PayloadTooLarge(
                f"the file has more than the {self.max_size} bytes that are taken"
            )

    def _refuse_by_what_is_there(self, headers: Headers, name: str) -> None:
        target = os.path.join(self.directory, name)
        if os.path.isdir(target) and not os.path.islink(target):
            raise IsADirectoryError(EISDIR, os.strerror(EISDIR), target)
        there = os.path.lexists(target)
        # RFC 9110 13.1; files here have no entity tags that a condition could name.
        if "if-match" in headers and not (there and headers["if-match"] == "*"):
            raise HTTPError(412, "there is no file that If-Match could mean")
        if there and headers.get("if-none-match") == "*":
            raise FileExistsError(EEXIST, os.strerror(EEXIST), target)

    def _take_all(self, source: Source, upload: Upload) -> str:
        """Write the file, and move it in place when all of it was right; its SHA-256."""
        hashed = hashlib.sha256()
        while piece := source.read_piece():
            self._refuse_more_than_limit(upload.size + len(piece))
            hashed.update(piece)
            upload.write(piece)
        upload.finish()
        return hashed.hexdigest()


def _name_for(request: Request) -> str:
    field = request.headers.get("x-filename")
    try:
        if field is None:
            return name_in_path(request.environ["PATH_INFO"])
        return name_in_field(field)
    except UnusableName as exc:
        raise InvalidUsage(str(exc)) from exc


@contextmanager
def _refusals() -> Iterator[None]:
    """What the body turns out to be, or the file system refuses, as the answer that says so."""
    try:
        yield
    except IntegrityError as exc:
        raise InvalidUsage(exc.message) from exc
    except OSError as exc:
        if exc.errno not in _REFUSALS:
            raise
        why = f"the file cannot be kept: {os.strerror(exc.errno)}"
        raise HTTPError(_REFUSALS[exc.errno], why) from exc
