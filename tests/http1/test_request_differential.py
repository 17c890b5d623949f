"""The same requests through restkit, h11 and llhttp: every difference in outcome has its reason.

Compared are h11 0.16.0, as a server, and httptools 0.9.0, which is llhttp 9 with none of its
leniencies; ``support.request_peers`` brings what they say into one form.

``DIFFERENCES`` is the one table, read as in ``test_wire_differential``. A difference that is not
in it fails, and so does a row, or a peer in a row, that no message of the corpus needs any more.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

import pytest
from hypothesis import given, settings

from support.request_corpus import MESSAGES, near_requests, requests
from support.request_peers import Outcome, by_h11, by_llhttp, by_restkit
from support.wire_strategies import examples

# The table


class Difference(NamedTuple):
    """Where peers come to another outcome than restkit, and why restkit's is the right one.

    ``ours`` and ``theirs`` are found in what each says of the message, TAKEN where it takes it;
    ``data`` is found in the message. Numbers are sections of RFCs.
    """

    peers: str
    ours: str
    theirs: str
    data: bytes
    reason: str


TAKEN = "^$"
ANY = rb""
LINE = rb"^(?:\r\n)?[^\r\n]*"
TWO_LENGTHS = rb"content-length:[^\n]*,|content-length:.*content-length:"
IN_TRAILERS = rb"\n0[^\n]*\r\n.*(?:content-length|transfer-encoding):"
CTL = rb"[\x01-\x08\x0b\x0c\x0e-\x1f\x7f]"
NO_LINE = "the request begins with"

DIFFERENCES = [
    # Refused by restkit: the request line
    Difference(
        *("h11", "the method is longer", TAKEN, ANY),
        "9112 3: a method longer than any that is known is answered with 501",
    ),
    Difference(
        *("h11 llhttp", "the target is longer", TAKEN, ANY),
        "9112 3: every server has its bound, of 8000 octets at least, and answers 414",
    ),
    Difference(
        *("h11 llhttp", NO_LINE, TAKEN, LINE + b"#"),
        "9112 3.2: no form of a target has a fragment",
    ),
    Difference(
        *("h11 llhttp", "is no target for (?!CONNECT)", TAKEN, LINE + rb" [A-Za-z][^ /]*://[^ ]*@"),
        "9110 4.2.4: user info in a target hides whom the request is for, and ought to be an error",
    ),
    Difference(
        *("h11 llhttp", "is no target for (?!CONNECT)", TAKEN, LINE + rb" [A-Za-z][^ /]*:/"),
        "9110 4.2: a URL of http has a name or an address in it; RFC 3986 3.2.2: of these bytes",
    ),
    Difference(
        *("h11", "is no target for (?!CONNECT)", TAKEN, LINE + rb" [^/* ]"),
        "9112 3.2: one of four forms; a target that is no path and no URL is none of them",
    ),
    Difference(
        *("h11 llhttp", r"is no target for (?!CONNECT|OPTIONS)", TAKEN, LINE + rb" \*"),
        "9112 3.2.4: an asterisk is asked for with OPTIONS only",
    ),
    Difference(
        *("h11 llhttp", "is no target for CONNECT", TAKEN, ANY),
        "9112 3.2.3: CONNECT has a host and a port, and nothing else has",
    ),
    Difference(
        *("llhttp", NO_LINE, TAKEN, LINE + b"  "),
        "9112 3: one space between the parts; who takes more may see another target",
    ),
    Difference(
        *("llhttp", NO_LINE, TAKEN, rb"^(?:\r\n)?[A-Z-]+ +[^ \r\n]+ *\r?\n"),
        "9112 2.3: HTTP/0.9 is not spoken, and has no fields",
    ),
    Difference(
        *("h11 llhttp", "another version", TAKEN, ANY),
        "9112 2.3: only 1.0 and 1.1 have this syntax, and the client is told so with 505",
    ),
    Difference(
        *("llhttp", NO_LINE, TAKEN, LINE + rb" (?:ICE|RTSP)/"),
        "9112 2.3: other protocols than HTTP",
    ),
    Difference(
        *("llhttp", NO_LINE, TAKEN, rb"^[\r\n]"),
        "9112 2.2: one empty line is passed over, for the clients that had it behind a body",
    ),
    # Refused by restkit: lines and fields
    Difference(
        *("h11", "has a bare LF|" + NO_LINE, TAKEN, rb"(?:^|[^\r])\n"),
        "9112 2.2: a recipient may take LF for CRLF; whoever does not sees another head",
    ),
    Difference(
        *("h11", "is folded", TAKEN, ANY),
        "9112 5.2: a server refuses a fold, or makes blanks of it; some between see two fields",
    ),
    Difference(
        *("llhttp", "Host fields: one is wanted", TAKEN, ANY),
        "9112 3.2: without exactly one Host the answer is 400; llhttp leaves it to its user",
    ),
    Difference(
        *("h11 llhttp", "the Host field has no name", TAKEN, ANY),
        "9112 3.2: so is one whose value is no Host; h11 and llhttp leave it to their users",
    ),
    Difference(
        *("h11 llhttp", "more than 256 fields|the head is longer", TAKEN, ANY),
        "9110 5.4: every recipient has its bounds; h11's are for what is not whole yet",
    ),
    # Refused by restkit: the framing of bodies
    Difference(
        *("h11", "both Transfer-Encoding and Content-Length", TAKEN, ANY),
        "9112 6.1: it may be an attempt to smuggle a request past somebody who reads the other",
    ),
    Difference(
        *("h11 llhttp", "which knows none", TAKEN, ANY),
        "9112 6.1: Transfer-Encoding in HTTP/1.0 is faulty framing",
    ),
    Difference(
        *("llhttp", "Transfer-Encoding .*chunked, and alone", TAKEN, ANY),
        "9112 6.1: a coding that is not understood is answered with 501",
    ),
    Difference(
        *("h11 llhttp", r"Content-Length '\d{20,}'", TAKEN, ANY),
        "9110 8.6: what could overflow is guarded against; 19 digits are more than any body has",
    ),
    Difference(
        *("h11 llhttp", r"no chunk size, but b.[0-9A-Fa-f]{17}", TAKEN, ANY),
        "9112 7.1: large sizes are to be guarded against; 16 digits fill 64 bits",
    ),
    Difference(
        *("h11", r"no chunk size, but b.[0-9A-Fa-f]+[ \t]*;", TAKEN, rb";[^\n]*(?:\0|\r[^\n])"),
        "9112 2.2 and 7.1.1: a bare CR or a NUL is in no extension; h11 takes any byte but LF",
    ),
    Difference(
        *("h11 llhttp", "more than 4096 bytes", TAKEN, ANY),
        "9112 7.1.1: the length of extensions ought to be limited",
    ),
    # Taken by restkit
    Difference(
        *("h11", TAKEN, "no request line received", rb"^\r\n"),
        "9112 2.2: an empty line before the request line should be passed over",
    ),
    Difference(
        *("h11 llhttp", TAKEN, "illegal request line|Invalid char in url", LINE + rb"[\x80-\xff]"),
        "9112 3.2: no target has such octets; curl sends what was typed, and no one misreads it",
    ),
    Difference(
        *("llhttp", TAKEN, "Invalid method|Expected space after method", ANY),
        "9110 9.1: any token is a method, and who does not know it answers 405 or 501",
    ),
    Difference(
        *("llhttp", TAKEN, "Unexpected char in url schema", LINE + rb" [a-z]+[0-9+.-]"),
        "RFC 3986 3.1: a scheme may have digits, plus, dot and hyphen behind its first letter",
    ),
    Difference(
        *("llhttp", TAKEN, "Invalid header value char", CTL),
        "9110 5.5: control characters but CR, LF and NUL may be kept",
    ),
    Difference(
        *("h11", TAKEN, "illegal header line", rb"[\x0b\x0c]"),
        "9110 5.5: as above; h11 refuses VT and FF, and takes the others",
    ),
    Difference(
        *("llhttp", TAKEN, "Content-Length", TWO_LENGTHS),
        "9110 8.6: the same length twice, in one field or two, may be taken as one",
    ),
    Difference(
        *("h11", TAKEN, TAKEN, TWO_LENGTHS),
        "9110 8.6: h11 makes one field of them; restkit hands fields on as they came",
    ),
    Difference(
        *("h11 llhttp", TAKEN, "Content-Length|Transfer-Encoding", IN_TRAILERS),
        "9110 6.5.1: among the trailers it means nothing, and they are kept apart",
    ),
    Difference(
        *("h11", TAKEN, TAKEN, rb"transfer-encoding:[^\n]*(?-i:[A-Z])"),
        "9112 7: codings have no case; h11 hands them on in lower case, restkit as they came",
    ),
    Difference(
        *("llhttp", TAKEN, "Transfer-Encoding", rb"transfer-encoding:[^\n]*\t"),
        "9110 5.5: a tab behind a value is none of it",
    ),
    Difference(
        *("h11", TAKEN, "illegal chunk header", rb"[ \t];"),
        "9112 7.1.1: blanks before an extension must be taken, and are none of it",
    ),
    Difference(
        *("llhttp", TAKEN, "Invalid character in chunk size", rb"\n[0-9a-f]+[ \t]"),
        "9112 7.1.1: as above; behind a size they say nothing else than it, and h11 takes them too",
    ),
    Difference(
        *("llhttp", TAKEN, "Invalid character in chunk extension", rb";"),
        "9112 7.1.1: extensions that are not known are to be ignored; restkit knows none",
    ),
    Difference(
        *("llhttp", TAKEN, "Unexpected whitespace after header value", rb"\n0.*\r\n[ \t]"),
        "9112 5.2: in trailers, which mean nothing here, a fold is read as blanks",
    ),
    Difference(
        *("llhttp", TAKEN, TAKEN, LINE + rb".*(?:^(?:\r\n)?CONNECT |upgrade:)"),
        "9110 9.3.6 and 7.8: llhttp leaves off where the protocol may change; a server that does "
        "not change it reads the body as it is framed",
    ),
]


def differences(data: bytes) -> list[tuple[str, Outcome, Outcome]]:
    """(peer, restkit's outcome, the peer's), for each peer that differs."""
    ours = by_restkit([data])
    theirs = {"h11": by_h11(data), "llhttp": by_llhttp(data)}
    return [(peer, ours, its) for peer, its in theirs.items() if not ours.agrees_with(its)]


def rows(data: bytes, peer: str, ours: Outcome, theirs: Outcome) -> Iterator[Difference]:
    """What the table says of a difference."""
    for row in DIFFERENCES:
        if (
            peer in row.peers.split()
            and re.search(row.ours, ours.fault)
            and re.search(row.theirs, theirs.fault)
            and re.search(row.data, data, re.DOTALL | re.IGNORECASE)
        ):
            yield row


def unlisted(data: bytes) -> list[tuple[str, Outcome, Outcome]]:
    return [found for found in differences(data) if not any(rows(data, *found))]


@pytest.mark.parametrize("data", MESSAGES, ids=range(len(MESSAGES)))
def test_every_difference_in_the_corpus_has_its_reason(data: bytes) -> None:
    assert unlisted(data) == []


def test_every_reason_is_needed_by_the_corpus() -> None:
    needed = {
        (peer, row)
        for data in MESSAGES
        for peer, ours, theirs in differences(data)
        for row in rows(data, peer, ours, theirs)
    }
    listed = {(peer, row) for row in DIFFERENCES for peer in row.peers.split()}
    assert listed - needed == set()


@settings(max_examples=examples(300))
@given(near_requests())
def test_every_difference_in_what_is_nearly_right_has_its_reason(data: bytes) -> None:
    assert unlisted(data) == []


@settings(max_examples=examples(100))
@given(requests())
def test_what_differs_in_right_requests_is_taken_by_restkit(data: bytes) -> None:
    assert by_restkit([data]).fault == ""
    assert unlisted(data) == []
