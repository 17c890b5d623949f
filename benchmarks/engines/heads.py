"""Rows about heads: refused requests, and the framing of responses."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from benchmarks.engines.probe import Probe, mark
from benchmarks.engines.raw import LAST, chunk, exchange, head, statuses

if TYPE_CHECKING:
    from benchmarks.engines.running import Running

_LINE = b"POST /read HTTP/1.1\r\n"
_HOST = b"Host: engines\r\n"
_CHUNKED = b"Transfer-Encoding: chunked\r\n"


def refused(
    *requests: bytes, by: tuple[str, ...] = ("400",), closed: bool = True
) -> Callable[[Running], str]:
    """Return a probe: each request must get one of these statuses, and then the end."""

    def look(engine: Running) -> str:
        found = []
        for request in requests:
            raw = exchange(engine, request)
            found_statuses = statuses(raw)
            good = len(found_statuses) == 1 and found_statuses[0] in by
            good = good and not (closed and b"stays open" in raw)
            found.append((_describe(found_statuses, raw), good))
        if len({text for text, _ in found}) == 1:
            return mark(found[0][0], good=found[0][1])
        return " / ".join(mark(text, good=good) for text, good in found)

    return look


def _describe(found_statuses: list[str], raw: bytes) -> str:
    if not found_statuses:
        return "no response, stays open" if b"stays open" in raw else "closed, no response"
    return ", ".join(found_statuses) + (", stays open" if b"stays open" in raw else "")


def _request(*lines: bytes, body: bytes = b"") -> bytes:
    return _LINE + _HOST + b"".join(lines) + b"\r\n" + body


def _with_size(line: bytes) -> bytes:
    return _request(_CHUNKED, body=line + b"\r\nhello\r\n" + LAST)


def http_10_client(engine: Running) -> str:
    raw = exchange(engine, head("GET /chunks", version="HTTP/1.0"))
    good = raw.endswith(b"\r\n\r\nab") and b"chunked" not in raw.lower()
    return mark("raw bytes, then closed" if good else _quote(raw), good=good)


def body_in_response_to_head(engine: Running) -> str:
    raw = exchange(engine, head("HEAD /chunks", "Connection: close"))
    body = raw.partition(b"\r\n\r\n")[2]
    return mark("none" if not body else f"sent: {_quote(body)}", good=not body)


def fails_early(engine: Running) -> str:
    return _failure(engine, "/fails/early")


def fails_at_first(engine: Running) -> str:
    return _failure(engine, "/fails/first")


def fails_later(engine: Running) -> str:
    raw = exchange(engine, head("GET /fails/later"))
    broken = not raw.endswith(LAST) and b"stays open" not in raw
    text = "broken off" if broken else _quote(raw.partition(b"\r\n\r\n")[2])
    return mark(text, good=broken)


def fails_later_for_http_10(engine: Running) -> str:
    """The end of the connection is the only end that an HTTP/1.0 client sees."""
    raw = exchange(engine, head("GET /fails/later", version="HTTP/1.0"))
    return mark("reset", good=True) if b"(reset)" in raw else mark("looks complete", good=False)


def wrong_lengths(engine: Running) -> str:
    """Responses of 3 and 7 bytes with a Content-Length of 5, and another request after them."""
    after = head("GET /", "Connection: close")
    short = exchange(engine, head("GET /short") + after)
    alone = statuses(short) == ["200"]
    long = exchange(engine, head("GET /long") + after)
    cut = b"abcdefg" not in long
    few = mark("broken off" if alone else "the next response as its rest", good=alone)
    many = "500" if statuses(long)[:1] == ["500"] else "cut" if cut else "all 7"
    return f"{few} / {mark(many, good=cut)}"


def pipelined(engine: Running) -> str:
    three = head("GET /") * 2 + head("GET /chunks", "Connection: close")
    found = statuses(exchange(engine, three))
    return mark(f"{len(found)} of 3", good=found == ["200"] * 3)


def _failure(engine: Running, path: str) -> str:
    raw = exchange(engine, head(f"GET {path}"))
    found = statuses(raw)
    text = ", ".join(found) or "closed, no response"
    if found == ["200"]:
        text = "200, complete" if raw.endswith(LAST) else "200, broken off"
    return mark(text, good=found == ["500"])


def _quote(raw: bytes) -> str:
    return "``" + raw[:24].decode("latin-1").replace("\r\n", " ").strip() + "``"


PROBES = (
    Probe("the application fails before ``start_response``", fails_early),
    Probe("it fails after that, before the first chunk", fails_at_first),
    Probe("it fails after the first chunk, chunked", fails_later),
    Probe("the same for an HTTP/1.0 client", fails_later_for_http_10),
    Probe("it sends 3 bytes / 7 bytes, and announced 5", wrong_lengths),
    Probe("a response without a length to HTTP/1.0", http_10_client),
    Probe("body sent in response to HEAD", body_in_response_to_head),
    Probe("three pipelined requests", pipelined),
    Probe(
        "Content-Length beside Transfer-Encoding",
        refused(_request(b"Content-Length: 5\r\n", _CHUNKED, body=LAST)),
    ),
    Probe(
        "two different lengths / ``+5`` / ``-1``",
        refused(
            _request(b"Content-Length: 5\r\n", b"Content-Length: 6\r\n", body=b"hello"),
            _request(b"Content-Length: +5\r\n", body=b"hello"),
            _request(b"Content-Length: -1\r\n", body=b"hello"),
        ),
    ),
    Probe(
        "chunk sizes ``zz`` / ``0x5`` / ``5 5`` / ``-5``",
        refused(*map(_with_size, (b"zz", b"0x5", b"5 5", b"-5"))),
    ),
    Probe(
        "chunk data without its line end",
        refused(_request(_CHUNKED, body=b"5\r\nhelloXX" + LAST)),
    ),
    Probe(
        "``Content-Length :`` / a folded line / NUL in a value / bare LF",
        refused(
            _request(b"Content-Length : 5\r\n", body=b"hello"),
            _request(b"X: a\r\n b\r\n", b"Content-Length: 0\r\n"),
            _request(b"X: a\0b\r\n", b"Content-Length: 0\r\n"),
            _request(b"X: a\r\n", b"Content-Length: 0\n", b"Y: b\r\n"),
        ),
    ),
    Probe(
        "``Transfer-Encoding: gzip`` / ``chunked, gzip``",
        refused(
            _request(b"Transfer-Encoding: gzip\r\n", body=chunk(b"hello") + LAST),
            _request(b"Transfer-Encoding: chunked, gzip\r\n", body=chunk(b"hello") + LAST),
            by=("400", "501"),
        ),
    ),
    Probe(
        "no Host / two Host fields",
        refused(
            b"GET / HTTP/1.1\r\n\r\n",
            b"GET / HTTP/1.1\r\n" + _HOST + b"Host: other\r\n\r\n",
            closed=False,  # all agree on the end of such a request
        ),
    ),
    Probe(
        "HTTP/1.0 with Transfer-Encoding",
        refused(b"POST /read HTTP/1.0\r\n" + _HOST + _CHUNKED + b"\r\n" + chunk(b"hello") + LAST),
    ),
)
