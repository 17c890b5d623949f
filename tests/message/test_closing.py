"""Closing a response: its connection, and what can still be read."""

from __future__ import annotations

import gc
import gzip
import os
import signal
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager, suppress

import pytest

from restkit import AlreadyRead, Client, ParserError, RedirectLimit, TransportError, as_payload
from support import LAST_CHUNK, ScriptedServer, chunked_response, chunks, response
from support.answers import answered, giving
from support.memory import MIB, open_descriptors
from support.peer import HANG_BOUND, Peer
from support.waiting import until_polling

LIMIT = 64 * 1024


def close(got):
    got.close()


def leave(got):
    with got:
        pass


def stop_streaming(got):
    next(iter(got.payload_stream), None)


def drop(got):
    """Let the response be garbage collected, when the caller has dropped it too."""


WAYS = {"closed": close, "left": leave, "dropped": drop}
EVERY_WAY = pytest.mark.parametrize("way", WAYS)


@contextmanager
def arrived(message: bytes, **options):
    """Yield a Client whose one connection has received this message before the request is sent."""
    ours, theirs = socket.socketpair()
    for end in (ours, theirs):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, MIB)
    with theirs, Client(connect=lambda host, port: ours, timeout=10, **options) as client:
        theirs.sendall(message)
        yield client


def end_of(client, way):
    got = client.get("http://host.test/")
    WAYS[way](got)
    del got
    return repr(client)


KEPT, CLOSED = "<Client, 1 idle connections>", "<Client, 0 idle connections>"


# The connection


@EVERY_WAY
def test_small_rest_that_has_arrived_is_discarded_and_the_connection_kept(way):
    with arrived(response(b"x" * 1000 + b"y" * LIMIT)) as client:
        assert end_of(client, way) == KEPT


@EVERY_WAY
def test_large_rest_closes_the_connection(way):
    message = response(b"x" * (3 * LIMIT))
    with arrived(message) as client:
        assert end_of(client, way) == CLOSED


@EVERY_WAY
def test_small_rest_that_has_not_arrived_closes_the_connection_at_once(way):
    with arrived(response(b"x" * (LIMIT + 1))[:-1]) as client:
        assert end_of(client, way) == CLOSED


@EVERY_WAY
@pytest.mark.parametrize("eager_body", [0, LIMIT])
def test_chunks_are_discarded_to_their_end_if_it_has_arrived(way, eager_body):
    message = chunked_response(*[b"x" * 1000] * 100)
    with arrived(message, eager_body=eager_body) as client:
        assert end_of(client, way) == KEPT


@EVERY_WAY
def test_chunks_without_their_end_close_the_connection(way):
    with arrived(chunked_response(b"x" * 1000)[: -len(LAST_CHUNK)]) as client:
        assert end_of(client, way) == CLOSED


@EVERY_WAY
def test_more_chunks_than_the_bound_close_the_connection(way):
    with arrived(chunked_response(*[b"x" * 1000] * 200), eager_body=0) as client:
        assert end_of(client, way) == CLOSED


@EVERY_WAY
def test_broken_chunks_close_the_connection(way):
    message = chunked_response(b"x" * 1000)[: -len(LAST_CHUNK)] + b"nonsense\r\n"
    with arrived(message) as client:
        assert end_of(client, way) == CLOSED


@EVERY_WAY
@pytest.mark.parametrize(
    "message",
    [
        response(b"x" * (LIMIT + 1), "Connection: close"),
        b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 1000,
        response(b"x" * (LIMIT + 1)) + b"garbage",
    ],
    ids=["announced", "to the end", "garbage"],
)
def test_connection_that_cannot_be_used_again_is_closed(way, message):
    with arrived(message) as client:
        assert end_of(client, way) == CLOSED


@EVERY_WAY
def test_a_half_read_body_keeps_its_connection_if_the_rest_is_small(way):
    with arrived(response(b"x" * (2 * LIMIT - 1000))) as client:
        got = client.get("http://host.test/")
        assert got.body_file.read1(LIMIT + 100)
        WAYS[way](got)
        del got
        assert repr(client) == KEPT


