"""Parse a request line and its fields, and choose the status of an error.

One regular expression matches a valid head as a whole; only a head that it does not match is
checked line by line. A fault is found at the first byte that makes the head invalid, so that the
same bytes have the same result at every split in transit.

Accepted and rejected (RFC 9112): one empty line before the request line is skipped (2.2). A bare
LF, a bare CR, a NUL and a folded line (5.2) are rejected. So are other control characters except
HTAB (RFC 9110 5.5), which may hide a field from another server, white space around the parts of
the request line (3), a fragment or user info in the target (3.2, RFC 9110 4.2.4), an HTTP version
other than 1.0 and 1.1, and a Host that is missing, repeated or invalid (3.2). Octets above ASCII
are accepted in the target: curl does not encode them.
"""

from __future__ import annotations

import re

from restkit.errors import ParserError
from restkit.http1.fields import (
    FIELD_LINE,
    MAX_FIELDS,
    MAX_HEAD,
    TOKEN_CHAR,
    Head,
    check_fields,
    is_inside_line,
    quote_line,
)
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

# RFC 3986 3.2.2: an address in brackets, or a name, which may be empty.
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
    """A request that cannot be trusted; ``response_status`` is the status to respond with."""

    def __init__(self, message: str, response_status: int = 400) -> None:
        super().__init__(message)
        self.response_status = response_status


class RequestHead(Head):
    """The head of a request: method, target, version, and fields that are parsed when read.

    ``target`` is unchanged. ``host`` is the host that the request is for, in lower case and with
    the port if there is one: from the target if that has one, otherwise from the Host field. It
    is None if neither has one, which HTTP/1.0 allows.
    """

    __slots__ = ("host", "method", "target")

    def __init__(self, method: bytes, target: bytes, minor: int, fields: bytes) -> None:
        self.method = method.decode("ascii")
        self.target = target.decode("latin-1")
        self.minor = minor
        self.must_close = False
        self.lowered = fields.lower()
        self._fields = fields
        self._headers = None
        host = _parse_host_field(self)
        self.host = host if target[0] == _SLASH else _parse_authority(target) or host

    @property
    def local_target(self) -> str:
        """The path and query of the target, without the scheme and host that it may have."""
        absolute = _ABSOLUTE.fullmatch(self.target.encode("latin-1"))
        if not absolute:
            return self.target
        rest = absolute[2].decode("latin-1")
        return rest if rest[:1] == "/" else "/" + rest

    @property
    def expects_continue(self) -> bool:
        """Whether the client waits for 100 (Continue) to send the body (RFC 9110 10.1.1)."""
        if not self.minor or not self.has(_EXPECT_FIELD):
            return False
        expectations = self.headers["expect"].lower().split(",")
        return "100-continue" in [each.strip(" \t") for each in expectations]

    def __repr__(self) -> str:
        return f"<RequestHead {self.method} {redact_url(self.target)}>"


def parse_request_head(data: bytes) -> tuple[RequestHead, int] | None:
    r"""Return the head that ``data`` begins with and where it ends, or None for more data.

    Raises MalformedRequest as soon as no continuation can make the head valid.

    >>> head, end = parse_request_head(b'GET /a HTTP/1.1\r\nHost: api.test\r\n\r\n')
    >>> head.method, head.target, head.host, end
    ('GET', '/a', 'api.test', 35)
    """
    # As in parse_response_head(): the expression takes memory for each line.
    is_complete = data.find(b"\r\n\r\n", 0, MAX_HEAD) >= 0
    match = _REQUEST.match(data, 0, MAX_HEAD) if is_complete else None
    if match is None:
        _check_beginning(data[: MAX_HEAD + 1])
        return None
    method, target, minor, fields = match.groups()
    if target[0] != _SLASH or method == b"CONNECT":
        _check_form(method, target)
    _check_count(fields.count(b"\n") - 1)
    return RequestHead(method, target, int(minor), fields), match.end()


def is_inside_field(held: bytes, data: bytes) -> bool:
    """Return whether ``data`` ends no field, so that parsing can wait for more.

    ``held`` is a valid beginning of a head.
    """
    return held.find(b"\r\n", 2) >= 0 and is_inside_line(held, data, strict=True)


