"""Mistakes in the arguments of a call: each is an error before connecting that names the remedy."""

from __future__ import annotations

import pytest

import restkit
from restkit import URL, Client, parse_url
from support import body_of, field

pytestmark = pytest.mark.smoke

WITHOUT_PAYLOAD = ("get", "head", "delete", "options")
WITH_PAYLOAD = ("post", "put", "patch")


@pytest.fixture(params=["functions", "Client"])
def owner(request):
    if request.param == "functions":
        yield restkit
        return
    with Client(timeout=10) as client:
        yield client


# A payload in the place of params


@pytest.mark.parametrize("verb", WITHOUT_PAYLOAD)
@pytest.mark.parametrize("value", [{"a": 1}, {}, [("a", 1)], [["a", 1]], (("a", 1),)], ids=repr)
def test_get_with_a_dict_or_pairs_after_the_url_is_a_type_error_with_params(
    verb, value, owner, server
):
    with pytest.raises(TypeError, match=rf"^{verb}\(\) takes only the URL .* write params= for"):
        getattr(owner, verb)(server.url(), value)
    assert server.connections == 0


@pytest.mark.parametrize("verb", WITHOUT_PAYLOAD)
@pytest.mark.parametrize("value", [b"x", "x", 5, [b"x"], [], iter([b"x"])], ids=type)
def test_get_with_another_value_after_the_url_is_a_type_error_with_payload(
    verb, value, owner, server
):
    with pytest.raises(TypeError, match=rf"^{verb}\(\) takes only the URL .* write payload= to"):
        getattr(owner, verb)(server.url(), value)
    assert server.connections == 0


def test_get_with_headers_as_the_third_argument_is_a_type_error_with_headers(owner, server):
    with pytest.raises(TypeError, match="write headers= for headers"):
        owner.get(server.url(), None, {"X": "1"})
    assert server.connections == 0


@pytest.mark.parametrize("verb", WITHOUT_PAYLOAD)
def test_get_with_payload_as_a_keyword_sends_it(verb, owner, server):
    getattr(owner, verb)(server.url(), payload=b"payload")
    assert body_of(server.request) == b"payload"


@pytest.mark.parametrize("verb", WITH_PAYLOAD)
def test_post_takes_payload_and_headers_by_position(verb, owner, server):
    getattr(owner, verb)(server.url(), {"a": 1}, {"X": "2"})
    assert body_of(server.request) == b"a=1"
    assert field(server.request, "x") == "2"


# URL and method swapped


@pytest.mark.parametrize("method", ["GET", "get", "Post", "DELETE"])
@pytest.mark.parametrize("make", [str, parse_url])
def test_request_with_method_and_url_swapped_says_so(method, make, owner, server):
    message = rf"^the URL and the method are swapped: .* request\(url, '{method}'\)"
    with pytest.raises(TypeError, match=message):
        owner.request(method, make(server.url()))
    assert server.connections == 0


def test_swapped_arguments_with_a_base_url_say_so(server):
    with Client(base_url=server.url()) as client, pytest.raises(TypeError, match="are swapped"):
        client.request("GET", "/path")
    assert server.connections == 0


def test_swapped_arguments_do_not_show_the_secrets_of_the_url():
    with pytest.raises(TypeError) as caught:
        restkit.request("GET", "http://me:secret@host/?token=secret")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("method", "url"),
    [
        ("GET", "users"),
        ("POST", "users"),
        ("DELETE", "users"),
        ("get", "status"),
        ("GET", "post"),
        ("GET", "get"),
        ("DELETE", "Options"),
        ("PROPFIND", "files"),
        ("QUERY", "users"),
        ("PROPFIND", "/files"),
        ("VERSION-CONTROL", "/files"),
        ("MKCALENDAR", "http://host/files"),
    ],
)
def test_swapped_relative_url_of_one_word_is_not_sent_as_the_method(method, url, server):
    with Client(base_url=server.url("/api/")) as client:
        message = rf"^the URL and the method are swapped: .* request\(url, '{method}'\)"
        with pytest.raises(TypeError, match=message):
            client.request(method, url)
    assert server.connections == 0


