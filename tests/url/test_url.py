"""URLs: spellings, errors, user info, parameters and joins."""

from __future__ import annotations

import copy
import enum
import pickle
import re
import subprocess
import sys
import threading
import traceback

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from restkit.errors import InvalidUrl
from restkit.url.url import URL, Link, parse_url

pytestmark = pytest.mark.lowest

LONG_LABEL = "a" * 63

# text, Host header, request target
SPELLINGS = [
    ("http://host", "host", "/"),
    ("http://host/", "host", "/"),
    ("  http://host/x  ", "host", "/x"),
    ("HTTP://HOST/Path", "host", "/Path"),
    ("http://host:80/", "host", "/"),
    ("https://host:443/", "host", "/"),
    ("https://host:80/", "host:80", "/"),
    ("http://host:443/", "host:443", "/"),
    ("http://host:/", "host", "/"),
    ("http://host:00080/", "host", "/"),
    ("http://host:65535/", "host:65535", "/"),
    ("http://host?q", "host", "/?q"),
    ("http://host:8080?q=1#f", "host:8080", "/?q=1"),
    ("http://host?", "host", "/?"),
    ("http://host#f", "host", "/"),
    ("http://host/?a=b&c", "host", "/?a=b&c"),
    ("http://host/a#b?c", "host", "/a"),
    ("http://host./x", "host.", "/x"),
    ("http://under_score.host/", "under_score.host", "/"),
    ("http://127.0.0.1:8000/", "127.0.0.1:8000", "/"),
    ("http://[::1]/x", "[::1]", "/x"),
    ("http://[::1]:8080/", "[::1]:8080", "/"),
    ("http://[2001:DB8::A]/", "[2001:db8::a]", "/"),
    ("http://[fe80::1%25eth0]:8080/", "[fe80::1]:8080", "/"),
    ("http://[fe80::1%eth0]/", "[fe80::1]", "/"),
    ("http://[::ffff:1.2.3.4]/", "[::ffff:1.2.3.4]", "/"),
    ("http://münchen.example/", "xn--mnchen-3ya.example", "/"),
    ("http://MÜNCHEN.Example./", "xn--mnchen-3ya.example.", "/"),
    ("http://m%C3%BCnchen.example/", "xn--mnchen-3ya.example", "/"),
    ("http://ex%61mple.com/", "example.com", "/"),
    ("http://例え。テスト/", "xn--r8jz45g.xn--zckzah", "/"),
    ("http://ｗｗｗ.example/", "www.example", "/"),
    ("http://💩.la/", "xn--ls8h.la", "/"),
    ("http://xn--strae-oqa.de/", "xn--strae-oqa.de", "/"),
    (f"http://{LONG_LABEL}.de/", f"{LONG_LABEL}.de", "/"),
    ("http://host/a b", "host", "/a%20b"),
    ("http://host/a%20b", "host", "/a%20b"),
    ("http://host/%zz", "host", "/%25zz"),
    ("http://host/%zz%41%", "host", "/%25zz%41%25"),
    ("http://host/100%?sale=50%&c=%C3%BC", "host", "/100%25?sale=50%25&c=%C3%BC"),
    ("http://host/%c3%bc", "host", "/%C3%BC"),
    ("http://host/ü?ü=ü", "host", "/%C3%BC?%C3%BC=%C3%BC"),
    ("http://host/x?a b=c+d", "host", "/x?a%20b=c+d"),
    ("http://host/x?a[]=1&b={2}|", "host", "/x?a%5B%5D=1&b=%7B2%7D%7C"),
    ('http://host/<">`', "host", "/%3C%22%3E%60"),
    ("http://host/a\\b", "host", "/a%5Cb"),
    ("http://host/a/./b/../c", "host", "/a/c"),
    ("http://host/../../x", "host", "/x"),
    ("http://host/a/..", "host", "/"),
    ("http://host/%2e%2e/x", "host", "/%2E%2E/x"),
    ("http://host//x//y", "host", "//x//y"),
    ("http://host/a;b=c,d:e@f!$&'()*+", "host", "/a;b=c,d:e@f!$&'()*+"),
    ("http://host/?q=a/b?c", "host", "/?q=a/b?c"),
    ("http://user:secret@host:81/x", "host:81", "/x"),
    ("http://a@b@host/", "host", "/"),
]


