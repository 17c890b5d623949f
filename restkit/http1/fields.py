"""Parse and check header fields."""

from __future__ import annotations

import re
from typing import TypeAlias

from restkit.errors import ParserError
from restkit.headers import Headers

Pairs: TypeAlias = "list[tuple[str, str]]"

# The bounds of request heads and trailers; those of response heads are in response_head.py.
MAX_HEAD = 64 * 1024
MAX_FIELDS = 256

TOKEN_CHAR = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]"
_VALUE = rb"[^\r\n\0]*"
FIELD_LINE = rb"%b+:[^\0-\x08\n-\x1f\x7f]*\r\n" % TOKEN_CHAR
"""One field of a request: not folded, and without control characters except HTAB."""


def field_lines(line_end: bytes) -> bytes:
    """Return an expression for any number of fields, also folded ones, with this line end."""
    line = _VALUE + line_end
    return rb"(?:%b+:%b(?:[ \t]%b)*)*" % (TOKEN_CHAR, line, line)


_FIELDS = re.compile(field_lines(rb"\r\n") + rb"\r\n")
_STRICT_FIELDS = re.compile(rb"(?:%b)*\r\n" % FIELD_LINE)
_FIELD = re.compile(rb"(" + TOKEN_CHAR + rb"+):([^\r\n]*(?:\r\n[ \t][^\r\n]*)*)\r\n")
_NAME = re.compile(TOKEN_CHAR + rb"+")
_BEFORE_VALUE = re.compile(rb"[^ \t:]*[ \t]?:?")
_CONTROL = re.compile(rb"[\r\n\0]")
_ANY_CONTROL = re.compile(rb"[\0-\x08\n-\x1f\x7f]")
_LENGTH = re.compile("[0-9]{1,19}")


class Head:
    r"""The header fields of a request or a response, parsed when they are first read.

    ``minor`` is the second digit of the HTTP version, 0 or 1. ``lowered`` holds the field lines in
    lower case, from the CRLF before the first one on. ``must_close`` is True if the connection
    closes after this message, whatever its fields say.
    """

    __slots__ = ("_fields", "_headers", "lowered", "minor", "must_close")
    # Subclasses set these themselves: a call of super().__init__() for each head costs time.
    minor: int
    lowered: bytes
    must_close: bool
    _fields: bytes
    _headers: Headers | None

    def has(self, field: bytes) -> bool:
        r"""Return whether a field is present; ``field`` is written as ``b"\r\nname:"``. Cheap."""
        # find() is faster than ``in``, which first tries to convert the bytes to a number.
        return self.lowered.find(field) >= 0

    @property
    def headers(self) -> Headers:
        """The fields. One object, made at the first access."""
        if self._headers is None:
            self._headers = Headers.from_trusted(split_fields(self._fields))
        return self._headers


def parse_trailers(data: bytes, *, strict: bool = False) -> tuple[Pairs, int] | None:
    r"""Return the trailer fields that ``data`` begins with and their end, or None for more data.

    The rules and bounds are those of the fields of a head, with ``strict`` of the head of a
    request; the last line is empty.

    >>> parse_trailers(b'Expires: 0\r\n\r\n')
    ([('Expires', '0')], 14)
    """
    if data.startswith(b"\r\n"):
        return [], 2
    is_complete = data.find(b"\r\n\r\n", 0, MAX_HEAD) >= 0
    fields = _STRICT_FIELDS if strict else _FIELDS
    match = fields.match(data, 0, MAX_HEAD) if is_complete else None
    if match is None:
        beginning = data[: MAX_HEAD + 1]
        _check_trailer_count(
            check_fields(beginning, first_line=1, where="the trailers", strict=strict)
        )
        if len(data) > MAX_HEAD:
            raise ParserError(f"the trailers are longer than {MAX_HEAD} bytes")
        return None
    _check_trailer_count(match[0].count(b"\n") - 1)
    return split_fields(match[0]), match.end()


