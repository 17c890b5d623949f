"""Responses that restkit, h11 and llhttp parse differently."""

from __future__ import annotations

from collections.abc import Iterator

from support.differences import ACCEPTED, ANY, Difference, find_rows
from support.response_parsers import Outcome, parse_by_h11, parse_by_llhttp, parse_by_restkit

NO_BODY = rb"^HEAD |HTTP/[1-3][.0-9]* (?:1..|204|304)"
VALUE = rb"(?:[^\n]|\n[ \t])*"
TWO_LENGTHS = rb"content-length:" + VALUE + rb",|content-length:.*content-length:"
TWO_ENCODINGS = rb"transfer-encoding:" + VALUE + rb"chunked.*chunked"
BARE_LF = rb"(?:^|[^\r])\n"
OTHER_VERSION = rb"HTTP/(?:1\.[2-9]|[23])"
BLANK_FIRST_LINE = rb":[ \t]*\r\n[ \t]"
IN_TRAILERS = rb"\n0[^\n]*\r\n.*(?:content-length|transfer-encoding):"
CLOSED_EARLY = rb"HTTP/[1-3][.0-9]* 1.*connection:" + VALUE + rb"close|HTTP/(?!1\.1)[.0-9]+ 1"
CTL = rb"[\x01-\x08\x0b\x0c\x0e-\x1f\x7f]"

