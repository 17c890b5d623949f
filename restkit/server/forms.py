"""Parse the forms of requests: urlencoded, or multipart by the package ``multipart``.

All files of a form share one spool: they are in memory up to 1 MiB together, and then in one
temporary file. The bytes of all files together are limited, and the text of all fields. So is the
number of parts, because each needs more memory than its bytes.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from functools import partial
from types import ModuleType
from typing import IO, TYPE_CHECKING, Any, NamedTuple, cast
from urllib.parse import unquote_to_bytes

from restkit.body.body import Body
from restkit.body.files import BodyFile
from restkit.errors import BodyTooLarge, DecodingError
from restkit.io.files import CHUNK_SIZE, replace_file, write_all
from restkit.io.spool import Spool, SpoolPart

if TYPE_CHECKING:
    # Beside python-multipart, pyright finds only the package of the same name in it.
    from multipart import (
        MultipartSegment,  # pyright: ignore[reportAttributeAccessIssue]
        PushMultipartParser,  # pyright: ignore[reportAttributeAccessIssue]
    )


MAX_TEXT = 8 * 1024 * 1024
MAX_PARTS = 10_000
MAX_FILES_SIZE = 10 * 1024**3
"""The bytes of all files of a form, if the body has no limit."""

_LINE_END = re.compile("[\0\r\n]")
_URLENCODED = "application/x-www-form-urlencoded"
_MULTIPART = "multipart/form-data"


class UploadedFile:
    """A file of a form: its name, type and size, and its bytes, which can be read repeatedly.

    ``filename`` is sent by the client: it may contain slashes, so do not use it as a path. After
    the end of the request, reading raises AlreadyRead if the files of the form were on disk.
    """

    def __init__(self, name: str, filename: str, content_type: str, spool: SpoolPart) -> None:
        self.name = name
        self.filename = filename
        self.content_type = content_type
        self.size = spool.size
        # A closed Body raises; a closed Spool would return no bytes.
        self._body = Body(spool, None)

    @property
    def file(self) -> BodyFile:
        """A new binary file over the bytes, at their start."""
        return BodyFile(self._body)

    def read(self) -> bytes:
        """Return the whole content."""
        return self._body.read_all()

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the file to a path, replacing an older one atomically."""
        with replace_file(os.fsdecode(path)) as target:
            for chunk in iter(partial(self.file.read, CHUNK_SIZE), b""):
                write_all(target, chunk)

    def close(self) -> None:
        """End reading; called automatically at the end of the request, which frees the bytes."""
        self._body.close_with_file()

    def __repr__(self) -> str:
        return f"<UploadedFile {self.name!r}: {self.filename!r}, {self.size} bytes>"


class Form(NamedTuple):
    """The fields and files of a form, in order; ``spool`` has the bytes of the files."""

    fields: list[tuple[str, str]]
    files: list[tuple[str, UploadedFile]]
    spool: Spool | None = None

    def close(self) -> None:
        """Close the files and their spool; files in memory stay readable. Idempotent."""
        for _, file in self.files:
            file.close()
        if self.spool is not None and not self.spool.in_memory:
            self.spool.close()


def parse_form(source: IO[bytes], content_type: str, max_size: int = MAX_FILES_SIZE) -> Form:
    """Parse a form; a body of any other content type has no fields.

    Raises DecodingError for a malformed form, BodyTooLarge for too much text, too many parts, or
    files of more than ``max_size`` bytes together.

    >>> import io
    >>> parse_form(io.BytesIO(b'a=1&b=2'), 'application/x-www-form-urlencoded').fields
    [('a', '1'), ('b', '2')]
    """
    kind = content_type.partition(";")[0].strip().lower()
    if kind == _URLENCODED:
        return Form(_parse_urlencoded(source), [])
    if kind == _MULTIPART:
        return _parse_multipart(source, content_type, max_size)
    return Form([], [])


def _parse_urlencoded(source: IO[bytes]) -> list[tuple[str, str]]:
    text = source.read(MAX_TEXT + 1)
    _check_text_size(len(text))
    if text.count(b"&") >= MAX_PARTS:  # before it is split, which takes 40 times the memory
        raise BodyTooLarge(f"the form has more than {MAX_PARTS} fields")
    pairs = [pair.partition(b"=") for pair in text.replace(b"+", b" ").split(b"&") if pair]
    return [
        (
            _decode(unquote_to_bytes(name), "a field name"),
            _decode(unquote_to_bytes(value), "a field"),
        )
        for name, _, value in pairs
    ]


