"""Run one call: send the request, and follow redirects, challenges and retries.

One call on its way: sent, and sent again, until there is an answer to keep.

The policies decide (``policy/``); here is the order in which they are asked, and what is done of
what they say. Whatever lies on the way is in the ``history`` of the answer, or of the last error.

Takes requests to their peers: one exchange at a time, on connections that it keeps.

A payload in chunks that was refused for that: the same request once more, with its length.

A server may ask for a length by 411 (RFC 9110 15.5.12); one that does not know chunks says 501
(RFC 9112 6.1).
"""

from __future__ import annotations

from copy import copy
from time import perf_counter
from typing import TYPE_CHECKING

from restkit.client.options import route_of
from restkit.client.redirects import redirect_request
from restkit.client.retries import RetryCounter
from restkit.client.serialize import serialize_request
from restkit.errors import Error, PayloadNotReplayable, RequestError, RequestTimeout, TransportError
from restkit.log import get_logger
from restkit.message.response import HttpResponse
from restkit.network.route import Route
from restkit.payload.base import can_send
from restkit.payload.spooled import spool_payload
from restkit.redaction import redact_url
from restkit.timeouts import Deadline

if TYPE_CHECKING:
    from restkit.connections.connection import Connection
    from restkit.connections.outgoing import Sending
    from restkit.connections.pool import Pool
    from restkit.connections.reply import Reply
    from restkit.cookies.cookies import Cookies
    from restkit.message.request import Request
    from restkit.payload.base import Payload


_MOST_CHALLENGES = 3


class Call:
    """The way of one call, from its first exchange to the answer that is kept."""

    __slots__ = (
        "_carrier",
        "_challenges",
        "_clock",
        "_cookies",
        "_fresh",
        "_history",
        "_redirects",
        "_request",
        "_tries",
    )

    def __init__(self, request: Request, carrier: Carrier, cookies: Cookies | None) -> None:
        self._request = request
        self._carrier = carrier
        self._cookies = cookies
        self._clock = Deadline(request.settings.timeout, request.url.authority)
        self._history: list[HttpResponse | Error] = []
        self._tries: RetryCounter | None = None
        self._redirects = 0
        self._challenges = 0
        self._fresh = False

    def run(self) -> HttpResponse:
        """The answer to keep; raises the error that no policy can do anything about."""
        try:
            while True:
                attempt = self._dressed()
                try:
                    response = self._carrier.exchange(attempt, self._clock, fresh=self._fresh)
                except Error as error:
                    log_exchange(attempt, error, self._clock)
                    if not self._goes_past(attempt, error):
                        raise
                    continue
                self._fresh = False
                log_exchange(attempt, response, self._clock)
                if not self._goes_on(attempt, response):
                    response.history = tuple(self._history)
                    return response
        except Error as error:
            error.history = tuple(self._history)
            raise

    def _dressed(self) -> Request:
        """The request of this try: itself, or a copy that has credentials or cookies on it."""
        request, cookies = self._request, self._cookies
        auth = request.settings.auth
        if auth is None and (cookies is None or cookies.empty):
            return request
        attempt = copy(request)
        if auth is not None and _may_set_authorization(request):
            auth.authorize(attempt)
        if cookies is not None:
            cookies.add_to_request(attempt)
        return attempt

    def _goes_on(self, attempt: Request, response: HttpResponse) -> bool:
        """Whether a policy wants another exchange after this answer; then that is prepared."""
        auth = attempt.settings.auth
        if auth is not None:
            auth.learn(attempt, response)
        if self._cookies is not None and response.sets_cookies:
            self._cookies.store_from_response(attempt, response)
        if response.status < 300 and attempt.settings.retries is None:
            return False
        return (
            self._authenticates(attempt, response)
            or self._gives_its_length(response)
            or self._follows(response)
            or self._tries_again(response)
        )

    def _authenticates(self, attempt: Request, response: HttpResponse) -> bool:
        auth = attempt.settings.auth
        if response.status != 401 or auth is None or not auth.answers_challenges:
            return False
        if not _may_set_authorization(self._request):
            return False
        if self._challenges >= _MOST_CHALLENGES or not auth.answer(attempt, response):
            return False
        self._challenges += 1
        self._go_on_from(response, self._request, "to be sent again with credentials")
        return True

    def _gives_its_length(self, response: HttpResponse) -> bool:
        following = request_with_length(self._request, response)
        if following is None:
            return False
        self._go_on_from(response, following, "to be sent again with its length")
        return True

    def _follows(self, response: HttpResponse) -> bool:
        following = redirect_request(self._request, response, self._redirects)
        if following is None:
            return False
        self._redirects += 1
        self._challenges = 0
        self._go_on_from(
            response, following, f"to be sent again to {redact_url(str(following.url))}"
        )
        self._clock.peer = following.url.authority
        return True

    def _tries_again(self, response: HttpResponse) -> bool:
        if self._request.settings.retries is None:
            return False
        pause = self._tally().after_answer(self._request, response)
        if pause is None or not self._has_time_for(pause):
            return False
        self._go_on_from(response, self._request, "to be tried again")
        self._carrier.closes_within(pause)  # the next exchange will say so
        return True

    def _goes_past(self, attempt: Request, error: Error) -> bool:
        """Whether there is another try after a failure; then the wait for it is over."""
        if self._carrier.closed or error.out_of_payload:
            return False
        pause = self._tally().after_error(attempt, error)
        if pause is None or not self._has_time_for(pause) or self._carrier.closes_within(pause):
            return False
        self._history.append(_without_frames(error))
        # What one peer has given up while it rested, another may have, too.
        self._fresh = isinstance(error, TransportError) and error.rested
        return True

    def _go_on_from(self, response: HttpResponse, following: Request, why: str) -> None:
        """Let an answer go, and take the next request; raises where its payload is spent."""
        release_for_resend(response, following.payload, why)
        self._history.append(response)
        self._request = following

    def _has_time_for(self, pause: float) -> bool:
        left = self._clock.remaining("waiting for another try")
        return left is None or pause < left

    def _tally(self) -> RetryCounter:
        if self._tries is None:
            self._tries = RetryCounter(self._request.settings)
        return self._tries