DIFFERENCES = [
    # Rejected by restkit
    Difference(
        *("llhttp", "Transfer-Encoding must be chunked", ACCEPTED, ANY),
        "9112 6.1: the body would stay encoded; no TE that allows it was sent (9110 10.1.4)",
    ),
    Difference(
        *("h11 llhttp", r"Content-Length must be .*'\d{20,}'", ACCEPTED, ANY),
        "9110 8.6: guards against overflow; no body needs more than 19 digits",
    ),
    Difference(
        *("h11", "has a bare LF", ACCEPTED, ANY),
        "9112 7.1: in trailers; programs differ on where such a body ends",
    ),
    Difference(
        *("h11 llhttp", r"the response begins with .HTTP/0\.", ACCEPTED, ANY),
        "9112 2.3: HTTP/0.9 has no status line; h11 accepts any two digits",
    ),
    Difference(
        *("h11", r"the response begins with .HTTP/[4-9]\.", ACCEPTED, ANY),
        "9112 2.3: as above, with a version that does not exist",
    ),
    Difference(
        *("llhttp", "the response begins with .(?:ICE|RTSP)/", ACCEPTED, ANY),
        "9112 2.3: other protocols than HTTP",
    ),
    Difference(
        *("llhttp", r"the response begins with .(?:'|\\r|\\n)", ACCEPTED, ANY),
        "9112 2.2: empty lines may be skipped before a request, not before a response",
    ),
    Difference(
        *("llhttp", r"the response begins with .HTTP/[1-3][.0-9]* 0", ACCEPTED, ANY),
        "9110 15: a status is from 100 to 599; 600 to 999 may count as 500",
    ),
    Difference(
        *("llhttp", "the response begins with", ACCEPTED, rb"HTTP/[1-3][.0-9]* \d{3} [^\r\n]*\0"),
        "9112 4: no reason has a NUL, which ends a string elsewhere",
    ),
    Difference(
        *("h11 llhttp", r"no chunk size, but b.[0-9A-Fa-f]{17}", ACCEPTED, ANY),
        "9112 7.1: recipients must guard against large sizes; 16 digits are 64 bits",
    ),
    Difference(
        *("h11", r"no chunk size, but b.[0-9A-Fa-f]+[ \t]*;", ACCEPTED, rb";[^\n]*(?:\0|\r[^\n])"),
        "9112 2.2 and 7.1.1: no extension has a bare CR or a NUL; h11 only rejects LF",
    ),
    Difference(
        *("h11 llhttp", "more than 1000 field lines|longer than 262144 bytes", ACCEPTED, ANY),
        "9110 5.4: every recipient has bounds; h11 has them for incomplete messages only",
    ),
    Difference(
        *("h11 llhttp", "more than 4096 bytes", ACCEPTED, ANY),
        "9112 7.1.1: the length of extensions should be limited",
    ),
    Difference(
        *("h11 llhttp", "more than 32 interim", ACCEPTED, ANY),
        "9110 15.2: any number would be valid, but no client has a use for 33",
    ),
    # Accepted by restkit
    Difference(
        *("llhttp", ACCEPTED, "Missing expected CR|Invalid (?:header|response)", BARE_LF),
        "9112 2.2: a recipient may accept LF as CRLF in a head, and servers send it",
    ),
    Difference(
        *("llhttp", ACCEPTED, "Invalid HTTP version|Expected dot", OTHER_VERSION),
        "9110 2.5: a client should accept a higher minor version; HTTP/2 stands in converted text",
    ),
    Difference(
        *("h11", ACCEPTED, "illegal status line", rb"HTTP/[23] "),
        "9112 2.3: as above, without a second digit",
    ),
    Difference(
        *("llhttp", ACCEPTED, "can't be present with", rb"transfer-encoding:"),
        "9112 6.3(3): Transfer-Encoding overrides Content-Length; restkit closes the connection",
    ),
    Difference(
        *("h11", ACCEPTED, "Transfer-Encoding", TWO_ENCODINGS),
        "9112 7.1: the chunks end at the same byte, whether they are named once or twice",
    ),
    Difference(
        *("h11", ACCEPTED, "conflicting Content-Length", TWO_LENGTHS),
        "9110 8.6: one value in two spellings; both end the body at the same byte",
    ),
    Difference(
        *("llhttp", ACCEPTED, "Unexpected whitespace after header value", rb"\r\n[ \t]"),
        "9112 5.2: a user agent must read a folded line as blanks",
    ),
    Difference(
        *("llhttp", ACCEPTED, "Invalid header value char", BLANK_FIRST_LINE),
        "9112 5.2: as above, with nothing before the fold",
    ),
    Difference(
        *("llhttp", ACCEPTED, "Content-Length", TWO_LENGTHS),
        "9110 8.6: the same length twice, in one field or two, may count as one",
    ),
    Difference(
        *("h11 llhttp", ACCEPTED, "Content-Length|Transfer-Encoding", IN_TRAILERS),
        "9110 6.5.1: it has no meaning in trailers, which are kept separate",
    ),
    Difference(
        *("h11 llhttp", ACCEPTED, "Content-Length|Transfer-Encoding", NO_BODY),
        "9112 6.3(1): there is no body, whatever the fields say",
    ),
    Difference(
        *("llhttp", "^$|chunk|trailers", ACCEPTED, rb"transfer-encoding:" + VALUE + rb"\t"),
        "9110 5.5: a tab after a value is not part of it; llhttp does not see the chunks then",
    ),
    Difference(
        *("h11", ACCEPTED, ACCEPTED, rb"transfer-encoding:" + VALUE + rb"(?-i:[A-Z])"),
        "9112 7: codings ignore case; h11 returns them in lower case, restkit unchanged",
    ),
    Difference(
        *("h11", ACCEPTED, ACCEPTED, TWO_LENGTHS),
        "9110 8.6: h11 makes them one field; restkit keeps fields unchanged",
    ),
    Difference(
        *("h11", ACCEPTED, ACCEPTED, rb"[ \t]\r?\n[ \t]"),
        "9112 5.2: h11 leaves the blanks before a fold in the value",
    ),
    Difference(
        *("h11", ACCEPTED, "illegal chunk header", rb"[ \t];"),
        "9112 7.1.1: blanks before an extension must be accepted, and are not part of it",
    ),
    Difference(
        *("llhttp", ACCEPTED, "Invalid character in chunk size", rb"\n[0-9a-f]+[ \t]"),
        "9112 7.1.1: as above; after a size they pad the line of old servers, and h11 accepts them",
    ),
    Difference(
        *("llhttp", ACCEPTED, "Invalid character in chunk extension", rb";"),
        "9112 7.1.1: unknown extensions must be ignored; restkit knows none",
    ),
    Difference(
        *("llhttp", ACCEPTED, "Invalid header value char", CTL),
        "9110 5.5: control characters except CR, LF and NUL may be kept",
    ),
    Difference(
        *("h11", ACCEPTED, "illegal header line", rb"[\x0b\x0c]"),
        "9110 5.5: as above; h11 rejects VT and FF, and accepts the others",
    ),
    Difference(
        *("h11", ACCEPTED, "illegal status line", rb"HTTP/[1-3][.0-9]* \d{3}[^\n]*[\x0b\x0c]"),
        "9112 4: as above, in a reason, which a client should ignore",
    ),
    Difference(
        *("llhttp", ACCEPTED, "Data after `Connection: close`", CLOSED_EARLY),
        "9112 9.6: the connection closes after the final response",
    ),
    Difference(
        *("llhttp", "", "", rb"HTTP/1\.[01] 1(?!0[0-3])\d\d[^\n]*\n.*(?:length|encoding):"),
        "9112 6.3(1): no 1xx has a body; llhttp only knows it for 100 to 103",
    ),
]


def find_differences(data: bytes, method: str) -> list[tuple[str, Outcome, Outcome]]:
    """Return (parser, restkit's outcome, its outcome) for each parser that differs."""
    ours = parse_by_restkit(data, method)
    theirs = {"h11": parse_by_h11(data, method)}
    if method != "HEAD":
        theirs["llhttp"] = parse_by_llhttp(data)
    return [(parser, ours, its) for parser, its in theirs.items() if not ours.agrees_with(its)]


def explain(
    data: bytes, method: str, parser: str, ours: Outcome, theirs: Outcome
) -> Iterator[Difference]:
    """Return the rows of the table that explain a difference. They match method and message."""
    message = method.encode() + b" " + data
    return find_rows(DIFFERENCES, message, parser, ours.fault, theirs.fault)


def find_unlisted(data: bytes, method: str) -> list[tuple[str, Outcome, Outcome]]:
    """Return the differences that the table does not explain."""
    return [
        found for found in find_differences(data, method) if not any(explain(data, method, *found))
    ]
