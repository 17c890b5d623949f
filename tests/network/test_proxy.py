"""Proxy values, and requests through tinyproxy, squid and microsocks."""

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
from restkit.network.options import TLSOptions
from restkit.network.proxy import Proxy, as_proxy
from support import ScriptedServer, field, head_of
from support.proxies import Microsocks, Squid, Tinyproxy

pytestmark = pytest.mark.lowest

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
def test_proxy_url_has_scheme_host_and_port(text, scheme, host, port):
    proxy = as_proxy(text)
    assert (proxy.scheme, proxy.host, proxy.port) == (scheme, host, port)
    assert (proxy.username, proxy.password, proxy.fields) == (None, None, ())


def test_as_proxy_keeps_none_and_proxies():
    proxy = Proxy("http://proxy.test")
    assert as_proxy(None) is None
    assert as_proxy(proxy) is proxy


NOTHING_FOLLOWS = (
    "nothing may follow the host and port of a proxy; write /, ? and # in a password as %2F, "
    "%3F and %23"
)
SCHEMES = (
    "the scheme must be http, https, socks4, socks4a, socks5 or socks5h, followed by :// and a host"
)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("ftp://proxy.test", SCHEMES),
        ("socks://proxy.test", SCHEMES),
        ("://proxy.test", SCHEMES),
        ("", "no host; it must be a name, an IPv4 address or an [IPv6] address"),
        ("http://", "no host; it must be a name, an IPv4 address or an [IPv6] address"),
        ("proxy.test:99999", "the port must be a number from 1 to 65535"),
        ("proxy.test:0", "the port must be a number from 1 to 65535"),
        ("::1", "colons in the host; an IPv6 address must be in brackets"),
        ("[1::2::3]", "the brackets must contain an IPv6 address"),
        ("http://proxy.test/path", NOTHING_FOLLOWS),
    ],
)
def test_invalid_proxy_url_is_rejected_with_a_hint(text, why):
    with pytest.raises(RequestError) as caught:
        as_proxy(text)
    assert str(caught.value) == f"proxy {text!r}: {why}"
    assert caught.value.sent == "nothing"


@pytest.mark.parametrize("value", [3128, b"http://proxy.test", ("proxy.test", 3128), {}])
def test_proxy_must_be_text(value):
    with pytest.raises(RequestError, match=r"proxy must be a URL, a restkit[.]Proxy or None; got"):
        as_proxy(value)


@pytest.mark.parametrize(
    "text",
    [
        f"http://user:{SECRET}@proxy.test",  # the slash would have to be encoded
        f"ftp://user:{SECRET_ENCODED}@proxy.test",
        f"http://user:{SECRET_ENCODED}@proxy.test:port",
        f"http://user:{SECRET_ENCODED}%FF@proxy.test",
        f"http://user:{SECRET_ENCODED}\udce9@proxy.test",
        f"socks5h://user:{SECRET_ENCODED}\udce9@proxy.test",
        f"http://us%3Aer:{SECRET_ENCODED}@proxy.test",
        f"socks4://user:{SECRET_ENCODED}@proxy.test",
        f"socks5://:{SECRET_ENCODED}@proxy.test",
        f"socks5://user:{SECRET_ENCODED * 30}@proxy.test",
    ],
)
def test_error_shows_no_password(text):
    with pytest.raises(RequestError) as caught:
        as_proxy(text)
    message = str(caught.value)
    assert "Pa55" not in message
    assert "***@proxy.test" in message
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


@pytest.mark.parametrize("secret", [SECRET_ENCODED, "12345678", "de:ad", "[x", "x]"])
@pytest.mark.parametrize("before", ["http://user", "socks5://user", "user", "http://[::1]"])
def test_error_hides_a_port_that_may_be_a_password(before, secret):
    for after in ("", "/"):
        with pytest.raises(RequestError) as caught:
            as_proxy(f"{before}:{secret}{after}")
        assert str(caught.value).startswith(f"proxy '{before}:***{after}': ")


@pytest.mark.parametrize("text", ["http://p:99999", "p:0", "http://::1:80", "fe80::1", "[::1:80"])
def test_error_shows_a_harmless_url(text):
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


def test_socks_proxy_rejects_headers():
    with pytest.raises(RequestError) as caught:
        Proxy("socks5://user:pw@p.test", headers={"X-Team": "blue"})
    assert str(caught.value) == (
        "proxy socks5://p.test:1080: headers can only be sent to http and https proxies"
    )
    assert Proxy("socks5://user:pw@p.test").fields == ()


def test_error_without_a_socks_package_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "python_socks", None)
    monkeypatch.setitem(sys.modules, "socks", None)
    with pytest.raises(RequestError) as caught:
        Proxy("socks5://user:pw@p.test")
    assert str(caught.value) == (
        "proxy socks5://p.test:1080: SOCKS needs `pip install restkit[socks]`"
    )
    assert isinstance(caught.value.__cause__, ImportError)
    assert Proxy("http://p.test").host == "p.test"


@pytest.mark.parametrize(
    ("text", "http", "https"),
    [("http://p", True, False), ("https://p", True, False), ("socks5://p", False, False)],
)
def test_http_proxy_forwards_plain_requests(text, http, https):
    assert Proxy(text).forwards("http") is http
    assert Proxy(text).forwards("https") is https


