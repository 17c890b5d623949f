"""Progress: reports of bytes sent and received, and callbacks that raise."""

from __future__ import annotations

import io
from itertools import pairwise

import pytest

from restkit import Client, Payload, RequestError, TransportError, as_payload, request
from restkit.progress import Progress, ProgressPayload, ProgressSource, as_progress
from support import ScriptedServer, body_of, dechunk, head_of, payload_of, response
from support.answers import FRAMINGS, answered, giving

pytestmark = pytest.mark.smoke

STEP = 256 * 1024
BIG = bytes(range(256)) * 4096  # 1 MiB


class RecordedCalls(list):
    """A callback that records its calls."""

    def __call__(self, done, total):
        self.append((done, total))


def list_steps(size, total="size"):
    total = size if total == "size" else total
    return [(min(done, size), total) for done in range(0, size + STEP, STEP)]


class Resizing(Payload):
    """A payload that resizes its buffer between two chunks."""

    def chunks(self):
        buffer = bytearray(BIG)
        yield buffer
        buffer.extend(b"more")
        yield buffer[-4:]


class CallbackError(Exception):
    pass


# The option


def test_one_callable_reports_the_payload_or_else_the_body():
    calls = RecordedCalls()
    either = as_progress(calls)
    assert either.for_payload(as_payload(b"x")) == Progress(sent=calls)
    assert either.for_payload(None) == Progress(received=calls)


def test_progress_reports_payload_and_body_to_two_callables():
    both = Progress(print, RecordedCalls())
    assert as_progress(both) is both
    assert both.for_payload(None) is both.for_payload(as_payload(b"x")) is both
    assert as_progress(None) is None


@pytest.mark.parametrize("wrong", [1, "text", (print, print), Progress(1), Progress(received="x")])
def test_a_value_that_is_not_callable_raises(wrong):
    with pytest.raises(RequestError, match="progress must be"):
        as_progress(wrong)


# Bytes sent


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (b"", [(0, 0)]),
        (b"abc", [(0, 3), (3, 3)]),
        (BIG, list_steps(len(BIG))),
        (BIG + b"x", list_steps(len(BIG) + 1)),
        ([b"abc", b"", b"de"], [(0, None), (5, None)]),
        ([b"abc", BIG], [(0, None), *((3 + done, None) for done, _ in list_steps(len(BIG))[1:])]),
        ([bytes(1000)] * 600, [(0, None), (263000, None), (526000, None), (600000, None)]),
        ([bytes(1024)] * 512, [(0, None), (STEP, None), (2 * STEP, None)]),
    ],
)
def test_C06_a_payload_is_reported_after_each_256_kib_has_left(source, expected):
    calls = RecordedCalls()
    got = b""
    for chunk in ProgressPayload(as_payload(source), calls):
        assert len(chunk) <= STEP
        assert 0 <= len(got) - calls[-1][0] < STEP
        got += chunk
    assert calls == expected
    assert got == (source if isinstance(source, bytes) else b"".join(source))


def test_C06_each_pass_is_reported_from_0():
    calls = RecordedCalls()
    payload = ProgressPayload(as_payload(b"abc"), calls)
    assert [b"".join(payload) for _ in range(2)] == [b"abc"] * 2
    assert calls == [(0, 3), (3, 3)] * 2


def test_a_source_may_resize_the_buffer_of_a_chunk():
    calls = RecordedCalls()
    payload = ProgressPayload(Resizing(), calls)
    size = sum(len(chunk) for chunk in payload)
    assert calls[-1] == (size, None) == (len(BIG) + 4, None)


def test_a_progress_payload_delegates_to_its_payload(tmp_path):
    class Odd(Payload):
        length = 3
        replayable = True
        headers = (("Content-Type", "x/y"),)
        waits_on = 7

        def trailers(self):
            return [("X-Sum", "1")]

        def chunks(self):
            yield b"abc"

    odd = Odd()
    payload = ProgressPayload(odd, RecordedCalls())
    assert (payload.length, payload.replayable, payload.waits_on) == (3, True, 7)
    assert (payload.headers, payload.trailers()) == (odd.headers, odd.trailers())
    assert repr(payload) == repr(odd)
    assert not payload.started
    next(iter(payload))
    assert payload.started


