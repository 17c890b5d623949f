"""Name the unread responses that hold connections, for errors about a lack of connections."""

from __future__ import annotations

from collections.abc import Iterable

from restkit.connections.connection import Connection
from restkit.connections.exchange import Exchange
from restkit.errors import Error
from restkit.network.route import Route
from restkit.redaction import redact_url

_MAX_NAMED = 5
_MAX_LENGTH = 120


def add_unread(error: Error, in_use: Iterable[Connection]) -> Error:
    """Add the unread responses of the connections to the message of an error; return the error."""
    unread = describe_unread(in_use)
    if unread:
        error.message += f"; {unread}"
        error.args = (error.message,)
    return error


def describe_unread(in_use: Iterable[Connection]) -> str:
    """Return the number of unread responses, and the first requests; '' if there are none.

    The oldest response comes first. The texts come from the heads that the connections have sent,
    so that no request or response is kept only for these texts.
    """
    found = []
    for connection in in_use:
        exchange = connection.exchange
        if exchange is not None and exchange.body_is_out:
            found.append((exchange.sent_at, _describe(exchange, connection.route)))
    if not found:
        return ""
    named = [text for _, text in sorted(found)[:_MAX_NAMED]]
    count = len(found)
    have = "1 response of this Client has"
    if count > 1:
        have = f"{count} responses of this Client have"
    rest = f", and {count - len(named)} more" if count > len(named) else ""
    return f"{have} not been read or closed: {', '.join(named)}{rest}"


def _describe(exchange: Exchange, route: Route) -> str:
    """Return method and URL of a request, as in ``GET http://host/path``, without secrets."""
    method, target = exchange.request_line
    url = route.url_of(target)
    text = redact_url(str(url).removesuffix("*") if url.target == "*" else str(url))
    return f"{method} {text if len(text) <= _MAX_LENGTH else f'{text[:_MAX_LENGTH]}...'}"
