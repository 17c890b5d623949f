"""Dialing a route: addresses, timeouts, failures, and no descriptor left open."""

from __future__ import annotations

import gc
import os
import resource
import signal
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial

import pytest

from restkit.errors import (
    ConnectError,
    ConnectTimeout,
    Error,
    InvalidUrl,
    RequestError,
    TLSError,
    TotalTimeout,
)
from restkit.network.dial import Dialed, dial
from restkit.network.options import Network, TLSOptions
from restkit.network.route import Route
from restkit.timeouts import Deadline, Timeout
from support import ScriptedServer, refusing, unanswering
from support.memory import descriptors
from support.names import resolving
from support.peer import HANG_BOUND, Peer
from support.programs import run_program
from support.waiting import until

pytestmark = pytest.mark.lowest

V4, V6 = "127.0.0.1", "::1"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
# Far longer than any dial here takes.
PATIENT = Timeout(connect=HANG_BOUND)


def make_clock(timeout: Timeout = PATIENT) -> Deadline:
    return Deadline(timeout, "api.test")


@contextmanager
def dialed(route: Route, timeout: Timeout = PATIENT) -> Iterator[Dialed]:
    connection = dial(route, make_clock(timeout))
    with connection.sock:
        yield connection


def failure(route: Route, timeout: Timeout = PATIENT) -> Error:
    with pytest.raises(Error) as caught:
        dial(route, make_clock(timeout))
    assert caught.value.sent == "nothing"
    return caught.value


def route_from(source: tuple[str, int], host: str, port: int) -> Route:
    return Route("http", host, port, network=Network(source_address=source))


def wait_for_the_client(peer: Peer) -> None:
    peer.read_to_end()


@pytest.fixture
def resolves(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """Makes every name resolve to (host, port) pairs; returns the looked up names."""
    return partial(resolving, monkeypatch)


# One address


@pytest.mark.parametrize("host", [V4, V6, "localhost"])
def test_connection_is_opened_and_belongs_to_the_caller(host):
    listen_on = V4 if host == "localhost" else host
    with ScriptedServer.serving(OK, host=listen_on) as server:
        before = time.perf_counter()
        with dialed(Route("http", host, server.port)) as connection:
            assert before < connection.connected < time.perf_counter()
            assert connection.secured is None
            assert 0 < connection.sock.gettimeout() <= HANG_BOUND
            gc.collect()  # nothing that is gone has closed the socket
            connection.sock.sendall(b"GET / HTTP/1.1\r\n\r\n")
            assert connection.sock.recv(1000) == OK


def test_without_a_timeout_the_socket_has_none():
    with ScriptedServer(wait_for_the_client) as server:
        with dialed(Route("http", V4, server.port), Timeout(None, None, None)) as connection:
            assert connection.sock.gettimeout() is None


@pytest.mark.parametrize("seconds", [1e12, float("inf")])
def test_a_timeout_may_be_longer_than_the_system_can_count(seconds):
    with ScriptedServer(wait_for_the_client) as server:
        dial(Route("http", V4, server.port), make_clock(Timeout(connect=seconds))).sock.close()


@pytest.mark.parametrize("hosts", [[V4], [V6, V4]])
def test_small_packets_leave_at_once(hosts, resolves):
    with ExitStack() as stack:
        servers = [stack.enter_context(ScriptedServer(wait_for_the_client, host=h)) for h in hosts]
        resolves(*((server.host, server.port) for server in servers))
        with dialed(Route("http", "api.test", 80)) as connection:
            assert connection.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_socket_is_opened_without_urllib3(scheme, certs):
    # Another package may be installed under this name.
    program = """if True:
        import sys
        sys.modules["urllib3"] = None
        from restkit import Client
        url, ca = sys.argv[1:]
        with Client(verify=ca) as client:
            assert client.get(url).status == 200
    """
    context = certs.server if scheme == "https" else None
    with ScriptedServer.serving(OK, ssl_context=context) as server:
        run_program(program, f"{scheme}://localhost:{server.port}/a%zz", str(certs.ca_file))


@pytest.mark.parametrize("verify", ["ca", "True", "False"])
@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "xn--mnchen-3ya.example"])
def test_first_request_imports_nothing_that_the_client_has_not(host, verify, certs):
    # A thread that imports while another one forks leaves a lock in the child that nobody releases.
    program = """if True:
        import sys, warnings
        warnings.simplefilter("ignore")
        import _socket
        from restkit import Client, Error
        url, ca = sys.argv[1:3]
        with Client(verify=VERIFY) as client:
            before = set(sys.modules)
            try:
                client.get(url)
            except Error:
                pass
            assert set(sys.modules) == before, set(sys.modules) - before
    """.replace("VERIFY", verify)
    listen_on = V6 if "[" in host else V4
    with ScriptedServer.serving(OK, host=listen_on, ssl_context=certs.server) as server:
        run_program(program, f"https://{host}:{server.port}/ü", str(certs.ca_file))


