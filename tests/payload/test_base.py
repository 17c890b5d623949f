"""The checked pass of every payload, and wrappers around a payload."""

from __future__ import annotations

import array
import os
import tracemalloc

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from restkit.errors import PayloadLengthError, PayloadNotReplayable
from restkit.payload.base import DeclaredLength
from support.beside import in_threads
from support.payloads import CustomPayload, join_chunks, list_chunks, make_payload, open_pipe

MIB = 1 << 20
OCTETS = "application/octet-stream"


# The checked pass


def test_a_pass_yields_the_chunks_that_are_not_empty():
    payload = CustomPayload([b"", b"ab", b"", bytearray(b"c"), memoryview(b"d"), bytearray()])
    assert list_chunks(payload) == [b"ab", b"c", b"d"]
    assert payload.closed == 1


def test_S04_an_empty_item_of_a_generator_is_skipped():
    assert list_chunks(make_payload(item for item in (b"x", b"", b"yy"))) == [b"x", b"yy"]


def test_a_second_pass_over_a_one_shot_payload_raises():
    payload = CustomPayload([b"a"])
    assert not payload.started
    assert join_chunks(payload) == b"a"
    assert payload.started
    with pytest.raises(
        PayloadNotReplayable, match=r"^<CustomPayload .* one pass, begun> can be sent once"
    ):
        join_chunks(payload)


def test_an_iterator_that_was_not_advanced_does_not_start_the_payload():
    payload = CustomPayload([b"a"])
    first, second = iter(payload), iter(payload)
    assert not payload.started
    assert next(first) == b"a"
    with pytest.raises(PayloadNotReplayable):
        next(second)


def test_a_pass_that_was_broken_off_counts_as_the_one_pass():
    payload = CustomPayload([b"a", b"b"])
    for _ in payload:
        break
    assert payload.started
    assert payload.closed == 1
    with pytest.raises(PayloadNotReplayable):
        join_chunks(payload)


def test_a_replayable_payload_begins_again_from_the_first_byte():
    payload = CustomPayload([b"a", b"b"], 2, replayable=True)
    for _ in payload:
        break
    assert join_chunks(payload) == join_chunks(payload) == b"ab"
    assert payload.closed == 3


def test_only_one_of_several_threads_gets_the_one_pass():
    for _ in range(50):
        payload = CustomPayload([b"x"])
        outcomes = in_threads(4, lambda _, payload=payload: join_chunks(payload))
        assert outcomes.count(b"x") == 1
        assert [type(each) for each in outcomes].count(PayloadNotReplayable) == 3


@pytest.mark.parametrize(
    ("items", "length", "out", "message"),
    [
        ([b"abc"], 4, b"abc", "produced 3 of 4 bytes"),
        ([], 1, b"", "produced 0 of 1 byte"),
        ([b"abc", b"d"], 3, b"", "produced more than 3 bytes"),
        ([b"abcd"], 3, b"", "produced more than 3 bytes"),
        ([b"ab", b"cd"], 3, b"ab", "produced more than 3 bytes"),
        ([b"ab", b"c", b"", b"d"], 3, b"ab", "produced more than 3 bytes"),
        ([b"a"], 0, b"", "produced more than 0 bytes"),
    ],
)
def test_another_length_than_announced_raises(items, length, out, message):
    payload = CustomPayload(items, length)
    received = b""
    with pytest.raises(PayloadLengthError) as raised:
        for chunk in payload:
            received += chunk
    assert received == out
    assert str(raised.value) == f"{payload!r} {message}"
    assert payload.closed == 1


chunks_of_any_type = st.lists(
    st.binary(max_size=6).flatmap(
        lambda data: st.sampled_from([data, bytearray(data), memoryview(data)])
    ),
    max_size=8,
)


@given(chunks_of_any_type, st.integers(0, 30))
@example([b"a", b"", b""], 1)
@example([b"", b"a", b"", b"b"], 1)
@example([], 0)
def test_chunks_before_an_error_never_complete_the_length(items, length):
    whole = b"".join(items)
    payload, received = CustomPayload(items, length), b""
    try:
        for chunk in payload:
            assert len(chunk)
            received += chunk
    except PayloadLengthError:
        assert len(whole) != length
        assert len(received) < length or length == 0 == len(received)
    else:
        assert received == whole
        assert len(whole) == length
    assert whole.startswith(received)
    assert payload.closed == 1