def _import_multipart() -> ModuleType:
    """Import the package ``multipart`` of the extra restkit[server], for multipart forms only."""
    try:
        import multipart
    except ModuleNotFoundError as exc:
        raise ModuleNotFoundError(
            "multipart/form-data is parsed by the package multipart, which is not installed: "
            "pip install 'restkit[server]'",
            name=exc.name,
        ) from exc
    return cast("ModuleType", multipart)


def _parse_multipart(source: IO[bytes], content_type: str, max_size: int) -> Form:
    multipart = _import_multipart()
    boundary = multipart.parse_options_header(content_type)[1].get("boundary")
    if not boundary:
        raise DecodingError("the Content-Type of the multipart form has no boundary")
    form = _FormBuilder(max_size)
    try:
        with multipart.PushMultipartParser(boundary, max_segment_count=MAX_PARTS) as parser:
            for item in _parse_items(parser, source):
                form.add(item)
    except multipart.MultipartError as exc:
        form.close()
        raise _form_error(exc) from exc
    except BaseException:
        form.close()
        raise
    return form.build()


def _parse_items(
    parser: PushMultipartParser, source: IO[bytes]
) -> Iterator[MultipartSegment | bytes | bytearray | None]:
    """Yield the head of each part, its chunks, and None at its end."""
    while not parser.closed:
        chunk = source.read(CHUNK_SIZE)
        yield from parser.parse(chunk)
        if not chunk:
            return


class _FormBuilder:
    """Builds a form from the items of a multipart parser; ``max_size`` limits all its files."""

    def __init__(self, max_size: int) -> None:
        self._max_size = max_size
        self._fields: list[tuple[str, str]] = []
        self._files: list[tuple[str, UploadedFile]] = []
        self._spool = Spool()
        self._text_size = 0
        self._head: MultipartSegment | None = None
        self._text = bytearray()  # of the current part, if it is a field
        self._file = SpoolPart(self._spool)  # of the current part, if it is a file

    def add(self, item: MultipartSegment | bytes | bytearray | None) -> None:
        if item is None:
            self._end_part()
        elif isinstance(item, (bytes, bytearray)):
            self._add_chunk(item)
        else:
            _check_head(item)
            self._head, self._text, self._file = item, bytearray(), SpoolPart(self._spool)

    def _add_chunk(self, chunk: bytes | bytearray) -> None:
        if self._head is not None and self._head.filename is None:
            self._text_size += len(chunk)
            _check_text_size(self._text_size)
            self._text += chunk
        else:
            if self._spool.size + len(chunk) > self._max_size:
                raise BodyTooLarge(
                    f"the files of the form have more than {self._max_size} bytes together"
                )
            self._file.append(chunk)

    def _end_part(self) -> None:
        head = self._head
        if head is None:
            return
        name = head.name or ""
        if head.filename is None:
            self._fields.append((name, _decode(self._text, f"the field {name!r}")))
        else:
            content_type = head.header("Content-Type") or "application/octet-stream"
            file = UploadedFile(name, head.filename, content_type, self._file)
            self._files.append((name, file))
        self._head = None

    def build(self) -> Form:
        return Form(self._fields, self._files, self._spool if self._files else None)

    def close(self) -> None:
        self._spool.close()


def _check_head(head: MultipartSegment) -> None:
    """Raise DecodingError for a line end or NUL in a field: some programs end the field there."""
    for name, value in head.headerlist:
        fault = _LINE_END.search(value)
        if fault:
            raise DecodingError(
                f"the multipart form cannot be parsed: the field {name} of a part has {fault[0]!a}"
            )


def _form_error(exc: Exception) -> DecodingError | BodyTooLarge:
    import multipart

    reason = exc.args[0] if exc.args else type(exc).__name__  # later arguments are for programs
    limit: Any = multipart.ParserLimitReached  # pyright: ignore[reportAttributeAccessIssue]
    if isinstance(exc, limit):
        return BodyTooLarge(f"the multipart form is too large: {reason}")
    return DecodingError(f"the multipart form cannot be parsed: {reason}")


def _decode(data: bytes | bytearray, name: str) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as exc:
        raise DecodingError(f"{name} of the form is not UTF-8 at byte {exc.start}") from exc


def _check_text_size(size: int) -> None:
    if size > MAX_TEXT:
        raise BodyTooLarge(f"the text fields of the form have more than {MAX_TEXT} bytes")
