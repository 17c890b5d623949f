"""Payloads of bytes, text, buffers, JSON, iterables and callables.

Payloads of what is in memory, or made item by item: bytes, text, iterables, callables.

A value as JSON, ready to be sent.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence

from restkit.errors import PayloadError, PayloadLengthError, PayloadNotReplayable
from restkit.io.buffers import Buffer, close_if_it_can, flat_view
from restkit.payload.base import OCTET_STREAM, Payload, count_of

TEXT_PLAIN = (("Content-Type", "text/plain; charset=utf-8"),)

# What is larger goes in pieces of this size: between two of them the sender looks at its clocks,
# and over TLS, where head and body must be joined, no more than this is copied.
_BLOCK = 1024 * 1024


class BytesPayload(Payload):
    """Bytes that cannot change: they go as they are, as often as is asked for."""

    replayable = True

    def __init__(
        self, data: bytes | memoryview, headers: Sequence[tuple[str, str]] = OCTET_STREAM
    ) -> None:
        self.length = len(data)
        self.headers = headers
        self._data = data

    def chunks(self) -> Iterator[Buffer]:
        data = self._data
        if len(data) <= _BLOCK:
            return iter((data,) if data else ())
        view = memoryview(data)
        return (view[at : at + _BLOCK] for at in range(0, len(view), _BLOCK))

    def __iter__(self) -> Iterator[Buffer]:
        # Their length holds by itself; to count them would cost a small request more than they do.
        self._started = True
        return self.chunks()


class TextPayload(BytesPayload):
    """Text, as UTF-8. A lone surrogate, which has no UTF-8, is a PayloadError."""

    def __init__(self, text: str, headers: Sequence[tuple[str, str]] = TEXT_PLAIN) -> None:
        super().__init__(utf_8(text, "the text"), headers)


class BufferPayload(Payload):
    """The bytes of a bytearray, memoryview, array, mmap, ndarray: of whatever has a buffer.

    They are not copied, and they are held only while a pass is under way: before and after it
    their owner may resize and close what it owns. Another size than at first is a
    PayloadLengthError before anything is given.
    """

    replayable = True

    def __init__(self, owner: object) -> None:
        with flat_view(owner) as view:
            self.length = len(view)
        self.source = f"of {_kind(owner)}"
        self._owner = owner

    def chunks(self) -> Iterator[Buffer]:
        with flat_view(self._owner) as view:
            if len(view) != self.length:
                raise PayloadLengthError(f"{self!r} has {count_of(len(view))} by now")
            for at in range(0, len(view), _BLOCK):
                with view[at : at + _BLOCK] as block:
                    yield block

    def __iter__(self) -> Iterator[Buffer]:
        # The length was looked at, and nobody can change it while the view is out.
        self._started = True
        return self.chunks()


class IterablePayload(Payload):
    """Items, bytes-like or str (as UTF-8), of something that can be iterated again."""

    replayable = True

    def __init__(self, items: Iterable[object]) -> None:
        self.source = f"of {_kind(items)}"
        self._items = items
        self._last: Iterator[object] | None = None
        if isinstance(items, list | tuple):
            for item in items[:1]:
                _encoded(item, 0)
            if not items:
                self.length = 0

    def chunks(self) -> Iterator[Buffer]:
        items = iter(self._items)
        if items is self._last:
            raise PayloadNotReplayable(
                f"{self!r} gave the same iterator twice, and it is used up: a fresh one is wanted"
            )
        self._last = items
        try:
            yield from _all_encoded(items)
        finally:
            close_if_it_can(items)


class IteratorPayload(Payload):
    """Items, bytes-like or str (as UTF-8), of an iterator: one is asked for at a time, once.

    A generator is closed at the end of the pass, however it ends; any other iterator is the
    caller's to close. One that has already run to its end is PayloadNotReplayable.
    """

    def __init__(self, items: Iterator[object]) -> None:
        self.source = f"of {_kind(items)}"
        if isinstance(items, Generator):
            self.source += f" {getattr(items, '__name__', '')}".rstrip()
        self._items = items
        self._refuse_if_over()

    def _refuse_if_over(self) -> None:
        if getattr(self._items, "gi_frame", self) is None:
            raise PayloadNotReplayable(
                f"{self._items!r} has run already and would give nothing: make a new one, or pass "
                "the function itself, which is called for each try"
            )

    def chunks(self) -> Iterator[Buffer]:
        self._refuse_if_over()  # it may be that of another payload, too
        try:
            yield from _all_encoded(self._items)
        finally:
            if isinstance(self._items, Generator):
                self._items.close()


class CallPayload(Payload):
    """What a callable gives, called anew for every pass.

    It may give whatever ``as_payload`` takes, which comes as ``convert``. What it gave belongs
    to the pass, and is closed at its end: each call has to give a fresh one. The same thing again,
    where that can be sent once, is PayloadNotReplayable: a part of it has gone by.
    """

    replayable = True

    def __init__(
        self, function: Callable[[], object], convert: Callable[[object], Payload | None]
    ) -> None:
        self.source = f"of {getattr(function, '__qualname__', None) or _kind(function)}()"
        self._function = function
        self._convert = convert
        self._last: object = None

    def chunks(self) -> Iterator[Buffer]:
        given = self._function()
        try:
            yield from self._fresh(given)
        finally:
            close_if_it_can(given)

    def _fresh(self, given: object) -> Payload:
        payload = self._convert(given)
        if payload is None:
            raise TypeError(f"{self!r}: the callable returned None, where a payload is wanted")
        if not payload.replayable:
            if given is self._last:
                raise PayloadNotReplayable(
                    f"{self!r} was given the same {_kind(given)} twice, which can be sent once: "
                    "a fresh one is wanted"
                )
            self._last = given
        return payload


def utf_8(text: str, what: str) -> bytes:
    """The text as UTF-8, or a PayloadError that says where in ``what`` it cannot be."""
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError as exc:
        raise PayloadError(
            f"{what} has a lone surrogate, {text[exc.start]!a}, at position {exc.start}: it cannot "
            "be UTF-8; encode it yourself, and pass the bytes"
        ) from exc


def _all_encoded(items: Iterator[object]) -> Iterator[Buffer]:
    for index, item in enumerate(items):
        yield item if type(item) is bytes else _encoded(item, index)


def _encoded(item: object, index: int) -> Buffer:
    if isinstance(item, str):
        return utf_8(item, f"item {index}")
    if not isinstance(item, bytes | bytearray | memoryview):
        try:
            memoryview(item).release()  # type: ignore[arg-type]  # whether it can be is asked here
        except TypeError:
            raise TypeError(
                f"item {index} is of type {type(item).__name__}; bytes-like or str is wanted"
            ) from None
        except (ValueError, BufferError) as exc:
            raise PayloadError(
                f"item {index}, a {type(item).__name__}, does not give its bytes: {exc}"
            ) from exc
    return item  # type: ignore[return-value]  # Payload.__iter__ flattens whatever has a buffer


def _kind(value: object) -> str:
    return type(value).__name__


class JsonPayload(Payload):
    """The compact JSON of a value, made once."""

    replayable = True
    headers = (("Content-Type", "application/json"),)

    def __init__(self, text: bytes) -> None:
        self._text = text
        self.length = len(text)

    def chunks(self) -> Iterator[Buffer]:
        yield self._text


def json_payload(value: object, said: str = "json=") -> JsonPayload:
    """The value as JSON in UTF-8; PayloadError, with who ``said`` it, for what JSON cannot say."""
    import json

    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        return JsonPayload(text.encode())
    except (TypeError, ValueError, RecursionError) as exc:
        raise PayloadError(f"{said} cannot be sent as JSON: {exc}", sent="nothing") from exc
