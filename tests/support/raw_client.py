"""A client that sends exact bytes, and parses the responses."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from contextlib import suppress
from typing import NamedTuple

from restkit.http1.response_reader import ResponseReader

from .peer import HANG_BOUND


class ParsedResponse(NamedTuple):
    """One complete response."""

    status: int
    headers: dict[str, str]
    body: bytes


def connect(address: tuple[str, int]) -> socket.socket:
    """Connect with the hang bound as timeout, and without Nagle's algorithm."""
    sock = socket.create_connection(address, HANG_BOUND)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def send_all(sock: socket.socket, parts: Iterable[bytes]) -> None:
    """Send each part separately; a server may close before the last."""
    try:
        for part in parts:
            sock.sendall(part)
    except (BrokenPipeError, ConnectionResetError):
        pass


def end_sending(sock: socket.socket) -> None:
    """End this side; a server may have closed both already."""
    with suppress(OSError):
        sock.shutdown(socket.SHUT_WR)


def read_to_end(sock: socket.socket) -> bytes:
    """Read up to the end or a reset of the connection; raise TimeoutError for a hang."""
    data = bytearray()
    try:
        while chunk := sock.recv(65536):
            data += chunk
    except ConnectionResetError:
        pass
    return bytes(data)


def send_and_read(address: tuple[str, int], parts: Iterable[bytes], *, ends: bool = True) -> bytes:
    """Send parts on a new connection and read to its end; ``ends``: the client ends its side."""
    with connect(address) as sock:
        send_all(sock, parts)
        if ends:
            end_sending(sock)
        return read_to_end(sock)


def parse_responses(data: bytes, methods: Iterable[str]) -> list[ParsedResponse]:
    """Parse the responses to requests with these methods, in order."""
    responses = []
    remaining = iter(methods)
    while data:
        reader = ResponseReader(next(remaining, "GET"))
        body = b"".join(bytes(chunk) for chunk in reader.feed(data))
        if not reader.done:
            reader.end()
        assert reader.head is not None
        assert reader.body_reader is not None
        headers = {name.lower(): value for name, value in reader.head.headers.pairs()}
        responses.append(ParsedResponse(reader.head.status, headers, body))
        data = bytes(reader.body_reader.leftover)
    return responses
