"""The option retries=: a number, restkit.Retry, urllib3's Retry, and the tries that follow."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator

import pytest
import urllib3
from urllib3.util.retry import Retry as Urllib3Retry

import restkit
from restkit import (
    Client,
    ConnectError,
    Error,
    PayloadNotReplayable,
    RequestError,
    RequestFailed,
    Resource,
    Retry,
    Timeout,
    TransportError,
)
from restkit.client.retries import RetryPolicy
from restkit.client.retry_option import as_retries
from support import ScriptedServer, body_of, payload_of, refusing, response
from support.peer import HANG_BOUND, Peer

ANY = RetryPolicy(None, statuses=frozenset((500, 503)), methods=None)
OK = response(b"ok")
BUSY = response(b"busy", status="503 Service Unavailable")
BAD_GATEWAY = response(b"bad", status="502 Bad Gateway")
ROWS = [b"one ", b"two ", b"three"]


@pytest.fixture
def client() -> Iterator[Client]:
    with Client(timeout=HANG_BOUND, wait_tries=0.001) as client:
        yield client


def drop(peer: Peer) -> None:
    """Read one whole request, and close without a response."""
    peer.read_request()


# restkit.Retry as a value


def test_retry_has_the_documented_defaults():
    retry = Retry()
    assert (retry.total, retry.status) == (3, {502, 503, 504})
    assert retry.methods == {"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"}
    assert (retry.backoff, retry.max_wait, retry.respect_retry_after) == (None, None, True)


def test_retry_accepts_one_status_and_one_method():
    retry = Retry(1, status=429, methods="post")
    assert (retry.status, retry.methods) == ({429}, {"POST"})
    assert Retry(status=()).status == frozenset()


def test_retry_is_frozen():
    retry = Retry(3)
    with pytest.raises(AttributeError, match="a Retry is immutable: total cannot be set"):
        retry.total = 4
    with pytest.raises(AttributeError, match="a Retry is immutable: total cannot be deleted"):
        del retry.total
    assert retry.total == 3


@pytest.mark.parametrize(
    "retry",
    [
        Retry(),
        Retry(0, status=(), methods=["GET", "POST"]),
        Retry(5, backoff=1.5, max_wait=7, respect_retry_after=False, status=500),
    ],
    ids=repr,
)
def test_retry_pickles_and_its_repr_makes_it_again(retry):
    for again in (pickle.loads(pickle.dumps(retry)), copy.deepcopy(retry), eval(repr(retry))):
        assert again == retry
        assert hash(again) == hash(retry)
    assert retry != Retry(9)
    assert retry != 3


def test_retry_repr_shows_what_differs_from_the_defaults():
    assert repr(Retry()) == "Retry(3, status=(502, 503, 504))"
    assert repr(Retry(2, status=429, methods=["POST", "GET"], backoff=0.5, max_wait=9)) == (
        "Retry(2, status=(429,), methods=('GET', 'POST'), backoff=0.5, max_wait=9)"
    )
    assert repr(Retry(respect_retry_after=False)).endswith(", respect_retry_after=False)")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"total": -1}, "Retry: total must be a whole number, 0 or more; got -1"),
        ({"total": True}, "total must be a whole number"),
        ({"total": None}, "Retry: total must be a whole number, 0 or more; got None"),
        ({"total": 2.0}, "total must be a whole number"),
        ({"status": "503"}, "status must be status codes from 200 to 599; got '503'"),
        ({"status": [503, "504"]}, "status must be status codes"),
        ({"status": [99]}, "status must be status codes"),
        ({"status": None}, "status must be status codes"),
        ({"status": [True]}, "status must be status codes"),
        ({"methods": None}, "methods must be names of methods; got None"),
        ({"methods": [b"GET"]}, "methods must be names"),
        ({"methods": ["G T"]}, "method"),
        ({"backoff": -1}, "backoff must be a number of seconds from 0 to 1e[+]09; got -1"),
        ({"backoff": "1s"}, "backoff must be a number of seconds"),
        ({"backoff": float("nan")}, "backoff must be a number of seconds"),
        ({"backoff": True}, "backoff must be a number of seconds"),
        ({"max_wait": float("inf")}, "max_wait must be a number of seconds"),
        ({"respect_retry_after": 1}, "respect_retry_after must be True or False; got 1"),
    ],
    ids=repr,
)
def test_invalid_retry_raises_a_clear_error(options, message):
    with pytest.raises(RequestError, match=message):
        Retry(**options)


def test_importing_restkit_and_using_its_retry_does_not_import_urllib3_retry():
    program = (
        "import sys, restkit\n"
        "restkit.Retry(3)\n"
        "assert not [name for name in sys.modules if name.startswith('urllib3')]\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


# Conversion of retries=


def test_C09_number_is_the_count_of_retries():
    assert as_retries(None) is None
    assert as_retries(3) == as_retries(Retry(3))
    assert as_retries(0) == as_retries(Retry(0))
    assert as_retries(False) == RetryPolicy(0)
    assert as_retries(ANY) is ANY


@pytest.mark.parametrize(
    "value", [-1, True, 2.5, "3", (1, 2), urllib3.Timeout(3), Retry, Urllib3Retry]
)
def test_C09_invalid_retries_raises_naming_valid_types(value):
    with pytest.raises(RequestError, match=r"retries must be a number of retries .*Retry"):
        as_retries(value)


def test_C09_retry_is_converted_with_all_settings():
    given = Urllib3Retry(
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


def test_C09_retry_counts_can_be_none_or_false():
    taken = as_retries(Urllib3Retry(total=None, connect=False, read=None, allowed_methods=None))
    assert taken is not None
    assert taken[:5] == (None, 0, None, None, None)
    assert taken.methods is None
    assert as_retries(Urllib3Retry(False)) == as_retries(Urllib3Retry(0))


def test_C09_default_methods_are_those_of_urllib3():
    taken = as_retries(Urllib3Retry())
    assert taken is not None
    assert taken.methods == Urllib3Retry.DEFAULT_ALLOWED_METHODS == RetryPolicy(0).methods
    assert taken.retry_after_statuses == RetryPolicy(0).retry_after_statuses


def test_C09_subclass_of_retry_is_converted():
    class Ours(Urllib3Retry):
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
        ({"remove_headers_on_redirect": ["x-mine"]}, "remove_headers_on_redirect of"),
    ],
)
def test_C09_ignored_retry_settings_give_a_warning(given, named):
    with pytest.warns(UserWarning, match=named) as caught:
        as_retries(Urllib3Retry(3, **given))
    assert len(caught) == 1
    assert caught[0].filename == __file__


def test_C09_overridden_methods_of_a_urllib3_retry_are_named_in_the_warning():
    class Ours(Urllib3Retry):
        def get_backoff_time(self):
            return 5.0

    with pytest.warns(
        UserWarning, match=r"restkit ignores get_backoff_time\(\) of urllib3's Retry"
    ):
        as_retries(Ours(3))


def test_C09_retry_without_ignored_settings_gives_no_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for plain in (Urllib3Retry(), Urllib3Retry(3, status_forcelist=[500]), Urllib3Retry(False)):
            as_retries(plain)


# On the wire


def test_retries_3_retries_502_503_504_of_idempotent_methods_by_default(client):
    timed_out = response(b"slow", status="504 Gateway Timeout")
    with ScriptedServer.serving(BAD_GATEWAY, BUSY, timed_out, OK) as server:
        got = client.put(server.url(), b"whole", retries=3)
    assert (got.status, got.tries) == (200, 4)
    assert [each.status for each in got.history] == [502, 503, 504]
    assert [body_of(each) for each in server.requests] == [b"whole"] * 4
    assert server.connections == 1


def test_retries_3_does_not_retry_other_statuses_or_methods(client):
    error = response(b"", status="500 Internal Server Error")
    with ScriptedServer.serving(error) as server:
        got = client.get(server.url(), retries=3)
        assert (got.status, got.tries, got.history) == (500, 1, ())
    with ScriptedServer.serving(BUSY) as server:
        got = client.post(server.url(), b"once", retries=3)
        assert (got.status, got.tries, got.history) == (503, 1, ())
    assert len(server.requests) == 1


def test_final_503_after_all_tries_is_returned_with_their_number(client):
    with ScriptedServer.serving(BUSY) as server:
        got = client.get(server.url(), retries=Retry(2))
        assert (got.status, got.body, got.tries) == (503, b"busy", 3)
        with pytest.raises(RequestFailed, match=r"503 Service Unavailable \(3 tries\)$") as caught:
            got.raise_for_status()
    assert (caught.value.tries, len(caught.value.history)) == (3, 2)
    assert len(server.requests) == 3
    again = pickle.loads(pickle.dumps(caught.value))
    assert (str(again), again.tries) == (str(caught.value), 3)
    assert again.response is not None
    assert again.response.tries == 3


def test_error_after_all_tries_says_their_number(client):
    with ScriptedServer(drop) as server, pytest.raises(TransportError) as caught:
        client.get(server.url(), retries=2)
    assert str(caught.value).endswith(" (3 tries)")
    assert (caught.value.tries, len(caught.value.history)) == (3, 2)
    assert [each.tries for each in caught.value.history] == [1, 1]
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)
    with refusing() as port, pytest.raises(ConnectError, match=r"\(3 tries\)$"):
        client.get(f"http://127.0.0.1:{port}/")  # max_tries=3 is the default


def test_error_without_a_retry_does_not_mention_tries(client):
    with ScriptedServer(drop) as server, pytest.raises(TransportError) as caught:
        client.get(server.url(), max_tries=1)
    assert "tries" not in str(caught.value)
    assert caught.value.tries == 1


def test_resource_error_says_the_number_of_tries():
    with ScriptedServer.serving(BUSY) as server:
        with Resource(server.url(), retries=Retry(1, backoff=0)) as resource:
            with pytest.raises(RequestFailed, match=r"Unavailable \(2 tries\): busy$") as caught:
                resource.get()
    assert (caught.value.tries, len(caught.value.history)) == (2, 1)


def test_one_shot_payload_is_never_sent_twice_and_its_503_is_returned(client):
    for retries in (3, Retry(3)):
        with ScriptedServer.serving(BUSY) as server:
            got = client.put(server.url(), iter(ROWS), retries=retries)
            assert (got.status, got.body, got.tries) == (503, b"busy", 1)
        assert [payload_of(each) for each in server.requests] == [b"".join(ROWS)]
    with ScriptedServer.serving(BUSY) as server:
        with pytest.raises(PayloadNotReplayable):
            retry = Urllib3Retry(3, status_forcelist=[503])
            client.put(server.url(), iter(ROWS), retries=retry)
    assert len(server.requests) == 1


def test_one_shot_payload_is_retried_with_replay_spool(client):
    with ScriptedServer.serving(BUSY, OK) as server:
        got = client.put(server.url(), iter(ROWS), retries=3, replay="spool")
    assert (got.status, got.tries) == (200, 2)
    assert [payload_of(each) for each in server.requests] == [b"".join(ROWS)] * 2


def test_retry_methods_add_post(client):
    with ScriptedServer.serving(BUSY, OK) as server:
        got = client.post(server.url(), b"twice", retries=Retry(methods=("GET", "POST")))
    assert (got.status, got.tries) == (200, 2)
    assert [body_of(each) for each in server.requests] == [b"twice", b"twice"]


def test_retry_status_replaces_the_default_statuses(client):
    error = response(b"", status="500 Internal Server Error")
    with ScriptedServer.serving(error, BUSY) as server:
        got = client.get(server.url(), retries=Retry(status=500))
        assert (got.status, got.tries) == (503, 2)


def test_retry_without_statuses_still_retries_network_errors(client):
    def serve(peer: Peer) -> None:
        peer.read_request()
        peer.send(BUSY)

    with ScriptedServer(drop, serve) as server:
        got = client.get(server.url(), retries=Retry(status=()))
        assert (got.status, got.tries) == (503, 2)


def busy_for(after: str, status: str = "503 Service Unavailable") -> bytes:
    return response(b"busy", f"Retry-After: {after}", status=status)


def test_429_is_retried_only_with_retry_after(client):
    with ScriptedServer.serving(busy_for("0", "429 Too Many Requests"), OK) as server:
        assert client.get(server.url(), retries=1).tries == 2
    with ScriptedServer.serving(response(b"", status="429 Too Many Requests")) as server:
        got = client.get(server.url(), retries=1)
        assert (got.status, got.tries) == (429, 1)


@pytest.mark.parametrize("after", ["315360000", "9" * 400, "Fri, 31 Dec 9999 23:59:59 GMT"])
@pytest.mark.parametrize("retries", [3, Retry(3), Retry(3, max_wait=5)], ids=repr)
def test_hostile_retry_after_of_ten_years_returns_the_response_at_once(after, retries, client):
    with ScriptedServer.serving(busy_for(after)) as server:
        got = client.get(server.url(), retries=retries)
        assert (got.status, got.tries) == (503, 1)
    assert len(server.requests) == 1


def test_retry_after_past_the_total_deadline_returns_the_response(client):
    brief = Timeout(connect=HANG_BOUND, idle=HANG_BOUND, total=HANG_BOUND)
    with ScriptedServer.serving(busy_for(str(int(HANG_BOUND) + 5))) as server:
        got = client.get(server.url(), retries=Retry(max_wait=1e6), timeout=brief)
        assert (got.status, got.tries) == (503, 1)


def test_retry_can_ignore_a_retry_after(client):
    with ScriptedServer.serving(busy_for("315360000"), OK) as server:
        got = client.get(server.url(), retries=Retry(respect_retry_after=False))
    assert (got.status, got.tries) == (200, 2)


def test_backoff_and_max_wait_of_a_retry_replace_the_options_of_the_call():
    given = restkit.client.options.Settings(wait_tries=7.0, max_wait=50.0)

    def first_delay(retry: Retry) -> float:
        counter = given.replace(retries=as_retries(retry)).count_retries()
        delay = counter.delay_after_error(
            restkit.Request("GET", "http://host/"), restkit.IdleTimeout("late", sent="all")
        )
        assert delay is not None
        return delay

    assert 0.3 < first_delay(Retry(backoff=0.5)) < 0.7
    assert first_delay(Retry(backoff=9.0, max_wait=2.0)) == 2.0
    assert 5.0 < first_delay(Retry()) < 9.0
    assert first_delay(Retry(backoff=90.0)) == 50.0


def test_endless_body_of_a_503_does_not_hold_up_the_retry(client):
    def send_endlessly(peer: Peer) -> None:
        peer.read_request()
        peer.send(b"HTTP/1.1 503 Busy\r\nTransfer-Encoding: chunked\r\n\r\n")
        try:
            while True:
                peer.send(b"10000\r\n" + b"x" * 65536 + b"\r\n")
        except OSError:
            pass

    def serve(peer: Peer) -> None:
        peer.read_request()
        peer.send(OK)

    with ScriptedServer(send_endlessly, serve) as server:
        got = client.get(server.url(), retries=1)
    assert (got.body, got.tries, server.connections) == (b"ok", 2, 2)


def test_redirects_do_not_count_as_tries_and_retries_continue_after_them(client):
    moved = response(b"", "Location: /there", status="302 Found")
    with ScriptedServer.serving(BUSY, moved, BUSY, OK) as server:
        got = client.get(server.url("/here"), retries=2)
    assert [each.status for each in got.history] == [503, 302, 503]
    assert (got.status, got.tries) == (200, 3)
    assert [each.split(b" ")[1] for each in server.requests] == [
        b"/here",
        b"/here",
        b"/there",
        b"/there",
    ]


def test_retries_and_a_digest_challenge_in_one_call(client):
    challenge = response(
        b"",
        'WWW-Authenticate: Digest realm="r", nonce="n", qop="auth", algorithm=SHA-256',
        status="401 Unauthorized",
    )
    with ScriptedServer.serving(BUSY, challenge, BUSY, OK) as server:
        got = client.get(server.url(), retries=2, auth=restkit.DigestAuth("user", "pass"))
    assert [each.status for each in got.history] == [503, 401, 503]
    assert (got.status, got.tries) == (200, 3)
    counted = [b"nc=0000000" in each for each in server.requests]
    assert counted == [False, False, True, True]
    assert b"nc=00000002" in server.requests[3]


def test_total_deadline_covers_all_tries():
    began = time.monotonic()
    brief = Timeout(connect=HANG_BOUND, idle=HANG_BOUND, total=0.8)
    with Client(timeout=brief) as client, ScriptedServer.serving(BUSY) as server:
        got: object = None
        try:
            got = client.get(server.url(), retries=Retry(1000, backoff=0.1, max_wait=0.1))
        except Error as error:
            got = error
        assert isinstance(got, (restkit.HttpResponse, restkit.TotalTimeout))
        assert 1 < got.tries < 1000
    assert time.monotonic() - began < HANG_BOUND


def test_success_with_retries_is_one_try(client):
    with ScriptedServer.serving(OK) as server:
        got = client.get(server.url(), retries=3)
    assert (got.tries, got.history) == (1, ())


def test_option_of_other_libraries_points_to_retries():
    for name in ("max_retries", "retry"):
        with pytest.raises(
            TypeError, match=r"restkit calls it retries, a number or a restkit\.Ret"
        ):
            restkit.get("http://h/", **{name: 3})
