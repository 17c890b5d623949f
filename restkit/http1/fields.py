"""Parse and check header fields."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Protocol, TypeAlias

from restkit.errors import ParserError

if TYPE_CHECKING:
    from restkit.headers import Headers


Pairs: TypeAlias = "list[tuple[str, str]]"

MAX_HEAD = 64 * 1024
MAX_FIELDS = 256

TOKEN_CHAR = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]"
FIELD_LINE = TOKEN_CHAR + rb"+:[^\r\n\0]*\r\n"
"""One field, not folded."""

FIELD_LINES = rb"(?:" + FIELD_LINE + rb"(?:[ \t][^\r\n\0]*\r\n)*)*"
_FIELDS = re.compile(FIELD_LINES + rb"\r\n")
_FIELD = re.compile(rb"(" + TOKEN_CHAR + rb"+):([^\r\n]*(?:\r\n[ \t][^\r\n]*)*)\r\n")
_NAME = re.compile(TOKEN_CHAR + rb"+")
_BEFORE_VALUE = re.compile(rb"[^ \t:]*[ \t]?:?")
_FORBIDDEN = re.compile(rb"[\r\n\0]")


def take_trailers(data: bytes) -> tuple[Pairs, int] | None:
    """The trailer section that ``data`` begins with and where it ends, or None for more.

    The same rules and bounds as for a head's fields; the last line is empty.
    """
    if data.startswith(b"\r\n"):
        return [], 2
    whole = data.find(b"\r\n\r\n", 0, MAX_HEAD) >= 0
    match = _FIELDS.match(data, 0, MAX_HEAD) if whole else None
    if match is None:
        check_count(check_fields(data[: MAX_HEAD + 1], first_line=1, where="the trailers"))
        check_size(data)
        return None
    check_count(match[0].count(b"\n") - 1)
    return pairs_of(match[0]), match.end()


def pairs_of(fields: bytes) -> Pairs:
    """The fields of a section that has been found to be right."""
    return [
        (name.decode("latin-1"), _unfolded(value).decode("latin-1"))
        for name, value in _FIELD.findall(fields)
    ]


def _unfolded(value: bytes) -> bytes:
    if b"\r" in value:
        value = b" ".join([line.strip(b" \t") for line in value.split(b"\r\n")])
    return value.strip(b" \t")


def check_fields(data: bytes, first_line: int, where: str, *, folds: bool = True) -> int:
    """Raise for the first fault in the fields that ``data`` begins with; how many lines they have.

    In the count of all lines of ``where`` their first is ``first_line``. Of more lines than
    MAX_FIELDS, those behind are not looked at.
    """
    end = (b"\r\n" + data).find(b"\r\n\r\n")
    lines = (data if end < 0 else data[:end]).split(b"\r\n")
    last = lines.pop().removesuffix(b"\r")
    for number, line in enumerate(lines[:MAX_FIELDS], first_line):
        _check_field(line, f"line {number} of {where}", folds=folds, first=number == first_line)
    if len(lines) < MAX_FIELDS:
        _check_value(last, f"line {first_line + len(lines)} of {where}")
    return len(lines) + (last != b"")


def _check_field(line: bytes, where: str, *, folds: bool, first: bool) -> None:
    _check_value(line, where)
    if line[:1] in (b" ", b"\t"):
        if first:
            raise ParserError(f"{where} is folded, with no field before it")
        if not folds:
            raise ParserError(f"{where} is folded, and a field may have one line only")
        return
    name, colon, _ = line.partition(b":")
    if not colon:
        raise ParserError(f"{where} has no colon: {_beginning(line)}")
    if not _NAME.fullmatch(name):
        fault = "a space before its colon" if name[-1:] in (b" ", b"\t") else "no proper name"
        raise ParserError(f"{where} has {fault}: {_beginning(line)}")


def _check_value(line: bytes, where: str) -> None:
    fault = _FORBIDDEN.search(line)
    if fault:
        what = {b"\n": "a bare LF", b"\r": "a bare CR", b"\0": "a NUL"}[fault[0]]
        raise ParserError(f"{where} has {what}: {_beginning(line)}")


def check_count(lines: int) -> None:
    # Folded lines count too: a head of nothing else would cost too much when it comes in drops.
    if lines > MAX_FIELDS:
        raise ParserError(f"a head or trailer section has more than {MAX_FIELDS} lines")


def check_size(data: bytes) -> None:
    if len(data) > MAX_HEAD:
        raise ParserError(f"a head or trailer section is longer than {MAX_HEAD} bytes")


def _beginning(line: bytes) -> str:
    """As much of a field as may be told: its value may be a credential."""
    match = _BEFORE_VALUE.match(line)
    told = match[0] if match else b""
    return quote_line(told if told == line else told[:60] + b"...")


def quote_line(line: bytes) -> str:
    """The beginning of a line, for an error."""
    return repr(line[:60] + (b"..." if len(line) > 60 else b""))[1:]


class Head(Protocol):
    """What the head of a request and that of an answer have in common."""

    @property
    def minor(self) -> int:
        """The second digit of its HTTP version."""

    @property
    def lowered(self) -> bytes:
        """Its block of fields in lower case, from the CRLF before the first."""

    @property
    def headers(self) -> Headers:
        """Its fields."""

    def has(self, field: bytes) -> bool:
        r"""Whether a field is there, asked for as ``b"\r\nname:"``."""
