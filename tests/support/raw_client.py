"""A client that says exactly what it is told, and what a server made of it, answer by answer."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from contextlib import suppress
from typing import NamedTuple

from restkit.http1.response_reader import ResponseReader

from .peer import HANG_BOUND


class Reply(NamedTuple):
    """One whole answer."""

    status: int
    headers: dict[str, str]
    body: bytes


def dialed(address: tuple[str, int]) -> socket.socket:
    """A connection on which nothing waits for longer than the hang bound, and each send leaves."""
    sock = socket.create_connection(address, HANG_BOUND)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def send_all(sock: socket.socket, parts: Iterable[bytes]) -> None:
    """Send each part for itself; a server may have heard enough before the last."""
    try:
        for part in parts:
            sock.sendall(part)
    except (BrokenPipeError, ConnectionResetError):
        pass


def end(sock: socket.socket) -> None:
    """End this side; a server that had heard enough may have ended both already."""
    with suppress(OSError):
        sock.shutdown(socket.SHUT_WR)


def to_the_end(sock: socket.socket) -> bytes:
    """All that comes, up to the end or a reset of the connection; TimeoutError for a hang."""
    data = bytearray()
    try:
        while piece := sock.recv(65536):
            data += piece
    except ConnectionResetError:
        pass
    return bytes(data)


def heard(address: tuple[str, int], parts: Iterable[bytes], *, ends: bool = True) -> bytes:
    """What comes back on a new connection, up to its end; ``ends``: the client ends its side."""
    with dialed(address) as sock:
        send_all(sock, parts)
        if ends:
            end(sock)
        return to_the_end(sock)


def replies(data: bytes, methods: Iterable[str]) -> list[Reply]:
    """These bytes as answers to these methods, in order; of what is none, restkit's error."""
    told = []
    asked = iter(methods)
    while data:
        answer = ResponseReader(next(asked, "GET"))
        body = b"".join(bytes(piece) for piece in answer.feed(data))
        if not answer.done:
            answer.end()
        assert answer.head is not None
        assert answer.body_reader is not None
        headers = {name.lower(): value for name, value in answer.head.headers.pairs()}
        told.append(Reply(answer.head.status, headers, body))
        data = bytes(answer.body_reader.leftover)
    return told
