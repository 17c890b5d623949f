"""Filters: hooks of the caller that run before each request and after each response."""

from __future__ import annotations

from collections.abc import Iterable

from restkit.errors import InvalidHeader, InvalidUrl, RequestError
from restkit.headers import Headers
from restkit.message.request import Request, check_method
from restkit.message.response import HttpResponse
from restkit.url.url import URL


class Filter:
    """The base class of filters; an object with one of the two methods is a filter, too.

    A filter is called once for each call, however many redirects and retries that takes. Filters
    run in the order in which they were given: those of the Client, then those of the call.

    >>> class AddTraceId(Filter):
    ...     def on_request(self, request):
    ...         request.headers["X-Trace-Id"] = "42"
    """

    def on_request(self, request: Request) -> Request | HttpResponse | None:
        """Change the request, or return a response: then nothing is sent."""

    def on_response(self, response: HttpResponse, request: Request) -> HttpResponse | None:
        """Look at the response, or return another one to replace it."""


_HOOKS = ("on_request", "on_response")


class _PartialFilter(Filter):
    """A filter made of an object that has one of the two methods."""

    def __init__(self, wrapped: object) -> None:
        self._wrapped = wrapped
        for name in _HOOKS:
            hook = getattr(wrapped, name, None)
            if hook is not None:
                setattr(self, name, hook)

    def __repr__(self) -> str:
        return repr(self._wrapped)


def as_filters(value: object) -> tuple[Filter, ...]:
    """Convert a filter, several filters, or None; raise RequestError for anything else."""
    if value is None:
        return ()
    if isinstance(value, Iterable) and not _hooks_of(value):
        return tuple([_as_filter(item) for item in value])
    return (_as_filter(value),)


def _as_filter(value: object) -> Filter:
    hooks = _hooks_of(value)
    if isinstance(value, type) and hooks:
        raise RequestError(f"filters must be objects; got the class {value.__name__}")
    if not hooks or not all(callable(hook) for hook in hooks):
        raise RequestError(
            "a filter must have a method on_request(request) or on_response(response, request); "
            f"got {value!r:.60}"
        )
    return value if isinstance(value, Filter) else _PartialFilter(value)


def _hooks_of(value: object) -> list[object]:
    return [hook for name in _HOOKS if (hook := getattr(value, name, None)) is not None]


def call_on_request(filters: tuple[Filter, ...], request: Request) -> HttpResponse | None:
    """Return the response of the first filter that returns one; None to send the request."""
    for filter_ in filters:
        result = filter_.on_request(request)
        _check_changes(request, filter_)
        if isinstance(result, HttpResponse):
            return result
        if result is not None and result is not request:
            raise _wrong_result("on_request", filter_, result)
    return None


def call_on_response(
    filters: tuple[Filter, ...], response: HttpResponse, request: Request
) -> HttpResponse:
    """Run the filters on a response; return the result. Closes it if a filter raises."""
    final = response
    try:
        for filter_ in filters:
            result = filter_.on_response(final, request)
            if isinstance(result, HttpResponse):
                final = result
            elif result is not None:
                raise _wrong_result("on_response", filter_, result)
    except BaseException:
        final.close()
        response.close()
        raise
    return final


def _check_changes(request: Request, filter_: Filter) -> None:
    """Check the request that a filter may have changed; name the filter in the error."""
    url: object = request.url
    if not isinstance(url, URL):
        raise InvalidUrl(
            f"on_request of {filter_!r} must set request.url to a URL, as parse_url(text) or "
            f"request.url.join(text) return; got a value of type {type(url).__name__}"
        )
    headers: object = request.headers
    if not isinstance(headers, Headers):
        raise InvalidHeader(
            f"on_request of {filter_!r} must set request.headers to Headers; got a value of type "
            f"{type(headers).__name__}"
        )
    request.method = check_method(request.method)


def _wrong_result(hook: str, filter_: Filter, result: object) -> TypeError:
    return TypeError(
        f"{hook} of {filter_!r} must return an HttpResponse or None; got a value of type "
        f"{type(result).__name__}"
    )