@pytest.mark.parametrize(("text", "authority", "target"), SPELLINGS)
def test_W15_each_spelling_has_one_host_header_and_one_target(text, authority, target):
    url = parse_url(text)
    assert (url.authority, url.target) == (authority, target)
    assert parse_url(str(url)) == url.without_userinfo()


# text, part of the message
INVALID = [
    ("", "relative URL"),
    ("/some/url", "'/some/url': relative URL; it must begin with http:// or https:// and a host"),
    ("some/url", "relative URL"),
    ("//host/x", "relative URL"),
    ("?q", "relative URL"),
    ("#f", "relative URL"),
    ("host", "relative URL"),
    ("host:8000/x", "no scheme; it must begin with http:// or https://"),
    ("www.host.de:x", "no scheme"),
    ("127.0.0.1:80", "relative URL"),
    ("ftp://x", "the scheme must be http or https; got ftp"),
    ("file:///etc/passwd", "got file"),
    ("mailto:a@b", "got mailto"),
    ("http:", "http: must be followed by two slashes and a host"),
    ("http:/host/x", "http: must be followed by two slashes and a host"),
    ("https:host", "https: must be followed by two slashes and a host"),
    ("http://", "no host"),
    ("http:///path", "no host"),
    ("http://:80/", "no host"),
    ("http://?q", "no host"),
    ("http://user@/", "no host"),
    ("http://host:0/", "the port must be a number from 1 to 65535"),
    ("http://host:65536/", "the port must be a number"),
    ("http://h:abc/", "'http://h:***/': the port must be a number"),
    ("http://host:-1/", "the port must be a number"),
    ("http://host:+80/", "the port must be a number"),
    ("http://host:8 0/", "the port must be a number"),
    ("http://host:８０/", "the port must be a number"),
    ("http://host:" + "9" * 5000, "the port must be a number"),
    ("http://::1/", "colons in the host; an IPv6 address must be in brackets"),
    ("http://fe80::1:80/", "colons in the host"),
    ("http://[::1/", "brackets must enclose the whole IPv6 address"),
    ("http://::1]/", "colons in the host"),
    ("http://[::1]x/", "brackets must enclose the whole IPv6 address"),
    ("http://[::g]/", "the text in brackets is not an IPv6 address"),
    ("http://[]/", "the text in brackets is not an IPv6 address"),
    ("http://[127.0.0.1]/", "the text in brackets is not an IPv6 address"),
    ("http://[fe80::1%25]x/", "brackets must enclose"),
    ("http://[fe80::1%]/", "the zone of an IPv6 address"),
    ("http://[fe80::1%25a b]/", "the zone of an IPv6 address"),
    ("http://a..b/", "not a host name"),
    ("http://.a/", "not a host name"),
    ("http://./", "not a host name"),
    ("http://a../", "not a host name"),
    ("http://a b/", "not a host name"),
    ("http://a%20b/", "not a host name"),
    ("http://a%2fb/", "not a host name"),
    ("http://a%00b/", "not a host name"),
    ("http://a%zz/", "not a host name"),
    ("http://℀.de/", "not a host name"),
    ("http://a／b.de/", "not a host name"),
    ("http://a|b/", "not a host name"),
    (f"http://{LONG_LABEL}a/", "not a host name"),
    ("http://" + ".".join([LONG_LABEL] * 5), "at most 253 characters"),
    ("http://" + "ü" * 64 + "/", "not a host name"),
    ("http://" + "ü" * 100_000 + "/", "not a host name"),
    ("http://xn--ü/", "characters that are not allowed in a name"),
    ("http://aאb/", "characters that are not allowed in a name"),
    ("http://a\u200db.de/", "characters that are not allowed in a name"),
    ("http://a\u200cb.de/", "characters that are not allowed in a name"),
    ("http://\u0300a.de/", "characters that are not allowed in a name"),
    ("http://\u00ad.de/", "not a host name"),
    ("http://host\\@other/", "a backslash before the path"),
    ("http://host\\path", "a backslash before the path"),
    ("http://host/\ud800", "lone surrogate U+D800 at 12"),
    ("http://\udcffhost/", "lone surrogate U+DCFF at 7"),
    ("http://us%ffer@host/", "user name and password must be UTF-8"),
]


@pytest.mark.parametrize(("text", "message"), INVALID)
def test_R18_W15_invalid_url_raises_with_the_reason(text, message):
    with pytest.raises(InvalidUrl, match=re.escape(message)) as caught:
        parse_url(text)
    assert len(str(caught.value)) < 700