@pytest.mark.parametrize("method", ["PROPFIND", "QUERY", "MKCALENDAR", "M-SEARCH"])
def test_request_with_a_method_of_webdav_and_url_swapped_says_so(method, owner, server):
    with pytest.raises(TypeError, match="the URL and the method are swapped"):
        owner.request(method, server.url())
    assert server.connections == 0


def test_swapped_error_names_the_path_that_would_be_sent(server):
    with Client(base_url=server.url()) as client:
        with pytest.raises(TypeError, match=r"for a path of this name, write '/get'$"):
            client.request("get", "checkin")
        client.request("/get", "checkin")
    assert server.request.split()[:2] == [b"checkin", b"/get"]


@pytest.mark.parametrize(
    ("url", "method", "line"),
    [
        ("get", "PURGE", [b"PURGE", b"/get"]),
        ("options", "QUERY", [b"QUERY", b"/options"]),
        ("delete", "post", [b"POST", b"/delete"]),
        ("options", "GET", [b"GET", b"/options"]),
        ("search", "QUERY", [b"QUERY", b"/search"]),
        ("search", "checkin", [b"checkin", b"/search"]),
        ("README", "purge", [b"purge", b"/README"]),
    ],
)
def test_relative_url_with_the_name_of_a_method_is_sent(url, method, line, server):
    with Client(base_url=server.url()) as client:
        client.request(url, method)
    assert server.request.split()[:2] == line


# Names that are almost right


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("header", "headers"),
        ("Headers", "headers"),
        ("param", "params"),
        ("pay_load", "payload"),
        ("metod", "method"),
        ("urls", "url"),
        ("timout", "timeout"),
        ("verfy", "verify"),
        ("jsn", "json"),
        ("follow_redirets", "follow_redirect"),
        ("base_ulr", "base_url"),
    ],
)
def test_unknown_option_suggests_the_similar_name(name, meant, owner, server):
    message = rf"^{name}= is not an option; did you mean {meant}=(\?| or )"
    for verb in ("get", "post"):
        with pytest.raises(TypeError, match=message):
            getattr(owner, verb)(server.url(), **{name: 1})
    with pytest.raises(TypeError, match=message):
        Client(**{name: 1})
    assert server.connections == 0


def test_unknown_option_without_a_similar_name_lists_all_options(owner, server):
    with pytest.raises(TypeError, match=r"^xyzzy= is not an option here: the options are auth, "):
        owner.get(server.url(), xyzzy=1)


# Values that only JSON can hold


@pytest.mark.parametrize(
    "value",
    [
        [{"a": 1}],
        ({"a": 1},),
        [1, 2],
        [[1, 2, 3]],
        {"a": {"b": 1}},
        {"a": [{"b": 1}]},
        5,
        1.5,
        True,
    ],
    ids=repr,
)
@pytest.mark.parametrize("name", ["payload", "data", "body"])
def test_payload_that_only_json_can_hold_ends_with_json(value, name, owner, server):
    with pytest.raises(TypeError, match=r"; to send JSON, use json=$"):
        owner.post(server.url(), **{name: value})
    assert server.connections == 0


def test_post_of_a_list_of_dicts_by_position_ends_with_json(owner, server):
    with pytest.raises(TypeError, match=r"got dict; to send JSON, use json=$"):
        owner.post(server.url(), [{"a": 1}])


def test_payload_that_json_cannot_hold_either_has_no_hint(owner, server):
    with pytest.raises(TypeError) as caught:
        owner.post(server.url(), {1, 2})
    assert "json" not in str(caught.value)


def test_url_of_another_type_is_still_an_invalid_url():
    with pytest.raises(restkit.InvalidUrl, match="a URL must be a str"):
        restkit.get(URL)
