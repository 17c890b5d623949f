"""Convert a value to a payload by its type.

From whatever a caller has to a payload: the one place that looks at types.
"""

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
    TextPayload,
)

_IS_A_FORM = "is a form, and a request makes one of it by itself: here, FormData.from_fields() does"
_RUN_IT = (
    "and restkit is blocking: run it in an event loop of yours, and pass what it gives "
    "(bytes, a list, a file)"
)
_ACCEPTED = (
    "bytes or anything with a buffer, str, an os.PathLike, an open file or anything with read(), "
    "a socket, an iterable of bytes or str, a callable that gives one of these, or an object "
    "with __payload__()"
)


def as_payload(value: object) -> Payload | None:  # noqa: C901  # one visible chain
    """The payload that a value stands for; None stands for none.

    A Payload is itself, and an object with ``__payload__()`` says how it is sent. Nothing of the
    value is read, but a path is looked up, and what can seek is measured. Raises TypeError for
    what cannot be sent, PayloadError for what could be in another state, and the OSError of a
    path that cannot be opened.

    >>> as_payload('grüße')
    <TextPayload 7 bytes, replayable>
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
        return TextPayload(value)
    if isinstance(value, os.PathLike):
        return payload_from_path(os.fspath(value))
    if isinstance(value, Mapping | set | frozenset | int | float) or _is_number(value):
        raise _refused(value)  # some of these can be iterated, or have a buffer (numpy.float64)
    if _has_buffer(value):
        return BufferPayload(value)
    if isinstance(value, socket.socket):
        return payload_from_socket(value)
    if isinstance(value, type):
        return _from_callable(value)  # what its instances have it only seems to have itself
    if hasattr(value, "__aiter__") or hasattr(value, "__await__"):
        raise TypeError(f"a payload of type {type(value).__name__} is asynchronous, {_RUN_IT}")
    if hasattr(value, "read"):
        return payload_from_file(value)
    if hasattr(value, "__iter__"):
        return _from_iterable(value)
    if callable(value):
        return _from_callable(value)
    raise _refused(value)


def _from_payload_method(value: Any) -> Payload:
    try:
        payload = value.__payload__()
    except Error as error:
        # It may be about another request, one that was sent: of this payload nothing was.
        error.sent, error.out_of_payload = "nothing", True
        raise
    if not isinstance(payload, Payload):
        raise TypeError(
            f"{type(value).__name__}.__payload__() returned {type(payload).__name__}; "
            "a Payload is wanted"
        )
    return payload


def _from_iterable(items: Any) -> Payload:
    if isinstance(items, list | tuple) and items:
        first = items[0]
        if isinstance(first, list | tuple) and len(first) == 2:
            raise TypeError(f"a {type(items).__name__} of pairs {_IS_A_FORM}")
    return IteratorPayload(items) if hasattr(items, "__next__") else IterablePayload(items)


def _from_callable(function: Callable[..., object]) -> Payload:
    check_not_async(function)
    check_takes_no_arguments(function)
    return CallPayload(function, as_payload)


def check_not_async(function: Callable[..., object]) -> None:
    """Raise TypeError for a function that nobody here would wait for."""
    import inspect  # dear to load, and no other payload asks for it

    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        raise TypeError(f"the payload {function!r} is asynchronous, {_RUN_IT}")


def check_takes_no_arguments(function: Callable[..., object]) -> None:
    """Raise TypeError for a callable that cannot be called without arguments."""
    import inspect  # as above

    try:
        inspect.signature(function).bind()
    except TypeError as exc:
        raise TypeError(
            f"the payload {function!r} is called without arguments, and it is {exc}: "
            "functools.partial or a lambda can hold them"
        ) from exc
    except ValueError:
        pass  # some of what is written in C tells no signature; the call itself will show


def _is_number(value: object) -> bool:
    """Whether it is a number of numpy's: these have a buffer and, unlike its arrays, no length."""
    kind = type(value)
    return hasattr(kind, "__float__") and not hasattr(kind, "__len__")


def _has_buffer(value: Any) -> bool:
    try:
        memoryview(value).release()
    except TypeError:
        return False
    except (ValueError, BufferError) as exc:  # a closed mmap; numpy's dates
        raise PayloadError(f"a {type(value).__name__} does not give its bytes: {exc}") from exc
    return True


def _refused(value: object) -> TypeError:
    kind = type(value).__name__
    if isinstance(value, Mapping):
        return TypeError(f"a payload of type {kind} {_IS_A_FORM}")
    return TypeError(f"a payload cannot be of type {kind}; it can be {_ACCEPTED}")
