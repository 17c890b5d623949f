"""A body that arrives while the payload is still being sent is received up to a limit."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator

import pytest

from restkit import BodyTooLarge, IdleTimeout, Timeout
from support import ScriptedServer, chunks, response
from support.memory import MIB
from support.messages import LAST_CHUNK
from support.peer import HANG_BOUND, Peer

RECEIVED_AT_ONCE = 64 * 1024
IMPATIENT = Timeout(connect=HANG_BOUND, idle=1)
HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
BODY = bytes(range(250)) * 1200


class Early:
    """A server that sends most of its response first, and reads the payload then."""

    def __init__(self) -> None:
        self.sent = threading.Event()
        self.payload = b""

    def __call__(self, peer: Peer) -> None:
        head = peer.read_head()
        peer.send(HEAD, chunks(BODY))
        self.sent.set()
        self.payload = peer.read_body(head)
        peer.send(LAST_CHUNK)
        peer.read_to_end()

    def rows(self) -> Iterator[bytes]:
        yield b"first"
        assert self.sent.wait(HANG_BOUND)
        yield from [b"row"] * 1000  # each of them lets the client receive


def never_reads(peer: Peer) -> None:
    """Send more than the buffers of a connection hold, and read nothing."""
    peer.read_head()
    peer.send(HEAD)
    while True:
        peer.send(chunks(bytes(MIB)))


@pytest.mark.parametrize("limit", [0, 1000, 200_000, None])
def test_body_beyond_max_early_body_is_received_after_the_payload(limit, tls, client):
    early = Early()
    with ScriptedServer(early, ssl_context=tls) as server:
        got = client.post(server.url(), early.rows(), max_early_body=limit)
        assert got.body == BODY
    assert b"row" * 1000 in early.payload.replace(b"\r\n3\r\n", b"")


def test_body_beyond_max_body_is_an_error_after_the_payload(tls, client):
    early = Early()
    with ScriptedServer(early, ssl_context=tls) as server:
        got = client.post(server.url(), early.rows(), max_body=1000)
        assert got.status == 200
        with pytest.raises(BodyTooLarge, match="larger than max_body, 1000 bytes"):
            print(got.body)


@pytest.mark.parametrize(
    ("options", "limit"),
    [
        ({"max_early_body": 100_000}, 100_000),
        ({"max_body": 1000}, 1000 + RECEIVED_AT_ONCE),
        ({"max_early_body": 10_000, "max_body": 1_000_000}, 10_000),
    ],
    ids=["max_early_body", "max_body", "both"],
)
def test_server_that_only_sends_cannot_fill_the_spool(options, limit, tls, client, tmp_path):
    payload = [bytes(MIB)] * 100
    with ScriptedServer(never_reads, ssl_context=tls) as server:
        with pytest.raises(IdleTimeout, match=r"responded 200 after .* stopped reading") as caught:
            client.post(
                server.url(),
                payload,
                **options,
                timeout=IMPATIENT,
                spool_size=0,
                spool_dir=tmp_path,
            )
    received = re.search(r"had received (\d+) bytes of the body", caught.value.message)
    assert received is not None
    assert limit <= int(received[1]) < limit + RECEIVED_AT_ONCE
    assert caught.value.response.status == 200


def test_complete_response_at_the_limit_is_returned(client):
    message = response(b"0123456789")

    def script(peer: Peer) -> None:
        head = peer.read_head()
        peer.send(message)
        peer.read_body(head)
        peer.read_request()
        peer.send(message)
        peer.read_to_end()

    with ScriptedServer(script) as server:
        for _ in range(2):
            got = client.post(server.url(), iter([b"x"] * 1000), max_early_body=10)
            assert got.body == b"0123456789"
        assert server.connections == 1
