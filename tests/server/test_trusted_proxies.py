"""TrustedProxies: whose forwarded fields count, and which of several values."""

from __future__ import annotations

from ipaddress import ip_network
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator

import pytest

from restkit.server import App, TrustedProxies, serve
from restkit.server.response import text
from support.caller import Caller, get
from support.growth import assert_linear

PROXIES = ["10.0.0.0/8", "192.0.2.1", "2001:db8::/32"]


def seen(
    fields: dict[str, str],
    peer: str = "10.0.0.1",
    host: str | None = "inner:8000",
    *,
    proxies: object = PROXIES,
    forwarded: bool = False,
) -> str:
    """Return client, scheme and host as the application sees them behind the proxies."""
    environ = {"REMOTE_ADDR": peer, "wsgi.url_scheme": "http"}
    if host is not None:
        environ["HTTP_HOST"] = host
    for name, value in fields.items():
        environ["HTTP_" + name.upper().replace("-", "_")] = value
    TrustedProxies(lambda environ, _: (), proxies, forwarded=forwarded)(environ, None)
    assert not any("FORWARDED" in name for name in environ)
    return f"{environ['REMOTE_ADDR']} {environ['wsgi.url_scheme']} {environ.get('HTTP_HOST')}"


UNCHANGED = "10.0.0.1 http inner:8000"


def x(clients: str | None = None, **others: str) -> dict[str, str]:
    fields = {f"X-Forwarded-{name}": value for name, value in others.items()}
    return fields if clients is None else {"X-Forwarded-For": clients, **fields}


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, UNCHANGED),
        (x("203.0.113.9"), "203.0.113.9 http inner:8000"),
        (x("2001:DB9::0:1"), "2001:db9::1 http inner:8000"),
        (x("203.0.113.9:4711"), "203.0.113.9 http inner:8000"),
        (x("[2001:db9::1]:4711"), "2001:db9::1 http inner:8000"),
        (x("::ffff:203.0.113.9"), "203.0.113.9 http inner:8000"),
        (x("fe80::1%eth0.7"), "fe80::1%eth0.7 http inner:8000"),
        (x('fe80::1%- - [x] "GET / HTTP/1.1" 200 5'), UNCHANGED),
        # The values of a client are left of that of the trusted proxy.
        (x("1.1.1.1, 203.0.113.9"), "203.0.113.9 http inner:8000"),
        (x("10.0.0.7,203.0.113.9"), "203.0.113.9 http inner:8000"),
        (x("1.1.1.1, 203.0.113.9, 10.0.0.2, 192.0.2.1"), "203.0.113.9 http inner:8000"),
        (x("10.0.0.3, 10.0.0.2"), "10.0.0.3 http inner:8000"),
        # Without an address, the nearest known one counts.
        (x("1.1.1.1, unknown"), UNCHANGED),
        (x("1.1.1.1, unknown, 10.0.0.2"), "10.0.0.2 http inner:8000"),
        (x("1.1.1.1, "), UNCHANGED),
        (x("203.0.113.9\x00"), UNCHANGED),
        (x("203.0.113.999"), UNCHANGED),
        (x("localhost"), UNCHANGED),
    ],
)
def test_client_is_the_first_address_from_the_right_that_is_no_trusted_proxy(fields, expected):
    assert seen(fields) == expected


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        (x(Proto="https"), "10.0.0.1 https inner:8000"),
        (x(Proto="HTTPS"), "10.0.0.1 https inner:8000"),
        (x(Proto="ftp"), UNCHANGED),
        (x(Proto="https\n"), UNCHANGED),
        (x(Host="example.org"), "10.0.0.1 http example.org"),
        (x(Host="example.org:8443"), "10.0.0.1 http example.org:8443"),
        (x(Host="[::1]:8443"), "10.0.0.1 http [::1]:8443"),
        (x(Host="example.org:80"), "10.0.0.1 http example.org"),
        (x(Host='example.org"><script>'), UNCHANGED),
        (x(Host="example.org/path"), UNCHANGED),
        (x(Host="user@example.org"), UNCHANGED),
        (x(Port="8443"), "10.0.0.1 http inner:8443"),
        (x(Port="80"), "10.0.0.1 http inner"),
        (x(Port="443", Proto="https"), "10.0.0.1 https inner"),
        (x(Port="0", Host="example.org:1"), "10.0.0.1 http example.org:1"),
        (x(Port="x"), UNCHANGED),
        (x(Port="8443", Host="example.org:1"), "10.0.0.1 http example.org:8443"),
        # One value for each proxy, as for the addresses; or one that the others passed on.
        (x("203.0.113.9", Proto="http, https"), "203.0.113.9 https inner:8000"),
        (x("203.0.113.9", Host="evil.example, a.example"), "203.0.113.9 http a.example"),
        (
            x("1.1.1.1, 203.0.113.9, 10.0.0.2", Proto="ftp, https, http", Host="e, a, b"),
            "203.0.113.9 https a",
        ),
        (x("203.0.113.9, 10.0.0.2", Proto="https", Host="a"), "203.0.113.9 https a"),
    ],
)
def test_scheme_and_host_are_those_of_the_same_proxy(fields, expected):
    assert seen(fields) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("for=203.0.113.9", "203.0.113.9 http inner:8000"),
        ('For="[2001:db9::1]:4711"', "2001:db9::1 http inner:8000"),
        ('for="203.0.113.9:_port"', "203.0.113.9 http inner:8000"),
        ("for=203.0.113.9;proto=https;by=10.0.0.1;host=a.b", "203.0.113.9 https a.b"),
        ('host="a.b:8443" ; proto="https"', "10.0.0.1 https a.b:8443"),
        ("for=1.1.1.1;host=evil, for=203.0.113.9;host=a", "203.0.113.9 http a"),
        (
            "for=1.1.1.1;proto=ftp , for=203.0.113.9;proto=https;host=a, for=10.0.0.2;host=b",
            "203.0.113.9 https a",
        ),
        ("for=1.1.1.1, for=unknown;proto=https", "10.0.0.1 https inner:8000"),
        ("for=1.1.1.1, for=_hidden", UNCHANGED),
        ('for="203.0.113.9\\"', UNCHANGED),
        ("for=203.0.113.9;", UNCHANGED),
        ("for=", UNCHANGED),
        # Quotes that a client leaves open do not hide the element of the proxy.
        ('for=", for=203.0.113.9', "203.0.113.9 http inner:8000"),
        ('for="1.1.1.1, for="[2001:db9::1]"', "2001:db9::1 http inner:8000"),
        ('for="a\\, for=203.0.113.9;host="a"', "203.0.113.9 http a"),
        ('for=203.0.113.9;ext="host=evil, for=1.1.1.1";host=a', "203.0.113.9 http a"),
        ("for=203.0.113.9;x!host=evil", "203.0.113.9 http inner:8000"),
    ],
)
def test_forwarded_is_read_from_its_right_end(value, expected):
    assert seen({"Forwarded": value}, forwarded=True) == expected


