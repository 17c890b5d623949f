"""The embedded engine and slow clients: nobody waits for them, and each has its time."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from support.echo import Echo, Served, served
from support.raw_client import dialed, replies, send_all, to_the_end
from support.request_corpus import make_request

HALF_HEADS = [b"", b"\r\n", b"G", b"GET / HTTP/1.1\r\nHost: x\r\n"]
HALF_BODIES = [
    make_request(b"Content-Length: 5", body=b"hell"),
    make_request(b"Transfer-Encoding: chunked", body=b"5\r\nhel"),
]
NEXT = make_request(line=b"GET /next HTTP/1.0")


@contextmanager
def stalled(echo: Served, halves: Sequence[bytes]) -> Iterator[list[tuple[bytes, socket.socket]]]:
    """48 clients that have sent one of these, and keep still."""
    with ExitStack() as stack:
        clients = []
        for number in range(48):
            sock = stack.enter_context(dialed(echo.address))
            half = halves[number % len(halves)]
            send_all(sock, [half])
            clients.append((half, sock))
        yield clients


def test_each_stalled_client_is_dropped_after_the_time_out() -> None:
    """One that has begun a head is told why."""
    with served(Echo(), timeout=0.5) as echo, stalled(echo, HALF_HEADS + HALF_BODIES) as clients:
        for half, sock in clients:
            statuses = [reply.status for reply in replies(to_the_end(sock), [])]
            assert statuses == ([408] if half.startswith(b"G") else []), half
    assert echo.app.seen == []


def test_a_refusal_is_read_by_a_client_that_sends_at_full_speed() -> None:
    flood = [make_request(b"A: b\0"), *[b"x" * 65536] * 64]
    with served(Echo()) as echo, dialed(echo.address) as sock:
        sending = threading.Thread(target=send_all, args=(sock, flood))
        sending.start()
        (answer,) = replies(to_the_end(sock), [])
        sending.join()
    assert answer.status == 400


def test_a_refused_client_that_goes_on_sending_leaves_the_only_thread_to_others() -> None:
    stop = threading.Event()

    def flood(sock: socket.socket) -> None:
        while not stop.is_set():
            send_all(sock, [b"x" * 65536])

    with served(Echo(), threads=1) as echo, dialed(echo.address) as sock:
        send_all(sock, [make_request(b"A: b\0")])
        (answer,) = replies(to_the_end(sock), [])
        sending = threading.Thread(target=flood, args=(sock,))
        sending.start()
        try:
            (next_answer,) = replies(echo.heard([NEXT], ends=False), [])
        finally:
            stop.set()
            sending.join()
    assert (answer.status, next_answer.status) == (400, 200)


def test_a_client_that_asks_on_and_on_and_reads_at_the_end_has_all_its_answers() -> None:
    count = 2000
    with served(Echo()) as echo, dialed(echo.address) as sock:
        send_all(sock, [make_request(line=b"GET / HTTP/1.1") * count])
        sock.shutdown(socket.SHUT_WR)
        assert len(replies(to_the_end(sock), [])) == count == len(echo.app.seen)