def test_a_stream_that_stops_early_keeps_its_connection_if_the_rest_is_small():
    with arrived(response(b"x" * (2 * LIMIT - 1000))) as client:
        got = client.get("http://host.test/")
        stop_streaming(got)
        assert repr(client) == KEPT
        with pytest.raises(AlreadyRead):
            assert not got.body


@EVERY_WAY
def test_the_next_request_uses_the_connection_of_the_discarded_body(way, tls, client):
    sent = threading.Event()

    def script(peer: Peer) -> None:
        peer.read_request()
        peer.send(response(b"x" * (LIMIT + 1)))
        peer.until_arrived()
        sent.set()
        peer.read_request()
        peer.send(response(b"next"))
        peer.read_to_end()

    with ScriptedServer(script, ssl_context=tls) as server:
        got = client.get(server.url())
        assert sent.wait(HANG_BOUND)
        WAYS[way](got)
        del got
        assert client.get(server.url()).body == b"next"
        assert server.connections == 1


def test_closing_never_decodes():
    zeros = gzip.compress(bytes(20 * MIB), 9)  # about 20 KB
    coded = gzip.compress(zeros + os.urandom(LIMIT), 0)
    with arrived(response(coded, "Content-Encoding: gzip, gzip")) as client:
        with client.get("http://host.test/") as got:
            pass
        assert repr(client) == KEPT
        with pytest.raises(AlreadyRead, match="closed before"):
            assert not got.body


# Garbage collection and signal handlers: in the middle of anything


@EVERY_WAY
def test_inside_a_method_of_the_pool_the_connection_is_closed_without_a_deadlock(way):
    with arrived(response(b"x" * (2 * LIMIT - 1000))) as client:
        got = client.get("http://host.test/")
        with client._pool._lock:  # as a finalizer or a signal handler finds it
            WAYS[way](got)
            del got
        assert repr(client) == CLOSED


def test_a_cycle_of_unread_responses_is_collected_and_keeps_the_connection():
    with arrived(response(b"x" * (2 * LIMIT - 1000))) as client:
        cycle = [client.get("http://host.test/")]
        cycle.append(cycle)
        del cycle
        gc.collect()
        assert repr(client) == KEPT


@pytest.mark.parametrize("way", ["closed", "dropped"])
def test_a_forked_child_takes_nothing_from_the_connection_of_its_parent(way):
    body = b"x" * LIMIT + b"y" * LIMIT
    with arrived(response(body)) as client:
        got = client.get("http://host.test/")
        child = os.fork()
        if not child:
            if way == "closed":
                got.close()
            del got
            gc.collect()
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert got.body == body
        assert repr(client) == KEPT


def test_closing_in_a_signal_handler_while_the_body_is_read_wakes_the_reader():
    def script(peer: Peer) -> None:
        peer.read_request()
        peer.send(response(b"x" * (2 * LIMIT))[:-10])
        peer.until_taken()
        os.kill(os.getpid(), signal.SIGUSR1)
        peer.read_to_end()

    before = signal.signal(signal.SIGUSR1, lambda *_: got.close())
    try:
        with ScriptedServer(script) as server, Client(timeout=HANG_BOUND) as client:
            got = client.get(server.url())
            with pytest.raises((TransportError, AlreadyRead)):
                assert not got.body
            server.join()
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_W24_closing_while_another_thread_reads_wakes_it_and_the_body_is_closed():
    script = giving(response(b"x" * (2 * LIMIT))[:-10], then=Peer.read_to_end)
    with ScriptedServer(script) as server, Client(timeout=HANG_BOUND) as client:
        got = client.get(server.url())
        found = []

        def read():
            try:
                found.append(got.body)
            except (TransportError, AlreadyRead) as exc:
                found.append(exc)

        thread = threading.Thread(target=read)
        thread.start()
        until_polling(thread)
        got.close()
        thread.join(HANG_BOUND)
        assert isinstance(found[0], TransportError)
        server.join()
        with pytest.raises(AlreadyRead, match="closed before"):
            assert not got.body


