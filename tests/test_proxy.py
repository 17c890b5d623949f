"""Proxies as callers name them, and whole requests by way of tinyproxy, squid and microsocks."""

from __future__ import annotations

import hashlib
import ssl
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import restkit
from restkit.errors import InvalidHeader, ProxyError, RequestError
from restkit.wire.proxy import Proxy, as_proxy
from restkit.wire.tls import TLSOptions
from support import ScriptedServer, field, head_of
from support.proxies import Microsocks, Squid, Tinyproxy

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
SECRET = "Pa55/w:rd"
SECRET_ENCODED = "Pa55%2Fw%3Ard"

# The value


@pytest.mark.parametrize(
    ("text", "scheme", "host", "port"),
    [
        ("http://proxy.test:3128", "http", "proxy.test", 3128),
        ("http://proxy.test", "http", "proxy.test", 80),
        ("https://proxy.test", "https", "proxy.test", 443),
        ("https://proxy.test:80", "https", "proxy.test", 80),
        ("socks4://proxy.test", "socks4", "proxy.test", 1080),
        ("socks4a://proxy.test", "socks4a", "proxy.test", 1080),
        ("socks5://proxy.test", "socks5", "proxy.test", 1080),
        ("SOCKS5H://Proxy.Test:1081/", "socks5h", "proxy.test", 1081),
        ("proxy.test:3128", "http", "proxy.test", 3128),
        ("  proxy.test/ ", "http", "proxy.test", 80),
        ("localhost", "http", "localhost", 80),
        ("127.0.0.1:8888", "http", "127.0.0.1", 8888),
        ("http://[::1]:3128", "http", "::1", 3128),
        ("[FE80::0:1%25eth0]", "http", "fe80::1%eth0", 80),
        ("http://b\u00fccher.test:1", "http", "xn--bcher-kva.test", 1),
    ],
)
def test_a_proxy_is_a_scheme_a_host_and_a_port(text, scheme, host, port):
    proxy = as_proxy(text)
    assert (proxy.scheme, proxy.host, proxy.port) == (scheme, host, port)
    assert (proxy.username, proxy.password, proxy.fields) == (None, None, ())


def test_none_is_no_proxy_and_a_proxy_is_itself():
    proxy = Proxy("http://proxy.test")
    assert as_proxy(None) is None
    assert as_proxy(proxy) is proxy


NOTHING_FOLLOWS = (
    "nothing follows a proxy's host and port; /, ? and # in a password are written %2F, %3F and %23"
)
WANTED = "http, https, socks4, socks4a, socks5 or socks5h, with :// and a host behind it, is wanted"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("ftp://proxy.test", WANTED),
        ("socks://proxy.test", WANTED),
        ("://proxy.test", WANTED),
        ("", "no host; a name, an IPv4 address or an [IPv6] one is wanted"),
        ("http://", "no host; a name, an IPv4 address or an [IPv6] one is wanted"),
        ("proxy.test:99999", "the port must be a number from 1 to 65535"),
        ("proxy.test:0", "the port must be a number from 1 to 65535"),
        ("::1", "colons in the host; an IPv6 address needs brackets around it"),
        ("[1::2::3]", "what the brackets hold is no IPv6 address"),
        ("http://proxy.test/path", NOTHING_FOLLOWS),
    ],
)
def test_what_names_no_proxy_is_refused_and_the_right_way_named(text, why):
    with pytest.raises(RequestError) as caught:
        as_proxy(text)
    assert str(caught.value) == f"proxy {text!r}: {why}"
    assert caught.value.sent == "nothing"


@pytest.mark.parametrize("value", [3128, b"http://proxy.test", ("proxy.test", 3128), {}])
def test_what_is_no_text_is_refused(value):
    with pytest.raises(RequestError, match=r"proxy= is a URL, a restkit[.]Proxy or None, and not"):
        as_proxy(value)


