"""Many slow uploads at once beside fast ones: none waits for the others, and memory stays flat."""

from __future__ import annotations

import gzip
import hashlib
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import NamedTuple

import pytest

from support import LAST_CHUNK, chunks
from support.memory import MIB
from support.peer import HANG_BOUND

RECEIVER = """
import sys
from restkit.server import receive, serve

with serve(receive(sys.argv[1])) as server:
    print(server.port, flush=True)
    sys.stdin.read()
"""
BLOCK = 64 * 1024


class Receiver(NamedTuple):
    """A receiver in a process of its own."""

    port: int
    pid: int
    folder: Path

    def peak(self) -> int:
        """The most memory it has had resident."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        (line,) = [line for line in status.splitlines() if line.startswith("VmHWM")]
        return int(line.split()[1]) * 1024


class Slow(NamedTuple):
    """How many at once, how many blocks each has, and how many of them go in a second."""

    count: int
    blocks: int
    pace: float


@contextmanager
def receiving(folder: Path) -> Iterator[Receiver]:
    process = subprocess.Popen(
        [sys.executable, "-c", RECEIVER, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        yield Receiver(int(process.stdout.readline()), process.pid, folder)
        _, errors = process.communicate(timeout=2 * HANG_BOUND)
        assert (process.returncode, errors) == (0, b"")
    finally:
        process.kill()
        process.communicate()


def block_of(number: int) -> bytes:
    """A block that no other upload has, and that gzip makes next to nothing of."""
    return hashlib.sha256(b"%d" % number).digest() * (BLOCK // 32)


def send(receiver: Receiver, name: str, fields: str, pieces: Iterator[bytes]) -> bytes:
    with socket.create_connection(("127.0.0.1", receiver.port), HANG_BOUND) as sock:
        head = f"PUT /{name} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{fields}\r\n\r\n"
        sock.sendall(head.encode())
        for piece in pieces:
            sock.sendall(piece)
        return b"".join(iter(lambda: sock.recv(65536), b""))


def send_slowly(receiver: Receiver, slow: Slow, number: int, one_is_in: threading.Event) -> bytes:
    """Every third one in chunks; its last block waits until a small one is through."""
    block, chunked = block_of(number), number % 3 == 0

    def pieces() -> Iterator[bytes]:
        began = time.monotonic()
        for done in range(slow.blocks):
            if done == slow.blocks - 1:
                assert one_is_in.wait(HANG_BOUND), "no small one came through beside these"
            yield chunks(block) if chunked else block
            time.sleep(max(0.0, began + done / slow.pace - time.monotonic()))
        if chunked:
            yield LAST_CHUNK

    fields = "Transfer-Encoding: chunked"
    if not chunked:
        fields = f"Content-Length: {slow.blocks * BLOCK}"
    return send(receiver, str(number), fields, pieces())


def send_small(receiver: Receiver, number: int) -> float:
    """1 KiB, gzipped; the seconds it took."""
    body = gzip.compress(block_of(number)[:1024])
    fields = f"Content-Encoding: gzip\r\nContent-Length: {len(body)}"
    began = time.monotonic()
    answer = send(receiver, f"small{number}", fields, iter([body]))
    assert answer.startswith(b"HTTP/1.1 201 "), answer
    return time.monotonic() - began


def soak(receiver: Receiver, slow: Slow) -> list[float]:
    """Send the slow ones, and small ones beside them; how long each of these took."""
    one_is_in = threading.Event()
    took = []
    with ThreadPoolExecutor(slow.count) as threads:
        pending = [
            threads.submit(send_slowly, receiver, slow, number, one_is_in)
            for number in range(slow.count)
        ]
        while len(list(receiver.folder.glob(".*.part"))) < slow.count:
            assert not any(each.done() for each in pending)
            time.sleep(0.01)
        while not all(each.done() for each in pending):
            took.append(send_small(receiver, len(took)))
            one_is_in.set()
            time.sleep(0.1)
    for each in pending:
        assert each.result().startswith(b"HTTP/1.1 201 "), each.result()
    return took


def check_files(folder: Path, slow: Slow, small: int) -> None:
    wanted = {str(n): (slow.blocks, block_of(n)) for n in range(slow.count)}
    wanted |= {f"small{n}": (1, block_of(n)[:1024]) for n in range(small)}
    assert sorted(os.listdir(folder)) == sorted(wanted)
    for name, (blocks, block) in wanted.items():
        with open(folder / name, "rb") as file:
            for _ in range(blocks):
                assert file.read(len(block)) == block, name
            assert file.read() == b""


needs_proc = pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="there is no /proc")


@needs_proc
def test_Z14_slow_uploads_keep_no_other_waiting(tmp_path):
    slow = Slow(count=20, blocks=20, pace=80)
    with receiving(tmp_path) as receiver:
        idle = receiver.peak()
        took = soak(receiver, slow)
        assert receiver.peak() < 150 * MIB
        assert receiver.peak() - idle < 50 * MIB
    check_files(tmp_path, slow, len(took))


@needs_proc
@pytest.mark.slow
def test_Z14_twenty_uploads_of_50_MB_at_5_MB_a_second_beside_small_ones(tmp_path):
    slow = Slow(count=20, blocks=50_000_000 // BLOCK, pace=5_000_000 / BLOCK)
    with receiving(tmp_path) as receiver:
        idle = receiver.peak()
        took = soak(receiver, slow)
        assert receiver.peak() < 150 * MIB
        assert receiver.peak() - idle < 50 * MIB
    assert len(took) > 10
    # The case's own bound, for most of them: one moment of a busy machine is no queue.
    assert median(took) < 1.0
    check_files(tmp_path, slow, len(took))
