"""Takes requests to their peers: one exchange at a time, on connections that it keeps."""

from __future__ import annotations

from typing import TYPE_CHECKING

from restkit.errors import Error, RequestError, RequestTimeout, TransportError
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

    A rested connection that turns out to be dead is replaced here, without a word and without
    counting as a try, where nothing can be done twice by that.
    """

    __slots__ = ("pool",)

    def __init__(self, pool: Pool) -> None:
        self.pool = pool

    def exchange(self, request: Request, clock: Clock) -> HttpResponse:
        """Send one request; its answer, whatever the status."""
        route = route_of(request)
        sending = sending_of(request, route.proxy, clock)
        reply = self._reply_to(request, route, sending)
        refused = reply.head.status == EXPECTATION_FAILED and sending.expects
        if refused and is_whole(request.payload):
            # Nothing of the payload is lost: once more, without the question.
            _let_go(reply)
            sending = sending_of(request, route.proxy, clock, asking=False)
            reply = self._reply_to(request, route, sending)
        failure = reply.failure
        make = request.settings.response_class or HttpResponse
        if failure is None:
            return make(request, reply, clock.started)
        failure.request = request
        failure.response = make(request, reply._replace(failure=None), clock.started)
        raise failure

    @property
    def closed(self) -> bool:
        """Whether somebody has closed the client: then nothing is tried again."""
        return self.pool.closed

    def closes_within(self, seconds: float) -> bool:
        """Let time pass before another try; whether the client was closed meanwhile."""
        return self.pool.wait(seconds)

    def _reply_to(self, request: Request, route: Route, sending: Sending) -> Reply:
        """Send it on a connection that rested, or on a new one; once more where that is safe."""
        pool, clock = self.pool, sending.clock
        if pool.closed:
            raise RequestError("this Client is closed", request=request, sent="nothing")
        try:
            connection = pool.take(route, clock)
            rested = connection.used > 0
            try:
                return connection.send(sending)
            except TransportError as error:
                if not (rested and self._may_go_again(connection, request, error)):
                    raise
            return pool.open(route, clock).send(sending)
        except Error as error:
            error.request = error.request or request
            raise

    def _may_go_again(
        self, connection: Connection, request: Request, error: TransportError
    ) -> bool:
        """Whether what a rested connection lost can be sent again, whole and without harm."""
        exchange = connection.exchange
        if exchange is None or exchange.in_source or exchange.answer.begun:
            return False
        if isinstance(error, RequestTimeout) or self.pool.closed:
            return False
        harmless = request.idempotent or request.settings.retry_unsafe or not exchange.sent_bytes
        return harmless and is_whole(request.payload)


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


def _let_go(reply: Reply) -> None:
    if reply.live is not None:
        reply.live.close()
    if reply.early is not None:
        reply.early.close()
