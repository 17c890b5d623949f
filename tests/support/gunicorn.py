"""gunicorn on loopback, with one application: a process that ends with its test."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

from .peer import HANG_BOUND

# gunicorn outlives whoever started it; this shell does not let it, as in nginx.py.
_KEEPER = '"$@" <&- & pid=$!; read _; kill $pid; wait'


class Gunicorn:
    """A context manager; ``url('/path')`` is where a page of the application is."""

    def __init__(
        self,
        folder: Path,
        application: str,
        *options: str,
        pythonpath: Path | None = None,
    ) -> None:
        self._folder = folder
        self._application = application
        self._options = options
        self._environ = dict(os.environ)
        if pythonpath is not None:
            inherited = self._environ.get("PYTHONPATH")
            paths = [str(pythonpath), *([inherited] if inherited else [])]
            self._environ["PYTHONPATH"] = os.pathsep.join(paths)

    def __enter__(self) -> Gunicorn:
        with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
            self.port: int = listener.getsockname()[1]
            bind = f"fd://{listener.fileno()}"
            command = [sys.executable, "-m", "gunicorn", "--bind", bind, *self._options]
            command += ["--worker-tmp-dir", str(self._folder), self._application]
            with (self._folder / "gunicorn.log").open("wb") as log:
                self._process = subprocess.Popen(
                    ["/bin/sh", "-c", _KEEPER, "keeper", *command],
                    stdin=subprocess.PIPE,
                    stdout=log,
                    stderr=log,
                    pass_fds=[listener.fileno()],
                    cwd=self._folder,
                    env=self._environ,
                )
        # The socket listens already: the first answer comes when the application is there.
        self._ask_once()
        return self

    def _ask_once(self) -> None:
        with socket.create_connection(("127.0.0.1", self.port), HANG_BOUND) as sock:
            sock.sendall(b"GET / HTTP/1.1\r\nHost: gunicorn\r\nConnection: close\r\n\r\n")
            if not sock.recv(1):
                raise RuntimeError(f"gunicorn did not start:\n{self.log}")

    def __exit__(self, *exc_info: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(HANG_BOUND)

    @property
    def log(self) -> str:
        """What it has said so far."""
        return (self._folder / "gunicorn.log").read_text()

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"
