"""Parse forms.

The fields and files of a form that was sent: urlencoded, or multipart by PyPI's ``multipart``.

Nothing of a file is held in memory beyond the first MiB of its spool; the text of all fields
together is bounded, and so is the number of parts: each costs more than its bytes.
"""

from __future__ import annotations

import io
import os
from shutil import copyfileobj
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import unquote_to_bytes

from restkit.body.body import Body
from restkit.body.files import BodyFile
from restkit.errors import BodyTooLarge, DecodingError
from restkit.io.files import replace_file
from restkit.io.spool import Spool

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import IO

    from multipart import MultipartSegment, PushMultipartParser


MAX_TEXT = 8 * 1024 * 1024
MAX_PARTS = 10_000

_BLOCK = 256 * 1024
_URLENCODED = "application/x-www-form-urlencoded"
_MULTIPART = "multipart/form-data"


class UploadedFile:
    """A file of a form: its names as the client gave them, and its bytes, to be read again.

    What is on disk, as the larger ones are, raises AlreadyRead once the request is over.

    ``filename`` is whatever the client says: it may hold slashes, and is no path.
    """

    def __init__(self, name: str, filename: str, content_type: str, spool: Spool) -> None:
        self.name = name
        self.filename = filename
        self.content_type = content_type
        self.size = spool.size
        # Once it is closed a body says so, where a spool would give no bytes.
        self._body = Body(spool, None)

    @property
    def file(self) -> BodyFile:
        """A new binary file over it, at its beginning."""
        return BodyFile(self._body)

    def read(self) -> bytes:
        """All of it at once."""
        return self._body.content()

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write it to a path, whole or not at all, over what is there."""
        with replace_file(os.fsdecode(path)) as raw, io.BufferedWriter(raw) as target:
            copyfileobj(self.file, target, _BLOCK)

    def close(self) -> None:
        """Let go of its bytes; the end of the request does so by itself."""
        self._body.close()

    def __repr__(self) -> str:
        return f"<UploadedFile {self.name!r}: {self.filename!r}, {self.size} bytes>"


class Form(NamedTuple):
    """What a form holds, in its order."""

    fields: list[tuple[str, str]]
    files: list[tuple[str, UploadedFile]]


def parse_form(source: IO[bytes], content_type: str) -> Form:
    """The form that a body is; of any other content type, one without fields.

    Raises DecodingError for what is no such form, BodyTooLarge for more text or more parts than
    are taken.
    """
    kind = content_type.partition(";")[0].strip().lower()
    if kind == _URLENCODED:
        return Form(_urlencoded(source), [])
    if kind == _MULTIPART:
        return _multipart(source, content_type)
    return Form([], [])


def _urlencoded(source: IO[bytes]) -> list[tuple[str, str]]:
    text = source.read(MAX_TEXT + 1)
    _check_text(len(text))
    if text.count(b"&") >= MAX_PARTS:  # before it is taken apart: "a&a&a" swells fortyfold
        raise BodyTooLarge(f"the form has more than {MAX_PARTS} fields")
    pairs = [pair.partition(b"=") for pair in text.replace(b"+", b" ").split(b"&") if pair]
    return [
        (_text(unquote_to_bytes(name), "a field's name"), _text(unquote_to_bytes(value), "a field"))
        for name, _, value in pairs
    ]


def _multipart(source: IO[bytes], content_type: str) -> Form:
    # Only who is sent a form needs the package: it is one of the extra restkit[server].
    import multipart

    boundary = multipart.parse_options_header(content_type)[1].get("boundary")
    if not boundary:
        raise DecodingError("the multipart form's Content-Type names no boundary")
    form = _Collected()
    try:
        with multipart.PushMultipartParser(boundary, max_segment_count=MAX_PARTS) as parser:
            for item in _items(parser, source):
                form.take(item)
    except multipart.MultipartError as exc:
        form.close()
        raise _fault(exc) from exc
    except BaseException:
        form.close()
        raise
    return Form(form.fields, form.files)


def _items(
    parser: PushMultipartParser, source: IO[bytes]
) -> Iterator[MultipartSegment | bytes | bytearray | None]:
    """What the parser makes of it: a part's head, pieces of it, and None behind each part."""
    while not parser.closed:
        piece = source.read(_BLOCK)
        yield from parser.parse(piece)
        if not piece:
            return


class _Collected:
    """The parts as they come."""

    def __init__(self) -> None:
        self.fields: list[tuple[str, str]] = []
        self.files: list[tuple[str, UploadedFile]] = []
        self._text_size = 0
        self._head: MultipartSegment | None = None
        self._spool = Spool()

    def take(self, item: MultipartSegment | bytes | bytearray | None) -> None:
        if item is None:
            self._end()
        elif isinstance(item, (bytes, bytearray)):
            self._piece(item)
        else:
            self._head, self._spool = item, Spool()

    def _piece(self, piece: bytes | bytearray) -> None:
        if self._head is not None and self._head.filename is None:
            self._text_size += len(piece)
            _check_text(self._text_size)
        self._spool.append(piece)

    def _end(self) -> None:
        head, spool = self._head, self._spool
        if head is None:
            return
        name = head.name or ""
        if head.filename is None:
            self.fields.append((name, _text(spool.read_at(0, spool.size), f"the field {name!r}")))
            spool.close()
        else:
            content_type = head.header("Content-Type") or "application/octet-stream"
            self.files.append((name, UploadedFile(name, head.filename, content_type, spool)))
        self._head = None

    def close(self) -> None:
        self._spool.close()
        for _, file in self.files:
            file.close()


def _fault(exc: Exception) -> DecodingError | BodyTooLarge:
    import multipart

    why = exc.args[0] if exc.args else type(exc).__name__  # what follows is for programs
    if isinstance(exc, multipart.ParserLimitReached):
        return BodyTooLarge(f"the multipart form: {why}")
    return DecodingError(f"the multipart form cannot be read: {why}")


def _text(data: bytes, where: str) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as exc:
        raise DecodingError(f"{where} of the form is not UTF-8 at {exc.start}") from exc


def _check_text(size: int) -> None:
    if size > MAX_TEXT:
        raise BodyTooLarge(f"the text of the form's fields is more than {MAX_TEXT} bytes")
