"""Run one call: send the request, and follow redirects, challenges and retries.

This is the only loop that sends a request again. The policies of redirects, retries,
credentials and cookies decide; ``Call`` consults them in order. Earlier attempts are in the
``history`` of the response or of the error.
"""

from __future__ import annotations

from copy import copy
from functools import partial

from restkit.client.build import READING_PAYLOAD
from restkit.client.call_log import (
    log_another_attempt,
    log_outcome,
    log_redirect,
    log_request_head,
    log_response_head,
)
from restkit.client.options import DEFAULT_EAGER_BODY, Settings
from restkit.client.redirects import redirect_request
from restkit.client.retries import RetryCounter
from restkit.client.serialize import serialize_request
from restkit.connections.pool import ConnectionPool
from restkit.connections.reply import Reply
from restkit.cookies.cookies import Cookies
from restkit.errors import Error, PayloadNotReplayable, TransportError, drop_tracebacks
from restkit.log import DEBUG, LogState, get_logger
from restkit.message.request import Request, check_method
from restkit.message.response import HttpResponse
from restkit.payload.base import CheckTime, Payload, can_send
from restkit.payload.spooled import spool_payload
from restkit.redaction import redact_url
from restkit.timeouts import Deadline

_MAX_CHALLENGES = 3
_EXPECTATION_FAILED = 417
_LENGTH_REQUIRED = frozenset((411, 501))  # 501: no support for chunked (RFC 9112 6.1)
_CHUNKED_FIELDS = ("transfer-encoding", "trailer")


