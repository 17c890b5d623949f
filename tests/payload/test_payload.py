"""Payloads without a connection: their facts and their bytes, for every kind of source."""

from __future__ import annotations

import array
import asyncio
import codecs
import ctypes
import functools
import gc
import gzip
import io
import mmap
import os
import pathlib
import socket
import ssl
import subprocess
import sys
import tarfile
import tempfile
import threading
import tracemalloc
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from restkit.errors import PayloadError, PayloadLengthError, PayloadNotReplayable
from restkit.io.buffers import Buffer
from restkit.io.files import CHUNK_SIZE
from restkit.payload.base import DeclaredLength, Payload
from restkit.payload.convert import as_payload
from restkit.payload.files import (
    FilePayload,
    PathPayload,
    SeekablePayload,
    StreamPayload,
    guess_content_type,
)
from restkit.payload.values import BytesPayload, CallPayload, IterablePayload
from support.beside import in_threads

MIB = 1 << 20
OCTETS = "application/octet-stream"

# A new interpreter must find the modules that this one finds.
SAME_PATH = os.environ | {
    "PYTHONPATH": os.pathsep.join(os.path.abspath(entry) for entry in sys.path)
}


def make_payload(value: object) -> Payload:
    payload = as_payload(value)
    assert payload is not None
    return payload


def send(payload: Payload) -> bytes:
    """Run one pass; copy each chunk while it is valid."""
    return b"".join(bytes(chunk) for chunk in payload)


def chunks_of(payload: Payload) -> list[bytes]:
    return [bytes(chunk) for chunk in payload]


def content_type_of(payload: Payload) -> str:
    return dict(payload.headers)["Content-Type"]


class CustomPayload(Payload):
    """A payload of a user, with these chunks and this length."""

    def __init__(self, items, length=None, replayable=False):
        self.length = length
        self.replayable = replayable
        self._items = items
        self.closed = 0

    def chunks(self) -> Iterator[Buffer]:
        try:
            yield from self._items
        finally:
            self.closed += 1


class OnlyRead:
    """A file-like object whose only method read() returns these chunks."""

    def __init__(self, *given):
        self.left = [*given, b""]

    def read(self, size):
        return self.left.pop(0)


@contextmanager
def open_pipe(mode="rb", buffering=-1, **options):
    """Yield the reading end as a file and the writing end as a descriptor the test may close."""
    reading, writing = os.pipe()
    with open(reading, mode, buffering, **options) as reader:
        yield reader, writing
    with suppress(OSError):
        os.close(writing)


@pytest.fixture
def path(tmp_path: pathlib.Path) -> pathlib.Path:
    path = tmp_path / "x.bin"
    path.write_bytes(b"0123456789")
    return path


# The checked pass


def test_a_pass_yields_the_chunks_that_are_not_empty():
    payload = CustomPayload([b"", b"ab", b"", bytearray(b"c"), memoryview(b"d"), bytearray()])
    assert chunks_of(payload) == [b"ab", b"c", b"d"]
    assert payload.closed == 1


def test_S04_an_empty_item_of_a_generator_is_skipped():
    assert chunks_of(make_payload(item for item in (b"x", b"", b"yy"))) == [b"x", b"yy"]


def test_a_second_pass_over_a_one_shot_payload_raises():
    payload = CustomPayload([b"a"])
    assert not payload.started
    assert send(payload) == b"a"
    assert payload.started
    with pytest.raises(
        PayloadNotReplayable, match=r"^<CustomPayload .* one pass, begun> can be sent once"
    ):
        send(payload)


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
        send(payload)


def test_a_replayable_payload_begins_again_from_the_first_byte():
    payload = CustomPayload([b"a", b"b"], 2, replayable=True)
    for _ in payload:
        break
    assert send(payload) == send(payload) == b"ab"
    assert payload.closed == 3


def test_only_one_of_several_threads_gets_the_one_pass():
    for _ in range(50):
        payload = CustomPayload([b"x"])
        outcomes = in_threads(4, lambda _, payload=payload: send(payload))
        assert outcomes.count(b"x") == 1
        assert [type(each) for each in outcomes].count(PayloadNotReplayable) == 3