def test_only_one_of_the_two_kinds_of_fields_counts():
    fields = {**x("203.0.113.1", Host="a"), "Forwarded": "for=203.0.113.2;host=b"}
    assert seen(fields) == "203.0.113.1 http a"
    assert seen(fields, forwarded=True) == "203.0.113.2 http b"
    assert seen(x("203.0.113.1", Host="a"), forwarded=True) == UNCHANGED


@pytest.mark.parametrize("peer", ["203.0.113.5", "192.0.2.2", "2001:db9::1", "", "not an address"])
def test_fields_of_other_peers_are_removed_and_have_no_effect(peer):
    fields = {**x("1.1.1.1", Proto="https", Host="a", Port="1"), "Forwarded": "for=1.1.1.1"}
    assert seen(fields, peer) == f"{peer} http inner:8000"


@pytest.mark.parametrize(
    ("peer", "proxies"),
    [
        ("192.0.2.1", PROXIES),
        ("10.255.255.255", PROXIES),
        ("::ffff:10.0.0.1", PROXIES),
        ("2001:db8:ffff::1", PROXIES),
        ("fe80::1%eth0", ["fe80::/10"]),
        ("", ["unix"]),
        ("10.0.0.1", "10.0.0.1"),
        ("10.0.0.1", [ip_network("10.0.0.0/8")]),
        ("10.0.0.1", iter(["10.0.0.1"])),
    ],
)
def test_trusted_peers(peer, proxies):
    assert seen(x("203.0.113.9"), peer, proxies=proxies) == "203.0.113.9 http inner:8000"


def test_request_without_a_Host_gets_the_forwarded_one():
    assert seen(x(Host="a"), host=None) == "10.0.0.1 http a"
    assert seen(x(Port="1"), host=None) == "10.0.0.1 http None"


@pytest.mark.parametrize("value", ["10.0.0.1/8", "localhost", "*", "", "10.0.0.0/33"])
def test_invalid_proxy_is_an_error_that_names_it(value):
    with pytest.raises(ValueError, match=r"^trusted_proxies must be addresses, .*; got "):
        serve(App(), trusted_proxies=[value])


def test_application_must_be_callable():
    with pytest.raises(TypeError, match=r"app must be a WSGI application, a callable; got 'app'"):
        TrustedProxies("app", PROXIES)


@pytest.mark.parametrize(
    "unit", ["for=a,", 'for="', 'a="b\\",', "a=b;", ",", 'for="a";', "for=10.0.0.1, "]
)
def test_reading_takes_linear_time(unit):
    def read(value: str) -> None:
        environ = {"REMOTE_ADDR": "10.0.0.1", "wsgi.url_scheme": "http", "HTTP_FORWARDED": value}
        TrustedProxies(lambda *_: (), PROXIES, forwarded=True)(environ, None)

    assert_linear(read, lambda size: unit * size + "for=10.0.0.1", 1000)


def test_it_is_valid_wsgi():
    def app(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [environ["REMOTE_ADDR"].encode()]

    environ = {"REMOTE_ADDR": "10.0.0.1", "HTTP_X_FORWARDED_FOR": "203.0.113.9"}
    setup_testing_defaults(environ)
    environ["QUERY_STRING"] = ""
    response = validator(TrustedProxies(validator(app), PROXIES))(environ, lambda *_: None)
    assert b"".join(response) == b"203.0.113.9"
    response.close()


def test_server_passes_the_client_and_url_on_and_logs_the_client():
    app, records = App(), []

    @app.get("/")
    def show(request):
        return text(f"{request.remote_addr} {request.url} {request.headers.get('Forwarded')}")

    fields = (
        "X-Forwarded-For: 203.0.113.9",
        "X-Forwarded-Proto: https",
        "X-Forwarded-Host: example.org",
        "Forwarded: for=1.1.1.1",
    )
    for proxies, expected in (
        (["127.0.0.1"], b"203.0.113.9 https://example.org/ None"),
        ([], b"127.0.0.1 http://x/ None"),
        (None, b"127.0.0.1 http://x/ for=1.1.1.1"),
    ):
        with serve(app, trusted_proxies=proxies, access_log=records.append) as server:
            with Caller(server.port) as caller:
                caller.send(get("/", *fields))
                assert caller.read_body(caller.read_head()) == expected
    assert [record.client for record in records] == ["203.0.113.9", "127.0.0.1", "127.0.0.1"]
