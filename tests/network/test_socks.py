"""SOCKS proxies: the bytes of each request, and every kind of failed reply."""

from __future__ import annotations

import socket
import ssl
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from restkit.errors import (
    ConnectError,
    ConnectTimeout,
    Error,
    InvalidUrl,
    ProxyError,
    RequestError,
    TotalTimeout,
)
from restkit.network.dial import dial
from restkit.network.options import Network, TLSOptions
from restkit.network.proxy import Proxy
from restkit.network.route import Route
from restkit.network.socks import import_socks_package, open_socks_tunnel
from restkit.timeouts import Timeout
from support import ScriptedServer, refusing
from support.dialing import clock, failure
from support.peer import HANG_BOUND, Peer
from support.proxies import USER

pytestmark = [pytest.mark.smoke, pytest.mark.lowest]

V4 = "127.0.0.1"
PACKAGES = ["python-socks", "PySocks"]
NO_AUTH, WITH_AUTH = b"\x05\x01\x00", b"\x05\x02\x00\x02"
GRANTED = b"\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00"
GRANTED_4 = b"\x00\x5a\x00\x00\x00\x00\x00\x00"
ORIGIN = b"\x03\x0borigin.test\x01\xbb"


@pytest.fixture(params=PACKAGES, autouse=True)
def package(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The package that negotiates; every test of this file runs with each."""
    if request.param == "PySocks":
        monkeypatch.setitem(sys.modules, "python_socks", None)
    else:
        pytest.importorskip("python_socks", minversion="3.0")
        monkeypatch.setitem(sys.modules, "socks", None)
    return request.param


def conversation(*turns: bytes, then: Callable[[Peer], object] = Peer.read_to_end):
    """Return a script: the requests that must arrive, each with its reply, and what follows."""

    def script(peer: Peer) -> None:
        for request, reply in zip(turns[::2], turns[1::2], strict=True):
            assert peer.read_exactly(len(request)) == request
            peer.send(reply)
        then(peer)

    return script


def greet(peer: Peer) -> None:
    peer.send(b"hello")
    peer.read_to_end()


def route_through(
    scheme: str, server: ScriptedServer, host: str = "origin.test", *, user: str = ""
) -> Route:
    return Route("http", host, 443, proxy=Proxy(f"{scheme}://{user}{V4}:{server.port}"))


def refusal(scheme: str, *turns: bytes, user: str = "", host: str = "origin.test") -> Error:
    with ScriptedServer(conversation(*turns)) as server:
        error = failure(route_through(scheme, server, host, user=user))
    error.message = error.message.replace(f"{V4}:{server.port}", "PROXY")
    return error


@pytest.fixture
def resolves(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """A function that makes names resolve to these addresses; returns the looked up names."""
    real = socket.getaddrinfo

    def resolve_to(*addresses: str) -> list[str]:
        names: list[str] = []

        def getaddrinfo(host: str, port: int, *args: object, **options: object) -> object:
            if host[-1].isdigit():
                return real(host, port, *args, **options)
            names.append(host)
            return [found for each in addresses for found in real(each, port, *args, **options)]

        monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
        return names

    return resolve_to


# The package


def test_python_socks_is_used_where_both_are_installed(monkeypatch):
    monkeypatch.undo()
    pytest.importorskip("python_socks", minversion="3.0")
    assert import_socks_package().__name__ == "python_socks"


def test_PySocks_is_used_where_only_it_is_installed(monkeypatch):
    monkeypatch.undo()
    monkeypatch.setitem(sys.modules, "python_socks", None)
    assert import_socks_package().__name__ == "socks"


def test_python_socks_before_3_0_is_not_used(monkeypatch):
    monkeypatch.undo()

    class OldProxy:
        def __init__(self, kind, host, port, username=None, password=None, rdns=None): ...

    old, old_sync = ModuleType("python_socks"), ModuleType("python_socks.sync")
    old.ProxyType, old_sync.Proxy = SimpleNamespace(SOCKS5=2), OldProxy
    monkeypatch.setitem(sys.modules, "python_socks", old)
    monkeypatch.setitem(sys.modules, "python_socks.sync", old_sync)
    assert import_socks_package().__name__ == "socks"


# Requests


def assert_greeted(route: Route) -> None:
    connection = dial(route, clock())
    with connection.sock as sock:
        assert type(sock) is socket.socket
        assert 0 < sock.gettimeout() <= HANG_BOUND
        assert sock.recv(100) == b"hello"
        assert connection.connected > 0
        assert connection.secured is None


@pytest.mark.parametrize(
    ("host", "place"),
    [
        ("origin.test", ORIGIN),
        ("origin.test.", b"\x03\x0corigin.test.\x01\xbb"),
        ("10.0.0.1", b"\x01\x0a\x00\x00\x01\x01\xbb"),
        ("fd00::1", b"\x04\xfd\x00" + bytes(13) + b"\x01\x01\xbb"),
        ("fe80::1%eth0", b"\x04\xfe\x80" + bytes(13) + b"\x01\x01\xbb"),
        ("x" * 63 + "." + "y" * 63, b"\x03\x7f" + b"x" * 63 + b"." + b"y" * 63 + b"\x01\xbb"),
    ],
)
def test_socks5h_sends_names_to_the_proxy(host, place, resolves):
    looked_up = resolves()
    script = conversation(NO_AUTH, b"\x05\x00", b"\x05\x01\x00" + place, GRANTED, then=greet)
    with ScriptedServer(script) as server:
        assert_greeted(route_through("socks5h", server, host))
    assert looked_up == []


def test_socks5_looks_up_names_on_this_machine(resolves):
    looked_up = resolves("fd00::1", "10.0.0.1")
    place = b"\x04\xfd\x00" + bytes(13) + b"\x01\x01\xbb"
    script = conversation(NO_AUTH, b"\x05\x00", b"\x05\x01\x00" + place, GRANTED, then=greet)
    with ScriptedServer(script) as server:
        assert_greeted(route_through("socks5", server))
    assert looked_up == ["origin.test"]


def test_given_address_is_not_looked_up(resolves):
    looked_up = resolves()
    place = b"\x01\x0a\x00\x00\x01\x01\xbb"
    script = conversation(NO_AUTH, b"\x05\x00", b"\x05\x01\x00" + place, GRANTED, then=greet)
    with ScriptedServer(script) as server:
        assert_greeted(route_through("socks5", server)._replace(address="10.0.0.1"))
    assert looked_up == []


def test_credentials_are_sent_when_the_proxy_asks():
    user = b"\x01\x07aladdin\x0bopen sesame"
    turns = (WITH_AUTH, b"\x05\x02", user, b"\x01\x00", b"\x05\x01\x00" + ORIGIN, GRANTED)
    with ScriptedServer(conversation(*turns, then=greet)) as server:
        assert_greeted(route_through("socks5h", server, user="aladdin:open%20sesame@"))


def test_credentials_are_sent_as_utf_8():
    user = b"\x01\x05b\xc5\xb1nX\x06" + "þøß".encode()
    turns = (WITH_AUTH, b"\x05\x02", user, b"\x01\x00", b"\x05\x01\x00" + ORIGIN, GRANTED)
    with ScriptedServer(conversation(*turns, then=greet)) as server:
        assert_greeted(route_through("socks5h", server, user="b%C5%B1nX:%C3%BE%C3%B8%C3%9F@"))


def test_credentials_are_not_sent_unasked():
    turns = (WITH_AUTH, b"\x05\x00", b"\x05\x01\x00" + ORIGIN, GRANTED)
    with ScriptedServer(conversation(*turns, then=greet)) as server:
        assert_greeted(route_through("socks5h", server, user="aladdin:open%20sesame@"))


@pytest.mark.parametrize("user", ["", "aladdin@"])
def test_socks4a_sends_names_to_the_proxy(user, resolves):
    looked_up = resolves()
    name = user[:-1].encode() + b"\0"
    request = b"\x04\x01\x01\xbb\x00\x00\x00\x01" + name + b"origin.test\0"
    with ScriptedServer(conversation(request, GRANTED_4, then=greet)) as server:
        assert_greeted(route_through("socks4a", server, user=user))
    assert looked_up == []


def test_socks4_looks_up_names_and_uses_the_first_ipv4_address(resolves):
    looked_up = resolves("fd00::1", "10.0.0.1", "10.0.0.2")
    request = b"\x04\x01\x01\xbb\x0a\x00\x00\x01\0"
    with ScriptedServer(conversation(request, GRANTED_4, then=greet)) as server:
        assert_greeted(route_through("socks4", server))
    assert looked_up == ["origin.test"]


def test_replies_may_arrive_in_single_bytes():
    def script(peer: Peer) -> None:
        peer.read_exactly(3)
        peer.send_slowly(b"\x05\x00")
        peer.read_exactly(5 + len(ORIGIN) - 2)
        peer.send_slowly(b"\x05\x00\x00\x03\x05bound\x00\x00")
        greet(peer)

    with ScriptedServer(script) as server:
        assert_greeted(route_through("socks5h", server))


@pytest.mark.parametrize("bound", [b"", b"h\xffst\xff", b"\x80" * 255])
def test_name_in_a_reply_of_success_may_have_any_bytes(bound):
    reply = b"\x05\x00\x00\x03" + bytes([len(bound)]) + bound + b"\x00\x50"
    turns = (NO_AUTH, b"\x05\x00", b"\x05\x01\x00" + ORIGIN, reply + b"hello")
    with ScriptedServer(conversation(*turns)) as server:
        assert_greeted(route_through("socks5h", server))


def test_no_byte_of_the_origin_is_lost():
    with ScriptedServer(
        conversation(NO_AUTH, b"\x05\x00", b"\x05\x01\x00" + ORIGIN, GRANTED + b"hello")
    ) as server:
        assert_greeted(route_through("socks5h", server))


def test_tls_with_the_origin_works_through_the_proxy(certs):
    def script(peer: Peer) -> None:
        conversation(
            NO_AUTH,
            b"\x05\x00",
            b"\x05\x01\x00\x03\x09localhost\x01\xbb",
            GRANTED,
            then=lambda peer: peer.secure(certs.server),
        )(peer)
        greet(peer)

    with ScriptedServer(script) as server:
        route = route_through("socks5h", server, "localhost")
        route = route._replace(scheme="https", tls=TLSOptions(str(certs.ca_file)))
        connection = dial(route, clock())
        with connection.sock as sock:
            assert isinstance(sock, ssl.SSLSocket)
            assert sock.recv(100) == b"hello"
            assert connection.secured > connection.connected


# Failed replies


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (1, "General SOCKS server failure"),
        (2, "Connection not allowed by ruleset"),
        (3, "Network unreachable"),
        (4, "Host unreachable"),
        (5, "Connection refused"),
        (6, "TTL expired"),
        (7, "Command not supported, or protocol error"),
        (8, "Address type not supported"),
        (99, "Unknown error"),
    ],
)
def test_error_names_why_the_proxy_cannot_connect(code, words):
    reply = bytes([5, code]) + GRANTED[2:]
    error = refusal("socks5h", NO_AUTH, b"\x05\x00", b"\x05\x01\x00" + ORIGIN, reply)
    assert type(error) is ProxyError
    assert str(error) == (
        f"the proxy PROXY could not connect to origin.test:443: {words} ({code:#04x})"
    )
    assert type(error.__cause__).__module__.startswith(("python_socks", "socks"))


def test_error_names_an_ipv6_host_in_brackets():
    request = b"\x05\x01\x00\x04\xfd\x00" + bytes(13) + b"\x01\x01\xbb"
    turns = (NO_AUTH, b"\x05\x00", request, b"\x05\x04" + GRANTED[2:])
    error = refusal("socks5h", *turns, host="fd00::1")
    assert str(error) == (
        "the proxy PROXY could not connect to [fd00::1]:443: Host unreachable (0x04)"
    )


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (0x5B, "Request rejected or failed"),
        (0x5C, "Request rejected because SOCKS server cannot connect to identd on the client"),
        (0x5D, "Request rejected because the client program and identd report different user-ids"),
    ],
)
def test_error_of_a_socks4_proxy_names_its_code(code, words):
    request = b"\x04\x01\x01\xbb\x00\x00\x00\x01\0origin.test\0"
    error = refusal("socks4a", request, bytes([0, code]) + bytes(6))
    assert str(error) == (
        f"the proxy PROXY could not connect to origin.test:443: {words} ({code:#04x})"
    )


def test_error_asks_for_credentials():
    for method in (b"\xff", b"\x02"):
        error = refusal("socks5h", NO_AUTH, b"\x05" + method)
        assert type(error) is ProxyError
        assert str(error) == (
            "the proxy PROXY requires a user name and a password: give socks5h://user:password@..."
        )


def test_rejected_credentials_are_an_error():
    user, login = "aladdin:open%20sesame@", b"\x01\x07aladdin\x0bopen sesame"
    for turns in ((WITH_AUTH, b"\x05\x02", login, b"\x01\x01"), (WITH_AUTH, b"\x05\xff")):
        error = refusal("socks5h", *turns, user=user)
        assert str(error) == "the proxy PROXY did not accept the user name and the password"


@pytest.mark.parametrize("scheme", ["socks5h", "socks4a"])
def test_invalid_reply_is_a_proxy_error(scheme):
    error = refusal(scheme, NO_AUTH if scheme == "socks5h" else b"\x04", b"HTTP/1.1 400 No\r\n\r\n")
    assert type(error) is ProxyError
    assert str(error) == (
        f"the proxy PROXY sent no valid {scheme} reply for origin.test:443: "
        f"{scheme[:6].upper()} proxy server sent invalid data"
    )


def test_method_that_was_not_offered_is_an_invalid_reply():
    error = refusal("socks5h", NO_AUTH, b"\x05\x01")
    assert type(error) is ProxyError
    assert str(error) == (
        "the proxy PROXY sent no valid socks5h reply for origin.test:443: "
        "SOCKS5 proxy server sent invalid data"
    )


def test_refusal_after_accepted_credentials_names_its_code():
    login = b"\x01\x07aladdin\x0bopen sesame"
    turns = (WITH_AUTH, b"\x05\x02", login, b"\x01\x00", b"\x05\x01\x00" + ORIGIN)
    error = refusal("socks5h", *turns, b"\x05\x05" + GRANTED[2:], user="aladdin:open%20sesame@")
    assert str(error) == (
        "the proxy PROXY could not connect to origin.test:443: Connection refused (0x05)"
    )


@pytest.mark.parametrize("reply", [b"", b"\x05", b"\x05\x00"])
def test_early_close_is_a_proxy_error(reply):
    def script(peer: Peer) -> None:
        peer.read_exactly(3)
        peer.send(reply)
        if len(reply) == 2:
            peer.read_exactly(5 + len(ORIGIN) - 2)

    with ScriptedServer(script) as server:
        error = failure(route_through("socks5h", server))
    assert type(error) is ProxyError
    assert str(error) == (
        f"the proxy {V4}:{server.port} sent no valid socks5h reply for origin.test:443: "
        "Connection closed unexpectedly"
    )


def test_reset_is_a_proxy_error():
    def script(peer: Peer) -> None:
        peer.read_exactly(3)
        peer.reset()

    with ScriptedServer(script) as server:
        error = failure(route_through("socks5h", server))
    assert type(error) is ProxyError
    assert str(error) == (
        f"the proxy {V4}:{server.port} dropped the connection during the request for "
        "origin.test:443: Connection reset by peer"
    )


def test_unreachable_proxy_is_a_proxy_error():
    with refusing() as port:
        error = failure(Route("http", "origin.test", 80, proxy=Proxy(f"socks5h://{V4}:{port}")))
    assert type(error) is ProxyError
    assert str(error) == f"cannot connect to the proxy {V4}:{port}: Connection refused"


def test_unknown_name_is_not_a_proxy_error(monkeypatch):
    def getaddrinfo(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    error = failure(Route("http", "origin.test", 80, proxy=Proxy("socks5://proxy.test")))
    assert type(error) is ConnectError
    assert str(error) == "origin.test:80: no address for this name: Name or service not known"


def test_socks4_has_no_ipv6(resolves):
    proxy = Proxy("socks4://proxy.test")
    resolves("fd00::1")
    error = failure(Route("http", "origin.test", 80, proxy=proxy))
    assert type(error) is ConnectError
    assert str(error) == "origin.test:80: no IPv4 address, and SOCKS4 needs one"
    error = failure(Route("http", "fd00::1", 80, proxy=proxy))
    assert type(error) is RequestError
    assert str(error) == "SOCKS4 has no IPv6, and [fd00::1]:80 is an IPv6 address; use socks5://"


def test_name_that_cannot_be_sent_is_rejected():
    name = "x" * 63 + "." + "y" * 63 + ".z"
    with ScriptedServer(lambda peer: peer.read_to_end()) as server:
        error = failure(route_through("socks5h", server, name))
        assert type(error) is RequestError
        assert "more than 127 characters" in str(error)
    with ScriptedServer(conversation(NO_AUTH, b"\x05\x00")) as server:
        assert isinstance(failure(route_through("socks5h", server, "two..dots.test")), InvalidUrl)


def test_C05_addresses_looked_up_on_this_machine_are_checked(resolves):
    resolves("10.0.0.1")
    checked: list[str] = []

    def check(ip: object) -> bool:
        checked.append(str(ip))
        return False

    proxy = Proxy("socks5://127.0.0.1", check_address=bool)
    error = failure(Route("http", "o.test", 80, proxy=proxy, network=Network(address_check=check)))
    assert type(error) is ConnectError
    assert str(error) == "o.test:80: check_address= forbids 10.0.0.1"
    assert checked == ["10.0.0.1"]


# Timeouts


def drip(peer: Peer) -> None:
    peer.read_exactly(3)
    peer.send(b"\x05\x00")
    peer.read_exactly(5 + len(ORIGIN) - 2)
    peer.send(b"\x05\x00\x00\x03\xff")
    while not peer.closed_by_client:
        peer.send(b"x")
        peer.pause(0.05)


@pytest.mark.parametrize("script", [Peer.read_to_end, drip])
def test_W13_connect_timeout_includes_the_reply_of_the_proxy(script):
    with ScriptedServer(script) as server:
        error = failure(route_through("socks5h", server), Timeout(connect=0.5))
        assert type(error) is ConnectTimeout
        assert str(error) == (
            f"origin.test:443: still waiting for the proxy {V4}:{server.port} when the 0.5 s of "
            "Timeout.connect were over"
        )


def test_W13_total_timeout_includes_the_reply_of_the_proxy():
    with ScriptedServer(drip) as server:
        error = failure(route_through("socks5h", server), Timeout(connect=None, total=0.5))
    assert type(error) is TotalTimeout


def test_W13_timeout_right_after_the_reply_leaves_nothing_open(monkeypatch):
    def open_and_wait(*arguments: Any) -> socket.socket:
        sock = open_socks_tunnel(*arguments)
        seconds_left = arguments[-1]
        with suppress(TimeoutError):
            while seconds_left():
                time.sleep(0.01)
        return sock

    monkeypatch.setattr("restkit.network.dial.open_socks_tunnel", open_and_wait)
    turns = (NO_AUTH, b"\x05\x00", b"\x05\x01\x00" + ORIGIN, GRANTED)
    with ScriptedServer(conversation(*turns)) as server:
        error = failure(route_through("socks5h", server), Timeout(connect=0.5))
    assert type(error) is ConnectTimeout


def test_without_any_timeout_the_socket_has_none():
    turns = (NO_AUTH, b"\x05\x00", b"\x05\x01\x00" + ORIGIN, GRANTED)
    with ScriptedServer(conversation(*turns, then=greet)) as server:
        with dial(route_through("socks5h", server), clock(Timeout(None, None, None))).sock as sock:
            assert sock.gettimeout() is None


# The real one


@pytest.mark.parametrize("scheme", ["socks5", "socks5h"])
def test_microsocks_with_and_without_credentials(scheme, microsocks, open_microsocks):
    with ScriptedServer(greet) as server:
        for proxy in (microsocks, open_microsocks):
            for host in ("localhost", V4):
                route = Route("http", host, server.port, proxy=Proxy(f"{scheme}://{proxy.where}"))
                assert_greeted(route)


def test_microsocks_requires_credentials(microsocks):
    where = f"{V4}:{microsocks.port}"
    for user, message in (
        ("", "requires a user name and a password: give socks5h://user:password@..."),
        (f"{USER}:closed@", "did not accept the user name and the password"),
    ):
        error = failure(Route("http", V4, 80, proxy=Proxy(f"socks5h://{user}{where}")))
        assert str(error) == f"the proxy {where} {message}"


def test_microsocks_cannot_reach_the_host(open_microsocks):
    where = open_microsocks.where
    with refusing() as port:
        error = failure(Route("http", V4, port, proxy=Proxy(f"socks5h://{where}")))
    assert str(error) == (
        f"the proxy {where} could not connect to {V4}:{port}: Connection refused (0x05)"
    )
