"""The embedded engine and any bytes: each request has one answer, as ``restkit.http1`` has it."""

from __future__ import annotations

import logging
import socket
import struct
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from restkit.server.engine.connection import ClientConnection, Setup
from support.echo import Echo, Served, expected, served
from support.peer import HANG_BOUND
from support.raw_client import dialed, replies, send_all, to_the_end
from support.request_corpus import MESSAGES, make_request, near_requests, requests
from support.wire_strategies import cut, every_split, examples, single_bytes


@pytest.fixture(scope="module")
def echo() -> Iterator[Served]:
    with served(Echo()) as echo:
        yield echo


@pytest.fixture(autouse=True)
def nothing_failed(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Whatever a client does is its own fault, and at most a word for who looks for it."""
    yield
    assert [record for record in caplog.records if record.levelno > logging.DEBUG] == []


def check(echo: Served, parts: list[bytes]) -> None:
    """One connection, all of it as ``expected`` says."""
    right = expected(b"".join(parts))
    answers = replies(echo.heard(parts), right.methods)
    assert echo.app.seen == right.seen
    assert [answer.status for answer in answers] == right.statuses
    for request, answer in zip(right.seen, answers, strict=False):
        assert answer.body == (b"" if request.method == "HEAD" else request.body)
    if right.refusal:
        assert answers[-1].headers["connection"] == "close"


# Any bytes


@pytest.mark.parametrize("message", MESSAGES, ids=range(len(MESSAGES)))
def test_every_message_of_the_corpus_is_answered_as_the_wire_has_it(
    echo: Served, message: bytes
) -> None:
    check(echo, [message])
    if len(message) < 300:
        check(echo, single_bytes(message))


@settings(deadline=None, max_examples=examples(150))
@given(st.data(), st.lists(near_requests() | requests(), min_size=1, max_size=3).map(b"".join))
def test_any_bytes_are_answered_as_the_wire_has_it_however_they_are_cut(
    echo: Served, data: st.DataObject, message: bytes
) -> None:
    check(echo, data.draw(cut(message)))


@settings(deadline=None, max_examples=examples(50))
@given(st.binary(min_size=1, max_size=200))
def test_what_is_no_http_at_all_is_refused_or_closed(echo: Served, message: bytes) -> None:
    check(echo, [message])


@pytest.fixture(scope="module")
def left() -> Iterator[Served]:
    """One whose clients leave it, and what it sees of them comes when it comes."""
    with served(Echo()) as left:
        yield left


@settings(deadline=None, max_examples=examples(50))
@given(st.data(), requests())
def test_a_client_that_goes_away_anywhere_leaves_the_server_to_the_others(
    left: Served, data: st.DataObject, message: bytes
) -> None:
    parts = data.draw(cut(message))
    with dialed(left.address) as sock:
        send_all(sock, parts[: data.draw(st.integers(0, len(parts)))])
        if data.draw(st.booleans()):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    last = make_request(b"Content-Length: 5", line=b"POST / HTTP/1.0", body=b"hello")
    (answer,) = replies(left.heard([last], ends=False), [])
    assert (answer.status, answer.body) == (200, b"hello")


def test_a_refusal_comes_at_every_split_of_a_wrong_head() -> None:
    """Without threads or chance: after each part, the connection does what it can."""
    for message in (
        make_request(b"A : b"),
        make_request(b"A: b\0"),
        make_request(b"Content-Length: 5", b"Content-Length: 6"),
        make_request(line=b"GET * HTTP/1.1"),
        make_request(line=b"GET / HTTP/2.0"),
    ):
        for parts in every_split(message):
            assert stepped(parts) == [expected(message).refusal]


def test_requests_without_bodies_are_answered_at_every_split() -> None:
    message = (
        make_request(line=b"GET /a HTTP/1.1") + b"\r\n" + make_request(line=b"GET /b HTTP/1.0")
    )
    for parts in every_split(message):
        assert stepped(parts) == [200, 200]


def stepped(parts: list[bytes]) -> list[int]:
    """The answers of a Conversation that is called after each part has come."""
    ours, theirs = socket.socketpair()
    with ours:
        ours.settimeout(HANG_BOUND)
        conversation = ClientConnection(theirs, ("", 0), Setup(Echo()))
        try:
            for part in parts:
                ours.sendall(part)
                stays = conversation.step()
                while stays and conversation.has_data:
                    stays = conversation.step()
                if not stays:
                    break
        finally:
            conversation.close()
        return [reply.status for reply in replies(to_the_end(ours), [])]
