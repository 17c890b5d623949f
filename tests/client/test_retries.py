"""Retries: after which errors and responses, how often, and after which wait."""

from __future__ import annotations

import email.utils
import gc
import socket
import ssl
import threading
import time
import weakref
from collections.abc import Iterator

import pytest
import urllib3
from hypothesis import given
from hypothesis import strategies as st
from urllib3.util.retry import Retry

import restkit
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
    Timeout,
    TLSError,
    TotalTimeout,
    TransportError,
    UnexpectedEOF,
    as_payload,
    parse_url,
)
from restkit.client.options import Settings
from restkit.client.retries import RetryCounter, RetryPolicy, retry_after_seconds
from restkit.client.retry_option import as_retries
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


# Parsing Retry-After


def parsed_retry_after(value: str) -> float | None:
    return retry_after_seconds(Headers({"Retry-After": value}))


@pytest.mark.parametrize(
    ("value", "seconds"), [("0", 0), ("1", 1), ("120", 120), (" 7 ", 7), ("007", 7)]
)
def test_C03_retry_after_in_seconds_is_parsed(value, seconds):
    assert parsed_retry_after(value) == seconds


@pytest.mark.parametrize("value", ["", "soon", "-1", "1.5", "1, 2", "+3", "1e3", "0x1f"])
def test_C03_invalid_retry_after_is_ignored(value):
    assert parsed_retry_after(value) is None


def test_C03_missing_retry_after_is_none():
    assert retry_after_seconds(Headers()) is None


@pytest.mark.parametrize(
    "date", ["Sun, 06 Nov 10000 08:49:37 GMT", "-1 Nov GMT 1.2.3 +9999999999", "06 Nov 0 08:49:37"]
)
def test_C03_impossible_date_is_ignored(date):
    assert parsed_retry_after(date) in (None, 0.0)


def test_C03_huge_number_is_infinity():
    assert parsed_retry_after("9" * 5000) == float("inf")


# One moment in the three formats of RFC 9110 5.6.7, and in variants seen in practice.
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
def test_C03_every_http_date_format_is_parsed(date, monkeypatch):
    monkeypatch.setattr(time, "time", lambda: 784111777.0 - 90)
    far = 253402300799.0 - 784111777.0 if "9999" in date else 0.0
    assert parsed_retry_after(date) == far + 90


def test_C03_past_date_is_zero_seconds():
    assert parsed_retry_after("Sun, 06 Nov 1994 08:49:37 GMT") == 0.0


@given(st.integers(0, 10**9))
def test_C03_any_number_of_seconds_is_parsed(seconds):
    assert parsed_retry_after(str(seconds)) == seconds


@given(st.integers(0, 250_000_000_000))
def test_C03_any_date_is_parsed(moment):
    now = time.time()
    seconds = parsed_retry_after(email.utils.formatdate(moment, usegmt=True))
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
def test_C03_no_text_makes_the_parser_raise(value):
    seconds = parsed_retry_after(value)
    assert seconds is None or seconds >= 0


# Errors that are retried: the decision alone, without a socket


def request_of(method: str = "GET", payload: object = None) -> Request:
    return Request(method, parse_url("http://a.test/"), payload=as_payload(payload))


def counter(**options: object) -> RetryCounter:
    return Settings(**{"wait_tries": 0.0, **options}).count_retries()


def spent() -> object:
    payload = as_payload(iter([b"x"]))
    assert payload is not None
    list(payload)
    return payload


def failed(kind: type[Error], cause: BaseException | None = None, **attributes: object) -> Error:
    error = kind("failed", sent="nothing" if kind in (ConnectError, ConnectTimeout) else "all")
    error.__cause__ = cause
    for name, value in attributes.items():
        setattr(error, name, value)
    return error


def is_retried(
    error: Error, method: str = "GET", payload: object = None, **settings: object
) -> bool:
    request = request_of(method, payload)
    return counter(**settings).delay_after_error(request, error) is not None


REFUSED = ConnectionRefusedError(111, "Connection refused")
UNKNOWN = socket.gaierror(socket.EAI_NONAME, "Name or service not known")
NOT_NOW = socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
RESET = ConnectionResetError(104, "Connection reset by peer")
CERTIFICATE = ssl.SSLCertVerificationError(1, "certificate has expired")


