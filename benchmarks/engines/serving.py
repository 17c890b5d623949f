"""A process that serves the application, on the embedded engine or on plain cheroot.

It prints its port, and the milliseconds that starting took. SIGTERM stops the engine.
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
        _tell(server.port, began)
        _until_told()


def cheroot() -> None:
    from cheroot.wsgi import Server

    began = time.perf_counter()
    server = Server(("127.0.0.1", 0), app)
    server.prepare()
    thread = threading.Thread(target=server.serve)
    thread.start()
    while not server.ready:
        time.sleep(0.001)
    _tell(server.bind_addr[1], began)
    _until_told()
    server.stop()
    thread.join()


def _tell(port: int, began: float) -> None:
    print(port, f"{(time.perf_counter() - began) * 1000:.0f}", flush=True)


def _until_told() -> None:
    told = threading.Event()

    def tell(number: int, frame: FrameType | None) -> None:
        told.set()

    signal.signal(signal.SIGTERM, tell)
    told.wait()


if __name__ == "__main__":
    {"embedded": embedded, "cheroot": cheroot}[sys.argv[1]]()