@pytest.mark.parametrize("code", [*range(0x20), 0x7F])
@pytest.mark.parametrize(
    "text", ["{}http://host/", "http://h{}ost/", "http://host/?a{}", "http://host/#{}"]
)
def test_W16_control_character_raises_with_its_code(code, text):
    with pytest.raises(InvalidUrl, match=rf"U\+{code:04X} at {text.index('{')}; .* %{code:02X}$"):
        parse_url(text.format(chr(code)))


@pytest.mark.parametrize("value", [b"http://host/", None, 1, ["http://host/"]])
def test_value_of_another_type_raises(value):
    with pytest.raises(InvalidUrl, match=r"a URL must be a str or a restkit\.URL; got "):
        parse_url(value)


def test_url_has_these_attributes():
    url = parse_url("https://Us%40er:p%3Aw%zz@[FE80::1%25eth0]:8443/a?b#c d")
    assert url.scheme == "https"
    assert url.host == "fe80::1%eth0"
    assert url.port == 8443
    assert url.authority == "[fe80::1]:8443"
    assert url.origin == ("https", "fe80::1%eth0", 8443)
    assert url.target == "/a?b"
    assert url.fragment == "c%20d"
    assert (url.username, url.password) == ("Us@er", "p:w%zz")
    assert str(url) == "https://[fe80::1%25eth0]:8443/a?b#c%20d"
    assert repr(url) == "URL('https://***@[fe80::1%25eth0]:8443/a?b#c%20d')"
    assert repr(url.without_userinfo()) == "URL('https://[fe80::1%25eth0]:8443/a?b#c%20d')"
    assert str(url.without_fragment()) == "https://[fe80::1%25eth0]:8443/a?b"
    assert url.without_fragment().password == "p:w%zz"


@pytest.mark.parametrize(
    ("userinfo", "username", "password"),
    [
        ("", None, None),
        ("@", None, None),
        ("user@", "user", None),
        ("user:@", "user", ""),
        (":token@", "", "token"),
        ("us%40er:p%3Aw@", "us@er", "p:w"),
        ("ü:%C3%BC@", "ü", "ü"),
        ("a:b:c@", "a", "b:c"),
        ("a:p@ss@", "a", "p@ss"),
    ],
)
def test_R17_user_info_is_decoded_and_left_out_of_the_text(userinfo, username, password):
    url = parse_url(f"http://{userinfo}h/")
    assert (url.username, url.password) == (username, password)
    assert str(url) == "http://h/"
    assert url.authority == "h"
    assert parse_url(str(url)).username is None


@pytest.mark.parametrize(
    "text",
    [
        "http://us:hunter2@h:99999/",
        "http://us:hunter2@h:x/",
        "http://us:hunter2@/",
        "http://us:hunter2@a b/",
        "http://us:hunter2@[::x]/",
        "http://us:hunter2@a\u200db.de/",
        "http://us:hunter2\n@h/",
        "http://us:hunter2%ff@h/",
        "http://us:hunter2\ud800@h/",
        "http://us:hunter2/x@h/",
        "http://us:hunter2?x@h/",
        "http://us:hunter2[/x@y/",
        "http://us:ü:hunter2/@h/",
        "http://hunter2\\@h/",
        "http://hunter2ü\u200d/@h/",
        "http://[hunter2]/@h/",
        "ftp://us:hunter2@h/",
        "us:hunter2@h",
        "//us:hunter2@h/",
        "http:us:hunter2@h/",
    ],
)
def test_R17_errors_and_tracebacks_hide_the_password(text):
    with pytest.raises(InvalidUrl) as caught:
        parse_url(text)
    text_of_error = "".join(traceback.format_exception(caught.value))
    # The traceback quotes the call in this file, which does not contain the password.
    assert "hunter2" not in text_of_error
    assert "***@" in str(caught.value)


@pytest.mark.parametrize(
    "text", ["http://us:hunter2", "http://us:hunter2/x?y", "us:hunter2", "http:us:hunter2"]
)
def test_errors_hide_a_password_without_a_host(text):
    with pytest.raises(InvalidUrl, match=r":\*\*\*") as caught:
        parse_url(text)
    assert "hunter2" not in "".join(traceback.format_exception(caught.value))


