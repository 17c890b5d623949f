"""Progress: what is told of what is sent and received, and what happens when telling fails."""

from __future__ import annotations

import io
from itertools import pairwise

import pytest

from restkit import Client, Payload, RequestError, TransportError, as_payload, request
from restkit.progress import Progress, ToldPayload, ToldSource, as_progress
from support import ScriptedServer, body_of, dechunk, head_of, payload_of, response
from support.answers import FRAMINGS, answered, giving

pytestmark = pytest.mark.smoke

BLOCK = 256 * 1024
BIG = bytes(range(256)) * 4096  # 1 MiB


class Told(list):
    """Somebody who writes down what is told."""

    def __call__(self, done, total):
        self.append((done, total))


def steps(size, total="size"):
    total = size if total == "size" else total
    return [(min(done, size), total) for done in range(0, size + BLOCK, BLOCK)]


class Lending(Payload):
    """Gives pieces of one buffer, which it resizes between them."""

    def chunks(self):
        buffer = bytearray(BIG)
        yield buffer
        buffer.extend(b"more")
        yield buffer[-4:]


class Trouble(Exception):
    pass


# The door


def test_one_callable_is_told_of_the_payload_or_else_of_the_body():
    told = Told()
    either = as_progress(told)
    assert either.chosen_for(as_payload(b"x")) == Progress(sent=told)
    assert either.chosen_for(None) == Progress(received=told)


def test_two_are_told_of_what_they_are_named_for():
    both = Progress(print, Told())
    assert as_progress(both) is both
    assert both.chosen_for(None) is both.chosen_for(as_payload(b"x")) is both
    assert as_progress(None) is None


@pytest.mark.parametrize("wrong", [1, "text", (print, print), Progress(1), Progress(received="x")])
def test_what_cannot_be_called_is_refused(wrong):
    with pytest.raises(RequestError, match="progress="):
        as_progress(wrong)


# What is sent


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (b"", [(0, 0)]),
        (b"abc", [(0, 3), (3, 3)]),
        (BIG, steps(len(BIG))),
        (BIG + b"x", steps(len(BIG) + 1)),
        ([b"abc", b"", b"de"], [(0, None), (5, None)]),
        ([b"abc", BIG], [(0, None), *((3 + done, None) for done, _ in steps(len(BIG))[1:])]),
        ([bytes(1000)] * 600, [(0, None), (263000, None), (526000, None), (600000, None)]),
        ([bytes(1024)] * 512, [(0, None), (BLOCK, None), (2 * BLOCK, None)]),
    ],
)
def test_C06_a_payload_is_told_in_blocks_once_each_has_left(source, expected):
    told = Told()
    got = b""
    for block in ToldPayload(as_payload(source), told):
        assert len(block) <= BLOCK
        assert 0 <= len(got) - told[-1][0] < BLOCK
        got += block
    assert told == expected
    assert got == (source if isinstance(source, bytes) else b"".join(source))


def test_C06_each_pass_begins_again_at_0():
    told = Told()
    payload = ToldPayload(as_payload(b"abc"), told)
    assert [b"".join(payload) for _ in range(2)] == [b"abc"] * 2
    assert told == [(0, 3), (3, 3)] * 2


def test_a_source_may_resize_what_it_lent():
    told = Told()
    payload = ToldPayload(Lending(), told)
    size = sum(len(block) for block in payload)
    assert told[-1] == (size, None) == (len(BIG) + 4, None)


def test_what_is_told_of_a_payload_changes_nothing_else_of_it(tmp_path):
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
    payload = ToldPayload(odd, Told())
    assert (payload.length, payload.replayable, payload.waits_on) == (3, True, 7)
    assert (payload.headers, payload.trailers()) == (odd.headers, odd.trailers())
    assert repr(payload) == repr(odd)
    assert not payload.started
    next(iter(payload))
    assert payload.started


def test_a_pass_that_is_broken_off_closes_the_source():
    closed = []

    def rows():
        try:
            yield b"abc"
            yield b"def"
        finally:
            closed.append(True)

    pieces = iter(ToldPayload(as_payload(rows()), Told()))
    next(pieces)
    pieces.close()
    assert closed == [True]


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
def test_C06_what_is_sent_is_told_on_the_wire(source, fields, total):
    told = Told()
    with ScriptedServer.serving(response(b"answer")) as server:
        got = request(server.url(), "POST", source, fields, progress=told)
        assert payload_of(server.request) == BIG
        assert got.body == b"answer"
    assert told == steps(len(BIG), total)


