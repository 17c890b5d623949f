"""One call on its way: sent, and sent again, until there is an answer to keep.

The policies decide (``policy/``); here is the order in which they are asked, and what is done of
what they say. Whatever lies on the way is in the ``history`` of the answer, or of the last error.
"""

from __future__ import annotations

from copy import copy
from typing import TYPE_CHECKING

from restkit.errors import Error, PayloadNotReplayable, TransportError
from restkit.log import log_exchange
from restkit.masking import masked
from restkit.payload import is_whole
from restkit.policy.lengths import with_length
from restkit.policy.redirects import redirected
from restkit.policy.tries import Tries
from restkit.timeouts import Clock

if TYPE_CHECKING:
    from restkit.carrier import Carrier
    from restkit.message.request import Request
    from restkit.message.response import HttpResponse
    from restkit.payload import Payload
    from restkit.policy.cookies import Cookies

_MOST_CHALLENGES = 3


class Course:
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
        self._clock = Clock(request.settings.timeout, request.url.authority)
        self._history: list[HttpResponse | Error] = []
        self._tries: Tries | None = None
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
        if auth is not None and _leaves_authorization_to_us(request):
            auth.authorize(attempt)
        if cookies is not None:
            cookies.put_on(attempt)
        return attempt

    def _goes_on(self, attempt: Request, response: HttpResponse) -> bool:
        """Whether a policy wants another exchange after this answer; then that is prepared."""
        auth = attempt.settings.auth
        if auth is not None:
            auth.learn(attempt, response)
        if self._cookies is not None and response.sets_cookies:
            self._cookies.take_from(attempt, response)
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
        if not _leaves_authorization_to_us(self._request):
            return False
        if self._challenges >= _MOST_CHALLENGES or not auth.answer(attempt, response):
            return False
        self._challenges += 1
        self._go_on_from(response, self._request, "to be sent again with credentials")
        return True

    def _gives_its_length(self, response: HttpResponse) -> bool:
        following = with_length(self._request, response)
        if following is None:
            return False
        self._go_on_from(response, following, "to be sent again with its length")
        return True

    def _follows(self, response: HttpResponse) -> bool:
        following = redirected(self._request, response, self._redirects)
        if following is None:
            return False
        self._redirects += 1
        self._challenges = 0
        self._go_on_from(response, following, f"to be sent again to {masked(str(following.url))}")
        self._clock.where = following.url.authority
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
        let_go(response, following.payload, why)
        self._history.append(response)
        self._request = following

    def _has_time_for(self, pause: float) -> bool:
        left = self._clock.left("waiting for another try")
        return left is None or pause < left

    def _tally(self) -> Tries:
        if self._tries is None:
            self._tries = Tries(self._request.settings)
        return self._tries


def let_go(response: HttpResponse, payload: Payload | None, why: str) -> None:
    """Let an answer go to send a payload again; raises PayloadNotReplayable where it is spent."""
    if not is_whole(payload):
        raise PayloadNotReplayable(
            f"answered {response.status_line}: {payload!r} would have {why}, and cannot: it "
            "can be sent once. replay='spool' keeps what is sent",
            sent=response.sent,
            request=response.request,
            response=response,
        )
    response.skip_body()


def _leaves_authorization_to_us(request: Request) -> bool:
    """Whether the caller has neither given that header nor withheld it."""
    return "authorization" not in request.headers.names() | request.withheld


def _without_frames(error: Error) -> Error:
    """An error to be kept: the frames of its tracebacks would keep what they had in hand."""
    one: BaseException | None = error
    while one is not None:
        one.__traceback__ = None
        one = one.__cause__ or one.__context__
    return error