def test_a_broken_off_pass_closes_the_source():
    closed = []

    def rows():
        try:
            yield b"abc"
            yield b"def"
        finally:
            closed.append(True)

    running = iter(ProgressPayload(as_payload(rows()), RecordedCalls()))
    next(running)
    running.close()
    assert closed == [True]


def test_a_pass_broken_off_in_a_large_chunk_releases_it_before_it_closes_the_source():
    buffer = bytearray(BIG)

    def rows():
        try:
            yield buffer
        finally:
            buffer.clear()  # a BufferError if a view is left

    running = iter(ProgressPayload(as_payload(rows()), RecordedCalls()))
    assert len(next(running)) == STEP
    running.close()
    assert buffer == b""


@pytest.mark.parametrize(
    ("source", "fields", "total"),
    [
        (BIG, {}, len(BIG)),
        (io.BytesIO(BIG), {}, len(BIG)),
        ([BIG], {}, None),
        (iter([BIG]), {}, None),
        (iter([BIG]), {"Content-Length": len(BIG)}, len(BIG)),
        (BIG, {"Transfer-Encoding": "chunked"}, len(BIG)),
    ],
)
def test_C06_a_sent_payload_is_reported_in_every_framing(source, fields, total):
    calls = RecordedCalls()
    with ScriptedServer.serving(response(b"answer")) as server:
        got = request(server.url(), "POST", source, fields, progress=calls)
        assert payload_of(server.request) == BIG
        assert got.body == b"answer"
    assert calls == list_steps(len(BIG), total)


def test_chunked_framing_without_a_payload_is_reported_as_0_of_0():
    calls = RecordedCalls()
    with ScriptedServer.serving(response(b"")) as server:
        fields = {"Transfer-Encoding": "chunked"}
        request(server.url(), "POST", None, fields, progress=Progress(sent=calls))
        assert payload_of(server.request) == b""
    assert calls == [(0, 0)]


def test_C06_a_sent_file_is_reported(tmp_path):
    path = tmp_path / "big"
    path.write_bytes(BIG)
    calls = RecordedCalls()
    with ScriptedServer.serving(response(b"")) as server, path.open("rb") as file:
        request(server.url(), "PUT", file, progress=Progress(sent=calls))
        assert body_of(server.request) == BIG
    assert calls == list_steps(len(BIG))


def test_C06_a_payload_sent_to_a_redirect_is_reported_from_0():
    calls = RecordedCalls()
    responses = (
        response(b"moved", "Location: /b", status="307 Temporary Redirect"),
        response(b"answer"),
    )
    with ScriptedServer.serving(*responses) as server:
        request(server.url(), "POST", b"payload", progress=calls)
        assert [body_of(one) for one in server.requests] == [b"payload"] * 2
    assert calls == [(0, 7), (7, 7)] * 2


def test_C06_another_attempt_is_reported_from_0():
    def hang_up(peer):
        peer.read_head()

    def answer(peer):
        peer.read_request()
        peer.send(response(b"answer"))

    calls = RecordedCalls()
    with ScriptedServer(hang_up, answer) as server:
        got = request(server.url(), "PUT", BIG, progress=calls, wait_tries=0)
        assert (got.body, payload_of(server.request)) == (b"answer", BIG)
    assert [done for done, _ in calls].count(0) == 2
    assert calls[-5:] == list_steps(len(BIG))


def test_an_exception_of_a_callback_while_sending_reaches_the_caller_and_closes_the_connection():
    def fail(done, total):
        if done:
            raise CallbackError

    def script(peer):
        peer.read_to_end()

    with ScriptedServer(script) as server, Client() as client:
        with pytest.raises(CallbackError):
            client.post(server.url(), BIG, progress=fail)
        server.join()
        assert repr(client) == "<Client, 0 idle connections>"