def test_C06_a_file_is_told_in_blocks_too(tmp_path):
    path = tmp_path / "big"
    path.write_bytes(BIG)
    told = Told()
    with ScriptedServer.serving(response(b"")) as server, path.open("rb") as file:
        request(server.url(), "PUT", file, progress=Progress(sent=told))
        assert body_of(server.request) == BIG
    assert told == steps(len(BIG))


def test_C06_a_redirect_that_takes_the_payload_along_begins_again_at_0():
    told = Told()
    answers = (
        response(b"moved", "Location: /b", status="307 Temporary Redirect"),
        response(b"answer"),
    )
    with ScriptedServer.serving(*answers) as server:
        request(server.url(), "POST", b"payload", progress=told)
        assert [body_of(one) for one in server.requests] == [b"payload"] * 2
    assert told == [(0, 7), (7, 7)] * 2


def test_C06_another_try_begins_again_at_0():
    def hang_up(peer):
        peer.read_head()

    def answer(peer):
        peer.read_request()
        peer.send(response(b"answer"))

    told = Told()
    with ScriptedServer(hang_up, answer) as server:
        got = request(server.url(), "PUT", BIG, progress=told, wait_tries=0)
        assert (got.body, payload_of(server.request)) == (b"answer", BIG)
    assert [done for done, _ in told].count(0) == 2
    assert told[-5:] == steps(len(BIG))


def test_what_the_told_one_raises_while_sending_reaches_the_caller_and_the_connection_is_closed():
    def told(done, total):
        if done:
            raise Trouble

    def script(peer):
        peer.read_to_end()

    with ScriptedServer(script) as server, Client() as client:
        with pytest.raises(Trouble):
            client.post(server.url(), BIG, progress=told)
        server.join()
        assert repr(client) == "<Client, 0 idle connections>"


# What is received


class Pieces:
    """A source of a body, for what stands before it."""

    def __init__(self, *pieces):
        self.pieces = list(pieces)
        self.closed = False

    def read_piece(self):
        return self.pieces.pop(0) if self.pieces else b""

    def readinto(self, view):
        piece = self.read_piece()
        view[: len(piece)] = piece
        return len(piece)

    def close(self):
        self.closed = True


def test_a_source_is_told_from_what_had_come_to_its_end():
    told = Told()
    source = ToldSource(Pieces(b"abc", b"de"), told, 5, 10)
    assert told == []
    view = memoryview(bytearray(10))
    assert (source.read_piece(), source.readinto(view)) == (b"abc", 2)
    assert (source.read_piece(), source.readinto(view)) == (b"", 0)
    assert told == [(5, 10), (10, 10)]


def test_of_small_pieces_it_is_told_once_a_block_and_at_the_end():
    told = Told()
    source = ToldSource(Pieces(*[b"x" * 1000] * 600), told, 7, None)
    while source.read_piece():
        pass
    source.read_piece()
    assert told == [(7, None), (263007, None), (526007, None), (600007, None)]


def test_who_knows_the_length_need_not_ask_for_the_end_to_tell_of_it():
    told = Told()
    source = ToldSource(Pieces(b"abc", b"de"), told, 0, 5)
    source.read_piece()
    source.read_piece()
    assert told == [(0, 5), (5, 5)]


def test_C06_a_body_of_tiny_chunks_is_told_a_few_times():
    told = Told()
    chunks = b"1\r\nx\r\n" * 20000 + b"0\r\n\r\n"
    answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks
    with answered(giving(answer[:300], answer[300:]), progress=told) as got:
        assert len(got.body) == 20000
    assert len(told) <= 2
    assert told[-1] == (20000, None)


def test_to_close_it_closes_the_source():
    pieces = Pieces()
    ToldSource(pieces, Told(), 0, None).close()
    assert pieces.closed


@pytest.mark.parametrize("framing", FRAMINGS)
def test_C06_what_is_received_is_told_as_it_comes_before_it_is_decoded(framing):
    whole = FRAMINGS[framing](BIG)
    head, body = head_of(whole), body_of(whole)
    wire = dechunk(body) if b"chunked" in head else body
    total = len(wire) if b"Content-Length" in head else None
    told = Told()
    with answered(giving(whole[:300], whole[300:9000], whole[9000:]), progress=told) as got:
        assert told == []
        assert got.body == BIG
    counts = [done for done, _ in told]
    assert counts == sorted(set(counts))
    assert counts[-1] == len(wire)
    assert all(after - before >= BLOCK for before, after in pairwise(counts[:-1]))
    assert max(after - before for before, after in pairwise([0, *counts])) < 3 * BLOCK
    assert {known for _, known in told} == {total}


