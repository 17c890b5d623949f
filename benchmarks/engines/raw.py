"""A client on a raw socket, which sends and reads bytes."""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException, HTTPResponse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmarks.engines.running import Running

LAST = b"0\r\n\r\n"


def head(line: str, *fields: str, version: str = "HTTP/1.1") -> bytes:
    return "\r\n".join([f"{line} {version}", "Host: engines", *fields, "", ""]).encode()


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def exchange(engine: Running, data: bytes, quiet: float = 1.0) -> bytes:
    """Send bytes, and return all that is received until the end or a silence."""
    with engine.connect(quiet) as sock:
        return read_to_end(sock, data)


def read_to_end(sock: socket.socket, data: bytes = b"") -> bytes:
    got = b""
    try:
        sock.sendall(data)
        while received := sock.recv(65536):
            got += received
    except TimeoutError:
        got += b" (stays open)"
    except OSError:
        got += b" (reset)"
    return got


def statuses(raw: bytes) -> list[str]:
    return [number.decode() for number in re.findall(rb"HTTP/1\.[01] (\d{3})", raw)]


def outcome(engine: Running, token: str) -> str:
    """Wait for the outcome of the page with this token, and return it."""
    end = time.monotonic() + 3
    while time.monotonic() < end:
        raw = exchange(engine, head(f"GET /outcome?{token}", "Connection: close"))
        if body := raw.rpartition(b"\r\n\r\n")[2].decode():
            return body
        time.sleep(0.05)
    return "nothing in 3 s"


def response(sock: socket.socket) -> HTTPResponse:
    head = HTTPResponse(sock)
    head.begin()
    return head


def read_body(sock: socket.socket) -> str:
    """Read a response, and return its size or its failure."""
    size = 0
    try:
        received = response(sock)
        while data := received.read(1 << 20):
            size += len(data)
        left = received.length or 0
    except (HTTPException, OSError) as exc:
        return f"{size >> 20} MiB, {type(exc).__name__}"
    return f"{size >> 20} MiB, short of its length" if left else f"{size >> 20} MiB"


@contextmanager
def sending(sock: socket.socket, parts: Iterator[bytes]) -> Iterator[None]:
    """Send on another thread while the block runs."""

    def send() -> None:
        try:
            for part in parts:
                sock.sendall(part)
        except OSError:
            pass

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield
    finally:
        thread.join()