def test_source_address_is_the_local_end():
    with socket.socket() as free:
        free.bind((V4, 0))
        source = free.getsockname()
    with ScriptedServer(wait_for_the_client) as server:
        with dialed(route_from(source, V4, server.port)) as connection:
            assert connection.sock.getsockname() == source


def test_address_of_another_family_than_the_source_address_is_skipped(resolves):
    with (
        ScriptedServer(wait_for_the_client, host=V6) as unfit,
        ScriptedServer(wait_for_the_client) as fit,
    ):
        resolves((V6, unfit.port), (V4, fit.port))
        route = route_from((V4, 0), "api.test", 80)
        with dialed(route) as connection:
            assert connection.sock.getpeername() == (V4, fit.port)


# Several addresses


def is_quicker_than(seconds: float, work: Callable[[], object]) -> bool:
    """Return whether one of ten runs is quicker. A busy machine only makes runs slower."""
    for _ in range(10):
        start = time.monotonic()
        work()
        if time.monotonic() - start < seconds:
            return True
    return False


@pytest.mark.parametrize(("dead", "live"), [(V6, V4), (V4, V6)])
def test_W18_dead_first_address_costs_less_than_half_a_second(dead, live, resolves):
    with unanswering(dead) as dead_port, ScriptedServer(wait_for_the_client, host=live) as server:
        resolves((dead, dead_port), (live, server.port))

        def connect() -> None:
            with dialed(Route("http", "api.test", 80)) as connection:
                assert connection.sock.getpeername()[:2] == (live, server.port)

        assert is_quicker_than(0.5, connect)


@pytest.mark.parametrize(("dead", "live"), [(V6, V4), (V4, V6)])
def test_W18_after_a_refusal_the_next_address_is_tried_at_once(dead, live, resolves):
    with refusing(dead) as dead_port, ScriptedServer(wait_for_the_client, host=live) as server:
        resolves((dead, dead_port), (live, server.port))

        def connect() -> None:
            with dialed(Route("http", "api.test", 80)) as connection:
                assert connection.sock.getpeername()[:2] == (live, server.port)

        assert is_quicker_than(0.2, connect)


def test_W18_refusal_during_the_race_starts_the_next_address(resolves):
    with (
        unanswering(V6) as silent,
        refusing(V4) as refused,
        ScriptedServer(wait_for_the_client, host=V6) as server,
    ):
        resolves((V6, silent), (V4, refused), (V6, server.port))
        with dialed(Route("http", "api.test", 80)) as connection:
            assert connection.sock.getpeername()[:2] == (V6, server.port)


def test_W18_error_names_each_dead_address(resolves):
    with refusing(V6) as six, refusing(V4) as four:
        resolves((V6, six), (V4, four))
        error = failure(Route("http", "api.test", 80))
    assert type(error) is ConnectError
    assert str(error) == (
        f"cannot connect to api.test:80: [::1]:{six} Connection refused; "
        f"127.0.0.1:{four} Connection refused"
    )
    assert isinstance(error.__cause__, ConnectionRefusedError)