@pytest.mark.parametrize(
    ("items", "length", "out", "message"),
    [
        ([b"abc"], 4, b"abc", "gave 3 of 4 bytes"),
        ([], 1, b"", "gave 0 of 1 byte"),
        ([b"abc", b"d"], 3, b"", "gave more than 3 bytes"),
        ([b"abcd"], 3, b"", "gave more than 3 bytes"),
        ([b"ab", b"cd"], 3, b"ab", "gave more than 3 bytes"),
        ([b"ab", b"c", b"", b"d"], 3, b"ab", "gave more than 3 bytes"),
        ([b"a"], 0, b"", "gave more than 0 bytes"),
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
    assert chunks_of(CustomPayload(items)) == [bytes(item) for item in items if len(item)]


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

    assert send(DeclaredLength(make_payload(source()), 2 * size)) == b"a" * size + b"b" * size


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
    assert chunks_of(CustomPayload([array.array("H", [1, 2])], 4)) == [
        array.array("H", [1, 2]).tobytes()
    ]
    with pytest.raises(TypeError, match="str"):
        send(CustomPayload(["text"]))


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
        send(DeclaredLength(make_payload(iter([grown])), 2))
    grown.append(0)


def test_a_repr_shows_type_and_source_and_no_contents(path):
    with path.open("rb") as file, open_pipe(buffering=0) as (reader, _):
        reprs = [
            repr(make_payload(value))
            for value in (
                b"secret",
                "s",
                bytearray(b"secret"),
                ["secret"],
                iter(["secret"]),
                file,
                path,
                OnlyRead(b"secret"),
                functools.partial(list, "secret"),
            )
        ]
        number = reader.fileno()
        assert repr(make_payload(reader)) == "<StreamPayload of FileIO of unknown length, one pass>"
        assert number >= 0
    assert reprs == [
        "<BytesPayload 6 bytes, replayable>",
        "<BytesPayload 1 byte, replayable>",
        "<BufferPayload of bytearray 6 bytes, replayable>",
        "<IterablePayload of list of unknown length, replayable>",
        "<IteratorPayload of list_iterator of unknown length, one pass>",
        f"<FilePayload {str(path)!r} 10 bytes, replayable>",
        f"<PathPayload {str(path)!r} 10 bytes, replayable>",
        "<StreamPayload of OnlyRead of unknown length, one pass>",
        "<CallPayload of partial() of unknown length, replayable>",
    ]
    begun = make_payload(iter([b"a"]))
    send(begun)
    assert repr(begun) == "<IteratorPayload of list_iterator of unknown length, one pass, begun>"
    assert repr(CustomPayload([])) == "<CustomPayload of unknown length, one pass>"


# Declared lengths


def test_R04_a_declared_length_holds_an_iterable_to_it():
    payload = DeclaredLength(make_payload(["line 1", "line 2"]), 12)
    assert (payload.length, payload.replayable) == (12, True)
    assert send(payload) == send(payload) == b"line 1line 2"


def test_a_known_length_other_than_the_declared_one_raises_at_once():
    with pytest.raises(
        PayloadLengthError,
        match=r"^<BytesPayload 3 bytes, replayable> does not have the declared length of 4 bytes$",
    ):
        DeclaredLength(make_payload(b"abc"), 4)


def test_a_declared_length_delegates_to_its_payload():
    with open_pipe(buffering=0) as (reader, writing):
        inner = make_payload(reader)
        payload = DeclaredLength(inner, 3)
        assert payload.waits_on == reader.fileno()
        assert not payload.started
        os.write(writing, b"abc")
        os.close(writing)
        assert send(payload) == b"abc"
        assert payload.started
        assert inner.started
        assert payload.headers == inner.headers
    assert send(DeclaredLength(make_payload(b"abc"), 3)) == b"abc"
    spent = DeclaredLength(make_payload(iter([b"a"])), 1)
    send(spent)
    with pytest.raises(PayloadNotReplayable):
        send(spent)


# Bytes and text


@pytest.mark.parametrize("size", [0, 1, MIB, MIB + 1, 3 * MIB])
@pytest.mark.parametrize("make", [bytes, bytearray], ids=["bytes", "bytearray"])
def test_bytes_of_any_size_are_sent_whole_in_chunks_of_at_most_one_mib(make, size):
    data = make(os.urandom(size))
    payload = make_payload(data)
    assert (payload.length, payload.replayable, content_type_of(payload)) == (size, True, OCTETS)
    assert not payload.started
    assert send(payload) == send(payload) == data
    assert payload.started
    assert all(0 < len(chunk) <= MIB for chunk in chunks_of(payload))


def test_small_bytes_are_not_copied():
    data = os.urandom(1000)
    assert next(iter(make_payload(data))) is data


def test_R08_text_is_its_utf_8():
    payload = make_payload("héé€")
    assert payload.length == 8
    assert content_type_of(payload) == "text/plain; charset=utf-8"
    assert send(payload) == "héé€".encode()
    empty = make_payload("")
    assert empty.length == 0
    assert chunks_of(empty) == []


def test_a_lone_surrogate_in_text_raises_with_its_position():
    with pytest.raises(
        PayloadError, match=r"the text has a lone surrogate, '\\udc80', at posi.* 2"
    ):
        as_payload("ab\udc80")


def test_none_is_no_payload():
    assert as_payload(None) is None


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
    assert send(payload) == send(payload) == data


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
        assert send(payload) == value.tobytes()
    with pytest.raises(TypeError, match="Python objects"):
        as_payload(numpy.array([object()], dtype=object))
    dates = numpy.array(["2026-11-21"], dtype="M8[D]")
    with pytest.raises(PayloadError, match="a ndarray does not give its bytes: "):
        as_payload(dates)
    with pytest.raises(PayloadError, match="item 1, a ndarray, does not give its bytes: "):
        send(as_payload([b"a", dates]))


@pytest.mark.parametrize("kind", ["int64", "uint8", "float32", "float64", "bool_", "complex64"])
def test_P10_a_number_of_numpy_is_no_payload(kind):
    numpy = pytest.importorskip("numpy")
    with pytest.raises(TypeError, match="a payload cannot be of type"):
        as_payload(getattr(numpy, kind)(1))
    assert send(as_payload(numpy.bytes_(b"abc"))) == b"abc"
    assert send(as_payload(numpy.str_("abc"))) == b"abc"


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
    with pytest.raises(PayloadError, match="memoryview does not give its bytes: "):
        as_payload(view)


def test_P05_an_mmap_is_sent_whole_and_can_be_closed_after_a_pass(path):
    with path.open("r+b") as file, mmap.mmap(file.fileno(), 0) as mapped:
        mapped.read(3)
        payload = make_payload(mapped)
        assert send(payload) == send(payload) == b"0123456789"
        with pytest.raises(ZeroDivisionError):
            for _ in payload:
                1 / 0  # noqa: B018  # an error of the sender
    with pytest.raises(ValueError, match="closed"):
        send(payload)


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
    assert send(payload) == b"bc\0"


# Iterables, iterators, callables


def test_R03_a_list_is_replayable_and_yields_one_chunk_an_item():
    payload = make_payload(["line 1", "line 2"])
    assert (payload.length, payload.replayable, content_type_of(payload)) == (None, True, OCTETS)
    assert chunks_of(payload) == chunks_of(payload) == [b"line 1", b"line 2"]


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
        send(payload)


def test_a_generator_that_has_ended_raises():
    source = (item for item in [b"a"])
    assert send(make_payload(source)) == b"a"
    with pytest.raises(PayloadNotReplayable, match="has ended already"):
        as_payload(source)


def test_a_generator_that_was_advanced_is_sent_from_there():
    source = (item for item in [b"head", b"rest"])
    next(source)
    assert send(make_payload(source)) == b"rest"


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
    assert send(make_payload(cursor)) == b""
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
    assert send(payload) == send(payload) == b"ab"
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
    assert send(payload) == b"a"
    with pytest.raises(PayloadNotReplayable, match="same iterator twice"):
        send(payload)


@pytest.mark.parametrize("empty", [[], ()])
def test_an_empty_list_has_length_zero(empty):
    payload = make_payload(empty)
    assert payload.length == 0
    assert chunks_of(payload) == []


def test_a_list_that_was_empty_and_has_grown_raises():
    items: list[bytes] = []
    payload = make_payload(items)
    items.append(b"a")
    with pytest.raises(PayloadLengthError):
        send(payload)


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
        send(make_payload(iter(["ok", "x\ud800"])))


@pytest.mark.parametrize(
    "form", [{"a": 1}, {}, [("a", "b")], (("a", b"b"), ("c", "d")), [["a", 1]]]
)
def test_a_form_raises_and_the_error_names_form_data(form):
    with pytest.raises(TypeError, match=r"is a form, .*FormData\.from_fields\(\)"):
        as_payload(form)


@pytest.mark.parametrize("value", [{b"a"}, frozenset(), 1, 1.5, True, object(), 1j, Ellipsis])
def test_P10_a_value_of_a_wrong_type_raises_and_the_error_lists_the_types(value):
    with pytest.raises(TypeError) as raised:
        as_payload(value)
    message = str(raised.value)
    assert message.startswith(
        f"a payload cannot be of type {type(value).__name__}; it can be bytes"
    )
    for accepted in ("buffer", "str", "os.PathLike", "read()", "iterable", "callable", "__payload"):
        assert accepted in message


def test_P09_an_asynchronous_source_raises_and_the_error_says_what_to_do():
    async def generator():
        yield b"a"

    async def coroutine():
        return b"a"

    class Reader:
        async def read(self):
            return b""

        def __aiter__(self):
            return self

    running, waiting = generator(), coroutine()
    for value in (running, waiting, generator, coroutine, Reader(), functools.partial(generator)):
        with pytest.raises(TypeError, match="asynchronous, and restkit is blocking: run it in an"):
            as_payload(value)
    waiting.close()
    with pytest.raises(TypeError, match="run it in an event loop"):
        send(make_payload(lambda: coroutine()))  # noqa: PLW0108  # the function itself raises earlier
    asyncio.run(running.aclose())


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
    assert send(payload) == send(payload) == b"ab"
    assert len(calls) == 2


def test_a_callable_may_return_any_value_that_can_be_sent(path):
    opened = []

    def open_file():
        opened.append(path.open("rb"))
        return opened[-1]

    for function in (lambda: b"0123456789", lambda: path, open_file, lambda: ["01234", b"56789"]):
        payload = make_payload(function)
        assert send(payload) == send(payload) == b"0123456789"
    for _ in make_payload(open_file):
        break
    assert len(opened) == 3
    assert all(file.closed for file in opened)


def test_a_callable_that_returns_the_same_generator_twice_raises():
    source = (item for item in [b"a"])
    payload = make_payload(lambda: source)
    assert send(payload) == b"a"
    with pytest.raises(PayloadNotReplayable):
        send(payload)


def test_a_callable_that_returns_none_or_needs_arguments_raises():
    with pytest.raises(TypeError, match="returned None"):
        send(make_payload(lambda: None))
    with pytest.raises(TypeError, match="missing a required argument: 'x'"):
        as_payload(lambda x: x)


def test_a_class_is_called_although_its_instances_can_be_iterated():
    class Rows:
        def __iter__(self):
            return iter([b"a"])

    payload = make_payload(Rows)
    assert send(payload) == send(payload) == b"a"


# Objects with __payload__()


def test_an_object_with_a_payload_method_is_sent_as_its_payload():
    class Report(str):
        __slots__ = ()

        def __payload__(self):
            return BytesPayload(b"mine", (("Content-Type", "x/y"),))

    payload = make_payload(Report("not this"))
    assert send(payload) == b"mine"
    assert content_type_of(payload) == "x/y"
    assert as_payload(payload) is payload


def test_a_payload_method_must_return_a_payload():
    class Wrong:
        def __payload__(self):
            return b"bytes"

    with pytest.raises(TypeError, match=r"Wrong\.__payload__\(\) must return a Payload; got bytes"):
        as_payload(Wrong())


# Paths


def test_P06_a_path_is_measured_and_opened_for_each_pass(path):
    payload = make_payload(path)
    assert isinstance(payload, PathPayload)
    assert (payload.length, payload.replayable, payload.started) == (10, True, False)
    assert send(payload) == send(payload) == b"0123456789"
    for _ in payload:  # the fixture checks that nothing stays open
        break


def test_P06_a_path_without_a_file_raises_the_os_error(tmp_path):
    with pytest.raises(FileNotFoundError) as raised:
        as_payload(tmp_path / "missing")
    assert raised.value.filename == str(tmp_path / "missing")
    with pytest.raises(IsADirectoryError):
        as_payload(tmp_path)
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(OSError, match="symbolic links"):
        as_payload(tmp_path / "loop")


def test_P06_a_path_without_permission_raises_the_os_error(path):
    path.chmod(0)
    os.mkfifo(path.with_name("fifo"), 0)
    path.parent.chmod(0o755)
    program = (
        "import os, pathlib; from restkit.payload.convert import as_payload\n"
        "if os.geteuid() == 0: os.setuid(65534)\n"  # root may read everything
        "for name in ('x.bin', 'fifo'):\n"
        "    try: print(as_payload(pathlib.Path(name)))\n"
        "    except PermissionError as exc: print('refused', exc.filename)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=path.parent,
        env=SAME_PATH,
        stdout=subprocess.PIPE,
        check=True,
    )
    assert done.stdout == b"refused x.bin\nrefused fifo\n"


def test_P06_a_path_may_be_bytes(path):
    class OfBytes:
        def __fspath__(self):
            return os.fsencode(path)

    assert send(make_payload(OfBytes())) == b"0123456789"


def test_P16_an_empty_file_has_length_zero(tmp_path):
    empty = tmp_path / "empty"
    empty.touch()
    with empty.open("rb") as file, empty.open(encoding="utf-8") as text:
        for value in (empty, file, text, io.BytesIO(), io.StringIO()):
            payload = make_payload(value)
            assert (payload.length, payload.replayable) == (0, True)
            assert chunks_of(payload) == []


def test_the_path_of_a_fifo_is_opened_when_it_is_sent_and_read_once(tmp_path):
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    payload = make_payload(fifo)  # opening it would wait for a writer
    assert (payload.length, payload.replayable, payload.waits_on) == (None, False, None)
    writer = threading.Thread(target=fifo.write_bytes, args=(b"abc",))
    writer.start()
    running = iter(payload)
    assert next(running) == b"abc"
    assert payload.waits_on is not None
    assert list(running) == []
    assert payload.waits_on is None
    writer.join(60)
    with pytest.raises(PayloadNotReplayable):
        send(payload)


# Regular files


@pytest.mark.parametrize("mode", ["rb", "r+b", "r", "r+", "rb0"])
def test_R01_a_file_is_sent_with_its_size(path, mode):
    with open(path, mode.strip("0"), 0 if "0" in mode else -1) as file:
        payload = make_payload(file)
        assert isinstance(payload, FilePayload)
        assert (payload.length, payload.replayable) == (10, True)
        assert send(payload) == send(payload) == b"0123456789"
        assert not file.closed
        assert file.tell() == 0


def test_P03_a_file_is_sent_from_its_position_on_in_each_pass(path):
    for mode in ("rb", "r+b", "r", "r+"):
        with open(path, mode) as file:
            file.read(4)
            payload = make_payload(file)
            assert payload.length == 6
            assert send(payload) == send(payload) == b"456789"
            assert file.tell() == 4
            assert send(make_payload(file)) == b"456789"
            assert file.read(1) in ("4", b"4")
            file.seek(0, os.SEEK_END)
            assert make_payload(file).length == 0
    with path.open("rb") as file:
        file.seek(100)
        assert make_payload(file).length == 0


def test_bytes_that_were_not_flushed_are_sent_too(path):
    with path.open("r+b") as file:
        file.seek(0, os.SEEK_END)
        file.write(b"ab")
        file.seek(8)
        assert send(make_payload(file)) == b"89ab"
    with path.open("r+", encoding="utf-8") as text:
        text.write("é")
        assert send(make_payload(text)) == b"23456789ab"
        text.seek(0)
        assert send(make_payload(text)) == "é23456789ab".encode()
    with tempfile.TemporaryFile() as new:
        new.write(b"abc")
        new.seek(1)
        payload = make_payload(new)
        assert (payload.length, content_type_of(payload)) == (2, OCTETS)
        assert send(payload) == b"bc"
        new.seek(0, os.SEEK_END)
        new.write(b"d")
        assert send(payload) == b"bc"


def test_P04_a_file_that_shrinks_raises_and_one_that_grows_is_cut(path):
    path.write_bytes(b"x" * (3 * CHUNK_SIZE))
    with path.open("rb") as file:
        for payload in (make_payload(file), make_payload(path)):
            running = iter(payload)
            assert len(next(running)) == CHUNK_SIZE
            os.truncate(path, CHUNK_SIZE + 5)
            assert len(next(running)) == 5
            with pytest.raises(
                PayloadLengthError, match=f"gave {CHUNK_SIZE + 5} of {3 * CHUNK_SIZE} bytes"
            ):
                next(running)
            path.write_bytes(b"x" * (3 * CHUNK_SIZE) + b"new")
            assert send(payload) == b"x" * (3 * CHUNK_SIZE)


def test_P13_several_threads_send_one_payload_whole(tmp_path):
    data = os.urandom(5 * CHUNK_SIZE + 17)
    path = tmp_path / "big"
    path.write_bytes(data)
    with path.open("rb") as file, gzip.open(tmp_path / "z", "wb") as packed:
        packed.write(data)
        packed.close()
        file.seek(3)
        with gzip.open(tmp_path / "z") as unpacked:
            unpacked.read(3)
            for payload in (
                make_payload(data[3:]),
                make_payload(file),
                DeclaredLength(make_payload(lambda: iter([data[3:]])), len(data) - 3),
                make_payload(memoryview(data)[3:]),
                make_payload(unpacked),
            ):
                assert in_threads(4, lambda _, p=payload: send(p) == data[3:]) == [True] * 4
                assert file.tell() == unpacked.tell() == 3


def test_P15_a_file_of_the_caller_is_never_closed(path):
    with path.open("rb") as file:
        payload = make_payload(file)
        with pytest.raises(ZeroDivisionError):
            for _ in payload:
                1 / 0  # noqa: B018  # an error of the sender
        assert not file.closed
        send(payload)
        assert not file.closed


def test_a_file_that_was_closed_raises_and_no_other_file_is_sent(path, tmp_path):
    path.write_bytes(b"x" * (2 * CHUNK_SIZE))
    with path.open("rb") as file:
        payload = make_payload(file)
        running = iter(payload)
        next(running)
    with (tmp_path / "other").open("w+b") as other:
        other.write(b"y" * (2 * CHUNK_SIZE))
        with pytest.raises(ValueError, match="closed file"):
            next(running)
        with pytest.raises(ValueError, match="closed file"):
            send(payload)


@pytest.mark.parametrize("mode", ["rb", "r", "r+b"])
def test_as_payload_raises_for_a_closed_file(path, mode):
    with open(path, mode) as file:
        pass
    with pytest.raises(PayloadError, match=r"x\.bin' is closed$"):
        as_payload(file)


@pytest.mark.parametrize("mode", ["wb", "w", "ab", "wb0"])
def test_as_payload_raises_for_a_file_open_for_writing(path, mode):
    with open(path, mode.strip("0"), 0 if "0" in mode else -1) as file:
        with pytest.raises(PayloadError, match=r"x\.bin' is not open for reading$"):
            as_payload(file)


def test_an_os_error_while_reading_is_not_changed(path):
    with path.open("rb", buffering=0) as file:
        payload = make_payload(file)
        with open(os.devnull, "wb", buffering=0) as nothing:
            os.dup2(nothing.fileno(), file.fileno())  # its descriptor cannot be read any more
        with pytest.raises(OSError, match="Bad file descriptor"):
            send(payload)


def test_a_text_file_is_sent_as_its_bytes_on_disk(path):
    data = "grüße\r\n€\n".encode("latin-1", "replace") + b"\r\n"
    path.write_bytes(data)
    with path.open(encoding="latin-1") as file:
        assert send(make_payload(file)) == data
        file.readline()
        assert send(make_payload(file)) == data[7:]
    path.write_text("ab", encoding="utf-16")
    with path.open(encoding="utf-16") as file:
        assert send(make_payload(file)) == "ab".encode("utf-16")


def test_P18_a_text_file_read_by_iteration_raises_and_asks_for_binary_mode(path):
    path.write_text("one\ntwo\n", encoding="utf-8")
    with path.open(encoding="utf-8") as file:
        next(file)
        with pytest.raises(PayloadError, match="open it with 'rb'"):
            as_payload(file)
        assert list(file) == ["two\n"]
        assert make_payload(file).length == 0


def test_P18_a_text_file_with_a_decoder_state_raises_and_asks_for_binary_mode(path):
    for stored in ("utf-16-le", "utf-16-be"):
        path.write_bytes("\ufeffone\ntwo\n".encode(stored))
        with path.open(encoding="utf-16") as file:
            file.readline()
            with pytest.raises(PayloadError, match=r"x\.bin' was read as text.* with 'rb'"):
                as_payload(file)
    path.write_text("one\ntwo\n", encoding="utf-8-sig")
    with path.open(encoding="utf-8-sig") as file:
        file.readline()
        assert send(make_payload(file)) == b"two\n"


def test_P01_files_of_proc_are_sent_whole(tmp_path):
    name = pathlib.Path("/proc/version")
    if not name.exists():
        pytest.skip("there is no /proc here")
    truth = name.read_bytes()
    assert name.stat().st_size == 0 < len(truth)
    with name.open("rb") as file, name.open() as text, name.open("rb", buffering=0) as raw:
        for value in (file, text, raw):
            payload = make_payload(value)
            assert (payload.length, payload.replayable, payload.waits_on) == (None, False, None)
            assert send(payload) == truth
    payload = make_payload(name)
    assert payload.length is None
    assert send(payload) == truth


def test_P01_cpuinfo_is_not_empty():
    name = pathlib.Path("/proc/cpuinfo")
    if not name.exists():
        pytest.skip("there is no /proc here")
    with name.open("rb") as file:
        assert b"processor" in send(make_payload(file))


def test_a_file_of_sys_that_claims_a_page_is_sent_whole():
    found = [
        p
        for p in pathlib.Path("/sys/kernel").glob("*")
        if p.is_file() and is_smaller_than_its_size(p)
    ]
    if not found:
        pytest.skip("there is no /sys here")
    payload = make_payload(found[0])
    assert payload.length is None
    assert send(payload) == found[0].read_bytes()


def is_smaller_than_its_size(path: pathlib.Path) -> bool:
    try:
        return len(path.read_bytes()) < path.stat().st_size
    except OSError:
        return False


def test_a_sparse_file_keeps_its_size(tmp_path):
    path = tmp_path / "sparse"
    with path.open("w+b") as file:
        file.truncate(10 * MIB)
        for payload in (make_payload(file), make_payload(path)):
            assert payload.length == 10 * MIB
            assert send(payload) == bytes(10 * MIB)


def test_a_region_has_the_file_and_the_position_of_the_bytes(path):
    with path.open("rb") as file:
        file.seek(4)
        payload = make_payload(file)
        assert isinstance(payload, FilePayload)
        with payload.region() as region:
            assert region == (file, 4, 6)
    payload = make_payload(path)
    assert isinstance(payload, PathPayload)
    with payload.region() as region:
        assert os.pread(region.file.fileno(), region.length, region.start) == b"0123456789"
    assert region.file.closed


# Files in memory and other seekable objects


def test_R07_bytes_in_memory_are_sent_from_their_position_which_stays():
    file = io.BytesIO(b"0123456789")
    file.seek(4)
    payload = make_payload(file)
    assert (payload.length, payload.replayable, content_type_of(payload)) == (6, True, OCTETS)
    assert send(payload) == send(payload) == b"456789"
    assert file.tell() == 4
    file.seek(20)
    assert make_payload(file).length == 0


def test_bytes_in_memory_are_not_copied():
    data = os.urandom(5 * MIB)
    file = io.BytesIO(data)
    file.seek(1)
    tracemalloc.start()
    try:
        for chunk in make_payload(file):
            assert len(chunk) <= MIB
        assert tracemalloc.get_traced_memory()[1] < MIB
    finally:
        tracemalloc.stop()


def test_P16_text_in_memory_is_measured_in_bytes():
    file = io.StringIO("xhéé€")
    file.read(1)
    payload = make_payload(file)
    assert (payload.length, payload.replayable) == (8, True)
    assert send(payload) == send(payload) == "héé€".encode()
    assert file.tell() == 1


def open_seekables(folder: pathlib.Path) -> Iterator[io.IOBase]:
    """Yield objects that return 0123456789, while the file below may hold other bytes."""
    with gzip.open(folder / "z.gz", "wb") as packed:
        packed.write(b"0123456789")
    yield gzip.open(folder / "z.gz")  # noqa: SIM115  # the test closes it
    with zipfile.ZipFile(folder / "z.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("m.txt", b"0123456789")
    with zipfile.ZipFile(folder / "z.zip") as archive:
        yield archive.open("m.txt")
    (folder / "m").write_bytes(b"0123456789")
    with tarfile.open(folder / "z.tar", "w") as tar:
        tar.add(folder / "m", "m")
    with tarfile.open(folder / "z.tar") as tar:
        member = tar.extractfile("m")
        assert member is not None
        yield member
    for file in (tempfile.SpooledTemporaryFile(), tempfile.NamedTemporaryFile()):  # noqa: SIM115
        file.write(b"0123456789")
        file.seek(0)
        yield file
    yield type("Mine", (io.BytesIO,), {})(b"0123456789")


def test_R07_a_seekable_object_is_measured_and_replayable(tmp_path):
    for file in open_seekables(tmp_path):
        with file:
            for start in (0, 4):
                file.seek(start)
                payload = make_payload(file)
                assert isinstance(payload, SeekablePayload)
                assert (payload.length, payload.replayable) == (10 - start, True)
                assert send(payload) == send(payload) == b"0123456789"[start:]
                assert file.tell() == start
                for _ in payload:
                    break
                assert file.tell() == start


def test_a_seekable_object_that_grows_is_cut_and_one_that_shrinks_raises():
    class Mine(io.BytesIO):
        pass

    file = Mine(b"0123456789")
    payload = make_payload(file)
    file.seek(0, os.SEEK_END)
    file.write(b"more")
    assert send(payload) == b"0123456789"
    file.truncate(5)
    with pytest.raises(PayloadLengthError, match="gave 5 of 10 bytes"):
        send(payload)
    assert file.tell() == 0


def test_seekable_text_is_sent_as_utf_8_and_not_measured(tmp_path):
    with gzip.open(tmp_path / "t.gz", "wt", encoding="latin-1") as packed:
        packed.write("é\nü\n")
    with gzip.open(tmp_path / "t.gz", "rt", encoding="latin-1") as file:
        payload = make_payload(file)
        assert (payload.length, payload.replayable) == (None, True)
        assert send(payload) == send(payload) == "é\nü\n".encode()
        file.readline()
        payload = make_payload(file)
        assert send(payload) == send(payload) == "ü\n".encode()
    with gzip.open(tmp_path / "t.gz", "rt", encoding="latin-1") as file:
        next(file)
        payload = make_payload(file)
        assert not payload.replayable
        assert send(payload) == "ü\n".encode()


def test_the_position_of_a_codecs_reader_is_trusted_only_at_the_start(tmp_path):
    path = tmp_path / "t"
    path.write_text("é\nü\n", encoding="utf-8")
    with path.open("rb") as raw:
        file = codecs.getreader("utf-8")(raw)
        payload = make_payload(file)
        assert payload.replayable
        assert send(payload) == send(payload) == "é\nü\n".encode()
        assert file.readline() == "é\n"
        payload = make_payload(file)
        assert not payload.replayable
        assert send(payload) == "ü\n".encode()


def test_an_object_that_only_claims_to_seek_is_read_once():
    class Liar(io.BytesIO):
        def seek(self, offset, whence=0):
            raise io.UnsupportedOperation("seek")

    file = Liar(b"0123")
    file.read(1)
    payload = make_payload(file)
    assert (payload.length, payload.replayable) == (None, False)
    assert send(payload) == b"123"


# Pipes, sockets and other objects that are read once


def test_P02_a_pipe_yields_its_first_bytes_before_the_writer_closes():
    for mode, buffering in (("rb", -1), ("rb", 0), ("r", -1)):
        with open_pipe(mode, buffering) as (reader, writing):
            payload = make_payload(reader)
            assert (payload.length, payload.replayable) == (None, False)
            running = iter(payload)
            os.write(writing, b"first\r\n")
            assert next(running) == b"first\r\n"
            os.write(writing, "é".encode())
            assert next(running) == "é".encode()
            os.close(writing)
            assert list(running) == []
            assert not reader.closed
            with pytest.raises(PayloadNotReplayable):
                send(payload)


def test_a_buffered_pipe_waits_on_its_descriptor_when_its_buffer_is_empty():
    with open_pipe(buffering=0) as (reader, writing):
        payload = make_payload(reader)
        assert payload.waits_on == reader.fileno()
    with open_pipe() as (reader, writing):
        os.write(writing, b"line\nrest")
        assert reader.readline() == b"line\n"
        payload = make_payload(reader)
        assert (
            payload.waits_on is None
        )  # "rest" is in the buffer, which the descriptor does not show
        running = iter(payload)
        assert next(running) == b"rest"
        assert payload.waits_on == reader.fileno()
        os.write(writing, b"x" * 65536)
        assert len(next(running)) == 65536
        assert payload.waits_on == reader.fileno()
        os.close(writing)
        assert list(running) == []


def test_P02_standard_input_is_sent_as_it_arrives():
    program = (
        "import sys; from restkit.payload.convert import as_payload\n"
        "for source in (sys.stdin, sys.stdin.buffer):\n"
        "    payload = as_payload(source)\n"
        "    print(payload, flush=True)\n"
        "    for chunk in payload:\n"
        "        print(bytes(chunk), flush=True)\n"
        "        if source is sys.stdin: break\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program],
        env=SAME_PATH,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        once = b"<PipePayload '<stdin>' of unknown length, one pass>\n"
        assert child.stdout.readline() == once
        child.stdin.write(b"\xff one\n")
        child.stdin.flush()
        assert child.stdout.readline() == b"b'\\xff one\\n'\n"
        assert child.stdout.readline() == once
        child.stdin.write(b"two\n")
        child.stdin.close()
        assert child.stdout.readline() == b"b'two\\n'\n"


def test_text_of_a_pipe_that_was_read_is_sent_as_text():
    with open_pipe("r", encoding="latin-1") as (reader, writing):
        os.write(writing, "one\nü\nrest".encode("latin-1"))
        assert reader.readline() == "one\n"
        payload = make_payload(reader)
        assert (payload.length, payload.waits_on) == (None, None)
        running = iter(payload)
        assert next(running) == "ü\n".encode()
        os.close(writing)
        assert list(running) == [b"rest"]


def test_text_of_a_pipe_is_sent_whole_when_only_the_payload_is_left():
    reading, writing = os.pipe()
    payload = make_payload(open(reading, encoding="utf-8", closefd=False))  # noqa: SIM115  # the case
    gc.collect()
    os.write(writing, b"abc")
    os.close(writing)
    assert send(payload) == b"abc"
    os.close(reading)


@pytest.mark.parametrize("buffering", [-1, 0])
def test_a_non_blocking_pipe_is_waited_for(buffering):
    with open_pipe(buffering=buffering) as (reader, writing):
        os.set_blocking(reader.fileno(), False)

        def write():
            for chunk in (b"one", b"two"):
                os.write(writing, chunk)
                requested.wait(60)
                requested.clear()
            os.close(writing)

        requested = threading.Event()
        writer = threading.Thread(target=write)
        running = iter(make_payload(reader))
        writer.start()
        received = []
        for chunk in running:
            received.append(chunk)
            requested.set()
        writer.join(60)
        assert received == [b"one", b"two"]


def test_text_of_a_non_blocking_pipe_that_was_read_raises():
    with open_pipe("r") as (reader, writing):
        os.write(writing, b"one\ntwo\n")
        os.set_blocking(reader.fileno(), False)
        reader.readline()
        with pytest.raises(PayloadError, match="open it with 'rb'"):
            as_payload(reader)


def test_a_read_that_returns_none_without_a_descriptor_raises():
    with pytest.raises(PayloadError, match="no file descriptor to wait on"):
        send(make_payload(OnlyRead(b"a", None)))


def test_R07_an_object_with_only_read_is_read_once():
    payload = make_payload(OnlyRead(b"a", bytearray(b"b"), memoryview(b"c")))
    assert isinstance(payload, StreamPayload)
    assert (payload.length, payload.replayable, payload.waits_on) == (None, False, None)
    assert chunks_of(payload) == [b"a", b"b", b"c"]
    assert send(make_payload(OnlyRead("é", "ü"))) == "éü".encode()
    with pytest.raises(PayloadError, match=r"after 2 characters, has a lone surrogate.*position 1"):
        send(make_payload(OnlyRead("ab", "c\udc80")))
    with pytest.raises(TypeError, match="int"):
        send(make_payload(OnlyRead(5)))


def test_an_object_with_read1_is_read_by_it():
    class Both(OnlyRead):
        def read1(self, size):
            return super().read(size)

        def read(self, size):
            raise AssertionError("read() waits until all bytes have arrived")

    assert chunks_of(make_payload(Both(b"a", b"b"))) == [b"a", b"b"]


def test_P02_a_socket_yields_what_it_receives():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        payload = make_payload(ours)
        assert (payload.length, payload.replayable) == (None, False)
        assert payload.waits_on == ours.fileno()
        running = iter(payload)
        theirs.send(b"first")
        assert next(running) == b"first"
        ours.setblocking(False)
        later = threading.Thread(target=lambda: (theirs.send(b"second"), theirs.close()))
        later.start()
        assert b"".join(running) == b"second"
        later.join(60)
        ours.close()
        assert payload.waits_on is None
        with pytest.raises(PayloadError, match="closed"):
            as_payload(ours)


@pytest.mark.parametrize(("mode", "buffering"), [("rb", None), ("rb", 0), ("r", None)])
def test_P02_the_file_of_a_socket_yields_what_it_receives(mode, buffering):
    ours, theirs = socket.socketpair()
    with ours, theirs, ours.makefile(mode, buffering=buffering, newline=None) as file:
        payload = make_payload(file)
        assert (payload.length, payload.replayable, payload.waits_on) == (None, False, None)
        running = iter(payload)
        theirs.send(b"first\n")
        assert next(running) == b"first\n"
        theirs.close()
        assert list(running) == []


def test_the_descriptor_of_a_tls_socket_is_not_waited_on():
    ours, theirs = socket.socketpair()
    context = ssl.create_default_context()
    with (
        theirs,
        context.wrap_socket(ours, do_handshake_on_connect=False, server_hostname="x") as secure,
    ):
        assert make_payload(secure).waits_on is None


def test_a_timeout_of_the_socket_of_the_caller_is_not_changed():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.settimeout(0.01)
        with pytest.raises(TimeoutError):
            send(make_payload(ours))


# Content types


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a/b.png", "image/png"),
        (b"b.txt", "text/plain"),
        (pathlib.Path("x.json"), "application/json"),
        ("x.tar.gz", "application/gzip"),
        ("x.txt.gz", "application/gzip"),
        ("x.gz", "application/gzip"),
        ("x.tar.bz2", OCTETS),
        ("x.tar.xz", OCTETS),
        ("x.tar", "application/x-tar"),
        ("noname", OCTETS),
        ("data:,x.png", "image/png"),
        ("x.png/", OCTETS),
        ("", OCTETS),
        (3, OCTETS),
        (None, OCTETS),
    ],
)
def test_S20_the_content_type_is_guessed_from_the_name(name, expected):
    assert guess_content_type(name) == (("Content-Type", expected),)


def test_S20_a_nameless_file_is_octets_and_decompressed_bytes_are_not_gzip(tmp_path):
    with tempfile.TemporaryFile() as file:
        assert isinstance(file.name, int)
        assert content_type_of(make_payload(file)) == OCTETS
    with gzip.open(tmp_path / "x.txt.gz", "wb") as packed:
        packed.write(b"text")
    with gzip.open(tmp_path / "x.txt.gz") as file, (tmp_path / "x.txt.gz").open("rb") as whole:
        assert content_type_of(make_payload(file)) == OCTETS
        assert (
            content_type_of(make_payload(whole))
            == content_type_of(make_payload(tmp_path / "x.txt.gz"))
            == "application/gzip"
        )
    named = io.BytesIO(b"")
    named.name = "x.png"
    assert content_type_of(make_payload(named)) == "image/png"


# Memory


def test_memory_stays_flat_whatever_the_size(tmp_path):
    path = tmp_path / "sparse"
    size = 64 * MIB
    with path.open("w+b") as file:
        file.truncate(size)

    def blocks():
        for _ in range(size // MIB):
            yield bytes(MIB)

    owner = bytearray(size)
    with path.open("rb") as file, path.open("rb") as beneath:
        wrapped = tempfile._TemporaryFileWrapper(beneath, "x", delete=False)
        for value in (
            path,
            file,
            wrapped,
            blocks,
            blocks(),
            owner,
            DeclaredLength(make_payload(blocks), size),
        ):
            payload = make_payload(value)
            gc.collect()
            tracemalloc.start()
            try:
                assert sum(len(chunk) for chunk in payload) == size
                assert tracemalloc.get_traced_memory()[1] < 4 * MIB, payload
            finally:
                tracemalloc.stop()


def test_only_the_end_of_a_large_last_chunk_is_copied():
    owner = bytearray(16 * MIB)
    payload = DeclaredLength(make_payload(iter([owner])), len(owner))
    tracemalloc.start()
    try:
        assert sum(len(chunk) for chunk in payload) == len(owner)
        assert tracemalloc.get_traced_memory()[1] < MIB
    finally:
        tracemalloc.stop()
