"""The same answers through restkit, h11 and llhttp: every difference in outcome has its reason.

Compared are h11 0.16.0, as a client that has sent its request, and httptools 0.9.0, which is
llhttp 9 with none of its leniencies; ``support.wire_peers`` brings what they say into one form.

``DIFFERENCES`` is the one table. A difference that is not in it fails, and so does a row, or a
peer in a row, that no message of the corpus needs any more.
"""

from __future__ import annotations

import re
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.wire_corpus import CORPUS
from support.wire_peers import Outcome, by_h11, by_llhttp, by_restkit
from support.wire_strategies import METHODS, answers, examples, near_answers

# The table


class Difference(NamedTuple):
    """Where ``peer`` comes to another outcome than restkit, and why restkit's is the right one.

    ``ours`` and ``theirs`` are found in what each says of the message, TAKEN where it takes it;
    ``data`` is found in the method and the message behind it.
    """

    peer: str
    ours: str
    theirs: str
    reason: str
    data: bytes = b""


TAKEN = "^$"
NO_BODY = rb"^HEAD |HTTP/1\.[01] (?:1..|204|304)"
TWO_LENGTHS = rb"content-length:[^\n]*,|content-length:.*content-length:"
CTL = rb"[\x01-\x08\x0b\x0c\x0e-\x1f\x7f]"

DIFFERENCES = [
    # Refused by restkit
    Difference(
        "h11",
        "both Transfer-Encoding and Content-Length",
        TAKEN,
        "9112 6.1 and 6.3(3): it may be an attempt to split the answer, and ought to be an error",
    ),
    Difference(
        "llhttp",
        r"Transfer-Encoding .*chunked, and alone",
        TAKEN,
        "9112 6.1: the bytes would be handed on still coded; no TE was sent that allows another"
        " coding than chunked (9110 10.1.4)",
    ),
    Difference(
        "h11",
        r"Content-Length '\d{20,}'",
        TAKEN,
        "9110 8.6: what could overflow is guarded against; 19 digits are more than any body has",
    ),
    Difference(
        "llhttp", r"Content-Length '\d{20,}'", TAKEN, "9110 8.6: as for h11; it stops at 2**64"
    ),
    Difference(
        "h11",
        "has a bare LF",
        TAKEN,
        "9112 2.2: a recipient may take LF for CRLF; who does not sees another head",
    ),
    Difference(
        "h11",
        "the answer begins with",
        TAKEN,
        "9112 2.2: a bare LF, here behind the status line",
        rb"[^\r]\n",
    ),
    Difference(
        "h11",
        r"the answer begins with .HTTP/(?:[02-9]|1\.[2-9])",
        TAKEN,
        "9112 2.3: only 1.0 and 1.1 have this syntax; h11 takes any two digits",
    ),
    Difference(
        "llhttp",
        r"the answer begins with .HTTP/(?:0\.9|2\.0)",
        TAKEN,
        "9112 2.3: HTTP/2 has no such line, and HTTP/0.9 no line at all",
    ),
    Difference(
        "llhttp",
        r"the answer begins with .(?:ICE|RTSP)/",
        TAKEN,
        "9112 2.3: other protocols than HTTP",
    ),
    Difference(
        "llhttp",
        r"the answer begins with .(?:'|\\r|\\n)",
        TAKEN,
        "9112 2.2: empty lines may be passed over before a request, not before an answer",
    ),
    Difference(
        "llhttp", "the answer begins with .HTTP/1.[01] 0", TAKEN, "9110 15: statuses are 100 to 599"
    ),
    Difference(
        "llhttp",
        "the answer begins with .HTTP/1.[01] [1-9]",
        TAKEN,
        "9112 4: a reason is blanks and visible characters; a NUL is what ends a string elsewhere",
        rb"HTTP/1\.[01] \d{3} [^\r\n]*\0",
    ),
    Difference(
        "h11",
        r"no chunk size, but b.[0-9A-Fa-f]{17}",
        TAKEN,
        "9112 7.1: large sizes are guarded against; 16 digits fill 64 bits, and h11 takes 20",
    ),
    Difference(
        "llhttp",
        r"no chunk size, but b.[0-9A-Fa-f]{17}",
        TAKEN,
        "9112 7.1: as for h11; llhttp counts zeros as nothing",
    ),
    Difference(
        "h11",
        r"no chunk size, but b.[0-9A-Fa-f]+[ \t]*;",
        TAKEN,
        "9112 2.2 and 7.1.1: a bare CR or a NUL is in no extension; h11 takes any byte but LF",
        rb";[^\n]*(?:\0|\r[^\n])",
    ),
    Difference("h11", "more than 256 lines", TAKEN, "9110 5.4: a bound of restkit's own"),
    Difference("llhttp", "more than 256 lines", TAKEN, "9110 5.4: a bound of restkit's own"),
    Difference(
        "h11", "longer than 65536 bytes", TAKEN, "9110 5.4: h11 bounds what is not whole yet"
    ),
    Difference("llhttp", "longer than 65536 bytes", TAKEN, "9110 5.4: llhttp keeps nothing"),
    Difference(
        "h11",
        "more than 4096 bytes",
        TAKEN,
        "9112 7.1.1: the length of extensions is to be limited",
    ),
    Difference(
        "llhttp",
        "more than 4096 bytes",
        TAKEN,
        "9112 7.1.1: the length of extensions is to be limited",
    ),
    Difference(
        "h11",
        "more than 32 interim",
        TAKEN,
        "9110 15.2: any number is right; none needs 33 of them",
    ),
    Difference("llhttp", "more than 32 interim", TAKEN, "9110 15.2: llhttp tells of each alone"),
    # Taken by restkit
    Difference(
        "llhttp",
        TAKEN,
        "Unexpected whitespace after header value",
        "9112 5.2: a user agent must read a folded line as blanks",
        rb"\r\n[ \t]",
    ),
    Difference(
        "llhttp",
        TAKEN,
        "Content-Length",
        "9110 8.6: the same length twice, in one field or two, may be taken as one",
        TWO_LENGTHS,
    ),
    Difference(
        "llhttp",
        TAKEN,
        "Content-Length",
        "9110 6.5.1: a length among the trailers cannot have been meant; they are kept apart",
        rb"\n0[^\n]*\r\n.*content-length:",
    ),
    Difference(
        "llhttp",
        TAKEN,
        "Content-Length|Transfer-Encoding",
        "9112 6.3(1): there is no body, whatever the fields say",
        NO_BODY,
    ),
    Difference(
        "h11",
        TAKEN,
        "Content-Length|Transfer-Encoding",
        "9112 6.3(1): there is no body, whatever the fields say",
        NO_BODY,
    ),
    Difference(
        "llhttp",
        TAKEN,
        "Invalid header value char",
        "9112 5.2: as above, where nothing stands before the fold",
        rb":[ \t]*\r\n[ \t]",
    ),
    Difference(
        "llhttp",
        "^$|chunk",
        TAKEN,
        "9110 5.5: a tab behind a value is none of it; llhttp does not see the chunks then",
        rb"transfer-encoding:[^\n]*\t",
    ),
    Difference(
        "h11",
        TAKEN,
        TAKEN,
        "9112 7: codings have no case; h11 hands them on in lower case, restkit as they came",
        rb"transfer-encoding:[^\n]*(?-i:[A-Z])",
    ),
    Difference(
        "h11",
        TAKEN,
        TAKEN,
        "9110 8.6: h11 makes one field of them; restkit leaves fields as they came",
        TWO_LENGTHS,
    ),
    Difference(
        "h11",
        TAKEN,
        TAKEN,
        "9112 5.2: h11 leaves the blanks before a fold in the value",
        rb"[ \t]\r\n[ \t]",
    ),
    Difference(
        "h11",
        TAKEN,
        "illegal chunk header",
        "9112 7.1.1: blanks before an extension must be taken and dropped",
        rb"[ \t];",
    ),
    Difference(
        "llhttp",
        TAKEN,
        "Invalid character in chunk size",
        "9112 7.1.1: blanks before an extension must be taken and dropped; behind a size they are"
        " old servers' padding, which h11 takes too",
        rb"\n[0-9a-f]+[ \t]",
    ),
    Difference(
        "llhttp",
        TAKEN,
        "Invalid character in chunk extension",
        "9112 7.1.1: extensions that are not known are to be ignored; restkit knows none",
        rb";",
    ),
    Difference(
        "llhttp",
        TAKEN,
        "Invalid header value char",
        "9110 5.5: control characters but CR, LF and NUL may be kept",
        CTL,
    ),
    Difference(
        "h11",
        TAKEN,
        "illegal header line",
        "9110 5.5: as above; h11 refuses VT and FF, and takes the others",
        rb"[\x0b\x0c]",
    ),
    Difference(
        "h11",
        TAKEN,
        "illegal status line",
        "9112 4: VT and FF in a reason, which nobody should look at",
        rb"HTTP/1\.[01] \d{3}[^\n]*[\x0b\x0c]",
    ),
    Difference(
        "llhttp",
        TAKEN,
        "Data after `Connection: close`",
        "9112 9.6: it is the final answer after which the connection closes",
        rb"HTTP/1\.[01] 1.*connection:[^\n]*close",
    ),
]


