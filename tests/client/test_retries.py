"""Another try: after which failures and answers, how often, how long after, and with what."""

from __future__ import annotations

import email.utils
import gc
import socket
import ssl
import threading
import time
import warnings
import weakref
from collections.abc import Iterator

import pytest
import urllib3
from hypothesis import given
from hypothesis import strategies as st
from urllib3.util.retry import Retry

from restkit import (
    BadStatusLine,
    Client,
    ConnectError,
    ConnectTimeout,
    Error,
    HttpResponse,
    IdleTimeout,
    InvalidUrl,
    PayloadLengthError,
    PayloadNotReplayable,
    ProxyError,
    Request,
    RequestError,
    Timeout,
    TLSError,
    TotalTimeout,
    TransportError,
    UnexpectedEOF,
    as_payload,
    parse_url,
)
from restkit.client.options import Settings
from restkit.client.retries import RetryCounter, RetryPolicy, as_retries, retry_after_seconds
from restkit.headers import Headers
from support import (
    ScriptedServer,
    body_of,
    payload_of,
    refusing,
    response,
    unanswering,
)
from support.peer import HANG_BOUND, Peer

pytestmark = pytest.mark.lowest

OK = response(b"ok")
BUSY = response(b"busy", status="503 Service Unavailable")
ANY = RetryPolicy(None, statuses=frozenset((500, 503)), methods=None)


# How long Retry-After says


def told(value: str) -> float | None:
    return retry_after_seconds(Headers({"Retry-After": value}))


@pytest.mark.parametrize(
    ("value", "seconds"), [("0", 0), ("1", 1), ("120", 120), (" 7 ", 7), ("007", 7)]
)
def test_C03_seconds_are_seconds(value, seconds):
    assert told(value) == seconds


@pytest.mark.parametrize("value", ["", "soon", "-1", "1.5", "1, 2", "+3", "1e3", "0x1f"])
def test_C03_what_is_neither_seconds_nor_a_date_says_nothing(value):
    assert told(value) is None


def test_C03_no_header_says_nothing():
    assert retry_after_seconds(Headers()) is None


@pytest.mark.parametrize(
    "date", ["Sun, 06 Nov 10000 08:49:37 GMT", "-1 Nov GMT 1.2.3 +9999999999", "06 Nov 0 08:49:37"]
)
def test_C03_a_date_that_no_calendar_has_says_nothing(date):
    assert told(date) in (None, 0.0)


def test_C03_no_number_is_too_large():
    assert told("9" * 5000) == float("inf")


# The one moment of RFC 9110 5.6.7, in its three forms, and as others have written it.
@pytest.mark.parametrize(
    "date",
    [
        "Sun, 06 Nov 1994 08:49:37 GMT",
        "Sunday, 06-Nov-94 08:49:37 GMT",
        "Sun Nov  6 08:49:37 1994",
        "Sun, 06 Nov 1994 09:49:37 +0100",
        "Fri, 31 Dec 9999 23:59:59 -0000",
    ],
)
def test_C03_dates_are_read_in_each_of_their_forms(date, monkeypatch):
    monkeypatch.setattr(time, "time", lambda: 784111777.0 - 90)
    far = 253402300799.0 - 784111777.0 if "9999" in date else 0.0
    assert told(date) == far + 90


def test_C03_a_date_that_has_gone_by_is_now():
    assert told("Sun, 06 Nov 1994 08:49:37 GMT") == 0.0


@given(st.integers(0, 10**9))
def test_C03_every_number_of_seconds_is_read(seconds):
    assert told(str(seconds)) == seconds


@given(st.integers(0, 250_000_000_000))
def test_C03_every_date_is_read(moment):
    now = time.time()
    seconds = told(email.utils.formatdate(moment, usegmt=True))
    assert seconds is not None
    assert seconds == 0 or abs(moment - now - seconds) < HANG_BOUND


LATIN_1 = st.characters(max_codepoint=255, blacklist_categories=["Cc"])
DATE_LIKE = st.lists(
    st.one_of(
        st.sampled_from(["Sun,", "Nov", "06", "-", ":", "1994", "08:49:37", "GMT", "+0100", "AM"]),
        st.integers(-(10**20), 10**20).map(str),
        st.text(LATIN_1, max_size=3),
    ),
    max_size=9,
).map(" ".join)


@given(st.one_of(st.text(LATIN_1), DATE_LIKE))
def test_C03_no_text_is_more_than_unreadable(value):
    seconds = told(value)
    assert seconds is None or seconds >= 0


# What retries= takes