def test_threads_that_close_and_read_one_response_never_share_a_connection(client):
    message = response(b"x" * (LIMIT + 1000))

    def script(peer: Peer) -> None:
        while peer.next_request():
            peer.send(message)

    with ScriptedServer(script) as server:

        def read(got):
            with suppress(TransportError, AlreadyRead):
                assert len(got.body) == LIMIT + 1000

        for _ in range(100):
            got = client.get(server.url())
            thread = threading.Thread(target=got.close)
            thread.start()
            read(got)
            thread.join(HANG_BOUND)
        assert client.get(server.url()).body == b"x" * (LIMIT + 1000)


FORKED = """
import os, sys, threading, warnings
from restkit import Client

warnings.simplefilter("ignore")  # of forking with threads, which is the point
received, forked = threading.Event(), threading.Event()

def use():
    # In the child, the values of threads that it does not have are finalized first.
    local = threading.local()
    local.response = client.get(sys.argv[1])
    received.set()
    forked.wait()
    print(local.response.text)

with Client() as client:
    thread = threading.Thread(target=use)
    thread.start()
    received.wait()
    sys.stdin.readline()
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    print("forked", flush=True)
    sys.stdin.readline()
    forked.set()
    thread.join()
"""


@pytest.mark.posix("fork")
def test_a_forked_child_drains_nothing_while_threads_of_its_parent_hold_a_response():
    more, rest = threading.Event(), threading.Event()

    def script(peer: Peer) -> None:
        peer.read_request()
        peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks(b"abc"))
        peer.wait(more)
        peer.send(chunks(b"def"))
        peer.until_arrived()
        process.stdin.write("\n")
        process.stdin.flush()
        peer.wait(rest)
        peer.send(chunks(b"ghi") + LAST_CHUNK)

    with (
        ScriptedServer(script) as server,
        subprocess.Popen(
            [sys.executable, "-c", FORKED, server.url()],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as process,
    ):
        more.set()
        assert process.stdout.readline() == "forked\n"
        rest.set()
        server.join()
        assert process.communicate("\n", timeout=HANG_BOUND)[0] == "abcdefghi\n"


def test_broken_chunks_hold_no_connection_before_they_are_read():
    message = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks(b"abc") + b"zz\r\n"
    with arrived(message) as client:
        got = client.get("http://host.test/")
        assert ", 0 in use" in repr(client._pool)
        for _ in range(2):
            with pytest.raises(ParserError):
                assert not got.body
            got.close()


def test_error_with_a_response_of_a_small_body_holds_no_connection():
    def script(peer: Peer) -> None:
        peer.read_request()
        peer.send(b"HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 3\r\n\r\n")
        peer.until_arrived()
        peer.send(b"end")
        peer.read_to_end()

    with ScriptedServer(script) as server, Client(max_follow_redirect=0) as client:
        with pytest.raises(RedirectLimit) as caught:
            client.get(server.url(), follow_redirect=True)
        assert ", 0 in use" in repr(client._pool)
        assert caught.value.response.body == b"end"


def test_a_body_that_was_saved_says_after_close_that_it_was_not_kept(tmp_path):
    with answered(response(b"x" * (2 * LIMIT))) as got:
        assert got.save(tmp_path / "saved") == 2 * LIMIT
    with pytest.raises(AlreadyRead, match="was read live, in one pass, and was not kept"):
        assert not got.body


# What can be read after close()


def test_a_body_wholly_in_memory_is_readable_after_close():
    with answered(response(b"x" * (2 * LIMIT))) as got:
        assert got.body_file.read(2 * LIMIT)
    assert got.body == got.tee().read() == b"x" * (2 * LIMIT)


def test_a_body_wholly_in_a_spool_file_is_readable_until_it_is_garbage_collected():
    before = open_descriptors()
    with answered(response(b"x" * (2 * LIMIT)), spool_size=1000) as got:
        assert got.body
        file = got.tee()
    assert open_descriptors() > before
    assert got.body == file.read() == b"x" * (2 * LIMIT)
    assert got.text == "x" * (2 * LIMIT)
    del got
    file.seek(0)
    assert file.read(5) == b"xxxxx"  # a file keeps its body
    del file
    assert open_descriptors() == before


def test_received_chunks_that_were_not_read_to_their_end_are_readable_after_close():
    with arrived(chunked_response(b"x" * 70_000), eager_body=0) as client:
        with client.get("http://host.test/") as got:
            assert got.body_file.read(70_000) == b"x" * 70_000
        assert got.body == b"x" * 70_000


ACCESSORS = {
    "body": lambda got, _: got.body,
    "text": lambda got, _: got.text,
    "unicode_body": lambda got, _: got.unicode_body,
    "json": lambda got, _: got.json(),
    "body_string": lambda got, _: got.body_string("latin-1"),
    "body_file": lambda got, _: got.body_file.read(),
    "body_file.readline": lambda got, _: got.body_file.readline(),
    "body_file.seek": lambda got, _: got.body_file.seek(0, 2),
    "tee": lambda got, _: got.tee().read(1),
    "iter_lines": lambda got, _: list(got.iter_lines()),
    "iter_blocks": lambda got, _: list(got.iter_blocks()),
    "body_stream": lambda got, _: got.body_stream().read(),
    "payload_stream": lambda got, _: list(got.payload_stream),
    "save": lambda got, path: got.save(path),
    "as_payload": lambda got, _: as_payload(got),
    "payload_stream as payload": lambda got, _: as_payload(got.payload_stream),
    "body_file as payload": lambda got, _: as_payload(got.body_file),
}


@pytest.mark.parametrize("accessor", ACCESSORS)
@pytest.mark.parametrize("state", ["unread", "half read"])
@pytest.mark.parametrize("framing", ["length", "chunks", "to the end", "gzip"])
def test_a_body_that_was_not_received_raises_one_error_after_close(
    accessor, state, framing, tmp_path
):
    noise = os.urandom(8 * MIB)
    message = {
        "length": response(noise),
        "chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks(noise),
        "to the end": b"HTTP/1.1 200 OK\r\n\r\n" + noise,
        "gzip": response(gzip.compress(noise, 0), "Content-Encoding: gzip"),
    }[framing]
    with answered(giving(message)) as got:
        if state == "half read":
            got.body_file.read(10)
    for _ in range(2):
        with pytest.raises(AlreadyRead) as caught:
            ACCESSORS[accessor](got, tmp_path / "saved")
        assert str(caught.value).endswith(
            ": the body cannot be read: the response was closed before its whole body was "
            "received. Read body, text or json(), or save() it, before close() and inside the "
            "with block"
        )
        assert caught.value.request is got.request
        assert caught.value.response is got
    assert not list(tmp_path.iterdir())
    assert (got.status, got.ok) == (200, True)


@pytest.mark.parametrize("size", [10, 400_000])
def test_body_in_the_history_says_why_it_was_discarded_and_what_to_do(size, client):
    redirect = (
        b"HTTP/1.1 302 Found\r\nLocation: /next\r\nContent-Length: %d\r\n\r\n" % size + b"x" * size
    )

    def script(peer: Peer) -> None:
        while (request := peer.next_request()) is not None:
            peer.send(response(b"ok") if b"/next" in request else redirect)

    with ScriptedServer(script, script) as server:
        got = client.get(server.url(), follow_redirect=True)
        [earlier] = got.history
        for _ in range(2):
            with pytest.raises(AlreadyRead) as caught:
                assert not earlier.body
            assert caught.value.message == (
                "the body was discarded, by skip_body() or because the call sent another request "
                "after this response. To read such a body, use follow_redirect=False for a "
                "redirect, and no retries= or auth= for another status"
            )
            assert caught.value.request is earlier.request
        assert client.get(server.url(), follow_redirect=False).body == b"x" * size
