"""The four engines as processes: start, measure by /proc, stop."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
PATIENCE = 10.0
_LONGEST_STOP = 45.0
_TICKS = os.sysconf("SC_CLK_TCK")


class Running:
    """An engine at ``address``. ``start_text`` describes the time of its start."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, start_text: str) -> None:
        self.process = process
        self.address = ("127.0.0.1", port)
        self.start_text = start_text

    def connect(self, patience: float = PATIENCE) -> socket.socket:
        sock = socket.create_connection(self.address, patience)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock

    def cpu(self) -> float:
        """Return user and system time of all its processes so far."""
        return sum(map(_cpu_of, self._processes()))

    @contextlib.contextmanager
    def growth(self) -> Iterator[Callable[[], float]]:
        """Return a function for use in the block: MiB of memory growth until its peak."""
        numbers = self._processes()
        for number in numbers:
            Path(f"/proc/{number}/clear_refs").write_text("5")
        before = sum(_mib_of(number, "VmRSS:") for number in numbers)
        yield lambda: sum(_mib_of(number, "VmHWM:") for number in numbers) - before

    def stop(self) -> float:
        """Stop it by SIGTERM, and return the seconds that it took; inf if it did not stop."""
        began = time.perf_counter()
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(_LONGEST_STOP)
        except subprocess.TimeoutExpired:
            return float("inf")
        return time.perf_counter() - began

    def _processes(self) -> list[int]:
        number = self.process.pid
        children = Path(f"/proc/{number}/task/{number}/children").read_text()
        return [number, *map(int, children.split())]


class Engine(NamedTuple):
    """A column of the table."""

    name: str
    start: Callable[[Path], Running]

    @contextlib.contextmanager
    def running(self, folder: Path) -> Iterator[Running]:
        engine = self.start(folder)
        try:
            yield engine
        finally:
            # Kill the process group: a worker of gunicorn outlives a killed master.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(engine.process.pid, signal.SIGKILL)
            engine.process.wait()


def _own_process(name: str) -> Callable[[Path], Running]:
    def start(folder: Path) -> Running:
        process = _start_process(folder, "benchmarks.engines.serving", name, stdout=subprocess.PIPE)
        assert process.stdout is not None
        with process.stdout as output:
            port, milliseconds = output.readline().split()
        return Running(process, int(port), f"{int(milliseconds)} ms, in a running process")

    return start


def _gunicorn(*options: str) -> Callable[[Path], Running]:
    def start(folder: Path) -> Running:
        began = time.perf_counter()
        with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
            bind = ("--bind", f"fd://{listener.fileno()}", "--no-control-socket")
            arguments = (*bind, *options, "benchmarks.engines.app:app")
            process = _start_process(folder, "gunicorn", *arguments, passed=[listener.fileno()])
            running = Running(process, listener.getsockname()[1], "")
        with running.connect() as sock:
            sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            assert sock.recv(1), (folder / "log").read_text()
        running.start_text = f"{(time.perf_counter() - began) * 1000:.0f} ms, a new process"
        return running

    return start


def _start_process(
    folder: Path, module: str, *arguments: str, stdout: int | None = None, passed: list[int] = ()
) -> subprocess.Popen[bytes]:
    with (folder / "log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=stdout or log,
            stderr=log,
            pass_fds=passed,
            cwd=ROOT,
            start_new_session=True,
        )


def _cpu_of(number: int) -> float:
    fields = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def _mib_of(number: int, name: str) -> float:
    lines = Path(f"/proc/{number}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) / 1024


ENGINES = (
    Engine("embedded", _own_process("embedded")),
    Engine(
        "gunicorn, restkit's configuration", _gunicorn("-c", "python:restkit.server.on_gunicorn")
    ),
    Engine("cheroot", _own_process("cheroot")),
    Engine("gunicorn", _gunicorn("--worker-class", "gthread", "--threads", "32")),
)
