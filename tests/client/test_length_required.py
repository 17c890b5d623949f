"""A chunked payload that the server rejects with 411 or 501 is resent with its length."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from restkit import Client, HttpResponse, Payload, Request, as_payload, parse_url
from restkit.client.call import request_with_length
from restkit.client.options import Settings
from restkit.headers import Headers
from restkit.payload.values import BytesPayload
from support import ScriptedServer, body_of, field, fields_of, payload_of, response

OK = response(b"taken")
LENGTH_REQUIRED = response(b"no", status="411 Length Required")
NOT_IMPLEMENTED = response(b"no", status="501 Not Implemented")


def rows():
    yield b"one "
    yield b"two"


class Digested(Payload):
    """A payload without a length, with a Content-Type and a trailer."""

    replayable = True
    headers = (("Content-Type", "text/x-rows"),)

    def chunks(self):
        return rows()

    def trailers(self):
        return [("X-Digest", "abc")]


# The decision alone, without a socket


def decide(
    payload: object,
    status: int = 411,
    headers: dict[str, str] | None = None,
    method: str = "POST",
) -> Request | None:
    request = Request(
        method,
        parse_url("http://a.test/"),
        Headers(headers or {}),
        as_payload(payload),
    )
    following = request_with_length(request, Settings(), HttpResponse.made(request, status))
    assert request.headers.pairs() == list(
        (headers or {}).items()
    )  # the first request is unchanged
    return following


SOURCES: dict[str, Callable[[], object]] = {
    "generator": rows,
    "function": lambda: rows,
    "list": lambda: [b"one ", b"two"],
}


@pytest.mark.parametrize("status", [411, 501])
@pytest.mark.parametrize("source", SOURCES)
def test_refused_chunked_payload_gets_a_length(source, status):
    following = decide(SOURCES[source](), status)
    assert following is not None
    assert following.method == "POST"
    assert following.payload is not None
    assert (following.payload.length, following.payload.replayable) == (7, True)
    assert b"".join(map(bytes, following.payload)) == b"one two"


@pytest.mark.parametrize("status", [200, 400, 404, 413, 417, 500, 503])
def test_other_statuses_do_not_resend(status):
    assert decide(rows(), status) is None


def test_payload_with_known_length_is_not_resent():
    assert decide(b"bytes") is None
    assert decide(None) is None
    assert decide(rows(), headers={"Content-Length": "7"}) is None


def test_consumed_payload_is_not_resent():
    spent = as_payload(rows())
    assert spent is not None
    list(spent)
    assert decide(spent) is None


def test_forced_chunked_header_is_dropped():
    given = {"Transfer-Encoding": "chunked", "Trailer": "X-Digest", "X-Mine": "1"}
    following = decide(b"bytes", headers=given)
    assert following is not None
    assert following.headers.pairs() == [("X-Mine", "1")]
    assert type(following.payload) is BytesPayload  # the length is known: nothing to spool


def test_forced_chunked_header_without_payload_is_dropped():
    following = decide(None, headers={"Transfer-Encoding": "chunked"})
    assert following is not None
    assert following.payload is None
    assert following.headers.pairs() == []


def test_payload_headers_are_kept():
    following = decide(Digested())
    assert following is not None
    assert following.payload is not None
    assert following.payload.headers == Digested.headers


def test_error_from_the_source_is_raised_unchanged():
    def failing():
        yield b"some"
        raise KeyError("k")

    with pytest.raises(KeyError):
        decide(failing)


# On the wire


def post(server: ScriptedServer, payload: object, **options: object) -> HttpResponse:
    with Client(timeout=10) as client:
        return client.post(server.url(), payload, **options)


@pytest.mark.parametrize("refusal", [LENGTH_REQUIRED, NOT_IMPLEMENTED], ids=["411", "501"])
def test_refused_chunked_request_is_resent_with_content_length(refusal):
    with ScriptedServer.serving(refusal, OK) as server:
        got = post(server, rows)
    assert got.body == b"taken"
    assert [each.status for each in got.history] == [int(refusal[9:12])]
    first, second = server.requests
    assert (field(first, "transfer-encoding"), field(first, "content-length")) == ("chunked", None)
    assert (field(second, "transfer-encoding"), field(second, "content-length")) == (None, "7")
    assert payload_of(first) == body_of(second) == b"one two"
    assert server.connections == 1


def test_resent_request_keeps_all_headers_except_framing():
    with ScriptedServer.serving(LENGTH_REQUIRED, OK) as server:
        post(server, Digested(), headers={"X-Mine": "1", "Trailer": "X-Digest"})
    first, second = (
        [each for each in fields_of(request) if each[0] not in ("transfer-encoding", "trailer")]
        for request in server.requests
    )
    assert sorted(second) == sorted([*first, ("content-length", "7")])
    assert ("content-type", "text/x-rows") in second
    assert body_of(server.requests[1]) == b"one two"  # no trailers after the body


def test_forced_chunked_request_is_resent_with_content_length():
    with ScriptedServer.serving(LENGTH_REQUIRED, OK) as server:
        got = post(server, b"bytes", headers={"Transfer-Encoding": "chunked"})
    assert got.status == 200
    assert field(server.requests[1], "content-length") == "5"
    assert body_of(server.requests[1]) == b"bytes"


def test_consumed_payload_returns_the_411_response():
    with ScriptedServer.serving(LENGTH_REQUIRED, OK) as server:
        got = post(server, rows())
    assert (got.status, got.history) == (411, ())
    assert len(server.requests) == 1


def test_payload_held_back_by_expect_continue_is_resent():
    def refuse(peer):
        with server.changed:
            heads.append(peer.read_head())
        peer.send(LENGTH_REQUIRED)

    heads: list[bytes] = []
    server = ScriptedServer(refuse, lambda peer: (peer.read_request(), peer.send(OK)))
    with server:
        got = post(server, rows(), expect_continue=True)
    assert got.status == 200
    assert field(heads[0], "transfer-encoding") == "chunked"
    assert body_of(server.request) == b"one two"
    assert field(server.request, "content-length") == "7"


def test_P17_payload_spooled_while_sent_is_resent_with_a_length():
    chunks_read = []

    def recorded_rows():
        for chunk in rows():
            chunks_read.append(chunk)
            yield chunk

    with ScriptedServer.serving(LENGTH_REQUIRED, OK) as server:
        got = post(server, recorded_rows(), replay="spool")
    assert got.status == 200
    assert [payload_of(each) for each in server.requests] == [b"one two"] * 2
    assert field(server.requests[1], "content-length") == "7"
    assert chunks_read == [b"one ", b"two"]


def test_second_411_is_returned():
    with ScriptedServer.serving(LENGTH_REQUIRED) as server:
        got = post(server, rows)
    assert got.status == 411
    assert len(server.requests) == 2


def test_P17_spool_option_sends_content_length_at_once():
    with ScriptedServer.serving(OK) as server:
        post(server, rows(), spool=True)
    assert field(server.request, "content-length") == "7"
    assert field(server.request, "transfer-encoding") is None
    assert body_of(server.request) == b"one two"


def test_P17_error_while_spooling_is_raised_before_connecting():
    def failing():
        yield b"some"
        raise KeyError("k")

    with ScriptedServer.serving(OK) as server:
        with pytest.raises(KeyError):
            post(server, failing(), spool=True)
        assert server.connections == 0
