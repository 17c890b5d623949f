"""The messages of llhttp's tests: restkit finds the same ones, or a reason is listed.

A case is a message and the log of llhttp. A case for one of llhttp's leniencies is one that llhttp
rejects by default, and so does restkit. restkit skips interim responses, which are not compared.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from restkit.errors import UnexpectedEOF
from support.corpora import add_host, check_deviations, find_cases, unescape
from support.request_parsers import ENDED_EARLY, parse_all_by_restkit
from support.response_parsers import normalize
from support.wire_strategies import parse

pytestmark = pytest.mark.corpora

BLANKS = "9112 7.1.1: blanks after a chunk size change nothing; old servers pad sizes"
EXTENSION = "9112 7.1.1: extensions that are not known are ignored"
CODED = "9112 6.1: a transfer coding other than chunked is not known"
OTHER_PROTOCOL = "9112 2.3: the message is not HTTP"
METHOD = "9110 9.1: any token is a method; the application answers 405 or 501"
RESET = "llhttp is told to forget the body"
BARE_LF = "9112 2.2: a recipient may read a bare LF as a line end, and servers send it"
CLOSED = "9112 9.3: the connection closes; restkit never reads another message from it"
NO_EMPTY_LINE = "9112 2.2: empty lines may come before a request, not before a response"

REQUESTS = {
    "connection: No restart when keep-alive is off (1.0)": CLOSED,
    "connection: Resetting flags when keep-alive is off (1.0, lenient)": CLOSED,
    "content-length: Content-Length reset when no body is received": RESET,
    "invalid: HTTP protocol and ANNOUNCE method": METHOD,
    "invalid: Invalid method": METHOD,
    "method: CONNECT with body": "9110 9.3.6: the server opens no tunnel, and reads the body",
    "method: M-SEARCH request": "9112 3.2.4: an asterisk is only for OPTIONS",
    "method: SOURCE request with ICE": OTHER_PROTOCOL,
    "method: OPTIONS request with RTSP": OTHER_PROTOCOL,
    "method: ANNOUNCE request with RTSP": OTHER_PROTOCOL,
    "sample: No HTTP version": "9112 2.3: HTTP/0.9 is not supported",
    "sample: 255 ASCII in header value": "the log shows an octet as a character of two",
    "transfer-encoding: No extension after semicolon": EXTENSION,
    "transfer-encoding: Unbalanced chunk extensions quoting": EXTENSION,
    "transfer-encoding: POST with `chunked` as last transfer-encoding": CODED,
    "transfer-encoding: POST with `chunked` as last transfer-encoding (multiple headers)": CODED,
    "transfer-encoding: Space after chunk header": BLANKS,
    "transfer-encoding: Space after chunk header (lenient)": BLANKS,
    "uri: Fragment in URI": "9112 3.2: no form of a target has a fragment",
    "uri: `host:port` and basic auth": "9110 4.2.4: user info can hide the real host",
}
RESPONSES = {
    "connection: HTTP/1.1 with keep-alive disabled and 204 status": CLOSED,
    "connection: HTTP/1.1 with keep-alive disabled and 204 status (lenient)": CLOSED,
    "connection: HTTP 304 with Content-Length": NO_EMPTY_LINE,
    "connection: HTTP 100 first, then 400": NO_EMPTY_LINE,
    "content-length: Content-Length reset when no body is received": RESET,
    "invalid: Only LFs present and no body": BARE_LF,
    "invalid: Only LFs present and no body (lenient)": BARE_LF,
    "invalid: Only LFs present": BARE_LF,
    "invalid: Only LFs present (lenient)": BARE_LF,
    "pipelining: Should parse multiple events": NO_EMPTY_LINE,
    "sample: RTSP response": OTHER_PROTOCOL,
    "sample: ICE response": OTHER_PROTOCOL,
    "sample: No carriage ret": BARE_LF,
    "sample: No carriage ret (lenient)": BARE_LF,
    "sample: HTTP version 0.9": "9112 2.3: HTTP/0.9 has no status line",
    "sample: Response starting with CRLF": NO_EMPTY_LINE,
    "transfer-encoding: Trailing space on chunked body": BLANKS,
    "transfer-encoding: `chunked` before other transfer-encoding": CODED,
    "transfer-encoding: multiple transfer-encoding where chunked is not the last one": CODED,
    "transfer-encoding: `chunkedchunked` transfer-encoding does not enable chunked enconding": (
        CODED
    ),
    "transfer-encoding: No extension after semicolon": EXTENSION,
    "transfer-encoding: Unbalanced chunk extensions quoting": EXTENSION,
}

_CASE = re.compile(
    r'<!-- meta=\{.*?"type": ?"([a-z-]+)".*?\} -->\s*'
    r"```http\n((?:(?!```).)*)\n```\s*```log\n(.*?)```",
    re.DOTALL,
)
_TITLE = re.compile(r"^#+ +(.+)$", re.MULTILINE)
_SPAN = re.compile(r'off=\d+ len=\d+ span\[(\w+)\]=(?:"(.*)"|(cr|lf))')
_ENDS = {"cr": b"\r", "lf": b"\n"}
_STATUS = re.compile(r"headers complete (?:method=\d+ |status=(\d+) )")


class Message(NamedTuple):
    """A message, as the log and restkit describe it."""

    start: tuple[str, ...]
    fields: tuple[tuple[str, str], ...]
    body: bytes


class Connection(NamedTuple):
    """The complete messages of a connection, and its end: '', 'incomplete' or 'fault'."""

    messages: tuple[Message, ...]
    end: str


class Case(NamedTuple):
    name: str
    kind: str
    data: bytes
    log: str


def read_cases(kind: str) -> Iterator[Case]:
    """Yield the cases of one kind, each with its file and title as the name."""
    seen: dict[str, int] = {}
    for path in find_cases("llhttp", f"test/{kind}/*.md"):
        text = path.read_text(encoding="utf-8")
        for found in _CASE.finditer(text):
            title = _TITLE.findall(text[: found.start()])[-1]
            message = found[2].replace("\\\n", "")
            data = unescape(message.encode().replace(b"\n", b"\r\n"))
            name = f"{path.stem}: {title}"
            seen[name] = seen.get(name, 0) + 1
            if seen[name] > 1:
                name = f"{name} ({seen[name]})"
            yield Case(name, found[1], data, found[3])


# What llhttp finds


def read_log(case: Case) -> Connection:
    """Return the messages of a log."""
    messages: list[Message] = []
    spans: dict[str, bytes] = {}
    fields: list[tuple[bytes, bytes]] = []
    end, status, in_head = "", "", True
    for line in case.log.splitlines():
        if line.endswith("message begin"):
            spans, fields, end, in_head = {}, [], "incomplete", True
        elif span := _SPAN.fullmatch(line):
            text = _ENDS[span[3]] if span[3] else unescape(span[2].encode())
            spans[span[1]] = spans.get(span[1], b"") + text
        elif line.endswith("header_value complete") and in_head:
            fields.append((spans.pop("header_field", b""), spans.pop("header_value", b"")))
        elif found := _STATUS.search(line):
            in_head, status = False, found[1] or ""
        elif line.endswith("message complete"):
            messages.append(make_message(spans, fields, status))
            end = ""
        elif "error code" in line and "Pause" not in line:
            end = "fault"
    names = {name.lower() for name, _ in fields}
    if (
        end == "incomplete"
        and not in_head
        and not names & {b"content-length", b"transfer-encoding"}
    ):
        messages.append(make_message(spans, fields, status))  # ends with the connection
        end = ""
    return Connection(tuple(messages), end)


def make_message(
    spans: dict[str, bytes], fields: list[tuple[bytes, bytes]], status: str
) -> Message:
    method, url = (spans.get(name, b"").decode("latin-1") for name in ("method", "url"))
    return Message(
        (status,) if status else (method, url), normalize(fields), spans.get("body", b"")
    )


# What restkit finds


def read_requests(data: bytes) -> Connection:
    messages = []
    for found in parse_all_by_restkit(data):
        if found.fault:
            return Connection(
                tuple(messages), "incomplete" if found.fault == ENDED_EARLY else "fault"
            )
        messages.append(Message((found.method, found.target), found.headers, found.body))
    return Connection(tuple(messages), "")


def read_responses(data: bytes) -> Connection:
    messages = []
    while data:
        found = parse([data])
        if found.error:
            kind = "incomplete" if issubclass(found.error, UnexpectedEOF) else "fault"
            return Connection(tuple(messages), kind)
        fields = tuple((name.lower(), value) for name, value in found.headers)
        messages.append(Message((str(found.status),), fields, found.body))
        data = found.leftover
    return Connection(tuple(messages), "")


def find_deviations(kind: str) -> dict[str, str]:
    read = read_requests if kind == "request" else read_responses
    found = {}
    for case in read_cases(kind):
        data = add_host(case.data) if kind == "request" else case.data
        ours, theirs = simplify(read(data)), simplify(read_log(case))
        if ours.end == "incomplete" and theirs.end == "fault":
            ours = simplify(read(data + b"\r\n\r\n"))  # restkit waits for the end of a head
        if (
            "Pause on" in case.log and "lenient" not in case.kind
        ):  # llhttp stops, because the protocol may change
            ours = Connection(ours.messages[: len(theirs.messages)], theirs.end)
        differs = ours.end != "fault" if "lenient" in case.kind else ours != theirs
        if differs:
            found[case.name] = f"{data!r}\nrestkit: {ours}\nllhttp: {theirs}"
    return found


def simplify(connection: Connection) -> Connection:
    """Leave out the Host, which may be one that was added, and interim responses."""
    return Connection(
        tuple(
            each._replace(fields=tuple(field for field in each.fields if field != ("host", "x")))
            for each in connection.messages
            if not re.fullmatch("1(?!01)..", each.start[0])
        ),
        connection.end,
    )


def test_requests_are_those_of_llhttp() -> None:
    check_deviations(find_deviations("request"), REQUESTS)


def test_responses_are_those_of_llhttp() -> None:
    check_deviations(find_deviations("response"), RESPONSES)