# Bytes received


class ListSource:
    """A source of a body with these chunks."""

    def __init__(self, *chunks):
        self.chunks_left = list(chunks)
        self.closed = False

    def read_chunk(self):
        return self.chunks_left.pop(0) if self.chunks_left else b""

    def readinto(self, view):
        chunk = self.read_chunk()
        view[: len(chunk)] = chunk
        return len(chunk)

    def close(self):
        self.closed = True


def test_a_source_is_reported_from_the_bytes_received_before_to_its_end():
    calls = RecordedCalls()
    source = ProgressSource(ListSource(b"abc", b"de"), calls, 5, 10)
    assert calls == []
    view = memoryview(bytearray(10))
    assert (source.read_chunk(), source.readinto(view)) == (b"abc", 2)
    assert (source.read_chunk(), source.readinto(view)) == (b"", 0)
    assert calls == [(5, 10), (10, 10)]


def test_small_chunks_are_reported_every_256_kib_and_at_the_end():
    calls = RecordedCalls()
    source = ProgressSource(ListSource(*[b"x" * 1000] * 600), calls, 7, None)
    while source.read_chunk():
        pass
    source.read_chunk()
    assert calls == [(7, None), (263007, None), (526007, None), (600007, None)]


def test_the_end_is_reported_without_reading_beyond_a_known_length():
    calls = RecordedCalls()
    source = ProgressSource(ListSource(b"abc", b"de"), calls, 0, 5)
    source.read_chunk()
    source.read_chunk()
    assert calls == [(0, 5), (5, 5)]


def test_C06_a_body_of_tiny_chunks_is_reported_twice_at_most():
    calls = RecordedCalls()
    chunks = b"1\r\nx\r\n" * 20000 + b"0\r\n\r\n"
    answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks
    with answered(giving(answer[:300], answer[300:]), progress=calls) as got:
        assert len(got.body) == 20000
    assert len(calls) <= 2
    assert calls[-1] == (20000, None)


def test_close_closes_the_source():
    source = ListSource()
    ProgressSource(source, RecordedCalls(), 0, None).close()
    assert source.closed


@pytest.mark.parametrize("framing", FRAMINGS)
def test_C06_a_body_is_reported_as_it_arrives_before_it_is_decoded(framing):
    whole = FRAMINGS[framing](BIG)
    head, body = head_of(whole), body_of(whole)
    wire = dechunk(body) if b"chunked" in head else body
    total = len(wire) if b"Content-Length" in head else None
    calls = RecordedCalls()
    with answered(giving(whole[:300], whole[300:9000], whole[9000:]), progress=calls) as got:
        assert calls == []
        assert got.body == BIG
    counts = [done for done, _ in calls]
    assert counts == sorted(set(counts))
    assert counts[-1] == len(wire)
    assert all(after - before >= STEP for before, after in pairwise(counts[:-1]))
    assert max(after - before for before, after in pairwise([0, *counts])) < 3 * STEP
    assert {known for _, known in calls} == {total}


READS = {
    "body": lambda got: got.body,
    "body_file": lambda got: got.body_file.read(),
    "small reads": lambda got: b"".join(iter(lambda: got.body_file.read(1000), b"")),
    "body_stream": lambda got: got.body_stream().read(),
    "payload_stream": lambda got: b"".join(got.payload_stream),
    "save": lambda got: got.save(io.BytesIO()),
}


@pytest.mark.parametrize("name", READS)
def test_C06_every_way_to_read_reports_each_byte_once(name):
    calls = RecordedCalls()
    whole = FRAMINGS["length"](BIG)
    script = giving(whole[:300], whole[300:9000], whole[9000:])
    with answered(script, progress=Progress(received=calls)) as got:
        READS[name](got)
        _ = got.can_read() and got.body
    counts = [done for done, _ in calls]
    assert counts == sorted(set(counts))
    assert calls[-1] == (len(BIG), len(BIG))


