"""One response as the payload of the next request: streamed, sent again, and closed."""

from __future__ import annotations

import gzip
import pickle
import threading
from contextlib import contextmanager

import pytest

from restkit import AlreadyRead, Client, ConnectError, UnexpectedEOF, as_payload
from support import ScriptedServer, body_of, dechunk, field, payload_of, refusing, response
from support.answers import BROKEN, FRAMINGS, answered, giving, no_file_over
from support.memory import MIB

BODY = b"0123456789" * 20_000
BLOCK = bytes(range(256)) * 4096


def source(reply, first=300):
    """Return a script that responds to every request, in two parts."""

    def script(peer):
        peer.without_delay()
        while peer.next_request():
            peer.send(reply[:first], reply[first:])
            if b"Content-Length" not in reply[:300] and b"chunked" not in reply[:300]:
                return

    return script


@contextmanager
def source_and_sink(script, sink=None):
    """Yield two servers and a Client that sends on from the first to the second."""
    sink = ScriptedServer(sink) if sink else ScriptedServer.serving(response(b"thanks"))
    with ScriptedServer(script) as first, sink, Client(timeout=10) as client:
        yield first, sink, client


VIEWS = {
    "the response": lambda got: got,
    "body_file": lambda got: got.body_file,
    "tee": lambda got: got.tee(),
    "payload_stream": lambda got: got.payload_stream,
    "body_stream": lambda got: got.body_stream(),
}
EVERY_VIEW = pytest.mark.parametrize("view", VIEWS)


@EVERY_VIEW
@pytest.mark.parametrize("framing", FRAMINGS)
def test_P08_P19_a_response_is_sent_on_with_its_length_if_it_has_one(framing, view):
    script = source(FRAMINGS[framing](BODY))
    with source_and_sink(script) as (first, sink, client):
        got = client.get(first.url())
        reply = client.post(sink.url(), VIEWS[view](got))
        assert reply.body == b"thanks"
        has_length = framing == "length" and view != "body_stream"
        assert field(sink.request, "content-length") == ("200000" if has_length else None)
        assert field(sink.request, "transfer-encoding") == (None if has_length else "chunked")
        assert payload_of(sink.request) == BODY
        assert field(sink.request, "content-encoding") is None
        # The connection of the source is idle again.
        client.get(first.url()).close()
        assert first.connections == (2 if framing == "to the end" else 1)


def test_P08_a_response_that_is_not_decoded_is_sent_on_encoded():
    raw = gzip.compress(BODY)
    reply = response(raw, "Content-Encoding: gzip", "Content-Type: text/csv")
    with source_and_sink(source(reply)) as (first, sink, client):
        for view in ("the response", "body_file", "payload_stream"):
            got = client.get(first.url(), decompress=False)
            client.put(sink.url(), VIEWS[view](got))
            assert body_of(sink.requests[-1]) == raw
            assert field(sink.requests[-1], "content-encoding") == "gzip"
            assert field(sink.requests[-1], "content-type") == "text/csv"
            assert field(sink.requests[-1], "content-length") == str(len(raw))
        got = client.get(first.url())
        client.put(sink.url(), got)
        assert dechunk(body_of(sink.requests[-1])) == BODY
        assert field(sink.requests[-1], "content-encoding") is None
        assert field(sink.requests[-1], "content-type") == "text/csv"


def test_P08_an_unpickled_response_is_sent_on_decoded():
    reply = response(gzip.compress(BODY), "Content-Encoding: gzip", "Content-Type: text/csv")
    with source_and_sink(source(reply)) as (first, sink, client):
        client.post(sink.url(), pickle.loads(pickle.dumps(client.get(first.url()))))
        assert body_of(sink.request) == BODY
        assert field(sink.request, "content-encoding") is None
        assert field(sink.request, "content-type") == "text/csv"


def test_P08_an_unknown_coding_is_sent_on_with_its_name():
    with source_and_sink(source(response(BODY, "Content-Encoding: zzz"))) as (first, sink, client):
        client.put(sink.url(), client.get(first.url()))
        assert field(sink.request, "content-encoding") == "zzz"
        assert body_of(sink.request) == BODY


def test_headers_of_the_caller_take_precedence():
    reply = response(BODY, "Content-Type: text/csv")
    with source_and_sink(source(reply)) as (first, sink, client):
        client.post(sink.url(), client.get(first.url()), {"Content-Type": "text/plain"})
        assert field(sink.request, "content-type") == "text/plain"


@pytest.mark.parametrize("reply", [response(b""), b"HTTP/1.1 204 No Content\r\n\r\n"])
def test_a_response_without_a_body_is_an_empty_payload(reply):
    with source_and_sink(source(reply)) as (first, sink, client):
        client.post(sink.url(), client.get(first.url()))
        assert field(sink.request, "content-length") == "0"
        assert body_of(sink.request) == b""


@pytest.mark.parametrize("read", ["body", "some of body_file", "all of body_file"])
def test_a_response_that_was_spooled_is_sent_whole_and_again(read):
    with source_and_sink(source(response(BODY))) as (first, sink, client):
        got = client.get(first.url())
        if read == "body":
            assert got.body == BODY
        else:
            got.body_file.read(1000 if read.startswith("some") else -1)
        twice = as_payload(got)
        for payload in (got, twice, twice):
            assert as_payload(payload).replayable
            client.post(sink.url(), payload)
            assert field(sink.requests[-1], "content-length") == "200000"
            assert body_of(sink.requests[-1]) == BODY