def _check_beginning(data: bytes) -> None:
    """Raise for the first fault in ``data``, unless it can be the beginning of a head."""
    line = data.removeprefix(b"\r\n")
    if line not in (b"", b"\r"):
        end = _check_request_line(line)
        if end is not None:
            _check_fields(line[end:])
    if len(data) > MAX_HEAD:
        raise MalformedRequest(f"the head is longer than {MAX_HEAD} bytes", 431)


def _check_request_line(data: bytes) -> int | None:
    """Check the request line; return where the fields begin, or None for more data."""
    at = _match_end(_METHOD, data, 0)
    if at == len(data):
        return None
    if at == MAX_METHOD and _MORE_METHOD.match(data, at):
        raise MalformedRequest(f"the method is longer than {MAX_METHOD} bytes", 501)
    if not at or data[at] != _SPACE:
        raise _request_line_error(data)
    end = _match_end(_TARGET, data, at + 1)
    if end == len(data):
        return None
    if end == at + 1 + MAX_TARGET and _MORE_TARGET.match(data, end):
        raise MalformedRequest(f"the target is longer than {MAX_TARGET} bytes", 414)
    if end == at + 1 or data[end] != _SPACE:
        raise _request_line_error(data)
    fields = _check_version(data, end + 1)
    if fields is not None:
        _check_form(data[:at], data[at + 1 : end])
    return fields


def _match_end(pattern: re.Pattern[bytes], data: bytes, start: int) -> int:
    """Return the end of the match at ``start``, which may be empty."""
    match = pattern.match(data, start)
    return match.end() if match else start


def _check_form(method: bytes, target: bytes) -> None:
    """Check that the target has a form that the method allows (3.2)."""
    if method == b"CONNECT":
        is_valid = bool(_AUTHORITY.fullmatch(target))
    elif target == b"*":
        is_valid = method == b"OPTIONS"
    else:
        is_valid = target[0] == _SLASH or bool(_ABSOLUTE.fullmatch(target))
    if not is_valid:
        raise MalformedRequest(
            f"{_quote_target(target)} is not a valid target for {method.decode()}"
        )


def _check_version(data: bytes, at: int) -> int | None:
    end = at + len(_VERSIONS[0])
    rest = data[at:end]
    if not any(version.startswith(rest) for version in _VERSIONS):
        if _OTHER_VERSION.match(rest):
            raise MalformedRequest("the HTTP version must be 1.1 or 1.0", 505)
        raise _request_line_error(data)
    return end if len(data) >= end else None


def _request_line_error(data: bytes) -> MalformedRequest:
    line = _quote_target(data.partition(b"\r\n")[0])
    return MalformedRequest(
        f"the request begins with {line}, not with a method, a target and HTTP/1.1"
    )


def _quote_target(data: bytes) -> str:
    """Quote a target, or a line with one, without the credentials that it may contain."""
    before, query, _ = data.partition(b"?")
    hidden, _, rest = before.rpartition(b"@")
    return quote_line((b"***@" if hidden else b"") + rest + (b"?..." if query else b""))


def _check_fields(data: bytes) -> None:
    try:
        lines = check_fields(data, first_line=2, where="the head", strict=True)
    except ParserError as exc:
        raise MalformedRequest(exc.message) from exc
    _check_count(lines)


def _check_count(lines: int) -> None:
    if lines > MAX_FIELDS:
        raise MalformedRequest(f"the head has more than {MAX_FIELDS} fields", 431)


def _parse_authority(target: bytes) -> str | None:
    """Return the host of a target that is not a path (3.2.2); the Host field is ignored then."""
    if _AUTHORITY.fullmatch(target):
        return target.decode("ascii").lower()
    absolute = _ABSOLUTE.fullmatch(target)
    return absolute[1].decode("ascii").lower() if absolute else None


def _parse_host_field(head: RequestHead) -> str | None:
    """Return the Host; raise with status 400 unless there is one, and it is valid (3.2)."""
    count = head.lowered.count(_HOST_FIELD)
    if not count and not head.minor:
        return None
    if count != 1:
        raise MalformedRequest(f"the request must have one Host field; it has {count or 'none'}")
    value = head.lowered.partition(_HOST_FIELD)[2].partition(b"\r\n")[0].strip(b" \t")
    if not _HOST.fullmatch(value):
        raise MalformedRequest("the Host field must be a name or an address, with or without port")
    return value.decode("ascii")
