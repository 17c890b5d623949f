"""Forms that restkit.server and other programs read differently.

``in-parts`` is restkit itself, if the form arrives in parts. restkit parses multipart forms with
the package multipart.
"""

from __future__ import annotations

from support.differences import ACCEPTED, ANY, Difference

NO_FORM = "the multipart form cannot be parsed: "

DIFFERENCES = [
    # Rejected by restkit
    Difference(
        *("python-multipart", NO_FORM + "Unexpected end", ACCEPTED, ANY),
        "2046 5.1.1: a form without its last boundary may have been cut off",
    ),
    Difference(
        *("python-multipart", NO_FORM + "Invalid Content-Disposition", ACCEPTED, ANY),
        "7578 4.2: each part has the type form-data",
    ),
    Difference(
        *(
            "python-multipart",
            NO_FORM + "(?:Segment header failed|the field .* has)",
            ACCEPTED,
            ANY,
        ),
        "7578 5.1: names are UTF-8; a bare CR, LF or NUL would end a name for some programs",
    ),
    Difference(
        *("python-multipart", NO_FORM + "Invalid segment header", ACCEPTED, ANY),
        "9110 5.1: the name of a field is a token, as in the head of a message",
    ),
    Difference(
        *("python-multipart", "is not UTF-8", ACCEPTED, ANY),
        "7578 5.1.2: text is UTF-8; python-multipart returns its bytes",
    ),
    Difference(
        *("python-multipart", NO_FORM + "(?:Unexpected byte|Invalid line break)", ACCEPTED, ANY),
        "2046 5.1.1: a boundary stands alone on its line, and lines end with CRLF",
    ),
    Difference(
        *("in-parts", NO_FORM + "Unexpected byte in front", ACCEPTED, ANY),
        "multipart 2.0.1 forgets the last byte of a preamble that came in an earlier read",
    ),
    # Accepted by restkit
    Difference(
        *("in-parts", ACCEPTED, NO_FORM + "Invalid line break", rb"[^\r]\n"),
        "multipart 2.0.1 strips a bare LF around a field, but not at the end of a read",
    ),
    Difference(
        *("python-multipart", ACCEPTED, "Found invalid character|Did not find LF", ANY),
        "multipart strips blanks and line ends around the name of a field",
    ),
    Difference(
        *("urllib", ACCEPTED, "can't decode", rb"[\x80-\xff]"),
        "text is decoded after its escapes, which may be half of a character",
    ),
    Difference(
        *("python-multipart", ACCEPTED, "Expected boundary character", rb"^(?!(?-i:--X))"),
        "2046 5.1.1: a preamble may come before the first boundary",
    ),
    Difference(
        *("python-multipart", ACCEPTED, "Field name not found", ANY),
        "a part without a name is a field whose name is empty",
    ),
    Difference(
        *("python-multipart", ACCEPTED, ACCEPTED, rb'name(?!="[^"%\\]*"[;\r])'),
        "WHATWG: names are quoted as in browsers; the two read malformed quotes differently",
    ),
]