def test_W18_families_alternate_from_the_preferred_one(resolves):
    with ExitStack() as stack:
        six, six_too, four, four_too = (
            stack.enter_context(refusing(host)) for host in (V6, V6, V4, V4)
        )
        resolves((V6, six), (V6, six_too), (V4, four), (V4, four_too), (V6, six))
        error = failure(Route("http", "api.test", 80))
    tried = [line.split()[0] for line in str(error).partition("80: ")[2].split("; ")]
    assert tried == [
        f"[::1]:{six}",
        f"127.0.0.1:{four}",
        f"[::1]:{six_too}",
        f"127.0.0.1:{four_too}",
    ]


def test_W18_error_names_refusing_and_silent_addresses(resolves):
    with refusing(V6) as six, unanswering(V4) as four:
        resolves((V6, six), (V4, four))
        error = failure(Route("http", "api.test", 80), Timeout(connect=0.6))
    assert type(error) is ConnectTimeout
    assert str(error) == (
        "api.test:80: still connecting when the 0.6 s of Timeout.connect were over: "
        f"[::1]:{six} Connection refused; 127.0.0.1:{four} no response"
    )


def test_W18_losing_sockets_are_closed(resolves):
    with unanswering(V6) as dead, ScriptedServer(wait_for_the_client) as server:
        resolves((V6, dead), (V4, server.port))
        before = descriptors()
        with dialed(Route("http", "api.test", 80)):
            server.until(lambda: server.connections == 1)
            # The socket that won, and the server's end of it.
            assert len(descriptors()) == len(before) + 2


# Names


def test_given_address_that_cannot_be_resolved_is_a_connect_error(monkeypatch):
    def getaddrinfo(host: str, *_: object, **__: object) -> None:
        assert host == "fe80::1%nope"
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    error = failure(Route("http", "api.test", 80, address="fe80::1%nope"))
    assert type(error) is ConnectError
    assert str(error) == (
        "api.test:80: no address for fe80::1%nope, its address in resolve=: "
        "Name or service not known"
    )


def test_unknown_name_is_a_connect_error(monkeypatch):
    def getaddrinfo(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    error = failure(Route("http", "nobody.test", 80))
    assert type(error) is ConnectError
    assert str(error) == "nobody.test:80: no address for this name: Name or service not known"
    assert isinstance(error.__cause__, socket.gaierror)


def test_name_without_an_address_is_a_connect_error(resolves):
    resolves()
    assert (
        str(failure(Route("http", "nowhere.test", 80)))
        == "nowhere.test:80: the name has no address"
    )


@pytest.mark.parametrize("host", [f"{'x' * 64}.test", "two..dots.test"])
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_W15_invalid_host_name_is_an_invalid_url(scheme, host):
    error = failure(Route(scheme, host, 80))
    assert isinstance(error, InvalidUrl)
    assert repr(host) in str(error)
    assert isinstance(error.__cause__, UnicodeError)


def test_W15_trailing_dot_is_looked_up_but_not_verified(certs, resolves):
    names: list[str | None] = []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certs.server_cert, certs.server_key)
    context.sni_callback = lambda sock, name, context: names.append(name)
    with ScriptedServer(wait_for_the_client, ssl_context=context) as server:
        looked_up = resolves((V4, server.port))
        route = Route("https", "localhost.", 443, TLSOptions(verify=str(certs.ca_file)))
        with dialed(route) as connection:
            assert connection.secured > connection.connected
    assert (looked_up, names) == (["localhost."], ["localhost"])


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_W15_an_ipv6_address_may_have_a_zone(scheme, certs):
    zone = f"::1%{socket.if_nameindex()[0][0]}"
    context = certs.server if scheme == "https" else None
    with ScriptedServer(wait_for_the_client, host=V6, ssl_context=context) as server:
        route = Route(scheme, zone, server.port, TLSOptions(verify=str(certs.ca_file)))
        assert route.host_and_port == f"[{zone}]:{server.port}"
        with dialed(route) as connection:
            assert connection.sock.getpeername()[:2] == (V6, server.port)


# Timeouts


@pytest.mark.parametrize("host", [V4, V6])
def test_W13_silent_address_is_a_connect_timeout(host):
    with unanswering(host) as port:
        route = Route("http", host, port)
        error = failure(route, Timeout(connect=0.3))
    assert type(error) is ConnectTimeout
    assert str(error) == (
        f"{route.host_and_port}: still connecting when the 0.3 s of Timeout.connect were over: "
        "no response"
    )
    assert isinstance(error.__cause__, TimeoutError)


