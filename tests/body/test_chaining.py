"""One response as the payload of the next request, in every form: large, broken off, sent again."""

from __future__ import annotations

import functools
import gzip
import hashlib
import pickle
import random
import threading
import zlib
from contextlib import contextmanager

import pytest

from restkit import (
    AlreadyRead,
    Client,
    ConnectError,
    ConnectTimeout,
    Error,
    PayloadError,
    PayloadNotReplayable,
    Timeout,
    UnexpectedEOF,
)
from restkit.streaming import ResourceStreamFunction
from support import ScriptedServer, body_of, field, payload_of, refusing, response
from support.answers import BROKEN, giving
from support.memory import MIB, peak_memory
from support.messages import ChunkScan, is_chunked

BODY = random.Random(5).randbytes(300_000)
BLOCK = random.Random(8).randbytes(1_000_003)  # a prime: misplaced bytes are noticed
COUNT = 134  # blocks, 128 MiB in all
COUNT_OF_ONE_GIB = 1074


def chunks_of(response):
    yield from response.payload_stream or ()


def read_lines(response):
    yield from response.body_file


@ResourceStreamFunction
def stream_chunks(client, url):
    yield from chunks_of(client.get(url))


@ResourceStreamFunction
def fetch(client, url):
    return client.get(url)


WAYS = {
    "the response": lambda client, url: client.get(url),
    "body_file": lambda client, url: client.get(url).body_file,
    "payload_stream": lambda client, url: client.get(url).payload_stream,
    "a generator over payload_stream": lambda client, url: chunks_of(client.get(url)),
    "a generator over body_file": lambda client, url: read_lines(client.get(url)),
    "a function that yields chunks": stream_chunks,
    "a function that returns it": fetch,
}
LIVE = {name: way for name, way in WAYS.items() if "body_file" not in name}
EVERY_WAY = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
EVERY_LIVE_WAY = pytest.mark.parametrize("way", LIVE.values(), ids=LIVE)


def respond_always(answer, first=300):
    """Return a script that responds to every request, in two parts."""

    def script(peer):
        peer.without_delay()
        while peer.next_request():
            peer.send(answer[:first], answer[first:])

    return script


@contextmanager
def open_chain(source, sink=None, *, tls=None, certs=None, **options):
    """Yield two servers and a Client that sends on from the first to the second."""
    second = (
        ScriptedServer(sink, ssl_context=tls)
        if sink
        else ScriptedServer.serving(response(b"thanks"), ssl_context=tls)
    )
    if certs is not None:
        options["verify"] = certs.ca_file
    with ScriptedServer(source, ssl_context=tls) as first, second:
        with Client(**{"timeout": 10, **options}) as client:
            yield first, second, client


# Whole


@EVERY_WAY
def test_S05_a_response_is_sent_on_and_its_connection_is_released(way, tls, certs):
    answer = response(BODY, "Content-Type: text/csv")
    with open_chain(respond_always(answer), tls=tls, certs=certs) as (first, second, client):
        for _ in range(2):
            assert client.post(second.url(), way(client, first.url())).body == b"thanks"
            assert payload_of(second.requests[-1]) == BODY
        assert (first.connections, second.connections) == (1, 1)


@EVERY_WAY
def test_P08_an_encoded_response_is_sent_on_decoded(way):
    answer = response(gzip.compress(BODY), "Content-Encoding: gzip")
    with open_chain(respond_always(answer)) as (first, second, client):
        client.post(second.url(), way(client, first.url()))
        assert field(second.request, "transfer-encoding") == "chunked"
        assert field(second.request, "content-encoding") is None
        assert payload_of(second.request) == BODY


@EVERY_WAY
def test_an_empty_response_is_an_empty_payload(way):
    with open_chain(respond_always(response(b""))) as (first, second, client):
        client.post(second.url(), way(client, first.url()))
        assert payload_of(second.request) == b""


def send_bulk(count):
    def script(peer):
        while peer.next_request():
            peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (len(BLOCK) * count))
            for _ in range(count):
                peer.send(BLOCK)

    return script


class CountingSink:
    """A script that reads requests of any size, and keeps size and checksum of the last."""

    def __init__(self):
        self.size = 0
        self.sum = 0

    def __call__(self, peer):
        while True:
            head = peer.read_head()
            self.size = self.sum = 0
            if is_chunked(head):
                self.take_chunks(peer)
            else:
                self.take_sized(peer, int(field(head, "content-length")))
            peer.send(response(b"thanks"))

    def take_sized(self, peer, left):
        while left:
            chunk = peer.read_some(min(left, MIB))
            peer.wire.clear()
            left -= len(chunk)
            self.count(chunk)

    def take_chunks(self, peer):
        scan = ChunkScan()
        while not scan.done:
            scan.feed(peer.read_some(MIB))
            peer.wire.clear()
            self.count(scan.payload)
            scan.payload.clear()

    def count(self, chunk):
        self.size += len(chunk)
        self.sum = zlib.crc32(chunk, self.sum)


