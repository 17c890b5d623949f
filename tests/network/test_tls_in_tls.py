"""TLS inside TLS: the same results as plain TLS, however the bytes of either layer are split."""

from __future__ import annotations

import signal
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import restkit
from restkit.errors import ConnectTimeout, IdleTimeout, RequestError, TLSError, TransportError
from restkit.network.dial import dial
from restkit.network.options import TLSOptions
from restkit.network.proxy import Proxy
from restkit.network.route import Route
from restkit.network.tls_in_tls import TLSInTLS
from restkit.network.transport import READ, WRITE, NestedTransport, Transport, make_transport
from restkit.timeouts import Deadline, Timeout
from support import ClientGone, ScriptedServer
from support.memory import descriptors
from support.peer import HANG_BOUND, Peer
from support.proxies import NestedServer

pytestmark = pytest.mark.lowest

OPEN = b"HTTP/1.1 200 Connection established\r\n\r\n"
PATIENT = Timeout(connect=HANG_BOUND, idle=HANG_BOUND)
Script = Callable[[NestedServer, Peer], object]


def clock(timeout: Timeout = PATIENT) -> Deadline:
    return Deadline(timeout, "localhost")


def origin(context: ssl.SSLContext, script: Script) -> Callable[[Peer], None]:
    """Return the script of an https proxy and the https origin behind it."""

    def serve(peer: Peer) -> None:
        peer.read_head()
        peer.send(OPEN)
        try:
            server = NestedServer(peer.sock, context)
        except (ssl.SSLError, ConnectionError) as refused:
            raise ClientGone("the client rejected the certificate") from refused
        script(server, peer)

    return serve


def route_through(server: ScriptedServer, certs, scheme: str = "https") -> Route:
    proxy = Proxy(f"https://localhost:{server.port}", verify=certs.ca_file)
    return Route(scheme, "localhost", 443, TLSOptions(str(certs.ca_file)), proxy)


@contextmanager
def connected(script: Script, certs, **options: ssl.SSLContext) -> Iterator[Transport]:
    inner, outer = options.get("inner", certs.server), options.get("outer", certs.server)
    with ScriptedServer(origin(inner, script), ssl_context=outer) as server:
        dialed = dial(route_through(server, certs), clock())
        assert isinstance(dialed.sock, TLSInTLS)
        transport = make_transport(dialed.sock, "localhost:443")
        assert isinstance(transport, NestedTransport)
        try:
            yield transport
        finally:
            transport.close()


def send_all(transport: Transport, data: bytes) -> None:
    """Send like the exchange: the same buffers again until they are sent."""
    for part in transport.coalesce([data]):
        while len(part):
            sent = transport.send([part])
            if not sent:
                transport.wait(WRITE, clock(), "sending")
            part = memoryview(part)[sent:]


def receive_all(transport: Transport, size: int | None = None) -> bytes:
    data = b""
    while size is None or len(data) < size:
        transport.wait_readable(clock(), "reading")
        part = transport.receive(100_000)
        if part == b"":
            break
        data += part or b""
    return data


def wait_for_the_client(server: NestedServer, peer: Peer) -> None:
    peer.read_to_end()


def make_context(server: ssl.TLSVersion, certs) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certs.server_cert, certs.server_key)
    context.maximum_version = server
    return context


# Bytes


def echo(server: NestedServer, peer: Peer) -> None:
    while data := server.read():
        server.send(data)
    server.close_notify()