def test_error_shows_no_part_of_user_info_that_looks_like_a_scheme():
    with pytest.raises(InvalidUrl) as caught:
        parse_url("us:hunter2://@host/")
    assert str(caught.value).startswith("'***@host/': ")


@pytest.mark.parametrize(
    "text",
    [
        "ftp://host/?token=s3cret",
        "/relative?token=s3cret",
        "http://host:99999/?q=1&token=s3cret",
        "http://[::x]/?token=s3cret",
        "http://ho st/?token=s3cret",
        "http://host/?token=s3cret&x=\n",
    ],
)
def test_errors_and_tracebacks_hide_secrets_in_the_query(text):
    with pytest.raises(InvalidUrl, match=r"token=\*\*\*") as caught:
        parse_url(text)
    assert "s3cret" not in "".join(traceback.format_exception(caught.value))


def test_error_of_the_constructor_hides_secrets_in_the_target():
    with pytest.raises(InvalidUrl, match=r"token=\*\*\*"):
        URL("http", "host", 80, "/a b?token=s3cret")


def test_cache_keeps_no_user_info_and_no_long_texts():
    assert parse_url("http://host/cached") is parse_url("http://host/" + "cached")
    secret = "http://us:pw@host/cached"
    assert parse_url(secret) is not parse_url(secret)
    assert parse_url(secret) == parse_url(secret)
    long = "http://host/" + "x" * 5000
    assert parse_url(long) is not parse_url(long)


def test_url_is_an_immutable_value():
    url = parse_url("http://us:pw@host/x?y#z")
    assert parse_url(url) is url
    assert url == parse_url("http://us:pw@host:80/x?y#z")
    assert hash(url) == hash(parse_url("http://us:pw@host:80/x?y#z"))
    assert url != parse_url("http://us:other@host/x?y#z")
    assert url != "http://host/x?y#z"
    assert pickle.loads(pickle.dumps(url)) == copy.deepcopy(url) == url
    with pytest.raises(AttributeError, match="host cannot be set"):
        url.host = "other"
    with pytest.raises(AttributeError, match="port cannot be deleted"):
        del url.port
    with pytest.raises(AttributeError):
        url.anything = 1
    assert f"{url}" == "http://host/x?y#z"


class Colour(str, enum.Enum):
    RED = "red one"


class Size(enum.IntEnum):
    BIG = 3


@pytest.mark.parametrize(
    ("text", "params", "target"),
    [
        ("http://h/p", {"a": "1"}, "/p?a=1"),
        ("http://h", {"a": "1"}, "/?a=1"),
        ("http://h/p?x=y", {"a": "1"}, "/p?x=y&a=1"),
        ("http://h/p?", {"a": "1"}, "/p?a=1"),
        ("http://h/p?x&", {"a": "1"}, "/p?x&a=1"),
        ("http://h/p#f", {"a": "1"}, "/p?a=1"),
        ("http://u:p@h/p", {"a": "1"}, "/p?a=1"),
        ("http://h/p", {}, "/p"),
        ("http://h/p", [], "/p"),
        ("http://h/p", "", "/p"),
        ("http://h/p", {"a": []}, "/p"),
        ("http://h/p", [("a", 1), ("b", 2), ("a", 3)], "/p?a=1&b=2&a=3"),
        ("http://h/p", (("a", 1),), "/p?a=1"),
        ("http://h/p", iter([("a", 1)]), "/p?a=1"),
        ("http://h/p", {"a": [1, "2", b"3", None]}, "/p?a=1&a=2&a=3"),
        ("http://h/p", {"a": ("x", "y")}, "/p?a=x&a=y"),
        ("http://h/p", {"a": None}, "/p"),
        ("http://h/p", {"a": None, "b": ["x", 2], "c": True}, "/p?b=x&b=2&c=true"),
        ("http://h/p", {"a": True, "b": False}, "/p?a=true&b=false"),
        ("http://h/p", {"a": -1, "b": 1.5, "c": 1e100}, "/p?a=-1&b=1.5&c=1e%2B100"),
        ("http://h/p", {"a": Colour.RED, "b": Size.BIG}, "/p?a=red+one&b=3"),
        ("http://h/p", {"a": b"\xff\x00"}, "/p?a=%FF%00"),
        ("http://h/p", {1: 2, b"k": "v"}, "/p?1=2&k=v"),
        ("http://h/p", {"ü &=": "ß+%41#?"}, "/p?%C3%BC+%26%3D=%C3%9F%2B%2541%23%3F"),
        ("http://h/p", {"a": "\r\nx"}, "/p?a=%0D%0Ax"),
        ("http://h/p", "a=1&b=%20", "/p?a=1&b=%20"),
        ("http://h/p?x", "a b=ü&c=%zz#", "/p?x&a%20b=%C3%BC&c=%25zz%23"),
        ("http://h/p", "a\r\nb", "/p?a%0D%0Ab"),
    ],
)
def test_params_are_added_to_the_query(text, params, target):
    url = parse_url(text, params)
    assert url.target == target
    assert (url.fragment, url.username) == (parse_url(text).fragment, parse_url(text).username)
    assert parse_url(str(url)).target == target


