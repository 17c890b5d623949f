"""Parse a request line and its fields, and choose the status of an error.

Heads of requests, as a server takes them: pure, strict, fast; each fault with its answer.

As with ``head``, one regular expression judges a head as a whole, and only one that fails is
looked at line by line. A fault is found at the first byte that nothing can make right, so that
the same bytes have the same outcome wherever they were cut on their way.

What is taken and what is not (RFC 9112): one empty line before the request line is passed over
(2.2); a bare LF, a bare CR, a NUL, and a folded line (5.2) are refused; so are white space around
the parts of the request line (3), a fragment and user info in the target (3.2, RFC 9110 4.2.4),
an HTTP version that is not 1.0 or 1.1, and a Host that is missing, doubled or none (3.2). Octets
above ASCII in the target are taken: curl sends a URL as it was typed.
"""

from __future__ import annotations

import re

from restkit.errors import ParserError
from restkit.headers import Headers
from restkit.http1.fields import (
    FIELD_LINE,
    MAX_FIELDS,
    MAX_HEAD,
    TOKEN_CHAR,
    check_fields,
    pairs_of,
    quote_line,
)
from restkit.http1.response_head import is_inside_a_line
from restkit.redaction import redact_url

MAX_METHOD = 32
MAX_TARGET = 8 * 1024

_TARGET_CHAR = rb"[!\"$-~\x80-\xff]"
_REQUEST = re.compile(
    rb"(?:\r\n)?(%b{1,%d}) (%b{1,%d}) HTTP/1\.([01])(\r\n(?:%b)*)\r\n"
    % (TOKEN_CHAR, MAX_METHOD, _TARGET_CHAR, MAX_TARGET, FIELD_LINE)
)
_METHOD = re.compile(rb"%b{0,%d}" % (TOKEN_CHAR, MAX_METHOD))
_TARGET = re.compile(rb"%b{0,%d}" % (_TARGET_CHAR, MAX_TARGET))
_MORE_METHOD = re.compile(TOKEN_CHAR)
_MORE_TARGET = re.compile(_TARGET_CHAR)
_OTHER_VERSION = re.compile(rb"HTTP/(?:[02-9]|1\.[2-9])")
_VERSIONS = (b"HTTP/1.1\r\n", b"HTTP/1.0\r\n")

# RFC 3986 3.2.2: in brackets an address, otherwise a name, and that may be empty.
_NAME = rb"(?:[A-Za-z0-9\-._~!$&'()*+,;=]|%[0-9A-Fa-f]{2})"
_ADDRESS = rb"\[[0-9A-Fa-fvV.:]+\]"
_AUTHORITY = re.compile(rb"(?:%b|%b+):[0-9]{1,5}" % (_ADDRESS, _NAME))
_ABSOLUTE = re.compile(
    rb"[A-Za-z][A-Za-z0-9+.\-]*://((?:%b|%b+)(?::[0-9]*)?)(?![^/?])(.*)" % (_ADDRESS, _NAME),
    re.DOTALL,
)
_SLASH, _SPACE = b"/ "
_HOST_FIELD = b"\r\nhost:"
_HOST = re.compile(rb"(?:%b|%b*)(?::[0-9]*)?" % (_ADDRESS, _NAME))
_EXPECT_FIELD = b"\r\nexpect:"


class MalformedRequest(ParserError):
    """What the client sent is no request that can be trusted; ``answer`` is the status it gets."""

    def __init__(self, message: str, answer: int = 400) -> None:
        super().__init__(message)
        self.answer = answer


class RequestHead:
    r"""The head of a request: method, target, version, and fields that are parsed when read.

    ``target`` is as it was sent. ``host`` is whom the request is for, in lower case and with its
    port if it has one: out of the target where that names it, else of the Host field; None where
    neither is there, which HTTP/1.0 allows. ``lowered`` is the block of fields in lower case,
    from the CRLF of the request line on.
    """

    __slots__ = ("_fields", "_headers", "host", "lowered", "method", "minor", "target")

    def __init__(self, method: bytes, target: bytes, minor: int, fields: bytes) -> None:
        self.method = method.decode("ascii")
        self.target = target.decode("latin-1")
        self.minor = minor
        self.lowered = fields.lower()
        self._fields = fields
        self._headers: Headers | None = None
        said = _host_said(self)
        self.host = said if target[0] == _SLASH else _authority(target) or said

    def has(self, field: bytes) -> bool:
        r"""Whether a field is there, asked for as ``b"\r\nname:"``, at next to no cost."""
        return self.lowered.find(field) >= 0

    @property
    def headers(self) -> Headers:
        """The fields; one object, made at the first look."""
        if self._headers is None:
            self._headers = Headers.of_trusted(pairs_of(self._fields))
        return self._headers

    @property
    def local_target(self) -> str:
        """The target without the scheme and the authority that it may have: path and query."""
        absolute = _ABSOLUTE.fullmatch(self.target.encode("latin-1"))
        if not absolute:
            return self.target
        rest = absolute[2].decode("latin-1")
        return rest if rest[:1] == "/" else "/" + rest

    @property
    def expects_continue(self) -> bool:
        """Whether the client waits to be told that its body is wanted (RFC 9110 10.1.1)."""
        if not self.minor or not self.has(_EXPECT_FIELD):
            return False
        wanted = self.headers["expect"].lower().split(",")
        return "100-continue" in [each.strip(" \t") for each in wanted]

    def __repr__(self) -> str:
        return f"<RequestHead {self.method} {redact_url(self.target)}>"