def release_for_resend(response: HttpResponse, payload: Payload | None, why: str) -> None:
    """Let an answer go to send a payload again; raises PayloadNotReplayable where it is spent."""
    if not can_send(payload):
        raise PayloadNotReplayable(
            f"answered {response.status_line}: {payload!r} would have {why}, and cannot: it "
            "can be sent once. replay='spool' keeps what is sent",
            sent=response.sent,
            request=response.request,
            response=response,
        )
    response.skip_body()


def _may_set_authorization(request: Request) -> bool:
    """Whether the caller has neither given that header nor withheld it."""
    return "authorization" not in request.headers.names() | request.withheld


def _without_frames(error: Error) -> Error:
    """An error to be kept: the frames of its tracebacks would keep what they had in hand."""
    one: BaseException | None = error
    while one is not None:
        one.__traceback__ = None
        one = one.__cause__ or one.__context__
    return error


EXPECTATION_FAILED = 417


class Carrier:
    """What brings a request to its peer, and its answer back.

    A rested connection that turns out to be dead before a byte is sent on it is replaced here,
    without a word and without counting as a try.
    """

    __slots__ = ("pool",)

    def __init__(self, pool: Pool) -> None:
        self.pool = pool

    def exchange(self, request: Request, clock: Deadline, *, fresh: bool = False) -> HttpResponse:
        """Send one request; its answer, whatever the status. ``fresh``: on a new connection."""
        route = route_of(request)
        sending = serialize_request(request, route.proxy, clock)
        reply = self._reply_to(request, route, sending, fresh=fresh)
        refused = reply.head.status == EXPECTATION_FAILED and sending.expects
        if refused and can_send(request.payload):
            # Nothing of the payload is lost: once more, without the question.
            _discard_reply(reply)
            sending = serialize_request(request, route.proxy, clock, asking=False)
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
                _add_target_to_message(error, request)
            raise

    def _is_unsent(self, connection: Connection, request: Request, error: TransportError) -> bool:
        """Whether the connection was lost before a byte was sent on it, and all can still be."""
        exchange = connection.exchange
        if exchange is None or exchange.sent_bytes or exchange.in_source or error.answered:
            return False
        if isinstance(error, RequestTimeout) or self.pool.closed:
            return False
        return can_send(request.payload)


def _add_target_to_message(error: Error, request: Request) -> None:
    """Say of a body that broke while it was sent on, and so is named, what became of that."""
    target = f"{request.method} {redact_url(str(request.url))}"
    error.message += f"; it was being sent on in {target}, which got no end of it"
    error.args = (error.message,)


def _discard_reply(reply: Reply) -> None:
    if reply.live is not None:
        reply.live.close()
    if reply.early is not None:
        reply.early.close()


_WANTING_A_LENGTH = frozenset((411, 501))
_OF_CHUNKS = ("transfer-encoding", "trailer")


def request_with_length(request: Request, response: HttpResponse) -> Request | None:
    """The request with its payload spooled, to be sent by its length; None where that is no help.

    That is: where the answer says something else, the payload had its length, or is spent. A
    ``Transfer-Encoding: chunked`` of the caller's was what the server refused, and is left out;
    trailers go only with chunks: those that were announced become headers. Reads the payload
    here and now, and raises what its source raises.
    """
    if response.status not in _WANTING_A_LENGTH or not _was_chunked(request):
        return None
    payload = request.payload
    if not can_send(payload):
        return None
    following = copy(request)
    for name in _OF_CHUNKS:
        following.headers.pop(name, None)
    if payload is not None and payload.length is None:
        following.payload = spool_payload(payload, request.settings.new_spool)
    return following


def _was_chunked(request: Request) -> bool:
    names = request.headers.names()
    if "transfer-encoding" in names:
        return True
    payload = request.payload
    return payload is not None and payload.length is None and "content-length" not in names


def log_exchange(request: Request, outcome: HttpResponse | Error, clock: Deadline) -> None:
    """Log what came of one exchange, with the seconds since its call began."""
    logger = get_logger()
    if not logger.isEnabledFor(10):  # logging.DEBUG
        return
    came = type(outcome).__name__ if isinstance(outcome, Exception) else outcome.status_line
    seconds = perf_counter() - clock.started
    logger.debug("%s %s: %s, %.3f s", request.method, redact_url(str(request.url)), came, seconds)
