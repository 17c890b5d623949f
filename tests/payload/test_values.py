"""Payloads of bytes, text, buffers, iterables and callables."""

from __future__ import annotations

import array
import ctypes
import mmap
import os
import sys
from collections.abc import Iterator

import pytest

from restkit.errors import PayloadError, PayloadLengthError, PayloadNotReplayable
from restkit.payload.convert import as_payload
from restkit.payload.values import CallPayload, IterablePayload, IteratorPayload
from support.beside import in_threads
from support.payloads import content_type_of, join_chunks, list_chunks, make_payload

MIB = 1 << 20
OCTETS = "application/octet-stream"


# Bytes and text


@pytest.mark.parametrize("size", [0, 1, MIB, MIB + 1, 3 * MIB])
@pytest.mark.parametrize("make", [bytes, bytearray], ids=["bytes", "bytearray"])
def test_bytes_of_any_size_are_sent_whole_in_chunks_of_at_most_one_mib(make, size):
    data = make(os.urandom(size))
    payload = make_payload(data)
    assert (payload.length, payload.replayable, content_type_of(payload)) == (size, True, OCTETS)
    assert not payload.started
    assert join_chunks(payload) == join_chunks(payload) == data
    assert payload.started
    assert all(0 < len(chunk) <= MIB for chunk in list_chunks(payload))


def test_small_bytes_are_not_copied():
    data = os.urandom(1000)
    assert next(iter(make_payload(data))) is data


def test_R08_text_is_its_utf_8():
    payload = make_payload("héé€")
    assert payload.length == 8
    assert content_type_of(payload) == "text/plain; charset=utf-8"
    assert join_chunks(payload) == "héé€".encode()
    empty = make_payload("")
    assert empty.length == 0
    assert list_chunks(empty) == []


def test_a_lone_surrogate_in_text_raises_with_its_position():
    with pytest.raises(
        PayloadError, match=r"the text has a lone surrogate, '\\udc80', at posi.* 2"
    ):
        as_payload("ab\udc80")


# Objects with a buffer


def buffers_of_twelve_bytes() -> Iterator[tuple[object, bytes]]:
    data = bytes(range(12))
    yield array.array("I", data), data
    yield memoryview(data), data
    yield memoryview(data)[::2], data[::2]
    yield memoryview(data)[::-1], data[::-1]
    yield memoryview(data).cast("B", [3, 4]), data
    yield memoryview(data).cast("I"), data
    yield memoryview(b""), b""
    yield array.array("d"), b""
    yield (ctypes.c_uint16 * 6).from_buffer_copy(data), data


@pytest.mark.parametrize(("owner", "data"), list(buffers_of_twelve_bytes()))
def test_P05_an_object_with_a_buffer_is_sent_as_its_bytes(owner, data):
    payload = make_payload(owner)
    assert (payload.length, payload.replayable, content_type_of(payload)) == (
        len(data),
        True,
        OCTETS,
    )
    assert join_chunks(payload) == join_chunks(payload) == data


def test_P05_numpy_arrays_are_sent_as_their_bytes():
    numpy = pytest.importorskip("numpy")
    square = numpy.arange(12, dtype=">i4").reshape(3, 4)
    for value in (
        square,
        square.T,
        square[:, ::2],
        numpy.zeros((0, 3)),
        numpy.array(5.0),
        numpy.zeros(3, dtype=[("Odd", "i4"), ("b", "f8")]),
        numpy.asfortranarray(square),
    ):
        payload = make_payload(value)
        assert payload.length == value.nbytes
        assert join_chunks(payload) == value.tobytes()
    with pytest.raises(TypeError, match="Python objects"):
        as_payload(numpy.array([object()], dtype=object))
    dates = numpy.array(["2026-11-21"], dtype="M8[D]")
    with pytest.raises(PayloadError, match="a ndarray does not export its bytes: "):
        as_payload(dates)
    with pytest.raises(PayloadError, match="item 1, a ndarray, does not export its bytes: "):
        join_chunks(as_payload([b"a", dates]))


def test_a_repr_names_the_function_of_a_generator():
    def rows():
        yield b"a"

    assert repr(as_payload(rows())) == (
        "<IteratorPayload of generator rows of unknown length, one pass>"
    )
    assert "of list_iterator of unknown" in repr(as_payload(iter([b"a"])))


def test_P05_a_released_memoryview_raises():
    view = memoryview(b"abc")
    view.release()
    with pytest.raises(PayloadError, match="memoryview does not export its bytes: "):
        as_payload(view)


