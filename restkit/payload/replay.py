"""Call a function again for each pass over its stream.

Streams made by a function that is called anew for every pass.

A generator can be sent once; the function that made it can be called again. What is sent holds the
function and its arguments, and so it has a first byte as often as one is wanted: at a redirect, at
another try, in a loop of the caller's own.
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
_SHOWN = 200  # characters of one argument


class ResourceStream(CallPayload):
    """A call that is made for each pass, with the arguments that were given once.

    The function may give whatever ``as_payload`` takes: a generator, an open file, a response,
    bytes. That belongs to the pass, and is closed at its end, however it ends; so each call has
    to give a fresh one. A pass that gives nothing after one that gave something is
    PayloadNotReplayable; what the function raises passes through as it is.

    Nothing is known of it before it is called: it goes in chunks, as ``application/octet-stream``,
    unless ``length`` and ``headers`` are set on the stream, or headers given with the request.
    Trailers of what the function gives stay behind. Arguments are held, not copied.
    """

    __hash__ = None  # type: ignore[assignment]  # equal by its arguments, which may have none

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
        """The stream of a function, as it is without a decorator, with these arguments."""
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
        shown = [_shown(value) for value in self.positional_parameters]
        for name, value in self.keyword_parameters.items():
            shown.append(f"{name} = {_shown(value, name)}")
        return f"<{type(self).__name__} streaming {_name_of(self.function)}({', '.join(shown)})>"

    def __reduce__(self) -> tuple[Any, ...]:
        # A decorated function cannot be found by its name: what the decorator made is there.
        maker = ResourceStreamFunction(self.function)
        said = {name: vars(self)[name] for name in ("length", "headers") if name in vars(self)}
        held = (self.positional_parameters, self.keyword_parameters)
        return _revive, (type(self), maker, *held, said)


class ResourceStreamFunction(Generic[_P]):
    r"""Makes a function one whose calls are streams that can be sent again.

    A decorator for functions, methods, class methods and static methods. To call what it makes
    binds the arguments, and calls nothing: each pass over the stream does that, anew. Raises
    TypeError for what cannot be called, and for an asynchronous function.

    >>> @ResourceStreamFunction
    ... def numbers(end, *, start=0):
    ...     for number in range(start, end):
    ...         yield f'{number}\n'
    >>> numbers(4, start=2)
    <ResourceStream streaming numbers(4, start = 2)>
    >>> list(numbers(4, start=2))
    [b'2\n', b'3\n']
    """

    __hash__ = None  # type: ignore[assignment]  # as its streams
    __wrapped__: Callable[_P, object]

    def __init__(self, function: Callable[_P, object]) -> None:
        _refuse_uncallable(function)
        # A class brings its methods along, where a function has what was set on it.
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

    def __get__(self, instance: Any, owner: type | None = None) -> ResourceStreamFunction[Any]:
        """The function bound as it would be without the decorator, and decorated."""
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
            way, where = _way_to(function)
            found = way(*where)
            if isinstance(found, ResourceStreamFunction) and found.__wrapped__ == function:
                return way, where
        return type(self), (function,)


def replayable(factory: Callable[[], object], length: int | None = None) -> ResourceStream:
    """A stream of what a callable without arguments gives, called anew for each pass.

    For a lambda, or whatever else is there already and not decorated; ``length``, where it is
    known, is announced and held to. Raises TypeError for a callable that wants arguments.

    >>> replayable(lambda: (f'{number} ' for number in range(3)), length=6).length
    6
    """
    _refuse_uncallable(factory)
    check_takes_no_arguments(factory)
    stream = ResourceStream(factory, (), {})
    stream.length = length
    return stream


def _refuse_uncallable(function: object) -> None:
    function = getattr(function, "__func__", function)  # a class method cannot be called itself
    if not callable(function):
        raise TypeError(
            f"a stream is made by calling a function, and {_shown(function)} is none; what can be "
            "sent again goes as it is, or by lambda"
        )
    check_not_async(function)


def _revive(
    kind: type[ResourceStream],
    maker: ResourceStreamFunction[...],
    positional: tuple[Any, ...],
    keyword: dict[str, Any],
    said: dict[str, Any],
) -> ResourceStream:
    stream = kind(maker.__wrapped__, positional, keyword)
    vars(stream).update(said)
    return stream


def _way_to(function: Any) -> tuple[Callable[..., Any], tuple[Any, str]]:
    """How a function's own name leads to what stands under it: itself, or what decorates it."""
    bound_to = getattr(function, "__self__", None)
    if bound_to is not None:
        return getattr, (bound_to, function.__name__)
    return _look_up, (function.__module__, function.__qualname__)


def _look_up(module: str, path: str) -> Any:
    found = attrgetter(path)(import_module(module))
    return getattr(found, "__func__", found)  # not as a class method, bound to its class


def _name_of(function: object) -> str:
    return str(getattr(function, "__name__", type(function).__name__))


def _shown(value: object, name: object = "") -> str:
    """An argument for a ``repr``: bounded, and without what looks like a credential."""
    if isinstance(name, str) and is_secret(name):
        return "***"
    if isinstance(value, str | bytes | bytearray):
        value = value[: _SHOWN + 1]
    text = _of_names(value) or _URL.sub(_without_credentials, repr(value))
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


@recursive_repr("{...}")
def _of_names(value: object) -> str:
    """A dict or a list of pairs, whose names tell what is secret: of headers, of options."""
    if type(value) is dict:
        items = [f"{name!r}: {_shown(each, name)}" for name, each in value.items()]
        return f"{{{', '.join(items)}}}"
    if type(value) is list and value and all(type(each) is tuple for each in value):
        pairs = [f"({each[0]!r}, {_shown(each[1], each[0])})" for each in value if len(each) == 2]
        return f"[{', '.join(pairs)}]" if len(pairs) == len(value) else ""
    return ""


def _without_credentials(url: re.Match[str]) -> str:
    return redact_url(_USER_INFO.sub("", url[0]))
