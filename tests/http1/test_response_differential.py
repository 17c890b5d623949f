"""The same answers through restkit, h11 and llhttp: every difference in outcome has its reason.

Compared are h11 0.16.0, as a client that has sent its request, and httptools 0.9.0, which is
llhttp 9 with none of its leniencies; ``support.wire_peers`` brings what they say into one form.

``DIFFERENCES`` is the one table. A difference that is not in it fails, and so does a row, or a
peer in a row, that no message of the corpus needs any more.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.wire_corpus import CORPUS
from support.wire_peers import Outcome, by_h11, by_llhttp, by_restkit
from support.wire_strategies import METHODS, answers, examples, near_answers

# The table


class Difference(NamedTuple):
    """Where peers come to another outcome than restkit, and why restkit's is the right one.

    ``ours`` and ``theirs`` are found in what each says of the message, TAKEN where it takes it;
    ``data`` is found in the method and the message behind it. Numbers are sections of RFCs.
    """

    peers: str
    ours: str
    theirs: str
    data: bytes
    reason: str


TAKEN = "^$"
ANY = rb""
NO_BODY = rb"^HEAD |HTTP/1\.[01] (?:1..|204|304)"
VALUE = rb"(?:[^\n]|\n[ \t])*"
TWO_LENGTHS = rb"content-length:" + VALUE + rb",|content-length:.*content-length:"
BLANK_FIRST_LINE = rb":[ \t]*\r\n[ \t]"
IN_TRAILERS = rb"\n0[^\n]*\r\n.*(?:content-length|transfer-encoding):"
CLOSED_EARLY = rb"HTTP/1\.[01] 1.*connection:" + VALUE + rb"close|HTTP/1\.0 1"
CTL = rb"[\x01-\x08\x0b\x0c\x0e-\x1f\x7f]"

DIFFERENCES = [
    # Refused by restkit
    Difference(
        *("h11", "both Transfer-Encoding and Content-Length", TAKEN, ANY),
        "9112 6.1 and 6.3(3): it may be an attempt to split the answer, and ought to be an error",
    ),
    Difference(
        *("llhttp", "Transfer-Encoding .*chunked, and alone", TAKEN, ANY),
        "9112 6.1: the body would be handed on coded; no TE was sent that allows it (9110 10.1.4)",
    ),
    Difference(
        *("h11 llhttp", r"Content-Length '\d{20,}'", TAKEN, ANY),
        "9110 8.6: what could overflow is guarded against; 19 digits are more than any body has",
    ),
    Difference(
        *("h11", "has a bare LF", TAKEN, ANY),
        "9112 2.2: a recipient may take LF for CRLF; whoever does not sees another head",
    ),
    Difference(
        *("h11", "the answer begins with", TAKEN, rb"[^\r]\n"),
        "9112 2.2: as above, with the bare LF behind the status line",
    ),
    Difference(
        *("h11", r"the answer begins with .HTTP/(?:[02-9]|1\.[2-9])", TAKEN, ANY),
        "9112 2.3: only 1.0 and 1.1 have this syntax; h11 takes any two digits",
    ),
    Difference(
        *("llhttp", r"the answer begins with .HTTP/(?:0\.9|2\.0)", TAKEN, ANY),
        "9112 2.3: HTTP/2 has no such line, and HTTP/0.9 no line at all",
    ),
    Difference(
        *("llhttp", "the answer begins with .(?:ICE|RTSP)/", TAKEN, ANY),
        "9112 2.3: other protocols than HTTP",
    ),
    Difference(
        *("llhttp", r"the answer begins with .(?:'|\\r|\\n)", TAKEN, ANY),
        "9112 2.2: empty lines may be passed over before a request, not before an answer",
    ),
    Difference(
        *("llhttp", r"the answer begins with .HTTP/1\.[01] 0", TAKEN, ANY),
        "9110 15: a status is from 100 to 599, and 600 to 999 are left to be taken for a 500",
    ),
    Difference(
        *("llhttp", "the answer begins with", TAKEN, rb"HTTP/1\.[01] \d{3} [^\r\n]*\0"),
        "9112 4: a NUL is in no reason; elsewhere it ends a string",
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
        *("h11 llhttp", "more than 256 lines|longer than 65536 bytes", TAKEN, ANY),
        "9110 5.4: every recipient has its bounds; h11's are for what is not whole yet",
    ),
    Difference(
        *("h11 llhttp", "more than 4096 bytes", TAKEN, ANY),
        "9112 7.1.1: the length of extensions ought to be limited",
    ),
    Difference(
        *("h11 llhttp", "more than 32 interim", TAKEN, ANY),
        "9110 15.2: any number would be right, and none has a use for 33",
    ),
    # Taken by restkit
    Difference(
        *("llhttp", TAKEN, "Unexpected whitespace after header value", rb"\r\n[ \t]"),
        "9112 5.2: a user agent must read a folded line as blanks",
    ),
    Difference(
        *("llhttp", TAKEN, "Invalid header value char", BLANK_FIRST_LINE),
        "9112 5.2: as above, where nothing stands before the fold",
    ),
    Difference(
        *("llhttp", TAKEN, "Content-Length", TWO_LENGTHS),
        "9110 8.6: the same length twice, in one field or two, may be taken as one",
    ),
    Difference(
        *("h11 llhttp", TAKEN, "Content-Length|Transfer-Encoding", IN_TRAILERS),
        "9110 6.5.1: among the trailers it means nothing, and they are kept apart",
    ),
    Difference(
        *("h11 llhttp", TAKEN, "Content-Length|Transfer-Encoding", NO_BODY),
        "9112 6.3(1): there is no body, whatever the fields say",
    ),
    Difference(
        *("llhttp", "^$|chunk", TAKEN, rb"transfer-encoding:" + VALUE + rb"\t"),
        "9110 5.5: a tab behind a value is none of it; llhttp does not see the chunks then",
    ),
    Difference(
        *("h11", TAKEN, TAKEN, rb"transfer-encoding:" + VALUE + rb"(?-i:[A-Z])"),
        "9112 7: codings have no case; h11 hands them on in lower case, restkit as they came",
    ),
    Difference(
        *("h11", TAKEN, TAKEN, TWO_LENGTHS),
        "9110 8.6: h11 makes one field of them; restkit hands fields on as they came",
    ),
    Difference(
        *("h11", TAKEN, TAKEN, rb"[ \t]\r\n[ \t]"),
        "9112 5.2: h11 leaves the blanks before a fold in the value",
    ),
    Difference(
        *("h11", TAKEN, "illegal chunk header", rb"[ \t];"),
        "9112 7.1.1: blanks before an extension must be taken, and are none of it",
    ),
    Difference(
        *("llhttp", TAKEN, "Invalid character in chunk size", rb"\n[0-9a-f]+[ \t]"),
        "9112 7.1.1: as above; behind a size they are old servers' padding, which h11 takes too",
    ),
    Difference(
        *("llhttp", TAKEN, "Invalid character in chunk extension", rb";"),
        "9112 7.1.1: extensions that are not known are to be ignored; restkit knows none",
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
        *("h11", TAKEN, "illegal status line", rb"HTTP/1\.[01] \d{3}[^\n]*[\x0b\x0c]"),
        "9112 4: as above, in a reason, which a client should not look at",
    ),
    Difference(
        *("llhttp", TAKEN, "Data after `Connection: close`", CLOSED_EARLY),
        "9112 9.6: it is behind the final answer that the connection closes",
    ),
    Difference(
        *("llhttp", "", "", rb"HTTP/1\.[01] 1(?!0[0-3])\d\d[^\n]*\n.*(?:length|encoding):"),
        "9112 6.3(1): no 1xx has a body; llhttp knows that of 100 to 103",
    ),
]


def differences(data: bytes, method: str) -> list[tuple[str, Outcome, Outcome]]:
    """(peer, restkit's outcome, the peer's), for each peer that differs."""
    ours = by_restkit(data, method)
    theirs = {"h11": by_h11(data, method)}
    if method != "HEAD":
        theirs["llhttp"] = by_llhttp(data)
    return [(peer, ours, its) for peer, its in theirs.items() if not ours.agrees_with(its)]


def rows(
    data: bytes, method: str, peer: str, ours: Outcome, theirs: Outcome
) -> Iterator[Difference]:
    """What the table says of a difference."""
    message = method.encode() + b" " + data
    for row in DIFFERENCES:
        if (
            peer in row.peers.split()
            and re.search(row.ours, ours.fault)
            and re.search(row.theirs, theirs.fault)
            and re.search(row.data, message, re.DOTALL | re.IGNORECASE)
        ):
            yield row


def unlisted(data: bytes, method: str) -> list[tuple[str, Outcome, Outcome]]:
    return [found for found in differences(data, method) if not any(rows(data, method, *found))]


@pytest.mark.parametrize(("data", "method"), CORPUS, ids=range(len(CORPUS)))
def test_every_difference_in_the_corpus_has_its_reason(data: bytes, method: str) -> None:
    assert unlisted(data, method) == []


def test_every_reason_is_needed_by_the_corpus() -> None:
    needed = {
        (peer, row)
        for data, method in CORPUS
        for peer, ours, theirs in differences(data, method)
        for row in rows(data, method, peer, ours, theirs)
    }
    listed = {(peer, row) for row in DIFFERENCES for peer in row.peers.split()}
    assert listed - needed == set()


@settings(max_examples=examples(300))
@given(near_answers(), st.sampled_from(METHODS))
def test_every_difference_in_what_is_nearly_right_has_its_reason(data: bytes, method: str) -> None:
    assert unlisted(data, method) == []


@settings(max_examples=examples(100))
@given(answers(), st.sampled_from(METHODS))
def test_what_differs_in_right_answers_is_taken_by_restkit(data: bytes, method: str) -> None:
    assert by_restkit(data, method).fault == ""
    assert unlisted(data, method) == []
