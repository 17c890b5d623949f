"""Cookies given by name and value, for the host of the Client's base URL."""

from __future__ import annotations

from http.cookiejar import CookieJar

import pytest

from restkit import Client, Cookies, Headers, RequestError, parse_url
from restkit.message.request import Request
from support import ScriptedServer, field, response


def cookie_header(cookies, url):
    request = Request("GET", parse_url(url), Headers())
    cookies.add_to_request(request)
    return request.headers.get("cookie")


def test_client_cookies_dict_with_a_base_url_is_sent():
    with ScriptedServer(lambda peer: peer.send(response(peer.next_request()))) as server:
        with Client(base_url=server.url("/v1/"), cookies={"a": "1"}) as client:
            client.cookies["b"] = "2"
            assert field(client.get("x").body, "cookie") == "a=1; b=2"


def test_cookies_are_for_the_host_of_the_base_url_and_the_path_slash():
    with Client(base_url="http://Example.com:8080/v1/", cookies={"a": "1"}) as client:
        [cookie] = client.cookies.jar
        assert (cookie.domain, cookie.path, cookie.secure) == ("example.com", "/", False)
        assert cookie_header(client.cookies, "http://example.com/other") == "a=1"
        assert cookie_header(client.cookies, "http://www.example.com/") is None
        assert cookie_header(client.cookies, "http://example.org/") is None


def test_cookies_of_an_https_base_url_are_secure():
    with Client(base_url="https://example.com", cookies={"a": "1"}) as client:
        client.cookies["b"] = "2"
        assert cookie_header(client.cookies, "https://example.com/") == "a=1; b=2"
        assert cookie_header(client.cookies, "http://example.com/") is None


@pytest.mark.parametrize("host", ["localhost", "10.0.0.1", "[::1]"])
def test_cookies_of_any_kind_of_host_are_sent(host):
    with Client(base_url=f"http://{host}/", cookies={"a": "1"}) as client:
        assert cookie_header(client.cookies, f"http://{host}:81/x") == "a=1"


def test_client_cookies_dict_without_a_base_url_is_an_error_that_says_what_to_do():
    with pytest.raises(RequestError) as caught:
        Client(cookies={"a": "secret"})
    assert str(caught.value) == (
        "cookies given by name and value need a host: give the Client a base_url, or use "
        "client.cookies.set(name, value, domain='host')"
    )


def test_client_cookies_empty_dict_is_an_empty_jar():
    with Client(cookies={}) as client:
        assert client.cookies.empty


@pytest.mark.parametrize("off", [False, None])
def test_cookies_of_a_client_without_cookies_are_empty(off):
    with Client(base_url="http://a.test/", cookies=off) as client:
        cookies = client.cookies
        assert isinstance(cookies, Cookies)
        assert cookies.empty
        assert not cookies
        assert (len(cookies), list(cookies), dict(cookies), "b" in cookies) == (0, [], {}, False)
        assert (cookies.get("b"), cookies.pop("b", "x"), repr(cookies)) == (
            None,
            "x",
            "<Cookies, off>",
        )
        with pytest.raises(KeyError):
            cookies["b"]
        with pytest.raises(KeyError):
            del cookies["b"]
        cookies.clear()


@pytest.mark.parametrize(
    "change",
    [
        lambda cookies, path: cookies.__setitem__("b", "secret"),
        lambda cookies, path: cookies.set("b", "secret", domain="a.test"),
        lambda cookies, path: cookies.update({"b": "secret"}),
        lambda cookies, path: cookies.setdefault("b", "secret"),
        lambda cookies, path: cookies.load(path),
        lambda cookies, path: cookies.save(path),
        lambda cookies, path: cookies.jar,
    ],
    ids=["item", "set", "update", "setdefault", "load", "save", "jar"],
)
def test_changing_cookies_that_are_off_is_an_error_that_says_so(change, tmp_path):
    file = tmp_path / "cookies.txt"
    file.write_bytes(b"# Netscape HTTP Cookie File\n")
    with Client(base_url="http://a.test/", cookies=False) as client:
        with pytest.raises(RequestError) as caught:
            change(client.cookies, file)
        assert str(caught.value) == (
            "cookies are off: this Client was made with cookies=False. Make it with cookies=True, "
            "a dict or a jar, or give a call headers={'Cookie': ...}"
        )
        assert not client.cookies
    assert file.read_bytes() == b"# Netscape HTTP Cookie File\n"


def test_cookies_that_are_off_turn_those_of_another_client_off():
    with ScriptedServer(
        lambda peer: peer.send(response(peer.next_request(), "Set-Cookie: a=1"))
    ) as server:
        with Client(cookies=False) as first, Client(cookies=first.cookies) as second:
            second.get(server.url())
            assert field(second.get(server.url()).body, "cookie") is None
            assert not first.cookies
            assert not second.cookies


def test_setting_a_cookie_without_a_base_url_is_an_error_that_says_what_to_do():
    with Client() as client, pytest.raises(RequestError) as caught:
        client.cookies["b"] = "secret"
    assert str(caught.value) == (
        "a cookie needs a host, and there is none: its Client has no base_url. Use "
        "cookies.set('b', value, domain='host'), or give the Client a base_url"
    )
    assert client.cookies.empty


def test_cookies_shared_by_clients_of_several_hosts_ask_for_the_host():
    cookies = Cookies()
    with Client(base_url="http://a.test/", cookies=cookies):
        cookies["one"] = "1"
        with Client(base_url="http://a.test:81/", cookies=cookies):
            cookies["two"] = "2"
        with Client(base_url="http://b.test/", cookies=cookies):
            with pytest.raises(RequestError, match=r"there are several: a\.test:81 and b\.test\."):
                cookies["three"] = "3"
    assert dict(cookies.items()) == {"one": "1", "two": "2"}


def test_own_jar_gets_cookies_by_name():
    jar = CookieJar()
    with Client(base_url="http://a.test/", cookies=jar) as client:
        client.cookies["a"] = "1"
    assert [(one.domain, one.name) for one in jar] == [("a.test", "a")]


def test_cookies_have_the_methods_of_a_dict():
    with Client(base_url="http://a.test/", cookies={"a": "1"}) as client:
        cookies = client.cookies
        cookies.update({"b": "2", "c": "3"})
        cookies["a"] = "4"
        del cookies["b"]
        assert cookies.pop("c") == "3"
        assert cookies.pop("c", None) is None
        assert cookies.setdefault("d", "5") == "5"
        assert dict(cookies) == {"a": "4", "d": "5"}
        with pytest.raises(KeyError):
            del cookies["b"]


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("a", 1, "value of a cookie must be a str; got a value of int"),
        (1, "secret", "name of a cookie must be a str; got a value of int"),
        ("a", None, "value of a cookie must be a str; got a value of NoneType"),
        ("a b", "secret", "a cookie name must not contain spaces"),
        ("a", "sec;ret", "the value of cookie 'a' must be latin-1"),
    ],
)
def test_cookie_that_cannot_be_sent_is_an_error(name, value, message):
    with pytest.raises(RequestError, match=message) as caught:
        Client(base_url="http://a.test/", cookies={name: value})
    assert "secret" not in str(caught.value)
