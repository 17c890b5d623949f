"""Payloads that are kept while they are sent: what a second pass gives, and what stays open."""

from __future__ import annotations

import gc
import os
import socket
import tempfile
import threading
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from restkit.errors import PayloadLengthError, PayloadNotReplayable
from restkit.io.spool import MEMORY, Spool
from restkit.payload.base import DeclaredLength, Payload, can_send
from restkit.payload.convert import as_payload
from restkit.payload.spooled import SpooledPayload, spool_payload
from support.answers import no_file_over
from support.memory import open_descriptors

in_memory = partial(Spool, MEMORY)
in_file = partial(Spool, 0)


def kept(value: object, new_spool=in_memory) -> SpooledPayload:
    payload = as_payload(value)
    assert payload is not None
    return SpooledPayload(payload, new_spool)


def sent(payload: Payload) -> bytes:
    """One pass. Each piece is copied while it is good, as the wire does with what it sends."""
    return b"".join(bytes(piece) for piece in payload)


def begun(payload: Payload, count: int) -> list[bytes]:
    """The first pieces of a pass that is broken off behind them."""
    a_pass = iter(payload)
    pieces = [bytes(next(a_pass)) for _ in range(count)]
    a_pass.close()
    return pieces


class Noted:
    """A generator of these pieces, and a note of each that is asked for, and of its end."""

    def __init__(self, *pieces: bytes) -> None:
        self.asked: list[bytes] = []
        self.closed = False
        self.items = self._run(pieces)

    def _run(self, pieces):
        try:
            for piece in pieces:
                self.asked.append(piece)
                yield piece
        finally:
            self.closed = True


# A second pass


@pytest.mark.parametrize("new_spool", [in_memory, in_file], ids=["in memory", "in a file"])
def test_P17_what_was_sent_once_goes_again_and_the_source_is_asked_once(new_spool):
    noted = Noted(b"one ", b"two ", b"three")
    payload = kept(noted.items, new_spool)
    assert [sent(payload) for _ in range(3)] == [b"one two three"] * 3
    assert noted.asked == [b"one ", b"two ", b"three"]
    assert noted.closed
    payload.close()


@pytest.mark.parametrize("new_spool", [in_memory, in_file], ids=["in memory", "in a file"])
def test_P17_a_pass_after_a_broken_one_gives_the_spool_and_then_goes_on(new_spool):
    noted = Noted(b"one ", b"two ", b"three ", b"four")
    payload = kept(noted.items, new_spool)
    assert begun(payload, 2) == [b"one ", b"two "]
    assert not noted.closed
    assert begun(payload, 1) == [b"one two "]
    assert noted.asked == [b"one ", b"two "]
    assert sent(payload) == b"one two three four"
    assert sent(payload) == b"one two three four"
    assert noted.asked == [b"one ", b"two ", b"three ", b"four"]
    assert noted.closed
    payload.close()


@given(
    pieces=st.lists(st.binary(max_size=20), max_size=8),
    stops=st.lists(st.integers(0, 10), max_size=5),
    memory=st.sampled_from([0, 5, MEMORY]),
    known=st.booleans(),
)
def test_P17_wherever_passes_break_off_the_last_one_is_whole(pieces, stops, memory, known):
    whole = b"".join(pieces)
    source = as_payload(iter(pieces))
    assert source is not None
    if known:
        source = DeclaredLength(source, len(whole))
    payload = SpooledPayload(source, partial(Spool, memory))
    for stop in stops:
        came = b""
        a_pass = iter(payload)
        for _, piece in zip(range(stop), a_pass, strict=False):
            came += bytes(piece)
        a_pass.close()
        assert whole.startswith(came)
    assert sent(payload) == whole
    assert sent(payload) == whole
    payload.close()


def test_what_it_says_of_itself_is_what_its_source_says():
    source = as_payload("text")
    assert source is not None
    payload = SpooledPayload(source, in_memory)
    assert (payload.length, payload.headers) == (4, source.headers)
    assert payload.replayable
    assert not payload.started
    assert sent(payload) == b"text"
    assert payload.started
    assert can_send(payload)


def test_it_shows_its_source():
    assert (
        repr(kept(iter([b"x"])))
        == "<SpooledPayload of list_iterator of unknown length, replayable>"
    )


class WithTrailers(Payload):
    def chunks(self):
        self.count = 0
        for piece in (b"ab", b"cde"):
            self.count += len(piece)
            yield piece

    def trailers(self):
        return [("X-Count", str(self.count))]


def test_trailers_are_those_of_the_source_at_every_pass():
    payload = SpooledPayload(WithTrailers(), in_memory)
    for _ in range(2):
        assert sent(payload) == b"abcde"
        assert payload.trailers() == [("X-Count", "5")]


