"""A payload in chunks that a server refuses for that: sent once more, with its length."""

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
WANTED = response(b"no", status="411 Length Required")
UNKNOWN = response(b"no", status="501 Not Implemented")


def rows():
    yield b"one "
    yield b"two"


class Digested(Payload):
    """Chunks, a Content-Type, and a trailer that only chunks can carry."""

    replayable = True
    headers = (("Content-Type", "text/x-rows"),)

    def chunks(self):
        return rows()

    def trailers(self):
        return [("X-Digest", "abc")]


# The decision by itself, without a socket


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
    assert request.headers.pairs() == list((headers or {}).items())  # the first is left alone
    return following


SOURCES: dict[str, Callable[[], object]] = {
    "generator": rows,
    "function": lambda: rows,
    "list": lambda: [b"one ", b"two"],
}


@pytest.mark.parametrize("status", [411, 501])
@pytest.mark.parametrize("source", SOURCES)
def test_chunks_that_are_refused_become_a_payload_with_its_length(source, status):
    following = decide(SOURCES[source](), status)
    assert following is not None
    assert following.method == "POST"
    assert following.payload is not None
    assert (following.payload.length, following.payload.replayable) == (7, True)
    assert b"".join(map(bytes, following.payload)) == b"one two"


@pytest.mark.parametrize("status", [200, 400, 404, 413, 417, 500, 503])
def test_another_status_is_not_about_the_length(status):
    assert decide(rows(), status) is None


def test_what_had_its_length_already_is_refused_for_another_reason():
    assert decide(b"bytes") is None
    assert decide(None) is None
    assert decide(rows(), headers={"Content-Length": "7"}) is None


def test_a_payload_that_is_spent_has_nothing_to_be_measured():
    spent = as_payload(rows())
    assert spent is not None
    list(spent)
    assert decide(spent) is None


def test_chunks_that_the_caller_has_forced_were_what_was_refused():
    given = {"Transfer-Encoding": "chunked", "Trailer": "X-Digest", "X-Mine": "1"}
    following = decide(b"bytes", headers=given)
    assert following is not None
    assert following.headers.pairs() == [("X-Mine", "1")]
    assert type(following.payload) is BytesPayload  # it has its length: nothing to spool


def test_chunks_around_nothing_are_left_out_too():
    following = decide(None, headers={"Transfer-Encoding": "chunked"})
    assert following is not None
    assert following.payload is None
    assert following.headers.pairs() == []


def test_what_the_payload_wants_in_the_head_stays():
    following = decide(Digested())
    assert following is not None
    assert following.payload is not None
    assert following.payload.headers == Digested.headers


def test_what_the_source_raises_is_raised_as_it_is():
    def failing():
        yield b"some"
        raise KeyError("k")

    with pytest.raises(KeyError):
        decide(failing)


# On the wire


def posted(server: ScriptedServer, payload: object, **options: object) -> HttpResponse:
    with Client(timeout=10) as client:
        return client.post(server.url(), payload, **options)


@pytest.mark.parametrize("refusal", [WANTED, UNKNOWN], ids=["411", "501"])
def test_a_server_that_wants_a_length_gets_the_payload_again_with_it(refusal):
    with ScriptedServer.serving(refusal, OK) as server:
        got = posted(server, rows)
    assert got.body == b"taken"
    assert [each.status for each in got.history] == [int(refusal[9:12])]
    first, second = server.requests
    assert (field(first, "transfer-encoding"), field(first, "content-length")) == ("chunked", None)
    assert (field(second, "transfer-encoding"), field(second, "content-length")) == (None, "7")
    assert payload_of(first) == body_of(second) == b"one two"
    assert server.connections == 1


def test_the_second_one_says_the_same_in_its_head_but_for_the_framing():
    with ScriptedServer.serving(WANTED, OK) as server:
        posted(server, Digested(), headers={"X-Mine": "1", "Trailer": "X-Digest"})
    first, second = (
        [each for each in fields_of(request) if each[0] not in ("transfer-encoding", "trailer")]
        for request in server.requests
    )
    assert sorted(second) == sorted([*first, ("content-length", "7")])
    assert ("content-type", "text/x-rows") in second
    assert body_of(server.requests[1]) == b"one two"  # no trailers behind it


def test_chunks_that_the_caller_has_forced_are_given_up():
    with ScriptedServer.serving(WANTED, OK) as server:
        got = posted(server, b"bytes", headers={"Transfer-Encoding": "chunked"})
    assert got.status == 200
    assert field(server.requests[1], "content-length") == "5"
    assert body_of(server.requests[1]) == b"bytes"


def test_a_payload_that_is_spent_leaves_the_refusal_as_the_answer():
    with ScriptedServer.serving(WANTED, OK) as server:
        got = posted(server, rows())
    assert (got.status, got.history) == (411, ())
    assert len(server.requests) == 1


def test_one_that_was_asked_for_first_is_not_spent():
    def refuse(peer):
        with server.changed:
            heads.append(peer.read_head())
        peer.send(WANTED)

    heads: list[bytes] = []
    server = ScriptedServer(refuse, lambda peer: (peer.read_request(), peer.send(OK)))
    with server:
        got = posted(server, rows(), expect_continue=True)
    assert got.status == 200
    assert field(heads[0], "transfer-encoding") == "chunked"
    assert body_of(server.request) == b"one two"
    assert field(server.request, "content-length") == "7"


def test_P17_one_that_was_kept_as_it_went_is_measured_and_sent():
    asked = []

    def noted():
        for piece in rows():
            asked.append(piece)
            yield piece

    with ScriptedServer.serving(WANTED, OK) as server:
        got = posted(server, noted(), replay="spool")
    assert got.status == 200
    assert [payload_of(each) for each in server.requests] == [b"one two"] * 2
    assert field(server.requests[1], "content-length") == "7"
    assert asked == [b"one ", b"two"]


def test_a_second_refusal_is_the_answer():
    with ScriptedServer.serving(WANTED) as server:
        got = posted(server, rows)
    assert got.status == 411
    assert len(server.requests) == 2


def test_P17_spool_measures_before_the_first_byte_goes():
    with ScriptedServer.serving(OK) as server:
        posted(server, rows(), spool=True)
    assert field(server.request, "content-length") == "7"
    assert field(server.request, "transfer-encoding") is None
    assert body_of(server.request) == b"one two"


def test_P17_what_fails_while_it_is_spooled_fails_before_a_connection():
    def failing():
        yield b"some"
        raise KeyError("k")

    with ScriptedServer.serving(OK) as server:
        with pytest.raises(KeyError):
            posted(server, failing(), spool=True)
        assert server.connections == 0
