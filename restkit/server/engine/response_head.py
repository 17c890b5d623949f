"""Check and write the head of a response.

The head of an answer: what the application declares, judged, and how its body is framed. Pure.

An application says nothing about the connection (PEP 3333 leaves hop-by-hop fields to servers):
Connection, Transfer-Encoding and Date come from here.
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
    """How a client sees where the body of an answer ends."""

    NONE = "it has none"
    SIZED = "by its Content-Length"
    CHUNKED = "by its last chunk"
    TO_END = "by the end of the connection"


class ResponseHead(NamedTuple):
    """What an application said to start_response, judged; ``lines`` as they go out."""

    status: str
    code: int
    lines: str
    length: int | None
    dated: bool


def check_response_head(status: str, headers: list[tuple[str, str]]) -> ResponseHead:
    """Judge a status and fields; raises TypeError or ValueError for what cannot go out."""
    _check_str(status, "the status")
    match = _STATUS.fullmatch(status)
    if not match:
        raise ValueError(
            f"the status must be a line of latin-1 such as '200 OK', 200 or above; got {status!r}"
        )
    code = int(match[1])
    lines: list[str] = []
    lengths: list[str] = []
    dated = False
    for name, value in headers:
        line = _line(name, value)
        lowered = name.lower()
        dated = dated or lowered == "date"
        if lowered == "content-length":
            lengths.append(value)
            if code == 204:  # which must have none (RFC 9110 8.6)
                continue
        lines.append(line)
    return ResponseHead(status, code, "".join(lines), _length(lengths), dated)


def framing_of(said: ResponseHead, method: str, minor: int, length: int | None) -> Framing:
    """How the body goes out; ``length`` is what is known of it without or with the application."""
    if method == "HEAD" or said.code in (204, 304):
        return Framing.NONE
    if length is not None:
        return Framing.SIZED
    return Framing.CHUNKED if minor else Framing.TO_END


def head_bytes(said: ResponseHead, framing: Framing, length: int | None, connection: str) -> bytes:
    """The whole head; ``connection`` is the value of that field, or empty for none."""
    lines = ["HTTP/1.1 ", said.status, "\r\n", said.lines]
    if length is not None and said.length is None and said.code not in (204, 304):
        lines.append(f"Content-Length: {length}\r\n")
    if framing is Framing.CHUNKED:
        lines.append("Transfer-Encoding: chunked\r\n")
    if not said.dated:
        lines.append(_Date.line())
    if connection:
        lines.append(f"Connection: {connection}\r\n")
    lines.append("\r\n")
    return "".join(lines).encode("latin-1")


def _line(name: str, value: str) -> str:
    _check_str(name, "the name of a header")
    _check_str(value, f"the value of {name}")
    if fault := field_fault(name, value):
        raise ValueError(fault)
    if name.lower() in HOP_BY_HOP_HEADERS:
        raise ValueError(f"{name} is for the server to say, and not for the application")
    return f"{name}: {value}\r\n"


def _check_str(text: object, what: str) -> None:
    if not isinstance(text, str):
        raise TypeError(f"{what} must be a str; got {type(text).__name__}")


def _length(values: list[str]) -> int | None:
    if not values:
        return None
    length = parse_length(values[0])
    if len(values) > 1 or length is None:
        raise ValueError(f"Content-Length {', '.join(values)!r}: one number of bytes is wanted")
    return length


class _Date:
    """The line of the Date field, made once for each second."""

    made: tuple[int, str] = (0, "")

    @classmethod
    def line(cls) -> str:
        now = int(time())
        second, line = cls.made
        if second != now:
            line = f"Date: {formatdate(now, usegmt=True)}\r\n"
            cls.made = (now, line)
        return line