def differences(data: bytes, method: str) -> list[tuple[str, Outcome, Outcome]]:
    """(peer, restkit's outcome, the peer's), for each peer that differs."""
    ours = by_restkit(data, method)
    theirs = {"h11": by_h11(data, method)}
    if method != "HEAD":
        theirs["llhttp"] = by_llhttp(data)
    return [(peer, ours, its) for peer, its in theirs.items() if not ours.agrees_with(its)]


def reasons(
    data: bytes, method: str, peer: str, ours: Outcome, theirs: Outcome
) -> list[Difference]:
    return [
        row
        for row in DIFFERENCES
        if row.peer == peer
        and re.search(row.ours, ours.fault)
        and re.search(row.theirs, theirs.fault)
        and re.search(row.data, method.encode() + b" " + data, re.DOTALL | re.IGNORECASE)
    ]


def unlisted(data: bytes, method: str) -> list[tuple[str, Outcome, Outcome]]:
    return [
        (peer, ours, theirs)
        for peer, ours, theirs in differences(data, method)
        if not reasons(data, method, peer, ours, theirs)
    ]


@pytest.mark.parametrize(("data", "method"), CORPUS, ids=range(len(CORPUS)))
def test_every_difference_in_the_corpus_has_its_reason(data: bytes, method: str) -> None:
    assert unlisted(data, method) == []


def test_every_reason_is_needed_by_the_corpus() -> None:
    needed = {
        row
        for data, method in CORPUS
        for peer, ours, theirs in differences(data, method)
        for row in reasons(data, method, peer, ours, theirs)
    }
    assert [row for row in DIFFERENCES if row not in needed] == []


@settings(max_examples=examples(300))
@given(near_answers(), st.sampled_from(METHODS))
def test_every_difference_in_what_is_nearly_right_has_its_reason(data: bytes, method: str) -> None:
    assert unlisted(data, method) == []


@settings(max_examples=examples(100))
@given(answers(), st.sampled_from(METHODS))
def test_right_answers_are_taken_by_restkit_wherever_a_peer_takes_them(
    data: bytes, method: str
) -> None:
    assert by_restkit(data, method).fault == ""