def test_C09_a_number_is_how_often_to_try_again():
    assert as_retries(None) is None
    assert as_retries(3) == RetryPolicy(3)
    assert as_retries(0) == RetryPolicy(0)
    assert as_retries(False) == RetryPolicy(0)
    assert as_retries(ANY) is ANY


@pytest.mark.parametrize("value", [-1, True, 2.5, "3", (1, 2), urllib3.Timeout(3), Retry])
def test_C09_anything_else_is_an_error_that_says_what_is_wanted(value):
    with pytest.raises(RequestError, match="retries must be urllib3's Retry, a number of retries"):
        as_retries(value)


def test_C09_of_a_retry_all_that_counts_is_taken():
    given = Retry(
        total=7,
        connect=1,
        read=2,
        status=3,
        other=4,
        status_forcelist=[500, 502],
        allowed_methods=["get", "POST"],
        backoff_factor=0.5,
        backoff_max=9,
        backoff_jitter=0.25,
        respect_retry_after_header=False,
        remove_headers_on_redirect=["x-mine"],
    )
    assert as_retries(given) == RetryPolicy(
        total=7,
        connect=1,
        read=2,
        status=3,
        other=4,
        statuses=frozenset((500, 502)),
        methods=frozenset(("GET", "POST")),
        backoff_factor=0.5,
        backoff_max=9,
        backoff_jitter=0.25,
        respect_retry_after=False,
        retry_after_max=getattr(given, "retry_after_max", None),
    )


def test_C09_the_counts_of_a_retry_may_be_none_or_false():
    taken = as_retries(Retry(total=None, connect=False, read=None, allowed_methods=None))
    assert taken is not None
    assert taken[:5] == (None, 0, None, None, None)
    assert taken.methods is None
    assert as_retries(Retry(False)) == as_retries(Retry(0))


def test_C09_the_methods_of_a_retry_are_those_that_urllib3_would_try_again():
    taken = as_retries(Retry())
    assert taken is not None
    assert taken.methods == Retry.DEFAULT_ALLOWED_METHODS == RetryPolicy(0).methods
    assert taken.retry_after_statuses == RetryPolicy(0).retry_after_statuses


def test_C09_a_subclass_is_read_like_any_other():
    class Ours(Retry):
        RETRY_AFTER_STATUS_CODES = frozenset((420,))

    taken = as_retries(Ours(2))
    assert taken is not None
    assert (taken.total, taken.retry_after_statuses) == (2, {420})


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"redirect": 3}, "redirect of"),
        ({"redirect": False}, "redirect, raise_on_redirect of"),
        ({"raise_on_redirect": False}, "raise_on_redirect of"),
        ({"raise_on_status": False}, "raise_on_status of"),
        ({"redirect": 1, "raise_on_status": False}, "redirect, raise_on_status of"),
    ],
)
def test_C09_what_is_not_looked_at_has_a_warning(given, named):
    with pytest.warns(UserWarning, match=named) as caught:
        as_retries(Retry(3, **given))
    assert len(caught) == 1


def test_C09_a_retry_that_says_nothing_of_redirects_has_none():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for plain in (Retry(), Retry(3, status_forcelist=[500]), Retry(False)):
            as_retries(plain)


# After which failures: the decision by itself, without a socket


def request_of(method: str = "GET", payload: object = None) -> Request:
    return Request(method, parse_url("http://a.test/"), payload=as_payload(payload))


def counter(**options: object) -> RetryCounter:
    return RetryCounter(Settings(**{"wait_tries": 0.0, **options}).retry_policy())


def spent() -> object:
    payload = as_payload(iter([b"x"]))
    assert payload is not None
    list(payload)
    return payload


def failed(kind: type[Error], cause: BaseException | None = None, **said: object) -> Error:
    error = kind("failed", sent="nothing" if kind in (ConnectError, ConnectTimeout) else "all")
    error.__cause__ = cause
    for name, value in said.items():
        setattr(error, name, value)
    return error


def again(error: Error, method: str = "GET", payload: object = None, **settings: object) -> bool:
    request = request_of(method, payload)
    return counter(**settings).delay_after_error(request, error) is not None


REFUSED = ConnectionRefusedError(111, "Connection refused")
UNKNOWN = socket.gaierror(socket.EAI_NONAME, "Name or service not known")
NOT_NOW = socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
RESET = ConnectionResetError(104, "Connection reset by peer")
CERTIFICATE = ssl.SSLCertVerificationError(1, "certificate has expired")


@pytest.mark.parametrize("method", ["GET", "POST", "PATCH", "X-MINE"])
def test_no_connection_is_tried_again_for_any_method(method):
    assert again(failed(ConnectError, REFUSED), method)
    assert again(failed(ConnectError, REFUSED), method, b"payload")
    assert again(failed(ConnectError, REFUSED), method, iter([b"not yet asked for"]))