@pytest.mark.filterwarnings("ignore:verify=False:urllib3.exceptions.InsecureRequestWarning")
def test_W23_proxies_with_equal_values_are_equal(certs):
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


def test_proxy_is_immutable():
    proxy = Proxy("http://p.test")
    with pytest.raises(AttributeError, match="a Proxy is immutable"):
        proxy.host = "other.test"
    with pytest.raises(AttributeError, match="a Proxy is immutable"):
        del proxy.host


def test_tls_options_are_checked_at_once():
    with pytest.raises(RequestError, match="verify must be"):
        Proxy("https://p.test", verify=3)


# Requests


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
def test_requests_through_every_kind_of_proxy_reuse_connections(client, secure, nginx):
    url = nginx.tls_url("/small") if secure else nginx.url("/small")
    for _ in range(3):
        response = client.get(url)
        assert (response.status, response.body) == (200, b"Hello, world!")
    assert repr(client) == "<Client, 1 idle connections>"


@pytest.mark.parametrize("secure", [False, True])
def test_large_bodies_arrive_complete_in_both_directions(client, secure, nginx):
    name = "by-proxy"
    digest = nginx.make_file(name, 5_000_000)
    url = nginx.tls_url if secure else nginx.url
    data = client.get(url(f"/file/{name}")).body
    assert hashlib.sha256(data).hexdigest() == digest
    uploaded = f"{name}-{secure}"
    assert client.put(url(f"/put/{uploaded}"), data).status in {201, 204}
    assert (nginx.uploads / uploaded).read_bytes() == data


def test_echo_through_tls_in_tls_does_not_deadlock(squid, certs):
    # More bytes in either direction than all buffers between client and server hold.
    def echo(peer) -> None:
        head = peer.read_head()
        size = int(field(head, "content-length"))
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        while size:
            chunk = peer.read_some()
            size -= len(chunk)
            peer.send(chunk)

    payload = bytes(range(256)) * 80_000
    ca = str(certs.ca_file)
    with ScriptedServer(echo, ssl_context=certs.server) as server:
        proxy = Proxy(squid.tls_url, verify=ca)
        with restkit.Client(proxy=proxy, verify=ca, trust_env=False) as client:
            url = server.url().replace("127.0.0.1", "localhost")
            assert client.post(url, payload).body == payload


def test_threads_share_a_client_with_a_proxy(client, nginx):
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


def test_plain_request_is_forwarded_with_its_whole_url():
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


def test_fields_for_the_proxy_do_not_reach_the_origin(squid, nginx, certs):
    with ScriptedServer.serving(OK) as server:
        with restkit.Client(proxy=Proxy(squid.url), trust_env=False) as client:
            assert client.get(server.url("/a")).body == b"ok"
    assert field(server.request, "proxy-authorization") is None
    assert server.request.startswith(b"GET /a HTTP/1.1\r\n")


def test_refused_tunnel_is_a_proxy_error_of_the_request(squid, certs):
    with restkit.Client(proxy=squid.url, trust_env=False) as client:
        with pytest.raises(ProxyError) as caught:
            client.get("https://forbidden.test/")
        # A forwarded request gets the response of the proxy unchanged.
        assert client.get("http://forbidden.test/").status == 403
    assert str(caught.value) == (
        "GET https://forbidden.test/: the proxy "
        f"127.0.0.1:{squid.port} refused a tunnel to forbidden.test:443: 403 Forbidden"
    )
    assert caught.value.sent == "nothing"


def test_W23_requests_with_and_without_proxy_share_no_connection(tinyproxy):
    with ScriptedServer.serving(OK) as server, restkit.Client(trust_env=False) as client:
        for proxy in (None, tinyproxy.url, None, tinyproxy.url):
            assert client.get(server.url(), proxy=proxy).body == b"ok"
        # tinyproxy closes each connection.
        assert server.connections == 3


def test_C05_check_address_of_the_proxy_checks_the_proxy(squid, nginx):
    checked: list[str] = []

    def check(ip) -> bool:
        checked.append(str(ip))
        return True

    proxy = Proxy(squid.url, check_address=check)
    with restkit.Client(proxy=proxy, trust_env=False) as client:
        assert client.get(nginx.url("/small")).status == 200
    assert checked == ["127.0.0.1"]


def test_C05_address_of_the_proxy_may_be_forbidden(squid, nginx):
    proxy = Proxy(squid.url, check_address=lambda ip: not ip.is_loopback)
    with restkit.Client(proxy=proxy, trust_env=False, max_tries=1) as client:
        with pytest.raises(ProxyError) as caught:
            client.get(nginx.url("/small"))
    assert str(caught.value).endswith(
        f"the proxy 127.0.0.1:{squid.port}: check_address= forbids 127.0.0.1"
    )


def test_C05_check_address_of_the_client_cannot_be_applied_with_a_proxy(squid, nginx):
    with restkit.Client(check_address=bool, trust_env=False) as client:
        with pytest.raises(RequestError, match="check_address="):
            client.get(nginx.url("/small"), proxy=squid.url)


def test_environment_is_used_without_a_proxy_option(squid, nginx, monkeypatch):
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


def test_error_hides_half_a_password():
    with pytest.raises(RequestError) as caught:
        as_proxy("user:se://cret@host")
    assert "se://" not in str(caught.value)
    assert "***@host" in str(caught.value)
