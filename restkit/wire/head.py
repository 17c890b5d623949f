"""Heads of messages, from bytes and to bytes: pure, strict, fast.

A response head is judged as a whole by one regular expression, and a request pays for nothing
more: ``Headers`` are made when somebody reads them. Only a head that fails is looked at again,
line by line, to name its fault.

What is taken and what is not (RFC 9112): lines end in CRLF (2.2 lets a recipient take a bare
LF; a peer that sends one may disagree with others about where a head ends, so it is refused);
no space before the colon (5.1); a folded line becomes one space (5.2); NUL, CR and LF are in no
value (RFC 9110 5.5); the reason may be missing together with its space (4).
"""

from __future__ import annotations

import re
from typing import TypeAlias

from restkit.errors import BadStatusLine, ParserError
from restkit.headers import Headers

Pairs: TypeAlias = "list[tuple[str, str]]"

MAX_HEAD = 64 * 1024
MAX_FIELDS = 256

TOKEN_CHAR = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]"
FIELD_LINE = TOKEN_CHAR + rb"+:[^\r\n\0]*\r\n"
"""One field, not folded."""

_LINES = rb"(?:" + FIELD_LINE + rb"(?:[ \t][^\r\n\0]*\r\n)*)*"
_RESPONSE = re.compile(
    rb"HTTP/1\.([01]) ([1-9][0-9][0-9])(?: ([^\r\n\0]*))?(\r\n" + _LINES + rb")\r\n"
)
_FIELDS = re.compile(_LINES + rb"\r\n")
_FIELD = re.compile(rb"(" + TOKEN_CHAR + rb"+):([^\r\n]*(?:\r\n[ \t][^\r\n]*)*)\r\n")
_NAME = re.compile(TOKEN_CHAR + rb"+")
_BEFORE_VALUE = re.compile(rb"[^ \t:]*[ \t]?:?")
_FORBIDDEN = re.compile(rb"[\r\n\0]")
_STATUS_LINE = re.compile(rb"HTTP/1\.[01] [1-9][0-9][0-9](?: [^\r\n\0]*)?")
_EXAMPLE = b"HTTP/1.1 200"
SHORTEST = len(_EXAMPLE)
_TELLING = re.compile(rb"[\r\n\0]")


class ResponseHead:
    r"""The head of a response: status, reason, version, and fields that are parsed when read.

    ``lowered`` is the block of fields in lower case, from the CRLF of the status line on.
    """

    __slots__ = ("_fields", "_headers", "_reason", "lowered", "minor", "status")

    def __init__(self, minor: int, status: int, reason: bytes, fields: bytes) -> None:
        self.minor = minor
        self.status = status
        self.lowered = fields.lower()
        self._reason = reason
        self._fields = fields
        self._headers: Headers | None = None

    def has(self, field: bytes) -> bool:
        r"""Whether a field is there, asked for as ``b"\r\nname:"``, at next to no cost."""
        # ``in`` would try these bytes as a number first, and have an exception to throw away.
        return self.lowered.find(field) >= 0

    @property
    def reason(self) -> str:
        return self._reason.decode("latin-1").strip(" \t")

    @property
    def headers(self) -> Headers:
        """The fields; one object, made at the first look."""
        if self._headers is None:
            self._headers = Headers.of_trusted(pairs_of(self._fields))
        return self._headers

    def __repr__(self) -> str:
        return f"<ResponseHead {self.status} {self.reason}>"


def take_response_head(data: bytes) -> tuple[ResponseHead, int] | None:
    """The head that ``data`` begins with and where it ends, or None when more is needed.

    Raises BadStatusLine or ParserError as soon as no continuation can make it right, at
    whatever points the bytes were cut on their way.
    """
    # The expression takes memory for each line: it is not asked where the end is not there yet.
    whole = data.find(b"\r\n\r\n", 0, MAX_HEAD) >= 0
    match = _RESPONSE.match(data, 0, MAX_HEAD) if whole else None
    if match is None:
        _judge_response(data[: MAX_HEAD + 1])
        return None
    minor, status, reason, fields = match.groups(b"")
    _judge_count(fields.count(b"\n") - 1)
    return ResponseHead(int(minor), int(status), reason, fields), match.end()