MENDABLE = {
    "a name server that is busy": (ConnectError, NOT_NOW, True),
    "a name that nobody knows": (ConnectError, UNKNOWN, False),
    "an address that is forbidden": (ConnectError, None, False),
    "a handshake that was reset": (TLSError, RESET, True),
    "a handshake that ended": (TLSError, ssl.SSLEOFError(8, "EOF occurred"), True),
    "a certificate": (TLSError, CERTIFICATE, False),
    "a certificate of another host": (TLSError, ValueError("doesn't match"), False),
    "a version of TLS": (TLSError, ssl.SSLError(1, "wrong version number"), False),
    "a proxy that refuses connections": (ProxyError, REFUSED, True),
    "a proxy that refuses the request": (ProxyError, None, False),
    "a SOCKS proxy that refuses it": (ProxyError, OSError("0x02: not allowed"), False),
    "a URL": (InvalidUrl, None, False),
    "a payload's length": (PayloadLengthError, None, False),
}


@pytest.mark.parametrize("retries", [None, ANY], ids=["by itself", "asked"])
@pytest.mark.parametrize("what", MENDABLE)
def test_what_another_try_cannot_mend_is_not_tried_again(what, retries):
    kind, cause, mendable = MENDABLE[what]
    assert again(failed(kind, cause, sent="nothing"), retries=retries) is mendable


@pytest.mark.parametrize(
    ("method", "idempotent"),
    [
        ("GET", True),
        ("HEAD", True),
        ("PUT", True),
        ("DELETE", True),
        ("OPTIONS", True),
        ("TRACE", True),
        ("POST", False),
        ("PATCH", False),
        ("X-MINE", False),
    ],
)
def test_C04_a_lost_connection_is_tried_again_where_nothing_is_done_twice(method, idempotent):
    lost = failed(TransportError, RESET)
    assert again(lost, method) is idempotent
    assert again(lost, method, retry_unsafe=True)
    assert again(lost, method, retries=ANY)
    assert again(lost, method, retries=RetryPolicy(3)) is idempotent
    assert again(lost, method, retries=RetryPolicy(3), retry_unsafe=True)
    assert again(failed(TransportError, RESET, sent="nothing"), method)


@pytest.mark.parametrize("options", [{}, {"retry_unsafe": True}, {"retries": ANY}])
def test_a_payload_that_is_spent_is_never_tried_again(options):
    for error in (failed(TransportError, RESET), failed(ConnectError, REFUSED)):
        assert not again(error, "PUT", spent(), **options)
        assert again(error, "PUT", b"whole", **options)


@pytest.mark.parametrize("kind", [ConnectTimeout, IdleTimeout, TotalTimeout])
def test_C09_timeouts_are_not_tried_again_by_themselves(kind):
    assert not again(failed(kind))
    assert not again(failed(kind), retry_unsafe=True)


def test_C09_a_retry_asks_for_timeouts_by_the_names_of_its_counts():
    assert again(failed(ConnectTimeout), retries=RetryPolicy(3))
    assert not again(failed(ConnectTimeout), retries=RetryPolicy(3, connect=0))
    assert not again(failed(IdleTimeout), retries=RetryPolicy(3))
    assert again(failed(IdleTimeout), retries=RetryPolicy(3, read=1))
    assert not again(failed(IdleTimeout), "POST", retries=RetryPolicy(3, read=1))
    assert not again(failed(TotalTimeout), retries=RetryPolicy(3, read=3))


def test_what_began_as_an_answer_is_tried_again_only_where_a_retry_asks():
    for error in (
        failed(TransportError, RESET, response_started=True),
        failed(UnexpectedEOF),
        failed(BadStatusLine),
    ):
        assert not again(error)
        assert again(error, retries=RetryPolicy(3))
        assert not again(error, "POST", retries=RetryPolicy(3))
        assert not again(error, retries=RetryPolicy(3, read=0))


def test_a_peer_that_answered_has_had_its_say():
    request = request_of()
    late = failed(TransportError, RESET, response=HttpResponse.made(request, 200))
    assert counter().delay_after_error(request, late) is None


def test_what_broke_in_the_payloads_own_source_is_no_failure_of_this_request():
    assert not again(failed(TransportError, RESET, out_of_payload=True), "PUT", b"x")
    assert not again(failed(UnexpectedEOF, out_of_payload=True), "PUT", b"x", retries=ANY)


# How often


def counted(settings: Settings, *errors: Error) -> int:
    """How many of these failures, one after the other, are followed by another try."""
    request = request_of()
    tries = RetryCounter(settings.retry_policy())
    for number, error in enumerate(errors):
        if tries.delay_after_error(request, error) is None:
            return number
    return len(errors)


