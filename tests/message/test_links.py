"""The Link header: examples of RFC 8288, values seen in practice, and arbitrary text."""

from __future__ import annotations

import copy
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

import restkit
from restkit import Client, InvalidUrl, Link
from restkit.message.header_values import parse_links
from restkit.url.url import parse_url
from support import ScriptedServer, response
from support.growth import assert_linear

BASE = parse_url("http://host/dir/page?n=1#here")


def test_C14_links_are_indexed_by_relation():
    value = '<http://host/p?n=2>; rel="next", </p?n=9>; rel="last"; title="the, last; one"'
    assert parse_links([value], BASE) == {
        "next": {"rel": "next", "url": "http://host/p?n=2"},
        "last": {"rel": "last", "title": "the, last; one", "url": "http://host/p?n=9"},
    }


@pytest.mark.parametrize(
    ("values", "links"),
    [
        ([], {}),
        ([""], {}),
        (["<x>; rel=next"], {"next": {"rel": "next", "url": "http://host/dir/x"}}),
        (["<?n=2>;rel=next"], {"next": {"rel": "next", "url": "http://host/dir/page?n=2"}}),
        (["<>; rel=self"], {"self": {"rel": "self", "url": "http://host/dir/page?n=1"}}),
        (["<#f>; rel=x"], {"x": {"rel": "x", "url": "http://host/dir/page?n=1#f"}}),
        (["<//other/x>; rel=x"], {"x": {"rel": "x", "url": "http://other/x"}}),
        (["<ü x>; rel=x"], {"x": {"rel": "x", "url": "http://host/dir/%C3%BC%20x"}}),
        (["<a,b;c>; rel=x"], {"x": {"rel": "x", "url": "http://host/dir/a,b;c"}}),
        (["<mailto:a@b>; rel=author"], {"author": {"rel": "author", "url": "mailto:a@b"}}),
        (["</x>"], {"http://host/x": {"url": "http://host/x"}}),
        (['</x>; rel=""'], {"http://host/x": {"rel": "", "url": "http://host/x"}}),
        (["</x>; REL=Next"], {"next": {"rel": "Next", "url": "http://host/x"}}),
        (["</a>; rel=x; rel=y"], {"x": {"rel": "x", "url": "http://host/a"}}),
        (
            ["</a>; rel=x", "</b>; rel=x, </c>; rel=y"],
            {"x": {"rel": "x", "url": "http://host/a"}, "y": {"rel": "y", "url": "http://host/c"}},
        ),
        (
            ['</a>; rel="start http://example.net/relation/other"'],
            {
                name: {"rel": "start http://example.net/relation/other", "url": "http://host/a"}
                for name in ("start", "http://example.net/relation/other")
            },
        ),
        (
            ["</a>; rel=http://rels/x; crossorigin"],
            {"http://rels/x": {"rel": "http://rels/x", "crossorigin": "", "url": "http://host/a"}},
        ),
        (
            [r'</a>; title="say \"so\", \\ ok"; rel=x'],
            {"x": {"title": r'say "so", \ ok', "rel": "x", "url": "http://host/a"}},
        ),
        (
            ["</a>; rel=x; title=plain; title*=UTF-8'de'n%c3%a4chstes%20Kapitel"],
            {"x": {"rel": "x", "title": "nächstes Kapitel", "url": "http://host/a"}},
        ),
        (
            ["</a>; title*=iso-8859-1'en'%A3%20rates; rel=x"],
            {"x": {"rel": "x", "title": "£ rates", "url": "http://host/a"}},
        ),
        (
            ["</a>; rel=x; title=plain; title*=UTF-8''%ff; b*=nonsense; c*=koi8-r''%41"],
            {"x": {"rel": "x", "title": "plain", "url": "http://host/a"}},
        ),
        (["</a>; url=evil; rel=x"], {"x": {"rel": "x", "url": "http://host/a"}}),
        (
            ["</a> ;rel = x;; ;hreflang=de ;"],
            {"x": {"rel": "x", "hreflang": "de", "url": "http://host/a"}},
        ),
        ([" , ,</a>;rel=x, ,"], {"x": {"rel": "x", "url": "http://host/a"}}),
    ],
)
def test_C14_link_field_is_parsed_per_rfc_8288(values, links):
    assert parse_links(values, BASE) == links


