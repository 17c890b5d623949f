"""Rows about request bodies: when bytes are available, and what is complete."""

from __future__ import annotations

import itertools
import socket
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from benchmarks.engines.probe import Probe, join_cases, mark
from benchmarks.engines.raw import (
    LAST,
    chunk,
    exchange,
    head,
    outcome,
    read_body,
    read_to_end,
    response,
    sending,
    statuses,
)

if TYPE_CHECKING:
    from benchmarks.engines.running import Running

_MIB = 1 << 20
_BIG = 64 * _MIB
_CHUNK = bytes(64 * 1024)


def read_partial_body(engine: Running) -> str:
    """1 KiB of 2 has arrived."""
    return join_cases(
        *(_read_partly(engine, "/some", framing, 1024) for framing in (_sized, _chunked))
    )


def short_reads(engine: Running) -> str:
    """10 bytes of a body have arrived."""
    return join_cases(
        *(_read_partly(engine, "/read1", framing, 10) for framing in (_sized, _chunked))
    )


def echo_small_chunks(engine: Running) -> str:
    """20 chunks of 10 bytes, each sent after the last one was echoed."""
    with engine.connect(2) as sock:
        sock.sendall(head("POST /echo_small", "Transfer-Encoding: chunked"))
        echoed = 0
        try:
            for _ in range(20):
                sock.sendall(chunk(b"ten bytes."))
                _until(sock, b"ten bytes.\r\n")
                echoed += 1
        except OSError:
            pass
    return mark(f"{echoed} of 20", good=echoed == 20)


def truncated(engine: Running) -> str:
    return join_cases(*(_truncate(engine, "/read", framing) for framing in (_sized, _chunked)))


def truncated_under_app(engine: Running) -> str:
    framings = (_sized, _chunked)
    return join_cases(*(_truncate(engine, "/restkit/read", framing) for framing in framings))


def echoes(engine: Running) -> str:
    return join_cases(_echo(engine, _sized), _echo(engine, _chunked))