def parse_length(value: str) -> int | None:
    """Return the number in a Content-Length, or None unless it is 1 to 19 digits.

    >>> parse_length('120'), parse_length('+120')
    (120, None)
    """
    return int(value) if _LENGTH.fullmatch(value) else None


def split_fields(fields: bytes) -> Pairs:
    """Return the fields of a section that was checked before."""
    return [
        (name.decode("latin-1"), _unfold(value).decode("latin-1"))
        for name, value in _FIELD.findall(fields)
    ]


def _unfold(value: bytes) -> bytes:
    if b"\r" in value:
        value = b" ".join([line.strip(b" \t") for line in value.split(b"\r\n")])
    return value.strip(b" \t")


def check_fields(
    data: bytes,
    first_line: int,
    where: str,
    *,
    strict: bool = False,
    max_lines: int = MAX_FIELDS,
) -> int:
    """Raise for the first fault in the fields that ``data`` begins with; return their line count.

    ``first_line`` is the number of the first line, counted in all of ``where``. With ``strict``,
    folds and control characters are faults. Lines after ``max_lines`` are counted, but not checked.
    """
    end = (b"\r\n" + data).find(b"\r\n\r\n")
    lines = (data if end < 0 else data[:end]).split(b"\r\n")
    last = lines.pop().removesuffix(b"\r")
    for number, line in enumerate(lines[:max_lines], first_line):
        _check_field(line, f"line {number} of {where}", strict=strict, first=number == first_line)
    if len(lines) < max_lines:
        _check_value(last, f"line {first_line + len(lines)} of {where}", strict=strict)
    return len(lines) + (last != b"")


def _check_field(line: bytes, where: str, *, strict: bool, first: bool) -> None:
    _check_value(line, where, strict=strict)
    if line[:1] in (b" ", b"\t"):
        if first:
            raise ParserError(f"{where} is folded, but there is no field before it")
        if strict:
            raise ParserError(f"{where} is folded; a field must be on one line")
        return
    name, colon, _ = line.partition(b":")
    if not colon:
        raise ParserError(f"{where} has no colon: {_quote_name(line)}")
    if not _NAME.fullmatch(name):
        fault = "a space before its colon" if name[-1:] in (b" ", b"\t") else "an invalid name"
        raise ParserError(f"{where} has {fault}: {_quote_name(line)}")


def _check_value(line: bytes, where: str, *, strict: bool) -> None:
    match = (_ANY_CONTROL if strict else _CONTROL).search(line)
    if match:
        names = {b"\n": "a bare LF", b"\r": "a bare CR", b"\0": "a NUL"}
        fault = names.get(match[0], "a control character")
        raise ParserError(f"{where} has {fault}: {_quote_name(line)}")


def _check_trailer_count(lines: int) -> None:
    # Folded lines count too: parsing a section of only folded lines would cost too much.
    if lines > MAX_FIELDS:
        raise ParserError(f"the trailers have more than {MAX_FIELDS} lines")


def is_inside_line(held: bytes, data: bytes, *, strict: bool = False) -> bool:
    """Return whether ``data`` ends no line, so that parsing can wait for more.

    A section that arrives in many small chunks is then not parsed for each chunk. ``held`` is a
    valid beginning. With ``strict``, a control character is not inside a line.
    """
    if held.endswith(b"\r"):  # the next byte decides whether the CR is valid
        return False
    end = _ANY_CONTROL if strict else _CONTROL
    return len(held) + len(data) < MAX_HEAD and not end.search(data)


def _quote_name(line: bytes) -> str:
    """Quote a field line up to its colon: the value may be a credential."""
    match = _BEFORE_VALUE.match(line)
    name = match[0] if match else b""
    return quote_line(name if name == line else name[:60] + b"...")


def quote_line(line: bytes) -> str:
    """Return the beginning of a line for an error message."""
    return repr(line[:60] + (b"..." if len(line) > 60 else b""))[1:]
