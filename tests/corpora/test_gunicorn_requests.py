"""The requests of gunicorn's tests, valid and invalid: restkit agrees, or a reason is listed."""

from __future__ import annotations

import pytest

from support.corpora import add_host, check_deviations, find_cases, unescape
from support.request_parsers import parse_all_by_restkit

pytestmark = pytest.mark.corpora

FRAGMENT = "9112 3.2: no form of a target has a fragment"
CODED = (
    "9112 6.1: a transfer coding other than chunked gets 501; gunicorn leaves it to applications"
)
FOLD = "9112 5.2: a server may reject a field on two lines; gunicorn has an option for it"
PROXY = "the PROXY protocol is not HTTP; gunicorn has an option for it"
LIMIT = "gunicorn is given lower limits for this case"
UNDERSCORE = "a field with an underscore in its name is left out of the environ"
TRAILER = "9110 6.5.1: fields of trailers are kept apart, and have no effect"

VALID = {
    "005.http": FRAGMENT,
    "009.http": FRAGMENT,
    "025.http": CODED,
    "025_line.http": CODED,
    "028.http": "9112 5.1: a space before the colon is 400; gunicorn has an option for it",
    "029.http": CODED,
    "030.http": CODED,
    "099.http": "the body is shorter than its Content-Length",
    "compat_obs_fold.http": FOLD,
    "compat_obs_fold_huge.http": FOLD,
    "pp_01.http": PROXY,
    "pp_02.http": PROXY,
    "pp_04.http": PROXY,
    "pp_05.http": PROXY,
    "rfc9112_smuggle_gzip_chunked_01.http": CODED,
    "rfc9112_smuggle_te_identity_chunked_01.http": CODED,
    "rfc9112_target_absolute_userinfo_01.http": "9110 4.2.4: user info can hide the real host",
}
INVALID = {
    "003c.http": "9110 9.1: any token is a method",
    "006.http": LIMIT,
    "007.http": LIMIT,
    "008.http": LIMIT,
    "009.http": LIMIT,
    "010.http": LIMIT,
    "011.http": LIMIT,
    "012.http": LIMIT,
    "017.http": LIMIT,
    "limit_header_default_01.http": LIMIT,
    "019.http": "X-Forwarded-Proto and the like have no effect",
    "041.http": "9110 5.3: two values of Content-Type are left to the application",
    "040.http": UNDERSCORE,
    "chunked_07.http": UNDERSCORE,
    "chunked_09.http": "9112 7.1.1: blanks after a chunk size change nothing",
    "rfc9110_trailer_forbidden_cl_01.http": TRAILER,
    "rfc9110_trailer_forbidden_host_01.http": TRAILER,
    "rfc9110_trailer_forbidden_te_01.http": TRAILER,
    "rfc9112_smuggle_cl_list_form_01.http": "9110 8.6: the same length twice may count as one",
}


def read_requests(kind: str) -> dict[str, bytes]:
    """Return the bytes of each file. A file has escaped line ends; its real ones are ignored."""
    return {
        path.name: unescape(path.read_bytes().replace(b"\n", b""))
        for path in find_cases("gunicorn-requests", f"tests/requests/{kind}/*.http")
    }


def find_fault(data: bytes) -> str:
    """Return the first fault in the requests of a connection, or ''."""
    return parse_all_by_restkit(data)[-1].fault


def test_valid_requests_are_accepted() -> None:
    # A body that looks like a request gets no Host.
    found = {
        name: fault
        for name, data in read_requests("valid").items()
        if (fault := find_fault(add_host(data))) and find_fault(data)
    }
    check_deviations(found, VALID)


def test_invalid_requests_are_rejected() -> None:
    found = {
        name: repr(data)
        for name, data in read_requests("invalid").items()
        if not find_fault(add_host(data))
    }
    check_deviations(found, INVALID)
