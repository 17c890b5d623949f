"""Ways through HTTP proxies: what is asked, every answer that is none, and who is to blame."""

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
from restkit.timeouts import Timeout
from restkit.wire.dial import Dialed, dial
from restkit.wire.proxy import Proxy
from restkit.wire.route import Network, Route
from restkit.wire.tls import TLSOptions
from support import ClientGone, ScriptedServer, refusing, unanswering
from support.dialing import clock, failure
from support.peer import HANG_BOUND, Peer

V4 = "127.0.0.1"
OPEN = b"HTTP/1.1 200 Connection established\r\n\r\n"
GREETING = b"the origin"
CREDENTIALS = "aladdin:open%20sesame@"


def by(proxy: Proxy, host: str = "origin.test", port: int = 443, **options: object) -> Route:
    return Route("https", host, port, proxy=proxy, **options)


def answering(*answers: bytes) -> Callable[[Peer], None]:
    """A proxy that reads a CONNECT, sends this, and then waits for the client to go."""

    def script(peer: Peer) -> None:
        peer.read_head()
        peer.send(*answers)
        peer.read_to_end()

    return script


def tunnel_to(context: ssl.SSLContext, *before: bytes) -> Callable[[Peer], None]:
    """A proxy that is the origin, too."""

    def script(peer: Peer) -> None:
        peer.read_head()
        peer.send(*before or (OPEN,))
        try:
            peer.secure(context)
        except ssl.SSLError as refused:
            raise ClientGone("the client did not like the certificate") from refused
        peer.send(GREETING)
        peer.read_to_end()

    return script


def refusal_of(*answers: bytes, user: str = "") -> Error:
    """What a proxy that answers this makes of a dial; its address is written PROXY."""
    with ScriptedServer(answering(*answers)) as server:
        error = failure(by(Proxy(f"http://{user}{V4}:{server.port}")))
    error.message = error.message.replace(f"{V4}:{server.port}", "PROXY")
    return error


# The way through


def test_a_tunnel_is_asked_for_and_the_origin_verified_within_it(certs):
    with ScriptedServer(tunnel_to(certs.server)) as server:
        proxy = Proxy(f"http://{CREDENTIALS}{V4}:{server.port}", headers={"X-Team": "blue"})
        route = by(proxy, "localhost", 8443, tls=TLSOptions(str(certs.ca_file)))
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


def test_times_are_those_of_the_proxy_s_tcp_and_the_origin_s_tls(certs):
    with ScriptedServer(tunnel_to(certs.server)) as server:
        proxy = Proxy(f"http://{V4}:{server.port}")
        before = time.perf_counter()
        dialed = dial(by(proxy, "localhost", tls=TLSOptions(str(certs.ca_file))), clock())
        dialed.sock.close()
        assert before < dialed.connected < dialed.secured < time.perf_counter()


@pytest.mark.parametrize(
    ("host", "authority"),
    [
        ("::1", b"[::1]:443"),
        ("fe80::1%eth0", b"[fe80::1]:443"),  # the zone is this machine's, and not the proxy's
        ("origin.test.", b"origin.test.:443"),
        ("10.0.0.1", b"10.0.0.1:443"),
    ],
)
def test_the_origin_is_named_as_the_proxy_can_understand_it(host, authority):
    with ScriptedServer(answering(b"HTTP/1.1 403 Forbidden\r\n\r\n")) as server:
        failure(by(Proxy(f"http://{V4}:{server.port}"), host))
        server.join()
        [wire] = server.wire
    assert wire.startswith(b"CONNECT %b HTTP/1.1\r\nHost: %b\r\n" % (authority, authority))


def test_fields_of_the_caller_take_the_place_of_ours():
    with ScriptedServer(answering(b"HTTP/1.1 403 Forbidden\r\n\r\n")) as server:
        headers = [("user-agent", "robot"), ("X-A", "1"), ("X-A", "2")]
        failure(by(Proxy(f"http://{V4}:{server.port}", headers=headers)))
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
        route = by(Proxy(f"{V4}:{server.port}"), "localhost", tls=TLSOptions(str(certs.ca_file)))
        with dial(route, clock()).sock as sock:
            assert sock.recv(100) == GREETING


