"""The embedded engine and slow clients: they delay no other client, and time out."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from support.echo import Echo, EchoServer, serve_echo
from support.raw_client import connect, parse_responses, read_to_end, send_all
from support.request_corpus import make_request

HALF_HEADS = [b"", b"\r\n", b"G", b"GET / HTTP/1.1\r\nHost: x\r\n"]
HALF_BODIES = [
    make_request(b"Content-Length: 5", body=b"hell"),
    make_request(b"Transfer-Encoding: chunked", body=b"5\r\nhel"),
]
NEXT = make_request(line=b"GET /next HTTP/1.0")


@contextmanager
def connect_stalled_clients(
    echo: EchoServer, halves: Sequence[bytes]
) -> Iterator[list[tuple[bytes, socket.socket]]]:
    """Connect 48 clients that send one of these, and then nothing."""
    with ExitStack() as stack:
        clients = []
        for number in range(48):
            sock = stack.enter_context(connect(echo.address))
            half = halves[number % len(halves)]
            send_all(sock, [half])
            clients.append((half, sock))
        yield clients


def test_each_stalled_client_is_disconnected_after_the_timeout() -> None:
    """A client that has begun a head gets a 408."""
    with (
        serve_echo(Echo(), timeout=0.5) as echo,
        connect_stalled_clients(echo, HALF_HEADS + HALF_BODIES) as clients,
    ):
        for half, sock in clients:
            statuses = [reply.status for reply in parse_responses(read_to_end(sock), [])]
            assert statuses == ([408] if half.startswith(b"G") else []), half
    assert echo.app.seen == []


def test_client_that_sends_at_full_speed_can_read_the_error() -> None:
    flood = [make_request(b"A: b\0"), *[b"x" * 65536] * 64]
    with serve_echo(Echo()) as echo, connect(echo.address) as sock:
        sending = threading.Thread(target=send_all, args=(sock, flood))
        sending.start()
        (response,) = parse_responses(read_to_end(sock), [])
        sending.join()
    assert response.status == 400


def test_client_that_sends_after_an_error_uses_no_thread() -> None:
    stop = threading.Event()

    def flood(sock: socket.socket) -> None:
        while not stop.is_set():
            send_all(sock, [b"x" * 65536])

    with serve_echo(Echo(), threads=1) as echo, connect(echo.address) as sock:
        send_all(sock, [make_request(b"A: b\0")])
        (response,) = parse_responses(read_to_end(sock), [])
        sending = threading.Thread(target=flood, args=(sock,))
        sending.start()
        try:
            (next_answer,) = parse_responses(echo.exchange([NEXT], ends=False), [])
        finally:
            stop.set()
            sending.join()
    assert (response.status, next_answer.status) == (400, 200)


def test_client_that_reads_only_at_the_end_gets_all_responses() -> None:
    count = 2000
    with serve_echo(Echo()) as echo, connect(echo.address) as sock:
        send_all(sock, [make_request(line=b"GET / HTTP/1.1") * count])
        sock.shutdown(socket.SHUT_WR)
        assert len(parse_responses(read_to_end(sock), [])) == count == len(echo.app.seen)
