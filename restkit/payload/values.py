"""Payloads of values in memory, and of iterables and callables.

Bytes, text, JSON and buffers are sent from memory; items of iterables are sent one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence

from restkit.errors import PayloadError, PayloadLengthError, PayloadNotReplayable
from restkit.io.buffers import Buffer, close_if_possible, flat_view
from restkit.payload.base import OCTET_STREAM, Payload, format_size

TEXT_PLAIN = (("Content-Type", "text/plain; charset=utf-8"),)
_JSON = (("Content-Type", "application/json"),)

# Larger values are sent in chunks of this size: between two of them the sender checks its
# deadlines, and over TLS, where head and body must be joined, no more than this is copied.
_CHUNK = 1024 * 1024


class BytesPayload(Payload):
    """Immutable bytes, sent without a copy, any number of times.

    >>> BytesPayload(b'a,b', (('Content-Type', 'text/csv'),))
    <BytesPayload 3 bytes, replayable>
    """

    replayable = True

    def __init__(
        self, data: bytes | memoryview, headers: Sequence[tuple[str, str]] = OCTET_STREAM
    ) -> None:
        self.length = len(data)
        self.headers = headers
        self._data = data

    def chunks(self) -> Iterator[Buffer]:
        data = self._data
        if len(data) <= _CHUNK:
            return iter((data,) if data else ())
        view = memoryview(data)
        return (view[at : at + _CHUNK] for at in range(0, len(view), _CHUNK))

    def __iter__(self) -> Iterator[Buffer]:
        # The length cannot be wrong; counting would cost more than sending a small request.
        self._started = True
        return self.chunks()


def text_payload(text: str, headers: Sequence[tuple[str, str]] = TEXT_PLAIN) -> BytesPayload:
    """Return a payload of the text as UTF-8. Raises PayloadError for a lone surrogate."""
    return BytesPayload(encode_utf_8(text, "the text"), headers)


def json_payload(value: object, name: str = "json=") -> BytesPayload:
    r"""Return a payload of the value as compact JSON.

    Raises PayloadError, which begins with ``name``, for a value that JSON cannot represent.

    >>> b''.join(json_payload({'price': '10 €', 'count': 2}))
    b'{"price":"10 \xe2\x82\xac","count":2}'
    """
    import json

    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        return BytesPayload(text.encode(), _JSON)
    except (TypeError, ValueError, RecursionError) as exc:
        # A UnicodeError would hold the text, perhaps with a password.
        cause = None if isinstance(exc, UnicodeError) else exc
        raise PayloadError(f"{name} cannot be sent as JSON: {exc}", sent="nothing") from cause


class BufferPayload(Payload):
    """The bytes of an object with the buffer protocol: bytearray, array, mmap, ndarray.

    Nothing is copied. The buffer is held only during a pass: before and after it the owner may
    resize or close the object. If its size has changed, PayloadLengthError is raised
    before anything is sent.
    """

    replayable = True

    def __init__(self, owner: object) -> None:
        with flat_view(owner) as view:
            self.length = len(view)
        self.source = f"of {_type_name(owner)}"
        self._owner = owner

    def chunks(self) -> Iterator[Buffer]:
        with flat_view(self._owner) as view:
            if len(view) != self.length:
                raise PayloadLengthError(f"{self!r} has {format_size(len(view))} now")
            for at in range(0, len(view), _CHUNK):
                with view[at : at + _CHUNK] as chunk:
                    yield chunk

    def __iter__(self) -> Iterator[Buffer]:
        # chunks() checks the length, which cannot change while the view exists.
        self._started = True
        return self.chunks()


class IterablePayload(Payload):
    """The items, bytes-like or str (sent as UTF-8), of an object that can be iterated again."""

    replayable = True

    def __init__(self, items: Iterable[object]) -> None:
        self.source = f"of {_type_name(items)}"
        self._items = items
        self._last: Iterator[object] | None = None
        if isinstance(items, list | tuple):
            for item in items[:1]:
                _encode_item(item, 0)
            if not items:
                self.length = 0

    def chunks(self) -> Iterator[Buffer]:
        items = iter(self._items)
        if items is self._last:
            raise PayloadNotReplayable(
                f"{self!r} returned the same iterator twice, which is exhausted: return a new one "
                "for each pass"
            )
        self._last = items
        return _encode_items(items, close=True)


class IteratorPayload(Payload):
    """The items, bytes-like or str (sent as UTF-8), of an iterator: requested one by one, once.

    A generator is closed at the end of the pass, also after an error; the caller closes any other
    iterator. A generator that has ended already raises PayloadNotReplayable.
    """

    def __init__(self, items: Iterator[object]) -> None:
        self.source = f"of {_type_name(items)}"
        if isinstance(items, Generator):
            self.source += f" {getattr(items, '__name__', '')}".rstrip()
        self._items = items
        self._check_not_ended()

    def _check_not_ended(self) -> None:
        if getattr(self._items, "gi_frame", self) is None:
            raise PayloadNotReplayable(
                f"{self._items!r} has ended already and would produce nothing: pass a new one, or "
                "the function itself, which is called for each attempt"
            )

    def chunks(self) -> Iterator[Buffer]:
        self._check_not_ended()  # another payload of the same generator may have been sent
        items = self._items
        try:
            if _being_sent.setdefault(id(items), self) is not self:
                raise PayloadNotReplayable(
                    f"{items!r} is being sent by another request, in another thread: each of them "
                    "would send a part. Pass an iterator of its own to each request"
                )
            yield from _encode_items(items, close=isinstance(items, Generator))
        finally:
            if _being_sent.get(id(items)) is self:  # also after an interrupt
                del _being_sent[id(items)]


# The iterators that are being sent, by id: most of them support no weak reference.
_being_sent: dict[int, IteratorPayload] = {}


class CallPayload(Payload):
    """The result of a callable, which is called again for every pass.

    The result may be anything that ``as_payload`` accepts (passed as ``convert``). It is closed at
    the end of the pass, so each call must return a new one. Returning the same one-shot object
    again raises PayloadNotReplayable: some of it was sent already.
    """

    replayable = True

    def __init__(
        self, function: Callable[[], object], convert: Callable[[object], Payload | None]
    ) -> None:
        self.source = f"of {getattr(function, '__qualname__', None) or _type_name(function)}()"
        self._function = function
        self._convert = convert
        self._last: object = None

    def chunks(self) -> Iterator[Buffer]:
        result = self._function()
        try:
            yield from self._as_new_payload(result)
        finally:
            close_if_possible(result)

    def _as_new_payload(self, result: object) -> Payload:
        payload = self._convert(result)
        if payload is None:
            raise TypeError(f"{self!r}: the callable returned None; it must return a payload")
        if not payload.replayable:
            if result is self._last:
                raise PayloadNotReplayable(
                    f"{self!r}: the callable returned the same {_type_name(result)} twice, which "
                    "can be sent once: return a new one for each pass"
                )
            self._last = result
        return payload


def encode_utf_8(text: str, name: str) -> bytes:
    """Return the text as UTF-8; raise PayloadError with ``name`` and position if it cannot be."""
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError as exc:
        raise PayloadError(
            f"{name} has a lone surrogate, {text[exc.start]!a}, at position {exc.start}: it cannot "
            "be UTF-8; encode it yourself, and pass the bytes"
        ) from None  # the cause would hold the text, perhaps a password


def _encode_items(items: Iterator[object], *, close: bool) -> Iterator[Buffer]:
    try:
        for index, item in enumerate(items):
            yield item if type(item) is bytes else _encode_item(item, index)
    finally:
        if close:
            close_if_possible(items)


def _encode_item(item: object, index: int) -> Buffer:
    if isinstance(item, str):
        return encode_utf_8(item, f"item {index}")
    if not isinstance(item, bytes | bytearray | memoryview):
        try:
            memoryview(item).release()  # type: ignore[arg-type]  # raises if it has none
        except TypeError:
            raise TypeError(
                f"item {index} must be bytes-like or str; got {_type_name(item)}"
            ) from None
        except (ValueError, BufferError) as exc:
            raise PayloadError(
                f"item {index}, a {_type_name(item)}, does not export its bytes: {exc}"
            ) from exc
    return item  # type: ignore[return-value]  # Payload.__iter__ flattens any buffer


def _type_name(value: object) -> str:
    return type(value).__name__
