"""Payloads without a wire: what each source says of itself, and the bytes it gives."""

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

from restkit.around import DeclaredLength
from restkit.door import as_payload
from restkit.errors import PayloadError, PayloadLengthError, PayloadNotReplayable
from restkit.files import (
    BLOCK,
    FilePayload,
    PathPayload,
    SeekablePayload,
    StreamPayload,
    content_type,
)
from restkit.payload import Buffer, Payload
from restkit.sources import BytesPayload, CallPayload, IterablePayload
from support.beside import in_threads

MIB = 1 << 20
OCTETS = "application/octet-stream"

# For an interpreter of its own, which is to find what this one finds.
SAME_PATH = os.environ | {
    "PYTHONPATH": os.pathsep.join(os.path.abspath(entry) for entry in sys.path)
}


def made(value: object) -> Payload:
    payload = as_payload(value)
    assert payload is not None
    return payload


def sent(payload: Payload) -> bytes:
    """One pass. Each piece is copied while it is good, as the wire does with what it sends."""
    return b"".join(bytes(piece) for piece in payload)


def pieces(payload: Payload) -> list[bytes]:
    return [bytes(piece) for piece in payload]


def kind(payload: Payload) -> str:
    return dict(payload.headers)["Content-Type"]


class Given(Payload):
    """A payload of a user's own: these pieces, and this length."""

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
    """A file-like object with nothing but read(), which gives these one by one."""

    def __init__(self, *given):
        self.left = [*given, b""]

    def read(self, size):
        return self.left.pop(0)


@contextmanager
def a_pipe(mode="rb", buffering=-1, **options):
    """The reading end as a file, and the writing end as a number that the test may close."""
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


# The guarded pass


def test_a_pass_gives_the_pieces_that_are_not_empty():
    payload = Given([b"", b"ab", b"", bytearray(b"c"), memoryview(b"d"), bytearray()])
    assert pieces(payload) == [b"ab", b"c", b"d"]
    assert payload.closed == 1


def test_S04_an_empty_item_of_a_generator_is_skipped():
    assert pieces(made(item for item in (b"x", b"", b"yy"))) == [b"x", b"yy"]


def test_a_second_pass_where_there_is_none_is_refused():
    payload = Given([b"a"])
    assert not payload.started
    assert sent(payload) == b"a"
    assert payload.started
    with pytest.raises(PayloadNotReplayable, match=r"^<Given .* one pass, begun> can be sent once"):
        sent(payload)


def test_an_iterator_that_was_never_asked_leaves_the_payload_unspent():
    payload = Given([b"a"])
    first, second = iter(payload), iter(payload)
    assert not payload.started
    assert next(first) == b"a"
    with pytest.raises(PayloadNotReplayable):
        next(second)


def test_a_pass_that_broke_off_is_a_pass():
    payload = Given([b"a", b"b"])
    for _ in payload:
        break
    assert payload.started
    assert payload.closed == 1
    with pytest.raises(PayloadNotReplayable):
        sent(payload)


def test_a_replayable_payload_begins_again_from_the_first_byte():
    payload = Given([b"a", b"b"], 2, replayable=True)
    for _ in payload:
        break
    assert sent(payload) == sent(payload) == b"ab"
    assert payload.closed == 3


def test_only_one_of_many_threads_gets_the_one_pass():
    for _ in range(50):
        payload = Given([b"x"])
        outcomes = in_threads(4, lambda _, payload=payload: sent(payload))
        assert outcomes.count(b"x") == 1
        assert [type(each) for each in outcomes].count(PayloadNotReplayable) == 3


