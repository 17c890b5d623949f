"""A small server for the demo, on the standard library alone, that shows what arrived.

PUT or POST anything: the answer says how many bytes it was. GET /length or /chunks: lines of text,
2 MiB of them, with a Content-Length or in chunks.
"""

from __future__ import annotations

import http.server
import io
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

LINE = b"a line of sixty-four bytes, to be read once and then once more.\n"
LINES = (2 << 20) // len(LINE)


class Loopback:
    """`received` is what the last request brought, head and body, byte by byte."""

    def __init__(self, port: int) -> None:
        self.received = b""
        self._port = port

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self._port}{path}"


@contextmanager
def loopback() -> Iterator[Loopback]:
    """Serve on a free port of this machine until the block is left."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    seen = server.seen = Loopback(server.server_port)  # type: ignore[attr-defined]  # for _Handler
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield seen
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Recorder(io.BufferedIOBase):
    """Reads from the connection and keeps what it read."""

    def __init__(self, source: io.BufferedIOBase) -> None:
        self.kept = bytearray()
        self._source = source

    def read(self, size: int | None = -1, /) -> bytes:
        return self._keep(self._source.read(-1 if size is None else size))

    def readline(self, limit: int | None = -1, /) -> bytes:
        return self._keep(self._source.readline(-1 if limit is None else limit))

    def _keep(self, data: bytes) -> bytes:
        self.kept += data
        return data


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def setup(self) -> None:
        super().setup()
        self._recorder = _Recorder(self.rfile)
        self.rfile = self._recorder

    def do_POST(self) -> None:
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            size = sum(self._chunks())
        else:
            size = len(self.rfile.read(int(self.headers["Content-Length"])))
        self._show()
        self._answer(f"{size} bytes, thank you\n".encode())

    do_PUT = do_POST

    def do_GET(self) -> None:
        self._show()
        if self.path == "/length":
            self._answer(LINE * LINES)
            return
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for _ in range(LINES // 1024):
            self.wfile.write(b"%x\r\n%b\r\n" % (1024 * len(LINE), LINE * 1024))
        self.wfile.write(b"0\r\n\r\n")

    def _chunks(self) -> Iterator[int]:
        while size := int(self.rfile.readline(), 16):
            yield len(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()

    def _answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _show(self) -> None:
        self.server.seen.received = bytes(self._recorder.kept)  # type: ignore[attr-defined]
        self._recorder.kept.clear()

    def log_message(self, *_: Any) -> None:
        """Nothing on the terminal but the demo's own words."""