class Call:
    """One call, from its first attempt to its final response."""

    __slots__ = (
        "_challenges",
        "_cookies",
        "_deadline",
        "_history",
        "_needs_new_connection",
        "_pool",
        "_redirects",
        "_request",
        "_retries",
        "_settings",
        "_tries",
        "_unread",
    )

    def __init__(
        self,
        request: Request,
        settings: Settings,
        pool: ConnectionPool,
        cookies: Cookies | None,
        deadline: Deadline | None = None,
    ) -> None:
        self._request = request
        self._settings = settings
        self._pool = pool
        self._cookies = cookies
        self._deadline = deadline or Deadline(settings.timeout, request.url.authority)
        self._history: tuple[HttpResponse | Error, ...] = ()
        self._retries: RetryCounter | None = None
        self._redirects = 0
        self._challenges = 0
        self._tries = 1
        self._needs_new_connection = False
        self._unread: Reply | None = None  # of the latest attempt, if its body is still to come

    def run(self) -> HttpResponse:
        """Return the final response; raise the error that no policy retries."""
        try:
            while True:
                attempt = self._add_credentials()
                try:
                    response = self._send(attempt)
                except Error as error:
                    log_outcome(attempt, error, self._deadline.started)
                    if not self._retry_after_error(attempt, error):
                        raise
                    continue
                self._needs_new_connection = False
                if get_logger().isEnabledFor(DEBUG):  # checked here too, to save the call
                    log_outcome(attempt, response, self._deadline.started)
                if not self._prepare_next_request(attempt, response):
                    if self._history:
                        response.history = self._history
                    if self._tries > 1:
                        response.tries = self._tries
                    if self._unread is not None:
                        self._receive_small_body()
                    return response
        except Error as error:
            self._complete_error(error)
            raise

    def _complete_error(self, error: Error) -> None:
        error.history = self._history
        if self._tries > 1:
            error.tries = self._tries
        if error.response is not None:
            self._receive_small_body()

    def _receive_small_body(self) -> None:
        """Receive a small body of the latest response, so that it does not hold its connection."""
        if self._unread is not None:
            limit, max_body = self._settings.eager_body, self._settings.max_body
            if max_body is not None:  # a larger body is an error, and needs no memory
                limit = min(limit, max(max_body, DEFAULT_EAGER_BODY))
            self._unread.receive_small_body(limit)

    def _add_credentials(self) -> Request:
        """Return the request to send: the original, or a copy with credentials or cookies."""
        request, cookies, auth = self._request, self._cookies, self._settings.auth
        if auth is None and (cookies is None or cookies.empty):
            return request
        attempt = copy(request)
        if auth is not None and _may_set_authorization(request):
            auth.authorize(attempt)
            # Checked at once: an error or a log line must not repeat control characters.
            attempt.method = check_method(attempt.method)
        if cookies is not None:
            cookies.add_to_request(attempt)
        return attempt

    # One attempt

    def _send(self, attempt: Request, *, allow_expect: bool = True) -> HttpResponse:
        """Send an attempt and return its response; send again without Expect after a 417."""
        try:
            route = self._settings.route_to(attempt)
            outgoing = serialize_request(
                attempt, self._settings, route.proxy, allow_expect=allow_expect
            )
            if LogState.headers:
                log_request_head(outgoing.head)
            reply = self._pool.send(
                outgoing, route, self._deadline, new_connection=self._needs_new_connection
            )
            if LogState.headers:
                log_response_head(reply.head)
        except Error as error:
            if error.request is None:
                error.request = attempt
            elif error.out_of_payload:
                _add_target_to_message(error, attempt)
            raise
        if (
            reply.head.status == _EXPECTATION_FAILED
            and outgoing.expects_continue
            and can_send(attempt.payload)
        ):
            # Nothing of the payload was sent, and the credentials are as good as before.
            log_another_attempt(attempt, str(reply.head.status), "without Expect")
            reply.close()
            self._needs_new_connection = True
            return self._send(attempt, allow_expect=False)
        self._unread = None if reply.live is None else reply
        if reply.failure is None:
            return self._make_response(attempt, reply)
        failure, reply.failure = reply.failure, None
        failure.request = attempt
        failure.response = self._make_response(attempt, reply)
        try:
            raise failure
        finally:
            del failure, reply  # a traceback and this frame would keep each other alive

    def _make_response(self, attempt: Request, reply: Reply) -> HttpResponse:
        make = self._settings.response_class or HttpResponse
        return make(attempt, reply, self._deadline.started)

    # After a response

    def _prepare_next_request(self, attempt: Request, response: HttpResponse) -> bool:
        """Prepare the next request if a policy asks for one; return whether it does."""
        auth = self._settings.auth
        if auth is not None:
            auth.learn(attempt, response)
        if self._cookies is not None and response.sets_cookies:
            self._cookies.store_from_response(attempt, response)
        retries = self._settings.retries
        if response.status < 300 and (retries is None or not retries.may_cover(response.status)):
            return False
        return (
            self._answer_challenge(attempt, response)
            or self._resend_with_length(response)
            or self._follow_redirect(response)
            or self._retry_status(response)
        )

    def _answer_challenge(self, attempt: Request, response: HttpResponse) -> bool:
        auth = self._settings.auth
        if response.status != 401 or auth is None or not auth.answers_challenges:
            return False
        if not _may_set_authorization(self._request):
            return False
        if self._challenges >= _MAX_CHALLENGES or not auth.answer(attempt, response):
            return False
        self._challenges += 1
        self._continue_with(self._request, response, "with credentials")
        log_another_attempt(self._request, response, "with credentials")
        return True

    def _resend_with_length(self, response: HttpResponse) -> bool:
        check_time = partial(self._deadline.remaining, READING_PAYLOAD)
        next_request = request_with_length(self._request, self._settings, response, check_time)
        if next_request is None:
            return False
        self._continue_with(next_request, response, "with its length")
        log_another_attempt(next_request, response, "with its length")
        return True

    def _follow_redirect(self, response: HttpResponse) -> bool:
        redirect = redirect_request(self._request, self._settings, response, self._redirects)
        if redirect is None:
            return False
        next_request, settings = redirect
        request = self._request
        self._continue_with(next_request, response, f"to {redact_url(str(next_request.url))}")
        log_redirect(request, response, next_request)
        self._settings = settings
        self._redirects += 1
        self._challenges = 0
        self._deadline.peer = next_request.url.authority
        return True

    def _retry_status(self, response: HttpResponse) -> bool:
        if self._settings.retries is None:
            return False
        delay = self._count_retries().delay_after_status(self._request, response)
        if delay is None or not self._has_time_for(delay):
            return False
        self._continue_with(self._request, response, "in another attempt")
        log_another_attempt(self._request, response, self._describe_delay(delay))
        self._tries += 1
        self._pool.sleep_unless_closed(delay)  # the next attempt reports a closed Client
        return True

    def _continue_with(self, next_request: Request, response: HttpResponse, how: str) -> None:
        """Discard a response and continue with the next request.

        Raises PayloadNotReplayable if the payload of that request cannot be sent again.
        """
        release_for_resend(response, next_request.payload, how)
        self._history += (response,)
        self._request = next_request

    # After an error

    def _retry_after_error(self, attempt: Request, error: Error) -> bool:
        """Wait before another attempt; return False if there is none."""
        if self._pool.closed or error.out_of_payload:
            return False
        delay = self._count_retries().delay_after_error(attempt, error)
        if delay is None or not self._has_time_for(delay):
            return False
        log_another_attempt(attempt, error, self._describe_delay(delay))
        if self._pool.sleep_unless_closed(delay):
            return False
        drop_tracebacks(error)
        self._history += (error,)
        self._tries += 1
        # The server may have closed its other idle connections, too.
        self._needs_new_connection = (
            isinstance(error, TransportError) and error.on_reused_connection
        )
        return True

    def _count_retries(self) -> RetryCounter:
        if self._retries is None:
            self._retries = self._settings.count_retries()
        return self._retries

    def _describe_delay(self, delay: float) -> str:
        return f"in {delay:.3f} s, as try {self._tries + 1}"

    def _has_time_for(self, delay: float) -> bool:
        remaining = self._deadline.remaining("waiting for another attempt")
        return remaining is None or delay < remaining