TAKEN = {
    "body": lambda got: got.body,
    "body_file": lambda got: got.body_file.read(),
    "small reads": lambda got: b"".join(iter(lambda: got.body_file.read(1000), b"")),
    "body_stream": lambda got: got.body_stream().read(),
    "payload_stream": lambda got: b"".join(got.payload_stream),
    "save": lambda got: got.save(io.BytesIO()),
}


@pytest.mark.parametrize("way", TAKEN)
def test_C06_however_a_body_is_taken_each_byte_of_it_is_told_once(way):
    told = Told()
    whole = FRAMINGS["length"](BIG)
    script = giving(whole[:300], whole[300:9000], whole[9000:])
    with answered(script, progress=Progress(received=told)) as got:
        TAKEN[way](got)
        _ = got.can_read() and got.body
    counts = [done for done, _ in told]
    assert counts == sorted(set(counts))
    assert told[-1] == (len(BIG), len(BIG))


def test_C06_a_small_body_that_came_with_its_head_is_told_once():
    told = Told()
    with answered(response(b"small"), progress=told) as got:
        assert (got.body, got.body, got.body_file.read(), got.text) == (b"small",) * 3 + ("small",)
    assert told == [(5, 5)]


def test_C06_of_an_answer_without_a_body_it_is_told_that_there_is_nothing():
    told = Told()
    with answered(response(b"small")[:-5], "HEAD", progress=told) as got:
        assert got.body == b""
    assert told == [(0, 0)]


def test_C06_a_body_that_came_while_the_payload_was_sent_is_told_too():
    def script(peer):
        head = peer.read_head()
        peer.send(FRAMINGS["length"](BIG))
        peer.read_body(head)

    sent, received = Told(), Told()
    with ScriptedServer(script) as server:
        progress = Progress(sent, received)
        assert request(server.url(), "POST", BIG * 8, progress=progress).body == BIG
    assert sent == steps(8 * len(BIG))
    assert received[-1] == (len(BIG), len(BIG))


def test_a_body_that_is_let_go_is_told_to_nobody():
    told = Told()
    with answered(response(b"small"), progress=told) as got:
        got.skip_body()
    assert told == []


def test_C06_one_callable_is_told_of_the_payload_and_not_of_the_body():
    told = Told()
    with ScriptedServer.serving(response(b"answer")) as server:
        assert request(server.url(), "POST", b"payload", progress=told).body == b"answer"
    assert told == [(0, 7), (7, 7)]


def test_C06_it_is_the_call_that_decides_of_what_and_not_the_redirect():
    told = Told()
    answers = (
        response(b"moved", "Location: /b", status="303 See Other"),
        response(b"answer"),
    )
    with ScriptedServer.serving(*answers) as server:
        assert request(server.url(), "POST", b"payload", progress=told).body == b"answer"
    assert told == [(0, 7), (7, 7)]


def test_C06_two_are_told_of_one_call_and_not_of_what_lies_on_the_way():
    sent, received = Told(), Told()
    answers = (
        response(b"moved on", "Location: /b", status="307 Temporary Redirect"),
        response(b"answer"),
    )
    with ScriptedServer.serving(*answers) as server:
        progress = Progress(sent=sent, received=received)
        assert request(server.url(), "POST", b"payload", progress=progress).body == b"answer"
    assert sent == [(0, 7), (7, 7)] * 2
    assert received == [(6, 6)]


def test_what_the_told_one_raises_while_receiving_reaches_the_caller_and_the_connection_is_closed():
    def told(done, total):
        if done > 1000:
            raise Trouble

    whole = FRAMINGS["length"](BIG)
    script = giving(whole[:300], whole[300:600_000], then=lambda peer: peer.read_to_end())
    with ScriptedServer(script) as server, Client(progress=told) as client:
        got = client.get(server.url())
        with pytest.raises(Trouble):
            _ = got.body
        server.join()
        assert repr(client) == "<Client, 0 idle connections>"
        with pytest.raises(TransportError, match="interrupted"):
            _ = got.body


def test_C06_a_payload_spooled_for_its_length_is_told_when_it_is_sent():
    told = Told()
    answers = (response(b"", status="411 Length Required"), response(b"answer"))
    with ScriptedServer.serving(*answers) as server:
        assert request(server.url(), "POST", [b"abc", b"de"], progress=told).body == b"answer"
    assert told == [(0, None), (5, None), (0, 5), (5, 5)]


def test_C06_a_payload_that_a_filter_has_changed_is_told():
    class Changing:
        def on_request(self, request):
            request.payload = b"changed"

    told = Told()
    with ScriptedServer.serving(response(b"answer")) as server:
        request(server.url(), "POST", progress=told, filters=[Changing()])
    assert told == [(0, 7), (7, 7)]
