"""Convert a value to a payload by its type: the one place that looks at types."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Mapping
from typing import Any

from restkit.errors import Error, PayloadError
from restkit.payload.base import Payload
from restkit.payload.files import payload_from_file, payload_from_path, payload_from_socket
from restkit.payload.values import (
    BufferPayload,
    BytesPayload,
    CallPayload,
    IterablePayload,
    IteratorPayload,
    text_payload,
)

_FORM_HINT = "is a form, which only a request encodes: use FormData.from_fields() here"
_ASYNC_HINT = (
    "and restkit is blocking: run it in an event loop of your own, and pass the result "
    "(bytes, a list, a file)"
)
_ACCEPTED = (
    "bytes or any object with a buffer, str, an os.PathLike, an open file or any object with "
    "read(), a socket, an iterable of bytes or str, a callable that returns one of these, or an "
    "object with __payload__()"
)


def as_payload(value: object) -> Payload | None:  # noqa: C901  # one visible chain
    """Return the payload for a value; None for None.

    A Payload is returned unchanged; ``__payload__()`` of any other object returns its payload.
    Nothing of the value is read, but a path is looked up and a seekable file is measured. Raises
    TypeError for values that cannot be sent, PayloadError for values that cannot be sent in
    their current state, and the OSError of a path that cannot be opened.

    >>> as_payload('grüße')
    <BytesPayload 7 bytes, replayable>
    >>> as_payload(['some ', 'words'])
    <IterablePayload of list of unknown length, replayable>
    """
    if value is None:
        return None
    if type(value) is bytes:
        return BytesPayload(value)
    if isinstance(value, Payload):
        return value
    if hasattr(type(value), "__payload__"):
        return _from_payload_method(value)
    if isinstance(value, str):
        return text_payload(value)
    if isinstance(value, os.PathLike):
        return payload_from_path(os.fspath(value))
    if isinstance(value, Mapping | set | frozenset | int | float) or _is_numpy_number(value):
        raise _type_error(value)  # some can be iterated, or have a buffer (numpy.float64)
    if _has_buffer(value):
        return BufferPayload(value)
    if isinstance(value, socket.socket):
        return payload_from_socket(value)
    if isinstance(value, type):
        return _from_callable(value)  # its attributes are those of its instances, not its own
    if hasattr(value, "__aiter__") or hasattr(value, "__await__"):
        raise TypeError(f"a payload of type {type(value).__name__} is asynchronous, {_ASYNC_HINT}")
    if hasattr(value, "read"):
        return payload_from_file(value)
    if hasattr(value, "__iter__"):
        return _from_iterable(value)
    if callable(value):
        return _from_callable(value)
    raise _type_error(value)


def _from_payload_method(value: Any) -> Payload:
    try:
        payload = value.__payload__()
    except Error as error:
        # The error may be about another request that was sent; this payload was not sent.
        error.sent, error.out_of_payload = "nothing", True
        raise
    if not isinstance(payload, Payload):
        raise TypeError(
            f"{type(value).__name__}.__payload__() must return a Payload; "
            f"got {type(payload).__name__}"
        )
    return payload


def _from_iterable(items: Any) -> Payload:
    if isinstance(items, list | tuple) and items:
        first = items[0]
        if isinstance(first, list | tuple) and len(first) == 2:
            raise TypeError(f"a {type(items).__name__} of pairs {_FORM_HINT}")
    source: Any = items
    return IteratorPayload(source) if hasattr(source, "__next__") else IterablePayload(source)


def _from_callable(function: Callable[..., object]) -> Payload:
    check_not_async(function)
    check_takes_no_arguments(function)
    return CallPayload(function, as_payload)


def check_not_async(function: Callable[..., object]) -> None:
    """Raise TypeError for a function whose result would have to be awaited."""
    import inspect  # slow to import, and no other payload needs it

    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        raise TypeError(f"the payload {function!r} is asynchronous, {_ASYNC_HINT}")


def check_takes_no_arguments(function: Callable[..., object]) -> None:
    """Raise TypeError for a callable that cannot be called without arguments."""
    import inspect  # as above

    try:
        inspect.signature(function).bind()
    except TypeError as exc:
        raise TypeError(
            f"the payload {function!r} is called without arguments, but is {exc}: "
            "bind them with functools.partial or a lambda"
        ) from exc
    except ValueError:
        pass  # some functions written in C have no signature; the call itself will show it


def _is_numpy_number(value: object) -> bool:
    """Whether this is a number of numpy. Unlike an array of numpy, it has no length."""
    kind = type(value)
    return hasattr(kind, "__float__") and not hasattr(kind, "__len__")


def _has_buffer(value: Any) -> bool:
    try:
        memoryview(value).release()
    except TypeError:
        return False
    except (ValueError, BufferError) as exc:  # a closed mmap; dates of numpy
        raise PayloadError(f"a {type(value).__name__} does not export its bytes: {exc}") from exc
    return True


def _type_error(value: object) -> TypeError:
    kind = type(value).__name__
    if isinstance(value, Mapping):
        return TypeError(f"a payload of type {kind} {_FORM_HINT}")
    return TypeError(f"a payload cannot be of type {kind}; it can be {_ACCEPTED}")