@given(st.integers(1, 8))
def test_max_tries_counts_the_first_one(most):
    settings = Settings(max_tries=most)
    assert counted(settings, *[failed(ConnectError, REFUSED)] * 10) == most - 1
    mixed = [failed(ConnectError, REFUSED), failed(TransportError, RESET)] * 5
    assert counted(settings, *mixed) == most - 1


LIMIT = st.one_of(st.none(), st.integers(0, 5))
KINDS = {
    "connect": failed(ConnectError, REFUSED),
    "read": failed(TransportError, RESET),
    "other": failed(TLSError, RESET),
}


@given(
    total=LIMIT,
    limits=st.fixed_dictionaries(dict.fromkeys(KINDS, LIMIT)),
    happens=st.lists(st.sampled_from(sorted(KINDS)), max_size=12),
)
def test_C09_the_counts_of_a_retry_are_counted_as_urllib3_counts_them(total, limits, happens):
    theirs = {
        "connect": urllib3.exceptions.ConnectTimeoutError(),
        "read": urllib3.exceptions.ProtocolError(),
        "other": urllib3.exceptions.SSLError(),
    }
    retry = Retry(total, **limits)
    retries = as_retries(retry)
    expected = 0
    for kind in happens:
        try:
            retry = retry.increment("GET", "/", error=theirs[kind])
        except urllib3.exceptions.MaxRetryError:
            break
        expected += 1
    ours = counted(Settings(max_tries=1, retries=retries), *[KINDS[kind] for kind in happens])
    assert ours == expected


@given(
    total=st.one_of(st.none(), st.integers(0, 4)),
    status=LIMIT,
    code=st.sampled_from([200, 413, 429, 500, 503]),
    method=st.sampled_from(["GET", "POST", "DELETE"]),
    methods=st.sampled_from([None, ["GET", "POST"], Retry.DEFAULT_ALLOWED_METHODS]),
    header=st.booleans(),
    respect=st.booleans(),
)
def test_C09_statuses_are_tried_again_as_urllib3_would(
    total, status, code, method, methods, header, respect
):
    retry = Retry(
        total,
        status=status,
        status_forcelist=[500],
        allowed_methods=methods,
        respect_retry_after_header=respect,
    )
    fields = {"Retry-After": "0"} if header else {}
    request, tries = request_of(method), counter(retries=as_retries(retry))
    answer = HttpResponse.made(request, code, fields)
    expected = 0
    theirs = urllib3.HTTPResponse(status=code)
    while expected < 8 and retry.is_retry(method, code, header):
        try:
            retry = retry.increment(method, "/", response=theirs)
        except urllib3.exceptions.MaxRetryError:
            break
        expected += 1
    ours = 0
    while ours < 8 and tries.delay_after_status(request, answer) is not None:
        ours += 1
    assert ours == expected


def test_without_a_retry_no_status_is_tried_again():
    request = request_of()
    answer = HttpResponse.made(request, 503, {"Retry-After": "0"})
    assert counter().delay_after_status(request, answer) is None


def test_a_number_waits_out_what_retry_after_says():
    request = request_of()
    tries = counter(retries=as_retries(2))
    busy = HttpResponse.made(request, 503, {"Retry-After": "4"})
    assert [tries.delay_after_status(request, busy) for _ in range(3)] == [4.0, 4.0, None]
    for status in (500, 503):
        plain = HttpResponse.made(request, status)
        assert counter(retries=as_retries(2)).delay_after_status(request, plain) is None


# How long before the next


def waits(settings: Settings, count: int) -> list[float]:
    request, tries = request_of(), RetryCounter(settings.retry_policy())
    error = failed(ConnectError, REFUSED)
    found = [tries.delay_after_error(request, error) for _ in range(count)]
    assert None not in found
    return [each for each in found if each is not None]


@given(
    wait=st.one_of(st.just(0.0), st.floats(0.001, 100)),
    most=st.floats(0, 1000),
    count=st.integers(1, 80),
)
def test_waits_grow_by_two_with_a_quarter_of_jitter_up_to_max_wait(wait, most, count):
    found = waits(Settings(max_tries=100, wait_tries=wait, max_wait=most), count)
    for number, seconds in enumerate(found):
        plain = wait * 2.0**number
        assert min(plain * 0.749, most) <= seconds <= min(plain * 1.251, most)


def test_no_two_clients_wait_in_step():
    assert len({waits(Settings(), 1)[0] for _ in range(20)}) > 1
    assert 0.2 < waits(Settings(), 1)[0] < 0.4