def test_a_source_without_anything_is_empty_twice():
    payload = kept(iter([]))
    assert [sent(payload), sent(payload)] == [b"", b""]


def test_the_length_that_was_declared_is_held_to_at_every_pass():
    payload = kept(iter([b"abc"]))
    for _ in range(2):
        with pytest.raises(PayloadLengthError, match="gave 3 of 5 bytes"):
            sent(DeclaredLength(payload, 5))
    assert sent(DeclaredLength(payload, 3)) == b"abc"


def test_a_payload_that_is_spent_cannot_be_kept_any_more():
    source = as_payload(iter([b"x"]))
    assert source is not None
    sent(source)
    with pytest.raises(PayloadNotReplayable, match="list_iterator"):
        SpooledPayload(source, in_memory)


def test_what_is_lent_may_be_filled_anew_as_soon_as_the_next_is_asked_for():
    def lending():
        buffer = bytearray(3)
        for value in b"abc":
            buffer[:] = bytes([value]) * 3
            yield buffer

    payload = kept(lending())
    assert [sent(payload), sent(payload)] == [b"aaabbbccc"] * 2


# What it waits on


def test_it_waits_on_its_source_only_where_the_source_gives_the_next_piece():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        payload = kept(ours)
        assert payload.waits_on == ours.fileno()
        theirs.send(b"first ")
        a_pass = iter(payload)
        assert bytes(next(a_pass)) == b"first "
        assert payload.waits_on == ours.fileno()
        a_pass.close()
        assert payload.waits_on is None
        again = iter(payload)
        assert bytes(next(again)) == b"first "
        assert payload.waits_on == ours.fileno()
        theirs.send(b"last")
        theirs.shutdown(socket.SHUT_WR)
        assert b"".join(map(bytes, again)) == b"last"
        assert payload.waits_on is None
        third = iter(payload)
        assert bytes(next(third)) == b"first last"
        assert payload.waits_on is None
        payload.close()


# Failures


def failing(exc: BaseException):
    yield b"some "
    raise exc


@pytest.mark.parametrize("exc", [KeyError("k"), OSError(5, "disk"), KeyboardInterrupt()])
def test_a_source_that_failed_does_not_pretend_to_be_whole(exc):
    payload = kept(failing(exc), in_file)
    with pytest.raises(type(exc)) as caught:
        sent(payload)
    assert caught.value is exc
    assert not can_send(payload)
    with pytest.raises(
        PayloadNotReplayable, match=f"of generator [a-z]+, which failed by {type(exc).__name__},"
    ):
        sent(payload)


def test_a_source_that_failed_after_a_broken_pass_does_not_pretend_either():
    payload = kept(failing(ValueError("v")))
    assert begun(payload, 1) == [b"some "]
    with pytest.raises(ValueError, match="v"):
        sent(payload)
    with pytest.raises(PayloadNotReplayable):
        sent(payload)


def test_a_failure_lets_the_spool_go_at_once_and_holds_no_frames():
    before = open_descriptors()
    payload = kept(failing(KeyError("k")), in_file)
    with pytest.raises(KeyError):
        sent(payload)
    assert open_descriptors() == before


def test_a_full_disk_is_the_systems_own_error_and_sticks(tmp_path):
    payload = kept(iter([b"x" * 600, b"y" * 600]), partial(Spool, 100, str(tmp_path)))
    with no_file_over(1000), pytest.raises(OSError, match="File too large"):
        sent(payload)
    with pytest.raises(PayloadNotReplayable, match="which failed by OSError"):
        sent(payload)


def test_a_source_of_the_wrong_length_fails_as_ever():
    source = DeclaredLength(kept(iter([b"too much"])), 3)
    payload = SpooledPayload(source, in_memory)
    with pytest.raises(PayloadLengthError, match="more than 3 bytes"):
        sent(payload)


# One at a time, and the end


def test_two_passes_at_once_are_refused_and_the_first_goes_on():
    payload = kept(iter([b"one ", b"two"]))
    first = iter(payload)
    assert bytes(next(first)) == b"one "
    with pytest.raises(PayloadNotReplayable, match="is being sent already"):
        sent(payload)
    with pytest.raises(PayloadNotReplayable, match="is being sent already"):
        payload.measure()
    assert b"".join(map(bytes, first)) == b"two"
    assert sent(payload) == b"one two"