@functools.cache
def checksum_of_bulk(count):
    return functools.reduce(lambda so_far, _: zlib.crc32(BLOCK, so_far), range(count), 0)


SETUP = """
    import restkit
    from restkit.streaming import ResourceStreamFunction

    def chunks_of(response):
        for chunk in response.payload_stream:
            yield chunk

    def blocks_of(response):
        for block in iter(lambda: response.body_file.read(65536), b""):
            yield block

    @ResourceStreamFunction
    def stream_chunks(client, url):
        for chunk in client.get(url).payload_stream:
            yield chunk

    client = restkit.Client(verify=ca_file)
    WAYS = {
        "the response": lambda: client.get(first),
        "body_file": lambda: client.get(first).body_file,
        "payload_stream": lambda: client.get(first).payload_stream,
        "a generator over payload_stream": lambda: chunks_of(client.get(first)),
        "a generator over body_file": lambda: blocks_of(client.get(first)),
        "a function that yields chunks": lambda: stream_chunks(client, first),
    }
    client.post(small, client.get(small)).body
"""
WORK = """
    client.post(second, WAYS[way]()).body
    client.get(first).close()
    result = repr(client)
"""
BULK_WAYS = [name for name in WAYS if name != "a function that returns it"]


@pytest.mark.parametrize(
    ("way", "count"),
    [
        *[(way, COUNT) for way in BULK_WAYS],
        *[pytest.param(way, COUNT_OF_ONE_GIB, marks=pytest.mark.slow) for way in BULK_WAYS],
    ],
)
def test_S05_P08_P19_bulk_is_sent_on_in_little_memory(way, count, certs):
    sink = CountingSink()
    with open_chain(send_bulk(count), sink) as (first, second, _):
        with ScriptedServer.serving(response(b"small")) as small:
            urls = {"first": first.url(), "second": second.url(), "small": small.url()}
            cost = peak_memory(SETUP, WORK, way=way, ca_file=str(certs.ca_file), **urls)
        assert (sink.size, sink.sum) == (len(BLOCK) * count, checksum_of_bulk(count))
        assert first.connections == 1  # it was idle again, and reused
        assert cost.growth < 16 * MIB


@pytest.mark.parametrize("way", ["the response", "a generator over payload_stream"])
def test_S05_a_large_response_is_sent_on_between_tls_connections_of_nginx(way, nginx, certs):
    digest = nginx.make_file("chained", 64 * MIB)
    cost = peak_memory(
        SETUP,
        WORK,
        way=way,
        ca_file=str(certs.ca_file),
        first=nginx.tls_url("/file/chained"),
        second=nginx.tls_url("/drop"),
        small=nginx.url("/small"),
    )
    assert cost.growth < 16 * MIB
    with Client(verify=certs.ca_file) as client:
        source = WAYS[way](client, nginx.tls_url("/file/chained"))
        client.put(nginx.tls_url("/put/chained"), source).raise_for_status()
    assert hashlib.sha256((nginx.uploads / "chained").read_bytes()).hexdigest() == digest
    for path in (nginx.uploads / "chained", nginx.files / "chained"):
        path.unlink()


# Broken off


def read_to_end(peer):
    """Read everything that arrives; send no response."""
    peer.read_head()
    peer.read_to_end()


def assert_no_end(wire):
    length = field(wire, "content-length")
    if length is not None:
        assert len(body_of(wire)) < int(length)
    else:
        assert not wire.endswith(b"0\r\n\r\n")


@EVERY_WAY
@pytest.mark.parametrize("framing", BROKEN)
def test_an_error_names_the_broken_source_and_the_target_receives_no_end(way, framing, tls, certs):
    broken = giving(BROKEN[framing])
    with open_chain(broken, read_to_end, tls=tls, certs=certs) as (first, second, client):
        with pytest.raises(UnexpectedEOF) as caught:
            client.post(second.url("/there"), way(client, first.url("/here")))
        second.join()
        assert_no_end(second.wire[0])
        error = caught.value
        assert str(error).startswith(f"GET {first.url('/here')}: ")
        assert str(error).endswith(
            f"; this body was the payload of POST {second.url('/there')}, which is incomplete"
        )
        assert (error.sent, error.out_of_payload) == ("part", True)
        assert str(pickle.loads(pickle.dumps(error))) == str(error)
        assert repr(client) == "<Client, 0 idle connections>"


