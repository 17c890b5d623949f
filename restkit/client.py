"""The way of one request: made, sent, and its answer handed over."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from restkit._version import __version__
from restkit.coding import accept_encoding
from restkit.door import as_payload
from restkit.errors import Error, RequestError, RequestTimeout, TransportError
from restkit.headers import Headers
from restkit.message.request import Request
from restkit.message.response import HttpResponse
from restkit.preparing import NONE_WITHHELD, one_payload, sending_of, with_defaults
from restkit.settings import Settings
from restkit.timeouts import Clock
from restkit.url import URL, parse_url
from restkit.wire.connection import Connection, Reply
from restkit.wire.dial import dial, get_ready
from restkit.wire.pool import MAX_IDLE, Pool
from restkit.wire.route import Route

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from restkit.preparing import GivenHeaders
    from restkit.settings import CommonOptions, RequestOptions
    from restkit.wire.sending import Sending

USER_AGENT = f"restkit/{__version__}"
EXPECTATION_FAILED = 417


class Client:
    """Sends requests and keeps their connections; shared by threads, closed by ``with``.

    Takes the options that a call takes, as the defaults of its calls, and ``pool_size`` and
    ``max_idle`` for the connections that rest.

    >>> with Client(timeout=5) as client:
    ...     client.request
    <bound method Client.request of <Client, 0 connections at rest>>
    """

    def __init__(
        self, *, pool_size: int = 10, max_idle: float = MAX_IDLE, **options: Unpack[CommonOptions]
    ) -> None:
        get_ready()
        self._settings = Settings().updated(dict(options)) if options else Settings()
        self._pool = Pool(_checked_count(pool_size), _checked_seconds(max_idle))
        self._headers = Headers(
            [("User-Agent", USER_AGENT), ("Accept-Encoding", accept_encoding())]
        )
        # Rendered once, for the copies that every request gets.
        self._headers.lines()
        self._headers.names()

    def request(
        self,
        url: str | URL,
        method: str = "GET",
        payload: object = None,
        headers: GivenHeaders | None = None,
        **options: Unpack[RequestOptions],
    ) -> HttpResponse:
        """Send one request; its answer as soon as its head is there and the payload is out.

        Blocks; raises a child of ``restkit.Error``, or whatever the payload's own source
        raises. An answer of 400 or more is an answer: ``raise_for_status()`` makes it an error.
        """
        if options:
            return self.send(self._request(url, method, payload, headers, dict(options)))
        body = as_payload(payload)
        return self.send(
            Request(method, parse_url(url), *self._merged(headers), body, self._settings)
        )

    def send(self, request: Request) -> HttpResponse:
        """Send a request that has been made already."""
        clock = Clock(request.settings.timeout, request.url.authority)
        sending = sending_of(request, clock)
        reply = self._reply_to(request, sending)
        if reply.head.status == EXPECTATION_FAILED and sending.expects and _is_whole(request):
            # Nothing of the payload is lost: once more, without the question.
            _let_go(reply)
            reply = self._reply_to(request, sending_of(request, clock, asking=False))
        failure, reply = reply.failure, reply._replace(failure=None)
        response = HttpResponse(request, reply, clock.started)
        if failure is not None:
            failure.request, failure.response = request, response
            raise failure
        return response

    def get(
        self,
        url: str | URL,
        payload: object = None,
        headers: GivenHeaders | None = None,
        **options: Unpack[RequestOptions],
    ) -> HttpResponse:
        """``request`` with GET."""
        return self.request(url, "GET", payload, headers, **options)

    def head(
        self,
        url: str | URL,
        payload: object = None,
        headers: GivenHeaders | None = None,
        **options: Unpack[RequestOptions],
    ) -> HttpResponse:
        """``request`` with HEAD."""
        return self.request(url, "HEAD", payload, headers, **options)

    def post(
        self,
        url: str | URL,
        payload: object = None,
        headers: GivenHeaders | None = None,
        **options: Unpack[RequestOptions],
    ) -> HttpResponse:
        """``request`` with POST."""
        return self.request(url, "POST", payload, headers, **options)

    def put(
        self,
        url: str | URL,
        payload: object = None,
        headers: GivenHeaders | None = None,
        **options: Unpack[RequestOptions],
    ) -> HttpResponse:
        """``request`` with PUT."""
        return self.request(url, "PUT", payload, headers, **options)

    def patch(
        self,
        url: str | URL,
        payload: object = None,
        headers: GivenHeaders | None = None,
        **options: Unpack[RequestOptions],
    ) -> HttpResponse:
        """``request`` with PATCH."""
        return self.request(url, "PATCH", payload, headers, **options)

    def delete(
        self,
        url: str | URL,
        payload: object = None,
        headers: GivenHeaders | None = None,
        **options: Unpack[RequestOptions],
    ) -> HttpResponse:
        """``request`` with DELETE."""
        return self.request(url, "DELETE", payload, headers, **options)

    def options(
        self,
        url: str | URL,
        payload: object = None,
        headers: GivenHeaders | None = None,
        **options: Unpack[RequestOptions],
    ) -> HttpResponse:
        """``request`` with OPTIONS."""
        return self.request(url, "OPTIONS", payload, headers, **options)

    def close(self) -> None:
        """Close every connection, from any thread: who waits on one gets an error at once."""
        self._pool.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __repr__(self) -> str:
        if self._pool.closed:
            return "<Client, closed>"
        return f"<Client, {self._pool.resting()} connections at rest>"

    def _request(
        self,
        url: str | URL,
        method: str,
        payload: object,
        headers: GivenHeaders | None,
        given: dict[str, Any],
    ) -> Request:
        params = given.pop("params", None)
        body = one_payload(payload, given)
        settings = self._settings.updated(given) if given else self._settings
        return Request(method, parse_url(url, params), *self._merged(headers), body, settings)

    def _merged(self, given: GivenHeaders | None) -> tuple[Headers, frozenset[str]]:
        if given is None:
            return self._headers.copy(), NONE_WITHHELD
        return with_defaults(self._headers, given)

    # The sending

    def _reply_to(self, request: Request, sending: Sending) -> Reply:
        """Send it on a connection that rested, or on a new one; once more where that is safe."""
        if self._pool.closed:
            raise RequestError("this Client is closed", request=request, sent="nothing")
        scheme, host, port = request.url.origin
        route = Route(scheme, host, port, request.settings.tls)
        connection = self._pool.take(route)
        if connection is not None:
            try:
                return self._send_on(connection, request, sending)
            except TransportError as error:
                if not self._may_go_again(connection, request, error):
                    raise
        return self._send_on(self._open(route, request, sending.clock), request, sending)

    def _open(self, route: Route, request: Request, clock: Clock) -> Connection:
        try:
            connection = Connection(dial(route, clock), route, self._pool)
        except Error as error:
            error.request = request
            raise
        self._pool.add(connection)
        return connection

    def _send_on(self, connection: Connection, request: Request, sending: Sending) -> Reply:
        try:
            return connection.send(sending)
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
        if isinstance(error, RequestTimeout) or self._pool.closed:
            return False
        return _is_whole(request) and (request.idempotent or not exchange.sent_bytes)


def _is_whole(request: Request) -> bool:
    """Whether the payload can be sent, or sent again, from its first byte."""
    payload = request.payload
    return payload is None or payload.replayable or not payload.started


def _checked_count(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise RequestError(f"pool_size={value!r}: a number of connections, 0 or more, is wanted")
    return value


def _checked_seconds(value: object) -> float:
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not value >= 0:
        raise RequestError(f"max_idle={value!r}: a number of seconds, 0 or more, is wanted")
    return value


def _let_go(reply: Reply) -> None:
    if reply.live is not None:
        reply.live.close()
    if reply.early is not None:
        reply.early.close()