@given(chunks_of_any_type)
def test_a_payload_without_a_length_yields_all_chunks(items):
    assert list_chunks(CustomPayload(items)) == [bytes(item) for item in items if len(item)]


def test_the_last_chunk_is_held_back_until_the_source_has_ended():
    requested = []

    def source():
        yield b"abc"
        yield b"def"
        requested.append("for more")

    payload = iter(DeclaredLength(make_payload(source()), 6))
    assert next(payload) == b"abc"
    assert requested == []
    assert next(payload) == b"def"
    assert requested == ["for more"]


@pytest.mark.parametrize("size", [10, 64 * 1024, 300_000])
def test_a_chunk_that_is_held_back_is_a_copy_of_a_buffer_that_is_refilled(size):
    def source():
        buffer = bytearray(b"a" * size)
        yield buffer
        buffer[:] = b"b" * size
        yield buffer
        buffer[:] = b"c" * size  # before the last chunk is sent
        buffer += b"more"  # a BufferError if a view is left

    assert (
        join_chunks(DeclaredLength(make_payload(source()), 2 * size)) == b"a" * size + b"b" * size
    )


def test_the_source_is_closed_when_a_pass_is_broken_off():
    closed = []

    def source():
        try:
            yield b"a"
            yield b"b"
        finally:
            closed.append(True)

    for length in (None, 2):
        payload = (
            make_payload(source())
            if length is None
            else DeclaredLength(make_payload(source()), length)
        )
        running = iter(payload)
        next(running)
        running.close()
    assert closed == [True, True]


def test_S06_an_exception_of_the_source_is_not_changed():
    fault = KeyError("mine")

    def source():
        yield b"abc"
        raise fault

    received = []
    with pytest.raises(KeyError) as raised:
        received.extend(iter(make_payload(source())))
    assert raised.value is fault
    assert received == [b"abc"]


def test_chunks_may_yield_any_object_with_a_buffer():
    assert list_chunks(CustomPayload([array.array("H", [1, 2])], 4)) == [
        array.array("H", [1, 2]).tobytes()
    ]
    with pytest.raises(TypeError, match="str"):
        join_chunks(CustomPayload(["text"]))


def test_the_view_of_a_chunk_is_released_before_the_next_chunk():
    grown = array.array("B", b"abc")

    def source():
        yield grown
        grown.append(0)  # a BufferError if a view is left
        yield b"d"

    running = iter(make_payload(source()))
    chunk = next(running)
    assert bytes(chunk) == b"abc"
    assert next(running) == b"d"


def test_an_error_leaves_no_view_behind():
    grown = array.array("B", b"abc")
    with pytest.raises(PayloadLengthError):
        join_chunks(DeclaredLength(make_payload(iter([grown])), 2))
    grown.append(0)


def test_only_the_end_of_a_large_last_chunk_is_copied():
    owner = bytearray(16 * MIB)
    payload = DeclaredLength(make_payload(iter([owner])), len(owner))
    tracemalloc.start()
    try:
        assert sum(len(chunk) for chunk in payload) == len(owner)
        assert tracemalloc.get_traced_memory()[1] < MIB
    finally:
        tracemalloc.stop()


# Declared lengths


def test_R04_a_declared_length_holds_an_iterable_to_it():
    payload = DeclaredLength(make_payload(["line 1", "line 2"]), 12)
    assert (payload.length, payload.replayable) == (12, True)
    assert join_chunks(payload) == join_chunks(payload) == b"line 1line 2"


def test_a_known_length_other_than_the_declared_one_raises_at_once():
    with pytest.raises(
        PayloadLengthError,
        match=r"^<BytesPayload 3 bytes, replayable> does not have the declared length of 4 bytes$",
    ):
        DeclaredLength(make_payload(b"abc"), 4)


@pytest.mark.posix("select does not watch pipes")
def test_a_declared_length_delegates_to_its_payload():
    with open_pipe(buffering=0) as (reader, writing):
        inner = make_payload(reader)
        payload = DeclaredLength(inner, 3)
        assert payload.waits_on == reader.fileno()
        assert not payload.started
        os.write(writing, b"abc")
        os.close(writing)
        assert join_chunks(payload) == b"abc"
        assert payload.started
        assert inner.started
        assert payload.headers == inner.headers
    assert join_chunks(DeclaredLength(make_payload(b"abc"), 3)) == b"abc"
    spent = DeclaredLength(make_payload(iter([b"a"])), 1)
    join_chunks(spent)
    with pytest.raises(PayloadNotReplayable):
        join_chunks(spent)