def test_the_error_of_a_source_mentions_the_target_only_once():
    with open_chain(giving(BROKEN["length"]), read_to_end) as (first, second, client):
        source = client.get(first.url())
        with pytest.raises(UnexpectedEOF, match="this body was the payload of POST"):
            client.post(second.url(), source)
        for _ in range(2):
            with pytest.raises(UnexpectedEOF) as caught:
                assert not source.body
            assert "the payload of" not in str(caught.value)
            assert (caught.value.sent, caught.value.out_of_payload) == ("all", False)
        with pytest.raises(UnexpectedEOF) as caught:
            client.post(second.url(), source)  # before anything is sent
        assert (caught.value.sent, caught.value.out_of_payload) == ("nothing", True)
        second.join()
        assert second.connections == 1


def test_an_error_hides_secrets_in_the_url_of_the_target():
    with open_chain(giving(BROKEN["length"]), read_to_end) as (first, second, client):
        with pytest.raises(UnexpectedEOF) as caught:
            client.post(second.url("/?token=abc&n=1"), client.get(first.url()))
        assert str(caught.value).endswith("/?token=***&n=1, which is incomplete")


def test_a_silent_source_times_out_and_the_error_names_it():
    def silent(peer):
        peer.read_request()
        peer.send(response(BODY)[:1000])
        peer.read_to_end()

    with open_chain(silent, read_to_end, timeout=Timeout(connect=10, idle=0.3)) as (
        first,
        second,
        client,
    ):
        for way in (WAYS["the response"], fetch):
            with pytest.raises(Error, match="this body was the payload of") as caught:
                client.post(second.url(), way(client, first.url()))
            assert caught.value.request.url.authority == f"127.0.0.1:{first.port}"


# Rejected by the target


def refuse(peer):
    peer.read_head()
    peer.read_some()
    peer.send(response(b"no", status="413 Too Large"))
    peer.drop()


def reset(peer):
    peer.read_head()
    peer.read_some()
    peer.reset()


ENDLESS = giving(b"HTTP/1.1 200 OK\r\n\r\n", *[BLOCK] * 200)


@EVERY_LIVE_WAY
@pytest.mark.parametrize("ending", [refuse, reset])
def test_a_failed_request_closes_the_connection_of_the_source(way, ending, tls, certs):
    with open_chain(ENDLESS, ending, tls=tls, certs=certs, max_tries=1) as (first, second, client):
        source = way(client, first.url())
        if ending is refuse:
            assert client.post(second.url(), source).status == 413
        else:
            with pytest.raises(Error):
                client.post(second.url(), source)
        first.until(lambda: first.peers[0].finished, "the end of the source's connection")
        assert repr(client) == "<Client, 0 idle connections>"


def test_a_body_file_can_be_sent_again_after_a_failed_request():
    with (
        open_chain(respond_always(response(BODY * 50)), refuse) as (first, second, client),
        ScriptedServer.serving(response(b"thanks")) as third,
    ):
        with client.get(first.url()) as source:
            assert client.post(second.url(), source.body_file).status == 413
            assert client.post(third.url(), source.body_file).body == b"thanks"
        assert payload_of(third.request) == BODY * 50
        assert first.connections == 1


def test_breaking_off_payload_stream_closes_the_connection():
    with open_chain(ENDLESS) as (first, _, client):
        response = client.get(first.url())
        for _chunk in response.payload_stream:
            break
        first.until(lambda: first.peers[0].finished, "the end of the source's connection")
        with pytest.raises(AlreadyRead):
            assert not response.body


def test_a_function_is_not_called_for_an_unreachable_target():
    with ScriptedServer(ENDLESS) as first, refusing() as port:
        with Client(timeout=10, max_tries=1) as client:
            for way in (stream_chunks, fetch):
                with pytest.raises(ConnectError):
                    client.post(f"http://127.0.0.1:{port}/", way(client, first.url()))
        assert first.connections == 0


def test_a_closed_response_or_file_raises_before_anything_is_sent():
    with open_chain(respond_always(response(BODY))) as (first, second, client):
        closed = client.get(first.url())
        closed.close()
        for payload in (closed, closed.payload_stream):
            with pytest.raises(AlreadyRead) as caught:
                client.post(second.url(), payload)
            assert (caught.value.sent, caught.value.out_of_payload) == ("nothing", True)
        with client.get(first.url()) as source:
            file = source.tee()
            file.close()
            with pytest.raises(PayloadError, match="bytes so far, closed> is closed"):
                client.post(second.url(), file)
        assert second.connections == 0


# Sent again


@contextmanager
def open_redirect(*, early=False, status=307):
    """Yield a source, a server that redirects, the server it redirects to, and a Client."""

    def away(peer):
        if early:
            peer.read_head()
            peer.read_some()
        else:
            peer.read_request()
        place = f"Location: {there.url('/there')}"
        peer.send(response(b"", place, status=f"{status} Moved"))
        peer.read_to_end()

    with open_chain(respond_always(response(BODY * 30)), away) as (first, here, client):
        with ScriptedServer.serving(response(b"thanks")) as there:
            yield first, here, there, client


