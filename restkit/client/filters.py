"""Filters: hooks on requests and responses.

Filters: objects of the caller's that see each request before it goes, and each answer.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from restkit.errors import InvalidHeader, InvalidUrl, RequestError
from restkit.headers import Headers
from restkit.message.response import HttpResponse
from restkit.url.url import URL

if TYPE_CHECKING:
    from restkit.message.request import Request


class Filter:
    """What a filter may do; one that does less need not inherit from this.

    A filter is asked once a call, however many redirects and tries that takes, in the order in
    which filters were given: those of the Client, then those of the call.
    """

    def on_request(self, request: Request) -> Request | HttpResponse | None:
        """Look at the request, change it, or answer it: nothing is sent for an HttpResponse."""

    def on_response(self, response: HttpResponse, request: Request) -> HttpResponse | None:
        """Look at the answer, whoever gave it, or give another one in its place."""


_HOOKS = ("on_request", "on_response")


class _Partial(Filter):
    """A filter out of an object that has one of the two hooks."""

    def __init__(self, whole: object) -> None:
        self._whole = whole
        for name in _HOOKS:
            hook = getattr(whole, name, None)
            if hook is not None:
                setattr(self, name, hook)

    def __repr__(self) -> str:
        return repr(self._whole)


def as_filters(value: object) -> tuple[Filter, ...]:
    """One filter, several of them, or None, as a tuple; raises RequestError for anything else."""
    if value is None:
        return ()
    if isinstance(value, Iterable) and not _hooks_of(value):
        return tuple([_as_filter(one) for one in value])
    return (_as_filter(value),)


def _as_filter(value: object) -> Filter:
    hooks = _hooks_of(value)
    if isinstance(value, type) and hooks:
        raise RequestError(f"filters= has the class {value.__name__}: an object of it is wanted")
    if not hooks or not all(callable(hook) for hook in hooks):
        raise RequestError(
            f"filters= has {value!r}: a filter has a method on_request(request), or "
            "on_response(response, request), or both"
        )
    return value if isinstance(value, Filter) else _Partial(value)


def _hooks_of(value: object) -> list[object]:
    return [hook for name in _HOOKS if (hook := getattr(value, name, None)) is not None]


def call_on_request(filters: tuple[Filter, ...], request: Request) -> HttpResponse | None:
    """The answer of the first filter that gives one; None where the request is to be sent."""
    for one in filters:
        answer = one.on_request(request)
        _check_changes(request, one)
        if isinstance(answer, HttpResponse):
            return answer
        if answer is not None and answer is not request:
            raise _wrong("on_request", one, answer)
    return None


def call_on_response(
    filters: tuple[Filter, ...], response: HttpResponse, request: Request
) -> HttpResponse:
    """The answer as the filters leave it. Where one of them raises, it is closed."""
    final = response
    try:
        for one in filters:
            answer = one.on_response(final, request)
            if isinstance(answer, HttpResponse):
                final = answer
            elif answer is not None:
                raise _wrong("on_response", one, answer)
    except BaseException:
        final.close()
        response.close()
        raise
    return final


def _check_changes(request: Request, one: Filter) -> None:
    """Raise what is clear, now, in the place of what would fail somewhere later."""
    url: object = request.url
    if not isinstance(url, URL):
        raise InvalidUrl(
            f"on_request of {one!r} set request.url to a value of type {type(url).__name__}; a URL "
            "is wanted: parse_url(text), or request.url.join(text)"
        )
    headers: object = request.headers
    if not isinstance(headers, Headers):
        raise InvalidHeader(
            f"on_request of {one!r} set request.headers to a value of type "
            f"{type(headers).__name__}; Headers are wanted"
        )


def _wrong(hook: str, one: Filter, answer: object) -> TypeError:
    given = f"{hook} of {one!r} gave a value of type {type(answer).__name__}"
    return TypeError(f"{given}; an HttpResponse or None is wanted")
