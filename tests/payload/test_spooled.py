"""Payloads that are spooled while, or before, they are sent."""

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
from restkit.io.spool import DEFAULT_MEMORY_SIZE, Spool
from restkit.payload.base import DeclaredLength, Payload, can_send
from restkit.payload.convert import as_payload
from restkit.payload.spooled import SpooledPayload, spool_payload
from support.answers import no_file_over
from support.memory import open_descriptors
from support.payloads import join_chunks

in_memory = partial(Spool, DEFAULT_MEMORY_SIZE)
in_file = partial(Spool, 0)


def spool_value(value: object, new_spool=in_memory) -> SpooledPayload:
    payload = as_payload(value)
    assert payload is not None
    return SpooledPayload(payload, new_spool)


def read_chunks(payload: Payload, count: int) -> list[bytes]:
    """Return the first chunks of a pass that is broken off after them."""
    running = iter(payload)
    chunks = [bytes(next(running)) for _ in range(count)]
    running.close()
    return chunks


class RecordedSource:
    """A generator of chunks that records which were requested, and whether it was closed."""

    def __init__(self, *chunks: bytes) -> None:
        self.requested: list[bytes] = []
        self.closed = False
        self.items = self._run(chunks)

    def _run(self, chunks):
        try:
            for chunk in chunks:
                self.requested.append(chunk)
                yield chunk
        finally:
            self.closed = True


# A second pass


@pytest.mark.parametrize("new_spool", [in_memory, in_file], ids=["in memory", "in a file"])
def test_P17_a_one_shot_source_is_read_once_and_sent_again(new_spool):
    recorded = RecordedSource(b"one ", b"two ", b"three")
    payload = spool_value(recorded.items, new_spool)
    assert [join_chunks(payload) for _ in range(3)] == [b"one two three"] * 3
    assert recorded.requested == [b"one ", b"two ", b"three"]
    assert recorded.closed
    payload.close()


@pytest.mark.parametrize("new_spool", [in_memory, in_file], ids=["in memory", "in a file"])
def test_P17_a_pass_after_a_broken_one_sends_the_spool_and_then_the_source(new_spool):
    recorded = RecordedSource(b"one ", b"two ", b"three ", b"four")
    payload = spool_value(recorded.items, new_spool)
    assert read_chunks(payload, 2) == [b"one ", b"two "]
    assert not recorded.closed
    assert read_chunks(payload, 1) == [b"one two "]
    assert recorded.requested == [b"one ", b"two "]
    assert join_chunks(payload) == b"one two three four"
    assert join_chunks(payload) == b"one two three four"
    assert recorded.requested == [b"one ", b"two ", b"three ", b"four"]
    assert recorded.closed
    payload.close()


@given(
    chunks=st.lists(st.binary(max_size=20), max_size=8),
    stops=st.lists(st.integers(0, 10), max_size=5),
    memory=st.sampled_from([0, 5, DEFAULT_MEMORY_SIZE]),
    known=st.booleans(),
)
def test_P17_the_last_pass_is_whole_wherever_earlier_ones_break_off(chunks, stops, memory, known):
    whole = b"".join(chunks)
    source = as_payload(iter(chunks))
    assert source is not None
    if known:
        source = DeclaredLength(source, len(whole))
    payload = SpooledPayload(source, partial(Spool, memory))
    for stop in stops:
        received = b""
        running = iter(payload)
        for _, chunk in zip(range(stop), running, strict=False):
            received += bytes(chunk)
        running.close()
        assert whole.startswith(received)
    assert join_chunks(payload) == whole
    assert join_chunks(payload) == whole
    payload.close()


def test_length_and_headers_are_those_of_the_source():
    source = as_payload("text")
    assert source is not None
    payload = SpooledPayload(source, in_memory)
    assert (payload.length, payload.headers) == (4, source.headers)
    assert payload.replayable
    assert not payload.started
    assert join_chunks(payload) == b"text"
    assert payload.started
    assert can_send(payload)


def test_a_repr_shows_the_source():
    assert (
        repr(spool_value(iter([b"x"])))
        == "<SpooledPayload of list_iterator of unknown length, replayable>"
    )


class WithTrailers(Payload):
    def chunks(self):
        self.count = 0
        for chunk in (b"ab", b"cde"):
            self.count += len(chunk)
            yield chunk

    def trailers(self):
        return [("X-Count", str(self.count))]


def test_trailers_are_those_of_the_source_in_every_pass():
    payload = SpooledPayload(WithTrailers(), in_memory)
    for _ in range(2):
        assert join_chunks(payload) == b"abcde"
        assert payload.trailers() == [("X-Count", "5")]