@given(
    factor=st.floats(0, 10), most=st.floats(0, 200), jitter=st.floats(0, 3), count=st.integers(1, 9)
)
def test_C09_a_retry_waits_as_urllib3_waits(factor, most, jitter, count):
    retry = Retry(10, backoff_factor=factor, backoff_max=most, backoff_jitter=jitter)
    found = waits(Settings(retries=as_retries(retry)), count)
    calm = Retry(10, backoff_factor=factor, backoff_max=most)
    for seconds in found:
        calm = calm.increment("GET", "/", error=urllib3.exceptions.ProtocolError())
        least = calm.get_backoff_time()
        assert least <= seconds <= min(most, least + jitter) + 1e-9


@given(seconds=st.integers(0, 200), most=st.integers(0, 200))
def test_C03_retry_after_is_obeyed_up_to_max_wait(seconds, most):
    request = request_of()
    answer = HttpResponse.made(request, 503, {"Retry-After": str(seconds)})
    pause = counter(retries=ANY, max_wait=float(most)).delay_after_status(request, answer)
    assert pause == (seconds if seconds <= most else None)


def test_C03_retry_after_that_cannot_be_read_waits_as_if_there_were_none():
    request = request_of()
    tries = counter(retries=ANY._replace(backoff_factor=1.0))
    answer = HttpResponse.made(request, 503, {"Retry-After": "soon"})
    assert [tries.delay_after_status(request, answer) for _ in range(3)] == [0.0, 2.0, 4.0]


def test_C09_a_retry_may_pass_over_retry_after():
    retries = ANY._replace(respect_retry_after=False, backoff_factor=0.0)
    request = request_of()
    answer = HttpResponse.made(request, 503, {"Retry-After": "1000"})
    assert counter(retries=retries).delay_after_status(request, answer) == 0.0


def test_C09_a_retry_may_bound_retry_after_by_itself():
    request = request_of()
    answer = HttpResponse.made(request, 503, {"Retry-After": "1000"})
    assert (
        counter(retries=ANY._replace(retry_after_max=2.0)).delay_after_status(request, answer)
        == 2.0
    )


# On the wire


@pytest.fixture
def client() -> Iterator[Client]:
    with Client(timeout=HANG_BOUND, wait_tries=0.001) as client:
        yield client


def drop(peer: Peer) -> None:
    """Take one whole request, and close without a word."""
    peer.read_request()


def serve(peer: Peer) -> None:
    peer.read_request()
    peer.send(OK)


def drop_the_second(peer: Peer) -> None:
    """Answer one request, and close without a word after the next."""
    peer.read_request()
    peer.send(OK)
    peer.read_request()


ROWS = [b"one ", b"two ", b"three"]
BODY = b"one two three"


def test_a_connection_that_is_refused_is_tried_three_times_altogether(client):
    with refusing() as port, pytest.raises(ConnectError, match="refused") as caught:
        client.get(f"http://127.0.0.1:{port}/")
    assert [type(each) for each in caught.value.history] == [ConnectError, ConnectError]
    assert caught.value.sent == "nothing"


@pytest.mark.parametrize("payload", [b"bytes", iter([b"by", b"tes"])], ids=["bytes", "iterator"])
def test_a_post_is_sent_when_there_is_a_connection_after_all(payload, client):
    asked = []

    def allowed(address: object) -> bool:
        asked.append(address)
        if len(asked) == 2:
            late.listen()
            answering.start()
        return True

    def answer() -> None:
        accepted, _ = late.accept()
        with accepted:
            accepted.settimeout(HANG_BOUND)
            while not came.endswith((b"bytes", b"0\r\n\r\n")):
                came.extend(accepted.recv(65536))
            accepted.sendall(OK)

    came = bytearray()
    answering = threading.Thread(target=answer)
    with socket.socket() as late:
        late.bind(("127.0.0.1", 0))
        late.settimeout(HANG_BOUND)
        url = f"http://127.0.0.1:{late.getsockname()[1]}/"
        got = client.post(url, payload, check_address=allowed)
        answering.join(HANG_BOUND)
    assert got.status == 200
    assert [type(each) for each in got.history] == [ConnectError]
    assert payload_of(bytes(came)) == b"bytes"


def test_W10_a_get_is_tried_again_after_a_drop_and_the_history_says_so(client):
    with ScriptedServer(drop, drop, serve) as server:
        got = client.get(server.url())
    assert got.body == b"ok"
    assert [type(each) for each in got.history] == [TransportError] * 2
    assert [each.status for each in got.history] == [None, None]
    assert len(server.requests) == 3


def test_W10_a_get_that_is_dropped_each_time_raises_the_last_error(client):
    with ScriptedServer(drop) as server, pytest.raises(TransportError) as caught:
        client.get(server.url())
    assert len(server.requests) == 3
    assert len(caught.value.history) == 2
    assert caught.value not in caught.value.history