@pytest.mark.parametrize("inner", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("outer", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_bytes_go_both_ways_in_all_versions(inner, outer, certs):
    contexts = {"inner": make_context(inner, certs), "outer": make_context(outer, certs)}
    data = bytes(range(256)) * 1000
    with connected(echo, certs, **contexts) as transport:
        for size in (1, 2, 16_384, 16_385, 100_000):
            send_all(transport, data[:size])
            assert receive_all(transport, size) == data[:size]


def test_write_that_would_block_is_repeated_and_sent_once(certs):
    data = b"".join(number.to_bytes(4, "big") for number in range(2_000_000))
    go = threading.Event()
    arrived = []

    def script(server: NestedServer, peer: Peer) -> None:
        peer.wait(go)
        arrived.append(server.read_exactly(len(data)))

    with connected(script, certs) as transport:
        sent, waits = 0, 0
        while sent < len(data):
            count = transport.send([memoryview(data)[sent:]])
            sent += count
            if not count:
                waits += 1
                go.set()
                assert transport.wait(WRITE, clock(), "sending") == WRITE
        assert waits
        receive_all(transport)
    assert arrived == [data]


def test_reads_work_while_a_write_waits(certs):
    # The server reads nothing before its own bytes are read: a deadlock, if reads waited for
    # writes.
    size = 12_000_000  # more than the buffers of both sockets hold

    def script(server: NestedServer, peer: Peer) -> None:
        server.send(b"a" * size)
        server.read_exactly(size)
        server.send(b"done")

    with connected(script, certs) as transport:
        got, sent, data = 0, 0, memoryview(b"b" * size)
        while sent < size:
            count = transport.send([data[sent:]])
            sent += count
            if not count and transport.wait(READ | WRITE, clock(), "sending") & READ:
                got += len(transport.receive(1 << 18) or b"")
        got += len(receive_all(transport, size - got))
        assert got == size
        assert receive_all(transport, 4) == b"done"


def test_record_may_arrive_in_single_bytes(certs):
    def script(server: NestedServer, peer: Peer) -> None:
        record = server.encrypt(b"a whole record")
        peer.send_slowly(record[:-1])
        server.read_exactly(1)
        peer.send(record[-1:])
        peer.read_to_end()

    with connected(script, certs) as transport:
        transport.wait_readable(clock(), "reading")
        assert transport.receive(100) is None
        send_all(transport, b"!")
        assert receive_all(transport, 14) == b"a whole record"


def test_several_inner_records_are_seen_without_the_socket(certs):
    def script(server: NestedServer, peer: Peer) -> None:
        peer.send(server.encrypt(b"one") + server.encrypt(b"two") + server.encrypt(b"three"))
        peer.read_to_end()

    with connected(script, certs) as transport:
        transport.wait_readable(clock(), "reading")
        while (first := transport.receive(1)) is None:  # session tickets of TLS 1.3 come first
            transport.wait_readable(clock(), "reading")
        assert first == b"o"
        at_once = clock(Timeout(idle=0.001))
        for rest in (b"ne", b"two", b"three"):
            assert transport.is_readable()
            transport.wait_readable(at_once, "reading")
            assert transport.wait(READ | WRITE, at_once, "reading") == READ
            assert transport.receive(100) == rest
        assert not transport.is_readable()
        assert transport.receive(100) is None
        with pytest.raises(IdleTimeout):
            transport.wait_readable(at_once, "reading")


def test_receive_into_fills_a_view_from_several_records(certs):
    def script(server: NestedServer, peer: Peer) -> None:
        for _ in range(10):
            server.send(b"0123456789" * 3000)
        server.close_notify()

    buffer = bytearray(65_536)
    arrived = bytearray()
    with connected(script, certs) as transport:
        while True:
            transport.wait_readable(clock(), "reading")
            count = transport.receive_into(memoryview(buffer))
            if count == 0:
                break
            arrived += buffer[: count or 0]
    assert bytes(arrived) == b"0123456789" * 30_000
    assert not transport.missing_close_notify


@pytest.fixture(scope="module")
def echoing(certs) -> Iterator[Callable[[], Transport]]:
    """A function that connects to one server, for many examples."""
    made: list[Transport] = []
    with ScriptedServer(origin(certs.server, echo), ssl_context=certs.server) as server:

        def connect() -> Transport:
            made.append(
                make_transport(dial(route_through(server, certs), clock()).sock, "localhost:443")
            )
            return made[-1]

        yield connect
        for transport in made:
            transport.close()


@pytest.mark.leaves_behind("a server for all the examples")
@given(
    chunks=st.lists(st.binary(min_size=1, max_size=40_000), max_size=6),
    sizes=st.lists(st.integers(1, 20_000), min_size=1),
)
@settings(max_examples=20)
def test_any_chunks_come_back_unchanged(echoing, chunks, sizes):
    transport = echoing()
    whole, back, turn = b"".join(chunks), b"", 0
    for chunk in chunks:
        send_all(transport, chunk)
    while len(back) < len(whole):
        transport.wait_readable(clock(), "reading")
        back += transport.receive(sizes[turn % len(sizes)]) or b""
        turn += 1
    assert back == whole
    transport.close()


# Ends


def test_close_notify_is_the_end(certs):
    def script(server: NestedServer, peer: Peer) -> None:
        server.send(b"all")
        server.close_notify()
        peer.read_to_end()

    with connected(script, certs) as transport:
        assert receive_all(transport) == b"all"
        assert not transport.missing_close_notify
        assert transport.receive(1) == b""
        assert transport.receive_into(memoryview(bytearray(1))) == 0


@pytest.mark.parametrize("proxy_sends_close_notify", [False, True])
def test_end_without_close_notify_of_the_origin_is_noticed(proxy_sends_close_notify, certs):
    def script(server: NestedServer, peer: Peer) -> None:
        server.send(b"part")
        server.read_exactly(1)
        peer.close() if proxy_sends_close_notify else peer.cut()

    with connected(script, certs) as transport:
        assert receive_all(transport, 4) == b"part"
        send_all(transport, b"!")
        assert receive_all(transport) == b""
        assert transport.missing_close_notify
        # The end stays the end.
        assert transport.receive(1) == b""
        assert transport.receive_into(memoryview(bytearray(1))) == 0


def test_bytes_before_a_cut_are_returned_first(certs):
    def script(server: NestedServer, peer: Peer) -> None:
        server.send(b"x" * 50_000)
        server.read_exactly(1)
        peer.cut()

    view = memoryview(bytearray(1 << 20))
    with connected(script, certs) as transport:
        send_all(transport, b"!")
        count = 0
        while not transport.missing_close_notify:
            transport.wait_readable(clock(), "reading")
            count += transport.receive_into(view) or 0
        assert count == 50_000


def test_incomplete_record_is_no_data(certs):
    def script(server: NestedServer, peer: Peer) -> None:
        peer.send(server.encrypt(b"a whole record")[:-1])
        server.read_exactly(1)

    with connected(script, certs) as transport:
        send_all(transport, b"!")
        assert receive_all(transport) == b""
        assert transport.missing_close_notify


def test_forged_record_is_a_tls_error(certs):
    def script(server: NestedServer, peer: Peer) -> None:
        record = bytearray(server.encrypt(b"a whole record"))
        record[-1] ^= 1
        peer.send(bytes(record))
        peer.read_to_end()

    with connected(script, certs) as transport:
        with pytest.raises(TLSError, match="TLS with localhost:443 failed"):
            receive_all(transport)


def test_alert_of_the_origin_is_a_transport_error(certs):
    # With TLS 1.3 the alert of a server that requires a certificate arrives at our first read.
    def fail(server: NestedServer, peer: Peer) -> None:
        raise AssertionError("never reached")

    with ScriptedServer(origin(certs.asks_client, fail), ssl_context=certs.server) as server:
        with pytest.raises(TransportError):
            transport = make_transport(
                dial(route_through(server, certs), clock()).sock, "localhost:443"
            )
            try:
                receive_all(transport)
                assert transport.missing_close_notify  # this server dies without its alert
                raise TransportError("cut off")
            finally:
                transport.close()


def test_client_certificate_is_sent_to_the_origin(certs):
    def script(server: NestedServer, peer: Peer) -> None:
        server.send(b"known" if server.tls.getpeercert() else b"unknown")
        peer.read_to_end()

    with ScriptedServer(origin(certs.asks_client, script), ssl_context=certs.server) as server:
        route = route_through(server, certs)
        tls = TLSOptions(str(certs.ca_file), str(certs.client_file))
        transport = make_transport(dial(route._replace(tls=tls), clock()).sock, "localhost:443")
        try:
            assert receive_all(transport, 5) == b"known"
        finally:
            transport.close()


# Idle connections


def test_is_idle_ignores_session_tickets(certs):
    speak, end = threading.Event(), threading.Event()

    def script(server: NestedServer, peer: Peer) -> None:
        server.read_exactly(1)
        peer.wait(speak)
        server.send(b"unasked")
        peer.wait(end)

    with connected(script, certs) as transport:
        send_all(transport, b"!")
        assert transport.is_idle()  # session tickets of TLS 1.3 are no response
        speak.set()
        while transport.is_idle():  # the first bytes may be another session ticket
            transport.wait_readable(clock(), "reading")
        end.set()


def test_idle_connection_notices_the_end(certs):
    with connected(lambda server, peer: server.read_exactly(1), certs) as transport:
        assert transport.is_idle()
        send_all(transport, b"!")
        while transport.is_idle():
            transport.wait_readable(clock(), "reading")


# Other threads; detaching


@pytest.mark.parametrize("waiting", ["to read", "to send"])
def test_abort_wakes_a_waiting_thread(waiting, certs):
    with connected(wait_for_the_client if waiting == "to read" else stalled, certs) as transport:
        if waiting == "to send":
            while transport.send([b"x" * 65536]):
                pass
        timer = threading.Timer(0.2, transport.abort)
        timer.start()
        with pytest.raises(TransportError, match="was closed from this side"):
            if waiting == "to send":
                transport.wait(WRITE, clock(), "sending")
            receive_all(transport)
        timer.join()


def stalled(server: NestedServer, peer: Peer) -> None:
    peer.pause(HANG_BOUND - 1)


def test_detached_socket_blocks(certs):
    with connected(echo, certs) as transport:
        with transport.detach() as sock:
            sock.sendall(b"0123456789" * 100_000)
            assert sock.gettimeout() is None
            arrived = bytearray(1_000_000)
            at = 0
            while at < len(arrived):
                at += sock.recv_into(memoryview(arrived)[at:])
            assert bytes(arrived) == b"0123456789" * 100_000
            sock.send(b"x")
            assert sock.recv(10) == b"x"
            assert sock.version() == "TLSv1.3"
            assert sock.selected_alpn_protocol() is None
            assert ("DNS", "localhost") in sock.getpeercert()["subjectAltName"]
            assert sock.getpeername()[0] in {"127.0.0.1", "::1"}
            assert repr(sock) == "<TLSInTLS, TLSv1.3>"
        assert repr(sock) == "<TLSInTLS, closed>"


# The handshake


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        ("expired", "its certificate has expired, by this machine's clock"),
        ("wrong_host", "its certificate is for elsewhere.example, not for localhost"),
        ("stranger", "its certificate was issued by an authority that is not trusted"),
        ("self_signed", "its certificate is self-signed and not trusted"),
    ],
)
def test_certificate_of_the_origin_is_verified_inside_the_proxy_tls(kind, why, certs):
    context = getattr(certs, kind)
    before = set(descriptors())
    with ScriptedServer(origin(context, wait_for_the_client), ssl_context=certs.server) as server:
        with pytest.raises(TLSError) as caught:
            dial(route_through(server, certs), clock())
        server.join()
    assert set(descriptors()) == before
    assert str(caught.value).startswith(f"localhost:443: {why}")
    assert isinstance(caught.value.__cause__, ssl.SSLCertVerificationError)