def test_an_empty_source_is_empty_in_every_pass():
    payload = spool_value(iter([]))
    assert [join_chunks(payload), join_chunks(payload)] == [b"", b""]


def test_a_declared_length_is_checked_in_every_pass():
    payload = spool_value(iter([b"abc"]))
    for _ in range(2):
        with pytest.raises(PayloadLengthError, match="produced 3 of 5 bytes"):
            join_chunks(DeclaredLength(payload, 5))
    assert join_chunks(DeclaredLength(payload, 3)) == b"abc"


def test_a_one_shot_payload_that_was_sent_cannot_be_spooled():
    source = as_payload(iter([b"x"]))
    assert source is not None
    join_chunks(source)
    with pytest.raises(PayloadNotReplayable, match="list_iterator"):
        SpooledPayload(source, in_memory)


def test_a_source_may_refill_the_buffer_of_a_chunk():
    def refill_buffer():
        buffer = bytearray(3)
        for value in b"abc":
            buffer[:] = bytes([value]) * 3
            yield buffer

    payload = spool_value(refill_buffer())
    assert [join_chunks(payload), join_chunks(payload)] == [b"aaabbbccc"] * 2


# The descriptor to wait on


def test_waits_on_is_set_only_if_the_source_has_the_next_chunk():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        payload = spool_value(ours)
        assert payload.waits_on == ours.fileno()
        theirs.send(b"first ")
        running = iter(payload)
        assert bytes(next(running)) == b"first "
        assert payload.waits_on == ours.fileno()
        running.close()
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


# Errors


def fail_after_one_chunk(exc: BaseException):
    yield b"some "
    raise exc


@pytest.mark.parametrize("exc", [KeyError("k"), OSError(5, "disk"), KeyboardInterrupt()])
def test_a_source_that_failed_cannot_be_sent_again(exc):
    payload = spool_value(fail_after_one_chunk(exc), in_file)
    with pytest.raises(type(exc)) as caught:
        join_chunks(payload)
    assert caught.value is exc
    assert not can_send(payload)
    with pytest.raises(
        PayloadNotReplayable, match=f"of generator [a-z_]+, which failed with {type(exc).__name__},"
    ):
        join_chunks(payload)


def test_a_source_that_failed_after_a_broken_pass_cannot_be_sent_again():
    payload = spool_value(fail_after_one_chunk(ValueError("v")))
    assert read_chunks(payload, 1) == [b"some "]
    with pytest.raises(ValueError, match="v"):
        join_chunks(payload)
    with pytest.raises(PayloadNotReplayable):
        join_chunks(payload)


def test_an_error_closes_the_spool_at_once():
    before = open_descriptors()
    payload = spool_value(fail_after_one_chunk(KeyError("k")), in_file)
    with pytest.raises(KeyError):
        join_chunks(payload)
    assert open_descriptors() == before


def test_a_full_disk_raises_the_os_error_and_ends_replay(tmp_path):
    payload = spool_value(iter([b"x" * 600, b"y" * 600]), partial(Spool, 100, str(tmp_path)))
    with no_file_over(1000), pytest.raises(OSError, match="File too large"):
        join_chunks(payload)
    with pytest.raises(PayloadNotReplayable, match="which failed with OSError"):
        join_chunks(payload)


def test_a_source_of_another_length_raises():
    source = DeclaredLength(spool_value(iter([b"too much"])), 3)
    payload = SpooledPayload(source, in_memory)
    with pytest.raises(PayloadLengthError, match="more than 3 bytes"):
        join_chunks(payload)


# One pass at a time, and the end


def test_a_second_pass_at_the_same_time_raises_and_the_first_continues():
    payload = spool_value(iter([b"one ", b"two"]))
    first = iter(payload)
    assert bytes(next(first)) == b"one "
    with pytest.raises(PayloadNotReplayable, match="is being sent already"):
        join_chunks(payload)
    with pytest.raises(PayloadNotReplayable, match="is being sent already"):
        payload.measure()
    assert b"".join(map(bytes, first)) == b"two"
    assert join_chunks(payload) == b"one two"


