"""Cookies of a Client: parsing, who may set and get them, the mapping, threads and forks."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from email.utils import formatdate
from http.cookiejar import CookieJar, DefaultCookiePolicy, LWPCookieJar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from restkit import Client, Headers, HttpResponse, RequestError, parse_url, request
from restkit.cookies.cookies import Cookies, as_cookies
from restkit.cookies.indexed_jar import MAX_COOKIES
from restkit.cookies.jar_policy import make_cookie, make_strict_policy
from restkit.cookies.set_cookie import SetCookie, accept_cookie, parse_set_cookie
from restkit.message.request import Request
from support import ScriptedServer, field, response

NOW = 1_800_000_000  # 2027-01-15 08:00:00 UTC
HTTPS = "https://www.example.com/a/b?q=/x/"


def make_request(url, headers=(), suppressed=frozenset()):
    return Request("GET", parse_url(url), Headers(headers), suppressed_headers=suppressed)


def cookies_after(*fields, url=HTTPS, cookies=None):
    """Store the cookies of one response with these Set-Cookie fields."""
    cookies = Cookies() if cookies is None else cookies
    made = make_request(url)
    cookies.store_from_response(
        made, HttpResponse.made(made, 200, [("Set-Cookie", one) for one in fields])
    )
    return cookies


def cookie_header(cookies, url, **given):
    """Return the Cookie header of a request to this URL, or None."""
    made = make_request(url, **given)
    cookies.add_to_request(made)
    return made.headers.get("cookie")


# One field


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a=b", SetCookie("a", "b")),
        (" a = b c ; x", SetCookie("a", "b c")),
        ("a=", SetCookie("a", "")),
        ("a=b=c", SetCookie("a", "b=c")),
        ('a="b c"', SetCookie("a", '"b c"')),
        ("a=b,c=d", SetCookie("a", "b,c=d")),
        ("a=b; Path=/x", SetCookie("a", "b", path="/x")),
        ("a=b; path = /x ;PATH=/y", SetCookie("a", "b", path="/y")),
        ("a=b; Path=x", SetCookie("a", "b")),
        ("a=b; Path", SetCookie("a", "b")),
        ("a=b; Path=/" + "x" * 1100, SetCookie("a", "b")),
        ("a=b; Domain=.Example.COM", SetCookie("a", "b", domain="example.com")),
        ("a=b; Domain=", SetCookie("a", "b")),
        ("a=b; Secure; HttpOnly", SetCookie("a", "b", secure=True, http_only=True)),
        ("a=b; secure=no; httponly=x", SetCookie("a", "b", secure=True, http_only=True)),
        ("a=b; Max-Age=10", SetCookie("a", "b", expires=NOW + 10)),
        ("a=b; Max-Age=0", SetCookie("a", "b", expires=NOW)),
        ("a=b; Max-Age=-1", SetCookie("a", "b", expires=0)),
        ("a=b; Max-Age=" + "9" * 50, SetCookie("a", "b", expires=253402300799)),
        ("a=b; Max-Age=1.5", SetCookie("a", "b")),
        ("a=b; Max-Age=ten", SetCookie("a", "b")),
        ("a=b; Expires=31 Dec 9999 23:59:59 GMT; Max-Age=9", SetCookie("a", "b", "", "", NOW + 9)),
        ("a=b; Version=1; Port=80; Comment=c; SameSite=Lax", SetCookie("a", "b")),
        ("a=" + "b" * 4095, SetCookie("a", "b" * 4095)),
        ("a=" + "b" * 4096, None),
        ("", None),
        ("a", None),
        ("=b", None),
        (" =b", None),
        ("; a=b", None),
        ("a=b\x01", None),
        ("a=b; Path=/\x7f", None),
    ],
)  # fmt: skip
def test_parse_one_field(text, expected):
    assert parse_set_cookie(text, NOW) == expected


DAY = 784111777  # 1994-11-06 08:49:37 UTC


@pytest.mark.parametrize(
    ("date", "seconds"),
    [
        ("Sun, 06 Nov 1994 08:49:37 GMT", DAY),
        ("Sunday, 06-Nov-94 08:49:37 GMT", DAY),
        ("Sun Nov  6 08:49:37 1994", DAY),
        ("06-Nov-1994 08:49:37", DAY),
        ("1994 6 november 8:49:37", DAY),
        ("Sun, 06 Nov 1994 08:49:37 +0100", DAY),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
        ("Mon, 01 Jan 1900 00:00:00 GMT", 0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 253402300799),
        ("Mon, 01-Jan-69 00:00:00 GMT", 3124224000),
        ("Mon, 01-Jan-0001 00:00:00 GMT", 978307200),
        ("Mon, 01-Jan-1600 00:00:00 GMT", None),
        ("Sun, 06 Nov 1994", None),
        ("Sun, 32 Nov 1994 08:49:37 GMT", None),
        ("Sun, 00 Nov 1994 08:49:37 GMT", None),
        ("Sun, 06 Nov 1994 24:49:37 GMT", None),
        ("Sun, 06 Nov 1994 08:60:37 GMT", None),
        ("784111777", None),
        ("", None),
        ("soon", None),
    ],
)
def test_date_is_parsed_by_the_form_of_its_words(date, seconds):
    parsed = parse_set_cookie(f"a=b; Expires={date}", NOW)
    assert parsed == SetCookie("a", "b", expires=seconds)


@given(st.integers(0, 253402300799))
def test_any_formatted_date_is_parsed(seconds):
    field = f"a=b; Expires={formatdate(seconds, usegmt=True)}"
    assert parse_set_cookie(field, NOW) == SetCookie("a", "b", expires=seconds)


@given(st.text('a=b; \t,"ExpiresMaxAgedomain-0123456789:\x00\x7f\xff/', max_size=80))
def test_any_field_is_parsed_or_ignored(text):
    parsed = parse_set_cookie(text, NOW)
    if parsed is not None:
        cookies_after(text)
        assert parsed.name
        assert ";" not in parsed.name + parsed.value


# Which server may set which cookie


@pytest.mark.parametrize(
    ("host", "domain", "stored_for"),
    [
        ("www.example.com", "", ""),
        ("www.example.com", "example.com", "example.com"),
        ("www.example.com", "www.example.com", "www.example.com"),
        ("a.b.example.com", "b.example.com", "b.example.com"),
        ("www.example.com", "other.com", None),
        ("www.example.com", "a.www.example.com", None),
        ("example.com", "ample.com", None),
        ("www.example.com", "com", None),
        ("com", "com", ""),
        ("localhost", "localhost", ""),
        ("localhost", "local", None),
        ("a.localhost", "localhost", None),
        ("127.0.0.1", "127.0.0.1", ""),
        ("127.0.0.1", "0.0.1", None),
        ("127.0.0.1", "127.0.0.2", None),
        ("[::1]", "::1", ""),
        ("[::1]", "1", None),
        ("www.or.jp", "or.jp", None),
        ("or.jp", "or.jp", ""),
        ("www.ltd.uk", "ltd.uk", None),
        ("a.b.gob.mx", "gob.mx", None),
        ("shop.co.uk", "shop.co.uk", "shop.co.uk"),
        ("a.shop.co.uk", "shop.co.uk", "shop.co.uk"),
        ("www.db.de", "db.de", ""),
        ("www.tv.br", "tv.br", ""),
        ("evil.com.", "com.", None),
        ("evil.com.", "com", None),
        ("evil.com.", "evil.com.", ""),
        ("a.evil.com.", "evil.com.", None),
        ("evil.com", "evil.com.", None),
        ("www.ibm.de", "ibm.de", "ibm.de"),
    ],
)
def test_C08_domain_must_be_the_host_or_a_parent(host, domain, stored_for):
    cookie = accept_cookie(SetCookie("a", "b", domain), parse_url(f"https://{host}/"))
    assert cookie == (None if stored_for is None else SetCookie("a", "b", stored_for))


@pytest.mark.parametrize(
    ("cookie", "scheme", "stored"),
    [
        ("a=b; Secure", "https", True),
        ("a=b; Secure", "http", False),
        ("__Secure-a=b; Secure", "https", True),
        ("__Secure-a=b", "https", False),
        ("__SECURE-a=b", "https", False),
        ("__Host-a=b; Secure; Path=/", "https", True),
        ("__Host-a=b; Path=/", "https", False),
        ("__Host-a=b; Secure", "https", False),
        ("__Host-a=b; Secure; Path=/; Domain=www.example.com", "https", False),
        ("__host-a=b; Secure; Path=/x", "https", False),
        ("__Host-a=b; Secure; Path=/", "http", False),
    ],
)
def test_C08_secure_cookies_need_https_and_prefixes_hold(cookie, scheme, stored):
    cookies = cookies_after(cookie, url=f"{scheme}://www.example.com/")
    assert len(cookies) == stored


@pytest.mark.parametrize(
    "domain", ["other.com", "com", ".co.uk", "co.uk", "www.example.co.uk.evil"]
)
@pytest.mark.parametrize("jar", [None, CookieJar()], ids=["own jar", "jar with a weaker policy"])
def test_C08_cookie_for_another_domain_stores_and_deletes_nothing(domain, jar):
    url = "https://shop.example.co.uk/"
    cookies = Cookies(jar)
    cookies.clear()
    for name in ("other.com", ".other.com", ".co.uk"):
        cookies.set("sid", "1", domain=name)
    before = sorted(one.domain for one in cookies.jar)
    cookies_after(f"sid=2; Domain={domain}; Path=/", url=url, cookies=cookies)
    cookies_after(f"sid=2; Domain={domain}; Path=/; Max-Age=0", url=url, cookies=cookies)
    assert sorted(one.domain for one in cookies.jar) == before
    assert {one.value for one in cookies.jar} == {"1"}


@pytest.mark.parametrize("url", ["https://shop.co.uk/", "https://shop.example.co.uk/"])
def test_C08_cookie_for_co_uk_is_not_stored(url):
    assert cookies_after("sid=2; Domain=co.uk; Path=/", url=url).empty


def test_C08_com_with_a_dot_is_still_a_public_suffix():
    cookies = cookies_after("a=1; Domain=com.; Path=/", url="http://evil.com./")
    assert cookies.empty
    cookies_after("b=2; Domain=evil.com.; Path=/", url="http://evil.com./", cookies=cookies)
    assert cookie_header(cookies, "http://evil.com./") == "b=2"
    for other in ("http://bank.com./", "http://bank.com/", "http://x.evil.com./"):
        assert cookie_header(cookies, other) is None


def test_cookie_from_https_is_not_replaced_or_deleted_over_http():
    cookies = cookies_after("sid=1; Secure; Path=/")
    for field_ in ("sid=2; Path=/", "sid=2; Path=/; Domain=example.com", "sid=; Path=/; Max-Age=0"):
        cookies_after(field_, "other=1", url="http://www.example.com/", cookies=cookies)
    assert sorted(cookies) == ["other", "sid"]
    assert cookies["sid"] == "1"
    cookies_after("sid=3", url="http://www.example.org/", cookies=cookies)
    assert {one.value for one in cookies.jar if one.name == "sid"} == {"1", "3"}


# Which request gets which cookie


@pytest.mark.parametrize(
    ("set_by", "cookie", "url", "is_sent"),
    [
        (HTTPS, "s=1", "https://www.example.com/a/", True),
        (HTTPS, "s=1", "https://www.example.com/a", True),
        (HTTPS, "s=1", "https://www.example.com/a/b/c?x", True),
        (HTTPS, "s=1", "https://www.example.com/ab", False),
        (HTTPS, "s=1", "https://www.example.com/", False),
        (HTTPS, "s=1; Path=/", "https://www.example.com/", True),
        (HTTPS, "s=1; Path=/", "https://www.example.com:8443/", True),
        (HTTPS, "s=1; Path=/", "http://www.example.com/", True),
        (HTTPS, "s=1; Path=/; Secure", "http://www.example.com/", False),
        (HTTPS, "s=1; Path=/; Secure", "https://www.example.com/x", True),
        (HTTPS, "s=1; Path=/", "https://example.com/", False),
        (HTTPS, "s=1; Path=/", "https://x.www.example.com/", False),
        (HTTPS, "s=1; Path=/; Domain=example.com", "https://example.com/", True),
        (HTTPS, "s=1; Path=/; Domain=example.com", "https://x.example.com/", True),
        (HTTPS, "s=1; Path=/; Domain=example.com", "https://badexample.com/", False),
        (HTTPS, "s=1; Path=/x%2fy", "https://www.example.com/x%2Fy/z", True),
        (HTTPS, "s=1; Path=/x y", "https://www.example.com/x y/z", True),
        (HTTPS, "s=1; Path=/; Max-Age=-5", "https://www.example.com/", False),
        (HTTPS, "s=1; Path=/; Expires=Thu Jan  1 00:00:00 1970", "https://www.example.com/", False),
        (HTTPS, "s=1; Path=/; Max-Age=60", "https://www.example.com/", True),
        ("http://localhost:8000/", "s=1", "http://localhost:9000/", True),
        ("http://localhost/", "s=1; Domain=localhost", "http://localhost/", True),
        ("http://localhost/", "s=1", "http://otherhost/", False),
        ("http://foo/", "s=1", "http://foo.local/", False),
        ("http://foo.local/", "s=1", "http://foo/", False),
        ("http://x.foo.local/", "s=1; Path=/; Domain=foo.local", "http://foo/", False),
        ("http://x.foo.local/", "s=1; Path=/; Domain=foo.local", "http://foo.local/", True),
        ("http://127.0.0.1/", "s=1", "http://127.0.0.1:8000/", True),
        ("http://127.0.0.1/", "s=1; Domain=127.0.0.1", "http://127.0.0.1/", True),
        ("http://127.0.0.1/", "s=1", "http://127.0.0.2/", False),
        ("http://[::1]/", "s=1", "http://[::1]:8000/", True),
        ("http://[::ffff:1.2.3.4]:81/", "s=1", "http://[::ffff:1.2.3.4]/", True),
        ("http://[fe80::1%25eth0]/", "s=1", "http://[fe80::1%25eth0]/", True),
        ("http://[::1]/", "s=1", "http://[::2]/", False),
        ("http://example.com./", "s=1", "http://example.com./", True),
    ],
)  # fmt: skip
def test_cookie_is_sent_to_matching_urls(set_by, cookie, url, is_sent):
    cookies = cookies_after(cookie, url=set_by)
    assert cookie_header(cookies, url) == ("s=1" if is_sent else None)


def test_one_cookie_header_has_the_longest_path_first():
    cookies = cookies_after(
        "a=1; Path=/", "b=2; Path=/a; Expires=Thu, 01 Jan 2099 00:00:00 GMT", "c=3; Path=/x"
    )
    assert cookie_header(cookies, "https://www.example.com/a/b") == "b=2; a=1"
    cookies_after("a=4; Path=/", cookies=cookies)
    cookies_after("b=; Path=/a; Max-Age=0", cookies=cookies)
    assert cookie_header(cookies, "https://www.example.com/a/b") == "a=4"


@pytest.mark.parametrize("value", ["", '"quoted, and more"', "a=b==", "caf\xe9", "1|2|{'x': [3]}"])
def test_value_is_sent_back_unchanged(value):
    assert cookie_header(cookies_after(f"a={value}"), HTTPS) == f"a={value}"


def test_given_or_suppressed_cookie_header_is_kept():
    cookies = cookies_after("a=1")
    assert cookie_header(cookies, HTTPS, headers=[("cookie", "mine=2")]) == "mine=2"
    assert cookie_header(cookies, HTTPS, suppressed=frozenset({"cookie"})) is None


def test_host_keeps_180_cookies_and_drops_the_oldest():
    cookies = cookies_after("late=1", url="https://other.example.com/")
    for number in range(200):
        cookies_after(f"c{number}=x", cookies=cookies)
    names = list(cookies)
    assert len(names) == 181
    assert {"c0", "c19"}.isdisjoint(names)
    assert {"late", "c20", "c199"} <= set(names)


class CountingPolicy(DefaultCookiePolicy):
    """A policy that counts the cookies and domains that it is called with."""

    calls = 0

    def return_ok(self, cookie, request):
        self.calls += 1
        return super().return_ok(cookie, request)

    def domain_return_ok(self, domain, request):
        self.calls += 1
        return super().domain_return_ok(domain, request)


def test_jar_examines_only_the_cookies_of_the_site():
    cookies, policy = Cookies(), CountingPolicy()
    for number in range(500):
        cookies.set("x", "1", domain=f"h.example{number}.org")
    cookies_after("a=1; Path=/", "b=2; Path=/; Domain=example.com", cookies=cookies)
    cookies.jar.set_policy(policy)
    assert cookie_header(cookies, HTTPS) == "a=1; b=2"
    assert policy.calls <= 4
    assert len(cookies.jar.find_site_cookies("www.example.com")) == 2
    assert cookie_header(cookies, "http://h.example7.org/") == "x=1"


def test_jar_keeps_3000_cookies_and_drops_the_least_recently_used():
    cookies = cookies_after("used=1; Path=/", "idle=1; Path=/", url="https://first.test/a")
    cookies.delete("idle")
    cookies_after("idle=1; Path=/", url="https://second.test/a", cookies=cookies)
    for number in range(MAX_COOKIES - 2):
        cookies.set("x", "1", domain=f"h{number}.test")
    assert cookie_header(cookies, "https://first.test/") == "used=1"
    cookies_after("late=1; Path=/", url="https://third.test/", cookies=cookies)
    assert len(cookies.jar) == len(list(cookies.jar)) == MAX_COOKIES
    assert "idle" not in cookies
    assert {"used", "x", "late"} == set(cookies)


def test_deleted_cookies_leave_nothing_in_the_jar():
    cookies = Cookies()
    for number in range(20):
        cookies.set(f"a{number}", "1", domain=f"h{number}.test", path=f"/{number}")
        cookies.set(f"b{number}", "1", domain="one.test", path=f"/{number}")
    cookies.set("kept", "1", domain="one.test")
    for one in cookies.jar:
        one.expires = None if one.name == "kept" else int(time.time()) - 1
    for number in range(20):
        cookie_header(cookies, f"http://h{number}.test/")
    cookie_header(cookies, "http://one.test/")
    assert [one.name for one in cookies.jar] == ["kept"]
    assert cookies.jar._cookies == {"one.test": {"/": {"kept": next(iter(cookies.jar))}}}
    cookies.jar.clear("one.test")
    assert cookies.empty
    assert cookies.jar.find_site_cookies("one.test") == []


JAR_STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("set"), st.sampled_from("ab"), st.sampled_from(["h", ".h", "x.h"])),
        st.tuples(st.just("name"), st.sampled_from("ab"), st.sampled_from(["h", ".h", "x.h"])),
        st.tuples(st.just("path"), st.just(""), st.sampled_from(["h", ".h", "x.h"])),
        st.tuples(st.just("domain"), st.just(""), st.sampled_from(["h", ".h", "x.h"])),
        st.tuples(st.just("all"), st.just(""), st.just("")),
    ),
    max_size=30,
)


@given(JAR_STEPS)
def test_indexed_jar_behaves_like_the_library_jar(steps):
    indexed, plain = Cookies(), Cookies(CookieJar(make_strict_policy()))
    for what, name, host in steps:
        domain = f"{host}.example.com"
        for jar in (indexed.jar, plain.jar):
            if what == "set":
                jar.set_cookie(make_cookie(SetCookie(name, "1"), domain, "/p"))
                continue
            given_ = {"name": (domain, "/p", name), "path": (domain, "/p"), "domain": (domain,)}
            with suppress(KeyError):
                jar.clear(*given_.get(what, ()))
    stored = sorted((one.domain, one.name) for one in indexed.jar)
    assert stored == sorted((one.domain, one.name) for one in plain.jar)
    for host in ("h", "x.h", "y.h"):
        url = f"http://{host}.example.com/p"
        both = [sorted((cookie_header(jar, url) or "").split("; ")) for jar in (indexed, plain)]
        assert both[0] == both[1]


# The mapping


def test_cookies_are_read_and_deleted_by_name():
    cookies = cookies_after("sid=abc; HttpOnly", "theme=dark")
    assert cookies["sid"] == cookies.get("sid") == "abc"
    assert (cookies.get("none"), cookies.get("none", "x")) == (None, "x")
    assert "sid" in cookies
    assert "none" not in cookies
    assert list(cookies) == ["sid", "theme"]
    assert (len(cookies), cookies.empty) == (2, False)
    with pytest.raises(KeyError):
        cookies["none"]
    cookies.delete("sid")
    with pytest.raises(KeyError):
        cookies.delete("sid")
    assert list(cookies) == ["theme"]
    cookies.clear()
    assert (list(cookies), len(cookies), cookies.empty) == ([], 0, True)


def test_cookies_are_a_mapping():
    cookies = cookies_after("sid=abc", "theme=dark")
    assert isinstance(cookies, Mapping)
    assert dict(cookies) == dict(cookies.items()) == {"sid": "abc", "theme": "dark"}
    assert (list(cookies.keys()), list(cookies.values())) == (["sid", "theme"], ["abc", "dark"])
    assert cookies == cookies
    assert cookies != cookies_after("sid=abc", "theme=dark")
    cookies.set("sid", "other", domain="example.org")
    with pytest.raises(RequestError, match="several"):
        cookies.items()


def test_repr_shows_no_value():
    cookies = cookies_after("sid=abc", "theme=dark")
    assert repr(cookies) == "<Cookies: sid, theme>"
    assert repr(Cookies()) == "<Cookies: none>"


def test_new_cookies_are_empty():
    cookies = Cookies()
    assert (list(cookies), len(cookies), "a" in cookies, cookies.empty) == ([], 0, False, True)
    cookies.clear()
    assert cookie_header(cookies, HTTPS) is None
    with pytest.raises(KeyError):
        cookies.delete("a")


def test_expired_cookie_is_missing():
    cookies = Cookies()
    cookies.set("a", "1", domain="example.com")
    for cookie in cookies.jar:
        cookie.expires = int(time.time()) - 1
    assert (list(cookies), "a" in cookies) == ([], False)
    assert cookie_header(cookies, "http://example.com/") is None


def test_name_with_several_values_raises_with_their_domains():
    cookies = Cookies()
    cookies.set("a", "one", domain="example.com")
    cookies.set("a", "one", domain="example.org")
    assert cookies["a"] == "one"
    cookies.set("a", "two", domain="example.org")
    with pytest.raises(RequestError, match="several") as caught:
        cookies["a"]
    assert "example.com/" in str(caught.value)
    assert "two" not in str(caught.value)
    cookies.delete("a", domain="example.org")
    assert cookies["a"] == "one"


@pytest.mark.parametrize(
    ("domain", "sent_to", "not_sent_to"),
    [
        ("Example.com", "http://example.com/p", "http://www.example.com/p"),
        (".example.com", "http://www.example.com/p", "http://example.org/p"),
        ("localhost", "http://localhost:8000/p", "http://other/p"),
        ("127.0.0.1", "http://127.0.0.1:8000/p", "http://127.0.0.2/p"),
        ("::1", "http://[::1]:8000/p", "http://[::2]/p"),
        ("[::1]", "http://[::1]:8000/p", "http://[::2]/p"),
    ],
)
def test_set_cookie_is_sent_to_its_domain(domain, sent_to, not_sent_to):
    cookies = Cookies()
    cookies.set("a", "b", domain=domain, path="/p")
    assert cookie_header(cookies, sent_to) == "a=b"
    assert cookie_header(cookies, not_sent_to) is None
    assert cookie_header(cookies, sent_to.replace("/p", "/q")) is None
    cookies.delete("a", domain=domain)
    assert cookies.empty


def test_set_secure_cookie_is_sent_over_https_only():
    cookies = Cookies()
    cookies.set("a", "b", domain="example.com", secure=True)
    assert cookie_header(cookies, "http://example.com/") is None
    assert cookie_header(cookies, "https://example.com/") == "a=b"


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": ""},
        {"name": "a=b"},
        {"name": "a b"},
        {"name": "a\r\n"},
        {"value": "top;secret"},
        {"value": "top\r\nsecret"},
        {"value": " secret"},
        {"value": "secret\u20ac"},
        {"domain": ""},
        {"domain": "http://example.com"},
        {"domain": "example.com:80"},
        {"path": "p"},
    ],
)
def test_set_rejects_text_that_no_header_can_contain(wrong):
    cookies = Cookies()
    with pytest.raises(RequestError) as caught:
        cookies.set(**{"name": "a", "value": "b", "domain": "example.com", "path": "/", **wrong})
    assert "secret" not in str(caught.value)
    assert cookies.empty


# The option


def test_option_converts_bool_jar_and_cookies():
    jar, cookies = CookieJar(), Cookies()
    assert as_cookies(None) is as_cookies(False) is None
    assert isinstance(as_cookies(True), Cookies)
    assert as_cookies(cookies) is cookies
    wrapped = as_cookies(jar)
    assert wrapped is not None
    assert wrapped.jar is jar


@pytest.mark.parametrize("wrong", ["sid=secret", 1, [("sid", "secret")], b"secret"])
def test_wrong_option_raises_and_hides_the_values(wrong):
    with pytest.raises(RequestError, match="must be True, False, a dict of names") as caught:
        as_cookies(wrong)
    assert "secret" not in str(caught.value)


def test_given_jar_keeps_its_policy_and_can_be_saved(tmp_path):
    jar = LWPCookieJar(tmp_path / "jar", policy=DefaultCookiePolicy(blocked_domains=["bad.com"]))
    cookies = cookies_after("a=1; Path=/; Max-Age=100", cookies=Cookies(jar))
    cookies_after("b=2", url="https://bad.com/", cookies=cookies)
    jar.save()
    loaded = LWPCookieJar(tmp_path / "jar")
    loaded.load()
    assert [(one.name, one.value) for one in loaded] == [("a", "1")]
    assert cookie_header(Cookies(loaded), "https://www.example.com/") == "a=1"


# Threads and forks


def test_threads_can_share_cookies():
    cookies, failed = Cookies(), []

    def work(number):
        try:
            for turn in range(50):
                url = f"https://h{number}.example.com/"
                cookies_after(
                    f"c{turn}=1",
                    "c=; Max-Age=0",
                    f"d{turn}=2; Domain=example.com",
                    url=url,
                    cookies=cookies,
                )
                assert f"c{turn}=1" in cookie_header(cookies, url)
                assert f"c{turn}" in list(cookies)
        except Exception as exc:  # noqa: BLE001  # for the assertion below
            failed.append(exc)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    assert len(cookies) == 100


FORK_INSIDE_THE_JAR = """
import os, sys, threading, warnings
from http.cookiejar import CookieJar, DefaultCookiePolicy
from restkit import Client, Headers, HttpResponse, parse_url
from restkit.message.request import Request
from restkit.cookies.cookies import Cookies