def test_W10_a_post_that_is_dropped_is_raised_and_not_sent_again(client):
    with ScriptedServer(drop) as server, pytest.raises(TransportError) as caught:
        client.post(server.url(), b"once")
    assert len(server.requests) == 1
    assert (caught.value.sent, caught.value.history) == ("all", ())


def test_max_tries_of_one_is_one_try(client):
    with ScriptedServer(drop) as server, pytest.raises(TransportError):
        client.get(server.url(), max_tries=1)
    assert len(server.requests) == 1


def test_each_try_is_the_whole_payload(client):
    def refuse_half_way(peer: Peer) -> None:
        peer.read_until(b"\r\n\r\n")
        peer.reset()

    big = b"x" * (4 << 20)
    with ScriptedServer(refuse_half_way, drop, serve) as server:
        got = client.put(server.url(), big)
    assert got.status == 200
    assert [body_of(each) == big for each in server.requests] == [True, True]


def test_C04_a_post_on_a_rested_connection_is_raised_by_default(client):
    with ScriptedServer(drop_the_second, serve) as server:
        client.get(server.url())
        with pytest.raises(TransportError) as caught:
            client.post(server.url(), b"once")
    assert caught.value.sent == "all"
    assert len(server.requests) == 2


def test_C04_with_retry_unsafe_it_is_sent_again(client):
    with ScriptedServer(drop_the_second, serve) as server:
        client.get(server.url())
        got = client.post(server.url(), b"twice", retry_unsafe=True)
    assert got.body == b"ok"
    assert [body_of(each) for each in server.requests] == [b"", b"twice", b"twice"]


def test_C04_with_retry_unsafe_a_fresh_connection_that_drops_counts_as_a_try(client):
    with ScriptedServer(drop, serve) as server:
        got = client.post(server.url(), b"twice", retry_unsafe=True)
    assert [type(each) for each in got.history] == [TransportError]
    assert [body_of(each) for each in server.requests] == [b"twice", b"twice"]


def test_C04_what_can_be_sent_once_is_raised_even_so(client):
    with ScriptedServer(drop, serve) as server, pytest.raises(TransportError) as caught:
        client.post(server.url(), iter(ROWS), retry_unsafe=True)
    assert caught.value.history == ()
    assert len(server.requests) == 1


def test_P17_kept_as_it_goes_an_iterator_is_tried_again(client):
    with ScriptedServer(drop, serve) as server:
        got = client.put(server.url(), iter(ROWS), replay="spool")
    assert [type(each) for each in got.history] == [TransportError]
    assert [payload_of(each) for each in server.requests] == [BODY, BODY]


def test_P17_a_try_that_broke_half_way_goes_on_with_the_source(client):
    cut = threading.Event()
    asked = []

    def rows():
        for row in ROWS:
            asked.append(row)
            if row == ROWS[2]:
                assert cut.wait(HANG_BOUND)
            yield row

    def cut_off(peer: Peer) -> None:
        peer.read_until(b"two \r\n")
        peer.reset()
        cut.set()

    with ScriptedServer(cut_off, serve) as server:
        got = client.put(server.url(), rows(), replay="spool")
    assert got.status == 200
    assert payload_of(server.request) == BODY
    assert asked == ROWS


def test_P17_kept_as_it_goes_it_follows_a_redirect_that_keeps_the_method(client):
    moved = response(b"", "Location: /there", status="307 Temporary Redirect")
    with ScriptedServer.serving(moved, OK) as server:
        got = client.post(server.url(), iter(ROWS), replay="spool")
    assert got.status == 200
    assert [payload_of(each) for each in server.requests] == [BODY, BODY]


@pytest.mark.parametrize(
    "answer", [BUSY, response(b"", "Location: /x", status="308 Moved")], ids=["503", "308"]
)
def test_P17_without_it_a_second_attempt_sends_nothing(answer, client):
    with ScriptedServer.serving(answer, OK) as server:
        with pytest.raises(PayloadNotReplayable, match="replay='spool'") as caught:
            client.post(server.url(), iter(ROWS), retries=ANY)
        assert caught.value.status in (503, 308)
    assert len(server.requests) == 1


def test_P17_a_file_without_a_name_is_gone_after_the_call(client):
    with ScriptedServer(drop, serve) as server:
        client.put(server.url(), iter([b"x" * 1000] * 10), replay="spool", spool_size=100)
    assert [len(payload_of(each)) for each in server.requests] == [10_000, 10_000]