def test_one_of_several_threads_sends_and_the_others_raise():
    count = 8
    start, refused, received = threading.Barrier(count), [], []
    go = threading.Event()

    def slowly():
        for chunk in (b"one ", b"two"):
            go.wait(10)
            yield chunk

    payload = spool_value(slowly())

    def run():
        start.wait(10)
        try:
            received.append(join_chunks(payload))
        except PayloadNotReplayable as exc:
            refused.append(exc)
            if len(refused) == count - 1:
                go.set()

    threads = [threading.Thread(target=run) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert received == [b"one two"]
    assert len(refused) == count - 1


def test_close_closes_source_and_file_and_is_idempotent():
    before = open_descriptors()
    recorded = RecordedSource(b"one ", b"two")
    payload = spool_value(recorded.items, in_file)
    read_chunks(payload, 1)
    assert open_descriptors() != before
    payload.close()
    payload.close()
    assert open_descriptors() == before
    assert recorded.closed
    assert not can_send(payload)
    with pytest.raises(PayloadNotReplayable, match="of generator _run, which was closed,"):
        join_chunks(payload)
    with pytest.raises(PayloadNotReplayable, match="which was closed,"):
        payload.measure()


def test_close_during_a_pass_takes_effect_after_it():
    before = open_descriptors()
    recorded = RecordedSource(b"one ", b"two")
    payload = spool_value(recorded.items, in_file)
    running = iter(payload)
    assert bytes(next(running)) == b"one "
    payload.close()
    assert b"".join(map(bytes, running)) == b"two"
    assert open_descriptors() == before
    with pytest.raises(PayloadNotReplayable):
        join_chunks(payload)


def test_a_payload_that_is_dropped_leaves_nothing_open():
    before = open_descriptors()
    recorded = RecordedSource(b"one ", b"two")
    payload = spool_value(recorded.items, in_file)
    read_chunks(payload, 1)
    gc.disable()
    try:
        del payload
        assert recorded.closed
        assert open_descriptors() == before
    finally:
        gc.enable()


@pytest.mark.posix("an open file cannot be unlinked")
def test_one_mib_is_kept_in_memory_and_more_in_a_nameless_file():
    before = open_descriptors()
    payload = spool_value(iter([b"x" * DEFAULT_MEMORY_SIZE, b"y"]))
    running = iter(payload)
    next(running)
    assert open_descriptors() == before
    next(running)
    assert open_descriptors() != before
    assert os.listdir(tempfile.gettempdir()) == []
    running.close()
    payload.close()


# Spooled before it is sent


@given(
    chunks=st.lists(st.binary(max_size=20), max_size=8),
    memory=st.sampled_from([0, 5, DEFAULT_MEMORY_SIZE]),
)
def test_P17_a_payload_spooled_first_has_a_length_and_is_replayable(chunks, memory):
    whole = b"".join(chunks)
    source = as_payload(iter(chunks))
    assert source is not None
    payload = spool_payload(source, partial(Spool, memory))
    assert payload.length == len(whole)
    assert payload.replayable
    assert not payload.started
    assert [join_chunks(payload), join_chunks(payload)] == [whole, whole]
    payload.close()


def test_spool_payload_keeps_the_headers():
    source = WithTrailers()
    source.headers = (("Content-Type", "text/x"), ("Content-Encoding", "y"))
    assert spool_payload(source, in_memory).headers == source.headers


def test_spool_payload_closes_the_source():
    recorded = RecordedSource(b"one ", b"two")
    source = as_payload(recorded.items)
    assert source is not None
    spool_payload(source, in_memory)
    assert recorded.closed


def test_spool_payload_reads_only_the_rest_of_a_spooled_payload():
    recorded = RecordedSource(b"one ", b"two ", b"three")
    payload = spool_value(recorded.items)
    read_chunks(payload, 1)
    assert spool_payload(payload, in_memory) is payload
    assert payload.length == 13
    assert recorded.requested == [b"one ", b"two ", b"three"]
    assert join_chunks(payload) == b"one two three"


def test_spool_payload_raises_the_error_of_the_source_and_leaves_nothing_open():
    before = open_descriptors()
    source = as_payload(fail_after_one_chunk(KeyError("k")))
    assert source is not None
    with pytest.raises(KeyError):
        spool_payload(source, in_file)
    assert open_descriptors() == before


def test_spool_payload_raises_the_os_error_of_a_full_disk(tmp_path):
    source = as_payload(iter([b"x" * 5000]))
    assert source is not None
    with no_file_over(1000), pytest.raises(OSError, match="File too large"):
        spool_payload(source, partial(Spool, 100, str(tmp_path)))


def test_spool_payload_raises_during_a_pass_which_continues():
    payload = spool_value(iter([b"one ", b"two"]))
    running = iter(payload)
    assert bytes(next(running)) == b"one "
    with pytest.raises(PayloadNotReplayable, match="is being sent already"):
        spool_payload(payload, in_memory)
    assert b"".join(map(bytes, running)) == b"two"
