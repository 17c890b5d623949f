"""Rows about the bodies of requests: what of them is there when, and what of them is whole."""

from __future__ import annotations

import itertools
import socket
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from benchmarks.engines.judging import Probe, judged, several
from benchmarks.engines.raw import (
    LAST,
    chunk,
    drained,
    head,
    met,
    response,
    said,
    sending,
    statuses,
    to_the_end,
)

if TYPE_CHECKING:
    from benchmarks.engines.running import Running

_MIB = 1 << 20
_BIG = 64 * _MIB
_PIECE = bytes(64 * 1024)


def first_bytes(engine: Running) -> str:
    """1 KiB of 2 have come."""
    return several(*(_waited(engine, "/some", framing, 1024) for framing in (_sized, _chunked)))


def short_reads(engine: Running) -> str:
    """10 bytes of a body have come."""
    return several(*(_waited(engine, "/read1", framing, 10) for framing in (_sized, _chunked)))


def small_pieces(engine: Running) -> str:
    """20 pieces of 10 bytes, each sent when the one before has come back."""
    with engine.connect(2) as sock:
        sock.sendall(head("POST /echo_small", "Transfer-Encoding: chunked"))
        came = 0
        try:
            for _ in range(20):
                sock.sendall(chunk(b"ten bytes."))
                _until(sock, b"ten bytes.\r\n")
                came += 1
        except OSError:
            pass
    return judged(f"{came} of 20", good=came == 20)


def truncated(engine: Running) -> str:
    return several(*(_broken_off(engine, "/read", framing) for framing in (_sized, _chunked)))


def truncated_under_app(engine: Running) -> str:
    framings = (_sized, _chunked)
    return several(*(_broken_off(engine, "/restkit/read", framing) for framing in framings))


def echoes(engine: Running) -> str:
    return several(_echo(engine, _sized), _echo(engine, _chunked))


