"""Rows about heads: which requests are refused, and how answers are framed."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from benchmarks.engines.judging import Probe, judged
from benchmarks.engines.raw import LAST, chunk, head, said, statuses

if TYPE_CHECKING:
    from benchmarks.engines.running import Running

_LINE = b"POST /read HTTP/1.1\r\n"
_HOST = b"Host: engines\r\n"
_CHUNKED = b"Transfer-Encoding: chunked\r\n"


def refused(
    *requests: bytes, by: tuple[str, ...] = ("400",), closed: bool = True
) -> Callable[[Running], str]:
    """Each is to be answered once, by one of these, and the connection closed."""

    def look(engine: Running) -> str:
        found = []
        for request in requests:
            raw = said(engine, request)
            answers = statuses(raw)
            good = len(answers) == 1 and answers[0] in by
            good = good and not (closed and b"stays open" in raw)
            found.append((_of_refusal(answers, raw), good))
        if len({text for text, _ in found}) == 1:
            return judged(found[0][0], good=found[0][1])
        return " / ".join(judged(text, good=good) for text, good in found)

    return look


def _of_refusal(answers: list[str], raw: bytes) -> str:
    if not answers:
        return "no response, stays open" if b"stays open" in raw else "closed, no response"
    return ", ".join(answers) + (", stays open" if b"stays open" in raw else "")


def _request(*lines: bytes, body: bytes = b"") -> bytes:
    return _LINE + _HOST + b"".join(lines) + b"\r\n" + body


def _with_size(line: bytes) -> bytes:
    return _request(_CHUNKED, body=line + b"\r\nhello\r\n" + LAST)


def old_client(engine: Running) -> str:
    raw = said(engine, head("GET /pieces", version="HTTP/1.0"))
    good = raw.endswith(b"\r\n\r\nab") and b"chunked" not in raw.lower()
    return judged("raw bytes, then closed" if good else _shown(raw), good=good)


def body_of_head(engine: Running) -> str:
    raw = said(engine, head("HEAD /pieces", "Connection: close"))
    body = raw.partition(b"\r\n\r\n")[2]
    return judged("none" if not body else f"sent: {_shown(body)}", good=not body)


def fails_early(engine: Running) -> str:
    return _failure(engine, "/fails/early")


def fails_at_first(engine: Running) -> str:
    return _failure(engine, "/fails/first")


def fails_later(engine: Running) -> str:
    raw = said(engine, head("GET /fails/later"))
    broken = not raw.endswith(LAST) and b"stays open" not in raw
    text = "broken off" if broken else _shown(raw.partition(b"\r\n\r\n")[2])
    return judged(text, good=broken)


def fails_later_for_old(engine: Running) -> str:
    """The end of the connection is all that such a client sees of the end."""
    raw = said(engine, head("GET /fails/later", version="HTTP/1.0"))
    return judged("reset", good=True) if b"(reset)" in raw else judged("looks complete", good=False)


def wrong_lengths(engine: Running) -> str:
    """3 bytes, and 7, where 5 are announced, and another request behind."""
    behind = head("GET /", "Connection: close")
    short = said(engine, head("GET /short") + behind)
    alone = statuses(short) == ["200"]
    long = said(engine, head("GET /long") + behind)
    cut = b"abcdefg" not in long
    few = judged("broken off" if alone else "the next response as its rest", good=alone)
    many = "500" if statuses(long)[:1] == ["500"] else "cut" if cut else "all 7"
    return f"{few} / {judged(many, good=cut)}"


def one_after_the_other(engine: Running) -> str:
    three = head("GET /") * 2 + head("GET /pieces", "Connection: close")
    found = statuses(said(engine, three))
    return judged(f"{len(found)} of 3", good=found == ["200"] * 3)


def _failure(engine: Running, path: str) -> str:
    raw = said(engine, head(f"GET {path}"))
    found = statuses(raw)
    text = ", ".join(found) or "closed, no response"
    if found == ["200"]:
        text = "200, complete" if raw.endswith(LAST) else "200, broken off"
    return judged(text, good=found == ["500"])


def _shown(raw: bytes) -> str:
    return "``" + raw[:24].decode("latin-1").replace("\r\n", " ").strip() + "``"


PROBES = (
    Probe("the application fails before ``start_response``", fails_early),
    Probe("it fails after that, before the first chunk", fails_at_first),
    Probe("it fails after the first chunk, chunked", fails_later),
    Probe("the same for an HTTP/1.0 client", fails_later_for_old),
    Probe("it sends 3 bytes / 7 bytes, and announced 5", wrong_lengths),
    Probe("a response without a length to HTTP/1.0", old_client),
    Probe("body sent in response to HEAD", body_of_head),
    Probe("three pipelined requests", one_after_the_other),
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
            closed=False,  # nobody takes such a request's end for another place
        ),
    ),
    Probe(
        "HTTP/1.0 with Transfer-Encoding",
        refused(b"POST /read HTTP/1.0\r\n" + _HOST + _CHUNKED + b"\r\n" + chunk(b"hello") + LAST),
    ),
)
