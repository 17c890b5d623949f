"""Timeout.total ends a call although the server sends, or receives, without a pause."""

from __future__ import annotations

import mmap
import time
from collections.abc import Callable

import pytest

from restkit import HttpResponse, Timeout, TotalTimeout
from support import ScriptedServer
from support.memory import MIB
from support.peer import HANG_BOUND, Peer

TOTAL = 0.3
TIMEOUT = Timeout(connect=HANG_BOUND, idle=HANG_BOUND, total=TOTAL)


class SlowTarget:
    """A target that is slower than the server, so that received bytes are always pending."""

    def __init__(self) -> None:
        self.began = time.monotonic()

    def write(self, data: bytes) -> int:
        time.sleep(0.02)
        if time.monotonic() - self.began > 10 * TOTAL:
            raise AssertionError("Timeout.total did not end the body")
        return len(data)


def read_file(got: HttpResponse, target: SlowTarget) -> None:
    stream = got.body_stream()
    while data := stream.read(100_000):
        target.write(data)


def read_tee(got: HttpResponse, target: SlowTarget) -> None:
    file = got.tee()
    while data := file.read(100_000):
        target.write(data)


def read_chunks(got: HttpResponse, target: SlowTarget) -> None:
    for data in got.payload_stream or ():
        target.write(data)


READS: dict[str, Callable[[HttpResponse, SlowTarget], object]] = {
    "save": lambda got, target: got.save(target),  # type: ignore[arg-type]  # only has write()
    "body_stream": read_file,
    "tee": read_tee,
    "payload_stream": read_chunks,
}


def pour(peer: Peer) -> None:
    """Send without end, in records that do not divide the blocks of a reader."""
    peer.read_request()
    peer.send(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
    data = b"x" * 16_001
    while True:
        peer.send(data)


@pytest.mark.parametrize("read", READS)
def test_total_ends_a_body_that_arrives_faster_than_it_is_read(read, tls, client):
    with ScriptedServer(pour, ssl_context=tls) as server:
        got = client.get(server.url(), timeout=TIMEOUT)
        with pytest.raises(TotalTimeout, match=r"still reading the body when the 0\.3 s"):
            READS[read](got, SlowTarget())


def test_total_ends_one_large_read_of_a_full_connection(tls, client):
    with ScriptedServer(pour, ssl_context=tls) as server:
        got = client.get(server.url(), timeout=TIMEOUT)
        with pytest.raises(TotalTimeout, match="still reading the body"):
            got.body_stream().read(4096 * MIB)


def test_total_ends_a_large_buffer_that_the_server_always_takes(tls, client):
    def take(peer: Peer) -> None:
        peer.read_head()
        peer.drop()

    # Pages that are only read take no memory.
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
    with mmap.mmap(-1, 4096 * MIB, flags=flags) as payload:
        with ScriptedServer(take, ssl_context=tls) as server:
            with pytest.raises(TotalTimeout, match="still sending"):
                client.post(server.url(), [payload], timeout=TIMEOUT)