def test_of_many_threads_one_sends_and_the_others_are_told():
    count = 8
    start, refused, came = threading.Barrier(count), [], []
    go = threading.Event()

    def slowly():
        for piece in (b"one ", b"two"):
            go.wait(10)
            yield piece

    payload = kept(slowly())

    def run():
        start.wait(10)
        try:
            came.append(sent(payload))
        except PayloadNotReplayable as exc:
            refused.append(exc)
            if len(refused) == count - 1:
                go.set()

    threads = [threading.Thread(target=run) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert came == [b"one two"]
    assert len(refused) == count - 1


def test_close_lets_go_of_source_and_file_and_may_be_called_twice():
    before = open_descriptors()
    noted = Noted(b"one ", b"two")
    payload = kept(noted.items, in_file)
    begun(payload, 1)
    assert open_descriptors() != before
    payload.close()
    payload.close()
    assert open_descriptors() == before
    assert noted.closed
    assert not can_send(payload)
    with pytest.raises(PayloadNotReplayable, match="of generator _run, which was closed,"):
        sent(payload)
    with pytest.raises(PayloadNotReplayable, match="which was closed,"):
        payload.measure()


def test_close_during_a_pass_takes_effect_when_that_is_over():
    before = open_descriptors()
    noted = Noted(b"one ", b"two")
    payload = kept(noted.items, in_file)
    a_pass = iter(payload)
    assert bytes(next(a_pass)) == b"one "
    payload.close()
    assert b"".join(map(bytes, a_pass)) == b"two"
    assert open_descriptors() == before
    with pytest.raises(PayloadNotReplayable):
        sent(payload)


def test_one_that_is_dropped_leaves_nothing_open():
    before = open_descriptors()
    noted = Noted(b"one ", b"two")
    payload = kept(noted.items, in_file)
    begun(payload, 1)
    gc.disable()
    try:
        del payload
        assert noted.closed
        assert open_descriptors() == before
    finally:
        gc.enable()


def test_a_mebibyte_is_kept_in_memory_and_more_in_a_file_without_a_name():
    before = open_descriptors()
    payload = kept(iter([b"x" * MEMORY, b"y"]))
    a_pass = iter(payload)
    next(a_pass)
    assert open_descriptors() == before
    next(a_pass)
    assert open_descriptors() != before
    assert os.listdir(tempfile.gettempdir()) == []
    a_pass.close()
    payload.close()


# Read whole before it is sent


@given(pieces=st.lists(st.binary(max_size=20), max_size=8), memory=st.sampled_from([0, 5, MEMORY]))
def test_P17_what_is_spooled_has_its_length_and_goes_again(pieces, memory):
    whole = b"".join(pieces)
    source = as_payload(iter(pieces))
    assert source is not None
    payload = spool_payload(source, partial(Spool, memory))
    assert payload.length == len(whole)
    assert payload.replayable
    assert not payload.started
    assert [sent(payload), sent(payload)] == [whole, whole]
    payload.close()


def test_spooled_keeps_what_the_payload_wants_in_the_head():
    source = WithTrailers()
    source.headers = (("Content-Type", "text/x"), ("Content-Encoding", "y"))
    assert spool_payload(source, in_memory).headers == source.headers


def test_spooled_closes_the_source_as_a_pass_does():
    noted = Noted(b"one ", b"two")
    source = as_payload(noted.items)
    assert source is not None
    spool_payload(source, in_memory)
    assert noted.closed


def test_of_one_that_is_kept_already_only_the_rest_is_read():
    noted = Noted(b"one ", b"two ", b"three")
    payload = kept(noted.items)
    begun(payload, 1)
    assert spool_payload(payload, in_memory) is payload
    assert payload.length == 13
    assert noted.asked == [b"one ", b"two ", b"three"]
    assert sent(payload) == b"one two three"


def test_spooled_passes_on_what_the_source_raises_and_leaves_nothing_open():
    before = open_descriptors()
    source = as_payload(failing(KeyError("k")))
    assert source is not None
    with pytest.raises(KeyError):
        spool_payload(source, in_file)
    assert open_descriptors() == before


def test_spooled_passes_on_a_full_disk_as_it_is(tmp_path):
    source = as_payload(iter([b"x" * 5000]))
    assert source is not None
    with no_file_over(1000), pytest.raises(OSError, match="File too large"):
        spool_payload(source, partial(Spool, 100, str(tmp_path)))


def test_spooled_refuses_what_is_being_sent_and_leaves_it_alone():
    payload = kept(iter([b"one ", b"two"]))
    a_pass = iter(payload)
    assert bytes(next(a_pass)) == b"one "
    with pytest.raises(PayloadNotReplayable, match="is being sent already"):
        spool_payload(payload, in_memory)
    assert b"".join(map(bytes, a_pass)) == b"two"