def all_before_reading(engine: Running) -> str:
    with engine.connect() as sock:
        taken = 0
        try:
            sock.sendall(_sized("/echo", _BIG))
            for _ in range(_BIG // len(_PIECE)):
                sock.sendall(_PIECE)
                taken += len(_PIECE)
        except OSError as exc:
            return judged(f"{taken >> 20} MiB taken, then {_named(exc)}", good=False)
        text = drained(sock)
    return judged(f"all sent; received: {text}", good=text == "64 MiB")


def unread(engine: Running) -> str:
    """A request behind a small body that nobody has read."""
    texts = []
    for body in (_sized("/", 5) + b"hello", _chunked("/", 5) + chunk(b"hello") + LAST):
        raw = said(engine, body + head("GET /", "Connection: close"))
        texts.append(_listed(raw, good=statuses(raw) == ["200", "200"]))
    return several(*texts)


def early_refusal(engine: Running) -> str:
    """20 MB come at full speed behind what is refused."""
    with engine.connect() as sock:
        sent = 0
        text = "all sent"
        try:
            sock.sendall(_sized("/refuse", 20_000_000))
            for _ in range(0, 20_000_000, 50_000):
                sock.sendall(bytes(50_000))
                sent += 50_000
        except OSError as exc:
            text = f"{_named(exc)} at {sent / 1e6:.1f} MB"
        sock.settimeout(2)
        raw = to_the_end(sock)
    found = ", ".join(statuses(raw)) or "no answer"
    end = "stays open" if b"(stays open)" in raw else "reset" if b"(reset)" in raw else "closed"
    return judged(f"{text}, {found}, {end}", good=text == "all sent" and end == "closed")


def asked_to_go_on(engine: Running) -> str:
    """The application reads after half a second."""
    with engine.connect(3) as sock:
        began = time.monotonic()
        sock.sendall(_sized("/later", 5, "Expect: 100-continue"))
        sock.recv(100)
        waited = time.monotonic() - began
        sock.sendall(b"hello")
    return judged(f"after {waited:.1f} s", good=waited > 0.4)


def not_asked_to_go_on(engine: Running) -> str:
    raw = said(engine, _sized("/refuse", 5, "Expect: 100-continue"))
    return _listed(raw, good=statuses(raw) == ["413"])


def gone_while_it_reads(engine: Running) -> str:
    """A client that takes no more of an answer without end."""
    with engine.connect() as sock:
        sock.sendall(head("GET /endless?endless"))
        sock.recv(100_000)
    text = met(engine, "endless")
    return judged(text, good=text == "closed")


def _sized(path: str, size: int, *fields: str) -> bytes:
    return head(f"POST {path}", f"Content-Length: {size}", *fields)


def _chunked(path: str, size: int) -> bytes:
    return head(f"POST {path}", "Transfer-Encoding: chunked")


def _waited(engine: Running, path: str, framing: object, size: int) -> str:
    with engine.connect(2) as sock:
        data = bytes(size)
        body = chunk(data) if framing is _chunked else data
        sock.sendall((_chunked if framing is _chunked else _sized)(path, 2 * size) + body)
        try:
            answer = response(sock).read()
        except OSError:
            return judged("no response in 2 s", good=False)
    if answer == b"no read1":
        return judged("no read1", good=False)
    return judged(f"{int(answer)} bytes", good=int(answer) == size)


_tokens = map(str, itertools.count())


def _broken_off(engine: Running, path: str, framing: object) -> str:
    token = next(_tokens)
    with engine.connect() as sock:
        if framing is _chunked:
            sock.sendall(_chunked(f"{path}?{token}", 100) + chunk(b"ten bytes."))
        else:
            sock.sendall(_sized(f"{path}?{token}", 100) + b"ten bytes.")
        sock.shutdown(socket.SHUT_WR)
        to_the_end(sock)
    text = met(engine, token)
    return judged(text, good="no error" not in text and "nothing" not in text)


def _echo(engine: Running, framing: object) -> str:
    def parts() -> Iterator[bytes]:
        for _ in range(_BIG // len(_PIECE)):
            yield chunk(_PIECE) if framing is _chunked else _PIECE
        if framing is _chunked:
            yield LAST

    with engine.growth() as growth, engine.connect() as sock:
        sock.sendall((_chunked if framing is _chunked else _sized)("/echo", _BIG))
        with sending(sock, parts()):
            text = drained(sock)
            sock.shutdown(socket.SHUT_RDWR)
        return f"{judged(text, good=text == '64 MiB')}, +{growth():.0f} MiB"


def _until(sock: socket.socket, mark: bytes) -> None:
    got = b""
    while mark not in got:
        piece = sock.recv(65536)
        if not piece:
            raise ConnectionError
        got += piece


def _listed(raw: bytes, *, good: bool) -> str:
    found = ", ".join(statuses(raw)) or "no answer"
    return judged(found, good=good)


def _named(exc: OSError) -> str:
    return "nothing for 10 s" if isinstance(exc, TimeoutError) else type(exc).__name__


PROBES = (
    Probe("``read(1024)`` when 1 KiB of 2 has arrived: sized / chunked", first_bytes),
    Probe("``read1(65536)`` when 10 bytes have arrived: sized / chunked", short_reads),
    Probe("20 chunks of 10 bytes, each echoed before the next is sent", small_pieces),
    Probe("a truncated upload, read by ``read()``: sized / chunked", truncated),
    Probe("the same, read by an ``App`` of restkit", truncated_under_app),
    Probe(
        "an echo of 64 MiB to a client that reads while it sends: sized / chunked; memory", echoes
    ),
    Probe("an echo of 64 MiB to a client that sends all before it reads", all_before_reading),
    Probe("5 unread bytes, sized / chunked, then another request", unread),
    Probe("413 at once, while the client sends 20 MB at full speed", early_refusal),
    Probe("``100 Continue`` for an application that reads after 0.5 s", asked_to_go_on),
    Probe("``Expect: 100-continue`` for an application that refuses without reading", not_asked_to_go_on),
    Probe(
        "the client leaves an endless response: ``close()`` of the iterable", gone_while_it_reads
    ),
)
