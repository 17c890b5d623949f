"""Errors keep no frames of their callers alive after they are discarded.

An exception in a reference cycle keeps, by its traceback, the frames of its callers until the
garbage collector runs. A response among their variables would stay open for as long, and count
against ``max_connections``.
"""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest

from restkit import Client, Error, HttpResponse, Timeout
from support import Peer, ScriptedServer, refusing, response, unanswering

pytestmark = pytest.mark.smoke

BRIEF = Timeout(connect=0.3, idle=0.3)
BROKEN = {
    "no head": b"nonsense\r\n\r\n",
    "cut head": b"HTTP/1.1 200 OK\r\nCont",
    "cut body": b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc",
    "cut chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc",
    "bad chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    "no gzip": b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc",
    "other digest": response(b"abc", "Content-Digest: sha-256=:" + "A" * 43 + "=:"),
}


def suppressing(call: Callable[[], object]) -> None:
    with suppress(Error):
        call()


VIEWS: dict[str, Callable[[HttpResponse], object]] = {
    "body": lambda got: got.body,
    "twice": lambda got: (suppressing(lambda: got.body), got.body),
    "file": lambda got: got.body_file.read(),
    "stream": lambda got: b"".join(got.body_stream()),
}


class Trouble(Exception):
    pass


class Variable:
    """Stands for a variable of the caller."""


def keeps_frame(call: Callable[[], object]) -> bool:
    """Return whether a variable of the caller outlives the error that the call raised."""
    held: list[weakref.ref[Variable]] = []

    def caller() -> Variable:
        variable = Variable()
        held.append(weakref.ref(variable))
        call()
        return variable

    with suppress(Error, Trouble):
        caller()
        pytest.fail("no error was raised")
    return held[0]() is not None


@pytest.fixture(autouse=True)
def _no_collector() -> Iterator[None]:
    gc.disable()
    yield
    gc.enable()


@pytest.fixture
def client() -> Iterator[Client]:
    with Client(timeout=BRIEF, max_tries=1) as client:
        yield client


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("message", BROKEN)
def test_broken_response_keeps_no_frame(message, view, client):
    with ScriptedServer.serving(BROKEN[message], close=True) as server:
        assert not keeps_frame(lambda: VIEWS[view](client.get(server.url())))


@pytest.mark.parametrize("proxy", [None, "http", "https", "socks5h"])
def test_refused_connection_keeps_no_frame(proxy, client):
    with refusing() as port:
        where = f"127.0.0.1:{port}"
        for host in (where, f"localhost:{port}"):
            way = None if proxy is None else f"{proxy}://{where}"
            assert not keeps_frame(
                lambda host=host, way=way: client.get(f"http://{host}/", proxy=way)
            )


@pytest.mark.parametrize("timeout", [BRIEF, Timeout(None, None, 0.3)], ids=["connect", "total"])
def test_timeout_keeps_no_frame(timeout, client):
    def half(peer: Peer) -> None:
        peer.read_request()
        peer.send(BROKEN["cut body"])
        peer.read_to_end()

    with unanswering() as port:
        assert not keeps_frame(lambda: client.get(f"http://127.0.0.1:{port}/", timeout=timeout))
    with ScriptedServer(half, Peer.read_to_end, Peer.read_to_end) as server:
        assert not keeps_frame(lambda: client.get(server.url(), timeout=timeout).body)
        assert not keeps_frame(lambda: client.get(server.url(), timeout=timeout))
        secure = f"https://{server.host}:{server.port}/"
        assert not keeps_frame(lambda: client.get(secure, timeout=timeout))


def test_early_response_that_stops_the_sending_keeps_no_frame(client):
    def enough(peer: Peer) -> None:
        peer.read_head()
        peer.send(response(b"ok"))
        peer.reset()

    with ScriptedServer(enough) as server:
        assert not keeps_frame(lambda: client.put(server.url(), b"x" * 20_000_000))


def test_server_reset_during_the_payload_keeps_no_frame(client):
    def enough(peer: Peer) -> None:
        peer.read_head()
        peer.reset()

    with ScriptedServer(enough, enough) as server:
        assert not keeps_frame(lambda: client.put(server.url(), b"x" * 20_000_000))
        assert not keeps_frame(lambda: client.put(server.url(), iter([b"x" * 20_000_000])))


def test_invalid_request_keeps_no_frame(client):
    def check(_: object) -> bool:
        raise Trouble

    assert not keeps_frame(lambda: client.get("http://host:port/"))
    assert not keeps_frame(lambda: client.get("http://host/", proxy="http://host:port"))
    assert not keeps_frame(lambda: client.get("http://127.0.0.1:9/", check_address=check))
    assert not keeps_frame(lambda: client.get("http://127.0.0.1:9/", check_address=lambda _: False))


def test_C12_response_of_a_failed_caller_frees_its_slot_at_once():
    """If the error kept the response, the last request would get no slot."""

    def send_on() -> None:
        unread = client.get(server.url())
        client.put(f"http://127.0.0.1:{port}/", unread)

    long = response(b"long" * 250_000)
    with ScriptedServer.serving(long) as server, refusing() as port:
        with Client(timeout=Timeout(2, 2), max_tries=1, max_connections=2) as client:
            for _ in range(3):
                with suppress(Error):
                    send_on()
            assert client.get(server.url()).body == b"long" * 250_000