def test_fingerprint_is_compared_inside_the_proxy_tls(certs):
    with ScriptedServer(
        origin(certs.server, wait_for_the_client), ssl_context=certs.server
    ) as server:
        tls = TLSOptions(str(certs.ca_file), fingerprint="ab" * 32)
        with pytest.raises(TLSError, match="has the SHA-256 fingerprint"):
            dial(route_through(server, certs)._replace(tls=tls), clock())


def test_origin_without_tls_is_a_tls_error(certs):
    def script(peer: Peer) -> None:
        peer.read_head()
        peer.send(OPEN)
        peer.read_some()
        peer.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        peer.read_to_end()

    with ScriptedServer(script, ssl_context=certs.server) as server:
        with pytest.raises(TLSError) as caught:
            dial(route_through(server, certs), clock())
    assert str(caught.value).startswith("localhost:443: the TLS handshake failed: wrong version")


def test_proxy_that_closes_in_the_inner_handshake_is_a_tls_error(certs):
    def script(peer: Peer) -> None:
        peer.read_head()
        peer.send(OPEN)
        peer.read_some()

    with ScriptedServer(script, ssl_context=certs.server) as server:
        with pytest.raises(TLSError) as caught:
            dial(route_through(server, certs), clock())
    assert str(caught.value) == (
        "localhost:443: the TLS handshake failed: unexpected eof while reading; "
        "the server closed the connection"
    )


