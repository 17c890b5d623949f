"""Client.close(): what ends at once, what may end by itself, and close(abort=True)."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from restkit import Client, Error, RequestError, Timeout, TransportError
from support import ScriptedServer, response
from support.peer import HANG_BOUND, Peer
from support.waiting import until, until_polling

PATIENT = Timeout(connect=HANG_BOUND, idle=HANG_BOUND)
OK = response(b"ok")
# Too long to be received before the call returns.
LONG = b"long" * 250_000
UPGRADE = b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n"


def respond_with_long_body(peer: Peer) -> None:
    while peer.next_request() is not None:
        peer.send(response(LONG))


class Call:
    """A function that runs in a thread; its result or its error."""

    def __init__(self, function: Callable[[], object]) -> None:
        self._results: list[object] = []
        self._function = function
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self) -> None:
        try:
            self._results.append(self._function())
        except BaseException as error:  # noqa: BLE001  # the test checks it
            self._results.append(error)

    def result(self) -> object:
        """Join the thread; return the result or the error."""
        self.thread.join(HANG_BOUND)
        assert not self.thread.is_alive()
        (result,) = self._results
        return result


# What a closed Client still does


def test_body_of_a_response_can_be_read_after_its_client_was_closed(tls, certs):
    with ScriptedServer(respond_with_long_body, ssl_context=tls) as server:
        with Client(timeout=PATIENT, verify=certs.ca_file) as client:
            unread = client.get(server.url())
            partly = client.get(server.url())
            assert partly.body_file.read(4) == b"long"
        assert client.closed
        assert unread.body == LONG
        assert partly.body == LONG
        server.join()  # both connections were closed by the client
        assert [peer.closed_by_client for peer in server.peers] == [True, True]
        assert repr(client._pool) == "<ConnectionPool, 0 idle, 0 in use>"


def test_idle_connections_are_closed_at_once_when_the_client_is_closed():
    with ScriptedServer.serving(OK) as server:
        client = Client(timeout=PATIENT)
        client.get(server.url())
        client.close()
        server.until(lambda: server.peers[0].closed_by_client)


def test_closed_client_sends_no_new_request_while_a_response_is_out():
    with ScriptedServer(respond_with_long_body) as server, Client(timeout=PATIENT) as client:
        held = client.get(server.url())
        client.close()
        with pytest.raises(RequestError, match="this Client is closed") as caught:
            client.get(server.url("/new"))
        assert caught.value.sent == "nothing"
        assert held.body == LONG
    assert len(server.requests) == 1


def test_call_that_waits_for_its_response_is_finished_when_the_client_is_closed(tls, certs):
    go_on = threading.Event()

    def respond_later(peer: Peer) -> None:
        peer.read_request()
        peer.wait(go_on)
        peer.send(OK)
        assert peer.next_request() is None

    with (
        ScriptedServer(respond_later, ssl_context=tls) as server,
        Client(timeout=PATIENT, verify=certs.ca_file) as client,
    ):
        call = Call(lambda: client.get(server.url()).body)
        server.until(lambda: server.requests)
        until_polling(call.thread)
        client.close()
        go_on.set()
        assert call.result() == b"ok"
        server.join()
        assert server.peers[0].closed_by_client


def test_call_that_opens_its_connection_is_finished_when_the_client_is_closed(certs):
    go_on = threading.Event()

    def slow_handshake(peer: Peer) -> None:
        peer.wait(go_on)
        peer.secure(certs.server)
        peer.read_request()
        peer.send(OK)

    with (
        ScriptedServer(slow_handshake) as server,
        Client(timeout=PATIENT, verify=certs.ca_file) as client,
    ):
        url = server.url().replace("http:", "https:")
        call = Call(lambda: client.get(url).body)
        server.until(lambda: server.peers)
        client.close()
        go_on.set()
        assert call.result() == b"ok"


def test_closed_client_follows_no_redirect():
    go_on = threading.Event()

    def redirect_later(peer: Peer) -> None:
        peer.read_request()
        peer.wait(go_on)
        peer.send(b"HTTP/1.1 302 Found\r\nLocation: /next\r\nContent-Length: 0\r\n\r\n")

    with ScriptedServer(redirect_later) as server, Client(timeout=PATIENT) as client:
        call = Call(lambda: client.get(server.url()))
        server.until(lambda: server.requests)
        client.close()
        go_on.set()
        error = call.result()
        assert isinstance(error, RequestError)
        assert "this Client is closed" in str(error)
        assert [each.status for each in error.history] == [302]
    assert len(server.requests) == 1


# What is woken


@pytest.mark.parametrize("abort", [False, True])
def test_call_that_waits_for_max_connections_is_woken_when_the_client_is_closed(abort):
    with ScriptedServer(respond_with_long_body) as server:
        with Client(timeout=PATIENT, max_connections=1) as client:
            held = client.get(server.url())
            call = Call(lambda: client.get(server.url()))
            until(lambda: "1 waiting" in repr(client._pool))
            client.close(abort=abort)
            error = call.result()
            assert type(error) is TransportError
            assert "the Client was closed while this call waited for a connection" in str(error)
            assert error.sent == "nothing"
            if not abort:
                assert held.body == LONG


@pytest.mark.parametrize("abort", [False, True])
def test_call_that_sleeps_before_a_retry_is_woken_when_the_client_is_closed(abort):
    def drop(peer: Peer) -> None:
        peer.read_request()

    with ScriptedServer(drop) as server, Client(timeout=PATIENT) as client:
        call = Call(lambda: client.get(server.url(), wait_tries=10 * HANG_BOUND, max_wait=1e6))
        until(lambda: client._pool._sleeping)
        client.close(abort=abort)
        error = call.result()
        assert isinstance(error, Error)
        assert error.request.url.target == "/"
    assert len(server.requests) == 1


# Abort


def test_close_with_abort_ends_responses_that_are_out():
    with ScriptedServer(respond_with_long_body) as server, Client(timeout=PATIENT) as client:
        held = client.get(server.url())
        client.close(abort=True)
        with pytest.raises(TransportError):
            assert held.body
        with pytest.raises(RequestError, match="this Client is closed"):
            client.get(server.url())


def test_closed_client_can_be_aborted_later():
    def send_half(peer: Peer) -> None:
        peer.read_request()
        peer.send(response(LONG)[:-1000])
        peer.read_to_end()

    with ScriptedServer(send_half) as server, Client(timeout=PATIENT) as client:
        held = client.get(server.url())
        client.close()
        read = Call(lambda: held.body)
        until_polling(read.thread)
        client.close(abort=True)
        error = read.result()
        assert isinstance(error, TransportError)
        assert "closed from this side" in str(error)


def test_upgraded_connection_can_be_used_after_its_client_was_closed():
    def echo(peer: Peer) -> None:
        peer.read_request()
        peer.send(UPGRADE)
        peer.send(peer.read_exactly(4).upper())

    with ScriptedServer(echo) as server, Client(timeout=PATIENT) as client:
        upgraded = client.get(server.url())
        client.close()
        sock, rest = upgraded.detach()
        with sock:
            sock.sendall(b"echo")
            while len(rest) < 4 and (received := sock.recv(4)):
                rest += received
        assert rest == b"ECHO"


def test_upgraded_connection_is_closed_when_its_client_is_aborted():
    def wait_for_end(peer: Peer) -> None:
        peer.read_request()
        peer.send(UPGRADE)
        assert peer.read_to_end() == b""

    with ScriptedServer(wait_for_end) as server, Client(timeout=PATIENT) as client:
        upgraded = client.get(server.url())
        client.close()
        client.close(abort=True)
        with pytest.raises(RequestError, match="was detached or closed already"):
            upgraded.detach()
        server.join()
