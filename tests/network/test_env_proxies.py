"""The proxy that the environment names for a URL, and the hosts without one."""

from __future__ import annotations

import pytest

from restkit.errors import RequestError
from restkit.network.env_proxies import EnvironmentProxies
from restkit.url.url import parse_url

HTTP, HTTPS, ALL = "http://plain.test:1", "http://secure.test:2", "socks5h://all.test:3"


def choose(environ: dict[str, str], url: str) -> str | None:
    proxy = EnvironmentProxies(environ)(parse_url(url))
    return None if proxy is None else str(proxy)


@pytest.mark.parametrize(
    ("environ", "http", "https"),
    [
        ({}, None, None),
        ({"HTTP_PROXY": HTTP}, HTTP, None),
        ({"HTTPS_PROXY": HTTPS}, None, HTTPS),
        ({"HTTP_PROXY": HTTP, "HTTPS_PROXY": HTTPS}, HTTP, HTTPS),
        ({"http_proxy": HTTP, "https_proxy": HTTPS}, HTTP, HTTPS),
        ({"ALL_PROXY": ALL}, ALL, ALL),
        ({"all_proxy": ALL, "https_proxy": HTTPS}, ALL, HTTPS),
        ({"http_proxy": HTTP, "HTTP_PROXY": HTTPS}, HTTP, None),  # lower case wins
        ({"http_proxy": "", "HTTP_PROXY": HTTP}, None, None),
        ({"http_proxy": "", "ALL_PROXY": ALL}, ALL, ALL),
        ({"http_proxy": "  ", "https_proxy": f" {HTTPS} "}, None, HTTPS),
        ({"HTTPS_PROXY": "secure.test:2"}, None, HTTPS),
        ({"HTTP_PROXY": HTTP, "REQUEST_METHOD": "GET"}, None, None),  # httpoxy
        ({"http_proxy": HTTP, "REQUEST_METHOD": "GET"}, HTTP, None),
        ({"HTTP_PROXY": HTTP, "ALL_PROXY": ALL, "REQUEST_METHOD": "GET"}, ALL, ALL),
        ({"HTTPS_PROXY": HTTPS, "REQUEST_METHOD": "GET"}, None, HTTPS),
        ({"Http_Proxy": HTTP, "FTP_PROXY": HTTP}, None, None),
    ],
)
def test_the_variable_for_each_scheme(environ, http, https):
    assert choose(environ, "http://origin.test/") == http
    assert choose(environ, "https://origin.test/") == https
    assert bool(EnvironmentProxies(environ)) is (http is not None or https is not None)