@pytest.mark.parametrize("value", [{"b": 1}, {1}, object(), bytearray(b"x"), [[1]]])
def test_parameter_of_another_type_raises(value):
    with pytest.raises(InvalidUrl, match="the parameter 'a' must be str, bytes"):
        parse_url("http://h/", {"a": value})


@pytest.mark.parametrize("params", ["\ud800", {"a": "\ud800"}, {"\ud800": "a"}])
def test_lone_surrogate_in_a_parameter_raises(params):
    with pytest.raises(InvalidUrl, match=r"lone surrogate U\+D800"):
        parse_url("http://h/", params)


# RFC 3986 5.4.1 and 5.4.2, without "g:h", which has another scheme; "http:g" has the result that
# 5.4.2 allows for backward compatibility.
JOINS = [
    ("g", "http://a/b/c/g"),
    ("./g", "http://a/b/c/g"),
    ("g/", "http://a/b/c/g/"),
    ("/g", "http://a/g"),
    ("//g", "http://g/"),
    ("?y", "http://a/b/c/d;p?y"),
    ("g?y", "http://a/b/c/g?y"),
    ("#s", "http://a/b/c/d;p?q#s"),
    ("g#s", "http://a/b/c/g#s"),
    ("g?y#s", "http://a/b/c/g?y#s"),
    (";x", "http://a/b/c/;x"),
    ("g;x", "http://a/b/c/g;x"),
    ("g;x?y#s", "http://a/b/c/g;x?y#s"),
    ("", "http://a/b/c/d;p?q"),
    (".", "http://a/b/c/"),
    ("./", "http://a/b/c/"),
    ("..", "http://a/b/"),
    ("../", "http://a/b/"),
    ("../g", "http://a/b/g"),
    ("../..", "http://a/"),
    ("../../", "http://a/"),
    ("../../g", "http://a/g"),
    ("../../../g", "http://a/g"),
    ("../../../../g", "http://a/g"),
    ("/./g", "http://a/g"),
    ("/../g", "http://a/g"),
    ("g.", "http://a/b/c/g."),
    (".g", "http://a/b/c/.g"),
    ("g..", "http://a/b/c/g.."),
    ("..g", "http://a/b/c/..g"),
    ("./../g", "http://a/b/g"),
    ("./g/.", "http://a/b/c/g/"),
    ("g/./h", "http://a/b/c/g/h"),
    ("g/../h", "http://a/b/c/h"),
    ("g;x=1/./y", "http://a/b/c/g;x=1/y"),
    ("g;x=1/../y", "http://a/b/c/y"),
    ("g?y/./x", "http://a/b/c/g?y/./x"),
    ("g?y/../x", "http://a/b/c/g?y/../x"),
    ("g#s/../x", "http://a/b/c/g#s/../x"),
    ("http:g", "http://a/b/c/g"),
    ("HTTP:/g", "http://a/g"),
    ("https://g/x", "https://g/x"),
    ("/g?", "http://a/g?"),
    ("#", "http://a/b/c/d;p?q#"),
    ("  g h  ", "http://a/b/c/g%20h"),
    ("/ü?%zz", "http://a/%C3%BC?%25zz"),
    ("/\\g", "http://a/%5Cg"),
]


@pytest.mark.parametrize(("reference", "joined"), JOINS)
def test_join_follows_rfc_3986(reference, joined):
    assert str(parse_url("http://a/b/c/d;p?q").join(reference)) == joined