def test_P05_an_mmap_is_sent_whole_and_can_be_closed_after_a_pass(path):
    with path.open("r+b") as file, mmap.mmap(file.fileno(), 0) as mapped:
        mapped.read(3)
        payload = make_payload(mapped)
        assert join_chunks(payload) == join_chunks(payload) == b"0123456789"
        with pytest.raises(ZeroDivisionError):
            for _ in payload:
                1 / 0  # noqa: B018  # an error of the sender
    with pytest.raises(ValueError, match="closed"):
        join_chunks(payload)


def test_P05_a_buffer_is_held_only_during_a_pass():
    owner = bytearray(b"abc")
    payload = make_payload(owner)
    owner[0:1] = b"A"
    running = iter(payload)
    last = next(running)
    with pytest.raises(BufferError):
        owner.append(0)
    running.close()
    owner.append(0)
    with pytest.raises(ValueError, match="released"):
        bytes(last)


def test_P05_a_resized_buffer_raises_before_the_first_chunk():
    owner = bytearray(b"abc")
    payload = make_payload(owner)
    owner.append(0)
    with pytest.raises(PayloadLengthError, match=r"bytearray 3 bytes, replayable> has 4 bytes now"):
        next(iter(payload))
    del owner[0]
    assert join_chunks(payload) == b"bc\0"


# Iterables, iterators, callables


def test_R03_a_list_is_replayable_and_yields_one_chunk_an_item():
    payload = make_payload(["line 1", "line 2"])
    assert (payload.length, payload.replayable, content_type_of(payload)) == (None, True, OCTETS)
    assert list_chunks(payload) == list_chunks(payload) == [b"line 1", b"line 2"]


def test_S03_a_generator_is_advanced_one_item_at_a_time_and_once():
    requested = []

    def source():
        for item in (b"hello\n", "thére\n", bytearray(b"a"), memoryview(b"b")):
            requested.append(item)
            yield item

    payload = make_payload(source())
    assert (payload.length, payload.replayable, content_type_of(payload)) == (None, False, OCTETS)
    running = iter(payload)
    assert requested == []
    assert next(running) == b"hello\n"
    assert len(requested) == 1
    assert [bytes(chunk) for chunk in running] == ["thére\n".encode(), b"a", b"b"]
    with pytest.raises(PayloadNotReplayable):
        join_chunks(payload)


def test_a_generator_that_has_ended_raises():
    source = (item for item in [b"a"])
    assert join_chunks(make_payload(source)) == b"a"
    with pytest.raises(PayloadNotReplayable, match="has ended already"):
        as_payload(source)


def test_a_generator_that_was_advanced_is_sent_from_there():
    source = (item for item in [b"head", b"rest"])
    next(source)
    assert join_chunks(make_payload(source)) == b"rest"


def test_an_iterator_that_is_no_generator_is_not_closed():
    class Cursor:
        closed = False

        def __iter__(self):
            return self

        def __next__(self):
            raise StopIteration

        def close(self):
            self.closed = True

    cursor = Cursor()
    assert join_chunks(make_payload(cursor)) == b""
    assert not cursor.closed


def test_an_iterable_makes_an_iterator_for_each_pass_which_is_closed():
    begun, closed = [], []

    class Rows:
        def __iter__(self):
            begun.append(True)
            try:
                yield b"a"
                yield "b"
            finally:
                closed.append(True)

    payload = make_payload(Rows())
    assert isinstance(payload, IterablePayload)
    assert begun == []
    assert join_chunks(payload) == join_chunks(payload) == b"ab"
    for _ in payload:
        break
    assert len(begun) == len(closed) == 3


def test_an_iterable_that_returns_the_same_iterator_twice_raises():
    class Once:
        def __init__(self):
            self.items = iter([b"a"])

        def __iter__(self):
            return self.items

    payload = make_payload(Once())
    assert join_chunks(payload) == b"a"
    with pytest.raises(PayloadNotReplayable, match="same iterator twice"):
        join_chunks(payload)


@pytest.mark.parametrize("empty", [[], ()])
def test_an_empty_list_has_length_zero(empty):
    payload = make_payload(empty)
    assert payload.length == 0
    assert list_chunks(payload) == []


def test_a_list_that_was_empty_and_has_grown_raises():
    items: list[bytes] = []
    payload = make_payload(items)
    items.append(b"a")
    with pytest.raises(PayloadLengthError):
        join_chunks(payload)