@pytest.mark.parametrize("connect", [None, 5])
def test_W13_total_timeout_may_be_over_first(connect):
    with unanswering() as port:
        error = failure(Route("http", V4, port), Timeout(connect=connect, total=0.3))
    assert type(error) is TotalTimeout
    assert str(error) == ("api.test: still connecting when the 0.3 s of Timeout.total were over")


def never_answer(peer: Peer) -> None:
    peer.read_to_end()


def drip(peer: Peer) -> None:
    # A TLS record that grows, but is never complete.
    peer.send(b"\x16\x03\x03\x40\x00")
    while not peer.closed_by_client:
        peer.send(b"\x00")
        time.sleep(0.05)


@pytest.mark.parametrize("script", [never_answer, drip])
def test_W13_connect_timeout_includes_the_handshake(script):
    with ScriptedServer(script) as server:
        error = failure(Route("https", V4, server.port), Timeout(connect=0.4))
    assert type(error) is ConnectTimeout
    assert str(error) == (
        f"127.0.0.1:{server.port}: still in the TLS handshake when the 0.4 s of "
        "Timeout.connect were over"
    )


def test_W13_total_timeout_includes_the_handshake():
    with ScriptedServer(never_answer) as server:
        error = failure(Route("https", V4, server.port), Timeout(total=0.4))
    assert type(error) is TotalTimeout
    assert str(error) == (
        "api.test: still in the TLS handshake when the 0.4 s of Timeout.total were over"
    )


def test_slow_look_up_counts_for_the_total_timeout_only(monkeypatch):
    real = socket.getaddrinfo

    def slow(*args: object, **options: object) -> object:
        time.sleep(0.4)
        return real(*args, **options)

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    with ScriptedServer(wait_for_the_client) as server:
        route = Route("http", V4, server.port)
        with dialed(route, Timeout(connect=0.3)):
            pass
        assert type(failure(route, Timeout(connect=0.3, total=0.2))) is TotalTimeout
        assert server.connections == 1


# Nothing left open


@contextmanager
def limit_descriptors(count: int) -> Iterator[None]:
    """Limit this process to ``count`` more descriptors."""
    lowest = os.dup(0)
    os.close(lowest)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest + count, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize("free", [0, 1])
def test_process_without_descriptors_gets_a_connect_error(free, resolves):
    with refusing(V6) as six, refusing(V4) as four:
        resolves((V6, six), (V4, four))
        failure(Route("http", "api.test", 80))  # imports what the first dial imports
        with limit_descriptors(free):
            error = failure(Route("http", "api.test", 80))
    assert type(error) is ConnectError
    assert str(error).count("Too many open files") == (0 if free else 2)


def test_process_with_one_descriptor_still_connects(resolves):
    with unanswering(V6) as silent, ScriptedServer(wait_for_the_client) as server:
        resolves((V6, silent), (V4, server.port))
        with limit_descriptors(1):
            error = failure(Route("http", "api.test", 80), Timeout(connect=0.6))
    assert str(error).endswith(
        f": 127.0.0.1:{server.port} Too many open files; [::1]:{silent} no response"
    )


FAILURES = {
    "refused": {ConnectError},
    "silent": {ConnectTimeout},
    "silent in TLS": {ConnectTimeout},
    "closed in TLS": {TLSError},
    "no TLS": {TLSError},
    "expired": {TLSError},
    "no CA file": {RequestError},
}


@pytest.mark.parametrize("kind", FAILURES)
@pytest.mark.parametrize("several", [False, True])
def test_no_failure_leaves_a_descriptor(kind, several, certs, tmp_path, resolves):
    tls = TLSOptions(verify=str(tmp_path / "none" if kind == "no CA file" else certs.ca_file))
    scheme = "http" if kind in {"refused", "silent"} else "https"
    with ExitStack() as stack:
        port = stack.enter_context(serve_failure(kind, certs))
        other = stack.enter_context(refusing(V6))
        resolves(*[(V6, other)] * several, (V4, port))
        route = Route(scheme, "localhost", port, tls)
        before = set(descriptors())
        errors = [failure(route, Timeout(connect=0.3)) for _ in range(3)]
        # The errors are kept: their tracebacks must not hold a descriptor either.
        assert {type(error) for error in errors} <= FAILURES[kind]
        assert_only_open(before)


