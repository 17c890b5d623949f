"""The deadline of a call starts before its payload is read to find its length or its digest."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from restkit import Client, RequestError, Timeout, TotalTimeout
from restkit.errors import PayloadNotReplayable
from restkit.streaming import replayable
from support import ScriptedServer, response
from support.peer import HANG_BOUND

TOTAL = 0.3
TIMEOUT = Timeout(connect=HANG_BOUND, idle=HANG_BOUND, total=TOTAL)
ROWS = 40  # ten times the total


class Rows:
    """A source that takes longer than the total."""

    def __init__(self) -> None:
        self.closed = threading.Event()
        self.count = 0

    def __call__(self) -> Iterator[bytes]:
        pause = threading.Event()
        try:
            for _ in range(ROWS):
                pause.wait(10 * TOTAL / ROWS)
                self.count += 1
                yield b"x"
        finally:
            self.closed.set()


CALLS: dict[str, tuple[dict[str, Any], Callable[[Rows], object]]] = {
    "spool": ({"spool": True}, lambda rows: rows()),
    "content_digest": ({"content_digest": True}, lambda rows: replayable(rows, ROWS)),
    "both": ({"spool": True, "content_digest": True}, lambda rows: rows()),
    "compress": ({"spool": True, "compress": "gzip"}, lambda rows: rows()),
}


@pytest.mark.parametrize("kind", CALLS)
def test_total_covers_reading_the_payload_before_it_is_sent(kind, client):
    options, make = CALLS[kind]
    rows = Rows()
    with ScriptedServer.serving(response()) as server:
        with pytest.raises(TotalTimeout) as caught:
            client.put(server.url(), make(rows), **options, timeout=TIMEOUT)
        assert server.connections == 0
    error = caught.value
    assert str(error).endswith(
        f"{server.host}:{server.port}: still reading the payload before it is sent when the 0.3 s "
        "of Timeout.total were over"
    )
    assert error.sent == "nothing"
    assert not error.out_of_payload
    assert error.request is not None
    assert error.request.url.authority == f"{server.host}:{server.port}"
    assert rows.count < ROWS


def test_source_is_closed_when_the_total_is_over(client):
    rows = Rows()
    source = rows()
    with ScriptedServer.serving(response()) as server:
        with pytest.raises(TotalTimeout):
            client.put(server.url(), source, spool=True, timeout=TIMEOUT)
        assert rows.closed.is_set()
        with pytest.raises(PayloadNotReplayable):
            client.put(server.url(), source, spool=True)


def test_total_covers_reading_and_sending_together(client):
    def rows() -> Iterator[bytes]:
        yield b"x"
        threading.Event().wait(TOTAL / 2)

    release = threading.Event()

    def script(peer):
        peer.read_request()
        peer.wait(release)

    with ScriptedServer(script) as server:
        with pytest.raises(TotalTimeout, match="still waiting for the response") as caught:
            client.put(server.url(), rows(), spool=True, timeout=TIMEOUT)
        release.set()
    assert caught.value.sent == "all"


def test_total_covers_reading_the_payload_for_its_length(client):
    # The server asks for a length (411), and the second pass over the source is slow.
    passes: list[int] = []
    slow = Rows()

    def rows() -> Iterator[bytes]:
        passes.append(1)
        return iter([b"x"]) if len(passes) == 1 else slow()

    refusal = response(status="411 Length Required")
    with ScriptedServer.serving(refusal, response()) as server:
        with pytest.raises(TotalTimeout, match="still reading the payload before it is sent"):
            client.put(server.url(), replayable(rows), timeout=TIMEOUT)
        assert len(server.requests) == 1
    assert slow.count < ROWS


def test_filter_that_sets_a_payload_is_within_the_total(certs):
    rows = Rows()

    class Sets:
        def on_request(self, request):
            request.payload = rows()

    timeout = TIMEOUT
    with ScriptedServer.serving(response()) as server, Client(filters=Sets()) as client:
        with pytest.raises(TotalTimeout, match="still reading the payload"):
            client.put(server.url(), b"first", spool=True, timeout=timeout)


def test_error_of_the_source_is_still_its_own(client):
    def rows() -> Iterator[bytes]:
        yield b"x"
        raise RequestError("of the source")

    with ScriptedServer.serving(response()) as server:
        with pytest.raises(RequestError, match="of the source") as caught:
            client.put(server.url(), rows(), spool=True, timeout=TIMEOUT)
        assert caught.value.out_of_payload