def take_request_head(data: bytes) -> tuple[RequestHead, int] | None:
    """The head that ``data`` begins with and where it ends, or None when more is needed.

    Raises MalformedRequest as soon as no continuation can make it right.
    """
    # As in ``take_response_head``: the expression takes memory for each line.
    whole = data.find(b"\r\n\r\n", 0, MAX_HEAD) >= 0
    match = _REQUEST.match(data, 0, MAX_HEAD) if whole else None
    if match is None:
        _check(data[: MAX_HEAD + 1])
        return None
    method, target, minor, fields = match.groups()
    if target[0] != _SLASH or method == b"CONNECT":
        _check_form(method, target)
    _check_count(fields.count(b"\n") - 1)
    return RequestHead(method, target, int(minor), fields), match.end()


def is_inside_a_field(held: bytes, data: bytes) -> bool:
    """Whether nothing can be said of ``data`` before more comes, so that drops cost little.

    ``held`` has been found to be the beginning of a head.
    """
    return held.find(b"\r\n", 2) >= 0 and is_inside_a_line(held, data)


def _check(data: bytes) -> None:
    """Raise for what makes ``data`` no beginning of a head; come back if it may become one."""
    line = data.removeprefix(b"\r\n")
    if line not in (b"", b"\r"):
        end = _check_request_line(line)
        if end is not None:
            _check_fields(line[end:])
    if len(data) > MAX_HEAD:
        raise MalformedRequest(f"the head is longer than {MAX_HEAD} bytes", 431)


def _check_request_line(data: bytes) -> int | None:
    """The same for the request line: where the fields begin, or None for more."""
    at = _end(_METHOD, data, 0)
    if at == len(data):
        return None
    if at == MAX_METHOD and _MORE_METHOD.match(data, at):
        raise MalformedRequest(f"the method is longer than {MAX_METHOD} bytes", 501)
    if not at or data[at] != _SPACE:
        raise _no_request_line(data)
    end = _end(_TARGET, data, at + 1)
    if end == len(data):
        return None
    if end == at + 1 + MAX_TARGET and _MORE_TARGET.match(data, end):
        raise MalformedRequest(f"the target is longer than {MAX_TARGET} bytes", 414)
    if end == at + 1 or data[end] != _SPACE:
        raise _no_request_line(data)
    fields = _check_version(data, end + 1)
    if fields is not None:
        _check_form(data[:at], data[at + 1 : end])
    return fields


def _end(part: re.Pattern[bytes], data: bytes, start: int) -> int:
    """Where a part of the line ends; each of them may be empty."""
    match = part.match(data, start)
    return match.end() if match else start


def _check_form(method: bytes, target: bytes) -> None:
    """3.2: which of its four forms a target may have."""
    if method == b"CONNECT":
        right = bool(_AUTHORITY.fullmatch(target))
    elif target == b"*":
        right = method == b"OPTIONS"
    else:
        right = target[0] == _SLASH or bool(_ABSOLUTE.fullmatch(target))
    if not right:
        raise MalformedRequest(f"{_target_shown(target)} is no target for {method.decode()}")


def _check_version(data: bytes, at: int) -> int | None:
    end = at + len(_VERSIONS[0])
    rest = data[at:end]
    if not any(version.startswith(rest) for version in _VERSIONS):
        if _OTHER_VERSION.match(rest):
            raise MalformedRequest("another version of HTTP than 1.1 and 1.0, spoken here", 505)
        raise _no_request_line(data)
    return end if len(data) >= end else None


def _no_request_line(data: bytes) -> MalformedRequest:
    line = _target_shown(data.partition(b"\r\n")[0])
    return MalformedRequest(
        f"the request begins with {line}, and not with a method, a target and HTTP/1.1"
    )


def _target_shown(data: bytes) -> str:
    """A target, or what has one in it, without the credentials that it may hold."""
    before, query, _ = data.partition(b"?")
    hidden, _, rest = before.rpartition(b"@")
    return quote_line((b"***@" if hidden else b"") + rest + (b"?..." if query else b""))


def _check_fields(data: bytes) -> None:
    try:
        lines = check_fields(data, first_line=2, where="the head", folds=False)
    except ParserError as exc:
        raise MalformedRequest(exc.message) from exc
    _check_count(lines)


def _check_count(lines: int) -> None:
    if lines > MAX_FIELDS:
        raise MalformedRequest(f"the head has more than {MAX_FIELDS} fields", 431)


def _authority(target: bytes) -> str | None:
    """Whom a target names that is no path (3.2.2): the Host field counts for nothing then."""
    if _AUTHORITY.fullmatch(target):
        return target.decode("ascii").lower()
    absolute = _ABSOLUTE.fullmatch(target)
    return absolute[1].decode("ascii").lower() if absolute else None


def _host_said(head: RequestHead) -> str | None:
    """What the Host field says; 3.2: it must be there, alone and right, or the answer is 400."""
    count = head.lowered.count(_HOST_FIELD)
    if not count and not head.minor:
        return None
    if count != 1:
        raise MalformedRequest(f"the request has {count or 'no'} Host fields: one is wanted")
    value = head.lowered.partition(_HOST_FIELD)[2].partition(b"\r\n")[0].strip(b" \t")
    if not _HOST.fullmatch(value):
        raise MalformedRequest("the Host field has no name or address, with a port or without")
    return value.decode("ascii")