# Answers that are none


def test_a_refusal_names_the_hop_the_status_and_the_reason():
    error = refusal_of(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 4\r\n\r\nno!!")
    assert type(error) is ProxyError
    assert str(error) == "the proxy PROXY refused a tunnel to origin.test:443: 403 Forbidden"


def test_a_refusal_is_one_whatever_is_wrong_with_its_body():
    error = refusal_of(b"HTTP/1.1 403 No\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n")
    assert str(error).endswith(": 403 No")


def test_a_refusal_may_lack_a_reason():
    assert str(refusal_of(b"HTTP/1.1 502\r\n\r\n")).endswith("to origin.test:443: 502")


@pytest.mark.parametrize("status", [b"101 Switching", b"302 Found", b"500 Oh"])
def test_nothing_but_2xx_opens_a_tunnel(status):
    error = refusal_of(b"HTTP/1.1 %b\r\nLocation: https://evil.test\r\n\r\n" % status)
    assert str(error).endswith(f": {status.decode()}")


def test_a_407_says_that_credentials_are_wanted():
    error = refusal_of(b"HTTP/1.1 407 Who?\r\nProxy-Authenticate: Basic realm=x\r\n\r\n")
    assert str(error) == (
        "the proxy PROXY refused a tunnel to origin.test:443: 407 Who?; "
        "it wants a user name and a password: http://user:password@"
    )


def test_a_407_says_that_those_given_are_not_the_ones():
    error = refusal_of(b"HTTP/1.1 407 Who?\r\n\r\n", user=CREDENTIALS)
    assert str(error) == (
        "the proxy PROXY refused a tunnel to origin.test:443: 407 Who?; "
        "it did not accept the user name and the password"
    )


def test_a_reason_is_shown_without_what_a_terminal_would_obey_and_not_at_length():
    error = refusal_of(b"HTTP/1.1 403 \x1b[31m" + b"x" * 1000 + b"\r\n\r\n")
    assert str(error).endswith(": 403 ?[31m" + "x" * 95)


def test_bytes_behind_the_answer_are_not_taken_for_the_origin_s():
    error = refusal_of(OPEN + b"HTTP/1.1")
    assert str(error) == (
        "the proxy PROXY sent 8 bytes behind its 200 for a tunnel to origin.test:443, "
        "where the origin had nothing to say yet"
    )


def test_bytes_that_come_later_are_no_tls():
    def script(peer: Peer) -> None:
        peer.read_head()
        peer.send(OPEN)
        peer.read_some()
        peer.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        peer.read_to_end()

    with ScriptedServer(script) as server:
        error = failure(by(Proxy(f"{V4}:{server.port}")))
    assert type(error) is TLSError
    assert str(error).startswith("origin.test:443: the TLS handshake failed: ")


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (b"SSH-2.0-OpenSSH_9\r\n", "the answer begins with 'SSH-2.0-OpenSSH_9'"),
        (b"HTTP/1.1 200 OK\nA: b\n\n", "the answer begins with"),
        (b"HTTP/1.1 200 OK\r\nA : b\r\n\r\n", "line 2 of the head has a space before its colon"),
        (b"HTTP/1.1 200 OK\r\nA: " + b"b" * 70_000, "longer than 65536 bytes"),
        (b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 300, "more than 256 lines"),
        (OPEN.replace(b"200", b"103") * 50, "more than 32 interim answers"),
    ],
)
def test_what_is_no_answer_of_http_is_the_proxy_s_fault(answer, why):
    error = refusal_of(answer)
    assert type(error) is ProxyError
    assert str(error).startswith(
        "the proxy PROXY gave no HTTP answer when it was asked for a tunnel to origin.test:443: "
    )
    assert why in str(error)