@contextmanager
def serve_failure(kind: str, certs) -> Iterator[int]:
    scripts: dict[str, Callable[[Peer], object]] = {
        "silent in TLS": never_answer,
        "closed in TLS": lambda peer: peer.read_some(),
        "no TLS": lambda peer: (peer.read_some(), peer.send(OK)),
    }
    if kind in {"refused", "no CA file"}:
        with refusing() as port:
            yield port
    elif kind == "silent":
        with unanswering() as port:
            yield port
    else:
        context = certs.expired if kind == "expired" else None
        with ScriptedServer(scripts.get(kind, never_answer), ssl_context=context) as server:
            yield server.port


def assert_only_open(before: set[int]) -> None:
    """Check that nothing more is open, once the server has seen that its clients are gone."""
    until(lambda: set(descriptors()) <= before, "the end of every connection")


class Interrupted(BaseException):
    """Like KeyboardInterrupt, which pytest would take for its own."""


@pytest.fixture
def interrupt() -> Iterator[Callable[[], None]]:
    """A function that interrupts the main thread."""

    def handler(*_: object) -> None:
        raise Interrupted

    main = threading.get_ident()
    before = signal.signal(signal.SIGALRM, handler)
    yield lambda: signal.pthread_kill(main, signal.SIGALRM)
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("several", [False, True])
def test_interrupted_connect_leaves_nothing_open(several, interrupt, resolves):
    with unanswering(V4) as four, unanswering(V6) as six:
        resolves(*[(V6, six)] * several, (V4, four))
        before = len(descriptors())
        signal.setitimer(signal.ITIMER_REAL, 0.4)
        with pytest.raises(Interrupted):
            dial(Route("http", "api.test", 80), make_clock())
        assert len(descriptors()) == before


def test_interrupted_handshake_leaves_nothing_open(certs, interrupt):
    def script(peer: Peer) -> None:
        peer.read_some()  # the client's first message: it waits for the reply now
        interrupt()
        peer.read_to_end()

    with ScriptedServer(script) as server:
        before = len(descriptors())
        with pytest.raises(Interrupted):
            dial(
                Route("https", V4, server.port, TLSOptions(verify=str(certs.ca_file))), make_clock()
            )
        server.join()
        assert len(descriptors()) == before


# The route


def test_W23_routes_differ_in_every_connection_option(certs):
    context = ssl.create_default_context()
    plain = Route("https", "api.test", 443)
    others = [
        plain._replace(scheme="http"),
        plain._replace(host="api2.test"),
        plain._replace(port=8443),
        plain._replace(address=V4),
        plain._replace(network=Network(source_address=(V4, 0))),
        plain._replace(network=Network(socket_options=((1, 9, 1),))),
        plain._replace(network=Network(uds="/run/api.sock")),
        plain._replace(network=Network(address_check=bool)),
        plain._replace(network=Network(address_check=callable)),
        plain._replace(tls=TLSOptions(verify=False)),
        plain._replace(tls=TLSOptions(verify="ca.pem")),
        plain._replace(tls=TLSOptions(verify=("ca.pem", "more"))),
        plain._replace(tls=TLSOptions(verify="system")),
        plain._replace(tls=TLSOptions(fingerprint="ab" * 32)),
        plain._replace(tls=TLSOptions(min_version=ssl.TLSVersion.TLSv1_3)),
        plain._replace(tls=TLSOptions(cert="client.pem")),
        plain._replace(tls=TLSOptions(cert=("client.pem", "client.key"))),
        plain._replace(tls=TLSOptions(context=context)),
        plain._replace(tls=TLSOptions(context=ssl.create_default_context())),
    ]
    assert len({plain, *others}) == len(others) + 1
    assert Route("https", "api.test", 443, TLSOptions()) == plain


def test_route_knows_host_and_port():
    assert Route("http", "api.test", 80).host_and_port == "api.test:80"
    assert Route("http", V6, 80).host_and_port == "[::1]:80"
