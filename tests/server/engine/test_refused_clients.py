"""A client that was refused, and neither sends nor closes, does not hold its connection."""

from __future__ import annotations

import os

from restkit.server import App, serve
from restkit.server.engine import client_socket
from support.raw_client import connect, read_to_end
from support.waiting import until


def test_silent_client_is_closed_when_the_drain_time_is_over(monkeypatch):
    monkeypatch.setattr(client_socket, "DRAIN_SECONDS", 0.2)
    with serve(App(), timeout=1000) as server:
        before = os.listdir("/dev/fd")
        with connect((server.host, server.port)) as client:
            client.sendall(b"BAD\r\n\r\n")
            # The server has ended its side, and still reads.
            assert read_to_end(client).startswith(b"HTTP/1.1 400 ")
            until(lambda: len(os.listdir("/dev/fd")) == len(before) + 1)  # only the client's
