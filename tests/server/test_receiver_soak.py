"""Many slow uploads and fast ones at once: no upload waits for others, and memory stays flat."""

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
    """A receiver in its own process."""

    port: int
    pid: int
    folder: Path

    def peak(self) -> int:
        """Return the peak of its resident memory."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        (line,) = [line for line in status.splitlines() if line.startswith("VmHWM")]
        return int(line.split()[1]) * 1024


class SlowUploads(NamedTuple):
    """The number of uploads, the blocks of each, and blocks per second."""

    count: int
    blocks: int
    pace: float


@contextmanager
def run_receiver(folder: Path) -> Iterator[Receiver]:
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


def make_block(number: int) -> bytes:
    """Return a block that is unique to an upload and compresses well."""
    return hashlib.sha256(b"%d" % number).digest() * (BLOCK // 32)


def send(receiver: Receiver, name: str, fields: str, blocks: Iterator[bytes]) -> bytes:
    with socket.create_connection(("127.0.0.1", receiver.port), HANG_BOUND) as sock:
        head = f"PUT /{name} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{fields}\r\n\r\n"
        sock.sendall(head.encode())
        for block in blocks:
            sock.sendall(block)
        return b"".join(iter(lambda: sock.recv(65536), b""))


def send_slowly(
    receiver: Receiver, slow: SlowUploads, number: int, small_done: threading.Event
) -> bytes:
    """Send blocks at a pace, every third upload in chunks.

    The last block waits until a small upload is done.
    """
    block, chunked = make_block(number), number % 3 == 0

    def make_blocks() -> Iterator[bytes]:
        began = time.monotonic()
        for done in range(slow.blocks):
            if done == slow.blocks - 1:
                assert small_done.wait(HANG_BOUND), "no small upload was finished meanwhile"
            yield chunks(block) if chunked else block
            time.sleep(max(0.0, began + done / slow.pace - time.monotonic()))
        if chunked:
            yield LAST_CHUNK

    fields = "Transfer-Encoding: chunked"
    if not chunked:
        fields = f"Content-Length: {slow.blocks * BLOCK}"
    return send(receiver, str(number), fields, make_blocks())


def send_small(receiver: Receiver, number: int) -> float:
    """Send 1 KiB, gzipped; return the seconds that it took."""
    body = gzip.compress(make_block(number)[:1024])
    fields = f"Content-Encoding: gzip\r\nContent-Length: {len(body)}"
    began = time.monotonic()
    response = send(receiver, f"small{number}", fields, iter([body]))
    assert response.startswith(b"HTTP/1.1 201 "), response
    return time.monotonic() - began


def soak(receiver: Receiver, slow: SlowUploads) -> list[float]:
    """Send slow and small uploads at once; return the seconds of each small one."""
    small_done = threading.Event()
    seconds = []
    with ThreadPoolExecutor(slow.count) as threads:
        pending = [
            threads.submit(send_slowly, receiver, slow, number, small_done)
            for number in range(slow.count)
        ]
        while len(list(receiver.folder.glob(".*.part"))) < slow.count:
            assert not any(each.done() for each in pending)
            time.sleep(0.01)
        while not all(each.done() for each in pending):
            seconds.append(send_small(receiver, len(seconds)))
            small_done.set()
            time.sleep(0.1)
    for each in pending:
        assert each.result().startswith(b"HTTP/1.1 201 "), each.result()
    return seconds


def check_files(folder: Path, slow: SlowUploads, small: int) -> None:
    expected = {str(n): (slow.blocks, make_block(n)) for n in range(slow.count)}
    expected |= {f"small{n}": (1, make_block(n)[:1024]) for n in range(small)}
    assert sorted(os.listdir(folder)) == sorted(expected)
    for name, (blocks, block) in expected.items():
        with open(folder / name, "rb") as file:
            for _ in range(blocks):
                assert file.read(len(block)) == block, name
            assert file.read() == b""


needs_proc = pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="there is no /proc")


@needs_proc
def test_Z14_slow_uploads_do_not_delay_others(tmp_path):
    slow = SlowUploads(count=20, blocks=20, pace=80)
    with run_receiver(tmp_path) as receiver:
        idle = receiver.peak()
        seconds = soak(receiver, slow)
        assert receiver.peak() < 150 * MIB
        assert receiver.peak() - idle < 50 * MIB
    check_files(tmp_path, slow, len(seconds))


@needs_proc
@pytest.mark.slow
def test_Z14_twenty_uploads_of_50_MB_at_5_MB_per_second_and_small_ones(tmp_path):
    slow = SlowUploads(count=20, blocks=50_000_000 // BLOCK, pace=5_000_000 / BLOCK)
    with run_receiver(tmp_path) as receiver:
        idle = receiver.peak()
        seconds = soak(receiver, slow)
        assert receiver.peak() < 150 * MIB
        assert receiver.peak() - idle < 50 * MIB
    assert len(seconds) > 10
    # The bound of the case holds for most uploads: a busy machine may delay a single one.
    assert median(seconds) < 1.0
    check_files(tmp_path, slow, len(seconds))
