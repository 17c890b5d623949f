"""A client that says exactly what it is told, and looks at bytes."""

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


def said(engine: Running, data: bytes, quiet: float = 1.0) -> bytes:
    """All that comes back, up to the end of the connection or a silence."""
    with engine.connect(quiet) as sock:
        return to_the_end(sock, data)


def to_the_end(sock: socket.socket, data: bytes = b"") -> bytes:
    got = b""
    try:
        sock.sendall(data)
        while piece := sock.recv(65536):
            got += piece
    except TimeoutError:
        got += b" (stays open)"
    except OSError:
        got += b" (reset)"
    return got


def statuses(raw: bytes) -> list[str]:
    return [number.decode() for number in re.findall(rb"HTTP/1\.[01] (\d{3})", raw)]


def met(engine: Running, token: str) -> str:
    """What the page with this token has met, when it has."""
    end = time.monotonic() + 3
    while time.monotonic() < end:
        raw = said(engine, head(f"GET /met?{token}", "Connection: close"))
        if body := raw.rpartition(b"\r\n\r\n")[2].decode():
            return body
        time.sleep(0.05)
    return "nothing in 3 s"


def response(sock: socket.socket) -> HTTPResponse:
    answer = HTTPResponse(sock)
    answer.begin()
    return answer


def drained(sock: socket.socket) -> str:
    """The answer, as far as it is one."""
    size = 0
    try:
        answer = response(sock)
        while piece := answer.read(1 << 20):
            size += len(piece)
        left = answer.length or 0
    except (HTTPException, OSError) as exc:
        return f"{size >> 20} MiB, {type(exc).__name__}"
    return f"{size >> 20} MiB, short of its length" if left else f"{size >> 20} MiB"


@contextmanager
def sending(sock: socket.socket, parts: Iterator[bytes]) -> Iterator[None]:
    """Send on a thread of its own, beside the block."""

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