def drip(peer: Peer) -> None:
    # A record of the inner TLS that grows, but is never complete.
    peer.read_head()
    peer.send(OPEN)
    peer.read_some()
    peer.send(b"\x16\x03\x03\x40\x00")
    while not peer.closed_by_client:
        peer.send(b"\x00")
        peer.pause(0.05)


def test_W13_connect_timeout_includes_the_inner_handshake(certs):
    with ScriptedServer(drip, ssl_context=certs.server) as server:
        start = time.monotonic()
        with pytest.raises(ConnectTimeout) as caught:
            dial(route_through(server, certs), clock(Timeout(connect=0.5)))
        assert time.monotonic() - start < HANG_BOUND
    assert str(caught.value) == (
        "localhost:443: still in the TLS handshake when the 0.5 s of Timeout.connect were over"
    )


class Interrupted(BaseException):
    """Like KeyboardInterrupt, which pytest would take for its own."""


def test_interrupted_inner_handshake_leaves_nothing_open(certs):
    def handler(*_: object) -> None:
        raise Interrupted

    main = threading.get_ident()

    def script(peer: Peer) -> None:
        peer.read_head()
        peer.send(OPEN)
        peer.read_some()
        signal.pthread_kill(main, signal.SIGALRM)
        peer.read_to_end()

    before = signal.signal(signal.SIGALRM, handler)
    try:
        with ScriptedServer(script, ssl_context=certs.server) as server:
            opened = len(descriptors())
            with pytest.raises(Interrupted):
                dial(route_through(server, certs), clock())
            server.join()
            assert len(descriptors()) == opened
    finally:
        signal.signal(signal.SIGALRM, before)


