"""A response that is being read when the process forks."""

from __future__ import annotations

import gc
import os
import threading
from contextlib import suppress

import pytest

from restkit import Client, Progress, TransportError
from support import LAST_CHUNK, ScriptedServer, chunks, response
from support.forks import in_child
from support.peer import HANG_BOUND, Peer
from support.waiting import until_polling

pytestmark = [
    pytest.mark.posix("fork"),
    pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning"),
]

FIRST = b"first" * 60_000
REST = b"rest" * 50_000
# Each begins with FIRST; the second part is sent after the fork.
MESSAGES = {
    "length": (response(FIRST + REST)[: -len(REST)], REST),
    "chunks": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks(FIRST),
        chunks(REST) + LAST_CHUNK,
    ),
    "to the end": (b"HTTP/1.1 200 OK\r\n\r\n" + FIRST, REST),
}
ERROR = (
    "the connection to 127.0.0.1:PORT was opened before a fork, and belongs to the parent "
    "process. Read the body before the fork or in the parent, or send the request again in this "
    "process"
)


@pytest.fixture
def forked():
    return threading.Event()


def send_around_fork(framing, forked):
    first, rest = MESSAGES[framing]

    def script(peer: Peer) -> None:
        peer.read_request()
        peer.send(first)
        peer.wait(forked)
        peer.send(rest)

    return script


def error_in(got):
    with pytest.raises(TransportError) as caught:
        assert not got.body
    return str(caught.value)


@pytest.mark.parametrize("framing", MESSAGES)
def test_E07_child_gets_an_error_for_the_rest_of_a_body_and_the_parent_reads_it(
    framing, tls, forked, client
):
    def use_in_child():
        errors = [error_in(got), error_in(got)]
        assert got.tee().read(len(FIRST)) == FIRST  # it has arrived
        client.close(abort=True)
        got.close()
        return "\n".join(errors)

    with ScriptedServer(send_around_fork(framing, forked), ssl_context=tls) as server:
        got = client.get(server.url())
        assert got.body_file.read(len(FIRST)) == FIRST
        error = f"GET {server.url()}: {ERROR.replace('PORT', str(server.port))}"
        assert in_child(use_in_child).split("\n") == [error, error]
        forked.set()
        assert got.body == FIRST + REST
        assert got.tee().read() == FIRST + REST


@pytest.mark.parametrize("way", ["closed", "left", "dropped", "stream", "skipped", "saved"])
def test_child_that_ends_a_response_takes_nothing_from_its_parent(
    way, tls, forked, client, tmp_path
):
    def end_in_child():
        nonlocal got
        if way == "closed":
            got.close()
        elif way == "left":
            with got:
                pass
        elif way == "skipped":
            got.skip_body()
        elif way == "stream":
            with pytest.raises(TransportError, match="opened before a fork"):
                got.body_stream().read()
        elif way == "saved":
            with pytest.raises(TransportError, match="opened before a fork"):
                got.save(tmp_path / "saved")
        got = None
        gc.collect()
        return "done"

    with ScriptedServer(send_around_fork("length", forked), ssl_context=tls) as server:
        got = client.get(server.url())
        assert in_child(end_in_child) == "done"
        assert not list(tmp_path.iterdir())
        forked.set()
        assert got.body == FIRST + REST


def test_child_of_a_thread_that_is_reading_reads_what_has_arrived(client, forked):
    def use_in_child():
        assert got.tee().read(len(FIRST)) == FIRST
        text = error_in(got)
        got.close()
        return text

    with ScriptedServer(send_around_fork("length", forked)) as server:
        got = client.get(server.url())
        assert got.body_file.read(len(FIRST)) == FIRST
        bodies = []
        reader = threading.Thread(target=lambda: bodies.append(got.body))
        reader.start()
        until_polling(reader)  # it holds a lock of the body
        assert "opened before a fork" in in_child(use_in_child)
        forked.set()
        reader.join(HANG_BOUND)
        assert bodies == [FIRST + REST]


def test_child_that_is_forked_inside_a_read_gets_an_error_and_its_parent_all_bytes(client, forked):
    reading, writing = os.pipe()
    children = []

    def fork_once(count, _):
        if count and not children:
            children.append(os.fork())

    with ScriptedServer(send_around_fork("length", forked)) as server:
        got = client.get(server.url(), progress=Progress(received=fork_once))
        try:
            with suppress(TransportError):
                first = got.body_file.read(len(FIRST))
            if children == [0]:
                os.write(writing, error_in(got).encode())
        finally:
            if children == [0]:
                os._exit(0)
        assert first == FIRST
        os.close(writing)
        with open(reading, encoding="utf-8") as report:
            assert "opened before a fork" in report.read()
        os.waitpid(children[0], 0)
        forked.set()
        assert got.body == FIRST + REST


def test_body_of_a_dropped_client_belongs_to_the_parent_too(forked):
    with ScriptedServer(send_around_fork("length", forked)) as server:
        got = Client(timeout=HANG_BOUND).get(server.url())
        assert "opened before a fork" in in_child(lambda: error_in(got))
        forked.set()
        assert got.body == FIRST + REST


def test_child_sends_requests_on_a_connection_of_its_own(client, forked):
    message = response(b"ok")

    def respond(peer: Peer) -> None:
        while peer.next_request() is not None:
            peer.send(message)

    with ScriptedServer(send_around_fork("length", forked), respond) as server:
        got = client.get(server.url())

        def use_in_child():
            return client.get(server.url()).text, error_in(got)[-40:], client.get(server.url()).text

        assert in_child(use_in_child) == str(("ok", ERROR[-40:], "ok"))
        forked.set()
        assert got.body == FIRST + REST


def test_upgraded_connection_may_be_used_by_a_forked_child(client):
    def echo(peer: Peer) -> None:
        peer.read_request()
        peer.send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n")
        peer.send(peer.read_exactly(4).upper())

    with ScriptedServer(echo) as server:
        got = client.get(server.url())

        def use_in_child():
            sock, rest = got.detach()
            sock.sendall(b"echo")
            while len(rest) < 4:
                rest += sock.recv(4)
            return rest

        assert in_child(use_in_child) == "b'ECHO'"
        got.close()