def send_all_before_reading(engine: Running) -> str:
    with engine.connect() as sock:
        taken = 0
        try:
            sock.sendall(_sized("/echo", _BIG))
            for _ in range(_BIG // len(_CHUNK)):
                sock.sendall(_CHUNK)
                taken += len(_CHUNK)
        except OSError as exc:
            return mark(f"{taken >> 20} MiB sent, then {_describe_error(exc)}", good=False)
        text = read_body(sock)
    return mark(f"all sent; received: {text}", good=text == "64 MiB")


def unread(engine: Running) -> str:
    """A request after a small body that the application did not read."""
    texts = []
    for body in (_sized("/", 5) + b"hello", _chunked("/", 5) + chunk(b"hello") + LAST):
        raw = exchange(engine, body + head("GET /", "Connection: close"))
        texts.append(_list_statuses(raw, good=statuses(raw) == ["200", "200"]))
    return join_cases(*texts)


def early_refusal(engine: Running) -> str:
    """The client sends 20 MB at full speed after a refused head."""
    with engine.connect() as sock:
        sent = 0
        text = "all sent"
        try:
            sock.sendall(_sized("/refuse", 20_000_000))
            for _ in range(0, 20_000_000, 50_000):
                sock.sendall(bytes(50_000))
                sent += 50_000
        except OSError as exc:
            text = f"{_describe_error(exc)} at {sent / 1e6:.1f} MB"
        sock.settimeout(2)
        raw = read_to_end(sock)
    found = ", ".join(statuses(raw)) or "no response"
    end = "stays open" if b"(stays open)" in raw else "reset" if b"(reset)" in raw else "closed"
    return mark(f"{text}, {found}, {end}", good=text == "all sent" and end == "closed")


def continue_on_read(engine: Running) -> str:
    """The application reads after half a second."""
    with engine.connect(3) as sock:
        began = time.monotonic()
        sock.sendall(_sized("/later", 5, "Expect: 100-continue"))
        sock.recv(100)
        waited = time.monotonic() - began
        sock.sendall(b"hello")
    return mark(f"after {waited:.1f} s", good=waited > 0.4)


def no_continue_on_refusal(engine: Running) -> str:
    raw = exchange(engine, _sized("/refuse", 5, "Expect: 100-continue"))
    return _list_statuses(raw, good=statuses(raw) == ["413"])


def leave_endless_response(engine: Running) -> str:
    """The client closes during an endless response."""
    with engine.connect() as sock:
        sock.sendall(head("GET /endless?endless"))
        sock.recv(100_000)
    text = outcome(engine, "endless")
    return mark(text, good=text == "closed")


def _sized(path: str, size: int, *fields: str) -> bytes:
    return head(f"POST {path}", f"Content-Length: {size}", *fields)


def _chunked(path: str, size: int) -> bytes:
    return head(f"POST {path}", "Transfer-Encoding: chunked")


def _read_partly(engine: Running, path: str, framing: object, size: int) -> str:
    with engine.connect(2) as sock:
        data = bytes(size)
        body = chunk(data) if framing is _chunked else data
        sock.sendall((_chunked if framing is _chunked else _sized)(path, 2 * size) + body)
        try:
            body = response(sock).read()
        except OSError:
            return mark("no response in 2 s", good=False)
    if body == b"no read1":
        return mark("no read1", good=False)
    return mark(f"{int(body)} bytes", good=int(body) == size)


_tokens = map(str, itertools.count())


def _truncate(engine: Running, path: str, framing: object) -> str:
    token = next(_tokens)
    with engine.connect() as sock:
        if framing is _chunked:
            sock.sendall(_chunked(f"{path}?{token}", 100) + chunk(b"ten bytes."))
        else:
            sock.sendall(_sized(f"{path}?{token}", 100) + b"ten bytes.")
        sock.shutdown(socket.SHUT_WR)
        read_to_end(sock)
    text = outcome(engine, token)
    return mark(text, good="no error" not in text and "nothing" not in text)


def _echo(engine: Running, framing: object) -> str:
    def parts() -> Iterator[bytes]:
        for _ in range(_BIG // len(_CHUNK)):
            yield chunk(_CHUNK) if framing is _chunked else _CHUNK
        if framing is _chunked:
            yield LAST

    with engine.growth() as growth, engine.connect() as sock:
        sock.sendall((_chunked if framing is _chunked else _sized)("/echo", _BIG))
        with sending(sock, parts()):
            text = read_body(sock)
            sock.shutdown(socket.SHUT_RDWR)
        return f"{mark(text, good=text == '64 MiB')}, +{growth():.0f} MiB"


def _until(sock: socket.socket, mark: bytes) -> None:
    got = b""
    while mark not in got:
        data = sock.recv(65536)
        if not data:
            raise ConnectionError
        got += data


def _list_statuses(raw: bytes, *, good: bool) -> str:
    found = ", ".join(statuses(raw)) or "no response"
    return mark(found, good=good)


def _describe_error(exc: OSError) -> str:
    return "blocked for 10 s" if isinstance(exc, TimeoutError) else type(exc).__name__


PROBES = (
    Probe("``read(1024)`` when 1 KiB of 2 has arrived: sized / chunked", read_partial_body),
    Probe("``read1(65536)`` when 10 bytes have arrived: sized / chunked", short_reads),
    Probe("20 chunks of 10 bytes, each echoed before the next is sent", echo_small_chunks),
    Probe("a truncated upload, read by ``read()``: sized / chunked", truncated),
    Probe("the same, read by an ``App`` of restkit", truncated_under_app),
    Probe(
        "an echo of 64 MiB to a client that reads while it sends: sized / chunked; memory", echoes
    ),
    Probe("an echo of 64 MiB to a client that sends all before it reads", send_all_before_reading),
    Probe("5 unread bytes, sized / chunked, then another request", unread),
    Probe("413 at once, while the client sends 20 MB at full speed", early_refusal),
    Probe("``100 Continue`` for an application that reads after 0.5 s", continue_on_read),
    Probe(
        "``Expect: 100-continue`` for an application that refuses without reading",
        no_continue_on_refusal,
    ),
    Probe(
        "the client leaves an endless response: ``close()`` of the iterable", leave_endless_response
    ),
)
