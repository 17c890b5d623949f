"""Functions of an application or a blueprint that run before and after its handlers."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable

from restkit.errors import ClientDisconnected
from restkit.server.request import Request
from restkit.server.responses import AfterHook, BeforeHook, Response
from restkit.server.routing import check_handler, handler_name


class Hooks:
    """The hooks of one application or blueprint.

    ``before`` are called in the order in which they were added, ``after`` in the opposite one. So
    the hook that was added first runs first before a handler, and last after it.
    """

    def __init__(self) -> None:
        self.before: tuple[BeforeHook, ...] = ()
        self.after: tuple[AfterHook, ...] = ()

    def add_before(self, hook: BeforeHook) -> None:
        """Add a hook; raise TypeError or ValueError if it cannot be called with a request."""
        check_handler(hook, "request")
        self.before = (*self.before, hook)

    def add_after(self, hook: AfterHook) -> None:
        """Add a hook; raise TypeError or ValueError if it takes no request and response."""
        check_handler(hook, "request", "response")
        self.after = (hook, *self.after)


def run_before(hooks: Iterable[BeforeHook], request: Request) -> Response | None:
    """Call the hooks up to the first one that returns a response; return that response."""
    request.awaits_body = True
    try:
        for hook in hooks:
            response = hook(request)
            if response is not None:
                return check_response(response, hook)
    finally:
        request.awaits_body = False
    return None


def run_after(
    hooks: Iterable[AfterHook],
    request: Request,
    response: Response,
    handle_exception: Callable[[Request, Exception], Response],
) -> Response:
    """Call each hook with the response, which it may replace; return the last response.

    An exception of a hook becomes an error response, which the next hook gets.
    """
    for hook in hooks:
        try:
            replacement = hook(request, response)
            if replacement is not None:
                response = check_response(replacement, hook)
        except ClientDisconnected:
            raise
        except Exception as exc:  # noqa: BLE001  # as those of a handler
            response = handle_exception(request, exc)
    return response


def check_response(response: object, function: object) -> Response:
    """Return the response of a handler; raise TypeError, which becomes a 500, for anything else."""
    if isinstance(response, Response):
        return response
    if isinstance(response, Coroutine):
        response.close()  # or Python warns that it was never awaited
    raise TypeError(
        f"the handler {handler_name(function)} returned {type(response).__name__}; it must return "
        "a response: text(...), json(...), stream(...) or another of restkit.server.response"
    )
