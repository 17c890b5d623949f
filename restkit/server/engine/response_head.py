"""Check the head of a response, choose the framing of its body, and encode it. Pure functions.

Connection, Transfer-Encoding and Date are set here: PEP 3333 leaves the hop-by-hop fields to the
server, and an application must not set them.
"""

from __future__ import annotations

import re
from email.utils import formatdate
from enum import Enum
from time import time
from typing import NamedTuple

from restkit.headers import HOP_BY_HOP_HEADERS, field_fault
from restkit.http1.fields import parse_length

_STATUS = re.compile(r"([2-9][0-9][0-9]) [^\r\n\0\u0100-\U0010ffff]*")  # a head is latin-1


class Framing(Enum):
    """The way in which a client finds the end of a response's body."""

    NONE = "there is no body"
    SIZED = "by Content-Length"
    CHUNKED = "by the last chunk"
    TO_END = "by the end of the connection"


class ResponseHead(NamedTuple):
    """The checked arguments of ``start_response``; ``lines`` are the encoded fields.

    ``length`` is the declared Content-Length, and ``has_date`` whether there is a Date.
    """

    status: str
    code: int
    lines: str
    length: int | None
    has_date: bool


def check_response_head(status: str, headers: list[tuple[str, str]]) -> ResponseHead:
    r"""Check a status and fields; raise TypeError or ValueError if they cannot be sent.

    >>> check_response_head('200 OK', [('Content-Length', '5')]).lines
    'Content-Length: 5\r\n'
    """
    _check_str(status, "the status")
    match = _STATUS.fullmatch(status)
    if not match:
        raise ValueError(
            f"the status must be a line of latin-1 such as '200 OK', 200 or above; got {status!r}"
        )
    code = int(match[1])
    lines: list[str] = []
    lengths: list[str] = []
    has_date = False
    for name, value in headers:
        line = _encode_field(name, value)
        lowered = name.lower()
        has_date = has_date or lowered == "date"
        if lowered == "content-length":
            lengths.append(value)
            if code == 204:  # which must have none (RFC 9110 8.6)
                continue
        lines.append(line)
    return ResponseHead(status, code, "".join(lines), _parse_lengths(lengths), has_date)


def choose_framing(head: ResponseHead, method: str, minor: int, length: int | None) -> Framing:
    """Choose the framing of a body; ``length`` is declared in the head or known without it.

    ``minor`` is the minor version of the request: HTTP/1.0 has no chunks.
    """
    if method == "HEAD" or head.code in (204, 304):
        return Framing.NONE
    if length is not None:
        return Framing.SIZED
    return Framing.CHUNKED if minor else Framing.TO_END


def encode_response_head(
    head: ResponseHead, framing: Framing, length: int | None, connection: str
) -> bytes:
    """Return the head as bytes; ``connection`` is the value of that field, '' for no field."""
    lines = ["HTTP/1.1 ", head.status, "\r\n", head.lines]
    if length is not None and head.length is None and head.code not in (204, 304):
        lines.append(f"Content-Length: {length}\r\n")
    if framing is Framing.CHUNKED:
        lines.append("Transfer-Encoding: chunked\r\n")
    if not head.has_date:
        lines.append(_DateLine.get())
    if connection:
        lines.append(f"Connection: {connection}\r\n")
    lines.append("\r\n")
    return "".join(lines).encode("latin-1")


def _encode_field(name: str, value: str) -> str:
    _check_str(name, "the name of a header")
    _check_str(value, f"the value of {name}")
    if fault := field_fault(name, value):
        raise ValueError(fault)
    if name.lower() in HOP_BY_HOP_HEADERS:
        raise ValueError(f"{name} is set by the server; an application must not set it")
    return f"{name}: {value}\r\n"


def _check_str(text: object, name: str) -> None:
    if not isinstance(text, str):
        raise TypeError(f"{name} must be a str; got {type(text).__name__}")


def _parse_lengths(values: list[str]) -> int | None:
    if not values:
        return None
    length = parse_length(values[0])
    if len(values) > 1 or length is None:
        raise ValueError(f"Content-Length must be one number of bytes; got {', '.join(values)!r}")
    return length


class _DateLine:
    """The line of the Date field, made once a second."""

    cached: tuple[int, str] = (0, "")

    @classmethod
    def get(cls) -> str:
        now = int(time())
        second, line = cls.cached
        if second != now:
            line = f"Date: {formatdate(now, usegmt=True)}\r\n"
            cls.cached = (now, line)
        return line