@pytest.mark.parametrize(
    "text",
    [
        f"http://user:{SECRET}@proxy.test",  # the slash would have to be encoded
        f"ftp://user:{SECRET_ENCODED}@proxy.test",
        f"http://user:{SECRET_ENCODED}@proxy.test:port",
        f"http://user:{SECRET_ENCODED}%FF@proxy.test",
        f"http://us%3Aer:{SECRET_ENCODED}@proxy.test",
        f"socks4://user:{SECRET_ENCODED}@proxy.test",
        f"socks5://:{SECRET_ENCODED}@proxy.test",
        f"socks5://user:{SECRET_ENCODED * 30}@proxy.test",
    ],
)
def test_no_error_shows_a_password(text):
    with pytest.raises(RequestError) as caught:
        as_proxy(text)
    said = str(caught.value)
    assert "Pa55" not in said
    assert "***@proxy.test" in said
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


@pytest.mark.parametrize("secret", [SECRET_ENCODED, "12345678", "de:ad", "[x", "x]"])
@pytest.mark.parametrize("before", ["http://user", "socks5://user", "user", "http://[::1]"])
def test_no_error_shows_what_stands_for_a_port_and_is_none(before, secret):
    for after in ("", "/"):
        with pytest.raises(RequestError) as caught:
            as_proxy(f"{before}:{secret}{after}")
        assert str(caught.value).startswith(f"proxy '{before}:***{after}': ")


@pytest.mark.parametrize("text", ["http://p:99999", "p:0", "http://::1:80", "fe80::1", "[::1:80"])
def test_an_error_shows_what_is_no_password(text):
    with pytest.raises(RequestError) as caught:
        as_proxy(text)
    assert str(caught.value).startswith(f"proxy '{text}': ")


def test_credentials_are_percent_decoded_and_shown_nowhere():
    proxy = Proxy(f"http://us%40er:{SECRET_ENCODED}@proxy.test:3128")
    assert (proxy.username, proxy.password) == ("us@er", SECRET)
    assert repr(proxy) == "Proxy('http://***@proxy.test:3128')"
    assert str(proxy) == "http://proxy.test:3128"
    assert proxy.where == "proxy.test:3128"
    assert repr(Proxy("[::1]")) == "Proxy('http://[::1]:80')"


def test_credentials_and_headers_are_fields_for_the_proxy():
    # RFC 7617 section 2 has this example.
    assert Proxy("http://Aladdin:open%20sesame@p.test").fields == (
        ("Proxy-Authorization", "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="),
    )
    assert Proxy("http://user@p.test").fields == (("Proxy-Authorization", "Basic dXNlcjo="),)
    assert Proxy("http://p.test", headers={"X-Team": "blue"}).fields == (("X-Team", "blue"),)
    own = {"Proxy-Authorization": "Bearer token"}
    assert Proxy("http://user:pw@p.test", headers=own).fields == tuple(own.items())
    with pytest.raises(InvalidHeader):
        Proxy("http://p.test", headers={"X-Team": "blue\r\nX-Evil: 1"})


def test_headers_are_nothing_for_socks():
    with pytest.raises(RequestError) as caught:
        Proxy("socks5://user:pw@p.test", headers={"X-Team": "blue"})
    assert str(caught.value) == (
        "proxy socks5://p.test:1080: headers= are for http and https proxies"
    )
    assert Proxy("socks5://user:pw@p.test").fields == ()


def test_without_pysocks_the_package_to_install_is_named(monkeypatch):
    monkeypatch.delitem(sys.modules, "restkit.wire.socks", raising=False)
    monkeypatch.setitem(sys.modules, "socks", None)
    with pytest.raises(RequestError) as caught:
        Proxy("socks5://user:pw@p.test")
    assert str(caught.value) == (
        "proxy socks5://p.test:1080: SOCKS wants `pip install restkit[socks]`"
    )
    assert isinstance(caught.value.__cause__, ImportError)
    assert Proxy("http://p.test").host == "p.test"


@pytest.mark.parametrize(
    ("text", "http", "https"),
    [("http://p", True, False), ("https://p", True, False), ("socks5://p", False, False)],
)
def test_which_requests_are_handed_to_the_proxy_itself(text, http, https):
    assert Proxy(text).forwards("http") is http
    assert Proxy(text).forwards("https") is https


