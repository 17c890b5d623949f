"""Streams made by a function that is called again for each pass.

A generator can be sent once, but the function that made it can be called again. A stream holds
the function and its arguments, and so can be sent again after a redirect, in another attempt, or
in a loop of the caller.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial, update_wrapper
from importlib import import_module
from operator import attrgetter
from reprlib import recursive_repr
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar, overload

from restkit.payload.convert import as_payload, check_not_async, check_takes_no_arguments
from restkit.payload.values import CallPayload
from restkit.redaction import is_secret, redact_url

_P = ParamSpec("_P")
_Rest = ParamSpec("_Rest")
_Owner = TypeVar("_Owner")

_URL = re.compile(r"\b\w+://[^\s'\"<>]+")
_USER_INFO = re.compile("(?<=://)[^/?#]*@")
_MAX_REPR = 200  # characters of one argument


class ResourceStreamFunction(Generic[_P]):
    r"""Decorator for functions whose calls become streams that can be sent again.

    It takes functions, methods, class methods and static methods. Calling the decorated function
    binds the arguments and does not call it: each pass over the stream does. Raises TypeError
    for objects that cannot be called, and for asynchronous functions.

    >>> @ResourceStreamFunction
    ... def numbers(end, *, start=0):
    ...     for number in range(start, end):
    ...         yield f'{number}\n'
    >>> numbers(4, start=2)
    <ResourceStream streaming numbers(4, start = 2)>
    >>> list(numbers(4, start=2))
    [b'2\n', b'3\n']
    """

    __hash__ = None  # type: ignore[assignment]  # its function may not be hashable
    __wrapped__: Callable[_P, object]

    def __init__(self, function: Callable[_P, object]) -> None:
        _check_callable(function)
        # The attributes of a function are copied; those of a class would be its methods.
        update_wrapper(self, function, updated=() if isinstance(function, type) else ("__dict__",))

    def __call__(self, /, *args: _P.args, **kwargs: _P.kwargs) -> ResourceStream:
        return ResourceStream(self.__wrapped__, args, kwargs)

    @overload
    def __get__(self, instance: None, owner: type) -> ResourceStreamFunction[_P]: ...

    @overload
    def __get__(
        self: ResourceStreamFunction[Concatenate[_Owner, _Rest]],
        instance: _Owner,
        owner: type | None = None,
    ) -> ResourceStreamFunction[_Rest]: ...

    def __get__(self: Any, instance: Any, owner: type | None = None) -> ResourceStreamFunction[...]:
        """Bind the function as without the decorator, and decorate the result."""
        function = self.__wrapped__
        bind = getattr(type(function), "__get__", None)
        bound = function if bind is None else bind(function, instance, owner)
        return self if bound is function else ResourceStreamFunction(bound)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ResourceStreamFunction) or type(other) is not type(self):
            return NotImplemented
        return bool(self.__wrapped__ == other.__wrapped__)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} wrapping {_name_of(self.__wrapped__)}>"

    def __reduce__(self) -> tuple[Any, ...]:
        function = self.__wrapped__
        with suppress(AttributeError, ImportError):
            look_up, arguments = _make_lookup(function)
            found = look_up(*arguments)
            if isinstance(found, ResourceStreamFunction) and found.__wrapped__ == function:
                return look_up, arguments
        return type(self), (function,)


def replayable(factory: Callable[[], object], length: int | None = None) -> ResourceStream:
    """Return a stream that calls a function without arguments for each pass.

    For lambdas and other functions that are not decorated. A ``length`` is declared, and the
    bytes are checked against it. Raises TypeError for a callable that needs arguments.

    >>> replayable(lambda: (f'{number} ' for number in range(3)), length=6).length
    6
    """
    _check_callable(factory)
    check_takes_no_arguments(factory)
    stream = ResourceStream(factory, (), {})
    stream.length = length
    return stream


def _check_callable(function: object) -> None:
    function = getattr(function, "__func__", function)  # a class method cannot be called itself
    if not callable(function):
        raise TypeError(
            f"a stream is made by calling a function; got {_redacted_repr(function)}: pass data "
            "that can be sent again directly, or wrap it in a lambda"
        )
    check_not_async(function)


class ResourceStream(CallPayload):
    """A function and its arguments; each pass calls it.

    The function may return anything that ``as_payload`` accepts: a generator, an open file, a
    response, bytes. The result belongs to the pass and is closed at its end, also after an
    error; so each call must return a new one. A pass that returns nothing after one that
    returned something raises PayloadNotReplayable. Exceptions of the function are not changed.

    Nothing is known about the bytes before the call: they are sent chunked, as
    ``application/octet-stream``, unless ``length`` and ``headers`` are set on the stream, or
    headers are given with the request. Trailers of the result are not sent. Arguments are held,
    not copied.
    """

    __hash__ = None  # type: ignore[assignment]  # its arguments may not be hashable

    def __init__(
        self,
        function: Callable[..., object],
        positional_parameters: tuple[Any, ...],
        keyword_parameters: Mapping[str, Any],
    ) -> None:
        self.function = function
        self.positional_parameters = tuple(positional_parameters)
        self.keyword_parameters = dict(keyword_parameters)
        call = partial(function, *self.positional_parameters, **self.keyword_parameters)
        super().__init__(call, as_payload)
        self.source = f"of {_name_of(function)}()"

    @classmethod
    def from_fields(
        cls,
        function: Callable[..., object],
        positional_parameters: tuple[Any, ...],
        keyword_parameters: Mapping[str, Any],
    ) -> ResourceStream:
        """Return the stream of a function that is not decorated, with these arguments.

        >>> b''.join(ResourceStream.from_fields(sorted, (['b', 'a'],), {'reverse': True}))
        b'ba'
        """
        return cls(function, positional_parameters, keyword_parameters)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ResourceStream) or type(other) is not type(self):
            return NotImplemented
        return (
            bool(self.function == other.function)
            and self.positional_parameters == other.positional_parameters
            and self.keyword_parameters == other.keyword_parameters
        )

    def __repr__(self) -> str:
        arguments = [_redacted_repr(value) for value in self.positional_parameters]
        for name, value in self.keyword_parameters.items():
            arguments.append(f"{name} = {_redacted_repr(value, name)}")
        call = f"{_name_of(self.function)}({', '.join(arguments)})"
        return f"<{type(self).__name__} streaming {call}>"

    def __reduce__(self) -> tuple[Any, ...]:
        # The name of a decorated function leads to the result of the decorator.
        maker = ResourceStreamFunction(self.function)
        changed = {name: vars(self)[name] for name in ("length", "headers") if name in vars(self)}
        arguments = (self.positional_parameters, self.keyword_parameters)
        return _unpickle, (type(self), maker, *arguments, changed)


def _unpickle(
    kind: type[ResourceStream],
    maker: ResourceStreamFunction[...],
    positional: tuple[Any, ...],
    keyword: dict[str, Any],
    changed: dict[str, Any],
) -> ResourceStream:
    stream = kind(maker.__wrapped__, positional, keyword)
    vars(stream).update(changed)
    return stream


def _make_lookup(function: Any) -> tuple[Callable[..., Any], tuple[Any, str]]:
    """Return a call that finds an object by the name of the function, and its arguments."""
    bound_to = getattr(function, "__self__", None)
    if bound_to is not None:
        return getattr, (bound_to, function.__name__)
    return _look_up, (function.__module__, function.__qualname__)


def _look_up(module: str, path: str) -> Any:
    found = attrgetter(path)(import_module(module))
    return getattr(found, "__func__", found)  # a class method is found bound to its class


def _name_of(function: object) -> str:
    return str(getattr(function, "__name__", type(function).__name__))


def _redacted_repr(value: object, name: object = "") -> str:
    """Return the ``repr`` of an argument, cut off, and without text that may be a credential."""
    if isinstance(name, str) and is_secret(name):
        return "***"
    if isinstance(value, str | bytes | bytearray):
        value = value[: _MAX_REPR + 1]
    text = _repr_of_pairs(value) or _URL.sub(_without_credentials, repr(value))
    return text if len(text) <= _MAX_REPR else f"{text[:_MAX_REPR]}..."


@recursive_repr("{...}")
def _repr_of_pairs(value: object) -> str:
    """Return the ``repr`` of a dict or a list of pairs, without the values of secret names."""
    if type(value) is dict:
        items = [f"{name!r}: {_redacted_repr(each, name)}" for name, each in value.items()]
        return f"{{{', '.join(items)}}}"
    if type(value) is list and value and all(type(each) is tuple for each in value):
        pairs = [
            f"({each[0]!r}, {_redacted_repr(each[1], each[0])})" for each in value if len(each) == 2
        ]
        return f"[{', '.join(pairs)}]" if len(pairs) == len(value) else ""
    return ""


def _without_credentials(url: re.Match[str]) -> str:
    return redact_url(_USER_INFO.sub("", url[0]))