@pytest.mark.parametrize(
    ("items", "length", "out", "said"),
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
def test_a_length_that_is_not_kept_is_an_error(items, length, out, said):
    payload = Given(items, length)
    came = b""
    with pytest.raises(PayloadLengthError) as info:
        for piece in payload:
            came += piece
    assert came == out
    assert str(info.value) == f"{payload!r} {said}"
    assert payload.closed == 1


pieces_of_any_kind = st.lists(
    st.binary(max_size=6).flatmap(
        lambda data: st.sampled_from([data, bytearray(data), memoryview(data)])
    ),
    max_size=8,
)


@given(pieces_of_any_kind, st.integers(0, 30))
@example([b"a", b"", b""], 1)
@example([b"", b"a", b"", b"b"], 1)
@example([], 0)
def test_what_comes_before_an_error_never_completes_the_length(items, length):
    whole = b"".join(items)
    payload, came = Given(items, length), b""
    try:
        for piece in payload:
            assert len(piece)
            came += piece
    except PayloadLengthError:
        assert len(whole) != length
        assert len(came) < length or length == 0 == len(came)
    else:
        assert came == whole
        assert len(whole) == length
    assert whole.startswith(came)
    assert payload.closed == 1


@given(pieces_of_any_kind)
def test_without_a_length_everything_comes_as_it_is(items):
    assert pieces(Given(items)) == [bytes(item) for item in items if len(item)]


def test_the_last_piece_waits_until_the_source_is_known_to_have_no_more():
    asked = []

    def source():
        yield b"abc"
        yield b"def"
        asked.append("for more")

    payload = iter(DeclaredLength(made(source()), 6))
    assert next(payload) == b"abc"
    assert asked == []
    assert next(payload) == b"def"
    assert asked == ["for more"]


@pytest.mark.parametrize("size", [10, 64 * 1024, 300_000])
def test_a_piece_that_is_held_back_is_not_the_buffer_that_is_filled_anew(size):
    def source():
        buffer = bytearray(b"a" * size)
        yield buffer
        buffer[:] = b"b" * size
        yield buffer
        buffer[:] = b"c" * size  # before the last piece went out
        buffer += b"more"  # and nobody holds a view of it by now

    assert sent(DeclaredLength(made(source()), 2 * size)) == b"a" * size + b"b" * size


def test_the_source_is_closed_when_the_consumer_goes_away_or_fails():
    closed = []

    def source():
        try:
            yield b"a"
            yield b"b"
        finally:
            closed.append(True)

    for length in (None, 2):
        payload = made(source()) if length is None else DeclaredLength(made(source()), length)
        running = iter(payload)
        next(running)
        running.close()
    assert closed == [True, True]


def test_S06_an_exception_of_the_source_passes_as_it_is():
    fault = KeyError("mine")

    def source():
        yield b"abc"
        raise fault

    came = []
    with pytest.raises(KeyError) as info:
        came.extend(iter(made(source())))
    assert info.value is fault
    assert came == [b"abc"]


def test_chunks_may_give_whatever_has_a_buffer():
    assert pieces(Given([array.array("H", [1, 2])], 4)) == [array.array("H", [1, 2]).tobytes()]
    with pytest.raises(TypeError, match="str"):
        sent(Given(["text"]))


def test_a_view_that_was_made_of_a_piece_ends_with_it():
    grown = array.array("B", b"abc")

    def source():
        yield grown
        grown.append(0)  # a BufferError while somebody has a view of it
        yield b"d"

    running = iter(made(source()))
    piece = next(running)
    assert bytes(piece) == b"abc"
    assert next(running) == b"d"


def test_a_failure_leaves_no_view_behind():
    grown = array.array("B", b"abc")
    with pytest.raises(PayloadLengthError):
        sent(DeclaredLength(made(iter([grown])), 2))
    grown.append(0)


def test_reprs_say_what_it_is_and_never_what_is_in_it(path):
    with path.open("rb") as file, a_pipe(buffering=0) as (reader, _):
        reprs = [
            repr(made(value))
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
        assert repr(made(reader)) == "<StreamPayload of FileIO of unknown length, one pass>"
        assert number >= 0
    assert reprs == [
        "<BytesPayload 6 bytes, replayable>",
        "<TextPayload 1 byte, replayable>",
        "<BufferPayload of bytearray 6 bytes, replayable>",
        "<IterablePayload of list of unknown length, replayable>",
        "<IteratorPayload of list_iterator of unknown length, one pass>",
        f"<FilePayload {str(path)!r} 10 bytes, replayable>",
        f"<PathPayload {str(path)!r} 10 bytes, replayable>",
        "<StreamPayload of OnlyRead of unknown length, one pass>",
        "<CallPayload of partial() of unknown length, replayable>",
    ]
    begun = made(iter([b"a"]))
    sent(begun)
    assert repr(begun) == "<IteratorPayload of list_iterator of unknown length, one pass, begun>"
    assert repr(Given([])) == "<Given of unknown length, one pass>"


# Declared lengths


def test_R04_a_declared_length_holds_an_iterable_to_it():
    payload = DeclaredLength(made(["line 1", "line 2"]), 12)
    assert (payload.length, payload.replayable) == (12, True)
    assert sent(payload) == sent(payload) == b"line 1line 2"


def test_a_known_length_that_differs_from_the_declared_one_is_an_error_at_once():
    with pytest.raises(
        PayloadLengthError,
        match=r"^<BytesPayload 3 bytes, replayable> does not give the declared 4 bytes$",
    ):
        DeclaredLength(made(b"abc"), 4)


def test_a_declared_length_answers_as_its_payload_does():
    with a_pipe(buffering=0) as (reader, writing):
        inner = made(reader)
        payload = DeclaredLength(inner, 3)
        assert payload.waits_on == reader.fileno()
        assert not payload.started
        os.write(writing, b"abc")
        os.close(writing)
        assert sent(payload) == b"abc"
        assert payload.started
        assert inner.started
        assert payload.headers == inner.headers
    assert sent(DeclaredLength(made(b"abc"), 3)) == b"abc"
    spent = DeclaredLength(made(iter([b"a"])), 1)
    sent(spent)
    with pytest.raises(PayloadNotReplayable):
        sent(spent)


# Bytes and text


@pytest.mark.parametrize("size", [0, 1, MIB, MIB + 1, 3 * MIB])
@pytest.mark.parametrize("make", [bytes, bytearray], ids=["bytes", "bytearray"])
def test_bytes_of_any_size_come_whole_and_in_pieces_that_are_not_too_large(make, size):
    data = make(os.urandom(size))
    payload = made(data)
    assert (payload.length, payload.replayable, kind(payload)) == (size, True, OCTETS)
    assert not payload.started
    assert sent(payload) == sent(payload) == data
    assert payload.started
    assert all(0 < len(piece) <= MIB for piece in pieces(payload))


def test_small_bytes_are_not_copied():
    data = os.urandom(1000)
    assert next(iter(made(data))) is data


def test_R08_text_is_its_utf_8():
    payload = made("héé€")
    assert payload.length == 8
    assert kind(payload) == "text/plain; charset=utf-8"
    assert sent(payload) == "héé€".encode()
    empty = made("")
    assert empty.length == 0
    assert pieces(empty) == []


def test_a_lone_surrogate_is_an_error_that_says_where():
    with pytest.raises(
        PayloadError, match=r"the text has a lone surrogate, '\\udc80', at posi.* 2"
    ):
        as_payload("ab\udc80")


def test_none_is_no_payload():
    assert as_payload(None) is None


# Whatever has a buffer


def views_of_twelve_bytes() -> Iterator[tuple[object, bytes]]:
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


@pytest.mark.parametrize(("owner", "data"), list(views_of_twelve_bytes()))
def test_P05_whatever_has_a_buffer_is_its_bytes(owner, data):
    payload = made(owner)
    assert (payload.length, payload.replayable, kind(payload)) == (len(data), True, OCTETS)
    assert sent(payload) == sent(payload) == data


def test_P05_numpy_arrays_are_their_bytes():
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
        payload = made(value)
        assert payload.length == value.nbytes
        assert sent(payload) == value.tobytes()
    with pytest.raises(TypeError, match="Python objects"):
        as_payload(numpy.array([object()], dtype=object))
    dates = numpy.array(["2026-11-21"], dtype="M8[D]")
    with pytest.raises(PayloadError, match="a ndarray does not give its bytes: "):
        as_payload(dates)
    with pytest.raises(PayloadError, match="item 1, a ndarray, does not give its bytes: "):
        sent(as_payload([b"a", dates]))


@pytest.mark.parametrize("kind", ["int64", "uint8", "float32", "float64", "bool_", "complex64"])
def test_P10_a_number_of_numpys_is_no_payload_though_it_has_a_buffer(kind):
    numpy = pytest.importorskip("numpy")
    with pytest.raises(TypeError, match="a payload cannot be of type"):
        as_payload(getattr(numpy, kind)(1))
    assert sent(as_payload(numpy.bytes_(b"abc"))) == b"abc"
    assert sent(as_payload(numpy.str_("abc"))) == b"abc"


def test_a_generator_is_named_by_its_function():
    def rows():
        yield b"a"

    assert repr(as_payload(rows())) == (
        "<IteratorPayload of generator rows of unknown length, one pass>"
    )
    assert "of list_iterator of unknown" in repr(as_payload(iter([b"a"])))


def test_P05_what_has_let_go_of_its_bytes_says_so():
    view = memoryview(b"abc")
    view.release()
    with pytest.raises(PayloadError, match="memoryview does not give its bytes: "):
        as_payload(view)


def test_P05_an_mmap_is_all_its_bytes_and_can_be_closed_afterwards(path):
    with path.open("r+b") as file, mmap.mmap(file.fileno(), 0) as mapped:
        mapped.read(3)
        payload = made(mapped)
        assert sent(payload) == sent(payload) == b"0123456789"
        with pytest.raises(ZeroDivisionError):
            for _ in payload:
                1 / 0  # noqa: B018  # the failure of whoever sends
    with pytest.raises(ValueError, match="closed"):
        sent(payload)


def test_P05_a_buffer_is_held_while_a_pass_is_under_way_and_not_longer():
    owner = bytearray(b"abc")
    payload = made(owner)
    owner[0:1] = b"A"
    running = iter(payload)
    last = next(running)
    with pytest.raises(BufferError):
        owner.append(0)
    running.close()
    owner.append(0)
    with pytest.raises(ValueError, match="released"):
        bytes(last)


def test_P05_a_buffer_of_another_size_by_now_is_an_error_before_a_byte():
    owner = bytearray(b"abc")
    payload = made(owner)
    owner.append(0)
    with pytest.raises(PayloadLengthError, match=r"bytearray 3 bytes, replayable> has 4 bytes by"):
        next(iter(payload))
    del owner[0]
    assert sent(payload) == b"bc\0"


# Iterables, iterators, callables


def test_R03_a_list_of_lines_is_a_piece_each_and_replayable():
    payload = made(["line 1", "line 2"])
    assert (payload.length, payload.replayable, kind(payload)) == (None, True, OCTETS)
    assert pieces(payload) == pieces(payload) == [b"line 1", b"line 2"]


def test_S03_a_generator_is_asked_one_item_at_a_time_and_once():
    asked = []

    def source():
        for item in (b"hello\n", "thére\n", bytearray(b"a"), memoryview(b"b")):
            asked.append(item)
            yield item

    payload = made(source())
    assert (payload.length, payload.replayable, kind(payload)) == (None, False, OCTETS)
    running = iter(payload)
    assert asked == []
    assert next(running) == b"hello\n"
    assert len(asked) == 1
    assert [bytes(piece) for piece in running] == ["thére\n".encode(), b"a", b"b"]
    with pytest.raises(PayloadNotReplayable):
        sent(payload)


def test_a_generator_that_has_run_already_is_refused_and_not_sent_empty():
    source = (item for item in [b"a"])
    assert sent(made(source)) == b"a"
    with pytest.raises(PayloadNotReplayable, match="has run already"):
        as_payload(source)


def test_a_generator_that_has_given_something_goes_on_from_there():
    source = (item for item in [b"head", b"rest"])
    next(source)
    assert sent(made(source)) == b"rest"


def test_an_iterator_of_the_caller_is_not_closed_but_a_generator_is():
    class Cursor:
        closed = False

        def __iter__(self):
            return self

        def __next__(self):
            raise StopIteration

        def close(self):
            self.closed = True

    cursor = Cursor()
    assert sent(made(cursor)) == b""
    assert not cursor.closed


def test_a_re_iterable_is_asked_for_a_fresh_iterator_each_time_and_that_is_closed():
    begun, closed = [], []

    class Rows:
        def __iter__(self):
            begun.append(True)
            try:
                yield b"a"
                yield "b"
            finally:
                closed.append(True)

    payload = made(Rows())
    assert isinstance(payload, IterablePayload)
    assert begun == []
    assert sent(payload) == sent(payload) == b"ab"
    for _ in payload:
        break
    assert len(begun) == len(closed) == 3


def test_a_re_iterable_that_gives_the_same_iterator_again_is_an_error_and_not_empty():
    class Once:
        def __init__(self):
            self.items = iter([b"a"])

        def __iter__(self):
            return self.items

    payload = made(Once())
    assert sent(payload) == b"a"
    with pytest.raises(PayloadNotReplayable, match="same iterator twice"):
        sent(payload)


@pytest.mark.parametrize("empty", [[], ()])
def test_an_empty_list_has_length_zero(empty):
    payload = made(empty)
    assert payload.length == 0
    assert pieces(payload) == []


def test_a_list_that_was_empty_and_is_not_any_more_is_an_error():
    items: list[bytes] = []
    payload = made(items)
    items.append(b"a")
    with pytest.raises(PayloadLengthError):
        sent(payload)


@pytest.mark.parametrize("item", [1, None, object(), [b"a"], {}, True])
def test_P10_an_item_of_another_type_is_named_with_its_index(item):
    name = type(item).__name__
    with pytest.raises(TypeError, match=rf"^item 0 is of type {name}; bytes-like or str is wanted"):
        as_payload([item])
    came = []
    with pytest.raises(TypeError, match=rf"^item 2 is of type {name}; bytes-like or str is wanted"):
        came.extend(iter(made([b"a", b"b", item])))
    assert came == [b"a", b"b"]


def test_a_lone_surrogate_in_an_item_is_named_with_its_index():
    with pytest.raises(PayloadError, match=r"^item 1 has a lone surrogate, .* at position 1:"):
        sent(made(iter(["ok", "x\ud800"])))


@pytest.mark.parametrize(
    "form", [{"a": 1}, {}, [("a", "b")], (("a", b"b"), ("c", "d")), [["a", 1]]]
)
def test_a_form_is_made_one_floor_up_and_the_error_says_by_what(form):
    with pytest.raises(TypeError, match=r"is a form, .*FormData\.from_fields\(\)"):
        as_payload(form)


@pytest.mark.parametrize("value", [{b"a"}, frozenset(), 1, 1.5, True, object(), 1j, Ellipsis])
def test_P10_what_cannot_be_sent_is_a_type_error_that_lists_what_can(value):
    with pytest.raises(TypeError) as info:
        as_payload(value)
    said = str(info.value)
    assert said.startswith(f"a payload cannot be of type {type(value).__name__}; it can be bytes")
    for accepted in ("buffer", "str", "os.PathLike", "read()", "iterable", "callable", "__payload"):
        assert accepted in said


def test_P09_what_is_asynchronous_is_a_type_error_that_says_what_to_do():
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
        sent(made(lambda: coroutine()))  # noqa: PLW0108  # the function itself is refused before
    asyncio.run(running.aclose())


def test_a_callable_is_called_for_every_pass():
    calls = []

    def rows():
        calls.append(True)
        yield b"a"
        yield "b"

    payload = made(rows)
    assert isinstance(payload, CallPayload)
    assert (payload.length, payload.replayable, kind(payload)) == (None, True, OCTETS)
    assert calls == []
    assert sent(payload) == sent(payload) == b"ab"
    assert len(calls) == 2


def test_a_callable_may_give_whatever_can_be_a_payload(path):
    opened = []

    def a_file():
        opened.append(path.open("rb"))
        return opened[-1]

    for function in (lambda: b"0123456789", lambda: path, a_file, lambda: ["01234", b"56789"]):
        payload = made(function)
        assert sent(payload) == sent(payload) == b"0123456789"
    for _ in made(a_file):
        break
    assert len(opened) == 3
    assert all(file.closed for file in opened)


def test_a_callable_that_gives_the_same_generator_again_is_an_error_and_not_empty():
    source = (item for item in [b"a"])
    payload = made(lambda: source)
    assert sent(payload) == b"a"
    with pytest.raises(PayloadNotReplayable):
        sent(payload)


def test_a_callable_that_gives_nothing_or_needs_arguments_is_a_type_error():
    with pytest.raises(TypeError, match="returned None"):
        sent(made(lambda: None))
    with pytest.raises(TypeError, match="missing a required argument: 'x'"):
        as_payload(lambda x: x)


def test_a_class_is_a_callable_whatever_its_instances_have():
    class Rows:
        def __iter__(self):
            return iter([b"a"])

    payload = made(Rows)
    assert sent(payload) == sent(payload) == b"a"


# The object's own word


def test_an_object_says_by_itself_how_it_is_sent():
    class Report(str):
        __slots__ = ()

        def __payload__(self):
            return BytesPayload(b"mine", (("Content-Type", "x/y"),))

    payload = made(Report("not this"))
    assert sent(payload) == b"mine"
    assert kind(payload) == "x/y"
    assert as_payload(payload) is payload


def test_what_an_object_says_has_to_be_a_payload():
    class Wrong:
        def __payload__(self):
            return b"bytes"

    with pytest.raises(TypeError, match=r"Wrong\.__payload__\(\) returned bytes; a Payload is"):
        as_payload(Wrong())


# Paths


def test_P06_a_path_is_sized_and_opened_for_each_pass(path):
    payload = made(path)
    assert isinstance(payload, PathPayload)
    assert (payload.length, payload.replayable, payload.started) == (10, True, False)
    assert sent(payload) == sent(payload) == b"0123456789"
    for _ in payload:  # the fixture sees to it that nothing stays open
        break


def test_P06_a_path_where_there_is_nothing_to_read_is_the_error_of_the_system(tmp_path):
    with pytest.raises(FileNotFoundError) as info:
        as_payload(tmp_path / "missing")
    assert info.value.filename == str(tmp_path / "missing")
    with pytest.raises(IsADirectoryError):
        as_payload(tmp_path)
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(OSError, match="symbolic links"):
        as_payload(tmp_path / "loop")


def test_P06_a_path_without_permission_is_the_error_of_the_system(path):
    path.chmod(0)
    os.mkfifo(path.with_name("fifo"), 0)
    path.parent.chmod(0o755)
    program = (
        "import os, pathlib; from restkit.door import as_payload\n"
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


def test_P06_a_path_may_be_of_bytes(path):
    class OfBytes:
        def __fspath__(self):
            return os.fsencode(path)

    assert sent(made(OfBytes())) == b"0123456789"


def test_P16_an_empty_file_has_length_zero(tmp_path):
    empty = tmp_path / "empty"
    empty.touch()
    with empty.open("rb") as file, empty.open(encoding="utf-8") as text:
        for value in (empty, file, text, io.BytesIO(), io.StringIO()):
            payload = made(value)
            assert (payload.length, payload.replayable) == (0, True)
            assert pieces(payload) == []


def test_a_fifo_by_its_path_is_read_once_and_not_opened_before(tmp_path):
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    payload = made(fifo)  # to open it would wait for a writer
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
        sent(payload)


# Regular files


@pytest.mark.parametrize("mode", ["rb", "r+b", "r", "r+", "rb0"])
def test_R01_a_file_has_its_size_and_its_bytes(path, mode):
    with open(path, mode.strip("0"), 0 if "0" in mode else -1) as file:
        payload = made(file)
        assert isinstance(payload, FilePayload)
        assert (payload.length, payload.replayable) == (10, True)
        assert sent(payload) == sent(payload) == b"0123456789"
        assert not file.closed
        assert file.tell() == 0


def test_P03_a_file_goes_from_its_position_on_and_again_from_there(path):
    for mode in ("rb", "r+b", "r", "r+"):
        with open(path, mode) as file:
            file.read(4)
            payload = made(file)
            assert payload.length == 6
            assert sent(payload) == sent(payload) == b"456789"
            assert file.tell() == 4
            assert sent(made(file)) == b"456789"
            assert file.read(1) in ("4", b"4")
            file.seek(0, os.SEEK_END)
            assert made(file).length == 0
    with path.open("rb") as file:
        file.seek(100)
        assert made(file).length == 0


def test_what_was_written_and_not_flushed_is_sent_too(path):
    with path.open("r+b") as file:
        file.seek(0, os.SEEK_END)
        file.write(b"ab")
        file.seek(8)
        assert sent(made(file)) == b"89ab"
    with path.open("r+", encoding="utf-8") as text:
        text.write("é")
        assert sent(made(text)) == b"23456789ab"
        text.seek(0)
        assert sent(made(text)) == "é23456789ab".encode()
    with tempfile.TemporaryFile() as new:
        new.write(b"abc")
        new.seek(1)
        payload = made(new)
        assert (payload.length, kind(payload)) == (2, OCTETS)
        assert sent(payload) == b"bc"
        new.seek(0, os.SEEK_END)
        new.write(b"d")
        assert sent(payload) == b"bc"


def test_P04_a_file_that_shrinks_is_an_error_and_one_that_grows_is_cut(path):
    path.write_bytes(b"x" * (3 * BLOCK))
    with path.open("rb") as file:
        for payload in (made(file), made(path)):
            running = iter(payload)
            assert len(next(running)) == BLOCK
            os.truncate(path, BLOCK + 5)
            assert len(next(running)) == 5
            with pytest.raises(PayloadLengthError, match=f"gave {BLOCK + 5} of {3 * BLOCK} bytes"):
                next(running)
            path.write_bytes(b"x" * (3 * BLOCK) + b"new")
            assert sent(payload) == b"x" * (3 * BLOCK)


def test_P13_many_threads_send_one_payload_whole(tmp_path):
    data = os.urandom(5 * BLOCK + 17)
    path = tmp_path / "big"
    path.write_bytes(data)
    with path.open("rb") as file, gzip.open(tmp_path / "z", "wb") as packed:
        packed.write(data)
        packed.close()
        file.seek(3)
        with gzip.open(tmp_path / "z") as unpacked:
            unpacked.read(3)
            for payload in (
                made(data[3:]),
                made(file),
                DeclaredLength(made(lambda: iter([data[3:]])), len(data) - 3),
                made(memoryview(data)[3:]),
                made(unpacked),
            ):
                assert in_threads(4, lambda _, p=payload: sent(p) == data[3:]) == [True] * 4
                assert file.tell() == unpacked.tell() == 3


def test_P15_the_callers_file_is_never_closed(path):
    with path.open("rb") as file:
        payload = made(file)
        with pytest.raises(ZeroDivisionError):
            for _ in payload:
                1 / 0  # noqa: B018  # the failure of whoever sends
        assert not file.closed
        sent(payload)
        assert not file.closed


def test_a_file_closed_by_now_is_an_error_and_not_another_files_bytes(path, tmp_path):
    path.write_bytes(b"x" * (2 * BLOCK))
    with path.open("rb") as file:
        payload = made(file)
        running = iter(payload)
        next(running)
    with (tmp_path / "other").open("w+b") as other:
        other.write(b"y" * (2 * BLOCK))
        with pytest.raises(ValueError, match="closed file"):
            next(running)
        with pytest.raises(ValueError, match="closed file"):
            sent(payload)


@pytest.mark.parametrize("mode", ["rb", "r", "r+b"])
def test_a_closed_file_is_an_error_at_the_door(path, mode):
    with open(path, mode) as file:
        pass
    with pytest.raises(PayloadError, match=r"x\.bin' is closed$"):
        as_payload(file)


@pytest.mark.parametrize("mode", ["wb", "w", "ab", "wb0"])
def test_a_file_open_for_writing_only_is_an_error_at_the_door(path, mode):
    with open(path, mode.strip("0"), 0 if "0" in mode else -1) as file:
        with pytest.raises(PayloadError, match=r"x\.bin' is not open for reading$"):
            as_payload(file)


def test_an_error_of_the_system_while_reading_passes_as_it_is(path):
    with path.open("rb", buffering=0) as file:
        payload = made(file)
        with open(os.devnull, "wb", buffering=0) as nothing:
            os.dup2(nothing.fileno(), file.fileno())  # its number can be read no more
        with pytest.raises(OSError, match="Bad file descriptor"):
            sent(payload)


def test_a_text_file_goes_as_it_is_on_disk(path):
    data = "grüße\r\n€\n".encode("latin-1", "replace") + b"\r\n"
    path.write_bytes(data)
    with path.open(encoding="latin-1") as file:
        assert sent(made(file)) == data
        file.readline()
        assert sent(made(file)) == data[7:]
    path.write_text("ab", encoding="utf-16")
    with path.open(encoding="utf-16") as file:
        assert sent(made(file)) == "ab".encode("utf-16")


def test_P18_a_text_file_half_read_by_iteration_says_to_open_it_in_binary(path):
    path.write_text("one\ntwo\n", encoding="utf-8")
    with path.open(encoding="utf-8") as file:
        next(file)
        with pytest.raises(PayloadError, match="open it with 'rb'"):
            as_payload(file)
        assert list(file) == ["two\n"]
        assert made(file).length == 0


def test_P18_a_text_file_whose_decoder_has_a_state_says_to_open_it_in_binary(path):
    for stored in ("utf-16-le", "utf-16-be"):
        path.write_bytes("\ufeffone\ntwo\n".encode(stored))
        with path.open(encoding="utf-16") as file:
            file.readline()
            with pytest.raises(PayloadError, match=r"x\.bin' has been read as text.* with 'rb'"):
                as_payload(file)
    path.write_text("one\ntwo\n", encoding="utf-8-sig")
    with path.open(encoding="utf-8-sig") as file:
        file.readline()
        assert sent(made(file)) == b"two\n"


def test_P01_proc_files_give_what_they_have(tmp_path):
    name = pathlib.Path("/proc/version")
    if not name.exists():
        pytest.skip("there is no /proc here")
    truth = name.read_bytes()
    assert name.stat().st_size == 0 < len(truth)
    with name.open("rb") as file, name.open() as text, name.open("rb", buffering=0) as raw:
        for value in (file, text, raw):
            payload = made(value)
            assert (payload.length, payload.replayable, payload.waits_on) == (None, False, None)
            assert sent(payload) == truth
    payload = made(name)
    assert payload.length is None
    assert sent(payload) == truth


def test_P01_cpuinfo_is_not_empty():
    name = pathlib.Path("/proc/cpuinfo")
    if not name.exists():
        pytest.skip("there is no /proc here")
    with name.open("rb") as file:
        assert b"processor" in sent(made(file))


def test_a_sys_file_that_claims_a_page_gives_what_it_has():
    found = [p for p in pathlib.Path("/sys/kernel").glob("*") if p.is_file() and size_lies(p)]
    if not found:
        pytest.skip("there is no /sys here")
    payload = made(found[0])
    assert payload.length is None
    assert sent(payload) == found[0].read_bytes()


def size_lies(path: pathlib.Path) -> bool:
    try:
        return len(path.read_bytes()) < path.stat().st_size
    except OSError:
        return False


def test_a_sparse_file_keeps_its_size(tmp_path):
    path = tmp_path / "sparse"
    with path.open("w+b") as file:
        file.truncate(10 * MIB)
        for payload in (made(file), made(path)):
            assert payload.length == 10 * MIB
            assert sent(payload) == bytes(10 * MIB)


def test_a_region_says_where_the_bytes_are(path):
    with path.open("rb") as file:
        file.seek(4)
        payload = made(file)
        assert isinstance(payload, FilePayload)
        with payload.region() as region:
            assert region == (file, 4, 6)
    payload = made(path)
    assert isinstance(payload, PathPayload)
    with payload.region() as region:
        assert os.pread(region.file.fileno(), region.length, region.start) == b"0123456789"
    assert region.file.closed


# Files in memory, and others that can seek


def test_R07_bytes_in_memory_go_from_their_position_which_stays():
    file = io.BytesIO(b"0123456789")
    file.seek(4)
    payload = made(file)
    assert (payload.length, payload.replayable, kind(payload)) == (6, True, OCTETS)
    assert sent(payload) == sent(payload) == b"456789"
    assert file.tell() == 4
    file.seek(20)
    assert made(file).length == 0


def test_bytes_in_memory_are_not_copied():
    data = os.urandom(5 * MIB)
    file = io.BytesIO(data)
    file.seek(1)
    tracemalloc.start()
    try:
        for piece in made(file):
            assert len(piece) <= MIB
        assert tracemalloc.get_traced_memory()[1] < MIB
    finally:
        tracemalloc.stop()


def test_P16_text_in_memory_is_sized_in_bytes():
    file = io.StringIO("xhéé€")
    file.read(1)
    payload = made(file)
    assert (payload.length, payload.replayable) == (8, True)
    assert sent(payload) == sent(payload) == "héé€".encode()
    assert file.tell() == 1


def seekables(folder: pathlib.Path) -> Iterator[io.IOBase]:
    """Objects whose bytes are 0123456789, and whose file's own may be others."""
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


def test_R07_what_can_seek_is_measured_and_replayable(tmp_path):
    for file in seekables(tmp_path):
        with file:
            for start in (0, 4):
                file.seek(start)
                payload = made(file)
                assert isinstance(payload, SeekablePayload)
                assert (payload.length, payload.replayable) == (10 - start, True)
                assert sent(payload) == sent(payload) == b"0123456789"[start:]
                assert file.tell() == start
                for _ in payload:
                    break
                assert file.tell() == start


def test_what_can_seek_and_grows_is_cut_and_what_shrinks_is_an_error():
    class Mine(io.BytesIO):
        pass

    file = Mine(b"0123456789")
    payload = made(file)
    file.seek(0, os.SEEK_END)
    file.write(b"more")
    assert sent(payload) == b"0123456789"
    file.truncate(5)
    with pytest.raises(PayloadLengthError, match="gave 5 of 10 bytes"):
        sent(payload)
    assert file.tell() == 0


def test_text_that_can_seek_goes_as_utf_8_and_is_not_measured(tmp_path):
    with gzip.open(tmp_path / "t.gz", "wt", encoding="latin-1") as packed:
        packed.write("é\nü\n")
    with gzip.open(tmp_path / "t.gz", "rt", encoding="latin-1") as file:
        payload = made(file)
        assert (payload.length, payload.replayable) == (None, True)
        assert sent(payload) == sent(payload) == "é\nü\n".encode()
        file.readline()
        payload = made(file)
        assert sent(payload) == sent(payload) == "ü\n".encode()
    with gzip.open(tmp_path / "t.gz", "rt", encoding="latin-1") as file:
        next(file)
        payload = made(file)
        assert not payload.replayable
        assert sent(payload) == "ü\n".encode()


def test_text_of_codecs_is_not_believed_about_its_position(tmp_path):
    path = tmp_path / "t"
    path.write_text("é\nü\n", encoding="utf-8")
    with path.open("rb") as raw:
        file = codecs.getreader("utf-8")(raw)
        payload = made(file)
        assert payload.replayable
        assert sent(payload) == sent(payload) == "é\nü\n".encode()
        assert file.readline() == "é\n"
        payload = made(file)
        assert not payload.replayable
        assert sent(payload) == "ü\n".encode()


def test_what_says_that_it_can_seek_and_cannot_is_read_on():
    class Liar(io.BytesIO):
        def seek(self, offset, whence=0):
            raise io.UnsupportedOperation("seek")

    file = Liar(b"0123")
    file.read(1)
    payload = made(file)
    assert (payload.length, payload.replayable) == (None, False)
    assert sent(payload) == b"123"


# Pipes, sockets, and what can only be read on


def test_P02_a_pipe_gives_its_first_bytes_before_the_writer_closes():
    for mode, buffering in (("rb", -1), ("rb", 0), ("r", -1)):
        with a_pipe(mode, buffering) as (reader, writing):
            payload = made(reader)
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
                sent(payload)


def test_a_pipe_waits_on_its_number_and_a_buffered_one_only_when_its_buffer_is_empty():
    with a_pipe(buffering=0) as (reader, writing):
        payload = made(reader)
        assert payload.waits_on == reader.fileno()
    with a_pipe() as (reader, writing):
        os.write(writing, b"line\nrest")
        assert reader.readline() == b"line\n"
        payload = made(reader)
        assert payload.waits_on is None  # "rest" has come, and the number would not say so
        running = iter(payload)
        assert next(running) == b"rest"
        assert payload.waits_on == reader.fileno()
        os.write(writing, b"x" * 65536)
        assert len(next(running)) == 65536
        assert payload.waits_on == reader.fileno()
        os.close(writing)
        assert list(running) == []


def test_P02_standard_input_is_sent_as_it_comes():
    program = (
        "import sys; from restkit.door import as_payload\n"
        "for source in (sys.stdin, sys.stdin.buffer):\n"
        "    payload = as_payload(source)\n"
        "    print(payload, flush=True)\n"
        "    for piece in payload:\n"
        "        print(bytes(piece), flush=True)\n"
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


def test_text_of_a_pipe_that_has_been_read_goes_on_as_text():
    with a_pipe("r", encoding="latin-1") as (reader, writing):
        os.write(writing, "one\nü\nrest".encode("latin-1"))
        assert reader.readline() == "one\n"
        payload = made(reader)
        assert (payload.length, payload.waits_on) == (None, None)
        running = iter(payload)
        assert next(running) == "ü\n".encode()
        os.close(writing)
        assert list(running) == [b"rest"]


def test_text_of_a_pipe_stays_whole_when_only_the_payload_is_left():
    reading, writing = os.pipe()
    payload = made(open(reading, encoding="utf-8", closefd=False))  # noqa: SIM115  # the case
    gc.collect()
    os.write(writing, b"abc")
    os.close(writing)
    assert sent(payload) == b"abc"
    os.close(reading)


@pytest.mark.parametrize("buffering", [-1, 0])
def test_a_pipe_that_does_not_block_is_waited_for(buffering):
    with a_pipe(buffering=buffering) as (reader, writing):
        os.set_blocking(reader.fileno(), False)

        def write():
            for piece in (b"one", b"two"):
                os.write(writing, piece)
                asked.wait(60)
                asked.clear()
            os.close(writing)

        asked = threading.Event()
        writer = threading.Thread(target=write)
        running = iter(made(reader))
        writer.start()
        came = []
        for piece in running:
            came.append(piece)
            asked.set()
        writer.join(60)
        assert came == [b"one", b"two"]


def test_text_of_a_pipe_that_does_not_block_is_refused_once_it_has_been_read():
    with a_pipe("r") as (reader, writing):
        os.write(writing, b"one\ntwo\n")
        os.set_blocking(reader.fileno(), False)
        reader.readline()
        with pytest.raises(PayloadError, match="open it with 'rb'"):
            as_payload(reader)


def test_a_source_that_gives_none_and_has_no_number_is_an_error():
    with pytest.raises(PayloadError, match="no file number to wait on"):
        sent(made(OnlyRead(b"a", None)))


def test_R07_an_object_with_only_read_is_read_on():
    payload = made(OnlyRead(b"a", bytearray(b"b"), memoryview(b"c")))
    assert isinstance(payload, StreamPayload)
    assert (payload.length, payload.replayable, payload.waits_on) == (None, False, None)
    assert pieces(payload) == [b"a", b"b", b"c"]
    assert sent(made(OnlyRead("é", "ü"))) == "éü".encode()
    with pytest.raises(PayloadError, match=r"after 2 characters, has a lone surrogate.*position 1"):
        sent(made(OnlyRead("ab", "c\udc80")))
    with pytest.raises(TypeError, match="int"):
        sent(made(OnlyRead(5)))


def test_what_has_read1_is_asked_by_it():
    class Both(OnlyRead):
        def read1(self, size):
            return super().read(size)

        def read(self, size):
            raise AssertionError("read() waits for all that it is asked for")

    assert pieces(made(Both(b"a", b"b"))) == [b"a", b"b"]


def test_P02_a_socket_gives_what_it_receives():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        payload = made(ours)
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
def test_P02_a_sockets_file_gives_what_it_receives(mode, buffering):
    ours, theirs = socket.socketpair()
    with ours, theirs, ours.makefile(mode, buffering=buffering, newline=None) as file:
        payload = made(file)
        assert (payload.length, payload.replayable, payload.waits_on) == (None, False, None)
        running = iter(payload)
        theirs.send(b"first\n")
        assert next(running) == b"first\n"
        theirs.close()
        assert list(running) == []


def test_the_number_of_a_tls_socket_is_not_waited_on():
    ours, theirs = socket.socketpair()
    context = ssl.create_default_context()
    with (
        theirs,
        context.wrap_socket(ours, do_handshake_on_connect=False, server_hostname="x") as secure,
    ):
        assert made(secure).waits_on is None


def test_a_timeout_of_the_callers_socket_passes_as_it_is():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.settimeout(0.01)
        with pytest.raises(TimeoutError):
            sent(made(ours))


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
def test_S20_a_file_is_of_the_type_that_its_name_says(name, expected):
    assert content_type(name) == (("Content-Type", expected),)


def test_S20_a_file_without_a_name_is_octets_and_decompressed_bytes_are_not_gzip(tmp_path):
    with tempfile.TemporaryFile() as file:
        assert isinstance(file.name, int)
        assert kind(made(file)) == OCTETS
    with gzip.open(tmp_path / "x.txt.gz", "wb") as packed:
        packed.write(b"text")
    with gzip.open(tmp_path / "x.txt.gz") as file, (tmp_path / "x.txt.gz").open("rb") as whole:
        assert kind(made(file)) == OCTETS
        assert kind(made(whole)) == kind(made(tmp_path / "x.txt.gz")) == "application/gzip"
    named = io.BytesIO(b"")
    named.name = "x.png"
    assert kind(made(named)) == "image/png"


# Memory


def test_memory_stays_flat_whatever_the_size(tmp_path):
    path = tmp_path / "sparse"
    size = 16 * MIB
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
            DeclaredLength(made(blocks), size),
        ):
            payload = made(value)
            gc.collect()
            tracemalloc.start()
            try:
                assert sum(len(piece) for piece in payload) == size
                assert tracemalloc.get_traced_memory()[1] < 4 * MIB, payload
            finally:
                tracemalloc.stop()


def test_a_large_piece_that_is_held_back_is_copied_in_part_only():
    owner = bytearray(16 * MIB)
    payload = DeclaredLength(made(iter([owner])), len(owner))
    tracemalloc.start()
    try:
        assert sum(len(piece) for piece in payload) == len(owner)
        assert tracemalloc.get_traced_memory()[1] < MIB
    finally:
        tracemalloc.stop()