def test_a_proxy_may_close_instead_of_answering():
    with ScriptedServer(lambda peer: peer.read_head()) as server:
        error = failure(by(Proxy(f"{V4}:{server.port}")))
    assert type(error) is ProxyError
    assert str(error) == (
        f"the proxy {V4}:{server.port} closed the connection when it was asked for a tunnel to "
        "origin.test:443"
    )


def test_a_proxy_may_reset_instead_of_answering():
    def script(peer: Peer) -> None:
        peer.read_head()
        peer.reset()

    with ScriptedServer(script) as server:
        error = failure(by(Proxy(f"{V4}:{server.port}")))
    assert type(error) is ProxyError
    assert str(error) == (
        f"the proxy {V4}:{server.port} broke the connection off when it was asked for a tunnel "
        "to origin.test:443: Connection reset by peer"
    )
    assert isinstance(error.__cause__, ConnectionResetError)


# The proxy that cannot be reached


def test_a_proxy_that_refuses_the_connection():
    with refusing() as port:
        error = failure(by(Proxy(f"{V4}:{port}")))
    assert type(error) is ProxyError
    assert str(error) == f"cannot connect to the proxy {V4}:{port}: Connection refused"
    assert isinstance(error.__cause__, ConnectionRefusedError)


def test_a_proxy_whose_name_nobody_knows(monkeypatch):
    def getaddrinfo(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    error = failure(by(Proxy("proxy.test:3128")))
    assert type(error) is ProxyError
    assert str(error) == (
        "the proxy proxy.test:3128: no address for this name: Name or service not known"
    )


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize(
    ("kind", "why"),
    [
        ("expired", "its certificate has expired, by this machine's clock"),
        ("wrong_host", "its certificate is for elsewhere.example, and not for localhost"),
        ("stranger", "its certificate was issued by an authority that is not trusted (trusted is"),
    ],
)
def test_the_certificate_of_the_proxy_is_verified_as_its_own_options_say(kind, why, scheme, certs):
    with ScriptedServer(answering(OPEN), ssl_context=getattr(certs, kind)) as server:
        proxy = Proxy(f"https://localhost:{server.port}", verify=certs.ca_file)
        # The origin's options trust anybody: that is nothing to the proxy.
        anybody = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        anybody.check_hostname, anybody.verify_mode = False, ssl.CERT_NONE
        error = failure(Route(scheme, "origin.test", 443, TLSOptions(context=anybody), proxy))
    assert type(error) is ProxyError
    assert str(error).startswith(f"the proxy localhost:{server.port}: {why}")
    assert isinstance(error.__cause__, ssl.SSLCertVerificationError)


def test_a_proxy_without_tls_where_tls_was_promised():
    with ScriptedServer(lambda peer: (peer.read_some(), peer.send(OPEN))) as server:
        error = failure(by(Proxy(f"https://localhost:{server.port}")))
    assert type(error) is ProxyError
    assert str(error) == (
        f"the proxy localhost:{server.port}: the TLS handshake failed: wrong version number; "
        "no TLS seems to be spoken there: should the URL begin with http://?"
    )


def test_a_proxy_that_wants_a_certificate_of_ours(certs):
    with ScriptedServer(answering(OPEN), ssl_context=certs.asks_client) as server:
        url = f"https://localhost:{server.port}"
        error = failure(by(Proxy(url, verify=certs.ca_file)))
        own = Proxy(url, verify=certs.ca_file, cert=str(certs.client_file))
        with dial(Route("http", "origin.test", 80, proxy=own), clock()).sock as sock:
            sock.sendall(b"GET http://origin.test/ HTTP/1.1\r\n\r\n")
            assert sock.recv(100) == OPEN
    assert type(error) is ProxyError
    # With TLS 1.3 it says so when it is asked already.
    assert str(error).startswith(f"the proxy localhost:{server.port} broke the connection off when")


def test_the_origin_s_certificate_is_the_origin_s_fault(certs):
    with ScriptedServer(tunnel_to(certs.expired)) as server:
        proxy = Proxy(f"{V4}:{server.port}")
        error = failure(by(proxy, "localhost", tls=TLSOptions(str(certs.ca_file))))
    assert type(error) is TLSError
    assert str(error) == ("localhost:443: its certificate has expired, by this machine's clock")


def test_C05_the_check_of_the_proxy_s_addresses(resolving):
    asked: list[str] = []

    def check(ip: object) -> bool:
        asked.append(str(ip))
        return False

    resolving("10.0.0.1", "fd00::1")
    error = failure(by(Proxy("proxy.test:3128", check_address=check)))
    assert type(error) is ProxyError
    assert str(error) == "the proxy proxy.test:3128: check_address= forbids 10.0.0.1, fd00::1"
    assert asked == ["10.0.0.1", "fd00::1"]


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


def test_how_sockets_are_opened_goes_for_the_way_to_the_proxy():
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


# Requests that are handed over


def dialed(route: Route) -> Dialed:
    return dial(route, clock())


def test_for_a_plain_origin_the_connection_leads_to_the_proxy_and_nothing_is_said():
    with ScriptedServer(lambda peer: peer.read_to_end()) as server:
        proxy = Proxy(f"{V4}:{server.port}")
        connection = dialed(Route("http", "origin.test", 80, proxy=proxy))
        with connection.sock as sock:
            assert sock.getpeername() == (V4, server.port)
            assert connection.secured is None
        server.join()
        assert server.wire == [b""]


def test_for_a_plain_origin_an_https_proxy_has_its_tls(certs):
    with ScriptedServer(lambda peer: peer.read_to_end(), ssl_context=certs.server) as server:
        proxy = Proxy(f"https://localhost:{server.port}", verify=certs.ca_file)
        connection = dialed(Route("http", "origin.test", 80, proxy=proxy))
        with connection.sock as sock:
            assert isinstance(sock, ssl.SSLSocket)
            assert connection.secured > connection.connected


# Clocks


def drip(peer: Peer) -> None:
    peer.read_head()
    peer.send(b"HTTP/1.1 200 OK\r\nX: ")
    while not peer.closed_by_client:
        peer.send(b"x")
        peer.pause(0.02)


@pytest.mark.parametrize("script", [answering(), drip])
def test_W13_the_time_for_connecting_spans_the_proxy_s_answer(script):
    with ScriptedServer(script) as server:
        error = failure(by(Proxy(f"{V4}:{server.port}")), Timeout(connect=0.4))
    assert type(error) is ConnectTimeout
    assert str(error) == (
        f"origin.test:443: still waiting for the proxy {V4}:{server.port} when the 0.4 s of "
        "Timeout.connect were over"
    )


def test_W13_the_time_for_connecting_is_one_for_all_hops(certs):
    # Each takes less than the whole; together they take more.
    def script(peer: Peer) -> None:
        peer.pause(0.3)
        peer.secure(certs.server)
        peer.read_head()
        peer.pause(0.3)
        peer.send(OPEN)
        peer.read_to_end()

    with ScriptedServer(script) as server:
        proxy = Proxy(f"https://localhost:{server.port}", verify=certs.ca_file)
        error = failure(by(proxy), Timeout(connect=1.2))
    assert type(error) is ConnectTimeout
    assert str(error) == (
        "origin.test:443: still in the TLS handshake when the 1.2 s of Timeout.connect were over"
    )


def test_W13_the_total_spans_the_proxy_s_answer():
    with ScriptedServer(drip) as server:
        route = by(Proxy(f"{V4}:{server.port}"))
        error = failure(route, Timeout(connect=None, total=0.4))
        assert type(error) is TotalTimeout
        assert str(error) == (
            f"origin.test: still waiting for the proxy {V4}:{server.port} when the 0.4 s of "
            "Timeout.total were over"
        )


def test_W13_a_proxy_that_is_silent_is_named():
    with unanswering() as port:
        error = failure(by(Proxy(f"{V4}:{port}")), Timeout(connect=0.3))
    assert type(error) is ConnectTimeout
    assert str(error) == (
        f"the proxy {V4}:{port}: still connecting when the 0.3 s of Timeout.connect were over: "
        "no answer"
    )


def test_W13_a_proxy_that_is_silent_in_its_tls_is_named():
    with ScriptedServer(lambda peer: peer.read_to_end()) as server:
        error = failure(by(Proxy(f"https://localhost:{server.port}")), Timeout(connect=0.4))
    assert type(error) is ConnectTimeout
    assert str(error) == (
        f"the proxy localhost:{server.port}: still in the TLS handshake when the 0.4 s of "
        "Timeout.connect were over"
    )


def test_W13_the_total_names_the_proxy_that_it_was_spent_on():
    total = Timeout(connect=None, total=0.3)
    with unanswering() as port:
        error = failure(by(Proxy(f"{V4}:{port}")), total)
    assert type(error) is TotalTimeout
    assert str(error) == (
        f"origin.test: still connecting to the proxy {V4}:{port} when the 0.3 s of Timeout.total "
        "were over"
    )
    with ScriptedServer(lambda peer: peer.read_to_end()) as server:
        error = failure(by(Proxy(f"https://localhost:{server.port}")), total)
    assert type(error) is TotalTimeout
    assert str(error) == (
        f"origin.test: still in the TLS handshake with the proxy localhost:{server.port} when the "
        "0.3 s of Timeout.total were over"
    )


def test_W18_the_addresses_of_a_proxy_race(monkeypatch):
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


# The real ones


@pytest.mark.parametrize("wrong", [False, True])
def test_tinyproxy_wants_credentials(wrong, tinyproxy):
    user = "aladdin:open%20sesame@" if wrong else ""
    error = failure(by(Proxy(f"http://{user}{V4}:{tinyproxy.port}"), "localhost"))
    said = str(error).partition(f"the proxy {V4}:{tinyproxy.port} ")[2]
    # It has its own idea of the status for those that are wrong.
    assert said == (
        "refused a tunnel to localhost:443: 401 Unauthorized"
        if wrong
        else "refused a tunnel to localhost:443: 407 Proxy Authentication Required; "
        "it wants a user name and a password: http://user:password@"
    )


def test_tinyproxy_cannot_reach_the_origin(tinyproxy):
    with refusing() as port:
        error = failure(by(Proxy(tinyproxy.url), V4, port))
    assert str(error).endswith(f"refused a tunnel to {V4}:{port}: 500 Unable to connect")


@pytest.mark.parametrize("secure", [False, True])
def test_squid_wants_credentials(secure, squid, certs):
    port = squid.tls_port if secure else squid.port
    scheme = "https" if secure else "http"
    for user, why in (
        ("", f"it wants a user name and a password: {scheme}://user:password@"),
        ("aladdin:closed@", "it did not accept the user name and the password"),
    ):
        proxy = Proxy(f"{scheme}://{user}localhost:{port}", verify=certs.ca_file)
        error = failure(by(proxy, "localhost"))
        assert type(error) is ProxyError
        assert str(error) == (
            f"the proxy localhost:{port} refused a tunnel to localhost:443: "
            f"407 Proxy Authentication Required; {why}"
        )


def test_squid_cannot_reach_the_origin(squid):
    with refusing() as port:
        error = failure(by(Proxy(squid.url), V4, port))
    assert str(error).endswith(f"refused a tunnel to {V4}:{port}: 503 Service Unavailable")


def test_options_of_the_proxy_that_cannot_be_used_are_a_request_error(tmp_path):
    proxy = Proxy("https://proxy.test", verify=tmp_path / "none.pem")
    error = failure(by(proxy))
    assert type(error) is RequestError
    assert "none.pem" in str(error)


def test_the_parser_s_error_is_the_cause():
    assert isinstance(refusal_of(b"nonsense\r\n\r\n").__cause__, ResponseError)
