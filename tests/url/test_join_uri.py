"""join_uri: slashes, queries, encoding and errors."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from restkit import InvalidUrl
from restkit.url.url import join_uri, parse_url


@pytest.mark.parametrize(
    ("base", "path", "joined"),
    [
        # no path: the base is unchanged
        ("http://host", (), "http://host/"),
        ("http://host/", (), "http://host/"),
        ("http://host/a", (), "http://host/a"),
        ("http://host/a/", (), "http://host/a/"),
        ("http://host/a", (None,), "http://host/a"),
        ("http://host/a/", (None,), "http://host/a/"),
        ("http://host/a", ("",), "http://host/a"),
        ("http://host/a/", ("",), "http://host/a/"),
        # one slash between them
        ("http://host", ("b",), "http://host/b"),
        ("http://host", ("/b",), "http://host/b"),
        ("http://host/", ("b",), "http://host/b"),
        ("http://host/", ("/b",), "http://host/b"),
        ("http://host/a", ("b",), "http://host/a/b"),
        ("http://host/a", ("/b",), "http://host/a/b"),
        ("http://host/a/", ("b",), "http://host/a/b"),
        ("http://host/a/", ("/b",), "http://host/a/b"),
        # the slash at the end is that of the path
        ("http://host/a", ("/",), "http://host/a/"),
        ("http://host/a/", ("/",), "http://host/a/"),
        ("http://host/a", ("b/",), "http://host/a/b/"),
        ("http://host/a/", ("/b/",), "http://host/a/b/"),
        ("http://host/a", ("b/c/d",), "http://host/a/b/c/d"),
        # several parts
        ("http://host/a", ("b", "c"), "http://host/a/b/c"),
        ("http://host/a/", ("/b/", "/c/"), "http://host/a/b/c/"),
        ("http://host/a", ("b/", None), "http://host/a/b/"),
        ("http://host/a", (None, "b", "", "c"), "http://host/a/b/c"),
        ("http://host/a", ("b", "/"), "http://host/a/b/"),
        # repeated slashes are kept: they are empty segments
        ("http://host/a", ("//b",), "http://host/a//b"),
        ("http://host/a//", ("b",), "http://host/a//b"),
        ("http://host/a", ("b//c//",), "http://host/a/b//c//"),
        ("http://host", ("//other/b",), "http://host//other/b"),
    ],
)
def test_R19_path_is_appended_to_the_base(base, path, joined):
    assert str(join_uri(base, *path)) == joined


@pytest.mark.parametrize(
    ("base", "path", "params", "target"),
    [
        ("http://host/a", "b", {"q": 1}, "/a/b?q=1"),
        ("http://host/a/", None, {"q": 1}, "/a/?q=1"),
        ("http://host", None, {"q": 1}, "/?q=1"),
        ("http://host/a", "b", {"q": ["x", "y"], "z": "é&"}, "/a/b?q=x&q=y&z=%C3%A9%26"),
        ("http://host/a", "b", {"q": None, "r": [None, 1]}, "/a/b?r=1"),
        ("http://host/a", "b", {"q": True, "r": "a b"}, "/a/b?q=true&r=a+b"),
        ("http://host/a", "b", [("q", 1), ("q", 2)], "/a/b?q=1&q=2"),
        ("http://host/a", "b", "q=1&r", "/a/b?q=1&r"),
        ("http://host/a", "b", {}, "/a/b"),
        # existing queries stay, in front
        ("http://host/a?key=1", None, None, "/a?key=1"),
        ("http://host/a?key=1", "b", None, "/a/b?key=1"),
        ("http://host/a/?key=1", "b/", {"q": 2}, "/a/b/?key=1&q=2"),
        ("http://host/a?key=1", "b?x=2", {"q": 3}, "/a/b?key=1&x=2&q=3"),
        ("http://host/a", "?x=2", {"q": 3}, "/a?x=2&q=3"),
        ("http://host?key=1", "b", None, "/b?key=1"),
        ("http://host/a?", "b?", {"q": 1}, "/a/b?q=1"),
        ("http://host/a", "b?x=a/b?c", None, "/a/b?x=a/b?c"),
    ],
)
def test_R19_params_follow_the_queries_of_base_and_path(base, path, params, target):
    assert join_uri(base, path, params=params).target == target


def test_R19_callable_parameter_is_called():
    counted = iter(range(9))
    params = {"q": lambda: "now", "r": ["x", lambda: next(counted)], "s": lambda: ["a", None]}
    assert join_uri("http://host", params=params).target == "/?q=now&r=x&r=0&s=a"


@pytest.mark.parametrize(
    ("part", "target"),
    [
        ("a b", "/x/a%20b"),
        (" a ", "/x/%20a%20"),
        ("é/ü", "/x/%C3%A9/%C3%BC"),
        ("a%2Fb", "/x/a%2Fb"),
        ("a%20b", "/x/a%20b"),
        ("100%", "/x/100%25"),
        ('"<>\\^`{|}', "/x/%22%3C%3E%5C%5E%60%7B%7C%7D"),
        ("-._~!$&'()*+,;=:@", "/x/-._~!$&'()*+,;=:@"),
        ("_design/d/_view/v", "/x/_design/d/_view/v"),
        ("a/ftp://host/a", "/x/a/ftp://host/a"),
        ("a:b", "/x/a:b"),
        ("http:a", "/x/http:a"),
        ("...", "/x/..."),
        ("a/.b/c..", "/x/a/.b/c.."),
        ("a#b", "/x/a"),
    ],
)
def test_path_is_url_text_and_other_characters_are_encoded(part, target):
    assert join_uri("http://host/x", part).target == target


@given(st.text(min_size=1).filter(lambda name: name.strip(".")))
def test_quoted_name_stays_one_segment(name):
    name = name.encode("utf-8", "replace").decode()
    url = join_uri("http://host/a?key=1", quote(name, safe=""), "b")
    assert url.target == f"/a/{quote(name, safe='')}/b?key=1"


@given(st.lists(st.text("/.ab%2eE?#:@ \\")), st.sampled_from(["", "/", "/base", "/base/"]))
def test_no_path_leads_out_of_the_base(parts, below):
    base = parse_url(f"http://me:pw@host:81{below}")
    try:
        url = join_uri(base, *parts)
    except InvalidUrl:
        return
    assert (*url.origin, url.username, url.password) == ("http", "host", 81, "me", "pw")
    assert url.target.startswith(below or "/")
    assert parse_url(str(url)).target == url.target


@pytest.mark.parametrize(
    "part", ["..", ".", "../b", "b/..", "b/./c", "/../b", "%2e%2E/b", "b/.%2e/c", "..?x", "..#x"]
)
def test_dot_segment_raises(part):
    with pytest.raises(InvalidUrl, match="which would lead out of the base URL"):
        join_uri("http://host/a", "x", part)


@pytest.mark.parametrize("part", [1, b"b", ["b"], parse_url("http://host/")])
def test_path_of_another_type_raises(part):
    with pytest.raises(InvalidUrl, match="a path must be a str; got"):
        join_uri("http://host/a", part)


@pytest.mark.parametrize("part", ["a\nb", "a\0", "\ud800"])
def test_character_that_no_url_can_have_raises(part):
    with pytest.raises(InvalidUrl):
        join_uri("http://host/a", part)


def test_absolute_url_replaces_the_base():
    assert str(join_uri("http://host/a?key=1", "HTTPS://Other/b?c#d")) == "https://other/b?c#d"
    assert str(join_uri("http://host/a", "http://host/b/", "c")) == "http://host/b/c"


@pytest.mark.parametrize("part", ["ftp://host/a", "file:///etc/passwd", "WS://host/", "x+y-1://a"])
def test_R18_absolute_url_of_another_scheme_raises(part):
    with pytest.raises(InvalidUrl, match="the scheme must be http or https"):
        join_uri("http://host/x", part)


def test_user_info_of_the_base_is_kept_and_hidden():
    url = join_uri("http://me:p%40ss@host/a", "b")
    assert (url.username, url.password) == ("me", "p@ss")
    assert str(url) == "http://host/a/b"
    assert join_uri("http://me:pass@host/a", "http://host/b").username is None


def test_fragment_of_the_base_is_dropped_with_a_path():
    assert join_uri("http://host/a#x").fragment == "x"
    assert join_uri("http://host/a#x", "b").fragment is None
    assert join_uri("http://host/a#x", "b#y").fragment == "y"


def test_ipv6_host_and_its_zone_are_kept():
    assert str(join_uri("http://[fe80::1%25lo]:81/a", "b")) == "http://[fe80::1%25lo]:81/a/b"
