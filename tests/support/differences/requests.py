"""Requests that restkit, h11 and llhttp parse differently."""

from __future__ import annotations

from collections.abc import Iterator

from support.differences import ACCEPTED, ANY, Difference, find_rows
from support.request_parsers import Outcome, parse_by_h11, parse_by_llhttp, parse_by_restkit

LINE = rb"^(?:\r\n)?[^\r\n]*"
TWO_LENGTHS = rb"content-length:[^\n]*,|content-length:.*content-length:"
IN_TRAILERS = rb"\n0[^\n]*\r\n.*(?:content-length|transfer-encoding):"
CTL = rb"[\x01-\x08\x0b\x0c\x0e-\x1f\x7f]"
NO_LINE = "the request begins with"
NO_TARGET = "is not a valid target for "

DIFFERENCES = [
    # Rejected by restkit: the request line
    Difference(
        *("h11", "the method is longer", ACCEPTED, ANY),
        "9112 3: a method longer than any known one gets 501",
    ),
    Difference(
        *("h11 llhttp", "the target is longer", ACCEPTED, ANY),
        "9112 3: every server has a bound of at least 8000 octets, and responds with 414",
    ),
    Difference(
        *("h11 llhttp", NO_LINE, ACCEPTED, LINE + b"#"),
        "9112 3.2: no form of a target has a fragment",
    ),
    Difference(
        *("h11 llhttp", NO_TARGET + "(?!CONNECT)", ACCEPTED, LINE + rb" [A-Za-z][^ /]*://[^ ]*@"),
        "9110 4.2.4: user info in a target can hide the real host, and should be an error",
    ),
    Difference(
        *("h11 llhttp", NO_TARGET + "(?!CONNECT)", ACCEPTED, LINE + rb" [A-Za-z][^ /]*:/"),
        "9110 4.2: an http URL has a name or an address; RFC 3986 3.2.2 lists its bytes",
    ),
    Difference(
        *("h11", NO_TARGET + "(?!CONNECT)", ACCEPTED, LINE + rb" [^/* ]"),
        "9112 3.2: a target that is neither a path nor a URL has none of the four forms",
    ),
    Difference(
        *("h11 llhttp", NO_TARGET + "(?!CONNECT|OPTIONS)", ACCEPTED, LINE + rb" \*"),
        "9112 3.2.4: an asterisk is only for OPTIONS",
    ),
    Difference(
        *("h11 llhttp", NO_TARGET + "OPTIONS", ACCEPTED, LINE + rb" \*[^ ]"),
        "9112 3.2.4: the asterisk stands alone",
    ),
    Difference(
        *("h11 llhttp", NO_TARGET + "CONNECT", ACCEPTED, ANY),
        "9112 3.2.3: CONNECT has a host and a port, and no other method has",
    ),
    Difference(
        *("llhttp", NO_LINE, ACCEPTED, LINE + b"  "),
        "9112 3: one space between the parts; a parser that accepts more may see another target",
    ),
    Difference(
        *("llhttp", NO_LINE, ACCEPTED, rb"^(?:\r\n)?[A-Z-]+ +[^ \r\n]* *\r?\n"),
        "9112 2.3: HTTP/0.9 is not supported, and has no fields",
    ),
    Difference(
        *("h11 llhttp", "the HTTP version must be", ACCEPTED, ANY),
        "9112 2.3: only 1.0 and 1.1 have this syntax; 505 says so",
    ),
    Difference(
        *("llhttp", NO_LINE, ACCEPTED, LINE + rb" (?:ICE|RTSP)/"),
        "9112 2.3: other protocols than HTTP",
    ),
    Difference(
        *("llhttp", NO_LINE, ACCEPTED, rb"^[\r\n]"),
        "9112 2.2: one empty line is skipped, for clients that send one after a body",
    ),
    # Rejected by restkit: lines and fields
    Difference(
        *("h11", "has a bare LF|" + NO_LINE, ACCEPTED, rb"(?:^|[^\r])\n"),
        "9112 2.2: a recipient may accept LF as CRLF; one that does not sees another head",
    ),
    Difference(
        *("h11", "is folded", ACCEPTED, ANY),
        "9112 5.2: a server rejects a fold or replaces it; some intermediaries see two fields",
    ),
    Difference(
        *("h11", "has a control character", ACCEPTED, CTL),
        "9110 5.5: control characters are invalid; h11 rejects only VT and FF",
    ),
    Difference(
        *("llhttp", "must have one Host field", ACCEPTED, ANY),
        "9112 3.2: a request without exactly one Host gets 400; llhttp leaves it to its user",
    ),
    Difference(
        *("h11 llhttp", "the Host field must be", ACCEPTED, ANY),
        "9112 3.2: so does an invalid Host; h11 and llhttp leave it to their users",
    ),
    Difference(
        *("h11 llhttp", "more than 256 fields|the head is longer", ACCEPTED, ANY),
        "9110 5.4: every recipient has bounds; h11 has them for incomplete messages only",
    ),
    # Rejected by restkit: the framing of bodies
    Difference(
        *("h11", "both Transfer-Encoding and Content-Length", ACCEPTED, ANY),
        "9112 6.1: it may be request smuggling, for a recipient that uses the other field",
    ),
    Difference(
        *("h11 llhttp", "which has none", ACCEPTED, ANY),
        "9112 6.1: Transfer-Encoding in HTTP/1.0 is faulty framing",
    ),
    Difference(
        *("llhttp", "Transfer-Encoding must be chunked", ACCEPTED, ANY),
        "9112 6.1: an unknown coding gets 501",
    ),
    Difference(
        *("h11 llhttp", r"Content-Length must be .*'\d{20,}'", ACCEPTED, ANY),
        "9110 8.6: guards against overflow; no body needs more than 19 digits",
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
        *("h11 llhttp", "more than 4096 bytes", ACCEPTED, ANY),
        "9112 7.1.1: the length of extensions should be limited",
    ),
    # Accepted by restkit
    Difference(
        *("h11", ACCEPTED, "no request line received", rb"^\r\n"),
        "9112 2.2: an empty line before the request line should be skipped",
    ),
    Difference(
        *(
            "h11 llhttp",
            ACCEPTED,
            "illegal request line|Invalid char in url",
            LINE + rb"[\x80-\xff]",
        ),
        "9112 3.2: no target has such octets; but curl sends them, and no recipient misreads them",
    ),
    Difference(
        *("llhttp", ACCEPTED, "Invalid method|Expected space after method", ANY),
        "9110 9.1: any token is a method; a server that does not know it responds 405 or 501",
    ),
    Difference(
        *("llhttp", ACCEPTED, "Unexpected char in url schema", LINE + rb" [a-z]+[0-9+.-]"),
        "RFC 3986 3.1: a scheme may have digits, plus, dot and hyphen after its first letter",
    ),
    Difference(
        *("llhttp", ACCEPTED, "Content-Length", TWO_LENGTHS),
        "9110 8.6: the same length twice, in one field or two, may count as one",
    ),
    Difference(
        *("h11", ACCEPTED, ACCEPTED, TWO_LENGTHS),
        "9110 8.6: h11 makes them one field; restkit keeps fields unchanged",
    ),
    Difference(
        *("h11 llhttp", ACCEPTED, "Content-Length|Transfer-Encoding", IN_TRAILERS),
        "9110 6.5.1: it has no meaning in trailers, which are kept separate",
    ),
    Difference(
        *("h11", ACCEPTED, ACCEPTED, rb"transfer-encoding:[^\n]*(?-i:[A-Z])"),
        "9112 7: codings ignore case; h11 returns them in lower case, restkit unchanged",
    ),
    Difference(
        *("llhttp", ACCEPTED, "Transfer-Encoding", rb"transfer-encoding:[^\n]*\t"),
        "9110 5.5: a tab after a value is not part of it",
    ),
    Difference(
        *("h11", ACCEPTED, "illegal chunk header", rb"[ \t];"),
        "9112 7.1.1: blanks before an extension must be accepted, and are not part of it",
    ),
    Difference(
        *("llhttp", ACCEPTED, "Invalid character in chunk size", rb"\n[0-9a-f]+[ \t]"),
        "9112 7.1.1: as above; after a size they change nothing, and h11 accepts them too",
    ),
    Difference(
        *("llhttp", ACCEPTED, "Invalid character in chunk extension", rb";"),
        "9112 7.1.1: unknown extensions must be ignored; restkit knows none",
    ),
    Difference(
        *(
            "llhttp",
            "^$|chunk|trailers|connection was closed",
            ACCEPTED,
            LINE + rb".*(?:^(?:\r\n)?CONNECT |upgrade:)",
        ),
        "9110 9.3.6 and 7.8: llhttp stops where the protocol may change; a server that does "
        "not change it reads the body as it is framed",
    ),
]


def find_differences(data: bytes) -> list[tuple[str, Outcome, Outcome]]:
    """Return (parser, restkit's outcome, its outcome) for each parser that differs."""
    ours = parse_by_restkit([data])
    theirs = {"h11": parse_by_h11(data), "llhttp": parse_by_llhttp(data)}
    return [(parser, ours, its) for parser, its in theirs.items() if not ours.agrees_with(its)]


def explain(data: bytes, parser: str, ours: Outcome, theirs: Outcome) -> Iterator[Difference]:
    """Return the rows of the table that explain a difference."""
    return find_rows(DIFFERENCES, data, parser, ours.fault, theirs.fault)


def find_unlisted(data: bytes) -> list[tuple[str, Outcome, Outcome]]:
    """Return the differences that the table does not explain."""
    return [found for found in find_differences(data) if not any(explain(data, *found))]