@pytest.mark.parametrize(
    "malformed",
    [
        "no angle; rel=y",
        '"</y>; rel=y"',
        "<http://h:x/>; rel=y",
        "<http:///>; rel=y",
        "<//[>; rel=y",
        "</\x07>; rel=y",
        "=,;",
        '"a, </y>; rel=y"',
    ],
)
def test_C14_malformed_link_is_skipped_and_the_rest_is_parsed(malformed):
    expected = {"x": {"rel": "x", "url": "http://host/a"}}
    assert parse_links([f"{malformed}, </a>; rel=x"], BASE) == expected
    assert parse_links([f"</a>; rel=x, {malformed}"], BASE) == expected
    assert parse_links([malformed, "</a>; rel=x"], BASE) == expected


@pytest.mark.parametrize(
    "cut", ["</a>; rel=x; t", '</a>; rel=x; t="', '</a>; rel=x; t="\\', "</a>; rel=x; t="]
)
def test_C14_truncated_field_keeps_its_complete_links(cut):
    assert parse_links([cut], BASE)["x"]["url"] == "http://host/a"


def test_C14_relations_do_not_share_a_link():
    links = parse_links(['</a>; rel="x y"'], BASE)
    links["x"]["url"] = "changed"
    assert links["y"]["url"] == "http://host/a"


@pytest.mark.parametrize(
    "make_field",
    [
        lambda size: "<" * size,
        lambda size: ';"\\' * (size // 3),
        lambda size: "<a>" + ";a" * (size // 2),
        lambda size: '<a>;a="' + "\\" * size,
        lambda size: "<a> " * (size // 4),
        lambda size: "," * size,
        lambda size: ", " * (size // 2),
        lambda size: "<," * (size // 2),
    ],
    ids=lambda make: make(12),
)
def test_C14_long_field_takes_linear_time(make_field):
    assert_linear(lambda field: parse_links([field], BASE), make_field, 8000)


FRAGMENTS = st.sampled_from(
    ["<", ">", "/x", ";", ",", "=", '"', "\\", "rel", "next", "*", "UTF-8''%", " ", "http:", "ü"]
)


@given(
    st.lists(
        st.one_of(
            st.text(),
            st.lists(FRAGMENTS).map("".join),
            st.lists(FRAGMENTS).map("".join).map("</a>;rel=x".__add__),
        )
    )
)
def test_C14_any_field_parses_without_an_error(values):
    for relation, link in parse_links(values, BASE).items():
        assert relation
        assert link["url"]
        assert all(isinstance(name, str) and isinstance(text, str) for name, text in link.items())


def test_link_is_passed_as_a_url_and_stays_a_mapping():
    link = parse_links(['</p?n=2>; rel="next"; title="two"'], BASE)["next"]
    assert link == {"rel": "next", "title": "two", "url": "http://host/p?n=2"}
    assert isinstance(link, dict)
    assert parse_url(link) == parse_url("http://host/p?n=2")
    assert parse_url(link, {"size": 5}).target == "/p?n=2&size=5"


def test_pages_are_followed_by_links_next():
    def script(peer):
        while peer.next_request():
            peer.send(response(b"one", 'Link: </items?page=2>; rel="next"'))

    with ScriptedServer(script) as server:
        for base_url in (None, server.url("/other/")):
            with Client(base_url=base_url) as client:
                links = client.get(server.url("/items")).links
                assert client.get(links["next"]).body == b"one"
                assert client.get(links["next"], params={"size": 5}).body == b"one"
                assert client.get(links["next"]["url"]).body == b"one"
        assert restkit.get(links["next"]).body == b"one"
        targets = [request.split()[1] for request in server.requests]
    pages = [b"/items?page=2", b"/items?page=2&size=5", b"/items?page=2"]
    assert targets == [b"/items", *pages, b"/items", *pages, b"/items?page=2"]


def test_link_of_another_scheme_is_an_invalid_url():
    link = parse_links(["<mailto:a@b>; rel=author"], BASE)["author"]
    with pytest.raises(InvalidUrl, match="the scheme must be http or https; got mailto"):
        restkit.get(link)


def test_link_survives_pickle_and_copy():
    link = parse_links(["</p>; rel=next"], BASE)["next"]
    for other in (pickle.loads(pickle.dumps(link)), copy.copy(link)):
        assert type(other) is Link
        assert other == link