def test_C06_a_body_received_with_its_head_is_reported_once():
    calls = RecordedCalls()
    with answered(response(b"small"), progress=calls) as got:
        assert (got.body, got.body, got.body_file.read(), got.text) == (b"small",) * 3 + ("small",)
    assert calls == [(5, 5)]


def test_C06_a_response_without_a_body_is_reported_as_0_of_0():
    calls = RecordedCalls()
    with answered(response(b"small")[:-5], "HEAD", progress=calls) as got:
        assert got.body == b""
    assert calls == [(0, 0)]


def test_C06_a_body_received_while_sending_is_reported():
    def script(peer):
        head = peer.read_head()
        peer.send(FRAMINGS["length"](BIG))
        peer.read_body(head)

    sent, received = RecordedCalls(), RecordedCalls()
    with ScriptedServer(script) as server:
        progress = Progress(sent, received)
        assert request(server.url(), "POST", BIG * 8, progress=progress).body == BIG
    assert sent == list_steps(8 * len(BIG))
    assert received[-1] == (len(BIG), len(BIG))


def test_a_skipped_body_is_not_reported():
    calls = RecordedCalls()
    with answered(response(b"small"), progress=calls) as got:
        got.skip_body()
    assert calls == []


def test_C06_one_callable_reports_the_payload_and_not_the_body():
    calls = RecordedCalls()
    with ScriptedServer.serving(response(b"answer")) as server:
        assert request(server.url(), "POST", b"payload", progress=calls).body == b"answer"
    assert calls == [(0, 7), (7, 7)]


def test_C06_a_redirect_does_not_change_what_one_callable_reports():
    calls = RecordedCalls()
    responses = (
        response(b"moved", "Location: /b", status="303 See Other"),
        response(b"answer"),
    )
    with ScriptedServer.serving(*responses) as server:
        assert request(server.url(), "POST", b"payload", progress=calls).body == b"answer"
    assert calls == [(0, 7), (7, 7)]


def test_C06_bodies_of_redirects_are_not_reported():
    sent, received = RecordedCalls(), RecordedCalls()
    responses = (
        response(b"moved on", "Location: /b", status="307 Temporary Redirect"),
        response(b"answer"),
    )
    with ScriptedServer.serving(*responses) as server:
        progress = Progress(sent=sent, received=received)
        assert request(server.url(), "POST", b"payload", progress=progress).body == b"answer"
    assert sent == [(0, 7), (7, 7)] * 2
    assert received == [(6, 6)]


def test_an_exception_of_a_callback_while_receiving_reaches_the_caller_and_closes_the_connection():
    def fail(done, total):
        if done > 1000:
            raise CallbackError

    whole = FRAMINGS["length"](BIG)
    script = giving(whole[:300], whole[300:600_000], then=lambda peer: peer.read_to_end())
    with ScriptedServer(script) as server, Client(progress=fail) as client:
        got = client.get(server.url())
        with pytest.raises(CallbackError):
            _ = got.body
        server.join()
        assert repr(client) == "<Client, 0 idle connections>"
        with pytest.raises(TransportError, match="interrupted"):
            _ = got.body


def test_C06_a_payload_spooled_for_its_length_is_reported_in_both_attempts():
    calls = RecordedCalls()
    responses = (response(b"", status="411 Length Required"), response(b"answer"))
    with ScriptedServer.serving(*responses) as server:
        assert request(server.url(), "POST", [b"abc", b"de"], progress=calls).body == b"answer"
    assert calls == [(0, None), (5, None), (0, 5), (5, 5)]


def test_C06_a_payload_set_by_a_filter_is_reported():
    class Changing:
        def on_request(self, request):
            request.payload = b"changed"

    calls = RecordedCalls()
    with ScriptedServer.serving(response(b"answer")) as server:
        request(server.url(), "POST", progress=calls, filters=[Changing()])
    assert calls == [(0, 7), (7, 7)]