def take_trailers(data: bytes) -> tuple[Pairs, int] | None:
    """The trailer section that ``data`` begins with and where it ends, or None for more.

    The same rules and bounds as for a head's fields; the last line is empty.
    """
    if data.startswith(b"\r\n"):
        return [], 2
    whole = data.find(b"\r\n\r\n", 0, MAX_HEAD) >= 0
    match = _FIELDS.match(data, 0, MAX_HEAD) if whole else None
    if match is None:
        _judge_count(judge_fields(data[: MAX_HEAD + 1], first_line=1, where="the trailers"))
        _judge_size(data)
        return None
    _judge_count(match[0].count(b"\n") - 1)
    return pairs_of(match[0]), match.end()


def is_inside_a_line(held: bytes, data: bytes) -> bool:
    """Whether nothing can be said of ``data`` before more comes, so that drops cost little.

    ``held`` has been found to be the beginning of something; a status line has its status.
    """
    if held.endswith(b"\r"):  # what follows a CR decides about it
        return False
    return len(held) + len(data) < MAX_HEAD and not _TELLING.search(data)


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


def _judge_response(data: bytes) -> None:
    """Raise for what makes ``data`` no beginning of a head; come back if it may become one."""
    line, ending, fields = data.partition(b"\r\n")
    if not (_STATUS_LINE.fullmatch(line) if ending else _may_become_status_line(line)):
        raise BadStatusLine(
            f"the answer begins with {shown(line)}, and not with HTTP/1.1 and a status"
        )
    _judge_count(judge_fields(fields, first_line=2, where="the head"))
    _judge_size(data)


def judge_fields(data: bytes, first_line: int, where: str, *, folds: bool = True) -> int:
    """Raise for the first fault in the fields that ``data`` begins with; how many lines they have.

    In the count of all lines of ``where`` their first is ``first_line``. Of more lines than
    MAX_FIELDS, those behind are not looked at.
    """
    end = (b"\r\n" + data).find(b"\r\n\r\n")
    lines = (data if end < 0 else data[:end]).split(b"\r\n")
    last = lines.pop().removesuffix(b"\r")
    for number, line in enumerate(lines[:MAX_FIELDS], first_line):
        _judge_field(line, f"line {number} of {where}", folds=folds, first=number == first_line)
    if len(lines) < MAX_FIELDS:
        _judge_value(last, f"line {first_line + len(lines)} of {where}")
    return len(lines) + (last != b"")


def _judge_field(line: bytes, where: str, *, folds: bool, first: bool) -> None:
    _judge_value(line, where)
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


def _judge_value(line: bytes, where: str) -> None:
    fault = _FORBIDDEN.search(line)
    if fault:
        what = {b"\n": "a bare LF", b"\r": "a bare CR", b"\0": "a NUL"}[fault[0]]
        raise ParserError(f"{where} has {what}: {_beginning(line)}")


def _judge_count(lines: int) -> None:
    # Folded lines count too: a head of nothing else would cost too much when it comes in drops.
    if lines > MAX_FIELDS:
        raise ParserError(f"a head or trailer section has more than {MAX_FIELDS} lines")


def _judge_size(data: bytes) -> None:
    if len(data) > MAX_HEAD:
        raise ParserError(f"a head or trailer section is longer than {MAX_HEAD} bytes")


def _may_become_status_line(line: bytes) -> bool:
    if len(line) > len(_EXAMPLE):
        return _STATUS_LINE.fullmatch(line.removesuffix(b"\r")) is not None
    return _STATUS_LINE.fullmatch(line + _EXAMPLE[len(line) :]) is not None


def _beginning(line: bytes) -> str:
    """As much of a field as may be told: its value may be a credential."""
    match = _BEFORE_VALUE.match(line)
    told = match[0] if match else b""
    return shown(told if told == line else told[:60] + b"...")


def shown(line: bytes) -> str:
    """The beginning of a line, for an error."""
    return repr(line[:60] + (b"..." if len(line) > 60 else b""))[1:]


def request_head(method: str, target: str, lines: str) -> bytes:
    """The head of a request as it goes out; ``Headers`` has judged the fields already."""
    return f"{method} {target} HTTP/1.1\r\n{lines}\r\n".encode("latin-1")