def test_a_body_file_is_sent_from_its_position_every_time():
    with source_and_sink(source(response(BODY))) as (first, sink, client):
        got = client.get(first.url())
        got.body_file.seek(5)
        payload = as_payload(got.body_file)
        assert (payload.length, payload.replayable) == (199_995, True)
        got.body_file.seek(7)
        for _ in range(2):
            client.post(sink.url(), payload)
            assert body_of(sink.requests[-1]) == BODY[5:]
        assert got.body_file.tell() == 7
        got.body_file.seek(10**6)
        client.post(sink.url(), got.body_file)
        assert field(sink.requests[-1], "content-length") == "0"


def test_an_unread_response_is_sent_once():
    with source_and_sink(source(response(BODY))) as (first, sink, client):
        got = client.get(first.url())
        payload = as_payload(got)
        assert (payload.length, payload.replayable, payload.started) == (200_000, False, False)
        client.post(sink.url(), payload)
        for again in (got, got.body_file, got.payload_stream):
            with pytest.raises(AlreadyRead, match="was read live"):
                client.post(sink.url(), again)
        assert (len(sink.requests), sink.connections) == (1, 1)


def test_a_closed_response_raises_before_anything_is_sent():
    with source_and_sink(source(response(BODY))) as (first, sink, client):
        with client.get(first.url()) as got:
            pass
        for view in ("the response", "body_file", "payload_stream"):
            with pytest.raises(AlreadyRead, match="closed"):
                client.post(sink.url(), VIEWS[view](got))
        assert sink.connections == 0


@pytest.mark.parametrize("view", ["the response", "body_file", "payload_stream"])
def test_P19_the_first_bytes_are_sent_before_the_source_is_complete(view):
    arrived = threading.Event()

    def script(peer):
        peer.read_request()
        peer.send(response(BODY)[:1000])
        peer.wait(arrived)
        peer.send(response(BODY)[1000:])

    def sink(peer):
        head = peer.read_head()
        assert field(head, "content-length") == "200000"
        begun = peer.read_exactly(500)
        arrived.set()
        assert begun + peer.read_exactly(199_500) == BODY
        peer.send(response(b"thanks"))

    with source_and_sink(script, sink) as (first, second, client):
        got = client.get(first.url())
        assert client.post(second.url(), VIEWS[view](got)).body == b"thanks"


# Errors


@pytest.mark.parametrize("view", ["the response", "payload_stream"])
def test_a_failed_request_closes_the_source(view):
    def sink(peer):
        peer.read_head()
        peer.send(response(b"no", status="413 Too Large"))

    endless = giving(b"HTTP/1.1 200 OK\r\n\r\n", *[BLOCK] * 1000)
    with source_and_sink(endless, sink) as (first, second, client):
        got = client.get(first.url())
        assert client.post(second.url(), VIEWS[view](got)).status == 413
        first.until(lambda: first.peers[0].finished, "the end of the source's connection")
        with pytest.raises(AlreadyRead):
            assert not got.body


def test_a_source_of_which_nothing_was_sent_can_be_sent_again():
    with answered(giving(response(BODY))) as got, refusing() as port, Client() as client:
        with pytest.raises(ConnectError):
            client.post(f"http://127.0.0.1:{port}/", got)
        with ScriptedServer.serving(response(b"thanks")) as sink:
            client.post(sink.url(), got)
            assert body_of(sink.request) == BODY


@pytest.mark.parametrize("framing", BROKEN)
@EVERY_VIEW
def test_a_source_that_breaks_off_raises_its_own_error_and_never_completes_the_request(
    framing, view
):
    def sink(peer):
        peer.read_head()
        peer.read_to_end()

    with source_and_sink(giving(BROKEN[framing]), sink) as (first, second, client):
        got = client.get(first.url())
        with pytest.raises(UnexpectedEOF) as caught:
            client.post(second.url(), VIEWS[view](got))
        assert caught.value.request is got.request
        second.join()
        (wire,) = second.wire
        if field(wire, "content-length"):
            assert len(body_of(wire)) < int(field(wire, "content-length"))
        else:
            assert not wire.endswith(b"0\r\n\r\n")
        assert repr(client) == "<Client, 0 idle connections>"


def test_a_full_disk_while_a_body_file_is_sent_raises_the_os_error():
    def sink(peer):
        peer.read_head()
        peer.drop()

    script = giving(response(BLOCK * 8), then=lambda peer: peer.read_to_end())
    with source_and_sink(script, sink) as (first, second, client):
        got = client.get(first.url())
        with no_file_over(3 * MIB), pytest.raises(OSError, match="too large"):
            client.post(second.url(), got.body_file)
        first.until(lambda: first.peers[0].finished, "the end of the source's connection")
        second.join()
        got.close()


def test_a_response_is_sent_on_to_its_own_server_over_a_second_connection():
    # Source and sink are one server: a Client must not use one connection for both.
    def script(peer):
        peer.without_delay()
        while request := peer.next_request():
            reply = response(BODY) if request.startswith(b"GET") else response(b"thanks")
            peer.send(reply[:300], reply[300:])

    with ScriptedServer(script) as server, Client(timeout=10) as client:
        reply = client.post(server.url(), client.get(server.url()))
        assert reply.body == b"thanks"
        assert body_of(server.requests[-1]) == BODY
        assert repr(client) == "<Client, 2 idle connections>"