def test_C09_a_retry_tries_again_by_status_and_keeps_the_answers(client):
    retry = Retry(5, status_forcelist=[503], allowed_methods=None)
    with ScriptedServer.serving(BUSY, BUSY, OK) as server:
        got = client.post(server.url(), b"payload", retries=retry)
    assert got.body == b"ok"
    assert [each.status for each in got.history] == [503, 503]
    assert [body_of(each) for each in server.requests] == [b"payload"] * 3
    assert server.connections == 1


def test_C09_a_retry_that_is_used_up_leaves_the_last_answer(client):
    with ScriptedServer.serving(BUSY) as server:
        got = client.get(server.url(), retries=Retry(2, status_forcelist=[503]))
        assert (got.status, got.body) == (503, b"busy")
        assert len(got.history) == 2
    assert len(server.requests) == 3


def test_C09_the_allow_list_decides_about_methods(client):
    with ScriptedServer.serving(BUSY) as server:
        got = client.post(server.url(), b"x", retries=Retry(2, status_forcelist=[503]))
        assert (got.status, got.history) == (503, ())
        got = client.get(
            server.url(), retries=Retry(2, status_forcelist=[503], allowed_methods=["POST"])
        )
        assert (got.status, got.history) == (503, ())


@pytest.mark.parametrize(
    ("retry", "sent"),
    [
        (Retry(0), 1),
        (Retry(False), 1),
        (Retry(4), 5),
        (Retry(4, read=1), 2),
        (Retry(None, read=3), 4),
        (Retry(4, read=False), 1),
        (Retry(1, read=3), 2),
    ],
    ids=repr,
)
def test_C09_its_counts_rule_instead_of_max_tries(retry, sent, client):
    with ScriptedServer(drop) as server, pytest.raises(TransportError):
        client.get(server.url(), retries=retry)
    assert len(server.requests) == sent


@pytest.mark.parametrize(("retry", "tries"), [(Retry(4), 5), (Retry(4, connect=1), 2)], ids=repr)
def test_C09_connections_have_a_count_of_their_own(retry, tries, client):
    with refusing() as port, pytest.raises(ConnectError) as caught:
        client.get(f"http://127.0.0.1:{port}/", retries=retry)
    assert len(caught.value.history) == tries - 1


def test_C09_idle_timeouts_are_tried_again_only_when_asked(client):
    def silence(peer: Peer) -> None:
        peer.read_request()
        peer.read_to_end()

    brief = Timeout(connect=HANG_BOUND, idle=0.8)
    with ScriptedServer(silence) as server, pytest.raises(IdleTimeout):
        client.get(server.url(), timeout=brief, retries=Retry(3))
    assert len(server.requests) == 1
    with ScriptedServer(silence, serve) as server:
        got = client.get(server.url(), timeout=brief, retries=Retry(3, read=1))
    assert [type(each) for each in got.history] == [IdleTimeout]


def test_C09_connect_timeouts_are_tried_again_only_when_asked(client):
    with unanswering() as port:
        url, brief = f"http://127.0.0.1:{port}/", Timeout(connect=0.05, idle=HANG_BOUND)
        for options, tries in (({}, 1), ({"retries": Retry(connect=2)}, 3)):
            with pytest.raises(ConnectTimeout) as caught:
                client.get(url, timeout=brief, **options)
            assert len(caught.value.history) == tries - 1


def test_C09_redirects_are_followed_whatever_a_retry_says_of_them(client):
    moved = response(b"", "Location: /there", status="302 Found")
    with ScriptedServer.serving(moved, OK) as server:
        with pytest.warns(UserWarning, match="follow_redirect="):
            got = client.get(server.url(), retries=Retry(3, redirect=0, raise_on_status=False))
    assert got.status == 200


def busy_for(after: str) -> bytes:
    return response(b"busy", f"Retry-After: {after}", status="503 Service Unavailable")


def test_C03_retry_after_is_waited_for(client):
    with ScriptedServer.serving(busy_for("1"), OK) as server:
        began = time.monotonic()
        got = client.get(server.url(), retries=1)
        assert time.monotonic() - began > 0.9
    assert [each.status for each in got.history] == [503]


def test_C03_longer_than_max_wait_the_answer_is_returned_as_it_is(client):
    with ScriptedServer.serving(busy_for("61"), OK) as server:
        got = client.get(server.url(), retries=3)
        assert (got.status, got.body, got["retry-after"]) == (503, b"busy", "61")
    assert len(server.requests) == 1


def test_C03_a_date_far_off_is_longer_than_max_wait(client):
    with ScriptedServer.serving(busy_for("Fri, 31 Dec 9999 23:59:59 GMT")) as server:
        assert client.get(server.url(), retries=3).status == 503
    assert len(server.requests) == 1


