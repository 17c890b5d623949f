"""Set-Cookie fields that restkit and http.cookiejar, with the same policy, store differently.

The input is the URL of the response, LF, and the field. Where http.cookiejar follows Netscape's
draft of 1994, restkit follows RFC 6265.
"""

from __future__ import annotations

from support.differences import ACCEPTED, Difference

NONE = "no cookie"
ATTRIBUTE = rb";[ \t]*"

DIFFERENCES = [
    # Rejected by restkit
    Difference(
        *("cookiejar", NONE, ACCEPTED, rb"\n\W*__(?:Host|Secure)-"),
        "6265bis 4.1.3: the names promise attributes, which are checked",
    ),
    Difference(
        *("cookiejar", NONE, ACCEPTED, rb"^ *http:.*;\s*secure"),
        "6265bis 5.7: a Secure cookie must come over https",
    ),
    Difference(
        *("cookiejar", NONE, ACCEPTED, rb"[\0-\x08\x0b-\x1f\x7f]"),
        "6265bis 5.6: control characters",
    ),
    Difference(
        *("cookiejar", NONE, ACCEPTED, rb"\n[^=;]*(?:;|$)"),
        "6265 5.2: a field without an equals sign is ignored; its name could hide one of another",
    ),
    Difference(
        *("cookiejar", NONE, ACCEPTED, ATTRIBUTE + rb"domain\s*="),
        "6265 5.3: the Domain must contain the host, and must not be a public suffix",
    ),
    Difference(
        *("cookiejar", NONE, ACCEPTED, ATTRIBUTE + rb"(?:max-age|expires)\s*="),
        "6265 5.2.1 and 5.2.2: the cookie has expired; cookiejar does not read each form of date",
    ),
    # Accepted by restkit
    Difference(
        *("cookiejar", ACCEPTED, NONE, ATTRIBUTE + rb"(?:max-age|expires|domain|version|port)"),
        "6265 5.2: an attribute that is not valid is ignored, not the cookie",
    ),
    Difference(
        *(
            "cookiejar",
            ACCEPTED,
            ACCEPTED,
            ATTRIBUTE + rb"(?:max-age|expires|domain|path|secure|httponly)",
        ),
        "6265 5.2: the last attribute of a name counts, each word of a date has its form, an IP "
        "address has no subdomains, and attributes that are not valid are ignored",
    ),
    Difference(
        *("cookiejar", "", "", rb"\n.*[\x0b\x0c\x1c-\x1f\x85\xa0]"),
        "6265 5.2: only space and tab are blanks; cookiejar also strips those of Unicode",
    ),
]