def test_W23_proxies_are_equal_when_all_of_them_is(certs):
    context = ssl.create_default_context()
    url = "https://user:pw@p.test"
    assert Proxy(url) == Proxy("https://user:pw@p.test:443/")
    assert hash(Proxy(url)) == hash(Proxy("https://user:pw@p.test:443/"))
    others = [
        Proxy(url),
        Proxy("http://user:pw@p.test:443"),
        Proxy("https://user:pw@p2.test"),
        Proxy("https://user:pw@p.test:8443"),
        Proxy("https://resu:pw@p.test"),
        Proxy("https://user:wp@p.test"),
        Proxy("https://p.test"),
        Proxy(url, headers={"X-Team": "blue"}),
        Proxy(url, verify=False),
        Proxy(url, verify=Path("ca.pem")),
        Proxy(url, cert="client.pem"),
        Proxy(url, ssl_context=context),
        Proxy(url, check_address=bool),
    ]
    assert len(set(others)) == len(others)
    assert Proxy(url, verify=Path("ca.pem")).tls == TLSOptions("ca.pem")
    assert Proxy(url) != url


def test_a_proxy_is_a_value():
    proxy = Proxy("http://p.test")
    with pytest.raises(AttributeError, match="a Proxy is a value"):
        proxy.host = "other.test"
    with pytest.raises(AttributeError, match="a Proxy is a value"):
        del proxy.host


def test_tls_options_are_checked_at_once():
    with pytest.raises(RequestError, match="verify="):
        Proxy("https://p.test", verify=3)


# Whole requests


@pytest.fixture(params=["tinyproxy", "squid", "squid under TLS", "socks5", "socks5h"])
def proxy_url(
    request: pytest.FixtureRequest, tinyproxy: Tinyproxy, squid: Squid, microsocks: Microsocks
) -> str:
    return {
        "tinyproxy": tinyproxy.url,
        "squid": squid.url,
        "squid under TLS": squid.tls_url,
        "socks5": f"socks5://{microsocks.where}",
        "socks5h": f"socks5h://{microsocks.where}",
    }[request.param]


@pytest.fixture
def client(proxy_url, certs) -> Iterator[restkit.Client]:
    ca = str(certs.ca_file)
    with restkit.Client(proxy=Proxy(proxy_url, verify=ca), verify=ca, trust_env=False) as client:
        yield client


@pytest.mark.parametrize("secure", [False, True])
def test_requests_go_by_every_kind_of_proxy_and_their_connections_are_used_again(
    client, secure, nginx
):
    url = nginx.tls_url("/small") if secure else nginx.url("/small")
    for _ in range(3):
        response = client.get(url)
        assert (response.status, response.body) == (200, b"Hello, world!")
    assert repr(client) == "<Client, 1 connections at rest>"


@pytest.mark.parametrize("secure", [False, True])
def test_big_bodies_go_whole_in_both_directions(client, secure, nginx):
    name = "by-proxy"
    digest = nginx.make_file(name, 5_000_000)
    url = nginx.tls_url if secure else nginx.url
    data = client.get(url(f"/file/{name}")).body
    assert hashlib.sha256(data).hexdigest() == digest
    uploaded = f"{name}-{secure}"
    assert client.put(url(f"/put/{uploaded}"), data).status in {201, 204}
    assert (nginx.uploads / uploaded).read_bytes() == data


def test_an_echo_within_tls_within_tls_does_not_lock_up(squid, certs):
    # More in either direction than all the buffers on the way hold.
    def echo(peer) -> None:
        head = peer.read_head()
        size = int(field(head, "content-length"))
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        while size:
            piece = peer.read_some()
            size -= len(piece)
            peer.send(piece)

    payload = bytes(range(256)) * 80_000
    ca = str(certs.ca_file)
    with ScriptedServer(echo, ssl_context=certs.server) as server:
        proxy = Proxy(squid.tls_url, verify=ca)
        with restkit.Client(proxy=proxy, verify=ca, trust_env=False) as client:
            url = server.url().replace("127.0.0.1", "localhost")
            assert client.post(url, payload).body == payload


