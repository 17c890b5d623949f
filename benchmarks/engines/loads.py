"""Rows about many clients, large bodies, start and stop."""

from __future__ import annotations

import contextlib
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable

from benchmarks.engines.probe import Probe, mark
from benchmarks.engines.raw import exchange, head, statuses
from benchmarks.engines.running import PATIENCE, Running

_MIB = 512
_REQUESTS = 3000
_ROUNDS = 3
_CURL = ("curl", "-sS", "--fail", "-o", "/dev/null", "-H", "Expect:")


def get_after_stalled(half: bytes) -> Callable[[Running], str]:
    """Return a probe: 48 clients have sent these bytes and are silent; another one sends a GET."""

    def look(engine: Running) -> str:
        with contextlib.ExitStack() as stack:
            for _ in range(48):
                stack.enter_context(engine.connect()).sendall(half)
            time.sleep(0.5)
            began = time.perf_counter()
            raw = exchange(engine, head("GET /", "Connection: close"), quiet=3)
            waited = time.perf_counter() - began
        if statuses(raw) != ["200"]:
            return mark("no response in 3 s", good=False)
        return mark(f"{waited * 1000:.0f} ms", good=waited < 1)

    return look


def small_responses(engine: Running) -> str:
    """Send small GETs on one connection."""
    rounds = [_measure_requests(engine) for _ in range(_ROUNDS)]
    wall, cpu = (statistics.median(each) for each in zip(*rounds, strict=True))
    return f"{_REQUESTS / wall:.0f}/s, {cpu / _REQUESTS * 1e6:.0f} µs"


def _measure_requests(engine: Running) -> tuple[float, float]:
    request = head("GET /")
    with engine.connect() as sock:
        sock.sendall(request)
        size = len(sock.recv(65536))
        cpu, began = engine.cpu(), time.perf_counter()
        for _ in range(_REQUESTS):
            sock.sendall(request)
            got = 0
            while got < size:
                got += len(sock.recv(65536))
        return time.perf_counter() - began, engine.cpu() - cpu


def curl(*arguments: str) -> Callable[[Running], str]:
    def look(engine: Running) -> str:
        url = "http://{}:{}".format(*engine.address)
        with tempfile.NamedTemporaryFile() as file:
            file.truncate(_MIB << 20)
            words = [word.replace("URL", url).replace("FILE", file.name) for word in arguments]
            rounds = [_measure_curl(engine, words) for _ in range(_ROUNDS)]
        wall, cpu = (statistics.median(each) for each in zip(*rounds, strict=True))
        return f"{wall:.2f} s, {cpu:.2f} s"

    return look


def _measure_curl(engine: Running, words: list[str]) -> tuple[float, float]:
    cpu, began = engine.cpu(), time.perf_counter()
    subprocess.run([*_CURL, *words], check=True)
    return time.perf_counter() - began, engine.cpu() - cpu


def start_text(engine: Running) -> str:
    return engine.start_text


def stopped(engine: Running) -> str:
    return _stopped(engine)


def stopped_with_upload(engine: Running) -> str:
    with engine.connect() as sock:
        sock.sendall(head("POST /read", "Content-Length: 100") + b"ten bytes.")
        time.sleep(0.5)
        return _stopped(engine)


def _stopped(engine: Running) -> str:
    seconds = engine.stop()
    return mark(f"{seconds:.1f} s", good=seconds < PATIENCE)


PROBES = (
    Probe(
        "48 half heads, then a GET", get_after_stalled(b"GET / HTTP/1.1\r\nHost: x\r\n"), last=True
    ),
    Probe(
        "48 stalled uploads, then a GET",
        get_after_stalled(head("POST /read", "Content-Length: 100") + b"ten bytes."),
        last=True,
    ),
    Probe("small GETs on one connection; CPU of each", small_responses),
    Probe("512 MiB up, sized; CPU", curl("-T", "FILE", "URL/read?up")),
    Probe(
        "512 MiB up, chunked; CPU",
        curl("-H", "Transfer-Encoding: chunked", "-T", "FILE", "URL/read?up"),
    ),
    Probe("512 MiB down, chunks of 64 KiB; CPU", curl(f"URL/give?{_MIB}")),
    Probe("start", start_text),
    Probe("stop, nothing open", stopped, last=True),
    Probe("stop, an upload open", stopped_with_upload, last=True),
)
