"""What a handler has to be, judged when it is registered and not when it is first called."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any


def name_of(function: object) -> str:
    """How a message calls a handler."""
    name: str = getattr(function, "__qualname__", None) or repr(function)
    return name


def refuse_async(function: Callable[..., Any], what: str) -> None:
    """Raise TypeError for a function whose result would have to be awaited."""
    called = inspect.unwrap(function)
    if not (inspect.isroutine(called) or isinstance(called, partial | type)):
        called = type(called).__call__
    if inspect.iscoroutinefunction(called) or inspect.isasyncgenfunction(called):
        raise TypeError(
            f"{what} {name_of(function)} is asynchronous, and restkit.server is blocking: "
            "take its async and await out"
        )


def check_handler(handler: Callable[..., Any], *called_with: str) -> None:
    """Raise TypeError for what cannot be a handler, ValueError for one that takes no request.

    ``called_with`` names what it is called with by position, where that is more.
    """
    if not callable(handler):
        raise TypeError(f"a handler is a function, and {handler!r} is none")
    refuse_async(handler, "the handler")
    positional = called_with or ("request",)
    _check(handler, positional, lambda signature: signature.bind_partial(*positional))


def check_arguments(handler: Callable[..., Any], names: Iterable[str]) -> None:
    """Raise ValueError unless the handler takes the request, and arguments of these names.

    What a decorator takes counts, and not what the function behind it does.
    """
    arguments = dict.fromkeys(names)
    _check(handler, ["request", *arguments], lambda signature: signature.bind(None, **arguments))


def _check(
    handler: Callable[..., Any],
    called_with: Iterable[str],
    bind: Callable[[inspect.Signature], object],
) -> None:
    try:
        signature = inspect.signature(handler, follow_wrapped=False)
    except ValueError:  # some of what is written in C tells none; the call itself will show
        return
    try:
        bind(signature)
    except TypeError as exc:
        raise ValueError(
            f"the handler {name_of(handler)} is called with ({', '.join(called_with)}): {exc}"
        ) from exc