def test_threads_share_a_client_by_way_of_a_proxy(client, nginx):
    wrong: list[object] = []

    def ask() -> None:
        for turn in range(10):
            url = nginx.tls_url("/small") if turn % 2 else nginx.url("/small")
            response = client.get(url)
            if (response.status, response.body) != (200, b"Hello, world!"):
                wrong.append(response)

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_request_to_a_plain_origin_is_handed_to_the_proxy_with_its_whole_url():
    with ScriptedServer.serving(OK) as server:
        proxy = Proxy(
            f"http://Aladdin:open%20sesame@127.0.0.1:{server.port}", headers={"X-Team": "blue"}
        )
        with restkit.Client(proxy=proxy, trust_env=False) as client:
            assert client.get("http://origin.test:8080/a?b=c").body == b"ok"
            assert client.get("http://other.test/").body == b"ok"
    first, second = map(head_of, server.requests)
    assert first.startswith(b"GET http://origin.test:8080/a?b=c HTTP/1.1\r\nHost: origin.test:8080")
    assert second.startswith(b"GET http://other.test/ HTTP/1.1\r\nHost: other.test\r\n")
    for head in (first, second):
        assert field(head, "proxy-authorization") == "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="
        assert field(head, "x-team") == "blue"


def test_what_is_for_the_proxy_does_not_reach_the_origin(squid, nginx, certs):
    with ScriptedServer.serving(OK) as server:
        with restkit.Client(proxy=Proxy(squid.url), trust_env=False) as client:
            assert client.get(server.url("/a")).body == b"ok"
    assert field(server.request, "proxy-authorization") is None
    assert server.request.startswith(b"GET /a HTTP/1.1\r\n")


def test_a_refused_tunnel_is_an_error_of_the_request(squid, certs):
    with restkit.Client(proxy=squid.url, trust_env=False) as client:
        with pytest.raises(ProxyError) as caught:
            client.get("https://forbidden.test/")
        # A request that is handed over gets the proxy's answer as it is.
        assert client.get("http://forbidden.test/").status == 403
    assert str(caught.value) == (
        "GET https://forbidden.test/: the proxy "
        f"127.0.0.1:{squid.port} refused a tunnel to forbidden.test:443: 403 Forbidden"
    )
    assert caught.value.sent == "nothing"


def test_W23_a_proxy_and_none_never_share_a_connection(tinyproxy):
    with ScriptedServer.serving(OK) as server, restkit.Client(trust_env=False) as client:
        for proxy in (None, tinyproxy.url, None, tinyproxy.url):
            assert client.get(server.url(), proxy=proxy).body == b"ok"
        # tinyproxy closes each of its own.
        assert server.connections == 3


def test_C05_check_address_is_for_the_proxy_where_the_proxy_has_it(squid, nginx):
    asked: list[str] = []

    def check(ip) -> bool:
        asked.append(str(ip))
        return True

    proxy = Proxy(squid.url, check_address=check)
    with restkit.Client(proxy=proxy, trust_env=False) as client:
        assert client.get(nginx.url("/small")).status == 200
    assert asked == ["127.0.0.1"]


def test_C05_an_address_of_the_proxy_may_be_forbidden(squid, nginx):
    proxy = Proxy(squid.url, check_address=lambda ip: not ip.is_loopback)
    with restkit.Client(proxy=proxy, trust_env=False, max_tries=1) as client:
        with pytest.raises(ProxyError) as caught:
            client.get(nginx.url("/small"))
    assert str(caught.value).endswith(
        f"the proxy 127.0.0.1:{squid.port}: check_address= forbids 127.0.0.1"
    )


def test_C05_check_address_alone_cannot_be_kept_with_a_proxy(squid, nginx):
    with restkit.Client(check_address=bool, trust_env=False) as client:
        with pytest.raises(RequestError, match="check_address= cannot be kept"):
            client.get(nginx.url("/small"), proxy=squid.url)


def test_the_environment_is_asked_where_nothing_is_given(squid, nginx, monkeypatch):
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("http_proxy", squid.url)
    url = nginx.url("/small")
    with restkit.Client() as client:
        assert "squid.test" in client.get(url).headers["Via"]
        assert "via" not in client.get(url, proxy=None).headers
    with restkit.Client(trust_env=False) as client:
        assert "via" not in client.get(url).headers
    monkeypatch.setenv("NO_PROXY", "127.0.0.0/8")
    with restkit.Client() as client:
        assert "via" not in client.get(url).headers


def test_what_may_be_half_a_password_is_in_no_error():
    with pytest.raises(RequestError) as caught:
        as_proxy("user:se://cret@host")
    assert "se://" not in str(caught.value)
    assert "***@host" in str(caught.value)