ONCE = ("the response", "payload_stream", "a generator over payload_stream")
AGAIN = ("body_file", "a function that yields chunks", "a function that returns it")


@pytest.mark.parametrize("early", [True, False], ids=["early", "late"])
@pytest.mark.parametrize("way", ONCE)
def test_P17_a_one_shot_source_is_not_sent_to_a_redirect(way, early):
    with open_redirect(early=early) as (first, here, there, client):
        with pytest.raises(PayloadNotReplayable, match="replay='spool' keeps it"):
            client.post(here.url(), WAYS[way](client, first.url()))
        assert there.connections == 0


@pytest.mark.parametrize("early", [True, False], ids=["early", "late"])
@pytest.mark.parametrize("way", ONCE)
def test_P17_a_one_shot_source_is_spooled_for_a_redirect(way, early):
    with open_redirect(early=early) as (first, here, there, client):
        answer = client.post(here.url(), WAYS[way](client, first.url()), replay="spool")
        assert (answer.body, answer.history[0].status) == (b"thanks", 307)
        assert payload_of(there.request) == BODY * 30
        assert len(first.requests) == 1
        client.get(first.url()).close()
        assert first.connections == 1


@pytest.mark.parametrize("early", [True, False], ids=["early", "late"])
@pytest.mark.parametrize("way", AGAIN)
def test_S12_a_replayable_source_is_sent_to_a_redirect(way, early):
    with open_redirect(early=early, status=308) as (first, here, there, client):
        answer = client.post(here.url(), WAYS[way](client, first.url()))
        assert answer.body == b"thanks"
        assert there.request.startswith(b"POST /there HTTP/1.1\r\n")
        assert field(there.request, "host") == f"127.0.0.1:{there.port}"
        assert payload_of(there.request) == BODY * 30
        assert len(first.requests) == (1 if way == "body_file" else 2)


def test_S11_each_attempt_of_a_loop_requests_the_source_again():
    answers = [response(b"no", status="500 Oops")] * 2
    with ScriptedServer.serving(*answers, response(b"thanks")) as sink:
        with ScriptedServer(respond_always(response(BODY))) as first, Client(timeout=10) as client:
            stream = stream_chunks(client, first.url())
            statuses = []
            for _ in range(5):
                with client.post(sink.url(), stream) as answer:
                    statuses.append(answer.status)
                    if answer.status < 500:
                        break
            assert statuses == [500, 500, 200]
            assert [payload_of(each) for each in sink.requests] == [BODY] * 3
            assert (len(first.requests), first.connections, sink.connections) == (3, 1, 1)


def test_a_broken_source_is_not_retried():
    with open_chain(giving(BROKEN["length"]), read_to_end, retries=3) as (first, second, client):
        with pytest.raises(UnexpectedEOF):
            client.put(second.url(), fetch(client, first.url()))
        second.join()
        assert (len(first.requests), second.connections) == (1, 1)


# Connections


def test_sending_on_to_the_same_server_needs_two_connections():
    def script(peer):
        peer.without_delay()
        while request := peer.next_request():
            answer = response(BODY * 20) if request.startswith(b"GET") else response(b"thanks")
            peer.send(answer[:300], answer[300:])

    short = Timeout(connect=0.3, idle=10)
    with ScriptedServer(script) as server:
        with Client(timeout=10, max_connections=2) as client:
            assert client.post(server.url(), client.get(server.url())).body == b"thanks"
        with Client(timeout=short, max_connections=1) as client, client.get(server.url()) as source:
            with pytest.raises(ConnectTimeout, match="max_connections"):
                client.post(server.url(), source)
            assert source.body == BODY * 20


def test_a_response_is_sent_on_by_three_servers_in_a_row():
    def pass_on(client, url):
        """Return a script that sends the payload of its request on to another server."""

        def script(peer):
            head = peer.read_head()
            left = int(field(head, "content-length"))

            def chunks():
                nonlocal left
                while left:
                    chunk = peer.read_some(left)
                    left -= len(chunk)
                    yield chunk

            peer.send(response(client.post(url, chunks()).body))

        return script

    with ScriptedServer.serving(response(b"thanks")) as last, Client(timeout=10) as inner:
        with open_chain(respond_always(response(BODY)), pass_on(inner, last.url())) as ends:
            first, second, client = ends
            assert client.post(second.url(), client.get(first.url())).body == b"thanks"
        assert payload_of(last.request) == BODY


def test_several_threads_send_on_with_one_client():
    with open_chain(respond_always(response(BODY))) as (first, second, client):
        stream = stream_chunks(client, first.url())
        threads = [
            threading.Thread(target=client.post, args=(second.url(), stream)) for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        assert [payload_of(each) for each in second.requests] == [BODY] * 4