@pytest.mark.parametrize("method", ["GET", "POST", "PATCH", "X-MINE"])
def test_failed_connection_is_retried_for_any_method(method):
    assert is_retried(failed(ConnectError, REFUSED), method)
    assert is_retried(failed(ConnectError, REFUSED), method, b"payload")
    assert is_retried(failed(ConnectError, REFUSED), method, iter([b"not yet asked for"]))


RETRYABLE = {
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
@pytest.mark.parametrize("what", RETRYABLE)
def test_permanent_errors_are_not_retried(what, retries):
    kind, cause, retryable = RETRYABLE[what]
    assert is_retried(failed(kind, cause, sent="nothing"), retries=retries) is retryable


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
def test_C04_lost_connection_is_retried_for_idempotent_methods(method, idempotent):
    lost = failed(TransportError, RESET)
    assert is_retried(lost, method) is idempotent
    assert is_retried(lost, method, retry_unsafe=True)
    assert is_retried(lost, method, retries=ANY)
    assert is_retried(lost, method, retries=RetryPolicy(3)) is idempotent
    assert is_retried(lost, method, retries=RetryPolicy(3), retry_unsafe=True)
    assert is_retried(failed(TransportError, RESET, sent="nothing"), method)


@pytest.mark.parametrize("options", [{}, {"retry_unsafe": True}, {"retries": ANY}])
def test_consumed_payload_is_never_retried(options):
    for error in (failed(TransportError, RESET), failed(ConnectError, REFUSED)):
        assert not is_retried(error, "PUT", spent(), **options)
        assert is_retried(error, "PUT", b"whole", **options)


@pytest.mark.parametrize("kind", [ConnectTimeout, IdleTimeout, TotalTimeout])
def test_C09_timeouts_are_not_retried_by_default(kind):
    assert not is_retried(failed(kind))
    assert not is_retried(failed(kind), retry_unsafe=True)


def test_C09_retries_cover_timeouts_except_the_total():
    assert is_retried(failed(ConnectTimeout), retries=RetryPolicy(3))
    assert not is_retried(failed(ConnectTimeout), retries=RetryPolicy(3, connect=0))
    assert is_retried(failed(IdleTimeout), retries=RetryPolicy(3))
    assert not is_retried(failed(IdleTimeout), retries=RetryPolicy(3, read=0))
    assert not is_retried(failed(IdleTimeout), "POST", retries=RetryPolicy(3))
    assert not is_retried(failed(TotalTimeout), retries=RetryPolicy(3, read=3))


def test_started_response_is_retried_only_with_a_retry_policy():
    for error in (
        failed(TransportError, RESET, response_started=True),
        failed(UnexpectedEOF),
        failed(BadStatusLine),
    ):
        assert not is_retried(error)
        assert is_retried(error, retries=RetryPolicy(3))
        assert not is_retried(error, "POST", retries=RetryPolicy(3))
        assert not is_retried(error, retries=RetryPolicy(3, read=0))


def test_error_with_a_response_is_not_retried():
    request = request_of()
    late = failed(TransportError, RESET, response=HttpResponse.made(request, 200))
    assert counter().delay_after_error(request, late) is None


def test_error_from_the_payload_source_is_not_retried():
    assert not is_retried(failed(TransportError, RESET, out_of_payload=True), "PUT", b"x")
    assert not is_retried(failed(UnexpectedEOF, out_of_payload=True), "PUT", b"x", retries=ANY)


# Number of attempts


def retry_count(settings: Settings, *errors: Error) -> int:
    """Return how many of these consecutive errors are followed by another attempt."""
    request = request_of()
    attempts = settings.count_retries()
    for number, error in enumerate(errors):
        if attempts.delay_after_error(request, error) is None:
            return number
    return len(errors)


@given(st.integers(1, 8))
def test_max_tries_includes_the_first_attempt(limit):
    settings = Settings(max_tries=limit)
    assert retry_count(settings, *[failed(ConnectError, REFUSED)] * 10) == limit - 1
    mixed = [failed(ConnectError, REFUSED), failed(TransportError, RESET)] * 5
    assert retry_count(settings, *mixed) == limit - 1


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
def test_C09_retry_counts_match_urllib3(total, limits, happens):
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
    ours = retry_count(Settings(max_tries=1, retries=retries), *[KINDS[kind] for kind in happens])
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
def test_C09_status_retries_match_urllib3(total, status, code, method, methods, header, respect):
    retry = Retry(
        total,
        status=status,
        status_forcelist=[500],
        allowed_methods=methods,
        respect_retry_after_header=respect,
    )
    fields = {"Retry-After": "0"} if header else {}
    request, attempts = request_of(method), counter(retries=as_retries(retry))
    http_response = HttpResponse.made(request, code, fields)
    expected = 0
    theirs = urllib3.HTTPResponse(status=code)
    while expected < 8 and retry.is_retry(method, code, header):
        try:
            retry = retry.increment(method, "/", response=theirs)
        except urllib3.exceptions.MaxRetryError:
            break
        expected += 1
    ours = 0
    while ours < 8 and attempts.delay_after_status(request, http_response) is not None:
        ours += 1
    assert ours == expected


def test_statuses_are_not_retried_by_default():
    request = request_of()
    http_response = HttpResponse.made(request, 503, {"Retry-After": "0"})
    assert counter().delay_after_status(request, http_response) is None


def test_number_of_retries_applies_to_retry_after():
    request = request_of()
    attempts = counter(retries=as_retries(2))
    busy = HttpResponse.made(request, 503, {"Retry-After": "4"})
    assert [attempts.delay_after_status(request, busy) for _ in range(3)] == [4.0, 4.0, None]
    for status in (413, 429, 500):
        plain = HttpResponse.made(request, status)
        assert counter(retries=as_retries(2)).delay_after_status(request, plain) is None


# Waits between attempts


def waits(settings: Settings, count: int) -> list[float]:
    request, attempts = request_of(), settings.count_retries()
    error = failed(ConnectError, REFUSED)
    found = [attempts.delay_after_error(request, error) for _ in range(count)]
    assert None not in found
    return [each for each in found if each is not None]


@given(
    wait=st.one_of(st.just(0.0), st.floats(0.001, 100)),
    limit=st.floats(0, 1000),
    count=st.integers(1, 80),
)
def test_waits_double_with_jitter_up_to_max_wait(wait, limit, count):
    found = waits(Settings(max_tries=100, wait_tries=wait, max_wait=limit), count)
    for number, seconds in enumerate(found):
        plain = wait * 2.0**number
        assert min(plain * 0.749, limit) <= seconds <= min(plain * 1.251, limit)


def test_waits_differ_between_clients():
    assert len({waits(Settings(), 1)[0] for _ in range(20)}) > 1
    assert 0.2 < waits(Settings(), 1)[0] < 0.4


@given(
    factor=st.floats(0, 10),
    limit=st.floats(0, 200),
    jitter=st.floats(0, 3),
    count=st.integers(1, 9),
)
def test_C09_retry_waits_match_urllib3(factor, limit, jitter, count):
    retry = Retry(10, backoff_factor=factor, backoff_max=limit, backoff_jitter=jitter)
    found = waits(Settings(retries=as_retries(retry)), count)
    calm = Retry(10, backoff_factor=factor, backoff_max=limit)
    for seconds in found:
        calm = calm.increment("GET", "/", error=urllib3.exceptions.ProtocolError())
        least = calm.get_backoff_time()
        assert least <= seconds <= min(limit, least + jitter) + 1e-9


@given(seconds=st.integers(0, 200), limit=st.integers(0, 200))
def test_C03_retry_after_is_obeyed_up_to_max_wait(seconds, limit):
    request = request_of()
    http_response = HttpResponse.made(request, 503, {"Retry-After": str(seconds)})
    pause = counter(retries=ANY, max_wait=float(limit)).delay_after_status(request, http_response)
    assert pause == (seconds if seconds <= limit else None)


def test_C03_invalid_retry_after_uses_the_backoff():
    request = request_of()
    attempts = counter(retries=ANY._replace(backoff_factor=1.0))
    http_response = HttpResponse.made(request, 503, {"Retry-After": "soon"})
    assert [attempts.delay_after_status(request, http_response) for _ in range(3)] == [
        0.0,
        2.0,
        4.0,
    ]


def test_C09_retry_can_ignore_retry_after():
    retries = ANY._replace(respect_retry_after=False, backoff_factor=0.0)
    request = request_of()
    http_response = HttpResponse.made(request, 503, {"Retry-After": "1000"})
    assert counter(retries=retries).delay_after_status(request, http_response) == 0.0


def test_C09_retry_can_limit_retry_after():
    request = request_of()
    http_response = HttpResponse.made(request, 503, {"Retry-After": "1000"})
    assert (
        counter(retries=ANY._replace(retry_after_max=2.0)).delay_after_status(
            request, http_response
        )
        == 2.0
    )


# On the wire


@pytest.fixture
def client() -> Iterator[Client]:
    with Client(timeout=HANG_BOUND, wait_tries=0.001) as client:
        yield client


def drop(peer: Peer) -> None:
    """Read one whole request, and close without a response."""
    peer.read_request()


def serve(peer: Peer) -> None:
    peer.read_request()
    peer.send(OK)


def drop_the_second(peer: Peer) -> None:
    """Respond to one request, and close without a response after the second."""
    peer.read_request()
    peer.send(OK)
    peer.read_request()


ROWS = [b"one ", b"two ", b"three"]
BODY = b"one two three"


def test_refused_connection_is_tried_three_times(client):
    with refusing() as port, pytest.raises(ConnectError, match="refused") as caught:
        client.get(f"http://127.0.0.1:{port}/")
    assert [type(each) for each in caught.value.history] == [ConnectError, ConnectError]
    assert caught.value.sent == "nothing"


@pytest.mark.parametrize("payload", [b"bytes", iter([b"by", b"tes"])], ids=["bytes", "iterator"])
def test_post_is_sent_when_the_second_connection_succeeds(payload, client):
    addresses = []

    def allowed(address: object) -> bool:
        addresses.append(address)
        if len(addresses) == 2:
            late.listen()
            responding.start()
        return True

    def respond() -> None:
        accepted, _ = late.accept()
        with accepted:
            accepted.settimeout(HANG_BOUND)
            while not received.endswith((b"bytes", b"0\r\n\r\n")):
                received.extend(accepted.recv(65536))
            accepted.sendall(OK)

    received = bytearray()
    responding = threading.Thread(target=respond)
    with socket.socket() as late:
        late.bind(("127.0.0.1", 0))
        late.settimeout(HANG_BOUND)
        url = f"http://127.0.0.1:{late.getsockname()[1]}/"
        got = client.post(url, payload, check_address=allowed)
        responding.join(HANG_BOUND)
    assert got.status == 200
    assert [type(each) for each in got.history] == [ConnectError]
    assert payload_of(bytes(received)) == b"bytes"


def test_W10_dropped_get_is_retried_and_listed_in_history(client):
    with ScriptedServer(drop, drop, serve) as server:
        got = client.get(server.url())
    assert got.body == b"ok"
    assert [type(each) for each in got.history] == [TransportError] * 2
    assert [each.status for each in got.history] == [None, None]
    assert len(server.requests) == 3


def test_W10_get_dropped_every_time_raises_the_last_error(client):
    with ScriptedServer(drop) as server, pytest.raises(TransportError) as caught:
        client.get(server.url())
    assert len(server.requests) == 3
    assert len(caught.value.history) == 2
    assert caught.value not in caught.value.history


def test_W10_dropped_post_raises_and_is_not_resent(client):
    with ScriptedServer(drop) as server, pytest.raises(TransportError) as caught:
        client.post(server.url(), b"once")
    assert len(server.requests) == 1
    assert (caught.value.sent, caught.value.history) == ("all", ())


def test_max_tries_of_one_makes_one_attempt(client):
    with ScriptedServer(drop) as server, pytest.raises(TransportError):
        client.get(server.url(), max_tries=1)
    assert len(server.requests) == 1


def test_each_attempt_sends_the_whole_payload(client):
    def refuse_half_way(peer: Peer) -> None:
        peer.read_until(b"\r\n\r\n")
        peer.reset()

    big = b"x" * (4 << 20)
    with ScriptedServer(refuse_half_way, drop, serve) as server:
        got = client.put(server.url(), big)
    assert got.status == 200
    assert [body_of(each) == big for each in server.requests] == [True, True]


def test_C04_dropped_post_on_idle_connection_raises_by_default(client):
    with ScriptedServer(drop_the_second, serve) as server:
        client.get(server.url())
        with pytest.raises(TransportError) as caught:
            client.post(server.url(), b"once")
    assert caught.value.sent == "all"
    assert len(server.requests) == 2


def test_C04_retry_unsafe_resends_post_after_idle_connection_drop(client):
    with ScriptedServer(drop_the_second, serve) as server:
        client.get(server.url())
        got = client.post(server.url(), b"twice", retry_unsafe=True)
    assert got.body == b"ok"
    assert [body_of(each) for each in server.requests] == [b"", b"twice", b"twice"]


def test_C04_retry_unsafe_resends_post_after_new_connection_drop(client):
    with ScriptedServer(drop, serve) as server:
        got = client.post(server.url(), b"twice", retry_unsafe=True)
    assert [type(each) for each in got.history] == [TransportError]
    assert [body_of(each) for each in server.requests] == [b"twice", b"twice"]


def test_C04_retry_unsafe_does_not_resend_an_iterator(client):
    with ScriptedServer(drop, serve) as server, pytest.raises(TransportError) as caught:
        client.post(server.url(), iter(ROWS), retry_unsafe=True)
    assert caught.value.history == ()
    assert len(server.requests) == 1


def test_P17_spooled_iterator_is_retried(client):
    with ScriptedServer(drop, serve) as server:
        got = client.put(server.url(), iter(ROWS), replay="spool")
    assert [type(each) for each in got.history] == [TransportError]
    assert [payload_of(each) for each in server.requests] == [BODY, BODY]


def test_P17_retry_after_partial_sending_reads_the_source_once(client):
    cut = threading.Event()
    rows_read = []

    def rows():
        for row in ROWS:
            rows_read.append(row)
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
    assert rows_read == ROWS


def test_P17_spooled_iterator_follows_a_307_redirect(client):
    moved = response(b"", "Location: /there", status="307 Temporary Redirect")
    with ScriptedServer.serving(moved, OK) as server:
        got = client.post(server.url(), iter(ROWS), replay="spool")
    assert got.status == 200
    assert [payload_of(each) for each in server.requests] == [BODY, BODY]


@pytest.mark.parametrize(
    "http_response", [BUSY, response(b"", "Location: /x", status="308 Moved")], ids=["503", "308"]
)
def test_P17_iterator_without_spool_is_not_resent(http_response, client):
    with ScriptedServer.serving(http_response, OK) as server:
        with pytest.raises(PayloadNotReplayable, match="replay='spool'") as caught:
            client.post(server.url(), iter(ROWS), retries=ANY)
        assert caught.value.status in (503, 308)
    assert len(server.requests) == 1


def test_P17_payload_above_spool_size_is_retried(client):
    with ScriptedServer(drop, serve) as server:
        client.put(server.url(), iter([b"x" * 1000] * 10), replay="spool", spool_size=100)
    assert [len(payload_of(each)) for each in server.requests] == [10_000, 10_000]


def test_C09_status_retries_keep_responses_in_history(client):
    retry = Retry(5, status_forcelist=[503], allowed_methods=None)
    with ScriptedServer.serving(BUSY, BUSY, OK) as server:
        got = client.post(server.url(), b"payload", retries=retry)
    assert got.body == b"ok"
    assert [each.status for each in got.history] == [503, 503]
    assert [body_of(each) for each in server.requests] == [b"payload"] * 3
    assert server.connections == 1


def test_C09_exhausted_retries_return_the_last_response(client):
    with ScriptedServer.serving(BUSY) as server:
        got = client.get(server.url(), retries=Retry(2, status_forcelist=[503]))
        assert (got.status, got.body) == (503, b"busy")
        assert len(got.history) == 2
    assert len(server.requests) == 3


def test_C09_allowed_methods_decide_which_methods_retry(client):
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
def test_C09_retry_counts_override_max_tries(retry, sent, client):
    with ScriptedServer(drop) as server, pytest.raises(TransportError):
        client.get(server.url(), retries=retry)
    assert len(server.requests) == sent


@pytest.mark.parametrize(("retry", "attempts"), [(Retry(4), 5), (Retry(4, connect=1), 2)], ids=repr)
def test_C09_connect_errors_have_their_own_count(retry, attempts, client):
    with refusing() as port, pytest.raises(ConnectError) as caught:
        client.get(f"http://127.0.0.1:{port}/", retries=retry)
    assert len(caught.value.history) == attempts - 1


def silence(peer: Peer) -> None:
    peer.read_request()
    peer.read_to_end()


@pytest.mark.parametrize("retries", [Retry(3), Retry(3, read=1), 3, restkit.Retry(3)], ids=repr)
def test_C09_retries_cover_read_timeouts_of_idempotent_methods_as_urllib3_does(retries, client):
    brief = Timeout(connect=HANG_BOUND, idle=0.8)
    with ScriptedServer(silence, serve) as server:
        got = client.get(server.url(), timeout=brief, retries=retries)
    assert [type(each) for each in got.history] == [IdleTimeout]
    assert got.tries == 2


@pytest.mark.parametrize("retries", [Retry(3, read=0), Retry(3, read=False), None, 0], ids=repr)
def test_C09_read_timeout_is_not_retried_without_a_read_count(retries, client):
    brief = Timeout(connect=HANG_BOUND, idle=0.8)
    with ScriptedServer(silence) as server, pytest.raises(IdleTimeout) as caught:
        client.get(server.url(), timeout=brief, retries=retries)
    assert len(server.requests) == 1
    assert caught.value.tries == 1


def test_C09_read_timeout_of_a_post_is_not_retried_unless_urllib3_retry_allows_post(client):
    brief = Timeout(connect=HANG_BOUND, idle=0.8)
    with ScriptedServer(silence) as server, pytest.raises(IdleTimeout):
        client.post(server.url(), b"once", timeout=brief, retries=Retry(3))
    assert len(server.requests) == 1
    with ScriptedServer(silence, serve) as server:
        retries = Retry(3, allowed_methods=["POST"])
        got = client.post(server.url(), b"twice", timeout=brief, retries=retries)
    assert got.status == 200
    assert [body_of(each) for each in server.requests] == [b"twice", b"twice"]


def test_C09_connect_timeout_is_retried_only_with_a_retry(client):
    with unanswering() as port:
        url, brief = f"http://127.0.0.1:{port}/", Timeout(connect=0.05, idle=HANG_BOUND)
        for options, attempts in (({}, 1), ({"retries": Retry(connect=2)}, 3)):
            with pytest.raises(ConnectTimeout) as caught:
                client.get(url, timeout=brief, **options)
            assert len(caught.value.history) == attempts - 1


def test_C09_redirect_count_of_a_retry_is_ignored(client):
    moved = response(b"", "Location: /there", status="302 Found")
    with ScriptedServer.serving(moved, OK) as server:
        with pytest.warns(UserWarning, match="follow_redirect="):
            got = client.get(server.url(), retries=Retry(3, redirect=0, raise_on_status=False))
    assert got.status == 200


def busy_for(after: str) -> bytes:
    return response(b"busy", f"Retry-After: {after}", status="503 Service Unavailable")


def test_C03_retry_waits_for_retry_after(client):
    with ScriptedServer.serving(busy_for("1"), OK) as server:
        began = time.monotonic()
        got = client.get(server.url(), retries=1)
        assert time.monotonic() - began > 0.9
    assert [each.status for each in got.history] == [503]


def test_C03_retry_after_above_max_wait_returns_the_response(client):
    with ScriptedServer.serving(busy_for("61"), OK) as server:
        got = client.get(server.url(), retries=3)
        assert (got.status, got.body, got["retry-after"]) == (503, b"busy", "61")
    assert len(server.requests) == 1


def test_C03_distant_retry_after_date_returns_the_response(client):
    with ScriptedServer.serving(busy_for("Fri, 31 Dec 9999 23:59:59 GMT")) as server:
        assert client.get(server.url(), retries=3).status == 503
    assert len(server.requests) == 1


def test_C03_wait_past_the_total_deadline_is_not_started(client):
    brief = Timeout(connect=HANG_BOUND, idle=HANG_BOUND, total=HANG_BOUND)
    with ScriptedServer.serving(busy_for("50")) as server:
        got = client.get(server.url(), retries=3, timeout=brief)
        assert (got.status, got.body) == (503, b"busy")
    with ScriptedServer(drop) as server, pytest.raises(TransportError) as caught:
        # Above the total even with the least jitter, and below the limit max_wait.
        client.get(server.url(), wait_tries=2 * HANG_BOUND, timeout=brief)
    assert caught.value.history == ()


def test_closing_the_client_ends_the_wait():
    response_sent = threading.Event()

    def respond_busy(peer: Peer) -> None:
        peer.read_request()
        peer.send(busy_for("50"))
        response_sent.set()
        peer.read_to_end()

    with ScriptedServer(respond_busy) as server, Client(timeout=HANG_BOUND) as client:
        ended: list[Error | HttpResponse] = []

        def call() -> None:
            try:
                ended.append(client.get(server.url(), retries=3))
            except Error as error:
                ended.append(error)

        thread = threading.Thread(target=call)
        thread.start()
        assert response_sent.wait(HANG_BOUND)
        client.close()
        thread.join(HANG_BOUND)
        assert not thread.is_alive()
        assert len(ended) == 1


def test_S11_retry_loop_of_the_caller_sends_whole_bodies(client):
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


def test_S11_retry_policy_sends_whole_bodies_without_a_loop(client):
    def rows() -> Iterator[bytes]:
        yield from ROWS

    error = response(b"", status="500 Internal Server Error")
    retry = Retry(4, status_forcelist=[500], allowed_methods=None)
    with ScriptedServer.serving(error, error, OK) as server:
        got = client.post(server.url(), rows, retries=retry)
    assert [each.status for each in got.history] == [500, 500]
    assert [payload_of(each) for each in server.requests] == [BODY] * 3


def test_failing_payload_source_is_never_retried(client):
    calls = []

    def rows() -> Iterator[bytes]:
        calls.append(1)
        yield b"some"
        raise ConnectionResetError(104, "the caller's own")

    with ScriptedServer(drop) as server:
        with pytest.raises(ConnectionResetError, match="the caller's own"):
            client.put(server.url(), rows, retries=ANY)
    assert calls == [1]


def test_payload_from_a_broken_response_is_not_retried(client):
    broken = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort"

    def send_broken(peer: Peer) -> None:
        peer.read_request()
        peer.send(broken)

    with ScriptedServer(send_broken) as source, ScriptedServer(drop) as target:
        got = client.get(source.url())
        with pytest.raises(UnexpectedEOF):
            client.put(target.url(), got, replay="spool", retries=Retry(3, read=3))
        target.join()
    assert target.connections == 1


def test_attempts_do_not_change_the_request(client):
    """Each attempt adds headers to its own copy of the request."""
    with ScriptedServer(drop, serve) as server:
        got = client.get(server.url(), headers={"X-Mine": "1"}, auth=("user", "pass"))
    assert server.requests[0] == server.requests[1]
    assert got.status == 200


def test_failed_call_leaves_no_reference_cycle(client):
    # A reference cycle would keep the payload's spool and source until a garbage collection.
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
def test_idle_connection_drops_respect_the_attempt_limit(client, options, sends):
    def serve_and_read_the_next(peer: Peer) -> None:
        peer.read_request()
        peer.send(OK)
        peer.read_request()

    with ScriptedServer(serve_and_read_the_next, Peer.read_request) as server:
        client.get(server.url())
        with pytest.raises(TransportError):
            client.get(server.url(), **options)
        assert len(server.requests) == 1 + sends
