"""Conversion of values to payloads by their type."""

from __future__ import annotations

import asyncio
import functools
import gc
import tempfile
import tracemalloc

import pytest

from restkit.payload.base import DeclaredLength
from restkit.payload.convert import as_payload
from restkit.payload.values import BytesPayload
from support.payloads import (
    CustomPayload,
    OnlyRead,
    content_type_of,
    join_chunks,
    make_payload,
    open_pipe,
)

MIB = 1 << 20
OCTETS = "application/octet-stream"


# Values that can be sent


def test_none_is_no_payload():
    assert as_payload(None) is None


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
    join_chunks(begun)
    assert repr(begun) == "<IteratorPayload of list_iterator of unknown length, one pass, begun>"
    assert repr(CustomPayload([])) == "<CustomPayload of unknown length, one pass>"


def test_an_object_with_a_payload_method_is_sent_as_its_payload():
    class Report(str):
        __slots__ = ()

        def __payload__(self):
            return BytesPayload(b"mine", (("Content-Type", "x/y"),))

    payload = make_payload(Report("not this"))
    assert join_chunks(payload) == b"mine"
    assert content_type_of(payload) == "x/y"
    assert as_payload(payload) is payload


def test_a_payload_method_must_return_a_payload():
    class Wrong:
        def __payload__(self):
            return b"bytes"

    with pytest.raises(TypeError, match=r"Wrong\.__payload__\(\) must return a Payload; got bytes"):
        as_payload(Wrong())


# Values that cannot be sent


@pytest.mark.parametrize("kind", ["int64", "uint8", "float32", "float64", "bool_", "complex64"])
def test_P10_a_number_of_numpy_is_no_payload(kind):
    numpy = pytest.importorskip("numpy")
    with pytest.raises(TypeError, match="a payload cannot be of type"):
        as_payload(getattr(numpy, kind)(1))
    assert join_chunks(as_payload(numpy.bytes_(b"abc"))) == b"abc"
    assert join_chunks(as_payload(numpy.str_("abc"))) == b"abc"


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
        join_chunks(make_payload(lambda: coroutine()))  # noqa: PLW0108  # the function itself raises earlier
    asyncio.run(running.aclose())


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