@pytest.mark.parametrize(
    ("no_proxy", "directly", "not_directly"),
    [
        ("*", ["http://any.test", "http://10.0.0.1", "http://[::1]"], []),
        (
            "example.org",
            ["http://example.org", "http://a.example.org", "http://a.b.EXAMPLE.org:81"],
            ["http://example.com", "http://anexample.org", "http://example.org.test"],
        ),
        (".example.org", ["http://example.org", "http://a.example.org"], ["http://xexample.org"]),
        ("*.example.org", ["http://example.org", "http://a.example.org"], ["http://xexample.org"]),
        ("example.org.", ["http://example.org", "http://example.org."], ["http://example.net"]),
        ("EXAMPLE.org", ["http://a.example.org."], []),
        ("example.org:8080", ["http://a.example.org:8080"], ["http://example.org"]),
        ("example.org:443", ["https://example.org"], ["http://example.org"]),
        ("a.test, b.test", ["http://a.test", "http://b.test"], ["http://c.test"]),
        ("a.test b.test,,c.test,", ["http://b.test", "http://c.test"], ["http://d.test"]),
        ("localhost", ["http://localhost"], ["http://127.0.0.1"]),
        ("10.0.0.1", ["http://10.0.0.1", "http://[::ffff:10.0.0.1]"], ["http://10.0.0.11"]),
        ("10.0.0.1:81", ["http://10.0.0.1:81"], ["http://10.0.0.1"]),
        (
            "10.0.0.0/8",
            ["http://10.255.1.2"],
            ["http://11.0.0.1", "http://ten.test", "http://[a::]"],
        ),
        ("10.1.2.3/8", ["http://10.255.1.2"], ["http://11.0.0.1"]),
        ("::1", ["http://[::1]", "http://[0:0::1]:81"], ["http://[::2]"]),
        ("[::1]", ["http://[::1]"], ["http://[::2]"]),
        ("[::1]:81", ["http://[::1]:81"], ["http://[::1]"]),
        ("fd00::/8", ["http://[fd12::1]", "http://[fd12::1%25eth0]"], ["http://[fe80::1]"]),
        ("::ffff:10.0.0.1", ["http://10.0.0.1", "http://[::ffff:a00:1]"], ["http://10.0.0.2"]),
        ("[::ffff:10.0.0.1]:81", ["http://10.0.0.1:81"], ["http://10.0.0.1"]),
        ("::ffff:10.0.0.0/104", ["http://10.255.0.1"], ["http://11.0.0.1", "http://[a::]"]),
        ("b\u00fccher.test", ["http://b\u00fccher.test", "http://a.xn--bcher-kva.test"], []),
        # Entries that are none of these are skipped.
        ("10.0.0.0/99, a..b, x:port, [::1, /, ok.test", ["http://ok.test"], ["http://10.0.0.1"]),
        ("", [], ["http://any.test"]),
        (" , ", [], ["http://any.test"]),
        ("0x7f.1", [], ["http://127.0.0.1"]),
        ("1.2", [], ["http://1.2.3.4"]),
    ],
)
@pytest.mark.parametrize("name", ["NO_PROXY", "no_proxy"])
def test_no_proxy_excludes_hosts(name, no_proxy, directly, not_directly):
    environ = {"ALL_PROXY": ALL, name: no_proxy}
    assert [url for url in directly if choose(environ, url) is not None] == []
    assert [url for url in not_directly if choose(environ, url) is None] == []


def test_no_proxy_in_lower_case_wins():
    environ = {"ALL_PROXY": ALL, "no_proxy": "a.test", "NO_PROXY": "b.test"}
    assert choose(environ, "http://a.test") is None
    assert choose(environ, "http://b.test") == ALL


def test_local_hosts_are_no_exception():
    for host in ("localhost", "127.0.0.1", "[::1]"):
        assert choose({"ALL_PROXY": ALL}, f"http://{host}/") == ALL


@pytest.mark.parametrize("name", ["http_proxy", "HTTP_PROXY", "ALL_PROXY"])
def test_invalid_variable_is_an_error_only_when_used(name):
    environ = {name: "ftp://user:sesame@old.test", "https_proxy": HTTPS, "no_proxy": "direct.test"}
    proxies = EnvironmentProxies(environ)
    assert proxies(parse_url("http://direct.test/")) is None
    assert str(proxies(parse_url("https://origin.test/"))) == HTTPS
    for _ in range(2):
        with pytest.raises(RequestError) as caught:
            proxies(parse_url("http://origin.test/"))
        assert str(caught.value).startswith(
            f"{name} in the environment: proxy '***@old.test': the scheme must be http, "
        )


def test_environment_is_read_once():
    environ = {"ALL_PROXY": ALL}
    proxies = EnvironmentProxies(environ)
    first = proxies(parse_url("http://origin.test/a"))
    environ["ALL_PROXY"] = HTTP
    environ["NO_PROXY"] = "*"
    assert proxies(parse_url("http://origin.test/b")) is first
    assert proxies(parse_url("http://other.test/b")) is first


def test_cache_is_bounded():
    proxies = EnvironmentProxies({"ALL_PROXY": ALL, "NO_PROXY": "7.test"})
    for number in range(2500):
        url = parse_url(f"http://{number}.test/")
        assert (proxies(url) is None) == (number == 7)


def test_repr_shows_names_without_values():
    environ = {"http_proxy": "http://user:sesame@p.test", "NO_PROXY": "*"}
    assert repr(EnvironmentProxies(environ)) == "<EnvironmentProxies: http_proxy, NO_PROXY>"
    assert repr(EnvironmentProxies({})) == "<EnvironmentProxies: none>"
