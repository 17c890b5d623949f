"""Forms that restkit.server reads, whole and in parts, compared with python-multipart and urllib.

An input is the body of a multipart form with the boundary X, or U, a space and an urlencoded form.
"""

from __future__ import annotations

import io
import logging
import urllib.parse
from typing import NamedTuple

import python_multipart.exceptions

from fuzz.target import Target, compare, make_random, split_at_random
from restkit.errors import BodyTooLarge, DecodingError
from restkit.server.forms import parse_form
from support.differences.forms import DIFFERENCES
from support.form_parsers import ParsedPart, SplitFile, parse_with_python_multipart

logging.getLogger("python_multipart").setLevel(logging.CRITICAL)  # it logs each fault

_MULTIPART = "multipart/form-data; boundary=X"
_URLENCODED = "application/x-www-form-urlencoded"


class Outcome(NamedTuple):
    """The result of one parser: the fields, then the files, or an error."""

    fault: str = ""
    parts: tuple[ParsedPart, ...] = ()


def parse_by_restkit(content_type: str, parts: list[bytes]) -> Outcome:
    try:
        # A read of a request's body is short only at its end, or after 64 KiB.
        whole = io.BytesIO(b"".join(parts))
        form = parse_form(whole if content_type == _URLENCODED else SplitFile(parts), content_type)
    except (BodyTooLarge, DecodingError) as exc:
        return Outcome(str(exc))
    fields = [ParsedPart(name, None, text.encode()) for name, text in form.fields]
    files = [ParsedPart(name, file.filename, file.read()) for name, file in form.files]
    return Outcome("", (*fields, *files))


def parse_by_python_multipart(body: bytes) -> Outcome:
    try:
        found = parse_with_python_multipart(_MULTIPART, body)
    except (python_multipart.exceptions.FormParserError, UnicodeDecodeError) as exc:
        return Outcome(f"{type(exc).__name__}: {exc}")
    return Outcome("", tuple(sorted(found, key=lambda part: part.file_name is not None)))


def parse_by_urllib(body: bytes) -> Outcome:
    try:
        pairs = urllib.parse.parse_qsl(body.decode(), keep_blank_values=True, errors="strict")
    except UnicodeDecodeError as exc:
        return Outcome(str(exc))
    return Outcome("", tuple(ParsedPart(name, None, value.encode()) for name, value in pairs))


def check(data: bytes) -> None:
    """Read the form of an input."""
    is_urlencoded = data.startswith(b"U ")
    body = data[2:] if is_urlencoded else data
    content_type = _URLENCODED if is_urlencoded else _MULTIPART
    ours = parse_by_restkit(content_type, [body])
    split = parse_by_restkit(content_type, split_at_random(body, make_random(data)))
    compare(DIFFERENCES, body, "in-parts", ours, split)
    if is_urlencoded:
        compare(DIFFERENCES, body, "urllib", ours, parse_by_urllib(body))
    else:
        compare(DIFFERENCES, body, "python-multipart", ours, parse_by_python_multipart(body))


_FIELD = b'--X\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n'
_FILE = (
    b'--X\r\nContent-Disposition: form-data; name="b"; filename="c.txt"\r\n'
    b"Content-Type: text/plain\r\n\r\nbytes\r\n"
)
TARGET = Target(
    check,
    seeds=[
        *(_FIELD + b"--X--\r\n", _FIELD + _FILE + b"--X--\r\n", _FILE * 2 + b"--X--"),
        *(b"--X--\r\n", b"", b"preamble\r\n" + _FIELD + b"--X--\r\nepilogue"),
        *(_FIELD.replace(b"\r\n", b"\n") + b"--X--\n", _FIELD[:-4]),
        *(b"U a=1&b=2", b"U a=%C3%BC&=&b&&c+d=e+f%2B", b"U a=%zz&%"),
    ],
    words=[
        *(b"--X", b"--X--", b"\r\n", b"\r\n--X\r\n", b"Content-Disposition: form-data; ", b"\n"),
        *(b'name="', b'; filename="', b"filename*=UTF-8''", b"%22", b"\\", b'"', b"&", b"=", b"+"),
        b"Content-Transfer-Encoding: base64\r\n",
    ],
    max_length=600,
)
