"""httpbin on loopback, under gunicorn: an application that many clients were tried on."""

from __future__ import annotations

import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

from .peer import HANG_BOUND

# gunicorn outlives whoever started it; this shell does not let it, as in nginx.py.
_KEEPER = '"$@" <&- & pid=$!; read _; kill $pid; wait'


class Httpbin:
    """A context manager: `url('/get')` is where one of its pages is."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __enter__(self) -> Httpbin:
        with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
            self.port: int = listener.getsockname()[1]
            bind = f"fd://{listener.fileno()}"
            gunicorn = [sys.executable, "-m", "gunicorn", "--bind", bind, "--workers", "1"]
            gunicorn += ["--worker-class", "gthread", "--threads", "8", "--no-control-socket"]
            gunicorn += ["--worker-tmp-dir", str(self._folder), "httpbin:app"]
            with (self._folder / "gunicorn.log").open("wb") as log:
                self._process = subprocess.Popen(
                    ["/bin/sh", "-c", _KEEPER, "keeper", *gunicorn],
                    stdin=subprocess.PIPE,
                    stdout=log,
                    stderr=log,
                    pass_fds=[listener.fileno()],
                    cwd=self._folder,
                )
        # The socket listens already: the first answer comes when the application is there.
        with urllib.request.urlopen(self.url("/status/200"), timeout=HANG_BOUND):
            return self

    def __exit__(self, *exc_info: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(HANG_BOUND)

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"
