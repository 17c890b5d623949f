"""Other parsers of multipart/form-data: three programs that read what restkit writes."""

from __future__ import annotations

import email
import io
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import multipart
import python_multipart


class ParsedPart(NamedTuple):
    """A part from a parser; a value that the parser does not give is None."""

    name: str
    file_name: str | None
    data: bytes


def parse_with_multipart(content_type: str, body: bytes) -> list[ParsedPart]:
    """Use multipart from PyPI, which knows the quoting of browsers and is strict otherwise."""
    _, options = multipart.parse_options_header(content_type)
    parser = multipart.MultipartParser(io.BytesIO(body), options["boundary"], strict=True)
    return [ParsedPart(part.name, part.filename, part.raw) for part in parser]


def parse_with_python_multipart(content_type: str, body: bytes) -> list[ParsedPart]:
    """Use python-multipart from PyPI, which decodes a Content-Transfer-Encoding."""
    found: list[ParsedPart] = []
    files: list[Any] = []

    def on_field(got: Any) -> None:
        found.append(ParsedPart(got.field_name.decode(), None, got.value or b""))

    def on_file(got: Any) -> None:
        files.append(got)  # older versions still write to it
        got.file_object.seek(0)
        found.append(
            ParsedPart(got.field_name.decode(), got.file_name.decode(), got.file_object.read())
        )

    headers = {"Content-Type": content_type.encode()}
    python_multipart.parse_form(headers, io.BytesIO(body), on_field, on_file)
    for got in files:
        got.close()
    return found


def parse_with_email(content_type: str, body: bytes) -> list[ParsedPart]:
    """Use email of the standard library, which does not decode names."""
    text = f"Content-Type: {content_type}\r\n\r\n{body.decode('latin-1')}"
    parts: Any = email.message_from_string(text).get_payload()
    return [
        ParsedPart(
            _decode_utf_8(part.get_param("name", header="content-disposition")) or "",
            _decode_utf_8(part.get_param("filename", header="content-disposition")),
            part.get_payload().encode("latin-1"),
        )
        for part in parts
    ]


def _decode_utf_8(name: Any) -> str | None:
    return None if name is None else name.encode("latin-1").decode()


PARSERS: dict[str, Callable[[str, bytes], list[ParsedPart]]] = {
    "multipart": parse_with_multipart,
    "python-multipart": parse_with_python_multipart,
    "email": parse_with_email,
}


class SplitFile(io.BytesIO):
    """A file whose reads return these parts, one at a time."""

    def __init__(self, parts: Iterable[bytes]) -> None:
        super().__init__()
        self._parts = [part for part in parts if part]

    def read(self, size: int | None = -1) -> bytes:
        if not self._parts:
            return b""
        part = self._parts.pop(0)
        if size is not None and 0 <= size < len(part):
            self._parts.insert(0, part[size:])
            part = part[:size]
        return part
