"""The cookies and dates of the working group http-state, which wrote RFC 6265."""

from __future__ import annotations

import json
from email.utils import parsedate_to_datetime
from typing import Any

import pytest

from restkit import HttpResponse, InvalidHeader, parse_url
from restkit.cookies.cookies import Cookies
from restkit.cookies.set_cookie import parse_set_cookie
from restkit.message.request import Request
from support.corpora import check_deviations, find_cases

pytestmark = pytest.mark.corpora

HOST = "http://home.example.org:8888"
WRITTEN = 1_300_000_000  # the cases are of March 2011, and so are their expiry times

COOKIES = {
    "DISABLED_CHROMIUM0022": "9110 5.5: a response with NUL in a field is an error",
    "DISABLED_CHROMIUM0023": "9112 2.2: so is one with a bare CR",
    "DISABLED_PATH0029": "6265 5.1.4: paths are compared as they are written, with escapes",
    "OPTIONAL_DOMAIN0042": "6265bis 5.6.3: the last Domain counts, and an empty one is the host",
}
DATES: dict[str, str] = {}


def read_json(pattern: str) -> list[Any]:
    """Return the cases of these files; a file may begin with a comment."""
    found: list[Any] = []
    for path in find_cases("http-state", pattern):
        lines = path.read_text(encoding="utf-8").splitlines()
        found += json.loads("\n".join(line for line in lines if not line.startswith("//")))
    return found


def send(case: dict[str, Any]) -> str | None:
    """Return the Cookie field that follows the Set-Cookie fields of a case."""
    cookies, first = Cookies(), Request("GET", parse_url(f"{HOST}/cookie-parser?{case['test']}"))
    fields = [("Set-Cookie", text.encode().decode("latin-1")) for text in case["received"]]
    try:
        response = HttpResponse.made(first, 200, fields)
    except InvalidHeader:
        return None  # a response with NUL in a field is an error
    cookies.store_from_response(first, response)
    target = case.get("sent-to", f"/cookie-parser-result?{case['test']}")
    later = Request("GET", first.url.join(target))
    cookies.add_to_request(later)
    return later.headers.get("cookie")


def test_cookies_are_sent_as_the_cases_expect(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.time", lambda: WRITTEN)
    found = {}
    for case in read_json("tests/data/parser.json"):
        expected = "; ".join(f"{cookie['name']}={cookie['value']}" for cookie in case["sent"])
        sent = send(case) or ""
        if sent.encode("latin-1") != expected.encode():
            found[case["test"]] = f"{case['received']}: {sent!r}, not {expected!r}"
    check_deviations(found, COOKIES)


def test_dates_are_read_as_the_cases_expect() -> None:
    found = {}
    for case in read_json("tests/data/dates/*.json"):
        cookie = parse_set_cookie(f"a=b; Expires={case['test']}", WRITTEN)
        expected = case["expected"]
        wanted = None if expected is None else int(parsedate_to_datetime(expected).timestamp())
        expires = cookie and cookie.expires
        if expires != (wanted if wanted is None else max(0, wanted)):
            found[case["test"]] = f"{expires}, not {wanted}"
    check_deviations(found, DATES)