@pytest.mark.parametrize("item", [1, None, object(), [b"a"], {}, True])
def test_P10_an_item_of_a_wrong_type_raises_with_its_index(item):
    name = type(item).__name__
    with pytest.raises(TypeError, match=rf"^item 0 must be bytes-like or str; got {name}$"):
        as_payload([item])
    received = []
    with pytest.raises(TypeError, match=rf"^item 2 must be bytes-like or str; got {name}$"):
        received.extend(iter(make_payload([b"a", b"b", item])))
    assert received == [b"a", b"b"]


def test_a_lone_surrogate_in_an_item_raises_with_its_index():
    with pytest.raises(PayloadError, match=r"^item 1 has a lone surrogate, .* at position 1:"):
        join_chunks(make_payload(iter(["ok", "x\ud800"])))


def test_a_callable_is_called_for_every_pass():
    calls = []

    def rows():
        calls.append(True)
        yield b"a"
        yield "b"

    payload = make_payload(rows)
    assert isinstance(payload, CallPayload)
    assert (payload.length, payload.replayable, content_type_of(payload)) == (None, True, OCTETS)
    assert calls == []
    assert join_chunks(payload) == join_chunks(payload) == b"ab"
    assert len(calls) == 2


def test_a_callable_may_return_any_value_that_can_be_sent(path):
    opened = []

    def open_file():
        opened.append(path.open("rb"))
        return opened[-1]

    for function in (lambda: b"0123456789", lambda: path, open_file, lambda: ["01234", b"56789"]):
        payload = make_payload(function)
        assert join_chunks(payload) == join_chunks(payload) == b"0123456789"
    for _ in make_payload(open_file):
        break
    assert len(opened) == 3
    assert all(file.closed for file in opened)


def test_a_callable_that_returns_the_same_generator_twice_raises():
    source = (item for item in [b"a"])
    payload = make_payload(lambda: source)
    assert join_chunks(payload) == b"a"
    with pytest.raises(PayloadNotReplayable):
        join_chunks(payload)


def test_a_callable_that_returns_none_or_needs_arguments_raises():
    with pytest.raises(TypeError, match="returned None"):
        join_chunks(make_payload(lambda: None))
    with pytest.raises(TypeError, match="missing a required argument: 'x'"):
        as_payload(lambda x: x)


def test_a_class_is_called_although_its_instances_can_be_iterated():
    class Rows:
        def __iter__(self):
            return iter([b"a"])

    payload = make_payload(Rows)
    assert join_chunks(payload) == join_chunks(payload) == b"a"


def test_iterator_that_is_being_sent_by_another_payload_is_refused():
    for items in (iter([b"a", b"b"]), (each for each in [b"a", b"b"])):
        first, second = IteratorPayload(items), IteratorPayload(items)
        chunks = iter(first)
        assert next(chunks) == b"a"
        with pytest.raises(PayloadNotReplayable, match="is being sent by another request"):
            next(iter(second))
        assert list(chunks) == [b"b"]
    items = iter([b"a", b"b"])
    chunks = iter(IteratorPayload(items))
    assert next(chunks) == b"a"
    del chunks  # a pass that was dropped has ended
    assert join_chunks(IteratorPayload(items)) == b"b"


def test_threads_that_send_one_iterator_never_share_its_items():
    for _ in range(20):
        items = iter([b"x"] * 1000)
        outcomes = in_threads(4, lambda _, items=items: join_chunks(IteratorPayload(items)) or None)
        sent = [each for each in outcomes if isinstance(each, bytes)]
        assert sent == [b"x" * 1000]


def test_iterator_can_be_sent_again_after_an_interrupt_at_any_line_before_its_first_item():
    chunks, reached = IteratorPayload.chunks.__code__, 0
    while True:
        items, left = iter([b"a", b"b"]), reached

        def interrupt(frame, event, _):
            nonlocal left
            if frame.f_code is chunks and event == "line":
                left -= 1
                if left < 0:
                    raise KeyboardInterrupt
            return interrupt

        before, pass_ = sys.gettrace(), IteratorPayload(items).chunks()
        sys.settrace(interrupt)
        try:
            next(pass_)
            break  # there are no more lines before the first item
        except KeyboardInterrupt:
            reached += 1
        finally:
            sys.settrace(before)
        assert list_chunks(IteratorPayload(items)) == [b"a", b"b"]
    assert reached >= 4
