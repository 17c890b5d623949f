"""Path, query and fragment: dot segments, percent-encoding, and the same result as in urllib3."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from urllib3.util import parse_url as parse_with_urllib3

from restkit.url.query import encode_stray_percents
from restkit.url.target import normalize_target

pytestmark = [pytest.mark.smoke, pytest.mark.lowest]


@pytest.mark.parametrize(
    ("text", "target", "fragment"),
    [
        ("", "/", None),
        ("?", "/?", None),
        ("#", "/", ""),
        ("?a#b?c#d", "/?a", "b?c%23d"),
        ("/a/b", "/a/b", None),
        ("/.", "/", None),
        ("/..", "/", None),
        ("/./a/../b", "/b", None),
        ("/a/..", "/", None),
        ("/a/b/.", "/a/b/", None),
        ("/a/b/..", "/a/", None),
        ("/../../a", "/a", None),
        ("//../a", "/a", None),
        ("/..//a", "//a", None),  # RFC 3986 5.2.4; urllib3 drops the empty segment
        ("/.a/..b/...", "/.a/..b/...", None),
        ("/%2e%2E/a", "/%2E%2E/a", None),
        ("/a b|c", "/a%20b%7Cc", None),
        ("/[1]?[2]#[3]", "/%5B1%5D?%5B2%5D", "%5B3%5D"),
        ("/ü?ü#ü", "/%C3%BC?%C3%BC", "%C3%BC"),
        ("/%c3%bc%aF", "/%C3%BC%AF", None),
        ("/100%?50%#%", "/100%25?50%25", "%25"),
        ("/%zz%4a", "/%25zz%4A", None),
        ("/!$&'()*+,;=:@-._~", "/!$&'()*+,;=:@-._~", None),
        ("/\\", "/%5C", None),
    ],
)
def test_target_and_fragment_are_normalized(text, target, fragment):
    assert normalize_target(text) == (target, fragment)


PARTS = "/ / / . .. ... a b%20 %c3 %aF % %2 %zz ? # @ : [ ] \\ ü 例 + & = ; ! $ ' | ^ { } 0".split()


@given(st.sampled_from("/?#"), st.lists(st.sampled_from([*PARTS, " "])).map("".join))
def test_target_and_fragment_are_those_of_urllib3(first, rest):
    text = first + rest
    assume("/..//" not in text)  # see above
    theirs = parse_with_urllib3("http://host" + encode_stray_percents(text))
    assert normalize_target(text) == (theirs.request_uri, theirs.fragment)
