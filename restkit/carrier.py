"""Takes requests to their peers: one exchange at a time, on connections that it keeps."""

from __future__ import annotations

from typing import TYPE_CHECKING

from restkit.errors import Error, RequestError, RequestTimeout, TransportError
from restkit.masking import masked
from restkit.message.response import HttpResponse
from restkit.payload import is_whole
from restkit.preparing import sending_of
from restkit.wire.route import Route

if TYPE_CHECKING:
    from restkit.message.request import Request
    from restkit.timeouts import Clock
    from restkit.wire.connection import Connection, Reply
    from restkit.wire.pool import Pool
    from restkit.wire.proxy import Proxy
    from restkit.wire.sending import Sending

EXPECTATION_FAILED = 417


class Carrier:
    """What brings a request to its peer, and its answer back.

    A rested connection that turns out to be dead before a byte is sent on it is replaced here,
    without a word and without counting as a try.
    """

    __slots__ = ("pool",)

    def __init__(self, pool: Pool) -> None:
        self.pool = pool

    def exchange(self, request: Request, clock: Clock, *, fresh: bool = False) -> HttpResponse:
        """Send one request; its answer, whatever the status. ``fresh``: on a new connection."""
        route = route_of(request)
        sending = sending_of(request, route.proxy, clock)
        reply = self._reply_to(request, route, sending, fresh=fresh)
        refused = reply.head.status == EXPECTATION_FAILED and sending.expects
        if refused and is_whole(request.payload):
            # Nothing of the payload is lost: once more, without the question.
            _let_go(reply)
            sending = sending_of(request, route.proxy, clock, asking=False)
            reply = self._reply_to(request, route, sending, fresh=True)
        failure = reply.failure
        make = request.settings.response_class or HttpResponse
        if failure is None:
            return make(request, reply, clock.started)
        failure.request = request
        failure.response = make(request, reply._replace(failure=None), clock.started)
        try:
            raise failure
        finally:
            del failure, reply  # or it would keep itself, by its traceback and this frame

    @property
    def closed(self) -> bool:
        """Whether somebody has closed the client: then nothing is tried again."""
        return self.pool.closed

    def closes_within(self, seconds: float) -> bool:
        """Let time pass before another try; whether the client was closed meanwhile."""
        return self.pool.wait(seconds)

    def _reply_to(self, request: Request, route: Route, sending: Sending, *, fresh: bool) -> Reply:
        """Send it on a connection that rested, or on a new one."""
        pool, clock = self.pool, sending.clock
        if pool.closed:
            raise RequestError("this Client is closed", request=request, sent="nothing")
        try:
            connection = pool.open(route, clock) if fresh else pool.take(route, clock)
            rested = connection.used > 0
            try:
                return connection.send(sending)
            except TransportError as error:
                error.rested = rested
                if not (rested and self._is_unsent(connection, request, error)):
                    raise
            return pool.open(route, clock).send(sending)
        except Error as error:
            if error.request is None:
                error.request = request
            elif error.out_of_payload:
                _tell_where_it_went(error, request)
            raise

    def _is_unsent(self, connection: Connection, request: Request, error: TransportError) -> bool:
        """Whether the connection was lost before a byte was sent on it, and all can still be."""
        exchange = connection.exchange
        if exchange is None or exchange.sent_bytes or exchange.in_source or error.answered:
            return False
        if isinstance(error, RequestTimeout) or self.pool.closed:
            return False
        return is_whole(request.payload)


def route_of(request: Request) -> Route:
    """Where the connection of this request leads; raises RequestError where that is forbidden."""
    scheme, host, port = request.url.origin
    settings = request.settings
    if settings.proxy is None and settings.resolve is None:
        return Route(scheme, host, port, settings.tls, None, settings.network)
    proxy = _proxy_for(request)
    if proxy is not None and proxy.looks_up and settings.network.address_check is not None:
        raise RequestError(
            f"check_address= cannot be kept: {proxy} finds the addresses of hosts itself. "
            "Proxy(..., check_address=) checks those of the proxy, proxy=None goes without it",
            request=request,
        )
    return Route(
        scheme, host, port, settings.tls, proxy, settings.network, _address(request, host, port)
    )


def _proxy_for(request: Request) -> Proxy | None:
    choose = request.settings.proxy
    # A CONNECT of the caller's own is asked of the proxy that its URL names.
    return None if choose is None or request.method == "CONNECT" else choose(request.url)


def _address(request: Request, host: str, port: int) -> str | None:
    resolve = request.settings.resolve
    if resolve is None:
        return None
    return resolve.get(f"{host}:{port}") or resolve.get(host)


def _tell_where_it_went(error: Error, request: Request) -> None:
    """Say of a body that broke while it was sent on, and so is named, what became of that."""
    target = f"{request.method} {masked(str(request.url))}"
    error.message += f"; it was being sent on in {target}, which got no end of it"
    error.args = (error.message,)


def _let_go(reply: Reply) -> None:
    if reply.live is not None:
        reply.live.close()
    if reply.early is not None:
        reply.early.close()