warnings.simplefilter('ignore')  # about a fork with threads, which this tests
inside, go = threading.Event(), threading.Event()

class Waiting(DefaultCookiePolicy):
    def set_ok(self, cookie, request):
        inside.set()
        return go.wait(15)

cookies = Cookies(CookieJar(Waiting()))
cookies.set('a', '1', domain='example.com')
request = Request('GET', parse_url('http://example.com/'), Headers())
response = HttpResponse.made(request, 200, [('Set-Cookie', 'b=2')])
thread = threading.Thread(target=cookies.store_from_response, args=(request, response))
thread.start()
assert inside.wait(15)
child = os.fork()
if child == 0:
    cookies.add_to_request(request)
    os._exit(0 if request.headers.get('cookie') == 'a=1' and list(cookies) == ['a'] else 1)
_, status = os.waitpid(child, 0)
go.set()
thread.join()
assert list(cookies) == ['a', 'b']
sys.exit(os.waitstatus_to_exitcode(status))
"""


def test_W12_jar_works_in_a_child_forked_while_a_thread_uses_it():
    subprocess.run([sys.executable, "-c", FORK_INSIDE_THE_JAR], check=True, timeout=30)


def test_http_cookiejar_is_imported_by_the_client_and_not_by_a_request():
    program = (
        "import sys, restkit\n"
        "assert 'http.cookiejar' not in sys.modules, 'imported'\n"
        "restkit.Client(cookies=False)\n"
        "assert 'http.cookiejar' not in sys.modules, 'imported'\n"
        "restkit.Client()\n"
        "assert 'http.cookiejar' in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


# On the wire


def test_client_stores_cookies_and_each_response_has_its_own():
    responses = (
        response(b"", "Set-Cookie: sid=1; Path=/; HttpOnly", "Set-Cookie: t=2"),
        response(b""),
        response(b"", "Set-Cookie: sid=; Max-Age=0; Path=/"),
        response(b""),
    )
    with ScriptedServer.serving(*responses) as server, Client() as client:
        first, second, *_ = [client.get(server.url("/a/b")) for _ in range(3)]
        client.get(server.url("/"))
        client.get(server.url("/a"), headers={"Cookie": "own=1"})
        client.get(server.url("/a"), headers={"Cookie": None})
        assert first.cookies == {"sid": "1", "t": "2"}
        assert second.cookies == {}
        assert list(client.cookies) == ["t"]
        assert [field(one, "cookie") for one in server.requests] == [
            None, "t=2; sid=1", "t=2; sid=1", None, "own=1", None,
        ]  # fmt: skip


def test_request_given_to_send_is_not_changed():
    with ScriptedServer.serving(response(b"", "Set-Cookie: a=1")) as server, Client() as client:
        client.get(server.url())
        made = make_request(server.url())
        client.send(made)
        assert "cookie" not in made.headers
        assert field(server.requests[-1], "cookie") == "a=1"


def test_module_functions_and_clients_without_cookies_store_none():
    with ScriptedServer.serving(response(b"", "Set-Cookie: a=1")) as server:
        with Client(cookies=False) as client:
            assert not client.cookies
            for send in (request, request, client.request, client.request):
                assert send(server.url()).cookies == {"a": "1"}
        assert [field(one, "cookie") for one in server.requests] == [None] * 4


def test_C08_client_stores_secure_cookies_over_https_only(certs):
    fields = (
        "Set-Cookie: safe=1; Secure",
        "Set-Cookie: far=1; Domain=example.com",
        "Set-Cookie: a=1",
    )
    with ScriptedServer.serving(response(b"", *fields)) as server, Client() as client:
        client.get(server.url())
        assert list(client.cookies) == ["a"]
    secured = ScriptedServer.serving(response(b"", *fields), ssl_context=certs.server)
    with secured as server, Client(verify=str(certs.ca_file)) as client:
        for _ in range(2):
            client.get(server.url())
        assert field(server.requests[-1], "cookie") == "safe=1; a=1"


def test_S13_redirect_stores_cookies_and_sends_those_of_its_own_origin():
    with ScriptedServer.serving(response(b"")) as other:
        away = f"http://localhost:{other.port}/"
        responses = (
            response(b"", "Set-Cookie: a=1", "Location: /there", status="302 Found"),
            response(b"", f"Location: {away}", status="303 See Other"),
        )
        with ScriptedServer.serving(*responses) as server, Client() as client:
            client.cookies.set("b", "2", domain="localhost")
            client.post(server.url(), b"payload")
            assert [field(one, "cookie") for one in server.requests] == [None, "a=1"]
            assert field(other.request, "cookie") == "b=2"
            client.post(server.url("/again"), b"payload", headers={"Cookie": "own=1"})
            assert [field(one, "cookie") for one in server.requests[2:]] == ["own=1"]
            assert field(other.requests[-1], "cookie") == "b=2"


def test_cookies_of_retried_and_error_responses_are_stored():
    responses = (
        response(b"", "Set-Cookie: a=1", status="503 Unavailable"),
        response(b"", "Set-Cookie: b=2", status="404 Not Found"),
    )
    with ScriptedServer.serving(*responses) as server, Client() as client:
        client.get(server.url())
        client.get(server.url())
        assert sorted(client.cookies) == ["a", "b"]
        assert field(server.requests[-1], "cookie") == "a=1"