def test_context_subclass_is_rejected_for_tls_in_tls(certs):
    class Trusting(ssl.SSLContext):
        def wrap_socket(self, *args: object, **options: object) -> ssl.SSLSocket:
            raise AssertionError("called with something that is not a socket")

    context = Trusting(ssl.PROTOCOL_TLS_CLIENT)
    with ScriptedServer(
        origin(certs.server, wait_for_the_client), ssl_context=certs.server
    ) as server:
        route = route_through(server, certs)._replace(tls=TLSOptions(context=context))
        with pytest.raises(RequestError, match="cannot be used through an https proxy"):
            dial(route, clock())


# A whole exchange


def test_upgraded_connection_is_handed_over(certs):
    def script(server: NestedServer, peer: Peer) -> None:
        while b"\r\n\r\n" not in server.read():
            pass
        server.send(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\n\r\nhello")
        echo(server, peer)

    with ScriptedServer(origin(certs.server, script), ssl_context=certs.server) as server:
        proxy = Proxy(f"https://localhost:{server.port}", verify=certs.ca_file)
        with restkit.Client(proxy=proxy, verify=str(certs.ca_file)) as client:
            response = client.get("https://localhost/", headers={"Upgrade": "echo"})
            assert response.status == 101
            sock, rest = response.detach()
            with sock:
                assert isinstance(sock, TLSInTLS)
                assert rest + b"".join(sock.recv(1) for _ in range(5 - len(rest))) == b"hello"
                sock.sendall(b"abc")
                assert sock.recv(3) == b"abc"


def test_outer_connection_may_be_a_socket_pair(certs):
    # The outer connection only needs to be a socket.
    ours, theirs = socket.socketpair()
    ready = []

    def serve() -> None:
        with certs.server.wrap_socket(theirs, server_side=True) as outer:
            server = NestedServer(outer, certs.server)
            ready.append(server.read_exactly(2))

    thread = threading.Thread(target=serve)
    thread.start()
    client = ssl.create_default_context(cafile=certs.ca_file)
    with TLSInTLS(
        client, client.wrap_socket(ours, server_hostname="localhost"), "localhost"
    ) as tls:
        tls.do_handshake()
        tls.sendall(b"hi")
        assert tls.recv() == b""
    thread.join()
    assert ready == [b"hi"]