def test_C03_a_wait_past_the_total_deadline_is_not_begun(client):
    brief = Timeout(connect=HANG_BOUND, idle=HANG_BOUND, total=HANG_BOUND)
    with ScriptedServer.serving(busy_for("50")) as server:
        got = client.get(server.url(), retries=3, timeout=brief)
        assert (got.status, got.body) == (503, b"busy")
    with ScriptedServer(drop) as server, pytest.raises(TransportError) as caught:
        client.get(server.url(), wait_tries=50, timeout=brief)
    assert caught.value.history == ()


def test_closing_the_client_ends_the_wait():
    asked = threading.Event()

    def tell(peer: Peer) -> None:
        peer.read_request()
        peer.send(busy_for("50"))
        asked.set()
        peer.read_to_end()

    with ScriptedServer(tell) as server, Client(timeout=HANG_BOUND) as client:
        ended: list[Error | HttpResponse] = []

        def call() -> None:
            try:
                ended.append(client.get(server.url(), retries=3))
            except Error as error:
                ended.append(error)

        thread = threading.Thread(target=call)
        thread.start()
        assert asked.wait(HANG_BOUND)
        client.close()
        thread.join(HANG_BOUND)
        assert not thread.is_alive()
        assert len(ended) == 1


def test_S11_the_loop_of_the_seed_sends_three_whole_bodies_and_ends_at_the_third(client):
    def rows() -> Iterator[bytes]:
        yield from ROWS

    error = response(b"", status="500 Internal Server Error")
    with ScriptedServer.serving(error, error, OK) as server:
        for _ in range(5):
            with client.post(server.url(), rows) as got:
                # Repeat on internal server error up to 4 more times
                if got.status < 500:
                    break
    assert got.status == 200
    assert [payload_of(each) for each in server.requests] == [BODY] * 3


def test_S11_a_retry_does_the_same_without_a_loop(client):
    def rows() -> Iterator[bytes]:
        yield from ROWS

    error = response(b"", status="500 Internal Server Error")
    retry = Retry(4, status_forcelist=[500], allowed_methods=None)
    with ScriptedServer.serving(error, error, OK) as server:
        got = client.post(server.url(), rows, retries=retry)
    assert [each.status for each in got.history] == [500, 500]
    assert [payload_of(each) for each in server.requests] == [BODY] * 3


def test_a_source_that_fails_is_never_tried_again(client):
    calls = []

    def rows() -> Iterator[bytes]:
        calls.append(1)
        yield b"some"
        raise ConnectionResetError(104, "the caller's own")

    with ScriptedServer(drop) as server:
        with pytest.raises(ConnectionResetError, match="the caller's own"):
            client.put(server.url(), rows, retries=ANY)
    assert calls == [1]


def test_a_payload_out_of_a_broken_answer_is_not_tried_again(client):
    broken = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort"

    def give(peer: Peer) -> None:
        peer.read_request()
        peer.send(broken)

    with ScriptedServer(give) as source, ScriptedServer(drop) as target:
        got = client.get(source.url())
        with pytest.raises(UnexpectedEOF):
            client.put(target.url(), got, replay="spool", retries=Retry(3, read=3))
        target.join()
    assert target.connections == 1


def test_a_request_is_handed_over_as_it_was(client):
    """What a try puts on its own copy of the request stays there."""
    with ScriptedServer(drop, serve) as server:
        got = client.get(server.url(), headers={"X-Mine": "1"}, auth=("user", "pass"))
    assert server.requests[0] == server.requests[1]
    assert got.status == 200


def test_a_call_that_failed_leaves_nothing_for_the_collector(client):
    # What hangs in a ring holds its payload's spool, and its source, until somebody collects.
    def fails() -> weakref.ref[TransportError] | None:
        try:
            client.get(server.url(), wait_tries=0)
        except TransportError as error:
            return weakref.ref(error)
        return None

    with ScriptedServer(Peer.read_request) as server:
        gc.collect()
        gc.disable()
        try:
            left = fails()
            assert left is not None
            assert left() is None
        finally:
            gc.enable()


@pytest.mark.parametrize(
    ("options", "sends"), [({"max_tries": 1}, 1), ({"retries": False}, 1), ({"wait_tries": 0}, 3)]
)
def test_on_rested_connections_too_a_request_is_sent_so_often_and_no_more(client, options, sends):
    def serve_and_read_the_next(peer: Peer) -> None:
        peer.read_request()
        peer.send(OK)
        peer.read_request()

    with ScriptedServer(serve_and_read_the_next, Peer.read_request) as server:
        client.get(server.url())
        with pytest.raises(TransportError):
            client.get(server.url(), **options)
        assert len(server.requests) == 1 + sends