def release_for_resend(response: HttpResponse, payload: Payload | None, how: str) -> None:
    """Discard a response before the payload is sent again.

    Raises PayloadNotReplayable if the payload was sent and can be sent only once.
    """
    if not can_send(payload):
        raise PayloadNotReplayable(
            f"got {response.status_line}: {payload!r} must be sent again {how}, but it "
            "can be sent only once; replay='spool' keeps it for another attempt",
            sent=response.sent,
            request=response.request,
            response=response,
        )
    response.skip_body()


def request_with_length(
    request: Request,
    settings: Settings,
    response: HttpResponse,
    check_time: CheckTime | None = None,
) -> Request | None:
    """Spool a chunked payload after 411 (RFC 9110 15.5.12) or 501; return the new request.

    Returns None for any other response or payload. A ``Transfer-Encoding: chunked`` from the
    caller is removed, because the server refused it. Announced trailers become headers. Blocks
    while the payload is read; raises the exceptions of its source.
    """
    payload = request.payload
    if response.status not in _LENGTH_REQUIRED or not _is_chunked(request):
        return None
    if not can_send(payload):
        return None
    next_request = copy(request)
    for name in _CHUNKED_FIELDS:
        next_request.headers.pop(name, None)
    if payload is not None and payload.length is None:
        new_spool = settings.read_options.new_spool
        next_request.payload = spool_payload(payload, new_spool, check_time)
    return next_request


def _is_chunked(request: Request) -> bool:
    names = request.headers.names()
    if "transfer-encoding" in names:
        return True
    payload = request.payload
    return payload is not None and payload.length is None and "content-length" not in names


def _may_set_authorization(request: Request) -> bool:
    """Whether the caller has neither given nor suppressed the Authorization header."""
    return "authorization" not in request.given_names


def _add_target_to_message(error: Error, request: Request) -> None:
    """Name the request whose payload was the response body that failed."""
    target = f"{request.method} {redact_url(str(request.url))}"
    error.message += f"; this body was the payload of {target}, which is incomplete"
    error.args = (error.message,)