@pytest.mark.parametrize(
    ("reference", "joined", "username"),
    [
        ("y", "http://a:81/b/y#f", "us"),
        ("y#g", "http://a:81/b/y#g", "us"),
        ("y#", "http://a:81/b/y#", "us"),
        ("", "http://a:81/b/c#f", "us"),
        ("//a:81/y", "http://a:81/y#f", None),
        ("http://a:81/y", "http://a:81/y#f", None),
        ("http://other/y", "http://other/y#f", None),
        ("http://ot@her/y#g", "http://her/y#g", "ot"),
    ],
)
def test_join_inherits_the_fragment_and_user_info_only_on_the_same_host(
    reference, joined, username
):
    url = parse_url("http://us:pw@a:81/b/c#f").join(reference)
    assert (str(url), url.username) == (joined, username)


def test_join_keeps_a_zone_and_an_empty_path():
    assert str(parse_url("http://[fe80::1%25eth0]").join("x")) == "http://[fe80::1%25eth0]/x"
    assert str(parse_url("http://h?q").join("?p")) == "http://h/?p"


@pytest.mark.parametrize(
    "reference",
    ["ftp://x", "mailto:x", "g:h", "http://", "//h:x", "/a\nb", "\tx", "x\ud800", "//a\\@b"],
)
def test_join_of_an_invalid_reference_raises(reference):
    with pytest.raises(InvalidUrl):
        parse_url("http://a/b").join(reference)


def test_threads_can_parse_at_once():
    texts = [f"http://host/{number}" for number in range(700)]
    failures = []

    def parse_all():
        failures.extend(text for text in texts if str(parse_url(text)) != text)

    threads = [threading.Thread(target=parse_all) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def test_parsing_an_ascii_host_imports_neither_urllib3_nor_idna():
    program = """if True:
        import sys
        from restkit.url.url import parse_url
        parse_url('http://xn--mnchen-3ya.example/%C3%BC?ü')
        parse_url('http://[::1]/')
        print([name in sys.modules for name in ('urllib3', 'idna', 'unicodedata')])
    """
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == "[False, False, False]\n"


URL_PARTS = st.sampled_from(
    "http:// https: // / .. . ? # @ : [ ] ::1 % %25 %zz %C3 h a.b ü ß 例 xn-- 80 0 \\ + &=".split()
) | st.sampled_from([" ", "\t", "\ud800"])
TEXTS = st.one_of(
    st.text(),
    st.lists(URL_PARTS).map("".join),
    st.lists(URL_PARTS).map("".join).map("http://h".__add__),
    st.text().map("http://".__add__),
    st.text().map("http://h/".__add__),
)


def check_url(url: URL) -> None:
    assert re.fullmatch(r"/[!-~]*", url.target)
    assert "#" not in url.target
    assert re.fullmatch(r"[!-~]+", url.authority)
    assert not re.search(r"[/?#@\\A-Z]", url.authority)
    assert re.fullmatch(r"[!-~]+", str(url))
    assert 0 < url.port < 65536
    again = parse_url(str(url))
    assert again == url.without_userinfo()
    assert str(again) == str(url)


@given(TEXTS)
@example("http://h/..//b")
@example("http://h/.//..//")
@example("http://h/%%41")
@example("http://h//..//")
def test_any_text_is_invalid_or_a_stable_url(text):
    try:
        url = parse_url(text)
    except InvalidUrl:
        return
    check_url(url)


@given(TEXTS, TEXTS)
def test_any_reference_is_invalid_or_joins_to_a_stable_url(base, reference):
    try:
        url = parse_url(base).join(reference)
    except InvalidUrl:
        return
    check_url(url)


@given(
    st.one_of(
        st.text(),
        st.dictionaries(
            st.text(), st.one_of(st.none(), st.text(), st.binary(), st.floats(), st.integers())
        ),
        st.lists(st.tuples(st.text(), st.lists(st.text()))),
    )
)
def test_any_params_are_invalid_or_make_a_valid_target(params):
    try:
        url = parse_url("http://h/p?x", params)
    except InvalidUrl:
        return
    check_url(url)


# Links


@pytest.mark.parametrize(
    ("link", "found"),
    [
        (Link(rel="next", title="secret"), "rel, title"),
        (Link(), "no parameters"),
    ],
)
def test_link_without_a_url_is_an_invalid_url_that_names_its_parameters(link, found):
    with pytest.raises(InvalidUrl) as caught:
        parse_url(link)
    assert str(caught.value) == (
        f"a Link needs the parameter url, its absolute URL; this one has {found}"
    )
