"""Serve the application in a process, on the embedded engine or on plain cheroot.

It prints its port and the milliseconds of its start. SIGTERM stops the engine.
"""

from __future__ import annotations

import signal
import sys
import threading
import time
from types import FrameType

from benchmarks.engines.app import app


def embedded() -> None:
    from restkit.server.serving import serve

    began = time.perf_counter()
    with serve(app) as server:
        _report(server.port, began)
        _wait_for_signal()


def cheroot() -> None:
    from cheroot.wsgi import Server

    began = time.perf_counter()
    server = Server(("127.0.0.1", 0), app)
    server.prepare()
    thread = threading.Thread(target=server.serve)
    thread.start()
    while not server.ready:
        time.sleep(0.001)
    _report(server.bind_addr[1], began)
    _wait_for_signal()
    server.stop()
    thread.join()


def _report(port: int, began: float) -> None:
    print(port, f"{(time.perf_counter() - began) * 1000:.0f}", flush=True)


def _wait_for_signal() -> None:
    received = threading.Event()

    def handle(number: int, frame: FrameType | None) -> None:
        received.set()

    signal.signal(signal.SIGTERM, handle)
    received.wait()


if __name__ == "__main__":
    {"embedded": embedded, "cheroot": cheroot}[sys.argv[1]]()
