"""Log the attempts of a call: heads, outcomes, redirects and further attempts, without secrets.

Each function formats its line only if the logger is enabled for DEBUG.
"""

from __future__ import annotations

from time import perf_counter

from restkit.errors import Error, TransportError
from restkit.http1.response_head import ResponseHead
from restkit.log import DEBUG, get_logger
from restkit.message.request import Request
from restkit.message.response import HttpResponse
from restkit.redaction import redact_header, redact_url


def log_outcome(request: Request, outcome: HttpResponse | Error, started: float) -> None:
    """Log the response or the error of one attempt, with the seconds since the call began."""
    if get_logger().isEnabledFor(DEBUG):
        seconds = perf_counter() - started
        reused = ", on a reused connection" if _is_on_reused_connection(outcome) else ""
        text = type(outcome).__name__ if isinstance(outcome, Error) else outcome.status_line
        _log(f"{_describe(request)}: {text}, {seconds:.3f} s{reused}")


def log_redirect(request: Request, response: HttpResponse, next_request: Request) -> None:
    """Log a redirect that is followed: its status, the old and the new request."""
    if get_logger().isEnabledFor(DEBUG):
        old, new = _describe(request), _describe(next_request)
        _log(f"{old}: redirect with {response.status_line} to {new}")


def log_another_attempt(request: Request, reason: HttpResponse | Error | str, how: str) -> None:
    """Log that a request is sent again: how, and because of which response or error."""
    if get_logger().isEnabledFor(DEBUG):
        if isinstance(reason, Error):
            reason = f"{type(reason).__name__}: {reason.message}"
        elif isinstance(reason, HttpResponse):
            reason = reason.status_line
        _log(f"{_describe(request)}: sending again {how}, because of {reason}")


def log_request_head(head: bytes) -> None:
    """Log the head of a request as it is sent, with secrets masked."""
    if get_logger().isEnabledFor(DEBUG):
        first, *lines = head.decode("utf-8", "backslashreplace").split("\r\n")
        method, _, rest = first.partition(" ")
        target, _, version = rest.rpartition(" ")
        pairs = [(name, value.lstrip(" ")) for name, _, value in _split_lines(lines)]
        _log_head("request head", f"{method} {redact_url(target)} {version}", pairs)


def log_response_head(head: ResponseHead) -> None:
    """Log the head of a response, with secrets masked."""
    if get_logger().isEnabledFor(DEBUG):
        first = f"HTTP/1.{head.minor} {head.status} {head.reason}".rstrip()
        _log_head("response head", first, head.headers.pairs())


def _split_lines(lines: list[str]) -> list[tuple[str, str, str]]:
    return [line.partition(":") for line in lines if line]


def _log_head(title: str, first: str, pairs: list[tuple[str, str]]) -> None:
    lines = [first, *[f"{name}: {redact_header(name, value)}" for name, value in pairs]]
    _log("\n    ".join([f"{title}:", *map(_to_one_line, lines)]), is_one_line=False)


def _log(text: str, *, is_one_line: bool = True) -> None:
    get_logger().debug("%s", _to_one_line(text) if is_one_line else text)


def _describe(request: Request) -> str:
    return f"{request.method} {redact_url(str(request.url))}"


def _is_on_reused_connection(outcome: HttpResponse | Error) -> bool:
    if isinstance(outcome, Error):
        return isinstance(outcome, TransportError) and outcome.on_reused_connection
    return outcome.timings.connect is None


def _to_one_line(text: str) -> str:
    """Return text of a server without line breaks and control characters, for a terminal."""
    return "".join(c if c.isprintable() else "\ufffd" for c in text)
