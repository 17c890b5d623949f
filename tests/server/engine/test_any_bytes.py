"""The embedded engine and any bytes: the responses are those that ``restkit.http1`` predicts."""

from __future__ import annotations

import logging
import socket
import struct
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from restkit.server.engine.connection import ClientConnection, Setup
from support.echo import Echo, EchoServer, predict, serve_echo
from support.peer import HANG_BOUND
from support.raw_client import connect, parse_responses, read_to_end, send_all
from support.request_corpus import MESSAGES, make_request, near_requests, requests
from support.wire_strategies import cut, every_split, examples, single_bytes


@pytest.fixture(scope="module")
def echo() -> Iterator[EchoServer]:
    with serve_echo(Echo()) as echo:
        yield echo


@pytest.fixture(autouse=True)
def no_log_records(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Check that no behavior of a client is logged above DEBUG."""
    yield
    assert [record for record in caplog.records if record.levelno > logging.DEBUG] == []


def check(echo: EchoServer, parts: list[bytes]) -> None:
    """Send parts on one connection, and compare all of it with the prediction."""
    prediction = predict(b"".join(parts))
    responses = parse_responses(echo.exchange(parts), prediction.methods)
    assert echo.app.seen == prediction.seen
    assert [response.status for response in responses] == prediction.statuses
    for request, response in zip(prediction.seen, responses, strict=False):
        assert response.body == (b"" if request.method == "HEAD" else request.body)
    if prediction.error_status:
        assert responses[-1].headers["connection"] == "close"


# Any bytes


@pytest.mark.parametrize("message", MESSAGES, ids=range(len(MESSAGES)))
def test_every_message_of_the_corpus_has_the_predicted_responses(
    echo: EchoServer, message: bytes
) -> None:
    check(echo, [message])
    if len(message) < 300:
        check(echo, single_bytes(message))


@settings(deadline=None, max_examples=examples(150))
@given(st.data(), st.lists(near_requests() | requests(), min_size=1, max_size=3).map(b"".join))
def test_any_bytes_have_the_predicted_responses_at_any_split(
    echo: EchoServer, data: st.DataObject, message: bytes
) -> None:
    check(echo, data.draw(cut(message)))


@settings(deadline=None, max_examples=examples(50))
@given(st.binary(min_size=1, max_size=200))
def test_random_bytes_get_an_error_or_a_close(echo: EchoServer, message: bytes) -> None:
    check(echo, [message])


@pytest.fixture(scope="module")
def abandoned() -> Iterator[EchoServer]:
    """A server whose clients disconnect; its records are not compared."""
    with serve_echo(Echo()) as abandoned:
        yield abandoned


@settings(deadline=None, max_examples=examples(50))
@given(st.data(), requests())
def test_server_survives_a_client_that_disconnects_anywhere(
    abandoned: EchoServer, data: st.DataObject, message: bytes
) -> None:
    parts = data.draw(cut(message))
    with connect(abandoned.address) as sock:
        send_all(sock, parts[: data.draw(st.integers(0, len(parts)))])
        if data.draw(st.booleans()):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    last = make_request(b"Content-Length: 5", line=b"POST / HTTP/1.0", body=b"hello")
    (response,) = parse_responses(abandoned.exchange([last], ends=False), [])
    assert (response.status, response.body) == (200, b"hello")


def test_error_response_at_every_split_of_an_invalid_head() -> None:
    """Call ``step()`` after each part, without threads."""
    for message in (
        make_request(b"A : b"),
        make_request(b"A: b\0"),
        make_request(b"Content-Length: 5", b"Content-Length: 6"),
        make_request(line=b"GET * HTTP/1.1"),
        make_request(line=b"GET / HTTP/2.0"),
    ):
        for parts in every_split(message):
            assert step_through(parts) == [predict(message).error_status]


def test_requests_without_bodies_at_every_split() -> None:
    message = (
        make_request(line=b"GET /a HTTP/1.1") + b"\r\n" + make_request(line=b"GET /b HTTP/1.0")
    )
    for parts in every_split(message):
        assert step_through(parts) == [200, 200]


def step_through(parts: list[bytes]) -> list[int]:
    """Call a ClientConnection after each part has arrived; return the statuses of its responses."""
    ours, theirs = socket.socketpair()
    with ours:
        ours.settimeout(HANG_BOUND)
        connection = ClientConnection(theirs, ("", 0), Setup(Echo()))
        try:
            for part in parts:
                ours.sendall(part)
                stays = connection.step()
                while stays and connection.has_data:
                    stays = connection.step()
                if not stays:
                    break
        finally:
            connection.close()
        return [reply.status for reply in parse_responses(read_to_end(ours), [])]
