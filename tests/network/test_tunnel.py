"""Tunnels through HTTP proxies: the request, every kind of failed response, and who is at fault."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Callable
from contextlib import ExitStack

import pytest

from restkit._version import __version__
from restkit.errors import (
    ConnectTimeout,
    Error,
    ProxyError,
    RequestError,
    ResponseError,
    TLSError,
    TotalTimeout,
)
from restkit.network.dial import Dialed, dial
from restkit.network.options import Network, TLSOptions
from restkit.network.proxy import Proxy
from restkit.network.route import Route
from restkit.timeouts import Timeout
from support import ClientGone, ScriptedServer, refusing, unanswering
from support.dialing import clock, failure
from support.peer import HANG_BOUND, Peer

V4 = "127.0.0.1"
OPEN = b"HTTP/1.1 200 Connection established\r\n\r\n"
GREETING = b"the origin"
CREDENTIALS = "aladdin:open%20sesame@"


def route_through(
    proxy: Proxy, host: str = "origin.test", port: int = 443, **options: object
) -> Route:
    return Route("https", host, port, proxy=proxy, **options)


def respond_with(*responses: bytes) -> Callable[[Peer], None]:
    """Return a script: read a CONNECT, send these bytes, wait for the end of the client."""

    def script(peer: Peer) -> None:
        peer.read_head()
        peer.send(*responses)
        peer.read_to_end()

    return script


def tunnel_to(context: ssl.SSLContext, *before: bytes) -> Callable[[Peer], None]:
    """Return the script of a proxy that is the origin too."""

    def script(peer: Peer) -> None:
        peer.read_head()
        peer.send(*before or (OPEN,))
        try:
            peer.secure(context)
        except ssl.SSLError as refused:
            raise ClientGone("the client rejected the certificate") from refused
        peer.send(GREETING)
        peer.read_to_end()

    return script


def refusal_of(*responses: bytes, user: str = "") -> Error:
    """Return the error of a dial with these responses; PROXY stands for the address."""
    with ScriptedServer(respond_with(*responses)) as server:
        error = failure(route_through(Proxy(f"http://{user}{V4}:{server.port}")))
    error.message = error.message.replace(f"{V4}:{server.port}", "PROXY")
    return error


# The tunnel


def test_tunnel_is_opened_and_the_origin_verified_through_it(certs):
    with ScriptedServer(tunnel_to(certs.server)) as server:
        proxy = Proxy(f"http://{CREDENTIALS}{V4}:{server.port}", headers={"X-Team": "blue"})
        route = route_through(proxy, "localhost", 8443, tls=TLSOptions(str(certs.ca_file)))
        before = time.perf_counter()
        with dial(route, clock()).sock as sock:
            assert isinstance(sock, ssl.SSLSocket)
            assert sock.recv(100) == GREETING
            assert 0 < sock.gettimeout() <= HANG_BOUND
        server.join()
        [wire] = server.wire
    head = wire[: wire.index(b"\r\n\r\n") + 4]
    assert head == (
        b"CONNECT localhost:8443 HTTP/1.1\r\n"
        b"Host: localhost:8443\r\n"
        b"User-Agent: restkit/" + __version__.encode() + b"\r\n"
        b"Proxy-Authorization: Basic YWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n"
        b"X-Team: blue\r\n"
        b"\r\n"
    )
    assert before < time.perf_counter()


def test_times_are_of_the_proxy_tcp_and_the_origin_tls(certs):
    with ScriptedServer(tunnel_to(certs.server)) as server:
        proxy = Proxy(f"http://{V4}:{server.port}")
        before = time.perf_counter()
        dialed = dial(
            route_through(proxy, "localhost", tls=TLSOptions(str(certs.ca_file))), clock()
        )
        dialed.sock.close()
        assert before < dialed.connected < dialed.secured < time.perf_counter()


@pytest.mark.parametrize(
    ("host", "authority"),
    [
        ("::1", b"[::1]:443"),
        ("fe80::1%eth0", b"[fe80::1]:443"),  # a zone belongs to this machine
        ("origin.test.", b"origin.test.:443"),
        ("10.0.0.1", b"10.0.0.1:443"),
    ],
)
def test_connect_target_is_written_for_the_proxy(host, authority):
    with ScriptedServer(respond_with(b"HTTP/1.1 403 Forbidden\r\n\r\n")) as server:
        failure(route_through(Proxy(f"http://{V4}:{server.port}"), host))
        server.join()
        [wire] = server.wire
    assert wire.startswith(b"CONNECT %b HTTP/1.1\r\nHost: %b\r\n" % (authority, authority))


def test_given_headers_replace_the_defaults():
    with ScriptedServer(respond_with(b"HTTP/1.1 403 Forbidden\r\n\r\n")) as server:
        headers = [("user-agent", "robot"), ("X-A", "1"), ("X-A", "2")]
        failure(route_through(Proxy(f"http://{V4}:{server.port}", headers=headers)))
        server.join()
        [wire] = server.wire
    assert wire == (
        b"CONNECT origin.test:443 HTTP/1.1\r\nHost: origin.test:443\r\n"
        b"user-agent: robot\r\nX-A: 1\r\nX-A: 2\r\n\r\n"
    )


@pytest.mark.parametrize(
    "answer",
    [
        (b"HTTP/1.0 200\r\n\r\n",),
        (b"HTTP/1.1 299 Why not\r\nContent-Length: 10\r\nTransfer-Encoding: chunked\r\n\r\n",),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 On it\r\nA: b\r\n\r\n", OPEN),
        tuple(OPEN[at : at + 1] for at in range(len(OPEN))),
    ],
)
def test_any_2xx_opens_the_tunnel_however_it_arrives(answer, certs):
    with ScriptedServer(tunnel_to(certs.server, *answer)) as server:
        route = route_through(
            Proxy(f"{V4}:{server.port}"), "localhost", tls=TLSOptions(str(certs.ca_file))
        )
        with dial(route, clock()).sock as sock:
            assert sock.recv(100) == GREETING


# Failed responses


def test_refusal_names_proxy_status_and_reason():
    error = refusal_of(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 4\r\n\r\nno!!")
    assert type(error) is ProxyError
    assert str(error) == "the proxy PROXY refused a tunnel to origin.test:443: 403 Forbidden"


def test_refusal_with_an_invalid_body_is_a_refusal():
    error = refusal_of(b"HTTP/1.1 403 No\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n")
    assert str(error).endswith(": 403 No")


def test_refusal_may_lack_a_reason():
    assert str(refusal_of(b"HTTP/1.1 502\r\n\r\n")).endswith("to origin.test:443: 502")


@pytest.mark.parametrize("status", [b"101 Switching", b"302 Found", b"500 Oh"])
def test_only_2xx_opens_a_tunnel(status):
    error = refusal_of(b"HTTP/1.1 %b\r\nLocation: https://evil.test\r\n\r\n" % status)
    assert str(error).endswith(f": {status.decode()}")


def test_407_error_asks_for_credentials():
    error = refusal_of(b"HTTP/1.1 407 Who?\r\nProxy-Authenticate: Basic realm=x\r\n\r\n")
    assert str(error) == (
        "the proxy PROXY refused a tunnel to origin.test:443: 407 Who?; "
        "it requires a user name and a password: give http://user:password@..."
    )


def test_407_error_says_that_the_credentials_were_rejected():
    error = refusal_of(b"HTTP/1.1 407 Who?\r\n\r\n", user=CREDENTIALS)
    assert str(error) == (
        "the proxy PROXY refused a tunnel to origin.test:443: 407 Who?; "
        "it did not accept the user name and the password"
    )


def test_reason_is_shown_short_and_without_control_characters():
    error = refusal_of(b"HTTP/1.1 403 \x1b[31m" + b"x" * 1000 + b"\r\n\r\n")
    assert str(error).endswith(": 403 ?[31m" + "x" * 95)


def test_bytes_after_the_response_are_an_error():
    error = refusal_of(OPEN + b"HTTP/1.1")
    assert str(error) == (
        "the proxy PROXY sent 8 bytes after its 200 for a tunnel to origin.test:443, "
        "before the origin could have sent any"
    )


def test_plain_bytes_after_the_client_hello_are_a_tls_error():
    def script(peer: Peer) -> None:
        peer.read_head()
        peer.send(OPEN)
        peer.read_some()
        peer.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        peer.read_to_end()

    with ScriptedServer(script) as server:
        error = failure(route_through(Proxy(f"{V4}:{server.port}")))
    assert type(error) is TLSError
    assert str(error).startswith("origin.test:443: the TLS handshake failed: ")


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (b"SSH-2.0-OpenSSH_9\r\n", "the response begins with 'SSH-2.0-OpenSSH_9'"),
        (b"HTTP/1.1 200 OK\nA: b\rc\n\n", "line 2 of the head has a bare CR"),
        (b"HTTP/1.1 200 OK\r\nA : b\r\n\r\n", "line 2 of the head has a space before its colon"),
        (b"HTTP/1.1 200 OK\r\nA: " + b"b" * 270_000, "longer than 262144 bytes"),
        (b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 1001, "more than 1000 field lines"),
        (OPEN.replace(b"200", b"103") * 50, "more than 32 interim responses"),
    ],
)
def test_invalid_response_is_a_proxy_error(answer, why):
    error = refusal_of(answer)
    assert type(error) is ProxyError
    assert str(error).startswith(
        "the proxy PROXY sent no valid HTTP response to the request for a tunnel to "
        "origin.test:443: "
    )
    assert why in str(error)


def test_close_without_a_response_is_a_proxy_error():
    with ScriptedServer(lambda peer: peer.read_head()) as server:
        error = failure(route_through(Proxy(f"{V4}:{server.port}")))
    assert type(error) is ProxyError
    assert str(error) == (
        f"the proxy {V4}:{server.port} closed the connection during the request for a tunnel to "
        "origin.test:443"
    )


def test_reset_without_a_response_is_a_proxy_error():
    def script(peer: Peer) -> None:
        peer.read_head()
        peer.reset()

    with ScriptedServer(script) as server:
        error = failure(route_through(Proxy(f"{V4}:{server.port}")))
    assert type(error) is ProxyError
    assert str(error) == (
        f"the proxy {V4}:{server.port} dropped the connection during the request for a tunnel "
        "to origin.test:443: Connection reset by peer"
    )
    assert isinstance(error.__cause__, ConnectionResetError)


# Proxies that cannot be reached


def test_refused_connection_is_a_proxy_error():
    with refusing() as port:
        error = failure(route_through(Proxy(f"{V4}:{port}")))
    assert type(error) is ProxyError
    assert str(error) == f"cannot connect to the proxy {V4}:{port}: Connection refused"
    assert isinstance(error.__cause__, ConnectionRefusedError)


def test_unknown_name_of_a_proxy_is_a_proxy_error(monkeypatch):
    def getaddrinfo(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    error = failure(route_through(Proxy("proxy.test:3128")))
    assert type(error) is ProxyError
    assert str(error) == (
        "the proxy proxy.test:3128: no address for this name: Name or service not known"
    )


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize(
    ("kind", "why"),
    [
        ("expired", "its certificate has expired, by this machine's clock"),
        ("wrong_host", "its certificate is for elsewhere.example, not for localhost"),
        ("stranger", "its certificate was issued by an authority that is not trusted (only "),
    ],
)
def test_certificate_of_the_proxy_is_verified_by_its_own_options(kind, why, scheme, certs):
    with ScriptedServer(respond_with(OPEN), ssl_context=getattr(certs, kind)) as server:
        proxy = Proxy(f"https://localhost:{server.port}", verify=certs.ca_file)
        # The options of the origin trust any server, which must not affect the proxy.
        anybody = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        anybody.check_hostname, anybody.verify_mode = False, ssl.CERT_NONE
        error = failure(Route(scheme, "origin.test", 443, TLSOptions(context=anybody), proxy))
    assert type(error) is ProxyError
    assert str(error).startswith(f"the proxy localhost:{server.port}: {why}")
    assert isinstance(error.__cause__, ssl.SSLCertVerificationError)


def test_https_proxy_without_tls_is_a_proxy_error():
    with ScriptedServer(lambda peer: (peer.read_some(), peer.send(OPEN))) as server:
        error = failure(route_through(Proxy(f"https://localhost:{server.port}")))
    assert type(error) is ProxyError
    assert str(error) == (
        f"the proxy localhost:{server.port}: the TLS handshake failed: wrong version number; "
        "the server does not seem to use TLS: should the URL begin with http://?"
    )


def test_proxy_may_require_a_client_certificate(certs):
    with ScriptedServer(respond_with(OPEN), ssl_context=certs.asks_client) as server:
        url = f"https://localhost:{server.port}"
        error = failure(route_through(Proxy(url, verify=certs.ca_file)))
        own = Proxy(url, verify=certs.ca_file, cert=str(certs.client_file))
        with dial(Route("http", "origin.test", 80, proxy=own), clock()).sock as sock:
            sock.sendall(b"GET http://origin.test/ HTTP/1.1\r\n\r\n")
            assert sock.recv(100) == OPEN
    assert type(error) is ProxyError
    # With TLS 1.3 the alert arrives after the request was sent.
    assert str(error).startswith(f"the proxy localhost:{server.port} dropped the connection during")


def test_invalid_certificate_of_the_origin_is_a_tls_error(certs):
    with ScriptedServer(tunnel_to(certs.expired)) as server:
        proxy = Proxy(f"{V4}:{server.port}")
        error = failure(route_through(proxy, "localhost", tls=TLSOptions(str(certs.ca_file))))
    assert type(error) is TLSError
    assert str(error) == ("localhost:443: its certificate has expired, by this machine's clock")


def test_C05_addresses_of_the_proxy_are_checked(resolving):
    checked: list[str] = []

    def check(ip: object) -> bool:
        checked.append(str(ip))
        return False

    resolving("10.0.0.1", "fd00::1")
    error = failure(route_through(Proxy("proxy.test:3128", check_address=check)))
    assert type(error) is ProxyError
    assert str(error) == "the proxy proxy.test:3128: check_address= forbids 10.0.0.1, fd00::1"
    assert checked == ["10.0.0.1", "fd00::1"]


@pytest.fixture
def resolving(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    def resolve_to(*addresses: str) -> None:
        def getaddrinfo(host: str, port: int, *_: object, **__: object) -> list[object]:
            kind = (socket.SOCK_STREAM, socket.IPPROTO_TCP, "")
            return [
                (socket.AF_INET6, *kind, (address, port, 0, 0))
                if ":" in address
                else (socket.AF_INET, *kind, (address, port))
                for address in addresses
            ]

        monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)

    return resolve_to


def test_socket_options_apply_to_the_proxy_connection():
    with socket.socket() as free:
        free.bind((V4, 0))
        source = free.getsockname()
    option = (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    network = Network(source_address=source, socket_options=(option,))
    with ScriptedServer(lambda peer: peer.read_to_end()) as server:
        proxy = Proxy(f"{V4}:{server.port}")
        with dial(Route("http", "o.test", 80, proxy=proxy, network=network), clock()).sock as sock:
            assert sock.getsockname() == source
            assert sock.getsockopt(*option[:2])
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


# Forwarded requests


def dialed(route: Route) -> Dialed:
    return dial(route, clock())


def test_plain_origin_gets_a_connection_to_the_proxy_without_a_tunnel():
    with ScriptedServer(lambda peer: peer.read_to_end()) as server:
        proxy = Proxy(f"{V4}:{server.port}")
        connection = dialed(Route("http", "origin.test", 80, proxy=proxy))
        with connection.sock as sock:
            assert sock.getpeername() == (V4, server.port)
            assert connection.secured is None
        server.join()
        assert server.wire == [b""]


def test_https_proxy_uses_tls_for_a_plain_origin(certs):
    with ScriptedServer(lambda peer: peer.read_to_end(), ssl_context=certs.server) as server:
        proxy = Proxy(f"https://localhost:{server.port}", verify=certs.ca_file)
        connection = dialed(Route("http", "origin.test", 80, proxy=proxy))
        with connection.sock as sock:
            assert isinstance(sock, ssl.SSLSocket)
            assert connection.secured > connection.connected


# Timeouts


def drip(peer: Peer) -> None:
    peer.read_head()
    peer.send(b"HTTP/1.1 200 OK\r\nX: ")
    while not peer.closed_by_client:
        peer.send(b"x")
        peer.pause(0.02)


@pytest.mark.parametrize("script", [respond_with(), drip])
def test_W13_connect_timeout_includes_the_reply_of_the_proxy(script):
    with ScriptedServer(script) as server:
        error = failure(route_through(Proxy(f"{V4}:{server.port}")), Timeout(connect=0.4))
    assert type(error) is ConnectTimeout
    assert str(error) == (
        f"origin.test:443: still waiting for the proxy {V4}:{server.port} when the 0.4 s of "
        "Timeout.connect were over"
    )


def test_W13_connect_timeout_covers_all_hops(certs):
    # Each step takes less than the timeout; together they take more.
    def script(peer: Peer) -> None:
        peer.pause(0.3)
        peer.secure(certs.server)
        peer.read_head()
        peer.pause(0.3)
        peer.send(OPEN)
        peer.read_to_end()

    with ScriptedServer(script) as server:
        proxy = Proxy(f"https://localhost:{server.port}", verify=certs.ca_file)
        error = failure(route_through(proxy), Timeout(connect=1.2))
    assert type(error) is ConnectTimeout
    assert str(error) == (
        "origin.test:443: still in the TLS handshake when the 1.2 s of Timeout.connect were over"
    )


def test_W13_total_timeout_includes_the_reply_of_the_proxy():
    with ScriptedServer(drip) as server:
        route = route_through(Proxy(f"{V4}:{server.port}"))
        error = failure(route, Timeout(connect=None, total=0.4))
        assert type(error) is TotalTimeout
        assert str(error) == (
            f"origin.test: still waiting for the proxy {V4}:{server.port} when the 0.4 s of "
            "Timeout.total were over"
        )


def test_W13_error_names_a_silent_proxy():
    with unanswering() as port:
        error = failure(route_through(Proxy(f"{V4}:{port}")), Timeout(connect=0.3))
    assert type(error) is ConnectTimeout
    assert str(error) == (
        f"the proxy {V4}:{port}: still connecting when the 0.3 s of Timeout.connect were over: "
        "no response"
    )


def test_W13_error_names_a_proxy_that_is_silent_in_its_handshake():
    with ScriptedServer(lambda peer: peer.read_to_end()) as server:
        error = failure(
            route_through(Proxy(f"https://localhost:{server.port}")), Timeout(connect=0.4)
        )
    assert type(error) is ConnectTimeout
    assert str(error) == (
        f"the proxy localhost:{server.port}: still in the TLS handshake when the 0.4 s of "
        "Timeout.connect were over"
    )


def test_W13_total_timeout_names_the_proxy():
    total = Timeout(connect=None, total=0.3)
    with unanswering() as port:
        error = failure(route_through(Proxy(f"{V4}:{port}")), total)
    assert type(error) is TotalTimeout
    assert str(error) == (
        f"origin.test: still connecting to the proxy {V4}:{port} when the 0.3 s of Timeout.total "
        "were over"
    )
    with ScriptedServer(lambda peer: peer.read_to_end()) as server:
        error = failure(route_through(Proxy(f"https://localhost:{server.port}")), total)
    assert type(error) is TotalTimeout
    assert str(error) == (
        f"origin.test: still in the TLS handshake with the proxy localhost:{server.port} when the "
        "0.3 s of Timeout.total were over"
    )


def test_W18_addresses_of_a_proxy_race(monkeypatch):
    with ExitStack() as stack:
        dead = stack.enter_context(unanswering("::1"))
        server = stack.enter_context(ScriptedServer(lambda peer: peer.read_to_end()))
        kind = (socket.SOCK_STREAM, socket.IPPROTO_TCP, "")
        found = [
            (socket.AF_INET6, *kind, ("::1", dead, 0, 0)),
            (socket.AF_INET, *kind, (V4, server.port)),
        ]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
        proxy = Proxy("proxy.test:3128")
        with dialed(Route("http", "origin.test", 80, proxy=proxy)).sock as sock:
            assert sock.getpeername() == (V4, server.port)


# Real proxies


@pytest.mark.parametrize("wrong", [False, True])
def test_tinyproxy_requires_credentials(wrong, tinyproxy):
    user = "aladdin:open%20sesame@" if wrong else ""
    error = failure(route_through(Proxy(f"http://{user}{V4}:{tinyproxy.port}"), "localhost"))
    message = str(error).partition(f"the proxy {V4}:{tinyproxy.port} ")[2]
    # tinyproxy has its own status for wrong credentials.
    assert message == (
        "refused a tunnel to localhost:443: 401 Unauthorized"
        if wrong
        else "refused a tunnel to localhost:443: 407 Proxy Authentication Required; "
        "it requires a user name and a password: give http://user:password@..."
    )


def test_tinyproxy_cannot_reach_the_origin(tinyproxy):
    with refusing() as port:
        error = failure(route_through(Proxy(tinyproxy.url), V4, port))
    assert str(error).endswith(f"refused a tunnel to {V4}:{port}: 500 Unable to connect")


@pytest.mark.parametrize("secure", [False, True])
def test_squid_requires_credentials(secure, squid, certs):
    port = squid.tls_port if secure else squid.port
    scheme = "https" if secure else "http"
    for user, why in (
        ("", f"it requires a user name and a password: give {scheme}://user:password@..."),
        ("aladdin:closed@", "it did not accept the user name and the password"),
    ):
        proxy = Proxy(f"{scheme}://{user}localhost:{port}", verify=certs.ca_file)
        error = failure(route_through(proxy, "localhost"))
        assert type(error) is ProxyError
        assert str(error) == (
            f"the proxy localhost:{port} refused a tunnel to localhost:443: "
            f"407 Proxy Authentication Required; {why}"
        )


def test_squid_cannot_reach_the_origin(squid):
    with refusing() as port:
        error = failure(route_through(Proxy(squid.url), V4, port))
    assert str(error).endswith(f"refused a tunnel to {V4}:{port}: 503 Service Unavailable")


def test_unusable_options_of_the_proxy_are_a_request_error(tmp_path):
    proxy = Proxy("https://proxy.test", verify=tmp_path / "none.pem")
    error = failure(route_through(proxy))
    assert type(error) is RequestError
    assert "none.pem" in str(error)


def test_error_of_the_parser_is_the_cause():
    assert isinstance(refusal_of(b"nonsense\r\n\r\n").__cause__, ResponseError)
